/*
 * Numbers for what rules name. Users, tags and groups have one whether a rule names them or not;
 * addresses only when one does, because each cuts the devices into finer classes.
 */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "policy/reach_priv.h"

/* What autogroup:internet means (policy.md 2.2): all but the private, shared and link-local
 * ranges. */
static const char *const internet[] = {
    "0.0.0.0-9.255.255.255",
    "11.0.0.0-100.63.255.255",
    "100.128.0.0-169.253.255.255",
    "169.255.0.0-172.15.255.255",
    "172.32.0.0-192.167.255.255",
    "192.169.0.0-255.255.255.255",
    "2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
};

void *reach_take(struct policy_reach *r, size_t count, size_t size)
{
    void *p = count <= REACH_MEMORY_MAX / size ? arena_alloc(r->arena, count * size) : NULL;
    r->no_memory |= !p;
    return p;
}

/* ---- the addresses that rules name ---- */

struct gather {
    struct policy_reach *r;
    struct ip_prefix *at; /* NULL: only count */
    size_t count;
    bool internet;
};

static void gather_selector(struct gather *g, const struct selector *s)
{
    if (s->kind == SELECTOR_ADDRESS || s->kind == SELECTOR_HOST) {
        if (g->at) {
            g->at[g->count] = s->prefix;
        }
        g->count++;
    } else if (s->kind == SELECTOR_IPSET && g->at) {
        g->r->ipset_terms[s->index] = TERM_ALL; /* numbered when all are known */
    } else {
        g->internet |= s->kind == SELECTOR_INTERNET;
    }
}

static void gather_all(struct gather *g, const struct selectors *s)
{
    for (size_t i = 0; i < s->count; i++) {
        gather_selector(g, &s->at[i]);
    }
}

static void gather_rules(struct gather *g)
{
    const struct policy *p = g->r->policy;
    g->count = 0;
    for (size_t i = 0; i < p->rule_count; i++) {
        gather_all(g, &p->rules[i].src);
        for (size_t k = 0; k < p->rules[i].dst_count; k++) {
            gather_selector(g, &p->rules[i].dst[k].what);
        }
    }
    for (size_t i = 0; i < p->ssh_count; i++) {
        gather_all(g, &p->ssh[i].src);
        gather_all(g, &p->ssh[i].dst);
    }
}

static int by_prefix(const void *a, const void *b)
{
    const struct ip_prefix *x = a, *y = b;
    int c = ip_addr_cmp(&x->addr, &y->addr);
    return c ? c : (x->bits > y->bits) - (x->bits < y->bits);
}

static void sort_prefixes(struct policy_reach *r, struct gather *g)
{
    qsort(g->at, g->count, sizeof *g->at, by_prefix);
    for (size_t i = 0; i < g->count; i++) {
        if (!i || by_prefix(&g->at[i], &r->prefixes[r->prefix_count - 1])) {
            r->prefixes[r->prefix_count++] = g->at[i];
        }
    }
}

void reach_terms_build(struct policy_reach *r)
{
    const struct policy *p = r->policy;
    struct gather g = {.r = r};
    gather_rules(&g);
    g.at = r->prefixes = reach_take(r, g.count, sizeof *g.at);
    r->ipset_terms = reach_take(r, p->ipset_count, sizeof *r->ipset_terms);
    if (r->no_memory) {
        return;
    }
    gather_rules(&g);
    sort_prefixes(r, &g);
    r->tag_terms = TERM_USER + (uint32_t)r->facts->user_count;
    r->group_terms = r->tag_terms + (uint32_t)p->tag_count;
    r->domain_terms = r->group_terms + (uint32_t)p->group_count;
    r->addr_terms = r->domain_terms + (uint32_t)r->facts->domain_count;
    r->term_count = r->addr_terms + (uint32_t)r->prefix_count;
    for (size_t i = 0; i < p->ipset_count; i++) {
        r->ipset_terms[i] = r->ipset_terms[i] ? r->term_count++ : TERM_NOBODY;
    }
    r->internet_term = g.internet ? r->term_count++ : TERM_NOBODY;
    r->used = reach_take(r, r->term_count / 64 + 1, sizeof *r->used);
}

void reach_addrs_build(struct policy_reach *r)
{
    const struct policy *p = r->policy;
    size_t most = r->prefix_count + ARRAY_LEN(internet), n = 0;
    for (size_t i = 0; i < p->ipset_count; i++) {
        most += p->ipsets[i].range_count;
    }
    AUTO_FREE struct addr_span *spans = mem_try(most * sizeof *spans);
    if (!spans) {
        r->no_memory = true;
        return;
    }
    for (size_t i = 0; i < r->prefix_count; i++) {
        spans[n++] = (struct addr_span){ip_prefix_range(&r->prefixes[i]), (uint32_t)i};
    }
    for (size_t i = 0; i < p->ipset_count; i++) {
        for (size_t k = 0; r->ipset_terms[i] != TERM_NOBODY && k < p->ipsets[i].range_count; k++) {
            spans[n++] =
                (struct addr_span){p->ipsets[i].ranges[k], r->ipset_terms[i] - r->addr_terms};
        }
    }
    for (size_t i = 0; r->internet_term != TERM_NOBODY && i < ARRAY_LEN(internet); i++) {
        spans[n].number = r->internet_term - r->addr_terms;
        (void)ip_range_parse(slice_str(internet[i]), &spans[n++].range);
    }
    r->no_memory |=
        addr_index_build(r->arena, spans, n, r->term_count - r->addr_terms, &r->addrs) != 0;
}

/* ---- look-up ---- */

static uint32_t user_term(const struct policy_reach *r, struct slice login)
{
    uint32_t user = policy_facts_find_user(r->facts, login);
    return user == POLICY_NO_USER ? TERM_NOBODY : TERM_USER + user;
}

static uint32_t domain_term(const struct policy_reach *r, struct slice domain)
{
    for (size_t i = 0; i < r->facts->domain_count; i++) {
        if (slice_eq_nocase(r->facts->domains[i], domain)) {
            return r->domain_terms + (uint32_t)i;
        }
    }
    return TERM_NOBODY; /* not, or no longer, a domain of the tailnet */
}

static uint32_t prefix_term(const struct policy_reach *r, const struct ip_prefix *p)
{
    const struct ip_prefix *found =
        bsearch(p, r->prefixes, r->prefix_count, sizeof *r->prefixes, by_prefix);
    return found ? r->addr_terms + (uint32_t)(found - r->prefixes) : TERM_NOBODY;
}

uint32_t reach_term(const struct policy_reach *r, const struct selector *s)
{
    switch (s->kind) {
    case SELECTOR_ALL:
        return TERM_ALL;
    case SELECTOR_DANGER_ALL:
        return TERM_ANYONE;
    case SELECTOR_MEMBER:
        return TERM_MEMBER;
    case SELECTOR_TAGGED:
        return TERM_TAGGED;
    case SELECTOR_ROLE:
        return TERM_ROLE + s->role;
    case SELECTOR_USER:
        return user_term(r, s->name);
    case SELECTOR_DOMAIN:
        return domain_term(r, s->name);
    case SELECTOR_GROUP:
        return r->group_terms + s->index;
    case SELECTOR_TAG:
        return r->tag_terms + s->index;
    case SELECTOR_ADDRESS:
    case SELECTOR_HOST:
        return prefix_term(r, &s->prefix);
    case SELECTOR_IPSET:
        return r->ipset_terms[s->index];
    case SELECTOR_INTERNET:
        return r->internet_term;
    case SELECTOR_NONE:
    case SELECTOR_RANGE:
    case SELECTOR_SERVICE:
    case SELECTOR_SELF:
    case SELECTOR_SHARED:
    case SELECTOR_NONROOT:
    case SELECTOR_LOCALPART:
    case SELECTOR_DEVICE:
    case SELECTOR_UNDEFINED:
        break;
    }
    return TERM_NOBODY;
}
