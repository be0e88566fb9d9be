/*
 * The tree: every node keeps the span of its value, the span of the white
 * space and comments before and after it, and a composite whether it ends in
 * a trailing comma. All spans point into the document's own copy of the text,
 * so printing from the tree is concatenation and loses nothing.
 * Parsing walks an explicit stack: depth costs heap that is counted, not C
 * stack.
 */
#include "lib/hujson/hujson.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/* An offset fits 32 bits: documents are small. */
struct hujson_node {
    enum hujson_kind kind;
    uint32_t before; /* start of the extra before the value */
    uint32_t start;  /* first byte of the value */
    uint32_t end;    /* one past its last byte */
    uint32_t after;  /* one past the extra behind it */
    bool trailing;   /* composite: a comma stands before the closer */
    uint32_t tail;   /* composite: start of the extra before the closer (behind a trailing comma) */
    uint32_t count;
    struct member *members;
};

struct member {
    struct hujson_node name; /* kind HUJSON_STRING; unused in arrays */
    struct hujson_node value;
    struct member *next; /* while parsing: a list; afterwards members are an array */
};

struct hujson_doc {
    struct arena *arena;
    char *text;
    uint32_t size;
    struct hujson_node root;
    uint32_t *lines; /* offset of the first byte of each line */
    uint32_t line_count;
};

/* A composite that is still open. */
struct frame {
    struct hujson_node *node;
    struct member *first, *last;
};

struct parser {
    struct hujson_doc *doc;
    const uint8_t *p;
    uint32_t at, size;
    struct hujson_diag *diag;
    struct frame stack[HUJSON_DEPTH_MAX];
    uint32_t depth;
    bool no_memory;
};

/* ---- diagnostics ---- */

void hujson_position(const struct hujson_doc *d, size_t offset, int *out_line, int *out_column)
{
    uint32_t low = 0, high = d->line_count;
    while (high - low > 1) {
        uint32_t mid = (low + high) / 2;
        if (d->lines[mid] <= offset) {
            low = mid;
        } else {
            high = mid;
        }
    }
    *out_line = (int)low + 1;
    *out_column = (int)(offset - d->lines[low]) + 1;
}

static bool fail(struct parser *ps, uint32_t offset, const char *text)
{
    struct hujson_diag *d = ps->diag;
    hujson_position(ps->doc, offset, &d->line, &d->column);
    d->offset = offset;
    snprintf(d->text, sizeof d->text, "%s", text);
    return false;
}

/* How many bytes of a valid UTF-8 sequence start here, 0 when none. */
static uint32_t rune_length(const struct parser *ps, uint32_t at)
{
    for (uint32_t n = 1; n <= 4 && at + n <= ps->size; n++) {
        if (text_utf8_valid(slice_of(ps->p + at, n))) {
            return n;
        }
    }
    return 0;
}

static bool fail_char(struct parser *ps, const char *where)
{
    char what[32], text[160];
    uint8_t c = ps->p[ps->at];
    uint32_t n = rune_length(ps, ps->at);
    if (n == 3 && memcmp(ps->p + ps->at, "\xef\xbb\xbf", 3) == 0) {
        return fail(
            ps, ps->at,
            "invalid character '\\ufeff' at start of value (a byte order mark: save without it)");
    }
    if (c == '\'' || c == '\\') {
        snprintf(what, sizeof what, "\\%c", c);
    } else if (n == 0) {
        snprintf(what, sizeof what, "\\x%02x", c);
    } else if (c < 0x20 || c == 0x7f || (c == 0xc2 && ps->p[ps->at + 1] <= 0xa0)) {
        snprintf(what, sizeof what, "\\u%04x",
                 (unsigned)(c == 0xc2 ? ps->p[ps->at + 1] : c)); /* controls and NBSP */
    } else {
        snprintf(what, sizeof what, "%.*s", (int)n, (const char *)ps->p + ps->at);
    }
    snprintf(text, sizeof text, "invalid character '%s' %s", what, where);
    return fail(ps, ps->at, text);
}

/* ---- white space and comments ---- */

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool take_comment(struct parser *ps)
{
    uint32_t start = ps->at, end = 0;
    bool line = ps->p[ps->at + 1] == '/';
    for (uint32_t i = start + 2; i < ps->size && !end; i++) {
        if (line && ps->p[i] == '\n') {
            end = i + 1;
        } else if (!line && ps->p[i] == '*' && i + 1 < ps->size && ps->p[i + 1] == '/') {
            end = i + 2;
        }
    }
    if (!end) {
        return fail(ps, start, "parsing comment: unexpected EOF");
    }
    if (!text_utf8_valid(slice_of(ps->p + start, end - start))) {
        return fail(ps, start, "invalid UTF-8 in comment");
    }
    ps->at = end;
    return true;
}

static bool at_comment(const struct parser *ps)
{
    return ps->p[ps->at] == '/' && ps->at + 1 < ps->size &&
           (ps->p[ps->at + 1] == '/' || ps->p[ps->at + 1] == '*');
}

static bool take_extra(struct parser *ps)
{
    while (ps->at < ps->size) {
        if (is_space(ps->p[ps->at])) {
            ps->at++;
        } else if (!at_comment(ps)) {
            break;
        } else if (!take_comment(ps)) {
            return false;
        }
    }
    return true;
}

/* ---- literals ---- */

static bool hex4(const uint8_t *p, const uint8_t *end, uint32_t *out)
{
    uint8_t two[2];
    if (end - p < 4 || !text_unhex(slice_of(p, 4), two, 2)) {
        return false;
    }
    *out = (uint32_t)two[0] << 8 | two[1];
    return true;
}

/* Judges the inside of a string whose closing quote has been found. */
static bool valid_string(const uint8_t *p, const uint8_t *end)
{
    uint32_t unit;
    for (; p < end; p++) {
        if (*p < 0x20) {
            return false;
        }
        if (*p != '\\') {
            continue;
        }
        p++; /* the scan made sure that a byte follows */
        if (*p == 'u') {
            if (!hex4(p + 1, end, &unit)) {
                return false;
            }
            p += 4;
        } else if (!memchr("\"\\/bfnrt", *p, 8)) {
            return false;
        }
    }
    return true;
}

static bool fail_literal(struct parser *ps, uint32_t start, uint32_t end)
{
    enum { SHOWN = 60 };

    char text[128];
    uint32_t n = end - start < SHOWN ? end - start : SHOWN;
    snprintf(text, sizeof text, "invalid literal: %.*s", (int)n, (const char *)ps->p + start);
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f) {
            *c = '?';
        }
    }
    return fail(ps, start, text);
}

static bool take_string(struct parser *ps, struct hujson_node *n)
{
    uint32_t i = ps->at + 1;
    while (i < ps->size && ps->p[i] != '"') {
        i += ps->p[i] == '\\' ? 2 : 1;
    }
    if (i >= ps->size) {
        return fail(ps, ps->size, "parsing string: unexpected EOF");
    }
    n->kind = HUJSON_STRING;
    n->start = ps->at;
    n->end = i + 1;
    if (!valid_string(ps->p + n->start + 1, ps->p + i)) {
        return fail_literal(ps, n->start, n->end);
    }
    if (!text_utf8_valid(slice_of(ps->p + n->start, n->end - n->start))) {
        return fail(ps, n->start, "invalid UTF-8 in string");
    }
    ps->at = n->end;
    return true;
}

static bool is_word(uint8_t c)
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

static bool take_word(struct parser *ps, struct hujson_node *n)
{
    uint32_t end = ps->at;
    while (end < ps->size && is_word(ps->p[end])) {
        end++;
    }
    struct slice word = slice_of(ps->p + ps->at, end - ps->at);
    if (slice_eq(word, S("null"))) {
        n->kind = HUJSON_NULL;
    } else if (slice_eq(word, S("true"))) {
        n->kind = HUJSON_TRUE;
    } else if (slice_eq(word, S("false"))) {
        n->kind = HUJSON_FALSE;
    } else if (is_number(word)) {
        n->kind = HUJSON_NUMBER;
    } else {
        return fail_literal(ps, ps->at, end);
    }
    n->start = ps->at;
    n->end = end;
    ps->at = end;
    return true;
}

/* ---- composites ---- */

static bool is_object(const struct frame *f)
{
    return f->node->kind == HUJSON_OBJECT;
}

static struct frame *top(struct parser *ps)
{
    return &ps->stack[ps->depth - 1];
}

static bool open_composite(struct parser *ps, struct hujson_node *n)
{
    if (ps->depth == HUJSON_DEPTH_MAX) {
        return fail(ps, ps->at, "nesting too deep (more than 128 levels)");
    }
    n->kind = ps->p[ps->at] == '{' ? HUJSON_OBJECT : HUJSON_ARRAY;
    n->start = ps->at++;
    ps->stack[ps->depth++] = (struct frame){.node = n};
    return true;
}

/* List to array: values are then reached by index, and their addresses do not change any more. */
static bool close_composite(struct parser *ps)
{
    struct frame *f = &ps->stack[--ps->depth];
    struct hujson_node *n = f->node;
    ps->at++;
    n->end = ps->at;
    if (n->count) {
        n->members = arena_alloc(ps->doc->arena, n->count * sizeof *n->members);
        if (!n->members) {
            ps->no_memory = true;
            return false;
        }
        struct member *out = n->members;
        for (struct member *m = f->first; m; m = m->next) {
            *out++ = *m;
        }
    }
    return true;
}

static struct member *add_member(struct parser *ps)
{
    struct frame *f = top(ps);
    struct member *m = arena_alloc(ps->doc->arena, sizeof *m);
    if (!m) {
        ps->no_memory = true;
        return NULL;
    }
    if (f->last) {
        f->last->next = m;
    } else {
        f->first = m;
    }
    f->last = m;
    f->node->count++;
    return m;
}

static bool take_value(struct parser *ps, struct hujson_node *n, bool *out_open);

/* Something else where a name must stand: its own error if it has one, else that it is no name. */
static bool refuse_name(struct parser *ps)
{
    struct hujson_node other = {.kind = HUJSON_NULL};
    bool open;
    uint32_t start = ps->at;
    if (!take_value(ps, &other, &open)) {
        return false;
    }
    ps->at = start;
    return fail_char(ps, "at start of object name");
}

/* `"name" :` up to the colon; `before` is where its extra began. */
static bool take_name(struct parser *ps, struct hujson_node *name, uint32_t before)
{
    name->before = before;
    if (ps->at >= ps->size || ps->p[ps->at] != '"') {
        return refuse_name(ps);
    }
    if (!take_string(ps, name) || !take_extra(ps)) {
        return false;
    }
    name->after = ps->at;
    if (ps->at >= ps->size) {
        return fail(ps, ps->size, "parsing object after name: unexpected EOF");
    }
    if (ps->p[ps->at] != ':') {
        return fail_char(ps, "after object name (expecting ':')");
    }
    ps->at++;
    return true;
}

/* The state after an opener, a comma or a value, as one function each: the next value's place, or
 * the closer. */
enum step { STEP_VALUE, STEP_CLOSED, STEP_FAIL };

static enum step next_value(struct parser *ps, uint32_t before, struct hujson_node **out_value)
{
    struct member *m = add_member(ps);
    if (!m) {
        return STEP_FAIL;
    }
    m->value.before = before;
    if (is_object(top(ps))) {
        if (!take_name(ps, &m->name, before)) {
            return STEP_FAIL;
        }
        m->value.before = ps->at;
        if (!take_extra(ps)) {
            return STEP_FAIL;
        }
    }
    *out_value = &m->value;
    return STEP_VALUE;
}

static bool at_closer(const struct parser *ps, const struct frame *f)
{
    return ps->at < ps->size && ps->p[ps->at] == (is_object(f) ? '}' : ']');
}

static enum step after_open(struct parser *ps, struct hujson_node **out_value)
{
    struct frame *f = top(ps);
    uint32_t before = ps->at;
    if (!take_extra(ps)) {
        return STEP_FAIL;
    }
    if (at_closer(ps, f)) {
        f->node->tail = before;
        return close_composite(ps) ? STEP_CLOSED : STEP_FAIL;
    }
    return next_value(ps, before, out_value);
}

static enum step after_value(struct parser *ps, struct hujson_node **out_value)
{
    struct frame *f = top(ps);
    f->last->value.after = ps->at;
    if (at_closer(ps, f)) {
        f->node->tail = ps->at;
        return close_composite(ps) ? STEP_CLOSED : STEP_FAIL;
    }
    if (ps->at >= ps->size) {
        fail(ps, ps->size,
             is_object(f) ? "parsing object after value: unexpected EOF"
                          : "parsing array after value: unexpected EOF");
        return STEP_FAIL;
    }
    if (ps->p[ps->at] != ',') {
        fail_char(ps, is_object(f) ? "after object value (expecting ',' or '}')"
                                   : "after array value (expecting ',' or ']')");
        return STEP_FAIL;
    }
    uint32_t before = ++ps->at;
    if (!take_extra(ps)) {
        return STEP_FAIL;
    }
    if (at_closer(ps, f)) {
        f->node->trailing = true;
        f->node->tail = before;
        return close_composite(ps) ? STEP_CLOSED : STEP_FAIL;
    }
    return next_value(ps, before, out_value);
}

/* One value's own bytes; *out_open when a composite has begun. */
static bool take_value(struct parser *ps, struct hujson_node *n, bool *out_open)
{
    *out_open = false;
    if (ps->at >= ps->size) {
        return fail(ps, ps->size, "parsing value: unexpected EOF");
    }
    uint8_t c = ps->p[ps->at];
    if (c == '{' || c == '[') {
        *out_open = true;
        return open_composite(ps, n);
    }
    if (c == '"') {
        return take_string(ps, n);
    }
    return is_word(c) ? take_word(ps, n) : fail_char(ps, "at start of value");
}

static bool parse_all(struct parser *ps)
{
    struct hujson_node *value = &ps->doc->root;
    if (!take_extra(ps)) {
        return false;
    }
    for (;;) {
        bool open;
        if (!take_value(ps, value, &open)) {
            return false;
        }
        enum step st = open ? after_open(ps, &value) : STEP_CLOSED;
        while (st == STEP_CLOSED) {
            if (!take_extra(ps)) {
                return false;
            }
            if (!ps->depth) {
                ps->doc->root.after = ps->at;
                return ps->at == ps->size || fail_char(ps, "after top-level value");
            }
            st = after_value(ps, &value);
        }
        if (st == STEP_FAIL) {
            return false;
        }
    }
}

/* ---- the document ---- */

static bool index_lines(struct hujson_doc *d)
{
    uint32_t count = 1;
    for (uint32_t i = 0; i < d->size; i++) {
        count += d->text[i] == '\n';
    }
    d->lines = arena_alloc(d->arena, count * sizeof *d->lines);
    if (!d->lines) {
        return false;
    }
    d->lines[d->line_count++] = 0;
    for (uint32_t i = 0; i < d->size; i++) {
        if (d->text[i] == '\n') {
            d->lines[d->line_count++] = i + 1;
        }
    }
    return true;
}

void hujson_free(struct hujson_doc *d)
{
    if (d) {
        arena_free(d->arena);
        mem_free(d);
    }
}

int hujson_parse(struct slice text,
                 size_t max,
                 struct hujson_diag *out_diag,
                 struct hujson_doc **out_doc)
{
    enum {
        NODES_PER_BYTE = 260
    }; /* "[1,1,1…": two bytes of text make one list entry and one array entry */

    if (text.n > max || text.n > UINT32_MAX / 4) {
        *out_diag = (struct hujson_diag){.line = 1, .column = 1};
        snprintf(out_diag->text, sizeof out_diag->text,
                 "the document has %zu bytes; at most %zu are allowed", text.n, max);
        return HUJSON_TOO_BIG;
    }
    AUTO(hujson_freep) struct hujson_doc *d = mem_new(sizeof *d);
    d->arena = arena_new(text.n * NODES_PER_BYTE + 64 * KIB);
    d->text = arena_alloc(d->arena, text.n + 1);
    d->size = (uint32_t)text.n;
    if (!d->text) {
        return err_origin(-ENOMEM);
    }
    if (text.n) {
        memcpy(d->text, text.p, text.n);
    }
    struct parser *ps = mem_new(sizeof *ps);
    *ps =
        (struct parser){.doc = d, .p = (const uint8_t *)d->text, .size = d->size, .diag = out_diag};
    bool ok = index_lines(d) && parse_all(ps);
    bool no_memory = ps->no_memory || !d->lines;
    mem_free(ps);
    if (!ok) {
        return no_memory ? err_origin(-ENOMEM) : HUJSON_SYNTAX;
    }
    *out_doc = STEAL(d);
    return 0;
}

struct slice hujson_text(const struct hujson_doc *d)
{
    return slice_of(d->text, d->size);
}

const struct hujson_node *hujson_root(const struct hujson_doc *d)
{
    return &d->root;
}

/* ---- printing: the tree must say every byte ---- */

static void put_span(const struct hujson_doc *d, uint32_t from, uint32_t to, struct buf *out)
{
    buf_add(out, slice_of(d->text + from, to - from));
}

struct print_frame {
    const struct hujson_node *node;
    uint32_t next;
};

static void put_open(const struct hujson_doc *d, const struct hujson_node *n, struct buf *out)
{
    put_span(d, n->before, n->start, out);
    if (n->kind == HUJSON_OBJECT || n->kind == HUJSON_ARRAY) {
        buf_addc(out, n->kind == HUJSON_OBJECT ? '{' : '[');
    } else {
        put_span(d, n->start, n->end, out);
        put_span(d, n->end, n->after, out);
    }
}

static void put_close(const struct hujson_doc *d, const struct hujson_node *n, struct buf *out)
{
    if (n->trailing) {
        buf_addc(out, ',');
    }
    if (n->trailing || !n->count) {
        put_span(d, n->tail, n->end - 1, out);
    }
    buf_addc(out, n->kind == HUJSON_OBJECT ? '}' : ']');
    put_span(d, n->end, n->after, out);
}

void hujson_print(const struct hujson_doc *d, struct buf *out)
{
    struct print_frame stack[HUJSON_DEPTH_MAX];
    uint32_t depth = 0;
    const struct hujson_node *n = &d->root;
    for (;;) {
        put_open(d, n, out);
        if (n->kind == HUJSON_OBJECT || n->kind == HUJSON_ARRAY) {
            stack[depth++] = (struct print_frame){.node = n};
        }
        while (depth && stack[depth - 1].next == stack[depth - 1].node->count) {
            put_close(d, stack[--depth].node, out);
        }
        if (!depth) {
            return;
        }
        struct print_frame *f = &stack[depth - 1];
        if (f->next) {
            buf_addc(out, ',');
        }
        const struct member *m = &f->node->members[f->next++];
        if (f->node->kind == HUJSON_OBJECT) {
            put_open(d, &m->name, out);
            buf_addc(out, ':');
        }
        n = &m->value;
    }
}

/* ---- reading ---- */

enum hujson_kind hujson_kind(const struct hujson_node *n)
{
    return n->kind;
}

size_t hujson_count(const struct hujson_node *n)
{
    return n->count;
}

const struct hujson_node *hujson_at(const struct hujson_node *n, size_t i)
{
    return &n->members[i].value;
}

size_t hujson_offset(const struct hujson_node *n)
{
    return n->start;
}

size_t hujson_end(const struct hujson_node *n)
{
    return n->end;
}

size_t hujson_name_offset(const struct hujson_node *n, size_t i)
{
    return n->members[i].name.start;
}

bool hujson_has_trailing_comma(const struct hujson_node *n)
{
    return n->trailing;
}

size_t hujson_tail(const struct hujson_node *n)
{
    return n->tail;
}

bool hujson_is_standard(const struct hujson_doc *d)
{
    struct buf plain = BUF_MAX(d->size + 1u);
    hujson_standardize(d, &plain);
    bool same = slice_eq(buf_slice(&plain), hujson_text(d));
    buf_deinit(&plain);
    return same;
}

struct slice hujson_literal(const struct hujson_doc *d, const struct hujson_node *n)
{
    return slice_of(d->text + n->start, n->end - n->start);
}

static void put_rune(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_addc(out, (char)c);
    } else if (c < 0x800) {
        buf_addc(out, (char)(0xc0 | c >> 6));
        buf_addc(out, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_addc(out, (char)(0xe0 | c >> 12));
        buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_addc(out, (char)(0x80 | (c & 0x3f)));
    } else {
        buf_addc(out, (char)(0xf0 | c >> 18));
        buf_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_addc(out, (char)(0x80 | (c & 0x3f)));
    }
}

/* \uXXXX, with its second half where it is a surrogate pair; NULL for a lone one and for NUL. */
static const uint8_t *decode_unit(const uint8_t *p, const uint8_t *end, struct buf *out)
{
    uint32_t c, low;
    if (!hex4(p, end, &c) || c == 0 || (c >= 0xdc00 && c <= 0xdfff)) {
        return NULL;
    }
    p += 4;
    if (c >= 0xd800 && c <= 0xdbff) {
        if (end - p < 6 || p[0] != '\\' || p[1] != 'u' || !hex4(p + 2, end, &low) || low < 0xdc00 ||
            low > 0xdfff) {
            return NULL;
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
    }
    put_rune(out, c);
    return p;
}

static bool decode(struct slice literal, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const uint8_t *p = (const uint8_t *)literal.p + 1,
                  *end = (const uint8_t *)literal.p + literal.n - 1;
    while (p < end) {
        if (*p != '\\') {
            buf_addc(out, (char)*p++);
            continue;
        }
        p++;
        if (*p == 'u') {
            p = decode_unit(p + 1, end, out);
            if (!p) {
                return false;
            }
        } else {
            buf_addc(out, to[strchr(from, *p) - from]);
            p++;
        }
    }
    return buf_ok(out);
}

bool hujson_string(const struct hujson_doc *d, const struct hujson_node *n, struct buf *out)
{
    return n->kind == HUJSON_STRING && decode(hujson_literal(d, n), out);
}

bool hujson_name(const struct hujson_doc *d, const struct hujson_node *n, size_t i, struct buf *out)
{
    return decode(hujson_literal(d, &n->members[i].name), out);
}

static const struct hujson_node *find(const struct hujson_doc *d,
                                      const struct hujson_node *obj,
                                      struct slice name,
                                      bool nocase,
                                      size_t *out_index)
{
    if (obj->kind != HUJSON_OBJECT) {
        return NULL;
    }
    struct buf text = BUF_MAX(d->size + 1);
    const struct hujson_node *found = NULL;
    for (size_t i = 0; i < obj->count && !found; i++) {
        buf_clear(&text);
        if (hujson_name(d, obj, i, &text) &&
            (nocase ? slice_eq_nocase(buf_slice(&text), name) : slice_eq(buf_slice(&text), name))) {
            found = &obj->members[i].value;
            if (out_index) {
                *out_index = i;
            }
        }
    }
    buf_deinit(&text);
    return found;
}

const struct hujson_node *
hujson_find(const struct hujson_doc *d, const struct hujson_node *obj, struct slice name)
{
    return find(d, obj, name, false, NULL);
}

const struct hujson_node *hujson_find_nocase(const struct hujson_doc *d,
                                             const struct hujson_node *obj,
                                             struct slice name,
                                             size_t *out_index)
{
    return find(d, obj, name, true, out_index);
}

bool hujson_integer(const struct hujson_doc *d,
                    const struct hujson_node *n,
                    int64_t min,
                    int64_t max,
                    int64_t *out_value)
{
    struct slice s = hujson_literal(d, n);
    bool negative = slice_starts(s, S("-"));
    uint64_t v;
    if (n->kind != HUJSON_NUMBER || !slice_u64(negative ? slice_skip(s, 1) : s, INT64_MAX, &v)) {
        return false;
    }
    int64_t value = negative ? -(int64_t)v : (int64_t)v;
    if (value < min || value > max) {
        return false;
    }
    *out_value = value;
    return true;
}

/* ---- standardize: same length, so offsets stay true ---- */

static void blank_extra(char *p, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (!is_space((uint8_t)p[i])) {
            p[i] = ' ';
        }
    }
}

static void blank_around(char *p, const struct hujson_node *n)
{
    blank_extra(p, n->before, n->start);
    blank_extra(p, n->end, n->after);
}

void hujson_standardize(const struct hujson_doc *d, struct buf *out)
{
    if (!d->size || buf_reserve(out, d->size)) {
        out->full = true;
        return;
    }
    char *p = buf_tail(out);
    memcpy(p, d->text, d->size);
    buf_commit(out, d->size);
    struct print_frame stack[HUJSON_DEPTH_MAX];
    uint32_t depth = 0;
    const struct hujson_node *n = &d->root;
    for (;;) {
        blank_around(p, n);
        if (n->kind == HUJSON_OBJECT || n->kind == HUJSON_ARRAY) {
            stack[depth++] = (struct print_frame){.node = n};
            if (n->trailing) {
                p[n->tail - 1] = ' ';
            }
            blank_extra(p, n->tail, n->end - 1);
        }
        while (depth && stack[depth - 1].next == stack[depth - 1].node->count) {
            depth--;
        }
        if (!depth) {
            return;
        }
        struct print_frame *f = &stack[depth - 1];
        const struct member *m = &f->node->members[f->next++];
        if (f->node->kind == HUJSON_OBJECT) {
            blank_around(p, &m->name);
        }
        n = &m->value;
    }
}
