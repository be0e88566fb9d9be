/*
 * DNS settings: one configuration, seen through five kinds of call. What comes in is read into its
 * canonical form at once, so that a GET gives back what holds and nothing else.
 */
#include "server/api_dns.h"

#include <errno.h>

#include "lib/base/err.h"
#include "server/app.h"
#include "server/store_record.h"

enum { SERVERS_MAX = 32, DOMAINS_MAX = 64, CONFIG_MAX = 64 * 1024 };

#define SETTING "dns"

/* ---- one configuration ---- */

static struct js *empty_config(void)
{
    struct js *j = js_object(), *preferences = js_object();
    js_set(j, "nameservers", js_array());
    js_set(j, "splitDNS", js_object());
    js_set(j, "searchPaths", js_array());
    js_set_bool(preferences, "overrideLocalDNS", false);
    js_set_bool(preferences, "magicDNS", false);
    js_set(j, "preferences", preferences);
    return j;
}

static int load(struct app *a, struct js **out)
{
    char why[80];
    struct buf text = BUF_MAX(CONFIG_MAX);
    int rc = store_setting(a->db, a->tailnet.id, SETTING, &text);
    struct js *j = rc == 0 ? js_parse(buf_slice(&text), CONFIG_MAX, why, sizeof why) : NULL;
    buf_deinit(&text);
    if (rc < 0) {
        return rc;
    }
    *out = j ? j : empty_config();
    return 0;
}

static int save(struct app *a, struct http_rq *rq, const struct js *old, const struct js *new)
{
    struct actor by;
    struct buf before = BUF_MAX(CONFIG_MAX), after = BUF_MAX(CONFIG_MAX);
    actor_of(rq, &by);
    js_write(old, JS_COMPACT, &before);
    js_write(new, JS_COMPACT, &after);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_setting_set(a->db, a->tailnet.id, SETTING, buf_slice(&after)) : -EIO;
    rc = rc ? rc
            : audit_write(a, &by,
                          &(struct audit_entry){.action = "TAILNET.UPDATE.DNS",
                                                .type = "TAILNET",
                                                .id = a->tailnet.stable_id,
                                                .name = a->tailnet.name,
                                                .property = "DNS",
                                                .old = buf_slice(&before),
                                                .new = buf_slice(&after)});
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "settings", 0);
    rc = rc ? rc : db_commit(&tx);
    buf_deinit(&before);
    buf_deinit(&after);
    if (!rc) {
        bus_wake(a);
    }
    return rc;
}

/* ---- reading bodies: NULL, or what is wrong ---- */

static const char *const bad_server = "a name server is an IP address",
                         *const bad_domain = "a domain is a host name such as corp.example.com",
                         *const too_many = "there are too many of them";

/* "10.0.0.1", or {"address": "10.0.0.1", "useWithExitNode": true}. */
static const char *read_server(const struct js *v, struct js *list)
{
    struct addr at;
    struct slice text = js_kind(v) == JS_OBJECT ? js_get_str(v, "address") : js_str(v);
    if (!addr_from_ip(text, 53, &at)) {
        return bad_server;
    }
    struct js *one = js_object();
    js_set_str(one, "address", text);
    js_set_bool(one, "useWithExitNode", js_get_bool(v, "useWithExitNode", false));
    js_push(list, one);
    return NULL;
}

static const char *read_servers(const struct js *v, struct js *list)
{
    const char *why = v && js_kind(v) != JS_NULL && js_kind(v) != JS_ARRAY ? bad_server : NULL;
    why = why ? why : v && js_kind(v) == JS_ARRAY && js_len(v) > SERVERS_MAX ? too_many : NULL;
    for (size_t i = 0; !why && v && js_kind(v) == JS_ARRAY && i < js_len(v); i++) {
        why = read_server(js_at(v, i), list);
    }
    return why;
}

static const char *read_paths(const struct js *v, struct js *list)
{
    char name[TEXT_NAME_SIZE];
    if (!v || js_kind(v) == JS_NULL) {
        return NULL;
    }
    if (js_kind(v) != JS_ARRAY || js_len(v) > SERVERS_MAX) {
        return js_kind(v) != JS_ARRAY ? "searchPaths is an array of domains" : too_many;
    }
    for (size_t i = 0; i < js_len(v); i++) {
        if (!text_name(js_str(js_at(v, i)), TEXT_NAME_UNDERSCORE, name)) {
            return bad_domain;
        }
        js_push_str(list, slice_str(name));
    }
    return NULL;
}

/* Into `split`; a domain with null or without servers is taken out. */
static const char *read_split(const struct js *v, struct js *split)
{
    struct js_iter it = {0};
    const char *name, *why = NULL;
    char domain[TEXT_NAME_SIZE];
    struct js *servers;
    size_t count = 0;
    if (!v || js_kind(v) == JS_NULL) {
        return NULL;
    }
    if (js_kind(v) != JS_OBJECT) {
        return "split DNS is an object: domain to a list of name servers";
    }
    while (!why && js_next(v, &it, &name, &servers)) {
        struct js *list = js_array();
        why = text_name(slice_str(name), TEXT_NAME_UNDERSCORE, domain) ? read_servers(servers, list)
                                                                       : bad_domain;
        why = why ? why : ++count > DOMAINS_MAX ? too_many : NULL;
        if (why) {
            js_free(list);
        } else {
            js_set(split, domain, list);
        }
    }
    return why;
}

static const char *read_preferences(const struct js *v, struct js *out)
{
    static const char *const names[] = {"magicDNS", "overrideLocalDNS"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct js *x = js_get(v, names[i]);
        if (x && js_kind(x) != JS_NULL && js_kind(x) != JS_BOOL) {
            return "preferences are true or false";
        }
        js_set_bool(out, names[i], js_get_bool(v, names[i], js_get_bool(out, names[i], false)));
    }
    return NULL;
}

/* Domains without servers do not stand there. */
static struct js *without_empty(const struct js *split)
{
    struct js *out = js_object(), *servers;
    struct js_iter it = {0};
    const char *name;
    while (js_next(split, &it, &name, &servers)) {
        if (js_len(servers)) {
            js_set(out, name, js_ref(servers));
        }
    }
    return out;
}

/* ---- the five views ---- */

static struct js *addresses(const struct js *servers)
{
    struct js *list = js_array();
    for (size_t i = 0; i < js_len(servers); i++) {
        js_push_str(list, js_get_str(js_at(servers, i), "address"));
    }
    return list;
}

static struct js *view_nameservers(const struct js *config)
{
    struct js *j = js_object();
    js_set(j, "dns", addresses(js_get(config, "nameservers")));
    js_set_bool(j, "magicDNS", js_get_bool(js_get(config, "preferences"), "magicDNS", false));
    return j;
}

static struct js *view_searchpaths(const struct js *config)
{
    struct js *j = js_object();
    js_set(j, "searchPaths", js_ref(js_get(config, "searchPaths")));
    return j;
}

static struct js *view_preferences(const struct js *config)
{
    struct js *j = js_object();
    js_set_bool(j, "magicDNS", js_get_bool(js_get(config, "preferences"), "magicDNS", false));
    return j;
}

static struct js *view_split(const struct js *config)
{
    struct js *j = js_object(), *servers;
    struct js_iter it = {0};
    const char *name;
    while (js_next(js_get(config, "splitDNS"), &it, &name, &servers)) {
        js_set(j, name, addresses(servers));
    }
    return j;
}

static struct js *view_configuration(const struct js *config)
{
    return js_ref(unconst(config));
}

/* Changes a copy of the configuration; NULL, or what is wrong. */
static const char *set_nameservers(const struct js *body, struct js *config)
{
    struct js *list = js_array();
    const char *why = js_get(body, "dns") ? read_servers(js_get(body, "dns"), list)
                                          : "dns is missing: an array of IP addresses";
    js_set(config, "nameservers", list);
    return why;
}

static const char *set_searchpaths(const struct js *body, struct js *config)
{
    struct js *list = js_array();
    const char *why = js_get(body, "searchPaths") ? read_paths(js_get(body, "searchPaths"), list)
                                                  : "searchPaths is missing: an array of domains";
    js_set(config, "searchPaths", list);
    return why;
}

static const char *set_preferences(const struct js *body, struct js *config)
{
    struct js *preferences = js_object(), *old = js_get(config, "preferences");
    js_set_bool(preferences, "overrideLocalDNS", js_get_bool(old, "overrideLocalDNS", false));
    js_set_bool(preferences, "magicDNS", js_get_bool(old, "magicDNS", false));
    const char *why = read_preferences(body, preferences);
    js_set(config, "preferences", preferences);
    return why;
}

static const char *set_split(const struct js *body, struct js *config)
{
    AUTO(js_freep) struct js *split = js_object();
    const char *why = read_split(body, split);
    js_set(config, "splitDNS", without_empty(split));
    return why;
}

static const char *patch_split(const struct js *body, struct js *config)
{
    AUTO(js_freep) struct js *split = without_empty(js_get(config, "splitDNS"));
    const char *why = read_split(body, split);
    js_set(config, "splitDNS", without_empty(split));
    return why;
}

static const char *set_configuration(const struct js *body, struct js *config)
{
    struct js *servers = js_array(), *paths = js_array();
    const char *why = read_servers(js_get(body, "nameservers"), servers);
    why = why ? why : read_paths(js_get(body, "searchPaths"), paths);
    js_set(config, "nameservers", servers);
    js_set(config, "searchPaths", paths);
    why = why ? why : set_split(js_get(body, "splitDNS"), config);
    return why ? why : set_preferences(js_get(body, "preferences"), config);
}

typedef struct js *(*view_fn)(const struct js *config);
typedef const char *(*set_fn)(const struct js *body, struct js *config);

static void show(struct app *a, struct http_rq *rq, view_fn view)
{
    AUTO(js_freep) struct js *config = NULL;
    int rc = load(a, &config);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    AUTO(js_freep) struct js *j = view(config);
    rest_object(rq, j);
}

/* A copy whose members can be replaced without touching the original's. */
static struct js *copy_of(const struct js *config)
{
    struct js *out = js_object(), *value;
    struct js_iter it = {0};
    const char *name;
    while (js_next(config, &it, &name, &value)) {
        js_set(out, name, js_ref(value));
    }
    return out;
}

static void change(struct app *a, struct http_rq *rq, view_fn view, set_fn set)
{
    char parse_why[200] = "the body is not a JSON object";
    AUTO(js_freep) struct js *old = NULL;
    AUTO(js_freep)
    struct js *body = js_parse(http_rq_body(rq), CONFIG_MAX, parse_why, sizeof parse_why);
    int rc = load(a, &old);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    AUTO(js_freep) struct js *seen = view(old);
    AUTO(js_freep) struct js *new = copy_of(old);
    const char *why = body && js_kind(body) == JS_OBJECT ? set(body, new) : parse_why;
    if (why) {
        reply_problem(rq, &(struct problem){400, "dns.invalid", why, "see docs/api.md, \"DNS\""});
        return;
    }
    if (!rest_match(rq, seen)) {
        return;
    }
    rc = save(a, rq, old, new);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    AUTO(js_freep) struct js *j = view(new);
    rest_object(rq, j);
}

void api_dns_nameservers(void *app, struct http_rq *rq)
{
    show(app, rq, view_nameservers);
}

void api_dns_nameservers_set(void *app, struct http_rq *rq)
{
    change(app, rq, view_nameservers, set_nameservers);
}

void api_dns_searchpaths(void *app, struct http_rq *rq)
{
    show(app, rq, view_searchpaths);
}

void api_dns_searchpaths_set(void *app, struct http_rq *rq)
{
    change(app, rq, view_searchpaths, set_searchpaths);
}

void api_dns_preferences(void *app, struct http_rq *rq)
{
    show(app, rq, view_preferences);
}

void api_dns_preferences_set(void *app, struct http_rq *rq)
{
    change(app, rq, view_preferences, set_preferences);
}

void api_dns_split(void *app, struct http_rq *rq)
{
    show(app, rq, view_split);
}

void api_dns_split_set(void *app, struct http_rq *rq)
{
    change(app, rq, view_split, set_split);
}

void api_dns_split_patch(void *app, struct http_rq *rq)
{
    change(app, rq, view_split, patch_split);
}

void api_dns_configuration(void *app, struct http_rq *rq)
{
    show(app, rq, view_configuration);
}

void api_dns_configuration_set(void *app, struct http_rq *rq)
{
    change(app, rq, view_configuration, set_configuration);
}
