/* Heads: what is taken, what is refused (RFC 9112; request smuggling), and chunked framing at every
 * split. */
#include "agent/http_head.h"
#include "tests/unit/support/test.h"

static struct http_head h;

static int request(const char *text)
{
    size_t len = 0;
    int rc = http_head_request(slice_str(text), &h, &len);
    if (rc == 0) {
        assert_true(len <= strlen(text));
    }
    return rc;
}

static void taken(void **state)
{
    (void)state;
    assert_int_equal(request("GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nX-A:\t v \r\n\r\nrest"), 0);
    assert_slice(h.target, "/a?b=c");
    assert_slice(h.host, "a.example");
    assert_slice(h.fields[1].value, "v");
    assert_true(h.keep_alive && h.body == BODY_NONE);
    assert_int_equal(request("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    assert_int_equal(request("GET http://b.example/x HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    assert_slice(h.host, "b.example");
    assert_slice(h.target, "/x");
    assert_int_equal(request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    assert_int_equal(request("GET / HTTP/1.0\r\n\r\n"), 0);
    assert_false(h.keep_alive);
    assert_int_equal(
        request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n"),
        0);
    assert_true(h.body == BODY_LENGTH && h.length == 12 && h.expect_continue);
    assert_int_equal(
        request(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n"),
        0);
    assert_true(h.body == BODY_CHUNKED && !h.keep_alive);
    assert_int_equal(request("GET / HTTP/1.1\r\nHost: a\r\n"), HEAD_MORE);
}

static void refused(void **state)
{
    (void)state;

    static const struct {
        int status;
        const char *text;
    } cases[] = {
        {400, "GET / HTTP/1.1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
        {400,
         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x10\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"},
        {400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"},
        {400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "G@T / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"},
        {505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
        {400, "GET / http/1.1\r\nHost: a\r\n\r\n"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (request(cases[i].text) != cases[i].status) {
            fail_msg("%s: %d", cases[i].text, request(cases[i].text));
        }
    }
    size_t len;
    static char big[HEAD_MAX + 100];
    memset(big, 'a', sizeof big);
    assert_int_equal(http_head_request(slice_of(big, sizeof big), &h, &len), 431);
}

static void hop_fields(void **state)
{
    (void)state;
    assert_int_equal(
        request(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-one, Content-Length\r\nX-One: 1\r\n\r\n"),
        0);
    assert_true(http_head_is_hop(&h, S("X-One")) && http_head_is_hop(&h, S("Keep-Alive")));
    assert_false(http_head_is_hop(&h, S("Content-Length")));
    assert_false(http_head_is_hop(&h, S("X-Two")));
}

static void responses(void **state)
{
    (void)state;
    size_t len;
    assert_int_equal(
        http_head_response(S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), S("GET"), &h, &len),
        0);
    assert_true(h.status == 200 && h.body == BODY_LENGTH && h.length == 5);
    assert_int_equal(
        http_head_response(S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), S("HEAD"), &h, &len),
        0);
    assert_int_equal(h.body, BODY_NONE);
    assert_int_equal(http_head_response(S("HTTP/1.0 204\r\n\r\n"), S("GET"), &h, &len), 0);
    assert_int_equal(http_head_response(S("HTTP/1.1 200 OK\r\n\r\n"), S("GET"), &h, &len), 0);
    assert_int_equal(h.body, BODY_UNTIL_CLOSE);
    assert_int_equal(http_head_response(S("nonsense\r\n\r\n"), S("GET"), &h, &len), 502);
    assert_int_equal(http_head_response(S("HTTP/1.1 99 x\r\n\r\n"), S("GET"), &h, &len), 502);
}

static void chunks(void **state)
{
    (void)state;
    static const char body[] = "4;ext=1\r\nwiki\r\n5\r\npedia\r\n0\r\nTrailer: x\r\n\r\nNEXT";
    size_t whole = sizeof body - 1 - 4;
    for (size_t cut = 0; cut < whole; cut++) {
        struct chunked c = {.state = 0};
        bool done, bad;
        size_t used = chunked_feed(&c, slice_of(body, cut), &done, &bad);
        assert_true(used == cut && !done && !bad);
        used += chunked_feed(&c, slice_of(body + cut, sizeof body - 1 - cut), &done, &bad);
        assert_true(used == whole && done && !bad);
    }
    static const char *const broken[] = {
        "\r\n",   "g\r\n",  "4\nwiki", "4\r\nwikiX\r\n", "ffffffffffffffffff\r\n",
        "-1\r\n", "0\r\n\n"};
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct chunked c = {.state = 0};
        bool done, bad;
        chunked_feed(&c, slice_str(broken[i]), &done, &bad);
        assert_true(bad);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken),     cmocka_unit_test(refused), cmocka_unit_test(hop_fields),
        cmocka_unit_test(responses), cmocka_unit_test(chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
