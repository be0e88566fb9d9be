/* Codes from HMAC, their URI, and recovery codes that forgive how people type. */
#include "server/totp.h"

#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"

enum { DIGITS = 6, WINDOW = 1 };

void totp_code(const uint8_t secret[static TOTP_SECRET_SIZE], int64_t step, char out[7])
{
    uint8_t counter[8], mac[CRYPTO_SHA1_SIZE];
    for (int i = 7; i >= 0; i--) {
        counter[i] = (uint8_t)((uint64_t)step >> (8 * (7 - i)));
    }
    crypto_hmac_sha1(slice_of(secret, TOTP_SECRET_SIZE), slice_of(counter, sizeof counter), mac);
    /* RFC 4226 section 5.3: dynamic truncation. */
    const uint8_t *p = mac + (mac[CRYPTO_SHA1_SIZE - 1] & 0xf);
    uint32_t n = (uint32_t)(p[0] & 0x7f) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    text_fit(out, 7, "%06u", (unsigned)(n % 1000000));
    secret_wipe(mac, sizeof mac);
}

/* Six digits, blanks skipped. */
static bool read_digits(struct slice code, char out[7])
{
    size_t n = 0;
    for (size_t i = 0; i < code.n; i++) {
        char c = code.p[i];
        if (c == ' ') {
            continue;
        }
        if (c < '0' || c > '9' || n == DIGITS) {
            return false;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return n == DIGITS;
}

bool totp_check(const uint8_t secret[static TOTP_SECRET_SIZE],
                struct slice code,
                struct wall now,
                int64_t last_step,
                int64_t *out_step)
{
    char typed[7], right[7];
    int64_t found = -1, at = now.s / TOTP_STEP_S;
    if (!read_digits(code, typed)) {
        return false;
    }
    for (int64_t step = at - WINDOW; step <= at + WINDOW; step++) {
        totp_code(secret, step, right);
        found = secret_eq(slice_str(typed), slice_str(right)) && step > last_step ? step : found;
    }
    secret_wipe(right, sizeof right);
    if (found < 0) {
        return false;
    }
    *out_step = found;
    return true;
}

void totp_base32(struct slice bytes, struct buf *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < bytes.n; i++) {
        bits = bits << 8 | (uint8_t)bytes.p[i];
        for (have += 8; have >= 5; have -= 5) {
            buf_addc(out, alphabet[bits >> (have - 5) & 31]);
        }
    }
    if (have) {
        buf_addc(out, alphabet[bits << (5 - have) & 31]);
    }
}

void totp_uri(const uint8_t secret[static TOTP_SECRET_SIZE],
              struct slice issuer,
              struct slice login,
              struct buf *out)
{
    buf_adds(out, "otpauth://totp/");
    text_percent(out, issuer);
    buf_addc(out, ':');
    text_percent(out, login);
    buf_adds(out, "?secret=");
    totp_base32(slice_of(secret, TOTP_SECRET_SIZE), out);
    buf_adds(out, "&issuer=");
    text_percent(out, issuer);
}

/* ---- recovery codes ---- */

enum { GROUP = 4, CHARS = 16 };

static void spread(const char raw[static CHARS], char out[RECOVERY_CODE_SIZE])
{
    size_t n = 0;
    for (size_t i = 0; i < CHARS; i++) {
        if (i && i % GROUP == 0) {
            out[n++] = '-';
        }
        out[n++] = raw[i];
    }
    out[n] = '\0';
}

void recovery_code(char out[RECOVERY_CODE_SIZE])
{
    char raw[CHARS + 1];
    secret_id(raw, CHARS);
    spread(raw, out);
    secret_wipe(raw, sizeof raw);
}

bool recovery_read(struct slice typed, char out[RECOVERY_CODE_SIZE])
{
    char raw[CHARS];
    size_t n = 0;
    for (size_t i = 0; i < typed.n; i++) {
        char c = typed.p[i];
        if (c == '-' || c == ' ') {
            continue;
        }
        c = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
        if (!good || n == CHARS) {
            return false;
        }
        /* Crockford: what looks alike is alike. */
        raw[n++] = (char)(c == 'i' || c == 'l' ? '1' : c == 'o' ? '0' : c);
    }
    if (n != CHARS) {
        return false;
    }
    spread(raw, out);
    secret_wipe(raw, sizeof raw);
    return true;
}
