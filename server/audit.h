#pragma once
/*
 * Who did what: every change is written with its actor, where it came from, what it was about, and
 * old and new; all lines of one user action share a group. Written in the caller's transaction, so
 * that there is no change without its line and no line without its change.
 */
#include "lib/data/json.h"
#include "lib/http/http.h"
#include "server/store_record.h"

struct app;

/* Of one request, or of the server itself. */
struct actor {
    char group[STORE_ID_SIZE];
    const char *origin, *type;
    char id[STORE_ID_SIZE], login[STORE_NAME_SIZE], remote[128];
};

void actor_of(struct http_rq *rq, struct actor *out); /* the identity that auth_before found */
void actor_system(struct actor *out);                 /* a timer of ours */

struct audit_entry {
    const char *action;                      /* "USER.UPDATE.ROLE" */
    const char *type, *id, *name, *property; /* of the target; NULL: none */
    struct slice old, new, detail;
};

/* What a person did to their own account, in the caller's transaction. from: the browser's
 * address, or NULL: it has left. */
int audit_own(struct app *a,
              const struct addr *from,
              const struct store_user *u,
              const char *action,
              struct slice detail) MUST_CHECK;
int audit_write(struct app *a, const struct actor *by, const struct audit_entry *e) MUST_CHECK;

/* GET /api/v2/tailnet/{t}/logging/configuration?start=&end=&actor=&event=&target=&format= */
void api_audit(void *app, struct http_rq *rq);
