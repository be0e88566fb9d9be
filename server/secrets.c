/* The pepper and the token-signing key: made once, 0600 in the state directory. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "server/app.h"

enum { KEY_ID = 1 };

static int open_one(const char *dir, const char *file, uint8_t out[32])
{
    char path[512];
    struct buf b = BUF_MAX(32);
    text_fit(path, sizeof path, "%s/%s", dir, file);
    int rc = file_read(path, &b);
    if (rc == FILE_MISSING) {
        secret_random(out, 32);
        rc = file_replace(path, 0600, slice_of(out, 32));
    } else if (rc == 0 && b.len == 32) {
        memcpy(out, buf_slice(&b).p, 32);
    } else {
        rc = rc < 0 ? rc : -EINVAL; /* never overwritten: what was hashed with it would be lost */
    }
    secret_wipe_buf(&b);
    return rc;
}

int secrets_open(struct secrets *s, const char *dir, char *out_why, size_t why_size)
{
    uint8_t pub[32];
    int rc = open_one(dir, "pepper", s->pepper);
    rc = rc ? rc : open_one(dir, "token.key", s->sign_private);
    if (rc < 0) {
        text_cut(out_why, why_size, "cannot use the secrets in %s: %s", dir, err_words(rc));
        return err_trace(rc);
    }
    if (!crypto_ed25519_public(s->sign_private, pub)) {
        text_cut(out_why, why_size, "%s/token.key is not a key", dir);
        return err_origin(-EINVAL);
    }
    memcpy(s->sign_public, pub, sizeof pub);
    crypto_hmac_sha256(slice_of(s->pepper, sizeof s->pepper), S("seal/1"), s->seal);
    return 0;
}

void secrets_hash(const struct secrets *s, struct slice secret, uint8_t out[STORE_HASH_SIZE])
{
    crypto_hmac_sha256(slice_of(s->pepper, sizeof s->pepper), secret, out);
}

void secrets_make(const char *prefix, char out[SECRET_SIZE])
{
    int n = snprintf(out, SECRET_SIZE - SECRET_CHARS, "%s", prefix);
    secret_id(out + n, SECRET_CHARS);
}

void secrets_sign_token(const struct secrets *s, const struct token *wanted, struct buf *out)
{
    struct token t = *wanted;
    struct buf payload = BUF_MAX(1024);
    uint8_t signature[64];
    t.key_id = KEY_ID;
    token_payload(&payload, &t);
    if (crypto_ed25519_sign(s->sign_private, buf_slice(&payload), signature)) {
        token_join(out, buf_slice(&payload), signature);
    }
    buf_deinit(&payload);
}
