#pragma once
/*
 * The store: operations named for what they mean, rows as plain structs. Readers need no
 * transaction; every writer stands in the caller's db_begin() guard and appends to the change log
 * what streams must hear. Results: 0; STORE_NONE (no such row); STORE_CONFLICT (taken, or what it
 * refers to is not there); -errno, among them -EINVAL for a value that the schema refuses and
 * -EMSGSIZE for a caller's buffer that is too small. Outputs are written after 0 only. A count or
 * the result of an _each, _recent, _since or _due is negative when not everything could be read:
 * then what was seen is not all there is, and must not be taken for it.
 *
 * The callback of an _each, _recent, _since or _due function may call every function here but the
 * one that called it (nodes, relays and due certificates: that one too); it borrows its row.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/slice.h"
#include "lib/data/db.h"

enum { STORE_NONE = 1, STORE_CONFLICT = 2 };

#define STORE_ID_SIZE   33 /* stable ids have at most 32 characters */
#define STORE_HASH_SIZE 32
#define STORE_NAME_SIZE 254

/* ---- tailnet, users, sessions, keys (store_core.c) ---- */
struct store_tailnet {
    int64_t id;
    char stable_id[STORE_ID_SIZE];
    char name[64];
    bool https_enabled;
};

int store_tailnet_create(struct db *d, struct slice name, int64_t *out_id) MUST_CHECK;
int store_tailnet(struct db *d,
                  struct store_tailnet *out) MUST_CHECK; /* the one tailnet of this version */
int store_tailnet_https(struct db *d, int64_t id, bool on) MUST_CHECK;

struct store_user {
    int64_t id;
    char stable_id[STORE_ID_SIZE];
    char login[STORE_NAME_SIZE];
    char role[24];
    bool suspended, approved;
};

int store_user_create(struct db *d,
                      int64_t tailnet,
                      struct slice login,
                      const char *role,
                      int64_t *out_id) MUST_CHECK;
int store_user_by_login(struct db *d, struct slice login, struct store_user *out) MUST_CHECK;
int store_user_by_id(struct db *d, int64_t id, struct store_user *out) MUST_CHECK;
int store_password_set(struct db *d, int64_t user, struct slice encoded) MUST_CHECK;
int store_password(struct db *d, int64_t user, struct buf *out_encoded) MUST_CHECK;

int store_session_create(struct db *d, int64_t user, struct slice hash, struct slice remote)
    MUST_CHECK;

struct store_session {
    int64_t id, user_id;
    struct wall created, last_used;
};

int store_session(struct db *d, struct slice hash, struct store_session *out) MUST_CHECK;
int store_session_touch(struct db *d, int64_t id) MUST_CHECK;
int store_session_delete(struct db *d, int64_t id) MUST_CHECK;

struct store_setup {
    int64_t id, user_id;
    uint8_t code[STORE_HASH_SIZE];
    int64_t tries;
    struct wall expires;
    bool used;
};

int store_setup_create(struct db *d,
                       int64_t user,
                       struct slice hash,
                       struct slice code,
                       struct wall expires) MUST_CHECK;
int store_setup(struct db *d, struct slice hash, struct store_setup *out) MUST_CHECK;
int store_setup_tried(struct db *d, int64_t id) MUST_CHECK;
int store_setup_used(struct db *d, int64_t id) MUST_CHECK;

/* Of which kind a key is, and what it is good for; the whole row: store_keys.h. */
enum store_key_kind { STORE_KEY_API, STORE_KEY_AUTH, STORE_KEY_RELAY, STORE_KEY_CLIENT };

struct store_key {
    int64_t id, user_id; /* user_id 0: none */
    char stable_id[STORE_ID_SIZE];
    enum store_key_kind kind;
    bool reusable, ephemeral, preauthorized, revoked, used;
    struct wall expires, last_used; /* last_used.s 0: never */
};

struct store_key_new {
    enum store_key_kind kind;
    const char *stable_id; /* NULL: made */
    struct slice hash, description;
    int64_t tailnet, user; /* user 0: none */
    bool reusable, ephemeral, preauthorized;
    struct slice tags;   /* a JSON array; empty: none */
    struct slice scopes; /* of a client, as scopes_print writes them */
    struct wall expires;
};

int store_key_create(struct db *d, const struct store_key_new *k) MUST_CHECK;
int store_key(struct db *d, struct slice hash, struct store_key *out) MUST_CHECK;
int store_key_used(struct db *d, int64_t id, struct slice remote) MUST_CHECK;

/* The change log; its kinds: migrations/0002. node 0: everybody. */
int store_change(struct db *d, int64_t tailnet, const char *kind, int64_t node) MUST_CHECK;
int64_t store_change_head(struct db *d); /* the last one given, also when it was trimmed since */
typedef void (*store_change_fn)(void *arg, int64_t seq, struct slice kind, int64_t node);
/* *seq follows what was seen. */
int store_changes_since(struct db *d, int64_t *seq, store_change_fn fn, void *arg) MUST_CHECK;
int store_changes_trim(struct db *d, int64_t keep) MUST_CHECK;

/* ---- nodes and relays (store_nodes.c) ---- */
struct store_node {
    int64_t id, user_id; /* user_id 0: tagged */
    char stable_id[STORE_ID_SIZE];
    char label[64], hostname[STORE_NAME_SIZE], os[64], version[64];
    char transport_key[65];
    char ipv4[16], ipv6[46], remote[64];
    char login[STORE_NAME_SIZE]; /* "" when tagged */
    bool suspended;
    bool authorized, ephemeral, expiry_disabled; /* of rows that were read */
    struct wall created, key_expires, last_seen; /* the last two: .s 0: never */
};

int store_node_create(struct db *d,
                      int64_t tailnet,
                      const struct store_node *n,
                      struct slice hash,
                      int64_t *out_id) MUST_CHECK;
int store_node(struct db *d, int64_t id, struct store_node *out) MUST_CHECK;
int store_node_by_token(struct db *d, struct slice hash, struct store_node *out) MUST_CHECK;
int store_node_by_stable(struct db *d, struct slice stable_id, struct store_node *out) MUST_CHECK;
int store_node_by_transport(struct db *d,
                            struct slice transport_key,
                            struct store_node *out) MUST_CHECK;
/* 0, or STORE_CONFLICT: taken. */
int store_label_free(struct db *d, int64_t tailnet, struct slice label) MUST_CHECK;
int store_node_remote(struct db *d, int64_t id, struct slice remote) MUST_CHECK;
int store_node_rekey(struct db *d, int64_t id, struct slice hash) MUST_CHECK;
int store_node_delete(struct db *d, int64_t id) MUST_CHECK;
int64_t store_node_next_number(struct db *d); /* for addresses */
typedef void (*store_node_fn)(void *arg, const struct store_node *n);
int store_nodes_each(struct db *d, store_node_fn fn, void *arg) MUST_CHECK;

struct store_relay {
    int64_t id;
    char stable_id[STORE_ID_SIZE];
    char name[64], host[STORE_NAME_SIZE];
    char addresses[512], ports[128], pins[512],
        version[64]; /* JSON texts, as in migrations/0001_core.sql */
    int64_t port, acked;
};

int store_relay_create(struct db *d, const struct store_relay *r, struct slice hash) MUST_CHECK;
int store_relay_by_token(struct db *d, struct slice hash, struct store_relay *out) MUST_CHECK;
int store_relay_acked(struct db *d, int64_t id, int64_t version) MUST_CHECK;
typedef void (*store_relay_fn)(void *arg, const struct store_relay *r);
int store_relays_each(struct db *d, store_relay_fn fn, void *arg) MUST_CHECK;
int store_relay_nodes_clear(struct db *d, int64_t relay) MUST_CHECK;
int store_relay_node_add(struct db *d, int64_t relay, int64_t node, struct wall since) MUST_CHECK;
typedef void (*store_relay_node_fn)(void *arg, struct slice relay_id, struct wall since);
int store_relay_nodes_each(struct db *d, int64_t node, store_relay_node_fn fn, void *arg)
    MUST_CHECK;
int store_node_at_relay(struct db *d, int64_t relay, int64_t node) MUST_CHECK; /* or STORE_NONE */
int64_t store_node_online_relays(struct db *d, int64_t node);

/* ---- funnels, certificates (store_flow.c); requests: store_requests.h; the policy: store_policy.h
 * ---- */
struct store_funnel {
    int64_t id, node_id, port;
    char stable_id[STORE_ID_SIZE];
    char kind[8], target[512], source[12];
    struct wall created;
};

typedef void (*store_funnel_fn)(void *arg, const struct store_funnel *f);
int store_funnels_each(struct db *d, int64_t node /* 0: all */, store_funnel_fn fn, void *arg)
    MUST_CHECK;
int store_funnel(struct db *d, struct slice stable_id, struct store_funnel *out) MUST_CHECK;
/* At most `limit` public URLs with ids after this one, in order of their ids. */
int store_funnels_after(struct db *d, int64_t after, int64_t limit, store_funnel_fn fn, void *arg)
    MUST_CHECK;
/* Inserts or updates (node, port); 0 changed, STORE_NONE nothing changed. */
int store_funnel_put(struct db *d, const struct store_funnel *f) MUST_CHECK;
int store_funnel_delete(struct db *d, int64_t node, int64_t port) MUST_CHECK;
/* At most `limit` nodes that have one, from after *after, which follows; -1 at the end. */
typedef void (*store_id_fn)(void *arg, int64_t id);
int store_funnel_nodes(struct db *d, int64_t *after, int64_t limit, store_id_fn fn, void *arg)
    MUST_CHECK;

struct store_cert {
    int64_t node_id;
    char order_id[STORE_ID_SIZE];
    char state[12], error[512], spki[65], chain_spki[65], issuer[128];
    struct wall retry_at, not_after, updated;
    int64_t tries;
};

int store_cert(struct db *d,
               int64_t node,
               struct store_cert *out,
               struct buf *out_chain /* or NULL */,
               struct buf *out_csr /* or NULL */) MUST_CHECK;
int store_cert_order(struct db *d,
                     int64_t node,
                     const char *order_id,
                     struct slice csr,
                     const char *spki) MUST_CHECK;
int store_cert_state(struct db *d,
                     int64_t node,
                     const char *state,
                     struct slice error,
                     struct wall retry_at) MUST_CHECK;
int store_cert_issued(struct db *d,
                      int64_t node,
                      struct slice chain,
                      const char *chain_spki,
                      struct wall not_after,
                      struct slice issuer) MUST_CHECK;
/* Nodes whose order should run now: queued, issuing before a crash, or failed with retry_at
 * reached. */
typedef void (*store_cert_fn)(void *arg, int64_t node);
int store_certs_due(struct db *d, struct wall now, store_cert_fn fn, void *arg) MUST_CHECK;
