/*
 * Selectors: what a string selects by its form (the order of policy.md 2.2), whether that may stand
 * where it stands, and what the name in it stands for. Names that the file defines must be there;
 * users, devices and groups from elsewhere come and go, so that their absence is a warning.
 */
#include "policy/load_priv.h"

/* ---- form ---- */

/* Beyond the kinds of the model: forms that select nothing. */
#define FORM_AUTOGROUP (SELECTOR_UNDEFINED + 1u) /* of an unknown name */

static const struct {
    const char *name;
    enum selector_kind kind;
    enum policy_role role;
} autogroups[] = {
    {"autogroup:member", SELECTOR_MEMBER, POLICY_MEMBER},
    {"autogroup:members", SELECTOR_MEMBER, POLICY_MEMBER}, /* the old spelling */
    {"autogroup:tagged", SELECTOR_TAGGED, POLICY_MEMBER},
    {"autogroup:owner", SELECTOR_ROLE, POLICY_OWNER},
    {"autogroup:admin", SELECTOR_ROLE, POLICY_ADMIN},
    {"autogroup:network-admin", SELECTOR_ROLE, POLICY_NETWORK_ADMIN},
    {"autogroup:it-admin", SELECTOR_ROLE, POLICY_IT_ADMIN},
    {"autogroup:billing-admin", SELECTOR_ROLE, POLICY_BILLING_ADMIN},
    {"autogroup:auditor", SELECTOR_ROLE, POLICY_AUDITOR},
    {"autogroup:self", SELECTOR_SELF, POLICY_MEMBER},
    {"autogroup:internet", SELECTOR_INTERNET, POLICY_MEMBER},
    {"autogroup:shared", SELECTOR_SHARED, POLICY_MEMBER},
    {"autogroup:danger-all", SELECTOR_DANGER_ALL, POLICY_MEMBER},
    {"autogroup:nonroot", SELECTOR_NONROOT, POLICY_MEMBER},
};

static unsigned autogroup(struct slice text, struct selector *s)
{
    for (size_t i = 0; i < ARRAY_LEN(autogroups); i++) {
        if (slice_eq(text, slice_str(autogroups[i].name))) {
            s->role = autogroups[i].role;
            return autogroups[i].kind;
        }
    }
    return FORM_AUTOGROUP;
}

/* Spelled in another case they are no prefixes, and a hint says so. */
static const char *const prefixes[] = {"group:", "tag:", "autogroup:", "ipset:", "svc:", "host:"};

/* Cheap: most strings are names. */
static bool may_be_address(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
              c == '.' || c == ':' || c == '/' || c == '-')) {
            return false;
        }
    }
    return s.n > 0;
}

static unsigned form_of(struct slice text, struct selector *s)
{
    struct ip_range range;
    s->name = text;
    if (may_be_address(text)) {
        if (ip_prefix_parse(text, &s->prefix, NULL)) {
            return SELECTOR_ADDRESS;
        }
        if (ip_range_parse(text, &range)) {
            return SELECTOR_RANGE;
        }
    }
    if (slice_eq(text, S("*"))) {
        return SELECTOR_ALL;
    }
    if (slice_starts(text, S("group:"))) {
        return SELECTOR_GROUP;
    }
    if (slice_starts(text, S("tag:"))) {
        return SELECTOR_TAG;
    }
    if (slice_starts(text, S("autogroup:"))) {
        return autogroup(text, s);
    }
    if (slice_starts(text, S("ipset:"))) {
        return SELECTOR_IPSET;
    }
    if (slice_starts(text, S("svc:"))) {
        return SELECTOR_SERVICE;
    }
    if (slice_starts(text, S("host:"))) {
        s->name = slice_skip(text, 5);
        return SELECTOR_HOST;
    }
    if (slice_starts(text, S("user:*@"))) {
        s->name = slice_skip(text, 7);
        return SELECTOR_DOMAIN;
    }
    if (slice_starts(text, S("localpart:*@"))) {
        s->name = slice_skip(text, 12);
        return SELECTOR_LOCALPART;
    }
    return slice_find(text, '@') >= 0 ? SELECTOR_USER : SELECTOR_HOST;
}

/* ---- places ---- */

#define KIND(k) (1u << SELECTOR_##k)
#define PEOPLE  (KIND(USER) | KIND(GROUP) | KIND(MEMBER) | KIND(ROLE))
#define OWNERS  (PEOPLE | KIND(TAG) | KIND(TAGGED))
#define SOURCES                                                                                    \
    (OWNERS | KIND(ALL) | KIND(DOMAIN) | KIND(ADDRESS) | KIND(HOST) | KIND(IPSET) | KIND(SHARED) | \
     KIND(DANGER_ALL))
#define DESTINATIONS                                                                \
    (OWNERS | KIND(ALL) | KIND(DOMAIN) | KIND(ADDRESS) | KIND(HOST) | KIND(IPSET) | \
     KIND(SERVICE) | KIND(SELF) | KIND(INTERNET))
#define TARGETS (OWNERS | KIND(ALL) | KIND(DOMAIN) | KIND(ADDRESS) | KIND(HOST))

/* The code for what may not stand there, and words for a person. */
static const struct place {
    unsigned kinds;
    const char *code, *autogroup_code, *what;
    const char *side; /* of a rule: Tailscale's words for it */
} places[] = {
    [PLACE_TARGET] = {TARGETS, "target-kind", "autogroup-not-allowed", "a target of nodeAttrs",
                      NULL},
    [PLACE_ACL_SRC] = {SOURCES, "target-kind", "autogroup-not-allowed", "a source", "src"},
    [PLACE_ACL_DST] = {DESTINATIONS, "target-kind", "autogroup-not-allowed", "a destination",
                       "dst"},
    [PLACE_GRANT_SRC] = {SOURCES, "target-kind", "autogroup-not-allowed", "a source", "src"},
    [PLACE_GRANT_DST] = {DESTINATIONS, "target-kind", "autogroup-not-allowed", "a destination",
                         "dst"},
    [PLACE_VIA] = {KIND(TAG), "grant-via", "grant-via", "a router", NULL},
    [PLACE_OWNER] = {OWNERS, "tag-owner", "autogroup-not-allowed", "the owner of a tag", NULL},
    [PLACE_APPROVER] = {OWNERS, "target-kind", "autogroup-not-allowed", "an approver", NULL},
    [PLACE_SERVICE_TAG] = {KIND(TAG), "target-kind", "autogroup-not-allowed", "a service", NULL},
    [PLACE_SSH_SRC] = {OWNERS | KIND(DOMAIN), "target-kind", "autogroup-not-allowed",
                       "the source of an ssh rule", "src"},
    [PLACE_SSH_DST] = {KIND(USER) | KIND(TAG) | KIND(TAGGED) | KIND(SELF), "target-kind",
                       "autogroup-not-allowed", "the destination of an ssh rule", "dst"},
    [PLACE_RECORDER] = {KIND(TAG), "target-kind", "autogroup-not-allowed", "a recorder", NULL},
    [PLACE_TEST_SRC] = {OWNERS | KIND(ADDRESS) | KIND(HOST), "test-shape", "test-shape",
                        "the source of a test", NULL},
    [PLACE_TEST_DST] = {OWNERS | KIND(ADDRESS) | KIND(HOST) | KIND(SERVICE), "test-shape",
                        "test-shape", "the destination of a test", NULL},
    [PLACE_SSH_TEST_SRC] = {KIND(USER) | KIND(GROUP) | KIND(TAG) | KIND(ADDRESS) | KIND(HOST),
                            "test-shape", "test-shape", "the source of an ssh test", NULL},
    [PLACE_SSH_TEST_DST] = {OWNERS | KIND(ADDRESS) | KIND(HOST) | KIND(SELF), "test-shape",
                            "test-shape", "the destination of an ssh test", NULL},
    [PLACE_ATTR_TEST] = {TARGETS, "target-kind", "autogroup-not-allowed",
                         "the target of a nodeAttrTest", NULL},
    [PLACE_IPSET] = {KIND(ADDRESS) | KIND(RANGE) | KIND(HOST) | KIND(INTERNET) | KIND(IPSET),
                     "ipset-target", "ipset-target", "a target of an IP set", NULL},
};

/* In tests an unknown name fails the test, not the file (policy.md 4.1). */
static bool is_test(enum load_place place)
{
    return place == PLACE_TEST_SRC || place == PLACE_TEST_DST || place == PLACE_SSH_TEST_SRC ||
           place == PLACE_SSH_TEST_DST;
}

static void unknown_autogroup(struct loader *l, const struct selector *s)
{
    const char *names[ARRAY_LEN(autogroups)]; /* without their prefix, which is no likeness */
    struct policy_diag *d = load_error(l, "autogroup-unknown", s->offset,
                                       "unknown autogroup \"" SLICE_FMT "\"", SLICE_ARG(s->text));
    for (size_t i = 0; i < ARRAY_LEN(autogroups); i++) {
        names[i] = autogroups[i].name + 10;
    }
    const char *nearest = slice_nearest(slice_skip(s->text, 10), names, ARRAY_LEN(names));
    if (nearest) {
        policy_hint(d, "did you mean \"autogroup:%s\"?", nearest);
    }
}

static void refuse_ssh_dst(struct loader *l, const struct selector *s, const char *code)
{
    policy_hint(load_error(l, code, s->offset, "invalid dst \"" SLICE_FMT "\"", SLICE_ARG(s->text)),
                "a tag, autogroup:tagged, autogroup:self, or the one user who is the source");
}

static void
refuse_kind(struct loader *l, enum load_place place, unsigned kind, const struct selector *s)
{
    const struct place *p = &places[place];
    bool group = slice_starts(s->text, S("autogroup:"));
    const char *code = group ? p->autogroup_code : p->code;
    if (place == PLACE_VIA) {
        load_error(l, code, s->offset, "via can only be a tag");
    } else if (place == PLACE_SSH_DST) {
        refuse_ssh_dst(l, s, code);
    } else if (is_test(place)) {
        load_error(l, code, s->offset, "test(s) failed: \"" SLICE_FMT "\" cannot be %s",
                   SLICE_ARG(s->text), p->what);
    } else if (group && p->side && kind == SELECTOR_DANGER_ALL) {
        load_error(l, code, s->offset, "cannot use autogroup:danger-all as a %s", p->side);
    } else if (group && p->side) {
        load_error(l, code, s->offset, "\"" SLICE_FMT "\" not valid on the %s side of a rule",
                   SLICE_ARG(s->text), p->side);
    } else {
        load_error(l, code, s->offset, "\"" SLICE_FMT "\" cannot be %s", SLICE_ARG(s->text),
                   p->what);
    }
}

/* ---- names ---- */

/* src=tag not found: "tag:x", dst="tag:x": tag not found: "tag:x", or bare: Tailscale's words. */
static struct policy_diag *not_found(struct loader *l,
                                     enum load_place place,
                                     const char *code,
                                     const char *what,
                                     const struct selector *s)
{
    const char *side = places[place].side;
    struct slice name = s->text;
    if (place == PLACE_VIA) {
        return load_error(l, code, s->offset, "%s \"" SLICE_FMT "\" not found", what,
                          SLICE_ARG(name));
    }
    if (side && side[0] == 's') {
        return load_error(l, code, s->offset, "src=%s not found: \"" SLICE_FMT "\"", what,
                          SLICE_ARG(name));
    }
    if (side) {
        return load_error(l, code, s->offset,
                          "dst=\"" SLICE_FMT "\": %s not found: \"" SLICE_FMT "\"", SLICE_ARG(name),
                          what, SLICE_ARG(name));
    }
    return load_error(l, code, s->offset, "%s not found: \"" SLICE_FMT "\"", what, SLICE_ARG(name));
}

static bool tag(struct loader *l, enum load_place place, struct selector *s)
{
    s->index = policy_find_name(&l->p->tag_names, s->name);
    if (s->index == POLICY_NO_NAME) {
        struct policy_diag *d = not_found(l, place, "undefined-tag", "tag", s);
        if (!load_did_you_mean_name(d, s->name, &l->p->tag_names)) {
            policy_hint(d, "declare it in tagOwners");
        }
        return false;
    }
    l->used_tags[s->index] = true;
    return true;
}

static bool group(struct loader *l, enum load_place place, struct selector *s)
{
    s->index = policy_find_name(&l->p->group_names, s->name);
    if (s->index != POLICY_NO_NAME) {
        l->used_groups[s->index] = true;
        return true;
    }
    if (slice_find(s->name, '@') >= 0) { /* synced from an identity provider: not ours to define */
        s->index = (uint32_t)l->p->group_count;
        l->synced_groups = true;
        policy_hint(load_warning(l, "group-not-found", s->offset,
                                 "group not found: \"" SLICE_FMT "\"", SLICE_ARG(s->name)),
                    "this server syncs no groups: it has no members");
        return true;
    }
    struct policy_diag *d = not_found(l, place, "undefined-group", "group", s);
    if (!load_did_you_mean_name(d, s->name, &l->p->group_names)) {
        policy_hint(d, "define it in groups");
    }
    return false;
}

static bool host(struct loader *l, struct selector *s)
{
    s->index = policy_find_name(&l->p->host_names, s->name);
    if (s->index != POLICY_NO_NAME) {
        l->used_hosts[s->index] = true;
        s->prefix = l->p->hosts[s->index].prefix;
        return true;
    }
    struct policy_diag *d = load_error(l, "undefined-host", s->offset,
                                       "\"" SLICE_FMT "\": invalid address", SLICE_ARG(s->name));
    if (!load_did_you_mean_name(d, s->name, &l->p->host_names)) {
        policy_hint(d, "write an address, a login with \"@\", or define the name in hosts");
    }
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (slice_starts_nocase(s->name, slice_str(prefixes[i]))) {
            load_hint_prefix(d, prefixes[i], s->name);
        }
    }
    return false;
}

static bool ipset(struct loader *l, enum load_place place, struct selector *s)
{
    s->index = policy_find_name(&l->p->ipset_names, s->name);
    if (s->index == POLICY_NO_NAME) {
        struct policy_diag *d = not_found(l, place, "undefined-ipset", "ipset", s);
        if (!load_did_you_mean_name(d, s->name, &l->p->ipset_names)) {
            policy_hint(d, "define it in ipsets");
        }
        return false;
    }
    l->used_ipsets[s->index] = true;
    return true;
}

bool load_domain(struct loader *l, struct slice domain, size_t offset, const char *form)
{
    for (size_t i = 0; l->facts && i < l->facts->domain_count; i++) {
        if (slice_eq_nocase(domain, l->facts->domains[i])) {
            return true;
        }
    }
    if (l->facts) {
        load_error(l, "domain-not-ours", offset,
                   SLICE_FMT
                   " is not associated with this Tailnet and cannot be used in %s expressions",
                   SLICE_ARG(domain), form);
    }
    return !l->facts;
}

void load_user(struct loader *l, struct slice login, size_t offset, struct slice group)
{
    if (!l->facts || policy_facts_find_user(l->facts, login) != POLICY_NO_USER) {
        return;
    }
    if (group.n) {
        load_warning(l, "user-not-found", offset,
                     "\"" SLICE_FMT "\": user not found: \"" SLICE_FMT "\"", SLICE_ARG(group),
                     SLICE_ARG(login));
    } else {
        load_warning(l, "user-not-found", offset, "user not found: \"" SLICE_FMT "\"",
                     SLICE_ARG(login));
    }
}

/* Both spellings in one file are refused; here it is only noted where each stands first. */
static void member(struct loader *l, const struct selector *s)
{
    bool old = slice_eq(s->text, S("autogroup:members"));
    size_t *first = old ? &l->first_members : &l->first_member;
    *first = s->offset < *first ? s->offset : *first;
    if (old) {
        policy_hint(load_warning(l, "legacy-autogroup", s->offset,
                                 "autogroup:members is the old name of autogroup:member"),
                    "write \"autogroup:member\"");
    }
}

/* Does a name that a test mentions exist? Without a word: running the test says so. */
static bool exists(const struct loader *l, const struct selector *s)
{
    const struct name_index *names = s->kind == SELECTOR_GROUP  ? &l->p->group_names
                                     : s->kind == SELECTOR_TAG  ? &l->p->tag_names
                                     : s->kind == SELECTOR_HOST ? &l->p->host_names
                                                                : NULL;
    return !names || policy_find_name(names, s->name) != POLICY_NO_NAME;
}

static bool resolve(struct loader *l, enum load_place place, struct selector *s)
{
    if (s->kind == SELECTOR_GROUP) {
        return group(l, place, s);
    }
    if (s->kind == SELECTOR_TAG) {
        return tag(l, place, s);
    }
    if (s->kind == SELECTOR_HOST) {
        return host(l, s);
    }
    if (s->kind == SELECTOR_IPSET) {
        return ipset(l, place, s);
    }
    if (s->kind == SELECTOR_DOMAIN) {
        return load_domain(l, s->name, s->offset, "user:*@<domain>");
    }
    if (s->kind == SELECTOR_USER && !is_test(place)) {
        load_user(l, s->name, s->offset, S(""));
    } else if (s->kind == SELECTOR_MEMBER) {
        member(l, s);
    }
    return true;
}

struct slice load_trim(struct loader *l, struct slice text, size_t offset)
{
    struct slice trimmed = slice_trim(text);
    if (trimmed.n != text.n) {
        load_warning(l, "selector-trimmed", offset, "blanks around \"" SLICE_FMT "\" are ignored",
                     SLICE_ARG(trimmed));
    }
    return trimmed;
}

bool load_selector_text(struct loader *l,
                        enum load_place place,
                        struct slice text,
                        size_t offset,
                        struct selector *out_selector)
{
    struct selector s = {.text = text, .offset = (uint32_t)offset};
    *out_selector = s;
    unsigned kind = form_of(text, &s);
    if (kind == FORM_AUTOGROUP && !is_test(place)) {
        unknown_autogroup(l, &s);
        return false;
    }
    if (place == PLACE_IPSET && kind == SELECTOR_HOST && !slice_starts(text, S("host:"))) {
        policy_hint(load_error(l, "ipset-target", offset,
                               "\"" SLICE_FMT "\" cannot be a target of an IP set",
                               SLICE_ARG(text)),
                    "a host is written host:NAME here");
        return false;
    }
    if (kind == FORM_AUTOGROUP || !text.n || !(places[place].kinds >> kind & 1)) {
        refuse_kind(l, place, kind, &s);
        return false;
    }
    s.kind = (enum selector_kind)kind;
    if (is_test(place) && !exists(l, &s)) {
        s.kind = SELECTOR_UNDEFINED;
    } else if (!resolve(l, place, &s)) {
        return false;
    }
    *out_selector = s;
    return true;
}

bool load_selector(struct loader *l,
                   enum load_place place,
                   const struct hujson_node *n,
                   struct selector *out_selector)
{
    struct slice text;
    size_t offset = hujson_offset(n);
    return load_string(l, n, &text) &&
           load_selector_text(l, place, load_trim(l, text, offset), offset, out_selector);
}

void load_selectors(struct loader *l,
                    enum load_place place,
                    const struct hujson_node *n,
                    struct selectors *out_selectors)
{
    if (!load_is_array(l, n) || !hujson_count(n)) {
        return;
    }
    struct selector *at = load_alloc(l, hujson_count(n), sizeof *at);
    size_t count = 0;
    for (size_t i = 0; at && i < hujson_count(n); i++) {
        count += load_selector(l, place, hujson_at(n, i), &at[count]);
    }
    *out_selectors = (struct selectors){at, count};
}
