#pragma once
/*
 * How the server is: status and version for those who sign in, and for machines a listener of its
 * own on loopback (metrics.listen): /healthz, /readyz, /metrics in Prometheus' text format.
 */
#include "lib/http/http.h"

struct app;
struct meta;

int meta_start(struct app *a, char *out_why, size_t why_size) MUST_CHECK;
void meta_stop(struct app *a);

void api_status(void *app, struct http_rq *rq);  /* GET /api/v2/status */
void api_version(void *app, struct http_rq *rq); /* GET /api/v2/version */
