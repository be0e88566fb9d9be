/*
 * The control channel: a stream of routes in, reports out. Everything goes on
 * without it for max_stale; it comes back by itself.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/json.h"
#include "relay/relay.h"

enum { URL_SIZE = 512, LINE_MAX = 64 * 1024 * 1024 };

static const int64_t backoff_first = MS(250), backoff_most = SECONDS(5), report_every = SECONDS(15),
                     heard_every = SECONDS(60), ask_anew = SECONDS(1);

struct channel {
    struct relay *r;
    struct fetch *stream, *report;
    struct timer again, regular;
    struct deferred refused;       /* a line made no sense: all of it is wanted again */
    struct deferred applied, soon; /* once a turn, however many lines or sessions came in it */
    int64_t backoff;
    bool want_all;       /* what we have is not to be built upon */
    bool connected;      /* the stream is open: what it has said is still true */
    bool report_pending; /* one is to follow the one that runs */
    struct mono heard_saved;
};

static void open_stream(struct channel *c);
static void send_report(struct channel *c);

/* ---- reports ---- */

static void add_node(void *arg, const char *node, struct wall since)
{
    struct js *j = js_object();
    js_set_cstr(j, "node", node);
    js_set_int(j, "since", since.s);
    js_push(arg, j);
}

static struct js *counters(const struct relay *r)
{
    struct js *j = js_object();
    js_set_int(j, "visitors", (int64_t)r->count.visitors);
    js_set_int(j, "refused", (int64_t)r->count.refused);
    js_set_int(j, "bytesIn", (int64_t)r->count.bytes_in);
    js_set_int(j, "bytesOut", (int64_t)r->count.bytes_out);
    js_set_int(j, "helloErrors", (int64_t)r->count.hello_errors);
    js_set_int(j, "helloTimeouts", (int64_t)r->count.hello_timeouts);
    return j;
}

/* Control is there and its stream is open: the routes are as fresh as if sent anew. */
static void still_true(struct channel *c)
{
    struct relay *r = c->r;
    r->routes.heard = wall_now();
    if (mono_reached(loop_now(r->lp), mono_after(c->heard_saved, heard_every))) {
        c->heard_saved = loop_now(r->lp);
        if (state_save_heard(&r->state, r->routes.heard) < 0) {
            log_warn("heard.not_saved", F_STR("fix", "look at the state directory"));
        }
    }
}

static void on_report_done(void *arg, const struct fetch_result *res)
{
    struct channel *c = arg;
    c->report = NULL;
    if (res->err || res->status != 204) {
        log_debug("report.failed", F_I64("status", res->status), F_STR("why", res->why));
        return; /* the next regular one says all of it */
    }
    if (c->connected) {
        still_true(c);
    }
    if (c->report_pending) {
        send_report(c);
    }
}

static void url_of(const struct relay *r, const char *path, char out[URL_SIZE])
{
    text_fit(out, URL_SIZE, "%s%s", r->cfg.control, path);
}

static void send_report(struct channel *c)
{
    struct relay *r = c->r;
    if (c->report) {
        c->report_pending = true;
        return;
    }
    c->report_pending = false;
    char url[URL_SIZE];
    struct buf body = BUF_MAX(8 * MIB);
    AUTO(js_freep) struct js *j = js_object();
    struct js *nodes = js_array();
    js_set_int(j, "version", r->routes.version);
    js_set_int(j, "time", wall_now().s);
    rsession_each(r, add_node, nodes);
    js_set(j, "nodes", nodes);
    js_set(j, "counters", counters(r));
    js_write(j, JS_COMPACT, &body);
    url_of(r, "/relay/v1/report", url);
    struct fetch_opts o = {
        .url = url, .body = buf_slice(&body), .bearer = buf_slice(&r->state.token)};
    c->report = fetch_start(r->fetcher, &o, on_report_done, c);
    buf_deinit(&body);
}

static void on_soon(void *arg)
{
    send_report(arg);
}

void channel_report_soon(struct relay *r)
{
    if (r->channel) {
        loop_defer(r->lp, &r->channel->soon, on_soon, r->channel);
    }
}

static void on_regular(void *arg)
{
    struct channel *c = arg;
    timer_set_in(c->r->lp, &c->regular, report_every, on_regular, c);
    send_report(c);
}

/* ---- the stream ---- */

static void on_open(void *arg)
{
    struct channel *c = arg;
    c->backoff = backoff_first;
    c->connected = true;
    log_info("control.connected");
}

/* After the lines of one turn: they are in force; on disk before the report says so. */
static void on_applied(void *arg)
{
    struct channel *c = arg;
    struct relay *r = c->r;
    visitor_close_unrouted(r);
    if (state_save_routes(&r->state, &r->routes) < 0) {
        log_error("routes.not_saved",
                  F_STR("fix", "look at the state directory: space, permissions"));
    }
    log_info("routes.applied", F_I64("version", r->routes.version),
             F_U64("routes", map_count(r->routes.by_name)));
    send_report(c);
}

static void on_again(void *arg)
{
    open_stream(arg);
}

/* A delta that was not applied would make those after it wrong: begin with a snapshot. */
static void on_refused(void *arg)
{
    struct channel *c = arg;
    fetch_cancel(STEAL(c->stream));
    c->connected = false;
    c->want_all = true;
    timer_set_in(c->r->lp, &c->again, ask_anew, on_again, c);
}

static void on_line(void *arg, struct slice line)
{
    struct channel *c = arg;
    char why[200];
    if (c->refused.pending) {
        return; /* it came in one piece with what was refused */
    }
    if (routes_apply(&c->r->routes, line, why, sizeof why) < 0) {
        log_warn("routes.refused", F_STR("why", why));
        loop_defer(c->r->lp, &c->refused, on_refused, c);
        return;
    }
    c->want_all = false;
    loop_defer(c->r->lp, &c->applied, on_applied, c);
}

static void on_done(void *arg, const struct fetch_result *res)
{
    struct channel *c = arg;
    uint8_t jitter;
    c->stream = NULL;
    c->connected = false;
    secret_random(&jitter, 1);
    log_warn("control.lost", F_I64("status", res->status), F_STR("why", res->why));
    timer_set_in(c->r->lp, &c->again, c->backoff + c->backoff * jitter / 1024, on_again, c);
    c->backoff = c->backoff * 2 < backoff_most ? c->backoff * 2 : backoff_most;
}

static void open_stream(struct channel *c)
{
    char url[URL_SIZE], path[64];
    text_fit(path, sizeof path, "/relay/v1/stream?have=%lld",
             c->want_all ? 0LL : (long long)c->r->routes.version);
    url_of(c->r, path, url);
    struct fetch_opts o = {.url = url, .bearer = buf_slice(&c->r->state.token), .max = LINE_MAX};
    c->stream = fetch_stream(c->r->fetcher, &o, on_open, on_line, on_done, c);
}

void channel_start(struct relay *r)
{
    struct channel *c = mem_new(sizeof *c);
    c->r = r;
    c->backoff = backoff_first;
    r->channel = c;
    open_stream(c);
    timer_set_in(r->lp, &c->regular, report_every, on_regular, c);
}

void channel_stop(struct relay *r)
{
    struct channel *c = r->channel;
    if (!c) {
        return;
    }
    r->channel = NULL;
    fetch_cancel(c->stream);
    fetch_cancel(c->report);
    timer_cancel(&c->again);
    timer_cancel(&c->regular);
    deferred_cancel(&c->refused);
    deferred_cancel(&c->applied);
    deferred_cancel(&c->soon);
    mem_free(c);
}

/* ---- enrolment: once, by an operator ---- */

struct enrolment {
    struct relay *r;
    char *why;
    size_t why_size;
    int rc;
};

static void on_enrolled(void *arg, const struct fetch_result *res)
{
    struct enrolment *e = arg;
    AUTO(js_freep) struct js *j = res->err ? NULL : js_parse(res->body, MIB, e->why, e->why_size);
    struct slice token = js_get_str(j, "relayToken");
    if (res->err) {
        text_cut(e->why, e->why_size, "%s: %s", e->r->cfg.control, res->why);
        e->rc = res->err;
    } else if (res->status != 200 || !token.n) {
        char message[200] = "";
        err_ignore(slice_copy(slice_sub(js_get_str(j, "message"), 0, sizeof message - 1), message,
                              sizeof message));
        text_cut(e->why, e->why_size, "control answered %ld: %s", res->status, message);
        e->rc = -EACCES;
    } else {
        e->rc = state_save_token(&e->r->state, token);
        if (e->rc < 0) {
            text_cut(e->why, e->why_size, "the token could not be written to %s", e->r->state.dir);
        }
    }
    loop_stop(e->r->lp);
}

static struct js *enrol_body(struct relay *r, struct slice key)
{
    struct js *j = js_object(), *addresses = js_array(), *ports = js_object(), *pins = js_array();
    struct buf pin = BUF_MAX(64);
    for (size_t i = 0; i < r->cfg.addresses.count; i++) {
        js_push_str(addresses, slice_str(r->cfg.addresses.items[i]));
    }
    int64_t main_port = 443;
    for (size_t i = 0; i < r->cfg.ports.count; i++) {
        char name[16];
        text_fit(name, sizeof name, "%d", (int)r->cfg.ports.items[i].key);
        js_set_int(ports, name, r->cfg.ports.items[i].value);
        main_port = r->cfg.ports.items[i].key == 443 ? r->cfg.ports.items[i].value : main_port;
    }
    text_hex(&pin, slice_of(r->state.spki, sizeof r->state.spki));
    js_push_str(pins, buf_slice(&pin));
    buf_deinit(&pin);
    js_set_str(j, "relayKey", key);
    js_set_cstr(j, "name", r->cfg.name);
    js_set_cstr(j, "host", r->cfg.host);
    js_set(j, "addresses", addresses);
    js_set_int(j, "port", main_port);
    js_set(j, "ports", ports);
    js_set(j, "pins", pins);
    js_set_cstr(j, "version", "0.1.0");
    return j;
}

int channel_enroll(struct relay *r, struct slice key, char *out_why, size_t why_size)
{
    char url[URL_SIZE];
    struct enrolment e = {.r = r, .why_size = why_size, .rc = -EIO};
    struct buf body = BUF_MAX(64 * KIB);
    AUTO(js_freep) struct js *j = enrol_body(r, key);
    e.why = out_why;
    js_write(j, JS_COMPACT, &body);
    url_of(r, "/relay/v1/enroll", url);
    fetch_start(r->fetcher, &(struct fetch_opts){.url = url, .body = buf_slice(&body)}, on_enrolled,
                &e);
    secret_wipe_buf(&body);
    int rc = loop_run(r->lp);
    return rc < 0 ? rc : e.rc;
}
