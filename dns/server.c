/*
 * A thread of its own with a loop of its own: UDP and TCP sockets in, dns_answer() on the current
 * snapshot, replies out, so that a policy compile or a page never delays an answer. The snapshot
 * pointer is guarded by a mutex that is held for one answer (microseconds): when a publish returns,
 * no answer from before can still be composed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/answer.h"
#include "dns/dns.h"
#include "dns/zone.h"
#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/base/wire.h"
#include "lib/io/loop.h"

#define SOCKETS_MAX     16
#define UDP_BATCH       64  /* datagrams per wake-up before other descriptors get their turn */
#define TCP_MAX         256 /* connections in all: a resolver needs one */
#define TCP_PER_ADDRESS 8   /* so that one address cannot hold them all */
#define TCP_IDLE_NS     SECONDS(10)
#define TCP_OUT_MAX     (128 * KIB) /* two whole answers; a peer that reads no faster is paused */
#define TCP_IN_MAX      (DNS_QUERY_MAX + 2)

struct udp_socket {
    struct dns_server *server;
    struct watch watch;
};

struct tcp_listener {
    struct dns_server *server;
    struct watch watch;
};

struct tcp_conn {
    struct dns_server *server;
    struct list link;
    struct watch watch;
    struct timer idle;
    struct retire retire;
    struct addr peer;
    struct buf in, out;
    bool eof, closing;
};

struct dns_server {
    pthread_t thread;
    struct loop *loop;
    pthread_mutex_t lock; /* snapshot and counters */
    struct dns_snapshot *snapshot;
    struct dns_counters counters;
    struct udp_socket udp[SOCKETS_MAX];
    struct tcp_listener tcp[SOCKETS_MAX];
    size_t udp_count, tcp_count;
    struct list conns;
    size_t conn_count;
    uint8_t reply[DNS_REPLY_MAX];
};

static size_t answer(struct dns_server *s, struct slice query, enum dns_transport transport)
{
    size_t n = 0;
    pthread_mutex_lock(&s->lock);
    if (s->snapshot) { /* nothing is said before the zone was published once */
        n = dns_answer(s->snapshot, query, transport, s->reply, &s->counters);
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* ---- UDP ---- */

/* The reply leaves from the address that was asked, whatever the socket is bound to. */
static void keep_source(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            info.ipi_ifindex = 0; /* let routing choose the way back */
            memcpy(CMSG_DATA(c), &info, sizeof(info));
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) {
                info.ipi6_ifindex = 0;
            }
            memcpy(CMSG_DATA(c), &info, sizeof(info));
        }
    }
}

static bool udp_one(struct udp_socket *u)
{
    UNFILLED char query[DNS_QUERY_MAX];

    union {
        struct cmsghdr align;
        char bytes[256];
    } control;
    struct sockaddr_storage peer;
    struct iovec iov = {.iov_base = query, .iov_len = sizeof(query)};
    struct msghdr msg = {.msg_name = &peer,
                         .msg_namelen = sizeof(peer),
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(u->watch.fd, &msg, MSG_DONTWAIT);
    if (got < 0) {
        return errno != EAGAIN; /* ICMP errors of earlier replies show up here: read on */
    }
    size_t n = answer(u->server, slice_of(query, (size_t)got), DNS_UDP);
    if (n && !(msg.msg_flags & MSG_TRUNC)) {
        iov.iov_base = u->server->reply;
        iov.iov_len = n;
        msg.msg_flags = 0;
        keep_source(&msg);
        (void)!sendmsg(u->watch.fd, &msg,
                       MSG_DONTWAIT | MSG_NOSIGNAL); /* lost datagrams are asked again */
    }
    return true;
}

static void udp_ready(void *arg, uint32_t events)
{
    struct udp_socket *u = arg;
    (void)events;
    for (int i = 0; i < UDP_BATCH; i++) {
        if (!udp_one(u)) {
            return;
        }
    }
    loop_again(&u->watch, EPOLLIN);
}

/* ---- TCP ---- */

static void conn_release(void *arg)
{
    struct tcp_conn *c = arg;
    buf_deinit(&c->in);
    buf_deinit(&c->out);
    mem_free(c);
}

static void conn_close(struct tcp_conn *c)
{
    if (c->closing) {
        return;
    }
    c->closing = true;
    int fd = c->watch.fd;
    watch_del(&c->watch);
    (void)close(fd);
    timer_cancel(&c->idle);
    list_unlink(&c->link);
    c->server->conn_count--;
    loop_retire(c->server->loop, &c->retire, conn_release, c);
}

static void conn_idle(void *arg)
{
    conn_close(arg);
}

static bool conn_flush(struct tcp_conn *c)
{
    while (c->out.len) {
        struct slice out = buf_slice(&c->out);
        ssize_t n = send(c->watch.fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            return errno == EAGAIN;
        }
        buf_consume(&c->out, (size_t)n);
    }
    return true;
}

/* Answers every whole query that is in; stops while the peer does not read. */
static bool conn_serve(struct tcp_conn *c)
{
    while (c->in.len >= 2 && c->out.max - c->out.len >= DNS_REPLY_MAX + 2) {
        struct rd r = rd_of(buf_slice(&c->in));
        uint16_t len = rd_u16(&r);
        if (len > DNS_QUERY_MAX) {
            return false;
        }
        struct slice query = rd_bytes(&r, len);
        if (!rd_ok(&r)) {
            return true;
        }
        size_t n = answer(c->server, query, DNS_TCP);
        if (!n) {
            return false;
        }
        wr_u16(&c->out, (uint16_t)n);
        buf_add(&c->out, slice_of(c->server->reply, n));
        buf_consume(&c->in, (size_t)len + 2);
        timer_set_in(c->server->loop, &c->idle, TCP_IDLE_NS, conn_idle, c);
    }
    return true;
}

static bool conn_read(struct tcp_conn *c)
{
    while (c->in.len < TCP_IN_MAX) {
        if (buf_reserve(&c->in, TCP_IN_MAX - c->in.len)) {
            return false;
        }
        ssize_t n = recv(c->watch.fd, buf_tail(&c->in), TCP_IN_MAX - c->in.len, MSG_DONTWAIT);
        if (n < 0) {
            return errno == EAGAIN;
        }
        if (n == 0) {
            c->eof = true;
            return true;
        }
        buf_commit(&c->in, (size_t)n);
    }
    loop_again(&c->watch, EPOLLIN); /* the buffer is full: serve, then read on */
    return true;
}

static void conn_ready(void *arg, uint32_t events)
{
    struct tcp_conn *c = arg;
    (void)events;
    bool good = conn_read(c) && conn_serve(c) && conn_flush(c) && conn_serve(c) && conn_flush(c);
    if (!good || (c->eof && !c->out.len)) {
        conn_close(c);
    }
}

static size_t conns_of(struct dns_server *s, const struct addr *peer)
{
    size_t n = 0;
    for (struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        n += addr_same_ip(&CONTAINER_OF(l, const struct tcp_conn, link)->peer, peer);
    }
    return n;
}

static void conn_new(struct dns_server *s, int fd, const struct addr *peer)
{
    if (s->conn_count >= TCP_MAX || conns_of(s, peer) >= TCP_PER_ADDRESS) {
        (void)close(fd);
        return;
    }
    struct tcp_conn *c = mem_new(sizeof(*c));
    c->server = s;
    c->peer = *peer;
    c->watch = WATCH_INIT;
    buf_init(&c->in, TCP_IN_MAX);
    buf_init(&c->out, TCP_OUT_MAX);
    list_init(&c->link);
    if (watch_add(s->loop, &c->watch, fd, conn_ready, c)) {
        (void)close(fd);
        conn_release(c);
        return;
    }
    list_push_back(&s->conns, &c->link);
    s->conn_count++;
    s->counters.tcp_connections++;
    timer_set_in(s->loop, &c->idle, TCP_IDLE_NS, conn_idle, c);
}

static void tcp_ready(void *arg, uint32_t events)
{
    struct tcp_listener *l = arg;
    (void)events;
    for (;;) {
        struct addr peer;
        int fd = sock_accept(l->watch.fd, &peer);
        if (fd == -EAGAIN) {
            return;
        }
        if (fd < 0) {
            loop_again(&l->watch, EPOLLIN); /* out of descriptors: idle ones end within 10 s */
            return;
        }
        conn_new(l->server, fd, &peer);
    }
}

/* ---- life ---- */

static void *thread_main(void *arg)
{
    struct dns_server *s = arg;
    err_ignore(loop_run(s->loop)); /* ends by loop_stop, or with the epoll descriptor */
    return NULL;
}

static int watch_all(struct dns_server *s, const struct dns_server_opts *opts)
{
    int on = 1;
    for (; s->udp_count < opts->udp_count; s->udp_count++) {
        struct udp_socket *u = &s->udp[s->udp_count];
        int fd = opts->udp_fds[s->udp_count];
        u->server = s;
        u->watch = WATCH_INIT;
        (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on,
                         sizeof(on)); /* one of the two fits the family */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
        int r = watch_add(s->loop, &u->watch, fd, udp_ready, u);
        if (r) {
            return err_trace(r);
        }
    }
    for (; s->tcp_count < opts->tcp_count; s->tcp_count++) {
        struct tcp_listener *l = &s->tcp[s->tcp_count];
        l->server = s;
        l->watch = WATCH_INIT;
        int r = watch_add(s->loop, &l->watch, opts->tcp_fds[s->tcp_count], tcp_ready, l);
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

static void server_release(struct dns_server *s)
{
    LIST_FOREACH (it, &s->conns) {
        conn_close(LIST_ENTRY(it, struct tcp_conn, link));
    }
    for (size_t i = 0; i < s->udp_count; i++) {
        int fd = s->udp[i].watch.fd;
        watch_del(&s->udp[i].watch);
        (void)close(fd);
    }
    for (size_t i = 0; i < s->tcp_count; i++) {
        int fd = s->tcp[i].watch.fd;
        watch_del(&s->tcp[i].watch);
        (void)close(fd);
    }
    loop_free(s->loop);
    dns_snapshot_free(s->snapshot);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

int dns_server_start(const struct dns_server_opts *opts, struct dns_server **out_srv)
{
    if (opts->udp_count > SOCKETS_MAX || opts->tcp_count > SOCKETS_MAX) {
        return err_origin(-E2BIG);
    }
    struct dns_server *s = mem_new(sizeof(*s));
    s->loop = loop_new();
    list_init(&s->conns);
    pthread_mutex_init(&s->lock, NULL);
    int r = watch_all(s, opts);
    if (!r) {
        r = -pthread_create(&s->thread, NULL, thread_main, s);
    }
    if (r) {
        server_release(s);
        return err_trace(r);
    }
    *out_srv = s;
    return 0;
}

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

void dns_server_stop(struct dns_server *s)
{
    if (!s) {
        return;
    }
    if (!loop_post(s->loop, stop_loop, s->loop)) {
        pthread_join(s->thread, NULL);
        server_release(s);
    }
}

void dns_server_counters(const struct dns_server *s, struct dns_counters *out)
{
    pthread_mutex_t *lock = unconst(&s->lock); /* looking takes the lock as well */
    pthread_mutex_lock(lock);
    *out = s->counters;
    pthread_mutex_unlock(lock);
}

int dns_zone_publish(struct dns_zone *z, struct dns_server *s)
{
    dns_zone_next_serial(z);
    struct dns_snapshot *next = dns_zone_compile(z);
    pthread_mutex_lock(&s->lock);
    struct dns_snapshot *old = s->snapshot;
    s->snapshot = next;
    pthread_mutex_unlock(&s->lock);
    dns_snapshot_free(old);
    return 0;
}
