#pragma once
/*
 * Signed tokens of identity providers: JWS compact form (RFC 7515) with RS256 or ES256, keys as a
 * JWK set (RFC 7517). "none", symmetric and every other algorithm are refused; the key's own type
 * and "alg" must fit the header's.
 */
#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"
#include "lib/data/json.h"

#define JWT_MAX (16 * KIB) /* id tokens with many groups reach some KiB */

enum { JWT_REFUSED = 1, JWT_NO_KEY = 2 };

/* 0 with *out_claims (an object of the caller's); JWT_NO_KEY: signed with a key that the set does
 * not hold (fetch the set anew, once); JWT_REFUSED. *out_why is a sentence without anything secret.
 */
int jwt_verify(struct slice token,
               const struct js *jwks,
               struct js **out_claims,
               const char **out_why) MUST_CHECK;
