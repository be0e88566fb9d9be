#pragma once
/* Bump allocator: many small pieces, one free. Bounded by `max` bytes in all. */
#include <stddef.h>

#include "lib/base/slice.h"

struct arena;

struct arena *arena_new(size_t max);
void arena_free(struct arena *a); /* takes NULL */
DEFINE_AUTO(struct arena, arena_free)
void *arena_alloc(struct arena *a, size_t size) MUST_CHECK; /* zeroed, 16-aligned, NULL past max */
char *arena_strdup(struct arena *a, struct slice s) MUST_CHECK; /* NUL-terminated copy */
size_t arena_used(const struct arena *a);
