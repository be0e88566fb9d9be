/*
 * The session's state machine. Which frame may come when stands in one table;
 * whatever is not in it ends the connection. Silence is judged by the time of
 * the last input alone, so a PONG is nothing but a sign of life.
 */
#include "tunnel/session.h"

#include <errno.h>

enum { FRAME_SPACE = TUNNEL_HEADER + TUNNEL_SMALL_MAX };

void session_init(struct session *s,
                  enum session_role role,
                  struct seal seal,
                  const struct session_ops *ops,
                  void *arg,
                  struct mono now)
{
    *s = (struct session){.role = role,
                          .state = SESSION_NEW,
                          .seal = seal,
                          .ops = ops,
                          .arg = arg,
                          .heard = now,
                          .asked = now};
}

/* ---- sending ---- */

/* Sends the composed frame and gives its memory back. */
static int send_frame(struct session *s, struct buf *b)
{
    int rc = buf_ok(b) ? s->seal.write(s->seal.ctx, buf_slice(b)) : -EMSGSIZE;
    buf_deinit(b);
    return rc;
}

static bool may(const struct session *s, enum session_role role, enum session_state state)
{
    return s->role == role && s->state == state;
}

int session_send_hello(struct session *s, const struct frame_hello *f)
{
    struct buf b = BUF_MAX(FRAME_SPACE);
    if (!may(s, SESSION_AGENT, SESSION_NEW)) {
        return -EPROTO;
    }
    frame_hello(&b, f);
    int rc = send_frame(s, &b);
    if (!rc) {
        s->state = SESSION_GREETING;
    }
    return rc;
}

int session_send_welcome(struct session *s, const struct frame_welcome *f)
{
    struct buf b = BUF_MAX(FRAME_SPACE);
    if (!may(s, SESSION_RELAY, SESSION_GREETING)) {
        return -EPROTO;
    }
    frame_welcome(&b, f);
    int rc = send_frame(s, &b);
    if (!rc) {
        s->state = SESSION_UP;
    }
    return rc;
}

int session_send_legs(struct session *s, uint16_t more)
{
    struct buf b = BUF_MAX(FRAME_SPACE);
    if (!may(s, SESSION_RELAY, SESSION_UP)) {
        return -EPROTO;
    }
    frame_u16(&b, FRAME_LEGS, more);
    return send_frame(s, &b);
}

int session_send_closed(struct session *s, const struct frame_closed *f)
{
    struct buf b = BUF_MAX(FRAME_SPACE);
    if (!may(s, SESSION_RELAY, SESSION_UP)) {
        return -EPROTO;
    }
    frame_closed(&b, f);
    return send_frame(s, &b);
}

int session_send_drain(struct session *s, uint32_t seconds)
{
    struct buf b = BUF_MAX(FRAME_SPACE);
    if (!may(s, SESSION_RELAY, SESSION_UP)) {
        return -EPROTO;
    }
    frame_u32(&b, FRAME_DRAIN, seconds);
    return send_frame(s, &b);
}

int session_send_bye(struct session *s, enum end_reason why, const char *text)
{
    struct buf b = BUF_MAX(FRAME_SPACE);
    if (s->state == SESSION_ENDED) {
        return -EPROTO;
    }
    frame_bye(&b, why, text);
    int rc = send_frame(s, &b);
    if (!rc) {
        s->state = SESSION_ENDED;
    }
    return rc;
}

/* ---- time ---- */

static bool greeting(const struct session *s)
{
    return s->state == SESSION_NEW || s->state == SESSION_GREETING;
}

static struct mono silent_at(const struct session *s)
{
    return mono_after(s->heard, greeting(s) ? SESSION_GREET_NS : SESSION_SILENCE_NS);
}

struct mono session_deadline(const struct session *s)
{
    struct mono end = silent_at(s), ask = mono_after(s->asked, SESSION_PING_NS);
    return may(s, SESSION_AGENT, SESSION_UP) && ask.ns < end.ns ? ask : end;
}

int session_tick(struct session *s, struct mono now)
{
    if (mono_reached(now, silent_at(s))) {
        return SESSION_SILENT;
    }
    if (may(s, SESSION_AGENT, SESSION_UP) &&
        mono_reached(now, mono_after(s->asked, SESSION_PING_NS))) {
        struct buf b = BUF_MAX(FRAME_SPACE);
        s->asked = now; /* a full channel gets no second PING on top: silence decides */
        frame_u64(&b, FRAME_PING, ++s->ping);
        int rc = send_frame(s, &b);
        return rc == BUF_FULL ? 0 : rc;
    }
    return 0;
}

/* ---- receiving: false is a broken protocol ---- */

static bool take_hello(struct session *s, struct slice payload)
{
    struct frame_hello f;
    if (!may(s, SESSION_RELAY, SESSION_NEW) || !frame_read_hello(payload, &f) ||
        f.version != TUNNEL_VERSION) {
        return false;
    }
    s->state = SESSION_GREETING;
    s->ops->on_hello(s->arg, &f);
    return true;
}

static bool take_welcome(struct session *s, struct slice payload)
{
    struct frame_welcome f;
    if (!may(s, SESSION_AGENT, SESSION_GREETING) || !frame_read_welcome(payload, &f) ||
        f.version != TUNNEL_VERSION) {
        return false;
    }
    s->state = SESSION_UP;
    s->ops->on_welcome(s->arg, &f);
    return true;
}

static bool take_legs(struct session *s, struct slice payload)
{
    uint16_t more;
    if (!may(s, SESSION_AGENT, SESSION_UP) || !frame_read_u16(payload, &more)) {
        return false;
    }
    s->ops->on_legs(s->arg, more);
    return true;
}

static bool take_closed(struct session *s, struct slice payload)
{
    struct frame_closed f;
    if (!may(s, SESSION_AGENT, SESSION_UP) || !frame_read_closed(payload, &f)) {
        return false;
    }
    s->ops->on_closed(s->arg, &f);
    return true;
}

static bool take_drain(struct session *s, struct slice payload)
{
    uint32_t seconds;
    if (!may(s, SESSION_AGENT, SESSION_UP) || !frame_read_u32(payload, &seconds)) {
        return false;
    }
    s->ops->on_drain(s->arg, seconds);
    return true;
}

static bool take_ping(struct session *s, struct slice payload)
{
    uint64_t opaque;
    struct buf b = BUF_MAX(FRAME_SPACE);
    if (s->state != SESSION_UP || !frame_read_u64(payload, &opaque)) {
        return false;
    }
    frame_u64(&b, FRAME_PONG, opaque);
    return send_frame(s, &b) >= 0; /* no room for a PONG: the peer hears the rest of the queue */
}

static bool take_pong(struct session *s, struct slice payload)
{
    uint64_t opaque;
    return s->state == SESSION_UP && frame_read_u64(payload, &opaque);
}

static bool take_bye(struct session *s, struct slice payload)
{
    uint8_t reason;
    struct slice text;
    if (!frame_read_bye(payload, &reason, &text)) {
        return false;
    }
    s->state = SESSION_ENDED;
    s->ops->on_bye(s->arg, reason, text);
    return true;
}

static bool take(struct session *s, const struct frame *f)
{
    static const struct {
        uint8_t type;
        bool (*fn)(struct session *s, struct slice payload);
    } takers[] = {
        {FRAME_HELLO, take_hello}, {FRAME_WELCOME, take_welcome}, {FRAME_LEGS, take_legs},
        {FRAME_PING, take_ping},   {FRAME_PONG, take_pong},       {FRAME_CLOSED, take_closed},
        {FRAME_DRAIN, take_drain}, {FRAME_BYE, take_bye},
    };

    for (size_t i = 0; i < ARRAY_LEN(takers); i++) {
        if (takers[i].type == f->type) {
            return takers[i].fn(s, f->payload);
        }
    }
    return false; /* a leg's frame */
}

size_t session_input(struct session *s, struct mono now, struct slice plain, bool *out_bad)
{
    size_t used = 0;
    *out_bad = false;
    if (!greeting(s)) {
        s->heard = now; /* while greeting the clock runs on: dripping bytes buys no time */
    }
    while (s->state != SESSION_ENDED) {
        struct frame f;
        size_t len;
        int rc = frame_parse(slice_skip(plain, used), &f, &len);
        if (rc == FRAME_MORE) {
            return used;
        }
        bool was_greeting = greeting(s);
        if (rc == FRAME_BAD || !take(s, &f)) {
            *out_bad = true;
            return used;
        }
        used += len;
        if (was_greeting && s->state == SESSION_UP) {
            s->heard = s->asked = now;
        }
    }
    return plain.n; /* whatever follows the end is not ours to read */
}

/* ---- numbers ---- */

bool number_take(struct number_window *w, uint64_t number)
{
    uint64_t *word = &w->bits[number % NUMBER_WINDOW / 64], bit = UINT64_C(1) << (number % 64);
    if (!w->any || number > w->highest) {
        uint64_t ahead = w->any ? number - w->highest : NUMBER_WINDOW;
        if (ahead >= NUMBER_WINDOW) {
            memset(w->bits, 0, sizeof w->bits);
        } else {
            for (uint64_t n = w->highest + 1; n != number; n++) {
                w->bits[n % NUMBER_WINDOW / 64] &= ~(UINT64_C(1) << (n % 64));
            }
        }
        w->any = true;
        w->highest = number;
        *word |= bit;
        return true;
    }
    if (w->highest - number >= NUMBER_WINDOW || (*word & bit)) {
        return false;
    }
    *word |= bit;
    return true;
}
