/* "Add Funnel to policy" (docs/api.md): the edit that an approval makes, asked for by itself and
 * made in the pool. Every byte that does not have to change stays. */
#include "server/api_grant.h"

#include <errno.h>

#include "lib/base/mem.h"
#include "policy/edit.h"
#include "server/policy_reply.h"
#include "server/rest.h"

enum { DIFF_CONTEXT = 3, SELECTOR_MAX = 255, COMMENT_MOST = 200 };

struct grant_job {
    struct http_rq *rq; /* NULL: the caller has left */
    struct policy_version *version;
    struct js *wanted;
    bool remove;
    enum policy_edit_result result;
    struct policy_diags diags;
    struct buf text, unified;
};

static void free_job(struct grant_job *j)
{
    policy_version_unref(j->version);
    policy_diags_free(&j->diags);
    js_free(j->wanted);
    buf_deinit(&j->text);
    buf_deinit(&j->unified);
    mem_free(j);
}

static void work(void *arg)
{
    struct grant_job *j = arg;
    struct slice before = buf_slice(&j->version->text),
                 selector = js_get_str(j->wanted, "selector");
    j->result = j->remove ? policy_remove_funnel(before, selector, &j->text, &j->diags)
                          : policy_add_funnel(before, selector, js_get_str(j->wanted, "comment"),
                                              &j->text, &j->diags);
    if (j->result != POLICY_REFUSED) {
        policy_diff(before, buf_slice(&j->text), DIFF_CONTEXT, &j->unified);
    }
}

static void answer(struct grant_job *j)
{
    if (j->result == POLICY_REFUSED) {
        policy_reply_invalid(j->rq, &j->diags);
        return;
    }
    AUTO(js_freep) struct js *reply = js_object();
    js_set_bool(reply, "changed", j->result != POLICY_UNCHANGED);
    js_set_str(reply, "acl", buf_slice(&j->text));
    js_set_str(reply, "unified", buf_slice(&j->unified));
    js_set(reply, "from", policy_meta_json(&j->version->meta));
    reply_json(j->rq, 200, reply);
}

static void done(void *arg)
{
    struct grant_job *j = arg;
    if (j->rq) {
        answer(j);
    }
    free_job(j);
}

static void left(void *arg)
{
    ((struct grant_job *)arg)->rq = NULL;
}

void api_acl_funnel(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"selector", JS_STR, true, SELECTOR_MAX},
                                             {"comment", JS_STR, false, COMMENT_MOST},
                                             {"remove", JS_BOOL, false, 0}};
    struct app *a = app;
    struct js *wanted = rest_body(rq, fields, ARRAY_LEN(fields));
    if (!wanted) {
        return;
    }
    struct grant_job *j = mem_new(sizeof *j);
    *j = (struct grant_job){.rq = rq,
                            .version = policy_version_ref(policy_state_version(a)),
                            .wanted = wanted,
                            .remove = js_get_bool(wanted, "remove", false),
                            .text = BUF_MAX(2 * POLICY_SIZE_MAX),
                            .unified = BUF_MAX(4 * POLICY_SIZE_MAX)};
    http_rq_on_abort(rq, left, j);
    if (pool_run(a->pool, work, done, j) < 0) {
        policy_reply_busy(rq);
        free_job(j);
    }
}
