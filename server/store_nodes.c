/* Nodes and relays, and which node is connected where. */
#include "server/store_devices.h"
#include "server/store_priv.h"

#define NODE_COLUMNS                                                                               \
    "n.id AS id, coalesce(n.user_id, 0) AS user_id, n.stable_id AS stable_id, n.label AS label,"   \
    " n.hostname AS hostname, n.os AS os, n.version AS version, n.transport_key AS transport_key," \
    " n.ipv4 AS ipv4, n.ipv6 AS ipv6, n.remote AS remote, n.created AS created,"                   \
    " n.authorized AS authorized, n.ephemeral AS ephemeral,"                                       \
    " coalesce(n.key_expires, 0) AS key_expires, n.key_expiry_disabled AS key_expiry_disabled,"    \
    " coalesce(n.last_seen, 0) AS last_seen,"                                                      \
    " coalesce(u.login, '') AS login, coalesce(u.suspended, 0) AS suspended"
#define NODE_FROM " FROM nodes n LEFT JOIN users u ON u.id = n.user_id "
#define NODE_ROW  NODE_COLUMNS NODE_FROM

static void read_node(struct db_stmt *s, struct store_node *out)
{
    out->id = db_col_i64(s, "id");
    out->user_id = db_col_i64(s, "user_id");
    STORE_COPY(s, "stable_id", out->stable_id);
    STORE_COPY(s, "label", out->label);
    STORE_COPY(s, "hostname", out->hostname);
    STORE_COPY(s, "os", out->os);
    STORE_COPY(s, "version", out->version);
    STORE_COPY(s, "transport_key", out->transport_key);
    STORE_COPY(s, "ipv4", out->ipv4);
    STORE_COPY(s, "ipv6", out->ipv6);
    STORE_COPY(s, "remote", out->remote);
    STORE_COPY(s, "login", out->login);
    out->suspended = db_col_i64(s, "suspended") != 0;
    out->authorized = db_col_i64(s, "authorized") != 0;
    out->ephemeral = db_col_i64(s, "ephemeral") != 0;
    out->expiry_disabled = db_col_i64(s, "key_expiry_disabled") != 0;
    out->key_expires = (struct wall){db_col_i64(s, "key_expires")};
    out->last_seen = (struct wall){db_col_i64(s, "last_seen")};
    out->created = (struct wall){db_col_i64(s, "created")};
}

static int one_node(struct db_stmt *s, struct store_node *out)
{
    int rc = db_step(s);
    if (rc == DB_ROW) {
        read_node(s, out);
    }
    return store_found(rc);
}

static int set_token(struct db *d, int64_t node, struct slice hash)
{
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO node_keys(node_id, hash, created) VALUES(:node, :hash, :now)"
                   " ON CONFLICT(node_id) DO UPDATE SET hash = :hash, created = :now");
    db_bind_i64(s, ":node", node);
    db_bind_blob(s, ":hash", hash);
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

int store_node_create(
    struct db *d, int64_t tailnet, const struct store_node *n, struct slice hash, int64_t *out_id)
{
    struct db_stmt *s = db_stmt(
        d,
        "INSERT INTO nodes(tailnet_id, stable_id, user_id, label, hostname, os, version, transport_key, ipv4, ipv6,"
        " remote, created) VALUES(:tailnet, :stable, :user, :label, :hostname, :os, :version, :key, :ipv4, :ipv6,"
        " :remote, :now)");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_text(s, ":stable", slice_str(n->stable_id));
    if (n->user_id) {
        db_bind_i64(s, ":user", n->user_id);
    }
    db_bind_text(s, ":label", slice_str(n->label));
    db_bind_text(s, ":hostname", slice_str(n->hostname));
    db_bind_text(s, ":os", slice_str(n->os));
    db_bind_text(s, ":version", slice_str(n->version));
    db_bind_text(s, ":key", slice_str(n->transport_key));
    db_bind_text(s, ":ipv4", slice_str(n->ipv4));
    db_bind_text(s, ":ipv6", slice_str(n->ipv6));
    db_bind_text(s, ":remote", slice_str(n->remote));
    db_bind_i64(s, ":now", wall_now().s);
    int rc = store_result(db_exec(s));
    if (rc) {
        return rc;
    }
    int64_t id = db_last_id(d);
    rc = set_token(d, id, hash);
    if (!rc) {
        *out_id = id;
    }
    return rc;
}

int store_node_rekey(struct db *d, int64_t id, struct slice hash)
{
    return set_token(d, id, hash);
}

int store_node(struct db *d, int64_t id, struct store_node *out)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, "SELECT " NODE_ROW "WHERE n.id = :id");
    db_bind_i64(s, ":id", id);
    return one_node(s, out);
}

int store_node_by_token(struct db *d, struct slice hash, struct store_node *out)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT " NODE_ROW "JOIN node_keys k ON k.node_id = n.id WHERE k.hash = :hash");
    db_bind_blob(s, ":hash", hash);
    return one_node(s, out);
}

int store_node_by_stable(struct db *d, struct slice stable_id, struct store_node *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT " NODE_ROW "WHERE n.stable_id = :id");
    db_bind_text(s, ":id", stable_id);
    return one_node(s, out);
}

int store_node_by_transport(struct db *d, struct slice transport_key, struct store_node *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT " NODE_ROW "WHERE n.transport_key = :key");
    db_bind_text(s, ":key", transport_key);
    return one_node(s, out);
}

int store_label_free(struct db *d, int64_t tailnet, struct slice label)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT 1 AS one FROM nodes WHERE tailnet_id = :tailnet AND label = :label");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_text(s, ":label", label);
    int rc = db_step(s);
    return rc == DB_ROW ? STORE_CONFLICT : store_seen(rc);
}

int store_node_remote(struct db *d, int64_t id, struct slice remote)
{
    struct db_stmt *s = db_stmt(d, "UPDATE nodes SET remote = :remote WHERE id = :id");
    db_bind_text(s, ":remote", remote);
    db_bind_i64(s, ":id", id);
    return store_result(db_exec(s));
}

int store_node_delete(struct db *d, int64_t id)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM nodes WHERE id = :id");
    db_bind_i64(s, ":id", id);
    return store_result(db_exec(s));
}

int64_t store_node_next_number(struct db *d)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d, "SELECT coalesce(max(seq), 0) + 1 AS next FROM sqlite_sequence WHERE name = 'nodes'");
    return store_number(s, "next");
}

/* Rows are copied out before the caller sees them: it may run other statements, also this one. */
int store_nodes_each(struct db *d, store_node_fn fn, void *arg)
{
    struct store_node n = {0};
    int64_t last = 0;
    for (;;) {
        AUTO(db_resetp)
        struct db_stmt *s =
            db_stmt(d, "SELECT " NODE_ROW "WHERE n.id > :last ORDER BY n.id LIMIT 1");
        db_bind_i64(s, ":last", last);
        int rc = one_node(s, &n);
        if (rc) {
            return rc == STORE_NONE ? 0 : rc;
        }
        db_reset(s);
        last = n.id;
        fn(arg, &n);
    }
}

/* ---- devices, as an administrator sees them ---- */

#define DEVICE_ROW                                                              \
    NODE_COLUMNS ", n.tags AS tags, coalesce(r.login, '') AS registered,"       \
                 " (SELECT count(*) FROM relay_nodes x WHERE x.node_id = n.id)" \
                 " AS relays" NODE_FROM                                         \
                 "LEFT JOIN users r ON r.id = coalesce(n.registered_by, n.user_id) "

static void read_device(struct db_stmt *s, struct store_device *out)
{
    read_node(s, &out->node);
    if (!slice_copy(db_col_text(s, "tags"), out->tags, sizeof out->tags)) {
        memcpy(out->tags, "[]", sizeof "[]");
    }
    STORE_COPY(s, "registered", out->registered);
    out->relays = db_col_i64(s, "relays");
}

static int one_device(struct db_stmt *s, struct store_device *out)
{
    int rc = db_step(s);
    if (rc == DB_ROW) {
        read_device(s, out);
    }
    return store_found(rc);
}

int store_device(struct db *d, struct slice stable_id, struct store_device *out)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, "SELECT " DEVICE_ROW "WHERE n.stable_id = :id");
    db_bind_text(s, ":id", stable_id);
    return one_device(s, out);
}

int store_device_by_number(struct db *d, int64_t id, struct store_device *out)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, "SELECT " DEVICE_ROW "WHERE n.id = :id");
    db_bind_i64(s, ":id", id);
    return one_device(s, out);
}

int store_devices_each(struct db *d, int64_t tailnet, int64_t after, store_device_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT " DEVICE_ROW
                                   "WHERE n.tailnet_id = :tailnet AND n.id > :after ORDER BY n.id");
    struct store_device x = {.relays = 0};
    bool more = true;
    int rc = DB_DONE;
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_i64(s, ":after", after);
    while (more && (rc = db_step(s)) == DB_ROW) {
        read_device(s, &x);
        more = fn(arg, &x);
    }
    return more ? store_seen(rc) : 0;
}

/* ---- relays ---- */

#define RELAY_COLUMNS \
    "id, stable_id, name, host, addresses, port, ports, pins, version, acked FROM relays "

static int one_relay(struct db_stmt *s, struct store_relay *out)
{
    int rc = db_step(s);
    if (rc == DB_ROW) {
        out->id = db_col_i64(s, "id");
        STORE_COPY(s, "stable_id", out->stable_id);
        STORE_COPY(s, "name", out->name);
        STORE_COPY(s, "host", out->host);
        STORE_COPY(s, "addresses", out->addresses);
        STORE_COPY(s, "ports", out->ports);
        STORE_COPY(s, "pins", out->pins);
        STORE_COPY(s, "version", out->version);
        out->port = db_col_i64(s, "port");
        out->acked = db_col_i64(s, "acked");
    }
    return store_found(rc);
}

/* A relay that enrols again under its name replaces itself: same stable id, new token and
 * addresses. */
int store_relay_create(struct db *d, const struct store_relay *r, struct slice hash)
{
    struct db_stmt *s = db_stmt(
        d,
        "INSERT INTO relays(stable_id, name, host, addresses, port, ports, pins, version, hash, created)"
        " VALUES(:stable, :name, :host, :addresses, :port, :ports, :pins, :version, :hash, :now)"
        " ON CONFLICT(name) DO UPDATE SET host = :host, addresses = :addresses, port = :port, ports = :ports,"
        " pins = :pins, version = :version, hash = :hash, acked = 0");
    db_bind_text(s, ":stable", slice_str(r->stable_id));
    db_bind_text(s, ":name", slice_str(r->name));
    db_bind_text(s, ":host", slice_str(r->host));
    db_bind_text(s, ":addresses", slice_str(r->addresses));
    db_bind_i64(s, ":port", r->port);
    db_bind_text(s, ":ports", slice_str(r->ports));
    db_bind_text(s, ":pins", slice_str(r->pins));
    db_bind_text(s, ":version", slice_str(r->version));
    db_bind_blob(s, ":hash", hash);
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

int store_relay_by_token(struct db *d, struct slice hash, struct store_relay *out)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, "SELECT " RELAY_COLUMNS "WHERE hash = :hash");
    db_bind_blob(s, ":hash", hash);
    return one_relay(s, out);
}

int store_relay_acked(struct db *d, int64_t id, int64_t version)
{
    struct db_stmt *s = db_stmt(d, "UPDATE relays SET acked = :version WHERE id = :id");
    db_bind_i64(s, ":version", version);
    db_bind_i64(s, ":id", id);
    return store_result(db_exec(s));
}

int store_relays_each(struct db *d, store_relay_fn fn, void *arg)
{
    struct store_relay r = {0};
    int64_t last = 0;
    for (;;) {
        AUTO(db_resetp)
        struct db_stmt *s =
            db_stmt(d, "SELECT " RELAY_COLUMNS "WHERE id > :last ORDER BY id LIMIT 1");
        db_bind_i64(s, ":last", last);
        int rc = one_relay(s, &r);
        if (rc) {
            return rc == STORE_NONE ? 0 : rc;
        }
        db_reset(s);
        last = r.id;
        fn(arg, &r);
    }
}

int store_relay_nodes_clear(struct db *d, int64_t relay)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM relay_nodes WHERE relay_id = :relay");
    db_bind_i64(s, ":relay", relay);
    return store_result(db_exec(s));
}

int store_relay_node_add(struct db *d, int64_t relay, int64_t node, struct wall since)
{
    struct db_stmt *s = db_stmt(d, "INSERT OR REPLACE INTO relay_nodes(relay_id, node_id, since)"
                                   " VALUES(:relay, :node, :since)");
    db_bind_i64(s, ":relay", relay);
    db_bind_i64(s, ":node", node);
    db_bind_i64(s, ":since", since.s);
    return store_result(db_exec(s));
}

int store_relay_nodes_each(struct db *d, int64_t node, store_relay_node_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT r.stable_id AS stable_id, x.since AS since FROM relay_nodes x"
                   " JOIN relays r ON r.id = x.relay_id WHERE x.node_id = :node ORDER BY r.id");
    db_bind_i64(s, ":node", node);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        fn(arg, db_col_text(s, "stable_id"), (struct wall){db_col_i64(s, "since")});
    }
    return store_seen(rc);
}

int64_t store_node_online_relays(struct db *d, int64_t node)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT count(*) AS n FROM relay_nodes WHERE node_id = :node");
    db_bind_i64(s, ":node", node);
    return store_number(s, "n");
}

int store_node_at_relay(struct db *d, int64_t relay, int64_t node)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT 1 AS one FROM relay_nodes WHERE relay_id = :relay AND node_id = :node");
    db_bind_i64(s, ":relay", relay);
    db_bind_i64(s, ":node", node);
    return store_found(db_step(s));
}
