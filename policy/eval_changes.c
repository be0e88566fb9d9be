/*
 * The difference of two snapshots. Their sets have bits of their own, so what is compared is
 * content; but once per pair of sets, not per device. A save that changes one entry leaves nearly
 * all pairs equal, and those never need to be put into words.
 */
#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "policy/eval_priv.h"

struct compare {
    struct policy_snapshot *before, *after;
    uint32_t *name_to;                /* bit before → bit after, or NO_BIT */
    uint32_t *app_before, *app_after; /* equal numbers: entries with equal app values */
    uint32_t *last;                   /* per set before: 1 + the set it was compared with */
    bool *equal;                      /* and the answer */
};

/* ---- what the bits of the two have to do with each other ---- */

static void match_names(struct compare *c)
{
    const struct policy_snapshot *a = c->before, *b = c->after;
    size_t k = 0;
    c->name_to = mem_new_array(a->name_count, sizeof *c->name_to);
    for (size_t i = 0; i < a->name_count; i++) {
        while (k < b->name_count && slice_cmp(b->names[k].name, a->names[i].name) < 0) {
            k++;
        }
        bool found = k < b->name_count && slice_eq(b->names[k].name, a->names[i].name);
        c->name_to[i] = found ? (uint32_t)k : NO_BIT;
    }
}

/* All of what an entry gives as app values, with lengths, so that no two of them look alike. */
static void put_apps(const struct attr_entry *e, struct buf *key)
{
    buf_clear(key);
    for (size_t k = 0; k < e->app_count; k++) {
        const struct app_grant *app = &e->apps[k];
        buf_addf(key, "%zu %zu ", app->capability.text.n, app->value_count);
        buf_add(key, app->capability.text);
        for (size_t v = 0; v < app->value_count; v++) {
            buf_addf(key, "%zu ", app->values[v].n);
            buf_add(key, app->values[v]);
        }
    }
}

/* Equal numbers, equal values. Without memory for the key every entry is one of its own: then sets
 * are compared in words. */
static uint32_t *number_apps(const struct policy_snapshot *s, struct map *seen, uint32_t *next)
{
    uint32_t *number = mem_new_array(s->app_count, sizeof *number);
    struct buf key = BUF_MAX(4 * POLICY_SIZE_MAX);
    for (size_t i = 0; i < s->app_count; i++) {
        put_apps(s->apps[i].entry, &key);
        const uint32_t *known = buf_ok(&key) ? map_get(seen, buf_slice(&key)) : NULL;
        number[i] = known ? *known : ++*next;
        if (!known && buf_ok(&key)) {
            map_set(seen, buf_slice(&key), &number[i]);
        }
    }
    buf_deinit(&key);
    return number;
}

static void compare_init(struct compare *c)
{
    AUTO(map_freep) struct map *seen = map_new();
    uint32_t next = 0;
    match_names(c);
    c->app_before = number_apps(c->before, seen, &next);
    c->app_after = number_apps(c->after, seen, &next);
    c->last = mem_new_array(c->before->set_count, sizeof *c->last);
    c->equal = mem_new_array(c->before->set_count, sizeof *c->equal);
}

static void compare_deinit(struct compare *c)
{
    mem_free(c->name_to);
    mem_free(c->app_before);
    mem_free(c->app_after);
    mem_free(c->last);
    mem_free(c->equal);
}

/* ---- one pair of sets ---- */

static bool names_equal(const struct compare *c, const uint64_t *a, const uint64_t *b)
{
    size_t a_end = c->before->name_count, b_end = c->after->name_count;
    size_t i = row_next(a, 0, a_end), k = row_next(b, 0, b_end);
    while (i < a_end && k < b_end) {
        if (c->name_to[i] != k) {
            return false;
        }
        i = row_next(a, i + 1, a_end);
        k = row_next(b, k + 1, b_end);
    }
    return i == a_end && k == b_end;
}

static bool ports_equal(const struct set_slot *a, const struct set_slot *b)
{
    return a->ports.count == b->ports.count &&
           (a->ports.at == b->ports.at ||
            !memcmp(a->ports.at, b->ports.at, a->ports.count * sizeof *a->ports.at));
}

/* The same values from the same row of entries. False may also be "in another way the same". */
static bool apps_equal(const struct compare *c, const uint64_t *a, const uint64_t *b)
{
    size_t a_from = c->before->name_count + c->before->list_count;
    size_t b_from = c->after->name_count + c->after->list_count;
    size_t a_end = a_from + c->before->app_count, b_end = b_from + c->after->app_count;
    size_t i = row_next(a, a_from, a_end), k = row_next(b, b_from, b_end);
    while (i < a_end && k < b_end) {
        if (c->app_before[i - a_from] != c->app_after[k - b_from]) {
            return false;
        }
        i = row_next(a, i + 1, a_end);
        k = row_next(b, k + 1, b_end);
    }
    return i == a_end && k == b_end;
}

static bool words_equal(const struct compare *c, uint32_t a, uint32_t b)
{
    const struct policy_set *x = set_words(c->before, set_row(c->before, a), &c->before->slots[a]);
    const struct policy_set *y = set_words(c->after, set_row(c->after, b), &c->after->slots[b]);
    return slice_eq(x->json, y->json);
}

static bool sets_equal(const struct compare *c, uint32_t a, uint32_t b)
{
    const uint64_t *x = set_row(c->before, a), *y = set_row(c->after, b);
    return names_equal(c, x, y) && ports_equal(&c->before->slots[a], &c->after->slots[b]) &&
           (apps_equal(c, x, y) || words_equal(c, a, b));
}

static bool pair_equal(struct compare *c, uint32_t a, uint32_t b)
{
    if (c->last[a] != b + 1) {
        c->last[a] = b + 1;
        c->equal[a] = sets_equal(c, a, b);
    }
    return c->equal[a];
}

/* ---- devices ---- */

/* Some port of `want` is not in `have`; both merged. */
static bool ports_missing(const struct set_slot *want, const struct set_slot *have)
{
    for (size_t i = 0; i < want->ports.count; i++) {
        bool covered = false;
        for (size_t k = 0; k < have->ports.count; k++) {
            covered |= have->ports.at[k].first <= want->ports.at[i].first &&
                       want->ports.at[i].last <= have->ports.at[k].last;
        }
        if (!covered) {
            return true;
        }
    }
    return false;
}

/* Position POLICY_NOWHERE: not there, which is as good as having nothing. */
struct side {
    const struct policy_snapshot *s; /* NULL: never was */
    size_t at;
};

static const struct set_slot *side_slot(const struct side *side)
{
    static const struct set_slot none;
    return side->at == POLICY_NOWHERE ? &none : device_slot(side->s, side->at);
}

static void
add_change(struct policy_changes *out, int64_t id, struct side before, struct side after)
{
    out->at[out->count++] = (struct policy_change){
        .id = id,
        .loses_funnel = ports_missing(side_slot(&before), side_slot(&after)),
        .gains_funnel = ports_missing(side_slot(&after), side_slot(&before)),
        .before = before.at,
        .after = after.at,
    };
}

/* One that came or went; with nothing, nobody needs to know. */
static void add_lone(struct policy_changes *out, struct side before, struct side after)
{
    const struct side *there = before.at == POLICY_NOWHERE ? &after : &before;
    if (there->s->device_set[there->at]) {
        add_change(out, there->s->facts->devices[there->at].id, before, after);
    }
}

/* Both lists of devices are in the order of ids. */
static void merge(struct compare *c, struct policy_changes *out)
{
    const struct policy_facts *f = c->before->facts, *g = c->after->facts;
    struct side a = {c->before, 0}, b = {c->after, 0};
    const struct side gone = {c->before, POLICY_NOWHERE}, none = {c->after, POLICY_NOWHERE};
    while (a.at < f->device_count && b.at < g->device_count) {
        int64_t id = f->devices[a.at].id, other = g->devices[b.at].id;
        if (id == other &&
            !pair_equal(c, c->before->device_set[a.at], c->after->device_set[b.at])) {
            add_change(out, id, a, b);
        } else if (id < other) {
            add_lone(out, a, none);
        } else if (id > other) {
            add_lone(out, gone, b);
        }
        a.at += id <= other;
        b.at += id >= other;
    }
    for (; a.at < f->device_count; a.at++) {
        add_lone(out, a, none);
    }
    for (; b.at < g->device_count; b.at++) {
        add_lone(out, gone, b);
    }
}

/* Losses first, each part in the order of ids. */
static void losses_first(struct policy_changes *c)
{
    struct policy_change *ordered = mem_new_array(c->count, sizeof *ordered);
    size_t n = 0;
    for (int gains = 0; gains < 2; gains++) {
        for (size_t i = 0; i < c->count; i++) {
            if (c->at[i].loses_funnel != (bool)gains) {
                ordered[n++] = c->at[i];
            }
        }
    }
    mem_free(c->at);
    c->at = ordered;
}

void policy_changes(const struct policy_snapshot *before,
                    const struct policy_snapshot *after,
                    struct policy_changes *out_changes)
{
    size_t most = after->facts->device_count + (before ? before->facts->device_count : 0);
    *out_changes = (struct policy_changes){.at = mem_new_array(most, sizeof *out_changes->at)};
    if (before) {
        struct compare c = {.before = snapshot_words(before), .after = snapshot_words(after)};
        compare_init(&c);
        merge(&c, out_changes);
        compare_deinit(&c);
    } else {
        for (size_t i = 0; i < after->facts->device_count; i++) {
            add_lone(out_changes, (struct side){NULL, POLICY_NOWHERE}, (struct side){after, i});
        }
    }
    losses_first(out_changes);
}

void policy_changes_free(struct policy_changes *c)
{
    mem_free(c->at);
    *c = (struct policy_changes){NULL, 0};
}
