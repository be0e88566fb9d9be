/* What changes a device: each call is one transaction with its audit line, webhook and change; the
 * bus tells relays before the device itself. */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "policy/owners.h"
#include "server/api_devices.h"
#include "server/app.h"
#include "server/node_make.h"
#include "server/store_policy.h"

enum { TAGS_MAX = 16, OLD_NEW_MAX = 4096 };

/* ---- one change ---- */

struct change {
    struct app *a;
    struct http_rq *rq;
    struct store_device x;
    struct actor by;
    struct db_tx *tx;
    const char *action, *property;
    struct buf old, new; /* JSON texts */
};

static void change_deinit(struct change *c)
{
    db_tx_endp(&c->tx);
    buf_deinit(&c->old);
    buf_deinit(&c->new);
}

/* False after an answer. */
static bool change_init(struct change *c, void *app, struct http_rq *rq)
{
    *c = (struct change){
        .a = app, .rq = rq, .old = BUF_MAX(OLD_NEW_MAX), .new = BUF_MAX(OLD_NEW_MAX)};
    actor_of(rq, &c->by);
    return device_find_match(c->a, rq, &c->x);
}

static int change_begin(struct change *c, const char *action, const char *property)
{
    c->action = action;
    c->property = property;
    c->tx = db_begin(c->a->db);
    return c->tx ? 0 : -EIO;
}

static void put_str(struct buf *out, const char *text)
{
    AUTO(js_freep) struct js *j = js_new_str(slice_str(text));
    if (j) {
        js_write(j, JS_COMPACT, out);
    }
}

static void put_bool(struct buf *out, bool on)
{
    buf_adds(out, on ? "true" : "false");
}

static void put_time(struct buf *out, struct wall t)
{
    char text[WALL_TEXT_SIZE];
    wall_format(t, text);
    buf_adds(out, "\"");
    buf_adds(out, t.s ? text : "");
    buf_adds(out, "\"");
}

/* The rest of the transaction, and the answer. rc: what the store said to the change itself. */
static void change_end(struct change *c, int rc)
{
    struct app *a = c->a;
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "node", c->x.node.id);
    rc = rc ? rc
            : audit_write(a, &c->by,
                          &(struct audit_entry){.action = c->action,
                                                .type = "NODE",
                                                .id = c->x.node.stable_id,
                                                .name = c->x.node.label,
                                                .property = c->property,
                                                .old = buf_slice(&c->old),
                                                .new = buf_slice(&c->new)});
    rc = rc ? rc : db_commit(&c->tx);
    db_tx_endp(&c->tx);
    if (rc) {
        reply_broken(c->rq, rc < 0 ? rc : -ENOENT);
        return;
    }
    log_info("node.changed", F_STR("node", c->x.node.stable_id), F_STR("action", c->action),
             F_STR("by", c->by.login));
    AUTO(js_freep) struct js *none = js_object();
    reply_json(c->rq, 200, none);
    bus_wake(a);
    webhooks_kick(a);
}

static void refuse(struct http_rq *rq, const char *code, const char *message, const char *fix)
{
    reply_problem(rq, &(struct problem){400, code, message, fix});
}

/* ---- approval, expiry, leaving ---- */

void api_device_authorized(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"authorized", JS_BOOL, true, 0}};
    struct change c;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (j && change_init(&c, app, rq)) {
        bool on = js_get_bool(j, "authorized", false), was = c.x.node.authorized;
        put_bool(&c.old, was);
        put_bool(&c.new, on);
        int rc = change_begin(&c, on ? "NODE.APPROVE" : "NODE.UNAPPROVE", "AUTHORIZED");
        rc = rc ? rc : store_node_authorize(c.a->db, c.x.node.id, on);
        rc = rc || !on || was
                 ? rc
                 : node_tell(c.a, &c.by, &c.x.node, "nodeApproved", "A device has been approved");
        change_end(&c, rc);
        change_deinit(&c);
    }
}

static void put_expiry(struct buf *out, bool disabled, struct wall expires)
{
    buf_adds(out, "{\"keyExpiryDisabled\":");
    put_bool(out, disabled);
    buf_adds(out, ",\"expires\":");
    put_time(out, expires);
    buf_addc(out, '}');
}

/* As if it had joined now. */
static struct wall fresh_end(struct app *a)
{
    struct store_node_terms t;
    node_terms_default(a, false, true, &t);
    return t.key_expires;
}

static void set_expiry(struct change *c, bool disabled, struct wall expires)
{
    put_expiry(&c->old, c->x.node.expiry_disabled, c->x.node.key_expires);
    put_expiry(&c->new, disabled, expires);
    int rc = change_begin(c, "NODE.UPDATE.KEY_EXPIRY", "KEY_EXPIRY_TIME");
    rc = rc ? rc : store_node_expiry(c->a->db, c->x.node.id, disabled, expires);
    change_end(c, rc);
}

void api_device_key(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"keyExpiryDisabled", JS_BOOL, true, 0}};
    struct change c;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (j && change_init(&c, app, rq)) {
        bool disabled = js_get_bool(j, "keyExpiryDisabled", false);
        struct wall ends = c.x.node.key_expires;
        if (!disabled && !ends.s) {
            ends = fresh_end(c.a);
        }
        set_expiry(&c, disabled, ends);
        change_deinit(&c);
    }
}

/* Now, whatever was said before: the device signs in again, or stays shut. */
void api_device_expire(void *app, struct http_rq *rq)
{
    struct change c;
    if (change_init(&c, app, rq)) {
        set_expiry(&c, false, wall_now());
        change_deinit(&c);
    }
}

void api_device_delete(void *app, struct http_rq *rq)
{
    struct change c;
    if (!change_init(&c, app, rq)) {
        return;
    }
    int rc = change_begin(&c, "NODE.DELETE", NULL);
    rc = rc ? rc : node_remove(c.a, &c.by, &c.x.node, "NODE.DELETE", "");
    rc = rc ? rc : db_commit(&c.tx);
    change_deinit(&c);
    if (rc) {
        reply_broken(rq, rc < 0 ? rc : -ENOENT);
        return;
    }
    log_info("node.deleted", F_STR("node", c.x.node.stable_id), F_STR("by", c.by.login));
    http_rq_reply(rq, 200, NULL, S(""));
    bus_wake(c.a);
    webhooks_kick(c.a);
}

/* ---- name and address ---- */

/* "web-1", or the whole name under our zone. */
static bool read_label(struct app *a, struct slice name, char label[64])
{
    char own[TEXT_NAME_SIZE], full[TEXT_NAME_SIZE];
    ptrdiff_t dot = slice_find(name, '.');
    struct slice first = dot < 0 ? name : slice_sub(name, 0, (size_t)dot);
    if (!text_label(first) || !slice_copy(first, label, 64)) {
        return false;
    }
    if (dot < 0) {
        return true;
    }
    app_fqdn(a, label, own);
    return text_name(name, TEXT_NAME_HOST, full) && strcmp(own, full) == 0;
}

static int rename_node(struct change *c, const char *label)
{
    int rc = store_node_label(c->a->db, c->x.node.id, slice_str(label));
    /* Its certificate is for the old name; the device asks for one for the new name. */
    rc = rc ? rc : store_cert_forget(c->a->db, c->x.node.id);
    return rc ? rc : store_change(c->a->db, c->a->tailnet.id, "certificate", c->x.node.id);
}

void api_device_name(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"name", JS_STR, true, TEXT_NAME_SIZE}};
    struct change c;
    char label[64];
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (!j || !change_init(&c, app, rq)) {
        return;
    }
    if (!read_label(c.a, js_get_str(j, "name"), label)) {
        refuse(rq, "device.name", "this is not a name that a device can have",
               "lower-case letters, digits and dashes; at most 63");
    } else {
        put_str(&c.old, c.x.node.label);
        put_str(&c.new, label);
        int rc = change_begin(&c, "NODE.UPDATE.NAME", "NAME");
        bool same = strcmp(label, c.x.node.label) == 0;
        rc = rc || same ? rc : rename_node(&c, label);
        if (rc == STORE_CONFLICT) {
            reply_problem(rq, &(struct problem){409, "device.name_taken",
                                                "another device has this name",
                                                "choose another, or rename that one first"});
        } else {
            change_end(&c, rc);
        }
    }
    change_deinit(&c);
}

/* Inside 100.64.0.0/10, outside what services and the platform use (policy.md 3.1). */
static bool address_ok(struct slice text)
{
    struct ip_addr ip;
    static const char *const reserved[] = {"100.100.100.0/24", "100.115.92.0/23"};
    struct ip_prefix p;
    if (!ip_addr_parse(text, &ip) || ip.family != IP_V4 ||
        !ip_prefix_parse(S("100.64.0.0/10"), &p, NULL) || !ip_prefix_has(&p, &ip)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (!ip_prefix_parse(slice_str(reserved[i]), &p, NULL) || ip_prefix_has(&p, &ip)) {
            return false;
        }
    }
    return true;
}

void api_device_ip(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"ipv4", JS_STR, true, 15}};
    struct change c;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (!j || !change_init(&c, app, rq)) {
        return;
    }
    char ipv4[16];
    if (!slice_copy(js_get_str(j, "ipv4"), ipv4, sizeof ipv4) || !address_ok(slice_str(ipv4))) {
        refuse(rq, "device.ip", "ipv4 is not a free address of the tailnet",
               "one inside 100.64.0.0/10");
    } else {
        put_str(&c.old, c.x.node.ipv4);
        put_str(&c.new, ipv4);
        int rc = change_begin(&c, "NODE.UPDATE.IP", "IP");
        rc = rc ? rc : store_node_address(c.a->db, c.x.node.id, slice_str(ipv4));
        if (rc == STORE_CONFLICT) {
            reply_problem(rq, &(struct problem){409, "device.ip_taken",
                                                "another device has this address",
                                                "choose another one"});
        } else {
            change_end(&c, rc);
        }
    }
    change_deinit(&c);
}

/* ---- tags ---- */

static size_t
held_tags(const struct identity *id, const struct js *held, struct slice out[TAGS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; id->scoped && i < js_len(held) && n < TAGS_MAX; i++) {
        out[n++] = js_str(js_at(held, i));
    }
    return n;
}

/* Each tag is declared, and the caller may give it: by the role, or as one of its owners. */
static bool tags_ok(struct app *a, struct http_rq *rq, const struct js *tags)
{
    const struct identity *id = auth_identity(rq);
    const struct policy *p = policy_snapshot_policy(policy_state_snapshot(a));
    char why[80], text[200];
    struct slice mine[TAGS_MAX];
    AUTO(js_freep)
    struct js *held =
        id->scoped ? js_parse(slice_str(id->tags), sizeof id->tags, why, sizeof why) : NULL;
    struct policy_tagger who = {.tags = mine, .tag_count = held_tags(id, held, mine)};
    if (!id->scoped) {
        who.login = slice_str(id->user.login);
        who.role = slice_str(id->user.role);
    }
    for (size_t i = 0; i < js_len(tags); i++) {
        struct slice tag = js_str(js_at(tags, i));
        enum policy_tag_right right = policy_tag_right(p, tag, &who);
        if (right == POLICY_TAG_UNDEFINED) {
            text_cut(text, sizeof text, "the policy does not declare the tag \"" SLICE_FMT "\"",
                     SLICE_ARG(slice_sub(tag, 0, 80)));
            refuse(rq, "device.tag_unknown", text, "declare it in tagOwners");
            return false;
        }
        bool any = !id->scoped && auth_may(id, PERM_ANY_TAG);
        if (right == POLICY_TAG_NOT_OWNER && !any) {
            text_cut(text, sizeof text, "you may not give the tag \"" SLICE_FMT "\"",
                     SLICE_ARG(slice_sub(tag, 0, 80)));
            reply_problem(rq, &(struct problem){403, "device.tag_denied", text,
                                                "ask one of its owners, or an admin"});
            return false;
        }
    }
    return true;
}

/* Sorted, each once: [] is "untag". False: not an array of strings. */
static bool read_tags(const struct js *list, struct js **out)
{
    if (!list || js_kind(list) == JS_NULL) {
        *out = js_array();
        return true;
    }
    if (js_kind(list) != JS_ARRAY || js_len(list) > TAGS_MAX) {
        return false;
    }
    struct js *tags = js_array();
    struct slice last = S("");
    for (size_t n = 0; n < js_len(list); n++) {
        const struct js *best = NULL;
        for (size_t i = 0; i < js_len(list); i++) {
            const struct js *v = js_at(list, i);
            if (js_kind(v) != JS_STR || !js_str(v).n) {
                js_free(tags);
                return false;
            }
            if (slice_cmp(js_str(v), last) > 0 &&
                (!best || slice_cmp(js_str(v), js_str(best)) < 0)) {
                best = v;
            }
        }
        if (best) {
            last = js_str(best);
            js_push_str(tags, last);
        }
    }
    *out = tags;
    return true;
}

/* Tags take the owner's place, and a device without an owner has no key that ends. */
static int retag(struct change *c, bool untag)
{
    struct db *d = c->a->db;
    const struct store_node *n = &c->x.node;
    int64_t user = untag ? auth_identity(c->rq)->user.id : 0;
    if (untag && n->user_id) {
        return 0; /* had none */
    }
    int rc = store_node_tag(d, n->id, buf_slice(&c->new), user);
    if (rc || (!untag && !n->user_id)) {
        return rc;
    }
    return store_node_expiry(d, n->id, n->expiry_disabled,
                             untag ? fresh_end(c->a) : (struct wall){0});
}

void api_device_tags(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"tags", JS_ARRAY, false, TAGS_MAX}};
    struct app *a = app;
    struct change c;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    AUTO(js_freep) struct js *tags = NULL;
    if (!j) {
        return;
    }
    if (!js_get(j, "tags") || !read_tags(js_get(j, "tags"), &tags)) {
        refuse(rq, "body.invalid", "tags must be an array of tags, or null",
               "{\"tags\": [\"tag:web\"]}; at most 16");
        return;
    }
    if (!change_init(&c, a, rq)) {
        return;
    }
    if (tags_ok(a, rq, tags)) {
        buf_adds(&c.old, c.x.tags);
        js_write(tags, JS_COMPACT, &c.new);
        int rc = change_begin(&c, "NODE.UPDATE.TAGS", "ACL_TAGS");
        change_end(&c, rc ? rc : retag(&c, js_len(tags) == 0));
    }
    change_deinit(&c);
}

/* ---- routes: there are none in this version ---- */

static void reply_routes(struct http_rq *rq)
{
    AUTO(js_freep) struct js *j = js_object();
    js_set(j, "advertisedRoutes", js_array());
    js_set(j, "enabledRoutes", js_array());
    rest_object(rq, j);
}

void api_device_routes(void *app, struct http_rq *rq)
{
    struct store_device x;
    if (device_find(app, rq, &x)) {
        reply_routes(rq);
    }
}

void api_device_routes_set(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"routes", JS_ARRAY, true, 1000}};
    struct store_device x;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (!j || !device_find_match(app, rq, &x)) {
        return;
    }
    if (js_len(js_get(j, "routes"))) {
        refuse(rq, "routes.not_supported", "devices of this tailnet route for nobody",
               "send an empty list");
    } else {
        reply_routes(rq);
    }
}
