#pragma once
/* DNS T and contacts T (console-api.md 3.2): kept and given back, as one JSON text each among the
 * settings. No resolver is made of the first; mail goes to none of the second. */
#include "lib/http/http.h"

void api_dns_nameservers(void *app, struct http_rq *rq); /* GET …/dns/nameservers */
void api_dns_nameservers_set(void *app, struct http_rq *rq);
void api_dns_searchpaths(void *app, struct http_rq *rq);
void api_dns_searchpaths_set(void *app, struct http_rq *rq);
void api_dns_preferences(void *app, struct http_rq *rq);
void api_dns_preferences_set(void *app, struct http_rq *rq);
void api_dns_split(void *app, struct http_rq *rq);
void api_dns_split_set(void *app, struct http_rq *rq);   /* PUT: all of them */
void api_dns_split_patch(void *app, struct http_rq *rq); /* PATCH: these; null clears one */
void api_dns_configuration(void *app, struct http_rq *rq);
void api_dns_configuration_set(void *app, struct http_rq *rq);

/* ---- api_contacts.c ---- */

void api_contacts(void *app, struct http_rq *rq);
void api_contact_patch(void *app, struct http_rq *rq);
