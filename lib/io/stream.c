/*
 * Buffered streams. One state machine for plain and TLS: raw bytes move
 * between socket and `wire` side, plain bytes between `wire` side and owner.
 * Closing is always: descriptor away now, on_close once in a deferred call,
 * memory released at the end of that turn.
 */
#include "lib/io/stream.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

enum {
    IN_MAX = 64 * 1024,
    OUT_MAX = 256 * 1024,
    READ_STEP = 16 * 1024,
    READ_BUDGET = 16, /* reads per turn: one busy stream does not starve the others */
};

static const int64_t open_timeout = SECONDS(10);
static const int64_t finish_timeout = SECONDS(5);

struct stream {
    struct loop *lp;
    struct tls *tls;
    struct watch watch;
    struct timer timer;     /* open, then finish */
    struct deferred kick;   /* work that must not run inside the caller */
    struct deferred closed; /* the one on_close */
    struct retire retire;
    const struct stream_ops *ops;
    void *arg;
    struct addr peer;
    struct buf in;  /* plain, unconsumed */
    struct buf out; /* plain socket: what is to be sent. TLS: plain before the handshake is done */
    size_t out_max, low_water;
    bool lean;
    int why;
    bool connected, open, reading, paused, want_drain;
    bool eof_seen, eof_told;     /* input */
    bool shut_wanted, shut_done; /* output */
    bool finishing, closing, abandoned;
    char *words; /* why it failed, where TLS says more than errno; or NULL */
};

static void drive(struct stream *s);

/* ---- the end ---- */

static void release(void *arg)
{
    struct stream *s = arg;
    tls_free(s->tls);
    buf_deinit(&s->in);
    buf_deinit(&s->out);
    mem_free(s->words);
    mem_free(s);
}

static void tell_closed(void *arg)
{
    struct stream *s = arg;
    if (!s->abandoned) {
        s->ops->on_close(s->arg, s->why);
    }
    loop_retire(s->lp, &s->retire, release, s);
}

void stream_close(struct stream *s, int why)
{
    if (s->closing) {
        return;
    }
    s->closing = true;
    s->open = false;
    s->why = why;
    int fd = s->watch.fd;
    watch_del(&s->watch);
    if (fd >= 0) {
        close(fd);
    }
    timer_cancel(&s->timer);
    deferred_cancel(&s->kick);
    loop_defer(s->lp, &s->closed, tell_closed, s);
}

void stream_abandon(struct stream *s)
{
    stream_close(s, 0);
    s->abandoned = true;
}

static void fail(struct stream *s, int why)
{
    if (s->tls && *tls_why(s->tls) && !s->words) {
        s->words = mem_strdup(tls_why(s->tls));
    }
    stream_close(s, why);
}

/* ---- output ---- */

static struct slice wire_out(struct stream *s)
{
    return s->tls ? tls_output(s->tls) : buf_slice(&s->out);
}

static void wire_consume(struct stream *s, size_t n)
{
    if (s->tls) {
        tls_output_consume(s->tls, n);
    } else {
        buf_consume(&s->out, n);
    }
}

/* Plaintext that waited for the handshake. */
static int seal_waiting(struct stream *s)
{
    if (s->tls && s->out.len && tls_established(s->tls)) {
        int rc = tls_write(s->tls, buf_slice(&s->out));
        if (rc < 0) {
            return rc;
        }
        buf_clear(&s->out);
    }
    return 0;
}

size_t stream_queued(const struct stream *s)
{
    size_t n = s->out.len;
    return s->tls ? n + tls_output(s->tls).n : n;
}

static int flush(struct stream *s)
{
    int rc = seal_waiting(s);
    struct slice w;
    while (!rc && s->connected && (w = wire_out(s)).n) {
        ssize_t n = send(s->watch.fd, w.p, w.n, MSG_NOSIGNAL);
        if (n < 0) {
            rc = errno == EAGAIN || errno == EINTR ? 0 : -errno;
            break;
        }
        wire_consume(s, (size_t)n);
    }
    return rc;
}

static void finish_shutdown(struct stream *s)
{
    if (!s->shut_wanted || s->shut_done || s->out.len || !s->open) {
        return;
    }
    if (s->tls) {
        tls_close_notify(s->tls);
        err_ignore(flush(s));
        if (tls_output(s->tls).n) {
            return; /* comes again with EPOLLOUT */
        }
    } else if (wire_out(s).n) {
        return;
    }
    s->shut_done = true;
    err_ignore(shutdown(s->watch.fd, SHUT_WR));
}

static void after_flush(struct stream *s)
{
    if (s->want_drain && stream_queued(s) <= s->low_water) {
        s->want_drain = false;
        if (s->ops->on_drain) {
            s->ops->on_drain(s->arg);
        }
    }
    if (s->closing) {
        return;
    }
    finish_shutdown(s);
    if (s->finishing && s->shut_done) {
        stream_close(s, 0);
    }
}

/* ---- input ---- */

/* One read from the socket into the plain buffer: >0 bytes moved, 0 nothing now, -errno. */
static int read_plain(struct stream *s)
{
    size_t left = s->in.max - s->in.len;
    if (!left || buf_reserve(&s->in, left < READ_STEP ? left : READ_STEP)) {
        return -EMSGSIZE;
    }
    ssize_t n = recv(s->watch.fd, buf_tail(&s->in), buf_room(&s->in), 0);
    if (n > 0) {
        buf_commit(&s->in, (size_t)n);
        return 1;
    }
    if (n == 0) {
        s->eof_seen = true;
        return 0;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* Moves plaintext that OpenSSL already has. */
static int unseal(struct stream *s)
{
    int rc = tls_read(s->tls, &s->in);
    if (rc == TLS_EOF) {
        s->eof_seen = true;
        rc = 0;
    }
    return rc < 0 ? rc : 0;
}

static int read_sealed(struct stream *s)
{
    UNFILLED char raw[READ_STEP];
    ssize_t n = recv(s->watch.fd, raw, sizeof raw, 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    if (n == 0) {
        /* TCP ended without close_notify: what came before is whole records, the owner judges the
         * rest. */
        s->eof_seen = true;
        return s->open ? 0 : -ECONNRESET;
    }
    int rc = tls_feed(s->tls, slice_of(raw, (size_t)n));
    rc = rc ? rc : unseal(s);
    return rc < 0 ? rc : 1;
}

static void become_open(struct stream *s)
{
    s->open = true;
    timer_cancel(&s->timer);
    if (s->ops->on_open) {
        s->ops->on_open(s->arg);
    }
}

static void deliver(struct stream *s)
{
    while (s->in.len && !s->paused && !s->closing) {
        size_t took = s->ops->on_data(s->arg, buf_slice(&s->in));
        if (s->closing) {
            return;
        }
        buf_consume(&s->in, took);
        if (!took) {
            break;
        }
    }
    if (s->eof_seen && !s->eof_told && !s->paused && !s->closing) {
        s->eof_told = true;
        if (s->ops->on_eof) {
            s->ops->on_eof(s->arg);
        } else {
            stream_finish(s);
        }
    }
}

static bool input_full(const struct stream *s)
{
    return s->in.len >= s->in.max;
}

/* Reads until the socket is dry, the budget is spent or the owner has enough. */
static int read_all(struct stream *s)
{
    for (int i = 0; i < READ_BUDGET; i++) {
        if (s->eof_seen || s->closing || (s->paused && s->open)) {
            return 0;
        }
        if (s->open && input_full(s)) {
            return -EMSGSIZE; /* the owner took nothing of a full buffer */
        }
        int rc = s->tls ? read_sealed(s) : read_plain(s);
        if (rc < 0) {
            return rc;
        }
        if (s->tls && !s->open && tls_established(s->tls)) {
            become_open(s);
        }
        if (s->open) {
            deliver(s);
        }
        if (rc == 0) {
            return 0;
        }
    }
    loop_again(&s->watch, EPOLLIN);
    return 0;
}

static int start_tls(struct stream *s)
{
    int rc = unseal(s);
    if (!rc && !s->open && tls_established(s->tls)) {
        become_open(s);
    }
    return rc;
}

static int check_connected(struct stream *s)
{
    struct addr peer;
    if (s->connected) {
        return 0;
    }
    int rc = sock_error(s->watch.fd);
    if (rc < 0) {
        return rc;
    }
    if (!sock_peer(s->watch.fd, &peer)) {
        return 0; /* still connecting */
    }
    s->connected = true;
    s->peer = peer;
    if (s->tls) {
        return start_tls(s);
    }
    become_open(s);
    return 0;
}

static void give_back(struct stream *s)
{
    if (s->lean && !s->in.len) {
        buf_deinit(&s->in);
    }
    if (s->lean && !s->out.len) {
        buf_deinit(&s->out);
    }
}

static void drive(struct stream *s)
{
    int rc = check_connected(s);
    if (!rc && s->connected && !s->closing) {
        if (s->tls && s->in.len < s->in.max) {
            rc = unseal(s); /* what OpenSSL kept while the owner was full or paused */
        }
        if (!rc && s->open) {
            deliver(s);
        }
        if (!rc && !s->closing) {
            rc = read_all(s);
        }
    }
    if (s->closing) {
        return;
    }
    if (!rc) {
        rc = flush(s);
    } else {
        err_ignore(flush(s)); /* the alert that says why */
    }
    if (rc < 0) {
        fail(s, rc);
        return;
    }
    after_flush(s);
    give_back(s);
}

static void on_event(void *arg, uint32_t events)
{
    struct stream *s = arg;
    if ((events & EPOLLERR) && s->connected) {
        int rc = sock_error(s->watch.fd);
        if (rc < 0) {
            fail(s, rc);
            return;
        }
    }
    drive(s);
}

static void on_kick(void *arg)
{
    drive(arg);
}

static void on_timeout(void *arg)
{
    struct stream *s = arg;
    stream_close(s, s->finishing ? 0 : -ETIMEDOUT);
}

/* ---- the owner's side ---- */

struct stream *stream_new(struct loop *lp,
                          int fd,
                          struct tls *tls,
                          const struct stream_ops *ops,
                          const struct stream_opts *opts,
                          void *arg)
{
    static const struct stream_opts none;
    opts = opts ? opts : &none;
    struct stream *s = mem_new(sizeof *s);
    s->lp = lp;
    s->tls = tls;
    s->ops = ops;
    s->arg = arg;
    buf_init(&s->in, opts->in_max ? opts->in_max : IN_MAX);
    s->out_max = opts->out_max ? opts->out_max : OUT_MAX;
    s->low_water = opts->low_water ? opts->low_water : s->out_max / 2;
    s->lean = opts->lean;
    buf_init(&s->out, s->out_max);
    s->watch = WATCH_INIT;
    int rc = watch_add(lp, &s->watch, fd, on_event, s);
    if (!rc && opts->early.n) {
        rc = tls ? tls_feed(tls, opts->early) : (buf_push(&s->in, opts->early) ? -EMSGSIZE : 0);
    }
    if (rc < 0) {
        if (s->watch.fd < 0) {
            close(fd);
        }
        stream_close(s, rc);
        return s;
    }
    timer_set_in(lp, &s->timer, opts->open_timeout_ns ? opts->open_timeout_ns : open_timeout,
                 on_timeout, s);
    loop_defer(lp, &s->kick, on_kick, s);
    return s;
}

bool stream_has_room(struct stream *s, size_t n)
{
    bool room = stream_queued(s) + n <= s->out_max;
    s->want_drain = s->want_drain || !room;
    return room;
}

int stream_write(struct stream *s, struct slice data)
{
    if (s->closing || s->shut_wanted) {
        return -EPIPE;
    }
    if (stream_queued(s) + data.n > s->out_max) {
        s->want_drain = true;
        return BUF_FULL;
    }
    int rc = 0;
    if (s->tls && tls_established(s->tls)) {
        rc = seal_waiting(s);
        rc = rc ? rc : tls_write(s->tls, data);
    } else if (buf_push(&s->out, data)) {
        s->want_drain = true;
        return BUF_FULL;
    }
    loop_defer(s->lp, &s->kick, on_kick, s);
    return rc < 0 ? -EPIPE : 0;
}

void stream_pause(struct stream *s, bool paused)
{
    if (s->paused && !paused && !s->closing) {
        loop_defer(s->lp, &s->kick, on_kick, s);
    }
    s->paused = paused;
}

void stream_shutdown(struct stream *s)
{
    s->shut_wanted = true;
    if (!s->closing) {
        loop_defer(s->lp, &s->kick, on_kick, s);
    }
}

void stream_finish(struct stream *s)
{
    if (s->closing || s->finishing) {
        return;
    }
    s->finishing = true;
    timer_set_in(s->lp, &s->timer, finish_timeout, on_timeout, s);
    stream_shutdown(s);
}

struct tls *stream_tls(struct stream *s)
{
    return s->tls;
}

int stream_fd(const struct stream *s)
{
    return s->watch.fd;
}

const struct addr *stream_peer(const struct stream *s)
{
    return &s->peer;
}

bool stream_is_open(const struct stream *s)
{
    return s->open && !s->closing;
}

const char *stream_why(const struct stream *s)
{
    if (s->words) {
        return s->words;
    }
    const char *text = s->why ? strerrordesc_np(-s->why) : "";
    return text ? text : "unknown error";
}
