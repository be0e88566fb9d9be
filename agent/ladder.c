/*
 * The readiness ladder (console-api.md section 6): permitted, HTTPS, DNS,
 * certificate, relay, backend, reachable from outside. "Available" is said
 * only after a connection through the relay's public address has met our own
 * certificate.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>

#include "agent/agent.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

enum step {
    STEP_PERMIT,
    STEP_HTTPS,
    STEP_DNS,
    STEP_CERTIFICATE,
    STEP_RELAY,
    STEP_BACKEND,
    STEP_OUTSIDE,
    STEP_DONE
};

static const int64_t again_in = MS(250), probe_wait = SECONDS(5);

struct lookup;

struct ladder {
    struct agent *a;
    struct client *c; /* NULL once nobody listens */
    int port;
    bool only_permission, background;
    char reason[256];
    int64_t seconds;
    enum step step;
    struct control_call *query;
    bool asked, told_approval, over;
    char request[64];
    struct lookup *lookup;
    struct stream *probe;
    struct tls_ctx *probe_ctx;
    struct mono probe_start;
    bool probe_ok;
    size_t probe_relay;
    char waiting[600]; /* the last thing that was said to wait for */
    struct timer timer;
    struct deferred advance;
};

static void advance(void *arg);

static void soon(struct ladder *l)
{
    loop_defer(l->a->lp, &l->advance, advance, l);
}

static void later(struct ladder *l)
{
    timer_set_in(l->a->lp, &l->timer, again_in, advance, l);
}

static void passed(struct ladder *l, const char *step, const char *text)
{
    client_progress(l->c, step, "ok", text);
    l->step++;
    l->waiting[0] = '\0';
}

/* Said once for each thing that is waited for. */
static void waiting(struct ladder *l, const char *step, const char *state, const char *text)
{
    char line[600];
    text_cut(line, sizeof line, "%s %s %s", step, state, text);
    if (strcmp(line, l->waiting) != 0) {
        memcpy(l->waiting, line, sizeof line);
        client_progress(l->c, step, state, text);
    }
}

/* ---- permitted ---- */

/* The pinned origin with a path: "https://control.example.net.evil.example/" is not. */
static bool own_page(const struct ladder *l, struct slice url)
{
    struct slice origin = slice_str(l->a->state.control);
    return url.n <= 400 && slice_starts(url, origin) &&
           slice_starts(slice_skip(url, origin.n), S("/f/"));
}

/* No, and nobody needs to be waited for. */
static void refused(struct ladder *l, const struct js *j, const char *words)
{
    struct slice code = js_get_str(j, "Code"), fix = js_get_str(j, "Fix");
    AUTO_FREE char *next = slice_dup(fix);
    bool locked = slice_eq(code, S("locked"));
    const char *name = locked                        ? "FNL-205"
                       : slice_eq(code, S("denied")) ? "FNL-202"
                       : slice_eq(code, S("barred")) ? "FNL-207"
                                                     : "FNL-201";
    client_fail(l->c, name, 77,
                locked ? "every public URL of this tailnet is switched off" : "not permitted",
                words, fix.n ? next : "ask an owner, admin or network admin of your tailnet");
}

static void on_query(void *arg, int err, long status, const char *why, const struct js *j)
{
    struct ladder *l = arg;
    l->query = NULL;
    struct slice url = js_get_str(j, "URL"), text = js_get_str(j, "Text");
    char words[700];
    if (err || status != 200) {
        struct slice message = js_get_str(j, "message");
        text_cut(words, sizeof words, "%s" SLICE_FMT, err ? why : "", SLICE_ARG(message));
        client_fail(l->c, "FNL-110", 69, "control could not be asked", words,
                    "check the network and: funnel status");
        return;
    }
    text_cut(words, sizeof words, SLICE_FMT, (int)(text.n < 600 ? text.n : 600),
             text.p ? text.p : "");
    if (js_get_bool(j, "Complete", false)) {
        soon(l);
    } else if (!js_get_bool(j, "ShouldWait", false)) {
        refused(l, j, words);
    } else if (!own_page(l, url)) {
        /* A hostile answer cannot send people elsewhere (console-api.md 4.2). */
        client_fail(l->c, "FNL-111", 76, "control sent a link that leads elsewhere",
                    "it was not shown", "tell your admin");
    } else {
        struct js *e = js_object();
        err_ignore(slice_copy(js_get_str(j, "RequestID"), l->request, sizeof l->request));
        js_set_cstr(e, "event", "approval");
        js_set_cstr(e, "text", words);
        js_set_str(e, "url", url);
        js_set_cstr(e, "requestId", l->request);
        js_set_str(e, "matchCode", js_get_str(j, "MatchCode"));
        js_set_str(e, "expires", js_get_str(j, "Expires"));
        client_event(l->c, e);
        soon(l);
    }
}

static void ask(struct ladder *l)
{
    struct js *j = js_object();
    l->asked = true;
    js_set_cstr(j, "feature", "funnel");
    js_set_int(j, "port", l->port);
    js_set_cstr(j, "target", client_target(l->c));
    js_set_cstr(j, "reason", l->reason[0] ? l->reason : NULL);
    if (l->seconds) {
        js_set_int(j, "seconds", l->seconds);
    }
    l->query = control_post(l->a, "/node/v1/feature/query", j, on_query, l);
}

/* Our request's row in what control sends. False: the ladder has ended. */
static bool look_at_request(struct ladder *l)
{
    const struct js *list = l->a->view.requests;
    for (size_t i = 0; i < js_len(list); i++) {
        const struct js *r = js_at(list, i);
        struct slice state = js_get_str(r, "state"), by = js_get_str(r, "by"),
                     reason = js_get_str(r, "reason");
        char why[600];
        if (!slice_eq(js_get_str(r, "id"), slice_str(l->request))) {
            continue;
        }
        if (slice_eq(state, S("denied"))) {
            text_cut(why, sizeof why, "denied by %.*s%s%.*s", (int)by.n, by.p, reason.n ? ": " : "",
                     (int)reason.n, reason.p);
            client_fail(l->c, "FNL-202", 77, "the request was denied", why,
                        "talk to them; the same can be asked again in 10 minutes");
            return false;
        }
        if (slice_eq(state, S("expired")) || slice_eq(state, S("cancelled"))) {
            text_cut(why, sizeof why, "it is %.*s%s%.*s", (int)state.n, state.p,
                     reason.n ? ": " : "", (int)reason.n, reason.p);
            client_fail(l->c, "FNL-203", 75, "the request has ended without a decision", why,
                        "run the command again");
            return false;
        }
        if (slice_eq(state, S("granted")) && !l->told_approval) {
            l->told_approval = true;
            text_cut(why, sizeof why, "approved by %.*s (%.*s)", (int)by.n, by.p, (int)reason.n,
                     reason.p);
            client_progress(l->c, "approved", "ok", why);
        }
    }
    return true;
}

static bool permit(struct ladder *l)
{
    const struct view *v = &l->a->view;
    if (l->request[0] && l->asked && !look_at_request(l)) {
        return false;
    }
    if (v->known && v->funnel && v->https) {
        passed(l, "permitted", "Funnel is permitted for this node");
        return client_permitted(l->c);
    }
    if (!v->known || !v->connected) {
        waiting(l, "permitted", "wait", "control is not connected yet");
        return false;
    }
    if (!l->asked) {
        ask(l);
    }
    return false; /* the next change of the view brings us back */
}

/* ---- DNS ---- */

struct lookup {
    struct ladder *l; /* NULL: nobody waits */
    char name[TEXT_NAME_SIZE];
    struct relay_info relays[AGENT_RELAYS];
    size_t relay_count;
    bool found;
    char address[ADDR_TEXT_SIZE];
};

static bool is_relay(const struct lookup *x, const struct addr *a)
{
    for (size_t i = 0; i < x->relay_count; i++) {
        for (size_t k = 0; k < x->relays[i].address_count; k++) {
            if (addr_same_ip(&x->relays[i].addresses[k], a)) {
                return true;
            }
        }
    }
    return false;
}

/* In the pool: getaddrinfo blocks. */
static void lookup_work(void *arg)
{
    struct lookup *x = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (getaddrinfo(x->name, NULL, &hints, &list)) {
        return;
    }
    for (struct addrinfo *i = list; i && !x->found; i = i->ai_next) {
        struct addr a = {.len = i->ai_addrlen};
        memcpy(&a.ss, i->ai_addr, i->ai_addrlen);
        x->found = is_relay(x, &a);
        addr_format_ip(&a, x->address);
    }
    freeaddrinfo(list);
}

static void lookup_done(void *arg)
{
    struct lookup *x = arg;
    struct ladder *l = x->l;
    char text[400];
    if (l) {
        l->lookup = NULL;
        if (x->found) {
            text_cut(text, sizeof text, "DNS  %s -> %s", x->name, x->address);
            passed(l, "dns", text);
            soon(l);
        } else {
            waiting(l, "dns", "wait",
                    x->address[0] ? "the name leads elsewhere" : "the name does not resolve yet");
            later(l);
        }
    }
    mem_free(x);
}

static void start_lookup(struct ladder *l)
{
    struct lookup *x = mem_new(sizeof *x);
    *x = (struct lookup){.l = l, .relay_count = l->a->view.relay_count};
    memcpy(x->name, l->a->state.name, sizeof x->name);
    memcpy(x->relays, l->a->view.relays, sizeof x->relays);
    if (pool_run(l->a->pool, lookup_work, lookup_done, x) < 0) {
        mem_free(x);
        later(l);
        return;
    }
    l->lookup = x;
}

/* ---- backend and outside: one connection each ---- */

static size_t probe_data(void *arg, struct slice data)
{
    (void)arg;
    return data.n;
}

static void probe_open(void *arg)
{
    struct ladder *l = arg;
    l->probe_ok = true;
    stream_close(l->probe, 0);
}

static void backend_result(struct ladder *l)
{
    struct serve_entry *e = serve_find(l->a, l->port);
    char text[300];
    if (l->probe_ok) {
        text_cut(text, sizeof text, "backend %s answers", e ? e->host : "");
        passed(l, "backend", text);
    } else {
        /* Not fatal: the service may be started later; visitors see a page that says so. */
        text_cut(text, sizeof text, "backend %s does not answer yet: start it", e ? e->host : "");
        client_progress(l->c, "backend", "warn", text);
        l->step++;
    }
}

static void outside_result(struct ladder *l)
{
    char text[300];
    if (l->probe_ok) {
        const struct relay_info *r = &l->a->view.relays[l->probe_relay % l->a->view.relay_count];
        text_cut(text, sizeof text, "reachable from the internet (%s, %d ms)", r->name,
                 (int)((mono_now().ns - l->probe_start.ns) / MS(1)));
        passed(l, "reachable", text);
    } else {
        waiting(l, "reachable", "wait", "not reachable through the relay yet");
        l->probe_relay++;
    }
}

static void probe_close(void *arg, int why)
{
    struct ladder *l = arg;
    (void)why;
    l->probe = NULL;
    if (l->step == STEP_BACKEND) {
        backend_result(l);
    } else if (l->step == STEP_OUTSIDE && l->a->view.relay_count) {
        outside_result(l);
    }
    if (!l->probe_ok && l->step == STEP_OUTSIDE) {
        later(l);
    } else {
        soon(l);
    }
}

static const struct stream_ops probe_ops = {
    .on_open = probe_open, .on_data = probe_data, .on_close = probe_close};

static void connect_probe(struct ladder *l, const struct addr *to, struct tls *tls)
{
    int fd = sock_connect(to);
    l->probe_ok = false;
    l->probe_start = mono_now();
    if (fd < 0) {
        tls_free(tls);
        if (l->step == STEP_BACKEND) {
            backend_result(l);
        }
        later(l);
        return;
    }
    l->probe = stream_new(l->a->lp, fd, tls, &probe_ops,
                          &(struct stream_opts){.open_timeout_ns = probe_wait}, l);
}

static bool make_probe_ctx(struct ladder *l)
{
    uint8_t pin[1][TLS_SPKI_SIZE];
    char why[200];
    struct tls_client_opts o = {.min = TLS_MIN_12,
                                .verify = TLS_VERIFY_PIN,
                                .pins = (const uint8_t(*)[TLS_SPKI_SIZE])pin,
                                .pin_count = 1};
    return l->probe_ctx || (tls_cert_spki(buf_slice(&l->a->state.chain), pin[0]) &&
                            tls_client_ctx(&o, why, sizeof why, &l->probe_ctx) == 0);
}

static void probe_outside(struct ladder *l)
{
    const struct view *v = &l->a->view;
    if (!v->relay_count || !make_probe_ctx(l)) {
        later(l);
        return;
    }
    const struct relay_info *r = &v->relays[l->probe_relay % v->relay_count];
    int slot = l->port == 443 ? 0 : l->port == 8443 ? 1 : 2;
    struct addr to = r->addresses[0];
    uint8_t bytes[16];
    addr_to_bytes(&to, bytes);
    addr_from_bytes(bytes, r->ports[slot], &to);
    connect_probe(l, &to, tls_client(l->probe_ctx, l->a->state.name));
}

/* ---- certificate and relay ---- */

static bool certificate(struct ladder *l)
{
    const struct view *v = &l->a->view;
    char text[700];
    cert_check(l->a);
    if (cert_ready(l->a)) {
        text_cut(text, sizeof text, "certificate (%s, until %.10s)",
                 v->cert_issuer[0] ? v->cert_issuer : "stored", v->cert_not_after);
        passed(l, "certificate", text);
        return true;
    }
    if (strcmp(v->cert_state, "failed") == 0) {
        text_cut(text, sizeof text, "certificate: %s (it is tried again)", v->cert_error);
        waiting(l, "certificate", "fail", text);
    } else {
        waiting(l, "certificate", "wait", "certificate is being issued");
    }
    return false;
}

static bool open_at_control(struct ladder *l)
{
    const struct js *list = l->a->view.funnels;
    for (size_t i = 0; i < js_len(list); i++) {
        if (js_get_int(js_at(list, i), "port", 0) == l->port) {
            return slice_eq(js_get_str(js_at(list, i), "state"), S("open"));
        }
    }
    return false;
}

static bool relay(struct ladder *l)
{
    char text[100];
    if (!uplink_count_up(l->a) || !open_at_control(l)) {
        waiting(l, "relay", "wait", "relay is not ready yet");
        return false;
    }
    text_cut(text, sizeof text, "relay connected (%d of %d)", (int)uplink_count_up(l->a),
             (int)l->a->view.relay_count);
    passed(l, "relay", text);
    return true;
}

static void done(struct ladder *l)
{
    struct js *j = js_object();
    char url[400], port[16] = "";
    if (l->port != 443) {
        text_fit(port, sizeof port, ":%d", l->port);
    }
    text_fit(url, sizeof url, "https://%.253s%s/", l->a->state.name, port);
    js_set_cstr(j, "url", url);
    js_set_int(j, "port", l->port);
    js_set_cstr(j, "target", client_target(l->c));
    log_info("funnel.live", F_STR("url", url));
    client_ok(l->c, j, !l->only_permission && !l->background);
}

/* What ends every wait. */
static bool hopeless(struct ladder *l)
{
    const struct view *v = &l->a->view;
    if (v->refused) {
        client_fail(l->c, "FNL-206", 77, "control does not know this node any more",
                    "it was deleted, or its key has expired", "funnel up");
    } else if (v->lock[0]) {
        client_fail(l->c, "FNL-205", 77, "every public URL of this tailnet is switched off",
                    v->lock, "wait until an owner, admin or network admin opens them again");
    }
    l->over = v->refused || v->lock[0];
    return l->over;
}

/* One step, and whether the next may follow at once. */
static bool climb(struct ladder *l)
{
    struct serve_entry *e = serve_find(l->a, l->port);
    if (hopeless(l)) {
        return false;
    }
    switch (l->step) {
    case STEP_PERMIT:
        return permit(l);
    case STEP_HTTPS:
        passed(l, "https", "HTTPS is on");
        l->step = l->only_permission ? STEP_DONE : l->step;
        return true;
    case STEP_DNS:
        if (!l->lookup) {
            start_lookup(l);
        }
        return false;
    case STEP_CERTIFICATE:
        return certificate(l);
    case STEP_RELAY:
        return relay(l);
    case STEP_BACKEND:
        if (!l->probe && e) {
            connect_probe(l, &e->backend, NULL);
        }
        return false;
    case STEP_OUTSIDE:
        if (!l->probe) {
            probe_outside(l);
        }
        return false;
    case STEP_DONE:
        done(l);
        return false;
    }
    return false;
}

static void advance(void *arg)
{
    struct ladder *l = arg;
    timer_cancel(&l->timer);
    while (l->c && !l->over && climb(l)) {
    }
}

struct ladder *ladder_start(struct agent *a, struct client *c, const struct ladder_wish *w)
{
    struct ladder *l = mem_new(sizeof *l);
    *l = (struct ladder){.a = a,
                         .c = c,
                         .port = w->port,
                         .only_permission = w->only_permission,
                         .background = w->background,
                         .seconds = w->seconds,
                         .asked = w->request != NULL};
    text_cut(l->reason, sizeof l->reason, "%s", w->reason ? w->reason : "");
    text_cut(l->request, sizeof l->request, "%s", w->request ? w->request : "");
    soon(l);
    return l;
}

void ladder_view_changed(struct ladder *l)
{
    if (l->step < STEP_BACKEND && !l->lookup) {
        soon(l);
    }
}

void ladder_free(struct ladder *l)
{
    if (!l) {
        return;
    }
    control_call_cancel(l->query);
    timer_cancel(&l->timer);
    deferred_cancel(&l->advance);
    if (l->lookup) {
        l->lookup->l = NULL;
    }
    if (l->probe) {
        stream_abandon(l->probe);
    }
    tls_ctx_unref(l->probe_ctx);
    mem_free(l);
}
