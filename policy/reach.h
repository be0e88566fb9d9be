#pragma once
/*
 * Who can reach what through acls and grants (policy.md 5.3): devices fall into classes with the
 * same selectors; rules are resolved to bit sets of classes. Used by tests, by preview and by "who
 * can reach this". This server makes no packet filters of it.
 */
#include "policy/eval.h"

struct policy_reach;

/* Takes references of its own. 0 or -ENOMEM. */
int policy_reach_new(struct policy *p,
                     const struct policy_facts *f,
                     struct policy_reach **out_reach) MUST_CHECK;
void policy_reach_free(struct policy_reach *r); /* takes NULL */
DEFINE_AUTO(struct policy_reach, policy_reach_free)
size_t policy_reach_classes(const struct policy_reach *r);
size_t policy_reach_memory(const struct policy_reach *r); /* bytes, without policy and facts */

/* proto: IANA number; 0: TCP or UDP suffices. Devices by position in the facts. */
bool policy_reach_device(
    const struct policy_reach *r, size_t src, size_t dst, uint16_t proto, uint16_t port);
/* An address that may belong to no device of the tailnet (a subnet, the internet). */
bool policy_reach_addr(const struct policy_reach *r,
                       size_t src,
                       const struct ip_addr *dst,
                       uint16_t proto,
                       uint16_t port);

/* A rule that matches a preview (POST acl/preview), in Tailscale's shape. */
struct policy_match {
    struct slice *users; /* src as written */
    size_t user_count;
    struct slice *ports; /* dst with ports as written */
    size_t port_count;
    int line;
    struct slice *via, *postures;
    size_t via_count, posture_count;
};

struct policy_matches {
    struct arena *arena;
    struct policy_match *at;
    size_t count;
};

/* type=user: rules whose src takes this login's devices. type=ipport: rules that let something
 * reach "IP:port". False with *out_why (256 bytes) when previewFor cannot be read. */
bool policy_preview_user(const struct policy_reach *r,
                         struct slice login,
                         struct policy_matches *out_matches);
bool policy_preview_ipport(const struct policy_reach *r,
                           struct slice ipport,
                           struct policy_matches *out_matches,
                           char out_why[256]);
void policy_matches_free(struct policy_matches *m);
/* Visits every device that may reach (dst, proto, port). */
typedef void (*policy_reach_fn)(void *arg, size_t device);
void policy_reach_who(const struct policy_reach *r,
                      size_t dst,
                      uint16_t proto,
                      uint16_t port,
                      policy_reach_fn fn,
                      void *arg);
