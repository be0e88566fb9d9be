/* Previews (policy.md 6.1): which rules they list, and what of each. */
#include "lib/base/mem.h"
#include "policy/facts.h"
#include "policy/policy.h"
#include "policy/reach.h"
#include "tests/unit/support/test.h"

static const char tailnet[] =
    "{\"domains\":[\"example.com\"],\"users\":{\"ann@example.com\":\"owner\","
    "\"cy@example.com\":\"member\",\"sus@example.com\":\"member\"},"
    "\"suspended\":[\"sus@example.com\"],"
    "\"nodes\":{\"cy-desk\":{\"ipv4\":\"100.64.0.3\",\"ipv6\":\"fd7a:115c:a1e0::3\","
    "\"user\":\"cy@example.com\"},\"sus-pc\":{\"ipv4\":\"100.64.0.4\",\"user\":\"sus@example.com\"},"
    "\"web1\":{\"ipv4\":\"100.64.0.20\",\"tags\":[\"tag:web\"]}}}";

/* One rule a line: their numbers are the lines. */
static const char policy[] =
    "{\"groups\":{\"group:g\":[\"Cy@example.com\",\"new@example.com\"]},\n"
    "\"tagOwners\":{\"tag:web\":[]},\"hosts\":{\"desk\":\"100.64.0.3\"},\n"
    "\"postures\":{\"posture:p\":[\"node:os == 'linux'\"]},\n"
    "\"acls\":[\n"
    /* 5 */
    "{\"action\":\"accept\",\"src\":[\"cy@example.com\"],\"dst\":[\"tag:web:22\",\"desk:80-90\"]},\n"
    /* 6 */ "{\"action\":\"accept\",\"src\":[\"group:g\"],\"dst\":[\"tag:web:443, 8443\"]},\n"
    /* 7 */
    "{\"action\":\"accept\",\"src\":[\"desk\"],\"dst\":[\"[fd7a:115c:a1e0::3]:*\"],\"proto\":\"tcp\"},\n"
    /* 8 */
    "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self:*\"]},\n"
    /* 9 */ "{\"action\":\"accept\",\"src\":[\"tag:web\"],\"dst\":[\"*:*\"],\"proto\":\"icmp\"},\n"
    /* 10 */
    "{\"action\":\"accept\",\"src\":[\"sus@example.com\",\"new@example.com\"],\"dst\":[\"10.0.0.0/8:22\"]},\n"
    "],\n\"grants\":[\n"
    /* 13 */
    "{\"src\":[\"*\"],\"dst\":[\"10.0.0.0/8\",\"fd00::1\"],\"ip\":[\"22\",\"udp:53\",\"47:*\",\"*\"],"
    "\"via\":[\"tag:web\"],\"srcPosture\":[\"posture:p\"]},\n"
    /* 14 */
    "{\"src\":[\"user:*@example.com\"],\"dst\":[\"tag:web\"],\"app\":{\"example.com/cap/x\":[{}]}},\n"
    /* 15 */ "{\"src\":[\"autogroup:owner\"],\"dst\":[\"tag:w\\u0065b\"],\"ip\":[\"sctp:5-6\"]},\n"
    "]}\n";

static struct policy_reach *load(const char *text, struct policy_facts **out_facts)
{
    char why[256] = "";
    struct policy_diags diags;
    struct policy *p = NULL;
    struct policy_reach *r = NULL;
    if (policy_facts_read(slice_str(tailnet), why, out_facts)) {
        fail_msg("%s", why);
    }
    if (policy_load(slice_str(text), *out_facts, &diags, &p)) {
        fail_msg("%d:%d %s", diags.items[0].line, diags.items[0].column, diags.items[0].message);
    }
    assert_int_equal(policy_reach_new(p, *out_facts, &r), 0);
    policy_unref(p);
    policy_diags_free(&diags);
    return r;
}

static void lines(const struct policy_matches *m, const char *expected)
{
    struct buf got = BUF_MAX(256);
    for (size_t i = 0; i < m->count; i++) {
        buf_addf(&got, "%s%d", i ? " " : "", m->at[i].line);
    }
    assert_string_equal(buf_cstr(&got), expected);
    buf_deinit(&got);
}

static void user_lines(const struct policy_reach *r, const char *login, const char *expected)
{
    struct policy_matches m;
    assert_true(policy_preview_user(r, slice_str(login), &m));
    lines(&m, expected);
    policy_matches_free(&m);
}

static void ipport_lines(const struct policy_reach *r, const char *ipport, const char *expected)
{
    struct policy_matches m;
    char why[256] = "";
    if (!policy_preview_ipport(r, slice_str(ipport), &m, why)) {
        fail_msg("%s: %s", ipport, why);
    }
    lines(&m, expected);
    policy_matches_free(&m);
}

static void test_users(void **state)
{
    struct policy_facts *f;
    struct policy_reach *r = load(policy, &f);
    (void)state;
    user_lines(r, "cy@example.com", "5 6 7 8 13 14");
    user_lines(r, "CY@Example.com", "5 6 7 8 13 14");
    user_lines(r, "ann@example.com", "8 13 14 15");
    user_lines(r, "sus@example.com", "8 10 13 14");   /* a preview of rules, not of people */
    user_lines(r, "new@example.com", "6 8 10 13 14"); /* nobody knows this one yet */
    user_lines(r, "new@elsewhere.org", "8 13");
    policy_reach_free(r);
    policy_facts_unref(f);
}

static void test_addresses(void **state)
{
    struct policy_facts *f;
    struct policy_reach *r = load(policy, &f);
    (void)state;
    ipport_lines(r, "100.64.0.20:22", "5");
    ipport_lines(r, "100.64.0.20:443", "6");
    ipport_lines(r, "100.64.0.20:8443", "6");
    ipport_lines(r, "100.64.0.3:85", "5 8");
    ipport_lines(r, "100.64.0.3:22", "8");
    ipport_lines(r, "[fd7a:115c:a1e0::3]:22", "7 8");
    ipport_lines(r, "10.1.2.3:22", "10 13");
    ipport_lines(r, "10.1.2.3:23", "13");
    ipport_lines(r, "8.8.8.8:22", "");
    policy_reach_free(r);
    policy_facts_unref(f);
}

static void test_bad_addresses(void **state)
{
    static const char *const bad[] = {"",
                                      "100.64.0.3",
                                      "100.64.0.3:",
                                      "100.64.0.3:0",
                                      "100.64.0.3:65536",
                                      "100.64.0.3:ssh",
                                      "100.64.0:22",
                                      "fd7a::3:22",
                                      "[100.64.0.3]:22",
                                      "[fd7a::3]",
                                      "[]:22",
                                      "desk:22",
                                      "[:22"};
    struct policy_facts *f;
    struct policy_reach *r = load(policy, &f);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char why[256] = "";
        struct policy_matches m;
        assert_false(policy_preview_ipport(r, slice_str(bad[i]), &m, why));
        assert_non_null(strstr(why, "100.64.0.1:22"));
    }
    policy_reach_free(r);
    policy_facts_unref(f);
}

static void test_shape(void **state)
{
    struct policy_facts *f;
    struct policy_reach *r = load(policy, &f);
    struct policy_matches m;
    (void)state;
    assert_true(policy_preview_user(r, S("cy@example.com"), &m));
    assert_int_equal(m.count, 6);
    assert_int_equal(m.at[0].user_count, 1);
    assert_slice(m.at[0].users[0], "cy@example.com");
    assert_int_equal(m.at[0].port_count, 2);
    assert_slice(m.at[0].ports[0], "tag:web:22");
    assert_slice(m.at[0].ports[1], "desk:80-90");
    assert_int_equal(m.at[0].via_count + m.at[0].posture_count, 0);
    assert_slice(m.at[1].ports[0], "tag:web:443, 8443"); /* as written */
    assert_slice(m.at[2].ports[0], "[fd7a:115c:a1e0::3]:*");
    assert_slice(m.at[3].ports[0], "autogroup:self:*");
    assert_int_equal(m.at[4].port_count, 2);
    assert_slice(m.at[4].ports[0], "10.0.0.0/8:22,udp:53,47:*,*");
    assert_slice(m.at[4].ports[1], "[fd00::1]:22,udp:53,47:*,*");
    assert_int_equal(m.at[4].via_count, 1);
    assert_slice(m.at[4].via[0], "tag:web");
    assert_int_equal(m.at[4].posture_count, 1);
    assert_slice(m.at[4].postures[0], "posture:p");
    assert_slice(m.at[5].ports[0], "tag:web"); /* a grant of an app */
    policy_matches_free(&m);
    assert_true(policy_preview_user(r, S("ann@example.com"), &m));
    assert_slice(m.at[3].ports[0], "tag:web:sctp:5-6");
    policy_matches_free(&m);
    policy_reach_free(r);
    policy_facts_unref(f);
}

/* An escape in the text: put together again. */
static void test_escaped(void **state)
{
    struct policy_facts *f;
    struct policy_matches m;
    struct policy_reach *r =
        load("{\"tagOwners\":{\"tag:web\":[]},\"acls\":[{\"action\":\"accept\","
             "\"src\":[\"*\"],\"dst\":[\"tag:w\\u0065b:22,80-90\","
             "\"\\u005bfd00::1]:*\"]}]}",
             &f);
    (void)state;
    assert_true(policy_preview_user(r, S("cy@example.com"), &m));
    assert_int_equal(m.count, 1);
    assert_slice(m.at[0].ports[0], "tag:web:22,80-90");
    assert_slice(m.at[0].ports[1], "[fd00::1]:*");
    policy_matches_free(&m);
    policy_reach_free(r);
    policy_facts_unref(f);
}

/* A rule whose listing would be many times the file: refused, not cut. */
static void test_too_large(void **state)
{
    struct buf text = BUF_MAX(MIB);
    struct policy_facts *f;
    struct policy_matches m;
    char why[256] = "";
    (void)state;
    buf_adds(&text, "{\"grants\":[{\"src\":[\"*\"],\"ip\":[");
    for (int i = 1; i < 8000; i++) {
        buf_addf(&text, "\"%d\",", i);
    }
    buf_adds(&text, "],\"dst\":[");
    for (int i = 0; i < 9000; i++) {
        buf_addf(&text, "\"10.%d.%d.1\",", i >> 8, i & 255);
    }
    buf_adds(&text, "]}]}");
    struct policy_reach *r = load(buf_cstr(&text), &f);
    assert_false(policy_preview_user(r, S("cy@example.com"), &m));
    assert_int_equal(m.count, 0);
    assert_false(policy_preview_ipport(r, S("10.0.1.1:7999"), &m, why));
    assert_string_equal(why, "there are too many rules to list");
    ipport_lines(r, "10.0.1.2:7999", "");
    policy_reach_free(r);
    policy_facts_unref(f);
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users),         cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_bad_addresses), cmocka_unit_test(test_shape),
        cmocka_unit_test(test_escaped),       cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
