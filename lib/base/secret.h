#pragma once
/* Secrets: random bytes, constant-time compare, wiping, reading `file:` references. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/slice.h"

void secret_random(void *out, size_t n);        /* getrandom(2); aborts when the kernel has none */
bool secret_eq(struct slice a, struct slice b); /* time depends on the lengths only */
void secret_wipe(void *p, size_t n);
void secret_wipe_buf(struct buf *b); /* wipes, then deinits */
/* n characters of Crockford base32 in lower case (no i, l, o, u), with a final NUL; out holds n
 * + 1. */
void secret_id(char *out, size_t n);

/*
 * Reads "file:PATH" (one trailing newline dropped) or "-" (stdin); anything
 * else is SECRET_INLINE: secrets never stand in argv. At most 4 KiB.
 */
enum { SECRET_INLINE = 1 };

int secret_read_ref(struct slice ref, struct buf *out) MUST_CHECK;
