/* Any extension list, in a request that is signed and well-formed around it: what lies behind the
 * signature check. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "acme/acme.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct slice allowed[] = {{"laptop.pango-lin.ts.example.net", 31}, {"a.b", 3}};
    static EVP_PKEY *key;
    char *pem = NULL, why[200] = "";
    struct acme_csr csr;
    key = key ? key : EVP_EC_gen("P-256");
    X509_REQ *req = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    if (X509_REQ_set_pubkey(req, key) == 1 && size <= 3 * KIB &&
        X509_REQ_add1_attr_by_NID(req, NID_ext_req, V_ASN1_SEQUENCE, data, (int)size) == 1 &&
        X509_REQ_sign(req, key, EVP_sha256()) > 0 && PEM_write_bio_X509_REQ(bio, req) == 1) {
        long n = BIO_get_mem_data(bio, &pem);
        int rc = acme_judge(slice_of(pem, (size_t)n), allowed, 2, &csr, why, sizeof why);
        if (rc ? rc != ACME_CSR_REFUSED || !why[0]
               : csr.name_count != 2 ||
                     slice_eq(slice_str(csr.names[0]), slice_str(csr.names[1]))) {
            abort();
        }
    }
    BIO_free(bio);
    X509_REQ_free(req);
    ERR_clear_error();
    return 0;
}
