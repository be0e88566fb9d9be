/* Tokens: base64url(payload) "." base64url(signature). */
#include "tunnel/token.h"

#include "lib/base/text.h"
#include "lib/base/wire.h"

enum { TOKEN_VERSION = 1, SIGNATURE = 64 };

void token_payload(struct buf *out, const struct token *t)
{
    wr_u8(out, TOKEN_VERSION);
    wr_u64(out, t->key_id);
    wr_u64(out, (uint64_t)t->not_before.s);
    wr_u64(out, (uint64_t)t->not_after.s);
    wr_vec8(out, t->node);
    wr_vec8(out, t->relay);
    buf_add(out, slice_of(t->transport, sizeof t->transport));
}

void token_join(struct buf *out, struct slice payload, const uint8_t signature[64])
{
    text_b64url(out, payload);
    buf_addc(out, '.');
    text_b64url(out, slice_of(signature, SIGNATURE));
}

static bool read_payload(struct slice payload, struct token *out)
{
    struct rd r = rd_of(payload);
    uint8_t version = rd_u8(&r);
    out->key_id = rd_u64(&r);
    out->not_before.s = (int64_t)(rd_u64(&r) & INT64_MAX);
    out->not_after.s = (int64_t)(rd_u64(&r) & INT64_MAX);
    out->node = rd_vec8(&r);
    out->relay = rd_vec8(&r);
    struct slice key = rd_bytes(&r, sizeof out->transport);
    if (!rd_end(&r) || version != TOKEN_VERSION) {
        return false;
    }
    memcpy(out->transport, key.p, sizeof out->transport);
    return true;
}

bool token_split(struct slice text,
                 struct buf *out_payload,
                 uint8_t out_signature[64],
                 struct token *out_token)
{
    struct slice head;
    struct buf sig = BUF_MAX(SIGNATURE);
    bool ok = slice_split(&text, '.', &head) && text.p && text_unb64url(head, out_payload) &&
              text_unb64url(text, &sig) && sig.len == SIGNATURE &&
              read_payload(buf_slice(out_payload), out_token);
    if (ok) {
        memcpy(out_signature, buf_slice(&sig).p, SIGNATURE);
    }
    buf_deinit(&sig);
    return ok;
}

bool token_in_time(const struct token *t, struct wall now)
{
    /* Differences of times that are not negative do not overflow; sums would. */
    return t->not_before.s - now.s <= TOKEN_SKEW_S && now.s - t->not_after.s <= TOKEN_SKEW_S;
}
