/* The database's log is copied into its file by a thread of the pool: that waits for the disk,
 * which the loop does not do. */
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "server/app.h"

struct checkpoint {
    struct app *app;
    char path[APP_PATH_SIZE];
    int rc;
};

static void copy_work(void *arg)
{
    struct checkpoint *c = arg;
    c->rc = db_checkpoint(c->path);
}

static void copy_done(void *arg)
{
    struct checkpoint *c = arg;
    if (c->rc) {
        log_warn("store.not_copied", F_ERR(c->rc)); /* the log stays, and is tried again */
    }
    c->app->copying = false;
    mem_free(c);
}

void checkpoint_tick(struct app *a)
{
    if (a->copying || db_log_pages(a->db) < DB_LOG_PAGES) {
        return;
    }
    struct checkpoint *c = mem_new(sizeof *c);
    c->app = a;
    app_db_path(a, c->path);
    a->copying = pool_run(a->pool, copy_work, copy_done, c) == 0;
    if (!a->copying) {
        mem_free(c);
    }
}
