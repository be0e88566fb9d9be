/* Arguments: what is understood, what is refused and with which words; every error code has a help
 * text. */
#include <getopt.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "lib/base/file.h"
#include "tests/unit/support/test.h"

enum { WORDS_MAX = 6, SAID_MAX = 2000 };

/* Runs cli_parse on a line of words; what it says on stderr goes into `out_said`. */
static int parse(const char *line, struct cli_args *out, char out_said[SAID_MAX])
{
    static char words[400]; /* what was parsed points into it */
    char *argv[WORDS_MAX + 2] = {NULL}, *text = NULL, *rest = NULL;
    int argc = 0;
    size_t size = 0;
    snprintf(words, sizeof words, "funnel %s", line);
    for (char *w = strtok_r(words, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
        assert_true(argc <= WORDS_MAX);
        argv[argc++] = w;
    }
    FILE *real = stderr, *mem = open_memstream(&text, &size);
    assert_non_null(mem);
    optind = 0; /* glibc: begin anew */
    stderr = mem;
    int rc = cli_parse(argc, argv, out);
    stderr = real;
    fclose(mem);
    snprintf(out_said, SAID_MAX, "%s", text);
    free(text);
    return rc;
}

static void understands(const char *line, enum cli_command command, const char *target, int port)
{
    struct cli_args a;
    char said[SAID_MAX];
    assert_int_equal(parse(line, &a, said), 0);
    assert_string_equal(said, "");
    assert_int_equal(a.command, command);
    assert_int_equal(a.port, port);
    assert_string_equal(a.target ? a.target : "", target);
}

static void test_understood(void **state)
{
    (void)state;
    understands("3000", CLI_SERVE, "3000", 443);
    understands("http://127.0.0.1:3000", CLI_SERVE, "http://127.0.0.1:3000", 443);
    understands("--https=8443 localhost:3000", CLI_SERVE, "localhost:3000", 8443);
    understands("3000 --https 10000 --bg", CLI_SERVE, "3000", 10000);
    understands("off", CLI_OFF, "", 443);
    understands("--https=8443 off", CLI_OFF, "", 8443);
    understands("3000 off", CLI_OFF, "", 443);
    understands("status --json", CLI_STATUS, "", 443);
    understands("reset", CLI_RESET, "", 443);
    understands("down", CLI_DOWN, "", 443);
    understands("enable", CLI_ENABLE, "", 443);
    understands("up --auth-key file:k", CLI_UP, "", 443);
    understands("", CLI_HELP, "", 443);
    understands("help FNL-101", CLI_HELP, "", 443);
    understands("--version", CLI_VERSION, "", 443);
    understands("request list", CLI_REQUESTS, "", 443);
    understands("request cancel abc", CLI_CANCEL, "", 443);
    understands("wait abc --wait=1m", CLI_WAIT, "", 443);
}

static void test_asking(void **state)
{
    (void)state;
    struct cli_args a;
    char said[SAID_MAX];
    assert_int_equal(parse("3000", &a, said), 0);
    assert_int_equal(a.wait_s, 900);
    assert_int_equal(a.seconds, 0);
    assert_null(a.reason);
    assert_int_equal(parse("3000 --reason demo --expires 8h --wait=90s", &a, said), 0);
    assert_string_equal(a.reason, "demo");
    assert_int_equal(a.seconds, 28800);
    assert_int_equal(a.wait_s, 90);
    assert_int_equal(parse("--expires 7d --no-wait 3000", &a, said), 0);
    assert_int_equal(a.seconds, 604800);
    assert_int_equal(a.wait_s, 0);
    assert_int_equal(parse("--wait 30 wait abc", &a, said), 0);
    assert_int_equal(a.wait_s, 30);
    assert_string_equal(a.request, "abc");
}

static void refuses(const char *line, const char *message, const char *why, const char *fix)
{
    struct cli_args a;
    char said[SAID_MAX], wanted[SAID_MAX];
    assert_int_equal(parse(line, &a, said), EXIT_USAGE);
    snprintf(wanted, sizeof wanted, "funnel: %s (FNL-100)\n  why: %s\n  fix: %s\n", message, why,
             fix);
    assert_string_equal(said, wanted);
}

static void test_refused(void **state)
{
    (void)state;
    refuses("wait", "which request?", "wait", "funnel wait ID; funnel request list shows them");
    refuses("request", "what about requests?", "request",
            "funnel request list, or funnel request cancel ID");
    refuses("request cancel", "what about requests?", "cancel",
            "funnel request list, or funnel request cancel ID");
    refuses("--wait=soon 3000", "this is no length of time", "soon", "90s, 15m, 8h or 7d");
    refuses("--expires 0 3000", "this is no length of time", "0", "90s, 15m, 8h or 7d");
    refuses("--expires 400d 3000", "this is no length of time", "400d", "90s, 15m, 8h or 7d");
    refuses("stauts", "unknown command", "stauts", "did you mean: funnel status?");
    /* "serve" is how upstream calls something else: it is no command here, so it is not offered. */
    refuses("serve 3000", "unknown command", "serve", "funnel 3000, or funnel --help");
    refuses("--htps=443 3000", "unknown option", "--htps=443", "did you mean --https?");
    refuses("--nothing-like-it 3000", "unknown option", "--nothing-like-it", "funnel --help");
    refuses("-x 3000", "unknown option", "-x", "funnel --help");
    refuses("3000 --https", "this option needs a value", "--https", "funnel --help");
    refuses("--https=444 3000", "this port cannot be public", "444",
            "--https=443, --https=8443 or --https=10000");
    refuses("3000 3001", "one target at a time", "3001", "funnel 3000");
    /* A word too many is a misunderstanding: nothing is switched off by one. */
    refuses("off 3000", "one word too many", "3000", "funnel --help");
    refuses("3000 3001 off", "one target at a time", "3001", "funnel 3000");
    refuses("status off", "one word too many", "off", "funnel --help");
    refuses("reset all", "one word too many", "all", "funnel --help");
}

/* Every "FNL-..." that stands in one file has a help text. */
static size_t codes_in(const char *path)
{
    struct buf text = BUF_MAX(MIB);
    size_t count = 0;
    assert_int_equal(file_read(path, &text), 0);
    for (const char *p = buf_cstr(&text); (p = strstr(p, "\"FNL-")); p++, count++) {
        char code[16];
        snprintf(code, sizeof code, "%.7s", p + 1);
        if (cli_help(code) != EXIT_OK) {
            fail_msg("%s: funnel help %s knows nothing", path, code);
        }
    }
    buf_deinit(&text);
    return count;
}

static void test_every_code_has_help(void **state)
{
    glob_t files;
    size_t count = 0;
    (void)state;
    assert_int_equal(glob(SOURCE_DIR "/agent/*.c", 0, NULL, &files), 0);
    assert_int_equal(glob(SOURCE_DIR "/cli/*.c", GLOB_APPEND, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        count += codes_in(files.gl_pathv[i]);
    }
    globfree(&files);
    assert_true(count > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_understood),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_every_code_has_help),
        cmocka_unit_test(test_asking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
