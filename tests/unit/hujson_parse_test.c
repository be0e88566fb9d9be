/* The conformance cases of the HuJSON layer (tests/data/policy-cases.json), read by the parser
 * under test itself. */
#include <stdio.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/hujson/hujson.h"
#include "tests/unit/support/test.h"

static struct hujson_doc *cases_doc;

static struct slice get_str(const struct hujson_doc *d,
                            const struct hujson_node *obj,
                            const char *name,
                            struct buf *out)
{
    const struct hujson_node *n = hujson_find(d, obj, slice_str(name));
    buf_clear(out);
    return n && hujson_string(d, n, out) ? buf_slice(out) : S("");
}

static int64_t get_int(const struct hujson_doc *d, const struct hujson_node *obj, const char *name)
{
    const struct hujson_node *n = hujson_find(d, obj, slice_str(name));
    int64_t v = -1;
    return n && hujson_integer(d, n, 0, INT32_MAX, &v) ? v : -1;
}

/* A string, {hex} or {gen: [{text, count}]}; false for strings that hold a NUL, which this reader
 * refuses. */
static bool build_input(const struct hujson_doc *d, const struct hujson_node *in, struct buf *out)
{
    struct buf text = BUF_MAX(MIB);
    bool ok = true;
    if (hujson_kind(in) == HUJSON_STRING) {
        ok = hujson_string(d, in, out);
    } else if (hujson_find(d, in, S("hex"))) {
        struct slice hex = get_str(d, in, "hex", &text);
        struct slice part;
        while (slice_split(&hex, ' ', &part)) {
            uint8_t byte;
            assert_true(text_unhex(part, &byte, 1));
            buf_addc(out, (char)byte);
        }
    } else {
        const struct hujson_node *gen = hujson_find(d, in, S("gen"));
        for (size_t i = 0; i < hujson_count(gen); i++) {
            struct slice part = get_str(d, hujson_at(gen, i), "text", &text);
            for (int64_t k = get_int(d, hujson_at(gen, i), "count"); k > 0; k--) {
                buf_add(out, part);
            }
        }
    }
    buf_deinit(&text);
    return ok;
}

static void check_ok(const struct hujson_doc *d,
                     const struct hujson_node *expect,
                     struct hujson_doc *got,
                     struct slice input)
{
    struct buf out = BUF_MAX(4 * MIB), want = BUF_MAX(MIB);
    hujson_print(got, &out);
    assert_true(slice_eq(buf_slice(&out), input));
    if (hujson_find(d, expect, S("min"))) {
        buf_clear(&out);
        assert_int_equal(hujson_minimize(got, &out), 0);
        assert_true(slice_eq(buf_slice(&out), get_str(d, expect, "min", &want)));
    }
    if (hujson_find(d, expect, S("standard"))) {
        buf_clear(&out);
        hujson_standardize(got, &out);
        assert_true(slice_eq(buf_slice(&out), get_str(d, expect, "standard", &want)));
    }
    buf_deinit(&out);
    buf_deinit(&want);
}

static void run_case(const struct hujson_doc *d, const struct hujson_node *c, struct slice id)
{
    struct buf input = BUF_MAX(8 * MIB), text = BUF_MAX(MIB);
    const struct hujson_node *expect = hujson_find(d, c, S("expect"));
    if (!build_input(d, hujson_find(d, c, S("input")), &input)) {
        buf_deinit(&input);
        return;
    }
    struct hujson_diag diag = {0};
    struct hujson_doc *got = NULL;
    int rc = hujson_parse(buf_slice(&input), 4 * MIB, &diag, &got);
    if (slice_eq(get_str(d, expect, "result", &text), S("ok"))) {
        if (rc) {
            fail_msg("%.*s: %d:%d %s", (int)id.n, id.p, diag.line, diag.column, diag.text);
        }
        check_ok(d, expect, got, buf_slice(&input));
    } else {
        struct slice want = get_str(d, expect, "message", &text);
        if (rc != HUJSON_SYNTAX || diag.line != get_int(d, expect, "line") ||
            diag.column != get_int(d, expect, "column") ||
            !slice_starts(slice_str(diag.text), want)) {
            fail_msg("%.*s: %d, %d:%d %s, not %.*s", (int)id.n, id.p, rc, diag.line, diag.column,
                     diag.text, (int)want.n, want.p);
        }
    }
    hujson_free(got);
    buf_deinit(&input);
    buf_deinit(&text);
}

static void conformance(void **state)
{
    (void)state;
    struct buf kind = BUF_MAX(64), id = BUF_MAX(64);
    const struct hujson_node *list = hujson_find(cases_doc, hujson_root(cases_doc), S("cases"));
    int ran = 0;
    for (size_t i = 0; i < hujson_count(list); i++) {
        const struct hujson_node *c = hujson_at(list, i);
        if (slice_eq(get_str(cases_doc, c, "kind", &kind), S("hujson-parse"))) {
            run_case(cases_doc, c, get_str(cases_doc, c, "id", &id));
            ran++;
        }
    }
    assert_true(ran >= 30);
    buf_deinit(&kind);
    buf_deinit(&id);
}

static void depth_is_counted(void **state)
{
    (void)state;
    char text[2 * HUJSON_DEPTH_MAX + 4];
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    memset(text, '[', HUJSON_DEPTH_MAX);
    memset(text + HUJSON_DEPTH_MAX, ']', HUJSON_DEPTH_MAX);
    assert_int_equal(hujson_parse(slice_of(text, 2 * HUJSON_DEPTH_MAX), MIB, &diag, &d), 0);
    hujson_free(d);
    memset(text, '[', HUJSON_DEPTH_MAX + 1);
    assert_int_equal(hujson_parse(slice_of(text, HUJSON_DEPTH_MAX + 1), MIB, &diag, &d),
                     HUJSON_SYNTAX);
    assert_int_equal(diag.column, HUJSON_DEPTH_MAX + 1);
}

static void strings_decode(void **state)
{
    (void)state;
    static const char text[] =
        "[\"a\\u00e9\\ud83d\\ude00\\n\", \"\\ud800\", \"\\u0000\", 12, -9007199254740993]";
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    struct buf out = BUF_MAX(64);
    int64_t v;
    assert_int_equal(hujson_parse(slice_str(text), MIB, &diag, &d), 0);
    const struct hujson_node *r = hujson_root(d);
    assert_true(hujson_string(d, hujson_at(r, 0), &out));
    assert_slice(buf_slice(&out), "a\xc3\xa9\xf0\x9f\x98\x80\n");
    assert_false(hujson_string(d, hujson_at(r, 1), &out));
    assert_false(hujson_string(d, hujson_at(r, 2), &out));
    assert_true(hujson_integer(d, hujson_at(r, 3), 0, 100, &v) && v == 12);
    assert_false(hujson_integer(d, hujson_at(r, 3), 0, 11, &v));
    assert_true(hujson_integer(d, hujson_at(r, 4), INT64_MIN, 0, &v) && v == -9007199254740993);
    hujson_free(d);
    buf_deinit(&out);
}

static void borrowed_strings(void **state)
{
    (void)state;
    static const char text[] = "{\"plain\": \"a\\n\", \"\\u0000\": \"straight\", \"n\": 1}";
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    struct buf scratch = BUF_MAX(64);
    struct slice s;
    assert_int_equal(hujson_parse(slice_str(text), MIB, &diag, &d), 0);
    const struct hujson_node *r = hujson_root(d);
    assert_true(hujson_string_slice(d, hujson_at(r, 0), &scratch, &s));
    assert_slice(s, "a\n");
    assert_true(s.p == buf_slice(&scratch).p);
    assert_true(hujson_string_slice(d, hujson_at(r, 1), &scratch, &s));
    assert_slice(s, "straight");
    assert_true(s.p > hujson_text(d).p && s.p < hujson_text(d).p + sizeof text);
    assert_true(hujson_name_slice(d, r, 0, &scratch, &s));
    assert_slice(s, "plain");
    assert_false(hujson_name_slice(d, r, 1, &scratch, &s));
    assert_false(hujson_string_slice(d, hujson_at(r, 2), &scratch, &s));
    hujson_free(d);
    buf_deinit(&scratch);
}

static void pointers(void **state)
{
    (void)state;

    static const struct {
        const char *pointer, *literal;
    } rows[] = {
        {"", NULL},
        {"/a/0", "1"},
        {"/a/1/b~1c", "\"x\""},
        {"/a/1/d~0", "2"},
        {"/", "3"},
        {"/a/00", ""},
        {"/a/-", ""},
        {"/a/2", ""},
        {"/a/1/b/c", ""},
        {"a", ""},
        {"/a/0/0", ""},
        {"/dup", "4"},
        {"/A", ""},
        {"/a/4294967296", ""},
    };

    static const char text[] =
        "{\"a\": [1, {\"b/c\": \"x\", \"d~\" : 2} ], \"\": 3, \"dup\": 4, \"dup\": 5}";
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    struct buf out = BUF_MAX(256);
    assert_int_equal(hujson_parse(slice_str(text), MIB, &diag, &d), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct hujson_node *n = hujson_pointer(d, slice_str(rows[i].pointer));
        struct slice got = n ? hujson_literal(d, n) : S("");
        assert_slice(got, rows[i].literal ? rows[i].literal : text);
        if (n) {
            buf_clear(&out);
            hujson_pointer_of(d, hujson_offset(n), &out);
            assert_slice(buf_slice(&out), rows[i].pointer);
        }
    }
    buf_clear(&out);
    hujson_pointer_of(d, (size_t)(strchr(text, ']') - text), &out);
    assert_slice(buf_slice(&out), "/a");
    buf_clear(&out);
    hujson_pointer_of(d, hujson_name_offset(hujson_pointer(d, S("/a/1")), 1), &out);
    assert_slice(buf_slice(&out), "/a/1/d~0");
    hujson_free(d);
    buf_deinit(&out);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conformance),    cmocka_unit_test(depth_is_counted),
        cmocka_unit_test(strings_decode), cmocka_unit_test(borrowed_strings),
        cmocka_unit_test(pointers),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    hujson_free(cases_doc);
    buf_deinit(&text);
    return rc;
}
