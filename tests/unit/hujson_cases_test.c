/*
 * The conformance cases of tests/data/policy-cases.json, kinds hujson-parse, hujson-format and
 * hujson-patch. The file is read by another JSON reader than the one under test. Messages are
 * compared whole.
 */
#include <stdio.h>

#include "lib/base/file.h"
#include "lib/base/text.h"
#include "lib/data/json.h"
#include "lib/hujson/hujson.h"
#include "tests/unit/support/test.h"

static struct js *all_cases;

/* A string, {hex} or {gen: [{text, count}]}. */
static void build_input(const struct js *in, struct buf *out)
{
    struct slice hex = js_get_str(in, "hex"), byte_text;
    const struct js *gen = js_get(in, "gen");
    if (js_kind(in) == JS_STR) {
        buf_add(out, js_str(in));
    } else if (gen) {
        for (size_t i = 0; i < js_len(gen); i++) {
            const struct js *part = js_at(gen, i);
            for (int64_t k = js_get_int(part, "count", 0); k > 0; k--) {
                buf_add(out, js_get_str(part, "text"));
            }
        }
    } else {
        while (slice_split(&hex, ' ', &byte_text)) {
            uint8_t byte;
            assert_true(text_unhex(byte_text, &byte, 1));
            buf_addc(out, (char)byte);
        }
    }
    assert_true(buf_ok(out));
}

static bool expects_ok(const struct js *expect)
{
    return slice_eq(js_get_str(expect, "result"), S("ok"));
}

static void assert_same(struct slice id, struct slice got, struct slice want)
{
    if (!slice_eq(got, want)) {
        fail_msg("%.*s\n got: %.*s\nwant: %.*s", SLICE_ARG(id), SLICE_ARG(got), SLICE_ARG(want));
    }
}

/* The document, or NULL where the case expects this refusal. */
static struct hujson_doc *parse_case(struct slice id, struct slice input, const struct js *expect)
{
    struct hujson_diag diag = {0};
    struct hujson_doc *d = NULL;
    int rc = hujson_parse(input, 4 * MIB, &diag, &d);
    if (expects_ok(expect)) {
        if (rc) {
            fail_msg("%.*s: %d:%d %s", SLICE_ARG(id), diag.line, diag.column, diag.text);
        }
        return d;
    }
    assert_int_equal(rc, HUJSON_SYNTAX);
    assert_int_equal(diag.line, js_get_int(expect, "line", -1));
    assert_int_equal(diag.column, js_get_int(expect, "column", -1));
    assert_same(id, slice_str(diag.text), js_get_str(expect, "message"));
    return NULL;
}

static void check_parse(struct slice id, const struct js *in, const struct js *expect)
{
    struct buf input = BUF_MAX(8 * MIB), out = BUF_MAX(4 * MIB);
    build_input(in, &input);
    struct hujson_doc *d = parse_case(id, buf_slice(&input), expect);
    if (d) {
        hujson_print(d, &out);
        assert_same(id, buf_slice(&out), buf_slice(&input));
    }
    if (d && js_get(expect, "min")) {
        buf_clear(&out);
        assert_int_equal(hujson_minimize(d, &out), 0);
        assert_same(id, buf_slice(&out), js_get_str(expect, "min"));
    }
    if (d && js_get(expect, "standard")) {
        buf_clear(&out);
        hujson_standardize(d, &out);
        assert_same(id, buf_slice(&out), js_get_str(expect, "standard"));
    }
    hujson_free(d);
    buf_deinit(&out);
    buf_deinit(&input);
}

static void check_format(struct slice id, const struct js *in, const struct js *expect)
{
    struct buf out = BUF_MAX(4 * MIB);
    struct hujson_doc *d = parse_case(id, js_str(in), expect);
    assert_non_null(d);
    assert_int_equal(hujson_format(d, &out), 0);
    assert_same(id, buf_slice(&out), js_get_str(expect, "text"));
    hujson_free(d);
    buf_deinit(&out);
}

/* "patch operation 0: value not found" for "value not found". */
static bool says(const char *text, struct slice want)
{
    struct slice s = slice_str(text);
    ptrdiff_t cut = slice_starts(s, S("patch operation ")) ? slice_find(s, ':') + 2 : 0;
    return slice_eq(slice_skip(s, (size_t)cut), want);
}

static void check_patch(struct slice id, const struct js *in, const struct js *expect)
{
    struct hujson_diag diag = {0};
    struct hujson_doc *d = NULL;
    struct buf out = BUF_MAX(MIB);
    assert_int_equal(hujson_parse(js_get_str(in, "doc"), MIB, &diag, &d), 0);
    int rc = hujson_patch(d, js_get_str(in, "patch"), &diag);
    if (rc != (expects_ok(expect) ? 0 : HUJSON_PATCH) ||
        (rc && !says(diag.text, js_get_str(expect, "message")))) {
        fail_msg("%.*s: %d %s", SLICE_ARG(id), rc, rc ? diag.text : "");
    }
    assert_same(id, hujson_text(d), js_get_str(expect, "text"));
    hujson_print(d, &out);
    assert_same(id, buf_slice(&out), hujson_text(d));
    if (js_get(expect, "formatted")) {
        buf_clear(&out);
        assert_int_equal(hujson_format(d, &out), 0);
        assert_same(id, buf_slice(&out), js_get_str(expect, "formatted"));
    }
    hujson_free(d);
    buf_deinit(&out);
}

typedef void (*check_fn)(struct slice id, const struct js *in, const struct js *expect);

static void run_kind(const char *kind, size_t at_least, check_fn check)
{
    const struct js *list = js_get(all_cases, "cases");
    size_t ran = 0;
    for (size_t i = 0; i < js_len(list); i++) {
        const struct js *c = js_at(list, i);
        if (slice_eq(js_get_str(c, "kind"), slice_str(kind))) {
            check(js_get_str(c, "id"), js_get(c, "input"), js_get(c, "expect"));
            ran++;
        }
    }
    assert_true(ran >= at_least);
}

static void parse(void **state)
{
    (void)state;
    run_kind("hujson-parse", 30, check_parse);
}

static void format(void **state)
{
    (void)state;
    run_kind("hujson-format", 13, check_format);
}

static void patch(void **state)
{
    (void)state;
    run_kind("hujson-patch", 13, check_patch);
}

int main(void)
{
    struct buf text = BUF_MAX(4 * MIB);
    char why[200];
    if (file_read(SOURCE_DIR "/tests/data/policy-cases.json", &text) ||
        !(all_cases = js_parse(buf_slice(&text), text.len, why, sizeof why))) {
        fprintf(stderr, "cannot read the cases\n");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse),
        cmocka_unit_test(format),
        cmocka_unit_test(patch),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    js_free(all_cases);
    buf_deinit(&text);
    return rc;
}
