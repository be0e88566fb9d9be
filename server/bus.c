/*
 * The bus: after a commit, everybody hears what changed for them. The change
 * log says who may be concerned; what they are sent is what differs from what
 * they were sent last, member by member, so that nothing is sent twice and
 * nothing is forgotten. Names first, then relays, then nodes: a right that is
 * lost closes its routes before anything else.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "server/app.h"

enum {
    MEMBERS = 9,
    TOKENS_MAX = 16,
    TOKEN_LIFE_S = 86400,
    LINE_MAX = 1024 * 1024,
    REQUESTS_SHOWN_S = 600,
    CHANGES_KEPT = 10000
};

static const int64_t keep_alive = SECONDS(20);

/* What one relay was given for one node. */
struct node_token {
    char relay[STORE_ID_SIZE];
    char *text;
    struct wall until;
};

struct node_stream {
    struct list link;
    struct bus *bus;
    int64_t node;
    struct http_stream *out;
    char *last[MEMBERS]; /* compact JSON of each member as sent */
    struct node_token tokens[TOKENS_MAX];
    size_t token_count;
    int64_t seq;
};

struct relay_stream {
    struct list link;
    struct bus *bus;
    int64_t relay;
    char relay_id[STORE_ID_SIZE];
    struct http_stream *out;
};

struct bus {
    struct app *a;
    struct list nodes, relays;
    struct map *routes; /* name -> its JSON, as all relays have it */
    bool routes_owed;   /* could not be read: again with the next keep-alive */
    int64_t cursor;
    struct deferred wake;
    struct timer alive;
};

/* ---- routes ---- */

struct route_build {
    struct app *a;
    struct map *routes;
    struct store_node node;
    struct js *ports;
    int rc;
};

static void add_port(void *arg, const struct store_funnel *f)
{
    js_push(((struct route_build *)arg)->ports, js_new_int(f->port));
}

static void add_route(void *arg, const struct store_node *n)
{
    struct route_build *b = arg;
    char name[TEXT_NAME_SIZE];
    struct buf text = BUF_MAX(1024);
    if (!policy_state_may(b->a, n)) {
        return;
    }
    b->ports = js_array();
    int rc = store_funnels_each(b->a->db, n->id, add_port, b);
    b->rc = b->rc ? b->rc : rc;
    if (!js_len(b->ports)) {
        js_free(b->ports);
        return;
    }
    AUTO(js_freep) struct js *j = js_object();
    app_fqdn(b->a, n->label, name);
    js_set_cstr(j, "name", name);
    js_set(j, "ports", b->ports);
    js_set_cstr(j, "node", n->stable_id);
    js_write(j, JS_COMPACT, &text);
    map_set(b->routes, slice_str(name), mem_strdup(buf_cstr(&text)));
    buf_deinit(&text);
}

/* NULL when not everything could be read: fewer routes than there are would cut funnels off. */
static struct map *build_routes(struct app *a)
{
    struct route_build b = {.a = a, .routes = map_new()};
    int rc = store_nodes_each(a->db, add_route, &b);
    rc = rc ? rc : b.rc;
    if (rc) {
        log_error("routes.not_read", F_ERR(rc));
        map_free_values(b.routes);
        return NULL;
    }
    return b.routes;
}

static struct js *parse_own(const char *text)
{
    char why[100];
    return js_parse(slice_str(text), LINE_MAX, why, sizeof why);
}

/* The difference as a delta line; false when there is none. */
static bool write_delta(struct map *before, struct map *after, int64_t version, struct buf *out)
{
    AUTO(js_freep) struct js *j = js_object();
    struct js *set = js_array(), *remove = js_array();
    struct map_iter it = {0};
    struct slice name;
    void *value;
    while (map_next(after, &it, &name, &value)) {
        const char *old = map_get(before, name);
        if (!old || strcmp(old, value) != 0) {
            js_push(set, parse_own(value));
        }
    }
    it = (struct map_iter){0};
    while (map_next(before, &it, &name, &value)) {
        if (!map_get(after, name)) {
            js_push_str(remove, name);
        }
    }
    bool some = js_len(set) || js_len(remove);
    js_set_cstr(j, "type", "delta");
    js_set_int(j, "version", version);
    js_set(j, "set", set);
    js_set(j, "remove", remove);
    js_write(j, JS_COMPACT, out);
    buf_addc(out, '\n');
    return some;
}

static void push_relay(struct relay_stream *r, struct slice line)
{
    if (http_stream_push(r->out, line)) {
        log_warn("relay.stream_full", F_STR("relay", r->relay_id));
        http_stream_end(r->out); /* it comes back for the whole */
    }
}

static void update_relays(struct bus *b)
{
    struct map *fresh = build_routes(b->a);
    b->routes_owed = !fresh;
    if (!fresh) {
        return; /* the relays keep what they have */
    }
    struct buf line = BUF_MAX(64 * MIB);
    if (write_delta(b->routes, fresh, b->cursor, &line)) {
        log_info("routes.changed", F_I64("version", b->cursor), F_U64("routes", map_count(fresh)));
        LIST_FOREACH (l, &b->relays) {
            push_relay(LIST_ENTRY(l, struct relay_stream, link), buf_slice(&line));
        }
    }
    buf_deinit(&line);
    map_free_values(b->routes);
    b->routes = fresh;
}

static void write_snapshot(struct bus *b, const char *relay_id, struct buf *out)
{
    struct app *a = b->a;
    AUTO(js_freep) struct js *j = js_object();
    struct js *routes = js_array(), *keys = js_array(), *key = js_object(), *pass = js_array();
    struct buf hex = BUF_MAX(64);
    struct map_iter it = {0};
    struct slice name;
    void *value;
    while (map_next(b->routes, &it, &name, &value)) {
        js_push(routes, parse_own(value));
    }
    text_hex(&hex, slice_of(a->secrets.sign_public, 32));
    js_set_int(key, "id", 1);
    js_set_str(key, "public", buf_slice(&hex));
    js_push(keys, key);
    if (*a->cfg.passthrough) {
        struct js *p = js_object();
        struct slice host = slice_skip(slice_str(a->cfg.origin), 8);
        ptrdiff_t colon = slice_find(host, ':');
        js_set_str(p, "name", colon < 0 ? host : slice_of(host.p, (size_t)colon));
        js_set_cstr(p, "to", a->cfg.passthrough);
        js_push(pass, p);
    }
    js_set_cstr(j, "type", "snapshot");
    js_set_int(j, "version", b->cursor);
    js_set_cstr(j, "relayId", relay_id);
    js_set_int(j, "maxStale", 86400);
    js_set(j, "keys", keys);
    js_set(j, "routes", routes);
    js_set(j, "passthrough", pass);
    js_write(j, JS_COMPACT, out);
    buf_addc(out, '\n');
    buf_deinit(&hex);
}

static void relay_gone(void *arg)
{
    struct relay_stream *r = arg;
    log_info("relay.stream_closed", F_STR("relay", r->relay_id));
    list_unlink(&r->link);
    mem_free(r);
}

void bus_add_relay(struct app *a, struct http_rq *rq, const struct store_relay *relay)
{
    struct relay_stream *r = mem_new(sizeof *r);
    struct buf line = BUF_MAX(64 * MIB);
    *r = (struct relay_stream){.bus = a->bus, .relay = relay->id};
    memcpy(r->relay_id, relay->stable_id, sizeof r->relay_id);
    list_push_back(&a->bus->relays, &r->link);
    write_snapshot(a->bus, relay->stable_id, &line);
    r->out = http_rq_stream(rq, "application/x-ndjson", relay_gone, r);
    push_relay(r, buf_slice(&line));
    log_info("relay.stream_open", F_STR("relay", relay->name));
    buf_deinit(&line);
}

/* ---- a node's members ---- */

struct member_build {
    struct app *a;
    struct node_stream *s;
    const struct store_node *n;
    struct js *list;
    bool may;
};

static struct js *build_self(struct member_build *b)
{
    struct js *j = js_object();
    char name[TEXT_NAME_SIZE];
    app_fqdn(b->a, b->n->label, name);
    js_set_cstr(j, "nodeId", b->n->stable_id);
    js_set_cstr(j, "name", name);
    js_set_cstr(j, "user", b->n->login);
    js_set_cstr(j, "tailnet", b->a->tailnet.name);
    js_set_cstr(j, "ipv4", b->n->ipv4);
    js_set_cstr(j, "ipv6", b->n->ipv6);
    js_set(j, "tags", js_array());
    return j;
}

static struct js *build_caps(struct member_build *b)
{
    struct js *j = js_object();
    if (b->a->tailnet.https_enabled) {
        js_set(j, "https", js_new_null());
    }
    if (policy_state_grants(b->a, b->n)) {
        js_set(j, "funnel", js_new_null());
        js_set(j, "https://tailscale.com/cap/funnel-ports?ports=443,8443,10000", js_new_null());
    }
    return j;
}

static struct js *build_cert_names(struct member_build *b)
{
    struct js *j = js_array();
    char name[TEXT_NAME_SIZE];
    app_fqdn(b->a, b->n->label, name);
    js_push_str(j, slice_str(name));
    return j;
}

static struct js *build_ports(struct member_build *b)
{
    static const int ports[] = {443, 8443, 10000};
    struct js *j = js_array();
    for (size_t i = 0; b->may && i < ARRAY_LEN(ports); i++) {
        js_push(j, js_new_int(ports[i]));
    }
    return j;
}

static struct js *build_control(struct member_build *b)
{
    struct js *j = js_object();
    js_set_cstr(j, "origin", b->a->cfg.origin);
    return j;
}

static struct node_token *token_for(struct member_build *b, const struct store_relay *r)
{
    struct node_stream *s = b->s;
    struct wall now = wall_now(), until = {now.s + TOKEN_LIFE_S};
    struct node_token *t = NULL;
    for (size_t i = 0; i < s->token_count; i++) {
        t = strcmp(s->tokens[i].relay, r->stable_id) == 0 ? &s->tokens[i] : t;
    }
    if (!t) {
        if (s->token_count == TOKENS_MAX) {
            return NULL;
        }
        t = &s->tokens[s->token_count++];
        memcpy(t->relay, r->stable_id, sizeof t->relay);
    }
    if (t->text && t->until.s - now.s >= TOKEN_LIFE_S / 2) {
        return t;
    }
    struct token wanted = {.not_before = now,
                           .not_after = until,
                           .node = slice_str(b->n->stable_id),
                           .relay = slice_str(r->stable_id)};
    if (text_unhex(slice_str(b->n->transport_key), wanted.transport, sizeof wanted.transport)) {
        struct buf text = BUF_MAX(1024);
        secrets_sign_token(&b->a->secrets, &wanted, &text);
        mem_free(t->text);
        t->text = mem_strdup(buf_cstr(&text));
        t->until = until;
        buf_deinit(&text);
    }
    return t;
}

static void add_relay_member(void *arg, const struct store_relay *r)
{
    struct member_build *b = arg;
    struct node_token *t = token_for(b, r);
    char until[WALL_TEXT_SIZE];
    if (!t || !t->text) {
        return;
    }
    struct js *j = js_object();
    wall_format(t->until, until);
    js_set_cstr(j, "id", r->stable_id);
    js_set_cstr(j, "name", r->name);
    js_set_cstr(j, "host", r->host);
    js_set(j, "addresses", parse_own(r->addresses));
    js_set_int(j, "port", r->port);
    js_set(j, "ports", parse_own(r->ports));
    js_set(j, "pins", parse_own(r->pins));
    js_set_cstr(j, "token", t->text);
    js_set_cstr(j, "tokenExpires", until);
    js_push(b->list, j);
}

static struct js *list_or_null(struct member_build *b, int rc)
{
    if (rc) {
        js_free(b->list);
        return NULL;
    }
    return b->list;
}

static struct js *build_relays(struct member_build *b)
{
    b->list = js_array();
    return list_or_null(b, store_relays_each(b->a->db, add_relay_member, b));
}

static struct js *build_funnels(struct member_build *b)
{
    return bus_funnels(b->a, b->n);
}

static struct js *build_certificate(struct member_build *b)
{
    struct js *j = js_object();
    struct store_cert c;
    struct buf chain = BUF_MAX(64 * KIB);
    char text[WALL_TEXT_SIZE];
    int rc = store_cert(b->a->db, b->n->id, &c, &chain, NULL);
    if (rc) {
        js_set_cstr(j, "state", "none");
        buf_deinit(&chain);
        if (rc != STORE_NONE) {
            js_free(j);
            return NULL;
        }
        return j;
    }
    js_set_cstr(j, "state", c.state);
    js_set_cstr(j, "error", c.error);
    if (c.retry_at.s) {
        wall_format(c.retry_at, text);
        js_set_cstr(j, "retryAt", text);
    }
    if (chain.len) {
        wall_format(c.not_after, text);
        js_set_str(j, "chain", buf_slice(&chain));
        js_set_cstr(j, "notAfter", text);
        js_set_cstr(j, "issuer", c.issuer);
        js_set_cstr(j, "spki", c.chain_spki);
    }
    buf_deinit(&chain);
    return j;
}

static void add_request(void *arg, const struct store_request *r)
{
    struct member_build *b = arg;
    struct js *j = js_object();
    char url[400], expires[WALL_TEXT_SIZE];
    text_fit(url, sizeof url, "%s/f/%s", b->a->cfg.origin, r->stable_id);
    wall_format(r->expires, expires);
    js_set_cstr(j, "id", r->stable_id);
    js_set_cstr(j, "state", r->state);
    js_set_int(j, "port", r->port);
    js_set_cstr(j, "by", r->decided_by);
    js_set_cstr(j, "reason", r->reason);
    js_set_cstr(j, "url", url);
    js_set_cstr(j, "matchCode", r->match_code);
    js_set_cstr(j, "expires", expires);
    js_push(b->list, j);
}

static struct js *build_requests(struct member_build *b)
{
    b->list = js_array();
    struct wall since = {wall_now().s - REQUESTS_SHOWN_S};
    return list_or_null(b, store_requests_recent(b->a->db, b->n->id, since, add_request, b));
}

static const struct {
    const char *name;
    struct js *(*build)(struct member_build *b);
} members[MEMBERS] = {
    {"self", build_self},
    {"caps", build_caps},
    {"certNames", build_cert_names},
    {"funnelPorts", build_ports},
    {"control", build_control},
    {"relays", build_relays},
    {"funnels", build_funnels},
    {"certificate", build_certificate},
    {"requests", build_requests},
};

/* ---- funnels, as nodes and the API see them ---- */

struct funnel_list {
    struct app *a;
    const struct store_node *n;
    struct js *list;
    const char *state;
};

const char *bus_funnel_state(struct app *a, const struct store_node *n)
{
    struct store_cert c;
    if (!policy_state_may(a, n)) {
        return "blocked";
    }
    bool certified = store_cert(a->db, n->id, &c, NULL, NULL) == 0 && c.not_after.s > wall_now().s;
    return certified && store_node_online_relays(a->db, n->id) > 0 ? "open" : "waiting";
}

static void add_funnel(void *arg, const struct store_funnel *f)
{
    struct funnel_list *fl = arg;
    struct js *j = js_object();
    char url[400], name[TEXT_NAME_SIZE], port[16] = "";
    app_fqdn(fl->a, fl->n->label, name);
    if (f->port != 443) {
        text_fit(port, sizeof port, ":%d", (int)f->port);
    }
    text_fit(url, sizeof url, "https://%s%s/", name, port);
    js_set_cstr(j, "id", f->stable_id);
    js_set_int(j, "port", f->port);
    js_set_cstr(j, "url", url);
    js_set_cstr(j, "target", f->target);
    js_set_cstr(j, "source", f->source);
    js_set_cstr(j, "state", fl->state);
    js_push(fl->list, j);
}

struct js *bus_funnels(struct app *a, const struct store_node *n)
{
    struct funnel_list fl = {.a = a, .n = n, .list = js_array(), .state = bus_funnel_state(a, n)};
    if (store_funnels_each(a->db, n->id, add_funnel, &fl)) {
        js_free(fl.list);
        return NULL;
    }
    return fl.list;
}

/* ---- node streams ---- */

static void drop_node_stream(void *arg)
{
    struct node_stream *s = arg;
    list_unlink(&s->link);
    for (size_t i = 0; i < MEMBERS; i++) {
        mem_free(s->last[i]);
    }
    for (size_t i = 0; i < s->token_count; i++) {
        mem_free(s->tokens[i].text);
    }
    mem_free(s);
}

/* Sends the members that differ from what was sent. */
static void update_node(struct node_stream *s)
{
    struct app *a = s->bus->a;
    struct store_node n;
    if (store_node(a->db, s->node, &n)) {
        http_stream_end(s->out); /* the node has gone: its token is void */
        return;
    }
    struct member_build b = {.a = a, .s = s, .n = &n, .may = policy_state_may(a, &n)};
    AUTO(js_freep) struct js *line = js_object();
    bool some = false;
    js_set_int(line, "seq", ++s->seq);
    for (size_t i = 0; i < MEMBERS; i++) {
        struct buf text = BUF_MAX(LINE_MAX);
        struct js *value = members[i].build(&b);
        if (!value) { /* could not be read: it stays as sent, and the next keep-alive asks again */
            log_error("node.member_not_read", F_STR("member", members[i].name));
            continue;
        }
        js_write(value, JS_COMPACT, &text);
        if (!s->last[i] || strcmp(s->last[i], buf_cstr(&text)) != 0) {
            mem_free(s->last[i]);
            s->last[i] = mem_strdup(buf_cstr(&text));
            js_set(line, members[i].name, value);
            some = true;
        } else {
            js_free(value);
        }
        buf_deinit(&text);
    }
    if (some) {
        struct buf out = BUF_MAX(LINE_MAX);
        js_write(line, JS_COMPACT, &out);
        buf_addc(&out, '\n');
        if (http_stream_push(s->out, buf_slice(&out))) {
            http_stream_end(s->out);
        }
        buf_deinit(&out);
    }
}

void bus_add_node(struct app *a, struct http_rq *rq, const struct store_node *n)
{
    struct node_stream *s = mem_new(sizeof *s);
    *s = (struct node_stream){.bus = a->bus, .node = n->id};
    list_push_back(&a->bus->nodes, &s->link);
    s->out = http_rq_stream(rq, "application/x-ndjson", drop_node_stream, s);
    update_node(s);
}

/* ---- the run ---- */

struct concern {
    struct map *nodes; /* by decimal id */
    bool everybody, names, routes;
};

static void note(void *arg, int64_t seq, struct slice kind, int64_t node)
{
    struct concern *c = arg;
    char key[24];
    (void)seq;
    c->names = c->names || slice_eq(kind, S("node")) || slice_eq(kind, S("relay"));
    c->routes = c->routes || slice_eq(kind, S("node")) || slice_eq(kind, S("policy")) ||
                slice_eq(kind, S("funnel"));
    if (node) {
        text_fit(key, sizeof key, "%lld", (long long)node);
        map_set(c->nodes, slice_str(key), c);
    } else {
        c->everybody = true;
    }
}

static void on_wake(void *arg)
{
    struct bus *b = arg;
    struct concern c = {.nodes = map_new()};
    char key[24];
    int rc = store_changes_since(b->a->db, &b->cursor, note, &c);
    if (rc) { /* whom it concerns is not known: everybody then */
        log_error("changes.not_read", F_ERR(rc));
        c.everybody = c.names = c.routes = true;
    }
    if (c.names) {
        names_publish(b->a);
    }
    if (c.routes) {
        update_relays(b);
    }
    LIST_FOREACH (l, &b->nodes) {
        struct node_stream *s = LIST_ENTRY(l, struct node_stream, link);
        text_fit(key, sizeof key, "%lld", (long long)s->node);
        if (c.everybody || map_get(c.nodes, slice_str(key))) {
            update_node(s);
        }
    }
    map_free(c.nodes);
}

void bus_wake(struct app *a)
{
    if (a->bus) {
        loop_defer(a->lp, &a->bus->wake, on_wake, a->bus);
    }
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
            update_node(s);
        }
    }
    if (b->routes_owed) {
        update_relays(b);
    }
    trim(b->a);
}

int bus_start(struct app *a)
{
    struct bus *b = mem_new(sizeof *b);
    b->a = a;
    list_init(&b->nodes);
    list_init(&b->relays);
    b->cursor = store_change_head(a->db);
    b->routes = build_routes(a);
    if (b->cursor < 0 || !b->routes) {
        map_free_values(b->routes);
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
        map_free_values(b->routes);
        mem_free(b);
    }
}
