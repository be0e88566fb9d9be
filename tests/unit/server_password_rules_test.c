/* Which passwords are refused, and that ordinary good ones are not. */
#include "server/password_rules.h"
#include "tests/unit/support/test.h"

static const char words[] = "password\nadministration\nqwerty123\nsummer\nlove\n";

static const char *const refused[] = {
    "short",
    "elevenchars",
    "aaaaaaaaaaaa",
    "abcabcabcabcabc",
    "123456789012",
    "abcdefghijklmnop",
    "qwertyuiop12",
    "asdfghjklasdfghjkl",
    "ann@example.com",
    "ANN@EXAMPLE.COM1",
    "annannann1234",
    "example-2024",
    "openfunnel123",
    "FunnelFunnel1!",
    "administration",
    "Administration2024!",
    "P@ssw0rd-P@ssw0rd",
    "p4ssw0rd12345",
    "summersummersummer",
};

static const char *const taken[] = {
    "correct horse battery",         "a long enough phrase",
    "administration of love",        "tH3-fox.jumps",
    "my funnel is a very quiet one", "Vz8-kQp2!mLw",
    "summer in the mountains",       "na\xc3\xafve caf\xc3\xa9 owners",
};

static void those_that_are_tried_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (!password_rules(slice_str(words), slice_str(refused[i]), "ann@example.com")) {
            fail_msg("taken: %s", refused[i]);
        }
    }
}

static void ordinary_good_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        if (password_rules(slice_str(words), slice_str(taken[i]), "ann@example.com")) {
            fail_msg("refused: %s", taken[i]);
        }
    }
}

static void without_a_list_the_other_rules_stand(void **state)
{
    (void)state;
    assert_null(password_rules(S(""), S("administration"), "ann@example.com"));
    assert_non_null(password_rules(S(""), S("aaaaaaaaaaaa"), "ann@example.com"));
    char long_one[300];
    for (size_t i = 0; i < sizeof long_one; i++) {
        long_one[i] = (char)('a' + i * 7 % 23);
    }
    assert_non_null(password_rules(S(""), slice_of(long_one, 257), "ann@example.com"));
    assert_null(password_rules(S(""), slice_of(long_one, 256), "ann@example.com"));
    assert_null(password_rules(S(""), S("a\0b\0c\0d\0e\0f\0g"), ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_that_are_tried_first),
        cmocka_unit_test(ordinary_good_ones),
        cmocka_unit_test(without_a_list_the_other_rules_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
