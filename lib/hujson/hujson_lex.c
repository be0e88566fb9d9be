/*
 * The words of the language: white space, comments, strings, numbers and
 * literals, and what to say about a byte that is none of these. Strings and
 * words are first read to their end and then judged as a whole, as the
 * reference does, because that decides where an error is reported.
 */
#include <stdio.h>

#include "lib/base/text.h"
#include "lib/hujson/hujson_priv.h"

/* ---- diagnostics ---- */

bool hujson_fail(struct hujson_lexer *lx, uint32_t offset, const char *text)
{
    struct hujson_diag *d = lx->diag;
    const uint8_t *line = lx->p, *end = lx->p + offset;
    d->line = 1;
    for (const uint8_t *lf; line < end && (lf = memchr(line, '\n', (size_t)(end - line)));) {
        line = lf + 1;
        d->line++;
    }
    d->column = (int)(end - line) + 1;
    d->offset = offset;
    d->hint = NULL;
    (void)snprintf(d->text, sizeof d->text, "%s", text);
    return false;
}

size_t hujson_rune(struct slice text, size_t at, uint32_t *out_rune)
{
    static const uint8_t first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const uint8_t *p = (const uint8_t *)text.p + at;
    for (size_t n = 1; n <= 4 && at + n <= text.n; n++) {
        if (text_utf8_valid(slice_of(p, n))) {
            uint32_t rune = p[0] & first_bits[n];
            for (size_t i = 1; i < n; i++) {
                rune = rune << 6 | (p[i] & 0x3fu);
            }
            *out_rune = rune;
            return n;
        }
    }
    return 0;
}

/*
 * Characters that show nothing or that change how their neighbours show: controls, formats,
 * separators, private use and the large unassigned blocks. They are written as escapes.
 */
bool hujson_is_printable(uint32_t rune)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        {0x0000, 0x001f},   {0x007f, 0x00a0},   {0x00ad, 0x00ad},    {0x0600, 0x0605},
        {0x061c, 0x061c},   {0x06dd, 0x06dd},   {0x070f, 0x070f},    {0x0890, 0x0891},
        {0x08e2, 0x08e2},   {0x1680, 0x1680},   {0x180e, 0x180e},    {0x2000, 0x200f},
        {0x2028, 0x202f},   {0x205f, 0x206f},   {0x3000, 0x3000},    {0xd7fc, 0xf8ff},
        {0xfdd0, 0xfdef},   {0xfeff, 0xfeff},   {0xfff0, 0xfffb},    {0xfffe, 0xffff},
        {0x110bd, 0x110bd}, {0x110cd, 0x110cd}, {0x13430, 0x1343f},  {0x1bca0, 0x1bca3},
        {0x1d173, 0x1d17a}, {0x323b0, 0xe00ff}, {0xe01f0, 0x10ffff},
    };

    for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
        if (rune >= hidden[i].first && rune <= hidden[i].last) {
            return false;
        }
    }
    return true;
}

bool hujson_fail_char(struct hujson_lexer *lx, uint32_t offset, const char *where)
{
    char what[16], text[120];
    uint32_t rune = 0;
    size_t n = hujson_rune(slice_of(lx->p, lx->size), offset, &rune);
    if (n == 0) {
        (void)snprintf(what, sizeof what, "\\x%02x", lx->p[offset]);
    } else if (rune == '\'' || rune == '\\') {
        (void)snprintf(what, sizeof what, "\\%c", (char)rune);
    } else if (hujson_is_printable(rune)) {
        (void)snprintf(what, sizeof what, "%.*s", (int)n, (const char *)lx->p + offset);
    } else {
        (void)snprintf(what, sizeof what, rune < 0x10000 ? "\\u%04x" : "\\U%08x", rune);
    }
    (void)snprintf(text, sizeof text, "invalid character '%s' %s", what, where);
    hujson_fail(lx, offset, text);
    if (rune == 0xfeff) {
        lx->diag->hint = "this is a byte order mark: save the file without it";
    }
    return false;
}

/* The literal as it is written; cut between two characters where it is longer than a message. */
static bool fail_literal(struct hujson_lexer *lx, uint32_t start, uint32_t end)
{
    static const char intro[] = "invalid literal: ";
    char text[sizeof lx->diag->text];
    size_t room = sizeof text - sizeof intro, n = end - start, used = sizeof intro - 1;
    if (n > room) {
        for (n = room; (lx->p[start + n] & 0xc0) == 0x80;) {
            n--;
        }
    }
    memcpy(text, intro, sizeof intro);
    memcpy(text + used, lx->p + start, n);
    text[used + n] = 0;
    for (size_t i = used; i < used + n; i++) {
        if (!text[i]) {
            text[i] = '?'; /* a C string cannot hold it */
        }
    }
    return hujson_fail(lx, start, text);
}

/* ---- white space and comments ---- */

const uint8_t *hujson_comment_end(const uint8_t *p, const uint8_t *end)
{
    bool line = p[1] == '/';
    p += 2;
    while (p < end && (p = memchr(p, line ? '\n' : '*', (size_t)(end - p)))) {
        p++;
        if (line) {
            return p;
        }
        if (p < end && *p == '/') {
            return p + 1;
        }
    }
    return NULL;
}

static bool take_comment(struct hujson_lexer *lx)
{
    const uint8_t *p = lx->p + lx->at, *end = hujson_comment_end(p, lx->p + lx->size);
    if (!end) {
        return hujson_fail(lx, lx->at, "parsing comment: unexpected EOF");
    }
    if (!text_utf8_valid(slice_of(p, (size_t)(end - p)))) {
        return hujson_fail(lx, lx->at, "invalid UTF-8 in comment");
    }
    lx->at = (uint32_t)(end - lx->p);
    return true;
}

bool hujson_take_extra(struct hujson_lexer *lx)
{
    while (lx->at < lx->size) {
        const uint8_t *p = lx->p + lx->at;
        if (hujson_is_space(*p)) {
            lx->at++;
        } else if (*p != '/' || lx->at + 1 == lx->size || (p[1] != '/' && p[1] != '*')) {
            break;
        } else if (!take_comment(lx)) {
            return false;
        }
    }
    return true;
}

/* ---- strings ---- */

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Judges the escapes of a string whose closing quote has been found. */
static bool valid_escapes(const uint8_t *p, const uint8_t *end)
{
    static const uint8_t escapes[] = {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'};
    while ((p = memchr(p, '\\', (size_t)(end - p)))) {
        p++; /* the scan made sure that a byte follows */
        if (*p == 'u') {
            if (end - p < 5 || !is_hex(p[1]) || !is_hex(p[2]) || !is_hex(p[3]) || !is_hex(p[4])) {
                return false;
            }
            p += 5;
        } else if (!memchr(escapes, *p, sizeof escapes)) {
            return false;
        } else {
            p++;
        }
    }
    return true;
}

/* Bytes that stop the quick walk through a string. */
enum { TEXT = 0, QUOTE = 1, ESCAPE = 2, CONTROL = 4, HIGH = 8 };

static uint8_t class_of(uint8_t c)
{
    return c == '"' ? QUOTE : c == '\\' ? ESCAPE : c < 0x20 ? CONTROL : c >= 0x80 ? HIGH : TEXT;
}

/* The top bit of each byte of `v` that is zero; also of others, but only when there is one. */
static uint64_t zero_bytes(uint64_t v)
{
    return (v - 0x0101010101010101u) & ~v & 0x8080808080808080u;
}

/* Eight bytes of plain text: no quote, backslash, control or high byte among them. */
static bool is_text8(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    uint64_t control = (v - 0x2020202020202020u) & ~v;
    return !(
        (control | v | zero_bytes(v ^ 0x2222222222222222u) | zero_bytes(v ^ 0x5c5c5c5c5c5c5c5cu)) &
        0x8080808080808080u);
}

/* The closing quote, or end or beyond. */
static const uint8_t *scan_string(const uint8_t *p, const uint8_t *end, uint8_t *out_seen)
{
    for (;;) {
        while (end - p >= 8 && is_text8(p)) {
            p += 8;
        }
        uint8_t c = TEXT;
        while (p < end && (c = class_of(*p)) == TEXT) {
            p++;
        }
        if (p >= end || c == QUOTE) {
            return p;
        }
        *out_seen |= c;
        p += c == ESCAPE ? 2 : 1;
    }
}

bool hujson_take_string(struct hujson_lexer *lx, struct hujson_node *n)
{
    const uint8_t *start = lx->p + lx->at, *end = lx->p + lx->size;
    uint8_t seen = 0;
    const uint8_t *p = scan_string(start + 1, end, &seen);
    if (p >= end) {
        return hujson_fail(lx, lx->size, "parsing string: unexpected EOF");
    }
    n->kind = HUJSON_STRING;
    n->start = lx->at;
    n->end = (uint32_t)(p + 1 - lx->p);
    n->escaped = seen & ESCAPE;
    if (seen & HIGH && !text_utf8_valid(slice_of(start, (size_t)(p - start)))) {
        return hujson_fail(lx, n->start, "invalid UTF-8 in string");
    }
    if (seen & CONTROL || (n->escaped && !valid_escapes(start + 1, p))) {
        return fail_literal(lx, n->start, n->end);
    }
    lx->at = n->end;
    return true;
}

/* ---- words and numbers ---- */

bool hujson_is_word_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '+' || c == '.';
}

static size_t digits(struct slice s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9') {
        n++;
    }
    return n;
}

/* RFC 8259 section 6. */
static bool is_number(struct slice s)
{
    if (slice_starts(s, S("-"))) {
        s = slice_skip(s, 1);
    }
    size_t n = digits(s);
    if (!n || (n > 1 && s.p[0] == '0')) {
        return false;
    }
    s = slice_skip(s, n);
    if (slice_starts(s, S("."))) {
        n = digits(slice_skip(s, 1));
        if (!n) {
            return false;
        }
        s = slice_skip(s, n + 1);
    }
    if (s.n && (s.p[0] == 'e' || s.p[0] == 'E')) {
        s = slice_skip(s, 1);
        if (s.n && (s.p[0] == '+' || s.p[0] == '-')) {
            s = slice_skip(s, 1);
        }
        n = digits(s);
        return n && n == s.n;
    }
    return s.n == 0;
}

bool hujson_take_word(struct hujson_lexer *lx, struct hujson_node *n)
{
    uint32_t end = lx->at;
    while (end < lx->size && hujson_is_word_byte(lx->p[end])) {
        end++;
    }
    struct slice word = slice_of(lx->p + lx->at, end - lx->at);
    if (slice_eq(word, S("null"))) {
        n->kind = HUJSON_NULL;
    } else if (slice_eq(word, S("true"))) {
        n->kind = HUJSON_TRUE;
    } else if (slice_eq(word, S("false"))) {
        n->kind = HUJSON_FALSE;
    } else if (is_number(word)) {
        n->kind = HUJSON_NUMBER;
    } else {
        return fail_literal(lx, lx->at, end);
    }
    n->start = lx->at;
    n->end = end;
    lx->at = end;
    return true;
}
