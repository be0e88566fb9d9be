/*
 * The judge: a CSR is let through only when it has exactly the shape that our
 * own agent makes (acme-dns.md 4.1). uacme trusts what it is given (traps T1
 * to T4), so nothing that was not judged here reaches it.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "acme/acme.h"
#include "lib/base/text.h"

enum { NAMES_MAX = 10 };

struct verdict {
    char *why;
    size_t size;
};

static bool no(const struct verdict *v, const char *why)
{
    text_cut(v->why, v->size, "%s", why);
    return false;
}

/* The whole of der, not a byte more. */
static X509_REQ *decode(const unsigned char *der, long n)
{
    const unsigned char *at = der;
    X509_REQ *req = d2i_X509_REQ(NULL, &at, n);
    if (req && at != der + n) {
        X509_REQ_free(req);
        req = NULL;
    }
    return req;
}

/* Written again in the strict form of RFC 7468 it is the same text: no second block, no headers, no
 * odd lines in which another reader may find what we did not look at. */
static bool same_text(const unsigned char *der, long n, struct slice text)
{
    char *p = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio && PEM_write_bio(bio, PEM_STRING_X509_REQ, "", der, n) > 0;
    long len = ok ? BIO_get_mem_data(bio, &p) : 0;
    ok = len > 0 && slice_eq(slice_trim(slice_of(p, (size_t)len)), text);
    BIO_free(bio);
    return ok;
}

static X509_REQ *read_request(struct slice pem)
{
    struct slice text = slice_trim(pem);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long n = 0;
    X509_REQ *req = NULL;
    BIO *bio = text.n ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
    if (bio && PEM_read_bio(bio, &name, &header, &der, &n) == 1 && same_text(der, n, text)) {
        req = decode(der, n);
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    BIO_free(bio);
    return req;
}

/* A curve spelled out instead of named is another curve to somebody. */
static bool named_curve(const EVP_PKEY *key)
{
    int spelled_out = 1;
    return EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                                  &spelled_out) == 1 &&
           !spelled_out;
}

static bool good_key(const EVP_PKEY *key)
{
    enum { RSA_MIN = 2048, RSA_MAX = 4096 };

    char group[32] = "";
    int bits = EVP_PKEY_get_bits(key);
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
        return bits >= RSA_MIN && bits <= RSA_MAX;
    }
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1 &&
           (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0) &&
           named_curve(key);
}

static bool add_name(const GENERAL_NAME *gn, struct acme_csr *out, const struct verdict *v)
{
    int type;
    const ASN1_STRING *s = GENERAL_NAME_get0_value(gn, &type);
    char name[TEXT_NAME_SIZE];
    if (type != GEN_DNS) {
        return no(v, "the CSR names something that is not a DNS name");
    }
    struct slice raw = slice_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    /* Canonical already: what is compared here is what the CA reads. */
    if (!text_name(raw, TEXT_NAME_HOST, name) || !slice_eq(raw, slice_str(name))) {
        return no(v, "a name in the CSR is not a plain lower-case host name");
    }
    if (out->name_count == NAMES_MAX) {
        return no(v, "the CSR has more than 10 names");
    }
    memcpy(out->names[out->name_count++], name, sizeof name);
    return true;
}

/* The one attribute: PKCS #9 extensionRequest with one value. */
static bool one_attribute(X509_REQ *req)
{
    X509_ATTRIBUTE *attr = X509_REQ_get_attr_count(req) == 1 ? X509_REQ_get_attr(req, 0) : NULL;
    return attr && OBJ_obj2nid(X509_ATTRIBUTE_get0_object(attr)) == NID_ext_req &&
           X509_ATTRIBUTE_count(attr) == 1;
}

/* What we read is all that stands there: names written again give the same bytes. */
static bool same_bytes(const GENERAL_NAMES *names, const ASN1_OCTET_STRING *raw)
{
    unsigned char *der = NULL;
    int n = i2d_GENERAL_NAMES(names, &der);
    bool same =
        n > 0 && slice_eq(slice_of(der, (size_t)n),
                          slice_of(ASN1_STRING_get0_data(raw), (size_t)ASN1_STRING_length(raw)));
    OPENSSL_free(der);
    return same;
}

static GENERAL_NAMES *only_names(STACK_OF(X509_EXTENSION) * exts)
{
    X509_EXTENSION *ext =
        sk_X509_EXTENSION_num(exts) == 1 ? sk_X509_EXTENSION_value(exts, 0) : NULL;
    if (!ext || OBJ_obj2nid(X509_EXTENSION_get_object(ext)) != NID_subject_alt_name) {
        return NULL;
    }
    GENERAL_NAMES *names = X509V3_EXT_d2i(ext);
    if (names && !same_bytes(names, X509_EXTENSION_get_data(ext))) {
        GENERAL_NAMES_free(names);
        names = NULL;
    }
    return names;
}

static bool read_names(X509_REQ *req, struct acme_csr *out, const struct verdict *v)
{
    STACK_OF(X509_EXTENSION) *exts = one_attribute(req) ? X509_REQ_get_extensions(req) : NULL;
    GENERAL_NAMES *names = exts ? only_names(exts) : NULL;
    bool ok = names || no(v, "the CSR must have one attribute with one extension, subjectAltName");
    for (int i = 0; ok && i < sk_GENERAL_NAME_num(names); i++) {
        ok = add_name(sk_GENERAL_NAME_value(names, i), out, v);
    }
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    return ok;
}

static bool holds(const struct acme_csr *csr, struct slice name)
{
    for (size_t i = 0; i < csr->name_count; i++) {
        if (slice_eq(slice_str(csr->names[i]), name)) {
            return true;
        }
    }
    return false;
}

static bool is_allowed(const struct slice *allowed, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq(allowed[i], name)) {
            return true;
        }
    }
    return false;
}

/* Both ways: a name said twice must not hide one that is missing. */
static bool same_set(const struct acme_csr *csr,
                     const struct slice *allowed,
                     size_t count,
                     const struct verdict *v)
{
    bool same = csr->name_count == count && count > 0;
    for (size_t i = 0; same && i < count; i++) {
        same = holds(csr, allowed[i]) && is_allowed(allowed, count, slice_str(csr->names[i]));
    }
    return same || no(v, "the names in the CSR are not those of this node");
}

static bool read_spki(X509_REQ *req, struct acme_csr *out)
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(req), &der);
    bool ok = n > 0 && EVP_Digest(der, (size_t)n, out->spki_sha256, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return ok;
}

static bool judge(X509_REQ *req,
                  const struct slice *allowed,
                  size_t count,
                  struct acme_csr *out,
                  const struct verdict *v)
{
    EVP_PKEY *key = X509_REQ_get0_pubkey(req);
    if (X509_REQ_get_version(req) != X509_REQ_VERSION_1) {
        return no(v, "the CSR is not of version 1");
    }
    if (!key || !good_key(key)) {
        return no(v, "the key must be P-256, P-384 or RSA of 2048 to 4096 bits");
    }
    if (X509_REQ_verify(req, key) != 1) {
        return no(v, "the CSR is not signed by its own key");
    }
    if (X509_NAME_entry_count(X509_REQ_get_subject_name(req)) != 0) {
        return no(v, "the subject must be empty: names stand in subjectAltName");
    }
    return read_names(req, out, v) && same_set(out, allowed, count, v) &&
           (read_spki(req, out) || no(v, "the key cannot be read"));
}

int acme_judge(struct slice csr_pem,
               const struct slice *allowed,
               size_t allowed_count,
               struct acme_csr *out_csr,
               char *out_why,
               size_t why_size)
{
    struct verdict v = {.size = why_size};
    struct acme_csr csr;
    v.why = out_why;
    memset(&csr, 0, sizeof csr);
    if (csr_pem.n > ACME_CSR_MAX) {
        no(&v, "the CSR is longer than 4 KiB");
        return ACME_CSR_REFUSED;
    }
    X509_REQ *req = read_request(csr_pem);
    bool ok =
        req ? judge(req, allowed, allowed_count, &csr, &v) : no(&v, "this is not one CSR in PEM");
    X509_REQ_free(req);
    ERR_clear_error();
    if (!ok) {
        return ACME_CSR_REFUSED;
    }
    *out_csr = csr;
    return 0;
}
