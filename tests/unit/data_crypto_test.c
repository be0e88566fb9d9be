/* Keys and certificates against published vectors and against OpenSSL's own readers. */
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "tests/unit/support/test.h"

static void expect_hex(const uint8_t *bytes, size_t n, const char *hex)
{
    struct buf b = BUF_MAX(256);
    text_hex(&b, slice_of(bytes, n));
    assert_string_equal(buf_cstr(&b), hex);
    buf_deinit(&b);
}

/* FIPS 180-2 B.1, the empty message, RFC 4231 cases 2 and 6. */
static void hashes(void **state)
{
    (void)state;
    uint8_t sum[32], key[131];
    crypto_sha256(S("abc"), sum);
    expect_hex(sum, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_sha256((struct slice){NULL, 0}, sum);
    expect_hex(sum, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    crypto_hmac_sha256(S("Jefe"), S("what do ya want for nothing?"), sum);
    expect_hex(sum, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key); /* longer than a block */
    crypto_hmac_sha256(slice_of(key, sizeof key),
                       S("Test Using Larger Than Block-Size Key - Hash Key First"), sum);
    expect_hex(sum, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* RFC 8032 7.1, tests 1 and 3. */
static void ed25519_vectors(void **state)
{
    (void)state;

    static const struct {
        const char *private_key, *public_key, *msg, *sig;
        size_t msg_len;
    } rows[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
         "d25bf5f0595bbe24655141438e7a100b",
         0},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "\xaf\x82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
         "4a7c15e9716ed28dc027beceea1ec40a",
         2},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t private_key[32], public_key[32], sig[64];
        struct slice msg = slice_of(rows[i].msg, rows[i].msg_len);
        assert_true(text_unhex(slice_str(rows[i].private_key), private_key, 32));
        assert_true(crypto_ed25519_public(private_key, public_key));
        expect_hex(public_key, 32, rows[i].public_key);
        assert_true(crypto_ed25519_sign(private_key, msg, sig));
        expect_hex(sig, 64, rows[i].sig);
        assert_true(crypto_ed25519_verify(public_key, msg, sig));
    }
}

static void ed25519_every_bit_counts(void **state)
{
    (void)state;
    uint8_t a[32], a_pub[32], b[32], b_pub[32], sig[64];
    char msg[] = "node relay key";
    crypto_ed25519_keygen(a, a_pub);
    crypto_ed25519_keygen(b, b_pub);
    assert_memory_not_equal(a, b, 32);
    assert_true(crypto_ed25519_sign(a, slice_str(msg), sig));
    assert_false(crypto_ed25519_verify(b_pub, slice_str(msg), sig));
    assert_false(crypto_ed25519_verify(a_pub, S("node relay ke"), sig));
    for (size_t bit = 0; bit < 8 * sizeof sig; bit++) {
        sig[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(crypto_ed25519_verify(a_pub, slice_str(msg), sig));
        sig[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(crypto_ed25519_verify(a_pub, slice_str(msg), sig));
}

/* ---- P-256, CSR ---- */

static EVP_PKEY *key_of(struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(key);
    return key;
}

static void keys(void **state)
{
    (void)state;
    struct buf a = BUF_MAX(4096), b = BUF_MAX(4096), small = BUF_MAX(20);
    uint8_t sum_a[32], sum_again[32], sum_b[32], want[32];
    assert_int_equal(crypto_p256_keygen(&a), 0);
    assert_int_equal(crypto_p256_keygen(&b), 0);
    assert_true(slice_starts(buf_slice(&a), S("-----BEGIN PRIVATE KEY-----\n")));
    EVP_PKEY *key = key_of(buf_slice(&a));
    char group[32] = "";
    assert_int_equal(EVP_PKEY_get_group_name(key, group, sizeof group, NULL), 1);
    assert_string_equal(group, "prime256v1");
    assert_true(crypto_key_spki_sha256(buf_slice(&a), sum_a));
    assert_true(crypto_key_spki_sha256(buf_slice(&a), sum_again));
    assert_true(crypto_key_spki_sha256(buf_slice(&b), sum_b));
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    assert_true(n > 0);
    crypto_sha256(slice_of(der, (size_t)n), want);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    assert_memory_equal(sum_a, want, 32);
    assert_memory_equal(sum_a, sum_again, 32);
    assert_memory_not_equal(sum_a, sum_b, 32);
    assert_false(crypto_key_spki_sha256(S("-----BEGIN PRIVATE KEY-----\nrubbish\n"), sum_a));
    assert_false(crypto_key_spki_sha256(S(""), sum_a));
    assert_true(crypto_p256_keygen(&small) < 0); /* does not fit: nothing half-written */
    assert_int_equal(buf_slice(&small).n, 0);
    buf_deinit(&a);
    buf_deinit(&b);
    buf_deinit(&small);
}

static void csr(void **state)
{
    (void)state;
    static const struct slice names[] = {{"a.x.example.net", 15}, {"b.x.example.net", 15}};
    struct buf key = BUF_MAX(4096), pem = BUF_MAX(8192);
    assert_int_equal(crypto_p256_keygen(&key), 0);
    assert_int_equal(crypto_csr_make(buf_slice(&key), names, 2, &pem), 0);
    BIO *bio = BIO_new_mem_buf(buf_cstr(&pem), -1);
    X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(req);
    EVP_PKEY *pub = X509_REQ_get0_pubkey(req), *made = key_of(buf_slice(&key));
    assert_int_equal(X509_REQ_verify(req, pub), 1);
    assert_int_equal(EVP_PKEY_eq(pub, made), 1);
    assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(req)), 0);
    assert_int_equal(X509_REQ_get_attr_count(req), 1);
    assert_int_equal(X509_REQ_get_version(req), 0);
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
    assert_int_equal(sk_X509_EXTENSION_num(exts), 1);
    GENERAL_NAMES *sans = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(sans), 2);
    for (int i = 0; i < 2; i++) {
        int type = -1;
        const ASN1_STRING *s = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(sans, i), &type);
        assert_int_equal(type, GEN_DNS);
        assert_slice(slice_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)), names[i].p);
    }
    GENERAL_NAMES_free(sans);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    EVP_PKEY_free(made);
    X509_REQ_free(req);
    buf_clear(&pem);
    assert_true(crypto_csr_make(S("no key"), names, 2, &pem) < 0);
    assert_int_equal(buf_slice(&pem).n, 0);
    buf_deinit(&key);
    buf_deinit(&pem);
}

/* ---- chains ---- */

enum { FROM = 1700000000, UNTIL = 1707776000 };

/* A certificate for key with these names, "issued" by the CN given. */
static void add_cert(struct buf *out, struct slice key_pem, const char *san, const char *issuer)
{
    EVP_PKEY *key = key_of(key_pem);
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), 0xBEEF01);
    ASN1_TIME_set(X509_getm_notBefore(x), FROM);
    ASN1_TIME_set(X509_getm_notAfter(x), UNTIL);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_issuer_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)issuer, -1, -1, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(x, ext, -1), 1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    assert_int_equal(PEM_write_bio_X509(bio, x), 1);
    long n = BIO_get_mem_data(bio, &p);
    buf_add(out, slice_of(p, (size_t)n));
    BIO_free(bio);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void chain(void **state)
{
    (void)state;
    struct buf key = BUF_MAX(4096), pem = BUF_MAX(64 * KIB);
    uint8_t spki[32];
    static struct crypto_cert c;
    size_t count = 0;
    assert_int_equal(crypto_p256_keygen(&key), 0);
    assert_true(crypto_key_spki_sha256(buf_slice(&key), spki));
    add_cert(&pem, buf_slice(&key),
             "DNS:Laptop.Pango-Lin.example.net,IP:10.0.0.1,DNS:b.example.net",
             "Pebble Intermediate");
    add_cert(&pem, buf_slice(&key), "DNS:intermediate.example", "Root");
    assert_true(crypto_chain_read(buf_slice(&pem), &c, &count));
    assert_int_equal(count, 2);
    assert_memory_equal(c.spki_sha256, spki, 32);
    assert_int_equal(c.not_before.s, FROM);
    assert_int_equal(c.not_after.s, UNTIL);
    assert_int_equal(c.name_count, 2);
    assert_string_equal(c.names[0], "laptop.pango-lin.example.net"); /* canonical */
    assert_string_equal(c.names[1], "b.example.net");
    assert_string_equal(c.issuer, "Pebble Intermediate");
    assert_string_equal(c.serial, "BEEF01");
    buf_deinit(&key);
    buf_deinit(&pem);
}

static bool reads(struct buf *pem)
{
    static struct crypto_cert c;
    size_t count = 4711;
    bool ok = crypto_chain_read(buf_slice(pem), &c, &count);
    if (!ok) {
        assert_int_equal(count, 4711); /* untouched */
    }
    return ok;
}

static void bad_chains(void **state)
{
    (void)state;
    struct buf key = BUF_MAX(4096), one = BUF_MAX(64 * KIB), pem = BUF_MAX(128 * KIB);
    assert_int_equal(crypto_p256_keygen(&key), 0);
    add_cert(&one, buf_slice(&key), "DNS:a.example.net", "CA");
    assert_false(reads(&pem)); /* empty */
    buf_adds(&pem, "no certificate in here\n");
    assert_false(reads(&pem));
    buf_clear(&pem);
    buf_add(&pem, slice_sub(buf_slice(&one), 0, buf_slice(&one).n - 60)); /* cut short */
    assert_false(reads(&pem));
    buf_clear(&pem);
    buf_add(&pem, buf_slice(&one));
    buf_adds(&pem, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_false(reads(&pem)); /* a second that does not parse */
    buf_clear(&pem);
    buf_add(&pem, buf_slice(&one));
    buf_add(&pem, buf_slice(&key));
    assert_false(reads(&pem)); /* a private key has no place here */
    buf_clear(&pem);
    for (int i = 0; i < 8; i++) {
        buf_add(&pem, buf_slice(&one));
    }
    assert_true(reads(&pem));
    buf_add(&pem, buf_slice(&one));
    assert_false(reads(&pem)); /* the ninth */
    buf_clear(&pem);
    buf_add(&pem, buf_slice(&one));
    while (buf_slice(&pem).n <= 64 * KIB) {
        buf_adds(&pem, "# padding\n");
    }
    assert_false(reads(&pem));
    buf_deinit(&key);
    buf_deinit(&one);
    buf_deinit(&pem);
}

/* ---- passwords ---- */

static void passwords(void **state)
{
    (void)state;
    struct buf a = BUF_MAX(256), b = BUF_MAX(256), small = BUF_MAX(10);
    assert_int_equal(crypto_password_hash(S("correct horse battery"), &a), 0);
    assert_int_equal(crypto_password_hash(S("correct horse battery"), &b), 0);
    assert_true(slice_starts(buf_slice(&a), S("$argon2id$v=19$m=19456,t=2,p=1$")));
    assert_false(slice_eq(buf_slice(&a), buf_slice(&b))); /* salted */
    assert_true(crypto_password_verify(S("correct horse battery"), buf_slice(&a)));
    assert_false(crypto_password_verify(S("correct horse batterx"), buf_slice(&a)));
    assert_false(crypto_password_verify(S("correct horse batter"), buf_slice(&a)));
    assert_false(crypto_password_verify(S(""), buf_slice(&a)));
    assert_false(crypto_password_verify(S("correct horse battery"), S("")));
    assert_false(crypto_password_verify(S("correct horse battery"), S("$argon2id$v=19$nonsense")));
    assert_true(crypto_password_hash(S("x"), &small) < 0);
    buf_deinit(&a);
    buf_deinit(&b);
    buf_deinit(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes),
        cmocka_unit_test(ed25519_vectors),
        cmocka_unit_test(ed25519_every_bit_counts),
        cmocka_unit_test(keys),
        cmocka_unit_test(csr),
        cmocka_unit_test(chain),
        cmocka_unit_test(bad_chains),
        cmocka_unit_test(passwords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
