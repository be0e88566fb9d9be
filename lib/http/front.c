/*
 * The front: accepts, reads a PROXY header where the peer is trusted, does
 * TLS, and pumps plain bytes between the client and a socket pair whose other
 * end belongs to libmicrohttpd.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/http/http_priv.h"
#include "lib/http/proxy_header.h"

static const int64_t sniff_timeout = SECONDS(5);
static const int64_t accept_pause = MS(100); /* after EMFILE: give running requests time to end */

/* Most connections are streams of events that wait. */
static const struct stream_opts lean = {.lean = true};

static void free_front(void *arg)
{
    mem_free(arg);
}

static void maybe_free(struct front *f)
{
    if (f->outer || f->inner || f->fd >= 0 || f->rq || !list_empty(&f->link)) {
        return;
    }
    if (!f->retire.fn) {
        loop_retire(f->srv->lp, &f->retire, free_front, f);
    }
}

/* The client is away: let MHD see it, and let a suspended request notice. */
static void client_left(struct front *f)
{
    f->gone = true;
    if (f->rq) {
        http_client_gone(f->rq);
    }
    if (f->inner) {
        stream_finish(f->inner);
    }
}

static void unlink_front(struct front *f)
{
    if (!list_empty(&f->link)) {
        list_unlink(&f->link);
        f->srv->front_count--;
        if (f->mhd_fd >= 0 && (size_t)f->mhd_fd < f->srv->by_fd_size &&
            f->srv->by_fd[f->mhd_fd] == f) {
            f->srv->by_fd[f->mhd_fd] = NULL;
        }
    }
    maybe_free(f);
}

void front_rq_done(struct front *f)
{
    f->rq = NULL;
    maybe_free(f);
}

/* ---- pumping ---- */

static size_t forward(struct stream *from, struct stream *to, struct slice data)
{
    int rc = to ? stream_write(to, data) : -EPIPE;
    if (rc == BUF_FULL) {
        stream_pause(from, true);
        return 0;
    }
    return data.n; /* nobody listens any more: swallow */
}

static size_t outer_data(void *arg, struct slice data)
{
    struct front *f = arg;
    size_t n = forward(f->outer, f->inner, data);
    http_mhd_kick(f->srv);
    return n;
}

static size_t inner_data(void *arg, struct slice data)
{
    struct front *f = arg;
    return forward(f->inner, f->outer, data);
}

static void outer_drain(void *arg)
{
    struct front *f = arg;
    if (f->inner) {
        stream_pause(f->inner, false);
    }
}

static void inner_drain(void *arg)
{
    struct front *f = arg;
    if (f->outer) {
        stream_pause(f->outer, false);
    }
}

static void outer_eof(void *arg)
{
    client_left(arg);
}

static void inner_eof(void *arg)
{
    struct front *f = arg;
    if (f->outer) {
        stream_finish(f->outer);
    }
    if (f->inner) {
        stream_finish(f->inner);
    }
}

static void outer_close(void *arg, int why)
{
    (void)why;
    struct front *f = arg;
    f->outer = NULL;
    client_left(f);
    if (!f->inner) {
        unlink_front(f);
    }
}

static void inner_close(void *arg, int why)
{
    (void)why;
    struct front *f = arg;
    f->inner = NULL;
    if (f->outer) {
        stream_finish(f->outer);
    } else {
        unlink_front(f);
    }
}

static const struct stream_ops inner_ops = {
    .on_data = inner_data, .on_drain = inner_drain, .on_eof = inner_eof, .on_close = inner_close};

static bool remember_fd(struct http_server *s, int fd, struct front *f)
{
    if ((size_t)fd >= s->by_fd_size) {
        size_t size = (size_t)fd * 2 + 64;
        struct front **bigger = mem_new_array(size, sizeof(struct front *));
        for (size_t i = 0; i < s->by_fd_size; i++) {
            bigger[i] = s->by_fd[i];
        }
        mem_free(s->by_fd);
        s->by_fd = bigger;
        s->by_fd_size = size;
    }
    s->by_fd[fd] = f;
    return true;
}

/* TLS is done (or there is none): now libmicrohttpd may see the connection. */
static void outer_open(void *arg)
{
    struct front *f = arg;
    int pair[2];
    if (sock_pair(pair) < 0) {
        stream_close(f->outer, -EMFILE);
        return;
    }
    f->mhd_fd = pair[1];
    remember_fd(f->srv, pair[1], f);
    f->inner = stream_new(f->srv->lp, pair[0], NULL, &inner_ops, &lean, f);
    if (MHD_add_connection(f->srv->mhd, pair[1], &f->peer.sa, f->peer.len) != MHD_YES) {
        stream_close(f->outer, -ECONNABORTED); /* over MHD's limit: it has closed its end */
        return;
    }
    http_mhd_kick(f->srv);
}

static const struct stream_ops outer_ops = {.on_open = outer_open,
                                            .on_data = outer_data,
                                            .on_drain = outer_drain,
                                            .on_eof = outer_eof,
                                            .on_close = outer_close};

static void start(struct front *f)
{
    int fd = STEAL_FD(f->fd);
    f->outer = stream_new(f->srv->lp, fd, f->srv->tls ? tls_server(f->srv->tls) : NULL, &outer_ops,
                          &lean, f);
}

/* ---- the PROXY header ---- */

static void stop_sniffing(struct front *f)
{
    watch_del(&f->sniff);
    timer_cancel(&f->deadline);
}

static void drop(struct front *f)
{
    stop_sniffing(f);
    close(STEAL_FD(f->fd));
    unlink_front(f);
}

static void on_sniff(void *arg, uint32_t events)
{
    (void)events;
    struct front *f = arg;
    char head[PROXY_HEADER_MAX];
    size_t len = 0;
    ssize_t n = recv(f->fd, head, sizeof head, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    int rc = n > 0 ? proxy_header_parse(slice_of(head, (size_t)n), &len, &f->peer) : PROXY_BAD;
    if (rc == PROXY_MORE) {
        return;
    }
    if (rc == PROXY_BAD || (rc == 0 && recv(f->fd, head, len, 0) != (ssize_t)len)) {
        drop(f);
        return;
    }
    stop_sniffing(f);
    start(f);
}

static void on_sniff_timeout(void *arg)
{
    drop(arg);
}

static bool trusted(const struct http_server *s, const struct addr *peer)
{
    for (size_t i = 0; i < s->proxy_from_count; i++) {
        if (addr_same_ip(&s->proxy_from[i], peer)) {
            return true;
        }
    }
    return false;
}

static void welcome(struct http_server *s, int fd, const struct addr *peer)
{
    struct front *f = mem_new(sizeof *f);
    *f = (struct front){.srv = s, .peer = *peer, .fd = fd, .mhd_fd = -1};
    f->sniff = WATCH_INIT;
    list_push_back(&s->fronts, &f->link);
    s->front_count++;
    sock_nodelay(fd);
    if (!trusted(s, peer)) {
        start(f);
    } else if (watch_add(s->lp, &f->sniff, fd, on_sniff, f) < 0) {
        drop(f);
    } else {
        timer_set_in(s->lp, &f->deadline, sniff_timeout, on_sniff_timeout, f);
    }
}

/* ---- listening ---- */

static void resume_accept(void *arg)
{
    struct listener *l = arg;
    l->paused = false;
    loop_again(&l->watch, EPOLLIN);
}

static void on_accept(void *arg, uint32_t events)
{
    (void)events;

    enum { ACCEPT_BUDGET = 64 };
    struct listener *l = arg;
    struct http_server *s = l->srv;
    for (int i = 0; i < ACCEPT_BUDGET && !l->paused && !s->stopping; i++) {
        struct addr peer;
        int fd = sock_accept(l->watch.fd, &peer);
        if (fd == -EAGAIN) {
            return;
        }
        if (fd < 0) {
            l->paused = true;
            timer_set_in(s->lp, &l->retry, accept_pause, resume_accept, l);
            return;
        }
        if (s->front_count >= s->opts.max_connections) {
            close(fd);
            continue;
        }
        welcome(s, fd, &peer);
    }
    loop_again(&l->watch, EPOLLIN);
}

int front_listen(struct http_server *s, int fd)
{
    if (s->listener_count == HTTP_LISTEN_MAX) {
        close(fd);
        return err_origin(-ENOSPC);
    }
    struct listener *l = &s->listeners[s->listener_count];
    *l = (struct listener){.srv = s};
    int rc = watch_add(s->lp, &l->watch, fd, on_accept, l);
    if (rc < 0) {
        close(fd);
        return err_trace(rc);
    }
    s->listener_count++;
    return 0;
}

void front_close_all(struct http_server *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        int fd = s->listeners[i].watch.fd;
        watch_del(&s->listeners[i].watch);
        timer_cancel(&s->listeners[i].retry);
        close(fd);
    }
    LIST_FOREACH (l, &s->fronts) {
        struct front *f = LIST_ENTRY(l, struct front, link);
        if (f->fd >= 0) {
            drop(f);
            continue;
        }
        if (f->outer) {
            stream_close(f->outer, 0);
        }
        if (f->inner) {
            stream_close(f->inner, 0);
        }
    }
}
