/*
 * Whom a selector means in a test. A device that nobody has yet is made up, so that a policy can be
 * tested before its devices exist; suspended users' devices take part only where there are no
 * others, so that a suspension does not break the tests of a policy that did not change.
 */
#include <stdio.h>

#include "lib/base/mem.h"
#include "policy/ask_scratch_priv.h"

enum { TARGET_MEMORY_MAX = 16 * MIB /* then the targets of earlier tests are forgotten */ };

void asker_begin(struct asker *a)
{
    if (!a->arena || arena_used(a->arena) > TARGET_MEMORY_MAX) {
        map_free(a->sources);
        map_free(a->destinations);
        arena_free(a->arena);
        a->sources = map_new();
        a->destinations = map_new();
        a->arena = arena_new(REACH_MEMORY_MAX);
    }
}

static void *take(struct asker *a, size_t size)
{
    void *p = arena_alloc(a->arena, size);
    a->no_memory |= !p;
    return p;
}

/* ---- devices by address ---- */

static size_t addr_slot(const struct asker *a, const struct ip_addr *addr)
{
    uint64_t h = addr->family;
    for (size_t i = 0; i < sizeof addr->bytes; i++) {
        h = (h ^ addr->bytes[i]) * 0x100000001b3u;
    }
    return (h ^ h >> 32) & (a->host_slots - 1);
}

static void add_host(struct asker *a, const struct ip_addr *addr, uint32_t device)
{
    size_t i = addr_slot(a, addr);
    while (a->hosts[i]) {
        i = (i + 1) & (a->host_slots - 1);
    }
    if (addr->family != IP_NONE) {
        a->hosts[i] = device + 1;
    }
}

static bool know_hosts(struct asker *a)
{
    const struct policy_facts *f = a->r->facts;
    if (a->hosts) {
        return true;
    }
    a->host_slots = 16;
    while (a->host_slots < 4 * f->device_count) {
        a->host_slots *= 2;
    }
    a->hosts = mem_try(a->host_slots * sizeof *a->hosts);
    for (uint32_t i = 0; a->hosts && i < f->device_count; i++) {
        add_host(a, &f->devices[i].ipv4, i);
        add_host(a, &f->devices[i].ipv6, i);
    }
    return a->hosts != NULL;
}

static uint32_t host_at(struct asker *a, const struct ip_addr *addr)
{
    if (!know_hosts(a)) {
        return reach_device_at(a->r, addr);
    }
    for (size_t i = addr_slot(a, addr); a->hosts[i]; i = (i + 1) & (a->host_slots - 1)) {
        const struct policy_device *d = &a->r->facts->devices[a->hosts[i] - 1];
        if (!ip_addr_cmp(&d->ipv4, addr) || !ip_addr_cmp(&d->ipv6, addr)) {
            return a->hosts[i] - 1;
        }
    }
    return REACH_NONE;
}

/* ---- points ---- */

static void add_point(struct asker *a, const struct reach_point *p)
{
    struct reach_point *made = take(a, sizeof *made);
    if (made) {
        *made = *p;
        a->points[a->point_count++] = made;
    }
}

static void add_classes(struct asker *a, size_t principal)
{
    const struct principal *p = &a->r->principals[principal];
    for (uint32_t i = 0; i < p->class_count; i++) {
        a->points[a->point_count++] = &a->r->classes[p->first_class + i];
    }
}

/* A device of the user, without addresses. */
static void make_up_user(struct asker *a, uint32_t user)
{
    const struct principal *p = &a->r->principals[user];
    add_point(a, &(struct reach_point){.terms = p->terms,
                                       .term_count = p->term_count,
                                       .user = user,
                                       .device = REACH_NONE,
                                       .suspended = a->r->facts->users[user].suspended});
}

/* A device with this tag alone. */
static void make_up_tagged(struct asker *a, uint32_t tag)
{
    const uint32_t all[] = {TERM_ALL, TERM_ANYONE, TERM_TAGGED, a->r->tag_terms + tag};
    struct reach_point p = {.user = POLICY_NO_USER, .device = REACH_NONE};
    uint32_t *terms = take(a, sizeof all);
    for (size_t i = 0; terms && i < ARRAY_LEN(all); i++) {
        if (reach_used(a->r, all[i])) {
            terms[p.term_count++] = all[i];
        }
    }
    p.terms = terms;
    add_point(a, &p);
}

/* ---- users ---- */

static void add_user(struct asker *a, uint32_t user)
{
    if (user != POLICY_NO_USER && a->term_marks[TERM_USER + user] != a->mark) {
        a->term_marks[TERM_USER + user] = a->mark;
        a->users[a->user_count++] = user;
    }
}

static void list_group(struct asker *a, uint32_t group)
{
    const struct policy_reach *r = a->r;
    const struct words *members = &r->policy->groups[group].members;
    uint32_t first = r->group_first[group];
    for (size_t i = 0; i < members->count; i++) {
        add_user(a, first == REACH_NONE ? policy_facts_find_user(r->facts, members->at[i].text)
                                        : r->group_users[first + i]);
    }
}

static void list_matching(struct asker *a, const struct selector *s)
{
    const struct policy_facts *f = a->r->facts;
    for (uint32_t u = 0; u < f->user_count; u++) {
        enum policy_role role = f->users[u].role;
        if (s->kind == SELECTOR_MEMBER || role == s->role ||
            (s->role == POLICY_ADMIN && role == POLICY_OWNER)) {
            add_user(a, u);
        }
    }
}

/* True: the devices are made up. */
static bool points_of_users(struct asker *a)
{
    for (size_t i = 0; i < a->user_count; i++) {
        add_classes(a, a->users[i]);
    }
    if (a->point_count) {
        return false;
    }
    for (size_t i = 0; i < a->user_count; i++) {
        make_up_user(a, a->users[i]);
    }
    return true;
}

/* ---- tags ---- */

static bool has_tag(const struct tag_list *l, const struct selector *s)
{
    bool found = s->kind == SELECTOR_TAGGED && l->tagged;
    for (uint32_t i = 0; s->kind == SELECTOR_TAG && i < l->count; i++) {
        found |= l->at[i] == s->index;
    }
    return found;
}

static bool points_of_tags(struct asker *a, const struct selector *s)
{
    size_t users = a->r->facts->user_count;
    for (size_t i = users; i < a->r->principal_count; i++) {
        if (has_tag(&a->r->tag_lists[i - users], s)) {
            add_classes(a, i);
        }
    }
    if (a->point_count) {
        return false;
    }
    for (uint32_t t = 0; t < a->r->policy->tag_count; t++) {
        if (s->kind == SELECTOR_TAGGED || s->index == t) {
            make_up_tagged(a, t);
        }
    }
    return true;
}

/* ---- addresses ---- */

static void
points_at(struct asker *a, const struct ip_prefix *p, enum reach_side side, char why[256])
{
    if (p->bits != (p->addr.family == IP_V4 ? 32 : 128)) {
        (void)snprintf(why, 256, "a test names one host, not a network");
        return;
    }
    uint32_t device = host_at(a, &p->addr);
    if (side == REACH_SRC && device != REACH_NONE && a->r->facts->devices[device].external) {
        (void)snprintf(why, 256, "it belongs to a device of another tailnet");
        return;
    }
    struct reach_point point = reach_addr_point(a->r, &p->addr, device, side);
    add_point(a, &point);
}

/* ---- any selector ---- */

static void not_found(const struct selector *s, char why[256])
{
    struct slice t = s->text;
    if (slice_starts(t, S("tag:"))) {
        (void)snprintf(why, 256, "tag not found: \"" SLICE_FMT "\"",
                       SLICE_ARG(slice_sub(t, 0, 200)));
    } else if (slice_starts(t, S("group:"))) {
        (void)snprintf(why, 256, "group not found: \"" SLICE_FMT "\"",
                       SLICE_ARG(slice_sub(t, 0, 200)));
    } else {
        (void)snprintf(why, 256, "\"" SLICE_FMT "\": invalid address",
                       SLICE_ARG(slice_sub(t, 0, 200)));
    }
}

/* Into points; why is set when it can be nobody. True: made up. */
static bool pick(struct asker *a, const struct selector *s, enum reach_side side, char why[256])
{
    switch (s->kind) {
    case SELECTOR_USER:
        add_user(a, policy_facts_find_user(a->r->facts, s->name));
        return points_of_users(a);
    case SELECTOR_GROUP:
        list_group(a, s->index);
        return points_of_users(a);
    case SELECTOR_MEMBER:
    case SELECTOR_ROLE:
        list_matching(a, s);
        return points_of_users(a);
    case SELECTOR_TAG:
    case SELECTOR_TAGGED:
        return points_of_tags(a, s);
    case SELECTOR_ADDRESS:
    case SELECTOR_HOST:
        points_at(a, &s->prefix, side, why);
        return false;
    case SELECTOR_UNDEFINED:
        not_found(s, why);
        return false;
    case SELECTOR_NONE:
    case SELECTOR_ALL:
    case SELECTOR_DOMAIN:
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
        break;
    }
    (void)snprintf(why, 256, "\"" SLICE_FMT "\" names no device to test with",
                   SLICE_ARG(slice_sub(s->text, 0, 200)));
    return false;
}

/* Takes out suspended points unless there are no others. */
static bool drop_suspended(struct asker *a)
{
    size_t kept = 0;
    for (size_t i = 0; i < a->point_count; i++) {
        kept += !a->points[i]->suspended;
    }
    if (!kept) {
        return true;
    }
    size_t n = 0;
    for (size_t i = 0; i < a->point_count; i++) {
        if (!a->points[i]->suspended) {
            a->points[n++] = a->points[i];
        }
    }
    a->point_count = n;
    return false;
}

/* A target of the points picked; NULL without memory. */
static struct ask_target *finish(struct asker *a, uint32_t term, bool made_up)
{
    struct ask_target *t = take(a, sizeof *t);
    bool suspended = drop_suspended(a);
    const struct reach_point **at = take(a, a->point_count * sizeof(void *));
    if (a->no_memory) {
        return NULL;
    }
    memcpy(at, a->points, a->point_count * sizeof(void *));
    *t = (struct ask_target){.at = at,
                             .count = a->point_count,
                             .term = term,
                             .outside = at[0]->outside,
                             .suspended = suspended,
                             .made_up = made_up};
    return t;
}

static void begin_pick(struct asker *a)
{
    asker_fresh(a);
    a->user_count = 0;
    a->point_count = 0;
    a->no_memory = false;
}

static struct ask_target *
make_target(struct asker *a, const struct selector *s, enum reach_side side, char why[256])
{
    begin_pick(a);
    bool made_up = pick(a, s, side, why);
    struct ask_target *t = NULL;
    if (!why[0] && a->point_count) {
        t = finish(a, reach_term(a->r, s), made_up);
        a->no_memory |= !t;
    }
    if (a->no_memory) {
        (void)snprintf(why, 256, "there is not enough memory for this test");
    } else if (!t && !why[0]) {
        (void)snprintf(why, 256,
                       s->kind == SELECTOR_USER ? "user not found: \"" SLICE_FMT "\""
                                                : "nobody is in \"" SLICE_FMT "\"",
                       SLICE_ARG(slice_sub(s->text, 0, 200)));
    }
    return t;
}

struct ask_target *
asker_target(struct asker *a, const struct selector *s, enum reach_side side, char out_why[256])
{
    struct map *known = side == REACH_SRC ? a->sources : a->destinations;
    struct ask_target *t = map_get(known, s->text);
    out_why[0] = '\0';
    if (!t) {
        t = make_target(a, s, side, out_why);
        if (t) {
            map_set(known, s->text, t);
        }
    }
    return t;
}

struct ask_target *asker_self(struct asker *a, uint32_t user)
{
    begin_pick(a);
    add_user(a, user);
    bool made_up = points_of_users(a);
    return a->no_memory ? NULL : finish(a, TERM_USER + user, made_up);
}

struct ask_target *
asker_part(struct asker *a, const struct ask_target *whole, size_t first, size_t count)
{
    struct ask_target *t = take(a, sizeof *t);
    if (t) {
        *t = *whole;
        t->at += first;
        t->count = count;
        t->term = TERM_NOBODY;
        t->row = NULL;
    }
    return t;
}
