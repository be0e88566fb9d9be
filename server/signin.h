#pragma once
/*
 * Signing in, proving presence anew (step-up), and what a person signs in with: password.c,
 * factors.c (one-time and recovery codes), passkey.c, account.c (the pages of one's own).
 */
#include "server/app.h"
#include "server/flow.h"
#include "server/store_people.h"

/* The first factor was right: opens a session, or asks for a one-time code first. Replies. */
void signin_passed(struct app *a, struct http_rq *rq, const struct store_user *u, int64_t session);

/* Ends with a session (or a proof for the one given) and a redirect; for scripts {"next": …}. */
enum signin_reply { SIGNIN_REDIRECT, SIGNIN_JSON };

void signin_finish(struct app *a,
                   struct http_rq *rq,
                   const struct store_user *u,
                   const char *method,
                   int64_t session,
                   enum signin_reply how);
/* May this user sign in at all? False with a sentence that says no more than that. */
bool signin_allowed(const struct store_user *u);

/* "Too many attempts. Wait N seconds and try again."; false when there is no need to wait. */
bool signin_must_wait(struct app *a, struct http_rq *rq, struct slice account, char out[80]);
void signin_failed(struct app *a, const struct addr *from, struct slice account);

/* A new set of recovery codes, stored as hashes; shown once. In the caller's transaction. */
int factors_new_recovery(struct app *a, int64_t user, char out_codes[8][20]) MUST_CHECK;
void factors_seal_about(int64_t user, char out[40]);
/* The page that shows them. */
void page_recovery_codes(struct app *a,
                         struct http_rq *rq,
                         const struct store_user *u,
                         const char codes[8][20]);

/* A one-time link is good: whose, and its row. An invitation becomes a person and their link. */
bool signin_setup_code(
    struct app *a, struct http_rq *rq, struct slice code, struct store_user *out, int64_t *out_id);
/* The challenge of a flow is made anew. */
void passkey_challenge(struct flow *f);
