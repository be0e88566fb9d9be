/*
 * Sessions of browsers: a cookie with 160 random bits, kept as a peppered hash; a form token bound
 * to it; idle and absolute ends.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "server/app.h"
#include "server/store_people.h"

#define COOKIE "__Host-funnel"

enum {
    TOUCH_S = 60, /* last_used is written once a minute */
    STEP_UP_S = 600,
    AGENT_MAX = 150,
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

static void touch(struct app *a, const struct store_session_row *s, struct wall now)
{
    if (now.s - s->last_used.s < TOUCH_S) {
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    if (tx && store_session_touch(a->db, s->id) == 0 && store_user_seen(a->db, s->user_id) == 0) {
        err_ignore(db_commit(&tx)); /* only bookkeeping */
    }
}

static bool find_session(struct app *a, struct http_rq *rq, struct identity *id)
{
    uint8_t hash[STORE_HASH_SIZE];
    struct store_session_row s;
    struct slice cookie = http_rq_cookie(rq, COOKIE);
    struct wall now = wall_now();
    if (cookie.n != SECRET_CHARS) {
        return false;
    }
    secrets_hash(&a->secrets, cookie, hash);
    if (store_session_row(a->db, slice_of(hash, sizeof hash), &s) ||
        now.s - s.created.s > SESSION_MOST_S || now.s - s.last_used.s > SESSION_IDLE_S ||
        store_user_by_id(a->db, s.user_id, &id->user) || id->user.suspended || !id->user.approved) {
        return false;
    }
    id->session = s.id;
    id->scopes = SCOPES_ALL;
    text_fit(id->credential, sizeof id->credential, "s:%s", s.stable_id);
    id->verified = s.verified;
    csrf_of(a, cookie, id->csrf);
    touch(a, &s, now);
    return true;
}

bool auth_same_origin(const struct app *a, struct http_rq *rq)
{
    struct slice origin = http_rq_header(rq, "Origin"), site = http_rq_header(rq, "Sec-Fetch-Site");
    return origin.n ? slice_eq(origin, slice_str(a->cfg.origin)) : slice_eq(site, S("same-origin"));
}

/* Back to where the person wanted to go; kept here, not in an address that somebody else wrote. */
static void to_login(struct app *a, struct http_rq *rq, const char *page)
{
    struct slice path = http_rq_path(rq);
    if (http_rq_method(rq) == HTTP_GET && flow_next_ok(path)) {
        struct flow *f = flow_begin(a->flows, rq, FLOW_RETURN);
        slice_copy(path, f->next, sizeof f->next);
    }
    http_rq_redirect(rq, page);
}

/* Scripts of our own pages show the form token in a header. */
static bool token_good(struct app *a, struct http_rq *rq, unsigned kind, const char *csrf)
{
    struct slice shown =
        kind == ROUTE_FORM ? http_rq_form(rq, "csrf") : http_rq_header(rq, "X-Csrf-Token");
    return auth_same_origin(a, rq) && secret_eq(shown, slice_str(csrf));
}

void auth_need_session(struct app *a, struct http_rq *rq, unsigned kind)
{
    struct identity *id = mem_new(sizeof *id);
    if (!find_session(a, rq, id)) {
        auth_free_identity(id);
        if (kind == ROUTE_SCRIPT) {
            reply_problem(rq, &(struct problem){401, "auth.required", "you are not signed in",
                                                "sign in and try again"});
        } else {
            to_login(a, rq, "/login");
        }
        return;
    }
    http_rq_set_user(rq, id, auth_free_identity);
    if (kind == ROUTE_PAGE || token_good(a, rq, kind, id->csrf)) {
        return;
    }
    if (kind == ROUTE_SCRIPT) {
        reply_problem(rq, &(struct problem){403, "csrf", "this call is not from our page",
                                            "load the page again"});
    } else {
        page_message(rq, 403, "This form is not ours or too old",
                     "Go back, load the page again and repeat.", "/");
    }
}

int auth_find_script(struct app *a, struct http_rq *rq, struct identity *id)
{
    if (!find_session(a, rq, id)) {
        return SESSION_NONE;
    }
    /* A form or an image of another page cannot send this header without our leave. */
    bool ours = http_rq_header(rq, "X-Requested-With").n && auth_same_origin(a, rq);
    bool safe = http_rq_method(rq) == HTTP_GET;
    return ours && (safe || token_good(a, rq, ROUTE_SCRIPT, id->csrf)) ? 0 : SESSION_FOREIGN;
}

bool auth_is_fresh(const struct identity *id)
{
    return wall_now().s - id->verified.s <= STEP_UP_S;
}

bool auth_need_fresh(struct app *a, struct http_rq *rq, struct slice back)
{
    if (auth_is_fresh(auth_identity(rq))) {
        return true;
    }
    struct flow *f = flow_begin(a->flows, rq, FLOW_RETURN);
    if (flow_next_ok(back)) {
        slice_copy(back, f->next, sizeof f->next);
    }
    http_rq_redirect(rq, "/verify");
    return false;
}

/* ---- in and out ---- */

static void new_token(struct app *a, char token[SECRET_SIZE], uint8_t hash[STORE_HASH_SIZE])
{
    secrets_make("", token);
    secrets_hash(&a->secrets, slice_str(token), hash);
}

static void set_cookie(struct http_rq *rq, char token[SECRET_SIZE])
{
    char cookie[200];
    text_fit(cookie, sizeof cookie, COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Lax", token);
    http_rq_add_header(rq, "Set-Cookie", cookie);
    secret_wipe(token, SECRET_SIZE);
    secret_wipe(cookie, sizeof cookie);
}

int auth_open_session(struct app *a,
                      struct http_rq *rq,
                      const struct store_user *u,
                      const char *method,
                      char out_next[FLOW_NEXT_SIZE])
{
    char token[SECRET_SIZE], ip[ADDR_TEXT_SIZE];
    uint8_t hash[STORE_HASH_SIZE];
    struct slice agent = slice_sub(http_rq_header(rq, "User-Agent"), 0, AGENT_MAX);
    int64_t id;
    new_token(a, token, hash);
    addr_format_ip(http_rq_peer(rq), ip);
    struct store_session_new n = {.user = u->id,
                                  .hash = slice_of(hash, sizeof hash),
                                  .remote = slice_str(ip),
                                  .agent = text_printable(agent, AGENT_MAX) ? agent : S(""),
                                  .method = method};
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_session_open(a->db, &n, &id) : -EIO;
    rc = rc ? rc : store_user_seen(a->db, u->id);
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        return rc;
    }
    struct flow *f = flow_find(a->flows, rq);
    text_fit(out_next, FLOW_NEXT_SIZE, "%s", f && f->next[0] ? f->next : "/");
    flow_end(a->flows, rq);
    set_cookie(rq, token);
    log_info("login", F_STR("user", u->login), F_STR("method", method), F_STR("remote", ip));
    return 0;
}

int auth_step_up(struct app *a, struct http_rq *rq, int64_t session, char out_next[FLOW_NEXT_SIZE])
{
    char token[SECRET_SIZE];
    uint8_t hash[STORE_HASH_SIZE];
    new_token(a, token, hash);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_session_verified(a->db, session, slice_of(hash, sizeof hash)) : -EIO;
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        return rc;
    }
    struct flow *f = flow_find(a->flows, rq);
    text_fit(out_next, FLOW_NEXT_SIZE, "%s", f && f->next[0] ? f->next : "/");
    flow_end(a->flows, rq);
    set_cookie(rq, token);
    return 0;
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
