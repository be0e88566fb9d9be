/* Who gets what: a device's selectors against the entries, in file order, into one sorted set of
 * names. */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "policy/model.h"

static bool has_tag(const struct policy_subject *dev, struct slice tag)
{
    for (size_t i = 0; i < dev->tag_count; i++) {
        if (slice_eq(dev->tags[i], tag)) {
            return true;
        }
    }
    return false;
}

static bool in_group(const struct policy *p, const struct selector *s, struct slice login)
{
    const struct policy_group *g = &p->groups[s->index];
    for (size_t i = 0; i < g->members.count; i++) {
        if (slice_eq_nocase(g->members.at[i].text, login)) {
            return true;
        }
    }
    return false;
}

static bool in_prefix(const struct selector *s, const struct policy_subject *dev)
{
    struct ip_addr a;
    return (ip_addr_parse(dev->ipv4, &a) && ip_prefix_has(&s->prefix, &a)) ||
           (ip_addr_parse(dev->ipv6, &a) && ip_prefix_has(&s->prefix, &a));
}

/* Roles are not known of a subject: policy/eval.h knows them. */
static bool
selects(const struct policy *p, const struct selector *s, const struct policy_subject *dev)
{
    bool owned = dev->login.n && !dev->tag_count;
    switch (s->kind) {
    case SELECTOR_ALL:
        return true;
    case SELECTOR_MEMBER:
        return owned;
    case SELECTOR_TAGGED:
        return dev->tag_count > 0;
    case SELECTOR_USER:
        return owned && slice_eq_nocase(s->name, dev->login);
    case SELECTOR_GROUP:
        return owned && in_group(p, s, dev->login);
    case SELECTOR_TAG:
        return has_tag(dev, s->name);
    case SELECTOR_ADDRESS:
    case SELECTOR_HOST:
        return in_prefix(s, dev);
    case SELECTOR_NONE:
    case SELECTOR_DOMAIN:
    case SELECTOR_ROLE:
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
        return false;
    }
    return false;
}

static bool
entry_selects(const struct policy *p, const struct attr_entry *e, const struct policy_subject *dev)
{
    /* A suspended owner's devices get nothing by policy (policy.md 3.5). */
    if (dev->suspended) {
        return false;
    }
    for (size_t i = 0; i < e->targets.count; i++) {
        if (selects(p, &e->targets.at[i], dev)) {
            return true;
        }
    }
    return false;
}

static int by_name(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

void policy_eval(const struct policy *p,
                 const struct policy_subject *dev,
                 struct policy_caps *out_caps)
{
    size_t most = 0;
    for (size_t i = 0; i < p->entry_count; i++) {
        most += entry_selects(p, &p->entries[i], dev) ? p->entries[i].attrs.count : 0;
    }
    *out_caps = (struct policy_caps){.names = mem_new_array(most + 1, sizeof(struct slice))};
    size_t n = 0;
    for (size_t i = 0; i < p->entry_count; i++) {
        const struct attr_entry *e = &p->entries[i];
        for (size_t k = 0; entry_selects(p, e, dev) && k < e->attrs.count; k++) {
            out_caps->names[n++] = e->attrs.at[k].text;
        }
    }
    qsort(out_caps->names, n, sizeof *out_caps->names, by_name);
    for (size_t i = 0; i < n; i++) {
        if (!out_caps->count ||
            !slice_eq(out_caps->names[out_caps->count - 1], out_caps->names[i])) {
            out_caps->names[out_caps->count++] = out_caps->names[i];
        }
    }
}

void policy_caps_free(struct policy_caps *c)
{
    mem_free(c->names);
    *c = (struct policy_caps){NULL, 0};
}

static bool entry_gives(const struct attr_entry *e, struct slice attr)
{
    for (size_t i = 0; i < e->attrs.count; i++) {
        if (slice_eq(e->attrs.at[i].text, attr)) {
            return true;
        }
    }
    return false;
}

bool policy_grants(const struct policy *p, const struct policy_subject *dev, struct slice attr)
{
    for (size_t i = 0; i < p->entry_count; i++) {
        if (entry_gives(&p->entries[i], attr) && entry_selects(p, &p->entries[i], dev)) {
            return true;
        }
    }
    return false;
}

bool policy_grants_anyone(const struct policy *p, struct slice attr)
{
    for (size_t i = 0; i < p->entry_count; i++) {
        if (p->entries[i].targets.count && entry_gives(&p->entries[i], attr)) {
            return true;
        }
    }
    return false;
}

bool policy_entry_covers(const struct policy *p, struct slice selector, struct slice attr)
{
    bool member =
        slice_eq(selector, S("autogroup:member")) || slice_eq(selector, S("autogroup:members"));
    for (size_t i = 0; i < p->entry_count; i++) {
        const struct attr_entry *e = &p->entries[i];
        for (size_t k = 0; entry_gives(e, attr) && k < e->targets.count; k++) {
            const struct selector *s = &e->targets.at[k];
            if (s->kind == SELECTOR_ALL || (member && s->kind == SELECTOR_MEMBER) ||
                slice_eq_nocase(s->text, selector)) {
                return true;
            }
        }
    }
    return false;
}
