/* clientDataJSON is read by our JSON layer, the attestation object's envelope by libcbor, what the
 * authenticator signed by libfido2. */
#include "server/webauthn.h"

#include <cbor.h>
#include <fido.h>
#include <fido/eddsa.h>
#include <fido/es256.h>
#include <fido/rs256.h>

#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "lib/data/json.h"

enum {
    CLIENT_DATA_MAX = 4096, /* browsers send some 200 bytes */
    ATTESTATION_MAX = 8192, /* authData of an RSA key and no statement: below 2 KiB */
    AUTH_DATA_MIN = 37,     /* section 6.1: hash, flags, counter */
    COUNT_AT = 33,
};

static int refuse(const char **out_why, const char *why)
{
    *out_why = why;
    return WEBAUTHN_REFUSED;
}

/* ---- clientDataJSON, section 5.8.1 ---- */

static bool challenge_is(const struct js *j, struct slice challenge)
{
    struct buf sent = BUF_MAX(WEBAUTHN_CHALLENGE_SIZE);
    bool same = text_unb64url(js_get_str(j, "challenge"), &sent) &&
                challenge.n == WEBAUTHN_CHALLENGE_SIZE && secret_eq(buf_slice(&sent), challenge);
    buf_deinit(&sent);
    return same;
}

static const char *
client_data_fault(const struct webauthn_site *site, struct slice text, const char *type)
{
    char why[160];
    AUTO(js_freep) struct js *j = js_parse(text, CLIENT_DATA_MAX, why, sizeof why);
    if (!j || js_kind(j) != JS_OBJECT) {
        return "clientDataJSON is not a JSON object";
    }
    if (!slice_eq(js_get_str(j, "type"), slice_str(type))) {
        return "clientDataJSON is of another type";
    }
    if (!challenge_is(j, site->challenge)) {
        return "the challenge is not the one that was sent";
    }
    if (!slice_eq(js_get_str(j, "origin"), slice_str(site->origin))) {
        return "the origin is not ours";
    }
    return js_get_bool(j, "crossOrigin", false) ? "the page was framed by another origin" : NULL;
}

/* ---- the attestation object, section 6.5.4: a map with fmt, attStmt, authData ---- */

static cbor_item_t *member(const cbor_item_t *map, const char *name)
{
    for (size_t i = 0; i < cbor_map_size(map); i++) {
        const struct cbor_pair *p = &cbor_map_handle(map)[i];
        if (cbor_isa_string(p->key) && cbor_string_is_definite(p->key) &&
            slice_eq(slice_of(cbor_string_handle(p->key), cbor_string_length(p->key)),
                     slice_str(name))) {
            return p->value;
        }
    }
    return NULL;
}

/* The bytes that the authenticator signed over: borrowed from the item. */
static bool auth_data_of(const cbor_item_t *map, struct slice *out)
{
    cbor_item_t *data = map && cbor_isa_map(map) ? member(map, "authData") : NULL;
    if (!data || !cbor_isa_bytestring(data) || !cbor_bytestring_is_definite(data)) {
        return false;
    }
    *out = slice_of(cbor_bytestring_handle(data), cbor_bytestring_length(data));
    return out->n >= AUTH_DATA_MIN;
}

static bool take_credential(const fido_cred_t *cred, struct webauthn_credential *out)
{
    size_t id_len = fido_cred_id_len(cred), key_len = fido_cred_pubkey_len(cred);
    int type = fido_cred_type(cred);
    if (!id_len || id_len > sizeof out->id || !key_len || key_len > sizeof out->key ||
        (type != WEBAUTHN_ES256 && type != WEBAUTHN_EDDSA && type != WEBAUTHN_RS256)) {
        return false;
    }
    memcpy(out->id, fido_cred_id_ptr(cred), id_len);
    memcpy(out->key, fido_cred_pubkey_ptr(cred), key_len);
    out->id_len = id_len;
    out->key_len = key_len;
    out->algorithm = type == WEBAUTHN_ES256   ? WEBAUTHN_ES256
                     : type == WEBAUTHN_EDDSA ? WEBAUTHN_EDDSA
                                              : WEBAUTHN_RS256;
    out->sign_count = fido_cred_sigcount(cred);
    return true;
}

/* libfido2 checks that the key is of the type it was told, so each is tried. */
static bool
read_auth_data(struct slice data, const char *rp_id, struct webauthn_credential *out_credential)
{
    static const int types[] = {COSE_ES256, COSE_EDDSA, COSE_RS256};
    bool ok = false;
    for (size_t i = 0; i < ARRAY_LEN(types) && !ok; i++) {
        fido_cred_t *cred = fido_cred_new();
        ok = cred && fido_cred_set_type(cred, types[i]) == FIDO_OK &&
             fido_cred_set_rp(cred, rp_id, NULL) == FIDO_OK &&
             fido_cred_set_authdata_raw(cred, (const unsigned char *)data.p, data.n) == FIDO_OK &&
             take_credential(cred, out_credential);
        fido_cred_free(&cred);
    }
    return ok;
}

/* Section 6.1: the hash of our name, presence and verification. */
static const char *auth_data_fault(struct slice data, const char *rp_id)
{
    enum { PRESENT = 1, VERIFIED = 4 };

    uint8_t hash[CRYPTO_SHA256_SIZE];
    crypto_sha256(slice_str(rp_id), hash);
    if (data.n < AUTH_DATA_MIN || memcmp(data.p, hash, sizeof hash) != 0) {
        return "the passkey is for another site";
    }
    uint8_t flags = (uint8_t)data.p[sizeof hash];
    if (!(flags & PRESENT)) {
        return "nobody was present";
    }
    return flags & VERIFIED ? NULL : "the person was not verified";
}

int webauthn_register(const struct webauthn_site *site,
                      struct slice client_data,
                      struct slice attestation,
                      struct webauthn_credential *out_credential,
                      const char **out_why)
{
    const char *why = client_data_fault(site, client_data, "webauthn.create");
    if (why) {
        return refuse(out_why, why);
    }
    if (!attestation.n || attestation.n > ATTESTATION_MAX) {
        return refuse(out_why, "the attestation object is empty or too long");
    }
    struct cbor_load_result result;
    struct slice data = S("");
    cbor_item_t *map = cbor_load((cbor_data)attestation.p, attestation.n, &result);
    struct webauthn_credential found = {.id_len = 0};
    if (!map || result.read != attestation.n || !auth_data_of(map, &data)) {
        why = "the attestation object cannot be read";
    } else {
        why = auth_data_fault(data, site->rp_id);
        why = why ? why
                  : (read_auth_data(data, site->rp_id, &found) ? NULL : "the key cannot be read");
    }
    if (map) {
        cbor_decref(&map);
    }
    if (why) {
        return refuse(out_why, why);
    }
    *out_credential = found;
    return 0;
}

/* ---- signing in ---- */

static int verify_with_key(const fido_assert_t *assertion, const struct webauthn_credential *c)
{
    int rc = FIDO_ERR_INTERNAL;
    es256_pk_t *es = c->algorithm == WEBAUTHN_ES256 ? es256_pk_new() : NULL;
    eddsa_pk_t *ed = c->algorithm == WEBAUTHN_EDDSA ? eddsa_pk_new() : NULL;
    rs256_pk_t *rs = c->algorithm == WEBAUTHN_RS256 ? rs256_pk_new() : NULL;
    if (es && es256_pk_from_ptr(es, c->key, c->key_len) == FIDO_OK) {
        rc = fido_assert_verify(assertion, 0, COSE_ES256, es);
    } else if (ed && eddsa_pk_from_ptr(ed, c->key, c->key_len) == FIDO_OK) {
        rc = fido_assert_verify(assertion, 0, COSE_EDDSA, ed);
    } else if (rs && rs256_pk_from_ptr(rs, c->key, c->key_len) == FIDO_OK) {
        rc = fido_assert_verify(assertion, 0, COSE_RS256, rs);
    }
    es256_pk_free(&es);
    eddsa_pk_free(&ed);
    rs256_pk_free(&rs);
    return rc;
}

static bool signature_good(const char *rp_id,
                           const struct webauthn_credential *c,
                           const struct webauthn_answer *a)
{
    uint8_t hash[CRYPTO_SHA256_SIZE];
    crypto_sha256(a->client_data, hash);
    fido_assert_t *f = fido_assert_new();
    bool ok = f && fido_assert_set_count(f, 1) == FIDO_OK &&
              fido_assert_set_clientdata_hash(f, hash, sizeof hash) == FIDO_OK &&
              fido_assert_set_rp(f, rp_id) == FIDO_OK &&
              fido_assert_set_up(f, FIDO_OPT_TRUE) == FIDO_OK &&
              fido_assert_set_uv(f, FIDO_OPT_TRUE) == FIDO_OK &&
              fido_assert_set_authdata_raw(f, 0, (const unsigned char *)a->auth_data.p,
                                           a->auth_data.n) == FIDO_OK &&
              fido_assert_set_sig(f, 0, (const unsigned char *)a->signature.p, a->signature.n) ==
                  FIDO_OK &&
              verify_with_key(f, c) == FIDO_OK;
    fido_assert_free(&f);
    return ok;
}

static uint32_t count_of(struct slice auth_data)
{
    const uint8_t *p = (const uint8_t *)auth_data.p + COUNT_AT;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int webauthn_verify(const struct webauthn_site *site,
                    const struct webauthn_credential *credential,
                    const struct webauthn_answer *answer,
                    uint32_t *out_sign_count,
                    const char **out_why)
{
    const char *why = client_data_fault(site, answer->client_data, "webauthn.get");
    why = why ? why : auth_data_fault(answer->auth_data, site->rp_id);
    if (why) {
        return refuse(out_why, why);
    }
    if (!answer->signature.n || !signature_good(site->rp_id, credential, answer)) {
        return refuse(out_why, "the signature does not verify");
    }
    uint32_t count = count_of(answer->auth_data);
    if ((count || credential->sign_count) && count <= credential->sign_count) {
        return refuse(out_why, "the sign count went back: the passkey may have been cloned");
    }
    *out_sign_count = count;
    return 0;
}
