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
static struct buf docs, seen; /* docs/policy-codes.md; codes that came up, each in backquotes */

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
    buf_addf(&seen, "`%s`", d->code);
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

/* Every code that came up is explained, and every code that is explained came up. */
static void codes(void **state)
{
    (void)state;
    /* What the loader alone does not say: tests run elsewhere, and nobody calls here. */
    buf_adds(&seen, "`test-failed``funnel-caller-tagged``too-big``too-many``funnel-https-off`");
    struct slice both[] = {buf_slice(&seen), buf_slice(&docs)};
    for (int side = 0; side < 2; side++) {
        struct slice rest = both[side];
        bool quoted = false;
        for (struct slice word; slice_split(&rest, '`', &word); quoted = !quoted) {
            char code[64];
            snprintf(code, sizeof code, "`%.*s`", (int)word.n, word.p);
            bool is_code = quoted && slice_find(word, '-') > 0 && slice_find(word, '/') < 0;
            if (is_code && !strstr(buf_cstr(side ? &seen : &docs), code)) {
                fail_msg("%s is not %s", code,
                         side ? "in any golden file" : "in docs/policy-codes.md");
            }
        }
    }
}

int main(void)
{
    struct buf text = BUF_MAX(MIB);
    char why[256] = "";
    docs = BUF_MAX(MIB);
    seen = BUF_MAX(MIB);
    if (file_read(FOLDER "facts.json", &text) ||
        file_read(SOURCE_DIR "/docs/policy-codes.md", &docs) ||
        policy_facts_read(buf_slice(&text), why, &facts)) {
        fprintf(stderr, "cannot read the facts: %s\n", why);
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden), cmocka_unit_test(codes)};
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    policy_facts_unref(facts);
    buf_deinit(&docs);
    buf_deinit(&seen);
    buf_deinit(&text);
    return rc;
}
