#pragma once
/*
 * `funnel up` without a key: control gives a link that a person opens, and we wait for the answer.
 * The wait goes on without the command that began it; the same command takes it up again.
 */
#include "agent/agent.h"

struct login;

/* Asks control, or tells once more what it has answered. */
void login_begin(struct agent *a, const char *control, const char *hostname);
void login_end(struct agent *a); /* forgets it; also when there is none */
/* What control says to a node that it has taken, into the state; it is connected then. NULL, or
 * what went wrong. */
const char *login_take(struct agent *a, const char *control, const struct js *answer);

/* ---- to the commands that wait (ipc.c) ---- */

struct login_link {
    const char *url, *code, *expires;
};

void ipc_login_link(struct agent *a, const struct login_link *link);
void ipc_login_done(struct agent *a);

struct login_failure {
    const char *code;
    int exit;
    const char *message, *why, *fix;
};

void ipc_login_failed(struct agent *a, const struct login_failure *f);
