#pragma once
/*
 * Hash map from byte strings to pointers (keys are copied, values are the
 * caller's). Keyed SipHash, so that hostile names cannot force collisions.
 */
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/slice.h"

struct map;

struct map *map_new(void);
void map_free(struct map *m);        /* takes NULL; does not free the values */
void map_free_values(struct map *m); /* the values too, by mem_free; takes NULL */
DEFINE_AUTO(struct map, map_free)
size_t map_count(const struct map *m);
void *map_get(const struct map *m, struct slice key); /* NULL when absent */
void *
map_set(struct map *m, struct slice key, void *value); /* returns the value replaced, or NULL */
void *map_del(struct map *m, struct slice key);        /* returns the value removed, or NULL */

struct map_iter {
    size_t slot;
};

/* Start from a zeroed iterator. The map must not change meanwhile. */
bool map_next(const struct map *m, struct map_iter *it, struct slice *out_key, void **out_value);
