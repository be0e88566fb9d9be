/* A bucket is the time at which it will be full again: absent and full are the same. */
#include "server/rates.h"

#include "lib/base/map.h"
#include "lib/base/mem.h"

struct rates {
    int64_t step, room; /* ns per call; ns that a full bucket may be overdrawn by */
    struct map *buckets;
    struct mono swept;
    struct mono overflow;
};

struct rates *rates_new(int64_t per_second, int64_t burst)
{
    struct rates *r = mem_new(sizeof *r);
    r->step = per_second > 0 ? SECONDS(1) / per_second : 0;
    r->room = r->step * (burst > 1 ? burst - 1 : 0);
    r->buckets = map_new();
    return r;
}

void rates_free(struct rates *r)
{
    if (r) {
        map_free_values(r->buckets);
        mem_free(r);
    }
}

void rates_sweep(struct rates *r, struct mono now)
{
    struct map *kept = map_new();
    struct map_iter it = {0};
    struct slice who;
    void *value;
    while (map_next(r->buckets, &it, &who, &value)) {
        struct mono *full = value;
        if (full->ns > now.ns) {
            map_set(kept, who, full);
        } else {
            mem_free(full);
        }
    }
    map_free(r->buckets);
    r->buckets = kept;
    r->swept = now;
}

static struct mono *bucket_of(struct rates *r, struct slice who, struct mono now)
{
    struct mono *full = map_get(r->buckets, who);
    if (full) {
        return full;
    }
    if (map_count(r->buckets) >= RATES_KEPT && now.ns - r->swept.ns >= SECONDS(1)) {
        rates_sweep(r, now);
    }
    if (map_count(r->buckets) >= RATES_KEPT) {
        return &r->overflow;
    }
    full = mem_new(sizeof *full);
    map_set(r->buckets, who, full);
    return full;
}

int rates_take(struct rates *r, struct slice who, struct mono now)
{
    if (!r->step) {
        return 0;
    }
    struct mono *full = bucket_of(r, who, now);
    int64_t ahead = full->ns > now.ns ? full->ns - now.ns : 0;
    if (ahead > r->room) {
        return (int)((ahead - r->room + SECONDS(1) - 1) / SECONDS(1));
    }
    *full = mono_after(now, ahead + r->step);
    return 0;
}

size_t rates_count(const struct rates *r)
{
    return map_count(r->buckets);
}
