/*
 * curl's multi interface on our loop. Curl wants level-triggered sockets and
 * re-arms by callback; ours are edge-triggered and always armed, so a socket
 * that curl still wants is offered again with loop_again() as long as poll(2)
 * says that it is ready.
 */
#include "lib/fetch/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"

enum { BODY_MAX = 1024 * 1024, CONNECT_S = 10 };

static const int64_t default_timeout = SECONDS(30), default_silence = SECONDS(60);

struct fetcher {
    struct loop *lp;
    CURLM *multi;
    struct timer timer;
    struct list fetches;
    struct list sockets;
    char *ca_file, *user_agent;
};

/* One descriptor that curl told us to watch. */
struct sock_watch {
    struct list link;
    struct fetcher *f;
    struct watch watch;
    struct retire retire;
    int want; /* CURL_POLL_IN | CURL_POLL_OUT */
};

struct fetch {
    struct list link;
    struct fetcher *f;
    CURL *easy;
    struct curl_slist *headers;
    struct buf body; /* the request's */
    struct buf in;   /* answer, or the unfinished line */
    struct timer silence;
    int64_t silence_ns;
    bool streaming, opened, too_long, cancelled, in_callback;
    long status;
    char etag[128];
    char why[CURL_ERROR_SIZE];
    fetch_open_fn open;
    fetch_line_fn line;
    fetch_done_fn done;
    void *arg;
    struct deferred late;
    struct retire retire;
    fetch_peer_fn peer_ok;
    void *peer_arg;
    bool peer_refused;
};

static void check_done(struct fetcher *f);

/* ---- sockets and timers ---- */

static void act(struct fetcher *f, curl_socket_t fd, int what)
{
    int running;
    curl_multi_socket_action(f->multi, fd, what, &running);
    check_done(f);
}

static void on_socket(void *arg, uint32_t events)
{
    struct sock_watch *w = arg;
    int what = 0;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) {
        what |= CURL_CSELECT_IN;
    }
    if (events & EPOLLOUT) {
        what |= CURL_CSELECT_OUT;
    }
    if (events & EPOLLERR) {
        what |= CURL_CSELECT_ERR;
    }
    what &= w->want | CURL_CSELECT_ERR; /* CURL_POLL_* and CURL_CSELECT_* share their bits */
    struct fetcher *f = w->f;
    int fd = w->watch.fd;
    if (what) {
        act(f, fd, what);
    }
    if (w->watch.fd != fd || !w->watch.loop) {
        return; /* curl has let go of it */
    }
    struct pollfd p = {.fd = fd,
                       .events = (short)((w->want & CURL_POLL_IN ? POLLIN : 0) |
                                         (w->want & CURL_POLL_OUT ? POLLOUT : 0))};
    if (p.events && poll(&p, 1, 0) > 0) {
        loop_again(&w->watch, (p.revents & POLLIN ? EPOLLIN : 0u) |
                                  (p.revents & POLLOUT ? EPOLLOUT : 0u) |
                                  (p.revents & (POLLERR | POLLHUP) ? EPOLLERR | EPOLLIN : 0u));
    }
}

static void free_sock(void *arg)
{
    mem_free(arg);
}

static void forget_sock(struct sock_watch *w)
{
    watch_del(&w->watch);
    list_unlink(&w->link);
    loop_retire(w->f->lp, &w->retire, free_sock, w);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock_arg)
{
    (void)easy;
    struct fetcher *f = arg;
    struct sock_watch *w = sock_arg;
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            curl_multi_assign(f->multi, fd, NULL);
            forget_sock(w);
        }
        return 0;
    }
    if (!w) {
        w = mem_new(sizeof *w);
        w->f = f;
        list_push_back(&f->sockets, &w->link);
        if (watch_add(f->lp, &w->watch, fd, on_socket, w) < 0) {
            abort(); /* a descriptor that epoll refuses is none of curl's */
        }
        curl_multi_assign(f->multi, fd, w);
    }
    w->want = what;
    loop_again(&w->watch, EPOLLIN | EPOLLOUT); /* it may be ready already: no edge would come */
    return 0;
}

static void on_timer(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    struct fetcher *f = arg;
    if (ms < 0) {
        timer_cancel(&f->timer);
    } else {
        timer_set(f->lp, &f->timer, mono_after(mono_now(), MS(ms)), on_timer, f);
    }
    return 0;
}

/* ---- answers ---- */

static int err_class(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_RESOLVE_HOST:
        return -ENOENT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_WRITE_ERROR:
        return -EMSGSIZE;
    default: /* foreign enum */
        return -EPROTO;
    }
}

static void release(void *arg)
{
    struct fetch *x = arg;
    curl_easy_cleanup(x->easy);
    curl_slist_free_all(x->headers);
    secret_wipe_buf(&x->body);
    buf_deinit(&x->in);
    mem_free(x);
}

static void end(struct fetch *x)
{
    timer_cancel(&x->silence);
    deferred_cancel(&x->late);
    list_unlink(&x->link);
    curl_multi_remove_handle(x->f->multi, x->easy);
    loop_retire(x->f->lp, &x->retire, release, x);
}

static void finish(struct fetch *x, int err, const char *why)
{
    struct fetch_result r = {
        .err = err, .why = why, .status = x->status, .body = buf_slice(&x->in), .etag = x->etag};
    fetch_done_fn done = x->done;
    void *arg = x->arg;
    end(x);
    done(arg, &r);
}

static void check_done(struct fetcher *f)
{
    int left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(f->multi, &left))) {
        struct fetch *x = NULL;
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE) {
            continue;
        }
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x);
        curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &x->status);
        if (x->cancelled) {
            end(x);
            continue;
        }
        const char *why = x->too_long ? "the answer is longer than allowed"
                          : *x->why   ? x->why
                                      : curl_easy_strerror(code);
        if (x->peer_refused && code != CURLE_OK) {
            finish(x, -EACCES, "the address is not allowed");
        } else {
            finish(x, err_class(code), code == CURLE_OK ? "" : why);
        }
    }
}

static void on_silence(void *arg)
{
    struct fetch *x = arg;
    finish(x, -ETIMEDOUT, "nothing was heard for too long");
}

static void heard(struct fetch *x)
{
    if (x->streaming) {
        timer_set_in(x->f->lp, &x->silence, x->silence_ns, on_silence, x);
    }
}

/* Whole lines to the owner; what is left waits. */
static void deliver_lines(struct fetch *x)
{
    ptrdiff_t at;
    while (!x->cancelled && (at = slice_find(buf_slice(&x->in), '\n')) >= 0) {
        struct slice line = slice_of(buf_slice(&x->in).p, (size_t)at);
        if (line.n && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        if (line.n) {
            x->line(x->arg, line);
        }
        buf_consume(&x->in, (size_t)at + 1);
    }
}

static size_t on_write(char *data, size_t size, size_t n, void *arg)
{
    struct fetch *x = arg;
    struct slice s = slice_of(data, size * n);
    heard(x);
    if (x->cancelled) {
        return 0;
    }
    if (!x->status) {
        curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &x->status);
    }
    if (buf_push(&x->in, s)) {
        x->too_long = true;
        return 0;
    }
    if (x->streaming && x->status == 200) {
        x->in_callback = true;
        if (!x->opened) {
            x->opened = true;
            x->open(x->arg);
        }
        deliver_lines(x);
        x->in_callback = false;
    }
    return x->cancelled ? 0 : s.n;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    struct fetch *x = arg;
    struct slice s = slice_of(data, size * n);
    heard(x);
    if (slice_starts_nocase(s, S("etag:"))) {
        slice_copy(slice_trim(slice_skip(s, 5)), x->etag, sizeof x->etag);
    }
    return s.n;
}

/* ---- requests ---- */

/* curl's place to look at an address before anything is sent there. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct fetch *x = arg;
    if (purpose == CURLSOCKTYPE_IPCXN && !x->peer_ok(x->peer_arg, &a->addr)) {
        x->peer_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static void add_header(struct fetch *x, const char *line)
{
    struct curl_slist *more = curl_slist_append(x->headers, line);
    if (!more) {
        abort();
    }
    x->headers = more;
}

static bool has_header(const struct fetch_opts *o, const char *name)
{
    for (size_t i = 0; o->headers && o->headers[i]; i++) {
        if (slice_starts_nocase(slice_str(o->headers[i]), slice_str(name))) {
            return true;
        }
    }
    return false;
}

static void set_headers(struct fetch *x, const struct fetch_opts *o)
{
    for (size_t i = 0; o->headers && o->headers[i]; i++) {
        add_header(x, o->headers[i]);
    }
    if (o->body.n && !has_header(o, "content-type:")) {
        add_header(x, "Content-Type: application/json");
    }
    add_header(x, "Expect:"); /* no 100-continue round trip */
    if (o->bearer.n) {
        struct buf line = BUF_MAX(4096);
        buf_addf(&line, "Authorization: Bearer " SLICE_FMT, SLICE_ARG(o->bearer));
        add_header(x, buf_cstr(&line));
        secret_wipe_buf(&line);
    }
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
}

static bool loopback_url(const char *url)
{
    struct slice s = slice_str(url);
    return slice_starts(s, S("http://127.")) || slice_starts(s, S("http://[::1]")) ||
           slice_starts(s, S("http://localhost:"));
}

static void set_options(struct fetch *x, const struct fetch_opts *o)
{
    CURL *e = x->easy;
    struct fetcher *f = x->f;
    curl_easy_setopt(e, CURLOPT_URL, o->url);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, loopback_url(o->url) ? "http,https" : "https");
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_PRIVATE, x);
    if (o->peer_ok) {
        x->peer_ok = o->peer_ok;
        x->peer_arg = o->peer_arg;
        curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, x);
        curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L); /* an open connection was not asked about */
    }
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, x->why);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(e, CURLOPT_USERAGENT, f->user_agent);
    if (f->ca_file) {
        curl_easy_setopt(e, CURLOPT_CAINFO, f->ca_file);
        curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    }
    if (!x->streaming) {
        int64_t ns = o->timeout_ns ? o->timeout_ns : default_timeout;
        curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(ns / MS(1)));
    }
    if (o->body.n || (o->method && strcmp(o->method, "POST") == 0)) {
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)x->body.len);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, buf_cstr(&x->body));
    }
    if (o->method) {
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, o->method);
    }
    set_headers(x, o);
}

/* Inside one of curl's own callbacks nothing may be added: then it is done right after. */
static void add_late(void *arg)
{
    struct fetch *x = arg;
    if (curl_multi_add_handle(x->f->multi, x->easy) != CURLM_OK) {
        finish(x, -EPROTO, "the request could not be started");
    }
}

static struct fetch *start(struct fetcher *f, const struct fetch_opts *o, struct fetch init)
{
    struct fetch *x = mem_new(sizeof *x);
    *x = init;
    x->f = f;
    x->easy = curl_easy_init();
    if (!x->easy) {
        abort();
    }
    x->silence_ns = o->timeout_ns ? o->timeout_ns : default_silence;
    buf_init(&x->in, o->max ? o->max : BODY_MAX);
    buf_init(&x->body, o->body.n + 1);
    buf_add(&x->body, o->body);
    list_push_back(&f->fetches, &x->link);
    set_options(x, o);
    heard(x);
    if (curl_multi_add_handle(f->multi, x->easy) != CURLM_OK) {
        loop_defer(f->lp, &x->late, add_late, x);
    }
    return x;
}

struct fetch *
fetch_start(struct fetcher *f, const struct fetch_opts *opts, fetch_done_fn done, void *arg)
{
    return start(f, opts, (struct fetch){.done = done, .arg = arg});
}

struct fetch *fetch_stream(struct fetcher *f,
                           const struct fetch_opts *opts,
                           fetch_open_fn open,
                           fetch_line_fn line,
                           fetch_done_fn done,
                           void *arg)
{
    return start(
        f, opts,
        (struct fetch){.streaming = true, .open = open, .line = line, .done = done, .arg = arg});
}

static void end_later(void *arg)
{
    end(arg);
}

void fetch_cancel(struct fetch *x)
{
    if (!x || x->cancelled) {
        return;
    }
    x->cancelled = true;
    timer_cancel(&x->silence);
    if (x->in_callback) {
        loop_defer(x->f->lp, &x->late, end_later,
                   x); /* curl may not lose a handle inside its callback */
    } else {
        end(x);
    }
}

struct fetcher *fetcher_new(struct loop *lp, const char *ca_file, const char *user_agent)
{
    static bool ready;
    if (!ready) {
        if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
            abort();
        }
        ready = true;
    }
    struct fetcher *f = mem_new(sizeof *f);
    f->lp = lp;
    f->ca_file = ca_file ? mem_strdup(ca_file) : NULL;
    f->user_agent = mem_strdup(user_agent);
    list_init(&f->fetches);
    list_init(&f->sockets);
    f->multi = curl_multi_init();
    if (!f->multi) {
        abort();
    }
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
    return f;
}

void fetcher_free(struct fetcher *f)
{
    if (!f) {
        return;
    }
    LIST_FOREACH (l, &f->fetches) {
        fetch_cancel(LIST_ENTRY(l, struct fetch, link));
    }
    err_ignore(loop_turn(f->lp, 0)); /* releases what was cancelled while curl still lives */
    curl_multi_cleanup(f->multi);
    LIST_FOREACH (l, &f->sockets) {
        forget_sock(LIST_ENTRY(l, struct sock_watch, link));
    }
    timer_cancel(&f->timer);
    mem_free(f->ca_file);
    mem_free(f->user_agent);
    mem_free(f);
}
