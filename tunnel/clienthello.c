/*
 * Reassembly first (records to one handshake message, each byte looked at
 * once), then one pass over the whole message with a sticky-error cursor.
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

/* ---- records to message ---- */

/* One byte of a record header; wrong ones are told from the first wrong byte on. */
static enum hello_verdict take_header_byte(struct hello_reader *r, uint8_t byte)
{
    r->header[r->header_len++] = byte;
    if (r->header[0] != RECORD_HANDSHAKE || (r->header_len == 2 && byte != 3)) {
        return HELLO_NOT_TLS;
    }
    if (r->header_len < RECORD_HEADER) {
        return HELLO_MORE;
    }
    r->header_len = 0;
    r->record_left = (size_t)r->header[3] << 8 | r->header[4];
    return r->record_left && r->record_left <= RECORD_MAX ? HELLO_MORE : HELLO_NOT_TLS;
}

/* Part of a record's body. HELLO_OK when the message is whole. */
static enum hello_verdict take_body(struct hello_reader *r, struct slice part)
{
    if (buf_push(&r->msg, part)) {
        return HELLO_TOO_BIG;
    }
    r->record_left -= part.n;
    const uint8_t *h = (const uint8_t *)buf_slice(&r->msg).p;
    if (h[0] != MESSAGE_CLIENT_HELLO) {
        return HELLO_NOT_TLS;
    }
    if (r->msg.len < MESSAGE_HEADER) {
        return HELLO_MORE;
    }
    r->need = MESSAGE_HEADER + ((size_t)h[1] << 16 | (size_t)h[2] << 8 | h[3]);
    if (r->need > HELLO_WIRE_MAX - RECORD_HEADER) {
        return HELLO_TOO_BIG;
    }
    if (r->msg.len < r->need) {
        return HELLO_MORE;
    }
    /* RFC 8446 section 5.1: a hello ends its record; more handshake behind it is none of a
     * client's. */
    return r->msg.len == r->need && !r->record_left ? HELLO_OK : HELLO_NOT_TLS;
}

static enum hello_verdict reassemble(struct hello_reader *r, struct slice more)
{
    enum hello_verdict v = HELLO_MORE;
    while (more.n && v == HELLO_MORE) {
        size_t n = r->record_left && r->record_left < more.n ? r->record_left : more.n;
        if (!r->record_left) {
            n = 1;
            v = take_header_byte(r, (uint8_t)more.p[0]);
        } else {
            v = take_body(r, slice_sub(more, 0, n));
        }
        r->wire_len += n;
        more = slice_skip(more, n);
        if (r->wire_len > HELLO_WIRE_MAX || (r->wire_len == HELLO_WIRE_MAX && v == HELLO_MORE)) {
            v = HELLO_TOO_BIG;
        }
    }
    return v;
}

/* ---- the message ---- */

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

/* ---- the reader ---- */

void hello_init(struct hello_reader *r)
{
    *r = (struct hello_reader){.verdict = HELLO_MORE};
    buf_init(&r->msg, HELLO_WIRE_MAX);
}

void hello_deinit(struct hello_reader *r)
{
    buf_deinit(&r->msg);
}

enum hello_verdict hello_feed(struct hello_reader *r, struct slice more, struct hello *out)
{
    struct hello h = {.early_data = false};
    if (r->verdict != HELLO_MORE) {
        return r->verdict;
    }
    r->verdict = reassemble(r, more);
    if (r->verdict == HELLO_OK) {
        r->verdict = read_message(buf_slice(&r->msg), &h);
        h.wire_len = r->wire_len;
    }
    if (r->verdict == HELLO_OK) {
        *out = h;
    }
    return r->verdict;
}

enum hello_verdict hello_parse(struct slice wire, struct hello *out)
{
    struct hello_reader r;
    hello_init(&r);
    enum hello_verdict v = hello_feed(&r, wire, out);
    hello_deinit(&r);
    return v;
}
