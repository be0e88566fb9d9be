/*
 * Reassembly first (records to one handshake message), then one pass over the
 * message with a sticky-error cursor. The whole input is looked at again with
 * each segment: hellos are small and come in one or two segments.
 */
#include "tunnel/clienthello.h"

#include "lib/base/wire.h"

enum {
    RECORD_HANDSHAKE = 22,
    RECORD_HEADER = 5,
    RECORD_MAX = 16 * 1024, /* RFC 8446 section 5.1 */
    MESSAGE_CLIENT_HELLO = 1,
    MESSAGE_HEADER = 4,
    EXT_SERVER_NAME = 0,
    EXT_EARLY_DATA = 42,
    NAME_TYPE_HOST = 0,
    SEEN_MAX = 64, /* extensions; browsers send under 20 */
};

/* Collects the handshake bytes of whole and partial records until the message is complete. */
static enum hello_verdict reassemble(struct slice wire, struct buf *msg, size_t *out_wire_len)
{
    struct slice rest = wire;
    size_t need = SIZE_MAX;
    while (msg->len < need) {
        if (rest.n >= 1 && (uint8_t)rest.p[0] != RECORD_HANDSHAKE) {
            return HELLO_NOT_TLS;
        }
        if (rest.n >= 2 && rest.p[1] != 3) {
            return HELLO_NOT_TLS;
        }
        if (rest.n < RECORD_HEADER) {
            return HELLO_MORE;
        }
        size_t len = (size_t)(uint8_t)rest.p[3] << 8 | (uint8_t)rest.p[4];
        if (len == 0 || len > RECORD_MAX) {
            return HELLO_NOT_TLS;
        }
        struct slice body = slice_sub(rest, RECORD_HEADER, len);
        if (buf_push(msg, body)) {
            return HELLO_TOO_BIG;
        }
        if (msg->len && (uint8_t)buf_slice(msg).p[0] != MESSAGE_CLIENT_HELLO) {
            return HELLO_NOT_TLS;
        }
        if (msg->len >= MESSAGE_HEADER) {
            const uint8_t *h = (const uint8_t *)buf_slice(msg).p;
            need = MESSAGE_HEADER + ((size_t)h[1] << 16 | (size_t)h[2] << 8 | h[3]);
            if (need > HELLO_WIRE_MAX - RECORD_HEADER) {
                return HELLO_TOO_BIG;
            }
        }
        if (body.n < len) {
            return HELLO_MORE;
        }
        rest = slice_skip(rest, RECORD_HEADER + len);
    }
    /* RFC 8446 section 5.1: a hello ends its record; more handshake behind it is none of a
     * client's. */
    *out_wire_len = wire.n - rest.n;
    return msg->len == need ? HELLO_OK : HELLO_NOT_TLS;
}

/* server_name_list: exactly one host_name (RFC 6066: not more than one of a type). */
static bool read_server_name(struct slice ext, char out[TEXT_NAME_SIZE])
{
    struct rd r = rd_of(ext);
    struct rd list = rd_of(rd_vec16(&r));
    bool found = false;
    if (!rd_end(&r)) {
        return false;
    }
    while (list.n && rd_ok(&list)) {
        uint8_t type = rd_u8(&list);
        struct slice name = rd_vec16(&list);
        if (type == NAME_TYPE_HOST) {
            if (found || !rd_ok(&list) || !text_name(name, TEXT_NAME_HOST, out)) {
                return false;
            }
            found = true;
        }
    }
    return rd_ok(&list) && found;
}

static enum hello_verdict read_extensions(struct slice exts, struct hello *out)
{
    struct rd r = rd_of(exts);
    uint16_t seen[SEEN_MAX];
    size_t count = 0;
    bool named = false;
    while (r.n && rd_ok(&r)) {
        uint16_t type = rd_u16(&r);
        struct slice body = rd_vec16(&r);
        for (size_t i = 0; i < count; i++) {
            if (seen[i] == type) {
                return HELLO_NOT_TLS; /* RFC 8446 section 4.2: never twice */
            }
        }
        if (!rd_ok(&r) || count == SEEN_MAX) {
            return HELLO_NOT_TLS;
        }
        seen[count++] = type;
        if (type == EXT_SERVER_NAME) {
            if (!read_server_name(body, out->name)) {
                return HELLO_NO_NAME;
            }
            named = true;
        }
        out->early_data = out->early_data || type == EXT_EARLY_DATA;
    }
    return !rd_ok(&r) ? HELLO_NOT_TLS : named ? HELLO_OK : HELLO_NO_NAME;
}

static enum hello_verdict read_message(struct slice msg, struct hello *out)
{
    struct rd r = rd_of(slice_skip(msg, MESSAGE_HEADER));
    struct slice session, suites, compression;
    rd_u16(&r);       /* legacy_version */
    rd_bytes(&r, 32); /* random */
    session = rd_vec8(&r);
    suites = rd_vec16(&r);
    compression = rd_vec8(&r);
    if (!rd_ok(&r) || session.n > 32 || suites.n < 2 || suites.n % 2 || !compression.n) {
        return HELLO_NOT_TLS;
    }
    if (!r.n) {
        return HELLO_NO_NAME; /* no extensions at all: an ancient client */
    }
    struct slice exts = rd_vec16(&r);
    return rd_end(&r) ? read_extensions(exts, out) : HELLO_NOT_TLS;
}

enum hello_verdict hello_parse(struct slice wire, struct hello *out)
{
    struct hello h = {.early_data = false};
    struct buf msg = BUF_MAX(HELLO_WIRE_MAX);
    enum hello_verdict v = reassemble(wire, &msg, &h.wire_len);
    if (v == HELLO_MORE && wire.n >= HELLO_WIRE_MAX) {
        v = HELLO_TOO_BIG;
    }
    if (v == HELLO_OK) {
        v = read_message(buf_slice(&msg), &h);
    }
    if (v == HELLO_OK) {
        *out = h;
    }
    buf_deinit(&msg);
    return v;
}
