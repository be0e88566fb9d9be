#pragma once
/*
 * SQLite behind a law (STYLE habit 22): WAL, synchronous FULL, foreign keys,
 * defensive, trusted_schema off, no extensions. One writer connection on the
 * loop thread; every write stands in a BEGIN IMMEDIATE guard that remembers
 * where it began; a write outside one aborts. Statements are prepared once
 * and cached by their text. step answers ROW, DONE or an error, never two of
 * these as one. SQL text stands only in server/store_*.c, migrations/ and db.c.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"

struct db;
struct db_stmt;
struct db_tx;

enum db_mode { DB_WRITER, DB_READER };

/* 0 or -errno, with a sentence in out_why. The file may not be a symbolic link; its folder may be
 * reached through one. */
int db_open(const char *path, enum db_mode mode, char *out_why, size_t why_size, struct db **out_db)
    MUST_CHECK;
void db_close(struct db *d);
const char *db_error(const struct db *d); /* SQLite's last words */

/* Embedded migrations, applied in order, one transaction each, checksum kept; a changed or unknown
 * one is -EINVAL. */
struct db_migration {
    int number;
    const char *name;
    const char *sql;
};

int db_migrate(struct db *d,
               const struct db_migration *list,
               size_t count,
               char *out_why,
               size_t why_size) MUST_CHECK;

/*
 * The write-ahead log is copied into the file by whoever asks: the program that holds the loop lets
 * a thread of its pool do it, because that waits for the disk. A writer that nobody helps does it
 * itself when the log has grown sixteen-fold.
 */
#define DB_LOG_PAGES 1000
int db_log_pages(const struct db *d);           /* after the last commit */
int db_checkpoint(const char *path) MUST_CHECK; /* through a connection of its own; 0 or -errno */

/* The guard. Ending it without db_commit rolls back. */
struct db_tx *db_begin_at(struct db *d, const char *file, int line); /* NULL: see db_error() */
#define db_begin(d) db_begin_at((d), __FILE__, __LINE__)
int db_commit(struct db_tx **tx) MUST_CHECK; /* 0 or -errno; *tx is NULL after 0 */
void db_tx_endp(struct db_tx **tx);          /* AUTO(db_tx_endp) struct db_tx *tx = db_begin(d); */
bool db_in_tx(const struct db *d);

/* A cached statement, reset and unbound. Never NULL: text that does not prepare, a write outside
 * the guard, and a statement whose rows are still being read are bugs and abort. */
struct db_stmt *db_stmt(struct db *d, const char *sql);
void db_bind_i64(struct db_stmt *s, const char *name, int64_t v); /* name with its colon: ":id" */
void db_bind_text(struct db_stmt *s, const char *name, struct slice v); /* copied */
void db_bind_blob(struct db_stmt *s, const char *name, struct slice v);
void db_bind_null(struct db_stmt *s, const char *name);
void db_bind_text_or_null(struct db_stmt *s,
                          const char *name,
                          struct slice v); /* NULL when empty */

enum {
    DB_ROW = 1,
    DB_DONE = 2,
    DB_CONFLICT = 3
}; /* CONFLICT: a uniqueness or foreign-key constraint; a broken CHECK or type is -EINVAL */

int db_step(struct db_stmt *s) MUST_CHECK;
int db_exec(struct db_stmt *s) MUST_CHECK; /* step to the end and reset: 0, DB_CONFLICT or -errno */
void db_reset(struct db_stmt *s);
void db_resetp(struct db_stmt **s);                            /* AUTO(db_resetp) */
int64_t db_col_i64(struct db_stmt *s, const char *name);       /* by column name */
struct slice db_col_text(struct db_stmt *s, const char *name); /* valid until the next step */
struct slice db_col_blob(struct db_stmt *s, const char *name);
bool db_col_null(struct db_stmt *s, const char *name);
int64_t db_last_id(const struct db *d);
int db_changes(const struct db *d);
