#pragma once
/*
 * What the files of the loader share. Every reader takes a node of the tree and complains about all
 * that is wrong in it; what it could read it puts into the model, so that the next reader finds as
 * much as possible. Nothing is decoded that can be borrowed from the text.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "policy/model.h"

/* Hostile sizes (policy.md 5.4): a list of any kind. */
#define LOAD_LIST_MAX 10000

enum load_section {
    SECTION_GROUPS,
    SECTION_TAG_OWNERS,
    SECTION_HOSTS,
    SECTION_IPSETS,
    SECTION_POSTURES,
    SECTION_DEFAULT_POSTURE,
    SECTION_ACLS,
    SECTION_GRANTS,
    SECTION_NODE_ATTRS,
    SECTION_AUTO_APPROVERS,
    SECTION_SSH,
    SECTION_TESTS,
    SECTION_SSH_TESTS,
    SECTION_DERP_MAP,
    SECTION_ATTR_CONFIG,
    SECTION_DISABLE_IPV4,
    SECTION_RANDOMIZE_PORT,
    SECTION_CGNAT_ROUTE,
    SECTION_ATTR_TESTS,
};

#define LOAD_SECTIONS 19

struct loader {
    struct policy *p;
    const struct hujson_doc *doc;
    const struct policy_facts *facts; /* or NULL */
    struct policy_diags *diags;
    struct arena *scratch; /* until the end of loading */
    struct buf text;       /* of a string that had to be decoded */
    size_t errors;
    bool no_memory;
    const struct hujson_node *section[LOAD_SECTIONS];         /* NULL: absent, or null */
    bool *used_groups, *used_tags, *used_hosts, *used_ipsets; /* by index */
    bool synced_groups;                 /* one was named that the file does not define */
    size_t first_member, first_members; /* offsets of autogroup:member and its old
                                          spelling; SIZE_MAX: nowhere */
};

/* A text whose last line is a comment without an LF is mended by one: nothing else could change.
 * 0, HUJSON_SYNTAX or HUJSON_TOO_BIG with *out_syntax, -ENOMEM. */
int load_parse(struct slice text,
               struct hujson_diag *out_syntax,
               struct hujson_doc **out_doc) MUST_CHECK;

/* ---- load_diag.c ---- */

struct policy_diag *
load_error(struct loader *l, const char *code, size_t offset, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
struct policy_diag *
load_warning(struct loader *l, const char *code, size_t offset, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void load_find_places(struct loader *l);
/* What the parser said, for the text that it read. 0 or -ENOMEM. */
int load_syntax(struct policy_diags *diags,
                struct slice text,
                const char *code,
                const struct hujson_diag *syntax) MUST_CHECK;
void load_did_you_mean(struct policy_diag *d /* or NULL */,
                       struct slice word,
                       const char *const *names,
                       size_t n);
/* "write PREFIXname", where the name lacks the prefix or spells it in another case. */
void load_hint_prefix(struct policy_diag *d /* or NULL */, const char *prefix, struct slice name);
/* False: no name is near. What stands before the colon of both is not compared. */
bool load_did_you_mean_name(struct policy_diag *d /* or NULL */,
                            struct slice word,
                            const struct name_index *names);

/* ---- load_value.c: strings, arrays, objects ---- */

/* Zeroed, from the policy's arena; NULL sets no_memory. */
void *load_alloc(struct loader *l, size_t count, size_t size);
void *load_scratch(struct loader *l, size_t count, size_t size);

/* False after a complaint. The text lives as long as the policy. */
bool load_string(struct loader *l, const struct hujson_node *n, struct slice *out_text);
bool load_name(struct loader *l, const struct hujson_node *obj, size_t i, struct slice *out_name);
bool load_bool(struct loader *l, const struct hujson_node *n, bool *out_value);
/* Is it an array (an object) of at most LOAD_LIST_MAX? False after a complaint. */
bool load_is_array(struct loader *l, const struct hujson_node *n);
bool load_is_object(struct loader *l, const struct hujson_node *n);
/* An array of strings. */
void load_words(struct loader *l, const struct hujson_node *n, struct words *out_words);

/* Names of an object in file order; complains about those that do not decode or stand twice (name.p
 * is NULL then). Array of hujson_count(obj); NULL without memory. */
struct name_ref *load_names(struct loader *l, const struct hujson_node *obj);
/* Sorts the names that are there; keeps index and offset. */
void load_index(struct loader *l,
                const struct name_ref *names,
                size_t count,
                struct name_index *out_index);

/* A value that we do not look into: no name twice, every string decodes. */
void load_opaque(struct loader *l, const struct hujson_node *n);
/* The same value as JSON without blanks and comments; borrowed where it is that already. */
struct slice load_json(struct loader *l, const struct hujson_node *n);

/* A field of an object whose names we fix; they match without regard to ASCII case. null is as good
 * as absent. */
struct load_field {
    const char *name;
    /* NULL: into is an array of nodes, and the field's value goes into the same place there. */
    void (*read)(struct loader *l, const struct hujson_node *value, void *into);
    const char *legacy; /* the new name, where this is an old one */
};

/* Bit i: the i-th field stands there, null or not. */
uint32_t load_fields(struct loader *l,
                     const struct hujson_node *obj,
                     const struct load_field *fields,
                     size_t count,
                     void *into);

/* ---- load_selector.c ---- */

/* Where a selector stands decides what may stand there (the table of policy.md 2.2). */
enum load_place {
    PLACE_TARGET,
    PLACE_ACL_SRC,
    PLACE_ACL_DST,
    PLACE_GRANT_SRC,
    PLACE_GRANT_DST,
    PLACE_VIA,
    PLACE_OWNER,
    PLACE_APPROVER,
    PLACE_SERVICE_TAG,
    PLACE_SSH_SRC,
    PLACE_SSH_DST,
    PLACE_RECORDER,
    PLACE_TEST_SRC,
    PLACE_TEST_DST,
    PLACE_SSH_TEST_SRC,
    PLACE_SSH_TEST_DST,
    PLACE_ATTR_TEST,
    PLACE_IPSET,
};

/* False after a complaint; *out_selector is SELECTOR_NONE then. */
bool load_selector(struct loader *l,
                   enum load_place place,
                   const struct hujson_node *n,
                   struct selector *out_selector);
bool load_selector_text(struct loader *l,
                        enum load_place place,
                        struct slice text,
                        size_t offset,
                        struct selector *out_selector);
/* An array of them; those that were refused are left out. */
void load_selectors(struct loader *l,
                    enum load_place place,
                    const struct hujson_node *n,
                    struct selectors *out_selectors);
/* Cuts blanks around a selector and says so. */
struct slice load_trim(struct loader *l, struct slice text, size_t offset);
/* Is the domain one of the tailnet's? Complains when it is known not to be. */
bool load_domain(struct loader *l, struct slice domain, size_t offset, const char *form);
void load_user(struct loader *l, struct slice login, size_t offset, struct slice group);

/* ---- load_attrs.c ---- */

/* A key of "app": {domain}/{path}, and in Tailscale's domain only what policy may give. */
bool load_capability(struct loader *l, const struct name_ref *name);
/* An array of ports, as numbers, or with ranges as strings; merged. Returns how many. */
size_t load_ports(struct loader *l, const struct hujson_node *n, struct port_range **out_ports);

/* ---- load_rules.c ---- */

/* A name or a number from 1 to 255; complains with this code. */
bool load_protocol(
    struct loader *l, struct slice text, size_t offset, const char *code, uint16_t *out_number);
bool load_protocol_has_ports(uint16_t proto);
/* selector:ports, cut at the last colon, brackets around an IPv6 address taken away. NULL, or what
 * is wrong. */
const char *load_split_dst(struct loader *l,
                           struct slice text,
                           struct slice *out_host,
                           struct slice *out_ports);
/* May these be the sources of autogroup:self? all: "*" may. */
bool load_self_sources(const struct selectors *src, bool all);

/* ---- the sections; each takes its value ---- */

void load_definition_names(struct loader *l); /* all five kinds, before anything else */
void load_groups(struct loader *l, const struct hujson_node *n);
void load_tag_owners(struct loader *l, const struct hujson_node *n);
void load_hosts(struct loader *l, const struct hujson_node *n);
void load_ipsets(struct loader *l, const struct hujson_node *n);
void load_postures(struct loader *l, const struct hujson_node *n);
void load_posture_list(struct loader *l, const struct hujson_node *n, struct words *out_names);
void load_acls(struct loader *l, const struct hujson_node *n);
void load_grants(struct loader *l, const struct hujson_node *n);
void load_node_attrs(struct loader *l, const struct hujson_node *n);
void load_auto_approvers(struct loader *l, const struct hujson_node *n);
void load_ssh(struct loader *l, const struct hujson_node *n);
void load_tests(struct loader *l, const struct hujson_node *n);
void load_ssh_tests(struct loader *l, const struct hujson_node *n);
void load_attr_tests(struct loader *l, const struct hujson_node *n);
void load_default_posture(struct loader *l, const struct hujson_node *n);
void load_derp_map(struct loader *l, const struct hujson_node *n);
void load_attr_config(struct loader *l, const struct hujson_node *n);
void load_disable_ipv4(struct loader *l, const struct hujson_node *n);
void load_randomize_port(struct loader *l, const struct hujson_node *n);
void load_cgnat_route(struct loader *l, const struct hujson_node *n);

/* Warnings about the whole, when there were no errors (policy.md 2.7). */
void load_warn_unused(struct loader *l);
void load_warn_today(struct loader *l);
