/* The REST API: the list of public URLs. */
#include <errno.h>

#include "server/app.h"

struct listing {
    struct app *a;
    struct js *list;
    int rc;
};

static void add_funnels(void *arg, const struct store_node *n)
{
    struct listing *l = arg;
    AUTO(js_freep) struct js *mine = bus_funnels(l->a, n);
    l->rc = mine ? l->rc : -EIO;
    for (size_t i = 0; i < js_len(mine); i++) {
        struct js *f = js_ref(js_at(mine, i));
        js_set_cstr(f, "nodeId", n->stable_id);
        js_set_cstr(f, "user", n->login);
        js_push(l->list, f);
    }
}

static void reply_list(struct app *a, struct http_rq *rq, const char *name, store_node_fn fn)
{
    struct listing l = {.a = a, .list = js_array()};
    AUTO(js_freep) struct js *j = js_object();
    int rc = store_nodes_each(a->db, fn, &l);
    rc = rc ? rc : l.rc;
    js_set(j, name, l.list);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_json(rq, 200, j);
    }
}

void api_funnels(void *app, struct http_rq *rq)
{
    reply_list(app, rq, "funnels", add_funnels);
}
