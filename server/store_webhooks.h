#pragma once
/* Webhooks and what was or will be sent to them (migrations/0005). Results and rules as store.h. */
#include "server/store.h"

#define WEBHOOK_URL_MAX 1024

struct store_webhook {
    int64_t id;
    char stable_id[STORE_ID_SIZE];
    char url[WEBHOOK_URL_MAX], provider[24], events[2048] /* JSON array */,
        creator[STORE_NAME_SIZE];
    struct wall created, updated;
};

int store_webhook_create(struct db *d,
                         int64_t tailnet,
                         const struct store_webhook *w, /* stable_id given by the caller */
                         struct slice sealed) MUST_CHECK;
/* out_sealed: the signing secret, as sealed; may be NULL. */
int store_webhook(struct db *d,
                  struct slice stable_id,
                  struct store_webhook *out,
                  struct buf *out_sealed) MUST_CHECK;
int store_webhook_by_id(struct db *d, int64_t id, struct store_webhook *out, struct buf *out_sealed)
    MUST_CHECK;
typedef void (*store_webhook_fn)(void *arg, const struct store_webhook *w);
int store_webhooks_each(struct db *d, int64_t tailnet, store_webhook_fn fn, void *arg) MUST_CHECK;
int store_webhook_events(struct db *d, int64_t id, struct slice events) MUST_CHECK;
int store_webhook_rotate(struct db *d, int64_t id, struct slice sealed) MUST_CHECK;
int store_webhook_delete(struct db *d, int64_t id) MUST_CHECK;

struct store_delivery {
    int64_t id, webhook_id, tries, status;
    char stable_id[STORE_ID_SIZE], event[64], state[12], error[200];
    struct wall created, next_try, done;
    struct slice body; /* borrowed until the callback returns */
};

int store_delivery_add(struct db *d, int64_t webhook, const char *event, struct slice body)
    MUST_CHECK;
typedef void (*store_delivery_fn)(void *arg, const struct store_delivery *x);
/* Queued ones whose time has come, oldest first. */
int store_deliveries_due(
    struct db *d, struct wall now, int64_t limit, store_delivery_fn fn, void *arg) MUST_CHECK;
/* Of one webhook, newest first. */
int store_deliveries_each(
    struct db *d, int64_t webhook, int64_t limit, store_delivery_fn fn, void *arg) MUST_CHECK;
/* After a try: state "delivered", "queued" (with the time of the next one) or "failed". */
int store_delivery_tried(struct db *d,
                         int64_t id,
                         const char *state,
                         int64_t status,
                         struct slice error,
                         struct wall next_try) MUST_CHECK;
/* The time of the earliest queued one; 0: there is none. */
int store_delivery_next(struct db *d, struct wall *out) MUST_CHECK;
/* Ended ones from before `before`; once a day. */
int store_deliveries_trim(struct db *d, struct wall before) MUST_CHECK;
