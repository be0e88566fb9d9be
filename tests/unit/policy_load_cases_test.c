/*
 * Loading against the conformance cases of kind policy-validate: the error with its code, place and
 * Tailscale's words, or exactly the warnings that the case lists.
 */
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/hujson/hujson.h"
#include "policy/facts.h"
#include "policy/policy.h"
#include "tests/unit/support/test.h"

static struct hujson_doc *cases_doc;

static const struct hujson_node *find(const struct hujson_node *obj, const char *name)
{
    return obj ? hujson_find(cases_doc, obj, slice_str(name)) : NULL;
}

/* The member's string, kept in out. */
static const char *get(const struct hujson_node *obj, const char *name, struct buf *out)
{
    const struct hujson_node *n = find(obj, name);
    buf_clear(out);
    err_ignore(n && hujson_string(cases_doc, n, out));
    return buf_cstr(out);
}

static struct policy_facts *read_fixture(const char *name)
{
    struct policy_facts *f = NULL;
    char why[256] = "";
    const struct hujson_node *n = find(find(hujson_root(cases_doc), "fixtures"), name);
    assert_non_null(n);
    if (policy_facts_read(hujson_literal(cases_doc, n), why, &f)) {
        fail_msg("fixture %s: %s", name, why);
    }
    return f;
}

static void expect_error(const struct hujson_node *expect, const struct policy_diags *d)
{
    struct buf code = BUF_MAX(64), path = BUF_MAX(256), message = BUF_MAX(256);
    err_ignore((int)strlen(get(expect, "code", &code)));
    err_ignore((int)strlen(get(expect, "path", &path)));
    err_ignore((int)strlen(get(expect, "message", &message)));
    bool found = false;
    for (size_t i = 0; i < d->count; i++) {
        const struct policy_diag *x = &d->items[i];
        if (x->severity == POLICY_ERROR) {
            print_message("  %s %s %d:%d %s\n", x->code, x->pointer, x->line, x->column,
                          x->message);
            found = found ||
                    (!strcmp(x->code, buf_cstr(&code)) && !strcmp(x->pointer, buf_cstr(&path)) &&
                     strstr(x->message, buf_cstr(&message)) && x->line >= 1 && x->column >= 1);
        }
    }
    if (!found) {
        fail_msg("no error %s at %s: %s", buf_cstr(&code), buf_cstr(&path), buf_cstr(&message));
    }
    buf_deinit(&code);
    buf_deinit(&path);
    buf_deinit(&message);
}

static void expect_warnings(const struct hujson_node *list, const struct policy_diags *d)
{
    struct buf text = BUF_MAX(256), want = BUF_MAX(4096), got = BUF_MAX(4096);
    for (size_t i = 0; i < hujson_count(list); i++) {
        buf_clear(&text);
        assert_true(hujson_string(cases_doc, hujson_at(list, i), &text));
        buf_addf(&want, "%s\n", buf_cstr(&text));
    }
    for (size_t i = 0; i < d->count; i++) {
        assert_int_equal(d->items[i].severity, POLICY_WARNING);
        buf_addf(&got, "%s %s\n", d->items[i].code, d->items[i].pointer);
    }
    assert_string_equal(buf_cstr(&got), buf_cstr(&want));
    buf_deinit(&text);
    buf_deinit(&want);
    buf_deinit(&got);
}

static void run(const struct hujson_node *c)
{
    struct buf text = BUF_MAX(MIB), word = BUF_MAX(256);
    const struct hujson_node *input = find(c, "input"), *expect = find(c, "expect");
    struct policy_facts *f = read_fixture(get(input, "tailnet", &word));
    struct policy_diags diags;
    struct policy *p = NULL;
    print_message("%s: %s\n", get(c, "id", &word), get(c, "why", &text));
    err_ignore((int)strlen(get(input, "policy", &text)));
    int rc = policy_load(buf_slice(&text), f, &diags, &p);
    if (!strcmp(get(expect, "result", &word), "ok")) {
        if (rc) {
            fail_msg("%s", diags.count ? diags.items[0].message : "no memory");
        }
        if (find(expect, "warnings")) {
            expect_warnings(find(expect, "warnings"), &diags);
        }
    } else {
        assert_int_equal(rc, POLICY_INVALID);
        assert_null(p);
        expect_error(expect, &diags);
    }
    policy_diags_free(&diags);
    policy_unref(p);
    policy_facts_unref(f);
    buf_deinit(&text);
    buf_deinit(&word);
}

static void cases(void **state)
{
    (void)state;
    struct buf kind = BUF_MAX(64);
    const struct hujson_node *list = find(hujson_root(cases_doc), "cases");
    int ran = 0;
    for (size_t i = 0; i < hujson_count(list); i++) {
        if (!strcmp(get(hujson_at(list, i), "kind", &kind), "policy-validate")) {
            run(hujson_at(list, i));
            ran++;
        }
    }
    assert_int_equal(ran, 30);
    buf_deinit(&kind);
}

int main(void)
{
    struct buf text = BUF_MAX(4 * MIB);
    struct hujson_diag diag;
    if (file_read(SOURCE_DIR "/tests/data/policy-cases.json", &text) ||
        hujson_parse(buf_slice(&text), 4 * MIB, &diag, &cases_doc)) {
        fprintf(stderr, "cannot read the cases\n");
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(cases)};
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    hujson_free(cases_doc);
    buf_deinit(&text);
    return rc;
}
