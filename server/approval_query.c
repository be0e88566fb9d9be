/* A node asks for the right to use Funnel: POST /node/v1/feature/query (docs/channels.md). */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "policy/explain.h"
#include "server/app.h"
#include "server/settings.h"

enum {
    REQUEST_CHARS = 26,        /* 130 bits: not guessable, and it grants nothing */
    COOL_DOWN_S = 600,         /* after a denial */
    WISH_MOST_S = 366 * 86400, /* what a requester may ask for */
    MADE_MOST = 30,            /* of one node in COOL_DOWN_S: asking and withdrawing in a loop */
    OPEN_OF_USER_MOST = 10,    /* of a node: one a public port, by the table's key */
};

/* What the daemon asks. */
struct query {
    struct app *app;
    struct http_rq *rq; /* NULL: the daemon has left; what it asked for goes on */
    struct store_node node;
    int64_t port;
    char target[512], reason[256];
    int64_t until;
    struct store_request request;
};

/* ---- answers ---- */

static struct js *answer(bool complete, const char *text, const char *url, bool wait)
{
    struct js *j = js_object();
    js_set_bool(j, "Complete", complete);
    js_set_cstr(j, "Text", text);
    js_set_cstr(j, "URL", url);
    js_set_bool(j, "ShouldWait", wait);
    return j;
}

static void answer_complete(struct http_rq *rq)
{
    AUTO(js_freep) struct js *j = answer(true, "", "", false);
    reply_json(rq, 200, j);
}

static void answer_pending(struct app *a, struct http_rq *rq, const struct store_request *r)
{
    char url[400], text[300], expires[WALL_TEXT_SIZE];
    text_fit(url, sizeof url, "%s/f/%s", a->cfg.origin, r->stable_id);
    text_cut(text, sizeof text,
             "Funnel is not enabled for %s yet. Ask an admin (or yourself) to open:", r->label);
    wall_format(r->expires, expires);
    AUTO(js_freep) struct js *j = answer(false, text, url, true);
    js_set_cstr(j, "RequestID", r->stable_id);
    js_set_cstr(j, "MatchCode", r->match_code);
    js_set_cstr(j, "Expires", expires);
    reply_json(rq, 200, j);
}

static void answer_no(struct http_rq *rq, const char *code, const char *text, const char *fix)
{
    AUTO(js_freep) struct js *j = answer(false, text, "", false);
    js_set_cstr(j, "Code", code);
    js_set_cstr(j, "Fix", fix);
    reply_json(rq, 200, j);
}

static void answer_denied(struct http_rq *rq, const struct store_request *r)
{
    char text[700];
    int64_t left = (r->decided.s + COOL_DOWN_S - wall_now().s + 59) / 60;
    text_cut(text, sizeof text,
             "%.200s denied this%s%.255s. The same can be asked again in %d min.", r->decided_by,
             r->reason[0] ? ": " : "", r->reason, (int)left);
    answer_no(rq, "denied", text, "talk to them");
}

static void answer_barred(struct http_rq *rq)
{
    answer_no(rq, "barred",
              "A request of this device was reported as not made by its owner; it may not ask "
              "until somebody allows it again.",
              "talk to an owner, admin or network admin of your tailnet");
}

/* No right of the policy helps it; nobody is asked in vain. */
static void answer_shut(struct http_rq *rq, const struct store_node *n)
{
    if (!n->authorized) {
        answer_no(rq, "not-approved", "An admin has not approved this device yet.",
                  "ask an owner, admin or IT admin of your tailnet to approve it");
    } else {
        answer_no(rq, "key-expired", "The key of this device has expired.",
                  "sign in again on this device: funnel up");
    }
}

static void answer_locked(struct app *a, struct http_rq *rq)
{
    char text[700], since[WALL_TEXT_SIZE];
    wall_format(a->lock.since, since);
    text_cut(text, sizeof text,
             "%.200s has switched off every public URL of this tailnet at %s%s%.255s", a->lock.by,
             since, a->lock.reason[0] ? ": " : ".", a->lock.reason);
    answer_no(rq, "locked", text, "wait until an owner, admin or network admin opens them again");
}

/* ---- a new request ---- */

/* Beyond what one person may have open, the oldest goes: memory of ours is bounded, and what
 * somebody wants now counts more than what they wanted yesterday. */
static int make_room(struct app *a, const struct query *q)
{
    struct store_request oldest;
    int64_t count = 0;
    int rc = q->node.user_id ? store_requests_of_user(a->db, q->node.user_id, &count, &oldest) : 0;
    if (rc || count < OPEN_OF_USER_MOST) {
        return rc;
    }
    rc = store_request_decide(a->db, oldest.id, "expired", S(""),
                              S("a newer request took its place"));
    return rc ? rc : store_change(a->db, a->tailnet.id, "request", oldest.node_id);
}

static void fill_request(struct app *a, const struct query *q, struct store_request *out)
{
    struct wall now = wall_now();
    memset(out, 0, sizeof *out);
    *out =
        (struct store_request){.node_id = q->node.id,
                               .port = q->port,
                               .wish_until = q->until,
                               .created = now,
                               .expires = {now.s + 3600 * setting_number(a, "funnelRequestHours")}};
    secret_id(out->stable_id, REQUEST_CHARS);
    match_code_make(out->match_code);
    memcpy(out->remote, q->node.remote, sizeof out->remote);
    memcpy(out->label, q->node.label, sizeof out->label);
    memcpy(out->target, q->target, sizeof out->target);
    memcpy(out->wish_reason, q->reason, sizeof out->wish_reason);
    text_fit(out->state, sizeof out->state, "pending");
    request_owner(a, &q->node, out->requester);
}

static int create_request(struct app *a, struct query *q)
{
    struct actor by;
    struct store_request *r = &q->request;
    actor_of(q->rq, &by);
    fill_request(a, q, r);
    text_fit(r->group, sizeof r->group, "%s", by.group);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? make_room(a, q) : -EIO;
    rc = rc ? rc : store_request_create(a->db, r);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "request", r->node_id);
    rc = rc ? rc : approval_asked(a, &by, r);
    rc = rc ? rc : db_commit(&tx);
    /* The row's number, for whoever decides at once. */
    rc = rc ? rc : store_request(a->db, slice_str(r->stable_id), r);
    if (!rc) {
        log_info("request.new", F_STR("request", r->stable_id), F_STR("node", q->node.stable_id));
        webhooks_kick(a);
        bus_wake(a);
    }
    return rc > 0 ? err_fold(-EIO) : rc;
}

/* ---- granted at once: autoApprovers.funnel ---- */

static bool approves_itself(struct app *a, const struct store_node *n)
{
    const struct policy_snapshot *s = policy_state_snapshot(a);
    size_t at = policy_facts_index(policy_snapshot_facts(s), n->id);
    return at != SIZE_MAX && !policy_state_settings(a)->locked && policy_approves_funnel(s, at);
}

static void daemon_left(void *arg)
{
    ((struct query *)arg)->rq = NULL;
}

static void approved_itself(void *arg, int rc, const char *why)
{
    struct query *q = arg;
    if (rc) { /* a person can still decide */
        log_warn("request.not_granted_at_once", F_STR("request", q->request.stable_id),
                 F_I64("answer", rc), F_STR("why", why));
    }
    if (q->rq && rc) {
        answer_pending(q->app, q->rq, &q->request);
    } else if (q->rq) {
        answer_complete(q->rq);
    }
    mem_free(q);
}

/* To the device alone: whoever may grant it to themselves may not grant it to others. */
static void grant_at_once(struct query *q)
{
    struct actor by;
    actor_system(&by);
    text_fit(by.login, sizeof by.login, "autoApprovers");
    struct decision d = {.request = &q->request,
                         .by = &by,
                         .selector = slice_str(q->node.ipv4),
                         .ports = PORTS_ALL,
                         .seconds = q->until,
                         .via = "approval"};
    http_rq_on_abort(q->rq, daemon_left, q);
    approval_approve(q->app, &d, approved_itself, q);
}

/* ---- the question ---- */

static void ask_people(struct query *q)
{
    struct app *a = q->app;
    int rc = create_request(a, q);
    if (rc) {
        reply_broken(q->rq, rc);
        mem_free(q);
    } else if (approves_itself(a, &q->node)) {
        grant_at_once(q);
    } else {
        answer_pending(a, q->rq, &q->request);
        mem_free(q);
    }
}

/* The same again is the same request; a reason that was added since is taken along. */
static void take_wish(struct app *a, const struct query *q)
{
    const struct store_request *r = &q->request;
    bool same = strcmp(q->reason, r->wish_reason) == 0 && q->until == r->wish_until;
    if (!q->reason[0] || same) {
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    if (tx &&
        store_request_wish(a->db, r->id, slice_str(q->reason), q->until, (struct wall){0}) == 0) {
        err_ignore(db_commit(&tx)); /* words for people; the request stands without them */
    }
}

static bool read_query(struct query *q, const struct js *j)
{
    struct slice target = js_get_str(j, "target"), reason = slice_trim(js_get_str(j, "reason"));
    q->port = js_get_int(j, "port", 443);
    q->until = js_get_int(j, "seconds", 0);
    return slice_eq(js_get_str(j, "feature"), S("funnel")) && ports_bit(q->port) && q->until >= 0 &&
           q->until <= WISH_MOST_S && text_printable(target, 500) && text_printable(reason, 200) &&
           slice_copy(target, q->target, sizeof q->target) &&
           slice_copy(reason, q->reason, sizeof q->reason);
}

/* Rows, audit lines and webhooks are not a node's to fill. */
static bool asks_too_often(struct app *a, const struct store_node *n)
{
    int64_t made = 0;
    struct wall since = {wall_now().s - COOL_DOWN_S};
    return store_requests_made(a->db, n->id, since, &made) || made >= MADE_MOST;
}

/* What needs nobody's decision. False: nothing was answered yet. */
static bool answer_known(struct app *a, struct query *q)
{
    struct http_rq *rq = q->rq;
    struct store_request *r = &q->request;
    enum policy_gate gate = policy_state_gate(a, &q->node, q->port);
    if (gate == POLICY_GATE_LOCKED) {
        answer_locked(a, rq);
    } else if (gate == POLICY_GATE_OPEN) {
        answer_complete(rq);
    } else if (!q->node.authorized || node_expired(&q->node)) {
        answer_shut(rq, &q->node);
    } else if (store_node_barred(a->db, q->node.id) == 0) {
        answer_barred(rq);
    } else if (store_request_pending(a->db, q->node.id, q->port, r) == 0) {
        take_wish(a, q);
        answer_pending(a, rq, r);
    } else if (store_request_denied_since(a->db, q->node.id, q->port,
                                          (struct wall){wall_now().s - COOL_DOWN_S}, r) == 0) {
        answer_denied(rq, r);
    } else if (asks_too_often(a, &q->node)) {
        answer_no(rq, "too-many", "This device has asked too often in the last ten minutes.",
                  "wait, and ask once");
    } else {
        return false;
    }
    return true;
}

void approval_query(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"feature", JS_STR, true, 32},
                                             {"port", JS_INT, false, 0},
                                             {"target", JS_STR, false, 500},
                                             {"reason", JS_STR, false, 200},
                                             {"seconds", JS_INT, false, 0}};
    struct app *a = app;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (!j) {
        return;
    }
    struct query *q = mem_new(sizeof *q);
    *q = (struct query){.app = a, .rq = rq, .node = auth_identity(rq)->node};
    if (!read_query(q, j)) {
        reply_problem(rq, &(struct problem){400, "feature.unknown",
                                            "only the feature \"funnel\" can be asked for, on port "
                                            "443, 8443 or 10000",
                                            "see docs/channels.md"});
        mem_free(q);
    } else if (answer_known(a, q)) {
        mem_free(q);
    } else {
        ask_people(q);
    }
}

void approval_cancel(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_node *n = &auth_identity(rq)->node;
    struct store_request r;
    struct actor by;
    if (store_request(a->db, http_rq_param(rq, "id"), &r) || r.node_id != n->id) {
        reply_problem(rq, &(struct problem){404, "request.unknown", "this node has no such request",
                                            "funnel request list"});
        return;
    }
    actor_of(rq, &by);
    struct decision d = {.request = &r, .by = &by, .reason = S("withdrawn on the device")};
    int rc = approval_end(a, &d, "cancelled");
    if (rc < 0) {
        reply_broken(rq, rc);
    } else if (rc == APPROVAL_GONE && strcmp(r.state, "cancelled") != 0) {
        char text[200];
        text_cut(text, sizeof text, "this request is %s already", r.state);
        reply_problem(rq, &(struct problem){409, "request.decided", text, "funnel request list"});
    } else {
        reply_none(rq);
    }
}
