/*
 * All tests of a policy; and tests that come with a request, to be run against the policy in force.
 * The latter are read by the same readers, into a policy that has everything from the one in force
 * but its tests.
 */
#include "lib/base/mem.h"
#include "policy/check.h"
#include "policy/check_priv.h"
#include "policy/load_priv.h"
#include "policy/tests_priv.h"

enum { FOREIGN_MEMORY_MAX = 64 * MIB /* as a policy's */ };

int policy_tests_run(const struct policy_snapshot *s,
                     const struct policy_reach *r,
                     struct policy_diags *diags,
                     size_t *out_failed)
{
    const struct policy *p = policy_snapshot_policy(s);
    struct reach_tests t = {p->doc, p->tests, p->test_count, p->ssh_tests, p->ssh_test_count};
    size_t reach_failed = 0, attr_failed = 0;
    int rc = t.test_count + t.ssh_test_count ? reach_tests_run(&t, r, diags, &reach_failed) : 0;
    rc = rc ? rc : attr_tests_run(s, diags, &attr_failed);
    *out_failed = reach_failed + attr_failed;
    return rc ? err_trace(rc) : 0;
}

/* ---- tests from elsewhere ---- */

/* Reads the tests of view->doc. 0, POLICY_INVALID, -ENOMEM. */
static int
read_foreign(struct policy *view, const struct policy_facts *facts, struct policy_diags *diags)
{
    AUTO(arena_freep) struct arena *scratch = arena_new(FOREIGN_MEMORY_MAX);
    struct loader l = {.p = view,
                       .doc = view->doc,
                       .facts = facts,
                       .diags = diags,
                       .scratch = scratch,
                       .text = BUF_MAX(POLICY_SIZE_MAX),
                       .first_member = SIZE_MAX,
                       .first_members = SIZE_MAX};
    l.used_groups = load_scratch(&l, view->group_count, sizeof *l.used_groups);
    l.used_tags = load_scratch(&l, view->tag_count, sizeof *l.used_tags);
    l.used_hosts = load_scratch(&l, view->host_count, sizeof *l.used_hosts);
    l.used_ipsets = load_scratch(&l, view->ipset_count, sizeof *l.used_ipsets);
    if (!l.no_memory) {
        load_tests(&l, hujson_root(l.doc));
        load_find_places(&l);
    }
    buf_deinit(&l.text);
    return l.no_memory ? err_origin(-ENOMEM) : l.errors ? POLICY_INVALID : 0;
}

static int
run_foreign(const struct policy_snapshot *s, const struct policy *view, struct policy_diags *diags)
{
    AUTO(policy_reach_freep) struct policy_reach *r = NULL;
    struct reach_tests t = {.doc = view->doc, .tests = view->tests, .test_count = view->test_count};
    size_t failed = 0;
    int rc = policy_reach_new(policy_snapshot_policy(s), policy_snapshot_facts(s), &r);
    rc = rc ? rc : reach_tests_run(&t, r, diags, &failed);
    return rc ? err_trace(rc) : failed ? POLICY_INVALID : 0;
}

int policy_tests_foreign(const struct policy_snapshot *s,
                         struct slice tests,
                         struct policy_diags *out_diags)
{
    struct policy view = *policy_snapshot_policy(s);
    AUTO(hujson_freep) struct hujson_doc *doc = NULL;
    AUTO(arena_freep) struct arena *arena = arena_new(FOREIGN_MEMORY_MAX);
    struct hujson_diag syntax;
    *out_diags = (struct policy_diags){NULL, 0, false};
    view.arena = arena;
    view.group_count = view.group_names.count; /* the place of synced groups is the next one */
    view.tests = NULL;
    view.test_count = 0;
    int rc = load_parse(tests, &syntax, &doc);
    view.doc = doc;
    if (rc > 0) {
        const char *code = rc == HUJSON_TOO_BIG ? "too-big" : "syntax";
        rc = load_syntax(out_diags, tests, code, &syntax);
        return rc ? err_trace(rc) : POLICY_INVALID;
    }
    rc = rc ? rc : read_foreign(&view, policy_snapshot_facts(s), out_diags);
    rc = rc ? rc : run_foreign(s, &view, out_diags);
    if (rc < 0) {
        policy_diags_free(out_diags);
        return err_trace(rc);
    }
    return rc;
}
