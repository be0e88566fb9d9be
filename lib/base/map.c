/* Open addressing with linear probing and backward-shift deletion; SipHash-2-4 with a key per map.
 */
#include "lib/base/map.h"

#include <stdint.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/secret.h"

#define FIRST_SLOTS 16u

struct slot {
    char *key; /* NULL: free */
    size_t len;
    uint64_t hash;
    void *value;
};

struct map {
    struct slot *slots;
    size_t size, count; /* size is a power of two */
    uint64_t k0, k1;
};

static uint64_t rotl(uint64_t x, unsigned b)
{
    return x << b | x >> (64 - b);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static uint64_t siphash(const struct map *m, struct slice s)
{
    uint64_t v[4] = {m->k0 ^ 0x736f6d6570736575u, m->k1 ^ 0x646f72616e646f6du,
                     m->k0 ^ 0x6c7967656e657261u, m->k1 ^ 0x7465646279746573u};
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        uint64_t word;
        memcpy(&word, s.p + i, 8);
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)s.n << 56;
    for (size_t j = 0; i + j < s.n; j++) {
        last |= (uint64_t)(unsigned char)s.p[i + j] << (8 * j);
    }
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int r = 0; r < 4; r++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(void)
{
    struct map *m = mem_new(sizeof(*m));
    m->size = FIRST_SLOTS;
    m->slots = mem_new_array(m->size, sizeof(*m->slots));
    secret_random(&m->k0, sizeof(m->k0));
    secret_random(&m->k1, sizeof(m->k1));
    return m;
}

void map_free(struct map *m)
{
    if (!m) {
        return;
    }
    for (size_t i = 0; i < m->size; i++) {
        mem_free(m->slots[i].key);
    }
    mem_free(m->slots);
    mem_free(m);
}

size_t map_count(const struct map *m)
{
    return m->count;
}

/* The slot of the key, or the free slot where it would go. */
static struct slot *find(const struct map *m, struct slice key, uint64_t hash)
{
    for (size_t i = hash & (m->size - 1);; i = (i + 1) & (m->size - 1)) {
        struct slot *s = &m->slots[i];
        if (!s->key || (s->hash == hash && slice_eq(slice_of(s->key, s->len), key))) {
            return s;
        }
    }
}

void *map_get(const struct map *m, struct slice key)
{
    const struct slot *s = find(m, key, siphash(m, key));
    return s->key ? s->value : NULL;
}

static void grow(struct map *m)
{
    struct slot *old = m->slots;
    size_t old_size = m->size;
    m->size *= 2;
    m->slots = mem_new_array(m->size, sizeof(*m->slots));
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].key) {
            *find(m, slice_of(old[i].key, old[i].len), old[i].hash) = old[i];
        }
    }
    mem_free(old);
}

void *map_set(struct map *m, struct slice key, void *value)
{
    uint64_t hash = siphash(m, key);
    struct slot *s = find(m, key, hash);
    if (s->key) {
        void *before = s->value;
        s->value = value;
        return before;
    }
    if ((m->count + 1) * 4 > m->size * 3) {
        grow(m);
        s = find(m, key, hash);
    }
    *s = (struct slot){.key = slice_dup(key), .len = key.n, .hash = hash, .value = value};
    m->count++;
    return NULL;
}

void *map_del(struct map *m, struct slice key)
{
    struct slot *s = find(m, key, siphash(m, key));
    if (!s->key) {
        return NULL;
    }
    void *value = s->value;
    mem_free(s->key);
    m->count--;
    size_t mask = m->size - 1, hole = (size_t)(s - m->slots);
    for (size_t i = (hole + 1) & mask; m->slots[i].key; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct slot){0};
    return value;
}

bool map_next(const struct map *m, struct map_iter *it, struct slice *out_key, void **out_value)
{
    while (it->slot < m->size) {
        const struct slot *s = &m->slots[it->slot++];
        if (s->key) {
            *out_key = slice_of(s->key, s->len);
            *out_value = s->value;
            return true;
        }
    }
    return false;
}

void map_free_values(struct map *m)
{
    struct map_iter it = {0};
    struct slice key;
    void *value;
    while (m && map_next(m, &it, &key, &value)) {
        mem_free(value);
    }
    map_free(m);
}
