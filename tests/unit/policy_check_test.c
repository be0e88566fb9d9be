/* One step from text to verdict: nodeAttrTests with devices and without, the three kinds of tests
 * together, tests that a request brings, and the gate. */
#include "policy/check.h"

#include <stdio.h>

#include "policy/policy.h"
#include "tests/unit/support/test.h"

static const char facts_text[] =
    "{\"domains\":[\"example.com\"],\"https\":true,\"funnelPorts\":\"443,8443\",\"users\":{"
    "\"ann@example.com\":\"owner\",\"cy@example.com\":\"member\",\"dee@github\":\"member\","
    "\"sus@example.com\":\"member\",\"alone@example.com\":\"auditor\"},"
    "\"suspended\":[\"sus@example.com\"],\"nodes\":{"
    "\"ann-lap\":{\"user\":\"ann@example.com\",\"ipv4\":\"100.64.0.1\",\"ipv6\":\"fd7a::1\"},"
    "\"cy-desk\":{\"user\":\"cy@example.com\",\"ipv4\":\"100.64.0.3\",\"ipv6\":\"fd7a::3\"},"
    "\"cy-tab\":{\"user\":\"cy@example.com\",\"ipv4\":\"100.64.0.4\",\"ipv6\":\"fd7a::4\"},"
    "\"dee-pc\":{\"user\":\"dee@github\",\"ipv4\":\"100.64.0.5\",\"ipv6\":\"fd7a::5\"},"
    "\"sus-pc\":{\"user\":\"sus@example.com\",\"ipv4\":\"100.64.0.6\",\"ipv6\":\"fd7a::6\"},"
    "\"web1\":{\"tags\":[\"tag:web\"],\"ipv4\":\"100.64.0.20\",\"ipv6\":\"fd7a::14\"},"
    "\"mix1\":{\"tags\":[\"tag:web\",\"tag:db\"],\"ipv4\":\"100.64.0.21\",\"ipv6\":\"fd7a::15\"},"
    "\"ext1\":{\"user\":\"guest@other.example\",\"external\":true,\"ipv4\":\"100.64.9.9\"}}}";

static struct policy_facts *facts;
static struct policy_diags diags;

static int set_up(void **state)
{
    char why[256];
    (void)state;
    return policy_facts_read(slice_str(facts_text), why, &facts);
}

static int tear_down(void **state)
{
    (void)state;
    policy_facts_unref(facts);
    return 0;
}

/* Leaves the complaints in diags. */
static int check(const char *text, const struct policy_facts *f)
{
    struct policy *p = NULL;
    struct policy_snapshot *s = NULL;
    policy_diags_free(&diags);
    int rc = policy_check(slice_str(text), f, &diags, &p, &s);
    assert_int_equal(p != NULL, rc == 0);
    assert_int_equal(s != NULL, rc == 0 && f);
    policy_snapshot_unref(s);
    policy_unref(p);
    return rc;
}

static const struct policy_diag *said(const char *code, const char *pointer)
{
    for (size_t i = 0; i < diags.count; i++) {
        if (!strcmp(diags.items[i].code, code) && !strcmp(diags.items[i].pointer, pointer)) {
            return &diags.items[i];
        }
    }
    return NULL;
}

static size_t errors(void)
{
    size_t n = 0;
    for (size_t i = 0; i < diags.count; i++) {
        n += diags.items[i].severity == POLICY_ERROR;
    }
    return n;
}

#define OWN_PORTS ",\"app\":{\"openfunnel.org/cap/funnel\":[{\"ports\":[\"443\",\"9000-9010\"]}]}"
#define POLICY                                                                             \
    "{\"groups\":{\"group:ops\":[\"cy@example.com\",\"new@example.com\"],"                 \
    "\"group:new\":[\"new@example.com\",\"dee@github\"],\"group:none\":[]},"               \
    "\"tagOwners\":{\"tag:web\":[],\"tag:db\":[],\"tag:unused\":[]},"                      \
    "\"hosts\":{\"desk\":\"100.64.0.3\",\"nothing\":\"100.64.7.7\",\"six\":\"fd7a::99\"}," \
    "\n\"nodeAttrs\":[\n"                                                                  \
    "{\"target\":[\"autogroup:member\"],\"attr\":[\"funnel\"]},\n"                         \
    "{\"target\":[\"tag:web\"],\"attr\":[\"drive:share\",\"funnel\"]" OWN_PORTS "},\n"     \
    "{\"target\":[\"100.64.7.0/24\",\"fd7a::90/124\"],\"attr\":[\"silent-disco\"]},\n"     \
    "{\"target\":[\"group:new\",\"user:*@example.com\",\"autogroup:auditor\"],"            \
    "\"attr\":[\"suggest-exit-node\"]}],\n\"nodeAttrTests\":["

/* Text of a policy with one test. */
static const char *with(const char *test)
{
    static char text[2048];
    snprintf(text, sizeof text, POLICY "%s]}", test);
    return text;
}

/* ---- tests on devices ---- */

static void passing(void **state)
{
    (void)state;
    static const char *const tests[] = {
        "{\"target\":\"cy@example.com\",\"have\":[\"funnel\"],\"lack\":[\"drive:share\"]}",
        "{\"target\":\"CY@example.com\",\"have\":[\"suggest-exit-node\"]}",
        "{\"target\":\"tag:web\",\"have\":[\"funnel\",\"drive:share\",\"openfunnel.org/cap/funnel\"]}",
        "{\"target\":\"tag:db\",\"funnelPorts\":{\"allow\":[443,\"9001-9010\"],\"deny\":[22,\"8000-8999\"]}}",
        "{\"target\":\"*\",\"have\":[\"funnel\"],\"lack\":[\"https\"]}",
        "{\"target\":\"autogroup:member\",\"funnelPorts\":{\"allow\":[443,8443],\"deny\":[9000]}}",
        "{\"target\":\"autogroup:tagged\",\"lack\":[\"suggest-exit-node\"]}",
        "{\"target\":\"autogroup:owner\",\"have\":[\"suggest-exit-node\"]}",
        "{\"target\":\"user:*@example.com\",\"have\":[\"suggest-exit-node\"]}",
        "{\"target\":\"group:ops\",\"have\":[\"funnel\"]}",
        "{\"target\":\"desk\",\"have\":[\"funnel\"]}",
        "{\"target\":\"100.64.0.0/24\",\"have\":[\"funnel\"]}",
        "{\"target\":\"fd7a::14\",\"have\":[\"drive:share\"]}",
        "{\"target\":\"device:web1\",\"have\":[\"drive:share\"],\"lack\":[\"silent-disco\"]}",
        "{\"target\":\"device:ext1\",\"lack\":[\"funnel\"]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        if (check(with(tests[i]), facts)) {
            fail_msg("%s: %s", tests[i], diags.items[diags.count - 1].message);
        }
        assert_null(said("test-symbolic", "/nodeAttrTests/0/target"));
    }
}

static void failing(void **state)
{
    (void)state;

    static const struct {
        const char *test, *pointer, *user, *message, *hint;
    } cases[] = {
        {"{\"target\":\"autogroup:tagged\",\"lack\":[\"drive:share\",\"silent-disco\"]}",
         "/nodeAttrTests/0/lack/0", "autogroup:tagged",
         "test(s) failed: web1 must lack \"drive:share\" and has it: the entry at line 4 targets "
         "tag:web",
         ""},
        {"{\"target\":\"cy@example.com\",\"have\":[\"funnel\",\"drive:share\"]}",
         "/nodeAttrTests/0/have/1", "cy@example.com",
         "test(s) failed: cy-desk must have \"drive:share\" and lacks it: cy-desk has no tags; the "
         "entry at line 4 targets tag:web",
         "add cy@example.com to its targets, or give the device a tag that it targets"},
        {"{\"target\":\"*\",\"have\":[\"suggest-exit-node\"]}", "/nodeAttrTests/0/have/0", "*",
         "test(s) failed: web1 must have \"suggest-exit-node\" and lacks it: web1 is tagged; the "
         "entry at line 6 targets group:new",
         "add tag:web to its targets, or take the tags off the device"},
        {"{\"target\":\"tag:db\",\"have\":[\"no-such\"]}", "/nodeAttrTests/0/have/0", "tag:db",
         "test(s) failed: mix1 must have \"no-such\" and lacks it: no entry of nodeAttrs gives it to "
         "anything",
         "add an entry for the device"},
        {"{\"target\":\"tag:db\",\"funnelPorts\":{\"allow\":[443,8443]}}", NULL, "tag:db",
         "test(s) failed: mix1 must have funnel on port 8443 and lacks it: the entry at line 4 allows "
         "443,9000-9010",
         "add the port to \"openfunnel.org/cap/funnel\" of that entry"},
        {"{\"target\":\"tag:db\",\"funnelPorts\":{\"deny\":[\"9010-9020\"]}}", NULL, "tag:db",
         "test(s) failed: mix1 must lack funnel on port 9010-9020 and has it: the entry at line 4 "
         "targets tag:web",
         ""},
        {"{\"target\":\"autogroup:member\",\"lack\":[\"funnel-ports?ports=22,443\"]}",
         "/nodeAttrTests/0/lack/0", "autogroup:member", NULL, NULL},
        {"{\"target\":\"device:ext1\",\"have\":[\"funnel\"]}", "/nodeAttrTests/0/have/0",
         "device:ext1",
         "test(s) failed: ext1 must have \"funnel\" and lacks it: ext1 is shared in from another "
         "tailnet; the entry at line 3 targets autogroup:member",
         NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(check(with(cases[i].test), facts), POLICY_INVALID);
        assert_int_equal(errors(), 1);
        const struct policy_diag *d = &diags.items[0];
        while (d->severity != POLICY_ERROR) {
            d++; /* there is one, says the count */
        }
        assert_string_equal(d->code, "test-failed");
        assert_string_equal(d->user, cases[i].user);
        assert_int_equal(d->line, 7);
        if (cases[i].pointer) {
            assert_string_equal(d->pointer, cases[i].pointer);
        }
        if (cases[i].message) {
            assert_string_equal(d->message, cases[i].message);
        }
        if (cases[i].hint) {
            assert_string_equal(d->hint, cases[i].hint);
        }
    }
}

/* ---- tests on devices that are not there ---- */

static void symbolic(void **state)
{
    (void)state;
    static const char *const tests[] = {
        "{\"target\":\"new@example.com\",\"have\":[\"funnel\",\"suggest-exit-node\"]}",
        "{\"target\":\"alone@example.com\",\"have\":[\"suggest-exit-node\"]}",
        "{\"target\":\"tag:unused\",\"lack\":[\"funnel\",\"drive:share\"]}",
        "{\"target\":\"autogroup:auditor\",\"have\":[\"suggest-exit-node\",\"funnel\"]}",
        "{\"target\":\"autogroup:admin\",\"have\":[\"funnel\"]}",
        "{\"target\":\"autogroup:it-admin\",\"have\":[\"funnel\"],\"lack\":[\"suggest-exit-node\"]}",
        "{\"target\":\"nothing\",\"have\":[\"silent-disco\"],\"lack\":[\"funnel\"]}",
        "{\"target\":\"six\",\"have\":[\"silent-disco\"]}",
        "{\"target\":\"sus@example.com\",\"have\":[\"funnel\"]}",
        "{\"target\":\"device:sus-pc\",\"have\":[\"funnel\",\"suggest-exit-node\"]}",
        "{\"target\":\"group:none\",\"have\":[\"no-such\"]}",
        "{\"target\":\"device:unheard\",\"have\":[\"no-such\"]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        int rc = check(with(tests[i]), facts);
        bool there = strstr(tests[i], "autogroup:admin"); /* the owner is an admin */
        if (rc) {
            fail_msg("%s: %s", tests[i], diags.items[diags.count - 1].message);
        }
        const struct policy_diag *d = said("test-symbolic", "/nodeAttrTests/0/target");
        assert_int_equal(d != NULL, !there);
        bool nothing = strstr(tests[i], "no-such");
        if (d) {
            assert_int_equal(d->severity, POLICY_WARNING);
            assert_non_null(strstr(d->message, nothing ? "no such device, nothing was tested"
                                                       : "no such device, evaluated symbolically"));
        }
    }
}

/* No device at all: every target is made up, and fails as it would with devices. */
static void symbolic_failures(void **state)
{
    (void)state;

    static const struct {
        const char *test, *message;
    } cases[] = {
        {"{\"target\":\"*\",\"have\":[\"drive:share\"]}",
         "test(s) failed: a device of some member must have \"drive:share\" and lacks it: a device "
         "of some member has no tags; the entry at line 4 targets tag:web"},
        {"{\"target\":\"*\",\"lack\":[\"drive:share\"]}",
         "test(s) failed: a device with tag:web must lack \"drive:share\" and has it: the entry at "
         "line 4 targets tag:web"},
        {"{\"target\":\"autogroup:tagged\",\"have\":[\"funnel\"]}",
         "test(s) failed: a device with tag:db must have \"funnel\" and lacks it: a device with "
         "tag:db is tagged; the entry at line 3 targets autogroup:member"},
        {"{\"target\":\"autogroup:member\",\"lack\":[\"funnel\"]}", NULL},
        {"{\"target\":\"autogroup:owner\",\"have\":[\"suggest-exit-node\"]}",
         "test(s) failed: a device of some owner must have \"suggest-exit-node\" and lacks it: some "
         "owner is not in group:new; the entry at line 6 targets group:new"},
        {"{\"target\":\"user:*@example.com\",\"lack\":[\"suggest-exit-node\"]}",
         "test(s) failed: a device of someone@example.com must lack \"suggest-exit-node\" and has "
         "it: the entry at line 6 targets user:*@example.com"},
        {"{\"target\":\"group:new\",\"have\":[\"drive:share\"]}", NULL},
        {"{\"target\":\"100.64.7.7\",\"lack\":[\"silent-disco\"]}",
         "test(s) failed: a device at 100.64.7.7 must lack \"silent-disco\" and has it: the entry at "
         "line 5 targets 100.64.7.0/24"},
        {"{\"target\":\"cy@example.com\",\"funnelPorts\":{\"allow\":[9999]}}", NULL},
    };

    char why[256];
    struct policy_facts *empty = NULL;
    assert_int_equal(policy_facts_read(S("{\"domains\":[\"example.com\"]}"), why, &empty), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(check(with(cases[i].test), empty), POLICY_INVALID);
        assert_int_equal(errors(), 1);
        assert_non_null(said("test-symbolic", "/nodeAttrTests/0/target"));
        for (size_t k = 0; k < diags.count && cases[i].message; k++) {
            if (diags.items[k].severity == POLICY_ERROR) {
                assert_string_equal(diags.items[k].message, cases[i].message);
            }
        }
    }
    policy_facts_unref(empty);
}

/* Many tests of all kinds of targets share their indices; each failure counts once per test. */
static void together(void **state)
{
    (void)state;
    struct buf text = BUF_MAX(64 * KIB);
    static const char *const targets[] = {"*",
                                          "autogroup:member",
                                          "tag:web",
                                          "cy@example.com",
                                          "100.64.0.0/16",
                                          "group:ops",
                                          "user:*@example.com",
                                          "nobody@example.com",
                                          "autogroup:tagged"};
    buf_adds(&text, POLICY);
    for (int i = 0; i < 90; i++) {
        buf_addf(&text, "\n{\"target\":\"%s\",\"lack\":[\"no-such\"%s]},",
                 targets[(size_t)i % ARRAY_LEN(targets)], i >= 81 ? ",\"funnel\",\"funnel\"" : "");
    }
    buf_adds(&text, "]}");
    assert_int_equal(check(buf_cstr(&text), facts), POLICY_INVALID);
    assert_int_equal(errors(), 18);
    buf_clear(&text);
    buf_adds(&text, POLICY);
    for (int i = 0; i < 200; i++) {
        buf_adds(&text, "{\"target\":\"*\",\"lack\":[\"funnel\"]},");
    }
    buf_adds(&text, "]}");
    assert_int_equal(check(buf_cstr(&text), facts), POLICY_INVALID);
    assert_int_equal(errors(), POLICY_DIAGS_MAX);
    assert_true(diags.truncated);
    buf_deinit(&text);
}

/* ---- the whole step ---- */

#define ACLS \
    "\"acls\":[{\"action\":\"accept\",\"src\":[\"cy@example.com\"],\"dst\":[\"100.64.0.1:22\"]}],"

static void whole(void **state)
{
    (void)state;
    assert_int_equal(check("{", facts), POLICY_INVALID);
    assert_string_equal(diags.items[0].code, "syntax");
    assert_int_equal(check("{\"nodeAttrs\":7}", NULL), POLICY_INVALID);
    assert_int_equal(check("{}", NULL), 0);
    assert_int_equal(check("{}", facts), 0);
    /* without facts no test is run */
    assert_int_equal(check(with("{\"target\":\"*\",\"lack\":[\"funnel\"]}"), NULL), 0);
    assert_int_equal(check("{" ACLS "\"tests\":[{\"src\":\"cy@example.com\",\"accept\":"
                           "[\"100.64.0.1:22\"],\"deny\":[\"100.64.0.1:23\"]}]}",
                           facts),
                     0);
    assert_int_equal(check("{" ACLS "\"tests\":[{\"src\":\"dee@github\",\"accept\":"
                           "[\"100.64.0.1:22\"]}]}",
                           facts),
                     POLICY_INVALID);
    assert_int_equal(errors(), 1);
    assert_string_equal(diags.items[0].code, "test-failed");
    assert_string_equal(diags.items[0].user, "dee@github");
    /* every kind of test is run, in whatever kind the first failure is */
    assert_int_equal(check("{" ACLS "\"tests\":[{\"src\":\"dee@github\",\"accept\":"
                           "[\"100.64.0.1:22\"]}],\"sshTests\":[{\"src\":\"dee@github\",\"dst\":"
                           "[\"100.64.0.1\"],\"accept\":[\"root\"]}],\"nodeAttrTests\":"
                           "[{\"target\":\"*\",\"have\":[\"funnel\"]}]}",
                           facts),
                     POLICY_INVALID);
    assert_int_equal(errors(), 3);
}

static int foreign(struct policy_snapshot *s, const char *tests)
{
    policy_diags_free(&diags);
    return policy_tests_foreign(s, slice_str(tests), &diags);
}

static void foreign_tests(void **state)
{
    (void)state;
    struct policy *p = NULL;
    struct policy_snapshot *s = NULL;
    policy_diags_free(&diags);
    assert_int_equal(
        policy_check(S("{\"groups\":{\"group:g\":[\"cy@example.com\"]}," ACLS
                       "\"tagOwners\":{\"tag:web\":[]},\"hosts\":{\"lap\":\"100.64.0.1\"},"
                       "\"ipsets\":{\"ipset:a\":[]}}"),
                     facts, &diags, &p, &s),
        0);
    assert_int_equal(foreign(s, "[]"), 0);
    assert_int_equal(foreign(s, "[{\"src\":\"group:g\",\"accept\":[\"lap:22\"],},] // fine\n"), 0);
    assert_int_equal(foreign(s, "[\n{\"src\":\"tag:web\",\"accept\":[\"lap:22\"]}]"),
                     POLICY_INVALID);
    assert_string_equal(diags.items[0].code, "test-failed");
    assert_string_equal(diags.items[0].pointer, "/0/accept/0");
    assert_int_equal(diags.items[0].line, 2);
    assert_int_equal(foreign(s, "[{\"src\":\"group:synced@example.com\",\"accept\":[\"lap:22\"]}]"),
                     POLICY_INVALID);
    assert_int_equal(errors(), 1);
    assert_int_equal(foreign(s, "[{\"src\":\"cy@example.com\",\"accept\":[\"tag:unheard:22\"],"
                                "\"deny\":[\"group:x@y:1\"]}]"),
                     POLICY_INVALID);
    assert_int_equal(foreign(s, "[{\"src\":7}]"), POLICY_INVALID);
    assert_int_equal(foreign(s, "{}"), POLICY_INVALID);
    assert_string_equal(diags.items[0].code, "type");
    assert_int_equal(foreign(s, "[,]"), POLICY_INVALID);
    assert_string_equal(diags.items[0].code, "syntax");
    assert_int_equal(diags.items[0].column, 2);
    policy_snapshot_unref(s);
    policy_unref(p);
}

/* Groups of an identity provider have one place in a policy, whoever names them first. */
static void foreign_synced(void **state)
{
    (void)state;
    struct policy *p = NULL;
    struct policy_snapshot *s = NULL;
    policy_diags_free(&diags);
    assert_int_equal(
        policy_check(
            S("{\"groups\":{\"group:g\":[]}," ACLS
              "\"nodeAttrs\":[{\"target\":[\"group:sec@example.com\"],\"attr\":[\"funnel\"]}]}"),
            facts, &diags, &p, &s),
        0);
    for (size_t i = 0; i < facts->device_count; i++) {
        assert_int_equal(policy_snapshot_set(s, i)->count, 0);
    }
    assert_int_equal(
        foreign(s, "[{\"src\":\"group:other@example.com\",\"deny\":[\"100.64.0.1:22\"]}]"),
        POLICY_INVALID);
    policy_snapshot_unref(s);
    policy_unref(p);
}

/* ---- the gate ---- */

static void gate(void **state)
{
    (void)state;
    struct policy *p = NULL;
    struct policy_snapshot *s = NULL;
    policy_diags_free(&diags);
    assert_int_equal(policy_check(S(POLICY "]}"), facts, &diags, &p, &s), 0);
    int64_t cy = policy_facts_find(facts, S("cy-desk"))->id;
    int64_t ext = policy_facts_find(facts, S("ext1"))->id;
    struct policy_gate_facts g = {.approved = true, .wants = true};
    assert_int_equal(policy_gate(s, cy, 443, &g), POLICY_GATE_OPEN);
    assert_int_equal(policy_gate(s, cy, 444, &g), POLICY_GATE_PORT);
    assert_int_equal(policy_gate(s, ext, 443, &g), POLICY_GATE_NO_FUNNEL);
    assert_int_equal(policy_gate(s, 999, 443, &g), POLICY_GATE_NO_FUNNEL);
    g.wants = false;
    assert_int_equal(policy_gate(s, cy, 443, &g), POLICY_GATE_NOT_ASKED);
    g.key_expired = true;
    assert_int_equal(policy_gate(s, cy, 443, &g), POLICY_GATE_KEY_EXPIRED);
    g.approved = false;
    assert_int_equal(policy_gate(s, cy, 443, &g), POLICY_GATE_NOT_APPROVED);
    facts->https = false;
    assert_int_equal(policy_gate(s, cy, 443, &g), POLICY_GATE_HTTPS_OFF);
    facts->https = true;
    g.suspended = true;
    assert_int_equal(policy_gate(s, cy, 444, &g), POLICY_GATE_SUSPENDED);
    g.locked = true;
    assert_int_equal(policy_gate(s, cy, 444, &g), POLICY_GATE_LOCKED);
    const char *seen = "";
    for (int v = POLICY_GATE_OPEN; v <= POLICY_GATE_LOCKED; v++) {
        const char *text = policy_gate_text((enum policy_gate)v);
        assert_true(strlen(text) > 10 && strcmp(text, seen) != 0);
        seen = text;
    }
    assert_string_equal(policy_gate_text((enum policy_gate)99), "");
    policy_snapshot_unref(s);
    policy_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passing),       cmocka_unit_test(failing),
        cmocka_unit_test(symbolic),      cmocka_unit_test(symbolic_failures),
        cmocka_unit_test(together),      cmocka_unit_test(whole),
        cmocka_unit_test(foreign_tests), cmocka_unit_test(foreign_synced),
        cmocka_unit_test(gate),
    };
    int rc = cmocka_run_group_tests(tests, set_up, tear_down);
    policy_diags_free(&diags);
    return rc;
}
