/*
 * What belongs to oneself: how one signs in, and where one is signed in. Every change asks for a
 * proof of presence not older than ten minutes.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "lib/data/seal.h"
#include "lib/http/html.h"
#include "server/qr.h"
#include "server/signin.h"
#include "server/totp.h"

enum { PAGE_MAX = 1024 * 1024 };

/* ---- parts ---- */

static void button(struct buf *out,
                   const struct identity *id,
                   const char *action,
                   const char *words,
                   const char *style)
{
    html_fmt(out,
             "<form class=inline method=post action=\"%s\"><input type=hidden name=csrf "
             "value=\"%s\"><button class=%s>%s</button></form>",
             action, id->csrf, style, words);
}

static void when(struct buf *out, struct wall t, const char *never)
{
    char text[WALL_TEXT_SIZE];
    if (!t.s) {
        buf_adds(out, never);
        return;
    }
    wall_format(t, text);
    /* People read minutes: 2026-11-24 12:00 UTC. */
    html_fmt(out, "<time datetime=\"%s\">", text);
    html_text(out, slice_of(text, 10));
    buf_addc(out, ' ');
    html_text(out, slice_of(text + 11, 5));
    buf_adds(out, " UTC</time>");
}

struct listing {
    struct buf *out;
    const struct identity *id;
    int64_t current;
    size_t count;
};

static void passkey_row(void *arg, const struct store_passkey *p, struct slice credential)
{
    struct listing *l = arg;
    char action[96];
    (void)credential;
    text_fit(action, sizeof action, "/account/passkey/%s/delete", p->stable_id);
    html_fmt(l->out, "<tr><td>%s</td><td>", p->name);
    when(l->out, p->created, "");
    buf_adds(l->out, "</td><td>");
    when(l->out, p->last_used, "never");
    buf_adds(l->out, "</td><td>");
    button(l->out, l->id, action, "Remove", "quiet");
    buf_adds(l->out, "</td></tr>");
    l->count++;
}

static void put_passkeys(struct app *a, struct buf *out, const struct identity *id)
{
    struct listing l = {.out = out, .id = id};
    buf_adds(out,
             "<section class=card><h2>Passkeys</h2><div class=scroll><table><thead><tr><th>Name"
             "<th>Added<th>Last used<td></thead><tbody>");
    int rc = store_passkeys_each(a->db, id->user.id, passkey_row, &l);
    if (!l.count) {
        buf_adds(out, "<tr><td colspan=4 class=dim>none yet</td></tr>");
    }
    buf_adds(out, "</tbody></table></div>");
    page_whole(out, rc);
    html_fmt(out,
             "<form data-enrol=\"/account/passkey\" data-csrf=\"%s\" hidden>"
             "<label for=name>Name of a new passkey</label>"
             "<input type=text id=name name=name maxlength=60 placeholder=\"this laptop\">"
             "<div class=row><button>Add a passkey</button><span role=status></span></div></form>"
             "<noscript><p class=dim>Adding a passkey needs JavaScript.</p></noscript></section>",
             id->csrf);
}

static void put_password(struct buf *out, const struct identity *id, const struct store_person *p)
{
    html_fmt(out,
             "<section class=card><h2>Password</h2><p>%s</p><form method=post "
             "action=/account/password><input type=hidden name=csrf value=\"%s\">"
             "<input type=hidden name=login autocomplete=username value=\"%s\">"
             "<label for=password>New password, at least 12 characters</label>"
             "<input type=password id=password name=password minlength=12 required "
             "autocomplete=new-password><div class=row><button>Set password</button></div></form>"
             "</section>",
             p->has_password ? "You have one." : "You have none: you sign in by passkey.", id->csrf,
             id->user.login);
}

static void
put_codes(struct app *a, struct buf *out, const struct identity *id, const struct store_person *p)
{
    buf_adds(out, "<section class=card><h2>One-time codes</h2>");
    if (p->has_totp) {
        buf_adds(out,
                 "<p>An authenticator app is asked for after your password.</p><div class=row>");
        button(out, id, "/account/totp/off", "Switch off", "quiet");
        buf_adds(out, "</div>");
    } else {
        buf_adds(out,
                 "<p>Off. With them, a stolen password alone is of no use.</p><div class=row>");
        button(out, id, "/account/totp", "Set up an authenticator app", "plain");
        buf_adds(out, "</div>");
    }
    html_fmt(out,
             "</section><section class=card><h2>Recovery codes</h2><p>%d left. Each signs you in "
             "once when nothing else does.</p><div class=row>",
             (int)store_recovery_left(a->db, id->user.id));
    button(out, id, "/account/recovery", "Make new codes", "plain");
    buf_adds(out, "</div></section>");
}

/* "Firefox on Linux": what a person knows their browser by. */
static void put_browser(struct buf *out, const char *agent)
{
    static const char *const browsers[][2] = {{"Edg/", "Edge"},        {"OPR/", "Opera"},
                                              {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"},
                                              {"Safari/", "Safari"},   {"curl/", "curl"}};
    static const char *const systems[][2] = {{"Android", "Android"}, {"iPhone", "iPhone"},
                                             {"iPad", "iPad"},       {"Windows", "Windows"},
                                             {"Mac OS X", "macOS"},  {"Linux", "Linux"}};
    const char *browser = "unknown browser", *system = NULL;
    for (size_t i = ARRAY_LEN(browsers); i-- > 0;) {
        browser = strstr(agent, browsers[i][0]) ? browsers[i][1] : browser;
    }
    for (size_t i = ARRAY_LEN(systems); i-- > 0;) {
        system = strstr(agent, systems[i][0]) ? systems[i][1] : system;
    }
    html_fmt(out, "<span title=\"%s\">%s%s%s</span>", agent, browser, system ? " on " : "",
             system ? system : "");
}

static void session_row(void *arg, const struct store_session_row *s)
{
    struct listing *l = arg;
    char action[96];
    text_fit(action, sizeof action, "/account/sessions/%s/end", s->stable_id);
    buf_adds(l->out, "<tr><td>");
    put_browser(l->out, s->agent);
    html_fmt(l->out, "</td><td>%s</td><td>", s->remote);
    when(l->out, s->last_used, "");
    buf_adds(l->out, "</td><td>");
    if (s->id == l->current) {
        buf_adds(l->out, "this one");
    } else {
        button(l->out, l->id, action, "Sign out", "quiet");
    }
    buf_adds(l->out, "</td></tr>");
}

static void put_sessions(struct app *a, struct buf *out, const struct identity *id)
{
    struct listing l = {.out = out, .id = id, .current = id->session};
    buf_adds(out, "<section class=card><h2>Where you are signed in</h2><div class=scroll><table>"
                  "<thead><tr><th>Browser<th>Address<th>Last used<td></thead><tbody>");
    int rc = store_sessions_each(a->db, id->user.id, session_row, &l);
    buf_adds(out, "</tbody></table></div>");
    page_whole(out, rc);
    buf_adds(out, "<div class=row>");
    button(out, id, "/account/sessions/end", "Sign out everywhere else", "quiet");
    buf_adds(out, "</div></section>");
}

/* ---- the page ---- */

void page_account_notice(struct app *a, struct http_rq *rq, int status, const char *notice)
{
    const struct identity *id = auth_identity(rq);
    struct store_person p;
    struct buf out = BUF_MAX(PAGE_MAX);
    int rc = store_person_by_id(a->db, id->user.id, &p);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    page_head(&out, "Your account", id);
    html_fmt(&out, "<h1>%s</h1>", id->user.login);
    if (notice) {
        html_fmt(&out, "<p class=bad role=alert>%s</p>", notice);
    }
    put_passkeys(a, &out, id);
    put_password(&out, id, &p);
    put_codes(a, &out, id, &p);
    put_sessions(a, &out, id);
    buf_adds(&out, "<script type=module src=/static/auth.js></script>");
    page_send(rq, status, &out);
}

void page_account(void *app, struct http_rq *rq)
{
    page_account_notice(app, rq, 200, NULL);
}

/* False after a redirect to the page that asks for a proof of presence. */
static bool fresh(struct app *a, struct http_rq *rq)
{
    return auth_need_fresh(a, rq, S("/account"));
}

static void done(struct http_rq *rq, int rc)
{
    if (rc < 0) {
        reply_broken(rq, rc);
    } else {
        http_rq_redirect(rq, "/account");
    }
}

void account_password(void *app, struct http_rq *rq)
{
    if (fresh(app, rq)) {
        auth_change_password(app, rq);
    }
}

/* The last way in is not taken away; nor is one that may be the last. */
static bool last_way_in(struct app *a, const struct identity *id)
{
    struct store_person p;
    return store_person_by_id(a->db, id->user.id, &p) != 0 || (!p.has_password && p.passkeys == 1);
}

void account_passkey_delete(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    if (!fresh(a, rq)) {
        return;
    }
    if (last_way_in(a, id)) {
        page_account_notice(
            a, rq, 409, "This passkey is your only way in. Add another or set a password first.");
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_passkey_delete(a->db, id->user.id, http_rq_param(rq, "id")) : -EIO;
    rc = rc ? rc : audit_own(a, http_rq_peer(rq), &id->user, "USER.PASSKEY.REMOVE", S(""));
    done(rq, rc ? rc : db_commit(&tx));
}

/* ---- one-time codes ---- */

static int new_totp(struct app *a, int64_t user, uint8_t secret[TOTP_SECRET_SIZE])
{
    char about[40];
    struct buf sealed = BUF_MAX(128);
    secret_random(secret, TOTP_SECRET_SIZE);
    factors_seal_about(user, about);
    seal_close(a->secrets.seal, slice_str(about), slice_of(secret, TOTP_SECRET_SIZE), &sealed);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_totp_set(a->db, user, buf_slice(&sealed)) : -EIO;
    rc = rc ? rc : db_commit(&tx);
    buf_deinit(&sealed);
    return rc;
}

static void totp_page(struct app *a,
                      struct http_rq *rq,
                      int status,
                      const uint8_t secret[TOTP_SECRET_SIZE],
                      const char *complaint)
{
    const struct identity *id = auth_identity(rq);
    struct buf out = BUF_MAX(PAGE_MAX), uri = BUF_MAX(1024), key = BUF_MAX(64);
    totp_uri(secret, S("OpenFunnel"), slice_str(id->user.login), &uri);
    totp_base32(slice_of(secret, TOTP_SECRET_SIZE), &key);
    page_head(&out, "Set up one-time codes", id);
    buf_adds(&out, "<div class=card><h1>Set up one-time codes</h1>");
    if (complaint) {
        html_fmt(&out, "<p class=bad role=alert>%s</p>", complaint);
    }
    buf_adds(&out, "<p>Scan this with your authenticator app:</p>");
    err_ignore(!qr_svg(buf_cstr(&uri), &out)); /* the key below does as well */
    html_fmt(
        &out,
        "<p>or type the key <code>%s</code></p><form method=post action=/account/totp/confirm>"
        "<input type=hidden name=csrf value=\"%s\"><label for=otp>The code it shows now</label>"
        "<input type=text id=otp name=otp inputmode=numeric autocomplete=one-time-code required "
        "autofocus><div class=row><button>Switch on</button><a href=/account>Cancel</a></div>"
        "</form></div>",
        buf_cstr(&key), id->csrf);
    page_send(rq, status, &out);
    secret_wipe_buf(&uri);
    secret_wipe_buf(&key);
    (void)a;
}

void account_totp(void *app, struct http_rq *rq)
{
    struct app *a = app;
    uint8_t secret[TOTP_SECRET_SIZE];
    if (!fresh(a, rq)) {
        return;
    }
    int rc = new_totp(a, auth_identity(rq)->user.id, secret);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        totp_page(a, rq, 200, secret, NULL);
    }
    secret_wipe(secret, sizeof secret);
}

static bool unseal(struct app *a, int64_t user, uint8_t secret[TOTP_SECRET_SIZE], bool *confirmed)
{
    struct store_totp t;
    char about[40];
    struct buf sealed = BUF_MAX(128), plain = BUF_MAX(128);
    factors_seal_about(user, about);
    bool ok = store_totp(a->db, user, &t, &sealed) == 0 &&
              seal_open(a->secrets.seal, slice_str(about), buf_slice(&sealed), &plain) &&
              plain.len == TOTP_SECRET_SIZE;
    if (ok) {
        memcpy(secret, buf_slice(&plain).p, TOTP_SECRET_SIZE);
        *confirmed = t.confirmed;
    }
    secret_wipe_buf(&plain);
    buf_deinit(&sealed);
    return ok;
}

void account_totp_confirm(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    uint8_t secret[TOTP_SECRET_SIZE];
    bool confirmed = false;
    int64_t step = 0;
    if (!fresh(a, rq)) {
        return;
    }
    if (!unseal(a, id->user.id, secret, &confirmed) || confirmed) {
        http_rq_redirect(rq, "/account");
        return;
    }
    if (!totp_check(secret, http_rq_form(rq, "otp"), wall_now(), 0, &step)) {
        totp_page(a, rq, 400, secret, "This is not the code of now. Is the phone's clock right?");
    } else {
        AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
        int rc = tx ? store_totp_confirm(a->db, id->user.id, step) : -EIO;
        rc = rc ? rc : audit_own(a, http_rq_peer(rq), &id->user, "USER.TOTP.ON", S(""));
        done(rq, rc ? rc : db_commit(&tx));
    }
    secret_wipe(secret, sizeof secret);
}

void account_totp_off(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    if (!fresh(a, rq)) {
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_totp_clear(a->db, id->user.id) : -EIO;
    rc = rc ? rc : audit_own(a, http_rq_peer(rq), &id->user, "USER.TOTP.OFF", S(""));
    done(rq, rc ? rc : db_commit(&tx));
}

/* ---- recovery codes ---- */

void page_recovery_codes(struct app *a,
                         struct http_rq *rq,
                         const struct store_user *u,
                         const char codes[8][20])
{
    struct buf out = BUF_MAX(PAGE_MAX);
    (void)a;
    page_head(&out, "Recovery codes", NULL);
    html_fmt(&out,
             "<div class=card><h1>Keep these codes</h1><p>Each signs %s in once when nothing else "
             "does. They are shown only now: print them, or put them into a password manager.</p>"
             "<ul class=codes>",
             u->login);
    for (size_t i = 0; i < RECOVERY_CODES; i++) {
        html_fmt(&out, "<li><code>%s</code>", codes[i]);
    }
    buf_adds(&out, "</ul><div class=row><a class=button href=/>I have saved them</a></div></div>");
    page_send(rq, 200, &out);
}

void account_recovery(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    char codes[RECOVERY_CODES][RECOVERY_CODE_SIZE];
    if (!fresh(a, rq)) {
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? factors_new_recovery(a, id->user.id, codes) : -EIO;
    rc = rc ? rc : audit_own(a, http_rq_peer(rq), &id->user, "USER.RECOVERY", S(""));
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        page_recovery_codes(a, rq, &id->user, (const char(*)[RECOVERY_CODE_SIZE])codes);
    }
    secret_wipe(codes, sizeof codes);
}

/* ---- sessions ---- */

void account_session_end(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_session_end(a->db, id->user.id, http_rq_param(rq, "id")) : -EIO;
    done(rq, rc ? rc : db_commit(&tx));
}

void account_sessions_end(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_sessions_end(a->db, id->user.id, id->session) : -EIO;
    rc = rc ? rc : audit_own(a, http_rq_peer(rq), &id->user, "USER.SESSIONS.END", S(""));
    done(rq, rc ? rc : db_commit(&tx));
}
