#pragma once
/*
 * Inside the evaluator (policy.md 5.2). Everything that an entry can give is a bit: each name of an
 * attribute or app capability, each distinct list of Funnel ports, each entry with app values. A
 * selector is a row of bits, a device the OR of the rows that select it, and equal rows are one
 * set. What a set says in words is written when somebody first asks for it.
 */
#include "lib/base/arena.h"
#include "policy/eval.h"
#include "policy/model.h"
#include "policy/names.h"

#define NO_BIT UINT32_MAX

/* Bytes of a snapshot and of what building one needs beside it: some hundred times what ten
 * thousand devices and a thousand entries take. Beyond it, -ENOMEM. */
#define INDEX_MAX (256 * MIB)

/* What a bit below name_count means; bits are in the order of names. */
struct cap_name {
    struct slice name;
    struct slice key; /* "name": as JSON, with the colon */
    bool app;         /* some entry gives values for it */
};

struct port_list {
    const struct port_range *at;
    size_t count;
};

struct app_entry {
    const struct attr_entry *entry;
    const uint32_t *names; /* of entry->apps, as bits */
};

struct prefix_row {
    struct ip_prefix prefix;
    uint32_t parent; /* the narrowest one around it, or NO_BIT */
    uint64_t *row;   /* once built, with the parents' bits */
};

/* A set, before and after it was put into words. */
struct set_slot {
    bool funnel;
    struct port_list ports;
    struct policy_set *made; /* atomic: whoever comes first publishes */
};

/* A set that policy_snapshot_one met first. */
struct late_set {
    struct late_set *next;
    struct set_slot slot;
    uint64_t row[];
};

struct policy_snapshot {
    int refs; /* atomic */
    struct policy *policy;
    struct policy_facts *facts;
    struct arena *arena; /* names, lists, rows */

    struct cap_name *names;
    size_t name_count;
    uint32_t funnel;         /* bit of POLICY_FUNNEL */
    size_t ports_at;         /* where the funnel-ports capability stands among the names */
    struct port_list *lists; /* bits from name_count */
    size_t list_count;
    struct app_entry *apps; /* bits from name_count + list_count */
    size_t app_count;
    size_t words; /* of a row */

    uint64_t *users;             /* a row per user of the facts, complete */
    uint64_t *all;               /* what "*" gives: an untagged device without an owner */
    uint64_t *tagged;            /* the same and autogroup:tagged */
    uint64_t **tag_rows;         /* by the policy's index; NULL: no target names it */
    struct name_table tags;      /* to that index, where there is a row */
    struct prefix_row *prefixes; /* by first address, the wider first */
    size_t prefix_count;

    uint64_t *sets; /* rows; 0 is the empty one */
    struct set_slot *slots;
    size_t set_count, set_room;
    uint32_t *table; /* 1 + set, by hash of its row */
    size_t table_size;
    uint32_t *device_set; /* by position in the facts */
    struct late_set *late;
    size_t worded; /* atomic: bytes of sets put into words */
};

static inline bool row_has(const uint64_t *row, size_t bit)
{
    return row[bit / 64] >> (bit % 64) & 1;
}

static inline void row_set(uint64_t *row, size_t bit)
{
    row[bit / 64] |= (uint64_t)1 << (bit % 64);
}

static inline void row_or(uint64_t *row, const uint64_t *other, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        row[i] |= other[i];
    }
}

/* The first set bit at or after `from` and below `end`, or `end`. */
static inline size_t row_next(const uint64_t *row, size_t from, size_t end)
{
    for (size_t at = from; at < end; at = (at / 64 + 1) * 64) {
        uint64_t rest = row[at / 64] >> (at % 64);
        if (rest) {
            size_t bit = at + (size_t)__builtin_ctzll(rest);
            return bit < end ? bit : end;
        }
    }
    return end;
}

/* Asking changes nothing in a snapshot but what was put into words. */
static inline struct policy_snapshot *snapshot_words(const struct policy_snapshot *s)
{
    return unconst(s);
}

static inline const uint64_t *set_row(const struct policy_snapshot *s, size_t set)
{
    return s->sets + set * s->words;
}

/* eval_index.c: the policy's side. 0 or -ENOMEM. */
int index_build(struct policy_snapshot *s) MUST_CHECK;
/* The row of everything that selects the device; row has s->words words, zeroed. */
void index_device(const struct policy_snapshot *s,
                  const struct policy_device *device,
                  uint64_t *row);

/* eval_set.c: what a row says. Fills funnel and ports: 0 or -ENOMEM. */
int set_ports(struct policy_snapshot *s, const uint64_t *row, struct set_slot *slot) MUST_CHECK;
const struct policy_set *
set_words(struct policy_snapshot *s, const uint64_t *row, struct set_slot *slot);

static inline const struct set_slot *device_slot(const struct policy_snapshot *s, size_t device)
{
    return &s->slots[s->device_set[device]];
}

/* A question about one capability, read once and asked of many devices. */
struct want {
    struct slice name; /* of the attribute or app capability */
    uint32_t bit;      /* NO_BIT: nothing gives it */
    bool ports;        /* funnel on all of these, or at all when there are none */
    struct port_range ranges[16];
    size_t range_count;
};

/* attr as policy_explain takes it. */
void want_read(const struct policy_snapshot *s, struct slice attr, struct want *out_want);
bool want_met(const struct policy_snapshot *s, size_t device, const struct want *w);
