/* Users, their sessions and invitations. Second factors: store_factors.c. */
#include "server/store_people.h"

#include "server/store_priv.h"

/* ---- users ---- */

#define PERSON_COLUMNS                                                                       \
    "SELECT u.id, u.stable_id, u.login, u.role, u.suspended, u.display_name, u.approved, "   \
    "u.created, coalesce(u.last_seen, 0) AS last_seen, "                                     \
    "(SELECT count(*) FROM nodes n WHERE n.user_id = u.id AND n.tags = '[]') AS nodes, "     \
    "EXISTS (SELECT 1 FROM credentials c WHERE c.user_id = u.id) AS has_password, "          \
    "EXISTS (SELECT 1 FROM totp t WHERE t.user_id = u.id AND t.confirmed = 1) AS has_totp, " \
    "(SELECT count(*) FROM passkeys p WHERE p.user_id = u.id) AS passkeys FROM users u "

static void read_person(struct db_stmt *s, struct store_person *out)
{
    *out = (struct store_person){.created = {db_col_i64(s, "created")},
                                 .last_seen = {db_col_i64(s, "last_seen")},
                                 .nodes = db_col_i64(s, "nodes"),
                                 .has_password = db_col_i64(s, "has_password") != 0,
                                 .has_totp = db_col_i64(s, "has_totp") != 0,
                                 .passkeys = db_col_i64(s, "passkeys")};
    out->user.id = db_col_i64(s, "id");
    out->user.suspended = db_col_i64(s, "suspended") != 0;
    out->user.approved = db_col_i64(s, "approved") != 0;
    STORE_COPY(s, "stable_id", out->user.stable_id);
    STORE_COPY(s, "login", out->user.login);
    STORE_COPY(s, "role", out->user.role);
    STORE_COPY(s, "display_name", out->display_name);
}

static int one_person(struct db_stmt *s, struct store_person *out)
{
    int rc = db_step(s);
    if (rc == DB_ROW) {
        read_person(s, out);
    }
    return store_found(rc);
}

int store_people_each(struct db *d, int64_t tailnet, store_person_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, PERSON_COLUMNS "WHERE u.tailnet_id = :tailnet ORDER BY u.login");
    struct store_person p;
    db_bind_i64(s, ":tailnet", tailnet);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        read_person(s, &p);
        fn(arg, &p);
    }
    return store_seen(rc);
}

int store_person(struct db *d, struct slice stable_id, struct store_person *out)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, PERSON_COLUMNS "WHERE u.stable_id = :stable");
    db_bind_text(s, ":stable", stable_id);
    return one_person(s, out);
}

int store_person_by_id(struct db *d, int64_t id, struct store_person *out)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, PERSON_COLUMNS "WHERE u.id = :id");
    db_bind_i64(s, ":id", id);
    return one_person(s, out);
}

int store_owner(struct db *d, int64_t tailnet, struct store_user *out)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, PERSON_COLUMNS "WHERE u.tailnet_id = :tailnet AND u.role = 'owner' LIMIT 1");
    struct store_person p;
    db_bind_i64(s, ":tailnet", tailnet);
    int rc = one_person(s, &p);
    if (!rc) {
        *out = p.user;
    }
    return rc;
}

int store_user_set_approved(struct db *d, int64_t id, bool approved)
{
    struct db_stmt *s = db_stmt(d, "UPDATE users SET approved = :on WHERE id = :id");
    db_bind_i64(s, ":on", approved);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_user_set_name(struct db *d, int64_t id, struct slice display_name)
{
    struct db_stmt *s = db_stmt(d, "UPDATE users SET display_name = :name WHERE id = :id");
    db_bind_text(s, ":name", display_name);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_user_seen(struct db *d, int64_t id)
{
    struct db_stmt *s = db_stmt(d, "UPDATE users SET last_seen = :now WHERE id = :id");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_password_clear(struct db *d, int64_t user)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM credentials WHERE user_id = :user");
    db_bind_i64(s, ":user", user);
    return store_touched(d, s);
}

/* ---- sessions ---- */

#define SESSION_COLUMNS \
    "SELECT id, user_id, stable_id, remote, agent, method, created, last_used, verified "

int store_session_open(struct db *d, const struct store_session_new *n, int64_t *out_id)
{
    char id[STORE_ID_CHARS + 1];
    secret_id(id, STORE_ID_CHARS);
    struct db_stmt *s = db_stmt(
        d, "INSERT INTO sessions(user_id, hash, created, last_used, remote, stable_id, agent,"
           " verified, method) VALUES(:user, :hash, :now, :now, :remote, :stable, :agent, :now,"
           " :method)");
    db_bind_i64(s, ":user", n->user);
    db_bind_blob(s, ":hash", n->hash);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_text(s, ":remote", n->remote);
    db_bind_text(s, ":stable", slice_str(id));
    db_bind_text(s, ":agent", n->agent);
    db_bind_text(s, ":method", slice_str(n->method));
    int rc = store_result(db_exec(s));
    if (!rc) {
        *out_id = db_last_id(d);
    }
    return rc;
}

static void read_session(struct db_stmt *s, struct store_session_row *out)
{
    *out = (struct store_session_row){.id = db_col_i64(s, "id"),
                                      .user_id = db_col_i64(s, "user_id"),
                                      .created = {db_col_i64(s, "created")},
                                      .last_used = {db_col_i64(s, "last_used")},
                                      .verified = {db_col_i64(s, "verified")}};
    STORE_COPY(s, "stable_id", out->stable_id);
    STORE_COPY(s, "remote", out->remote);
    STORE_COPY(s, "agent", out->agent);
    STORE_COPY(s, "method", out->method);
}

int store_session_row(struct db *d, struct slice hash, struct store_session_row *out)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, SESSION_COLUMNS "FROM sessions WHERE hash = :hash");
    db_bind_blob(s, ":hash", hash);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        read_session(s, out);
    }
    return store_found(rc);
}

int store_session_verified(struct db *d, int64_t id, struct slice new_hash)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE sessions SET verified = :now, hash = :hash WHERE id = :id");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_blob(s, ":hash", new_hash);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_sessions_each(struct db *d, int64_t user, store_session_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, SESSION_COLUMNS "FROM sessions WHERE user_id = :user ORDER BY last_used DESC");
    struct store_session_row row;
    db_bind_i64(s, ":user", user);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        read_session(s, &row);
        fn(arg, &row);
    }
    return store_seen(rc);
}

int store_session_end(struct db *d, int64_t user, struct slice stable_id)
{
    struct db_stmt *s =
        db_stmt(d, "DELETE FROM sessions WHERE user_id = :user AND stable_id = :stable");
    db_bind_i64(s, ":user", user);
    db_bind_text(s, ":stable", stable_id);
    return store_touched(d, s);
}

int store_sessions_end(struct db *d, int64_t user, int64_t but)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM sessions WHERE user_id = :user AND id <> :but");
    db_bind_i64(s, ":user", user);
    db_bind_i64(s, ":but", but);
    return store_result(db_exec(s));
}

int store_sessions_expire(struct db *d, struct wall idle_before, struct wall made_before)
{
    struct db_stmt *s =
        db_stmt(d, "DELETE FROM sessions WHERE last_used < :idle OR created < :made");
    db_bind_i64(s, ":idle", idle_before.s);
    db_bind_i64(s, ":made", made_before.s);
    return store_result(db_exec(s));
}

/* ---- invitations ---- */

#define INVITE_COLUMNS                                                                            \
    "SELECT i.id, i.stable_id, i.login, i.role, coalesce(u.login, '') AS invited_by, i.created, " \
    "i.expires, coalesce(i.sent, 0) AS sent, coalesce(i.accepted, 0) AS accepted "                \
    "FROM user_invites i LEFT JOIN users u ON u.id = i.invited_by "

int store_invite_create(struct db *d,
                        const struct store_invite_new *i,
                        char out_stable_id[STORE_ID_SIZE])
{
    char id[STORE_ID_CHARS + 1];
    secret_id(id, STORE_ID_CHARS);
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO user_invites(stable_id, tailnet_id, login, role, hash, invited_by,"
                   " created, expires) VALUES(:stable, :tailnet, :login, :role, :hash, :by, :now,"
                   " :expires)");
    db_bind_text(s, ":stable", slice_str(id));
    db_bind_i64(s, ":tailnet", i->tailnet);
    db_bind_text(s, ":login", i->login);
    db_bind_text(s, ":role", slice_str(i->role));
    db_bind_blob(s, ":hash", i->hash);
    db_bind_i64(s, ":by", i->invited_by);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":expires", i->expires.s);
    int rc = store_result(db_exec(s));
    if (!rc) {
        memcpy(out_stable_id, id, sizeof id);
    }
    return rc;
}

static void read_invite(struct db_stmt *s, struct store_invite *out)
{
    *out = (struct store_invite){.id = db_col_i64(s, "id"),
                                 .created = {db_col_i64(s, "created")},
                                 .expires = {db_col_i64(s, "expires")},
                                 .sent = {db_col_i64(s, "sent")},
                                 .accepted = {db_col_i64(s, "accepted")}};
    STORE_COPY(s, "stable_id", out->stable_id);
    STORE_COPY(s, "login", out->login);
    STORE_COPY(s, "role", out->role);
    STORE_COPY(s, "invited_by", out->invited_by);
}

static int one_invite(struct db_stmt *s, struct store_invite *out)
{
    int rc = db_step(s);
    if (rc == DB_ROW) {
        read_invite(s, out);
    }
    return store_found(rc);
}

int store_invite(struct db *d, struct slice stable_id, struct store_invite *out)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, INVITE_COLUMNS "WHERE i.stable_id = :stable");
    db_bind_text(s, ":stable", stable_id);
    return one_invite(s, out);
}

int store_invite_by_hash(struct db *d, struct slice hash, struct store_invite *out)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, INVITE_COLUMNS "WHERE i.hash = :hash");
    db_bind_blob(s, ":hash", hash);
    return one_invite(s, out);
}

int store_invites_each(struct db *d, int64_t tailnet, store_invite_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, INVITE_COLUMNS "WHERE i.tailnet_id = :tailnet AND i.accepted IS"
                                                  " NULL ORDER BY i.id");
    struct store_invite row;
    db_bind_i64(s, ":tailnet", tailnet);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        read_invite(s, &row);
        fn(arg, &row);
    }
    return store_seen(rc);
}

int store_invite_renew(struct db *d, int64_t id, struct slice hash, struct wall expires)
{
    struct db_stmt *s = db_stmt(d, "UPDATE user_invites SET hash = :hash, expires = :expires,"
                                   " sent = :now WHERE id = :id AND accepted IS NULL");
    db_bind_blob(s, ":hash", hash);
    db_bind_i64(s, ":expires", expires.s);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_invite_accept(struct db *d, int64_t id)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE user_invites SET accepted = :now WHERE id = :id AND accepted IS NULL");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_invite_delete(struct db *d, struct slice stable_id)
{
    struct db_stmt *s =
        db_stmt(d, "DELETE FROM user_invites WHERE stable_id = :stable AND accepted IS NULL");
    db_bind_text(s, ":stable", stable_id);
    return store_touched(d, s);
}
