#pragma once
/*
 * Machines that wait for a person (`funnel up` without a key), and the terms on which a machine
 * joins. Results and rules as store.h.
 */
#include "server/store.h"

struct store_node_terms {
    bool authorized, ephemeral;
    struct wall key_expires; /* .s 0: does not expire */
    int64_t registered_by;   /* bookkeeping; 0: nobody */
    struct slice tags;       /* JSON array; empty: none */
};

/* Of a node that has just been made. */
int store_node_terms(struct db *d, int64_t node, const struct store_node_terms *t) MUST_CHECK;
/* It came again: the key counts from now. */
int store_node_renewed(struct db *d, int64_t node, struct wall key_expires) MUST_CHECK;

struct store_registration {
    int64_t id, node_id; /* node_id 0: none */
    char stable_id[STORE_ID_SIZE];
    char hostname[STORE_NAME_SIZE], os[64], version[64], transport_key[65];
    char match_code[12], remote[64], state[12]; /* pending granted denied expired taken */
    char decided_by[STORE_NAME_SIZE];
    struct wall created, expires;
};

int store_registration_create(struct db *d,
                              int64_t tailnet,
                              const struct store_registration *r,
                              struct slice poll_hash) MUST_CHECK;
int store_registration(struct db *d,
                       struct slice stable_id,
                       struct store_registration *out) MUST_CHECK;
int store_registration_by_poll(struct db *d,
                               struct slice hash,
                               struct store_registration *out) MUST_CHECK;
/* Only a pending one that has not run out: STORE_NONE otherwise. */
int store_registration_decide(struct db *d,
                              int64_t id,
                              const char *state,
                              int64_t node /* 0: none */,
                              struct slice by) MUST_CHECK;
int store_registration_taken(struct db *d, int64_t id) MUST_CHECK;
/* How many wait: of this address (or its text is empty: of all), or -errno. */
int64_t store_registrations_waiting(struct db *d, struct slice remote);
/* Pending ones that ran out expire; nodes that nobody came for go. The ids of those nodes. */
int store_registrations_expire(struct db *d, struct wall now, int *out_count) MUST_CHECK;
/* One node that was granted and never fetched before `before`: STORE_NONE when there is none. */
int store_registration_orphan(struct db *d, struct wall before, int64_t *out_node) MUST_CHECK;
