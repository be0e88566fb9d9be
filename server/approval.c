/*
 * Approval. A request says who wants what; it grants nothing. A decision is
 * one transaction: policy edit, HTTPS, the request's state, audit, changes.
 * What is applied is what was shown: the policy's ETag travels with the form.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "server/app.h"

enum {
    REQUEST_CHARS = 26, /* 130 bits: not guessable, and it grants nothing */
    VALID_S = 72 * 3600,
    COOL_DOWN_S = 600, /* after a denial */
    COMMENT_MAX = 300,
};

/* "KTRV-7Q": letters and digits that are not mistaken for each other. */
static void make_match_code(char out[12])
{
    static const char letters[] = "ABCDEFGHJKMNPQRSTVWXYZ", digits[] = "23456789";
    uint8_t r[6];
    secret_random(r, sizeof r);
    for (int i = 0; i < 4; i++) {
        out[i] = letters[r[i] % (sizeof letters - 1)];
    }
    out[4] = '-';
    out[5] = digits[r[4] % (sizeof digits - 1)];
    out[6] = letters[r[5] % (sizeof letters - 1)];
    out[7] = '\0';
}

/* ---- what could be granted ---- */

static void comment_for(const struct store_node *n, struct slice selector, struct buf *out)
{
    if (slice_eq(selector, S("autogroup:member"))) {
        buf_adds(out, "Funnel: members may publish services from their own untagged devices.");
    } else if (slice_eq(selector, slice_str(n->ipv4))) {
        buf_addf(out, "Funnel for the device %s.", n->label);
    } else {
        buf_addf(out, "Funnel for the devices of %s.", n->login);
    }
}

static void try_grant(struct app *a,
                      const struct store_node *n,
                      struct slice before,
                      struct slice selector,
                      struct grant *g)
{
    struct policy_diags diags;
    struct buf comment = BUF_MAX(COMMENT_MAX);
    (void)a;
    buf_init(&g->text, POLICY_SIZE_MAX + 4096);
    buf_init(&g->diff, POLICY_SIZE_MAX);
    err_ignore(slice_copy(selector, g->selector, sizeof g->selector));
    comment_for(n, selector, &comment);
    g->result = policy_add_funnel(before, selector, buf_slice(&comment), &g->text, &diags);
    if (g->result == POLICY_SPLICED || g->result == POLICY_CHANGED) {
        policy_diff(before, buf_slice(&g->text), 3, &g->diff);
    }
    policy_diags_free(&diags);
    buf_deinit(&comment);
}

void approval_grants(struct app *a, const struct store_node *n, struct grants *out)
{
    struct slice before = policy_text(a->policy);
    memset(out, 0, sizeof *out);
    struct grant *g = &out->items[out->count++];
    try_grant(a, n, before, slice_str(n->ipv4), g);
    text_cut(g->words, sizeof g->words, "only this device (%s)", n->label);
    if (n->login[0]) {
        g = &out->items[out->count++];
        try_grant(a, n, before, slice_str(n->login), g);
        text_cut(g->words, sizeof g->words, "all devices of %s", n->login);
        g = &out->items[out->count++];
        try_grant(a, n, before, S("autogroup:member"), g);
        text_cut(g->words, sizeof g->words, "every member's own devices (wide)");
        /* ARCHITECTURE section 8: the default of the field where nobody has the right yet, else the
         * narrowest. */
        out->preselected = policy_grants_anyone(a->policy, S("funnel")) ? 0 : out->count - 1;
    }
}

void approval_grants_free(struct grants *g)
{
    for (size_t i = 0; i < g->count; i++) {
        buf_deinit(&g->items[i].text);
        buf_deinit(&g->items[i].diff);
    }
}

/* ---- deciding ---- */

static int audit(struct app *a, const struct decision *d, const char *action, const char *detail)
{
    char remote[64];
    struct store_audit row = {a->tailnet.id,         d->by->login, action,
                              d->request->stable_id, detail,       remote};
    text_cut(remote, sizeof remote, "%.60s", d->remote.n ? d->remote.p : "");
    return store_audit(a->db, &row);
}

static int
store_approval(struct app *a, const struct decision *d, const struct grant *g, struct policy *after)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_request_decide(a->db, d->request->id, "granted", slice_str(d->by->login),
                                       d->selector)
                : -EIO;
    if (rc == STORE_NONE) {
        return APPROVAL_GONE;
    }
    if (!rc && after) {
        rc = policy_state_store(a, buf_slice(&g->text), d->by->login, "funnel request approved");
    }
    rc = rc ? rc : store_tailnet_enable_https(a->db, a->tailnet.id);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "policy", 0);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "request", d->request->node_id);
    rc = rc ? rc : audit(a, d, "FUNNEL.APPROVE", g->selector);
    rc = rc ? rc : db_commit(&tx);
    return rc > 0 ? err_fold(-EIO) : rc;
}

static int apply(struct app *a, const struct decision *d, const struct grant *g)
{
    struct policy *after = NULL;
    struct policy_diags diags = {NULL, 0, false};
    if (g->result != POLICY_UNCHANGED && policy_load(buf_slice(&g->text), NULL, &diags, &after)) {
        policy_diags_free(&diags);
        return APPROVAL_REFUSED;
    }
    policy_diags_free(&diags);
    int rc = store_approval(a, d, g, after);
    if (rc) {
        policy_unref(after);
        return rc;
    }
    if (after) {
        policy_state_swap(a, after, buf_slice(&g->text));
    }
    a->tailnet.https_enabled = true;
    log_info("request.approved", F_STR("request", d->request->stable_id), F_STR("by", d->by->login),
             F_STR("grant", g->selector));
    approval_settle(a, d->by->login);
    bus_wake(a);
    return 0;
}

int approval_approve(struct app *a, const struct decision *d)
{
    struct store_node n;
    struct grants gs;
    int rc = APPROVAL_REFUSED;
    if (store_node(a->db, d->request->node_id, &n)) {
        return APPROVAL_GONE;
    }
    if (!slice_eq(d->etag, slice_str(a->policy_etag))) {
        return APPROVAL_CHANGED;
    }
    approval_grants(a, &n, &gs);
    for (size_t i = 0; i < gs.count; i++) {
        if (slice_eq(slice_str(gs.items[i].selector), d->selector) &&
            gs.items[i].result != POLICY_REFUSED) {
            rc = apply(a, d, &gs.items[i]);
            break;
        }
    }
    approval_grants_free(&gs);
    return rc;
}

int approval_deny(struct app *a, const struct decision *d)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_request_decide(a->db, d->request->id, "denied", slice_str(d->by->login),
                                       d->reason)
                : -EIO;
    if (rc == STORE_NONE) {
        return APPROVAL_GONE;
    }
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "request", d->request->node_id);
    rc = rc ? rc : audit(a, d, "FUNNEL.DENY", "");
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        return rc > 0 ? err_fold(-EIO) : rc;
    }
    log_info("request.denied", F_STR("request", d->request->stable_id), F_STR("by", d->by->login));
    bus_wake(a);
    return 0;
}

/* ---- requests that the policy has answered meanwhile ---- */

struct settling {
    struct app *a;
    const char *by;
    int64_t requests[64]; /* a batch; what is left is settled with the next change */
    size_t count;
    int rc;
};

static void note_pending(void *arg, const struct store_request *r)
{
    struct settling *s = arg;
    if (strcmp(r->state, "pending") == 0 && s->count < ARRAY_LEN(s->requests)) {
        s->requests[s->count++] = r->id;
    }
}

static void note_node(void *arg, const struct store_node *n)
{
    struct settling *s = arg;
    if (policy_state_may(s->a, n)) {
        int rc = store_requests_recent(s->a->db, n->id, wall_now(), note_pending, s);
        s->rc = s->rc ? s->rc : rc;
    }
}

void approval_settle(struct app *a, const char *by)
{
    struct settling s = {.a = a, .by = by};
    int rc = store_nodes_each(a->db, note_node, &s);
    rc = rc ? rc : s.rc;
    if (rc) { /* what was not seen is settled with the next change */
        log_error("requests.not_read", F_ERR(rc));
    }
    if (!s.count) {
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    rc = tx ? 0 : -EIO;
    for (size_t i = 0; !rc && i < s.count; i++) {
        rc = store_request_decide(a->db, s.requests[i], "granted", slice_str(by),
                                  S("the policy gives it"));
    }
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "request", 0);
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        log_error("requests.not_settled", F_ERR(rc));
    }
}

/* ---- POST /node/v1/feature/query ---- */

static void answer_complete(struct http_rq *rq)
{
    AUTO(js_freep) struct js *j = js_object();
    js_set_bool(j, "Complete", true);
    js_set_cstr(j, "Text", "");
    js_set_cstr(j, "URL", "");
    js_set_bool(j, "ShouldWait", false);
    reply_json(rq, 200, j);
}

static void answer_pending(struct app *a,
                           struct http_rq *rq,
                           const struct store_node *n,
                           const struct store_request *r)
{
    AUTO(js_freep) struct js *j = js_object();
    char url[400], text[300], expires[WALL_TEXT_SIZE];
    text_fit(url, sizeof url, "%s/f/%s", a->cfg.origin, r->stable_id);
    text_cut(text, sizeof text,
             "Funnel is not enabled for %s yet. Ask an admin (or yourself) to open:", n->label);
    wall_format(r->expires, expires);
    js_set_bool(j, "Complete", false);
    js_set_cstr(j, "Text", text);
    js_set_cstr(j, "URL", url);
    js_set_bool(j, "ShouldWait", true);
    js_set_cstr(j, "RequestID", r->stable_id);
    js_set_cstr(j, "MatchCode", r->match_code);
    js_set_cstr(j, "Expires", expires);
    reply_json(rq, 200, j);
}

static void answer_denied(struct http_rq *rq, const struct store_request *r)
{
    AUTO(js_freep) struct js *j = js_object();
    char text[700];
    int64_t left = (r->decided.s + COOL_DOWN_S - wall_now().s + 59) / 60;
    text_cut(text, sizeof text,
             "%.200s denied this%s%.255s. The same can be asked again in %d min.", r->decided_by,
             r->reason[0] ? ": " : "", r->reason, (int)left);
    js_set_bool(j, "Complete", false);
    js_set_cstr(j, "Text", text);
    js_set_cstr(j, "URL", "");
    js_set_bool(j, "ShouldWait", false);
    reply_json(rq, 200, j);
}

static int create_request(struct app *a,
                          const struct store_node *n,
                          int64_t port,
                          struct slice target,
                          struct store_request *out)
{
    struct wall now = wall_now();
    memset(out, 0, sizeof *out);
    *out = (struct store_request){
        .node_id = n->id, .port = port, .created = now, .expires = {now.s + VALID_S}};
    secret_id(out->stable_id, REQUEST_CHARS);
    make_match_code(out->match_code);
    memcpy(out->remote, n->remote, sizeof out->remote);
    err_ignore(slice_copy(target, out->target, sizeof out->target));
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_request_create(a->db, out) : -EIO;
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "request", n->id);
    rc = rc ? rc
            : store_audit(a->db, &(struct store_audit){a->tailnet.id, n->login, "FUNNEL.REQUEST",
                                                       out->stable_id, n->label, n->remote});
    return rc ? rc : db_commit(&tx);
}

void approval_query(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {
        {"feature", JS_STR, true, 32}, {"port", JS_INT, false, 0}, {"target", JS_STR, false, 500}};
    struct app *a = app;
    struct store_node *n = &auth_identity(rq)->node;
    struct store_request r;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (!j) {
        return;
    }
    int64_t port = js_get_int(j, "port", 443);
    struct slice target = js_get_str(j, "target");
    if (!slice_eq(js_get_str(j, "feature"), S("funnel")) || !text_printable(target, 500)) {
        reply_problem(rq, &(struct problem){400, "feature.unknown",
                                            "only the feature \"funnel\" can be asked for",
                                            "see docs/channels.md"});
    } else if (policy_state_may(a, n)) {
        answer_complete(rq);
    } else if (store_request_pending(a->db, n->id, port, &r) == 0) {
        answer_pending(a, rq, n, &r);
    } else if (store_request_denied_since(a->db, n->id, port,
                                          (struct wall){wall_now().s - COOL_DOWN_S}, &r) == 0) {
        answer_denied(rq, &r);
    } else {
        int rc = create_request(a, n, port, target, &r);
        if (rc) {
            reply_broken(rq, rc);
        } else {
            log_info("request.new", F_STR("request", r.stable_id), F_STR("node", n->stable_id));
            answer_pending(a, rq, n, &r);
            bus_wake(a);
        }
    }
}

void approval_cancel(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_node *n = &auth_identity(rq)->node;
    struct store_request r;
    if (store_request(a->db, http_rq_param(rq, "id"), &r) || r.node_id != n->id) {
        reply_problem(rq, &(struct problem){404, "request.unknown", "this node has no such request",
                                            "funnel status"});
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_request_decide(a->db, r.id, "cancelled", slice_str(n->label), S("")) : -EIO;
    rc = rc == STORE_NONE ? 0 : rc;
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "request", n->id);
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    reply_none(rq);
    bus_wake(a);
}

void approval_minute(struct app *a)
{
    int count = 0;
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_requests_expire(a->db, wall_now(), &count) : -EIO;
    rc = !rc && count ? store_change(a->db, a->tailnet.id, "request", 0) : rc;
    rc = rc ? rc : db_commit(&tx);
    if (!rc && count) {
        bus_wake(a);
    }
}
