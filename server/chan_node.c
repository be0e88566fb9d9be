/* The node channel (docs/channels.md): register, stream, funnels, logout. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "server/app.h"

enum { LABEL_TRIES = 1000, FUNNELS_MAX = 3 };

/* "Ann's Laptop.local" -> "anns-laptop-local": lower-case LDH, no dash at an end, 50 bytes so that
 * "-17" fits behind. */
static void make_label(struct slice hostname, char out[64])
{
    enum { MOST = 50 };

    size_t n = 0;
    for (size_t i = 0; i < hostname.n && n < MOST; i++) {
        char c = hostname.p[i];
        c = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            out[n++] = c;
        } else if (c != '\'' && n && out[n - 1] != '-') {
            out[n++] = '-';
        }
    }
    while (n && out[n - 1] == '-') {
        n--;
    }
    out[n] = '\0';
    if (!n) {
        text_fit(out, 64, "node");
    }
}

/* 0, STORE_CONFLICT when too many have this name, -errno. */
static int free_label(struct app *a, struct slice hostname, char out[64])
{
    char base[64];
    make_label(hostname, base);
    text_fit(out, 64, "%s", base);
    int rc = store_label_free(a->db, a->tailnet.id, slice_str(out));
    for (int i = 1; rc == STORE_CONFLICT && i < LABEL_TRIES; i++) {
        text_fit(out, 64, "%.50s-%d", base, i);
        rc = store_label_free(a->db, a->tailnet.id, slice_str(out));
    }
    return rc;
}

/* 100.64.0.0/10 and fd7a:115c:a1e0::/48, counted up; the first /24 stays free for services. */
static void make_addresses(int64_t number, struct store_node *n)
{
    uint32_t v4 = (100u << 24 | 64u << 16) + 256 + (uint32_t)(number & 0x3fffff) % (0x3fffff - 512);
    text_fit(n->ipv4, sizeof n->ipv4, "%u.%u.%u.%u", v4 >> 24, v4 >> 16 & 255, v4 >> 8 & 255,
             v4 & 255);
    text_fit(n->ipv6, sizeof n->ipv6, "fd7a:115c:a1e0::%x:%x",
             (unsigned)(number >> 16 & 0xffff) + 1, (unsigned)(number & 0xffff));
}

/* 0, or the status to answer with. */
static int fill_node(struct app *a, struct http_rq *rq, const struct js *j, struct store_node *n)
{
    struct slice key = js_get_str(j, "transportKey");
    uint8_t bytes[32];
    if (!text_unhex(key, bytes, sizeof bytes) || !text_printable(js_get_str(j, "hostname"), 200) ||
        !text_printable(js_get_str(j, "os"), 60) || !text_printable(js_get_str(j, "version"), 60)) {
        return 400;
    }
    err_ignore(slice_copy(key, n->transport_key, sizeof n->transport_key));
    err_ignore(slice_copy(js_get_str(j, "hostname"), n->hostname, sizeof n->hostname));
    err_ignore(slice_copy(js_get_str(j, "os"), n->os, sizeof n->os));
    err_ignore(slice_copy(js_get_str(j, "version"), n->version, sizeof n->version));
    char remote[ADDR_TEXT_SIZE];
    addr_format_ip(http_rq_peer(rq), remote);
    text_cut(n->remote, sizeof n->remote, "%.60s", remote);
    int rc = free_label(a, js_get_str(j, "hostname"), n->label);
    return rc < 0 ? 500 : rc ? 400 : 0;
}

static bool auth_key_good(struct app *a, struct slice secret, struct store_key *out)
{
    uint8_t hash[STORE_HASH_SIZE];
    secrets_hash(&a->secrets, secret, hash);
    return store_key(a->db, slice_of(hash, sizeof hash), out) == 0 && out->kind == STORE_KEY_AUTH &&
           !out->revoked && (out->reusable || !out->used) && out->expires.s > wall_now().s;
}

/* New, or the same machine again (same transport key): it keeps its name and gets a new token. */
static int store_registration(struct app *a,
                              struct store_node *n,
                              const struct store_key *key,
                              struct slice hash)
{
    struct store_node old;
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_node_by_transport(a->db, slice_str(n->transport_key), &old) : -EIO;
    if (!rc) {
        *n = old;
        rc = store_node_rekey(a->db, n->id, hash);
    } else if (rc == STORE_NONE) {
        int64_t number = store_node_next_number(a->db);
        secret_id(n->stable_id, 20);
        make_addresses(number, n);
        rc = number < 0 ? (int)number : store_node_create(a->db, a->tailnet.id, n, hash, &n->id);
    }
    rc = rc ? rc : store_key_used(a->db, key->id);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "node", n->id);
    rc = rc ? rc
            : store_audit(a->db, &(struct store_audit){a->tailnet.id, n->login, "NODE.REGISTER",
                                                       n->label, n->hostname, n->remote});
    return rc ? rc : db_commit(&tx);
}

static void answer_registration(struct app *a,
                                struct http_rq *rq,
                                const struct store_node *n,
                                const char *token)
{
    AUTO(js_freep) struct js *j = js_object();
    char name[TEXT_NAME_SIZE];
    app_fqdn(a, n->label, name);
    js_set_cstr(j, "nodeId", n->stable_id);
    js_set_cstr(j, "nodeToken", token);
    js_set_cstr(j, "name", name);
    js_set_cstr(j, "user", n->login);
    js_set_cstr(j, "tailnet", a->tailnet.name);
    js_set_cstr(j, "ipv4", n->ipv4);
    js_set_cstr(j, "ipv6", n->ipv6);
    reply_json(rq, 200, j);
}

void node_register(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"authKey", JS_STR, true, 128},
                                             {"hostname", JS_STR, true, 200},
                                             {"os", JS_STR, true, 60},
                                             {"version", JS_STR, true, 60},
                                             {"transportKey", JS_STR, true, 64}};
    struct app *a = app;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    struct store_key key;
    struct store_user user;
    struct store_node n = {.id = 0};
    char token[SECRET_SIZE];
    uint8_t hash[STORE_HASH_SIZE];
    if (!j) {
        return;
    }
    if (!auth_key_good(a, js_get_str(j, "authKey"), &key) || !key.user_id ||
        store_user_by_id(a->db, key.user_id, &user) || user.suspended) {
        reply_problem(
            rq, &(struct problem){401, "auth_key.invalid",
                                  "this auth key is wrong, used, expired or revoked",
                                  "ask an admin for a new one: funnel-control key create auth"});
        return;
    }
    int status = fill_node(a, rq, j, &n);
    if (status == 500) {
        reply_broken(rq, -EIO);
        return;
    }
    if (status) {
        reply_problem(rq, &(struct problem){400, "node.invalid",
                                            "hostname, os, version or transportKey is not usable",
                                            "printable text; transportKey is 64 hex digits"});
        return;
    }
    n.user_id = user.id;
    memcpy(n.login, user.login, sizeof n.login);
    secrets_make("fnl-node-", token);
    secrets_hash(&a->secrets, slice_str(token), hash);
    int rc = store_registration(a, &n, &key, slice_of(hash, sizeof hash));
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    names_publish(a); /* the node's records stand before it hears that it is registered */
    log_info("node.registered", F_STR("node", n.stable_id), F_STR("label", n.label),
             F_STR("user", n.login));
    answer_registration(a, rq, &n, token);
    secret_wipe(token, sizeof token);
    bus_wake(a);
}

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

static int put_wanted(struct app *a, int64_t node, struct wanted *w)
{
    static const int64_t ports[] = {443, 8443, 10000};
    int rc = 0;
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
    static const struct js_field fields[] = {{"funnels", JS_ARRAY, true, FUNNELS_MAX}};
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
    int rc = tx ? put_wanted(a, n->id, &w) : -EIO;
    rc = !rc && w.changed ? store_change(a->db, a->tailnet.id, "funnel", n->id) : rc;
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
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_change(a->db, a->tailnet.id, "node", n->id) : -EIO;
    rc = rc ? rc
            : store_audit(a->db, &(struct store_audit){a->tailnet.id, n->login, "NODE.LOGOUT",
                                                       n->label, "", n->remote});
    rc = rc ? rc : store_node_delete(a->db, n->id);
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    log_info("node.gone", F_STR("node", n->stable_id));
    reply_none(rq);
    bus_wake(a);
}
