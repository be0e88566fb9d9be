/*
 * IP sets against an obvious reference: a bit per address of 10.0.0.0/23 and of a small IPv6 block,
 * operations applied one by one. Random sets that refer to earlier and to later ones.
 */
#include <stdio.h>

#include "policy/model.h"
#include "tests/unit/support/test.h"

enum { SETS = 12, OPS = 8, ADDRS = 512, FAMILIES = 2, ROUNDS = 300 };

static uint32_t state_of_random;

static uint32_t roll(uint32_t n)
{
    state_of_random = state_of_random * 1664525u + 1013904223u;
    return (state_of_random >> 8) % n;
}

struct reference {
    bool has[SETS][FAMILIES][ADDRS];
};

static void put_address(struct buf *out, int family, uint32_t n)
{
    if (family) {
        buf_addf(out, "fd00::%x", n);
    } else {
        buf_addf(out, "10.0.%u.%u", n / 256, n % 256);
    }
}

static void
apply(struct reference *r, int set, bool remove, int family, uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i <= last; i++) {
        r->has[set][family][i] = !remove;
    }
}

static void apply_set(struct reference *r, int set, bool remove, int other)
{
    for (int f = 0; f < FAMILIES; f++) {
        for (uint32_t i = 0; i < ADDRS; i++) {
            if (r->has[other][f][i]) {
                r->has[set][f][i] = !remove;
            }
        }
    }
}

/* One operation, in text and on the reference. Set k may refer to sets below k, which stand in the
 * file in any order. */
static void operation(struct buf *out, struct reference *r, int set)
{
    bool remove = roll(3) == 0;
    int family = (int)roll(FAMILIES);
    uint32_t bits = roll(10), first = roll(ADDRS), last = first + roll(ADDRS - first);
    buf_addf(out, "\"%s ", remove ? "remove" : "add");
    switch (roll(set ? 4 : 3)) {
    case 0:
        put_address(out, family, first);
        last = first;
        apply(r, set, remove, family, first, last);
        break;
    case 1:
        first = first >> bits << bits;
        put_address(out, family, first);
        buf_addf(out, "/%u", (family ? 128u : 32u) - bits);
        apply(r, set, remove, family, first, first + (1u << bits) - 1);
        break;
    case 2:
        put_address(out, family, first);
        buf_adds(out, "-");
        put_address(out, family, last);
        apply(r, set, remove, family, first, last);
        break;
    default: { /* foreign enum: a number */
        int other = (int)roll((uint32_t)set);
        buf_addf(out, "ipset:s%d", other);
        apply_set(r, set, remove, other);
        break;
    }
    }
    buf_adds(out, "\",");
}

static void expect_set(const struct ip_set *s, const struct reference *r, int set, const char *text)
{
    for (size_t i = 0; i + 1 < s->range_count; i++) { /* sorted, disjoint, and not even adjacent */
        assert_true(ip_addr_cmp(&s->ranges[i].last, &s->ranges[i + 1].first) < 0);
    }
    for (int f = 0; f < FAMILIES; f++) {
        for (uint32_t i = 0; i < ADDRS; i++) {
            struct buf name = BUF_MAX(64);
            struct ip_addr a;
            put_address(&name, f, i);
            assert_true(ip_addr_parse(buf_slice(&name), &a));
            bool in = false;
            for (size_t k = 0; k < s->range_count; k++) {
                in |= ip_addr_cmp(&s->ranges[k].first, &a) <= 0 &&
                      ip_addr_cmp(&a, &s->ranges[k].last) <= 0;
            }
            if (in != r->has[set][f][i]) {
                fail_msg("s%d, %s: %d in %s", set, buf_cstr(&name), in, text);
            }
            buf_deinit(&name);
        }
    }
}

static void round_of(uint32_t seed)
{
    static struct reference r;
    struct buf bodies[SETS], text = BUF_MAX(64 * KIB);
    struct policy_diags diags;
    struct policy *p = NULL;
    int order[SETS];
    state_of_random = seed;
    memset(&r, 0, sizeof r);
    for (int k = 0; k < SETS; k++) {
        bodies[k] = BUF_MAX(4 * KIB);
        for (uint32_t n = roll(OPS); n; n--) {
            operation(&bodies[k], &r, k);
        }
        order[k] = k;
    }
    for (uint32_t k = SETS; k > 1; k--) { /* shuffled */
        uint32_t other = roll(k);
        int swap = order[k - 1];
        order[k - 1] = order[other];
        order[other] = swap;
    }
    buf_adds(&text, "{\"ipsets\":{");
    for (int k = 0; k < SETS; k++) {
        buf_addf(&text, "\"ipset:s%d\":[%s],", order[k], buf_cstr(&bodies[order[k]]));
    }
    buf_adds(&text, "}}");
    assert_int_equal(policy_load(buf_slice(&text), NULL, &diags, &p), 0);
    int set = (int)roll(SETS); /* looking at one of them finds a wrong one soon enough */
    char name[24];
    snprintf(name, sizeof name, "ipset:s%d", set);
    expect_set(&p->ipsets[policy_find_name(&p->ipset_names, slice_str(name))], &r, set,
               buf_cstr(&text));
    policy_diags_free(&diags);
    policy_unref(p);
    for (int k = 0; k < SETS; k++) {
        buf_deinit(&bodies[k]);
    }
    buf_deinit(&text);
}

static void random_sets(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        round_of(i);
    }
}

/* The ends of both families: nothing wraps. */
static void ends(void **state)
{
    (void)state;
    struct policy_diags diags;
    struct policy *p = NULL;
    const char *text =
        "{\"ipsets\":{\"ipset:a\":[\"add 0.0.0.0/0\",\"add ::/0\",\"remove 255.255.255.255\",\"remove "
        "::\",\"add 255.255.255.255\"],\"ipset:b\":[\"add ::/0\",\"remove "
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\",\"remove 0.0.0.0/0\"]}}";
    assert_int_equal(policy_load(slice_str(text), NULL, &diags, &p), 0);
    assert_int_equal(p->ipsets[0].range_count, 2);
    assert_int_equal(p->ipsets[0].ranges[0].last.bytes[15], 255);
    assert_int_equal(p->ipsets[0].ranges[1].first.bytes[15], 1);
    assert_int_equal(p->ipsets[1].range_count, 1);
    assert_int_equal(p->ipsets[1].ranges[0].last.bytes[15], 254);
    policy_diags_free(&diags);
    policy_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_sets), cmocka_unit_test(ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
