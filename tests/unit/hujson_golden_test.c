/*
 * Golden files, tests/golden/hujson: format-NAME.in becomes NAME.ok when it is formatted,
 * patch-NAME.in with NAME.patch the patched text or the message, parse-NAME.in the message of the
 * parser. Expectations were made by the reference implementation. UPDATE_GOLDEN=1 writes
 * them anew from what we do: read the difference before it is committed.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/file.h"
#include "lib/hujson/hujson.h"
#include "tests/unit/support/test.h"

#define FOLDER SOURCE_DIR "/tests/golden/hujson/"

static void read_part(const char *name, const char *suffix, struct buf *out)
{
    char path[4096];
    snprintf(path, sizeof path, FOLDER "%s.%s", name, suffix);
    if (file_read(path, out)) {
        fail_msg("cannot read %s", path);
    }
}

static void put_diag(const struct hujson_diag *d, struct buf *out)
{
    buf_addf(out, "line %d, column %d: %s\n", d->line, d->column, d->text);
}

static void do_parse(struct slice in, struct buf *out)
{
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    if (hujson_parse(in, MIB, &diag, &d)) {
        put_diag(&diag, out);
    }
    hujson_free(d);
}

static void do_format(struct slice in, struct buf *out)
{
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    assert_int_equal(hujson_parse(in, MIB, &diag, &d), 0);
    assert_int_equal(hujson_format(d, out), 0);
    hujson_free(d);
}

static void do_patch(struct slice in, struct slice patch, struct buf *out)
{
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    assert_int_equal(hujson_parse(in, MIB, &diag, &d), 0);
    int rc = hujson_patch(d, patch, &diag);
    if (rc == HUJSON_PATCH) {
        buf_addf(out, "%s\n", diag.text);
    } else {
        assert_int_equal(rc, 0);
        buf_add(out, hujson_text(d));
    }
    hujson_free(d);
}

static void check(const char *name, struct slice got)
{
    char path[4096];
    if (getenv("UPDATE_GOLDEN")) {
        snprintf(path, sizeof path, FOLDER "%s.ok", name);
        assert_int_equal(file_replace(path, 0644, got), 0);
        return;
    }
    struct buf want = BUF_MAX(MIB);
    read_part(name, "ok", &want);
    if (!slice_eq(got, buf_slice(&want))) {
        fail_msg("%s\n--- want\n%s\n--- got\n%.*s", name, buf_cstr(&want), SLICE_ARG(got));
    }
    buf_deinit(&want);
}

static void run_one(const char *name)
{
    struct buf in = BUF_MAX(MIB), patch = BUF_MAX(MIB), got = BUF_MAX(MIB);
    read_part(name, "in", &in);
    if (strncmp(name, "parse-", 6) == 0) {
        do_parse(buf_slice(&in), &got);
    } else if (strncmp(name, "format-", 7) == 0) {
        do_format(buf_slice(&in), &got);
        check(name, buf_slice(&got));
        struct buf once = got;
        got = BUF_MAX(MIB);
        do_format(buf_slice(&once), &got); /* and again changes nothing */
        buf_deinit(&once);
    } else {
        read_part(name, "patch", &patch);
        do_patch(buf_slice(&in), buf_slice(&patch), &got);
    }
    check(name, buf_slice(&got));
    buf_deinit(&in);
    buf_deinit(&patch);
    buf_deinit(&got);
}

static void golden(void **state)
{
    (void)state;
    DIR *dir = opendir(FOLDER);
    assert_non_null(dir);
    size_t ran = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char name[256];
        struct slice file = slice_str(e->d_name);
        if (slice_ends(file, S(".in")) &&
            slice_copy(slice_sub(file, 0, file.n - 3), name, sizeof name)) {
            run_one(name);
            ran++;
        }
    }
    closedir(dir);
    assert_true(ran >= 190);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
