/*
 * From a target to devices, for many targets in a row: the evaluator goes the other way, from
 * devices to sets. Indices by owner, tag and address are made when a target first needs them.
 */
#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "policy/check_priv.h"

/* Targets that look at every device. Their answers are kept. */
enum {
    WIDE_ALL,
    WIDE_MEMBER,
    WIDE_TAGGED,
    WIDE_ROLE,
    WIDE_DOMAIN = WIDE_ROLE + POLICY_AUDITOR + 1
};

struct wide {
    struct picks picks;
    bool known;
};

struct at_addr {
    struct ip_addr addr;
    uint32_t device;
};

struct picker {
    const struct policy_snapshot *s;
    const struct policy_facts *f;
    struct wide *wide;     /* per kind and domain of the facts */
    uint32_t *stamp;       /* per set: 1 + the wide target that met it last */
    uint32_t *first;       /* per user: 1 + a device; NULL until needed */
    uint32_t *next;        /* per device: 1 + the owner's next one */
    struct map *by_tag;    /* name → struct picks; NULL until needed */
    struct at_addr *addrs; /* sorted; NULL until needed */
    size_t addr_count;
};

struct picker *picker_new(const struct policy_snapshot *s)
{
    struct picker *p = mem_new(sizeof *p);
    p->s = s;
    p->f = s->facts;
    p->wide = mem_new_array(WIDE_DOMAIN + p->f->domain_count, sizeof *p->wide);
    p->stamp = mem_new_array(s->set_count, sizeof *p->stamp);
    return p;
}

void picker_free(struct picker *p)
{
    if (!p) {
        return;
    }
    for (size_t i = 0; i < WIDE_DOMAIN + p->f->domain_count; i++) {
        mem_free(p->wide[i].picks.at);
    }
    struct map_iter it = {0};
    struct slice tag;
    void *value;
    while (p->by_tag && map_next(p->by_tag, &it, &tag, &value)) {
        mem_free(((struct picks *)value)->at);
        mem_free(value);
    }
    map_free(p->by_tag);
    mem_free(p->wide);
    mem_free(p->stamp);
    mem_free(p->first);
    mem_free(p->next);
    mem_free(p->addrs);
    mem_free(p);
}

void pick(struct picks *p, size_t device)
{
    if (p->count == p->room) {
        size_t room = p->room ? p->room * 2 : 8;
        uint32_t *wider = mem_new_array(room, sizeof *wider);
        if (p->count) {
            memcpy(wider, p->at, p->count * sizeof *wider);
        }
        mem_free(p->at);
        p->at = wider;
        p->room = room;
    }
    p->at[p->count++] = (uint32_t)device;
}

static void pick_all(struct picks *to, const struct picks *from)
{
    for (size_t i = 0; i < from->count; i++) {
        pick(to, from->at[i]);
    }
}

static bool reachable(const struct picker *p, const struct policy_device *d)
{
    return !d->external && !(d->user != POLICY_NO_USER && p->f->users[d->user].suspended);
}

/* ---- wide targets ---- */

static bool in_domain(struct slice login, struct slice domain)
{
    ptrdiff_t at = slice_rfind(login, '@');
    return at >= 0 && slice_eq_nocase(slice_skip(login, (size_t)at + 1), domain);
}

static bool wide_selects(const struct picker *p, size_t kind, const struct policy_device *d)
{
    if (kind == WIDE_ALL || kind == WIDE_TAGGED) {
        return kind == WIDE_ALL || d->tag_count;
    }
    if (d->user == POLICY_NO_USER) {
        return false;
    }
    const struct policy_user *u = &p->f->users[d->user];
    if (kind >= WIDE_DOMAIN) {
        return in_domain(u->login, p->f->domains[kind - WIDE_DOMAIN]);
    }
    enum policy_role role = (enum policy_role)(kind - WIDE_ROLE);
    return kind == WIDE_MEMBER || u->role == role ||
           (role == POLICY_ADMIN && u->role == POLICY_OWNER);
}

static void pick_wide(struct picker *p, size_t kind, struct picks *out)
{
    struct wide *w = &p->wide[kind];
    for (size_t i = 0; !w->known && i < p->f->device_count; i++) {
        uint32_t *stamp = &p->stamp[p->s->device_set[i]];
        const struct policy_device *d = &p->f->devices[i];
        if (*stamp != kind + 1 && reachable(p, d) && wide_selects(p, kind, d)) {
            *stamp = (uint32_t)kind + 1;
            pick(&w->picks, i);
        }
    }
    w->known = true;
    pick_all(out, &w->picks);
}

static void pick_domain(struct picker *p, struct slice domain, struct picks *out)
{
    for (size_t i = 0; i < p->f->domain_count; i++) {
        if (slice_eq_nocase(p->f->domains[i], domain)) {
            pick_wide(p, WIDE_DOMAIN + i, out);
            return;
        }
    }
}

/* ---- by owner ---- */

static void index_users(struct picker *p)
{
    const struct policy_facts *f = p->f;
    p->first = mem_new_array(f->user_count, sizeof *p->first);
    p->next = mem_new_array(f->device_count, sizeof *p->next);
    for (size_t i = f->device_count; i-- > 0;) {
        const struct policy_device *d = &f->devices[i];
        if (d->user != POLICY_NO_USER && reachable(p, d)) {
            p->next[i] = p->first[d->user];
            p->first[d->user] = (uint32_t)i + 1;
        }
    }
}

static void pick_user(struct picker *p, struct slice login, struct picks *out)
{
    uint32_t user = policy_facts_find_user(p->f, login);
    if (!p->first) {
        index_users(p);
    }
    for (uint32_t at = user == POLICY_NO_USER ? 0 : p->first[user]; at; at = p->next[at - 1]) {
        pick(out, at - 1);
    }
}

static void pick_group(struct picker *p, const struct policy_group *g, struct picks *out)
{
    for (size_t i = 0; i < g->members.count; i++) {
        pick_user(p, g->members.at[i].text, out);
    }
}

/* ---- by tag ---- */

static void index_tags(struct picker *p)
{
    p->by_tag = map_new();
    for (size_t i = 0; i < p->f->device_count; i++) {
        const struct policy_device *d = &p->f->devices[i];
        for (size_t k = 0; reachable(p, d) && k < d->tag_count; k++) {
            struct picks *tagged = map_get(p->by_tag, d->tags[k]);
            if (!tagged) {
                tagged = mem_new(sizeof *tagged);
                map_set(p->by_tag, d->tags[k], tagged);
            }
            pick(tagged, i);
        }
    }
}

static void pick_tag(struct picker *p, struct slice tag, struct picks *out)
{
    if (!p->by_tag) {
        index_tags(p);
    }
    const struct picks *tagged = map_get(p->by_tag, tag);
    if (tagged) {
        pick_all(out, tagged);
    }
}

/* ---- by address ---- */

static int by_addr(const void *a, const void *b)
{
    return ip_addr_cmp(&((const struct at_addr *)a)->addr, &((const struct at_addr *)b)->addr);
}

static void index_addrs(struct picker *p)
{
    p->addrs = mem_new_array(2 * p->f->device_count, sizeof *p->addrs);
    for (size_t i = 0; i < p->f->device_count; i++) {
        const struct policy_device *d = &p->f->devices[i];
        if (reachable(p, d)) {
            p->addrs[p->addr_count++] = (struct at_addr){d->ipv4, (uint32_t)i};
            p->addrs[p->addr_count++] = (struct at_addr){d->ipv6, (uint32_t)i};
        }
    }
    qsort(p->addrs, p->addr_count, sizeof *p->addrs, by_addr);
}

static void pick_prefix(struct picker *p, const struct ip_prefix *prefix, struct picks *out)
{
    if (!p->addrs) {
        index_addrs(p);
    }
    size_t low = 0, high = p->addr_count; /* the first that is not below the prefix */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ip_addr_cmp(&p->addrs[middle].addr, &prefix->addr) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < p->addr_count && ip_prefix_has(prefix, &p->addrs[low].addr); low++) {
        pick(out, p->addrs[low].device);
    }
}

/* ---- by name ---- */

static void pick_device(const struct picker *p, struct slice name, struct picks *out)
{
    const struct policy_device *d = policy_facts_find(p->f, name);
    if (d && (d->external || reachable(p, d))) {
        pick(out, (size_t)(d - p->f->devices));
    }
}

void picker_pick(struct picker *p, const struct selector *target, struct picks *out)
{
    switch (target->kind) {
    case SELECTOR_ALL:
        pick_wide(p, WIDE_ALL, out);
        return;
    case SELECTOR_MEMBER:
        pick_wide(p, WIDE_MEMBER, out);
        return;
    case SELECTOR_TAGGED:
        pick_wide(p, WIDE_TAGGED, out);
        return;
    case SELECTOR_ROLE:
        pick_wide(p, WIDE_ROLE + (size_t)target->role, out);
        return;
    case SELECTOR_DOMAIN:
        pick_domain(p, target->name, out);
        return;
    case SELECTOR_USER:
        pick_user(p, target->name, out);
        return;
    case SELECTOR_GROUP:
        pick_group(p, &p->s->policy->groups[target->index], out);
        return;
    case SELECTOR_TAG:
        pick_tag(p, target->name, out);
        return;
    case SELECTOR_ADDRESS:
    case SELECTOR_HOST:
        pick_prefix(p, &target->prefix, out);
        return;
    case SELECTOR_DEVICE:
        pick_device(p, target->name, out);
        return;
    case SELECTOR_NONE:
    case SELECTOR_RANGE:
    case SELECTOR_IPSET:
    case SELECTOR_SERVICE:
    case SELECTOR_SELF:
    case SELECTOR_INTERNET:
    case SELECTOR_SHARED:
    case SELECTOR_DANGER_ALL:
    case SELECTOR_NONROOT:
    case SELECTOR_LOCALPART:
    case SELECTOR_UNDEFINED:
        return;
    }
}
