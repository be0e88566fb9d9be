/*
 * What is allowed and yet worth a word, once the file is whole (policy.md 2.7): definitions that
 * nothing uses, and what has no effect on the tailnet as it is today. A cause is told once: a
 * target whose user is unknown is not also said to match no device.
 */
#include <stdlib.h>

#include "policy/load_priv.h"

/* ---- unused ---- */

/* A file that holds no rule yet is in the making: nothing is unused in it. */
static bool has_rules(const struct policy *p)
{
    return p->rule_count || p->entry_count || p->ssh_count || p->route_count || p->service_count ||
           p->exit_node.count || p->funnel_approvers.count;
}

static void unused(struct loader *l, const char *code, const char *what, const struct word *name)
{
    load_warning(l, code, name->offset, "%s \"" SLICE_FMT "\" is not used", what,
                 SLICE_ARG(name->text));
}

void load_warn_unused(struct loader *l)
{
    const struct policy *p = l->p;
    if (!has_rules(p)) {
        return;
    }
    for (size_t i = 0; i < p->group_count; i++) {
        if (!l->used_groups[i]) {
            unused(l, "unused-group", "group", &p->groups[i].name);
        }
    }
    for (size_t i = 0; i < p->host_count; i++) {
        if (!l->used_hosts[i]) {
            unused(l, "unused-host", "host", &p->hosts[i].name);
        }
    }
    for (size_t i = 0; i < p->ipset_count; i++) {
        if (!l->used_ipsets[i]) {
            unused(l, "unused-ipset", "IP set", &p->ipsets[i].name);
        }
    }
}

/* ---- the tailnet as it is today ---- */

/* Which selectors select a device at all. */
struct today {
    struct loader *l;
    bool owned, tagged, roles[POLICY_AUDITOR + 1];
    bool *users, *tags;    /* by index of the facts' users, of the file's tags */
    struct ip_addr *addrs; /* sorted; made when the first address asks */
    size_t addr_count;

    enum { UNKNOWN, NO, YES } * groups, *domains; /* answers given before */
};

/* One that is shared in has neither user nor tags. */
static void note_device(struct today *t, const struct policy_device *d)
{
    const struct policy_facts *f = t->l->facts;
    if (d->user != POLICY_NO_USER) {
        t->owned = t->users[d->user] = t->roles[f->users[d->user].role] = true;
    }
    for (size_t i = 0; i < d->tag_count; i++) {
        uint32_t tag = policy_find_name(&t->l->p->tag_names, d->tags[i]);
        t->tagged = true;
        if (tag != POLICY_NO_NAME) {
            t->tags[tag] = true;
        }
    }
}

static bool today_init(struct today *t, struct loader *l)
{
    const struct policy_facts *f = l->facts;
    *t = (struct today){.l = l,
                        .users = load_scratch(l, f->user_count, sizeof *t->users),
                        .tags = load_scratch(l, l->p->tag_count, sizeof *t->tags),
                        .groups = load_scratch(l, l->p->group_count + 1, sizeof *t->groups),
                        .domains = load_scratch(l, f->domain_count, sizeof *t->domains)};
    if (l->no_memory) {
        return false;
    }
    for (size_t i = 0; i < f->device_count; i++) {
        note_device(t, &f->devices[i]);
    }
    return true;
}

static int by_address(const void *a, const void *b)
{
    return ip_addr_cmp(a, b);
}

static void sort_addresses(struct today *t)
{
    const struct policy_facts *f = t->l->facts;
    t->addrs = load_scratch(t->l, 2 * f->device_count, sizeof *t->addrs);
    for (size_t i = 0; t->addrs && i < f->device_count; i++) {
        const struct policy_device *d = &f->devices[i];
        if (!d->external && d->ipv4.family) {
            t->addrs[t->addr_count++] = d->ipv4;
        }
        if (!d->external && d->ipv6.family) {
            t->addrs[t->addr_count++] = d->ipv6;
        }
    }
    if (t->addr_count) {
        qsort(t->addrs, t->addr_count, sizeof *t->addrs, by_address);
    }
}

static bool has_address(struct today *t, const struct ip_prefix *prefix)
{
    if (!t->addrs) {
        sort_addresses(t);
    }
    size_t low = 0, high = t->addr_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ip_addr_cmp(&t->addrs[mid], &prefix->addr) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < t->addr_count && ip_prefix_has(prefix, &t->addrs[low]);
}

static bool has_user(const struct today *t, struct slice login)
{
    uint32_t user = policy_facts_find_user(t->l->facts, login);
    return user != POLICY_NO_USER && t->users[user];
}

static bool has_group(struct today *t, uint32_t index)
{
    const struct policy_group *g = &t->l->p->groups[index];
    for (size_t i = 0; !t->groups[index] && i < g->members.count; i++) {
        if (has_user(t, g->members.at[i].text)) {
            t->groups[index] = YES;
        }
    }
    t->groups[index] = t->groups[index] ? t->groups[index] : NO;
    return t->groups[index] == YES;
}

static bool in_domain(struct slice login, struct slice domain)
{
    ptrdiff_t at = slice_rfind(login, '@');
    return at >= 0 && slice_eq_nocase(slice_skip(login, (size_t)at + 1), domain);
}

static bool has_domain(struct today *t, struct slice domain)
{
    const struct policy_facts *f = t->l->facts;
    size_t d = 0;
    while (d < f->domain_count && !slice_eq_nocase(f->domains[d], domain)) {
        d++;
    }
    if (d == f->domain_count) {
        return false;
    }
    for (size_t i = 0; !t->domains[d] && i < f->user_count; i++) {
        if (t->users[i] && in_domain(f->users[i].login, domain)) {
            t->domains[d] = YES;
        }
    }
    t->domains[d] = t->domains[d] ? t->domains[d] : NO;
    return t->domains[d] == YES;
}

static bool selects_any(struct today *t, const struct selector *s)
{
    switch (s->kind) {
    case SELECTOR_ALL:
        return t->owned || t->tagged;
    case SELECTOR_USER: /* an unknown one has had its warning */
        return has_user(t, s->name) ||
               policy_facts_find_user(t->l->facts, s->name) == POLICY_NO_USER;
    case SELECTOR_DOMAIN:
        return has_domain(t, s->name);
    case SELECTOR_GROUP: /* so has a synced one */
        return s->index == t->l->p->group_count || has_group(t, s->index);
    case SELECTOR_TAG:
        return t->tags[s->index];
    case SELECTOR_MEMBER:
        return t->owned;
    case SELECTOR_TAGGED:
        return t->tagged;
    case SELECTOR_ROLE:
        return t->roles[s->role] || (s->role == POLICY_ADMIN && t->roles[POLICY_OWNER]);
    case SELECTOR_ADDRESS:
    case SELECTOR_HOST:
        return has_address(t, &s->prefix);
    case SELECTOR_NONE: /* none of these is a target */
    case SELECTOR_RANGE:
    case SELECTOR_IPSET:
    case SELECTOR_SERVICE:
    case SELECTOR_SELF:
    case SELECTOR_INTERNET:
    case SELECTOR_SHARED:
    case SELECTOR_DANGER_ALL:
    case SELECTOR_NONROOT:
    case SELECTOR_LOCALPART:
    case SELECTOR_DEVICE:
    case SELECTOR_UNDEFINED:
        return true;
    }
    return true;
}

static bool has_effect(const struct attr_entry *e)
{
    return e->targets.count && e->attrs.count + e->app_count + e->pool_count;
}

static void warn_targets(struct today *t)
{
    const struct policy *p = t->l->p;
    for (size_t i = 0; i < p->entry_count; i++) {
        const struct attr_entry *e = &p->entries[i];
        for (size_t k = 0; has_effect(e) && k < e->targets.count; k++) {
            if (!selects_any(t, &e->targets.at[k])) {
                load_warning(t->l, "target-matches-no-device", e->targets.at[k].offset,
                             "\"" SLICE_FMT "\" matches no device today",
                             SLICE_ARG(e->targets.at[k].text));
            }
        }
    }
}

static void warn_tags(struct today *t)
{
    const struct policy *p = t->l->p;
    for (size_t i = 0; i < p->tag_count; i++) {
        if (t->tags[i]) {
            continue;
        }
        if (t->l->used_tags[i]) {
            load_warning(t->l, "tag-without-devices", p->tags[i].name.offset,
                         "no device has \"" SLICE_FMT "\" today", SLICE_ARG(p->tags[i].name.text));
        } else {
            unused(t->l, "unused-tag", "tag", &p->tags[i].name);
        }
    }
}

/* The first element that grants funnel; NULL: none. */
static const struct word *grants_funnel(const struct attr_entry *e)
{
    for (size_t i = 0; e->targets.count && i < e->attrs.count; i++) {
        if (slice_eq(e->attrs.at[i].text, S("funnel"))) {
            return &e->attrs.at[i];
        }
    }
    return NULL;
}

static void warn_https(struct loader *l)
{
    for (size_t i = 0; i < l->p->entry_count; i++) {
        const struct word *w = grants_funnel(&l->p->entries[i]);
        if (w) {
            policy_hint(load_warning(l, "funnel-https-off", w->offset,
                                     "funnel is granted while HTTPS is off: no device can use it"),
                        "turn HTTPS on in the tailnet's settings");
        }
    }
}

void load_warn_today(struct loader *l)
{
    struct today t;
    if (!l->facts) {
        return;
    }
    if (!l->facts->https) {
        warn_https(l);
    }
    /* Before the first device nothing matches, and everybody knows why. */
    if (l->facts->device_count && has_rules(l->p) && today_init(&t, l)) {
        warn_targets(&t);
        warn_tags(&t);
    }
}

/* ---- the one who asks ---- */

static bool tagged_only(const struct policy_facts *f, struct slice login)
{
    uint32_t user = policy_facts_find_user(f, login);
    bool tagged = false;
    for (size_t i = 0; i < f->device_count; i++) {
        if (f->devices[i].user == user && user != POLICY_NO_USER) {
            return false;
        }
        tagged |= f->devices[i].tag_count > 0;
    }
    return tagged;
}

void policy_warn_caller(const struct policy *p,
                        const struct policy_facts *f,
                        struct slice login,
                        struct policy_diags *diags)
{
    bool without = tagged_only(f, login);
    for (size_t i = 0; without && i < p->entry_count; i++) {
        const struct attr_entry *e = &p->entries[i];
        for (size_t k = 0; grants_funnel(e) && k < e->targets.count; k++) {
            if (e->targets.at[k].kind == SELECTOR_MEMBER) {
                policy_hint(policy_complain(diags, p->doc, POLICY_WARNING, "funnel-caller-tagged",
                                            e->targets.at[k].offset,
                                            "funnel goes to members, and you have no device that "
                                            "is not tagged: yours stay without it"),
                            "add the tag of your devices as a target");
            }
        }
    }
}
