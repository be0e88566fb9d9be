#pragma once
/*
 * The slow, obvious evaluator: one device, one entry, one target at a time, straight from the table
 * of policy.md 3.2 and the rules of 3.3, over the text of the policy and the strings of the test
 * tailnet. It shares nothing with policy/ but the HuJSON reader.
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "tests/unit/support/tailnet.h"

enum { REFERENCE_CAPS = 64 };

struct reference_cap {
    char name[160];
    bool app;
    char values[512]; /* joined by commas */
};

struct reference {
    struct reference_cap caps[REFERENCE_CAPS];
    size_t count;
    bool funnel, own_ports;
    bool ports[65536];
};

/* ---- who is selected ---- */

static inline bool ref_in_prefix(const char *address, const char *prefix)
{
    unsigned char a[16] = {0}, p[16] = {0};
    char base[TAILNET_TEXT];
    snprintf(base, sizeof base, "%s", prefix);
    char *slash = strchr(base, '/');
    bool six = strchr(prefix, ':');
    int bits = slash ? (int)strtol(slash + 1, NULL, 10) : (six ? 128 : 32);
    if (slash) {
        *slash = '\0';
    }
    int family = six ? AF_INET6 : AF_INET;
    if (!address[0] || (strchr(address, ':') != NULL) != six ||
        inet_pton(family, address, a) != 1 || inet_pton(family, base, p) != 1) {
        return false;
    }
    for (int i = 0; i < bits; i++) {
        int mask = 0x80 >> (i % 8);
        if ((a[i / 8] & mask) != (p[i / 8] & mask)) {
            return false;
        }
    }
    return true;
}

static inline bool ref_tagged(const struct tailnet_node *n, const char *tag)
{
    for (size_t i = 0; i < n->tag_count; i++) {
        if (!strcmp(n->tags[i], tag)) {
            return true;
        }
    }
    return false;
}

static inline bool
ref_listed(const struct hujson_doc *doc, const char *section, const char *name, const char *login)
{
    const struct hujson_node *all = hujson_find(doc, hujson_root(doc), slice_str(section));
    const struct hujson_node *list = all ? hujson_find(doc, all, slice_str(name)) : NULL;
    for (size_t i = 0; list && i < hujson_count(list); i++) {
        char member[TAILNET_TEXT];
        tn_text(doc, hujson_at(list, i), member);
        if (!strcasecmp(member, login)) {
            return true;
        }
    }
    return false;
}

static inline bool ref_owned(const struct hujson_doc *doc,
                             const struct tailnet *t,
                             const struct tailnet_user *u,
                             const char *target)
{
    if (!strcmp(target, "autogroup:member") || !strcmp(target, "autogroup:members")) {
        return true;
    }
    if (!strcmp(target, "autogroup:admin")) {
        return !strcmp(u->role, "admin") || !strcmp(u->role, "owner");
    }
    if (!strncmp(target, "autogroup:", 10)) {
        return !strcmp(u->role, target + 10);
    }
    if (!strncmp(target, "group:", 6)) {
        return ref_listed(doc, "groups", target, u->login);
    }
    if (!strncmp(target, "user:*@", 7)) {
        bool own = false;
        for (size_t i = 0; i < t->domain_count; i++) {
            own |= !strcasecmp(t->domains[i], target + 7);
        }
        const char *at = strrchr(u->login, '@');
        return own && at && !strcasecmp(at + 1, target + 7);
    }
    return strchr(target, '@') && !strcasecmp(target, u->login);
}

static inline bool
ref_address(const struct hujson_doc *doc, const struct tailnet_node *n, const char *target)
{
    char prefix[TAILNET_TEXT];
    const struct hujson_node *hosts = hujson_find(doc, hujson_root(doc), S("hosts"));
    const struct hujson_node *alias = hosts ? hujson_find(doc, hosts, slice_str(target)) : NULL;
    snprintf(prefix, sizeof prefix, "%s", target);
    if (alias) {
        tn_text(doc, alias, prefix);
    }
    return ref_in_prefix(n->ipv4, prefix) || ref_in_prefix(n->ipv6, prefix);
}

static inline bool ref_selects(const struct hujson_doc *doc,
                               const struct tailnet *t,
                               const struct tailnet_node *n,
                               const char *target)
{
    const struct tailnet_user *u = NULL;
    for (size_t i = 0; i < t->user_count && !n->tag_count; i++) {
        if (!strcasecmp(t->users[i].login, n->user)) {
            u = &t->users[i];
        }
    }
    if (n->external || (u && u->suspended)) {
        return false;
    }
    if (!strcmp(target, "*")) {
        return true;
    }
    if (!strcmp(target, "autogroup:tagged")) {
        return n->tag_count > 0;
    }
    if (!strncmp(target, "tag:", 4)) {
        return ref_tagged(n, target);
    }
    if (strchr(target, '@') || !strncmp(target, "group:", 6) ||
        !strncmp(target, "autogroup:", 10)) {
        return u && ref_owned(doc, t, u, target);
    }
    return ref_address(doc, n, target);
}

/* ---- what an entry gives ---- */

static inline struct reference_cap *ref_cap(struct reference *r, const char *name)
{
    for (size_t i = 0; i < r->count; i++) {
        if (!strcmp(r->caps[i].name, name)) {
            return &r->caps[i];
        }
    }
    assert_true(r->count < REFERENCE_CAPS);
    struct reference_cap *c = &r->caps[r->count++];
    *c = (struct reference_cap){.app = false};
    snprintf(c->name, sizeof c->name, "%s", name);
    return c;
}

static inline void ref_port_list(bool ports[65536], const char *list)
{
    while (*list) {
        char *end;
        long first = strtol(list, &end, 10), last = first;
        if (*end == '-') {
            last = strtol(end + 1, &end, 10);
        }
        for (long p = first; p <= last; p++) {
            ports[p] = true;
        }
        list = *end == ',' ? end + 1 : end;
    }
}

static inline void
ref_ports(struct reference *r, const struct hujson_doc *doc, const struct hujson_node *values)
{
    for (size_t i = 0; i < hujson_count(values); i++) {
        const struct hujson_node *list = hujson_find(doc, hujson_at(values, i), S("ports"));
        for (size_t k = 0; list && k < hujson_count(list); k++) {
            char text[TAILNET_TEXT];
            tn_text(doc, hujson_at(list, k), text);
            ref_port_list(r->ports, text);
            r->own_ports = true;
        }
    }
}

/* Values are written without blanks by the test, so their text is their JSON. */
static inline void ref_app(struct reference *r,
                           const struct hujson_doc *doc,
                           const struct hujson_node *app,
                           bool funnel)
{
    for (size_t i = 0; i < hujson_count(app); i++) {
        char name[TAILNET_TEXT];
        tn_name(doc, app, i, name);
        const struct hujson_node *values = hujson_at(app, i);
        struct reference_cap *c = ref_cap(r, name);
        c->app = true;
        for (size_t k = 0; k < hujson_count(values); k++) {
            struct slice v = hujson_literal(doc, hujson_at(values, k));
            size_t n = strlen(c->values);
            snprintf(c->values + n, sizeof c->values - n, "%s" SLICE_FMT, n ? "," : "",
                     SLICE_ARG(v));
        }
        if (funnel && !strcmp(name, "openfunnel.org/cap/funnel")) {
            ref_ports(r, doc, values);
        }
    }
}

static inline void
ref_entry(struct reference *r, const struct hujson_doc *doc, const struct hujson_node *entry)
{
    const struct hujson_node *attrs = hujson_find(doc, entry, S("attr"));
    const struct hujson_node *app = hujson_find(doc, entry, S("app"));
    bool funnel = false;
    for (size_t i = 0; attrs && i < hujson_count(attrs); i++) {
        char name[TAILNET_TEXT];
        tn_text(doc, hujson_at(attrs, i), name);
        ref_cap(r, name);
        funnel |= !strcmp(name, "funnel");
    }
    r->funnel |= funnel;
    if (app) {
        ref_app(r, doc, app, funnel);
    }
}

/* ---- the whole ---- */

static inline void ref_add_ports(struct reference *r, const struct tailnet *t)
{
    char name[160] = POLICY_PORTS_PREFIX;
    if (!r->own_ports) {
        ref_port_list(r->ports, t->ports);
    }
    const char *comma = "";
    const bool *end = r->ports + 65536, *at = r->ports;
    while ((at = memchr(at, 1, (size_t)(end - at)))) {
        const bool *stop = memchr(at, 0, (size_t)(end - at));
        stop = stop ? stop : end;
        size_t n = strlen(name);
        snprintf(name + n, sizeof name - n, "%s%td", comma, at - r->ports);
        n = strlen(name);
        if (stop - at > 1) {
            snprintf(name + n, sizeof name - n, "-%td", stop - 1 - r->ports);
        }
        comma = ",";
        at = stop;
    }
    ref_cap(r, name);
}

static inline int ref_by_name(const void *a, const void *b)
{
    return strcmp(((const struct reference_cap *)a)->name, ((const struct reference_cap *)b)->name);
}

/* *out must be zeroed. */
static inline void reference_evaluate(const struct hujson_doc *doc,
                                      const struct tailnet *t,
                                      const struct tailnet_node *n,
                                      struct reference *out)
{
    const struct hujson_node *entries = hujson_find(doc, hujson_root(doc), S("nodeAttrs"));
    for (size_t i = 0; entries && i < hujson_count(entries); i++) {
        const struct hujson_node *entry = hujson_at(entries, i);
        const struct hujson_node *targets = hujson_find(doc, entry, S("target"));
        for (size_t k = 0; targets && k < hujson_count(targets); k++) {
            char target[TAILNET_TEXT];
            tn_text(doc, hujson_at(targets, k), target);
            if (ref_selects(doc, t, n, target)) {
                ref_entry(out, doc, entry);
                break;
            }
        }
    }
    const struct hujson_node *random = hujson_find(doc, hujson_root(doc), S("randomizeClientPort"));
    if (random && hujson_kind(random) == HUJSON_TRUE && ref_selects(doc, t, n, "*")) {
        ref_cap(out, "randomize-client-port");
    }
    if (out->funnel) {
        ref_add_ports(out, t);
    }
    qsort(out->caps, out->count, sizeof out->caps[0], ref_by_name);
}

/* The capability map; names are such that JSON needs no escapes but those of '"'. */
static inline void reference_json(const struct reference *r, struct buf *out)
{
    buf_addc(out, '{');
    for (size_t i = 0; i < r->count; i++) {
        buf_adds(out, i ? ",\"" : "\"");
        for (const char *c = r->caps[i].name; *c; c++) {
            if (*c == '"') {
                buf_addc(out, '\\');
            }
            buf_addc(out, *c);
        }
        buf_adds(out, "\":");
        if (r->caps[i].app) {
            buf_addf(out, "[%s]", r->caps[i].values);
        } else {
            buf_adds(out, "null");
        }
    }
    buf_addc(out, '}');
}
