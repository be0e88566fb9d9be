#pragma once
/*
 * libcurl on our loop: requests with a whole answer, and NDJSON streams. HTTPS only, except towards
 * loopback. Redirects are not followed. Secrets go in headers, never in URLs.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/macros.h"
#include "lib/base/slice.h"
#include "lib/io/loop.h"

struct fetcher;
struct fetch;

struct fetcher *fetcher_new(struct loop *lp,
                            const char *ca_file,
                            const char *user_agent); /* ca_file NULL: system */
void fetcher_free(struct fetcher *f);                /* cancels what runs */

/* May we connect there? Asked with the address itself, after the name was resolved. */
struct sockaddr;
typedef bool (*fetch_peer_fn)(void *arg, const struct sockaddr *peer);

struct fetch_opts {
    const char *method; /* NULL: GET, or POST with a body */
    const char *url;
    const char *const *headers; /* NULL-terminated "Name: value" */
    struct slice bearer;        /* Authorization: Bearer; wiped after the request */
    struct slice body;          /* copied; Content-Type: application/json unless in headers */
    int64_t timeout_ns;         /* whole request; 0: 30 s. Streams: time without a byte; 0: 60 s */
    size_t max;                 /* longest answer or line; 0: 1 MiB */
    fetch_peer_fn peer_ok;      /* NULL: any. A refusal ends with -EACCES */
    void *peer_arg;
};

struct fetch_result {
    int err; /* 0, or -errno class: -ETIMEDOUT, -ECONNREFUSED, -EPROTO, -EMSGSIZE, -ENOENT (name) */
    const char *why; /* words */
    long status;     /* HTTP status, 0 when there was none */
    struct slice body;
    const char *etag; /* "" when none */
};

typedef void (*fetch_done_fn)(void *arg, const struct fetch_result *r);
typedef void (*fetch_line_fn)(void *arg,
                              struct slice line); /* one NDJSON line without its LF; empty lines
                                                     (keep-alives) are not delivered */
typedef void (*fetch_open_fn)(void *arg);         /* the stream answered 200 */

struct fetch *
fetch_start(struct fetcher *f, const struct fetch_opts *opts, fetch_done_fn done, void *arg);
/* done comes when the stream ends; body then holds the answer of a status other than 200. */
struct fetch *fetch_stream(struct fetcher *f,
                           const struct fetch_opts *opts,
                           fetch_open_fn open,
                           fetch_line_fn line,
                           fetch_done_fn done,
                           void *arg);
void fetch_cancel(struct fetch *x); /* no callback comes after; takes NULL */
