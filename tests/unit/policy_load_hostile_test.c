/*
 * Files that are made to hurt: each is a megabyte, and is refused or accepted with bounded memory
 * in a time that nobody notices. The bound here is for a slow build on a busy machine.
 */
#include <stdio.h>
#include <time.h>

#include "policy/model.h"
#include "tests/unit/support/test.h"

enum { LOAD_TEST_LIST = 10000 /* the most that a list may hold */ };

enum {
    SECONDS_MAX = 10 /* with sanitizers, beside other tests; alone and optimised all take 0.1 */
};

static struct buf text;

static void begin(const char *start)
{
    buf_clear(&text);
    buf_adds(&text, start);
}

/* Repeats while it fits; %u counts. */
static void fill(const char *fmt, const char *end)
{
    char piece[256];
    for (unsigned i = 0; text.len + 300 < POLICY_SIZE_MAX; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        /* cppcheck-suppress wrongPrintfScanfArgNum ; some formats count nothing */
        snprintf(piece, sizeof piece, fmt, i, i + 1);
#pragma GCC diagnostic pop
        buf_adds(&text, piece);
    }
    buf_adds(&text, end);
    assert_true(buf_ok(&text) && text.len <= POLICY_SIZE_MAX);
}

static void expect(const char *code)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    clock_t before = clock();
    int rc = policy_load(buf_slice(&text), NULL, &diags, &p);
    double seconds = (double)(clock() - before) / CLOCKS_PER_SEC;
    bool found = !code;
    for (size_t i = 0; i < diags.count; i++) {
        found |= code && strcmp(diags.items[i].code, code) == 0;
    }
    if (!found || (rc == 0) != !code) {
        fail_msg("%.40s: %d %s", buf_cstr(&text), rc, diags.count ? diags.items[0].code : "");
    }
    print_message("%5.2f s  %.30s… %s\n", seconds, buf_cstr(&text), code ? code : "accepted");
    assert_true(diags.count <= (size_t)2 * POLICY_DIAGS_MAX);
    assert_true(seconds < SECONDS_MAX);
    assert_true(!p || arena_used(p->arena) <= 32 * MIB);
    policy_diags_free(&diags);
    policy_unref(p);
}

static void lists(void **state)
{
    (void)state;
    begin("{\"nodeAttrs\":[");
    fill("{},", "]}");
    expect("too-many");
    begin("{\"acls\":[");
    fill("{},", "]}");
    expect("too-many");
    begin("{\"nodeAttrs\":[{\"target\":[");
    fill("\"*\",", "]}]}");
    expect("too-many");
    begin("{\"groups\":{");
    fill("\"group:%u\":[],", "}}");
    expect("too-many");
    begin("{\"groups\":{\"group:a\":[");
    fill("\"a@b\",", "]}}");
    expect("too-many");
    begin(
        "{\"nodeAttrs\":[{\"target\":[\"*\"],\"app\":{\"openfunnel.org/cap/funnel\":[{\"ports\":[");
    fill("%u,", "]}]}}]}");
    expect("too-many");
    begin("{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:1");
    fill(",%u", "\"]}]}");
    expect("acl-port");
}

/* An old name and its new one, each with as much as it may hold: the second does not go behind the
 * first. */
static void twice(void **state)
{
    static const char *const fields[][3] = {
        {"{\"acls\":[{\"action\":\"accept\",\"src\":[],\"ports\":[", "],\"dst\":[", "acl-mixed"},
        {"{\"tests\":[{\"src\":\"a@b\",\"allow\":[", "],\"accept\":[", "test-shape"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        begin(fields[i][0]);
        for (unsigned k = 0; k < 2 * LOAD_TEST_LIST; k++) {
            buf_adds(&text, k == LOAD_TEST_LIST ? fields[i][1] : "");
            buf_adds(&text, "\"10.0.0.1:1\",");
        }
        buf_adds(&text, "]}]}");
        expect(fields[i][2]);
    }
}

/* As much as is allowed. */
static void full_lists(void **state)
{
    (void)state;
    begin("{\"attrConfig\":{");
    for (unsigned i = 0; i < LOAD_TEST_LIST; i++) {
        char piece[64];
        snprintf(piece, sizeof piece, "\"%u\":{\"x\":[1,{\"y\":2}]},", i);
        buf_adds(&text, piece);
    }
    buf_adds(&text, "}}");
    expect(NULL);
    begin("{\"hosts\":{");
    for (unsigned i = 0; i < LOAD_TEST_LIST; i++) {
        char piece[64];
        snprintf(piece, sizeof piece, "\"h%u\":\"10.%u.%u.1\",", i, i / 256, i % 256);
        buf_adds(&text, piece);
    }
    buf_adds(&text, "},\"nodeAttrs\":[{\"target\":[");
    for (unsigned i = 0; i < LOAD_TEST_LIST; i++) {
        char piece[64];
        snprintf(piece, sizeof piece, "\"h%u\",", i);
        buf_adds(&text, piece);
    }
    buf_adds(&text, "],\"attr\":[\"funnel\"]}]}");
    expect(NULL);
}

/* Nothing is looked up or compared in more than a look-up's time. */
static void complaints(void **state)
{
    (void)state;
    begin("{\"nodeAttrs\":[{\"target\":[");
    for (unsigned i = 0; i < LOAD_TEST_LIST; i++) {
        char piece[64];
        snprintf(piece, sizeof piece, "\"unknown-name-%u\",", i);
        buf_adds(&text, piece);
    }
    buf_adds(&text, "]}],\"hosts\":{");
    for (unsigned i = 0; i < LOAD_TEST_LIST; i++) {
        char piece[64];
        snprintf(piece, sizeof piece, "\"unknown-nome-%u\":\"10.0.0.1\",", i);
        buf_adds(&text, piece);
    }
    buf_adds(&text, "}}");
    expect("undefined-host");
    begin("{\"attrConfig\":{");
    fill("\"same\":%u,", "}}");
    expect("too-many");
    begin("{\"attrConfig\":{\"x\":{");
    fill("\"same\":%u,", "}}}");
    expect("duplicate-name");
    begin("{");
    fill("\"a%u\":[],", "}");
    expect("unknown-field");
    begin("{\"x\":\"");
    fill("\\u00e9", "\"}");
    expect("unknown-field");
    begin("{\"");
    fill("~/", "\": 1}");
    expect("unknown-field");
}

static void ip_sets(void **state)
{
    (void)state;
    begin("{\"ipsets\":{");
    fill("\"ipset:s%u\":[\"ipset:s%u\"],", "}}");
    expect("too-many");
    begin("{\"ipsets\":{"); /* a chain, the last first: each is worked out after the next */
    for (unsigned i = 0; i < LOAD_TEST_LIST; i++) {
        char piece[96];
        snprintf(piece, sizeof piece, "\"ipset:s%u\":[\"ipset:s%u\",\"10.%u.%u.1\"],", i, i + 1,
                 i / 256, i % 256);
        buf_adds(&text, piece);
    }
    buf_adds(&text, "\"ipset:s10000\":[]}}");
    expect("too-many"); /* definitions */
    begin("{\"ipsets\":{");
    for (unsigned i = 0; i + 1 < LOAD_TEST_LIST; i++) {
        char piece[96];
        snprintf(piece, sizeof piece, "\"ipset:s%u\":[\"ipset:s%u\",\"10.%u.%u.1\"],", i, i + 1,
                 i / 256, i % 256);
        buf_adds(&text, piece);
    }
    buf_adds(&text, "\"ipset:s9999\":[]}}");
    expect("too-many"); /* ranges: they add up to the square */
    begin("{\"ipsets\":{");
    for (unsigned i = 0; i < LOAD_TEST_LIST; i++) { /* a ring, and each closes smaller ones */
        char piece[128];
        snprintf(piece, sizeof piece, "\"ipset:s%u\":[\"ipset:s%u\",\"ipset:s%u\",\"ipset:s0\"],",
                 i, (i + 1) % LOAD_TEST_LIST, i / 2);
        buf_adds(&text, piece);
    }
    buf_adds(&text, "}}");
    expect("ipset-cycle");
}

static void syntax(void **state)
{
    (void)state;
    begin("");
    fill("[", "");
    expect("syntax");
    begin("{}");
    fill(" ", "");
    expect(NULL);
    buf_adds(&text, "                                                                      ");
    for (int i = 0; i < 10; i++) {
        buf_adds(&text, "                                                                      ");
    }
    expect("too-big");
    begin("{\"nodeAttrs\":[{\"target\":[\"*\"],\"app\":{\"a.b/c\":[");
    fill("{ \"k\" : [ 1 , \"x\" , ] , } , // c\n", "]}}]}");
    expect("too-many");
}

int main(void)
{
    text = BUF_MAX(2 * MIB);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),      cmocka_unit_test(twice),   cmocka_unit_test(full_lists),
        cmocka_unit_test(complaints), cmocka_unit_test(ip_sets), cmocka_unit_test(syntax),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    buf_deinit(&text);
    return rc;
}
