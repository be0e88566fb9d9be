#pragma once
/*
 * libmicrohttpd inside our loop behind an OpenSSL front (ARCHITECTURE section 5): the front
 * terminates TLS (HTTP/1.1 by ALPN), reads a PROXY v2 header from trusted peers, and hands the
 * plain side of a socketpair to MHD_add_connection with the true client address. Routes are a
 * table; bodies are read whole under the row's cap; slow handlers keep the request and answer
 * later; streams push lines over a suspended connection.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/macros.h"
#include "lib/base/slice.h"
#include "lib/io/loop.h"
#include "lib/io/sock.h"

struct http_server;
struct http_rq;     /* a request; lives until its reply has been sent or the peer left */
struct http_stream; /* an open NDJSON or SSE answer */

enum http_method { HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE };

typedef void (*http_handler_fn)(void *arg, struct http_rq *rq);

/* In the order of a row in a table of routes.
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct http_route {
    enum http_method method;
    const char
        *path; /* segments; "{name}" matches one segment: "/f/{id}/approve". HEAD follows GET */
    size_t body_max; /* 0: no body taken; over it: 413 */
    unsigned flags;  /* the server's own meaning (authentication, CSRF); see http_rq_route() */
    http_handler_fn fn;
};

struct http_opts {
    const char *cert_file, *key_file; /* both NULL: plain HTTP, only on loopback addresses */
    const struct http_route *routes;
    size_t route_count;
    http_handler_fn before; /* runs before the handler; may reply, then the handler is not called;
                               may be NULL */
    http_handler_fn
        not_found; /* unknown path or method; http_rq_allowed() names the methods of a known path */
    /* Sees every answer that has a body or none, on its way out (not streams); may be NULL. */
    void (*after)(
        void *arg, struct http_rq *rq, int status, const char *content_type, struct slice body);
    void (*error)(void *arg,
                  struct http_rq *rq,
                  int status,
                  const char *why); /* 400/413/431 raised by the library itself; must reply */
    void *arg;
    const struct addr *proxy_from; /* peers whose PROXY v2 header is read; IPs only */
    size_t proxy_from_count;
    unsigned max_connections; /* 0: 4,096 */
};

int http_server_new(struct loop *lp,
                    const struct http_opts *opts,
                    char *out_why,
                    size_t why_size,
                    struct http_server **out_srv) MUST_CHECK;
int http_server_listen(struct http_server *s, int listen_fd) MUST_CHECK; /* takes fd; any number */
int http_server_reload_cert(struct http_server *s,
                            char *out_why,
                            size_t why_size) MUST_CHECK; /* a bad pair changes nothing */
void http_server_free(struct http_server *s);            /* ends every stream and connection */

/* Reading. All slices live as long as the request. */
const struct http_route *http_rq_route(const struct http_rq *rq);
enum http_method http_rq_method(const struct http_rq *rq);
bool http_rq_is_head(const struct http_rq *rq);
struct slice http_rq_path(const struct http_rq *rq);
struct slice http_rq_param(const struct http_rq *rq,
                           const char *name); /* path parameter, unescaped */
struct slice http_rq_query(const struct http_rq *rq, const char *name);
/* Every parameter in its order, repeated ones too. */
typedef void (*http_query_fn)(void *arg, struct slice name, struct slice value);
void http_rq_query_each(const struct http_rq *rq, http_query_fn fn, void *arg);
struct slice http_rq_header(const struct http_rq *rq, const char *name); /* "" when absent */
struct slice http_rq_cookie(const struct http_rq *rq, const char *name);
struct slice http_rq_body(const struct http_rq *rq);
/* application/x-www-form-urlencoded field of the body; "" when absent. */
struct slice http_rq_form(struct http_rq *rq, const char *name);
const struct addr *http_rq_peer(const struct http_rq *rq);
const char *http_rq_id(const struct http_rq *rq); /* 16 characters, for logs and error bodies */
const char *http_rq_allowed(const struct http_rq *rq);
void *http_rq_user(const struct http_rq *rq); /* what `before` set: the identity */
void http_rq_set_user(struct http_rq *rq, void *user, void (*free_fn)(void *));
void http_rq_drop_user(struct http_rq *rq); /* a stream goes on without it */
/* Called when the peer leaves before a reply; the request is gone after it. */
void http_rq_on_abort(struct http_rq *rq, loop_fn fn, void *arg);

/* Answering: exactly once, now or later. Headers first. */
void http_rq_add_header(struct http_rq *rq, const char *name, const char *value);
void http_rq_reply(struct http_rq *rq,
                   int status,
                   const char *content_type,
                   struct slice body);                           /* body copied */
void http_rq_redirect(struct http_rq *rq, const char *location); /* 303 */

/* Streams: chunked, on a suspended connection. on_close comes once when the peer leaves or after
 * http_stream_end. */
struct http_stream *
http_rq_stream(struct http_rq *rq, const char *content_type, loop_fn on_close, void *arg);
int http_stream_push(struct http_stream *s, struct slice data)
    MUST_CHECK; /* 0, or BUF_FULL (1 MiB queued): end it, the client comes back for full state */
void http_stream_limit(struct http_stream *s, size_t max); /* instead of 1 MiB */
void http_stream_end(struct http_stream *s);
