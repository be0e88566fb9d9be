#pragma once
/* Monotonic time for deadlines, wall time for people and certificates: two types that do not mix.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/slice.h"

struct mono {
    int64_t ns;
};

struct wall {
    int64_t s; /* seconds since 1970-01-01T00:00:00Z */
};

#define MS(n)      ((int64_t)(n)*1000000)
#define SECONDS(n) ((int64_t)(n)*1000000000)

struct mono mono_now(void);
struct wall wall_now(void);

static inline struct mono mono_after(struct mono t, int64_t ns)
{
    return (struct mono){t.ns + ns};
}

static inline bool mono_reached(struct mono now, struct mono deadline)
{
    return now.ns >= deadline.ns;
}

#define WALL_TEXT_SIZE 32
/* RFC 3339, UTC, whole seconds: 2026-11-24T12:00:00Z. */
void wall_format(struct wall t, char out[WALL_TEXT_SIZE]);
/* Now, with milliseconds, for logs: 2026-11-24T12:00:00.123Z. */
void wall_format_now_ms(char out[WALL_TEXT_SIZE + 8]);
bool wall_parse(struct slice text, struct wall *out_t);
