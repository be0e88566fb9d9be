#pragma once
/*
 * Signed webhooks (console-api.md 3.2): what happened is queued in the transaction of what
 * happened, sent at least once, in order of their time, with retries, and kept as a log. The body
 * is a JSON array of one event; `data` holds strings only. Receivers verify
 * Tailscale-Webhook-Signature: t=<unix>,v1=<hex HMAC-SHA256 of "t.body">.
 */
#include "lib/data/json.h"
#include "lib/http/http.h"
#include "lib/io/loop.h"

struct app;
struct webhooks;

/* NULL when the loop gives no fetcher. Starts with what was queued before a restart. */
struct webhooks *webhooks_new(struct app *a);
void webhooks_free(struct webhooks *w); /* takes NULL */
/* In the caller's transaction. type: "nodeCreated", "policyUpdate", "funnelApproved", …; data:
 * an object of strings, taken over, may be NULL. */
int webhooks_emit(struct app *a, const char *type, const char *message, struct js *take_data)
    MUST_CHECK;
/* The body of one event, as it is sent. */
void webhooks_body(
    struct app *a, const char *type, const char *message, struct js *take_data, struct buf *out);
void webhooks_kick(struct app *a); /* after the commit; cheap when nothing is queued */

void api_webhooks(void *app, struct http_rq *rq);
void api_webhook_create(void *app, struct http_rq *rq);
void api_webhook(void *app, struct http_rq *rq);
void api_webhook_patch(void *app, struct http_rq *rq);
void api_webhook_delete(void *app, struct http_rq *rq);
void api_webhook_test(void *app, struct http_rq *rq);
void api_webhook_rotate(void *app, struct http_rq *rq);
void api_webhook_deliveries(void *app, struct http_rq *rq);

/* Known event types; NULL-terminated. */
extern const char *const webhook_events[];
/* When the try after `tries` failed ones comes, in seconds; 0: given up (policy of retries). */
int64_t webhook_retry_s(int64_t tries);
/* "t=…,v1=…" */
void webhook_signature(struct slice secret, struct wall at, struct slice body, char out[128]);
/* Addresses that a server should not be talked into calling: loopback, private, link-local, … */
struct sockaddr;
bool webhook_peer_ok(const struct sockaddr *peer);
