/* What an approval could grant, narrow to wide, each with the policy after it and the difference:
 * edits of the file are made in the pool. */
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "server/app.h"

enum { COMMENT_MAX = 300 };

struct grants_job {
    struct app *app;
    struct policy_version *version;
    struct policy *policy;
    struct store_node node;
    struct grants grants;
    approval_grants_fn fn;
    void *arg;
};

static void comment_for(const struct store_node *n, struct slice selector, struct buf *out)
{
    if (slice_eq(selector, S("autogroup:member"))) {
        buf_adds(out, "Funnel: members may publish services from their own untagged devices.");
    } else if (slice_eq(selector, slice_str(n->ipv4))) {
        buf_addf(out, "Funnel for the device %s.", n->label);
    } else {
        buf_addf(out, "Funnel for the devices of %s.", n->login);
    }
}

static struct grant *try_grant(struct grants_job *j, const char *selector)
{
    struct grant *g = &j->grants.items[j->grants.count++];
    struct slice before = buf_slice(&j->version->text);
    struct policy_diags diags = {NULL, 0, false};
    struct buf comment = BUF_MAX(COMMENT_MAX);
    buf_init(&g->text, POLICY_SIZE_MAX + 4096);
    buf_init(&g->diff, POLICY_SIZE_MAX);
    text_fit(g->selector, sizeof g->selector, "%s", selector);
    comment_for(&j->node, slice_str(selector), &comment);
    g->result =
        policy_add_funnel(before, slice_str(selector), buf_slice(&comment), &g->text, &diags);
    if (g->result == POLICY_SPLICED || g->result == POLICY_CHANGED) {
        policy_diff(before, buf_slice(&g->text), 3, &g->diff);
    }
    policy_diags_free(&diags);
    buf_deinit(&comment);
    return g;
}

static void grants_work(void *arg)
{
    struct grants_job *j = arg;
    const struct store_node *n = &j->node;
    struct grants *out = &j->grants;
    struct grant *g = try_grant(j, n->ipv4);
    text_cut(g->words, sizeof g->words, "only this device (%s)", n->label);
    if (n->login[0]) {
        g = try_grant(j, n->login);
        text_cut(g->words, sizeof g->words, "all devices of %s", n->login);
        g = try_grant(j, "autogroup:member");
        text_cut(g->words, sizeof g->words, "every member's own devices (wide)");
        /* ARCHITECTURE section 8: the default of the field where nobody has the right yet, else the
         * narrowest. */
        out->preselected = policy_grants_anyone(j->policy, S("funnel")) ? 0 : out->count - 1;
    }
}

static void grants_done(void *arg)
{
    struct grants_job *j = arg;
    j->fn(j->arg, &j->grants);
    for (size_t i = 0; i < j->grants.count; i++) {
        buf_deinit(&j->grants.items[i].text);
        buf_deinit(&j->grants.items[i].diff);
    }
    policy_version_unref(j->version);
    policy_unref(j->policy);
    mem_free(j);
}

void approval_grants(struct app *a, const struct store_node *n, approval_grants_fn fn, void *arg)
{
    struct grants_job *j = mem_new(sizeof *j);
    *j = (struct grants_job){.app = a,
                             .version = policy_version_ref(policy_state_version(a)),
                             .policy = policy_ref(policy_snapshot_policy(policy_state_snapshot(a))),
                             .node = *n,
                             .fn = fn,
                             .arg = arg};
    j->grants.rev = j->version->meta.id;
    approval_stamp(a, j->grants.stamp);
    if (pool_run(a->pool, grants_work, grants_done, j) < 0) {
        grants_done(j); /* too many wait: nothing can be granted now */
    }
}

/* The version that a person has seen: another one with the same meaning has another diff. */
void approval_stamp(const struct app *a, char out[APPROVAL_STAMP_SIZE])
{
    const struct store_policy_meta *m = &policy_state_version(a)->meta;
    text_fit(out, APPROVAL_STAMP_SIZE, "%s.%lld", m->etag, (long long)m->id);
}
