/* A node's own clock and targets, as it reports them when they change; its URLs with readiness. */
#include "server/chan_report.h"

#include <errno.h>

#include "lib/base/err.h"
#include "server/app.h"
#include "server/presence.h"
#include "server/ready.h"

enum { BACKENDS_MAX = 3, TEXT_MAX = 120 };

static void take_backend(struct app *a, int64_t node, const struct js *j)
{
    struct slice text = js_get_str(j, "text");
    bool ok = js_get_bool(j, "ok", false);
    if (text_printable(text, TEXT_MAX)) {
        ready_backend(a, node, js_get_int(j, "port", 0), ok ? READY_BACKEND_OK : READY_BACKEND_DOWN,
                      text);
    }
}

void node_report(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"time", JS_INT, true, 0},
                                             {"backends", JS_ARRAY, true, BACKENDS_MAX}};
    struct app *a = app;
    int64_t node = auth_identity(rq)->node.id;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (!j) {
        return;
    }
    const struct js *list = js_get(j, "backends");
    presence_node_clock(a->presence, node, (struct wall){js_get_int(j, "time", 0)});
    for (size_t i = 0; i < js_len(list); i++) {
        take_backend(a, node, js_at(list, i));
    }
    ready_change(a, node);
    reply_none(rq);
}

void node_funnels_get(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct store_node *n = &auth_identity(rq)->node;
    AUTO(js_freep) struct js *j = js_object();
    struct js *list = bus_funnels(a, n);
    if (!list) {
        reply_broken(rq, -EIO);
        return;
    }
    for (size_t i = 0; i < js_len(list); i++) {
        struct js *f = js_at(list, i);
        const struct ready_rung *rungs = ready_ladder(a, n->id, js_get_int(f, "port", 0));
        js_set_bool(f, "ready", ready_is_ready(rungs));
        js_set(f, "readiness", ready_json(rungs));
    }
    js_set(j, "funnels", list);
    reply_json(rq, 200, j);
}

static void add_off(void *arg, const struct store_off *o)
{
    struct js *list = arg, *j = js_object();
    char at[WALL_TEXT_SIZE];
    wall_format(o->at, at);
    js_set_int(j, "port", o->port);
    js_set_cstr(j, "by", o->by);
    js_set_cstr(j, "at", at);
    js_push(list, j);
}

struct js *report_offs(struct app *a, const struct store_node *n)
{
    struct js *list = js_array();
    if (store_offs_each(a->db, n->id, add_off, list)) {
        js_free(list);
        return NULL;
    }
    return list;
}

int report_heard_off(struct app *a, int64_t node, const struct js *list)
{
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < js_len(list); i++) {
        rc = store_off_clear(a->db, node, js_int(js_at(list, i), 0));
    }
    return rc < 0 ? rc : 0;
}
