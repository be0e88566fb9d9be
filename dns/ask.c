/* See ask.h. */
#include "dns/ask.h"

#include <sys/socket.h>
#include <unistd.h>

#include "dns/snapshot.h"
#include "lib/base/wire.h"

enum { HEADER = 12, TYPE_AND_CLASS = 4, OPT_RECORD = 11, OPT_PAYLOAD = 1232 };

size_t dns_ask_size(size_t name)
{
    return HEADER + name + TYPE_AND_CLASS + OPT_RECORD;
}

void dns_ask_write(struct buf *out, uint16_t id, uint16_t flags, struct slice name, uint16_t type)
{
    wr_u16(out, id);
    wr_u16(out, flags);
    wr_u16(out, 1); /* one question, no answer, no authority, one additional */
    wr_u32(out, 0);
    wr_u16(out, 1);
    buf_add(out, name);
    wr_u16(out, type);
    wr_u16(out, 1);
    wr_u8(out, 0); /* OPT: root, no flags */
    wr_u16(out, DNS_OPT);
    wr_u16(out, OPT_PAYLOAD);
    wr_u32(out, 0);
    wr_u16(out, 0);
}

int dns_ask_udp(const struct addr *server)
{
    int fd = socket(server->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, &server->sa, server->len) < 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}
