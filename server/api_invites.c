/*
 * Invitations: a link that its person opens once. It is told to whoever invites, in the answer;
 * no mail is sent from here. Only a hash of its code is kept.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "server/api_users.h"
#include "server/app.h"
#include "server/people.h"

enum { VALID_S = 7 * 86400, CODE_CHARS = 26, AT_ONCE = 50 };

static struct js *invite_json(struct app *a, const struct store_invite *i, const char *code)
{
    struct js *j = js_object();
    char text[WALL_TEXT_SIZE], url[300];
    js_set_cstr(j, "id", i->stable_id);
    js_set_cstr(j, "role", i->role);
    js_set_cstr(j, "tailnetId", a->tailnet.stable_id);
    js_set_cstr(j, "email", i->login);
    js_set_cstr(j, "inviter", i->invited_by[0] ? i->invited_by : NULL);
    wall_format(i->created, text);
    js_set_cstr(j, "created", text);
    wall_format(i->expires, text);
    js_set_cstr(j, "expires", text);
    js_set_bool(j, "accepted", i->accepted.s != 0);
    if (code) {
        text_fit(url, sizeof url, "%.200s/setup#%s", a->cfg.origin, code);
        js_set_cstr(j, "inviteUrl", url);
    }
    return j;
}

static void
refuse(struct http_rq *rq, int status, const char *code, const char *message, const char *fix)
{
    reply_problem(rq, &(struct problem){status, code, message, fix});
}

/* ---- reading ---- */

struct listing {
    struct app *a;
    struct js *list;
};

static void push_invite(void *arg, const struct store_invite *i)
{
    struct listing *l = arg;
    js_push(l->list, invite_json(l->a, i, NULL));
}

void api_invites(void *app, struct http_rq *rq)
{
    struct app *a = app;
    AUTO(js_freep) struct js *list = js_array();
    int rc = store_invites_each(a->db, a->tailnet.id, push_invite, &(struct listing){a, list});
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_json(rq, 200, list);
    }
}

static bool find(struct app *a, struct http_rq *rq, struct store_invite *out)
{
    int rc = store_invite(a->db, http_rq_param(rq, "id"), out);
    if (rc < 0) {
        reply_broken(rq, rc);
    } else if (rc) {
        refuse(rq, 404, "invite.unknown", "there is no such invitation",
               "list them: GET …/user-invites");
    }
    return rc == 0;
}

void api_invite(void *app, struct http_rq *rq)
{
    struct store_invite i;
    if (find(app, rq, &i)) {
        AUTO(js_freep) struct js *j = invite_json(app, &i, NULL);
        rest_object(rq, j);
    }
}

/* ---- making ---- */

static int
audit_invite(struct app *a, struct http_rq *rq, const char *action, const struct store_invite *i)
{
    struct actor by;
    struct buf text = BUF_MAX(64);
    actor_of(rq, &by);
    buf_addf(&text, "\"%s\"", i->role);
    bool gone = strcmp(action, "USER.INVITE.DELETE") == 0;
    int rc = audit_write(a, &by,
                         &(struct audit_entry){.action = action,
                                               .type = "INVITE",
                                               .id = i->stable_id,
                                               .name = i->login,
                                               .old = gone ? buf_slice(&text) : S(""),
                                               .new = gone ? S("") : buf_slice(&text)});
    buf_deinit(&text);
    return rc;
}

static void new_code(struct app *a, char code[CODE_CHARS + 1], uint8_t hash[STORE_HASH_SIZE])
{
    secret_id(code, CODE_CHARS);
    secrets_hash(&a->secrets, slice_str(code), hash);
}

/* 0, or the problem of one of them. */
static const char *read_one(const struct js *j, struct slice *out_login, enum policy_role *out_role)
{
    struct slice role = js_get_str(j, "role");
    *out_login = js_get_str(j, "email");
    *out_role = POLICY_MEMBER;
    if (js_kind(j) != JS_OBJECT || !people_login_ok(*out_login)) {
        return "email must be a login such as name@example.com";
    }
    if (role.n && (!policy_role_parse(role, out_role) || *out_role == POLICY_OWNER)) {
        return "role must be one of admin, network-admin, it-admin, billing-admin, auditor, member";
    }
    return NULL;
}

/* In the caller's transaction. STORE_CONFLICT: the login is there, or invited. */
static int invite_one(struct app *a, struct http_rq *rq, const struct js *j, struct js *answer)
{
    char code[CODE_CHARS + 1], id[STORE_ID_SIZE];
    uint8_t hash[STORE_HASH_SIZE];
    struct store_user u;
    struct store_invite i;
    enum policy_role role;
    struct store_invite_new n = {.tailnet = a->tailnet.id,
                                 .invited_by = auth_identity(rq)->user.id,
                                 .expires = {wall_now().s + VALID_S}};
    if (read_one(j, &n.login, &role)) {
        return err_origin(-EINVAL); /* was looked at before */
    }
    int there = store_user_by_login(a->db, n.login, &u);
    int open = store_invite_open(a->db, a->tailnet.id, n.login, &i);
    if (there != STORE_NONE || open != STORE_NONE) {
        return there < 0 ? there : open < 0 ? open : STORE_CONFLICT;
    }
    new_code(a, code, hash);
    n.hash = slice_of(hash, sizeof hash);
    n.role = policy_role_name(role);
    int rc = store_invite_create(a->db, &n, id);
    rc = rc ? rc : store_invite(a->db, slice_str(id), &i);
    rc = rc ? rc : audit_invite(a, rq, "USER.INVITE", &i);
    if (!rc) {
        js_push(answer, invite_json(a, &i, code));
    }
    secret_wipe(code, sizeof code);
    return rc;
}

static bool all_good(struct http_rq *rq, const struct js *list)
{
    struct slice login;
    enum policy_role role;
    const char *why = js_len(list) && js_len(list) <= AT_ONCE ? NULL : "invite 1 to 50 people";
    for (size_t i = 0; !why && i < js_len(list); i++) {
        why = read_one(js_at(list, i), &login, &role);
    }
    if (why) {
        refuse(rq, 400, "invite.invalid", why, "send [{\"email\":\"…\",\"role\":\"member\"}]");
    }
    return !why;
}

static int invite_all(struct app *a, struct http_rq *rq, const struct js *list, struct js *answer)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? 0 : -EIO;
    for (size_t i = 0; !rc && i < js_len(list); i++) {
        rc = invite_one(a, rq, js_at(list, i), answer);
    }
    return rc ? rc : db_commit(&tx);
}

void api_invite_create(void *app, struct http_rq *rq)
{
    struct app *a = app;
    char why[200];
    AUTO(js_freep) struct js *j = js_parse(http_rq_body(rq), 64 * KIB, why, sizeof why);
    AUTO(js_freep) struct js *list = js_array();
    AUTO(js_freep) struct js *answer = js_array();
    if (!j) {
        refuse(rq, 400, "body.invalid", why, "send [{\"email\":\"…\",\"role\":\"member\"}]");
        return;
    }
    for (size_t i = 0; js_kind(j) == JS_ARRAY && i < js_len(j); i++) {
        js_push(list, js_ref(js_at(j, i)));
    }
    if (js_kind(j) != JS_ARRAY) {
        js_push(list, js_ref(j));
    }
    if (!all_good(rq, list)) {
        return;
    }
    int rc = invite_all(a, rq, list, answer);
    if (rc == STORE_CONFLICT) {
        refuse(rq, 409, "user.exists", "one of these logins is here, or invited, already",
               "resend that invitation, or leave the login out");
    } else if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_json(rq, 200, answer);
    }
}

/* ---- changing ---- */

static bool begin(struct app *a, struct http_rq *rq, struct store_invite *out)
{
    if (!find(a, rq, out)) {
        return false;
    }
    AUTO(js_freep) struct js *now = invite_json(a, out, NULL);
    return rest_match(rq, now);
}

static void over(struct http_rq *rq)
{
    refuse(rq, 409, "invite.accepted", "this invitation was accepted",
           "the person is among the users now");
}

void api_invite_delete(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_invite i;
    if (!begin(a, rq, &i)) {
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_invite_delete(a->db, slice_str(i.stable_id)) : -EIO;
    rc = rc ? rc : audit_invite(a, rq, "USER.INVITE.DELETE", &i);
    rc = rc ? rc : db_commit(&tx);
    if (rc == STORE_NONE) {
        over(rq);
    } else if (rc) {
        reply_broken(rq, rc);
    } else {
        http_rq_reply(rq, 200, NULL, S(""));
    }
}

/* The link before it is of no use any more. */
void api_invite_resend(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_invite i;
    char code[CODE_CHARS + 1];
    uint8_t hash[STORE_HASH_SIZE];
    if (!begin(a, rq, &i)) {
        return;
    }
    new_code(a, code, hash);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_invite_renew(a->db, i.id, slice_of(hash, sizeof hash),
                                     (struct wall){wall_now().s + VALID_S})
                : -EIO;
    rc = rc ? rc : store_invite(a->db, slice_str(i.stable_id), &i);
    rc = rc ? rc : audit_invite(a, rq, "USER.INVITE.RESEND", &i);
    rc = rc ? rc : db_commit(&tx);
    if (rc == STORE_NONE) {
        over(rq);
    } else if (rc) {
        reply_broken(rq, rc);
    } else {
        AUTO(js_freep) struct js *j = invite_json(a, &i, code);
        reply_json(rq, 200, j);
    }
    secret_wipe(code, sizeof code);
}

/* ---- accepting ---- */

static void invited_actor(struct http_rq *rq, const struct store_invite *i, struct actor *out)
{
    actor_of(rq, out);
    out->origin = "CONSOLE";
    out->type = "USER";
    text_fit(out->login, sizeof out->login, "%s", i->login);
}

int invite_accept(struct app *a, struct http_rq *rq, struct slice hash)
{
    struct store_invite i;
    struct actor by;
    int64_t user = 0;
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_invite_by_hash(a->db, hash, &i) : -EIO;
    if (rc || i.accepted.s || i.expires.s <= wall_now().s) {
        return rc ? rc : STORE_NONE;
    }
    invited_actor(rq, &i, &by);
    /* Whoever may invite may approve: the invitation was it. */
    struct people_new n = {.login = slice_str(i.login), .role = i.role, .approved = true};
    rc = people_create(a, &by, &n, &user);
    rc = rc ? rc : store_invite_accept(a->db, i.id);
    rc = rc ? rc : store_setup_create(a->db, user, hash, hash, i.expires);
    rc = rc ? rc : db_commit(&tx);
    if (!rc) {
        bus_wake(a);
        webhooks_kick(a);
    }
    return rc == STORE_CONFLICT ? STORE_NONE : rc;
}
