/* JSON: caps before parsing, field tables, and what is written reads back the same. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/data/json.h"
#include "tests/unit/support/test.h"

static struct js *parse(const char *text)
{
    char why[200] = "";
    struct js *j = js_parse(slice_str(text), 64 * KIB, why, sizeof why);
    if (!j) {
        fail_msg("%s: %s", text, why);
    }
    return j;
}

static void expect_refused(struct slice text, size_t max, const char *says)
{
    char why[200] = "";
    struct js *j = js_parse(text, max, why, sizeof why);
    if (j || !strstr(why, says)) {
        js_free(j);
        fail_msg("%.*s: %s, said \"%s\"", (int)(text.n < 60 ? text.n : 60), text.p,
                 j ? "taken" : "refused", why);
    }
}

static void refused(void **state)
{
    (void)state;
    expect_refused(S("{\"a\":1}"), 6, "longer than 6 bytes");
    expect_refused(S("{\"a\":1,\"a\":2}"), 100, "duplicate");
    expect_refused(S("{\n  \"a\": 1,\n  oops\n}"), 100, "line 3");
    expect_refused(S(""), 100, "line");
    expect_refused(S("{} {}"), 100, "end of file expected");
    expect_refused(S("{\"a\":1,}"), 100, "line 1");
    expect_refused(S("\"\xc3\x28\""), 100, "unable to decode byte 0xc3");
    expect_refused(S("\"a\\u0000b\""), 100, "\\u0000");
    expect_refused(S("[9223372036854775808]"), 100, "too big");
    expect_refused(S("[NaN]"), 100, "line 1");
    expect_refused(S("{\"a\":1"), 100, "line 1");
}

static void depth(void **state)
{
    (void)state;
    char text[100] = "", why[200];
    for (int levels = 32; levels <= 33; levels++) {
        memset(text, '[', (size_t)levels);
        memset(text + levels, ']', (size_t)levels);
        struct js *j = js_parse(slice_of(text, (size_t)levels * 2), 100, why, sizeof why);
        assert_int_equal(j != NULL, levels == 32);
        js_free(j);
    }
    /* Brackets in strings are text, also after an escaped quote. */
    js_free(parse(
        "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\",\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]"));
    static char many[60000]; /* never reaches jansson, which would recurse */
    memset(many, '{', sizeof many);
    expect_refused(slice_of(many, sizeof many), sizeof many, "deeper than 32");
}

static void views(void **state)
{
    (void)state;
    AUTO(js_freep)
    struct js *j = parse(
        "{\"s\":\"\xc3\xa9\",\"i\":-7,\"r\":1.5,\"t\":true,\"n\":null,\"a\":[1,\"x\"],\"o\":{}}");
    assert_int_equal(js_kind(j), JS_OBJECT);
    assert_int_equal(js_kind(js_get(j, "s")), JS_STR);
    assert_int_equal(js_kind(js_get(j, "i")), JS_INT);
    assert_int_equal(js_kind(js_get(j, "r")), JS_REAL);
    assert_int_equal(js_kind(js_get(j, "t")), JS_BOOL);
    assert_int_equal(js_kind(js_get(j, "n")), JS_NULL);
    assert_int_equal(js_kind(js_get(j, "a")), JS_ARRAY);
    assert_int_equal(js_kind(js_get(j, "o")), JS_OBJECT);
    assert_slice(js_get_str(j, "s"), "\xc3\xa9");
    assert_slice(js_get_str(j, "i"), ""); /* wrong kind */
    assert_slice(js_get_str(j, "missing"), "");
    assert_int_equal(js_get_int(j, "i", 3), -7);
    assert_int_equal(js_get_int(j, "s", 3), 3);
    assert_int_equal(js_get_int(j, "r", 3), 3); /* never rounded in silence */
    assert_true(js_get_bool(j, "t", false));
    assert_true(js_get_bool(j, "n", true));
    const struct js *a = js_get(j, "a");
    assert_int_equal(js_len(a), 2);
    assert_int_equal(js_int(js_at(a, 0), 0), 1);
    assert_slice(js_str(js_at(a, 1)), "x");
    assert_null(js_at(a, 2));
    assert_int_equal(js_len(js_get(j, "s")), 0);
    assert_null(js_get(NULL, "s")); /* so that views may be chained */
    assert_null(js_get(js_get(j, "s"), "s"));
    assert_int_equal(js_int(NULL, 9), 9);
}

static const struct js_field fields[] = {{"port", JS_INT, true, 0},
                                         {"target", JS_STR, false, 8},
                                         {"weight", JS_REAL, false, 0},
                                         {"names", JS_ARRAY, false, 2}};

static void expect_shape(const char *text, enum js_strict strict, const char *says)
{
    char why[200] = "";
    struct js *j = parse(text);
    bool ok = js_check(j, fields, ARRAY_LEN(fields), strict, why, sizeof why);
    js_free(j);
    if (ok == (says != NULL) || (says && !strstr(why, says))) {
        fail_msg("%s: %s, said \"%s\"", text, ok ? "taken" : "refused", why);
    }
}

static void shapes(void **state)
{
    (void)state;
    expect_shape("{\"port\":443}", JS_STRICT, NULL);
    expect_shape("{\"port\":443,\"target\":null}", JS_STRICT, NULL); /* null is absent */
    expect_shape("{\"port\":null}", JS_STRICT, "\"port\" is missing");
    expect_shape("{}", JS_LOOSE, "\"port\" is missing");
    expect_shape("{\"port\":\"443\"}", JS_LOOSE, "\"port\" must be a whole number");
    expect_shape("{\"port\":443.0}", JS_STRICT, "\"port\" must be a whole number");
    expect_shape("{\"port\":443,\"weight\":1}", JS_STRICT, NULL); /* a whole number is a number */
    expect_shape("{\"port\":443,\"weight\":\"1\"}", JS_STRICT, "\"weight\" must be a number");
    expect_shape("{\"port\":443,\"target\":\"12345678\"}", JS_STRICT, NULL);
    expect_shape("{\"port\":443,\"target\":\"123456789\"}", JS_STRICT, "too long (at most 8)");
    expect_shape("{\"port\":443,\"names\":[1,2,3]}", JS_STRICT, "too long (at most 2)");
    expect_shape("{\"port\":443,\"tagret\":\"x\"}", JS_STRICT, "did you mean \"target\"?");
    expect_shape("{\"port\":443,\"entirely\":\"x\"}", JS_STRICT, "unknown member \"entirely\"");
    expect_shape("{\"port\":443,\"entirely\":\"x\"}", JS_LOOSE, NULL);
    expect_shape("[443]", JS_LOOSE, "an object is expected");
}

static void builds_and_writes(void **state)
{
    (void)state;
    struct buf out = BUF_MAX(4096);
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "name", "a\"b\n\xe2\x82\xac");
    js_set_cstr(j, "left out", NULL);
    js_set_str(j, "bad", S("\xff")); /* not UTF-8: left out */
    js_set_int(j, "big", INT64_MAX);
    js_set_bool(j, "no", false);
    js_set(j, "nothing", js_new_null());
    struct js *a = js_array();
    js_push_str(a, S(""));
    js_push(a, js_new_int(INT64_MIN));
    js_set(j, "list", a);
    js_write(j, JS_COMPACT, &out);
    assert_true(buf_ok(&out));
    assert_slice(buf_slice(&out),
                 "{\"name\":\"a\\\"b\\n\xe2\x82\xac\",\"big\":9223372036854775807,\"no\":false,"
                 "\"nothing\":null,\"list\":[\"\",-9223372036854775808]}"); /* one line: NDJSON */
    AUTO(js_freep) struct js *back = parse(buf_cstr(&out));
    assert_true(js_equal(j, back));
    js_set_int(back, "big", 1);
    assert_false(js_equal(j, back));
    buf_deinit(&out);
    struct buf small = BUF_MAX(10);
    js_write(j, JS_PRETTY, &small);
    assert_false(buf_ok(&small));
    buf_deinit(&small);
}

static void members_in_order(void **state)
{
    (void)state;
    AUTO(js_freep) struct js *j = parse("{\"z\":1,\"a\":2,\"m\":3}");
    struct js_iter it = {0};
    const char *name;
    struct js *value;
    char seen[8] = "";
    for (size_t i = 0; js_next(j, &it, &name, &value); i++) {
        assert_true(i < 3);
        assert_int_equal(js_int(value, 0), i + 1);
        seen[i] = name[0];
    }
    assert_string_equal(seen, "zam");
}

static void shared_value_outlives_its_parent(void **state)
{
    (void)state;
    struct js *j = parse("{\"inner\":{\"k\":\"v\"}}");
    struct js *inner = js_ref(js_get(j, "inner"));
    js_free(j);
    assert_slice(js_get_str(inner, "k"), "v");
    js_free(inner);
    js_free(NULL);
}

static void strings_for_a_terminal(void **state)
{
    (void)state;
    AUTO(js_freep)
    struct js *j = parse(
        "{\"a\":[{\"b\":\"x\\u001b[2J\"},\"\\u202ey\"],\"n\":7,\"c\":\"\\u00e9\",\"e\":\"\"}");
    js_plain(j);
    assert_slice(js_get_str(js_at(js_get(j, "a"), 0), "b"), "x?[2J");
    assert_slice(js_str(js_at(js_get(j, "a"), 1)), "?y");
    assert_slice(js_get_str(j, "c"), "\xc3\xa9");
    assert_int_equal(js_get_int(j, "n", 0), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),
        cmocka_unit_test(depth),
        cmocka_unit_test(views),
        cmocka_unit_test(shapes),
        cmocka_unit_test(builds_and_writes),
        cmocka_unit_test(members_in_order),
        cmocka_unit_test(shared_value_outlives_its_parent),
        cmocka_unit_test(strings_for_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
