#pragma once
/*
 * The loaded policy file as data: what load_*.c makes and eval, reach, tests, explain and edit
 * read. Private to policy/. Everything lives in the policy's arena or in its document. Offsets are
 * bytes into the text; policy_pointer and hujson_position say what stands there.
 *
 * Names that the file defines are resolved here: an index is always valid. Users, devices and
 * domains are not: they come and go without the file.
 */
#include "lib/base/arena.h"
#include "lib/hujson/hujson.h"
#include "policy/addr.h"
#include "policy/facts.h"
#include "policy/policy.h"

enum selector_kind {
    SELECTOR_NONE, /* was refused; never seen in a loaded policy */
    SELECTOR_ALL,
    SELECTOR_USER,   /* name: the login */
    SELECTOR_DOMAIN, /* user:*@domain; name: the domain */
    SELECTOR_GROUP,  /* index into groups; name: "group:x" */
    SELECTOR_TAG,    /* index into tags; name: "tag:x" */
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
    SELECTOR_UNDEFINED, /* tests and sshTests only: no such tag, group, host: the test fails */
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

/* The definitions' names, sorted: one look-up for every kind of them. */
struct name_ref {
    struct slice name;
    uint32_t index, offset;
};

struct name_index {
    struct name_ref *at;
    size_t count;
};

#define POLICY_NO_NAME UINT32_MAX

uint32_t policy_find_name(const struct name_index *names, struct slice name);

struct policy_group {
    struct word name; /* "group:x"; empty: stands for all synced groups that nobody defines here */
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

/* What autogroup:internet stands for (policy.md 2.2). */
#define POLICY_INTERNET_RANGES 7

extern const struct ip_range policy_internet[POLICY_INTERNET_RANGES];

struct ip_set {
    struct word name;
    struct ip_range *ranges; /* sorted and disjoint, IPv4 first */
    size_t range_count;
};

/* "node:os IN ['macos', 'linux']" (policy.md 2.6). */
enum posture_operator {
    POSTURE_EQUAL,
    POSTURE_NOT_EQUAL,
    POSTURE_LESS,
    POSTURE_LESS_EQUAL,
    POSTURE_GREATER,
    POSTURE_GREATER_EQUAL,
    POSTURE_IN,
    POSTURE_NOT_IN,
    POSTURE_SET,
    POSTURE_NOT_SET,
};

struct posture_assertion {
    struct word text; /* as written */
    struct slice attribute;
    enum posture_operator op;
    struct slice *values; /* without their quotes */
    size_t value_count;
};

struct posture {
    struct word name;
    struct posture_assertion *assertions;
    size_t assertion_count;
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
    struct words accept_env, postures;
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
    const struct hujson_node *posture_attrs; /* or NULL */
    struct words accept, check, deny;
};

struct attr_test {
    uint32_t index, offset;
    struct selector target;
    struct words have, lack;
    struct port_range *allow, *deny; /* funnelPorts */
    size_t allow_count, deny_count;
};

/* OneCGNATRoute */
enum cgnat_route { CGNAT_ROUTE_DEFAULT, CGNAT_ROUTE_MAC_ALWAYS, CGNAT_ROUTE_MAC_NEVER };

struct approver {
    struct word key; /* CIDR; "svc:x" or "tag:x" */
    struct ip_prefix prefix;
    struct selectors who;
};

struct policy {
    int refs; /* atomic */
    struct arena *arena;
    struct hujson_doc *doc;
    struct policy_group *groups;
    size_t group_count;
    struct tag_owner *tags;
    size_t tag_count;
    struct policy_host *hosts;
    size_t host_count;
    struct ip_set *ipsets;
    size_t ipset_count;
    struct posture *postures;
    size_t posture_count;
    struct words default_postures;
    struct name_index group_names, tag_names, host_names, ipset_names, posture_names;
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
    enum cgnat_route cgnat_route;
};

/* The section's value by case-insensitive name, or NULL (also when it is null). */
const struct hujson_node *policy_section(const struct hujson_doc *doc, struct slice name);

/*
 * Complaints. Adds one in its place by position; of each severity the first POLICY_DIAGS_MAX stay.
 * The answer may be written to until the next complaint; NULL when it was not kept, or when there
 * is no memory (diags->items is NULL then). policy_hint takes NULL.
 */
struct policy_diag *policy_complain(struct policy_diags *diags,
                                    const struct hujson_doc *doc,
                                    enum policy_severity severity,
                                    const char *code,
                                    size_t offset,
                                    const char *fmt,
                                    ...) PRINTF_LIKE(6, 7);
void policy_hint(struct policy_diag *d, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* JSON Pointer of what stands at the offset: a value, a member by its name, else what encloses it.
 * Cut at a whole character where it does not fit. */
#define POLICY_POINTER_SIZE 160

void policy_pointer(const struct hujson_doc *doc, size_t offset, char out[POLICY_POINTER_SIZE]);
