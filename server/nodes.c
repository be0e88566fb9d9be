/* Presence is written in batches: ten thousand nodes are a handful of short transactions a minute,
 * and a crowd that leaves at once is one. */
#include "server/nodes.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "server/app.h"
#include "server/store_devices.h"
#include "server/store_people.h"
#include "server/store_webhooks.h"

enum {
    SEEN_BATCH = 500, /* rows of one transaction: some 2 ms */
    DAY_S = 86400,
    AUDIT_KEPT_S = 400 * DAY_S,
    DELIVERIES_KEPT_S = 30 * DAY_S,
    TOLD_SOON = 1,
    TOLD_ENDED = 2,
};

struct id_row {
    int64_t node, at; /* at: wall seconds */
};

struct rows {
    struct id_row *at;
    size_t count, room;
};

struct nodes {
    struct rows seen;
};

struct nodes *nodes_new(struct app *a)
{
    (void)a;
    return mem_new(sizeof(struct nodes));
}

void nodes_free(struct nodes *n)
{
    if (n) {
        mem_free(n->seen.at);
        mem_free(n);
    }
}

bool node_expired(const struct store_node *n)
{
    return n->key_expires.s && !n->expiry_disabled && n->key_expires.s <= wall_now().s;
}

/* ---- seen ---- */

static void add(struct rows *r, int64_t node, int64_t at)
{
    if (r->count == r->room) {
        r->room = r->room ? 2 * r->room : 64;
        struct id_row *wider = mem_new_array(r->room, sizeof *wider);
        if (r->count) {
            memcpy(wider, r->at, r->count * sizeof *wider);
        }
        mem_free(r->at);
        r->at = wider;
    }
    r->at[r->count++] = (struct id_row){node, at};
}

static void add_now(void *arg, int64_t node)
{
    add(arg, node, wall_now().s);
}

void nodes_left(struct app *a, int64_t node)
{
    if (a->nodes) {
        add(&a->nodes->seen, node, wall_now().s);
    }
}

/* The oldest first, so that an older look never replaces a newer one. */
static void write_seen(struct app *a, size_t most)
{
    struct rows *r = &a->nodes->seen;
    size_t n = r->count < most ? r->count : most;
    if (!n) {
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? 0 : -EIO;
    for (size_t i = 0; !rc && i < n; i++) {
        rc = store_node_seen(a->db, r->at[i].node, (struct wall){r->at[i].at});
    }
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        log_warn("nodes.seen_not_written", F_ERR(rc)); /* the next minute writes them again */
    }
    memmove(r->at, r->at + n, (r->count - n) * sizeof *r->at);
    r->count -= n;
}

void nodes_flush(struct app *a)
{
    write_seen(a, SIZE_MAX);
}

/* ---- what is told ---- */

int node_tell(struct app *a,
              const struct actor *by,
              const struct store_node *n,
              const char *type,
              const char *message)
{
    char name[TEXT_NAME_SIZE], expires[WALL_TEXT_SIZE];
    struct js *data = js_object();
    app_fqdn(a, n->label, name);
    js_set_cstr(data, "nodeID", n->stable_id);
    js_set_cstr(data, "deviceName", name);
    js_set_cstr(data, "managedBy", n->login);
    js_set_cstr(data, "actor", by->login);
    if (n->key_expires.s) {
        wall_format(n->key_expires, expires);
        js_set_cstr(data, "expiration", expires);
    }
    js_set_cstr(data, "url", a->cfg.origin);
    return webhooks_emit(a, type, message, data);
}

/* ---- leaving ---- */

int node_remove(struct app *a,
                const struct actor *by,
                const struct store_node *n,
                const char *action,
                const char *why)
{
    int rc = store_change(a->db, a->tailnet.id, "node", n->id);
    rc = rc ? rc
            : audit_write(a, by,
                          &(struct audit_entry){.action = action,
                                                .type = "NODE",
                                                .id = n->stable_id,
                                                .name = n->label,
                                                .old = slice_str(n->label),
                                                .detail = slice_str(why)});
    rc = rc ? rc : node_tell(a, by, n, "nodeDeleted", "A device has been deleted");
    return rc ? rc : store_node_delete(a->db, n->id);
}

struct round {
    struct app *a;
    struct rows found;
};

static void note(void *arg, int64_t node)
{
    struct round *r = arg;
    add(&r->found, node, 0);
}

static int leave(struct app *a, int64_t node)
{
    struct store_node n;
    struct actor by;
    actor_system(&by);
    int rc = store_node(a->db, node, &n);
    AUTO(db_tx_endp) struct db_tx *tx = rc ? NULL : db_begin(a->db);
    rc = rc ? rc : tx ? 0 : -EIO;
    rc = rc ? rc : node_remove(a, &by, &n, "NODE.DELETE", "an ephemeral device was away");
    rc = rc ? rc : db_commit(&tx);
    if (!rc) {
        log_info("node.away", F_STR("node", n.stable_id), F_STR("label", n.label));
    }
    return rc;
}

static void leave_ephemeral(struct app *a)
{
    struct round r = {.a = a};
    struct wall before = {wall_now().s - NODE_EPHEMERAL_AWAY_S};
    int rc = store_nodes_away(a->db, before, note, &r);
    for (size_t i = 0; !rc && i < r.found.count; i++) {
        rc = bus_node_connected(a, r.found.at[i].node) ? 0 : leave(a, r.found.at[i].node);
    }
    if (rc) {
        log_warn("nodes.ephemeral", F_ERR(rc));
    }
    if (r.found.count) {
        bus_wake(a);
        webhooks_kick(a);
    }
    mem_free(r.found.at);
}

/* ---- the key's end ---- */

static int tell_end(struct app *a, int64_t node, int64_t told)
{
    struct store_node n;
    struct actor by;
    actor_system(&by);
    bool ended = told == TOLD_ENDED;
    int rc = store_node(a->db, node, &n);
    AUTO(db_tx_endp) struct db_tx *tx = rc ? NULL : db_begin(a->db);
    rc = rc ? rc : tx ? store_node_told(a->db, node, told) : -EIO;
    rc = rc ? rc
            : node_tell(a, &by, &n, ended ? "nodeKeyExpired" : "nodeKeyExpiringInOneDay",
                        ended ? "A device's key has expired" : "A device's key expires in a day");
    rc = rc || !ended ? rc : store_change(a->db, a->tailnet.id, "node", node);
    rc = rc ? rc : db_commit(&tx);
    if (!rc && ended) {
        log_info("node.key_expired", F_STR("node", n.stable_id), F_STR("label", n.label));
    }
    return rc;
}

static void look_at_ends(struct app *a, struct wall until, int64_t told)
{
    struct round r = {.a = a};
    int rc = store_nodes_expiring(a->db, until, told, note, &r);
    for (size_t i = 0; !rc && i < r.found.count; i++) {
        rc = tell_end(a, r.found.at[i].node, told);
    }
    if (rc) {
        log_warn("nodes.expiry", F_ERR(rc));
    }
    if (r.found.count) {
        bus_wake(a);
        webhooks_kick(a);
    }
    mem_free(r.found.at);
}

void nodes_tick(struct app *a)
{
    write_seen(a, SEEN_BATCH);
    look_at_ends(a, wall_now(), TOLD_ENDED);
}

/* ---- once a minute ---- */

static void trim(struct app *a)
{
    struct wall now = wall_now();
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_sessions_expire(a->db, (struct wall){now.s - SESSION_IDLE_S},
                                        (struct wall){now.s - SESSION_MOST_S})
                : -EIO;
    rc = rc ? rc : store_events_trim(a->db, (struct wall){now.s - AUDIT_KEPT_S});
    rc = rc ? rc : store_deliveries_trim(a->db, (struct wall){now.s - DELIVERIES_KEPT_S});
    rc = rc ? rc : store_attributes_trim(a->db, now);
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        log_warn("store.not_trimmed", F_ERR(rc));
    }
}

void nodes_minute(struct app *a)
{
    if (!a->nodes->seen.count) { /* else the last minute's are still being written */
        bus_nodes_each(a, add_now, &a->nodes->seen);
    }
    look_at_ends(a, (struct wall){wall_now().s + DAY_S}, TOLD_SOON);
    leave_ephemeral(a);
    trim(a);
}
