/* Requests for Funnel, and what was granted. */
#include "server/store_requests.h"

#include "server/store_priv.h"

/* ---- requests ---- */

#define REQUEST_COLUMNS                                                                \
    "r.id AS id, r.stable_id AS stable_id, coalesce(r.node_id, 0) AS node_id,"         \
    " r.label AS label, r.requester AS requester, r.port AS port, r.target AS target," \
    " r.match_code AS match_code, r.wrong_codes AS wrong_codes, r.remote AS remote,"   \
    " r.state AS state, r.wish_reason AS wish_reason, r.wish_until AS wish_until,"     \
    " coalesce(r.notified, 0) AS notified, r.event_group AS event_group,"              \
    " r.created AS created, r.expires AS expires, coalesce(r.decided, 0) AS decided,"  \
    " coalesce(r.decided_by, '') AS decided_by, coalesce(r.reason, '') AS reason FROM requests r "

static void read_request(struct db_stmt *s, struct store_request *out)
{
    out->id = db_col_i64(s, "id");
    out->node_id = db_col_i64(s, "node_id");
    out->port = db_col_i64(s, "port");
    out->wish_until = db_col_i64(s, "wish_until");
    out->wrong_codes = db_col_i64(s, "wrong_codes");
    STORE_COPY(s, "stable_id", out->stable_id);
    STORE_COPY(s, "label", out->label);
    STORE_COPY(s, "requester", out->requester);
    STORE_COPY(s, "target", out->target);
    STORE_COPY(s, "match_code", out->match_code);
    STORE_COPY(s, "remote", out->remote);
    STORE_COPY(s, "state", out->state);
    STORE_COPY(s, "wish_reason", out->wish_reason);
    STORE_COPY(s, "event_group", out->group);
    STORE_COPY(s, "decided_by", out->decided_by);
    STORE_COPY(s, "reason", out->reason);
    out->created = (struct wall){db_col_i64(s, "created")};
    out->expires = (struct wall){db_col_i64(s, "expires")};
    out->decided = (struct wall){db_col_i64(s, "decided")};
    out->notified = (struct wall){db_col_i64(s, "notified")};
}

static int one_request(struct db_stmt *s, struct store_request *out)
{
    int rc = db_step(s);
    if (rc == DB_ROW) {
        read_request(s, out);
    }
    return store_found(rc);
}

int store_request_create(struct db *d, const struct store_request *r)
{
    struct db_stmt *s = db_stmt(
        d, "INSERT INTO requests(stable_id, node_id, label, requester, port, target, match_code,"
           " remote, state, wish_reason, wish_until, event_group, created, expires)"
           " VALUES(:stable, :node, :label, :requester, :port, :target, :code, :remote, 'pending',"
           " :reason, :until, :group, :created, :expires)");
    db_bind_text(s, ":stable", slice_str(r->stable_id));
    db_bind_i64(s, ":node", r->node_id);
    db_bind_text(s, ":label", slice_str(r->label));
    db_bind_text(s, ":requester", slice_str(r->requester));
    db_bind_i64(s, ":port", r->port);
    db_bind_text(s, ":target", slice_str(r->target));
    db_bind_text(s, ":code", slice_str(r->match_code));
    db_bind_text(s, ":remote", slice_str(r->remote));
    db_bind_text(s, ":reason", slice_str(r->wish_reason));
    db_bind_i64(s, ":until", r->wish_until);
    db_bind_text(s, ":group", slice_str(r->group));
    db_bind_i64(s, ":created", r->created.s);
    db_bind_i64(s, ":expires", r->expires.s);
    return store_result(db_exec(s));
}

int store_request(struct db *d, struct slice stable_id, struct store_request *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT " REQUEST_COLUMNS "WHERE r.stable_id = :id");
    db_bind_text(s, ":id", stable_id);
    return one_request(s, out);
}

int store_request_pending(struct db *d, int64_t node, int64_t port, struct store_request *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT " REQUEST_COLUMNS "WHERE r.node_id = :node"
                                   " AND r.port = :port AND r.state = 'pending'");
    db_bind_i64(s, ":node", node);
    db_bind_i64(s, ":port", port);
    return one_request(s, out);
}

int store_request_denied_since(
    struct db *d, int64_t node, int64_t port, struct wall since, struct store_request *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d, "SELECT " REQUEST_COLUMNS "WHERE r.node_id = :node AND r.port = :port"
           " AND r.state = 'denied' AND r.decided > :since ORDER BY r.decided DESC LIMIT 1");
    db_bind_i64(s, ":node", node);
    db_bind_i64(s, ":port", port);
    db_bind_i64(s, ":since", since.s);
    return one_request(s, out);
}

int store_request_decide(
    struct db *d, int64_t id, const char *state, struct slice by, struct slice reason)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE requests SET state = :state, decided = :now, decided_by = :by,"
                   " reason = :reason WHERE id = :id AND state = 'pending'");
    db_bind_text(s, ":state", slice_str(state));
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_text(s, ":by", by);
    db_bind_text(s, ":reason", reason);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_request_wish(
    struct db *d, int64_t id, struct slice reason, int64_t until, struct wall notified)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE requests SET wish_reason = :reason, wish_until = :until, notified ="
                   " CASE :notified WHEN 0 THEN notified ELSE :notified END"
                   " WHERE id = :id AND state = 'pending'");
    db_bind_text(s, ":reason", reason);
    db_bind_i64(s, ":until", until);
    db_bind_i64(s, ":notified", notified.s);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_request_wrong_code(struct db *d, int64_t id)
{
    struct db_stmt *s = db_stmt(d, "UPDATE requests SET wrong_codes = wrong_codes + 1"
                                   " WHERE id = :id AND state = 'pending'");
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_requests_recent(
    struct db *d, int64_t node, struct wall since, store_request_fn fn, void *arg)
{
    struct store_request r;
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT " REQUEST_COLUMNS "WHERE r.node_id = :node AND (r.state = 'pending'"
                   " OR r.decided > :since) ORDER BY r.id");
    db_bind_i64(s, ":node", node);
    db_bind_i64(s, ":since", since.s);
    int rc;
    while ((rc = one_request(s, &r)) == 0) {
        fn(arg, &r);
    }
    return rc == STORE_NONE ? 0 : rc;
}

int store_requests_pending(struct db *d, store_request_fn fn, void *arg)
{
    struct store_request r = {0};
    int64_t last = 0;
    for (;;) {
        AUTO(db_resetp)
        struct db_stmt *s =
            db_stmt(d, "SELECT " REQUEST_COLUMNS
                       "WHERE r.state = 'pending' AND r.id > :last ORDER BY r.id LIMIT 1");
        db_bind_i64(s, ":last", last);
        int rc = one_request(s, &r);
        if (rc) {
            return rc == STORE_NONE ? 0 : rc;
        }
        db_reset(s);
        last = r.id;
        fn(arg, &r);
    }
}

int store_requests_each(struct db *d,
                        const struct store_request_query *q,
                        store_request_fn fn,
                        void *arg)
{
    struct store_request r;
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT " REQUEST_COLUMNS "LEFT JOIN nodes n ON n.id = r.node_id"
                   " WHERE (:state = '' OR r.state = :state) AND (:user = 0 OR n.user_id = :user)"
                   " AND (:before = 0 OR r.id < :before) ORDER BY r.id DESC LIMIT :limit");
    db_bind_text(s, ":state", q->state);
    db_bind_i64(s, ":user", q->user);
    db_bind_i64(s, ":before", q->before);
    db_bind_i64(s, ":limit", q->limit);
    int rc;
    while ((rc = one_request(s, &r)) == 0) {
        fn(arg, &r);
    }
    return rc == STORE_NONE ? 0 : rc;
}

int store_requests_of_user(struct db *d,
                           int64_t user,
                           int64_t *out_count,
                           struct store_request *out_oldest)
{
    int64_t count = 0;
    struct store_request r;
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT " REQUEST_COLUMNS "JOIN nodes n ON n.id = r.node_id"
                   " WHERE r.state = 'pending' AND n.user_id = :user ORDER BY r.id DESC");
    db_bind_i64(s, ":user", user);
    int rc;
    while ((rc = one_request(s, &r)) == 0) {
        count++;
        *out_oldest = r;
    }
    *out_count = count;
    return rc == STORE_NONE ? 0 : rc;
}

int store_requests_made(struct db *d, int64_t node, struct wall since, int64_t *out_count)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT count(*) AS n FROM requests"
                                   " WHERE node_id = :node AND created > :since");
    db_bind_i64(s, ":node", node);
    db_bind_i64(s, ":since", since.s);
    int64_t n = store_number(s, "n");
    if (n >= 0) {
        *out_count = n;
    }
    return n < 0 ? (int)n : 0;
}

int store_request_overdue(struct db *d,
                          struct wall now,
                          struct store_request *out,
                          bool *out_key_expired)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT r.expires > :now AS key, " REQUEST_COLUMNS
                   "LEFT JOIN nodes n ON n.id = r.node_id WHERE r.state = 'pending' AND"
                   " (r.expires <= :now OR (n.key_expires <= :now AND NOT n.key_expiry_disabled))"
                   " ORDER BY r.id LIMIT 1");
    db_bind_i64(s, ":now", now.s);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        read_request(s, out);
        *out_key_expired = db_col_i64(s, "key") != 0;
    }
    return store_found(rc);
}

int store_requests_expire(struct db *d, struct wall now, int *out_count)
{
    struct db_stmt *s = db_stmt(d, "UPDATE requests SET state = 'expired', decided = :now"
                                   " WHERE state = 'pending' AND expires <= :now");
    db_bind_i64(s, ":now", now.s);
    int rc = store_result(db_exec(s));
    *out_count = rc ? 0 : db_changes(d);
    return rc;
}

/* ---- who may not ask ---- */

int store_node_bar_requests(struct db *d, int64_t node, bool barred)
{
    struct db_stmt *s = db_stmt(d, "UPDATE nodes SET requests_barred ="
                                   " CASE WHEN :barred THEN :now ELSE NULL END WHERE id = :node");
    db_bind_i64(s, ":barred", barred);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":node", node);
    return store_touched(d, s);
}

int store_node_barred(struct db *d, int64_t node)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT 1 FROM nodes WHERE id = :node AND requests_barred IS NOT NULL");
    db_bind_i64(s, ":node", node);
    return store_found(db_step(s));
}

/* ---- grants ---- */

#define GRANT_COLUMNS                                                                        \
    "id, stable_id, coalesce(request_id, 0) AS request_id, coalesce(node_id, 0) AS node_id," \
    " selector, ports, edited, granted_by, created, coalesce(expires, 0) AS expires,"        \
    " coalesce(overdue, 0) AS overdue, coalesce(ended, 0) AS ended, why FROM grants "

static int one_grant(struct db_stmt *s, struct store_grant *out)
{
    int rc = db_step(s);
    if (rc == DB_ROW) {
        out->id = db_col_i64(s, "id");
        out->request_id = db_col_i64(s, "request_id");
        out->node_id = db_col_i64(s, "node_id");
        out->edited = db_col_i64(s, "edited") != 0;
        STORE_COPY(s, "stable_id", out->stable_id);
        STORE_COPY(s, "selector", out->selector);
        STORE_COPY(s, "ports", out->ports);
        STORE_COPY(s, "granted_by", out->granted_by);
        STORE_COPY(s, "why", out->why);
        out->created = (struct wall){db_col_i64(s, "created")};
        out->expires = (struct wall){db_col_i64(s, "expires")};
        out->overdue = (struct wall){db_col_i64(s, "overdue")};
        out->ended = (struct wall){db_col_i64(s, "ended")};
    }
    return store_found(rc);
}

int store_grant_create(struct db *d, int64_t tailnet, const struct store_grant *g)
{
    char id[STORE_ID_CHARS + 1];
    secret_id(id, STORE_ID_CHARS);
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO grants(stable_id, tailnet_id, request_id, node_id, selector, ports,"
                   " edited, granted_by, created, expires) VALUES(:stable, :tailnet, :request,"
                   " :node, :selector, :ports, :edited, :by, :now, :expires)");
    db_bind_text(s, ":stable", slice_str(id));
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_i64(s, ":request", g->request_id);
    db_bind_i64(s, ":node", g->node_id);
    db_bind_text(s, ":selector", slice_str(g->selector));
    db_bind_text(s, ":ports", slice_str(g->ports));
    db_bind_i64(s, ":edited", g->edited);
    db_bind_text(s, ":by", slice_str(g->granted_by));
    db_bind_i64(s, ":now", wall_now().s);
    if (g->expires.s) {
        db_bind_i64(s, ":expires", g->expires.s);
    }
    return store_result(db_exec(s));
}

int store_grant_of_request(struct db *d, int64_t request, struct store_grant *out)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT " GRANT_COLUMNS "WHERE request_id = :request ORDER BY id DESC LIMIT 1");
    db_bind_i64(s, ":request", request);
    return one_grant(s, out);
}

int store_grant_due(struct db *d, struct wall now, int64_t after, struct store_grant *out)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT " GRANT_COLUMNS "WHERE ended IS NULL AND expires IS NOT NULL"
                   " AND expires <= :now AND id > :after ORDER BY id LIMIT 1");
    db_bind_i64(s, ":now", now.s);
    db_bind_i64(s, ":after", after);
    return one_grant(s, out);
}

int store_grant_beside(struct db *d, int64_t id, const char *selector, struct store_grant *out)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT " GRANT_COLUMNS "WHERE id <> :id AND selector = :selector"
                   " AND ended IS NULL AND (expires IS NULL OR expires > :now)"
                   " ORDER BY expires IS NULL DESC, expires DESC LIMIT 1");
    db_bind_i64(s, ":id", id);
    db_bind_text(s, ":selector", slice_str(selector));
    db_bind_i64(s, ":now", wall_now().s);
    return one_grant(s, out);
}

int store_grant_next(struct db *d, int64_t after, struct store_grant *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT " GRANT_COLUMNS "WHERE ended IS NULL AND edited = 1"
                                   " AND id > :after ORDER BY id LIMIT 1");
    db_bind_i64(s, ":after", after);
    return one_grant(s, out);
}

int store_grants_end_same(struct db *d, const struct store_grant *g, struct slice why)
{
    struct db_stmt *s = db_stmt(d, "UPDATE grants SET ended = :now, why = :why WHERE ended IS NULL"
                                   " AND selector = :selector AND ports = :ports");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_text(s, ":why", why);
    db_bind_text(s, ":selector", slice_str(g->selector));
    db_bind_text(s, ":ports", slice_str(g->ports));
    return store_result(db_exec(s));
}

int store_grant_end(struct db *d, int64_t id, struct slice why)
{
    struct db_stmt *s = db_stmt(d, "UPDATE grants SET ended = :now, why = :why"
                                   " WHERE id = :id AND ended IS NULL");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_text(s, ":why", why);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_grant_overdue(struct db *d, int64_t id, struct wall at, struct slice why)
{
    struct db_stmt *s = db_stmt(d, "UPDATE grants SET overdue = :at, why = :why WHERE id = :id");
    db_bind_i64(s, ":at", at.s);
    db_bind_text(s, ":why", why);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}
