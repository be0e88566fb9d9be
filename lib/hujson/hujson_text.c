/*
 * What a string literal says, and the shortest literal that says it. Strings
 * without a backslash are their own text, so readers borrow them.
 */
#include "lib/hujson/hujson_priv.h"

static const char escape_names[] = "\"\\/bfnrt", escape_bytes[] = "\"\\/\b\f\n\r\t";

static uint32_t hex4(const uint8_t *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        v = v << 4 | (p[i] <= '9' ? p[i] - 0x30u : (p[i] | 0x20u) - 0x61u + 10u);
    }
    return v;
}

static void put_rune(struct buf *out, uint32_t c)
{
    char b[4];
    size_t n;
    if (c < 0x80) {
        b[0] = (char)c;
        n = 1;
    } else if (c < 0x800) {
        b[0] = (char)(0xc0 | c >> 6);
        n = 2;
    } else if (c < 0x10000) {
        b[0] = (char)(0xe0 | c >> 12);
        n = 3;
    } else {
        b[0] = (char)(0xf0 | c >> 18);
        n = 4;
    }
    for (size_t i = 1; i < n; i++) {
        b[i] = (char)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
    }
    buf_add(out, slice_of(b, n));
}

/* Four digits, with the second half where they are a surrogate pair; NULL when refused. */
static const uint8_t *
decode_unit(const uint8_t *p, const uint8_t *end, enum hujson_lone lone, struct buf *out)
{
    uint32_t c = hex4(p), low;
    p += 4;
    if (c >= 0xd800 && c <= 0xdfff) {
        bool pair = c <= 0xdbff && end - p >= 6 && p[0] == '\\' && p[1] == 'u';
        low = pair ? hex4(p + 2) : 0;
        if (low >= 0xdc00 && low <= 0xdfff) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            p += 6;
        } else if (lone == HUJSON_LONE_REFUSE) {
            return NULL;
        } else if (lone == HUJSON_LONE_REPLACE) {
            c = 0xfffd;
        }
    } else if (c == 0 && lone == HUJSON_LONE_REFUSE) {
        return NULL;
    }
    put_rune(out, c);
    return p;
}

bool hujson_decode(struct slice literal, enum hujson_lone lone, struct buf *out)
{
    const uint8_t *p = (const uint8_t *)literal.p + 1,
                  *end = (const uint8_t *)literal.p + literal.n - 1;
    while (p < end) {
        const uint8_t *slash = memchr(p, '\\', (size_t)(end - p));
        buf_add(out, slice_of(p, (size_t)((slash ? slash : end) - p)));
        if (!slash) {
            break;
        }
        p = slash + 2;
        if (slash[1] != 'u') {
            buf_addc(out, escape_bytes[strchr(escape_names, slash[1]) - escape_names]);
        } else if (!(p = decode_unit(p, end, lone, out))) {
            return false;
        }
    }
    return buf_ok(out);
}

void hujson_encode(struct slice text, struct buf *out)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        const char *named = c && c != '/' ? strchr(escape_bytes, c) : NULL;
        if (named) {
            buf_addc(out, '\\');
            buf_addc(out, escape_names[named - escape_bytes]);
        } else if ((uint8_t)c < 0x20) {
            buf_addf(out, "\\u%04x", (unsigned)c);
        } else {
            buf_addc(out, c);
        }
    }
    buf_addc(out, '"');
}

bool hujson_reencode(struct slice literal, struct buf *scratch, struct buf *out)
{
    buf_clear(scratch);
    if (!hujson_decode(literal, HUJSON_LONE_REPLACE, scratch)) {
        return false;
    }
    hujson_encode(buf_slice(scratch), out);
    return buf_ok(out);
}
