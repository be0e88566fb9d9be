/*
 * Passkeys over the network: a challenge that lives in the browser's flow, and the answer, judged
 * by webauthn.c. JSON in and out; the scripts of our own pages call it.
 */
#include <assert.h>
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "server/signin.h"
#include "server/webauthn.h"

static_assert(FLOW_CHALLENGE_SIZE == WEBAUTHN_CHALLENGE_SIZE, "a flow keeps a challenge");

void passkey_challenge(struct flow *f)
{
    secret_random(f->challenge, sizeof f->challenge);
}

/* The host name of our origin: what passkeys are bound to. */
static void rp_id(const struct app *a, char out[TEXT_NAME_SIZE])
{
    struct slice host = slice_str(a->cfg.origin);
    ptrdiff_t scheme = slice_find(host, ':');
    host = slice_skip(host, (size_t)scheme + 3);
    ptrdiff_t port = slice_find(host, ':');
    slice_copy(slice_sub(host, 0, port < 0 ? host.n : (size_t)port), out, TEXT_NAME_SIZE);
}

static void refuse(struct http_rq *rq, const char *message)
{
    reply_problem(rq, &(struct problem){400, "passkey.refused", message, "try again"});
}

static void put_challenge(const struct app *a, const struct flow *f, struct js *j)
{
    char id[TEXT_NAME_SIZE];
    struct buf text = BUF_MAX(64);
    rp_id(a, id);
    text_b64url(&text, slice_of(f->challenge, sizeof f->challenge));
    js_set_str(j, "challenge", buf_slice(&text));
    js_set_cstr(j, "rpId", id);
    buf_deinit(&text);
}

static void push_credential(void *arg, const struct store_passkey *p, struct slice credential)
{
    struct buf text = BUF_MAX(2048);
    (void)p;
    text_b64url(&text, credential);
    js_push_str(arg, buf_slice(&text));
    buf_deinit(&text);
}

/* ---- signing in ---- */

/* For a person who is signed in already: only their own passkeys, and presence is proved anew. */
static void start(struct app *a, struct http_rq *rq, const struct identity *id)
{
    AUTO(js_freep) struct js *j = js_object();
    struct js *allow = js_array();
    int rc = 0;
    struct flow *f = flow_begin(a->flows, rq, FLOW_SIGN_IN);
    passkey_challenge(f);
    put_challenge(a, f, j);
    if (id) {
        f->user = id->user.id;
        f->session = id->session;
        rc = store_passkeys_each(a->db, id->user.id, push_credential, allow);
    }
    js_set(j, "allow", allow);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_json(rq, 200, j);
    }
}

void passkey_start(void *app, struct http_rq *rq)
{
    if (page_from_us(app, rq)) {
        start(app, rq, NULL);
    }
}

void passkey_verify_start(void *app, struct http_rq *rq)
{
    start(app, rq, auth_identity(rq));
}

struct sent {
    struct buf id, client_data, auth_data, signature;
};

static void sent_free(struct sent *s)
{
    buf_deinit(&s->id);
    buf_deinit(&s->client_data);
    buf_deinit(&s->auth_data);
    buf_deinit(&s->signature);
}

static bool member(const struct js *j, const char *name, struct buf *out)
{
    return text_unb64url(js_get_str(j, name), out) && out->len > 0;
}

static const struct js_field answer_fields[] = {{"id", JS_STR, true, 2048},
                                                {"clientData", JS_STR, true, 8192},
                                                {"authData", JS_STR, true, 8192},
                                                {"signature", JS_STR, true, 2048}};

static bool read_answer(const struct js *j, struct sent *out)
{
    return member(j, "id", &out->id) && member(j, "clientData", &out->client_data) &&
           member(j, "authData", &out->auth_data) && member(j, "signature", &out->signature);
}

static bool load_credential(struct app *a,
                            struct slice id,
                            struct store_passkey *row,
                            struct webauthn_credential *out)
{
    struct buf key = BUF_MAX(WEBAUTHN_KEY_MAX);
    bool ok = id.n <= WEBAUTHN_ID_MAX && store_passkey(a->db, id, row, &key) == 0;
    if (ok) {
        memcpy(out->id, id.p, id.n);
        out->id_len = id.n;
        memcpy(out->key, buf_slice(&key).p, key.len);
        out->key_len = key.len;
        out->sign_count = (uint32_t)row->sign_count;
        out->algorithm = row->algorithm == WEBAUTHN_ES256   ? WEBAUTHN_ES256
                         : row->algorithm == WEBAUTHN_EDDSA ? WEBAUTHN_EDDSA
                                                            : WEBAUTHN_RS256;
    }
    buf_deinit(&key);
    return ok;
}

static int note_use(struct app *a, int64_t passkey, uint32_t count)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_passkey_used(a->db, passkey, count) : -EIO;
    return rc ? rc : db_commit(&tx);
}

/* The flow is used up whatever the answer is: a challenge is good for one try. */
static bool
judge(struct app *a, const struct flow *f, const struct sent *s, struct store_user *out_user)
{
    char id[TEXT_NAME_SIZE];
    const char *why = "this passkey is not known";
    uint32_t count = 0;
    struct store_passkey row;
    struct webauthn_credential c = {.id_len = 0};
    struct webauthn_answer answer = {buf_slice(&s->client_data), buf_slice(&s->auth_data),
                                     buf_slice(&s->signature)};
    rp_id(a, id);
    struct webauthn_site site = {id, a->cfg.origin, slice_of(f->challenge, sizeof f->challenge)};
    bool ok = load_credential(a, buf_slice(&s->id), &row, &c) &&
              (!f->user || f->user == row.user_id) &&
              webauthn_verify(&site, &c, &answer, &count, &why) == 0 &&
              store_user_by_id(a->db, row.user_id, out_user) == 0 && signin_allowed(out_user) &&
              note_use(a, row.id, count) == 0;
    if (!ok) {
        log_warn("passkey.refused", F_STR("why", why));
    }
    return ok;
}

static void answer(struct app *a, struct http_rq *rq, int64_t session)
{
    char wait[80];
    struct store_user u;
    struct flow *f = flow_find(a->flows, rq);
    AUTO(js_freep)
    struct js *j = reply_body(rq, answer_fields, ARRAY_LEN(answer_fields));
    struct sent s = {BUF_MAX(2048), BUF_MAX(8192), BUF_MAX(8192), BUF_MAX(2048)};
    if (!j) {
        return;
    }
    if (signin_must_wait(a, rq, S("passkey"), wait)) {
        reply_problem(rq, &(struct problem){429, "auth.wait", wait, "wait, then try again"});
    } else if (!f || f->kind != FLOW_SIGN_IN || f->session != session || !read_answer(j, &s)) {
        refuse(rq, "This sign-in is too old. Start again.");
    } else if (!judge(a, f, &s, &u)) {
        signin_failed(a, http_rq_peer(rq), S("passkey"));
        f->kind = FLOW_RETURN;
        refuse(rq, "This passkey was not accepted.");
    } else {
        tries_succeeded(a->tries, http_rq_peer(rq), S("passkey"));
        signin_finish(a, rq, &u, "passkey", session, SIGNIN_JSON);
    }
    sent_free(&s);
}

void passkey_answer(void *app, struct http_rq *rq)
{
    if (page_from_us(app, rq)) {
        answer(app, rq, 0);
    }
}

void passkey_verify(void *app, struct http_rq *rq)
{
    answer(app, rq, auth_identity(rq)->session);
}

/* ---- a new passkey: one's own, or by a one-time link ---- */

static void
start_enrol(struct app *a, struct http_rq *rq, const struct store_user *u, int64_t setup)
{
    AUTO(js_freep) struct js *j = js_object();
    struct js *user = js_object(), *exclude = js_array();
    struct buf handle = BUF_MAX(64);
    struct flow *f = flow_begin(a->flows, rq, FLOW_ENROL);
    f->user = u->id;
    f->setup = setup;
    passkey_challenge(f);
    put_challenge(a, f, j);
    text_b64url(&handle, slice_str(u->stable_id));
    js_set_str(user, "id", buf_slice(&handle));
    js_set_cstr(user, "name", u->login);
    js_set_cstr(user, "displayName", u->login);
    js_set(j, "user", user);
    int rc = store_passkeys_each(a->db, u->id, push_credential, exclude);
    js_set(j, "exclude", exclude);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_json(rq, 200, j);
    }
    buf_deinit(&handle);
}

void passkey_enrol_start(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    if (!auth_is_fresh(id)) {
        reply_problem(rq, &(struct problem){403, "auth.step_up", "Show first that it is you.",
                                            "open /verify, then come back"});
        return;
    }
    start_enrol(a, rq, &id->user, 0);
}

static const struct js_field code_fields[] = {{"code", JS_STR, true, 64},
                                              {"name", JS_STR, false, 64}};

void passkey_setup_start(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_user u;
    int64_t setup = 0;
    char wait[80];
    if (!page_from_us(a, rq)) {
        return;
    }
    AUTO(js_freep) struct js *j = reply_body(rq, code_fields, ARRAY_LEN(code_fields));
    if (!j) {
        return;
    }
    if (signin_must_wait(a, rq, S("setup"), wait)) {
        reply_problem(rq, &(struct problem){429, "auth.wait", wait, "wait, then try again"});
    } else if (!signin_setup_code(a, rq, js_get_str(j, "code"), &u, &setup)) {
        signin_failed(a, http_rq_peer(rq), S("setup"));
        refuse(rq, "This code is wrong, used or older than an hour.");
    } else {
        start_enrol(a, rq, &u, setup);
    }
}

static const struct js_field enrol_fields[] = {{"clientData", JS_STR, true, 8192},
                                               {"attestation", JS_STR, true, 16384},
                                               {"name", JS_STR, false, 64}};

static bool
judge_new(struct app *a, const struct flow *f, const struct js *j, struct webauthn_credential *out)
{
    char id[TEXT_NAME_SIZE];
    const char *why = "the answer is incomplete";
    struct buf client = BUF_MAX(8192), attestation = BUF_MAX(16384);
    rp_id(a, id);
    struct webauthn_site site = {id, a->cfg.origin, slice_of(f->challenge, sizeof f->challenge)};
    bool ok = member(j, "clientData", &client) && member(j, "attestation", &attestation) &&
              webauthn_register(&site, buf_slice(&client), buf_slice(&attestation), out, &why) == 0;
    if (!ok) {
        log_warn("passkey.refused", F_STR("why", why));
    }
    buf_deinit(&client);
    buf_deinit(&attestation);
    return ok;
}

static int keep_new(struct app *a,
                    const struct addr *from,
                    const struct flow *f,
                    const struct webauthn_credential *c,
                    struct slice name,
                    char codes[8][20])
{
    struct store_user u;
    struct store_passkey_new row = {.user = f->user,
                                    .credential = slice_of(c->id, c->id_len),
                                    .public_key = slice_of(c->key, c->key_len),
                                    .name =
                                        name.n && text_printable(name, 63) ? name : S("Passkey"),
                                    .algorithm = c->algorithm,
                                    .sign_count = c->sign_count};
    bool first = store_recovery_left(a->db, f->user) == 0;
    int rc = store_user_by_id(a->db, f->user, &u);
    if (rc) {
        return rc;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    rc = tx ? 0 : -EIO;
    rc = rc ? rc : f->setup ? store_setup_used(a->db, f->setup) : 0;
    rc = rc ? rc : store_passkey_add(a->db, &row);
    rc = rc ? rc : first ? factors_new_recovery(a, f->user, codes) : 0;
    rc = rc ? rc : audit_own(a, from, &u, "USER.PASSKEY.ADD", row.name);
    return rc ? rc : db_commit(&tx);
}

/* A person who comes by a one-time link is signed in; the codes are shown once, on the page that
 * the script goes to. */
static void enrolled(struct app *a, struct http_rq *rq, const struct flow *was, char codes[8][20])
{
    struct store_user u;
    AUTO(js_freep) struct js *j = js_object();
    char next[FLOW_NEXT_SIZE] = "/account";
    int rc = store_user_by_id(a->db, was->user, &u);
    if (!rc && was->setup) {
        rc = auth_open_session(a, rq, &u, "setup", next);
    }
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    if (codes[0][0]) {
        struct js *list = js_array();
        for (size_t i = 0; i < 8; i++) {
            js_push_str(list, slice_str(codes[i]));
        }
        js_set(j, "recoveryCodes", list);
    }
    js_set_cstr(j, "next", next);
    reply_json(rq, 200, j);
}

static void enrol(struct app *a, struct http_rq *rq, const struct identity *id)
{
    char codes[8][20] = {{0}};
    struct webauthn_credential c;
    struct flow *f = flow_find(a->flows, rq);
    AUTO(js_freep) struct js *j = reply_body(rq, enrol_fields, ARRAY_LEN(enrol_fields));
    if (!j) {
        return;
    }
    if (!f || f->kind != FLOW_ENROL || (id ? f->user != id->user.id : !f->setup)) {
        refuse(rq, "This took too long. Start again.");
        return;
    }
    struct flow was = *f;
    f->kind = FLOW_RETURN;
    if (!judge_new(a, &was, j, &c)) {
        refuse(rq, "This passkey was not accepted.");
        return;
    }
    int rc = keep_new(a, http_rq_peer(rq), &was, &c, slice_trim(js_get_str(j, "name")), codes);
    if (rc == STORE_CONFLICT || rc == STORE_NONE) {
        refuse(rq, rc == STORE_CONFLICT ? "This passkey is registered already."
                                        : "This code has been used already.");
    } else if (rc) {
        reply_broken(rq, rc);
    } else {
        enrolled(a, rq, &was, codes);
    }
    secret_wipe(codes, sizeof codes);
}

void passkey_enrol(void *app, struct http_rq *rq)
{
    enrol(app, rq, auth_identity(rq));
}

void passkey_setup(void *app, struct http_rq *rq)
{
    if (page_from_us(app, rq)) {
        enrol(app, rq, NULL);
    }
}
