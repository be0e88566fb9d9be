/*
 * Passwords: Argon2id in the pool while the request waits, an answer that takes as long for an
 * unknown login as for a known one, tries that are counted (tries.h), and the one-time setup code.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "server/api_users.h"
#include "server/password_rules.h"
#include "server/signin.h"

enum {
    PASSWORD_MAX = 256,
    SETUP_TRIES = 10,
};

/* ---- work in the pool; the request waits ---- */

struct password_job {
    struct app *app;
    struct http_rq *rq; /* NULL when the browser has left */
    char password[PASSWORD_MAX + 1];
    struct buf encoded;
    struct store_user user;
    int64_t setup_id, session; /* session: whose presence is proved anew; 0: signing in */
    bool known, ok;
    struct addr from;
    char account[STORE_NAME_SIZE]; /* whose tries are counted */
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
    j->from = *http_rq_peer(rq);
    buf_init(&j->encoded, 256);
    return j;
}

/* ---- tries ---- */

bool signin_must_wait(struct app *a, struct http_rq *rq, struct slice account, char out[80])
{
    int seconds = 0;
    if (tries_ask(a->tries, http_rq_peer(rq), account, mono_now(), &seconds) == TRIES_GO) {
        return false;
    }
    text_fit(out, 80, "Too many attempts. Wait %d seconds and try again.", seconds);
    return true;
}

void signin_failed(struct app *a, const struct addr *from, struct slice account)
{
    unsigned n = tries_failed(a->tries, from, account, mono_now());
    if (n == TRIES_ALARM) {
        log_warn("login.guessing", F_I64("failures", n));
    }
}

/* ---- signing in, and proving presence anew ---- */

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

static void verify_done(void *arg)
{
    struct password_job *j = arg;
    struct app *a = j->app;
    if (j->ok) {
        tries_succeeded(a->tries, &j->from, slice_str(j->account));
    } else {
        log_warn("login.failed");
        signin_failed(a, &j->from, slice_str(j->account));
    }
    if (j->rq && j->ok) {
        signin_passed(a, j->rq, &j->user, j->session);
    } else if (j->rq && j->session) {
        page_verify_form(a, j->rq, 401, "This is not your password.");
    } else if (j->rq) {
        page_login_form(a, j->rq, 401, "This login and password do not belong together.");
    }
    free_job(j);
}

static void start_verify(struct app *a, struct password_job *j)
{
    if (!slice_copy(http_rq_form(j->rq, "password"), j->password, sizeof j->password)) {
        j->password[0] = '\0';
    }
    j->known = j->user.id && signin_allowed(&j->user) &&
               store_password(a->db, j->user.id, &j->encoded) == 0;
    run_job(a, j, verify_work, verify_done);
}

void auth_try_password(struct app *a, struct http_rq *rq)
{
    struct password_job *j = new_job(a, rq);
    char wait[80];
    if (!slice_copy(slice_trim(http_rq_form(rq, "login")), j->account, sizeof j->account)) {
        j->account[0] = '\0';
    }
    if (signin_must_wait(a, rq, slice_str(j->account), wait)) {
        page_login_form(a, rq, 429, wait);
        free_job(j);
        return;
    }
    if (store_user_by_login(a->db, slice_str(j->account), &j->user)) {
        j->user = (struct store_user){.id = 0};
    }
    start_verify(a, j);
}

void auth_verify_password(struct app *a, struct http_rq *rq)
{
    const struct identity *id = auth_identity(rq);
    struct password_job *j = new_job(a, rq);
    char wait[80];
    j->user = id->user;
    j->session = id->session;
    text_fit(j->account, sizeof j->account, "%s", id->user.login);
    if (signin_must_wait(a, rq, slice_str(j->account), wait)) {
        page_verify_form(a, rq, 429, wait);
        free_job(j);
        return;
    }
    start_verify(a, j);
}

/* ---- setting one: by a one-time link, or one's own ---- */

static void hash_work(void *arg)
{
    struct password_job *j = arg;
    j->ok = crypto_password_hash(slice_str(j->password), &j->encoded) == 0;
}

static int finish_setup(struct app *a, struct password_job *j, char codes[8][20])
{
    bool first = store_recovery_left(a->db, j->user.id) == 0;
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? 0 : -EIO;
    rc = rc ? rc : j->setup_id ? store_setup_used(a->db, j->setup_id) : 0;
    rc = rc ? rc : store_password_set(a->db, j->user.id, buf_slice(&j->encoded));
    rc = rc ? rc : first ? factors_new_recovery(a, j->user.id, codes) : 0;
    /* Whoever was signed in by the old one is not any more. */
    rc = rc ? rc : store_sessions_end(a->db, j->user.id, j->session);
    rc = rc ? rc
            : audit_own(a, &j->from, &j->user, j->setup_id ? "USER.SETUP" : "USER.PASSWORD", S(""));
    return rc ? rc : db_commit(&tx);
}

static void hash_done(void *arg)
{
    struct password_job *j = arg;
    char codes[8][20] = {{0}}, next[FLOW_NEXT_SIZE];
    int rc = j->ok ? finish_setup(j->app, j, codes) : -ENOMEM;
    if (!rc && j->rq && !j->session) {
        rc = auth_open_session(j->app, j->rq, &j->user, "setup", next);
    }
    if (j->rq && rc == 0 && codes[0][0]) {
        page_recovery_codes(j->app, j->rq, &j->user, (const char(*)[20])codes);
    } else if (j->rq && rc == 0) {
        http_rq_redirect(j->rq, j->session ? "/account" : next);
    } else if (j->rq && rc == STORE_NONE) {
        page_setup_form(
            j->rq, 410,
            "This code has been used already. Make a new one: funnel-control setup-link");
    } else if (j->rq) {
        reply_broken(j->rq, rc);
    }
    secret_wipe(codes, sizeof codes);
    free_job(j);
}

bool signin_setup_code(
    struct app *a, struct http_rq *rq, struct slice code, struct store_user *out, int64_t *out_id)
{
    uint8_t bytes[STORE_HASH_SIZE];
    struct store_setup s;
    secrets_hash(&a->secrets, slice_trim(code), bytes);
    struct slice hash = slice_of(bytes, sizeof bytes);
    int rc = store_setup(a->db, hash, &s);
    rc = rc == STORE_NONE ? invite_accept(a, rq, hash) : rc;
    if (rc || store_setup(a->db, hash, &s) || s.used || s.tries > SETUP_TRIES ||
        s.expires.s <= wall_now().s || store_user_by_id(a->db, s.user_id, out)) {
        return false;
    }
    *out_id = s.id;
    return true;
}

void auth_set_password(struct app *a, struct http_rq *rq)
{
    struct password_job *j = new_job(a, rq);
    char wait[80];
    const char *complaint = NULL;
    int status = 400;
    text_fit(j->account, sizeof j->account, "setup");
    if (signin_must_wait(a, rq, slice_str(j->account), wait)) {
        complaint = wait;
        status = 429;
    } else if (!signin_setup_code(a, rq, http_rq_form(rq, "code"), &j->user, &j->setup_id)) {
        signin_failed(a, &j->from, slice_str(j->account));
        complaint =
            "This code is wrong, used or older than an hour. Make a new one: funnel-control setup-link";
        status = 403;
    } else {
        struct slice password = http_rq_form(rq, "password");
        complaint = password_fault(password, j->user.login);
        complaint = complaint ? complaint
                    : slice_copy(password, j->password, sizeof j->password)
                        ? NULL
                        : "The password needs 12 to 256 characters.";
    }
    if (complaint) {
        page_setup_form(rq, status, complaint);
        free_job(j);
        return;
    }
    run_job(a, j, hash_work, hash_done);
}

void auth_change_password(struct app *a, struct http_rq *rq)
{
    const struct identity *id = auth_identity(rq);
    struct slice password = http_rq_form(rq, "password");
    const char *fault = password_fault(password, id->user.login);
    if (fault) {
        page_account_notice(a, rq, 400, fault);
        return;
    }
    struct password_job *j = new_job(a, rq);
    j->user = id->user;
    j->session = id->session;
    if (!slice_copy(password, j->password, sizeof j->password)) {
        page_account_notice(a, rq, 400, "The password holds a character that cannot be typed.");
        free_job(j);
        return;
    }
    run_job(a, j, hash_work, hash_done);
}
