/* Reading facts, evaluating, comparing and checking when memory runs out, at every allocation in
 * turn: -ENOMEM or the right answer, never a crash, never a leak. */
#include <errno.h>

#include "policy/check.h"
#include "policy/policy.h"
#include "tests/unit/support/fault.h"
#include "tests/unit/support/test.h"

static const char facts_text[] =
    "{\"domains\":[\"example.com\"],\"https\":true,\"funnelPorts\":\"443,8443\",\"users\":{"
    "\"ann@example.com\":\"owner\",\"cy@example.com\":\"member\",\"dee@github\":\"member\"},"
    "\"suspended\":[\"dee@github\"],\"nodes\":{"
    "\"ann-lap\":{\"user\":\"ann@example.com\",\"ipv4\":\"100.64.0.1\",\"ipv6\":\"fd7a::1\"},"
    "\"cy-desk\":{\"user\":\"cy@example.com\",\"ipv4\":\"100.64.0.3\",\"ipv6\":\"fd7a::3\"},"
    "\"web1\":{\"tags\":[\"tag:web\"],\"ipv4\":\"100.64.0.20\",\"ipv6\":\"fd7a::14\"},"
    "\"mix1\":{\"tags\":[\"tag:web\",\"tag:db\"]},\"ext1\":{\"external\":true}}}";

static const char whole_text[] =
    "{\"groups\":{\"group:g\":[\"cy@example.com\"]},\"tagOwners\":{\"tag:web\":[],\"tag:db\":[]},"
    "\"nodeAttrs\":[{\"target\":[\"autogroup:member\",\"group:g\"],\"attr\":[\"funnel\",\"a\\\"b\"]},"
    "{\"target\":[\"tag:web\"],\"attr\":[\"funnel\"],"
    "\"app\":{\"openfunnel.org/cap/funnel\":[{\"ports\":[\"443\"]}]}},"
    "{\"target\":[\"tag:db\"],\"attr\":[\"funnel\"],"
    "\"app\":{\"openfunnel.org/cap/funnel\":[{\"ports\":[\"9000-9010\"]}]}},"
    "{\"target\":[\"100.64.0.0/24\",\"fd7a::/64\",\"user:*@example.com\"],"
    "\"attr\":[\"silent-disco\"]}],\"nodeAttrTests\":["
    "{\"target\":\"tag:db\",\"have\":[\"funnel\"],\"funnelPorts\":{\"allow\":[9001],\"deny\":[22]}},"
    "{\"target\":\"new@example.com\",\"have\":[\"funnel\"]},"
    "{\"target\":\"10.9.9.9\",\"lack\":[\"funnel\"]}]}";
static const char other_text[] =
    "{\"tagOwners\":{\"tag:web\":[]},\"nodeAttrs\":[{\"target\":[\"tag:web\"],\"attr\":[\"funnel\"],"
    "\"app\":{\"openfunnel.org/cap/funnel\":[{\"ports\":[\"443\"]}]}}]}";

static struct policy_facts *facts;
static struct policy *policy, *other;

static void judge(void *world, int rc)
{
    (void)world;
    assert_true(rc == 0 || rc == -ENOMEM);
}

static int read_facts(void *world)
{
    char why[256];
    struct policy_facts *f = NULL;
    (void)world;
    int rc = policy_facts_read(slice_str(facts_text), why, &f);
    assert_int_equal(f != NULL, rc == 0);
    if (f) {
        assert_int_equal(f->device_count, 5);
        assert_int_equal(f->user_count, 3);
    }
    policy_facts_unref(f);
    return rc;
}

static int ask_all(struct policy_snapshot *s)
{
    struct policy_device late = {
        .tags = (struct slice[]){S("tag:db")}, .tag_count = 1, .user = POLICY_NO_USER};
    assert_slice(
        policy_snapshot_set(s, 3)->json,
        "{\"funnel\":null,\"https://tailscale.com/cap/funnel-ports?ports=443,9000-9010\":null,"
        "\"openfunnel.org/cap/funnel\":[{\"ports\":[\"443\"]},{\"ports\":[\"9000-9010\"]}]}");
    const struct policy_set *set = policy_snapshot_one(s, &late);
    if (!set) {
        return -ENOMEM;
    }
    assert_slice(set->json,
                 "{\"funnel\":null,\"https://tailscale.com/cap/funnel-ports?ports=9000-9010\":null,"
                 "\"openfunnel.org/cap/funnel\":[{\"ports\":[\"9000-9010\"]}]}");
    return 0;
}

static int evaluate(void *world)
{
    struct policy_snapshot *s = NULL, *t = NULL;
    struct policy_changes c;
    (void)world;
    int rc = policy_evaluate(policy, facts, &s);
    assert_int_equal(s != NULL, rc == 0);
    rc = rc ? rc : ask_all(s);
    rc = rc ? rc : policy_evaluate(other, facts, &t);
    if (!rc) {
        policy_changes(s, t, &c);
        assert_int_equal(c.count, 4); /* all but ext1 */
        assert_true(c.at[0].loses_funnel);
        policy_changes_free(&c);
    }
    policy_snapshot_unref(s);
    policy_snapshot_unref(t);
    return rc;
}

static int check(void *world)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    struct policy_snapshot *s = NULL;
    (void)world;
    int rc = policy_check(slice_str(whole_text), facts, &diags, &p, &s);
    assert_int_equal(p != NULL, rc == 0);
    assert_int_equal(s != NULL, rc == 0);
    if (rc == POLICY_INVALID) {
        fail_msg("%s", diags.items[0].message);
    }
    if (rc == -ENOMEM) {
        assert_true(!diags.items && !diags.count);
    }
    policy_diags_free(&diags);
    policy_snapshot_unref(s);
    policy_unref(p);
    return rc;
}

static void sweeps(void **state)
{
    (void)state;
    fault_sweep(FAULT_MEMORY, &(struct fault_case){"read facts", NULL, read_facts, judge}, NULL);
    fault_sweep(FAULT_MEMORY, &(struct fault_case){"evaluate", NULL, evaluate, judge}, NULL);
    fault_sweep(FAULT_MEMORY, &(struct fault_case){"check", NULL, check, judge}, NULL);
}

static struct policy *load(const char *text)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    assert_int_equal(policy_load(slice_str(text), facts, &diags, &p), 0);
    policy_diags_free(&diags);
    return p;
}

static int set_up(void **state)
{
    char why[256];
    (void)state;
    assert_int_equal(policy_facts_read(slice_str(facts_text), why, &facts), 0);
    policy = load(whole_text);
    other = load(other_text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    policy_unref(policy);
    policy_unref(other);
    policy_facts_unref(facts);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sweeps)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
