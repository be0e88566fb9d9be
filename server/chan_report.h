#pragma once
/* The node channel (docs/channels.md): what a node says about itself, and reads about its URLs. */
#include "lib/http/http.h"
#include "server/store.h"

struct app;
struct js;

void node_report(void *app, struct http_rq *rq);      /* POST /node/v1/report */
void node_funnels_get(void *app, struct http_rq *rq); /* GET /node/v1/funnels */
/* [{port,by,at}]: switched off from here, and the node has not said that it heard. NULL: not
 * readable. */
struct js *report_offs(struct app *a, const struct store_node *n);
/* Ports the node has heard of ("heardOff"): they may be served again. */
int report_heard_off(struct app *a, int64_t node, const struct js *list) MUST_CHECK;
