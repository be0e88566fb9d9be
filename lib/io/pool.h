#pragma once
/* A few threads for work that takes time, on immutable copies: `work` runs in the pool, `done` on
 * the loop. */
#include "lib/base/macros.h"
#include "lib/io/loop.h"

struct pool;
struct pool *pool_new(struct loop *lp, unsigned threads);
void pool_free(struct pool *p); /* waits for running jobs; queued ones are dropped without done */
int pool_run(struct pool *p, loop_fn work, loop_fn done, void *job)
    MUST_CHECK; /* 0 or -EAGAIN when 1,024 wait */
