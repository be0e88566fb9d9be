#pragma once
/*
 * A buffered byte stream on a socket, with or without TLS on top: the control
 * side of everything (sessions, IPC, the HTTP front). The relay's data path
 * has its own pump. Callbacks run on the loop; on_close is the last one and
 * comes exactly once, also after stream_close(); the stream is freed after
 * that turn, so the owner drops its pointer in on_close.
 */
#include <stdbool.h>

#include "lib/base/macros.h"
#include "lib/base/slice.h"
#include "lib/io/loop.h"
#include "lib/io/sock.h"
#include "lib/io/tls.h"

struct stream;

struct stream_ops {
    void (*on_open)(void *arg); /* connected, handshake done; may be NULL */
    size_t (*on_data)(void *arg,
                      struct slice data); /* returns what it took; the rest comes again with more */
    void (*on_drain)(
        void *arg); /* output fell below low_water after stream_write said BUF_FULL; may be NULL */
    void (*on_eof)(void *arg); /* peer sent FIN or close_notify; NULL: the stream closes itself */
    void (*on_close)(void *arg, int why); /* 0 after a clean end, else -errno */
};

struct stream_opts {
    struct slice early;      /* input that was read from fd before; copied */
    size_t in_max;           /* most unconsumed input; more is -EMSGSIZE. 0: 64 KiB */
    size_t out_max;          /* most queued output. 0: 256 KiB */
    size_t low_water;        /* 0: out_max / 2 */
    int64_t open_timeout_ns; /* connect and handshake; 0: 10 s */
    bool lean; /* gives empty buffers back after every event: for thousands that mostly wait */
};

/* Takes fd and tls (NULL: plain). opts may be NULL. */
struct stream *stream_new(struct loop *lp,
                          int fd,
                          struct tls *tls,
                          const struct stream_ops *ops,
                          const struct stream_opts *opts,
                          void *arg);
/* 0, or BUF_FULL (nothing queued; on_drain will come), or -EPIPE after shutdown or close. */
int stream_write(struct stream *s, struct slice data) MUST_CHECK;
/* Would n bytes be taken now? When not, on_drain comes as after BUF_FULL. */
bool stream_has_room(struct stream *s, size_t n);
size_t stream_queued(const struct stream *s);
void stream_pause(struct stream *s, bool paused); /* stop or go on reading */
void stream_shutdown(struct stream *s);           /* EOF to the peer once the queue is sent */
void stream_finish(struct stream *s); /* close once the queue is sent, at most 5 s later */
void stream_close(struct stream *s,
                  int why); /* now; on_close(why) comes in this or the next turn */
void stream_abandon(
    struct stream *s); /* close now; no callback comes any more: the owner is going */
struct tls *stream_tls(struct stream *s); /* borrowed, NULL when plain */
int stream_fd(const struct stream *s);
const struct addr *stream_peer(const struct stream *s);
bool stream_is_open(const struct stream *s);
const char *stream_why(const struct stream *s); /* words for the last error */
