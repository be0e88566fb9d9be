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
#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "server/api_keys.h"
#include "server/app.h"
#include "server/store_keys.h"

void auth_free_identity(void *arg)
{
    rest_forget(arg);
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

static bool find_api(struct app *a, struct http_rq *rq, struct slice hash, struct identity *id)
{
    struct store_key k;
    if (store_key(a->db, hash, &k) || !key_good(&k, STORE_KEY_API) || !k.user_id ||
        store_user_by_id(a->db, k.user_id, &id->user) || id->user.suspended || !id->user.approved) {
        return false;
    }
    id->scopes = SCOPES_ALL;
    text_fit(id->credential, sizeof id->credential, "k:%s", k.stable_id);
    key_noted(a, rq, &k);
    return true;
}

/* A token lives no longer than its client, and its client's maker stands behind it. */
static bool find_token(struct app *a, struct slice hash, struct identity *id)
{
    struct store_token t;
    struct store_key_row client;
    struct slice words, word;
    if (store_token(a->db, hash, &t) || t.expires.s <= wall_now().s ||
        store_key_by_id(a->db, t.key_id, &client) || !key_good(&client.key, STORE_KEY_CLIENT) ||
        store_user_by_id(a->db, client.key.user_id, &id->user) || id->user.suspended ||
        !id->user.approved) {
        return false;
    }
    id->scoped = true;
    for (words = slice_str(t.scopes); words.n && slice_split(&words, ' ', &word);) {
        err_ignore(!scopes_add(&id->scopes, word)); /* a scope that has gone gives nothing */
    }
    text_fit(id->tags, sizeof id->tags, "%s", t.tags);
    text_fit(id->credential, sizeof id->credential, "t:%s", client.key.stable_id);
    return true;
}

bool auth_may(const struct identity *id, enum permission p)
{
    enum policy_role role;
    return policy_role_parse(slice_str(id->user.role), &role) && role_may(role, p);
}

/* The role is read anew on every request: a demotion takes effect with the next one. */
static bool has_permission(struct http_rq *rq, const struct identity *id)
{
    enum permission p = http_rq_route(rq)->flags >> ROUTE_PERMISSION_BIT & ROUTE_KIND_MASK;
    if (auth_may(id, p)) {
        return true;
    }
    char text[160];
    text_cut(text, sizeof text, "the role %s does not include %s", id->user.role,
             permission_name(p));
    reply_problem(rq, &(struct problem){403, "role.missing", text,
                                        "ask an owner or admin, or use a key of theirs"});
    return false;
}

static bool has_scope(struct http_rq *rq, const struct identity *id)
{
    const struct http_route *route = http_rq_route(rq);
    enum scope scope = route->flags >> ROUTE_SCOPE_BIT & ROUTE_KIND_MASK;
    bool write = route->method != HTTP_GET && !(route->flags & ROUTE_READS);
    if (!id->scoped || route->flags & ROUTE_ANY_SCOPE || scopes_allow(&id->scopes, scope, write)) {
        return true;
    }
    char text[160];
    text_cut(text, sizeof text, "%s%s%s%s",
             scope == SCOPE_NONE ? "this call is for people and their keys, not for a token"
                                 : "the token does not hold the scope ",
             scope_name(scope), scope != SCOPE_NONE && !write ? ":read" : "", "");
    reply_problem(rq, &(struct problem){403, "scope.missing", text,
                                        "ask for a token of a client that has this scope"});
    return false;
}

/* "-" is the caller's own; there is one tailnet in this version. */
static bool right_tailnet(struct app *a, struct http_rq *rq)
{
    struct slice t = http_rq_param(rq, "tailnet");
    if (t.n && !slice_eq(t, S("-")) && !slice_eq(t, slice_str(a->tailnet.stable_id)) &&
        !slice_eq(t, slice_str(a->tailnet.name))) {
        reply_problem(rq, &(struct problem){404, "tailnet.unknown", "there is no such tailnet",
                                            "\"-\" is your own"});
        return false;
    }
    return true;
}

static void admit(struct app *a, struct http_rq *rq, struct identity *id)
{
    http_rq_set_user(rq, id, auth_free_identity);
    /* Each answers when it says no; the handler is not called then. */
    (void)(right_tailnet(a, rq) && has_scope(rq, id) && has_permission(rq, id) &&
           rest_admit(a, rq));
}

static void need_session_or_key(struct app *a, struct http_rq *rq)
{
    struct identity *id = mem_new(sizeof *id);
    int rc = auth_find_script(a, rq, id);
    if (rc == 0) {
        admit(a, rq, id);
        return;
    }
    auth_free_identity(id);
    if (rc == SESSION_NONE) {
        refuse(rq, "auth.required", "this call needs a key or a token",
               "send it as: Authorization: Bearer …");
    } else {
        reply_problem(rq, &(struct problem){403, "csrf", "this call is not from our page",
                                            "load the page again"});
    }
}

static bool find_bearer(
    struct app *a, struct http_rq *rq, struct slice hash, unsigned kind, struct identity *id)
{
    if (kind == ROUTE_API) {
        return find_api(a, rq, hash, id) || find_token(a, hash, id);
    }
    return kind == ROUTE_NODE ? store_node_by_token(a->db, hash, &id->node) == 0
                              : store_relay_by_token(a->db, hash, &id->relay) == 0;
}

static void need_bearer(struct app *a, struct http_rq *rq, unsigned kind)
{
    uint8_t hash[STORE_HASH_SIZE];
    struct identity *id = mem_new(sizeof *id);
    if (!hash_bearer(a, rq, hash) || !find_bearer(a, rq, slice_of(hash, sizeof hash), kind, id)) {
        auth_free_identity(id);
        refuse(rq, "auth.required", "the key or token is missing, wrong, expired or revoked",
               "send it as: Authorization: Bearer …");
    } else if (kind == ROUTE_API) {
        admit(a, rq, id);
    } else {
        http_rq_set_user(rq, id, auth_free_identity);
    }
}

void auth_before(void *app, struct http_rq *rq)
{
    struct app *a = app;
    unsigned flags = http_rq_route(rq)->flags & ROUTE_KIND_MASK;
    if (flags & ROUTE_API && !http_rq_header(rq, "Authorization").n) {
        need_session_or_key(a, rq);
    } else if (flags & (ROUTE_API | ROUTE_NODE | ROUTE_RELAY)) {
        need_bearer(a, rq, flags & (ROUTE_API | ROUTE_NODE | ROUTE_RELAY));
    } else if (flags & (ROUTE_PAGE | ROUTE_FORM | ROUTE_SCRIPT)) {
        auth_need_session(a, rq, flags & (ROUTE_PAGE | ROUTE_FORM | ROUTE_SCRIPT));
    }
}
