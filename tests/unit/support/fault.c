/* The wrapped calls, the set of live blocks, and the sweep. */
#include "tests/unit/support/fault.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "lib/base/arena.h"
#include "tests/unit/support/test.h"

/* What the linker calls the real ones and ours (ld --wrap). */
/* NOLINTBEGIN(readability-identifier-naming) */
void *__real_mem_try(size_t size);
void *__real_arena_alloc(struct arena *a, size_t size);
char *__real_arena_strdup(struct arena *a, struct slice s);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
int __real_sqlite3_step(sqlite3_stmt *s);
int __real_sqlite3_exec(
    sqlite3 *d, const char *sql, int (*fn)(void *, int, char **, char **), void *arg, char **why);
void *__wrap_mem_try(size_t size);
void *__wrap_arena_alloc(struct arena *a, size_t size);
char *__wrap_arena_strdup(struct arena *a, struct slice s);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);
int __wrap_sqlite3_step(sqlite3_stmt *s);
int __wrap_sqlite3_exec(
    sqlite3 *d, const char *sql, int (*fn)(void *, int, char **, char **), void *arg, char **why);

/* NOLINTEND(readability-identifier-naming) */

enum span { ONCE, ON }; /* that one; that one and all after it */

static const int step_codes[] = {SQLITE_IOERR, SQLITE_FULL, SQLITE_BUSY, SQLITE_NOMEM,
                                 SQLITE_CORRUPT};

static struct {
    bool on;
    enum fault_kind kind;
    enum span span;
    size_t at;   /* which call fails, from 1; 0: none, only count */
    size_t seen; /* calls so far */
    int code;    /* of a step */
} armed;

static bool fails(enum fault_kind kind)
{
    if (!armed.on || armed.kind != kind) {
        return false;
    }
    armed.seen++;
    return armed.at && (armed.span == ONCE ? armed.seen == armed.at : armed.seen >= armed.at);
}

/* ---- live blocks: those that our own objects took, and nobody else's ---- */

enum { SLOTS = 1 << 18 };

static struct {
    void *slots[SLOTS];
    size_t count;
} live;

static size_t slot_of(const void *p)
{
    return ((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> (64 - 18);
}

static void born(void *p)
{
    size_t i = slot_of(p);
    if (!p) {
        return;
    }
    while (live.slots[i]) {
        i = (i + 1) % SLOTS;
    }
    live.slots[i] = p;
    if (++live.count == SLOTS / 2) {
        abort(); /* make SLOTS larger */
    }
}

static void died(const void *p)
{
    size_t i = slot_of(p);
    while (p && live.slots[i] && live.slots[i] != p) {
        i = (i + 1) % SLOTS;
    }
    if (!p || !live.slots[i]) {
        return; /* NULL, or a library's */
    }
    live.slots[i] = NULL;
    live.count--;
    for (size_t k = (i + 1) % SLOTS; live.slots[k]; k = (k + 1) % SLOTS) { /* close the gap */
        void *moved = live.slots[k];
        live.slots[k] = NULL;
        live.count--;
        born(moved);
    }
}

/* NOLINTBEGIN(readability-identifier-naming): the linker's names */
void *__wrap_mem_try(size_t size)
{
    return fails(FAULT_MEMORY) ? NULL : __real_mem_try(size);
}

void *__wrap_arena_alloc(struct arena *a, size_t size)
{
    return fails(FAULT_MEMORY) ? NULL : __real_arena_alloc(a, size);
}

char *__wrap_arena_strdup(struct arena *a, struct slice s)
{
    return fails(FAULT_MEMORY) ? NULL : __real_arena_strdup(a, s);
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *p = __real_calloc(count, size);
    born(p);
    return p;
}

void *__wrap_realloc(void *p, size_t size)
{
    if (fails(FAULT_MEMORY)) {
        return NULL;
    }
    died(p);
    void *q = __real_realloc(p, size);
    born(q ? q : p);
    return q;
}

void __wrap_free(void *p)
{
    died(p);
    __real_free(p);
}

int __wrap_sqlite3_step(sqlite3_stmt *s)
{
    return fails(FAULT_STEP) ? armed.code : __real_sqlite3_step(s);
}

int __wrap_sqlite3_exec(
    sqlite3 *d, const char *sql, int (*fn)(void *, int, char **, char **), void *arg, char **why)
{
    bool fallible = strcasecmp(sql, "ROLLBACK") != 0;
    return fallible && fails(FAULT_STEP) ? armed.code : __real_sqlite3_exec(d, sql, fn, arg, why);
}

/* NOLINTEND(readability-identifier-naming) */

/* ---- the sweep ---- */

/* One run; armed.seen says how many calls it made. */
static int run_once(const struct fault_case *c, void *world, bool may_keep)
{
    size_t before = live.count;
    if (c->before) {
        c->before(world);
    }
    armed.seen = 0;
    armed.on = true;
    int rc = c->run(world);
    armed.on = false;
    if (c->after) {
        c->after(world, rc);
    }
    if (live.count != before && !may_keep) {
        fail_msg("%s, fault %zu%s: %zu blocks before, %zu after", c->name, armed.at,
                 armed.span == ON ? " and all after" : "", before, live.count);
    }
    return rc;
}

static size_t count(enum fault_kind kind, const struct fault_case *c, void *world)
{
    armed.kind = kind;
    armed.at = 0;
    for (int i = 0; i < 2; i++) { /* twice: what is kept for good is made by the first */
        int rc = run_once(c, world, i == 0);
        if (rc) {
            fail_msg("%s: fails without any fault: %d", c->name, rc);
        }
    }
    if (!armed.seen) {
        fail_msg("%s: nothing in it can fail: the sweep would prove nothing", c->name);
    }
    return armed.seen;
}

static size_t sweep(const struct fault_case *c, void *world, size_t total, bool full)
{
    enum { EDGE = 150, PICKS = 100 }; /* all of a sweep of 300 */

    size_t stride = total / PICKS + 1, refused = 0;
    for (size_t at = 1; at <= total; at++) {
        if (!full && at > EDGE && at + EDGE <= total && at % stride) {
            continue;
        }
        armed.at = at;
        int rc = run_once(c, world, false);
        if (armed.seen < at) {
            fail_msg("%s: fault %zu of %zu was never reached", c->name, at, total);
        }
        refused += rc != 0;
    }
    return refused;
}

void fault_sweep(enum fault_kind kind, const struct fault_case *c, void *world)
{
    bool full = getenv("FAULT_FULL") != NULL;
    size_t total = count(kind, c, world), refused = 0;
    size_t codes = kind == FAULT_STEP && full ? sizeof step_codes / sizeof *step_codes : 1;
    for (size_t i = 0; i < codes; i++) {
        static size_t next;
        armed.code = step_codes[full ? i : next++ % (sizeof step_codes / sizeof *step_codes)];
        armed.span = ONCE;
        refused += sweep(c, world, total, full);
        armed.span = ON;
        refused += sweep(c, world, total, full);
    }
    armed.at = 0;
    print_message("%-40s %4zu faults, %zu runs refused\n", c->name, total, refused);
    if (!refused) {
        fail_msg("%s: no fault was noticed", c->name);
    }
}
