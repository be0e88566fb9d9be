#pragma once
/* What stands behind public URLs: certificates and ingresses (relays). */
#include "lib/http/http.h"

void api_certificates(void *app, struct http_rq *rq);      /* GET tailnet/{tailnet}/certificates */
void api_certificate_renew(void *app, struct http_rq *rq); /* POST certificates/{id}/renew */
void api_ingresses(void *app, struct http_rq *rq);         /* GET tailnet/{tailnet}/ingresses */
