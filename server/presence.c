/*
 * A clock is kept as what it showed when our monotonic clock was 0: so a clock of ours that is set
 * anew shows as well, without a word from anybody.
 */
#include "server/presence.h"

#include "lib/base/mem.h"

/* A relay reports every 15 s (relay/channel.c) and after each session that comes or goes. */
static const int64_t report_patience = SECONDS(25);

struct presence {
    struct map *relays, *nodes; /* id → struct presence_relay, presence_node */
};

static struct slice key_of(const int64_t *id)
{
    return slice_of(id, sizeof *id);
}

static int64_t clock_of(struct wall theirs)
{
    return theirs.s - mono_now().ns / SECONDS(1);
}

int64_t presence_skew(bool has_clock, int64_t clock)
{
    return has_clock ? clock - clock_of(wall_now()) : 0;
}

struct presence *presence_new(void)
{
    struct presence *p = mem_new(sizeof *p);
    *p = (struct presence){.relays = map_new(), .nodes = map_new()};
    return p;
}

void presence_free(struct presence *p)
{
    if (p) {
        map_free_values(p->relays);
        map_free_values(p->nodes);
        mem_free(p);
    }
}

/* ---- relays ---- */

static struct presence_relay *relay_entry(struct presence *p, int64_t relay)
{
    struct presence_relay *r = map_get(p->relays, key_of(&relay));
    if (!r) {
        r = mem_new(sizeof *r);
        map_set(p->relays, key_of(&relay), r);
    }
    return r;
}

void presence_relay_open(struct presence *p, int64_t relay)
{
    struct presence_relay *r = relay_entry(p, relay);
    r->reported = mono_now(); /* its first report follows the snapshot */
    if (!r->streams++) {
        r->since = wall_now();
    }
}

void presence_relay_closed(struct presence *p, int64_t relay)
{
    struct presence_relay *r = relay_entry(p, relay);
    r->streams -= r->streams > 0;
    r->has_clock = r->has_clock && r->streams;
}

void presence_relay_report(struct presence *p, int64_t relay, struct wall theirs)
{
    struct presence_relay *r = relay_entry(p, relay);
    r->reported = mono_now();
    r->has_clock = theirs.s != 0;
    r->clock = clock_of(theirs);
}

const struct presence_relay *presence_relay(const struct presence *p, int64_t relay)
{
    return map_get(p->relays, key_of(&relay));
}

struct presence_relay *presence_relay_counters(struct presence *p, int64_t relay)
{
    return relay_entry(p, relay);
}

static bool is_up(const struct presence_relay *r)
{
    return r && r->streams && !mono_reached(mono_now(), mono_after(r->reported, report_patience));
}

bool presence_relay_up(const struct presence *p, int64_t relay)
{
    return is_up(presence_relay(p, relay));
}

size_t presence_relays(const struct presence *p)
{
    struct map_iter it = {0};
    struct slice key;
    void *value;
    size_t n = 0;
    while (map_next(p->relays, &it, &key, &value)) {
        n += is_up(value);
    }
    return n;
}

/* ---- nodes ---- */

void presence_node_open(struct presence *p, int64_t node)
{
    struct presence_node *n = map_get(p->nodes, key_of(&node));
    if (!n) {
        n = mem_new(sizeof *n);
        n->since = wall_now();
        map_set(p->nodes, key_of(&node), n);
    }
    n->streams++;
}

void presence_node_closed(struct presence *p, int64_t node)
{
    struct presence_node *n = map_get(p->nodes, key_of(&node));
    if (n && !--n->streams) {
        mem_free(map_del(p->nodes, key_of(&node)));
    }
}

void presence_node_clock(struct presence *p, int64_t node, struct wall theirs)
{
    struct presence_node *n = map_get(p->nodes, key_of(&node));
    if (n) {
        n->has_clock = true;
        n->clock = clock_of(theirs);
    }
}

const struct presence_node *presence_node(const struct presence *p, int64_t node)
{
    return map_get(p->nodes, key_of(&node));
}

size_t presence_nodes(const struct presence *p)
{
    return map_count(p->nodes);
}
