/* Addresses, prefixes, ranges and ports: one spelling, one value. */
#include "policy/addr.h"
#include "tests/unit/support/test.h"

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p;
    assert_true(ip_prefix_parse(slice_str(text), &p, NULL));
    return p;
}

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;
    assert_true(ip_addr_parse(slice_str(text), &a));
    return a;
}

static void assert_prints(const struct ip_prefix *p, const char *expected)
{
    struct buf out = BUF_MAX(64);
    ip_prefix_print(p, &out);
    assert_slice(buf_slice(&out), expected);
    buf_deinit(&out);
}

static void addresses(void **state)
{
    (void)state;
    struct ip_addr a;
    assert_int_equal(addr("100.64.0.1").family, IP_V4);
    assert_int_equal(addr("100.64.0.1").bytes[15], 1);
    assert_int_equal(addr("fd7a:115c:a1e0::1").family, IP_V6);
    static const char *const bad[] = {
        "",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "256.0.0.1",
        " 1.2.3.4",
        "1.2.3.4 ",
        "fe80::1%eth0",
        "::1::",
        "1.2.3.4/32",
        "x",
        "1111:2222:3333:4444:5555:6666:123.123.123.123.and.far.too.long.for.an.address"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(ip_addr_parse(slice_str(bad[i]), &a));
    }
    assert_false(ip_addr_parse(slice_of("1.2.3.4\0", 8), &a));
    struct ip_addr low = addr("100.64.0.1"), high = addr("100.64.0.2"), six = addr("::");
    assert_true(ip_addr_cmp(&low, &high) < 0 && ip_addr_cmp(&high, &low) > 0);
    assert_true(ip_addr_cmp(&high, &six) < 0 && ip_addr_cmp(&six, &high) > 0);
    assert_int_equal(ip_addr_cmp(&low, &low), 0);
}

static void prefixes(void **state)
{
    (void)state;
    struct ip_prefix p;
    bool host_bits = true;
    assert_true(ip_prefix_parse(S("10.0.0.0/8"), &p, &host_bits));
    assert_false(host_bits);
    assert_prints(&p, "10.0.0.0/8");
    assert_true(ip_prefix_parse(S("10.1.2.3/8"), &p, &host_bits));
    assert_true(host_bits);
    assert_prints(&p, "10.0.0.0/8");
    assert_true(ip_prefix_parse(S("255.255.255.255/31"), &p, &host_bits));
    assert_true(host_bits);
    assert_prints(&p, "255.255.255.254/31");
    p = prefix("100.64.0.1");
    assert_int_equal(p.bits, 32);
    assert_prints(&p, "100.64.0.1");
    p = prefix("fd7a:115c:a1e0::1");
    assert_int_equal(p.bits, 128);
    assert_prints(&p, "fd7a:115c:a1e0::1");
    p = prefix("fd7a:115c:a1e0::1/48");
    assert_prints(&p, "fd7a:115c:a1e0::/48");
    p = prefix("0.0.0.0/0");
    assert_prints(&p, "0.0.0.0/0");
    static const char *const bad[] = {
        "",       "10.0.0.0/33", "10.0.0.0/",    "10.0.0.0/08", "10.0.0.0/-1",
        "::/129", "/8",          "10.0.0.0/8/8", "10.0.0.0/ 8", "host"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(ip_prefix_parse(slice_str(bad[i]), &p, NULL));
    }
    struct buf out = BUF_MAX(8);
    ip_addr_print(&(struct ip_addr){0}, &out);
    assert_slice(buf_slice(&out), "");
    buf_deinit(&out);
}

static void containment(void **state)
{
    (void)state;
    struct ip_prefix low = prefix("100.64.0.0/30"), all4 = prefix("0.0.0.0/0");
    struct ip_prefix ula = prefix("fd7a:115c:a1e0::/48"), all6 = prefix("::/0");
    struct ip_addr in = addr("100.64.0.3"), out = addr("100.64.0.4");
    struct ip_addr six = addr("fd7a:115c:a1e0::3"), mapped = addr("::100.64.0.3");
    struct ip_addr none = {0};
    assert_true(ip_prefix_has(&low, &in) && !ip_prefix_has(&low, &out));
    assert_true(ip_prefix_has(&all4, &out) && !ip_prefix_has(&all4, &six));
    assert_true(ip_prefix_has(&all6, &six) && !ip_prefix_has(&all6, &in));
    assert_true(ip_prefix_has(&ula, &six));
    assert_false(ip_prefix_has(&low, &mapped)); /* the same bytes, another family */
    struct ip_prefix nothing = {0};
    assert_false(ip_prefix_has(&nothing, &none));
    assert_true(ip_prefix_covers(&all4, &low) && !ip_prefix_covers(&low, &all4));
    assert_true(ip_prefix_covers(&low, &low) && !ip_prefix_covers(&all6, &low));
    struct ip_range r = ip_prefix_range(&low);
    assert_int_equal(ip_addr_cmp(&r.last, &in), 0);
    assert_int_equal(ip_addr_cmp(&r.first, &low.addr), 0);
    struct ip_prefix odd = prefix("fd00::/13");
    struct ip_addr last = addr("fd07:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    r = ip_prefix_range(&odd);
    assert_int_equal(ip_addr_cmp(&r.last, &last), 0);
    struct ip_prefix one = prefix("100.64.0.3");
    r = ip_prefix_range(&one);
    assert_int_equal(ip_addr_cmp(&r.first, &r.last), 0);
}

static void ranges(void **state)
{
    (void)state;
    struct ip_range r;
    assert_true(ip_range_parse(S("10.0.0.1-10.0.0.9"), &r));
    assert_int_equal(r.first.bytes[15], 1);
    assert_int_equal(r.last.bytes[15], 9);
    assert_true(ip_range_parse(S("::1-::1"), &r));
    static const char *const bad[] = {"10.0.0.1",  "10.0.0.9-10.0.0.1", "10.0.0.1-::1",
                                      "10.0.0.1-", "-10.0.0.1",         "10.0.0.1 - 10.0.0.2"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(ip_range_parse(slice_str(bad[i]), &r));
    }
}

static void ports(void **state)
{
    (void)state;
    struct port_range r;
    assert_true(port_range_parse(S("443"), &r) && r.first == 443 && r.last == 443);
    assert_true(port_range_parse(S("9000-9010"), &r) && r.first == 9000 && r.last == 9010);
    assert_true(port_range_parse(S("*"), &r) && r.first == 0 && r.last == 65535);
    static const char *const bad[] = {"",    "0",     "0-5",  "5-0",  "65536", "1-65536", "9-8",
                                      "ssh", "1-2-3", " 443", "443-", "-443",  "+1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(port_range_parse(slice_str(bad[i]), &r));
    }
    assert_false(port_ranges_have(NULL, 0, 443));
}

static void assert_list(const char *list, const char *expected)
{
    struct port_range r[8];
    size_t count;
    struct buf out = BUF_MAX(256);
    assert_true(port_list_parse(slice_str(list), r, ARRAY_LEN(r), &count));
    port_ranges_print(r, count, &out);
    assert_slice(buf_slice(&out), expected);
    buf_deinit(&out);
}

static void lists(void **state)
{
    (void)state;
    assert_list("443,8443,10000", "443,8443,10000");
    assert_list("10000, 443 ,8443", "443,8443,10000");
    assert_list("444,443,445,443", "443-445");
    assert_list("65535,1-65534", "1-65535");
    assert_list("20-30,5-25,31,33", "5-31,33");
    assert_list("5-9,6-7,10", "5-10");
    struct port_range r[2];
    size_t count = 7;
    static const char *const bad[] = {"", ",", "443,", "443,*", "443,x", "1,2,3"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(port_list_parse(slice_str(bad[i]), r, ARRAY_LEN(r), &count));
    }
    assert_int_equal(count, 7);
    struct port_range two[] = {{10, 20}, {443, 443}};
    assert_true(port_ranges_have(two, 2, 10) && port_ranges_have(two, 2, 20));
    assert_true(port_ranges_have(two, 2, 443) && !port_ranges_have(two, 2, 21));
    assert_false(port_ranges_have(two, 2, 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses), cmocka_unit_test(prefixes), cmocka_unit_test(containment),
        cmocka_unit_test(ranges),    cmocka_unit_test(ports),    cmocka_unit_test(lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
