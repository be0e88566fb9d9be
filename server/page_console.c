/*
 * The console: one index for all of its addresses, and files whose names carry the hash of their
 * content, which is why browsers may keep them for ever. Beside it the list of requests as a page
 * that works without JavaScript.
 */
#include "server/page_console.h"

#include "lib/base/err.h"
#include "lib/http/html.h"
#include "server/app.h"
#include "web/console_assets.h"

enum { PAGE_MAX = 4 * 1024 * 1024 };

/* ---- files ---- */

/* Nothing of ours builds HTML from text, and nothing else may: Trusted Types without a policy. */
static void console_headers(struct http_rq *rq)
{
    http_rq_add_header(
        rq, "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'");
    http_rq_add_header(rq, "X-Content-Type-Options", "nosniff");
    http_rq_add_header(rq, "Referrer-Policy", "same-origin");
    http_rq_add_header(rq, "Cross-Origin-Opener-Policy", "same-origin");
    http_rq_add_header(rq, "Cross-Origin-Resource-Policy", "same-origin");
    http_rq_add_header(rq, "Strict-Transport-Security", "max-age=31536000");
}

/* "gzip" among the codings, and not refused by "q=0". */
static bool takes_gzip(struct http_rq *rq)
{
    struct slice header = http_rq_header(rq, "Accept-Encoding"), part, name;
    while (header.n && slice_split(&header, ',', &part)) {
        part = slice_trim(part);
        if (slice_split(&part, ';', &name) && slice_eq_nocase(slice_trim(name), S("gzip"))) {
            struct slice q = slice_trim(part);
            return !slice_eq(q, S("q=0")) && !slice_starts(q, S("q=0.0"));
        }
    }
    return false;
}

static void reply_file(struct http_rq *rq, const struct console_asset *f)
{
    bool gz = takes_gzip(rq);
    const char *start = gz ? f->gz_start : f->start, *end = gz ? f->gz_end : f->end;
    http_rq_add_header(rq, "Vary", "Accept-Encoding");
    if (gz) {
        http_rq_add_header(rq, "Content-Encoding", "gzip");
    }
    http_rq_reply(rq, 200, f->type, slice_of(start, (size_t)(end - start)));
}

void page_console_asset(void *app, struct http_rq *rq)
{
    const struct console_asset *f = console_asset_find(http_rq_param(rq, "file"));
    if (!f || slice_eq(slice_str(f->name), S("index.html"))) {
        app_not_found(app, rq);
        return;
    }
    console_headers(rq);
    http_rq_add_header(rq, "Cache-Control", "public, max-age=31536000, immutable");
    reply_file(rq, f);
}

void page_console(void *app, struct http_rq *rq)
{
    const struct console_asset *f = console_asset_find(S("index.html"));
    if (!f) {
        app_not_found(app, rq);
        return;
    }
    if (!auth_may(auth_identity(rq), PERM_CONSOLE)) {
        http_rq_redirect(rq, "/requests");
        return;
    }
    console_headers(rq);
    http_rq_add_header(rq, "Cache-Control", "no-cache"); /* kept, but asked for each time */
    http_rq_add_header(rq, "ETag", f->etag);
    if (slice_eq(http_rq_header(rq, "If-None-Match"), slice_str(f->etag))) {
        http_rq_reply(rq, 304, NULL, S(""));
    } else {
        reply_file(rq, f);
    }
}

void page_home(void *app, struct http_rq *rq)
{
    (void)app;
    http_rq_redirect(rq, auth_may(auth_identity(rq), PERM_CONSOLE) ? "/console/" : "/requests");
}

/* ---- without JavaScript ---- */

struct rows {
    struct app *a;
    struct buf *out;
    const struct identity *viewer;
    const struct store_node *node; /* whose requests are listed */
    size_t count;
    int rc;
};

/* Other people's machines and requests are for those who may read them (console-api.md 4.4). */
static bool shown(const struct rows *r, const struct store_node *n)
{
    return auth_may(r->viewer, PERM_MACHINES_READ) || n->user_id == r->viewer->user.id;
}

static void node_row(void *arg, const struct store_node *n)
{
    struct rows *r = arg;
    char name[TEXT_NAME_SIZE];
    if (!shown(r, n)) {
        return;
    }
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
        /* Whoever decides about somebody else's asks that person for the code (4.3). */
        if (r->node->user_id && r->node->user_id == r->viewer->user.id) {
            html_fmt(r->out, ", code %s", q->match_code);
        }
        buf_adds(r->out, "</span></li>");
        r->count++;
    }
}

static void node_requests(void *arg, const struct store_node *n)
{
    struct rows *r = arg;
    if (!shown(r, n)) {
        return;
    }
    r->node = n;
    int rc = store_requests_recent(r->a->db, n->id, wall_now(), request_row, r);
    r->rc = r->rc ? r->rc : rc;
}

void page_requests(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct buf out = BUF_MAX(PAGE_MAX);
    struct rows r = {.a = a, .out = &out, .viewer = auth_identity(rq)};
    page_head(&out, "Requests", auth_identity(rq));
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
