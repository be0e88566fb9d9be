/*
 * The live policy. Its snapshot is whole; a device that changed since (registered, tagged, moved)
 * is looked at alone and kept apart until the next snapshot comes from the pool. A stored policy
 * that does not load any more never stops the server: the newest version that loads stays in force,
 * and the log says so.
 */
#include "server/policy_live.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "server/app.h"

enum {
    ALONE_MAX = 64,  /* more rows than this at once are computed with all the others */
    LOGGED_MAX = 256 /* more devices than this are one row of the change log: everybody looks */
};

/* Registrations come in bursts; each is looked at alone, so that the whole can wait a little. */
static const int64_t settle_time = MS(500);

struct apart {
    int64_t node;
    const struct policy_set *set; /* of the snapshot */
};

struct policy_live {
    struct app *app;
    struct policy_version *version;
    struct policy_snapshot *snapshot; /* of the version, or of the last that loads */
    struct policy_diags diags;
    struct store_policy_settings settings;
    struct map *apart;     /* node id → struct apart */
    int64_t seen;          /* count of the facts that the bus was told of */
    bool stale;            /* the snapshot's facts are older than the store's */
    bool computing, again; /* a new snapshot is being made; and needed once more */
    struct timer soon;
};

static const struct policy_set nothing = {.json = {"{}", 2}};

static struct slice key_of(const int64_t *id)
{
    return slice_of(id, sizeof *id);
}

struct policy_version *policy_state_version(const struct app *a)
{
    return a->live->version;
}

struct policy_snapshot *policy_state_snapshot(const struct app *a)
{
    return a->live->snapshot;
}

struct policy_facts *policy_state_facts(const struct app *a)
{
    return a->live->stale ? NULL : policy_facts_ref(policy_snapshot_facts(a->live->snapshot));
}

const struct policy_diags *policy_state_diags(const struct app *a)
{
    return &a->live->diags;
}

const struct store_policy_settings *policy_state_settings(const struct app *a)
{
    return &a->live->settings;
}

void policy_state_set_settings(struct app *a, const struct store_policy_settings *s)
{
    a->live->settings = *s;
}

/* ---- one device ---- */

static const struct policy_set *look_alone(struct app *a, int64_t node)
{
    struct policy_live *l = a->live;
    struct policy_device_row row;
    int rc = policy_facts_row(a->db, node, policy_snapshot_facts(l->snapshot), &row);
    if (rc && rc != POLICY_FACTS_UNKNOWN) {
        mem_free(map_del(l->apart, key_of(&node)));
        return &nothing; /* it has gone, or the store is broken: no right either way */
    }
    struct apart *e = mem_new(sizeof *e);
    *e = (struct apart){node, policy_snapshot_one(l->snapshot, &row.device)};
    e->set = e->set ? e->set : &nothing;
    mem_free(map_set(l->apart, key_of(&node), e));
    buf_deinit(&row.text);
    if (rc) {
        policy_state_recompute(a); /* its owner is newer than these facts */
    }
    return e->set;
}

const struct policy_set *policy_state_set(struct app *a, const struct store_node *n)
{
    const struct apart *e = map_get(a->live->apart, key_of(&n->id));
    if (n->suspended) {
        return &nothing; /* said by the row itself: nothing is older than that */
    }
    if (e) {
        return e->set;
    }
    const struct policy_set *set = policy_snapshot_of(a->live->snapshot, n->id);
    return set ? set : look_alone(a, n->id);
}

enum policy_gate policy_state_gate(struct app *a, const struct store_node *n, int64_t port)
{
    const struct policy_set *set = policy_state_set(a, n);
    if (a->lock.on) {
        return POLICY_GATE_LOCKED;
    }
    if (n->suspended) {
        return POLICY_GATE_SUSPENDED;
    }
    if (!set->funnel) {
        return POLICY_GATE_NO_FUNNEL;
    }
    if (port < 1 || port > 65535 ||
        !port_ranges_have(set->ports, set->port_count, (uint16_t)port)) {
        return POLICY_GATE_PORT;
    }
    if (!a->tailnet.https_enabled) {
        return POLICY_GATE_HTTPS_OFF;
    }
    if (!n->authorized) {
        return POLICY_GATE_NOT_APPROVED;
    }
    return node_expired(n) ? POLICY_GATE_KEY_EXPIRED : POLICY_GATE_OPEN;
}

bool policy_state_may(struct app *a, const struct store_node *n)
{
    return !a->lock.on && a->tailnet.https_enabled && n->authorized && !node_expired(n) &&
           policy_state_set(a, n)->funnel;
}

/* ---- what changed ---- */

struct id_list {
    int64_t *at;
    size_t count, room;
};

static void add_id(struct id_list *l, int64_t id)
{
    if (l->count == l->room) {
        l->room = l->room ? 2 * l->room : 16;
        int64_t *wider = mem_new_array(l->room, sizeof *wider);
        if (l->count) {
            memcpy(wider, l->at, l->count * sizeof *wider);
        }
        mem_free(l->at);
        l->at = wider;
    }
    l->at[l->count++] = id;
}

static bool same_set(const struct policy_set *a, const struct policy_set *b)
{
    return slice_eq(a->json, b->json);
}

/* Those that were looked at alone: what they have now is what that look gave. */
static void
add_apart(struct policy_live *l, struct policy_snapshot *next, bool losers, struct id_list *out)
{
    struct map_iter it = {0};
    struct slice key;
    void *value;
    while (map_next(l->apart, &it, &key, &value)) {
        const struct apart *e = value;
        const struct policy_set *after = policy_snapshot_of(next, e->node);
        if (after && !same_set(e->set, after) && (e->set->funnel && !after->funnel) == losers) {
            add_id(out, e->node);
        }
    }
}

int64_t *policy_state_changed(struct app *a, struct policy_snapshot *next, size_t *out_count)
{
    struct policy_live *l = a->live;
    struct id_list ids = {NULL, 0, 0};
    struct policy_changes changes;
    policy_changes(l->snapshot, next, &changes);
    add_apart(l, next, true, &ids);
    for (size_t i = 0; i < changes.count; i++) {
        const struct policy_change *c = &changes.at[i];
        /* One that has gone was said so itself. */
        if (c->after != POLICY_NOWHERE && !map_get(l->apart, key_of(&c->id))) {
            add_id(&ids, c->id);
        }
    }
    add_apart(l, next, false, &ids);
    policy_changes_free(&changes);
    *out_count = ids.count;
    return ids.at;
}

int policy_state_log(struct app *a, const int64_t *nodes, size_t count)
{
    if (count > LOGGED_MAX) {
        return store_change(a->db, a->tailnet.id, "capabilities", 0);
    }
    int rc = 0;
    for (size_t i = 0; !rc && i < count; i++) {
        rc = store_change(a->db, a->tailnet.id, "capabilities", nodes[i]);
    }
    return rc;
}

static void look_again(struct app *a, struct map *old)
{
    struct map_iter it = {0};
    struct slice key;
    void *value;
    while (map_next(old, &it, &key, &value)) {
        look_alone(a, ((struct apart *)value)->node);
    }
}

void policy_state_swap(struct app *a, struct policy_next *next)
{
    struct policy_live *l = a->live;
    struct map *old_apart = l->apart;
    struct policy_snapshot *old = l->snapshot;
    if (next->version) {
        policy_version_unref(l->version);
        policy_diags_free(&l->diags);
        l->version = STEAL(next->version);
        l->diags = *next->diags;
        *next->diags = (struct policy_diags){NULL, 0, false};
    }
    l->snapshot = STEAL(next->snapshot);
    l->apart = map_new();
    l->stale = next->stale;
    if (l->stale) {
        look_again(a, old_apart);
    } else {
        l->seen = policy_snapshot_facts(l->snapshot)->sequence;
    }
    map_free_values(old_apart);
    policy_snapshot_unref(old);
}

/* ---- the same policy on new facts ---- */

struct recompute {
    struct app *app;
    struct policy *policy;
    struct policy_work work;
};

static void recompute_work(void *arg)
{
    struct recompute *r = arg;
    r->work.rc = policy_work_facts(&r->work);
    r->work.rc =
        r->work.rc ? r->work.rc : policy_evaluate(r->policy, r->work.facts, &r->work.snapshot);
}

static int log_changed(struct app *a, const int64_t *nodes, size_t count)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? policy_state_log(a, nodes, count) : -EIO;
    return rc ? rc : db_commit(&tx);
}

/* 0, or why nothing was swapped. */
static int recompute_commit(struct app *a, struct recompute *r)
{
    size_t count;
    struct store_facts now;
    AUTO_FREE int64_t *changed = policy_state_changed(a, r->work.snapshot, &count);
    int rc = store_facts(a->db, a->tailnet.id, &now);
    rc = rc || !count ? rc : log_changed(a, changed, count);
    if (rc) {
        return rc > 0 ? err_fold(-EIO) : err_trace(rc);
    }
    struct policy_next next = {.snapshot = r->work.snapshot,
                               .stale = now.sequence != r->work.facts->sequence};
    r->work.snapshot = NULL; /* taken */
    policy_state_swap(a, &next);
    a->live->again = a->live->again || next.stale;
    log_info("policy.recomputed", F_U64("devices", r->work.facts->device_count),
             F_U64("changed", count));
    if (count) {
        approval_settle(a, "the policy");
        bus_wake(a);
    }
    return 0;
}

static void on_soon(void *arg);

static void free_recompute(struct recompute *r)
{
    policy_unref(r->policy);
    policy_work_deinit(&r->work);
    mem_free(r);
}

static void recompute_done(void *arg)
{
    struct recompute *r = arg;
    struct app *a = r->app;
    struct policy_live *l = a->live;
    bool superseded = r->policy != policy_snapshot_policy(l->snapshot);
    int rc = r->work.rc || superseded ? r->work.rc : recompute_commit(a, r);
    if (rc) {
        log_error("policy.not_recomputed", F_ERR(rc));
    }
    free_recompute(r);
    l->computing = false;
    if ((superseded && l->stale) || l->again || rc) {
        l->again = false;
        timer_set_in(a->lp, &l->soon, settle_time, on_soon, a);
    }
}

void policy_state_recompute(struct app *a)
{
    struct policy_live *l = a->live;
    l->stale = true;
    if (l->computing || !a->pool) {
        l->again = true;
        return;
    }
    struct recompute *r = mem_new(sizeof *r);
    r->app = a;
    r->policy = policy_ref(policy_snapshot_policy(l->snapshot));
    policy_work_init(&r->work, a);
    timer_cancel(&l->soon);
    l->again = false;
    l->computing = pool_run(a->pool, recompute_work, recompute_done, r) == 0;
    if (!l->computing) { /* too many wait */
        free_recompute(r);
        timer_set_in(a->lp, &l->soon, settle_time, on_soon, a);
    }
}

static void on_soon(void *arg)
{
    policy_state_recompute(arg);
}

void policy_state_follow(struct app *a, const int64_t *nodes, size_t count, enum policy_follow what)
{
    struct policy_live *l = a->live;
    struct store_facts now;
    if (store_facts(a->db, a->tailnet.id, &now) || now.sequence == l->seen) {
        return;
    }
    l->seen = now.sequence;
    l->stale = true;
    if (what == POLICY_FOLLOW_ALL || count > ALONE_MAX) {
        policy_state_recompute(a);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        look_alone(a, nodes[i]);
    }
    if (!timer_armed(&l->soon) && !l->computing) {
        timer_set_in(a->lp, &l->soon, settle_time, on_soon, a);
    }
    l->again = l->again || l->computing;
}

/* ---- the start ---- */

/* Versions that 0.1 wrote carry the hash of their bytes. */
static int sum_old_versions(struct app *a)
{
    struct buf text = BUF_MAX(2 * POLICY_SIZE_MAX);
    int64_t rev;
    int rc;
    while ((rc = store_policy_unsummed(a->db, &rev, &text)) == 0) {
        char etag[65];
        policy_etag(buf_slice(&text), etag);
        AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
        rc = tx ? store_policy_summed(a->db, rev, etag) : -EIO;
        rc = rc ? rc : db_commit(&tx);
        if (rc) {
            break;
        }
        buf_clear(&text);
    }
    buf_deinit(&text);
    return rc == STORE_NONE ? 0 : rc;
}

struct walk {
    struct app *app;
    const struct policy_facts *facts;
    struct policy *found;
    int64_t before, rev;
};

static void note_rev(void *arg, const struct store_policy_meta *m)
{
    ((struct walk *)arg)->rev = m->id;
}

static void try_version(struct walk *w)
{
    struct buf text = BUF_MAX(2 * POLICY_SIZE_MAX);
    struct store_policy_meta meta;
    struct policy_diags diags = {NULL, 0, false};
    if (store_policy_version(w->app->db, w->app->tailnet.id, w->rev, &meta, &text) == 0 &&
        policy_load(buf_slice(&text), w->facts, &diags, &w->found) == 0) {
        log_warn("policy.older_in_force", F_I64("rev", meta.id), F_STR("author", meta.author));
    }
    policy_diags_free(&diags);
    buf_deinit(&text);
}

/* Newest first; each try is one version in memory. */
static struct policy *last_that_loads(struct app *a, int64_t before, const struct policy_facts *f)
{
    struct walk w = {.app = a, .facts = f, .before = before};
    do {
        w.rev = 0;
        int rc = store_policies_each(a->db, a->tailnet.id, w.before, 1, note_rev, &w);
        if (rc) {
            log_error("policy.history_not_read", F_ERR(rc));
        }
        if (w.rev) {
            try_version(&w);
        }
        w.before = w.rev;
    } while (w.rev && !w.found);
    return w.found;
}

static const struct policy_diag *first_error(const struct policy_diags *d)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->items[i].severity == POLICY_ERROR) {
            return &d->items[i];
        }
    }
    return NULL;
}

/* The stored text where it loads, else an older one, else a policy that gives nothing. */
static int choose(struct app *a, const struct policy_facts *f, struct policy **out_policy)
{
    struct policy_live *l = a->live;
    int rc = policy_load(buf_slice(&l->version->text), f, &l->diags, out_policy);
    if (rc != POLICY_INVALID) {
        return rc;
    }
    const struct policy_diag *e = first_error(&l->diags);
    log_error("policy.invalid", F_I64("rev", l->version->meta.id),
              F_STR("message", e ? e->message : ""), F_I64("line", e ? e->line : 0),
              F_STR("fix", "mend it and save it again"));
    *out_policy = last_that_loads(a, l->version->meta.id, f);
    if (*out_policy) {
        return 0;
    }
    struct policy_diags none;
    rc = policy_load(S("{}\n"), NULL, &none, out_policy);
    policy_diags_free(&none);
    return rc > 0 ? err_fold(-EIO) : rc;
}

/* Its tests are for those who change it: here they only say so (policy.md 4.1). */
static void run_tests(struct policy_live *l)
{
    AUTO(policy_reach_freep) struct policy_reach *reach = NULL;
    struct policy *p = policy_snapshot_policy(l->snapshot);
    size_t failed = 0;
    int rc = policy_reach_new(p, policy_snapshot_facts(l->snapshot), &reach);
    rc = rc ? rc : policy_tests_run(l->snapshot, reach, &l->diags, &failed);
    if (rc || failed) {
        log_warn("policy.tests_fail", F_U64("tests", failed), F_ERR(rc));
    }
}

int policy_state_load(struct app *a, char *out_why, size_t why_size)
{
    struct policy_live *l = mem_new(sizeof *l);
    AUTO(policy_facts_unrefp) struct policy_facts *f = NULL;
    struct policy *p = NULL;
    *l = (struct policy_live){.app = a, .apart = map_new()};
    a->live = l;
    int rc = sum_old_versions(a);
    rc = rc ? rc : policy_facts_load(a->db, a->tailnet.id, &f);
    rc = rc ? rc : store_policy_settings(a->db, a->tailnet.id, &l->settings);
    l->version = rc ? NULL : policy_version_read(a, 0);
    if (!l->version) {
        text_cut(out_why, why_size, "no policy is stored; run: funnel-control init");
        return rc < 0 ? err_trace(rc) : err_fold(-ENOENT);
    }
    policy_version_standardize(l->version);
    rc = choose(a, f, &p);
    rc = rc ? rc : policy_evaluate(p, f, &l->snapshot);
    policy_unref(p);
    if (rc) {
        text_cut(out_why, why_size, "the policy cannot be evaluated: out of memory");
        return err_trace(rc);
    }
    l->seen = f->sequence;
    run_tests(l);
    return 0;
}

void policy_state_free(struct app *a)
{
    struct policy_live *l = a->live;
    if (l) {
        a->live = NULL;
        timer_cancel(&l->soon);
        map_free_values(l->apart);
        policy_snapshot_unref(l->snapshot);
        policy_version_unref(l->version);
        policy_diags_free(&l->diags);
        mem_free(l);
    }
}

int policy_state_first(struct app *a, const char *author)
{
    char etag[65];
    int64_t rev;
    policy_etag(slice_str(policy_default_text), etag);
    struct store_policy_new row = {slice_str(policy_default_text), etag, author, "init",
                                   "first policy"};
    int rc = store_policy_save(a->db, a->tailnet.id, &row, &rev);
    return rc ? rc : store_change(a->db, a->tailnet.id, "policy", 0);
}
