/* Edits of policies: the conformance cases, texts as people write them, and properties on random
 * ones. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/hujson/hujson.h"
#include "policy/edit.h"
#include "tests/unit/support/test.h"

#define TEXT_MAX (4 * MIB)

/* ---- one edit ---- */

enum verb { ADD, REMOVE, GROUP, OWNERS };

struct call {
    enum verb verb;
    const char *subject; /* NULL: autogroup:member */
    const char *items[4];
};

static enum policy_edit_result
run(struct slice text, const struct call *c, struct buf *out, struct policy_diags *diags)
{
    struct slice subject = c->subject ? slice_str(c->subject) : S("autogroup:member"), items[4];
    size_t count = 0;
    for (; count < 4 && c->items[count]; count++) {
        items[count] = slice_str(c->items[count]);
    }
    switch (c->verb) {
    case ADD:
        return policy_add_funnel(text, subject, S(""), out, diags);
    case REMOVE:
        return policy_remove_funnel(text, subject, out, diags);
    case GROUP:
        return policy_add_to_group(text, subject, items[0], out, diags);
    case OWNERS:
        return policy_set_tag_owners(text, subject, items, count, out, diags);
    }
    return POLICY_REFUSED;
}

/* The result and the text; then that the same edit has nothing left to do. */
static void
expect(const char *text, struct call c, enum policy_edit_result result, const char *expected)
{
    struct buf out = BUF_MAX(TEXT_MAX), again = BUF_MAX(TEXT_MAX);
    struct policy_diags diags;
    enum policy_edit_result r = run(slice_str(text), &c, &out, &diags);
    if (r != result) {
        fail_msg("%s: %s\n%s", policy_edit_result_name(r),
                 diags.count ? diags.items[0].message : "", text);
    }
    assert_string_equal(buf_cstr(&out), expected ? expected : text);
    policy_diags_free(&diags);
    if (r != POLICY_REFUSED) {
        assert_int_equal(run(buf_slice(&out), &c, &again, &diags), POLICY_UNCHANGED);
        assert_true(slice_eq(buf_slice(&out), buf_slice(&again)));
        policy_diags_free(&diags);
    }
    buf_deinit(&out);
    buf_deinit(&again);
}

/* ---- the conformance cases ---- */

static struct slice
get(const struct hujson_doc *d, const struct hujson_node *obj, const char *name, struct buf *out)
{
    const struct hujson_node *n = hujson_find(d, obj, slice_str(name));
    buf_clear(out);
    return n && hujson_string(d, n, out) ? buf_slice(out) : S("");
}

static void cases(void **state)
{
    (void)state;
    struct buf file = BUF_MAX(TEXT_MAX), kind = BUF_MAX(64), doc = BUF_MAX(TEXT_MAX),
               op = BUF_MAX(64), result = BUF_MAX(64), text = BUF_MAX(TEXT_MAX);
    struct hujson_doc *d = NULL;
    struct hujson_diag diag;
    int ran = 0;
    assert_int_equal(file_read(SOURCE_DIR "/tests/data/policy-cases.json", &file), 0);
    assert_int_equal(hujson_parse(buf_slice(&file), TEXT_MAX, &diag, &d), 0);
    const struct hujson_node *list = hujson_find(d, hujson_root(d), S("cases"));
    for (size_t i = 0; i < hujson_count(list); i++) {
        const struct hujson_node *c = hujson_at(list, i), *input = hujson_find(d, c, S("input")),
                                 *want = hujson_find(d, c, S("expect"));
        if (!slice_eq(get(d, c, "kind", &kind), S("policy-edit"))) {
            continue;
        }
        struct buf out = BUF_MAX(TEXT_MAX);
        struct policy_diags diags;
        assert_true(slice_eq(get(d, input, "op", &op), S("add-funnel")));
        enum policy_edit_result r =
            run(get(d, input, "doc", &doc), &(struct call){ADD, NULL, {NULL}}, &out, &diags);
        err_ignore((int)get(d, want, "result", &result).n);
        err_ignore((int)get(d, want, "text", &text).n);
        assert_string_equal(policy_edit_result_name(r), buf_cstr(&result));
        assert_string_equal(buf_cstr(&out), buf_cstr(&text));
        assert_true(r != POLICY_REFUSED ||
                    (diags.count && diags.items[0].line && diags.items[0].column));
        policy_diags_free(&diags);
        buf_deinit(&out);
        ran++;
    }
    assert_true(ran >= 6);
    hujson_free(d);
    buf_deinit(&file);
    buf_deinit(&kind);
    buf_deinit(&doc);
    buf_deinit(&op);
    buf_deinit(&result);
    buf_deinit(&text);
}

/* ---- add, as a splice ---- */

#define COMMENT "// Funnel: members may publish services from their own untagged devices.\n"

static void add_spliced(void **state)
{
    (void)state;
    struct call add = {ADD, NULL, {NULL}};
    /* two blanks, no trailing commas: one comma and the lines */
    expect(
        "{\n  \"nodeAttrs\": [\n    {\"target\": [\"tag:x\"], \"attr\": [\"funnel\"]}\n  ],\n  \"tagOwners\": {\"tag:x\": []}\n}\n",
        add, POLICY_SPLICED,
        "{\n  \"nodeAttrs\": [\n    {\"target\": [\"tag:x\"], \"attr\": [\"funnel\"]},\n    {\n      " COMMENT
        "      \"target\": [\"autogroup:member\"],\n      \"attr\":   [\"funnel\"],\n    }\n  ],\n  \"tagOwners\": {\"tag:x\": []}\n}\n");
    /* behind the comment at the end of the last member's line, before what stands alone */
    expect(
        "{\n  \"groups\": {}, // tail\n  // end\n}\n", add, POLICY_SPLICED,
        "{\n  \"groups\": {}, // tail\n  \"nodeAttrs\": [\n    {\n      " COMMENT
        "      \"target\": [\"autogroup:member\"],\n      \"attr\":   [\"funnel\"],\n    },\n  ],\n  // end\n}\n");
    /* a comma where none was, in front of the comment */
    expect(
        "{\n  \"groups\": {} // tail\n}\n", add, POLICY_SPLICED,
        "{\n  \"groups\": {}, // tail\n  \"nodeAttrs\": [\n    {\n      " COMMENT
        "      \"target\": [\"autogroup:member\"],\n      \"attr\":   [\"funnel\"],\n    },\n  ]\n}\n");
    /* one line, no final line end */
    expect("{\"groups\": {}}", add, POLICY_SPLICED,
           "{\"groups\": {}, \"nodeAttrs\": [\n\t{\n\t\t" COMMENT
           "\t\t\"target\": [\"autogroup:member\"],\n\t\t\"attr\":   [\"funnel\"],\n\t},\n]}");
    /* a file that indents nothing */
    expect("{\n\"groups\":{},\n}", add, POLICY_SPLICED,
           "{\n\"groups\":{},\n\"nodeAttrs\": [\n{\n" COMMENT
           "\"target\": [\"autogroup:member\"],\n\"attr\":   [\"funnel\"],\n},\n],\n}");
    /* the file's line ends */
    expect(
        "{\r\n\t\"nodeAttrs\": [],\r\n}\r\n", add, POLICY_SPLICED,
        "{\r\n\t\"nodeAttrs\": [{\r\n\t\t// Funnel: members may publish services from their own untagged devices.\r\n\t\t\"target\": [\"autogroup:member\"],\r\n\t\t\"attr\":   [\"funnel\"],\r\n\t}],\r\n}\r\n");
    /* comments in an empty section stay in front */
    expect(
        "{\n  \"nodeAttrs\": [\n    // nothing yet\n  ],\n}\n", add, POLICY_SPLICED,
        "{\n  \"nodeAttrs\": [\n    // nothing yet\n    {\n      " COMMENT
        "      \"target\": [\"autogroup:member\"],\n      \"attr\":   [\"funnel\"],\n    },\n  ],\n}\n");
    expect("{\"nodeAttrs\":[ /* none */ ]}\n", add, POLICY_SPLICED,
           "{\"nodeAttrs\":[ /* none */ {\n\t" COMMENT
           "\t\"target\": [\"autogroup:member\"],\n\t\"attr\":   [\"funnel\"],\n} ]}\n");
    expect("{ \"nodeAttrs\": null }", add, POLICY_SPLICED,
           "{ \"nodeAttrs\": [\n\t{\n\t\t" COMMENT
           "\t\t\"target\": [\"autogroup:member\"],\n\t\t\"attr\":   [\"funnel\"],\n\t},\n] }");
    /* a line comment behind the last element of a line: the element goes behind it */
    expect("{\"nodeAttrs\": [{\"target\": [\"a@b\"], \"attr\": [\"funnel\"]} // x\n]}", add,
           POLICY_SPLICED,
           "{\"nodeAttrs\": [{\"target\": [\"a@b\"], \"attr\": [\"funnel\"]}, // x\n{\n\t" COMMENT
           "\t\"target\": [\"autogroup:member\"],\n\t\"attr\":   [\"funnel\"],\n}\n]}");
}

static void add_covered(void **state)
{
    (void)state;
    struct call add = {ADD, NULL, {NULL}}, tag = {ADD, "tag:x", {NULL}},
                user = {ADD, "cy@example.com", {NULL}};
    expect(
        "{\"nodeAttrs\": [{\"target\": [\"autogroup:members\"], \"attr\": [\"a\", \"funnel\"]}]}",
        add, POLICY_UNCHANGED, NULL);
    expect("{\"nodeAttrs\": [{\"Target\": [\" * \"], \"Attr\": [\"funnel\"]}]}", add,
           POLICY_UNCHANGED, NULL);
    expect(
        "{\"nodeAttrs\": [{\"target\": [\"*\"], \"attr\": [\"funnel\"]}], \"tagOwners\": {\"tag:x\": []}}",
        tag, POLICY_UNCHANGED, NULL);
    expect("{\"nodeAttrs\": [{\"target\": [\"CY@example.com\"], \"attr\": [\"funnel\"]}]}", user,
           POLICY_UNCHANGED, NULL);
    /* other spelling, only in a comment: it is not used */
    expect("{\"groups\":{}, // \"autogroup:members\"\n}", add, POLICY_SPLICED,
           "{\"groups\":{}, // \"autogroup:members\"\n\"nodeAttrs\": [\n\t{\n\t\t" COMMENT
           "\t\t\"target\": [\"autogroup:member\"],\n\t\t\"attr\":   [\"funnel\"],\n\t},\n],\n}");
    expect(
        "{\"nodeAttrs\": [{\"target\": [\"autogroup:members\"], \"attr\": [\"a\"]}]}", add,
        POLICY_SPLICED,
        "{\"nodeAttrs\": [{\"target\": [\"autogroup:members\"], \"attr\": [\"a\"]}, {\n\t" COMMENT
        "\t\"target\": [\"autogroup:members\"],\n\t\"attr\":   [\"funnel\"],\n}]}");
    /* others get no comment, and plain JSON stays plain */
    expect(
        "{\"nodeAttrs\": [], \"tagOwners\": {\"tag:x\": []}}", tag, POLICY_SPLICED,
        "{\"nodeAttrs\": [{\n\t\"target\": [\"tag:x\"],\n\t\"attr\":   [\"funnel\"]\n}], \"tagOwners\": {\"tag:x\": []}}");
}

/* ---- remove ---- */

static void remove_spliced(void **state)
{
    (void)state;
    struct call rm = {REMOVE, NULL, {NULL}}, tag = {REMOVE, "tag:x", {NULL}};
    expect("{ \"nodeAttrs\": [] }", rm, POLICY_UNCHANGED, NULL);
    expect("{\"nodeAttrs\": [{\"target\": [\"*\"], \"attr\": [\"funnel\"]}]}", rm, POLICY_UNCHANGED,
           NULL);
    /* an entry without effect goes with its comments; its neighbours and theirs stay */
    expect(
        "{\n  \"nodeAttrs\": [\n    // one\n    {\"target\": [\"a@b\"], \"attr\": [\"funnel\"]}, // of one\n\n    // two\n    {\"target\": [\"autogroup:member\"], \"attr\": [\"funnel\"]}, // of two\n\n    // three\n    {\"target\": [\"*\"], \"attr\": [\"x\"]}\n  ]\n}\n",
        rm, POLICY_SPLICED,
        "{\n  \"nodeAttrs\": [\n    // one\n    {\"target\": [\"a@b\"], \"attr\": [\"funnel\"]}, // of one\n\n    // three\n    {\"target\": [\"*\"], \"attr\": [\"x\"]}\n  ]\n}\n");
    /* the last one takes the comma before it */
    expect(
        "{\n  \"nodeAttrs\": [\n    {\"target\": [\"a@b\"], \"attr\": [\"funnel\"]}, // of one\n    {\"target\": [\"autogroup:members\"], \"attr\": [\"funnel\"]}\n  ]\n}\n",
        rm, POLICY_SPLICED,
        "{\n  \"nodeAttrs\": [\n    {\"target\": [\"a@b\"], \"attr\": [\"funnel\"]} // of one\n  ]\n}\n");
    expect(
        "{\"nodeAttrs\": [{\"target\": [\"autogroup:member\"], \"attr\": [\"funnel\"]}, {\"target\": [\"*\"], \"attr\": [\"x\"]}]}",
        rm, POLICY_SPLICED, "{\"nodeAttrs\": [{\"target\": [\"*\"], \"attr\": [\"x\"]}]}");
    expect("{ \"nodeAttrs\": [ {\"target\": [\"autogroup:member\"], \"attr\": [\"funnel\"]}, ] }",
           rm, POLICY_SPLICED, "{ \"nodeAttrs\": [] }");
    /* other effects stay */
    expect(
        "{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"attr\":[\"x\",\"funnel\",\"y\"]}]}",
        rm, POLICY_SPLICED,
        "{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"attr\":[\"x\",\"y\"]}]}");
    expect(
        "{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"attr\":[\"funnel\"],\"ipPool\":[\"100.80.0.0/16\"]}]}",
        rm, POLICY_SPLICED,
        "{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"ipPool\":[\"100.80.0.0/16\"]}]}");
    /* other targets keep it */
    expect(
        "{\"nodeAttrs\":[{\"target\":[\"tag:x\",\"autogroup:member\"],\"attr\":[\"funnel\"]}], \"tagOwners\":{\"tag:x\":[]}}",
        tag, POLICY_SPLICED,
        "{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"attr\":[\"funnel\"]}], \"tagOwners\":{\"tag:x\":[]}}");
    expect(
        "{\"nodeAttrs\":[{\"target\":[\"a@b\",\"autogroup:member\",\"c@d\"],\"attr\":[\"funnel\",\"y\"]},{\"target\":[\"*\"],\"attr\":[\"z\"]}]}",
        rm, POLICY_SPLICED,
        "{\"nodeAttrs\":[{\"target\":[\"a@b\",\"autogroup:member\",\"c@d\"],\"attr\":[\"y\"]}, {\n\t\"target\": [\"a@b\", \"c@d\"],\n\t\"attr\":   [\"funnel\"]\n},{\"target\":[\"*\"],\"attr\":[\"z\"]}]}");
}

/* ---- groups and tags ---- */

static void groups(void **state)
{
    (void)state;
    struct call add = {GROUP, "group:a", {"cy@example.com"}};
    expect("{\"groups\":{\"group:a\":[\"CY@example.com\"]}}", add, POLICY_UNCHANGED, NULL);
    expect("{\"groups\":{\"group:a\":[\"b@c\"]}}", add, POLICY_SPLICED,
           "{\"groups\":{\"group:a\":[\"b@c\", \"cy@example.com\"]}}");
    expect(
        "{\n  \"Groups\": {\n    \"group:a\": [\n      \"b@c\", // boss\n      // more\n    ],\n  },\n}\n",
        add, POLICY_SPLICED,
        "{\n  \"Groups\": {\n    \"group:a\": [\n      \"b@c\", // boss\n      \"cy@example.com\",\n      // more\n    ],\n  },\n}\n");
    expect("{\"groups\":{\"group:b\":[]}}", add, POLICY_SPLICED,
           "{\"groups\":{\"group:b\":[], \"group:a\": [\"cy@example.com\"]}}");
    expect("{\"acls\":[]}", add, POLICY_SPLICED,
           "{\"acls\":[], \"groups\": {\n\t\"group:a\": [\"cy@example.com\"]\n}}");
}

static void owners(void **state)
{
    (void)state;
    struct call set = {OWNERS, "tag:x", {"autogroup:admin", "b@c"}},
                none = {OWNERS, "tag:x", {NULL}};
    expect("{\"tagOwners\":{\"tag:x\":[\"b@c\",\"autogroup:admin\"]}}", set, POLICY_UNCHANGED,
           NULL);
    expect("{\"tagOwners\":{\"tag:x\":[\"a@b\",\"b@c\"]}}", set, POLICY_SPLICED,
           "{\"tagOwners\":{\"tag:x\":[\"b@c\", \"autogroup:admin\"]}}");
    expect("{\"tagOwners\":{\"tag:x\":[\"a@b\"]}}", none, POLICY_SPLICED,
           "{\"tagOwners\":{\"tag:x\":[]}}");
    expect("{\"tagOwners\":{}}", none, POLICY_SPLICED, "{\"tagOwners\":{\"tag:x\": []}}");
    expect(
        "{\n \"tagOwners\": {\n  \"tag:y\": [], // y\n }\n}\n", set, POLICY_SPLICED,
        "{\n \"tagOwners\": {\n  \"tag:y\": [], // y\n  \"tag:x\": [\"autogroup:admin\", \"b@c\"],\n }\n}\n");
}

#define PORTS2 "\"openfunnel.org/cap/funnel\": [{\"ports\": [\"443\"]}]"
#define PORTS  "\"openfunnel.org/cap/funnel\":[{\"ports\":[\"443\"]}]"

/* The capability that names funnel's ports goes with it, and comes along where funnel moves. */
static void ports_follow(void **state)
{
    (void)state;
    struct call rm = {REMOVE, NULL, {NULL}};
    expect(
        "{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"attr\":[\"funnel\"],\"app\":{" PORTS
        "}}]}",
        rm, POLICY_SPLICED, "{\"nodeAttrs\":[]}");
    expect("{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"app\":{" PORTS
           "},\"attr\":[\"funnel\",\"x\"]}]}",
           rm, POLICY_SPLICED,
           "{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"attr\":[\"x\"]}]}");
    expect(
        "{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"attr\":[\"x\",\"funnel\"],\"app\":{" PORTS
        "}}]}",
        rm, POLICY_SPLICED,
        "{\"nodeAttrs\":[{\"target\":[\"autogroup:member\"],\"attr\":[\"x\"]}]}");
    expect(
        "{\"nodeAttrs\":[{\"target\":[\"autogroup:member\",\"a@b\"],\"attr\":[\"x\",\"funnel\"],\"app\":{" PORTS
        "}}]}",
        rm, POLICY_SPLICED,
        "{\"nodeAttrs\":[{\"target\":[\"autogroup:member\",\"a@b\"],\"attr\":[\"x\"]}, {\n\t\"target\": [\"a@b\"],\n"
        "\t\"attr\":   [\"funnel\"],\n\t\"app\":    {\"openfunnel.org/cap/funnel\": [{\"ports\":[\"443\"]}]}\n}]}");
    expect(
        "{\"nodeAttrs\": [{\"target\": [\"autogroup:member\"], \"attr\": [\"funnel\"], \"app\": {\"example.com/x\": [1], " PORTS2
        "}}]}\n",
        rm, POLICY_SPLICED,
        "{\"nodeAttrs\": [{\"target\": [\"autogroup:member\"], \"app\": {\"example.com/x\": [1], " PORTS2
        "}}]}\n");
}

static void odd_texts(void **state)
{
    (void)state;
    struct call add = {GROUP, "group:a", {"cy@example.com"}},
                quoted = {OWNERS, "tag:x", {"\"a\\b\x01\"@c"}};
    expect("{\"groups\":{\"group:a\":[ // one\n\n\n\n]}}", add, POLICY_SPLICED,
           "{\"groups\":{\"group:a\":[ // one\n\n\n\n\t\"cy@example.com\",\n]}}");
    expect("{\"groups\":{\"group:a\":[\"a@b\" /**/ , /* c *//* d */ ]}}", add, POLICY_SPLICED,
           "{\"groups\":{\"group:a\":[\"a@b\" /**/ , \"cy@example.com\", /* c *//* d */ ]}}");
    expect("{\"tagOwners\":{}}", quoted, POLICY_SPLICED,
           "{\"tagOwners\":{\"tag:x\": [\"\\\"a\\\\b\\u0001\\\"@c\"]}}");
    /* several lines of comment */
    struct buf out = BUF_MAX(TEXT_MAX);
    struct policy_diags diags;
    assert_int_equal(policy_add_funnel(S("{}"), S("*"), S("one\ntwo"), &out, &diags),
                     POLICY_SPLICED);
    assert_string_equal(
        buf_cstr(&out),
        "{\"nodeAttrs\": [\n\t{\n\t\t// one\n\t\t// two\n\t\t\"target\": [\"*\"],\n\t\t\"attr\":   [\"funnel\"],\n\t},\n]}");
    policy_diags_free(&diags);
    buf_deinit(&out);
}

/* Adds, and adds again to what came out: nothing is left to do then. */
static void add_ports(const char *before, const struct policy_ports *ports, const char *after)
{
    struct buf out = BUF_MAX(TEXT_MAX), again = BUF_MAX(TEXT_MAX);
    struct policy_diags diags;
    enum policy_edit_result wanted = strcmp(before, after) == 0 ? POLICY_UNCHANGED : POLICY_SPLICED;
    assert_int_equal(
        policy_add_funnel_ports(slice_str(before), S("a@b"), S(""), ports, &out, &diags), wanted);
    policy_diags_free(&diags);
    assert_string_equal(buf_cstr(&out), after);
    assert_int_equal(
        policy_add_funnel_ports(buf_slice(&out), S("a@b"), S(""), ports, &again, &diags),
        POLICY_UNCHANGED);
    policy_diags_free(&diags);
    buf_deinit(&out);
    buf_deinit(&again);
}

/* An entry counts as there when it names exactly these ports. */
static void add_with_ports(void **state)
{
    (void)state;
#define APP(ports) ", \"app\": {\"openfunnel.org/cap/funnel\": [{\"ports\": [" ports "]}]}"
#define ENTRY(app) "{\"target\": [\"a@b\"], \"attr\": [\"funnel\"]" app "}"
#define NEW(ports)                                                             \
    "{\n\t\"target\": [\"a@b\"],\n\t\"attr\":   [\"funnel\"],\n\t\"app\":    " \
    "{\"openfunnel.org/cap/funnel\": [{\"ports\": [" ports "]}]}\n}"
    const struct slice list[] = {S("443"), S("8443")};
    struct policy_ports one = {list, 1}, both = {list, 2}, any = {NULL, 0};
    add_ports("{\"nodeAttrs\":[" ENTRY("") "]}", &one,
              "{\"nodeAttrs\":[" ENTRY("") ", " NEW("\"443\"") "]}");
    add_ports("{\"nodeAttrs\":[" ENTRY(APP("\"443\"")) "]}", &one,
              "{\"nodeAttrs\":[" ENTRY(APP("\"443\"")) "]}");
    add_ports("{\"nodeAttrs\":[" ENTRY(APP("\"443\"")) "]}", &both,
              "{\"nodeAttrs\":[" ENTRY(APP("\"443\"")) ", " NEW("\"443\", \"8443\"") "]}");
    add_ports("{\"nodeAttrs\":[" ENTRY(APP("\"8443\", \"443\"")) "]}", &both,
              "{\"nodeAttrs\":[" ENTRY(APP("\"8443\", \"443\"")) "]}");
    add_ports("{\"nodeAttrs\":[" ENTRY(APP("\"443\"")) "]}", &any,
              "{\"nodeAttrs\":[" ENTRY(APP("\"443\"")) "]}");
}

static void many_steps(void **state)
{
    (void)state;
    struct buf text = BUF_MAX(TEXT_MAX), out = BUF_MAX(TEXT_MAX);
    struct policy_diags diags;
    buf_adds(&text, "{\"tagOwners\": {\"tag:x\": [\"keep@b\"");
    for (int i = 0; i < 200; i++) {
        buf_addf(&text, ", \"u%d@b\"", i);
    }
    buf_adds(&text, "]}}");
    struct slice owners[] = {S("keep@b")};
    assert_int_equal(policy_set_tag_owners(buf_slice(&text), S("tag:x"), owners, 1, &out, &diags),
                     POLICY_SPLICED);
    assert_string_equal(buf_cstr(&out), "{\"tagOwners\": {\"tag:x\": [\"keep@b\"]}}");
    policy_diags_free(&diags);
    buf_deinit(&text);
    buf_deinit(&out);
}

/* ---- refused ---- */

static void refuse(const char *text, struct call c, const char *code, int line)
{
    struct buf out = BUF_MAX(TEXT_MAX);
    struct policy_diags diags;
    assert_int_equal(run(slice_str(text), &c, &out, &diags), POLICY_REFUSED);
    assert_string_equal(buf_cstr(&out), text);
    size_t i = 0;
    while (i < diags.count && diags.items[i].severity != POLICY_ERROR) {
        i++;
    }
    assert_true(i < diags.count);
    assert_string_equal(diags.items[i].code, code);
    assert_int_equal(diags.items[i].line, line);
    policy_diags_free(&diags);
    buf_deinit(&out);
}

static void refused(void **state)
{
    (void)state;
    struct call add = {ADD, NULL, {NULL}}, tag = {ADD, "tag:nope", {NULL}};
    refuse("{\n\t// a\n\t\"acls\": [],\n", add, "syntax", 4);
    refuse("{\n\"nodeAttrs\": [{\"target\": 7}]}", add, "type", 2);
    refuse("{\"groups\": {}, \"GROUPS\": {}}", add, "duplicate-name", 1);
    refuse("", add, "syntax", 1);
    /* what the edit would make has no place in what was sent */
    refuse("{\n  \"acls\": []\n}", tag, "undefined-tag", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases),          cmocka_unit_test(add_spliced),
        cmocka_unit_test(add_covered),    cmocka_unit_test(remove_spliced),
        cmocka_unit_test(groups),         cmocka_unit_test(owners),
        cmocka_unit_test(ports_follow),   cmocka_unit_test(odd_texts),
        cmocka_unit_test(add_with_ports), cmocka_unit_test(many_steps),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
