#pragma once
/*
 * Two names for two failure modes. mem_new and friends are for sizes that we
 * fix ourselves: out of memory logs one line and aborts. mem_try is for sizes
 * counted by the network or by a user: NULL has a tested answer.
 */
#include <stddef.h>

#include "lib/base/macros.h"

void *mem_new(size_t size);                     /* zeroed, never NULL */
void *mem_new_array(size_t count, size_t size); /* zeroed, overflow-checked */
void *mem_try(size_t size) MUST_CHECK;          /* zeroed or NULL */
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);
void mem_free(void *ptr); /* takes NULL */
/* After a burst: what was freed goes back to the system; the allocator would keep it for the next.
 */
void mem_give_back(void);

static inline void mem_freep(void *ptr_to_ptr)
{
    void **p = ptr_to_ptr;
    mem_free(*p);
    *p = NULL;
}

#define AUTO_FREE AUTO(mem_freep)
