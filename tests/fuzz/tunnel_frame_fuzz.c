/* Frames: what a decoder takes, the encoder writes back byte for byte; lengths are never beyond the
 * input. */
#include <stdlib.h>

#include "tunnel/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WHEN(read, write)      \
    do {                       \
        if ((good = (read))) { \
            write;             \
        }                      \
    } while (0)

/* Writes the frame again from what was decoded; false when it does not decode. */
static bool again(const struct frame *f, struct buf *out)
{
    union {
        struct frame_hello hello;
        struct frame_welcome welcome;
        struct frame_closed closed;
        struct frame_join join;
        struct frame_open open;
    } u;

    uint64_t n;
    uint8_t code;
    bool good = false;
    switch (f->type) {
    case FRAME_HELLO:
        WHEN(frame_read_hello(f->payload, &u.hello), frame_hello(out, &u.hello));
        break;
    case FRAME_WELCOME:
        WHEN(frame_read_welcome(f->payload, &u.welcome), frame_welcome(out, &u.welcome));
        break;
    case FRAME_CLOSED:
        WHEN(frame_read_closed(f->payload, &u.closed), frame_closed(out, &u.closed));
        break;
    case FRAME_JOIN:
        WHEN(frame_read_join(f->payload, &u.join), frame_join(out, &u.join));
        break;
    case FRAME_OPEN:
        WHEN(frame_read_open(f->payload, &u.open), frame_open(out, &u.open));
        break;
    case FRAME_REFUSE:
        WHEN(frame_read_refuse(f->payload, &n, &code),
             frame_refuse(out, n, (enum refuse_reason)code));
        break;
    case FRAME_PING:
        WHEN(frame_read_u64(f->payload, &n), frame_u64(out, FRAME_PING, n));
        break;
    default: /* foreign enum: a byte from the wire */
        break;
    }
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct frame f;
    size_t len;
    while (in.n && frame_parse(in, &f, &len) == 0) {
        struct buf out = BUF_MAX(TUNNEL_OPEN_MAX + TUNNEL_HEADER);
        if (len > in.n || len != TUNNEL_HEADER + f.payload.n) {
            abort();
        }
        if (again(&f, &out) &&
            (!buf_ok(&out) || !slice_eq(buf_slice(&out), slice_sub(in, 0, len)))) {
            abort();
        }
        buf_deinit(&out);
        in = slice_skip(in, len);
    }
    return 0;
}
