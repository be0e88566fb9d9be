/* The audit log, the settings, answers kept for repeated calls. */
#include "server/store_record.h"

#include "server/store_priv.h"

int store_event_add(struct db *d, int64_t tailnet, const struct store_event *e)
{
    struct db_stmt *s = db_stmt(
        d, "INSERT INTO audit(tailnet_id, at, actor, action, target, detail, remote, event_group,"
           " origin, actor_id, actor_type, target_id, target_type, property, old, new, error)"
           " VALUES(:tailnet, :now, :actor, :action, :target, :detail, :remote, :group, :origin,"
           " :actor_id, :actor_type, :target_id, :target_type, :property, :old, :new, :error)");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_text(s, ":actor", e->actor);
    db_bind_text(s, ":action", e->action);
    db_bind_text(s, ":target", e->target);
    db_bind_text(s, ":detail", e->detail);
    db_bind_text(s, ":remote", e->remote);
    db_bind_text(s, ":group", e->group);
    db_bind_text(s, ":origin", e->origin);
    db_bind_text(s, ":actor_id", e->actor_id);
    db_bind_text(s, ":actor_type", e->actor_type);
    db_bind_text(s, ":target_id", e->target_id);
    db_bind_text(s, ":target_type", e->target_type);
    db_bind_text(s, ":property", e->property);
    db_bind_text(s, ":old", e->old);
    db_bind_text(s, ":new", e->new);
    db_bind_text(s, ":error", e->error);
    return store_result(db_exec(s));
}

static void read_event(struct db_stmt *s, struct store_event_row *out)
{
    out->id = db_col_i64(s, "id");
    out->at = (struct wall){db_col_i64(s, "at")};
    out->e = (struct store_event){.group = db_col_text(s, "event_group"),
                                  .origin = db_col_text(s, "origin"),
                                  .actor_id = db_col_text(s, "actor_id"),
                                  .actor_type = db_col_text(s, "actor_type"),
                                  .actor = db_col_text(s, "actor"),
                                  .action = db_col_text(s, "action"),
                                  .target_id = db_col_text(s, "target_id"),
                                  .target_type = db_col_text(s, "target_type"),
                                  .target = db_col_text(s, "target"),
                                  .property = db_col_text(s, "property"),
                                  .detail = db_col_text(s, "detail"),
                                  .old = db_col_text(s, "old"),
                                  .new = db_col_text(s, "new"),
                                  .error = db_col_text(s, "error"),
                                  .remote = db_col_text(s, "remote")};
}

/* instr() takes the text as it is: nobody's "%" is a pattern. */
#define MATCHES(column, name)                                                           \
    "(:" name " = '' OR CASE substr(:" name ", 1, 1) WHEN '~' THEN "                    \
    "instr(lower(" column "), lower(substr(:" name ", 2))) > 0 ELSE lower(" column ") " \
    "= lower(:" name ") END) "

int store_events_each(struct db *d, const struct store_event_query *q, store_event_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d,
        "SELECT id, at, actor, action, target, detail, remote, event_group, origin, actor_id,"
        " actor_type, target_id, target_type, property, old, new, error FROM audit"
        " WHERE tailnet_id = :tailnet AND at >= :start AND at < :end AND id > :after AND " MATCHES(
            "actor",
            "actor") "AND " MATCHES("action",
                                    "action") "AND " MATCHES("target",
                                                             "target") "ORDER BY id LIMIT :limit");
    struct store_event_row row;
    int rc;
    db_bind_i64(s, ":tailnet", q->tailnet);
    db_bind_i64(s, ":start", q->start.s);
    db_bind_i64(s, ":end", q->end.s);
    db_bind_i64(s, ":after", q->after);
    db_bind_text(s, ":actor", q->actor);
    db_bind_text(s, ":action", q->action);
    db_bind_text(s, ":target", q->target);
    db_bind_i64(s, ":limit", q->limit);
    while ((rc = db_step(s)) == DB_ROW) {
        read_event(s, &row);
        fn(arg, &row);
    }
    return store_seen(rc);
}

int store_events_trim(struct db *d, struct wall before)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM audit WHERE at < :before");
    db_bind_i64(s, ":before", before.s);
    return store_result(db_exec(s));
}

int store_setting(struct db *d, int64_t tailnet, const char *name, struct buf *out_json)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT value FROM settings WHERE tailnet_id = :tailnet AND name = :name");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_text(s, ":name", slice_str(name));
    int rc = db_step(s);
    if (rc == DB_ROW && buf_push(out_json, db_col_text(s, "value"))) {
        return err_origin(-EMSGSIZE);
    }
    return store_found(rc);
}

int store_setting_set(struct db *d, int64_t tailnet, const char *name, struct slice json)
{
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO settings(tailnet_id, name, value, updated) VALUES(:tailnet, :name,"
                   " :value, :now) ON CONFLICT(tailnet_id, name) DO UPDATE SET value = :value,"
                   " updated = :now");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_text(s, ":name", slice_str(name));
    db_bind_text(s, ":value", json);
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

int store_idempotent(struct db *d,
                     struct slice credential,
                     struct slice key,
                     struct store_idempotent *out,
                     struct buf *out_reply)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT body, status, reply, created FROM idempotency"
                                   " WHERE credential = :credential AND key = :key");
    db_bind_text(s, ":credential", credential);
    db_bind_text(s, ":key", key);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        struct slice body = db_col_blob(s, "body");
        if (body.n != sizeof out->body || buf_push(out_reply, db_col_text(s, "reply"))) {
            return err_origin(-EMSGSIZE);
        }
        memcpy(out->body, body.p, sizeof out->body);
        out->status = db_col_i64(s, "status");
        out->created = (struct wall){db_col_i64(s, "created")};
    }
    return store_found(rc);
}

int store_idempotent_add(struct db *d,
                         struct slice credential,
                         struct slice key,
                         const struct store_idempotent *i,
                         struct slice reply)
{
    struct db_stmt *s = db_stmt(
        d, "INSERT OR REPLACE INTO idempotency(credential, key, body, status, reply, created)"
           " VALUES(:credential, :key, :body, :status, :reply, :now)");
    db_bind_text(s, ":credential", credential);
    db_bind_text(s, ":key", key);
    db_bind_blob(s, ":body", slice_of(i->body, sizeof i->body));
    db_bind_i64(s, ":status", i->status);
    db_bind_text(s, ":reply", reply);
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

int store_idempotent_trim(struct db *d, struct wall before)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM idempotency WHERE created < :before");
    db_bind_i64(s, ":before", before.s);
    return store_result(db_exec(s));
}
