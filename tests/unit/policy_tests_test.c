/* tests and sshTests: policy.md 4.1 and 4.2 sentence by sentence, requests, and hostile sizes. */
#include "lib/base/clock.h"
#include "tests/unit/support/reach_world.h"

/* ---- sentence by sentence ---- */

static const char tailnet[] =
    "{\"domains\":[\"example.com\"],"
    "\"users\":{\"ann@example.com\":\"owner\",\"bob@example.com\":\"admin\","
    "\"cy@example.com\":\"member\",\"sus@example.com\":\"member\",\"new@example.com\":\"member\"},"
    "\"suspended\":[\"sus@example.com\"],"
    "\"nodes\":{\"ann-lap\":{\"ipv4\":\"100.64.0.1\",\"user\":\"ann@example.com\"},"
    "\"bob-ph\":{\"ipv4\":\"100.64.0.2\",\"user\":\"bob@example.com\"},"
    "\"cy-desk\":{\"ipv4\":\"100.64.0.3\",\"ipv6\":\"fd7a:115c:a1e0::3\",\"user\":\"cy@example.com\"},"
    "\"cy-tab\":{\"ipv4\":\"100.64.0.4\",\"ipv6\":\"fd7a:115c:a1e0::4\",\"user\":\"cy@example.com\"},"
    "\"sus-pc\":{\"ipv4\":\"100.64.0.10\",\"user\":\"sus@example.com\"},"
    "\"web1\":{\"ipv4\":\"100.64.0.20\",\"tags\":[\"tag:web\"]},"
    "\"web2\":{\"ipv4\":\"100.64.0.21\",\"tags\":[\"tag:web\",\"tag:db\"]},"
    "\"ext1\":{\"ipv4\":\"100.64.9.9\",\"user\":\"guest@other.example\",\"external\":true}}}";

/* rules and tests are members of the root; failing: the JSON Pointer of the one error, or NULL. */
struct sentence {
    const char *says, *rules, *tests, *failing, *message;
};

#define ACL(src, dst)   "\"acls\":[{\"action\":\"accept\",\"src\":[" src "],\"dst\":[" dst "]}]"
#define TESTS(t)        "\"tests\":[{" t "}]"
#define SSH(rule)       "\"ssh\":[{" rule "}]"
#define SSH_TESTS(t)    "\"sshTests\":[{" t "}]"
#define CY_ACCEPTS(dst) TESTS("\"src\":\"cy@example.com\",\"accept\":[\"" dst "\"]")
#define CY_DENIES(dst)  TESTS("\"src\":\"cy@example.com\",\"deny\":[\"" dst "\"]")
#define POSTURE         "\"postures\":{\"posture:p\":[\"node:os == 'macos'\",\"node:tsVersion >= '1.40'\"]}"

static const struct sentence sentences[] = {
    {"neither acls nor grants: all is allowed", "", CY_ACCEPTS("tag:web:22"), NULL, NULL},
    {"and a deny fails then", "", CY_DENIES("tag:web:22"), "/tests/0/deny/0",
     "test(s) failed: address \"tag:web:22\": want: Drop, got: Accept"},
    {"empty acls: nothing is", "\"acls\":[]", CY_ACCEPTS("tag:web:22"), "/tests/0/accept/0",
     "test(s) failed: address \"tag:web:22\": want: Accept, got: Drop"},
    {"empty grants: nothing is", "\"grants\":[]", CY_DENIES("tag:web:22"), NULL, NULL},
    {"a rule of users", ACL("\"cy@example.com\"", "\"tag:web:22\""), CY_ACCEPTS("tag:web:22"), NULL,
     NULL},
    {"another port", ACL("\"cy@example.com\"", "\"tag:web:22\""), CY_ACCEPTS("tag:web:23"),
     "/tests/0/accept/0", "want: Accept, got: Drop (cy-desk to web"},
    {"grants count", "\"grants\":[{\"src\":[\"*\"],\"dst\":[\"tag:web\"],\"ip\":[\"tcp:22\"]}]",
     CY_ACCEPTS("tag:web:22"), NULL, NULL},
    {"acls and grants together cover",
     "\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"100.64.0.20:22\"]}],"
     "\"grants\":[{\"src\":[\"*\"],\"dst\":[\"tag:db\"],\"ip\":[\"22\"]}]",
     CY_ACCEPTS("tag:web:22"), NULL, NULL},
    {"a grant of an app opens no port",
     "\"grants\":[{\"src\":[\"*\"],\"dst\":[\"*\"],\"app\":{\"example.com/cap/x\":[{}]}}]",
     CY_DENIES("tag:web:22"), NULL, NULL},

    /* who */
    {"every source: one of two devices is not enough", ACL("\"100.64.0.3\"", "\"tag:web:22\""),
     CY_ACCEPTS("tag:web:22"), "/tests/0/accept/0", "(cy-tab to web"},
    {"every destination", ACL("\"*\"", "\"100.64.0.20:22\""), CY_ACCEPTS("tag:web:22"),
     "/tests/0/accept/0", "to web2)"},
    {"deny: no source reaches any", ACL("\"100.64.0.3\"", "\"100.64.0.20:22\""),
     CY_DENIES("tag:web:22"), "/tests/0/deny/0", "(cy-desk to web1)"},
    {"source: a group", ACL("\"group:g\"", "\"tag:web:22\""),
     TESTS("\"src\":\"group:g\",\"accept\":[\"tag:web:22\"],\"deny\":[\"tag:web:23\"]"), NULL,
     NULL},
    {"source: a tag", ACL("\"tag:db\"", "\"tag:web:22\""),
     TESTS("\"src\":\"tag:web\",\"accept\":[\"tag:web:22\"]"), "/tests/0/accept/0", "(web1 to web"},
    {"source: a host", ACL("\"cydesk\"", "\"tag:web:22\""),
     TESTS("\"src\":\"cydesk\",\"accept\":[\"tag:web:22\"]"), NULL, NULL},
    {"source: an address stands for its device", ACL("\"cy@example.com\"", "\"tag:web:22\""),
     TESTS("\"src\":\"100.64.0.3\",\"accept\":[\"tag:web:22\"]"), NULL, NULL},
    {"but not for its other address", ACL("\"fd7a:115c:a1e0::3\"", "\"tag:web:22\""),
     TESTS("\"src\":\"100.64.0.3\",\"accept\":[\"tag:web:22\"]"), "/tests/0/accept/0", "got: Drop"},
    {"source: an autogroup", ACL("\"*\"", "\"tag:web:22\""),
     TESTS("\"src\":\"autogroup:member\",\"accept\":[\"tag:web:22\"]"), NULL, NULL},
    {"the owner is an admin", ACL("\"autogroup:admin\"", "\"tag:web:22\""),
     TESTS("\"src\":\"ann@example.com\",\"accept\":[\"tag:web:22\"]"), NULL, NULL},
    {"a device of another tailnet is no source", ACL("\"*\"", "\"*:*\""),
     TESTS("\"src\":\"100.64.9.9\",\"accept\":[\"tag:web:22\"]"), "/tests/0/src",
     "another tailnet"},

    {"an address outside: not of \"*\"", ACL("\"*\"", "\"tag:web:22\""),
     TESTS("\"src\":\"printer\",\"accept\":[\"tag:web:22\"]"), "/tests/0/accept/0",
     "(the address to web"},
    {"but of its network", ACL("\"10.0.0.0/8\"", "\"tag:web:22\""),
     TESTS("\"src\":\"printer\",\"accept\":[\"tag:web:22\"]"), NULL, NULL},
    {"and of danger-all", ACL("\"autogroup:danger-all\"", "\"tag:web:22\""),
     TESTS("\"src\":\"printer\",\"accept\":[\"tag:web:22\"]"), NULL, NULL},
    {"an address of the tailnet that nobody has is of \"*\"", ACL("\"*\"", "\"tag:web:22\""),
     TESTS("\"src\":\"100.65.0.1\",\"accept\":[\"tag:web:22\"]"), NULL, NULL},
    {"also the other family's", ACL("\"*\"", "\"tag:web:22\""),
     TESTS("\"src\":\"fd7a:115c:a1e0::99\",\"accept\":[\"tag:web:22\"]"), NULL, NULL},
    {"but not those kept for others", ACL("\"*\"", "\"tag:web:22\""),
     TESTS("\"src\":\"100.115.92.9\",\"deny\":[\"tag:web:22\"]"), NULL, NULL},

    /* where */
    {"a bare address", ACL("\"*\"", "\"tag:web:22\""), CY_ACCEPTS("100.64.0.20:22"), NULL, NULL},
    {"an address in brackets", ACL("\"*\"", "\"cy@example.com:22\""),
     CY_ACCEPTS("[fd7a:115c:a1e0::4]:22"), NULL, NULL},
    {"an alias of an address that nobody has", ACL("\"*\"", "\"10.0.0.0/8:22\""),
     CY_ACCEPTS("printer:22"), NULL, NULL},
    {"the same without a rule", ACL("\"*\"", "\"11.0.0.0/8:22\""), CY_ACCEPTS("printer:22"),
     "/tests/0/accept/0", "(cy-desk to the address)"},
    {"all addresses", ACL("\"*\"", "\"*:22\""), CY_ACCEPTS("printer:22"), NULL, NULL},
    {"the internet", ACL("\"*\"", "\"autogroup:internet:443\""),
     TESTS("\"src\":\"cy@example.com\",\"accept\":[\"8.8.8.8:443\",\"[2606::1]:443\"],"
           "\"deny\":[\"10.0.0.1:443\",\"192.168.0.1:443\",\"100.64.0.20:443\"]"),
     NULL, NULL},
    {"through a router",
     "\"grants\":[{\"src\":[\"*\"],\"dst\":[\"10.0.0.0/8\"],\"ip\":[\"*\"],"
     "\"via\":[\"tag:web\"]}]",
     CY_ACCEPTS("printer:22"), NULL, NULL},
    {"behind which our own devices are not",
     "\"grants\":[{\"src\":[\"*\"],\"dst\":[\"100.64.0.0/10\"],\"ip\":[\"*\"],"
     "\"via\":[\"tag:web\"]}]",
     CY_DENIES("tag:db:22"), NULL, NULL},
    {"a shared-in device, by its address", ACL("\"*\"", "\"100.64.9.9:22\""),
     CY_ACCEPTS("100.64.9.9:22"), NULL, NULL},

    /* names */
    {"unknown tag", ACL("\"*\"", "\"*:*\""), CY_ACCEPTS("tag:lost:22"), "/tests/0/accept/0",
     "address \"tag:lost:22\": tag not found: \"tag:lost\""},
    {"unknown group", ACL("\"*\"", "\"*:*\""),
     TESTS("\"src\":\"group:lost\",\"accept\":[\"tag:web:22\"]"), "/tests/0/src",
     "test(s) failed: src=group not found: \"group:lost\""},
    {"unknown host", ACL("\"*\"", "\"*:*\""), CY_DENIES("lost:22"), "/tests/0/deny/0",
     "\"lost\": invalid address"},
    {"unknown user", ACL("\"*\"", "\"*:*\""),
     TESTS("\"src\":\"who@example.com\",\"deny\":[\"tag:web:22\"]"), "/tests/0/src",
     "src=user not found: \"who@example.com\""},
    {"a group of nobody", ACL("\"*\"", "\"*:*\""),
     TESTS("\"src\":\"group:none\",\"deny\":[\"tag:web:22\"]"), "/tests/0/src",
     "nobody is in \"group:none\""},
    {"a service", ACL("\"*\"", "\"*:*\""), CY_ACCEPTS("svc:x:22"), "/tests/0/accept/0",
     "\"svc:x\" names no device to test with"},
    {"a user without devices", ACL("\"new@example.com\"", "\"tag:web:22\""),
     TESTS("\"src\":\"new@example.com\",\"accept\":[\"tag:web:22\"],\"deny\":[\"tag:web:23\"]"),
     NULL, NULL},
    {"a tag without devices", ACL("\"*\"", "\"tag:new:22\""), CY_ACCEPTS("tag:new:22"), NULL, NULL},
    {"which is named as such", ACL("\"*\"", "\"tag:web:22\""), CY_ACCEPTS("tag:new:22"),
     "/tests/0/accept/0", "(cy-desk to a device with that tag)"},

    /* protocols */
    {"none: TCP suffices",
     "\"acls\":[{\"action\":\"accept\",\"proto\":\"tcp\",\"src\":[\"*\"],"
     "\"dst\":[\"tag:web:22\"]}]",
     CY_ACCEPTS("tag:web:22"), NULL, NULL},
    {"none: UDP suffices",
     "\"acls\":[{\"action\":\"accept\",\"proto\":\"udp\",\"src\":[\"*\"],"
     "\"dst\":[\"tag:web:22\"]}]",
     CY_ACCEPTS("tag:web:22"), NULL, NULL},
    {"tcp: UDP does not",
     "\"acls\":[{\"action\":\"accept\",\"proto\":\"udp\",\"src\":[\"*\"],"
     "\"dst\":[\"tag:web:22\"]}]",
     TESTS("\"src\":\"cy@example.com\",\"proto\":\"tcp\",\"accept\":[\"tag:web:22\"]"),
     "/tests/0/accept/0", "got: Drop"},
    {"icmp, to any pair that a rule allows", ACL("\"*\"", "\"tag:web:22\""),
     TESTS("\"src\":\"cy@example.com\",\"proto\":\"icmp\",\"accept\":[\"tag:web:0\"],"
           "\"deny\":[\"ann@example.com:0\"]"),
     NULL, NULL},
    {"icmp, not by a rule of tcp",
     "\"acls\":[{\"action\":\"accept\",\"proto\":\"tcp\","
     "\"src\":[\"*\"],\"dst\":[\"tag:web:*\"]}]",
     TESTS("\"src\":\"cy@example.com\",\"proto\":\"icmp\",\"accept\":[\"tag:web:0\"]"),
     "/tests/0/accept/0", "got: Drop"},
    {"a number",
     "\"acls\":[{\"action\":\"accept\",\"proto\":\"47\",\"src\":[\"*\"],"
     "\"dst\":[\"tag:web:*\"]}]",
     TESTS("\"src\":\"cy@example.com\",\"proto\":\"gre\",\"accept\":[\"tag:web:0\"]"), NULL, NULL},

    /* users */
    {"suspended users exchange nothing", ACL("\"*\"", "\"*:*\""),
     TESTS("\"src\":\"sus@example.com\",\"accept\":[\"tag:web:22\"]"), "/tests/0/accept/0",
     "(sus-pc to web"},
    {"not even without rules", "",
     TESTS("\"src\":\"cy@example.com\",\"deny\":[\"sus@example.com:22\"]"), NULL, NULL},
    {"a suspension fails no test of others", ACL("\"autogroup:member\"", "\"tag:web:22\""),
     TESTS("\"src\":\"group:g\",\"accept\":[\"tag:web:22\"]"), NULL, NULL},

    /* postures */
    {"a posture that holds",
     POSTURE ",\"grants\":[{\"src\":[\"*\"],\"dst\":[\"*\"],\"ip\":[\"*\"],"
             "\"srcPosture\":[\"posture:p\"]}]",
     TESTS("\"src\":\"cy@example.com\",\"srcPostureAttrs\":{\"node:os\":\"macos\","
           "\"node:tsVersion\":\"1.56.1-t90\"},\"accept\":[\"tag:web:22\"]"),
     NULL, NULL},
    {"one that does not",
     POSTURE ",\"grants\":[{\"src\":[\"*\"],\"dst\":[\"*\"],\"ip\":[\"*\"],"
             "\"srcPosture\":[\"posture:p\"]}]",
     TESTS("\"src\":\"cy@example.com\",\"srcPostureAttrs\":{\"node:os\":\"macos\","
           "\"node:tsVersion\":\"1.9\"},\"accept\":[\"tag:web:22\"]"),
     "/tests/0/accept/0", "got: Drop"},
    {"without attributes no posture holds",
     POSTURE ",\"grants\":[{\"src\":[\"*\"],\"dst\":[\"*\"],\"ip\":[\"*\"],"
             "\"srcPosture\":[\"posture:p\"]}]",
     CY_DENIES("tag:web:22"), NULL, NULL},
    {"the default one", POSTURE ",\"defaultSrcPosture\":[\"posture:p\"]," ACL("\"*\"", "\"*:*\""),
     CY_DENIES("tag:web:22"), NULL, NULL},

    /* sshTests */
    {"accept: by an accept rule",
     SSH("\"action\":\"accept\",\"src\":[\"cy@example.com\"],\"dst\":[\"tag:web\"],\"users\":[\"root\"]"),
     SSH_TESTS("\"src\":\"cy@example.com\",\"dst\":[\"tag:web\"],\"accept\":[\"root\"],"
               "\"deny\":[\"ubuntu\"]"),
     NULL, NULL},
    {"accept: by a check rule, too",
     SSH("\"action\":\"check\",\"src\":[\"cy@example.com\"],\"dst\":[\"tag:web\"],\"users\":[\"root\"]"),
     SSH_TESTS("\"src\":\"cy@example.com\",\"dst\":[\"tag:web\"],\"accept\":[\"root\"],"
               "\"check\":[\"root\"]"),
     NULL, NULL},
    {"check: not by an accept rule",
     SSH("\"action\":\"accept\",\"src\":[\"cy@example.com\"],\"dst\":[\"tag:web\"],\"users\":[\"root\"]"),
     SSH_TESTS("\"src\":\"cy@example.com\",\"dst\":[\"tag:web\"],\"check\":[\"root\"]"),
     "/sshTests/0/check/0", "login \"root\" at \"tag:web\": want: Check, got: Accept (cy-desk"},
    {"check wins over accept",
     "\"ssh\":[{\"action\":\"accept\",\"src\":[\"cy@example.com\"],\"dst\":[\"tag:web\"],"
     "\"users\":[\"root\"]},{\"action\":\"check\",\"src\":[\"group:g\"],\"dst\":[\"tag:web\"],"
     "\"users\":[\"root\"]}]",
     SSH_TESTS("\"src\":\"cy@example.com\",\"dst\":[\"tag:web\"],\"check\":[\"root\"]"), NULL,
     NULL},
    {"deny fails when it is let in",
     SSH("\"action\":\"check\",\"src\":[\"cy@example.com\"],\"dst\":[\"tag:web\"],\"users\":[\"root\"]"),
     SSH_TESTS("\"src\":\"cy@example.com\",\"dst\":[\"tag:web\"],\"deny\":[\"root\"]"),
     "/sshTests/0/deny/0", "want: Drop, got: Accept"},
    {"acls are not part of it: no ssh rule", ACL("\"*\"", "\"*:22\""),
     SSH_TESTS("\"src\":\"cy@example.com\",\"dst\":[\"tag:web\"],\"accept\":[\"root\"]"),
     "/sshTests/0/accept/0", "got: Drop"},
    {"acls are not part of it: an ssh rule alone",
     "\"acls\":[]," SSH("\"action\":\"accept\",\"src\":[\"cy@example.com\"],\"dst\":[\"tag:web\"],"
                        "\"users\":[\"root\"]"),
     SSH_TESTS("\"src\":\"cy@example.com\",\"dst\":[\"tag:web\"],\"accept\":[\"root\"]"), NULL,
     NULL},
    {"nonroot",
     SSH("\"action\":\"accept\",\"src\":[\"cy@example.com\"],\"dst\":[\"tag:web\"],"
         "\"users\":[\"autogroup:nonroot\"]"),
     SSH_TESTS("\"src\":\"cy@example.com\",\"dst\":[\"tag:web\"],\"accept\":[\"x\"],"
               "\"deny\":[\"root\"]"),
     NULL, NULL},
    {"the user's own name",
     SSH("\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
         "\"dst\":[\"tag:web\"],\"users\":[\"localpart:*@example.com\"]"),
     SSH_TESTS("\"src\":\"cy@example.com\",\"dst\":[\"tag:web\"],\"accept\":[\"cy\"],"
               "\"deny\":[\"ann\",\"root\"]"),
     NULL, NULL},
    {"self",
     SSH("\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self\"],"
         "\"users\":[\"root\"]"),
     SSH_TESTS("\"src\":\"group:g\",\"dst\":[\"autogroup:self\"],\"accept\":[\"root\"]"), NULL,
     NULL},
    {"self is not others",
     SSH("\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
         "\"dst\":[\"autogroup:self\"],\"users\":[\"root\"]"),
     SSH_TESTS("\"src\":\"cy@example.com\",\"dst\":[\"ann@example.com\"],\"deny\":[\"root\"]"),
     NULL, NULL},
    {"self of a tagged source",
     SSH("\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
         "\"dst\":[\"autogroup:self\"],\"users\":[\"root\"]"),
     SSH_TESTS("\"src\":\"tag:web\",\"dst\":[\"autogroup:self\"],\"deny\":[\"root\"]"),
     "/sshTests/0/deny/0", "the source is no user's device"},
    {"a host as destination",
     SSH("\"action\":\"accept\",\"src\":[\"cy@example.com\"],\"dst\":[\"tag:web\"],\"users\":[\"root\"]"),
     SSH_TESTS("\"src\":\"100.64.0.4\",\"dst\":[\"webhost\"],\"accept\":[\"root\"]"), NULL, NULL},
    {"an ssh posture",
     POSTURE "," SSH("\"action\":\"accept\",\"src\":[\"cy@example.com\"],"
                     "\"dst\":[\"tag:web\"],\"users\":[\"root\"],"
                     "\"srcPosture\":[\"posture:p\"]"),
     SSH_TESTS("\"src\":\"cy@example.com\",\"dst\":[\"tag:web\"],\"deny\":[\"root\"]"), NULL, NULL},
};

static void sentence_text(const struct sentence *s, struct buf *text)
{
    buf_adds(text, "{\"groups\":{\"group:g\":[\"cy@example.com\",\"bob@example.com\","
                   "\"sus@example.com\"],\"group:none\":[]},\n"
                   "\"tagOwners\":{\"tag:web\":[],\"tag:db\":[],\"tag:new\":[]},\n"
                   "\"hosts\":{\"cydesk\":\"100.64.0.3\",\"printer\":\"10.1.2.3\","
                   "\"webhost\":\"100.64.0.20\"},\n");
    buf_addf(text, "%s%s%s}\n", s->rules, s->rules[0] ? ",\n" : "", s->tests);
}

static void expect_sentence(const struct sentence *s, size_t failed, const struct policy_diags *d)
{
    const struct policy_diag *error = NULL;
    for (size_t i = 0; i < d->count; i++) {
        if (d->items[i].severity == POLICY_ERROR) {
            print_message("  %s %s: %s [%s]\n", d->items[i].code, d->items[i].pointer,
                          d->items[i].message, d->items[i].hint);
            error = error ? error : &d->items[i];
        }
    }
    if (!s->failing) {
        if (error || failed) {
            fail_msg("\"%s\": should pass", s->says);
        }
        return;
    }
    if (!error || failed != 1) {
        fail_msg("\"%s\": should fail", s->says);
        return;
    }
    if (strcmp(error->pointer, s->failing) != 0 || !strstr(error->message, s->message)) {
        fail_msg("\"%s\": fails otherwise", s->says);
    }
    assert_string_equal(error->code, "test-failed");
    assert_int_equal(strncmp(error->message, "test(s) failed: ", 16), 0);
    assert_true(error->line == 5 || error->line == 4); /* where the tests stand */
    assert_true(error->user[0]);
}

static struct policy_facts *read_tailnet(void)
{
    char why[256] = "";
    struct policy_facts *f = NULL;
    if (policy_facts_read(slice_str(tailnet), why, &f)) {
        fail_msg("%s", why);
    }
    return f;
}

static void test_sentences(void **state)
{
    (void)state;
    struct policy_facts *f = read_tailnet();
    for (size_t i = 0; i < ARRAY_LEN(sentences); i++) {
        struct policy_diags diags = {0};
        struct buf text = BUF_MAX(16 * KIB);
        print_message("%s\n", sentences[i].says);
        sentence_text(&sentences[i], &text);
        expect_sentence(&sentences[i], w_run(buf_slice(&text), f, &diags), &diags);
        policy_diags_free(&diags);
        buf_deinit(&text);
    }
    policy_facts_unref(f);
}

/* ---- tests that come with a request ---- */

static int foreign(const char *rules, const char *tests, struct policy_diags *diags)
{
    struct policy_facts *f = read_tailnet();
    struct policy *p = NULL;
    struct policy_snapshot *s = NULL;
    struct buf text = BUF_MAX(16 * KIB);
    sentence_text(&(struct sentence){.rules = rules,
                                     .tests = TESTS("\"src\":\"cy@example.com\","
                                                    "\"accept\":[\"tag:db:1\"]")},
                  &text);
    w_load(buf_slice(&text), f, &p);
    assert_int_equal(policy_evaluate(p, f, &s), 0);
    int rc = policy_tests_foreign(s, slice_str(tests), diags);
    policy_snapshot_unref(s);
    policy_unref(p);
    policy_facts_unref(f);
    buf_deinit(&text);
    return rc;
}

static void test_foreign(void **state)
{
    static const struct {
        const char *tests, *code, *pointer;
        int line;
    } rows[] = {
        {"[]", NULL, NULL, 0},
        {"[{\"src\":\"cy@example.com\",\"accept\":[\"tag:web:22\"]}] // fine", NULL, NULL, 0},
        {"[{\"src\":\"group:g\",\"deny\":[\"webhost:23\",\"tag:db:443\"]},]\n", NULL, NULL, 0},
        {"[{\"src\":\"cy@example.com\",\"accept\":[\"tag:web:22\"]},\n"
         "{\"src\":\"cy@example.com\",\"deny\":[\"tag:web:22\"]}]",
         "test-failed", "/1/deny/0", 2},
        {"[{\"src\":\"group:lost\",\"deny\":[\"tag:web:22\"]}]", "test-failed", "/0/src", 1},
        {"[{\"src\":\"autogroup:member\",\"deny\":[\"10.0.0.0/8:22\"]}]", "test-shape", "/0/deny/0",
         1},
        {"{\"src\":\"cy@example.com\"}", "type", "", 1},
        {"[{\"src\":\"cy@example.com\",}", "syntax", "", 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct policy_diags diags;
        int rc = foreign(ACL("\"cy@example.com\"", "\"tag:web:22\""), rows[i].tests, &diags);
        const struct policy_diag *error = NULL;
        for (size_t k = 0; k < diags.count; k++) {
            error = diags.items[k].severity == POLICY_ERROR ? &diags.items[k] : error;
        }
        for (size_t k = 0; k < diags.count; k++) {
            print_message("%s %s %d: %s\n", diags.items[k].code, diags.items[k].pointer,
                          diags.items[k].line, diags.items[k].message);
        }
        assert_int_equal(rc, rows[i].code ? POLICY_INVALID : 0);
        assert_int_equal(error != NULL, rows[i].code != NULL);
        if (error) {
            assert_string_equal(error->code, rows[i].code);
            assert_string_equal(error->pointer, rows[i].pointer);
            assert_int_equal(error->line, rows[i].line);
        }
        policy_diags_free(&diags);
    }
}

/* ---- hostile sizes ---- */

static struct policy_facts *crowd(size_t devices)
{
    struct policy_facts *f = policy_facts_new();
    for (size_t i = 0; i < devices; i++) {
        char login[40], ip[40];
        struct policy_device d = {.id = (int64_t)i + 1};
        snprintf(login, sizeof login, "u%zu@example.com", i);
        snprintf(ip, sizeof ip, "100.64.%zu.%zu", i >> 8, i & 255);
        assert_true(ip_addr_parse(slice_str(ip), &d.ipv4));
        d.name = slice_str(login);
        d.user = policy_facts_user(f, &(struct policy_user){.login = slice_str(login)});
        policy_facts_device(f, &d);
    }
    policy_facts_seal(f);
    return f;
}

/* Nobody is covered by one rule, everybody by many: the deadline ends it, and says so. */
static void test_time_is_bounded(void **state)
{
    struct policy_facts *f = crowd(8000);
    struct buf text = BUF_MAX(2 * MIB);
    struct policy_diags diags = {0};
    (void)state;
    buf_adds(&text, "{\"acls\":[\n");
    for (unsigned i = 0; i < 8000; i++) {
        buf_addf(&text,
                 "{\"action\":\"accept\",\"src\":[\"100.64.%u.%u/%u\"],"
                 "\"dst\":[\"*:%u-%u\"]},\n",
                 i >> 8, i & 0xfe, 20 + i % 12, 1 + i % 7, 900 + i % 7);
    }
    buf_adds(&text, "],\"tests\":[\n");
    for (unsigned i = 0; i < 4000; i++) {
        buf_addf(&text, "{\"src\":\"autogroup:member\",\"accept\":[\"autogroup:member:%u\"]},\n",
                 10 + i % 800);
    }
    buf_adds(&text, "]}");
    assert_true(text.len < POLICY_SIZE_MAX);
    struct mono start = mono_now();
    assert_true(w_run(buf_slice(&text), f, &diags) > 0);
    double seconds = (double)(mono_now().ns - start.ns) / 1e9;
    bool said = false;
    for (size_t i = 0; i < diags.count; i++) {
        said |= strstr(diags.items[i].message, "took too long") != NULL;
    }
    print_message("%.1f s, %zu complaints\n", seconds, diags.count);
    assert_true(said);
    assert_true(seconds < 30); /* of which the tests have 2; the rest is for sanitizers */
    policy_diags_free(&diags);
    policy_facts_unref(f);
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_time_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
