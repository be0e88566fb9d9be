/*
 * The loop. Order of one turn: wait, handlers of ready descriptors, due
 * timers, posts, deferred functions, then the releases of what was retired.
 * Registrations live in a table of slots; the kernel is given slot and
 * generation, so that an event of a closed and reused descriptor finds
 * nothing.
 */
#include "lib/io/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

enum {
    EVENTS_PER_TURN = 256, /* more wait for the next turn: timers are not starved */
    TABLE_GROWTH = 64,
};

struct post {
    struct post *next;
    loop_fn fn;
    void *arg;
};

struct slot {
    struct watch *w; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* index + 1 */
};

struct loop {
    int epfd;
    bool stopping;
    struct mono now;
    struct slot *slots;
    uint32_t slot_count, free_head;
    struct list again;    /* watches to call once more */
    struct list deferred; /* struct deferred */
    struct list retired;  /* struct retire */
    struct timer **heap;
    uint32_t timer_count, timer_cap;
    struct watch wake;
    pthread_mutex_t post_lock;
    struct post *post_head, **post_tail;
    struct watch signals;
    signal_fn signal_fn;
    void *signal_arg;
};

static void grow_slots(struct loop *lp)
{
    uint32_t count = lp->slot_count * 2 + TABLE_GROWTH;
    struct slot *bigger = mem_new_array(count, sizeof *bigger);
    for (uint32_t i = 0; i < lp->slot_count; i++) {
        bigger[i] = lp->slots[i];
    }
    for (uint32_t i = count; i > lp->slot_count; i--) {
        bigger[i - 1].next_free = lp->free_head;
        lp->free_head = i;
    }
    mem_free(lp->slots);
    lp->slots = bigger;
    lp->slot_count = count;
}

int watch_add(struct loop *lp, struct watch *w, int fd, watch_fn fn, void *arg)
{
    if (!lp->free_head) {
        grow_slots(lp);
    }
    uint32_t index = lp->free_head - 1;
    struct slot *s = &lp->slots[index];
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                             .data.u64 = (uint64_t)s->generation << 32 | index};
    if (epoll_ctl(lp->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
        return err_origin(-errno);
    }
    lp->free_head = s->next_free;
    s->w = w;
    *w = (struct watch){
        .fd = fd, .fn = fn, .arg = arg, .loop = lp, .generation = s->generation, .slot = index};
    list_init(&w->again_link);
    return 0;
}

void watch_del(struct watch *w)
{
    struct loop *lp = w->loop;
    if (!lp) {
        return;
    }
    err_ignore(epoll_ctl(lp->epfd, EPOLL_CTL_DEL, w->fd,
                         NULL)); /* already closed: the kernel dropped it */
    list_unlink(&w->again_link);
    struct slot *s = &lp->slots[w->slot];
    s->w = NULL;
    s->generation++;
    s->next_free = lp->free_head;
    lp->free_head = w->slot + 1;
    *w = WATCH_INIT;
}

void loop_again(struct watch *w, uint32_t events)
{
    if (!w->loop) {
        return;
    }
    w->again |= events;
    if (list_empty(&w->again_link)) {
        list_push_back(&w->loop->again, &w->again_link);
    }
}

/* ---- timers: a binary heap, earliest first ---- */

static void heap_put(struct loop *lp, uint32_t i, struct timer *t)
{
    lp->heap[i] = t;
    t->index = i + 1;
}

static void heap_up(struct loop *lp, uint32_t i)
{
    struct timer *t = lp->heap[i];
    while (i > 0) {
        uint32_t parent = (i - 1) / 2;
        if (lp->heap[parent]->at.ns <= t->at.ns) {
            break;
        }
        heap_put(lp, i, lp->heap[parent]);
        i = parent;
    }
    heap_put(lp, i, t);
}

static void heap_down(struct loop *lp, uint32_t i)
{
    struct timer *t = lp->heap[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= lp->timer_count) {
            break;
        }
        if (child + 1 < lp->timer_count && lp->heap[child + 1]->at.ns < lp->heap[child]->at.ns) {
            child++;
        }
        if (lp->heap[child]->at.ns >= t->at.ns) {
            break;
        }
        heap_put(lp, i, lp->heap[child]);
        i = child;
    }
    heap_put(lp, i, t);
}

void timer_cancel(struct timer *t)
{
    if (!t->index) {
        return;
    }
    struct loop *lp = t->loop;
    uint32_t i = t->index - 1;
    struct timer *last = lp->heap[--lp->timer_count];
    t->index = 0;
    if (last != t) {
        heap_put(lp, i, last);
        heap_up(lp, i);
        heap_down(lp, last->index - 1);
    }
}

void timer_set(struct loop *lp, struct timer *t, struct mono at, loop_fn fn, void *arg)
{
    timer_cancel(t);
    *t = (struct timer){.at = at, .fn = fn, .arg = arg, .loop = lp};
    if (lp->timer_count == lp->timer_cap) {
        uint32_t cap = lp->timer_cap * 2 + TABLE_GROWTH;
        struct timer **bigger = mem_new_array(cap, sizeof(struct timer *));
        for (uint32_t i = 0; i < lp->timer_count; i++) {
            bigger[i] = lp->heap[i];
        }
        mem_free(lp->heap);
        lp->heap = bigger;
        lp->timer_cap = cap;
    }
    heap_put(lp, lp->timer_count++, t);
    heap_up(lp, t->index - 1);
}

void timer_set_in(struct loop *lp, struct timer *t, int64_t ns, loop_fn fn, void *arg)
{
    timer_set(lp, t, mono_after(loop_now(lp), ns), fn, arg);
}

static void run_timers(struct loop *lp)
{
    /* A timer that sets itself again for now runs in the next turn. */
    struct mono until = lp->now;
    while (lp->timer_count && mono_reached(until, lp->heap[0]->at)) {
        struct timer *t = lp->heap[0];
        timer_cancel(t);
        t->fn(t->arg);
    }
}

/* ---- retire, defer, post ---- */

void loop_retire(struct loop *lp, struct retire *r, loop_fn release, void *arg)
{
    assert(!r->fn);
    r->fn = release;
    r->arg = arg;
    list_push_back(&lp->retired, &r->link);
}

static void run_retired(struct loop *lp)
{
    struct list *l;
    while ((l = list_first(&lp->retired))) {
        struct retire *r = LIST_ENTRY(l, struct retire, link);
        list_unlink(l);
        r->fn(r->arg);
    }
}

void loop_defer(struct loop *lp, struct deferred *d, loop_fn fn, void *arg)
{
    if (d->pending) {
        return;
    }
    d->pending = true;
    d->fn = fn;
    d->arg = arg;
    list_push_back(&lp->deferred, &d->link);
}

void deferred_cancel(struct deferred *d)
{
    if (d->pending) {
        list_unlink(&d->link);
        d->pending = false;
    }
}

/* Runs what stood there at the start; what is deferred meanwhile waits a turn. */
static void run_deferred(struct loop *lp)
{
    struct list mine;
    list_init(&mine);
    list_move_all(&lp->deferred, &mine);
    for (struct list *l; (l = list_first(&mine));) {
        struct deferred *d = LIST_ENTRY(l, struct deferred, link);
        deferred_cancel(d);
        d->fn(d->arg);
    }
}

int loop_post(struct loop *lp, loop_fn fn, void *arg)
{
    struct post *p = mem_try(sizeof *p);
    if (!p) {
        return err_origin(-ENOMEM);
    }
    *p = (struct post){.fn = fn, .arg = arg};
    pthread_mutex_lock(&lp->post_lock);
    *lp->post_tail = p;
    lp->post_tail = &p->next;
    pthread_mutex_unlock(&lp->post_lock);
    uint64_t one = 1;
    ssize_t n = write(lp->wake.fd, &one, sizeof one); /* a full counter wakes as well */
    (void)n;
    return 0;
}

static struct post *take_posts(struct loop *lp)
{
    pthread_mutex_lock(&lp->post_lock);
    struct post *p = lp->post_head;
    lp->post_head = NULL;
    lp->post_tail = &lp->post_head;
    pthread_mutex_unlock(&lp->post_lock);
    return p;
}

static void on_wake(void *arg, uint32_t events)
{
    (void)events;
    struct loop *lp = arg;
    uint64_t count;
    ssize_t n = read(lp->wake.fd, &count, sizeof count);
    (void)n;
    for (struct post *p = take_posts(lp), *next; p; p = next) {
        next = p->next;
        p->fn(p->arg);
        mem_free(p);
    }
}

/* ---- signals ---- */

static void on_signal(void *arg, uint32_t events)
{
    (void)events;
    struct loop *lp = arg;
    struct signalfd_siginfo info;
    while (read(lp->signals.fd, &info, sizeof info) == (ssize_t)sizeof info) {
        lp->signal_fn(lp->signal_arg, (int)info.ssi_signo);
    }
}

int loop_signals(struct loop *lp, const int *signals, int count, signal_fn fn, void *arg)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < count; i++) {
        sigaddset(&set, signals[i]);
    }
    int rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (rc) {
        return err_origin(-rc);
    }
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        return err_origin(-errno);
    }
    lp->signal_fn = fn;
    lp->signal_arg = arg;
    rc = watch_add(lp, &lp->signals, fd, on_signal, lp);
    if (rc < 0) {
        close(fd);
    }
    return rc < 0 ? err_trace(rc) : 0;
}

/* ---- the turn ---- */

struct mono loop_now(const struct loop *lp)
{
    return lp->now;
}

void loop_stop(struct loop *lp)
{
    lp->stopping = true;
}

static int wait_ms(struct loop *lp, int64_t max_wait_ns)
{
    if (!list_empty(&lp->again) || !list_empty(&lp->deferred) || lp->stopping) {
        return 0;
    }
    int64_t wait = max_wait_ns;
    if (lp->timer_count) {
        int64_t due = lp->heap[0]->at.ns - mono_now().ns;
        wait = wait < 0 || due < wait ? (due > 0 ? due : 0) : wait;
    }

    enum { HOUR_MS = 3600000 };

    if (wait < 0) {
        return -1;
    }
    int64_t ms = (wait + MS(1) - 1) / MS(1); /* rounded up: no spinning before a deadline */
    return ms > HOUR_MS ? HOUR_MS : (int)ms;
}

static void run_again(struct loop *lp)
{
    struct list mine;
    list_init(&mine);
    list_move_all(&lp->again, &mine);
    for (struct list *l; (l = list_first(&mine));) {
        struct watch *w = LIST_ENTRY(l, struct watch, again_link);
        list_unlink(l);
        uint32_t events = w->again;
        w->again = 0;
        w->fn(w->arg, events);
    }
}

static void dispatch(struct loop *lp, const struct epoll_event *ev)
{
    uint32_t index = (uint32_t)ev->data.u64;
    struct watch *w = lp->slots[index].w;
    if (w && w->generation == (uint32_t)(ev->data.u64 >> 32)) {
        w->fn(w->arg, ev->events);
    }
}

int loop_turn(struct loop *lp, int64_t max_wait_ns)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int n = epoll_wait(lp->epfd, events, EVENTS_PER_TURN, wait_ms(lp, max_wait_ns));
    if (n < 0 && errno != EINTR) {
        return err_origin(-errno);
    }
    lp->now = mono_now();
    run_again(lp);
    for (int i = 0; i < n; i++) {
        dispatch(lp, &events[i]);
    }
    run_timers(lp);
    run_deferred(lp);
    run_retired(lp);
    return 0;
}

int loop_run(struct loop *lp)
{
    while (!lp->stopping) {
        int rc = loop_turn(lp, -1);
        if (rc < 0) {
            return err_trace(rc);
        }
    }
    lp->stopping = false;
    return 0;
}

struct loop *loop_new(void)
{
    struct loop *lp = mem_new(sizeof *lp);
    lp->epfd = epoll_create1(EPOLL_CLOEXEC);
    int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lp->epfd < 0 || wake < 0 || pthread_mutex_init(&lp->post_lock, NULL)) {
        abort();
    }
    list_init(&lp->again);
    list_init(&lp->deferred);
    list_init(&lp->retired);
    lp->post_tail = &lp->post_head;
    lp->signals = WATCH_INIT;
    lp->now = mono_now();
    if (watch_add(lp, &lp->wake, wake, on_wake, lp) < 0) {
        abort();
    }
    return lp;
}

static void close_watch(struct watch *w)
{
    int fd = w->fd;
    watch_del(w);
    if (fd >= 0) {
        close(fd);
    }
}

void loop_free(struct loop *lp)
{
    if (!lp) {
        return;
    }
    run_retired(lp);
    for (struct post *p = take_posts(lp), *next; p; p = next) {
        next = p->next;
        mem_free(p);
    }
    close_watch(&lp->wake);
    close_watch(&lp->signals);
    close(lp->epfd);
    pthread_mutex_destroy(&lp->post_lock);
    mem_free(lp->slots);
    mem_free(lp->heap);
    mem_free(lp);
}
