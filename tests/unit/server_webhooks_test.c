/* The signature as a receiver computes it, the calendar of retries, addresses that are not called.
 */
#include <arpa/inet.h>

#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "server/store_webhooks.h"
#include "server/webhooks.h"
#include "tests/unit/support/store.h"

static void the_signature_is_over_time_and_body(void **state)
{
    (void)state;
    char text[128], expected[128];
    uint8_t mac[32];
    struct buf hex = BUF_MAX(64);
    webhook_signature(S("secret"), (struct wall){1700000000}, S("[{}]"), text);
    crypto_hmac_sha256(S("secret"), S("1700000000.[{}]"), mac);
    text_hex(&hex, slice_of(mac, sizeof mac));
    snprintf(expected, sizeof expected, "t=1700000000,v1=%s", buf_cstr(&hex));
    assert_string_equal(text, expected);
    webhook_signature(S("secret"), (struct wall){1700000001}, S("[{}]"), text);
    assert_string_not_equal(text, expected);
    buf_deinit(&hex);
}

static void retries_grow_and_end(void **state)
{
    (void)state;
    int64_t last = 0, n = 0;
    assert_int_equal(webhook_retry_s(1), 2);
    assert_int_equal(webhook_retry_s(2), 10);
    assert_int_equal(webhook_retry_s(3), 30);
    for (n = 1; webhook_retry_s(n); n++) {
        assert_true(webhook_retry_s(n) >= last);
        last = webhook_retry_s(n);
        assert_true(n < 100);
    }
    assert_int_equal(last, 86400);
}

static bool ok4(const char *ip)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
    return webhook_peer_ok((const struct sockaddr *)&a);
}

static bool ok6(const char *ip)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    assert_int_equal(inet_pton(AF_INET6, ip, &a.sin6_addr), 1);
    return webhook_peer_ok((const struct sockaddr *)&a);
}

static void inner_addresses_are_not_called(void **state)
{
    (void)state;
    static const char *const refused4[] = {
        "0.0.0.0",      "10.1.2.3",   "100.64.0.1", "100.127.255.255", "127.0.0.1",
        "169.254.1.69", "172.16.0.1", "172.31.0.1", "192.168.0.1",     "192.0.0.9",
        "198.18.0.1",   "224.0.0.1",  "240.0.0.1",  "255.255.255.255"};
    static const char *const taken4[] = {"8.8.8.8",        "100.63.255.255", "100.128.0.0",
                                         "172.15.0.1",     "172.32.0.1",     "192.0.2.1",
                                         "223.255.255.255"};
    static const char *const refused6[] = {"::1",
                                           "::",
                                           "fe80::1",
                                           "fd00::1",
                                           "ff02::1",
                                           "::ffff:127.0.0.1",
                                           "64:ff9b::10.0.0.1",
                                           "::ffff:192.168.0.1"};
    for (size_t i = 0; i < ARRAY_LEN(refused4); i++) {
        assert_false(ok4(refused4[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(taken4); i++) {
        assert_true(ok4(taken4[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(refused6); i++) {
        assert_false(ok6(refused6[i]));
    }
    assert_true(ok6("2001:db8::1") && ok6("::ffff:8.8.8.8"));
}

struct seen {
    int count;
    char ids[4][STORE_ID_SIZE];
    char state[12];
    int64_t first;
};

static void see(void *arg, const struct store_delivery *x)
{
    struct seen *s = arg;
    s->first = s->count ? s->first : x->id;
    snprintf(s->state, sizeof s->state, "%s", x->state);
    assert_true(slice_eq(x->body, S("[1]")));
    s->count++;
}

static void a_delivery_waits_is_tried_and_ends(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    struct store_webhook w = {.stable_id = "hook1", .url = "https://r.example/", .events = "[]"};
    struct seen s = {.count = 0};
    struct wall next = {7};
    int64_t tailnet = 0;
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
    assert_int_equal(store_tailnet_create(d, S("pango-lin"), &tailnet), 0);
    assert_int_equal(store_webhook_create(d, tailnet, &w, S("sealed")), 0);
    assert_int_equal(store_webhook_create(d, tailnet, &w, S("sealed")), STORE_CONFLICT);
    assert_int_equal(store_webhook(d, S("hook1"), &w, NULL), 0);
    assert_int_equal(store_delivery_next(d, &next), 0);
    assert_int_equal(next.s, 0);
    assert_int_equal(store_delivery_add(d, w.id, "test", S("[1]")), 0);
    assert_int_equal(store_delivery_add(d, w.id, "test", S("[1]")), 0);
    assert_int_equal(store_deliveries_due(d, wall_now(), 10, see, &s), 0);
    assert_int_equal(s.count, 2);
    struct wall later = {wall_now().s + 100};
    assert_int_equal(store_delivery_tried(d, s.first, "queued", 500, S("no"), later), 0);
    s.count = 0;
    assert_int_equal(store_deliveries_due(d, wall_now(), 10, see, &s), 0);
    assert_int_equal(s.count, 1);
    assert_int_equal(store_delivery_tried(d, s.first, "delivered", 200, S(""), later), 0);
    assert_int_equal(store_delivery_next(d, &next), 0);
    assert_int_equal(next.s, later.s);
    s.count = 0;
    assert_int_equal(store_deliveries_each(d, w.id, 10, see, &s), 0);
    assert_int_equal(s.count, 2);
    assert_int_equal(store_deliveries_trim(d, (struct wall){wall_now().s + 1}), 0);
    s.count = 0;
    assert_int_equal(store_deliveries_each(d, w.id, 10, see, &s), 0);
    assert_int_equal(s.count, 1);
    assert_int_equal(store_webhook_delete(d, w.id), 0);
    assert_int_equal(store_delivery_next(d, &next), 0);
    assert_int_equal(next.s, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_signature_is_over_time_and_body),
        cmocka_unit_test(retries_grow_and_end),
        cmocka_unit_test(inner_addresses_are_not_called),
        IN_A_STORE(a_delivery_waits_is_tried_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
