#pragma once
/*
 * Secrets that must be read again (TOTP, webhook keys, OIDC client secrets) sealed for the
 * database: AES-256-GCM, laid out as nonce, text, tag. `about` says which row a value belongs to
 * and is bound to it, so that sealed values cannot be exchanged.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/slice.h"

#define SEAL_KEY_SIZE 32
#define SEAL_EXTRA    28 /* nonce and tag */

void seal_close(const uint8_t key[static SEAL_KEY_SIZE],
                struct slice about,
                struct slice plain,
                struct buf *out);
/* False: another key, another row, or changed bytes; nothing is added to out then. */
bool seal_open(const uint8_t key[static SEAL_KEY_SIZE],
               struct slice about,
               struct slice sealed,
               struct buf *out);
