/* Registrations: made, waited for, decided. */
#include "server/registration.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "server/api_keys.h"
#include "server/app.h"
#include "server/node_make.h"
#include "server/tags.h"

enum {
    VALID_S = 900,
    ID_CHARS = 26,
    WAITING_MOST = 1000,   /* of everybody: the call is open to the world */
    WAITING_OF_ONE = 10,   /* of one address */
    WAITS_MOST = 2000,     /* polls that hang here */
    ORPHAN_AFTER_S = 3600, /* a granted node that nobody came for */
};

static const int64_t wait_longest = SECONDS(25);

struct waiting {
    struct list link;
    struct registrations *all;
    struct http_rq *rq;
    int64_t registration;
    struct timer end;
};

struct registrations {
    struct app *a;
    struct list waiting;
    size_t count;
};

struct registrations *registrations_new(struct app *a)
{
    struct registrations *r = mem_new(sizeof *r);
    r->a = a;
    list_init(&r->waiting);
    return r;
}

static void drop(struct waiting *w)
{
    list_unlink(&w->link);
    timer_cancel(&w->end);
    w->all->count--;
    mem_free(w);
}

void registrations_free(struct registrations *r)
{
    while (r && !list_empty(&r->waiting)) {
        drop(LIST_ENTRY(r->waiting.next, struct waiting, link));
    }
    mem_free(r);
}

/* ---- answers ---- */

static void
refuse(struct http_rq *rq, int status, const char *code, const char *message, const char *fix)
{
    reply_problem(rq, &(struct problem){status, code, message, fix});
}

static void not_made(struct http_rq *rq, int rc)
{
    if (rc == NODE_OTHER_OWNER) {
        refuse(rq, 409, "node.other_owner", "this machine belongs to somebody else here",
               "let them remove it first, or delete funneld's state directory on it");
    } else if (rc == NODE_NAMES_FULL) {
        refuse(rq, 400, "node.invalid", "a thousand machines have this name",
               "choose another: funnel up --hostname NAME");
    } else {
        reply_broken(rq, rc);
    }
}

/* ---- by a key ---- */

struct by_key {
    struct store_key_row key;
    struct store_user user;
    struct actor by;
};

static bool find_key(struct app *a, struct slice secret, struct by_key *out)
{
    uint8_t hash[STORE_HASH_SIZE];
    struct store_key k;
    secrets_hash(&a->secrets, secret, hash);
    return store_key(a->db, slice_of(hash, sizeof hash), &k) == 0 && k.kind == STORE_KEY_AUTH &&
           k.user_id && store_key_by_id(a->db, k.id, &out->key) == 0 &&
           store_user_by_id(a->db, k.user_id, &out->user) == 0 && !out->user.suspended &&
           out->user.approved;
}

static int make_by_key(struct app *a, struct by_key *k, struct store_node *n, struct slice hash)
{
    bool tagged = strcmp(k->key.tags, "[]") != 0;
    struct node_making m = {.by = &k->by, .why = "auth key", .token_hash = hash};
    node_terms_default(a, tagged, k->key.key.preauthorized, &m.terms);
    m.terms.ephemeral = k->key.key.ephemeral;
    m.terms.registered_by = k->user.id;
    m.terms.tags = slice_str(k->key.tags);
    if (!tagged) {
        n->user_id = k->user.id;
        memcpy(n->login, k->user.login, sizeof n->login);
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_key_take(a->db, k->key.key.id, slice_str(n->remote)) : -EIO;
    rc = rc ? rc : node_make(a, n, &m);
    return rc ? rc : db_commit(&tx);
}

static void
register_by_key(struct app *a, struct http_rq *rq, struct slice secret, struct store_node *n)
{
    struct by_key k;
    char token[SECRET_SIZE];
    uint8_t hash[STORE_HASH_SIZE];
    int rc = STORE_NONE;
    secrets_make("fnl-node-", token);
    secrets_hash(&a->secrets, slice_str(token), hash);
    if (find_key(a, secret, &k)) {
        actor_of(rq, &k.by);
        k.by.origin = "NODE";
        k.by.type = "KEY";
        text_fit(k.by.id, sizeof k.by.id, "%s", k.key.key.stable_id);
        text_fit(k.by.login, sizeof k.by.login, "%s", k.user.login);
        rc = make_by_key(a, &k, n, slice_of(hash, sizeof hash));
    }
    if (rc == STORE_NONE) {
        refuse(rq, 401, "auth_key.invalid", "this auth key is wrong, used, expired or revoked",
               "ask an admin for a new one: funnel-control key create auth");
    } else if (rc) {
        not_made(rq, rc);
    } else {
        node_made(a, n);
        node_answer(a, rq, n, token);
    }
    secret_wipe(token, sizeof token);
}

/* ---- by a person ---- */

/* "KTRV-7Q": letters and digits that are not mistaken for each other. */
static void write_code(const uint8_t r[6], char out[12])
{
    static const char letters[] = "ABCDEFGHJKMNPQRSTVWXYZ", digits[] = "23456789";
    for (int i = 0; i < 4; i++) {
        out[i] = letters[r[i] % (sizeof letters - 1)];
    }
    out[4] = '-';
    out[5] = digits[r[4] % (sizeof digits - 1)];
    out[6] = letters[r[5] % (sizeof letters - 1)];
    out[7] = '\0';
}

void registration_codes(struct app *a,
                        const struct store_registration *r,
                        char out[REGISTRATION_CODES][12])
{
    uint8_t mac[32];
    struct buf text = BUF_MAX(64);
    buf_addf(&text, "codes:%s", r->stable_id);
    secrets_hash(&a->secrets, buf_slice(&text), mac);
    buf_deinit(&text);
    for (size_t i = 0; i < REGISTRATION_CODES; i++) {
        write_code(mac + 6 * i, out[i]);
    }
    memcpy(out[mac[31] % REGISTRATION_CODES], r->match_code, sizeof out[0]);
}

/* False after an answer: too many wait. */
static bool room(struct app *a, struct http_rq *rq, const char *remote)
{
    int64_t all = store_registrations_waiting(a->db, S("")),
            own = store_registrations_waiting(a->db, slice_str(remote));
    if (all < 0 || own < 0) {
        reply_broken(rq, -EIO);
    } else if (all >= WAITING_MOST || own >= WAITING_OF_ONE) {
        http_rq_add_header(rq, "Retry-After", "60");
        refuse(rq, 429, "registration.too_many", "too many machines wait to be approved",
               "decide those that wait, or try again later");
    }
    return all >= 0 && own >= 0 && all < WAITING_MOST && own < WAITING_OF_ONE;
}

static void answer_link(struct app *a,
                        struct http_rq *rq,
                        const struct store_registration *r,
                        const char *secret)
{
    char url[300], expires[WALL_TEXT_SIZE];
    AUTO(js_freep) struct js *j = js_object();
    text_fit(url, sizeof url, "%.200s/a/%s", a->cfg.origin, r->stable_id);
    wall_format(r->expires, expires);
    js_set_cstr(j, "URL", url);
    js_set_cstr(j, "MatchCode", r->match_code);
    js_set_cstr(j, "Expires", expires);
    js_set_cstr(j, "PollSecret", secret);
    reply_json(rq, 202, j);
}

static void register_by_person(struct app *a, struct http_rq *rq, const struct store_node *n)
{
    char secret[SECRET_SIZE];
    uint8_t hash[STORE_HASH_SIZE], r[6];
    struct wall now = wall_now();
    struct store_registration x = {.created = now, .expires = {now.s + VALID_S}};
    if (!room(a, rq, n->remote)) {
        return;
    }
    secret_id(x.stable_id, ID_CHARS);
    secret_random(r, sizeof r);
    write_code(r, x.match_code);
    memcpy(x.hostname, n->hostname, sizeof x.hostname);
    memcpy(x.os, n->os, sizeof x.os);
    memcpy(x.version, n->version, sizeof x.version);
    memcpy(x.transport_key, n->transport_key, sizeof x.transport_key);
    memcpy(x.remote, n->remote, sizeof x.remote);
    secrets_make("fnl-poll-", secret);
    secrets_hash(&a->secrets, slice_str(secret), hash);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_registration_create(a->db, a->tailnet.id, &x, slice_of(hash, sizeof hash))
                : -EIO;
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        log_info("registration.asked", F_STR("registration", x.stable_id),
                 F_STR("remote", x.remote));
        answer_link(a, rq, &x, secret);
    }
    secret_wipe(secret, sizeof secret);
}

void node_register(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"authKey", JS_STR, false, 128},
                                             {"hostname", JS_STR, true, 200},
                                             {"os", JS_STR, true, 60},
                                             {"version", JS_STR, true, 60},
                                             {"transportKey", JS_STR, true, 64}};
    struct app *a = app;
    struct store_node n = {.id = 0};
    char remote[ADDR_TEXT_SIZE];
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (!j) {
        return;
    }
    if (!node_facts_read(j, &n)) {
        refuse(rq, 400, "node.invalid", "hostname, os, version or transportKey is not usable",
               "printable text; transportKey is 64 hex digits");
        return;
    }
    addr_format_ip(http_rq_peer(rq), remote);
    text_cut(n.remote, sizeof n.remote, "%.60s", remote);
    if (js_get(j, "authKey")) {
        register_by_key(a, rq, js_get_str(j, "authKey"), &n);
    } else {
        register_by_person(a, rq, &n);
    }
}

/* ---- waiting ---- */

/* The token is made when it is fetched: who has the poll secret may fetch it again, should the
 * answer have been lost on its way. */
static void hand_over(struct app *a, struct http_rq *rq, const struct store_registration *r)
{
    struct store_node n;
    char token[SECRET_SIZE];
    uint8_t hash[STORE_HASH_SIZE];
    secrets_make("fnl-node-", token);
    secrets_hash(&a->secrets, slice_str(token), hash);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_node(a->db, r->node_id, &n) : -EIO;
    rc = rc ? rc : store_node_rekey(a->db, n.id, slice_of(hash, sizeof hash));
    rc = rc ? rc : store_registration_taken(a->db, r->id);
    rc = rc ? rc : db_commit(&tx);
    if (rc == STORE_NONE) {
        refuse(rq, 410, "registration.gone", "the machine was removed again", "funnel up");
    } else if (rc) {
        reply_broken(rq, rc);
    } else {
        node_answer(a, rq, &n, token);
    }
    secret_wipe(token, sizeof token);
}

/* False: nobody has decided. */
static bool answered(struct app *a, struct http_rq *rq, const struct store_registration *r)
{
    bool over = r->expires.s <= wall_now().s;
    bool given = strcmp(r->state, "granted") == 0 || (strcmp(r->state, "taken") == 0 && !over);
    char why[STORE_NAME_SIZE + 40];
    if (given) {
        hand_over(a, rq, r);
    } else if (strcmp(r->state, "denied") == 0) {
        text_cut(why, sizeof why, "%s denied this machine", r->decided_by);
        refuse(rq, 403, "registration.denied", why, "ask them, then: funnel up");
    } else if (over || strcmp(r->state, "pending") != 0) {
        refuse(rq, 410, "registration.expired", "nobody approved this machine in time",
               "funnel up makes a new link");
    } else {
        return false;
    }
    return true;
}

static void still_waiting(struct waiting *w)
{
    struct http_rq *rq = w->rq;
    AUTO(js_freep) struct js *j = js_object();
    drop(w);
    js_set_cstr(j, "state", "pending");
    reply_json(rq, 202, j);
}

static void on_end(void *arg)
{
    still_waiting(arg);
}

static void on_left(void *arg)
{
    drop(arg);
}

void node_register_wait(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"pollSecret", JS_STR, true, 64}};
    struct app *a = app;
    uint8_t hash[STORE_HASH_SIZE];
    struct store_registration r;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (!j) {
        return;
    }
    secrets_hash(&a->secrets, js_get_str(j, "pollSecret"), hash);
    int rc = store_registration_by_poll(a->db, slice_of(hash, sizeof hash), &r);
    if (rc) {
        refuse(rq, 401, "registration.unknown", "nobody waits with this secret", "funnel up");
    } else if (!answered(a, rq, &r)) {
        struct waiting *w = mem_new(sizeof *w);
        *w = (struct waiting){.all = a->registrations, .rq = rq, .registration = r.id};
        int64_t left = SECONDS(r.expires.s - wall_now().s);
        list_push_back(&w->all->waiting, &w->link);
        timer_set_in(a->lp, &w->end, left < wait_longest ? left : wait_longest, on_end, w);
        http_rq_on_abort(rq, on_left, w);
        if (++w->all->count > WAITS_MOST) {
            still_waiting(LIST_ENTRY(w->all->waiting.next, struct waiting, link));
        }
    }
}

/* Whoever waits for this one hears now. */
static void wake(struct app *a, const struct store_registration *r)
{
    struct store_registration now;
    if (store_registration(a->db, slice_str(r->stable_id), &now)) {
        return; /* they ask again */
    }
    LIST_FOREACH (l, &a->registrations->waiting) {
        struct waiting *w = LIST_ENTRY(l, struct waiting, link);
        if (w->registration == now.id) {
            struct http_rq *rq = w->rq;
            drop(w);
            if (!answered(a, rq, &now)) {
                reply_broken(rq, -EIO);
            }
            return; /* one daemon waits; a second poll of it hears with its next one */
        }
    }
}

/* ---- deciding ---- */

static int audit(struct app *a,
                 const struct actor *by,
                 const char *action,
                 const struct store_registration *r,
                 const char *why)
{
    return audit_write(a, by,
                       &(struct audit_entry){.action = action,
                                             .type = "NODE",
                                             .id = r->stable_id,
                                             .name = r->hostname,
                                             .old = S("\"pending\""),
                                             .new = slice_str(why),
                                             .detail = slice_str(r->remote)});
}

int registration_deny(struct app *a,
                      const struct store_registration *r,
                      const struct actor *by,
                      const char *why)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_registration_decide(a->db, r->id, "denied", 0, slice_str(by->login)) : -EIO;
    rc = rc ? rc : audit(a, by, "NODE.REGISTER.DENY", r, why);
    rc = rc ? rc : db_commit(&tx);
    if (!rc) {
        wake(a, r);
    }
    return rc == STORE_NONE ? REGISTRATION_GONE : rc;
}

int registration_approve(struct app *a,
                         const struct store_registration *r,
                         const struct store_user *user,
                         const struct actor *by,
                         struct slice code)
{
    enum policy_role role;
    struct node_making m = {.by = by, .why = "approved in the browser"};
    struct store_node n = {.user_id = user->id};
    if (!secret_eq(code, slice_str(r->match_code))) {
        int rc = registration_deny(a, r, by, "\"the wrong match code was chosen\"");
        return rc ? rc : REGISTRATION_WRONG_CODE;
    }
    bool approver =
        policy_role_parse(slice_str(user->role), &role) && role_may(role, PERM_MACHINES_WRITE);
    node_terms_default(a, false, approver, &m.terms);
    m.terms.registered_by = user->id;
    text_fit(n.login, sizeof n.login, "%s", user->login);
    text_fit(n.hostname, sizeof n.hostname, "%s", r->hostname);
    text_fit(n.os, sizeof n.os, "%s", r->os);
    text_fit(n.version, sizeof n.version, "%s", r->version);
    text_fit(n.transport_key, sizeof n.transport_key, "%s", r->transport_key);
    text_fit(n.remote, sizeof n.remote, "%s", r->remote);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? node_make(a, &n, &m) : -EIO;
    rc = rc ? rc : store_registration_decide(a->db, r->id, "granted", n.id, slice_str(by->login));
    rc = rc ? rc : audit(a, by, "NODE.REGISTER.APPROVE", r, "\"granted\"");
    rc = rc ? rc : db_commit(&tx);
    if (!rc) {
        node_made(a, &n);
        wake(a, r);
    }
    return rc == STORE_NONE         ? REGISTRATION_GONE
           : rc == NODE_OTHER_OWNER ? REGISTRATION_TAKEN
           : rc == NODE_NAMES_FULL  ? REGISTRATION_TAKEN
                                    : rc;
}

/* ---- once a minute ---- */

static int drop_orphan(struct app *a, bool *more)
{
    int64_t node = 0;
    struct wall before = {wall_now().s - ORPHAN_AFTER_S};
    int rc = store_registration_orphan(a->db, before, &node);
    *more = rc == 0;
    rc = rc == STORE_NONE ? 0 : rc ? rc : store_change(a->db, a->tailnet.id, "node", node);
    return rc || !*more ? rc : store_node_delete(a->db, node);
}

void registrations_minute(struct app *a)
{
    int expired = 0;
    bool more = true, some = false;
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_registrations_expire(a->db, wall_now(), &expired) : -EIO;
    while (!rc && more) {
        rc = drop_orphan(a, &more);
        some = some || more;
    }
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        log_error("registrations.not_swept", F_ERR(rc));
    } else if (some) {
        bus_wake(a);
    }
}
