/* The forms of the consent page. What was not shown is not done: the stamp of what the person saw,
 * and a nonce that says when, come with an approval. */
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "server/app.h"

enum { SECONDS_MOST = 366 * 86400 };

/* A decision that a form asks for; it may outlive its browser. */
struct deciding {
    struct app *app;
    struct http_rq *rq; /* NULL: the browser has left; what it asked for happens all the same */
    struct store_request request;
    struct actor by;
    const char *state; /* what the request is to become */
    char selector[STORE_NAME_SIZE], reason[256], stamp[APPROVAL_STAMP_SIZE];
    struct decision d;
    struct request_view view; /* where it has to be shown again */
};

static void back_to(struct http_rq *rq, const struct store_request *r)
{
    char back[64];
    text_fit(back, sizeof back, "/f/%s", r->stable_id);
    http_rq_redirect(rq, back);
}

/* ---- the answer ---- */

static void say_faster(const struct store_request *now, char *out, size_t size)
{
    int64_t ago = wall_now().s - now->decided.s;
    text_cut(out, size, "This request is already %s%s%.200s, %lld s ago.",
             strcmp(now->state, "granted") == 0 ? "approved" : now->state,
             now->decided_by[0] ? " by " : "", now->decided_by, (long long)(ago > 0 ? ago : 0));
}

static void say_why(int rc, const char *why, char *out, size_t size)
{
    if (rc == APPROVAL_CHANGED) {
        text_cut(
            out, size, "%s",
            "What would change is not what you were shown. Look at it again, and decide again.");
    } else if (rc == APPROVAL_LOCKED) {
        text_cut(out, size, "%s", "The policy of this tailnet is not edited here.");
    } else if (rc == APPROVAL_BUSY) {
        text_cut(out, size, "%s", "Too much is going on at once. Try again.");
    } else {
        text_cut(out, size, "The policy cannot be changed like that. %.300s", why);
    }
}

static void show_again(struct deciding *w, const struct store_request *now, int status)
{
    w->view.status = status;
    request_show(w->app, w->rq, now, &w->view);
}

/* Somebody was faster: the same decision by the same person is done, else they see the outcome. */
static void answer_gone(struct deciding *w, const struct store_request *now)
{
    if (approval_repeats(now, &w->d, w->state)) {
        back_to(w->rq, now);
    } else {
        say_faster(now, w->view.notice, sizeof w->view.notice);
        show_again(w, now, 409);
    }
}

static void answer(struct deciding *w, int rc, const char *why)
{
    struct store_request now;
    if (rc < 0) {
        reply_broken(w->rq, rc);
    } else if (store_request(w->app->db, slice_str(w->request.stable_id), &now)) {
        page_message(w->rq, 404, "No such request", "It has gone.", "/");
    } else if (rc == 0) {
        back_to(w->rq, &now);
    } else if (rc == APPROVAL_GONE || strcmp(now.state, "pending") != 0) {
        answer_gone(w, &now); /* also where it is their decision that has changed the policy */
    } else {
        say_why(rc, why, w->view.notice, sizeof w->view.notice);
        show_again(w, &now, rc == APPROVAL_BUSY ? 503 : 409);
    }
}

/* ---- what every form needs ---- */

static bool find(struct deciding *w, struct store_node *out_n)
{
    if (request_find(w->app, w->rq, &w->request, out_n)) {
        return true;
    }
    page_message(w->rq, 404, "No such request", "The link is wrong, or it is not yours to see.",
                 "/");
    return false;
}

/* The role, and a proof of presence: whoever finds an open browser decides nothing. */
static bool may_decide(struct app *a, struct http_rq *rq)
{
    const struct identity *id = auth_identity(rq);
    bool https_too = a->tailnet.https_enabled || auth_may(id, PERM_NETWORK_WRITE);
    if (auth_may(id, PERM_REQUEST_DECIDE) && https_too) {
        char back[FLOW_NEXT_SIZE] = "/";
        text_cut(back, sizeof back, "/f/" SLICE_FMT, SLICE_ARG(http_rq_param(rq, "id")));
        return auth_need_fresh(a, rq, slice_str(back));
    }
    page_message(rq, 403, "Not yours to decide", "Ask an owner, admin or network admin.", "/");
    return false;
}

static struct deciding *begin(struct app *a, struct http_rq *rq, const char *state)
{
    struct deciding *w = mem_new(sizeof *w);
    *w = (struct deciding){.app = a, .rq = rq, .state = state};
    w->view.seconds = -1;
    actor_of(rq, &w->by);
    return w;
}

static void read_reason(struct deciding *w)
{
    struct slice text = slice_trim(http_rq_form(w->rq, "reason"));
    if (!text_printable(text, 200) || !slice_copy(text, w->reason, sizeof w->reason)) {
        w->reason[0] = '\0';
    }
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

static unsigned read_ports(struct deciding *w)
{
    unsigned ports = ports_bit(w->request.port);
    ports |= http_rq_form(w->rq, "p443").n ? PORT_443 : 0;
    ports |= http_rq_form(w->rq, "p8443").n ? PORT_8443 : 0;
    ports |= http_rq_form(w->rq, "p10000").n ? PORT_10000 : 0;
    return ports;
}

/* A form field is valid until the next one is asked for. False after a 400. */
static bool read_form(struct deciding *w)
{
    uint64_t seconds = 0;
    struct slice given = http_rq_form(w->rq, "seconds");
    bool ok = !given.n || slice_u64(given, SECONDS_MOST, &seconds);
    ok = slice_copy(http_rq_form(w->rq, "etag"), w->stamp, sizeof w->stamp) && ok && w->stamp[0];
    ok = slice_copy(http_rq_form(w->rq, "grant"), w->selector, sizeof w->selector) && ok;
    w->d = (struct decision){.request = &w->request,
                             .by = &w->by,
                             .selector = slice_str(w->selector),
                             .stamp = slice_str(w->stamp),
                             .ports = read_ports(w),
                             .seconds = (int64_t)seconds,
                             .via = "approval"};
    w->view.ports = w->d.ports;
    w->view.seconds = w->d.seconds;
    memcpy(w->view.selector, w->selector, sizeof w->view.selector);
    if (!ok) {
        page_message(w->rq, 400, "The form is incomplete", "Load the page again.", "/");
    }
    return ok;
}

/* Number matching, four eyes, and the age of the page. False after an answer. */
static bool form_holds(struct deciding *w, const struct store_node *n)
{
    struct app *a = w->app;
    const struct identity *id = auth_identity(w->rq);
    bool pending = strcmp(w->request.state, "pending") == 0, own = request_own(id, n);
    struct request_view *v = &w->view;
    if (!pending) {
        answer_gone(w, &w->request);
    } else if (!decision_nonce_good(a, id, &w->request, http_rq_form(w->rq, "nonce"))) {
        text_cut(v->notice, sizeof v->notice, "%s",
                 "This page was older than ten minutes. Look again, and decide again.");
        show_again(w, &w->request, 409);
    } else if (own && approval_four_eyes(a)) {
        text_cut(v->notice, sizeof v->notice, "%s", "Somebody else must approve your own request.");
        show_again(w, &w->request, 403);
    } else if (!own && !match_code_right(&w->request, http_rq_form(w->rq, "match"))) {
        int rc = approval_wrong_code(a, &w->d);
        text_cut(v->notice, sizeof v->notice, "%s",
                 "That is not the code of this request. Nothing was approved. Talk to the person "
                 "who asks; if they cannot tell you the code, deny.");
        if (rc < 0 || store_request(a->db, slice_str(w->request.stable_id), &w->request)) {
            reply_broken(w->rq, rc);
        } else {
            show_again(w, &w->request, 403);
        }
    } else {
        return true;
    }
    return false;
}

void page_approve(void *app, struct http_rq *rq)
{
    struct store_node n;
    if (!may_decide(app, rq)) {
        return;
    }
    struct deciding *w = begin(app, rq, "granted");
    if (find(w, &n) && read_form(w) && form_holds(w, &n)) {
        http_rq_on_abort(rq, decider_left, w);
        approval_approve(app, &w->d, decided, w);
    } else {
        mem_free(w);
    }
}

/* ---- the small ones ---- */

static void small(struct deciding *w, int rc)
{
    answer(w, rc, "");
    mem_free(w);
}

static void no(struct app *a, struct http_rq *rq, enum approval_deny how)
{
    struct store_node n;
    if (!may_decide(a, rq)) {
        return;
    }
    struct deciding *w = begin(a, rq, "denied");
    if (!find(w, &n)) {
        mem_free(w);
        return;
    }
    read_reason(w);
    if (how == APPROVAL_REPORT && !w->reason[0]) {
        text_cut(w->reason, sizeof w->reason, "%s", "reported: nobody asked for this");
    }
    w->d = (struct decision){.request = &w->request, .by = &w->by, .reason = slice_str(w->reason)};
    small(w, approval_deny(a, &w->d, how));
}

void page_deny(void *app, struct http_rq *rq)
{
    no(app, rq, APPROVAL_DENY);
}

void page_report(void *app, struct http_rq *rq)
{
    no(app, rq, APPROVAL_REPORT);
}

void page_request_allow(void *app, struct http_rq *rq)
{
    struct store_node n;
    if (!may_decide(app, rq)) {
        return;
    }
    struct deciding *w = begin(app, rq, "");
    if (find(w, &n)) {
        w->d = (struct decision){.request = &w->request, .by = &w->by};
        small(w, approval_allow(app, &w->d));
    } else {
        mem_free(w);
    }
}

/* Whoever may see it and owns it: the requester. */
static struct deciding *begin_own(struct app *a, struct http_rq *rq, const char *state)
{
    struct store_node n;
    struct deciding *w = begin(a, rq, state);
    if (!find(w, &n)) {
        mem_free(w);
        return NULL;
    }
    if (!request_own(auth_identity(rq), &n) && !auth_may(auth_identity(rq), PERM_REQUEST_DECIDE)) {
        page_message(rq, 403, "Not yours", "Only its requester may do this.", "/");
        mem_free(w);
        return NULL;
    }
    read_reason(w);
    w->d = (struct decision){.request = &w->request, .by = &w->by, .reason = slice_str(w->reason)};
    return w;
}

void page_request_note(void *app, struct http_rq *rq)
{
    struct deciding *w = begin_own(app, rq, "");
    if (w) {
        small(w, approval_note(app, &w->d));
    }
}

void page_request_cancel(void *app, struct http_rq *rq)
{
    struct deciding *w = begin_own(app, rq, "cancelled");
    if (w) {
        w->d.reason = S("withdrawn by its requester");
        small(w, approval_end(app, &w->d, "cancelled"));
    }
}
