/* Sealed values open with their key, for their row, unchanged; nothing else does. */
#include "lib/data/seal.h"
#include "tests/unit/support/test.h"

static const uint8_t key[SEAL_KEY_SIZE] = {1, 2, 3}, other[SEAL_KEY_SIZE] = {1, 2, 4};

static void opens_to_what_was_closed(void **state)
{
    (void)state;
    struct buf sealed = BUF_MAX(256), again = BUF_MAX(256), plain = BUF_MAX(256);
    seal_close(key, S("totp:7"), S("a secret"), &sealed);
    seal_close(key, S("totp:7"), S("a secret"), &again);
    assert_int_equal(sealed.len, 8 + SEAL_EXTRA);
    assert_false(slice_eq(buf_slice(&sealed), buf_slice(&again)));
    assert_true(seal_open(key, S("totp:7"), buf_slice(&sealed), &plain));
    assert_true(slice_eq(buf_slice(&plain), S("a secret")));
    buf_deinit(&sealed);
    buf_deinit(&again);
    buf_deinit(&plain);
}

static void nothing_else_opens(void **state)
{
    (void)state;
    struct buf sealed = BUF_MAX(256), plain = BUF_MAX(256);
    seal_close(key, S("totp:7"), S("a secret"), &sealed);
    struct slice s = buf_slice(&sealed);
    assert_false(seal_open(other, S("totp:7"), s, &plain));
    assert_false(seal_open(key, S("totp:8"), s, &plain));
    assert_false(seal_open(key, S("totp:7"), slice_sub(s, 0, s.n - 1), &plain));
    assert_false(seal_open(key, S("totp:7"), slice_sub(s, 0, SEAL_EXTRA - 1), &plain));
    for (size_t i = 0; i < s.n; i++) {
        buf_tail(&sealed)[(ptrdiff_t)i - (ptrdiff_t)s.n] ^= 1;
        assert_false(seal_open(key, S("totp:7"), s, &plain));
        buf_tail(&sealed)[(ptrdiff_t)i - (ptrdiff_t)s.n] ^= 1;
    }
    assert_int_equal(plain.len, 0);
    assert_true(seal_open(key, S("totp:7"), s, &plain));
    buf_deinit(&sealed);
    buf_deinit(&plain);
}

static void an_empty_text_is_sealed_too(void **state)
{
    (void)state;
    struct buf sealed = BUF_MAX(256), plain = BUF_MAX(256);
    seal_close(key, S(""), S(""), &sealed);
    assert_true(seal_open(key, S(""), buf_slice(&sealed), &plain));
    assert_int_equal(plain.len, 0);
    buf_deinit(&sealed);
    buf_deinit(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_to_what_was_closed),
        cmocka_unit_test(nothing_else_opens),
        cmocka_unit_test(an_empty_text_is_sealed_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
