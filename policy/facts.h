#pragma once
/*
 * What the policy is evaluated on: users, devices, domains and settings of one tailnet. Built once,
 * then immutable and shared between threads by reference; a change builds the next one
 * (policy.md 5.2: full recompute is cheap, cleverness is not).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/macros.h"
#include "lib/base/slice.h"
#include "policy/addr.h"

enum policy_role {
    POLICY_MEMBER,
    POLICY_OWNER,
    POLICY_ADMIN,
    POLICY_NETWORK_ADMIN,
    POLICY_IT_ADMIN,
    POLICY_BILLING_ADMIN,
    POLICY_AUDITOR,
};

bool policy_role_parse(struct slice s, enum policy_role *out_role); /* "network-admin" */
const char *policy_role_name(enum policy_role role);

struct policy_user {
    struct slice login; /* unique without regard to ASCII case */
    enum policy_role role;
    bool suspended;
};

#define POLICY_NO_USER UINT32_MAX /* also what a look-up answers */

/* A device has an owner or tags, never both (policy.md 3.5). */
struct policy_device {
    int64_t id;        /* the node's number; unique; index + 1 where facts come from a file */
    struct slice name; /* its label */
    uint32_t user;     /* index into users, or POLICY_NO_USER: tagged, or shared in */
    const struct slice *tags; /* in facts: sorted, no repeats */
    size_t tag_count;
    struct ip_addr ipv4, ipv6; /* its own tailnet addresses */
    bool external;             /* shared in from another tailnet: no selector reaches it */
};

/* Made by policy_facts_new alone: look-ups and memory stand behind what is seen here. */
struct policy_facts {
    struct policy_user *users;
    size_t user_count;
    struct policy_device *devices; /* ordered by id */
    size_t device_count;
    struct slice *domains; /* the tailnet's own */
    size_t domain_count;
    bool https;
    struct port_range *funnel_ports; /* the default list, normalised */
    size_t funnel_port_count;
    int64_t sequence; /* the change log's head that these facts were read at; 0 from a file */
};

/* Builders; strings are copied; only until policy_facts_seal, and never on facts that are shared.
 * An empty one has https off and ports 443, 8443, 10000. Out of memory aborts: the facts are a copy
 * of our own tables. */
struct policy_facts *policy_facts_new(void);
struct policy_facts *policy_facts_ref(const struct policy_facts *f);
void policy_facts_unref(struct policy_facts *f); /* takes NULL */
DEFINE_AUTO(struct policy_facts, policy_facts_unref)
struct slice policy_facts_keep(struct policy_facts *f, struct slice text); /* a copy as old as f */
void policy_facts_domain(struct policy_facts *f, struct slice domain);
/* Index of the new user; the existing one's where the login is known (nothing changes then). */
uint32_t policy_facts_user(struct policy_facts *f, const struct policy_user *user);
uint32_t policy_facts_find_user(const struct policy_facts *f, struct slice login);
/* A device with tags loses its user (policy.md 3.5); one shared in has neither. */
void policy_facts_device(struct policy_facts *f, const struct policy_device *device);
/* "443,8443,10000" or ranges; false: not a port list, nothing changed. */
bool policy_facts_ports(struct policy_facts *f, struct slice list);
/* After the last addition: orders devices, fills the look-ups. */
void policy_facts_seal(struct policy_facts *f);

/* Of sealed facts. By label, without regard to ASCII case; NULL. */
const struct policy_device *policy_facts_find(const struct policy_facts *f, struct slice name);
/* Position in devices, or SIZE_MAX. */
size_t policy_facts_index(const struct policy_facts *f, int64_t id);

/* A tailnet as JSON (or HuJSON), in the shape of the fixtures of policy-cases.json: domains, https,
 * funnelPorts, users {login: role}, suspended [login], nodes {name: {ipv4, ipv6, user | tags,
 * external}}, about. Sealed. 0; POLICY_FACTS_BAD with a sentence "line L, column C: …" in out_why;
 * -ENOMEM. */
enum { POLICY_FACTS_BAD = 1 };

int policy_facts_read(struct slice text,
                      char out_why[256],
                      struct policy_facts **out_facts) MUST_CHECK;
