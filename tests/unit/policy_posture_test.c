/* Postures (policy.md 2.6): one assertion a row, against attributes as a test brings them. */
#include "policy/posture.h"

#include "lib/base/mem.h"
#include "tests/unit/support/test.h"

static const char attributes[] =
    "{\"node:os\":\"macos\",\"node:tsVersion\":\"1.56.1-t906f85d10\",\"node:osVersion\":\"13.4\","
    "\"node:auto\":true,\"custom:off\":false,\"custom:tier\":3,\"custom:share\":0.5,"
    "\"custom:none\":null,\"custom:word\":\"v1.2\",\"custom:es\\u0063aped\":\"a\\u0062c\","
    "\"custom:empty\":\"\",\"custom:dot\":\"1.2.\"}";

static const struct {
    const char *assertion;
    bool holds;
} rows[] = {
    {"node:os == 'macos'", true},
    {"node:os == 'MacOS'", false},
    {"node:os == 'linux'", false},
    {"node:os != 'linux'", true},
    {"node:os != 'macos'", false},
    {"node:os IN ['linux', 'macos']", true},
    {"node:os IN ['linux']", false},
    {"node:os NOT IN ['linux', 'windows']", true},
    {"node:os NOT IN ['linux', 'macos']", false},
    {"node:os IS SET", true},
    {"node:os NOT SET", false},

    /* not set: fails every comparison, the negative ones too */
    {"custom:lost == 'x'", false},
    {"custom:lost != 'x'", false},
    {"custom:lost IN ['x']", false},
    {"custom:lost NOT IN ['x']", false},
    {"custom:lost < '1'", false},
    {"custom:lost >= '1'", false},
    {"custom:lost IS SET", false},
    {"custom:lost NOT SET", true},
    {"custom:none IS SET", false}, /* null is no value */
    {"custom:none NOT SET", true},

    /* versions */
    {"node:tsVersion >= '1.40'", true},
    {"node:tsVersion >= '1.56.1'", true},
    {"node:tsVersion > '1.56.1'", false},
    {"node:tsVersion <= '1.56.1'", true},
    {"node:tsVersion < '1.56.1'", false},
    {"node:tsVersion < '1.100'", true},
    {"node:tsVersion > '1.9'", true},
    {"node:tsVersion < '2'", true},
    {"node:osVersion >= '13.4.0'", true}, /* missing parts are 0 */
    {"node:osVersion <= '13.4.0'", true},
    {"node:osVersion < '13.4.0'", false},
    {"node:osVersion > '13'", true},
    {"node:osVersion == '13.4.0'", false}, /* the same text or not */
    {"custom:word > '1.0'", false},        /* no version */
    {"custom:word < '1.0'", false},
    {"node:osVersion > 'v1'", false},
    {"custom:empty >= '0'", false},
    {"custom:dot >= '1.2'", true},

    /* numbers and booleans */
    {"custom:tier == 3", true},
    {"custom:tier == '3'", true},
    {"custom:tier == 3.0", true},
    {"custom:tier == 4", false},
    {"custom:tier != 4", true},
    {"custom:tier > 2", true},
    {"custom:tier > 10", false},
    {"custom:tier <= 3", true},
    {"custom:tier >= 3.5", false},
    {"custom:tier < 'x'", false},
    {"custom:tier < 'nan'", false},
    {"custom:tier IN [1, 3]", true},
    {"custom:share < 1", true},
    {"custom:share > '0.25'", true},
    {"node:auto == true", true},
    {"node:auto == false", false},
    {"node:auto != false", true},
    {"node:auto > 0", false},
    {"custom:off == false", true},
    {"custom:escaped == 'abc'", true},
};

static struct policy *load(struct slice text)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    if (policy_load(text, NULL, &diags, &p)) {
        fail_msg("%s: " SLICE_FMT, diags.items[0].message, SLICE_ARG(text));
    }
    policy_diags_free(&diags);
    return p;
}

static struct hujson_doc *parse(const char *text)
{
    struct hujson_diag why;
    struct hujson_doc *doc = NULL;
    assert_int_equal(hujson_parse(slice_str(text), HUJSON_SIZE_MAX, &why, &doc), 0);
    return doc;
}

static void test_rows(void **state)
{
    struct hujson_doc *doc = parse(attributes);
    struct buf text = BUF_MAX(64 * KIB);
    bool holds[ARRAY_LEN(rows)];
    (void)state;
    buf_adds(&text, "{\"postures\":{");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_addf(&text, "\"posture:p%zu\":[\"%s\"],", i, rows[i].assertion);
    }
    buf_adds(&text, "}}");
    struct policy *p = load(buf_slice(&text));
    assert_int_equal(p->posture_count, ARRAY_LEN(rows));
    policy_postures_hold(p, doc, hujson_root(doc), holds);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (holds[i] != rows[i].holds) {
            fail_msg("%s: %s", rows[i].assertion, holds[i] ? "holds" : "does not hold");
        }
    }
    policy_unref(p);
    hujson_free(doc);
    buf_deinit(&text);
}

static void test_all_must_hold(void **state)
{
    struct hujson_doc *doc = parse(attributes);
    bool holds[3];
    (void)state;
    struct policy *p =
        load(S("{\"postures\":{\"posture:a\":[\"node:os == 'macos'\",\"node:auto == true\"],"
               "\"posture:b\":[\"node:os == 'macos'\",\"node:auto == false\"],"
               "\"posture:c\":[\"node:os == 'linux'\",\"node:auto == true\"]}}"));
    policy_postures_hold(p, doc, hujson_root(doc), holds);
    assert_true(holds[0]);
    assert_false(holds[1]);
    assert_false(holds[2]);
    policy_unref(p);
    hujson_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_all_must_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
