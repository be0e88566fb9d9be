/* What uacme 1.7.4 says, as it says it, and what we make of it. */
#include "acme/classify.h"
#include "tests/unit/support/test.h"

#define PROBLEM \
    "uacme: the server reported the following error:\n{\n    \"type\": \"urn:ietf:params:acme:error:"

struct said {
    enum acme_class class;
    const char *words, *last;
};

static const struct said cases[] = {
    {ACME_LIMITED,
     "uacme: failed to create new order at https://ca.test/order\n" PROBLEM
     "rateLimited\",\n    \"detail\": \"too many certificates: retry after 2026-11-24 15:00:00 UTC: see docs\",\n"
     "    \"status\": 429\n}\n",
     "too many certificates: retry after 2026-11-24 15:00:00 UTC: see docs"},
    {ACME_RETRY_NOW,
     "uacme: failed to parse challenge\nuacme: failed to authorize order at https://ca.test/o/1\n",
     "failed to authorize order at https://ca.test/o/1"},
    {ACME_NET,
     "uacme: failed to create new order at https://ca.test/order\n" PROBLEM
     "badNonce\",\n    \"detail\": \"JWS has an invalid anti-replay nonce\"\n}\n",
     "JWS has an invalid anti-replay nonce"},
    {ACME_NET,
     "uacme: curl_get: GET https://ca.test/dir failed: Couldn't connect to server\n"
     "uacme: failed to fetch directory at https://ca.test/dir\n",
     "failed to fetch directory at https://ca.test/dir"},
    {ACME_NET, "uacme: curl_post: POST https://ca.test/o failed: Timeout was reached\n",
     "curl_post: POST https://ca.test/o failed: Timeout was reached"},
    {ACME_NET, "uacme: failed to finalize order at https://ca.test/f/1\n",
     "failed to finalize order at https://ca.test/f/1"},
    {ACME_NET,
     "uacme: no account associated with /a/private/key.pem found at https://ca.test/acct. Consider "
     "trying 'new'\n",
     "no account associated with /a/private/key.pem found at https://ca.test/acct. Consider trying 'new'"},
    {ACME_AUTH,
     "uacme: failed to create new order at https://ca.test/order\n" PROBLEM
     "rejectedIdentifier\",\n    \"detail\": \"policy forbids it\"\n}\n",
     "policy forbids it"},
    {ACME_AUTH,
     "uacme: failed to finalize order at https://ca.test/f\n" PROBLEM
     "caa\",\n    \"detail\": \"CAA forbids\"\n}\n",
     "CAA forbids"},
    {ACME_AUTH,
     "uacme: challenge https://ca.test/c/1 failed with status invalid\n" PROBLEM
     "unauthorized\",\n    \"detail\": \"Correct value not found for DNS challenge\"\n}\n"
     "uacme: failed to authorize order at https://ca.test/o\n",
     "Correct value not found for DNS challenge"},
    {ACME_AUTH, "uacme: challenge https://ca.test/c/1 failed with status invalid\n",
     "challenge https://ca.test/c/1 failed with status invalid"},
    {ACME_DNS,
     "uacme: no challenge completed\nuacme: failed to authorize order at https://ca.test/o\n",
     "failed to authorize order at https://ca.test/o"},
    {ACME_BUG,
     "uacme: failed to finalize order at https://ca.test/f\n" PROBLEM
     "badCSR\",\n    \"detail\": \"no\"\n}\n",
     "no"},
    {ACME_BUG, "uacme: failed to link a to b: File exists\n", "failed to link a to b: File exists"},
    {ACME_BUG, "", ""},
};

static void words_to_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice words = slice_str(cases[i].words);
        enum acme_class got = acme_classify(2, false, words);
        if (got != cases[i].class) {
            fail_msg("case %zu: %s, expected %s", i, acme_class_name(got),
                     acme_class_name(cases[i].class));
        }
        assert_slice(acme_last_words(words), cases[i].last);
        /* The exit decides first: words of a run that succeeded are warnings, a late one is killed.
         */
        assert_int_equal(acme_classify(0, false, words), ACME_OK);
        assert_int_equal(acme_classify(-9, true, words), ACME_NET);
        assert_int_equal(acme_account_lost(words), i == 6);
    }
}

static void end_of_a_limit(void **state)
{
    (void)state;
    struct wall now, end;
    assert_true(wall_parse(S("2026-11-24T12:00:00Z"), &now));
    end = acme_limited_until(slice_str(cases[0].words), now);
    assert_int_equal(end.s, now.s + 3 * 3600);
    assert_int_equal(acme_limited_until(S("retry after 2026-11-25T12:00:01Z: see"), now).s,
                     now.s + 86401);
    /* Not told, past, too far away, cut off, nonsense: three hours. */
    const char *bad[] = {"",
                         "retry after ",
                         "retry after 2026-11-25",
                         "retry after 2026-11-24 11:59:59 UTC",
                         "retry after 2027-11-24 11:59:59 UTC",
                         "retry after 2026-13-45 99:99:99 UTC",
                         "retry after 9999999999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(acme_limited_until(slice_str(bad[i]), now).s, now.s + 3 * 3600);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_to_class),
        cmocka_unit_test(end_of_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
