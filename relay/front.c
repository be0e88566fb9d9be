/*
 * The front door: accept, read the ClientHello within its deadline, decide by
 * its name, hand over. Nothing is ever sent to a fallback; who names nothing
 * that is served here hears unrecognized_name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "relay/relay.h"

enum {
    LISTENERS_MAX = 24,
    BACKLOG = 4096,
    ACCEPT_BUDGET = 64,
    READ_STEP = 4096,       /* a hello and a little more */
    PRE_HELLO_PER_IP = 256, /* one address cannot take all the places before it has said a name */
};

static const int64_t accept_pause = MS(50);

struct door {
    struct relay *r;
    struct watch watch;
    uint16_t public_port;
    struct timer retry;
    bool paused;
};

struct front_state {
    struct relay *r;
    struct door doors[LISTENERS_MAX];
    size_t count;
    struct list arrivals;
    struct map *per_ip; /* address: how many arrivals it has, as the pointer's value */
    int reserve_fd;     /* given up for a moment when descriptors run out, so that accept can go on
                           refusing */
};

/* A client that has not said its name yet. */
struct arrival {
    struct list link;
    struct relay *r;
    int fd;
    struct watch watch;
    struct timer deadline;
    struct buf in; /* all that was read: OPEN carries it */
    struct hello_reader reader;
    struct addr peer;
    uint16_t public_port;
    struct retire retire;
};

/* ---- how many of one address ---- */

static uintptr_t per_ip_count(const struct front_state *f, const struct addr *peer)
{
    uint8_t ip[16];
    addr_to_bytes(peer, ip);
    return (uintptr_t)map_get(f->per_ip, slice_of(ip, sizeof ip));
}

static void per_ip_add(struct front_state *f, const struct addr *peer, int by)
{
    uint8_t ip[16];
    uintptr_t n = per_ip_count(f, peer) + (uintptr_t)by;
    addr_to_bytes(peer, ip);
    if (n) {
        /* A number, not an address. NOLINTNEXTLINE(performance-no-int-to-ptr) */
        map_set(f->per_ip, slice_of(ip, sizeof ip), (void *)n);
    } else {
        map_del(f->per_ip, slice_of(ip, sizeof ip));
    }
}

/* ---- an arrival's end ---- */

static void free_arrival(void *arg)
{
    struct arrival *a = arg;
    buf_deinit(&a->in);
    hello_deinit(&a->reader);
    mem_free(a);
}

/* Takes the descriptor out of the arrival, which ends. */
static int release(struct arrival *a)
{
    watch_del(&a->watch);
    timer_cancel(&a->deadline);
    list_unlink(&a->link);
    per_ip_add(a->r->front, &a->peer, -1);
    a->r->open_count--;
    loop_retire(a->r->lp, &a->retire, free_arrival, a);
    return STEAL_FD(a->fd);
}

static void close_silently(struct arrival *a)
{
    close(release(a));
}

void front_refuse(int fd)
{
    UNFILLED char sink[READ_STEP];
    struct buf alert = BUF_MAX(16);
    tls_alert_unrecognized(&alert);
    err_ignore((int)send(fd, buf_slice(&alert).p, alert.len, MSG_NOSIGNAL)); /* 7 bytes: they fit */
    err_ignore(shutdown(fd, SHUT_WR));
    err_ignore((int)recv(fd, sink, sizeof sink, 0)); /* closing with input unread would be RST, and
                                                        the alert would be lost */
    close(fd);
    buf_deinit(&alert);
}

static void refuse(struct arrival *a)
{
    a->r->count.refused++;
    front_refuse(release(a));
}

/* ---- ClientHellos ---- */

static void hand_over(struct arrival *a, const struct hello *h)
{
    struct relay *r = a->r;
    const struct passthrough *pass;
    const struct route *route;
    struct slice in = buf_slice(&a->in);
    if (strcmp(h->name, r->cfg.host) == 0) {
        if (a->public_port == 443) {
            rsession_arrive(r, release(a), in);
        } else {
            refuse(a);
        }
    } else if (a->public_port == 443 && (pass = routes_passthrough(&r->routes, h->name))) {
        pipe_arrive(r, release(a), &a->peer, pass, in);
    } else if ((route = routes_find(&r->routes, h->name, a->public_port)) &&
               routes_fresh(&r->routes) && rsession_find(r, route->node)) {
        struct newcomer n = {.peer = &a->peer,
                             .public_port = a->public_port,
                             .route = route,
                             .received = in,
                             .hello = h};
        n.fd = release(a);
        visitor_arrive(r, &n);
    } else {
        refuse(a);
    }
}

static void judge(struct arrival *a, struct slice more)
{
    struct hello h;
    switch (hello_feed(&a->reader, more, &h)) {
    case HELLO_OK:
        hand_over(a, &h);
        break;
    case HELLO_MORE:
        break;
    case HELLO_NO_NAME:
        refuse(a);
        break;
    case HELLO_NOT_TLS:
    case HELLO_TOO_BIG:
        a->r->count.hello_errors++;
        close_silently(a);
        break;
    }
}

static void on_readable(void *arg, uint32_t events)
{
    (void)events;
    struct arrival *a = arg;
    while (a->fd >= 0) {
        if (buf_reserve(&a->in, READ_STEP)) {
            a->r->count.hello_errors++;
            close_silently(a);
            return;
        }
        char *at = buf_tail(&a->in);
        ssize_t n = recv(a->fd, at, READ_STEP, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            close_silently(a);
            return;
        }
        buf_commit(&a->in, (size_t)n);
        judge(a, slice_of(at, (size_t)n));
    }
}

static void on_deadline(void *arg)
{
    struct arrival *a = arg;
    a->r->count.hello_timeouts++;
    close_silently(a);
}

static void welcome(struct door *d, int fd, const struct addr *peer)
{
    struct relay *r = d->r;
    if (r->open_count >= (unsigned)r->cfg.max_visitors ||
        per_ip_count(r->front, peer) >= PRE_HELLO_PER_IP) {
        r->count.refused++;
        close(fd);
        return;
    }
    struct arrival *a = mem_new(sizeof *a);
    *a = (struct arrival){
        .r = r, .fd = fd, .peer = *peer, .public_port = d->public_port, .watch = WATCH_INIT};
    buf_init(&a->in, HELLO_WIRE_MAX + READ_STEP);
    hello_init(&a->reader);
    list_push_back(&r->front->arrivals, &a->link);
    per_ip_add(r->front, peer, 1);
    r->open_count++;
    sock_nodelay(fd);
    if (watch_add(r->lp, &a->watch, fd, on_readable, a) < 0) {
        close_silently(a);
        return;
    }
    timer_set_in(r->lp, &a->deadline, MS(r->cfg.hello_timeout_ms), on_deadline, a);
    on_readable(a, EPOLLIN); /* the hello has often come with the last segment of the handshake */
}

/* ---- accepting ---- */

/* No descriptor is left: with the spare one, take clients off the queue and turn them away. */
static void turn_away(struct front_state *f, int listen_fd)
{
    for (int i = 0; i < ACCEPT_BUDGET && f->reserve_fd >= 0; i++) {
        close(STEAL_FD(f->reserve_fd));
        int fd = sock_accept(listen_fd, NULL);
        if (fd >= 0) {
            close(fd);
            f->r->count.refused++;
        }
        f->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            return;
        }
    }
}

static void on_retry(void *arg)
{
    struct door *d = arg;
    d->paused = false;
    loop_again(&d->watch, EPOLLIN);
}

static void on_accept(void *arg, uint32_t events)
{
    (void)events;
    struct door *d = arg;
    for (int i = 0; i < ACCEPT_BUDGET && !d->paused; i++) {
        struct addr peer;
        int fd = sock_accept(d->watch.fd, &peer);
        if (fd == -EAGAIN) {
            return;
        }
        if (fd < 0) {
            log_warn("accept.failed", F_ERR(fd));
            turn_away(d->r->front, d->watch.fd);
            d->paused = true;
            timer_set_in(d->r->lp, &d->retry, accept_pause, on_retry, d);
            return;
        }
        welcome(d, fd, &peer);
    }
    loop_again(&d->watch, EPOLLIN);
}

static int open_door(struct relay *r,
                     const char *address,
                     int64_t public_port,
                     int64_t port,
                     char *out_why,
                     size_t why_size)
{
    struct addr a;
    struct door *d = &r->front->doors[r->front->count];
    if (r->front->count == LISTENERS_MAX || !addr_from_ip(slice_str(address), (uint16_t)port, &a)) {
        text_cut(out_why, why_size, "cannot listen on \"%s\": it must be an IP address", address);
        return err_origin(-EINVAL);
    }
    int fd = sock_listen(&a, BACKLOG, SOCK_PLAIN);
    *d = (struct door){.r = r, .public_port = (uint16_t)public_port, .watch = WATCH_INIT};
    int rc = fd < 0 ? fd : watch_add(r->lp, &d->watch, fd, on_accept, d);
    if (rc < 0) {
        text_cut(out_why, why_size, "cannot listen on %s port %d: %s", address, (int)port,
                 err_words(rc));
        if (fd >= 0) {
            close(fd);
        }
        return err_trace(rc);
    }
    r->front->count++;
    log_info("listening", F_STR("address", address), F_I64("port", port),
             F_I64("public", public_port));
    return 0;
}

int front_start(struct relay *r, char *out_why, size_t why_size)
{
    const struct conf_list *where = r->cfg.listen.count ? &r->cfg.listen : &r->cfg.addresses;
    r->front = mem_new(sizeof *r->front);
    r->front->r = r;
    r->front->per_ip = map_new();
    list_init(&r->front->arrivals);
    r->front->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < where->count; i++) {
        for (size_t p = 0; p < r->cfg.ports.count; p++) {
            int rc = open_door(r, where->items[i], r->cfg.ports.items[p].key,
                               r->cfg.ports.items[p].value, out_why, why_size);
            if (rc < 0) {
                return err_trace(rc);
            }
        }
    }
    return 0;
}

void front_stop(struct relay *r)
{
    struct front_state *f = r->front;
    if (!f) {
        return;
    }
    for (size_t i = 0; i < f->count; i++) {
        int fd = f->doors[i].watch.fd;
        watch_del(&f->doors[i].watch);
        timer_cancel(&f->doors[i].retry);
        close(fd);
    }
    LIST_FOREACH (l, &f->arrivals) {
        close_silently(LIST_ENTRY(l, struct arrival, link));
    }
    if (f->reserve_fd >= 0) {
        close(STEAL_FD(f->reserve_fd));
    }
    map_free(f->per_ip);
    mem_free(f);
    r->front = NULL;
}
