/* The leg's state machine: which frame may come when, and nothing else. */
#include "tunnel/leg.h"

#include <errno.h>

void leg_init(
    struct leg *l, enum leg_role role, struct seal seal, const struct leg_ops *ops, void *arg)
{
    *l = (struct leg){.role = role, .seal = seal, .ops = ops, .arg = arg};
    buf_init(&l->scratch, TUNNEL_OPEN_MAX + TUNNEL_HEADER);
}

void leg_deinit(struct leg *l)
{
    buf_deinit(&l->scratch);
}

/* ---- sending ---- */

static int send_scratch(struct leg *l)
{
    if (!buf_ok(&l->scratch)) {
        return -EMSGSIZE;
    }
    return l->seal.write(l->seal.ctx, buf_slice(&l->scratch));
}

int leg_send_open(struct leg *l, const struct frame_open *open)
{
    if (l->role != LEG_RELAY || l->state != LEG_PARKED) {
        return -EPROTO;
    }
    buf_clear(&l->scratch);
    frame_open(&l->scratch, open);
    int rc = send_scratch(l);
    if (!rc) {
        l->connection = open->connection;
        l->state = LEG_OPENING;
    }
    return rc;
}

int leg_send_accept(struct leg *l)
{
    if (l->role != LEG_AGENT || l->state != LEG_OPENING) {
        return -EPROTO;
    }
    buf_clear(&l->scratch);
    frame_u64(&l->scratch, FRAME_ACCEPT, l->connection);
    int rc = send_scratch(l);
    if (!rc) {
        l->state = LEG_FLOWING;
    }
    return rc;
}

int leg_send_refuse(struct leg *l, enum refuse_reason reason)
{
    if (l->role != LEG_AGENT || l->state != LEG_OPENING) {
        return -EPROTO;
    }
    buf_clear(&l->scratch);
    frame_refuse(&l->scratch, l->connection, reason);
    int rc = send_scratch(l);
    if (!rc) {
        l->state = LEG_ENDED;
    }
    return rc;
}

int leg_send_data(struct leg *l, struct slice data)
{
    if (l->state != LEG_FLOWING || l->eof_out || !data.n || data.n > TUNNEL_DATA_MAX) {
        return -EPROTO;
    }
    buf_clear(&l->scratch);
    frame_bytes(&l->scratch, FRAME_DATA, data);
    int rc = send_scratch(l);
    if (!rc) {
        l->bytes_out += data.n;
    }
    return rc;
}

int leg_send_eof(struct leg *l)
{
    if (l->state != LEG_FLOWING || l->eof_out) {
        return -EPROTO;
    }
    buf_clear(&l->scratch);
    frame_bytes(&l->scratch, FRAME_EOF, S(""));
    int rc = send_scratch(l);
    if (!rc) {
        l->eof_out = true;
    }
    return rc;
}

int leg_send_reset(struct leg *l, enum end_reason code)
{
    if (l->state == LEG_ENDED || l->state == LEG_PARKED) {
        return -EPROTO;
    }
    buf_clear(&l->scratch);
    frame_u8(&l->scratch, FRAME_RESET, (uint8_t)code);
    int rc = send_scratch(l);
    if (!rc) {
        l->state = LEG_ENDED;
    }
    return rc;
}

/* ---- receiving ---- */

enum taken { TAKEN, TAKE_LATER, TAKE_BAD };

static enum taken take_open(struct leg *l, struct slice payload)
{
    struct frame_open open;
    if (l->role != LEG_AGENT || l->state != LEG_PARKED || !frame_read_open(payload, &open)) {
        return TAKE_BAD;
    }
    l->connection = open.connection;
    l->state = LEG_OPENING;
    l->ops->on_open(l->arg, &open);
    return TAKEN;
}

static enum taken take_accept(struct leg *l, struct slice payload)
{
    uint64_t id;
    if (l->role != LEG_RELAY || l->state != LEG_OPENING || !frame_read_u64(payload, &id) ||
        id != l->connection) {
        return TAKE_BAD;
    }
    l->state = LEG_FLOWING;
    l->ops->on_accept(l->arg);
    return TAKEN;
}

static enum taken take_refuse(struct leg *l, struct slice payload)
{
    uint64_t id;
    uint8_t reason;
    if (l->role != LEG_RELAY || l->state != LEG_OPENING ||
        !frame_read_refuse(payload, &id, &reason) || id != l->connection) {
        return TAKE_BAD;
    }
    l->state = LEG_ENDED;
    l->ops->on_refuse(l->arg, reason);
    return TAKEN;
}

static enum taken take_data(struct leg *l, struct slice payload)
{
    if (l->state != LEG_FLOWING || l->eof_in || !payload.n) {
        return TAKE_BAD;
    }
    if (!l->ops->on_data(l->arg, payload)) {
        return TAKE_LATER;
    }
    l->bytes_in += payload.n;
    return TAKEN;
}

static enum taken take_eof(struct leg *l, struct slice payload)
{
    if (l->state != LEG_FLOWING || l->eof_in || payload.n) {
        return TAKE_BAD;
    }
    l->eof_in = true;
    l->ops->on_eof(l->arg);
    return TAKEN;
}

static enum taken take_reset(struct leg *l, struct slice payload)
{
    uint8_t code;
    if (l->state == LEG_PARKED || !frame_read_u8(payload, &code)) {
        return TAKE_BAD;
    }
    l->state = LEG_ENDED;
    l->ops->on_reset(l->arg, code);
    return TAKEN;
}

static enum taken take(struct leg *l, const struct frame *f)
{
    switch (f->type) {
    case FRAME_OPEN:
        return take_open(l, f->payload);
    case FRAME_ACCEPT:
        return take_accept(l, f->payload);
    case FRAME_REFUSE:
        return take_refuse(l, f->payload);
    case FRAME_DATA:
        return take_data(l, f->payload);
    case FRAME_EOF:
        return take_eof(l, f->payload);
    case FRAME_RESET:
        return take_reset(l, f->payload);
    default: /* foreign enum: a byte from the wire; SWITCH is refused by leg_sealing "always" */
        return TAKE_BAD;
    }
}

size_t leg_input(struct leg *l, struct slice plain, bool *out_bad)
{
    size_t used = 0;
    *out_bad = false;
    while (l->state != LEG_ENDED) {
        struct frame f;
        size_t len;
        int rc = frame_parse(slice_skip(plain, used), &f, &len);
        if (used == plain.n || rc == FRAME_MORE) {
            return used;
        }
        enum taken t = rc == FRAME_BAD ? TAKE_BAD : take(l, &f);
        if (t == TAKE_LATER) {
            return used;
        }
        if (t == TAKE_BAD) {
            *out_bad = true;
            return used;
        }
        used += len;
    }
    return plain.n; /* whatever follows the end is not ours to read */
}
