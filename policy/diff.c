/*
 * Unified diff. Edits are small and in one place, so common prefix and suffix
 * of lines leave the hunk; what lies between is shown as removed and added.
 * That is not minimal for scattered changes, but it is always correct.
 */
#include "lib/base/mem.h"
#include "policy/policy.h"

struct lines {
    struct slice *at;
    size_t count;
};

static struct lines split(struct slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.n; i++) {
        count += text.p[i] == '\n';
    }
    struct lines l = {.at = mem_new_array(count + 2, sizeof(struct slice))};
    while (text.n) {
        ptrdiff_t lf = slice_find(text, '\n');
        size_t n = lf < 0 ? text.n : (size_t)lf;
        l.at[l.count++] = slice_of(text.p, n);
        text = slice_skip(text, lf < 0 ? n : n + 1);
    }
    return l;
}

static void put(struct buf *out, char mark, const struct lines *l, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        buf_addf(out, "%c" SLICE_FMT "\n", mark, SLICE_ARG(l->at[i]));
    }
}

void policy_diff(struct slice before, struct slice after, int context, struct buf *out)
{
    struct lines a = split(before), b = split(after);
    size_t head = 0, tail = 0, ctx = (size_t)context;
    while (head < a.count && head < b.count && slice_eq(a.at[head], b.at[head])) {
        head++;
    }
    while (tail < a.count - head && tail < b.count - head &&
           slice_eq(a.at[a.count - 1 - tail], b.at[b.count - 1 - tail])) {
        tail++;
    }
    if (head < a.count || head < b.count) {
        size_t from = head > ctx ? head - ctx : 0;
        size_t after_lines = tail < ctx ? tail : ctx;
        size_t a_end = a.count - tail, b_end = b.count - tail;
        buf_addf(out, "@@ -%zu,%zu +%zu,%zu @@\n", from + 1, a_end + after_lines - from, from + 1,
                 b_end + after_lines - from);
        put(out, ' ', &a, from, head);
        put(out, '-', &a, head, a_end);
        put(out, '+', &b, head, b_end);
        put(out, ' ', &b, b_end, b_end + after_lines);
    }
    mem_free(a.at);
    mem_free(b.at);
}
