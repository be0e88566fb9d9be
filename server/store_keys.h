#pragma once
/*
 * Keys as people see them (console-api.md 3.2): auth keys, API keys, OAuth clients and the tokens
 * that a client was given. A secret is known by its hash alone; a revoked key stays readable.
 * Results and rules as store.h.
 */
#include "server/store.h"

#define STORE_TAGS_SIZE   1024 /* a JSON array of names */
#define STORE_SCOPES_SIZE 640

struct store_key_row {
    struct store_key key;
    char description[204], tags[STORE_TAGS_SIZE], scopes[STORE_SCOPES_SIZE];
    char remote[64];                                            /* of the last use */
    char login[STORE_NAME_SIZE], user_stable_id[STORE_ID_SIZE]; /* "" without a user */
    struct wall created, revoked;                               /* revoked.s 0: not */
};

/* By its public id. Keys of relays are none of this list's. */
int store_key_row(struct db *d, int64_t tailnet, struct slice stable_id, struct store_key_row *out)
    MUST_CHECK;
int store_key_by_id(struct db *d, int64_t id, struct store_key_row *out) MUST_CHECK;
typedef void (*store_key_fn)(void *arg, const struct store_key_row *k);
/* Those that are valid now, oldest first; user 0: everybody's. */
int store_keys_each(struct db *d, int64_t tailnet, int64_t user, store_key_fn fn, void *arg)
    MUST_CHECK;

struct store_ending {
    int64_t tailnet;
    struct wall from, until; /* after, not after */
    int64_t life;            /* made to live for longer than these seconds */
};

/* Keys that end then; not those that are of no use any more. */
int store_keys_ending(struct db *d, const struct store_ending *e, store_key_fn fn, void *arg)
    MUST_CHECK;
/* STORE_NONE: it was revoked before. */
int store_key_revoke(struct db *d, int64_t id) MUST_CHECK;
int store_key_describe(struct db *d, int64_t id, struct slice description) MUST_CHECK;
/* What a client may ask for. */
int store_key_grants(struct db *d, int64_t id, struct slice scopes, struct slice tags) MUST_CHECK;
/* A use of an auth key: STORE_NONE when it is not good any more, a one-use key after its use. */
int store_key_take(struct db *d, int64_t id, struct slice remote) MUST_CHECK;

/* ---- tokens of OAuth clients ---- */

struct store_token {
    int64_t id, key_id;
    char scopes[STORE_SCOPES_SIZE], tags[STORE_TAGS_SIZE];
    struct wall expires;
};

struct store_token_new {
    int64_t key;
    struct slice hash, scopes, tags;
    struct wall expires;
};

int store_token_create(struct db *d, const struct store_token_new *t) MUST_CHECK;
int store_token(struct db *d, struct slice hash, struct store_token *out) MUST_CHECK;
int store_tokens_end(struct db *d, int64_t key) MUST_CHECK; /* of one client */
int store_tokens_expire(struct db *d, struct wall now) MUST_CHECK;
