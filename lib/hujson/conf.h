#pragma once
/*
 * Configuration files as a table over HuJSON: every key is a row with kind, default and range; an
 * unknown key is refused with the nearest name, a value out of range with line, column, pointer and
 * what would be right. Environment overrides (FUNNEL_...) are the caller's: conf_set_text() applies
 * one.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"

enum conf_kind {
    CONF_STR,
    CONF_INT,
    CONF_BOOL,
    CONF_ENUM,
    CONF_STR_LIST,
    CONF_MAP_INT /* {"443": 8443} */
};

#define CONF_LIST_MAX 16
#define CONF_STR_MAX \
    400 /* bytes: a path, an address or a name, and room for a file name after it */

struct conf_list {
    char *items[CONF_LIST_MAX];
    size_t count;
};

struct conf_map_int {
    struct {
        int64_t key, value;
    } items[CONF_LIST_MAX];

    size_t count;
};

struct conf_option {
    const char *key; /* dotted: "tls.cert" stands for {"tls": {"cert": …}} */
    enum conf_kind kind;
    size_t offset; /* offsetof the field in the target struct: char *, int64_t, bool, int, struct
                      conf_list, struct conf_map_int */
    const char *fallback;     /* default as text; NULL: required; "" for an empty string or list */
    int64_t min, max;         /* CONF_INT */
    const char *const *names; /* CONF_ENUM, NULL-terminated; the value is the index */
    const char *help;         /* one sentence, for --help and the printed file */
};

struct conf_diag {
    int line, column; /* 0 when not about a place in a file */
    char text[256];
};

enum { CONF_INVALID = 1, CONF_MISSING_FILE = 2 };

/* Fills *target from defaults and the file. On failure the target is untouched. 0, CONF_*, -errno.
 */
int conf_load(const char *path,
              const struct conf_option *options,
              size_t count,
              void *target,
              struct conf_diag *out_diag) MUST_CHECK;
int conf_parse(struct slice text,
               const struct conf_option *options,
               size_t count,
               void *target,
               struct conf_diag *out_diag) MUST_CHECK;
/* One value from text, as an environment override; lists by commas. NULL, or what is wrong with it.
 */
const char *conf_set_text(const struct conf_option *option, void *target, struct slice text);
void conf_free(const struct conf_option *options, size_t count, void *target);
/* The effective configuration as commented HuJSON that loads again to the same (for -n). */
void conf_print(const struct conf_option *options,
                size_t count,
                const void *target,
                struct buf *out);

/* The two rows that every program has: fields `int log_level` and `bool log_json` of its struct. */
extern const char *const conf_log_levels[];
#define CONF_LOG_OPTIONS(type)                                                    \
    {.key = "log.level",                                                          \
     .kind = CONF_ENUM,                                                           \
     .offset = offsetof(type, log_level),                                         \
     .fallback = "info",                                                          \
     .names = conf_log_levels,                                                    \
     .help = "how much is logged"},                                               \
    {                                                                             \
        .key = "log.json", .kind = CONF_BOOL, .offset = offsetof(type, log_json), \
        .fallback = "false", .help = "log lines as JSON"                          \
    }
