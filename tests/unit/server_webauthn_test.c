/*
 * A small authenticator of our own (P-256 and Ed25519 keys, CBOR written by hand from WebAuthn
 * section 6.5) against the judge: what it makes is taken, every single change is refused. The
 * browser's own authenticator is met in tests/browser.
 */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "server/webauthn.h"
#include "tests/unit/support/test.h"

#define ORIGIN "https://control.example.net"
#define RP_ID  "control.example.net"

static uint8_t challenge[WEBAUTHN_CHALLENGE_SIZE] = {9, 8, 7};
static const struct webauthn_site site = {
    .rp_id = RP_ID, .origin = ORIGIN, .challenge = {(const char *)challenge, sizeof challenge}};

struct authenticator {
    EVP_PKEY *key;
    bool ed25519;
    uint8_t id[16];
    uint32_t count;
    uint8_t flags;
    const char *rp_id;
};

static void make(struct authenticator *a, bool ed25519)
{
    *a = (struct authenticator){.ed25519 = ed25519, .count = 1, .flags = 5, .rp_id = RP_ID};
    secret_random(a->id, sizeof a->id);
    a->key = ed25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                     : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    assert_non_null(a->key);
}

static void client_data(struct buf *out, const char *type, const char *origin, const char *more)
{
    buf_addf(out, "{\"type\":\"%s\",\"challenge\":\"", type);
    text_b64url(out, site.challenge);
    buf_addf(out, "\",\"origin\":\"%s\"%s}", origin, more);
}

static void bytes(struct buf *out, const void *p, size_t n)
{
    buf_add(out, slice_of(p, n));
}

/* COSE_Key: {1: kty, 3: alg, -1: crv, -2: x, -3: y} */
static void cose_key(const struct authenticator *a, struct buf *out)
{
    uint8_t raw[80];
    size_t n = sizeof raw;
    if (a->ed25519) {
        assert_int_equal(EVP_PKEY_get_raw_public_key(a->key, raw, &n), 1);
        bytes(out, "\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20", 10);
        bytes(out, raw, 32);
        return;
    }
    assert_int_equal(EVP_PKEY_get_octet_string_param(a->key, "pub", raw, sizeof raw, &n), 1);
    assert_int_equal(n, 65);
    bytes(out, "\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20", 10);
    bytes(out, raw + 1, 32);
    bytes(out, "\x22\x58\x20", 3);
    bytes(out, raw + 33, 32);
}

static void auth_data(const struct authenticator *a, bool with_key, struct buf *out)
{
    uint8_t hash[32];
    crypto_sha256(slice_str(a->rp_id), hash);
    bytes(out, hash, sizeof hash);
    buf_addc(out, (char)(a->flags | (with_key ? 0x40 : 0)));
    for (int shift = 24; shift >= 0; shift -= 8) {
        buf_addc(out, (char)(a->count >> shift));
    }
    if (with_key) {
        static const uint8_t aaguid[16];
        bytes(out, aaguid, sizeof aaguid);
        bytes(out, "\0\x10", 2);
        bytes(out, a->id, sizeof a->id);
        cose_key(a, out);
    }
}

/* {"fmt": "none", "attStmt": {}, "authData": h'…'} */
static void attestation(const struct authenticator *a, struct buf *out)
{
    struct buf data = BUF_MAX(1024);
    auth_data(a, true, &data);
    buf_adds(out, "\xa3\x63"
                  "fmt\x64none\x67"
                  "attStmt\xa0\x68"
                  "authData\x59");
    buf_addc(out, (char)(data.len >> 8));
    buf_addc(out, (char)data.len);
    buf_add(out, buf_slice(&data));
    buf_deinit(&data);
}

static void
sign(const struct authenticator *a, struct slice data, struct slice client, struct buf *out)
{
    uint8_t hash[32], sig[128];
    size_t n = sizeof sig;
    struct buf message = BUF_MAX(4096);
    crypto_sha256(client, hash);
    buf_add(&message, data);
    bytes(&message, hash, sizeof hash);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(c, NULL, a->ed25519 ? NULL : EVP_sha256(), NULL, a->key),
                     1);
    assert_int_equal(
        EVP_DigestSign(c, sig, &n, (const uint8_t *)buf_slice(&message).p, message.len), 1);
    EVP_MD_CTX_free(c);
    bytes(out, sig, n);
    buf_deinit(&message);
}

static int enrol(const struct authenticator *a,
                 const char *type,
                 const char *origin,
                 const char *more,
                 struct webauthn_credential *out)
{
    const char *why = NULL;
    struct buf client = BUF_MAX(4096), object = BUF_MAX(4096);
    client_data(&client, type, origin, more);
    attestation(a, &object);
    int rc = webauthn_register(&site, buf_slice(&client), buf_slice(&object), out, &why);
    assert_true(rc == 0 || (rc == WEBAUTHN_REFUSED && why && *why));
    buf_deinit(&client);
    buf_deinit(&object);
    return rc;
}

static int sign_in(const struct authenticator *a,
                   const struct webauthn_credential *c,
                   const char *origin,
                   size_t spoil,
                   uint32_t *out_count)
{
    const char *why = NULL;
    struct buf client = BUF_MAX(4096), data = BUF_MAX(4096), sig = BUF_MAX(256);
    client_data(&client, "webauthn.get", origin, ",\"crossOrigin\":false");
    auth_data(a, false, &data);
    sign(a, buf_slice(&data), buf_slice(&client), &sig);
    if (spoil) {
        buf_tail(&sig)[-(ptrdiff_t)spoil] ^= 1;
    }
    struct webauthn_answer answer = {buf_slice(&client), buf_slice(&data), buf_slice(&sig)};
    int rc = webauthn_verify(&site, c, &answer, out_count, &why);
    assert_true(rc == 0 || (rc == WEBAUTHN_REFUSED && why && *why));
    buf_deinit(&client);
    buf_deinit(&data);
    buf_deinit(&sig);
    return rc;
}

static void a_passkey_is_made_and_used(void **state)
{
    (void)state;
    for (int ed = 0; ed < 2; ed++) {
        struct authenticator a;
        struct webauthn_credential c;
        uint32_t count = 0;
        make(&a, ed);
        assert_int_equal(enrol(&a, "webauthn.create", ORIGIN, "", &c), 0);
        assert_int_equal(c.algorithm, ed ? WEBAUTHN_EDDSA : WEBAUTHN_ES256);
        assert_memory_equal(c.id, a.id, sizeof a.id);
        a.count = 7;
        assert_int_equal(sign_in(&a, &c, ORIGIN, 0, &count), 0);
        assert_int_equal(count, 7);
        assert_int_equal(sign_in(&a, &c, ORIGIN, 3, &count), WEBAUTHN_REFUSED);
        c.sign_count = 7;
        assert_int_equal(sign_in(&a, &c, ORIGIN, 0, &count), WEBAUTHN_REFUSED);
        a.count = c.sign_count = 0; /* an authenticator that does not count */
        assert_int_equal(sign_in(&a, &c, ORIGIN, 0, &count), 0);
        EVP_PKEY_free(a.key);
    }
}

static void another_key_does_not_sign_in(void **state)
{
    (void)state;
    struct authenticator a, b;
    struct webauthn_credential c;
    uint32_t count = 0;
    make(&a, false);
    make(&b, false);
    assert_int_equal(enrol(&a, "webauthn.create", ORIGIN, "", &c), 0);
    b.count = 9;
    assert_int_equal(sign_in(&b, &c, ORIGIN, 0, &count), WEBAUTHN_REFUSED);
    EVP_PKEY_free(a.key);
    EVP_PKEY_free(b.key);
}

static void what_is_not_for_us_is_refused(void **state)
{
    (void)state;
    struct authenticator a;
    struct webauthn_credential c;
    uint32_t count = 0;
    make(&a, false);
    assert_int_equal(enrol(&a, "webauthn.get", ORIGIN, "", &c), WEBAUTHN_REFUSED);
    assert_int_equal(enrol(&a, "webauthn.create", "https://evil.example", "", &c),
                     WEBAUTHN_REFUSED);
    assert_int_equal(enrol(&a, "webauthn.create", ORIGIN, ",\"crossOrigin\":true", &c),
                     WEBAUTHN_REFUSED);
    a.flags = 1; /* present, not verified */
    assert_int_equal(enrol(&a, "webauthn.create", ORIGIN, "", &c), WEBAUTHN_REFUSED);
    a.flags = 4;
    assert_int_equal(enrol(&a, "webauthn.create", ORIGIN, "", &c), WEBAUTHN_REFUSED);
    a.flags = 5;
    a.rp_id = "evil.example";
    assert_int_equal(enrol(&a, "webauthn.create", ORIGIN, "", &c), WEBAUTHN_REFUSED);
    a.rp_id = RP_ID;
    assert_int_equal(enrol(&a, "webauthn.create", ORIGIN, "", &c), 0);
    a.count = 5;
    assert_int_equal(sign_in(&a, &c, "https://evil.example", 0, &count), WEBAUTHN_REFUSED);
    a.flags = 1;
    assert_int_equal(sign_in(&a, &c, ORIGIN, 0, &count), WEBAUTHN_REFUSED);
    challenge[0] ^= 1;
    struct webauthn_site old = site;
    uint8_t sent[WEBAUTHN_CHALLENGE_SIZE] = {1};
    old.challenge = slice_of(sent, sizeof sent);
    const char *why = NULL;
    struct buf client = BUF_MAX(4096), object = BUF_MAX(4096);
    client_data(&client, "webauthn.create", ORIGIN, "");
    attestation(&a, &object);
    assert_int_equal(webauthn_register(&old, buf_slice(&client), buf_slice(&object), &c, &why),
                     WEBAUTHN_REFUSED);
    buf_deinit(&client);
    buf_deinit(&object);
    EVP_PKEY_free(a.key);
}

static void every_cut_of_an_attestation_is_refused(void **state)
{
    (void)state;
    struct authenticator a;
    struct webauthn_credential c;
    const char *why = NULL;
    make(&a, false);
    struct buf client = BUF_MAX(4096), object = BUF_MAX(4096);
    client_data(&client, "webauthn.create", ORIGIN, "");
    attestation(&a, &object);
    struct slice whole = buf_slice(&object);
    for (size_t n = 0; n < whole.n; n++) {
        char *copy = malloc(n + 1); /* its own block, so that a read past the end is seen */
        assert_non_null(copy);
        memcpy(copy, whole.p, n);
        assert_int_equal(webauthn_register(&site, buf_slice(&client), slice_of(copy, n), &c, &why),
                         WEBAUTHN_REFUSED);
        free(copy);
    }
    assert_int_equal(webauthn_register(&site, buf_slice(&client), whole, &c, &why), 0);
    buf_deinit(&client);
    buf_deinit(&object);
    EVP_PKEY_free(a.key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_passkey_is_made_and_used),
        cmocka_unit_test(another_key_does_not_sign_in),
        cmocka_unit_test(what_is_not_for_us_is_refused),
        cmocka_unit_test(every_cut_of_an_attestation_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
