#pragma once
/*
 * A made-up tailnet and policy of the sizes in policy.md 5.4: 70 % of the devices user-owned, 2,000
 * users, 300 groups of 50, 200 tags, 64 attributes, 5 targets per entry. From a fixed seed: the
 * same tailnet in every run. The numbers behind the text are kept, so that a peer can work on them.
 */
#include "lib/base/buf.h"
#include "policy/facts.h"

enum {
    GEN_USERS = 2000,
    GEN_GROUPS = 300,
    GEN_MEMBERS = 50,
    GEN_TAGS = 200,
    GEN_ATTRS = 64,
    GEN_TARGETS = 5,
    GEN_ENTRY_ATTRS = 2,
};

enum gen_kind { GEN_USER, GEN_GROUP, GEN_TAG, GEN_TAGGED, GEN_ROLE };

struct gen_target {
    enum gen_kind kind;
    uint32_t index; /* of the user, group, tag or role */
};

struct gen_entry {
    struct gen_target targets[GEN_TARGETS];
    uint32_t attrs[GEN_ENTRY_ATTRS];
};

struct gen_device {
    uint32_t user; /* UINT32_MAX: tagged */
    uint32_t tags[2];
    uint32_t tag_count;
};

struct gen {
    uint32_t groups[GEN_GROUPS][GEN_MEMBERS];
    enum policy_role roles[GEN_USERS];
    struct gen_entry *entries;
    size_t entry_count;
    struct gen_device *devices;
    size_t device_count;
    struct policy_facts *facts;
};

struct gen *gen_new(size_t devices, size_t entries);
void gen_free(struct gen *g);
/* Appends the policy; extra: more members of the root object, or "". */
void gen_policy(const struct gen *g, const char *extra, struct buf *out);
void gen_target_text(const struct gen_target *t, char out[64]);

uint32_t gen_random(uint64_t *state, uint32_t below);
double gen_seconds(void); /* of the monotonic clock */
/* One line of the contract in README.md; peer and goal may be NULL. */
double gen_median(double *values, size_t count); /* sorts them */
void gen_figure(
    const char *figure, double value, const char *unit, const char *goal, const char *peer);
