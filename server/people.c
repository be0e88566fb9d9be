/* Rules about people, and what follows from a change. */
#include "server/people.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "server/app.h"

static const struct {
    const char *message, *fix;
} words[] = {
    [PEOPLE_DONE] = {"done", ""},
    [PEOPLE_GONE] = {"there is no such user", "list them: GET …/users"},
    [PEOPLE_SELF] = {"nobody does this to themselves", "ask somebody else who manages users"},
    [PEOPLE_OWNER] = {"the owner cannot lose what they own", "the owner has to hand over first"},
    [PEOPLE_HAND_OVER] = {"only the owner makes another person the owner",
                          "the owner does it: they become an admin"},
    [PEOPLE_ALREADY] = {"it is like that already", "nothing is left to do"},
};

const char *people_words(int rc, const char **out_fix)
{
    size_t i = rc > 0 && (size_t)rc < ARRAY_LEN(words) ? (size_t)rc : PEOPLE_GONE;
    *out_fix = words[i].fix;
    return words[i].message;
}

bool people_login_ok(struct slice login)
{
    ptrdiff_t at = slice_find(login, '@');
    return at > 0 && (size_t)at + 1 < login.n && at == slice_rfind(login, '@') &&
           text_printable(login, 200) && slice_find(login, ' ') < 0 && slice_find(login, '*') < 0;
}

static bool is_owner(const struct store_user *u)
{
    return strcmp(u->role, policy_role_name(POLICY_OWNER)) == 0;
}

static bool is_self(const struct store_user *u, const struct people_change *c)
{
    return c->who && c->who->id == u->id;
}

/* ---- what follows ---- */

struct happening {
    const char *action, *property, *event, *message;
    const char *old, *new; /* plain words */
};

static int
tell(struct app *a, const struct actor *by, const struct store_user *u, const struct happening *h)
{
    char url[300];
    struct buf old = BUF_MAX(64), new = BUF_MAX(64);
    struct js *data = js_object();
    text_cut(url, sizeof url, "%s/", a->cfg.origin);
    js_set_cstr(data, "user", u->login);
    js_set_cstr(data, "url", url);
    js_set_cstr(data, "actor", by->login);
    if (h->property) {
        js_set_cstr(data, "oldRoles", h->old);
        js_set_cstr(data, "newRoles", h->new);
    }
    buf_addf(&old, "\"%s\"", h->old);
    buf_addf(&new, "\"%s\"", h->new);
    int rc = audit_write(a, by,
                         &(struct audit_entry){.action = h->action,
                                               .type = "USER",
                                               .id = u->stable_id,
                                               .name = u->login,
                                               .property = h->property,
                                               .old = h->old[0] ? buf_slice(&old) : S(""),
                                               .new = h->new[0] ? buf_slice(&new) : S("")});
    buf_deinit(&old);
    buf_deinit(&new);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "user", 0);
    if (rc) {
        js_free(data);
        return rc;
    }
    return webhooks_emit(a, h->event, h->message, data);
}

static int committed(struct app *a, struct db_tx **tx)
{
    int rc = db_commit(tx);
    if (!rc) {
        bus_wake(a);
        webhooks_kick(a);
    }
    return rc;
}

/* A positive result of the store is no answer of ours. */
static int folded(int rc)
{
    return rc == STORE_NONE ? PEOPLE_GONE : rc > 0 ? err_fold(-EIO) : rc;
}

/* ---- roles ---- */

static int
set_role(struct app *a, const struct store_user *u, const char *role, const struct people_change *c)
{
    struct happening h = {.action = "USER.UPDATE.ROLE",
                          .property = "ROLE",
                          .event = "userRoleUpdated",
                          .message = "A user's role has changed",
                          .old = u->role,
                          .new = role};
    int rc = store_user_role(a->db, u->id, role);
    /* A session's id is new with a new role: who is signed in signs in again. */
    rc = rc ? rc : store_sessions_end(a->db, u->id, is_self(u, c) ? c->session : 0);
    return rc ? rc : tell(a, c->by, u, &h);
}

/* The owner becomes an admin in the same moment: there is one at any time. */
static int hand_over(struct app *a, const struct store_user *u, const struct people_change *c)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    struct store_user now;
    int rc = tx ? store_owner(a->db, a->tailnet.id, &now) : -EIO;
    if (!rc && c->who && now.id != c->who->id) {
        return PEOPLE_HAND_OVER;
    }
    rc = rc ? rc : set_role(a, &now, policy_role_name(POLICY_ADMIN), c);
    rc = rc ? rc : set_role(a, u, policy_role_name(POLICY_OWNER), c);
    return folded(rc ? rc : committed(a, &tx));
}

int people_role(struct app *a,
                const struct store_user *u,
                const char *role,
                const struct people_change *c)
{
    if (strcmp(u->role, role) == 0) {
        return PEOPLE_ALREADY;
    }
    if (strcmp(role, policy_role_name(POLICY_OWNER)) == 0) {
        return c->who && !is_owner(c->who)    ? PEOPLE_HAND_OVER
               : u->suspended || !u->approved ? PEOPLE_OWNER
                                              : hand_over(a, u, c);
    }
    if (is_self(u, c) || is_owner(u)) {
        return is_owner(u) ? PEOPLE_OWNER : PEOPLE_SELF;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? set_role(a, u, role, c) : -EIO;
    return folded(rc ? rc : committed(a, &tx));
}

/* ---- to be let in, kept out, gone ---- */

int people_approve(struct app *a, const struct store_user *u, const struct people_change *c)
{
    struct happening h = {.action = "USER.APPROVE",
                          .event = "userApproved",
                          .message = "A user was approved",
                          .old = "needs-approval",
                          .new = "approved"};
    if (u->approved) {
        return PEOPLE_ALREADY;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_user_set_approved(a->db, u->id, true) : -EIO;
    rc = rc ? rc : tell(a, c->by, u, &h);
    return folded(rc ? rc : committed(a, &tx));
}

int people_suspend(struct app *a,
                   const struct store_user *u,
                   bool suspended,
                   const struct people_change *c)
{
    struct happening h = {.action = suspended ? "USER.SUSPEND" : "USER.RESTORE",
                          .event = suspended ? "userSuspended" : "userRestored",
                          .message = suspended ? "A user was suspended" : "A user was restored",
                          .old = suspended ? "active" : "suspended",
                          .new = suspended ? "suspended" : "active"};
    if (suspended && (is_owner(u) || is_self(u, c))) {
        return is_self(u, c) ? PEOPLE_SELF : PEOPLE_OWNER;
    }
    if (u->suspended == suspended) {
        return PEOPLE_ALREADY;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_user_suspend(a->db, u->id, suspended) : -EIO;
    rc = rc || !suspended ? rc : store_sessions_end(a->db, u->id, 0);
    rc = rc ? rc : tell(a, c->by, u, &h);
    return folded(rc ? rc : committed(a, &tx));
}

struct leaving {
    struct app *a;
    int64_t *at;
    size_t count, room;
};

static void note_node(void *arg, int64_t node)
{
    struct leaving *l = arg;
    if (l->count < l->room) {
        l->at[l->count++] = node;
    }
}

/* Each of the person's machines goes by itself: its route, its records, its stream. */
static int log_nodes(struct app *a, const struct store_user *u, int64_t nodes)
{
    struct leaving l = {.a = a, .room = (size_t)nodes};
    AUTO_FREE int64_t *at = l.at = mem_new_array(l.room + 1, sizeof *at);
    int rc = store_user_nodes_each(a->db, u->id, note_node, &l);
    for (size_t i = 0; !rc && i < l.count; i++) {
        rc = store_change(a->db, a->tailnet.id, "node", l.at[i]);
    }
    return rc;
}

int people_delete(struct app *a, const struct store_user *u, const struct people_change *c)
{
    struct store_person p;
    struct happening h = {.action = "USER.DELETE",
                          .event = "userDeleted",
                          .message = "A user was deleted",
                          .old = u->role,
                          .new = ""};
    if (is_owner(u) || is_self(u, c)) {
        return is_owner(u) ? PEOPLE_OWNER : PEOPLE_SELF;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_person_by_id(a->db, u->id, &p) : -EIO;
    rc = rc ? rc : log_nodes(a, u, p.nodes);
    rc = rc ? rc : tell(a, c->by, u, &h);
    rc = rc ? rc : store_user_delete(a->db, u->id);
    rc = rc ? rc : committed(a, &tx);
    if (!rc) {
        log_info("user.deleted", F_STR("user", u->login), F_I64("nodes", p.nodes));
    }
    return folded(rc);
}

/* ---- new people ---- */

int people_create(struct app *a,
                  const struct actor *by,
                  const struct people_new *n,
                  int64_t *out_id)
{
    struct store_user u;
    struct happening h = {.action = "USER.CREATE",
                          .event = n->approved ? "userCreated" : "userNeedsApproval",
                          .message =
                              n->approved ? "A user has joined" : "A new user waits for approval",
                          .old = "",
                          .new = n->role};
    int rc = store_user_create(a->db, a->tailnet.id, n->login, n->role, out_id);
    rc = rc || n->approved ? rc : store_user_set_approved(a->db, *out_id, false);
    rc = rc || !n->display_name.n ? rc : store_user_set_name(a->db, *out_id, n->display_name);
    rc = rc ? rc : store_user_by_id(a->db, *out_id, &u);
    return rc ? rc : tell(a, by, &u, &h);
}
