/* Chunks in a chain; a piece larger than a chunk gets one of its own. */
#include "lib/base/arena.h"

#include <string.h>

#include "lib/base/mem.h"

#define CHUNK (16 * KIB)
#define ALIGN 16u

struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(ALIGN) char bytes[];
};

struct arena {
    struct chunk *chunks;
    size_t used, max;
};

struct arena *arena_new(size_t max)
{
    struct arena *a = mem_new(sizeof(*a));
    a->max = max;
    return a;
}

void arena_free(struct arena *a)
{
    if (!a) {
        return;
    }
    for (struct chunk *c = a->chunks; c;) {
        struct chunk *next = c->next;
        mem_free(c);
        c = next;
    }
    mem_free(a);
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t rounded = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (rounded < size || rounded > a->max - a->used) {
        return NULL;
    }
    struct chunk *c = a->chunks;
    if (!c || c->size - c->used < rounded) {
        size_t room = rounded > CHUNK ? rounded : CHUNK;
        c = mem_try(sizeof(*c) + room);
        if (!c) {
            return NULL;
        }
        c->size = room;
        c->next = a->chunks;
        a->chunks = c;
    }
    void *p = c->bytes + c->used;
    c->used += rounded;
    a->used += rounded;
    return p;
}

char *arena_strdup(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (p && s.n) {
        memcpy(p, s.p, s.n);
    }
    return p;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}
