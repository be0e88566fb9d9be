/*
 * Golden complaints: each tests/golden/policy/NAME.hujson is loaded with the facts of facts.json,
 * and what the loader says of it must be NAME.ok. The target `golden-update` (or UPDATE_GOLDEN=1)
 * writes the .ok files; read the difference before it is committed.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/text.h"
#include "policy/facts.h"
#include "policy/policy.h"
#include "tests/unit/support/test.h"

#define FOLDER SOURCE_DIR "/tests/golden/policy/"

static struct policy_facts *facts;

static void put_diag(const struct policy_diag *d, struct buf *out)
{
    buf_addf(out, "%s %s \"%s\" %d:%d", d->severity == POLICY_ERROR ? "error" : "warning", d->code,
             d->pointer, d->line, d->column);
    if (d->character != d->column) {
        buf_addf(out, " (character %d)", d->character);
    }
    buf_addf(out, "\n    %s\n", d->message);
    if (d->hint[0]) {
        buf_addf(out, "    hint: %s\n", d->hint);
    }
    assert_true(text_utf8_valid(slice_str(d->message)));
    assert_true(text_utf8_valid(slice_str(d->hint)));
    assert_true(text_utf8_valid(slice_str(d->pointer)));
}

static void judge(struct slice text, struct buf *out)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    int rc = policy_load(text, facts, &diags, &p);
    buf_addf(out, "%s%s\n", rc ? "refused" : "accepted",
             diags.truncated ? ", and there is more" : "");
    for (size_t i = 0; i < diags.count; i++) {
        put_diag(&diags.items[i], out);
        assert_true(!i || diags.items[i - 1].offset <= diags.items[i].offset);
    }
    policy_diags_free(&diags);
    policy_unref(p);
}

static void write_file(const char *path, struct slice text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
    assert_int_equal(fclose(f), 0);
}

static int compare(const char *name)
{
    char path[512];
    struct buf text = BUF_MAX(2 * MIB), got = BUF_MAX(MIB), want = BUF_MAX(MIB);
    snprintf(path, sizeof path, FOLDER "%s.hujson", name);
    assert_int_equal(file_read(path, &text), 0);
    judge(buf_slice(&text), &got);
    snprintf(path, sizeof path, FOLDER "%s.ok", name);
    int wrong = 0;
    if (getenv("UPDATE_GOLDEN")) {
        write_file(path, buf_slice(&got));
    } else if (file_read(path, &want) || !slice_eq(buf_slice(&got), buf_slice(&want))) {
        print_error("%s: want\n%s\ngot\n%s\n", name, buf_cstr(&want), buf_cstr(&got));
        wrong = 1;
    }
    buf_deinit(&text);
    buf_deinit(&got);
    buf_deinit(&want);
    return wrong;
}

static void golden(void **state)
{
    (void)state;
    DIR *dir = opendir(FOLDER);
    assert_non_null(dir);
    int wrong = 0, ran = 0;
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        struct slice name = slice_str(e->d_name);
        char stem[256];
        if (slice_ends(name, S(".hujson"))) {
            assert_true(slice_copy(slice_sub(name, 0, name.n - 7), stem, sizeof stem));
            wrong += compare(stem);
            ran++;
        }
    }
    closedir(dir);
    assert_true(ran >= 30);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    struct buf text = BUF_MAX(MIB);
    char why[256] = "";
    if (file_read(FOLDER "facts.json", &text) || policy_facts_read(buf_slice(&text), why, &facts)) {
        fprintf(stderr, "cannot read the facts: %s\n", why);
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden)};
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    policy_facts_unref(facts);
    buf_deinit(&text);
    return rc;
}
