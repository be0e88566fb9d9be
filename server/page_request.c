/* The consent page: who, what, from where, and exactly what would change (console-api.md 4.3). */
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/http/html.h"
#include "server/app.h"
#include "server/ready.h"

enum { PAGE_MAX = 12 * 1024 * 1024, NEW_NODE_S = 86400, WAIT_S = 50, SECONDS_MOST = 366 * 86400 };

/* A page under way: what could be granted is made in the pool. */
struct showing {
    struct app *app;
    struct http_rq *rq; /* NULL: the browser has left */
    struct store_request request;
    struct store_node node;
    bool there, own, decides; /* the node; whose; may this person decide, were it pending */
    struct request_view view;
    struct buf out;
};

/* ---- 1 and 2: who, what, from where ---- */

static void public_url(const struct showing *s, char out[400])
{
    char name[TEXT_NAME_SIZE], port[16] = "";
    app_fqdn(s->app, s->request.label, name);
    if (s->request.port != 443) {
        text_fit(port, sizeof port, ":%d", (int)s->request.port);
    }
    text_fit(out, 400, "https://%s%s/", name, port);
}

static void put_sentence(struct showing *s)
{
    char url[400];
    const struct store_request *r = &s->request;
    public_url(s, url);
    html_fmt(&s->out,
             "<h1 tabindex=-1 autofocus><b>%s</b> wants to make <b>%s</b> reachable from the "
             "<b>whole internet</b> at %s (port %d)",
             r->requester, r->label, url, (int)r->port);
    if (r->target[0]) {
        html_fmt(&s->out, " → local %s", r->target);
    }
    buf_adds(&s->out, "</h1>");
}

static void put_age(struct buf *out, struct wall created)
{
    int64_t age = wall_now().s - created.s;
    bool fresh = age < NEW_NODE_S;
    buf_adds(out, fresh ? "<dt>Joined<dd id=joined class=bad>" : "<dt>Joined<dd id=joined>");
    page_time(out, created);
    if (fresh && age < 7200) {
        buf_addf(out, " (%d minutes ago)", (int)(age / 60));
    } else if (fresh) {
        buf_addf(out, " (%d hours ago)", (int)(age / 3600));
    }
}

/* An attacker's link is opened on the victim's network: that the two differ is worth a line. */
static void put_network(struct showing *s)
{
    char mine[ADDR_TEXT_SIZE];
    addr_format_ip(http_rq_peer(s->rq), mine);
    if (s->there && s->node.remote[0] && strcmp(mine, s->node.remote) != 0) {
        html_fmt(
            &s->out,
            "<p id=elsewhere class=note>Your browser comes from another network (%s) than this "
            "device (%s).</p>",
            mine, s->node.remote);
    }
}

static void put_facts(struct showing *s)
{
    struct buf *out = &s->out;
    const struct store_request *r = &s->request;
    const struct store_node *n = &s->node;
    buf_adds(out, "<dl>");
    if (s->there) {
        html_fmt(out, "<dt>Device<dd id=node>%s (%s, %s)", n->label, n->os, n->stable_id);
    }
    html_fmt(out, "<dt>%s<dd id=user>%s", s->there && !n->user_id ? "Tags" : "Owner", r->requester);
    if (s->there) {
        html_fmt(out, "<dt>Tailnet addresses<dd>%s, %s<dt>Comes from<dd id=address>%s", n->ipv4,
                 n->ipv6, n->remote);
        put_age(out, n->created);
    }
    buf_adds(out, "<dt>Asked<dd>");
    page_time(out, r->created);
    if (r->wish_reason[0]) {
        html_fmt(out, "<dt>Reason<dd id=wish>%s", r->wish_reason);
    }
    if (strcmp(r->state, "pending") == 0) {
        buf_adds(out, "<dt>Valid until<dd id=valid>");
        page_time(out, r->expires);
    }
    buf_adds(out, "</dl>");
    put_network(s);
}

/* ---- 3: the match code ---- */

static void put_code(struct showing *s)
{
    html_fmt(&s->out,
             "<h2>Match code</h2><p class=code id=match>%s</p><p class=dim>The same code stands in "
             "the terminal where this was asked. If it does not, deny.</p>",
             s->request.match_code);
}

static void put_code_choice(struct showing *s)
{
    char codes[MATCH_CHOICES][MATCH_CODE_SIZE];
    match_choices(s->app, &s->request, codes);
    buf_adds(&s->out,
             "<fieldset id=codes><legend>Match code</legend><p class=dim>Which of these "
             "stands in the terminal of the person who asks? Ask them; if none, deny.</p>");
    for (size_t i = 0; i < MATCH_CHOICES; i++) {
        html_fmt(&s->out,
                 "<label class=\"choice code\"><input type=radio name=match value=\"%s\" required> "
                 "<span>%s</span></label>",
                 codes[i], codes[i]);
    }
    buf_adds(&s->out, "</fieldset>");
}

/* ---- 4: what will change ---- */

static void put_diff(struct buf *out, struct slice diff)
{
    struct slice line;
    buf_adds(out,
             "<pre class=diff tabindex=0 role=group aria-label=\"diff of the policy file\"><code>");
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

struct addresses {
    struct buf *out;
    const char *name;
};

static void put_record(void *arg, const struct store_relay *r)
{
    struct addresses *x = arg;
    char why[100];
    AUTO(js_freep)
    struct js *list = js_parse(slice_str(r->addresses), 4 * KIB, why, sizeof why);
    for (size_t i = 0; i < js_len(list); i++) {
        struct slice address = js_str(js_at(list, i));
        html_fmt(x->out, "<li>DNS record: %s %s ", x->name,
                 slice_find(address, ':') < 0 ? "A" : "AAAA");
        html_text(x->out, address);
        html_fmt(x->out, " (relay %s)", r->name);
    }
}

static void put_effects(struct showing *s)
{
    char name[TEXT_NAME_SIZE];
    struct app *a = s->app;
    app_fqdn(a, s->request.label, name);
    struct addresses x = {&s->out, name};
    buf_adds(&s->out, "<h2>What will change</h2><ul id=effects>");
    if (!a->tailnet.https_enabled) {
        buf_adds(&s->out, "<li id=https>HTTPS certificates for this tailnet: off → on");
    }
    html_fmt(&s->out, "<li>This name becomes public in Certificate Transparency logs: %s", name);
    int rc = store_relays_each(a->db, put_record, &x);
    buf_adds(&s->out, "<li>The policy file, as shown below. Nothing else.</ul>");
    page_whole(&s->out, rc);
}

/* ---- 5: how wide, which ports, how long ---- */

static bool selected(const struct showing *s, const struct grants *g, size_t i)
{
    const char *wanted = s->view.selector;
    bool known = false;
    for (size_t k = 0; wanted[0] && k < g->count; k++) {
        known = known ||
                (strcmp(g->items[k].selector, wanted) == 0 && g->items[k].result != POLICY_REFUSED);
    }
    return known ? strcmp(g->items[i].selector, wanted) == 0 : i == g->preselected;
}

static void put_grant(struct showing *s, const struct grants *g, size_t i)
{
    const struct grant *c = &g->items[i];
    struct buf *out = &s->out;
    bool on = selected(s, g, i);
    if (c->result == POLICY_REFUSED) {
        html_fmt(out, "<p class=dim>%s: not possible. %s</p>", c->words, c->why);
        return;
    }
    buf_adds(out, "<label class=choice><input type=radio name=grant value=\"");
    html_text(out, slice_str(c->selector));
    buf_adds(out, on ? "\" checked>" : "\">");
    html_fmt(out, " <span>%s</span></label>", c->words);
    if (c->diff.len) {
        buf_addf(out, "<details%s><summary>diff of the policy file</summary>", on ? " open" : "");
        put_diff(out, buf_slice(&c->diff));
        buf_adds(out, "</details>");
    } else {
        buf_adds(out, "<p class=dim>no change: the policy gives this already</p>");
    }
}

static void put_ports(struct showing *s, unsigned ports)
{
    static const int list[] = {443, 8443, 10000};
    buf_adds(&s->out, "<fieldset id=ports><legend>Public ports</legend>");
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        bool asked = list[i] == s->request.port;
        buf_addf(&s->out,
                 "<label class=\"choice inline\"><input type=checkbox name=p%d value=1%s%s>"
                 " <span>%d%s</span></label> ",
                 list[i], ports >> i & 1u ? " checked" : "", asked ? " disabled" : "", list[i],
                 asked ? " (asked for)" : "");
    }
    buf_adds(&s->out, "</fieldset>");
}

/* "2 hours"; what is not whole is said in the next smaller unit. */
static void put_length(struct buf *out, int64_t seconds)
{
    static const struct {
        int64_t seconds;
        const char *words;
    } units[] = {{86400, "days"}, {3600, "hours"}, {60, "minutes"}, {1, "seconds"}};

    size_t i = 0;
    while (i + 1 < ARRAY_LEN(units) && seconds % units[i].seconds) {
        i++;
    }
    buf_addf(out, "%lld %s", (long long)(seconds / units[i].seconds), units[i].words);
}

static void put_durations(struct showing *s)
{
    static const struct {
        int64_t seconds;
        const char *words;
    } list[] = {{3600, "1 hour"}, {28800, "8 hours"}, {604800, "7 days"}, {0, "until revoked"}};

    int64_t wanted = s->view.seconds >= 0 ? s->view.seconds : s->request.wish_until;
    bool known = false;
    buf_adds(&s->out, "<fieldset id=duration><legend>How long</legend>");
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        bool on = list[i].seconds == wanted;
        known = known || on;
        buf_addf(&s->out,
                 "<label class=\"choice inline\"><input type=radio name=seconds value=%lld%s>"
                 " <span>%s</span></label> ",
                 (long long)list[i].seconds, on ? " checked" : "", list[i].words);
    }
    if (!known) {
        buf_addf(&s->out,
                 "<label class=\"choice inline\"><input type=radio name=seconds value=%lld checked>"
                 " <span>",
                 (long long)wanted);
        put_length(&s->out, wanted);
        buf_adds(&s->out, " (asked for)</span></label> ");
    }
    buf_adds(&s->out, "</fieldset>");
}

static void put_choices(struct showing *s, const struct grants *g)
{
    buf_adds(&s->out, "<fieldset id=grants><legend>How wide</legend>");
    for (size_t i = 0; i < g->count; i++) {
        put_grant(s, g, i);
    }
    buf_adds(&s->out, "</fieldset>");
}

/* ---- 6: the decision ---- */

static void open_form(struct showing *s, const char *what)
{
    html_fmt(&s->out,
             "<form method=post action=\"/f/%s/%s\"><input type=hidden name=csrf value=\"%s\">",
             s->request.stable_id, what, auth_identity(s->rq)->csrf);
}

static void put_no(struct showing *s)
{
    open_form(s, "deny");
    buf_adds(&s->out, "<label for=reason>Or deny, with a reason that the person sees</label>"
                      "<input type=text id=reason name=reason maxlength=200 autocomplete=off>"
                      "<div class=row><button id=deny class=quiet>Deny</button>");
    html_fmt(
        &s->out,
        "<button id=report class=quiet formaction=\"/f/%s/report\">Not me – report</button>"
        "</div><p class=dim>Reporting denies, and this device may not ask again until somebody "
        "allows it.</p></form>",
        s->request.stable_id);
}

static void put_yes(struct showing *s, const struct grants *g)
{
    char nonce[NONCE_SIZE];
    decision_nonce(s->app, auth_identity(s->rq), &s->request, nonce);
    open_form(s, "approve");
    html_fmt(
        &s->out,
        "<input type=hidden name=etag value=\"%s\"><input type=hidden name=nonce value=\"%s\">",
        g->stamp, nonce);
    if (s->own) {
        put_code(s);
    } else {
        put_code_choice(s);
    }
    put_effects(s);
    put_choices(s, g);
    put_ports(s, g->ports);
    put_durations(s);
    buf_adds(&s->out, "<div class=row><button id=approve>Approve</button></div></form>");
}

/* The policy is edited elsewhere: what to commit there. The request closes when it has come here.
 */
static void put_elsewhere(struct showing *s, const struct grants *g)
{
    const struct store_policy_settings *set = policy_state_settings(s->app);
    buf_adds(&s->out, "<p id=locked>The policy of this tailnet is not edited here. Commit one of "
                      "these changes where it is kept");
    if (set->link[0]) {
        html_fmt(&s->out, ": <a href=\"%s\">%s</a>", set->link, set->link);
    }
    buf_adds(&s->out, ". This request is granted as soon as the policy covers it.</p>");
    put_code(s);
    put_effects(s);
    put_choices(s, g);
}

static void put_decision(struct showing *s, const struct grants *g)
{
    if (g->busy) {
        buf_adds(&s->out, "<p class=bad role=alert>Too much is going on. Load the page again.</p>");
    } else if (policy_state_settings(s->app)->locked) {
        put_elsewhere(s, g);
    } else if (s->own && approval_four_eyes(s->app)) {
        put_code(s);
        buf_adds(&s->out,
                 "<p id=four-eyes>This tailnet asks for four eyes: another owner, admin or "
                 "network admin must approve this.</p>");
    } else {
        put_yes(s, g);
    }
    put_no(s);
}

/* One's own request, without the right to decide it. */
static void put_waiting(struct showing *s)
{
    put_code(s);
    buf_adds(&s->out, "<p id=waits>An owner, admin or network admin can decide this.</p>");
    open_form(s, "note");
    buf_adds(&s->out,
             "<label for=reason>Tell them why</label><input type=text id=reason name=reason "
             "maxlength=200 required value=\"");
    html_text(&s->out, slice_str(s->request.wish_reason));
    buf_adds(&s->out,
             "\"><div class=row><button id=note>Save and notify them</button></div></form>");
    open_form(s, "cancel");
    buf_adds(
        &s->out,
        "<div class=row><button id=cancel class=quiet>Withdraw this request</button></div></form>");
}

/* What an approval gave, and until when. */
static void put_given(struct showing *s)
{
    struct store_grant g;
    if (store_grant_of_request(s->app->db, s->request.id, &g)) {
        return;
    }
    html_fmt(&s->out, "<dl id=given><dt>Granted to<dd>%s", g.selector);
    if (g.ports[0]) {
        html_fmt(&s->out, "<dt>Ports<dd>%s", g.ports);
    }
    buf_adds(&s->out, "<dt>Until<dd>");
    if (g.expires.s) {
        page_time(&s->out, g.expires);
    } else {
        buf_adds(&s->out, "revoked");
    }
    if (g.ended.s) {
        buf_adds(&s->out, "<dt>Ended<dd>");
        page_time(&s->out, g.ended);
        html_fmt(&s->out, " (%s)", g.why);
    } else if (g.overdue.s) {
        html_fmt(&s->out, "<dt>Overdue<dd class=bad>%s", g.why);
    }
    buf_adds(&s->out, "</dl>");
}

/* From the right to the whole internet, step by step; the page's script keeps it current. */
static void put_ladder(struct showing *s)
{
    const struct ready_rung *r =
        s->there ? ready_ladder(s->app, s->node.id, s->request.port) : NULL;
    if (!s->there) {
        return;
    }
    buf_adds(&s->out, "<h2>On its way to the internet</h2><ol id=ladder>");
    for (size_t i = 0; r && i < READY_STEPS; i++) {
        html_fmt(&s->out, "<li data-state=%s><b>%s</b> %s: %s", ready_state_name(r[i].state),
                 ready_state_name(r[i].state), ready_step_name((enum ready_step)i),
                 r[i].text ? r[i].text : "");
        if (r[i].state != READY_OK && r[i].fix && r[i].fix[0]) {
            html_fmt(&s->out, " <span class=dim>%s</span>", r[i].fix);
        }
    }
    buf_adds(&s->out, r ? "</ol>"
                        : "<li class=dim>The command on the device has not published it "
                          "yet.</ol>");
}

static void put_outcome(struct showing *s)
{
    bool granted = strcmp(s->request.state, "granted") == 0;
    const struct store_request *r = &s->request;
    html_fmt(&s->out, "<p id=outcome role=status>This request is <b>%s</b>", r->state);
    if (r->decided_by[0]) {
        html_fmt(&s->out, " by %s", r->decided_by);
    }
    if (r->decided.s) {
        buf_adds(&s->out, " at ");
        page_time(&s->out, r->decided);
    }
    if (r->reason[0]) {
        html_fmt(&s->out, " (%s)", r->reason);
    }
    buf_adds(&s->out, ".</p>");
    if (granted) {
        put_given(s);
        put_ladder(s);
    }
    if (s->there && s->decides && store_node_barred(s->app->db, s->node.id) == 0) {
        open_form(s, "allow");
        buf_adds(&s->out,
                 "<p>This device may not ask for Funnel.</p><div class=row><button id=allow "
                 "class=plain>Let it ask again</button></div></form>");
    }
}

/* ---- the page ---- */

static void browser_left(void *arg)
{
    ((struct showing *)arg)->rq = NULL;
}

static void render(struct showing *s, const struct grants *g /* NULL: nothing to decide */)
{
    bool pending = strcmp(s->request.state, "pending") == 0;
    s->out = BUF_MAX(PAGE_MAX);
    page_head(&s->out, "Funnel request", auth_identity(s->rq));
    html_fmt(&s->out, "<div class=card data-request=\"%s\" data-state=\"%s\">",
             s->request.stable_id, s->request.state);
    if (s->view.notice[0]) {
        html_fmt(&s->out, "<p class=bad role=alert id=notice>%s</p>", s->view.notice);
    }
    put_sentence(s);
    put_facts(s);
    if (!pending) {
        put_outcome(s);
    } else if (g) {
        put_decision(s, g);
    } else {
        put_waiting(s);
    }
    buf_adds(&s->out, "</div><script type=module src=/static/request.js></script>");
    page_send(s->rq, s->view.status, &s->out);
}

static void on_grants(void *arg, const struct grants *g)
{
    struct showing *s = arg;
    if (s->rq) {
        render(s, g);
    }
    mem_free(s);
}

void request_show(struct app *a,
                  struct http_rq *rq,
                  const struct store_request *r,
                  const struct request_view *v)
{
    struct showing *s = mem_new(sizeof *s);
    struct identity *id = auth_identity(rq);
    *s = (struct showing){.app = a, .rq = rq, .request = *r, .view = *v};
    s->there = r->node_id && store_node(a->db, r->node_id, &s->node) == 0;
    s->own = s->there && request_own(id, &s->node);
    s->decides = auth_may(id, PERM_REQUEST_DECIDE);
    if (s->there && s->decides && strcmp(r->state, "pending") == 0) {
        unsigned ports = (v->ports ? v->ports : PORTS_ALL) | ports_bit(r->port);
        http_rq_on_abort(rq, browser_left, s);
        approval_grants(a, &s->node, r->port, ports, on_grants, s);
    } else {
        render(s, NULL);
        mem_free(s);
    }
}

bool request_find(struct app *a,
                  struct http_rq *rq,
                  struct store_request *out_r,
                  struct store_node *out_n)
{
    struct store_node n = {.id = 0};
    int rc = store_request(a->db, http_rq_param(rq, "id"), out_r);
    int none = rc == 0 && out_r->node_id ? store_node(a->db, out_r->node_id, &n) : 0;
    if (rc == 0 && none >= 0 && request_may_see(auth_identity(rq), n.id ? &n : NULL)) {
        *out_n = n;
        return true;
    }
    return false;
}

static void no_such(struct http_rq *rq)
{
    page_message(rq, 404, "No such request", "The link is wrong, or it is not yours to see.", "/");
}

void page_request(void *app, struct http_rq *rq)
{
    struct store_request r;
    struct store_node n;
    struct request_view v = {.status = 200, .seconds = -1};
    uint64_t seconds;
    if (!request_find(app, rq, &r, &n)) {
        no_such(rq);
        return;
    }
    /* What the page's script chose; nothing else than which of the choices is shown follows. */
    if (!ports_read(http_rq_query(rq, "ports"), &v.ports)) {
        v.ports = 0;
    }
    if (!slice_copy(http_rq_query(rq, "grant"), v.selector, sizeof v.selector)) {
        v.selector[0] = '\0';
    }
    if (slice_u64(http_rq_query(rq, "seconds"), SECONDS_MOST, &seconds)) {
        v.seconds = (int64_t)seconds;
    }
    request_show(app, rq, &r, &v);
}

/* ---- live ---- */

static void answer_state(struct app *a, struct http_rq *rq, const struct store_request *r)
{
    AUTO(js_freep) struct js *j = js_object();
    (void)a;
    js_set_cstr(j, "state", r->state);
    reply_json(rq, 200, j);
}

void page_request_wait(void *app, struct http_rq *rq)
{
    struct store_request r;
    struct store_node n;
    if (request_find(app, rq, &r, &n)) {
        approval_wait(app, rq, &r, WAIT_S, answer_state);
    } else {
        no_such(rq);
    }
}

void page_request_ladder(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_request r;
    struct store_node n;
    if (!request_find(a, rq, &r, &n)) {
        no_such(rq);
        return;
    }
    const struct ready_rung *rungs = n.id ? ready_ladder(a, n.id, r.port) : NULL;
    AUTO(js_freep) struct js *j = js_object();
    js_set_bool(j, "ready", rungs && ready_is_ready(rungs));
    js_set(j, "readiness", rungs ? ready_json(rungs) : js_array());
    reply_json(rq, 200, j);
}
