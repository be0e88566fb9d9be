#pragma once
/*
 * One step for everyone who judges a policy: load, evaluate, run tests, sshTests and nodeAttrTests
 * (policy.md section 4), warn (2.7). Pure: may run in a pool on shared, immutable input.
 */
#include "policy/eval.h"
#include "policy/reach.h"

/* 0, POLICY_INVALID (errors in out_diags, test failures among them; no snapshot), -ENOMEM. facts
 * may be NULL: then nothing that needs devices or users is run, and *out_snapshot stays NULL. */
int policy_check(struct slice text,
                 const struct policy_facts *f,
                 struct policy_diags *out_diags,
                 struct policy **out_policy,
                 struct policy_snapshot **out_snapshot) MUST_CHECK;

/* The tests of a loaded policy alone; appends errors "test-failed" to diags, each in its place. r:
 * who reaches what, for tests and sshTests; NULL where the policy has none. 0 or -ENOMEM. */
int policy_tests_run(const struct policy_snapshot *s,
                     const struct policy_reach *r,
                     struct policy_diags *diags,
                     size_t *out_failed) MUST_CHECK;
/* The array body of POST acl/validate: these tests against the policy in force. tests: the HuJSON
 * text of an array. 0, POLICY_INVALID with diags, -ENOMEM. */
int policy_tests_foreign(const struct policy_snapshot *s,
                         struct slice tests,
                         struct policy_diags *out_diags) MUST_CHECK;
