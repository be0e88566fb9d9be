/* The REST API: who asks, and whether we are well. The policy: api_policy.c, api_ask.c,
 * api_history.c, api_settings.c; lists: api_lists.c. */
#include "server/app.h"

void api_whoami(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "id", id->user.stable_id);
    js_set_cstr(j, "loginName", id->user.login);
    js_set_cstr(j, "role", id->user.role);
    js_set_cstr(j, "tailnet", a->tailnet.name);
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
