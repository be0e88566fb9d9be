/*
 * Routes: which name and ports lead to which node. A route is looked at again only when its node is
 * concerned, and relays hear only what differs.
 */
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "server/bus_priv.h"

struct route {
    int64_t node;
    char name[TEXT_NAME_SIZE];
    char *json;
};

struct bus_routes {
    struct app *a;
    struct map *by_node; /* id → struct route */
};

static struct slice key_of(const int64_t *id)
{
    return slice_of(id, sizeof *id);
}

static struct js *parse_own(const char *text)
{
    char why[100];
    return js_parse(slice_str(text), BUS_LINE_MAX, why, sizeof why);
}

static void free_route(struct route *r)
{
    if (r) {
        mem_free(r->json);
        mem_free(r);
    }
}

/* ---- one node ---- */

struct wish {
    struct app *a;
    const struct store_node *n;
    struct js *ports;
};

static void add_port(void *arg, const struct store_funnel *f)
{
    struct wish *w = arg;
    if (policy_state_gate(w->a, w->n, f->port) == POLICY_GATE_OPEN) {
        js_push(w->ports, js_new_int(f->port));
    }
}

/* *out is NULL when nobody may visit the node. 0, or -errno when that could not be found out: then
 * a route that is there must stay. */
static int make_route(struct app *a, int64_t node, struct route **out)
{
    struct store_node n;
    *out = NULL;
    int rc = store_node(a->db, node, &n);
    if (rc || !policy_state_may(a, &n)) {
        return rc == STORE_NONE ? 0 : rc;
    }
    struct wish w = {.a = a, .n = &n, .ports = js_array()};
    rc = store_funnels_each(a->db, node, add_port, &w);
    if (rc || !js_len(w.ports)) {
        js_free(w.ports);
        return rc;
    }
    struct route *r = mem_new(sizeof *r);
    struct buf text = BUF_MAX(1024);
    AUTO(js_freep) struct js *j = js_object();
    r->node = node;
    app_fqdn(a, n.label, r->name);
    js_set_cstr(j, "name", r->name);
    js_set(j, "ports", w.ports);
    js_set_cstr(j, "node", n.stable_id);
    js_write(j, JS_COMPACT, &text);
    r->json = buf_steal_cstr(&text);
    *out = r;
    return 0;
}

int bus_routes_refresh(struct bus_routes *rs, int64_t node, struct bus_delta *d)
{
    struct route *fresh;
    int rc = make_route(rs->a, node, &fresh);
    if (rc) {
        return err_trace(rc);
    }
    struct route *old =
        fresh ? map_set(rs->by_node, key_of(&node), fresh) : map_del(rs->by_node, key_of(&node));
    if (old && (!fresh || strcmp(old->name, fresh->name) != 0)) {
        d->remove = d->remove ? d->remove : js_array();
        js_push_str(d->remove, slice_str(old->name));
    }
    if (fresh && (!old || strcmp(old->json, fresh->json) != 0)) {
        d->set = d->set ? d->set : js_array();
        js_push(d->set, parse_own(fresh->json));
    }
    free_route(old);
    return 0;
}

/* ---- all of them ---- */

struct first_look {
    struct bus_routes *routes;
    int rc;
};

static void first_look(void *arg, int64_t node)
{
    struct first_look *f = arg;
    struct route *r;
    int rc = make_route(f->routes->a, node, &r);
    f->rc = f->rc ? f->rc : rc;
    if (r) {
        free_route(map_set(f->routes->by_node, key_of(&node), r));
    }
}

struct bus_routes *bus_routes_new(struct app *a)
{
    enum { BATCH = 256 };

    struct bus_routes *rs = mem_new(sizeof *rs);
    *rs = (struct bus_routes){.a = a, .by_node = map_new()};
    struct first_look f = {.routes = rs};
    for (int64_t last = 0; last >= 0 && !f.rc;) {
        int rc = store_funnel_nodes(a->db, &last, BATCH, first_look, &f);
        f.rc = f.rc ? f.rc : rc;
    }
    if (f.rc) {
        log_error("routes.not_read", F_ERR(f.rc));
        bus_routes_free(rs);
        return NULL;
    }
    return rs;
}

void bus_routes_free(struct bus_routes *rs)
{
    struct map_iter it = {0};
    struct slice key;
    void *value;
    if (!rs) {
        return;
    }
    while (map_next(rs->by_node, &it, &key, &value)) {
        free_route(value);
    }
    map_free(rs->by_node);
    mem_free(rs);
}

size_t bus_routes_count(const struct bus_routes *rs)
{
    return map_count(rs->by_node);
}

void bus_routes_each(const struct bus_routes *rs, bus_route_fn fn, void *arg)
{
    struct map_iter it = {0};
    struct slice key;
    void *value;
    while (map_next(rs->by_node, &it, &key, &value)) {
        fn(arg, ((const struct route *)value)->node);
    }
}

/* ---- lines ---- */

bool bus_delta_write(struct bus_delta *d, int64_t version, struct buf *out)
{
    bool some = d->set || d->remove;
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "type", "delta");
    js_set_int(j, "version", version);
    js_set(j, "set", d->set ? d->set : js_array());
    js_set(j, "remove", d->remove ? d->remove : js_array());
    *d = (struct bus_delta){NULL, NULL};
    if (some) {
        js_write(j, JS_COMPACT, out);
        buf_addc(out, '\n');
    }
    return some;
}

static struct js *keys_json(const struct app *a)
{
    struct js *keys = js_array(), *key = js_object();
    struct buf hex = BUF_MAX(64);
    text_hex(&hex, slice_of(a->secrets.sign_public, 32));
    js_set_int(key, "id", 1);
    js_set_str(key, "public", buf_slice(&hex));
    js_push(keys, key);
    buf_deinit(&hex);
    return keys;
}

static struct js *passthrough_json(const struct app *a)
{
    struct js *pass = js_array();
    if (*a->cfg.passthrough) {
        struct js *p = js_object();
        struct slice host = slice_skip(slice_str(a->cfg.origin), 8);
        ptrdiff_t colon = slice_find(host, ':');
        js_set_str(p, "name", colon < 0 ? host : slice_of(host.p, (size_t)colon));
        js_set_cstr(p, "to", a->cfg.passthrough);
        js_push(pass, p);
    }
    return pass;
}

void bus_routes_snapshot(const struct bus_routes *rs,
                         int64_t version,
                         const char *relay_id,
                         struct buf *out)
{
    AUTO(js_freep) struct js *j = js_object();
    struct js *routes = js_array();
    struct map_iter it = {0};
    struct slice key;
    void *value;
    while (map_next(rs->by_node, &it, &key, &value)) {
        js_push(routes, parse_own(((const struct route *)value)->json));
    }
    js_set_cstr(j, "type", "snapshot");
    js_set_int(j, "version", version);
    js_set_cstr(j, "relayId", relay_id);
    js_set_int(j, "maxStale", 86400);
    js_set(j, "keys", keys_json(rs->a));
    js_set(j, "routes", routes);
    js_set(j, "passthrough", passthrough_json(rs->a));
    js_write(j, JS_COMPACT, out);
    buf_addc(out, '\n');
}
