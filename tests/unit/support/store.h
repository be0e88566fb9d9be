#pragma once
/* A fresh control database in a folder of its own for every test: *state is a struct store_world.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "migrations/migrations.h"
#include "server/store_policy.h"
#include "tests/unit/support/test.h"

struct store_world {
    char folder[64], path[96];
    struct db *db;
};

static inline struct db *store_world_open(const struct store_world *w)
{
    char why[300] = "";
    struct db *d = NULL;
    if (db_open(w->path, DB_WRITER, why, sizeof why, &d) ||
        db_migrate(d, migrations, migration_count, why, sizeof why)) {
        fail_msg("%s", why);
    }
    return d;
}

static inline int store_world_setup(void **state)
{
    struct store_world *w = calloc(1, sizeof *w);
    if (!w) {
        return -1;
    }
    snprintf(w->folder, sizeof w->folder, "/tmp/store-test-XXXXXX");
    if (!mkdtemp(w->folder)) {
        free(w);
        return -1;
    }
    snprintf(w->path, sizeof w->path, "%s/control.db", w->folder);
    w->db = store_world_open(w);
    *state = w;
    return 0;
}

static inline int store_world_teardown(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    struct store_world *w = *state;
    char file[128];
    db_close(w->db);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        snprintf(file, sizeof file, "%s%s", w->path, ends[i]);
        unlink(file);
    }
    int rc = rmdir(w->folder);
    free(w);
    return rc;
}

#define IN_A_STORE(f) cmocka_unit_test_setup_teardown(f, store_world_setup, store_world_teardown)
