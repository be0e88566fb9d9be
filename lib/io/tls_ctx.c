/* Contexts: versions, ciphers, certificates, trust. Everything that can be wrong with a file is
 * said in words here. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/io/tls_priv.h"

enum { TICKET_KEY_SIZE = 80, KEY_YEARS = 30 };

static int refuse(char *out_why, size_t why_size, const char *what, const char *file)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    text_cut(out_why, why_size, "%s%s%s%s%s", what, file ? " " : "", file ? file : "",
             reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return err_origin(-EINVAL);
}

static struct tls_ctx *ctx_new(bool server, enum tls_min min)
{
    struct tls_ctx *ctx = mem_new(sizeof *ctx);
    ctx->refs = 1;
    ctx->server = server;
    ctx->ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!ctx->ssl) {
        abort();
    }
    SSL_CTX_set_min_proto_version(ctx->ssl, min == TLS_MIN_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    /* Compression, renegotiation and client-chosen order are attacks or history (RFC 9325). */
    SSL_CTX_set_options(ctx->ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                      SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx->ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_cipher_list(ctx->ssl, "ECDHE+AESGCM:ECDHE+CHACHA20");
    return ctx;
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx)
{
    __atomic_add_fetch(&ctx->refs, 1, __ATOMIC_RELAXED);
    return ctx;
}

void tls_ctx_unref(struct tls_ctx *ctx)
{
    if (!ctx || __atomic_sub_fetch(&ctx->refs, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    SSL_CTX_free(ctx->ssl);
    for (size_t i = 0; ctx->alpn[i]; i++) {
        mem_free(unconst(ctx->alpn[i]));
    }
    mem_free(ctx);
}

static void keep_alpn(struct tls_ctx *ctx, const char *const *alpn)
{
    for (size_t i = 0; alpn && alpn[i] && i < TLS_ALPN_MAX; i++) {
        ctx->alpn[i] = mem_strdup(alpn[i]);
    }
}

/* ---- certificates and keys ---- */

/* NOLINTNEXTLINE(readability-non-const-parameter): OpenSSL's type */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return 0; /* never ask on the terminal */
}

static bool use_chain_pem(SSL_CTX *c, struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
    bool ok = leaf && SSL_CTX_use_certificate(c, leaf) == 1;
    X509_free(leaf);
    X509 *more;
    while (ok && (more = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
        ok = SSL_CTX_add0_chain_cert(c, more) == 1;
    }
    if (ok) {
        ERR_clear_error(); /* the end of the file counts as one */
    }
    BIO_free(bio);
    return ok;
}

static bool use_key_pem(SSL_CTX *c, struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    bool ok = key && SSL_CTX_use_PrivateKey(c, key) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return ok;
}

struct pair {
    const char *cert_file, *key_file;
    struct slice cert_pem, key_pem;
};

static int use_pair(SSL_CTX *c, const struct pair *p, char *out_why, size_t why_size)
{
    ERR_clear_error();
    if (p->cert_file) {
        if (SSL_CTX_use_certificate_chain_file(c, p->cert_file) != 1) {
            return refuse(out_why, why_size, "cannot use the certificate chain in", p->cert_file);
        }
        if (SSL_CTX_use_PrivateKey_file(c, p->key_file, SSL_FILETYPE_PEM) != 1) {
            return refuse(out_why, why_size, "cannot use the private key in", p->key_file);
        }
    } else {
        if (!use_chain_pem(c, p->cert_pem)) {
            return refuse(out_why, why_size, "cannot use the certificate chain", NULL);
        }
        if (!use_key_pem(c, p->key_pem)) {
            return refuse(out_why, why_size, "cannot use the private key", NULL);
        }
    }
    if (SSL_CTX_check_private_key(c) != 1) {
        return refuse(out_why, why_size, "the private key does not belong to the certificate",
                      p->cert_file);
    }
    return 0;
}

/* ---- tickets ---- */

static int
set_tickets(SSL_CTX *c, const struct tls_server_opts *opts, char *out_why, size_t why_size)
{
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(c, opts->tickets);
    if (!opts->tickets) {
        SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
    }
    static const unsigned char context[] = "openfunnel";
    SSL_CTX_set_session_id_context(c, context, sizeof context - 1);
    if (opts->ticket_key.n) {
        if (opts->ticket_key.n != TICKET_KEY_SIZE ||
            SSL_CTX_set_tlsext_ticket_keys(c, unconst(opts->ticket_key.p), TICKET_KEY_SIZE) != 1) {
            return refuse(out_why, why_size, "the ticket key must have 80 bytes", NULL);
        }
    }
    return 0;
}

int tls_server_ctx(const struct tls_server_opts *opts,
                   char *out_why,
                   size_t why_size,
                   struct tls_ctx **out_ctx)
{
    struct tls_ctx *ctx = ctx_new(true, opts->min);
    keep_alpn(ctx, opts->alpn);
    ctx->alpn_required = opts->alpn_required;
    int rc = use_pair(
        ctx->ssl, &(struct pair){opts->cert_file, opts->key_file, opts->cert_pem, opts->key_pem},
        out_why, why_size);
    if (!rc) {
        rc = set_tickets(ctx->ssl, opts, out_why, why_size);
    }
    if (rc < 0) {
        tls_ctx_unref(ctx);
        return err_trace(rc);
    }
    tls_ctx_install(ctx, opts->verify);
    *out_ctx = ctx;
    return 0;
}

static void offer_alpn(SSL_CTX *c, const char *const *alpn)
{
    unsigned char wire[256];
    unsigned n = 0;
    for (size_t i = 0; alpn && alpn[i]; i++) {
        size_t len = strlen(alpn[i]);
        if (n + 1 + len > sizeof wire) {
            break;
        }
        wire[n++] = (unsigned char)len;
        memcpy(wire + n, alpn[i], len);
        n += (unsigned)len;
    }
    if (n) {
        SSL_CTX_set_alpn_protos(c, wire, n);
    }
}

int tls_client_ctx(const struct tls_client_opts *opts,
                   char *out_why,
                   size_t why_size,
                   struct tls_ctx **out_ctx)
{
    struct tls_ctx *ctx = ctx_new(false, opts->min);
    int rc = 0;
    ERR_clear_error();
    if (opts->verify == TLS_VERIFY_CA) {
        int ok = opts->ca_file ? SSL_CTX_load_verify_file(ctx->ssl, opts->ca_file)
                               : SSL_CTX_set_default_verify_paths(ctx->ssl);
        rc = ok == 1 ? 0 : refuse(out_why, why_size, "cannot read the CA file", opts->ca_file);
    }
    if (!rc && opts->pin_count > TLS_PINS_MAX) {
        rc = refuse(out_why, why_size, "too many pins", NULL);
    }
    if (!rc && opts->cert_pem.n) {
        rc = use_pair(ctx->ssl, &(struct pair){NULL, NULL, opts->cert_pem, opts->key_pem}, out_why,
                      why_size);
    }
    if (rc < 0) {
        tls_ctx_unref(ctx);
        return err_trace(rc);
    }
    ctx->pin_count = opts->pin_count;
    if (opts->pin_count) {
        memcpy(ctx->pins, opts->pins, opts->pin_count * TLS_SPKI_SIZE);
    }
    offer_alpn(ctx->ssl, opts->alpn);
    tls_ctx_install(ctx, opts->verify);
    *out_ctx = ctx;
    return 0;
}

/* ---- keys that are not about names ---- */

bool tls_x509_spki(const X509 *cert, uint8_t out[TLS_SPKI_SIZE])
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    bool ok = n > 0 && EVP_Digest(der, (size_t)n, out, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return ok;
}

bool tls_cert_spki(struct slice cert_pem, uint8_t out[TLS_SPKI_SIZE])
{
    BIO *bio = BIO_new_mem_buf(cert_pem.p, (int)cert_pem.n);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    bool ok = cert && tls_x509_spki(cert, out);
    X509_free(cert);
    BIO_free(bio);
    ERR_clear_error();
    return ok;
}

static bool fill_cert(X509 *cert, EVP_PKEY *key, const char *cn)
{
    uint64_t serial = 0;
    secret_random(&serial, sizeof serial);
    X509_NAME *name = X509_get_subject_name(cert);
    return X509_set_version(cert, 2) &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1 | 1) &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -86400) &&
           X509_time_adj_ex(X509_getm_notAfter(cert), KEY_YEARS * 365, 0, NULL) &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
                                      0) &&
           X509_set_issuer_name(cert, name) && X509_set_pubkey(cert, key) &&
           X509_sign(cert, key, EVP_sha256()) > 0;
}

static bool put_bio(struct buf *out, BIO *bio)
{
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);
    return n > 0 && buf_push(out, slice_of(p, (size_t)n)) == 0;
}

int tls_make_self_signed(const char *cn, struct buf *out_cert_pem, struct buf *out_key_pem)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_secmem());
    bool ok = key && cert && cert_bio && key_bio && fill_cert(cert, key, cn) &&
              PEM_write_bio_X509(cert_bio, cert) &&
              PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) &&
              put_bio(out_cert_pem, cert_bio) && put_bio(out_key_pem, key_bio);
    BIO_free(cert_bio);
    BIO_free(key_bio);
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok ? 0 : err_origin(-ENOMEM);
}
