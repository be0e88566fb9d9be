/* Reading devices: one, and lists with filters. What changes them: api_device_edit.c. */
#include "server/api_devices.h"

#include <errno.h>

#include "lib/base/err.h"
#include "server/app.h"

enum { FILTERS_MAX = 32, NUMBER_CHARS = 24 };

/* ---- one device ---- */

static struct js *parse_tags(const struct store_device *x)
{
    char why[80];
    if (strcmp(x->tags, "[]") == 0) {
        return NULL;
    }
    return js_parse(slice_str(x->tags), sizeof x->tags, why, sizeof why);
}

static void set_times(struct app *a, struct js *j, const struct store_node *n)
{
    char text[WALL_TEXT_SIZE];
    wall_format(n->created, text);
    js_set_cstr(j, "created", text);
    bool here = bus_node_connected(a, n->id);
    js_set_bool(j, "connectedToControl", here);
    if (!here) {
        wall_format(n->last_seen.s ? n->last_seen : n->created, text);
        js_set_cstr(j, "lastSeen", text);
    }
    js_set_bool(j, "keyExpiryDisabled", n->expiry_disabled || !n->key_expires.s);
    if (n->key_expires.s) {
        wall_format(n->key_expires, text);
        js_set_cstr(j, "expires", text);
    }
}

struct js *device_json(struct app *a, const struct store_device *x)
{
    const struct store_node *n = &x->node;
    struct js *j = js_object(), *addresses = js_array(), *tags = parse_tags(x);
    char name[TEXT_NAME_SIZE], number[NUMBER_CHARS], key[80];
    app_fqdn(a, n->label, name);
    text_fit(number, sizeof number, "%lld", (long long)n->id);
    text_fit(key, sizeof key, "nodekey:%s", n->transport_key);
    js_push_str(addresses, slice_str(n->ipv4));
    js_push_str(addresses, slice_str(n->ipv6));
    js_set_cstr(j, "id", number);
    js_set_cstr(j, "nodeId", n->stable_id);
    js_set_cstr(j, "name", name);
    js_set_cstr(j, "hostname", n->hostname);
    js_set_cstr(j, "user", n->login[0] ? n->login : x->registered);
    js_set(j, "addresses", addresses);
    js_set_cstr(j, "os", n->os);
    js_set_cstr(j, "clientVersion", n->version);
    js_set_cstr(j, "nodeKey", key);
    js_set_cstr(j, "machineKey", "");
    set_times(a, j, n);
    js_set_bool(j, "authorized", n->authorized);
    js_set_bool(j, "isEphemeral", n->ephemeral);
    js_set_bool(j, "isExternal", false);
    js_set_bool(j, "updateAvailable", false);
    js_set_bool(j, "blocksIncomingConnections", false);
    if (tags) {
        js_set(j, "tags", tags);
    }
    js_set_bool(j, "funnel", policy_state_may(a, n));
    js_set_int(j, "relays", x->relays);
    return j;
}

/* fields=all: beside it what no tag depends on. */
static void set_more(struct js *j, const struct store_node *n)
{
    struct js *connectivity = js_object(), *endpoints = js_array();
    if (n->remote[0]) {
        js_push_str(endpoints, slice_str(n->remote));
    }
    js_set(connectivity, "endpoints", endpoints);
    js_set(j, "clientConnectivity", connectivity);
    js_set(j, "advertisedRoutes", js_array());
    js_set(j, "enabledRoutes", js_array());
    js_set_bool(j, "sshEnabled", false);
    js_set_cstr(j, "tailnetLockKey", "");
    js_set_cstr(j, "tailnetLockError", "");
}

bool device_visible(const struct identity *id, const struct store_node *n)
{
    return auth_may(id, PERM_MACHINES_READ) || (n->user_id && n->user_id == id->user.id);
}

bool device_find(struct app *a, struct http_rq *rq, struct store_device *out)
{
    struct slice id = http_rq_param(rq, "id");
    uint64_t number;
    int rc = store_device(a->db, id, out);
    if (rc == STORE_NONE && slice_u64(id, INT64_MAX, &number)) {
        rc = store_device_by_number(a->db, (int64_t)number, out);
    }
    if (rc < 0) {
        reply_broken(rq, rc);
        return false;
    }
    if (rc || !device_visible(auth_identity(rq), &out->node)) {
        reply_problem(rq, &(struct problem){404, "device.unknown", "there is no such device",
                                            "look at the list of devices"});
        return false;
    }
    return true;
}

bool device_find_match(struct app *a, struct http_rq *rq, struct store_device *out)
{
    if (!device_find(a, rq, out)) {
        return false;
    }
    if (!http_rq_header(rq, "If-Match").n) {
        return true;
    }
    AUTO(js_freep) struct js *now = device_json(a, out);
    return rest_match(rq, now);
}

static bool wants_all(struct http_rq *rq)
{
    return slice_eq(http_rq_query(rq, "fields"), S("all"));
}

void api_device(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_device x;
    if (!device_find(a, rq, &x)) {
        return;
    }
    AUTO(js_freep) struct js *j = device_json(a, &x);
    if (!wants_all(rq)) {
        rest_object(rq, j);
    } else if (rest_fresh(rq, j)) { /* the tag is the object's, however much of it is shown */
        set_more(j, &x.node);
        reply_json(rq, 200, j);
    }
}

/* ---- lists ---- */

struct filter {
    struct slice name, value;
};

struct listing {
    struct app *a;
    struct http_rq *rq;
    const struct identity *id;
    struct filter filters[FILTERS_MAX];
    size_t count;
    bool too_many, all, first;
    struct rest_page page;
    struct buf out;
};

static void note_filter(void *arg, struct slice name, struct slice value)
{
    struct listing *l = arg;
    if (slice_eq(name, S("fields")) || slice_eq(name, S("limit")) || slice_eq(name, S("cursor"))) {
        return;
    }
    if (l->count == FILTERS_MAX) {
        l->too_many = true;
        return;
    }
    l->filters[l->count++] = (struct filter){name, value};
}

static bool filters_ok(struct listing *l)
{
    static const char *const names[] = {"id",
                                        "nodeId",
                                        "name",
                                        "hostname",
                                        "user",
                                        "addresses",
                                        "os",
                                        "authorized",
                                        "isEphemeral",
                                        "isExternal",
                                        "tags",
                                        "clientVersion",
                                        "funnel",
                                        "relays",
                                        "expires",
                                        "created",
                                        "lastSeen",
                                        "keyExpiryDisabled",
                                        "machineKey",
                                        "nodeKey",
                                        "updateAvailable",
                                        "connectedToControl",
                                        "blocksIncomingConnections"};
    char text[160];
    for (size_t i = 0; i < l->count; i++) {
        bool known = false;
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            known = known || slice_eq(l->filters[i].name, slice_str(names[k]));
        }
        if (!known) {
            const char *near = slice_nearest(l->filters[i].name, names, ARRAY_LEN(names));
            text_cut(text, sizeof text, near ? "did you mean \"%s\"?" : "see docs/api.md", near);
            reply_problem(l->rq, &(struct problem){400, "filter.unknown",
                                                   "devices cannot be filtered by that", text});
            return false;
        }
    }
    if (l->too_many) {
        reply_problem(l->rq, &(struct problem){400, "filter.too_many", "too many filters",
                                               "at most 32 in one call"});
    }
    return !l->too_many;
}

static bool equals(const struct js *v, struct slice wanted)
{
    char text[NUMBER_CHARS];
    if (!v) {
        return false;
    }
    switch (js_kind(v)) {
    case JS_STR:
        return slice_eq_nocase(js_str(v), wanted);
    case JS_INT:
        text_fit(text, sizeof text, "%lld", (long long)js_int(v, 0));
        return slice_eq(slice_str(text), wanted);
    case JS_ARRAY:
        for (size_t i = 0; i < js_len(v); i++) {
            if (slice_eq_nocase(js_str(js_at(v, i)), wanted)) {
                return true;
            }
        }
        return false;
    case JS_BOOL:
    case JS_NULL:
    case JS_REAL:
    case JS_OBJECT:
        break;
    }
    return false;
}

static bool holds(const struct js *device, const struct filter *f)
{
    char name[64];
    if (!slice_copy(f->name, name, sizeof name)) {
        return false;
    }
    const struct js *v = js_get(device, name);
    if (v && js_kind(v) == JS_BOOL) {
        return slice_eq(f->value, js_get_bool(device, name, false) ? S("true") : S("false"));
    }
    return equals(v, f->value);
}

/* The same key twice: either. Two keys: both. */
static bool passes(const struct listing *l, const struct js *device)
{
    for (size_t i = 0; i < l->count; i++) {
        bool one = false;
        for (size_t k = 0; k < l->count && !one; k++) {
            one = slice_eq(l->filters[k].name, l->filters[i].name) && holds(device, &l->filters[k]);
        }
        if (!one) {
            return false;
        }
    }
    return true;
}

/* Each is written as it is read: ten thousand devices never stand in memory as values. */
static bool add_device(void *arg, const struct store_device *x)
{
    struct listing *l = arg;
    if (!device_visible(l->id, &x->node)) {
        return true;
    }
    AUTO(js_freep) struct js *j = device_json(l->a, x);
    if (passes(l, j) && rest_page_take(&l->page, x->node.id)) {
        if (l->all) {
            set_more(j, &x->node);
        }
        buf_adds(&l->out, l->first ? "" : ",");
        js_write(j, JS_COMPACT, &l->out);
        l->first = false;
    }
    return !l->page.more;
}

static void finish(struct listing *l)
{
    AUTO(js_freep) struct js *end = js_object();
    struct buf text = BUF_MAX(256);
    rest_page_end(&l->page, end);
    js_write(end, JS_COMPACT, &text);
    /* {"devices":[…]} and {"nextCursor":"…"} become one object. */
    buf_adds(&l->out, "]");
    if (text.len > 2) {
        buf_addc(&l->out, ',');
    }
    buf_add(&l->out, slice_skip(buf_slice(&text), 1));
    buf_addc(&l->out, '\n');
    buf_deinit(&text);
    http_rq_add_header(l->rq, "Cache-Control", "no-store");
    http_rq_reply(l->rq, 200, "application/json", buf_slice(&l->out));
}

void api_devices(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct listing l = {.a = a,
                        .rq = rq,
                        .id = auth_identity(rq),
                        .all = wants_all(rq),
                        .first = true,
                        .out = BUF_MAX(64 * MIB)};
    http_rq_query_each(rq, note_filter, &l);
    if (!filters_ok(&l) || !rest_page_read(rq, &l.page)) {
        return;
    }
    buf_adds(&l.out, "{\"devices\":[");
    int rc = store_devices_each(a->db, a->tailnet.id, l.page.after, add_device, &l);
    rc = rc || buf_ok(&l.out) ? rc : err_origin(-EMSGSIZE);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        finish(&l);
    }
    buf_deinit(&l.out);
}
