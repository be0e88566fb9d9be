/* The PROXY v2 parser: signature, version and command, family, length, addresses; TLVs are skipped.
 */
#include "lib/http/proxy_header.h"

#include "lib/base/wire.h"

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

enum {
    COMMAND_LOCAL = 0x20,
    COMMAND_PROXY = 0x21,
    FAMILY_TCP4 = 0x11,
    FAMILY_TCP6 = 0x21,
    HEAD = 16
};

static bool read_address(struct slice body, uint8_t family, struct addr *out_addr)
{
    struct rd r = rd_of(body);
    struct slice source;
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
    if (family == FAMILY_TCP4) {
        source = rd_bytes(&r, 4);
        rd_bytes(&r, 4);
    } else {
        source = rd_bytes(&r, 16);
        rd_bytes(&r, 16);
    }
    uint16_t port = rd_u16(&r);
    rd_u16(&r);
    if (!rd_ok(&r)) {
        return false;
    }
    memcpy(bytes + sizeof bytes - source.n, source.p, source.n);
    addr_from_bytes(bytes, port, out_addr);
    return true;
}

int proxy_header_parse(struct slice in, size_t *out_len, struct addr *out_addr)
{
    size_t have = in.n < sizeof signature ? in.n : sizeof signature;
    if (memcmp(in.p, signature, have) != 0) {
        return PROXY_NONE;
    }
    if (in.n < HEAD) {
        return PROXY_MORE;
    }
    struct rd r = rd_of(slice_skip(in, sizeof signature));
    uint8_t command = rd_u8(&r), family = rd_u8(&r);
    size_t body = rd_u16(&r);
    if ((command != COMMAND_LOCAL && command != COMMAND_PROXY) || HEAD + body > PROXY_HEADER_MAX) {
        return PROXY_BAD;
    }
    if (in.n < HEAD + body) {
        return PROXY_MORE;
    }
    struct addr a;
    if (command == COMMAND_PROXY && (family == FAMILY_TCP4 || family == FAMILY_TCP6)) {
        if (!read_address(slice_sub(in, HEAD, body), family, &a)) {
            return PROXY_BAD;
        }
        *out_addr = a;
    }
    *out_len = HEAD + body;
    return 0;
}
