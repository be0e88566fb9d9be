/* The file as it is stored and named, without a server around it. */
#include "tests/unit/support/policy_world.h"

#define TAG "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""

static void preconditions(void **state)
{
    (void)state;

    static const struct {
        const char *header;
        bool untouched;
        enum policy_precondition is;
    } rows[] = {
        {"", false, POLICY_IF_ABSENT},
        {"  ", true, POLICY_IF_ABSENT},
        {"*", false, POLICY_IF_HOLDS},
        {TAG, false, POLICY_IF_HOLDS},
        {"  " TAG "  ", false, POLICY_IF_HOLDS},
        {"\"other\", " TAG, false, POLICY_IF_HOLDS},
        {"\"other\",\"another\"", false, POLICY_IF_FAILS},
        {"W/" TAG, false, POLICY_IF_FAILS}, /* a weak one proves nothing */
        {"\"0123\"", false, POLICY_IF_FAILS},
        {"\"\"", false, POLICY_IF_FAILS},
        {"\"", true, POLICY_IF_FAILS},
        {",", true, POLICY_IF_FAILS},
        {"\"ts-default\"", false, POLICY_IF_FAILS},
        {"\"ts-default\"", true, POLICY_IF_HOLDS},
        {"ts-default", true, POLICY_IF_HOLDS},
        {"TS-DEFAULT", true, POLICY_IF_FAILS},
    };
    struct slice etag = slice_sub(S(TAG), 1, 64);
    AUTO_FREE char *text = slice_dup(etag);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (policy_if_match(slice_str(rows[i].header), text, rows[i].untouched) != rows[i].is) {
            fail_msg("If-Match: %s", rows[i].header);
        }
    }
}

static void etag_is_of_the_formatted_text(void **state)
{
    (void)state;
    char rough[65], neat[65], other[65], broken[65];
    policy_etag(S("{\"a\":1,\n\"b\":[ ],}"), rough);
    policy_etag(S("{\n\t\"a\": 1,\n\t\"b\": [],\n}\n"), neat);
    policy_etag(S("{\"a\":1,\n\"b\":[ ],} // said\n"), other);
    policy_etag(S("{"), broken); /* has one all the same: old files may be broken */
    assert_string_equal(rough, neat);
    assert_string_not_equal(rough, other);
    assert_int_equal(strlen(broken), 64);
    /* sha256("{}\n") */
    policy_etag(S(" { } "), rough);
    assert_string_equal(rough, "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356");
}

static void ingest_closes_the_last_line(void **state)
{
    (void)state;
    struct buf out = BUF_MAX(POLICY_SIZE_MAX);
    assert_true(policy_ingest(S("{} // x"), &out));
    assert_slice(buf_slice(&out), "{} // x\n");
    assert_true(policy_ingest(S("{}\n"), &out));
    assert_slice(buf_slice(&out), "{}\n");
    AUTO_FREE char *big = mem_new(POLICY_SIZE_MAX);
    memset(big, ' ', POLICY_SIZE_MAX);
    assert_false(policy_ingest(slice_of(big, POLICY_SIZE_MAX), &out)); /* with its LF too long */
    buf_deinit(&out);
    out = BUF_MAX(POLICY_SIZE_MAX);
    big[POLICY_SIZE_MAX - 1] = '\n';
    assert_true(policy_ingest(slice_of(big, POLICY_SIZE_MAX), &out));
    buf_clear(&out);
    buf_adds(&out, "{\"a\":1,}");
    policy_reformat(&out);
    assert_slice(buf_slice(&out), "{\"a\": 1}\n");
    buf_clear(&out);
    buf_adds(&out, "{\"a\":");
    policy_reformat(&out); /* has no form: stays */
    assert_slice(buf_slice(&out), "{\"a\":");
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preconditions),
        cmocka_unit_test(etag_is_of_the_formatted_text),
        cmocka_unit_test(ingest_closes_the_last_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
