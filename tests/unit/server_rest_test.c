/* Entity tags and pages, as pure logic; what a request does with them:
 * tests/integration/test_rest.py. */
#include "server/rest.h"

#include "tests/unit/support/test.h"

static struct js *parse(const char *text)
{
    char why[100];
    struct js *j = js_parse(slice_str(text), KIB, why, sizeof why);
    assert_non_null(j);
    return j;
}

static bool same_tag(const char *a, const char *b)
{
    char ta[REST_ETAG_SIZE], tb[REST_ETAG_SIZE];
    AUTO(js_freep) struct js *ja = parse(a);
    AUTO(js_freep) struct js *jb = parse(b);
    rest_etag(ja, ta);
    rest_etag(jb, tb);
    assert_int_equal(strlen(ta), 34);
    assert_true(ta[0] == '"' && ta[33] == '"');
    return strcmp(ta, tb) == 0;
}

static void a_tag_is_of_what_can_be_changed(void **state)
{
    (void)state;
    assert_true(same_tag("{\"a\":1}", "{\"a\":1}"));
    assert_true(same_tag("{\"a\":1,\"lastSeen\":\"x\"}", "{\"a\":1,\"lastSeen\":\"y\"}"));
    assert_true(same_tag("{\"a\":1}", "{\"connectedToControl\":true,\"a\":1}"));
    assert_false(same_tag("{\"a\":1}", "{\"a\":2}"));
    assert_false(same_tag("{\"a\":1}", "{\"a\":1,\"b\":null}"));
    assert_false(same_tag("{\"a\":{\"lastSeen\":1}}", "{\"a\":{\"lastSeen\":2}}"));
    assert_false(same_tag("{}", "{\"a\":{}}"));
}

static void tags_are_listed(void **state)
{
    (void)state;
    assert_true(rest_tag_listed(S("\"x\""), S("\"x\"")));
    assert_true(rest_tag_listed(S(" \"a\" ,W/\"x\""), S("\"x\"")));
    assert_true(rest_tag_listed(S("*"), S("\"x\"")));
    assert_false(rest_tag_listed(S(""), S("\"x\"")));
    assert_false(rest_tag_listed(S("x"), S("\"x\"")));
    assert_false(rest_tag_listed(S("\"xx\",\"\",,"), S("\"x\"")));
}

/* Keys first..last, as a list would show them; how many were taken. */
static int64_t show(struct rest_page *p, int64_t first, int64_t last)
{
    for (int64_t key = first; key <= last; key++) {
        (void)rest_page_take(p, key);
    }
    return p->taken;
}

static struct slice next_cursor(const struct rest_page *p, struct js *answer)
{
    rest_page_end(p, answer);
    return js_get_str(answer, "nextCursor");
}

static void pages_follow_each_other(void **state)
{
    (void)state;
    AUTO(js_freep) struct js *a = js_object();
    AUTO(js_freep) struct js *b = js_object();
    AUTO(js_freep) struct js *c = js_object();
    struct rest_page whole = {.limit = INT64_MAX}, page = {.limit = 3},
                     exact = {.limit = 3, .after = 7};
    assert_int_equal(show(&whole, 1, 10), 10);
    assert_int_equal(next_cursor(&whole, a).n, 0);
    assert_int_equal(show(&page, 1, 10), 3);
    assert_int_equal(page.last, 3);
    assert_true(slice_eq(next_cursor(&page, b), S("Mw"))); /* 3 */
    assert_int_equal(show(&exact, 1, 10), 3);              /* 8, 9, 10: the end */
    assert_int_equal(next_cursor(&exact, c).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_is_of_what_can_be_changed),
        cmocka_unit_test(tags_are_listed),
        cmocka_unit_test(pages_follow_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
