/* EVP, no low-level calls; errors of OpenSSL's queue are cleared so that they do not speak for
 * later calls. */
#include "lib/data/crypto.h"

#include <argon2.h>
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"

enum { CHAIN_MAX = 8, PEM_MAX = 64 * 1024 };

void crypto_sha256(struct slice in, uint8_t out[CRYPTO_SHA256_SIZE])
{
    if (EVP_Digest(in.p, in.n, out, NULL, EVP_sha256(), NULL) != 1) {
        abort();
    }
}

void crypto_hmac_sha256(struct slice key, struct slice in, uint8_t out[CRYPTO_SHA256_SIZE])
{
    unsigned n = 0;
    if (!HMAC(EVP_sha256(), key.p, (int)key.n, (const unsigned char *)in.p, in.n, out, &n)) {
        abort();
    }
}

void crypto_hmac_sha1(struct slice key, struct slice in, uint8_t out[CRYPTO_SHA1_SIZE])
{
    unsigned n = 0;
    if (!HMAC(EVP_sha1(), key.p, (int)key.n, (const unsigned char *)in.p, in.n, out, &n)) {
        abort();
    }
}

/* ---- Ed25519 ---- */

void crypto_ed25519_keygen(uint8_t out_private[32], uint8_t out_public[32])
{
    size_t n = 32;
    secret_random(out_private, 32);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, out_private, 32);
    if (!key || EVP_PKEY_get_raw_public_key(key, out_public, &n) != 1) {
        abort();
    }
    EVP_PKEY_free(key);
}

bool crypto_ed25519_public(const uint8_t private_key[32], uint8_t out_public[32])
{
    size_t n = 32;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, 32);
    bool ok = key && EVP_PKEY_get_raw_public_key(key, out_public, &n) == 1;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok;
}

bool crypto_ed25519_sign(const uint8_t private_key[32], struct slice msg, uint8_t out_sig[64])
{
    size_t n = CRYPTO_ED25519_SIG_SIZE;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, 32);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(ctx, out_sig, &n, (const unsigned char *)msg.p, msg.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok;
}

bool crypto_ed25519_verify(const uint8_t public_key[32], struct slice msg, const uint8_t sig[64])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestVerify(ctx, sig, CRYPTO_ED25519_SIG_SIZE, (const unsigned char *)msg.p,
                               msg.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok;
}

/* ---- P-256 and PEM ---- */

/* NOLINTNEXTLINE(readability-non-const-parameter): OpenSSL's type */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return 0; /* never ask on the terminal */
}

static bool put_bio(struct buf *out, BIO *bio)
{
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);
    return n > 0 && buf_push(out, slice_of(p, (size_t)n)) == 0;
}

static EVP_PKEY *read_key(struct slice pem)
{
    BIO *bio = pem.n <= PEM_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

int crypto_p256_keygen(struct buf *out_key_pem)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_secmem());
    bool ok = key && bio &&
              PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1 &&
              put_bio(out_key_pem, bio);
    BIO_free(bio);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok ? 0 : err_origin(-ENOMEM);
}

static bool spki_sha256(X509_PUBKEY *pub, uint8_t out[32])
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(pub, &der);
    if (n > 0) {
        crypto_sha256(slice_of(der, (size_t)n), out);
    }
    OPENSSL_free(der);
    return n > 0;
}

bool crypto_key_spki_sha256(struct slice key_pem, uint8_t out[32])
{
    EVP_PKEY *key = read_key(key_pem);
    X509_PUBKEY *pub = NULL;
    bool ok = key && X509_PUBKEY_set(&pub, key) == 1 && spki_sha256(pub, out);
    X509_PUBKEY_free(pub);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok;
}

/* ---- CSR ---- */

static bool add_names(X509_REQ *req, const struct slice *names, size_t count)
{
    GENERAL_NAMES *list = GENERAL_NAMES_new();
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    bool ok = list && exts;
    for (size_t i = 0; ok && i < count; i++) {
        GENERAL_NAME *gn = GENERAL_NAME_new();
        ASN1_IA5STRING *text = ASN1_IA5STRING_new();
        ok = gn && text && ASN1_STRING_set(text, names[i].p, (int)names[i].n) == 1;
        if (ok) {
            GENERAL_NAME_set0_value(gn, GEN_DNS, text);
            ok = sk_GENERAL_NAME_push(list, gn) > 0;
        }
    }
    X509_EXTENSION *ext = ok ? X509V3_EXT_i2d(NID_subject_alt_name, 0, list) : NULL;
    ok = ext && sk_X509_EXTENSION_push(exts, ext) > 0 && X509_REQ_add_extensions(req, exts) == 1;
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    GENERAL_NAMES_free(list);
    return ok;
}

int crypto_csr_make(struct slice key_pem,
                    const struct slice *names,
                    size_t count,
                    struct buf *out_csr_pem)
{
    EVP_PKEY *key = read_key(key_pem);
    X509_REQ *req = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = key && req && bio && X509_REQ_set_version(req, 0) == 1 &&
              X509_REQ_set_pubkey(req, key) == 1 && add_names(req, names, count) &&
              X509_REQ_sign(req, key, EVP_sha256()) > 0 && PEM_write_bio_X509_REQ(bio, req) == 1 &&
              put_bio(out_csr_pem, bio);
    BIO_free(bio);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok ? 0 : err_origin(-EINVAL);
}

/* ---- chains ---- */

static struct wall to_wall(const ASN1_TIME *t)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1) {
        return (struct wall){0};
    }
    return (struct wall){timegm(&tm)};
}

static void read_names(X509 *cert, struct crypto_cert *out)
{
    GENERAL_NAMES *list = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(list) && out->name_count < CRYPTO_NAMES_MAX; i++) {
        int type;
        const ASN1_STRING *s = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(list, i), &type);
        char name[TEXT_NAME_SIZE];
        if (type == GEN_DNS &&
            text_name(slice_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)),
                      TEXT_NAME_HOST, name)) {
            memcpy(out->names[out->name_count++], name, sizeof name);
        }
    }
    GENERAL_NAMES_free(list);
}

static void read_issuer(X509 *cert, struct crypto_cert *out)
{
    X509_NAME *name = X509_get_issuer_name(cert);
    char cn[sizeof out->issuer];
    if (X509_NAME_get_text_by_NID(name, NID_commonName, cn, sizeof cn) > 0 &&
        text_printable(slice_str(cn), sizeof cn)) {
        text_cut(out->issuer, sizeof out->issuer, "%s", cn);
    }
    BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *hex = serial ? BN_bn2hex(serial) : NULL;
    if (!hex || !slice_copy(slice_str(hex), out->serial, sizeof out->serial)) {
        out->serial[0] = '\0';
    }
    OPENSSL_free(hex);
    BN_free(serial);
}

static bool read_leaf(X509 *cert, struct crypto_cert *out)
{
    memset(out, 0, sizeof *out);
    if (!spki_sha256(X509_get_X509_PUBKEY(cert), out->spki_sha256)) {
        return false;
    }
    out->not_before = to_wall(X509_get0_notBefore(cert));
    out->not_after = to_wall(X509_get0_notAfter(cert));
    read_names(cert, out);
    read_issuer(cert, out);
    return true;
}

/* The PEM reader skips blocks of other kinds; in a chain there is no place for any. */
static size_t count_blocks(struct slice pem)
{
    struct slice line;
    size_t count = 0;
    while (slice_split(&pem, '\n', &line)) {
        count += slice_starts(line, S("-----BEGIN "));
    }
    return count;
}

bool crypto_chain_read(struct slice chain_pem, struct crypto_cert *out_cert, size_t *out_count)
{
    BIO *bio = chain_pem.n && chain_pem.n <= PEM_MAX
                   ? BIO_new_mem_buf(chain_pem.p, (int)chain_pem.n)
                   : NULL;
    size_t count = 0;
    bool ok = bio != NULL;
    struct crypto_cert *leaf = mem_new(sizeof *leaf);
    X509 *cert;
    while (ok && (cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
        ok = ++count <= CHAIN_MAX && (count > 1 || read_leaf(cert, leaf));
        X509_free(cert);
    }
    /* The reader stops at the end or at rubbish: only the first is good. */
    ok = ok && count && count == count_blocks(chain_pem) &&
         ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    ERR_clear_error();
    if (ok) {
        *out_cert = *leaf;
        *out_count = count;
    }
    mem_free(leaf);
    return ok;
}

/* ---- passwords ---- */

enum { ARGON_KIB = 19 * 1024, ARGON_PASSES = 2, ARGON_LANES = 1, ARGON_SALT = 16, ARGON_HASH = 32 };

int crypto_password_hash(struct slice password, struct buf *out_encoded)
{
    char encoded[160];
    uint8_t salt[ARGON_SALT];
    secret_random(salt, sizeof salt);
    int rc = argon2id_hash_encoded(ARGON_PASSES, ARGON_KIB, ARGON_LANES, password.p, password.n,
                                   salt, sizeof salt, ARGON_HASH, encoded, sizeof encoded);
    if (rc != ARGON2_OK || buf_push(out_encoded, slice_str(encoded))) {
        return err_origin(-ENOMEM);
    }
    return 0;
}

bool crypto_password_verify(struct slice password, struct slice encoded)
{
    char text[200];
    return slice_copy(encoded, text, sizeof text) &&
           argon2id_verify(text, password.p, password.n) == ARGON2_OK;
}
