/* One EVP cipher, one shot each way; a failed tag leaves nothing behind. */
#include "lib/data/seal.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "lib/base/secret.h"

enum { NONCE = 12, TAG = 16 };

void seal_close(const uint8_t key[static SEAL_KEY_SIZE],
                struct slice about,
                struct slice plain,
                struct buf *out)
{
    int n = 0, m = 0;
    if (buf_reserve(out, plain.n + SEAL_EXTRA)) {
        out->full = true;
        return;
    }
    unsigned char *nonce = (unsigned char *)buf_tail(out), *text = nonce + NONCE;
    secret_random(nonce, NONCE);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ok = c && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
              EVP_EncryptUpdate(c, NULL, &n, (const unsigned char *)about.p, (int)about.n) == 1 &&
              EVP_EncryptUpdate(c, text, &n, (const unsigned char *)plain.p, (int)plain.n) == 1 &&
              EVP_EncryptFinal_ex(c, text + n, &m) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, text + plain.n) == 1;
    EVP_CIPHER_CTX_free(c);
    if (!ok) {
        abort(); /* memory only: key and sizes are ours */
    }
    buf_commit(out, plain.n + SEAL_EXTRA);
}

bool seal_open(const uint8_t key[static SEAL_KEY_SIZE],
               struct slice about,
               struct slice sealed,
               struct buf *out)
{
    int n = 0, m = 0;
    unsigned char tag[TAG];
    if (sealed.n < SEAL_EXTRA || buf_reserve(out, sealed.n)) {
        return false;
    }
    size_t size = sealed.n - SEAL_EXTRA;
    const unsigned char *nonce = (const unsigned char *)sealed.p, *text = nonce + NONCE;
    unsigned char *plain = (unsigned char *)buf_tail(out);
    memcpy(tag, text + size, TAG);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ok = c && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
              EVP_DecryptUpdate(c, NULL, &n, (const unsigned char *)about.p, (int)about.n) == 1 &&
              EVP_DecryptUpdate(c, plain, &n, text, (int)size) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1 &&
              EVP_DecryptFinal_ex(c, plain + n, &m) == 1;
    EVP_CIPHER_CTX_free(c);
    if (!ok) {
        secret_wipe(plain, size);
        ERR_clear_error();
        return false;
    }
    buf_commit(out, size);
    return true;
}
