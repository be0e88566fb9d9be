/* Warnings that hang on the facts (policy.md 2.7): the same file on different tailnets. */
#include <stdio.h>

#include "policy/facts.h"
#include "policy/policy.h"
#include "tests/unit/support/test.h"

static void expect(const char *facts_text, const char *text, const char *want)
{
    struct policy_facts *f = NULL;
    struct policy_diags diags;
    struct policy *p = NULL;
    struct buf got = BUF_MAX(4096);
    char why[256] = "";
    if (facts_text && policy_facts_read(slice_str(facts_text), why, &f)) {
        fail_msg("%s", why);
    }
    assert_int_equal(policy_load(slice_str(text), f, &diags, &p), 0);
    for (size_t i = 0; i < diags.count; i++) {
        buf_addf(&got, "%s %s\n", diags.items[i].code, diags.items[i].pointer);
    }
    assert_string_equal(buf_cstr(&got), want);
    buf_deinit(&got);
    policy_diags_free(&diags);
    policy_unref(p);
    policy_facts_unref(f);
}

#define USERS \
    "\"domains\": [\"x.y\", \"z.y\"], \"users\": {\"a@x.y\": \"member\", \"b@x.y\": \"admin\"}"

static void https(void **state)
{
    (void)state;
    const char *text =
        "{\"nodeAttrs\": [{\"target\": [\"*\"], \"attr\": [\"ssh-env-vars\", \"funnel\", \"funnel\"]}, "
        "{\"target\": [], \"attr\": [\"funnel\"]}, {\"target\": [\"*\"], \"attr\": [\"mullvad\"]}]}";
    expect("{" USERS ", \"https\": false}", text,
           "funnel-https-off /nodeAttrs/0/attr/1\nentry-without-effect /nodeAttrs/1\n");
    expect("{" USERS ", \"https\": true}", text, "entry-without-effect /nodeAttrs/1\n");
    expect(NULL, text, "entry-without-effect /nodeAttrs/1\n");
}

static const char targets[] =
    "{\"groups\": {\"group:a\": [\"a@x.y\"], \"group:b\": [\"b@x.y\"]}, \"tagOwners\": {\"tag:t\": [], \"tag:u\": []}, "
    "\"nodeAttrs\": [{\"target\": [\"*\", \"a@x.y\", \"b@x.y\", \"group:a\", \"group:b\", \"user:*@x.y\", \"user:*@z.y\", "
    "\"tag:t\", \"tag:u\", \"autogroup:member\", \"autogroup:tagged\", \"autogroup:admin\", \"autogroup:owner\", "
    "\"100.64.0.1\", \"fd7a::/16\", \"user:*@z.y\", \"user:*@x.y\", \"group:b\"], \"attr\": [\"mullvad\"]}]}";

/* Before the first device nobody is told that nothing matches. */
static void no_device(void **state)
{
    (void)state;
    expect("{" USERS ", \"https\": true}", targets, "");
    expect("{" USERS ", \"https\": true, \"nodes\": {}}", targets, "");
}

static void a_member(void **state)
{
    (void)state;
    expect(
        "{" USERS
        ", \"https\": true, \"nodes\": {\"l\": {\"ipv4\": \"100.64.0.1\", \"user\": \"a@x.y\"}}}",
        targets,
        "tag-without-devices /tagOwners/tag:t\ntag-without-devices /tagOwners/tag:u\n"
        "target-matches-no-device /nodeAttrs/0/target/2\ntarget-matches-no-device /nodeAttrs/0/target/4\n"
        "target-matches-no-device /nodeAttrs/0/target/6\ntarget-matches-no-device /nodeAttrs/0/target/7\n"
        "target-matches-no-device /nodeAttrs/0/target/8\ntarget-matches-no-device /nodeAttrs/0/target/10\n"
        "target-matches-no-device /nodeAttrs/0/target/11\ntarget-matches-no-device /nodeAttrs/0/target/12\n"
        "target-matches-no-device /nodeAttrs/0/target/14\ntarget-matches-no-device /nodeAttrs/0/target/15\n"
        "target-matches-no-device /nodeAttrs/0/target/17\n");
}

static void a_server(void **state)
{
    (void)state;
    expect(
        "{" USERS
        ", \"https\": true, \"nodes\": {\"s\": {\"ipv6\": \"fd7a::1\", \"tags\": [\"tag:t\", \"tag:gone\"]}}}",
        targets,
        "tag-without-devices /tagOwners/tag:u\n"
        "target-matches-no-device /nodeAttrs/0/target/1\ntarget-matches-no-device /nodeAttrs/0/target/2\n"
        "target-matches-no-device /nodeAttrs/0/target/3\ntarget-matches-no-device /nodeAttrs/0/target/4\n"
        "target-matches-no-device /nodeAttrs/0/target/5\ntarget-matches-no-device /nodeAttrs/0/target/6\n"
        "target-matches-no-device /nodeAttrs/0/target/8\ntarget-matches-no-device /nodeAttrs/0/target/9\n"
        "target-matches-no-device /nodeAttrs/0/target/11\ntarget-matches-no-device /nodeAttrs/0/target/12\n"
        "target-matches-no-device /nodeAttrs/0/target/13\ntarget-matches-no-device /nodeAttrs/0/target/15\n"
        "target-matches-no-device /nodeAttrs/0/target/16\ntarget-matches-no-device /nodeAttrs/0/target/17\n");
}

/* A device of another tailnet is none of ours. */
static void a_stranger(void **state)
{
    (void)state;
    expect(
        "{" USERS
        ", \"https\": true, \"nodes\": {\"e\": {\"ipv4\": \"100.64.0.1\", \"user\": \"a@x.y\", \"external\": true}}}",
        "{\"nodeAttrs\": [{\"target\": [\"*\", \"100.64.0.1\"], \"attr\": [\"mullvad\"]}]}",
        "target-matches-no-device /nodeAttrs/0/target/0\ntarget-matches-no-device /nodeAttrs/0/target/1\n");
}

/* autogroup:admin has the owner in it (policy.md 2.2). */
static void an_owner(void **state)
{
    (void)state;
    expect(
        "{\"users\": {\"o@x.y\": \"owner\"}, \"https\": true, \"nodes\": {\"o\": {\"ipv4\": \"100.64.0.1\", \"user\": \"o@x.y\"}}}",
        "{\"nodeAttrs\": [{\"target\": [\"autogroup:admin\", \"autogroup:owner\", \"autogroup:auditor\"], \"attr\": [\"mullvad\"]}]}",
        "target-matches-no-device /nodeAttrs/0/target/2\n");
}

/* What a file without rules defines is not unused yet; every kind of rule counts. */
static void unused(void **state)
{
    (void)state;
    static const char *const rules[] = {
        "\"acls\": [{\"action\": \"accept\"}]",
        "\"nodeAttrs\": [{\"target\": [\"*\"], \"attr\": [\"mullvad\"]}]",
        "\"ssh\": [{\"action\": \"accept\", \"users\": [\"root\"]}]",
        "\"autoApprovers\": {\"routes\": {\"10.0.0.0/8\": []}}",
        "\"autoApprovers\": {\"services\": {\"svc:x\": []}}",
        "\"autoApprovers\": {\"exitNode\": [\"autogroup:member\"]}",
        "\"autoApprovers\": {\"funnel\": [\"autogroup:member\"]}",
    };
    expect(NULL, "{\"groups\": {\"group:a\": []}, \"nodeAttrs\": [], \"autoApprovers\": {}}", "");
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "{\"groups\": {\"group:a\": []}, \"hosts\": {\"h\": \"10.0.0.1\"}, %s}", rules[i]);
        expect(NULL, text, "unused-group /groups/group:a\nunused-host /hosts/h\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(https),    cmocka_unit_test(no_device),  cmocka_unit_test(a_member),
        cmocka_unit_test(a_server), cmocka_unit_test(a_stranger), cmocka_unit_test(an_owner),
        cmocka_unit_test(unused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
