/* The consent page: who, what, from where, and exactly what would change. */
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/http/html.h"
#include "server/app.h"

enum { PAGE_MAX = 4 * 1024 * 1024, NEW_NODE_S = 86400 };

static void put_diff(struct buf *out, struct slice diff)
{
    struct slice line;
    buf_adds(out, "<pre class=diff><code>");
    while (diff.n && slice_split(&diff, '\n', &line)) {
        int c = line.n ? line.p[0] : ' ';
        buf_addf(out, "<span class=%s>",
                 c == '+'   ? "add"
                 : c == '-' ? "del"
                 : c == '@' ? "hunk"
                            : "same");
        html_text(out, line);
        buf_adds(out, "</span>");
    }
    buf_adds(out, "</code></pre>");
}

static void put_facts(struct buf *out, const struct store_node *n, const struct store_request *r)
{
    bool fresh = wall_now().s - n->created.s < NEW_NODE_S;
    html_fmt(out, "<dl><dt>Node<dd id=node>%s (%s, %s)", n->label, n->os, n->stable_id);
    html_fmt(out, "<dt>Owner<dd id=user>%s", n->login);
    html_fmt(out, "<dt>Tailnet address<dd>%s<dt>Comes from<dd id=address>%s", n->ipv4, n->remote);
    buf_adds(out, fresh ? "<dt>Joined<dd class=bad>" : "<dt>Joined<dd>");
    page_time(out, n->created);
    buf_adds(out, fresh ? " (new: less than a day ago)<dt>Asked<dd>" : "<dt>Asked<dd>");
    page_time(out, r->created);
    buf_adds(out, "<dt>Valid until<dd>");
    page_time(out, r->expires);
    buf_adds(out, "</dl>");
}

static void put_sentence(struct app *a,
                         struct buf *out,
                         const struct store_node *n,
                         const struct store_request *r)
{
    char name[TEXT_NAME_SIZE], port[16] = "";
    app_fqdn(a, n->label, name);
    if (r->port != 443) {
        text_fit(port, sizeof port, ":%d", (int)r->port);
    }
    html_fmt(
        out,
        "<h1 tabindex=-1>%s wants to make %s reachable from the whole internet at https://%s%s/</h1>",
        n->login, n->label, name, port);
    if (r->target[0]) {
        html_fmt(out, "<p>Port %d there leads to <b>%s</b> on that machine.</p>", (int)r->port,
                 r->target);
    }
}

static void
put_changes(struct app *a, struct buf *out, const struct store_node *n, const struct grants *g)
{
    char name[TEXT_NAME_SIZE];
    app_fqdn(a, n->label, name);
    buf_adds(out, "<h2>What will change</h2><ul>");
    if (!a->tailnet.https_enabled) {
        buf_adds(out, "<li>HTTPS certificates for this tailnet: off → on");
    }
    html_fmt(out, "<li>The name %s becomes public in Certificate Transparency logs</ul>", name);
    buf_adds(out, "<h2>How wide, and the policy file's change</h2>");
    for (size_t i = 0; i < g->count; i++) {
        const struct grant *c = &g->items[i];
        if (c->result == POLICY_REFUSED) {
            continue;
        }
        buf_adds(out, "<label class=choice><input type=radio name=grant value=\"");
        html_text(out, slice_str(c->selector));
        buf_adds(out, i == g->preselected ? "\" checked>" : "\">");
        html_fmt(out, " <span>%s</span></label>", c->words);
        if (c->diff.len) {
            buf_addf(out, "<details%s><summary>diff</summary>", i == g->preselected ? " open" : "");
            put_diff(out, buf_slice(&c->diff));
            buf_adds(out, "</details>");
        } else {
            buf_adds(out, "<p class=dim>no change: the policy gives this already</p>");
        }
    }
}

static void put_deny(struct buf *out, const struct identity *id, const struct store_request *r)
{
    html_fmt(out,
             "<form method=post action=\"/f/%s/deny\"><input type=hidden name=csrf value=\"%s\">",
             r->stable_id, id->csrf);
    buf_adds(out, "<label for=reason>Or deny, with a reason that the person sees</label>"
                  "<input type=text id=reason name=reason maxlength=200>"
                  "<div class=row><button id=deny class=quiet>Deny</button></div></form>");
}

/* The policy is edited elsewhere: what to commit there. The request closes when it has come here.
 */
static void
put_elsewhere(struct app *a, struct buf *out, const struct store_node *n, const struct grants *g)
{
    const struct store_policy_settings *s = policy_state_settings(a);
    buf_adds(out, "<p id=locked>The policy of this tailnet is not edited here. Commit one of these "
                  "changes where it is kept");
    if (s->link[0]) {
        html_fmt(out, ": <a href=\"%s\">%s</a>", s->link, s->link);
    }
    buf_adds(out, ". This request is granted as soon as the policy covers it.</p>");
    put_changes(a, out, n, g);
}

static void put_form(struct app *a,
                     struct buf *out,
                     const struct identity *id,
                     const struct store_node *n,
                     const struct store_request *r,
                     const struct grants *g)
{
    if (policy_state_settings(a)->locked) {
        put_elsewhere(a, out, n, g);
    } else {
        html_fmt(
            out,
            "<form method=post action=\"/f/%s/approve\"><input type=hidden name=csrf value=\"%s\">",
            r->stable_id, id->csrf);
        html_fmt(out, "<input type=hidden name=etag value=\"%s\">", g->stamp);
        put_changes(a, out, n, g);
        buf_adds(out, "<div class=row><button id=approve>Approve</button></div></form>");
    }
    put_deny(out, id, r);
}

static void put_outcome(struct buf *out, const struct store_request *r)
{
    char when[WALL_TEXT_SIZE];
    wall_format(r->decided, when);
    html_fmt(out, "<p id=outcome>This request is <b>%s</b>", r->state);
    if (r->decided_by[0]) {
        html_fmt(out, " by %s at %s", r->decided_by, when);
    }
    if (r->reason[0]) {
        html_fmt(out, " (%s)", r->reason);
    }
    buf_adds(out, ".</p>");
}

/* A page under way: what could be granted is made in the pool. */
struct showing {
    struct app *app;
    struct http_rq *rq; /* NULL: the browser has left */
    struct store_request request;
    struct store_node node;
    int status;
    char notice[400];
};

static void browser_left(void *arg)
{
    ((struct showing *)arg)->rq = NULL;
}

static void render(struct showing *s, const struct grants *g /* NULL: nothing to decide */)
{
    struct buf out = BUF_MAX(PAGE_MAX);
    const struct store_request *r = &s->request;
    const struct identity *id = auth_identity(s->rq);
    page_head(&out, "Funnel request", id);
    buf_adds(&out, "<div class=card>");
    if (s->notice[0]) {
        html_fmt(&out, "<p class=bad role=alert>%s</p>", s->notice);
    }
    put_sentence(s->app, &out, &s->node, r);
    put_facts(&out, &s->node, r);
    html_fmt(
        &out,
        "<h2>Match code</h2><p class=code id=match>%s</p><p class=dim>The same code stands in the terminal of the "
        "person who asks. If it does not, deny.</p>",
        r->match_code);
    if (strcmp(r->state, "pending") != 0) {
        put_outcome(&out, r);
    } else if (g) {
        put_form(s->app, &out, id, &s->node, r, g);
    } else {
        buf_adds(&out, "<p>An owner, admin or network admin can decide this.</p>");
    }
    buf_adds(&out, "</div>");
    page_send(s->rq, s->status, &out);
}

static void on_grants(void *arg, const struct grants *g)
{
    struct showing *s = arg;
    if (s->rq) {
        render(s, g);
    }
    mem_free(s);
}

static void show(struct app *a,
                 struct http_rq *rq,
                 const struct store_request *r,
                 int status,
                 const char *notice)
{
    struct showing *s = mem_new(sizeof *s);
    *s = (struct showing){.app = a, .rq = rq, .request = *r, .status = status};
    text_cut(s->notice, sizeof s->notice, "%s", notice ? notice : "");
    if (store_node(a->db, r->node_id, &s->node)) {
        page_message(rq, 404, "No such request", "The node has gone.", "/");
        mem_free(s);
    } else if (strcmp(r->state, "pending") == 0 &&
               auth_may(auth_identity(rq), PERM_REQUEST_DECIDE)) {
        http_rq_on_abort(rq, browser_left, s);
        approval_grants(a, &s->node, on_grants, s);
    } else {
        render(s, NULL);
        mem_free(s);
    }
}

static bool find(struct app *a, struct http_rq *rq, struct store_request *out)
{
    if (store_request(a->db, http_rq_param(rq, "id"), out) == 0) {
        return true;
    }
    page_message(rq, 404, "No such request", "The link is wrong or the node has gone.", "/");
    return false;
}

void page_request(void *app, struct http_rq *rq)
{
    struct store_request r;
    if (find(app, rq, &r)) {
        show(app, rq, &r, 200, NULL);
    }
}

static const char *objection(int rc)
{
    return rc == APPROVAL_GONE ? "Somebody else was faster: this request has been decided."
           : rc == APPROVAL_CHANGED
               ? "The policy has changed since this page was made. Look again and repeat."
           : rc == APPROVAL_LOCKED ? "The policy of this tailnet is not edited here."
                                   : "The policy cannot be changed like that.";
}

static void
after(struct app *a, struct http_rq *rq, struct store_request *r, int rc, const char *why)
{
    if (rc < 0) {
        reply_broken(rq, rc);
    } else if (store_request(a->db, slice_str(r->stable_id), r)) {
        page_message(rq, 404, "No such request", "The node has gone.", "/");
    } else if (rc == 0) {
        char back[64];
        text_fit(back, sizeof back, "/f/%s", r->stable_id);
        http_rq_redirect(rq, back);
    } else {
        char notice[400];
        text_cut(notice, sizeof notice, "%s %.250s", objection(rc), why);
        show(a, rq, r, 409, notice);
    }
}

/* The role, and a proof of presence: whoever finds an open browser decides nothing. */
static bool may_decide(struct app *a, struct http_rq *rq)
{
    if (auth_may(auth_identity(rq), PERM_REQUEST_DECIDE)) {
        char back[FLOW_NEXT_SIZE] = "/";
        text_cut(back, sizeof back, "/f/" SLICE_FMT, SLICE_ARG(http_rq_param(rq, "id")));
        return auth_need_fresh(a, rq, slice_str(back));
    }
    page_message(rq, 403, "Not yours to decide", "Ask an owner, admin or network admin.", "/");
    return false;
}

struct deciding {
    struct app *app;
    struct http_rq *rq; /* NULL: the browser has left; what it asked for happens all the same */
    struct store_request request;
};

static void decider_left(void *arg)
{
    ((struct deciding *)arg)->rq = NULL;
}

static void decided(void *arg, int rc, const char *why)
{
    struct deciding *d = arg;
    if (d->rq) {
        after(d->app, d->rq, &d->request, rc, why);
    }
    mem_free(d);
}

void page_approve(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct deciding *w = mem_new(sizeof *w);
    char stamp[APPROVAL_STAMP_SIZE], selector[STORE_NAME_SIZE];
    struct actor by;
    *w = (struct deciding){.app = a, .rq = rq};
    if (!may_decide(a, rq) || !find(a, rq, &w->request)) {
        mem_free(w);
        return;
    }
    /* A form field is valid until the next one is asked for. */
    if (!slice_copy(http_rq_form(rq, "etag"), stamp, sizeof stamp) ||
        !slice_copy(http_rq_form(rq, "grant"), selector, sizeof selector)) {
        page_message(rq, 400, "The form is incomplete", "Load the page again.", "/");
        mem_free(w);
        return;
    }
    actor_of(rq, &by);
    struct decision d = {.request = &w->request,
                         .by = &by,
                         .selector = slice_str(selector),
                         .stamp = slice_str(stamp)};
    http_rq_on_abort(rq, decider_left, w);
    approval_approve(a, &d, decided, w);
}

void page_deny(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_request r;
    char reason[201];
    if (!may_decide(a, rq) || !find(a, rq, &r)) {
        return;
    }
    struct slice text = slice_trim(http_rq_form(rq, "reason"));
    if (!text_printable(text, 200) || !slice_copy(text, reason, sizeof reason)) {
        reason[0] = '\0';
    }
    struct actor by;
    actor_of(rq, &by);
    struct decision d = {.request = &r, .by = &by, .reason = slice_str(reason)};
    after(a, rq, &r, approval_deny(a, &d), "");
}
