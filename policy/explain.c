/*
 * A slow walk over everything that could give the attribute, one device at a time, for people and
 * for tests that failed. Its verdict comes from the snapshot; what it adds is the why, so it judges
 * each target by itself and says by how little it misses.
 */
#include "policy/explain.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/text.h"
#include "policy/eval_priv.h"

/* How a target fails to select a device; the nearest first. */
enum miss {
    MISS_NOT, /* it selects it */
    MISS_PORT,
    MISS_SUSPENDED,
    MISS_EXTERNAL,
    MISS_TAGGED, /* the target is about owners, the device has tags instead */
    MISS_GROUP,
    MISS_ROLE,
    MISS_TAG,
    MISS_UNTAGGED,
    MISS_DOMAIN,
    MISS_USER,
    MISS_ADDRESS,
    MISS_UNOWNED,
};

struct explainer {
    const struct policy_snapshot *s;
    const struct policy_device *d;
    const struct policy_user *owner; /* NULL: tagged, shared in, or nobody's */
    const struct want *want;
    struct policy_explanation *out;
    enum miss nearest[POLICY_REASONS_MAX];
};

/* ---- one target against one device ---- */

static bool in_group(const struct policy_group *g, struct slice login)
{
    for (size_t i = 0; i < g->members.count; i++) {
        if (slice_eq_nocase(g->members.at[i].text, login)) {
            return true;
        }
    }
    return false;
}

static bool in_domain(const struct policy_facts *f, struct slice domain, struct slice login)
{
    ptrdiff_t at = slice_rfind(login, '@');
    bool own = false;
    for (size_t i = 0; i < f->domain_count; i++) {
        own |= slice_eq_nocase(f->domains[i], domain);
    }
    return own && at >= 0 && slice_eq_nocase(slice_skip(login, (size_t)at + 1), domain);
}

static bool has_tag(const struct policy_device *d, struct slice tag)
{
    for (size_t i = 0; i < d->tag_count; i++) {
        if (slice_eq(d->tags[i], tag)) {
            return true;
        }
    }
    return false;
}

static bool has_role(enum policy_role has, enum policy_role wanted)
{
    return has == wanted || (wanted == POLICY_ADMIN && has == POLICY_OWNER);
}

static enum miss owner_miss(const struct explainer *x, const struct selector *t)
{
    const struct policy_user *u = x->owner;
    if (!u) {
        return x->d->tag_count ? MISS_TAGGED : MISS_UNOWNED;
    }
    if (t->kind == SELECTOR_USER) {
        return slice_eq_nocase(t->name, u->login) ? MISS_NOT : MISS_USER;
    }
    if (t->kind == SELECTOR_DOMAIN) {
        return in_domain(x->s->facts, t->name, u->login) ? MISS_NOT : MISS_DOMAIN;
    }
    if (t->kind == SELECTOR_GROUP) {
        return in_group(&x->s->policy->groups[t->index], u->login) ? MISS_NOT : MISS_GROUP;
    }
    if (t->kind == SELECTOR_ROLE) {
        return has_role(u->role, t->role) ? MISS_NOT : MISS_ROLE;
    }
    return MISS_NOT; /* autogroup:member */
}

/* As if neither suspension nor sharing existed. */
static enum miss plain_miss(const struct explainer *x, const struct selector *t)
{
    const struct policy_device *d = x->d;
    switch (t->kind) {
    case SELECTOR_ALL:
        return MISS_NOT;
    case SELECTOR_TAG:
        return !d->tag_count ? MISS_UNTAGGED : (has_tag(d, t->name) ? MISS_NOT : MISS_TAG);
    case SELECTOR_TAGGED:
        return d->tag_count ? MISS_NOT : MISS_UNTAGGED;
    case SELECTOR_ADDRESS:
    case SELECTOR_HOST:
        return ip_prefix_has(&t->prefix, &d->ipv4) || ip_prefix_has(&t->prefix, &d->ipv6)
                   ? MISS_NOT
                   : MISS_ADDRESS;
    case SELECTOR_USER:
    case SELECTOR_DOMAIN:
    case SELECTOR_GROUP:
    case SELECTOR_MEMBER:
    case SELECTOR_ROLE:
        return owner_miss(x, t);
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
    case SELECTOR_DEVICE:
    case SELECTOR_UNDEFINED:
        return MISS_ADDRESS; /* the loader lets none of these stand here */
    }
    return MISS_ADDRESS;
}

static enum miss target_miss(const struct explainer *x, const struct selector *t)
{
    enum miss m = x->d->external ? MISS_EXTERNAL : plain_miss(x, t);
    return m == MISS_NOT && x->owner && x->owner->suspended ? MISS_SUSPENDED : m;
}

/* ---- words ---- */

/* Appends to a text of fixed size; what does not fit is cut, at a whole character. */
static void say(char *text, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void say(char *text, size_t size, const char *fmt, ...)
{
    char more[256];
    size_t n = strlen(text);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(more, sizeof more, fmt, ap);
    va_end(ap);
    text_cut(text + n, size - n, "%s", more);
}

static void say_tags(char *text, size_t size, const struct policy_device *d)
{
    for (size_t i = 0; i < d->tag_count; i++) {
        say(text, size, "%s" SLICE_FMT, i ? ", " : "", SLICE_ARG(d->tags[i]));
    }
}

static void say_ports(char *text, size_t size, const struct port_range *r, size_t count)
{
    struct buf list = BUF_MAX(4 * KIB);
    port_ranges_print(r, count, &list);
    say(text, size, "%s", buf_cstr(&list));
    buf_deinit(&list);
}

static const char *role_article(enum policy_role role)
{
    return role == POLICY_OWNER || role == POLICY_ADMIN || role == POLICY_IT_ADMIN ||
                   role == POLICY_AUDITOR
               ? "an"
               : "a";
}

#define TEXT(r) (r)->text, sizeof(r)->text

static void say_miss(const struct explainer *x, enum miss m, struct policy_reason *r)
{
    struct slice name = x->d->name;
    static const struct policy_user nobody = {.login = {"", 0}};
    const struct policy_user *owner = x->owner ? x->owner : &nobody;
    struct slice login = owner->login;
    switch (m) {
    case MISS_NOT:
    case MISS_PORT: /* written by who knows the entry */
        return;
    case MISS_SUSPENDED:
        say(TEXT(r), SLICE_FMT ", the owner of " SLICE_FMT ", is suspended", SLICE_ARG(login),
            SLICE_ARG(name));
        break;
    case MISS_EXTERNAL:
        say(TEXT(r), SLICE_FMT " is shared in from another tailnet", SLICE_ARG(name));
        break;
    case MISS_TAGGED:
        say(TEXT(r), SLICE_FMT " is tagged", SLICE_ARG(name));
        break;
    case MISS_GROUP:
        say(TEXT(r), SLICE_FMT " is not in %s", SLICE_ARG(login), r->selector);
        break;
    case MISS_ROLE:
        say(TEXT(r), SLICE_FMT " is %s %s", SLICE_ARG(login), role_article(owner->role),
            policy_role_name(owner->role));
        break;
    case MISS_TAG:
        say(TEXT(r), SLICE_FMT " has ", SLICE_ARG(name));
        say_tags(TEXT(r), x->d);
        break;
    case MISS_UNTAGGED:
        say(TEXT(r), SLICE_FMT " has no tags", SLICE_ARG(name));
        break;
    case MISS_DOMAIN:
    case MISS_USER:
        say(TEXT(r), SLICE_FMT " belongs to " SLICE_FMT, SLICE_ARG(name), SLICE_ARG(login));
        break;
    case MISS_ADDRESS:
        say(TEXT(r), "no address of " SLICE_FMT " is inside", SLICE_ARG(name));
        break;
    case MISS_UNOWNED:
        say(TEXT(r), SLICE_FMT " has no owner", SLICE_ARG(name));
        break;
    }
    say(TEXT(r), "; the entry at line %d targets %s", r->line, r->selector);
}

#define NEXT(o) (o)->next, sizeof(o)->next

static void say_own_target(struct explainer *x)
{
    if (x->owner) {
        say(NEXT(x->out), "add " SLICE_FMT " to its targets", SLICE_ARG(x->owner->login));
    } else if (x->d->tag_count) {
        say(NEXT(x->out), "add " SLICE_FMT " to its targets", SLICE_ARG(x->d->tags[0]));
    } else {
        say(NEXT(x->out), "add an address of the device to its targets");
    }
}

static void say_next(struct explainer *x, enum miss m, const char *selector)
{
    struct policy_explanation *o = x->out;
    switch (m) {
    case MISS_NOT:
        return;
    case MISS_PORT:
        say(NEXT(o), "add the port to \"openfunnel.org/cap/funnel\" of that entry");
        return;
    case MISS_SUSPENDED:
        say(NEXT(o), "restore the user");
        return;
    case MISS_EXTERNAL:
        say(NEXT(o), "ask an admin of its own tailnet; attributes come from there alone");
        return;
    case MISS_TAGGED:
        say_own_target(x);
        say(NEXT(o), ", or take the tags off the device");
        return;
    case MISS_GROUP:
        say(NEXT(o), "add " SLICE_FMT " to %s", SLICE_ARG(x->owner->login), selector);
        return;
    case MISS_TAG:
    case MISS_UNTAGGED:
        say_own_target(x);
        say(NEXT(o), ", or give the device a tag that it targets");
        return;
    case MISS_ROLE:
    case MISS_DOMAIN:
    case MISS_USER:
    case MISS_ADDRESS:
    case MISS_UNOWNED:
        say_own_target(x);
        return;
    }
}

/* ---- collecting ---- */

static bool entry_gives(const struct attr_entry *e, struct slice attr)
{
    for (size_t i = 0; i < e->attrs.count; i++) {
        if (slice_eq(e->attrs.at[i].text, attr)) {
            return true;
        }
    }
    for (size_t i = 0; i < e->app_count; i++) {
        if (slice_eq(e->apps[i].capability.text, attr)) {
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

/* In order of nearness, else of the file; the farthest falls off the end. */
static struct policy_reason *insert(struct explainer *x, enum miss m)
{
    struct policy_explanation *o = x->out;
    size_t at = o->count;
    while (at && x->nearest[at - 1] > m) {
        at--;
    }
    if (at == POLICY_REASONS_MAX) {
        return NULL;
    }
    size_t last = o->count < POLICY_REASONS_MAX ? o->count++ : POLICY_REASONS_MAX - 1;
    memmove(&o->reasons[at + 1], &o->reasons[at], (last - at) * sizeof *o->reasons);
    memmove(&x->nearest[at + 1], &x->nearest[at], (last - at) * sizeof *x->nearest);
    x->nearest[at] = m;
    return &o->reasons[at];
}

static struct policy_reason *
add_reason(struct explainer *x, enum miss m, size_t entry, const struct selector *t)
{
    struct policy_reason *r = insert(x, m);
    if (r) {
        *r = (struct policy_reason){.entry = entry};
        hujson_position(x->s->policy->doc, t->offset, &r->line, &r->column);
        policy_pointer(x->s->policy->doc, t->offset, r->pointer);
        say(r->selector, sizeof r->selector, SLICE_FMT, SLICE_ARG(t->text));
    }
    return r;
}

/* The first target of the entry that selects the device, or NULL. */
static const struct selector *selecting(const struct explainer *x, const struct attr_entry *e)
{
    for (size_t i = 0; i < e->targets.count; i++) {
        if (target_miss(x, &e->targets.at[i]) == MISS_NOT) {
            return &e->targets.at[i];
        }
    }
    return NULL;
}

static void collect_given(struct explainer *x)
{
    const struct policy *p = x->s->policy;
    for (size_t i = 0; i < p->entry_count; i++) {
        const struct attr_entry *e = &p->entries[i];
        const struct selector *t = entry_gives(e, x->want->name) ? selecting(x, e) : NULL;
        struct policy_reason *r = t ? add_reason(x, MISS_NOT, i, t) : NULL;
        if (r) {
            say(TEXT(r), "the entry at line %d targets %s", r->line, r->selector);
        }
    }
}

/* The attribute is there, but not for every port asked about. */
static void collect_ports(struct explainer *x)
{
    const struct policy *p = x->s->policy;
    const struct policy_facts *f = x->s->facts;
    for (size_t i = 0; i < p->entry_count; i++) {
        const struct attr_entry *e = &p->entries[i];
        const struct selector *t = entry_gives(e, x->want->name) ? selecting(x, e) : NULL;
        struct policy_reason *r = t ? add_reason(x, MISS_PORT, i, t) : NULL;
        if (!r) {
            continue;
        }
        say(TEXT(r), "the entry at line %d ", r->line);
        if (e->port_count) {
            say(TEXT(r), "allows ");
            say_ports(TEXT(r), e->ports, e->port_count);
        } else {
            say(TEXT(r), "names no ports (the tailnet's are ");
            say_ports(TEXT(r), f->funnel_ports, f->funnel_port_count);
            say(TEXT(r), ")");
        }
    }
}

static void collect_missed(struct explainer *x)
{
    const struct policy *p = x->s->policy;
    for (size_t i = 0; i < p->entry_count; i++) {
        const struct attr_entry *e = &p->entries[i];
        for (size_t k = 0; entry_gives(e, x->want->name) && k < e->targets.count; k++) {
            const struct selector *t = &e->targets.at[k];
            enum miss m = target_miss(x, t);
            struct policy_reason *r = add_reason(x, m, i, t);
            if (r) {
                say_miss(x, m, r);
            }
        }
    }
}

static void add_switch(struct explainer *x)
{
    const struct policy *p = x->s->policy;
    const struct hujson_node *n = policy_section(p->doc, S("randomizeClientPort"));
    if (!p->randomize_client_port || !n || !slice_eq(x->want->name, S("randomize-client-port"))) {
        return;
    }
    enum miss m = x->out->has ? MISS_NOT : target_miss(x, &(struct selector){.kind = SELECTOR_ALL});
    struct policy_reason *r = insert(x, m);
    if (r) {
        *r = (struct policy_reason){.entry = POLICY_NO_ENTRY};
        hujson_position(p->doc, hujson_offset(n), &r->line, &r->column);
        policy_pointer(p->doc, hujson_offset(n), r->pointer);
        say(TEXT(r), "randomizeClientPort at line %d is on for every device", r->line);
    }
}

/* ---- the sentence ---- */

static void summarize(struct explainer *x, struct slice attr)
{
    struct policy_explanation *o = x->out;
    const struct policy_reason *first = o->count ? &o->reasons[0] : NULL;
    say(o->summary, sizeof o->summary, SLICE_FMT " %s \"" SLICE_FMT "\"", SLICE_ARG(x->d->name),
        o->has ? "has" : "lacks", SLICE_ARG(attr));
    if (first) {
        say(o->summary, sizeof o->summary, ": %s", first->text);
    } else if (!o->has) {
        say(o->summary, sizeof o->summary, ": no entry of nodeAttrs gives it to anything");
        say(NEXT(o), "add an entry for the device");
    }
    if (o->has && o->count > 1) {
        say(o->summary, sizeof o->summary, ", and %s%zu more give%s it",
            o->count == POLICY_REASONS_MAX ? "at least " : "", o->count - 1,
            o->count == 2 ? "s" : "");
    }
    if (!o->has && first) {
        say_next(x, x->nearest[0], first->selector);
    }
    say(o->summary, sizeof o->summary, "%s%s", o->next[0] ? "; next: " : "", o->next);
}

void policy_explain(const struct policy_snapshot *s,
                    size_t device,
                    struct slice attr,
                    struct policy_explanation *out_explanation)
{
    struct want want;
    const struct policy_device *d = &s->facts->devices[device];
    want_read(s, attr, &want);
    *out_explanation = (struct policy_explanation){.has = want_met(s, device, &want)};
    struct explainer x = {.s = s,
                          .d = d,
                          .owner = d->user == POLICY_NO_USER ? NULL : &s->facts->users[d->user],
                          .want = &want,
                          .out = out_explanation};
    add_switch(&x);
    if (out_explanation->has) {
        collect_given(&x);
    } else if (want.ports && device_slot(s, device)->funnel) {
        collect_ports(&x);
    } else {
        collect_missed(&x);
    }
    summarize(&x, attr);
}

bool policy_approves_funnel(const struct policy_snapshot *s, size_t device)
{
    const struct policy_device *d = &s->facts->devices[device];
    const struct selectors *who = &s->policy->funnel_approvers;
    struct explainer x = {
        .s = s, .d = d, .owner = d->user == POLICY_NO_USER ? NULL : &s->facts->users[d->user]};
    for (size_t i = 0; i < who->count; i++) {
        if (target_miss(&x, &who->at[i]) == MISS_NOT) {
            return true;
        }
    }
    return false;
}
