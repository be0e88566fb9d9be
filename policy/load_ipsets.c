/*
 * IP sets: operations in order, the last one that names an address decides. So each set is one
 * sweep over the sorted beginnings of its ranges, with a heap whose top is the latest operation
 * that covers the place. Sets that refer to others are worked out after those, by depth-first
 * search with a stack of its own; what is met again on the stack is a cycle.
 */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "policy/load_priv.h"

enum {
    RANGES_MAX = 100000, /* of all sets: a file of hostile references would square itself */
    WORK_MAX = 1000000,  /* ranges looked at for all sets */
    CYCLES_MAX = 50,     /* more do not help a person */
};

#define IP4(a, b, c, d)                                    \
    {                                                      \
        IP_V4,                                             \
        {                                                  \
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d \
        }                                                  \
    }

const struct ip_range policy_internet[POLICY_INTERNET_RANGES] = {
    {IP4(0, 0, 0, 0), IP4(9, 255, 255, 255)},
    {IP4(11, 0, 0, 0), IP4(100, 63, 255, 255)},
    {IP4(100, 128, 0, 0), IP4(169, 253, 255, 255)},
    {IP4(169, 255, 0, 0), IP4(172, 15, 255, 255)},
    {IP4(172, 32, 0, 0), IP4(192, 167, 255, 255)},
    {IP4(192, 169, 0, 0), IP4(255, 255, 255, 255)},
    {{IP_V6, {0x20}},
     {IP_V6, {0x3f, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}}},
};

struct operation {
    bool remove, verb, reported;
    struct selector what;
    struct ip_range range; /* of an address, a range or a host */
};

enum color { NEW, OPEN, DONE };

struct set {
    struct operation *at;
    size_t count;
    enum color color;
};

struct frame {
    uint32_t set;
    size_t next; /* operation to follow */
};

struct work {
    struct loader *l;
    struct set *sets;
    size_t ranges, looked, cycles;
    bool full; /* said once */
};

/* ---- operations ---- */

static bool
operation_verb(struct loader *l, struct slice *text, size_t offset, struct operation *op)
{
    size_t n = 0;
    while (n < text->n && text->p[n] != ' ' && text->p[n] != '\t') {
        n++;
    }
    struct slice first = slice_sub(*text, 0, n);
    op->remove = slice_eq(first, S("remove"));
    op->verb = op->remove || slice_eq(first, S("add"));
    if (op->verb) {
        *text = slice_trim(slice_skip(*text, n));
    }
    if (!text->n || (!op->verb && n < text->n)) {
        load_error(l, "ipset-op", offset,
                   "\"" SLICE_FMT "\": an operation is \"add TARGET\" or \"remove TARGET\"",
                   SLICE_ARG(first));
        return false;
    }
    return true;
}

static bool
operation_target(struct loader *l, struct slice text, size_t offset, struct operation *op)
{
    if (!load_selector_text(l, PLACE_IPSET, text, offset, &op->what)) {
        return false;
    }
    if (op->what.kind == SELECTOR_RANGE) {
        return ip_range_parse(text, &op->range);
    }
    if (op->what.kind == SELECTOR_HOST || op->what.kind == SELECTOR_ADDRESS) {
        op->range = ip_prefix_range(&op->what.prefix);
    }
    return true;
}

static bool operation(struct loader *l, const struct hujson_node *n, struct operation *op)
{
    struct slice text;
    size_t offset = hujson_offset(n);
    if (!load_string(l, n, &text)) {
        return false;
    }
    text = load_trim(l, text, offset);
    return operation_verb(l, &text, offset, op) && operation_target(l, text, offset, op);
}

static void want_verbs(struct loader *l, const struct set *s)
{
    bool removes = false;
    for (size_t i = 0; i < s->count; i++) {
        removes |= s->at[i].remove;
    }
    for (size_t i = 0; removes && i < s->count; i++) {
        if (!s->at[i].verb) {
            policy_hint(load_error(l, "ipset-op", s->at[i].what.offset,
                                   "\"" SLICE_FMT "\": a set that removes needs \"add\" or "
                                   "\"remove\" in every operation",
                                   SLICE_ARG(s->at[i].what.text)),
                        "write \"add " SLICE_FMT "\"", SLICE_ARG(s->at[i].what.text));
        }
    }
}

static void operations(struct loader *l, const struct hujson_node *n, struct set *s)
{
    if (!load_is_array(l, n)) {
        return;
    }
    s->at = load_scratch(l, hujson_count(n), sizeof *s->at);
    for (size_t i = 0; s->at && i < hujson_count(n); i++) {
        s->count += operation(l, hujson_at(n, i), &s->at[s->count]);
    }
    if (s->at) {
        want_verbs(l, s);
    }
}

/* ---- the ranges of a set ---- */

struct piece {
    struct ip_range range;
    uint32_t order; /* of its operation */
    bool remove;
};

struct sweep {
    struct piece *pieces;
    const struct piece **heap; /* the latest operation on top */
    size_t heap_count;
    struct ip_range *out;
    size_t out_count;
};

static bool step(struct ip_addr *a, int by)
{
    size_t low = a->family == IP_V4 ? 12 : 0;
    for (size_t i = 16; i-- > low;) {
        a->bytes[i] = (uint8_t)(a->bytes[i] + by);
        if (a->bytes[i] != (by > 0 ? 0 : 255)) {
            return true;
        }
    }
    return false;
}

static void push(struct sweep *s, const struct piece *p)
{
    size_t i = s->heap_count++;
    while (i && s->heap[(i - 1) / 2]->order < p->order) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = p;
}

static void pop(struct sweep *s)
{
    const struct piece *last = s->heap[--s->heap_count];
    size_t i = 0;
    for (size_t child = 1; child < s->heap_count; child = 2 * i + 1) {
        if (child + 1 < s->heap_count && s->heap[child + 1]->order > s->heap[child]->order) {
            child++;
        }
        if (s->heap[child]->order <= last->order) {
            break;
        }
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
}

static void put(struct sweep *s, const struct ip_addr *first, const struct ip_addr *last)
{
    if (s->out_count) {
        struct ip_addr next = s->out[s->out_count - 1].last;
        if (step(&next, 1) && ip_addr_cmp(&next, first) == 0) {
            s->out[s->out_count - 1].last = *last;
            return;
        }
    }
    s->out[s->out_count++] = (struct ip_range){*first, *last};
}

static int by_first(const void *a, const void *b)
{
    return ip_addr_cmp(&((const struct piece *)a)->range.first,
                       &((const struct piece *)b)->range.first);
}

/* Pieces are sorted by their first address. out has room for two ranges a piece. */
static void sweep(struct sweep *s, size_t count)
{
    struct ip_addr at = {0};
    for (size_t i = 0; i < count || s->heap_count;) {
        if (!s->heap_count) {
            at = s->pieces[i].range.first;
        }
        while (i < count && ip_addr_cmp(&s->pieces[i].range.first, &at) <= 0) {
            push(s, &s->pieces[i++]);
        }
        while (s->heap_count && ip_addr_cmp(&s->heap[0]->range.last, &at) < 0) {
            pop(s);
        }
        if (!s->heap_count) {
            continue;
        }
        struct ip_addr end = s->heap[0]->range.last;
        if (i < count && ip_addr_cmp(&s->pieces[i].range.first, &end) <= 0) {
            end = s->pieces[i].range.first;
            err_ignore(step(&end, -1)); /* later than `at`: not the first of its family */
        }
        if (!s->heap[0]->remove) {
            put(s, &at, &end);
        }
        at = end;
        if (!step(&at, 1)) {
            s->heap_count = 0; /* the family's last address */
        }
    }
}

static const struct ip_range *
ranges_of(const struct work *w, const struct operation *op, size_t *out_n)
{
    if (op->what.kind == SELECTOR_INTERNET) {
        *out_n = POLICY_INTERNET_RANGES;
        return policy_internet;
    }
    if (op->what.kind == SELECTOR_IPSET) {
        const struct ip_set *other = &w->l->p->ipsets[op->what.index];
        *out_n = other->range_count;
        return other->ranges;
    }
    *out_n = 1;
    return &op->range;
}

static size_t count_pieces(const struct work *w, const struct set *s)
{
    size_t count = 0, n;
    for (size_t i = 0; i < s->count; i++) {
        ranges_of(w, &s->at[i], &n);
        count += n;
    }
    return count;
}

static void fill_pieces(const struct work *w, const struct set *s, struct piece *out)
{
    for (size_t i = 0; i < s->count; i++) {
        size_t n;
        const struct ip_range *r = ranges_of(w, &s->at[i], &n);
        for (size_t k = 0; k < n; k++) {
            *out++ = (struct piece){r[k], (uint32_t)i, s->at[i].remove};
        }
    }
}

static void work_out(struct work *w, uint32_t index)
{
    const struct set *set = &w->sets[index];
    struct ip_set *into = &w->l->p->ipsets[index];
    size_t count = count_pieces(w, set);
    w->looked += count;
    if (w->full) {
        return;
    }
    if (w->looked > WORK_MAX || w->ranges > RANGES_MAX) {
        w->full = true;
        load_error(w->l, "too-many", into->name.offset,
                   "the IP sets come to more than %d ranges in all", RANGES_MAX);
        return;
    }
    AUTO_FREE struct piece *pieces = mem_try((count + 1) * sizeof *pieces);
    AUTO_FREE const struct piece **heap = mem_try((count + 1) * sizeof(const struct piece *));
    AUTO_FREE struct ip_range *out = mem_try((2 * count + 1) * sizeof *out);
    if (!pieces || !heap || !out) {
        w->l->no_memory = true;
        return;
    }
    fill_pieces(w, set, pieces);
    qsort(pieces, count, sizeof *pieces, by_first);
    struct sweep s = {.pieces = pieces, .heap = heap, .out = out};
    sweep(&s, count);
    into->ranges = load_alloc(w->l, s.out_count, sizeof *out);
    if (into->ranges) {
        memcpy(into->ranges, out, s.out_count * sizeof *out);
        into->range_count = s.out_count;
    }
    w->ranges += s.out_count;
}

/* ---- the order of sets ---- */

static void report(struct work *w, struct operation *op)
{
    if (!op->reported) {
        op->reported = true;
        load_error(w->l, "ipset-cycle", op->what.offset,
                   "\"" SLICE_FMT "\" leads back to this set: an IP set cannot contain itself",
                   SLICE_ARG(op->what.text));
    }
}

/* The references from the open set `index` up to the top of the stack. */
static void cycle(struct work *w, const struct frame *stack, size_t depth, uint32_t index)
{
    bool within = false;
    for (size_t i = 0; i < depth && w->cycles < CYCLES_MAX; i++) {
        within |= stack[i].set == index;
        if (within) {
            report(w, &w->sets[stack[i].set].at[stack[i].next - 1]);
        }
    }
    w->cycles++;
}

static void visit(struct work *w, struct frame *stack, uint32_t first)
{
    size_t depth = 1;
    stack[0] = (struct frame){first, 0};
    w->sets[first].color = OPEN;
    while (depth) {
        struct frame *top = &stack[depth - 1];
        struct set *s = &w->sets[top->set];
        if (top->next == s->count) {
            s->color = DONE;
            work_out(w, top->set);
            depth--;
            continue;
        }
        const struct selector *what = &s->at[top->next++].what;
        if (what->kind != SELECTOR_IPSET) {
            continue;
        }
        if (w->sets[what->index].color == OPEN) {
            cycle(w, stack, depth, what->index);
        } else if (w->sets[what->index].color == NEW) {
            w->sets[what->index].color = OPEN;
            stack[depth++] = (struct frame){what->index, 0};
        }
    }
}

static bool set_name(struct loader *l, const struct word *name)
{
    if (slice_starts(name->text, S("ipset:")) && name->text.n > 6) {
        return true;
    }
    load_hint_prefix(load_error(l, "ipset-name", name->offset,
                                "\"" SLICE_FMT
                                "\": names of IP sets start with 'ipset:', then the name",
                                SLICE_ARG(name->text)),
                     "ipset:", name->text);
    return false;
}

void load_ipsets(struct loader *l, const struct hujson_node *n)
{
    size_t count = l->p->ipset_count;
    struct work w = {.l = l, .sets = load_scratch(l, count, sizeof *w.sets)};
    struct frame *stack = load_scratch(l, count, sizeof *stack);
    if (!w.sets || !stack) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct word *name = &l->p->ipsets[i].name;
        if (name->text.p && set_name(l, name)) {
            operations(l, hujson_at(n, i), &w.sets[i]);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (w.sets[i].color == NEW) {
            visit(&w, stack, i);
        }
    }
}
