/*
 * Orders. A row says what should run; this file runs it: publish the TXT
 * value, wait until our own server answers it, let the CA look, store the
 * chain, tell the node. A restart finds the rows and begins again.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "server/app.h"

enum { TXT_TTL = 1, PROBES = 20 };

static const int64_t probe_again = MS(100), queue_again = SECONDS(2), retry_now = MS(500);

struct certs {
    struct app *a;
    struct list running;
    struct timer again;
};

struct running {
    struct list link;
    struct app *a;
    int64_t node;
    char name[TEXT_NAME_SIZE];
};

/* One TXT value until our server shows it. */
struct challenge {
    struct app *a;
    struct buf name, value;
    acme_reply_fn reply;
    void *ctx;
    struct timer again;
    int probes;
    struct retire retire;
};

/* ---- challenges ---- */

static void free_challenge(void *arg)
{
    struct challenge *c = arg;
    buf_deinit(&c->name);
    buf_deinit(&c->value);
    mem_free(c);
}

static void answer(struct challenge *c, bool ok)
{
    c->reply(c->ctx, ok);
    loop_retire(c->a->lp, &c->retire, free_challenge, c);
}

static void probe(void *arg);

static void on_probe(void *arg, bool found, const char *why)
{
    struct challenge *c = arg;
    if (found) {
        answer(c, true);
    } else if (++c->probes < PROBES) {
        timer_set_in(c->a->lp, &c->again, probe_again, probe, c);
    } else {
        log_warn("challenge.not_shown", F_SLICE("name", buf_slice(&c->name)), F_STR("why", why));
        answer(c, false);
    }
}

static void probe(void *arg)
{
    struct challenge *c = arg;
    if (!dns_probe_txt(c->a->lp, &c->a->dns_probe, buf_slice(&c->name), buf_slice(&c->value),
                       on_probe, c)) {
        answer(c, false);
    }
}

static void challenge_name(struct buf *out, struct slice name)
{
    buf_adds(out, "_acme-challenge.");
    buf_add(out, name);
}

static void begin(void *arg,
                  const char *order_id,
                  struct slice name,
                  struct slice value,
                  acme_reply_fn reply,
                  void *ctx)
{
    struct app *a = arg;
    struct challenge *c = mem_new(sizeof *c);
    *c = (struct challenge){
        .a = a, .reply = reply, .ctx = ctx, .name = BUF_MAX(300), .value = BUF_MAX(64)};
    challenge_name(&c->name, name);
    buf_add(&c->value, value);
    log_info("challenge", F_STR("order", order_id), F_SLICE("name", buf_slice(&c->name)));
    if (dns_zone_add_txt(a->zone, buf_slice(&c->name), value, TXT_TTL) < 0 ||
        dns_zone_publish(a->zone, a->dns) < 0) {
        answer(c, false);
        return;
    }
    probe(c);
}

static void end(void *arg, const char *order_id, struct slice name, struct slice value)
{
    struct app *a = arg;
    struct buf full = BUF_MAX(300);
    (void)order_id;
    challenge_name(&full, name);
    if (dns_zone_del_txt(a->zone, buf_slice(&full), value) == 0) {
        err_ignore(dns_zone_publish(a->zone, a->dns)); /* it goes with the next publication */
    }
    buf_deinit(&full);
}

static const struct acme_challenge_ops challenge_ops = {.begin = begin, .end = end};

/* ---- results ---- */

static struct wall retry_time(const struct acme_result *r, int64_t tries)
{
    /* acme-dns.md 4.6, by class and try */
    static const int64_t net[] = {10, 30, 120, 600, 1800}, dns[] = {60, 300, 1800},
                         auth[] = {900, 3600, 21600, 86400};
    const int64_t *table = r->class == ACME_AUTH ? auth : r->class == ACME_DNS ? dns : net;
    int64_t count = r->class == ACME_AUTH  ? (int64_t)ARRAY_LEN(auth)
                    : r->class == ACME_DNS ? (int64_t)ARRAY_LEN(dns)
                                           : (int64_t)ARRAY_LEN(net);
    int64_t i = tries > 0 ? tries - 1 : 0;
    struct wall now = wall_now();
    if (r->class == ACME_LIMITED) {
        return r->retry_at;
    }
    if (r->class == ACME_RETRY_NOW) {
        return (struct wall){now.s + 1};
    }
    if (r->class == ACME_BUG) {
        return (struct wall){now.s + (int64_t)6 * 3600};
    }
    return (struct wall){now.s + table[i < count ? i : count - 1]};
}

static int store_chain(struct app *a, int64_t node, struct slice chain)
{
    struct crypto_cert *cert = mem_new(sizeof *cert);
    size_t count;
    struct buf spki = BUF_MAX(64);
    int rc = crypto_chain_read(chain, cert, &count) ? 0 : -EINVAL;
    text_hex(&spki, slice_of(cert->spki_sha256, sizeof cert->spki_sha256));
    AUTO(db_tx_endp) struct db_tx *tx = rc ? NULL : db_begin(a->db);
    rc = rc    ? rc
         : !tx ? -EIO
               : store_cert_issued(a->db, node, chain, buf_cstr(&spki), cert->not_after,
                                   slice_str(cert->issuer));
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "certificate", node);
    rc = rc ? rc : db_commit(&tx);
    buf_deinit(&spki);
    mem_free(cert);
    return rc;
}

static int store_failure(struct app *a, int64_t node, const struct acme_result *r)
{
    struct store_cert c;
    struct buf why = BUF_MAX(500);
    if (store_cert(a->db, node, &c, NULL, NULL)) {
        return 0; /* the node has gone meanwhile */
    }
    buf_addf(&why, "%s: ", acme_class_name(r->class));
    buf_add(&why, slice_sub(r->detail, 0, 400));
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_cert_state(a->db, node, "failed",
                                   text_utf8_valid(buf_slice(&why)) ? buf_slice(&why) : S(""),
                                   retry_time(r, c.tries))
                : -EIO;
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "certificate", node);
    rc = rc ? rc : db_commit(&tx);
    buf_deinit(&why);
    return rc;
}

static void on_again(void *arg)
{
    certs_kick(arg);
}

static void on_done(void *arg, const struct acme_result *r)
{
    struct running *x = arg;
    struct app *a = x->a;
    int rc;
    if (r->class == ACME_OK) {
        log_info("certificate.issued", F_STR("name", x->name));
        rc = store_chain(a, x->node, r->chain_pem);
    } else {
        log_warn("certificate.failed", F_STR("name", x->name),
                 F_STR("class", acme_class_name(r->class)), F_SLICE("why", r->detail));
        rc = store_failure(a, x->node, r);
    }
    if (rc) {
        log_error("certificate.not_stored", F_STR("name", x->name), F_ERR(rc));
    }
    list_unlink(&x->link);
    mem_free(x);
    bus_wake(a);
    timer_set_in(a->lp, &a->certs->again, retry_now, on_again, a);
}

/* ---- the queue ---- */

static bool is_running(const struct certs *c, int64_t node)
{
    for (struct list *l = c->running.next; l != &c->running; l = l->next) {
        if (LIST_ENTRY(l, struct running, link)->node == node) {
            return true;
        }
    }
    return false;
}

static int mark_issuing(struct app *a, int64_t node)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_cert_state(a->db, node, "issuing", S(""), (struct wall){0}) : -EIO;
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "certificate", node);
    return rc ? rc : db_commit(&tx);
}

static void start(void *arg, int64_t node)
{
    struct app *a = arg;
    struct store_node n;
    struct store_cert c;
    struct buf csr = BUF_MAX(ACME_CSR_MAX);
    struct acme_csr *judged = mem_new(sizeof *judged);
    char why[200], name[TEXT_NAME_SIZE];
    if (!is_running(a->certs, node) && store_node(a->db, node, &n) == 0 &&
        store_cert(a->db, node, &c, NULL, &csr) == 0) {
        app_fqdn(a, n.label, name);
        struct slice allowed[] = {slice_str(name)};
        struct running *x = mem_new(sizeof *x);
        *x = (struct running){.a = a, .node = node};
        memcpy(x->name, name, sizeof x->name);
        struct acme_order_opts o = {.order_id = c.order_id,
                                    .csr_pem = buf_slice(&csr),
                                    .csr = judged,
                                    .done = on_done,
                                    .arg = x};
        int rc = acme_judge(buf_slice(&csr), allowed, 1, judged, why, sizeof why)
                     ? -EINVAL
                     : acme_issue(a->issuer, &o);
        if (rc == 0) {
            list_push_back(&a->certs->running, &x->link);
            err_ignore(mark_issuing(a, node)); /* a lost mark only shows an older state */
            bus_wake(a);
        } else {
            mem_free(x);
            timer_set_in(a->lp, &a->certs->again, queue_again, on_again, a);
        }
    }
    mem_free(judged);
    buf_deinit(&csr);
}

void certs_kick(struct app *a)
{
    if (a->certs && a->issuer) {
        int rc = store_certs_due(a->db, wall_now(), start, a);
        if (rc) {
            log_error("certificates.not_read", F_ERR(rc));
            timer_set_in(a->lp, &a->certs->again, queue_again, on_again, a);
        }
    }
}

int certs_start(struct app *a, char *out_why, size_t why_size)
{
    a->certs = mem_new(sizeof *a->certs);
    a->certs->a = a;
    list_init(&a->certs->running);
    struct acme_uacme_opts o = {.runner_socket = a->cfg.acme_runner,
                                .hook_socket = a->cfg.acme_hook,
                                .hook_uid = (unsigned)a->cfg.acme_hook_uid,
                                .ops = &challenge_ops,
                                .arg = a};
    int rc = acme_issuer_uacme(a->lp, &o, &a->issuer);
    if (rc < 0) {
        text_cut(out_why, why_size, "cannot listen on acme.hook %s", a->cfg.acme_hook);
        return err_trace(rc);
    }
    certs_kick(a);
    return 0;
}

void certs_stop(struct app *a)
{
    acme_issuer_free(a->issuer);
    a->issuer = NULL;
    if (a->certs) {
        timer_cancel(&a->certs->again);
        mem_free(a->certs);
        a->certs = NULL;
    }
}

/* ---- POST /node/v1/certificates ---- */

static int store_order(struct app *a,
                       const struct store_node *n,
                       struct slice csr,
                       const struct acme_csr *judged,
                       char id[STORE_ID_SIZE])
{
    struct buf spki = BUF_MAX(64);
    text_hex(&spki, slice_of(judged->spki_sha256, sizeof judged->spki_sha256));
    secret_id(id, 20);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_cert_order(a->db, n->id, id, csr, buf_cstr(&spki)) : -EIO;
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "certificate", n->id);
    rc = rc ? rc : db_commit(&tx);
    buf_deinit(&spki);
    return rc;
}

void node_certificates(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"csr", JS_STR, true, ACME_CSR_MAX}};
    struct app *a = app;
    struct store_node *n = &auth_identity(rq)->node;
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    char why[200], name[TEXT_NAME_SIZE], id[STORE_ID_SIZE];
    struct acme_csr *judged = mem_new(sizeof *judged);
    app_fqdn(a, n->label, name);
    struct slice allowed[] = {slice_str(name)};
    if (j && acme_judge(js_get_str(j, "csr"), allowed, 1, judged, why, sizeof why)) {
        reply_problem(rq, &(struct problem){400, "csr.refused", why,
                                            "one dNSName, the node's own; empty subject"});
    } else if (j) {
        int rc = store_order(a, n, js_get_str(j, "csr"), judged, id);
        if (rc) {
            reply_broken(rq, rc);
        } else {
            AUTO(js_freep) struct js *out = js_object();
            js_set_cstr(out, "orderId", id);
            reply_json(rq, 202, out);
            certs_kick(a);
            bus_wake(a);
        }
    }
    mem_free(judged);
}
