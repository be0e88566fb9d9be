/*
 * The order of judging: what the file says, what it gives to whom, what its own tests say. Who
 * reaches what is worked out only where a test asks for it.
 */
#include "policy/check.h"

#include "lib/base/err.h"
#include "policy/model.h"

DEFINE_AUTO(struct policy, policy_unref)

/* 0, POLICY_INVALID when a test failed, -ENOMEM. */
static int judge(struct policy *p,
                 const struct policy_facts *f,
                 struct policy_diags *diags,
                 struct policy_snapshot **out_snapshot)
{
    AUTO(policy_snapshot_unrefp) struct policy_snapshot *s = NULL;
    AUTO(policy_reach_freep) struct policy_reach *r = NULL;
    size_t failed = 0;
    int rc = policy_evaluate(p, f, &s);
    if (!rc && p->test_count + p->ssh_test_count) {
        rc = policy_reach_new(p, f, &r);
    }
    rc = rc ? rc : policy_tests_run(s, r, diags, &failed);
    if (rc || failed) {
        return rc ? err_trace(rc) : POLICY_INVALID;
    }
    *out_snapshot = STEAL(s);
    return 0;
}

int policy_check(struct slice text,
                 const struct policy_facts *f,
                 struct policy_diags *out_diags,
                 struct policy **out_policy,
                 struct policy_snapshot **out_snapshot)
{
    AUTO(policy_unrefp) struct policy *p = NULL;
    int rc = policy_load(text, f, out_diags, &p);
    if (rc) {
        return rc;
    }
    rc = f ? judge(p, f, out_diags, out_snapshot) : 0;
    if (rc < 0) {
        policy_diags_free(out_diags);
        return err_trace(rc);
    }
    if (!rc) {
        *out_policy = STEAL(p);
    }
    return rc;
}
