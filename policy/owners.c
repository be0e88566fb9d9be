/* A look at one line of tagOwners: does one of its selectors mean whoever asks? */
#include "policy/owners.h"

#include "policy/model.h"

static bool in_group(const struct policy_group *g, struct slice login)
{
    for (size_t i = 0; i < g->members.count; i++) {
        if (slice_eq_nocase(g->members.at[i].text, login)) {
            return true;
        }
    }
    return false;
}

static bool in_domain(struct slice login, struct slice domain)
{
    ptrdiff_t at = slice_rfind(login, '@');
    return at >= 0 && slice_eq_nocase(slice_skip(login, (size_t)at + 1), domain);
}

/* "autogroup:admin" covers the owner too, as everywhere in the file. */
static bool has_role(const struct policy_tagger *who, enum policy_role role)
{
    enum policy_role own;
    return policy_role_parse(who->role, &own) &&
           (own == role || (role == POLICY_ADMIN && own == POLICY_OWNER));
}

static bool holds(const struct policy_tagger *who, struct slice tag)
{
    for (size_t i = 0; i < who->tag_count; i++) {
        if (slice_eq(who->tags[i], tag)) {
            return true;
        }
    }
    return false;
}

static bool
means_person(const struct policy *p, const struct selector *s, const struct policy_tagger *who)
{
    return (s->kind == SELECTOR_USER && slice_eq_nocase(s->name, who->login)) ||
           (s->kind == SELECTOR_GROUP && in_group(&p->groups[s->index], who->login)) ||
           (s->kind == SELECTOR_DOMAIN && in_domain(who->login, s->name)) ||
           (s->kind == SELECTOR_ROLE && has_role(who, s->role)) || s->kind == SELECTOR_MEMBER;
}

enum policy_tag_right
policy_tag_right(const struct policy *p, struct slice tag, const struct policy_tagger *who)
{
    uint32_t at = policy_find_name(&p->tag_names, tag);
    if (at == POLICY_NO_NAME) {
        return POLICY_TAG_UNDEFINED;
    }
    const struct selectors *owners = &p->tags[at].owners;
    for (size_t i = 0; i < owners->count; i++) {
        const struct selector *s = &owners->at[i];
        if ((who->login.n && means_person(p, s, who)) ||
            (s->kind == SELECTOR_TAG && holds(who, s->name))) {
            return POLICY_TAG_MAY;
        }
    }
    return POLICY_TAG_NOT_OWNER;
}
