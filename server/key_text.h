#pragma once
/*
 * What a secret looks like (console-api.md section 5): fnl-<kind>-<id>-<secret><crc32>. The prefix
 * lets scanners find one that was published, the id names it in logs and lists, the checksum tells
 * a real one from a similar word without asking us. 160 random bits; only their hash is kept.
 */
#include <stdint.h>

#include "lib/base/slice.h"
#include "server/store.h"

#define KEY_TEXT_SIZE 96

/* kind: "api", "auth", "client", "token". The id is made with it. */
void key_text_make(const char *kind, char out_id[STORE_ID_SIZE], char out_text[KEY_TEXT_SIZE]);
uint32_t key_text_crc(struct slice text); /* CRC-32 of IEEE 802.3, as scanners compute it */
