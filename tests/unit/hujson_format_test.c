/* The formatter's limits; what it writes is in hujson_cases_test.c and tests/golden/hujson. */
#include "lib/hujson/hujson.h"
#include "tests/unit/support/test.h"

static int format(struct slice text, struct buf *out)
{
    struct hujson_diag diag;
    AUTO(hujson_freep) struct hujson_doc *d = NULL;
    assert_int_equal(hujson_parse(text, 4 * MIB, &diag, &d), 0);
    return hujson_format(d, out);
}

/* One name of 64 KiB moves the values of 16,384 others: a GiB of blanks that nobody gets. */
static void alignment_is_bounded(void **state)
{
    (void)state;
    struct buf text = BUF_MAX(MIB), out = BUF_MAX(8 * MIB);
    buf_adds(&text, "{\n\"");
    for (unsigned i = 0; i < 64 * KIB; i++) {
        buf_addc(&text, 'x');
    }
    buf_adds(&text, "\": 1");
    for (unsigned i = 0; i < 16 * KIB; i++) {
        buf_addf(&text, ",\n\"%u\": 1", i);
    }
    buf_adds(&text, "}");
    buf_adds(&out, "before");
    assert_int_equal(format(buf_slice(&text), &out), HUJSON_TOO_BIG);
    assert_slice(buf_slice(&out), "before");
    assert_true(out.cap < KIB); /* nothing was taken for it */
    buf_deinit(&text);
    buf_deinit(&out);
}

static void room_is_respected(void **state)
{
    (void)state;
    struct buf out = BUF_MAX(12), exact = BUF_MAX(13);
    static const char text[] = "[1,[2],{}] ";
    assert_int_equal(format(S(text), &out), HUJSON_TOO_BIG);
    assert_int_equal(out.len, 0);
    assert_int_equal(format(S(text), &exact), 0);
    assert_slice(buf_slice(&exact), "[1, [2], {}]\n");
    buf_deinit(&out);
    buf_deinit(&exact);
}

/* Deeper than one run of TABs. */
static void deep_levels(void **state)
{
    (void)state;
    struct buf text = BUF_MAX(64 * KIB), out = BUF_MAX(64 * KIB), want = BUF_MAX(64 * KIB);
    for (int i = 0; i < HUJSON_DEPTH_MAX; i++) {
        buf_adds(&text, "[\n");
    }
    for (int i = 0; i < HUJSON_DEPTH_MAX; i++) {
        buf_adds(&text, "]");
    }
    for (int i = 0; i < HUJSON_DEPTH_MAX; i++) {
        for (int k = 0; k < i; k++) {
            buf_addc(&want, '\t');
        }
        buf_adds(&want, i == HUJSON_DEPTH_MAX - 1 ? "[]\n" : "[\n");
    }
    for (int i = HUJSON_DEPTH_MAX - 2; i >= 0; i--) {
        for (int k = 0; k < i; k++) {
            buf_addc(&want, '\t');
        }
        buf_adds(&want, "]\n");
    }
    assert_int_equal(format(buf_slice(&text), &out), 0);
    assert_slice(buf_slice(&out), buf_cstr(&want));
    buf_deinit(&text);
    buf_deinit(&out);
    buf_deinit(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alignment_is_bounded),
        cmocka_unit_test(room_is_respected),
        cmocka_unit_test(deep_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
