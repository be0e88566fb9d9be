#pragma once
/*
 * Fault sweep over allocations that may fail: count them once, then run again and let each in turn
 * fail. For tests named *_fault_test.c, whose link wraps these functions. Include once.
 */
#include <stdlib.h>

#include "lib/base/arena.h"
#include "lib/base/mem.h"

static size_t fault_calls, fault_at; /* fail the fault_at-th call; 0: none */

static bool fault_now(void)
{
    return ++fault_calls == fault_at;
}

/* NOLINTBEGIN: the linker's names */
void *__real_mem_try(size_t size);
void *__wrap_mem_try(size_t size);
void *__real_realloc(void *ptr, size_t size);
void *__wrap_realloc(void *ptr, size_t size);
void *__real_arena_alloc(struct arena *a, size_t size);
void *__wrap_arena_alloc(struct arena *a, size_t size);
char *__real_arena_strdup(struct arena *a, struct slice s);
char *__wrap_arena_strdup(struct arena *a, struct slice s);

void *__wrap_mem_try(size_t size)
{
    return fault_now() ? NULL : __real_mem_try(size);
}

void *__wrap_realloc(void *ptr, size_t size)
{
    return fault_now() ? NULL : __real_realloc(ptr, size);
}

void *__wrap_arena_alloc(struct arena *a, size_t size)
{
    return fault_now() ? NULL : __real_arena_alloc(a, size);
}

char *__wrap_arena_strdup(struct arena *a, struct slice s)
{
    return fault_now() ? NULL : __real_arena_strdup(a, s);
}

/* NOLINTEND */
