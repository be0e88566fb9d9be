/*
 * The local socket: one JSON object a line. Who may change things is decided
 * by the kernel's word on who is at the other end. A foreground funnel lives
 * as long as its connection, so that Ctrl-C and kill -9 end it alike.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/login.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"

enum { LINE_MAX = 64 * 1024, GROUPS_MAX = 64 };

struct client {
    struct list link;
    struct agent *a;
    struct stream *stream;
    struct sock_cred cred;
    struct ladder *ladder;
    struct control_call *call;
    int64_t id;
    struct serve_entry wanted; /* of `serve`: it is in no table before the node may */
    int port;                  /* of a foreground funnel that lives with us; 0: none */
    bool busy, ended, told_lock;
    bool joining; /* waits until a person lets this machine in */
    struct retire retire;
};

/* ---- answers ---- */

static void send_json(struct client *c, const struct js *j)
{
    struct buf line = BUF_MAX(4 * (size_t)LINE_MAX);
    js_write(j, JS_COMPACT, &line);
    buf_addc(&line, '\n');
    if (c->stream && stream_write(c->stream, buf_slice(&line))) {
        stream_close(c->stream, -EPIPE); /* a command that does not read its own answers */
    }
    buf_deinit(&line);
}

void client_event(struct client *c, struct js *take)
{
    js_set_int(take, "id", c->id);
    send_json(c, take);
    js_free(take);
}

void client_progress(struct client *c, const char *step, const char *state, const char *text)
{
    struct js *j = js_object();
    js_set_cstr(j, "event", "progress");
    js_set_cstr(j, "step", step);
    js_set_cstr(j, "state", state);
    js_set_cstr(j, "text", text);
    client_event(c, j);
}

static void end_work(struct client *c)
{
    c->busy = false;
    ladder_free(STEAL(c->ladder));
}

static void drop_port(struct client *c)
{
    struct serve_entry *e = c->port ? serve_find(c->a, c->port) : NULL;
    c->port = 0;
    if (e && e->used && e->owner == c) {
        visitor_close_port(c->a, e->port);
        *e = (struct serve_entry){.used = false};
        control_put_funnels(c->a);
        log_info("funnel.ended");
    }
}

void client_fail(struct client *c,
                 const char *code,
                 int exit_code,
                 const char *message,
                 const char *why,
                 const char *fix)
{
    struct js *j = js_object();
    js_set_bool(j, "ok", false);
    js_set_cstr(j, "code", code);
    js_set_cstr(j, "message", message);
    js_set_cstr(j, "why", why);
    js_set_cstr(j, "fix", fix);
    js_set_int(j, "exit", exit_code);
    client_event(c, j);
    drop_port(c);
    c->ended = true;
    if (c->stream) {
        stream_finish(c->stream);
    }
}

void client_ok(struct client *c, struct js *take_result, bool keep)
{
    struct js *j = js_object();
    js_set_bool(j, "ok", true);
    js_set(j, "result", take_result);
    client_event(c, j);
    if (!keep) {
        c->ended = true;
        if (c->stream) {
            stream_finish(c->stream);
        }
    }
}

/* ---- who may ---- */

static bool in_group(const struct sock_cred *cred, unsigned gid)
{
    struct passwd pw, *found = NULL;
    char text[4096];
    gid_t groups[GROUPS_MAX];
    int count = GROUPS_MAX;
    if (gid == (unsigned)-1) {
        return false;
    }
    if (cred->gid == gid) {
        return true;
    }
    if (getpwuid_r(cred->uid, &pw, text, sizeof text, &found) || !found ||
        getgrouplist(pw.pw_name, pw.pw_gid, groups, &count) < 0) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (groups[i] == gid) {
            return true;
        }
    }
    return false;
}

static bool may_change(const struct client *c)
{
    return c->cred.uid == 0 || c->cred.uid == getuid() || in_group(&c->cred, c->a->operator_gid);
}

static bool need_login(struct client *c)
{
    if (c->a->state.token.len && !c->a->state.down) {
        return true;
    }
    client_fail(c, "FNL-103", 69, "this node is not logged in",
                c->a->state.down ? "it was switched off by funnel down"
                                 : "no control server knows it yet",
                c->a->state.down ? "funnel up" : "funnel up --control https://…");
    return false;
}

/* ---- operations ---- */

static void on_asked(void *arg, int err, long status, const char *why, const struct js *j)
{
    struct client *c = arg;
    const struct js *list = !err && status == 200 ? js_get(j, "funnels") : NULL;
    (void)why;
    c->call = NULL;
    client_ok(c, status_json(c->a, list), false);
}

static void op_status(struct client *c, const struct js *rq)
{
    (void)rq;
    if (c->a->view.connected && serve_any(c->a)) {
        c->call = control_ask_funnels(c->a, on_asked, c);
    } else {
        client_ok(c, status_json(c->a, NULL), false);
    }
}

static void joined(struct client *c)
{
    const struct agent_state *s = &c->a->state;
    struct js *out = js_object();
    js_set_cstr(out, "name", s->name);
    js_set_cstr(out, "user", s->user);
    js_set_cstr(out, "ipv4", s->ipv4);
    client_ok(c, out, false);
}

static void on_registered(void *arg, int err, long status, const char *why, const struct js *j)
{
    struct client *c = arg;
    struct agent *a = c->a;
    char words[600];
    c->call = NULL;
    if (err || status != 200) {
        struct slice message = js_get_str(j, "message"), fix = js_get_str(j, "fix");
        char fix_text[300];
        text_cut(words, sizeof words, "%s" SLICE_FMT, err ? why : "", SLICE_ARG(message));
        text_cut(fix_text, sizeof fix_text, SLICE_FMT, (int)(fix.n < 250 ? fix.n : 250),
                 fix.p ? fix.p : "");
        client_fail(c, "FNL-104", err ? 69 : 77, "control did not take this node", words,
                    fix.n ? fix_text : "check the URL, the CA file and the network");
        return;
    }
    const char *fault = login_take(a, a->state.control, j);
    login_end(a); /* nobody needs to be asked any more */
    if (fault) {
        client_fail(c, "FNL-105", 1, "the registration could not be kept", fault,
                    "look at its space and permissions");
    } else {
        joined(c);
    }
}

/* ---- to be let in by a person (login.c) ---- */

void ipc_login_link(struct agent *a, const struct login_link *link)
{
    LIST_FOREACH (l, &a->clients) {
        struct client *c = LIST_ENTRY(l, struct client, link);
        if (c->joining && !c->ended) {
            struct js *j = js_object();
            js_set_cstr(j, "event", "approval");
            js_set_cstr(j, "text", "To let this machine in, open:");
            js_set_cstr(j, "url", link->url);
            js_set_cstr(j, "matchCode", link->code);
            js_set_cstr(j, "expires", link->expires);
            client_event(c, j);
        }
    }
}

void ipc_login_done(struct agent *a)
{
    LIST_FOREACH (l, &a->clients) {
        struct client *c = LIST_ENTRY(l, struct client, link);
        if (c->joining && !c->ended) {
            joined(c);
        }
    }
}

void ipc_login_failed(struct agent *a, const struct login_failure *f)
{
    LIST_FOREACH (l, &a->clients) {
        struct client *c = LIST_ENTRY(l, struct client, link);
        if (c->joining && !c->ended) {
            client_fail(c, f->code, f->exit, f->message, f->why, f->fix);
        }
    }
}

static void op_up(struct client *c, const struct js *rq)
{
    struct agent *a = c->a;
    struct slice key = js_get_str(rq, "authKey"), url = js_get_str(rq, "control"),
                 host = js_get_str(rq, "hostname");
    char hostname[200] = "node", control[sizeof a->state.control];
    if (!key.n && a->state.token.len && !a->view.refused) {
        a->state.down = false;
        err_ignore(state_save(&a->state)); /* worst case: down again after a restart */
        control_start(a);
        struct js *out = js_object();
        js_set_cstr(out, "name", a->state.name);
        client_ok(c, out, false);
        return;
    }
    if (!url.n && !a->state.control[0]) {
        client_fail(c, "FNL-106", 2, "a control server is needed", "this node knows none yet",
                    "funnel up --control https://control.example.net");
        return;
    }
    while (url.n && url.p[url.n - 1] == '/') {
        url.n--;
    }
    text_cut(control, sizeof control, "%s", a->state.control);
    if (url.n && (!slice_starts(url, S("https://")) || !slice_copy(url, control, sizeof control))) {
        client_fail(c, "FNL-107", 2, "the control server's URL is not usable",
                    "it must begin with https://", "--control https://control.example.net");
        return;
    }
    if (!host.n || !slice_copy(host, hostname, sizeof hostname)) {
        err_ignore(gethostname(hostname, sizeof hostname - 1)); /* "node" then */
    }
    if (key.n) {
        text_cut(a->state.control, sizeof a->state.control, "%s", control);
        c->call = control_register(a, a->state.control, key, hostname, on_registered, c);
    } else {
        c->joining = true;
        login_begin(a, control, hostname);
    }
}

/* A background entry is replaced by a background one only: a foreground funnel would take it along
 * when it ends. */
static bool port_free(struct client *c)
{
    const struct serve_entry *e = serve_find(c->a, c->wanted.port);
    char why[200];
    if (!e->used || (e->background && c->wanted.background)) {
        return true;
    }
    text_cut(why, sizeof why, "port %d is served %s: %.150s", c->wanted.port,
             e->background ? "in the background" : "by another command", e->target);
    client_fail(c, "FNL-108", 1, "this port is in use", why,
                "funnel status; end that one with off, or choose another port with --https=");
    return false;
}

static void op_serve(struct client *c, const struct js *rq)
{
    int port = (int)js_get_int(rq, "port", 443);
    const char *bad = serve_parse(js_get_str(rq, "target"), &c->wanted);
    if (bad || !serve_find(c->a, port)) {
        c->wanted.used = false;
        client_fail(c, "FNL-109", 2, "this cannot be served",
                    bad ? bad : "the public port must be 443, 8443 or 10000", "funnel 3000");
        return;
    }
    c->wanted.port = port;
    c->wanted.background = js_get_bool(rq, "background", false);
    if (need_login(c) && port_free(c)) {
        AUTO_FREE char *reason = slice_dup(js_get_str(rq, "reason"));
        c->ladder = ladder_start(c->a, c,
                                 &(struct ladder_wish){.port = port,
                                                       .background = c->wanted.background,
                                                       .reason = reason,
                                                       .seconds = js_get_int(rq, "seconds", 0)});
    }
}

const char *client_target(const struct client *c)
{
    return c->wanted.used ? c->wanted.target : "";
}

bool client_permitted(struct client *c)
{
    struct agent *a = c->a;
    struct serve_entry *at = c->wanted.used ? serve_find(a, c->wanted.port) : NULL;
    if (!at) {
        return true;
    }
    if (!port_free(c)) {
        return false; /* somebody took it while an admin was asked */
    }
    *at = c->wanted;
    if (!at->background) {
        at->owner = c;
        c->port = at->port;
    }
    if (serve_save(a) < 0) {
        client_fail(c, "FNL-105", 1, "the configuration could not be kept",
                    "the state directory cannot be written", "look at its space and permissions");
        return false;
    }
    control_put_funnels(a);
    cert_check(a);
    return true;
}

static void op_enable(struct client *c, const struct js *rq)
{
    if (need_login(c)) {
        AUTO_FREE char *reason = slice_dup(js_get_str(rq, "reason"));
        c->ladder = ladder_start(c->a, c,
                                 &(struct ladder_wish){.port = (int)js_get_int(rq, "port", 443),
                                                       .only_permission = true,
                                                       .reason = reason,
                                                       .seconds = js_get_int(rq, "seconds", 0)});
    }
}

/* ---- requests ---- */

static void op_requests(struct client *c, const struct js *rq)
{
    (void)rq;
    if (need_login(c)) {
        struct js *j = js_object(), *list = c->a->view.requests;
        js_set_cstr(j, "schema", "funnel.requests/1");
        js_set(j, "requests", list ? js_ref(list) : js_array());
        client_ok(c, j, false);
    }
}

/* A request of ours by its id; NULL after a failure. */
static const struct js *find_request(struct client *c, struct slice id)
{
    const struct js *list = c->a->view.requests;
    for (size_t i = 0; i < js_len(list); i++) {
        if (slice_eq(js_get_str(js_at(list, i), "id"), id)) {
            return js_at(list, i);
        }
    }
    client_fail(c, "FNL-116", 1, "this node has no such request",
                c->a->view.known ? "it was decided a while ago, or is another node's"
                                 : "control is not connected yet",
                "funnel request list");
    return NULL;
}

static void on_cancelled(void *arg, int err, long status, const char *why, const struct js *j)
{
    struct client *c = arg;
    struct slice message = js_get_str(j, "message");
    char words[400];
    c->call = NULL;
    if (!err && status == 204) {
        client_ok(c, js_object(), false);
        return;
    }
    text_cut(words, sizeof words, "%s%.*s", err ? why : "", (int)message.n, message.p);
    client_fail(c, "FNL-110", err ? 69 : 1, "the request was not cancelled", words,
                "funnel request list");
}

static void op_cancel(struct client *c, const struct js *rq)
{
    struct slice id = js_get_str(rq, "request");
    char path[120];
    if (need_login(c) && find_request(c, id)) {
        text_cut(path, sizeof path, "/node/v1/requests/" SLICE_FMT "/cancel", SLICE_ARG(id));
        c->call = control_post(c->a, path, js_object(), on_cancelled, c);
    }
}

/* Takes up what the asking command would have done: it serves what that one wanted to. */
static void op_wait(struct client *c, const struct js *rq)
{
    AUTO_FREE char *id = slice_dup(js_get_str(rq, "request"));
    const struct js *r = need_login(c) ? find_request(c, slice_str(id)) : NULL;
    if (!r) {
        return;
    }
    struct slice target = js_get_str(r, "target");
    int port = (int)js_get_int(r, "port", 443);
    if (target.n && (serve_parse(target, &c->wanted) || !serve_find(c->a, port))) {
        c->wanted.used = false;
        client_fail(c, "FNL-109", 2, "this cannot be served", "its target is not usable any more",
                    "funnel 3000");
        return;
    }
    c->wanted.port = port;
    c->wanted.background = js_get_bool(rq, "background", false);
    if (!target.n || port_free(c)) {
        c->ladder = ladder_start(c->a, c,
                                 &(struct ladder_wish){.port = port,
                                                       .only_permission = !target.n,
                                                       .background = c->wanted.background,
                                                       .request = id});
    }
}

static void clear_entry(struct agent *a, struct serve_entry *e)
{
    if (!e->used) {
        return;
    }
    visitor_close_port(a, e->port);
    struct client *owner = e->owner;
    *e = (struct serve_entry){.used = false};
    if (owner) {
        owner->port = 0;
        client_fail(owner, "FNL-112", 0, "this funnel was switched off", "by another command",
                    "run it again when you want it");
    }
}

void ipc_switched_off(struct agent *a, int port, struct slice by)
{
    struct serve_entry *e = serve_find(a, port);
    struct client *owner = e && e->used ? e->owner : NULL;
    char why[300];
    if (!e || !e->used) {
        return;
    }
    visitor_close_port(a, e->port);
    *e = (struct serve_entry){.used = false};
    log_info("funnel.switched_off", F_I64("port", port), F_SLICE("by", by));
    if (owner) {
        owner->port = 0;
        text_cut(why, sizeof why, "by " SLICE_FMT ", at the control server", SLICE_ARG(by));
        client_fail(owner, "FNL-120", 77, "this public URL was switched off", why,
                    "talk to them; the same command asks for it again");
    }
    if (serve_save(a) < 0) { /* control says it again after a restart */
        log_error("serve.not_saved");
    }
}

static void finish_change(struct client *c)
{
    int rc = serve_save(c->a);
    control_put_funnels(c->a);
    if (rc < 0) {
        client_fail(c, "FNL-105", 1, "the change holds until the next restart only",
                    "the state directory cannot be written", "look at its space and permissions");
        return;
    }
    client_ok(c, js_object(), false);
}

static void op_off(struct client *c, const struct js *rq)
{
    struct serve_entry *e = serve_find(c->a, (int)js_get_int(rq, "port", 443));
    if (!e || !e->used) {
        client_fail(c, "FNL-113", 1, "nothing is served there", "this port has no funnel",
                    "funnel status");
        return;
    }
    clear_entry(c->a, e);
    finish_change(c);
}

static void op_reset(struct client *c, const struct js *rq)
{
    (void)rq;
    for (size_t i = 0; i < AGENT_FUNNELS; i++) {
        clear_entry(c->a, &c->a->serve[i]);
    }
    finish_change(c);
}

static void op_down(struct client *c, const struct js *rq)
{
    struct agent *a = c->a;
    (void)rq;
    a->state.down = true;
    if (state_save(&a->state) < 0) {
        client_fail(c, "FNL-105", 1, "this holds until the next restart only",
                    "the state directory cannot be written", "look at its space and permissions");
        return;
    }
    control_stop(a);
    uplink_stop_all(a);
    client_ok(c, js_object(), false);
}

static const struct {
    const char *name;
    bool changes;
    void (*fn)(struct client *c, const struct js *rq);
} ops[] = {
    {"status", false, op_status}, {"up", true, op_up},
    {"serve", true, op_serve},    {"enable", true, op_enable},
    {"off", true, op_off},        {"reset", true, op_reset},
    {"down", true, op_down},      {"requests", false, op_requests},
    {"cancel", true, op_cancel},  {"wait", true, op_wait},
};

static void serve_line(struct client *c, struct slice line)
{
    char why[200];
    AUTO(js_freep) struct js *j = js_parse(line, LINE_MAX, why, sizeof why);
    struct slice op = js_get_str(j, "op");
    c->id = js_get_int(j, "id", 0);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (slice_eq(op, slice_str(ops[i].name))) {
            if (ops[i].changes && !may_change(c)) {
                client_fail(c, "FNL-102", 77, "you may not change this",
                            "only root, the daemon's user and its operator group may",
                            "sudo funnel …, or set \"operatorGroup\" in funneld's configuration");
            } else {
                c->busy = true;
                ops[i].fn(c, j);
            }
            return;
        }
    }
    client_fail(c, "FNL-114", 76, "funneld does not know this request",
                "the command is newer than the daemon", "restart funneld after an upgrade");
}

/* ---- connections ---- */

static size_t on_data(void *arg, struct slice data)
{
    struct client *c = arg;
    ptrdiff_t lf = slice_find(data, '\n');
    if (lf < 0) {
        return 0;
    }
    if (!c->busy && !c->ended) {
        serve_line(c, slice_of(data.p, (size_t)lf));
    }
    return (size_t)lf + 1;
}

static void free_client(void *arg)
{
    mem_free(arg);
}

static void on_close(void *arg, int why)
{
    struct client *c = arg;
    (void)why;
    c->stream = NULL;
    c->ended = true;
    control_call_cancel(c->call);
    drop_port(c);
    end_work(c);
    list_unlink(&c->link);
    loop_retire(c->a->lp, &c->retire, free_client, c);
}

static const struct stream_ops client_ops = {.on_data = on_data, .on_close = on_close};

static void on_accept(void *arg, uint32_t events)
{
    struct agent *a = arg;
    int fd;
    (void)events;
    while ((fd = sock_accept(a->ipc.fd, NULL)) >= 0) {
        struct client *c = mem_new(sizeof *c);
        c->a = a;
        if (!sock_peer_cred(fd, &c->cred)) {
            close(fd);
            mem_free(c);
            continue;
        }
        list_push_back(&a->clients, &c->link);
        c->stream =
            stream_new(a->lp, fd, NULL, &client_ops, &(struct stream_opts){.in_max = LINE_MAX}, c);
    }
}

/* A funnel that lives with its command: people see there why nobody comes any more. */
static void say_lock(struct client *c)
{
    bool locked = c->a->view.lock[0] != '\0';
    if (c->port && !c->ended && locked != c->told_lock) {
        c->told_lock = locked;
        client_progress(c, "lock", locked ? "fail" : "ok",
                        locked ? c->a->view.lock : "public URLs are served again");
    }
}

void ipc_view_changed(struct agent *a)
{
    LIST_FOREACH (l, &a->clients) {
        struct client *c = LIST_ENTRY(l, struct client, link);
        say_lock(c);
        if (c->ladder && !c->ended) {
            ladder_view_changed(c->ladder);
        }
    }
}

static unsigned find_group(const char *name)
{
    struct group gr, *found = NULL;
    char text[4096];
    if (!*name || getgrnam_r(name, &gr, text, sizeof text, &found) || !found) {
        return (unsigned)-1;
    }
    return found->gr_gid;
}

int ipc_start(struct agent *a, char *out_why, size_t why_size)
{
    a->operator_gid = find_group(a->cfg.operator_group);
    int fd =
        sock_listen_unix(a->cfg.socket, 0666); /* reading is for all; changing by credentials */
    int rc = fd < 0 ? fd : watch_add(a->lp, &a->ipc, fd, on_accept, a);
    if (rc < 0) {
        text_cut(out_why, why_size, "cannot listen on %s: %s", a->cfg.socket, err_words(rc));
        return err_trace(rc);
    }
    return 0;
}

void ipc_stop(struct agent *a)
{
    int fd = a->ipc.fd;
    watch_del(&a->ipc);
    if (fd >= 0) {
        close(fd);
        err_ignore(unlink(a->cfg.socket));
    }
    LIST_FOREACH (l, &a->clients) {
        struct client *c = LIST_ENTRY(l, struct client, link);
        if (c->stream) {
            stream_close(c->stream, 0);
        }
    }
}
