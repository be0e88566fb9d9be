/* Big-endian cursors whose first error sticks: read on, check once (STYLE habit 12). */
#include "lib/base/wire.h"

struct rd rd_of(struct slice s)
{
    return (struct rd){.p = (const uint8_t *)s.p, .n = s.n};
}

struct slice rd_bytes(struct rd *r, size_t n)
{
    if (r->bad || n > r->n) {
        r->bad = true;
        return slice_of("", 0);
    }
    struct slice s = slice_of(r->p, n);
    r->p += n;
    r->n -= n;
    return s;
}

static uint64_t rd_be(struct rd *r, size_t n)
{
    struct slice s = rd_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        v = v << 8 | (uint8_t)s.p[i];
    }
    return v;
}

uint8_t rd_u8(struct rd *r)
{
    return (uint8_t)rd_be(r, 1);
}

uint16_t rd_u16(struct rd *r)
{
    return (uint16_t)rd_be(r, 2);
}

uint32_t rd_u24(struct rd *r)
{
    return (uint32_t)rd_be(r, 3);
}

uint32_t rd_u32(struct rd *r)
{
    return (uint32_t)rd_be(r, 4);
}

uint64_t rd_u64(struct rd *r)
{
    return rd_be(r, 8);
}

struct slice rd_vec8(struct rd *r)
{
    return rd_bytes(r, rd_u8(r));
}

struct slice rd_vec16(struct rd *r)
{
    return rd_bytes(r, rd_u16(r));
}

struct slice rd_vec24(struct rd *r)
{
    return rd_bytes(r, rd_u24(r));
}

bool rd_ok(const struct rd *r)
{
    return !r->bad;
}

bool rd_end(const struct rd *r)
{
    return !r->bad && r->n == 0;
}

static void wr_be(struct buf *b, uint64_t v, size_t n)
{
    char bytes[8];
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (char)(v >> (8 * (n - 1 - i)) & 255);
    }
    buf_add(b, slice_of(bytes, n));
}

void wr_u8(struct buf *b, uint8_t v)
{
    wr_be(b, v, 1);
}

void wr_u16(struct buf *b, uint16_t v)
{
    wr_be(b, v, 2);
}

void wr_u24(struct buf *b, uint32_t v)
{
    wr_be(b, v, 3);
}

void wr_u32(struct buf *b, uint32_t v)
{
    wr_be(b, v, 4);
}

void wr_u64(struct buf *b, uint64_t v)
{
    wr_be(b, v, 8);
}

static void wr_vec(struct buf *b, struct slice s, size_t length_bytes, size_t max)
{
    if (s.n > max) {
        b->full = true;
        return;
    }
    wr_be(b, s.n, length_bytes);
    buf_add(b, s);
}

void wr_vec8(struct buf *b, struct slice s)
{
    wr_vec(b, s, 1, 0xff);
}

void wr_vec16(struct buf *b, struct slice s)
{
    wr_vec(b, s, 2, 0xffff);
}

void wr_vec24(struct buf *b, struct slice s)
{
    wr_vec(b, s, 3, 0xffffff);
}
