#pragma once
/*
 * People and the rules about them (console-api.md section 2): exactly one owner, who alone hands
 * that over; nobody changes their own role, suspends or deletes themselves; what takes rights away
 * ends sessions, and the bus hears of it.
 */
#include "server/store_users.h"

struct app;
struct actor;

/* Why not; PEOPLE_DONE is 0. */
enum {
    PEOPLE_DONE,
    PEOPLE_GONE,
    PEOPLE_SELF,      /* not to oneself */
    PEOPLE_OWNER,     /* not to the owner: they hand over first */
    PEOPLE_HAND_OVER, /* only the owner makes an owner */
    PEOPLE_ALREADY,   /* it is like that */
};

/* A sentence and its fix for each. */
const char *people_words(int rc, const char **out_fix);

struct people_change {
    const struct actor *by;
    const struct store_user *who; /* decides; NULL: the operator on the server's own machine */
    int64_t session;              /* of that person, kept where it is their own; 0: none */
};

int people_role(struct app *a,
                const struct store_user *u,
                const char *role,
                const struct people_change *c) MUST_CHECK;
int people_approve(struct app *a,
                   const struct store_user *u,
                   const struct people_change *c) MUST_CHECK;
int people_suspend(struct app *a,
                   const struct store_user *u,
                   bool suspended,
                   const struct people_change *c) MUST_CHECK;
int people_delete(struct app *a,
                  const struct store_user *u,
                  const struct people_change *c) MUST_CHECK;

/* ---- new people ---- */

struct people_new {
    struct slice login, display_name;
    const char *role;
    bool approved; /* else they wait for somebody who may */
};

/* In the caller's transaction: row, audit, webhook, change log. STORE_CONFLICT: the login is taken.
 */
int people_create(struct app *a,
                  const struct actor *by,
                  const struct people_new *n,
                  int64_t *out_id) MUST_CHECK;
bool people_login_ok(struct slice login); /* name@domain, printable, no blanks */
