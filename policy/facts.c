/*
 * Plain arrays for the evaluator, which walks them, and two tables for those who ask by name. Text
 * lives in chunks, so that letting go of ten thousand devices is a handful of frees. (Not
 * lib/base/arena.h: that one has a bound and answers when it is reached, these facts have neither.)
 */
#include "policy/facts.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "policy/names.h"

enum {
    PORTS_MAX = 256, /* of the default list: more ranges than an ingress listens on */
    CHUNK = 64 * KIB,
};

struct chunk {
    struct chunk *next;
    size_t used, size;
    max_align_t bytes[];
};

struct facts {
    struct policy_facts seen; /* first: a pointer to the one is a pointer to the other */
    int refs;                 /* atomic */
    struct chunk *chunks;
    struct name_table logins, labels; /* to positions */
    size_t user_room, device_room;
};

static struct facts *whole(const struct policy_facts *f)
{
    return unconst(f);
}

static const struct {
    const char *name;
    enum policy_role role;
} roles[] = {
    {"member", POLICY_MEMBER},     {"owner", POLICY_OWNER},
    {"admin", POLICY_ADMIN},       {"network-admin", POLICY_NETWORK_ADMIN},
    {"it-admin", POLICY_IT_ADMIN}, {"billing-admin", POLICY_BILLING_ADMIN},
    {"auditor", POLICY_AUDITOR},
};

bool policy_role_parse(struct slice s, enum policy_role *out_role)
{
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (slice_eq(s, slice_str(roles[i].name))) {
            *out_role = roles[i].role;
            return true;
        }
    }
    return false;
}

const char *policy_role_name(enum policy_role role)
{
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (roles[i].role == role) {
            return roles[i].name;
        }
    }
    return "";
}

static void *take(struct facts *w, size_t size)
{
    size_t rounded = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    struct chunk *c = w->chunks;
    if (!c || c->size - c->used < rounded) {
        size_t room = rounded > CHUNK ? rounded : CHUNK;
        c = mem_new(sizeof *c + room);
        c->size = room;
        c->next = w->chunks;
        w->chunks = c;
    }
    c->used += rounded;
    return (char *)c->bytes + c->used - rounded;
}

static struct slice keep(struct facts *w, struct slice s)
{
    char *p = take(w, s.n + 1);
    if (s.n) {
        memcpy(p, s.p, s.n);
    }
    return slice_of(p, s.n);
}

struct slice policy_facts_keep(struct policy_facts *f, struct slice text)
{
    return keep(whole(f), text);
}

static void set_ports(struct policy_facts *f, const struct port_range *ports, size_t count)
{
    mem_free(f->funnel_ports);
    f->funnel_ports = mem_new_array(count, sizeof *ports);
    f->funnel_port_count = count;
    memcpy(f->funnel_ports, ports, count * sizeof *ports);
}

struct policy_facts *policy_facts_new(void)
{
    struct facts *w = mem_new(sizeof *w);
    w->refs = 1;
    names_init(&w->logins, NAME_FOLDED, 0);
    set_ports(&w->seen, (const struct port_range[]){{443, 443}, {8443, 8443}, {10000, 10000}}, 3);
    return &w->seen;
}

struct policy_facts *policy_facts_ref(const struct policy_facts *f)
{
    struct facts *w = whole(f);
    __atomic_add_fetch(&w->refs, 1, __ATOMIC_RELAXED);
    return &w->seen;
}

void policy_facts_unref(struct policy_facts *f)
{
    if (!f || __atomic_sub_fetch(&whole(f)->refs, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    struct facts *w = whole(f);
    mem_free(f->users);
    mem_free(f->devices);
    mem_free(f->domains);
    mem_free(f->funnel_ports);
    names_deinit(&w->logins);
    names_deinit(&w->labels);
    for (struct chunk *c = w->chunks; c;) {
        struct chunk *next = c->next;
        mem_free(c);
        c = next;
    }
    mem_free(w);
}

/* Room for one more at the end of an array that doubles. */
static void *grown(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room) {
        return array;
    }
    *room = *room ? *room * 2 : 16;
    void *wider = mem_new_array(*room, size);
    if (count) {
        memcpy(wider, array, count * size);
    }
    mem_free(array);
    return wider;
}

void policy_facts_domain(struct policy_facts *f, struct slice domain)
{
    struct slice *wider = mem_new_array(f->domain_count + 1, sizeof *wider);
    if (f->domain_count) {
        memcpy(wider, f->domains, f->domain_count * sizeof *wider);
    }
    mem_free(f->domains);
    wider[f->domain_count++] = keep(whole(f), domain);
    f->domains = wider;
}

uint32_t policy_facts_user(struct policy_facts *f, const struct policy_user *user)
{
    struct facts *w = whole(f);
    uint32_t known = names_get(&w->logins, user->login);
    if (known != NAME_UNKNOWN) {
        return known;
    }
    f->users = grown(f->users, f->user_count, &w->user_room, sizeof *f->users);
    struct policy_user *u = &f->users[f->user_count];
    *u = *user;
    u->login = keep(w, user->login);
    return names_add(&w->logins, u->login, (uint32_t)f->user_count++);
}

uint32_t policy_facts_find_user(const struct policy_facts *f, struct slice login)
{
    return names_get(&whole(f)->logins, login);
}

static int by_text(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static void keep_tags(struct facts *w, struct policy_device *d)
{
    struct slice *tags = take(w, d->tag_count * sizeof *tags);
    size_t n = 0;
    for (size_t i = 0; i < d->tag_count; i++) {
        tags[i] = keep(w, d->tags[i]);
    }
    qsort(tags, d->tag_count, sizeof *tags, by_text);
    for (size_t i = 0; i < d->tag_count; i++) {
        if (!n || !slice_eq(tags[n - 1], tags[i])) {
            tags[n++] = tags[i];
        }
    }
    d->tags = tags;
    d->tag_count = n;
}

void policy_facts_device(struct policy_facts *f, const struct policy_device *device)
{
    struct facts *w = whole(f);
    f->devices = grown(f->devices, f->device_count, &w->device_room, sizeof *f->devices);
    struct policy_device *d = &f->devices[f->device_count++];
    *d = *device;
    d->name = keep(w, device->name);
    if (d->external) {
        d->tag_count = 0;
    }
    if (d->tag_count || d->external) {
        d->user = POLICY_NO_USER;
    }
    d->tags = NULL;
    if (d->tag_count) {
        d->tags = device->tags;
        keep_tags(w, d);
    }
}

bool policy_facts_ports(struct policy_facts *f, struct slice list)
{
    struct port_range ports[PORTS_MAX];
    size_t count;
    if (!port_list_parse(list, ports, PORTS_MAX, &count)) {
        return false;
    }
    set_ports(f, ports, count);
    return true;
}

static int by_id(const void *a, const void *b)
{
    const struct policy_device *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* A tailnet's own device wins over one shared in under the same label. */
static void label_devices(struct facts *w, bool external)
{
    for (size_t i = 0; i < w->seen.device_count; i++) {
        const struct policy_device *d = &w->seen.devices[i];
        if (d->external == external) {
            names_set(&w->labels, d->name, (uint32_t)i);
        }
    }
}

void policy_facts_seal(struct policy_facts *f)
{
    struct facts *w = whole(f);
    bool ordered = true;
    for (size_t i = 1; i < f->device_count && ordered; i++) {
        ordered = f->devices[i - 1].id <= f->devices[i].id;
    }
    if (!ordered) {
        qsort(f->devices, f->device_count, sizeof *f->devices, by_id);
    }
    names_init(&w->labels, NAME_FOLDED, f->device_count);
    label_devices(w, true);
    label_devices(w, false);
}

const struct policy_device *policy_facts_find(const struct policy_facts *f, struct slice name)
{
    uint32_t i = names_get(&whole(f)->labels, name);
    return i == NAME_UNKNOWN ? NULL : &f->devices[i];
}

size_t policy_facts_index(const struct policy_facts *f, int64_t id)
{
    size_t low = 0, high = f->device_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->devices[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < f->device_count && f->devices[low].id == id ? low : SIZE_MAX;
}
