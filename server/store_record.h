#pragma once
/*
 * What an organisation looks up later and sets: the configuration audit log and the settings
 * (migrations/0005). Results and rules as store.h.
 */
#include "server/store.h"

/* One line of the audit log (console-api.md 3.2, "Audit"). Every text may be empty. */
struct store_event {
    struct slice group;                       /* one per user action */
    struct slice origin;                      /* CONSOLE, API, NODE, CLI, CONTROL */
    struct slice actor_id, actor_type, actor; /* USER, KEY, NODE, SYSTEM; actor: the login */
    struct slice action;                      /* "CREATE", or ours such as "FUNNEL.APPROVE" */
    struct slice target_id, target_type, target, property;
    struct slice detail, old, new, error, remote; /* old, new: JSON texts, or the policy */
};

int store_event_add(struct db *d, int64_t tailnet, const struct store_event *e) MUST_CHECK;

struct store_event_row {
    int64_t id;
    struct wall at;
    struct store_event e; /* borrowed until the callback returns */
};

struct store_event_query {
    int64_t tailnet;
    struct wall start, end; /* inclusive, exclusive */
    int64_t after;          /* ids greater than this: the cursor */
    int64_t limit;
    /* Empty: any. One that begins with "~" is contained, else equal; case does not matter. */
    struct slice actor, action, target;
};

/* Oldest first. */
typedef void (*store_event_fn)(void *arg, const struct store_event_row *row);
int store_events_each(struct db *d, const struct store_event_query *q, store_event_fn fn, void *arg)
    MUST_CHECK;
/* Those before `before`; once a day. */
int store_events_trim(struct db *d, struct wall before) MUST_CHECK;

/* ---- settings: a name and a JSON text ---- */

int store_setting(struct db *d, int64_t tailnet, const char *name, struct buf *out_json) MUST_CHECK;
int store_setting_set(struct db *d, int64_t tailnet, const char *name, struct slice json)
    MUST_CHECK;

/* ---- answers to POSTs that carried an Idempotency-Key ---- */

struct store_idempotent {
    uint8_t body[STORE_HASH_SIZE]; /* of method, path and body */
    int64_t status;
    struct wall created;
};

int store_idempotent(struct db *d,
                     struct slice credential,
                     struct slice key,
                     struct store_idempotent *out,
                     struct buf *out_reply) MUST_CHECK;
/* Replaces one that has run out. */
int store_idempotent_add(struct db *d,
                         struct slice credential,
                         struct slice key,
                         const struct store_idempotent *i,
                         struct slice reply) MUST_CHECK;
int store_idempotent_trim(struct db *d, struct wall before) MUST_CHECK;
