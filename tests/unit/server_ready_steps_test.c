/* Each fault has its own code at its own step, a sentence and a fix; nothing is ok without reason.
 */
#include "server/ready_steps.h"
#include "tests/unit/support/test.h"

static struct ready_facts facts(void)
{
    struct ready_facts f = {.port = 443,
                            .name = "laptop.pango.ts.example.net",
                            .connected = true,
                            .relays = 2,
                            .relays_up = 2,
                            .relays_with_node = 2,
                            .relay_name = "relay2",
                            .backend_known = true,
                            .backend_ok = true,
                            .backend_text = "backend 127.0.0.1:3000 answers"};
    f.node.created.s = wall_now().s - 3600;
    f.order.target_count = 2;
    memcpy(f.order.targets[0].relay, "relay1", 7);
    memcpy(f.order.targets[1].relay, "relay2", 7);
    assert_true(addr_from_ip(S("198.51.100.7"), 443, &f.order.targets[0].at));
    assert_true(addr_from_ip(S("198.51.100.8"), 443, &f.order.targets[1].at));
    return f;
}

static struct ready_seen seen(void)
{
    struct ready_seen s = {.own_asked = true, .resolver_asked = true, .count = 2};
    s.own.answer = s.resolver.answer = DNS_LOOKUP_FOUND;
    s.own.count = s.resolver.count = 1;
    assert_true(addr_from_ip(S("198.51.100.7"), 0, &s.own.addresses[0]));
    s.resolver.addresses[0] = s.own.addresses[0];
    s.ms[0] = s.ms[1] = 12;
    return s;
}

static void is(const struct ready_verdict *v, enum ready_state state, const char *code)
{
    assert_int_equal(v->state, state);
    assert_string_equal(v->code, code);
    assert_true(v->text[0]);
    assert_true(state == READY_OK || v->fix[0]);
}

static void dns_is(const struct ready_facts *f,
                   const struct ready_seen *s,
                   enum ready_state state,
                   const char *code)
{
    struct ready_verdict v;
    ready_judge_dns(f, s, &v);
    is(&v, state, code);
}

static void dns(void **state)
{
    (void)state;
    struct ready_facts f = facts();
    struct ready_seen s = seen();
    dns_is(&f, &s, READY_OK, "");
    s.resolver.answer = DNS_LOOKUP_NONE;
    s.resolver.count = 0;
    dns_is(&f, &s, READY_FAILED, "dns.not_public");
    f.node.created = wall_now();
    dns_is(&f, &s, READY_WAITING, "dns.delay");
    s.resolver.answer = DNS_LOOKUP_SILENT;
    dns_is(&f, &s, READY_FAILED, "dns.resolver_silent");
    s.resolver_asked = false;
    dns_is(&f, &s, READY_OK, "");
    assert_true(addr_from_ip(S("203.0.113.1"), 0, &s.own.addresses[0]));
    dns_is(&f, &s, READY_FAILED, "dns.elsewhere");
    s.own.count = 0;
    s.own.answer = DNS_LOOKUP_NONE;
    dns_is(&f, &s, READY_FAILED, "dns.missing");
    s.own.answer = DNS_LOOKUP_SILENT;
    dns_is(&f, &s, READY_FAILED, "dns.no_answer");
    s.own_asked = false;
    dns_is(&f, &s, READY_FAILED, "dns.no_answer");
}

static void reachable_is(enum ready_seen_how one,
                         enum ready_seen_how other,
                         enum ready_state state,
                         const char *code)
{
    struct ready_facts f = facts();
    struct ready_seen s = seen();
    struct ready_verdict v;
    s.how[0] = one;
    s.how[1] = other;
    ready_judge_reachable(&f, &s, &v);
    is(&v, state, code);
    assert_int_equal(v.ms != 0, state == READY_OK);
}

static void reachable(void **state)
{
    (void)state;

    static const struct {
        enum ready_seen_how how;
        const char *code;
    } bad[] = {{READY_SEEN_EXPIRED, "reachable.expired"},
               {READY_SEEN_OTHER, "reachable.other_certificate"},
               {READY_SEEN_REFUSED, "reachable.refused"},
               {READY_SEEN_NOTHING, "reachable.no_connection"},
               {READY_SEEN_LATE, "reachable.late"}};

    reachable_is(READY_SEEN_KEY, READY_SEEN_KEY, READY_OK, "");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        reachable_is(bad[i].how, bad[i].how, READY_FAILED, bad[i].code);
        reachable_is(READY_SEEN_KEY, bad[i].how, READY_FAILED, "reachable.partly");
        reachable_is(bad[i].how, READY_SEEN_KEY, READY_FAILED, "reachable.partly");
        reachable_is(bad[i].how, READY_SEEN_NO_WAY, READY_FAILED, bad[i].code);
        reachable_is(READY_SEEN_NO_WAY, bad[i].how, READY_FAILED, bad[i].code);
    }
    /* An address family that this host does not have says nothing; it proves nothing either. */
    reachable_is(READY_SEEN_KEY, READY_SEEN_NO_WAY, READY_OK, "");
    reachable_is(READY_SEEN_NO_WAY, READY_SEEN_KEY, READY_OK, "");
    reachable_is(READY_SEEN_NO_WAY, READY_SEEN_NO_WAY, READY_FAILED, "reachable.no_way");
    struct ready_facts f = facts();
    struct ready_seen s = {.count = 0};
    struct ready_verdict v;
    ready_judge_reachable(&f, &s, &v);
    is(&v, READY_WAITING, "reachable.not_probed");
}

static void relay_is(const struct ready_facts *f, enum ready_state state, const char *code)
{
    struct ready_verdict v;
    ready_judge_relay(f, &v);
    is(&v, state, code);
}

static void relay(void **state)
{
    (void)state;
    struct ready_facts f = facts();
    relay_is(&f, READY_OK, "");
    f.relay_skew = -3600;
    relay_is(&f, READY_FAILED, "relay.clock");
    f.relay_skew = 0;
    f.relays_with_node = 0;
    relay_is(&f, READY_WAITING, "relay.no_session");
    f.connected = false;
    relay_is(&f, READY_FAILED, "relay.node_offline");
    f.relays_up = 0;
    relay_is(&f, READY_FAILED, "relay.down");
    f.relays = 0;
    relay_is(&f, READY_FAILED, "relay.none");
}

static void backend(void **state)
{
    (void)state;
    struct ready_facts f = facts();
    struct ready_verdict v;
    ready_judge_backend(&f, &v);
    is(&v, READY_OK, "");
    f.backend_ok = false;
    ready_judge_backend(&f, &v);
    is(&v, READY_FAILED, "backend.down");
    f.backend_known = false;
    ready_judge_backend(&f, &v);
    is(&v, READY_UNKNOWN, "backend.not_reported");
    f.backend_known = f.backend_ok = true; /* said before it went away */
    f.connected = false;
    ready_judge_backend(&f, &v);
    is(&v, READY_UNKNOWN, "backend.node_offline");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dns),
        cmocka_unit_test(reachable),
        cmocka_unit_test(relay),
        cmocka_unit_test(backend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
