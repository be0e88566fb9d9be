#pragma once
/*
 * A machine joins: by an auth key, or by a person who opens /a/<id> and approves (console-api.md
 * section 5). The waiting daemon holds a poll secret; whoever has the link alone gets nothing.
 */
#include "lib/http/http.h"
#include "lib/io/loop.h"
#include "server/store_registrations.h"

struct app;
struct actor;
struct registrations; /* who waits, in memory */

struct registrations *registrations_new(struct app *a);
void registrations_free(struct registrations *r); /* takes NULL; after the HTTP server has gone */
void registrations_minute(struct app *a);

/* POST /node/v1/register: with authKey, or 202 with a link that a person opens. */
void node_register(void *app, struct http_rq *rq);
/* POST /node/v1/register/wait: 200 as a registration by key; 202 still nobody; 403, 410. */
void node_register_wait(void *app, struct http_rq *rq);

/* ---- deciding (page_register.c asks) ---- */

#define REGISTRATION_CODES 3
/* The right code among wrong ones, the same ones on every look. */
void registration_codes(struct app *a,
                        const struct store_registration *r,
                        char out[REGISTRATION_CODES][12]);

enum { REGISTRATION_GONE = 1, REGISTRATION_WRONG_CODE, REGISTRATION_TAKEN };

/* The machine becomes this person's. A wrong code denies it. GONE: somebody was faster, or it ran
 * out; TAKEN: the machine belongs to somebody else. */
int registration_approve(struct app *a,
                         const struct store_registration *r,
                         const struct store_user *user,
                         const struct actor *by,
                         struct slice code) MUST_CHECK;
int registration_deny(struct app *a,
                      const struct store_registration *r,
                      const struct actor *by,
                      const char *why) MUST_CHECK;

void page_register(void *app, struct http_rq *rq);         /* GET /a/{id} */
void page_register_approve(void *app, struct http_rq *rq); /* POST /a/{id}/approve */
void page_register_deny(void *app, struct http_rq *rq);
