/* RFC 6238 appendix B (its SHA-1 rows, last six digits), the window, single use, recovery codes. */
#include "server/totp.h"
#include "tests/unit/support/test.h"

static const uint8_t secret[TOTP_SECRET_SIZE] = "12345678901234567890";

static void codes_are_those_of_the_rfc(void **state)
{
    (void)state;

    static const struct {
        int64_t at;
        const char *code;
    } rows[] = {{59, "287082"},         {1111111109, "081804"}, {1111111111, "050471"},
                {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char code[7];
        totp_code(secret, rows[i].at / TOTP_STEP_S, code);
        assert_string_equal(code, rows[i].code);
    }
}

static void a_code_is_taken_once_and_in_its_time(void **state)
{
    (void)state;
    struct wall now = {1111111109};
    int64_t step = 0, at = now.s / TOTP_STEP_S;
    assert_true(totp_check(secret, S("081 804"), now, 0, &step));
    assert_int_equal(step, at);
    assert_false(totp_check(secret, S("081804"), now, step, &step));
    assert_true(totp_check(secret, S("081804"), (struct wall){now.s + TOTP_STEP_S}, 0, &step));
    assert_true(totp_check(secret, S("081804"), (struct wall){now.s - TOTP_STEP_S}, 0, &step));
    assert_false(totp_check(secret, S("081804"), (struct wall){now.s + 2 * TOTP_STEP_S}, 0, &step));
    assert_false(totp_check(secret, S("081805"), now, 0, &step));
    assert_false(totp_check(secret, S("81804"), now, 0, &step));
    assert_false(totp_check(secret, S("0818040"), now, 0, &step));
    assert_false(totp_check(secret, S("08180x"), now, 0, &step));
    assert_false(totp_check(secret, S(""), now, 0, &step));
}

static void the_uri_is_what_apps_read(void **state)
{
    (void)state;
    struct buf out = BUF_MAX(512);
    totp_uri(secret, S("Open Funnel"), S("ann@example.com"), &out);
    assert_string_equal(buf_cstr(&out), "otpauth://totp/Open%20Funnel:ann%40example.com?secret="
                                        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Open%20Funnel");
    buf_deinit(&out);
}

static void base32_of_every_length(void **state)
{
    (void)state;
    static const char *const rows[][2] = {/* RFC 4648 section 10 without padding */
                                          {"", ""},
                                          {"f", "MY"},
                                          {"fo", "MZXQ"},
                                          {"foo", "MZXW6"},
                                          {"foob", "MZXW6YQ"},
                                          {"fooba", "MZXW6YTB"},
                                          {"foobar", "MZXW6YTBOI"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_MAX(64);
        totp_base32(slice_str(rows[i][0]), &out);
        assert_string_equal(buf_cstr(&out), rows[i][1]);
        buf_deinit(&out);
    }
}

static void recovery_codes_forgive_typing(void **state)
{
    (void)state;
    char made[RECOVERY_CODE_SIZE], read[RECOVERY_CODE_SIZE];
    recovery_code(made);
    assert_int_equal(strlen(made), RECOVERY_CODE_SIZE - 1);
    assert_true(recovery_read(slice_str(made), read));
    assert_string_equal(read, made);
    assert_true(recovery_read(S(" ABCD EFGH jkmn-0o1l"), read));
    assert_string_equal(read, "abcd-efgh-jkmn-0011");
    assert_false(recovery_read(S("abcd-efgh-jkmn-001"), read));
    assert_false(recovery_read(S("abcd-efgh-jkmn-00112"), read));
    assert_false(recovery_read(S("abcd-efgh-jkmn-00\xc3\xa9"), read));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_those_of_the_rfc),
        cmocka_unit_test(a_code_is_taken_once_and_in_its_time),
        cmocka_unit_test(the_uri_is_what_apps_read),
        cmocka_unit_test(base32_of_every_length),
        cmocka_unit_test(recovery_codes_forgive_typing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
