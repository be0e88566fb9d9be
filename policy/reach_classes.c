/*
 * Devices into classes. Untagged devices share what their user is, tagged ones what their list of
 * tags is; these principals, crossed with the sets of address selectors that hold the device's
 * addresses, are the classes. Terms that no rule names are left out: they tell nobody apart.
 */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "policy/reach_priv.h"

struct class_key {
    uint32_t principal;
    addr_set set4, set6;
};

/* While it is built. */
struct sorter {
    struct policy_reach *r;
    uint32_t *member_of; /* groups of user u: member_first[u] … */
    uint32_t *member_first;
    uint32_t list_count;
    struct class_key *keys;
    uint32_t key_count;
    uint32_t *table; /* 1 + number, of lists and then of keys */
    size_t table_size;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

/* ---- groups, the other way round ---- */

static size_t used_members(const struct policy_reach *r)
{
    size_t n = 0;
    for (uint32_t g = 0; g < r->policy->group_count; g++) {
        n += reach_used(r, r->group_terms + g) ? r->policy->groups[g].members.count : 0;
    }
    return n;
}

/* The users of all members of the groups that rules name; counts them. */
static void find_members(struct sorter *s)
{
    const struct policy_reach *r = s->r;
    uint32_t *found = r->group_users;
    for (uint32_t g = 0; g < r->policy->group_count; g++) {
        const struct words *members = &r->policy->groups[g].members;
        bool used = reach_used(r, r->group_terms + g);
        r->group_first[g] = used ? (uint32_t)(found - r->group_users) : REACH_NONE;
        for (size_t i = 0; used && i < members->count; i++) {
            *found = policy_facts_find_user(r->facts, members->at[i].text);
            if (*found != POLICY_NO_USER) {
                s->member_first[*found + 1]++;
            }
            found++;
        }
    }
}

static void list_members(struct sorter *s)
{
    const struct policy_reach *r = s->r;
    for (uint32_t g = 0; g < r->policy->group_count; g++) {
        const uint32_t *found = r->group_users + r->group_first[g];
        size_t count = r->group_first[g] == REACH_NONE ? 0 : r->policy->groups[g].members.count;
        for (size_t i = 0; i < count; i++) {
            if (found[i] != POLICY_NO_USER) {
                s->member_of[s->member_first[found[i]]++] = g;
            }
        }
    }
}

static bool invert_groups(struct sorter *s)
{
    struct policy_reach *r = s->r;
    size_t users = r->facts->user_count, most = used_members(r);
    r->group_first = reach_take(r, r->policy->group_count, sizeof *r->group_first);
    r->group_users = reach_take(r, most, sizeof *r->group_users);
    s->member_of = mem_try(most * sizeof *s->member_of);
    s->member_first = mem_try((users + 1) * sizeof *s->member_first);
    if (r->no_memory || !s->member_of || !s->member_first) {
        return false;
    }
    find_members(s);
    for (size_t u = 1; u <= users; u++) {
        s->member_first[u] += s->member_first[u - 1];
    }
    list_members(s);
    memmove(s->member_first + 1, s->member_first, users * sizeof *s->member_first);
    s->member_first[0] = 0;
    return true;
}

/* ---- principals ---- */

/* Terms are put in ascending order by those who call; twice the same is once. */
static void add_term(const struct policy_reach *r, uint32_t *terms, uint32_t *count, uint32_t term)
{
    if (reach_used(r, term) && (!*count || terms[*count - 1] != term)) {
        terms[(*count)++] = term;
    }
}

bool reach_in_domain(struct slice login, struct slice domain)
{
    return login.n > domain.n && login.p[login.n - domain.n - 1] == '@' &&
           slice_eq_nocase(slice_skip(login, login.n - domain.n), domain);
}

static void user_terms(const struct sorter *s, uint32_t u, uint32_t *terms, uint32_t *count)
{
    const struct policy_reach *r = s->r;
    const struct policy_user *user = &r->facts->users[u];
    add_term(r, terms, count, TERM_ALL);
    add_term(r, terms, count, TERM_ANYONE);
    add_term(r, terms, count, TERM_MEMBER);
    for (uint32_t role = POLICY_MEMBER; role <= POLICY_AUDITOR; role++) {
        if (role == user->role || (role == POLICY_ADMIN && user->role == POLICY_OWNER)) {
            add_term(r, terms, count, TERM_ROLE + role);
        }
    }
    add_term(r, terms, count, TERM_USER + u);
    for (uint32_t i = s->member_first[u]; i < s->member_first[u + 1]; i++) {
        add_term(r, terms, count, r->group_terms + s->member_of[i]);
    }
    for (uint32_t i = 0; i < r->facts->domain_count; i++) {
        if (reach_in_domain(user->login, r->facts->domains[i])) {
            add_term(r, terms, count, r->domain_terms + i);
        }
    }
}

static void
list_terms(const struct sorter *s, const struct tag_list *l, uint32_t *terms, uint32_t *n)
{
    const struct policy_reach *r = s->r;
    add_term(r, terms, n, TERM_ALL);
    add_term(r, terms, n, TERM_ANYONE);
    if (l->tagged) {
        add_term(r, terms, n, TERM_TAGGED);
    }
    for (uint32_t i = 0; i < l->count; i++) {
        add_term(r, terms, n, r->tag_terms + l->at[i]);
    }
}

enum { COMMON_TERMS = 6 /* all, anyone, member or tagged, two roles, the user */ };

static void name_principals(struct sorter *s)
{
    struct policy_reach *r = s->r;
    size_t users = r->facts->user_count;
    size_t most = s->member_first[users] + users * (COMMON_TERMS + r->facts->domain_count);
    for (size_t i = 0; i < s->list_count; i++) {
        most += COMMON_TERMS + s->r->tag_lists[i].count;
    }
    r->principal_count = users + s->list_count;
    r->principals = reach_take(r, r->principal_count, sizeof *r->principals);
    uint32_t *terms = reach_take(r, most, sizeof *terms);
    for (uint32_t i = 0; !r->no_memory && i < r->principal_count; i++) {
        struct principal *p = &r->principals[i];
        p->terms = terms;
        if (i < users) {
            user_terms(s, i, terms, &p->term_count);
        } else {
            list_terms(s, &s->r->tag_lists[i - users], terms, &p->term_count);
        }
        terms += p->term_count;
    }
}

/* ---- lists of tags ---- */

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static struct tag_list
read_tags(const struct sorter *s, const struct policy_device *d, uint32_t *at)
{
    struct tag_list l = {.at = at, .tagged = d->tag_count > 0};
    for (size_t i = 0; i < d->tag_count; i++) {
        at[l.count] = policy_find_name(&s->r->policy->tag_names, d->tags[i]);
        l.count += at[l.count] != POLICY_NO_NAME;
    }
    if (l.count > 1) {
        qsort(at, l.count, sizeof *at, by_number);
    }
    return l;
}

static bool same_list(const struct tag_list *a, const struct tag_list *b)
{
    return a->count == b->count && a->tagged == b->tagged &&
           (!a->count || !memcmp(a->at, b->at, a->count * sizeof *a->at));
}

/* The number of the list; *at moves on when it is new. */
static uint32_t find_list(struct sorter *s, struct tag_list l, uint32_t **at)
{
    uint64_t h = l.tagged;
    for (uint32_t i = 0; i < l.count; i++) {
        h = mix(h, l.at[i]);
    }
    for (size_t i = h & (s->table_size - 1);; i = (i + 1) & (s->table_size - 1)) {
        if (!s->table[i]) {
            s->r->tag_lists[s->list_count] = l;
            s->table[i] = ++s->list_count;
            *at += l.count;
            return s->list_count - 1;
        }
        if (same_list(&s->r->tag_lists[s->table[i] - 1], &l)) {
            return s->table[i] - 1;
        }
    }
}

/* Into device_class go principals, to begin with. */
static void sort_tags(struct sorter *s)
{
    struct policy_reach *r = s->r;
    size_t most = 0;
    for (size_t i = 0; i < r->facts->device_count; i++) {
        most += r->facts->devices[i].tag_count;
    }
    uint32_t *at = reach_take(r, most, sizeof *at);
    r->tag_lists = reach_take(r, r->facts->device_count, sizeof *r->tag_lists);
    for (size_t i = 0; !r->no_memory && i < r->facts->device_count; i++) {
        const struct policy_device *d = &r->facts->devices[i];
        if (d->external) {
            r->device_class[i] = REACH_NONE;
        } else if (d->user != POLICY_NO_USER) {
            r->device_class[i] = d->user;
        } else {
            r->device_class[i] =
                (uint32_t)r->facts->user_count + find_list(s, read_tags(s, d, at), &at);
        }
    }
}

/* ---- classes ---- */

static uint32_t find_key(struct sorter *s, struct class_key k)
{
    uint64_t h = mix(mix(k.principal, k.set4), k.set6);
    for (size_t i = h & (s->table_size - 1);; i = (i + 1) & (s->table_size - 1)) {
        if (!s->table[i]) {
            s->keys[s->key_count] = k;
            s->table[i] = ++s->key_count;
            return s->key_count - 1;
        }
        const struct class_key *o = &s->keys[s->table[i] - 1];
        if (o->principal == k.principal && o->set4 == k.set4 && o->set6 == k.set6) {
            return s->table[i] - 1;
        }
    }
}

static void sort_devices(struct sorter *s)
{
    struct policy_reach *r = s->r;
    memset(s->table, 0, s->table_size * sizeof *s->table);
    for (size_t i = 0; i < r->facts->device_count; i++) {
        const struct policy_device *d = &r->facts->devices[i];
        if (!d->external) {
            struct class_key k = {r->device_class[i], addr_index_find(&r->addrs, &d->ipv4),
                                  addr_index_find(&r->addrs, &d->ipv6)};
            r->device_class[i] = find_key(s, k);
        }
    }
}

static struct reach_point make_class(const struct policy_reach *r, const struct class_key *k)
{
    const struct principal *p = &r->principals[k->principal];
    bool owned = k->principal < r->facts->user_count;
    return (struct reach_point){
        .terms = p->terms,
        .term_count = p->term_count,
        .set4 = k->set4,
        .set6 = k->set6,
        .user = owned ? k->principal : POLICY_NO_USER,
        .device = REACH_NONE,
        .suspended = owned && r->facts->users[k->principal].suspended,
    };
}

/* Classes of one principal side by side; renumbers device_class. */
static void order_classes(struct sorter *s)
{
    struct policy_reach *r = s->r;
    uint32_t first = 0;
    r->class_count = s->key_count;
    r->classes = reach_take(r, r->class_count, sizeof *r->classes);
    if (r->no_memory) {
        return;
    }
    for (uint32_t i = 0; i < s->key_count; i++) {
        r->principals[s->keys[i].principal].class_count++;
    }
    for (size_t i = 0; i < r->principal_count; i++) {
        r->principals[i].first_class = first;
        first += r->principals[i].class_count;
        r->principals[i].class_count = 0;
    }
    for (uint32_t i = 0; i < s->key_count; i++) { /* the table now says where each key went */
        struct principal *p = &r->principals[s->keys[i].principal];
        s->table[i] = p->first_class + p->class_count++;
        r->classes[s->table[i]] = make_class(r, &s->keys[i]);
    }
    for (uint32_t i = 0; i < r->facts->device_count; i++) {
        if (r->device_class[i] != REACH_NONE) {
            struct reach_point *c = &r->classes[s->table[r->device_class[i]]];
            r->device_class[i] = (uint32_t)(c - r->classes);
            c->device = c->device == REACH_NONE ? i : c->device;
        }
    }
}

static bool begin(struct sorter *s)
{
    size_t devices = s->r->facts->device_count;
    s->table_size = 16;
    while (s->table_size < 2 * devices) {
        s->table_size *= 2;
    }
    s->table = mem_try(s->table_size * sizeof *s->table);
    s->keys = mem_try(devices * sizeof *s->keys);
    return s->table && s->keys && invert_groups(s);
}

static void end(struct sorter *s)
{
    mem_free(s->member_of);
    mem_free(s->member_first);
    mem_free(s->keys);
    mem_free(s->table);
}

void reach_classes_build(struct policy_reach *r)
{
    struct sorter s = {.r = r};
    r->device_class = reach_take(r, r->facts->device_count, sizeof *r->device_class);
    r->no_memory |= !begin(&s);
    if (!r->no_memory) {
        sort_tags(&s);
    }
    if (!r->no_memory) {
        name_principals(&s);
        sort_devices(&s);
    }
    if (!r->no_memory) {
        order_classes(&s);
    }
    end(&s);
}
