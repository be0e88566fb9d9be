#pragma once
/* EVP and X.509 for control and the agent: hashes, Ed25519, P-256 keys, CSRs, certificate chains,
 * passwords. */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"

#define CRYPTO_SHA256_SIZE 32
void crypto_sha256(struct slice in, uint8_t out[CRYPTO_SHA256_SIZE]);
void crypto_hmac_sha256(struct slice key, struct slice in, uint8_t out[CRYPTO_SHA256_SIZE]);

/* For one-time codes only (RFC 6238 as the apps implement it). */
#define CRYPTO_SHA1_SIZE 20
void crypto_hmac_sha1(struct slice key, struct slice in, uint8_t out[CRYPTO_SHA1_SIZE]);

#define CRYPTO_ED25519_KEY_SIZE 32
#define CRYPTO_ED25519_SIG_SIZE 64
void crypto_ed25519_keygen(uint8_t out_private[32], uint8_t out_public[32]);
bool crypto_ed25519_public(const uint8_t private_key[32], uint8_t out_public[32]);
bool crypto_ed25519_sign(const uint8_t private_key[32], struct slice msg, uint8_t out_sig[64]);
bool crypto_ed25519_verify(const uint8_t public_key[32], struct slice msg, const uint8_t sig[64]);

/* P-256; PKCS#8 PEM. */
int crypto_p256_keygen(struct buf *out_key_pem) MUST_CHECK;
bool crypto_key_spki_sha256(struct slice key_pem, uint8_t out[32]);
/* Empty subject, one attribute extensionRequest with one SAN extension of dNSNames: the shape
 * acme-dns.md 4.1 asks. */
int crypto_csr_make(struct slice key_pem,
                    const struct slice *names,
                    size_t count,
                    struct buf *out_csr_pem) MUST_CHECK;

#define CRYPTO_NAMES_MAX 10

struct crypto_cert {
    uint8_t spki_sha256[32];
    struct wall not_before, not_after;
    char names[CRYPTO_NAMES_MAX][254]; /* dNSNames of the SAN */
    size_t name_count;
    char issuer[128]; /* CN of the issuer, printable */
    char serial[64];  /* hex */
};

/* The first certificate of a PEM chain of at most 8; every further one must parse too, and no other
 * kind of block may stand among them. */
bool crypto_chain_read(struct slice chain_pem, struct crypto_cert *out_cert, size_t *out_count);

/* Argon2id, 19 MiB, t=2, p=1 (console-api.md section 5); slow on purpose: run in the pool. */
int crypto_password_hash(struct slice password, struct buf *out_encoded) MUST_CHECK;
bool crypto_password_verify(struct slice password, struct slice encoded);
