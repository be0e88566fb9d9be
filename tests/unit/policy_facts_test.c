/* The tailnet as the evaluator sees it: built by hand, and read from a file. */
#include <stdio.h>

#include "policy/facts.h"
#include "tests/unit/support/test.h"

static void roles(void **state)
{
    (void)state;
    static const char *const names[] = {"member",   "owner",         "admin",  "network-admin",
                                        "it-admin", "billing-admin", "auditor"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        enum policy_role role = POLICY_MEMBER;
        assert_true(policy_role_parse(slice_str(names[i]), &role));
        assert_string_equal(policy_role_name(role), names[i]);
    }
    enum policy_role role = POLICY_AUDITOR;
    assert_false(policy_role_parse(S("root"), &role));
    assert_int_equal(role, POLICY_AUDITOR);
    assert_string_equal(policy_role_name((enum policy_role)99), "");
}

static void users(void **state)
{
    (void)state;
    struct policy_facts *f = policy_facts_new();
    char login[] = "Ann@Example.com";
    struct policy_user ann = {.login = slice_str(login), .role = POLICY_OWNER};
    assert_int_equal(policy_facts_user(f, &ann), 0);
    login[0] = 'x'; /* copied */
    for (int i = 0; i < 40; i++) {
        char text[32];
        snprintf(text, sizeof text, "u%d@example.com", i);
        assert_int_equal(policy_facts_user(f, &(struct policy_user){.login = slice_str(text)}),
                         i + 1);
    }
    ann.role = POLICY_MEMBER;
    ann.login = S("ANN@example.com");
    assert_int_equal(policy_facts_user(f, &ann), 0); /* known: nothing changed */
    assert_int_equal(f->users[0].role, POLICY_OWNER);
    assert_slice(f->users[0].login, "Ann@Example.com");
    assert_int_equal(policy_facts_find_user(f, S("u39@EXAMPLE.com")), 40);
    assert_int_equal(policy_facts_find_user(f, S("nobody@example.com")), POLICY_NO_USER);
    assert_int_equal(f->user_count, 41);
    policy_facts_unref(f);
    policy_facts_unref(NULL);
}

static void devices(void **state)
{
    (void)state;
    struct policy_facts *f = policy_facts_new();
    uint32_t ann = policy_facts_user(f, &(struct policy_user){.login = S("ann@example.com")});
    const struct slice tags[] = {S("tag:web"), S("tag:db"), S("tag:web")};
    policy_facts_device(f, &(struct policy_device){.id = 9, .name = S("lap"), .user = ann});
    policy_facts_device(
        f,
        &(struct policy_device){
            .id = 5, .name = S("web1"), .user = ann, .tags = tags, .tag_count = ARRAY_LEN(tags)});
    policy_facts_device(f, &(struct policy_device){.id = 3,
                                                   .name = S("LAP"),
                                                   .user = ann,
                                                   .tags = tags,
                                                   .tag_count = 1,
                                                   .external = true});
    policy_facts_device(
        f, &(struct policy_device){.id = 11, .name = S("bare"), .user = POLICY_NO_USER});
    policy_facts_seal(f);
    assert_int_equal(f->device_count, 4);
    for (size_t i = 1; i < f->device_count; i++) {
        assert_true(f->devices[i - 1].id < f->devices[i].id);
    }
    const struct policy_device *d = policy_facts_find(f, S("web1"));
    assert_non_null(d);
    assert_int_equal(d->user, POLICY_NO_USER); /* tagged: no longer ann's */
    assert_int_equal(d->tag_count, 2);
    assert_slice(d->tags[0], "tag:db");
    assert_slice(d->tags[1], "tag:web");
    d = policy_facts_find(f, S("Lap"));
    assert_int_equal(d->id, 9); /* the tailnet's own, not the one shared in */
    assert_int_equal(d->user, ann);
    assert_null(policy_facts_find(f, S("nope")));
    assert_int_equal(policy_facts_index(f, 3), 0);
    assert_true(f->devices[0].external);
    assert_int_equal(f->devices[0].user, POLICY_NO_USER);
    assert_int_equal(f->devices[0].tag_count, 0);
    assert_int_equal(policy_facts_index(f, 11), 3);
    assert_true(policy_facts_index(f, 4) == SIZE_MAX);
    assert_true(policy_facts_index(f, 12) == SIZE_MAX);
    struct policy_facts *again = policy_facts_ref(f);
    policy_facts_unref(f);
    assert_int_equal(again->device_count, 4);
    policy_facts_unref(again);
}

static void settings(void **state)
{
    (void)state;
    struct policy_facts *f = policy_facts_new();
    assert_false(f->https);
    assert_int_equal(f->funnel_port_count, 3);
    assert_false(policy_facts_ports(f, S("443,x")));
    assert_int_equal(f->funnel_port_count, 3);
    assert_true(policy_facts_ports(f, S("9000-9010,443,9011")));
    assert_int_equal(f->funnel_port_count, 2);
    assert_int_equal(f->funnel_ports[1].last, 9011);
    policy_facts_domain(f, S("example.com"));
    policy_facts_domain(f, S("example.org"));
    assert_int_equal(f->domain_count, 2);
    assert_slice(f->domains[1], "example.org");
    char text[] = "kept";
    struct slice kept = policy_facts_keep(f, slice_str(text));
    text[0] = 'x';
    assert_slice(kept, "kept");
    policy_facts_unref(f);
}

static const char small[] =
    "{\"about\":\"a tailnet\", // HuJSON too\n"
    "\"nodes\":{\"lap\":{\"user\":\"ann@example.com\",\"ipv4\":\"100.64.0.1\",\"ipv6\":\"fd7a::1\"},"
    "\"web\":{\"tags\":[\"tag:web\",\"tag:db\"],\"user\":\"who@ever\"},"
    "\"ext\":{\"user\":\"guest@other.example\",\"external\":true},\"bare\":{\"user\":null}},"
    "\"domains\":[\"example.com\"],\"https\":true,\"funnelPorts\":\"443\","
    "\"users\":{\"ann@example.com\":\"owner\",\"sus@example.com\":\"member\"},"
    "\"suspended\":[\"sus@example.com\"],}";

static void from_file(void **state)
{
    (void)state;
    char why[256];
    struct policy_facts *f = NULL;
    assert_int_equal(policy_facts_read(slice_str(small), why, &f), 0);
    assert_int_equal(f->user_count, 2);
    assert_int_equal(f->device_count, 4);
    assert_true(f->https && f->users[1].suspended && !f->users[0].suspended);
    assert_int_equal(f->funnel_port_count, 1);
    const struct policy_device *d = policy_facts_find(f, S("lap"));
    assert_int_equal(d->id, 1);
    assert_int_equal(d->user, 0);
    assert_int_equal(d->ipv4.family, IP_V4);
    assert_int_equal(d->ipv6.family, IP_V6);
    d = policy_facts_find(f, S("web"));
    assert_int_equal(d->tag_count, 2);
    assert_int_equal(d->user, POLICY_NO_USER);
    assert_true(policy_facts_find(f, S("ext"))->external);
    assert_int_equal(policy_facts_find(f, S("bare"))->user, POLICY_NO_USER);
    policy_facts_unref(f);
    f = NULL;
    assert_int_equal(policy_facts_read(S("{}"), why, &f), 0);
    assert_int_equal(f->device_count, 0);
    policy_facts_unref(f);
}

static void bad_files(void **state)
{
    (void)state;

    static const struct {
        const char *text, *why;
    } bad[] = {
        {"{", "line 1, column 2: "},
        {"[]", "line 1, column 1: an object must stand here"},
        {"{\n\"user\":{}}", "line 2, column 1: unknown member \"user\""},
        {"{\"https\":1}", "line 1, column 10: true or false must stand here"},
        {"{\"domains\":{}}", "an array must stand here"},
        {"{\"domains\":[1]}", "line 1, column 13: a string must stand here"},
        {"{\"domains\":[\"\\ud800\"]}", "a string must stand here"},
        {"{\"funnelPorts\":\"0\"}", "\"0\" is not a list of ports"},
        {"{\"funnelPorts\":443}", "a string must stand here"},
        {"{\"users\":[]}", "an object must stand here"},
        {"{\"users\":{\"a@b\":\"king\"}}", "\"king\" is not a role"},
        {"{\"users\":{\"a@b\":1}}", "a string must stand here"},
        {"{\"users\":{\"a@b\":\"member\",\"a@b\":\"owner\"}}", "\"a@b\" stands here twice"},
        {"{\"users\":{\"\":\"member\"}}", "a name of at most"},
        {"{\"suspended\":{}}", "an array must stand here"},
        {"{\"suspended\":[null]}", "a string must stand here"},
        {"{\"suspended\":[\"a@b\"]}", "this login is not among the users"},
        {"{\"nodes\":[]}", "an object must stand here"},
        {"{\"nodes\":{\"n\":[]}}", "an object must stand here"},
        {"{\"nodes\":{\"n\":{\"tag\":[]}}}", "unknown member \"tag\""},
        {"{\"nodes\":{\"n\":{\"tags\":\"tag:x\"}}}", "an array must stand here"},
        {"{\"nodes\":{\"n\":{\"tags\":[[]]}}}", "a string must stand here"},
        {"{\"nodes\":{\"n\":{\"ipv4\":\"100.64\"}}}", "\"100.64\" is not an IP address"},
        {"{\"nodes\":{\"n\":{\"ipv6\":6}}}", "a string must stand here"},
        {"{\"nodes\":{\"n\":{\"user\":7}}}", "a string must stand here"},
        {"{\"nodes\":{\"n\":{\"external\":7}}}", "true or false must stand here"},
        {"{\"nodes\":{\"n\":{\"user\":\"a@b\"}}}", "this login is not among the users"},
        {"{\"nodes\":{\"n\":{},\"n\":{}}}", "\"n\" stands here twice"},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char why[256] = "";
        struct policy_facts *f = NULL;
        assert_int_equal(policy_facts_read(slice_str(bad[i].text), why, &f), POLICY_FACTS_BAD);
        assert_null(f);
        if (!strstr(why, bad[i].why)) {
            fail_msg("%s: %s", bad[i].text, why);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles),    cmocka_unit_test(users),     cmocka_unit_test(devices),
        cmocka_unit_test(settings), cmocka_unit_test(from_file), cmocka_unit_test(bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
