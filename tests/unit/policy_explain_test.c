/* Why a device has an attribute or lacks it: the entries, their lines, the nearest miss and the
 * next step (policy.md 4.3). */
#include "policy/explain.h"

#include <stdio.h>

#include "policy/policy.h"
#include "tests/unit/support/test.h"

static const char facts_text[] =
    "{\"domains\":[\"example.com\"],\"https\":true,\"funnelPorts\":\"443,8443\",\"users\":{"
    "\"ann@example.com\":\"owner\",\"bob@example.com\":\"admin\",\"cy@example.com\":\"member\","
    "\"dee@github\":\"auditor\",\"sus@example.com\":\"member\"},\"suspended\":[\"sus@example.com\"],"
    "\"nodes\":{\"ann-lap\":{\"user\":\"ann@example.com\",\"ipv4\":\"100.64.0.1\"},"
    "\"cy-desk\":{\"user\":\"cy@example.com\",\"ipv4\":\"100.64.0.3\",\"ipv6\":\"fd7a::3\"},"
    "\"dee-pc\":{\"user\":\"dee@github\"},\"sus-pc\":{\"user\":\"sus@example.com\"},"
    "\"web1\":{\"tags\":[\"tag:web\",\"tag:db\"],\"ipv4\":\"100.64.0.20\"},"
    "\"bare\":{\"ipv4\":\"100.64.0.77\"},"
    "\"ext1\":{\"user\":\"guest@other.example\",\"external\":true}}}";

static struct policy_explanation why;

static void explain(const char *policy, const char *node, const char *attr)
{
    char complaint[256];
    struct policy_facts *f = NULL;
    struct policy_diags diags;
    struct policy *p = NULL;
    struct policy_snapshot *s = NULL;
    assert_int_equal(policy_facts_read(slice_str(facts_text), complaint, &f), 0);
    if (policy_load(slice_str(policy), f, &diags, &p)) {
        fail_msg("%s: %s", policy, diags.items[0].message);
    }
    assert_int_equal(policy_evaluate(p, f, &s), 0);
    const struct policy_device *d = policy_facts_find(f, slice_str(node));
    policy_explain(s, (size_t)(d - f->devices), slice_str(attr), &why);
    const struct policy_set *set = policy_snapshot_set(s, (size_t)(d - f->devices));
    if (!strchr(attr, '-')) { /* not a question about ports */
        assert_int_equal(why.has, policy_set_has(set, slice_str(attr)));
    }
    policy_snapshot_unref(s);
    policy_unref(p);
    policy_diags_free(&diags);
    policy_facts_unref(f);
}

static void expect(size_t i, int line, const char *pointer, const char *text)
{
    assert_true(i < why.count);
    assert_string_equal(why.reasons[i].text, text);
    assert_string_equal(why.reasons[i].pointer, pointer);
    assert_int_equal(why.reasons[i].line, line);
}

static bool approves(const char *policy, const char *node)
{
    char complaint[256];
    AUTO(policy_facts_unrefp) struct policy_facts *f = NULL;
    AUTO(policy_snapshot_unrefp) struct policy_snapshot *s = NULL;
    struct policy_diags diags;
    struct policy *p = NULL;
    assert_int_equal(policy_facts_read(slice_str(facts_text), complaint, &f), 0);
    assert_int_equal(policy_load(slice_str(policy), f, &diags, &p), 0);
    assert_int_equal(policy_evaluate(p, f, &s), 0);
    const struct policy_device *d = policy_facts_find(f, slice_str(node));
    bool yes = policy_approves_funnel(s, (size_t)(d - f->devices));
    policy_unref(p);
    policy_diags_free(&diags);
    return yes;
}

/* autoApprovers.funnel names owners and tags; a suspended owner and a guest get nothing. */
static void approves_itself(void **state)
{
    (void)state;
    static const char group[] =
        "{\"groups\":{\"group:dev\":[\"cy@example.com\",\"sus@example.com\"]},"
        "\"autoApprovers\":{\"funnel\":[\"group:dev\",\"tag:web\"]},\"tagOwners\":{\"tag:web\":[]}}";
    static const char role[] = "{\"autoApprovers\":{\"funnel\":[\"autogroup:admin\"]}}";
    assert_true(approves(group, "cy-desk"));
    assert_true(approves(group, "web1"));
    assert_false(approves(group, "ann-lap"));
    assert_false(approves(group, "sus-pc"));
    assert_false(approves(group, "bare"));
    assert_true(approves(role, "ann-lap")); /* an owner is an admin too */
    assert_false(approves(role, "cy-desk"));
    assert_false(approves("{\"autoApprovers\":{\"funnel\":[\"autogroup:member\"]}}", "ext1"));
    assert_false(approves("{}", "ann-lap"));
}

#define TAGS "\"tagOwners\":{\"tag:web\":[],\"tag:db\":[],\"tag:x\":[]}"

static void gives(void **state)
{
    (void)state;
    explain(
        "{\n\"nodeAttrs\":[\n{\"target\":[\"dee@github\",\"autogroup:member\"],\n\"attr\":[\"funnel\"]},\n"
        "{\"target\":[\"*\"],\"attr\":[\"drive:share\"]},\n{\"target\":[\"cy@example.com\",\"*\"],"
        "\"attr\":[\"funnel\"]}]}",
        "cy-desk", "funnel");
    assert_true(why.has);
    assert_int_equal(why.count, 2);
    expect(0, 3, "/nodeAttrs/0/target/1", "the entry at line 3 targets autogroup:member");
    expect(1, 6, "/nodeAttrs/2/target/0", "the entry at line 6 targets cy@example.com");
    assert_int_equal(why.reasons[0].entry, 0);
    assert_int_equal(why.reasons[0].column, 25);
    assert_string_equal(why.reasons[0].selector, "autogroup:member");
    assert_string_equal(why.summary, "cy-desk has \"funnel\": the entry at line 3 targets "
                                     "autogroup:member, and 1 more gives it");
    assert_string_equal(why.next, "");
}

static void app_and_switch(void **state)
{
    (void)state;
    explain("{\"nodeAttrs\":[{\"target\":[\"*\"],\"app\":{\"example.com/cap/x\":[1]}}]}", "web1",
            "example.com/cap/x");
    assert_true(why.has);
    assert_int_equal(why.count, 1);
    explain("{\"randomizeClientPort\":\ntrue}", "web1", "randomize-client-port");
    assert_true(why.has);
    expect(0, 2, "/randomizeClientPort", "randomizeClientPort at line 2 is on for every device");
    assert_true(why.reasons[0].entry == POLICY_NO_ENTRY);
    explain("{\"randomizeClientPort\":true}", "sus-pc", "randomize-client-port");
    assert_false(why.has);
    assert_int_equal(why.count, 1);
    explain("{\"randomizeClientPort\":false}", "web1", "randomize-client-port");
    assert_false(why.has);
    assert_int_equal(why.count, 0);
}

static void nobody(void **state)
{
    (void)state;
    explain("{\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":[\"drive:share\"]}]}", "web1", "funnel");
    assert_false(why.has);
    assert_int_equal(why.count, 0);
    assert_string_equal(why.summary, "web1 lacks \"funnel\": no entry of nodeAttrs gives it to "
                                     "anything; next: add an entry for the device");
}

#define GROUPS "\"groups\":{\"group:ops\":[\"ann@example.com\"]}"
#define HOSTS  "\"hosts\":{\"corp\":\"10.0.0.0/8\"}"

/* One entry with one target; what is said of it, and the next step. */
static void misses(void **state)
{
    (void)state;

    static const struct {
        const char *node, *target, *text, *next;
    } cases[] = {
        {"web1", "autogroup:member", "web1 is tagged; the entry at line 2 targets autogroup:member",
         "add tag:db to its targets, or take the tags off the device"},
        {"web1", "cy@example.com", "web1 is tagged; the entry at line 2 targets cy@example.com",
         "add tag:db to its targets, or take the tags off the device"},
        {"web1", "tag:x", "web1 has tag:db, tag:web; the entry at line 2 targets tag:x",
         "add tag:db to its targets, or give the device a tag that it targets"},
        {"cy-desk", "tag:x", "cy-desk has no tags; the entry at line 2 targets tag:x",
         "add cy@example.com to its targets, or give the device a tag that it targets"},
        {"cy-desk", "autogroup:tagged",
         "cy-desk has no tags; the entry at line 2 targets autogroup:tagged",
         "add cy@example.com to its targets, or give the device a tag that it targets"},
        {"cy-desk", "group:ops",
         "cy@example.com is not in group:ops; the entry at line 2 targets group:ops",
         "add cy@example.com to group:ops"},
        {"cy-desk", "autogroup:admin",
         "cy@example.com is a member; the entry at line 2 targets autogroup:admin",
         "add cy@example.com to its targets"},
        {"dee-pc", "autogroup:owner",
         "dee@github is an auditor; the entry at line 2 targets autogroup:owner",
         "add dee@github to its targets"},
        {"dee-pc", "user:*@example.com",
         "dee-pc belongs to dee@github; the entry at line 2 targets user:*@example.com",
         "add dee@github to its targets"},
        {"cy-desk", "ann@example.com",
         "cy-desk belongs to cy@example.com; the entry at line 2 targets ann@example.com",
         "add cy@example.com to its targets"},
        {"cy-desk", "corp", "no address of cy-desk is inside; the entry at line 2 targets corp",
         "add cy@example.com to its targets"},
        {"bare", "10.0.0.0/8",
         "no address of bare is inside; the entry at line 2 targets 10.0.0.0/8",
         "add an address of the device to its targets"},
        {"bare", "autogroup:member",
         "bare has no owner; the entry at line 2 targets autogroup:member",
         "add an address of the device to its targets"},
        {"sus-pc", "autogroup:member",
         "sus@example.com, the owner of sus-pc, is suspended; the entry at line 2 targets "
         "autogroup:member",
         "restore the user"},
        {"sus-pc", "cy@example.com",
         "sus-pc belongs to sus@example.com; the entry at line 2 targets cy@example.com",
         "add sus@example.com to its targets"},
        {"ext1", "*", "ext1 is shared in from another tailnet; the entry at line 2 targets *",
         "ask an admin of its own tailnet; attributes come from there alone"},
        {"ext1", "tag:x",
         "ext1 is shared in from another tailnet; the entry at line 2 targets tag:x",
         "ask an admin of its own tailnet; attributes come from there alone"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char policy[512], summary[512];
        snprintf(policy, sizeof policy,
                 "{" GROUPS "," HOSTS "," TAGS
                 ",\n\"nodeAttrs\":[{\"target\":[\"%s\"],\"attr\":[\"funnel\"]}]}",
                 cases[i].target);
        explain(policy, cases[i].node, "funnel");
        assert_false(why.has);
        assert_int_equal(why.count, 1);
        expect(0, 2, "/nodeAttrs/0/target/0", cases[i].text);
        assert_string_equal(why.next, cases[i].next);
        snprintf(summary, sizeof summary, "%s lacks \"funnel\": %s; next: %s", cases[i].node,
                 cases[i].text, cases[i].next);
        assert_string_equal(why.summary, summary);
    }
}

static void matches(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"web1", "*"},
        {"web1", "tag:web"},
        {"web1", "autogroup:tagged"},
        {"web1", "100.64.0.20"},
        {"cy-desk", "fd7a::/16"},
        {"cy-desk", "CY@example.com"},
        {"ann-lap", "autogroup:admin"},
        {"ann-lap", "autogroup:owner"},
        {"ann-lap", "group:ops"},
        {"ann-lap", "user:*@Example.com"},
        {"dee-pc", "autogroup:auditor"},
        {"dee-pc", "autogroup:member"},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        char policy[512];
        snprintf(policy, sizeof policy,
                 "{" GROUPS "," TAGS
                 ",\"nodeAttrs\":[{\"target\":[\"%s\"],\"attr\":[\"funnel\"]}]}",
                 pairs[i][1]);
        explain(policy, pairs[i][0], "funnel");
        assert_true(why.has);
        assert_int_equal(why.count, 1);
        assert_string_equal(why.reasons[0].selector, pairs[i][1]);
    }
}

static void nearest_first(void **state)
{
    (void)state;
    explain(
        "{" GROUPS "," TAGS
        ",\"nodeAttrs\":[\n{\"target\":[\"ann@example.com\",\"tag:web\"],\"attr\":[\"funnel\"]},\n"
        "{\"target\":[\"group:ops\",\"10.0.0.0/8\"],\"attr\":[\"funnel\"]}]}",
        "cy-desk", "funnel");
    assert_int_equal(why.count, 4);
    assert_string_equal(why.reasons[0].selector, "group:ops");
    assert_string_equal(why.reasons[1].selector, "tag:web");
    assert_string_equal(why.reasons[2].selector, "ann@example.com");
    assert_string_equal(why.reasons[3].selector, "10.0.0.0/8");
    assert_int_equal(why.reasons[0].entry, 1);
    assert_int_equal(why.reasons[0].line, 3);
}

/* More misses than there is room for: the nearest stay. */
static void many(void **state)
{
    (void)state;
    struct buf policy = BUF_MAX(8 * KIB);
    buf_adds(&policy, "{" GROUPS ",\"nodeAttrs\":[");
    for (int i = 0; i < 20; i++) {
        buf_addf(&policy, "{\"target\":[\"u%d@example.com\"],\"attr\":[\"funnel\"]},", i);
    }
    buf_adds(&policy, "{\"target\":[\"group:ops\",\"autogroup:admin\"],\"attr\":[\"funnel\"]}]}");
    explain(buf_cstr(&policy), "cy-desk", "funnel");
    assert_int_equal(why.count, POLICY_REASONS_MAX);
    assert_string_equal(why.reasons[0].selector, "group:ops");
    assert_string_equal(why.reasons[1].selector, "autogroup:admin");
    assert_string_equal(why.reasons[2].selector, "u0@example.com");
    assert_string_equal(why.reasons[15].selector, "u13@example.com");
    buf_clear(&policy);
    buf_adds(&policy, "{\"nodeAttrs\":[");
    for (int i = 0; i < 20; i++) {
        buf_adds(&policy, "{\"target\":[\"*\"],\"attr\":[\"funnel\"]},");
    }
    buf_adds(&policy, "]}");
    explain(buf_cstr(&policy), "cy-desk", "funnel");
    assert_int_equal(why.count, POLICY_REASONS_MAX);
    assert_string_equal(
        why.summary,
        "cy-desk has \"funnel\": the entry at line 1 targets *, and at least 15 more give it");
    buf_deinit(&policy);
}

#define OWN_PORTS "\"app\":{\"openfunnel.org/cap/funnel\":[{\"ports\":[\"9000-9010\"]}]}"

static void ports(void **state)
{
    (void)state;
    const char *policy =
        "{" TAGS ",\n\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"attr\":[\"funnel\"]},\n"
        "{\"target\":[\"tag:web\"],\"attr\":[\"funnel\"]," OWN_PORTS "}]}";
    explain(policy, "web1", "funnel-ports?ports=9001,9005-9010");
    assert_true(why.has);
    assert_int_equal(why.count, 1);
    explain(policy, "web1", "https://tailscale.com/cap/funnel-ports?ports=9000-9011");
    assert_false(why.has);
    expect(0, 3, "/nodeAttrs/1/target/0", "the entry at line 3 allows 9000-9010");
    assert_string_equal(why.next, "add the port to \"openfunnel.org/cap/funnel\" of that entry");
    explain(policy, "cy-desk", "funnel-ports?ports=22");
    assert_false(why.has);
    expect(0, 2, "/nodeAttrs/0/target/0",
           "the entry at line 2 names no ports (the tailnet's are 443,8443)");
    explain(policy, "cy-desk", "funnel-ports");
    assert_true(why.has);
    explain(policy, "cy-desk", "https://tailscale.com/cap/funnel-ports");
    assert_true(why.has);
    explain(policy, "cy-desk", "funnel-ports?ports=443,443x");
    assert_false(why.has);
    assert_int_equal(why.count, 0);
    explain("{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"attr\":[\"funnel\"]}]}", "web1",
            "funnel-ports?ports=443");
    assert_false(why.has);
    expect(0, 1, "/nodeAttrs/0/target/0",
           "web1 is tagged; the entry at line 1 targets autogroup:member");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives),
        cmocka_unit_test(app_and_switch),
        cmocka_unit_test(nobody),
        cmocka_unit_test(misses),
        cmocka_unit_test(matches),
        cmocka_unit_test(nearest_first),
        cmocka_unit_test(many),
        cmocka_unit_test(ports),
        cmocka_unit_test(approves_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
