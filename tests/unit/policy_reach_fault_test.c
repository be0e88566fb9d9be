/*
 * Reachability, previews and tests when memory runs out, at every allocation in turn: -ENOMEM, or
 * the right answer, or a test that says so; never a crash, never a leak.
 */
#include <errno.h>

#include "tests/unit/support/fault.h"
#include "tests/unit/support/reach_world.h"

/* Every kind of selector, and tests of every path: passing, so that a failure is one of memory. */
static const char text[] =
    "{\"groups\":{\"group:a\":[\"ann@example.com\",\"cy@example.com\"],\"group:unused\":[\"cy@example.com\"]},\n"
    "\"tagOwners\":{\"tag:web\":[],\"tag:db\":[],\"tag:new\":[]},\n"
    "\"hosts\":{\"h\":\"100.64.0.1\",\"far\":\"10.1.1.1\"},\n"
    "\"ipsets\":{\"ipset:a\":[\"100.64.0.1-100.64.0.9\",\"fd7a:115c:a1e0::/64\"]},\n"
    "\"postures\":{\"posture:p\":[\"node:os == 'linux'\"]},\n"
    "\"acls\":[{\"action\":\"accept\",\"src\":[\"group:a\",\"h\"],\"dst\":[\"tag:web:22\",\"far:22\"]},\n"
    "{\"action\":\"accept\",\"src\":[\"100.64.0.0/28\"],\"dst\":[\"tag:web:22\"]},\n"
    "{\"action\":\"accept\",\"src\":[\"tag:web\",\"tag:db\"],\"dst\":[\"tag:db:1-99\",\"tag:web:1\"]},\n"
    "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self:80\"]}],\n"
    "\"grants\":[{\"src\":[\"ipset:a\"],\"dst\":[\"autogroup:internet\",\"tag:new\"],\"ip\":[\"tcp:443\"],"
    "\"srcPosture\":[\"posture:p\"]}],\n"
    "\"ssh\":[{\"action\":\"check\",\"src\":[\"group:a\"],\"dst\":[\"autogroup:self\"],\"users\":[\"root\"]}],\n"
    "\"tests\":[{\"src\":\"group:a\",\"accept\":[\"tag:web:22\",\"far:22\"],\"deny\":[\"tag:db:22\"]},\n"
    "{\"src\":\"group:unused\",\"accept\":[\"tag:web:22\"]},\n"
    "{\"src\":\"tag:web\",\"accept\":[\"tag:db:22\"],\"deny\":[\"100.64.0.1:22\"]},\n"
    "{\"src\":\"h\",\"srcPostureAttrs\":{\"node:os\":\"linux\"},\"accept\":[\"8.8.8.8:443\",\"tag:new:443\"]}],\n"
    "\"sshTests\":[{\"src\":\"group:a\",\"dst\":[\"autogroup:self\"],\"check\":[\"root\"],\"deny\":[\"x\"]}]}\n";

static const char requested[] = "[{\"src\":\"group:a\",\"accept\":[\"tag:web:22\"]}]";

static struct policy_facts *facts;
static struct policy *policy;
static struct policy_snapshot *snapshot;

static int set_up(void **state)
{
    static const char tailnet[] =
        "{\"domains\":[\"example.com\"],\"users\":{\"ann@example.com\":\"owner\","
        "\"cy@example.com\":\"member\"},\"nodes\":{\"a\":{\"ipv4\":\"100.64.0.1\","
        "\"ipv6\":\"fd7a:115c:a1e0::1\",\"user\":\"ann@example.com\"},"
        "\"c\":{\"ipv4\":\"100.64.0.2\",\"user\":\"cy@example.com\"},"
        "\"w\":{\"ipv4\":\"100.64.0.3\",\"tags\":[\"tag:web\"]},"
        "\"d\":{\"ipv4\":\"100.64.0.4\",\"tags\":[\"tag:db\"]}}}";
    char why[256];
    (void)state;
    if (policy_facts_read(slice_str(tailnet), why, &facts)) {
        return -1;
    }
    w_load(slice_str(text), facts, &policy);
    return policy_evaluate(policy, facts, &snapshot);
}

static int tear_down(void **state)
{
    (void)state;
    policy_snapshot_unref(snapshot);
    policy_unref(policy);
    policy_facts_unref(facts);
    return 0;
}

static void judge(void *world, int rc)
{
    (void)world;
    assert_true(rc == 0 || rc == -ENOMEM);
}

static void sweep(const char *name, int (*run)(void *world))
{
    fault_sweep(FAULT_MEMORY, &(struct fault_case){name, NULL, run, judge}, NULL);
}

static int build(void *world)
{
    struct policy_reach *r = NULL;
    (void)world;
    int rc = policy_reach_new(policy, facts, &r);
    assert_true((rc == 0) == (r != NULL));
    policy_reach_free(r);
    return rc;
}

static void test_build(void **state)
{
    (void)state;
    sweep("reach", build);
}

/* -ENOMEM, or tests that fail and say why. */
static int try_tests(void *world)
{
    struct policy_diags diags = {0};
    size_t failed = 0;
    int rc = policy_tests_run(snapshot, world, &diags, &failed);
    for (size_t i = 0; i < diags.count; i++) {
        assert_non_null(strstr(diags.items[i].message, "not enough memory"));
    }
    policy_diags_free(&diags);
    return !rc && failed ? -ENOMEM : rc;
}

static void test_tests(void **state)
{
    struct policy_reach *r = NULL;
    (void)state;
    assert_int_equal(policy_reach_new(policy, facts, &r), 0);
    fault_sweep(FAULT_MEMORY, &(struct fault_case){"tests", NULL, try_tests, judge}, r);
    policy_reach_free(r);
}

static int try_requested(void *world)
{
    struct policy_diags diags = {0};
    (void)world;
    int rc = policy_tests_foreign(snapshot, slice_str(requested), &diags);
    if (rc == POLICY_INVALID) { /* without memory for the complaint there is none */
        assert_true(!diags.count || strstr(diags.items[0].message, "not enough memory"));
        rc = -ENOMEM;
    }
    policy_diags_free(&diags);
    return rc;
}

static void test_requested(void **state)
{
    (void)state;
    sweep("tests of a request", try_requested);
}

static int preview(void *world)
{
    const struct policy_reach *r = world;
    struct policy_matches m;
    char why[256] = "";
    bool user = policy_preview_user(r, S("cy@example.com"), &m);
    assert_true(user || !m.at);
    policy_matches_free(&m);
    bool other = policy_preview_user(r, S("who@example.com"), &m);
    policy_matches_free(&m);
    bool ipport = policy_preview_ipport(r, S("8.8.8.8:443"), &m, why);
    assert_true(ipport || why[0]);
    if (ipport) {
        policy_matches_free(&m);
    }
    return user && other && ipport ? 0 : -ENOMEM;
}

static void test_previews(void **state)
{
    struct policy_reach *r = NULL;
    (void)state;
    assert_int_equal(policy_reach_new(policy, facts, &r), 0);
    fault_sweep(FAULT_MEMORY, &(struct fault_case){"previews", NULL, preview, judge}, r);
    policy_reach_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_tests),
        cmocka_unit_test(test_requested),
        cmocka_unit_test(test_previews),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
