/*
 * Who reaches what: builds the parts in the order in which they need each other, and answers for
 * single devices and addresses. Questions about many at once are in ask.c.
 */
#include "policy/reach.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "policy/reach_priv.h"

int policy_reach_new(struct policy *p,
                     const struct policy_facts *f,
                     struct policy_reach **out_reach)
{
    AUTO(policy_reach_freep) struct policy_reach *r = mem_new(sizeof *r);
    r->policy = policy_ref(p);
    r->facts = policy_facts_ref(f);
    r->arena = arena_new(REACH_MEMORY_MAX);
    r->open = !p->has_acls && !p->has_grants;
    static void (*const parts[])(struct policy_reach *) = {reach_terms_build, reach_books_build,
                                                           reach_addrs_build, reach_classes_build};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        parts[i](r);
        if (r->no_memory) {
            return err_origin(-ENOMEM);
        }
    }
    *out_reach = STEAL(r);
    return 0;
}

void policy_reach_free(struct policy_reach *r)
{
    if (!r) {
        return;
    }
    policy_unref(r->policy);
    policy_facts_unref(r->facts);
    arena_free(r->arena);
    mem_free(r);
}

size_t policy_reach_classes(const struct policy_reach *r)
{
    return r->class_count;
}

size_t policy_reach_memory(const struct policy_reach *r)
{
    return sizeof *r + arena_used(r->arena);
}

/* ---- points ---- */

uint32_t reach_device_at(const struct policy_reach *r, const struct ip_addr *a)
{
    const struct policy_device *d = r->facts->devices;
    for (uint32_t i = 0; i < r->facts->device_count; i++) {
        if (!ip_addr_cmp(&d[i].ipv4, a) || !ip_addr_cmp(&d[i].ipv6, a)) {
            return i;
        }
    }
    return REACH_NONE;
}

/* "*" as a source is the tailnet's own ranges (policy.md 2.2). */
static bool in_tailnet(const struct ip_addr *a)
{
    static const char *const ranges[] = {
        "100.64.0.0-100.115.91.255", "100.115.94.0-100.127.255.255",
        "fd7a:115c:a1e0::-fd7a:115c:a1e0:ffff:ffff:ffff:ffff:ffff"};
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        struct ip_range r;
        if (ip_range_parse(slice_str(ranges[i]), &r) && r.first.family == a->family &&
            ip_addr_cmp(&r.first, a) <= 0 && ip_addr_cmp(a, &r.last) <= 0) {
            return true;
        }
    }
    return false;
}

struct reach_point reach_addr_point(const struct policy_reach *r,
                                    const struct ip_addr *a,
                                    uint32_t device,
                                    enum reach_side side)
{
    static const uint32_t terms[] = {TERM_ALL, TERM_ANYONE};
    struct reach_point p;
    if (device != REACH_NONE && r->device_class[device] != REACH_NONE) {
        p = r->classes[r->device_class[device]];
        p.device = device;
    } else {
        bool all = side == REACH_DST || in_tailnet(a);
        p = (struct reach_point){.terms = all ? terms : terms + 1,
                                 .term_count = all ? 2 : 1,
                                 .user = POLICY_NO_USER,
                                 .device = REACH_NONE,
                                 .outside = true};
    }
    p.set4 = addr_index_find(&r->addrs, a);
    p.set6 = 0;
    return p;
}

static bool has_common_term(const struct reach_point *p, uint32_t term)
{
    size_t low = 0, high = p->term_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (p->terms[mid] < term) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < p->term_count && p->terms[low] == term;
}

bool reach_point_has(const struct policy_reach *r, const struct reach_point *p, uint32_t term)
{
    if (term >= r->addr_terms) {
        return addr_set_has(&r->addrs, p->set4, term - r->addr_terms) ||
               addr_set_has(&r->addrs, p->set6, term - r->addr_terms);
    }
    return has_common_term(p, term);
}

static bool has_any(const struct policy_reach *r,
                    const struct reach_point *p,
                    const uint32_t *terms,
                    uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (reach_point_has(r, p, terms[i])) {
            return true;
        }
    }
    return false;
}

/* ---- one question ---- */

static bool item_takes(const struct policy_reach *r,
                       const struct book_item *item,
                       const struct reach_point *src,
                       const struct reach_point *dst)
{
    return has_any(r, dst, item->dst, item->dst_count) ||
           (item->self && src->user != POLICY_NO_USER && src->user == dst->user);
}

/* Rules one after the other: nothing to remember, so that threads may share the reach. */
uint32_t reach_rule(const struct policy_reach *r,
                    const struct rule_book *book,
                    const struct reach_point *src,
                    const struct reach_point *dst,
                    const struct reach_question *q)
{
    for (uint32_t i = 0; i < book->item_count; i++) {
        const struct book_item *item = &book->items[i];
        const struct book_rule *rule = &book->rules[item->rule];
        enum reach_fit fit = reach_item_fit(r, book, item, q);
        if (fit != FIT_NO && has_any(r, src, rule->src, rule->src_count) &&
            item_takes(r, item, src, dst) &&
            (fit == FIT_YES || reach_login_fits(r, rule->ssh, src->user, q))) {
            return item->rule;
        }
    }
    return REACH_NONE;
}

static bool reaches(const struct policy_reach *r,
                    const struct reach_point *src,
                    const struct reach_point *dst,
                    const struct reach_question *q)
{
    return !src->suspended && !dst->suspended &&
           (r->open || reach_rule(r, &r->access, src, dst, q) != REACH_NONE);
}

bool policy_reach_device(
    const struct policy_reach *r, size_t src, size_t dst, uint16_t proto, uint16_t port)
{
    uint32_t from = r->device_class[src], to = r->device_class[dst];
    struct reach_question q = {.proto = proto, .port = port};
    return from != REACH_NONE && to != REACH_NONE &&
           reaches(r, &r->classes[from], &r->classes[to], &q);
}

bool policy_reach_addr(const struct policy_reach *r,
                       size_t src,
                       const struct ip_addr *dst,
                       uint16_t proto,
                       uint16_t port)
{
    uint32_t from = r->device_class[src];
    struct reach_point to = reach_addr_point(r, dst, reach_device_at(r, dst), REACH_DST);
    struct reach_question q = {.proto = proto, .port = port, .dst_outside = to.outside};
    return from != REACH_NONE && reaches(r, &r->classes[from], &to, &q);
}

/* ---- who can reach this ---- */

static bool
point_marked(const struct policy_reach *r, const struct reach_point *p, const bool *marks)
{
    bool found = false;
    for (uint32_t i = 0; !found && i < p->term_count; i++) {
        found = marks[p->terms[i]];
    }
    const addr_set sets[] = {p->set4, p->set6};
    for (size_t i = 0; !found && i < ARRAY_LEN(sets); i++) {
        struct addr_walk w;
        uint32_t number;
        addr_walk_begin(&w, &r->addrs, sets[i]);
        while (!found && addr_walk_next(&w, &r->addrs, &number)) {
            found = marks[r->addr_terms + number];
        }
    }
    return found;
}

static void mark_sources(const struct policy_reach *r,
                         const struct reach_point *dst,
                         const struct reach_question *q,
                         bool *marks)
{
    for (uint32_t i = 0; i < r->access.item_count; i++) {
        const struct book_item *item = &r->access.items[i];
        const struct book_rule *rule = &r->access.rules[item->rule];
        if (reach_item_fit(r, &r->access, item, q) == FIT_YES &&
            has_any(r, dst, item->dst, item->dst_count)) {
            for (uint32_t k = 0; k < rule->src_count; k++) {
                marks[rule->src[k]] = true;
            }
        }
    }
}

void policy_reach_who(const struct policy_reach *r,
                      size_t dst,
                      uint16_t proto,
                      uint16_t port,
                      policy_reach_fn fn,
                      void *arg)
{
    if (r->device_class[dst] == REACH_NONE || r->classes[r->device_class[dst]].suspended) {
        return;
    }
    const struct reach_point *to = &r->classes[r->device_class[dst]];
    struct reach_question q = {.proto = proto, .port = port};
    AUTO_FREE bool *marks = mem_new_array(r->term_count, sizeof *marks);
    AUTO_FREE bool *yes = mem_new_array(r->class_count, sizeof *yes);
    mark_sources(r, to, &q, marks);
    for (size_t i = 0; i < r->class_count; i++) {
        const struct reach_point *c = &r->classes[i];
        bool same = to->user != POLICY_NO_USER && c->user == to->user; /* autogroup:self, then */
        yes[i] = !c->suspended &&
                 (r->open || point_marked(r, c, marks) || (same && reaches(r, c, to, &q)));
    }
    for (size_t i = 0; i < r->facts->device_count; i++) {
        if (r->device_class[i] != REACH_NONE && yes[r->device_class[i]]) {
            fn(arg, i);
        }
    }
}
