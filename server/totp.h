#pragma once
/*
 * One-time codes (RFC 6238: HMAC-SHA-1, 30 s, six digits, as every authenticator app reads them)
 * and the recovery codes beside them.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/slice.h"

#define TOTP_SECRET_SIZE 20 /* RFC 4226 section 4, R6: 160 bits */
#define TOTP_STEP_S      30

/* The code of one step, "000000".."999999". */
void totp_code(const uint8_t secret[static TOTP_SECRET_SIZE], int64_t step, char out[7]);
/* Is this a code of now, one step before or after, and of a step later than last_step (a code is
 * taken once)? *out_step is its step. Blanks in the code are skipped. Constant time over the
 * window. */
bool totp_check(const uint8_t secret[static TOTP_SECRET_SIZE],
                struct slice code,
                struct wall now,
                int64_t last_step,
                int64_t *out_step);
/* otpauth://totp/ISSUER:LOGIN?secret=…&issuer=… */
void totp_uri(const uint8_t secret[static TOTP_SECRET_SIZE],
              struct slice issuer,
              struct slice login,
              struct buf *out);
void totp_base32(struct slice bytes, struct buf *out);

#define RECOVERY_CODES     8
#define RECOVERY_CODE_SIZE 20 /* "xxxx-xxxx-xxxx-xxxx" */
/* 80 bits in Crockford base32. */
void recovery_code(char out[RECOVERY_CODE_SIZE]);
/* As typed: upper case, blanks and missing hyphens forgiven. False: not of that shape. */
bool recovery_read(struct slice typed, char out[RECOVERY_CODE_SIZE]);
