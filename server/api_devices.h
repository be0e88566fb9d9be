#pragma once
/*
 * Devices in the shapes that v2 clients know (console-api.md 3.2, "Devices T"). {id} is a nodeId or
 * the legacy number. Who may not read machines sees those of their own; any other is 404.
 */
#include "lib/data/json.h"
#include "lib/http/http.h"
#include "server/store_devices.h"

struct app;
struct identity;

void api_devices(void *app, struct http_rq *rq);
void api_device(void *app, struct http_rq *rq);
void api_device_delete(void *app, struct http_rq *rq);
void api_device_authorized(void *app, struct http_rq *rq);
void api_device_name(void *app, struct http_rq *rq);
void api_device_tags(void *app, struct http_rq *rq);
void api_device_key(void *app, struct http_rq *rq);
void api_device_expire(void *app, struct http_rq *rq);
void api_device_ip(void *app, struct http_rq *rq);
void api_device_routes(void *app, struct http_rq *rq);
void api_device_routes_set(void *app, struct http_rq *rq);
void api_attributes(void *app, struct http_rq *rq);
void api_attribute_set(void *app, struct http_rq *rq);
void api_attribute_delete(void *app, struct http_rq *rq);

/* Between api_devices.c and its neighbours. */
struct js *device_json(struct app *a, const struct store_device *x);
bool device_visible(const struct identity *id, const struct store_node *n);
/* The device of the path, or false after a 404. */
bool device_find(struct app *a, struct http_rq *rq, struct store_device *out);
/* The same for a call that changes it: If-Match was looked at too. */
bool device_find_match(struct app *a, struct http_rq *rq, struct store_device *out);
