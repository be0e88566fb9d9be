/*
 * Log lines are composed in one fixed buffer on the stack and written with
 * one write(2), so that lines of several programs on one stderr do not mix
 * and logging works when memory is out.
 */
#include "lib/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/text.h"

enum { LINE_SIZE = 2048 }; /* a line is below PIPE_BUF, so that a pipe takes it whole */

static struct {
    const char *program;
    enum log_level level;
    bool json;
} config = {"", LOG_INFO, false};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

struct line {
    char text[LINE_SIZE];
    size_t n;
};

static void put(struct line *l, const char *p, size_t n)
{
    size_t room = sizeof l->text - 2 - l->n;
    n = n < room ? n : room;
    memcpy(l->text + l->n, p, n);
    l->n += n;
}

static void put_str(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

/* One escaping for both forms: no line break and no terminal sequence gets through. */
static void put_escaped(struct line *l, struct slice s)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            put(l, (char[]){'\\', (char)c}, 2);
        } else if (c < 0x20 || c >= 0x7f) {
            put(l, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        } else {
            put(l, (char[]){(char)c}, 1);
        }
    }
}

static bool plain_word(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=') {
            return false;
        }
    }
    return s.n > 0;
}

static void put_text(struct line *l, struct slice s)
{
    if (!config.json && plain_word(s)) {
        put(l, s.p, s.n);
        return;
    }
    put(l, "\"", 1);
    put_escaped(l, s);
    put(l, "\"", 1);
}

static void put_value(struct line *l, const struct log_field *f)
{
    char number[32];
    switch (f->kind) {
    case LOG_F_STR:
        put_text(l, slice_str(f->str));
        break;
    case LOG_F_SLICE:
        put_text(l, f->slice);
        break;
    case LOG_F_I64:
        text_fit(number, sizeof number, "%lld", (long long)f->i64);
        put_str(l, number);
        break;
    case LOG_F_U64:
        text_fit(number, sizeof number, "%llu", (unsigned long long)f->u64);
        put_str(l, number);
        break;
    case LOG_F_BOOL:
        put_str(l, f->u64 ? "true" : "false");
        break;
    case LOG_F_ERRNO: {
        const char *name = strerrordesc_np((int)(f->i64 < 0 ? -f->i64 : f->i64));
        put_text(l, slice_str(name ? name : "unknown error"));
        break;
    }
    case LOG_F_NONE:
    case LOG_F_END:
        break;
    }
}

static void put_field(struct line *l, const struct log_field *f)
{
    if (config.json) {
        put_str(l, ",\"");
        put_str(l, f->name);
        put_str(l, "\":");
    } else {
        put_str(l, " ");
        put_str(l, f->name);
        put_str(l, "=");
    }
    put_value(l, f);
}

static void put_head(struct line *l, enum log_level level, const char *event)
{
    char when[WALL_TEXT_SIZE + 8];
    wall_format_now_ms(when);
    const char *const parts_json[] = {"{\"time\":\"",
                                      when,
                                      "\",\"program\":\"",
                                      config.program,
                                      "\",\"level\":\"",
                                      level_names[level],
                                      "\",\"event\":\"",
                                      event,
                                      "\""};
    const char *const parts_text[] = {when, " ",  config.program, " ", level_names[level],
                                      " ",  event};
    const char *const *parts = config.json ? parts_json : parts_text;
    size_t count = config.json ? ARRAY_LEN(parts_json) : ARRAY_LEN(parts_text);
    for (size_t i = 0; i < count; i++) {
        put_str(l, parts[i]);
    }
}

void log_setup(const char *program, enum log_level level, bool json)
{
    config.program = program;
    config.level = level;
    config.json = json;
}

enum log_level log_level_get(void)
{
    return config.level;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    int saved = errno;
    struct line l;
    l.n = 0;
    put_head(&l, level, event);
    for (const struct log_field *f = fields; f->kind != LOG_F_END; f++) {
        if (f->kind != LOG_F_NONE) {
            put_field(&l, f);
        }
    }
    if (config.json) {
        l.text[l.n++] = '}';
    }
    l.text[l.n++] = '\n';
    ssize_t n = write(STDERR_FILENO, l.text, l.n); /* nowhere to complain to when stderr is gone */
    (void)n;
    errno = saved;
}

void log_err_sink(enum err_kind kind, int code, const char *file, int line, const char *func)
{
    static const char *const kinds[] = {"origin", "trace", "fold"};
    log_debug("err", F_STR("kind", kinds[kind]), F_I64("code", code), F_STR("file", file),
              F_I64("line", line), F_STR("func", func), F_ERR(code));
}

int log_complain(int code, const char *what, const char *why, const char *fix)
{
    fprintf(stderr, "%s: %s\n  why: %s\n  fix: %s\n", config.program, what, why, fix);
    return code;
}

int log_end(int code)
{
    if ((fflush(stdout) == 0 && !ferror(stdout)) || code) {
        return code;
    }
    return log_complain(1, "the output is not whole", err_words(errno),
                        "make room where stdout goes, and run it again");
}
