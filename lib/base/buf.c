/*
 * The capped buffer. Consumed bytes in front are reclaimed lazily: memory is moved only when the
 * tail has no room, and at most once per doubling, so that a queue that is filled and drained costs
 * amortised one copy.
 */
#include "lib/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

#define BUF_FIRST 256u /* most buffers hold a line or a frame header */

void buf_init(struct buf *b, size_t max)
{
    *b = BUF_MAX(max);
}

void buf_deinit(struct buf *b)
{
    free(b->p);
    *b = BUF_MAX(b->max);
}

void buf_clear(struct buf *b)
{
    b->head = b->len = 0;
    b->full = b->starved = false;
}

static bool grow(struct buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : BUF_FIRST;
    while (cap < need) {
        cap *= 2;
    }
    if (cap > b->max) {
        cap = b->max;
    }
    char *p = realloc(b->p, cap + 1); /* one more for buf_cstr */
    if (!p) {
        b->starved = true;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

int buf_reserve(struct buf *b, size_t want)
{
    if (want > b->max - b->len) {
        return BUF_FULL;
    }
    if (b->p && b->cap - b->head - b->len >= want) {
        return 0;
    }
    if (b->p && b->head && b->len) {
        memmove(b->p, b->p + b->head, b->len);
    }
    b->head = 0;
    if (b->p && b->cap - b->len >= want) {
        return 0;
    }
    return grow(b, b->len + want) ? 0 : BUF_FULL;
}

char *buf_tail(struct buf *b)
{
    return b->p ? b->p + b->head + b->len : NULL;
}

size_t buf_room(const struct buf *b)
{
    return b->p ? b->cap - b->head - b->len : 0;
}

void buf_commit(struct buf *b, size_t n)
{
    b->len += n;
}

void buf_consume(struct buf *b, size_t n)
{
    b->head += n;
    b->len -= n;
    if (!b->len) {
        b->head = 0;
    }
}

void buf_truncate(struct buf *b, size_t len)
{
    if (len < b->len) {
        b->len = len;
    }
}

int buf_push(struct buf *b, struct slice s)
{
    if (!s.n) {
        return 0;
    }
    if (buf_reserve(b, s.n)) {
        return BUF_FULL;
    }
    memcpy(buf_tail(b), s.p, s.n);
    b->len += s.n;
    return 0;
}

void buf_add(struct buf *b, struct slice s)
{
    if (b->full || buf_push(b, s)) {
        b->full = true;
    }
}

void buf_addc(struct buf *b, char c)
{
    buf_add(b, slice_of(&c, 1));
}

void buf_adds(struct buf *b, const char *text)
{
    buf_add(b, slice_str(text));
}

void buf_addv(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n < 0 || b->full || buf_reserve(b, (size_t)n)) {
        b->full = true;
    } else if (n > 0) {
        (void)vsnprintf(buf_tail(b), (size_t)n + 1, fmt,
                        again); /* cap + 1 leaves room for the NUL */
        b->len += (size_t)n;
    }
    va_end(again);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_addv(b, fmt, ap);
    va_end(ap);
}

const char *buf_cstr(struct buf *b)
{
    if (!b->p) {
        return "";
    }
    b->p[b->head + b->len] = 0;
    return b->p + b->head;
}

char *buf_steal_cstr(struct buf *b)
{
    char *text = mem_strndup(buf_slice(b).p, b->len);
    buf_deinit(b);
    return text;
}
