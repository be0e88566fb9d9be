/*
 * What must hold for every document: here for random ones with comments and white space in every
 * gap, and for every seed of the fuzzers.
 */
#include <dirent.h>
#include <stdio.h>

#include "lib/base/file.h"
#include "lib/hujson/hujson.h"
#include "tests/unit/support/test.h"

enum { DOCUMENTS = 4000, DEPTH = 7 };

/* ---- random documents ---- */

struct maker {
    uint32_t seed;
    uint32_t names;    /* every name is used once */
    uint32_t comments; /* per cent of gaps */
    struct buf *out;
};

static uint32_t pick(struct maker *m, uint32_t below)
{
    m->seed = m->seed * 1664525u + 1013904223u;
    return (m->seed >> 10) % below;
}

static void put_extra(struct maker *m)
{
    static const char *const spaces[] = {" ", "\n", "\t", "\r\n", "\n\n", "\n\t", "\r", "\n\n\n"};
    static const char *const comments[] = {
        "// line\n",
        "/* block */",
        "/**/",
        "/*\n * star\n *\n */",
        "//\r\n",
        "/* a\n\n  b */",
        "// \xc3\xa9\xe2\x80\x94\n",
        "/*/ */",
        "/*\n\t  x\n\t y\n*/",
        "// /* no\n",
    };
    while (pick(m, 100) < 30) {
        buf_adds(m->out, spaces[pick(m, ARRAY_LEN(spaces))]);
    }
    while (pick(m, 100) < m->comments) {
        buf_adds(m->out, comments[pick(m, ARRAY_LEN(comments))]);
        buf_adds(m->out, pick(m, 2) ? spaces[pick(m, ARRAY_LEN(spaces))] : "");
    }
}

static void put_literal(struct maker *m)
{
    static const char *const literals[] = {
        "null",
        "true",
        "false",
        "0",
        "-1.50e2",
        "123456789012345678901234567890",
        "\"\"",
        "\"a\"",
        "\"\\u00e9\\/\"",
        "\"\\ud83d\\ude00\\n\"",
        "1E400",
        "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"",
        "\"\xe6\x97\xa5\"",
    };
    buf_adds(m->out, literals[pick(m, ARRAY_LEN(literals))]);
}

/* The composites that are still open: their kind, and how many items they hold and shall hold. */
struct level {
    bool object;
    uint32_t count, want;
};

static void close_level(struct maker *m, const struct level *l)
{
    if (l->count && pick(m, 3) == 0) {
        buf_addc(m->out, ',');
        put_extra(m);
    }
    buf_addc(m->out, l->object ? '}' : ']');
    put_extra(m);
}

static void make_document(struct maker *m)
{
    struct level stack[DEPTH];
    size_t depth = 0;
    put_extra(m);
    do {
        if (depth == DEPTH || (depth && pick(m, 100) < 55)) {
            put_literal(m);
            put_extra(m);
        } else {
            stack[depth] = (struct level){.object = pick(m, 2), .want = pick(m, 6)};
            buf_addc(m->out, stack[depth++].object ? '{' : '[');
            put_extra(m);
        }
        while (depth && stack[depth - 1].count == stack[depth - 1].want) {
            close_level(m, &stack[--depth]);
        }
        if (!depth) {
            return;
        }
        struct level *l = &stack[depth - 1];
        if (l->count++) {
            buf_addc(m->out, ',');
            put_extra(m);
        }
        if (l->object) {
            buf_addf(m->out, "\"n%u%s\"", m->names++, pick(m, 9) ? "" : "/~\\u00e9");
            put_extra(m);
            buf_addc(m->out, ':');
            put_extra(m);
        }
    } while (depth);
}

/* ---- properties ---- */

static struct hujson_doc *parse(struct slice text)
{
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    if (hujson_parse(text, 4 * MIB, &diag, &d)) {
        fail_msg("%d:%d %s in\n%.*s", diag.line, diag.column, diag.text, SLICE_ARG(text));
    }
    return d;
}

static void assert_same_text(struct slice got, struct slice want)
{
    if (!slice_eq(got, want)) {
        fail_msg("\n--- got\n%.*s\n--- want\n%.*s", SLICE_ARG(got), SLICE_ARG(want));
    }
}

static void assert_same_values(const struct hujson_doc *a, const struct hujson_doc *b)
{
    if (hujson_equal(a, hujson_root(a), b, hujson_root(b))) {
        fail_msg("\n--- one\n%.*s\n--- other\n%.*s", SLICE_ARG(hujson_text(a)),
                 SLICE_ARG(hujson_text(b)));
    }
}

/* What is text in quotes is left alone; all else keeps its line feeds and its place. */
static void check_standard(const struct hujson_doc *d, struct buf *out)
{
    struct slice text = hujson_text(d);
    buf_clear(out);
    hujson_standardize(d, out);
    assert_int_equal(out->len, text.n);
    for (size_t i = 0; i < text.n; i++) {
        char was = text.p[i], is = buf_slice(out).p[i];
        assert_true(is == was || (is == ' ' && was != '\n' && was != '\r' && was != '\t'));
    }
    struct hujson_doc *plain = parse(buf_slice(out));
    assert_true(hujson_is_standard(plain));
    assert_same_values(d, plain);
    assert_int_equal(hujson_is_standard(d), slice_eq(text, buf_slice(out)));
    hujson_free(plain);
}

static void check_minimal(const struct hujson_doc *d, struct buf *out)
{
    buf_clear(out);
    assert_int_equal(hujson_minimize(d, out), 0);
    struct hujson_doc *small = parse(buf_slice(out));
    assert_true(hujson_is_standard(small));
    assert_same_values(d, small);
    hujson_free(small);
}

/* Lone surrogates are the one thing that formatting changes. */
static void check_format(const struct hujson_doc *d, struct buf *out, bool lone)
{
    buf_clear(out);
    assert_int_equal(hujson_format(d, out), 0);
    struct hujson_doc *once = parse(buf_slice(out));
    if (!lone) {
        assert_same_values(d, once);
    }
    assert_true(!hujson_is_standard(d) || hujson_is_standard(once));
    buf_clear(out);
    assert_int_equal(hujson_format(once, out), 0);
    assert_same_text(buf_slice(out), hujson_text(once));
    hujson_free(once);
}

static void check_all(struct slice text)
{
    struct buf out = BUF_MAX(16 * MIB);
    struct hujson_doc *d = parse(text);
    hujson_print(d, &out);
    assert_same_text(buf_slice(&out), text);
    check_standard(d, &out);
    check_minimal(d, &out);
    check_format(d, &out, memmem(text.p, text.n, "\\ud8", 4) || memmem(text.p, text.n, "\\udc", 4));
    hujson_free(d);
    buf_deinit(&out);
}

static void random_documents(void **state)
{
    (void)state;
    struct buf text = BUF_MAX(MIB);
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        struct maker m = {.seed = i, .comments = i % 4 * 15, .out = &text};
        buf_clear(&text);
        make_document(&m);
        check_all(buf_slice(&text));
    }
    buf_deinit(&text);
}

/* ---- patches that take each other back ---- */

/* A value somewhere below the root. */
struct place {
    const struct hujson_node *parent, *node;
    size_t index;
};

static bool is_composite(const struct hujson_node *n)
{
    return hujson_kind(n) == HUJSON_OBJECT || hujson_kind(n) == HUJSON_ARRAY;
}

/* A random way down; false when the root is empty. */
static bool find_place(struct maker *m, const struct hujson_doc *d, struct place *out)
{
    const struct hujson_node *n = hujson_root(d);
    bool found = false;
    while (is_composite(n) && hujson_count(n) && (!found || pick(m, 3))) {
        out->parent = n;
        out->index = pick(m, (uint32_t)hujson_count(n));
        out->node = n = hujson_at(n, out->index);
        found = true;
    }
    return found;
}

/* "/a/b" as it stands in the patch's JSON. */
static void put_pointer(const struct hujson_doc *d, const struct hujson_node *n, struct buf *out)
{
    hujson_pointer_of(d, hujson_offset(n), out); /* names hold nothing that wants escaping */
}

static void put_op(struct buf *out, const char *op, struct slice path, struct slice value)
{
    buf_addf(out, "[{\"op\": \"%s\", \"path\": \"%.*s\"", op, SLICE_ARG(path));
    if (value.n) {
        buf_addf(out, ", \"value\": %.*s", SLICE_ARG(value));
    }
    buf_adds(out, "}]");
}

/* Where something new may go in this composite. */
static void put_new_place(struct maker *m,
                          const struct hujson_doc *d,
                          const struct hujson_node *n,
                          struct buf *out)
{
    put_pointer(d, n, out);
    if (hujson_kind(n) == HUJSON_OBJECT) {
        buf_addf(out, "/new%u", m->names++);
    } else {
        buf_addf(out, "/%u", pick(m, (uint32_t)hujson_count(n) + 1));
    }
}

static void put_move(struct buf *out, struct slice from, struct slice path)
{
    buf_addf(out, "[{\"op\": \"move\", \"from\": \"%.*s\", \"path\": \"%.*s\"}]", SLICE_ARG(from),
             SLICE_ARG(path));
}

/* Another element's index, or a new name; never for an only element. */
static void
put_move_place(struct maker *m, const struct hujson_doc *d, const struct place *at, struct buf *out)
{
    uint32_t count = (uint32_t)hujson_count(at->parent);
    buf_clear(out);
    if (hujson_kind(at->parent) == HUJSON_OBJECT) {
        put_new_place(m, d, at->parent, out);
        return;
    }
    put_pointer(d, at->parent, out);
    hujson_pointer_add_index(out, (at->index + 1 + pick(m, count - 1)) % count);
}

/* One operation and the one that takes it back. */
static void make_patches(struct maker *m,
                         const struct hujson_doc *d,
                         const struct place *at,
                         struct buf *there,
                         struct buf *back)
{
    struct buf path = BUF_MAX(4 * KIB), other = BUF_MAX(4 * KIB);
    put_pointer(d, at->node, &path);
    put_new_place(m, d, at->parent, &other);
    struct slice old = hujson_literal(d, at->node), p = buf_slice(&path), q = buf_slice(&other);
    bool only = hujson_kind(at->parent) == HUJSON_ARRAY && hujson_count(at->parent) == 1;
    switch (pick(m, only ? 4 : 5)) {
    case 0:
        put_op(there, "remove", p, S(""));
        put_op(back, "add", p, old);
        break;
    case 1:
        put_op(there, "replace", p, S("{\"x\": /* y */ [1,],\n}"));
        put_op(back, "replace", p, old);
        break;
    case 2:
        put_op(there, "add", q, S("[\"z\"]"));
        put_op(back, "remove", q, S(""));
        break;
    case 3:
        buf_addf(there, "[{\"op\": \"copy\", \"from\": \"%.*s\", \"path\": \"%.*s\"}]",
                 SLICE_ARG(p), SLICE_ARG(q));
        put_op(back, "remove", q, S(""));
        break;
    case 4:
        put_move_place(m, d, at, &other);
        put_move(there, p, buf_slice(&other));
        put_move(back, buf_slice(&other), p);
        break;
    }
    buf_deinit(&path);
    buf_deinit(&other);
}

static void apply(struct hujson_doc *d, struct buf *patch)
{
    struct hujson_diag diag;
    struct buf out = BUF_MAX(4 * MIB);
    int rc = hujson_patch(d, buf_slice(patch), &diag);
    if (rc) {
        fail_msg("%d: %s\n%s\n%.*s", rc, diag.text, buf_cstr(patch), SLICE_ARG(hujson_text(d)));
    }
    hujson_print(d, &out);
    assert_same_text(buf_slice(&out), hujson_text(d));
    buf_deinit(&out);
}

static void inverse_patches(void **state)
{
    (void)state;
    struct buf text = BUF_MAX(MIB), there = BUF_MAX(2 * MIB), back = BUF_MAX(2 * MIB);
    size_t ran = 0;
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        struct maker m = {.seed = i, .comments = i % 3 * 20, .out = &text};
        struct place at = {.parent =
                               NULL}; /* gcc does not see that find_place sets it or says no */
        buf_clear(&text);
        buf_clear(&there);
        buf_clear(&back);
        make_document(&m);
        struct hujson_doc *d = parse(buf_slice(&text)), *was = parse(buf_slice(&text));
        if (find_place(&m, d, &at)) {
            make_patches(&m, d, &at, &there, &back);
            apply(d, &there);
            apply(d, &back);
            assert_same_values(d, was);
            ran++;
        }
        hujson_free(d);
        hujson_free(was);
    }
    assert_true(ran > DOCUMENTS / 2);
    buf_deinit(&text);
    buf_deinit(&there);
    buf_deinit(&back);
}

/* ---- the seeds ---- */

static size_t check_folder(const char *folder)
{
    size_t parsed = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char path[4096];
        struct buf text = BUF_MAX(MIB);
        struct hujson_diag diag;
        struct hujson_doc *d = NULL;
        if (snprintf(path, sizeof path, "%s/%s", folder, e->d_name) < (int)sizeof path &&
            e->d_name[0] != '.' && !file_read(path, &text) &&
            !hujson_parse(buf_slice(&text), MIB, &diag, &d)) {
            check_all(buf_slice(&text));
            parsed++;
        }
        hujson_free(d);
        buf_deinit(&text);
    }
    closedir(dir);
    return parsed;
}

static void seeds(void **state)
{
    (void)state;
    size_t parsed = check_folder(SOURCE_DIR "/tests/fuzz/seeds/hujson_parse") +
                    check_folder(SOURCE_DIR "/tests/fuzz/seeds/hujson_format") +
                    check_folder(SOURCE_DIR "/tests/fuzz/seeds/hujson_patch") +
                    check_folder(SOURCE_DIR "/tests/fuzz/seeds/policy_load") +
                    check_folder(SOURCE_DIR "/tests/golden/hujson");
    assert_true(parsed > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_documents),
        cmocka_unit_test(inverse_patches),
        cmocka_unit_test(seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
