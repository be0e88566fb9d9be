/* What is served: one entry a public port. Background entries are kept on disk, foreground ones
 * live with their command. */
#include "agent/agent.h"

#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/text.h"

static const int ports[AGENT_FUNNELS] = {443, 8443, 10000};

static bool parse_host(struct slice host, uint16_t port, struct addr *out)
{
    if (slice_eq_nocase(host, S("localhost"))) {
        host = S("127.0.0.1");
    }
    if (host.n > 2 && host.p[0] == '[') {
        host = slice_of(host.p + 1, host.n - 2);
    }
    return addr_from_ip(host, port, out);
}

/* "3000", "127.0.0.1:3000", "http://127.0.0.1:3000", "http://localhost:3000/" */
const char *serve_parse(struct slice target, struct serve_entry *out)
{
    uint64_t port;
    struct slice host = S("127.0.0.1"), rest = target;
    struct serve_entry e = {.used = true};
    if (slice_starts(rest, S("https://")) || slice_starts(rest, S("https+insecure://")) ||
        slice_starts(rest, S("unix:"))) {
        return "this version serves http:// targets only";
    }
    if (slice_starts(rest, S("http://"))) {
        rest = slice_skip(rest, 7);
    }
    if (rest.n && rest.p[rest.n - 1] == '/') {
        rest.n--;
    }
    ptrdiff_t colon = slice_rfind(rest, ':');
    if (colon >= 0) {
        host = slice_of(rest.p, (size_t)colon);
        rest = slice_skip(rest, (size_t)colon + 1);
    }
    if (!slice_u64(rest, 65535, &port) || !port) {
        return "a port from 1 to 65535 is expected, as 3000 or http://127.0.0.1:3000";
    }
    if (!parse_host(host, (uint16_t)port, &e.backend)) {
        return "the host must be an IP address or localhost";
    }
    text_fit(e.host, sizeof e.host, SLICE_FMT ":%d", (int)(host.n < 100 ? host.n : 100), host.p,
             (int)port);
    text_fit(e.target, sizeof e.target, "http://%s", e.host);
    *out = e;
    return NULL;
}

struct serve_entry *serve_find(struct agent *a, int port)
{
    for (size_t i = 0; i < AGENT_FUNNELS; i++) {
        if (ports[i] == port) {
            return &a->serve[i];
        }
    }
    return NULL;
}

bool serve_any(const struct agent *a)
{
    for (size_t i = 0; i < AGENT_FUNNELS; i++) {
        if (a->serve[i].used) {
            return true;
        }
    }
    return false;
}

static struct js *list(const struct agent *a, bool background_only)
{
    struct js *all = js_array();
    for (size_t i = 0; i < AGENT_FUNNELS; i++) {
        const struct serve_entry *e = &a->serve[i];
        if (e->used && (e->background || !background_only)) {
            struct js *j = js_object();
            js_set_int(j, "port", ports[i]);
            js_set_cstr(j, "kind", "http");
            js_set_cstr(j, "target", e->target);
            js_set_cstr(j, "source", e->background ? "background" : "foreground");
            js_push(all, j);
        }
    }
    return all;
}

struct js *serve_wanted(const struct agent *a)
{
    struct js *j = js_object();
    js_set(j, "funnels", list(a, false));
    return j;
}

int serve_save(struct agent *a)
{
    struct buf text = BUF_MAX(64 * KIB);
    AUTO(js_freep) struct js *j = js_object();
    js_set(j, "funnels", list(a, true));
    js_write(j, JS_PRETTY, &text);
    int rc = state_write(&a->state, "serve.json", buf_slice(&text));
    buf_deinit(&text);
    return rc < 0 ? err_trace(rc) : 0;
}

void serve_load(struct agent *a)
{
    struct buf text = BUF_MAX(64 * KIB);
    char why[200];
    AUTO(js_freep)
    struct js *j = state_read(&a->state, "serve.json", &text) == 0
                       ? js_parse(buf_slice(&text), 64 * KIB, why, sizeof why)
                       : NULL;
    const struct js *funnels = js_get(j, "funnels");
    for (size_t i = 0; i < js_len(funnels); i++) {
        const struct js *f = js_at(funnels, i);
        int port = (int)js_get_int(f, "port", 0);
        struct serve_entry *at = serve_find(a, port), e;
        if (at && !serve_parse(js_get_str(f, "target"), &e)) {
            *at = e;
            at->port = port;
            at->background = true;
        } else {
            log_warn("serve.entry_ignored", F_I64("port", port));
        }
    }
    buf_deinit(&text);
}
