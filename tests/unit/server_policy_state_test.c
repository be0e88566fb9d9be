/* The live policy: devices that change alone, people who change many, and a start with what is
 * stored. */
#include "tests/unit/support/policy_world.h"

#define RULES                                                                             \
    "{\"tagOwners\": {\"tag:db\": []}, \"groups\": {\"group:g\": [\"bob@example.com\"]}," \
    " \"nodeAttrs\": [{\"target\": [\"group:g\", \"tag:db\"], \"attr\": [\"funnel\"]},"   \
    " {\"target\": [\"autogroup:auditor\"], \"attr\": [\"audits\"]},"                     \
    " {\"target\": [\"100.99.0.0/16\"], \"attr\": [\"moved\"]}]}\n"

static bool has(struct policy_world *w, int64_t node, const char *attr)
{
    return policy_set_has(world_set(w, node), slice_str(attr));
}

static bool current(struct policy_world *w)
{
    struct store_facts now;
    assert_int_equal(store_facts(w->app.db, w->app.tailnet.id, &now), 0);
    return policy_snapshot_facts(policy_state_snapshot(&w->app))->sequence == now.sequence;
}

/* As the bus does after a commit. */
static void follow(struct policy_world *w, int64_t node)
{
    policy_state_follow(&w->app, &node, node ? 1 : 0,
                        node ? POLICY_FOLLOW_NODES : POLICY_FOLLOW_ALL);
}

static void one_device_at_a_time(void **state)
{
    struct policy_world *w = *state;
    int64_t node, gone;
    world_load(w);
    world_save(w, RULES);
    IN_TX(w, node = world_add_node(w, w->bob), gone = world_add_node(w, w->bob));
    assert_true(has(w, node, "funnel")); /* asked for before anybody said that it is there */
    follow(w, node);
    assert_true(has(w, node, "funnel"));
    IN_TX(w, assert_int_equal(store_node_tag(w->app.db, node, S("[\"tag:web\"]"), 0), 0));
    follow(w, node);
    assert_false(has(w, node, "funnel"));
    IN_TX(w,
          assert_int_equal(store_node_tag(w->app.db, node, S("[\"tag:web\", \"tag:db\"]"), 0), 0));
    follow(w, node);
    assert_true(has(w, node, "funnel"));
    IN_TX(w, assert_int_equal(store_node_address(w->app.db, node, S("100.99.1.1")), 0));
    follow(w, node);
    assert_true(has(w, node, "moved"));
    IN_TX(w, assert_int_equal(store_node_tag(w->app.db, node, S("[]"), w->ann), 0));
    follow(w, node);
    assert_false(has(w, node, "funnel"));
    IN_TX(w, assert_int_equal(store_node_delete(w->app.db, gone), 0));
    follow(w, gone);
    /* The whole follows, with the same answers. */
    TURN_UNTIL(w, current(w));
    assert_true(!has(w, node, "funnel") && has(w, node, "moved"));
    assert_null(policy_snapshot_of(policy_state_snapshot(&w->app), gone));
}

static void people_change_many(void **state)
{
    struct policy_world *w = *state;
    int64_t nodes[3];
    IN_TX(w, {
        for (int i = 0; i < 3; i++) {
            nodes[i] = world_add_node(w, w->bob);
        }
    });
    world_load(w);
    world_save(w, RULES);
    assert_true(has(w, nodes[0], "funnel"));
    int64_t head = store_change_head(w->app.db);

    IN_TX(w, assert_int_equal(store_user_suspend(w->app.db, w->bob, true), 0));
    assert_false(has(w, nodes[0], "funnel")); /* the row says so: nothing has to be computed */
    follow(w, 0);
    TURN_UNTIL(w, current(w));
    char seen[500] = "", want[200];
    world_changes(w, head, seen);
    snprintf(want, sizeof want, "capabilities:%d capabilities:%d capabilities:%d ", (int)nodes[0],
             (int)nodes[1], (int)nodes[2]);
    assert_string_equal(seen, want);

    IN_TX(w, {
        assert_int_equal(store_user_suspend(w->app.db, w->bob, false), 0);
        assert_int_equal(store_user_role(w->app.db, w->bob, "auditor"), 0);
    });
    follow(w, 0);
    TURN_UNTIL(w, current(w));
    assert_true(has(w, nodes[2], "funnel") && has(w, nodes[2], "audits"));

    IN_TX(w, assert_int_equal(store_user_delete(w->app.db, w->bob), 0));
    follow(w, 0);
    TURN_UNTIL(w, current(w));
    assert_int_equal(policy_snapshot_facts(policy_state_snapshot(&w->app))->device_count, 0);
    /* The policy that names the login is still one that can be saved. */
    assert_int_equal(world_save(w, RULES).result, POLICY_SAVED);
}

/* An owner who is newer than the facts: the device waits for the next snapshot, and gets it. */
static void a_new_owner_brings_new_facts(void **state)
{
    struct policy_world *w = *state;
    int64_t eve, node;
    world_load(w);
    world_save(w, "{\"nodeAttrs\": [{\"target\": [\"autogroup:member\"], \"attr\": [\"x\"]}]}\n");
    IN_TX(w, {
        assert_int_equal(
            store_user_create(w->app.db, w->app.tailnet.id, S("eve@example.com"), "member", &eve),
            0);
        node = world_add_node(w, eve);
    });
    follow(w, node);
    TURN_UNTIL(w, has(w, node, "x"));
    TURN_UNTIL(w, current(w));
    assert_true(has(w, node, "x"));
}

static void a_save_sees_who_changed_alone(void **state)
{
    struct policy_world *w = *state;
    int64_t node;
    world_load(w);
    world_save(w, RULES);
    IN_TX(w, node = world_add_node(w, w->bob));
    follow(w, node);
    assert_true(has(w, node, "funnel"));
    int64_t head = store_change_head(w->app.db);
    assert_int_equal(world_save(w, "{}\n").changed, 1); /* once, and not as one that came */
    char seen[500] = "", want[100];
    world_changes(w, head, seen);
    snprintf(want, sizeof want, "capabilities:%d policy:0 ", (int)node);
    assert_string_equal(seen, want);
    assert_false(has(w, node, "funnel"));
    /* One that had nothing alone, and gets something with the whole. */
    IN_TX(w, node = world_add_node(w, w->ann));
    follow(w, node);
    assert_int_equal(world_set(w, node)->count, 0);
    assert_int_equal(
        world_save(w, "{\"nodeAttrs\": [{\"target\": [\"ann@example.com\"], \"attr\": [\"x\"]}]}\n")
            .changed,
        1);
    assert_true(has(w, node, "x"));
}

static void gate_says_why(void **state)
{
    struct policy_world *w = *state;
    struct store_node n;
    int64_t node;
    IN_TX(w, node = world_add_node(w, w->bob));
    world_load(w);
    world_save(w, "{\"nodeAttrs\": [{\"target\": [\"*\"], \"attr\": [\"funnel\"], \"app\":"
                  " {\"openfunnel.org/cap/funnel\": [{\"ports\": [\"443\", \"9000-9010\"]}]}}]}\n");
    assert_int_equal(store_node(w->app.db, node, &n), 0);
    assert_int_equal(policy_state_gate(&w->app, &n, 443), POLICY_GATE_HTTPS_OFF);
    assert_false(policy_state_may(&w->app, &n));
    w->app.tailnet.https_enabled = true;
    assert_int_equal(policy_state_gate(&w->app, &n, 443), POLICY_GATE_OPEN);
    assert_int_equal(policy_state_gate(&w->app, &n, 9005), POLICY_GATE_OPEN);
    assert_int_equal(policy_state_gate(&w->app, &n, 8443), POLICY_GATE_PORT);
    assert_int_equal(policy_state_gate(&w->app, &n, 0), POLICY_GATE_PORT);
    assert_int_equal(policy_state_gate(&w->app, &n, 65536 + 443), POLICY_GATE_PORT);
    assert_true(policy_state_may(&w->app, &n));
    n.suspended = true;
    assert_int_equal(policy_state_gate(&w->app, &n, 443), POLICY_GATE_SUSPENDED);
    n.suspended = false;
    world_save(w, "{}\n");
    assert_int_equal(policy_state_gate(&w->app, &n, 443), POLICY_GATE_NO_FUNNEL);
}

/* ---- the start ---- */

static void store_text(struct policy_world *w, const char *text)
{
    int64_t rev;
    struct store_policy_new p = {slice_str(text), "etag", "ann@example.com", "api", ""};
    IN_TX(w, assert_int_equal(store_policy_save(w->app.db, w->app.tailnet.id, &p, &rev), 0));
}

static void a_stored_policy_never_stops_the_server(void **state)
{
    struct policy_world *w = *state;
    int64_t node;
    IN_TX(w, node = world_add_node(w, w->bob));
    store_text(w, RULES);
    store_text(w, "{\"nodeAttrs\": \"from a stricter future\"}\n");
    store_text(w, "{ // broken\n");
    world_load(w);
    assert_true(has(w, node, "funnel")); /* the newest that loads */
    assert_slice(buf_slice(&policy_state_version(&w->app)->text), "{ // broken\n");
    assert_int_equal(policy_state_diags(&w->app)->items[0].severity, POLICY_ERROR);
    assert_int_equal(world_save(w, "{}\n").result, POLICY_SAVED);
    assert_int_equal(policy_state_diags(&w->app)->count, 0);
    assert_false(has(w, node, "funnel"));
}

static void nothing_that_loads_gives_nothing(void **state)
{
    struct policy_world *w = *state;
    int64_t node;
    IN_TX(w, {
        node = world_add_node(w, w->bob);
        assert_int_equal(db_exec(db_stmt(w->app.db, "UPDATE policies SET text = x'7b'")), 0);
    });
    world_load(w);
    assert_int_equal(world_set(w, node)->count, 0);
}

static void failing_tests_are_said_and_no_more(void **state)
{
    struct policy_world *w = *state;
    int64_t node;
    IN_TX(w, node = world_add_node(w, w->bob));
    store_text(
        w, "{\"nodeAttrs\": [{\"target\": [\"*\"], \"attr\": [\"funnel\"]}],"
           " \"nodeAttrTests\": [{\"target\": \"bob@example.com\", \"lack\": [\"funnel\"]}]}\n");
    world_load(w);
    assert_true(has(w, node, "funnel"));
    const struct policy_diags *d = policy_state_diags(&w->app);
    size_t failed = 0;
    for (size_t i = 0; i < d->count; i++) {
        failed += strcmp(d->items[i].code, "test-failed") == 0;
    }
    assert_int_equal(failed, 1);
    struct saving s = world_save(
        w, "{\"nodeAttrs\": [{\"target\": [\"*\"], \"attr\": [\"funnel\"]}],"
           " \"nodeAttrTests\": [{\"target\": \"bob@example.com\", \"lack\": [\"funnel\"]}]} //\n");
    assert_int_equal(s.result, POLICY_SAVE_INVALID);
}

static void hashes_of_old_versions_are_made_anew(void **state)
{
    struct policy_world *w = *state;
    store_text(w, "{\"hosts\":{},}\n");
    IN_TX(w, assert_int_equal(
                 db_exec(db_stmt(w->app.db, "UPDATE policies SET etag = 'raw', summed = 0")), 0));
    world_load(w);
    char want[65];
    policy_etag(S("{\"hosts\": {}}\n"), want);
    assert_string_equal(policy_state_version(&w->app)->meta.etag, want);
    struct store_policy_meta m;
    assert_int_equal(store_policy_version(w->app.db, w->app.tailnet.id, 1, &m, NULL), 0);
    assert_int_equal(strlen(m.etag), 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(one_device_at_a_time),
        IN_A_WORLD(people_change_many),
        IN_A_WORLD(a_new_owner_brings_new_facts),
        IN_A_WORLD(a_save_sees_who_changed_alone),
        IN_A_WORLD(gate_says_why),
        IN_A_WORLD(a_stored_policy_never_stops_the_server),
        IN_A_WORLD(nothing_that_loads_gives_nothing),
        IN_A_WORLD(failing_tests_are_said_and_no_more),
        IN_A_WORLD(hashes_of_old_versions_are_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
