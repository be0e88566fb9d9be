/* The policy in force and what it gives to whom. A stored policy that does not load any more never
 * stops the server: the last good text is in the store, and nobody has a right until it loads. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "server/app.h"

void policy_etag(struct slice text, char out[65])
{
    uint8_t sum[CRYPTO_SHA256_SIZE];
    struct buf hex = BUF_MAX(64);
    crypto_sha256(text, sum);
    text_hex(&hex, slice_of(sum, sizeof sum));
    text_fit(out, 65, "%s", buf_cstr(&hex));
    buf_deinit(&hex);
}

int policy_state_load(struct app *a, char *out_why, size_t why_size)
{
    struct store_policy_meta meta;
    struct policy_diags diags;
    struct policy *p = NULL;
    struct buf text = BUF_MAX(POLICY_SIZE_MAX);
    int rc = store_policy(a->db, a->tailnet.id, &meta, &text);
    if (rc) {
        text_cut(out_why, why_size, "no policy is stored; run: funnel-control init");
        buf_deinit(&text);
        return rc < 0 ? err_trace(rc) : err_fold(-ENOENT);
    }
    if (policy_load(buf_slice(&text), NULL, &diags, &p)) {
        log_error("policy.invalid", F_STR("message", diags.count ? diags.items[0].message : ""),
                  F_I64("line", diags.count ? diags.items[0].line : 0));
        policy_diags_free(&diags);
        rc = policy_load(S("{}"), NULL, &diags, &p);
    }
    policy_diags_free(&diags);
    if (!rc) {
        policy_state_swap(a, p, buf_slice(&text));
    }
    buf_deinit(&text);
    return rc;
}

int policy_state_store(struct app *a, struct slice text, const char *author, const char *message)
{
    char etag[65];
    policy_etag(text, etag);
    int64_t rev;
    struct store_policy_new row = {text, etag, author, "api", message};
    int rc = store_policy_save(a->db, a->tailnet.id, &row, &rev);
    return rc ? rc : store_change(a->db, a->tailnet.id, "policy", 0);
}

void policy_state_swap(struct app *a, struct policy *take, struct slice text)
{
    policy_unref(a->policy);
    a->policy = take;
    policy_etag(text, a->policy_etag);
}

void policy_state_device(const struct store_node *n, struct policy_subject *out)
{
    *out = (struct policy_subject){.login = slice_str(n->login),
                                   .suspended = n->suspended,
                                   .ipv4 = slice_str(n->ipv4),
                                   .ipv6 = slice_str(n->ipv6)};
}

bool policy_state_grants(const struct app *a, const struct store_node *n)
{
    struct policy_subject dev;
    policy_state_device(n, &dev);
    return policy_grants(a->policy, &dev, S("funnel"));
}

bool policy_state_may(const struct app *a, const struct store_node *n)
{
    return a->tailnet.https_enabled && policy_state_grants(a, n);
}
