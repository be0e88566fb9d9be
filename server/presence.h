#pragma once
/*
 * Who is connected now, and by whose clock: relays and nodes as their streams and reports show
 * them. In memory only: after a start of ours everybody comes back within seconds.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"

struct app;
struct presence;

struct presence *presence_new(void);
void presence_free(struct presence *p); /* takes NULL */

struct presence_relay {
    unsigned streams;
    struct wall since; /* of the first of them */
    struct mono reported;
    bool has_clock;
    int64_t clock; /* its wall time when our monotonic clock was 0, in seconds */
    int64_t visitors, refused, bytes_in, bytes_out;
};

struct presence_node {
    unsigned streams;
    struct wall since;
    bool has_clock;
    int64_t clock;
};

void presence_relay_open(struct presence *p, int64_t relay);
void presence_relay_closed(struct presence *p, int64_t relay);
/* theirs: 0 when it did not say. */
void presence_relay_report(struct presence *p, int64_t relay, struct wall theirs);
const struct presence_relay *presence_relay(const struct presence *p, int64_t relay); /* or NULL */
struct presence_relay *presence_relay_counters(struct presence *p, int64_t relay);
/* Its stream is open, and it has reported as often as it should. */
bool presence_relay_up(const struct presence *p, int64_t relay);

void presence_node_open(struct presence *p, int64_t node);
void presence_node_closed(struct presence *p, int64_t node);
void presence_node_clock(struct presence *p, int64_t node, struct wall theirs);
const struct presence_node *presence_node(const struct presence *p, int64_t node); /* or NULL */
size_t presence_nodes(const struct presence *p);
size_t presence_relays(const struct presence *p);

/* How far their clock is ahead of ours now, in seconds; 0 while it is not known. */
int64_t presence_skew(bool has_clock, int64_t clock);
