#pragma once
/* Frames of the tunnel protocol (docs/tunnel-protocol.md): u8 type | u24 length | payload. */
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/wire.h"

#define TUNNEL_VERSION      1
#define TUNNEL_ALPN_SESSION "funnel-session/1"
#define TUNNEL_ALPN_LEG     "funnel-leg/1"
#define TUNNEL_SESSION_ID   16
#define TUNNEL_DATA_MAX     (16 * KIB) /* one TLS record */
#define TUNNEL_OPEN_MAX     66000      /* a ClientHello of 64 KiB and its envelope */
#define TUNNEL_SMALL_MAX    4096
#define TUNNEL_HEADER       4

enum frame_type {
    FRAME_HELLO = 0x01,
    FRAME_WELCOME = 0x02,
    FRAME_LEGS = 0x03,
    FRAME_PING = 0x04,
    FRAME_PONG = 0x05,
    FRAME_CLOSED = 0x06,
    FRAME_DRAIN = 0x07,
    FRAME_BYE = 0x08,
    FRAME_JOIN = 0x10,
    FRAME_OPEN = 0x11,
    FRAME_ACCEPT = 0x12,
    FRAME_REFUSE = 0x13,
    FRAME_DATA = 0x14,
    FRAME_EOF = 0x15,
    FRAME_RESET = 0x16,
    FRAME_SWITCH = 0x17,
};

enum refuse_reason {
    REFUSE_NOT_SERVED = 1,
    REFUSE_SNI = 2,
    REFUSE_SEEN = 3,
    REFUSE_STOPPING = 4,
    REFUSE_CAPACITY = 5,
};

enum end_reason {
    END_CLEAN = 0,
    END_BACKEND = 1,
    END_PEER_RESET = 2,
    END_PROTOCOL = 3,
    END_REVOKED = 4,
    END_TIME = 5,
    END_REPLACED = 6,
    END_TOKEN = 7,
};

struct frame {
    uint8_t type;
    struct slice payload; /* borrowed from the input */
};

enum { FRAME_MORE = 1, FRAME_BAD = 2 };

/* The frame at the start of `in`. 0 and *out_len bytes used; FRAME_MORE; FRAME_BAD: unknown type or
 * too long. */
int frame_parse(struct slice in, struct frame *out_frame, size_t *out_len) MUST_CHECK;

struct frame_hello {
    uint16_t version, parked;
    struct slice token;
};

struct frame_welcome {
    uint16_t version, parked;
    uint8_t session_id[TUNNEL_SESSION_ID];
};

struct frame_closed {
    uint64_t connection, to_node, to_visitor;
    uint8_t reason;
};

struct frame_join {
    uint8_t session_id[TUNNEL_SESSION_ID];
    uint64_t number;
};

struct frame_open {
    uint64_t connection;
    uint8_t address[16];
    uint16_t visitor_port, public_port;
    struct slice name, hello;
};

/* Decoders: false when the payload is not exactly such a thing. */
bool frame_read_hello(struct slice payload, struct frame_hello *out) MUST_CHECK;
bool frame_read_welcome(struct slice payload, struct frame_welcome *out) MUST_CHECK;
bool frame_read_closed(struct slice payload, struct frame_closed *out) MUST_CHECK;
bool frame_read_join(struct slice payload, struct frame_join *out) MUST_CHECK;
bool frame_read_open(struct slice payload, struct frame_open *out) MUST_CHECK;
bool frame_read_u16(struct slice payload, uint16_t *out) MUST_CHECK; /* LEGS */
bool frame_read_u32(struct slice payload, uint32_t *out) MUST_CHECK; /* DRAIN */
bool frame_read_u64(struct slice payload, uint64_t *out) MUST_CHECK; /* PING PONG ACCEPT */
bool frame_read_refuse(struct slice payload,
                       uint64_t *out_connection,
                       uint8_t *out_reason) MUST_CHECK;
bool frame_read_u8(struct slice payload, uint8_t *out) MUST_CHECK; /* RESET */
bool frame_read_bye(struct slice payload, uint8_t *out_reason, struct slice *out_text) MUST_CHECK;

/* Encoders append a whole frame; buf_ok() tells whether it fitted. */
void frame_hello(struct buf *b, const struct frame_hello *f);
void frame_welcome(struct buf *b, const struct frame_welcome *f);
void frame_closed(struct buf *b, const struct frame_closed *f);
void frame_join(struct buf *b, const struct frame_join *f);
void frame_open(struct buf *b, const struct frame_open *f);
void frame_u16(struct buf *b, enum frame_type type, uint16_t v);
void frame_u32(struct buf *b, enum frame_type type, uint32_t v);
void frame_u64(struct buf *b, enum frame_type type, uint64_t v);
void frame_u8(struct buf *b, enum frame_type type, uint8_t v);
void frame_refuse(struct buf *b, uint64_t connection, enum refuse_reason reason);
void frame_bye(struct buf *b, enum end_reason reason, const char *text);
void frame_bytes(struct buf *b, enum frame_type type, struct slice bytes); /* DATA, EOF */
