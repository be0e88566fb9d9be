/* Pages: server-rendered, work without JavaScript. GET changes nothing; every form carries the
 * session's token. */
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/http/html.h"
#include "server/app.h"
#include "web/assets.h"

enum { PAGE_MAX = 4 * 1024 * 1024 };

static void security_headers(struct http_rq *rq)
{
    http_rq_add_header(
        rq, "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; frame-ancestors 'none'");
    http_rq_add_header(rq, "X-Content-Type-Options", "nosniff");
    http_rq_add_header(rq, "Referrer-Policy", "same-origin");
    http_rq_add_header(rq, "Cross-Origin-Opener-Policy", "same-origin");
    http_rq_add_header(rq, "Cross-Origin-Resource-Policy", "same-origin");
    http_rq_add_header(rq, "Strict-Transport-Security", "max-age=31536000");
    http_rq_add_header(rq, "Cache-Control", "no-store");
}

void page_head(struct buf *out, const char *title, const struct identity *id)
{
    html_fmt(
        out,
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>%s – OpenFunnel</title>"
        "<meta name=viewport content=\"width=device-width,initial-scale=1\">"
        "<link rel=stylesheet href=/static/style.css></head><body><header><a class=home href=/>OpenFunnel</a>",
        title);
    if (id) {
        html_fmt(out,
                 "<form method=post action=/logout><input type=hidden name=csrf value=\"%s\">"
                 "<a href=/account>%s</a> <button class=link>Sign out</button></form>",
                 id->csrf, id->user.login);
    }
    buf_adds(out, "</header><main>");
}

void page_time(struct buf *out, struct wall t)
{
    char text[WALL_TEXT_SIZE];
    wall_format(t, text);
    html_fmt(out, "<time datetime=\"%s\">", text);
    buf_addf(out, "%.10s %.5s UTC</time>", text, text + sizeof "2026-11-24");
}

void page_whole(struct buf *out, int rc)
{
    if (rc) {
        log_error("page.not_read", F_ERR(rc));
        buf_adds(out, "<p role=alert>Not everything could be read. Control's log says why.</p>");
    }
}

void page_send(struct http_rq *rq, int status, struct buf *out)
{
    buf_adds(out, "</main></body></html>\n");
    security_headers(rq);
    http_rq_reply(rq, status, "text/html; charset=utf-8", buf_slice(out));
    buf_deinit(out);
}

void page_message(
    struct http_rq *rq, int status, const char *title, const char *text, const char *link)
{
    struct buf out = BUF_MAX(PAGE_MAX);
    page_head(&out, title, NULL);
    html_fmt(&out,
             "<div class=\"card narrow\"><h1>%s</h1><p>%s</p><p><a href=\"%s\">Go on</a></p></div>",
             title, text, link);
    page_send(rq, status, &out);
}

void page_asset(void *app, struct http_rq *rq)
{
    const struct web_asset *file = web_asset_find(http_rq_param(rq, "file"));
    if (!file) {
        app_not_found(app, rq);
        return;
    }
    http_rq_add_header(rq, "Cache-Control", "max-age=300");
    http_rq_add_header(rq, "X-Content-Type-Options", "nosniff");
    http_rq_reply(rq, 200, web_asset_type(file), web_asset_data(file));
}

/* Browsers ask for one; an empty answer keeps their consoles quiet. */
void page_icon(void *app, struct http_rq *rq)
{
    (void)app;
    http_rq_add_header(rq, "Cache-Control", "max-age=86400");
    reply_none(rq);
}

void page_logout(void *app, struct http_rq *rq)
{
    auth_logout(app, rq);
}

/* ---- home ---- */

struct rows {
    struct app *a;
    struct buf *out;
    const struct store_node *node; /* whose requests are listed */
    size_t count;
    int rc;
};

static void node_row(void *arg, const struct store_node *n)
{
    struct rows *r = arg;
    char name[TEXT_NAME_SIZE];
    app_fqdn(r->a, n->label, name);
    html_fmt(r->out, "<tr><td>%s</td><td>%s</td><td>%s</td></tr>", name, n->login,
             policy_state_may(r->a, n) ? "permitted" : "not permitted");
    r->count++;
}

static void request_row(void *arg, const struct store_request *q)
{
    struct rows *r = arg;
    if (strcmp(q->state, "pending") == 0) {
        html_fmt(r->out, "<li><a href=\"/f/%s\">%s of %s, port %d</a> <span class=dim>asked ",
                 q->stable_id, r->node->label, r->node->login, (int)q->port);
        page_time(r->out, q->created);
        html_fmt(r->out, ", code %s</span></li>", q->match_code);
        r->count++;
    }
}

static void node_requests(void *arg, const struct store_node *n)
{
    struct rows *r = arg;
    r->node = n;
    int rc = store_requests_recent(r->a->db, n->id, wall_now(), request_row, r);
    r->rc = r->rc ? r->rc : rc;
}

void page_home(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct buf out = BUF_MAX(PAGE_MAX);
    struct rows r = {.a = a, .out = &out};
    page_head(&out, "Overview", auth_identity(rq));
    html_fmt(&out, "<h1>%s.%s</h1><div class=card><h2>Waiting for a decision</h2><ul>",
             a->tailnet.name, a->cfg.zone);
    int rc = store_nodes_each(a->db, node_requests, &r);
    buf_adds(&out, r.count ? "</ul>" : "<li class=dim>Nobody is waiting.</li></ul>");
    page_whole(&out, rc ? rc : r.rc);
    buf_adds(&out, "</div>");
    buf_adds(&out, "<div class=card><h2>Nodes</h2><table><tr><th>Name<th>Owner<th>Funnel</tr>");
    rc = store_nodes_each(a->db, node_row, &r);
    buf_adds(&out, "</table></div>");
    page_whole(&out, rc);
    page_send(rq, 200, &out);
}
