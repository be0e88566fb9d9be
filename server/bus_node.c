/*
 * What a node is told: a handful of members, each compared as text with what was sent last, so that
 * nothing is sent twice and nothing is forgotten. A change says which members it can have touched;
 * only those are written again.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "server/bus_priv.h"
#include "server/chan_report.h"
#include "server/ready.h"

enum { TOKEN_LIFE_S = 86400, REQUESTS_SHOWN_S = 600 };

/* The public ports of every relay (migrations/0001_core.sql). */
static const int64_t public_ports[] = {443, 8443, 10000};

static struct js *parse_own(const char *text)
{
    char why[100];
    return js_parse(slice_str(text), BUS_LINE_MAX, why, sizeof why);
}

/* ---- a node's members ---- */

struct member_build {
    struct app *a;
    struct node_stream *s;
    const struct store_node *n;
    struct js *list;
};

static struct js *read_tags(struct member_build *b)
{
    struct buf text = BUF_MAX(16 * KIB);
    struct js *tags =
        store_node_tags(b->a->db, b->n->id, &text) ? NULL : parse_own(buf_cstr(&text));
    buf_deinit(&text);
    return tags;
}

static struct js *build_self(struct member_build *b)
{
    struct js *tags = read_tags(b);
    if (!tags) {
        return NULL;
    }
    struct js *j = js_object();
    char name[TEXT_NAME_SIZE], expires[WALL_TEXT_SIZE];
    app_fqdn(b->a, b->n->label, name);
    js_set_cstr(j, "nodeId", b->n->stable_id);
    js_set_cstr(j, "name", name);
    js_set_cstr(j, "user", b->n->login);
    js_set_cstr(j, "tailnet", b->a->tailnet.name);
    js_set_cstr(j, "ipv4", b->n->ipv4);
    js_set_cstr(j, "ipv6", b->n->ipv6);
    js_set(j, "tags", tags);
    js_set_bool(j, "approved", b->n->authorized);
    if (b->n->key_expires.s && !b->n->expiry_disabled) {
        wall_format(b->n->key_expires, expires);
        js_set_cstr(j, "keyExpires", expires);
        js_set_bool(j, "keyExpired", node_expired(b->n));
    }
    return j;
}

/* What the policy gives, and what the server gives of its own. */
static struct js *build_caps(struct member_build *b)
{
    const struct policy_set *set = policy_state_set(b->a, b->n);
    AUTO_FREE char *text = slice_dup(set->json);
    struct js *j = parse_own(text);
    j = j ? j : js_object();
    if (b->a->tailnet.https_enabled) {
        js_set(j, "https", js_new_null());
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
    struct js *j = js_array();
    for (size_t i = 0; i < ARRAY_LEN(public_ports); i++) {
        if (policy_state_gate(b->a, b->n, public_ports[i]) == POLICY_GATE_OPEN) {
            js_push(j, js_new_int(public_ports[i]));
        }
    }
    return j;
}

static struct js *build_control(struct member_build *b)
{
    struct js *j = js_object();
    js_set_cstr(j, "origin", b->a->cfg.origin);
    return j;
}

/* The place for this relay's token; relays are few, and a node has seldom more than two. */
static struct node_token *token_place(struct node_stream *s, const struct store_relay *r)
{
    struct node_token **at = &s->tokens;
    size_t count = 0;
    while (*at && strcmp((*at)->relay, r->stable_id) != 0) {
        at = &(*at)->next;
        count++;
    }
    if (!*at && count < BUS_TOKENS_MAX) {
        *at = mem_new(sizeof **at);
        memcpy((*at)->relay, r->stable_id, sizeof(*at)->relay);
    }
    return *at;
}

static struct node_token *token_for(struct member_build *b, const struct store_relay *r)
{
    struct wall now = wall_now(), until = {now.s + TOKEN_LIFE_S};
    struct node_token *t = token_place(b->s, r);
    if (!t) {
        return NULL;
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

/* NULL when not all of it could be read. */
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

static struct js *build_off(struct member_build *b)
{
    return report_offs(b->a, b->n);
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
    js_set_cstr(j, "target", r->target);
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

static struct js *build_lock(struct member_build *b)
{
    return lock_json(b->a);
}

/* Which kinds of change can touch a member. */
enum {
    RIGHTS = BUS_NODE | BUS_USER | BUS_CAPABILITIES | BUS_SETTINGS,
    FUNNELS = RIGHTS | BUS_FUNNEL | BUS_CERTIFICATE | BUS_ONLINE,
};

static const struct {
    const char *name;
    struct js *(*build)(struct member_build *b);
    unsigned kinds;
} members[BUS_MEMBERS] = {
    {"self", build_self, BUS_NODE | BUS_USER},
    {"caps", build_caps, RIGHTS},
    {"certNames", build_cert_names, BUS_NODE},
    {"funnelPorts", build_ports, RIGHTS},
    {"control", build_control, BUS_SETTINGS},
    {"relays", build_relays, BUS_NODE | BUS_RELAY},
    {"funnels", build_funnels, FUNNELS},
    {"certificate", build_certificate, BUS_CERTIFICATE},
    {"requests", build_requests, BUS_REQUEST},
    {"lock", build_lock, BUS_SETTINGS},
    {"off", build_off, BUS_FUNNEL},
};

/* ---- the stream ---- */

/* The member's text when it differs from what was sent; it counts as sent then. */
static struct js *fresh_member(struct member_build *b, size_t i)
{
    struct buf text = BUF_MAX(BUS_LINE_MAX);
    struct js *value = members[i].build(b);
    if (!value) { /* could not be read: it stays as sent, and the next keep-alive asks again */
        log_error("node.member_not_read", F_STR("member", members[i].name));
        return NULL;
    }
    js_write(value, JS_COMPACT, &text);
    if (b->s->last[i] && strcmp(b->s->last[i], buf_cstr(&text)) == 0) {
        js_free(value);
        value = NULL;
    } else {
        mem_free(b->s->last[i]);
        b->s->last[i] = buf_steal_cstr(&text);
    }
    buf_deinit(&text);
    return value;
}

bool node_stream_update(struct node_stream *s, unsigned kinds)
{
    struct app *a = s->bus->a;
    struct store_node n;
    int rc = store_node(a->db, s->node, &n);
    if (rc) {
        if (rc == STORE_NONE) {
            http_stream_end(s->out); /* the node has gone: its token is void */
        } else {
            log_error("node.not_read", F_ERR(rc)); /* again with the next keep-alive */
        }
        return false;
    }
    struct member_build b = {.a = a, .s = s, .n = &n};
    AUTO(js_freep) struct js *line = js_object();
    bool some = false;
    js_set_int(line, "seq", s->seq + 1);
    for (size_t i = 0; i < BUS_MEMBERS; i++) {
        struct js *value = members[i].kinds & kinds || !s->last[i] ? fresh_member(&b, i) : NULL;
        if (value) {
            js_set(line, members[i].name, value);
            some = true;
        }
    }
    if (some) {
        struct buf out = BUF_MAX(BUS_LINE_MAX);
        s->seq++;
        js_write(line, JS_COMPACT, &out);
        buf_addc(&out, '\n');
        if (http_stream_push(s->out, buf_slice(&out))) {
            http_stream_end(s->out);
        }
        log_debug("node.told", F_STR("node", n.stable_id), F_I64("seq", s->seq));
        buf_deinit(&out);
    }
    return some;
}

void node_stream_release(struct node_stream *s)
{
    for (size_t i = 0; i < BUS_MEMBERS; i++) {
        mem_free(s->last[i]);
    }
    for (struct node_token *t = s->tokens, *next; t; t = next) {
        next = t->next;
        mem_free(t->text);
        mem_free(t);
    }
    mem_free(s);
}

/* ---- funnels, as nodes and the API see them ---- */

struct funnel_list {
    struct app *a;
    const struct store_node *n;
    struct js *list;
    const char *state;
};

/* Of those that the policy lets through. */
static const char *funnel_state(struct app *a, const struct store_node *n)
{
    struct store_cert c;
    bool certified = store_cert(a->db, n->id, &c, NULL, NULL) == 0 && c.not_after.s > wall_now().s;
    return certified && ready_node_at_relay(a, n->id) ? "open" : "waiting";
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
    bool open = policy_state_gate(fl->a, fl->n, f->port) == POLICY_GATE_OPEN;
    js_set_cstr(j, "state", open ? fl->state : "blocked");
    js_push(fl->list, j);
}

struct js *bus_funnels(struct app *a, const struct store_node *n)
{
    struct funnel_list fl = {.a = a, .n = n, .list = js_array(), .state = funnel_state(a, n)};
    if (store_funnels_each(a->db, n->id, add_funnel, &fl)) {
        js_free(fl.list);
        return NULL;
    }
    return fl.list;
}
