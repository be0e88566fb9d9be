/* Tokens: layout, what is refused, times. */
#include "tests/unit/support/test.h"
#include "tunnel/token.h"

static const struct token the_token = {.key_id = 3,
                                       .not_before = {1000},
                                       .not_after = {2000},
                                       .node = {"node1", 5},
                                       .relay = {"relay1", 6},
                                       .transport = {0xaa, 0xbb}};

static struct buf make(uint8_t fill)
{
    struct buf payload = BUF_MAX(200), text = BUF_MAX(500);
    uint8_t signature[64];
    memset(signature, fill, sizeof signature);
    token_payload(&payload, &the_token);
    token_join(&text, buf_slice(&payload), signature);
    assert_true(buf_ok(&text));
    buf_deinit(&payload);
    return text;
}

static bool splits(struct slice text)
{
    struct buf payload = BUF_MAX(200);
    uint8_t signature[64];
    struct token t;
    bool ok = token_split(text, &payload, signature, &t);
    buf_deinit(&payload);
    return ok;
}

static void round_trip(void **state)
{
    (void)state;
    struct buf text = make(7), payload = BUF_MAX(200), again = BUF_MAX(200);
    uint8_t signature[64];
    struct token t;
    assert_true(token_split(buf_slice(&text), &payload, signature, &t));
    assert_int_equal(t.key_id, 3);
    assert_int_equal(t.not_before.s, 1000);
    assert_int_equal(t.not_after.s, 2000);
    assert_slice(t.node, "node1");
    assert_slice(t.relay, "relay1");
    assert_memory_equal(t.transport, the_token.transport, 32);
    assert_int_equal(signature[63], 7);
    token_payload(&again, &the_token);
    assert_int_equal(payload.len, again.len); /* the signed bytes come back as they were */
    assert_memory_equal(buf_slice(&payload).p, buf_slice(&again).p, again.len);
    buf_deinit(&text);
    buf_deinit(&payload);
    buf_deinit(&again);
}

static void malformed(void **state)
{
    (void)state;
    struct buf text = make(7);
    struct slice s = buf_slice(&text);
    for (size_t n = 0; n < s.n; n++) {
        assert_false(splits(slice_sub(s, 0, n)));
    }
    buf_addc(&text, 'A');
    assert_false(splits(buf_slice(&text)));
    buf_truncate(&text, text.len - 1);
    assert_true(splits(buf_slice(&text)));
    assert_false(splits(S("")));
    assert_false(splits(S(".")));
    assert_false(splits(S("AQ.AQ.AQ")));
    buf_deinit(&text);
}

static void times(void **state)
{
    (void)state;
    assert_false(token_in_time(&the_token, (struct wall){1000 - TOKEN_SKEW_S - 1}));
    assert_true(token_in_time(&the_token, (struct wall){1000 - TOKEN_SKEW_S}));
    assert_true(token_in_time(&the_token, (struct wall){2000 + TOKEN_SKEW_S}));
    assert_false(token_in_time(&the_token, (struct wall){2000 + TOKEN_SKEW_S + 1}));
    /* Times at the end of the range are no way round the check. */
    struct token ever = the_token;
    ever.not_after.s = INT64_MAX;
    assert_true(token_in_time(&ever, (struct wall){1500}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(malformed),
        cmocka_unit_test(times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
