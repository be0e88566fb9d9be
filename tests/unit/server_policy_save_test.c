/* Saving: one step for its caller, with what it relies on looked at again in the transaction. */
#include "tests/unit/support/policy_world.h"

#define MEMBERS "{\"nodeAttrs\": [{\"target\": [\"autogroup:member\"], \"attr\": [\"funnel\"]}]}\n"
#define BOB     "{\"nodeAttrs\": [{\"target\": [\"bob@example.com\"], \"attr\": [\"funnel\"]}]}\n"

static size_t versions(struct policy_world *w)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(w->app.db, "SELECT count(*) AS n FROM policies");
    return db_step(s) == DB_ROW ? (size_t)db_col_i64(s, "n") : 0;
}

static void a_save_is_stored_told_and_in_force(void **state)
{
    struct policy_world *w = *state;
    int64_t one, two;
    IN_TX(w, one = world_add_node(w, w->ann), two = world_add_node(w, w->bob));
    world_load(w);
    int64_t head = store_change_head(w->app.db);
    assert_false(world_set(w, one)->funnel);
    struct saving s = world_save(w, BOB);
    assert_int_equal(s.result, POLICY_SAVED);
    assert_int_equal(s.changed, 1);
    assert_true(world_set(w, two)->funnel && !world_set(w, one)->funnel);
    char seen[500] = "", want[100];
    world_changes(w, head, seen);
    snprintf(want, sizeof want, "capabilities:%d policy:0 ", (int)two);
    assert_string_equal(seen, want);

    const struct policy_version *v = policy_state_version(&w->app);
    assert_slice(buf_slice(&v->text), BOB);
    assert_int_equal(v->standard.len, v->text.len);
    struct store_policy_meta m;
    struct buf text = BUF_MAX(1024);
    assert_int_equal(store_policy(w->app.db, w->app.tailnet.id, &m, &text), 0);
    assert_slice(buf_slice(&text), BOB);
    assert_int_equal(m.id, v->meta.id);
    assert_string_equal(m.etag, v->meta.etag);
    assert_string_equal(m.message, "why");
    assert_int_equal(versions(w), 2);
    buf_deinit(&text);

    /* Only comments: nobody is told but that there is a new version. */
    head = store_change_head(w->app.db);
    s = world_save(w, "// said\n" BOB);
    assert_int_equal(s.changed, 0);
    world_changes(w, head, seen);
    assert_string_equal(seen, "policy:0 ");
}

static int64_t rev_of(struct slice json)
{
    char why[100];
    AUTO(js_freep) struct js *j = js_parse(json, 4096, why, sizeof why);
    assert_non_null(j);
    assert_int_equal(js_get_str(j, "etag").n, 64);
    return js_get_int(j, "rev", 0);
}

static void audit_says_which_gave_way_to_which(void **state)
{
    struct policy_world *w = *state;
    world_load(w);
    world_save(w, BOB);
    AUTO(db_resetp)
    struct db_stmt *s =
        db_stmt(w->app.db, "SELECT actor, action, property, detail, old, new, remote"
                           " FROM audit ORDER BY id DESC LIMIT 1");
    assert_int_equal(db_step(s), DB_ROW);
    assert_slice(db_col_text(s, "actor"), "ann@example.com");
    assert_slice(db_col_text(s, "action"), "TAILNET.UPDATE.ACL");
    assert_slice(db_col_text(s, "property"), "ACL");
    assert_slice(db_col_text(s, "remote"), "198.51.100.1");
    assert_slice(db_col_text(s, "detail"), "{\"via\":\"api\",\"message\":\"why\"}");
    assert_int_equal(rev_of(db_col_text(s, "old")), 1);
    assert_int_equal(rev_of(db_col_text(s, "new")), 2);
}

static void what_is_not_valid_changes_nothing(void **state)
{
    struct policy_world *w = *state;
    world_load(w);
    struct saving s = world_save(w, "{\"nodeAttrs\": 7}\n");
    assert_int_equal(s.result, POLICY_SAVE_INVALID);
    assert_true(s.diags > 0);
    s = world_save(w, "{\n");
    assert_int_equal(s.result, POLICY_SAVE_INVALID);
    assert_int_equal(versions(w), 1);
    assert_true(policy_version_untouched(policy_state_version(&w->app)));
}

/* Both are judged at once; the transaction lets one through. */
static void of_two_with_one_etag_one_wins(void **state)
{
    struct policy_world *w = *state;
    world_load(w);
    struct saving a, b;
    char tag[80];
    snprintf(tag, sizeof tag, "\"%s\"", policy_state_version(&w->app)->meta.etag);
    struct policy_save x = world_ask(BOB, &a), y = world_ask(MEMBERS, &b);
    x.if_match = y.if_match = slice_str(tag);
    policy_save(&w->app, &x);
    policy_save(&w->app, &y);
    TURN_UNTIL(w, a.done && b.done);
    assert_true((a.result == POLICY_SAVED) != (b.result == POLICY_SAVED));
    assert_true(a.result == POLICY_SAVE_CONFLICT || b.result == POLICY_SAVE_CONFLICT);
    assert_int_equal(versions(w), 2);
    /* Seen at once, without being judged. */
    struct saving c;
    struct policy_save z = world_ask(BOB, &c);
    z.if_match = slice_str(tag);
    policy_save(&w->app, &z);
    assert_true(c.done && c.result == POLICY_SAVE_CONFLICT);
}

static void only_over_one_revision(void **state)
{
    struct policy_world *w = *state;
    world_load(w);
    struct saving s;
    struct policy_save ask = world_ask("{ }\n", &s); /* means the same as the next: other bytes */
    ask.only_over = 1;
    policy_save(&w->app, &ask);
    TURN_UNTIL(w, s.done);
    assert_int_equal(s.result, POLICY_SAVED);
    ask = world_ask("{}\n", &s);
    ask.only_over = 1;
    policy_save(&w->app, &ask);
    TURN_UNTIL(w, s.done);
    assert_int_equal(s.result, POLICY_SAVE_CONFLICT);
}

static int refuse(void *arg)
{
    (void)arg;
    return 7;
}

static void also_undoes_everything(void **state)
{
    struct policy_world *w = *state;
    world_load(w);
    int64_t head = store_change_head(w->app.db);
    struct saving s;
    struct policy_save ask = world_ask(BOB, &s);
    ask.also = refuse;
    policy_save(&w->app, &ask);
    TURN_UNTIL(w, s.done);
    assert_int_equal(s.result, POLICY_SAVE_ALSO);
    assert_int_equal(s.rc, 7);
    assert_int_equal(versions(w), 1);
    assert_int_equal(store_change_head(w->app.db), head);
    assert_true(policy_version_untouched(policy_state_version(&w->app)));
}

/* A machine registers while the policy is being judged: judged once more, with it. */
static void facts_that_moved_are_judged_again(void **state)
{
    struct policy_world *w = *state;
    world_load(w);
    struct saving s;
    int64_t node;
    struct policy_save ask = world_ask(MEMBERS, &s);
    policy_save(&w->app, &ask);
    IN_TX(w, node = world_add_node(w, w->bob));
    TURN_UNTIL(w, s.done);
    assert_int_equal(s.result, POLICY_SAVED);
    struct store_facts now;
    assert_int_equal(store_facts(w->app.db, w->app.tailnet.id, &now), 0);
    struct policy_snapshot *live = policy_state_snapshot(&w->app);
    assert_int_equal(policy_snapshot_facts(live)->sequence, now.sequence);
    assert_non_null(policy_snapshot_of(live, node));
    assert_true(policy_snapshot_of(live, node)->funnel);
    assert_int_equal(s.changed, 1);
}

/* They never stop moving: the save is answered all the same, and the newest facts follow. */
static void a_flood_of_registrations_stops_no_save(void **state)
{
    struct policy_world *w = *state;
    world_load(w);
    struct saving s;
    int64_t node = 0;
    struct policy_save ask = world_ask(MEMBERS, &s);
    policy_save(&w->app, &ask);
    for (int i = 0; i < 4000 && !s.done; i++) {
        IN_TX(w, node = world_add_node(w, w->bob));
        assert_int_equal(loop_turn(w->app.lp, MS(5)), 0);
    }
    assert_true(s.done);
    assert_int_equal(s.result, POLICY_SAVED);
    struct store_facts now;
    assert_int_equal(store_facts(w->app.db, w->app.tailnet.id, &now), 0);
    TURN_UNTIL(w, policy_snapshot_facts(policy_state_snapshot(&w->app))->sequence == now.sequence);
    assert_true(policy_snapshot_of(policy_state_snapshot(&w->app), node)->funnel);
}

static void many_changed_are_one_row(void **state)
{
    struct policy_world *w = *state;
    IN_TX(w, {
        for (int i = 0; i < 300; i++) {
            world_add_node(w, w->bob);
        }
    });
    world_load(w);
    int64_t head = store_change_head(w->app.db);
    assert_int_equal(world_save(w, BOB).changed, 300);
    char seen[500] = "";
    world_changes(w, head, seen);
    assert_string_equal(seen, "capabilities:0 policy:0 ");
}

/* Relays are told in the order of the log. */
static void losses_stand_first(void **state)
{
    struct policy_world *w = *state;
    int64_t one, two;
    IN_TX(w, one = world_add_node(w, w->ann), two = world_add_node(w, w->bob));
    world_load(w);
    world_save(w, BOB);
    int64_t head = store_change_head(w->app.db);
    world_save(w,
               "{\"nodeAttrs\": [{\"target\": [\"ann@example.com\"], \"attr\": [\"funnel\"]}]}\n");
    char seen[500] = "", want[100];
    world_changes(w, head, seen);
    snprintf(want, sizeof want, "capabilities:%d capabilities:%d policy:0 ", (int)two, (int)one);
    assert_string_equal(seen, want);
}

static void format_on_save(void **state)
{
    struct policy_world *w = *state;
    world_load(w);
    struct store_policy_settings s = {.format_on_save = true};
    policy_state_set_settings(&w->app, &s);
    world_save(w, "{\"hosts\":{\"a\":\"1.2.3.4\",},} // kept\n");
    assert_slice(buf_slice(&policy_state_version(&w->app)->text),
                 "{\"hosts\": {\"a\": \"1.2.3.4\"}} // kept\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(a_save_is_stored_told_and_in_force),
        IN_A_WORLD(audit_says_which_gave_way_to_which),
        IN_A_WORLD(what_is_not_valid_changes_nothing),
        IN_A_WORLD(of_two_with_one_etag_one_wins),
        IN_A_WORLD(only_over_one_revision),
        IN_A_WORLD(also_undoes_everything),
        IN_A_WORLD(facts_that_moved_are_judged_again),
        IN_A_WORLD(a_flood_of_registrations_stops_no_save),
        IN_A_WORLD(many_changed_are_one_row),
        IN_A_WORLD(losses_stand_first),
        IN_A_WORLD(format_on_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
