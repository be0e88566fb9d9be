/* SQLite behind its guard, on real files: what opens, what a transaction keeps, what aborts, which
 * refusal is an answer and which a mistake, and databases of other versions. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/data/db.h"
#include "tests/unit/support/test.h"

static const struct db_migration first = {
    1, "0001_first.sql",
    "CREATE TABLE owners(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE pets(id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES owners(id),"
    " legs INTEGER NOT NULL CHECK (legs BETWEEN 0 AND 8), photo BLOB, note TEXT) STRICT;"};

static char folder[64], path[128];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/db-test-XXXXXX");
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/test.db", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"test.db", "test.db-wal", "test.db-shm", "link.db"};
    char file[140];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(file, sizeof file, "%s/%s", folder, names[i]);
        unlink(file);
    }
    return rmdir(folder);
}

static struct db *open_at(const char *at, enum db_mode mode)
{
    char why[300] = "";
    struct db *d = NULL;
    if (db_open(at, mode, why, sizeof why, &d)) {
        fail_msg("%s", why);
    }
    return d;
}

static struct db *open_made(void)
{
    char why[300] = "";
    struct db *d = open_at(path, DB_WRITER);
    if (db_migrate(d, &first, 1, why, sizeof why)) {
        fail_msg("%s", why);
    }
    return d;
}

static int add_owner(struct db *d, const char *name)
{
    struct db_stmt *s = db_stmt(d, "INSERT INTO owners(name) VALUES(:name)");
    db_bind_text(s, ":name", slice_str(name));
    return db_exec(s);
}

static int add_pet(struct db *d, int64_t owner, int64_t legs)
{
    struct db_stmt *s = db_stmt(d, "INSERT INTO pets(owner, legs, photo, note)"
                                   " VALUES(:owner, :legs, :photo, :note)");
    db_bind_i64(s, ":owner", owner);
    db_bind_i64(s, ":legs", legs);
    db_bind_blob(s, ":photo", S("\0\xff\0"));
    db_bind_text_or_null(s, ":note", S(""));
    return db_exec(s);
}

static int64_t one_number(struct db *d, const char *sql)
{
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, sql);
    assert_int_equal(db_step(s), DB_ROW);
    return db_col_i64(s, "n");
}

static int64_t owners(struct db *d)
{
    return one_number(d, "SELECT count(*) AS n FROM owners");
}

/* ---- opening ---- */

static void opens_as_promised(void **state)
{
    (void)state;
    struct db *d = open_made();
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(d); /* SQLite counts the question as a write */
    AUTO(db_resetp) struct db_stmt *s = db_stmt(d, "PRAGMA journal_mode");
    assert_int_equal(db_step(s), DB_ROW);
    assert_slice(db_col_text(s, "journal_mode"), "wal");
    AUTO(db_resetp) struct db_stmt *full = db_stmt(d, "PRAGMA synchronous");
    assert_int_equal(db_step(full), DB_ROW);
    assert_int_equal(db_col_i64(full, "synchronous"), 2);
    AUTO(db_resetp) struct db_stmt *keys = db_stmt(d, "PRAGMA foreign_keys");
    assert_int_equal(db_step(keys), DB_ROW);
    assert_int_equal(db_col_i64(keys, "foreign_keys"), 1);
    db_reset(s);
    db_reset(full);
    db_reset(keys);
    s = full = keys = NULL;
    assert_int_equal(db_commit(&tx), 0);
    db_close(d);
}

static void linked_folder_yes_linked_file_no(void **state)
{
    (void)state;
    char link[80], through[200], file[200], why[300] = "";
    struct db *d = open_made();
    db_close(d);
    snprintf(link, sizeof link, "%s-link", folder);
    assert_int_equal(symlink(folder, link), 0);
    snprintf(through, sizeof through, "%s/test.db", link);
    d = open_at(through, DB_WRITER);
    assert_int_equal(owners(d), 0);
    db_close(d);
    unlink(link);
    snprintf(file, sizeof file, "%s/link.db", folder);
    assert_int_equal(symlink(path, file), 0);
    d = NULL;
    assert_true(db_open(file, DB_WRITER, why, sizeof why, &d) < 0);
    assert_null(d);
    assert_non_null(strstr(why, "link.db"));
}

static void does_not_open(void **state)
{
    (void)state;
    char why[300] = "";
    struct db *d = NULL;
    assert_int_equal(db_open("/nowhere/at/all.db", DB_WRITER, why, sizeof why, &d), -ENOENT);
    assert_non_null(strstr(why, "/nowhere/at/all.db"));
    assert_true(db_open(path, DB_READER, why, sizeof why, &d) < 0); /* readers do not create */
    assert_int_equal(access(path, F_OK), -1);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    for (int i = 0; i < 200; i++) {
        assert_true(fputs("this is a letter, not a database\n", f) >= 0);
    }
    fclose(f);
    assert_true(db_open(path, DB_WRITER, why, sizeof why, &d) < 0);
    assert_non_null(strstr(why, "not a database"));
    assert_null(d);
}

static void reader_reads_only(void **state)
{
    (void)state;
    struct db *w = open_made();
    struct db *r = open_at(path, DB_READER);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(w);
    assert_int_equal(add_owner(w, "ann"), 0);
    assert_int_equal(owners(r), 0); /* not yet committed */
    assert_int_equal(db_commit(&tx), 0);
    assert_int_equal(owners(r), 1);
    assert_null(db_begin(r));
    assert_false(db_in_tx(r));
    db_close(r);
    db_close(w);
}

/* ---- the guard ---- */

static void commit_keeps_and_scope_end_undoes(void **state)
{
    (void)state;

    struct db *d = open_made();
    {
        AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
        assert_true(db_in_tx(d));
        assert_int_equal(add_owner(d, "ann"), 0);
        assert_int_equal(db_last_id(d), 1);
        assert_int_equal(db_changes(d), 1);
        assert_int_equal(db_commit(&tx), 0);
        assert_null(tx);
        assert_false(db_in_tx(d));
    }

    {
        AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
        assert_non_null(tx);
        assert_int_equal(add_owner(d, "bob"), 0);
        assert_int_equal(owners(d), 2);
    }
    assert_false(db_in_tx(d));
    assert_int_equal(owners(d), 1);
    db_close(d);
    d = open_made();
    assert_int_equal(owners(d), 1);
    db_close(d);
}

static void second_writer_waits_or_hears_busy(void **state)
{
    (void)state;
    struct db *a = open_made(), *b = open_made();
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a);
    assert_non_null(tx);
    assert_null(db_begin(b)); /* after its 5 s of patience */
    assert_non_null(strstr(db_error(b), "locked"));
    assert_int_equal(db_commit(&tx), 0);
    AUTO(db_tx_endp) struct db_tx *again = db_begin(b);
    assert_non_null(again);
    assert_int_equal(add_owner(b, "ann"), 0);
    assert_int_equal(db_commit(&again), 0);
    assert_int_equal(owners(a), 1);
    db_close(a);
    db_close(b);
}

static void refusals(void **state)
{
    (void)state;
    struct db *d = open_made();
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
    assert_int_equal(add_owner(d, "ann"), 0);
    assert_int_equal(add_owner(d, "ann"), DB_CONFLICT);
    assert_int_equal(add_pet(d, 1, 4), 0);
    assert_int_equal(add_pet(d, 77, 4), DB_CONFLICT); /* no such owner */
    assert_int_equal(add_pet(d, 1, 9), -EINVAL);      /* CHECK: our caller's mistake */
    struct db_stmt *s = db_stmt(d, "INSERT INTO owners(name) VALUES(:name)");
    db_bind_null(s, ":name");
    assert_int_equal(db_exec(s), -EINVAL);
    s = db_stmt(d, "INSERT INTO pets(owner, legs) VALUES(1, :legs)");
    db_bind_text(s, ":legs", S("four")); /* STRICT */
    assert_int_equal(db_exec(s), -EINVAL);
    assert_int_equal(db_commit(&tx), 0); /* a refused statement does not end the transaction */
    assert_int_equal(owners(d), 1);
    assert_int_equal(one_number(d, "SELECT count(*) AS n FROM pets"), 1);
    db_close(d);
}

static void columns(void **state)
{
    (void)state;
    struct db *d = open_made();
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
    assert_int_equal(add_owner(d, "a'; DROP TABLE owners; --"), 0);
    assert_int_equal(add_pet(d, 1, 0), 0);
    assert_int_equal(db_commit(&tx), 0);
    {
        AUTO(db_resetp)
        struct db_stmt *s =
            db_stmt(d, "SELECT o.name AS name, p.legs AS legs, p.photo AS photo,"
                       " p.note AS note FROM pets p JOIN owners o ON o.id = p.owner");
        assert_int_equal(db_step(s), DB_ROW);
        assert_slice(db_col_text(s, "name"), "a'; DROP TABLE owners; --");
        assert_int_equal(db_col_i64(s, "legs"), 0);
        assert_false(db_col_null(s, "legs"));
        assert_true(db_col_null(s, "note"));
        assert_int_equal(db_col_text(s, "note").n, 0);
        struct slice photo = db_col_blob(s, "photo");
        assert_int_equal(photo.n, 3);
        assert_memory_equal(photo.p, "\0\xff\0", 3);
        assert_int_equal(db_step(s), DB_DONE);
    }
    db_close(d);
}

/* A cached statement comes back without what was bound the last time. */
static void cached_statement_is_clean(void **state)
{
    (void)state;
    struct db *d = open_made();
    const char *sql = "SELECT coalesce(:v, -1) AS n";
    struct db_stmt *s = db_stmt(d, sql), *before = s;
    db_bind_i64(s, ":v", 7);
    assert_int_equal(db_step(s), DB_ROW);
    assert_int_equal(db_col_i64(s, "n"), 7);
    db_reset(s);
    s = db_stmt(d, sql);
    assert_ptr_equal(s, before);
    assert_int_equal(db_step(s), DB_ROW);
    assert_int_equal(db_col_i64(s, "n"), -1);
    db_reset(s);
    db_close(d);
}

/* ---- what aborts ---- */

static void write_outside(struct db *d)
{
    (void)add_owner(d, "nobody");
}

static void begin_twice(struct db *d)
{
    if (db_begin(d)) {
        (void)db_begin(d);
    }
}

static void bad_text(struct db *d)
{
    (void)db_stmt(d, "SELEKT 1");
}

static void no_such_parameter(struct db *d)
{
    db_bind_i64(db_stmt(d, "SELECT :a AS n"), ":b", 1);
}

static void no_such_column(struct db *d)
{
    struct db_stmt *s = db_stmt(d, "SELECT 1 AS n");
    if (db_step(s) == DB_ROW) {
        (void)db_col_i64(s, "m");
    }
}

static void rewound_under_its_reader(struct db *d)
{
    struct db_stmt *s = db_stmt(d, "SELECT 1 AS n UNION SELECT 2");
    if (db_step(s) == DB_ROW) {
        (void)db_stmt(d, "SELECT 1 AS n UNION SELECT 2");
    }
}

static void bugs_abort(void **state)
{
    (void)state;
    static void (*const bugs[])(struct db *) = {write_outside,  begin_twice,
                                                bad_text,       no_such_parameter,
                                                no_such_column, rewound_under_its_reader};
    db_close(open_made());
    for (size_t i = 0; i < ARRAY_LEN(bugs); i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
            if (!freopen("/dev/null", "we", stderr)) {
                _exit(2);
            }
            signal(SIGABRT, SIG_DFL); /* cmocka has its own */
            bugs[i](open_made());
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) {
            fail_msg("bug %zu was let through (status %#x)", i, (unsigned)status);
        }
    }
    struct db *d = open_made();
    assert_int_equal(owners(d), 0);
    db_close(d);
}

/* ---- migrations ---- */

static void migrations_once_in_order(void **state)
{
    (void)state;
    char why[300] = "";
    const struct db_migration list[] = {
        first, {2, "0002_more.sql", "INSERT INTO owners(name) VALUES('from the second');"}};
    struct db *d = open_made();
    assert_int_equal(db_migrate(d, list, 2, why, sizeof why), 0);
    assert_int_equal(db_migrate(d, list, 2, why, sizeof why), 0);
    assert_int_equal(owners(d), 1);
    db_close(d);
}

static void broken_migration_leaves_nothing(void **state)
{
    (void)state;
    char why[300] = "";
    struct db_migration list[] = {
        first,
        {2, "0002_bad.sql",
         "INSERT INTO owners(name) VALUES('half'); INSERT INTO nowhere VALUES(1);"}};
    struct db *d = open_made();
    assert_true(db_migrate(d, list, 2, why, sizeof why) < 0);
    assert_non_null(strstr(why, "0002_bad.sql"));
    assert_non_null(strstr(why, "no such table: nowhere"));
    assert_int_equal(owners(d), 0);
    assert_false(db_in_tx(d));
    list[1].sql =
        "INSERT INTO owners(name) VALUES('whole');"; /* it was never applied: may change */
    assert_int_equal(db_migrate(d, list, 2, why, sizeof why), 0);
    assert_int_equal(owners(d), 1);
    db_close(d);
}

static void foreign_databases(void **state)
{
    (void)state;
    char why[300] = "";
    const struct db_migration two[] = {first, {2, "0002_x.sql", "SELECT 1;"}};
    struct db_migration changed = first;
    struct db *d = open_made();
    changed.sql = "CREATE TABLE owners(id INTEGER PRIMARY KEY) STRICT;";
    assert_int_equal(db_migrate(d, &changed, 1, why, sizeof why), -EINVAL);
    assert_non_null(strstr(why, "0001_first.sql differs"));
    assert_int_equal(db_migrate(d, two, 2, why, sizeof why), 0);
    assert_int_equal(db_migrate(d, two, 1, why, sizeof why), -EINVAL);
    assert_non_null(strstr(why, "newer version"));
    db_close(d);
}

/* ---- the write-ahead log ---- */

/* `pages` of 4 KiB, in commits of 250. */
static void write_pages(struct db *d, int64_t owner, int pages)
{
    static char page[4096];
    for (int i = 0; i < pages;) {
        AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
        for (int k = 0; k < 250; k++, i++) {
            struct db_stmt *s = db_stmt(d, "INSERT INTO pets(owner, legs, photo, note)"
                                           " VALUES(:owner, 4, :photo, '')");
            db_bind_i64(s, ":owner", owner);
            db_bind_blob(s, ":photo", slice_of(page, sizeof page));
            assert_int_equal(db_exec(s), 0);
        }
        assert_int_equal(db_commit(&tx), 0);
    }
}

static void log_is_copied_by_whoever_is_asked(void **state)
{
    (void)state;
    struct db *d = open_made();
    int64_t owner;
    {
        AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
        assert_int_equal(add_owner(d, "ann"), 0);
        owner = db_last_id(d);
        assert_int_equal(db_commit(&tx), 0);
    }
    write_pages(d, owner, 2 * DB_LOG_PAGES);
    int before = db_log_pages(d);
    assert_true(before > 2 * DB_LOG_PAGES); /* nobody copied in the middle of a commit */
    assert_int_equal(db_checkpoint(path), 0);
    write_pages(d, owner, 250);
    assert_true(db_log_pages(d) < DB_LOG_PAGES); /* it begins again */
    write_pages(d, owner, 20 * DB_LOG_PAGES);    /* nobody helps */
    assert_true(db_log_pages(d) < 17 * DB_LOG_PAGES);
    db_close(d);
    assert_true(db_checkpoint("/nowhere/at/all.db") < 0);
}

int main(void)
{
#define IN_A_FOLDER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(opens_as_promised),
        IN_A_FOLDER(linked_folder_yes_linked_file_no),
        IN_A_FOLDER(does_not_open),
        IN_A_FOLDER(reader_reads_only),
        IN_A_FOLDER(commit_keeps_and_scope_end_undoes),
        IN_A_FOLDER(second_writer_waits_or_hears_busy),
        IN_A_FOLDER(refusals),
        IN_A_FOLDER(columns),
        IN_A_FOLDER(cached_statement_is_clean),
        IN_A_FOLDER(bugs_abort),
        IN_A_FOLDER(migrations_once_in_order),
        IN_A_FOLDER(broken_migration_leaves_nothing),
        IN_A_FOLDER(foreign_databases),
        IN_A_FOLDER(log_is_copied_by_whoever_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
