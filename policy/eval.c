/* Who gets what: a device's selectors against the entries, in file order, into one sorted set of
 * names. */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "policy/policy_priv.h"

static bool has_tag(const struct policy_subject *dev, struct slice tag)
{
    for (size_t i = 0; i < dev->tag_count; i++) {
        if (slice_eq(dev->tags[i], tag)) {
            return true;
        }
    }
    return false;
}

static bool selects(const struct selector *s, const struct policy_subject *dev)
{
    bool owned = dev->login.n && !dev->tag_count;
    switch (s->kind) {
    case SELECT_NONE:
        return false;
    case SELECT_ALL:
        return true;
    case SELECT_MEMBER:
        return owned;
    case SELECT_TAGGED:
        return dev->tag_count > 0;
    case SELECT_USER:
        return owned && slice_eq_nocase(s->text, dev->login);
    case SELECT_TAG:
        return has_tag(dev, s->text);
    case SELECT_ADDRESS:
        return slice_eq(s->text, dev->ipv4) || slice_eq(s->text, dev->ipv6);
    }
    return false;
}

static bool entry_selects(const struct attr_entry *e, const struct policy_subject *dev)
{
    /* A suspended owner's devices get nothing by policy (policy.md 3.5). */
    if (dev->suspended) {
        return false;
    }
    for (size_t i = 0; i < e->target_count; i++) {
        if (selects(&e->targets[i], dev)) {
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
        most += entry_selects(&p->entries[i], dev) ? p->entries[i].attr_count : 0;
    }
    *out_caps = (struct policy_caps){.names = mem_new_array(most + 1, sizeof(struct slice))};
    size_t n = 0;
    for (size_t i = 0; i < p->entry_count; i++) {
        const struct attr_entry *e = &p->entries[i];
        for (size_t k = 0; entry_selects(e, dev) && k < e->attr_count; k++) {
            out_caps->names[n++] = e->attrs[k];
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
    for (size_t i = 0; i < e->attr_count; i++) {
        if (slice_eq(e->attrs[i], attr)) {
            return true;
        }
    }
    return false;
}

bool policy_grants(const struct policy *p, const struct policy_subject *dev, struct slice attr)
{
    for (size_t i = 0; i < p->entry_count; i++) {
        if (entry_gives(&p->entries[i], attr) && entry_selects(&p->entries[i], dev)) {
            return true;
        }
    }
    return false;
}

bool policy_grants_anyone(const struct policy *p, struct slice attr)
{
    for (size_t i = 0; i < p->entry_count; i++) {
        if (p->entries[i].target_count && entry_gives(&p->entries[i], attr)) {
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
        for (size_t k = 0; entry_gives(e, attr) && k < e->target_count; k++) {
            const struct selector *s = &e->targets[k];
            if (s->kind == SELECT_ALL || (member && s->kind == SELECT_MEMBER) ||
                slice_eq_nocase(s->text, selector)) {
                return true;
            }
        }
    }
    return false;
}
