#pragma once
/*
 * Questions about many at once: does everyone here reach everyone there, does anyone? An asker has
 * the scratch for one book; it belongs to one thread.
 */
#include "policy/reach_priv.h"

/* Whom a selector means in a test. */
struct ask_target {
    const struct reach_point **at;
    size_t count;
    uint32_t term;  /* the selector's own, or TERM_NOBODY */
    uint64_t *row;  /* bits: rules that take one of them as source, or items as destination; NULL
                       until needed */
    bool outside;   /* an address that no device has */
    bool suspended; /* all of them: they exchange no traffic */
    bool made_up;   /* nobody has such a device yet */
};

struct asker;

/* -ENOMEM or 0. */
int asker_new(const struct policy_reach *r,
              const struct rule_book *book,
              struct mono deadline,
              struct asker **out_asker) MUST_CHECK;
void asker_free(struct asker *a); /* takes NULL */
DEFINE_AUTO(struct asker, asker_free)

/* Borrowed until the next asker_begin. NULL with a reason: it means nobody, or nothing that a test
 * may name. */
struct ask_target *
asker_target(struct asker *a, const struct selector *s, enum reach_side side, char out_why[256]);
/* All devices of one user: autogroup:self. NULL without memory; so below. */
struct ask_target *asker_self(struct asker *a, uint32_t user);
/* Some of a source's points, side by side. */
struct ask_target *
asker_part(struct asker *a, const struct ask_target *whole, size_t first, size_t count);
/* Before each test: lets go of targets when they have become too many. */
void asker_begin(struct asker *a);

enum ask_answer { ASK_NO, ASK_YES, ASK_LATE /* the deadline */, ASK_NO_MEMORY };

struct ask_pair {
    const struct reach_point *src, *dst;
    uint32_t rule; /* in the book; REACH_NONE */
};

/* out_pair: for ASK_NO of ask_all one pair that misses, for ASK_YES of ask_any one that hits. */
enum ask_answer ask_all(struct asker *a,
                        const struct reach_question *q,
                        struct ask_target *src,
                        struct ask_target *dst,
                        struct ask_pair *out_pair);
enum ask_answer ask_any(struct asker *a,
                        const struct reach_question *q,
                        struct ask_target *src,
                        struct ask_target *dst,
                        struct ask_pair *out_pair);
