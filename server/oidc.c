/*
 * One request at a time waits per browser: discovery and keys are fetched when they are missing or
 * older than an hour, then the person is sent to the provider; back from there, the code is
 * exchanged and the token judged.
 */
#include "server/oidc.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/data/crypto.h"
#include "lib/data/jwt.h"
#include "lib/fetch/fetch.h"
#include "server/settings.h"
#include "server/signin.h"

enum {
    DOCUMENT_MAX = 256 * 1024,
    URL_SIZE = 1024,
    FRESH_S = 3600,
    SKEW_S = 120, /* clocks of provider and server may differ that much */
};

struct oidc {
    struct app *a;
    struct fetcher *f;
    struct js *config, *keys;
    struct mono fetched;
};

/* A browser that waits for the provider. */
struct waiting {
    struct oidc *o;
    struct http_rq *rq; /* NULL when it has left */
    struct fetch *fetch;
    void (*then)(struct waiting *w);
    bool again; /* the keys were fetched anew for this token */
    struct flow flow;
    struct buf token;
};

/* ---- ends ---- */

static void done(struct waiting *w)
{
    secret_wipe(&w->flow, sizeof w->flow);
    secret_wipe_buf(&w->token);
    mem_free(w);
}

static void fail(struct waiting *w, int status, const char *why, const char *fix)
{
    log_warn("oidc.failed", F_STR("why", why), F_STR("fix", fix));
    if (w->rq) {
        char text[400];
        text_cut(text, sizeof text, "%s. %s", why, fix);
        flow_end(w->o->a->flows, w->rq);
        page_message(w->rq, status, "Single sign-on did not work", text, "/login");
    }
    done(w);
}

static void left(void *arg)
{
    struct waiting *w = arg;
    fetch_cancel(w->fetch);
    w->rq = NULL;
    done(w);
}

/* ---- the provider's documents ---- */

static const char *endpoint(const struct oidc *o, const char *name, char out[URL_SIZE])
{
    return o->config && slice_copy(js_get_str(o->config, name), out, URL_SIZE) && out[0] ? out
                                                                                         : NULL;
}

static struct js *document(const struct fetch_result *r)
{
    char why[80];
    struct js *j =
        !r->err && r->status == 200 ? js_parse(r->body, DOCUMENT_MAX, why, sizeof why) : NULL;
    if (j && js_kind(j) != JS_OBJECT) {
        js_free(j);
        return NULL;
    }
    return j;
}

static void get(struct waiting *w, const char *url, fetch_done_fn fn)
{
    struct fetch_opts o = {.url = url, .timeout_ns = SECONDS(10), .max = DOCUMENT_MAX};
    w->fetch = fetch_start(w->o->f, &o, fn, w);
}

static void on_keys(void *arg, const struct fetch_result *r)
{
    struct waiting *w = arg;
    struct js *j = document(r);
    w->fetch = NULL;
    if (!j) {
        fail(w, 502, "The provider's keys could not be fetched", "Check its jwks_uri");
        return;
    }
    js_free(w->o->keys);
    w->o->keys = j;
    w->o->fetched = mono_now();
    w->then(w);
}

static void on_config(void *arg, const struct fetch_result *r)
{
    struct waiting *w = arg;
    struct oidc *o = w->o;
    char url[URL_SIZE];
    struct js *j = document(r);
    w->fetch = NULL;
    if (!j) {
        fail(w, 502, "The provider does not answer at oidc.issuer",
             "Check oidc.issuer: its /.well-known/openid-configuration must be there");
        return;
    }
    js_free(o->config);
    o->config = j;
    if (!slice_eq(js_get_str(j, "issuer"), slice_str(o->a->cfg.oidc_issuer))) {
        js_free(o->config);
        o->config = NULL;
        fail(w, 502, "The provider calls itself by another name than oidc.issuer",
             "Write oidc.issuer exactly as its discovery document has it");
    } else if (!endpoint(o, "jwks_uri", url)) {
        fail(w, 502, "The provider's discovery document has no jwks_uri", "Ask its operator");
    } else {
        get(w, url, on_keys);
    }
}

static void discover(struct waiting *w)
{
    char url[URL_SIZE];
    struct slice issuer = slice_str(w->o->a->cfg.oidc_issuer);
    if (slice_ends(issuer, S("/"))) {
        issuer.n--;
    }
    text_cut(url, sizeof url, SLICE_FMT "/.well-known/openid-configuration", SLICE_ARG(issuer));
    get(w, url, on_config);
}

static bool fresh(const struct oidc *o)
{
    return o->config && o->keys &&
           !mono_reached(mono_now(), mono_after(o->fetched, SECONDS(FRESH_S)));
}

/* ---- to the provider ---- */

static void put_param(struct buf *out, char before, const char *name, struct slice value)
{
    buf_addf(out, "%c%s=", before, name);
    text_percent(out, value);
}

static void put_bytes(struct buf *out, char before, const char *name, struct slice bytes)
{
    struct buf text = BUF_MAX(128);
    text_b64url(&text, bytes);
    put_param(out, before, name, buf_slice(&text));
    secret_wipe_buf(&text);
}

static void put_redirect_uri(const struct app *a, struct buf *out)
{
    char uri[300];
    text_fit(uri, sizeof uri, "%s/login/oidc/callback", a->cfg.origin);
    put_param(out, '&', "redirect_uri", slice_str(uri));
}

/* RFC 7636: the verifier is the text, the challenge its hash. */
static void put_verifier(const struct flow *f, struct buf *out)
{
    text_b64url(out, slice_of(f->verifier, sizeof f->verifier));
}

static void put_challenge(const struct flow *f, struct buf *out)
{
    uint8_t hash[CRYPTO_SHA256_SIZE];
    struct buf verifier = BUF_MAX(64);
    put_verifier(f, &verifier);
    crypto_sha256(buf_slice(&verifier), hash);
    put_bytes(out, '&', "code_challenge", slice_of(hash, sizeof hash));
    secret_wipe_buf(&verifier);
}

static void send_away(struct waiting *w)
{
    struct app *a = w->o->a;
    char url[URL_SIZE];
    struct buf to = BUF_MAX(4096), scopes = BUF_MAX(512);
    if (!endpoint(w->o, "authorization_endpoint", url)) {
        fail(w, 502, "The provider's discovery document has no authorization_endpoint",
             "Ask its operator");
        return;
    }
    struct flow *f = flow_begin(a->flows, w->rq, FLOW_OIDC);
    secret_random(f->state, sizeof f->state);
    secret_random(f->nonce, sizeof f->nonce);
    secret_random(f->verifier, sizeof f->verifier);
    buf_adds(&scopes, "openid");
    for (size_t i = 0; i < a->cfg.oidc_scopes.count; i++) {
        buf_addf(&scopes, " %s", a->cfg.oidc_scopes.items[i]);
    }
    buf_adds(&to, url);
    put_param(&to, strchr(url, '?') ? '&' : '?', "response_type", S("code"));
    put_param(&to, '&', "client_id", slice_str(a->cfg.oidc_client));
    put_redirect_uri(a, &to);
    put_param(&to, '&', "scope", buf_slice(&scopes));
    put_bytes(&to, '&', "state", slice_of(f->state, sizeof f->state));
    put_bytes(&to, '&', "nonce", slice_of(f->nonce, sizeof f->nonce));
    put_challenge(f, &to);
    put_param(&to, '&', "code_challenge_method", S("S256"));
    http_rq_redirect(w->rq, buf_cstr(&to));
    secret_wipe_buf(&to);
    buf_deinit(&scopes);
    done(w);
}

static struct waiting *wait_for(struct oidc *o, struct http_rq *rq, void (*then)(struct waiting *w))
{
    struct waiting *w = mem_new(sizeof *w);
    w->o = o;
    w->rq = rq;
    w->then = then;
    buf_init(&w->token, JWT_MAX);
    http_rq_on_abort(rq, left, w);
    return w;
}

static bool configured(struct app *a, struct http_rq *rq)
{
    if (!a->oidc) {
        page_message(rq, 404, "There is no single sign-on here",
                     "The operator has not set oidc.issuer.", "/login");
    }
    return a->oidc != NULL;
}

void oidc_start(void *app, struct http_rq *rq)
{
    struct app *a = app;
    if (!configured(a, rq)) {
        return;
    }
    struct waiting *w = wait_for(a->oidc, rq, send_away);
    if (fresh(a->oidc)) {
        send_away(w);
    } else {
        discover(w);
    }
}

/* ---- the token's claims, Core 3.1.3.7 ---- */

static bool audience_is(const struct js *claims, struct slice client)
{
    const struct js *aud = js_get(claims, "aud");
    if (!aud) {
        return false;
    }
    if (js_kind(aud) == JS_STR) {
        return slice_eq(js_str(aud), client);
    }
    bool found = false;
    for (size_t i = 0; js_kind(aud) == JS_ARRAY && i < js_len(aud); i++) {
        found = found || slice_eq(js_str(js_at(aud, i)), client);
    }
    struct slice azp = js_get_str(claims, "azp");
    return found && (js_len(aud) == 1 || slice_eq(azp, client));
}

static bool nonce_is(const struct js *claims, const struct flow *f)
{
    struct buf text = BUF_MAX(64);
    text_b64url(&text, slice_of(f->nonce, sizeof f->nonce));
    bool same = secret_eq(js_get_str(claims, "nonce"), buf_slice(&text));
    buf_deinit(&text);
    return same;
}

static const char *claims_fault(const struct app *a, const struct js *claims, const struct flow *f)
{
    int64_t now = wall_now().s;
    if (!slice_eq(js_get_str(claims, "iss"), slice_str(a->cfg.oidc_issuer))) {
        return "The token comes from another issuer";
    }
    if (!audience_is(claims, slice_str(a->cfg.oidc_client))) {
        return "The token is for another client (oidc.clientId)";
    }
    if (js_get_int(claims, "exp", 0) < now - SKEW_S) {
        return "The token has expired: do the clocks of provider and server agree?";
    }
    if (js_get_int(claims, "iat", now) > now + SKEW_S) {
        return "The token is from the future: do the clocks of provider and server agree?";
    }
    if (!nonce_is(claims, f)) {
        return "The token belongs to another sign-in";
    }
    return js_get_str(claims, "sub").n ? NULL : "The token names nobody";
}

/* ---- who that is here ---- */

static bool in_list(const struct conf_list *list, struct slice s)
{
    for (size_t i = 0; i < list->count; i++) {
        if (slice_eq_nocase(slice_str(list->items[i]), s)) {
            return true;
        }
    }
    return false;
}

static const char *membership_fault(const struct app *a, const struct js *claims)
{
    struct slice mail = js_get_str(claims, "email");
    ptrdiff_t at = slice_rfind(mail, '@');
    if (a->cfg.oidc_domains.count &&
        (at < 0 || !js_get_bool(claims, "email_verified", false) ||
         !in_list(&a->cfg.oidc_domains, slice_skip(mail, (size_t)at + 1)))) {
        return "Your e-mail address is not verified or not of an allowed domain (oidc.domains)";
    }
    const struct js *groups = js_get(claims, "groups");
    bool member = a->cfg.oidc_groups.count == 0;
    for (size_t i = 0; groups && js_kind(groups) == JS_ARRAY && i < js_len(groups); i++) {
        member = member || in_list(&a->cfg.oidc_groups, js_str(js_at(groups, i)));
    }
    return member ? NULL : "You are in none of the allowed groups (oidc.groups)";
}

/* The login of a new person: the verified address, else a name that cannot be one. */
static void login_of(const struct js *claims, char out[STORE_NAME_SIZE])
{
    struct slice mail = js_get_str(claims, "email"),
                 name = js_get_str(claims, "preferred_username");
    out[0] = '\0';
    if (js_get_bool(claims, "email_verified", false) && text_printable(mail, 200) &&
        slice_find(mail, '@') > 0) {
        slice_copy(mail, out, STORE_NAME_SIZE);
    } else if (text_printable(name, 100) && name.n && slice_find(name, '@') < 0) {
        text_fit(out, STORE_NAME_SIZE, SLICE_FMT "@oidc", SLICE_ARG(name));
    }
}

enum { MAKE_NOBODY = 1, MAKE_WAITING = 2 };

static int create(struct app *a, const struct js *claims, const char *login, int64_t *out_user)
{
    bool ask = a->cfg.oidc_unknown == OIDC_UNKNOWN_ASK || setting_on(a, "usersApprovalOn");
    struct slice name = js_get_str(claims, "name");
    int rc = store_user_create(a->db, a->tailnet.id, slice_str(login), "member", out_user);
    rc = rc ? rc : ask ? store_user_set_approved(a->db, *out_user, false) : 0;
    rc = rc || !text_printable(name, 120) ? rc : store_user_set_name(a->db, *out_user, name);
    if (rc) {
        return rc;
    }
    struct js *data = js_object();
    js_set_cstr(data, "user", login);
    js_set_cstr(data, "url", a->cfg.origin);
    rc = webhooks_emit(a, ask ? "userNeedsApproval" : "userCreated",
                       ask ? "A new user waits for approval" : "A user has joined", data);
    return rc ? rc : store_change(a->db, a->tailnet.id, "user", 0);
}

/* Finds or makes the user of the claims: 0, MAKE_NOBODY, -errno. */
static int
resolve(struct app *a, const struct addr *from, const struct js *claims, struct store_user *out)
{
    struct slice issuer = js_get_str(claims, "iss"), subject = js_get_str(claims, "sub");
    char login[STORE_NAME_SIZE];
    int64_t id = 0;
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_oidc_user(a->db, issuer, subject, &id) : -EIO;
    if (rc == STORE_NONE) {
        login_of(claims, login);
        bool known = login[0] && store_user_by_login(a->db, slice_str(login), out) == 0;
        bool linked =
            known && a->cfg.oidc_link_mail && js_get_bool(claims, "email_verified", false);
        if (!login[0] || (known && !linked) ||
            (!known && a->cfg.oidc_unknown == OIDC_UNKNOWN_REFUSE)) {
            return MAKE_NOBODY;
        }
        id = known ? out->id : 0;
        rc = known ? 0 : create(a, claims, login, &id);
        rc = rc ? rc : store_oidc_link(a->db, id, issuer, subject);
        rc = rc ? rc : store_user_by_id(a->db, id, out);
        rc = rc ? rc : audit_own(a, from, out, known ? "USER.OIDC.LINK" : "USER.CREATE", S("oidc"));
    } else if (!rc) {
        rc = store_oidc_used(a->db, issuer, subject);
    }
    rc = rc ? rc : store_user_by_id(a->db, id, out);
    rc = rc > 0 ? err_fold(-EIO) : rc;
    return rc ? rc : db_commit(&tx);
}

static void judge(struct waiting *w);

static void sign_in(struct waiting *w, const struct js *claims)
{
    struct app *a = w->o->a;
    struct store_user u = {0};
    int rc = resolve(a, w->rq ? http_rq_peer(w->rq) : NULL, claims, &u);
    if (rc == MAKE_NOBODY) {
        fail(w, 403, "The provider knows you, this server does not",
             "Ask an administrator for an invitation");
        return;
    }
    if (rc) {
        fail(w, 500, "Something broke on our side", "Try again");
    } else if (!signin_allowed(&u)) {
        fail(w, 403, u.suspended ? "This account is suspended" : "Your account waits for approval",
             "An administrator can change that");
    } else {
        struct http_rq *rq = w->rq;
        done(w);
        signin_finish(a, rq, &u, "oidc", 0, SIGNIN_REDIRECT);
        webhooks_kick(a);
    }
}

/* The keys may have been rolled since: fetched anew, once. */
static void judge(struct waiting *w)
{
    const char *why = NULL;
    char url[URL_SIZE];
    AUTO(js_freep) struct js *claims = NULL;
    int rc = jwt_verify(buf_slice(&w->token), w->o->keys, &claims, &why);
    if (rc == JWT_NO_KEY && !w->again && endpoint(w->o, "jwks_uri", url)) {
        w->again = true;
        w->then = judge;
        get(w, url, on_keys);
        return;
    }
    why = rc ? why : claims_fault(w->o->a, claims, &w->flow);
    if (why) {
        fail(w, 502, why, "Tell the operator what stands here");
        return;
    }
    why = membership_fault(w->o->a, claims);
    if (why) {
        fail(w, 403, why, "Ask an administrator");
        return;
    }
    sign_in(w, claims);
}

/* ---- the code for a token ---- */

static void on_token(void *arg, const struct fetch_result *r)
{
    struct waiting *w = arg;
    AUTO(js_freep) struct js *j = document(r);
    w->fetch = NULL;
    if (!j || buf_push(&w->token, js_get_str(j, "id_token")) || !w->token.len) {
        fail(w, 502, "The provider did not exchange the code for a token",
             "Check oidc.clientId, oidc.clientSecretFile and the redirect URI registered there");
        return;
    }
    judge(w);
}

static bool read_secret(const struct app *a, struct buf *out)
{
    if (file_read(a->cfg.oidc_secret, out)) {
        return false;
    }
    struct slice s = slice_trim(buf_slice(out));
    buf_truncate(out, s.n);
    return s.n > 0;
}

/* client_secret_basic: both are form-encoded before they are joined (RFC 6749 2.3.1). */
static bool basic_header(const struct app *a, struct buf *out)
{
    struct buf secret = BUF_MAX(1024), pair = BUF_MAX(4096);
    bool ok = read_secret(a, &secret);
    if (ok) {
        text_percent(&pair, slice_str(a->cfg.oidc_client));
        buf_addc(&pair, ':');
        text_percent(&pair, buf_slice(&secret));
        buf_adds(out, "Authorization: Basic ");
        text_b64(out, buf_slice(&pair));
    }
    secret_wipe_buf(&secret);
    secret_wipe_buf(&pair);
    return ok && buf_ok(out);
}

static void exchange(struct waiting *w, struct slice code)
{
    struct app *a = w->o->a;
    char url[URL_SIZE];
    struct buf body = BUF_MAX(8192), auth = BUF_MAX(8192), verifier = BUF_MAX(64);
    put_verifier(&w->flow, &verifier);
    buf_adds(&body, "grant_type=authorization_code");
    put_param(&body, '&', "code", code);
    put_redirect_uri(a, &body);
    put_param(&body, '&', "code_verifier", buf_slice(&verifier));
    if (!endpoint(w->o, "token_endpoint", url)) {
        fail(w, 502, "The provider's discovery document has no token_endpoint", "Ask its operator");
    } else if (!basic_header(a, &auth)) {
        fail(w, 500, "The client secret cannot be read", "Check oidc.clientSecretFile");
    } else {
        const char *headers[] = {"Content-Type: application/x-www-form-urlencoded",
                                 "Accept: application/json", buf_cstr(&auth), NULL};
        struct fetch_opts o = {.method = "POST",
                               .url = url,
                               .headers = headers,
                               .body = buf_slice(&body),
                               .timeout_ns = SECONDS(10),
                               .max = DOCUMENT_MAX};
        w->fetch = fetch_start(w->o->f, &o, on_token, w);
    }
    secret_wipe_buf(&body);
    secret_wipe_buf(&auth);
    secret_wipe_buf(&verifier);
}

static bool state_is(struct http_rq *rq, const struct flow *f)
{
    struct buf text = BUF_MAX(64);
    text_b64url(&text, slice_of(f->state, sizeof f->state));
    bool same = secret_eq(http_rq_query(rq, "state"), buf_slice(&text));
    buf_deinit(&text);
    return same;
}

void oidc_callback(void *app, struct http_rq *rq)
{
    struct app *a = app;
    if (!configured(a, rq)) {
        return;
    }
    struct flow *f = flow_find(a->flows, rq);
    struct slice code = http_rq_query(rq, "code");
    struct waiting *w = wait_for(a->oidc, rq, judge);
    if (!f || f->kind != FLOW_OIDC || !state_is(rq, f)) {
        fail(w, 400, "This sign-in was not started here, or took too long", "Start it again");
        return;
    }
    w->flow = *f;
    f->kind = FLOW_RETURN; /* used up */
    if (!code.n || !fresh(a->oidc)) {
        fail(w, 403,
             slice_eq(http_rq_query(rq, "error"), S("access_denied"))
                 ? "The provider says that you did not agree"
                 : "The provider refused the sign-in",
             "Start it again");
        return;
    }
    exchange(w, code);
}

/* ---- the object ---- */

struct oidc *oidc_new(struct app *a)
{
    if (!a->cfg.oidc_issuer[0]) {
        return NULL;
    }
    struct oidc *o = mem_new(sizeof *o);
    o->a = a;
    o->f = fetcher_new(a->lp, a->cfg.oidc_ca[0] ? a->cfg.oidc_ca : NULL, "OpenFunnel/" APP_VERSION);
    return o;
}

void oidc_free(struct oidc *o)
{
    if (o) {
        fetcher_free(o->f);
        js_free(o->config);
        js_free(o->keys);
        mem_free(o);
    }
}
