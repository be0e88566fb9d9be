/* The conformance cases of kind nodeattrs-eval, and more of the same kind for what the sample does
 * not show (policy.md sections 3 and 7; tests/data/policy-eval-cases.json has the same form). */
#include <stdlib.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "policy/policy.h"
#include "tests/unit/support/reference.h"

static struct hujson_doc *doc; /* of the cases at hand */

static const struct hujson_node *find(const struct hujson_node *obj, const char *name)
{
    return obj ? hujson_find(doc, obj, slice_str(name)) : NULL;
}

static char *text_of(const struct hujson_node *n)
{
    struct buf text = BUF_MAX(MIB);
    assert_true(hujson_string(doc, n, &text));
    return buf_steal_cstr(&text);
}

static struct policy *
load(const char *text, const struct policy_facts *f, struct policy_diags *out_diags)
{
    struct policy *p = NULL;
    int rc = policy_load(slice_str(text), f, out_diags, &p);
    if (rc) {
        fail_msg("%s: %s", text, out_diags->count ? out_diags->items[0].message : "no memory");
    }
    return p;
}

static struct policy_snapshot *evaluate(struct policy *p, const struct policy_facts *f)
{
    struct policy_snapshot *s = NULL;
    assert_int_equal(policy_evaluate(p, f, &s), 0);
    return s;
}

/* ---- what a case expects ---- */

static void check_device(const char *id,
                         const struct hujson_node *caps,
                         const struct policy_device *d,
                         const struct policy_set *set)
{
    const struct hujson_node *expected = caps ? hujson_find(doc, caps, d->name) : NULL;
    size_t count = expected ? hujson_count(expected) : 0;
    if (count != set->count) {
        fail_msg("%s: " SLICE_FMT " has " SLICE_FMT, id, SLICE_ARG(d->name), SLICE_ARG(set->json));
    }
    for (size_t i = 0; i < count; i++) {
        char *name = text_of(hujson_at(expected, i));
        if (!slice_eq(slice_str(name), set->caps[i].name)) {
            fail_msg("%s: " SLICE_FMT " has " SLICE_FMT, id, SLICE_ARG(d->name),
                     SLICE_ARG(set->json));
        }
        mem_free(name);
    }
}

static void
check_values(const char *id, const struct hujson_node *values, const struct policy_snapshot *s)
{
    for (size_t i = 0; values && i < hujson_count(values); i++) {
        char node[TAILNET_TEXT];
        tn_name(doc, values, i, node);
        const struct hujson_node *caps = hujson_at(values, i);
        const struct policy_facts *f = policy_snapshot_facts(s);
        const struct policy_device *d = policy_facts_find(f, slice_str(node));
        const struct policy_set *set = policy_snapshot_set(s, (size_t)(d - f->devices));
        for (size_t k = 0; k < hujson_count(caps); k++) {
            char name[TAILNET_TEXT];
            tn_name(doc, caps, k, name);
            const struct policy_cap *cap = NULL;
            for (size_t c = 0; c < set->count; c++) {
                cap = slice_eq(set->caps[c].name, slice_str(name)) ? &set->caps[c] : cap;
            }
            if (!cap || !slice_eq(cap->json, hujson_literal(doc, hujson_at(caps, k)))) {
                fail_msg("%s: %s of %s is " SLICE_FMT, id, name, node,
                         SLICE_ARG(cap ? cap->json : S("absent")));
            }
        }
    }
}

static void
check_warnings(const char *id, const struct hujson_node *warnings, const struct policy_diags *diags)
{
    for (size_t i = 0; warnings && i < hujson_count(warnings); i++) {
        char *expected = text_of(hujson_at(warnings, i));
        bool found = false;
        for (size_t k = 0; k < diags->count && !found; k++) {
            char said[256];
            snprintf(said, sizeof said, "%s %s", diags->items[k].code, diags->items[k].pointer);
            found = diags->items[k].severity == POLICY_WARNING && !strcmp(said, expected);
        }
        if (!found) {
            fail_msg("%s: no warning %s", id, expected);
        }
        mem_free(expected);
    }
}

/* Those to notify: a device that is gone cannot be. */
static void check_changed(const char *id,
                          const struct hujson_node *expected,
                          const struct policy_snapshot *before,
                          const struct policy_snapshot *after)
{
    struct policy_changes c;
    policy_changes(before, after, &c);
    size_t present = 0;
    for (size_t i = 0; i < c.count; i++) {
        if (c.at[i].after == POLICY_NOWHERE) {
            continue;
        }
        struct slice name = policy_snapshot_facts(after)->devices[c.at[i].after].name;
        bool listed = false;
        for (size_t k = 0; k < hujson_count(expected); k++) {
            char *text = text_of(hujson_at(expected, k));
            listed |= slice_eq(slice_str(text), name);
            mem_free(text);
        }
        if (!listed) {
            fail_msg("%s: " SLICE_FMT " is notified", id, SLICE_ARG(name));
        }
        present++;
    }
    if (present != hujson_count(expected)) {
        fail_msg("%s: %zu devices are notified", id, present);
    }
    policy_changes_free(&c);
}

/* ---- running one ---- */

static void run_case(const struct hujson_node *fixtures, const struct hujson_node *c)
{
    const struct hujson_node *input = find(c, "input"), *expect = find(c, "expect");
    const struct hujson_node *events = find(input, "events"), *changed = find(expect, "changed");
    char id[TAILNET_TEXT], fixture[TAILNET_TEXT];
    tn_get(doc, c, "id", id);
    tn_get(doc, input, "tailnet", fixture);
    struct tailnet *t = mem_new(sizeof *t);
    tailnet_read(t, doc, find(fixtures, fixture));
    t->https = tn_flag(doc, input, "https", t->https);
    char *text = text_of(find(input, "policy"));
    char *before_text = find(input, "before") ? text_of(find(input, "before")) : NULL;
    struct policy_diags diags, before_diags;
    struct policy_facts *before_facts = tailnet_facts(t);
    struct policy *p_before = load(before_text ? before_text : text, before_facts, &before_diags);
    struct policy_snapshot *before = evaluate(p_before, before_facts);
    for (size_t i = 0; events && i < hujson_count(events); i++) {
        tailnet_event(t, doc, hujson_at(events, i));
    }
    struct policy_facts *f = tailnet_facts(t);
    struct policy *p = load(text, f, &diags);
    struct policy_snapshot *s = evaluate(p, f);
    for (size_t i = 0; i < f->device_count; i++) {
        check_device(id, find(expect, "caps"), &f->devices[i], policy_snapshot_set(s, i));
    }
    check_values(id, find(expect, "values"), s);
    check_warnings(id, find(expect, "warnings"), &diags);
    if (changed) {
        check_changed(id, changed, before, s);
    }
    policy_snapshot_unref(s);
    policy_snapshot_unref(before);
    policy_unref(p);
    policy_unref(p_before);
    policy_facts_unref(f);
    policy_facts_unref(before_facts);
    policy_diags_free(&diags);
    policy_diags_free(&before_diags);
    mem_free(text);
    mem_free(before_text);
    mem_free(t);
}

static size_t run_file(const char *path)
{
    struct buf text = BUF_MAX(4 * MIB);
    struct hujson_diag diag;
    size_t ran = 0;
    assert_int_equal(file_read(path, &text), 0);
    if (hujson_parse(buf_slice(&text), 4 * MIB, &diag, &doc)) {
        fail_msg("%s: line %d: %s", path, diag.line, diag.text);
    }
    const struct hujson_node *cases = find(hujson_root(doc), "cases");
    for (size_t i = 0; i < hujson_count(cases); i++) {
        char kind[TAILNET_TEXT];
        tn_get(doc, hujson_at(cases, i), "kind", kind);
        if (!strcmp(kind, "nodeattrs-eval")) {
            run_case(find(hujson_root(doc), "fixtures"), hujson_at(cases, i));
            ran++;
        }
    }
    hujson_free(doc);
    buf_deinit(&text);
    return ran;
}

static void sample(void **state)
{
    (void)state;
    assert_int_equal(run_file(SOURCE_DIR "/tests/data/policy-cases.json"), 21);
}

static void ours(void **state)
{
    (void)state;
    assert_true(run_file(SOURCE_DIR "/tests/data/policy-eval-cases.json") >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sample), cmocka_unit_test(ours)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
