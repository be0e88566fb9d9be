/*
 * TLS as a function of bytes (docs/decisions/0002): two memory BIOs per
 * connection, the input one fed by the caller, the output one handed out as
 * a slice. Nothing here knows a socket.
 */
#include "lib/io/tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/io/tls_priv.h"

enum {
    UNREAD_MAX = 256 * 1024, /* ciphertext that waits for tls_read: sixteen records */
    PLAIN_STEP = 16 * 1024,  /* one record */
    WHY_SIZE = 160,
};

struct tls {
    SSL *ssl;
    struct tls_ctx *ctx;
    BIO *in, *out; /* owned by ssl */
    bool server, established, failed, eof;
    char why[WHY_SIZE];
    struct tls_session *newest;
    uint8_t ticket_set[TLS_TICKET_DATA_MAX], ticket_got[TLS_TICKET_DATA_MAX];
    size_t ticket_set_len, ticket_got_len;
    char sni[256];
};

struct tls_session {
    SSL_SESSION *s;
};

static struct tls *tls_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

/* ---- callbacks ---- */

static int on_new_session(SSL *ssl, SSL_SESSION *s)
{
    struct tls *t = tls_of(ssl);
    if (!t || t->server) {
        return 0;
    }
    tls_session_free(t->newest);
    t->newest = mem_new(sizeof *t->newest);
    t->newest->s = s; /* we keep the reference */
    return 1;
}

static int on_ticket_gen(SSL *ssl, void *arg)
{
    (void)arg;
    struct tls *t = tls_of(ssl);
    if (t && t->ticket_set_len) {
        return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), t->ticket_set,
                                               t->ticket_set_len);
    }
    return 1;
}

static SSL_TICKET_RETURN on_ticket_open(SSL *ssl,
                                        SSL_SESSION *s,
                                        const unsigned char *key_name,
                                        size_t key_name_len,
                                        SSL_TICKET_STATUS status,
                                        void *arg)
{
    (void)key_name;
    (void)key_name_len;
    (void)arg;
    struct tls *t = tls_of(ssl);
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) {
        return SSL_TICKET_RETURN_IGNORE;
    }
    void *data = NULL;
    size_t len = 0;
    /* A visitor's ticket carries nothing of ours: no data, and no pointer to none. */
    if (t && SSL_SESSION_get0_ticket_appdata(s, &data, &len) && len &&
        len <= sizeof t->ticket_got) {
        memcpy(t->ticket_got, data, len);
        t->ticket_got_len = len;
    }
    return SSL_TICKET_RETURN_USE; /* never renewed: a resumed handshake gives no ticket */
}

static int on_alpn(SSL *ssl,
                   const unsigned char **out,
                   unsigned char *out_len,
                   const unsigned char *in,
                   unsigned in_len,
                   void *arg)
{
    (void)ssl;
    const struct tls_ctx *ctx = arg;
    for (const char *const *want = ctx->alpn; *want; want++) {
        size_t n = strlen(*want);
        for (unsigned i = 0; i < in_len && i + 1u + in[i] <= in_len; i += 1u + in[i]) {
            if (in[i] == n && memcmp(in + i + 1, *want, n) == 0) {
                *out = in + i + 1;
                *out_len = in[i];
                return SSL_TLSEXT_ERR_OK;
            }
        }
    }
    return ctx->alpn_required ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

static int on_sni(SSL *ssl, int *alert, void *arg)
{
    struct tls_ctx *ctx = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    struct tls *t = tls_of(ssl);
    char canonical[TEXT_NAME_SIZE] = "";
    if (name && !text_name(slice_str(name), TEXT_NAME_HOST, canonical)) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (t) {
        text_fit(t->sni, sizeof t->sni, "%s", canonical);
    }
    if (!ctx->sni_fn) {
        return SSL_TLSEXT_ERR_OK;
    }
    struct tls_ctx *chosen = ctx->sni_fn(ctx->sni_arg, slice_str(canonical));
    if (!chosen) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (chosen != ctx) {
        SSL_set_SSL_CTX(ssl, chosen->ssl);
    }
    return SSL_TLSEXT_ERR_OK;
}

static int accept_any(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static int check_pin(X509_STORE_CTX *store, void *arg)
{
    const struct tls_ctx *ctx = arg;
    uint8_t got[TLS_SPKI_SIZE];
    if (tls_x509_spki(X509_STORE_CTX_get0_cert(store), got)) {
        for (size_t i = 0; i < ctx->pin_count; i++) {
            if (secret_eq(slice_of(got, sizeof got), slice_of(ctx->pins[i], TLS_SPKI_SIZE))) {
                X509_STORE_CTX_set_error(store, X509_V_OK);
                return 1;
            }
        }
    }
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return 0;
}

void tls_ctx_install(struct tls_ctx *ctx, enum tls_verify verify)
{
    SSL_CTX *c = ctx->ssl;
    switch (verify) {
    case TLS_VERIFY_NONE:
        SSL_CTX_set_verify(c, SSL_VERIFY_NONE, NULL);
        break;
    case TLS_VERIFY_CA:
        SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
        break;
    case TLS_VERIFY_PIN:
        SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(c, check_pin, ctx);
        break;
    case TLS_REQUEST_CLIENT:
        SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(c, accept_any, NULL);
        break;
    }
    if (ctx->server) {
        SSL_CTX_set_tlsext_servername_callback(c, on_sni);
        SSL_CTX_set_tlsext_servername_arg(c, ctx);
        SSL_CTX_set_alpn_select_cb(c, on_alpn, ctx);
        SSL_CTX_set_session_ticket_cb(c, on_ticket_gen, on_ticket_open, NULL);
    } else {
        SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(c, on_new_session);
    }
}

void tls_ctx_on_sni(struct tls_ctx *ctx, tls_sni_fn fn, void *arg)
{
    ctx->sni_fn = fn;
    ctx->sni_arg = arg;
}

/* ---- connections ---- */

static struct tls *tls_new(struct tls_ctx *ctx)
{
    struct tls *t = mem_new(sizeof *t);
    t->ctx = tls_ctx_ref(ctx);
    t->server = ctx->server;
    t->ssl = SSL_new(ctx->ssl);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out) {
        abort(); /* sizes are ours: out of memory */
    }
    BIO_set_mem_eof_return(t->in, -1);
    BIO_set_mem_eof_return(t->out, -1);
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_app_data(t->ssl, t);
    return t;
}

struct tls *tls_server(struct tls_ctx *ctx)
{
    struct tls *t = tls_new(ctx);
    SSL_set_accept_state(t->ssl);
    return t;
}

struct tls *tls_client(struct tls_ctx *ctx, const char *name)
{
    struct tls *t = tls_new(ctx);
    SSL_set_connect_state(t->ssl);
    if (name && *name) {
        SSL_ctrl(t->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, unconst(name));
        SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        SSL_set1_host(t->ssl, name);
    }
    return t;
}

void tls_free(struct tls *t)
{
    if (!t) {
        return;
    }
    SSL_free(t->ssl);
    tls_session_free(t->newest);
    tls_ctx_unref(t->ctx);
    secret_wipe(t, sizeof *t);
    mem_free(t);
}

static int fail(struct tls *t)
{
    unsigned long code = ERR_peek_error();
    long verify = SSL_get_verify_result(t->ssl);
    t->failed = true;
    if (verify != X509_V_OK) {
        text_cut(t->why, sizeof t->why, "certificate: %s", X509_verify_cert_error_string(verify));
    } else {
        const char *reason = ERR_reason_error_string(code);
        text_cut(t->why, sizeof t->why, "%s", reason ? reason : "the peer broke the protocol");
    }
    ERR_clear_error();
    return err_origin(-EPROTO);
}

int tls_feed(struct tls *t, struct slice cipher)
{
    if (t->failed) {
        return -EPROTO;
    }
    if (BIO_pending(t->in) + (int64_t)cipher.n > UNREAD_MAX) {
        return -ENOBUFS;
    }
    if (cipher.n && BIO_write(t->in, cipher.p, (int)cipher.n) != (int)cipher.n) {
        return err_origin(-ENOMEM);
    }
    return 0;
}

/* 0 done, TLS_AGAIN, -EPROTO */
static int handshake(struct tls *t)
{
    if (t->established) {
        return 0;
    }
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    if (rc == 1) {
        t->established = true;
        return 0;
    }
    int e = SSL_get_error(t->ssl, rc);
    return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? TLS_AGAIN : fail(t);
}

int tls_read(struct tls *t, struct buf *out)
{
    if (t->failed) {
        return -EPROTO;
    }
    int rc = handshake(t);
    if (rc) {
        return rc;
    }
    bool some = false;
    while (!t->eof) {
        size_t left = out->max - out->len, got = 0;
        size_t want = left < PLAIN_STEP ? left : PLAIN_STEP;
        if (!want || buf_reserve(out, want)) {
            break;
        }
        ERR_clear_error();
        rc = SSL_read_ex(t->ssl, buf_tail(out), want, &got);
        if (rc == 1) {
            buf_commit(out, got);
            some = true;
            continue;
        }
        int e = SSL_get_error(t->ssl, rc);
        if (e == SSL_ERROR_ZERO_RETURN) {
            t->eof = true;
        } else if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) {
            return fail(t);
        } else {
            break;
        }
    }
    if (some) {
        return 0;
    }
    return t->eof ? TLS_EOF : TLS_AGAIN;
}

int tls_write(struct tls *t, struct slice plain)
{
    if (t->failed) {
        return -EPROTO;
    }
    int rc = handshake(t);
    if (rc || !plain.n) {
        return rc;
    }
    size_t put = 0;
    ERR_clear_error();
    /* A memory BIO takes everything, so a write is whole or it is broken. */
    if (SSL_write_ex(t->ssl, plain.p, plain.n, &put) != 1 || put != plain.n) {
        return fail(t);
    }
    return 0;
}

void tls_close_notify(struct tls *t)
{
    if (t->established && !t->failed) {
        ERR_clear_error();
        err_ignore(SSL_shutdown(t->ssl));
    }
}

void tls_alert_unrecognized(struct buf *out)
{
    /* RFC 8446 section 6: record type 21, legacy version 3.3, fatal(2), unrecognized_name(112). */
    static const char alert[] = {21, 3, 3, 0, 2, 2, 112};
    buf_add(out, slice_of(alert, sizeof alert));
}

struct slice tls_output(const struct tls *t)
{
    char *p = NULL;
    long n = BIO_get_mem_data(t->out, &p);
    return slice_of(p, n > 0 ? (size_t)n : 0);
}

void tls_output_consume(struct tls *t, size_t n)
{
    /* Reading a memory BIO away needs a place to put the bytes. */
    char sink[4096];
    while (n) {
        int got = BIO_read(t->out, sink, n < sizeof sink ? (int)n : (int)sizeof sink);
        if (got <= 0) {
            break;
        }
        n -= (size_t)got;
    }
}

/* ---- what a connection can tell ---- */

bool tls_established(const struct tls *t)
{
    return t->established && !t->failed;
}

const char *tls_why(const struct tls *t)
{
    return t->why;
}

struct slice tls_alpn(const struct tls *t)
{
    const unsigned char *p = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(t->ssl, &p, &n);
    return slice_of(p, n);
}

struct slice tls_sni(const struct tls *t)
{
    return slice_str(t->sni);
}

const char *tls_version(const struct tls *t)
{
    return SSL_get_version(t->ssl);
}

bool tls_peer_spki(const struct tls *t, uint8_t out[TLS_SPKI_SIZE])
{
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    return cert && tls_x509_spki(cert, out);
}

bool tls_exporter(struct tls *t, const char *label, uint8_t *out, size_t n)
{
    return SSL_export_keying_material(t->ssl, out, n, label, strlen(label), NULL, 0, 0) == 1;
}

int tls_peer_verify_error(const struct tls *t)
{
    return (int)SSL_get_verify_result(t->ssl);
}

/* ---- resumption ---- */

void tls_ticket_data_set(struct tls *t, struct slice data)
{
    size_t n = data.n < sizeof t->ticket_set ? data.n : sizeof t->ticket_set;
    memcpy(t->ticket_set, data.p, n);
    t->ticket_set_len = n;
}

bool tls_resumed(const struct tls *t)
{
    return SSL_session_reused(t->ssl) == 1;
}

struct slice tls_ticket_data(const struct tls *t)
{
    return tls_resumed(t) ? slice_of(t->ticket_got, t->ticket_got_len) : S("");
}

struct tls_session *tls_session_take(struct tls *t)
{
    return STEAL(t->newest);
}

void tls_session_free(struct tls_session *s)
{
    if (s) {
        SSL_SESSION_free(s->s);
        mem_free(s);
    }
}

void tls_session_use(struct tls *t, struct tls_session *s)
{
    /* TLS 1.3 marks a session as used; a copy leaves the original good for many legs. */
    SSL_SESSION *copy = SSL_SESSION_dup(s->s);
    if (copy) {
        err_ignore(SSL_set_session(t->ssl, copy));
        SSL_SESSION_free(copy);
    }
}

static bool asn1_seconds(const ASN1_TIME *t, int64_t *out)
{
    struct tm tm;
    bool ok = t && ASN1_TIME_to_tm(t, &tm) == 1;
    *out = ok ? (int64_t)timegm(&tm) : 0;
    return ok;
}

bool tls_peer_validity(const struct tls *t, int64_t *out_not_before, int64_t *out_not_after)
{
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    return cert && asn1_seconds(X509_get0_notBefore(cert), out_not_before) &&
           asn1_seconds(X509_get0_notAfter(cert), out_not_after);
}
