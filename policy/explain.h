#pragma once
/*
 * Why a device has an attribute, or lacks it (policy.md 4.3): the entries that give it, with their
 * lines, or the nearest miss: the entry that would give it but for one thing.
 */
#include "policy/eval.h"

#define POLICY_NO_ENTRY SIZE_MAX

struct policy_reason {
    size_t entry;       /* index in nodeAttrs; POLICY_NO_ENTRY: the switch randomizeClientPort */
    int line, column;   /* of the target that matched, or that missed */
    char pointer[160];  /* /nodeAttrs/3/target/0 */
    char selector[128]; /* as written; "" for the switch */
    char text[256];     /* "web1 is tagged; the entry at line 12 targets autogroup:member" */
};

#define POLICY_REASONS_MAX 16

struct policy_explanation {
    bool has;
    struct policy_reason
        reasons[POLICY_REASONS_MAX]; /* has: what gives it, in file order; else nearest first */
    size_t count;
    char next[160];    /* where it lacks: the next step, "add tag:web to the targets" */
    char summary[512]; /* one sentence for a person, with the next step when it lacks */
};

/* device: position in the snapshot's facts. attr: the name of an attribute or app capability; also
 * "funnel-ports" or the capability's full name, with "?ports=443,9000-9010" where certain ports are
 * meant: has says whether the device may use all of them. */
void policy_explain(const struct policy_snapshot *s,
                    size_t device,
                    struct slice attr,
                    struct policy_explanation *out_explanation);

/* Does autoApprovers.funnel name the device's owner or one of its tags? (policy.md 2.1) */
bool policy_approves_funnel(const struct policy_snapshot *s, size_t device);
