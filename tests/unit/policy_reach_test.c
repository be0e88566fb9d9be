/*
 * Reachability against the slow judge of support/reach_world.h on random tailnets and policies, and
 * the sentences of policy.md 2.2, 2.4 to 2.6 one by one.
 */
#include "policy/reach.h"

#include "lib/base/mem.h"
#include "tests/unit/support/reach_world.h"

enum { WORLDS = 4000 };

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
        for (size_t k = 0; k < ARRAY_LEN(protos) * ARRAY_LEN(ports); k++) {
            int proto = protos[k / ARRAY_LEN(ports)], port = ports[k % ARRAY_LEN(ports)];
            if (policy_reach_device(r, (size_t)src, (size_t)dst, (uint16_t)proto, (uint16_t)port) !=
                w_reach(w, &w->devices[src], &w->devices[dst], proto, port, NULL, false)) {
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
            w_reach(w, &w->devices[src], &dst, protos[k], 22, NULL, outside)) {
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
            bool yes = w_reach(w, &w->devices[i], &w->devices[dst], 6, ports[k], NULL, false);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
