/* The tree: depth, decoded strings, pointers. The conformance cases are in hujson_cases_test.c. */
#include "lib/hujson/hujson.h"
#include "tests/unit/support/test.h"

static void depth_is_counted(void **state)
{
    (void)state;
    char text[2 * HUJSON_DEPTH_MAX + 4];
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    memset(text, '[', HUJSON_DEPTH_MAX);
    memset(text + HUJSON_DEPTH_MAX, ']', HUJSON_DEPTH_MAX);
    assert_int_equal(hujson_parse(slice_of(text, 2 * HUJSON_DEPTH_MAX), MIB, &diag, &d), 0);
    hujson_free(d);
    memset(text, '[', HUJSON_DEPTH_MAX + 1);
    assert_int_equal(hujson_parse(slice_of(text, HUJSON_DEPTH_MAX + 1), MIB, &diag, &d),
                     HUJSON_SYNTAX);
    assert_int_equal(diag.column, HUJSON_DEPTH_MAX + 1);
}

static void strings_decode(void **state)
{
    (void)state;
    static const char text[] =
        "[\"a\\u00e9\\ud83d\\ude00\\n\", \"\\ud800\", \"\\u0000\", 12, -9007199254740993]";
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    struct buf out = BUF_MAX(64);
    int64_t v;
    assert_int_equal(hujson_parse(slice_str(text), MIB, &diag, &d), 0);
    const struct hujson_node *r = hujson_root(d);
    assert_true(hujson_string(d, hujson_at(r, 0), &out));
    assert_slice(buf_slice(&out), "a\xc3\xa9\xf0\x9f\x98\x80\n");
    assert_false(hujson_string(d, hujson_at(r, 1), &out));
    assert_false(hujson_string(d, hujson_at(r, 2), &out));
    assert_true(hujson_integer(d, hujson_at(r, 3), 0, 100, &v) && v == 12);
    assert_false(hujson_integer(d, hujson_at(r, 3), 0, 11, &v));
    assert_true(hujson_integer(d, hujson_at(r, 4), INT64_MIN, 0, &v) && v == -9007199254740993);
    hujson_free(d);
    buf_deinit(&out);
}

static void borrowed_strings(void **state)
{
    (void)state;
    static const char text[] = "{\"plain\": \"a\\n\", \"\\u0000\": \"straight\", \"n\": 1}";
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    struct buf scratch = BUF_MAX(64);
    struct slice s;
    assert_int_equal(hujson_parse(slice_str(text), MIB, &diag, &d), 0);
    const struct hujson_node *r = hujson_root(d);
    assert_true(hujson_string_slice(d, hujson_at(r, 0), &scratch, &s));
    assert_slice(s, "a\n");
    assert_true(s.p == buf_slice(&scratch).p);
    assert_true(hujson_string_slice(d, hujson_at(r, 1), &scratch, &s));
    assert_slice(s, "straight");
    assert_true(s.p > hujson_text(d).p && s.p < hujson_text(d).p + sizeof text);
    assert_true(hujson_name_slice(d, r, 0, &scratch, &s));
    assert_slice(s, "plain");
    assert_false(hujson_name_slice(d, r, 1, &scratch, &s));
    assert_false(hujson_string_slice(d, hujson_at(r, 2), &scratch, &s));
    hujson_free(d);
    buf_deinit(&scratch);
}

static void pointers(void **state)
{
    (void)state;

    static const struct {
        const char *pointer, *literal;
    } rows[] = {
        {"", NULL},
        {"/a/0", "1"},
        {"/a/1/b~1c", "\"x\""},
        {"/a/1/d~0", "2"},
        {"/", "3"},
        {"/a/00", ""},
        {"/a/-", ""},
        {"/a/2", ""},
        {"/a/1/b/c", ""},
        {"a", ""},
        {"/a/0/0", ""},
        {"/dup", "4"},
        {"/A", ""},
        {"/a/4294967296", ""},
    };

    static const char text[] =
        "{\"a\": [1, {\"b/c\": \"x\", \"d~\" : 2} ], \"\": 3, \"dup\": 4, \"dup\": 5}";
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    struct buf out = BUF_MAX(256);
    assert_int_equal(hujson_parse(slice_str(text), MIB, &diag, &d), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct hujson_node *n = hujson_pointer(d, slice_str(rows[i].pointer));
        struct slice got = n ? hujson_literal(d, n) : S("");
        assert_slice(got, rows[i].literal ? rows[i].literal : text);
        if (n) {
            buf_clear(&out);
            hujson_pointer_of(d, hujson_offset(n), &out);
            assert_slice(buf_slice(&out), rows[i].pointer);
        }
    }
    buf_clear(&out);
    hujson_pointer_of(d, (size_t)(strchr(text, ']') - text), &out);
    assert_slice(buf_slice(&out), "/a");
    buf_clear(&out);
    hujson_pointer_of(d, hujson_name_offset(hujson_pointer(d, S("/a/1")), 1), &out);
    assert_slice(buf_slice(&out), "/a/1/d~0");
    hujson_free(d);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depth_is_counted),
        cmocka_unit_test(strings_decode),
        cmocka_unit_test(borrowed_strings),
        cmocka_unit_test(pointers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
