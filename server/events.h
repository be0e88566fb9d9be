#pragma once
/*
 * Server-sent events (console-api.md 3.2 "Live"): what changed, for those who show it. Each event
 * names a kind and, where there is one, a node; who hears it asks for what it shows. The id is the
 * change log's number, so a stream that was cut goes on where it ended.
 */
#include "lib/http/http.h"

struct app;

int events_start(struct app *a) MUST_CHECK;
void events_stop(struct app *a);
void events_wake(struct app *a); /* the bus: there may be something new */
size_t events_listeners(const struct app *a);

void api_events(void *app, struct http_rq *rq); /* GET tailnet/{tailnet}/events */
