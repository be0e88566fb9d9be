/* Waiting for a person: one registration at a time. */
#include "agent/login.h"

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"

enum { URL_MAX = 400 };

static const int64_t again_after = SECONDS(1), give_up_after = SECONDS(960);

struct login {
    struct agent *a;
    struct control_call *call;
    struct timer again;
    char control[256], hostname[200];
    char url[URL_MAX + 1], code[16], expires[WALL_TEXT_SIZE];
    struct buf secret; /* what shows control that it is us who wait */
    struct mono until; /* control says sooner; this is for when it does not answer */
};

void login_end(struct agent *a)
{
    struct login *l = a->login;
    if (l) {
        a->login = NULL;
        control_call_cancel(l->call);
        timer_cancel(&l->again);
        secret_wipe_buf(&l->secret);
        mem_free(l);
    }
}

/* The link is gone before the commands hear, so that the next one begins anew. */
static void fail(struct login *l, const struct login_failure *f)
{
    struct agent *a = l->a;
    log_warn("login.failed", F_STR("why", f->why));
    login_end(a);
    ipc_login_failed(a, f);
}

const char *login_take(struct agent *a, const char *control, const struct js *answer)
{
    struct agent_state *s = &a->state;
    buf_clear(&s->token);
    buf_add(&s->token, js_get_str(answer, "nodeToken"));
    bool ok = slice_copy(js_get_str(answer, "nodeId"), s->node_id, sizeof s->node_id) &&
              slice_copy(js_get_str(answer, "name"), s->name, sizeof s->name) &&
              slice_copy(js_get_str(answer, "user"), s->user, sizeof s->user) &&
              slice_copy(js_get_str(answer, "tailnet"), s->tailnet, sizeof s->tailnet) &&
              slice_copy(js_get_str(answer, "ipv4"), s->ipv4, sizeof s->ipv4) &&
              slice_copy(js_get_str(answer, "ipv6"), s->ipv6, sizeof s->ipv6) && s->token.len;
    if (control != s->control) {
        text_cut(s->control, sizeof s->control, "%s", control);
    }
    s->down = false;
    if (!ok || state_save(s) < 0) {
        return ok ? "the state directory cannot be written" : "control's answer is not usable";
    }
    log_info("registered", F_STR("name", s->name));
    control_stop(a);
    control_start(a);
    return NULL;
}

/* ---- waiting ---- */

static void poll(struct login *l);

static void on_again(void *arg)
{
    poll(arg);
}

static void taken(struct login *l, const struct js *j)
{
    struct agent *a = l->a;
    const char *fault = login_take(a, l->control, j);
    if (fault) {
        fail(l, &(struct login_failure){"FNL-105", 1, "the registration could not be kept", fault,
                                        "look at its space and permissions"});
    } else {
        login_end(a);
        ipc_login_done(a);
    }
}

static void on_polled(void *arg, int err, long status, const char *why, const struct js *j)
{
    struct login *l = arg;
    char words[300];
    (void)why;
    l->call = NULL;
    text_cut(words, sizeof words, SLICE_FMT, SLICE_ARG(js_get_str(j, "message")));
    if (!err && status == 200) {
        taken(l, j);
    } else if (!err && status == 403) {
        fail(l, &(struct login_failure){"FNL-117", 77, "this machine was not let in", words,
                                        "ask them, then: funnel up"});
    } else if ((!err && (status == 410 || status == 401)) || mono_reached(mono_now(), l->until)) {
        fail(l, &(struct login_failure){"FNL-118", 75, "nobody let this machine in",
                                        words[0] ? words : "the time was over", "funnel up"});
    } else {
        /* Still nobody, or control is away for a moment. */
        timer_set_in(l->a->lp, &l->again, err || status != 202 ? again_after : 0, on_again, l);
    }
}

static void poll(struct login *l)
{
    struct js *j = js_object();
    js_set_str(j, "pollSecret", buf_slice(&l->secret));
    l->call = control_ask(l->a, l->control, "/node/v1/register/wait", j, on_polled, l);
}

/* ---- asking ---- */

static void tell(struct login *l)
{
    ipc_login_link(l->a, &(struct login_link){l->url, l->code, l->expires});
}

/* A page of the pinned origin: "https://control.example.net.evil.example/" is none. */
static bool own_page(const struct login *l, struct slice url)
{
    struct slice origin = slice_str(l->control);
    return url.n <= URL_MAX && slice_starts(url, origin) &&
           slice_starts(slice_skip(url, origin.n), S("/a/")) && text_printable(url, URL_MAX);
}

static void refused(struct login *l, int err, long status, const char *why, const struct js *j)
{
    char words[400], fix[300];
    struct slice next = js_get_str(j, "fix");
    text_cut(words, sizeof words, "%s" SLICE_FMT, err ? why : "",
             SLICE_ARG(js_get_str(j, "message")));
    text_cut(fix, sizeof fix, SLICE_FMT, SLICE_ARG(next));
    fail(l, &(struct login_failure){"FNL-104",
                                    err             ? 69
                                    : status == 429 ? 75
                                                    : 77,
                                    "control did not take this node", words,
                                    next.n ? fix : "check the URL, the CA file and the network"});
}

static void on_asked(void *arg, int err, long status, const char *why, const struct js *j)
{
    struct login *l = arg;
    struct slice url = js_get_str(j, "URL");
    l->call = NULL;
    if (err || status != 202) {
        refused(l, err, status, why, j);
        return;
    }
    if (!own_page(l, url) || !slice_copy(url, l->url, sizeof l->url) ||
        !slice_copy(js_get_str(j, "MatchCode"), l->code, sizeof l->code) ||
        !slice_copy(js_get_str(j, "Expires"), l->expires, sizeof l->expires) ||
        buf_push(&l->secret, js_get_str(j, "PollSecret"))) {
        fail(l, &(struct login_failure){"FNL-111", 76, "control sent a link that leads elsewhere",
                                        "it was not shown", "tell your admin"});
        return;
    }
    tell(l);
    poll(l);
}

void login_begin(struct agent *a, const char *control, const char *hostname)
{
    struct login *l = a->login;
    if (l && strcmp(l->control, control) == 0 && strcmp(l->hostname, hostname) == 0) {
        if (l->url[0]) {
            tell(l);
        }
        return;
    }
    login_end(a);
    a->login = l = mem_new(sizeof *l);
    l->a = a;
    l->until = mono_after(mono_now(), give_up_after);
    buf_init(&l->secret, 128);
    text_cut(l->control, sizeof l->control, "%s", control);
    text_cut(l->hostname, sizeof l->hostname, "%s", hostname);
    l->call = control_register(a, l->control, S(""), l->hostname, on_asked, l);
}
