/*
 * `funnel status`: who we are, through which relays, and for each public URL the seven steps.
 * Control has seen them from outside and is asked for them; what only this machine knows (does the
 * target answer, do relays hold us) is put over it. Without control nothing is called reachable.
 */
#include <stdio.h>

#include "agent/agent.h"

static const char *const step_names[] = {"permitted", "https",   "dns",      "certificate",
                                         "relay",     "backend", "reachable"};

enum step { PERMITTED, HTTPS, DNS, CERTIFICATE, RELAY, BACKEND, REACHABLE };

enum { STEPS = REACHABLE + 1 };

struct words {
    const char *state, *text, *code, *fix;
    struct wall at;
};

static struct js *rung(enum step step, const struct words *w)
{
    struct js *j = js_object();
    char at[WALL_TEXT_SIZE];
    wall_format(w->at, at);
    js_set_cstr(j, "step", step_names[step]);
    js_set_cstr(j, "state", w->state);
    js_set_cstr(j, "text", w->text);
    js_set_cstr(j, "code", w->code);
    js_set_cstr(j, "fix", w->fix);
    js_set_cstr(j, "at", w->at.s ? at : NULL);
    return j;
}

static struct js *backend_rung(const struct serve_entry *e)
{
    bool ok = e->health == HEALTH_OK, known = e->health != HEALTH_UNKNOWN;
    return rung(
        BACKEND,
        &(struct words){.state = ok      ? "ok"
                                 : known ? "failed"
                                         : "unknown",
                        .text = known ? e->health_text : "not looked at yet",
                        .code = ok || !known ? NULL : "backend.down",
                        .fix = ok || !known ? NULL : "start the service that should listen there",
                        .at = e->health_at});
}

static struct js *no_relay_rung(void)
{
    return rung(RELAY, &(struct words){.state = "failed",
                                       .text = "no relay holds a session of this node",
                                       .code = "relay.no_session",
                                       .fix = "can this machine reach the relay's port 443?",
                                       .at = wall_now()});
}

/* What is seen from here alone. */
static struct js *local_rung(const struct agent *a, enum step step, const struct serve_entry *e)
{
    static const char *const away = "control cannot be asked";
    struct words w = {.state = "unknown", .text = away, .code = "control.away"};
    w.fix = "look at the network; funnel status shows control's address";
    if (step == BACKEND) {
        return backend_rung(e);
    }
    if (step == RELAY && !uplink_count_up(a)) {
        return no_relay_rung();
    }
    if (step == RELAY) {
        w = (struct words){.state = "ok", .text = "relay connected", .at = wall_now()};
    } else if (step == CERTIFICATE && cert_ready(a)) {
        w = (struct words){.state = "ok", .text = "certificate is installed", .at = wall_now()};
    }
    return rung(step, &w);
}

static const struct js *find_step(const struct js *list, enum step step)
{
    for (size_t i = 0; i < js_len(list); i++) {
        if (slice_eq(js_get_str(js_at(list, i), "step"), slice_str(step_names[step]))) {
            return js_at(list, i);
        }
    }
    return NULL;
}

static struct js *merge(const struct agent *a, const struct js *told, const struct serve_entry *e)
{
    struct js *list = js_array();
    for (int i = 0; i < STEPS; i++) {
        enum step step = (enum step)i;
        const struct js *seen = find_step(told, step);
        if (step == BACKEND && e->health != HEALTH_UNKNOWN) {
            js_push(list, backend_rung(e));
        } else if (step == RELAY && !uplink_count_up(a)) {
            js_push(list, no_relay_rung());
        } else {
            js_push(list, seen ? js_ref(unconst(seen)) : local_rung(a, step, e));
        }
    }
    return list;
}

static bool all_ok(const struct js *list)
{
    for (size_t i = 0; i < js_len(list); i++) {
        if (!slice_eq(js_get_str(js_at(list, i), "state"), S("ok"))) {
            return false;
        }
    }
    return js_len(list) == STEPS;
}

/* ---- the list ---- */

static const struct js *find_port(const struct js *list, int64_t port)
{
    for (size_t i = 0; i < js_len(list); i++) {
        if (js_get_int(js_at(list, i), "port", 0) == port) {
            return js_at(list, i);
        }
    }
    return NULL;
}

static const char *state_of(const struct js *told)
{
    struct slice s = js_get_str(told, "state");
    return slice_eq(s, S("open")) ? "open" : slice_eq(s, S("blocked")) ? "blocked" : "waiting";
}

static struct js *funnel_list(struct agent *a, const struct js *asked)
{
    struct js *wanted = serve_wanted(a), *list = js_ref(js_get(wanted, "funnels"));
    js_free(wanted);
    for (size_t i = 0; i < js_len(list); i++) {
        struct js *f = js_at(list, i);
        int64_t port = js_get_int(f, "port", 443);
        const struct js *told = find_port(asked ? asked : a->view.funnels, port);
        const struct serve_entry *e = serve_find(a, (int)port);
        char url[400], suffix[16] = "";
        if (port != 443) {
            text_fit(suffix, sizeof suffix, ":%d", (int)port);
        }
        text_fit(url, sizeof url, "https://%.253s%s/", a->state.name, suffix);
        struct js *steps = merge(a, js_get(told, "readiness"), e);
        js_set_cstr(f, "url", url);
        js_set_cstr(f, "state", state_of(told));
        js_set_bool(f, "ready", all_ok(steps));
        js_set(f, "readiness", steps);
    }
    return list;
}

struct js *status_json(struct agent *a, const struct js *asked)
{
    struct js *j = js_object(), *self = js_object(), *control = js_object(), *cert = js_object();
    js_set_cstr(j, "schema", "funnel.status/1");
    js_set_cstr(j, "version", AGENT_VERSION);
    js_set_bool(j, "loggedIn", a->state.token.len > 0);
    js_set_bool(j, "down", a->state.down);
    js_set_cstr(self, "nodeId", a->state.node_id);
    js_set_cstr(self, "name", a->state.name);
    js_set_cstr(self, "user", a->state.user);
    js_set_cstr(self, "tailnet", a->state.tailnet);
    js_set_cstr(self, "ipv4", a->state.ipv4);
    js_set_cstr(self, "ipv6", a->state.ipv6);
    js_set_bool(self, "funnel", a->view.funnel && a->view.https);
    js_set(j, "self", self);
    js_set_cstr(control, "origin", a->state.control);
    js_set_bool(control, "connected", a->view.connected);
    js_set(j, "control", control);
    js_set_cstr(j, "lock", a->view.lock[0] ? a->view.lock : NULL);
    js_set_cstr(cert, "state",
                cert_ready(a)           ? "issued"
                : a->view.cert_state[0] ? a->view.cert_state
                                        : "none");
    js_set_cstr(cert, "notAfter", a->view.cert_not_after);
    js_set_cstr(cert, "issuer", a->view.cert_issuer);
    js_set_cstr(cert, "error", a->view.cert_error);
    js_set(j, "certificate", cert);
    js_set(j, "funnels", funnel_list(a, asked));
    js_set(j, "peers", uplink_peers(a));
    return j;
}
