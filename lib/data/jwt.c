/* The header picks the key, the key decides what may verify with it. */
#include "lib/data/jwt.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "lib/base/text.h"

enum { P256_BYTES = 32, RSA_BITS_MIN = 2048, KEYS_MAX = 64, PART_MAX = 1024 };

static int refuse(const char **out_why, const char *why, int code)
{
    *out_why = why;
    return code;
}

/* ---- keys ---- */

static BIGNUM *number(const struct js *jwk, const char *name)
{
    struct buf raw = BUF_MAX(PART_MAX);
    BIGNUM *n = NULL;
    if (text_unb64url(js_get_str(jwk, name), &raw) && raw.len) {
        n = BN_bin2bn((const unsigned char *)buf_slice(&raw).p, (int)raw.len, NULL);
    }
    buf_deinit(&raw);
    return n;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !c || EVP_PKEY_fromdata_init(c) != 1 ||
        EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(c);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(const struct js *jwk)
{
    EVP_PKEY *key = NULL;
    BIGNUM *n = number(jwk, "n"), *e = number(jwk, "e");
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (n && e && bld && BN_num_bits(n) >= RSA_BITS_MIN &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1) {
        key = from_params("RSA", bld);
    }
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);
    return key;
}

/* The uncompressed point: 4, x, y. */
static bool point(const struct js *jwk, struct buf *out)
{
    struct buf x = BUF_MAX(P256_BYTES), y = BUF_MAX(P256_BYTES);
    bool ok = text_unb64url(js_get_str(jwk, "x"), &x) && x.len == P256_BYTES &&
              text_unb64url(js_get_str(jwk, "y"), &y) && y.len == P256_BYTES;
    if (ok) {
        buf_addc(out, 4);
        buf_add(out, buf_slice(&x));
        buf_add(out, buf_slice(&y));
    }
    buf_deinit(&x);
    buf_deinit(&y);
    return ok;
}

static EVP_PKEY *ec_key(const struct js *jwk)
{
    EVP_PKEY *key = NULL;
    struct buf pub = BUF_MAX(2 * P256_BYTES + 1);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld && slice_eq(js_get_str(jwk, "crv"), S("P-256")) && point(jwk, &pub) &&
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, buf_slice(&pub).p,
                                         pub.len) == 1) {
        key = from_params("EC", bld);
    }
    OSSL_PARAM_BLD_free(bld);
    buf_deinit(&pub);
    return key;
}

/* ---- signatures ---- */

/* JWS has r||s (RFC 7518 3.4), OpenSSL wants DER. */
static bool der_signature(struct slice raw, struct buf *out)
{
    if (raw.n != 2 * (size_t)P256_BYTES) {
        return false;
    }
    const unsigned char *p = (const unsigned char *)raw.p;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, P256_BYTES, NULL), *s = BN_bin2bn(p + P256_BYTES, P256_BYTES, NULL);
    unsigned char *der = NULL;
    int n = -1;
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* the signature's now */
        n = i2d_ECDSA_SIG(sig, &der);
    }
    if (n > 0) {
        buf_add(out, slice_of(der, (size_t)n));
    }
    OPENSSL_free(der);
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return n > 0 && buf_ok(out);
}

static bool signature_good(EVP_PKEY *key, struct slice signed_part, struct slice sig)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(c, (const unsigned char *)sig.p, sig.n,
                               (const unsigned char *)signed_part.p, signed_part.n) == 1;
    EVP_MD_CTX_free(c);
    ERR_clear_error();
    return ok;
}

static bool
verify_with(const struct js *jwk, bool es256, struct slice signed_part, struct slice raw)
{
    struct buf der = BUF_MAX(128);
    EVP_PKEY *key = es256 ? ec_key(jwk) : rsa_key(jwk);
    bool ok = key != NULL;
    if (ok && es256) {
        ok = der_signature(raw, &der) && signature_good(key, signed_part, buf_slice(&der));
    } else if (ok) {
        ok = signature_good(key, signed_part, raw);
    }
    EVP_PKEY_free(key);
    buf_deinit(&der);
    return ok;
}

/* Of the right type, for signing, and of the header's id where it names one. */
static bool key_fits(const struct js *jwk, struct slice kid, bool es256)
{
    struct slice use = js_get_str(jwk, "use"), alg = js_get_str(jwk, "alg");
    return slice_eq(js_get_str(jwk, "kty"), es256 ? S("EC") : S("RSA")) &&
           (!use.n || slice_eq(use, S("sig"))) &&
           (!alg.n || slice_eq(alg, es256 ? S("ES256") : S("RS256"))) &&
           (!kid.n || slice_eq(js_get_str(jwk, "kid"), kid));
}

static struct js *part_json(struct slice text)
{
    char why[80];
    struct buf raw = BUF_MAX(JWT_MAX);
    struct js *j = NULL;
    if (text_unb64url(text, &raw)) {
        j = js_parse(buf_slice(&raw), JWT_MAX, why, sizeof why);
    }
    buf_deinit(&raw);
    if (j && js_kind(j) != JS_OBJECT) {
        js_free(j);
        return NULL;
    }
    return j;
}

static int check_keys(const struct js *jwks,
                      const struct js *header,
                      struct slice signed_part,
                      struct slice signature,
                      const char **out_why)
{
    const struct js *keys = js_get(jwks, "keys");
    struct slice alg = js_get_str(header, "alg"), kid = js_get_str(header, "kid");
    bool es256 = slice_eq(alg, S("ES256")), fitted = false;
    if (!es256 && !slice_eq(alg, S("RS256"))) {
        return refuse(out_why, "the token is not signed with RS256 or ES256", JWT_REFUSED);
    }
    if (js_get(header, "crit")) {
        return refuse(out_why, "the token asks for an extension", JWT_REFUSED);
    }
    for (size_t i = 0; keys && i < js_len(keys) && i < KEYS_MAX; i++) {
        const struct js *jwk = js_at(keys, i);
        if (js_kind(jwk) == JS_OBJECT && key_fits(jwk, kid, es256)) {
            fitted = true;
            if (verify_with(jwk, es256, signed_part, signature)) {
                return 0;
            }
        }
    }
    return fitted ? refuse(out_why, "the token's signature does not verify", JWT_REFUSED)
                  : refuse(out_why, "the token is signed with an unknown key", JWT_NO_KEY);
}

int jwt_verify(struct slice token,
               const struct js *jwks,
               struct js **out_claims,
               const char **out_why)
{
    struct slice rest = token, header_text, body_text;
    struct buf signature = BUF_MAX(PART_MAX);
    if (token.n > JWT_MAX || !slice_split(&rest, '.', &header_text) ||
        !slice_split(&rest, '.', &body_text) || slice_find(rest, '.') >= 0) {
        return refuse(out_why, "this is not a signed token", JWT_REFUSED);
    }
    struct slice signed_part = slice_of(token.p, header_text.n + 1 + body_text.n);
    AUTO(js_freep) struct js *header = part_json(header_text);
    AUTO(js_freep) struct js *claims = part_json(body_text);
    int rc = JWT_REFUSED;
    if (!header || !claims || !text_unb64url(rest, &signature)) {
        *out_why = "the token cannot be read";
    } else {
        rc = check_keys(jwks, header, signed_part, buf_slice(&signature), out_why);
    }
    buf_deinit(&signature);
    if (!rc) {
        *out_claims = STEAL(claims);
    }
    return rc;
}
