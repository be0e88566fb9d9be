#pragma once
/*
 * One loop, one thread: edge-triggered epoll, timers, deferred work, posts
 * from other threads, signals. A handler drains its descriptor to EAGAIN
 * within a budget of its own and calls loop_again() when it stops early.
 * Nothing is freed inside a callback: loop_retire() runs the release function
 * after every handler of this turn has returned (STYLE habit 18).
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/macros.h"

struct loop;
struct watch;
struct timer;

typedef void (*watch_fn)(
    void *arg, uint32_t events); /* EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR */
typedef void (*loop_fn)(void *arg);
typedef void (*signal_fn)(void *arg, int signo);

struct loop *loop_new(void); /* aborts when the kernel gives no epoll */
void loop_free(struct loop *lp);
int loop_run(struct loop *lp) MUST_CHECK;                       /* until loop_stop(); 0 or -errno */
int loop_turn(struct loop *lp, int64_t max_wait_ns) MUST_CHECK; /* one turn, for tests */
void loop_stop(struct loop *lp);
struct mono loop_now(const struct loop *lp); /* cached at the start of the turn */

/* Embedded in its owner. Registered edge-triggered for all of EPOLLIN, EPOLLOUT and EPOLLRDHUP. */
struct watch {
    int fd; /* not owned */
    watch_fn fn;
    void *arg;
    struct loop *loop; /* NULL while not registered */
    uint32_t again;    /* events to deliver again in the next turn */
    struct list again_link;
    uint32_t generation; /* guards against events of an earlier registration in the same turn */
    uint32_t slot;       /* private to loop.c */
};

#define WATCH_INIT ((struct watch){.fd = -1})

int watch_add(struct loop *lp, struct watch *w, int fd, watch_fn fn, void *arg) MUST_CHECK;
void watch_del(struct watch *w); /* idempotent; call before closing the descriptor */
/* Deliver `events` once more next turn (budget spent, or a paused reader that was resumed). */
void loop_again(struct watch *w, uint32_t events);

/* A binary heap of absolute deadlines. Embedded; setting an armed timer moves it. */
struct timer {
    struct mono at;
    loop_fn fn;
    void *arg;
    struct loop *loop;
    uint32_t index; /* heap position + 1; 0 while not armed */
};

#define TIMER_INIT ((struct timer){.index = 0})
void timer_set(struct loop *lp, struct timer *t, struct mono at, loop_fn fn, void *arg);
void timer_set_in(struct loop *lp, struct timer *t, int64_t ns, loop_fn fn, void *arg);
void timer_cancel(struct timer *t); /* idempotent */

static inline bool timer_armed(const struct timer *t)
{
    return t->index != 0;
}

/* Release after this turn. The link is embedded in the object; retiring twice is a bug and asserts.
 */
struct retire {
    struct list link;
    loop_fn fn;
    void *arg;
};

void loop_retire(struct loop *lp, struct retire *r, loop_fn release, void *arg);

/* Runs fn once in the next turn. Embedded; idempotent while pending; cancellable. */
struct deferred {
    struct list link;
    loop_fn fn;
    void *arg;
    bool pending;
};

void loop_defer(struct loop *lp, struct deferred *d, loop_fn fn, void *arg);
void deferred_cancel(struct deferred *d);

/* From any thread: runs fn(arg) on the loop's thread soon. 0 or -ENOMEM. */
int loop_post(struct loop *lp, loop_fn fn, void *arg) MUST_CHECK;

/* Blocks the signals for the process and delivers them to fn. Call before starting threads. */
int loop_signals(struct loop *lp, const int *signals, int count, signal_fn fn, void *arg)
    MUST_CHECK;
