#pragma once
/*
 * Fault sweeps (STYLE habit 23): an operation is run once to count the things in it that may fail,
 * then once for each of them with that one failing, and once more with that one and all after it.
 * Every run must end in success with the right result or in a clean error, must take back all the
 * memory that it took, and (what `after` looks at) must leave no half of its work behind.
 *
 * Only files named *_fault_test.c are linked with this: the linker's --wrap puts it between our
 * objects and the C library and SQLite (tests/CMakeLists.txt), so no hook stands in the product,
 * and what shared libraries do among themselves is left alone. Counted are
 *    FAULT_MEMORY  mem_try, with it arena chunks, and buf's realloc; mem_new is for sizes that we
 * fix and aborts by contract, so it is not made to fail; FAULT_STEP    sqlite3_step and
 * sqlite3_exec, but for ROLLBACK, which ends a transaction whatever it answers. One thread only.
 * Long sweeps are thinned out unless FAULT_FULL is set in the environment, as scripts/soak does; it
 * also takes every error code of SQLite instead of one after the other.
 */
#include <stdbool.h>

enum fault_kind { FAULT_MEMORY, FAULT_STEP };

struct fault_case {
    const char *name;
    void (*before)(void *world);        /* not counted, nothing fails; may be NULL */
    int (*run)(void *world);            /* 0 only when the result is right, checked in here */
    void (*after)(void *world, int rc); /* not counted: judges and releases; may be NULL */
};

/* Fails the running test with the number of the fault when anything is wrong. */
void fault_sweep(enum fault_kind kind, const struct fault_case *c, void *world);
