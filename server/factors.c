/* The second step: one-time codes, recovery codes, and what is true of everybody who signs in. */
#include <assert.h>
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "lib/data/seal.h"
#include "lib/http/html.h"
#include "server/signin.h"
#include "server/totp.h"

enum { CODE_TRIES = 5 /* then the password must be shown again */ };

bool signin_allowed(const struct store_user *u)
{
    return !u->suspended && u->approved;
}

void factors_seal_about(int64_t user, char out[40])
{
    text_fit(out, 40, "totp:%lld", (long long)user);
}

/* ---- the end of every way in ---- */

void signin_finish(struct app *a,
                   struct http_rq *rq,
                   const struct store_user *u,
                   const char *method,
                   int64_t session,
                   enum signin_reply how)
{
    char next[FLOW_NEXT_SIZE] = "/";
    int rc =
        session ? auth_step_up(a, rq, session, next) : auth_open_session(a, rq, u, method, next);
    if (rc) {
        reply_broken(rq, rc);
    } else if (how == SIGNIN_REDIRECT) {
        http_rq_redirect(rq, next);
    } else {
        AUTO(js_freep) struct js *j = js_object();
        js_set_cstr(j, "next", next);
        reply_json(rq, 200, j);
    }
}

void signin_passed(struct app *a, struct http_rq *rq, const struct store_user *u, int64_t session)
{
    struct store_totp t;
    struct buf sealed = BUF_MAX(128);
    int rc = store_totp(a->db, u->id, &t, &sealed);
    buf_deinit(&sealed);
    if (rc < 0) {
        reply_broken(rq, rc);
    } else if (rc == STORE_NONE || !t.confirmed) {
        signin_finish(a, rq, u, "password", session, SIGNIN_REDIRECT);
    } else {
        struct flow *f = flow_begin(a->flows, rq, FLOW_CODE);
        f->user = u->id;
        f->session = session;
        http_rq_redirect(rq, "/login/code");
    }
}

/* ---- codes ---- */

static bool take_totp(struct app *a, int64_t user, struct slice code)
{
    struct store_totp t;
    char about[40];
    int64_t step = 0;
    struct buf sealed = BUF_MAX(128), secret = BUF_MAX(128);
    factors_seal_about(user, about);
    bool ok =
        store_totp(a->db, user, &t, &sealed) == 0 && t.confirmed &&
        seal_open(a->secrets.seal, slice_str(about), buf_slice(&sealed), &secret) &&
        secret.len == TOTP_SECRET_SIZE &&
        totp_check((const uint8_t *)buf_slice(&secret).p, code, wall_now(), t.last_step, &step);
    secret_wipe_buf(&secret);
    buf_deinit(&sealed);
    if (!ok) {
        return false;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    return tx && store_totp_take(a->db, user, step) == 0 && db_commit(&tx) == 0;
}

static bool take_recovery(struct app *a, int64_t user, struct slice typed)
{
    char code[RECOVERY_CODE_SIZE];
    uint8_t hash[STORE_HASH_SIZE];
    if (!recovery_read(typed, code)) {
        return false;
    }
    secrets_hash(&a->secrets, slice_str(code), hash);
    secret_wipe(code, sizeof code);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    return tx && store_recovery_take(a->db, user, slice_of(hash, sizeof hash)) == 0 &&
           db_commit(&tx) == 0;
}

void page_code(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct flow *f = flow_find(a->flows, rq);
    if (!f || f->kind != FLOW_CODE) {
        http_rq_redirect(rq, "/login");
    } else {
        page_code_form(rq, 200, NULL);
    }
}

void page_code_post(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct flow *f = flow_find(a->flows, rq);
    struct store_user u;
    char wait[80];
    if (!page_from_us(a, rq)) {
        return;
    }
    if (!f || f->kind != FLOW_CODE || f->tries >= CODE_TRIES ||
        store_user_by_id(a->db, f->user, &u) || !signin_allowed(&u)) {
        flow_end(a->flows, rq);
        http_rq_redirect(rq, "/login");
        return;
    }
    if (signin_must_wait(a, rq, slice_str(u.login), wait)) {
        page_code_form(rq, 429, wait);
        return;
    }
    struct slice code = http_rq_form(rq, "otp");
    bool totp = take_totp(a, u.id, code);
    if (totp || take_recovery(a, u.id, code)) {
        tries_succeeded(a->tries, http_rq_peer(rq), slice_str(u.login));
        signin_finish(a, rq, &u, totp ? "password" : "recovery", f->session, SIGNIN_REDIRECT);
        return;
    }
    f->tries++;
    signin_failed(a, http_rq_peer(rq), slice_str(u.login));
    page_code_form(rq, 401, "This code is wrong, old or used.");
}

/* ---- recovery codes ---- */

int factors_new_recovery(struct app *a, int64_t user, char out_codes[8][20])
{
    static_assert(RECOVERY_CODES == 8 && RECOVERY_CODE_SIZE == 20, "as signin.h has them");
    uint8_t hashes[RECOVERY_CODES][STORE_HASH_SIZE];
    struct slice at[RECOVERY_CODES];
    for (size_t i = 0; i < RECOVERY_CODES; i++) {
        recovery_code(out_codes[i]);
        secrets_hash(&a->secrets, slice_str(out_codes[i]), hashes[i]);
        at[i] = slice_of(hashes[i], STORE_HASH_SIZE);
    }
    return store_recovery_set(a->db, user, at, RECOVERY_CODES);
}
