/* What of the policy takes time, on copies and references: runs in the pool, reads the database
 * through a connection of its own. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/text.h"
#include "lib/hujson/hujson.h"
#include "server/app.h"

void policy_work_init(struct policy_work *w, struct app *a)
{
    *w = (struct policy_work){.tailnet = a->tailnet.id,
                              .text = BUF_MAX(POLICY_SIZE_MAX),
                              .standard = BUF_MAX(POLICY_SIZE_MAX),
                              .facts = policy_state_facts(a)};
    app_db_path(a, w->db_path);
}

static void drop_results(struct policy_work *w)
{
    policy_diags_free(&w->diags);
    policy_snapshot_unref(w->snapshot);
    policy_unref(w->policy);
    buf_clear(&w->standard);
    w->diags = (struct policy_diags){NULL, 0, false};
    w->snapshot = NULL;
    w->policy = NULL;
}

void policy_work_again(struct policy_work *w)
{
    drop_results(w);
    policy_facts_unref(w->facts);
    w->facts = NULL;
}

void policy_work_deinit(struct policy_work *w)
{
    policy_work_again(w);
    buf_deinit(&w->text);
    buf_deinit(&w->standard);
}

int policy_work_facts(struct policy_work *w)
{
    char why[200];
    struct db *d = NULL;
    if (w->facts) {
        return 0;
    }
    int rc = db_open(w->db_path, DB_READER, why, sizeof why, &d);
    rc = rc ? rc : policy_facts_load(d, w->tailnet, &w->facts);
    db_close(d);
    return rc;
}

static int write_forms(struct policy_work *w)
{
    struct hujson_diag diag;
    AUTO(hujson_freep) struct hujson_doc *doc = NULL;
    int rc = hujson_parse(buf_slice(&w->text), POLICY_SIZE_MAX, &diag, &doc);
    if (rc) {
        return rc < 0 ? rc : err_fold(-EIO); /* it has just been loaded */
    }
    policy_etag(buf_slice(&w->text), w->etag);
    hujson_standardize(doc, &w->standard);
    return buf_ok(&w->standard) ? 0 : err_origin(-EMSGSIZE);
}

void policy_work_run(struct policy_work *w)
{
    if (w->reformat) {
        policy_reformat(&w->text);
    }
    w->rc = policy_work_facts(w);
    w->rc = w->rc
                ? w->rc
                : policy_check(buf_slice(&w->text), w->facts, &w->diags, &w->policy, &w->snapshot);
    if (!w->rc && w->wants_forms) {
        w->rc = write_forms(w);
    }
}
