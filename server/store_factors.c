/* What people sign in with beside a password: passkeys, one-time and recovery codes, OIDC. */
#include "server/store_people.h"
#include "server/store_priv.h"

/* ---- passkeys ---- */

#define PASSKEY_COLUMNS                                                                    \
    "SELECT id, user_id, stable_id, credential, public_key, algorithm, sign_count, name, " \
    "created, coalesce(last_used, 0) AS last_used FROM passkeys "

int store_passkey_add(struct db *d, const struct store_passkey_new *p)
{
    char id[STORE_ID_CHARS + 1];
    secret_id(id, STORE_ID_CHARS);
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO passkeys(stable_id, user_id, credential, public_key, algorithm,"
                   " sign_count, name, created) VALUES(:stable, :user, :credential, :key,"
                   " :algorithm, :count, :name, :now)");
    db_bind_text(s, ":stable", slice_str(id));
    db_bind_i64(s, ":user", p->user);
    db_bind_blob(s, ":credential", p->credential);
    db_bind_blob(s, ":key", p->public_key);
    db_bind_i64(s, ":algorithm", p->algorithm);
    db_bind_i64(s, ":count", p->sign_count);
    db_bind_text(s, ":name", p->name);
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

static void read_passkey(struct db_stmt *s, struct store_passkey *out)
{
    *out = (struct store_passkey){.id = db_col_i64(s, "id"),
                                  .user_id = db_col_i64(s, "user_id"),
                                  .algorithm = db_col_i64(s, "algorithm"),
                                  .sign_count = db_col_i64(s, "sign_count"),
                                  .created = {db_col_i64(s, "created")},
                                  .last_used = {db_col_i64(s, "last_used")}};
    STORE_COPY(s, "stable_id", out->stable_id);
    STORE_COPY(s, "name", out->name);
}

int store_passkey(struct db *d,
                  struct slice credential,
                  struct store_passkey *out,
                  struct buf *out_key)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, PASSKEY_COLUMNS "WHERE credential = :credential");
    db_bind_blob(s, ":credential", credential);
    int rc = db_step(s);
    if (rc == DB_ROW && buf_push(out_key, db_col_blob(s, "public_key"))) {
        return err_origin(-EMSGSIZE);
    }
    if (rc == DB_ROW) {
        read_passkey(s, out);
    }
    return store_found(rc);
}

int store_passkeys_each(struct db *d, int64_t user, store_passkey_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, PASSKEY_COLUMNS "WHERE user_id = :user ORDER BY id");
    struct store_passkey row;
    db_bind_i64(s, ":user", user);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        read_passkey(s, &row);
        fn(arg, &row, db_col_blob(s, "credential"));
    }
    return store_seen(rc);
}

int store_passkey_used(struct db *d, int64_t id, int64_t sign_count)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE passkeys SET sign_count = :count, last_used = :now WHERE id = :id");
    db_bind_i64(s, ":count", sign_count);
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":id", id);
    return store_touched(d, s);
}

int store_passkey_rename(struct db *d, int64_t user, struct slice stable_id, struct slice name)
{
    struct db_stmt *s = db_stmt(
        d, "UPDATE passkeys SET name = :name WHERE user_id = :user AND stable_id = :stable");
    db_bind_text(s, ":name", name);
    db_bind_i64(s, ":user", user);
    db_bind_text(s, ":stable", stable_id);
    return store_touched(d, s);
}

int store_passkey_delete(struct db *d, int64_t user, struct slice stable_id)
{
    struct db_stmt *s =
        db_stmt(d, "DELETE FROM passkeys WHERE user_id = :user AND stable_id = :stable");
    db_bind_i64(s, ":user", user);
    db_bind_text(s, ":stable", stable_id);
    return store_touched(d, s);
}

/* ---- one-time codes ---- */

int store_totp_set(struct db *d, int64_t user, struct slice sealed)
{
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO totp(user_id, sealed, created) VALUES(:user, :sealed, :now)"
                   " ON CONFLICT(user_id) DO UPDATE SET sealed = :sealed, confirmed = 0,"
                   " last_step = 0, created = :now");
    db_bind_i64(s, ":user", user);
    db_bind_blob(s, ":sealed", sealed);
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

int store_totp(struct db *d, int64_t user, struct store_totp *out, struct buf *out_sealed)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT sealed, confirmed, last_step FROM totp WHERE user_id = :user");
    db_bind_i64(s, ":user", user);
    int rc = db_step(s);
    if (rc == DB_ROW && buf_push(out_sealed, db_col_blob(s, "sealed"))) {
        return err_origin(-EMSGSIZE);
    }
    if (rc == DB_ROW) {
        out->confirmed = db_col_i64(s, "confirmed") != 0;
        out->last_step = db_col_i64(s, "last_step");
    }
    return store_found(rc);
}

int store_totp_confirm(struct db *d, int64_t user, int64_t step)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE totp SET confirmed = 1, last_step = :step WHERE user_id = :user");
    db_bind_i64(s, ":step", step);
    db_bind_i64(s, ":user", user);
    return store_touched(d, s);
}

int store_totp_take(struct db *d, int64_t user, int64_t step)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE totp SET last_step = :step WHERE user_id = :user AND last_step < :step");
    db_bind_i64(s, ":step", step);
    db_bind_i64(s, ":user", user);
    return store_touched(d, s);
}

int store_totp_clear(struct db *d, int64_t user)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM totp WHERE user_id = :user");
    db_bind_i64(s, ":user", user);
    return store_touched(d, s);
}

/* ---- recovery codes ---- */

int store_recovery_set(struct db *d, int64_t user, const struct slice *hashes, size_t count)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM recovery_codes WHERE user_id = :user");
    db_bind_i64(s, ":user", user);
    int rc = store_result(db_exec(s));
    for (size_t i = 0; i < count && !rc; i++) {
        s = db_stmt(d, "INSERT INTO recovery_codes(user_id, hash) VALUES(:user, :hash)");
        db_bind_i64(s, ":user", user);
        db_bind_blob(s, ":hash", hashes[i]);
        rc = store_result(db_exec(s));
    }
    return rc;
}

int store_recovery_take(struct db *d, int64_t user, struct slice hash)
{
    struct db_stmt *s = db_stmt(d, "UPDATE recovery_codes SET used = :now WHERE user_id = :user"
                                   " AND hash = :hash AND used IS NULL");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_i64(s, ":user", user);
    db_bind_blob(s, ":hash", hash);
    return store_touched(d, s);
}

int64_t store_recovery_left(struct db *d, int64_t user)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d, "SELECT count(*) AS n FROM recovery_codes WHERE user_id = :user AND used IS NULL");
    db_bind_i64(s, ":user", user);
    return store_number(s, "n");
}

/* ---- OIDC ---- */

int store_oidc_user(struct db *d, struct slice issuer, struct slice subject, int64_t *out_user)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(
        d, "SELECT user_id FROM oidc_identities WHERE issuer = :issuer AND subject = :subject");
    db_bind_text(s, ":issuer", issuer);
    db_bind_text(s, ":subject", subject);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        *out_user = db_col_i64(s, "user_id");
    }
    return store_found(rc);
}

int store_oidc_link(struct db *d, int64_t user, struct slice issuer, struct slice subject)
{
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO oidc_identities(user_id, issuer, subject, created, last_used)"
                   " VALUES(:user, :issuer, :subject, :now, :now)");
    db_bind_i64(s, ":user", user);
    db_bind_text(s, ":issuer", issuer);
    db_bind_text(s, ":subject", subject);
    db_bind_i64(s, ":now", wall_now().s);
    return store_result(db_exec(s));
}

int store_oidc_used(struct db *d, struct slice issuer, struct slice subject)
{
    struct db_stmt *s = db_stmt(d, "UPDATE oidc_identities SET last_used = :now WHERE"
                                   " issuer = :issuer AND subject = :subject");
    db_bind_i64(s, ":now", wall_now().s);
    db_bind_text(s, ":issuer", issuer);
    db_bind_text(s, ":subject", subject);
    return store_touched(d, s);
}
