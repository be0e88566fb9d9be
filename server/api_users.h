#pragma once
/* Users T and invitations T (console-api.md 3.2); the rules stand in people.h. */
#include "lib/http/http.h"
#include "server/store.h"

struct app;

void api_users(void *app, struct http_rq *rq); /* GET …/users?type=&role= */
void api_user(void *app, struct http_rq *rq);  /* GET users/{id} */
void api_user_role(void *app, struct http_rq *rq);
void api_user_approve(void *app, struct http_rq *rq);
void api_user_suspend(void *app, struct http_rq *rq);
void api_user_restore(void *app, struct http_rq *rq);
void api_user_delete(void *app, struct http_rq *rq);

/* ---- api_invites.c ---- */

void api_invites(void *app, struct http_rq *rq);
void api_invite_create(void *app, struct http_rq *rq); /* an array, as Tailscale has it, or one */
void api_invite(void *app, struct http_rq *rq);
void api_invite_delete(void *app, struct http_rq *rq);
void api_invite_resend(void *app, struct http_rq *rq);

/* The code of an invitation is shown at /setup: its login becomes a person, who then has a one-time
 * link with this code. STORE_NONE: no open invitation has this hash. */
int invite_accept(struct app *a, struct http_rq *rq, struct slice hash) MUST_CHECK;
