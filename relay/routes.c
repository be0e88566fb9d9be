/*
 * The route table. A message is read whole into fresh objects and applied
 * only when all of it made sense: a half-applied delta would route wrongly.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "lib/data/json.h"
#include "relay/relay.h"
#include "tunnel/token.h"

enum {
    LINE_MAX = 64 * 1024 * 1024,
    ROUTES_MAX = 200000,
    PASSTHROUGH_MAX = 16,
    STALE_DEFAULT_S = 86400
};

void routes_init(struct routes *r)
{
    *r = (struct routes){.by_name = map_new(), .max_stale_s = STALE_DEFAULT_S};
}

void routes_deinit(struct routes *r)
{
    map_free_values(r->by_name);
    mem_free(r->passthrough);
    *r = (struct routes){.by_name = NULL};
}

/* ---- reading ---- */

static bool read_route(const struct js *j, struct route *out)
{
    *out = (struct route){.port_count = 0};
    const struct js *ports = js_get(j, "ports");
    if (!text_name(js_get_str(j, "name"), TEXT_NAME_HOST, out->name) ||
        !slice_copy(js_get_str(j, "node"), out->node, sizeof out->node) || !out->node[0] ||
        js_len(ports) > RELAY_PORTS_MAX) {
        return false;
    }
    for (size_t i = 0; i < js_len(ports); i++) {
        int64_t port = js_int(js_at(ports, i), 0);
        if (port < 1 || port > 65535) {
            return false;
        }
        out->ports[out->port_count++] = (uint16_t)port;
    }
    return true;
}

static void put_route(struct map *m, const struct route *route)
{
    struct route *copy = mem_new(sizeof *copy);
    *copy = *route;
    mem_free(map_set(m, slice_str(route->name), copy));
}

static bool read_routes(const struct js *list, struct map *into)
{
    if (js_len(list) > ROUTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < js_len(list); i++) {
        struct route route;
        if (!read_route(js_at(list, i), &route)) {
            return false;
        }
        put_route(into, &route);
    }
    return true;
}

static bool read_keys(const struct js *list, struct routes *out)
{
    out->key_count = 0;
    for (size_t i = 0; i < js_len(list); i++) {
        struct relay_key *k = &out->keys[out->key_count];
        if (out->key_count == RELAY_KEYS_MAX ||
            !text_unhex(js_get_str(js_at(list, i), "public"), k->public_key, 32)) {
            return false;
        }
        k->id = js_get_int(js_at(list, i), "id", 0);
        out->key_count++;
    }
    return true;
}

static bool read_passthrough(const struct js *list, struct routes *out)
{
    size_t n = js_len(list);
    if (n > PASSTHROUGH_MAX) {
        return false;
    }
    struct passthrough *p = mem_new_array(n + 1, sizeof *p);
    for (size_t i = 0; i < n; i++) {
        if (!text_name(js_get_str(js_at(list, i), "name"), TEXT_NAME_HOST, p[i].name) ||
            !addr_parse(js_get_str(js_at(list, i), "to"), &p[i].to)) {
            mem_free(p);
            return false;
        }
    }
    out->passthrough = p;
    out->passthrough_count = n;
    return true;
}

static int apply_snapshot(struct routes *r, const struct js *j, char *out_why, size_t why_size)
{
    struct routes fresh;
    routes_init(&fresh);
    fresh.version = js_get_int(j, "version", 0);
    fresh.max_stale_s = js_get_int(j, "maxStale", STALE_DEFAULT_S);
    if (!slice_copy(js_get_str(j, "relayId"), fresh.relay_id, sizeof fresh.relay_id) ||
        !read_routes(js_get(j, "routes"), fresh.by_name) || !read_keys(js_get(j, "keys"), &fresh) ||
        !read_passthrough(js_get(j, "passthrough"), &fresh)) {
        routes_deinit(&fresh);
        text_cut(out_why, why_size, "the snapshot does not make sense");
        return err_origin(-EINVAL);
    }
    routes_deinit(r);
    *r = fresh;
    return 0;
}

static int apply_delta(struct routes *r, const struct js *j, char *out_why, size_t why_size)
{
    struct map *set = map_new();
    struct routes keys = {.key_count = 0};
    const struct js *remove = js_get(j, "remove"), *new_keys = js_get(j, "keys");
    if (!read_routes(js_get(j, "set"), set) || (new_keys && !read_keys(new_keys, &keys))) {
        map_free_values(set);
        text_cut(out_why, why_size, "the delta does not make sense");
        return err_origin(-EINVAL);
    }
    for (size_t i = 0; i < js_len(remove); i++) {
        mem_free(map_del(r->by_name, js_str(js_at(remove, i))));
    }
    struct map_iter it = {0};
    struct slice name;
    void *route;
    while (map_next(set, &it, &name, &route)) {
        put_route(r->by_name, route);
    }
    if (new_keys) {
        memcpy(r->keys, keys.keys, sizeof r->keys);
        r->key_count = keys.key_count;
    }
    r->version = js_get_int(j, "version", r->version);
    map_free_values(set);
    return 0;
}

int routes_apply(struct routes *r, struct slice line, char *out_why, size_t why_size)
{
    AUTO(js_freep) struct js *j = js_parse(line, LINE_MAX, out_why, why_size);
    if (!j) {
        return err_origin(-EINVAL);
    }
    struct slice type = js_get_str(j, "type");
    int rc = 0;
    if (slice_eq(type, S("snapshot"))) {
        rc = apply_snapshot(r, j, out_why, why_size);
    } else if (slice_eq(type, S("delta"))) {
        rc = apply_delta(r, j, out_why, why_size);
    } /* other types come from newer controls and are not for us */
    if (!rc) {
        /* A snapshot from disk tells when it was heard; one from control is heard now. */
        r->heard = (struct wall){js_get_int(j, "heard", wall_now().s)};
    }
    return rc;
}

/* ---- writing ---- */

static struct js *route_json(const struct route *route)
{
    struct js *j = js_object(), *ports = js_array();
    js_set_cstr(j, "name", route->name);
    js_set_cstr(j, "node", route->node);
    for (size_t i = 0; i < route->port_count; i++) {
        js_push(ports, js_new_int(route->ports[i]));
    }
    js_set(j, "ports", ports);
    return j;
}

static struct js *keys_json(const struct routes *r)
{
    struct js *list = js_array();
    for (size_t i = 0; i < r->key_count; i++) {
        struct js *k = js_object();
        struct buf hex = BUF_MAX(64);
        text_hex(&hex, slice_of(r->keys[i].public_key, 32));
        js_set_int(k, "id", r->keys[i].id);
        js_set_str(k, "public", buf_slice(&hex));
        js_push(list, k);
        buf_deinit(&hex);
    }
    return list;
}

void routes_write(const struct routes *r, struct buf *out)
{
    AUTO(js_freep) struct js *j = js_object();
    struct js *list = js_array(), *pass = js_array();
    struct map_iter it = {0};
    struct slice name;
    void *route;
    while (map_next(r->by_name, &it, &name, &route)) {
        js_push(list, route_json(route));
    }
    for (size_t i = 0; i < r->passthrough_count; i++) {
        struct js *p = js_object();
        char to[ADDR_TEXT_SIZE];
        addr_format(&r->passthrough[i].to, to);
        js_set_cstr(p, "name", r->passthrough[i].name);
        js_set_cstr(p, "to", to);
        js_push(pass, p);
    }
    js_set_cstr(j, "type", "snapshot");
    js_set_int(j, "version", r->version);
    js_set_cstr(j, "relayId", r->relay_id);
    js_set_int(j, "maxStale", r->max_stale_s);
    js_set_int(j, "heard", r->heard.s);
    js_set(j, "keys", keys_json(r));
    js_set(j, "routes", list);
    js_set(j, "passthrough", pass);
    js_write(j, JS_COMPACT, out);
}

/* ---- asking ---- */

const struct route *routes_find(const struct routes *r, const char *name, uint16_t port)
{
    const struct route *route = map_get(r->by_name, slice_str(name));
    if (!route || !port) {
        return route;
    }
    for (size_t i = 0; i < route->port_count; i++) {
        if (route->ports[i] == port) {
            return route;
        }
    }
    return NULL;
}

const struct passthrough *routes_passthrough(const struct routes *r, const char *name)
{
    for (size_t i = 0; i < r->passthrough_count; i++) {
        if (strcmp(r->passthrough[i].name, name) == 0) {
            return &r->passthrough[i];
        }
    }
    return NULL;
}

bool routes_fresh(const struct routes *r)
{
    return wall_now().s - r->heard.s <= r->max_stale_s;
}

static const struct relay_key *find_key(const struct routes *r, uint64_t id)
{
    for (size_t i = 0; i < r->key_count; i++) {
        if ((uint64_t)r->keys[i].id == id) {
            return &r->keys[i];
        }
    }
    return NULL;
}

bool routes_check_token(const struct routes *r,
                        struct slice text,
                        const uint8_t spki[32],
                        char out_node[RELAY_ID_SIZE])
{
    struct buf payload = BUF_MAX(1024);
    uint8_t signature[64];
    struct token t;
    bool ok = token_split(text, &payload, signature, &t);
    const struct relay_key *key = ok ? find_key(r, t.key_id) : NULL;
    ok = key && t.node.n &&
         crypto_ed25519_verify(key->public_key, buf_slice(&payload), signature) &&
         token_in_time(&t, wall_now()) && slice_eq(t.relay, slice_str(r->relay_id)) &&
         secret_eq(slice_of(t.transport, 32), slice_of(spki, 32)) &&
         slice_copy(t.node, out_node, RELAY_ID_SIZE);
    buf_deinit(&payload);
    return ok;
}
