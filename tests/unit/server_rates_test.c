/* A burst at once, then one call per step; bounded; full buckets are forgotten. */
#include <stdio.h>

#include "server/rates.h"
#include "tests/unit/support/test.h"

static void a_burst_then_the_rate(void **state)
{
    (void)state;
    struct rates *r = rates_new(20, 100);
    struct mono now = {SECONDS(1000)};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rates_take(r, S("k:a"), now), 0);
    }
    assert_int_equal(rates_take(r, S("k:a"), now), 1);
    assert_int_equal(rates_take(r, S("k:b"), now), 0); /* another one has its own */
    now = mono_after(now, MS(49));
    assert_int_equal(rates_take(r, S("k:a"), now), 1);
    now = mono_after(now, MS(1));
    assert_int_equal(rates_take(r, S("k:a"), now), 0);
    assert_int_equal(rates_take(r, S("k:a"), now), 1);
    now = mono_after(now, SECONDS(5)); /* full again, not fuller */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rates_take(r, S("k:a"), now), 0);
    }
    assert_int_equal(rates_take(r, S("k:a"), now), 1);
    rates_free(r);
}

static void a_slow_rate_says_how_long(void **state)
{
    (void)state;
    struct rates *r = rates_new(1, 2), *off = rates_new(0, 1);
    struct mono now = {SECONDS(7)};
    assert_int_equal(rates_take(r, S("a"), now), 0);
    assert_int_equal(rates_take(r, S("a"), now), 0);
    assert_int_equal(rates_take(r, S("a"), now), 1);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(rates_take(off, S("a"), now), 0);
    }
    assert_int_equal(rates_count(off), 0);
    rates_free(r);
    rates_free(off);
}

static void the_table_is_bounded(void **state)
{
    (void)state;
    struct rates *r = rates_new(20, 100);
    struct mono now = {SECONDS(1000)};
    char who[32];
    int refused = 0;
    for (int i = 0; i < RATES_KEPT + 200; i++) {
        snprintf(who, sizeof who, "k:%d", i);
        refused += rates_take(r, slice_str(who), now) != 0;
    }
    assert_int_equal(rates_count(r), RATES_KEPT);
    assert_int_equal(refused, 100); /* 200 shared one bucket */
    now = mono_after(now, SECONDS(6));
    assert_int_equal(rates_take(r, S("new"), now), 0); /* the others are full and forgotten */
    assert_int_equal(rates_count(r), 1);
    rates_sweep(r, mono_after(now, SECONDS(6)));
    assert_int_equal(rates_count(r), 0);
    rates_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_then_the_rate),
        cmocka_unit_test(a_slow_rate_says_how_long),
        cmocka_unit_test(the_table_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
