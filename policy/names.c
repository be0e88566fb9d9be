/* Open addressing, at most half full, linear probing; nothing is ever taken out. */
#include "policy/names.h"

#include "lib/base/mem.h"
#include "lib/base/secret.h"

enum { FIRST_SLOTS = 16 };

/* Lower-cases the ASCII letters among eight bytes at once. */
static uint64_t fold8(uint64_t x)
{
    const uint64_t ones = 0x0101010101010101u, high = ones * 0x80;
    uint64_t low7 = x & ~high;
    uint64_t from_a = low7 + ones * (0x80 - 'A'), past_z = low7 + ones * (0x7f - 'Z');
    uint64_t upper = (from_a ^ past_z) & ~x & high;
    return x | upper >> 2; /* 0x80 → 0x20, the bit between 'A' and 'a' */
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint32_t hash(const struct name_table *t, struct slice name)
{
    uint64_t h = t->seed ^ name.n, v;
    for (; name.n >= 8; name = slice_of(name.p + 8, name.n - 8)) {
        memcpy(&v, name.p, 8);
        h = mix(h, t->match == NAME_FOLDED ? fold8(v) : v);
    }
    v = 0;
    for (size_t i = 0; i < name.n; i++) {
        v |= (uint64_t)(unsigned char)name.p[i] << (8 * i);
    }
    h = mix(h, t->match == NAME_FOLDED ? fold8(v) : v);
    return (uint32_t)(h ^ h >> 32);
}

static bool same(const struct name_table *t, struct slice a, struct slice b)
{
    return slice_eq(a, b) || (t->match == NAME_FOLDED && slice_eq_nocase(a, b));
}

/* The name's slot, or the free one where it would go. */
static struct name_slot *find(const struct name_table *t, struct slice name, uint32_t h)
{
    for (size_t i = h & (t->size - 1);; i = (i + 1) & (t->size - 1)) {
        struct name_slot *s = &t->slots[i];
        if (!s->name.p || (s->hash == h && same(t, s->name, name))) {
            return s;
        }
    }
}

void names_init(struct name_table *t, enum name_case match, size_t room)
{
    *t = (struct name_table){.size = FIRST_SLOTS, .match = match};
    while (t->size < 2 * room) {
        t->size *= 2;
    }
    t->slots = mem_new_array(t->size, sizeof *t->slots);
    secret_random(&t->seed, sizeof t->seed);
}

void names_deinit(struct name_table *t)
{
    mem_free(t->slots);
    *t = (struct name_table){0};
}

uint32_t names_get(const struct name_table *t, struct slice name)
{
    const struct name_slot *s = find(t, name, hash(t, name));
    return s->name.p ? s->value : NAME_UNKNOWN;
}

static void grow(struct name_table *t)
{
    struct name_slot *old = t->slots;
    size_t old_size = t->size;
    t->size *= 2;
    t->slots = mem_new_array(t->size, sizeof *t->slots);
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].name.p) {
            *find(t, old[i].name, old[i].hash) = old[i];
        }
    }
    mem_free(old);
}

static struct name_slot *place(struct name_table *t, struct slice name, uint32_t value)
{
    uint32_t h = hash(t, name);
    struct name_slot *s = find(t, name, h);
    if (s->name.p) {
        return s;
    }
    if (2 * (t->count + 1) > t->size) {
        grow(t);
        s = find(t, name, h);
    }
    *s = (struct name_slot){slice_of(name.p ? name.p : "", name.n), h, value};
    t->count++;
    return s;
}

uint32_t names_add(struct name_table *t, struct slice name, uint32_t value)
{
    return place(t, name, value)->value;
}

void names_set(struct name_table *t, struct slice name, uint32_t value)
{
    place(t, name, value)->value = value;
}
