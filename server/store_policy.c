/* Policy versions and settings, and the rows that a policy is evaluated on. */
#include "server/store_policy.h"

#include "server/store_priv.h"

#define META_COLUMNS                                                                      \
    "p.id AS id, p.etag AS etag, p.author AS author, p.via AS via, p.message AS message," \
    " p.created AS created, p.id = t.policy_id AS current, length(p.text) AS size"        \
    " FROM policies p JOIN tailnets t ON t.id = p.tailnet_id "

static void read_meta(struct db_stmt *s, struct store_policy_meta *out)
{
    out->id = db_col_i64(s, "id");
    STORE_COPY(s, "etag", out->etag);
    STORE_COPY(s, "author", out->author);
    STORE_COPY(s, "via", out->via);
    STORE_COPY(s, "message", out->message);
    out->created = (struct wall){db_col_i64(s, "created")};
    out->current = db_col_i64(s, "current") != 0;
    out->size = (size_t)db_col_i64(s, "size");
}

/* Without the text where nobody wants it: it is most of the row. */
static int one_version(struct db_stmt *s, struct store_policy_meta *out_meta, struct buf *out_text)
{
    int rc = db_step(s);
    if (rc == DB_ROW && out_text && buf_push(out_text, db_col_blob(s, "text"))) {
        return err_origin(-EMSGSIZE);
    }
    if (rc == DB_ROW) {
        read_meta(s, out_meta);
    }
    return store_found(rc);
}

#define CURRENT "WHERE t.id = :tailnet AND p.id = t.policy_id"
#define BY_REV  "WHERE p.id = :rev AND p.tailnet_id = :tailnet"

int store_policy(struct db *d,
                 int64_t tailnet,
                 struct store_policy_meta *out_meta,
                 struct buf *out_text)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, out_text ? "SELECT p.text AS text, " META_COLUMNS CURRENT
                                            : "SELECT " META_COLUMNS CURRENT);
    db_bind_i64(s, ":tailnet", tailnet);
    return one_version(s, out_meta, out_text);
}

int store_policy_version(struct db *d,
                         int64_t tailnet,
                         int64_t rev,
                         struct store_policy_meta *out_meta,
                         struct buf *out_text)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, out_text ? "SELECT p.text AS text, " META_COLUMNS BY_REV
                                            : "SELECT " META_COLUMNS BY_REV);
    db_bind_i64(s, ":rev", rev);
    db_bind_i64(s, ":tailnet", tailnet);
    return one_version(s, out_meta, out_text);
}

static int put_in_force(struct db *d, int64_t tailnet, int64_t rev)
{
    struct db_stmt *s = db_stmt(d, "UPDATE tailnets SET policy_id = :rev WHERE id = :tailnet");
    db_bind_i64(s, ":rev", rev);
    db_bind_i64(s, ":tailnet", tailnet);
    return store_touched(d, s);
}

int store_policy_save(struct db *d,
                      int64_t tailnet,
                      const struct store_policy_new *p,
                      int64_t *out_rev)
{
    struct db_stmt *s =
        db_stmt(d, "INSERT INTO policies(tailnet_id, text, etag, author, via, message, created,"
                   " summed) VALUES(:tailnet, :text, :etag, :author, :via, :message, :now, 1)");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_blob(s, ":text", p->text);
    db_bind_text(s, ":etag", slice_str(p->etag));
    db_bind_text(s, ":author", slice_str(p->author));
    db_bind_text(s, ":via", slice_str(p->via));
    db_bind_text(s, ":message", slice_str(p->message));
    db_bind_i64(s, ":now", wall_now().s);
    int rc = store_result(db_exec(s));
    int64_t rev = rc ? 0 : db_last_id(d);
    rc = rc ? rc : put_in_force(d, tailnet, rev);
    if (!rc) {
        *out_rev = rev;
    }
    return rc;
}

int store_policies_each(
    struct db *d, int64_t tailnet, int64_t before, int64_t limit, store_policy_fn fn, void *arg)
{
    struct store_policy_meta m;
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT " META_COLUMNS
                   "WHERE p.tailnet_id = :tailnet AND (:before = 0 OR p.id < :before)"
                   " ORDER BY p.id DESC LIMIT :limit");
    db_bind_i64(s, ":tailnet", tailnet);
    db_bind_i64(s, ":before", before);
    db_bind_i64(s, ":limit", limit);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        read_meta(s, &m);
        fn(arg, &m);
    }
    return store_seen(rc);
}

int store_policy_unsummed(struct db *d, int64_t *out_rev, struct buf *out_text)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT id, text FROM policies WHERE summed = 0 ORDER BY id LIMIT 1");
    int rc = db_step(s);
    if (rc == DB_ROW && buf_push(out_text, db_col_blob(s, "text"))) {
        return err_origin(-EMSGSIZE);
    }
    if (rc == DB_ROW) {
        *out_rev = db_col_i64(s, "id");
    }
    return store_found(rc);
}

int store_policy_summed(struct db *d, int64_t rev, const char *etag)
{
    struct db_stmt *s = db_stmt(d, "UPDATE policies SET etag = :etag, summed = 1 WHERE id = :rev");
    db_bind_text(s, ":etag", slice_str(etag));
    db_bind_i64(s, ":rev", rev);
    return store_result(db_exec(s));
}

/* ---- settings ---- */

int store_policy_settings(struct db *d, int64_t tailnet, struct store_policy_settings *out)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT policy_locked, policy_link, policy_if_match, policy_format"
                   " FROM tailnets WHERE id = :tailnet");
    db_bind_i64(s, ":tailnet", tailnet);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        out->locked = db_col_i64(s, "policy_locked") != 0;
        out->require_if_match = db_col_i64(s, "policy_if_match") != 0;
        out->format_on_save = db_col_i64(s, "policy_format") != 0;
        STORE_COPY(s, "policy_link", out->link);
    }
    return store_found(rc);
}

int store_policy_settings_set(struct db *d, int64_t tailnet, const struct store_policy_settings *in)
{
    struct db_stmt *s =
        db_stmt(d, "UPDATE tailnets SET policy_locked = :locked, policy_link = :link,"
                   " policy_if_match = :match, policy_format = :format WHERE id = :tailnet");
    db_bind_i64(s, ":locked", in->locked);
    db_bind_text(s, ":link", slice_str(in->link));
    db_bind_i64(s, ":match", in->require_if_match);
    db_bind_i64(s, ":format", in->format_on_save);
    db_bind_i64(s, ":tailnet", tailnet);
    return store_touched(d, s);
}

/* ---- facts ---- */

int store_facts(struct db *d, int64_t tailnet, struct store_facts *out)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT facts, https_enabled, funnel_ports FROM tailnets WHERE id = :tailnet");
    db_bind_i64(s, ":tailnet", tailnet);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        out->sequence = db_col_i64(s, "facts");
        out->https_enabled = db_col_i64(s, "https_enabled") != 0;
        STORE_COPY(s, "funnel_ports", out->funnel_ports);
    }
    return store_found(rc);
}

int store_fact_users(struct db *d, int64_t tailnet, store_fact_user_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT id, login, role, suspended FROM users WHERE tailnet_id = :tailnet"
                   " ORDER BY id");
    db_bind_i64(s, ":tailnet", tailnet);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        fn(arg, &(struct store_fact_user){.id = db_col_i64(s, "id"),
                                          .login = db_col_text(s, "login"),
                                          .role = db_col_text(s, "role"),
                                          .suspended = db_col_i64(s, "suspended") != 0});
    }
    return store_seen(rc);
}

int store_fact_nodes(struct db *d, int64_t tailnet, store_fact_node_fn fn, void *arg)
{
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(d, "SELECT id, coalesce(user_id, 0) AS user, label, tags, ipv4, ipv6 FROM nodes"
                   " WHERE tailnet_id = :tailnet ORDER BY id");
    db_bind_i64(s, ":tailnet", tailnet);
    int rc;
    while ((rc = db_step(s)) == DB_ROW) {
        fn(arg, &(struct store_fact_node){.id = db_col_i64(s, "id"),
                                          .user_id = db_col_i64(s, "user"),
                                          .label = db_col_text(s, "label"),
                                          .tags = db_col_text(s, "tags"),
                                          .ipv4 = db_col_text(s, "ipv4"),
                                          .ipv6 = db_col_text(s, "ipv6")});
    }
    return store_seen(rc);
}

int store_node_tags(struct db *d, int64_t node, struct buf *out_json)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, "SELECT tags FROM nodes WHERE id = :id");
    db_bind_i64(s, ":id", node);
    int rc = db_step(s);
    if (rc == DB_ROW && buf_push(out_json, db_col_text(s, "tags"))) {
        return err_origin(-EMSGSIZE);
    }
    return store_found(rc);
}

/* ---- life cycle ---- */

int store_node_tag(struct db *d, int64_t node, struct slice tags, int64_t user)
{
    struct db_stmt *s = db_stmt(d, "UPDATE nodes SET tags = :tags, user_id = :user WHERE id = :id");
    db_bind_text(s, ":tags", tags);
    if (user) {
        db_bind_i64(s, ":user", user);
    }
    db_bind_i64(s, ":id", node);
    return store_touched(d, s);
}

int store_node_address(struct db *d, int64_t node, struct slice ipv4)
{
    struct db_stmt *s = db_stmt(d, "UPDATE nodes SET ipv4 = :ipv4 WHERE id = :id");
    db_bind_text(s, ":ipv4", ipv4);
    db_bind_i64(s, ":id", node);
    return store_touched(d, s);
}

int store_user_role(struct db *d, int64_t user, const char *role)
{
    struct db_stmt *s = db_stmt(d, "UPDATE users SET role = :role WHERE id = :id");
    db_bind_text(s, ":role", slice_str(role));
    db_bind_i64(s, ":id", user);
    return store_touched(d, s);
}

int store_user_suspend(struct db *d, int64_t user, bool suspended)
{
    struct db_stmt *s = db_stmt(d, "UPDATE users SET suspended = :suspended WHERE id = :id");
    db_bind_i64(s, ":suspended", suspended);
    db_bind_i64(s, ":id", user);
    return store_touched(d, s);
}

int store_user_delete(struct db *d, int64_t user)
{
    struct db_stmt *s = db_stmt(d, "DELETE FROM nodes WHERE user_id = :id");
    db_bind_i64(s, ":id", user);
    int rc = store_result(db_exec(s));
    if (rc) {
        return rc;
    }
    s = db_stmt(d, "DELETE FROM users WHERE id = :id");
    db_bind_i64(s, ":id", user);
    return store_touched(d, s);
}
