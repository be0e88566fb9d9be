/*
 * Out of the tree again: printed byte for byte, standardized, minimized, or
 * read member by member. Walks keep an explicit stack, as the parser does.
 */
#include "lib/hujson/hujson_priv.h"

/* Where w->node stands in its parent, which is on top of the stack. */
static void set_place(struct hujson_walk *w, uint32_t index)
{
    w->parent = w->depth ? w->stack[w->depth - 1].node : NULL;
    w->index = index;
    w->is_name = w->parent && w->parent->kind == HUJSON_OBJECT && index % 2 == 0;
    w->is_value = w->parent && w->parent->kind == HUJSON_OBJECT && index % 2 == 1;
}

enum hujson_visit hujson_walk_next(struct hujson_walk *w)
{
    if (w->root) {
        w->node = w->root;
        w->root = NULL;
        set_place(w, 0);
    } else if (!w->depth) {
        return HUJSON_VISIT_END;
    } else {
        const struct hujson_node *n = w->stack[w->depth - 1].node;
        uint32_t i = w->stack[w->depth - 1].next++;
        if (i == n->count * hujson_stride(n)) {
            w->node = n;
            w->depth--;
            set_place(w, w->depth ? w->stack[w->depth - 1].next - 1 : 0);
            return HUJSON_VISIT_CLOSE;
        }
        w->node = &n->items[i];
        set_place(w, i);
    }
    w->level = w->depth;
    if (hujson_is_composite(w->node)) {
        w->stack[w->depth].next = 0;
        w->stack[w->depth++].node = w->node;
    }
    return HUJSON_VISIT_ITEM;
}

static const char *separator(const struct hujson_walk *w)
{
    return !w->index ? "" : w->is_value ? ":" : ",";
}

static const char *closer(const struct hujson_node *n)
{
    return n->kind == HUJSON_OBJECT ? "}" : "]";
}

/* ---- printing: the tree must say every byte ---- */

static void put_span(const struct hujson_doc *d, uint32_t from, uint32_t to, struct buf *out)
{
    buf_add(out, slice_of(d->text + from, to - from));
}

void hujson_print(const struct hujson_doc *d, struct buf *out)
{
    struct hujson_walk w = {.root = &d->root};
    enum hujson_visit v;
    while ((v = hujson_walk_next(&w)) != HUJSON_VISIT_END) {
        const struct hujson_node *n = w.node;
        if (v == HUJSON_VISIT_CLOSE) {
            buf_adds(out, n->trailing ? "," : "");
            put_span(d, n->tail, n->end - 1, out);
            buf_adds(out, closer(n));
            put_span(d, n->end, n->after, out);
            continue;
        }
        buf_adds(out, separator(&w));
        put_span(d, n->before, n->start, out);
        if (hujson_is_composite(n)) {
            put_span(d, n->start, n->start + 1, out);
        } else {
            put_span(d, n->start, n->after, out);
        }
    }
}

int hujson_minimize(const struct hujson_doc *d, struct buf *out)
{
    struct hujson_walk w = {.root = &d->root};
    enum hujson_visit v;
    while ((v = hujson_walk_next(&w)) != HUJSON_VISIT_END) {
        const struct hujson_node *n = w.node;
        if (v == HUJSON_VISIT_CLOSE) {
            buf_adds(out, closer(n));
        } else {
            buf_adds(out, separator(&w));
            put_span(d, n->start, hujson_is_composite(n) ? n->start + 1 : n->end, out);
        }
    }
    return buf_ok(out) ? 0 : HUJSON_TOO_BIG;
}

/* ---- standardize: same length, so offsets stay true ---- */

static void blank_extra(char *p, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (!hujson_is_space((uint8_t)p[i])) {
            p[i] = ' ';
        }
    }
}

void hujson_standardize(const struct hujson_doc *d, struct buf *out)
{
    if (buf_reserve(out, d->size)) {
        out->full = true;
        return;
    }
    char *p = buf_tail(out);
    memcpy(p, d->text, d->size);
    buf_commit(out, d->size);
    struct hujson_walk w = {.root = &d->root};
    enum hujson_visit v;
    while ((v = hujson_walk_next(&w)) != HUJSON_VISIT_END) {
        const struct hujson_node *n = w.node;
        if (v == HUJSON_VISIT_CLOSE) {
            if (n->trailing) {
                p[n->tail - 1] = ' ';
            }
            blank_extra(p, n->tail, n->end - 1);
        } else {
            blank_extra(p, n->before, n->start);
        }
        if (v == HUJSON_VISIT_CLOSE || !hujson_is_composite(n)) {
            blank_extra(p, n->end, n->after);
        }
    }
}

static bool only_space(const struct hujson_doc *d, uint32_t from, uint32_t to)
{
    while (from < to && hujson_is_space((uint8_t)d->text[from])) {
        from++;
    }
    return from == to;
}

bool hujson_is_standard(const struct hujson_doc *d)
{
    struct hujson_walk w = {.root = &d->root};
    bool standard = true;
    while (standard && hujson_walk_next(&w) != HUJSON_VISIT_END) {
        const struct hujson_node *n = w.node;
        standard = !n->trailing && only_space(d, n->before, n->start) &&
                   only_space(d, n->end, n->after) &&
                   (!hujson_is_composite(n) || only_space(d, n->tail, n->end - 1));
    }
    return standard;
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
    return n->kind == HUJSON_OBJECT ? &n->items[2 * i + 1] : &n->items[i];
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
    return n->items[2 * i].start;
}

bool hujson_has_trailing_comma(const struct hujson_node *n)
{
    return n->trailing;
}

size_t hujson_tail(const struct hujson_node *n)
{
    return n->tail;
}

struct slice hujson_literal(const struct hujson_doc *d, const struct hujson_node *n)
{
    return slice_of(d->text + n->start, n->end - n->start);
}

bool hujson_string(const struct hujson_doc *d, const struct hujson_node *n, struct buf *out)
{
    return n->kind == HUJSON_STRING && hujson_decode(hujson_literal(d, n), HUJSON_LONE_REFUSE, out);
}

bool hujson_name(const struct hujson_doc *d, const struct hujson_node *n, size_t i, struct buf *out)
{
    return hujson_string(d, &n->items[(size_t)2 * i], out);
}

bool hujson_string_slice(const struct hujson_doc *d,
                         const struct hujson_node *n,
                         struct buf *scratch,
                         struct slice *out_text)
{
    if (n->kind == HUJSON_STRING && !n->escaped) {
        *out_text = slice_of(d->text + n->start + 1, n->end - n->start - 2);
        return true;
    }
    buf_clear(scratch);
    if (!hujson_string(d, n, scratch)) {
        return false;
    }
    *out_text = buf_slice(scratch);
    return true;
}

bool hujson_name_slice(const struct hujson_doc *d,
                       const struct hujson_node *n,
                       size_t i,
                       struct buf *scratch,
                       struct slice *out_text)
{
    return hujson_string_slice(d, &n->items[(size_t)2 * i], scratch, out_text);
}

static const struct hujson_node *find(const struct hujson_doc *d,
                                      const struct hujson_node *obj,
                                      struct slice name,
                                      bool (*same)(struct slice, struct slice),
                                      size_t *out_index)
{
    if (obj->kind != HUJSON_OBJECT) {
        return NULL;
    }
    struct buf scratch = BUF_MAX(d->size + 1);
    const struct hujson_node *found = NULL;
    for (size_t i = 0; i < obj->count && !found; i++) {
        struct slice text;
        if (hujson_name_slice(d, obj, i, &scratch, &text) && same(text, name)) {
            found = hujson_at(obj, i);
            if (out_index) {
                *out_index = i;
            }
        }
    }
    buf_deinit(&scratch);
    return found;
}

const struct hujson_node *
hujson_find(const struct hujson_doc *d, const struct hujson_node *obj, struct slice name)
{
    return find(d, obj, name, slice_eq, NULL);
}

const struct hujson_node *hujson_find_nocase(const struct hujson_doc *d,
                                             const struct hujson_node *obj,
                                             struct slice name,
                                             size_t *out_index)
{
    return find(d, obj, name, slice_eq_nocase, out_index);
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
