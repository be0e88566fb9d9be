/* Funnels and certificates. */
#include "server/store_priv.h"

/* ---- funnels ---- */

#define FUNNEL_COLUMNS "id, stable_id, node_id, port, kind, target, source, created FROM funnels "

static void read_funnel(struct db_stmt *s, struct store_funnel *f)
{
    f->id = db_col_i64(s, "id");
    f->node_id = db_col_i64(s, "node_id");
    f->port = db_col_i64(s, "port");
    f->created = (struct wall){db_col_i64(s, "created")};
    STORE_COPY(s, "stable_id", f->stable_id);
    STORE_COPY(s, "kind", f->kind);
    STORE_COPY(s, "target", f->target);
    STORE_COPY(s, "source", f->source);
}

int store_funnels_each(struct db *d, int64_t node, store_funnel_fn fn, void *arg)
{
    /* Two statements: with an OR SQLite would read the whole table for one node. */
    AUTO(db_resetp)
    struct db_stmt *s =
        node ? db_stmt(d, "SELECT " FUNNEL_COLUMNS "WHERE node_id = :node ORDER BY port")
             : db_stmt(d, "SELECT " FUNNEL_COLUMNS "ORDER BY node_id, port");
    if (node) {
        db_bind_i64(s, ":node", node);
    }
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        struct store_funnel f = {.id = 0};
        read_funnel(s, &f);
        fn(arg, &f);
    }
    return store_seen(rc);
}

int store_funnels_after(struct db *d, int64_t after, int64_t limit, store_funnel_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT " FUNNEL_COLUMNS "WHERE id > :after ORDER BY id LIMIT :limit");
    db_bind_i64(s, ":after", after);
    db_bind_i64(s, ":limit", limit);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        struct store_funnel f = {.id = 0};
        read_funnel(s, &f);
        fn(arg, &f);
    }
    return store_seen(rc);
}

int store_funnel(struct db *d, struct slice stable_id, struct store_funnel *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT " FUNNEL_COLUMNS "WHERE stable_id = :id");
    db_bind_text(s, ":id", stable_id);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        read_funnel(s, out);
    }
    return store_found(rc);
}

int store_funnel_put(struct db *d, const struct store_funnel *f)
{
    char id[STORE_ID_CHARS + 1];
    secret_id(id, STORE_ID_CHARS);
    struct db_stmt *s = db_stmt(
        d,
        "INSERT INTO funnels(stable_id, node_id, port, kind, target, source, created)"
        " VALUES(:stable, :node, :port, :kind, :target, :source, :now)"
        " ON CONFLICT(node_id, port) DO UPDATE SET kind = :kind, target = :target, source = :source"
        " WHERE kind <> :kind OR target <> :target OR source <> :source");
    db_bind_text(s, ":stable", slice_str(id));
    db_bind_i64(s, ":node", f->node_id);
    db_bind_i64(s, ":port", f->port);
    db_bind_text(s, ":kind", slice_str(f->kind));
    db_bind_text(s, ":target", slice_str(f->target));
    db_bind_text(s, ":source", slice_str(f->source));
    db_bind_i64(s, ":now", wall_now().s);
    return store_touched(d, s);
}

int store_funnel_delete(struct db *d, int64_t node, int64_t port)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM funnels WHERE node_id = :node AND port = :port");
    db_bind_i64(s, ":node", node);
    db_bind_i64(s, ":port", port);
    return store_touched(d, s);
}

int store_funnel_nodes(struct db *d, int64_t *after, int64_t limit, store_id_fn fn, void *arg)
{
    int64_t count = 0;
    int rc;
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT DISTINCT node_id FROM funnels WHERE node_id > :after"
                                   " ORDER BY node_id LIMIT :limit");
    db_bind_i64(s, ":after", *after);
    db_bind_i64(s, ":limit", limit);
    for (; (rc = db_step(s)) == DB_ROW; count++) {
        *after = db_col_i64(s, "node_id");
        fn(arg, *after);
    }
    *after = count < limit ? -1 : *after;
    return store_seen(rc);
}

/* ---- certificates ---- */

int store_cert(
    struct db *d, int64_t node, struct store_cert *out, struct buf *out_chain, struct buf *out_csr)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT order_id, csr, spki, state, error, retry_at, tries, chain, chain_spki,"
                   " not_after, issuer, updated FROM certificates WHERE node_id = :node");
    db_bind_i64(s, ":node", node);
    int rc = db_step(s);
    if (rc == DB_ROW && ((out_chain && buf_push(out_chain, db_col_text(s, "chain"))) ||
                         (out_csr && buf_push(out_csr, db_col_text(s, "csr"))))) {
        return err_origin(-EMSGSIZE);
    }
    if (rc == DB_ROW) {
        out->node_id = node;
        STORE_COPY(s, "order_id", out->order_id);
        STORE_COPY(s, "state", out->state);
        STORE_COPY(s, "error", out->error);
        STORE_COPY(s, "spki", out->spki);
        STORE_COPY(s, "chain_spki", out->chain_spki);
        STORE_COPY(s, "issuer", out->issuer);
        out->retry_at = (struct wall){db_col_i64(s, "retry_at")};
        out->not_after = (struct wall){db_col_i64(s, "not_after")};
        out->updated = (struct wall){db_col_i64(s, "updated")};
        out->tries = db_col_i64(s, "tries");
    }
    return store_found(rc);
}

int store_cert_order(
    struct db *d, int64_t node, const char *order_id, struct slice csr, const char *spki)
{
    struct db_stmt *s = db_stmt(
        d,
        "INSERT INTO certificates(node_id, order_id, csr, spki, state, updated)"
        " VALUES(:node, :order, :csr, :spki, 'queued', :now)"
        " ON CONFLICT(node_id) DO UPDATE SET order_id = :order, csr = :csr, spki = :spki, state = 'queued',"
        " error = '', retry_at = 0, tries = 0, updated = :now");
    db_bind_i64(s, ":node", node);
    db_bind_text(s, ":order", slice_str(order_id));
    db_bind_text(s, ":csr", csr);
    db_bind_text(s, ":spki", slice_str(spki));
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

int store_cert_state(
    struct db *d, int64_t node, const char *state, struct slice error, struct wall retry_at)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE certificates SET state = :state, error = :error, retry_at = :retry,"
                   " tries = tries + (:state = 'issuing'), updated = :now WHERE node_id = :node");
    db_bind_text(s, ":state", slice_str(state));
    db_bind_text(s, ":error", error);
    db_bind_i64(s, ":retry", retry_at.s);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":node", node);
    return store_result(db_exec(s));
}

int store_cert_issued(struct db *d,
                      int64_t node,
                      struct slice chain,
                      const char *chain_spki,
                      struct wall not_after,
                      struct slice issuer)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE certificates SET state = 'issued', error = '', retry_at = 0, tries = 0,"
                   " chain = :chain, chain_spki = :spki, not_after = :after, issuer = :issuer,"
                   " updated = :now WHERE node_id = :node");
    db_bind_text(s, ":chain", chain);
    db_bind_text(s, ":spki", slice_str(chain_spki));
    db_bind_i64(s, ":after", not_after.s);
    db_bind_text(s, ":issuer", issuer);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":node", node);
    return store_result(db_exec(s));
}

int store_certs_due(struct db *d, struct wall now, store_cert_fn fn, void *arg)
{
    int64_t last = 0;
    for (;;) {
        AUTO(db_resetp)
        struct db_stmt *s =
            db_stmt(d, "SELECT node_id FROM certificates WHERE node_id > :last AND"
                       " (state IN ('queued', 'issuing') OR (state = 'failed' AND retry_at > 0"
                       " AND retry_at <= :now)) ORDER BY node_id LIMIT 1");
        db_bind_i64(s, ":last", last);
        db_bind_i64(s, ":now", now.s);
        int rc = db_step(s);
        if (rc != DB_ROW) {
            return store_seen(rc);
        }
        last = db_col_i64(s, "node_id");
        db_reset(s);
        fn(arg, last);
    }
}
