/* The HTTP server and the HTTP client against each other, over TLS, on one loop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/fetch/fetch.h"
#include "lib/http/html.h"
#include "lib/http/http.h"
#include "lib/http/proxy_header.h"
#include "lib/io/tls.h"
#include "tests/unit/support/test.h"

static struct {
    struct loop *lp;
    struct http_server *srv;
    struct fetcher *f;
    char dir[64], base[64], plain[64];
    struct http_rq *waiting;
    struct http_stream *stream;
    int closed, aborted;
} t;

struct got {
    bool done;
    int err, opened, lines;
    long status;
    char body[4096], etag[64], why[200];
};

static void on_done(void *arg, const struct fetch_result *r)
{
    struct got *g = arg;
    g->done = true;
    g->err = r->err;
    g->status = r->status;
    slice_copy(r->body, g->body, sizeof g->body);
    snprintf(g->etag, sizeof g->etag, "%s", r->etag);
    snprintf(g->why, sizeof g->why, "%s", r->why);
}

static void turn_until(const bool *flag)
{
    for (int i = 0; i < 2000 && !*flag; i++) {
        assert_int_equal(loop_turn(t.lp, MS(5)), 0);
    }
    assert_true(*flag);
}

/* ---- handlers ---- */

static void h_echo(void *arg, struct http_rq *rq)
{
    (void)arg;
    struct buf out = BUF_MAX(8192);
    char peer[ADDR_TEXT_SIZE];
    addr_format_ip(http_rq_peer(rq), peer);
    struct slice field = http_rq_form(rq, "ab");
    buf_addf(&out, "id=" SLICE_FMT " q=" SLICE_FMT " form=" SLICE_FMT " peer=%s n=%zu",
             SLICE_ARG(http_rq_param(rq, "id")), SLICE_ARG(http_rq_query(rq, "q")),
             SLICE_ARG(field), peer, http_rq_body(rq).n);
    http_rq_add_header(rq, "ETag", "\"tag\"");
    http_rq_reply(rq, 200, "text/plain", buf_slice(&out));
    buf_deinit(&out);
}

static void aborted(void *arg)
{
    (void)arg;
    t.aborted++;
    t.waiting = NULL;
}

static void h_later(void *arg, struct http_rq *rq)
{
    (void)arg;
    t.waiting = rq;
    http_rq_on_abort(rq, aborted, NULL);
}

static void stream_closed(void *arg)
{
    (void)arg;
    t.closed++;
    t.stream = NULL;
}

static void h_stream(void *arg, struct http_rq *rq)
{
    (void)arg;
    t.stream = http_rq_stream(rq, "application/x-ndjson", stream_closed, NULL);
    assert_int_equal(http_stream_push(t.stream, S("{\"n\":1}\n")), 0);
}

static void h_missing(void *arg, struct http_rq *rq)
{
    (void)arg;
    http_rq_reply(rq, *http_rq_allowed(rq) ? 405 : 404, "text/plain",
                  slice_str(http_rq_allowed(rq)));
}

static void h_error(void *arg, struct http_rq *rq, int status, const char *why)
{
    (void)arg;
    http_rq_reply(rq, status, "text/plain", slice_str(why));
}

static const struct http_route routes[] = {
    {HTTP_POST, "/echo/{id}", 8192, 0, h_echo},
    {HTTP_GET, "/later", 0, 0, h_later},
    {HTTP_GET, "/stream", 0, 0, h_stream},
};

static int listen_at(struct http_server *srv, char *out_base, size_t size, const char *scheme)
{
    struct addr a;
    assert_true(addr_parse(S("127.0.0.1:0"), &a));
    int fd = sock_listen(&a, 16, SOCK_PLAIN);
    assert_true(fd >= 0 && sock_local(fd, &a));
    snprintf(out_base, size, "%s://localhost:%u", scheme, addr_port(&a));
    return http_server_listen(srv, fd);
}

static int setup(void **state)
{
    (void)state;
    char cert[128], key[128], why[200] = "";
    struct buf c = BUF_MAX(8192), k = BUF_MAX(8192);
    t.lp = loop_new();
    snprintf(t.dir, sizeof t.dir, "/tmp/http-test-XXXXXX");
    if (!mkdtemp(t.dir) || tls_make_self_signed("localhost", &c, &k)) {
        return -1;
    }
    snprintf(cert, sizeof cert, "%s/cert", t.dir);
    snprintf(key, sizeof key, "%s/key", t.dir);
    assert_int_equal(file_replace(cert, 0644, buf_slice(&c)), 0);
    assert_int_equal(file_replace(key, 0600, buf_slice(&k)), 0);
    buf_deinit(&c);
    buf_deinit(&k);
    struct addr trusted[1];
    assert_true(addr_from_ip(S("127.0.0.1"), 0, &trusted[0]));
    struct http_opts o = {.cert_file = cert,
                          .key_file = key,
                          .routes = routes,
                          .route_count = ARRAY_LEN(routes),
                          .not_found = h_missing,
                          .error = h_error,
                          .proxy_from = trusted,
                          .proxy_from_count = 1};
    assert_int_equal(http_server_new(t.lp, &o, why, sizeof why, &t.srv), 0);
    assert_int_equal(listen_at(t.srv, t.base, sizeof t.base, "https"), 0);
    t.f = fetcher_new(t.lp, cert, "test/1");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char path[128];
    fetcher_free(t.f);
    http_server_free(t.srv);
    assert_int_equal(loop_turn(t.lp, 0), 0);
    loop_free(t.lp);
    snprintf(path, sizeof path, "%s/cert", t.dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/key", t.dir);
    unlink(path);
    return rmdir(t.dir);
}

static struct got call(const char *method, const char *path, struct slice body)
{
    char url[200];
    struct got g = {0};
    snprintf(url, sizeof url, "%s%s", t.base, path);
    fetch_start(t.f, &(struct fetch_opts){.method = method, .url = url, .body = body}, on_done, &g);
    turn_until(&g.done);
    return g;
}

static void requests(void **state)
{
    (void)state;
    struct got g = call("POST", "/echo/x7?q=1%202", S("c=3&ab=%41%26&d"));
    assert_int_equal(g.err, 0);
    assert_int_equal(g.status, 200);
    assert_string_equal(g.body, "id=x7 q=1 2 form=A& peer=127.0.0.1 n=15");
    assert_string_equal(g.etag, "\"tag\"");
    g = call(NULL, "/echo/x7", S(""));
    assert_int_equal(g.status, 405);
    assert_string_equal(g.body, "POST");
    g = call(NULL, "/nothing", S(""));
    assert_int_equal(g.status, 404);
}

static void body_caps(void **state)
{
    (void)state;
    char *big = mem_new(9000);
    memset(big, 'x', 9000);
    struct got g = call("POST", "/echo/a", slice_of(big, 8192));
    assert_int_equal(g.status, 200);
    g = call("POST", "/echo/a", slice_of(big, 8193));
    assert_int_equal(g.status, 413);
    mem_free(big);
}

static void late_answer(void **state)
{
    (void)state;
    char url[200];
    struct got g = {0};
    snprintf(url, sizeof url, "%s/later", t.base);
    fetch_start(t.f, &(struct fetch_opts){.url = url}, on_done, &g);
    for (int i = 0; i < 500 && !t.waiting; i++) {
        assert_int_equal(loop_turn(t.lp, MS(5)), 0);
    }
    assert_non_null(t.waiting);
    http_rq_reply(t.waiting, 202, "text/plain", S("late"));
    t.waiting = NULL;
    turn_until(&g.done);
    assert_int_equal(g.status, 202);
    assert_string_equal(g.body, "late");
}

static void peer_leaves(void **state)
{
    (void)state;
    char url[200];
    struct got g = {0};
    snprintf(url, sizeof url, "%s/later", t.base);
    struct fetch *x = fetch_start(t.f, &(struct fetch_opts){.url = url}, on_done, &g);
    for (int i = 0; i < 500 && !t.waiting; i++) {
        assert_int_equal(loop_turn(t.lp, MS(5)), 0);
    }
    fetch_cancel(x);
    for (int i = 0; i < 500 && !t.aborted; i++) {
        assert_int_equal(loop_turn(t.lp, MS(5)), 0);
    }
    assert_int_equal(t.aborted, 1);
    assert_false(g.done);
}

static void on_stream_open(void *arg)
{
    ((struct got *)arg)->opened++;
}

static void on_stream_line(void *arg, struct slice line)
{
    struct got *g = arg;
    g->lines++;
    slice_copy(line, g->body, sizeof g->body);
}

static void streams(void **state)
{
    (void)state;
    char url[200];
    struct got g = {0};
    snprintf(url, sizeof url, "%s/stream", t.base);
    struct fetch *x = fetch_stream(t.f, &(struct fetch_opts){.url = url}, on_stream_open,
                                   on_stream_line, on_done, &g);
    for (int i = 0; i < 500 && g.lines < 1; i++) {
        assert_int_equal(loop_turn(t.lp, MS(5)), 0);
    }
    assert_string_equal(g.body, "{\"n\":1}");
    assert_int_equal(http_stream_push(t.stream, S("\n{\"n\":2}\n{\"n\":3}\n")), 0);
    for (int i = 0; i < 500 && g.lines < 3; i++) {
        assert_int_equal(loop_turn(t.lp, MS(5)), 0);
    }
    assert_string_equal(g.body, "{\"n\":3}");
    assert_int_equal(g.opened, 1);
    fetch_cancel(x);
    for (int i = 0; i < 500 && !t.closed; i++) {
        assert_int_equal(loop_turn(t.lp, MS(5)), 0);
    }
    assert_int_equal(t.closed, 1);
}

static void proxy_header(void **state)
{
    (void)state;
    static const char v4[] =
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\x00\x71\x09\x7f\x00\x00\x01\x30\x39\x01\xbb";
    struct addr a;
    size_t len = 0;
    char text[ADDR_TEXT_SIZE];
    for (size_t n = 0; n < sizeof v4 - 1; n++) {
        assert_int_equal(proxy_header_parse(slice_of(v4, n), &len, &a), PROXY_MORE);
    }
    assert_int_equal(proxy_header_parse(slice_of(v4, sizeof v4 - 1), &len, &a), 0);
    assert_int_equal(len, sizeof v4 - 1);
    addr_format(&a, text);
    assert_string_equal(text, "203.0.113.9:12345");
    assert_int_equal(proxy_header_parse(S("GET / HTTP/1.1\r\n"), &len, &a), PROXY_NONE);
}

static void no_clear_text(void **state)
{
    (void)state;
    char why[200];
    struct http_server *srv = NULL;
    struct http_opts o = {.routes = routes,
                          .route_count = ARRAY_LEN(routes),
                          .not_found = h_missing,
                          .error = h_error};
    assert_int_equal(http_server_new(t.lp, &o, why, sizeof why, &srv), 0);
    struct addr any;
    assert_true(addr_parse(S("0.0.0.0:0"), &any));
    int fd = sock_listen(&any, 1, SOCK_PLAIN);
    assert_int_equal(http_server_listen(srv, fd), -EPERM);
    close(fd);
    http_server_free(srv);
}

static void escaping(void **state)
{
    (void)state;
    struct buf out = BUF_MAX(256);
    html_fmt(&out, "<p title=\"%s\">%s %d%%</p>", "a\"b'", "<x>&\x01", 7);
    assert_slice(buf_slice(&out), "<p title=\"a&quot;b&#39;\">&lt;x&gt;&amp; 7%</p>");
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),      cmocka_unit_test(body_caps),
        cmocka_unit_test(late_answer),   cmocka_unit_test(peer_leaves),
        cmocka_unit_test(streams),       cmocka_unit_test(proxy_header),
        cmocka_unit_test(no_clear_text), cmocka_unit_test(escaping),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
