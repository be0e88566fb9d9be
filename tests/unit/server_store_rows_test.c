/* What the store answers about people, keys, nodes, relays, funnels, requests, certificates and the
 * change log, each on a fresh real database. */
#include <errno.h>

#include "server/store_record.h"
#include "server/store_requests.h"
#include "tests/unit/support/store.h"

static const uint8_t hash_a[32] = {1}, hash_b[32] = {2}, hash_c[32] = {3};
#define A slice_of(hash_a, 32)
#define B slice_of(hash_b, 32)
#define C slice_of(hash_c, 32)

struct ids {
    int64_t tailnet, user, node;
};

static void fill_node(struct store_node *n, int number, int64_t user)
{
    *n = (struct store_node){.user_id = user, .os = "linux", .version = "1"};
    snprintf(n->stable_id, sizeof n->stable_id, "node%d", number);
    snprintf(n->label, sizeof n->label, "laptop-%d", number);
    snprintf(n->hostname, sizeof n->hostname, "Laptop %d", number);
    snprintf(n->ipv4, sizeof n->ipv4, "100.64.0.%d", number);
    snprintf(n->ipv6, sizeof n->ipv6, "fd7a:115c:a1e0::%d", number);
    snprintf(n->transport_key, sizeof n->transport_key, "key%d", number);
}

/* A tailnet with its owner and one node, in the caller's transaction. */
static struct ids populate(struct db *d)
{
    struct ids i = {0};
    struct store_node n;
    assert_int_equal(store_tailnet_create(d, S("pango-lin"), &i.tailnet), 0);
    assert_int_equal(store_user_create(d, i.tailnet, S("ann@example.com"), "owner", &i.user), 0);
    fill_node(&n, 1, i.user);
    assert_int_equal(store_node_create(d, i.tailnet, &n, A, &i.node), 0);
    return i;
}

#define BEGIN(w)            \
    struct db *d = (w)->db; \
    AUTO(db_tx_endp)        \
    struct db_tx *tx = db_begin(d)

/* ---- people ---- */

static void outputs_only_on_success(void **state)
{
    BEGIN((struct store_world *)*state);
    int64_t id = -7;
    struct store_user u = {.id = -7};
    assert_non_null(tx);
    assert_int_equal(store_user_create(d, 99, S("ann"), "owner", &id), STORE_CONFLICT);
    assert_int_equal(id, -7);
    struct ids i = populate(d);
    assert_int_equal(store_tailnet_create(d, S("pango-lin"), &id), STORE_CONFLICT);
    assert_int_equal(store_user_create(d, i.tailnet, S("ANN@example.com"), "member", &id),
                     STORE_CONFLICT);
    assert_int_equal(store_user_create(d, i.tailnet, S("bob"), "emperor", &id), -EINVAL);
    assert_int_equal(id, -7);
    assert_int_equal(store_user_by_login(d, S("bob"), &u), STORE_NONE);
    assert_int_equal(u.id, -7);
    assert_int_equal(store_user_by_id(d, i.user + 1, &u), STORE_NONE);
    assert_int_equal(store_user_by_id(d, i.user, &u), 0);
    assert_string_equal(u.login, "ann@example.com");
    assert_string_equal(u.role, "owner");
    assert_false(u.suspended);
}

static void tailnet_https(void **state)
{
    BEGIN((struct store_world *)*state);
    struct store_tailnet t;
    assert_non_null(tx);
    assert_int_equal(store_tailnet(d, &t), STORE_NONE);
    struct ids i = populate(d);
    assert_int_equal(store_tailnet(d, &t), 0);
    assert_string_equal(t.name, "pango-lin");
    assert_false(t.https_enabled);
    assert_int_equal(store_tailnet_https(d, i.tailnet, true), 0);
    assert_int_equal(store_tailnet(d, &t), 0);
    assert_true(t.https_enabled);
}

static void passwords_and_sessions(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct buf encoded = BUF_MAX(64), small = BUF_MAX(4);
    struct store_session s;
    assert_non_null(tx);
    assert_int_equal(store_password(d, i.user, &encoded), STORE_NONE);
    assert_int_equal(store_password_set(d, i.user, S("$first")), 0);
    assert_int_equal(store_password_set(d, i.user, S("$second")), 0);
    assert_int_equal(store_password(d, i.user, &small), -EMSGSIZE);
    assert_int_equal(store_password(d, i.user, &encoded), 0);
    assert_slice(buf_slice(&encoded), "$second");
    buf_deinit(&encoded);
    assert_int_equal(store_session_create(d, i.user, B, S("198.51.100.1")), 0);
    assert_int_equal(store_session_create(d, i.user, B, S("198.51.100.2")), STORE_CONFLICT);
    assert_int_equal(store_session(d, C, &s), STORE_NONE);
    assert_int_equal(store_session(d, B, &s), 0);
    assert_int_equal(s.user_id, i.user);
    assert_int_equal(s.created.s, s.last_used.s);
    assert_int_equal(store_session_touch(d, s.id), 0);
    assert_int_equal(store_session_delete(d, s.id), 0);
    assert_int_equal(store_session(d, B, &s), STORE_NONE);
}

static void setup_link_works_once(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct store_setup s;
    assert_non_null(tx);
    assert_int_equal(store_setup_create(d, i.user, B, C, (struct wall){123}), 0);
    assert_int_equal(store_setup(d, C, &s), STORE_NONE);
    assert_int_equal(store_setup(d, B, &s), 0);
    assert_int_equal(s.user_id, i.user);
    assert_int_equal(s.expires.s, 123);
    assert_memory_equal(s.code, hash_c, 32);
    assert_false(s.used);
    assert_int_equal(store_setup_tried(d, s.id), 0);
    assert_int_equal(store_setup_used(d, s.id), 0);
    assert_int_equal(store_setup_used(d, s.id), STORE_NONE);
    assert_int_equal(store_setup(d, B, &s), 0);
    assert_true(s.used);
    assert_int_equal(s.tries, 1);
}

static void keys_by_kind(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct store_key k;
    struct store_key_new auth = {.kind = STORE_KEY_AUTH,
                                 .hash = A,
                                 .tailnet = i.tailnet,
                                 .user = i.user,
                                 .reusable = true,
                                 .expires = {500}},
                         relay = {.kind = STORE_KEY_RELAY, .hash = B, .tailnet = i.tailnet};
    assert_non_null(tx);
    assert_int_equal(store_key_create(d, &auth), 0);
    assert_int_equal(store_key_create(d, &auth), STORE_CONFLICT);
    assert_int_equal(store_key_create(d, &relay), 0);
    assert_int_equal(store_key(d, A, &k), 0);
    assert_int_equal(k.kind, STORE_KEY_AUTH);
    assert_int_equal(k.user_id, i.user);
    assert_int_equal(k.expires.s, 500);
    assert_true(k.reusable && !k.used && !k.revoked);
    assert_int_equal(strlen(k.stable_id), 20);
    assert_int_equal(store_key(d, B, &k), 0);
    assert_int_equal(k.kind, STORE_KEY_RELAY);
    assert_int_equal(k.user_id, 0);
    assert_false(k.reusable || k.used);
    assert_int_equal(store_key_used(d, k.id, S("198.51.100.4")), 0);
    assert_int_equal(store_key(d, B, &k), 0);
    assert_true(k.used);
    assert_int_equal(store_key(d, A, &k), 0);
    assert_false(k.used);
    assert_int_equal(store_key(d, C, &k), STORE_NONE);
}

/* ---- nodes and relays ---- */

static void node_comes_and_goes(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct store_node n, again;
    struct store_cert cert;
    struct store_request r = {
        .node_id = i.node, .port = 443, .stable_id = "r1", .match_code = "AB-12"};
    struct store_funnel f = {
        .node_id = i.node, .port = 443, .kind = "http", .target = "t", .source = "background"};
    assert_non_null(tx);
    assert_int_equal(store_node_by_token(d, A, &n), 0);
    assert_string_equal(n.hostname, "Laptop 1");
    assert_string_equal(n.ipv4, "100.64.0.1");
    assert_string_equal(n.login, "ann@example.com");
    assert_int_equal(store_node_by_stable(d, S("node1"), &again), 0);
    assert_int_equal(again.id, i.node);
    assert_int_equal(store_node_by_transport(d, S("key1"), &again), 0);
    assert_int_equal(again.id, i.node);
    assert_int_equal(store_node_rekey(d, i.node, B), 0);
    assert_int_equal(store_node_by_token(d, A, &n),
                     STORE_NONE); /* the old token is worth nothing */
    assert_int_equal(store_node_by_token(d, B, &n), 0);
    assert_int_equal(store_node_remote(d, i.node, S("203.0.113.9")), 0);
    assert_int_equal(store_node(d, i.node, &n), 0);
    assert_string_equal(n.remote, "203.0.113.9");
    assert_int_equal(store_request_create(d, &r), 0);
    assert_int_equal(store_funnel_put(d, &f), 0);
    assert_int_equal(store_cert_order(d, i.node, "o1", S("csr"), "aa"), 0);
    assert_int_equal(store_node_next_number(d), i.node + 1);
    assert_int_equal(store_node_delete(d, i.node), 0); /* and all that was its own */
    assert_int_equal(store_node_by_token(d, B, &n), STORE_NONE);
    /* What it asked for stays to be read, and nobody can decide it any more. */
    assert_int_equal(store_request(d, S("r1"), &r), 0);
    assert_true(r.node_id == 0);
    assert_string_equal(r.state, "cancelled");
    assert_string_equal(r.reason, "the device was deleted");
    assert_int_equal(store_cert(d, i.node, &cert, NULL, NULL), STORE_NONE);
    assert_int_equal(store_funnel_delete(d, i.node, 443), STORE_NONE);
    assert_int_equal(store_node_next_number(d), i.node + 1); /* never given twice */
    assert_int_equal(0, store_label_free(d, i.tailnet, S("laptop-1")));
}

struct visit {
    struct db *db;
    char seen[200];
};

static void note_node(void *arg, const struct store_node *n)
{
    struct visit *v = arg;
    struct store_node same;
    size_t at = strlen(v->seen);
    assert_int_equal(store_node(v->db, n->id, &same), 0); /* other statements may run meanwhile */
    snprintf(v->seen + at, sizeof v->seen - at, "%s ", n->label);
}

static void delete_node(void *arg, const struct store_node *n)
{
    struct visit *v = arg;
    note_node(arg, n);
    assert_int_equal(store_node_delete(v->db, n->id), 0);
}

static void note_relay(void *arg, const struct store_relay *r)
{
    struct visit *v = arg;
    size_t at = strlen(v->seen);
    snprintf(v->seen + at, sizeof v->seen - at, "%s:%d ", r->host, (int)r->acked);
}

static void note_where(void *arg, struct slice relay, struct wall since)
{
    struct visit *v = arg;
    size_t at = strlen(v->seen);
    snprintf(v->seen + at, sizeof v->seen - at, SLICE_FMT ":%d ", SLICE_ARG(relay), (int)since.s);
}

static void every_node_also_while_they_go(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct visit v = {.db = d};
    struct store_node n;
    int64_t id;
    assert_non_null(tx);
    fill_node(&n, 2, 0); /* tagged: nobody's */
    assert_int_equal(store_node_create(d, i.tailnet, &n, B, &id), 0);
    assert_int_equal(store_node_rekey(d, id, A), STORE_CONFLICT); /* a token names one node */
    assert_int_equal(store_node(d, id, &n), 0);
    assert_string_equal(n.login, "");
    assert_int_equal(n.user_id, 0);
    assert_int_equal(store_nodes_each(d, note_node, &v), 0);
    assert_string_equal(v.seen, "laptop-1 laptop-2 ");
    v.seen[0] = '\0';
    assert_int_equal(store_nodes_each(d, delete_node, &v), 0);
    assert_string_equal(v.seen, "laptop-1 laptop-2 ");
    v.seen[0] = '\0';
    assert_int_equal(store_nodes_each(d, note_node, &v), 0);
    assert_string_equal(v.seen, "");
}

static void relays_and_where_nodes_are(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct store_relay r = {.stable_id = "relay1",
                            .name = "one",
                            .host = "relay1.example.org",
                            .addresses = "[\"198.51.100.7\"]",
                            .ports = "{\"443\":443}",
                            .pins = "[]",
                            .version = "1",
                            .port = 443},
                       got;
    struct visit v = {.db = d};
    assert_non_null(tx);
    assert_int_equal(store_relay_create(d, &r, A), 0);
    assert_int_equal(store_relay_by_token(d, A, &got), 0);
    assert_int_equal(store_relay_acked(d, got.id, 7), 0);
    assert_int_equal(store_relay_node_add(d, got.id, i.node, (struct wall){100}), 0);
    assert_int_equal(store_relay_node_add(d, got.id, i.node, (struct wall){200}), 0);
    assert_int_equal(store_relay_node_add(d, got.id, 99, (struct wall){200}), STORE_CONFLICT);
    assert_int_equal(0, store_node_at_relay(d, got.id, i.node));
    assert_int_equal(store_node_online_relays(d, i.node), 1);
    assert_int_equal(store_relay_nodes_each(d, i.node, note_where, &v), 0);
    assert_string_equal(v.seen, "relay1:200 ");
    v.seen[0] = '\0';
    assert_int_equal(store_relays_each(d, note_relay, &v), 0);
    assert_string_equal(v.seen, "relay1.example.org:7 ");
    /* Enrolled again under its name: the same relay with a new token, from nothing. */
    snprintf(r.stable_id, sizeof r.stable_id, "relay2");
    snprintf(r.host, sizeof r.host, "new.example.org");
    assert_int_equal(store_relay_create(d, &r, B), 0);
    assert_int_equal(store_relay_by_token(d, A, &got), STORE_NONE);
    assert_int_equal(store_relay_by_token(d, B, &got), 0);
    assert_string_equal(got.stable_id, "relay1");
    assert_string_equal(got.host, "new.example.org");
    assert_int_equal(got.acked, 0);
    snprintf(r.name, sizeof r.name, "two"); /* another one may not take its host */
    assert_int_equal(store_relay_create(d, &r, C), STORE_CONFLICT);
    assert_int_equal(store_relay_nodes_clear(d, got.id), 0);
    assert_int_equal(STORE_NONE, store_node_at_relay(d, got.id, i.node));
    assert_int_equal(store_node_online_relays(d, i.node), 0);
}

/* ---- funnels, requests ---- */

static void note_funnel(void *arg, const struct store_funnel *f)
{
    struct visit *v = arg;
    size_t at = strlen(v->seen);
    snprintf(v->seen + at, sizeof v->seen - at, "%d:%d:%s ", (int)f->node_id, (int)f->port,
             f->target);
}

static void funnels_change_or_not(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct store_node n;
    struct visit v = {.db = d};
    struct store_funnel f = {
        .node_id = i.node, .port = 8443, .kind = "http", .target = "a", .source = "foreground"};
    assert_non_null(tx);
    assert_int_equal(store_funnel_put(d, &f), 0);
    assert_int_equal(store_funnel_put(d, &f), STORE_NONE); /* nothing to tell anybody */
    snprintf(f.target, sizeof f.target, "b");
    assert_int_equal(store_funnel_put(d, &f), 0);
    f.port = 443;
    assert_int_equal(store_funnel_put(d, &f), 0);
    f.port = 80;
    assert_int_equal(store_funnel_put(d, &f), -EINVAL); /* not a public port */
    fill_node(&n, 2, i.user);
    assert_int_equal(store_node_create(d, i.tailnet, &n, B, &f.node_id), 0);
    f.port = 443;
    assert_int_equal(store_funnel_put(d, &f), 0);
    assert_int_equal(store_funnels_each(d, 0, note_funnel, &v), 0);
    assert_string_equal(v.seen, "1:443:b 1:8443:b 2:443:b ");
    v.seen[0] = '\0';
    assert_int_equal(store_funnels_each(d, 2, note_funnel, &v), 0);
    assert_string_equal(v.seen, "2:443:b ");
    assert_int_equal(store_funnel_delete(d, 2, 443), 0);
    assert_int_equal(store_funnel_delete(d, 2, 443), STORE_NONE);
    f.node_id = 99;
    assert_int_equal(store_funnel_put(d, &f), STORE_CONFLICT);
}

static void note_request(void *arg, const struct store_request *r)
{
    struct visit *v = arg;
    size_t at = strlen(v->seen);
    snprintf(v->seen + at, sizeof v->seen - at, "%s:%s ", r->stable_id, r->state);
}

static void requests_live_and_end(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct visit v = {.db = d};
    struct store_request r = {.node_id = i.node,
                              .port = 443,
                              .stable_id = "r1",
                              .match_code = "AB-12",
                              .created = {100},
                              .expires = {200}},
                         got;
    int count = -1;
    assert_non_null(tx);
    assert_int_equal(store_request_create(d, &r), 0);
    assert_int_equal(store_requests_expire(d, (struct wall){199}, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(store_request_pending(d, i.node, 443, &got), 0);
    assert_string_equal(got.match_code, "AB-12");
    assert_int_equal(store_request_pending(d, i.node, 8443, &got), STORE_NONE);
    assert_int_equal(store_requests_expire(d, (struct wall){200}, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(store_request_pending(d, i.node, 443, &got), STORE_NONE);
    snprintf(r.stable_id, sizeof r.stable_id, "r2"); /* free for a new one now */
    assert_int_equal(store_request_create(d, &r), 0);
    assert_int_equal(store_request(d, S("r2"), &got), 0);
    int64_t now = wall_now().s;
    assert_int_equal(store_request_decide(d, got.id, "conquered", S("ann"), S("")), -EINVAL);
    assert_int_equal(store_request_decide(d, got.id, "denied", S("ann"), S("not today")), 0);
    assert_int_equal(store_request_decide(d, got.id, "granted", S("ann"), S("")), STORE_NONE);
    assert_int_equal(store_request_denied_since(d, i.node, 443, (struct wall){now - 600}, &got), 0);
    assert_string_equal(got.reason, "not today");
    assert_string_equal(got.decided_by, "ann");
    assert_in_range(got.decided.s, now, now + 5);
    assert_int_equal(store_request_denied_since(d, i.node, 443, (struct wall){now + 10}, &got),
                     STORE_NONE);
    assert_int_equal(store_request_denied_since(d, i.node, 8443, (struct wall){0}, &got),
                     STORE_NONE);
    snprintf(r.stable_id, sizeof r.stable_id, "r3");
    assert_int_equal(store_request_create(d, &r), 0);
    assert_int_equal(store_requests_recent(d, i.node, (struct wall){now - 600}, note_request, &v),
                     0);
    assert_string_equal(v.seen, "r2:denied r3:pending ");
}

/* ---- certificates ---- */

static void note_due(void *arg, int64_t node)
{
    struct visit *v = arg;
    size_t at = strlen(v->seen);
    snprintf(v->seen + at, sizeof v->seen - at, "%d ", (int)node);
}

static bool is_due(struct db *d, int64_t at)
{
    struct visit v = {.db = d};
    assert_int_equal(store_certs_due(d, (struct wall){at}, note_due, &v), 0);
    return v.seen[0] != '\0';
}

static void certificate_from_order_to_renewal(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct store_cert c;
    struct buf chain = BUF_MAX(64), csr = BUF_MAX(64), small = BUF_MAX(2);
    assert_non_null(tx);
    assert_false(is_due(d, 1000));
    assert_int_equal(store_cert_order(d, i.node, "order1", S("csr one"), "aa"), 0);
    assert_true(is_due(d, 0));
    assert_int_equal(store_cert_state(d, i.node, "issuing", S(""), (struct wall){0}), 0);
    assert_true(is_due(d, 0)); /* it may have died with us */
    assert_int_equal(store_cert_state(d, i.node, "failed", S("no DNS"), (struct wall){500}), 0);
    assert_false(is_due(d, 499));
    assert_true(is_due(d, 500));
    assert_int_equal(store_cert_state(d, i.node, "issuing", S(""), (struct wall){0}), 0);
    assert_int_equal(store_cert(d, i.node, &c, NULL, &small), -EMSGSIZE);
    assert_int_equal(store_cert(d, i.node, &c, NULL, &csr), 0);
    assert_int_equal(c.tries, 2);
    assert_slice(buf_slice(&csr), "csr one");
    assert_int_equal(store_cert_issued(d, i.node, S("CHAIN"), "aa", (struct wall){9000}, S("CA")),
                     0);
    assert_false(is_due(d, 100000));
    /* A new order that fails never loses the chain in use. */
    assert_int_equal(store_cert_order(d, i.node, "order2", S("csr two"), "bb"), 0);
    assert_int_equal(store_cert_state(d, i.node, "failed", S("rate limit"), (struct wall){0}), 0);
    assert_false(is_due(d, 100000)); /* retry_at 0: for good */
    assert_int_equal(store_cert(d, i.node, &c, &chain, NULL), 0);
    assert_slice(buf_slice(&chain), "CHAIN");
    assert_string_equal(c.chain_spki, "aa");
    assert_string_equal(c.spki, "bb");
    assert_string_equal(c.order_id, "order2");
    assert_string_equal(c.state, "failed");
    assert_string_equal(c.error, "rate limit");
    assert_string_equal(c.issuer, "CA");
    assert_int_equal(c.not_after.s, 9000);
    buf_deinit(&chain);
    buf_deinit(&csr);
}

/* ---- change log and audit ---- */

static void note_change(void *arg, int64_t seq, struct slice kind, int64_t node)
{
    struct visit *v = arg;
    size_t at = strlen(v->seen);
    snprintf(v->seen + at, sizeof v->seen - at, "%d:" SLICE_FMT ":%d ", (int)seq, SLICE_ARG(kind),
             (int)node);
}

/* The new head. */
static int64_t changes(struct db *d, int64_t seq, struct visit *v)
{
    assert_int_equal(store_changes_since(d, &seq, note_change, v), 0);
    return seq;
}

static void cursor_sees_each_change_once(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct visit v = {.db = d};
    assert_non_null(tx);
    assert_int_equal(store_change_head(d), 0);
    assert_int_equal(changes(d, 0, &v), 0);
    assert_int_equal(store_change(d, i.tailnet, "node", i.node), 0);
    assert_int_equal(store_change(d, i.tailnet, "policy", 0), 0);
    int64_t cursor = changes(d, 0, &v);
    assert_string_equal(v.seen, "1:node:1 2:policy:0 ");
    assert_int_equal(cursor, 2);
    v.seen[0] = '\0';
    assert_int_equal(changes(d, cursor, &v), 2);
    assert_string_equal(v.seen, "");
    assert_int_equal(store_change(d, i.tailnet, "funnel", 5), 0);
    assert_int_equal(changes(d, cursor, &v), 3);
    assert_string_equal(v.seen, "3:funnel:5 ");
    assert_int_equal(store_change(d, i.tailnet, "weather", 0), -EINVAL);
    assert_int_equal(store_change(d, 99, "node", 0), STORE_CONFLICT);
}

static void trimmed_log_goes_on_counting(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct visit v = {.db = d};
    assert_non_null(tx);
    assert_int_equal(store_changes_trim(d, 2), 0); /* empty: nothing to do */
    for (int n = 0; n < 5; n++) {
        assert_int_equal(store_change(d, i.tailnet, "online", 0), 0);
    }
    assert_int_equal(store_changes_trim(d, 2), 0);
    assert_int_equal(changes(d, 0, &v), 5);
    assert_string_equal(v.seen, "4:online:0 5:online:0 ");
    assert_int_equal(store_changes_trim(d, 0), 0);
    assert_int_equal(store_change_head(d), 5);
    assert_int_equal(store_change(d, i.tailnet, "online", 0), 0);
    assert_int_equal(store_change_head(d), 6);
}

static void audit_takes_a_row(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct store_event row = {.actor = S("ann"), .action = S("POLICY.UPDATE"), .remote = S("::1")};
    assert_non_null(tx);
    assert_int_equal(store_event_add(d, i.tailnet, &row), 0);
    assert_int_equal(db_changes(d), 1);
    assert_int_equal(store_event_add(d, 99, &row), STORE_CONFLICT);
}

/* What was committed is there for the next start; what was not is not. */
static void closed_and_opened_again(void **state)
{
    struct store_world *w = *state;

    struct store_node n;
    {
        BEGIN(w);
        populate(d);
        assert_int_equal(db_commit(&tx), 0);
    }

    {
        BEGIN(w);
        assert_non_null(tx);
        assert_int_equal(store_node_delete(d, 1), 0);
        assert_int_equal(store_node_by_token(d, A, &n), STORE_NONE);
    }
    db_close(w->db);
    w->db = store_world_open(w);
    assert_int_equal(store_node_by_token(w->db, A, &n), 0);
    assert_string_equal(n.label, "laptop-1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_STORE(outputs_only_on_success),
        IN_A_STORE(tailnet_https),
        IN_A_STORE(passwords_and_sessions),
        IN_A_STORE(setup_link_works_once),
        IN_A_STORE(keys_by_kind),
        IN_A_STORE(node_comes_and_goes),
        IN_A_STORE(every_node_also_while_they_go),
        IN_A_STORE(relays_and_where_nodes_are),
        IN_A_STORE(funnels_change_or_not),
        IN_A_STORE(requests_live_and_end),
        IN_A_STORE(certificate_from_order_to_renewal),
        IN_A_STORE(cursor_sees_each_change_once),
        IN_A_STORE(trimmed_log_goes_on_counting),
        IN_A_STORE(audit_takes_a_row),
        IN_A_STORE(closed_and_opened_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
