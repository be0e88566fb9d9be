/* Streams over a socket pair, plain and TLS; legs' resumption; children with limits. */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/io/loop.h"
#include "lib/io/pool.h"
#include "lib/io/proc.h"
#include "lib/io/stream.h"
#include "tests/unit/support/test.h"

struct end {
    struct stream *s;
    struct buf got;
    bool open, eof, closed;
    int why;
};

static void on_open(void *arg)
{
    ((struct end *)arg)->open = true;
}

static size_t on_data(void *arg, struct slice data)
{
    buf_add(&((struct end *)arg)->got, data);
    return data.n;
}

static void on_eof(void *arg)
{
    struct end *e = arg;
    e->eof = true;
    stream_finish(e->s);
}

static void on_close(void *arg, int why)
{
    struct end *e = arg;
    e->closed = true;
    e->why = why;
    e->s = NULL;
}

static const struct stream_ops ops = {
    .on_open = on_open, .on_data = on_data, .on_eof = on_eof, .on_close = on_close};

static void turn_until(struct loop *lp, const bool *flag)
{
    for (int i = 0; i < 2000 && !*flag; i++) {
        assert_int_equal(loop_turn(lp, MS(5)), 0);
    }
    assert_true(*flag);
}

static void
exchange(struct loop *lp, struct tls *server, struct tls *client, struct end *a, struct end *b)
{
    int fds[2];
    assert_int_equal(sock_pair(fds), 0);
    buf_init(&a->got, MIB);
    buf_init(&b->got, MIB);
    a->s = stream_new(lp, fds[0], server, &ops, NULL, a);
    b->s = stream_new(lp, fds[1], client, &ops, NULL, b);
    assert_int_equal(stream_write(b->s, S("early ")), 0); /* before the handshake */
    turn_until(lp, &a->open);
    turn_until(lp, &b->open);
}

static void run_echo(struct tls *server, struct tls *client)
{
    struct loop *lp = loop_new();
    struct end a = {0}, b = {0};
    exchange(lp, server, client, &a, &b);
    char *big = mem_new(100000);
    memset(big, 'x', 100000);
    assert_int_equal(stream_write(a.s, slice_of(big, 100000)), 0);
    assert_int_equal(stream_write(b.s, S("late")), 0);
    stream_shutdown(a.s);
    turn_until(lp, &b.closed);
    turn_until(lp, &a.closed);
    assert_int_equal(a.why, 0);
    assert_int_equal(b.why, 0);
    assert_true(a.eof && b.eof);
    assert_true(slice_eq(buf_slice(&a.got), S("early late")));
    assert_true(slice_eq(buf_slice(&b.got), slice_of(big, 100000)));
    mem_free(big);
    buf_deinit(&a.got);
    buf_deinit(&b.got);
    loop_free(lp);
}

static void plain_echo(void **state)
{
    (void)state;
    run_echo(NULL, NULL);
}

static struct tls_ctx *server_ctx(struct buf *cert, struct buf *key, unsigned tickets)
{
    char why[200];
    static const char *const alpn[] = {"funnel-leg/1", NULL};
    struct tls_ctx *ctx = NULL;
    buf_init(cert, 8192);
    buf_init(key, 8192);
    assert_int_equal(tls_make_self_signed("relay", cert, key), 0);
    struct tls_server_opts opts = {.cert_pem = buf_slice(cert),
                                   .key_pem = buf_slice(key),
                                   .alpn = alpn,
                                   .alpn_required = true,
                                   .min = TLS_MIN_13,
                                   .verify = TLS_REQUEST_CLIENT,
                                   .tickets = tickets};
    assert_int_equal(tls_server_ctx(&opts, why, sizeof why, &ctx), 0);
    return ctx;
}

static struct tls_ctx *client_ctx(struct buf *cert, struct buf *key)
{
    char why[200];
    uint8_t pin[1][TLS_SPKI_SIZE];
    static const char *const alpn[] = {"funnel-leg/1", NULL};
    struct tls_ctx *ctx = NULL;
    assert_true(tls_cert_spki(buf_slice(cert), pin[0]));
    struct tls_client_opts opts = {.alpn = alpn,
                                   .min = TLS_MIN_13,
                                   .verify = TLS_VERIFY_PIN,
                                   .pins = pin,
                                   .pin_count = 1,
                                   .cert_pem = buf_slice(cert),
                                   .key_pem = buf_slice(key)};
    assert_int_equal(tls_client_ctx(&opts, why, sizeof why, &ctx), 0);
    return ctx;
}

static void tls_echo(void **state)
{
    (void)state;
    struct buf cert, key;
    struct tls_ctx *sc = server_ctx(&cert, &key, 0), *cc = client_ctx(&cert, &key);
    run_echo(tls_server(sc), tls_client(cc, "relay"));
    tls_ctx_unref(sc);
    tls_ctx_unref(cc);
    buf_deinit(&cert);
    buf_deinit(&key);
}

static void pump(struct tls *from, struct tls *to)
{
    struct slice w = tls_output(from);
    assert_int_equal(tls_feed(to, w), 0);
    tls_output_consume(from, w.n);
}

/* Both ends to the end of the handshake and of what follows it. */
static void settle(struct tls *server, struct tls *client, struct buf *sink)
{
    for (int i = 0; i < 6; i++) {
        err_ignore(tls_read(client, sink));
        pump(client, server);
        err_ignore(tls_read(server, sink));
        pump(server, client);
    }
}

static void resume(struct slice data)
{
    struct buf cert, key, sink = BUF_MAX(4096);
    struct tls_ctx *sc = server_ctx(&cert, &key, 2), *cc = client_ctx(&cert, &key);
    struct tls *s = tls_server(sc), *c = tls_client(cc, "relay");
    if (data.n) {
        tls_ticket_data_set(s, data);
    }
    settle(s, c, &sink);
    assert_true(tls_established(s) && tls_established(c));
    assert_false(tls_resumed(s));
    struct tls_session *ticket = tls_session_take(c);
    assert_non_null(ticket);
    for (int leg = 0; leg < 3; leg++) {
        struct tls *ls = tls_server(sc), *lc = tls_client(cc, "relay");
        tls_session_use(lc, ticket);
        settle(ls, lc, &sink);
        assert_true(tls_resumed(ls) && tls_resumed(lc));
        assert_true(slice_eq(tls_ticket_data(ls), data));
        struct tls_session *more = tls_session_take(lc);
        assert_null(more);
        tls_free(ls);
        tls_free(lc);
    }
    tls_session_free(ticket);
    tls_free(s);
    tls_free(c);
    tls_ctx_unref(sc);
    tls_ctx_unref(cc);
    buf_deinit(&cert);
    buf_deinit(&key);
    buf_deinit(&sink);
}

static void legs_resume_and_get_no_ticket(void **state)
{
    (void)state;
    resume(S("session-0123"));
}

/* As browsers do at control: their tickets carry nothing of ours. */
static void tickets_without_data_resume(void **state)
{
    (void)state;
    resume(S(""));
}

struct child {
    bool done, timed_out;
    int code;
    char text[64];
};

static void on_child(void *arg, int code, bool timed_out, struct slice text)
{
    struct child *c = arg;
    c->done = true;
    c->code = code;
    c->timed_out = timed_out;
    slice_copy(text, c->text, sizeof c->text);
}

static void children(void **state)
{
    (void)state;
    struct loop *lp = loop_new();
    struct proc *p;
    struct child c = {0};
    const char *const say[] = {"/bin/sh", "-c", "echo \"$A\" >&2; exit 3", NULL};
    const char *const env[] = {"A=hello", NULL};
    assert_int_equal(proc_start(lp, &(struct proc_opts){.argv = say, .env = env}, on_child, &c, &p),
                     0);
    turn_until(lp, &c.done);
    assert_int_equal(c.code, 3);
    assert_string_equal(c.text, "hello\n");
    const char *const wait[] = {"/bin/sleep", "30", NULL};
    c = (struct child){0};
    assert_int_equal(
        proc_start(lp, &(struct proc_opts){.argv = wait, .deadline_ns = MS(50)}, on_child, &c, &p),
        0);
    turn_until(lp, &c.done);
    assert_true(c.timed_out);
    assert_int_equal(c.code, -9);
    const char *const none[] = {"/nonexistent", NULL};
    assert_int_equal(proc_start(lp, &(struct proc_opts){.argv = none}, on_child, &c, &p), -ENOENT);
    assert_int_equal(loop_turn(lp, 0), 0);
    loop_free(lp);
}

static void job_work(void *arg)
{
    *(int *)arg += 41;
}

static bool job_ended;

static void job_done(void *arg)
{
    *(int *)arg += 1;
    job_ended = true;
}

static void pool_jobs(void **state)
{
    (void)state;
    struct loop *lp = loop_new();
    struct pool *p = pool_new(lp, 2);
    int n = 0;
    assert_int_equal(pool_run(p, job_work, job_done, &n), 0);
    turn_until(lp, &job_ended);
    assert_int_equal(n, 42);
    pool_free(p);
    loop_free(lp);
}

static void fired(void *arg)
{
    int **at = arg;
    *(*at)++ = 1;
}

static void timers_in_order(void **state)
{
    (void)state;
    struct loop *lp = loop_new();
    struct timer t[50];
    int marks[50] = {0}, *next = marks;
    for (int i = 0; i < 50; i++) {
        t[i] = TIMER_INIT;
        timer_set_in(lp, &t[i], MS((i * 7) % 50), fired, &next);
    }
    for (int i = 0; i < 50; i += 2) {
        timer_cancel(&t[i]);
        assert_false(timer_armed(&t[i]));
    }
    for (int i = 0; i < 200 && next - marks < 25; i++) {
        assert_int_equal(loop_turn(lp, MS(5)), 0);
    }
    assert_int_equal(next - marks, 25);
    loop_free(lp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_echo),
        cmocka_unit_test(tls_echo),
        cmocka_unit_test(legs_resume_and_get_no_ticket),
        cmocka_unit_test(tickets_without_data_resume),
        cmocka_unit_test(children),
        cmocka_unit_test(pool_jobs),
        cmocka_unit_test(timers_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
