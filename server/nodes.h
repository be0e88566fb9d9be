#pragma once
/*
 * The life of a node after it was registered: seen and away, its key's end, leaving. What becomes
 * of a right that way is told like any other change: relays first.
 */
#include "server/audit.h"
#include "server/store.h"

struct app;
struct nodes;

/* An ephemeral node that is away for longer leaves by itself: longer than a restart of the machine
 * or of control takes, shorter than anybody looks for it. */
enum { NODE_EPHEMERAL_AWAY_S = 600 };

struct nodes *nodes_new(struct app *a);
void nodes_free(struct nodes *n); /* takes NULL */
void nodes_tick(struct app *a);   /* every two seconds */
void nodes_minute(struct app *a);
/* What is still to be written, before the end. */
void nodes_flush(struct app *a);
/* A stream of it has ended. */
void nodes_left(struct app *a, int64_t node);

/* What takes the node's rights away beside the policy: its key has ended. */
bool node_expired(const struct store_node *n);

/* In the caller's transaction, all with its audit line, webhook and change. */
int node_remove(struct app *a,
                const struct actor *by,
                const struct store_node *n,
                const char *action /* "NODE.DELETE" */,
                const char *why) MUST_CHECK;
/* type: "nodeApproved". */
int node_tell(struct app *a,
              const struct actor *by,
              const struct store_node *n,
              const char *type,
              const char *message) MUST_CHECK;
