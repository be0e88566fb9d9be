/*
 * Sessions of browsers: a cookie with 160 random bits, kept as a peppered hash; a form token bound
 * to it; idle and absolute ends.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "server/app.h"

#define COOKIE "__Host-funnel"

enum {
    SESSION_IDLE_S = 12 * 3600,
    SESSION_MOST_S = 7 * 86400,
    TOUCH_S = 60, /* last_used is written once a minute */
};

static void csrf_of(struct app *a, struct slice token, char out[65])
{
    uint8_t mac[32];
    struct buf text = BUF_MAX(256), hex = BUF_MAX(64);
    buf_adds(&text, "csrf:");
    buf_add(&text, token);
    secrets_hash(&a->secrets, buf_slice(&text), mac);
    text_hex(&hex, slice_of(mac, sizeof mac));
    text_fit(out, 65, "%s", buf_cstr(&hex));
    secret_wipe_buf(&text);
    secret_wipe_buf(&hex);
}

static void touch(struct app *a, const struct store_session *s, struct wall now)
{
    if (now.s - s->last_used.s < TOUCH_S) {
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    if (tx && store_session_touch(a->db, s->id) == 0) {
        err_ignore(db_commit(&tx)); /* only bookkeeping */
    }
}

static bool find_session(struct app *a, struct http_rq *rq, struct identity *id)
{
    uint8_t hash[STORE_HASH_SIZE];
    struct store_session s;
    struct slice cookie = http_rq_cookie(rq, COOKIE);
    struct wall now = wall_now();
    if (cookie.n != SECRET_CHARS) {
        return false;
    }
    secrets_hash(&a->secrets, cookie, hash);
    if (store_session(a->db, slice_of(hash, sizeof hash), &s) ||
        now.s - s.created.s > SESSION_MOST_S || now.s - s.last_used.s > SESSION_IDLE_S ||
        store_user_by_id(a->db, s.user_id, &id->user) || id->user.suspended) {
        return false;
    }
    id->session = s.id;
    csrf_of(a, cookie, id->csrf);
    touch(a, &s, now);
    return true;
}

bool auth_same_origin(const struct app *a, struct http_rq *rq)
{
    struct slice origin = http_rq_header(rq, "Origin"), site = http_rq_header(rq, "Sec-Fetch-Site");
    return origin.n ? slice_eq(origin, slice_str(a->cfg.origin)) : slice_eq(site, S("same-origin"));
}

/* Back to where the person wanted to go: the path of our own request pages only. */
static void to_login(struct http_rq *rq)
{
    char cookie[160];
    struct slice path = http_rq_path(rq);
    if (slice_starts(path, S("/f/")) && path.n < 64) {
        text_fit(cookie, sizeof cookie,
                 "__Host-next=" SLICE_FMT "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600",
                 SLICE_ARG(path));
        http_rq_add_header(rq, "Set-Cookie", cookie);
    }
    http_rq_redirect(rq, "/login");
}

void auth_need_session(struct app *a, struct http_rq *rq, unsigned kind)
{
    struct identity *id = mem_new(sizeof *id);
    if (!find_session(a, rq, id)) {
        auth_free_identity(id);
        to_login(rq);
        return;
    }
    http_rq_set_user(rq, id, auth_free_identity);
    if (kind == ROUTE_FORM &&
        (!auth_same_origin(a, rq) || !secret_eq(http_rq_form(rq, "csrf"), slice_str(id->csrf)))) {
        page_message(rq, 403, "This form is not ours or too old",
                     "Go back, load the page again and repeat.", "/");
    }
}

/* ---- in and out ---- */

void auth_login(struct app *a, struct http_rq *rq, const struct store_user *u, const char *next)
{
    char token[SECRET_SIZE], cookie[200], ip[ADDR_TEXT_SIZE];
    uint8_t hash[STORE_HASH_SIZE];
    secrets_make("", token);
    secrets_hash(&a->secrets, slice_str(token), hash);
    addr_format_ip(http_rq_peer(rq), ip);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc =
        tx ? store_session_create(a->db, u->id, slice_of(hash, sizeof hash), slice_str(ip)) : -EIO;
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    text_fit(cookie, sizeof cookie, COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Lax", token);
    secret_wipe(token, sizeof token);
    http_rq_add_header(rq, "Set-Cookie", cookie);
    http_rq_add_header(rq, "Set-Cookie",
                       "__Host-next=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    log_info("login", F_STR("user", u->login), F_STR("remote", ip));
    http_rq_redirect(rq, next);
}

void auth_logout(struct app *a, struct http_rq *rq)
{
    struct identity *id = auth_identity(rq);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_session_delete(a->db, id->session) : -EIO;
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    http_rq_add_header(rq, "Set-Cookie",
                       COOKIE "=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    http_rq_redirect(rq, "/login");
}
