#pragma once
/*
 * Nodes as an organisation runs them: approval, name, expiry, attributes, when they were there.
 * Results and rules as store.h; writers of one row answer STORE_NONE when there is none.
 */
#include "server/store.h"

struct store_device {
    struct store_node node;
    char tags[2048];                  /* JSON array; longer ones than a policy takes: "[]" */
    char registered[STORE_NAME_SIZE]; /* who registered it; "" when that user has gone */
    int64_t relays;                   /* that it is connected to */
};

int store_device(struct db *d, struct slice stable_id, struct store_device *out) MUST_CHECK;
int store_device_by_number(struct db *d, int64_t id, struct store_device *out) MUST_CHECK;
/* One scan, in order of the id, those greater than `after`; the callback may not use the store.
 * False ends it. */
typedef bool (*store_device_fn)(void *arg, const struct store_device *x);
int store_devices_each(struct db *d, int64_t tailnet, int64_t after, store_device_fn fn, void *arg)
    MUST_CHECK;

int store_node_authorize(struct db *d, int64_t id, bool authorized) MUST_CHECK;
/* STORE_CONFLICT: another node has this name. */
int store_node_label(struct db *d, int64_t id, struct slice label) MUST_CHECK;
/* expires.s 0: never. */
int store_node_expiry(struct db *d, int64_t id, bool disabled, struct wall expires) MUST_CHECK;
int store_node_seen(struct db *d, int64_t id, struct wall at) MUST_CHECK;
/* What was issued for the old name is of no use under a new one. */
int store_cert_forget(struct db *d, int64_t node) MUST_CHECK;

/* Nodes whose key ends before `until` and of whom less than `told` is noted; then it is noted. */
int store_nodes_expiring(struct db *d, struct wall until, int64_t told, store_id_fn fn, void *arg)
    MUST_CHECK;
int store_node_told(struct db *d, int64_t id, int64_t told) MUST_CHECK;
/* Ephemeral ones that were last seen (or, never seen, made) before. */
int store_nodes_away(struct db *d, struct wall before, store_id_fn fn, void *arg) MUST_CHECK;

struct store_attribute {
    struct slice name, value, comment; /* value: JSON text */
    struct wall expires;               /* .s 0: never */
};

/* Those that have not ended. */
typedef void (*store_attribute_fn)(void *arg, const struct store_attribute *x);
int store_attributes_each(
    struct db *d, int64_t node, struct wall now, store_attribute_fn fn, void *arg) MUST_CHECK;
int store_attribute_set(struct db *d, int64_t node, const struct store_attribute *x) MUST_CHECK;
int store_attribute_delete(struct db *d, int64_t node, struct slice name) MUST_CHECK;
int store_attributes_trim(struct db *d, struct wall now) MUST_CHECK;
