#pragma once
/* The migrations in this folder, embedded by scripts/embed-migrations: applied in order, never
 * edited after release. */
#include <stddef.h>

#include "lib/data/db.h"

extern const struct db_migration migrations[];
extern const size_t migration_count;
