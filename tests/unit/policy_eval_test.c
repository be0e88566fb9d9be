/* Snapshots beyond what the cases show: many sets, wide rows, devices that come later, memory, life
 * times, threads that ask at the same time. */
#include <pthread.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "policy/eval.h"
#include "policy/names.h"
#include "policy/policy.h"
#include "tests/unit/support/test.h"

enum { USERS = 500 };

/* Users u0…, a device each (ids from 10, name d0…), and one tagged device at the end. */
static struct policy_facts *crowd(size_t users)
{
    char login[64], name[64];
    struct policy_facts *f = policy_facts_new();
    for (size_t i = 0; i < users; i++) {
        snprintf(login, sizeof login, "u%zu@example.com", i);
        snprintf(name, sizeof name, "d%zu", i);
        struct policy_user u = {.login = slice_str(login)};
        policy_facts_device(f, &(struct policy_device){.id = (int64_t)i + 10,
                                                       .name = slice_str(name),
                                                       .user = policy_facts_user(f, &u)});
    }
    policy_facts_device(f, &(struct policy_device){.id = (int64_t)users + 10,
                                                   .name = S("tagged"),
                                                   .user = POLICY_NO_USER,
                                                   .tags = (struct slice[]){S("tag:a")},
                                                   .tag_count = 1});
    policy_facts_seal(f);
    return f;
}

static struct policy_snapshot *evaluate(const char *text, const struct policy_facts *f)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    struct policy_snapshot *s = NULL;
    if (policy_load(slice_str(text), NULL, &diags, &p)) {
        fail_msg("%s", diags.items[0].message);
    }
    policy_diags_free(&diags);
    assert_int_equal(policy_evaluate(p, f, &s), 0);
    assert_ptr_equal(policy_snapshot_policy(s), p);
    assert_ptr_equal(policy_snapshot_facts(s), f);
    policy_unref(p);
    return s;
}

/* Each user has an attribute of their own, and all have another: as many sets as users. */
static char *own_attributes(size_t users)
{
    struct buf text = BUF_MAX(MIB);
    buf_adds(
        &text,
        "{\"tagOwners\":{\"tag:a\":[]},\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":[\"drive:share\"]},");
    for (size_t i = 0; i < users; i++) {
        buf_addf(&text, "{\"target\":[\"u%zu@example.com\"],\"attr\":[\"nextdns:%zu\"]},", i, i);
    }
    buf_adds(&text, "]}");
    return buf_steal_cstr(&text);
}

static void many_sets(void **state)
{
    (void)state;
    char *text = own_attributes(USERS);
    struct policy_facts *f = crowd(USERS);
    struct policy_snapshot *s = evaluate(text, f);
    assert_int_equal(policy_snapshot_sets(s), USERS + 2); /* the tagged one's, and the empty one */
    size_t silent = policy_snapshot_memory(s);
    for (size_t i = 0; i < USERS; i++) {
        char name[64];
        const struct policy_set *set = policy_snapshot_of(s, (int64_t)i + 10);
        assert_ptr_equal(set, policy_snapshot_set(s, i));
        assert_int_equal(set->count, 2);
        assert_slice(set->caps[0].name, "drive:share");
        snprintf(name, sizeof name, "nextdns:%zu", i);
        assert_slice(set->caps[1].name, name);
        assert_true(policy_set_has(set, slice_str(name)));
    }
    assert_true(policy_snapshot_memory(s) > silent);
    assert_null(policy_snapshot_of(s, 9));
    assert_false(policy_snapshot_funnel(s, 9, 443));
    policy_snapshot_unref(s);
    policy_facts_unref(f);
    mem_free(text);
}

/* More than 64 words of bits; a device that the facts do not know, and one of a new kind. */
static void wide_and_late(void **state)
{
    (void)state;

    enum { MANY = 5000 };

    char *text = own_attributes(MANY);
    struct policy_facts *f = crowd(3);
    struct policy_snapshot *s = evaluate(text, f);
    struct policy_device d = f->devices[1];
    d.id = 4711;
    assert_ptr_equal(policy_snapshot_one(s, &d), policy_snapshot_set(s, 1));
    size_t sets = policy_snapshot_sets(s);
    d.user = POLICY_NO_USER;
    const struct policy_set *bare = policy_snapshot_one(s, &d);
    assert_slice(bare->json, "{\"drive:share\":null}");
    assert_ptr_equal(policy_snapshot_one(s, &d), bare);
    d.external = true;
    assert_slice(policy_snapshot_one(s, &d)->json, "{}");
    assert_int_equal(policy_snapshot_one(s, &d)->count, 0);
    assert_int_equal(policy_snapshot_sets(s), sets);
    policy_snapshot_unref(s);
    policy_facts_unref(f);
    mem_free(text);
}

static const char funnel_text[] =
    "{\"tagOwners\":{\"tag:a\":[],\"tag:b\":[],\"tag:c\":[]},\"nodeAttrs\":["
    "{\"target\":[\"tag:b\"],\"attr\":[\"funnel\"],\"app\":{\"openfunnel.org/cap/funnel\":[{\"ports\":[\"9000\"]}]}},"
    "{\"target\":[\"tag:c\"],\"attr\":[\"funnel\"],\"app\":{\"openfunnel.org/cap/funnel\":[{\"ports\":[\"9001\",8080]}]}}]}";

/* A set that no device of the facts has: its ports are merged when it is met. */
static void late_ports(void **state)
{
    (void)state;
    struct policy_facts *f = crowd(1);
    struct policy_snapshot *s = evaluate(funnel_text, f);
    const struct slice b = S("tag:b"), both[] = {S("tag:b"), S("tag:c")};
    struct policy_device d = {.user = POLICY_NO_USER, .tags = both, .tag_count = 2};
    const struct policy_set *set = policy_snapshot_one(s, &d);
    assert_true(set->funnel);
    assert_int_equal(set->port_count, 2);
    assert_int_equal(set->ports[0].first, 8080);
    assert_int_equal(set->ports[1].last, 9001);
    d.tags = &b;
    d.tag_count = 1;
    const struct policy_set *one = policy_snapshot_one(s, &d);
    assert_int_equal(one->port_count, 1);
    assert_ptr_not_equal(one, set);
    d.tags = both;
    d.tag_count = 2;
    assert_ptr_equal(policy_snapshot_one(s, &d), set);
    policy_snapshot_unref(s);
    policy_facts_unref(f);
}

/* ---- changes ---- */

static void from_nothing(void **state)
{
    (void)state;
    struct policy_changes c;
    struct policy_facts *f = crowd(3);
    struct policy_snapshot *s = evaluate(
        "{\"tagOwners\":{\"tag:a\":[]},\"nodeAttrs\":[{\"target\":[\"tag:a\",\"u1@example.com\"],\"attr\":[\"funnel\"]}]}",
        f);
    policy_changes(NULL, s, &c);
    assert_int_equal(c.count, 2);
    assert_int_equal(c.at[0].id, 11);
    assert_true(c.at[0].gains_funnel && !c.at[0].loses_funnel);
    assert_true(c.at[0].before == POLICY_NOWHERE && c.at[0].after == 1);
    assert_int_equal(c.at[1].id, 13);
    policy_changes_free(&c);
    assert_null(c.at);
    policy_changes(s, s, &c);
    assert_int_equal(c.count, 0);
    policy_changes_free(&c);
    policy_snapshot_unref(s);
    policy_facts_unref(f);
}

/* Relays hear of losses first, whatever the ids are: of funnel, and of a port of it. */
static void losses_first(void **state)
{
    (void)state;
    struct policy_changes c;
    struct policy_facts *f = crowd(5);
    struct policy_snapshot *a = evaluate(
        "{\"nodeAttrs\":[{\"target\":[\"u1@example.com\",\"u3@example.com\",\"u4@example.com\"],\"attr\":[\"funnel\"]}]}",
        f);
    struct policy_snapshot *b = evaluate(
        "{\"nodeAttrs\":[{\"target\":[\"u0@example.com\",\"u4@example.com\"],\"attr\":[\"funnel\"]},"
        "{\"target\":[\"u3@example.com\"],\"attr\":[\"funnel\"],"
        "\"app\":{\"openfunnel.org/cap/funnel\":[{\"ports\":[\"443\",\"9000\"]}]}},"
        "{\"target\":[\"u2@example.com\"],\"attr\":[\"drive:share\"]}]}",
        f);
    policy_changes(a, b, &c);
    assert_int_equal(c.count, 4);
    const int64_t order[] = {11, 13, 10, 12};
    const bool loses[] = {true, true, false, false}, gains[] = {false, true, true, false};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(c.at[i].id, order[i]);
        assert_int_equal(c.at[i].loses_funnel, loses[i]);
        assert_int_equal(c.at[i].gains_funnel, gains[i]);
    }
    policy_changes_free(&c);
    policy_snapshot_unref(a);
    policy_snapshot_unref(b);
    policy_facts_unref(f);
}

/* Two devices of many: exactly two, and none after a save that touches comments alone. */
static void exactly_two(void **state)
{
    (void)state;
    struct policy_changes c;
    struct policy_facts *f = crowd(USERS);
    char *text = own_attributes(USERS);
    struct policy_snapshot *a = evaluate(text, f);
    struct buf edited = BUF_MAX(MIB);
    buf_addf(&edited, "// only a comment\n%s// another", text);
    struct policy_snapshot *same = evaluate(buf_cstr(&edited), f);
    policy_changes(a, same, &c);
    assert_int_equal(c.count, 0);
    policy_changes_free(&c);
    buf_truncate(&edited, edited.len - strlen("]}// another"));
    buf_adds(
        &edited,
        "{\"target\":[\"u7@example.com\",\"u400@example.com\"],\"attr\":[\"ssh-aggregator\"]}]}");
    struct policy_snapshot *b = evaluate(buf_cstr(&edited), f);
    policy_changes(a, b, &c);
    assert_int_equal(c.count, 2);
    assert_int_equal(c.at[0].id, 17);
    assert_int_equal(c.at[1].id, 410);
    policy_changes_free(&c);
    policy_snapshot_unref(a);
    policy_snapshot_unref(b);
    policy_snapshot_unref(same);
    policy_facts_unref(f);
    buf_deinit(&edited);
    mem_free(text);
}

/* ---- threads ---- */

struct asking {
    struct policy_snapshot *s;
    const struct policy_set *sets[USERS];
};

static void *ask(void *arg)
{
    struct asking *a = arg;
    for (size_t i = 0; i < USERS; i++) {
        a->sets[i] = policy_snapshot_set(a->s, i);
        if (policy_snapshot_funnel(a->s, (int64_t)i + 10, 443)) {
            return a;
        }
    }
    policy_snapshot_unref(a->s);
    return NULL;
}

/* All see the same sets, each written once; the last reference frees, whoever holds it. */
static void at_once(void **state)
{
    (void)state;

    enum { THREADS = 4 };

    char *text = own_attributes(USERS);
    struct policy_facts *f = crowd(USERS);
    struct policy_snapshot *s = evaluate(text, f);
    static struct asking asking[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        asking[i].s = policy_snapshot_ref(s);
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &asking[i]), 0);
    }
    policy_snapshot_unref(s);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
        assert_memory_equal(asking[i].sets, asking[0].sets, sizeof asking[i].sets);
    }
    policy_snapshot_unref(NULL);
    policy_facts_unref(f);
    mem_free(text);
}

/* ---- the table of names ---- */

static void names(void **state)
{
    (void)state;
    static char text[2000][24];
    struct name_table exact, folded;
    names_init(&exact, NAME_EXACT, 0);
    names_init(&folded, NAME_FOLDED, 100);
    for (uint32_t i = 0; i < ARRAY_LEN(text); i++) {
        snprintf(text[i], sizeof text[i], "%.*sName-%u", (int)(i % 7), "ABCDEFG", i);
        assert_int_equal(names_add(&exact, slice_str(text[i]), i), i);
        assert_int_equal(names_add(&exact, slice_str(text[i]), 7777), i);
        assert_int_equal(names_add(&folded, slice_str(text[i]), i), i);
    }
    for (uint32_t i = 0; i < ARRAY_LEN(text); i++) {
        char other[24];
        for (size_t k = 0; k < sizeof other; k++) {
            char c = text[i][k];
            other[k] = c;
            if (c >= 'A' && c <= 'Z') {
                other[k] = "abcdefghijklmnopqrstuvwxyz"[c - 'A'];
            }
        }
        assert_int_equal(names_get(&exact, slice_str(text[i])), i);
        assert_int_equal(names_get(&exact, slice_str(other)), NAME_UNKNOWN);
        assert_int_equal(names_get(&folded, slice_str(other)), i);
    }
    assert_int_equal(names_get(&folded, S("@ame-1")), NAME_UNKNOWN);
    assert_int_equal(names_add(&exact, slice_of(NULL, 0), 5), 5);
    assert_int_equal(names_get(&exact, S("")), 5);
    names_set(&exact, S(""), 6);
    assert_int_equal(names_get(&exact, S("")), 6);
    /* only ASCII letters fold: neighbours of A and Z, and bytes past 127, do not */
    static const char *const pairs[][2] = {
        {"@", "`"}, {"[", "{"}, {"\xc3\x89", "\xc3\xa9"}, {"12345678@", "12345678`"}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        names_add(&folded, slice_str(pairs[i][0]), 9);
        assert_int_equal(names_get(&folded, slice_str(pairs[i][1])), NAME_UNKNOWN);
    }
    names_deinit(&exact);
    names_deinit(&folded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_sets),    cmocka_unit_test(wide_and_late),
        cmocka_unit_test(late_ports),   cmocka_unit_test(from_nothing),
        cmocka_unit_test(losses_first), cmocka_unit_test(exactly_two),
        cmocka_unit_test(at_once),      cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
