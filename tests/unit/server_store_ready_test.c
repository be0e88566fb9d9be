/* Probes are replaced in place; a port stays off until it is cleared; changes know whose they are.
 */
#include "server/store_ready.h"

#include <errno.h>

#include "tests/unit/support/store.h"

#define TX(d) AUTO(db_tx_endp) struct db_tx *tx = db_begin(d)

struct ids {
    int64_t tailnet, user, node, funnel;
    char node_ref[STORE_ID_SIZE];
};

static void get_funnel(void *arg, const struct store_funnel *f)
{
    ((struct ids *)arg)->funnel = f->id;
    assert_true(f->created.s > 0);
}

static struct ids populate(struct db *d)
{
    struct ids i = {0};
    struct store_node n = {.label = "laptop",
                           .hostname = "laptop",
                           .os = "linux",
                           .version = "1",
                           .stable_id = "node1",
                           .transport_key = "aa",
                           .ipv4 = "100.64.1.1",
                           .ipv6 = "fd7a::1"};
    assert_int_equal(store_tailnet_create(d, S("pango-lin"), &i.tailnet), 0);
    assert_int_equal(store_user_create(d, i.tailnet, S("ann"), "member", &i.user), 0);
    n.user_id = i.user;
    assert_int_equal(store_node_create(d, i.tailnet, &n, S("hash"), &i.node), 0);
    struct store_funnel f = {.node_id = i.node,
                             .port = 443,
                             .kind = "http",
                             .target = "http://x",
                             .source = "background"};
    assert_int_equal(store_funnel_put(d, &f), 0);
    assert_int_equal(store_funnels_each(d, i.node, get_funnel, &i), 0);
    return i;
}

struct seen {
    int count;
    char text[400];
};

static void see_probe(void *arg, const struct store_probe *p)
{
    struct seen *s = arg;
    s->count++;
    snprintf(s->text, sizeof s->text, SLICE_FMT " " SLICE_FMT " " SLICE_FMT " %lld",
             SLICE_ARG(p->step), SLICE_ARG(p->state), SLICE_ARG(p->code), (long long)p->at.s);
}

static void a_probe_is_replaced(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    TX(d);
    struct ids i = populate(d);
    struct seen s = {0};
    struct store_probe p = {.step = S("dns"), .state = S("waiting"), .at = {7}};
    assert_int_equal(store_probe_put(d, i.funnel, &p), 0);
    p.state = S("failed");
    p.code = S("dns.missing");
    p.at.s = 8;
    assert_int_equal(store_probe_put(d, i.funnel, &p), 0);
    assert_int_equal(store_probes_each(d, i.funnel, see_probe, &s), 0);
    assert_int_equal(s.count, 1);
    assert_string_equal(s.text, "dns failed dns.missing 8");
    p.step = S("luck");
    assert_int_equal(store_probe_put(d, i.funnel, &p), -EINVAL);
    p.step = S("dns");
    assert_int_equal(store_probe_put(d, 99, &p), STORE_CONFLICT);
    assert_int_equal(store_funnel_delete(d, i.node, 443), 0); /* they go with the URL */
    s.count = 0;
    assert_int_equal(store_probes_each(d, i.funnel, see_probe, &s), 0);
    assert_int_equal(s.count, 0);
}

static void see_off(void *arg, const struct store_off *o)
{
    struct seen *s = arg;
    s->count++;
    snprintf(s->text, sizeof s->text, "%d %s", (int)o->port, o->by);
}

static void off_until_cleared(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    TX(d);
    struct ids i = populate(d);
    struct seen s = {0};
    assert_int_equal(store_off_put(d, i.node, 443, S("ann")), 0);
    assert_int_equal(store_off_put(d, i.node, 443, S("bob")), 0);
    assert_int_equal(store_offs_each(d, i.node, see_off, &s), 0);
    assert_int_equal(s.count, 1);
    assert_string_equal(s.text, "443 bob");
    assert_int_equal(store_off_clear(d, i.node, 8443), STORE_NONE);
    assert_int_equal(store_off_clear(d, i.node, 443), 0);
    assert_int_equal(store_off_clear(d, i.node, 443), STORE_NONE);
    assert_int_equal(store_off_put(d, 99, 443, S("ann")), STORE_CONFLICT);
}

static void see_change(void *arg, const struct store_live_change *c)
{
    struct seen *s = arg;
    size_t n = strlen(s->text);
    s->count++;
    snprintf(s->text + n, sizeof s->text - n, SLICE_FMT ":%d:" SLICE_FMT " ", SLICE_ARG(c->kind),
             (int)c->owner, SLICE_ARG(c->node_ref));
}

static void changes_know_whose_they_are(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    TX(d);
    struct ids i = populate(d);
    struct seen s = {0};
    int64_t seq = 0;
    assert_int_equal(store_changes_first(d), 0);
    assert_int_equal(store_change(d, i.tailnet, "node", i.node), 0);
    assert_int_equal(store_topic(d, i.tailnet, "readiness", i.node), 0);
    assert_int_equal(store_topic(d, i.tailnet, "ingress", 0), 0);
    assert_int_equal(store_change(d, i.tailnet, "policy", 0), 0);
    assert_int_equal(store_node_delete(d, i.node), 0);
    assert_int_equal(store_changes_live(d, &seq, 3, see_change, &s), 0);
    assert_int_equal(seq, 3);
    assert_string_equal(s.text, "node:1:node1 readiness:1:node1 ingress:0: ");
    s.text[0] = '\0';
    assert_int_equal(store_changes_live(d, &seq, 3, see_change, &s), 0);
    assert_string_equal(s.text, "policy:0: ");
    assert_int_equal(store_changes_trim(d, 2), 0);
    assert_int_equal(store_changes_first(d), 3);
}

static void count_url(void *arg, const struct store_funnel *f)
{
    (void)f;
    ++*(int *)arg;
}

static void urls_in_pages(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    TX(d);
    struct ids i = populate(d);
    struct store_funnel f = {
        .node_id = i.node, .port = 8443, .kind = "http", .target = "x", .source = "foreground"};
    struct store_funnel out;
    int n = 0;
    assert_int_equal(store_funnel_put(d, &f), 0);
    assert_int_equal(store_count_funnels(d), 2);
    assert_int_equal(store_count_nodes(d), 1);
    assert_int_equal(store_funnels_after(d, i.funnel, 10, count_url, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(store_funnels_after(d, 0, 1, count_url, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(store_funnel(d, S("none"), &out), STORE_NONE);
    struct store_grant_row g;
    assert_int_equal(store_node_grant(d, i.node, &g), STORE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_STORE(a_probe_is_replaced),
        IN_A_STORE(off_until_cleared),
        IN_A_STORE(changes_know_whose_they_are),
        IN_A_STORE(urls_in_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
