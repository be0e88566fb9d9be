/* Completion scripts and the manual page, printed from the tables of args.c. */
#include <stdio.h>
#include <string.h>

#include "cli/ctl/options.h"

/* ---- completions ---- */

/* Calls fn once for every distinct word that may follow the words of `prefix`. */
static bool after_prefix(const char *name, struct slice prefix, struct slice *out_word)
{
    struct slice rest = slice_str(name);
    if (prefix.n) {
        if (!slice_starts(rest, prefix) || rest.n <= prefix.n || rest.p[prefix.n] != ' ') {
            return false;
        }
        rest = slice_skip(rest, prefix.n + 1);
    }
    return slice_split(&rest, ' ', out_word);
}

static bool seen_before(size_t index, struct slice prefix, struct slice word)
{
    struct slice other;
    for (size_t i = 0; i < index; i++) {
        if (after_prefix(ctl_commands[i].name, prefix, &other) && slice_eq(other, word)) {
            return true;
        }
    }
    return false;
}

static void put_next_words(struct slice prefix)
{
    struct slice word;
    const char *gap = "";
    for (size_t i = 0; i < ctl_command_count; i++) {
        if (after_prefix(ctl_commands[i].name, prefix, &word) && !seen_before(i, prefix, word)) {
            printf("%s" SLICE_FMT, gap, SLICE_ARG(word));
            gap = " ";
        }
    }
}

static void put_options_of(const struct ctl_command *cmd)
{
    for (size_t i = 0; i < ctl_option_count; i++) {
        if (ctl_options[i].sets & (cmd->options | CTL_OPT_ALL)) {
            printf(" --%s", ctl_options[i].name);
        }
    }
}

/* Every proper prefix of a command's name, once: what can be typed before a further word. */
static void put_prefix_cases(const char *open, const char *middle, const char *close)
{
    for (size_t i = 0; i < ctl_command_count; i++) {
        const char *name = ctl_commands[i].name;
        for (const char *at = strchr(name, ' '); at; at = strchr(at + 1, ' ')) {
            struct slice prefix = slice_of(name, (size_t)(at - name));
            bool first = true;
            for (size_t k = 0; k < i && first; k++) {
                struct slice other = slice_str(ctl_commands[k].name);
                first = !(slice_starts(other, prefix) && other.n > prefix.n &&
                          other.p[prefix.n] == ' ');
            }
            if (first) {
                printf("%s" SLICE_FMT "%s", open, SLICE_ARG(prefix), middle);
                put_next_words(prefix);
                fputs(close, stdout);
            }
        }
    }
}

/* `line` becomes what may follow `words`; bash and zsh read this alike. */
static void put_cases(void)
{
    fputs("    case $words_so_far in\n    '') line='help ", stdout);
    put_next_words(S(""));
    fputs("' ;;\n", stdout);
    put_prefix_cases("    '", "') line='", "' ;;\n");
    for (size_t i = 0; i < ctl_command_count; i++) {
        printf("    '%s'*) line='", ctl_commands[i].name);
        put_options_of(&ctl_commands[i]);
        fputs("' ;;\n", stdout);
    }
    fputs("    esac\n", stdout);
}

static void put_bash(void)
{
    fputs(
        "# bash completion for funnelctl; made by: funnelctl completion bash\n"
        "_funnelctl() {\n"
        "    local cur=${COMP_WORDS[COMP_CWORD]} words_so_far='' line='' i\n"
        "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "        [[ ${COMP_WORDS[i]} == -* ]] || words_so_far+=${words_so_far:+ }${COMP_WORDS[i]}\n"
        "    done\n",
        stdout);
    put_cases();
    fputs("    if [[ $cur == -* || $line != *--* ]]; then\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$line\" -- \"$cur\")\n"
          "    else\n"
          "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
          "    fi\n"
          "}\n"
          "complete -o filenames -F _funnelctl funnelctl\n",
          stdout);
}

static void put_zsh(void)
{
    fputs("#compdef funnelctl\n"
          "# made by: funnelctl completion zsh > \"${fpath[1]}/_funnelctl\"\n"
          "_funnelctl() {\n"
          "    local words_so_far='' line='' i\n"
          "    for ((i = 2; i < CURRENT; i++)); do\n"
          "        [[ ${words[i]} == -* ]] || words_so_far+=${words_so_far:+ }${words[i]}\n"
          "    done\n",
          stdout);
    put_cases();
    fputs(
        "    if [[ ${words[CURRENT]} == -* || $line != *--* ]]; then\n"
        "        compadd -- ${=line}\n"
        "    else\n"
        "        _files\n"
        "    fi\n"
        "}\n"
        "if [[ ${funcstack[1]} == _funnelctl ]]; then _funnelctl \"$@\"; else compdef _funnelctl funnelctl; fi\n",
        stdout);
}

static void put_fish_option(const struct ctl_command *cmd, const struct ctl_option *o)
{
    printf("complete -c funnelctl -n '__funnelctl_in \"%s\"' -l %s -d '%s'%s", cmd->name, o->name,
           o->help, o->word ? " -r" : "");
    if (o->letter) {
        printf(" -s %c", o->letter);
    }
    putchar('\n');
}

static void put_fish(void)
{
    fputs("# fish completion for funnelctl; made by: funnelctl completion fish\n"
          "function __funnelctl_at\n"
          "    set -l words (string match -v -- '-*' (commandline -opc)[2..])\n"
          "    test \"$words\" = \"$argv[1]\"\n"
          "end\n"
          "function __funnelctl_in\n"
          "    set -l words (string match -v -- '-*' (commandline -opc)[2..])\n"
          "    string match -q -- \"$argv[1]*\" \"$words\"\n"
          "end\n"
          "complete -c funnelctl -n '__funnelctl_at \"\"' -f -a 'help ",
          stdout);
    put_next_words(S(""));
    puts("'");
    put_prefix_cases("complete -c funnelctl -n '__funnelctl_at \"", "\"' -f -a '", "'\n");
    for (size_t i = 0; i < ctl_command_count; i++) {
        for (size_t k = 0; k < ctl_option_count; k++) {
            if (ctl_options[k].sets & (ctl_commands[i].options | CTL_OPT_ALL)) {
                put_fish_option(&ctl_commands[i], &ctl_options[k]);
            }
        }
    }
}

int ctl_completion(struct ctl *c)
{
    const char *shell = c->args.words[0];
    if (strcmp(shell, "bash") == 0) {
        put_bash();
    } else if (strcmp(shell, "zsh") == 0) {
        put_zsh();
    } else if (strcmp(shell, "fish") == 0) {
        put_fish();
    } else {
        return ctl_complain(c, CTL_USAGE, "no completions for this shell", shell,
                            "bash, zsh or fish");
    }
    return CTL_OK;
}

/* ---- the manual page ---- */

/* roff wants its hyphens and backslashes marked; a leading dot cannot occur. */
static void put_roff(const char *text)
{
    for (; *text; text++) {
        if (*text == '-' || *text == '\\') {
            putchar('\\');
        }
        fputs(*text == '\\' ? "e" : (const char[]){*text, '\0'}, stdout);
    }
}

static void put_man_command(const struct ctl_command *cmd)
{
    fputs(".TP\n.B funnelctl ", stdout);
    put_roff(cmd->name);
    putchar(' ');
    put_roff(cmd->words);
    putchar('\n');
    put_roff(cmd->summary);
    fputs(". ", stdout);
    put_roff(cmd->about);
    putchar('\n');
    const char *gap = "Options: ";
    for (size_t i = 0; i < ctl_option_count; i++) {
        if (ctl_options[i].sets & cmd->options) {
            printf("%s\\-\\-", gap);
            put_roff(ctl_options[i].name);
            gap = ", ";
        }
    }
    puts(gap[0] == ',' ? "." : "");
}

static void put_man_option(const struct ctl_option *o)
{
    fputs(".TP\n.B ", stdout);
    if (o->letter) {
        printf("\\-%c, ", o->letter);
    }
    fputs("\\-\\-", stdout);
    put_roff(o->name);
    if (o->word) {
        printf(" \\fI%s\\fR", o->word);
    }
    putchar('\n');
    put_roff(o->help);
    puts(".");
}

static const char man_end[] =
    ".SH EXIT STATUS\n"
    ".TP\n0\nfine\n.TP\n1\nrefused: the text, the edit or the save; nothing was changed\n"
    ".TP\n2\nusage\n.TP\n69\nthe server cannot be reached\n"
    ".TP\n76\nthe server answered something that this version does not know\n"
    ".TP\n77\nno key, or a key that may not do this\n"
    ".SH FACTS\n"
    "What \\-\\-facts reads is one tailnet as a JSON object; only users and nodes are needed:\n"
    ".PP\n.nf\n"
    "{\n"
    "  \"domains\": [\"example.com\"],\n"
    "  \"https\": true,\n"
    "  \"funnelPorts\": \"443,8443,10000\",\n"
    "  \"users\": {\"ann@example.com\": \"owner\", \"cy@example.com\": \"member\"},\n"
    "  \"suspended\": [],\n"
    "  \"nodes\": {\n"
    "    \"laptop\": {\"ipv4\": \"100.64.0.1\", \"ipv6\": \"fd7a:115c:a1e0::1\", \"user\": \"cy@example.com\"},\n"
    "    \"web1\": {\"ipv4\": \"100.64.0.2\", \"tags\": [\"tag:web\"]},\n"
    "    \"guest\": {\"ipv4\": \"100.64.9.9\", \"external\": true}\n"
    "  }\n"
    "}\n"
    ".fi\n"
    ".SH FILES\n"
    ".TP\n$XDG_CONFIG_HOME/openfunnel/funnelctl.hujson, /etc/openfunnel/funnelctl.hujson\n"
    "\"server\", \"key\" (file:PATH) and \"caFile\": what options and environment do not say\n"
    ".TP\nFILE.etag\nthe version that FILE was made from; get \\-\\-output writes it, set moves it on\n"
    ".SH ENVIRONMENT\n"
    ".TP\nFUNNELCTL_SERVER, FUNNELCTL_KEY, FUNNELCTL_CA_FILE\n"
    "what the options \\-\\-server, \\-\\-key and \\-\\-ca\\-file say when they are not given\n"
    ".TP\nNO_COLOR, CLICOLOR_FORCE, TERM\nwhether colours are used\n";

int ctl_man(struct ctl *c)
{
    (void)c;
    puts(
        ".TH FUNNELCTL 1\n.SH NAME\n"
        "funnelctl \\- administration of a tailnet, and the tools for its policy file\n"
        ".SH SYNOPSIS\n.B funnelctl\n.I command words\n.RI [ options ]\n.SH DESCRIPTION\n"
        "Results go to standard output, everything else to standard error. Commands on files need no\n"
        "server; \\- is standard input.\n.SH COMMANDS");
    for (size_t i = 0; i < ctl_command_count; i++) {
        put_man_command(&ctl_commands[i]);
    }
    puts(".SH OPTIONS");
    for (size_t i = 0; i < ctl_option_count; i++) {
        put_man_option(&ctl_options[i]);
    }
    fputs(man_end, stdout);
    return CTL_OK;
}
