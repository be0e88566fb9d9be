/* Worker threads that take jobs from one bounded queue and post their results to the loop. */
#include "lib/io/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

enum { WAITING_MAX = 1024, THREADS_MAX = 8 };

struct job {
    struct job *next;
    loop_fn work, done;
    void *arg;
};

struct pool {
    struct loop *lp;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *head, **tail;
    unsigned waiting;
    bool stopping;
    pthread_t threads[THREADS_MAX];
    unsigned thread_count;
};

static struct job *take(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    while (!p->head && !p->stopping) {
        pthread_cond_wait(&p->wake, &p->lock);
    }
    struct job *j = p->stopping ? NULL : p->head;
    if (j) {
        p->head = j->next;
        p->tail = p->head ? p->tail : &p->head;
        p->waiting--;
    }
    pthread_mutex_unlock(&p->lock);
    return j;
}

static void *run(void *arg)
{
    struct pool *p = arg;
    struct job *j;
    while ((j = take(p))) {
        j->work(j->arg);
        if (loop_post(p->lp, j->done, j->arg) < 0) {
            abort(); /* a job without its answer would hang a request for ever */
        }
        mem_free(j);
    }
    return NULL;
}

struct pool *pool_new(struct loop *lp, unsigned threads)
{
    struct pool *p = mem_new(sizeof *p);
    p->lp = lp;
    p->tail = &p->head;
    if (pthread_mutex_init(&p->lock, NULL) || pthread_cond_init(&p->wake, NULL)) {
        abort();
    }
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals belong to the loop */
    while (p->thread_count < threads && p->thread_count < THREADS_MAX) {
        if (pthread_create(&p->threads[p->thread_count], NULL, run, p)) {
            abort();
        }
        p->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return p;
}

void pool_free(struct pool *p)
{
    if (!p) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->thread_count; i++) {
        pthread_join(p->threads[i], NULL);
    }
    for (struct job *j = p->head, *next; j; j = next) {
        next = j->next;
        mem_free(j);
    }
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    mem_free(p);
}

int pool_run(struct pool *p, loop_fn work, loop_fn done, void *job)
{
    struct job *j = mem_new(sizeof *j);
    *j = (struct job){.work = work, .done = done, .arg = job};
    pthread_mutex_lock(&p->lock);
    bool full = p->waiting == WAITING_MAX;
    if (!full) {
        *p->tail = j;
        p->tail = &j->next;
        p->waiting++;
        pthread_cond_signal(&p->wake);
    }
    pthread_mutex_unlock(&p->lock);
    if (full) {
        mem_free(j);
    }
    return full ? err_origin(-EAGAIN) : 0;
}
