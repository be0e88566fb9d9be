/* Evaluating a policy, the places of complaints, and diffs. */
#include "policy/policy.h"
#include "tests/unit/support/test.h"

static const struct slice web[] = {{"tag:web", 7}};
static const struct policy_subject laptop = {.login = {"Cy@Example.com", 14},
                                             .ipv4 = {"100.64.0.3", 10}};
static const struct policy_subject server = {
    .tags = web, .tag_count = 1, .ipv4 = {"100.64.0.9", 10}};

static void expect_funnel(const char *text, bool on_laptop, bool on_server)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    assert_int_equal(policy_load(slice_str(text), NULL, &diags, &p), 0);
    assert_int_equal(policy_grants(p, &laptop, S("funnel")), on_laptop);
    assert_int_equal(policy_grants(p, &server, S("funnel")), on_server);
    struct policy_subject suspended = laptop;
    suspended.suspended = true;
    assert_false(policy_grants(p, &suspended, S("funnel")));
    struct policy_caps caps;
    policy_eval(p, &laptop, &caps);
    bool found = false;
    for (size_t i = 0; i < caps.count; i++) {
        found = found || slice_eq(caps.names[i], S("funnel"));
    }
    assert_int_equal(found, on_laptop);
    policy_caps_free(&caps);
    policy_unref(p);
    policy_diags_free(&diags);
}

static void evaluation(void **state)
{
    (void)state;
    expect_funnel("{}", false, false);
    expect_funnel("{\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":[\"funnel\"]}]}", true, true);
    expect_funnel("{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"attr\":[\"funnel\"]}]}",
                  true, false);
    expect_funnel(
        "{\"nodeAttrs\":[{\"target\":[\"autogroup:members\"],\"attr\":[\"x\",\"funnel\",\"funnel\"]}]}",
        true, false);
    expect_funnel("{\"nodeAttrs\":[{\"target\":[\"cy@example.com\"],\"attr\":[\"funnel\"]}]}", true,
                  false);
    expect_funnel("{\"nodeAttrs\":[{\"target\":[\"bob@example.com\"],\"attr\":[\"funnel\"]}]}",
                  false, false);
    expect_funnel(
        "{\"tagOwners\":{\"tag:web\":[]},\"nodeAttrs\":[{\"target\":[\"tag:web\"],\"attr\":[\"funnel\"]}]}",
        false, true);
    expect_funnel("{\"nodeAttrs\":[{\"target\":[\"100.64.0.9\"],\"attr\":[\"funnel\"]}]}", false,
                  true);
    expect_funnel("{\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":[\"drive:share\"]}]}", false,
                  false);
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
        cmocka_unit_test(evaluation),
        cmocka_unit_test(places_and_hints),
        cmocka_unit_test(diffs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
