/*
 * The requests API (console-api.md 3.2): list, one with its differences, approve, deny, cancel,
 * wait. A script does not approve what its own person asks for: that is the page's business, where
 * presence is proved.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "server/app.h"
#include "server/rest.h"

enum { SECONDS_MOST = 366 * 86400, WAIT_MOST_S = 50 };

/* ---- a request as JSON ---- */

static void set_time(struct js *j, const char *name, struct wall t)
{
    char text[WALL_TEXT_SIZE];
    if (t.s) {
        wall_format(t, text);
        js_set_cstr(j, name, text);
    }
}

static void set_grant(struct app *a, struct js *j, const struct store_request *r)
{
    struct store_grant g;
    if (store_grant_of_request(a->db, r->id, &g)) {
        return;
    }
    struct js *grant = js_object();
    js_set_cstr(grant, "selector", g.selector);
    js_set_cstr(grant, "ports", g.ports[0] ? g.ports : NULL);
    set_time(grant, "expires", g.expires);
    set_time(grant, "ended", g.ended);
    js_set_cstr(grant, "why", g.why[0] ? g.why : NULL);
    js_set(j, "grant", grant);
}

static void set_names(struct app *a, struct js *j, const struct store_request *r)
{
    char name[TEXT_NAME_SIZE], text[400], port[16] = "";
    app_fqdn(a, r->label, name);
    if (r->port != 443) {
        text_fit(port, sizeof port, ":%d", (int)r->port);
    }
    text_fit(text, sizeof text, "https://%s%s/", name, port);
    js_set_cstr(j, "url", text);
    text_fit(text, sizeof text, "%s/f/%s", a->cfg.origin, r->stable_id);
    js_set_cstr(j, "page", text);
}

/* n: NULL where it has gone. own: the caller's; the code is shown to nobody else. */
static struct js *
request_json(struct app *a, const struct store_request *r, const struct store_node *n, bool own)
{
    struct js *j = js_object();
    js_set_cstr(j, "id", r->stable_id);
    js_set_cstr(j, "state", r->state);
    js_set_cstr(j, "user", r->requester);
    js_set_cstr(j, "nodeId", n ? n->stable_id : NULL);
    js_set_cstr(j, "node", r->label);
    js_set_int(j, "port", r->port);
    set_names(a, j, r);
    js_set_cstr(j, "target", r->target[0] ? r->target : NULL);
    js_set_cstr(j, "remote", r->remote);
    js_set_cstr(j, "reason", r->wish_reason[0] ? r->wish_reason : NULL);
    if (r->wish_until) {
        js_set_int(j, "wishSeconds", r->wish_until);
    }
    js_set_cstr(j, "matchCode", own && strcmp(r->state, "pending") == 0 ? r->match_code : NULL);
    set_time(j, "created", r->created);
    set_time(j, "expires", r->expires);
    set_time(j, "decided", r->decided);
    js_set_cstr(j, "decidedBy", r->decided_by[0] ? r->decided_by : NULL);
    js_set_cstr(j, "decisionReason", r->reason[0] ? r->reason : NULL);
    set_grant(a, j, r);
    return j;
}

/* ---- list ---- */

struct listing {
    struct app *a;
    const struct identity *id;
    struct rest_page page;
    struct js *list;
};

static void add_request(void *arg, const struct store_request *r)
{
    struct listing *l = arg;
    struct store_node n;
    bool there = r->node_id && store_node(l->a->db, r->node_id, &n) == 0;
    if (rest_page_take(&l->page, INT64_MAX - r->id)) {
        js_push(l->list, request_json(l->a, r, there ? &n : NULL, there && request_own(l->id, &n)));
    }
}

static bool known_state(struct slice state)
{
    static const char *const states[] = {"pending", "granted", "denied", "cancelled",
                                         "expired", "failed",  "revoked"};
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (slice_eq(state, slice_str(states[i]))) {
            return true;
        }
    }
    return !state.n;
}

/* Newest first; whoever decides sees all, others their own. */
void api_requests(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct listing l = {.a = a, .id = auth_identity(rq)};
    struct store_request_query q = {.state = http_rq_query(rq, "state"), .limit = REST_LIMIT_MOST};
    if (!known_state(q.state)) {
        reply_problem(rq, &(struct problem){400, "query.state", "there is no such state",
                                            "pending, granted, denied, cancelled or expired"});
        return;
    }
    if (!rest_page_read(rq, &l.page)) {
        return;
    }
    q.user = auth_may(l.id, PERM_REQUEST_DECIDE) ? 0 : l.id->user.id;
    q.before = l.page.after > 0 ? INT64_MAX - l.page.after : 0;
    q.limit = l.page.limit < q.limit ? l.page.limit + 1 : q.limit;
    l.list = js_array();
    int rc = store_requests_each(a->db, &q, add_request, &l);
    AUTO(js_freep) struct js *j = js_object();
    js_set(j, "requests", l.list);
    rest_page_end(&l.page, j);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_json(rq, 200, j);
    }
}

/* ---- one ---- */

static bool find(struct app *a, struct http_rq *rq, struct store_request *r, struct store_node *n)
{
    if (request_find(a, rq, r, n)) {
        return true;
    }
    reply_problem(rq, &(struct problem){404, "request.unknown", "there is no such request",
                                        "GET …/funnel-requests lists those that you may see"});
    return false;
}

static struct js *found_json(struct app *a,
                             struct http_rq *rq,
                             const struct store_request *r,
                             const struct store_node *n)
{
    const struct store_node *there = n->id ? n : NULL;
    return request_json(a, r, there, there && request_own(auth_identity(rq), there));
}

static struct js *choice_json(const struct grant *g)
{
    struct js *j = js_object();
    js_set_cstr(j, "grant", g->selector);
    js_set_cstr(j, "text", g->words);
    js_set_bool(j, "possible", g->result != POLICY_REFUSED);
    js_set_cstr(j, "why", g->why[0] ? g->why : NULL);
    js_set_str(j, "diff", buf_slice(&g->diff));
    return j;
}

/* A request under way to be shown, with what approving it would change. */
struct showing {
    struct app *app;
    struct http_rq *rq; /* NULL: the caller has left */
    struct js *object;
};

static void caller_left(void *arg)
{
    ((struct showing *)arg)->rq = NULL;
}

static void add_changes(struct showing *s, const struct grants *g)
{
    struct js *changes = js_object(), *choices = js_array(), *names = js_array();
    char ports[24];
    for (size_t i = 0; i < g->count; i++) {
        js_push(choices, choice_json(&g->items[i]));
    }
    ports_write(g->ports, ports);
    js_set(changes, "choices", choices);
    js_set_cstr(changes, "preselected", g->count ? g->items[g->preselected].selector : NULL);
    js_set_cstr(changes, "ports", ports);
    js_set_cstr(changes, "policyETag", g->etag);
    js_set_bool(changes, "enablesHTTPS", !s->app->tailnet.https_enabled);
    js_set_bool(changes, "policyEditedElsewhere", policy_state_settings(s->app)->locked);
    struct slice url = js_get_str(s->object, "url");
    url = slice_skip(url, S("https://").n);
    ptrdiff_t end = slice_find(url, ':') >= 0 ? slice_find(url, ':') : slice_find(url, '/');
    js_push_str(names, slice_sub(url, 0, end < 0 ? url.n : (size_t)end));
    js_set(changes, "publicNames", names);
    js_set(s->object, "changes", changes);
}

static void on_grants(void *arg, const struct grants *g)
{
    struct showing *s = arg;
    if (s->rq) {
        if (!g->busy) {
            add_changes(s, g);
        }
        reply_json(s->rq, 200, s->object);
    }
    js_free(s->object);
    mem_free(s);
}

/* The ETag is of the request; the changes have one of their own, the policy's. */
void api_request(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_request r;
    struct store_node n;
    char tag[REST_ETAG_SIZE];
    if (!find(a, rq, &r, &n)) {
        return;
    }
    struct js *j = found_json(a, rq, &r, &n);
    rest_etag(j, tag);
    bool changes = n.id && strcmp(r.state, "pending") == 0 &&
                   auth_may(auth_identity(rq), PERM_POLICY_READ) &&
                   !rest_tag_listed(http_rq_header(rq, "If-None-Match"), slice_str(tag));
    if (!changes) {
        rest_object(rq, j);
        js_free(j);
        return;
    }
    struct showing *s = mem_new(sizeof *s);
    *s = (struct showing){.app = a, .rq = rq, .object = j};
    rest_add_etag(rq, j);
    http_rq_on_abort(rq, caller_left, s);
    approval_grants(a, &n, r.port, PORTS_ALL, on_grants, s);
}

/* ---- decisions ---- */

/* It may outlive its caller: what they asked for happens all the same. */
struct deciding {
    struct app *app;
    struct http_rq *rq;
    struct store_request request;
    struct store_node node;
    struct actor by;
    const char *state;
    char selector[STORE_NAME_SIZE], reason[256], etag[65];
    struct decision d;
};

static void answer_gone(struct deciding *w, const struct store_request *now)
{
    char text[400];
    int64_t ago = wall_now().s - now->decided.s;
    if (approval_repeats(now, &w->d, w->state)) {
        AUTO(js_freep) struct js *j = found_json(w->app, w->rq, now, &w->node);
        rest_object(w->rq, j);
        return;
    }
    text_cut(text, sizeof text, "already %s%s%.200s %lld s ago",
             strcmp(now->state, "granted") == 0 ? "approved" : now->state,
             now->decided_by[0] ? " by " : "", now->decided_by, (long long)(ago > 0 ? ago : 0));
    reply_problem(w->rq, &(struct problem){409, "request.decided", text, "read the request again"});
}

static void refuse(struct deciding *w, int rc, const char *why)
{
    char text[400];
    if (rc == APPROVAL_CHANGED) {
        reply_problem(
            w->rq, &(struct problem){412, "policy.changed",
                                     "the policy is not the one that you were shown",
                                     "read the request again, look at its changes, decide anew"});
    } else if (rc == APPROVAL_LOCKED) {
        reply_problem(w->rq, &(struct problem){409, "policy.external",
                                               "the policy of this tailnet is edited elsewhere",
                                               "commit the change there: the request closes then"});
    } else if (rc == APPROVAL_BUSY) {
        http_rq_add_header(w->rq, "Retry-After", "1");
        reply_problem(w->rq, &(struct problem){503, "busy", "too much is going on at once",
                                               "try again in a second"});
    } else {
        text_cut(text, sizeof text, "the policy cannot be changed like that. %.300s", why);
        reply_problem(w->rq, &(struct problem){400, "policy.refused", text,
                                               "choose another grant, or mend the policy first"});
    }
}

static void answer(struct deciding *w, int rc, const char *why)
{
    struct store_request now;
    int gone = rc < 0 ? 0 : store_request(w->app->db, slice_str(w->request.stable_id), &now);
    if (rc < 0 || gone) {
        reply_broken(w->rq, rc < 0 ? rc : gone);
    } else if (rc == APPROVAL_GONE || (rc && strcmp(now.state, "pending") != 0)) {
        answer_gone(w, &now); /* also where it is their decision that has changed the policy */
    } else if (rc) {
        refuse(w, rc, why);
    } else {
        AUTO(js_freep) struct js *j = found_json(w->app, w->rq, &now, &w->node);
        rest_object(w->rq, j);
    }
}

/* The request, visible and as the caller's If-Match has it; NULL after an answer. */
static struct deciding *begin(struct app *a, struct http_rq *rq, const char *state)
{
    struct deciding *w = mem_new(sizeof *w);
    *w = (struct deciding){.app = a, .rq = rq, .state = state};
    actor_of(rq, &w->by);
    if (!find(a, rq, &w->request, &w->node)) {
        mem_free(w);
        return NULL;
    }
    AUTO(js_freep) struct js *now = found_json(a, rq, &w->request, &w->node);
    if (!rest_match(rq, now)) {
        mem_free(w);
        return NULL;
    }
    w->d = (struct decision){.request = &w->request, .by = &w->by, .ports = PORTS_ALL};
    return w;
}

/* ---- approve ---- */

static void decider_left(void *arg)
{
    ((struct deciding *)arg)->rq = NULL;
}

static void decided(void *arg, int rc, const char *why)
{
    struct deciding *w = arg;
    if (w->rq) {
        answer(w, rc, why);
    }
    mem_free(w);
}

static bool read_ports(struct deciding *w, const struct js *list)
{
    unsigned ports = ports_bit(w->request.port);
    bool ok = true;
    for (size_t i = 0; i < js_len(list); i++) {
        unsigned bit = ports_bit(js_int(js_at(list, i), 0));
        ok = ok && bit;
        ports |= bit;
    }
    w->d.ports = js_len(list) ? ports : PORTS_ALL;
    return ok;
}

static bool read_approval(struct deciding *w, const struct js *j)
{
    w->d.seconds = js_get_int(j, "expires", 0);
    w->d.via = "api";
    if (!read_ports(w, js_get(j, "ports")) || w->d.seconds < 0 || w->d.seconds > SECONDS_MOST ||
        !slice_copy(js_get_str(j, "grant"), w->selector, sizeof w->selector) ||
        !slice_copy(js_get_str(j, "policyETag"), w->etag, sizeof w->etag)) {
        reply_problem(w->rq,
                      &(struct problem){400, "body.invalid",
                                        "ports are of 443, 8443 and 10000; expires is in seconds, "
                                        "a year at most; 0 is until revoked",
                                        "leave out what you do not mean to limit"});
        return false;
    }
    w->d.selector = slice_str(w->selector);
    w->d.etag = slice_str(w->etag);
    return true;
}

static bool may_approve(struct deciding *w, struct slice code)
{
    const struct identity *id = auth_identity(w->rq);
    if (request_own(id, w->node.id ? &w->node : NULL)) {
        reply_problem(w->rq, &(struct problem){403, "request.own",
                                               "nobody approves their own request by the API",
                                               "open its page in a browser, or ask somebody else"});
        return false;
    }
    if (strcmp(w->request.state, "pending") != 0) {
        answer_gone(w, &w->request);
        return false;
    }
    if (!match_code_right(&w->request, code)) {
        int rc = approval_wrong_code(w->app, &w->d);
        if (rc < 0) {
            reply_broken(w->rq, rc);
        } else {
            reply_problem(w->rq, &(struct problem){403, "match_code.wrong",
                                                   "that is not the code of this request",
                                                   "ask the person at the terminal for it"});
        }
        return false;
    }
    return true;
}

void api_request_approve(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"grant", JS_STR, false, 253},
                                             {"ports", JS_ARRAY, false, 3},
                                             {"expires", JS_INT, false, 0},
                                             {"policyETag", JS_STR, false, 64},
                                             {"matchCode", JS_STR, false, 16}};
    AUTO(js_freep) struct js *j = rest_body(rq, fields, ARRAY_LEN(fields));
    struct deciding *w = j ? begin(app, rq, "granted") : NULL;
    if (!w) {
        return;
    }
    if (!read_approval(w, j) || !may_approve(w, js_get_str(j, "matchCode"))) {
        mem_free(w);
        return;
    }
    http_rq_on_abort(rq, decider_left, w);
    approval_approve(app, &w->d, decided, w);
}

/* ---- deny, cancel ---- */

static bool read_reason(struct deciding *w)
{
    static const struct js_field fields[] = {{"reason", JS_STR, false, 200}};
    AUTO(js_freep) struct js *j = NULL;
    if (!slice_trim(http_rq_body(w->rq)).n) {
        return true;
    }
    j = rest_body(w->rq, fields, ARRAY_LEN(fields));
    if (!j) {
        return false;
    }
    struct slice reason = slice_trim(js_get_str(j, "reason"));
    if (!text_printable(reason, 200) || !slice_copy(reason, w->reason, sizeof w->reason)) {
        reply_problem(w->rq, &(struct problem){400, "body.invalid",
                                               "the reason holds characters that cannot be shown",
                                               "send plain text"});
        return false;
    }
    w->d.reason = slice_str(w->reason);
    return true;
}

void api_request_deny(void *app, struct http_rq *rq)
{
    struct deciding *w = begin(app, rq, "denied");
    if (w && read_reason(w)) {
        answer(w, approval_deny(app, &w->d, APPROVAL_DENY), "");
    }
    mem_free(w);
}

/* Its requester, or whoever might deny it. */
void api_request_cancel(void *app, struct http_rq *rq)
{
    struct deciding *w = begin(app, rq, "cancelled");
    if (w && read_reason(w)) {
        w->d.reason = w->d.reason.n ? w->d.reason : S("withdrawn");
        answer(w, approval_end(app, &w->d, "cancelled"), "");
    }
    mem_free(w);
}

/* ---- wait ---- */

static void answer_now(struct app *a, struct http_rq *rq, const struct store_request *r)
{
    struct store_node n = {.id = 0};
    int rc = r->node_id ? store_node(a->db, r->node_id, &n) : 0;
    AUTO(js_freep) struct js *j = rc < 0 ? NULL : found_json(a, rq, r, &n);
    if (j) {
        rest_object(rq, j);
    } else {
        reply_broken(rq, rc);
    }
}

void api_request_wait(void *app, struct http_rq *rq)
{
    struct store_request r;
    struct store_node n;
    uint64_t seconds = WAIT_MOST_S;
    struct slice timeout = http_rq_query(rq, "timeout");
    if (timeout.n && !slice_u64(timeout, WAIT_MOST_S, &seconds)) {
        reply_problem(rq, &(struct problem){400, "query.timeout",
                                            "timeout is in seconds, 50 at most", "timeout=50"});
    } else if (find(app, rq, &r, &n)) {
        approval_wait(app, rq, &r, (int64_t)seconds, answer_now);
    }
}
