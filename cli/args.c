/* Arguments. Options may stand anywhere; the first word that is none is the command or the target.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/base/text.h"

/* In the order of enum cli_command; nobody types the second half of `request`. */
static const char *const words[] = {"serve",  "off",     "status", "reset", "up",   "down",
                                    "enable", "request", "",       "wait",  "help", "version"};

enum {
    FIRST_WORD = 1, /* nobody types the first: a target stands for it */
    WAIT_S = 900,   /* for a decision */
    WAIT_MOST_S = 30 * 86400,
    EXPIRES_MOST_S = 366 * 86400,
};

enum {
    OPT_HTTPS = 1,
    OPT_BG,
    OPT_JSON,
    OPT_CONTROL,
    OPT_AUTH_KEY,
    OPT_HOSTNAME,
    OPT_SOCKET,
    OPT_QUIET,
    OPT_REASON,
    OPT_EXPIRES,
    OPT_WAIT,
    OPT_NO_WAIT,
    OPT_HELP,
    OPT_VERSION
};

static const struct option options[] = {
    {"https", required_argument, NULL, OPT_HTTPS},
    {"bg", no_argument, NULL, OPT_BG},
    {"json", no_argument, NULL, OPT_JSON},
    {"control", required_argument, NULL, OPT_CONTROL},
    {"auth-key", required_argument, NULL, OPT_AUTH_KEY},
    {"hostname", required_argument, NULL, OPT_HOSTNAME},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {"reason", required_argument, NULL, OPT_REASON},
    {"expires", required_argument, NULL, OPT_EXPIRES},
    {"wait", required_argument, NULL, OPT_WAIT},
    {"no-wait", no_argument, NULL, OPT_NO_WAIT},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static int refuse(const char *message, const char *why, const char *fix)
{
    render_error("FNL-100", message, why, fix);
    return EXIT_USAGE;
}

static bool read_port(const char *text, int *out)
{
    uint64_t v;
    if (!slice_u64(slice_str(text), 65535, &v) || (v != 443 && v != 8443 && v != 10000)) {
        return false;
    }
    *out = (int)v;
    return true;
}

/* "90s", "15m", "8h", "7d"; a bare number is in seconds. */
static bool read_duration(const char *text, int64_t most, int64_t *out)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};

    struct slice s = slice_str(text);
    int64_t factor = 1;
    uint64_t v;
    for (size_t i = 0; s.n && i < ARRAY_LEN(units); i++) {
        if (s.p[s.n - 1] == units[i].unit) {
            factor = units[i].seconds;
            s.n--;
            break;
        }
    }
    if (!slice_u64(s, (uint64_t)(most / factor), &v)) {
        return false;
    }
    *out = (int64_t)v * factor;
    return true;
}

static int take_duration(int c, struct cli_args *a)
{
    bool ok = c == OPT_WAIT ? read_duration(optarg, WAIT_MOST_S, &a->wait_s)
                            : read_duration(optarg, EXPIRES_MOST_S, &a->seconds) && a->seconds;
    return ok ? 0 : refuse("this is no length of time", optarg, "90s, 15m, 8h or 7d");
}

static int take_option(struct cli_args *a, int c)
{
    switch (c) {
    case OPT_REASON:
        a->reason = optarg;
        return text_printable(slice_str(optarg), 200)
                   ? 0
                   : refuse("this reason cannot be sent", "200 bytes of plain text at most",
                            "--reason \"demo for the board\"");
    case OPT_EXPIRES:
    case OPT_WAIT:
        return take_duration(c, a);
    case OPT_NO_WAIT:
        a->wait_s = 0;
        return 0;
    case OPT_HTTPS:
        return read_port(optarg, &a->port) ? 0
                                           : refuse("this port cannot be public", optarg,
                                                    "--https=443, --https=8443 or --https=10000");
    case OPT_BG:
        a->background = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case OPT_CONTROL:
        a->control = optarg;
        return 0;
    case OPT_AUTH_KEY:
        a->auth_key = optarg;
        return 0;
    case OPT_HOSTNAME:
        a->hostname = optarg;
        return 0;
    case OPT_SOCKET:
        a->socket = optarg;
        return 0;
    case OPT_QUIET:
    case 'q':
        a->quiet = true;
        return 0;
    case OPT_HELP:
    case 'h':
        a->command = CLI_HELP;
        return 0;
    case OPT_VERSION:
        a->command = CLI_VERSION;
        return 0;
    default: /* foreign enum: getopt's '?' and ':' */
        return -1;
    }
}

static int bad_option(int c, char **argv)
{
    const char *names[ARRAY_LEN(options)];
    struct slice given = slice_str(optind > 0 ? argv[optind - 1] : "");
    size_t count = 0;
    for (; options[count].name; count++) {
        names[count] = options[count].name;
    }
    if (c == ':') {
        return refuse("this option needs a value", argv[optind - 1], "funnel --help");
    }
    struct slice word = given;
    while (slice_starts(word, S("-"))) {
        word = slice_skip(word, 1);
    }
    ptrdiff_t sign = slice_find(word, '=');
    const char *near =
        slice_nearest(sign < 0 ? word : slice_sub(word, 0, (size_t)sign), names, count);
    char fix[80];
    text_cut(fix, sizeof fix, near ? "did you mean --%s?" : "funnel --help", near ? near : "");
    return refuse("unknown option", given.p, fix);
}

static bool looks_like_target(const char *w)
{
    return (*w >= '0' && *w <= '9') || strchr(w, ':') || strchr(w, '/') || strchr(w, '.');
}

/* `funnel off`, `funnel --https=443 off`, `funnel 3000 off` */
static bool says_off(int count, char **w)
{
    return strcmp(w[count - 1], "off") == 0 &&
           (count == 1 || (count == 2 && looks_like_target(w[0])));
}

static int take_command(struct cli_args *a, enum cli_command command, int count, char **w)
{
    const int most = command == CLI_HELP || command == CLI_UP ? 2 : 1;
    if (count > most) {
        return refuse("one word too many", w[most], "funnel --help");
    }
    a->command = command;
    a->topic = count > 1 ? w[1] : NULL;
    a->control = command == CLI_UP && count > 1 ? w[1] : a->control;
    return 0;
}

/* `funnel request list`, `funnel request cancel ID`, `funnel wait ID` */
static int take_request(struct cli_args *a, int count, char **w)
{
    bool wait = strcmp(w[0], "wait") == 0;
    const char *what = count > 1 ? w[1] : "";
    if (wait && count == 2) {
        a->command = CLI_WAIT;
        a->request = what;
        return 0;
    }
    if (!wait && count == 2 && strcmp(what, "list") == 0) {
        a->command = CLI_REQUESTS;
        return 0;
    }
    if (!wait && count == 3 && strcmp(what, "cancel") == 0) {
        a->command = CLI_CANCEL;
        a->request = w[2];
        return 0;
    }
    return refuse(wait ? "which request?" : "what about requests?", count > 1 ? what : w[0],
                  wait ? "funnel wait ID; funnel request list shows them"
                       : "funnel request list, or funnel request cancel ID");
}

static int take_words(struct cli_args *a, int count, char **w)
{
    if (a->command == CLI_HELP || a->command == CLI_VERSION) {
        return 0;
    }
    if (!count) {
        a->command = CLI_HELP;
        return 0;
    }
    if (says_off(count, w)) {
        a->command = CLI_OFF;
        return 0;
    }
    if (strcmp(w[0], "request") == 0 || strcmp(w[0], "wait") == 0) {
        return take_request(a, count, w);
    }
    for (size_t i = FIRST_WORD; i < ARRAY_LEN(words); i++) {
        if (*words[i] && strcmp(w[0], words[i]) == 0) {
            return take_command(a, (enum cli_command)i, count, w);
        }
    }
    if (!looks_like_target(w[0])) {
        const char *near =
            slice_nearest(slice_str(w[0]), words + FIRST_WORD, ARRAY_LEN(words) - FIRST_WORD);
        char fix[80];
        text_cut(fix, sizeof fix,
                 near ? "did you mean: funnel %s?" : "funnel 3000, or funnel --help",
                 near ? near : "");
        return refuse("unknown command", w[0], fix);
    }
    if (count > 1) {
        return refuse("one target at a time", w[1], "funnel 3000");
    }
    a->command = CLI_SERVE;
    a->target = w[0];
    return 0;
}

int cli_parse(int argc, char **argv, struct cli_args *out)
{
    int c;
    *out = (struct cli_args){.command = CLI_SERVE, .port = 443, .wait_s = WAIT_S};
    opterr = 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): this program has one thread */
    while ((c = getopt_long(argc, argv, ":hq", options, NULL)) != -1) {
        int rc = take_option(out, c);
        if (rc) {
            return rc < 0 ? bad_option(c, argv) : rc;
        }
    }
    return take_words(out, argc - optind, argv + optind);
}

void cli_usage(FILE *to)
{
    fputs(
        "funnel: a local port on the whole internet, over HTTPS that ends on this machine\n"
        "\n"
        "  funnel 3000                      serve http://127.0.0.1:3000 until Ctrl+C\n"
        "  funnel --bg 3000                 the same, until `funnel off`\n"
        "  funnel --https=8443 3000         on another public port (443, 8443, 10000)\n"
        "\n"
        "  funnel up URL                    join a tailnet: a person opens a link\n"
        "  funnel up URL --auth-key file:PATH             the same, by a key\n"
        "  funnel status [--json]           what is served, through which relays\n"
        "  funnel [--https=PORT] off        stop one    funnel reset   stop all\n"
        "  funnel enable                    ask for the right to use Funnel\n"
        "  funnel request list              what was asked; request cancel ID withdraws it\n"
        "  funnel wait ID                   take up what an earlier command asked for\n"
        "  funnel down                      disconnect; `funnel up` comes back\n"
        "  funnel help [CODE]               this, or what an error code means\n"
        "\n"
        "Asking: --reason TEXT, --expires 8h, --wait 15m, --no-wait\n"
        "Options: --socket PATH (or FUNNEL_SOCKET), --hostname NAME, --quiet, --json, --version\n",
        to);
}

static const struct {
    const char *code, *text;
} topics[] = {
    {"FNL-100", "The command line was not understood. `funnel --help` has three examples."},
    {"FNL-101",
     "The daemon funneld is not running, or its socket is elsewhere (--socket, FUNNEL_SOCKET)."},
    {"FNL-102", "Changing things needs root, the daemon's user or its operator group."},
    {"FNL-103", "This node belongs to no tailnet yet, or was switched off by `funnel down`."},
    {"FNL-104", "Control refused the registration: the auth key is wrong, used or expired."},
    {"FNL-105", "funneld could not write its state directory: look at its space and permissions."},
    {"FNL-106", "`funnel up` needs a control server. An auth key comes from a file: on the command "
                "line everybody on this machine could read it."},
    {"FNL-107", "The control server is named by a URL that begins with https://."},
    {"FNL-108", "Another command serves this public port."},
    {"FNL-109", "A target is a port of this machine, HOST:PORT, or http://HOST:PORT."},
    {"FNL-110", "Control could not be asked. Running funnels go on without it."},
    {"FNL-111", "Control answered with a link to another server. It was not shown."},
    {"FNL-112", "Another command switched this funnel off."},
    {"FNL-113", "There is no funnel on this public port. `funnel status` lists those there are."},
    {"FNL-114", "The command and funneld are of different versions: restart funneld."},
    {"FNL-115", "The command and funneld are of different versions: restart funneld."},
    {"FNL-116",
     "`funnel request list` shows the requests of this node that control still tells of."},
    {"FNL-117", "A person looked at this machine's request to join and said no."},
    {"FNL-118", "Nobody opened the link of `funnel up` in time: it is valid for 15 minutes."},
    {"FNL-120", "An admin switched this public URL off at the control server. Talk to them first."},
    {"FNL-201", "The tailnet's policy does not give this node the attribute `funnel`."},
    {"FNL-202", "Somebody denied the request. It can be asked again after 10 minutes."},
    {"FNL-203", "Nobody decided in time, or the request was withdrawn, or the node was renamed."},
    {"FNL-204",
     "Nobody has decided yet. The request stays open; the same command takes it up, and so "
     "does `funnel wait ID`."},
    {"FNL-205", "Somebody has thrown the tailnet's kill switch: nothing of it is public until an "
                "owner, admin or network admin opens it again."},
    {"FNL-206", "The node was deleted, or its key has expired: `funnel up` makes it known again."},
    {"FNL-207", "A request of this node was reported as not made by its owner. An owner, admin or "
                "network admin can let it ask again."},
};

int cli_help(const char *topic)
{
    if (!topic) {
        cli_usage(stdout);
        return EXIT_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
        if (strcmp(topics[i].code, topic) == 0) {
            printf("%s: %s\n", topics[i].code, topics[i].text);
            return EXIT_OK;
        }
    }
    return refuse("no help for this", topic, "funnel help");
}
