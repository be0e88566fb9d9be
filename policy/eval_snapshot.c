/*
 * Policy × facts: each device's row is looked up among those met before, so that ten thousand
 * devices become a few sets, and the question "funnel on this port?" a search and a compare.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "policy/eval_priv.h"

enum { FIRST_SETS = 64, STACK_WORDS = 64 };

/* ---- equal rows are one set ---- */

static bool row_equal(const uint64_t *a, const uint64_t *b, size_t words)
{
    size_t i = 0;
    while (i < words && a[i] == b[i]) {
        i++;
    }
    return i == words;
}

static uint64_t row_hash(const uint64_t *row, size_t words)
{
    uint64_t h = words;
    for (size_t i = 0; i < words; i++) {
        h = (h ^ row[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return h;
}

/* Where the row's number is, or would be. */
static uint32_t *table_find(const struct policy_snapshot *s, const uint64_t *row)
{
    size_t mask = s->table_size - 1;
    for (size_t i = row_hash(row, s->words) & mask;; i = (i + 1) & mask) {
        uint32_t at = s->table[i];
        if (!at || row_equal(set_row(s, at - 1), row, s->words)) {
            return &s->table[i];
        }
    }
}

/* A copy of twice the size, or NULL; the old one is freed either way. */
static void *doubled(void *old, size_t size)
{
    void *wider = size <= SIZE_MAX / 2 ? mem_try(size * 2) : NULL;
    if (wider) {
        memcpy(wider, old, size);
    }
    mem_free(old);
    return wider;
}

static int grow(struct policy_snapshot *s)
{
    size_t row_size = s->words * sizeof *s->sets;
    if (s->set_room > INDEX_MAX / row_size) {
        return err_origin(-ENOMEM);
    }
    s->sets = doubled(s->sets, s->set_room * row_size);
    s->slots = doubled(s->slots, s->set_room * sizeof *s->slots);
    mem_free(s->table);
    s->table = mem_try(s->table_size * 2 * sizeof *s->table);
    s->table_size *= 2;
    s->set_room *= 2;
    if (!s->sets || !s->slots || !s->table) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < s->set_count; i++) {
        *table_find(s, set_row(s, i)) = (uint32_t)i + 1;
    }
    return 0;
}

static int intern(struct policy_snapshot *s, const uint64_t *row, uint32_t *out_set)
{
    uint32_t *at = table_find(s, row);
    if (!*at) {
        int rc = s->set_count == s->set_room ? grow(s) : 0;
        rc = rc ? rc : set_ports(s, row, &s->slots[s->set_count]);
        if (rc) {
            return err_trace(rc);
        }
        memcpy(s->sets + s->set_count * s->words, row, s->words * sizeof *row);
        at = table_find(s, row);
        *at = (uint32_t)++s->set_count;
    }
    *out_set = *at - 1;
    return 0;
}

static int first_sets(struct policy_snapshot *s)
{
    s->set_room = FIRST_SETS;
    s->table_size = 2 * s->set_room;
    s->sets = mem_try(s->set_room * s->words * sizeof *s->sets);
    s->slots = mem_try(s->set_room * sizeof *s->slots);
    s->table = mem_try(s->table_size * sizeof *s->table);
    s->device_set = mem_try(s->facts->device_count * sizeof *s->device_set);
    return s->sets && s->slots && s->table && s->device_set ? 0 : err_origin(-ENOMEM);
}

/* ---- devices ---- */

/* An untagged device of a user who is not reached by an address has that user's row: looked up
 * once per user. */
struct sweep {
    uint64_t *row;
    uint32_t *by_user; /* 1 + set */
};

static int sweep_device(struct policy_snapshot *s,
                        struct sweep *w,
                        const struct policy_device *d,
                        uint32_t *out_set)
{
    bool shared_row = !s->prefix_count && !d->external && d->user != POLICY_NO_USER;
    if (shared_row && w->by_user[d->user]) {
        *out_set = w->by_user[d->user] - 1;
        return 0;
    }
    memset(w->row, 0, s->words * sizeof *w->row);
    index_device(s, d, w->row);
    int rc = intern(s, w->row, out_set);
    if (!rc && shared_row) {
        w->by_user[d->user] = *out_set + 1;
    }
    return rc;
}

static int sweep(struct policy_snapshot *s)
{
    struct sweep w = {.row = mem_try(s->words * sizeof *w.row),
                      .by_user = mem_try((s->facts->user_count + 1) * sizeof *w.by_user)};
    uint32_t empty;
    int rc = -ENOMEM;
    if (w.row && w.by_user) {
        rc = intern(s, w.row, &empty);
        for (size_t i = 0; !rc && i < s->facts->device_count; i++) {
            rc = sweep_device(s, &w, &s->facts->devices[i], &s->device_set[i]);
        }
    }
    mem_free(w.row);
    mem_free(w.by_user);
    return rc ? err_trace(rc) : 0;
}

int policy_evaluate(struct policy *p,
                    const struct policy_facts *f,
                    struct policy_snapshot **out_snapshot)
{
    struct policy_snapshot *s = mem_try(sizeof *s);
    if (!s) {
        return err_origin(-ENOMEM);
    }
    *s = (struct policy_snapshot){.refs = 1,
                                  .policy = policy_ref(p),
                                  .facts = policy_facts_ref(f),
                                  .arena = arena_new(INDEX_MAX)};
    int rc = index_build(s);
    rc = rc ? rc : first_sets(s);
    rc = rc ? rc : sweep(s);
    if (rc) {
        policy_snapshot_unref(s);
        return err_trace(rc);
    }
    *out_snapshot = s;
    return 0;
}

struct policy_snapshot *policy_snapshot_ref(struct policy_snapshot *s)
{
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void policy_snapshot_unref(struct policy_snapshot *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    for (size_t i = 0; s->slots && i < s->set_count; i++) {
        mem_free(s->slots[i].made);
    }
    for (struct late_set *l = s->late; l;) {
        struct late_set *next = l->next;
        mem_free(l->slot.made);
        mem_free(l);
        l = next;
    }
    mem_free(s->sets);
    mem_free(s->slots);
    mem_free(s->table);
    mem_free(s->device_set);
    names_deinit(&s->tags);
    arena_free(s->arena);
    policy_facts_unref(s->facts);
    policy_unref(s->policy);
    mem_free(s);
}

struct policy *policy_snapshot_policy(const struct policy_snapshot *s)
{
    return s->policy;
}

const struct policy_facts *policy_snapshot_facts(const struct policy_snapshot *s)
{
    return s->facts;
}

size_t policy_snapshot_sets(const struct policy_snapshot *s)
{
    return s->set_count;
}

size_t policy_snapshot_memory(const struct policy_snapshot *s)
{
    return sizeof *s + arena_used(s->arena) +
           s->set_room * (s->words * sizeof *s->sets + sizeof *s->slots) +
           s->table_size * sizeof *s->table + s->facts->device_count * sizeof *s->device_set +
           __atomic_load_n(&s->worded, __ATOMIC_RELAXED);
}

/* ---- questions ---- */

const struct policy_set *policy_snapshot_set(const struct policy_snapshot *s, size_t device)
{
    uint32_t set = s->device_set[device];
    return set_words(snapshot_words(s), set_row(s, set), &s->slots[set]);
}

const struct policy_set *policy_snapshot_of(const struct policy_snapshot *s, int64_t id)
{
    size_t device = policy_facts_index(s->facts, id);
    return device == SIZE_MAX ? NULL : policy_snapshot_set(s, device);
}

static const struct policy_set *late_set(struct policy_snapshot *s, const uint64_t *row)
{
    size_t size = s->words * sizeof *row;
    for (struct late_set *l = s->late; l; l = l->next) {
        if (row_equal(l->row, row, s->words)) {
            return set_words(s, l->row, &l->slot);
        }
    }
    struct late_set *l = mem_try(sizeof *l + size);
    if (!l || set_ports(s, row, &l->slot)) {
        mem_free(l);
        return NULL;
    }
    memcpy(l->row, row, size);
    l->next = s->late;
    s->late = l;
    return set_words(s, l->row, &l->slot);
}

const struct policy_set *policy_snapshot_one(struct policy_snapshot *s,
                                             const struct policy_device *device)
{
    uint64_t few[STACK_WORDS] = {0};
    uint64_t *row = s->words <= STACK_WORDS ? few : mem_new_array(s->words, sizeof *row);
    index_device(s, device, row);
    uint32_t at = *table_find(s, row);
    const struct policy_set *set =
        at ? set_words(s, set_row(s, at - 1), &s->slots[at - 1]) : late_set(s, row);
    if (row != few) {
        mem_free(row);
    }
    return set;
}

bool policy_snapshot_funnel(const struct policy_snapshot *s, int64_t id, uint16_t port)
{
    size_t device = policy_facts_index(s->facts, id);
    if (device == SIZE_MAX) {
        return false;
    }
    const struct set_slot *slot = &s->slots[s->device_set[device]];
    return slot->funnel && port_ranges_have(slot->ports.at, slot->ports.count, port);
}

/* ---- the gate ---- */

enum policy_gate policy_gate(const struct policy_snapshot *s,
                             int64_t id,
                             uint16_t port,
                             const struct policy_gate_facts *g)
{
    size_t device = policy_facts_index(s->facts, id);
    if (g->locked) {
        return POLICY_GATE_LOCKED;
    }
    if (g->suspended) {
        return POLICY_GATE_SUSPENDED;
    }
    if (device == SIZE_MAX || !s->slots[s->device_set[device]].funnel) {
        return POLICY_GATE_NO_FUNNEL;
    }
    if (!policy_snapshot_funnel(s, id, port)) {
        return POLICY_GATE_PORT;
    }
    if (!s->facts->https) {
        return POLICY_GATE_HTTPS_OFF;
    }
    if (!g->approved) {
        return POLICY_GATE_NOT_APPROVED;
    }
    if (g->key_expired) {
        return POLICY_GATE_KEY_EXPIRED;
    }
    return g->wants ? POLICY_GATE_OPEN : POLICY_GATE_NOT_ASKED;
}

const char *policy_gate_text(enum policy_gate g)
{
    switch (g) {
    case POLICY_GATE_OPEN:
        return "open to the internet";
    case POLICY_GATE_SUSPENDED:
        return "the device's owner is suspended; an owner or admin can restore the user";
    case POLICY_GATE_NO_FUNNEL:
        return "the policy does not give this device the attribute \"funnel\"";
    case POLICY_GATE_PORT:
        return "the policy gives this device funnel, but not on this port";
    case POLICY_GATE_HTTPS_OFF:
        return "HTTPS is off in this tailnet; an owner, admin or network admin can turn it on";
    case POLICY_GATE_NOT_APPROVED:
        return "the device waits for an admin's approval";
    case POLICY_GATE_KEY_EXPIRED:
        return "the device's key has expired; log in again on the device";
    case POLICY_GATE_NOT_ASKED:
        return "allowed; the device does not ask to be published on this port";
    case POLICY_GATE_LOCKED:
        return "every public URL of the tailnet is switched off; an owner, admin or network admin "
               "can open them again";
    }
    return "";
}
