#pragma once
/*
 * One conversation with a control server: where it is and with which key come from options, then
 * the environment, then a configuration file. Keys are read from files and never stand in argv.
 */
#include "cli/ctl/ctl.h"
#include "lib/data/json.h"

struct ctl_remote; /* the server, the key, the loop */

/* 0, or an exit code after complaining. */
int ctl_remote_open(struct ctl *c, struct ctl_remote **out_remote) MUST_CHECK;
void ctl_remote_close(struct ctl_remote *r); /* takes NULL */
DEFINE_AUTO(struct ctl_remote, ctl_remote_close)

struct ctl_request {
    const char *method;   /* "GET" */
    const char *path;     /* "/api/v2/tailnet/-/acl" */
    const char *if_match; /* "", or the value of the header */
    bool json;            /* the body is JSON, not HuJSON */
    struct slice body;
};

struct ctl_answer {
    long status;
    struct buf body;
    char etag[80]; /* without quotes; "" when none */
};

/* Any answer of the server is 0, whatever its status. Else an exit code after complaining. */
int ctl_remote_ask(struct ctl_remote *r,
                   const struct ctl_request *rq,
                   struct ctl_answer *out_answer) MUST_CHECK;
void ctl_answer_deinit(struct ctl_answer *a);
/* For a status that the command has no better words for: complains with the server's own. Returns
 * the exit code that belongs to the status. */
int ctl_answer_complain(const struct ctl *c, const char *what, const struct ctl_answer *a);
/* The body as JSON; NULL after complaining. */
struct js *ctl_answer_json(const struct ctl *c, const struct ctl_answer *a);
const char *ctl_remote_url(const struct ctl_remote *r);
const struct ctl *ctl_remote_ctl(const struct ctl_remote *r);
