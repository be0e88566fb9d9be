#pragma once
/* What running a policy's own tests is made of. */
#include "policy/eval_priv.h"

/* nodeAttrTests: appends errors "test-failed" and warnings "test-symbolic" to diags. 0 or -ENOMEM.
 */
int attr_tests_run(const struct policy_snapshot *s,
                   struct policy_diags *diags,
                   size_t *out_failed) MUST_CHECK;

/* attr_pick.c: positions of devices. */
struct picks {
    uint32_t *at; /* mem_free */
    size_t count, room;
};

void pick(struct picks *p, size_t device);

struct picker;

struct picker *picker_new(const struct policy_snapshot *s); /* borrows s */
void picker_free(struct picker *p);                         /* takes NULL */
DEFINE_AUTO(struct picker, picker_free)
/* Appends the devices that the target selects; where it selects a large part of the tailnet, only
 * one per distinct set of capabilities, which is as good as all. Devices shared in or of suspended
 * users are selected by nothing, but by "device:" when shared in. */
void picker_pick(struct picker *p, const struct selector *target, struct picks *out);
