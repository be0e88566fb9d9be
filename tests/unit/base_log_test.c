/* Lines of log in both forms, complaints, and the end of a program: what really arrives on stderr.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "tests/unit/support/test.h"

static char said[8192];

/* Runs fn with stderr in a file and puts what it wrote into `said`. */
static void listen_to(void (*fn)(void))
{
    FILE *f = tmpfile();
    int before = dup(STDERR_FILENO);
    assert_non_null(f);
    assert_true(before >= 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
    fn();
    fflush(stderr);
    assert_true(dup2(before, STDERR_FILENO) >= 0);
    close(before);
    rewind(f);
    said[fread(said, 1, sizeof said - 1, f)] = '\0';
    fclose(f);
}

static void one_of_each(void)
{
    errno = EAGAIN;
    log_info("some.event", F_STR("word", "plain"), F_STR("text", "two words"), F_STR("empty", ""),
             F_SLICE("slice", S("a=b")), F_I64("minus", -7), F_U64("plus", UINT64_MAX),
             F_BOOL("yes", true), F_BOOL("no", false), F_ERR(-ENOENT), F_ERR(EACCES), F_ERR(99999));
    assert_int_equal(errno, EAGAIN); /* the caller's */
}

static void text(void **state)
{
    (void)state;
    log_setup("prog", LOG_INFO, false);
    listen_to(one_of_each);
    assert_non_null(strstr(
        said,
        " prog info some.event word=plain text=\"two words\" empty=\"\" slice=\"a=b\" minus=-7"
        " plus=18446744073709551615 yes=true no=false error=\"No such file or directory\""
        " error=\"Permission denied\" error=\"unknown error\"\n"));
    assert_int_equal(said[10], 'T');
    assert_int_equal(said[19], '.');
    assert_int_equal(said[23], 'Z');
}

static void json(void **state)
{
    (void)state;
    log_setup("prog", LOG_INFO, true);
    listen_to(one_of_each);
    assert_int_equal(strncmp(said, "{\"time\":\"20", 11), 0);
    assert_non_null(strstr(
        said,
        "\",\"program\":\"prog\",\"level\":\"info\",\"event\":\"some.event\",\"word\":\"plain\","
        "\"text\":\"two words\",\"empty\":\"\",\"slice\":\"a=b\",\"minus\":-7,"
        "\"plus\":18446744073709551615,\"yes\":true,\"no\":false,"
        "\"error\":\"No such file or directory\",\"error\":\"Permission denied\","
        "\"error\":\"unknown error\"}\n"));
}

static void hostile(void)
{
    log_warn("e", F_SLICE("v", slice_of("a\"b\\c\n\x1b[2J\0\xff", 12)));
}

/* Nothing that a stranger wrote ends a line or moves the cursor. */
static void escapes(void **state)
{
    (void)state;
    for (int as_json = 0; as_json < 2; as_json++) {
        log_setup("p", LOG_WARN, as_json);
        listen_to(hostile);
        assert_non_null(strstr(said, "\"a\\\"b\\\\c\\u000a\\u001b[2J\\u0000\\u00ff\""));
        assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
    }
}

static void endless(void)
{
    static char large[5000];
    memset(large, 'x', sizeof large);
    log_error("e", F_SLICE("v", slice_of(large, sizeof large)), F_STR("last", "unseen"));
}

/* A line is cut rather than spread over two writes; it still ends where it should. */
static void long_lines(void **state)
{
    (void)state;
    log_setup("p", LOG_ERROR, true);
    listen_to(endless);
    size_t n = strlen(said);
    assert_int_equal(n, 2048);
    assert_string_equal(said + n - 2, "}\n");
    assert_null(strstr(said, "unseen"));
}

static void all_levels(void)
{
    log_error("one");
    log_warn("two");
    log_info("three");
    log_debug("four");
    err_ignore(err_note(ERR_TRACE, -EIO, "file.c", 12, "fn"));
}

static void levels(void **state)
{
    (void)state;
    err_set_sink(log_err_sink);
    log_setup("p", LOG_WARN, false);
    assert_int_equal(log_level_get(), LOG_WARN);
    listen_to(all_levels);
    assert_non_null(strstr(said, "two"));
    assert_null(strstr(said, "three"));
    log_setup("p", LOG_DEBUG, false);
    listen_to(all_levels);
    assert_non_null(strstr(said, "debug four"));
    assert_non_null(strstr(said, "err kind=trace code=-5 file=file.c line=12 func=fn"));
    err_set_sink(NULL);
}

static void errors_fold(void **state)
{
    (void)state;
    assert_int_equal(err_fold(3), -ENOTRECOVERABLE); /* an answer that nobody handled */
    assert_int_equal(err_fold(-EIO), -EIO);
    assert_int_equal(err_origin(-EPERM), -EPERM);
    assert_int_equal(err_trace(-EPERM), -EPERM);
    assert_string_equal(err_words(-EPERM), err_words(EPERM));
    assert_string_equal(err_words(99999), "unknown error");
}

static void complain(void)
{
    assert_int_equal(log_complain(78, "what", "why", "fix"), 78);
}

static int end_code;

static void end(void)
{
    end_code = log_end(end_code);
}

static void ends(void **state)
{
    (void)state;
    log_setup("prog", LOG_INFO, false);
    listen_to(complain);
    assert_string_equal(said, "prog: what\n  why: why\n  fix: fix\n");
    end_code = 0;
    listen_to(end);
    assert_int_equal(end_code, 0);
    assert_string_equal(said, "");
    /* stdout on a full disk */
    int before = dup(STDOUT_FILENO);
    FILE *full = fopen("/dev/full", "we");
    assert_true(full && before >= 0 && dup2(fileno(full), STDOUT_FILENO) >= 0);
    printf("a result");
    listen_to(end);
    assert_int_equal(end_code, 1);
    assert_non_null(strstr(said, "the output is not whole"));
    end_code = 69; /* what had failed already stays */
    listen_to(end);
    assert_int_equal(end_code, 69);
    assert_true(dup2(before, STDOUT_FILENO) >= 0);
    close(before);
    fclose(full);
    clearerr(stdout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text),       cmocka_unit_test(json),   cmocka_unit_test(escapes),
        cmocka_unit_test(long_lines), cmocka_unit_test(levels), cmocka_unit_test(errors_fold),
        cmocka_unit_test(ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
