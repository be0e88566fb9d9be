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

static void refuse(struct slice text, struct hujson_diag *out_diag)
{
    struct hujson_doc *d = NULL;
    assert_int_equal(hujson_parse(text, MIB, out_diag, &d), HUJSON_SYNTAX);
}

static void messages(void **state)
{
    (void)state;
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    refuse(S("\xef\xbb\xbf{}"), &diag);
    assert_string_equal(diag.text, "invalid character '\\ufeff' at start of value");
    assert_string_equal(diag.hint, "this is a byte order mark: save the file without it");
    refuse(S("[\"\xff\"]"), &diag);
    assert_string_equal(diag.text, "invalid UTF-8 in string");
    assert_null(diag.hint);
    refuse(S("[\xff]"), &diag);
    assert_string_equal(diag.text, "invalid character '\\xff' at start of value");
    refuse(S("[\"a\0b\"]"), &diag);
    assert_string_equal(diag.text, "invalid literal: \"a?b\"");
    assert_int_equal(hujson_parse(S("[1]"), 2, &diag, &d), HUJSON_TOO_BIG);
    assert_string_equal(diag.text, "the document has 3 bytes; at most 2 are allowed");
}

/* A literal longer than a message is cut between two characters. */
static void long_literals(void **state)
{
    (void)state;
    struct buf text = BUF_MAX(4 * KIB);
    struct hujson_diag diag;
    for (size_t ascii = 1; ascii <= 3; ascii++) {
        buf_clear(&text);
        buf_addc(&text, '"');
        buf_add(&text, slice_of("aaa", ascii));
        while (text.len < 1000) {
            buf_adds(&text, "\xe6\x97\xa5");
        }
        buf_adds(&text, "\\q\"");
        refuse(buf_slice(&text), &diag);
        size_t shown = strlen(diag.text) - strlen("invalid literal: ");
        assert_true(shown > 450 && (shown - 1 - ascii) % 3 == 0);
        assert_memory_equal(diag.text + 17, buf_cstr(&text), shown);
    }
    buf_deinit(&text);
}

static void composites_tell_their_ends(void **state)
{
    (void)state;
    static const char text[] = "{\n\t\"A\": [1, 2 , /* x */ ],\n\t\"b\": {}\n}";
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    size_t i = 9;
    int line, column;
    assert_int_equal(hujson_parse(slice_str(text), MIB, &diag, &d), 0);
    const struct hujson_node *a = hujson_find_nocase(d, hujson_root(d), S("a"), &i);
    assert_non_null(a);
    assert_int_equal(i, 0);
    assert_null(hujson_find(d, hujson_root(d), S("a")));
    assert_null(hujson_find(d, a, S("a")));
    assert_true(hujson_has_trailing_comma(a));
    assert_true(text[hujson_tail(a) - 1] == ',' && text[hujson_end(a) - 1] == ']');
    assert_false(hujson_has_trailing_comma(hujson_root(d)));
    assert_int_equal(hujson_kind(hujson_at(hujson_root(d), 1)), HUJSON_OBJECT);
    hujson_position(d, hujson_name_offset(hujson_root(d), 1), &line, &column);
    assert_true(line == 3 && column == 2);
    hujson_free(d);
}

/* The shapes that make the most tree out of the least text fit the bound on memory. */
static void dense_documents(void **state)
{
    (void)state;
    static const char *const units[] = {
        "1,", "[],", "{},", "[1],", "[[[[1]]]],", "{\"\":1},", "{\"\":{\"\":[]}},", "\n",
    };
    struct buf text = BUF_MAX(MIB), patched = BUF_MAX(MIB);
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        struct hujson_diag diag;
        struct hujson_doc *d = NULL;
        buf_clear(&text);
        buf_clear(&patched);
        buf_adds(&text, "[");
        while (text.len < 300 * KIB) {
            buf_adds(&text, units[i]);
        }
        buf_adds(&text, "0]");
        assert_int_equal(hujson_parse(buf_slice(&text), MIB, &diag, &d), 0);
        hujson_print(d, &patched);
        assert_true(slice_eq(buf_slice(&text), buf_slice(&patched)));
        assert_int_equal(
            hujson_patch(d, S("[{\"op\":\"add\",\"path\":\"/0\",\"value\":7}]"), &diag), 0);
        assert_int_equal(hujson_text(d).n, text.len + 2);
        hujson_free(d);
    }
    buf_deinit(&text);
    buf_deinit(&patched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depth_is_counted),
        cmocka_unit_test(strings_decode),
        cmocka_unit_test(borrowed_strings),
        cmocka_unit_test(pointers),
        cmocka_unit_test(messages),
        cmocka_unit_test(long_literals),
        cmocka_unit_test(composites_tell_their_ends),
        cmocka_unit_test(dense_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
