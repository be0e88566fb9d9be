/* Probes, URLs turned off, and the change log for browsers. */
#include "server/store_ready.h"

#include "server/store_priv.h"

/* ---- probes ---- */

int store_probe_put(struct db *d, int64_t funnel, const struct store_probe *p)
{
    struct db_stmt *s = db_stmt(
        d, "INSERT INTO probes(funnel_id, step, state, code, text, fix, at)"
           " VALUES(:funnel, :step, :state, :code, :text, :fix, :at)"
           " ON CONFLICT(funnel_id, step) DO UPDATE SET state = :state, code = :code, text = :text,"
           " fix = :fix, at = :at");
    db_bind_i64(s, ":funnel", funnel);
    db_bind_text(s, ":step", p->step);
    db_bind_text(s, ":state", p->state);
    db_bind_text(s, ":code", p->code);
    db_bind_text(s, ":text", p->text);
    db_bind_text(s, ":fix", p->fix);
    db_bind_i64(s, ":at", p->at.s);
    return store_result(db_exec(s));
}

int store_probes_each(struct db *d, int64_t funnel, store_probe_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT step, state, code, text, fix, at FROM probes WHERE funnel_id = :funnel");
    db_bind_i64(s, ":funnel", funnel);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        struct store_probe p = {.step = db_col_text(s, "step"),
                                .state = db_col_text(s, "state"),
                                .code = db_col_text(s, "code"),
                                .text = db_col_text(s, "text"),
                                .fix = db_col_text(s, "fix"),
                                .at = {db_col_i64(s, "at")}};
        fn(arg, &p);
    }
    return store_seen(rc);
}

/* ---- turned off ---- */

int store_off_put(struct db *d, int64_t node, int64_t port, struct slice by)
{
    struct db_stmt *s = db_stmt(d, "INSERT OR REPLACE INTO funnel_offs(node_id, port, by, at)"
                                   " VALUES(:node, :port, :by, :now)");
    db_bind_i64(s, ":node", node);
    db_bind_i64(s, ":port", port);
    db_bind_text(s, ":by", by);
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

int store_off_clear(struct db *d, int64_t node, int64_t port)
{
    struct db_stmt *s =
        db_stmt(d, "DELETE FROM funnel_offs WHERE node_id = :node AND port = :port");
    db_bind_i64(s, ":node", node);
    db_bind_i64(s, ":port", port);
    return store_touched(d, s);
}

int store_offs_each(struct db *d, int64_t node, store_off_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT port, by, at FROM funnel_offs WHERE node_id = :node ORDER BY port");
    db_bind_i64(s, ":node", node);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        struct store_off o = {.port = db_col_i64(s, "port"), .at = {db_col_i64(s, "at")}};
        STORE_COPY(s, "by", o.by);
        fn(arg, &o);
    }
    return store_seen(rc);
}

/* ---- the change log ---- */

int store_topic(struct db *d, int64_t tailnet, const char *topic, int64_t node)
{
    struct db_stmt *s = db_stmt(d, "INSERT INTO changes(tailnet_id, kind, topic, node_id, at)"
                                   " VALUES(:tailnet, 'policy', :topic, :node, :now)");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_text(s, ":topic", slice_str(topic));
    if (node) {
        db_bind_i64(s, ":node", node);
    }
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

int store_changes_live(struct db *d, int64_t *seq, int64_t limit, store_live_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d,
        "SELECT seq, CASE topic WHEN '' THEN kind ELSE topic END AS kind, coalesce(node_id, 0) AS node, coalesce(owner_id, 0) AS owner,"
        " node_ref FROM changes WHERE seq > :seq ORDER BY seq LIMIT :limit");
    db_bind_i64(s, ":seq", *seq);
    db_bind_i64(s, ":limit", limit);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        struct store_live_change c = {.seq = db_col_i64(s, "seq"),
                                      .node = db_col_i64(s, "node"),
                                      .owner = db_col_i64(s, "owner"),
                                      .kind = db_col_text(s, "kind"),
                                      .node_ref = db_col_text(s, "node_ref")};
        *seq = c.seq;
        fn(arg, &c);
    }
    return store_seen(rc);
}

int64_t store_changes_first(struct db *d)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT coalesce(min(seq), 0) AS first FROM changes");
    return store_number(s, "first");
}

/* ---- odds and ends ---- */

int store_node_grant(struct db *d, int64_t node, struct store_grant_row *out)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT selector, granted_by, coalesce(expires, 0) AS expires FROM grants"
                   " WHERE node_id = :node AND ended IS NULL ORDER BY id DESC LIMIT 1");
    db_bind_i64(s, ":node", node);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        STORE_COPY(s, "selector", out->selector);
        STORE_COPY(s, "granted_by", out->granted_by);
        out->expires = (struct wall){db_col_i64(s, "expires")};
    }
    return store_found(rc);
}

int store_session_there(struct db *d, struct slice stable_id)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT 1 AS one FROM sessions WHERE stable_id = :id");
    db_bind_text(s, ":id", stable_id);
    return store_found(db_step(s));
}

int64_t store_relay_sessions(struct db *d, int64_t relay)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT count(*) AS n FROM relay_nodes WHERE relay_id = :relay");
    db_bind_i64(s, ":relay", relay);
    return store_number(s, "n");
}

int64_t store_count_nodes(struct db *d)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, "SELECT count(*) AS n FROM nodes");
    return store_number(s, "n");
}

int64_t store_count_funnels(struct db *d)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, "SELECT count(*) AS n FROM funnels");
    return store_number(s, "n");
}

int store_node_relays(struct db *d, int64_t node, store_relay_id_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT relay_id FROM relay_nodes WHERE node_id = :node");
    db_bind_i64(s, ":node", node);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        fn(arg, db_col_i64(s, "relay_id"));
    }
    return store_seen(rc);
}
