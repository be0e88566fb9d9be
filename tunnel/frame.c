/* The codec. Lengths are checked per type before a payload is waited for. */
#include "tunnel/frame.h"

static bool limit_of(uint8_t type, uint32_t *out_max)
{
    switch ((enum frame_type)type) {
    case FRAME_DATA:
        *out_max = TUNNEL_DATA_MAX;
        return true;
    case FRAME_OPEN:
        *out_max = TUNNEL_OPEN_MAX;
        return true;
    case FRAME_HELLO:
    case FRAME_WELCOME:
    case FRAME_LEGS:
    case FRAME_PING:
    case FRAME_PONG:
    case FRAME_CLOSED:
    case FRAME_DRAIN:
    case FRAME_BYE:
    case FRAME_JOIN:
    case FRAME_ACCEPT:
    case FRAME_REFUSE:
    case FRAME_EOF:
    case FRAME_RESET:
    case FRAME_SWITCH:
        *out_max = TUNNEL_SMALL_MAX;
        return true;
    }
    return false;
}

int frame_parse(struct slice in, struct frame *out_frame, size_t *out_len)
{
    uint32_t max;
    if (!in.n) {
        return FRAME_MORE;
    }
    struct rd r = rd_of(in);
    uint8_t type = rd_u8(&r);
    if (!limit_of(type, &max)) {
        return FRAME_BAD;
    }
    uint32_t length = rd_u24(&r);
    if (!rd_ok(&r)) {
        return FRAME_MORE;
    }
    if (length > max) {
        return FRAME_BAD;
    }
    struct slice payload = rd_bytes(&r, length);
    if (!rd_ok(&r)) {
        return FRAME_MORE;
    }
    *out_frame = (struct frame){.type = type, .payload = payload};
    *out_len = TUNNEL_HEADER + length;
    return 0;
}

/* ---- decoders ---- */

static void take(struct rd *r, uint8_t *out, size_t n)
{
    struct slice s = rd_bytes(r, n);
    if (s.n == n) {
        memcpy(out, s.p, n);
    }
}

bool frame_read_hello(struct slice payload, struct frame_hello *out)
{
    struct rd r = rd_of(payload);
    *out = (struct frame_hello){.version = rd_u16(&r), .parked = rd_u16(&r), .token = rd_vec16(&r)};
    return rd_end(&r);
}

bool frame_read_welcome(struct slice payload, struct frame_welcome *out)
{
    struct rd r = rd_of(payload);
    out->version = rd_u16(&r);
    take(&r, out->session_id, sizeof out->session_id);
    out->parked = rd_u16(&r);
    return rd_end(&r);
}

bool frame_read_closed(struct slice payload, struct frame_closed *out)
{
    struct rd r = rd_of(payload);
    out->connection = rd_u64(&r);
    out->to_node = rd_u64(&r);
    out->to_visitor = rd_u64(&r);
    out->reason = rd_u8(&r);
    return rd_end(&r);
}

bool frame_read_join(struct slice payload, struct frame_join *out)
{
    struct rd r = rd_of(payload);
    take(&r, out->session_id, sizeof out->session_id);
    out->number = rd_u64(&r);
    return rd_end(&r);
}

bool frame_read_open(struct slice payload, struct frame_open *out)
{
    struct rd r = rd_of(payload);
    out->connection = rd_u64(&r);
    take(&r, out->address, sizeof out->address);
    out->visitor_port = rd_u16(&r);
    out->public_port = rd_u16(&r);
    out->name = rd_vec8(&r);
    out->hello = rd_vec24(&r);
    return rd_end(&r) && out->name.n && out->hello.n;
}

bool frame_read_u8(struct slice payload, uint8_t *out)
{
    struct rd r = rd_of(payload);
    *out = rd_u8(&r);
    return rd_end(&r);
}

bool frame_read_u16(struct slice payload, uint16_t *out)
{
    struct rd r = rd_of(payload);
    *out = rd_u16(&r);
    return rd_end(&r);
}

bool frame_read_u32(struct slice payload, uint32_t *out)
{
    struct rd r = rd_of(payload);
    *out = rd_u32(&r);
    return rd_end(&r);
}

bool frame_read_u64(struct slice payload, uint64_t *out)
{
    struct rd r = rd_of(payload);
    *out = rd_u64(&r);
    return rd_end(&r);
}

bool frame_read_refuse(struct slice payload, uint64_t *out_connection, uint8_t *out_reason)
{
    struct rd r = rd_of(payload);
    *out_connection = rd_u64(&r);
    *out_reason = rd_u8(&r);
    return rd_end(&r);
}

bool frame_read_bye(struct slice payload, uint8_t *out_reason, struct slice *out_text)
{
    struct rd r = rd_of(payload);
    *out_reason = rd_u8(&r);
    *out_text = rd_vec8(&r);
    return rd_end(&r);
}

/* ---- encoders ---- */

static void head(struct buf *b, enum frame_type type, size_t length)
{
    wr_u8(b, (uint8_t)type);
    wr_u24(b, (uint32_t)length);
}

void frame_hello(struct buf *b, const struct frame_hello *f)
{
    head(b, FRAME_HELLO, 2 + 2 + 2 + f->token.n);
    wr_u16(b, f->version);
    wr_u16(b, f->parked);
    wr_vec16(b, f->token);
}

void frame_welcome(struct buf *b, const struct frame_welcome *f)
{
    head(b, FRAME_WELCOME, 2 + TUNNEL_SESSION_ID + 2);
    wr_u16(b, f->version);
    buf_add(b, slice_of(f->session_id, sizeof f->session_id));
    wr_u16(b, f->parked);
}

void frame_closed(struct buf *b, const struct frame_closed *f)
{
    head(b, FRAME_CLOSED, 8 + 8 + 8 + 1);
    wr_u64(b, f->connection);
    wr_u64(b, f->to_node);
    wr_u64(b, f->to_visitor);
    wr_u8(b, f->reason);
}

void frame_join(struct buf *b, const struct frame_join *f)
{
    head(b, FRAME_JOIN, TUNNEL_SESSION_ID + 8);
    buf_add(b, slice_of(f->session_id, sizeof f->session_id));
    wr_u64(b, f->number);
}

void frame_open(struct buf *b, const struct frame_open *f)
{
    head(b, FRAME_OPEN, 8 + 16 + 2 + 2 + 1 + f->name.n + 3 + f->hello.n);
    wr_u64(b, f->connection);
    buf_add(b, slice_of(f->address, sizeof f->address));
    wr_u16(b, f->visitor_port);
    wr_u16(b, f->public_port);
    wr_vec8(b, f->name);
    wr_vec24(b, f->hello);
}

void frame_u8(struct buf *b, enum frame_type type, uint8_t v)
{
    head(b, type, 1);
    wr_u8(b, v);
}

void frame_u16(struct buf *b, enum frame_type type, uint16_t v)
{
    head(b, type, 2);
    wr_u16(b, v);
}

void frame_u32(struct buf *b, enum frame_type type, uint32_t v)
{
    head(b, type, 4);
    wr_u32(b, v);
}

void frame_u64(struct buf *b, enum frame_type type, uint64_t v)
{
    head(b, type, 8);
    wr_u64(b, v);
}

void frame_refuse(struct buf *b, uint64_t connection, enum refuse_reason reason)
{
    head(b, FRAME_REFUSE, 9);
    wr_u64(b, connection);
    wr_u8(b, (uint8_t)reason);
}

void frame_bye(struct buf *b, enum end_reason reason, const char *text)
{
    struct slice t = slice_sub(slice_str(text), 0, 255);
    head(b, FRAME_BYE, 1 + 1 + t.n);
    wr_u8(b, (uint8_t)reason);
    wr_vec8(b, t);
}

void frame_bytes(struct buf *b, enum frame_type type, struct slice bytes)
{
    head(b, type, bytes.n);
    buf_add(b, bytes);
}
