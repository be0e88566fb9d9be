/* Loading and evaluating a policy, with the conformance cases that this cut covers. */
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/hujson/hujson.h"
#include "policy/policy.h"
#include "tests/unit/support/test.h"

static struct hujson_doc *cases_doc;

static struct slice get(const struct hujson_node *obj, const char *name, struct buf *out)
{
    const struct hujson_node *n = hujson_find(cases_doc, obj, slice_str(name));
    buf_clear(out);
    return n && hujson_string(cases_doc, n, out) ? buf_slice(out) : S("");
}

static const struct hujson_node *find(const struct hujson_node *obj, const char *name)
{
    return obj ? hujson_find(cases_doc, obj, slice_str(name)) : NULL;
}

/* Cases of sections that later versions evaluate. */
static bool not_yet(struct slice id)
{
    static const char *const later[] = {"pv-009", "pv-011", "pv-013", "pv-019", "pv-029", "pv-033",
                                        "pv-037", "pv-041", "pv-043", "pv-045", "pv-047", "pv-049",
                                        "pv-051", "pv-055", "pv-057", "pv-059"};
    for (size_t i = 0; i < ARRAY_LEN(later); i++) {
        if (slice_eq(id, slice_str(later[i]))) {
            return true;
        }
    }
    return false;
}

static void
check_error(const struct hujson_node *expect, const struct policy_diags *diags, struct slice id)
{
    struct buf text = BUF_MAX(512);
    struct slice code = get(expect, "code", &text);
    for (size_t i = 0; i < diags->count; i++) {
        const struct policy_diag *d = &diags->items[i];
        if (d->severity == POLICY_ERROR && slice_eq(slice_str(d->code), code)) {
            assert_true(slice_eq(slice_str(d->pointer), get(expect, "path", &text)));
            err_ignore((int)get(expect, "message", &text).n);
            assert_non_null(strstr(d->message, buf_cstr(&text)));
            assert_true(d->line >= 1 && d->column >= 1);
            buf_deinit(&text);
            return;
        }
    }
    fail_msg("%.*s: no error %.*s", (int)id.n, id.p, (int)code.n, code.p);
}

static void validate(void **state)
{
    (void)state;
    struct buf kind = BUF_MAX(64), id = BUF_MAX(64), text = BUF_MAX(MIB), word = BUF_MAX(64);
    const struct hujson_node *list = find(hujson_root(cases_doc), "cases");
    int ran = 0;
    for (size_t i = 0; i < hujson_count(list); i++) {
        const struct hujson_node *c = hujson_at(list, i), *expect = find(c, "expect");
        if (!slice_eq(get(c, "kind", &kind), S("policy-validate")) || not_yet(get(c, "id", &id))) {
            continue;
        }
        struct policy_diags diags;
        struct policy *p = NULL;
        int rc = policy_load(get(find(c, "input"), "policy", &text), NULL, &diags, &p);
        if (slice_eq(get(expect, "result", &word), S("ok"))) {
            assert_int_equal(rc, 0);
        } else {
            assert_int_equal(rc, POLICY_INVALID);
            check_error(expect, &diags, buf_slice(&id));
        }
        policy_diags_free(&diags);
        policy_unref(p);
        ran++;
    }
    assert_true(ran >= 14);
    buf_deinit(&kind);
    buf_deinit(&id);
    buf_deinit(&text);
    buf_deinit(&word);
}

static const struct slice web[] = {{"tag:web", 7}};
static const struct policy_subject laptop = {.login = {"Cy@Example.com", 14},
                                            .ipv4 = {"100.64.0.3", 10}};
static const struct policy_subject server = {
    .tags = web, .tag_count = 1, .ipv4 = {"100.64.0.9", 10}};

static void expect_funnel(const char *text, bool on_laptop, bool on_server)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    assert_int_equal(policy_load(slice_str(text), NULL, &diags, &p), 0);
    assert_int_equal(policy_grants(p, &laptop, S("funnel")), on_laptop);
    assert_int_equal(policy_grants(p, &server, S("funnel")), on_server);
    struct policy_subject suspended = laptop;
    suspended.suspended = true;
    assert_false(policy_grants(p, &suspended, S("funnel")));
    struct policy_caps caps;
    policy_eval(p, &laptop, &caps);
    bool found = false;
    for (size_t i = 0; i < caps.count; i++) {
        found = found || slice_eq(caps.names[i], S("funnel"));
    }
    assert_int_equal(found, on_laptop);
    policy_caps_free(&caps);
    policy_unref(p);
    policy_diags_free(&diags);
}

static void evaluation(void **state)
{
    (void)state;
    expect_funnel("{}", false, false);
    expect_funnel("{\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":[\"funnel\"]}]}", true, true);
    expect_funnel("{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"attr\":[\"funnel\"]}]}",
                  true, false);
    expect_funnel(
        "{\"nodeAttrs\":[{\"target\":[\"autogroup:members\"],\"attr\":[\"x\",\"funnel\",\"funnel\"]}]}",
        true, false);
    expect_funnel("{\"nodeAttrs\":[{\"target\":[\"cy@example.com\"],\"attr\":[\"funnel\"]}]}", true,
                  false);
    expect_funnel("{\"nodeAttrs\":[{\"target\":[\"bob@example.com\"],\"attr\":[\"funnel\"]}]}",
                  false, false);
    expect_funnel(
        "{\"tagOwners\":{\"tag:web\":[]},\"nodeAttrs\":[{\"target\":[\"tag:web\"],\"attr\":[\"funnel\"]}]}",
        false, true);
    expect_funnel("{\"nodeAttrs\":[{\"target\":[\"100.64.0.9\"],\"attr\":[\"funnel\"]}]}", false,
                  true);
    expect_funnel("{\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":[\"drive:share\"]}]}", false,
                  false);
}

static void places_and_hints(void **state)
{
    (void)state;
    struct policy_diags diags;
    struct policy *p = NULL;
    const char *text =
        "{\n\t// one\n\t\"groups\": {},\n\n\n\t\"nodeAttrs\": [\n\t\t{\"attr\": 7},\n\t],\n\t\"nodeAttr\": []\n}\n";
    assert_int_equal(policy_load(slice_str(text), NULL, &diags, &p), POLICY_INVALID);
    assert_int_equal(diags.count, 4);
    assert_string_equal(diags.items[0].code, "section-not-evaluated");
    assert_string_equal(diags.items[1].code, "entry-without-effect");
    assert_int_equal(diags.items[2].line, 7);
    assert_int_equal(diags.items[2].column, 12);
    assert_string_equal(diags.items[2].pointer, "/nodeAttrs/0/attr");
    assert_string_equal(diags.items[3].code, "unknown-field");
    assert_string_equal(diags.items[3].hint, "did you mean nodeAttrs");
    policy_diags_free(&diags);
}

static void diffs(void **state)
{
    (void)state;
    struct buf out = BUF_MAX(4096);
    policy_diff(S("a\nb\nc\nd\n"), S("a\nb\nX\nc\nd\n"), 1, &out);
    assert_slice(buf_slice(&out), "@@ -2,2 +2,3 @@\n b\n+X\n c\n");
    buf_clear(&out);
    policy_diff(S("same\n"), S("same\n"), 3, &out);
    assert_int_equal(out.len, 0);
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
        cmocka_unit_test(validate),
        cmocka_unit_test(evaluation),
        cmocka_unit_test(places_and_hints),
        cmocka_unit_test(diffs),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    hujson_free(cases_doc);
    buf_deinit(&text);
    return rc;
}
