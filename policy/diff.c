/*
 * Unified diff that people read: minimal (Myers' greedy search), and where several minimal ones say
 * the same, the one whose blocks begin at the outermost indentation.
 *
 * Lines are interned to classes, so that comparing is comparing pointers. Lines that the other side
 * does not have at all are set aside first: no matching can use them. What is left is searched up
 * to SEARCH_MAX edits; beyond that the best prefix found is kept and the search goes on behind it,
 * so that hostile texts cost time in proportion to their length, and only those lose minimality.
 */
#include <stdint.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "policy/policy.h"

enum { SEARCH_MAX = 512 }; /* half a MiB of trace */

struct line_class {
    uint32_t before, after; /* how often it stands on each side */
};

/* All lines of one text, with their LF. */
struct side {
    struct slice *text;
    struct line_class **class;
    bool *kept;
    size_t count;
    uint32_t *common; /* what the search sees: indices of the lines that stand on both sides */
    size_t common_count;
};

struct diff {
    struct side a, b;
    struct line_class *classes;
    int32_t *trace; /* row d: the furthest x on diagonals -d, -d+2, … d */
};

static void side_deinit(struct side *s)
{
    mem_free(s->text);
    mem_free(s->class);
    mem_free(s->kept);
    mem_free(s->common);
}

static void diff_deinit(struct diff *d)
{
    side_deinit(&d->a);
    side_deinit(&d->b);
    mem_free(d->classes);
    mem_free(d->trace);
}

/* ---- lines ---- */

static void *try_array(size_t count, size_t size)
{
    return mem_try((count + 1) * size); /* counts are below the texts' lengths: no overflow */
}

static bool split(struct slice text, struct side *s)
{
    size_t count = 1;
    for (size_t i = 0; i < text.n; i++) {
        count += text.p[i] == '\n';
    }
    s->text = try_array(count, sizeof *s->text);
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): it is an array of pointers */
    s->class = try_array(count, sizeof *s->class);
    s->kept = try_array(count, sizeof *s->kept);
    s->common = try_array(count, sizeof *s->common);
    if (!s->text || !s->class || !s->kept || !s->common) {
        return false;
    }
    while (text.n) {
        ptrdiff_t lf = slice_find(text, '\n');
        size_t n = lf < 0 ? text.n : (size_t)lf + 1;
        s->text[s->count++] = slice_of(text.p, n);
        text = slice_skip(text, n);
    }
    return true;
}

static bool classify(struct diff *d)
{
    size_t used = 0;
    AUTO(map_freep) struct map *m = map_new();
    d->classes = try_array(d->a.count + d->b.count, sizeof *d->classes);
    if (!d->classes) {
        return false;
    }
    for (size_t i = 0; i < d->a.count + d->b.count; i++) {
        bool in_a = i < d->a.count;
        struct side *s = in_a ? &d->a : &d->b;
        size_t at = in_a ? i : i - d->a.count;
        struct line_class *known = map_get(m, s->text[at]);
        if (!known) {
            known = &d->classes[used++];
            map_set(m, s->text[at], known);
        }
        known->before += in_a;
        known->after += !in_a;
        s->class[at] = known;
    }
    return true;
}

static void find_common(struct side *s, size_t head, size_t tail)
{
    for (size_t i = head; i < s->count - tail; i++) {
        if (s->class[i] -> before && s -> class[i] -> after) {
            s->common[s->common_count++] = (uint32_t)i;
        }
    }
}

/* ---- the search ---- */

/* The part of the common lines that is still to be matched: its corner, its size. */
struct area {
    const struct side *a, *b;
    int32_t x, y, width, height;
};

static bool same(const struct area *ar, int32_t x, int32_t y)
{
    return ar->a->class[ar->a->common[ar->x + x]] == ar->b->class[ar->b->common[ar->y + y]];
}

static int32_t *row_of(int32_t *trace, int32_t d)
{
    return trace + (ptrdiff_t)d * (d + 1) / 2;
}

/* Does diagonal k come from k + 1 (a line added), not from k - 1 (a line removed)? above is row
 * d - 1, where they stand at (k + d) / 2 and one before. */
static bool goes_down(const int32_t *above, int32_t d, int32_t k)
{
    int32_t at = (k + d) / 2;
    return k == -d || (k != d && above[at - 1] < above[at]);
}

/* Where diagonal k begins with its d-th edit, before it follows equal lines. */
static int32_t step(const int32_t *above, int32_t d, int32_t k)
{
    int32_t at = (k + d) / 2;
    return goes_down(above, d, k) ? above[at] : above[at - 1] + 1;
}

/* Searches until the far corner or SEARCH_MAX edits; answers the end of the best path. */
static void search(const struct area *ar, int32_t *trace, int32_t *out_edits, int32_t *out_diagonal)
{
    for (int32_t d = 0; d < SEARCH_MAX; d++) {
        int32_t *row = row_of(trace, d), best = -1;
        const int32_t *above = d ? row_of(trace, d - 1) : NULL;
        for (int32_t k = -d; k <= d; k += 2) {
            int32_t x = above ? step(above, d, k) : 0, y = x - k;
            while (x < ar->width && y < ar->height && same(ar, x, y)) {
                x++;
                y++;
            }
            row[(k + d) / 2] = x;
            if (x <= ar->width && y <= ar->height && x + y > best) {
                best = x + y;
                *out_edits = d;
                *out_diagonal = k;
            }
        }
        if (best == ar->width + ar->height) {
            return;
        }
    }
}

/* Walks the path back and marks what both sides keep. */
static void mark(const struct area *ar, int32_t *trace, int32_t d, int32_t k)
{
    int32_t x = row_of(trace, d)[(k + d) / 2];
    for (;;) {
        const int32_t *above = d ? row_of(trace, d - 1) : NULL;
        int32_t start = above ? step(above, d, k) : 0;
        for (; x > start; x--) {
            ar->a->kept[ar->a->common[ar->x + x - 1]] = true;
            ar->b->kept[ar->b->common[ar->y + x - k - 1]] = true;
        }
        if (!above) {
            return;
        }
        k += goes_down(above, d, k) ? 1 : -1;
        d--;
        x = above[(k + d) / 2];
    }
}

static void match(struct diff *df)
{
    struct area ar = {.a = &df->a, .b = &df->b, .x = 0, .y = 0};
    for (;;) {
        int32_t d = 0, k = 0;
        ar.width = (int32_t)df->a.common_count - ar.x;
        ar.height = (int32_t)df->b.common_count - ar.y;
        if (!ar.width || !ar.height) {
            return;
        }
        search(&ar, df->trace, &d, &k);
        mark(&ar, df->trace, d, k);
        int32_t x = row_of(df->trace, d)[(k + d) / 2];
        ar.x += x;
        ar.y += x - k;
    }
}

static bool compare(struct diff *d)
{
    size_t head = 0, tail = 0, a = d->a.count, b = d->b.count;
    while (head < a && head < b && d->a.class[head] == d->b.class[head]) {
        d->a.kept[head] = d->b.kept[head] = true;
        head++;
    }
    while (tail < a - head && tail < b - head &&
           d->a.class[a - 1 - tail] == d->b.class[b - 1 - tail]) {
        d->a.kept[a - 1 - tail] = d->b.kept[b - 1 - tail] = true;
        tail++;
    }
    find_common(&d->a, head, tail);
    find_common(&d->b, head, tail);
    size_t edits = d->a.common_count + d->b.common_count;
    size_t rows = edits < SEARCH_MAX ? edits + 1 : SEARCH_MAX;
    d->trace = try_array(rows * (rows + 1) / 2, sizeof *d->trace);
    if (d->trace) {
        match(d);
    }
    return d->trace;
}

/* ---- blocks: what lies between lines that both sides keep ---- */

struct block {
    size_t a, a_end, b, b_end;
};

struct blocks {
    struct block *at;
    size_t count;
};

static bool find_blocks(const struct diff *d, struct blocks *out)
{
    size_t i = 0, k = 0;
    out->count = 0;
    out->at = try_array(d->a.count + d->b.count, sizeof *out->at);
    while (out->at && (i < d->a.count || k < d->b.count)) {
        struct block bl = {.a = i, .b = k};
        while (i < d->a.count && !d->a.kept[i]) {
            i++;
        }
        while (k < d->b.count && !d->b.kept[k]) {
            k++;
        }
        bl.a_end = i;
        bl.b_end = k;
        if (bl.a < bl.a_end || bl.b < bl.b_end) {
            out->at[out->count++] = bl;
        }
        i += i < d->a.count;
        k += k < d->b.count;
    }
    return out->at;
}

static size_t indentation(struct slice line)
{
    size_t n = 0;
    while (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t')) {
        n++;
    }
    return n == line.n || line.p[n] == '\n' || line.p[n] == '\r' ? SIZE_MAX : n;
}

/*
 * Lines that are only added, or only removed, may stand elsewhere where they end in what stands
 * before them, or begin with what follows. Of these places the lowest with the least indentation is
 * the one where an entry begins with its own opener.
 */
static void settle(const struct diff *d, struct block *bl, size_t up_max, size_t down_max)
{
    bool adds = bl->a == bl->a_end;
    const struct side *s = adds ? &d->b : &d->a;
    size_t start = adds ? bl->b : bl->a, end = adds ? bl->b_end : bl->a_end, up = 0, down = 0;
    while (up < up_max && s->class[start - up - 1] == s->class[end - up - 1]) {
        up++;
    }
    while (down < down_max && s->class[start + down] == s->class[end + down]) {
        down++;
    }
    size_t best = start - up;
    for (size_t at = best; at <= start + down; at++) {
        if (indentation(s->text[at]) <= indentation(s->text[best])) {
            best = at;
        }
    }
    size_t by = best - start; /* wraps where it moves up, and so do the sums */
    *bl = (struct block){bl->a + by, bl->a_end + by, bl->b + by, bl->b_end + by};
}

static void settle_all(const struct diff *d, struct blocks *bs)
{
    for (size_t i = 0; i < bs->count; i++) {
        struct block *bl = &bs->at[i];
        size_t before = i ? bs->at[i - 1].a_end : 0;
        size_t after = i + 1 < bs->count ? bs->at[i + 1].a : d->a.count;
        if (bl->a == bl->a_end || bl->b == bl->b_end) {
            settle(d, bl, bl->a - before, after - bl->a_end);
        }
    }
}

/* ---- hunks ---- */

static void put_lines(struct buf *out, char sign, const struct side *s, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        buf_addc(out, sign);
        buf_add(out, s->text[i]);
        if (!slice_ends(s->text[i], S("\n"))) {
            buf_adds(out, "\n\\ No newline at end of file\n");
        }
    }
}

/* A range without lines is named by the line before it. */
static void put_range(struct buf *out, char sign, size_t from, size_t to)
{
    buf_addf(out, "%c%zu,%zu", sign, from < to ? from + 1 : from, to - from);
}

static void put_hunk(
    struct buf *out, const struct diff *d, const struct block *bl, size_t count, size_t context)
{
    size_t lead = bl->a < context ? bl->a : context, a = bl->a - lead;
    const struct block *last = &bl[count - 1];
    size_t rest = d->a.count - last->a_end, trail = rest < context ? rest : context;
    buf_adds(out, "@@ ");
    put_range(out, '-', a, last->a_end + trail);
    buf_addc(out, ' ');
    put_range(out, '+', bl->b - lead, last->b_end + trail);
    buf_adds(out, " @@\n");
    for (size_t i = 0; i < count; i++) {
        put_lines(out, ' ', &d->a, a, bl[i].a);
        put_lines(out, '-', &d->a, bl[i].a, bl[i].a_end);
        put_lines(out, '+', &d->b, bl[i].b, bl[i].b_end);
        a = bl[i].a_end;
    }
    put_lines(out, ' ', &d->a, a, a + trail);
}

static void
put_hunks(struct buf *out, const struct diff *d, const struct blocks *bs, size_t context)
{
    for (size_t i = 0; i < bs->count;) {
        size_t n = 1;
        while (i + n < bs->count && bs->at[i + n].a - bs->at[i + n - 1].a_end <= 2 * context) {
            n++;
        }
        put_hunk(out, d, &bs->at[i], n, context);
        i += n;
    }
}

void policy_diff(struct slice before, struct slice after, int context, struct buf *out)
{
    struct diff d = {.trace = NULL};
    struct blocks bs = {NULL, 0};
    bool ok = split(before, &d.a) && split(after, &d.b) && classify(&d) && compare(&d) &&
              find_blocks(&d, &bs);
    if (ok) {
        settle_all(&d, &bs);
        put_hunks(out, &d, &bs, (size_t)context);
    } else {
        out->full = true; /* out of memory: as if it had found no room */
    }
    mem_free(bs.at);
    diff_deinit(&d);
}
