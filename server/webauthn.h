#pragma once
/*
 * Passkeys (W3C WebAuthn Level 2, sections 7.1 and 7.2): what a browser sends back when a person
 * makes one or signs in with one, judged without any state. User presence and verification are
 * always asked for; attestation is not ("none"). No part of it touches the network or a device.
 */
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"

#define WEBAUTHN_CHALLENGE_SIZE 32
#define WEBAUTHN_ID_MAX         1023 /* section 4: a credential id is at most that long */
#define WEBAUTHN_KEY_MAX        1024 /* an RSA-4096 key has 516 bytes */

enum webauthn_algorithm { WEBAUTHN_ES256 = -7, WEBAUTHN_EDDSA = -8, WEBAUTHN_RS256 = -257 };

/* Who we are: the host name of the origin, and the origin. */
struct webauthn_site {
    const char *rp_id, *origin;
    struct slice challenge; /* the bytes that we sent out, once */
};

struct webauthn_credential {
    uint8_t id[WEBAUTHN_ID_MAX];
    size_t id_len;
    uint8_t key[WEBAUTHN_KEY_MAX]; /* raw: x||y, the Ed25519 key, or e(3)||n as libfido2 has it */
    size_t key_len;
    enum webauthn_algorithm algorithm;
    uint32_t sign_count;
};

enum { WEBAUTHN_REFUSED = 1 };

/* navigator.credentials.create(): clientDataJSON and attestationObject as bytes. 0, or
 * WEBAUTHN_REFUSED with a sentence for the log (never holding what was sent). */
int webauthn_register(const struct webauthn_site *site,
                      struct slice client_data,
                      struct slice attestation,
                      struct webauthn_credential *out_credential,
                      const char **out_why) MUST_CHECK;

struct webauthn_answer {
    struct slice client_data, auth_data, signature;
};

/* navigator.credentials.get(). A sign count that does not grow (and is not zero on both sides) is
 * refused: the authenticator was cloned. */
int webauthn_verify(const struct webauthn_site *site,
                    const struct webauthn_credential *credential,
                    const struct webauthn_answer *answer,
                    uint32_t *out_sign_count,
                    const char **out_why) MUST_CHECK;
