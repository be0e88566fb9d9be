#pragma once
/*
 * A tailnet that tests can change: read from a fixture of policy-cases.json, changed by the events
 * of its cases (and those that the page implies), turned into facts as often as wanted. Plain
 * arrays and C strings, so that the reference evaluator shares nothing with the evaluator.
 */
#include <stdio.h>

#include "lib/hujson/hujson.h"
#include "policy/eval.h"
#include "tests/unit/support/test.h"

enum { TAILNET_USERS = 40, TAILNET_NODES = 60, TAILNET_TAGS = 8, TAILNET_TEXT = 64 };

struct tailnet_user {
    char login[TAILNET_TEXT], role[TAILNET_TEXT];
    bool suspended;
};

struct tailnet_node {
    int64_t id;
    char name[TAILNET_TEXT], user[TAILNET_TEXT]; /* user "": none */
    char ipv4[TAILNET_TEXT], ipv6[TAILNET_TEXT];
    char tags[TAILNET_TAGS][TAILNET_TEXT];
    size_t tag_count;
    bool external;
};

struct tailnet {
    char domains[4][TAILNET_TEXT];
    size_t domain_count;
    bool https;
    char ports[TAILNET_TEXT];
    struct tailnet_user users[TAILNET_USERS];
    size_t user_count;
    struct tailnet_node nodes[TAILNET_NODES];
    size_t node_count;
    int64_t next_id;
};

/* ---- reading ---- */

static inline void
tn_text(const struct hujson_doc *doc, const struct hujson_node *n, char out[static TAILNET_TEXT])
{
    struct buf text = BUF_MAX(TAILNET_TEXT - 1);
    out[0] = '\0';
    if (n) {
        assert_true(hujson_string(doc, n, &text));
        assert_true(slice_copy(buf_slice(&text), out, TAILNET_TEXT));
    }
    buf_deinit(&text);
}

static inline void tn_name(const struct hujson_doc *doc,
                           const struct hujson_node *obj,
                           size_t i,
                           char out[TAILNET_TEXT])
{
    struct buf text = BUF_MAX(TAILNET_TEXT - 1);
    assert_true(hujson_name(doc, obj, i, &text));
    assert_true(slice_copy(buf_slice(&text), out, TAILNET_TEXT));
    buf_deinit(&text);
}

static inline void tn_get(const struct hujson_doc *doc,
                          const struct hujson_node *obj,
                          const char *name,
                          char out[TAILNET_TEXT])
{
    tn_text(doc, hujson_find(doc, obj, slice_str(name)), out);
}

static inline bool tn_flag(const struct hujson_doc *doc,
                           const struct hujson_node *obj,
                           const char *name,
                           bool otherwise)
{
    const struct hujson_node *n = hujson_find(doc, obj, slice_str(name));
    return n ? hujson_kind(n) == HUJSON_TRUE : otherwise;
}

static inline struct tailnet_user *tailnet_user(struct tailnet *t, const char *login)
{
    for (size_t i = 0; i < t->user_count; i++) {
        if (!strcmp(t->users[i].login, login)) {
            return &t->users[i];
        }
    }
    return NULL;
}

static inline struct tailnet_node *tailnet_node(struct tailnet *t, const char *name)
{
    for (size_t i = 0; i < t->node_count; i++) {
        if (!strcmp(t->nodes[i].name, name)) {
            return &t->nodes[i];
        }
    }
    return NULL;
}

static inline void tailnet_add_user(struct tailnet *t, const char *login, const char *role)
{
    assert_true(t->user_count < TAILNET_USERS);
    struct tailnet_user *u = &t->users[t->user_count++];
    *u = (struct tailnet_user){.suspended = false};
    snprintf(u->login, sizeof u->login, "%s", login);
    snprintf(u->role, sizeof u->role, "%s", role);
}

static inline struct tailnet_node *tailnet_add_node(struct tailnet *t, const char *name)
{
    assert_true(t->node_count < TAILNET_NODES);
    struct tailnet_node *n = &t->nodes[t->node_count++];
    *n = (struct tailnet_node){.id = ++t->next_id};
    snprintf(n->name, sizeof n->name, "%s", name);
    return n;
}

static inline void
tn_tags(const struct hujson_doc *doc, const struct hujson_node *list, struct tailnet_node *n)
{
    n->tag_count = 0;
    for (size_t i = 0; list && i < hujson_count(list); i++) {
        assert_true(i < TAILNET_TAGS);
        tn_text(doc, hujson_at(list, i), n->tags[n->tag_count++]);
    }
}

static inline void tn_node(struct tailnet *t,
                           const struct hujson_doc *doc,
                           const struct hujson_node *from,
                           const char *name)
{
    struct tailnet_node *n = tailnet_add_node(t, name);
    tn_get(doc, from, "user", n->user);
    tn_get(doc, from, "ipv4", n->ipv4);
    tn_get(doc, from, "ipv6", n->ipv6);
    tn_tags(doc, hujson_find(doc, from, S("tags")), n);
    n->external = tn_flag(doc, from, "external", false);
}

static inline void
tailnet_read(struct tailnet *t, const struct hujson_doc *doc, const struct hujson_node *from)
{
    char name[TAILNET_TEXT], role[TAILNET_TEXT];
    *t = (struct tailnet){.https = tn_flag(doc, from, "https", false)};
    tn_get(doc, from, "funnelPorts", t->ports);
    const struct hujson_node *list = hujson_find(doc, from, S("domains"));
    for (size_t i = 0; list && i < hujson_count(list); i++) {
        tn_text(doc, hujson_at(list, i), t->domains[t->domain_count++]);
    }
    list = hujson_find(doc, from, S("users"));
    for (size_t i = 0; list && i < hujson_count(list); i++) {
        tn_name(doc, list, i, name);
        tn_text(doc, hujson_at(list, i), role);
        tailnet_add_user(t, name, role);
    }
    list = hujson_find(doc, from, S("suspended"));
    for (size_t i = 0; list && i < hujson_count(list); i++) {
        tn_text(doc, hujson_at(list, i), name);
        tailnet_user(t, name)->suspended = true;
    }
    list = hujson_find(doc, from, S("nodes"));
    for (size_t i = 0; list && i < hujson_count(list); i++) {
        tn_name(doc, list, i, name);
        tn_node(t, doc, hujson_at(list, i), name);
    }
}

/* ---- events ---- */

static inline void tailnet_remove_node(struct tailnet *t, struct tailnet_node *n)
{
    size_t at = (size_t)(n - t->nodes);
    memmove(n, n + 1, (--t->node_count - at) * sizeof *n);
}

/* The user's devices go too, tagged ones stay (policy.md 3.5). */
static inline void tailnet_remove_user(struct tailnet *t, struct tailnet_user *u)
{
    for (size_t i = t->node_count; i-- > 0;) {
        struct tailnet_node *n = &t->nodes[i];
        if (!n->external && !n->tag_count && !strcmp(n->user, u->login)) {
            tailnet_remove_node(t, n);
        }
    }
    size_t at = (size_t)(u - t->users);
    memmove(u, u + 1, (--t->user_count - at) * sizeof *u);
}

static inline bool tailnet_user_event(struct tailnet *t,
                                      const struct hujson_doc *doc,
                                      const struct hujson_node *event,
                                      const char *op)
{
    char login[TAILNET_TEXT], role[TAILNET_TEXT];
    tn_get(doc, event, "user", login);
    tn_get(doc, event, "role", role);
    struct tailnet_user *u = tailnet_user(t, login);
    if (!strcmp(op, "add-user")) {
        tailnet_add_user(t, login, role[0] ? role : "member");
        return true;
    }
    if (!u) {
        return false;
    }
    if (!strcmp(op, "set-role")) {
        snprintf(u->role, sizeof u->role, "%s", role);
    } else if (!strcmp(op, "suspend-user") || !strcmp(op, "restore-user")) {
        u->suspended = !strcmp(op, "suspend-user");
    } else if (!strcmp(op, "delete-user")) {
        tailnet_remove_user(t, u);
    } else {
        return false;
    }
    return true;
}

static inline bool tailnet_node_event(struct tailnet *t,
                                      const struct hujson_doc *doc,
                                      const struct hujson_node *event,
                                      const char *op)
{
    char name[TAILNET_TEXT];
    tn_get(doc, event, "node", name);
    struct tailnet_node *n = tailnet_node(t, name);
    if (!strcmp(op, "add-node")) {
        tn_node(t, doc, event, name);
        return true;
    }
    if (!n) {
        return false;
    }
    if (!strcmp(op, "delete-node")) {
        tailnet_remove_node(t, n);
    } else if (!strcmp(op, "set-tags")) {
        tn_tags(doc, hujson_find(doc, event, S("tags")), n);
        n->user[0] = '\0'; /* a tag takes the user away, and taking the tag off brings none back */
    } else if (!strcmp(op, "set-user")) {
        tn_get(doc, event, "user", n->user);
        n->tag_count = 0;
    } else if (!strcmp(op, "set-ip")) {
        tn_get(doc, event, "ipv4", n->ipv4);
        tn_get(doc, event, "ipv6", n->ipv6);
    } else {
        return false;
    }
    return true;
}

static inline void
tailnet_event(struct tailnet *t, const struct hujson_doc *doc, const struct hujson_node *event)
{
    char op[TAILNET_TEXT];
    tn_get(doc, event, "op", op);
    if (!strcmp(op, "set-domain")) {
        tn_get(doc, event, "domain", t->domains[0]);
    } else if (!strcmp(op, "set-https")) {
        t->https = tn_flag(doc, event, "https", t->https);
    } else if (!strcmp(op, "set-ports")) {
        tn_get(doc, event, "funnelPorts", t->ports);
    } else if (!tailnet_user_event(t, doc, event, op) && !tailnet_node_event(t, doc, event, op)) {
        fail_msg("unknown event %s, or its user or node is", op);
    }
}

/* ---- facts ---- */

static inline void tailnet_device(const struct tailnet_node *n,
                                  const struct policy_facts *f,
                                  struct slice tags[TAILNET_TAGS],
                                  struct policy_device *out)
{
    *out = (struct policy_device){.id = n->id,
                                  .name = slice_str(n->name),
                                  .user = policy_facts_find_user(f, slice_str(n->user)),
                                  .tags = tags,
                                  .tag_count = n->tag_count,
                                  .external = n->external};
    for (size_t k = 0; k < n->tag_count; k++) {
        tags[k] = slice_str(n->tags[k]);
    }
    assert_true(!n->ipv4[0] || ip_addr_parse(slice_str(n->ipv4), &out->ipv4));
    assert_true(!n->ipv6[0] || ip_addr_parse(slice_str(n->ipv6), &out->ipv6));
}

static inline struct policy_facts *tailnet_facts(const struct tailnet *t)
{
    struct policy_facts *f = policy_facts_new();
    f->https = t->https;
    assert_true(!t->ports[0] || policy_facts_ports(f, slice_str(t->ports)));
    for (size_t i = 0; i < t->domain_count; i++) {
        policy_facts_domain(f, slice_str(t->domains[i]));
    }
    for (size_t i = 0; i < t->user_count; i++) {
        struct policy_user u = {.login = slice_str(t->users[i].login),
                                .suspended = t->users[i].suspended};
        assert_true(policy_role_parse(slice_str(t->users[i].role), &u.role));
        policy_facts_user(f, &u);
    }
    for (size_t i = 0; i < t->node_count; i++) {
        struct slice tags[TAILNET_TAGS];
        struct policy_device d;
        tailnet_device(&t->nodes[i], f, tags, &d);
        policy_facts_device(f, &d);
    }
    policy_facts_seal(f);
    return f;
}
