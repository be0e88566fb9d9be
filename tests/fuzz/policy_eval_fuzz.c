/*
 * Any policy that loads, on one tailnet: what is asked in two ways has one answer. Explain judges
 * every target by itself, so it is the slow judge here; every capability map is JSON; a device
 * alone has what it has among others; and nothing has changed between a snapshot and its like.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/hujson/hujson.h"
#include "policy/check.h"
#include "policy/explain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

static const struct policy_facts *facts(void)
{
    static const char text[] =
        "{\"domains\":[\"example.com\"],\"https\":true,\"users\":{\"cy@example.com\":\"member\","
        "\"ann@example.com\":\"owner\",\"sus@example.com\":\"admin\"},"
        "\"suspended\":[\"sus@example.com\"],\"nodes\":{"
        "\"a\":{\"ipv4\":\"100.64.0.3\",\"ipv6\":\"fd7a:115c:a1e0::3\",\"user\":\"cy@example.com\"},"
        "\"b\":{\"ipv4\":\"100.64.0.4\",\"tags\":[\"tag:web\",\"tag:db\"]},"
        "\"c\":{\"ipv4\":\"100.64.0.1\",\"user\":\"ann@example.com\"},"
        "\"d\":{\"user\":\"sus@example.com\"},\"e\":{\"external\":true,\"ipv4\":\"100.64.0.5\"}}}";
    static struct policy_facts *made;
    char why[256];
    want(made || !policy_facts_read(slice_str(text), why, &made), "facts");
    return made;
}

static void
explain_cap(const struct policy_snapshot *s, size_t device, const struct policy_cap *cap)
{
    static struct policy_explanation why;
    policy_explain(s, device, cap->name, &why);
    want(why.has, "explained");
    want(why.count, "by something");
    for (size_t other = 0; other < facts()->device_count; other++) {
        policy_explain(s, other, cap->name, &why);
        want(why.has == policy_set_has(policy_snapshot_set(s, other), cap->name) ||
                 slice_starts(cap->name, S(POLICY_PORTS_PREFIX)), /* of that list or a longer one */
             "explained elsewhere");
    }
}

static void check_device(struct policy_snapshot *s, size_t device)
{
    const struct policy_device *d = &facts()->devices[device];
    const struct policy_set *set = policy_snapshot_set(s, device);
    struct hujson_diag diag;
    AUTO(hujson_freep) struct hujson_doc *doc = NULL;
    want(!hujson_parse(set->json, 64 * MIB, &diag, &doc) && hujson_is_standard(doc), "JSON");
    want(hujson_count(hujson_root(doc)) == set->count, "as many members");
    want(policy_snapshot_one(s, d) == set, "alone and among others");
    want(set->funnel == policy_set_has(set, S(POLICY_FUNNEL)), "funnel");
    want(set->funnel == (set->port_count > 0), "ports");
    want(!set->count || (!d->external && device != 3), "shared in, or suspended");
    for (size_t i = 0; i < set->count; i++) {
        want(!i || slice_cmp(set->caps[i - 1].name, set->caps[i].name) < 0, "order");
        if (i < 8) { /* the slow judge */
            explain_cap(s, device, &set->caps[i]);
        }
    }
    for (size_t i = 0; i < set->port_count; i++) {
        want(set->ports[i].first && set->ports[i].first <= set->ports[i].last, "a range");
        want(!i || set->ports[i - 1].last + 1 < set->ports[i].first, "merged");
        want(policy_snapshot_funnel(s, d->id, set->ports[i].last), "the hot question");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    struct policy_snapshot *s = NULL, *again = NULL;
    struct policy_changes c;
    int rc = policy_check(slice_of(data, size), facts(), &diags, &p, &s);
    want(rc >= 0 && (!rc == (s != NULL)) && (!rc || diags.count), "an answer");
    if (s) {
        for (size_t i = 0; i < facts()->device_count; i++) {
            check_device(s, i);
        }
        want(!policy_evaluate(p, facts(), &again), "again");
        policy_changes(s, again, &c);
        want(!c.count, "no change");
        policy_changes_free(&c);
    }
    policy_snapshot_unref(again);
    policy_snapshot_unref(s);
    policy_diags_free(&diags);
    policy_unref(p);
    return 0;
}
