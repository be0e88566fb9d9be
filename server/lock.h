#pragma once
/*
 * The kill switch: every public URL of the tailnet is off until somebody opens them again. It is a
 * part of the gate (policy.md 3.4), so that relays, nodes, the API and the answers to requests all
 * follow from it; the policy stays as it is.
 */
#include "lib/http/http.h"
#include "server/store.h"

struct app;

struct funnel_lock {
    bool on;
    char by[STORE_NAME_SIZE], reason[256];
    struct wall since;
};

int lock_load(struct app *a) MUST_CHECK; /* at the start, before anybody is told a route */
struct js *lock_json(const struct app *a);

void api_lock_get(void *app, struct http_rq *rq);
void api_lock_on(void *app, struct http_rq *rq);  /* POST …/funnel-lock {"reason"} */
void api_lock_off(void *app, struct http_rq *rq); /* DELETE …/funnel-lock */
