/* From argv to the row of table.c. Options may stand anywhere. What is not understood is refused
 * with the nearest name. */
#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/ctl/options.h"
#include "lib/base/text.h"

/* ---- finding ---- */

enum { OPTIONS_MAX = 64, COMMANDS_MAX = 96 }; /* more than the tables have rows: asserted */

static int refuse(const struct ctl *c, const char *what, const char *why, const char *fix)
{
    return ctl_complain(c, CTL_USAGE, what, why, fix);
}

/* How many of the words the name has when they begin with it, else 0. */
static size_t matches(const char *name, char **words, size_t count)
{
    struct slice rest = slice_str(name), part;
    size_t n = 0;
    while (slice_split(&rest, ' ', &part)) {
        if (n == count || !slice_eq(part, slice_str(words[n]))) {
            return 0;
        }
        n++;
    }
    return n;
}

static const struct ctl_command *find(char **words, size_t count, size_t *out_used)
{
    for (size_t i = 0; i < ctl_command_count; i++) {
        *out_used = matches(ctl_commands[i].name, words, count);
        if (*out_used) {
            return &ctl_commands[i];
        }
    }
    return NULL;
}

/* "nodes" alone lists them. */
static const struct ctl_command *find_list(const char *word)
{
    char name[64];
    text_cut(name, sizeof name, "%s list", word);
    for (size_t i = 0; i < ctl_command_count; i++) {
        if (strcmp(ctl_commands[i].name, name) == 0) {
            return &ctl_commands[i];
        }
    }
    return NULL;
}

/* The first words as one text, at most as many as the longest name has. */
static void join(char **words, size_t count, struct buf *out)
{
    enum { LONGEST = 3 };

    for (size_t i = 0; i < count && i < LONGEST; i++) {
        buf_addf(out, "%s%s", i ? " " : "", words[i]);
    }
}

static int unknown_command(const struct ctl *c, char **words, size_t count)
{
    const char *names[COMMANDS_MAX], *near = NULL;
    size_t known = 0;
    for (; known < ctl_command_count; known++) {
        names[known] = ctl_commands[known].name;
    }
    struct buf given = BUF_MAX(256), fix = BUF_MAX(256);
    for (size_t used = count < 3 ? count : 3; used && !near; used--) {
        buf_clear(&given);
        join(words, used, &given);
        near = slice_nearest(buf_slice(&given), names, known);
    }
    buf_clear(&given);
    join(words, count, &given);
    buf_addf(&fix, near ? "did you mean: funnelctl %s?" : "funnelctl --help", near ? near : "");
    int rc = refuse(c, "unknown command", buf_cstr(&given), buf_cstr(&fix));
    buf_deinit(&given);
    buf_deinit(&fix);
    return rc;
}

/* ---- options ---- */

static int unknown_option(const struct ctl *c, const char *given)
{
    const char *names[OPTIONS_MAX];
    char fix[80];
    for (size_t i = 0; i < ctl_option_count; i++) {
        names[i] = ctl_options[i].name;
    }
    struct slice word = slice_str(given), name;
    while (word.n && *word.p == '-') {
        word = slice_skip(word, 1);
    }
    const char *near =
        slice_split(&word, '=', &name) ? slice_nearest(name, names, ctl_option_count) : NULL;
    text_cut(fix, sizeof fix, near ? "did you mean --%s?" : "funnelctl --help", near ? near : "");
    return refuse(c, "unknown option, or its value is missing", given, fix);
}

/* getopt's tables from ours; val is 1 + index. */
static void make_tables(struct option *out_long, char *out_short)
{
    *out_short++ = ':';
    for (size_t i = 0; i < ctl_option_count; i++) {
        const struct ctl_option *o = &ctl_options[i];
        out_long[i] =
            (struct option){o->name, o->word ? required_argument : no_argument, NULL, (int)i + 1};
        if (o->letter) {
            *out_short++ = o->letter;
        }
        if (o->letter && o->word) {
            *out_short++ = ':';
        }
    }
    *out_short = '\0';
}

static const struct ctl_option *option_of(int value)
{
    for (size_t i = 0; i < ctl_option_count; i++) {
        if (value == (int)i + 1 || (ctl_options[i].letter && value == ctl_options[i].letter)) {
            return &ctl_options[i];
        }
    }
    return NULL;
}

static void set(struct ctl_args *a, const struct ctl_option *o, const char *value)
{
    char *field = (char *)a + o->offset;
    if (o->word) {
        memcpy(field, &value, sizeof value);
    } else {
        *(bool *)(void *)field = true;
    }
}

/* out_given: a bit for every row of the table. */
static int read_options(struct ctl *c, int argc, char **argv, uint64_t *out_given)
{
    struct option longs[OPTIONS_MAX + 1] = {{0}};
    char shorts[2 * OPTIONS_MAX + 2];
    int value;
    make_tables(longs, shorts);
    opterr = 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): this program has one thread */
    while ((value = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct ctl_option *o = option_of(value);
        if (!o) {
            return unknown_option(c, optind > 0 && optind <= argc ? argv[optind - 1] : "");
        }
        *out_given |= (uint64_t)1 << (o - ctl_options);
        set(&c->args, o, optarg);
    }
    return 0;
}

/* ---- all of it ---- */

static int check_words(const struct ctl *c)
{
    const struct ctl_args *a = &c->args;
    const struct ctl_command *cmd = a->command;
    char fix[200];
    text_cut(fix, sizeof fix, "funnelctl %s %s", cmd->name, cmd->words);
    if (a->word_count < cmd->words_min) {
        return refuse(c, "something is missing",
                      a->word_count ? "more words are needed" : "this command needs a word more",
                      fix);
    }
    if (a->word_count > cmd->words_max) {
        return refuse(c, "this is too much", a->words[cmd->words_max], fix);
    }
    return 0;
}

static int check_options(const struct ctl *c, uint64_t given)
{
    const struct ctl_command *cmd = c->args.command;
    for (size_t i = 0; i < ctl_option_count; i++) {
        if (given >> i & 1 && !(ctl_options[i].sets & (cmd->options | CTL_OPT_ALL))) {
            char what[80], fix[200];
            text_cut(what, sizeof what, "%s does not take --%s", cmd->name, ctl_options[i].name);
            text_cut(fix, sizeof fix, "funnelctl help %s", cmd->name);
            return refuse(c, what, "the option means nothing here", fix);
        }
    }
    return 0;
}

static int check_colour(const struct ctl *c)
{
    const char *when = c->args.color;
    bool known = !when || strcmp(when, "auto") == 0 || strcmp(when, "always") == 0 ||
                 strcmp(when, "never") == 0;
    return known
               ? 0
               : refuse(c, "this is no way to use colours", when, "--color auto, always or never");
}

int ctl_parse(int argc, char **argv, struct ctl *out)
{
    uint64_t given = 0;
    size_t used = 0;
    struct ctl_args *a = &out->args;
    assert(ctl_option_count <= OPTIONS_MAX && ctl_command_count <= COMMANDS_MAX);
    int rc = read_options(out, argc, argv, &given);
    if (rc) {
        return rc;
    }
    char **words = argv + optind;
    size_t count = (size_t)(argc - optind);
    if (!count || strcmp(words[0], "help") == 0) {
        a->help = a->help || !a->version;
        words += count ? 1 : 0;
        count -= count ? 1 : 0;
    }
    a->command = find(words, count, &used);
    if (!a->command && count == 1 && !a->help) {
        used = 1;
        a->command = find_list(words[0]);
    }
    for (size_t i = used; i < count && a->word_count < CTL_WORDS_MAX; i++) {
        a->words[a->word_count++] = words[i];
    }
    if (a->help || a->version) {
        return 0;
    }
    if (!a->command) {
        return unknown_command(out, words, count);
    }
    rc = check_options(out, given);
    rc = rc ? rc : check_colour(out);
    return rc ? rc : check_words(out);
}
