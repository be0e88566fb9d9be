/* The reverse proxy. Request and response run side by side: a backend may answer before it has read
 * the whole body. */
#include "agent/proxy.h"

#include <errno.h>
#include <stdio.h>

#include "agent/http_head.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/io/stream.h"

enum {
    PIECE = 16 * 1024,
    RESPONSE_IN = HEAD_MAX + PIECE,
    FOLDED_SIZE = 32, /* longer than any name that is ours */
};

static const int64_t connect_wait = SECONDS(10);

enum request_state { RQ_HEAD, RQ_BODY, RQ_DONE };

enum response_state { RS_NONE, RS_HEAD, RS_BODY, RS_DONE };

struct backend; /* one connection to the backend: outlives a proxy that leaves early */

struct proxy {
    struct loop *lp;
    struct proxy_opts opts;
    char name[TEXT_NAME_SIZE];
    const struct proxy_ops *ops;
    void *arg;
    enum request_state request;
    enum response_state response;
    char method[32];
    int minor;
    bool keep_alive, eof, finished, rechunk;
    enum body_kind in_kind, out_kind;
    uint64_t in_left, out_left;
    struct chunked in_chunks, out_chunks;
    struct backend *backend;
};

struct backend {
    struct proxy *p; /* NULL when nobody waits any more */
    struct stream *stream;
    struct loop *lp;
    struct buf head; /* until the connection is open */
    bool open;
    struct retire retire;
};

/* ---- ends ---- */

static void drop_backend(struct proxy *p)
{
    struct backend *b = p->backend;
    if (b) {
        p->backend = NULL;
        b->p = NULL;
        stream_close(b->stream, 0);
    }
}

static void finish(struct proxy *p)
{
    if (!p->finished) {
        p->finished = true;
        drop_backend(p);
        p->ops->finish(p->arg);
    }
}

static void cut_off(struct proxy *p)
{
    if (!p->finished) {
        p->finished = true;
        drop_backend(p);
        p->ops->abort(p->arg);
    }
}

static void answer(struct proxy *p, int status, const char *reason, const char *text)
{
    struct buf body = BUF_MAX(4096), out = BUF_MAX(8192);
    buf_addf(
        &body,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">"
        "<title>%d %s</title><body style=\"font:16px/1.5 system-ui,sans-serif;margin:3rem auto;max-width:36rem;"
        "padding:0 1rem\"><h1>%d %s</h1><p>%s</p>\n",
        status, reason, status, reason, text);
    buf_addf(&out,
             "HTTP/1.1 %d %s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %zu\r\n"
             "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
             status, reason, body.len);
    if (strcmp(p->method, "HEAD") != 0) {
        buf_add(&out, buf_slice(&body));
    }
    err_ignore(
        p->ops->send(p->arg, buf_slice(&out))); /* a visitor who does not read gets the end only */
    buf_deinit(&body);
    buf_deinit(&out);
    p->response = RS_DONE;
    finish(p);
}

static void refuse(struct proxy *p, int status)
{
    const char *reason = status == 400   ? "Bad Request"
                         : status == 421 ? "Misdirected Request"
                         : status == 431 ? "Request Header Fields Too Large"
                         : status == 501 ? "Not Implemented"
                                         : "HTTP Version Not Supported";
    answer(p, status, reason,
           status == 421 ? "This name is not served here."
                         : "The request could not be understood.");
}

/* The whole internet may read this: where the service runs is not said. */
static void bad_gateway(struct proxy *p)
{
    answer(p, 502, "Bad Gateway",
           "The service behind this name does not answer. If it is yours: is it running? "
           "<code>funnel status</code> says where it is expected.");
}

/* ---- composing heads ---- */

/* CGI and WSGI read "_" and "-" as one: X_Forwarded_For would arrive under the name of ours. */
static void fold_name(struct slice name, char out[FOLDED_SIZE])
{
    size_t n = name.n < FOLDED_SIZE - 1 ? name.n : FOLDED_SIZE - 1;
    for (size_t i = 0; i < n; i++) {
        out[i] = (char)(name.p[i] == '_' ? '-' : name.p[i]);
    }
    out[n] = '\0';
}

/* What backends take a visitor's address, name or scheme from: only we say that. */
static bool is_ours(struct slice name)
{
    static const char *const names[] = {"forwarded",
                                        "x-real-ip",
                                        "x-client-ip",
                                        "x-cluster-client-ip",
                                        "x-original-forwarded-for",
                                        "true-client-ip",
                                        "cf-connecting-ip",
                                        "cf-connecting-ipv6",
                                        "fastly-client-ip",
                                        "expect"};
    /* "x-webauth-", "tailscale-": identity headers of the field; a visitor from outside has none.
     */
    static const char *const begins[] = {"x-forwarded-", "tailscale-", "x-webauth-"};
    char folded[FOLDED_SIZE];
    fold_name(name, folded);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq_nocase(slice_str(folded), slice_str(names[i]))) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
        if (slice_starts_nocase(slice_str(folded), slice_str(begins[i]))) {
            return true;
        }
    }
    return false;
}

static void put_fields(struct buf *out, const struct http_head *h, bool request)
{
    for (size_t i = 0; i < h->field_count; i++) {
        const struct head_field *f = &h->fields[i];
        if (http_head_is_hop(h, f->name) ||
            (request && (is_ours(f->name) || slice_eq_nocase(f->name, S("host"))))) {
            continue;
        }
        buf_addf(out, SLICE_FMT ": " SLICE_FMT "\r\n", SLICE_ARG(f->name), SLICE_ARG(f->value));
    }
}

static void put_request(struct proxy *p, const struct http_head *h, struct buf *out)
{
    char ip[ADDR_TEXT_SIZE];
    addr_format_ip(&p->opts.visitor, ip);
    buf_addf(out, SLICE_FMT " " SLICE_FMT " HTTP/1.%d\r\nHost: " SLICE_FMT "\r\n",
             SLICE_ARG(h->method), SLICE_ARG(h->target), h->minor, SLICE_ARG(h->host));
    put_fields(out, h, true);
    buf_addf(out,
             "X-Forwarded-For: %s\r\nX-Forwarded-Host: " SLICE_FMT
             "\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n",
             ip, SLICE_ARG(h->host));
}

static void put_response(struct proxy *p, const struct http_head *h, struct buf *out)
{
    buf_addf(out, "HTTP/1.1 %d " SLICE_FMT "\r\n", h->status, SLICE_ARG(h->reason));
    put_fields(out, h, false);
    if (h->status >= 200) {
        p->rechunk = h->body == BODY_UNTIL_CLOSE && p->minor == 1;
        p->keep_alive = p->keep_alive && (h->body != BODY_UNTIL_CLOSE || p->rechunk);
        buf_adds(out, p->rechunk ? "Transfer-Encoding: chunked\r\n" : "");
        buf_adds(out, p->keep_alive ? "" : "Connection: close\r\n");
    }
    buf_adds(out, "\r\n");
}

/* ---- the response ---- */

static void next_request(struct proxy *p)
{
    drop_backend(p);
    if (!p->keep_alive || p->request != RQ_DONE || p->eof) {
        finish(p);
        return;
    }
    p->request = RQ_HEAD;
    p->response = RS_NONE;
    p->ops->want(p->arg);
}

static void response_done(struct proxy *p)
{
    if (p->rechunk && p->ops->send(p->arg, S("0\r\n\r\n"))) {
        cut_off(p);
        return;
    }
    p->response = RS_DONE;
    next_request(p);
}

static size_t take_response_head(struct proxy *p, struct slice data)
{
    struct http_head *h = mem_new(sizeof *h);
    struct buf out = BUF_MAX(2 * HEAD_MAX);
    size_t len = 0;
    int rc = http_head_response(data, slice_str(p->method), h, &len);
    if (rc == 0 && h->status != 101) {
        put_response(p, h, &out);
        if (!buf_ok(&out) || p->ops->send(p->arg, buf_slice(&out))) {
            len = 0; /* no room: again after the drain */
            stream_pause(p->backend->stream, true);
        } else if (h->status >= 200) {
            p->response = RS_BODY;
            p->out_kind = h->body;
            p->out_left = h->length;
            p->out_chunks = (struct chunked){.state = 0};
        }
    } else if (rc != HEAD_MORE) {
        bad_gateway(p);
    }
    if (p->response == RS_BODY && p->out_kind == BODY_NONE) {
        response_done(p);
    }
    buf_deinit(&out);
    mem_free(h);
    return len;
}

static int send_piece(struct proxy *p, struct slice piece)
{
    if (!p->rechunk) {
        return p->ops->send(p->arg, piece);
    }
    struct buf out = BUF_MAX(PIECE + 64);
    buf_addf(&out, "%zx\r\n", piece.n);
    buf_add(&out, piece);
    buf_adds(&out, "\r\n");
    int rc = p->ops->send(p->arg, buf_slice(&out));
    buf_deinit(&out);
    return rc;
}

static size_t take_response_body(struct proxy *p, struct slice data)
{
    struct slice piece = slice_sub(data, 0, PIECE);
    bool done = false, bad = false;
    if (p->ops->full(p->arg)) {
        stream_pause(p->backend->stream, true);
        return 0;
    }
    if (p->out_kind == BODY_LENGTH) {
        piece = slice_sub(piece, 0, p->out_left < piece.n ? (size_t)p->out_left : piece.n);
        p->out_left -= piece.n;
        done = p->out_left == 0;
    } else if (p->out_kind == BODY_CHUNKED) {
        piece = slice_sub(piece, 0, chunked_feed(&p->out_chunks, piece, &done, &bad));
    }
    if (bad || send_piece(p, piece)) {
        cut_off(p);
        return data.n;
    }
    if (done) {
        response_done(p);
    }
    return piece.n;
}

static size_t backend_data(void *arg, struct slice data)
{
    struct backend *b = arg;
    size_t used = 0;
    while (used < data.n && b->p && !b->p->finished && b->p->backend == b) {
        struct slice rest = slice_skip(data, used);
        size_t n = b->p->response == RS_HEAD ? take_response_head(b->p, rest)
                                             : take_response_body(b->p, rest);
        if (!n) {
            return used;
        }
        used += n;
    }
    return b->p && b->p->backend == b ? used : data.n;
}

static void backend_ended(struct proxy *p)
{
    if (p->response == RS_HEAD) {
        bad_gateway(p);
    } else if (p->response == RS_BODY && p->out_kind == BODY_UNTIL_CLOSE) {
        response_done(p);
    } else if (p->response == RS_BODY) {
        cut_off(p);
    }
}

static void backend_eof(void *arg)
{
    struct backend *b = arg;
    if (b->p) {
        backend_ended(b->p);
    }
}

static void free_backend(void *arg)
{
    struct backend *b = arg;
    buf_deinit(&b->head);
    mem_free(b);
}

static void backend_close(void *arg, int why)
{
    struct backend *b = arg;
    struct proxy *p = b->p;
    (void)why;
    loop_retire(b->lp, &b->retire, free_backend, b);
    if (p) {
        p->backend = NULL;
        b->p = NULL;
        backend_ended(p);
    }
}

static void backend_open(void *arg)
{
    struct backend *b = arg;
    b->open = true;
    if (stream_write(b->stream, buf_slice(&b->head))) {
        stream_close(b->stream, -EIO);
        return;
    }
    if (b->p) {
        b->p->ops->want(b->p->arg);
    }
}

static void backend_drain(void *arg)
{
    struct backend *b = arg;
    if (b->p) {
        b->p->ops->want(b->p->arg);
    }
}

static const struct stream_ops backend_ops = {.on_open = backend_open,
                                              .on_data = backend_data,
                                              .on_drain = backend_drain,
                                              .on_eof = backend_eof,
                                              .on_close = backend_close};

/* ---- the request ---- */

static bool dial(struct proxy *p, struct buf *head)
{
    int fd = sock_connect(&p->opts.backend);
    if (fd < 0) {
        return false;
    }
    struct backend *b = mem_new(sizeof *b);
    *b = (struct backend){.p = p, .lp = p->lp};
    buf_init(&b->head, head->max);
    buf_add(&b->head, buf_slice(head));
    struct stream_opts o = {.in_max = RESPONSE_IN, .open_timeout_ns = connect_wait};
    p->backend = b;
    b->stream = stream_new(p->lp, fd, NULL, &backend_ops, &o, b);
    return true;
}

/* Host says the node's name, with or without a port. */
static bool is_for_us(const struct proxy *p, struct slice host)
{
    char name[TEXT_NAME_SIZE];
    ptrdiff_t colon = slice_rfind(host, ':');
    struct slice bare = colon < 0 ? host : slice_of(host.p, (size_t)colon);
    return text_name(bare, TEXT_NAME_HOST, name) && strcmp(name, p->name) == 0;
}

static void begin_request(struct proxy *p, const struct http_head *h)
{
    struct buf out = BUF_MAX(2 * HEAD_MAX);
    p->minor = h->minor;
    p->keep_alive = h->keep_alive;
    p->rechunk = false;
    p->in_kind = h->body;
    p->in_left = h->length;
    p->in_chunks = (struct chunked){.state = 0};
    p->request = h->body == BODY_NONE ? RQ_DONE : RQ_BODY;
    p->response = RS_HEAD;
    put_request(p, h, &out);
    if (h->expect_continue && p->request == RQ_BODY) {
        err_ignore(p->ops->send(p->arg, S("HTTP/1.1 100 Continue\r\n\r\n"))); /* a hint only */
    }
    if (!buf_ok(&out) || !dial(p, &out)) {
        bad_gateway(p);
    }
    buf_deinit(&out);
}

static size_t take_request_head(struct proxy *p, struct slice data)
{
    struct http_head *h = mem_new(sizeof *h);
    size_t len = 0;
    int rc = http_head_request(data, h, &len);
    if (rc == HEAD_MORE) {
        len = 0;
        if (p->eof) {
            finish(p);
        }
    } else {
        if (!slice_copy(h->method, p->method, sizeof p->method)) {
            p->method[0] = '\0';
        }
        if (!rc && !is_for_us(p, h->host)) {
            rc = 421;
        }
        if (rc) {
            refuse(p, rc);
        } else {
            begin_request(p, h);
        }
    }
    mem_free(h);
    return len;
}

static size_t take_request_body(struct proxy *p, struct slice data)
{
    struct slice piece = slice_sub(data, 0, PIECE);
    bool done = false, bad = false;
    if (!p->backend || !p->backend->open || !stream_has_room(p->backend->stream, PIECE)) {
        return 0;
    }
    if (p->in_kind == BODY_LENGTH) {
        piece = slice_sub(piece, 0, p->in_left < piece.n ? (size_t)p->in_left : piece.n);
        p->in_left -= piece.n;
        done = p->in_left == 0;
    } else {
        piece = slice_sub(piece, 0, chunked_feed(&p->in_chunks, piece, &done, &bad));
    }
    if (bad) {
        refuse(p, 400);
        return piece.n;
    }
    if (stream_write(p->backend->stream, piece)) {
        bad_gateway(p);
        return piece.n;
    }
    if (done) {
        p->request = RQ_DONE;
    }
    return piece.n;
}

size_t proxy_input(struct proxy *p, struct slice plain)
{
    size_t used = 0;
    while (used < plain.n && !p->finished) {
        struct slice rest = slice_skip(plain, used);
        size_t n = p->request == RQ_HEAD   ? take_request_head(p, rest)
                   : p->request == RQ_BODY ? take_request_body(p, rest)
                                           : 0;
        if (!n) {
            break;
        }
        used += n;
    }
    return p->finished ? plain.n : used;
}

void proxy_eof(struct proxy *p)
{
    p->eof = true;
    if (p->request == RQ_HEAD) {
        finish(p);
    } else if (p->request == RQ_BODY) {
        cut_off(p); /* the body will never be whole */
    }
}

void proxy_drained(struct proxy *p)
{
    if (p->backend) {
        stream_pause(p->backend->stream, false);
    }
}

struct proxy *
proxy_new(struct loop *lp, const struct proxy_opts *opts, const struct proxy_ops *ops, void *arg)
{
    struct proxy *p = mem_new(sizeof *p);
    *p = (struct proxy){.lp = lp, .opts = *opts, .ops = ops, .arg = arg};
    text_fit(p->name, sizeof p->name, "%s", opts->name);
    return p;
}

void proxy_free(struct proxy *p)
{
    if (p) {
        drop_backend(p);
        mem_free(p);
    }
}
