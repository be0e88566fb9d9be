/* The answering rules, with ldns as the oracle: it builds the questions and parses the answers. */
#include "tests/unit/support/test.h"

#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>

#include "dns/answer.h"
#include "dns/zone.h"
#include "lib/base/mem.h"

static struct dns_snapshot *snap;
static uint8_t out[DNS_REPLY_MAX];
static struct dns_counters counters;

static int setup(void **state)
{
    (void)state;
    char why[200];
    struct slice ns[] = {S("ns1.example.org"), S("ns2.example.org")};
    struct dns_zone_opts opts = {S("ts.example.net"), ns, 2, S("hostmaster.example.net"), 30};
    struct dns_zone *z = dns_zone_new(&opts, why, sizeof(why));
    assert_non_null(z);
    struct addr a[3];
    assert_true(addr_from_ip(S("198.51.100.7"), 0, &a[0]));
    assert_true(addr_from_ip(S("198.51.100.8"), 0, &a[1]));
    assert_true(addr_from_ip(S("2001:db8::7"), 0, &a[2]));
    assert_int_equal(dns_zone_set_addresses(z, S("laptop.pango.ts.example.net"), a, 3, 60), 0);
    assert_int_equal(
        dns_zone_add_txt(z, S("_acme-challenge.laptop.pango.ts.example.net"), S("one"), 0), 0);
    assert_int_equal(
        dns_zone_add_txt(z, S("_acme-challenge.laptop.pango.ts.example.net"), S("two"), 0), 0);
    struct dns_caa caa[] = {{0, S("issue"), S("ca.example; validationmethods=dns-01")},
                            {0, S("issuewild"), S(";")}};
    assert_int_equal(dns_zone_set_caa(z, S("pango.ts.example.net"), caa, 2, 300), 0);
    char big[301];
    memset(big, 'x', sizeof(big));
    for (const char *c = "01234567"; *c; c++) {
        big[0] = *c;
        assert_int_equal(dns_zone_add_txt(z, S("big.ts.example.net"), slice_of(big, 300), 0), 0);
    }
    assert_int_equal(dns_zone_add_txt(z, S("other.example.net"), S("v"), 0), -EINVAL);
    assert_int_equal(dns_zone_add_txt(z, S("xts.example.net"), S("v"), 0), -EINVAL);
    assert_int_equal(dns_zone_add_txt(z, S("UPPER.ts.example.net"), S("v"), 0), -EINVAL);
    dns_zone_next_serial(z);
    snap = dns_zone_compile(z);
    dns_zone_free(z);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dns_snapshot_free(snap);
    return 0;
}

/* Asks; NULL when nothing is said. The caller frees. */
static ldns_pkt *ask_as(
    const char *name, ldns_rr_type type, ldns_rr_class class, uint16_t edns, enum dns_transport t)
{
    ldns_pkt *q = NULL;
    ldns_pkt *a = NULL;
    assert_int_equal(ldns_pkt_query_new_frm_str(&q, name, type, class, LDNS_RD), LDNS_STATUS_OK);
    ldns_pkt_set_id(q, 4711);
    if (edns) {
        ldns_pkt_set_edns_udp_size(q, edns);
    }
    uint8_t *wire = NULL;
    size_t len = 0;
    assert_int_equal(ldns_pkt2wire(&wire, q, &len), LDNS_STATUS_OK);
    size_t n = dns_answer(snap, slice_of(wire, len), t, out, &counters);
    if (n) {
        assert_int_equal(ldns_wire2pkt(&a, out, n), LDNS_STATUS_OK);
        assert_int_equal(ldns_pkt_id(a), 4711);
        assert_true(ldns_pkt_qr(a));
        assert_false(ldns_pkt_ra(a));
        assert_true(ldns_pkt_rd(a));
    }
    free(wire); /* foreign */
    ldns_pkt_free(q);
    return a;
}

static ldns_pkt *ask(const char *name, ldns_rr_type type)
{
    return ask_as(name, type, LDNS_RR_CLASS_IN, 0, DNS_UDP);
}

static void assert_answer(ldns_pkt *a, int rcode, size_t answers, bool soa)
{
    assert_non_null(a);
    assert_int_equal(ldns_pkt_get_rcode(a), rcode);
    assert_int_equal(ldns_pkt_ancount(a), answers);
    assert_int_equal(ldns_pkt_nscount(a), soa);
    if (soa) {
        ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_authority(a), 0);
        assert_int_equal(ldns_rr_get_type(rr), LDNS_RR_TYPE_SOA);
        assert_int_equal(ldns_rr_ttl(rr), 30);
        char *owner = ldns_rdf2str(ldns_rr_owner(rr));
        assert_string_equal(owner, "ts.example.net.");
        free(owner);
    }
    ldns_pkt_free(a);
}

static void answers_what_is_there(void **state)
{
    (void)state;
    assert_answer(ask("laptop.pango.ts.example.net.", LDNS_RR_TYPE_A), 0, 2, false);
    assert_answer(ask("laptop.pango.ts.example.net.", LDNS_RR_TYPE_AAAA), 0, 1, false);
    assert_answer(ask("_acme-challenge.laptop.pango.ts.example.net.", LDNS_RR_TYPE_TXT), 0, 2,
                  false);
    assert_answer(ask("pango.ts.example.net.", LDNS_RR_TYPE_CAA), 0, 2, false);
    assert_answer(ask("ts.example.net.", LDNS_RR_TYPE_NS), 0, 2, false);
    assert_answer(ask("ts.example.net.", LDNS_RR_TYPE_SOA), 0, 1, false);
    ldns_pkt *a = ask("laptop.pango.ts.example.net.", LDNS_RR_TYPE_A);
    char *text = ldns_rr_list2str(ldns_pkt_answer(a));
    assert_non_null(strstr(text, "laptop.pango.ts.example.net.\t60\tIN\tA\t198.51.100.7"));
    assert_true(ldns_pkt_aa(a));
    free(text);
    ldns_pkt_free(a);
}

static void says_no_with_soa(void **state)
{
    (void)state;
    assert_answer(ask("nobody.pango.ts.example.net.", LDNS_RR_TYPE_A), 3, 0, true);
    assert_answer(ask("laptop.pango.ts.example.net.", LDNS_RR_TYPE_TXT), 0, 0, true);
    assert_answer(ask("laptop.pango.ts.example.net.", LDNS_RR_TYPE_CAA), 0, 0,
                  true); /* never SERVFAIL: CAs would refuse */
    assert_answer(ask("x.laptop.pango.ts.example.net.", LDNS_RR_TYPE_A), 3, 0, true);
}

static void empty_non_terminal_is_nodata(void **state)
{
    (void)state;
    char why[100];
    struct slice ns = S("ns1.example.org");
    struct dns_zone_opts opts = {S("ts.example.net"), &ns, 1, S("h.example.net"), 30};
    struct dns_zone *z = dns_zone_new(&opts, why, sizeof(why));
    assert_int_equal(dns_zone_add_txt(z, S("a.b.c.ts.example.net"), S("v"), 0), 0);
    struct dns_snapshot *keep = snap;
    snap = dns_zone_compile(z);
    assert_answer(ask("b.c.ts.example.net.", LDNS_RR_TYPE_A), 0, 0, true);
    assert_answer(ask("c.ts.example.net.", LDNS_RR_TYPE_TXT), 0, 0, true);
    assert_answer(ask("d.ts.example.net.", LDNS_RR_TYPE_TXT), 3, 0, true);
    dns_snapshot_free(snap);
    assert_int_equal(dns_zone_del_txt(z, S("a.b.c.ts.example.net"), S("v")), 0);
    snap = dns_zone_compile(z);
    assert_answer(ask("b.c.ts.example.net.", LDNS_RR_TYPE_A), 3, 0, true);
    dns_snapshot_free(snap);
    dns_zone_free(z);
    snap = keep;
}

static void refuses_what_is_not_ours(void **state)
{
    (void)state;
    assert_answer(ask("example.net.", LDNS_RR_TYPE_A), 5, 0, false);
    assert_answer(ask("xts.example.net.", LDNS_RR_TYPE_A), 5, 0,
                  false); /* a suffix of octets, not of labels */
    assert_answer(ask(".", LDNS_RR_TYPE_NS), 5, 0, false);
    assert_answer(ask("ts.example.net.", LDNS_RR_TYPE_AXFR), 5, 0, false);
    assert_answer(ask_as("version.bind.", LDNS_RR_TYPE_TXT, LDNS_RR_CLASS_CH, 0, DNS_UDP), 5, 0,
                  false);
}

static void keeps_the_case_of_the_question(void **state)
{
    (void)state;
    ldns_pkt *a = ask("LapTop.pAngo.TS.example.NET.", LDNS_RR_TYPE_A);
    assert_int_equal(ldns_pkt_ancount(a), 2);
    assert_memory_equal(out + 12, "\x06LapTop\x05pAngo\x02TS", 16);
    ldns_pkt_free(a);
}

static void truncates_by_udp_and_not_by_tcp(void **state)
{
    (void)state;
    ldns_pkt *a = ask("big.ts.example.net.", LDNS_RR_TYPE_TXT);
    assert_true(ldns_pkt_tc(a));
    assert_answer(a, 0, 0, false);
    a = ask_as("big.ts.example.net.", LDNS_RR_TYPE_TXT, LDNS_RR_CLASS_IN, 4096, DNS_UDP);
    assert_true(ldns_pkt_tc(a));
    assert_true(ldns_pkt_edns(a));
    ldns_pkt_free(a);
    a = ask_as("big.ts.example.net.", LDNS_RR_TYPE_TXT, LDNS_RR_CLASS_IN, 0, DNS_TCP);
    assert_false(ldns_pkt_tc(a));
    assert_answer(a, 0, 8, false);
}

static void edns_only_when_asked(void **state)
{
    (void)state;
    ldns_pkt *a = ask("laptop.pango.ts.example.net.", LDNS_RR_TYPE_A);
    assert_false(ldns_pkt_edns(a));
    ldns_pkt_free(a);
    a = ask_as("laptop.pango.ts.example.net.", LDNS_RR_TYPE_A, LDNS_RR_CLASS_IN, 1232, DNS_UDP);
    assert_true(ldns_pkt_edns(a));
    assert_int_equal(ldns_pkt_edns_udp_size(a), 1232);
    assert_answer(a, 0, 2, false);
}

static size_t raw(const char *bytes, size_t n)
{
    return dns_answer(snap, slice_of(bytes, n), DNS_UDP, out, &counters);
}

#define HEAD(flags, qd, an, ns, ar) "\x12\x34" flags "\0" qd "\0" an "\0" ns "\0" ar
#define QUESTION \
    "\x02ts\x07" \
    "example\x03net\0\0\x06\0\x01"
#define OPT_RR   "\0\0\x29\x04\xd0\0\0\0\0\0\0"
#define RAW(lit) raw((lit), sizeof(lit) - 1)

static void malformed_and_strange(void **state)
{
    (void)state;
    assert_int_equal(RAW("\x12\x34\x01"), 0);                                  /* a runt */
    assert_int_equal(RAW(HEAD("\x80\0", "\1", "\0", "\0", "\0") QUESTION), 0); /* a reply */
    assert_true(RAW(HEAD("\x01\0", "\0", "\0", "\0", "\0")) &&
                (out[3] & 15) == 1); /* no question */
    assert_true(RAW(HEAD("\x01\0", "\2", "\0", "\0", "\0") QUESTION QUESTION) &&
                (out[3] & 15) == 1);
    assert_true(RAW(HEAD("\x01\0", "\1", "\0", "\0", "\0") "\x3f"
                                                           "abc") &&
                (out[3] & 15) == 1); /* cut name */
    assert_true(RAW(HEAD("\x01\0", "\1", "\0", "\0", "\0") "\xc0\x0c\0\1\0\1") &&
                (out[3] & 15) == 1); /* pointer */
    assert_true(RAW(HEAD("\x01\0", "\1", "\0", "\0", "\0") QUESTION "x") &&
                (out[3] & 15) == 1); /* trailing octet */
    assert_true(RAW(HEAD("\x01\0", "\1", "\0", "\0", "\2") QUESTION OPT_RR OPT_RR) &&
                (out[3] & 15) == 1);
    assert_true(RAW(HEAD("\x29\0", "\1", "\0", "\0", "\0") QUESTION) &&
                (out[3] & 15) == 4); /* opcode UPDATE */
    assert_true(RAW(HEAD("\x01\x70", "\1", "\0", "\0", "\0") QUESTION) &&
                !(out[3] & 0x70)); /* Z, AD, CD clear */
    /* EDNS version 1: BADVERS, extended code 1 in the OPT */
    size_t n = RAW(HEAD("\x01\0", "\1", "\0", "\0", "\1") QUESTION "\0\0\x29\x04\xd0\0\1\0\0\0\0");
    assert_true(n && (out[3] & 15) == 0 && out[n - 6] == 1);
}

static void any_gets_one_rrset(void **state)
{
    (void)state;
    ldns_pkt *a = ask("laptop.pango.ts.example.net.", LDNS_RR_TYPE_ANY);
    assert_int_equal(ldns_pkt_get_rcode(a), 0);
    assert_true(ldns_pkt_ancount(a) == 2 || ldns_pkt_ancount(a) == 1);
    ldns_pkt_free(a);
}

static void serial_grows(void **state)
{
    (void)state;
    char why[100];
    struct slice ns = S("ns1.example.org");
    struct dns_zone_opts opts = {S("ts.example.net"), &ns, 1, S("h.example.net"), 30};
    struct dns_zone *z = dns_zone_new(&opts, why, sizeof(why));
    uint32_t last = 0;
    for (int i = 0; i < 5; i++) {
        dns_zone_next_serial(z);
        assert_true(dns_zone_serial(z) > last);
        last = dns_zone_serial(z);
    }
    dns_zone_free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_what_is_there),
        cmocka_unit_test(says_no_with_soa),
        cmocka_unit_test(empty_non_terminal_is_nodata),
        cmocka_unit_test(refuses_what_is_not_ours),
        cmocka_unit_test(keeps_the_case_of_the_question),
        cmocka_unit_test(truncates_by_udp_and_not_by_tcp),
        cmocka_unit_test(edns_only_when_asked),
        cmocka_unit_test(malformed_and_strange),
        cmocka_unit_test(any_gets_one_rrset),
        cmocka_unit_test(serial_grows),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
