/*
 * Deciding. Whoever commits first wins: the state is looked at inside the transaction that changes
 * it, together with the policy's version; everybody else sees the outcome.
 */
#include "server/approval.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "server/app.h"
#include "server/settings.h"

enum {
    WRONG_CODES_MOST = 2, /* of three choices: more would be guessing */
    NOTIFY_S = 600,
};

/* ---- who ---- */

bool request_own(const struct identity *id, const struct store_node *n)
{
    return n && n->user_id && n->user_id == id->user.id;
}

bool request_may_see(const struct identity *id, const struct store_node *n)
{
    return auth_may(id, PERM_REQUEST_DECIDE) || request_own(id, n);
}

bool approval_four_eyes(struct app *a)
{
    return setting_on(a, "funnelFourEyes");
}

void approval_decider(const struct store_request *r, const struct actor *by, struct actor *out)
{
    *out = *by;
    if (r->group[0]) {
        text_fit(out->group, sizeof out->group, "%s", r->group);
    }
}

bool approval_repeats(const struct store_request *now, const struct decision *d, const char *state)
{
    return strcmp(now->state, state) == 0 && strcmp(now->decided_by, d->by->login) == 0 &&
           (!d->selector.n || slice_eq(slice_str(now->reason), d->selector));
}

/* ---- what is written with every decision ---- */

struct told {
    const char *action, *event, *verb; /* FUNNEL.APPROVE, funnelApproved, "approved" */
    struct slice reason;
    const char *grant, *until; /* NULL: none */
    unsigned ports;
};

static struct js *facts_of(struct app *a, const struct store_request *r, const struct told *t)
{
    struct js *j = js_object();
    char port[16], ports[24], name[TEXT_NAME_SIZE];
    text_fit(port, sizeof port, "%d", (int)r->port);
    app_fqdn(a, r->label, name);
    js_set_cstr(j, "request", r->stable_id);
    js_set_cstr(j, "requester", r->requester);
    js_set_cstr(j, "nodeName", r->label);
    js_set_cstr(j, "name", name);
    js_set_cstr(j, "port", port);
    if (t->grant) {
        ports_write(t->ports, ports);
        js_set_cstr(j, "grant", t->grant);
        js_set_cstr(j, "ports", ports);
        js_set_cstr(j, "expires", t->until);
    }
    if (t->reason.n) {
        js_set_str(j, "reason", t->reason);
    }
    return j;
}

static int audit(struct app *a,
                 const struct actor *by,
                 const struct store_request *r,
                 const struct told *t,
                 struct slice detail)
{
    struct store_node n;
    bool there = r->node_id && store_node(a->db, r->node_id, &n) == 0;
    struct audit_entry e = {.action = t->action,
                            .type = "NODE",
                            .id = there ? n.stable_id : "",
                            .name = r->label,
                            .property = "FUNNEL",
                            .detail = detail};
    return audit_write(a, by, &e);
}

/* Audit and webhook, in the caller's transaction. */
static int
tell(struct app *a, const struct actor *by, const struct store_request *r, const struct told *t)
{
    struct buf detail = BUF_MAX(8 * KIB);
    char text[400];
    struct js *facts = facts_of(a, r, t);
    js_write(facts, JS_COMPACT, &detail);
    int rc = audit(a, by, r, t, buf_slice(&detail));
    buf_deinit(&detail);
    if (rc || !t->event) {
        js_free(facts);
        return rc;
    }
    js_set_cstr(facts, "by", by->login);
    text_cut(text, sizeof text, "%.120s %s Funnel for %.63s of %.120s", by->login, t->verb,
             r->label, r->requester);
    return webhooks_emit(a, t->event, text, facts);
}

int approval_asked(struct app *a, const struct actor *by, const struct store_request *r)
{
    return tell(a, by, r,
                &(struct told){.action = "FUNNEL.REQUEST",
                               .event = "funnelRequested",
                               .verb = "asks for",
                               .reason = slice_str(r->wish_reason)});
}

static int fold(int rc)
{
    return rc > 0 && rc != APPROVAL_GONE ? err_fold(-EIO) : rc;
}

/* ---- approving ---- */

/* A decision under way; what it points at is its own. */
struct approving {
    struct app *app;
    struct decision d;
    struct store_request request;
    struct actor by;
    char selector[STORE_NAME_SIZE], stamp[APPROVAL_STAMP_SIZE], etag[65];
    bool https_was_off, edited;
    approval_done_fn done;
    void *arg;
};

static void end_approving(struct approving *p, int rc, const char *why)
{
    p->done(p->arg, rc, why);
    mem_free(p);
}

static int store_grant_row(struct approving *p)
{
    struct app *a = p->app;
    struct store_grant beside;
    struct store_grant g = {.request_id = p->request.id, .node_id = p->request.node_id};
    char ports[24] = "";
    if (p->d.ports != PORTS_ALL) {
        ports_write(p->d.ports, ports);
    }
    text_fit(g.selector, sizeof g.selector, "%s", p->selector);
    text_fit(g.ports, sizeof g.ports, "%s", ports);
    text_fit(g.granted_by, sizeof g.granted_by, "%s", p->by.login);
    g.expires.s = p->d.seconds ? wall_now().s + p->d.seconds : 0;
    /* What an earlier approval wrote is ours to take out as well; what a person wrote is not. What
     * had to be written anew was not there any more. */
    int rc = p->edited ? store_grants_end_same(a->db, &g, S(GRANT_TAKEN_OUT)) : 0;
    rc = rc ? rc : store_grant_beside(a->db, 0, p->selector, &beside);
    g.edited = p->edited || (rc == 0 && beside.edited);
    return rc < 0 ? rc : store_grant_create(a->db, a->tailnet.id, &g);
}

static int switch_https(struct approving *p)
{
    struct app *a = p->app;
    p->https_was_off = !a->tailnet.https_enabled;
    if (!p->https_was_off) {
        return 0;
    }
    struct audit_entry e = {.action = "TAILNET.ENABLE.HTTPS",
                            .type = "TAILNET",
                            .id = a->tailnet.stable_id,
                            .name = a->tailnet.name,
                            .property = "HTTPS",
                            .old = S("false"),
                            .new = S("true")};
    int rc = store_tailnet_https(a->db, a->tailnet.id, true);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "settings", 0);
    return rc ? rc : audit_write(a, &p->by, &e);
}

/* In the transaction of the policy, or alone where the policy gives the right already. */
static int decide_rows(void *arg)
{
    struct approving *p = arg;
    struct app *a = p->app;
    char until[WALL_TEXT_SIZE] = "";
    if (p->d.seconds) {
        wall_format((struct wall){wall_now().s + p->d.seconds}, until);
    }
    int rc = store_request_decide(a->db, p->request.id, "granted", slice_str(p->by.login),
                                  slice_str(p->selector));
    if (rc == STORE_NONE) {
        return APPROVAL_GONE;
    }
    rc = rc ? rc : store_grant_row(p);
    rc = rc ? rc : switch_https(p);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "request", p->request.node_id);
    rc = rc ? rc
            : tell(a, &p->by, &p->request,
                   &(struct told){.action = "FUNNEL.APPROVE",
                                  .event = "funnelApproved",
                                  .verb = "approved",
                                  .grant = p->selector,
                                  .until = until,
                                  .ports = p->d.ports});
    return rc > 0 ? err_fold(-EIO) : rc;
}

static void approved(struct approving *p)
{
    struct app *a = p->app;
    a->tailnet.https_enabled = true;
    log_info("request.approved", F_STR("request", p->request.stable_id), F_STR("by", p->by.login),
             F_STR("grant", p->selector), F_I64("seconds", p->d.seconds));
    webhooks_kick(a);
    bus_wake(a);
}

/* The first thing that is wrong, with its place. */
static void first_error(const struct policy_diags *diags, char *out, size_t size)
{
    text_cut(out, size, "%s", "");
    for (size_t i = 0; i < diags->count; i++) {
        const struct policy_diag *d = &diags->items[i];
        if (d->severity == POLICY_ERROR) {
            text_cut(out, size, "Line %d, column %d: %s", d->line, d->column, d->message);
            return;
        }
    }
}

static void policy_saved(void *arg, const struct policy_saved *r)
{
    struct approving *p = arg;
    char why[320] = "";
    struct store_request now;
    int rc = r->rc;
    switch (r->result) {
    case POLICY_SAVED:
        approved(p);
        rc = 0;
        break;
    case POLICY_SAVE_INVALID:
        first_error(r->diags, why, sizeof why);
        rc = APPROVAL_REFUSED;
        break;
    case POLICY_SAVE_CONFLICT:
        /* Another decision about the same request moves the policy as well. */
        rc = store_request(p->app->db, slice_str(p->request.stable_id), &now) == 0 &&
                     strcmp(now.state, "pending") != 0
                 ? APPROVAL_GONE
                 : APPROVAL_CHANGED;
        break;
    case POLICY_SAVE_BUSY:
        rc = APPROVAL_BUSY;
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
    p->edited = g->result != POLICY_UNCHANGED;
    if (!p->edited) {
        decide_alone(p);
        return;
    }
    struct policy_save s = {.text = buf_slice(&g->text),
                            .only_over = rev,
                            .via = p->d.via,
                            .message = "funnel request approved",
                            .by = &p->by,
                            .also = decide_rows,
                            .done = policy_saved,
                            .arg = p};
    policy_save(p->app, &s);
}

static bool as_shown(const struct approving *p, const struct grants *gs)
{
    return p->stamp[0] ? strcmp(gs->stamp, p->stamp) == 0
                       : !p->etag[0] || strcmp(gs->etag, p->etag) == 0;
}

static void grants_made(void *arg, const struct grants *gs)
{
    struct approving *p = arg;
    const struct grant *chosen = NULL;
    if (gs->count && !p->selector[0]) {
        memcpy(p->selector, gs->items[gs->preselected].selector, sizeof p->selector);
    }
    for (size_t i = 0; i < gs->count; i++) {
        chosen = strcmp(gs->items[i].selector, p->selector) == 0 ? &gs->items[i] : chosen;
    }
    if (gs->busy) {
        end_approving(p, APPROVAL_BUSY, "");
    } else if (!as_shown(p, gs)) {
        end_approving(p, APPROVAL_CHANGED, "");
    } else if (!chosen || chosen->result == POLICY_REFUSED) {
        end_approving(p, APPROVAL_REFUSED, chosen ? chosen->why : "");
    } else {
        apply(p, chosen, gs->rev);
    }
}

void approval_approve(struct app *a, const struct decision *d, approval_done_fn done, void *arg)
{
    struct approving *p = mem_new(sizeof *p);
    struct store_node n;
    *p = (struct approving){.app = a, .d = *d, .request = *d->request, .done = done, .arg = arg};
    approval_decider(d->request, d->by, &p->by);
    p->d.request = &p->request;
    p->d.by = &p->by;
    bool whole = slice_copy(d->selector, p->selector, sizeof p->selector) &&
                 slice_copy(d->stamp, p->stamp, sizeof p->stamp) &&
                 slice_copy(d->etag, p->etag, sizeof p->etag);
    if (strcmp(p->request.state, "pending") != 0 || store_node(a->db, d->request->node_id, &n)) {
        end_approving(p, APPROVAL_GONE, "");
    } else if (policy_state_settings(a)->locked) {
        end_approving(p, APPROVAL_LOCKED, "");
    } else if (!whole) {
        end_approving(p, APPROVAL_REFUSED, "");
    } else {
        approval_grants(a, &n, d->request->port, d->ports, grants_made, p);
    }
}

/* ---- everything but a yes ---- */

/* What a small decision does beside its row. */
struct small {
    const char *state; /* NULL: the request stays as it is */
    struct told told;
    int (*also)(struct app *a, const struct decision *d);
};

static int store_small(struct app *a, const struct decision *d, const struct small *s)
{
    struct actor by;
    const struct store_request *r = d->request;
    approval_decider(r, d->by, &by);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? 0 : -EIO;
    if (!rc && s->state) {
        rc = store_request_decide(a->db, r->id, s->state, slice_str(by.login), d->reason);
        rc = rc == STORE_NONE ? APPROVAL_GONE : rc;
    }
    if (!rc && s->also) {
        rc = s->also(a, d);
    }
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "request", r->node_id);
    rc = rc ? rc : tell(a, &by, r, &s->told);
    return fold(rc ? rc : db_commit(&tx));
}

static int small(struct app *a, const struct decision *d, const struct small *s)
{
    int rc = store_small(a, d, s);
    if (!rc) {
        log_info("request.changed", F_STR("request", d->request->stable_id),
                 F_STR("action", s->told.action), F_STR("by", d->by->login));
        webhooks_kick(a);
        bus_wake(a);
    }
    return rc;
}

static int bar(struct app *a, const struct decision *d)
{
    int rc = d->request->node_id ? store_node_bar_requests(a->db, d->request->node_id, true) : 0;
    return rc == STORE_NONE ? 0 : rc;
}

static int unbar(struct app *a, const struct decision *d)
{
    int rc = d->request->node_id ? store_node_bar_requests(a->db, d->request->node_id, false) : 0;
    return rc == STORE_NONE ? 0 : rc;
}

int approval_deny(struct app *a, const struct decision *d, enum approval_deny how)
{
    struct small s = {.state = "denied",
                      .told = {.action = "FUNNEL.DENY",
                               .event = "funnelDenied",
                               .verb = "denied",
                               .reason = d->reason}};
    if (how == APPROVAL_REPORT) {
        s.told.action = "FUNNEL.REPORT";
        s.told.event = "funnelReported";
        s.told.verb = "reported a request that nobody made:";
        s.also = bar;
    }
    return small(a, d, &s);
}

int approval_end(struct app *a, const struct decision *d, const char *state)
{
    bool expired = strcmp(state, "expired") == 0;
    struct small s = {
        .state = state,
        .told = {.action = expired ? "FUNNEL.EXPIRE" : "FUNNEL.CANCEL", .reason = d->reason}};
    return small(a, d, &s);
}

int approval_allow(struct app *a, const struct decision *d)
{
    struct small s = {.told = {.action = "FUNNEL.ALLOW"}, .also = unbar};
    return small(a, d, &s);
}

static int wish(struct app *a, const struct decision *d)
{
    int rc =
        store_request_wish(a->db, d->request->id, d->reason, d->request->wish_until, wall_now());
    return rc == STORE_NONE ? APPROVAL_GONE : rc;
}

/* Once in ten minutes: a reason that is typed again and again is no news. */
int approval_note(struct app *a, const struct decision *d)
{
    bool news = wall_now().s - d->request->notified.s > NOTIFY_S;
    struct small s = {.told = {.action = "FUNNEL.REQUEST",
                               .event = news ? "funnelRequested" : NULL,
                               .verb = "asks again for",
                               .reason = d->reason},
                      .also = wish};
    return small(a, d, &s);
}

static int count_wrong(struct app *a, const struct decision *d)
{
    int rc = store_request_wrong_code(a->db, d->request->id);
    return rc == STORE_NONE ? APPROVAL_GONE : rc;
}

int approval_wrong_code(struct app *a, const struct decision *d)
{
    bool last = d->request->wrong_codes + 1 >= WRONG_CODES_MOST;
    struct decision ending = *d;
    struct small s = {
        .told = {.action = "FUNNEL.APPROVE.REFUSED", .reason = S("the match code was wrong")},
        .also = count_wrong};
    int rc = small(a, d, &s);
    if (!rc && last) {
        ending.reason = S("a wrong match code was chosen twice");
        rc = approval_end(a, &ending, "cancelled");
    }
    return rc;
}

/* ---- requests that the policy has answered meanwhile ---- */

struct settling {
    struct app *a;
    struct store_request requests[64]; /* a batch; what is left is settled with the next change */
    size_t count;
};

static void note_pending(void *arg, const struct store_request *r)
{
    struct settling *s = arg;
    struct store_node n;
    if (s->count < ARRAY_LEN(s->requests) && store_node(s->a->db, r->node_id, &n) == 0 &&
        policy_state_gate(s->a, &n, r->port) == POLICY_GATE_OPEN) {
        s->requests[s->count++] = *r;
    }
}

static int settle_one(struct app *a, const struct store_request *r, const struct actor *by)
{
    struct actor decider;
    struct slice reason = S("the policy gives it");
    approval_decider(r, by, &decider);
    int rc = store_request_decide(a->db, r->id, "granted", slice_str(by->login), reason);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "request", r->node_id);
    return rc ? rc
              : tell(a, &decider, r,
                     &(struct told){.action = "FUNNEL.APPROVE",
                                    .event = "funnelApproved",
                                    .verb = "gave by policy",
                                    .reason = reason});
}

void approval_settle(struct app *a, const char *by)
{
    AUTO_FREE struct settling *s = mem_new(sizeof *s);
    struct actor who;
    s->a = a;
    int rc = store_requests_pending(a->db, note_pending, s);
    if (rc) { /* what was not seen is settled with the next change */
        log_error("requests.not_read", F_ERR(rc));
    }
    if (!s->count) {
        return;
    }
    actor_system(&who);
    text_cut(who.login, sizeof who.login, "%s", by);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    rc = tx ? 0 : -EIO;
    for (size_t i = 0; !rc && i < s->count; i++) {
        rc = settle_one(a, &s->requests[i], &who);
    }
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        log_error("requests.not_settled", F_ERR(rc));
    } else {
        webhooks_kick(a);
    }
}
