#pragma once
/*
 * Sign-in through an OpenID provider (OpenID Connect Core 1.0, code flow with PKCE S256, state and
 * nonce). Issuer and subject are the identity; an e-mail address links nobody unless the operator
 * asked for it and the provider says that it is verified. A provider that is down or misconfigured
 * gets a page that names the setting; local ways in stay.
 */
#include "lib/http/http.h"

struct app;
struct oidc;

struct oidc *oidc_new(struct app *a); /* NULL when oidc.issuer is empty */
void oidc_free(struct oidc *o);       /* takes NULL */
/* GET /login/oidc, GET /login/oidc/callback */
void oidc_start(void *app, struct http_rq *rq);
void oidc_callback(void *app, struct http_rq *rq);
