#pragma once
/*
 * What the policy needs of the store: its versions (every one is kept, bytes as sent), how it may
 * be edited, and the rows that it is evaluated on. Results as in server/store.h.
 */
#include "server/store.h"

#define STORE_MESSAGE_SIZE 256

struct store_policy_meta {
    int64_t id; /* the revision */
    char etag[65];
    char author[STORE_NAME_SIZE];
    char via[16]; /* init, api, reset, rollback, approval, expiry */
    char message[STORE_MESSAGE_SIZE];
    struct wall created;
    size_t size;
    bool current;
};

struct store_policy_new {
    struct slice text;
    const char *etag, *author, *via, *message;
};

/* The version in force. out_text may be NULL. */
int store_policy(struct db *d,
                 int64_t tailnet,
                 struct store_policy_meta *out_meta,
                 struct buf *out_text) MUST_CHECK;
int store_policy_version(struct db *d,
                         int64_t tailnet,
                         int64_t rev,
                         struct store_policy_meta *out_meta,
                         struct buf *out_text) MUST_CHECK;
/* Becomes the version in force. */
int store_policy_save(struct db *d,
                      int64_t tailnet,
                      const struct store_policy_new *p,
                      int64_t *out_rev) MUST_CHECK;
typedef void (*store_policy_fn)(void *arg, const struct store_policy_meta *m);
/* Newest first, older than `before` (0: from the newest), at most `limit`. */
int store_policies_each(struct db *d,
                        int64_t tailnet,
                        int64_t before,
                        int64_t limit,
                        store_policy_fn fn,
                        void *arg) MUST_CHECK;

/* Versions of 0.1 carry the hash of their bytes; one of them, and its right ETag. */
int store_policy_unsummed(struct db *d, int64_t *out_rev, struct buf *out_text) MUST_CHECK;
int store_policy_summed(struct db *d, int64_t rev, const char *etag) MUST_CHECK;

struct store_policy_settings {
    bool locked; /* people edit it elsewhere, at link */
    char link[512];
    bool require_if_match, format_on_save;
};

int store_policy_settings(struct db *d,
                          int64_t tailnet,
                          struct store_policy_settings *out) MUST_CHECK;
int store_policy_settings_set(struct db *d,
                              int64_t tailnet,
                              const struct store_policy_settings *in) MUST_CHECK;

/* ---- facts ---- */
struct store_facts {
    int64_t sequence; /* moves with every user, device and setting that the policy looks at */
    bool https_enabled;
    char funnel_ports[256];
};

int store_facts(struct db *d, int64_t tailnet, struct store_facts *out) MUST_CHECK;

struct store_fact_user {
    int64_t id;
    struct slice login, role;
    bool suspended;
};

struct store_fact_node {
    int64_t id, user_id; /* user_id 0: tagged */
    struct slice label, tags /* JSON array */, ipv4, ipv6;
};

/* One scan each, in order of the id; the callback may not use the store. */
typedef void (*store_fact_user_fn)(void *arg, const struct store_fact_user *u);
int store_fact_users(struct db *d, int64_t tailnet, store_fact_user_fn fn, void *arg) MUST_CHECK;
typedef void (*store_fact_node_fn)(void *arg, const struct store_fact_node *n);
int store_fact_nodes(struct db *d, int64_t tailnet, store_fact_node_fn fn, void *arg) MUST_CHECK;
int store_node_tags(struct db *d, int64_t node, struct buf *out_json) MUST_CHECK;

/* ---- what moves a right without an edit of the policy (policy.md 3.5) ---- */
/* Tags (a JSON array) take the place of the owner; "[]" and a user are the way back. */
int store_node_tag(struct db *d, int64_t node, struct slice tags, int64_t user) MUST_CHECK;
int store_node_address(struct db *d, int64_t node, struct slice ipv4) MUST_CHECK;
int store_user_role(struct db *d, int64_t user, const char *role) MUST_CHECK;
int store_user_suspend(struct db *d, int64_t user, bool suspended) MUST_CHECK;
int store_user_delete(struct db *d, int64_t user) MUST_CHECK; /* with devices and keys */
