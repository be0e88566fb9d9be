/* Keys of every kind, and the tokens of OAuth clients. */
#include "server/store_keys.h"

#include "server/store_priv.h"

static const char *const key_kinds[] = {"api", "auth", "relay", "client"};

static enum store_key_kind kind_of(struct slice text)
{
    size_t i = 0;
    while (i + 1 < sizeof key_kinds / sizeof *key_kinds &&
           !slice_eq(text, slice_str(key_kinds[i]))) {
        i++;
    }
    return (enum store_key_kind)i; /* the schema allows no other */
}

int store_key_create(struct db *d, const struct store_key_new *k)
{
    char id[STORE_ID_CHARS + 1];
    secret_id(id, STORE_ID_CHARS);
    struct db_stmt *s = db_stmt(
        d, "INSERT INTO keys(tailnet_id, stable_id, kind, hash, user_id, description, reusable,"
           " ephemeral, preauthorized, tags, scopes, created, expires) VALUES(:tailnet, :stable,"
           " :kind, :hash, :user, :description, :reusable, :ephemeral, :preauthorized, :tags,"
           " :scopes, :now, :expires)");
    db_bind_i64(s, ":tailnet", k->tailnet);
    db_bind_text(s, ":stable", slice_str(k->stable_id ? k->stable_id : id));
    db_bind_text(s, ":kind", slice_str(key_kinds[k->kind]));
    db_bind_blob(s, ":hash", k->hash);
    if (k->user) {
        db_bind_i64(s, ":user", k->user);
    }
    db_bind_text(s, ":description", k->description);
    db_bind_i64(s, ":reusable", k->reusable);
    db_bind_i64(s, ":ephemeral", k->ephemeral);
    db_bind_i64(s, ":preauthorized", k->preauthorized);
    db_bind_text(s, ":tags", k->tags.n ? k->tags : S("[]"));
    db_bind_text(s, ":scopes", k->scopes);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":expires", k->expires.s);
    return store_result(db_exec(s));
}

#define KEY_COLUMNS                                                 \
    "k.id AS id, k.stable_id AS stable_id, k.kind AS kind,"         \
    " coalesce(k.user_id, 0) AS user_id, k.reusable AS reusable,"   \
    " k.ephemeral AS ephemeral, k.preauthorized AS preauthorized,"  \
    " k.expires AS expires, coalesce(k.last_used, 0) AS last_used," \
    " k.last_used IS NOT NULL AS used, coalesce(k.revoked, 0) AS revoked"

static void read_key(struct db_stmt *s, struct store_key *out)
{
    *out = (struct store_key){.id = db_col_i64(s, "id"),
                              .user_id = db_col_i64(s, "user_id"),
                              .kind = kind_of(db_col_text(s, "kind")),
                              .reusable = db_col_i64(s, "reusable") != 0,
                              .ephemeral = db_col_i64(s, "ephemeral") != 0,
                              .preauthorized = db_col_i64(s, "preauthorized") != 0,
                              .revoked = db_col_i64(s, "revoked") != 0,
                              .used = db_col_i64(s, "used") != 0,
                              .last_used = {db_col_i64(s, "last_used")},
                              .expires = {db_col_i64(s, "expires")}};
    STORE_COPY(s, "stable_id", out->stable_id);
}

int store_key(struct db *d, struct slice hash, struct store_key *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT " KEY_COLUMNS " FROM keys k WHERE k.hash = :hash");
    db_bind_blob(s, ":hash", hash);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        read_key(s, out);
    }
    return store_found(rc);
}

int store_key_used(struct db *d, int64_t id, struct slice remote)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE keys SET last_used = :now, last_remote = :remote WHERE id = :id");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_text(s, ":remote", remote);
    db_bind_i64(s, ":id", id);
    return store_result(db_exec(s));
}

int store_key_take(struct db *d, int64_t id, struct slice remote)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE keys SET last_used = :now, last_remote = :remote WHERE id = :id"
                   " AND kind = 'auth' AND revoked IS NULL AND expires > :now"
                   " AND (reusable = 1 OR last_used IS NULL)");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_text(s, ":remote", remote);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

/* ---- whole rows ---- */

#define ROW_COLUMNS                                                                               \
    "SELECT " KEY_COLUMNS ", k.description AS description, k.tags AS tags, k.scopes AS scopes,"   \
    " k.last_remote AS remote, k.created AS created, coalesce(u.login, '') AS login,"             \
    " coalesce(u.stable_id, '') AS user_stable FROM keys k LEFT JOIN users u ON u.id = k.user_id" \
    " WHERE k.kind <> 'relay' AND "

static void read_row(struct db_stmt *s, struct store_key_row *out)
{
    read_key(s, &out->key);
    STORE_COPY(s, "description", out->description);
    STORE_COPY(s, "tags", out->tags);
    STORE_COPY(s, "scopes", out->scopes);
    STORE_COPY(s, "remote", out->remote);
    STORE_COPY(s, "login", out->login);
    STORE_COPY(s, "user_stable", out->user_stable_id);
    out->created = (struct wall){db_col_i64(s, "created")};
    out->revoked = (struct wall){db_col_i64(s, "revoked")};
}

static int one_row(struct db_stmt *s, struct store_key_row *out)
{
    int rc = db_step(s);
    if (rc == DB_ROW) {
        read_row(s, out);
    }
    return store_found(rc);
}

int store_key_row(struct db *d, int64_t tailnet, struct slice stable_id, struct store_key_row *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, ROW_COLUMNS "k.tailnet_id = :tailnet AND k.stable_id = :stable");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_text(s, ":stable", stable_id);
    return one_row(s, out);
}

int store_key_by_id(struct db *d, int64_t id, struct store_key_row *out)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, ROW_COLUMNS "k.id = :id");
    db_bind_i64(s, ":id", id);
    return one_row(s, out);
}

int store_keys_each(struct db *d, int64_t tailnet, int64_t user, store_key_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, ROW_COLUMNS "k.tailnet_id = :tailnet AND (:user = 0 OR k.user_id = :user)"
                               " AND k.revoked IS NULL AND k.expires > :now ORDER BY k.id");
    struct store_key_row row;
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_i64(s, ":user", user);
    db_bind_i64(s, ":now", wall_now().s);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        read_row(s, &row);
        fn(arg, &row);
    }
    return store_seen(rc);
}

int store_keys_ending(struct db *d, const struct store_ending *e, store_key_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, ROW_COLUMNS "k.tailnet_id = :tailnet AND k.revoked IS NULL"
                               " AND k.expires > :from AND k.expires <= :until"
                               " AND k.expires - k.created > :life AND NOT (k.kind = 'auth'"
                               " AND k.reusable = 0 AND k.last_used IS NOT NULL) ORDER BY k.id");
    struct store_key_row row;
    db_bind_i64(s, ":tailnet", e->tailnet);
    db_bind_i64(s, ":from", e->from.s);
    db_bind_i64(s, ":until", e->until.s);
    db_bind_i64(s, ":life", e->life);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        read_row(s, &row);
        fn(arg, &row);
    }
    return store_seen(rc);
}

int store_key_revoke(struct db *d, int64_t id)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE keys SET revoked = :now WHERE id = :id AND revoked IS NULL");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_key_describe(struct db *d, int64_t id, struct slice description)
{
    struct db_stmt *s = db_stmt(d, "UPDATE keys SET description = :text WHERE id = :id");
    db_bind_text(s, ":text", description);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_key_grants(struct db *d, int64_t id, struct slice scopes, struct slice tags)
{
    struct db_stmt *s = db_stmt(d, "UPDATE keys SET scopes = :scopes, tags = :tags WHERE id = :id");
    db_bind_text(s, ":scopes", scopes);
    db_bind_text(s, ":tags", tags.n ? tags : S("[]"));
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

/* ---- tokens ---- */

int store_token_create(struct db *d, const struct store_token_new *t)
{
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO oauth_tokens(key_id, hash, scopes, tags, created, expires)"
                   " VALUES(:key, :hash, :scopes, :tags, :now, :expires)");
    db_bind_i64(s, ":key", t->key);
    db_bind_blob(s, ":hash", t->hash);
    db_bind_text(s, ":scopes", t->scopes);
    db_bind_text(s, ":tags", t->tags.n ? t->tags : S("[]"));
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":expires", t->expires.s);
    return store_result(db_exec(s));
}

int store_token(struct db *d, struct slice hash, struct store_token *out)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT id, key_id, scopes, tags, expires FROM oauth_tokens WHERE hash = :hash");
    db_bind_blob(s, ":hash", hash);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        out->id = db_col_i64(s, "id");
        out->key_id = db_col_i64(s, "key_id");
        STORE_COPY(s, "scopes", out->scopes);
        STORE_COPY(s, "tags", out->tags);
        out->expires = (struct wall){db_col_i64(s, "expires")};
    }
    return store_found(rc);
}

int store_tokens_end(struct db *d, int64_t key)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM oauth_tokens WHERE key_id = :key");
    db_bind_i64(s, ":key", key);
    return store_result(db_exec(s));
}

int store_tokens_expire(struct db *d, struct wall now)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM oauth_tokens WHERE expires <= :now");
    db_bind_i64(s, ":now", now.s);
    return store_result(db_exec(s));
}
