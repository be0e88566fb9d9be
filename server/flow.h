#pragma once
/*
 * Sign-ins that are under way: what the server must remember between two steps of a browser that
 * has no session yet, or must prove presence once more. Kept in memory only, found by a cookie of
 * 160 random bits, bounded, ten minutes at most.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/http/http.h"

enum flow_kind {
    FLOW_RETURN,  /* nothing but where to go after signing in */
    FLOW_CODE,    /* the password was right, a one-time code is missing */
    FLOW_SIGN_IN, /* a passkey challenge was sent */
    FLOW_ENROL,   /* a challenge for a new passkey was sent */
    FLOW_OIDC,    /* the person is at the identity provider */
};

#define FLOW_NEXT_SIZE      96
#define FLOW_CHALLENGE_SIZE 32

struct flow {
    enum flow_kind kind;
    int64_t user;    /* FLOW_CODE, FLOW_ENROL; 0 where not known yet */
    int64_t setup;   /* the one-time link in use, or 0 */
    int64_t session; /* whose presence is proved anew; 0: a new session */
    uint8_t challenge[FLOW_CHALLENGE_SIZE];
    uint8_t verifier[FLOW_CHALLENGE_SIZE], state[FLOW_CHALLENGE_SIZE], nonce[FLOW_CHALLENGE_SIZE];
    char next[FLOW_NEXT_SIZE]; /* a path of ours, or "" */
    int tries;
    struct mono until;
};

struct flows;

enum {
    FLOWS_MAX = 4096, /* some 2 MiB; the oldest go first */
    FLOW_S = 600,
};

struct flows *flows_new(void);
void flows_free(struct flows *f); /* takes NULL */
/* The flow of this browser, or NULL. Valid until the next call here. */
struct flow *flow_find(struct flows *f, const struct http_rq *rq);
/* The same, made (and its cookie set) where there is none. A FLOW_RETURN keeps its `next`. */
struct flow *flow_begin(struct flows *f, struct http_rq *rq, enum flow_kind kind);
void flow_end(struct flows *f, struct http_rq *rq); /* and the cookie */
void flows_sweep(struct flows *f, struct mono now);
size_t flows_count(const struct flows *f);
/* Paths that a sign-in may lead back to: pages of ours, never another site. */
bool flow_next_ok(struct slice path);
