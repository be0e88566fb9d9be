#pragma once
/* Between front.c (sockets and TLS) and http.c (requests). */
#include <microhttpd.h>

#include "lib/base/list.h"
#include "lib/http/http.h"
#include "lib/io/stream.h"

#define HTTP_PROXY_MAX  8
#define HTTP_LISTEN_MAX 8

struct front;

struct listener {
    struct watch watch;
    struct http_server *srv;
    bool paused;
    struct timer retry;
};

struct http_server {
    struct loop *lp;
    struct http_opts opts;
    struct addr proxy_from[HTTP_PROXY_MAX];
    size_t proxy_from_count;
    char *cert_file, *key_file;
    struct tls_ctx *tls;
    struct MHD_Daemon *mhd;
    struct watch mhd_watch;
    struct timer mhd_timer;
    struct deferred kick;
    struct listener listeners[HTTP_LISTEN_MAX];
    size_t listener_count;
    struct list fronts;
    struct front **by_fd; /* MHD's end of the pair -> front */
    size_t by_fd_size;
    unsigned front_count;
    bool stopping;
};

/* One client connection. */
struct front {
    struct list link;
    struct http_server *srv;
    struct addr peer;
    struct watch sniff; /* while a PROXY header is awaited */
    struct timer deadline;
    int fd;               /* while sniffing */
    struct stream *outer; /* the client */
    struct stream *inner; /* our end of the pair */
    int mhd_fd;           /* MHD's end; -1 before and after */
    struct http_rq *rq;   /* the request that runs on it */
    bool gone;            /* the client has left */
    struct retire retire;
};

int front_listen(struct http_server *s, int fd);
void front_close_all(struct http_server *s);
void front_rq_done(struct front *f); /* its request has been freed */
/* Called by front.c when the client left. */
void http_client_gone(struct http_rq *rq);
void http_mhd_kick(struct http_server *s);
