/* Webhooks over the REST API, in the shape that v2 clients know. The secret is shown once. */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "lib/data/seal.h"
#include "server/app.h"
#include "server/audit.h"
#include "server/store_webhooks.h"

enum { ID_CHARS = 20, DELIVERIES_SHOWN = 100, EVENTS_MAX = 64, HOOKS_MAX = 50 };

static struct js *hook_json(const struct store_webhook *w)
{
    struct js *j = js_object();
    char created[WALL_TEXT_SIZE], updated[WALL_TEXT_SIZE], why[80];
    struct js *events = js_parse(slice_str(w->events), sizeof w->events, why, sizeof why);
    wall_format(w->created, created);
    wall_format(w->updated, updated);
    js_set_cstr(j, "endpointId", w->stable_id);
    js_set_cstr(j, "endpointUrl", w->url);
    js_set_cstr(j, "providerType", w->provider);
    js_set_cstr(j, "creatorLoginName", w->creator);
    js_set_cstr(j, "created", created);
    js_set_cstr(j, "lastModified", updated);
    js_set(j, "subscriptions", events ? events : js_array());
    return j;
}

static void push_hook(void *arg, const struct store_webhook *w)
{
    js_push(arg, hook_json(w));
}

void api_webhooks(void *app, struct http_rq *rq)
{
    struct app *a = app;
    AUTO(js_freep) struct js *j = js_object();
    struct js *list = js_array();
    int rc = store_webhooks_each(a->db, a->tailnet.id, push_hook, list);
    js_set(j, "webhooks", list);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_json(rq, 200, j);
    }
}

static void refuse(struct http_rq *rq, const char *code, const char *message, const char *fix)
{
    reply_problem(rq, &(struct problem){400, code, message, fix});
}

/* Every subscription is an event of ours, and none stands twice. */
static bool events_ok(struct http_rq *rq, const struct js *events)
{
    char text[160];
    if (!events || js_kind(events) != JS_ARRAY || js_len(events) > EVENTS_MAX) {
        refuse(rq, "webhook.events", "subscriptions must be an array of event types",
               "for example [\"policyUpdate\"]");
        return false;
    }
    for (size_t i = 0; i < js_len(events); i++) {
        struct slice type = js_str(js_at(events, i));
        size_t n = 0;
        while (webhook_events[n] && !slice_eq(type, slice_str(webhook_events[n]))) {
            n++;
        }
        if (!webhook_events[n]) {
            size_t count = 0;
            while (webhook_events[count]) {
                count++;
            }
            const char *near = slice_nearest(type, webhook_events, count);
            text_cut(text, sizeof text, near ? "did you mean \"%s\"?" : "see docs/api.md", near);
            refuse(rq, "webhook.events", "a subscription is not a known event type", text);
            return false;
        }
    }
    return true;
}

static bool url_ok(struct app *a, struct http_rq *rq, struct slice url)
{
    bool https = slice_starts(url, S("https://")) ||
                 (a->cfg.webhook_private && slice_starts(url, S("http://127.0.0.1")));
    if (!https || url.n >= WEBHOOK_URL_MAX || !text_printable(url, WEBHOOK_URL_MAX) ||
        slice_find(url, ' ') >= 0 || slice_find(url, '@') >= 0) {
        refuse(rq, "webhook.url", "endpointUrl must be an https:// URL without a user name",
               "give the receiver a public HTTPS address");
        return false;
    }
    return true;
}

static void
new_secret(struct app *a, const char *stable_id, char out[SECRET_SIZE], struct buf *out_sealed)
{
    char about[64];
    secrets_make("fnl-webhook-", out);
    text_fit(about, sizeof about, "webhook:%s", stable_id);
    seal_close(a->secrets.seal, slice_str(about), slice_str(out), out_sealed);
}

static void reply_hook(struct http_rq *rq, const struct store_webhook *w, const char *secret)
{
    AUTO(js_freep) struct js *j = hook_json(w);
    if (secret) {
        rest_add_etag(rq, j);
        js_set_cstr(j, "secret", secret);
        reply_json(rq, 200, j);
    } else {
        rest_object(rq, j);
    }
}

static int audit_hook(struct app *a,
                      struct http_rq *rq,
                      const char *action,
                      const struct store_webhook *w,
                      struct slice old,
                      struct slice new)
{
    struct actor by;
    actor_of(rq, &by);
    return audit_write(a, &by,
                       &(struct audit_entry){.action = action,
                                             .type = "WEBHOOK_ENDPOINT",
                                             .id = w->stable_id,
                                             .name = w->url,
                                             .old = old,
                                             .new = new});
}

static void count_hook(void *arg, const struct store_webhook *w)
{
    (void)w;
    ++*(int *)arg;
}

static bool room(struct app *a, struct http_rq *rq)
{
    int n = 0;
    int rc = store_webhooks_each(a->db, a->tailnet.id, count_hook, &n);
    if (rc) {
        reply_broken(rq, rc);
    } else if (n >= HOOKS_MAX) {
        reply_problem(rq,
                      &(struct problem){409, "webhook.too_many", "there are 50 webhooks already",
                                        "delete one that nobody needs"});
    }
    return !rc && n < HOOKS_MAX;
}

static const struct js_field create_fields[] = {{"endpointUrl", JS_STR, true, WEBHOOK_URL_MAX},
                                                {"providerType", JS_STR, false, 23},
                                                {"subscriptions", JS_ARRAY, true, EVENTS_MAX}};

static bool
read_new(struct app *a, struct http_rq *rq, const struct js *j, struct store_webhook *out)
{
    struct buf events = BUF_MAX(sizeof out->events - 1);
    const struct js *list = js_get(j, "subscriptions");
    bool ok = url_ok(a, rq, js_get_str(j, "endpointUrl")) && events_ok(rq, list);
    if (ok) {
        js_write(list, JS_COMPACT, &events);
        slice_copy(js_get_str(j, "endpointUrl"), out->url, sizeof out->url);
        slice_copy(js_get_str(j, "providerType"), out->provider, sizeof out->provider);
        slice_copy(buf_slice(&events), out->events, sizeof out->events);
        text_fit(out->creator, sizeof out->creator, "%s", auth_identity(rq)->user.login);
        out->created = out->updated = wall_now();
        secret_id(out->stable_id, ID_CHARS);
    }
    buf_deinit(&events);
    return ok;
}

void api_webhook_create(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_webhook w = {.id = 0};
    char secret[SECRET_SIZE];
    struct buf sealed = BUF_MAX(256);
    AUTO(js_freep) struct js *j = reply_body(rq, create_fields, ARRAY_LEN(create_fields));
    if (!j || !room(a, rq) || !read_new(a, rq, j, &w)) {
        return;
    }
    new_secret(a, w.stable_id, secret, &sealed);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_webhook_create(a->db, a->tailnet.id, &w, buf_slice(&sealed)) : -EIO;
    rc = rc ? rc : audit_hook(a, rq, "CREATE", &w, S(""), slice_str(w.events));
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_hook(rq, &w, secret);
    }
    secret_wipe(secret, sizeof secret);
    buf_deinit(&sealed);
}

static bool find(struct app *a, struct http_rq *rq, struct store_webhook *out)
{
    int rc = store_webhook(a->db, http_rq_param(rq, "id"), out, NULL);
    if (rc < 0) {
        reply_broken(rq, rc);
    } else if (rc) {
        reply_problem(rq, &(struct problem){404, "webhook.unknown", "there is no such webhook",
                                            "list them: GET …/webhooks"});
    }
    return rc == 0;
}

/* For a call that changes it. */
static bool find_match(struct app *a, struct http_rq *rq, struct store_webhook *out)
{
    if (!find(a, rq, out)) {
        return false;
    }
    AUTO(js_freep) struct js *now = hook_json(out);
    return rest_match(rq, now);
}

void api_webhook(void *app, struct http_rq *rq)
{
    struct store_webhook w;
    if (find(app, rq, &w)) {
        reply_hook(rq, &w, NULL);
    }
}

static const struct js_field patch_fields[] = {{"subscriptions", JS_ARRAY, true, EVENTS_MAX}};

void api_webhook_patch(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_webhook w;
    struct buf events = BUF_MAX(sizeof w.events - 1);
    if (!find_match(a, rq, &w)) {
        return;
    }
    AUTO(js_freep) struct js *j = reply_body(rq, patch_fields, ARRAY_LEN(patch_fields));
    if (!j || !events_ok(rq, js_get(j, "subscriptions"))) {
        return;
    }
    js_write(js_get(j, "subscriptions"), JS_COMPACT, &events);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_webhook_events(a->db, w.id, buf_slice(&events)) : -EIO;
    rc = rc ? rc : audit_hook(a, rq, "UPDATE", &w, slice_str(w.events), buf_slice(&events));
    rc = rc ? rc : db_commit(&tx);
    slice_copy(buf_slice(&events), w.events, sizeof w.events);
    w.updated = wall_now();
    buf_deinit(&events);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_hook(rq, &w, NULL);
    }
}

void api_webhook_delete(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_webhook w;
    if (!find_match(a, rq, &w)) {
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_webhook_delete(a->db, w.id) : -EIO;
    rc = rc ? rc : audit_hook(a, rq, "DELETE", &w, slice_str(w.events), S(""));
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        http_rq_reply(rq, 200, NULL, S(""));
    }
}

void api_webhook_test(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_webhook w;
    if (!find(a, rq, &w)) {
        return;
    }
    struct buf body = BUF_MAX(4096);
    webhooks_body(a, "test", "This is a test event", NULL, &body);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_delivery_add(a->db, w.id, "test", buf_slice(&body)) : -EIO;
    rc = rc ? rc : db_commit(&tx);
    buf_deinit(&body);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    http_rq_reply(rq, 202, NULL, S(""));
    webhooks_kick(a);
}

void api_webhook_rotate(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_webhook w;
    char secret[SECRET_SIZE];
    struct buf sealed = BUF_MAX(256);
    if (!find_match(a, rq, &w)) {
        return;
    }
    new_secret(a, w.stable_id, secret, &sealed);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_webhook_rotate(a->db, w.id, buf_slice(&sealed)) : -EIO;
    rc = rc ? rc : audit_hook(a, rq, "ROTATE", &w, S(""), S(""));
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_hook(rq, &w, secret);
    }
    secret_wipe(secret, sizeof secret);
    buf_deinit(&sealed);
}

static void push_delivery(void *arg, const struct store_delivery *x)
{
    struct js *j = js_object();
    char at[WALL_TEXT_SIZE];
    js_set_cstr(j, "id", x->stable_id);
    js_set_cstr(j, "event", x->event);
    js_set_cstr(j, "state", x->state);
    js_set_int(j, "tries", x->tries);
    if (x->status) {
        js_set_int(j, "status", x->status);
    }
    if (x->error[0]) {
        js_set_cstr(j, "error", x->error);
    }
    wall_format(x->created, at);
    js_set_cstr(j, "created", at);
    if (strcmp(x->state, "queued") == 0) {
        wall_format(x->next_try, at);
        js_set_cstr(j, "nextTry", at);
    } else if (x->done.s) {
        wall_format(x->done, at);
        js_set_cstr(j, "done", at);
    }
    js_push(arg, j);
}

void api_webhook_deliveries(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_webhook w;
    if (!find(a, rq, &w)) {
        return;
    }
    AUTO(js_freep) struct js *j = js_object();
    struct js *list = js_array();
    int rc = store_deliveries_each(a->db, w.id, DELIVERIES_SHOWN, push_delivery, list);
    js_set(j, "deliveries", list);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_json(rq, 200, j);
    }
}
