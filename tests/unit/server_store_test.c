/* The store on a real SQLite file: operations, conflicts, roll-back, migrations, and kill -9 of a
 * writer. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "migrations/migrations.h"
#include "server/store_policy.h"
#include "server/store_requests.h"
#include "tests/unit/support/test.h"

static char folder[64], path[128];

static struct db *open_db(void)
{
    char why[200] = "";
    struct db *d = NULL;
    assert_int_equal(db_open(path, DB_WRITER, why, sizeof why, &d), 0);
    assert_int_equal(db_migrate(d, migrations, migration_count, why, sizeof why), 0);
    return d;
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/store-test-XXXXXX");
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/control.db", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const ends[] = {"", "-wal", "-shm"};
    char file[140];
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        snprintf(file, sizeof file, "%s%s", path, ends[i]);
        unlink(file);
    }
    return rmdir(folder);
}

static const uint8_t hash_a[32] = {1}, hash_b[32] = {2};

static void people_and_nodes(void **state)
{
    (void)state;
    struct db *d = open_db();
    int64_t tailnet, user, node;
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
    assert_int_equal(store_tailnet_create(d, S("pango-lin"), &tailnet), 0);
    assert_int_equal(store_user_create(d, tailnet, S("Ann@example.com"), "owner", &user), 0);
    assert_int_equal(store_user_create(d, tailnet, S("ann@EXAMPLE.com"), "member", &node),
                     STORE_CONFLICT);
    struct store_node n = {.user_id = user,
                           .stable_id = "n1",
                           .label = "laptop",
                           .ipv4 = "100.64.1.1",
                           .ipv6 = "fd7a::1",
                           .transport_key = "aa"};
    assert_int_equal(store_node_create(d, tailnet, &n, slice_of(hash_a, 32), &node), 0);
    assert_int_equal(store_node_create(d, tailnet, &n, slice_of(hash_b, 32), &node),
                     STORE_CONFLICT);
    assert_int_equal(store_change(d, tailnet, "node", node), 0);
    assert_int_equal(db_commit(&tx), 0);
    struct store_node got;
    assert_int_equal(store_node_by_token(d, slice_of(hash_a, 32), &got), 0);
    assert_string_equal(got.login, "Ann@example.com");
    assert_int_equal(store_node_by_token(d, slice_of(hash_b, 32), &got), STORE_NONE);
    assert_int_equal(STORE_CONFLICT, store_label_free(d, tailnet, S("laptop")));
    assert_int_equal(0, store_label_free(d, tailnet, S("desk")));
    db_close(d);
}

static void rolled_back(void **state)
{
    (void)state;
    struct db *d = open_db();
    int64_t before = store_change_head(d);
    {
        AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
        assert_non_null(tx);
        assert_int_equal(store_change(d, 1, "policy", 0), 0);
        assert_int_equal(store_change_head(d), before + 1);
    }
    assert_int_equal(store_change_head(d), before);
    assert_false(db_in_tx(d));
    db_close(d);
}

static void policy_versions(void **state)
{
    (void)state;
    struct db *d = open_db();
    struct store_policy_meta meta;
    struct buf text = BUF_MAX(1024);
    for (int i = 0; i < 3; i++) {
        char body[32];
        snprintf(body, sizeof body, "{} // %d\n", i);
        AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
        int64_t rev;
        struct store_policy_new row = {slice_str(body), "e", "ann", "api", "m"};
        assert_int_equal(store_policy_save(d, 1, &row, &rev), 0);
        assert_int_equal(db_commit(&tx), 0);
    }
    assert_int_equal(store_policy(d, 1, &meta, &text), 0);
    assert_slice(buf_slice(&text), "{} // 2\n");
    buf_deinit(&text);
    db_close(d);
}

static void one_decision(void **state)
{
    (void)state;
    struct db *d = open_db();
    struct store_request r = {.node_id = 1,
                              .port = 443,
                              .stable_id = "r1",
                              .match_code = "AAAA-2B",
                              .expires = {99}},
                         got;
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
    assert_int_equal(store_request_create(d, &r), 0);
    memcpy(r.stable_id, "r2", 3);
    assert_int_equal(store_request_create(d, &r),
                     STORE_CONFLICT); /* one pending for node and port */
    assert_int_equal(store_request(d, S("r1"), &got), 0);
    assert_int_equal(store_request_decide(d, got.id, "granted", S("ann"), S("")), 0);
    assert_int_equal(store_request_decide(d, got.id, "denied", S("bob"), S("")), STORE_NONE);
    assert_int_equal(db_commit(&tx), 0);
    assert_int_equal(store_request(d, S("r1"), &got), 0);
    assert_string_equal(got.state, "granted");
    db_close(d);
}

enum { PER_COMMIT = 3 };

/* A child commits changes by threes and says each commit on a pipe; it is killed in the middle. */
static void writer(int out)
{
    struct db *d = open_db();
    for (;;) {
        AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
        for (int i = 0; i < PER_COMMIT; i++) {
            if (store_change(d, 1, "online", 0)) {
                _exit(1);
            }
        }
        if (db_commit(&tx)) {
            _exit(1);
        }
        int64_t seq = store_change_head(d);
        if (write(out, &seq, sizeof seq) != (ssize_t)sizeof seq) {
            _exit(1);
        }
    }
}

static void count_change(void *arg, int64_t seq, struct slice kind, int64_t node)
{
    int64_t *count = arg;
    (void)seq, (void)kind, (void)node;
    ++*count;
}

static void killed_writer_loses_nothing(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        int fds[2], status = 0;
        int64_t seq = 0, last = 0, count = 0;
        struct db *d = open_db();
        int64_t start = store_change_head(d);
        db_close(d);
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(fds[0]);
            writer(fds[1]);
        }
        close(fds[1]);
        for (int i = 0; i < 5 + 17 * round && read(fds[0], &seq, sizeof seq) == (ssize_t)sizeof seq;
             i++) {
            last = seq;
        }
        usleep((useconds_t)(round * 37)); /* not always at the same place in its turn */
        kill(pid, SIGKILL);
        while (read(fds[0], &seq, sizeof seq) == (ssize_t)sizeof seq) {
            last = seq; /* what it had said before it died counts as well */
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(fds[0]);
        d = open_db();
        assert_true(last > start);
        assert_int_equal(store_changes_since(d, &start, count_change, &count), 0);
        assert_true(start >= last);
        assert_true(count >= last - start);
        assert_int_equal(count % PER_COMMIT, 0); /* whole transactions only */
        db_close(d);
    }
}

static void changed_migration_is_refused(void **state)
{
    (void)state;
    char why[200];
    struct db *d = NULL;
    struct db_migration changed = migrations[0];
    changed.sql = "SELECT 1";
    assert_int_equal(db_open(path, DB_WRITER, why, sizeof why, &d), 0);
    assert_int_equal(db_migrate(d, &changed, 1, why, sizeof why), -EINVAL);
    assert_non_null(strstr(why, "differs"));
    db_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_and_nodes),
        cmocka_unit_test(rolled_back),
        cmocka_unit_test(policy_versions),
        cmocka_unit_test(one_decision),
        cmocka_unit_test(killed_writer_loses_nothing),
        cmocka_unit_test(changed_migration_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
