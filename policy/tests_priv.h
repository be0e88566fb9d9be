#pragma once
/* Tests of a policy, wherever they stand: in its own file, or in a request. */
#include "policy/model.h"
#include "policy/reach.h"

struct reach_tests {
    const struct hujson_doc *doc;
    const struct policy_test *tests;
    size_t test_count;
    const struct ssh_test *ssh_tests;
    size_t ssh_test_count;
};

/* Appends errors "test-failed"; out_failed: how many tests did. 0 or -ENOMEM. */
int reach_tests_run(const struct reach_tests *t,
                    const struct policy_reach *r,
                    struct policy_diags *diags,
                    size_t *out_failed) MUST_CHECK;
