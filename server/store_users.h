#pragma once
/* What the calls about users need beside store_people.h. Results and rules as store.h. */
#include "server/store_people.h"

/* The numbers of a user's own nodes, oldest first. */
int store_user_nodes_each(struct db *d, int64_t user, store_id_fn fn, void *arg) MUST_CHECK;
/* How many of them are connected to a relay, or -errno. */
int64_t store_user_nodes_online(struct db *d, int64_t user);
/* An invitation of this login that is neither accepted nor over. */
int store_invite_open(struct db *d, int64_t tailnet, struct slice login, struct store_invite *out)
    MUST_CHECK;
