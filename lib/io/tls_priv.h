#pragma once
/* Shared by tls.c (connections) and tls_ctx.c (contexts, keys, certificates). */
#include <openssl/ssl.h>

#include "lib/base/text.h"
#include "lib/io/tls.h"

#define TLS_TICKET_DATA_MAX 64
#define TLS_PINS_MAX        8
#define TLS_ALPN_MAX        8

struct tls_ctx {
    SSL_CTX *ssl;
    int refs; /* atomic */
    bool server;
    const char *alpn[TLS_ALPN_MAX + 1]; /* owned copies */
    bool alpn_required;
    uint8_t pins[TLS_PINS_MAX][TLS_SPKI_SIZE];
    size_t pin_count;
    tls_sni_fn sni_fn;
    void *sni_arg;
};

void tls_ctx_install(struct tls_ctx *ctx, enum tls_verify verify);
bool tls_x509_spki(const X509 *cert, uint8_t out[TLS_SPKI_SIZE]);
