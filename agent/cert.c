/* The node's certificate: our key, our CSR, the chain that control sends. A chain is used only when
 * it is for our key. */
#include <errno.h>

#include "agent/agent.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/data/crypto.h"

static bool is_ours(const struct agent *a, struct slice chain, struct crypto_cert *out)
{
    uint8_t spki[32];
    size_t count;
    return crypto_key_spki_sha256(buf_slice(&a->state.leaf_key), spki) &&
           crypto_chain_read(chain, out, &count) &&
           memcmp(spki, out->spki_sha256, sizeof spki) == 0 && out->not_after.s > wall_now().s;
}

static void install(struct agent *a)
{
    static const char *const alpn[] = {"http/1.1", NULL};
    struct tls_ctx *ctx = NULL;
    char why[200];
    struct tls_server_opts o = {.cert_pem = buf_slice(&a->state.chain),
                                .key_pem = buf_slice(&a->state.leaf_key),
                                .alpn = alpn,
                                .min = TLS_MIN_12,
                                .tickets = 2};
    if (tls_server_ctx(&o, why, sizeof why, &ctx) < 0) {
        log_error("certificate.unusable", F_STR("why", why));
        return;
    }
    tls_ctx_unref(a->visitor_tls); /* running visitors hold their own reference */
    a->visitor_tls = ctx;
}

void cert_load(struct agent *a)
{
    struct crypto_cert cert;
    if (a->state.chain.len && is_ours(a, buf_slice(&a->state.chain), &cert)) {
        install(a);
    }
}

void cert_take(struct agent *a, struct slice chain)
{
    struct crypto_cert cert;
    if (!chain.n || slice_eq(chain, buf_slice(&a->state.chain))) {
        return;
    }
    if (!is_ours(a, chain, &cert)) {
        log_warn("certificate.not_ours", F_STR("fix", "a new one is ordered with our key"));
        return;
    }
    if (state_save_chain(&a->state, chain) < 0) {
        log_error("certificate.not_saved");
        return;
    }
    install(a);
    log_info("certificate.installed", F_STR("issuer", cert.issuer));
}

bool cert_ready(const struct agent *a)
{
    return a->visitor_tls != NULL;
}

/* A third of its life before the end, as acme-dns.md asks. */
static bool renewal_due(const struct agent *a)
{
    struct crypto_cert cert;
    if (!is_ours(a, buf_slice(&a->state.chain), &cert)) {
        return true;
    }
    return wall_now().s > cert.not_after.s - (cert.not_after.s - cert.not_before.s) / 3;
}

static void on_ordered(void *arg, int err, long status, const char *why, const struct js *answer)
{
    struct slice message = js_get_str(answer, "message");
    (void)arg;
    if (err || status != 202) {
        log_warn("certificate.not_ordered", F_I64("status", status), F_STR("why", why),
                 F_SLICE("message", message));
    }
}

void cert_check(struct agent *a)
{
    const struct view *v = &a->view;
    bool running =
        strcmp(v->cert_state, "queued") == 0 || strcmp(v->cert_state, "issuing") == 0 ||
        strcmp(v->cert_state, "failed") == 0; /* control repeats a failed one by itself */
    if (!v->connected || !v->known || !v->https || !v->funnel || !serve_any(a) || running ||
        !renewal_due(a)) {
        return;
    }
    struct buf csr = BUF_MAX(8 * KIB);
    struct slice names[] = {slice_str(a->state.name)};
    if (crypto_csr_make(buf_slice(&a->state.leaf_key), names, 1, &csr) == 0) {
        struct js *j = js_object();
        js_set_str(j, "csr", buf_slice(&csr));
        /* Until control says so itself: one order is enough. */
        memcpy(a->view.cert_state, "queued", sizeof "queued");
        control_post(a, "/node/v1/certificates", j, on_ordered, a);
        log_info("certificate.ordered", F_STR("name", a->state.name));
    }
    buf_deinit(&csr);
}
