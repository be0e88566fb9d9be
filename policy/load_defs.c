/*
 * Definitions: groups, tags with their owners, hosts. The names of all five kinds of definition are
 * read before any value, because values refer to names that stand further down.
 */
#include "policy/load_priv.h"

/* ---- names ---- */

/* One kind: how its names begin, and what becomes of them. */
struct kind {
    enum load_section section;
    struct name_index *index;
    bool **used;
};

static void names_of(
    struct loader *l, const struct kind *k, void **out_definitions, size_t size, size_t *out_count)
{
    const struct hujson_node *n = l->section[k->section];
    if (n && !load_is_object(l, n)) {
        n = l->section[k->section] = NULL;
    }
    size_t count = n ? hujson_count(n) : 0;
    /* One more: the groups' is for synced ones. Every definition begins with its name. */
    char *at = load_alloc(l, count + 1, size);
    struct name_ref *names = n ? load_names(l, n) : NULL;
    if (!at || (n && !names)) {
        l->section[k->section] = NULL;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        *(struct word *)(void *)(at + i * size) = (struct word){names[i].name, names[i].offset};
    }
    load_index(l, names, count, k->index);
    *out_definitions = at;
    *out_count = count;
    if (k->used) {
        *k->used = load_scratch(l, count + 1, sizeof **k->used);
    }
}

void load_definition_names(struct loader *l)
{
    struct policy *p = l->p;
    void *at[5] = {NULL};
    const struct kind groups = {SECTION_GROUPS, &p->group_names, &l->used_groups};
    const struct kind tags = {SECTION_TAG_OWNERS, &p->tag_names, &l->used_tags};
    const struct kind hosts = {SECTION_HOSTS, &p->host_names, &l->used_hosts};
    const struct kind ipsets = {SECTION_IPSETS, &p->ipset_names, &l->used_ipsets};
    const struct kind postures = {SECTION_POSTURES, &p->posture_names, NULL};
    names_of(l, &groups, &at[0], sizeof *p->groups, &p->group_count);
    names_of(l, &tags, &at[1], sizeof *p->tags, &p->tag_count);
    names_of(l, &hosts, &at[2], sizeof *p->hosts, &p->host_count);
    names_of(l, &ipsets, &at[3], sizeof *p->ipsets, &p->ipset_count);
    names_of(l, &postures, &at[4], sizeof *p->postures, &p->posture_count);
    p->groups = at[0];
    p->tags = at[1];
    p->hosts = at[2];
    p->ipsets = at[3];
    p->postures = at[4];
}

/* ---- groups ---- */

static bool group_name(struct loader *l, const struct word *name)
{
    struct slice rest = slice_skip(name->text, 6);
    if (slice_starts(name->text, S("group:")) && rest.n && !slice_eq(rest, S("*"))) {
        return true;
    }
    load_hint_prefix(load_error(l, "group-name", name->offset,
                                "\"" SLICE_FMT "\": group names start with 'group:', then the name",
                                SLICE_ARG(name->text)),
                     "group:", name->text);
    return false;
}

static bool group_member(struct loader *l,
                         const struct policy_group *g,
                         const struct hujson_node *n,
                         struct word *out_member)
{
    struct slice text;
    size_t offset = hujson_offset(n);
    if (!load_string(l, n, &text)) {
        return false;
    }
    text = load_trim(l, text, offset);
    if (slice_starts(text, S("group:"))) {
        load_error(l, "group-nested", offset,
                   "groups[\"" SLICE_FMT "\"]: \"" SLICE_FMT
                   "\": group members cannot be recursive",
                   SLICE_ARG(g->name.text), SLICE_ARG(text));
        return false;
    }
    if (slice_find(text, '@') < 0 || slice_find(text, '*') >= 0) {
        policy_hint(load_error(l, "group-member", offset,
                               "groups[\"" SLICE_FMT "\"]: \"" SLICE_FMT
                               "\": a member is a login with an \"@\"",
                               SLICE_ARG(g->name.text), SLICE_ARG(text)),
                    "write a login such as name@example.com");
        return false;
    }
    load_user(l, text, offset, g->name.text);
    *out_member = (struct word){text, (uint32_t)offset};
    return true;
}

void load_groups(struct loader *l, const struct hujson_node *n)
{
    for (size_t i = 0; i < hujson_count(n); i++) {
        struct policy_group *g = &l->p->groups[i];
        const struct hujson_node *list = hujson_at(n, i);
        if (!g->name.text.p || !group_name(l, &g->name) || !load_is_array(l, list)) {
            continue;
        }
        g->members.at = load_alloc(l, hujson_count(list), sizeof *g->members.at);
        for (size_t k = 0; g->members.at && k < hujson_count(list); k++) {
            g->members.count +=
                group_member(l, g, hujson_at(list, k), &g->members.at[g->members.count]);
        }
    }
}

/* ---- tags ---- */

enum { TAG_NAME_MAX = 63 };

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool tag_characters(struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!letter(c) && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_') {
            return false;
        }
    }
    return true;
}

static bool tag_name(struct loader *l, const struct word *name)
{
    const char *why = NULL;
    struct slice rest = slice_skip(name->text, 4);
    if (!slice_starts(name->text, S("tag:"))) {
        why = "tags must start with 'tag:'";
    } else if (!rest.n || !letter(rest.p[0])) {
        why = "tag names must start with a letter, after 'tag:'";
    } else if (!tag_characters(rest)) {
        why = "tag names can only contain letters, digits, '-', '.' and '_'";
    } else if (rest.n > TAG_NAME_MAX) {
        why = "tag names have at most 63 bytes after 'tag:'";
    }
    if (why) {
        load_hint_prefix(load_error(l, "tag-name", name->offset, "tagOwners[\"" SLICE_FMT "\"]: %s",
                                    SLICE_ARG(name->text), why),
                         "tag:", name->text);
    }
    return !why;
}

void load_tag_owners(struct loader *l, const struct hujson_node *n)
{
    for (size_t i = 0; i < hujson_count(n); i++) {
        struct tag_owner *t = &l->p->tags[i];
        if (t->name.text.p && tag_name(l, &t->name)) {
            load_selectors(l, PLACE_OWNER, hujson_at(n, i), &t->owners);
        }
    }
}

/* ---- hosts ---- */

static bool host_name(struct loader *l, const struct word *name)
{
    struct slice text = name->text;
    struct ip_prefix any;
    if (text.n && slice_find(text, '@') < 0 && slice_find(text, ':') < 0 &&
        !slice_eq(text, S("*")) && !ip_prefix_parse(text, &any, NULL) &&
        slice_trim(text).n == text.n) {
        return true;
    }
    load_error(l, "host-name", name->offset,
               "\"" SLICE_FMT
               "\": a host's name has no \"@\", no \":\", no blanks around it, and is "
               "neither an address nor \"*\"",
               SLICE_ARG(text));
    return false;
}

void load_hosts(struct loader *l, const struct hujson_node *n)
{
    for (size_t i = 0; i < hujson_count(n); i++) {
        struct policy_host *h = &l->p->hosts[i];
        struct slice text;
        if (h->name.text.p && host_name(l, &h->name) && load_string(l, hujson_at(n, i), &text) &&
            !ip_prefix_parse(slice_trim(text), &h->prefix, NULL)) {
            load_error(l, "host-addr", hujson_offset(hujson_at(n, i)),
                       "hosts[\"" SLICE_FMT "\"]: \"" SLICE_FMT "\": neither an address nor a CIDR",
                       SLICE_ARG(h->name.text), SLICE_ARG(text));
        }
    }
}
