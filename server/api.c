/* The REST API: who asks, and whether we are well. The policy: api_policy.c, api_ask.c,
 * api_history.c, api_settings.c; lists: api_lists.c. */
#include <errno.h>

#include "server/app.h"
#include "server/store_people.h"

static struct js *permissions_of(const struct identity *id)
{
    struct js *list = js_array();
    for (int p = PERM_NONE + 1; p < PERMISSION_COUNT; p++) {
        if (auth_may(id, (enum permission)p)) {
            js_push_str(list, slice_str(permission_name((enum permission)p)));
        }
    }
    return list;
}

void api_whoami(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    struct store_person person;
    int rc = store_person_by_id(a->db, id->user.id, &person);
    if (rc) {
        reply_broken(rq, rc < 0 ? rc : -ENOENT);
        return;
    }
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "id", id->user.stable_id);
    js_set_cstr(j, "loginName", id->user.login);
    js_set_cstr(j, "displayName", person.display_name[0] ? person.display_name : id->user.login);
    js_set_cstr(j, "role", id->user.role);
    js_set_cstr(j, "tailnet", a->tailnet.name);
    js_set(j, "permissions", permissions_of(id));
    js_set_cstr(j, "csrfToken", id->session ? id->csrf : NULL);
    reply_json(rq, 200, j);
}

void api_health(void *app, struct http_rq *rq)
{
    (void)app;
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "status", "ok");
    js_set_cstr(j, "version", APP_VERSION);
    reply_json(rq, 200, j);
}
