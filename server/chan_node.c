/* The node channel (docs/channels.md): stream, funnels, logout. To register: registration.c. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "server/app.h"
#include "server/chan_report.h"
#include "server/store_ready.h"

enum { FUNNELS_MAX = 3 };

void node_stream(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_node *n = &auth_identity(rq)->node;
    char remote[ADDR_TEXT_SIZE];
    addr_format_ip(http_rq_peer(rq), remote);
    if (strcmp(remote, n->remote) != 0) {
        AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
        if (tx && store_node_remote(a->db, n->id, slice_str(remote)) == 0) {
            err_ignore(db_commit(&tx)); /* shown to people; the next connection writes it again */
        }
    }
    bus_add_node(a, rq, n);
    http_rq_drop_user(rq); /* the bus has what it needs; thousands of these stay open */
}

/* ---- funnels ---- */

struct wanted {
    struct store_funnel items[FUNNELS_MAX];
    size_t count;
    bool bad;
    struct app *a;
    bool changed;
};

static bool read_funnel(const struct js *j, struct store_funnel *f)
{
    struct slice source = js_get_str(j, "source"), kind = js_get_str(j, "kind"),
                 target = js_get_str(j, "target");
    f->port = js_get_int(j, "port", 0);
    return (f->port == 443 || f->port == 8443 || f->port == 10000) && slice_eq(kind, S("http")) &&
           (slice_eq(source, S("foreground")) || slice_eq(source, S("background"))) &&
           text_printable(target, 500) && slice_copy(source, f->source, sizeof f->source) &&
           slice_copy(kind, f->kind, sizeof f->kind) &&
           slice_copy(target, f->target, sizeof f->target);
}

static void read_wanted(const struct js *list, int64_t node, struct wanted *w)
{
    w->bad = js_len(list) > FUNNELS_MAX;
    for (size_t i = 0; !w->bad && i < js_len(list); i++) {
        struct store_funnel *f = &w->items[w->count++];
        w->bad = !read_funnel(js_at(list, i), f);
        f->node_id = node;
        for (size_t k = 0; k + 1 < w->count; k++) {
            w->bad = w->bad || w->items[k].port == f->port;
        }
    }
}

/* What was switched off from here stays off until the node has said that it heard. */
static void drop_off(void *arg, const struct store_off *o)
{
    struct wanted *w = arg;
    for (size_t i = 0; i < w->count; i++) {
        if (w->items[i].port == o->port) {
            w->items[i] = w->items[--w->count];
        }
    }
}

static int put_wanted(struct app *a, int64_t node, struct wanted *w)
{
    static const int64_t ports[] = {443, 8443, 10000};
    int rc = store_offs_each(a->db, node, drop_off, w);
    for (size_t i = 0; rc >= 0 && rc != STORE_CONFLICT && i < ARRAY_LEN(ports); i++) {
        const struct store_funnel *f = NULL;
        for (size_t k = 0; k < w->count; k++) {
            f = w->items[k].port == ports[i] ? &w->items[k] : f;
        }
        rc = f ? store_funnel_put(a->db, f) : store_funnel_delete(a->db, node, ports[i]);
        w->changed = w->changed || rc == 0;
    }
    return rc == STORE_NONE ? 0 : rc;
}

void node_funnels(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"funnels", JS_ARRAY, true, FUNNELS_MAX},
                                             {"heardOff", JS_ARRAY, false, FUNNELS_MAX}};
    struct app *a = app;
    struct store_node *n = &auth_identity(rq)->node;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    struct wanted w = {.count = 0};
    if (!j) {
        return;
    }
    read_wanted(js_get(j, "funnels"), n->id, &w);
    if (w.bad) {
        reply_problem(
            rq,
            &(struct problem){
                400, "funnels.invalid",
                "a funnel needs port 443, 8443 or 10000 (each once), kind http, a target and a source",
                "see docs/channels.md"});
        return;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    const struct js *heard = js_get(j, "heardOff");
    int rc = tx ? report_heard_off(a, n->id, heard) : -EIO;
    rc = rc ? rc : put_wanted(a, n->id, &w);
    rc = !rc && (w.changed || js_len(heard)) ? store_change(a->db, a->tailnet.id, "funnel", n->id)
                                             : rc;
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    AUTO(js_freep) struct js *out = js_object();
    struct js *funnels = bus_funnels(a, n);
    if (funnels) {
        js_set(out, "funnels", funnels);
        reply_json(rq, 200, out);
    } else {
        reply_broken(rq, -EIO);
    }
    bus_wake(a);
}

void node_logout(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_node *n = &auth_identity(rq)->node;
    struct actor by;
    actor_of(rq, &by);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? node_remove(a, &by, n, "NODE.LOGOUT", "") : -EIO;
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    log_info("node.gone", F_STR("node", n->stable_id));
    reply_none(rq);
    bus_wake(a);
    webhooks_kick(a);
}
