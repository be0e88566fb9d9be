/* The kill switch, kept as a setting. */
#include "server/lock.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "server/app.h"
#include "server/store_record.h"

#define SETTING "funnelLock"

static bool read_lock(const struct js *j, struct funnel_lock *out)
{
    *out = (struct funnel_lock){.on = js_get_bool(j, "locked", false)};
    return !out->on || (slice_copy(js_get_str(j, "by"), out->by, sizeof out->by) &&
                        slice_copy(js_get_str(j, "reason"), out->reason, sizeof out->reason) &&
                        wall_parse(js_get_str(j, "since"), &out->since));
}

static struct js *to_json(const struct funnel_lock *l)
{
    struct js *j = js_object();
    char since[WALL_TEXT_SIZE];
    js_set_bool(j, "locked", l->on);
    if (l->on) {
        wall_format(l->since, since);
        js_set_cstr(j, "by", l->by);
        js_set_cstr(j, "reason", l->reason);
        js_set_cstr(j, "since", since);
    }
    return j;
}

struct js *lock_json(const struct app *a)
{
    return to_json(&a->lock);
}

int lock_load(struct app *a)
{
    char why[100];
    struct buf text = BUF_MAX(4 * KIB);
    int rc = store_setting(a->db, a->tailnet.id, SETTING, &text);
    AUTO(js_freep) struct js *j = rc ? NULL : js_parse(buf_slice(&text), 4 * KIB, why, sizeof why);
    buf_deinit(&text);
    if (rc == STORE_NONE) {
        a->lock = (struct funnel_lock){.on = false};
        return 0;
    }
    if (!rc && (!j || !read_lock(j, &a->lock))) {
        a->lock.on = true; /* somebody wrote a lock that we cannot read: the safe side */
    }
    return rc;
}

static int store_lock(struct app *a, const struct actor *by, const struct funnel_lock *next)
{
    struct buf before = BUF_MAX(4 * KIB), after = BUF_MAX(4 * KIB);
    AUTO(js_freep) struct js *old = lock_json(a);
    AUTO(js_freep) struct js *new = to_json(next);
    js_write(old, JS_COMPACT, &before);
    js_write(new, JS_COMPACT, &after);
    struct audit_entry e = {.action = next->on ? "FUNNEL.LOCK" : "FUNNEL.UNLOCK",
                            .type = "TAILNET",
                            .id = a->tailnet.stable_id,
                            .name = a->tailnet.name,
                            .property = "FUNNEL_LOCK",
                            .old = buf_slice(&before),
                            .new = buf_slice(&after)};
    char text[400];
    struct js *facts = js_object();
    js_set_cstr(facts, "by", by->login);
    js_set_cstr(facts, "reason", next->reason);
    text_cut(text, sizeof text, "%.200s %s every public URL", by->login,
             next->on ? "switched off" : "opened again");
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_setting_set(a->db, a->tailnet.id, SETTING, buf_slice(&after)) : -EIO;
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "settings", 0);
    rc = rc ? rc : audit_write(a, by, &e);
    rc = rc ? rc
            : webhooks_emit(a, next->on ? "funnelLocked" : "funnelUnlocked", text, js_ref(facts));
    rc = rc ? rc : db_commit(&tx);
    js_free(facts);
    buf_deinit(&before);
    buf_deinit(&after);
    return rc;
}

static void answer(struct app *a, struct http_rq *rq)
{
    AUTO(js_freep) struct js *j = lock_json(a);
    reply_json(rq, 200, j);
}

/* The same again changes nothing. */
static void turn(struct app *a, struct http_rq *rq, const struct actor *by, struct slice reason)
{
    struct funnel_lock next = {.on = http_rq_method(rq) == HTTP_POST, .since = wall_now()};
    int rc = 0;
    text_fit(next.by, sizeof next.by, "%s", by->login);
    text_cut(next.reason, sizeof next.reason, SLICE_FMT, SLICE_ARG(reason));
    if (next.on != a->lock.on) {
        rc = store_lock(a, by, &next);
        if (rc) {
            reply_broken(rq, rc);
            return;
        }
        a->lock = next;
        log_warn(next.on ? "funnels.locked" : "funnels.unlocked", F_STR("by", by->login));
        webhooks_kick(a);
        bus_wake(a);
    }
    answer(a, rq);
}

void api_lock_get(void *app, struct http_rq *rq)
{
    answer(app, rq);
}

void api_lock_on(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"reason", JS_STR, false, 200}};
    struct actor by;
    AUTO(js_freep) struct js *j = NULL;
    if (slice_trim(http_rq_body(rq)).n) {
        j = reply_body(rq, fields, ARRAY_LEN(fields));
        if (!j) {
            return;
        }
    }
    struct slice reason = slice_trim(js_get_str(j, "reason"));
    if (!text_printable(reason, 200)) {
        reply_problem(rq, &(struct problem){400, "body.invalid",
                                            "the reason holds characters that cannot be shown",
                                            "send plain text"});
        return;
    }
    actor_of(rq, &by);
    turn(app, rq, &by, reason);
}

void api_lock_off(void *app, struct http_rq *rq)
{
    struct actor by;
    actor_of(rq, &by);
    turn(app, rq, &by, S(""));
}
