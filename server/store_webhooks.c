/* Webhooks by their public id, deliveries by their time. */
#include "server/store_webhooks.h"

#include "server/store_priv.h"

#define WEBHOOK_COLUMNS \
    "SELECT id, stable_id, url, provider, events, sealed, creator, created, updated FROM webhooks "

int store_webhook_create(struct db *d,
                         int64_t tailnet,
                         const struct store_webhook *w,
                         struct slice sealed)
{
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO webhooks(tailnet_id, stable_id, url, provider, events, sealed,"
                   " creator, created, updated) VALUES(:tailnet, :stable, :url, :provider, :events,"
                   " :sealed, :creator, :now, :now)");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_text(s, ":stable", slice_str(w->stable_id));
    db_bind_text(s, ":url", slice_str(w->url));
    db_bind_text(s, ":provider", slice_str(w->provider));
    db_bind_text(s, ":events", slice_str(w->events));
    db_bind_blob(s, ":sealed", sealed);
    db_bind_text(s, ":creator", slice_str(w->creator));
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

static void read_webhook(struct db_stmt *s, struct store_webhook *out)
{
    out->id = db_col_i64(s, "id");
    STORE_COPY(s, "stable_id", out->stable_id);
    STORE_COPY(s, "url", out->url);
    STORE_COPY(s, "provider", out->provider);
    STORE_COPY(s, "events", out->events);
    STORE_COPY(s, "creator", out->creator);
    out->created = (struct wall){db_col_i64(s, "created")};
    out->updated = (struct wall){db_col_i64(s, "updated")};
}

static int one_webhook(struct db_stmt *s, struct store_webhook *out, struct buf *out_sealed)
{
    int rc = db_step(s);
    if (rc == DB_ROW && out_sealed && buf_push(out_sealed, db_col_blob(s, "sealed"))) {
        return err_origin(-EMSGSIZE);
    }
    if (rc == DB_ROW) {
        read_webhook(s, out);
    }
    return store_found(rc);
}

int store_webhook(struct db *d,
                  struct slice stable_id,
                  struct store_webhook *out,
                  struct buf *out_sealed)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, WEBHOOK_COLUMNS "WHERE stable_id = :stable");
    db_bind_text(s, ":stable", stable_id);
    return one_webhook(s, out, out_sealed);
}

int store_webhook_by_id(struct db *d, int64_t id, struct store_webhook *out, struct buf *out_sealed)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, WEBHOOK_COLUMNS "WHERE id = :id");
    db_bind_i64(s, ":id", id);
    return one_webhook(s, out, out_sealed);
}

int store_webhooks_each(struct db *d, int64_t tailnet, store_webhook_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, WEBHOOK_COLUMNS "WHERE tailnet_id = :tailnet ORDER BY id");
    struct store_webhook row;
    db_bind_i64(s, ":tailnet", tailnet);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        read_webhook(s, &row);
        fn(arg, &row);
    }
    return store_seen(rc);
}

int store_webhook_events(struct db *d, int64_t id, struct slice events)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE webhooks SET events = :events, updated = :now WHERE id = :id");
    db_bind_text(s, ":events", events);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_webhook_rotate(struct db *d, int64_t id, struct slice sealed)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE webhooks SET sealed = :sealed, updated = :now WHERE id = :id");
    db_bind_blob(s, ":sealed", sealed);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_webhook_delete(struct db *d, int64_t id)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM webhooks WHERE id = :id");
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

/* ---- deliveries ---- */

int store_delivery_add(struct db *d, int64_t webhook, const char *event, struct slice body)
{
    char id[STORE_ID_CHARS + 1];
    secret_id(id, STORE_ID_CHARS);
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO webhook_deliveries(stable_id, webhook_id, event, body, state,"
                   " next_try, created) VALUES(:stable, :webhook, :event, :body, 'queued', :now,"
                   " :now)");
    db_bind_text(s, ":stable", slice_str(id));
    db_bind_i64(s, ":webhook", webhook);
    db_bind_text(s, ":event", slice_str(event));
    db_bind_text(s, ":body", body);
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

#define DELIVERY_COLUMNS                                                                     \
    "SELECT id, stable_id, webhook_id, event, body, state, tries, next_try, status, error, " \
    "created, coalesce(done, 0) AS done FROM webhook_deliveries "

static int each_delivery(struct db_stmt *s, store_delivery_fn fn, void *arg)
{
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        struct store_delivery x = {.id = db_col_i64(s, "id"),
                                   .webhook_id = db_col_i64(s, "webhook_id"),
                                   .tries = db_col_i64(s, "tries"),
                                   .status = db_col_i64(s, "status"),
                                   .created = {db_col_i64(s, "created")},
                                   .next_try = {db_col_i64(s, "next_try")},
                                   .done = {db_col_i64(s, "done")},
                                   .body = db_col_text(s, "body")};
        STORE_COPY(s, "stable_id", x.stable_id);
        STORE_COPY(s, "event", x.event);
        STORE_COPY(s, "state", x.state);
        STORE_COPY(s, "error", x.error);
        fn(arg, &x);
    }
    return store_seen(rc);
}

int store_deliveries_due(
    struct db *d, struct wall now, int64_t limit, store_delivery_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, DELIVERY_COLUMNS "WHERE state = 'queued' AND next_try <= :now ORDER BY next_try,"
                                    " id LIMIT :limit");
    db_bind_i64(s, ":now", now.s);
    db_bind_i64(s, ":limit", limit);
    return each_delivery(s, fn, arg);
}

int store_deliveries_each(
    struct db *d, int64_t webhook, int64_t limit, store_delivery_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, DELIVERY_COLUMNS "WHERE webhook_id = :webhook ORDER BY id DESC LIMIT :limit");
    db_bind_i64(s, ":webhook", webhook);
    db_bind_i64(s, ":limit", limit);
    return each_delivery(s, fn, arg);
}

int store_delivery_tried(struct db *d,
                         int64_t id,
                         const char *state,
                         int64_t status,
                         struct slice error,
                         struct wall next_try)
{
    struct db_stmt *s = db_stmt(
        d, "UPDATE webhook_deliveries SET state = :state, tries = tries + 1, status = :status,"
           " error = :error, next_try = :next,"
           " done = CASE :state WHEN 'queued' THEN NULL ELSE :now END WHERE id = :id");
    db_bind_text(s, ":state", slice_str(state));
    db_bind_i64(s, ":status", status);
    db_bind_text(s, ":error", error);
    db_bind_i64(s, ":next", next_try.s);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_delivery_next(struct db *d, struct wall *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT coalesce(min(next_try), 0) AS next FROM"
                                   " webhook_deliveries WHERE state = 'queued'");
    int rc = db_step(s);
    if (rc == DB_ROW) {
        out->s = db_col_i64(s, "next");
    }
    return store_found(rc);
}

int store_deliveries_trim(struct db *d, struct wall before)
{
    struct db_stmt *s =
        db_stmt(d, "DELETE FROM webhook_deliveries WHERE state <> 'queued' AND created < :before");
    db_bind_i64(s, ":before", before.s);
    return store_result(db_exec(s));
}
