/* Status, version, readiness of the server itself, metrics. Counted when asked. */
#include "server/meta.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "server/app.h"
#include "server/events.h"
#include "server/presence.h"
#include "server/ready.h"

enum { BACKLOG = 16, CONNECTIONS = 32 };

struct meta {
    struct http_server *http;
    struct mono started;
};

struct numbers {
    int64_t nodes, nodes_online, relays, relays_up, urls, urls_ready, looks, listeners, uptime, rss;
    struct dns_counters dns;
    uint32_t serial;
    struct bus_counts bus;
    int rc;
};

static void count_relay(void *arg, const struct store_relay *r)
{
    (void)r;
    ++*(int64_t *)arg;
}

static int64_t resident(void)
{
    struct buf text = BUF_MAX(4096);
    uint64_t pages = 0;
    if (file_read("/proc/self/statm", &text) == 0) { /* "size resident …", in pages */
        struct slice rest = buf_slice(&text), field = S("");
        for (int i = 0; i < 2 && slice_split(&rest, ' ', &field); i++) {
        }
        pages = slice_u64(field, INT64_MAX / 65536, &pages) ? pages : 0;
    }
    buf_deinit(&text);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static struct numbers count(struct app *a)
{
    struct ready_counts r = ready_counts(a);
    struct numbers n = {.nodes = store_count_nodes(a->db),
                        .nodes_online = (int64_t)presence_nodes(a->presence),
                        .relays_up = (int64_t)presence_relays(a->presence),
                        .urls = (int64_t)r.urls,
                        .urls_ready = (int64_t)r.ready,
                        .looks = (int64_t)r.looks,
                        .listeners = (int64_t)events_listeners(a),
                        .uptime = (mono_now().ns - a->meta->started.ns) / SECONDS(1),
                        .rss = resident(),
                        .serial = dns_zone_serial(a->zone),
                        .bus = bus_counts(a)};
    dns_server_counters(a->dns, &n.dns);
    n.rc = store_relays_each(a->db, count_relay, &n.relays);
    n.rc = n.nodes < 0 ? (int)n.nodes : n.rc;
    return n;
}

/* ---- for people and their tools ---- */

void api_version(void *app, struct http_rq *rq)
{
    (void)app;
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "version", APP_VERSION);
    js_set_cstr(j, "api", "v2");
    reply_json(rq, 200, j);
}

void api_status(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct numbers n = count(a);
    AUTO(js_freep) struct js *j = js_object();
    struct js *devices = js_object(), *ingresses = js_object(), *funnels = js_object();
    if (n.rc) {
        reply_broken(rq, n.rc);
        js_free(devices);
        js_free(ingresses);
        js_free(funnels);
        return;
    }
    js_set_cstr(j, "version", APP_VERSION);
    js_set_cstr(j, "tailnet", a->tailnet.name);
    js_set_cstr(j, "zone", a->cfg.zone);
    js_set_bool(j, "httpsEnabled", a->tailnet.https_enabled);
    js_set_int(j, "uptimeSeconds", n.uptime);
    js_set_int(devices, "total", n.nodes);
    js_set_int(devices, "online", n.nodes_online);
    js_set(j, "devices", devices);
    js_set_int(ingresses, "total", n.relays);
    js_set_int(ingresses, "connected", n.relays_up);
    js_set(j, "ingresses", ingresses);
    js_set_int(funnels, "total", n.urls);
    js_set_int(funnels, "ready", n.urls_ready);
    js_set(j, "funnels", funnels);
    reply_json(rq, 200, j);
}

/* ---- for machines ---- */

/* Ready: the store answers and holds a tailnet. */
static void ready_now(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_tailnet t;
    int rc = store_tailnet(a->db, &t);
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "status", rc ? "not ready" : "ready");
    js_set_cstr(j, "why", rc ? "the database cannot be read" : NULL);
    reply_json(rq, rc ? 503 : 200, j);
}

static void alive_now(void *app, struct http_rq *rq)
{
    (void)app;
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "status", "ok");
    reply_json(rq, 200, j);
}

static void put(struct buf *out, const char *name, const char *kind, const char *help, int64_t v)
{
    buf_addf(out, "# HELP funnel_%s %s\n# TYPE funnel_%s %s\nfunnel_%s %lld\n", name, help, name,
             kind, name, (long long)v);
}

struct relay_lines {
    struct app *a;
    struct buf *out;
};

static void put_relay(void *arg, const struct store_relay *r)
{
    struct relay_lines *x = arg;
    const struct presence_relay *p = presence_relay(x->a->presence, r->id);
    bool up = presence_relay_up(x->a->presence, r->id);
    buf_addf(x->out, "funnel_relay_up{relay=\"%s\"} %d\n", r->name, up); /* a label: LDH */
    if (p) {
        buf_addf(x->out,
                 "funnel_relay_visitors_total{relay=\"%s\"} %lld\n"
                 "funnel_relay_refused_total{relay=\"%s\"} %lld\n"
                 "funnel_relay_bytes_total{relay=\"%s\",direction=\"in\"} %lld\n"
                 "funnel_relay_bytes_total{relay=\"%s\",direction=\"out\"} %lld\n",
                 r->name, (long long)p->visitors, r->name, (long long)p->refused, r->name,
                 (long long)p->bytes_in, r->name, (long long)p->bytes_out);
    }
}

static void metrics(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct numbers n = count(a);
    struct buf out = BUF_MAX(MIB);
    struct relay_lines lines = {a, &out};
    put(&out, "up", "gauge", "1 while the database answers", n.rc == 0);
    put(&out, "uptime_seconds", "counter", "since the start", n.uptime);
    put(&out, "resident_bytes", "gauge", "memory of this process", n.rss);
    put(&out, "devices", "gauge", "registered devices", n.nodes);
    put(&out, "devices_online", "gauge", "devices with an open stream", n.nodes_online);
    put(&out, "relays", "gauge", "enrolled relays", n.relays);
    put(&out, "relays_connected", "gauge", "relays with an open stream", n.relays_up);
    put(&out, "urls", "gauge", "public URLs", n.urls);
    put(&out, "urls_ready", "gauge", "public URLs with all steps ok", n.urls_ready);
    put(&out, "probes_total", "counter", "looks from outside", n.looks);
    put(&out, "event_listeners", "gauge", "open event streams", n.listeners);
    put(&out, "node_updates_total", "counter", "lines sent to devices", (int64_t)n.bus.updates);
    put(&out, "relay_deltas_total", "counter", "lines sent to relays", (int64_t)n.bus.deltas);
    put(&out, "dns_queries_total", "counter", "questions to our name server",
        (int64_t)n.dns.queries);
    put(&out, "dns_nxdomain_total", "counter", "names that do not exist", (int64_t)n.dns.nxdomain);
    put(&out, "dns_dropped_total", "counter", "questions not answered", (int64_t)n.dns.dropped);
    put(&out, "dns_serial", "gauge", "serial of the zone", n.serial);
    if (store_relays_each(a->db, put_relay, &lines)) {
        log_warn("metrics.relays_not_read");
    }
    http_rq_reply(rq, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&out));
    buf_deinit(&out);
}

static const struct http_route routes[] = {
    {HTTP_GET, "/healthz", 0, ROUTE_PUBLIC, alive_now},
    {HTTP_GET, "/readyz", 0, ROUTE_PUBLIC, ready_now},
    {HTTP_GET, "/metrics", 0, ROUTE_PUBLIC, metrics},
};

int meta_start(struct app *a, char *out_why, size_t why_size)
{
    struct addr at;
    const char *text = a->cfg.metrics_listen;
    a->meta = mem_new(sizeof *a->meta);
    a->meta->started = mono_now();
    if (!*text) {
        return 0;
    }
    if (!addr_parse(slice_str(text), &at)) {
        return err_origin(-EINVAL); /* config_check has looked */
    }
    struct http_opts o = {.routes = routes,
                          .route_count = ARRAY_LEN(routes),
                          .not_found = app_not_found,
                          .error = app_error,
                          .arg = a,
                          .max_connections = CONNECTIONS};
    int fd = sock_listen(&at, BACKLOG, SOCK_PLAIN);
    int rc = fd < 0 ? fd : http_server_new(a->lp, &o, out_why, why_size, &a->meta->http);
    rc = rc < 0 ? rc : http_server_listen(a->meta->http, fd);
    if (rc < 0) {
        text_cut(out_why, why_size, "metrics.listen: %s: %s", text, err_words(rc));
        return err_trace(rc);
    }
    return 0;
}

void meta_stop(struct app *a)
{
    if (a->meta) {
        http_server_free(a->meta->http);
        mem_free(a->meta);
        a->meta = NULL;
    }
}
