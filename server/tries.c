/* One map: "network account" for failures in a row, "network" alone for tries a minute. */
#include "server/tries.h"

#include "lib/base/map.h"
#include "lib/base/mem.h"

enum { KEY_SIZE = 320, MINUTE_S = 60 };

struct entry {
    unsigned count;
    struct mono since, until; /* until: no try before; kept TRIES_WAIT_MOST_S longer */
};

struct tries {
    struct map *entries;
};

struct tries *tries_new(void)
{
    struct tries *t = mem_new(sizeof *t);
    t->entries = map_new();
    return t;
}

void tries_free(struct tries *t)
{
    if (t) {
        map_free_values(t->entries);
        mem_free(t);
    }
}

size_t tries_count(const struct tries *t)
{
    return map_count(t->entries);
}

/* The network as bytes, IPv4 in its mapped form: `v4` bytes of an IPv4 address or `v6` of an IPv6
 * one. */
static size_t network(const struct addr *from, size_t v4, size_t v6, char out[16])
{
    enum { MAPPED = 12 };

    static const uint8_t mapped[MAPPED] = {[10] = 0xff, [11] = 0xff};
    uint8_t bytes[16];
    addr_to_bytes(from, bytes);
    memcpy(out, bytes, sizeof bytes);
    return memcmp(bytes, mapped, MAPPED) == 0 ? MAPPED + v4 : v6;
}

static struct slice account_key(const struct addr *from, struct slice account, char out[KEY_SIZE])
{
    size_t n = network(from, 3, 7, out);
    out[n++] = ' ';
    for (size_t i = 0; i < account.n && n < KEY_SIZE; i++) {
        char c = account.p[i];
        out[n++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return slice_of(out, n);
}

static struct slice address_key(const struct addr *from, char out[KEY_SIZE])
{
    size_t n = network(from, 4, 8, out);
    return slice_of(out, n);
}

void tries_sweep(struct tries *t, struct mono now)
{
    struct map *kept = map_new();
    struct map_iter it = {0};
    struct slice key;
    void *value;
    while (map_next(t->entries, &it, &key, &value)) {
        struct entry *e = value;
        if (mono_reached(now, mono_after(e->until, SECONDS(TRIES_WAIT_MOST_S)))) {
            mem_free(e);
        } else {
            map_set(kept, key, e);
        }
    }
    map_free(t->entries);
    t->entries = kept;
}

static struct entry *entry(struct tries *t, struct slice key, struct mono now)
{
    struct entry *e = map_get(t->entries, key);
    if (e) {
        return e;
    }
    if (map_count(t->entries) >= TRIES_KEPT) {
        tries_sweep(t, now);
    }
    if (map_count(t->entries) >= TRIES_KEPT) {
        map_free_values(t->entries); /* full of fresh ones: start over, rather than grow */
        t->entries = map_new();
    }
    e = mem_new(sizeof *e);
    e->since = e->until = now;
    map_set(t->entries, key, e);
    return e;
}

static int seconds_until(struct mono now, struct mono until)
{
    return (int)((until.ns - now.ns + SECONDS(1) - 1) / SECONDS(1));
}

enum tries_answer tries_ask(struct tries *t,
                            const struct addr *from,
                            struct slice account,
                            struct mono now,
                            int *out_wait_s)
{
    char key[KEY_SIZE];
    const struct entry *failures = map_get(t->entries, account_key(from, account, key));
    if (failures && !mono_reached(now, failures->until)) {
        *out_wait_s = seconds_until(now, failures->until);
        return TRIES_WAIT;
    }
    struct entry *minute = entry(t, address_key(from, key), now);
    if (mono_reached(now, mono_after(minute->since, SECONDS(MINUTE_S)))) {
        *minute = (struct entry){.since = now, .until = now};
    }
    if (minute->count >= TRIES_PER_MINUTE) {
        *out_wait_s = seconds_until(now, mono_after(minute->since, SECONDS(MINUTE_S)));
        return TRIES_WAIT;
    }
    minute->count++;
    return TRIES_GO;
}

unsigned
tries_failed(struct tries *t, const struct addr *from, struct slice account, struct mono now)
{
    enum { DOUBLINGS = 9 };

    char key[KEY_SIZE];
    struct entry *e = entry(t, account_key(from, account, key), now);
    e->count++;
    if (e->count >= TRIES_FREE) {
        unsigned n = e->count - TRIES_FREE < DOUBLINGS ? e->count - TRIES_FREE : DOUBLINGS;
        int64_t wait = 2 << n;
        e->until = mono_after(now, SECONDS(wait < TRIES_WAIT_MOST_S ? wait : TRIES_WAIT_MOST_S));
    } else {
        e->until = now;
    }
    return e->count;
}

void tries_succeeded(struct tries *t, const struct addr *from, struct slice account)
{
    char key[KEY_SIZE];
    mem_free(map_del(t->entries, account_key(from, account, key)));
}
