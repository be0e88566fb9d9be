#pragma once
/*
 * Inside reachability (policy.md 5.3). What a selector names is a term, a small number; a device is
 * the set of terms that select it, and devices with the same set are one class. A book holds rules
 * as terms on both sides, with the rules of every term beside it, so that a question touches the
 * rules of the terms that it is about and no others. Addresses are cut into parts that have one set
 * of address selectors each.
 *
 * All of it is made once and then only read: scratch belongs to whoever asks.
 */
#include "lib/base/arena.h"
#include "lib/base/clock.h"
#include "policy/model.h"
#include "policy/reach.h"

#define REACH_MEMORY_MAX (256u * MIB) /* a file of 1 MiB and 100,000 devices stay far below */
#define REACH_NONE       UINT32_MAX

/* Terms that are always there; after them users, tags, groups, domains, addresses. */
enum {
    TERM_NOBODY, /* selects no device of the tailnet: a service, autogroup:shared, no such login */
    TERM_ALL,
    TERM_ANYONE, /* autogroup:danger-all */
    TERM_MEMBER,
    TERM_TAGGED,
    TERM_ROLE, /* and one for each role */
    TERM_USER = TERM_ROLE + POLICY_AUDITOR + 1,
};

/* ---- reach_addrs.c: which address selectors hold an address ---- */

/* A set of numbers: 0 is the empty one, ADDR_SINGLE and a number the set of that number, else a
 * node of a binary trie in which equal sets are one node. Equal sets are equal numbers. */
typedef uint32_t addr_set;

#define ADDR_SINGLE 0x80000000u

struct addr_key {
    uint64_t high, low;
};

/* Part i goes from starts[i] to the next start; what lies before the first has no selector. */
struct addr_parts {
    struct addr_key *starts;
    addr_set *sets;
    size_t count;
};

struct addr_index {
    struct addr_parts v4, v6;
    uint64_t *nodes; /* a leaf: 64 bits of the set; else two nodes, the lower numbers' first */
    size_t node_count;
    unsigned levels; /* of inner nodes */
};

/* One range of the selector `number`. Those of one selector do not overlap. */
struct addr_span {
    struct ip_range range;
    uint32_t number;
};

/* numbers: one more than the greatest. 0 or -ENOMEM (also for more numbers than ADDR_LEVELS_MAX
 * allows, which no file can name). */
int addr_index_build(struct arena *arena,
                     const struct addr_span *spans,
                     size_t count,
                     uint32_t numbers,
                     struct addr_index *out_index) MUST_CHECK;
addr_set addr_index_find(const struct addr_index *x, const struct ip_addr *a);
bool addr_set_has(const struct addr_index *x, addr_set set, uint32_t number);

#define ADDR_LEVELS_MAX 16 /* leaves of 64: four million numbers */

/* The numbers of a set, ascending. */
struct addr_walk {
    struct {
        addr_set node;
        uint32_t base;
        unsigned level;
    } todo[ADDR_LEVELS_MAX + 1];

    unsigned count;
    uint64_t bits;
    uint32_t base;
};

void addr_walk_begin(struct addr_walk *w, const struct addr_index *x, addr_set set);
bool addr_walk_next(struct addr_walk *w, const struct addr_index *x, uint32_t *out_number);

/* ---- who sends and receives ---- */

/* A class of devices, one address, or a device that nobody has yet and a test asks about. */
struct reach_point {
    const uint32_t *terms; /* ascending; those of addresses are in the sets */
    uint32_t term_count;
    addr_set set4, set6;
    uint32_t user;   /* POLICY_NO_USER: tagged, or an address outside */
    uint32_t device; /* an example; REACH_NONE: made up, or an address outside */
    bool suspended;
    bool outside; /* an address that no device has */
};

/* What all untagged devices of one user, or all devices with the same tags, have in common. */
struct principal {
    const uint32_t *terms;
    uint32_t term_count;
    uint32_t first_class, class_count;
};

/* Indexes of tags that the policy defines, ascending, and whether there were any tags at all. */
struct tag_list {
    const uint32_t *at;
    uint32_t count;
    bool tagged;
};

enum reach_side { REACH_SRC, REACH_DST };

/* ---- rules ---- */

struct book_rule {
    const uint32_t *src; /* terms */
    uint32_t src_count;
    uint32_t item, item_count;
    const uint32_t *postures; /* any of them suffices; of acls and grants the default ones too */
    uint32_t posture_count;
    uint32_t offset;           /* in the file */
    const struct rule *access; /* or */
    const struct ssh_rule *ssh;
};

/* Destinations of one rule that share their ports. */
struct book_item {
    uint32_t rule;
    const uint32_t *dst; /* terms; not autogroup:self */
    uint32_t dst_count;
    bool self;
    const struct port_range *ports; /* of an acl */
    size_t port_count;
};

/* What names a term: list[first[t]] … list[first[t + 1] - 1], ascending. */
struct postings {
    uint32_t *first, *list;
};

struct rule_book {
    struct book_rule *rules;
    size_t rule_count;
    struct book_item *items;
    size_t item_count;
    struct postings src, dst; /* rules by source, items by destination */
    uint32_t *selfs;          /* items that name autogroup:self */
    size_t self_count;
};

struct policy_reach {
    struct policy *policy;
    struct policy_facts *facts;
    struct arena *arena;
    bool no_memory;
    bool open; /* neither acls nor grants: everything is allowed */

    uint32_t tag_terms, group_terms, domain_terms, addr_terms, term_count; /* first of each */
    struct ip_prefix *prefixes; /* sorted; their terms are the first of the addresses' */
    size_t prefix_count;
    uint32_t *ipset_terms; /* by index; TERM_NOBODY: no rule names it */
    uint32_t internet_term;
    uint64_t *used; /* bits: some rule names the term */
    struct addr_index addrs;

    uint32_t *group_first; /* of the groups that rules name: users of the members, as written, at */
    uint32_t *group_users; /* [group_first[g]] and on; REACH_NONE: no rule does */
    struct principal *principals; /* users, then the distinct lists of tags */
    size_t principal_count;
    struct tag_list *tag_lists;  /* of the latter */
    struct reach_point *classes; /* by principal */
    size_t class_count;
    uint32_t *device_class; /* REACH_NONE: shared in, no rule sees it */

    struct rule_book access, ssh;
};

/* ---- questions ---- */

struct reach_question {
    uint16_t proto, port; /* of acls and grants */
    struct slice login;   /* of ssh */
    bool check;           /* of ssh: only rules with "check" */
    bool any_port;        /* whatever the protocol and port, login and action, and posture */
    const bool *postures; /* which hold, by index; NULL: none is known to */
    bool src_outside, dst_outside;
};

enum reach_fit {
    FIT_NO,
    FIT_YES,
    FIT_ASK, /* a login that depends on who comes: reach_login_fits */
};

/* reach_fit.c: is the item about what is asked, whoever sends and receives? */
enum reach_fit reach_item_fit(const struct policy_reach *r,
                              const struct rule_book *book,
                              const struct book_item *item,
                              const struct reach_question *q);
bool reach_login_fits(const struct policy_reach *r,
                      const struct ssh_rule *rule,
                      uint32_t user,
                      const struct reach_question *q);

/* Zeroed; sets no_memory and answers NULL when there is none. */
void *reach_take(struct policy_reach *r, size_t count, size_t size);

/* reach_terms.c: numbers for all that rules name. Then reach_book.c, reach_classes.c. Each tells of
 * trouble by no_memory. */
void reach_terms_build(struct policy_reach *r);
void reach_books_build(struct policy_reach *r);
void reach_addrs_build(struct policy_reach *r);
void reach_classes_build(struct policy_reach *r);

/* TERM_NOBODY where no rule may select a device by it: also autogroup:self, and addresses that no
 * rule names. */
uint32_t reach_term(const struct policy_reach *r, const struct selector *s);

bool reach_in_domain(struct slice login, struct slice domain);
/* The device that has the address, or REACH_NONE; shared-in ones too. Looks at all of them. */
uint32_t reach_device_at(const struct policy_reach *r, const struct ip_addr *a);
/* An address as somebody who sends, or receives: of a device that is ours as that device under this
 * one address. */
struct reach_point reach_addr_point(const struct policy_reach *r,
                                    const struct ip_addr *a,
                                    uint32_t device,
                                    enum reach_side side);
/* The first rule that lets src reach dst, or REACH_NONE. */
uint32_t reach_rule(const struct policy_reach *r,
                    const struct rule_book *book,
                    const struct reach_point *src,
                    const struct reach_point *dst,
                    const struct reach_question *q);
bool reach_point_has(const struct policy_reach *r, const struct reach_point *p, uint32_t term);

static inline bool reach_used(const struct policy_reach *r, uint32_t term)
{
    return r->used[term / 64] >> (term % 64) & 1;
}
