/* Our ClientHello reader against OpenSSL's: a name that both read is the same name, so the route
 * and the certificate are never chosen by two different ones. */
#include <stdlib.h>

#include "lib/io/tls.h"
#include "tunnel/clienthello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    bool asked;
    char name[TEXT_NAME_SIZE];
};

static struct tls_ctx *on_sni(void *arg, struct slice sni)
{
    struct seen *s = arg;
    s->asked = slice_copy(sni, s->name, sizeof s->name) && sni.n;
    return NULL; /* refused: the hello is all that matters */
}

static struct tls_ctx *make_ctx(void)
{
    char why[200];
    struct tls_ctx *ctx = NULL;
    struct buf cert = BUF_MAX(8192), key = BUF_MAX(8192);
    struct tls_server_opts o = {.min = TLS_MIN_12, .verify = TLS_VERIFY_NONE};
    if (tls_make_self_signed("fuzz", &cert, &key)) {
        abort();
    }
    o.cert_pem = buf_slice(&cert);
    o.key_pem = buf_slice(&key);
    if (tls_server_ctx(&o, why, sizeof why, &ctx)) {
        abort();
    }
    buf_deinit(&cert);
    buf_deinit(&key);
    return ctx;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tls_ctx *ctx;
    struct seen seen = {.asked = false};
    struct hello h;
    struct buf sink = BUF_MAX(1024);
    ctx = ctx ? ctx : make_ctx();
    tls_ctx_on_sni(ctx, on_sni, &seen);
    struct tls *t = tls_server(ctx);
    if (tls_feed(t, slice_of(data, size)) == 0 && tls_read(t, &sink) == 0) {
        abort(); /* a handshake cannot be done by one side alone */
    }
    if (hello_parse(slice_of(data, size), &h) == HELLO_OK && seen.asked &&
        strcmp(h.name, seen.name) != 0) {
        abort();
    }
    tls_free(t);
    buf_deinit(&sink);
    return 0;
}
