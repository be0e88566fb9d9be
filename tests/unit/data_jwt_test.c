/* RFC 7515's own examples (A.2 RS256, A.3 ES256), then everything that must not pass for them. */
#include "lib/base/text.h"
#include "lib/data/jwt.h"
#include "tests/unit/support/test.h"

#define RS256_KEY                                                                                \
    "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26m" \
    "PddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47s" \
    "oMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMT" \
    "BQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD" \
    "TW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}]}"
#define RS256_TOKEN                                                                              \
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl"  \
    "LmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh" \
    "7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyW" \
    "zO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZE" \
    "Sc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGl" \
    "UPQGe77Rw"
#define ES256_KEY                                                                              \
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9" \
    "uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}"
#define ES256_TOKEN                                                                              \
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl"  \
    "LmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlS" \
    "ApmWQxfKTUJqPP3-Kg6NU1Q"

static int verify(struct slice token, const char *keys)
{
    char why_keys[80];
    const char *why = NULL;
    struct js *claims = NULL;
    AUTO(js_freep) struct js *set = js_parse(slice_str(keys), 64 * KIB, why_keys, sizeof why_keys);
    assert_non_null(set);
    int rc = jwt_verify(token, set, &claims, &why);
    if (rc) {
        assert_non_null(why);
        assert_null(claims);
    } else {
        assert_true(slice_eq(js_get_str(claims, "iss"), S("joe")));
        js_free(claims);
    }
    return rc;
}

static void the_rfcs_examples_verify(void **state)
{
    (void)state;
    assert_int_equal(verify(S(RS256_TOKEN), RS256_KEY), 0);
    assert_int_equal(verify(S(ES256_TOKEN), ES256_KEY), 0);
}

static void another_key_or_type_does_not(void **state)
{
    (void)state;
    assert_int_equal(verify(S(RS256_TOKEN), ES256_KEY), JWT_NO_KEY);
    assert_int_equal(verify(S(ES256_TOKEN), RS256_KEY), JWT_NO_KEY);
    assert_int_equal(verify(S(ES256_TOKEN), "{\"keys\":[]}"), JWT_NO_KEY);
    assert_int_equal(verify(S(ES256_TOKEN), "{}"), JWT_NO_KEY);
    assert_int_equal(verify(S(ES256_TOKEN), "{\"keys\":[1,{\"kty\":\"EC\"}]}"), JWT_REFUSED);
    assert_int_equal(verify(S(ES256_TOKEN), "{\"keys\":[{\"kty\":\"EC\",\"use\":\"enc\"}]}"),
                     JWT_NO_KEY);
    assert_int_equal(verify(S(ES256_TOKEN), "{\"keys\":[{\"kty\":\"EC\",\"alg\":\"ES384\"}]}"),
                     JWT_NO_KEY);
}

static void every_changed_character_is_seen(void **state)
{
    (void)state;
    char text[sizeof ES256_TOKEN];
    for (size_t i = 0; i + 1 < sizeof ES256_TOKEN; i++) {
        memcpy(text, ES256_TOKEN, sizeof text);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        if (memcmp(text, ES256_TOKEN, sizeof text) != 0 &&
            verify(slice_of(text, sizeof text - 1), ES256_KEY) == 0) {
            fail_msg("character %zu", i);
        }
    }
    for (size_t n = 0; n + 1 < sizeof ES256_TOKEN; n++) {
        assert_int_not_equal(verify(slice_of(ES256_TOKEN, n), ES256_KEY), 0);
    }
}

static void put(struct buf *out, const char *json)
{
    text_b64url(out, slice_str(json));
}

static void unsigned_and_symmetric_tokens_are_refused(void **state)
{
    (void)state;
    static const char *const headers[] = {"{\"alg\":\"none\"}",
                                          "{\"alg\":\"HS256\"}",
                                          "{\"alg\":\"RS384\"}",
                                          "{}",
                                          "[]",
                                          "{\"alg\":\"ES256\",\"crit\":[\"b64\"]}"};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        struct buf token = BUF_MAX(4096);
        put(&token, headers[i]);
        buf_addc(&token, '.');
        put(&token, "{\"iss\":\"joe\"}");
        buf_addc(&token, '.');
        assert_int_equal(verify(buf_slice(&token), ES256_KEY), JWT_REFUSED);
        buf_adds(&token, "AAAA");
        assert_int_equal(verify(buf_slice(&token), ES256_KEY), JWT_REFUSED);
        buf_deinit(&token);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfcs_examples_verify),
        cmocka_unit_test(another_key_or_type_does_not),
        cmocka_unit_test(every_changed_character_is_seen),
        cmocka_unit_test(unsigned_and_symmetric_tokens_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
