/* tests and sshTests: random ones on random tailnets, against the slow judge. */
#include "tests/unit/support/reach_world.h"

enum { WORLDS = 3000, TESTS = 10 };

/* ---- random tests ---- */

/* Whom a selector means: devices, perhaps made up. count 0: the test fails. */
struct w_target {
    struct w_device at[W_DEVICES + W_USERS];
    int count;
    bool outside;
};

static void keep_active(const struct world *w, struct w_target *t)
{
    int n = 0;
    for (int i = 0; i < t->count; i++) {
        if (!w_stopped(w, &t->at[i])) {
            t->at[n++] = t->at[i];
        }
    }
    t->count = n ? n : t->count;
}

static void means_users(const struct world *w, const char *s, struct w_target *t)
{
    for (int u = 0; u < W_USERS; u++) {
        struct w_device made = {.user = u};
        if (w_means(w, s, &made)) {
            t->at[t->count++] = made;
        }
    }
}

/* "100.64.0.3", "h-three", "[fd7a:115c:a1e0::4]" */
static bool means_address(const struct world *w, const char *s, struct w_target *t)
{
    static const struct {
        const char *text;
        int v4, v6;
    } hosts[] = {{"100.64.0.3", 3, 0}, {"h-three", 3, 0}, {"100.64.0.5", 5, 0},
                 {"h-six", 0, 2},      {"h-far", 99, 0},  {"fd7a:115c:a1e0::4", 0, 4}};

    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        if (strcmp(s, hosts[i].text) != 0) {
            continue;
        }
        t->at[0] = (struct w_device){.user = -1, .v4 = hosts[i].v4, .v6 = hosts[i].v6};
        t->count = 1;
        t->outside = true;
        for (int k = 0; k < w->device_count; k++) {
            const struct w_device *d = &w->devices[k];
            if ((hosts[i].v4 && d->v4 == hosts[i].v4) || (hosts[i].v6 && d->v6 == hosts[i].v6)) {
                t->at[0].user = d->user;
                t->at[0].tags = d->tags;
                t->at[0].external = d->external;
                t->outside = d->external;
            }
        }
        return true;
    }
    return false;
}

static void target(const struct world *w, const char *s, struct w_target *t)
{
    *t = (struct w_target){.count = 0};
    if (means_address(w, s, t)) {
        return;
    }
    for (int i = 0; i < w->device_count; i++) {
        if (w_means(w, s, &w->devices[i])) {
            t->at[t->count++] = w->devices[i];
        }
    }
    if (!t->count && !strcmp(s, "autogroup:tagged")) {
        for (int i = 0; i < W_TAGS; i++) {
            t->at[t->count++] = (struct w_device){.user = -1, .tags = 1u << i};
        }
    }
    for (int i = 0; !t->count && i < W_TAGS; i++) {
        if (!strcmp(s, w_tags[i])) {
            t->at[t->count++] = (struct w_device){.user = -1, .tags = 1u << i};
        }
    }
    if (!t->count) {
        means_users(w, s, t);
    }
    keep_active(w, t);
}

/* A source that is an address of nobody: "*" takes it when it is the tailnet's, all of ours are. */
static bool reach_from(const struct world *w,
                       const struct w_target *src,
                       int i,
                       const struct w_device *dst,
                       const struct w_ask *q)
{
    struct world copy = *w;
    struct w_device from = src->at[i];
    if (src->outside) { /* no rule's user, tag or posture is about it */
        copy.default_posture = NULL;
        for (int n = 0; n < copy.rule_count; n++) {
            struct w_rule *r = &copy.rules[n];
            int kept = 0;
            for (int m = 0; m < r->src_count; m++) {
                if (!strcmp(r->src[m], "*") || !strcmp(r->src[m], "autogroup:danger-all") ||
                    w_in(r->src[m], from.v4, from.v6)) {
                    r->src[kept++] = "*";
                }
            }
            r->src_count = kept;
            r->posture = NULL;
        }
        from.external = false;
    }
    return w_reach(&copy, &from, dst, q);
}

struct random_test {
    const char *src, *dst;
    int proto, port;
    const char *holds; /* posture, or NULL */
    bool accept;
};

static bool passes(const struct world *w, const struct random_test *t)
{
    struct w_target src, dst;
    int yes = 0;
    target(w, t->src, &src);
    target(w, t->dst, &dst);
    if (!src.count || !dst.count || (src.outside && src.at[0].external)) {
        return false;
    }
    for (int i = 0; i < src.count * dst.count; i++) {
        yes += reach_from(w, &src, i / dst.count, &dst.at[i % dst.count],
                          &(struct w_ask){t->proto, t->port, t->holds, dst.outside});
    }
    return t->accept ? yes == src.count * dst.count : !yes;
}

static const char *const test_srcs[] = {"ann@example.com",
                                        "bob@example.com",
                                        "cy@example.com",
                                        "nobody@example.com",
                                        "group:a",
                                        "group:b",
                                        "group:c",
                                        "group:d",
                                        "group:lost",
                                        "tag:web",
                                        "tag:db",
                                        "tag:none",
                                        "tag:lost",
                                        "autogroup:member",
                                        "autogroup:tagged",
                                        "autogroup:admin",
                                        "autogroup:network-admin",
                                        "100.64.0.3",
                                        "h-three",
                                        "h-six",
                                        "h-far",
                                        "lost"};
static const char *const test_dsts[] = {"ann@example.com",
                                        "bob@example.com",
                                        "eve@example.org",
                                        "nobody@example.com",
                                        "group:a",
                                        "group:c",
                                        "group:d",
                                        "group:lost",
                                        "tag:web",
                                        "tag:db",
                                        "tag:ci",
                                        "tag:none",
                                        "tag:lost",
                                        "autogroup:member",
                                        "autogroup:tagged",
                                        "100.64.0.3",
                                        "100.64.0.5",
                                        "fd7a:115c:a1e0::4",
                                        "h-three",
                                        "h-six",
                                        "h-far",
                                        "lost"};

static void make_test(struct world *w, struct random_test *t, struct buf *text)
{
    static const int protos[] = {0, 0, 6, 17, 1, 132}, ports[] = {22, 80, 443};
    static const char *const names[] = {"", "", "tcp", "UDP", "icmp", "132"};
    unsigned proto = w_random(w, ARRAY_LEN(protos));
    *t = (struct random_test){.src = W_PICK(w, test_srcs),
                              .dst = W_PICK(w, test_dsts),
                              .proto = protos[proto],
                              .port = protos[proto] == 1 ? 0 : W_PICK(w, ports),
                              .accept = w_random(w, 2)};
    bool six = strstr(t->dst, "::") != NULL;
    buf_addf(text, "{\"src\":\"%s\",\"%s\":[\"%s%s%s:%d\"],", t->src, t->accept ? "accept" : "deny",
             six ? "[" : "", t->dst, six ? "]" : "", t->port);
    if (names[proto][0]) {
        buf_addf(text, "\"proto\":\"%s\",", names[proto]);
    }
    if (!w_random(w, 3)) {
        t->holds = w_random(w, 2) ? "posture:p" : "posture:q";
        buf_addf(text, "\"srcPostureAttrs\":{\"custom:%c\":true,\"custom:z\":1},", t->holds[8]);
    }
    buf_adds(text, "},\n");
}

static void wrong(const struct world *w, const char *what, int index, const struct policy_diags *d)
{
    struct buf text = BUF_MAX(64 * KIB);
    world_text(w, &text);
    for (int i = 0; i < w->device_count; i++) {
        const struct w_device *x = &w->devices[i];
        print_message("d%d: user %d%s, tags %x, v4 %d, v6 %d%s\n", i, x->user,
                      x->user >= 0 && w->suspended[x->user] ? " (suspended)" : "", x->tags, x->v4,
                      x->v6, x->external ? ", external" : "");
    }
    for (size_t i = 0; i < d->count; i++) {
        print_message("%s %s: %s\n", d->items[i].code, d->items[i].pointer, d->items[i].message);
    }
    fail_msg("%s %d in\n%s", what, index, buf_cstr(&text));
}

/* Which of the section's tests have an error? */
static unsigned failing(const struct policy_diags *d, const char *section)
{
    unsigned bits = 0;
    for (size_t i = 0; i < d->count; i++) {
        if (d->items[i].severity == POLICY_ERROR && w_starts(d->items[i].pointer, section)) {
            assert_string_equal(d->items[i].code, "test-failed");
            bits |= 1u << strtol(d->items[i].pointer + strlen(section), NULL, 10);
        }
    }
    return bits;
}

static void test_random(void **state)
{
    (void)state;
    int outcomes[2] = {0, 0};
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        struct world w;
        struct random_test t[TESTS];
        struct policy_diags diags = {0};
        struct buf section = BUF_MAX(sizeof w.tests - 1), text = BUF_MAX(64 * KIB);
        world_make(&w, seed + 100000);
        buf_adds(&section, "\"tests\":[\n");
        for (int i = 0; i < TESTS; i++) {
            make_test(&w, &t[i], &section);
        }
        buf_adds(&section, "],\n");
        assert_true(buf_ok(&section));
        snprintf(w.tests, sizeof w.tests, "%s", buf_cstr(&section));
        world_text(&w, &text);
        struct policy_facts *f = world_facts(&w);
        size_t failed = w_run(buf_slice(&text), f, &diags);
        unsigned bits = failing(&diags, "/tests/");
        assert_int_equal(failed, __builtin_popcount(bits));
        for (int i = 0; i < TESTS; i++) {
            bool pass = passes(&w, &t[i]);
            outcomes[pass]++;
            if (pass == (bits >> i & 1)) {
                wrong(&w, "test", i, &diags);
            }
        }
        policy_diags_free(&diags);
        policy_facts_unref(f);
        buf_deinit(&section);
        buf_deinit(&text);
    }
    assert_true(outcomes[0] > 5 * WORLDS / 2 && outcomes[1] > 5 * WORLDS / 2);
}

/* ---- random sshTests ---- */

enum { LIST_ACCEPT, LIST_CHECK, LIST_DENY };

struct random_ssh {
    const char *src, *dst, *login;
    int list;
};

static bool ssh_dst_of(const struct world *w,
                       const struct random_ssh *t,
                       const struct w_device *src,
                       struct w_target *dst)
{
    if (strcmp(t->dst, "autogroup:self") != 0) {
        target(w, t->dst, dst);
        return dst->count > 0;
    }
    if (src->tags || src->user < 0) {
        return false;
    }
    target(w, w_logins[src->user], dst);
    return true;
}

static bool ssh_passes(const struct world *w, const struct random_ssh *t)
{
    struct w_target src, dst;
    int pairs = 0, accepted = 0, checked = 0;
    target(w, t->src, &src);
    for (int i = 0; i < src.count; i++) {
        if (src.at[0].external || !ssh_dst_of(w, t, &src.at[i], &dst)) {
            return false;
        }
        for (int k = 0; k < dst.count; k++) {
            enum w_ssh_answer a = src.outside || dst.outside
                                      ? W_SSH_NO
                                      : w_ssh_reach(w, &src.at[i], &dst.at[k], t->login);
            pairs++;
            accepted += a != W_SSH_NO;
            checked += a == W_SSH_CHECK;
        }
    }
    return pairs && (t->list == LIST_ACCEPT  ? accepted == pairs
                     : t->list == LIST_CHECK ? checked == pairs
                                             : !accepted);
}

static void make_ssh_test(struct world *w, struct random_ssh *t, struct buf *text)
{
    static const char *const srcs[] = {"ann@example.com", "cy@example.com", "nobody@example.com",
                                       "group:a",         "group:b",        "tag:web",
                                       "tag:db",          "tag:lost",       "h-three"};
    static const char *const dsts[] = {
        "tag:web",        "tag:db",         "tag:none", "ann@example.com", "cy@example.com",
        "autogroup:self", "autogroup:self", "h-three",  "tag:lost",        "autogroup:tagged"};
    static const char *const logins[] = {"root", "ubuntu", "cy", "ann"};
    static const char *const lists[] = {"accept", "check", "deny"};
    *t = (struct random_ssh){W_PICK(w, srcs), W_PICK(w, dsts), W_PICK(w, logins),
                             (int)w_random(w, 3)};
    buf_addf(text, "{\"src\":\"%s\",\"dst\":[\"%s\"],\"%s\":[\"%s\"]},\n", t->src, t->dst,
             lists[t->list], t->login);
}

static void test_random_ssh(void **state)
{
    (void)state;
    int outcomes[2] = {0, 0};
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        struct world w;
        struct random_ssh t[TESTS];
        struct policy_diags diags = {0};
        struct buf section = BUF_MAX(sizeof w.tests - 1), text = BUF_MAX(64 * KIB);
        world_make(&w, seed + 200000);
        buf_adds(&section, "\"sshTests\":[\n");
        for (int i = 0; i < TESTS; i++) {
            make_ssh_test(&w, &t[i], &section);
        }
        buf_adds(&section, "],\n");
        snprintf(w.tests, sizeof w.tests, "%s", buf_cstr(&section));
        world_text(&w, &text);
        struct policy_facts *f = world_facts(&w);
        size_t failed = w_run(buf_slice(&text), f, &diags);
        unsigned bits = failing(&diags, "/sshTests/");
        assert_int_equal(failed, __builtin_popcount(bits));
        for (int i = 0; i < TESTS; i++) {
            bool pass = ssh_passes(&w, &t[i]);
            outcomes[pass]++;
            if (pass == (bits >> i & 1)) {
                wrong(&w, "ssh test", i, &diags);
            }
        }
        policy_diags_free(&diags);
        policy_facts_unref(f);
        buf_deinit(&section);
        buf_deinit(&text);
    }
    assert_true(outcomes[0] > WORLDS && outcomes[1] > WORLDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_ssh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
