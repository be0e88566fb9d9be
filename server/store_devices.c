/* Approval, names, expiry, attributes and presence of nodes. */
#include "server/store_devices.h"

#include "server/store_priv.h"

int store_node_authorize(struct db *d, int64_t id, bool authorized)
{
    struct db_stmt *s = db_stmt(d, "UPDATE nodes SET authorized = :on WHERE id = :id");
    db_bind_i64(s, ":on", authorized);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_node_label(struct db *d, int64_t id, struct slice label)
{
    struct db_stmt *s = db_stmt(d, "UPDATE nodes SET label = :label WHERE id = :id");
    db_bind_text(s, ":label", label);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_node_expiry(struct db *d, int64_t id, bool disabled, struct wall expires)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE nodes SET key_expiry_disabled = :disabled, key_expires = :expires"
                   " WHERE id = :id");
    db_bind_i64(s, ":disabled", disabled);
    if (expires.s) {
        db_bind_i64(s, ":expires", expires.s);
    }
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_node_seen(struct db *d, int64_t id, struct wall at)
{
    struct db_stmt *s = db_stmt(d, "UPDATE nodes SET last_seen = :at WHERE id = :id");
    db_bind_i64(s, ":at", at.s);
    db_bind_i64(s, ":id", id);
    return store_result(db_exec(s));
}

int store_cert_forget(struct db *d, int64_t node)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM certificates WHERE node_id = :node");
    db_bind_i64(s, ":node", node);
    return store_result(db_exec(s));
}

static int each_id(struct db_stmt *s, store_id_fn fn, void *arg)
{
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        fn(arg, db_col_i64(s, "id"));
    }
    return store_seen(rc);
}

int store_nodes_expiring(struct db *d, struct wall until, int64_t told, store_id_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT id FROM nodes WHERE key_expires IS NOT NULL AND key_expiry_disabled = 0"
                   " AND expiry_told < 2 AND expiry_told < :told AND key_expires <= :until");
    db_bind_i64(s, ":told", told);
    db_bind_i64(s, ":until", until.s);
    return each_id(s, fn, arg);
}

int store_node_told(struct db *d, int64_t id, int64_t told)
{
    struct db_stmt *s = db_stmt(d, "UPDATE nodes SET expiry_told = :told WHERE id = :id");
    db_bind_i64(s, ":told", told);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_nodes_away(struct db *d, struct wall before, store_id_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d, "SELECT id FROM nodes WHERE ephemeral = 1 AND coalesce(last_seen, created) < :before");
    db_bind_i64(s, ":before", before.s);
    return each_id(s, fn, arg);
}

/* ---- attributes ---- */

int store_attributes_each(
    struct db *d, int64_t node, struct wall now, store_attribute_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d, "SELECT name, value, comment, coalesce(expires, 0) AS expires FROM node_attributes"
           " WHERE node_id = :node AND coalesce(expires, :now + 1) > :now ORDER BY name");
    db_bind_i64(s, ":node", node);
    db_bind_i64(s, ":now", now.s);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        struct store_attribute x = {.name = db_col_text(s, "name"),
                                    .value = db_col_text(s, "value"),
                                    .comment = db_col_text(s, "comment"),
                                    .expires = {db_col_i64(s, "expires")}};
        fn(arg, &x);
    }
    return store_seen(rc);
}

int store_attribute_set(struct db *d, int64_t node, const struct store_attribute *x)
{
    struct db_stmt *s = db_stmt(
        d, "INSERT OR REPLACE INTO node_attributes(node_id, name, value, expires, comment, updated)"
           " VALUES(:node, :name, :value, :expires, :comment, :now)");
    db_bind_i64(s, ":node", node);
    db_bind_text(s, ":name", x->name);
    db_bind_text(s, ":value", x->value);
    if (x->expires.s) {
        db_bind_i64(s, ":expires", x->expires.s);
    }
    db_bind_text(s, ":comment", x->comment);
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

int store_attribute_delete(struct db *d, int64_t node, struct slice name)
{
    struct db_stmt *s =
        db_stmt(d, "DELETE FROM node_attributes WHERE node_id = :node AND name = :name");
    db_bind_i64(s, ":node", node);
    db_bind_text(s, ":name", name);
    return store_touched(d, s);
}

int store_attributes_trim(struct db *d, struct wall now)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM node_attributes WHERE expires <= :now");
    db_bind_i64(s, ":now", now.s);
    return store_result(db_exec(s));
}
