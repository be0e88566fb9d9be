/*
 * Agents: one TLS connection is either a session (control messages) or a leg
 * (one visitor). Which, the ALPN says; what it may do, the token and the
 * ticket. A leg belongs to the session whose ticket it resumed.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "relay/relay.h"

enum {
    FRAMES_OUT = 64 * 1024,
    LEG_IN = 64 * 1024,
    PARKED_MAX = 256,    /* an agent cannot fill the relay with idle legs */
    NUMBERS_KEPT = 1024, /* leg numbers are single-use: a window of the newest */
};

static const int64_t silence_max = SECONDS(30), hello_wait = SECONDS(5), join_wait = SECONDS(10);

struct rsession {
    struct list link; /* relay.session_list */
    struct relay *r;
    struct stream *stream;
    char node[RELAY_ID_SIZE];
    uint8_t id[TUNNEL_SESSION_ID];
    struct wall since;
    struct list parked;
    unsigned parked_count;
    uint64_t highest_leg;
    bool alive; /* HELLO was good */
    struct timer silence;
    struct retire retire;
};

/* A connection of an agent; exactly one of session and leg is set once TLS is open. */
struct agent {
    struct relay *r;
    struct stream *stream;
    struct rsession *session;
    struct rleg *leg;
    uint8_t id[TUNNEL_SESSION_ID];
    struct timer wait;
    struct retire retire;
};

/* ---- sessions ---- */

static int send_frames(struct stream *stream, struct buf *b)
{
    int rc = stream && buf_ok(b) ? stream_write(stream, buf_slice(b)) : -EPIPE;
    buf_deinit(b);
    return rc;
}

static void bye(struct rsession *s, enum end_reason why, const char *text)
{
    struct buf b = BUF_MAX(512);
    frame_bye(&b, why, text);
    err_ignore(send_frames(s->stream, &b));
    stream_finish(s->stream);
}

static void drop_parked(struct rsession *s)
{
    LIST_FOREACH (l, &s->parked) {
        struct rleg *leg = LIST_ENTRY(l, struct rleg, parked);
        list_unlink(&leg->parked);
        stream_close(leg->stream, 0);
    }
    s->parked_count = 0;
}

static void on_silence(void *arg)
{
    struct rsession *s = arg;
    stream_close(s->stream, -ETIMEDOUT);
}

static void heard(struct rsession *s)
{
    timer_set_in(s->r->lp, &s->silence, s->alive ? silence_max : hello_wait, on_silence, s);
}

static void take_place(struct rsession *s)
{
    struct rsession *older = map_set(s->r->sessions, slice_str(s->node), s);
    if (older) {
        older->alive = false;
        drop_parked(older);
        bye(older, END_REPLACED, "a newer session of this node has begun");
    }
    s->alive = true;
    s->since = wall_now();
    list_push_back(&s->r->session_list, &s->link);
    log_info("session.up", F_STR("node", s->node));
    channel_report_soon(s->r);
}

static bool take_hello(struct rsession *s, struct slice payload)
{
    struct frame_hello h;
    uint8_t spki[TLS_SPKI_SIZE];
    if (s->alive || !frame_read_hello(payload, &h) || h.version != TUNNEL_VERSION) {
        return false;
    }
    if (!tls_peer_spki(stream_tls(s->stream), spki) ||
        !routes_check_token(&s->r->routes, h.token, spki, s->node)) {
        log_warn("session.token_refused");
        bye(s, END_TOKEN, "the token was refused");
        return true;
    }
    take_place(s);
    struct buf b = BUF_MAX(256);
    struct frame_welcome w = {.version = TUNNEL_VERSION, .parked = RELAY_PARKED};
    memcpy(w.session_id, s->id, sizeof w.session_id);
    frame_welcome(&b, &w);
    return send_frames(s->stream, &b) == 0;
}

static bool take_frame(struct rsession *s, const struct frame *f)
{
    uint64_t opaque;
    uint8_t reason;
    struct slice text;
    switch (f->type) {
    case FRAME_HELLO:
        return take_hello(s, f->payload);
    case FRAME_PING:
        if (!s->alive || !frame_read_u64(f->payload, &opaque)) {
            return false;
        }
        struct buf b = BUF_MAX(64);
        frame_u64(&b, FRAME_PONG, opaque);
        return send_frames(s->stream, &b) == 0;
    case FRAME_PONG:
        return s->alive;
    case FRAME_BYE:
        if (frame_read_bye(f->payload, &reason, &text)) {
            stream_finish(s->stream);
            return true;
        }
        return false;
    default: /* foreign enum: a byte from the wire */
        return false;
    }
}

static size_t session_input(struct rsession *s, struct slice data)
{
    size_t used = 0;
    struct frame f;
    size_t len;
    int rc = FRAME_MORE;
    heard(s);
    while (used < data.n && (rc = frame_parse(slice_skip(data, used), &f, &len)) == 0) {
        if (!take_frame(s, &f)) {
            rc = FRAME_BAD;
            break;
        }
        used += len;
    }
    if (rc == FRAME_BAD) {
        stream_close(s->stream, -EPROTO);
    }
    return used;
}

static void free_session(void *arg)
{
    mem_free(arg);
}

static void session_gone(struct rsession *s)
{
    timer_cancel(&s->silence);
    drop_parked(s);
    s->stream = NULL;
    if (map_get(s->r->sessions, slice_str(s->node)) == s) {
        map_del(s->r->sessions, slice_str(s->node));
        log_info("session.down", F_STR("node", s->node));
        channel_report_soon(s->r);
    }
    list_unlink(&s->link);
    loop_retire(s->r->lp, &s->retire, free_session, s);
}

struct rsession *session_find(struct relay *r, const char *node)
{
    struct rsession *s = map_get(r->sessions, slice_str(node));
    return s && s->alive && s->stream ? s : NULL;
}

static struct rsession *find_by_id(struct relay *r, struct slice id)
{
    LIST_FOREACH (l, &r->session_list) {
        struct rsession *s = LIST_ENTRY(l, struct rsession, link);
        if (s->alive && secret_eq(id, slice_of(s->id, sizeof s->id))) {
            return s;
        }
    }
    return NULL;
}

void session_need_leg(struct rsession *s)
{
    struct buf b = BUF_MAX(64);
    frame_u16(&b, FRAME_LEGS, 1);
    err_ignore(send_frames(s->stream, &b)); /* a dead session ends its visitors by their deadline */
}

void session_closed_report(struct rsession *s, const struct frame_closed *f)
{
    struct buf b = BUF_MAX(64);
    frame_closed(&b, f);
    err_ignore(send_frames(s->stream, &b)); /* counters for people: a lost one does no harm */
}

void session_each(struct relay *r,
                  void (*fn)(void *arg, const char *node, struct wall since),
                  void *arg)
{
    LIST_FOREACH (l, &r->session_list) {
        struct rsession *s = LIST_ENTRY(l, struct rsession, link);
        if (s->alive && s->stream) {
            fn(arg, s->node, s->since);
        }
    }
}

void session_drain_all(struct relay *r)
{
    LIST_FOREACH (l, &r->session_list) {
        struct rsession *s = LIST_ENTRY(l, struct rsession, link);
        struct buf b = BUF_MAX(64);
        frame_u32(&b, FRAME_DRAIN, 0);
        err_ignore(send_frames(s->stream, &b));
    }
}

/* ---- legs ---- */

struct rleg *session_take_leg(struct rsession *s)
{
    struct list *l = list_first(&s->parked);
    if (!l) {
        return NULL;
    }
    list_unlink(l);
    s->parked_count--;
    return LIST_ENTRY(l, struct rleg, parked);
}

static int seal_write(void *ctx, struct slice plain)
{
    struct rleg *l = ctx;
    return l->stream ? stream_write(l->stream, plain) : -EPIPE;
}

static bool take_join(struct rleg *l, struct slice payload)
{
    struct frame_join j;
    if (!frame_read_join(payload, &j) ||
        !secret_eq(slice_of(j.session_id, sizeof j.session_id),
                   slice_of(l->session_id, sizeof l->session_id))) {
        return false;
    }
    struct rsession *s = find_by_id(l->relay, slice_of(l->session_id, sizeof l->session_id));
    /* Legs may overtake each other; a number far behind or seen is a replay. Agents count upwards.
     */
    if (!s || j.number + NUMBERS_KEPT <= s->highest_leg || s->parked_count >= PARKED_MAX) {
        return false;
    }
    s->highest_leg = j.number > s->highest_leg ? j.number : s->highest_leg;
    memcpy(l->node, s->node, sizeof l->node);
    l->joined = true;
    if (!visitor_offer_leg(l->relay, l->node, l)) {
        list_push_back(&s->parked, &l->parked);
        s->parked_count++;
    }
    return true;
}

static size_t leg_stream_input(struct agent *a, struct slice data)
{
    struct rleg *l = a->leg;
    size_t used = 0, len;
    bool bad = false;
    struct frame f;
    if (!l->joined) {
        int rc = frame_parse(data, &f, &len);
        if (rc == FRAME_MORE) {
            return 0;
        }
        if (rc == FRAME_BAD || f.type != FRAME_JOIN || !take_join(l, f.payload)) {
            stream_close(a->stream, -EPROTO);
            return 0;
        }
        timer_cancel(&a->wait);
        return len;
    }
    used = leg_input(&l->leg, data, &bad);
    if (bad) {
        stream_close(a->stream, -EPROTO);
    }
    return used;
}

static void free_leg(void *arg)
{
    struct rleg *l = arg;
    leg_deinit(&l->leg);
    mem_free(l);
}

static void leg_gone(struct rleg *l)
{
    struct rsession *s = find_by_id(l->relay, slice_of(l->session_id, sizeof l->session_id));
    l->stream = NULL;
    if (!list_empty(&l->parked)) {
        list_unlink(&l->parked);
        if (s) {
            s->parked_count--;
        }
    }
    visitor_leg_gone(l);
    list_unlink(&l->link);
    loop_retire(l->relay->lp, &l->retire, free_leg, l);
}

/* ---- connections ---- */

static void begin_session(struct agent *a)
{
    struct rsession *s = mem_new(sizeof *s);
    *s = (struct rsession){.r = a->r, .stream = a->stream};
    memcpy(s->id, a->id, sizeof s->id);
    list_init(&s->parked);
    list_init(&s->link);
    a->session = s;
    heard(s);
}

static void on_join_late(void *arg)
{
    struct agent *a = arg;
    stream_close(a->stream, -ETIMEDOUT);
}

static bool begin_leg(struct agent *a)
{
    struct slice id = tls_ticket_data(stream_tls(a->stream));
    if (!tls_resumed(stream_tls(a->stream)) || id.n != TUNNEL_SESSION_ID || !find_by_id(a->r, id)) {
        return false;
    }
    struct rleg *l = mem_new(sizeof *l);
    *l = (struct rleg){.relay = a->r, .stream = a->stream};
    memcpy(l->session_id, id.p, sizeof l->session_id);
    list_init(&l->parked);
    leg_init(&l->leg, LEG_RELAY, (struct seal){seal_write, l}, &visitor_leg_ops, l);
    list_push_back(&a->r->leg_list, &l->link);
    a->leg = l;
    sock_keepalive(stream_fd(a->stream), 30, 10, 3);
    timer_set_in(a->r->lp, &a->wait, join_wait, on_join_late, a);
    return true;
}

static void on_open(void *arg)
{
    struct agent *a = arg;
    struct slice alpn = tls_alpn(stream_tls(a->stream));
    if (slice_eq(alpn, S(TUNNEL_ALPN_SESSION))) {
        begin_session(a);
    } else if (!slice_eq(alpn, S(TUNNEL_ALPN_LEG)) || !begin_leg(a)) {
        stream_close(a->stream, -EPERM);
    }
}

static size_t on_data(void *arg, struct slice data)
{
    struct agent *a = arg;
    return a->leg ? leg_stream_input(a, data) : session_input(a->session, data);
}

static void on_drain(void *arg)
{
    struct agent *a = arg;
    if (a->leg) {
        visitor_leg_drained(a->leg);
    }
}

static void free_agent(void *arg)
{
    mem_free(arg);
}

static void on_close(void *arg, int why)
{
    struct agent *a = arg;
    (void)why;
    timer_cancel(&a->wait);
    a->r->open_count--;
    if (a->session) {
        session_gone(a->session);
    }
    if (a->leg) {
        leg_gone(a->leg);
    }
    loop_retire(a->r->lp, &a->retire, free_agent, a);
}

static const struct stream_ops agent_ops = {
    .on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_close = on_close};

void session_arrive(struct relay *r, int fd, struct slice early)
{
    struct agent *a = mem_new(sizeof *a);
    a->r = r;
    r->open_count++;
    secret_random(a->id, sizeof a->id);
    struct tls *tls = tls_server(r->tls);
    tls_ticket_data_set(tls, slice_of(a->id, sizeof a->id));
    struct stream_opts opts = {.in_max = LEG_IN + TUNNEL_SMALL_MAX, .open_timeout_ns = hello_wait};
    a->stream = stream_new(r->lp, fd, tls, early, &agent_ops, &opts, a);
}
