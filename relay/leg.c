/*
 * Legs from their handshake until a visitor takes them. A leg is good for the
 * session whose ticket it resumed and for nothing else: the ticket names the
 * session, JOIN says it again with a number that is used once.
 */
#include <errno.h>

#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "relay/relay.h"

enum {
    PARKED_MAX = 256, /* an agent cannot fill the relay with idle legs */
    KEEP_IDLE_S = 30,
    KEEP_INTERVAL_S = 10,
    KEEP_COUNT = 3,
    LEG_USER_TIMEOUT_MS = 60000, /* a node that vanished under load: its visitors hear of it */
};

static const int64_t join_wait = SECONDS(10);

static struct slice id_of(const struct rleg *l)
{
    return slice_of(l->session_id, sizeof l->session_id);
}

static int seal_leg(void *ctx, struct slice plain)
{
    struct rleg *l = ctx;
    return l->stream ? stream_write(l->stream, plain) : -EPIPE;
}

static void on_join_late(void *arg)
{
    struct rleg *l = arg;
    stream_close(l->stream, -ETIMEDOUT);
}

struct rleg *rleg_new(struct relay *r, struct stream *stream)
{
    struct slice id = tls_ticket_data(stream_tls(stream));
    if (id.n != TUNNEL_SESSION_ID || !rsession_by_id(r, id)) {
        return NULL;
    }
    struct rleg *l = mem_new(sizeof *l);
    l->r = r;
    l->stream = stream;
    memcpy(l->session_id, id.p, sizeof l->session_id);
    list_init(&l->parked);
    leg_init(&l->leg, LEG_RELAY, (struct seal){seal_leg, l}, &visitor_leg_ops, l);
    list_push_back(&r->leg_list, &l->link);
    sock_nodelay(stream_fd(stream));
    sock_keepalive(stream_fd(stream), KEEP_IDLE_S, KEEP_INTERVAL_S, KEEP_COUNT);
    sock_user_timeout(stream_fd(stream), LEG_USER_TIMEOUT_MS);
    timer_set_in(r->lp, &l->join, join_wait, on_join_late, l);
    return l;
}

/* ---- parking ---- */

static void unpark(struct rsession *s, struct rleg *l)
{
    list_unlink(&l->parked);
    s->parked_count--;
}

struct rleg *rleg_take(struct rsession *s)
{
    struct list *first = list_first(&s->parked);
    if (!first) {
        return NULL;
    }
    struct rleg *l = LIST_ENTRY(first, struct rleg, parked);
    unpark(s, l);
    return l;
}

void rleg_drop_parked(struct rsession *s)
{
    struct rleg *l;
    while ((l = rleg_take(s))) {
        if (l->stream) {
            stream_close(l->stream, 0);
        }
    }
}

static bool take_join(struct rleg *l, struct slice payload)
{
    struct frame_join j;
    struct rsession *s = rsession_by_id(l->r, id_of(l));
    if (!s || !frame_read_join(payload, &j) ||
        !secret_eq(slice_of(j.session_id, sizeof j.session_id), id_of(l)) ||
        s->parked_count >= PARKED_MAX || !number_take(&s->numbers, j.number)) {
        return false;
    }
    l->joined = true;
    timer_cancel(&l->join);
    if (!visitor_offer_leg(l->r, s->node, l)) {
        list_push_back(&s->parked, &l->parked);
        s->parked_count++;
    }
    return true;
}

static size_t input_before_join(struct rleg *l, struct slice data)
{
    struct frame f;
    size_t len;
    int rc = frame_parse(data, &f, &len);
    if (rc == FRAME_MORE) {
        return 0;
    }
    if (rc == FRAME_BAD || f.type != FRAME_JOIN || !take_join(l, f.payload)) {
        stream_close(l->stream, -EPROTO);
        return 0;
    }
    return len;
}

size_t rleg_input(struct rleg *l, struct slice data)
{
    bool bad;
    if (!l->joined) {
        return input_before_join(l, data);
    }
    size_t used = leg_input(&l->leg, data, &bad);
    if (bad) {
        stream_close(l->stream, -EPROTO);
    }
    return used;
}

static void free_leg(void *arg)
{
    struct rleg *l = arg;
    leg_deinit(&l->leg);
    mem_free(l);
}

void rleg_gone(struct rleg *l)
{
    l->stream = NULL;
    timer_cancel(&l->join);
    if (!list_empty(&l->parked)) {
        unpark(rsession_by_id(l->r, id_of(l)), l); /* a session that ends drops its parked legs */
    }
    visitor_leg_gone(l);
    list_unlink(&l->link);
    loop_retire(l->r->lp, &l->retire, free_leg, l);
}
