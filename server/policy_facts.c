/*
 * Users, devices and settings of the tailnet as the policy engine wants them. The store counts
 * every change of them: facts that were read between two equal counts are one state of the tailnet.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "server/app.h"

enum {
    READS = 5 /* while people register machines at full speed; older facts are better than none */
};

struct reading {
    struct policy_facts *f;
    struct map *users; /* store's id → 1 + index */
    struct buf text;
};

/* The tailnet's own domains are those of its owner's login. */
static void own_domain(struct policy_facts *f, const struct store_fact_user *u)
{
    ptrdiff_t at = slice_rfind(u->login, '@');
    struct slice domain = at < 0 ? S("") : slice_skip(u->login, (size_t)at + 1);
    if (slice_find(domain, '.') > 0) { /* not name@github, name@passkey */
        policy_facts_domain(f, domain);
    }
}

static void add_user(void *arg, const struct store_fact_user *u)
{
    struct reading *r = arg;
    struct policy_user user = {.login = u->login, .suspended = u->suspended};
    if (!policy_role_parse(u->role, &user.role)) {
        user.role = POLICY_MEMBER; /* the schema allows no other role */
    }
    uint32_t index = policy_facts_user(r->f, &user);
    /* A number, not an address. NOLINTNEXTLINE(performance-no-int-to-ptr) */
    map_set(r->users, slice_of(&u->id, sizeof u->id), (void *)(uintptr_t)(index + 1));
    if (user.role == POLICY_OWNER) {
        own_domain(r->f, u);
    }
}

/* A JSON array of names, into `tags` with its text in `text`; how many, or -1. */
static int read_tags(struct slice json, struct slice tags[POLICY_TAGS_MAX], struct buf *text)
{
    char why[100];
    size_t at[POLICY_TAGS_MAX + 1] = {0};
    buf_clear(text);
    if (slice_eq(json, S("[]"))) {
        return 0;
    }
    AUTO(js_freep) struct js *list = js_parse(json, 16 * KIB, why, sizeof why);
    size_t count = list ? js_len(list) : POLICY_TAGS_MAX + 1;
    if (count > POLICY_TAGS_MAX) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        buf_add(text, js_str(js_at(list, i)));
        at[i + 1] = text->len;
    }
    for (size_t i = 0; i < count; i++) { /* the text does not move any more */
        tags[i] = slice_of(buf_slice(text).p + at[i], at[i + 1] - at[i]);
    }
    return (int)count;
}

/* Everything but the owner, which is looked up differently. What a foreign hand wrote and nobody
 * can read selects nothing. */
static void read_device(const struct store_fact_node *n, struct policy_device_row *out)
{
    int tags = read_tags(n->tags, out->tags, &out->text);
    out->device = (struct policy_device){.id = n->id,
                                         .name = n->label,
                                         .user = POLICY_NO_USER,
                                         .tags = out->tags,
                                         .tag_count = tags < 0 ? 0 : (size_t)tags};
    out->device.external = tags < 0;
    if (!ip_addr_parse(n->ipv4, &out->device.ipv4)) {
        out->device.ipv4.family = IP_NONE;
    }
    if (!ip_addr_parse(n->ipv6, &out->device.ipv6)) {
        out->device.ipv6.family = IP_NONE;
    }
}

static void add_node(void *arg, const struct store_fact_node *n)
{
    struct reading *r = arg;
    struct policy_device_row row = {.text = r->text};
    read_device(n, &row);
    uintptr_t user = (uintptr_t)map_get(r->users, slice_of(&n->user_id, sizeof n->user_id));
    row.device.user = user ? (uint32_t)(user - 1) : POLICY_NO_USER;
    policy_facts_device(r->f, &row.device);
    r->text = row.text;
}

static int read_once(struct db *d, int64_t tailnet, struct policy_facts **out_facts)
{
    struct store_facts head;
    struct reading r = {.f = policy_facts_new(), .users = map_new(), .text = BUF_MAX(16 * KIB)};
    int rc = store_facts(d, tailnet, &head);
    rc = rc ? rc : store_fact_users(d, tailnet, add_user, &r);
    rc = rc ? rc : store_fact_nodes(d, tailnet, add_node, &r);
    map_free(r.users);
    buf_deinit(&r.text);
    if (rc) {
        policy_facts_unref(r.f);
        return rc < 0 ? err_trace(rc) : err_fold(-EIO);
    }
    if (!policy_facts_ports(r.f, slice_str(head.funnel_ports))) {
        log_warn("facts.ports", F_STR("list", head.funnel_ports)); /* the default list stays */
    }
    r.f->https = head.https_enabled;
    r.f->sequence = head.sequence;
    policy_facts_seal(r.f);
    *out_facts = r.f;
    return 0;
}

int policy_facts_load(struct db *d, int64_t tailnet, struct policy_facts **out_facts)
{
    struct store_facts after;
    struct policy_facts *f = NULL;
    int rc = read_once(d, tailnet, &f);
    for (int i = 1; !rc && i < READS; i++) {
        if (f && store_facts(d, tailnet, &after) == 0 && after.sequence == f->sequence) {
            break; /* else the count that they carry is old, which whoever commits will see */
        }
        policy_facts_unref(f);
        rc = read_once(d, tailnet, &f);
    }
    if (!rc) {
        *out_facts = f;
    }
    return rc;
}

int policy_facts_row(struct db *d,
                     int64_t node,
                     const struct policy_facts *f,
                     struct policy_device_row *out_row)
{
    struct store_node n;
    struct buf tags = BUF_MAX(16 * KIB);
    int rc = store_node(d, node, &n);
    rc = rc ? rc : store_node_tags(d, node, &tags);
    if (rc) {
        buf_deinit(&tags);
        return rc;
    }
    *out_row = (struct policy_device_row){.text = BUF_MAX(16 * KIB)};
    struct store_fact_node row = {.id = n.id,
                                  .user_id = n.user_id,
                                  .label = slice_str(n.label),
                                  .tags = buf_slice(&tags),
                                  .ipv4 = slice_str(n.ipv4),
                                  .ipv6 = slice_str(n.ipv6)};
    read_device(&row, out_row);
    buf_deinit(&tags);
    out_row->device.name = S(""); /* borrowed from what ends here */
    out_row->device.tags = out_row->tags;
    if (!out_row->device.tag_count && n.login[0]) {
        out_row->device.user = policy_facts_find_user(f, slice_str(n.login));
        rc = out_row->device.user == POLICY_NO_USER ? POLICY_FACTS_UNKNOWN : 0;
    }
    return rc;
}
