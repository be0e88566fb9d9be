/*
 * Loading when memory runs out, at every allocation in turn: -ENOMEM or the right answer, never a
 * crash, never a leak.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/file.h"
#include "policy/model.h"
#include "tests/unit/support/fault.h"
#include "tests/unit/support/test.h"

static struct policy_facts *facts;

struct file {
    struct slice text;
    int want; /* what loading says with memory enough, and how many complaints */
    size_t complaints;
};

static int load(const struct file *f, size_t *out_complaints)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    int rc = policy_load(f->text, facts, &diags, &p);
    assert_true((rc == 0) == (p != NULL));
    assert_true(rc != -ENOMEM || (!diags.items && !diags.count));
    *out_complaints = diags.count;
    policy_diags_free(&diags);
    policy_unref(p);
    return rc;
}

static int run(void *world)
{
    const struct file *f = world;
    size_t complaints;
    int rc = load(f, &complaints);
    bool right = rc == f->want && complaints == f->complaints;
    return right ? 0 : rc < 0 ? rc : -ERANGE;
}

static void judge(void *world, int rc)
{
    (void)world;
    assert_true(rc == 0 || rc == -ENOMEM);
}

static void sweep(const char *name)
{
    char path[512];
    struct buf text = BUF_MAX(MIB);
    snprintf(path, sizeof path, SOURCE_DIR "/tests/golden/policy/%s.hujson", name);
    assert_int_equal(file_read(path, &text), 0);
    struct file f = {.text = buf_slice(&text)};
    f.want = load(&f, &f.complaints);
    fault_sweep(FAULT_MEMORY, &(struct fault_case){name, NULL, run, judge}, &f);
    buf_deinit(&text);
}

static void at_every_allocation(void **state)
{
    (void)state;
    sweep("full");
    sweep("today");
    sweep("unused");
    sweep("opaque");
    sweep("funnel_ports");
    sweep("syntax_comment");
}

int main(void)
{
    struct buf text = BUF_MAX(MIB);
    char why[256];
    if (file_read(SOURCE_DIR "/tests/golden/policy/facts.json", &text) ||
        policy_facts_read(buf_slice(&text), why, &facts)) {
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(at_every_allocation)};
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    policy_facts_unref(facts);
    buf_deinit(&text);
    return rc;
}
