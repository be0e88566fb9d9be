/* Names, encodings, UTF-8, numbers: one spelling for one value. */
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "tests/unit/support/test.h"

static void names(void **state)
{
    (void)state;
    char out[TEXT_NAME_SIZE];
    assert_true(text_name(S("LapTop.Example.NET."), TEXT_NAME_HOST, out));
    assert_string_equal(out, "laptop.example.net");
    static const char *const bad[] = {"",      ".",       "a..b",  "a.b..", "-a.b", "a-.b",
                                      "a b.c", "1.2.3.4", "a_b.c", "_a.b",  "é.b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(text_name(slice_str(bad[i]), TEXT_NAME_HOST, out));
    }
    assert_true(text_name(S("_acme-challenge.a.example"), TEXT_NAME_UNDERSCORE, out));
    assert_false(text_name(slice_of("a\0b.c", 5), TEXT_NAME_HOST, out));
    char label[66];
    memset(label, 'a', 64);
    assert_false(text_label(slice_of(label, 64)));
    assert_true(text_label(slice_of(label, 63)));
}

static void base64(void **state)
{
    (void)state;
    struct buf out = BUF_MAX(64);
    text_b64(&out, S("any carnal pleas"));
    assert_slice(buf_slice(&out), "YW55IGNhcm5hbCBwbGVhcw==");
    buf_clear(&out);
    assert_true(text_unb64(S("YW55IGNhcm5hbCBwbGVhcw=="), &out));
    assert_slice(buf_slice(&out), "any carnal pleas");
    static const char *const bad[] = {"A", "AA", "AAA", "AB==", "A===", "AA=A", "AA-A", "A A="};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        buf_clear(&out);
        assert_false(text_unb64(slice_str(bad[i]), &out));
    }
    buf_clear(&out);
    assert_true(text_unb64url(S("_-8"), &out));
    assert_false(text_unb64url(S("_-9"), &out)); /* bits that say nothing */
    buf_deinit(&out);
}

static void utf8(void **state)
{
    (void)state;
    assert_true(text_utf8_valid(S("a\xc3\xa9\xf0\x9f\x98\x80")));
    static const char *const bad[] = {"\xc0\xaf",         "\xe0\x80\xaf", "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80", "\xff",         "\xc3",
                                      "\xf0\x9f\x98"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(text_utf8_valid(slice_str(bad[i])));
    }
    assert_false(text_printable(S("a\xe2\x80\xae"
                                  "b"),
                                10)); /* right-to-left override */
    assert_false(text_printable(S("a\x1b[31m"), 10));
    assert_true(text_printable(S("ann's laptop"), 12));
    assert_false(text_printable(S("ann's laptop"), 11));
    struct buf out = BUF_MAX(100);
    text_plain(&out, S("a\x1b[2J\xe2\x80\xae\xff\xc3\xa9\r\n.\xc3"));
    assert_slice(buf_slice(&out), "a?[2J??\xc3\xa9??.?");
    buf_deinit(&out);
}

static void words_are_cut_at_whole_characters(void **state)
{
    (void)state;
    const char *text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"; /* 1, 2, 3, 4, 1 bytes */
    static const size_t kept[] = {0, 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
    char out[16];
    for (size_t size = 1; size < ARRAY_LEN(kept); size++) {
        memset(out, 'x', sizeof out);
        text_cut(out, size, "%s", text);
        assert_int_equal(strlen(out), kept[size]);
        assert_memory_equal(out, text, kept[size]);
        assert_int_equal(out[size], 'x');
    }
    text_cut(out, sizeof out, "%s", "\xff\x80\x80\x80\x80 not UTF-8, and longer"); /* ends */
    assert_int_equal(strlen(out), sizeof out - 1);
    text_fit(out, sizeof out, "%s/%d", "exactly", 1234567);
    assert_string_equal(out, "exactly/1234567");
}

static void numbers(void **state)
{
    (void)state;
    uint64_t v;
    assert_true(slice_u64(S("18446744073709551615"), UINT64_MAX, &v) && v == UINT64_MAX);
    static const char *const bad[] = {"",    "+1", "-1", " 1", "1 ", "18446744073709551616",
                                      "0x1", "1e3"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(slice_u64(slice_str(bad[i]), UINT64_MAX, &v));
    }
    assert_false(slice_u64(S("10"), 9, &v));
}

static void times(void **state)
{
    (void)state;
    char text[WALL_TEXT_SIZE];
    struct wall t;
    wall_format((struct wall){1795608000}, text);
    assert_true(wall_parse(slice_str(text), &t) && t.s == 1795608000);
    assert_false(wall_parse(S("2026-13-01T00:00:00Z"), &t));
    assert_false(wall_parse(S("2026-11-24"), &t));
}

static void maps(void **state)
{
    (void)state;
    struct map *m = map_new();
    char key[16];
    for (intptr_t i = 1; i <= 1000; i++) {
        int n = snprintf(key, sizeof key, "k%d", (int)i);
        assert_null(map_set(m, slice_of(key, (size_t)n), (void *)i));
    }
    for (intptr_t i = 1; i <= 1000; i += 2) {
        int n = snprintf(key, sizeof key, "k%d", (int)i);
        assert_ptr_equal(map_del(m, slice_of(key, (size_t)n)), (void *)i);
    }
    assert_int_equal(map_count(m), 500);
    assert_null(map_get(m, S("k1")));
    assert_ptr_equal(map_get(m, S("k1000")), (void *)(intptr_t)1000);
    struct map_iter it = {0};
    struct slice k;
    void *v;
    size_t seen = 0;
    while (map_next(m, &it, &k, &v)) {
        seen++;
    }
    assert_int_equal(seen, 500);
    map_free(m);
}

static void secrets(void **state)
{
    (void)state;
    char a[27], b[27];
    secret_id(a, 26);
    secret_id(b, 26);
    assert_string_not_equal(a, b);
    assert_int_equal(strspn(a, "0123456789abcdefghjkmnpqrstvwxyz"), 26);
    assert_true(secret_eq(S("abc"), S("abc")));
    assert_false(secret_eq(S("abc"), S("abd")));
    assert_false(secret_eq(S("abc"), S("ab")));
    struct buf out;
    assert_int_equal(secret_read_ref(S("fnl-api-inline"), &out), SECRET_INLINE);
}

static void percent_leaves_only_what_is_unreserved(void **state)
{
    (void)state;
    struct buf out = BUF_MAX(128), small = BUF_MAX(4);
    text_percent(&out, S("aZ09-._~ /+%&=@\n\xc3\xa9"));
    text_percent(&out, S(""));
    assert_string_equal(buf_cstr(&out), "aZ09-._~%20%2F%2B%25%26%3D%40%0A%C3%A9");
    text_percent(&small, S("a@b"));
    assert_false(buf_ok(&small));
    buf_deinit(&out);
    buf_deinit(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percent_leaves_only_what_is_unreserved),
        cmocka_unit_test(names),
        cmocka_unit_test(base64),
        cmocka_unit_test(utf8),
        cmocka_unit_test(numbers),
        cmocka_unit_test(times),
        cmocka_unit_test(maps),
        cmocka_unit_test(secrets),
        cmocka_unit_test(words_are_cut_at_whole_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
