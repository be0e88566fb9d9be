#pragma once
/*
 * `funnelctl`: what admins type and what CI runs. One table names commands and options (args.c);
 * parsing, help, completions and the man page come from it. Commands that work on files need no
 * server and no network. stdout has results only, everything for people goes to stderr.
 */
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"

/* What a script can tell apart (console-api.md section 6). */
enum {
    CTL_OK = 0,
    CTL_REFUSED = 1, /* the text, the edit or the save was refused; nothing was changed */
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 69,
    CTL_PROTOCOL = 76, /* the server answered something that this version does not know */
    CTL_DENIED = 77,   /* no key, or a key that may not do this */
};

#define CTL_WORDS_MAX 32

struct ctl;
typedef int (*ctl_run_fn)(struct ctl *c);

struct ctl_command {
    const char *name;    /* "policy edit add-funnel" */
    const char *words;   /* "FILE PATCH" */
    const char *summary; /* a few words */
    const char *about;   /* a sentence or two more, or "" */
    size_t words_min, words_max;
    unsigned options; /* CTL_OPT_… that it takes beside the ones for all */
    ctl_run_fn run;
};

/* Sets of options, one bit each: a command names those that mean something to it. */
enum {
    CTL_OPT_ALL = 1u << 0,
    CTL_OPT_WRITE = 1u << 1,
    CTL_OPT_CHECK = 1u << 2,
    CTL_OPT_FORMAT = 1u << 3,
    CTL_OPT_TARGET = 1u << 4,
    CTL_OPT_COMMENT = 1u << 5,
    CTL_OPT_FACTS = 1u << 6,
    CTL_OPT_STRICT = 1u << 7,
    CTL_OPT_SERVER = 1u << 8,
    CTL_OPT_SAVE = 1u << 9,
    CTL_OPT_OUTPUT = 1u << 10,
    CTL_OPT_EFFECTS = 1u << 11,
    CTL_OPT_LIMIT = 1u << 12,
    CTL_OPT_REV = 1u << 13,
    CTL_OPT_RANGE = 1u << 14,
    CTL_OPT_ROLE = 1u << 15,
    CTL_OPT_STATE = 1u << 16,
    CTL_OPT_REASON = 1u << 17,
    CTL_OPT_YES = 1u << 18,
    CTL_OPT_KEY = 1u << 19,    /* what a new key may make */
    CTL_OPT_GRANT = 1u << 20,  /* how wide an approval is */
    CTL_OPT_PERIOD = 1u << 21, /* of the audit log */
    CTL_OPT_EVENTS = 1u << 22,
    CTL_OPT_LOCAL = 1u << 23, /* works on the server's own store */
};

struct ctl_args {
    const struct ctl_command *command;
    char *words[CTL_WORDS_MAX];
    size_t word_count;
    const char *facts, *target, *comment, *color, *output, *limit;
    const char *server, *key, *ca_file, *if_match, *message, *rev, *from, *to;
    const char *role, *state, *reason, *kind, *tags, *scopes, *description, *expires;
    const char *grant, *ports, *code, *start, *end, *actor, *event, *events, *config;
    bool reusable, ephemeral, preauthorized, yes;
    bool json, write, check, format, strict, force, effects, help, version;
};

struct ctl {
    struct ctl_args args;
    bool colour_out, colour_err, utf8; /* how to draw */
    bool stdin_taken;                  /* `-` was read: it can be read once */
};

/* ---- table.c, args.c ---- */
/* 0, or CTL_USAGE after three lines on stderr. */
int ctl_parse(int argc, char **argv, struct ctl *out);
extern const struct ctl_command ctl_commands[];
extern const size_t ctl_command_count;

/* ---- help.c ---- */
int ctl_help(const struct ctl *c);  /* `funnelctl help …`, --help */
int ctl_completion(struct ctl *c);  /* `funnelctl completion bash` */
int ctl_man(struct ctl *c);         /* the man page, as roff */
bool ctl_is_help(const char *word); /* "help" */
void ctl_look(struct ctl *c);       /* colours and characters, from flags and environment */

/* ---- input.c ---- */
/* Three lines on stderr: what, why, fix. Returns code. */
int ctl_complain(const struct ctl *c, int code, const char *what, const char *why, const char *fix);
void ctl_note(const struct ctl *c, const char *fmt, ...) PRINTF_LIKE(2, 3); /* one line, stderr */
/* The whole of a file, or of stdin for "-"; a byte order mark is dropped, and said so (policy.md
 * 1.4). 0, or an exit code after complaining. */
int ctl_read(struct ctl *c, const char *path, struct buf *out) MUST_CHECK;
/* The same for a policy: a final LF is added where there is none, as every save does. */
int ctl_read_policy(struct ctl *c, const char *path, struct buf *out) MUST_CHECK;
/* Result to stdout, byte for byte; or into the file with --write. 0, or an exit code after
 * complaining. */
int ctl_put(const struct ctl *c, struct slice text) MUST_CHECK;
int ctl_replace(const struct ctl *c, const char *path, struct slice text) MUST_CHECK;
const char *ctl_name(const char *path);               /* how to call it: "-" is <stdin> */
const char *ctl_paint(bool on, const char *sequence); /* "" where there are no colours */
