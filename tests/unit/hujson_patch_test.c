/*
 * Patches: what is stricter than the reference, what keeps more comments than
 * it, limits, and that nothing is left of a patch that fails.
 */
#include "lib/hujson/hujson.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/support/test.h"

static struct hujson_doc *parse(const char *text, size_t max)
{
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    assert_int_equal(hujson_parse(slice_str(text), max, &diag, &d), 0);
    return d;
}

struct row {
    const char *doc, *patch, *text; /* text NULL: the document stays, and the message is */
    const char *message;
};

static void run(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct hujson_diag diag = {0};
        struct hujson_doc *d = parse(rows[i].doc, MIB);
        int rc = hujson_patch(d, slice_str(rows[i].patch), &diag);
        if (rc != (rows[i].text ? 0 : HUJSON_PATCH)) {
            fail_msg("%s with %s: %d %s", rows[i].doc, rows[i].patch, rc, diag.text);
        }
        assert_slice(hujson_text(d), rows[i].text ? rows[i].text : rows[i].doc);
        if (!rows[i].text) {
            assert_string_equal(diag.text, rows[i].message);
        }
        hujson_free(d);
    }
}

static void stricter_than_the_reference(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"[1,2]", "[{\"op\":\"add\",\"path\":\"/3\",\"value\":0}]", NULL,
         "patch operation 0: invalid array index: 3 (beyond the end)"},
        {"[1,2]", "[{\"op\":\"add\",\"path\":\"/2\",\"value\":0}]", "[1,2,0]", NULL},
        {"[1,2]", "[{\"op\":\"add\",\"path\":\"/01\",\"value\":0}]", NULL,
         "patch operation 0: invalid array index: 01"},
        {"[1,2]", "[{\"op\":\"move\",\"from\":\"/0\",\"path\":\"/2\"}]", NULL,
         "patch operation 0: invalid array index: 2 (beyond the end)"},
        {"[null]", "[{\"op\":\"test\",\"path\":\"/0\",\"value\":null}]", "[null]", NULL},
        {"[1]", "[{\"op\":\"remove\",\"path\":\"/0\"},{\"op\":\"test\",\"path\":\"\",\"value\":1}]",
         NULL, "patch operation 1: values differ at \"\""},
        {"{}", "[{\"op\":\"add\",\"path\":\"/\\u0000\",\"value\":0}]", NULL,
         "patch operation 0: member \"path\" holds a NUL or a lone surrogate"},
        {"{}", "[{\"op\":\"add\",\"path\":\"/\\ud800\",\"value\":0}]", NULL,
         "patch operation 0: member \"path\" holds a NUL or a lone surrogate"},
    };
    run(rows, ARRAY_LEN(rows));
}

/* Where the reference loses or makes something that the specification keeps. */
static void kept_where_the_reference_is_not(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* a value that ends its line does not bring a comment */
        {"{\"a\":1, // why\n}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":2\n}]",
         "{\"a\":2, // why\n}", NULL},
        /* the comment of the item before stays when the new item has one too */
        {"[1, /* one */\n\n2]", "[{\"op\":\"add\",\"path\":\"/1\",/* new */\"value\":3}]",
         "[1, /* one */\n/* new */3,\n\n2]", NULL},
        /* JSON stays JSON */
        {"[1 ,2]", "[{\"op\":\"remove\",\"path\":\"/1\"}]", "[1]", NULL},
        {"[1 ,2/**/]", "[{\"op\":\"remove\",\"path\":\"/1\"}]", "[1 ,/**/]", NULL},
        /* a copy keeps the trailing comma that touches its value */
        {"{\"a\":[1,]}",
         "[{\"op\":\"add\",\"path\":\"/a/0\",\"value\":0},"
         "{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"}]",
         "{\"a\":[0,1,],\"b\":[0,1,]}", NULL},
        /* and a trailing comma that was consumed comes back */
        {"[1,]",
         "[{\"op\":\"add\",\"path\":\"/-\",\"value\":2},{\"op\":\"remove\",\"path\":\"/1\"}]",
         "[1,]", NULL},
    };
    run(rows, ARRAY_LEN(rows));
}

static void copies_are_apart(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{\"a\":{\"b\":[1]}}",
         "[{\"op\":\"add\",\"path\":\"/a/b/0\",\"value\":0},"
         "{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/c\"},"
         "{\"op\":\"remove\",\"path\":\"/a/b/1\"},{\"op\":\"add\",\"path\":\"/c/b/-\",\"value\":2},"
         "{\"op\":\"test\",\"path\":\"/c\",\"value\":{\"b\":[0,1,2]}},"
         "{\"op\":\"copy\",\"from\":\"/c\",\"path\":\"/c/d\"}]",
         "{\"a\":{\"b\":[0]},\"c\":{\"b\":[0,1,2],\"d\":{\"b\":[0,1,2]}}}", NULL},
    };
    run(rows, ARRAY_LEN(rows));
}

static void numbers_and_objects_compare(void **state)
{
    (void)state;

    static const struct {
        const char *a, *b;
        int same;
    } rows[] = {
        {"1", "1.0", 0},
        {"1", "10e-1", 0},
        {"100", "1E+2", 0},
        {"0.05", "5e-2", 0},
        {"-0", "0.000e9", 0},
        {"-1", "1", HUJSON_DIFFERENT},
        {"12.5", "1.25e1", 0},
        {"1.5", "15", HUJSON_DIFFERENT},
        {"1e400", "1e400", 0},
        {"1e400", "2e400", HUJSON_DIFFERENT},
        {"1e99999999999999999999", "1E99999999999999999999", 0},
        {"1e99999999999999999999", "1e99999999999999999998", HUJSON_DIFFERENT},
        {"9007199254740993", "9007199254740992", HUJSON_DIFFERENT},
        {"12", "123", HUJSON_DIFFERENT},
        {"\"\\u0061\"", "\"a\"", 0},
        {"\"\\ud800\"", "\"\\ufffd\"", HUJSON_DIFFERENT},
        {"\"\\u0000\"", "\"\"", HUJSON_DIFFERENT},
        {"{\"a\":1,\"b\":[2,{}]}", "{\"b\":[2,{}],\"\\u0061\":1.0}", 0},
        {"{\"a\":1,\"a\":2}", "{\"a\":2}", 0},
        {"{\"a\":1}", "{\"b\":1}", HUJSON_DIFFERENT},
        {"{\"a\":1}", "{}", HUJSON_DIFFERENT},
        {"[1,2]", "[2,1]", HUJSON_DIFFERENT},
        {"[1]", "[1,1]", HUJSON_DIFFERENT},
        {"[]", "{}", HUJSON_DIFFERENT},
        {"true", "false", HUJSON_DIFFERENT},
        {"[true,false,null]", "[true,false,null]", 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct hujson_doc *a = parse(rows[i].a, MIB), *b = parse(rows[i].b, MIB);
        int rc = hujson_equal(a, hujson_root(a), b, hujson_root(b));
        if (rc != rows[i].same || hujson_equal(b, hujson_root(b), a, hujson_root(a)) != rc) {
            fail_msg("%s and %s: %d", rows[i].a, rows[i].b, rc);
        }
        hujson_free(a);
        hujson_free(b);
    }
}

static void messages_show_odd_text(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{}", "[{\"op\":\"a\\n\\u0001\\u00e9\\\"\\\\\\u2028\\ud83d\\ude00\\udb40\\udc01\"}]", NULL,
         "patch operation 0: unknown operation "
         "\"a\\n\\x01\xc3\xa9\\\"\\\\\\u2028\xf0\x9f\x98\x80\\U000e0001\""},
        {"{}", "[{\"\\ud800\":1,\"\\ud800\":2}]", NULL,
         "patch operation 0: duplicate name \"\\xed\\xa0\\x80\""},
        {"{}", "{}", NULL, "patch must be a JSON array"},
    };
    run(rows, ARRAY_LEN(rows));
}

static void positions_are_in_the_patch(void **state)
{
    (void)state;
    struct hujson_diag diag;
    struct hujson_doc *d = parse("{}", MIB);
    assert_int_equal(
        hujson_patch(d, S("[\n {\"op\":\"test\",\"path\":\"\",\"value\":{}},\n  7]"), &diag),
        HUJSON_PATCH);
    assert_int_equal(diag.line, 3);
    assert_int_equal(diag.column, 3);
    assert_int_equal(hujson_patch(d, S("[\n}"), &diag), HUJSON_SYNTAX);
    assert_int_equal(diag.line, 2);
    hujson_free(d);
}

static void depth_and_size_are_bounded(void **state)
{
    (void)state;
    char deep[300];
    struct hujson_diag diag;
    memset(deep, '[', 127);
    memset(deep + 127, ']', 127);
    deep[254] = 0;
    struct hujson_doc *d = parse(deep, 400);
    /* one level more fits, then none */
    static const char once[] = "[{\"op\":\"add\",\"path\":\"\",\"value\":[1,[]]},"
                               "{\"op\":\"copy\",\"from\":\"/1\",\"path\":\"/1/0\"}]";
    assert_int_equal(hujson_patch(d, S(once), &diag), 0);
    assert_slice(hujson_text(d), "[1,[[]]]");
    hujson_free(d);

    struct buf patch = BUF_MAX(MIB);
    buf_adds(&patch, "[");
    for (int i = 0; i < 8; i++) { /* each doubles the height of /a */
        buf_addf(&patch, "%s{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"},", i ? "," : "");
        buf_adds(&patch, "{\"op\":\"move\",\"from\":\"/b\",\"path\":\"/a");
        for (int k = 0; k < 1 << i; k++) {
            buf_adds(&patch, "/a");
        }
        buf_adds(&patch, "\"}");
    }
    buf_adds(&patch, "]");
    d = parse("{\"a\":{}}", MIB);
    assert_int_equal(hujson_patch(d, buf_slice(&patch), &diag), HUJSON_PATCH);
    assert_string_equal(diag.text, "patch operation 13: nesting too deep");
    assert_slice(hujson_text(d), "{\"a\":{}}");
    hujson_free(d);
    buf_deinit(&patch);
}

/* Every copy doubles the document: memory stays within a factor of the limit. */
static void growth_is_bounded(void **state)
{
    (void)state;
    struct hujson_diag diag;
    struct hujson_doc *d = parse("{\"a\":[0]}", 4 * KIB);
    struct buf patch = BUF_MAX(MIB);
    buf_adds(&patch, "[");
    for (int i = 0; i < 40; i++) {
        buf_adds(&patch, i ? "," : "");
        buf_adds(&patch, "{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/-\"}");
    }
    buf_adds(&patch, "]");
    assert_int_equal(hujson_patch(d, buf_slice(&patch), &diag), HUJSON_TOO_BIG);
    assert_slice(hujson_text(d), "{\"a\":[0]}");
    hujson_free(d);
    d = parse("[]", 60);
    assert_int_equal(
        hujson_patch(
            d,
            S("[{\"op\":\"add\",\"path\":\"\",\"value\":\"0123456789012345678901234567890123456789\"}]"),
            &diag),
        HUJSON_TOO_BIG); /* the patch itself */
    hujson_free(d);
    buf_deinit(&patch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stricter_than_the_reference),
        cmocka_unit_test(kept_where_the_reference_is_not),
        cmocka_unit_test(copies_are_apart),
        cmocka_unit_test(numbers_and_objects_compare),
        cmocka_unit_test(messages_show_odd_text),
        cmocka_unit_test(positions_are_in_the_patch),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(growth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
