#pragma once
/*
 * Public URLs over the API (console-api.md 3.2): what is on the internet, does it work, off. Those
 * who may read all see all; everybody else sees and switches off what is their own.
 */
#include "lib/http/http.h"

void api_funnels(void *app, struct http_rq *rq);       /* GET tailnet/{tailnet}/funnels */
void api_funnel(void *app, struct http_rq *rq);        /* GET funnels/{id} */
void api_funnel_delete(void *app, struct http_rq *rq); /* DELETE funnels/{id} */
void api_funnel_probe(void *app, struct http_rq *rq);  /* POST funnels/{id}/probe */
