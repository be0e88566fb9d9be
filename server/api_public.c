/* Certificates, each known by its node's id, and the relays. */
#include "server/api_public.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/data/crypto.h"
#include "server/app.h"
#include "server/presence.h"
#include "server/store_ready.h"

enum { RENEW_PAUSE_S = 3600 /* the CA counts certificates for the same name */ };

static bool may_see(const struct identity *id, const struct store_node *n)
{
    return auth_may(id, PERM_FUNNEL_READ) ||
           (!id->scoped && n->user_id && n->user_id == id->user.id);
}

static void set_time(struct js *j, const char *name, struct wall t)
{
    char text[WALL_TEXT_SIZE];
    wall_format(t, text);
    js_set_cstr(j, name, t.s ? text : NULL);
}

/* ---- certificates ---- */

static void set_leaf(struct js *j, const struct crypto_cert *leaf)
{
    struct js *names = js_array();
    for (size_t i = 0; i < leaf->name_count; i++) {
        js_push_str(names, slice_str(leaf->names[i]));
    }
    js_set(j, "names", names);
    js_set_cstr(j, "serial", leaf->serial);
    set_time(j, "notBefore", leaf->not_before);
    /* When the node asks for the next one: a third of its life before the end (agent/cert.c). */
    int64_t third = (leaf->not_after.s - leaf->not_before.s) / 3;
    set_time(j, "renewal", (struct wall){leaf->not_after.s - third});
}

static struct js *certificate_json(struct app *a,
                                   const struct store_node *n,
                                   const struct store_cert *c,
                                   struct slice chain)
{
    struct js *j = js_object();
    struct crypto_cert *leaf = mem_new(sizeof *leaf);
    char name[TEXT_NAME_SIZE];
    size_t count;
    app_fqdn(a, n->label, name);
    js_set_cstr(j, "id", n->stable_id);
    js_set_cstr(j, "nodeId", n->stable_id);
    js_set_cstr(j, "name", name);
    js_set_cstr(j, "state", c->state);
    js_set_cstr(j, "issuer", c->issuer[0] ? c->issuer : NULL);
    js_set_cstr(j, "error", c->error[0] ? c->error : NULL);
    set_time(j, "notAfter", c->not_after);
    set_time(j, "retryAt", c->retry_at);
    set_time(j, "updated", c->updated);
    if (chain.n && crypto_chain_read(chain, leaf, &count)) {
        set_leaf(j, leaf);
    }
    mem_free(leaf);
    return j;
}

struct listing {
    struct app *a;
    const struct identity *id;
    struct rest_page page;
    struct js *list;
    int rc;
};

static void add_certificate(void *arg, const struct store_node *n)
{
    struct listing *l = arg;
    struct store_cert c;
    struct buf chain = BUF_MAX(256 * KIB);
    int rc = may_see(l->id, n) ? store_cert(l->a->db, n->id, &c, &chain, NULL) : STORE_NONE;
    if (rc == 0 && rest_page_take(&l->page, n->id)) {
        js_push(l->list, certificate_json(l->a, n, &c, buf_slice(&chain)));
    }
    l->rc = rc < 0 ? rc : l->rc;
    buf_deinit(&chain);
}

static void reply_list(struct http_rq *rq, const char *name, struct listing *l, int rc)
{
    AUTO(js_freep) struct js *j = js_object();
    js_set(j, name, l->list);
    if (rc || l->rc) {
        reply_broken(rq, rc ? rc : l->rc);
    } else {
        rest_page_end(&l->page, j);
        reply_json(rq, 200, j);
    }
}

void api_certificates(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct listing l = {.a = a, .id = auth_identity(rq)};
    if (rest_page_read(rq, &l.page)) {
        l.list = js_array();
        reply_list(rq, "certificates", &l, store_nodes_each(a->db, add_certificate, &l));
    }
}

static int renew(struct app *a,
                 struct http_rq *rq,
                 const struct store_node *n,
                 const struct store_cert *c,
                 struct slice csr)
{
    struct actor by;
    char order[STORE_ID_SIZE];
    actor_of(rq, &by);
    secret_id(order, 20);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_cert_order(a->db, n->id, order, csr, c->spki) : -EIO;
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "certificate", n->id);
    rc = rc ? rc
            : audit_write(a, &by,
                          &(struct audit_entry){.action = "CERTIFICATE.RENEW",
                                                .type = "NODE",
                                                .id = n->stable_id,
                                                .name = n->label,
                                                .property = "CERTIFICATE"});
    return rc ? rc : db_commit(&tx);
}

/* False after an answer: it runs already, or was made just now. */
static bool worth_it(struct http_rq *rq, const struct store_cert *c)
{
    bool running = strcmp(c->state, "queued") == 0 || strcmp(c->state, "issuing") == 0;
    bool fresh = strcmp(c->state, "issued") == 0 && wall_now().s - c->updated.s < RENEW_PAUSE_S;
    if (running) {
        reply_problem(rq, &(struct problem){409, "certificate.running",
                                            "an order for this certificate is under way",
                                            "wait: it takes seconds"});
    } else if (fresh && c->not_after.s > wall_now().s) {
        http_rq_add_header(rq, "Retry-After", "3600");
        reply_problem(rq, &(struct problem){429, "certificate.fresh",
                                            "this certificate is less than an hour old",
                                            "the CA limits certificates for one name: wait"});
    } else {
        return true;
    }
    return false;
}

static bool may_renew(struct http_rq *rq, const struct store_node *n)
{
    const struct identity *id = auth_identity(rq);
    if (auth_may(id, PERM_NETWORK_WRITE) ||
        (!id->scoped && n->user_id && n->user_id == id->user.id)) {
        return true;
    }
    reply_problem(rq, &(struct problem){403, "role.missing",
                                        "your role does not renew certificates of others",
                                        "ask an owner, admin or network admin"});
    return false;
}

void api_certificate_renew(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_node n;
    struct store_cert c;
    struct buf csr = BUF_MAX(ACME_CSR_MAX);
    int rc = store_node_by_stable(a->db, http_rq_param(rq, "id"), &n);
    rc = rc ? rc : store_cert(a->db, n.id, &c, NULL, &csr);
    if (rc < 0) {
        reply_broken(rq, rc);
    } else if (rc || !may_see(auth_identity(rq), &n)) {
        reply_problem(rq,
                      &(struct problem){404, "certificate.unknown", "there is no such certificate",
                                        "its id is the id of its node"});
    } else if (may_renew(rq, &n) && worth_it(rq, &c)) {
        rc = renew(a, rq, &n, &c, buf_slice(&csr));
        if (rc) {
            reply_broken(rq, rc);
        } else {
            http_rq_reply(rq, 202, NULL, S(""));
            certs_kick(a);
            bus_wake(a);
        }
    }
    buf_deinit(&csr);
}

/* ---- ingresses ---- */

static void add_relay(void *arg, const struct store_relay *r)
{
    struct listing *l = arg;
    const struct presence_relay *p = presence_relay(l->a->presence, r->id);
    bool up = presence_relay_up(l->a->presence, r->id);
    int64_t sessions = up ? store_relay_sessions(l->a->db, r->id) : 0;
    char why[100];
    if (!rest_page_take(&l->page, r->id)) {
        return;
    }
    struct js *j = js_object();
    l->rc = sessions < 0 ? (int)sessions : l->rc;
    js_set_cstr(j, "id", r->stable_id);
    js_set_cstr(j, "name", r->name);
    js_set_cstr(j, "host", r->host);
    js_set(j, "addresses", js_parse(slice_str(r->addresses), 4096, why, sizeof why));
    js_set(j, "ports", js_parse(slice_str(r->ports), 4096, why, sizeof why));
    js_set_cstr(j, "version", r->version);
    js_set_bool(j, "connected", up);
    js_set_int(j, "sessions", sessions);
    if (up) {
        set_time(j, "since", p->since);
        js_set_int(j, "clockSkewSeconds", presence_skew(p->has_clock, p->clock));
        js_set_int(j, "visitors", p->visitors);
        js_set_int(j, "refused", p->refused);
        js_set_int(j, "bytesIn", p->bytes_in);
        js_set_int(j, "bytesOut", p->bytes_out);
    }
    js_push(l->list, j);
}

void api_ingresses(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct listing l = {.a = a};
    if (rest_page_read(rq, &l.page)) {
        l.list = js_array();
        reply_list(rq, "ingresses", &l, store_relays_each(a->db, add_relay, &l));
    }
}
