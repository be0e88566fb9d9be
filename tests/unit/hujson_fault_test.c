/*
 * lib/hujson when memory runs out, at every allocation in turn: an error or the right answer, all
 * memory back, nothing half written.
 */
#include <errno.h>

#include "lib/base/arena.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/hujson/conf.h"
#include "lib/hujson/hujson.h"
#include "tests/unit/support/fault.h"
#include "tests/unit/support/test.h"

/* Comments everywhere, wide rows that the formatter aligns, escapes, every kind of value. */
static const char sample[] =
    "// head\n{ /* a */ \"groups\": {\"group:dev\": [\"ann@example.com\", \"b\\u00f6b@example.com\",],},\n"
    "\"nodeAttrs\": [ // why\n{\"target\": [\"*\"], \"attr\": [\"funnel\"]}, {\"target\":[\"tag:web\"],\n"
    "\"attr\": [\"funnel\", \"x\"],}, ], \"n\": [1, -2.5e+10, true, false, null, {}, []],\n"
    "\"tests\": [{\"src\": \"a\", \"accept\": [\"b:22\"], \"deny\": [\"c:80\", \"d:443\"]}] } // tail\n";

enum { GROWN = 300 }; /* lines of the large document: more than one chunk of an arena */

struct world {
    struct buf text;        /* the document */
    struct hujson_doc *doc; /* of `text`, for what only reads */
    struct buf right;       /* what the operation gives */
    int (*make)(struct world *w, struct buf *out);
};

static int parse(const struct buf *text, struct hujson_doc **out)
{
    struct hujson_diag diag;
    return hujson_parse(buf_slice(text), MIB, &diag, out);
}

static int run(void *arg)
{
    struct world *w = arg;
    struct buf out = BUF_MAX(4 * MIB);
    int rc = w->make(w, &out);
    if (!rc && !slice_eq(buf_slice(&out), buf_slice(&w->right))) {
        rc = -ERANGE;
    }
    buf_deinit(&out);
    return rc;
}

static void judge(void *arg, int rc)
{
    (void)arg;
    assert_true(rc == 0 || rc == -ENOMEM || rc == HUJSON_TOO_BIG);
}

/* ---- what is done ---- */

static int do_parse(struct world *w, struct buf *out)
{
    struct hujson_doc *d = NULL;
    int rc = parse(&w->text, &d);
    assert_true((rc == 0) == (d != NULL));
    if (d) {
        hujson_print(d, out);
        rc = buf_ok(out) ? 0 : HUJSON_TOO_BIG;
    }
    hujson_free(d);
    return rc;
}

static int do_format(struct world *w, struct buf *out)
{
    int rc = hujson_format(w->doc, out);
    assert_true(rc == 0 || out->len == 0);
    return rc;
}

static int do_minimize(struct world *w, struct buf *out)
{
    return hujson_minimize(w->doc, out);
}

static int do_standardize(struct world *w, struct buf *out)
{
    hujson_standardize(w->doc, out);
    return buf_ok(out) ? 0 : HUJSON_TOO_BIG;
}

static int do_pointers(struct world *w, struct buf *out)
{
    for (size_t at = 0; at < w->text.len; at += 7) {
        hujson_pointer_of(w->doc, at, out);
        buf_addc(out, '\n');
    }
    return buf_ok(out) ? 0 : HUJSON_TOO_BIG;
}

/* Every verb, with names that want decoding and values that were stepped into. */
static int do_patch(struct world *w, struct buf *out)
{
    static const char patch[] =
        "[{\"op\": \"add\", \"path\": \"/new~1\\u00e9\\n\", // why\n\"value\": {\"x\\u0041\": [1]}},"
        "{\"op\": \"add\", \"path\": \"/new~1\\u00e9\\n/x\\u0041/-\", \"value\": 2},"
        "{\"op\": \"copy\", \"from\": \"/new~1\\u00e9\\n\", \"path\": \"/copy\"},"
        "{\"op\": \"test\", \"path\": \"/copy\", \"value\": {\"\\u0078A\": [1, 2.0]}},"
        "{\"op\": \"move\", \"from\": \"/copy\", \"path\": \"/moved\"},"
        "{\"op\": \"replace\", \"path\": \"/moved/xA/0\", \"value\": {\"a\": {}}},"
        "{\"op\": \"remove\", \"path\": \"/new~1\\u00e9\\n\"},"
        "{\"op\": \"test\", \"path\": \"/moved\", \"value\": {\"xA\": [{\"a\": {}}, 2]}}]";
    struct hujson_doc *d = NULL;
    struct hujson_diag diag;
    int rc = parse(&w->text, &d);
    if (!rc) {
        rc = hujson_patch(d, slice_str(patch), &diag);
        assert_true(!rc || slice_eq(hujson_text(d), buf_slice(&w->text)));
        hujson_print(d, out);
        rc = rc || buf_ok(out) ? rc : HUJSON_TOO_BIG;
    }
    hujson_free(d);
    return rc;
}

static int do_equal(struct world *w, struct buf *out)
{
    struct hujson_doc *d = NULL;
    int rc = parse(&w->text, &d);
    if (!rc) {
        rc = hujson_equal(w->doc, hujson_root(w->doc), d, hujson_root(d));
        buf_addc(out, '=');
        rc = rc || buf_ok(out) ? rc : HUJSON_TOO_BIG;
    }
    hujson_free(d);
    return rc;
}

static const struct {
    const char *name;
    int (*make)(struct world *w, struct buf *out);
} operations[] = {
    {"parse and print", do_parse}, {"format", do_format},
    {"minimize", do_minimize},     {"standardize", do_standardize},
    {"pointers", do_pointers},     {"patch", do_patch},
    {"equal", do_equal},
};

static void grow(struct buf *out)
{
    buf_adds(out, "{\n");
    for (int i = 0; i < GROWN; i++) {
        buf_addf(out,
                 "  // entry %d\n  \"key%d\": [%d, {\"a\": \"\\u00e9%d\", \"bb\": [true,],},],\n",
                 i, i, i, i);
    }
    buf_adds(out, "}\n");
    assert_true(buf_ok(out));
}

static void sweep(struct world *w)
{
    assert_int_equal(parse(&w->text, &w->doc), 0);
    for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
        w->make = operations[i].make;
        buf_clear(&w->right);
        assert_int_equal(w->make(w, &w->right), 0);
        assert_true(w->right.len > 0);
        struct fault_case c = {operations[i].name, NULL, run, judge};
        fault_sweep(FAULT_MEMORY, &c, w);
    }
    hujson_free(w->doc);
    buf_deinit(&w->right);
    buf_deinit(&w->text);
}

static void a_small_document(void **state)
{
    (void)state;
    struct world w = {.text = BUF_MAX(MIB), .right = BUF_MAX(4 * MIB)};
    buf_adds(&w.text, sample);
    sweep(&w);
}

static void a_large_document(void **state)
{
    (void)state;
    struct world w = {.text = BUF_MAX(MIB), .right = BUF_MAX(4 * MIB)};
    grow(&w.text);
    sweep(&w);
}

static void a_policy(void **state)
{
    (void)state;
    struct world w = {.text = BUF_MAX(MIB), .right = BUF_MAX(4 * MIB)};
    assert_int_equal(file_read(SOURCE_DIR "/tests/golden/policy/full.hujson", &w.text), 0);
    sweep(&w);
}

/* ---- configuration ---- */

struct sample_config {
    char *name;
    struct conf_list items;
};

static const struct conf_option options[] = {
    {.key = "name", .kind = CONF_STR, .offset = offsetof(struct sample_config, name)},
    {.key = "items",
     .kind = CONF_STR_LIST,
     .offset = offsetof(struct sample_config, items),
     .fallback = "a,b"},
};

static int do_conf(void *arg)
{
    struct sample_config c = {0};
    struct conf_diag d;
    (void)arg;
    int rc = conf_parse(S("{\"name\": \"x\\n\", \"items\": [\"1\", \"\\u00e92\"]}"), options,
                        ARRAY_LEN(options), &c, &d);
    if (!rc && (strcmp(c.name, "x\n") != 0 || c.items.count != 2)) {
        rc = -ERANGE;
    }
    assert_true(rc == 0 || c.name == NULL); /* a failed one changes nothing */
    conf_free(options, ARRAY_LEN(options), &c);
    return rc;
}

static void judge_conf(void *arg, int rc)
{
    (void)arg;
    assert_true(rc == 0 || rc == -ENOMEM || rc == CONF_INVALID);
}

static void configuration(void **state)
{
    (void)state;
    fault_sweep(FAULT_MEMORY, &(struct fault_case){"conf", NULL, do_conf, judge_conf}, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_document),
        cmocka_unit_test(a_large_document),
        cmocka_unit_test(a_policy),
        cmocka_unit_test(configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
