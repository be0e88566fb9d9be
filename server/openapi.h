#pragma once
/* GET /api/v2/openapi.json, and /api/v2?outputOpenapiSchema=true: what web/static/openapi.json says
 * of every call; a test proves that it and the table of routes are equal. */
#include <stdbool.h>

#include "lib/http/http.h"

void api_openapi(void *app, struct http_rq *rq);
void api_root(void *app, struct http_rq *rq);

/* A path of Tailscale's API that this server does not serve: posture integrations, VIP services,
 * device sharing, … */
bool api_foreign(struct slice path);
