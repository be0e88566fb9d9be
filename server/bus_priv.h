#pragma once
/* Between bus.c (who hears what, and when), bus_routes.c (what relays know) and bus_node.c (what a
 * node knows). */
#include "server/app.h"

enum {
    BUS_MEMBERS = 11,
    BUS_TOKENS_MAX = 16,
    BUS_LINE_MAX = 1024 * 1024, /* of a node's stream */
    BUS_RELAY_MAX = 64 * 1024 * 1024
};

/* ---- kinds of change, as a set ---- */
enum bus_kind {
    BUS_NODE = 1,
    BUS_CAPABILITIES = 2,
    BUS_SETTINGS = 4,
    BUS_FUNNEL = 8,
    BUS_CERTIFICATE = 16,
    BUS_RELAY = 32,
    BUS_REQUEST = 64,
    BUS_ONLINE = 128,
    BUS_USER = 256,
    BUS_EVERYTHING = 511,
};

/* ---- routes (bus_routes.c) ---- */

struct bus_routes; /* of every node that may be visited, as all relays have them */

/* What a relay is told next. */
struct bus_delta {
    struct js *set, *remove;
};

struct bus_routes *bus_routes_new(struct app *a); /* from the store; NULL: not readable */
void bus_routes_free(struct bus_routes *r);
size_t bus_routes_count(const struct bus_routes *r);
/* Looks at one node again; what differs is added to the delta. -errno: it could not be looked at,
 * and its route is as before. */
int bus_routes_refresh(struct bus_routes *r, int64_t node, struct bus_delta *d) MUST_CHECK;
/* The nodes that have a route. */
typedef void (*bus_route_fn)(void *arg, int64_t node);
void bus_routes_each(const struct bus_routes *r, bus_route_fn fn, void *arg);
bool bus_delta_write(struct bus_delta *d, int64_t version, struct buf *out); /* and ends it */
void bus_routes_snapshot(const struct bus_routes *r,
                         int64_t version,
                         const char *relay_id,
                         struct buf *out);

/* ---- a node's stream (bus_node.c) ---- */

/* What one relay was given for one node. */
struct node_token {
    struct node_token *next;
    char relay[STORE_ID_SIZE];
    char *text;
    struct wall until;
};

struct node_stream {
    struct list link, due_link; /* bus->nodes; bus->due */
    struct bus *bus;
    int64_t node;
    struct node_stream *next_same; /* of the same node, where it has connected twice */
    struct http_stream *out;
    char *last[BUS_MEMBERS];   /* compact JSON of each member as sent */
    struct node_token *tokens; /* at most BUS_TOKENS_MAX */
    int64_t seq;
    unsigned due; /* kinds of change since the last look */
};

/* Sends the members that these kinds may have changed and that differ from what was sent. True: a
 * line left. */
bool node_stream_update(struct node_stream *s, unsigned kinds);
void node_stream_release(struct node_stream *s); /* what it holds, and itself */

/* ---- the bus ---- */

struct relay_stream {
    struct list link;
    struct bus *bus;
    int64_t relay;
    char relay_id[STORE_ID_SIZE];
    struct http_stream *out;
};

struct id_queue {
    int64_t *at;
    size_t head, count, room;
};

struct bus {
    struct app *a;
    struct list nodes, relays, due;
    struct map *by_node; /* id → first stream */
    struct bus_routes *routes;
    struct id_queue route_due;
    int64_t route_scan; /* every node with a wish, from after this one; -1: no */
    bool routes_owed;   /* one could not be read: all of them again with the next keep-alive */
    int64_t cursor;
    struct deferred wake;
    struct timer alive;
    struct bus_counts counts;
};
