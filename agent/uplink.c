/*
 * Uplinks: one session to every relay, and a pool of parked legs for each.
 * The session proves who we are; its ticket opens legs; a leg that is used is
 * replaced at once.
 */
#include "agent/agent.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "tunnel/session.h"

enum { PARKED_MAX = 64, LEG_IN = TUNNEL_OPEN_MAX + TUNNEL_HEADER + 1024 };

static const int64_t backoff_first = MS(200), backoff_most = SECONDS(5);
static const int64_t leg_pause = MS(500);

struct uplink {
    struct list link;
    struct agent *a;
    struct relay_info info;
    struct tls_ctx *session_ctx, *leg_ctx;
    struct stream *session;
    struct tls_session *ticket;
    uint8_t session_id[TUNNEL_SESSION_ID];
    bool up, removed;
    struct wall since;
    uint64_t next_leg;
    unsigned legs;           /* of any state: they point here */
    unsigned parked, wanted; /* legs that are parked or on their way; how many there should be */
    size_t address;          /* which of the relay's addresses is tried */
    struct session machine;
    struct timer again, tick, leg_again;
    int64_t backoff;
    struct retire retire;
};

static void dial(void *arg);
static void fill_pool(void *arg);

/* ---- contexts ---- */

static struct tls_ctx *make_ctx(struct uplink *u, const char *protocol)
{
    const char *alpn[] = {protocol, NULL};
    struct tls_ctx *ctx = NULL;
    char why[200];
    struct tls_client_opts o = {.alpn = alpn,
                                .min = TLS_MIN_13,
                                .verify = TLS_VERIFY_PIN,
                                .pins = (const uint8_t(*)[TLS_SPKI_SIZE])u->info.pins,
                                .pin_count = u->info.pin_count,
                                .cert_pem = buf_slice(&u->a->state.cert_pem),
                                .key_pem = buf_slice(&u->a->state.key_pem)};
    if (tls_client_ctx(&o, why, sizeof why, &ctx) < 0) {
        log_error("uplink.tls", F_STR("why", why));
    }
    return ctx;
}

static const struct addr *address_of(const struct uplink *u)
{
    return &u->info.addresses[u->address % u->info.address_count];
}

/* ---- the session ---- */

static void open_leg(struct uplink *u);

static int session_write(void *ctx, struct slice plain)
{
    struct uplink *u = ctx;
    return u->session ? stream_write(u->session, plain) : -EPIPE;
}

static void on_tick(void *arg);

static void arm(struct uplink *u)
{
    if (u->session) {
        timer_set(u->a->lp, &u->tick, session_deadline(&u->machine), on_tick, u);
    }
}

static void on_tick(void *arg)
{
    struct uplink *u = arg;
    if (session_tick(&u->machine, mono_now()) == SESSION_SILENT) {
        stream_close(u->session, -ETIMEDOUT);
        return;
    }
    arm(u);
}

static void on_welcome(void *arg, const struct frame_welcome *w)
{
    struct uplink *u = arg;
    struct tls_session *ticket = tls_session_take(stream_tls(u->session));
    if (!ticket) {
        stream_close(u->session, -EPROTO); /* without a ticket there are no legs */
        return;
    }
    tls_session_free(u->ticket);
    u->ticket = ticket;
    memcpy(u->session_id, w->session_id, sizeof u->session_id);
    u->up = true;
    u->since = wall_now();
    u->backoff = backoff_first;
    u->wanted = w->parked < PARKED_MAX ? w->parked : PARKED_MAX;
    log_info("relay.up", F_STR("relay", u->info.name));
    fill_pool(u);
    agent_view_changed(u->a);
}

static void on_legs(void *arg, uint16_t more)
{
    struct uplink *u = arg;
    for (uint16_t i = 0; i < more && u->parked < PARKED_MAX; i++) {
        open_leg(u);
    }
}

static void on_closed(void *arg, const struct frame_closed *closed)
{
    (void)arg;
    log_debug("visitor.closed", F_U64("connection", closed->connection),
              F_U64("in", closed->to_node), F_U64("out", closed->to_visitor),
              F_U64("reason", closed->reason));
}

static void on_drain(void *arg, uint32_t seconds)
{
    struct uplink *u = arg;
    /* The connection's end brings the next one; until then running visitors go on. */
    log_info("relay.drains", F_STR("relay", u->info.name), F_U64("seconds", seconds));
}

static void on_bye(void *arg, uint8_t reason, struct slice text)
{
    struct uplink *u = arg;
    log_warn("relay.bye", F_STR("relay", u->info.name), F_U64("reason", reason),
             F_SLICE("text", text));
    stream_finish(u->session);
}

static const struct session_ops machine_ops = {.on_welcome = on_welcome,
                                               .on_legs = on_legs,
                                               .on_closed = on_closed,
                                               .on_drain = on_drain,
                                               .on_bye = on_bye};

static size_t session_data(void *arg, struct slice data)
{
    struct uplink *u = arg;
    bool bad = false;
    size_t used = session_input(&u->machine, mono_now(), data, &bad);
    if (bad && u->session) {
        stream_close(u->session, -EPROTO);
    }
    arm(u);
    return used;
}

static void session_open(void *arg)
{
    struct uplink *u = arg;
    struct frame_hello h = {
        .version = TUNNEL_VERSION, .parked = 4, .token = slice_str(u->info.token)};
    session_init(&u->machine, SESSION_AGENT, (struct seal){session_write, u}, &machine_ops, u,
                 mono_now());
    if (session_send_hello(&u->machine, &h)) {
        stream_close(u->session, -EIO);
        return;
    }
    arm(u);
}

static void free_uplink(void *arg)
{
    struct uplink *u = arg;
    tls_session_free(u->ticket);
    tls_ctx_unref(u->session_ctx);
    tls_ctx_unref(u->leg_ctx);
    mem_free(u);
}

static void maybe_free(struct uplink *u)
{
    if (u->removed && !u->session && !u->legs && !u->retire.fn) {
        timer_cancel(&u->leg_again);
        loop_retire(u->a->lp, &u->retire, free_uplink, u);
    }
}

static void session_close(void *arg, int why)
{
    struct uplink *u = arg;
    uint8_t jitter;
    u->session = NULL;
    timer_cancel(&u->tick);
    if (u->up || why) {
        log_warn("relay.down", F_STR("relay", u->info.name), F_ERR(why));
    }
    u->up = false;
    if (u->removed) {
        maybe_free(u);
        return;
    }
    secret_random(&jitter, 1);
    u->address++;
    timer_set_in(u->a->lp, &u->again, u->backoff + u->backoff * jitter / 512, dial, u);
    u->backoff = u->backoff * 2 < backoff_most ? u->backoff * 2 : backoff_most;
    agent_view_changed(u->a);
}

static const struct stream_ops session_ops = {
    .on_open = session_open, .on_data = session_data, .on_close = session_close};

static void dial(void *arg)
{
    struct uplink *u = arg;
    int fd = sock_connect(address_of(u));
    if (fd < 0) {
        u->address++;
        timer_set_in(u->a->lp, &u->again, u->backoff, dial, u);
        return;
    }
    u->session =
        stream_new(u->a->lp, fd, tls_client(u->session_ctx, u->info.host), &session_ops, NULL, u);
}

/* ---- legs ---- */

struct agent *uplink_agent(const struct aleg *l)
{
    return l->up->a;
}

static int seal_write(void *ctx, struct slice plain)
{
    struct aleg *l = ctx;
    return l->stream ? stream_write(l->stream, plain) : -EPIPE;
}

static void leg_opened(void *arg)
{
    struct aleg *l = arg;
    struct uplink *u = l->up;
    struct buf b = BUF_MAX(256);
    struct frame_join j = {.number = ++u->next_leg};
    memcpy(j.session_id, u->session_id, sizeof j.session_id);
    sock_keepalive(stream_fd(l->stream), 30, 10, 3);
    frame_join(&b, &j);
    if (!tls_resumed(stream_tls(l->stream)) || stream_write(l->stream, buf_slice(&b))) {
        stream_close(l->stream, -EPROTO);
    }
    buf_deinit(&b);
}

static size_t leg_data(void *arg, struct slice data)
{
    struct aleg *l = arg;
    bool bad = false;
    size_t used = leg_input(&l->leg, data, &bad);
    if (bad && l->stream) {
        stream_close(l->stream, -EPROTO);
    }
    return used;
}

static void leg_drain(void *arg)
{
    visitor_leg_drained(arg);
}

static void free_leg(void *arg)
{
    struct aleg *l = arg;
    leg_deinit(&l->leg);
    mem_free(l);
}

void uplink_leg_used(struct aleg *l)
{
    struct uplink *u = l->up;
    u->parked--;
    fill_pool(u);
}

static void leg_closed(void *arg, int why)
{
    struct aleg *l = arg;
    struct uplink *u = l->up;
    l->stream = NULL;
    if (l->leg.state == LEG_PARKED) {
        u->parked--;
        /* A relay that refuses legs is not asked in a tight loop. */
        if (u->up && !u->removed) {
            timer_set_in(u->a->lp, &u->leg_again, why ? leg_pause : MS(1), fill_pool, u);
        }
    }
    visitor_leg_gone(l);
    list_unlink(&l->link);
    loop_retire(u->a->lp, &l->retire, free_leg, l);
    u->legs--;
    maybe_free(u);
}

static const struct stream_ops leg_stream_ops = {
    .on_open = leg_opened, .on_data = leg_data, .on_drain = leg_drain, .on_close = leg_closed};

static void open_leg(struct uplink *u)
{
    int fd = sock_connect(address_of(u));
    if (fd < 0) {
        timer_set_in(u->a->lp, &u->leg_again, leg_pause, fill_pool, u);
        return;
    }
    struct aleg *l = mem_new(sizeof *l);
    l->up = u;
    leg_init(&l->leg, LEG_AGENT, (struct seal){seal_write, l}, &agent_leg_ops, l);
    list_push_back(&u->a->visitors, &l->link);
    u->parked++;
    u->legs++;
    struct tls *tls = tls_client(u->leg_ctx, u->info.host);
    tls_session_use(tls, u->ticket);
    l->stream =
        stream_new(u->a->lp, fd, tls, &leg_stream_ops, &(struct stream_opts){.in_max = LEG_IN}, l);
}

static void fill_pool(void *arg)
{
    struct uplink *u = arg;
    while (u->up && !u->removed && u->parked < u->wanted) {
        unsigned before = u->parked;
        open_leg(u);
        if (u->parked == before) {
            return;
        }
    }
}

/* ---- which relays ---- */

static bool same_relay(const struct uplink *u, const struct relay_info *r)
{
    return strcmp(u->info.id, r->id) == 0 && strcmp(u->info.host, r->host) == 0 &&
           u->info.pin_count == r->pin_count &&
           memcmp(u->info.pins, r->pins, sizeof r->pins) == 0 &&
           u->info.address_count == r->address_count &&
           addr_same_ip(&u->info.addresses[0], &r->addresses[0]);
}

static void remove_uplink(struct uplink *u)
{
    u->removed = true;
    list_unlink(&u->link);
    timer_cancel(&u->again);
    timer_cancel(&u->leg_again);
    timer_cancel(&u->tick);
    if (u->session) {
        stream_close(u->session, 0);
    }
    maybe_free(u);
}

static void add_uplink(struct agent *a, const struct relay_info *r)
{
    struct uplink *u = mem_new(sizeof *u);
    *u = (struct uplink){.a = a, .info = *r, .backoff = backoff_first};
    u->session_ctx = make_ctx(u, TUNNEL_ALPN_SESSION);
    u->leg_ctx = make_ctx(u, TUNNEL_ALPN_LEG);
    if (!u->session_ctx || !u->leg_ctx) {
        free_uplink(u);
        return;
    }
    list_push_back(&a->uplinks, &u->link);
    dial(u);
}

void uplink_update(struct agent *a)
{
    LIST_FOREACH (l, &a->uplinks) {
        struct uplink *u = LIST_ENTRY(l, struct uplink, link);
        bool wanted = false;
        for (size_t i = 0; i < a->view.relay_count; i++) {
            if (same_relay(u, &a->view.relays[i])) {
                wanted = true;
                u->info = a->view.relays[i]; /* a fresh token */
            }
        }
        if (!wanted) {
            remove_uplink(u);
        }
    }
    for (size_t i = 0; i < a->view.relay_count; i++) {
        bool there = false;
        LIST_FOREACH (l, &a->uplinks) {
            there = there || same_relay(LIST_ENTRY(l, struct uplink, link), &a->view.relays[i]);
        }
        if (!there) {
            add_uplink(a, &a->view.relays[i]);
        }
    }
}

void uplink_stop_all(struct agent *a)
{
    LIST_FOREACH (l, &a->uplinks) {
        remove_uplink(LIST_ENTRY(l, struct uplink, link));
    }
    LIST_FOREACH (l, &a->visitors) {
        struct aleg *leg = LIST_ENTRY(l, struct aleg, link);
        if (leg->stream) {
            stream_close(leg->stream, 0);
        }
    }
}

size_t uplink_count_up(const struct agent *a)
{
    size_t n = 0;
    for (struct list *l = a->uplinks.next; l != &a->uplinks; l = l->next) {
        n += LIST_ENTRY(l, struct uplink, link)->up;
    }
    return n;
}

struct js *uplink_peers(const struct agent *a)
{
    struct js *list = js_array();
    for (struct list *l = a->uplinks.next; l != &a->uplinks; l = l->next) {
        const struct uplink *u = LIST_ENTRY(l, struct uplink, link);
        struct js *j = js_object(), *addresses = js_array();
        char text[ADDR_TEXT_SIZE], since[WALL_TEXT_SIZE];
        for (size_t i = 0; i < u->info.address_count; i++) {
            addr_format_ip(&u->info.addresses[i], text);
            js_push_str(addresses, slice_str(text));
        }
        js_set_cstr(j, "name", u->info.name);
        js_set_cstr(j, "host", u->info.host);
        js_set(j, "addresses", addresses);
        js_set_bool(j, "connected", u->up);
        if (u->up) {
            wall_format(u->since, since);
            js_set_cstr(j, "connectedSince", since);
        }
        js_push(list, j);
    }
    return list;
}
