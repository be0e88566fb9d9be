#pragma once
/*
 * From a name to a number. As lib/base/map.h, but made for the evaluator, which asks twenty
 * thousand times per save: keys are borrowed (whoever owns the names outlives the table), eight
 * bytes are hashed at a time, and letters may match without regard to ASCII case. Hashes are seeded
 * per table.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/slice.h"

#define NAME_UNKNOWN UINT32_MAX

enum name_case { NAME_EXACT, NAME_FOLDED };

struct name_slot {
    struct slice name; /* p NULL: free */
    uint32_t hash, value;
};

struct name_table {
    struct name_slot *slots;
    size_t size, count; /* size: a power of two */
    uint64_t seed;
    enum name_case match;
};

/* room: how many names are expected. */
void names_init(struct name_table *t, enum name_case match, size_t room);
void names_deinit(struct name_table *t); /* also of a zeroed one */
/* NAME_UNKNOWN when absent. */
uint32_t names_get(const struct name_table *t, struct slice name);
/* The number of the name: the one that it has, or else this one from now on. */
uint32_t names_add(struct name_table *t, struct slice name, uint32_t value);
/* The same, but this one in any case. */
void names_set(struct name_table *t, struct slice name, uint32_t value);
