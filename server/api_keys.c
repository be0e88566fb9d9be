/* Keys: made, listed, described, revoked. */
#include "server/api_keys.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "server/app.h"
#include "server/key_text.h"
#include "server/store_record.h"
#include "server/tags.h"

enum {
    DAY_S = 86400,
    LONGEST_S = 90 * DAY_S,
    WEEK_S = 7 * DAY_S,
    DESCRIPTION_MAX = 50,
    SCOPES_MAX = 64,
};

static const int64_t client_s = (int64_t)100 * 365 * DAY_S; /* does not expire: it is revoked */

/* ---- as JSON ---- */

static const char *const kind_names[] = {"api", "auth", "relay", "client"};

static struct js *scopes_json(const char *words)
{
    struct js *list = js_array();
    struct slice rest = slice_str(words), word;
    while (rest.n && slice_split(&rest, ' ', &word)) {
        js_push_str(list, word);
    }
    return list;
}

static void set_time(struct js *j, const char *name, struct wall t)
{
    char text[WALL_TEXT_SIZE];
    if (t.s) {
        wall_format(t, text);
        js_set_cstr(j, name, text);
    }
}

static struct js *capabilities_json(const struct store_key_row *k)
{
    struct js *j = js_object(), *devices = js_object(), *create = js_object();
    js_set_bool(create, "reusable", k->key.reusable);
    js_set_bool(create, "ephemeral", k->key.ephemeral);
    js_set_bool(create, "preauthorized", k->key.preauthorized);
    js_set(create, "tags", tags_json(slice_str(k->tags)));
    js_set(devices, "create", create);
    js_set(j, "devices", devices);
    return j;
}

/* Absent times are left out; a client has no end. */
static struct js *key_json(const struct store_key_row *k, const char *secret)
{
    struct js *j = js_object();
    bool spent = k->key.kind == STORE_KEY_AUTH && k->key.used && !k->key.reusable;
    js_set_cstr(j, "id", k->key.stable_id);
    js_set_cstr(j, "keyType", kind_names[k->key.kind]);
    js_set_cstr(j, "key", secret);
    js_set_cstr(j, "description", k->description);
    set_time(j, "created", k->created);
    if (k->key.kind == STORE_KEY_CLIENT) {
        js_set(j, "scopes", scopes_json(k->scopes));
        js_set(j, "tags", tags_json(slice_str(k->tags)));
    } else {
        set_time(j, "expires", k->key.expires);
        js_set_int(j, "expirySeconds", k->key.expires.s - k->created.s);
    }
    if (k->key.kind == STORE_KEY_AUTH) {
        js_set(j, "capabilities", capabilities_json(k));
    }
    set_time(j, "revoked", k->revoked);
    set_time(j, "lastUsed", k->key.last_used);
    js_set_cstr(j, "lastUsedAddress", k->remote[0] ? k->remote : NULL);
    js_set_cstr(j, "userId", k->user_stable_id[0] ? k->user_stable_id : NULL);
    js_set_cstr(j, "user", k->login[0] ? k->login : NULL);
    js_set_bool(j, "invalid", k->revoked.s || k->key.expires.s <= wall_now().s || spent);
    return j;
}

/* ---- who may ---- */

static void
refuse(struct http_rq *rq, int status, const char *code, const char *message, const char *fix)
{
    reply_problem(rq, &(struct problem){status, code, message, fix});
}

static enum scope scope_of(enum store_key_kind kind)
{
    return kind == STORE_KEY_AUTH  ? SCOPE_AUTH_KEYS
           : kind == STORE_KEY_API ? SCOPE_API_TOKENS
                                   : SCOPE_OAUTH_KEYS;
}

/* Kinds that this caller may see (or change), as a question without an answer to the caller. */
static bool may_touch(const struct identity *id, enum store_key_kind kind, bool write)
{
    enum permission p = kind == STORE_KEY_AUTH ? PERM_AUTH_KEYS : PERM_API_KEYS;
    return auth_may(id, p) && (!id->scoped || scopes_allow(&id->scopes, scope_of(kind), write));
}

static bool need_kind(struct http_rq *rq, enum store_key_kind kind)
{
    if (!may_touch(auth_identity(rq), kind, true)) {
        char text[120];
        text_cut(text, sizeof text, "this caller may not change keys of the kind \"%s\"",
                 kind_names[kind]);
        refuse(rq, 403, "key.kind", text, "use a key of somebody whose role and scopes include it");
        return false;
    }
    return true;
}

/* ---- reading ---- */

struct listing {
    const struct identity *id;
    struct js *list;
    struct rest_page page;
};

static void push_key(void *arg, const struct store_key_row *k)
{
    struct listing *l = arg;
    if (may_touch(l->id, k->key.kind, false) && rest_page_take(&l->page, k->key.id)) {
        js_push(l->list, key_json(k, NULL));
    }
}

void api_keys(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    bool all = slice_eq(http_rq_query(rq, "all"), S("true"));
    AUTO(js_freep) struct js *j = js_object();
    struct listing l = {.id = id, .list = js_array()};
    js_set(j, "keys", l.list);
    if (!rest_page_read(rq, &l.page)) {
        return;
    }
    int rc =
        store_keys_each(a->db, a->tailnet.id, all || id->scoped ? 0 : id->user.id, push_key, &l);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        rest_page_end(&l.page, j);
        reply_json(rq, 200, j);
    }
}

/* What the caller may not see is not there. */
static bool find(struct app *a, struct http_rq *rq, struct store_key_row *out)
{
    int rc = store_key_row(a->db, a->tailnet.id, http_rq_param(rq, "id"), out);
    if (rc < 0) {
        reply_broken(rq, rc);
    } else if (rc || !may_touch(auth_identity(rq), out->key.kind, false)) {
        refuse(rq, 404, "key.unknown", "there is no such key", "list them: GET …/keys?all=true");
        rc = STORE_NONE;
    }
    return rc == 0;
}

void api_key(void *app, struct http_rq *rq)
{
    struct store_key_row k;
    if (find(app, rq, &k)) {
        AUTO(js_freep) struct js *j = key_json(&k, NULL);
        rest_object(rq, j);
    }
}

/* ---- what is wanted ---- */

struct wanted {
    enum store_key_kind kind;
    bool reusable, ephemeral, preauthorized;
    struct tag_list tags;
    struct scopes scopes;
    struct slice description;
    int64_t seconds;
    struct buf tags_text, scopes_text;
};

static void free_wanted(struct wanted *w)
{
    buf_deinit(&w->tags_text);
    buf_deinit(&w->scopes_text);
}

/* null stands for "absent" in what the clients of this API send. */
static const struct js *member(const struct js *j, const char *name)
{
    const struct js *v = js_get(j, name);
    return v && js_kind(v) != JS_NULL ? v : NULL;
}

static bool read_flag(const struct js *j, const char *name, bool *out)
{
    const struct js *v = member(j, name);
    *out = v && js_get_bool(j, name, false);
    return !v || js_kind(v) == JS_BOOL;
}

static bool read_kind(const struct js *j, enum store_key_kind *out)
{
    const struct js *v = member(j, "keyType");
    struct slice kind = js_str(v);
    *out = slice_eq(kind, S("api"))      ? STORE_KEY_API
           : slice_eq(kind, S("client")) ? STORE_KEY_CLIENT
                                         : STORE_KEY_AUTH;
    return !v || slice_eq(kind, slice_str(kind_names[*out]));
}

/* NULL, or what is wrong. */
static const char *read_create(const struct js *j, struct wanted *w)
{
    const struct js *create = member(member(member(j, "capabilities"), "devices"), "create");
    if (!create) {
        return "an auth key needs capabilities.devices.create";
    }
    if (js_kind(create) != JS_OBJECT || !read_flag(create, "reusable", &w->reusable) ||
        !read_flag(create, "ephemeral", &w->ephemeral) ||
        !read_flag(create, "preauthorized", &w->preauthorized)) {
        return "reusable, ephemeral and preauthorized are true or false";
    }
    return tags_read(js_get(create, "tags"), &w->tags)
               ? NULL
               : "tags is an array of at most 20 names that begin with \"tag:\"";
}

static const char *read_scopes(const struct js *j, struct wanted *w)
{
    const struct js *list = member(j, "scopes");
    size_t count = js_kind(list ? list : j) == JS_ARRAY ? js_len(list) : 0;
    if (!count || count > SCOPES_MAX) {
        return "a client needs scopes: an array such as [\"devices:core:read\"]";
    }
    for (size_t i = 0; i < count; i++) {
        if (!scopes_add(&w->scopes, js_str(js_at(list, i)))) {
            return "one of the scopes is not known";
        }
    }
    if (!tags_read(js_get(j, "tags"), &w->tags)) {
        return "tags is an array of at most 20 names that begin with \"tag:\"";
    }
    return scopes_need_tags(&w->scopes) && !w->tags.count
               ? "with the scopes auth_keys and devices:core a client must carry tags"
               : NULL;
}

static const char *read_seconds(const struct js *j, struct wanted *w)
{
    const struct js *v = member(j, "expirySeconds");
    int64_t n = js_int(v, 0), least = w->kind == STORE_KEY_API ? DAY_S : 1;
    w->seconds = n ? n : LONGEST_S;
    if (v && js_kind(v) != JS_INT) {
        return "expirySeconds is a number";
    }
    if (w->kind == STORE_KEY_CLIENT) {
        w->seconds = client_s;
        return NULL;
    }
    return w->seconds < least || w->seconds > LONGEST_S
               ? "a key lives for at most 90 days, an API key for at least one"
               : NULL;
}

static const char *read_description(const struct js *j, struct wanted *w)
{
    const struct js *v = member(j, "description");
    w->description = js_str(v);
    return (!v || js_kind(v) == JS_STR) && text_printable(w->description, DESCRIPTION_MAX)
               ? NULL
               : "the description is printable text of at most 50 bytes";
}

static const char *read_wanted(const struct js *j, struct wanted *w)
{
    const char *why = read_seconds(j, w);
    why = why ? why : read_description(j, w);
    why = why || w->kind != STORE_KEY_AUTH ? why : read_create(j, w);
    why = why || w->kind != STORE_KEY_CLIENT ? why : read_scopes(j, w);
    w->tags_text = BUF_MAX(STORE_TAGS_SIZE - 1);
    w->scopes_text = BUF_MAX(STORE_SCOPES_SIZE - 1);
    tags_write(&w->tags, &w->tags_text);
    scopes_print(&w->scopes, &w->scopes_text);
    return why ? why : buf_ok(&w->tags_text) ? NULL : "the tags are too long together";
}

/* ---- may the caller give that? ---- */

static bool tags_mine(struct app *a, struct http_rq *rq, const struct tag_list *tags)
{
    const struct identity *id = auth_identity(rq);
    char why[160];
    AUTO(js_freep) struct js *list = tags_json(slice_str(id->tags));
    struct tag_list held;
    bool ok = tags_read(list, &held);
    struct tagger who = {.user = id->scoped ? NULL : &id->user,
                         .held = id->scoped && ok ? &held : NULL};
    if (tags_allowed(a, tags, &who, why, sizeof why)) {
        return true;
    }
    refuse(rq, 403, "tags.not_yours", why,
           "add yourself to the tag's owners in the policy, or leave the tag out");
    return false;
}

/* A token is capped by what it holds; nobody stands behind it whose full rights a key could have.
 */
static bool token_may(struct http_rq *rq, const struct wanted *w)
{
    const struct identity *id = auth_identity(rq);
    if (!id->scoped) {
        return true;
    }
    if (w->kind == STORE_KEY_API) {
        refuse(rq, 403, "key.kind", "a token makes no API keys: they act for a person",
               "make it in the console, or with a key of that person");
        return false;
    }
    if (w->kind == STORE_KEY_AUTH && !w->tags.count) {
        refuse(rq, 400, "key.needs_tags", "an auth key that a token makes must carry tags",
               "name them in capabilities.devices.create.tags");
        return false;
    }
    if (w->kind == STORE_KEY_CLIENT && !scopes_cover(&id->scopes, &w->scopes)) {
        refuse(rq, 403, "key.wider", "a client cannot have scopes that its maker lacks",
               "leave them out");
        return false;
    }
    return true;
}

static bool may_give(struct app *a, struct http_rq *rq, const struct wanted *w)
{
    return need_kind(rq, w->kind) && token_may(rq, w) && tags_mine(a, rq, &w->tags);
}

/* ---- writing ---- */

static int audit_key(struct app *a,
                     struct http_rq *rq,
                     const char *action,
                     const struct js *old,
                     const struct store_key_row *k)
{
    static const char *const types[] = {"API_KEY", "AUTH_KEY", "RELAY_KEY", "OAUTH_CLIENT"};
    struct actor by;
    struct buf before = BUF_MAX(16 * KIB), after = BUF_MAX(16 * KIB);
    AUTO(js_freep) struct js *new = key_json(k, NULL);
    actor_of(rq, &by);
    if (old) {
        js_write(old, JS_COMPACT, &before);
    }
    js_write(new, JS_COMPACT, &after);
    int rc = audit_write(a, &by,
                         &(struct audit_entry){.action = action,
                                               .type = types[k->key.kind],
                                               .id = k->key.stable_id,
                                               .name = k->description,
                                               .old = buf_slice(&before),
                                               .new = buf_slice(&after)});
    buf_deinit(&before);
    buf_deinit(&after);
    return rc;
}

static int store_wanted(struct app *a,
                        struct http_rq *rq,
                        const struct wanted *w,
                        char secret[KEY_TEXT_SIZE],
                        struct store_key_row *out)
{
    char id[STORE_ID_SIZE];
    uint8_t hash[STORE_HASH_SIZE];
    key_text_make(kind_names[w->kind], id, secret);
    secrets_hash(&a->secrets, slice_str(secret), hash);
    struct store_key_new k = {.kind = w->kind,
                              .stable_id = id,
                              .hash = slice_of(hash, sizeof hash),
                              .description = w->description,
                              .tailnet = a->tailnet.id,
                              .user = auth_identity(rq)->user.id,
                              .reusable = w->reusable,
                              .ephemeral = w->ephemeral,
                              .preauthorized = w->preauthorized,
                              .tags = buf_slice(&w->tags_text),
                              .scopes = buf_slice(&w->scopes_text),
                              .expires = {wall_now().s + w->seconds}};
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_key_create(a->db, &k) : -EIO;
    rc = rc ? rc : store_key_row(a->db, a->tailnet.id, slice_str(id), out);
    rc = rc ? rc : audit_key(a, rq, "CREATE", NULL, out);
    return rc ? rc : db_commit(&tx);
}

static struct js *read_object(struct http_rq *rq)
{
    char why[200] = "the body is not a JSON object";
    struct js *j = js_parse(http_rq_body(rq), 64 * KIB, why, sizeof why);
    if (j && js_kind(j) == JS_OBJECT) {
        return j;
    }
    js_free(j);
    refuse(rq, 400, "body.invalid", why, "send the JSON object that docs/api.md describes");
    return NULL;
}

void api_key_create(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct wanted w = {.seconds = 0};
    struct store_key_row row;
    char secret[KEY_TEXT_SIZE];
    AUTO(js_freep) struct js *j = read_object(rq);
    if (!j) {
        return;
    }
    const char *why = read_kind(j, &w.kind) ? read_wanted(j, &w) : "keyType is auth, client or api";
    if (why) {
        refuse(rq, 400, "key.invalid", why, "see docs/api.md, \"Keys\"");
    } else if (may_give(a, rq, &w)) {
        int rc = store_wanted(a, rq, &w, secret, &row);
        if (rc) {
            reply_broken(rq, rc);
        } else {
            AUTO(js_freep) struct js *answer = key_json(&row, secret);
            reply_json(rq, 200, answer);
        }
        secret_wipe(secret, sizeof secret);
    }
    free_wanted(&w);
}

/* ---- changing ---- */

static const char *read_change(const struct js *j, const struct store_key_row *k, struct wanted *w)
{
    enum store_key_kind kind;
    w->kind = k->key.kind;
    if (member(j, "keyType") && (!read_kind(j, &kind) || kind != w->kind)) {
        return "a key stays of its kind";
    }
    if (w->kind != STORE_KEY_CLIENT) {
        w->tags_text = BUF_MAX(STORE_TAGS_SIZE - 1);
        w->scopes_text = BUF_MAX(STORE_SCOPES_SIZE - 1);
        return member(j, "scopes") || member(j, "tags") || member(j, "capabilities")
                   ? "only the description of this key can be changed: revoke it and make another"
                   : read_description(j, w);
    }
    return read_wanted(j, w);
}

static int change(struct app *a,
                  struct http_rq *rq,
                  const struct wanted *w,
                  const struct js *old,
                  struct store_key_row *k)
{
    int64_t id = k->key.id;
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_key_describe(a->db, id, w->description) : -EIO;
    if (!rc && w->kind == STORE_KEY_CLIENT) {
        rc = store_key_grants(a->db, id, buf_slice(&w->scopes_text), buf_slice(&w->tags_text));
        /* What was given out may be wider than what is left. */
        rc = rc ? rc : store_tokens_end(a->db, id);
    }
    rc = rc ? rc : store_key_by_id(a->db, id, k);
    rc = rc ? rc : audit_key(a, rq, "UPDATE", old, k);
    return rc ? rc : db_commit(&tx);
}

static bool mine(struct http_rq *rq, const struct store_key_row *k)
{
    const struct identity *id = auth_identity(rq);
    if (k->key.user_id == id->user.id) {
        return true;
    }
    refuse(rq, 403, "key.not_yours", "only who made a key may change it; others may revoke it",
           "make one of your own");
    return false;
}

void api_key_put(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_key_row k;
    struct wanted w = {.seconds = 0};
    if (!find(a, rq, &k)) {
        return;
    }
    AUTO(js_freep) struct js *j = read_object(rq);
    AUTO(js_freep) struct js *old = key_json(&k, NULL);
    if (!j || !rest_match(rq, old)) {
        return;
    }
    const char *why = k.revoked.s ? "this key has been revoked" : read_change(j, &k, &w);
    if (why) {
        refuse(rq, 400, "key.invalid", why, "see docs/api.md, \"Keys\"");
    } else if (may_give(a, rq, &w) && mine(rq, &k)) {
        int rc = change(a, rq, &w, old, &k);
        if (rc) {
            reply_broken(rq, rc);
        } else {
            AUTO(js_freep) struct js *now = key_json(&k, NULL);
            rest_object(rq, now);
        }
    }
    free_wanted(&w);
}

void api_key_delete(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_key_row k;
    if (!find(a, rq, &k) || !need_kind(rq, k.key.kind)) {
        return;
    }
    AUTO(js_freep) struct js *old = key_json(&k, NULL);
    if (!rest_match(rq, old)) {
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_key_revoke(a->db, k.key.id) : -EIO;
    rc = rc ? rc : store_tokens_end(a->db, k.key.id);
    rc = rc ? rc : store_key_by_id(a->db, k.key.id, &k);
    rc = rc ? rc : audit_key(a, rq, "DELETE", old, &k);
    rc = rc ? rc : db_commit(&tx);
    if (rc == STORE_NONE) {
        refuse(rq, 404, "key.unknown", "this key has been revoked before", "nothing is left to do");
    } else if (rc) {
        reply_broken(rq, rc);
    } else {
        http_rq_reply(rq, 200, NULL, S(""));
    }
}

/* ---- use ---- */

void key_noted(struct app *a, struct http_rq *rq, const struct store_key *k)
{
    enum { EVERY_S = 60 };

    char from[ADDR_TEXT_SIZE];
    if (wall_now().s - k->last_used.s < EVERY_S) {
        return;
    }
    addr_format_ip(http_rq_peer(rq), from);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    if (tx && store_key_used(a->db, k->id, slice_str(from)) == 0) {
        err_ignore(db_commit(&tx)); /* only bookkeeping */
    }
}

struct ending {
    struct app *a;
    int rc;
    size_t count;
};

static void tell_ending(void *arg, const struct store_key_row *k)
{
    struct ending *e = arg;
    char expires[WALL_TEXT_SIZE];
    struct js *data = js_object();
    wall_format(k->key.expires, expires);
    js_set_cstr(data, "keyId", k->key.stable_id);
    js_set_cstr(data, "keyType", kind_names[k->key.kind]);
    js_set_cstr(data, "description", k->description);
    js_set_cstr(data, "user", k->login);
    js_set_cstr(data, "expires", expires);
    int rc = webhooks_emit(e->a, "keyExpiring", "A key ends within a week", data);
    e->rc = e->rc ? e->rc : rc;
    e->count++;
}

/* Each key once, a week before: up to which end they were told is kept where the next start finds
 * it. */
static int announce_ending(struct app *a)
{
    static const char name[] = "keysAnnouncedUntil";
    char why[80];
    struct ending e = {.a = a};
    struct wall until = {wall_now().s + WEEK_S};
    struct buf text = BUF_MAX(64);
    int rc = store_setting(a->db, a->tailnet.id, name, &text);
    AUTO(js_freep)
    struct js *kept = rc == 0 ? js_parse(buf_slice(&text), 64, why, sizeof why) : NULL;
    struct store_ending ending = {.tailnet = a->tailnet.id,
                                  .from = {js_int(js_at(kept, 0), wall_now().s)},
                                  .until = until,
                                  .life = WEEK_S};
    buf_clear(&text);
    buf_addf(&text, "[%lld]", (long long)until.s);
    rc = rc < 0 ? rc : store_keys_ending(a->db, &ending, tell_ending, &e);
    rc = rc ? rc : e.rc;
    rc = rc || !e.count ? rc : store_setting_set(a->db, a->tailnet.id, name, buf_slice(&text));
    buf_deinit(&text);
    return rc;
}

void keys_minute(struct app *a)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_tokens_expire(a->db, wall_now()) : -EIO;
    rc = rc ? rc : announce_ending(a);
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        log_error("keys.not_swept", F_ERR(rc)); /* the next minute tries again */
    } else {
        webhooks_kick(a);
    }
}
