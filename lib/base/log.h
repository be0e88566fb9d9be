#pragma once
/*
 * One line per event: level, event name (dotted, stable), fields. Text for
 * people or JSON for machines, on stderr. Only the programs' own code
 * (server, relay, agent, cli, and the mains of dns and acme) logs above debug;
 * libraries return errors. Secrets never get here. Saves errno; works out of memory.
 *
 *    log_info("session.up", F_STR("node", id), F_U64("legs", n));
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

enum log_kind {
    LOG_F_NONE,
    LOG_F_STR,
    LOG_F_SLICE,
    LOG_F_I64,
    LOG_F_U64,
    LOG_F_BOOL,
    LOG_F_ERRNO,
    LOG_F_END
};

struct log_field {
    enum log_kind kind;
    const char *name;
    const char *str;
    struct slice slice;
    int64_t i64;
    uint64_t u64;
};

#define F_STR(n, v)   ((struct log_field){.kind = LOG_F_STR, .name = (n), .str = (v)})
#define F_SLICE(n, v) ((struct log_field){.kind = LOG_F_SLICE, .name = (n), .slice = (v)})
#define F_I64(n, v)   ((struct log_field){.kind = LOG_F_I64, .name = (n), .i64 = (v)})
#define F_U64(n, v)   ((struct log_field){.kind = LOG_F_U64, .name = (n), .u64 = (v)})
#define F_BOOL(n, v)  ((struct log_field){.kind = LOG_F_BOOL, .name = (n), .u64 = (v)})
#define F_ERR(code)   ((struct log_field){.kind = LOG_F_ERRNO, .name = "error", .i64 = (code)})

void log_setup(const char *program, enum log_level level, bool json);
enum log_level log_level_get(void);
void log_write(enum log_level level, const char *event, const struct log_field *fields);

/* An expression, so that a line of log adds no nesting to the function that writes it. */
#define LOG_AT(level, event, ...)                                                   \
    ((level) <= log_level_get()                                                     \
         ? log_write((level), (event),                                              \
                     (const struct log_field[]){                                    \
                         {.kind = LOG_F_NONE}, ##__VA_ARGS__, {.kind = LOG_F_END}}) \
         : (void)0)
#define log_error(event, ...) LOG_AT(LOG_ERROR, event, ##__VA_ARGS__)
#define log_warn(event, ...)  LOG_AT(LOG_WARN, event, ##__VA_ARGS__)
#define log_info(event, ...)  LOG_AT(LOG_INFO, event, ##__VA_ARGS__)
#define log_debug(event, ...) LOG_AT(LOG_DEBUG, event, ##__VA_ARGS__)

/* err_set_sink(log_err_sink) in main: error traces at debug level. */
void log_err_sink(enum err_kind kind, int code, const char *file, int line, const char *func);

/* Three lines on stderr for a person at a terminal: what, why, fix. Returns `code`, the program's
 * exit code. */
int log_complain(int code, const char *what, const char *why, const char *fix);

/* For the end of main: `code`, or 1 and a complaint when `code` is 0 but something that was printed
 * on stdout did not arrive (the stream keeps its first error). */
int log_end(int code);
