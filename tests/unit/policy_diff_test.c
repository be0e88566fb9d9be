/* The diff applies, is minimal, stands where a person expects it, and is bounded on hostile texts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "policy/policy.h"
#include "tests/unit/support/test.h"

#define TEXT_MAX (16 * MIB)

static void expect(const char *before, const char *after, int context, const char *expected)
{
    struct buf out = BUF_MAX(TEXT_MAX);
    policy_diff(slice_str(before), slice_str(after), context, &out);
    assert_true(buf_ok(&out));
    assert_string_equal(buf_cstr(&out), expected);
    buf_deinit(&out);
}

static void shapes(void **state)
{
    (void)state;
    expect("same\n", "same\n", 3, "");
    expect("", "", 3, "");
    expect("a\nb\nc\nd\n", "a\nb\nX\nc\nd\n", 1, "@@ -2,2 +2,3 @@\n b\n+X\n c\n");
    expect("", "a\n", 3, "@@ -0,0 +1,1 @@\n+a\n");
    expect("a\nb\n", "", 3, "@@ -1,2 +0,0 @@\n-a\n-b\n");
    expect("a\nb\nc\n", "a\nB\nc\n", 0, "@@ -2,1 +2,1 @@\n-b\n+B\n");
    expect("a\nb\n", "a\nb", 1, "@@ -1,2 +1,2 @@\n a\n-b\n+b\n\\ No newline at end of file\n");
    expect("a\nb", "X\nb", 1, "@@ -1,2 +1,2 @@\n-a\n+X\n b\n\\ No newline at end of file\n");
}

static void hunks(void **state)
{
    (void)state;
    /* Two lines of context each: four lines between changes share a hunk, five do not. */
    expect("1\n2\n3\n4\n5\n6\n", "x\n2\n3\n4\n5\ny\n", 2,
           "@@ -1,6 +1,6 @@\n-1\n+x\n 2\n 3\n 4\n 5\n-6\n+y\n");
    expect("1\n2\n3\n4\n5\n6\n7\n", "x\n2\n3\n4\n5\n6\ny\n", 2,
           "@@ -1,3 +1,3 @@\n-1\n+x\n 2\n 3\n@@ -5,3 +5,3 @@\n 5\n 6\n-7\n+y\n");
}

/* An entry that is added shows as that entry, not as the end of one and the beginning of another.
 */
static void whole_entries(void **state)
{
    (void)state;
    expect("[\n\t{\n\t\tA\n\t},\n\t{\n\t\tC\n\t},\n]\n",
           "[\n\t{\n\t\tA\n\t},\n\t{\n\t\tB\n\t},\n\t{\n\t\tC\n\t},\n]\n", 1,
           "@@ -4,2 +4,5 @@\n \t},\n+\t{\n+\t\tB\n+\t},\n \t{\n");
    expect("[\n\t{\n\t\tA\n\t},\n\t{\n\t\tB\n\t},\n]\n", "[\n\t{\n\t\tA\n\t},\n]\n", 1,
           "@@ -4,5 +4,2 @@\n \t},\n-\t{\n-\t\tB\n-\t},\n ]\n");
    expect("a\n\nc\n", "a\n\nb\n\nc\n", 1, "@@ -2,2 +2,4 @@\n \n+b\n+\n c\n");
}

/* ---- properties ---- */

#define LINES 24

static size_t random_text(unsigned *seed, char *out)
{
    size_t n = 0, count = (size_t)rand_r(seed) % LINES;
    for (size_t i = 0; i < count; i++) {
        out[n++] = (char)('a' + rand_r(seed) % 5);
        out[n++] = '\n';
    }
    if (n && rand_r(seed) % 8 == 0) {
        n--;
    }
    return n;
}

static size_t split(struct slice text, struct slice *out)
{
    size_t count = 0;
    while (text.n) {
        ptrdiff_t lf = slice_find(text, '\n');
        out[count] = slice_sub(text, 0, lf < 0 ? text.n : (size_t)lf + 1);
        text = slice_skip(text, out[count++].n);
    }
    return count;
}

/* Longest common subsequence, the obvious way. */
static size_t longest(const struct slice *a, size_t n, const struct slice *b, size_t m)
{
    size_t best[LINES + 1][LINES + 1] = {{0}};
    for (size_t i = 1; i <= n; i++) {
        for (size_t k = 1; k <= m; k++) {
            size_t skip = best[i - 1][k] > best[i][k - 1] ? best[i - 1][k] : best[i][k - 1];
            best[i][k] = slice_eq(a[i - 1], b[k - 1]) ? best[i - 1][k - 1] + 1 : skip;
        }
    }
    return best[n][m];
}

/* The line that a diff line stands for: without its mark, without LF where the note says so. */
static struct slice body(struct slice line, struct slice rest)
{
    struct slice s = slice_skip(line, 1);
    return slice_starts(rest, S("\\")) ? slice_sub(s, 0, s.n - 1) : s;
}

/* Applies the diff to a, strictly; counts the lines that it changes. */
static size_t apply(const struct slice *a, size_t n, struct slice diff, struct buf *out)
{
    size_t at = 0, changes = 0;
    while (diff.n) {
        struct slice line = slice_sub(diff, 0, (size_t)slice_find(diff, '\n') + 1);
        diff = slice_skip(diff, line.n);
        if (*line.p == '@') {
            struct slice range = slice_skip(line, strlen("@@ -")), number;
            uint64_t from = 0, lines = 0;
            assert_true(slice_split(&range, ',', &number) && slice_u64(number, SIZE_MAX, &from));
            assert_true(slice_split(&range, ' ', &number) && slice_u64(number, SIZE_MAX, &lines));
            for (from -= lines ? 1 : 0; at < from; at++) {
                buf_add(out, a[at]);
            }
        } else if (*line.p == '+') {
            buf_add(out, body(line, diff));
            changes++;
        } else if (*line.p != '\\') {
            assert_true(at < n && slice_eq(a[at], body(line, diff)));
            if (*line.p == ' ') {
                buf_add(out, a[at]);
            }
            changes += *line.p == '-';
            at++;
        }
    }
    for (; at < n; at++) {
        buf_add(out, a[at]);
    }
    return changes;
}

static void applies_and_is_minimal(void **state)
{
    (void)state;
    unsigned seed = 20261124;
    for (int round = 0; round < 20000; round++) {
        char before[2 * LINES], after[2 * LINES];
        struct slice a[LINES] = {{0}}, b[LINES] = {{0}}, ta = {before, random_text(&seed, before)},
                     tb = {after, random_text(&seed, after)};
        struct buf diff = BUF_MAX(TEXT_MAX), made = BUF_MAX(TEXT_MAX);
        size_t n = split(ta, a), m = split(tb, b);
        policy_diff(ta, tb, (int)(rand_r(&seed) % 4), &diff);
        size_t changes = apply(a, n, buf_slice(&diff), &made);
        assert_true(slice_eq(buf_slice(&made), tb));
        assert_int_equal(changes, n + m - 2 * longest(a, n, b, m));
        buf_deinit(&diff);
        buf_deinit(&made);
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Many short lines in two orders: the search gives up being minimal, not being right. */
static void bounded(void **state)
{
    (void)state;

    enum { COUNT = 60000 };

    struct buf x = BUF_MAX(TEXT_MAX), y = BUF_MAX(TEXT_MAX), diff = BUF_MAX(TEXT_MAX),
               made = BUF_MAX(TEXT_MAX);
    unsigned seed = 7;
    for (int i = 0; i < COUNT; i++) {
        buf_addf(&x, "%d\n", rand_r(&seed) % 100);
        buf_addf(&y, "%d\n", rand_r(&seed) % 100);
    }
    double start = seconds();
    policy_diff(buf_slice(&x), buf_slice(&y), 3, &diff);
    double took = seconds() - start;
    struct slice *a = mem_new_array(COUNT, sizeof *a);
    err_ignore((int)apply(a, split(buf_slice(&x), a), buf_slice(&diff), &made));
    assert_true(slice_eq(buf_slice(&made), buf_slice(&y)));
    printf("bounded: %.2f s\n", took);
    assert_true(took < 30); /* a tenth of it, on a machine that is not busy */
    mem_free(a);
    buf_deinit(&x);
    buf_deinit(&y);
    buf_deinit(&diff);
    buf_deinit(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),        cmocka_unit_test(hunks),
        cmocka_unit_test(whole_entries), cmocka_unit_test(applies_and_is_minimal),
        cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
