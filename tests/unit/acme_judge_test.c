/* The judge: what our agent makes is let through, every other shape of acme-dns.md 4.1 and 10 (A2)
 * is refused. */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "acme/acme.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/data/crypto.h"
#include "tests/unit/support/test.h"

#define NAME "laptop.pango-lin.ts.example.net"

struct san {
    int type; /* GEN_DNS, GEN_EMAIL, GEN_URI, GEN_IPADD, GEN_RID for a raw dNSName "" */
    const char *text;
};

struct shape {
    const char *words; /* expected in the refusal; NULL: accepted */
    struct san names[12];
    const char *curve;      /* default P-256 */
    int rsa_bits, ed25519;  /* other keys */
    const char *cn;         /* subject */
    int challenge_password; /* a second attribute */
    int more_extensions;    /* keyUsage beside the SAN */
    int other_extension;    /* keyUsage instead of the SAN */
    int double_value;       /* the attribute holds two extension lists */
    int explicit_curve;
    int wrong_signer;
    long version;
};

static EVP_PKEY *make_key(const struct shape *s)
{
    if (s->rsa_bits) {
        return EVP_RSA_gen((unsigned)s->rsa_bits);
    }
    if (s->ed25519) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    EVP_PKEY *key = EVP_EC_gen(s->curve ? s->curve : "P-256");
    if (s->explicit_curve) {
        assert_int_equal(EVP_PKEY_set_utf8_string_param(key, "encoding", "explicit"), 1);
    }
    return key;
}

static X509_EXTENSION *make_san(const struct shape *s)
{
    GENERAL_NAMES *list = GENERAL_NAMES_new();
    for (size_t i = 0; i < ARRAY_LEN(s->names) && s->names[i].text; i++) {
        const struct san *san = &s->names[i];
        GENERAL_NAME *gn = GENERAL_NAME_new();
        ASN1_STRING *text =
            ASN1_STRING_type_new(san->type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
        ASN1_STRING_set(text, san->text, (int)strlen(san->text));
        GENERAL_NAME_set0_value(gn, san->type, text);
        sk_GENERAL_NAME_push(list, gn);
    }
    X509_EXTENSION *ext = X509V3_EXT_i2d(NID_subject_alt_name, 0, list);
    GENERAL_NAMES_free(list);
    return ext;
}

static X509_EXTENSION *make_usage(void)
{
    return X509V3_EXT_nconf_nid(NULL, NULL, NID_key_usage, "digitalSignature");
}

static void add_extensions(X509_REQ *req, const struct shape *s)
{
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    if (!s->other_extension) {
        sk_X509_EXTENSION_push(exts, make_san(s));
    }
    if (s->more_extensions || s->other_extension) {
        sk_X509_EXTENSION_push(exts, make_usage());
    }
    X509_REQ_add_extensions(req, exts);
    if (s->double_value) {
        X509_ATTRIBUTE *attr = X509_REQ_get_attr(req, 0);
        unsigned char *der = NULL;
        int n = i2d_X509_EXTENSIONS(exts, &der);
        X509_ATTRIBUTE_set1_data(attr, V_ASN1_SEQUENCE, der, n);
        OPENSSL_free(der);
        assert_int_equal(X509_ATTRIBUTE_count(attr), 2);
    }
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
}

static X509_REQ *make_req(const struct shape *s)
{
    EVP_PKEY *key = make_key(s), *signer = s->wrong_signer ? EVP_EC_gen("P-256") : NULL;
    X509_REQ *req = X509_REQ_new();
    X509_REQ_set_version(req, s->version);
    X509_REQ_set_pubkey(req, key);
    if (s->cn) {
        X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_ASC,
                                   (const unsigned char *)s->cn, -1, -1, 0);
    }
    add_extensions(req, s);
    if (s->challenge_password) {
        X509_REQ_add1_attr_by_txt(req, "challengePassword", MBSTRING_ASC,
                                  (const unsigned char *)"secret", -1);
    }
    assert_true(X509_REQ_sign(req, signer ? signer : key, s->ed25519 ? NULL : EVP_sha256()) > 0);
    EVP_PKEY_free(signer);
    EVP_PKEY_free(key);
    return req;
}

static void to_pem(X509_REQ *req, struct buf *out)
{
    char *p = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, req);
    long n = BIO_get_mem_data(bio, &p);
    buf_add(out, slice_of(p, (size_t)n));
    BIO_free(bio);
}

static void make_pem(const struct shape *s, struct buf *out)
{
    X509_REQ *req = make_req(s);
    to_pem(req, out);
    X509_REQ_free(req);
}

static int judge(struct slice pem, struct acme_csr *csr, char why[200])
{
    const struct slice allowed[] = {S(NAME)};
    why[0] = '\0';
    return acme_judge(pem, allowed, 1, csr, why, 200);
}

#define DNS(t)         \
    {                  \
        {              \
            GEN_DNS, t \
        }              \
    }
#define NOT_PLAIN "not a plain lower-case host name"
#define NOT_DNS   "not a DNS name"
#define NOT_YOURS "not those of this node"
#define NOT_KEY   "the key must be"
#define NOT_SHAPE "one attribute with one extension"

static const struct shape shapes[] = {
    /* clang-format off */
    {.names = DNS(NAME)},
    {.names = DNS(NAME), .curve = "P-384"},
    {.names = DNS(NAME), .rsa_bits = 2048},
    {.words = NOT_KEY, .names = DNS(NAME), .rsa_bits = 1024},
    {.words = NOT_KEY, .names = DNS(NAME), .curve = "P-521"},
    {.words = NOT_KEY, .names = DNS(NAME), .curve = "secp256k1"},
    {.words = NOT_KEY, .names = DNS(NAME), .ed25519 = 1},
    {.words = NOT_KEY, .names = DNS(NAME), .explicit_curve = 1},
    {.words = "not signed by its own key", .names = DNS(NAME), .wrong_signer = 1},
    {.words = "version", .names = DNS(NAME), .version = 1},
    {.words = "subject must be empty", .names = DNS(NAME), .cn = NAME},
    {.words = "subject must be empty", .names = DNS(NAME), .cn = "admin.ts.example.net"},
    {.words = NOT_SHAPE, .names = DNS(NAME), .challenge_password = 1},
    {.words = NOT_SHAPE, .names = DNS(NAME), .more_extensions = 1},
    {.words = NOT_SHAPE, .names = DNS(NAME), .other_extension = 1},
    {.words = NOT_SHAPE, .names = DNS(NAME), .double_value = 1},
    {.words = NOT_YOURS, .names = {{0}}},
    {.words = NOT_YOURS, .names = DNS("other.pango-lin.ts.example.net")},
    {.words = NOT_YOURS, .names = {{GEN_DNS, NAME}, {GEN_DNS, "other.pango-lin.ts.example.net"}}},
    {.words = NOT_YOURS, .names = {{GEN_DNS, NAME}, {GEN_DNS, NAME}}},
    /* T1 to T3 */
    {.words = NOT_PLAIN, .names = DNS("%p.%p.%p.ts.example.net")},
    {.words = NOT_PLAIN, .names = DNS("%n")},
    {.words = NOT_PLAIN, .names = DNS("a.zone\"},{\"type\":\"dns\",\"value\":\"admin.zone")},
    {.words = NOT_DNS, .names = {{GEN_EMAIL, "root@" NAME}}},
    {.words = NOT_DNS, .names = {{GEN_URI, "https://" NAME "/"}}},
    {.words = NOT_DNS, .names = {{GEN_IPADD, "\xc6\x33\x64\x07"}}},
    {.words = NOT_DNS, .names = {{GEN_DNS, NAME}, {GEN_EMAIL, "root@" NAME}}},
    {.words = NOT_PLAIN, .names = DNS("Laptop.pango-lin.ts.example.net")},
    {.words = NOT_PLAIN, .names = DNS("*.pango-lin.ts.example.net")},
    {.words = NOT_PLAIN, .names = DNS(NAME ".")},
    {.words = NOT_PLAIN, .names = DNS("_acme-challenge." NAME)},
    {.words = NOT_PLAIN, .names = DNS("-laptop.pango-lin.ts.example.net")},
    {.words = NOT_PLAIN, .names = DNS("a..b")},
    {.words = NOT_PLAIN, .names = DNS("")},
    {.words = NOT_PLAIN, .names = DNS("203.0.113.7")},
    {.words = NOT_PLAIN, .names = DNS("l\xc3\xa4ptop.ts.example.net")},
    {.words = NOT_PLAIN, .names = DNS("laptop.pango-lin.ts.example.net\nx")},
    {.words = NOT_PLAIN, .names = DNS("a.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.net")},
    {.words = "more than 10 names", .names = {{GEN_DNS, "a.b"}, {GEN_DNS, "b.b"}, {GEN_DNS, "c.b"}, {GEN_DNS, "d.b"}, {GEN_DNS, "e.b"}, {GEN_DNS, "f.b"}, {GEN_DNS, "g.b"}, {GEN_DNS, "h.b"}, {GEN_DNS, "i.b"}, {GEN_DNS, "j.b"}, {GEN_DNS, "k.b"}}},
    /* clang-format on */
};

static void every_shape(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        const struct shape *s = &shapes[i];
        struct buf pem = BUF_MAX(16 * KIB);
        struct acme_csr csr = {.name_count = 99};
        char why[200];
        make_pem(s, &pem);
        struct mono before = mono_now();
        int rc = judge(buf_slice(&pem), &csr, why);
        int64_t took = mono_now().ns - before.ns;
        if (rc != (s->words ? ACME_CSR_REFUSED : 0) || (s->words && !strstr(why, s->words))) {
            fail_msg("shape %zu: rc %d \"%s\", expected \"%s\"", i, rc, why,
                     s->words ? s->words : "");
        }
        assert_true(took < MS(50)); /* A2 */
        /* Written only on success. */
        assert_int_equal(csr.name_count, s->words ? 99 : 1);
        buf_deinit(&pem);
    }
}

static void what_the_agent_makes(void **state)
{
    (void)state;
    const struct slice names[] = {S(NAME), S("alias.pango-lin.ts.example.net")};
    const struct slice turned[] = {names[1], names[0]};
    struct buf key = BUF_MAX(4 * KIB), pem = BUF_MAX(4 * KIB);
    struct acme_csr csr;
    uint8_t spki[32];
    char why[200];
    assert_int_equal(crypto_p256_keygen(&key), 0);
    assert_int_equal(crypto_csr_make(buf_slice(&key), names, 2, &pem), 0);
    assert_int_equal(acme_judge(buf_slice(&pem), turned, 2, &csr, why, sizeof why), 0);
    assert_true(crypto_key_spki_sha256(buf_slice(&key), spki));
    assert_memory_equal(csr.spki_sha256, spki, sizeof spki);
    assert_int_equal(csr.name_count, 2);
    assert_string_equal(csr.names[0], NAME);
    assert_int_equal(acme_judge(buf_slice(&pem), turned, 1, &csr, why, sizeof why),
                     ACME_CSR_REFUSED);
    assert_int_equal(acme_judge(buf_slice(&pem), NULL, 0, &csr, why, sizeof why), ACME_CSR_REFUSED);
    /* A name doubled in either list hides nothing. */
    const struct slice doubled[] = {names[0], names[0]};
    assert_int_equal(acme_judge(buf_slice(&pem), doubled, 2, &csr, why, sizeof why),
                     ACME_CSR_REFUSED);
    buf_deinit(&pem);
    buf_deinit(&key);
}

static void refuse_text(struct buf *text, const char *words)
{
    struct acme_csr csr;
    char why[200];
    int rc = judge(buf_slice(text), &csr, why);
    if (rc != ACME_CSR_REFUSED || !strstr(why, words)) {
        fail_msg("rc %d \"%s\", expected \"%s\" for:\n%s", rc, why, words, buf_cstr(text));
    }
    buf_deinit(text);
}

/* The DER of a good request, with more bytes behind it or one changed, as PEM again. */
static void reencode(struct slice good, struct buf *out, size_t more, long flip)
{
    char *name, *header, *p = NULL;
    unsigned char *der, copy[2048] = {0};
    long n;
    BIO *in = BIO_new_mem_buf(good.p, (int)good.n), *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_read_bio(in, &name, &header, &der, &n), 1);
    assert_true(n + (long)more < (long)sizeof copy);
    memcpy(copy, der, (size_t)n);
    if (flip >= 0) {
        copy[flip % n] ^= 1;
    }
    PEM_write_bio(bio, "CERTIFICATE REQUEST", "", copy, n + (long)more);
    long len = BIO_get_mem_data(bio, &p);
    buf_add(out, slice_of(p, (size_t)len));
    BIO_free(bio);
    BIO_free(in);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
}

static void odd_texts(void **state)
{
    (void)state;
    const struct shape good = {.names = DNS(NAME)};
    struct buf pem = BUF_MAX(4 * KIB), t = BUF_MAX(16 * KIB);
    make_pem(&good, &pem);
    struct slice p = buf_slice(&pem), line = slice_sub(p, 36, 65);
    const char *not_one = "not one CSR in PEM";

    refuse_text(&t, not_one);
    buf_adds(&t, "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----");
    refuse_text(&t, not_one);
    buf_adds(&t, "words\n");
    buf_add(&t, p);
    refuse_text(&t, not_one);
    buf_add(&t, p);
    buf_adds(&t, "words\n");
    refuse_text(&t, not_one);
    buf_add(&t, p);
    buf_add(&t, p);
    refuse_text(&t, not_one);
    /* A second block that no reader parses, with the right last line. */
    buf_add(&t, p);
    buf_adds(&t, "-----BEGIN CERTIFICATE REQUEST-----\n!\n-----END CERTIFICATE REQUEST-----\n");
    refuse_text(&t, not_one);
    buf_add(&t, slice_sub(p, 0, 36));
    buf_adds(&t, "Proc-Type: 4,CLEAR\n\n");
    buf_add(&t, slice_skip(p, 36));
    refuse_text(&t, not_one);
    /* A short first line: the same bytes, another text. */
    buf_add(&t, slice_sub(p, 0, 36));
    buf_add(&t, slice_sub(line, 0, 8));
    buf_adds(&t, "\n");
    buf_add(&t, slice_skip(p, 44));
    refuse_text(&t, not_one);
    buf_add(&t, p);
    buf_addc(&t, '\0');
    refuse_text(&t, not_one);
    reencode(p, &t, 1, -1);
    refuse_text(&t, not_one);
    for (size_t i = 0; i < 5 * KIB; i++) {
        buf_addc(&t, '\n');
    }
    buf_add(&t, p);
    refuse_text(&t, "longer than 4 KiB");
    buf_deinit(&pem);
}

/* Whatever octet is changed, the signature or the shape notices. */
static void every_flipped_octet(void **state)
{
    (void)state;
    const struct shape good = {.names = DNS(NAME)};
    struct buf pem = BUF_MAX(4 * KIB), t = BUF_MAX(4 * KIB);
    make_pem(&good, &pem);
    for (long i = 0; i < 320; i++) {
        struct acme_csr csr;
        char why[200];
        reencode(buf_slice(&pem), &t, 0, i);
        assert_int_equal(judge(buf_slice(&t), &csr, why), ACME_CSR_REFUSED);
        assert_true(strlen(why) > 0);
        buf_clear(&t);
    }
    buf_deinit(&t);
    buf_deinit(&pem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape),
        cmocka_unit_test(what_the_agent_makes),
        cmocka_unit_test(odd_texts),
        cmocka_unit_test(every_flipped_octet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
