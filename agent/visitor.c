/*
 * A visitor on a leg: OPEN is checked against our own tables before anything
 * is dialled, then the visitor's TLS ends here, with the key that only this
 * machine has. Between leg and proxy stands one TLS object.
 */
#include <errno.h>

#include "agent/agent.h"
#include "agent/proxy.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "tunnel/clienthello.h"

enum { PLAIN_MAX = 96 * 1024, OUT_FULL = 128 * 1024, SEEN = 4096 };

static const int64_t seen_for = SECONDS(10), handshake_wait = SECONDS(15), linger = SECONDS(5),
                     idle_wait = SECONDS(300), quiet_for = SECONDS(1);

struct visitor {
    struct agent *a;
    struct aleg *leg;
    struct tls *tls;
    struct proxy *proxy;
    struct buf in; /* plaintext that the proxy has not taken */
    struct timer timer;
    struct deferred kick;
    int port;
    bool finishing, closed_sent, input_ended, in_drive, aborted;
    struct retire retire;
};

/* ---- connection ids: once each ---- */

static struct {
    uint64_t id;
    struct mono at;
} seen[SEEN];

static bool seen_before(uint64_t id)
{
    size_t slot = (size_t)(id % SEEN);
    struct mono now = mono_now();
    bool again = seen[slot].id == id && !mono_reached(now, mono_after(seen[slot].at, seen_for));
    seen[slot].id = id;
    seen[slot].at = now;
    return again;
}

/* ---- ends ---- */

static void free_visitor(void *arg)
{
    struct visitor *v = arg;
    tls_free(v->tls);
    buf_deinit(&v->in);
    mem_free(v);
}

static void on_quiet(void *arg)
{
    (void)arg;
    mem_give_back();
}

static void end(struct visitor *v)
{
    timer_set_in(v->a->lp, &v->a->quiet, quiet_for, on_quiet, v->a);
    timer_cancel(&v->timer);
    deferred_cancel(&v->kick);
    proxy_free(v->proxy);
    v->proxy = NULL;
    if (v->leg) {
        v->leg->visitor = NULL;
        v->leg = NULL;
    }
    if (!v->retire.fn) {
        loop_retire(v->a->lp, &v->retire, free_visitor, v);
    }
}

static void close_leg(struct visitor *v)
{
    struct aleg *l = v->leg;
    end(v);
    if (l && l->stream) {
        stream_finish(l->stream);
    }
}

static void reset_leg(struct visitor *v, enum end_reason why)
{
    if (v->leg) {
        err_ignore(leg_send_reset(&v->leg->leg, why));
    }
    close_leg(v);
}

static void on_timer(void *arg)
{
    reset_leg(arg, END_TIME);
}

/* ---- pumping ---- */

/* Ciphertext to the relay, as much as the leg takes. False: the visitor has ended. */
static bool flush(struct visitor *v)
{
    struct slice out;
    while (v->leg && (out = tls_output(v->tls)).n) {
        struct slice piece = slice_sub(out, 0, TUNNEL_DATA_MAX);
        int rc = leg_send_data(&v->leg->leg, piece);
        if (rc == BUF_FULL) {
            return true;
        }
        if (rc) {
            close_leg(v);
            return false;
        }
        tls_output_consume(v->tls, piece.n);
    }
    if (!v->finishing || v->closed_sent || !v->leg || leg_send_eof(&v->leg->leg) == BUF_FULL) {
        return v->leg != NULL;
    }
    v->closed_sent = true;
    if (leg_done(&v->leg->leg)) {
        close_leg(v);
        return false;
    }
    timer_set_in(v->a->lp, &v->timer, linger, on_timer, v); /* the visitor's FIN follows, or not */
    return true;
}

static void feed_proxy(struct visitor *v)
{
    if (v->proxy && v->in.len) {
        buf_consume(&v->in, proxy_input(v->proxy, buf_slice(&v->in)));
    }
}

static bool p_full(void *arg);

static void drive(struct visitor *v)
{
    if (v->in_drive || !v->leg) {
        return;
    }
    v->in_drive = true;
    int rc = 0;
    do {
        feed_proxy(v);
        rc = v->aborted || v->finishing ? TLS_AGAIN : tls_read(v->tls, &v->in);
    } while (rc == 0);
    if (rc == TLS_EOF && !v->input_ended && v->proxy && !v->in.len) {
        v->input_ended = true;
        proxy_eof(v->proxy);
    }
    v->in_drive = false;
    if (v->aborted) {
        reset_leg(v, END_BACKEND);
    } else if (rc < 0) {
        v->finishing = true; /* the alert goes out, then the end */
        flush(v);
    } else if (flush(v) && v->leg && v->leg->stream && v->in.len < PLAIN_MAX) {
        stream_pause(v->leg->stream, false);
    }
    if (v->leg && v->proxy && !p_full(v)) {
        proxy_drained(v->proxy);
    }
}

static void on_kick(void *arg)
{
    drive(arg);
}

static void kick(struct visitor *v)
{
    loop_defer(v->a->lp, &v->kick, on_kick, v);
}

/* ---- the proxy's side ---- */

static void arm_idle(struct visitor *v)
{
    if (!v->closed_sent) {
        timer_set_in(v->a->lp, &v->timer, idle_wait, on_timer, v);
    }
}

static int p_send(void *arg, struct slice plain)
{
    struct visitor *v = arg;
    if (tls_output(v->tls).n > 2 * (size_t)OUT_FULL) {
        return BUF_FULL;
    }
    arm_idle(v);
    int rc = tls_write(v->tls, plain);
    kick(v);
    return rc ? BUF_FULL : 0;
}

static bool p_full(void *arg)
{
    return tls_output(((struct visitor *)arg)->tls).n > OUT_FULL;
}

static void p_want(void *arg)
{
    kick(arg);
}

static void p_finish(void *arg)
{
    struct visitor *v = arg;
    tls_close_notify(v->tls);
    v->finishing = true;
    kick(v);
}

static void p_abort(void *arg)
{
    struct visitor *v = arg;
    v->aborted = true;
    kick(v);
}

static const struct proxy_ops proxy_table = {
    .send = p_send, .full = p_full, .want = p_want, .finish = p_finish, .abort = p_abort};

/* ---- the leg's side ---- */

static void begin(struct aleg *l, const struct frame_open *open, const struct serve_entry *e)
{
    struct agent *a = uplink_agent(l);
    struct visitor *v = mem_new(sizeof *v);
    struct proxy_opts o = {.backend = e->backend, .name = a->state.name};
    *v = (struct visitor){
        .a = a, .leg = l, .tls = tls_server(a->visitor_tls), .port = open->public_port};
    buf_init(&v->in, PLAIN_MAX);
    addr_from_bytes(open->address, open->visitor_port, &o.visitor);
    v->proxy = proxy_new(a->lp, &o, &proxy_table, v);
    l->visitor = v;
    timer_set_in(a->lp, &v->timer, handshake_wait, on_timer, v);
    if (leg_send_accept(&l->leg) || tls_feed(v->tls, open->hello)) {
        reset_leg(v, END_PROTOCOL);
        return;
    }
    kick(v);
}

static void on_open(void *arg, const struct frame_open *open)
{
    struct aleg *l = arg;
    struct agent *a = uplink_agent(l);
    struct hello h;
    const struct serve_entry *e = serve_find(a, open->public_port);
    enum refuse_reason no = (enum refuse_reason)0;
    uplink_leg_used(l);
    if (!slice_eq(open->name, slice_str(a->state.name)) || !e || !e->used || !cert_ready(a)) {
        no = REFUSE_NOT_SERVED;
    } else if (hello_parse(open->hello, &h) != HELLO_OK ||
               !slice_eq(slice_str(h.name), open->name)) {
        no = REFUSE_SNI;
    } else if (seen_before(open->connection)) {
        no = REFUSE_SEEN;
    } else if (a->stopping) {
        no = REFUSE_STOPPING;
    }
    if (no) {
        err_ignore(leg_send_refuse(
            &l->leg, no)); /* a leg that cannot say so is closed, which says the same */
        stream_finish(l->stream);
        return;
    }
    begin(l, open, e);
}

static bool on_data(void *arg, struct slice data)
{
    struct aleg *l = arg;
    struct visitor *v = l->visitor;
    if (!v) {
        return true;
    }
    if (v->in.len >= PLAIN_MAX || tls_feed(v->tls, data) == -ENOBUFS) {
        stream_pause(l->stream, true);
        return false;
    }
    arm_idle(v);
    drive(v);
    return true;
}

static void on_eof(void *arg)
{
    struct aleg *l = arg;
    struct visitor *v = l->visitor;
    if (!v) {
        return;
    }
    if (leg_done(&l->leg)) {
        close_leg(v);
    } else if (!v->input_ended && v->proxy) {
        v->input_ended = true;
        proxy_eof(v->proxy);
        kick(v);
    }
}

static void on_reset(void *arg, uint8_t code)
{
    struct aleg *l = arg;
    (void)code;
    if (l->visitor) {
        close_leg(l->visitor);
    }
}

const struct leg_ops agent_leg_ops = {
    .on_open = on_open, .on_data = on_data, .on_eof = on_eof, .on_reset = on_reset};

void visitor_leg_gone(struct aleg *l)
{
    if (l->visitor) {
        end(l->visitor);
    }
}

void visitor_leg_drained(struct aleg *l)
{
    struct visitor *v = l->visitor;
    if (v && flush(v) && v->proxy && !p_full(v)) {
        proxy_drained(v->proxy);
    }
}

void visitor_close_port(struct agent *a, int port)
{
    LIST_FOREACH (l, &a->visitors) {
        struct aleg *leg = LIST_ENTRY(l, struct aleg, link);
        if (leg->visitor && leg->visitor->port == port) {
            reset_leg(leg->visitor, END_REVOKED);
        }
    }
}
