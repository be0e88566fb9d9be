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
