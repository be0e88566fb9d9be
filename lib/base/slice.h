#pragma once
/*
 * A borrowed run of bytes. Everything from outside is a slice until it has
 * been validated; NUL-terminated strings exist only at libc's borders.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/macros.h"

struct slice {
    const char *p;
    size_t n;
};

#define S(lit)       ((struct slice){(lit), sizeof(lit) - 1})
#define SLICE_FMT    "%.*s"
#define SLICE_ARG(s) (int)(s).n, (s).p

static inline struct slice slice_of(const void *p, size_t n)
{
    return (struct slice){p, n};
}

/* NULL gives the empty slice. */
static inline struct slice slice_str(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

bool slice_eq(struct slice a, struct slice b);
bool slice_eq_nocase(struct slice a, struct slice b); /* ASCII only */
int slice_cmp(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);
struct slice slice_sub(struct slice s, size_t from, size_t len); /* clamped */
struct slice slice_skip(struct slice s, size_t n);               /* clamped */
struct slice slice_trim(struct slice s);                         /* blanks: space, TAB, CR, LF */
ptrdiff_t slice_find(struct slice s, char c);                    /* index or -1 */
ptrdiff_t slice_rfind(struct slice s, char c);

/* Cuts *rest at the first `sep`; false when *rest is used up. */
bool slice_split(struct slice *rest, char sep, struct slice *out_part);

/* Strict decimal: digits only, no sign, no blanks, no overflow past max. */
bool slice_u64(struct slice s, uint64_t max, uint64_t *out_value);

/* Copies with a final NUL; false when it does not fit or holds a NUL. */
bool slice_copy(struct slice s, char *out, size_t out_size);
char *slice_dup(struct slice s); /* mem_free */

/* The candidate nearest to `word` (edit distance <= 2, or 3 for long words), or NULL. */
const char *slice_nearest(struct slice word, const char *const *candidates, size_t count);
