/*
 * Loading when memory runs out, at every allocation in turn: -ENOMEM or the right answer, never a
 * crash, never a leak (the sanitizers' build looks).
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/file.h"
#include "policy/model.h"
#include "tests/unit/support/test.h"
/* behind cmocka */
#include "tests/unit/support/fault.h"

static struct policy_facts *facts;

/* What loading says with the n-th allocation failing; 0: none fails. */
static int load(struct slice text, size_t n)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    fault_calls = 0;
    fault_at = n;
    int rc = policy_load(text, facts, &diags, &p);
    fault_at = 0;
    assert_true((rc == 0) == (p != NULL));
    assert_true(rc != -ENOMEM || (!diags.items && !diags.count));
    assert_true(rc != POLICY_INVALID || diags.count);
    policy_diags_free(&diags);
    policy_unref(p);
    return rc;
}

static void sweep(const char *name)
{
    char path[512];
    struct buf text = BUF_MAX(MIB);
    snprintf(path, sizeof path, SOURCE_DIR "/tests/golden/policy/%s.hujson", name);
    assert_int_equal(file_read(path, &text), 0);
    int want = load(buf_slice(&text), 0);
    size_t calls = fault_calls, failed = 0;
    for (size_t n = 1; n <= calls; n++) {
        int rc = load(buf_slice(&text), n);
        if (rc != want && rc != -ENOMEM) {
            fail_msg("%s, allocation %zu of %zu: %d, not %d", name, n, calls, rc, want);
        }
        failed += rc == -ENOMEM;
    }
    print_message("%s: %zu allocations, %zu of them fatal\n", name, calls, failed);
    assert_true(failed * 2 > calls); /* the rest only finds places for complaints */
    buf_deinit(&text);
}

static void accepted(void **state)
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(accepted)};
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    policy_facts_unref(facts);
    buf_deinit(&text);
    return rc;
}
