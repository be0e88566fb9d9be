/*
 * Passwords: Argon2id in the pool while the request waits, an answer that takes as long for an
 * unknown login as for a known one, tries that are counted (tries.h), and the one-time setup code.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "server/app.h"

enum {
    PASSWORD_MIN = 12,
    PASSWORD_MAX = 256,
    SETUP_TRIES = 10,
};

/* Work in the pool; the request waits. */
struct password_job {
    struct app *app;
    struct http_rq *rq; /* NULL when the browser has left */
    char password[PASSWORD_MAX + 1];
    struct buf encoded;
    struct store_user user;
    int64_t setup_id;
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

/* Seconds until the next try, as a sentence; false when there is no need to wait. */
static bool must_wait(struct app *a, const struct password_job *j, char out[80])
{
    int seconds = 0;
    if (tries_ask(a->tries, &j->from, slice_str(j->account), mono_now(), &seconds) == TRIES_GO) {
        return false;
    }
    text_fit(out, 80, "Too many attempts. Wait %d seconds and try again.", seconds);
    return true;
}

static void failed(struct app *a, const struct password_job *j)
{
    unsigned n = tries_failed(a->tries, &j->from, slice_str(j->account), mono_now());
    if (n == TRIES_ALARM) {
        log_warn("login.guessing", F_I64("failures", n));
    }
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
        tries_succeeded(a->tries, &j->from, slice_str(j->account));
    } else {
        failed(a, j);
    }
    if (j->rq && j->ok) {
        struct slice wanted = http_rq_cookie(j->rq, "__Host-next");
        if (!safe_next(wanted) || !slice_copy(wanted, next, sizeof next)) {
            text_fit(next, sizeof next, "/");
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
    j->from = *http_rq_peer(rq);
    buf_init(&j->encoded, 256);
    return j;
}

void auth_try_password(struct app *a, struct http_rq *rq)
{
    struct password_job *j = new_job(a, rq);
    struct slice login = slice_trim(http_rq_form(rq, "login"));
    char wait[80];
    if (!slice_copy(login, j->account, sizeof j->account)) {
        j->account[0] = '\0';
    }
    if (must_wait(a, j, wait)) {
        page_login_form(rq, 429, wait);
        free_job(j);
        return;
    }
    if (!slice_copy(http_rq_form(rq, "password"), j->password, sizeof j->password)) {
        j->password[0] = '\0';
    }
    j->known = store_user_by_login(a->db, slice_str(j->account), &j->user) == 0 &&
               !j->user.suspended && store_password(a->db, j->user.id, &j->encoded) == 0;
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
    char code[64], wait[80];
    text_fit(j->account, sizeof j->account, "setup");
    if (!slice_copy(slice_trim(http_rq_form(rq, "code")), code, sizeof code)) {
        code[0] = '\0';
    }
    struct slice password = http_rq_form(rq, "password");
    const char *complaint = NULL;
    int status = 400;
    if (must_wait(a, j, wait)) {
        complaint = wait;
        status = 429;
    } else if (!setup_good(a, slice_str(code), j)) {
        failed(a, j);
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
