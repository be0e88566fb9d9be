/* Users' nodes, and invitations by login. */
#include "server/store_users.h"

#include "server/store_priv.h"

int store_user_nodes_each(struct db *d, int64_t user, store_id_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT id FROM nodes WHERE user_id = :user ORDER BY id");
    db_bind_i64(s, ":user", user);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        fn(arg, db_col_i64(s, "id"));
    }
    return store_seen(rc);
}

int64_t store_user_nodes_online(struct db *d, int64_t user)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT count(*) AS n FROM nodes n WHERE n.user_id = :user AND EXISTS"
                   " (SELECT 1 FROM relay_nodes r WHERE r.node_id = n.id)");
    db_bind_i64(s, ":user", user);
    return store_number(s, "n");
}

int store_invite_open(struct db *d, int64_t tailnet, struct slice login, struct store_invite *out)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT stable_id FROM user_invites WHERE tailnet_id = :tailnet"
                   " AND login = :login AND accepted IS NULL AND expires > :now LIMIT 1");
    char id[STORE_ID_SIZE] = "";
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_text(s, ":login", login);
    db_bind_i64(s, ":now", wall_now().s);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        STORE_COPY(s, "stable_id", id);
    }
    rc = store_found(rc);
    return rc ? rc : store_invite(d, slice_str(id), out);
}
