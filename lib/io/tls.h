#pragma once
/*
 * OpenSSL 3, sans-I/O: a struct tls takes ciphertext in and gives ciphertext
 * out and never touches a socket, so that the same object serves a socket, a
 * leg of the tunnel and a unit test. OpenSSL types stay inside tls.c.
 * TLS 1.2 and 1.3 by default; TLS 1.3 only where said.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"

#define TLS_SPKI_SIZE 32 /* SHA-256 of a DER SubjectPublicKeyInfo: how keys are pinned */

struct tls_ctx;
struct tls;

enum tls_min { TLS_MIN_12, TLS_MIN_13 };

enum tls_verify {
    TLS_VERIFY_NONE,    /* the caller checks the peer's key with tls_peer_spki */
    TLS_VERIFY_CA,      /* chain and host name against the CA file, or the system's store */
    TLS_VERIFY_PIN,     /* the peer's SPKI is one of the pins; names and dates do not matter */
    TLS_REQUEST_CLIENT, /* server: ask for a client certificate, accept any key (the caller checks
                           tls_peer_spki) */
};

struct tls_server_opts {
    const char *cert_file; /* PEM chain; or cert_pem */
    const char *key_file;
    struct slice cert_pem;
    struct slice key_pem;
    const char *const *alpn; /* NULL-terminated, in order of preference; NULL: no ALPN */
    bool alpn_required;      /* a client that offers none of these gets no_application_protocol */
    enum tls_min min;
    enum tls_verify verify; /* NONE or REQUEST_CLIENT */
    unsigned tickets; /* session tickets sent after a full handshake; 0: none. Resumed handshakes
                         never get new ones */
    struct slice ticket_key; /* 80 bytes to keep tickets valid over a restart; empty: random */
};

struct tls_client_opts {
    const char *ca_file; /* NULL: the system's store */
    const char *const *alpn;
    enum tls_min min;
    enum tls_verify verify; /* CA, PIN or NONE */
    const uint8_t (*pins)[TLS_SPKI_SIZE];
    size_t pin_count;
    struct slice cert_pem; /* client certificate, optional */
    struct slice key_pem;
};

/* 0 or -errno with a sentence in out_why (what is wrong with which file). */
int tls_server_ctx(const struct tls_server_opts *opts,
                   char *out_why,
                   size_t why_size,
                   struct tls_ctx **out_ctx) MUST_CHECK;
int tls_client_ctx(const struct tls_client_opts *opts,
                   char *out_why,
                   size_t why_size,
                   struct tls_ctx **out_ctx) MUST_CHECK;
struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx);
void tls_ctx_unref(struct tls_ctx *ctx); /* takes NULL; a struct tls holds its own reference */

/*
 * Optional SNI hook of a server context: called with the canonical SNI (empty when none). Returns
 * the context to continue with (borrowed; its certificate is used), or NULL to refuse with
 * unrecognized_name.
 */
typedef struct tls_ctx *(*tls_sni_fn)(void *arg, struct slice sni);
void tls_ctx_on_sni(struct tls_ctx *ctx, tls_sni_fn fn, void *arg);

struct tls *tls_server(struct tls_ctx *ctx);
/* name: SNI, and the name checked with TLS_VERIFY_CA. */
struct tls *tls_client(struct tls_ctx *ctx, const char *name);
void tls_free(struct tls *t); /* takes NULL */

/* Bytes from the peer. 0, -ENOBUFS when more than 256 KiB wait unread, -EPROTO after a fatal alert.
 */
int tls_feed(struct tls *t, struct slice cipher) MUST_CHECK;

enum { TLS_AGAIN = 1, TLS_EOF = 2 };

/*
 * Drives the handshake and appends plaintext to out (at most what fits under out->max).
 * 0: something was read; TLS_AGAIN: nothing (more) now; TLS_EOF: close_notify; -EPROTO: see
 * tls_why().
 */
int tls_read(struct tls *t, struct buf *out) MUST_CHECK;
/* Seals plaintext; 0, TLS_AGAIN before the handshake is done (nothing taken), -EPROTO. Takes all or
 * nothing. */
int tls_write(struct tls *t, struct slice plain) MUST_CHECK;
void tls_close_notify(struct tls *t);         /* the alert shows up in tls_output */
void tls_alert_unrecognized(struct buf *out); /* a bare TLS alert record: fatal unrecognized_name */

/* Ciphertext to send: borrowed until the next call on t; consume what was sent. */
struct slice tls_output(const struct tls *t);
void tls_output_consume(struct tls *t, size_t n);

bool tls_established(const struct tls *t);
const char *tls_why(const struct tls *t); /* last error in words, "" when none */
struct slice tls_alpn(const struct tls *t);
struct slice tls_sni(const struct tls *t);    /* server side */
const char *tls_version(const struct tls *t); /* "TLSv1.3" */
bool tls_peer_spki(const struct tls *t, uint8_t out[TLS_SPKI_SIZE]);
/* Seconds since 1970 between which the peer says its certificate holds. */
bool tls_peer_validity(const struct tls *t, int64_t *out_not_before, int64_t *out_not_after);
bool tls_exporter(struct tls *t, const char *label, uint8_t *out, size_t n);
int tls_peer_verify_error(const struct tls *t); /* 0 or the X509_V_ERR code, for messages */

/*
 * Resumption, as legs use it. Server: data put into tickets before the handshake ends comes back on
 * the resumed connection. Client: the newest ticket is exported as bytes and given to a new
 * connection.
 */
void tls_ticket_data_set(struct tls *t, struct slice data); /* <= 64 bytes */
bool tls_resumed(const struct tls *t);
struct slice
tls_ticket_data(const struct tls *t); /* of the ticket that was resumed; empty otherwise */
struct tls_session;
struct tls_session *
tls_session_take(struct tls *t); /* newest ticket seen, or NULL; may be used many times */
void tls_session_free(struct tls_session *s);
void tls_session_use(struct tls *t, struct tls_session *s); /* client, before the first tls_read */

/* Keys and certificates that are not about names; X.509 parsing for control is in lib/data/crypto.
 */
int tls_make_self_signed(const char *cn,
                         struct buf *out_cert_pem,
                         struct buf *out_key_pem) MUST_CHECK; /* P-256, 30 years */
bool tls_cert_spki(struct slice cert_pem,
                   uint8_t out[TLS_SPKI_SIZE]); /* of the first certificate */
