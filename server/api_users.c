/* GET, and what is done to people. */
#include "server/api_users.h"

#include "server/app.h"
#include "server/people.h"

enum { IDLE_AFTER_S = 28 * 86400 };

static const char *status_of(const struct store_person *p)
{
    return p->user.suspended                              ? "suspended"
           : !p->user.approved                            ? "needs-approval"
           : wall_now().s - p->last_seen.s > IDLE_AFTER_S ? "idle"
                                                          : "active";
}

static struct js *user_json(struct app *a, const struct store_person *p)
{
    struct js *j = js_object();
    char text[WALL_TEXT_SIZE];
    js_set_cstr(j, "id", p->user.stable_id);
    js_set_cstr(j, "displayName", p->display_name[0] ? p->display_name : p->user.login);
    js_set_cstr(j, "loginName", p->user.login);
    js_set_cstr(j, "profilePicUrl", "");
    js_set_cstr(j, "tailnetId", a->tailnet.stable_id);
    wall_format(p->created, text);
    js_set_cstr(j, "created", text);
    js_set_cstr(j, "type", "member");
    js_set_cstr(j, "role", p->user.role);
    js_set_cstr(j, "status", status_of(p));
    js_set_int(j, "deviceCount", p->nodes);
    if (p->last_seen.s) {
        wall_format(p->last_seen, text);
        js_set_cstr(j, "lastSeen", text);
    }
    js_set_bool(j, "currentlyConnected", store_user_nodes_online(a->db, p->user.id) > 0);
    return j;
}

struct listing {
    struct js *list;
    struct app *a;
    struct slice role;
};

static void push_user(void *arg, const struct store_person *p)
{
    struct listing *l = arg;
    if (!l->role.n || slice_eq(l->role, slice_str(p->user.role))) {
        js_push(l->list, user_json(l->a, p));
    }
}

void api_users(void *app, struct http_rq *rq)
{
    struct app *a = app;
    AUTO(js_freep) struct js *j = js_object();
    struct listing l = {.list = js_array(), .a = a, .role = http_rq_query(rq, "role")};
    js_set(j, "users", l.list);
    /* Nobody is shared in from elsewhere. */
    bool none = slice_eq(http_rq_query(rq, "type"), S("shared"));
    int rc = none ? 0 : store_people_each(a->db, a->tailnet.id, push_user, &l);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_json(rq, 200, j);
    }
}

static void refuse(struct http_rq *rq, int status, const char *code, int rc)
{
    const char *fix, *message = people_words(rc, &fix);
    reply_problem(rq, &(struct problem){status, code, message, fix});
}

static bool find(struct app *a, struct http_rq *rq, struct store_person *out)
{
    int rc = store_person(a->db, http_rq_param(rq, "id"), out);
    if (rc < 0) {
        reply_broken(rq, rc);
    } else if (rc) {
        refuse(rq, 404, "user.unknown", PEOPLE_GONE);
    }
    return rc == 0;
}

void api_user(void *app, struct http_rq *rq)
{
    struct store_person p;
    if (find(app, rq, &p)) {
        AUTO(js_freep) struct js *j = user_json(app, &p);
        rest_object(rq, j);
    }
}

/* ---- changes ---- */

/* False after a 404 or 412. */
static bool begin(struct app *a, struct http_rq *rq, struct store_person *p)
{
    if (!find(a, rq, p)) {
        return false;
    }
    AUTO(js_freep) struct js *now = user_json(a, p);
    return rest_match(rq, now);
}

static void people_of(struct http_rq *rq, struct actor *by, struct people_change *out)
{
    const struct identity *id = auth_identity(rq);
    actor_of(rq, by);
    *out = (struct people_change){.by = by, .who = &id->user, .session = id->session};
}

static void finish(struct http_rq *rq, int rc)
{
    if (rc < 0) {
        reply_broken(rq, rc);
    } else if (rc == PEOPLE_GONE) {
        refuse(rq, 404, "user.unknown", rc);
    } else if (rc == PEOPLE_SELF || rc == PEOPLE_OWNER || rc == PEOPLE_HAND_OVER) {
        refuse(rq, 403,
               rc == PEOPLE_SELF    ? "user.self"
               : rc == PEOPLE_OWNER ? "user.owner"
                                    : "user.hand_over",
               rc);
    } else {
        http_rq_reply(rq, 200, NULL, S("")); /* as it is already is as good */
    }
}

void api_user_role(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"role", JS_STR, true, 24}};
    struct app *a = app;
    struct store_person p;
    struct people_change c;
    struct actor by;
    enum policy_role role;
    if (!begin(a, rq, &p)) {
        return;
    }
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (!j) {
        return;
    }
    if (!policy_role_parse(js_get_str(j, "role"), &role)) {
        reply_problem(rq, &(struct problem){400, "user.role", "there is no such role",
                                            "owner, admin, network-admin, it-admin, billing-admin, "
                                            "auditor or member"});
        return;
    }
    if (role == POLICY_OWNER && auth_identity(rq)->scoped) {
        refuse(rq, 403, "user.hand_over", PEOPLE_HAND_OVER); /* a program is not the owner */
        return;
    }
    people_of(rq, &by, &c);
    finish(rq, people_role(a, &p.user, policy_role_name(role), &c));
}

void api_user_approve(void *app, struct http_rq *rq)
{
    struct store_person p;
    struct people_change c;
    struct actor by;
    if (begin(app, rq, &p)) {
        people_of(rq, &by, &c);
        finish(rq, people_approve(app, &p.user, &c));
    }
}

static void suspend(struct app *a, struct http_rq *rq, bool suspended)
{
    struct store_person p;
    struct people_change c;
    struct actor by;
    if (begin(a, rq, &p)) {
        people_of(rq, &by, &c);
        finish(rq, people_suspend(a, &p.user, suspended, &c));
    }
}

void api_user_suspend(void *app, struct http_rq *rq)
{
    suspend(app, rq, true);
}

void api_user_restore(void *app, struct http_rq *rq)
{
    suspend(app, rq, false);
}

void api_user_delete(void *app, struct http_rq *rq)
{
    struct store_person p;
    struct people_change c;
    struct actor by;
    if (begin(app, rq, &p)) {
        people_of(rq, &by, &c);
        finish(rq, people_delete(app, &p.user, &c));
    }
}
