/* The relay channel (docs/channels.md): enroll, stream, report. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "server/app.h"
#include "server/presence.h"
#include "server/ready.h"

static bool write_member(const struct js *j, const char *name, char *out, size_t size)
{
    struct buf text = BUF_MAX(4096);
    js_write(js_get(j, name), JS_COMPACT, &text);
    bool ok = buf_ok(&text) && slice_copy(buf_slice(&text), out, size);
    buf_deinit(&text);
    return ok;
}

static bool good_addresses(const struct js *list)
{
    struct addr a;
    for (size_t i = 0; i < js_len(list); i++) {
        if (!addr_from_ip(js_str(js_at(list, i)), 0, &a)) {
            return false;
        }
    }
    return js_len(list) > 0;
}

static bool good_pins(const struct js *list)
{
    uint8_t pin[32];
    for (size_t i = 0; i < js_len(list); i++) {
        if (!text_unhex(js_str(js_at(list, i)), pin, sizeof pin)) {
            return false;
        }
    }
    return js_len(list) > 0;
}

static bool fill_relay(const struct js *j, struct store_relay *r)
{
    r->port = js_get_int(j, "port", 0);
    return text_label(js_get_str(j, "name")) &&
           slice_copy(js_get_str(j, "name"), r->name, sizeof r->name) &&
           text_name(js_get_str(j, "host"), TEXT_NAME_HOST, r->host) && r->port >= 1 &&
           r->port <= 65535 && text_printable(js_get_str(j, "version"), 60) &&
           slice_copy(js_get_str(j, "version"), r->version, sizeof r->version) &&
           good_addresses(js_get(j, "addresses")) && good_pins(js_get(j, "pins")) &&
           write_member(j, "addresses", r->addresses, sizeof r->addresses) &&
           write_member(j, "pins", r->pins, sizeof r->pins) &&
           write_member(j, "ports", r->ports, sizeof r->ports);
}

static int store_relay_row(struct app *a,
                           const struct actor *by,
                           struct store_relay *r,
                           const struct store_key *key,
                           struct slice hash)
{
    secret_id(r->stable_id, 20);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_relay_create(a->db, r, hash) : -EIO;
    rc = rc ? rc : store_key_used(a->db, key->id, S(""));
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "relay", 0);
    rc = rc ? rc
            : audit_write(a, by,
                          &(struct audit_entry){.action = "RELAY.ENROLL",
                                                .type = "RELAY",
                                                .id = r->stable_id,
                                                .name = r->name,
                                                .detail = slice_str(r->host)});
    return rc ? rc : db_commit(&tx);
}

static bool relay_key_good(struct app *a, struct slice secret, struct store_key *out)
{
    uint8_t hash[STORE_HASH_SIZE];
    secrets_hash(&a->secrets, secret, hash);
    return store_key(a->db, slice_of(hash, sizeof hash), out) == 0 &&
           out->kind == STORE_KEY_RELAY && !out->revoked && !out->used &&
           out->expires.s > wall_now().s;
}

void relay_enroll(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {
        {"relayKey", JS_STR, true, 128}, {"name", JS_STR, true, 63},
        {"host", JS_STR, true, 253},     {"addresses", JS_ARRAY, true, 8},
        {"port", JS_INT, true, 0},       {"ports", JS_OBJECT, true, 0},
        {"pins", JS_ARRAY, true, 4},     {"version", JS_STR, true, 60}};
    struct app *a = app;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    struct store_relay r = {.id = 0};
    struct store_key key;
    char token[SECRET_SIZE];
    uint8_t hash[STORE_HASH_SIZE];
    if (!j) {
        return;
    }
    if (!relay_key_good(a, js_get_str(j, "relayKey"), &key)) {
        reply_problem(rq, &(struct problem){401, "relay_key.invalid",
                                            "this relay key is wrong, used or expired",
                                            "make a new one: funnel-control key create relay"});
        return;
    }
    if (!fill_relay(j, &r)) {
        reply_problem(rq, &(struct problem){400, "relay.invalid",
                                            "name, host, addresses, ports or pins are not usable",
                                            "look at the relay's configuration"});
        return;
    }
    secrets_make("fnl-relay-", token);
    secrets_hash(&a->secrets, slice_str(token), hash);
    struct actor by;
    actor_of(rq, &by);
    text_fit(by.login, sizeof by.login, "relay key");
    int rc = store_relay_row(a, &by, &r, &key, slice_of(hash, sizeof hash));
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    log_info("relay.enrolled", F_STR("relay", r.name), F_STR("host", r.host));
    AUTO(js_freep) struct js *out = js_object();
    js_set_cstr(out, "relayId", r.stable_id);
    js_set_cstr(out, "relayToken", token);
    reply_json(rq, 200, out);
    secret_wipe(token, sizeof token);
    bus_wake(a);
}

void relay_stream(void *app, struct http_rq *rq)
{
    bus_add_relay(app, rq, &auth_identity(rq)->relay);
}

/* ---- reports ---- */

struct online {
    int64_t relay;
    const struct js *nodes;
    bool differs;
    int rc;
    struct app *a;
};

static int store_online(struct app *a, int64_t relay, const struct js *nodes)
{
    int rc = store_relay_nodes_clear(a->db, relay);
    for (size_t i = 0; !rc && i < js_len(nodes); i++) {
        struct store_node n;
        const struct js *j = js_at(nodes, i);
        rc = store_node_by_stable(a->db, js_get_str(j, "node"), &n);
        if (rc == STORE_NONE) {
            rc = 0; /* it has gone meanwhile */
        } else if (!rc) {
            rc = store_relay_node_add(a->db, relay, n.id, (struct wall){js_get_int(j, "since", 0)});
            rc = rc ? rc : store_change(a->db, a->tailnet.id, "online", n.id);
        }
    }
    return rc;
}

static void find_difference(void *arg, const struct store_node *n)
{
    struct online *o = arg;
    bool told = false;
    for (size_t i = 0; i < js_len(o->nodes); i++) {
        told = told || slice_eq(js_get_str(js_at(o->nodes, i), "node"), slice_str(n->stable_id));
    }
    int rc = store_node_at_relay(o->a->db, o->relay, n->id);
    o->rc = rc < 0 ? rc : o->rc;
    o->differs = o->differs || told != (rc == 0);
}

static void note_presence(struct app *a, int64_t relay, const struct js *j)
{
    bool was = presence_relay_up(a->presence, relay);
    const struct js *c = js_get(j, "counters");
    presence_relay_report(a->presence, relay, (struct wall){js_get_int(j, "time", 0)});
    struct presence_relay *p = presence_relay_counters(a->presence, relay);
    p->visitors = js_get_int(c, "visitors", 0);
    p->refused = js_get_int(c, "refused", 0);
    p->bytes_in = js_get_int(c, "bytesIn", 0);
    p->bytes_out = js_get_int(c, "bytesOut", 0);
    if (was != presence_relay_up(a->presence, relay)) {
        ready_change(a, 0);
    }
}

void relay_report(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"version", JS_INT, true, 0},
                                             {"nodes", JS_ARRAY, true, 200000}};
    struct app *a = app;
    struct store_relay *r = &auth_identity(rq)->relay;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (!j) {
        return;
    }
    note_presence(a, r->id, j);
    struct online o = {.relay = r->id, .nodes = js_get(j, "nodes"), .a = a};
    int rc = store_nodes_each(a->db, find_difference, &o);
    rc = rc ? rc : o.rc;
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    int64_t version = js_get_int(j, "version", 0);
    if (o.differs || version != r->acked) {
        AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
        rc = tx ? store_relay_acked(a->db, r->id, version) : -EIO;
        rc = rc || !o.differs ? rc : store_online(a, r->id, o.nodes);
        rc = rc ? rc : db_commit(&tx);
        if (rc) {
            reply_broken(rq, rc);
            return;
        }
        bus_wake(a);
    }
    reply_none(rq);
}
