/* The audit log's filters and order, settings replaced in place. */
#include "server/store_record.h"
#include "tests/unit/support/store.h"

#define TX(d) AUTO(db_tx_endp) struct db_tx *tx = db_begin(d)

static int64_t a_tailnet(struct db *d)
{
    int64_t id = 0;
    assert_int_equal(store_tailnet_create(d, S("pango-lin"), &id), 0);
    return id;
}

static void
add(struct db *d, int64_t tailnet, const char *actor, const char *action, const char *target)
{
    struct store_event e = {.group = S("g"),
                            .origin = S("API"),
                            .actor = slice_str(actor),
                            .action = slice_str(action),
                            .target = slice_str(target),
                            .old = S("1"),
                            .new = S("2")};
    assert_int_equal(store_event_add(d, tailnet, &e), 0);
}

struct seen {
    int count;
    int64_t last;
    char targets[64];
};

static void see(void *arg, const struct store_event_row *row)
{
    struct seen *s = arg;
    assert_true(row->id > s->last);
    s->last = row->id;
    s->count++;
    assert_true(slice_eq(row->e.old, S("1")) && slice_eq(row->e.new, S("2")));
    strncat(s->targets, row->e.target.p, row->e.target.n);
}

static struct seen ask(struct db *d, struct store_event_query q)
{
    struct seen s = {.count = 0};
    q.start.s = q.start.s ? q.start.s : 0;
    q.end.s = q.end.s ? q.end.s : wall_now().s + 10;
    q.limit = q.limit ? q.limit : 100;
    assert_int_equal(store_events_each(d, &q, see, &s), 0);
    return s;
}

static void lines_are_found_by_what_they_say(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    TX(d);
    int64_t t = a_tailnet(d);
    add(d, t, "ann@example.com", "CREATE", "a");
    add(d, t, "bob@example.com", "UPDATE", "b");
    add(d, t, "Bob@other.example", "UPDATE", "c%");
    assert_string_equal(ask(d, (struct store_event_query){.tailnet = t}).targets, "abc%");
    assert_string_equal(
        ask(d, (struct store_event_query){.tailnet = t, .actor = S("~bob")}).targets, "bc%");
    assert_string_equal(
        ask(d, (struct store_event_query){.tailnet = t, .actor = S("BOB@example.com")}).targets,
        "b");
    assert_string_equal(ask(d, (struct store_event_query){.tailnet = t, .actor = S("bob")}).targets,
                        "");
    assert_string_equal(ask(d, (struct store_event_query){.tailnet = t, .target = S("~%")}).targets,
                        "c%");
    assert_string_equal(
        ask(d, (struct store_event_query){.tailnet = t, .action = S("update"), .limit = 1}).targets,
        "b");
    struct seen first = ask(d, (struct store_event_query){.tailnet = t, .limit = 2});
    assert_string_equal(
        ask(d, (struct store_event_query){.tailnet = t, .after = first.last}).targets, "c%");
    assert_int_equal(ask(d, (struct store_event_query){.tailnet = t + 1}).count, 0);
    assert_int_equal(
        ask(d, (struct store_event_query){.tailnet = t, .start = {wall_now().s + 5}}).count, 0);
    assert_int_equal(store_events_trim(d, (struct wall){wall_now().s + 1}), 0);
    assert_int_equal(ask(d, (struct store_event_query){.tailnet = t}).count, 0);
}

static void a_setting_is_replaced(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    struct buf b = BUF_MAX(64);
    TX(d);
    int64_t t = a_tailnet(d);
    assert_int_equal(store_setting(d, t, "x", &b), STORE_NONE);
    assert_int_equal(store_setting_set(d, t, "x", S("1")), 0);
    assert_int_equal(store_setting_set(d, t, "x", S("true")), 0);
    assert_int_equal(store_setting(d, t, "x", &b), 0);
    assert_true(slice_eq(buf_slice(&b), S("true")));
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_STORE(lines_are_found_by_what_they_say),
        IN_A_STORE(a_setting_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
