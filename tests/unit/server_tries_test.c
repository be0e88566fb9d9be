/* Five free tries, doubling waits to 15 minutes, 30 a minute per address, forgiven by success. */
#include <stdio.h>

#include "server/tries.h"
#include "tests/unit/support/test.h"

static struct addr at(const char *text)
{
    struct addr a;
    assert_true(addr_parse(slice_str(text), &a));
    return a;
}

static void waits_double_and_end(void **state)
{
    (void)state;
    struct tries *t = tries_new();
    struct addr a = at("198.51.100.7:1"), near = at("198.51.100.9:1"), far = at("198.51.101.7:1");
    struct mono now = {SECONDS(1000)};
    int wait = 0;
    for (unsigned i = 1; i < TRIES_FREE; i++) {
        assert_int_equal(tries_failed(t, &a, S("Ann@example.com"), now), i);
        assert_int_equal(tries_ask(t, &a, S("ann@example.com"), now, &wait), TRIES_GO);
    }
    int expected[] = {2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        tries_failed(t, &a, S("ann@example.com"), now);
        assert_int_equal(tries_ask(t, &near, S("ann@example.com"), now, &wait), TRIES_WAIT);
        assert_int_equal(wait, expected[i]);
        now = mono_after(now, SECONDS(expected[i]));
        assert_int_equal(tries_ask(t, &a, S("ann@example.com"), now, &wait), TRIES_GO);
    }
    tries_failed(t, &a, S("ann@example.com"), now);
    assert_int_equal(tries_ask(t, &a, S("bob@example.com"), now, &wait), TRIES_GO);
    assert_int_equal(tries_ask(t, &far, S("ann@example.com"), now, &wait), TRIES_GO);
    tries_succeeded(t, &a, S("ANN@example.com"));
    assert_int_equal(tries_ask(t, &a, S("ann@example.com"), now, &wait), TRIES_GO);
    tries_free(t);
}

static void an_address_has_thirty_a_minute(void **state)
{
    (void)state;
    struct tries *t = tries_new();
    struct addr a = at("[2001:db8::7]:1"), same = at("[2001:db8::8]:1"),
                other = at("[2001:db8:0:1::7]:1");
    struct mono now = {SECONDS(1000)};
    int wait = 0;
    char account[16] = "u00";
    for (int i = 0; i < TRIES_PER_MINUTE; i++) {
        account[1] = (char)('0' + i / 10);
        account[2] = (char)('0' + i % 10);
        assert_int_equal(tries_ask(t, &a, slice_str(account), now, &wait), TRIES_GO);
    }
    now = mono_after(now, SECONDS(20));
    assert_int_equal(tries_ask(t, &same, S("x"), now, &wait), TRIES_WAIT);
    assert_int_equal(wait, 40);
    assert_int_equal(tries_ask(t, &other, S("x"), now, &wait), TRIES_GO);
    now = mono_after(now, SECONDS(40));
    assert_int_equal(tries_ask(t, &a, S("x"), now, &wait), TRIES_GO);
    tries_free(t);
}

static void the_table_is_bounded_and_swept(void **state)
{
    (void)state;
    struct tries *t = tries_new();
    struct mono now = {SECONDS(1000)};
    char text[32];
    for (unsigned i = 0; i < 3 * TRIES_KEPT; i++) {
        snprintf(text, sizeof text, "10.%u.%u.1:1", i >> 8 & 255, i & 255);
        struct addr a = at(text);
        tries_failed(t, &a, S("ann"), now);
        assert_true(tries_count(t) <= TRIES_KEPT);
    }
    assert_true(tries_count(t) > 0);
    tries_sweep(t, mono_after(now, SECONDS(TRIES_WAIT_MOST_S + 1)));
    assert_int_equal(tries_count(t), 0);
    tries_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_and_end),
        cmocka_unit_test(an_address_has_thirty_a_minute),
        cmocka_unit_test(the_table_is_bounded_and_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
