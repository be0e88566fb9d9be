/* One server is asked for the addresses of a name: the real one on loopback, and one that is
 * silent. */
#include "tests/unit/support/test.h"

#include <unistd.h>

#include "dns/dns.h"
#include "lib/base/wire.h"
#include "lib/io/loop.h"

struct world {
    struct loop *lp;
    struct dns_zone *zone;
    struct dns_server *server;
    struct addr at, silent;
    int silent_fd;
    struct dns_lookup_result result;
    int calls;
};

static int setup(void **state)
{
    static struct world w;
    char why[200];
    struct slice ns[] = {S("ns1.example.org")};
    struct dns_zone_opts opts = {S("ts.example.net"), ns, 1, S("hostmaster.example.net"), 30};
    struct addr any, a[3];
    w = (struct world){.lp = loop_new(), .zone = dns_zone_new(&opts, why, sizeof why)};
    assert_true(addr_from_ip(S("127.0.0.1"), 0, &any));
    int udp[] = {sock_bind_udp(&any, SOCK_PLAIN)}, tcp[] = {sock_listen(&any, 4, SOCK_PLAIN)};
    assert_true(udp[0] >= 0 && tcp[0] >= 0 && sock_local(udp[0], &w.at));
    w.silent_fd = sock_bind_udp(&any, SOCK_PLAIN);
    assert_true(w.silent_fd >= 0 && sock_local(w.silent_fd, &w.silent));
    struct dns_server_opts server = {udp, tcp, 1, 1};
    assert_int_equal(dns_server_start(&server, &w.server), 0);
    assert_true(addr_from_ip(S("198.51.100.7"), 0, &a[0]));
    assert_true(addr_from_ip(S("198.51.100.8"), 0, &a[1]));
    assert_true(addr_from_ip(S("2001:db8::7"), 0, &a[2]));
    assert_int_equal(dns_zone_set_addresses(w.zone, S("a.pango.ts.example.net"), a, 3, 60), 0);
    assert_int_equal(dns_zone_publish(w.zone, w.server), 0);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    dns_server_stop(w->server);
    dns_zone_free(w->zone);
    close(w->silent_fd);
    loop_free(w->lp);
    return 0;
}

static void on_result(void *arg, const struct dns_lookup_result *r)
{
    struct world *w = arg;
    w->result = *r;
    w->calls++;
}

static const struct dns_lookup_result *
ask(struct world *w, const struct addr *server, struct slice name, enum dns_lookup_mode mode)
{
    w->calls = 0;
    assert_non_null(dns_lookup_start(w->lp, server, name, mode, on_result, w));
    for (int i = 0; i < 400 && !w->calls; i++) {
        assert_int_equal(loop_turn(w->lp, MS(20)), 0);
    }
    assert_int_equal(loop_turn(w->lp, 0), 0);
    assert_int_equal(w->calls, 1);
    return &w->result;
}

static void both_families_are_found(void **state)
{
    struct world *w = *state;
    struct addr v4, v6;
    bool has4 = false, has6 = false;
    const struct dns_lookup_result *r =
        ask(w, &w->at, S("a.pango.ts.example.net"), DNS_LOOKUP_AUTHORITY);
    assert_int_equal(r->answer, DNS_LOOKUP_FOUND);
    assert_int_equal(r->count, 3);
    assert_true(addr_from_ip(S("198.51.100.8"), 0, &v4));
    assert_true(addr_from_ip(S("2001:db8::7"), 0, &v6));
    for (size_t i = 0; i < r->count; i++) {
        has4 = has4 || addr_same_ip(&r->addresses[i], &v4);
        has6 = has6 || addr_same_ip(&r->addresses[i], &v6);
    }
    assert_true(has4 && has6);
    assert_int_equal(ask(w, &w->at, S("a.pango.ts.example.net"), DNS_LOOKUP_RESOLVER)->answer,
                     DNS_LOOKUP_FOUND);
}

static void what_is_not_there(void **state)
{
    struct world *w = *state;
    assert_int_equal(ask(w, &w->at, S("b.pango.ts.example.net"), DNS_LOOKUP_AUTHORITY)->answer,
                     DNS_LOOKUP_NONE);
    assert_int_equal(ask(w, &w->at, S("ts.example.net"), DNS_LOOKUP_AUTHORITY)->answer,
                     DNS_LOOKUP_NONE);
    assert_int_equal(ask(w, &w->at, S("www.example.com"), DNS_LOOKUP_AUTHORITY)->answer,
                     DNS_LOOKUP_REFUSED);
    struct addr nowhere;
    assert_true(addr_from_ip(S("127.0.0.1"), 53, &nowhere));
    assert_null(dns_lookup_start(w->lp, &w->at, S("..."), DNS_LOOKUP_AUTHORITY, on_result, w));
}

/* It answers nothing, then rubbish, then an answer to another question: none of it counts. */
static void silence_and_rubbish(void **state)
{
    struct world *w = *state;
    char query[512];
    struct addr from = {.len = sizeof from.ss};
    w->calls = 0;
    struct dns_lookup *l = dns_lookup_start(w->lp, &w->silent, S("a.pango.ts.example.net"),
                                            DNS_LOOKUP_AUTHORITY, on_result, w);
    assert_non_null(l);
    ssize_t n = -1;
    for (int i = 0; i < 100 && n < 0; i++) {
        assert_int_equal(loop_turn(w->lp, MS(20)), 0);
        n = recvfrom(w->silent_fd, query, sizeof query, MSG_DONTWAIT, &from.sa, &from.len);
    }
    assert_true(n > 12);
    assert_int_equal(sendto(w->silent_fd, "x", 1, 0, &from.sa, from.len), 1);
    assert_int_equal(sendto(w->silent_fd, query, (size_t)n, 0, &from.sa, from.len), n); /* QR=0 */
    query[2] = (char)0x84;
    query[0] = (char)~query[0];
    assert_int_equal(sendto(w->silent_fd, query, (size_t)n, 0, &from.sa, from.len), n);
    for (int i = 0; i < 200 && !w->calls; i++) {
        assert_int_equal(loop_turn(w->lp, MS(20)), 0);
    }
    assert_int_equal(w->calls, 1);
    assert_int_equal(w->result.answer, DNS_LOOKUP_SILENT);
}

static void cancelled(void **state)
{
    struct world *w = *state;
    w->calls = 0;
    dns_lookup_cancel(NULL);
    dns_lookup_cancel(dns_lookup_start(w->lp, &w->at, S("a.pango.ts.example.net"),
                                       DNS_LOOKUP_AUTHORITY, on_result, w));
    for (int i = 0; i < 10; i++) {
        assert_int_equal(loop_turn(w->lp, MS(10)), 0);
    }
    assert_int_equal(w->calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_families_are_found),
        cmocka_unit_test(what_is_not_there),
        cmocka_unit_test(silence_and_rubbish),
        cmocka_unit_test(cancelled),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
