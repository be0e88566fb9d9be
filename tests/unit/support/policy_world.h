#pragma once
/* Control's policy without its network: a store in a folder of its own, the loop and the pool.
 * *state is a struct policy_world. */
#include "tests/unit/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "migrations/migrations.h"
#include "server/app.h"

struct policy_world {
    struct app app;
    char folder[64];
    int64_t ann, bob;
    int nodes;
};

/* One transaction around a statement list. */
#define IN_TX(w, ...)                                               \
    do {                                                            \
        AUTO(db_tx_endp) struct db_tx *tx_ = db_begin((w)->app.db); \
        assert_non_null(tx_);                                       \
        __VA_ARGS__;                                                \
        assert_int_equal(db_commit(&tx_), 0);                       \
    } while (0)

#define TURN_UNTIL(w, expr)                                        \
    do {                                                           \
        for (int turns_ = 0; turns_ < 4000 && !(expr); turns_++) { \
            assert_int_equal(loop_turn((w)->app.lp, MS(5)), 0);    \
        }                                                          \
        if (!(expr)) {                                             \
            fail_msg("line %d: never came: %s", __LINE__, #expr);  \
        }                                                          \
    } while (0)

/* In the caller's transaction. */
static inline int64_t world_add_node(struct policy_world *w, int64_t user)
{
    struct store_node n = {.user_id = user, .os = "linux", .version = "1"};
    int i = ++w->nodes;
    int64_t id = 0;
    uint8_t hash[STORE_HASH_SIZE] = {(uint8_t)i, (uint8_t)(i >> 8), 1};
    text_fit(n.stable_id, sizeof n.stable_id, "node%d", i);
    text_fit(n.label, sizeof n.label, "machine-%d", i);
    text_fit(n.transport_key, sizeof n.transport_key, "%d", i);
    text_fit(n.ipv4, sizeof n.ipv4, "100.70.%d.%d", i / 250, i % 250);
    text_fit(n.ipv6, sizeof n.ipv6, "fd7a:115c:a1e0::%x", (unsigned)i);
    assert_int_equal(
        store_node_create(w->app.db, w->app.tailnet.id, &n, slice_of(hash, sizeof hash), &id), 0);
    return id;
}

static inline void world_load(struct policy_world *w)
{
    char why[300] = "";
    if (policy_state_load(&w->app, why, sizeof why)) {
        fail_msg("%s", why);
    }
}

static inline int world_setup(void **state)
{
    struct policy_world *w = calloc(1, sizeof *w);
    char path[APP_PATH_SIZE], why[300] = "";
    if (!w) {
        return -1;
    }
    text_fit(w->folder, sizeof w->folder, "/tmp/policy-test-XXXXXX");
    if (!mkdtemp(w->folder)) {
        free(w);
        return -1;
    }
    log_setup("policy-test", LOG_ERROR, false);
    struct app *a = &w->app;
    a->cfg.state_dir = mem_strdup(w->folder);
    a->cfg.zone = mem_strdup("ts.example.net");
    app_db_path(a, path);
    if (db_open(path, DB_WRITER, why, sizeof why, &a->db) ||
        db_migrate(a->db, migrations, migration_count, why, sizeof why)) {
        fail_msg("%s", why);
    }
    IN_TX(w, {
        assert_int_equal(store_tailnet_create(a->db, S("pango-lin"), &a->tailnet.id), 0);
        int64_t t = a->tailnet.id;
        assert_int_equal(store_user_create(a->db, t, S("ann@example.com"), "owner", &w->ann), 0);
        assert_int_equal(store_user_create(a->db, t, S("bob@example.com"), "member", &w->bob), 0);
        assert_int_equal(policy_state_first(a, "ann@example.com"), 0);
    });
    assert_int_equal(store_tailnet(a->db, &a->tailnet), 0);
    a->lp = loop_new();
    a->pool = pool_new(a->lp, 2);
    *state = w;
    return 0;
}

static inline int world_teardown(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    struct policy_world *w = *state;
    char path[APP_PATH_SIZE], file[APP_PATH_SIZE + 8];
    for (int i = 0; i < 20; i++) { /* what is still being judged comes home */
        err_ignore(loop_turn(w->app.lp, MS(1)));
    }
    app_db_path(&w->app, path);
    pool_free(w->app.pool);
    policy_state_free(&w->app);
    db_close(w->app.db);
    loop_free(w->app.lp);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        text_fit(file, sizeof file, "%s%s", path, ends[i]);
        unlink(file);
    }
    int rc = rmdir(w->folder);
    mem_free(w->app.cfg.state_dir);
    mem_free(w->app.cfg.zone);
    free(w);
    return rc;
}

#define IN_A_WORLD(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

/* ---- saving ---- */

struct saving {
    bool done;
    enum policy_save_result result;
    int rc;
    size_t changed, diags;
    char first[480]; /* complaint */
};

static inline void world_saved(void *arg, const struct policy_saved *r)
{
    struct saving *s = arg;
    assert_false(s->done);
    s->done = true;
    s->result = r->result;
    s->rc = r->rc;
    s->changed = r->changed;
    s->diags = r->diags->count;
    text_cut(s->first, sizeof s->first, "%s", s->diags ? r->diags->items[0].message : "");
}

static const struct actor world_ann = {.group = "g1",
                                       .origin = "API",
                                       .type = "USER",
                                       .login = "ann@example.com",
                                       .remote = "198.51.100.1"};

static inline struct policy_save world_ask(const char *text, struct saving *s)
{
    *s = (struct saving){.done = false};
    return (struct policy_save){.text = slice_str(text),
                                .via = "api",
                                .message = "why",
                                .by = &world_ann,
                                .done = world_saved,
                                .arg = s};
}

static inline struct saving world_save(struct policy_world *w, const char *text)
{
    struct saving s;
    struct policy_save ask = world_ask(text, &s);
    policy_save(&w->app, &ask);
    TURN_UNTIL(w, s.done);
    return s;
}

static inline const struct policy_set *world_set(struct policy_world *w, int64_t node)
{
    struct store_node n;
    assert_int_equal(store_node(w->app.db, node, &n), 0);
    return policy_state_set(&w->app, &n);
}

/* "kind:node " of every change after `seq`. */
static inline void world_note(void *arg, int64_t seq, struct slice kind, int64_t node)
{
    char *seen = arg;
    size_t n = strlen(seen);
    (void)seq;
    snprintf(seen + n, 500 - n, SLICE_FMT ":%d ", SLICE_ARG(kind), (int)node);
}

static inline void world_changes(struct policy_world *w, int64_t after, char seen[500])
{
    seen[0] = '\0';
    assert_int_equal(store_changes_since(w->app.db, &after, world_note, seen), 0);
}
