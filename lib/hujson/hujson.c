/*
 * The tree: every node keeps the span of its value, the span of the white
 * space and comments before and after it, and a composite whether it ends in
 * a trailing comma. All spans point into the document's own copy of the text,
 * so printing from the tree is concatenation and loses nothing.
 * Parsing keeps the nodes that have no parent yet on one stack: a composite
 * lies below its items, which move to the arena as one array when it closes.
 * So nothing is allocated per token, and depth costs heap that is counted.
 */
#include "lib/hujson/hujson.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/hujson/hujson_priv.h"

struct parser {
    struct hujson_lexer lx;
    struct hujson_doc *doc;
    struct hujson_node *nodes;
    uint32_t count, room;
    uint32_t open[HUJSON_DEPTH_MAX]; /* where on the stack the open composites lie */
    uint32_t depth;
    uint32_t before; /* where the extra before the next value starts */
    bool no_memory;
};

/* Memory ran out: the caller stops without a diagnostic. */
static bool out_of_memory(struct parser *ps)
{
    ps->no_memory = true;
    return false;
}

/* ---- the stack ---- */

static bool grow(struct parser *ps)
{
    enum { FIRST = 64 };

    uint32_t room = ps->room ? ps->room * 2 : FIRST;
    struct hujson_node *nodes = mem_try(room * sizeof *nodes);
    if (!nodes) {
        return out_of_memory(ps);
    }
    if (ps->count) {
        memcpy(nodes, ps->nodes, ps->count * sizeof *nodes);
    }
    mem_free(ps->nodes);
    ps->nodes = nodes;
    ps->room = room;
    return true;
}

static struct hujson_node *push(struct parser *ps)
{
    if (ps->count == ps->room && !grow(ps)) {
        return NULL;
    }
    struct hujson_node *n = &ps->nodes[ps->count++];
    *n = (struct hujson_node){.before = ps->before};
    return n;
}

static struct hujson_node *last(struct parser *ps)
{
    return &ps->nodes[ps->count - 1];
}

static struct hujson_node *parent(struct parser *ps)
{
    return &ps->nodes[ps->open[ps->depth - 1]];
}

/* ---- composites ---- */

static bool open_composite(struct parser *ps, struct hujson_node *n)
{
    if (ps->depth == HUJSON_DEPTH_MAX) {
        hujson_fail(&ps->lx, ps->lx.at, "nesting too deep");
        ps->lx.diag->hint = "a document may have 128 levels";
        return false;
    }
    n->kind = ps->lx.p[ps->lx.at] == '{' ? HUJSON_OBJECT : HUJSON_ARRAY;
    n->start = ps->lx.at++;
    n->height = 1;
    ps->open[ps->depth++] = ps->count - 1;
    return true;
}

/* The closer is next: the items above the composite become its array. */
static bool close_composite(struct parser *ps, uint32_t tail)
{
    uint32_t at = ps->open[ps->depth - 1], items = ps->count - at - 1;
    struct hujson_node *n = parent(ps);
    n->tail = tail;
    n->end = ++ps->lx.at;
    n->count = items / hujson_stride(n);
    if (items) {
        n->items = arena_alloc(ps->doc->arena, items * sizeof *n);
        if (!n->items) {
            return out_of_memory(ps);
        }
        memcpy(n->items, n + 1, items * sizeof *n);
    }
    ps->count = at + 1;
    ps->depth--;
    if (ps->depth && parent(ps)->height <= n->height) {
        parent(ps)->height = (n->height + 1u) & 0xffff;
    }
    return true;
}

static bool at_closer(struct parser *ps)
{
    return ps->lx.at < ps->lx.size &&
           ps->lx.p[ps->lx.at] == (parent(ps)->kind == HUJSON_OBJECT ? '}' : ']');
}

/* ---- the grammar ---- */

enum step { STEP_VALUE, STEP_CLOSED, STEP_FAIL };

/* After an opener or a comma: a closer, or a value follows. */
static enum step value_or_closer(struct parser *ps)
{
    ps->before = ps->lx.at;
    if (!hujson_take_extra(&ps->lx)) {
        return STEP_FAIL;
    }
    if (!at_closer(ps)) {
        return STEP_VALUE;
    }
    return close_composite(ps, ps->before) ? STEP_CLOSED : STEP_FAIL;
}

/* One value's own bytes; of a composite its opener, or all of it when it is empty. */
static enum step take_value(struct parser *ps)
{
    struct hujson_node *n = push(ps);
    if (!n) {
        return STEP_FAIL;
    }
    if (ps->lx.at >= ps->lx.size) {
        hujson_fail(&ps->lx, ps->lx.size, "parsing value: unexpected EOF");
        return STEP_FAIL;
    }
    uint8_t c = ps->lx.p[ps->lx.at];
    if (c == '{' || c == '[') {
        return open_composite(ps, n) ? value_or_closer(ps) : STEP_FAIL;
    }
    bool ok = c == '"'                 ? hujson_take_string(&ps->lx, n)
              : hujson_is_word_byte(c) ? hujson_take_word(&ps->lx, n)
                                       : hujson_fail_char(&ps->lx, ps->lx.at, "at start of value");
    return ok ? STEP_CLOSED : STEP_FAIL;
}

static enum step unexpected(struct parser *ps, const char *at_end, const char *where)
{
    if (ps->lx.at >= ps->lx.size) {
        hujson_fail(&ps->lx, ps->lx.size, at_end);
    } else {
        hujson_fail_char(&ps->lx, ps->lx.at, where);
    }
    return STEP_FAIL;
}

static enum step after_name(struct parser *ps)
{
    if (ps->lx.at >= ps->lx.size || ps->lx.p[ps->lx.at] != ':') {
        return unexpected(ps, "parsing object after name: unexpected EOF", "after object name");
    }
    ps->before = ++ps->lx.at;
    return hujson_take_extra(&ps->lx) ? STEP_VALUE : STEP_FAIL;
}

static enum step after_item(struct parser *ps)
{
    if (at_closer(ps)) {
        return close_composite(ps, ps->lx.at) ? STEP_CLOSED : STEP_FAIL;
    }
    struct hujson_node *n = parent(ps);
    if (ps->lx.at >= ps->lx.size || ps->lx.p[ps->lx.at] != ',') {
        return n->kind == HUJSON_OBJECT
                   ? unexpected(ps, "parsing object after value: unexpected EOF",
                                "after object value (expecting ',' or '}')")
                   : unexpected(ps, "parsing array after value: unexpected EOF",
                                "after array value (expecting ',' or ']')");
    }
    ps->lx.at++;
    uint32_t depth = ps->depth;
    enum step st = value_or_closer(ps);
    if (st == STEP_CLOSED && ps->depth < depth) {
        last(ps)->trailing = true;
    }
    return st;
}

/* A value is complete; what may follow it depends on where it stands. */
static enum step after_value(struct parser *ps)
{
    bool name = ps->depth && parent(ps)->kind == HUJSON_OBJECT &&
                (ps->count - ps->open[ps->depth - 1]) % 2 == 0;
    if (!hujson_take_extra(&ps->lx)) {
        return STEP_FAIL;
    }
    last(ps)->after = ps->lx.at;
    if (name && last(ps)->kind != HUJSON_STRING) {
        hujson_fail_char(&ps->lx, last(ps)->start, "at start of object name");
        return STEP_FAIL;
    }
    if (!ps->depth) {
        return STEP_CLOSED;
    }
    return name ? after_name(ps) : after_item(ps);
}

static bool parse_all(struct parser *ps)
{
    if (!hujson_take_extra(&ps->lx)) {
        return false;
    }
    for (;;) {
        enum step st = take_value(ps);
        while (st == STEP_CLOSED) {
            bool top = ps->depth == 0;
            st = after_value(ps);
            if (top && st == STEP_CLOSED) {
                return ps->lx.at == ps->lx.size ||
                       hujson_fail_char(&ps->lx, ps->lx.at, "after top-level value");
            }
        }
        if (st == STEP_FAIL) {
            return false;
        }
    }
}

/* ---- the document ---- */

static bool index_lines(struct hujson_doc *d)
{
    const char *end = d->text + d->size;
    uint32_t count = 1;
    for (const char *p = d->text; (p = memchr(p, '\n', (size_t)(end - p))); p++) {
        count++;
    }
    d->lines = arena_alloc(d->arena, count * sizeof *d->lines);
    if (!d->lines) {
        return false;
    }
    d->lines[d->line_count++] = 0;
    for (const char *p = d->text; (p = memchr(p, '\n', (size_t)(end - p))); p++) {
        d->lines[d->line_count++] = (uint32_t)(p + 1 - d->text);
    }
    return true;
}

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

void hujson_free(struct hujson_doc *d)
{
    if (d) {
        arena_free(d->arena);
        mem_free(d);
    }
}

static int parse_into(struct hujson_doc *d, struct hujson_diag *out_diag)
{
    struct parser *ps = mem_new(sizeof *ps);
    ps->doc = d;
    ps->lx =
        (struct hujson_lexer){.p = (const uint8_t *)d->text, .size = d->size, .diag = out_diag};
    bool ok = parse_all(ps), no_memory = ps->no_memory;
    if (ok) {
        d->root = ps->nodes[0];
        no_memory = !index_lines(d);
    }
    mem_free(ps->nodes);
    mem_free(ps);
    return no_memory ? err_origin(-ENOMEM) : ok ? 0 : HUJSON_SYNTAX;
}

int hujson_parse(struct slice text,
                 size_t max,
                 struct hujson_diag *out_diag,
                 struct hujson_doc **out_doc)
{
    enum { TREE_PER_BYTE = 32 }; /* "[[1],[1],…" makes 88 bytes of tree out of four of text */

    if (text.n > max || text.n > UINT32_MAX / 4) {
        *out_diag = (struct hujson_diag){.line = 1, .column = 1};
        (void)snprintf(out_diag->text, sizeof out_diag->text,
                       "the document has %zu bytes; at most %zu are allowed", text.n, max);
        return HUJSON_TOO_BIG;
    }
    AUTO(hujson_freep) struct hujson_doc *d = mem_new(sizeof *d);
    d->max = max;
    d->arena = arena_new(text.n * TREE_PER_BYTE + 64 * KIB);
    d->text = arena_strdup(d->arena, text);
    d->size = (uint32_t)text.n;
    if (!d->text) {
        return err_origin(-ENOMEM);
    }
    int r = parse_into(d, out_diag);
    if (r) {
        return r;
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
