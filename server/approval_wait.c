/* Long polls: who waits for a request to be decided. Looked at when a request has changed. */
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "server/app.h"

struct waiter {
    struct list link;
    struct app *app;
    struct http_rq *rq;
    char request[STORE_ID_SIZE], state[12], credential[sizeof(((struct identity *)0)->credential)];
    approval_answer_fn answer;
    struct timer timer;
};

/* Beyond either an answer comes at once, and the caller asks again. */
enum { WAITERS_MAX = 1000, OF_ONE_MAX = 10 };

struct approval_waits {
    struct list all;
    size_t count;
};

struct approval_waits *approval_waits_new(struct app *a)
{
    struct approval_waits *w = mem_new(sizeof *w);
    (void)a;
    list_init(&w->all);
    return w;
}

static void drop(struct waiter *w)
{
    w->app->waits->count--;
    list_unlink(&w->link);
    timer_cancel(&w->timer);
    mem_free(w);
}

void approval_waits_free(struct approval_waits *waits)
{
    struct list *first;
    while (waits && (first = list_first(&waits->all))) {
        drop(LIST_ENTRY(first, struct waiter, link));
    }
    mem_free(waits);
}

static void left(void *arg)
{
    drop(arg);
}

static void answer_now(struct waiter *w)
{
    struct store_request r;
    int rc = store_request(w->app->db, slice_str(w->request), &r);
    http_rq_on_abort(w->rq, NULL, NULL);
    if (rc) {
        reply_broken(w->rq, rc);
    } else {
        w->answer(w->app, w->rq, &r);
    }
    drop(w);
}

static void time_over(void *arg)
{
    answer_now(arg);
}

static size_t of_one(struct app *a, const char *credential)
{
    size_t n = 0;
    LIST_FOREACH (l, &a->waits->all) {
        n += strcmp(LIST_ENTRY(l, struct waiter, link)->credential, credential) == 0;
    }
    return n;
}

void approval_wait(struct app *a,
                   struct http_rq *rq,
                   const struct store_request *r,
                   int64_t seconds,
                   approval_answer_fn answer)
{
    if (strcmp(r->state, "pending") != 0 || seconds <= 0 || a->waits->count >= WAITERS_MAX ||
        of_one(a, auth_identity(rq)->credential) >= OF_ONE_MAX) {
        answer(a, rq, r);
        return;
    }
    struct waiter *w = mem_new(sizeof *w);
    *w = (struct waiter){.app = a, .rq = rq, .answer = answer};
    memcpy(w->request, r->stable_id, sizeof w->request);
    memcpy(w->state, r->state, sizeof w->state);
    memcpy(w->credential, auth_identity(rq)->credential, sizeof w->credential);
    list_push_back(&a->waits->all, &w->link);
    a->waits->count++;
    http_rq_on_abort(rq, left, w);
    timer_set_in(a->lp, &w->timer, SECONDS(seconds), time_over, w);
}

void approval_waits_look(struct app *a)
{
    struct store_request r;
    if (!a->waits) {
        return;
    }
    LIST_FOREACH (l, &a->waits->all) {
        struct waiter *w = LIST_ENTRY(l, struct waiter, link);
        if (store_request(a->db, slice_str(w->request), &r) || strcmp(r.state, w->state) != 0) {
            answer_now(w);
        }
    }
}
