/*
 * Everyone to everyone. Rows of bits give the few rules that are about anyone here and anyone
 * there; mostly one of them covers all pairs, or none is left. Only where several rules share the
 * work is each source looked at by itself.
 */
#include "policy/ask_priv.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "policy/ask_scratch_priv.h"

enum { LOOKS_BETWEEN_CLOCKS = 64 };

int asker_new(const struct policy_reach *r,
              const struct rule_book *book,
              struct mono deadline,
              struct asker **out_asker)
{
    AUTO(asker_freep) struct asker *a = mem_new(sizeof *a);
    a->r = r;
    a->book = book;
    a->deadline = deadline;
    a->term_marks = mem_try(r->term_count * sizeof *a->term_marks);
    a->rule_marks = mem_try(book->rule_count * sizeof *a->rule_marks);
    a->found = mem_try(book->item_count * sizeof *a->found);
    a->users = mem_try(r->facts->user_count * sizeof *a->users);
    a->points =
        mem_try((r->class_count + r->principal_count + r->policy->tag_count + 1) * sizeof(void *));
    if (!a->term_marks || !a->rule_marks || !a->found || !a->users || !a->points) {
        return err_origin(-ENOMEM);
    }
    asker_begin(a);
    *out_asker = STEAL(a);
    return 0;
}

void asker_free(struct asker *a)
{
    if (!a) {
        return;
    }
    mem_free(a->term_marks);
    mem_free(a->rule_marks);
    mem_free(a->found);
    mem_free(a->users);
    mem_free(a->points);
    mem_free(a->hosts);
    map_free(a->sources);
    map_free(a->destinations);
    arena_free(a->arena);
    mem_free(a);
}

/* Looks at the clock now and then. */
static bool late(const struct asker *a, size_t turn)
{
    return turn % LOOKS_BETWEEN_CLOCKS == LOOKS_BETWEEN_CLOCKS - 1 &&
           mono_reached(mono_now(), a->deadline);
}

/* ---- marks on terms ---- */

void asker_fresh(struct asker *a)
{
    a->mark++;
}

static void mark_terms(struct asker *a, const uint32_t *terms, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        a->term_marks[terms[i]] = a->mark;
    }
}

static bool set_marked(const struct asker *a, addr_set set)
{
    struct addr_walk w;
    uint32_t number;
    addr_walk_begin(&w, &a->r->addrs, set);
    while (addr_walk_next(&w, &a->r->addrs, &number)) {
        if (a->term_marks[a->r->addr_terms + number] == a->mark) {
            return true;
        }
    }
    return false;
}

static bool point_marked(const struct asker *a, const struct reach_point *p)
{
    for (uint32_t i = 0; i < p->term_count; i++) {
        if (a->term_marks[p->terms[i]] == a->mark) {
            return true;
        }
    }
    return (p->set4 && set_marked(a, p->set4)) || (p->set6 && set_marked(a, p->set6));
}

/* ---- rows ---- */

struct row_build {
    struct asker *a;
    const struct postings *from;
    uint64_t *row;
};

static inline void add_postings(const struct row_build *b, uint32_t term)
{
    if (b->a->term_marks[term] == b->a->mark) {
        return; /* another point had it */
    }
    b->a->term_marks[term] = b->a->mark;
    for (uint32_t i = b->from->first[term]; i < b->from->first[term + 1]; i++) {
        b->row[b->from->list[i] / 64] |= (uint64_t)1 << (b->from->list[i] % 64);
    }
}

static void add_addresses(const struct row_build *b, addr_set set)
{
    const struct policy_reach *r = b->a->r;
    struct addr_walk w;
    uint32_t number;
    addr_walk_begin(&w, &r->addrs, set);
    while (addr_walk_next(&w, &r->addrs, &number)) {
        add_postings(b, r->addr_terms + number);
    }
}

/* Fills t->row; false when there is no memory. Points of one principal stand side by side and share
 * their terms. */
static bool need_row(struct asker *a, struct ask_target *t, enum reach_side side)
{
    size_t bits = side == REACH_SRC ? a->book->rule_count : a->book->item_count;
    struct row_build b = {a, side == REACH_SRC ? &a->book->src : &a->book->dst, NULL};
    const struct reach_point *last = NULL;
    if (t->row) {
        return true;
    }
    b.row = arena_alloc(a->arena, (bits / 64 + 1) * sizeof *b.row);
    asker_fresh(a);
    for (size_t i = 0; b.row && i < t->count; i++) {
        const struct reach_point *p = t->at[i];
        bool same = last && p->terms == last->terms && p->term_count == last->term_count;
        for (uint32_t k = 0; !same && k < p->term_count; k++) {
            add_postings(&b, p->terms[k]);
        }
        last = p;
        if (p->set4) {
            add_addresses(&b, p->set4);
        }
        if (p->set6) {
            add_addresses(&b, p->set6);
        }
    }
    t->row = b.row;
    return b.row != NULL;
}

static bool row_has(const uint64_t *row, uint32_t bit)
{
    return row[bit / 64] >> (bit % 64) & 1;
}

/* ---- the items that are about both sides ---- */

static void find_item(struct asker *a,
                      const struct reach_question *q,
                      const struct ask_target *src,
                      uint32_t item,
                      bool to_dst)
{
    const struct book_item *it = &a->book->items[item];
    enum reach_fit fit = FIT_NO;
    if (row_has(src->row, it->rule)) {
        fit = reach_item_fit(a->r, a->book, it, q);
    }
    if (fit != FIT_NO) {
        a->found[a->found_count++] = (struct found_item){item, to_dst && fit == FIT_YES};
    }
}

static bool find_items(struct asker *a,
                       const struct reach_question *q,
                       struct ask_target *src,
                       struct ask_target *dst)
{
    a->found_count = 0;
    if (!need_row(a, src, REACH_SRC) || !need_row(a, dst, REACH_DST)) {
        return false;
    }
    for (size_t w = 0; w < a->book->item_count / 64 + 1; w++) {
        for (uint64_t bits = dst->row[w]; bits; bits &= bits - 1) {
            find_item(a, q, src, (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits), true);
        }
    }
    for (size_t i = 0; i < a->book->self_count; i++) {
        if (!row_has(dst->row, a->book->selfs[i])) {
            find_item(a, q, src, a->book->selfs[i], false);
        }
    }
    return true;
}

/* Does a rule name the selector itself, or all? Then it covers whomever that means. */
static bool names(const uint32_t *terms, uint32_t count, const struct ask_target *t)
{
    for (uint32_t i = 0; i < count; i++) {
        if (terms[i] == t->term || (terms[i] == TERM_ALL && !t->outside)) {
            return true;
        }
    }
    return false;
}

/* Does a rule that names this destination name the source, too? */
static bool named_at(const struct asker *a,
                     const struct reach_question *q,
                     const struct ask_target *src,
                     uint32_t dst)
{
    const struct postings *at = &a->book->dst;
    for (uint32_t i = at->first[dst]; i < at->first[dst + 1]; i++) {
        const struct book_item *item = &a->book->items[at->list[i]];
        const struct book_rule *rule = &a->book->rules[item->rule];
        if (names(rule->src, rule->src_count, src) &&
            reach_item_fit(a->r, a->book, item, q) == FIT_YES) {
            return true;
        }
    }
    return false;
}

static bool
covers(struct asker *a, const uint32_t *terms, uint32_t count, const struct ask_target *t)
{
    if (names(terms, count, t)) {
        return true;
    }
    asker_fresh(a);
    mark_terms(a, terms, count);
    for (size_t i = 0; i < t->count; i++) {
        if (!point_marked(a, t->at[i])) {
            return false;
        }
    }
    return true;
}

/* One of those that the terms take; there is one. */
static const struct reach_point *
first_of(struct asker *a, const uint32_t *terms, uint32_t count, const struct ask_target *t)
{
    size_t i = 0;
    asker_fresh(a);
    mark_terms(a, terms, count);
    while (i + 1 < t->count && !point_marked(a, t->at[i])) {
        i++;
    }
    return t->at[i];
}

/* ---- one source at a time ---- */

static inline void mark_rules(struct asker *a, uint32_t term)
{
    for (uint32_t i = a->book->src.first[term]; i < a->book->src.first[term + 1]; i++) {
        a->rule_marks[a->book->src.list[i]] = a->mark;
    }
}

static void mark_rules_at(struct asker *a, addr_set set)
{
    struct addr_walk w;
    uint32_t number;
    addr_walk_begin(&w, &a->r->addrs, set);
    while (addr_walk_next(&w, &a->r->addrs, &number)) {
        mark_rules(a, a->r->addr_terms + number);
    }
}

/* Does the rule take this source with what it asks for? */
static bool takes(const struct asker *a,
                  const struct reach_question *q,
                  const struct book_item *item,
                  const struct reach_point *src)
{
    return a->rule_marks[item->rule] == a->mark &&
           (a->book == &a->r->access ||
            reach_login_fits(a->r, a->book->rules[item->rule].ssh, src->user, q));
}

/* Marks what the source reaches through the items that were found; true: its own devices too. */
static bool
mark_reached(struct asker *a, const struct reach_question *q, const struct reach_point *src)
{
    bool self = false;
    asker_fresh(a);
    for (uint32_t i = 0; i < src->term_count; i++) {
        mark_rules(a, src->terms[i]);
    }
    mark_rules_at(a, src->set4);
    mark_rules_at(a, src->set6);
    for (size_t i = 0; i < a->found_count; i++) {
        const struct book_item *item = &a->book->items[a->found[i].item];
        if (takes(a, q, item, src)) {
            mark_terms(a, item->dst, item->dst_count);
            self |= item->self && src->user != POLICY_NO_USER;
        }
    }
    return self;
}

/* Goes through the pairs until one is reached, or is not, as wanted. */
struct look {
    const struct reach_question *q;
    const struct ask_target *src, *dst;
    bool reached;
};

/* The first destination that the source reaches, or does not, as wanted; their count when there is
 * none. */
static size_t look_from(struct asker *a, const struct look *l, const struct reach_point *src)
{
    bool self = mark_reached(a, l->q, src);
    size_t i = 0;
    while (i < l->dst->count) {
        const struct reach_point *d = l->dst->at[i];
        bool reached = point_marked(a, d) || (self && d->user == src->user);
        if (reached == l->reached) {
            break;
        }
        i++;
    }
    return i;
}

static enum ask_answer look_for(struct asker *a, const struct look *l, struct ask_pair *out_pair)
{
    for (size_t i = 0; i < l->src->count; i++) {
        if (late(a, i)) {
            return ASK_LATE;
        }
        const struct reach_point *src = l->src->at[i];
        size_t k = look_from(a, l, src);
        if (k < l->dst->count) {
            *out_pair = (struct ask_pair){src, l->dst->at[k], REACH_NONE};
            if (l->reached) {
                out_pair->rule = reach_rule(a->r, a->book, src, l->dst->at[k], l->q);
            }
            return ASK_YES;
        }
    }
    return ASK_NO;
}

/* Answers that need no look at the rules; false: they do. */
static bool without_rules(const struct asker *a,
                          const struct ask_target *src,
                          const struct ask_target *dst,
                          enum ask_answer *out_answer,
                          struct ask_pair *out_pair)
{
    *out_pair = (struct ask_pair){src->at[0], dst->at[0], REACH_NONE};
    *out_answer = src->suspended || dst->suspended ? ASK_NO : ASK_YES;
    return *out_answer == ASK_NO || (a->r->open && a->book == &a->r->access);
}

enum ask_answer ask_all(struct asker *a,
                        const struct reach_question *q,
                        struct ask_target *src,
                        struct ask_target *dst,
                        struct ask_pair *out_pair)
{
    enum ask_answer answer;
    if (without_rules(a, src, dst, &answer, out_pair)) {
        return answer;
    }
    if (named_at(a, q, src, dst->term) || (!dst->outside && named_at(a, q, src, TERM_ALL))) {
        return ASK_YES; /* most tests say what a rule says */
    }
    if (!find_items(a, q, src, dst)) {
        return ASK_NO_MEMORY;
    }
    if (!a->found_count) {
        return ASK_NO;
    }
    for (size_t i = 0; i < a->found_count; i++) {
        const struct book_item *item = &a->book->items[a->found[i].item];
        const struct book_rule *rule = &a->book->rules[item->rule];
        if (late(a, i)) {
            return ASK_LATE;
        }
        if (a->found[i].plain && covers(a, rule->src, rule->src_count, src) &&
            covers(a, item->dst, item->dst_count, dst)) {
            return ASK_YES;
        }
    }
    answer = look_for(a, &(struct look){q, src, dst, false}, out_pair);
    return answer == ASK_LATE ? ASK_LATE : answer == ASK_YES ? ASK_NO : ASK_YES;
}

enum ask_answer ask_any(struct asker *a,
                        const struct reach_question *q,
                        struct ask_target *src,
                        struct ask_target *dst,
                        struct ask_pair *out_pair)
{
    enum ask_answer answer;
    if (without_rules(a, src, dst, &answer, out_pair)) {
        return answer;
    }
    if (!find_items(a, q, src, dst)) {
        return ASK_NO_MEMORY;
    }
    for (size_t i = 0; i < a->found_count; i++) {
        const struct book_item *item = &a->book->items[a->found[i].item];
        const struct book_rule *rule = &a->book->rules[item->rule];
        if (a->found[i].plain) {
            *out_pair = (struct ask_pair){first_of(a, rule->src, rule->src_count, src),
                                          first_of(a, item->dst, item->dst_count, dst), item->rule};
            return ASK_YES;
        }
    }
    return a->found_count ? look_for(a, &(struct look){q, src, dst, true}, out_pair) : ASK_NO;
}
