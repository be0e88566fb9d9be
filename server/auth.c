/*
 * Who asks. Before a handler runs, its row of the route table says which kind
 * of identity it needs; a request without it never reaches the handler.
 * Secrets are compared by their peppered hash, which the store looks up.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/data/crypto.h"
#include "server/app.h"

#define COOKIE "__Host-funnel"

enum {
    SESSION_IDLE_S = 12 * 3600,
    SESSION_MOST_S = 7 * 86400,
    TOUCH_S = 60,   /* last_used is written once a minute */
    TRIES_FREE = 5, /* console-api.md section 5: then doubling to 15 min */
    TRY_WAIT_MOST_S = 900,
    TRIES_KEPT = 10000,
    PASSWORD_MIN = 12,
    PASSWORD_MAX = 256,
    SETUP_TRIES = 10,
};

/* ---- bearers and sessions ---- */

static void free_identity(void *arg)
{
    secret_wipe(arg, sizeof(struct identity));
    mem_free(arg);
}

struct identity *auth_identity(struct http_rq *rq)
{
    return http_rq_user(rq);
}

/* "Bearer X", or X as the user name of Basic (as Tailscale's API takes it). */
static bool read_bearer(struct http_rq *rq, struct buf *out)
{
    struct slice h = http_rq_header(rq, "Authorization");
    if (slice_starts_nocase(h, S("Bearer "))) {
        buf_add(out, slice_trim(slice_skip(h, 7)));
        return buf_ok(out);
    }
    if (!slice_starts_nocase(h, S("Basic ")) || !text_unb64(slice_trim(slice_skip(h, 6)), out)) {
        return false;
    }
    ptrdiff_t colon = slice_find(buf_slice(out), ':');
    if (colon >= 0) {
        buf_truncate(out, (size_t)colon);
    }
    return out->len > 0;
}

static void refuse(struct http_rq *rq, const char *code, const char *message, const char *fix)
{
    http_rq_add_header(rq, "WWW-Authenticate", "Bearer");
    reply_problem(rq, &(struct problem){401, code, message, fix});
}

static bool hash_bearer(struct app *a, struct http_rq *rq, uint8_t out[STORE_HASH_SIZE])
{
    struct buf token = BUF_MAX(256);
    bool ok = read_bearer(rq, &token);
    if (ok) {
        secrets_hash(&a->secrets, buf_slice(&token), out);
    }
    secret_wipe_buf(&token);
    return ok;
}

static bool key_good(const struct store_key *k, enum store_key_kind kind)
{
    return k->kind == kind && !k->revoked && k->expires.s > wall_now().s;
}

static bool find_api(struct app *a, struct slice hash, struct identity *id)
{
    struct store_key k;
    return store_key(a->db, hash, &k) == 0 && key_good(&k, STORE_KEY_API) && k.user_id &&
           store_user_by_id(a->db, k.user_id, &id->user) == 0 && !id->user.suspended;
}

static void need_bearer(struct app *a, struct http_rq *rq, unsigned kind)
{
    uint8_t hash[STORE_HASH_SIZE];
    struct identity *id = mem_new(sizeof *id);
    struct slice h = slice_of(hash, sizeof hash);
    bool ok = hash_bearer(a, rq, hash);
    if (ok && kind == ROUTE_API) {
        ok = find_api(a, h, id);
    } else if (ok && kind == ROUTE_NODE) {
        ok = store_node_by_token(a->db, h, &id->node) == 0;
    } else if (ok) {
        ok = store_relay_by_token(a->db, h, &id->relay) == 0;
    }
    if (ok) {
        http_rq_set_user(rq, id, free_identity);
    } else {
        free_identity(id);
        refuse(rq, "auth.required", "the key or token is missing, wrong, expired or revoked",
               "send it as: Authorization: Bearer …");
    }
}

static void csrf_of(struct app *a, struct slice token, char out[65])
{
    uint8_t mac[32];
    struct buf text = BUF_MAX(256), hex = BUF_MAX(64);
    buf_adds(&text, "csrf:");
    buf_add(&text, token);
    secrets_hash(&a->secrets, buf_slice(&text), mac);
    text_hex(&hex, slice_of(mac, sizeof mac));
    snprintf(out, 65, "%s", buf_cstr(&hex));
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
    char cookie[128];
    struct slice path = http_rq_path(rq);
    if (slice_starts(path, S("/f/")) && path.n < 64) {
        snprintf(cookie, sizeof cookie,
                 "__Host-next=" SLICE_FMT "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600",
                 SLICE_ARG(path));
        http_rq_add_header(rq, "Set-Cookie", cookie);
    }
    http_rq_redirect(rq, "/login");
}

static void need_session(struct app *a, struct http_rq *rq, unsigned kind)
{
    struct identity *id = mem_new(sizeof *id);
    if (!find_session(a, rq, id)) {
        free_identity(id);
        to_login(rq);
        return;
    }
    http_rq_set_user(rq, id, free_identity);
    if (kind == ROUTE_FORM &&
        (!auth_same_origin(a, rq) || !secret_eq(http_rq_form(rq, "csrf"), slice_str(id->csrf)))) {
        page_message(rq, 403, "This form is not ours or too old",
                     "Go back, load the page again and repeat.", "/");
    }
}

void auth_before(void *app, struct http_rq *rq)
{
    struct app *a = app;
    unsigned flags = http_rq_route(rq)->flags;
    if (flags & (ROUTE_API | ROUTE_NODE | ROUTE_RELAY)) {
        need_bearer(a, rq, flags & (ROUTE_API | ROUTE_NODE | ROUTE_RELAY));
    } else if (flags & (ROUTE_PAGE | ROUTE_FORM)) {
        need_session(a, rq, flags & (ROUTE_PAGE | ROUTE_FORM));
    }
}

bool auth_may_edit_policy(const struct identity *id)
{
    return strcmp(id->user.role, "owner") == 0 || strcmp(id->user.role, "admin") == 0 ||
           strcmp(id->user.role, "network-admin") == 0;
}

/* ---- attempts ---- */

struct tries {
    unsigned count;
    struct mono until;
};

static void try_key(struct http_rq *rq, struct slice login, char out[400])
{
    char ip[ADDR_TEXT_SIZE];
    addr_format_ip(http_rq_peer(rq), ip);
    snprintf(out, 400, "%s %.250s", ip, login.n ? login.p : "");
}

static bool must_wait(struct app *a, const char *key)
{
    struct tries *t = map_get(a->tries, slice_str(key));
    return t && !mono_reached(mono_now(), t->until);
}

static void count_failure(struct app *a, const char *key)
{
    struct tries *t = map_get(a->tries, slice_str(key));
    if (!t) {
        if (map_count(a->tries) >= TRIES_KEPT) {
            auth_minute(a);
        }
        t = mem_new(sizeof *t);
        map_set(a->tries, slice_str(key), t);
    }
    t->count++;
    if (t->count >= TRIES_FREE) {
        unsigned doublings = t->count - TRIES_FREE < 9 ? t->count - TRIES_FREE : 9;
        int64_t wait = 2 << doublings;
        t->until = mono_after(mono_now(), SECONDS(wait < TRY_WAIT_MOST_S ? wait : TRY_WAIT_MOST_S));
    }
}

static void forgive(struct app *a, const char *key)
{
    mem_free(map_del(a->tries, slice_str(key)));
}

/* Old entries go all at once: the table is small and the waits are short. */
void auth_minute(struct app *a)
{
    struct map *kept = map_new();
    struct map_iter it = {0};
    struct slice key;
    void *value;
    while (map_next(a->tries, &it, &key, &value)) {
        struct tries *t = value;
        if (mono_reached(mono_now(), mono_after(t->until, SECONDS(TRY_WAIT_MOST_S)))) {
            mem_free(t);
        } else {
            map_set(kept, key, t);
        }
    }
    map_free(a->tries);
    a->tries = kept;
}

/* ---- login ---- */

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
    snprintf(cookie, sizeof cookie, COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Lax", token);
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

/* Work in the pool; the request waits. */
struct password_job {
    struct app *app;
    struct http_rq *rq; /* NULL when the browser has left */
    char password[PASSWORD_MAX + 1];
    struct buf encoded;
    struct store_user user;
    int64_t setup_id;
    bool known, ok;
    char key[400];
};

static void free_job(struct password_job *j)
{
    secret_wipe(j->password, sizeof j->password);
    secret_wipe_buf(&j->encoded);
    mem_free(j);
}

static void browser_left(void *arg)
{
    ((struct password_job *)arg)->rq = NULL;
}

static void verify_work(void *arg)
{
    struct password_job *j = arg;
    /* An unknown user costs the same time: a hash of nothing is verified. */
    static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$"
                                 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    bool match = crypto_password_verify(slice_str(j->password),
                                        j->known ? buf_slice(&j->encoded) : slice_str(nobody));
    j->ok = match && j->known;
}

static bool safe_next(struct slice path)
{
    return slice_starts(path, S("/f/")) && path.n < 64 && text_label(slice_skip(path, 3));
}

static void verify_done(void *arg)
{
    struct password_job *j = arg;
    struct app *a = j->app;
    char next[64] = "/";
    if (j->ok) {
        forgive(a, j->key);
    } else {
        count_failure(a, j->key);
    }
    if (j->rq && j->ok) {
        struct slice wanted = http_rq_cookie(j->rq, "__Host-next");
        if (!safe_next(wanted) || !slice_copy(wanted, next, sizeof next)) {
            snprintf(next, sizeof next, "/");
        }
        auth_login(a, j->rq, &j->user, next);
    } else if (j->rq) {
        log_warn("login.failed");
        page_login_form(j->rq, 401, "This login and password do not belong together.");
    }
    free_job(j);
}

static void run_job(struct app *a, struct password_job *j, loop_fn work, loop_fn done)
{
    http_rq_on_abort(j->rq, browser_left, j);
    if (pool_run(a->pool, work, done, j) < 0) {
        page_message(j->rq, 503, "Too busy", "Try again in a moment.", "/login");
        free_job(j);
    }
}

static struct password_job *new_job(struct app *a, struct http_rq *rq)
{
    struct password_job *j = mem_new(sizeof *j);
    j->app = a;
    j->rq = rq;
    buf_init(&j->encoded, 256);
    return j;
}

void auth_try_password(struct app *a, struct http_rq *rq)
{
    struct password_job *j = new_job(a, rq);
    char login[STORE_NAME_SIZE];
    if (!slice_copy(slice_trim(http_rq_form(rq, "login")), login, sizeof login)) {
        login[0] = '\0';
    }
    try_key(rq, slice_str(login), j->key);
    if (must_wait(a, j->key)) {
        page_login_form(rq, 429, "Too many attempts. Wait a little and try again.");
        free_job(j);
        return;
    }
    if (!slice_copy(http_rq_form(rq, "password"), j->password, sizeof j->password)) {
        j->password[0] = '\0';
    }
    j->known = store_user_by_login(a->db, slice_str(login), &j->user) == 0 && !j->user.suspended &&
               store_password(a->db, j->user.id, &j->encoded) == 0;
    run_job(a, j, verify_work, verify_done);
}

/* ---- setup ---- */

static void hash_work(void *arg)
{
    struct password_job *j = arg;
    j->ok = crypto_password_hash(slice_str(j->password), &j->encoded) == 0;
}

static int finish_setup(struct app *a, struct password_job *j)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_setup_used(a->db, j->setup_id) : -EIO;
    rc = rc ? rc : store_password_set(a->db, j->user.id, buf_slice(&j->encoded));
    rc = rc ? rc
            : store_audit(a->db, &(struct store_audit){a->tailnet.id, j->user.login, "USER.SETUP",
                                                       j->user.login, "", ""});
    return rc ? rc : db_commit(&tx);
}

static void hash_done(void *arg)
{
    struct password_job *j = arg;
    int rc = j->ok ? finish_setup(j->app, j) : -ENOMEM;
    if (j->rq && rc == 0) {
        auth_login(j->app, j->rq, &j->user, "/");
    } else if (j->rq && rc == STORE_NONE) {
        page_setup_form(
            j->rq, 410,
            "This code has been used already. Make a new one: funnel-control setup-link");
    } else if (j->rq) {
        reply_broken(j->rq, rc);
    }
    free_job(j);
}

static bool setup_good(struct app *a, struct slice code, struct password_job *j)
{
    uint8_t hash[STORE_HASH_SIZE];
    struct store_setup s;
    secrets_hash(&a->secrets, code, hash);
    if (store_setup(a->db, slice_of(hash, sizeof hash), &s) || s.used || s.tries > SETUP_TRIES ||
        s.expires.s <= wall_now().s || store_user_by_id(a->db, s.user_id, &j->user)) {
        return false;
    }
    j->setup_id = s.id;
    return true;
}

void auth_set_password(struct app *a, struct http_rq *rq)
{
    struct password_job *j = new_job(a, rq);
    char code[64];
    try_key(rq, S("setup"), j->key);
    if (!slice_copy(slice_trim(http_rq_form(rq, "code")), code, sizeof code)) {
        code[0] = '\0';
    }
    struct slice password = http_rq_form(rq, "password");
    const char *complaint = NULL;
    int status = 400;
    if (must_wait(a, j->key)) {
        complaint = "Too many attempts. Wait a little and try again.";
        status = 429;
    } else if (!setup_good(a, slice_str(code), j)) {
        count_failure(a, j->key);
        complaint =
            "This code is wrong, used or older than an hour. Make a new one: funnel-control setup-link";
        status = 403;
    } else if (password.n < PASSWORD_MIN ||
               !slice_copy(password, j->password, sizeof j->password)) {
        complaint = "The password needs 12 to 256 characters.";
    }
    secret_wipe(code, sizeof code);
    if (complaint) {
        page_setup_form(rq, status, complaint);
        free_job(j);
        return;
    }
    run_job(a, j, hash_work, hash_done);
}
