/*
 * Visitors. waiting (no leg yet) -> opening (OPEN sent, 1 s for the answer)
 * -> flowing -> ended. A silent leg is replaced by another with the same
 * hello, at most three within 5 s: the visitor has seen nothing yet.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "relay/relay.h"

enum {
    ATTEMPTS = 3,
    KEEP_IDLE_S = 60,
    KEEP_INTERVAL_S = 15,
    KEEP_COUNT = 4,
    USER_TIMEOUT_MS = 120000, /* as long as the keep-alives take to notice */
};

static const int64_t answer_wait = SECONDS(1), whole_wait = SECONDS(5);

struct visitor {
    struct list link;    /* relay.visitors */
    struct list waiting; /* relay.waiting, while it has no leg */
    struct relay *r;
    int fd;                /* until the stream has it */
    struct stream *stream; /* from ACCEPT on */
    struct addr peer;
    uint16_t public_port;
    char name[TEXT_NAME_SIZE];
    char node[RELAY_ID_SIZE];
    uint64_t id;
    struct buf hello, extra; /* the hello's records, and what came behind them */
    struct rleg *leg;
    unsigned attempts;
    struct timer answer, whole;
    bool eof_pending, ended;
    uint8_t reason;
    struct retire retire;
};

static void free_visitor(void *arg)
{
    struct visitor *v = arg;
    buf_deinit(&v->hello);
    buf_deinit(&v->extra);
    mem_free(v);
}

static void report(struct visitor *v, const struct rleg *l)
{
    struct rsession *s = rsession_find(v->r, v->node);
    struct frame_closed f = {.connection = v->id,
                             .to_node = l ? l->leg.bytes_out : 0,
                             .to_visitor = l ? l->leg.bytes_in : 0,
                             .reason = v->reason};
    v->r->count.bytes_in += f.to_node;
    v->r->count.bytes_out += f.to_visitor;
    if (s) {
        rsession_closed(s, &f);
    }
}

static void maybe_free(struct visitor *v)
{
    if (v->ended && !v->stream && v->fd < 0 && !v->retire.fn) {
        loop_retire(v->r->lp, &v->retire, free_visitor, v);
    }
}

static void let_leg_go(struct visitor *v, bool reset)
{
    struct rleg *l = v->leg;
    if (!l) {
        return;
    }
    v->leg = NULL;
    l->visitor = NULL;
    if (l->stream) {
        if (reset || l->leg.state == LEG_OPENING) {
            /* No room for the frame: then FIN without EOF says the same. */
            err_ignore(
                leg_send_reset(&l->leg, v->reason ? (enum end_reason)v->reason : END_PEER_RESET));
        }
        stream_pause(l->stream, false);
        stream_finish(l->stream);
    }
}

/* The one way out. `reset`: both ends hear RST, else what is queued is sent first. */
static void end(struct visitor *v, enum end_reason why, bool reset)
{
    if (v->ended) {
        return;
    }
    v->ended = true;
    v->reason = (uint8_t)why;
    timer_cancel(&v->answer);
    timer_cancel(&v->whole);
    list_unlink(&v->link);
    list_unlink(&v->waiting);
    v->r->open_count--;
    report(v, v->leg);
    let_leg_go(v, reset);
    if (v->stream && reset) {
        sock_reset_on_close(stream_fd(v->stream));
        stream_close(v->stream, 0);
    } else if (v->stream) {
        stream_finish(v->stream);
    }
    if (v->fd >= 0) {
        close(STEAL_FD(v->fd));
    }
    relay_visitor_ended(v->r);
    maybe_free(v);
}

/* Before anything of the node was heard: say so in TLS. */
static void turn_away(struct visitor *v, enum end_reason why)
{
    if (v->fd >= 0) {
        front_refuse(STEAL_FD(v->fd));
    }
    v->r->count.refused++;
    end(v, why, false);
}

/* ---- getting a leg ---- */

static void try_leg(struct visitor *v);

static void on_answer_late(void *arg)
{
    struct visitor *v = arg;
    struct rleg *l = v->leg;
    log_debug("leg.silent", F_STR("node", v->node), F_U64("connection", v->id));
    v->leg = NULL;
    l->visitor = NULL;
    sock_reset_on_close(stream_fd(l->stream));
    stream_close(l->stream, -ETIMEDOUT);
    try_leg(v);
}

static void on_whole_late(void *arg)
{
    turn_away(arg, END_TIME);
}

static bool open_on(struct visitor *v, struct rleg *l)
{
    struct frame_open open = {.connection = v->id,
                              .visitor_port = addr_port(&v->peer),
                              .public_port = v->public_port,
                              .name = slice_str(v->name),
                              .hello = buf_slice(&v->hello)};
    addr_to_bytes(&v->peer, open.address);
    if (!l->stream || leg_send_open(&l->leg, &open)) {
        return false;
    }
    l->visitor = v;
    v->leg = l;
    list_unlink(&v->waiting);
    v->attempts++;
    timer_set_in(v->r->lp, &v->answer, answer_wait, on_answer_late, v);
    return true;
}

static void try_leg(struct visitor *v)
{
    struct rsession *s = rsession_find(v->r, v->node);
    struct rleg *l;
    if (v->attempts >= ATTEMPTS) {
        turn_away(v, END_TIME);
        return;
    }
    while (s && (l = rleg_take(s))) {
        if (open_on(v, l)) {
            return;
        }
        if (l->stream) {
            stream_close(l->stream, -EIO);
        }
    }
    /* The next leg comes by visitor_offer_leg; perhaps from a session that the node begins anew. */
    list_push_back(&v->r->waiting, &v->waiting);
    if (s) {
        rsession_need_leg(s);
    }
}

bool visitor_offer_leg(struct relay *r, const char *node, struct rleg *leg)
{
    LIST_FOREACH (l, &r->waiting) {
        struct visitor *v = LIST_ENTRY(l, struct visitor, waiting);
        if (strcmp(v->node, node) == 0) {
            return open_on(v, leg);
        }
    }
    return false;
}

void visitor_arrive(struct relay *r, const struct newcomer *n)
{
    struct visitor *v = mem_new(sizeof *v);
    *v = (struct visitor){.r = r,
                          .fd = n->fd,
                          .peer = *n->peer,
                          .public_port = n->public_port,
                          .id = ++r->next_connection};
    memcpy(v->name, n->route->name, sizeof v->name);
    memcpy(v->node, n->route->node, sizeof v->node);
    buf_init(&v->hello, HELLO_WIRE_MAX);
    buf_init(&v->extra, HELLO_WIRE_MAX);
    buf_add(&v->hello, slice_sub(n->received, 0, n->hello->wire_len));
    buf_add(&v->extra, slice_skip(n->received, n->hello->wire_len));
    list_push_back(&r->visitors, &v->link);
    list_init(&v->waiting);
    r->open_count++;
    r->count.visitors++;
    timer_set_in(r->lp, &v->whole, whole_wait, on_whole_late, v);
    try_leg(v);
}

/* ---- the visitor's stream ---- */

static void try_eof(struct visitor *v)
{
    if (v->eof_pending && v->leg && leg_send_eof(&v->leg->leg) != BUF_FULL) {
        v->eof_pending = false;
        if (leg_done(&v->leg->leg)) {
            end(v, END_CLEAN, false);
        }
    }
}

static size_t on_data(void *arg, struct slice data)
{
    struct visitor *v = arg;
    size_t used = 0;
    while (used < data.n && v->leg) {
        struct slice part = slice_sub(data, used, TUNNEL_DATA_MAX);
        int rc = leg_send_data(&v->leg->leg, part);
        if (rc == BUF_FULL) {
            stream_pause(v->stream, true);
            break;
        }
        if (rc) {
            end(v, END_PROTOCOL, true);
            return data.n;
        }
        used += part.n;
    }
    return v->leg ? used : data.n;
}

static void on_drain(void *arg)
{
    struct visitor *v = arg;
    if (v->leg && v->leg->stream) {
        stream_pause(v->leg->stream, false);
    }
}

static void on_eof(void *arg)
{
    struct visitor *v = arg;
    v->eof_pending = true;
    try_eof(v);
}

static void on_close(void *arg, int why)
{
    struct visitor *v = arg;
    v->stream = NULL;
    end(v, why ? END_PEER_RESET : END_CLEAN, why != 0);
    maybe_free(v);
}

static const struct stream_ops visitor_ops = {
    .on_data = on_data, .on_drain = on_drain, .on_eof = on_eof, .on_close = on_close};

/* ---- the leg's frames ---- */

static void leg_accepted(void *arg)
{
    struct rleg *l = arg;
    struct visitor *v = l->visitor;
    if (!v) {
        return; /* it has left, and the leg is about to end */
    }
    timer_cancel(&v->answer);
    timer_cancel(&v->whole);
    sock_keepalive(v->fd, KEEP_IDLE_S, KEEP_INTERVAL_S, KEEP_COUNT);
    sock_user_timeout(v->fd, USER_TIMEOUT_MS);
    v->stream = stream_new(v->r->lp, STEAL_FD(v->fd), NULL, &visitor_ops,
                           &(struct stream_opts){.early = buf_slice(&v->extra)}, v);
    buf_deinit(&v->hello);
    buf_deinit(&v->extra);
}

static void leg_refused(void *arg, uint8_t reason)
{
    struct rleg *l = arg;
    struct visitor *v = l->visitor;
    if (v) {
        log_debug("visitor.refused", F_STR("node", v->node), F_U64("reason", reason));
        turn_away(v, END_CLEAN);
    }
}

static bool leg_data(void *arg, struct slice data)
{
    struct rleg *l = arg;
    struct visitor *v = l->visitor;
    if (!v || !v->stream) {
        return true; /* the visitor has left; the leg is about to hear it */
    }
    if (stream_write(v->stream, data) == BUF_FULL) {
        stream_pause(l->stream, true);
        return false;
    }
    return true;
}

static void leg_eof(void *arg)
{
    struct rleg *l = arg;
    struct visitor *v = l->visitor;
    if (!v || !v->stream) {
        return;
    }
    stream_shutdown(v->stream);
    if (leg_done(&l->leg)) {
        end(v, END_CLEAN, false);
    }
}

static void leg_reset(void *arg, uint8_t code)
{
    struct rleg *l = arg;
    if (l->visitor) {
        end(l->visitor, code <= END_TOKEN ? (enum end_reason)code : END_PROTOCOL, true);
    }
}

const struct leg_ops visitor_leg_ops = {.on_accept = leg_accepted,
                                        .on_refuse = leg_refused,
                                        .on_data = leg_data,
                                        .on_eof = leg_eof,
                                        .on_reset = leg_reset};

void visitor_leg_gone(struct rleg *l)
{
    struct visitor *v = l->visitor;
    if (!v) {
        return;
    }
    l->visitor = NULL;
    v->leg = NULL;
    if (!v->stream && !v->ended) {
        timer_cancel(&v->answer);
        try_leg(v); /* before ACCEPT another leg may do */
    } else {
        end(v, leg_done(&l->leg) ? END_CLEAN : END_PEER_RESET, !leg_done(&l->leg));
    }
}

void visitor_leg_drained(struct rleg *l)
{
    struct visitor *v = l->visitor;
    if (v && v->stream) {
        stream_pause(v->stream, false);
        try_eof(v);
    }
}

void visitor_close_unrouted(struct relay *r)
{
    LIST_FOREACH (l, &r->visitors) {
        struct visitor *v = LIST_ENTRY(l, struct visitor, link);
        const struct route *route = routes_find(&r->routes, v->name, v->public_port);
        if (route && strcmp(route->node, v->node) == 0) {
            continue;
        }
        if (v->stream) {
            end(v, END_REVOKED, true);
        } else {
            turn_away(v, END_REVOKED); /* it has seen nothing of the node yet */
        }
    }
}
