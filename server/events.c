/*
 * One reading of the change log for all listeners: what came since the last time is put into words
 * once and given to each who may know of it. A listener is a few hundred bytes and a queue that is
 * empty while it reads; one that does not read is told why and cut off.
 */
#include "server/events.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "server/app.h"
#include "server/store_keys.h"
#include "server/store_ready.h"

enum {
    QUEUE_MAX = 64 * 1024, /* of one listener: some 600 events */
    LAST_WORDS = 512,      /* room for why it is cut off */
    BATCH = 256,           /* changes put into words in one turn */
    REPLAY_MAX = 1000,     /* more were missed: everything is asked for anew */
    LISTENERS_MAX = 4000,
};

/* A token lives for an hour, a session twelve without a request; whoever may goes on. */
static const int64_t keep_alive = SECONDS(15), token_life = SECONDS(3600),
                     session_life = SECONDS((int64_t)12 * 3600);

struct listener {
    struct list link;
    struct events *events;
    struct http_stream *out;
    struct mono opened;
    int64_t user;
    enum policy_role role;
    bool scoped; /* an OAuth token: scopes hold */
    struct scopes scopes;
    char credential[STORE_ID_SIZE + 2];
};

struct events {
    struct app *a;
    struct list listeners;
    size_t count;
    int64_t cursor;
    struct deferred wake;
    struct timer alive;
};

static const struct {
    const char *kind, *event;
    enum permission permission; /* who sees those of everybody */
    enum scope scope;
    bool own; /* and whose node it is */
} kinds[] = {
    {"node", "devices", PERM_MACHINES_READ, SCOPE_DEVICES_CORE, true},
    {"online", "devices", PERM_MACHINES_READ, SCOPE_DEVICES_CORE, true},
    {"capabilities", "devices", PERM_MACHINES_READ, SCOPE_DEVICES_CORE, true},
    {"registration", "devices", PERM_MACHINES_READ, SCOPE_DEVICES_CORE, false},
    {"funnel", "funnels", PERM_FUNNEL_READ, SCOPE_FUNNEL, true},
    {"readiness", "readiness", PERM_FUNNEL_READ, SCOPE_FUNNEL, true},
    {"lock", "lock", PERM_FUNNEL_READ, SCOPE_FUNNEL, false},
    {"certificate", "certificates", PERM_FUNNEL_READ, SCOPE_FUNNEL, true},
    {"relay", "ingresses", PERM_FUNNEL_READ, SCOPE_FUNNEL, false},
    {"ingress", "ingresses", PERM_FUNNEL_READ, SCOPE_FUNNEL, false},
    {"request", "requests", PERM_FUNNEL_READ, SCOPE_FUNNEL, true},
    {"grant", "grants", PERM_FUNNEL_READ, SCOPE_FUNNEL, true},
    {"policy", "policy", PERM_POLICY_READ, SCOPE_POLICY_FILE, false},
    {"settings", "settings", PERM_FEATURE_READ, SCOPE_FEATURE_SETTINGS, false},
    {"contact", "settings", PERM_FEATURE_READ, SCOPE_ACCOUNT_SETTINGS, false},
    {"dns", "dns", PERM_NETWORK_READ, SCOPE_DNS, false},
    {"user", "users", PERM_USERS_READ, SCOPE_USERS, false},
    {"invite", "users", PERM_USERS_READ, SCOPE_USER_INVITES, false},
    {"session", "users", PERM_USERS_READ, SCOPE_USERS, false},
    {"key", "keys", PERM_AUTH_KEYS, SCOPE_AUTH_KEYS, false},
    {"webhook", "webhooks", PERM_WEBHOOKS_WRITE, SCOPE_WEBHOOKS, false},
};

/* ---- who hears what ---- */

static bool may_hear(const struct listener *l, size_t kind, int64_t owner)
{
    if (l->scoped) {
        return scopes_allow(&l->scopes, kinds[kind].scope, false);
    }
    return role_may(l->role, kinds[kind].permission) ||
           (kinds[kind].own && owner && owner == l->user);
}

static ptrdiff_t find_kind(struct slice kind)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (slice_eq(kind, slice_str(kinds[i].kind))) {
            return (ptrdiff_t)i;
        }
    }
    return -1;
}

/* ---- sending ---- */

/* Whoever does not read hears why in the last words, and comes back for the whole. */
static void cut_off(struct listener *l, const char *reason)
{
    struct buf line = BUF_MAX(LAST_WORDS);
    buf_addf(&line, "event: end\ndata: {\"reason\":\"%s\"}\n\n", reason);
    http_stream_limit(l->out, QUEUE_MAX + LAST_WORDS);
    err_ignore(http_stream_push(l->out, buf_slice(&line)));
    http_stream_end(l->out);
    buf_deinit(&line);
    log_info("events.cut", F_STR("reason", reason), F_STR("credential", l->credential));
    list_unlink(&l->link); /* nothing more is pushed; on_close frees it */
}

static void push(struct listener *l, struct slice text)
{
    if (http_stream_push(l->out, text)) {
        cut_off(l, "slow: events were not read; connect again");
    }
}

static void write_event(const struct store_live_change *c, size_t kind, struct buf *out)
{
    buf_clear(out);
    buf_addf(out, "id: %lld\nevent: %s\ndata: {\"type\":\"%s\"", (long long)c->seq,
             kinds[kind].event, kinds[kind].event);
    if (c->node_ref.n) { /* a stable id: letters and digits */
        buf_addf(out, ",\"nodeId\":\"" SLICE_FMT "\"", SLICE_ARG(c->node_ref));
    }
    buf_adds(out, "}\n\n");
}

struct sending {
    struct events *e;
    struct listener *only; /* NULL: everybody */
    struct buf line;
    int64_t seen;
    bool users; /* roles may have changed */
};

static void send_change(void *arg, const struct store_live_change *c)
{
    struct sending *s = arg;
    ptrdiff_t kind = find_kind(c->kind);
    s->seen++;
    s->users = s->users || slice_eq(c->kind, S("user"));
    if (kind < 0) {
        return;
    }
    write_event(c, (size_t)kind, &s->line);
    if (s->only) {
        if (may_hear(s->only, (size_t)kind, c->owner)) {
            push(s->only, buf_slice(&s->line));
        }
        return;
    }
    LIST_FOREACH (l, &s->e->listeners) {
        struct listener *x = LIST_ENTRY(l, struct listener, link);
        if (may_hear(x, (size_t)kind, c->owner)) {
            push(x, buf_slice(&s->line));
        }
    }
}

/* ---- the credential still holds ---- */

/* The key, session or client that the stream was opened with. Not readable: with the next look. */
static bool credential_good(struct app *a, const struct listener *l)
{
    struct slice id = slice_skip(slice_str(l->credential), 2);
    struct store_key_row k;
    if (l->credential[0] == 's') {
        return store_session_there(a->db, id) != STORE_NONE;
    }
    int rc = store_key_row(a->db, a->tailnet.id, id, &k);
    return rc < 0 || (rc == 0 && !k.key.revoked && k.key.expires.s > wall_now().s);
}

static bool too_old(const struct listener *l)
{
    int64_t life = l->scoped ? token_life : session_life;
    return mono_reached(mono_now(), mono_after(l->opened, life));
}

static bool still_good(struct app *a, struct listener *l)
{
    struct store_user u;
    enum policy_role role;
    if (!credential_good(a, l)) {
        return false;
    }
    if (!l->user) {
        return true; /* a client's token: it belongs to nobody */
    }
    int rc = store_user_by_id(a->db, l->user, &u);
    if (rc < 0) {
        return true; /* not readable: with the next keep-alive */
    }
    if (rc || u.suspended || !u.approved || !policy_role_parse(slice_str(u.role), &role)) {
        return false;
    }
    l->role = role;
    return true;
}

static void check_all(struct events *e)
{
    LIST_FOREACH (i, &e->listeners) {
        struct listener *l = LIST_ENTRY(i, struct listener, link);
        if (too_old(l)) {
            cut_off(l, "age: connect again");
        } else if (!still_good(e->a, l)) {
            cut_off(l, "access: the account or its key has no access any more");
        }
    }
}

/* ---- following the log ---- */

static void on_wake(void *arg)
{
    struct events *e = arg;
    struct sending s = {.e = e, .line = BUF_MAX(1024)};
    if (!e->count) {
        int64_t head = store_change_head(e->a->db);
        e->cursor = head >= 0 ? head : e->cursor;
        return;
    }
    int rc = store_changes_live(e->a->db, &e->cursor, BATCH, send_change, &s);
    buf_deinit(&s.line);
    if (rc) {
        log_error("events.not_read", F_ERR(rc)); /* the next change tries again */
        return;
    }
    if (s.users) {
        check_all(e);
    }
    if (s.seen == BATCH) {
        events_wake(e->a);
    }
}

void events_wake(struct app *a)
{
    if (a->events) {
        loop_defer(a->lp, &a->events->wake, on_wake, a->events);
    }
}

static void on_alive(void *arg)
{
    struct events *e = arg;
    timer_set_in(e->a->lp, &e->alive, keep_alive, on_alive, e);
    check_all(e);
    LIST_FOREACH (i, &e->listeners) {
        push(LIST_ENTRY(i, struct listener, link), S(": alive\n\n"));
    }
}

/* ---- a new listener ---- */

static void on_close(void *arg)
{
    struct listener *l = arg;
    l->events->count--;
    list_unlink(&l->link);
    mem_free(l);
}

static bool too_many(struct app *a, struct http_rq *rq, const struct identity *id)
{
    int64_t mine = 0;
    LIST_FOREACH (i, &a->events->listeners) {
        mine += strcmp(LIST_ENTRY(i, struct listener, link)->credential, id->credential) == 0;
    }
    if (mine >= a->cfg.events_streams || a->events->count >= LISTENERS_MAX) {
        http_rq_add_header(rq, "Retry-After", "15");
        reply_problem(rq, &(struct problem){429, "events.too_many",
                                            "too many event streams are open with this credential",
                                            "share one between pages (BroadcastChannel)"});
        return true;
    }
    return false;
}

/* Since a number that is still in the log: what came after it. Else: everything may have changed.
 */
static void greet(struct listener *l, struct slice last)
{
    struct events *e = l->events;
    struct sending s = {.e = e, .only = l, .line = BUF_MAX(1024)};
    uint64_t n = 0;
    int64_t head = store_change_head(e->a->db), first = store_changes_first(e->a->db);
    bool known = slice_u64(last, INT64_MAX, &n) && (int64_t)n <= head && first > 0 &&
                 (int64_t)n >= first - 1 && head - (int64_t)n <= REPLAY_MAX;
    if (known || (head >= 0 && slice_u64(last, INT64_MAX, &n) && (int64_t)n == head)) {
        int64_t from = (int64_t)n;
        push(l, S("retry: 2000\n\n"));
        err_ignore(store_changes_live(e->a->db, &from, REPLAY_MAX, send_change, &s));
    } else {
        buf_addf(&s.line, "retry: 2000\nid: %lld\nevent: %s\ndata: {\"type\":\"%s\"}\n\n",
                 (long long)(head > 0 ? head : 0), last.n ? "reset" : "hello",
                 last.n ? "reset" : "hello");
        push(l, buf_slice(&s.line));
    }
    buf_deinit(&s.line);
}

void api_events(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    struct slice last = http_rq_header(rq, "Last-Event-ID");
    if (!last.n) {
        last = http_rq_query(rq, "lastEventId");
    }
    if (too_many(a, rq, id)) {
        return;
    }
    if (!a->events->count) {
        on_wake(a->events); /* nobody listened: from here on */
    }
    struct listener *l = mem_new(sizeof *l);
    *l = (struct listener){.events = a->events,
                           .opened = mono_now(),
                           .user = id->user.id,
                           .scoped = id->scoped,
                           .scopes = id->scopes};
    memcpy(l->credential, id->credential, sizeof l->credential);
    if (!policy_role_parse(slice_str(id->user.role), &l->role)) {
        l->role = POLICY_MEMBER;
    }
    list_push_back(&a->events->listeners, &l->link);
    a->events->count++;
    http_rq_add_header(rq, "X-Accel-Buffering", "no"); /* a proxy in front passes each on at once */
    l->out = http_rq_stream(rq, "text/event-stream", on_close, l);
    http_stream_limit(l->out, QUEUE_MAX);
    greet(l, last);
    http_rq_drop_user(rq); /* some 5 KiB for as long as the stream is open */
}

size_t events_listeners(const struct app *a)
{
    return a->events->count;
}

int events_start(struct app *a)
{
    struct events *e = mem_new(sizeof *e);
    *e = (struct events){.a = a, .cursor = store_change_head(a->db)};
    list_init(&e->listeners);
    a->events = e;
    timer_set_in(a->lp, &e->alive, keep_alive, on_alive, e);
    return e->cursor < 0 ? err_trace((int)e->cursor) : 0;
}

void events_stop(struct app *a)
{
    struct events *e = a->events;
    if (e) {
        a->events = NULL;
        deferred_cancel(&e->wake);
        timer_cancel(&e->alive);
        mem_free(e);
    }
}
