#pragma once
/*
 * Why a device has an attribute, or lacks it (policy.md 4.3): the entries that give it, with their
 * lines, or the nearest miss: the entry that would give it but for one thing.
 */
#include "policy/eval.h"

struct policy_reason {
    size_t entry;       /* index in nodeAttrs */
    int line, column;   /* of the target that matched, or that missed */
    char pointer[64];   /* /nodeAttrs/3/target/0 */
    char selector[128]; /* as written */
    char text[256];     /* "web1 is tagged; the entry at line 12 targets autogroup:member" */
};

#define POLICY_REASONS_MAX 16

struct policy_explanation {
    bool has;
    struct policy_reason
        reasons[POLICY_REASONS_MAX]; /* has: all that give it; else nearest first */
    size_t count;
    char summary[320]; /* one sentence for a person; says the next step when it lacks */
};

/* device: position in the snapshot's facts. attr: a name, also "funnel-ports" of any list. */
void policy_explain(const struct policy_snapshot *s,
                    size_t device,
                    struct slice attr,
                    struct policy_explanation *out_explanation);
