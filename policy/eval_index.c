/*
 * The policy's side of the evaluator: names become bits, entries become bits in the rows of the
 * selectors that they target, and groups, domain, role and membership are folded into one row per
 * user.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "policy/eval_priv.h"

enum { ROLES = POLICY_AUDITOR + 1 };

#define RANDOM_PORT S("randomize-client-port")

/* Known while the rows are filled, and not after. */
struct build {
    struct policy_snapshot *s;
    struct arena *scratch;
    struct name_table bit_of;    /* of names */
    struct name_table list_of;   /* of lists of ports, by their bytes */
    struct name_table prefix_of; /* position of prefixes, by their bytes */
    uint64_t *roles[ROLES];      /* as selected by their autogroups */
    uint64_t *member;            /* autogroup:member */
    uint64_t **groups;           /* a row per group of the policy that is a target */
    uint64_t **domains;          /* a row per domain of the facts that is a target */
    uint32_t *bits;              /* of the entry at hand */
    size_t bit_count, app_next;  /* app_next: app entries already met */
    bool no_memory;
};

static void *take(struct build *b, struct arena *from, size_t count, size_t size)
{
    void *p = count <= SIZE_MAX / 2 / size ? arena_alloc(from, count * size) : NULL;
    b->no_memory |= !p;
    return p;
}

static uint64_t *new_row(struct build *b, struct arena *from)
{
    return take(b, from, b->s->words, sizeof(uint64_t));
}

/* ---- names ---- */

static void meet(struct build *b, struct slice name, bool app)
{
    struct policy_snapshot *s = b->s;
    uint32_t at = names_add(&b->bit_of, name, (uint32_t)s->name_count);
    s->name_count += at == s->name_count;
    s->names[at].name = name;
    s->names[at].app |= app;
}

static int by_name(const void *a, const void *b)
{
    return slice_cmp(((const struct cap_name *)a)->name, ((const struct cap_name *)b)->name);
}

static void put_key(struct buf *out, struct slice name)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (c < 0x20) {
            buf_addf(out, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\') {
            buf_addc(out, '\\');
        }
        buf_addc(out, (char)c);
    }
    buf_adds(out, "\":");
}

/* Names in order, so that bits in order are names in order. */
static void order_names(struct build *b)
{
    struct policy_snapshot *s = b->s;
    struct buf key = BUF_MAX(8 * POLICY_SIZE_MAX); /* an escape is six bytes at most */
    qsort(s->names, s->name_count, sizeof *s->names, by_name);
    s->funnel = NO_BIT;
    for (size_t i = 0; i < s->name_count && !b->no_memory; i++) {
        struct cap_name *n = &s->names[i];
        names_set(&b->bit_of, n->name, (uint32_t)i);
        s->ports_at += slice_cmp(n->name, S(POLICY_PORTS_PREFIX)) < 0;
        s->funnel = slice_eq(n->name, S(POLICY_FUNNEL)) ? (uint32_t)i : s->funnel;
        buf_clear(&key);
        put_key(&key, n->name);
        char *text = buf_ok(&key) ? arena_strdup(s->arena, buf_slice(&key)) : NULL;
        b->no_memory |= !text;
        n->key = slice_of(text, key.len);
    }
    buf_deinit(&key);
}

static void name_bits(struct build *b)
{
    const struct policy *p = b->s->policy;
    size_t most = 1;
    for (size_t i = 0; i < p->entry_count; i++) {
        most += p->entries[i].attrs.count + p->entries[i].app_count;
    }
    b->s->names = take(b, b->s->arena, most, sizeof *b->s->names);
    b->bits = take(b, b->scratch, most + 2, sizeof *b->bits);
    if (b->no_memory) {
        return;
    }
    for (size_t i = 0; i < p->entry_count; i++) {
        const struct attr_entry *e = &p->entries[i];
        for (size_t k = 0; e->targets.count && k < e->attrs.count; k++) {
            meet(b, e->attrs.at[k].text, false);
        }
        for (size_t k = 0; e->targets.count && k < e->app_count; k++) {
            meet(b, e->apps[k].capability.text, true);
        }
    }
    if (p->randomize_client_port) {
        meet(b, RANDOM_PORT, false);
    }
    order_names(b);
}

/* ---- port lists and app entries ---- */

/* Ports count where the entry itself gives funnel (policy.md 3.3: the union over a device's funnel
 * entries). */
static bool gives_ports(const struct attr_entry *e)
{
    bool funnel = false;
    for (size_t i = 0; e->port_count && i < e->attrs.count; i++) {
        funnel |= slice_eq(e->attrs.at[i].text, S(POLICY_FUNNEL));
    }
    return funnel;
}

static struct slice ports_key(const struct attr_entry *e)
{
    return slice_of(e->ports, e->port_count * sizeof *e->ports);
}

static void list_bits(struct build *b)
{
    struct policy_snapshot *s = b->s;
    const struct policy *p = s->policy;
    s->lists = take(b, s->arena, p->entry_count, sizeof *s->lists);
    for (size_t i = 0; s->lists && i < p->entry_count; i++) {
        const struct attr_entry *e = &p->entries[i];
        if (gives_ports(e) && names_get(&b->list_of, ports_key(e)) == NAME_UNKNOWN) {
            names_add(&b->list_of, ports_key(e), (uint32_t)s->list_count);
            s->lists[s->list_count++] = (struct port_list){e->ports, e->port_count};
        }
    }
}

static void app_bits(struct build *b)
{
    struct policy_snapshot *s = b->s;
    const struct policy *p = s->policy;
    s->apps = take(b, s->arena, p->entry_count, sizeof *s->apps);
    for (size_t i = 0; !b->no_memory && i < p->entry_count; i++) {
        const struct attr_entry *e = &p->entries[i];
        if (!e->app_count || !e->targets.count) {
            continue;
        }
        uint32_t *names = take(b, s->arena, e->app_count, sizeof *names);
        for (size_t k = 0; names && k < e->app_count; k++) {
            names[k] = names_get(&b->bit_of, e->apps[k].capability.text);
        }
        s->apps[s->app_count++] = (struct app_entry){e, names};
    }
}

/* ---- the rows that targets fill ---- */

static uint64_t *domain_row(struct build *b, struct slice domain)
{
    const struct policy_facts *f = b->s->facts;
    for (size_t i = 0; i < f->domain_count; i++) {
        if (slice_eq_nocase(f->domains[i], domain)) {
            b->domains[i] = b->domains[i] ? b->domains[i] : new_row(b, b->scratch);
            return b->domains[i];
        }
    }
    return NULL; /* not, or no longer, a domain of the tailnet */
}

static uint64_t *tag_row(struct build *b, uint32_t tag)
{
    struct policy_snapshot *s = b->s;
    if (!s->tag_rows[tag]) {
        s->tag_rows[tag] = new_row(b, s->arena);
        names_add(&s->tags, s->policy->tags[tag].name.text, tag);
    }
    return s->tag_rows[tag];
}

static uint64_t *prefix_row(struct build *b, const struct ip_prefix *prefix)
{
    static_assert(sizeof *prefix == 18, "a prefix is its own key: no padding");
    struct policy_snapshot *s = b->s;
    struct slice key = slice_of(prefix, sizeof *prefix);
    uint32_t at = names_add(&b->prefix_of, key, (uint32_t)s->prefix_count);
    if (at == s->prefix_count) {
        s->prefixes[s->prefix_count++] = (struct prefix_row){*prefix, NO_BIT, new_row(b, s->arena)};
    }
    return s->prefixes[at].row;
}

static uint64_t *user_row(struct build *b, struct slice login)
{
    uint32_t user = policy_facts_find_user(b->s->facts, login);
    return user == POLICY_NO_USER ? NULL : b->s->users + user * b->s->words;
}

static uint64_t *group_row(struct build *b, uint32_t group)
{
    b->groups[group] = b->groups[group] ? b->groups[group] : new_row(b, b->scratch);
    return b->groups[group];
}

/* NULL: nothing that exists today. */
static uint64_t *target_row(struct build *b, const struct selector *t)
{
    switch (t->kind) {
    case SELECTOR_ALL:
        return b->s->all;
    case SELECTOR_USER:
        return user_row(b, t->name);
    case SELECTOR_DOMAIN:
        return domain_row(b, t->name);
    case SELECTOR_GROUP:
        return group_row(b, t->index);
    case SELECTOR_TAG:
        return tag_row(b, t->index);
    case SELECTOR_MEMBER:
        return b->member;
    case SELECTOR_TAGGED:
        return b->s->tagged;
    case SELECTOR_ROLE:
        return b->roles[t->role];
    case SELECTOR_ADDRESS:
    case SELECTOR_HOST:
        return prefix_row(b, &t->prefix);
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
        return NULL; /* the loader lets none of these stand here */
    }
    return NULL;
}

static void new_rows(struct build *b)
{
    struct policy_snapshot *s = b->s;
    const struct policy *p = s->policy;
    size_t targets = 0;
    for (size_t i = 0; i < p->entry_count; i++) {
        targets += p->entries[i].targets.count;
    }
    s->words = (s->name_count + s->list_count + s->app_count + 63) / 64;
    s->words = s->words ? s->words : 1;
    s->users = take(b, s->arena, s->facts->user_count, s->words * sizeof(uint64_t));
    s->all = new_row(b, s->arena);
    s->tagged = new_row(b, s->arena);
    s->prefixes = take(b, s->arena, targets, sizeof *s->prefixes);
    s->tag_rows = take(b, s->arena, p->tag_count, sizeof *s->tag_rows);
    b->member = new_row(b, b->scratch);
    for (size_t r = 0; r < ROLES; r++) {
        b->roles[r] = new_row(b, b->scratch);
    }
    b->groups = take(b, b->scratch, p->group_count, sizeof *b->groups);
    b->domains = take(b, b->scratch, s->facts->domain_count, sizeof *b->domains);
}

static void entry_bits(struct build *b, const struct attr_entry *e)
{
    const struct policy_snapshot *s = b->s;
    b->bit_count = 0;
    for (size_t i = 0; i < e->attrs.count; i++) {
        b->bits[b->bit_count++] = names_get(&b->bit_of, e->attrs.at[i].text);
    }
    for (size_t i = 0; i < e->app_count; i++) {
        b->bits[b->bit_count++] = names_get(&b->bit_of, e->apps[i].capability.text);
    }
    if (gives_ports(e)) {
        b->bits[b->bit_count++] = (uint32_t)s->name_count + names_get(&b->list_of, ports_key(e));
    }
    if (e->app_count) {
        b->bits[b->bit_count++] = (uint32_t)(s->name_count + s->list_count + b->app_next++);
    }
}

static void give(struct build *b, const struct selector *target)
{
    uint64_t *row = target_row(b, target);
    for (size_t i = 0; row && i < b->bit_count; i++) {
        row_set(row, b->bits[i]);
    }
}

static void fill_rows(struct build *b)
{
    const struct policy *p = b->s->policy;
    if (p->randomize_client_port) {
        row_set(b->s->all, names_get(&b->bit_of, RANDOM_PORT)); /* observed: on every device */
    }
    for (size_t i = 0; !b->no_memory && i < p->entry_count; i++) {
        const struct attr_entry *e = &p->entries[i];
        if (e->targets.count) {
            entry_bits(b, e);
        }
        for (size_t k = 0; k < e->targets.count; k++) {
            give(b, &e->targets.at[k]);
        }
    }
}

/* ---- folding ---- */

static void fold_groups(struct build *b)
{
    const struct policy *p = b->s->policy;
    for (size_t g = 0; g < p->group_count; g++) {
        for (size_t i = 0; b->groups[g] && i < p->groups[g].members.count; i++) {
            uint64_t *row = user_row(b, p->groups[g].members.at[i].text);
            if (row) {
                row_or(row, b->groups[g], b->s->words);
            }
        }
    }
}

/* By the part after the last @. */
static const uint64_t *login_domain(const struct build *b, struct slice login)
{
    ptrdiff_t at = slice_rfind(login, '@');
    for (size_t i = 0; at >= 0 && i < b->s->facts->domain_count; i++) {
        if (b->domains[i] &&
            slice_eq_nocase(b->s->facts->domains[i], slice_skip(login, (size_t)at + 1))) {
            return b->domains[i];
        }
    }
    return NULL;
}

static void fold_users(struct build *b)
{
    const struct policy_snapshot *s = b->s;
    size_t words = s->words;
    row_or(b->member, s->all, words);
    row_or(b->roles[POLICY_OWNER], b->roles[POLICY_ADMIN], words); /* admin covers the owner */
    for (size_t r = 0; r < ROLES; r++) {
        row_or(b->roles[r], b->member, words);
    }
    for (size_t u = 0; u < s->facts->user_count; u++) {
        const struct policy_user *user = &s->facts->users[u];
        const uint64_t *domain = login_domain(b, user->login);
        uint64_t *row = s->users + u * words;
        row_or(row, b->roles[user->role], words);
        if (domain) {
            row_or(row, domain, words);
        }
    }
    row_or(s->tagged, s->all, words);
}

static int by_prefix(const void *a, const void *b)
{
    const struct prefix_row *x = a, *y = b;
    int order = ip_addr_cmp(&x->prefix.addr, &y->prefix.addr);
    return order ? order : x->prefix.bits - y->prefix.bits;
}

/* Prefixes nest or are disjoint: sorted, each one's parent is its predecessor or an ancestor of
 * it. */
static void nest_prefixes(struct policy_snapshot *s)
{
    if (s->prefix_count) {
        qsort(s->prefixes, s->prefix_count, sizeof *s->prefixes, by_prefix);
    }
    for (size_t i = 1; i < s->prefix_count; i++) {
        struct prefix_row *p = &s->prefixes[i];
        uint32_t up = (uint32_t)i - 1;
        while (up != NO_BIT && !ip_prefix_covers(&s->prefixes[up].prefix, &p->prefix)) {
            up = s->prefixes[up].parent;
        }
        p->parent = up;
        if (up != NO_BIT) {
            row_or(p->row, s->prefixes[up].row, s->words);
        }
    }
}

static void build(struct build *b)
{
    name_bits(b);
    if (!b->no_memory) {
        list_bits(b);
        app_bits(b);
    }
    if (!b->no_memory) {
        new_rows(b);
    }
    if (!b->no_memory) {
        fill_rows(b);
    }
    if (!b->no_memory) {
        fold_groups(b);
        fold_users(b);
        nest_prefixes(b->s);
    }
}

int index_build(struct policy_snapshot *s)
{
    struct build b = {.s = s, .scratch = arena_new(INDEX_MAX)};
    names_init(&b.bit_of, NAME_EXACT, 0);
    names_init(&b.list_of, NAME_EXACT, 0);
    names_init(&b.prefix_of, NAME_EXACT, 0);
    names_init(&s->tags, NAME_EXACT, 0);
    build(&b);
    names_deinit(&b.bit_of);
    names_deinit(&b.list_of);
    names_deinit(&b.prefix_of);
    arena_free(b.scratch);
    return b.no_memory ? err_origin(-ENOMEM) : 0;
}

/* ---- the devices' side ---- */

static void or_address(const struct policy_snapshot *s, const struct ip_addr *a, uint64_t *row)
{
    size_t low = 0, high = s->prefix_count; /* the first prefix that begins after a */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ip_addr_cmp(&s->prefixes[middle].prefix.addr, a) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    uint32_t at = (uint32_t)low - 1; /* NO_BIT when none begins before */
    while (at != NO_BIT && !ip_prefix_has(&s->prefixes[at].prefix, a)) {
        at = s->prefixes[at].parent;
    }
    if (at != NO_BIT) {
        row_or(row, s->prefixes[at].row, s->words);
    }
}

void index_device(const struct policy_snapshot *s,
                  const struct policy_device *device,
                  uint64_t *row)
{
    bool owned = !device->tag_count && device->user != POLICY_NO_USER;
    if (device->external || (owned && s->facts->users[device->user].suspended)) {
        return;
    }
    row_or(row,
           owned ? s->users + device->user * s->words : (device->tag_count ? s->tagged : s->all),
           s->words);
    for (size_t i = 0; i < device->tag_count; i++) {
        uint32_t tag = names_get(&s->tags, device->tags[i]);
        if (tag != NAME_UNKNOWN) {
            row_or(row, s->tag_rows[tag], s->words);
        }
    }
    if (s->prefix_count) {
        or_address(s, &device->ipv4, row);
        or_address(s, &device->ipv6, row);
    }
}
