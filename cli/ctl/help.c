/* Help from the tables of args.c. */
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ctl/options.h"
#include "cli/ctl/report.h"
#include "lib/base/text.h"

static bool set_in_env(const char *name)
{
    const char *value = getenv(name);
    return value && *value && strcmp(value, "0") != 0;
}

static bool colours(const struct ctl *c, int fd)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR"), *when = c->args.color;
    if (when && strcmp(when, "auto") != 0) {
        return strcmp(when, "always") == 0;
    }
    if (no_colour && *no_colour) {
        return false;
    }
    return set_in_env("CLICOLOR_FORCE") || (isatty(fd) && term && strcmp(term, "dumb") != 0);
}

void ctl_look(struct ctl *c)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): this program has one thread */
    (void)setlocale(LC_CTYPE, "");
    c->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    c->colour_out = colours(c, STDOUT_FILENO);
    c->colour_err = colours(c, STDERR_FILENO);
}

/* ---- one command ---- */

/* `left` in a column of its own: by what a terminal shows, not by bytes. */
static void put_padded(const char *left, size_t width)
{
    size_t columns = ctl_columns(slice_str(left));
    printf("%s%*s ", left, columns < width ? (int)(width - columns) : 0, "");
}

static void put_option(const struct ctl_option *o)
{
    char left[64];
    text_cut(left, sizeof left, o->word ? "--%s %s" : "--%s", o->name, o->word ? o->word : "");
    printf(o->letter ? "  -%c, " : "      ", o->letter);
    put_padded(left, 22);
    puts(o->help);
}

static void put_command(const struct ctl_command *cmd)
{
    printf("funnelctl %s %s\n  %s\n", cmd->name, cmd->words, cmd->summary);
    printf(*cmd->about ? "\n%s\n\nOptions:\n" : "\nOptions:%s\n", cmd->about);
    for (size_t i = 0; i < ctl_option_count; i++) {
        if (ctl_options[i].sets & (cmd->options | CTL_OPT_ALL)) {
            put_option(&ctl_options[i]);
        }
    }
}

/* ---- all of them ---- */

static bool begins_with(const char *name, const struct ctl_args *a)
{
    struct slice rest = slice_str(name), part;
    for (size_t i = 0; i < a->word_count; i++) {
        if (!slice_split(&rest, ' ', &part) || !slice_eq(part, slice_str(a->words[i]))) {
            return false;
        }
    }
    return true;
}

static size_t put_list(const struct ctl_args *a)
{
    size_t shown = 0;
    for (size_t i = 0; i < ctl_command_count; i++) {
        const struct ctl_command *cmd = &ctl_commands[i];
        char left[80];
        if (begins_with(cmd->name, a)) {
            text_cut(left, sizeof left, "%s %s", cmd->name, cmd->words);
            fputs("  ", stdout);
            put_padded(left, 42);
            puts(cmd->summary);
            shown++;
        }
    }
    return shown;
}

/* ---- the front page: a line for every first word ---- */

static struct slice first_word(const char *name)
{
    struct slice rest = slice_str(name), word = S("");
    (void)slice_split(&rest, ' ', &word);
    return word;
}

/* "list|show|approve" of one first word. */
static void put_group(size_t first)
{
    struct slice group = first_word(ctl_commands[first].name), before = S("");
    printf("  %-12.*s ", (int)group.n, group.p);
    for (size_t i = first; i < ctl_command_count; i++) {
        struct slice rest = slice_str(ctl_commands[i].name), word;
        (void)slice_split(&rest, ' ', &word);
        if (slice_eq(word, group) && slice_split(&rest, ' ', &word) && !slice_eq(word, before)) {
            printf("%s" SLICE_FMT, before.n ? "|" : "", SLICE_ARG(word));
            before = word;
        }
    }
    const struct ctl_command *cmd = &ctl_commands[first];
    printf(before.n ? "\n" : "%s%s%s\n", cmd->words, *cmd->words ? "  " : "", cmd->summary);
}

static void put_front(void)
{
    struct slice before = S("");
    for (size_t i = 0; i < ctl_command_count; i++) {
        struct slice group = first_word(ctl_commands[i].name);
        if (!slice_eq(group, before)) {
            put_group(i);
            before = group;
        }
    }
}

int ctl_help(const struct ctl *c)
{
    const struct ctl_args *a = &c->args;
    if (a->command) {
        put_command(a->command);
        return CTL_OK;
    }
    if (a->word_count) {
        return put_list(a)
                   ? CTL_OK
                   : ctl_complain(c, CTL_USAGE, "no help for this", a->words[0], "funnelctl help");
    }
    puts("funnelctl: administration of a tailnet, and the tools for its policy file\n");
    put_front();
    fputs("\n"
          "  funnelctl funnels\n"
          "  funnelctl policy check --facts tailnet.json policy.hujson\n"
          "  funnelctl help policy\n"
          "\n"
          "- is standard input. Exit: 0 fine, 1 refused, 2 usage; funnelctl man has the rest.\n",
          stdout);
    return CTL_OK;
}
