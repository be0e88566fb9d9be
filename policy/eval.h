#pragma once
/*
 * Which capabilities the policy gives to which device (policy.md 3.2, 3.3, 5.2). A snapshot is
 * policy × facts, immutable, shared by reference between threads and published by swap; devices
 * that the same targets select share one interned set, so that the difference of two snapshots is a
 * comparison of sets. A set is put into words (names, JSON) when somebody first asks for it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "policy/facts.h"
#include "policy/policy.h"

#define POLICY_FUNNEL       "funnel"
#define POLICY_PORTS_PREFIX "https://tailscale.com/cap/funnel-ports?ports="

struct policy_cap {
    struct slice name;
    struct slice json; /* "null", or the array of values in file order */
};

/* One distinct set of capabilities. Sorted by name. */
struct policy_set {
    const struct policy_cap *caps;
    size_t count;
    struct slice json; /* the ready-made capability map: {"funnel":null,…} */
    bool funnel;
    const struct port_range *ports; /* where funnel: merged */
    size_t port_count;
};

struct policy_snapshot;

bool policy_set_has(const struct policy_set *set, struct slice name); /* exact */

/* Takes references of its own. 0 or -ENOMEM. */
int policy_evaluate(struct policy *p,
                    const struct policy_facts *f,
                    struct policy_snapshot **out_snapshot) MUST_CHECK;
struct policy_snapshot *policy_snapshot_ref(struct policy_snapshot *s);
void policy_snapshot_unref(struct policy_snapshot *s); /* takes NULL */
DEFINE_AUTO(struct policy_snapshot, policy_snapshot_unref)
struct policy *policy_snapshot_policy(const struct policy_snapshot *s);            /* borrowed */
const struct policy_facts *policy_snapshot_facts(const struct policy_snapshot *s); /* borrowed */
size_t policy_snapshot_sets(const struct policy_snapshot *s);   /* how many distinct ones */
size_t policy_snapshot_memory(const struct policy_snapshot *s); /* bytes of evaluator state */

/* By position in facts->devices. Never NULL; the empty set for a device without any. */
const struct policy_set *policy_snapshot_set(const struct policy_snapshot *s, size_t device);
/* By node id; NULL when the facts do not know it. */
const struct policy_set *policy_snapshot_of(const struct policy_snapshot *s, int64_t id);
/* A device that is not in the facts (new, or changed alone; its user is one of theirs): its set,
 * made or found; NULL when out of memory. The answer lives as long as the snapshot. Not for use
 * from two threads at once. */
const struct policy_set *policy_snapshot_one(struct policy_snapshot *s,
                                             const struct policy_device *device);
/* May the device open this port to the internet, as far as the policy says? The hot question. */
bool policy_snapshot_funnel(const struct policy_snapshot *s, int64_t id, uint16_t port);

/* Devices whose capabilities differ between two snapshots, also those that came or went with some:
 * losses of funnel (or of a port of it) first, so that relays hear of them first; else by id. */
#define POLICY_NOWHERE SIZE_MAX

struct policy_change {
    int64_t id;
    bool loses_funnel, gains_funnel; /* also when only ports went or came */
    size_t before, after;            /* positions in the two's facts, or POLICY_NOWHERE */
};

struct policy_changes {
    struct policy_change *at; /* mem_free */
    size_t count;
};

void policy_changes(const struct policy_snapshot *before /* NULL: nothing was */,
                    const struct policy_snapshot *after,
                    struct policy_changes *out_changes);
void policy_changes_free(struct policy_changes *c);

/* The gate of policy.md 3.4, with its reason: the first that holds. Suspension comes first because
 * it also takes the attributes away, and is the reason that helps. */
enum policy_gate {
    POLICY_GATE_OPEN,
    POLICY_GATE_SUSPENDED,
    POLICY_GATE_NO_FUNNEL, /* also: no such device */
    POLICY_GATE_PORT,
    POLICY_GATE_HTTPS_OFF,
    POLICY_GATE_NOT_APPROVED,
    POLICY_GATE_KEY_EXPIRED,
    POLICY_GATE_NOT_ASKED, /* the device does not want to be published */
    POLICY_GATE_LOCKED,    /* the tailnet's kill switch: nothing of it is public */
};

struct policy_gate_facts {
    bool approved, key_expired, suspended, wants, locked;
};

enum policy_gate policy_gate(const struct policy_snapshot *s,
                             int64_t id,
                             uint16_t port,
                             const struct policy_gate_facts *g);
/* One clause that a person can act on: "the policy does not give this device …". */
const char *policy_gate_text(enum policy_gate g);
