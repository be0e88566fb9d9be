#pragma once
/*
 * What the readiness of public URLs and those who follow it need from the store: probes, URLs that
 * were turned off, the change log as browsers read it. Results and rules as store.h.
 */
#include "server/store.h"

/* ---- the ladder as last seen ---- */
struct store_probe {
    struct slice step, state, code, text, fix; /* borrowed until the callback returns */
    struct wall at;
};

int store_probe_put(struct db *d, int64_t funnel, const struct store_probe *p) MUST_CHECK;
typedef void (*store_probe_fn)(void *arg, const struct store_probe *p);
int store_probes_each(struct db *d, int64_t funnel, store_probe_fn fn, void *arg) MUST_CHECK;

/* ---- turned off from here: until the node has heard it ---- */
struct store_off {
    int64_t port;
    char by[STORE_NAME_SIZE];
    struct wall at;
};

int store_off_put(struct db *d, int64_t node, int64_t port, struct slice by) MUST_CHECK;
int store_off_clear(struct db *d, int64_t node, int64_t port) MUST_CHECK; /* or STORE_NONE */
typedef void (*store_off_fn)(void *arg, const struct store_off *o);
int store_offs_each(struct db *d, int64_t node, store_off_fn fn, void *arg) MUST_CHECK;

/* ---- the change log as people follow it ---- */

/* What only they hear of: "readiness", "ingress", … (server/events.c). node 0: none. */
int store_topic(struct db *d, int64_t tailnet, const char *topic, int64_t node) MUST_CHECK;

struct store_live_change {
    int64_t seq, node, owner;    /* node, owner 0: none */
    struct slice kind, node_ref; /* borrowed until the callback returns */
};

typedef void (*store_live_fn)(void *arg, const struct store_live_change *c);
/* At most `limit` after *seq, which follows. */
int store_changes_live(struct db *d, int64_t *seq, int64_t limit, store_live_fn fn, void *arg)
    MUST_CHECK;
/* The first one that is still there; 0: none is. */
int64_t store_changes_first(struct db *d);

/* ---- odds and ends ---- */
struct store_grant_row {
    char selector[STORE_NAME_SIZE], granted_by[STORE_NAME_SIZE];
    struct wall expires; /* 0: until revoked */
};

/* The newest grant that an approval gave for this node and that has not ended. */
int store_node_grant(struct db *d, int64_t node, struct store_grant_row *out) MUST_CHECK;
int store_session_there(struct db *d, struct slice stable_id) MUST_CHECK; /* or STORE_NONE */
int64_t store_relay_sessions(struct db *d, int64_t relay);
int64_t store_count_nodes(struct db *d);
int64_t store_count_funnels(struct db *d);
/* Where a node is connected. */
typedef void (*store_relay_id_fn)(void *arg, int64_t relay);
int store_node_relays(struct db *d, int64_t node, store_relay_id_fn fn, void *arg) MUST_CHECK;
