/*
 * A row of bits in words: sorted capabilities, each with its JSON, and the ready-made capability
 * map. Written in one piece of memory when first asked for, and published by compare-and-swap, so
 * that threads that share a snapshot need no lock.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "policy/eval_priv.h"

/* ---- ports ---- */

int set_ports(struct policy_snapshot *s, const uint64_t *row, struct set_slot *slot)
{
    const struct policy_facts *f = s->facts;
    size_t end = s->name_count + s->list_count, ranges = 0, lists = 0;
    *slot = (struct set_slot){.funnel = s->funnel != NO_BIT && row_has(row, s->funnel)};
    if (!slot->funnel) {
        return 0;
    }
    slot->ports = (struct port_list){f->funnel_ports, f->funnel_port_count};
    for (size_t at = s->name_count; (at = row_next(row, at, end)) < end; at++) {
        slot->ports = s->lists[at - s->name_count];
        ranges += slot->ports.count;
        lists++;
    }
    if (lists < 2) {
        return 0;
    }
    struct port_range *merged = arena_alloc(s->arena, ranges * sizeof *merged);
    if (!merged) {
        return err_origin(-ENOMEM);
    }
    ranges = 0;
    for (size_t at = s->name_count; (at = row_next(row, at, end)) < end; at++) {
        const struct port_list *l = &s->lists[at - s->name_count];
        memcpy(merged + ranges, l->at, l->count * sizeof *merged);
        ranges += l->count;
    }
    slot->ports = (struct port_list){merged, port_ranges_merge(merged, ranges)};
    return 0;
}

/* ---- words ---- */

/* Counts when p is NULL, writes the same otherwise. */
struct pen {
    char *p;
    size_t n, caps;
    struct policy_cap *cap; /* array, or NULL while counting */
};

static void put(struct pen *w, struct slice s)
{
    if (w->p && s.n) {
        memcpy(w->p + w->n, s.p, s.n);
    }
    w->n += s.n;
}

static void put_ports(struct pen *w, const struct port_list *ports)
{
    for (size_t i = 0; i < ports->count; i++) {
        char text[16];
        const struct port_range *r = &ports->at[i];
        int n = r->first == r->last
                    ? snprintf(text, sizeof text, "%s%d", i ? "," : "", r->first)
                    : snprintf(text, sizeof text, "%s%d-%d", i ? "," : "", r->first, r->last);
        put(w, slice_of(text, (size_t)n));
    }
}

static void end_cap(struct pen *w, struct slice name, size_t value_at)
{
    if (w->cap) {
        w->cap[w->caps] = (struct policy_cap){name, slice_of(w->p + value_at, w->n - value_at)};
    }
    w->caps++;
}

static void put_funnel_ports(struct pen *w, const struct port_list *ports)
{
    put(w, w->caps ? S(",\"") : S("\""));
    size_t name_at = w->n;
    put(w, S(POLICY_PORTS_PREFIX));
    put_ports(w, ports);
    struct slice name = slice_of(w->p ? w->p + name_at : "", w->n - name_at);
    put(w, S("\":"));
    size_t value_at = w->n;
    put(w, S("null"));
    end_cap(w, name, value_at);
}

/* The values of one capability from one entry; more after `any`. */
static bool put_values(struct pen *w, const struct app_grant *app, bool any)
{
    for (size_t i = 0; i < app->value_count; i++) {
        put(w, any ? S(",") : S(""));
        put(w, app->values[i]);
        any = true;
    }
    return any;
}

/* False: no entry of this set has values for the name, it is an attribute here. */
static bool
put_array(struct pen *w, const struct policy_snapshot *s, const uint64_t *row, size_t name)
{
    size_t from = s->name_count + s->list_count, end = from + s->app_count;
    bool given = false, any = false;
    for (size_t at = from; (at = row_next(row, at, end)) < end; at++) {
        const struct app_entry *e = &s->apps[at - from];
        for (size_t i = 0; i < e->entry->app_count; i++) {
            if (e->names[i] != name) {
                continue;
            }
            put(w, given ? S("") : S("["));
            given = true;
            any = put_values(w, &e->entry->apps[i], any);
        }
    }
    put(w, given ? S("]") : S(""));
    return given;
}

static void
put_name(struct pen *w, const struct policy_snapshot *s, const uint64_t *row, size_t bit)
{
    const struct cap_name *n = &s->names[bit];
    put(w, w->caps ? S(",") : S(""));
    put(w, n->key);
    size_t value_at = w->n;
    if (!n->app || !put_array(w, s, row, bit)) {
        put(w, S("null"));
    }
    end_cap(w, n->name, value_at);
}

static void put_set(struct pen *w,
                    const struct policy_snapshot *s,
                    const uint64_t *row,
                    const struct set_slot *slot)
{
    bool ports_due = slot->funnel;
    put(w, S("{"));
    for (size_t bit = 0; (bit = row_next(row, bit, s->name_count)) < s->name_count; bit++) {
        if (ports_due && bit >= s->ports_at) {
            put_funnel_ports(w, &slot->ports);
            ports_due = false;
        }
        put_name(w, s, row, bit);
    }
    if (ports_due) {
        put_funnel_ports(w, &slot->ports);
    }
    put(w, S("}"));
}

const struct policy_set *
set_words(struct policy_snapshot *s, const uint64_t *row, struct set_slot *slot)
{
    struct policy_set *made = __atomic_load_n(&slot->made, __ATOMIC_ACQUIRE);
    if (made) {
        return made;
    }
    struct pen count = {0};
    put_set(&count, s, row, slot);
    size_t caps = count.caps * sizeof(struct policy_cap);
    size_t size = sizeof *made + caps + count.n;
    struct policy_set *set = mem_new(size);
    struct policy_cap *cap = (struct policy_cap *)(void *)(set + 1);
    struct pen write = {.p = (char *)(cap + count.caps), .cap = cap};
    put_set(&write, s, row, slot);
    *set = (struct policy_set){.caps = cap,
                               .count = count.caps,
                               .json = slice_of(write.p, write.n),
                               .funnel = slot->funnel,
                               .ports = slot->ports.at,
                               .port_count = slot->ports.count};
    if (!__atomic_compare_exchange_n(&slot->made, &made, set, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        mem_free(set); /* another thread was first */
        return made;
    }
    __atomic_add_fetch(&s->worded, size, __ATOMIC_RELAXED);
    return set;
}

bool policy_set_has(const struct policy_set *set, struct slice name)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_cmp(set->caps[middle].name, name);
        if (!order) {
            return true;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return false;
}

/* ---- questions about one capability ---- */

static uint32_t name_bit(const struct policy_snapshot *s, struct slice name)
{
    size_t low = 0, high = s->name_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_cmp(s->names[middle].name, name);
        if (!order) {
            return (uint32_t)middle;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NO_BIT;
}

void want_read(const struct policy_snapshot *s, struct slice attr, struct want *out_want)
{
    static const char query[] = "?ports=";
    struct slice full =
        slice_sub(S(POLICY_PORTS_PREFIX), 0, sizeof POLICY_PORTS_PREFIX - sizeof query);
    struct slice rest = slice_starts(attr, full) ? slice_skip(attr, full.n) : attr;
    if (slice_starts(rest, S("funnel-ports"))) {
        rest = slice_skip(rest, sizeof "funnel-ports" - 1);
    }
    *out_want = (struct want){.name = attr};
    if (rest.n < attr.n &&
        (!rest.n || (slice_starts(rest, slice_str(query)) &&
                     port_list_parse(slice_skip(rest, sizeof query - 1), out_want->ranges,
                                     ARRAY_LEN(out_want->ranges), &out_want->range_count)))) {
        out_want->ports = true;
        out_want->name = S(POLICY_FUNNEL);
    }
    out_want->bit = name_bit(s, out_want->name);
}

static bool port_covered(const struct set_slot *slot, const struct port_range *r)
{
    for (size_t i = 0; i < slot->ports.count; i++) {
        if (slot->ports.at[i].first <= r->first && r->last <= slot->ports.at[i].last) {
            return true;
        }
    }
    return false;
}

bool want_met(const struct policy_snapshot *s, size_t device, const struct want *w)
{
    uint32_t set = s->device_set[device];
    bool met = w->bit != NO_BIT && row_has(set_row(s, set), w->bit);
    for (size_t i = 0; met && i < w->range_count; i++) {
        met = port_covered(&s->slots[set], &w->ranges[i]);
    }
    return met;
}
