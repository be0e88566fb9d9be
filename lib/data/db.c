/*
 * SQLite with its rules enforced in one place: a write outside the guard is a
 * bug and aborts, and so is a statement used again while its rows are still
 * being read (the cache would silently rewind the outer reader). Statements
 * are found by their text, so that preparing costs one hash.
 */
#include "lib/data/db.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/err.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"

enum { BUSY_MS = 5000 }; /* another writer is only ever a person with the sqlite3 shell */

struct db_stmt {
    struct db *db;
    sqlite3_stmt *s;
    int columns, next; /* next: where the column that is read now is looked for first */
    bool writes;
};

struct db {
    sqlite3 *h;
    struct map *stmts; /* by text */
    struct db_tx *tx;
    int log_pages;
};

struct db_tx {
    struct db *db;
    const char *file;
    int line;
};

static int to_errno(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
        return 0;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    default: /* foreign enum */
        return -EIO;
    }
}

const char *db_error(const struct db *d)
{
    return sqlite3_errmsg(d->h);
}

static int run(struct db *d, const char *sql)
{
    int rc = sqlite3_exec(d->h, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : err_origin(to_errno(rc));
}

/* PRAGMA journal_mode answers with the mode it could set instead of failing. */
static bool in_wal(struct db *d)
{
    sqlite3_stmt *s = NULL;
    bool wal = sqlite3_prepare_v2(d->h, "PRAGMA journal_mode", -1, &s, NULL) == SQLITE_OK &&
               sqlite3_step(s) == SQLITE_ROW &&
               sqlite3_stricmp((const char *)sqlite3_column_text(s, 0), "wal") == 0;
    sqlite3_finalize(s);
    return wal;
}

static int say(struct db *d, char *out_why, size_t why_size, const char *what, const char *path)
{
    int code = d->h ? sqlite3_errcode(d->h) : SQLITE_NOMEM;
    text_cut(out_why, why_size, "%s %s: %s", what, path,
             !d->h               ? "out of memory"
             : code == SQLITE_OK ? "the file system cannot hold a write-ahead log"
                                 : db_error(d));
    return err_origin(code == SQLITE_OK ? -EIO : to_errno(code));
}

/* In place of SQLite's own hook, which would copy every thousand pages, in the middle of a commit.
 */
static int on_log(void *arg, sqlite3 *h, const char *name, int pages)
{
    struct db *d = arg;
    d->log_pages = pages;
    return pages < 16 * DB_LOG_PAGES
               ? SQLITE_OK
               : sqlite3_wal_checkpoint_v2(h, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

int db_log_pages(const struct db *d)
{
    return d->log_pages;
}

int db_checkpoint(const char *path)
{
    sqlite3 *h = NULL;
    int rc = sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    /* A connection that has read nothing knows of no log. */
    rc = rc == SQLITE_OK ? sqlite3_exec(h, "PRAGMA schema_version", NULL, NULL, NULL) : rc;
    rc = rc == SQLITE_OK ? sqlite3_wal_checkpoint_v2(h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL)
                         : rc;
    sqlite3_close_v2(h);
    return rc == SQLITE_OK ? 0 : err_origin(to_errno(rc));
}

static int harden(struct db *d, enum db_mode mode)
{
    if (mode == DB_WRITER) {
        sqlite3_wal_hook(d->h, on_log, d);
    }
    sqlite3_busy_timeout(d->h, BUSY_MS);
    sqlite3_db_config(d->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(d->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(d->h, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    int rc =
        run(d, mode == DB_WRITER
                   ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                     "PRAGMA secure_delete=ON; PRAGMA cell_size_check=ON;"
                   : "PRAGMA query_only=ON; PRAGMA foreign_keys=ON;");
    return rc ? rc : mode == DB_READER || in_wal(d) ? 0 : err_origin(-EIO);
}

/* A state folder may well be reached through a link (systemd makes such); only the file itself may
 * not be one, and SQLite's NOFOLLOW judges the whole path: the folder is resolved first. */
static int resolve(const char *path, char out[PATH_MAX])
{
    struct slice whole = slice_str(path);
    ptrdiff_t cut = slice_rfind(whole, '/');
    char folder[PATH_MAX], real[PATH_MAX];
    struct slice in = cut < 0 ? S(".") : cut == 0 ? S("/") : slice_sub(whole, 0, (size_t)cut);
    if (!slice_copy(in, folder, sizeof folder)) {
        return -ENAMETOOLONG;
    }
    if (!realpath(folder, real)) {
        return -errno;
    }
    struct slice name = slice_skip(whole, (size_t)(cut + 1));
    int n = snprintf(out, PATH_MAX, "%s/" SLICE_FMT, real, SLICE_ARG(name));
    return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int db_open(const char *path, enum db_mode mode, char *out_why, size_t why_size, struct db **out_db)
{
    char real[PATH_MAX];
    int rc = resolve(path, real);
    if (rc < 0) {
        text_cut(out_why, why_size, "cannot open %s: its folder: %s", path, err_words(rc));
        return err_origin(rc);
    }
    struct db *d = mem_new(sizeof *d);
    int flags =
        mode == DB_WRITER ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    /* The file holds hashes and names. A reader makes none, and may be opened by any thread: the
     * mask belongs to the whole process. */
    mode_t old = mode == DB_WRITER ? umask(077) : 0;
    rc = sqlite3_open_v2(real, &d->h, flags | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX, NULL);
    rc = rc == SQLITE_OK ? harden(d, mode) : -1;
    if (mode == DB_WRITER) {
        umask(old);
    }
    d->stmts = map_new();
    if (rc) {
        rc = say(d, out_why, why_size, "cannot open", path);
        db_close(d);
        return rc;
    }
    *out_db = d;
    return 0;
}

void db_close(struct db *d)
{
    struct map_iter it = {0};
    struct slice key;
    void *value;
    if (!d) {
        return;
    }
    while (d->stmts && map_next(d->stmts, &it, &key, &value)) {
        struct db_stmt *s = value;
        sqlite3_finalize(s->s);
        mem_free(s);
    }
    map_free(d->stmts);
    sqlite3_close_v2(d->h);
    mem_free(d);
}

/* ---- the guard ---- */

struct db_tx *db_begin_at(struct db *d, const char *file, int line)
{
    if (d->tx) {
        fprintf(stderr, "transaction at %s:%d inside the one of %s:%d\n", file, line, d->tx->file,
                d->tx->line);
        abort();
    }
    if (run(d, "BEGIN IMMEDIATE")) {
        return NULL;
    }
    d->tx = mem_new(sizeof *d->tx);
    *d->tx = (struct db_tx){.db = d, .file = file, .line = line};
    return d->tx;
}

int db_commit(struct db_tx **tx)
{
    struct db *d = (*tx)->db;
    int rc = run(d, "COMMIT");
    if (rc < 0) {
        return err_trace(rc); /* the guard's end rolls back */
    }
    mem_free(d->tx);
    d->tx = NULL;
    *tx = NULL;
    return 0;
}

void db_tx_endp(struct db_tx **tx)
{
    if (*tx) {
        struct db *d = (*tx)->db;
        if (!sqlite3_get_autocommit(d->h)) { /* else SQLite has rolled back itself: disk full */
            err_ignore(run(d, "ROLLBACK"));  /* nothing was acknowledged either way */
        }
        mem_free(d->tx);
        d->tx = NULL;
        *tx = NULL;
    }
}

bool db_in_tx(const struct db *d)
{
    return d->tx != NULL;
}

/* ---- statements ---- */

struct db_stmt *db_stmt(struct db *d, const char *sql)
{
    struct db_stmt *s = map_get(d->stmts, slice_str(sql));
    if (!s) {
        sqlite3_stmt *h = NULL;
        if (sqlite3_prepare_v3(d->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &h, NULL) != SQLITE_OK) {
            fprintf(stderr, "statement does not prepare: %s\n%s\n", db_error(d), sql);
            abort(); /* a bug in our own text, found by the first test that runs it */
        }
        s = mem_new(sizeof *s);
        *s = (struct db_stmt){.db = d, .s = h, .writes = !sqlite3_stmt_readonly(h)};
        map_set(d->stmts, slice_str(sql), s);
    }
    if (s->writes && !d->tx) {
        fprintf(stderr, "write outside a transaction: %s\n", sql);
        abort();
    }
    if (sqlite3_stmt_busy(s->s)) {
        fprintf(stderr, "statement used while its rows are being read: %s\n", sql);
        abort();
    }
    sqlite3_reset(s->s);
    sqlite3_clear_bindings(s->s);
    return s;
}

static int param(struct db_stmt *s, const char *name)
{
    int i = sqlite3_bind_parameter_index(s->s, name);
    if (!i) {
        fprintf(stderr, "no parameter %s in: %s\n", name, sqlite3_sql(s->s));
        abort();
    }
    return i;
}

static void bound(int rc)
{
    if (rc != SQLITE_OK) {
        abort(); /* out of memory: sizes were capped before */
    }
}

void db_bind_i64(struct db_stmt *s, const char *name, int64_t v)
{
    bound(sqlite3_bind_int64(s->s, param(s, name), v));
}

void db_bind_text(struct db_stmt *s, const char *name, struct slice v)
{
    bound(sqlite3_bind_text64(s->s, param(s, name), v.n ? v.p : "", v.n, SQLITE_TRANSIENT,
                              SQLITE_UTF8));
}

void db_bind_blob(struct db_stmt *s, const char *name, struct slice v)
{
    bound(sqlite3_bind_blob64(s->s, param(s, name), v.n ? v.p : "", v.n, SQLITE_TRANSIENT));
}

void db_bind_null(struct db_stmt *s, const char *name)
{
    bound(sqlite3_bind_null(s->s, param(s, name)));
}

void db_bind_text_or_null(struct db_stmt *s, const char *name, struct slice v)
{
    if (v.n) {
        db_bind_text(s, name, v);
    } else {
        db_bind_null(s, name);
    }
}

/* Taken or missing is an answer; a CHECK, NOT NULL or type that our own caller broke is not. */
static int refused(struct db *d)
{
    int rc = sqlite3_extended_errcode(d->h);
    return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
                   rc == SQLITE_CONSTRAINT_ROWID || rc == SQLITE_CONSTRAINT_FOREIGNKEY
               ? DB_CONFLICT
               : err_origin(-EINVAL);
}

int db_step(struct db_stmt *s)
{
    int rc = sqlite3_step(s->s);
    if (rc == SQLITE_ROW) {
        return DB_ROW;
    }
    if (rc == SQLITE_DONE) {
        return DB_DONE;
    }
    return (rc & 0xff) == SQLITE_CONSTRAINT ? refused(s->db) : err_origin(to_errno(rc));
}

int db_exec(struct db_stmt *s)
{
    int rc;
    do {
        rc = db_step(s);
    } while (rc == DB_ROW);
    db_reset(s);
    return rc == DB_DONE ? 0 : rc;
}

void db_reset(struct db_stmt *s)
{
    sqlite3_reset(s->s);
    sqlite3_clear_bindings(s->s);
}

void db_resetp(struct db_stmt **s)
{
    if (*s) {
        db_reset(*s);
    }
}

/* Rows are mostly read in the order of their columns. */
static int column(struct db_stmt *s, const char *name)
{
    s->columns = s->columns ? s->columns : sqlite3_column_count(s->s);
    for (int i = 0; i < s->columns; i++) {
        int at = (s->next + i) % s->columns;
        if (strcmp(sqlite3_column_name(s->s, at), name) == 0) {
            s->next = at + 1;
            return at;
        }
    }
    fprintf(stderr, "no column %s in: %s\n", name, sqlite3_sql(s->s));
    abort();
}

int64_t db_col_i64(struct db_stmt *s, const char *name)
{
    return sqlite3_column_int64(s->s, column(s, name));
}

struct slice db_col_text(struct db_stmt *s, const char *name)
{
    int i = column(s, name);
    const void *p = sqlite3_column_text(s->s, i);
    return slice_of(p ? p : "", (size_t)sqlite3_column_bytes(s->s, i));
}

struct slice db_col_blob(struct db_stmt *s, const char *name)
{
    int i = column(s, name);
    const void *p = sqlite3_column_blob(s->s, i);
    return slice_of(p ? p : "", (size_t)sqlite3_column_bytes(s->s, i));
}

bool db_col_null(struct db_stmt *s, const char *name)
{
    return sqlite3_column_type(s->s, column(s, name)) == SQLITE_NULL;
}

int64_t db_last_id(const struct db *d)
{
    return sqlite3_last_insert_rowid(d->h);
}

int db_changes(const struct db *d)
{
    return sqlite3_changes(d->h);
}

/* ---- migrations ---- */

static void checksum(const char *sql, char out[2 * CRYPTO_SHA256_SIZE + 1])
{
    uint8_t sum[CRYPTO_SHA256_SIZE];
    struct buf hex = BUF_MAX(2 * sizeof sum);
    crypto_sha256(slice_str(sql), sum);
    text_hex(&hex, slice_of(sum, sizeof sum));
    text_fit(out, 2 * CRYPTO_SHA256_SIZE + 1, "%s", buf_cstr(&hex));
    buf_deinit(&hex);
}

static int record(struct db *d, const struct db_migration *m, const char *sum)
{
    struct db_stmt *s = db_stmt(
        d,
        "INSERT INTO schema_migrations(number, name, checksum) VALUES(:number, :name, :checksum)");
    db_bind_i64(s, ":number", m->number);
    db_bind_text(s, ":name", slice_str(m->name));
    db_bind_text(s, ":checksum", slice_str(sum));
    return db_exec(s) ? err_fold(-EIO) : 0;
}

static int
apply(struct db *d, const struct db_migration *m, const char *sum, char *out_why, size_t why_size)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(d);
    int rc = tx ? run(d, m->sql) : err_origin(-EIO);
    rc = rc < 0 ? rc : record(d, m, sum);
    rc = rc < 0 ? rc : db_commit(&tx);
    if (rc < 0) { /* said before the rollback, which has words of its own */
        text_cut(out_why, why_size, "migration %s: %s", m->name, db_error(d));
    }
    return rc;
}

/* Is it there, and unchanged? 1 there, 0 not, -EINVAL changed. */
static int applied(struct db *d, int number, const char *sum)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT checksum FROM schema_migrations WHERE number = :number");
    db_bind_i64(s, ":number", number);
    int rc = db_step(s);
    if (rc == DB_ROW) {
        return slice_eq(db_col_text(s, "checksum"), slice_str(sum)) ? 1 : err_origin(-EINVAL);
    }
    return rc == DB_DONE ? 0 : err_fold(-EIO);
}

static int64_t applied_count(struct db *d)
{
    AUTO(db_resetp)
    struct db_stmt *s = db_stmt(d, "SELECT count(*) AS n FROM schema_migrations");
    return db_step(s) == DB_ROW ? db_col_i64(s, "n") : err_origin(-EIO);
}

int db_migrate(
    struct db *d, const struct db_migration *list, size_t count, char *out_why, size_t why_size)
{
    int rc =
        run(d, "CREATE TABLE IF NOT EXISTS schema_migrations("
               "number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT");
    if (rc < 0) {
        text_cut(out_why, why_size, "migrations: %s", db_error(d));
    }
    for (size_t i = 0; !rc && i < count; i++) {
        char sum[2 * CRYPTO_SHA256_SIZE + 1];
        checksum(list[i].sql, sum);
        int there = applied(d, list[i].number, sum);
        if (there < 0) {
            text_cut(out_why, why_size, "migration %s %s", list[i].name,
                     there == -EINVAL ? "differs from the one that this database was made with"
                                      : "cannot be looked up");
        }
        rc = there < 0 ? there : there ? 0 : apply(d, &list[i], sum, out_why, why_size);
    }
    if (!rc && applied_count(d) != (int64_t)count) { /* all of ours are there: more is foreign */
        text_cut(out_why, why_size, "this database was made by a newer version");
        return err_origin(-EINVAL);
    }
    return rc < 0 ? err_trace(rc) : 0;
}
