#pragma once
/*
 * The policy file: load and validate (spec/policy.md section 2), evaluate capabilities, edit. A
 * loaded policy is immutable and may be shared between threads. Every section is validated; what
 * this server does not act on is kept.
 */
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"

struct policy;

enum policy_severity { POLICY_ERROR, POLICY_WARNING };

struct policy_diag {
    const char *code; /* stable, from policy.md "Codes" */
    size_t offset;    /* of the culprit, in bytes */
    enum policy_severity severity;
    int line, column;  /* the same, from 1; column counts bytes */
    int character;     /* the column in characters */
    char pointer[160]; /* JSON Pointer, "" for the root */
    char message[240];
    char hint[120]; /* nearest name or the fix; "" when none */
    char user[128]; /* of a failed test: its source, as written; else "" */
};

#define POLICY_DIAGS_MAX 50 /* of each severity: more do not help a person */

struct policy_diags {
    struct policy_diag *items; /* ordered by position, errors and warnings mixed */
    size_t count;
    bool truncated; /* there were more than POLICY_DIAGS_MAX of one severity */
};

void policy_diags_free(struct policy_diags *d);

#define POLICY_SIZE_MAX (1 * MIB)

enum { POLICY_INVALID = 1 };

struct policy_facts;

/* 0 (out_diags may hold warnings) or POLICY_INVALID (at least one error; no policy), -ENOMEM.
 * facts: what users, domains and devices there are, for the warnings and the few errors that need
 * them (user-not-found, domain-not-ours, …); NULL: those are left out. They are not kept. */
int policy_load(struct slice text,
                const struct policy_facts *facts,
                struct policy_diags *out_diags,
                struct policy **out_policy) MUST_CHECK;
/* The one warning that needs a caller (policy.md 2.7): funnel granted to autogroup:member while the
 * caller has no untagged device and the tailnet has tagged ones. Adds to diags. */
void policy_warn_caller(const struct policy *p,
                        const struct policy_facts *f,
                        struct slice login,
                        struct policy_diags *diags);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p);              /* takes NULL */
struct slice policy_text(const struct policy *p); /* as sent */

/* Does any entry give attr to anybody? (The preselected grant, ARCHITECTURE section 8.) */
bool policy_grants_anyone(const struct policy *p, struct slice attr);

/* Unified diff with `context` lines around; the touched lines only. */
void policy_diff(struct slice before, struct slice after, int context, struct buf *out);

/* The policy of a new tailnet: funnel for autogroup:member stands there as a comment, not as a
 * grant. */
extern const char policy_default_text[];
