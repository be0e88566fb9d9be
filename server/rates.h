#pragma once
/*
 * How fast one credential may call: `per_second` in the long run, `burst` at once (GCRA: one time
 * per credential, when its bucket will be full again). Bounded: with more credentials under way
 * than RATES_KEPT the others share one bucket.
 */
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/slice.h"

struct rates;

struct rates *rates_new(int64_t per_second, int64_t burst); /* per_second 0: no limit */
void rates_free(struct rates *r);                           /* takes NULL */
/* 0: go on; else how many seconds to wait, at least 1. */
int rates_take(struct rates *r, struct slice who, struct mono now);
/* Drops those whose bucket is full; once a minute. */
void rates_sweep(struct rates *r, struct mono now);
size_t rates_count(const struct rates *r);

enum { RATES_KEPT = 10000 /* some 2 MiB */ };
