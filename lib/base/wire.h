#pragma once
/*
 * Sticky-error cursors for binary formats (big endian). After the first
 * overrun every read returns zero or the empty slice; check once at the end.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/slice.h"

struct rd {
    const uint8_t *p;
    size_t n;
    bool bad;
};

struct rd rd_of(struct slice s);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u24(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
struct slice rd_bytes(struct rd *r, size_t n);
struct slice rd_vec8(struct rd *r); /* length-prefixed, 1 byte */
struct slice rd_vec16(struct rd *r);
struct slice rd_vec24(struct rd *r);
bool rd_ok(const struct rd *r);  /* nothing overran */
bool rd_end(const struct rd *r); /* nothing overran and nothing is left */

/* Writers append to a buf; overflow shows in buf_ok(). */
void wr_u8(struct buf *b, uint8_t v);
void wr_u16(struct buf *b, uint16_t v);
void wr_u24(struct buf *b, uint32_t v);
void wr_u32(struct buf *b, uint32_t v);
void wr_u64(struct buf *b, uint64_t v);
void wr_vec8(struct buf *b, struct slice s); /* marks the buf full when s is too long */
void wr_vec16(struct buf *b, struct slice s);
void wr_vec24(struct buf *b, struct slice s);
