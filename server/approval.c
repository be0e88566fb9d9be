/*
 * Approval. A request says who wants what; it grants nothing. A decision is
 * one transaction: policy edit, HTTPS, the request's state, audit, changes.
 * What is applied is what was shown: the policy's version travels with the form.
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

/* ---- deciding ---- */

static int audit(struct app *a,
                 const struct actor *by,
                 const struct store_request *r,
                 const char *action,
                 struct slice detail)
{
    struct audit_entry e = {.action = action,
                            .type = "REQUEST",
                            .id = r->stable_id,
                            .name = r->stable_id,
                            .detail = detail};
    return audit_write(a, by, &e);
}

/* A decision under way; what it points at is its own. */
struct approving {
    struct app *app;
    struct decision d;
    struct store_request request;
    struct actor by;
    char selector[STORE_NAME_SIZE], stamp[APPROVAL_STAMP_SIZE];
    bool https_was_off;
    approval_done_fn done;
    void *arg;
};

static void end_approving(struct approving *p, int rc, const char *why)
{
    p->done(p->arg, rc, why);
    mem_free(p);
}

/* In the transaction of the policy, or alone where the policy gives the right already. */
static int decide_rows(void *arg)
{
    struct approving *p = arg;
    struct app *a = p->app;
    int rc = store_request_decide(a->db, p->request.id, "granted", slice_str(p->by.login),
                                  slice_str(p->selector));
    if (rc == STORE_NONE) {
        return APPROVAL_GONE;
    }
    p->https_was_off = !a->tailnet.https_enabled;
    if (!rc && p->https_was_off) {
        rc = store_tailnet_https(a->db, a->tailnet.id, true);
        rc = rc ? rc : store_change(a->db, a->tailnet.id, "settings", 0);
    }
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "request", p->request.node_id);
    rc = rc ? rc : audit(a, &p->by, &p->request, "FUNNEL.APPROVE", slice_str(p->selector));
    return rc > 0 ? err_fold(-EIO) : rc;
}

static void approved(struct approving *p)
{
    struct app *a = p->app;
    a->tailnet.https_enabled = true;
    log_info("request.approved", F_STR("request", p->request.stable_id), F_STR("by", p->by.login),
             F_STR("grant", p->selector));
    bus_wake(a);
}

static void policy_saved(void *arg, const struct policy_saved *r)
{
    struct approving *p = arg;
    const char *why = "";
    int rc = r->rc;
    switch (r->result) {
    case POLICY_SAVED:
        approved(p);
        rc = 0;
        break;
    case POLICY_SAVE_INVALID:
        why = r->diags->count ? r->diags->items[0].message : "";
        rc = APPROVAL_REFUSED;
        break;
    case POLICY_SAVE_CONFLICT:
        rc = APPROVAL_CHANGED;
        break;
    case POLICY_SAVE_BUSY:
        rc = -EBUSY;
        break;
    case POLICY_SAVE_ALSO:
    case POLICY_SAVE_BROKEN:
        break;
    }
    end_approving(p, rc, why);
}

static void decide_alone(struct approving *p)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(p->app->db);
    int rc = tx ? decide_rows(p) : -EIO;
    rc = rc ? rc : db_commit(&tx);
    if (!rc) {
        approved(p);
    }
    end_approving(p, rc, "");
}

static void apply(struct approving *p, const struct grant *g, int64_t rev)
{
    if (g->result == POLICY_UNCHANGED) {
        decide_alone(p);
        return;
    }
    struct policy_save s = {.text = buf_slice(&g->text),
                            .only_over = rev,
                            .via = "approval",
                            .message = "funnel request approved",
                            .by = &p->by,
                            .also = decide_rows,
                            .done = policy_saved,
                            .arg = p};
    policy_save(p->app, &s);
}

static void grants_made(void *arg, const struct grants *gs)
{
    struct approving *p = arg;
    const struct grant *chosen = NULL;
    for (size_t i = 0; i < gs->count; i++) {
        bool usable = gs->items[i].result != POLICY_REFUSED;
        chosen = usable && strcmp(gs->items[i].selector, p->selector) == 0 ? &gs->items[i] : chosen;
    }
    if (strcmp(gs->stamp, p->stamp) != 0) {
        end_approving(p, APPROVAL_CHANGED, "");
    } else if (!chosen) {
        end_approving(p, APPROVAL_REFUSED, "");
    } else {
        apply(p, chosen, gs->rev);
    }
}

void approval_approve(struct app *a, const struct decision *d, approval_done_fn done, void *arg)
{
    struct approving *p = mem_new(sizeof *p);
    struct store_node n;
    *p = (struct approving){
        .app = a, .d = *d, .request = *d->request, .by = *d->by, .done = done, .arg = arg};
    p->d.request = &p->request;
    p->d.by = &p->by;
    bool whole = slice_copy(d->selector, p->selector, sizeof p->selector) &&
                 slice_copy(d->stamp, p->stamp, sizeof p->stamp);
    if (policy_state_settings(a)->locked) {
        end_approving(p, APPROVAL_LOCKED, "");
    } else if (!whole) {
        end_approving(p, APPROVAL_REFUSED, "");
    } else if (store_node(a->db, d->request->node_id, &n)) {
        end_approving(p, APPROVAL_GONE, "");
    } else {
        approval_grants(a, &n, grants_made, p);
    }
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
    rc = rc ? rc : audit(a, d->by, d->request, "FUNNEL.DENY", d->reason);
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
    int64_t requests[64]; /* a batch; what is left is settled with the next change */
    size_t count;
};

static void note_pending(void *arg, const struct store_request *r)
{
    struct settling *s = arg;
    struct store_node n;
    if (s->count < ARRAY_LEN(s->requests) && store_node(s->a->db, r->node_id, &n) == 0 &&
        policy_state_gate(s->a, &n, r->port) == POLICY_GATE_OPEN) {
        s->requests[s->count++] = r->id;
    }
}

void approval_settle(struct app *a, const char *by)
{
    struct settling s = {.a = a};
    int rc = store_requests_pending(a->db, note_pending, &s);
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
                          const struct actor *by,
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
    rc = rc ? rc : audit(a, by, out, "FUNNEL.REQUEST", slice_str(n->label));
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
    } else if (policy_state_gate(a, n, port) == POLICY_GATE_OPEN) {
        answer_complete(rq);
    } else if (store_request_pending(a->db, n->id, port, &r) == 0) {
        answer_pending(a, rq, n, &r);
    } else if (store_request_denied_since(a->db, n->id, port,
                                          (struct wall){wall_now().s - COOL_DOWN_S}, &r) == 0) {
        answer_denied(rq, &r);
    } else {
        struct actor by;
        actor_of(rq, &by);
        int rc = create_request(a, n, port, target, &by, &r);
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
