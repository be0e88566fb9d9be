/* What the loader puts into policy/model.h: the golden file that uses everything, piece by piece.
 */
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "policy/model.h"
#include "tests/unit/support/test.h"

static struct policy *load(struct slice text)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    if (policy_load(text, NULL, &diags, &p)) {
        fail_msg("%s %s", diags.items[0].pointer, diags.items[0].message);
    }
    policy_diags_free(&diags);
    return p;
}

static int load_full(void **state)
{
    struct buf text = BUF_MAX(MIB);
    assert_int_equal(file_read(SOURCE_DIR "/tests/golden/policy/full.hujson", &text), 0);
    *state = load(buf_slice(&text));
    buf_deinit(&text);
    return 0;
}

static int unload(void **state)
{
    policy_unref(*state);
    return 0;
}

static void expect_prefix(const struct ip_prefix *p, const char *text)
{
    struct buf out = BUF_MAX(64);
    ip_prefix_print(p, &out);
    assert_string_equal(buf_cstr(&out), text);
    buf_deinit(&out);
}

static void expect_range(const struct ip_range *r, const char *text)
{
    struct buf out = BUF_MAX(128);
    ip_addr_print(&r->first, &out);
    buf_adds(&out, "-");
    ip_addr_print(&r->last, &out);
    assert_string_equal(buf_cstr(&out), text);
    buf_deinit(&out);
}

static void expect_selector(const struct selector *s, enum selector_kind kind, const char *text)
{
    assert_int_equal(s->kind, kind);
    assert_slice(s->text, text);
}

static void expect_ports(const struct port_range *r, size_t count, const char *text)
{
    struct buf out = BUF_MAX(128);
    port_ranges_print(r, count, &out);
    assert_string_equal(buf_cstr(&out), text);
    buf_deinit(&out);
}

static void definitions(void **state)
{
    const struct policy *p = *state;
    assert_int_equal(p->group_count, 2);
    assert_slice(p->groups[0].name.text, "group:eng");
    assert_int_equal(p->groups[0].members.count, 2);
    assert_slice(p->groups[0].members.at[1].text, "bob@example.com");
    assert_int_equal(policy_find_name(&p->group_names, S("group:ops")), 1);
    assert_int_equal(policy_find_name(&p->group_names, S("group:op")), POLICY_NO_NAME);
    assert_int_equal(p->tag_count, 2);
    expect_selector(&p->tags[0].owners.at[0], SELECTOR_GROUP, "group:eng");
    assert_int_equal(p->tags[0].owners.at[1].role, POLICY_ADMIN);
    expect_selector(&p->tags[1].owners.at[0], SELECTOR_TAG, "tag:web");
    assert_int_equal(p->tags[1].owners.at[0].index, 0);
    expect_selector(&p->tags[1].owners.at[1], SELECTOR_USER, "cy@example.com");
    assert_int_equal(p->host_count, 2);
    expect_prefix(&p->hosts[0].prefix, "10.20.0.0/16");
    expect_prefix(&p->hosts[1].prefix, "100.64.0.3");
}

static void ipsets(void **state)
{
    const struct policy *p = *state;
    assert_int_equal(p->ipset_count, 2);
    assert_int_equal(p->ipsets[0].range_count, 3);
    expect_range(&p->ipsets[0].ranges[0], "10.20.0.0-10.20.4.255");
    expect_range(&p->ipsets[0].ranges[1], "10.20.5.7-10.20.5.7");
    expect_range(&p->ipsets[0].ranges[2], "10.20.6.0-10.20.255.255");
    const struct ip_set *both = &p->ipsets[1];
    assert_int_equal(both->range_count, 3 + POLICY_INTERNET_RANGES);
    expect_range(&both->ranges[0], "0.0.0.0-9.255.255.255");
    expect_range(&both->ranges[1], "10.20.0.0-10.20.4.255");
    expect_range(&both->ranges[both->range_count - 1],
                 "2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void postures(void **state)
{
    const struct policy *p = *state;
    assert_int_equal(p->posture_count, 1);
    const struct posture_assertion *a = p->postures[0].assertions;
    assert_int_equal(p->postures[0].assertion_count, 4);
    assert_slice(a[0].attribute, "node:os");
    assert_int_equal(a[0].op, POSTURE_EQUAL);
    assert_slice(a[0].values[0], "macos");
    assert_int_equal(a[1].op, POSTURE_GREATER_EQUAL);
    assert_slice(a[1].values[0], "1.40");
    assert_int_equal(a[2].op, POSTURE_IN);
    assert_int_equal(a[2].value_count, 2);
    assert_slice(a[2].values[1], "b");
    assert_int_equal(a[3].op, POSTURE_NOT_SET);
    assert_int_equal(a[3].value_count, 0);
    assert_slice(a[3].text.text, "ip:country NOT SET");
    assert_int_equal(p->default_postures.count, 1);
}

static void rules(void **state)
{
    const struct policy *p = *state;
    assert_true(p->has_acls && p->has_grants);
    assert_int_equal(p->rule_count, 4);
    const struct rule *r = p->rules;
    assert_int_equal(r[0].kind, RULE_ACL);
    assert_int_equal(r[0].proto, PROTO_DEFAULT);
    assert_slice(r[0].postures.at[0].text, "posture:mac");
    assert_int_equal(r[0].dst_count, 2);
    expect_selector(&r[0].dst[0].what, SELECTOR_TAG, "tag:web");
    expect_ports(r[0].dst[0].ports, r[0].dst[0].port_count, "443,8000-8010");
    assert_int_equal(r[0].dst[1].ports[0].last, UINT16_MAX);
    assert_int_equal(r[0].dst[1].what.index, 1);
    assert_int_equal(r[1].proto, 17);
    assert_int_equal(r[1].index, 1);
    expect_prefix(&r[1].dst[0].what.prefix, "fd7a::/64");
    assert_int_equal(r[2].kind, RULE_GRANT);
    assert_int_equal(r[2].index, 0);
    expect_selector(&r[2].dst[0].what, SELECTOR_SERVICE, "svc:api");
    expect_prefix(&r[2].dst[1].what.prefix, "100.64.0.3");
    assert_int_equal(r[2].ip_count, 5);
    assert_int_equal(r[2].ip[0].proto, PROTO_ANY);
    assert_int_equal(r[2].ip[1].proto, 6);
    assert_int_equal(r[2].ip[2].ports.first, 80);
    assert_int_equal(r[2].ip[3].proto, PROTO_DEFAULT);
    assert_int_equal(r[2].ip[4].proto, 1);
    assert_false(r[2].has_app);
    assert_int_equal(r[2].via.count, 1);
    assert_true(r[3].has_app);
    assert_int_equal(r[3].ip_count, 0);
}

static void entries(void **state)
{
    const struct policy *p = *state;
    assert_int_equal(p->entry_count, 2);
    const struct attr_entry *e = p->entries;
    expect_selector(&e[0].targets.at[0], SELECTOR_MEMBER, "autogroup:member");
    expect_selector(&e[0].targets.at[1], SELECTOR_DOMAIN, "user:*@example.com");
    assert_slice(e[0].targets.at[1].name, "example.com");
    assert_int_equal(e[0].targets.at[2].role, POLICY_NETWORK_ADMIN);
    assert_slice(e[0].attrs.at[1].text, "nextdns:abc");
    expect_ports(e[0].ports, e[0].port_count, "443,9000-9011");
    assert_int_equal(e[0].app_count, 2);
    assert_slice(e[0].apps[1].capability.text, "tailscale.com/app-connectors");
    assert_int_equal(e[0].apps[1].value_count, 2);
    assert_slice(e[0].apps[1].values[0], "{\"name\":\"x, y\",\"domains\":[\"a.b\"]}");
    assert_slice(e[0].apps[1].values[1], "\"two\"");
    assert_int_equal(e[1].index, 1);
    expect_selector(&e[1].targets.at[1], SELECTOR_HOST, "office");
    expect_prefix(&e[1].targets.at[1].prefix, "10.20.0.0/16");
    assert_int_equal(e[1].pool_count, 1);
    expect_prefix(&e[1].pools[0], "100.80.0.0/16");
}

static void approvers(void **state)
{
    const struct policy *p = *state;
    assert_int_equal(p->route_count, 1);
    expect_prefix(&p->routes[0].prefix, "10.20.0.0/16");
    expect_selector(&p->routes[0].who.at[0], SELECTOR_TAG, "tag:web");
    assert_int_equal(p->service_count, 1);
    assert_slice(p->services[0].key.text, "svc:api");
    expect_selector(&p->exit_node.at[0], SELECTOR_GROUP, "group:ops");
    assert_int_equal(p->funnel_approvers.at[0].role, POLICY_OWNER);
}

static void ssh(void **state)
{
    const struct policy *p = *state;
    assert_int_equal(p->ssh_count, 3);
    assert_int_equal(p->ssh[0].action, SSH_CHECK);
    assert_int_equal(p->ssh[0].check_seconds, 5400);
    expect_selector(&p->ssh[0].dst.at[0], SELECTOR_SELF, "autogroup:self");
    assert_slice(p->ssh[0].users.at[1].text, "autogroup:nonroot");
    assert_slice(p->ssh[0].accept_env.at[0].text, "GIT_*");
    assert_int_equal(p->ssh[1].check_seconds, 0);
    assert_int_equal(p->ssh[2].check_seconds, -1);
    assert_int_equal(p->ssh[2].action, SSH_ACCEPT);
    assert_int_equal(p->ssh[2].postures.count, 1);
}

static void tests(void **state)
{
    const struct policy *p = *state;
    assert_int_equal(p->test_count, 1);
    const struct policy_test *t = p->tests;
    expect_selector(&t->src, SELECTOR_GROUP, "group:eng");
    assert_int_equal(t->proto, 6);
    assert_int_equal(t->accept[0].port, 443);
    assert_slice(t->accept[0].text.text, "tag:web:443");
    assert_int_equal(t->deny_count, 2);
    expect_prefix(&t->deny[0].what.prefix, "100.64.0.3");
    expect_selector(&t->deny[1].what, SELECTOR_UNDEFINED, "tag:nope");
    assert_int_equal(hujson_kind(t->posture_attrs), HUJSON_OBJECT);
    const struct ssh_test *s = p->ssh_tests;
    assert_int_equal(p->ssh_test_count, 1);
    expect_selector(&s->dst.at[0], SELECTOR_TAG, "tag:db");
    assert_slice(s->accept.at[0].text, "root");
    assert_slice(s->check.at[0].text, "x");
    assert_slice(s->deny.at[0].text, "y");
    assert_non_null(s->posture_attrs);
    const struct attr_test *a = p->attr_tests;
    assert_int_equal(p->attr_test_count, 1);
    expect_selector(&a->target, SELECTOR_DEVICE, "device:web1");
    assert_slice(a->target.name, "web1");
    assert_slice(a->have.at[0].text, "funnel");
    assert_slice(a->lack.at[0].text, "drive:share");
    expect_ports(a->allow, a->allow_count, "443,9000-9010");
    expect_ports(a->deny, a->deny_count, "22");
}

static void settings(void **state)
{
    const struct policy *p = *state;
    assert_true(p->disable_ipv4);
    assert_true(p->randomize_client_port);
    assert_int_equal(p->cgnat_route, CGNAT_ROUTE_MAC_ALWAYS);
    struct policy *other =
        load(S("{\"OneCGNATRoute\": \"mac-never\", \"randomizeClientPort\": false}"));
    assert_int_equal(other->cgnat_route, CGNAT_ROUTE_MAC_NEVER);
    assert_false(other->randomize_client_port || other->has_acls || other->has_grants);
    policy_unref(other);
}

/* null is absent, [] is not: deny-all stands apart from allow-all. */
static void absent(void **state)
{
    (void)state;
    struct policy *p = load(S("{\"acls\": null, \"grants\": []}"));
    assert_false(p->has_acls);
    assert_true(p->has_grants);
    assert_int_equal(p->rule_count, 0);
    policy_unref(p);
}

/* Groups that the file does not define share one empty group behind the defined ones. */
static void synced(void **state)
{
    (void)state;
    struct policy *p =
        load(S("{\"groups\": {\"group:a\": [\"x@y\"]}, \"nodeAttrs\": [{\"target\": "
               "[\"group:s@y\", \"group:a\", \"group:t@y\"], \"attr\": [\"funnel\"]}]}"));
    const struct selectors *t = &p->entries[0].targets;
    assert_int_equal(p->group_count, 2);
    assert_int_equal(t->at[0].index, 1);
    assert_int_equal(t->at[1].index, 0);
    assert_int_equal(t->at[2].index, 1);
    assert_slice(t->at[2].name, "group:t@y");
    assert_int_equal(p->groups[1].members.count, 0);
    assert_int_equal(p->groups[1].name.text.n, 0);
    policy_unref(p);
}

/* Escapes are decoded; names compare after that. */
static void escapes(void **state)
{
    (void)state;
    struct policy *p =
        load(S("{\"gr\\u006fups\": {\"group:\\u00e9\": [\"a\\u0040b\"]}, \"node\\u0041ttrs\": "
               "[{\"target\": [\"group:\xc3\xa9\"], \"attr\": [\"fun\\u006eel\"]}]}"));
    assert_slice(p->groups[0].name.text, "group:\xc3\xa9");
    assert_slice(p->groups[0].members.at[0].text, "a@b");
    assert_int_equal(p->entries[0].targets.at[0].index, 0);
    assert_slice(p->entries[0].attrs.at[0].text, "funnel");
    policy_unref(p);
}

/* The text is kept as sent; a last line that is a comment without an LF gets one. */
static void texts(void **state)
{
    (void)state;
    struct policy *p = load(S("{}"));
    assert_slice(policy_text(p), "{}");
    assert_ptr_equal(policy_ref(p), p);
    policy_unref(p);
    policy_unref(p);
    p = load(S("{} // end"));
    assert_slice(policy_text(p), "{} // end\n");
    policy_unref(p);
    policy_unref(NULL);
}

static void pointers(void **state)
{
    (void)state;
    struct policy *p = load(S("{\"hosts\": {\"a/b~c\": \"10.0.0.1\"}, \"acls\": []}"));
    char out[POLICY_POINTER_SIZE];
    policy_pointer(p->doc, 0, out);
    assert_string_equal(out, "");
    policy_pointer(p->doc, 11, out);
    assert_string_equal(out, "/hosts/a~1b~0c");
    policy_pointer(p->doc, 22, out);
    assert_string_equal(out, "/hosts/a~1b~0c");
    policy_pointer(p->doc, 41, out);
    assert_string_equal(out, "/acls");
    assert_non_null(policy_section(p->doc, S("ACLS")));
    assert_null(policy_section(p->doc, S("grants")));
    policy_unref(p);
}

static void caller(void **state)
{
    (void)state;
    struct policy *p =
        load(S("{\"nodeAttrs\": [{\"target\": [\"*\", \"autogroup:member\"], \"attr\": "
               "[\"x\", \"funnel\"]}, {\"target\": [\"autogroup:member\"], \"attr\": [\"y\"]}]}"));
    struct policy_facts *f = policy_facts_new();
    struct policy_diags diags = {NULL, 0, false};
    uint32_t ann = policy_facts_user(f, &(struct policy_user){.login = S("ann@x")});
    policy_facts_user(f, &(struct policy_user){.login = S("bob@x")});
    policy_facts_device(f, &(struct policy_device){.id = 1, .user = ann, .name = S("a")});
    policy_facts_seal(f);
    policy_warn_caller(p, f, S("bob@x"), &diags);
    assert_int_equal(diags.count, 0); /* nothing is tagged: bob has no device at all */
    policy_facts_unref(f);
    f = policy_facts_new();
    const struct slice tags[] = {S("tag:a")};
    ann = policy_facts_user(f, &(struct policy_user){.login = S("ann@x")});
    policy_facts_user(f, &(struct policy_user){.login = S("bob@x")});
    policy_facts_device(f, &(struct policy_device){.id = 1, .user = ann, .name = S("a")});
    policy_facts_device(
        f, &(struct policy_device){
               .id = 2, .user = POLICY_NO_USER, .name = S("b"), .tags = tags, .tag_count = 1});
    policy_facts_seal(f);
    policy_warn_caller(p, f, S("ann@x"), &diags);
    assert_int_equal(diags.count, 0);
    policy_warn_caller(p, f, S("bob@x"), &diags);
    assert_int_equal(diags.count, 1);
    assert_string_equal(diags.items[0].code, "funnel-caller-tagged");
    assert_string_equal(diags.items[0].pointer, "/nodeAttrs/0/target/1");
    policy_diags_free(&diags);
    policy_facts_unref(f);
    policy_unref(p);
}

/* Several places that say the same of one node say it once; the first fifty stay, by position. */
static void complaints(void **state)
{
    (void)state;
    struct policy *p = load(S("{\"acls\": [], \"hosts\": {}}"));
    struct policy_diags diags = {NULL, 0, false};
    for (size_t i = 0; i < 20; i++) {
        policy_complain(&diags, p->doc, POLICY_ERROR, "a", 20 - i, "%zu", 20 - i);
        policy_complain(&diags, p->doc, POLICY_WARNING, "b", 20 - i, "w");
        assert_null(policy_complain(&diags, p->doc, POLICY_ERROR, "a", 20 - i, "again"));
    }
    assert_int_equal(diags.count, 40);
    for (size_t i = 0; i + 1 < diags.count; i += 2) {
        assert_int_equal(diags.items[i].severity, POLICY_ERROR);
        assert_int_equal(diags.items[i].offset, 1 + i / 2);
        assert_int_equal(diags.items[i + 1].severity, POLICY_WARNING);
    }
    policy_hint(NULL, "nothing");
    policy_diags_free(&diags);
    assert_null(diags.items);
    policy_unref(p);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test_setup_teardown(definitions, load_full, unload),
        cmocka_unit_test_setup_teardown(ipsets, load_full, unload),
        cmocka_unit_test_setup_teardown(postures, load_full, unload),
        cmocka_unit_test_setup_teardown(rules, load_full, unload),
        cmocka_unit_test_setup_teardown(entries, load_full, unload),
        cmocka_unit_test_setup_teardown(approvers, load_full, unload),
        cmocka_unit_test_setup_teardown(ssh, load_full, unload),
        cmocka_unit_test_setup_teardown(tests, load_full, unload),
        cmocka_unit_test_setup_teardown(settings, load_full, unload),
        cmocka_unit_test(absent),
        cmocka_unit_test(synced),
        cmocka_unit_test(escapes),
        cmocka_unit_test(texts),
        cmocka_unit_test(pointers),
        cmocka_unit_test(caller),
        cmocka_unit_test(complaints),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
