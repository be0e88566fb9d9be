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

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/hujson/hujson_priv.h"

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

bool hujson_is_space(uint8_t c)
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
        if (hujson_is_space(ps->p[ps->at])) {
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

bool hujson_hex4(const uint8_t *p, const uint8_t *end, uint32_t *out)
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
            if (!hujson_hex4(p + 1, end, &unit)) {
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
