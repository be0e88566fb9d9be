/* Allocation with two failure modes; see the header. The abort path uses write(2) only. */
#include "lib/base/mem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static NORETURN void out_of_memory(void)
{
    static const char text[] = "out of memory for a fixed-size object: giving up\n";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    abort();
}

void *mem_new(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p) {
        out_of_memory();
    }
    return p;
}

void *mem_new_array(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1); /* calloc checks the product */
    if (!p) {
        out_of_memory();
    }
    return p;
}

void *mem_try(size_t size)
{
    return calloc(1, size ? size : 1);
}

char *mem_strndup(const char *text, size_t len)
{
    char *p = mem_new(len + 1);
    if (len) {
        memcpy(p, text, len);
    }
    return p;
}

char *mem_strdup(const char *text)
{
    return mem_strndup(text, strlen(text));
}

void mem_free(void *ptr)
{
    free(ptr);
}

void mem_give_back(void)
{
    malloc_trim(0);
}
