/* Files whole, secrets by reference, and what a program says at its end. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "tests/unit/support/test.h"

static char folder[] = "/tmp/base-file-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void too_long(char path[PATH_MAX + 10])
{
    memset(path, 'a', PATH_MAX + 9);
    path[0] = '/';
    path[PATH_MAX + 9] = '\0';
}

static void replaced_as_a_whole(void **state)
{
    struct buf got = BUF_MAX(100);
    struct stat st;
    (void)state;
    assert_int_equal(file_read(in_folder("f"), &got), FILE_MISSING);
    assert_int_equal(file_replace(in_folder("f"), 0640, S("first")), 0);
    assert_int_equal(file_read(in_folder("f"), &got), 0);
    assert_slice(buf_slice(&got), "first");
    assert_int_equal(stat(in_folder("f"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    /* What a crash left behind is no obstacle, whatever its permissions. */
    int fd = open(in_folder("f.new"), O_CREAT | O_WRONLY | O_CLOEXEC, 0);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_replace(in_folder("f"), 0600, S("")), 0);
    buf_clear(&got);
    assert_int_equal(file_read(in_folder("f"), &got), 0);
    assert_int_equal(got.len, 0);
    assert_int_equal(access(in_folder("f.new"), F_OK), -1);
    unlink(in_folder("f"));
    buf_deinit(&got);
}

static void replacing_fails_without_a_trace(void **state)
{
    char path[PATH_MAX + 10];
    (void)state;
    assert_int_equal(file_replace(in_folder("missing/f"), 0600, S("x")), -ENOENT);
    assert_int_equal(mkdir(in_folder("d"), 0700), 0);
    assert_int_equal(file_replace(in_folder("d"), 0600, S("x")), -EISDIR);
    assert_int_equal(access(in_folder("d.new"), F_OK), -1);
    rmdir(in_folder("d"));
    too_long(path);
    assert_int_equal(file_replace(path, 0600, S("x")), -ENAMETOOLONG);
    assert_int_equal(file_mkdirs(path, 0700), -ENAMETOOLONG);
}

/* A name without a folder stands in the working directory, one below "/" in the root. */
static void folders_of_all_kinds(void **state)
{
    char before[PATH_MAX];
    struct buf got = BUF_MAX(100);
    (void)state;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(file_replace("bare", 0600, S("x")), 0);
    assert_int_equal(file_read("bare", &got), 0);
    assert_int_equal(unlink("bare"), 0);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(file_mkdirs(in_folder("a/b/c"), 0700), 0);
    assert_int_equal(file_mkdirs(in_folder("a/b/c"), 0700), 0);
    assert_int_equal(file_replace(in_folder("a/f"), 0600, S("x")), 0);
    assert_int_equal(file_mkdirs(in_folder("a/f/g"), 0700), -ENOTDIR);
    unlink(in_folder("a/f"));
    rmdir(in_folder("a/b/c"));
    rmdir(in_folder("a/b"));
    rmdir(in_folder("a"));
    buf_deinit(&got);
}

static void caps(void **state)
{
    struct buf exact = BUF_MAX(4), small = BUF_MAX(3);
    (void)state;
    assert_int_equal(file_replace(in_folder("f"), 0600, S("1234")), 0);
    assert_int_equal(file_read(in_folder("f"), &exact), 0);
    assert_slice(buf_slice(&exact), "1234");
    assert_int_equal(file_read(in_folder("f"), &small), FILE_TOO_BIG);
    assert_int_equal(file_read(folder, &exact), -EISDIR);
    unlink(in_folder("f"));
    buf_deinit(&exact);
    buf_deinit(&small);
}

static void secrets_by_reference(void **state)
{
    char ref[PATH_MAX + 10], *large = malloc(5000);
    struct buf got = {0};
    (void)state;
    assert_int_equal(secret_read_ref(S("in-the-open"), &got), SECRET_INLINE);
    assert_int_equal(file_replace(in_folder("s"), 0600, S("one line\n")), 0);
    snprintf(ref, sizeof ref, "file:%s", in_folder("s"));
    assert_int_equal(secret_read_ref(slice_str(ref), &got), 0);
    assert_slice(buf_slice(&got), "one line");
    secret_wipe_buf(&got);
    assert_int_equal(file_replace(in_folder("s"), 0600, S("no newline")), 0);
    assert_int_equal(secret_read_ref(slice_str(ref), &got), 0);
    assert_slice(buf_slice(&got), "no newline");
    secret_wipe_buf(&got);
    assert_non_null(large);
    memset(large, 'x', 5000);
    assert_int_equal(file_replace(in_folder("s"), 0600, slice_of(large, 5000)), 0);
    assert_int_equal(secret_read_ref(slice_str(ref), &got), -EFBIG);
    free(large);
    assert_int_equal(file_replace(in_folder("s"), 0600, S("")), 0);
    assert_int_equal(secret_read_ref(slice_str(ref), &got), 0);
    assert_int_equal(got.len, 0);
    secret_wipe_buf(&got);
    unlink(in_folder("s"));
    assert_int_equal(secret_read_ref(slice_str(ref), &got), -ENOENT);
    snprintf(ref, sizeof ref, "file:%s", folder);
    assert_int_equal(secret_read_ref(slice_str(ref), &got), -EISDIR);
    memset(ref, 'x', sizeof ref - 1);
    memcpy(ref, "file:", 5);
    ref[sizeof ref - 1] = '\0';
    assert_int_equal(secret_read_ref(slice_str(ref), &got), -ENAMETOOLONG);
}

static void a_secret_from_stdin(void **state)
{
    int fds[2], before = dup(STDIN_FILENO);
    struct buf got = {0};
    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "typed\n", 6), 6);
    close(fds[1]);
    assert_true(dup2(fds[0], STDIN_FILENO) >= 0);
    assert_int_equal(secret_read_ref(S("-"), &got), 0);
    assert_slice(buf_slice(&got), "typed");
    secret_wipe_buf(&got);
    assert_true(dup2(before, STDIN_FILENO) >= 0);
    close(fds[0]);
    close(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaced_as_a_whole),  cmocka_unit_test(replacing_fails_without_a_trace),
        cmocka_unit_test(folders_of_all_kinds), cmocka_unit_test(caps),
        cmocka_unit_test(secrets_by_reference), cmocka_unit_test(a_secret_from_stdin),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
