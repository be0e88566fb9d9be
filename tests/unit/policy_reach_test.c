/*
 * Reachability against the slow judge of support/reach_world.h on random tailnets and policies, and
 * the sentences of policy.md 2.2, 2.4 to 2.6 one by one.
 */
#include "policy/reach.h"

#include "lib/base/mem.h"
#include "tests/unit/support/reach_world.h"

enum { WORLDS = 3000 };

static const int protos[] = {0, 6, 17, 1, 58, 132, 47}, ports[] = {22, 80, 443};

static void complain(const struct world *w, const char *what, int src, int dst, int proto, int port)
{
    struct buf text = BUF_MAX(64 * KIB);
    world_text(w, &text);
    for (int i = 0; i < w->device_count; i++) {
        const struct w_device *d = &w->devices[i];
        print_message("d%d: user %d, tags %x, v4 %d, v6 %d%s\n", i, d->user, d->tags, d->v4, d->v6,
                      d->external ? ", external" : "");
    }
    fail_msg("%s: d%d to d%d, protocol %d, port %d, in\n%s", what, src, dst, proto, port,
             buf_cstr(&text));
}

static void compare_devices(const struct world *w, const struct policy_reach *r)
{
    for (int i = 0; i < w->device_count * w->device_count; i++) {
        int src = i / w->device_count, dst = i % w->device_count;
        for (size_t k = 0; k < ARRAY_LEN(protos); k++) { /* another port for each pair */
            int proto = protos[k], port = ports[(k + (size_t)i) % ARRAY_LEN(ports)];
            if (policy_reach_device(r, (size_t)src, (size_t)dst, (uint16_t)proto, (uint16_t)port) !=
                w_reach(w, &w->devices[src], &w->devices[dst],
                        &(struct w_ask){proto, port, NULL, false})) {
                complain(w, "judged otherwise", src, dst, proto, port);
            }
        }
    }
}

/* Addresses: of a device under one of its two, and of nobody. */
static void compare_address(const struct world *w, const struct policy_reach *r, int src, int last)
{
    char text[60];
    struct ip_addr addr;
    struct w_device dst = {.user = -1, .v4 = last};
    bool outside = true;
    snprintf(text, sizeof text, "100.64.0.%d", last);
    assert_true(ip_addr_parse(slice_str(text), &addr));
    for (int i = 0; i < w->device_count; i++) {
        if (w->devices[i].v4 == last) {
            dst = w->devices[i];
            dst.v6 = 0;
            outside = dst.external;
        }
    }
    for (size_t k = 0; k < ARRAY_LEN(protos); k++) {
        if (policy_reach_addr(r, (size_t)src, &addr, (uint16_t)protos[k], 22) !=
            w_reach(w, &w->devices[src], &dst, &(struct w_ask){protos[k], 22, NULL, outside})) {
            complain(w, text, src, last, protos[k], 22);
        }
    }
}

struct seen {
    int last;
    unsigned devices;
};

static void see(void *arg, size_t device)
{
    struct seen *s = arg;
    assert_true((int)device > s->last); /* in order, once */
    s->last = (int)device;
    s->devices |= 1u << device;
}

static void compare_who(const struct world *w, const struct policy_reach *r, int dst)
{
    for (size_t k = 0; k < ARRAY_LEN(ports); k++) {
        struct seen got = {.last = -1};
        unsigned want = 0;
        policy_reach_who(r, (size_t)dst, 6, (uint16_t)ports[k], see, &got);
        for (int i = 0; i < w->device_count; i++) {
            bool yes = w_reach(w, &w->devices[i], &w->devices[dst],
                               &(struct w_ask){6, ports[k], NULL, false});
            want |= (unsigned)yes << i;
        }
        if (got.devices != want) {
            complain(w, "who", (int)got.devices, dst, 6, ports[k]);
        }
    }
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        struct world w;
        struct buf text = BUF_MAX(64 * KIB);
        struct policy *p = NULL;
        struct policy_reach *r = NULL;
        world_make(&w, seed);
        world_text(&w, &text);
        struct policy_facts *f = world_facts(&w);
        w_load(buf_slice(&text), f, &p);
        assert_int_equal(policy_reach_new(p, f, &r), 0);
        policy_unref(p); /* it has its own */
        policy_facts_unref(f);
        compare_devices(&w, r);
        for (int i = 0; i < w.device_count; i++) {
            compare_address(&w, r, i, 3);
            compare_address(&w, r, i, 10);
            compare_address(&w, r, i, 99);
            compare_who(&w, r, i);
        }
        assert_true(policy_reach_classes(r) <= (size_t)w.device_count);
        policy_reach_free(r);
        buf_deinit(&text);
    }
}

/* ---- many addresses: parts and sets ---- */

enum { SPANS = 300, POINTS = 150 };

struct span {
    uint32_t first, last; /* of 100.64.0.0 and on */
    char text[60];
};

static void make_span(struct world *w, struct span *s, int i)
{
    uint32_t bits = w_random(w, 13), size = 1u << bits, at = w_random(w, 1u << 14) & ~(size - 1);
    *s = (struct span){.first = at, .last = at + size - 1};
    if (i % 3) {
        snprintf(s->text, sizeof s->text, "100.64.%u.%u/%u", at >> 8, at & 255, 32 - bits);
        return;
    }
    s->last = at + w_random(w, 900);
    snprintf(s->text, sizeof s->text, "ipset:s%d", i);
}

/* Rule i lets the address selector i reach port i + 1 of the one server. */
static void put_spans(const struct span *spans, struct buf *text)
{
    buf_adds(text, "{\"tagOwners\":{\"tag:web\":[]},\"ipsets\":{\n");
    for (int i = 0; i < SPANS; i += 3) {
        buf_addf(text, "\"ipset:s%d\":[\"100.64.%u.%u-100.64.%u.%u\"],\n", i, spans[i].first >> 8,
                 spans[i].first & 255, spans[i].last >> 8, spans[i].last & 255);
    }
    buf_adds(text, "},\"acls\":[\n");
    for (int i = 0; i < SPANS; i++) {
        buf_addf(text, "{\"action\":\"accept\",\"src\":[\"%s\"],\"dst\":[\"tag:web:%d\"]},\n",
                 spans[i].text, i + 1);
    }
    buf_adds(text, "]}");
}

static struct policy_facts *points(struct world *w, uint32_t at[POINTS])
{
    struct policy_facts *f = policy_facts_new();
    struct slice tag = S("tag:web");
    struct policy_device server = {
        .id = 1, .name = S("server"), .user = POLICY_NO_USER, .tags = &tag, .tag_count = 1};
    policy_facts_device(f, &server);
    for (int i = 0; i < POINTS; i++) {
        struct policy_device d = {.id = i + 2, .user = POLICY_NO_USER};
        char text[40];
        at[i] = w_random(w, 1u << 14);
        snprintf(text, sizeof text, "100.64.%u.%u", at[i] >> 8, at[i] & 255);
        d.name = slice_str(text);
        assert_true(ip_addr_parse(slice_str(text), &d.ipv4));
        policy_facts_device(f, &d);
    }
    policy_facts_seal(f);
    return f;
}

struct tally {
    size_t count, sum;
};

static void count(void *arg, size_t device)
{
    struct tally *t = arg;
    t->count++;
    t->sum += device * device;
}

static void test_many_addresses(void **state)
{
    static struct span spans[SPANS];
    struct world w = {.seed = 99};
    struct buf text = BUF_MAX(MIB);
    struct policy *p = NULL;
    struct policy_reach *r = NULL;
    uint32_t at[POINTS];
    (void)state;
    for (int i = 0; i < SPANS; i++) {
        make_span(&w, &spans[i], i);
    }
    put_spans(spans, &text);
    struct policy_facts *f = points(&w, at);
    w_load(buf_slice(&text), f, &p);
    assert_int_equal(policy_reach_new(p, f, &r), 0);
    for (int i = 0; i < POINTS; i++) {
        for (int k = 0; k < SPANS; k++) {
            bool want = at[i] >= spans[k].first && at[i] <= spans[k].last;
            if (policy_reach_device(r, (size_t)i + 1, 0, 6, (uint16_t)(k + 1)) != want) {
                fail_msg("%u and %s", at[i], spans[k].text);
            }
        }
    }
    for (int k = 0; k < SPANS; k += 10) {
        struct tally got = {0}, want = {0};
        policy_reach_who(r, 0, 6, (uint16_t)(k + 1), count, &got);
        for (int i = 0; i < POINTS; i++) {
            if (at[i] >= spans[k].first && at[i] <= spans[k].last) {
                count(&want, (size_t)i + 1);
            }
        }
        assert_int_equal(got.count, want.count);
        assert_int_equal(got.sum, want.sum);
    }
    policy_reach_free(r);
    policy_unref(p);
    policy_facts_unref(f);
    buf_deinit(&text);
}

/* ---- the ends of the address space ---- */

static void test_ends(void **state)
{
    static const struct {
        const char *rule, *addr;
        bool reached;
    } rows[] = {
        {"0.0.0.0/0", "0.0.0.0", true},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "::", false},
        {"255.255.255.255", "255.255.255.255", true},
        {"255.255.255.255", "255.255.255.254", false},
        {"254.0.0.0/7", "255.255.255.255", true},
        {"254.0.0.0/7", "253.255.255.255", false},
        {"::/0", "::", true},
        {"::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
        {"::/0", "1.2.3.4", false},
        {"ffff::/16", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
        {"ffff::/16", "fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false},
        {"2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff", true},
        {"2001:db8::/64", "2001:db8:0:1::", false},
        {"::ffff:1.2.3.4", "1.2.3.4", false},
        {"autogroup:internet", "9.255.255.255", true},
        {"autogroup:internet", "10.0.0.0", false},
        {"autogroup:internet", "100.63.255.255", true},
        {"autogroup:internet", "100.64.0.0", false},
        {"autogroup:internet", "169.254.1.1", false},
        {"autogroup:internet", "172.32.0.0", true},
        {"autogroup:internet", "172.16.0.0", false},
        {"autogroup:internet", "192.168.255.255", false},
        {"autogroup:internet", "192.169.0.0", true},
        {"autogroup:internet", "3fff::1", true},
        {"autogroup:internet", "4000::", false},
        {"autogroup:internet", "fd7a:115c:a1e0::1", false},
        {"*", "4000::", true},
    };
    struct world w = {.device_count = 1, .devices = {{.user = 0, .v4 = 1}}};
    struct policy_facts *f = world_facts(&w);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf text = BUF_MAX(4 * KIB);
        struct ip_addr addr;
        struct policy *p = NULL;
        struct policy_reach *r = NULL;
        bool six = strstr(rows[i].rule, "::") != NULL;
        buf_addf(&text,
                 "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"%s%s%s:*\"]}]}",
                 six ? "[" : "", rows[i].rule, six ? "]" : "");
        w_load(buf_slice(&text), f, &p);
        assert_int_equal(policy_reach_new(p, f, &r), 0);
        assert_true(ip_addr_parse(slice_str(rows[i].addr), &addr));
        if (policy_reach_addr(r, 0, &addr, 6, 1) != rows[i].reached) {
            fail_msg("%s and %s", rows[i].rule, rows[i].addr);
        }
        policy_reach_free(r);
        policy_unref(p);
        buf_deinit(&text);
    }
    policy_facts_unref(f);
}

/* ---- classes ---- */

static void test_classes(void **state)
{
    /* What no rule tells apart is one class: here by user or tags, and by one address. */
    struct world w = {.device_count = 6,
                      .devices = {{.user = 0, .v4 = 1},
                                  {.user = 0, .v4 = 2},
                                  {.user = 0, .v4 = 3},
                                  {.user = -1, .tags = 3, .v4 = 4},
                                  {.user = -1, .tags = 3, .v4 = 5},
                                  {.user = 1, .v4 = 6, .external = true}}};
    struct policy_facts *f = world_facts(&w);
    struct policy *p = NULL;
    struct policy_reach *r = NULL;
    (void)state;
    policy_reach_free(NULL);
    w_load(S("{\"acls\":[{\"action\":\"accept\",\"src\":[\"100.64.0.3\"],\"dst\":[\"*:*\"]}]}"), f,
           &p);
    assert_int_equal(policy_reach_new(p, f, &r), 0);
    assert_int_equal(policy_reach_classes(r), 3);
    assert_true(policy_reach_memory(r) > sizeof(void *) && policy_reach_memory(r) < MIB);
    policy_reach_free(r);
    policy_unref(p);
    policy_facts_unref(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_many_addresses),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
