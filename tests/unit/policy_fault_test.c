/*
 * The policy engine behind loading (policy_load_fault_test has that) when memory runs out, at every
 * allocation in turn: evaluation, reachability, tests, edits and the diff (facts abort by
 * contract). An error or the right answer, all memory back, no half of a file in the hands of
 * whoever asked for an edit.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/base/file.h"
#include "policy/check.h"
#include "policy/edit.h"
#include "tests/unit/support/fault.h"
#include "tests/unit/support/test.h"

#define GOLDEN SOURCE_DIR "/tests/golden/policy/"

struct world {
    struct buf text, facts_text; /* a policy with every section, and its tailnet */
    struct policy_facts *facts;
    struct policy *policy;
    struct policy_snapshot *snapshot;
    struct policy_reach *reach;
    size_t failed; /* tests of the policy that fail, as they should */
    /* what the operation made, until `after` has looked at it */
    struct policy_snapshot *made_snapshot;
    struct policy_reach *made_reach;
};

static void read_golden(const char *path, struct buf *out)
{
    assert_int_equal(file_read(path, out), 0);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct policy_diags diags;
    char why[256];
    assert_non_null(w);
    w->text = BUF_MAX(MIB);
    w->facts_text = BUF_MAX(MIB);
    read_golden(GOLDEN "full.hujson", &w->text);
    read_golden(GOLDEN "facts.json", &w->facts_text);
    assert_int_equal(policy_facts_read(buf_slice(&w->facts_text), why, &w->facts), 0);
    assert_int_equal(policy_load(buf_slice(&w->text), w->facts, &diags, &w->policy), 0);
    policy_diags_free(&diags);
    assert_int_equal(policy_evaluate(w->policy, w->facts, &w->snapshot), 0);
    assert_int_equal(policy_reach_new(w->policy, w->facts, &w->reach), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    policy_reach_free(w->reach);
    policy_snapshot_unref(w->snapshot);
    policy_unref(w->policy);
    policy_facts_unref(w->facts);
    buf_deinit(&w->facts_text);
    buf_deinit(&w->text);
    free(w);
    return 0;
}

static void memory_or_right(void *arg, int rc)
{
    (void)arg;
    if (rc != 0 && rc != -ENOMEM) {
        fail_msg("%d", rc);
    }
}

static void
sweep(struct world *w, const char *name, int (*run)(void *w), void (*after)(void *w, int rc))
{
    fault_sweep(FAULT_MEMORY, &(struct fault_case){name, NULL, run, after}, w);
}

/* ---- evaluation ---- */

static int do_evaluate(void *arg)
{
    struct world *w = arg;
    return policy_evaluate(w->policy, w->facts, &w->made_snapshot);
}

static void judge_evaluate(void *arg, int rc)
{
    struct world *w = arg;
    memory_or_right(w, rc);
    assert_true((rc == 0) == (w->made_snapshot != NULL));
    for (size_t i = 0; !rc && i < w->facts->device_count; i++) {
        const struct policy_set *made = policy_snapshot_set(w->made_snapshot, i),
                                *right = policy_snapshot_set(w->snapshot, i);
        assert_true(slice_eq(made->json, right->json));
    }
    policy_snapshot_unref(w->made_snapshot);
    w->made_snapshot = NULL;
}

/* Evaluates anew, then asks for a device that the facts do not know. */
static int do_one(void *arg)
{
    struct world *w = arg;
    static const struct slice tags[] = {{"tag:web", 7}};
    struct policy_device d = {.id = 77777, .user = POLICY_NO_USER, .tags = tags, .tag_count = 1};
    int rc = policy_evaluate(w->policy, w->facts, &w->made_snapshot);
    return rc ? rc : policy_snapshot_one(w->made_snapshot, &d) ? 0 : -ENOMEM;
}

static void judge_one(void *arg, int rc)
{
    struct world *w = arg;
    memory_or_right(w, rc);
    policy_snapshot_unref(w->made_snapshot);
    w->made_snapshot = NULL;
}

static void evaluation(void **state)
{
    sweep(*state, "evaluate", do_evaluate, judge_evaluate);
    sweep(*state, "evaluate one", do_one, judge_one);
}

/* ---- reachability and tests ---- */

static int do_reach(void *arg)
{
    struct world *w = arg;
    return policy_reach_new(w->policy, w->facts, &w->made_reach);
}

static void judge_reach(void *arg, int rc)
{
    struct world *w = arg;
    size_t n = w->facts->device_count;
    memory_or_right(w, rc);
    assert_true((rc == 0) == (w->made_reach != NULL));
    for (size_t i = 0; !rc && i < n * n; i++) {
        assert_int_equal(policy_reach_device(w->made_reach, i / n, i % n, 0, 443),
                         policy_reach_device(w->reach, i / n, i % n, 0, 443));
    }
    policy_reach_free(w->made_reach);
    w->made_reach = NULL;
}

static int do_tests(void *arg)
{
    struct world *w = arg;
    struct policy_diags diags = {0};
    size_t failed = 0;
    int rc = policy_tests_run(w->snapshot, w->reach, &diags, &failed);
    rc = !rc && failed != w->failed ? -ERANGE : rc;
    policy_diags_free(&diags);
    return rc;
}

static void reachability(void **state)
{
    sweep(*state, "reach", do_reach, judge_reach);
    struct world *w = *state;
    struct policy_diags diags = {0};
    assert_int_equal(policy_tests_run(w->snapshot, w->reach, &diags, &w->failed), 0);
    assert_true(w->failed > 0);
    policy_diags_free(&diags);
    sweep(w, "tests", do_tests, memory_or_right);
}

/* ---- edits ---- */

struct edit {
    const char *name;
    enum policy_edit_result (*make)(struct slice text, struct buf *out, struct policy_diags *diags);
    struct slice text;
    struct buf right;
    enum policy_edit_result result;
};

static enum policy_edit_result
add_funnel(struct slice text, struct buf *out, struct policy_diags *diags)
{
    return policy_add_funnel(text, S("tag:web"), S("because"), out, diags);
}

static enum policy_edit_result
remove_funnel(struct slice text, struct buf *out, struct policy_diags *diags)
{
    return policy_remove_funnel(text, S("autogroup:member"), out, diags);
}

static enum policy_edit_result
add_to_group(struct slice text, struct buf *out, struct policy_diags *diags)
{
    return policy_add_to_group(text, S("group:dev"), S("new@example.com"), out, diags);
}

static enum policy_edit_result
set_owners(struct slice text, struct buf *out, struct policy_diags *diags)
{
    static const struct slice owners[] = {{"group:dev", 9}, {"autogroup:admin", 15}};
    return policy_set_tag_owners(text, S("tag:web"), owners, 2, out, diags);
}

static struct edit edits[] = {
    {"add funnel", add_funnel, {0}, {0}, POLICY_REFUSED},
    {"remove funnel", remove_funnel, {0}, {0}, POLICY_REFUSED},
    {"add to group", add_to_group, {0}, {0}, POLICY_REFUSED},
    {"set tag owners", set_owners, {0}, {0}, POLICY_REFUSED},
};

/* 0 with the right text, else refused: with the old text, or with a buffer that says it is full. */
static int do_edit(void *arg)
{
    struct edit *e = arg;
    struct policy_diags diags = {0};
    struct buf out = BUF_MAX(2 * MIB);
    enum policy_edit_result r = e->make(e->text, &out, &diags);
    int rc = r == POLICY_REFUSED ? -ENOMEM : 0;
    if (!rc && !buf_ok(&out)) {
        rc = -ENOMEM; /* full: nobody may use what stands there */
    } else if (!rc && (r != e->result || !slice_eq(buf_slice(&out), buf_slice(&e->right)))) {
        rc = -ERANGE;
    } else if (rc && buf_ok(&out) && !slice_eq(buf_slice(&out), e->text)) {
        rc = -ESTALE;
    }
    policy_diags_free(&diags);
    buf_deinit(&out);
    return rc;
}

static void edit_all(struct slice text)
{
    for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
        struct edit *e = &edits[i];
        struct policy_diags diags = {0};
        e->text = text;
        e->right = BUF_MAX(2 * MIB);
        e->result = e->make(text, &e->right, &diags);
        assert_true(e->result != POLICY_REFUSED);
        policy_diags_free(&diags);
        fault_sweep(FAULT_MEMORY, &(struct fault_case){e->name, NULL, do_edit, memory_or_right}, e);
        buf_deinit(&e->right);
    }
}

/* By splice: the text is not in its formatted form. */
static void edits_by_splice(void **state)
{
    (void)state;
    edit_all(
        S("// mine\n{ \"groups\": {\"group:dev\": [\"ann@example.com\"]},\n"
          "  \"tagOwners\": {\"tag:web\": [\"group:dev\"]}, // web\n"
          "  \"nodeAttrs\": [{\"target\": [\"autogroup:member\"], \"attr\": [\"funnel\"]}] }\n"));
}

/* By patch and format. */
static void edits_by_patch(void **state)
{
    (void)state;
    edit_all(
        S("// mine\n{\n\t\"groups\":    {\"group:dev\": [\"ann@example.com\"]},\n"
          "\t\"tagOwners\": {\"tag:web\": [\"group:dev\"]}, // web\n\n"
          "\t\"nodeAttrs\": [\n\t\t{\"target\": [\"autogroup:member\"], \"attr\": [\"funnel\"]},\n"
          "\t],\n}\n"));
}

/* ---- diff ---- */

static struct buf diff_right;

static int do_diff(void *arg)
{
    struct world *w = arg;
    struct buf out = BUF_MAX(MIB);
    policy_diff(slice_str(policy_default_text), buf_slice(&w->text), 3, &out);
    int rc = !buf_ok(&out)                                       ? -ENOMEM
             : slice_eq(buf_slice(&out), buf_slice(&diff_right)) ? 0
                                                                 : -ERANGE;
    buf_deinit(&out);
    return rc;
}

static void diff(void **state)
{
    struct world *w = *state;
    diff_right = BUF_MAX(MIB);
    policy_diff(slice_str(policy_default_text), buf_slice(&w->text), 3, &diff_right);
    assert_true(diff_right.len > 0);
    sweep(w, "diff", do_diff, memory_or_right);
    buf_deinit(&diff_right);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluation),
        cmocka_unit_test(reachability),
        cmocka_unit_test(edits_by_splice),
        cmocka_unit_test(edits_by_patch),
        cmocka_unit_test(diff),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
