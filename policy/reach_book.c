/*
 * Rules as terms. Two books of one form: acls and grants, and ssh. Destinations of a rule that have
 * the same ports are one item, because that is what a question asks about.
 */
#include "policy/reach_priv.h"

/* Where the next terms, items and postures of a book go. */
struct binder {
    struct policy_reach *r;
    struct rule_book *book;
    uint32_t *terms, *postures;
};

static void use_term(struct binder *b, uint32_t term, uint32_t *count)
{
    if (term != TERM_NOBODY) {
        *b->terms++ = term;
        ++*count;
        b->r->used[term / 64] |= (uint64_t)1 << (term % 64);
    }
}

static struct book_rule *begin_rule(struct binder *b, const struct selectors *src, uint32_t offset)
{
    struct book_rule *rule = &b->book->rules[b->book->rule_count++];
    *rule = (struct book_rule){
        .src = b->terms, .item = (uint32_t)b->book->item_count, .offset = offset};
    for (size_t i = 0; i < src->count; i++) {
        use_term(b, reach_term(b->r, &src->at[i]), &rule->src_count);
    }
    return rule;
}

static struct book_item *begin_item(struct binder *b, struct book_rule *rule)
{
    struct book_item *item = &b->book->items[b->book->item_count++];
    *item = (struct book_item){.rule = (uint32_t)(rule - b->book->rules), .dst = b->terms};
    rule->item_count++;
    return item;
}

static void add_dst(struct binder *b, struct book_item *item, const struct selector *s)
{
    if (s->kind == SELECTOR_SELF) {
        item->self = true;
    } else {
        use_term(b, reach_term(b->r, s), &item->dst_count);
    }
}

static void bind_postures(struct binder *b, struct book_rule *rule, const struct words *names)
{
    rule->postures = b->postures;
    for (size_t i = 0; i < names->count; i++) {
        *b->postures++ = policy_find_name(&b->r->policy->posture_names, names->at[i].text);
        rule->posture_count++;
    }
}

static bool same_ports(const struct book_item *item, const struct rule_dst *d)
{
    return item->port_count == d->port_count &&
           (!d->port_count || !memcmp(item->ports, d->ports, d->port_count * sizeof *d->ports));
}

static void bind_access(struct binder *b, const struct rule *from)
{
    const struct words *postures =
        from->postures.count ? &from->postures : &b->r->policy->default_postures;
    struct book_rule *rule = begin_rule(b, &from->src, from->offset);
    struct book_item *item = NULL;
    rule->access = from;
    bind_postures(b, rule, postures);
    for (size_t i = 0; i < from->dst_count; i++) {
        const struct rule_dst *d = &from->dst[i];
        if (!item || (from->kind == RULE_ACL && !same_ports(item, d))) {
            item = begin_item(b, rule);
            item->ports = d->ports;
            item->port_count = d->port_count;
        }
        add_dst(b, item, &d->what);
    }
}

static void bind_ssh(struct binder *b, const struct ssh_rule *from)
{
    struct book_rule *rule = begin_rule(b, &from->src, from->offset);
    struct book_item *item = begin_item(b, rule);
    rule->ssh = from;
    bind_postures(b, rule, &from->postures);
    for (size_t i = 0; i < from->dst.count; i++) {
        add_dst(b, item, &from->dst.at[i]);
    }
}

/* ---- postings ---- */

static void count_term(uint32_t *first, const uint32_t *terms, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        first[terms[i] + 1]++;
    }
}

/* first[t] holds where the next of t goes; a term twice in one list is put down once. */
static void list_terms(struct postings *p, const uint32_t *terms, uint32_t count, uint32_t what)
{
    for (uint32_t i = 0; i < count; i++) {
        p->list[p->first[terms[i]]++] = what;
    }
}

/* From counts one place up to places. */
static void place_terms(uint32_t *first, uint32_t terms)
{
    for (uint32_t t = 1; t <= terms; t++) {
        first[t] += first[t - 1];
    }
}

/* Listing moved each first to the next one's; move them back. */
static void unmove(uint32_t *first, uint32_t terms)
{
    memmove(first + 1, first, terms * sizeof *first);
    first[0] = 0;
}

static void post_book(struct policy_reach *r, struct rule_book *b, size_t most_terms)
{
    b->src.first = reach_take(r, (size_t)r->term_count + 1, sizeof *b->src.first);
    b->dst.first = reach_take(r, (size_t)r->term_count + 1, sizeof *b->dst.first);
    b->src.list = reach_take(r, most_terms, sizeof *b->src.list);
    b->dst.list = reach_take(r, most_terms, sizeof *b->dst.list);
    b->selfs = reach_take(r, b->item_count, sizeof *b->selfs);
    if (r->no_memory) {
        return;
    }
    for (uint32_t i = 0; i < b->rule_count; i++) {
        count_term(b->src.first, b->rules[i].src, b->rules[i].src_count);
    }
    for (uint32_t i = 0; i < b->item_count; i++) {
        count_term(b->dst.first, b->items[i].dst, b->items[i].dst_count);
    }
    place_terms(b->src.first, r->term_count);
    place_terms(b->dst.first, r->term_count);
    for (uint32_t i = 0; i < b->rule_count; i++) {
        list_terms(&b->src, b->rules[i].src, b->rules[i].src_count, i);
    }
    for (uint32_t i = 0; i < b->item_count; i++) {
        list_terms(&b->dst, b->items[i].dst, b->items[i].dst_count, i);
        if (b->items[i].self) {
            b->selfs[b->self_count++] = i;
        }
    }
    unmove(b->src.first, r->term_count);
    unmove(b->dst.first, r->term_count);
}

/* ---- both books ---- */

struct sizes {
    size_t rules, items, terms, postures;
};

static bool take_book(struct binder *b, const struct sizes *n)
{
    b->book->rules = reach_take(b->r, n->rules, sizeof *b->book->rules);
    b->book->items = reach_take(b->r, n->items, sizeof *b->book->items);
    b->terms = reach_take(b->r, n->terms, sizeof *b->terms);
    b->postures = reach_take(b->r, n->postures, sizeof *b->postures);
    return !b->r->no_memory;
}

static void build_access(struct policy_reach *r)
{
    const struct policy *p = r->policy;
    struct binder b = {.r = r, .book = &r->access};
    struct sizes n = {.rules = p->rule_count};
    for (size_t i = 0; i < p->rule_count; i++) {
        const struct rule *rule = &p->rules[i];
        n.items += rule->dst_count;
        n.terms += rule->src.count + rule->dst_count;
        n.postures += rule->postures.count ? rule->postures.count : p->default_postures.count;
    }
    if (take_book(&b, &n)) {
        for (size_t i = 0; i < p->rule_count; i++) {
            bind_access(&b, &p->rules[i]);
        }
        post_book(r, &r->access, n.terms);
    }
}

static void build_ssh(struct policy_reach *r)
{
    const struct policy *p = r->policy;
    struct binder b = {.r = r, .book = &r->ssh};
    struct sizes n = {.rules = p->ssh_count, .items = p->ssh_count};
    for (size_t i = 0; i < p->ssh_count; i++) {
        n.terms += p->ssh[i].src.count + p->ssh[i].dst.count;
        n.postures += p->ssh[i].postures.count;
    }
    if (take_book(&b, &n)) {
        for (size_t i = 0; i < p->ssh_count; i++) {
            bind_ssh(&b, &p->ssh[i]);
        }
        post_book(r, &r->ssh, n.terms);
    }
}

void reach_books_build(struct policy_reach *r)
{
    build_access(r);
    build_ssh(r);
}
