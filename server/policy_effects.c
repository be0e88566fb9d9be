/* The difference of two snapshots, told by attribute. */
#include "server/policy_effects.h"

#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"

enum { NAMED_MAX = 100 /* devices in one list; the counts are whole */ };

enum { GAINING, LOSING };

struct effect {
    struct slice name;
    size_t count[2];
    size_t changes; /* has it before and after, with other values */
    int64_t named[2][NAMED_MAX];
};

struct effects {
    struct policy_snapshot *before, *after;
    struct map *by_name;
};

static struct effect *effect_of(struct effects *e, struct slice name)
{
    struct effect *x = map_get(e->by_name, name);
    if (!x) {
        x = mem_new(sizeof *x);
        x->name = name;
        map_set(e->by_name, name, x);
    }
    return x;
}

static void count(struct effects *e, struct slice name, int direction, int64_t device)
{
    struct effect *x = effect_of(e, name);
    if (x->count[direction] < NAMED_MAX) {
        x->named[direction][x->count[direction]] = device;
    }
    x->count[direction]++;
}

/* Two lists in order of their names. */
static void
compare(struct effects *e, const struct policy_set *b, const struct policy_set *a, int64_t device)
{
    size_t i = 0, k = 0, bn = b->count, an = a->count;
    while (i < bn || k < an) {
        int order = i == bn ? 1 : k == an ? -1 : slice_cmp(b->caps[i].name, a->caps[k].name);
        if (order < 0) {
            count(e, b->caps[i++].name, LOSING, device);
        } else if (order > 0) {
            count(e, a->caps[k++].name, GAINING, device);
        } else {
            effect_of(e, a->caps[k].name)->changes += !slice_eq(b->caps[i].json, a->caps[k].json);
            i++;
            k++;
        }
    }
}

static const struct policy_set *set_at(const struct policy_snapshot *s, size_t position)
{
    static const struct policy_set nothing;
    return position == POLICY_NOWHERE ? &nothing : policy_snapshot_set(s, position);
}

static bool is_funnel(const struct effect *x)
{
    return slice_eq(x->name, S(POLICY_FUNNEL));
}

static size_t weight(const struct effect *x)
{
    return x->count[GAINING] + x->count[LOSING] + x->changes;
}

struct ranked {
    const struct effect *effect;
};

static int by_weight(const void *a, const void *b)
{
    const struct effect *x = ((const struct ranked *)a)->effect;
    const struct effect *y = ((const struct ranked *)b)->effect;
    if (is_funnel(x) != is_funnel(y)) {
        return is_funnel(x) ? -1 : 1;
    }
    if (weight(x) != weight(y)) {
        return weight(x) > weight(y) ? -1 : 1;
    }
    return slice_cmp(x->name, y->name);
}

static struct js *devices_json(const struct effect *x, int direction, struct db *names)
{
    struct js *list = js_array();
    for (size_t i = 0; i < x->count[direction] && i < NAMED_MAX; i++) {
        struct store_node n;
        if (store_node(names, x->named[direction][i], &n) == 0) {
            struct js *j = js_object();
            js_set_cstr(j, "nodeId", n.stable_id);
            js_set_cstr(j, "name", n.label);
            js_push(list, j);
        }
    }
    return list;
}

static struct js *effect_json(const struct effect *x, struct db *names)
{
    struct js *j = js_object();
    js_set_str(j, "name", x->name);
    js_set_int(j, "gains", (int64_t)x->count[GAINING]);
    js_set_int(j, "losses", (int64_t)x->count[LOSING]);
    js_set_int(j, "changes", (int64_t)x->changes);
    js_set(j, "gaining", devices_json(x, GAINING, names));
    js_set(j, "losing", devices_json(x, LOSING, names));
    return j;
}

static struct js *list_json(const struct effects *e, struct db *names)
{
    struct js *list = js_array();
    size_t n = 0;
    AUTO_FREE struct ranked *all = mem_new_array(map_count(e->by_name) + 1, sizeof *all);
    struct map_iter it = {0};
    struct slice key;
    void *value;
    while (map_next(e->by_name, &it, &key, &value)) {
        all[n++].effect = value;
    }
    qsort(all, n, sizeof *all, by_weight);
    for (size_t i = 0; i < n; i++) {
        if (weight(all[i].effect)) {
            js_push(list, effect_json(all[i].effect, names));
        }
    }
    return list;
}

struct js *
policy_effects_json(struct policy_snapshot *before, struct policy_snapshot *after, struct db *names)
{
    struct effects e = {before, after, map_new()};
    struct policy_changes changes;
    policy_changes(before, after, &changes);
    for (size_t i = 0; i < changes.count; i++) {
        const struct policy_change *c = &changes.at[i];
        compare(&e, set_at(before, c->before), set_at(after, c->after), c->id);
    }
    struct js *j = js_object();
    js_set_int(j, "devices", (int64_t)changes.count);
    js_set(j, "attributes", list_json(&e, names));
    policy_changes_free(&changes);
    map_free_values(e.by_name);
    return j;
}
