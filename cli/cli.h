#pragma once
/* `funnel`: arguments in, one conversation with funneld, words out. Nothing here knows TLS or HTTP.
 */
#include <stdbool.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/data/json.h"

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_UNREACHABLE = 69,
    EXIT_PENDING = 75,
    EXIT_PROTOCOL = 76,
    EXIT_DENIED = 77,
};

enum cli_command {
    CLI_SERVE,
    CLI_OFF,
    CLI_STATUS,
    CLI_RESET,
    CLI_UP,
    CLI_DOWN,
    CLI_ENABLE,
    CLI_REQUESTS, /* funnel request list */
    CLI_CANCEL,   /* funnel request cancel ID */
    CLI_WAIT,
    CLI_HELP,
    CLI_VERSION
};

struct cli_args {
    enum cli_command command;
    const char *target, *control, *auth_key, *hostname, *socket, *topic;
    const char *reason, *request; /* why, for whoever decides; a request's id */
    int64_t seconds;              /* how long the right is asked for; 0: until revoked */
    int64_t wait_s;               /* for a decision; 0: not at all */
    int port;
    bool background, json, quiet;
};

/* 0, or EXIT_USAGE after three lines on stderr. */
int cli_parse(int argc, char **argv, struct cli_args *out);
void cli_usage(FILE *to);
int cli_help(const char *topic);

/* ---- words (render.c) ---- */
void render_start(bool quiet);
void render_error(const char *code, const char *message, const char *why, const char *fix);
void render_progress(const char *state, const char *text);
void render_approval(const struct js *event);
void render_requests(const struct js *result);
void render_live(const struct js *result, bool background, int port);
void render_status(const struct js *status);
void render_notice(const char *text); /* stderr */

/* ---- the conversation (talk.c) ---- */
int talk(const struct cli_args *args);
