/*
 * Match codes and page nonces. Somebody who approves another person's request picks the right code
 * out of three: only who has spoken with the requester, or sees their terminal, can. The two others
 * follow from the request, so that loading the page again says nothing about which one is right.
 */
#include <stdio.h>

#include "lib/base/secret.h"
#include "server/app.h"

enum { NONCE_S = 600, MAC_CHARS = 32 };

/* "KTRV-7Q": letters and digits that are not mistaken for each other. */
static void code_of(const uint8_t r[6], char out[MATCH_CODE_SIZE])
{
    static const char letters[] = "ABCDEFGHJKMNPQRSTVWXYZ", digits[] = "23456789";
    for (int i = 0; i < 4; i++) {
        out[i] = letters[r[i] % (sizeof letters - 1)];
    }
    out[4] = '-';
    out[5] = digits[r[4] % (sizeof digits - 1)];
    out[6] = letters[r[5] % (sizeof letters - 1)];
    out[7] = '\0';
}

void match_code_make(char out[MATCH_CODE_SIZE])
{
    uint8_t r[6];
    secret_random(r, sizeof r);
    code_of(r, out);
}

static void
derive(const struct app *a, const struct store_request *r, int turn, uint8_t out[STORE_HASH_SIZE])
{
    struct buf text = BUF_MAX(256);
    buf_addf(&text, "match:%s:%d", r->stable_id, turn);
    secrets_hash(&a->secrets, buf_slice(&text), out);
    buf_deinit(&text);
}

void match_choices(const struct app *a,
                   const struct store_request *r,
                   char out[MATCH_CHOICES][MATCH_CODE_SIZE])
{
    uint8_t hash[STORE_HASH_SIZE];
    derive(a, r, 0, hash);
    size_t right = hash[0] % MATCH_CHOICES;
    int turn = 1;
    for (size_t i = 0; i < MATCH_CHOICES; i++) {
        bool fresh = i == right;
        text_fit(out[i], MATCH_CODE_SIZE, "%s", r->match_code);
        while (!fresh) {
            derive(a, r, turn++, hash);
            code_of(hash, out[i]);
            fresh = strcmp(out[i], r->match_code) != 0;
            for (size_t k = 0; k < i; k++) {
                fresh = fresh && strcmp(out[i], out[k]) != 0;
            }
        }
    }
}

/* As people type it. */
static void plain_code(struct slice code, char out[MATCH_CODE_SIZE])
{
    size_t n = 0;
    for (size_t i = 0; i < code.n && n + 1 < MATCH_CODE_SIZE; i++) {
        char c = code.p[i];
        c = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
            out[n++] = c;
        }
    }
    out[n] = '\0';
}

bool match_code_right(const struct store_request *r, struct slice code)
{
    char given[MATCH_CODE_SIZE], right[MATCH_CODE_SIZE];
    plain_code(code, given);
    plain_code(slice_str(r->match_code), right);
    return right[0] && secret_eq(slice_str(given), slice_str(right));
}

static void nonce_at(const struct app *a,
                     const struct identity *id,
                     const struct store_request *r,
                     int64_t at,
                     char out[NONCE_SIZE])
{
    uint8_t mac[STORE_HASH_SIZE];
    struct buf text = BUF_MAX(256), hex = BUF_MAX(64);
    buf_addf(&text, "decide:%s:%s:%lld", id->csrf, r->stable_id, (long long)at);
    secrets_hash(&a->secrets, buf_slice(&text), mac);
    text_hex(&hex, slice_of(mac, MAC_CHARS / 2));
    text_fit(out, NONCE_SIZE, "%lld.%s", (long long)at, buf_cstr(&hex));
    secret_wipe_buf(&text);
    buf_deinit(&hex);
}

void decision_nonce(const struct app *a,
                    const struct identity *id,
                    const struct store_request *r,
                    char out[NONCE_SIZE])
{
    nonce_at(a, id, r, wall_now().s, out);
}

bool decision_nonce_good(const struct app *a,
                         const struct identity *id,
                         const struct store_request *r,
                         struct slice nonce)
{
    char right[NONCE_SIZE];
    uint64_t at;
    ptrdiff_t dot = slice_find(nonce, '.');
    int64_t now = wall_now().s;
    if (dot < 0 || !slice_u64(slice_sub(nonce, 0, (size_t)dot), INT64_MAX, &at) ||
        (int64_t)at > now || now - (int64_t)at > NONCE_S) {
        return false;
    }
    nonce_at(a, id, r, (int64_t)at, right);
    return secret_eq(nonce, slice_str(right));
}

/* ---- ports ---- */

static const int64_t public_ports[] = {443, 8443, 10000};

unsigned ports_bit(int64_t port)
{
    for (size_t i = 0; i < ARRAY_LEN(public_ports); i++) {
        if (public_ports[i] == port) {
            return 1u << i;
        }
    }
    return 0;
}

bool ports_read(struct slice text, unsigned *out_ports)
{
    unsigned ports = 0;
    struct slice part;
    while (slice_split(&text, ',', &part)) {
        uint64_t port;
        if (!slice_u64(slice_trim(part), 65535, &port) || !ports_bit((int64_t)port)) {
            return false;
        }
        ports |= ports_bit((int64_t)port);
    }
    *out_ports = ports;
    return ports != 0;
}

void ports_write(unsigned ports, char out[24])
{
    struct buf text = BUF_MAX(23);
    for (size_t i = 0; i < ARRAY_LEN(public_ports); i++) {
        if (ports >> i & 1u) {
            buf_addf(&text, "%s%d", text.len ? "," : "", (int)public_ports[i]);
        }
    }
    text_fit(out, 24, "%s", buf_cstr(&text));
    buf_deinit(&text);
}
