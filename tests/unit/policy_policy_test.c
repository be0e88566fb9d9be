/* What a policy says at a glance, the places of complaints, and diffs. */
#include "policy/policy.h"
#include "tests/unit/support/test.h"

static bool grants_anyone(const char *text)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    assert_int_equal(policy_load(slice_str(text), NULL, &diags, &p), 0);
    bool grants = policy_grants_anyone(p, S("funnel"));
    policy_unref(p);
    policy_diags_free(&diags);
    return grants;
}

static void anyone(void **state)
{
    (void)state;
    assert_false(grants_anyone("{}"));
    assert_false(grants_anyone("{\"nodeAttrs\":[{\"target\":[],\"attr\":[\"funnel\"]},"
                               "{\"target\":[\"*\"],\"attr\":[\"drive:share\"]}]}"));
    assert_true(grants_anyone("{\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":[\"drive:share\"]},"
                              "{\"target\":[\"cy@example.com\"],\"attr\":[\"ssh\",\"funnel\"]}]}"));
}

static void places_and_hints(void **state)
{
    (void)state;
    struct policy_diags diags;
    struct policy *p = NULL;
    const char *text =
        "{\n\t// one\n\t\"groups\": {},\n\n\n\t\"nodeAttrs\": [\n\t\t{\"attr\": 7},\n\t],\n\t\"nodeAttr\": []\n}\n";
    assert_int_equal(policy_load(slice_str(text), NULL, &diags, &p), POLICY_INVALID);
    assert_int_equal(diags.count, 2);
    assert_int_equal(diags.items[0].line, 7);
    assert_int_equal(diags.items[0].column, 12);
    assert_string_equal(diags.items[0].pointer, "/nodeAttrs/0/attr");
    assert_string_equal(diags.items[1].code, "unknown-field");
    assert_string_equal(diags.items[1].hint, "did you mean \"nodeAttrs\"?");
    policy_diags_free(&diags);
}

static void diffs(void **state)
{
    (void)state;
    struct buf out = BUF_MAX(4096);
    policy_diff(S("a\nb\nc\nd\n"), S("a\nb\nX\nc\nd\n"), 1, &out);
    assert_slice(buf_slice(&out), "@@ -2,2 +2,3 @@\n b\n+X\n c\n");
    buf_clear(&out);
    policy_diff(S("same\n"), S("same\n"), 3, &out);
    assert_int_equal(out.len, 0);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anyone),
        cmocka_unit_test(places_and_hints),
        cmocka_unit_test(diffs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
