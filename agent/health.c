/*
 * Does what we serve answer? Each target is dialled now and then, and control hears when that
 * changes, when it has forgotten (a new stream), and when our clock was set anew. Bounded: one
 * connection per target at a time, one report under way, a pause between reports.
 */
#include <errno.h>
#include <stdio.h>

#include "agent/agent.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

enum { CLOCK_MOVED_S = 30 };

static const int64_t tick_every = SECONDS(1), dial_patience = SECONDS(3), look_ok = SECONDS(8),
                     look_down = SECONDS(3), report_pause = SECONDS(1), report_retry = SECONDS(5),
                     report_anyway = SECONDS(300);

struct dial {
    struct health *h;
    struct stream *stream;
    struct addr to;
    int port;
    bool open;
    struct mono next;
};

struct health {
    struct agent *a;
    struct dial dials[AGENT_FUNNELS];
    struct timer tick;
    struct control_call *report;
    bool owed;
    struct mono may_report, must_report;
    int64_t clock; /* as it was reported: wall time when the monotonic clock was 0 */
};

static void on_tick(void *arg);

static int64_t clock_now(void)
{
    return wall_now().s - mono_now().ns / SECONDS(1);
}

/* ---- reports ---- */

static void on_reported(void *arg, int err, long status, const char *why, const struct js *answer)
{
    struct health *h = arg;
    (void)answer;
    h->report = NULL;
    if (err || status >= 500) {
        log_debug("report.not_sent", F_I64("status", status), F_STR("why", why));
        h->owed = true;
        h->may_report = mono_after(mono_now(), report_retry);
    }
}

static struct js *report_body(struct health *h)
{
    struct js *j = js_object(), *list = js_array();
    js_set_int(j, "time", wall_now().s);
    for (size_t i = 0; i < AGENT_FUNNELS; i++) {
        const struct serve_entry *e = &h->a->serve[i];
        if (e->used && e->health != HEALTH_UNKNOWN) {
            struct js *b = js_object();
            js_set_int(b, "port", e->port);
            js_set_bool(b, "ok", e->health == HEALTH_OK);
            js_set_cstr(b, "text", e->health_text);
            js_push(list, b);
        }
    }
    js_set(j, "backends", list);
    return j;
}

static void report(struct health *h)
{
    struct mono now = mono_now();
    bool moved = clock_now() - h->clock > CLOCK_MOVED_S || h->clock - clock_now() > CLOCK_MOVED_S;
    bool due = h->owed || moved || mono_reached(now, h->must_report);
    if (!due || h->report || !h->a->view.connected || !mono_reached(now, h->may_report)) {
        return;
    }
    h->owed = false;
    h->clock = clock_now();
    h->may_report = mono_after(now, report_pause);
    h->must_report = mono_after(now, report_anyway);
    h->report = control_post(h->a, "/node/v1/report", report_body(h), on_reported, h);
}

/* ---- looking ---- */

static void judge(struct dial *d, bool ok, const char *why)
{
    struct serve_entry *e = serve_find(d->h->a, d->port);
    if (!e || !e->used || !addr_same_ip(&e->backend, &d->to) ||
        addr_port(&e->backend) != addr_port(&d->to)) {
        return; /* another target stands there by now */
    }
    enum health_state state = ok ? HEALTH_OK : HEALTH_DOWN;
    d->h->owed = d->h->owed || e->health != state;
    e->health = state;
    e->health_at = wall_now();
    text_cut(e->health_text, sizeof e->health_text, "backend %.80s %s%s%s%s", e->host,
             ok ? "answers" : "does not answer", ok ? "" : " (", ok ? "" : why, ok ? "" : ")");
    d->next = mono_after(mono_now(), ok ? look_ok : look_down);
    report(d->h);
}

static size_t on_data(void *arg, struct slice data)
{
    (void)arg;
    return data.n;
}

static void on_open(void *arg)
{
    struct dial *d = arg;
    d->open = true;
    stream_close(d->stream, 0);
}

static void on_close(void *arg, int why)
{
    struct dial *d = arg;
    d->stream = NULL;
    judge(d, d->open, why == -ETIMEDOUT ? "no answer in time" : err_words(why));
}

static const struct stream_ops dial_ops = {
    .on_open = on_open, .on_data = on_data, .on_close = on_close};

static void look(struct health *h, size_t i)
{
    const struct serve_entry *e = &h->a->serve[i];
    struct dial *d = &h->dials[i];
    bool due = e->health == HEALTH_UNKNOWN || mono_reached(mono_now(), d->next);
    if (!e->used || d->stream || !due) {
        return;
    }
    *d = (struct dial){.h = h, .to = e->backend, .port = e->port};
    int fd = sock_connect(&d->to);
    if (fd < 0) {
        judge(d, false, err_words(fd));
        return;
    }
    d->stream = stream_new(h->a->lp, fd, NULL, &dial_ops,
                           &(struct stream_opts){.open_timeout_ns = dial_patience}, d);
}

static void on_tick(void *arg)
{
    struct health *h = arg;
    for (size_t i = 0; i < AGENT_FUNNELS; i++) {
        look(h, i);
    }
    report(h);
    if (serve_any(h->a)) {
        timer_set_in(h->a->lp, &h->tick, tick_every, on_tick, h);
    }
}

/* ---- the whole ---- */

void health_kick(struct agent *a)
{
    if (a->health && !timer_armed(&a->health->tick)) {
        timer_set_in(a->lp, &a->health->tick, 0, on_tick, a->health);
    }
}

void health_tell(struct agent *a)
{
    if (a->health) {
        a->health->owed = true;
        health_kick(a);
    }
}

void health_start(struct agent *a)
{
    a->health = mem_new(sizeof *a->health);
    *a->health = (struct health){.a = a, .clock = clock_now()};
    health_kick(a);
}

void health_stop(struct agent *a)
{
    struct health *h = a->health;
    if (!h) {
        return;
    }
    a->health = NULL;
    control_call_cancel(h->report);
    timer_cancel(&h->tick);
    for (size_t i = 0; i < AGENT_FUNNELS; i++) {
        if (h->dials[i].stream) {
            stream_abandon(h->dials[i].stream);
        }
    }
    mem_free(h);
}
