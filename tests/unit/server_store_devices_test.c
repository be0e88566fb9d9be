/* Devices in the store: what an administrator sees and changes, whose key ends, who is away. */
#include "server/store_devices.h"

#include "server/store_record.h"
#include "tests/unit/support/store.h"

struct ids {
    int64_t tailnet, user, at[4];
};

static struct ids populate(struct db *d)
{
    struct ids i = {0};
    assert_int_equal(store_tailnet_create(d, S("pango-lin"), &i.tailnet), 0);
    assert_int_equal(store_user_create(d, i.tailnet, S("ann@example.com"), "owner", &i.user), 0);
    for (int k = 0; k < 4; k++) {
        struct store_node n = {.user_id = i.user, .os = "linux", .version = "1"};
        uint8_t hash[STORE_HASH_SIZE] = {(uint8_t)(k + 1)};
        snprintf(n.stable_id, sizeof n.stable_id, "node%d", k);
        snprintf(n.label, sizeof n.label, "label%d", k);
        snprintf(n.hostname, sizeof n.hostname, "Host %d", k);
        snprintf(n.ipv4, sizeof n.ipv4, "100.64.0.%d", k + 1);
        snprintf(n.ipv6, sizeof n.ipv6, "fd7a::%d", k + 1);
        snprintf(n.transport_key, sizeof n.transport_key, "key%d", k);
        assert_int_equal(store_node_create(d, i.tailnet, &n, slice_of(hash, sizeof hash), &i.at[k]),
                         0);
    }
    return i;
}

#define BEGIN(state)                                     \
    struct db *d = ((struct store_world *)*(state))->db; \
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);     \
    struct ids i = populate(d)

struct seen {
    int64_t ids[8];
    size_t count, most;
};

static bool see_device(void *arg, const struct store_device *x)
{
    struct seen *s = arg;
    s->ids[s->count++] = x->node.id;
    return s->count < s->most;
}

static void see_id(void *arg, int64_t id)
{
    struct seen *s = arg;
    s->ids[s->count++] = id;
}

static void a_device_is_read_by_either_id(void **state)
{
    BEGIN(state);
    struct store_device x, y;
    assert_int_equal(store_device(d, S("node1"), &x), 0);
    assert_int_equal(store_device_by_number(d, i.at[1], &y), 0);
    assert_int_equal(x.node.id, y.node.id);
    assert_string_equal(x.node.label, "label1");
    assert_string_equal(x.node.login, "ann@example.com");
    assert_string_equal(x.registered, "ann@example.com");
    assert_string_equal(x.tags, "[]");
    assert_true(x.node.authorized && !x.node.ephemeral && !x.node.expiry_disabled);
    assert_true(!x.node.key_expires.s && !x.node.last_seen.s && !x.relays);
    assert_int_equal(store_device(d, S("nodeX"), &x), STORE_NONE);
    assert_int_equal(store_device_by_number(d, 99, &x), STORE_NONE);
}

static void devices_are_listed_from_a_place(void **state)
{
    BEGIN(state);
    struct seen all = {.most = 99}, rest = {.most = 99}, two = {.most = 2};
    assert_int_equal(store_devices_each(d, i.tailnet, 0, see_device, &all), 0);
    assert_int_equal(all.count, 4);
    assert_int_equal(store_devices_each(d, i.tailnet, i.at[1], see_device, &rest), 0);
    assert_int_equal(rest.count, 2);
    assert_int_equal(rest.ids[0], i.at[2]);
    assert_int_equal(store_devices_each(d, i.tailnet, 0, see_device, &two), 0);
    assert_int_equal(two.count, 2);
    assert_int_equal(store_devices_each(d, i.tailnet + 1, 0, see_device, &two), 0);
    assert_int_equal(two.count, 2);
}

static void what_is_changed_is_read_again(void **state)
{
    BEGIN(state);
    struct store_device x;
    assert_int_equal(store_node_authorize(d, i.at[0], false), 0);
    assert_int_equal(store_node_label(d, i.at[0], S("renamed")), 0);
    assert_int_equal(store_node_label(d, i.at[0], S("label1")), STORE_CONFLICT);
    assert_int_equal(store_node_expiry(d, i.at[0], true, (struct wall){77}), 0);
    assert_int_equal(store_node_seen(d, i.at[0], (struct wall){55}), 0);
    assert_int_equal(store_device_by_number(d, i.at[0], &x), 0);
    assert_true(!x.node.authorized && x.node.expiry_disabled);
    assert_int_equal(x.node.key_expires.s, 77);
    assert_int_equal(x.node.last_seen.s, 55);
    assert_string_equal(x.node.label, "renamed");
    assert_int_equal(store_node_expiry(d, i.at[0], false, (struct wall){0}), 0);
    assert_int_equal(store_device_by_number(d, i.at[0], &x), 0);
    assert_true(!x.node.expiry_disabled && !x.node.key_expires.s);
    assert_int_equal(store_node_authorize(d, 99, true), STORE_NONE);
    assert_int_equal(store_node_label(d, 99, S("x")), STORE_NONE);
    assert_int_equal(store_node_expiry(d, 99, true, (struct wall){1}), STORE_NONE);
}

static size_t expiring(struct db *d, int64_t until, int64_t told)
{
    struct seen s = {.count = 0};
    assert_int_equal(store_nodes_expiring(d, (struct wall){until}, told, see_id, &s), 0);
    return s.count;
}

/* Each end is told twice, a day before and when it is there, and anew when it was moved. */
static void an_end_is_told_once(void **state)
{
    BEGIN(state);
    assert_int_equal(expiring(d, 1000, 2), 0);
    assert_int_equal(store_node_expiry(d, i.at[0], false, (struct wall){500}), 0);
    assert_int_equal(store_node_expiry(d, i.at[1], true, (struct wall){500}), 0);
    assert_int_equal(expiring(d, 499, 2), 0);
    assert_int_equal(expiring(d, 500, 1), 1);
    assert_int_equal(store_node_told(d, i.at[0], 1), 0);
    assert_int_equal(expiring(d, 500, 1), 0);
    assert_int_equal(expiring(d, 500, 2), 1);
    assert_int_equal(store_node_told(d, i.at[0], 2), 0);
    assert_int_equal(expiring(d, 500, 2), 0);
    assert_int_equal(store_node_expiry(d, i.at[0], false, (struct wall){500}), 0); /* the same */
    assert_int_equal(expiring(d, 500, 2), 0);
    assert_int_equal(store_node_expiry(d, i.at[0], false, (struct wall){501}), 0);
    assert_int_equal(expiring(d, 501, 2), 1);
    assert_int_equal(store_node_told(d, 99, 1), STORE_NONE);
}

static void keep_value(void *arg, const struct store_attribute *x)
{
    struct seen *s = arg;
    s->ids[s->count++] = (unsigned char)x->value.p[0];
}

static size_t attributes(struct db *d, int64_t node, int64_t now, struct seen *s)
{
    *s = (struct seen){.count = 0};
    assert_int_equal(store_attributes_each(d, node, (struct wall){now}, keep_value, s), 0);
    return s->count;
}

static void attributes_end(void **state)
{
    BEGIN(state);
    struct seen s;
    struct store_attribute a = {.name = S("custom:a"), .value = S("1")},
                           b = {.name = S("custom:b"), .value = S("2"), .expires = {100}};
    assert_int_equal(store_attribute_set(d, i.at[0], &b), 0);
    assert_int_equal(store_attribute_set(d, i.at[0], &a), 0);
    assert_int_equal(store_attribute_set(d, 99, &a), STORE_CONFLICT);
    assert_int_equal(attributes(d, i.at[0], 99, &s), 2);
    assert_int_equal(s.ids[0], '1');
    assert_int_equal(attributes(d, i.at[0], 100, &s), 1);
    assert_int_equal(attributes(d, i.at[1], 1, &s), 0);
    a.value = S("3");
    assert_int_equal(store_attribute_set(d, i.at[0], &a), 0);
    assert_int_equal(attributes(d, i.at[0], 100, &s), 1);
    assert_int_equal(s.ids[0], '3');
    assert_int_equal(store_attributes_trim(d, (struct wall){100}), 0);
    assert_int_equal(attributes(d, i.at[0], 1, &s), 1);
    assert_int_equal(store_attribute_delete(d, i.at[0], S("custom:b")), STORE_NONE);
    assert_int_equal(store_attribute_delete(d, i.at[0], S("custom:a")), 0);
    assert_int_equal(attributes(d, i.at[0], 1, &s), 0);
}

static void an_answer_is_kept_for_a_key(void **state)
{
    BEGIN(state);
    (void)i;
    struct store_idempotent in = {.body = {7}, .status = 200}, out;
    struct buf reply = BUF_MAX(KIB);
    assert_int_equal(store_idempotent(d, S("k:a"), S("1"), &out, &reply), STORE_NONE);
    assert_int_equal(store_idempotent_add(d, S("k:a"), S("1"), &in, S("first")), 0);
    assert_int_equal(store_idempotent(d, S("k:a"), S("1"), &out, &reply), 0);
    assert_true(slice_eq(buf_slice(&reply), S("first")) && out.status == 200);
    assert_memory_equal(in.body, out.body, sizeof in.body);
    assert_int_equal(store_idempotent(d, S("k:b"), S("1"), &out, &reply), STORE_NONE);
    assert_int_equal(store_idempotent_trim(d, (struct wall){out.created.s}), 0);
    buf_clear(&reply);
    assert_int_equal(store_idempotent(d, S("k:a"), S("1"), &out, &reply), 0);
    assert_int_equal(store_idempotent_trim(d, (struct wall){out.created.s + 1}), 0);
    assert_int_equal(store_idempotent(d, S("k:a"), S("1"), &out, &reply), STORE_NONE);
    buf_deinit(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_STORE(a_device_is_read_by_either_id),
        IN_A_STORE(devices_are_listed_from_a_place),
        IN_A_STORE(what_is_changed_is_read_again),
        IN_A_STORE(an_end_is_told_once),
        IN_A_STORE(attributes_end),
        IN_A_STORE(an_answer_is_kept_for_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
