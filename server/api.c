/* The REST API's first cut: the policy file, lists, whoami, health. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "server/app.h"

static void add_diag(struct js *list, const struct policy_diag *d)
{
    struct js *j = js_object(), *pos = js_object();
    char line[400];
    text_cut(line, sizeof line, "line %d, column %d: %s", d->line, d->column, d->message);
    js_set_int(pos, "line", d->line);
    js_set_int(pos, "column", d->column);
    js_set_cstr(j, "severity", d->severity == POLICY_ERROR ? "error" : "warning");
    js_set_cstr(j, "code", d->code);
    js_set_cstr(j, "pointer", d->pointer);
    js_set(j, "position", pos);
    js_set_cstr(j, "message", line);
    if (d->hint[0]) {
        js_set_cstr(j, "hint", d->hint);
    }
    js_push(list, j);
}

static const struct policy_diag *first_error(const struct policy_diags *diags)
{
    for (size_t i = 0; i < diags->count; i++) {
        if (diags->items[i].severity == POLICY_ERROR) {
            return &diags->items[i];
        }
    }
    return NULL;
}

/* 400 in the shape that GitOps tools read: message with "line N, column M", data with all of them
 * (policy.md 6.4). */
static void reply_diags(struct http_rq *rq, const struct policy_diags *diags)
{
    AUTO(js_freep) struct js *j = js_object();
    struct js *data = js_array(), *user = js_object(), *errors = js_array(), *all = js_array();
    const struct policy_diag *e = first_error(diags);
    char text[400] = "the policy is not valid";
    if (e) {
        text_cut(text, sizeof text, "line %d, column %d: %s", e->line, e->column, e->message);
    }
    for (size_t i = 0; i < diags->count; i++) {
        char line[400];
        const struct policy_diag *d = &diags->items[i];
        text_cut(line, sizeof line, "line %d, column %d: %s", d->line, d->column, d->message);
        if (d->severity == POLICY_ERROR) {
            js_push_str(errors, slice_str(line));
        }
        add_diag(all, d);
    }
    js_set_cstr(user, "user", "");
    js_set(user, "errors", errors);
    js_push(data, user);
    js_set_cstr(j, "message", text);
    js_set_cstr(j, "code", "policy.invalid");
    js_set_cstr(j, "fix",
                "mend the places that \"diagnostics\" names; the stored policy is unchanged");
    js_set(j, "data", data);
    js_set(j, "diagnostics", all);
    js_set_cstr(j, "requestId", http_rq_id(rq));
    js_set_int(j, "status", 400);
    reply_json(rq, 400, j);
}

static void add_etag(struct app *a, struct http_rq *rq)
{
    char quoted[80];
    text_fit(quoted, sizeof quoted, "\"%s\"", a->policy_etag);
    http_rq_add_header(rq, "ETag", quoted);
    http_rq_add_header(rq, "Cache-Control", "no-store, no-transform");
}

/* The text as stored, also when it does not load any more. */
static bool read_stored(struct app *a, struct buf *out)
{
    struct store_policy_meta meta;
    return store_policy(a->db, a->tailnet.id, &meta, out) == 0;
}

void api_acl_get(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct buf text = BUF_MAX(POLICY_SIZE_MAX);
    if (!read_stored(a, &text)) {
        reply_broken(rq, -EIO);
    } else {
        add_etag(a, rq);
        http_rq_reply(rq, 200, "application/hujson", buf_slice(&text));
    }
    buf_deinit(&text);
}

/* If-Match: absent, "*", or one of the listed tags. */
static bool if_match(struct app *a, struct http_rq *rq)
{
    struct slice header = http_rq_header(rq, "If-Match"), tag;
    if (!header.n) {
        return true;
    }
    while (slice_split(&header, ',', &tag)) {
        tag = slice_trim(tag);
        if (tag.n >= 2 && tag.p[0] == '"' && tag.p[tag.n - 1] == '"') {
            tag = slice_of(tag.p + 1, tag.n - 2);
        }
        if (slice_eq(tag, S("*")) || slice_eq(tag, slice_str(a->policy_etag))) {
            return true;
        }
        if (slice_eq(tag, S("ts-default")) &&
            slice_eq(policy_text(a->policy), slice_str(policy_default_text))) {
            return true;
        }
    }
    return false;
}

static void save(struct app *a, struct http_rq *rq, struct policy *take)
{
    const struct identity *id = auth_identity(rq);
    struct slice text = policy_text(take);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? policy_state_store(a, text, id->user.login, "api") : -EIO;
    rc = rc ? rc
            : store_audit(a->db,
                          &(struct store_audit){a->tailnet.id, id->user.login, "TAILNET.UPDATE.ACL",
                                                a->tailnet.name, "", ""});
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        policy_unref(take);
        reply_broken(rq, rc);
        return;
    }
    policy_state_swap(a, take, text);
    log_info("policy.saved", F_STR("by", id->user.login), F_STR("etag", a->policy_etag));
    add_etag(a, rq);
    http_rq_reply(rq, 200, "application/hujson", text);
    approval_settle(a, id->user.login);
    bus_wake(a);
}

void api_acl_post(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct policy *p = NULL;
    struct policy_diags diags;
    struct buf text = BUF_MAX(POLICY_SIZE_MAX + 1);
    struct slice body = http_rq_body(rq);
    if (!auth_may_edit_policy(auth_identity(rq))) {
        reply_problem(rq, &(struct problem){403, "role.missing",
                                            "this key's owner may not change the policy",
                                            "ask an owner, admin or network admin"});
        return;
    }
    if (!if_match(a, rq)) {
        reply_problem(rq, &(struct problem){412, "policy.changed",
                                            "precondition failed, invalid old hash",
                                            "GET the policy again and merge"});
        return;
    }
    buf_add(
        &text,
        body.n ? body
               : slice_str(policy_default_text)); /* an empty body is the way back to the default */
    if (text.len && buf_slice(&text).p[text.len - 1] != '\n') {
        buf_addc(&text, '\n'); /* policy.md 1.4: closes a final line comment */
    }
    int rc = policy_load(buf_slice(&text), NULL, &diags, &p);
    if (rc > 0) {
        reply_diags(rq, &diags);
    } else if (rc < 0) {
        reply_broken(rq, rc);
    } else {
        save(a, rq, p);
    }
    policy_diags_free(&diags);
    buf_deinit(&text);
}

/* ---- lists ---- */

struct listing {
    struct app *a;
    struct js *list;
    int rc;
};

static void add_device(void *arg, const struct store_node *n)
{
    struct listing *l = arg;
    struct js *j = js_object(), *addresses = js_array();
    char name[TEXT_NAME_SIZE], created[WALL_TEXT_SIZE];
    app_fqdn(l->a, n->label, name);
    wall_format(n->created, created);
    js_push_str(addresses, slice_str(n->ipv4));
    js_push_str(addresses, slice_str(n->ipv6));
    js_set_cstr(j, "nodeId", n->stable_id);
    js_set_cstr(j, "name", name);
    js_set_cstr(j, "hostname", n->hostname);
    js_set_cstr(j, "user", n->login);
    js_set_cstr(j, "os", n->os);
    js_set_cstr(j, "clientVersion", n->version);
    js_set(j, "addresses", addresses);
    js_set_cstr(j, "created", created);
    js_set_bool(j, "funnel", policy_state_may(l->a, n));
    int64_t relays = store_node_online_relays(l->a->db, n->id);
    l->rc = relays < 0 ? (int)relays : l->rc;
    js_set_int(j, "relays", relays);
    js_push(l->list, j);
}

static void add_funnels(void *arg, const struct store_node *n)
{
    struct listing *l = arg;
    AUTO(js_freep) struct js *mine = bus_funnels(l->a, n);
    l->rc = mine ? l->rc : -EIO;
    for (size_t i = 0; i < js_len(mine); i++) {
        struct js *f = js_ref(js_at(mine, i));
        js_set_cstr(f, "nodeId", n->stable_id);
        js_set_cstr(f, "user", n->login);
        js_push(l->list, f);
    }
}

static void reply_list(struct app *a, struct http_rq *rq, const char *name, store_node_fn fn)
{
    struct listing l = {.a = a, .list = js_array()};
    AUTO(js_freep) struct js *j = js_object();
    int rc = store_nodes_each(a->db, fn, &l);
    rc = rc ? rc : l.rc;
    js_set(j, name, l.list);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_json(rq, 200, j);
    }
}

void api_devices(void *app, struct http_rq *rq)
{
    reply_list(app, rq, "devices", add_device);
}

void api_funnels(void *app, struct http_rq *rq)
{
    reply_list(app, rq, "funnels", add_funnels);
}

void api_whoami(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "id", id->user.stable_id);
    js_set_cstr(j, "loginName", id->user.login);
    js_set_cstr(j, "role", id->user.role);
    js_set_cstr(j, "tailnet", a->tailnet.name);
    reply_json(rq, 200, j);
}

void api_health(void *app, struct http_rq *rq)
{
    (void)app;
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "status", "ok");
    js_set_cstr(j, "version", APP_VERSION);
    reply_json(rq, 200, j);
}
