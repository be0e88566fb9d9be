#pragma once
/*
 * Readiness: for every public URL seven steps, each with its state, a sentence and a fix
 * (console-api.md section 6): permitted, HTTPS, DNS, certificate, relay, backend, reachable from
 * outside. Judged from what the store, the streams and the nodes' own reports say, and for DNS and
 * the last step from a real question and a real TLS connection to the relay's public address.
 * Looked at again after every change, every 10 s while a step is not ok, every 20 s and up while
 * all are.
 */
#include "lib/base/list.h"
#include "server/store_ready.h"

struct app;
struct js;
struct ready;

enum ready_step {
    READY_PERMITTED,
    READY_HTTPS,
    READY_DNS,
    READY_CERTIFICATE,
    READY_RELAY,
    READY_BACKEND,
    READY_REACHABLE,
};

enum { READY_STEPS = READY_REACHABLE + 1 };

enum ready_state { READY_UNKNOWN, READY_WAITING, READY_FAILED, READY_OK };

const char *ready_step_name(enum ready_step s);
const char *ready_state_name(enum ready_state s);

struct ready_rung {
    enum ready_state state;
    const char *code, *fix; /* "": none */
    char *text;
    struct wall at; /* looked at last */
    int64_t ms;     /* of the probe from outside; 0: none */
};

int ready_start(struct app *a) MUST_CHECK;
void ready_stop(struct app *a);
/* Something about this node changed (0: about anybody): look again soon. */
void ready_change(struct app *a, int64_t node);
/* Its public URLs may be other ones now. */
void ready_funnels_changed(struct app *a, int64_t node);

/* What the node says about its own target; text is copied. */
enum ready_backend { READY_BACKEND_OK, READY_BACKEND_DOWN };

void ready_backend(
    struct app *a, int64_t node, int64_t port, enum ready_backend state, struct slice text);

/* READY_STEPS rungs in the order of the steps; NULL: no such URL. Borrowed until the next turn. */
const struct ready_rung *ready_ladder(const struct app *a, int64_t node, int64_t port);
bool ready_is_ready(const struct ready_rung *rungs); /* all ok */
/* [{step,state,code,text,fix,at,ms}]; the second writes the same without building it first, for
 * lists of thousands. */
struct js *ready_json(const struct ready_rung *rungs);
void ready_write(const struct ready_rung *rungs, struct buf *out);

/* Looks now and calls fn when it is done, also when the URL goes meanwhile. False: no such URL. */
typedef void (*ready_fn)(void *arg);

struct ready_wait {
    struct list link;
    ready_fn fn;
    void *arg;
};

bool ready_probe(struct app *a, int64_t node, int64_t port, struct ready_wait *w);
void ready_wait_cancel(struct ready_wait *w);

/* Does a relay that is connected to us carry the node? */
bool ready_node_at_relay(struct app *a, int64_t node);

struct ready_counts {
    uint64_t looks, urls, ready, failed;
};

struct ready_counts ready_counts(const struct app *a);
