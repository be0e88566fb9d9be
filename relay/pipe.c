/* Passthrough: a name that belongs to a neighbour (control, on a host with one address) goes on
 * untouched, behind a PROXY v2 header with the client's address. */
#include <errno.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/wire.h"
#include "relay/relay.h"

enum { KEEP_IDLE_S = 60, KEEP_INTERVAL_S = 15, KEEP_COUNT = 4 };

struct pipe {
    struct list link;
    struct relay *r;
    struct stream *client, *target;
    struct retire retire;
};

static void free_pipe(void *arg)
{
    mem_free(arg);
}

static void side_gone(struct pipe *p, struct stream **mine, struct stream *other, int why)
{
    *mine = NULL;
    if (other) {
        if (why) {
            sock_reset_on_close(stream_fd(other));
            stream_close(other, 0);
        } else {
            stream_finish(other);
        }
    } else {
        list_unlink(&p->link);
        p->r->open_count--;
        loop_retire(p->r->lp, &p->retire, free_pipe, p);
    }
}

static size_t forward(struct stream *from, struct stream *to, struct slice data)
{
    if (to && stream_write(to, data) == BUF_FULL) {
        stream_pause(from, true);
        return 0;
    }
    return data.n;
}

static void unpause(struct stream *s)
{
    if (s) {
        stream_pause(s, false);
    }
}

static size_t client_data(void *arg, struct slice data)
{
    struct pipe *p = arg;
    return forward(p->client, p->target, data);
}

static size_t target_data(void *arg, struct slice data)
{
    struct pipe *p = arg;
    return forward(p->target, p->client, data);
}

static void client_drain(void *arg)
{
    unpause(((struct pipe *)arg)->target);
}

static void target_drain(void *arg)
{
    unpause(((struct pipe *)arg)->client);
}

static void client_eof(void *arg)
{
    struct pipe *p = arg;
    if (p->target) {
        stream_shutdown(p->target);
    }
}

static void target_eof(void *arg)
{
    struct pipe *p = arg;
    if (p->client) {
        stream_finish(p->client);
    }
}

static void client_close(void *arg, int why)
{
    struct pipe *p = arg;
    side_gone(p, &p->client, p->target, why);
}

static void target_close(void *arg, int why)
{
    struct pipe *p = arg;
    side_gone(p, &p->target, p->client, why);
}

static const struct stream_ops client_ops = {.on_data = client_data,
                                             .on_drain = client_drain,
                                             .on_eof = client_eof,
                                             .on_close = client_close};
static const struct stream_ops target_ops = {.on_data = target_data,
                                             .on_drain = target_drain,
                                             .on_eof = target_eof,
                                             .on_close = target_close};

/* PROXY v2, TCP over IPv4 or IPv6 (proxy-protocol.txt section 2.2). */
void pipe_header(struct buf *b, const struct addr *from, const struct addr *to)
{
    uint8_t source[16], dest[16];
    addr_to_bytes(from, source);
    addr_to_bytes(to, dest);
    bool v4 = from->sa.sa_family == AF_INET && to->sa.sa_family == AF_INET;
    size_t skip = v4 ? 12 : 0;
    buf_add(b, slice_of("\r\n\r\n\0\r\nQUIT\n", 12));
    wr_u8(b, 0x21);
    wr_u8(b, v4 ? 0x11 : 0x21);
    wr_u16(b, v4 ? 12 : 36);
    buf_add(b, slice_of(source + skip, sizeof source - skip));
    buf_add(b, slice_of(dest + skip, sizeof dest - skip));
    wr_u16(b, addr_port(from));
    wr_u16(b, addr_port(to));
}

void pipe_arrive(struct relay *r,
                 int fd,
                 const struct addr *peer,
                 const struct passthrough *to,
                 struct slice received)
{
    struct addr local;
    struct buf head = BUF_MAX(HELLO_WIRE_MAX + 128 * KIB);
    int out = sock_local(fd, &local) ? sock_connect(&to->to) : -1;
    if (out < 0) {
        close(fd);
        return;
    }
    sock_nodelay(out);
    sock_keepalive(fd, KEEP_IDLE_S, KEEP_INTERVAL_S, KEEP_COUNT);
    struct pipe *p = mem_new(sizeof *p);
    p->r = r;
    list_push_back(&r->pipes, &p->link);
    r->open_count++;
    pipe_header(&head, peer, &local);
    buf_add(&head, received);
    p->target = stream_new(r->lp, out, NULL, &target_ops, NULL, p);
    p->client = stream_new(r->lp, fd, NULL, &client_ops, NULL, p);
    if (!buf_ok(&head) || stream_write(p->target, buf_slice(&head))) {
        stream_close(p->target, -EIO);
    }
    buf_deinit(&head);
}
