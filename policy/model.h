#pragma once
/*
 * The loaded policy file as data: what load_*.c makes and eval, reach, tests, explain and edit
 * read. Private to policy/. Everything lives in the policy's arena or in its document. Offsets are
 * bytes into the text (hujson_position turns them into line and column).
 */
#include "lib/base/arena.h"
#include "lib/base/map.h"
#include "lib/hujson/hujson.h"
#include "policy/addr.h"
#include "policy/facts.h"
#include "policy/policy.h"

enum selector_kind {
    SELECTOR_NONE, /* was refused; never seen in a loaded policy */
    SELECTOR_ALL,
    SELECTOR_USER,   /* name: the login */
    SELECTOR_DOMAIN, /* user:*@domain; name: the domain */
    SELECTOR_GROUP,  /* index into groups */
    SELECTOR_TAG,    /* name: "tag:x" */
    SELECTOR_MEMBER,
    SELECTOR_TAGGED,
    SELECTOR_ROLE,    /* role; POLICY_ADMIN covers the owner too */
    SELECTOR_ADDRESS, /* prefix */
    SELECTOR_HOST,    /* index into hosts, prefix copied */
    SELECTOR_RANGE,   /* ip sets only */
    SELECTOR_IPSET,   /* index into ipsets */
    SELECTOR_SERVICE, /* name: "svc:x" */
    SELECTOR_SELF,
    SELECTOR_INTERNET,
    SELECTOR_SHARED,
    SELECTOR_DANGER_ALL,
    SELECTOR_NONROOT,   /* ssh users only */
    SELECTOR_LOCALPART, /* ssh users only; name: the domain */
    SELECTOR_DEVICE,    /* nodeAttrTests only; name: the device's */
};

struct selector {
    enum selector_kind kind;
    uint32_t offset;
    struct slice text; /* trimmed, as written */
    struct slice name; /* see the kinds */
    uint32_t index;
    enum policy_role role;
    struct ip_prefix prefix;
};

struct selectors {
    struct selector *at;
    size_t count;
};

/* A string with its place. */
struct word {
    struct slice text;
    uint32_t offset;
};

struct words {
    struct word *at;
    size_t count;
};

struct policy_group {
    struct word name; /* "group:x" */
    struct words members;
};

struct tag_owner {
    struct word name; /* "tag:x" */
    struct selectors owners;
};

struct policy_host {
    struct word name;
    struct ip_prefix prefix;
};

struct ip_set {
    struct word name;
    struct ip_range *ranges; /* sorted and disjoint, IPv4 first */
    size_t range_count;
};

struct posture {
    struct word name;
    struct words assertions;
};

/* What of IP is meant: a protocol with ports. */
#define PROTO_DEFAULT 0   /* none written: TCP, UDP, and ICMP to any allowed pair */
#define PROTO_ANY     256 /* grant "*": every protocol */

struct ip_item {
    uint16_t proto; /* IANA number, or one of the above */
    struct port_range ports;
};

struct rule_dst {
    struct selector what;
    struct port_range *ports; /* acl only */
    size_t port_count;
};

enum rule_kind { RULE_ACL, RULE_GRANT };

/* An acl or a grant, in file order within its section. */
struct rule {
    enum rule_kind kind;
    uint32_t index, offset;
    struct selectors src;
    struct rule_dst *dst;
    size_t dst_count;
    uint16_t proto;     /* acl */
    struct ip_item *ip; /* grant */
    size_t ip_count;
    bool has_app; /* grant */
    struct selectors via;
    struct words postures;
};

/* "app" of a nodeAttrs entry: one capability with its values as minimized JSON texts. */
struct app_grant {
    struct word capability;
    struct slice *values;
    size_t value_count;
};

struct attr_entry {
    uint32_t index, offset;
    struct selectors targets;
    struct words attrs;
    struct app_grant *apps;
    size_t app_count;
    struct port_range *ports; /* openfunnel.org/cap/funnel; merged; count 0: the default list */
    size_t port_count;
    struct ip_prefix *pools;
    size_t pool_count;
};

enum ssh_action { SSH_ACCEPT, SSH_CHECK };

struct ssh_rule {
    uint32_t index, offset;
    enum ssh_action action;
    struct selectors src, dst;
    struct words users;
    int64_t check_seconds; /* -1: none written; 0: always */
    struct words accept_env;
};

struct test_dst {
    struct word text; /* "host:port" */
    struct selector what;
    uint16_t port;
};

struct policy_test {
    uint32_t index, offset;
    struct selector src;
    uint16_t proto;
    const struct hujson_node *posture_attrs; /* or NULL */
    struct test_dst *accept, *deny;
    size_t accept_count, deny_count;
};

struct ssh_test {
    uint32_t index, offset;
    struct selector src;
    struct selectors dst;
    struct words accept, check, deny;
};

struct attr_test {
    uint32_t index, offset;
    struct selector target;
    struct words have, lack;
    struct port_range *allow, *deny; /* funnelPorts */
    size_t allow_count, deny_count;
};

struct approver {
    struct word key; /* CIDR or "svc:x" */
    struct ip_prefix prefix;
    struct selectors who;
};

struct policy {
    int refs; /* atomic */
    struct arena *arena;
    struct hujson_doc *doc;
    struct policy_group *groups;
    size_t group_count;
    struct map *group_by_name; /* lower-cased? no: names are exact; values are 1 + index */
    struct tag_owner *tags;
    size_t tag_count;
    struct policy_host *hosts;
    size_t host_count;
    struct ip_set *ipsets;
    size_t ipset_count;
    struct posture *postures;
    size_t posture_count;
    struct words default_postures;
    bool has_acls, has_grants; /* present and not null; both absent: everything is allowed */
    struct rule *rules;        /* acls, then grants */
    size_t rule_count;
    struct attr_entry *entries;
    size_t entry_count;
    struct approver *routes, *services;
    size_t route_count, service_count;
    struct selectors exit_node, funnel_approvers;
    struct ssh_rule *ssh;
    size_t ssh_count;
    struct policy_test *tests;
    size_t test_count;
    struct ssh_test *ssh_tests;
    size_t ssh_test_count;
    struct attr_test *attr_tests;
    size_t attr_test_count;
    bool randomize_client_port, disable_ipv4;
};

/* The section's value by case-insensitive name, or NULL (also when it is null). */
const struct hujson_node *policy_section(const struct hujson_doc *doc, struct slice name);
