/* Control: the stream of what holds for us, and the calls. The stream comes back by itself; what
 * was known goes on meanwhile. */
#include "agent/agent.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"

enum { URL_SIZE = 512, LINE_MAX = 1024 * 1024 };

static const int slot_ports[AGENT_FUNNELS] = {443, 8443, 10000};

static const int64_t backoff_first = MS(250), backoff_most = SECONDS(5), put_again = SECONDS(2),
                     ask_patience = SECONDS(2); /* somebody waits at a terminal */

struct control {
    struct agent *a;
    struct fetch *stream;
    struct timer again, put_timer;
    int64_t backoff;
    struct control_call *put;
    bool put_wanted;
    unsigned heard; /* the bits of heard_off that the put under way tells */
};

/* ---- calls ---- */

struct control_call {
    struct agent *a;
    struct fetch *fetch;
    control_done_fn fn;
    void *arg;
};

static void on_answer(void *arg, const struct fetch_result *r)
{
    struct control_call *c = arg;
    char why[200];
    AUTO(js_freep) struct js *j = r->body.n ? js_parse(r->body, LINE_MAX, why, sizeof why) : NULL;
    c->fn(c->arg, r->err, r->status, r->why, j);
    mem_free(c);
}

struct ask {
    const char *method, *base, *path;
    struct slice bearer;
};

static struct control_call *
call(struct agent *a, const struct ask *q, struct js *take_body, control_done_fn fn, void *arg)
{
    char url[URL_SIZE];
    struct buf body = BUF_MAX(LINE_MAX);
    struct control_call *c = mem_new(sizeof *c);
    *c = (struct control_call){.a = a, .fn = fn, .arg = arg};
    if (take_body) {
        js_write(take_body, JS_COMPACT, &body);
    }
    text_fit(url, sizeof url, "%s%s", q->base, q->path);
    struct fetch_opts o = {.method = q->method,
                           .url = url,
                           .bearer = q->bearer,
                           .body = buf_slice(&body),
                           .timeout_ns = take_body ? 0 : ask_patience};
    c->fetch = fetch_start(a->fetcher, &o, on_answer, c);
    js_free(take_body);
    secret_wipe_buf(&body);
    return c;
}

struct control_call *
control_post(struct agent *a, const char *path, struct js *take_body, control_done_fn fn, void *arg)
{
    struct ask q = {"POST", a->state.control, path, buf_slice(&a->state.token)};
    return call(a, &q, take_body, fn, arg);
}

struct control_call *control_ask(struct agent *a,
                                 const char *control,
                                 const char *path,
                                 struct js *take_body,
                                 control_done_fn fn,
                                 void *arg)
{
    return call(a, &(struct ask){"POST", control, path, S("")}, take_body, fn, arg);
}

void control_call_cancel(struct control_call *c)
{
    if (c) {
        fetch_cancel(c->fetch);
        mem_free(c);
    }
}

struct control_call *control_register(struct agent *a,
                                      const char *url,
                                      struct slice auth_key,
                                      const char *hostname,
                                      control_done_fn fn,
                                      void *arg)
{
    struct js *j = js_object();
    struct buf spki = BUF_MAX(64);
    text_hex(&spki, slice_of(a->state.transport_spki, 32));
    if (auth_key.n) {
        js_set_str(j, "authKey", auth_key);
    }
    js_set_cstr(j, "hostname", hostname);
    js_set_cstr(j, "os", "linux");
    js_set_cstr(j, "version", AGENT_VERSION);
    js_set_str(j, "transportKey", buf_slice(&spki));
    buf_deinit(&spki);
    return control_ask(a, url, "/node/v1/register", j, fn, arg);
}

/* ---- the wanted set ---- */

static void on_put_again(void *arg)
{
    struct control *c = arg;
    control_put_funnels(c->a);
}

static void on_put(void *arg, int err, long status, const char *why, const struct js *answer)
{
    struct control *c = arg;
    (void)answer;
    c->put = NULL;
    if (!err && status == 200) {
        c->a->heard_off &= ~c->heard;
    }
    if (err || status != 200) {
        log_warn("funnels.not_sent", F_I64("status", status), F_STR("why", why));
        timer_set_in(c->a->lp, &c->put_timer, put_again, on_put_again, c);
    } else if (c->put_wanted) {
        control_put_funnels(c->a);
    }
}

/* What is served, and which ports we know to be switched off. */
static struct js *wanted_body(struct agent *a)
{
    struct js *j = serve_wanted(a), *heard = js_array();
    for (unsigned i = 0; i < AGENT_FUNNELS; i++) {
        if (a->heard_off >> i & 1u) {
            js_push(heard, js_new_int(slot_ports[i]));
        }
    }
    js_set(j, "heardOff", heard);
    return j;
}

void control_put_funnels(struct agent *a)
{
    struct control *c = a->control;
    health_kick(a);
    if (!c || !a->state.token.len) {
        return;
    }
    if (c->put) {
        c->put_wanted = true; /* the newest set follows the one under way */
        return;
    }
    c->put_wanted = false;
    struct ask q = {"PUT", a->state.control, "/node/v1/funnels", buf_slice(&a->state.token)};
    c->heard = a->heard_off;
    c->put = call(a, &q, wanted_body(a), on_put, c);
}

struct control_call *control_ask_funnels(struct agent *a, control_done_fn fn, void *arg)
{
    struct ask q = {"GET", a->state.control, "/node/v1/funnels", buf_slice(&a->state.token)};
    return call(a, &q, NULL, fn, arg);
}

/* ---- the stream ---- */

static bool has_member(const struct js *obj, const char *name)
{
    return js_get(obj, name) != NULL;
}

static uint16_t real_port(const struct js *ports, const char *name, int fallback)
{
    int64_t p = js_get_int(ports, name, fallback);
    return p > 0 && p <= 65535 ? (uint16_t)p : (uint16_t)fallback;
}

static bool read_relay(const struct js *j, struct relay_info *r)
{
    const struct js *addresses = js_get(j, "addresses"), *pins = js_get(j, "pins"),
                    *ports = js_get(j, "ports");
    *r = (struct relay_info){.pin_count = 0};
    r->ports[0] = real_port(ports, "443", (int)js_get_int(j, "port", 443));
    r->ports[1] = real_port(ports, "8443", 8443);
    r->ports[2] = real_port(ports, "10000", 10000);
    for (size_t i = 0; i < js_len(addresses) && r->address_count < AGENT_ADDRESSES; i++) {
        r->address_count +=
            addr_from_ip(js_str(js_at(addresses, i)), r->ports[0], &r->addresses[r->address_count]);
    }
    for (size_t i = 0; i < js_len(pins) && r->pin_count < AGENT_PINS; i++) {
        r->pin_count += text_unhex(js_str(js_at(pins, i)), r->pins[r->pin_count], 32);
    }
    return slice_copy(js_get_str(j, "id"), r->id, sizeof r->id) &&
           slice_copy(js_get_str(j, "name"), r->name, sizeof r->name) &&
           text_name(js_get_str(j, "host"), TEXT_NAME_HOST, r->host) &&
           slice_copy(js_get_str(j, "token"), r->token, sizeof r->token) && r->address_count &&
           r->pin_count;
}

static void read_relays(struct view *v, const struct js *list)
{
    v->relay_count = 0;
    for (size_t i = 0; i < js_len(list) && v->relay_count < AGENT_RELAYS; i++) {
        if (read_relay(js_at(list, i), &v->relays[v->relay_count])) {
            v->relay_count++;
        } else {
            log_warn("relay.unusable");
        }
    }
}

static void copy_str(const struct js *j, const char *name, char *out, size_t size)
{
    if (!slice_copy(js_get_str(j, name), out, size)) {
        out[0] = '\0';
    }
}

static void read_certificate(struct agent *a, const struct js *j)
{
    struct view *v = &a->view;
    copy_str(j, "state", v->cert_state, sizeof v->cert_state);
    copy_str(j, "error", v->cert_error, sizeof v->cert_error);
    copy_str(j, "notAfter", v->cert_not_after, sizeof v->cert_not_after);
    copy_str(j, "issuer", v->cert_issuer, sizeof v->cert_issuer);
    cert_take(a, js_get_str(j, "chain"));
}

static void read_lock(struct view *v, const struct js *j)
{
    struct slice by = js_get_str(j, "by"), since = js_get_str(j, "since"),
                 reason = js_get_str(j, "reason");
    v->lock[0] = '\0';
    if (js_get_bool(j, "locked", false)) {
        text_cut(v->lock, sizeof v->lock, "%.*s has switched off every public URL at %.*s%s%.*s",
                 (int)by.n, by.p, (int)since.n, since.p, reason.n ? ": " : "", (int)reason.n,
                 reason.p);
    }
}

static void replace(struct js **at, const struct js *value)
{
    js_free(*at);
    *at = js_ref(unconst(value));
}

/* Switched off at control. It hears that we know with the next wanted set. */
static void read_offs(struct agent *a, const struct js *list)
{
    for (size_t i = 0; i < js_len(list); i++) {
        int64_t port = js_get_int(js_at(list, i), "port", 0);
        for (unsigned k = 0; k < AGENT_FUNNELS; k++) {
            if (slot_ports[k] == port && !(a->heard_off >> k & 1u)) {
                a->heard_off |= 1u << k;
                ipc_switched_off(a, (int)port, js_get_str(js_at(list, i), "by"));
            }
        }
    }
    if (js_len(list)) {
        control_put_funnels(a);
    }
}

static void take_line(struct agent *a, const struct js *j)
{
    struct view *v = &a->view;
    const struct js *caps = js_get(j, "caps");
    if (caps) {
        v->https = has_member(caps, "https");
        v->funnel = has_member(caps, "funnel");
    }
    if (has_member(j, "relays")) {
        read_relays(v, js_get(j, "relays"));
        uplink_update(a);
    }
    if (has_member(j, "certificate")) {
        read_certificate(a, js_get(j, "certificate"));
    }
    if (has_member(j, "funnels")) {
        replace(&v->funnels, js_get(j, "funnels"));
    }
    if (has_member(j, "requests")) {
        replace(&v->requests, js_get(j, "requests"));
    }
    if (has_member(j, "lock")) {
        read_lock(v, js_get(j, "lock"));
    }
    read_offs(a, js_get(j, "off"));
    v->known = true;
    agent_view_changed(a);
}

static void on_line(void *arg, struct slice line)
{
    struct control *c = arg;
    char why[200];
    AUTO(js_freep) struct js *j = js_parse(line, LINE_MAX, why, sizeof why);
    if (j) {
        take_line(c->a, j);
    } else {
        log_warn("stream.line_unreadable", F_STR("why", why));
    }
}

static void on_open(void *arg)
{
    struct control *c = arg;
    c->backoff = backoff_first;
    c->a->view.connected = true;
    c->a->view.refused = false;
    log_info("control.connected");
    control_put_funnels(c->a);
    health_tell(c->a);
}

static void open_stream(struct control *c);

static void on_again(void *arg)
{
    open_stream(arg);
}

static void on_done(void *arg, const struct fetch_result *r)
{
    struct control *c = arg;
    uint8_t jitter;
    c->stream = NULL;
    c->a->view.connected = false;
    c->a->view.refused = r->status == 401;
    secret_random(&jitter, 1);
    log_warn("control.lost", F_I64("status", r->status), F_STR("why", r->why));
    timer_set_in(c->a->lp, &c->again, c->backoff + c->backoff * jitter / 1024, on_again, c);
    c->backoff = c->backoff * 2 < backoff_most ? c->backoff * 2 : backoff_most;
    agent_view_changed(c->a);
}

static void open_stream(struct control *c)
{
    char url[URL_SIZE];
    text_fit(url, sizeof url, "%s/node/v1/stream", c->a->state.control);
    struct fetch_opts o = {.url = url, .bearer = buf_slice(&c->a->state.token), .max = LINE_MAX};
    c->stream = fetch_stream(c->a->fetcher, &o, on_open, on_line, on_done, c);
}

void control_start(struct agent *a)
{
    if (a->control || !a->state.token.len || a->state.down) {
        return;
    }
    a->control = mem_new(sizeof *a->control);
    *a->control = (struct control){.a = a, .backoff = backoff_first};
    open_stream(a->control);
}

void control_stop(struct agent *a)
{
    struct control *c = a->control;
    if (!c) {
        return;
    }
    a->control = NULL;
    fetch_cancel(c->stream);
    control_call_cancel(c->put);
    timer_cancel(&c->again);
    timer_cancel(&c->put_timer);
    mem_free(c);
    js_free(a->view.funnels);
    js_free(a->view.requests);
    a->view = (struct view){.known = false};
}
