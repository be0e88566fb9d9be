#pragma once
/*
 * Requests for Funnel, what was granted, and who may not ask (migrations/0006 and 0008). Results
 * and rules as store.h.
 */
#include "server/store.h"

/* ---- requests ---- */

struct store_request {
    int64_t id, node_id, port; /* node_id 0: it has gone */
    char stable_id[STORE_ID_SIZE];
    char label[64], requester[STORE_NAME_SIZE]; /* of the node, when it asked */
    char target[512], match_code[12], remote[64], state[12];
    char wish_reason[256]; /* typed by whoever asks */
    int64_t wish_until;    /* seconds they ask for; 0: until revoked */
    int64_t wrong_codes;
    char group[STORE_ID_SIZE]; /* of the audit log: the question and its answer */
    char decided_by[STORE_NAME_SIZE], reason[256];
    struct wall created, expires, decided, notified;
};

int store_request_create(struct db *d, const struct store_request *r) MUST_CHECK;
int store_request(struct db *d, struct slice stable_id, struct store_request *out) MUST_CHECK;
int store_request_pending(struct db *d, int64_t node, int64_t port, struct store_request *out)
    MUST_CHECK;
int store_request_denied_since(struct db *d,
                               int64_t node,
                               int64_t port,
                               struct wall since,
                               struct store_request *out) MUST_CHECK;
/* Only a pending one may be decided: STORE_NONE otherwise. */
int store_request_decide(
    struct db *d, int64_t id, const char *state, struct slice by, struct slice reason) MUST_CHECK;
/* What the requester wishes, while it is pending; STORE_NONE otherwise. notified 0: as it was. */
int store_request_wish(
    struct db *d, int64_t id, struct slice reason, int64_t until, struct wall notified) MUST_CHECK;
int store_request_wrong_code(struct db *d, int64_t id) MUST_CHECK; /* one more */
typedef void (*store_request_fn)(void *arg, const struct store_request *r);
int store_requests_recent(
    struct db *d, int64_t node, struct wall since, store_request_fn fn, void *arg) MUST_CHECK;
/* All that are pending, oldest first. */
int store_requests_pending(struct db *d, store_request_fn fn, void *arg) MUST_CHECK;

struct store_request_query {
    struct slice state; /* empty: any */
    int64_t user;       /* whose nodes; 0: all */
    int64_t before;     /* ids below this; 0: from the newest */
    int64_t limit;
};

/* Newest first. */
int store_requests_each(struct db *d,
                        const struct store_request_query *q,
                        store_request_fn fn,
                        void *arg) MUST_CHECK;
/* How many this node has made since then, whatever became of them. */
int store_requests_made(struct db *d, int64_t node, struct wall since, int64_t *out_count)
    MUST_CHECK;
/* Pending requests of this user's nodes; the oldest of them, where there is one. */
int store_requests_of_user(struct db *d,
                           int64_t user,
                           int64_t *out_count,
                           struct store_request *out_oldest) MUST_CHECK;
/* One that nobody may decide any more: it has expired, or its node's key has (then *out_why says
 * so). STORE_NONE: there is none. */
int store_request_overdue(struct db *d,
                          struct wall now,
                          struct store_request *out,
                          bool *out_key_expired) MUST_CHECK;
int store_requests_expire(struct db *d, struct wall now, int *out_count) MUST_CHECK;

/* ---- who may not ask ---- */

int store_node_bar_requests(struct db *d, int64_t node, bool barred) MUST_CHECK;
int store_node_barred(struct db *d, int64_t node) MUST_CHECK; /* 0: yes; STORE_NONE: no */

/* ---- grants ---- */

struct store_grant {
    int64_t id, request_id, node_id; /* 0: gone */
    char stable_id[STORE_ID_SIZE];
    char selector[STORE_NAME_SIZE], ports[64];
    bool edited; /* the entry in the policy is ours to take out */
    char granted_by[STORE_NAME_SIZE];
    char why[STORE_NAME_SIZE];
    struct wall created, expires, overdue, ended; /* 0: none */
};

int store_grant_create(struct db *d, int64_t tailnet, const struct store_grant *g) MUST_CHECK;
int store_grant_of_request(struct db *d, int64_t request, struct store_grant *out) MUST_CHECK;
/* The first whose end has come, after the id `after`. STORE_NONE: none. */
int store_grant_due(struct db *d, struct wall now, int64_t after, struct store_grant *out)
    MUST_CHECK;
/* Another one that still gives the same to the same, or STORE_NONE. */
int store_grant_beside(struct db *d, int64_t id, const char *selector, struct store_grant *out)
    MUST_CHECK;
/* Those that have not ended, after the id `after`. */
int store_grant_next(struct db *d, int64_t after, struct store_grant *out) MUST_CHECK;
/* All earlier ones that gave the same: what they wrote was found to be gone. */
int store_grants_end_same(struct db *d, const struct store_grant *g, struct slice why) MUST_CHECK;
int store_grant_end(struct db *d, int64_t id, struct slice why) MUST_CHECK; /* STORE_NONE: it has */
int store_grant_overdue(struct db *d, int64_t id, struct wall at, struct slice why) MUST_CHECK;
