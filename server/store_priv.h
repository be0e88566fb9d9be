#pragma once
/* Shared by store_*.c. */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "server/store.h"

/* Stable ids: 20 characters of Crockford base32, 100 random bits: not guessable, never reused. */
#define STORE_ID_CHARS 20

static inline int store_result(int rc)
{
    return rc == DB_CONFLICT ? STORE_CONFLICT : rc;
}

/* A row into *out: 0, STORE_NONE, -errno. */
static inline int store_found(int rc)
{
    return rc == DB_ROW ? 0 : rc == DB_DONE ? STORE_NONE : rc == DB_CONFLICT ? err_fold(-EIO) : rc;
}

/* How a loop over rows ended: 0 when all were seen, -errno when not. */
static inline int store_seen(int rc)
{
    return rc == DB_DONE ? 0 : rc < 0 ? rc : err_fold(-EIO);
}

/* One number from a row that must be there, or -errno. */
static inline int64_t store_number(struct db_stmt *s, const char *column)
{
    int rc = db_step(s);
    return rc == DB_ROW ? db_col_i64(s, column) : rc < 0 ? rc : err_fold(-EIO);
}

/* A write of one row that must be there: 0, STORE_NONE, … */
static inline int store_touched(struct db *d, struct db_stmt *s)
{
    int rc = store_result(db_exec(s));
    return rc ? rc : db_changes(d) ? 0 : STORE_NONE;
}

#define STORE_COPY(s, col, out)                                                        \
    do {                                                                               \
        if (!slice_copy(db_col_text((s), (col)), (out), sizeof(out))) {                \
            (out)[0] = '\0'; /* longer than any value that we store: a foreign edit */ \
        }                                                                              \
    } while (0)
