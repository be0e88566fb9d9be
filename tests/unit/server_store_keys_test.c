/* Keys, tokens of OAuth clients and registrations that wait, each on a fresh real database. */
#include "server/store_keys.h"
#include "server/store_registrations.h"
#include "tests/unit/support/store.h"

static const uint8_t hash_a[32] = {1}, hash_b[32] = {2};
#define A slice_of(hash_a, 32)
#define B slice_of(hash_b, 32)

struct ids {
    int64_t tailnet, user;
};

static struct ids populate(struct db *d)
{
    struct ids i = {0, 0};
    assert_int_equal(store_tailnet_create(d, S("pango-lin"), &i.tailnet), 0);
    assert_int_equal(store_user_create(d, i.tailnet, S("ann@example.com"), "owner", &i.user), 0);
    return i;
}

#define BEGIN(w)            \
    struct db *d = (w)->db; \
    AUTO(db_tx_endp)        \
    struct db_tx *tx = db_begin(d)

static void keys_are_taken_revoked_and_described(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct store_key_row row;
    struct store_key k;
    struct store_key_new once = {.kind = STORE_KEY_AUTH,
                                 .stable_id = "onlyonce",
                                 .hash = A,
                                 .tailnet = i.tailnet,
                                 .user = i.user,
                                 .ephemeral = true,
                                 .tags = S("[\"tag:web\"]"),
                                 .expires = {INT64_MAX}},
                         late = {.kind = STORE_KEY_AUTH, .hash = B, .tailnet = i.tailnet};
    assert_int_equal(store_key_create(d, &once), 0);
    assert_int_equal(store_key_create(d, &late), 0);
    assert_int_equal(store_key_row(d, i.tailnet, S("onlyonce"), &row), 0);
    assert_string_equal(row.tags, "[\"tag:web\"]");
    assert_true(row.key.ephemeral && !row.key.preauthorized && !row.revoked.s);
    assert_int_equal(store_key_take(d, row.key.id, S("198.51.100.4")), 0);
    assert_int_equal(store_key_take(d, row.key.id, S("198.51.100.5")), STORE_NONE);
    assert_int_equal(store_key(d, B, &k), 0);
    assert_int_equal(store_key_take(d, k.id, S("")), STORE_NONE); /* expired */
    assert_int_equal(store_key_describe(d, row.key.id, S("printer")), 0);
    assert_int_equal(store_key_revoke(d, row.key.id), 0);
    assert_int_equal(store_key_revoke(d, row.key.id), STORE_NONE);
    assert_int_equal(store_key_by_id(d, row.key.id, &row), 0);
    assert_string_equal(row.description, "printer");
    assert_string_equal(row.remote, "198.51.100.4");
    assert_true(row.revoked.s && row.key.revoked);
    assert_int_equal(store_key_row(d, i.tailnet + 1, S("onlyonce"), &row), STORE_NONE);
}

static void tokens_of_a_client(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct store_key k;
    struct store_token t;
    struct store_key_new client = {.kind = STORE_KEY_CLIENT,
                                   .hash = A,
                                   .tailnet = i.tailnet,
                                   .user = i.user,
                                   .scopes = S("dns"),
                                   .expires = {INT64_MAX}};
    assert_int_equal(store_key_create(d, &client), 0);
    assert_int_equal(store_key(d, A, &k), 0);
    assert_int_equal(k.kind, STORE_KEY_CLIENT);
    struct store_token_new new = {k.id, B, S("dns:read"), S(""), {500}};
    assert_int_equal(store_token_create(d, &new), 0);
    assert_int_equal(store_token(d, B, &t), 0);
    assert_string_equal(t.scopes, "dns:read");
    assert_string_equal(t.tags, "[]");
    assert_int_equal(store_tokens_expire(d, (struct wall){499}), 0);
    assert_int_equal(store_token(d, B, &t), 0);
    assert_int_equal(store_tokens_end(d, k.id), 0);
    assert_int_equal(store_token(d, B, &t), STORE_NONE);
}

static void registrations_are_decided_once(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct store_registration r = {.stable_id = "reg",
                                   .match_code = "AAAA-2B",
                                   .expires = {INT64_MAX}},
                              got;
    int count = 0;
    int64_t node;
    assert_int_equal(store_registration_create(d, i.tailnet, &r, A), 0);
    assert_int_equal(store_registrations_waiting(d, S("")), 1);
    assert_int_equal(store_registrations_waiting(d, S("198.51.100.4")), 0);
    assert_int_equal(store_registration_by_poll(d, B, &got), STORE_NONE);
    assert_int_equal(store_registration_by_poll(d, A, &got), 0);
    assert_string_equal(got.state, "pending");
    assert_int_equal(store_registration_decide(d, got.id, "denied", 0, S("ann")), 0);
    assert_int_equal(store_registration_decide(d, got.id, "granted", 0, S("bob")), STORE_NONE);
    assert_int_equal(store_registration(d, S("reg"), &got), 0);
    assert_string_equal(got.decided_by, "ann");
    memcpy(r.stable_id, "old", 4);
    r.expires.s = 5;
    assert_int_equal(store_registration_create(d, i.tailnet, &r, B), 0);
    assert_int_equal(store_registration(d, S("old"), &got), 0);
    assert_int_equal(store_registration_decide(d, got.id, "granted", 0, S("bob")), STORE_NONE);
    assert_int_equal(store_registrations_expire(d, (struct wall){6}, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(store_registration_orphan(d, (struct wall){INT64_MAX}, &node), STORE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_STORE(keys_are_taken_revoked_and_described),
        IN_A_STORE(tokens_of_a_client),
        IN_A_STORE(registrations_are_decided_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
