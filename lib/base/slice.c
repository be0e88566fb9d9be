/* Byte slices: comparing, cutting, strict numbers. Nothing here allocates but slice_dup. */
#include "lib/base/slice.h"

#include "lib/base/mem.h"

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
    return a.n == b.n && slice_starts_nocase(a, b);
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int r = n ? memcmp(a.p, b.p, n) : 0;
    return r ? r : (a.n > b.n) - (a.n < b.n);
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_eq(slice_of(s.p, prefix.n), prefix);
}

bool slice_starts_nocase(struct slice s, struct slice prefix)
{
    if (s.n < prefix.n) {
        return false;
    }
    for (size_t i = 0; i < prefix.n; i++) {
        if (lower(s.p[i]) != lower(prefix.p[i])) {
            return false;
        }
    }
    return true;
}

bool slice_ends(struct slice s, struct slice suffix)
{
    return s.n >= suffix.n && slice_eq(slice_skip(s, s.n - suffix.n), suffix);
}

struct slice slice_sub(struct slice s, size_t from, size_t len)
{
    s = slice_skip(s, from);
    return slice_of(s.p, len < s.n ? len : s.n);
}

struct slice slice_skip(struct slice s, size_t n)
{
    if (n > s.n) {
        n = s.n;
    }
    return n ? slice_of(s.p + n, s.n - n) : s;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
    while (s.n && blank(s.p[0])) {
        s = slice_skip(s, 1);
    }
    while (s.n && blank(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

ptrdiff_t slice_find(struct slice s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? at - s.p : -1;
}

ptrdiff_t slice_rfind(struct slice s, char c)
{
    for (size_t i = s.n; i > 0; i--) {
        if (s.p[i - 1] == c) {
            return (ptrdiff_t)(i - 1);
        }
    }
    return -1;
}

/* An exhausted rest has p == NULL, so that "a," gives two parts and "" gives one empty part. */
bool slice_split(struct slice *rest, char sep, struct slice *out_part)
{
    if (!rest->p) {
        return false;
    }
    ptrdiff_t at = slice_find(*rest, sep);
    if (at < 0) {
        *out_part = *rest;
        *rest = slice_of(NULL, 0);
    } else {
        *out_part = slice_of(rest->p, (size_t)at);
        *rest = slice_of(rest->p + at + 1, rest->n - (size_t)at - 1);
    }
    return true;
}

bool slice_u64(struct slice s, uint64_t max, uint64_t *out_value)
{
    uint64_t v = 0;
    if (!s.n) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)((unsigned char)s.p[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, digit, &v)) {
            return false;
        }
    }
    if (v > max) {
        return false;
    }
    *out_value = v;
    return true;
}

bool slice_copy(struct slice s, char *out, size_t out_size)
{
    if (s.n >= out_size || (s.n && memchr(s.p, 0, s.n))) {
        return false;
    }
    if (s.n) {
        memcpy(out, s.p, s.n);
    }
    out[s.n] = 0;
    return true;
}

char *slice_dup(struct slice s)
{
    return mem_strndup(s.p, s.n);
}

#define NEAREST_MAX 48 /* names longer than this are not worth a guess */

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static bool swapped(struct slice a, size_t i, const char *b, size_t j)
{
    return i > 1 && j > 1 && lower(a.p[i - 1]) == lower(b[j - 2]) &&
           lower(a.p[i - 2]) == lower(b[j - 1]);
}

/* Insertions, deletions, changes, and two neighbours that changed places count one each. */
static unsigned distance(struct slice a, const char *b, size_t bn)
{
    unsigned before[NEAREST_MAX + 1] = {0}, last[NEAREST_MAX + 1], row[NEAREST_MAX + 1];
    for (size_t j = 0; j <= bn; j++) {
        last[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a.n; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= bn; j++) {
            unsigned best = last[j - 1] + (lower(a.p[i - 1]) != lower(b[j - 1]));
            best = smaller(best, smaller(last[j], row[j - 1]) + 1);
            row[j] = swapped(a, i, b, j) ? smaller(best, before[j - 2] + 1) : best;
        }
        memcpy(before, last, (bn + 1) * sizeof *row);
        memcpy(last, row, (bn + 1) * sizeof *row);
    }
    return last[bn];
}

const char *slice_nearest(struct slice word, const char *const *candidates, size_t count)
{
    unsigned best = word.n > 8 ? 4 : 3;
    const char *found = NULL;
    for (size_t i = 0; i < count && word.n <= NEAREST_MAX; i++) {
        size_t n = strlen(candidates[i]);
        unsigned d = n <= NEAREST_MAX ? distance(word, candidates[i], n) : best;
        if (d < best && d < word.n) {
            best = d;
            found = candidates[i];
        }
    }
    return found;
}
