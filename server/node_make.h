#pragma once
/*
 * A machine becomes a node, by an auth key or by a person who approved it: its label, its
 * addresses, whose it is and on what terms. The same machine (same transport key) that comes again
 * keeps its name and gets a new token.
 */
#include "lib/data/json.h"
#include "server/store.h"
#include "server/store_registrations.h"

struct app;
struct actor;
struct http_rq;

/* What a machine says of itself: into hostname, os, version, transport_key. False: not usable. */
bool node_facts_read(const struct js *j, struct store_node *out);

enum { NODE_OTHER_OWNER = 3, NODE_NAMES_FULL };

struct node_making {
    const struct actor *by;
    const char *why; /* detail of the audit line: "auth key …" */
    struct store_node_terms terms;
    struct slice token_hash; /* empty: nobody has a token yet */
};

/* In the caller's transaction. *n brings the facts and, unless tagged, its user; goes on as the
 * whole row. 0; NODE_OTHER_OWNER: the machine belongs to somebody else; NODE_NAMES_FULL; -errno. */
int node_make(struct app *a, struct store_node *n, const struct node_making *m) MUST_CHECK;
/* The terms of a node of a person (or, tagged, of nobody) by the tailnet's settings. */
void node_terms_default(struct app *a, bool tagged, bool approved, struct store_node_terms *out);
void node_answer(struct app *a, struct http_rq *rq, const struct store_node *n, const char *token);
/* After the commit: records stand before the node hears that it is registered. */
void node_made(struct app *a, const struct store_node *n);
