/* Policy versions, their settings, the count of the facts, and what a database of version 0.1
 * becomes. */
#include <errno.h>

#include "tests/unit/support/store.h"

struct ids {
    int64_t tailnet, user, node;
};

static void fill_node(struct store_node *n, int number, int64_t user)
{
    *n = (struct store_node){.user_id = user, .os = "linux", .version = "1"};
    snprintf(n->stable_id, sizeof n->stable_id, "node%d", number);
    snprintf(n->label, sizeof n->label, "laptop-%d", number);
    snprintf(n->ipv4, sizeof n->ipv4, "100.64.0.%d", number);
    snprintf(n->ipv6, sizeof n->ipv6, "fd7a:115c:a1e0::%d", number);
    snprintf(n->transport_key, sizeof n->transport_key, "key%d", number);
}

static int add_node(struct db *d, int64_t tailnet, int number, int64_t user, int64_t *out_id)
{
    struct store_node n;
    uint8_t hash[32] = {(uint8_t)number};
    fill_node(&n, number, user);
    return store_node_create(d, tailnet, &n, slice_of(hash, sizeof hash), out_id);
}

static struct ids populate(struct db *d)
{
    struct ids i = {0};
    assert_int_equal(store_tailnet_create(d, S("pango-lin"), &i.tailnet), 0);
    assert_int_equal(store_user_create(d, i.tailnet, S("ann@example.com"), "owner", &i.user), 0);
    assert_int_equal(add_node(d, i.tailnet, 1, i.user, &i.node), 0);
    return i;
}

#define BEGIN(w)            \
    struct db *d = (w)->db; \
    AUTO(db_tx_endp)        \
    struct db_tx *tx = db_begin(d)

static int64_t save(struct db *d, int64_t tailnet, struct slice text, const char *etag)
{
    int64_t rev = 0;
    struct store_policy_new p = {text, etag, "ann@example.com", "api", "why"};
    assert_int_equal(store_policy_save(d, tailnet, &p, &rev), 0);
    return rev;
}

/* ---- versions ---- */

static void policy_keeps_bytes(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct store_policy_meta meta;
    struct buf text = BUF_MAX(64), small = BUF_MAX(3);
    static const char bytes[] = "{\r\n\t// \xff \0 kept\r\n}";
    assert_non_null(tx);
    assert_int_equal(store_policy(d, i.tailnet, &meta, &text), STORE_NONE);
    int64_t first = save(d, i.tailnet, slice_of(bytes, sizeof bytes), "tag1");
    assert_int_equal(store_policy(d, i.tailnet, &meta, &small), -EMSGSIZE);
    assert_int_equal(store_policy(d, i.tailnet, &meta, &text), 0);
    assert_int_equal(buf_slice(&text).n, sizeof bytes);
    assert_memory_equal(buf_slice(&text).p, bytes, sizeof bytes);
    assert_int_equal(meta.size, sizeof bytes);
    assert_string_equal(meta.etag, "tag1");
    assert_string_equal(meta.author, "ann@example.com");
    assert_string_equal(meta.via, "api");
    assert_string_equal(meta.message, "why");
    assert_true(meta.current);
    buf_clear(&text);
    assert_true(save(d, i.tailnet, S("{}"), "tag2") > first);
    assert_int_equal(store_policy(d, i.tailnet, &meta, &text), 0);
    assert_slice(buf_slice(&text), "{}");
    assert_int_equal(store_policy_version(d, i.tailnet, first, &meta, NULL), 0);
    assert_string_equal(meta.etag, "tag1");
    assert_false(meta.current);
    assert_int_equal(store_policy_version(d, i.tailnet + 1, first, &meta, NULL), STORE_NONE);
    buf_deinit(&text);
    buf_deinit(&small);
}

static void note_version(void *arg, const struct store_policy_meta *m)
{
    char *seen = arg;
    size_t n = strlen(seen);
    snprintf(seen + n, 200 - n, "%s%s ", m->etag, m->current ? "*" : "");
}

static void history_pages_backwards(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    int64_t revs[5];
    assert_non_null(tx);
    for (int k = 0; k < 5; k++) {
        char etag[8];
        snprintf(etag, sizeof etag, "e%d", k);
        revs[k] = save(d, i.tailnet, S("{}"), etag);
    }
    char seen[200] = "";
    assert_int_equal(store_policies_each(d, i.tailnet, 0, 2, note_version, seen), 0);
    assert_string_equal(seen, "e4* e3 ");
    seen[0] = '\0';
    assert_int_equal(store_policies_each(d, i.tailnet, revs[3], 10, note_version, seen), 0);
    assert_string_equal(seen, "e2 e1 e0 ");
    seen[0] = '\0';
    assert_int_equal(store_policies_each(d, i.tailnet + 1, 0, 10, note_version, seen), 0);
    assert_string_equal(seen, "");
}

static void settings_are_kept(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    struct store_policy_settings s;
    assert_non_null(tx);
    assert_int_equal(store_policy_settings(d, i.tailnet, &s), 0);
    assert_true(!s.locked && !s.require_if_match && !s.format_on_save && !s.link[0]);
    s = (struct store_policy_settings){
        .locked = true, .link = "https://git.example/acl", .format_on_save = true};
    assert_int_equal(store_policy_settings_set(d, i.tailnet, &s), 0);
    s = (struct store_policy_settings){.require_if_match = true};
    assert_int_equal(store_policy_settings(d, i.tailnet, &s), 0);
    assert_true(s.locked && !s.require_if_match && s.format_on_save);
    assert_string_equal(s.link, "https://git.example/acl");
    assert_int_equal(store_policy_settings_set(d, 99, &s), STORE_NONE);
    assert_int_equal(store_policy_settings(d, 99, &s), STORE_NONE);
}

/* ---- facts ---- */

static int64_t sequence(struct db *d, int64_t tailnet)
{
    struct store_facts f;
    assert_int_equal(store_facts(d, tailnet, &f), 0);
    return f.sequence;
}

#define MOVES(expr)                                    \
    do {                                               \
        int64_t before_ = sequence(d, i.tailnet);      \
        assert_int_equal((expr), 0);                   \
        assert_true(sequence(d, i.tailnet) > before_); \
    } while (0)
#define STAYS(expr)                                        \
    do {                                                   \
        int64_t before_ = sequence(d, i.tailnet);          \
        assert_int_equal((expr), 0);                       \
        assert_int_equal(sequence(d, i.tailnet), before_); \
    } while (0)

static void every_fact_counts_and_nothing_else(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    int64_t bob, node;
    uint8_t hash[32] = {9};
    struct store_policy_settings s = {.require_if_match = true};
    assert_non_null(tx);
    MOVES(store_user_create(d, i.tailnet, S("bob@example.com"), "member", &bob));
    MOVES(add_node(d, i.tailnet, 2, bob, &node));
    MOVES(store_node_tag(d, node, S("[\"tag:db\"]"), 0));
    MOVES(store_node_address(d, node, S("100.64.9.9")));
    MOVES(store_user_role(d, bob, "auditor"));
    MOVES(store_user_suspend(d, bob, true));
    MOVES(store_node_delete(d, node));
    MOVES(store_user_delete(d, bob));
    MOVES(store_tailnet_https(d, i.tailnet, true));
    STAYS(store_node_remote(d, i.node, S("198.51.100.1")));
    STAYS(store_node_rekey(d, i.node, slice_of(hash, sizeof hash)));
    STAYS(store_policy_settings_set(d, i.tailnet, &s));
    STAYS(store_change(d, i.tailnet, "online", i.node));
    STAYS((save(d, i.tailnet, S("{}"), "e"), 0));
}

static void note_user(void *arg, const struct store_fact_user *u)
{
    char *seen = arg;
    size_t n = strlen(seen);
    snprintf(seen + n, 400 - n, SLICE_FMT "/" SLICE_FMT "%s ", SLICE_ARG(u->login),
             SLICE_ARG(u->role), u->suspended ? "/suspended" : "");
}

static void note_node(void *arg, const struct store_fact_node *f)
{
    char *seen = arg;
    size_t n = strlen(seen);
    snprintf(seen + n, 400 - n, SLICE_FMT "/%d/" SLICE_FMT "/" SLICE_FMT " ", SLICE_ARG(f->label),
             (int)f->user_id, SLICE_ARG(f->tags), SLICE_ARG(f->ipv4));
}

static void facts_are_read_whole(void **state)
{
    BEGIN((struct store_world *)*state);
    struct ids i = populate(d);
    int64_t bob, node;
    char seen[400] = "";
    assert_non_null(tx);
    assert_int_equal(store_user_create(d, i.tailnet, S("bob@example.com"), "member", &bob), 0);
    assert_int_equal(add_node(d, i.tailnet, 2, bob, &node), 0);
    assert_int_equal(store_node_tag(d, node, S("[\"tag:db\"]"), 0), 0);
    assert_int_equal(store_user_suspend(d, bob, true), 0);
    assert_int_equal(store_fact_users(d, i.tailnet, note_user, seen), 0);
    assert_string_equal(seen, "ann@example.com/owner bob@example.com/member/suspended ");
    seen[0] = '\0';
    assert_int_equal(store_fact_nodes(d, i.tailnet, note_node, seen), 0);
    assert_string_equal(seen, "laptop-1/1/[]/100.64.0.1 laptop-2/0/[\"tag:db\"]/100.64.0.2 ");
    /* Untagged again; the owner's devices go with the owner, tagged ones stay. */
    assert_int_equal(store_node_tag(d, i.node, S("[\"tag:web\"]"), 0), 0);
    assert_int_equal(store_node_tag(d, node, S("[]"), bob), 0);
    assert_int_equal(store_user_delete(d, bob), 0);
    assert_int_equal(store_user_delete(d, bob), STORE_NONE);
    seen[0] = '\0';
    assert_int_equal(store_fact_nodes(d, i.tailnet, note_node, seen), 0);
    assert_string_equal(seen, "laptop-1/0/[\"tag:web\"]/100.64.0.1 ");
    assert_int_equal(store_node_address(d, 77, S("100.64.0.77")), STORE_NONE);
}

/* ---- a database of version 0.1 ---- */

static const char old_rows[] =
    "INSERT INTO tailnets(id, stable_id, name, created) VALUES(1, 't', 'pango-lin', 1);"
    "INSERT INTO policies(tailnet_id, text, etag, author, message, created, current)"
    " VALUES(1, x'7b7d', 'raw', 'ann', 'first', 1, 1);"
    "INSERT INTO changes(seq, tailnet_id, kind, at) VALUES(41, 1, 'policy', 1), (42, 1, 'node', 1);"
    "DELETE FROM changes WHERE seq = 42;";

static void old_databases_keep_everything(void **state)
{
    struct store_world *w = *state;
    char why[300] = "", path[128];
    struct db *d = NULL;
    snprintf(path, sizeof path, "%s/old.db", w->folder);
    struct db_migration list[16];
    assert_true(migration_count < ARRAY_LEN(list));
    /* The rows are the second migration's: SQL stands in migrations. */
    list[0] = migrations[0];
    list[1] = (struct db_migration){1000, "rows", old_rows};
    assert_int_equal(db_open(path, DB_WRITER, why, sizeof why, &d), 0);
    assert_int_equal(db_migrate(d, list, 2, why, sizeof why), 0);
    for (size_t k = 1; k < migration_count; k++) {
        list[k + 1] = migrations[k];
    }
    if (db_migrate(d, list, migration_count + 1, why, sizeof why)) {
        fail_msg("%s", why);
    }
    struct buf text = BUF_MAX(64);
    struct store_policy_meta meta;
    int64_t rev;
    assert_int_equal(store_policy_unsummed(d, &rev, &text), 0);
    assert_slice(buf_slice(&text), "{}");
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
    assert_int_equal(store_policy_summed(d, rev, "formatted"), 0);
    assert_int_equal(store_policy_unsummed(d, &rev, &text), STORE_NONE);
    assert_int_equal(store_policy(d, 1, &meta, NULL), 0);
    assert_string_equal(meta.etag, "formatted");
    assert_string_equal(meta.message, "first");
    assert_int_equal(store_change_head(d), 42); /* also the one that is gone */
    assert_int_equal(store_change(d, 1, "capabilities", 0), 0);
    assert_int_equal(store_change_head(d), 43);
    assert_int_equal(store_change(d, 1, "weather", 0), -EINVAL);
    assert_int_equal(db_commit(&tx), 0);
    buf_deinit(&text);
    db_close(d);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_STORE(policy_keeps_bytes),   IN_A_STORE(history_pages_backwards),
        IN_A_STORE(settings_are_kept),    IN_A_STORE(every_fact_counts_and_nothing_else),
        IN_A_STORE(facts_are_read_whole), IN_A_STORE(old_databases_keep_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
