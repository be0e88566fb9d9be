/*
 * Agents. One TLS connection is either a session (control messages) or a leg
 * (one visitor): the ALPN says which. What a session may do, its token says;
 * a leg belongs to the session whose ticket it resumed.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "relay/relay.h"

enum { LEG_IN_MAX = TUNNEL_OPEN_MAX + 2 * TUNNEL_HEADER /* holds any frame */ };

static const int64_t tls_wait = SECONDS(5);

/* A connection of an agent; exactly one of session and leg is set once TLS is open. */
struct agent {
    struct relay *r;
    struct stream *stream;
    struct rsession *session;
    struct rleg *leg;
    uint8_t id[TUNNEL_SESSION_ID];
    struct retire retire;
};

/* ---- the session's end ---- */

static struct slice id_of(const struct rsession *s)
{
    return slice_of(s->id, sizeof s->id);
}

/* Out of the tables: no new visitor and no new leg finds it. */
static void leave_tables(struct rsession *s)
{
    if (rsession_find(s->r, s->node) == s) {
        map_del(s->r->sessions, slice_str(s->node));
        map_del(s->r->sessions_by_id, id_of(s));
        log_info("session.down", F_STR("node", s->node));
        channel_report_soon(s->r);
    }
    rleg_drop_parked(s);
}

/* Ended by us: the agent hears why. */
static void dismiss(struct rsession *s, enum end_reason why, const char *text)
{
    leave_tables(s);
    err_ignore(session_send_bye(&s->proto, why, text)); /* a full channel closes without it */
    if (s->stream) {
        stream_finish(s->stream);
    }
}

static void free_session(void *arg)
{
    mem_free(arg);
}

static void session_gone(struct rsession *s)
{
    s->stream = NULL;
    timer_cancel(&s->timer);
    leave_tables(s);
    list_unlink(&s->link);
    loop_retire(s->r->lp, &s->retire, free_session, s);
}

/* ---- the session's messages ---- */

static int seal_session(void *ctx, struct slice plain)
{
    struct rsession *s = ctx;
    return s->stream ? stream_write(s->stream, plain) : -EPIPE;
}

/* The newest session of a node is the one; the older hears why it ends. */
static void take_place(struct rsession *s)
{
    struct rsession *older = rsession_find(s->r, s->node);
    if (older) {
        dismiss(older, END_REPLACED, "a newer session of this node has begun");
    }
    map_set(s->r->sessions, slice_str(s->node), s);
    map_set(s->r->sessions_by_id, id_of(s), s);
    s->since = wall_now();
    log_info("session.up", F_STR("node", s->node));
    channel_report_soon(s->r);
}

static void on_hello(void *arg, const struct frame_hello *hello)
{
    struct rsession *s = arg;
    uint8_t spki[TLS_SPKI_SIZE];
    struct frame_welcome w = {.version = TUNNEL_VERSION, .parked = RELAY_PARKED};
    if (!tls_peer_spki(stream_tls(s->stream), spki) ||
        !routes_check_token(&s->r->routes, hello->token, spki, s->node)) {
        log_warn("session.token_refused");
        dismiss(s, END_TOKEN, "the token was refused");
        return;
    }
    memcpy(w.session_id, s->id, sizeof w.session_id);
    if (session_send_welcome(&s->proto, &w)) {
        stream_close(s->stream, -EPIPE);
        return;
    }
    take_place(s);
}

static void on_bye(void *arg, uint8_t reason, struct slice text)
{
    struct rsession *s = arg;
    log_info("session.bye", F_STR("node", s->node), F_U64("reason", reason),
             F_SLICE("text", text_printable(text, 255) ? text : S("")));
    leave_tables(s);
    stream_finish(s->stream);
}

static const struct session_ops session_ops = {.on_hello = on_hello, .on_bye = on_bye};

static void on_timer(void *arg)
{
    struct rsession *s = arg;
    if (session_tick(&s->proto, loop_now(s->r->lp))) {
        stream_close(s->stream, -ETIMEDOUT);
        return;
    }
    timer_set(s->r->lp, &s->timer, session_deadline(&s->proto), on_timer, s);
}

static size_t take_input(struct rsession *s, struct slice data)
{
    bool bad;
    size_t used = session_input(&s->proto, loop_now(s->r->lp), data, &bad);
    if (bad) {
        log_warn("session.protocol", F_STR("node", s->node));
        dismiss(s, END_PROTOCOL, "a frame was not understood");
    }
    return used;
}

/* ---- what the rest of the relay asks of sessions ---- */

struct rsession *rsession_find(struct relay *r, const char *node)
{
    return map_get(r->sessions, slice_str(node));
}

struct rsession *rsession_by_id(struct relay *r, struct slice id)
{
    return map_get(r->sessions_by_id, id);
}

void rsession_need_leg(struct rsession *s)
{
    err_ignore(session_send_legs(&s->proto, 1)); /* who waits in vain has a deadline */
}

void rsession_closed(struct rsession *s, const struct frame_closed *f)
{
    err_ignore(session_send_closed(&s->proto, f)); /* figures for people: a lost one does no harm */
}

void rsession_each(struct relay *r,
                   void (*fn)(void *arg, const char *node, struct wall since),
                   void *arg)
{
    LIST_FOREACH (l, &r->session_list) {
        struct rsession *s = LIST_ENTRY(l, struct rsession, link);
        if (rsession_find(r, s->node) == s) {
            fn(arg, s->node, s->since);
        }
    }
}

void rsession_drain_all(struct relay *r, uint32_t seconds)
{
    LIST_FOREACH (l, &r->session_list) {
        struct rsession *s = LIST_ENTRY(l, struct rsession, link);
        err_ignore(session_send_drain(&s->proto, seconds)); /* it notices the end in any case */
    }
}

/* ---- connections ---- */

static bool begin_session(struct agent *a)
{
    if (tls_resumed(stream_tls(a->stream))) {
        return false; /* it would get no tickets, so no leg could ever join it */
    }
    struct rsession *s = mem_new(sizeof *s);
    s->r = a->r;
    s->stream = a->stream;
    memcpy(s->id, a->id, sizeof s->id);
    list_init(&s->parked);
    session_init(&s->proto, SESSION_RELAY, (struct seal){seal_session, s}, &session_ops, s,
                 loop_now(a->r->lp));
    list_push_back(&a->r->session_list, &s->link);
    timer_set(a->r->lp, &s->timer, session_deadline(&s->proto), on_timer, s);
    a->session = s;
    return true;
}

static void on_open(void *arg)
{
    struct agent *a = arg;
    struct slice alpn = tls_alpn(stream_tls(a->stream));
    bool good;
    if (slice_eq(alpn, S(TUNNEL_ALPN_SESSION))) {
        good = begin_session(a);
    } else {
        a->leg = slice_eq(alpn, S(TUNNEL_ALPN_LEG)) ? rleg_new(a->r, a->stream) : NULL;
        good = a->leg;
    }
    if (!good) {
        stream_close(a->stream, -EPERM);
    }
}

static size_t on_data(void *arg, struct slice data)
{
    struct agent *a = arg;
    return a->leg ? rleg_input(a->leg, data) : take_input(a->session, data);
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
    a->r->open_count--;
    if (a->session) {
        session_gone(a->session);
    }
    if (a->leg) {
        rleg_gone(a->leg);
    }
    loop_retire(a->r->lp, &a->retire, free_agent, a);
}

static const struct stream_ops agent_ops = {
    .on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_close = on_close};

void rsession_arrive(struct relay *r, int fd, struct slice early)
{
    struct agent *a = mem_new(sizeof *a);
    struct stream_opts opts = {.early = early, .in_max = LEG_IN_MAX, .open_timeout_ns = tls_wait};
    struct tls *tls = tls_server(r->tls);
    a->r = r;
    r->open_count++;
    secret_random(a->id, sizeof a->id);
    tls_ticket_data_set(tls, slice_of(a->id, sizeof a->id));
    a->stream = stream_new(r->lp, fd, tls, &agent_ops, &opts, a);
}
