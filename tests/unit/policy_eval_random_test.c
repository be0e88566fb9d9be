/*
 * The evaluator against the slow, obvious one (support/reference.h) on 10,000 random tailnets and
 * policies: every device's capability map, the question about a port, a device on its own, and the
 * list of changes between two of them. From a fixed seed; a failure prints the policy.
 */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "policy/policy.h"
#include "tests/unit/support/reference.h"

enum { ROUNDS = 10000, JSON_MAX = 16 * KIB };

static uint64_t seed = 88172645463325252u;

static uint32_t draw(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 32) % below);
}

#define ONE_OF(list) ((list)[draw(ARRAY_LEN(list))])

static const char *const logins[] = {"ann@example.com",     "Bob@example.com", "cy@example.org",
                                     "dee@github",          "eve@example.com", "fay@EXAMPLE.org",
                                     "odd@name@example.com"};
static const char *const roles[] = {"member",        "member",   "owner",         "admin",
                                    "network-admin", "it-admin", "billing-admin", "auditor"};
static const char *const tags[] = {"tag:a", "tag:b", "tag:c"};
static const char *const ipv4s[] = {"100.64.0.1",   "100.64.0.2", "100.64.0.3",
                                    "100.64.0.129", "100.64.1.1", "100.65.0.1"};
static const char *const ipv6s[] = {"fd7a:115c:a1e0::1", "fd7a:115c:a1e0::2",
                                    "fd7a:115c:a1e0:8000::1", "fd7a:115c:a1e0::100"};
static const char *const targets[] = {"*",
                                      "autogroup:member",
                                      "autogroup:tagged",
                                      "autogroup:owner",
                                      "autogroup:admin",
                                      "autogroup:network-admin",
                                      "autogroup:it-admin",
                                      "autogroup:billing-admin",
                                      "autogroup:auditor",
                                      "group:one",
                                      "group:two",
                                      "group:none",
                                      "tag:a",
                                      "tag:b",
                                      "tag:c",
                                      "ann@example.com",
                                      "BOB@example.com",
                                      "gone@example.com",
                                      "user:*@example.com",
                                      "user:*@Example.org",
                                      "100.64.0.1",
                                      "100.64.0.0/30",
                                      "100.64.0.0/24",
                                      "100.64.0.128/25",
                                      "100.64.0.0/10",
                                      "0.0.0.0/0",
                                      "fd7a:115c:a1e0::/48",
                                      "fd7a:115c:a1e0::1",
                                      "fd7a:115c:a1e0:8000::/49",
                                      "low",
                                      "six"};
/* Names that clients know (no spelling hints to work out), on both sides of the funnel-ports name.
 */
static const char *const attrs[] = {"funnel",
                                    "funnel",
                                    "drive:share",
                                    "silent-disco",
                                    "nextdns:a\\\"b",
                                    "nextdns:z",
                                    "https://tailscale.com/cap/debug",
                                    "https://tailscale.com/cap/ssh"};
static const char *const apps[] = {"example.com/cap/one", "example.com/cap/two", "acme.example/x",
                                   "openfunnel.org/cap/other"};
static const char *const values[] = {"1", "{\"a\":[true,null]}", "\"text\"", "[]", "{}"};
static const char *const ports[] = {"443",   "8443",      "9000-9010", "9005-9020", "1",
                                    "65535", "9011-9012", "2-442",     "444-8442",  "10000"};
static const char *const defaults[] = {"443,8443,10000", "443", "1-65535", "9000-9010,443"};

/* ---- a tailnet ---- */

static void draw_users(struct tailnet *t)
{
    for (size_t i = 0; i < ARRAY_LEN(logins); i++) {
        if (draw(4)) {
            tailnet_add_user(t, logins[i], ONE_OF(roles));
            t->users[t->user_count - 1].suspended = !draw(6);
        }
    }
}

static void draw_owner(struct tailnet *t, struct tailnet_node *n)
{
    n->tag_count = 0;
    n->user[0] = '\0';
    if (draw(3) && t->user_count) {
        snprintf(n->user, sizeof n->user, "%s", t->users[draw((uint32_t)t->user_count)].login);
    } else if (draw(5)) {
        n->tag_count = 1 + draw(3);
        for (size_t k = 0; k < n->tag_count; k++) {
            snprintf(n->tags[k], sizeof n->tags[k], "%s", ONE_OF(tags));
        }
    }
}

static void draw_address(struct tailnet_node *n)
{
    n->ipv4[0] = n->ipv6[0] = '\0';
    if (draw(8)) {
        snprintf(n->ipv4, sizeof n->ipv4, "%s", ONE_OF(ipv4s));
    }
    if (draw(8)) {
        snprintf(n->ipv6, sizeof n->ipv6, "%s", ONE_OF(ipv6s));
    }
}

static void draw_node(struct tailnet *t)
{
    char name[TAILNET_TEXT];
    snprintf(name, sizeof name, "n%lld", (long long)t->next_id);
    struct tailnet_node *n = tailnet_add_node(t, name);
    n->external = !draw(12);
    draw_owner(t, n);
    draw_address(n);
}

static void draw_tailnet(struct tailnet *t)
{
    *t = (struct tailnet){.https = draw(2)};
    snprintf(t->ports, sizeof t->ports, "%s", ONE_OF(defaults));
    snprintf(t->domains[t->domain_count++], TAILNET_TEXT, "example.com");
    snprintf(t->domains[t->domain_count++], TAILNET_TEXT, "example.org");
    draw_users(t);
    for (uint32_t i = draw(12); i-- > 0;) {
        draw_node(t);
    }
}

/* What happens between two policies. */
static void draw_event(struct tailnet *t)
{
    struct tailnet_user *u = t->user_count ? &t->users[draw((uint32_t)t->user_count)] : NULL;
    struct tailnet_node *n = t->node_count ? &t->nodes[draw((uint32_t)t->node_count)] : NULL;
    switch (draw(8)) {
    case 0:
        draw_node(t);
        break;
    case 1:
        snprintf(t->ports, sizeof t->ports, "%s", ONE_OF(defaults));
        break;
    case 2:
        if (n) {
            tailnet_remove_node(t, n);
        }
        break;
    case 3:
        if (n) {
            draw_owner(t, n);
        }
        break;
    case 4:
        if (n) {
            draw_address(n);
        }
        break;
    case 5:
        if (u) {
            u->suspended = !u->suspended;
        }
        break;
    case 6:
        if (u) {
            snprintf(u->role, sizeof u->role, "%s", ONE_OF(roles));
        }
        break;
    default:
        if (u) {
            tailnet_remove_user(t, u);
        }
        break;
    }
}

/* ---- a policy ---- */

static void put_members(struct buf *out, const char *name)
{
    buf_addf(out, "\"%s\":[", name);
    for (uint32_t i = draw(4), first = 1; i-- > 0; first = 0) {
        buf_addf(out, "%s\"%s\"", first ? "" : ",", ONE_OF(logins));
    }
    buf_adds(out, "],");
}

static void put_ports(struct buf *out)
{
    buf_addf(out, "%s\"openfunnel.org/cap/funnel\":[", "");
    for (uint32_t i = 1 + draw(2), first = 1; i-- > 0; first = 0) {
        buf_addf(out, "%s{\"ports\":[\"%s\",\"%s\"]}", first ? "" : ",", ONE_OF(ports),
                 ONE_OF(ports));
    }
    buf_adds(out, "]");
}

static void put_app(struct buf *out)
{
    bool with_ports = !draw(2);
    const char *app = ONE_OF(apps);
    buf_adds(out, ",\"app\":{");
    if (with_ports) {
        put_ports(out);
    }
    if (!with_ports || draw(2)) {
        buf_addf(out, "%s\"%s\":[", with_ports ? "," : "", app);
        for (uint32_t i = draw(3), first = 1; i-- > 0; first = 0) {
            buf_addf(out, "%s%s", first ? "" : ",", ONE_OF(values));
        }
        buf_adds(out, "]");
    }
    buf_adds(out, "}");
}

static void put_entry(struct buf *out, bool legacy)
{
    buf_adds(out, "{\"target\":[");
    for (uint32_t i = draw(4), first = 1; i-- > 0; first = 0) {
        const char *target = ONE_OF(targets);
        bool old = legacy && !strcmp(target, "autogroup:member");
        buf_addf(out, "%s\"%s%s\"", first ? "" : ",", target, old ? "s" : "");
    }
    buf_adds(out, "],\"attr\":[");
    for (uint32_t i = draw(4), first = 1; i-- > 0; first = 0) {
        buf_addf(out, "%s\"%s\"", first ? "" : ",", ONE_OF(attrs));
    }
    buf_adds(out, "]");
    if (!draw(3)) {
        put_app(out);
    }
    buf_adds(out, "},");
}

static void draw_policy(struct buf *out)
{
    bool legacy = !draw(3);
    buf_clear(out);
    buf_adds(out, "{\"groups\":{");
    put_members(out, "group:one");
    put_members(out, "group:two");
    buf_adds(out, "\"group:none\":[]},\"tagOwners\":{\"tag:a\":[],\"tag:b\":[],\"tag:c\":[]},"
                  "\"hosts\":{\"low\":\"100.64.0.0/31\",\"six\":\"fd7a:115c:a1e0::2\"},");
    if (!draw(4)) {
        buf_addf(out, "\"randomizeClientPort\":%s,", draw(2) ? "true" : "false");
    }
    buf_adds(out, "\"nodeAttrs\":[");
    for (uint32_t i = draw(9); i-- > 0;) {
        put_entry(out, legacy);
    }
    buf_adds(out, "],}");
}

/* ---- one policy on one tailnet ---- */

struct world {
    struct tailnet t;
    struct buf text;
    struct policy_snapshot *s;
    struct hujson_doc *doc;
};

static void world_evaluate(struct world *w)
{
    struct policy_diags diags;
    struct hujson_diag diag;
    struct policy *p = NULL;
    struct policy_facts *f = tailnet_facts(&w->t);
    if (policy_load(buf_slice(&w->text), f, &diags, &p)) {
        fail_msg("%s: %s", buf_cstr(&w->text), diags.items[0].message);
    }
    assert_int_equal(policy_evaluate(p, f, &w->s), 0);
    assert_int_equal(hujson_parse(buf_slice(&w->text), MIB, &diag, &w->doc), 0);
    policy_diags_free(&diags);
    policy_unref(p);
    policy_facts_unref(f);
}

static void world_done(struct world *w)
{
    policy_snapshot_unref(w->s);
    hujson_free(w->doc);
    w->s = NULL;
    w->doc = NULL;
}

static void
check_ports(const struct world *w, const struct tailnet_node *n, const struct reference *r)
{
    for (int i = 0; i < 20; i++) {
        uint16_t port = i < 10 ? (uint16_t)(1 + draw(65535)) : (uint16_t)(440 + draw(9000));
        if (policy_snapshot_funnel(w->s, n->id, port) != (r->funnel && r->ports[port])) {
            fail_msg("%s on %d: " SLICE_FMT, n->name, port, SLICE_ARG(buf_slice(&w->text)));
        }
    }
    assert_false(policy_snapshot_funnel(w->s, n->id, 0));
}

static void check_set(const struct policy_set *set, const struct reference *r)
{
    assert_int_equal(set->count, r->count);
    assert_int_equal(set->funnel, r->funnel);
    for (size_t i = 0; i < set->count; i++) {
        assert_slice(set->caps[i].name, r->caps[i].name);
        assert_int_equal(set->caps[i].json.p[0] == '[', r->caps[i].app);
        assert_true(policy_set_has(set, set->caps[i].name));
    }
    assert_false(policy_set_has(set, S("no such capability")));
}

/* Fills json[] with what each node has by the reference. */
static void check_world(const struct world *w, struct reference *r, struct buf json[])
{
    const struct policy_facts *f = policy_snapshot_facts(w->s);
    for (size_t i = 0; i < w->t.node_count; i++) {
        const struct tailnet_node *n = &w->t.nodes[i];
        struct slice device_tags[TAILNET_TAGS];
        struct policy_device d;
        memset(r, 0, sizeof *r);
        reference_evaluate(w->doc, &w->t, n, r);
        json[i] = BUF_MAX(JSON_MAX);
        reference_json(r, &json[i]);
        const struct policy_set *set = policy_snapshot_of(w->s, n->id);
        if (!slice_eq(set->json, buf_slice(&json[i]))) {
            fail_msg("%s has " SLICE_FMT ", not %s: " SLICE_FMT, n->name, SLICE_ARG(set->json),
                     buf_cstr(&json[i]), SLICE_ARG(buf_slice(&w->text)));
        }
        check_set(set, r);
        check_ports(w, n, r);
        tailnet_device(n, f, device_tags, &d);
        assert_true(slice_eq(policy_snapshot_one(w->s, &d)->json, set->json));
    }
}

/* ---- two of them ---- */

/* Every list is made of ranges from `ports` and `defaults`, so ports at their edges tell. */
static bool port_missing(const struct policy_set *of, const struct policy_set *in)
{
    static const uint16_t edges[] = {1,    2,    442,   443,   444,   8442, 8443, 8444,
                                     9000, 9004, 9005,  9010,  9011,  9012, 9013, 9020,
                                     9021, 9999, 10000, 10001, 65534, 65535};
    for (size_t i = 0; of && i < ARRAY_LEN(edges); i++) {
        if (port_ranges_have(of->ports, of->port_count, edges[i]) &&
            !(in && port_ranges_have(in->ports, in->port_count, edges[i]))) {
            return true;
        }
    }
    return false;
}

static void check_change(const struct world *before,
                         const struct world *after,
                         const struct policy_change *c,
                         bool *gains_seen)
{
    const struct policy_set *had =
        c->before == POLICY_NOWHERE ? NULL : policy_snapshot_set(before->s, c->before);
    const struct policy_set *has =
        c->after == POLICY_NOWHERE ? NULL : policy_snapshot_set(after->s, c->after);
    assert_ptr_equal(had, policy_snapshot_of(before->s, c->id));
    assert_ptr_equal(has, policy_snapshot_of(after->s, c->id));
    assert_int_equal(c->loses_funnel, port_missing(had, has));
    assert_int_equal(c->gains_funnel, port_missing(has, had));
    assert_false(*gains_seen && c->loses_funnel); /* losses first */
    *gains_seen |= !c->loses_funnel;
}

static const struct buf *json_of(const struct world *w, const struct buf json[], int64_t id)
{
    for (size_t i = 0; i < w->t.node_count; i++) {
        if (w->t.nodes[i].id == id) {
            return &json[i];
        }
    }
    return NULL;
}

static void check_changes(const struct world *before,
                          const struct buf json_a[],
                          const struct world *after,
                          const struct buf json_b[])
{
    struct policy_changes c;
    bool gains_seen = false;
    policy_changes(before->s, after->s, &c);
    size_t expected = 0;
    for (int64_t id = 1; id <= after->t.next_id; id++) {
        const struct buf *a = json_of(before, json_a, id), *b = json_of(after, json_b, id);
        struct slice x = a ? buf_slice(a) : S("{}"), y = b ? buf_slice(b) : S("{}");
        bool listed = false;
        for (size_t i = 0; i < c.count; i++) {
            listed |= c.at[i].id == id;
        }
        if (listed == slice_eq(x, y)) {
            fail_msg("node %lld: " SLICE_FMT " -> " SLICE_FMT, (long long)id, SLICE_ARG(x),
                     SLICE_ARG(y));
        }
        expected += !slice_eq(x, y);
    }
    assert_int_equal(c.count, expected);
    for (size_t i = 0; i < c.count; i++) {
        check_change(before, after, &c.at[i], &gains_seen);
    }
    policy_changes_free(&c);
}

static void agrees(void **state)
{
    (void)state;
    struct world *a = mem_new(sizeof *a), *b = mem_new(sizeof *b);
    struct reference *r = mem_new(sizeof *r);
    struct buf json_a[TAILNET_NODES], json_b[TAILNET_NODES];
    a->text = b->text = BUF_MAX(64 * KIB);
    for (int round = 0; round < ROUNDS / 2; round++) {
        draw_tailnet(&a->t);
        draw_policy(&a->text);
        world_evaluate(a);
        check_world(a, r, json_a);
        b->t = a->t;
        buf_clear(&b->text);
        buf_add(&b->text, buf_slice(&a->text));
        for (uint32_t i = draw(3); i-- > 0;) {
            draw_event(&b->t);
        }
        if (draw(3)) {
            draw_policy(&b->text);
        }
        world_evaluate(b);
        check_world(b, r, json_b);
        check_changes(a, json_a, b, json_b);
        for (size_t i = 0; i < a->t.node_count; i++) {
            buf_deinit(&json_a[i]);
        }
        for (size_t i = 0; i < b->t.node_count; i++) {
            buf_deinit(&json_b[i]);
        }
        world_done(a);
        world_done(b);
    }
    buf_deinit(&a->text);
    buf_deinit(&b->text);
    mem_free(a);
    mem_free(b);
    mem_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
