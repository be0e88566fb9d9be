#pragma once
/* Session tokens (docs/tunnel-protocol.md): layout only; signing and verifying are the caller's. */
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/slice.h"

#define TOKEN_SKEW_S 60 /* clocks of relays and control may differ by this */

struct token {
    uint64_t key_id;
    struct wall not_before, not_after;
    struct slice node, relay; /* stable ids; borrowed from the decoded payload */
    uint8_t transport[32];    /* SHA-256 of the transport key's SPKI */
};

void token_payload(struct buf *out, const struct token *t);
/* payload and signature to the text form. */
void token_join(struct buf *out, struct slice payload, const uint8_t signature[64]);
/* Text form to payload bytes (in *out_payload, which owns what *out_token borrows) and signature.
 */
bool token_split(struct slice text,
                 struct buf *out_payload,
                 uint8_t out_signature[64],
                 struct token *out_token);
bool token_in_time(const struct token *t, struct wall now);
