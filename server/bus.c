/*
 * The bus: after a commit, everybody hears what changed for them. The change
 * log says who may be concerned and by what; what they are sent is what differs
 * from what they were sent last. Names first, then relays, then nodes: a right
 * that is lost closes its routes before anything else. Work is done in short
 * turns, so that ten thousand concerned streams never hold the loop.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "server/bus_priv.h"
#include "server/events.h"
#include "server/presence.h"
#include "server/ready.h"

enum { CHANGES_KEPT = 10000, SCAN_BATCH = 64 };

static const int64_t keep_alive = SECONDS(20);
static const int64_t turn_budget = MS(2);

static void on_wake(void *arg);
static void mark_all(struct bus *b, unsigned kinds);

static struct slice key_of(const int64_t *id)
{
    return slice_of(id, sizeof *id);
}

/* ---- relays ---- */

static void push_relay(struct relay_stream *r, struct slice line)
{
    if (http_stream_push(r->out, line)) {
        log_warn("relay.stream_full", F_STR("relay", r->relay_id));
        http_stream_end(r->out); /* it comes back for the whole */
    }
}

/* A relay came or went: what nodes and people are told about public URLs may differ. */
static void relays_moved(struct bus *b)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(b->a->db);
    if (tx && store_topic(b->a->db, b->a->tailnet.id, "ingress", 0) == 0) {
        err_ignore(db_commit(&tx)); /* browsers see it with the next change then */
    }
    ready_change(b->a, 0);
    mark_all(b, BUS_ONLINE);
    bus_wake(b->a);
}

static void relay_gone(void *arg)
{
    struct relay_stream *r = arg;
    struct bus *b = r->bus;
    log_info("relay.stream_closed", F_STR("relay", r->relay_id));
    presence_relay_closed(b->a->presence, r->relay);
    if (!b->a->stopping) {
        relays_moved(b);
    }
    list_unlink(&r->link);
    mem_free(r);
}

void bus_add_relay(struct app *a, struct http_rq *rq, const struct store_relay *relay)
{
    struct relay_stream *r = mem_new(sizeof *r);
    struct buf line = BUF_MAX(BUS_RELAY_MAX);
    *r = (struct relay_stream){.bus = a->bus, .relay = relay->id};
    memcpy(r->relay_id, relay->stable_id, sizeof r->relay_id);
    list_push_back(&a->bus->relays, &r->link);
    presence_relay_open(a->presence, relay->id);
    bus_routes_snapshot(a->bus->routes, a->bus->cursor, relay->stable_id, &line);
    r->out = http_rq_stream(rq, "application/x-ndjson", relay_gone, r);
    http_stream_limit(r->out, BUS_RELAY_MAX);
    push_relay(r, buf_slice(&line));
    log_info("relay.stream_open", F_STR("relay", relay->name));
    buf_deinit(&line);
    relays_moved(a->bus);
}

/* True: there was something to say. */
static bool tell_relays(struct bus *b, struct bus_delta *d)
{
    struct buf line = BUF_MAX(BUS_RELAY_MAX);
    bool some = bus_delta_write(d, b->cursor, &line);
    if (some) {
        b->counts.deltas++;
        log_info("routes.changed", F_I64("version", b->cursor),
                 F_U64("routes", bus_routes_count(b->routes)));
        LIST_FOREACH (l, &b->relays) {
            push_relay(LIST_ENTRY(l, struct relay_stream, link), buf_slice(&line));
        }
    }
    buf_deinit(&line);
    return some;
}

/* ---- nodes ---- */

static void drop_node_stream(void *arg)
{
    struct node_stream *s = arg, *first = map_get(s->bus->by_node, key_of(&s->node));
    presence_node_closed(s->bus->a->presence, s->node);
    ready_change(s->bus->a, s->node);
    list_unlink(&s->link);
    list_unlink(&s->due_link);
    if (first != s) {
        while (first->next_same != s) {
            first = first->next_same;
        }
        first->next_same = s->next_same;
    } else if (s->next_same) {
        map_set(s->bus->by_node, key_of(&s->node), s->next_same);
    } else {
        map_del(s->bus->by_node, key_of(&s->node));
    }
    nodes_left(s->bus->a, s->node);
    node_stream_release(s);
}

bool bus_node_connected(const struct app *a, int64_t node)
{
    return a->bus && map_get(a->bus->by_node, key_of(&node));
}

void bus_nodes_each(const struct app *a, bus_node_fn fn, void *arg)
{
    struct map_iter it = {0};
    struct slice key;
    void *value;
    while (map_next(a->bus->by_node, &it, &key, &value)) {
        fn(arg, ((const struct node_stream *)value)->node);
    }
}

void bus_add_node(struct app *a, struct http_rq *rq, const struct store_node *n)
{
    struct node_stream *s = mem_new(sizeof *s);
    *s = (struct node_stream){.bus = a->bus, .node = n->id};
    list_push_back(&a->bus->nodes, &s->link);
    list_init(&s->due_link);
    presence_node_open(a->presence, n->id);
    ready_change(a, n->id);
    s->next_same = map_set(a->bus->by_node, key_of(&n->id), s);
    s->out = http_rq_stream(rq, "application/x-ndjson", drop_node_stream, s);
    node_stream_update(s, BUS_EVERYTHING);
}

static void mark(struct bus *b, struct node_stream *s, unsigned kinds)
{
    s->due |= kinds;
    list_unlink(&s->due_link);
    list_push_back(&b->due, &s->due_link);
}

static void mark_node(struct bus *b, int64_t node, unsigned kinds)
{
    for (struct node_stream *s = map_get(b->by_node, key_of(&node)); s; s = s->next_same) {
        mark(b, s, kinds);
    }
}

static void mark_all(struct bus *b, unsigned kinds)
{
    LIST_FOREACH (l, &b->nodes) {
        mark(b, LIST_ENTRY(l, struct node_stream, link), kinds);
    }
}

/* ---- reading the log ---- */

static void queue_push(struct id_queue *q, int64_t id)
{
    if (q->head == q->count) {
        q->head = q->count = 0;
    }
    if (q->count == q->room) {
        q->room = q->room ? 2 * q->room : 64;
        int64_t *wider = mem_new_array(q->room, sizeof *wider);
        if (q->count) {
            memcpy(wider, q->at, q->count * sizeof *wider);
        }
        mem_free(q->at);
        q->at = wider;
    }
    q->at[q->count++] = id;
}

static const struct {
    const char *name;
    enum bus_kind kind;
} kinds[] = {
    {"node", BUS_NODE},         {"user", BUS_USER},       {"capabilities", BUS_CAPABILITIES},
    {"settings", BUS_SETTINGS}, {"funnel", BUS_FUNNEL},   {"certificate", BUS_CERTIFICATE},
    {"relay", BUS_RELAY},       {"request", BUS_REQUEST}, {"online", BUS_ONLINE},
};

/* "policy", a new version of the file, concerns nobody by itself: 0. */
static unsigned kind_of(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (slice_eq(name, slice_str(kinds[i].name))) {
            return kinds[i].kind;
        }
    }
    return 0;
}

struct concern {
    struct bus *bus;
    unsigned seen;     /* kinds */
    unsigned everyone; /* kinds without a node */
    struct id_queue nodes;
};

static void note(void *arg, int64_t seq, struct slice name, int64_t node)
{
    struct concern *c = arg;
    unsigned kind = kind_of(name);
    (void)seq;
    c->seen |= kind;
    if (!node) {
        c->everyone |= kind;
        return;
    }
    if (kind & (BUS_NODE | BUS_CAPABILITIES | BUS_FUNNEL)) {
        queue_push(&c->bus->route_due, node);
    }
    if (kind == BUS_NODE) {
        queue_push(&c->nodes, node);
    }
    if (kind == BUS_NODE || kind == BUS_FUNNEL) {
        ready_funnels_changed(c->bus->a, node);
    }
    if (kind) {
        mark_node(c->bus, node, kind);
        ready_change(c->bus->a, node);
    }
}

static void note_route(void *arg, int64_t node)
{
    queue_push(&((struct bus *)arg)->route_due, node);
}

static void look_at_all_routes(struct bus *b)
{
    bus_routes_each(b->routes, note_route, b); /* a loss can only be among these */
    b->route_scan = 0;
}

/* What stands in the log since the last time. Its order is kept: losses of a right stand first. */
static void read_log(struct bus *b)
{
    struct concern c = {.bus = b};
    int rc = store_changes_since(b->a->db, &b->cursor, note, &c);
    if (rc) { /* whom it concerns is not known: everybody then */
        log_error("changes.not_read", F_ERR(rc));
        c.seen = c.everyone = BUS_EVERYTHING;
    }
    policy_state_follow(b->a, c.nodes.at, c.nodes.count,
                        c.seen & (BUS_USER | BUS_SETTINGS) || c.everyone & BUS_NODE
                            ? POLICY_FOLLOW_ALL
                            : POLICY_FOLLOW_NODES);
    if (c.seen & (BUS_NODE | BUS_RELAY)) {
        names_publish(b->a);
    }
    if (c.everyone & (BUS_NODE | BUS_CAPABILITIES | BUS_SETTINGS | BUS_FUNNEL)) {
        look_at_all_routes(b);
    }
    if (c.everyone) {
        mark_all(b, c.everyone);
        ready_change(b->a, 0);
    }
    if (c.seen & BUS_REQUEST) {
        approval_waits_look(b->a);
    }
    mem_free(c.nodes.at);
}

/* ---- the run ---- */

/* False: nothing is left to look at. */
static bool next_route(struct bus *b, struct bus_delta *d)
{
    struct id_queue *q = &b->route_due;
    int rc = 0;
    if (q->head == q->count && b->route_scan >= 0) {
        rc = store_funnel_nodes(b->a->db, &b->route_scan, SCAN_BATCH, note_route, b);
        b->route_scan = rc ? -1 : b->route_scan;
    }
    if (!rc && q->head < q->count) {
        rc = bus_routes_refresh(b->routes, q->at[q->head++], d);
    }
    if (rc) { /* relays keep what they have */
        log_error("routes.not_read", F_ERR(rc));
        b->routes_owed = true;
    }
    return q->head < q->count || b->route_scan >= 0;
}

/* False: the turn is over, there is more; or relays were told something, which leaves the server in
 * the next turn, before the first node hears of it. */
static bool run_routes(struct bus *b, struct mono end)
{
    struct bus_delta d = {NULL, NULL};
    bool more = true, late = false;
    while (more && !late) {
        more = next_route(b, &d);
        late = mono_reached(mono_now(), end);
    }
    bool told = tell_relays(b, &d);
    return !more && !told;
}

static bool run_nodes(struct bus *b, struct mono end)
{
    struct list *first;
    while ((first = list_first(&b->due))) {
        struct node_stream *s = LIST_ENTRY(first, struct node_stream, due_link);
        unsigned due = s->due;
        s->due = 0;
        list_unlink(&s->due_link);
        b->counts.updates += node_stream_update(s, due);
        if (mono_reached(mono_now(), end)) {
            return list_empty(&b->due);
        }
    }
    return true;
}

static void on_wake(void *arg)
{
    struct bus *b = arg;
    read_log(b);
    events_wake(b->a);
    struct mono end = mono_after(mono_now(), turn_budget);
    if (!run_routes(b, end) || !run_nodes(b, end)) {
        bus_wake(b->a);
    }
}

void bus_wake(struct app *a)
{
    if (a->bus) {
        loop_defer(a->lp, &a->bus->wake, on_wake, a->bus);
    }
}

struct bus_counts bus_counts(const struct app *a)
{
    return a->bus->counts;
}

static void trim(struct app *a)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    if (tx && store_changes_trim(a->db, CHANGES_KEPT) == 0) {
        err_ignore(db_commit(&tx)); /* next time then */
    }
}

/* An empty line keeps proxies and peers from thinking that we are dead; tokens at half their life
 * come along. */
static void on_alive(void *arg)
{
    struct bus *b = arg;
    timer_set_in(b->a->lp, &b->alive, keep_alive, on_alive, b);
    LIST_FOREACH (l, &b->relays) {
        push_relay(LIST_ENTRY(l, struct relay_stream, link), S("\n"));
    }
    LIST_FOREACH (n, &b->nodes) {
        struct node_stream *s = LIST_ENTRY(n, struct node_stream, link);
        if (http_stream_push(s->out, S("\n"))) {
            http_stream_end(s->out);
        } else {
            mark(b, s, BUS_EVERYTHING);
        }
    }
    if (b->routes_owed) {
        b->routes_owed = false;
        look_at_all_routes(b);
    }
    bus_wake(b->a);
    trim(b->a);
}

int bus_start(struct app *a)
{
    struct bus *b = mem_new(sizeof *b);
    *b = (struct bus){.a = a, .by_node = map_new(), .route_scan = -1};
    list_init(&b->nodes);
    list_init(&b->relays);
    list_init(&b->due);
    b->cursor = store_change_head(a->db);
    b->routes = bus_routes_new(a);
    if (b->cursor < 0 || !b->routes) {
        bus_routes_free(b->routes);
        map_free(b->by_node);
        mem_free(b);
        return err_origin(-EIO);
    }
    a->bus = b;
    timer_set_in(a->lp, &b->alive, keep_alive, on_alive, b);
    return 0;
}

void bus_stop(struct app *a)
{
    struct bus *b = a->bus;
    if (b) {
        a->bus = NULL;
        deferred_cancel(&b->wake);
        timer_cancel(&b->alive);
        bus_routes_free(b->routes);
        map_free(b->by_node);
        mem_free(b->route_due.at);
        mem_free(b);
    }
}
