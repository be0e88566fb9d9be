/*
 * Requests. libmicrohttpd parses and calls answer(); a request that is not
 * answered at once suspends its connection and resumes it with the reply.
 * Every add and resume is followed by MHD_run (its epoll descriptor does not
 * fire for those), from a deferred call so that handlers never recurse.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/http/http_priv.h"

enum {
    CONNECTIONS = 4096,
    IDLE_S = 60,             /* keep-alive and slow senders */
    CONN_MEMORY = 16 * 1024, /* request line and headers, and the answer's head */
    BODY_MAX = 8 * 1024 * 1024,
    DISCARDED_MAX =
        8 * 1024 * 1024, /* longer than that: refused unread, and the connection closed */
    PARAMS_MAX = 4,
    HEADERS_MAX = 24,
    STREAM_MAX = 1024 * 1024, /* queued; then the reader starts again from full state */
    ID_CHARS = 16,
};

struct http_stream {
    struct http_rq *rq;
    struct buf out;
    loop_fn on_close;
    void *arg;
    bool ended, closed;
};

struct reply_header {
    struct reply_header *next;
    char *name, *value;
};

struct http_rq {
    struct http_server *srv;
    struct front *front;
    struct MHD_Connection *conn;
    const struct http_route *route;
    enum http_method method;
    bool head, method_known;
    char *path;
    struct slice params[PARAMS_MAX];
    size_t param_count;
    struct buf body;
    struct buf form; /* decoded fields, kept for the life of the request */
    char id[ID_CHARS + 1];
    char allowed[64];
    void *user;
    void (*user_free)(void *);
    loop_fn on_abort;
    void *abort_arg;
    struct MHD_Response *response; /* ready */
    int status;

    struct reply_header *headers, **headers_end; /* until the response is made */
    size_t header_count;
    struct http_stream *stream;
    bool dispatched, replied, in_handler, suspended, too_big;
};

/* ---- MHD in our loop ---- */

static void run_mhd(struct http_server *s);

static void on_mhd_timer(void *arg)
{
    run_mhd(arg);
}

static void run_mhd(struct http_server *s)
{
    enum { ROUNDS = 16 };
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd p = {.fd = info->epoll_fd, .events = POLLIN};
    int round = 0;
    do {
        MHD_run(s->mhd);
    } while (++round < ROUNDS && poll(&p, 1, 0) > 0);
    if (round == ROUNDS) {
        loop_again(&s->mhd_watch, EPOLLIN);
    }
    MHD_UNSIGNED_LONG_LONG ms;
    if (MHD_get_timeout(s->mhd, &ms) == MHD_YES) {
        timer_set_in(s->lp, &s->mhd_timer, MS((int64_t)ms), on_mhd_timer, s);
    } else {
        timer_cancel(&s->mhd_timer);
    }
}

static void on_mhd_event(void *arg, uint32_t events)
{
    (void)events;
    run_mhd(arg);
}

static void on_kick(void *arg)
{
    run_mhd(arg);
}

void http_mhd_kick(struct http_server *s)
{
    if (!s->stopping) {
        loop_defer(s->lp, &s->kick, on_kick, s);
    }
}

static void resume(struct http_rq *rq)
{
    if (rq->suspended) {
        rq->suspended = false;
        MHD_resume_connection(rq->conn);
        http_mhd_kick(rq->srv);
    }
}

static void suspend(struct http_rq *rq)
{
    if (!rq->suspended) {
        rq->suspended = true;
        MHD_suspend_connection(rq->conn);
    }
}

void http_client_gone(struct http_rq *rq)
{
    resume(rq);
}

/* ---- routing ---- */

static bool match(struct http_rq *rq, const char *pattern)
{
    struct slice want = slice_str(pattern), have = slice_str(rq->path), w, h;
    if (have.n > 1 && have.p[have.n - 1] == '/') {
        have.n--; /* tolerated: some clients write it */
    }
    rq->param_count = 0;
    for (;;) {
        bool more_w = slice_split(&want, '/', &w), more_h = slice_split(&have, '/', &h);
        if (!more_w || !more_h) {
            return more_w == more_h;
        }
        if (w.n && w.p[0] == '{') {
            if (!h.n || rq->param_count == PARAMS_MAX) {
                return false;
            }
            rq->params[rq->param_count++] = h;
        } else if (!slice_eq(w, h)) {
            return false;
        }
    }
}

static const char *const method_names[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

static bool read_method(struct http_rq *rq, const char *name)
{
    rq->head = strcmp(name, "HEAD") == 0;
    for (size_t i = 0; i < ARRAY_LEN(method_names); i++) {
        if (strcmp(rq->head ? "GET" : name, method_names[i]) == 0) {
            rq->method = (enum http_method)i;
            return true;
        }
    }
    return false;
}

static void find_route(struct http_rq *rq)
{
    const struct http_opts *o = &rq->srv->opts;
    size_t n = 0;
    for (size_t i = 0; i < o->route_count; i++) {
        if (!match(rq, o->routes[i].path)) {
            continue;
        }
        if (rq->method_known && o->routes[i].method == rq->method) {
            rq->route = &o->routes[i];
            return;
        }
        n += (size_t)snprintf(rq->allowed + n, sizeof rq->allowed - n, "%s%s", n ? ", " : "",
                              method_names[o->routes[i].method]);
    }
}

/* ---- life of a request ---- */

static struct http_rq *
new_rq(struct http_server *s, struct MHD_Connection *conn, const char *url, const char *method)
{
    struct http_rq *rq = mem_new(sizeof *rq);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    rq->srv = s;
    rq->conn = conn;
    rq->path = mem_strdup(url);
    rq->front = (size_t)info->connect_fd < s->by_fd_size ? s->by_fd[info->connect_fd] : NULL;
    if (rq->front) {
        rq->front->rq = rq;
    }
    secret_id(rq->id, ID_CHARS);
    rq->method_known = read_method(rq, method);
    find_route(rq);
    buf_init(&rq->body, rq->route ? rq->route->body_max : 0);
    buf_init(&rq->form, BODY_MAX);
    return rq;
}

static void free_headers(struct http_rq *rq)
{
    for (struct reply_header *h = rq->headers, *next; h; h = next) {
        next = h->next;
        mem_free(h->name);
        mem_free(h->value);
        mem_free(h);
    }
    rq->headers = NULL;
}

static void free_rq(struct http_rq *rq)
{
    if (rq->front && rq->front->rq == rq) {
        front_rq_done(rq->front);
    }
    http_rq_drop_user(rq);
    free_headers(rq);
    if (rq->response) {
        MHD_destroy_response(rq->response);
    }
    if (rq->stream) {
        buf_deinit(&rq->stream->out);
        mem_free(rq->stream);
    }
    secret_wipe_buf(&rq->body);
    secret_wipe_buf(&rq->form);
    mem_free(rq->path);
    mem_free(rq);
}

static void on_completed(void *cls,
                         struct MHD_Connection *conn,
                         void **con_cls,
                         enum MHD_RequestTerminationCode toe)
{
    (void)cls, (void)conn, (void)toe;
    struct http_rq *rq = *con_cls;
    if (!rq) {
        return;
    }
    *con_cls = NULL;
    if (rq->stream && !rq->stream->closed) {
        rq->stream->closed = true;
        rq->stream->on_close(rq->stream->arg);
    } else if (rq->dispatched && !rq->replied && rq->on_abort) {
        rq->on_abort(rq->abort_arg);
    }
    free_rq(rq);
}

static enum MHD_Result queue(struct http_rq *rq)
{
    struct MHD_Response *r = STEAL(rq->response);
    enum MHD_Result ok = MHD_queue_response(rq->conn, (unsigned)rq->status, r);
    MHD_destroy_response(r);
    return ok;
}

static void dispatch(struct http_rq *rq)
{
    const struct http_opts *o = &rq->srv->opts;
    rq->dispatched = true;
    rq->in_handler = true;
    if (!rq->route) {
        o->not_found(o->arg, rq);
    } else if (rq->too_big) {
        o->error(o->arg, rq, 413, "the body is longer than this call takes");
    } else {
        if (o->before) {
            o->before(o->arg, rq);
        }
        if (!rq->replied && !rq->stream) {
            rq->route->fn(o->arg, rq);
        }
    }
    rq->in_handler = false;
}

static bool announced_over(struct http_rq *rq, size_t max)
{
    uint64_t n;
    struct slice length = http_rq_header(rq, "Content-Length");
    return slice_u64(length, UINT64_MAX, &n) && n > max;
}

static void take_body(struct http_rq *rq, const char *data, size_t n)
{
    if (!rq->too_big && buf_push(&rq->body, slice_of(data, n))) {
        rq->too_big = true;
    }
}

/* NOLINTNEXTLINE(readability-function-size): microhttpd's type */
static enum MHD_Result answer(void *cls,
                              struct MHD_Connection *conn,
                              const char *url,
                              const char *method,
                              const char *version,
                              const char *data,
                              size_t *data_size,
                              void **con_cls)
{
    (void)version;
    struct http_rq *rq = *con_cls;
    if (!rq) {
        rq = new_rq(cls, conn, url, method);
        *con_cls = rq;
        rq->too_big = announced_over(rq, rq->body.max);
        if (!announced_over(rq, DISCARDED_MAX)) {
            return MHD_YES; /* what is too long is read past, so that the client hears why */
        }
    } else if (*data_size) {
        take_body(rq, data, *data_size);
        *data_size = 0;
        return MHD_YES;
    }
    if (!rq->dispatched) {
        dispatch(rq);
    }
    if (rq->response) {
        return queue(rq);
    }
    if (rq->front && rq->front->gone) {
        return MHD_NO;
    }
    suspend(rq);
    return MHD_YES;
}

/* ---- answering ---- */

void http_rq_add_header(struct http_rq *rq, const char *name, const char *value)
{
    if (rq->header_count < HEADERS_MAX) {
        struct reply_header *h = mem_new(sizeof *h);
        *h = (struct reply_header){NULL, mem_strdup(name), mem_strdup(value)};
        *(rq->headers ? rq->headers_end : &rq->headers) = h;
        rq->headers_end = &h->next;
        rq->header_count++;
    }
}

static void ready(struct http_rq *rq, struct MHD_Response *r, int status)
{
    if (!r) {
        abort(); /* sizes were capped before */
    }
    for (const struct reply_header *h = rq->headers; h; h = h->next) {
        MHD_add_response_header(r, h->name, h->value);
    }
    free_headers(rq);
    rq->response = r;
    rq->status = status;
    rq->replied = true;
    if (!rq->in_handler) {
        resume(rq);
    }
}

void http_rq_reply(struct http_rq *rq, int status, const char *content_type, struct slice body)
{
    if (rq->replied) {
        return;
    }
    if (rq->srv->opts.after) {
        rq->srv->opts.after(rq->srv->opts.arg, rq, status, content_type, body);
    }
    if (content_type) {
        http_rq_add_header(rq, "Content-Type", content_type);
    }
    ready(rq,
          MHD_create_response_from_buffer(body.n, unconst(body.n ? body.p : ""),
                                          MHD_RESPMEM_MUST_COPY),
          status);
}

void http_rq_redirect(struct http_rq *rq, const char *location)
{
    http_rq_add_header(rq, "Location", location);
    http_rq_reply(rq, 303, NULL, S(""));
}

/* ---- streams ---- */

static ssize_t read_stream(void *cls, uint64_t pos, char *out, size_t max)
{
    (void)pos;
    struct http_stream *st = cls;
    if (st->rq->front && st->rq->front->gone) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t n = st->out.len < max ? st->out.len : max;
    if (n) {
        memcpy(out, buf_slice(&st->out).p, n);
        buf_consume(&st->out, n);
        return (ssize_t)n;
    }
    if (st->ended) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    suspend(st->rq);
    return 0;
}

struct http_stream *
http_rq_stream(struct http_rq *rq, const char *content_type, loop_fn on_close, void *arg)
{
    enum { BLOCK = 4 * 1024 }; /* held as long as the stream is open */

    struct http_stream *st = mem_new(sizeof *st);
    *st = (struct http_stream){
        .rq = rq, .out = BUF_MAX(STREAM_MAX), .on_close = on_close, .arg = arg};
    rq->stream = st;
    http_rq_add_header(rq, "Content-Type", content_type);
    http_rq_add_header(rq, "Cache-Control", "no-store");
    ready(rq, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_stream, st, NULL),
          200);
    return st;
}

int http_stream_push(struct http_stream *s, struct slice data)
{
    if (buf_push(&s->out, data)) {
        return BUF_FULL;
    }
    resume(s->rq);
    return 0;
}

void http_stream_limit(struct http_stream *s, size_t max)
{
    s->out.max = max;
}

void http_stream_end(struct http_stream *s)
{
    s->ended = true;
    resume(s->rq);
}

/* ---- reading ---- */

const struct http_route *http_rq_route(const struct http_rq *rq)
{
    return rq->route;
}

enum http_method http_rq_method(const struct http_rq *rq)
{
    return rq->method;
}

bool http_rq_is_head(const struct http_rq *rq)
{
    return rq->head;
}

struct slice http_rq_path(const struct http_rq *rq)
{
    return slice_str(rq->path);
}

struct slice http_rq_param(const struct http_rq *rq, const char *name)
{
    struct slice rest = slice_str(rq->route ? rq->route->path : ""), part;
    size_t i = 0;
    while (slice_split(&rest, '/', &part)) {
        if (part.n < 2 || part.p[0] != '{') {
            continue;
        }
        if (slice_eq(slice_of(part.p + 1, part.n - 2), slice_str(name))) {
            return i < rq->param_count ? rq->params[i] : S("");
        }
        i++;
    }
    return S("");
}

struct slice http_rq_query(const struct http_rq *rq, const char *name)
{
    return slice_str(MHD_lookup_connection_value(rq->conn, MHD_GET_ARGUMENT_KIND, name));
}

struct query_walk {
    http_query_fn fn;
    void *arg;
};

static enum MHD_Result
next_query(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    const struct query_walk *w = cls;
    (void)kind;
    w->fn(w->arg, slice_str(name), slice_str(value));
    return MHD_YES;
}

void http_rq_query_each(const struct http_rq *rq, http_query_fn fn, void *arg)
{
    struct query_walk w = {fn, arg};
    MHD_get_connection_values(rq->conn, MHD_GET_ARGUMENT_KIND, next_query, &w);
}

struct slice http_rq_header(const struct http_rq *rq, const char *name)
{
    return slice_str(MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND, name));
}

struct slice http_rq_cookie(const struct http_rq *rq, const char *name)
{
    return slice_str(MHD_lookup_connection_value(rq->conn, MHD_COOKIE_KIND, name));
}

struct slice http_rq_body(const struct http_rq *rq)
{
    return buf_slice(&rq->body);
}

/* application/x-www-form-urlencoded: "+" is a space, %XX a byte; false on a broken escape. */
static bool unescape(struct slice in, struct buf *out)
{
    for (size_t i = 0; i < in.n; i++) {
        uint8_t byte;
        if (in.p[i] == '+') {
            buf_addc(out, ' ');
        } else if (in.p[i] != '%') {
            buf_addc(out, in.p[i]);
        } else if (text_unhex(slice_sub(in, i + 1, 2), &byte, 1)) {
            buf_addc(out, (char)byte);
            i += 2;
        } else {
            return false;
        }
    }
    return buf_ok(out);
}

struct slice http_rq_form(struct http_rq *rq, const char *name)
{
    struct slice rest = buf_slice(&rq->body), pair, key;
    buf_clear(&rq->form);
    while (rest.n && slice_split(&rest, '&', &pair)) {
        if (slice_split(&pair, '=', &key) && slice_eq(key, slice_str(name))) {
            return pair.p && unescape(pair, &rq->form) ? buf_slice(&rq->form) : S("");
        }
    }
    return S("");
}

const struct addr *http_rq_peer(const struct http_rq *rq)
{
    static const struct addr nobody;
    return rq->front ? &rq->front->peer : &nobody;
}

const char *http_rq_id(const struct http_rq *rq)
{
    return rq->id;
}

const char *http_rq_allowed(const struct http_rq *rq)
{
    return rq->allowed;
}

void *http_rq_user(const struct http_rq *rq)
{
    return rq->user;
}

void http_rq_set_user(struct http_rq *rq, void *user, void (*free_fn)(void *))
{
    rq->user = user;
    rq->user_free = free_fn;
}

void http_rq_drop_user(struct http_rq *rq)
{
    if (rq->user && rq->user_free) {
        rq->user_free(rq->user);
    }
    http_rq_set_user(rq, NULL, NULL);
}

void http_rq_on_abort(struct http_rq *rq, loop_fn fn, void *arg)
{
    rq->on_abort = fn;
    rq->abort_arg = arg;
}

/* ---- the server ---- */

static void drop_log(void *cls, const char *fmt, va_list ap)
{
    (void)cls, (void)fmt, (void)ap; /* it complains of TCP_NODELAY on socket pairs */
}

static int load_tls(struct http_server *s, struct tls_ctx **out_ctx, char *out_why, size_t why_size)
{
    static const char *const alpn[] = {"http/1.1", NULL};
    struct tls_server_opts opts = {.cert_file = s->cert_file,
                                   .key_file = s->key_file,
                                   .alpn = alpn,
                                   .min = TLS_MIN_12,
                                   .tickets = 2};
    return tls_server_ctx(&opts, out_why, why_size, out_ctx);
}

static struct MHD_Daemon *start_mhd(struct http_server *s)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
        NULL, NULL, answer, s, MHD_OPTION_EXTERNAL_LOGGER, drop_log, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_LIMIT,
        s->opts.max_connections, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONN_MEMORY, MHD_OPTION_END);
}

int http_server_new(struct loop *lp,
                    const struct http_opts *opts,
                    char *out_why,
                    size_t why_size,
                    struct http_server **out_srv)
{
    struct http_server *s = mem_new(sizeof *s);
    s->lp = lp;
    s->opts = *opts;
    s->opts.max_connections = opts->max_connections ? opts->max_connections : CONNECTIONS;
    list_init(&s->fronts);
    s->mhd_watch = WATCH_INIT;
    for (size_t i = 0; i < opts->proxy_from_count && i < HTTP_PROXY_MAX; i++) {
        s->proxy_from[s->proxy_from_count++] = opts->proxy_from[i];
    }
    int rc = 0;
    if (opts->cert_file) {
        s->cert_file = mem_strdup(opts->cert_file);
        s->key_file = mem_strdup(opts->key_file);
        rc = load_tls(s, &s->tls, out_why, why_size);
    }
    if (!rc) {
        s->mhd = start_mhd(s);
        const union MHD_DaemonInfo *info =
            s->mhd ? MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
        rc = info ? watch_add(lp, &s->mhd_watch, info->epoll_fd, on_mhd_event, s) : -ENOMEM;
        if (rc < 0) {
            text_cut(out_why, why_size, "cannot start the HTTP library");
        }
    }
    if (rc < 0) {
        http_server_free(s);
        return err_trace(rc);
    }
    *out_srv = s;
    return 0;
}

int http_server_listen(struct http_server *s, int listen_fd)
{
    struct addr local;
    if (!s->tls && (!sock_local(listen_fd, &local) || !addr_is_loopback(&local))) {
        return err_origin(-EPERM); /* secrets in clear text never leave the machine */
    }
    return front_listen(s, listen_fd);
}

int http_server_reload_cert(struct http_server *s, char *out_why, size_t why_size)
{
    struct tls_ctx *fresh = NULL;
    if (!s->cert_file) {
        return 0;
    }
    int rc = load_tls(s, &fresh, out_why, why_size);
    if (rc < 0) {
        return err_trace(rc);
    }
    tls_ctx_unref(s->tls); /* running connections hold their own reference */
    s->tls = fresh;
    return 0;
}

void http_server_free(struct http_server *s)
{
    if (!s) {
        return;
    }
    s->stopping = true;
    deferred_cancel(&s->kick);
    LIST_FOREACH (l, &s->fronts) {
        struct front *f = LIST_ENTRY(l, struct front, link);
        f->gone = true;
        if (f->rq) {
            resume(f->rq); /* MHD must not be stopped with suspended connections */
        }
    }
    front_close_all(s);
    watch_del(&s->mhd_watch);
    timer_cancel(&s->mhd_timer);
    if (s->mhd) {
        MHD_run(s->mhd);
        MHD_stop_daemon(s->mhd);
    }
    for (int i = 0; i < 3 && !list_empty(&s->fronts); i++) {
        err_ignore(loop_turn(s->lp, 0)); /* the fronts' last callbacks */
    }
    tls_ctx_unref(s->tls);
    mem_free(s->by_fd);
    mem_free(s->cert_file);
    mem_free(s->key_file);
    mem_free(s);
}
