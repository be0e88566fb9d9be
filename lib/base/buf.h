#pragma once
/*
 * A growable byte buffer that cannot be made without a maximum. The first
 * failed push is remembered (`full`), so that a long composition may be
 * checked once at its end with buf_ok().
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/slice.h"

enum { BUF_FULL = 1 };

struct buf {
    char *p;
    size_t head; /* bytes before this were consumed */
    size_t len;  /* bytes after head */
    size_t cap;
    size_t max;
    bool full;
    bool starved; /* a push failed for want of memory, not for the maximum */
};

#define BUF_MAX(bytes) ((struct buf){.max = (bytes)})

void buf_init(struct buf *b, size_t max);
void buf_deinit(struct buf *b); /* legal on any initialised or zeroed buf; may be used again */
void buf_clear(struct buf *b);  /* keeps the memory, clears `full` and `starved` */

int buf_push(struct buf *b, struct slice s) MUST_CHECK; /* 0 or BUF_FULL, nothing added then */
void buf_add(struct buf *b, struct slice s);            /* sticky: sets `full` */
void buf_addc(struct buf *b, char c);
void buf_adds(struct buf *b, const char *text);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_addv(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);

static inline bool buf_ok(const struct buf *b)
{
    return !b->full;
}

/* At least `want` writable bytes at buf_tail(), or BUF_FULL. */
int buf_reserve(struct buf *b, size_t want) MUST_CHECK;
char *buf_tail(struct buf *b);
size_t buf_room(const struct buf *b); /* writable now, without growing */
void buf_commit(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* n <= len */
void buf_truncate(struct buf *b, size_t len);

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->p ? b->p + b->head : "", b->len};
}

/* NUL-terminated view (the NUL is not counted); valid until the next change. "" when out of room.
 */
const char *buf_cstr(struct buf *b);
char *buf_steal_cstr(struct buf *b); /* mem_free; buf is empty after */
