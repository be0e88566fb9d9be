/*
 * Encodings and names. Decoders are strict (one spelling for one value), so
 * that a token or a name cannot be written in two ways.
 */
#include "lib/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char alphabet_std[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Takes the beginning of a UTF-8 character away from the end of text that was cut there. */
static void drop_half(char *text, size_t len)
{
    size_t lead = len;
    while (lead && len - lead < 4 && ((unsigned char)text[lead - 1] & 0xc0) == 0x80) {
        lead--;
    }
    if (!lead) {
        return;
    }
    unsigned char c = (unsigned char)text[lead - 1];
    size_t wanted = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    if (len - lead + 1 < wanted) {
        text[lead - 1] = '\0';
    }
}

void text_cut(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, size, fmt, ap);
    va_end(ap);
    if (n < 0) {
        out[0] = '\0';
    } else if ((size_t)n >= size) {
        drop_half(out, size - 1);
    }
}

void text_fit(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, size, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= size) {
        abort(); /* our own bound was wrong; half a path or a name would do harm */
    }
}

void text_hex(struct buf *out, struct slice bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        uint8_t v = (uint8_t)bytes.p[i];
        buf_addc(out, hex_digits[v >> 4]);
        buf_addc(out, hex_digits[v & 15]);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool text_unhex(struct slice hex, uint8_t *out, size_t out_len)
{
    if (hex.n != 2 * out_len) {
        return false;
    }
    for (size_t i = 0; i < hex.n; i++) {
        if (hex_value(hex.p[i]) < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < out_len; i++) {
        out[i] = (uint8_t)((unsigned)hex_value(hex.p[2 * i]) << 4 |
                           (unsigned)hex_value(hex.p[2 * i + 1]));
    }
    return true;
}

static void encode(struct buf *out, struct slice in, const char *alphabet, bool pad)
{
    for (size_t i = 0; i < in.n; i += 3) {
        size_t have = in.n - i < 3 ? in.n - i : 3;
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++) {
            v = v << 8 | (k < have ? (uint8_t)in.p[i + k] : 0);
        }
        for (size_t k = 0; k < 4; k++) {
            if (k <= have) {
                buf_addc(out, alphabet[v >> (18 - 6 * k) & 63]);
            } else if (pad) {
                buf_addc(out, '=');
            }
        }
    }
}

static int digit64(char c, const char *alphabet)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

static bool decode(struct slice in, struct buf *out, const char *alphabet)
{
    if (in.n % 4 == 1) {
        return false;
    }
    for (size_t i = 0; i < in.n; i += 4) {
        size_t have = in.n - i < 4 ? in.n - i : 4;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            int d = k < have ? digit64(in.p[i + k], alphabet) : 0;
            if (d < 0) {
                return false;
            }
            v = v << 6 | (uint32_t)d;
        }
        size_t bytes = have - 1;
        if (bytes < 3 && (v & (0xffffffu >> (8 * bytes)))) {
            return false; /* bits that say nothing must be zero */
        }
        for (size_t k = 0; k < bytes; k++) {
            buf_addc(out, (char)(v >> (16 - 8 * k)));
        }
    }
    return buf_ok(out);
}

void text_b64url(struct buf *out, struct slice bytes)
{
    encode(out, bytes, alphabet_url, false);
}

bool text_unb64url(struct slice text, struct buf *out)
{
    return decode(text, out, alphabet_url);
}

void text_b64(struct buf *out, struct slice bytes)
{
    encode(out, bytes, alphabet_std, true);
}

bool text_unb64(struct slice text, struct buf *out)
{
    if (text.n % 4) {
        return false;
    }
    for (int pads = 0; pads < 2 && text.n && text.p[text.n - 1] == '='; pads++) {
        text.n--;
    }
    return decode(text, out, alphabet_std);
}

static bool is_ldh(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

bool text_label(struct slice in)
{
    enum { LABEL_MAX = 63 };

    if (in.n == 0 || in.n > LABEL_MAX || in.p[0] == '-' || in.p[in.n - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < in.n; i++) {
        if (!is_ldh(in.p[i])) {
            return false;
        }
    }
    return true;
}

static bool all_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return s.n > 0;
}

bool text_name(struct slice in, enum text_name_flags flags, char out[TEXT_NAME_SIZE])
{
    char name[TEXT_NAME_SIZE];
    if (in.n && in.p[in.n - 1] == '.') {
        in.n--;
    }
    if (in.n == 0 || in.n >= sizeof name) {
        return false;
    }
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        name[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    name[in.n] = '\0';
    if (name[in.n - 1] == '.') {
        return false;
    }
    struct slice rest = slice_of(name, in.n), label = {NULL, 0};
    while (slice_split(&rest, '.', &label)) {
        struct slice check = label;
        if (flags == TEXT_NAME_UNDERSCORE && slice_starts(check, S("_"))) {
            check = slice_skip(check, 1);
        }
        if (label.n > 63 || !text_label(check)) {
            return false;
        }
    }
    if (all_digits(label)) {
        return false; /* no TLD is numeric: an IPv4 literal (RFC 3696 section 2) */
    }
    memcpy(out, name, in.n + 1);
    return true;
}

/* Decodes one sequence; its length, or 0 when it is not valid UTF-8 (RFC 3629). */
static size_t utf8_next(struct slice s, uint32_t *out_point)
{
    uint8_t c = (uint8_t)s.p[0];
    if (c < 0x80) {
        *out_point = c;
        return 1;
    }
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || s.n < len) {
        return 0;
    }
    uint32_t v = c & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        uint8_t t = (uint8_t)s.p[i];
        if ((t & 0xc0) != 0x80) {
            return 0;
        }
        v = v << 6 | (t & 0x3f);
    }
    if ((len == 3 && v < 0x800) || (len == 4 && v < 0x10000) || v > 0x10ffff ||
        (v >= 0xd800 && v <= 0xdfff)) {
        return 0;
    }
    *out_point = v;
    return len;
}

/* Most text is ASCII: eight bytes at once while it is. */
static struct slice skip_ascii(struct slice s)
{
    uint64_t v;
    while (s.n >= sizeof v) {
        memcpy(&v, s.p, sizeof v);
        if (v & 0x8080808080808080u) {
            break;
        }
        s = slice_of(s.p + sizeof v, s.n - sizeof v);
    }
    return s;
}

bool text_utf8_valid(struct slice s)
{
    uint32_t point;
    while ((s = skip_ascii(s)).n) {
        size_t len = utf8_next(s, &point);
        if (!len) {
            return false;
        }
        s = slice_skip(s, len);
    }
    return true;
}

/* Characters that change how the text around them is shown. */
static bool deceives(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

bool text_printable(struct slice s, size_t max)
{
    if (s.n > max) {
        return false;
    }
    while (s.n) {
        uint32_t point;
        size_t len = utf8_next(s, &point);
        if (!len || deceives(point)) {
            return false;
        }
        s = slice_skip(s, len);
    }
    return true;
}

void text_plain(struct buf *out, struct slice s)
{
    while (s.n) {
        uint32_t point;
        size_t len = utf8_next(s, &point);
        if (len && !deceives(point)) {
            buf_add(out, slice_sub(s, 0, len));
        } else {
            buf_addc(out, '?');
        }
        s = slice_skip(s, len ? len : 1);
    }
}

void text_percent(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            buf_addc(out, c);
        } else {
            buf_addf(out, "%%%02X", (unsigned)(uint8_t)c);
        }
    }
}
