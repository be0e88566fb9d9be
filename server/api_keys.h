#pragma once
/*
 * Keys T (console-api.md 3.2): auth keys, API keys and OAuth clients. A key belongs to the person
 * who made it and never goes beyond that person's role; what a token makes never goes beyond the
 * token. The secret is answered once.
 */
#include "lib/data/json.h"
#include "lib/http/http.h"

struct app;
struct store_key;

void api_keys(void *app, struct http_rq *rq);       /* GET …/keys?all=true */
void api_key_create(void *app, struct http_rq *rq); /* POST …/keys */
void api_key(void *app, struct http_rq *rq);        /* GET …/keys/{id} */
void api_key_put(void *app, struct http_rq *rq);    /* description; scopes and tags of a client */
void api_key_delete(void *app, struct http_rq *rq); /* revokes; it stays readable */

/* POST /api/v2/oauth/token (api_oauth.c): RFC 6749 section 4.4. */
void api_oauth_token(void *app, struct http_rq *rq);

/* A use of a key by an API call: noted once a minute. */
void key_noted(struct app *a, struct http_rq *rq, const struct store_key *k);
void keys_minute(
    struct app *a); /* tokens that have run out go; keys that soon will are announced */
