/* Tailnet, people, their sessions, the audit and the change log. */
#include "server/store_priv.h"

int store_tailnet_create(struct db *d, struct slice name, int64_t *out_id)
{
    char id[STORE_ID_CHARS + 1];
    secret_id(id, STORE_ID_CHARS);
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO tailnets(stable_id, name, created) VALUES(:stable, :name, :now)");
    db_bind_text(s, ":stable", slice_str(id));
    db_bind_text(s, ":name", name);
    db_bind_i64(s, ":now", wall_now().s);
    int rc = store_result(db_exec(s));
    if (!rc) {
        *out_id = db_last_id(d);
    }
    return rc;
}

int store_tailnet(struct db *d, struct store_tailnet *out)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT id, stable_id, name, https_enabled FROM tailnets ORDER BY id LIMIT 1");
    int rc = db_step(s);
    if (rc == DB_ROW) {
        out->id = db_col_i64(s, "id");
        STORE_COPY(s, "stable_id", out->stable_id);
        STORE_COPY(s, "name", out->name);
        out->https_enabled = db_col_i64(s, "https_enabled") != 0;
    }
    return store_found(rc);
}

int store_tailnet_https(struct db *d, int64_t id, bool on)
{
    struct db_stmt *s = db_stmt(d, "UPDATE tailnets SET https_enabled = :on WHERE id = :id");
    db_bind_i64(s, ":on", on);
    db_bind_i64(s, ":id", id);
    return store_result(db_exec(s));
}

/* ---- users ---- */

int store_user_create(
    struct db *d, int64_t tailnet, struct slice login, const char *role, int64_t *out_id)
{
    char id[STORE_ID_CHARS + 1];
    secret_id(id, STORE_ID_CHARS);
    struct db_stmt *s = db_stmt(d, "INSERT INTO users(tailnet_id, stable_id, login, role, created)"
                                   " VALUES(:tailnet, :stable, :login, :role, :now)");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_text(s, ":stable", slice_str(id));
    db_bind_text(s, ":login", login);
    db_bind_text(s, ":role", slice_str(role));
    db_bind_i64(s, ":now", wall_now().s);
    int rc = store_result(db_exec(s));
    if (!rc) {
        *out_id = db_last_id(d);
    }
    return rc;
}

static int read_user(struct db_stmt *s, struct store_user *out)
{
    int rc = db_step(s);
    if (rc == DB_ROW) {
        out->id = db_col_i64(s, "id");
        STORE_COPY(s, "stable_id", out->stable_id);
        STORE_COPY(s, "login", out->login);
        STORE_COPY(s, "role", out->role);
        out->suspended = db_col_i64(s, "suspended") != 0;
        out->approved = db_col_i64(s, "approved") != 0;
    }
    return store_found(rc);
}

int store_user_by_login(struct db *d, struct slice login, struct store_user *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d,
        "SELECT id, stable_id, login, role, suspended, approved FROM users WHERE login = :login");
    db_bind_text(s, ":login", login);
    return read_user(s, out);
}

int store_user_by_id(struct db *d, int64_t id, struct store_user *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d, "SELECT id, stable_id, login, role, suspended, approved FROM users WHERE id = :id");
    db_bind_i64(s, ":id", id);
    return read_user(s, out);
}

int store_password_set(struct db *d, int64_t user, struct slice encoded)
{
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO credentials(user_id, hash, created) VALUES(:user, :hash, :now)"
                   " ON CONFLICT(user_id) DO UPDATE SET hash = :hash, created = :now");
    db_bind_i64(s, ":user", user);
    db_bind_text(s, ":hash", encoded);
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

int store_password(struct db *d, int64_t user, struct buf *out_encoded)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT hash FROM credentials WHERE user_id = :user");
    db_bind_i64(s, ":user", user);
    int rc = db_step(s);
    if (rc == DB_ROW && buf_push(out_encoded, db_col_text(s, "hash"))) {
        return err_origin(-EMSGSIZE);
    }
    return store_found(rc);
}

/* ---- sessions ---- */

int store_session_create(struct db *d, int64_t user, struct slice hash, struct slice remote)
{
    struct db_stmt *s = db_stmt(d, "INSERT INTO sessions(user_id, hash, created, last_used, remote)"
                                   " VALUES(:user, :hash, :now, :now, :remote)");
    db_bind_i64(s, ":user", user);
    db_bind_blob(s, ":hash", hash);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_text(s, ":remote", remote);
    return store_result(db_exec(s));
}

int store_session(struct db *d, struct slice hash, struct store_session *out)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT id, user_id, created, last_used FROM sessions WHERE hash = :hash");
    db_bind_blob(s, ":hash", hash);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        *out = (struct store_session){.id = db_col_i64(s, "id"),
                                      .user_id = db_col_i64(s, "user_id"),
                                      .created = {db_col_i64(s, "created")},
                                      .last_used = {db_col_i64(s, "last_used")}};
    }
    return store_found(rc);
}

int store_session_touch(struct db *d, int64_t id)
{
    struct db_stmt *s = db_stmt(d, "UPDATE sessions SET last_used = :now WHERE id = :id");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":id", id);
    return store_result(db_exec(s));
}

int store_session_delete(struct db *d, int64_t id)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM sessions WHERE id = :id");
    db_bind_i64(s, ":id", id);
    return store_result(db_exec(s));
}

/* ---- setup links ---- */

int store_setup_create(
    struct db *d, int64_t user, struct slice hash, struct slice code, struct wall expires)
{
    struct db_stmt *s = db_stmt(d, "INSERT INTO setup_links(user_id, hash, code, expires)"
                                   " VALUES(:user, :hash, :code, :expires)");
    db_bind_i64(s, ":user", user);
    db_bind_blob(s, ":hash", hash);
    db_bind_blob(s, ":code", code);
    db_bind_i64(s, ":expires", expires.s);
    return store_result(db_exec(s));
}

int store_setup(struct db *d, struct slice hash, struct store_setup *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d, "SELECT id, user_id, code, tries, expires, used FROM setup_links WHERE hash = :hash");
    db_bind_blob(s, ":hash", hash);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        struct slice code = db_col_blob(s, "code");
        *out = (struct store_setup){.id = db_col_i64(s, "id"),
                                    .user_id = db_col_i64(s, "user_id"),
                                    .tries = db_col_i64(s, "tries"),
                                    .expires = {db_col_i64(s, "expires")},
                                    .used = !db_col_null(s, "used")};
        memcpy(out->code, code.p, code.n < sizeof out->code ? code.n : sizeof out->code);
    }
    return store_found(rc);
}

int store_setup_tried(struct db *d, int64_t id)
{
    struct db_stmt *s = db_stmt(d, "UPDATE setup_links SET tries = tries + 1 WHERE id = :id");
    db_bind_i64(s, ":id", id);
    return store_result(db_exec(s));
}

int store_setup_used(struct db *d, int64_t id)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE setup_links SET used = :now WHERE id = :id AND used IS NULL");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

/* ---- change log ---- */

int store_change(struct db *d, int64_t tailnet, const char *kind, int64_t node)
{
    struct db_stmt *s = db_stmt(
        d,
        "INSERT INTO changes(tailnet_id, kind, node_id, at) VALUES(:tailnet, :kind, :node, :now)");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_text(s, ":kind", slice_str(kind));
    if (node) {
        db_bind_i64(s, ":node", node);
    }
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

int64_t store_change_head(struct db *d)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d, "SELECT coalesce(max(seq), 0) AS head FROM sqlite_sequence WHERE name = 'changes'");
    return store_number(s, "head");
}

int store_changes_since(struct db *d, int64_t *seq, store_change_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d,
        "SELECT seq, kind, coalesce(node_id, 0) AS node FROM changes WHERE seq > :seq ORDER BY seq");
    db_bind_i64(s, ":seq", *seq);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        *seq = db_col_i64(s, "seq");
        fn(arg, *seq, db_col_text(s, "kind"), db_col_i64(s, "node"));
    }
    return store_seen(rc);
}

int store_changes_trim(struct db *d, int64_t keep)
{
    struct db_stmt *s =
        db_stmt(d, "DELETE FROM changes WHERE seq <= (SELECT max(seq) FROM changes) - :keep");
    db_bind_i64(s, ":keep", keep);
    return store_result(db_exec(s));
}
