/*
 * Are two values the same? Strings by what they say, numbers by their exact
 * value (1, 1.0 and 10e-1 are one number, neighbours beyond 2^53 are not),
 * objects without regard to order; of duplicate names the last counts, as
 * JSON readers have it. Pairs that are still to be compared wait on a list,
 * so depth costs no stack.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/hujson/hujson_priv.h"

struct pair {
    const struct hujson_node *a, *b;
};

struct member {
    struct slice name;
    const struct hujson_node *value;
    size_t order;
};

struct comparer {
    const struct hujson_doc *a, *b;
    struct arena *arena; /* decoded names, lists of members */
    struct buf text_a, text_b;
    struct pair *todo;
    size_t count, room;
    bool no_memory;
};

static bool give_up(struct comparer *c)
{
    c->no_memory = true;
    return false;
}

static bool add_pair(struct comparer *c, const struct hujson_node *a, const struct hujson_node *b)
{
    enum { FIRST = 64 };

    if (c->count == c->room) {
        size_t room = c->room ? c->room * 2 : FIRST;
        struct pair *todo = mem_try(room * sizeof *todo);
        if (!todo) {
            return give_up(c);
        }
        if (c->count) {
            memcpy(todo, c->todo, c->count * sizeof *todo);
        }
        mem_free(c->todo);
        c->todo = todo;
        c->room = room;
    }
    c->todo[c->count++] = (struct pair){a, b};
    return true;
}

/* ---- numbers ---- */

/* ±0.d1d2d3… × 10^exponent, d1 and the last digit not zero; the digits lie in the literal, with a
 * dot somewhere among them. */
struct number {
    bool negative, zero, vast; /* vast: an exponent that no 64 bits hold */
    struct slice digits;
    int64_t exponent;
};

static int64_t read_exponent(struct slice s, bool *out_vast)
{
    bool negative = slice_starts(s, S("-"));
    uint64_t v = 0;
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
        s = slice_skip(s, 1);
    }
    if (s.n && !slice_u64(s, INT64_MAX / 4, &v)) {
        *out_vast = true;
        return 0;
    }
    return negative ? -(int64_t)v : (int64_t)v;
}

static bool is_nought(char c)
{
    return c == '0' || c == '.';
}

static struct number read_number(struct slice s)
{
    struct number n = {.negative = slice_starts(s, S("-"))};
    s = slice_skip(s, n.negative);
    size_t end = 0;
    while (end < s.n && (s.p[end] | 0x20) != 'e') {
        end++;
    }
    struct slice mantissa = slice_sub(s, 0, end);
    ptrdiff_t dot = slice_find(mantissa, '.');
    size_t whole = dot < 0 ? mantissa.n : (size_t)dot, skip = 0;
    while (skip < mantissa.n && is_nought(mantissa.p[skip])) {
        skip++;
    }
    while (mantissa.n > skip && is_nought(mantissa.p[mantissa.n - 1])) {
        mantissa.n--;
    }
    n.digits = slice_skip(mantissa, skip);
    n.zero = n.digits.n == 0;
    n.exponent = read_exponent(slice_skip(s, end + 1), &n.vast) + (int64_t)whole - (int64_t)skip +
                 (skip > whole);
    return n;
}

static size_t next_digit(struct slice s, size_t at)
{
    return at < s.n && s.p[at] == '.' ? at + 1 : at;
}

static bool same_digits(struct slice a, struct slice b)
{
    size_t i = next_digit(a, 0), k = next_digit(b, 0);
    while (i < a.n && k < b.n && a.p[i] == b.p[k]) {
        i = next_digit(a, i + 1);
        k = next_digit(b, k + 1);
    }
    return i == a.n && k == b.n;
}

static bool same_number(struct slice a, struct slice b)
{
    struct number x = read_number(a), y = read_number(b);
    if (x.zero || y.zero) {
        return x.zero && y.zero;
    }
    if (x.vast || y.vast) {
        return slice_eq_nocase(a, b);
    }
    return x.negative == y.negative && x.exponent == y.exponent && same_digits(x.digits, y.digits);
}

/* ---- strings ---- */

static struct slice string_text(struct comparer *c,
                                const struct hujson_doc *d,
                                const struct hujson_node *n,
                                struct buf *scratch)
{
    struct slice literal = hujson_literal(d, n);
    if (!n->escaped) {
        return slice_sub(literal, 1, literal.n - 2);
    }
    buf_clear(scratch);
    if (!hujson_decode(literal, HUJSON_LONE_KEEP, scratch)) {
        give_up(c); /* nothing else fails when everything is kept */
    }
    return buf_slice(scratch);
}

/* ---- objects ---- */

static int by_name(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int r = slice_cmp(x->name, y->name);
    return r ? r : (x->order > y->order) - (x->order < y->order);
}

/* Sorted, one entry a name. */
static struct member *members(struct comparer *c,
                              const struct hujson_doc *d,
                              const struct hujson_node *n,
                              size_t *out_count)
{
    struct member *list = arena_alloc(c->arena, (n->count + 1) * sizeof *list);
    size_t kept = 0;
    for (uint32_t i = 0; list && i < n->count; i++) {
        const struct hujson_node *name = &n->items[(size_t)2 * i];
        struct slice text = string_text(c, d, name, &c->text_a);
        if (name->escaped) {
            text.p = arena_strdup(c->arena, text);
        }
        list[i] = (struct member){.name = text, .value = name + 1, .order = i};
        list = text.p ? list : NULL;
    }
    if (!list) {
        c->no_memory = true;
        return NULL;
    }
    qsort(list, n->count, sizeof *list, by_name);
    for (uint32_t i = 0; i < n->count; i++) {
        if (i + 1 == n->count || !slice_eq(list[i].name, list[i + 1].name)) {
            list[kept++] = list[i];
        }
    }
    *out_count = kept;
    return list;
}

static bool same_objects(struct comparer *c, struct pair p)
{
    size_t count_a = 0, count_b = 0;
    struct member *a = members(c, c->a, p.a, &count_a), *b = members(c, c->b, p.b, &count_b);
    bool same = a && b && count_a == count_b;
    for (size_t i = 0; same && i < count_a; i++) {
        same = slice_eq(a[i].name, b[i].name) && add_pair(c, a[i].value, b[i].value);
    }
    return same;
}

/* ---- values ---- */

static bool same_arrays(struct comparer *c, struct pair p)
{
    bool same = p.a->count == p.b->count;
    for (uint32_t i = 0; same && i < p.a->count; i++) {
        same = add_pair(c, &p.a->items[i], &p.b->items[i]);
    }
    return same;
}

static bool same_pair(struct comparer *c, struct pair p)
{
    if (p.a->kind != p.b->kind) {
        return false;
    }
    switch (p.a->kind) {
    case HUJSON_NULL:
    case HUJSON_FALSE:
    case HUJSON_TRUE:
        return true;
    case HUJSON_NUMBER:
        return same_number(hujson_literal(c->a, p.a), hujson_literal(c->b, p.b));
    case HUJSON_STRING:
        return slice_eq(string_text(c, c->a, p.a, &c->text_a),
                        string_text(c, c->b, p.b, &c->text_b));
    case HUJSON_OBJECT:
        return same_objects(c, p);
    case HUJSON_ARRAY:
        return same_arrays(c, p);
    }
    return false;
}

int hujson_equal(const struct hujson_doc *a,
                 const struct hujson_node *na,
                 const struct hujson_doc *b,
                 const struct hujson_node *nb)
{
    enum { LIST_PER_BYTE = 16 }; /* a member of four bytes makes one entry of the list */

    size_t size = (size_t)a->size + b->size;
    struct comparer c = {.a = a,
                         .b = b,
                         .arena = arena_new(size * LIST_PER_BYTE + 64 * KIB),
                         .text_a = BUF_MAX(size * 2),
                         .text_b = BUF_MAX(size * 2)};
    bool same = add_pair(&c, na, nb);
    while (same && c.count) {
        same = same_pair(&c, c.todo[--c.count]);
    }
    bool broken = c.no_memory;
    mem_free(c.todo);
    arena_free(c.arena);
    buf_deinit(&c.text_a);
    buf_deinit(&c.text_b);
    return broken ? err_origin(-ENOMEM) : same ? 0 : HUJSON_DIFFERENT;
}
