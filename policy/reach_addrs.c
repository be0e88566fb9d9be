/*
 * Which address selectors hold an address. One sweep over the ends of all ranges gives the parts
 * and the set of each. Sets share their nodes, so that ten thousand overlapping ranges cost a few
 * nodes per end and not a list per part; and equal sets are one node, so that comparing two
 * addresses' sets is comparing two numbers.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "policy/reach_priv.h"

/* A selector begins or ends here. */
struct end {
    struct addr_key at;
    uint32_t number;
};

struct sweep {
    struct addr_index *x;
    size_t node_room;
    addr_set *table; /* nodes by their content */
    size_t table_size;
};

static struct addr_key key_of(const struct ip_addr *a)
{
    struct addr_key k = {0, 0};
    for (int i = 0; i < 8; i++) {
        k.high = k.high << 8 | a->bytes[i];
        k.low = k.low << 8 | a->bytes[8 + i];
    }
    return k;
}

static int key_cmp(struct addr_key a, struct addr_key b)
{
    if (a.high != b.high) {
        return a.high < b.high ? -1 : 1;
    }
    return (a.low > b.low) - (a.low < b.low);
}

static int by_place(const void *a, const void *b)
{
    return key_cmp(((const struct end *)a)->at, ((const struct end *)b)->at);
}

/* ---- nodes ---- */

static uint64_t mixed(uint64_t v)
{
    v = (v ^ v >> 32) * 0x9e3779b97f4a7c15u;
    return v ^ v >> 29;
}

/* The node with this content. There is room: the build counted. */
static addr_set node_for(struct sweep *w, uint64_t content)
{
    if (!content) {
        return 0;
    }
    size_t i = mixed(content) & (w->table_size - 1);
    while (w->table[i]) {
        if (w->x->nodes[w->table[i]] == content) {
            return w->table[i];
        }
        i = (i + 1) & (w->table_size - 1);
    }
    w->table[i] = (addr_set)w->x->node_count++;
    w->x->nodes[w->table[i]] = content;
    return w->table[i];
}

static addr_set half(uint64_t content, unsigned high)
{
    return (addr_set)(content >> (32 * high));
}

/* The set with the number put in, or taken out if it was there. */
static addr_set toggled(struct sweep *w, addr_set set, uint32_t number)
{
    addr_set path[ADDR_LEVELS_MAX + 1];
    const uint64_t *nodes = w->x->nodes;
    unsigned levels = w->x->levels;
    for (unsigned level = levels; level > 0; level--) {
        path[level] = set;
        set = half(nodes[set], number >> (5 + level) & 1);
    }
    set = node_for(w, nodes[set] ^ (uint64_t)1 << (number % 64));
    for (unsigned level = 1; level <= levels; level++) {
        unsigned high = number >> (5 + level) & 1;
        uint64_t other = half(nodes[path[level]], !high);
        set = node_for(w, (uint64_t)set << (32 * high) | other << (32 * !high));
    }
    return set;
}

bool addr_set_has(const struct addr_index *x, addr_set set, uint32_t number)
{
    if (set & ADDR_SINGLE) {
        return set == (ADDR_SINGLE | number);
    }
    for (unsigned level = x->levels; level > 0; level--) {
        set = half(x->nodes[set], number >> (5 + level) & 1);
    }
    return set && x->nodes[set] >> (number % 64) & 1;
}

static void walk_push(struct addr_walk *w, addr_set node, uint32_t base, unsigned level)
{
    if (node) {
        w->todo[w->count].node = node;
        w->todo[w->count].base = base;
        w->todo[w->count++].level = level;
    }
}

void addr_walk_begin(struct addr_walk *w, const struct addr_index *x, addr_set set)
{
    w->count = 0;
    w->bits = 0;
    if (set & ADDR_SINGLE) {
        w->base = set & ~(ADDR_SINGLE | 63);
        w->bits = (uint64_t)1 << (set % 64);
    } else {
        walk_push(w, set, 0, x->levels);
    }
}

bool addr_walk_next(struct addr_walk *w, const struct addr_index *x, uint32_t *out_number)
{
    while (!w->bits) {
        if (!w->count) {
            return false;
        }
        w->count--;
        uint64_t content = x->nodes[w->todo[w->count].node];
        uint32_t base = w->todo[w->count].base;
        unsigned level = w->todo[w->count].level;
        if (level) {
            walk_push(w, half(content, 1), base + ((uint32_t)1 << (5 + level)), level - 1);
            walk_push(w, half(content, 0), base, level - 1);
        } else {
            w->bits = content;
            w->base = base;
        }
    }
    *out_number = w->base + (uint32_t)__builtin_ctzll(w->bits);
    w->bits &= w->bits - 1;
    return true;
}

/* ---- the sweep ---- */

/* The address after the last one of the family has no number: nothing ends there. */
static void add_ends(struct end *ends, size_t *n, const struct addr_span *s)
{
    struct addr_key after = key_of(&s->range.last);
    after.low++;
    after.high += !after.low;
    ends[(*n)++] = (struct end){key_of(&s->range.first), s->number};
    if (s->range.last.family == IP_V4 ? after.low <= UINT32_MAX : after.low || after.high) {
        ends[(*n)++] = (struct end){after, s->number};
    }
}

static size_t ends_of(const struct addr_span *spans, size_t count, uint8_t family, struct end *ends)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].range.first.family == family) {
            add_ends(ends, &n, &spans[i]);
        }
    }
    qsort(ends, n, sizeof *ends, by_place);
    return n;
}

/* As the set is known outside: most have one number. */
static addr_set outward(const struct addr_index *x, addr_set node)
{
    struct addr_walk w;
    uint32_t number, more;
    addr_walk_begin(&w, x, node);
    return addr_walk_next(&w, x, &number) && !addr_walk_next(&w, x, &more) ? ADDR_SINGLE | number
                                                                           : node;
}

static int sweep_family(struct sweep *w,
                        struct arena *arena,
                        const struct end *ends,
                        size_t count,
                        struct addr_parts *parts)
{
    addr_set set = 0;
    parts->starts = arena_alloc(arena, count * sizeof *parts->starts);
    parts->sets = arena_alloc(arena, count * sizeof *parts->sets);
    if (!parts->starts || !parts->sets) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        set = toggled(w, set, ends[i].number);
        if (i + 1 == count || key_cmp(ends[i].at, ends[i + 1].at)) {
            parts->starts[parts->count] = ends[i].at;
            parts->sets[parts->count++] = outward(w->x, set);
        }
    }
    return 0;
}

static size_t power_above(size_t n)
{
    size_t p = 16;
    while (p < n) {
        p *= 2;
    }
    return p;
}

int addr_index_build(struct arena *arena,
                     const struct addr_span *spans,
                     size_t count,
                     uint32_t numbers,
                     struct addr_index *out_index)
{
    struct addr_index x = {.node_count = 1};
    while ((uint64_t)64 << x.levels < numbers) {
        x.levels++;
    }
    if (x.levels > ADDR_LEVELS_MAX) {
        return err_origin(-ENOMEM);
    }
    struct sweep w = {.x = &x};
    w.node_room = 2 * count * (x.levels + 1) + 1;
    w.table_size = power_above(2 * w.node_room);
    x.nodes = arena_alloc(arena, w.node_room * sizeof *x.nodes);
    AUTO_FREE addr_set *table = w.table = mem_try(w.table_size * sizeof *table);
    AUTO_FREE struct end *ends = mem_try(2 * count * sizeof *ends);
    if (!x.nodes || !table || !ends) {
        return err_origin(-ENOMEM);
    }
    size_t n = ends_of(spans, count, IP_V4, ends);
    int rc = sweep_family(&w, arena, ends, n, &x.v4);
    if (!rc) {
        n = ends_of(spans, count, IP_V6, ends);
        rc = sweep_family(&w, arena, ends, n, &x.v6);
    }
    if (!rc) {
        *out_index = x;
    }
    return rc;
}

static size_t key_reached(struct addr_key start, struct addr_key k)
{
    return (size_t)((start.high < k.high) | ((start.high == k.high) & (start.low <= k.low)));
}

addr_set addr_index_find(const struct addr_index *x, const struct ip_addr *a)
{
    if (a->family == IP_NONE) {
        return 0;
    }
    const struct addr_parts *p = a->family == IP_V4 ? &x->v4 : &x->v6;
    struct addr_key k = key_of(a);
    size_t at = 0;
    for (size_t n = p->count; n > 1;) { /* no branch on what is compared: it would be a coin toss */
        size_t half = n / 2;
        at += key_reached(p->starts[at + half], k) * half;
        n -= half;
    }
    return p->count && key_reached(p->starts[at], k) ? p->sets[at] : 0;
}
