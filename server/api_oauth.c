/*
 * Tokens for programs: RFC 6749 section 4.4, client credentials. What the client may, as far as it
 * asks for it, for an hour; the role of whoever made the client is looked at again on every call.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "server/api_keys.h"
#include "server/app.h"
#include "server/key_text.h"
#include "server/tags.h"

enum { TOKEN_S = 3600, FIELD_MAX = 2048 };

/* As the RFC has it, and in our own shape beside it. */
static void refuse(struct http_rq *rq, int status, const char *error, const char *why)
{
    char code[48];
    AUTO(js_freep) struct js *j = js_object();
    text_fit(code, sizeof code, "oauth.%.30s", error);
    js_set_cstr(j, "error", error);
    js_set_cstr(j, "error_description", why);
    js_set_cstr(j, "message", why);
    js_set_cstr(j, "code", code);
    js_set_cstr(j, "fix", "see docs/api.md, \"OAuth\"");
    js_set_cstr(j, "requestId", http_rq_id(rq));
    js_set_int(j, "status", status);
    if (status == 401) {
        http_rq_add_header(rq, "WWW-Authenticate", "Basic realm=\"oauth\"");
    }
    reply_json(rq, status, j);
}

struct asking {
    char id[64], secret[KEY_TEXT_SIZE]; /* as shown */
    char scope[FIELD_MAX], tags[FIELD_MAX];
};

/* Our ids and secrets need no percent-encoding: what is inside is what was meant. */
static bool read_basic(struct http_rq *rq, struct asking *q)
{
    struct slice h = http_rq_header(rq, "Authorization");
    struct buf text = BUF_MAX(256);
    bool ok =
        slice_starts_nocase(h, S("Basic ")) && text_unb64(slice_trim(slice_skip(h, 6)), &text);
    ptrdiff_t colon = slice_find(buf_slice(&text), ':');
    ok = ok && colon >= 0 &&
         slice_copy(slice_sub(buf_slice(&text), 0, (size_t)colon), q->id, sizeof q->id) &&
         slice_copy(slice_skip(buf_slice(&text), (size_t)colon + 1), q->secret, sizeof q->secret);
    secret_wipe_buf(&text);
    return ok;
}

static bool field(struct http_rq *rq, const char *name, char *out, size_t size)
{
    return slice_copy(http_rq_form(rq, name), out, size);
}

static bool read_asking(struct http_rq *rq, struct asking *q)
{
    bool header = http_rq_header(rq, "Authorization").n > 0;
    return (header ? read_basic(rq, q)
                   : field(rq, "client_id", q->id, sizeof q->id) &&
                         field(rq, "client_secret", q->secret, sizeof q->secret)) &&
           field(rq, "scope", q->scope, sizeof q->scope) &&
           field(rq, "tags", q->tags, sizeof q->tags);
}

/* The secret names its client; an id that is shown beside it must be the same. */
static bool find_client(struct app *a, const struct asking *q, struct store_key_row *out)
{
    uint8_t hash[STORE_HASH_SIZE];
    struct store_key k;
    struct store_user u;
    secrets_hash(&a->secrets, slice_str(q->secret), hash);
    return store_key(a->db, slice_of(hash, sizeof hash), &k) == 0 && k.kind == STORE_KEY_CLIENT &&
           !k.revoked && k.expires.s > wall_now().s &&
           (!q->id[0] || strcmp(q->id, k.stable_id) == 0) &&
           store_user_by_id(a->db, k.user_id, &u) == 0 && !u.suspended && u.approved &&
           store_key_by_id(a->db, k.id, out) == 0;
}

static bool read_scopes(struct slice words, struct scopes *out)
{
    struct slice word;
    bool ok = true;
    while (ok && words.n && slice_split(&words, ' ', &word)) {
        ok = !word.n || scopes_add(out, word);
    }
    return ok;
}

struct giving {
    struct scopes scopes;
    struct buf scopes_text, tags_text;
};

/* NULL, or the RFC's word for what is wrong. */
static const char *
choose(struct app *a, const struct asking *q, const struct store_key_row *client, struct giving *g)
{
    struct scopes most = {0, 0};
    struct tag_list own, tags;
    char why[160];
    AUTO(js_freep) struct js *list = tags_json(slice_str(client->tags));
    bool ok = read_scopes(slice_str(client->scopes), &most) && tags_read(list, &own) &&
              read_scopes(slice_str(q->scope), &g->scopes) &&
              tags_read_words(slice_str(q->tags), &tags);
    if (ok && !g->scopes.read && !g->scopes.write) {
        g->scopes = most;
    }
    tags = ok && !tags.count ? own : tags;
    if (!ok || !scopes_cover(&most, &g->scopes)) {
        return "invalid_scope";
    }
    struct tagger who = {.held = &own};
    if ((q->tags[0] && !tags_allowed(a, &tags, &who, why, sizeof why)) ||
        (scopes_need_tags(&g->scopes) && !tags.count)) {
        return "invalid_scope";
    }
    scopes_print(&g->scopes, &g->scopes_text);
    tags_write(&tags, &g->tags_text);
    return buf_ok(&g->tags_text) && buf_ok(&g->scopes_text) ? NULL : "invalid_scope";
}

static int give(struct app *a,
                struct http_rq *rq,
                const struct store_key_row *client,
                const struct giving *g,
                char token[KEY_TEXT_SIZE])
{
    char id[STORE_ID_SIZE], from[ADDR_TEXT_SIZE];
    uint8_t hash[STORE_HASH_SIZE];
    key_text_make("token", id, token);
    secrets_hash(&a->secrets, slice_str(token), hash);
    addr_format_ip(http_rq_peer(rq), from);
    struct store_token_new t = {.key = client->key.id,
                                .hash = slice_of(hash, sizeof hash),
                                .scopes = buf_slice(&g->scopes_text),
                                .tags = buf_slice(&g->tags_text),
                                .expires = {wall_now().s + TOKEN_S}};
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_token_create(a->db, &t) : -EIO;
    rc = rc ? rc : store_key_used(a->db, client->key.id, slice_str(from));
    return rc ? rc : db_commit(&tx);
}

static void
answer(struct app *a, struct http_rq *rq, const struct store_key_row *client, struct giving *g)
{
    char token[KEY_TEXT_SIZE];
    AUTO(js_freep) struct js *j = js_object();
    int rc = give(a, rq, client, g, token);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        js_set_cstr(j, "access_token", token);
        js_set_cstr(j, "token_type", "Bearer");
        js_set_int(j, "expires_in", TOKEN_S);
        js_set_str(j, "scope", buf_slice(&g->scopes_text));
        http_rq_add_header(rq, "Pragma", "no-cache");
        reply_json(rq, 200, j);
    }
    secret_wipe(token, sizeof token);
}

void api_oauth_token(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct asking q;
    struct store_key_row client;
    struct slice grant = http_rq_form(rq, "grant_type");
    if (grant.n && !slice_eq(grant, S("client_credentials"))) {
        refuse(rq, 400, "unsupported_grant_type", "grant_type must be client_credentials");
        return;
    }
    struct giving g = {.scopes_text = BUF_MAX(STORE_SCOPES_SIZE - 1),
                       .tags_text = BUF_MAX(STORE_TAGS_SIZE - 1)};
    if (!read_asking(rq, &q)) {
        refuse(rq, 400, "invalid_request", "client_id and client_secret are missing or too long");
    } else if (!find_client(a, &q, &client)) {
        refuse(rq, 401, "invalid_client", "this client is not known, or was revoked");
    } else {
        const char *error = choose(a, &q, &client, &g);
        if (error) {
            refuse(rq, 400, error, "a scope or tag is not known, or not the client's");
        } else {
            answer(a, rq, &client, &g);
        }
    }
    secret_wipe(&q, sizeof q);
    buf_deinit(&g.scopes_text);
    buf_deinit(&g.tags_text);
}
