/*
 * Which public URLs there are, and when each is looked at. A look judges at once what is known
 * here, and sends for the rest; what differs from the last look is stored and put into the change
 * log in batches, so that a relay that goes away under ten thousand URLs does not hold the loop.
 */
#include "server/ready.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "server/presence.h"
#include "server/ready_steps.h"

enum {
    PORTS = 3,         /* public URLs of one node */
    LOOKS_MAX = 32,    /* under way at a time */
    FLUSH_BATCH = 100, /* URLs stored in one transaction */
    SCAN_BATCH = 256,
    RECENT_S = 120, /* older rows of the store say nothing about now */
};

/* …_each: for every URL there is, so that many come at fifty looks a second, at the start 500. */
static const int64_t again_red = SECONDS(10), again_green = SECONDS(20), again_each = MS(20),
                     first_each = MS(2), soon = MS(100), flush_in = MS(200),
                     resolver_life = SECONDS(10);

struct backend_report {
    bool known, ok;
    char *text;
};

struct ladder {
    struct ready_node *node;
    int64_t funnel, port;
    struct ready_rung rungs[READY_STEPS];
    struct backend_report backend;
    struct ready_facts *facts; /* while a look is under way */
    struct ready_look *look;
    bool again; /* something changed since the look began */
    bool was_ready;
    struct timer timer;
    struct list queued, dirty; /* ready->queue, ready->dirty */
    struct list waits;         /* struct ready_wait, for the look that begins next */
};

struct ready_node {
    struct ready *ready;
    int64_t id;
    struct ladder *ladders[PORTS];
};

struct ready {
    struct app *a;
    struct map *nodes; /* id → struct ready_node */
    struct ready_means means;
    struct mono resolver_until;
    struct list queue; /* ladders that wait for a free look */
    size_t running;
    struct list dirty;
    struct timer flush;
    struct ready_counts counts;
};

static void on_timer(void *arg);

static struct slice key_of(const int64_t *id)
{
    return slice_of(id, sizeof *id);
}

static const char *const step_names[READY_STEPS] = {
    "permitted", "https", "dns", "certificate", "relay", "backend", "reachable"};
static const char *const state_names[] = {"unknown", "waiting", "failed", "ok"};

const char *ready_step_name(enum ready_step s)
{
    return step_names[s];
}

const char *ready_state_name(enum ready_state s)
{
    return state_names[s];
}

bool ready_is_ready(const struct ready_rung *rungs)
{
    bool all = rungs != NULL;
    for (size_t i = 0; all && i < READY_STEPS; i++) {
        all = rungs[i].state == READY_OK;
    }
    return all;
}

/* ---- what is seen is kept ---- */

static void on_flush(void *arg);

static void mark_dirty(struct ladder *l)
{
    struct ready *r = l->node->ready;
    if (list_empty(&l->dirty)) {
        list_push_back(&r->dirty, &l->dirty);
    }
    if (!timer_armed(&r->flush)) {
        timer_set_in(r->a->lp, &r->flush, flush_in, on_flush, r);
    }
}

static void set_rung(struct ladder *l, enum ready_step step, const struct ready_verdict *v)
{
    struct ready_rung *g = &l->rungs[step];
    if (g->state != v->state || strcmp(g->code, v->code) != 0 || strcmp(g->text, v->text) != 0) {
        mem_free(g->text);
        g->text = mem_strdup(v->text);
        mark_dirty(l);
    }
    g->state = v->state;
    g->code = v->code;
    g->fix = v->fix;
    g->ms = v->ms;
    g->at = wall_now();
}

static int store_ladder(struct ready *r, const struct ladder *l)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < READY_STEPS; i++) {
        const struct ready_rung *g = &l->rungs[i];
        struct store_probe p = {.step = slice_str(step_names[i]),
                                .state = slice_str(state_names[g->state]),
                                .code = slice_str(g->code),
                                .text = slice_str(g->text),
                                .fix = slice_str(g->fix),
                                .at = g->at};
        rc = store_probe_put(r->a->db, l->funnel, &p);
    }
    if (rc == STORE_CONFLICT) {
        return 0; /* the URL has gone meanwhile */
    }
    return rc ? rc : store_topic(r->a->db, r->a->tailnet.id, "readiness", l->node->id);
}

static void on_flush(void *arg)
{
    struct ready *r = arg;
    struct list *first;
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(r->a->db);
    int rc = tx ? 0 : -EIO;
    for (size_t i = 0; !rc && i < FLUSH_BATCH && (first = list_first(&r->dirty)); i++) {
        rc = store_ladder(r, LIST_ENTRY(first, struct ladder, dirty));
        list_unlink(first);
    }
    rc = rc ? rc : db_commit(&tx);
    if (rc) { /* it is in memory; the next change writes it again */
        log_error("readiness.not_stored", F_ERR(rc));
    }
    if (!list_empty(&r->dirty)) {
        timer_set_in(r->a->lp, &r->flush, flush_in, on_flush, r);
    }
    bus_wake(r->a);
}

/* What an earlier run of ours saw moments ago. */
static void restore_rung(void *arg, const struct store_probe *p)
{
    struct ladder *l = arg;
    for (size_t i = 0; i < READY_STEPS; i++) {
        bool recent = wall_now().s - p->at.s < RECENT_S && p->at.s <= wall_now().s;
        if (recent && slice_eq(p->step, slice_str(step_names[i])) && slice_eq(p->state, S("ok"))) {
            mem_free(l->rungs[i].text);
            l->rungs[i].text = slice_dup(p->text);
            l->rungs[i].state = READY_OK;
            l->rungs[i].at = p->at;
        }
    }
}

/* ---- one look ---- */

static void next_in(struct ladder *l, int64_t ns)
{
    timer_set_in(l->node->ready->a->lp, &l->timer, ns, on_timer, l);
}

static void schedule(struct ladder *l)
{
    struct ready *r = l->node->ready;
    int64_t stretched = again_each * (int64_t)r->counts.urls;
    int64_t normal = ready_is_ready(l->rungs) ? again_green : again_red;
    next_in(l, l->again ? soon : stretched > normal ? stretched : normal);
    l->again = false;
}

static void tell_waits(struct list *waits)
{
    struct list *first;
    while ((first = list_first(waits))) {
        struct ready_wait *w = LIST_ENTRY(first, struct ready_wait, link);
        list_unlink(first);
        w->fn(w->arg);
    }
}

static void run_queue(struct ready *r);

static void on_seen(void *arg, const struct ready_seen *seen)
{
    struct ladder *l = arg;
    struct ready *r = l->node->ready;
    struct ready_verdict v;
    l->look = NULL;
    r->running--;
    ready_judge_dns(l->facts, seen, &v);
    set_rung(l, READY_DNS, &v);
    ready_judge_reachable(l->facts, seen, &v);
    set_rung(l, READY_REACHABLE, &v);
    if (l->was_ready != ready_is_ready(l->rungs)) {
        l->was_ready = !l->was_ready;
        log_info(l->was_ready ? "url.ready" : "url.not_ready", F_STR("name", l->facts->name),
                 F_I64("port", l->port));
    }
    mem_free(STEAL(l->facts));
    schedule(l);
    struct list waits;
    list_init(&waits);
    list_move_all(&l->waits, &waits);
    tell_waits(&waits);
    run_queue(r);
}

static void find_resolver(struct ready *r)
{
    struct mono now = mono_now();
    if (mono_reached(now, r->resolver_until)) {
        r->means.has_resolver = ready_resolver(&r->a->cfg, &r->means.resolver);
        r->resolver_until = mono_after(now, resolver_life);
    }
}

static void run_queue(struct ready *r)
{
    struct list *first;
    while (r->running < LOOKS_MAX && (first = list_first(&r->queue))) {
        struct ladder *l = LIST_ENTRY(first, struct ladder, queued);
        list_unlink(first);
        find_resolver(r);
        r->running++;
        r->counts.looks++;
        l->look = ready_look_start(r->a, &l->facts->order, &r->means, on_seen, l);
    }
}

static int judge_here(struct ladder *l)
{
    struct app *a = l->node->ready->a;
    struct ready_facts *f = l->facts;
    struct ready_verdict v;
    int rc = ready_facts_read(a, l->node->id, l->port, f);
    if (rc) {
        return rc;
    }
    f->backend_known = l->backend.known;
    f->backend_ok = l->backend.ok;
    text_cut(f->backend_text, sizeof f->backend_text, "%s", l->backend.text ? l->backend.text : "");
    ready_judge_permitted(a, f, &v);
    set_rung(l, READY_PERMITTED, &v);
    ready_judge_https(a, &v);
    set_rung(l, READY_HTTPS, &v);
    rc = ready_judge_certificate(a, f, &v);
    if (rc) {
        return rc;
    }
    set_rung(l, READY_CERTIFICATE, &v);
    ready_judge_relay(f, &v);
    set_rung(l, READY_RELAY, &v);
    ready_judge_backend(f, &v);
    set_rung(l, READY_BACKEND, &v);
    return 0;
}

static void on_timer(void *arg)
{
    struct ladder *l = arg;
    struct ready *r = l->node->ready;
    if (l->facts) {
        l->again = true; /* one is under way */
        return;
    }
    l->facts = mem_new(sizeof *l->facts);
    int rc = judge_here(l);
    if (rc) { /* STORE_NONE: the bus hears in a moment that the node has gone */
        if (rc < 0) {
            log_error("readiness.not_read", F_ERR(rc));
        }
        mem_free(STEAL(l->facts));
        next_in(l, again_red);
        tell_waits(&l->waits);
        return;
    }
    list_push_back(&r->queue, &l->queued);
    run_queue(r);
}

/* ---- which URLs there are ---- */

static void ladder_free(struct ladder *l)
{
    struct ready *r = l->node->ready;
    timer_cancel(&l->timer);
    list_unlink(&l->queued);
    list_unlink(&l->dirty);
    if (l->look) {
        r->running--;
        ready_look_cancel(l->look);
    }
    tell_waits(&l->waits);
    for (size_t i = 0; i < READY_STEPS; i++) {
        mem_free(l->rungs[i].text);
    }
    mem_free(l->backend.text);
    mem_free(l->facts);
    mem_free(l);
    r->counts.urls--;
}

static int slot_of(int64_t port)
{
    return port == 443 ? 0 : port == 8443 ? 1 : port == 10000 ? 2 : -1;
}

static void ladder_new(struct ready_node *n, const struct store_funnel *f)
{
    struct ready *r = n->ready;
    struct ladder *l = mem_new(sizeof *l);
    *l = (struct ladder){.node = n, .funnel = f->id, .port = f->port};
    list_init(&l->queued);
    list_init(&l->dirty);
    list_init(&l->waits);
    for (size_t i = 0; i < READY_STEPS; i++) {
        l->rungs[i] =
            (struct ready_rung){.code = "", .fix = "", .text = mem_strdup("not looked at yet")};
    }
    n->ladders[slot_of(f->port)] = l;
    r->counts.urls++;
}

struct refresh {
    struct ready_node *node;
    bool seen[PORTS];
};

static void note_funnel(void *arg, const struct store_funnel *f)
{
    struct refresh *x = arg;
    int slot = slot_of(f->port);
    if (slot < 0) {
        return;
    }
    struct ladder *l = x->node->ladders[slot];
    if (l && l->funnel != f->id) { /* gone and come again between two looks */
        x->node->ladders[slot] = NULL;
        ladder_free(l);
        l = NULL;
    }
    if (!l) {
        ladder_new(x->node, f);
    }
    x->seen[slot] = true;
}

static void wake_ladder(struct ladder *l, int64_t in)
{
    if (l->facts) {
        l->again = true;
    } else if (!timer_armed(&l->timer) || l->timer.at.ns > mono_now().ns + in) {
        next_in(l, in);
    }
}

void ready_funnels_changed(struct app *a, int64_t node)
{
    struct ready *r = a->ready;
    struct ready_node *n = r ? map_get(r->nodes, key_of(&node)) : NULL;
    if (!r) {
        return;
    }
    if (!n) {
        n = mem_new(sizeof *n);
        *n = (struct ready_node){.ready = r, .id = node};
        map_set(r->nodes, key_of(&node), n);
    }
    struct refresh x = {.node = n};
    if (store_funnels_each(a->db, node, note_funnel, &x)) {
        log_error("readiness.not_read"); /* with the next change */
        return;
    }
    bool any = false;
    for (size_t i = 0; i < PORTS; i++) {
        struct ladder *l = n->ladders[i];
        if (l && !x.seen[i]) {
            n->ladders[i] = NULL;
            ladder_free(l);
        } else if (l) {
            any = true;
            wake_ladder(l, soon);
        }
    }
    if (!any) {
        mem_free(map_del(r->nodes, key_of(&node)));
    }
}

static void wake_node(struct ready_node *n, int64_t in)
{
    for (size_t i = 0; i < PORTS; i++) {
        if (n->ladders[i]) {
            wake_ladder(n->ladders[i], in);
        }
    }
}

/* Not all in one turn: a millisecond for each. */
static void wake_all(struct ready *r)
{
    struct map_iter it = {0};
    struct slice key;
    void *value;
    int64_t in = soon;
    while (map_next(r->nodes, &it, &key, &value)) {
        wake_node(value, in);
        in += MS(1);
    }
}

void ready_change(struct app *a, int64_t node)
{
    struct ready *r = a->ready;
    struct ready_node *n = r && node ? map_get(r->nodes, key_of(&node)) : NULL;
    if (n) {
        wake_node(n, soon);
    } else if (r && !node) {
        wake_all(r);
    }
}

/* ---- asked from outside ---- */

static struct ladder *find(const struct app *a, int64_t node, int64_t port)
{
    int slot = slot_of(port);
    struct ready_node *n = a->ready ? map_get(a->ready->nodes, key_of(&node)) : NULL;
    return n && slot >= 0 ? n->ladders[slot] : NULL;
}

const struct ready_rung *ready_ladder(const struct app *a, int64_t node, int64_t port)
{
    const struct ladder *l = find(a, node, port);
    return l ? l->rungs : NULL;
}

void ready_backend(
    struct app *a, int64_t node, int64_t port, enum ready_backend state, struct slice text)
{
    struct ladder *l = find(a, node, port);
    if (l) {
        mem_free(l->backend.text);
        l->backend = (struct backend_report){
            .known = true, .ok = state == READY_BACKEND_OK, .text = slice_dup(text)};
        wake_ladder(l, soon);
    }
}

bool ready_probe(struct app *a, int64_t node, int64_t port, struct ready_wait *w)
{
    struct ladder *l = find(a, node, port);
    if (l) {
        list_push_back(&l->waits, &w->link);
        wake_ladder(l, 0);
    }
    return l != NULL;
}

void ready_wait_cancel(struct ready_wait *w)
{
    list_unlink(&w->link);
}

struct js *ready_json(const struct ready_rung *rungs)
{
    struct js *list = js_array();
    for (size_t i = 0; rungs && i < READY_STEPS; i++) {
        const struct ready_rung *g = &rungs[i];
        struct js *j = js_object();
        char at[WALL_TEXT_SIZE];
        wall_format(g->at, at);
        js_set_cstr(j, "step", step_names[i]);
        js_set_cstr(j, "state", state_names[g->state]);
        js_set_cstr(j, "text", g->text);
        js_set_cstr(j, "code", *g->code ? g->code : NULL);
        js_set_cstr(j, "fix", *g->fix ? g->fix : NULL);
        js_set_cstr(j, "at", g->at.s ? at : NULL);
        if (g->ms) {
            js_set_int(j, "ms", g->ms);
        }
        js_push(list, j);
    }
    return list;
}

/* text is UTF-8: it came from our own words and from texts that were checked. */
static void write_member(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, "\"%s\":\"", name);
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\') {
            buf_addc(out, '\\');
            buf_addc(out, *c);
        } else if ((unsigned char)*c < 0x20) {
            buf_addf(out, "\\u%04x", (unsigned char)*c);
        } else {
            buf_addc(out, *c);
        }
    }
    buf_addc(out, '"');
}

static void write_rung(const struct ready_rung *g, enum ready_step step, struct buf *out)
{
    char at[WALL_TEXT_SIZE];
    buf_addf(out, "%s{\"step\":\"%s\",\"state\":\"%s\",", step ? "," : "", step_names[step],
             state_names[g->state]);
    write_member(out, "text", g->text);
    if (*g->code) {
        buf_addf(out, ",\"code\":\"%s\"", g->code);
    }
    if (*g->fix) {
        buf_addc(out, ',');
        write_member(out, "fix", g->fix);
    }
    if (g->at.s) {
        wall_format(g->at, at);
        buf_addf(out, ",\"at\":\"%s\"", at);
    }
    if (g->ms) {
        buf_addf(out, ",\"ms\":%lld", (long long)g->ms);
    }
    buf_addc(out, '}');
}

void ready_write(const struct ready_rung *rungs, struct buf *out)
{
    buf_addc(out, '[');
    for (int i = 0; rungs && i < READY_STEPS; i++) {
        write_rung(&rungs[i], (enum ready_step)i, out);
    }
    buf_addc(out, ']');
}

struct ready_counts ready_counts(const struct app *a)
{
    struct ready_counts c = a->ready->counts;
    struct map_iter it = {0};
    struct slice key;
    void *value;
    while (map_next(a->ready->nodes, &it, &key, &value)) {
        const struct ready_node *n = value;
        for (size_t i = 0; i < PORTS; i++) {
            c.ready += n->ladders[i] && ready_is_ready(n->ladders[i]->rungs);
        }
    }
    c.failed = c.urls - c.ready;
    return c;
}

/* ---- the whole ---- */

static void start_node(void *arg, int64_t node)
{
    struct ready *r = arg;
    ready_funnels_changed(r->a, node);
    struct ready_node *n = map_get(r->nodes, key_of(&node));
    for (size_t i = 0; n && i < PORTS; i++) {
        uint16_t spread;
        secret_random(&spread, sizeof spread);
        if (n->ladders[i]) {
            err_ignore(store_probes_each(r->a->db, n->ladders[i]->funnel, restore_rung,
                                         n->ladders[i])); /* the first look sees it anew */
            next_in(n->ladders[i], MS(spread % 3000) + first_each * (int64_t)r->counts.urls);
        }
    }
}

int ready_start(struct app *a)
{
    struct ready *r = mem_new(sizeof *r);
    struct tls_client_opts opts = {.min = TLS_MIN_12, .verify = TLS_VERIFY_NONE};
    char why[200];
    *r = (struct ready){.a = a, .nodes = map_new()};
    list_init(&r->queue);
    list_init(&r->dirty);
    a->ready = r;
    int rc = tls_client_ctx(&opts, why, sizeof why, &r->means.tls);
    for (int64_t last = 0; rc >= 0 && last >= 0;) {
        rc = store_funnel_nodes(a->db, &last, SCAN_BATCH, start_node, r);
    }
    return rc < 0 ? err_trace(rc) : 0;
}

void ready_stop(struct app *a)
{
    struct ready *r = a->ready;
    struct map_iter it = {0};
    struct slice key;
    void *value;
    if (!r) {
        return;
    }
    while (map_next(r->nodes, &it, &key, &value)) {
        struct ready_node *n = value;
        for (size_t i = 0; i < PORTS; i++) {
            if (n->ladders[i]) {
                ladder_free(n->ladders[i]);
            }
        }
    }
    a->ready = NULL;
    timer_cancel(&r->flush);
    map_free_values(r->nodes);
    tls_ctx_unref(r->means.tls);
    mem_free(r);
}
