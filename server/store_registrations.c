/* Registrations that wait for a person, and the terms of nodes. */
#include "server/store_registrations.h"

#include "server/store_priv.h"

int store_node_terms(struct db *d, int64_t node, const struct store_node_terms *t)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE nodes SET authorized = :authorized, ephemeral = :ephemeral,"
                   " key_expires = :expires, registered_by = :by, tags = :tags WHERE id = :id");
    db_bind_i64(s, ":authorized", t->authorized);
    db_bind_i64(s, ":ephemeral", t->ephemeral);
    if (t->key_expires.s) {
        db_bind_i64(s, ":expires", t->key_expires.s);
    }
    if (t->registered_by) {
        db_bind_i64(s, ":by", t->registered_by);
    }
    db_bind_text(s, ":tags", t->tags.n ? t->tags : S("[]"));
    db_bind_i64(s, ":id", node);
    return store_touched(d, s);
}

int store_node_renewed(struct db *d, int64_t node, struct wall key_expires)
{
    struct db_stmt *s = db_stmt(d, "UPDATE nodes SET key_expires = :expires WHERE id = :id");
    if (key_expires.s) {
        db_bind_i64(s, ":expires", key_expires.s);
    }
    db_bind_i64(s, ":id", node);
    return store_touched(d, s);
}

/* ---- registrations ---- */

int store_registration_create(struct db *d,
                              int64_t tailnet,
                              const struct store_registration *r,
                              struct slice poll_hash)
{
    struct db_stmt *s = db_stmt(
        d,
        "INSERT INTO registrations(tailnet_id, stable_id, poll_hash, hostname, os, version,"
        " transport_key, match_code, remote, state, created, expires) VALUES(:tailnet, :stable,"
        " :hash, :hostname, :os, :version, :key, :code, :remote, 'pending', :created, :expires)");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_text(s, ":stable", slice_str(r->stable_id));
    db_bind_blob(s, ":hash", poll_hash);
    db_bind_text(s, ":hostname", slice_str(r->hostname));
    db_bind_text(s, ":os", slice_str(r->os));
    db_bind_text(s, ":version", slice_str(r->version));
    db_bind_text(s, ":key", slice_str(r->transport_key));
    db_bind_text(s, ":code", slice_str(r->match_code));
    db_bind_text(s, ":remote", slice_str(r->remote));
    db_bind_i64(s, ":created", r->created.s);
    db_bind_i64(s, ":expires", r->expires.s);
    return store_result(db_exec(s));
}

#define REGISTRATION_COLUMNS                                                                    \
    "SELECT id, coalesce(node_id, 0) AS node, stable_id, hostname, os, version, transport_key," \
    " match_code, remote, state, coalesce(decided_by, '') AS decided_by, created, expires"      \
    " FROM registrations WHERE "

static int one(struct db_stmt *s, struct store_registration *out)
{
    int rc = db_step(s);
    if (rc == DB_ROW) {
        *out = (struct store_registration){.id = db_col_i64(s, "id"),
                                           .node_id = db_col_i64(s, "node"),
                                           .created = {db_col_i64(s, "created")},
                                           .expires = {db_col_i64(s, "expires")}};
        STORE_COPY(s, "stable_id", out->stable_id);
        STORE_COPY(s, "hostname", out->hostname);
        STORE_COPY(s, "os", out->os);
        STORE_COPY(s, "version", out->version);
        STORE_COPY(s, "transport_key", out->transport_key);
        STORE_COPY(s, "match_code", out->match_code);
        STORE_COPY(s, "remote", out->remote);
        STORE_COPY(s, "state", out->state);
        STORE_COPY(s, "decided_by", out->decided_by);
    }
    return store_found(rc);
}

int store_registration(struct db *d, struct slice stable_id, struct store_registration *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, REGISTRATION_COLUMNS "stable_id = :stable");
    db_bind_text(s, ":stable", stable_id);
    return one(s, out);
}

int store_registration_by_poll(struct db *d, struct slice hash, struct store_registration *out)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, REGISTRATION_COLUMNS "poll_hash = :hash");
    db_bind_blob(s, ":hash", hash);
    return one(s, out);
}

int store_registration_decide(
    struct db *d, int64_t id, const char *state, int64_t node, struct slice by)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE registrations SET state = :state, node_id = :node, decided_by = :by"
                   " WHERE id = :id AND state = 'pending' AND expires > :now");
    db_bind_text(s, ":state", slice_str(state));
    if (node) {
        db_bind_i64(s, ":node", node);
    }
    db_bind_text(s, ":by", by);
    db_bind_i64(s, ":id", id);
    db_bind_i64(s, ":now", wall_now().s);
    return store_touched(d, s);
}

int store_registration_taken(struct db *d, int64_t id)
{
    struct db_stmt *s = db_stmt(d, "UPDATE registrations SET state = 'taken' WHERE id = :id");
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int64_t store_registrations_waiting(struct db *d, struct slice remote)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT count(*) AS n FROM registrations WHERE state = 'pending'"
                                   " AND expires > :now AND (:remote = '' OR remote = :remote)");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_text(s, ":remote", remote);
    return store_number(s, "n");
}

int store_registrations_expire(struct db *d, struct wall now, int *out_count)
{
    struct db_stmt *s = db_stmt(d, "UPDATE registrations SET state = 'expired'"
                                   " WHERE state = 'pending' AND expires <= :now");
    db_bind_i64(s, ":now", now.s);
    int rc = store_result(db_exec(s));
    if (!rc) {
        *out_count = (int)db_changes(d);
    }
    return rc;
}

int store_registration_orphan(struct db *d, struct wall before, int64_t *out_node)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT node_id FROM registrations WHERE state = 'granted' AND"
                   " node_id IS NOT NULL AND expires <= :before ORDER BY id LIMIT 1");
    db_bind_i64(s, ":before", before.s);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        *out_node = db_col_i64(s, "node_id");
    }
    return store_found(rc);
}
