/* The front door: who is let in, who is turned away and how, descriptors, neighbours, the end. */
#include <sys/resource.h>

#include "tests/unit/support/relay_world.h"

/* ---- cases: the front door ---- */

static void nobody_gets_a_fallback(void **state)
{
    (void)state;
    struct caller c;
    call(&c, "unknown.example");
    expect_alert(&c);
    hang_up(&c);
    call(&c, "asleep.example"); /* routed, but its node is not here */
    expect_alert(&c);
    hang_up(&c);
    call(&c, ""); /* no server_name */
    expect_alert(&c);
    hang_up(&c);
    call_raw(&c, w.port8443); /* the name is not served on this port */
    c.hello = make_hello(NAME);
    assert_int_equal(stream_write(c.s, buf_slice(&c.hello)), 0);
    expect_alert(&c);
    hang_up(&c);
    call_raw(&c, w.port);
    assert_int_equal(stream_write(c.s, S("GET / HTTP/1.1\r\n\r\n")), 0);
    expect_nothing(&c);
    hang_up(&c);
    assert_int_equal(w.r.open_count, 0);
}

static void silent_clients_are_closed(void **state)
{
    (void)state;
    struct caller silent, half;
    struct mono begin = mono_now();
    call_raw(&silent, w.port);
    call_raw(&half, w.port);
    half.hello = make_hello(NAME);
    assert_int_equal(stream_write(half.s, slice_sub(buf_slice(&half.hello), 0, 60)), 0);
    expect_nothing(&silent);
    expect_nothing(&half);
    int64_t took = mono_now().ns - begin.ns;
    assert_true(took >= MS(290) && took < MS(1500));
    assert_int_equal(w.r.count.hello_timeouts, 2);
    hang_up(&silent);
    hang_up(&half);
}

static void without_descriptors(void **state)
{
    (void)state;
    struct rlimit was, low;
    struct caller c[3];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    for (int i = 0; i < 3; i++) {
        c[i] = (struct caller){.got = BUF_MAX(100)};
        c[i].s = stream_new(w.r.lp, dial(w.port), NULL, &caller_ops, NULL, &c[i]);
    }
    int next = dup(0);
    assert_true(next >= 0);
    close(next);
    low = was;
    low.rlim_cur = (rlim_t)next; /* nothing more can be opened */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (int i = 0; i < 3; i++) {
        expect_nothing(&c[i]); /* turned away at once, not left in the queue */
        hang_up(&c[i]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(w.r.count.refused, 3);
    assert_int_equal(w.r.count.hello_timeouts, 0);
    pass_time(MS(60));
    call(&c[0], "unknown.example"); /* and the door is open again */
    expect_alert(&c[0]);
    hang_up(&c[0]);
}

static void a_neighbour_gets_proxy_v2(void **state)
{
    (void)state;
    struct caller c;
    struct addr at, mine;
    char in[4096];
    assert_true(addr_from_ip(S("127.0.0.1"), w.target_port, &at));
    int door = sock_listen(&at, 4, SOCK_PLAIN), fd = -1;
    assert_true(door >= 0);
    call(&c, "Control.example.org");
    WAIT_FOR((fd = sock_accept(door, NULL)) >= 0);
    size_t n = 0, want = 28 + c.hello.len;
    WAIT_FOR((n += (size_t)({
                  ssize_t got = recv(fd, in + n, sizeof in - n, 0);
                  got > 0 ? got : 0;
              })) >= want);
    assert_memory_equal(in, "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\0\0\1\x7f\0\0\1", 24);
    assert_true(sock_local(stream_fd(c.s), &mine));
    assert_int_equal((uint8_t)in[24] << 8 | (uint8_t)in[25], addr_port(&mine));
    assert_int_equal((uint8_t)in[26] << 8 | (uint8_t)in[27], w.port);
    assert_memory_equal(in + 28, buf_slice(&c.hello).p, c.hello.len);
    assert_int_equal(send(fd, "hi", 2, MSG_NOSIGNAL), 2);
    WAIT_FOR(c.got.len == 2);
    close(fd);
    WAIT_FOR(c.eof || c.closed);
    hang_up(&c);
    pass_time(MS(20));
    close(door);
    call(&c, "control.example.org"); /* the neighbour is down */
    expect_nothing(&c);
    hang_up(&c);
}

static void draining(void **state)
{
    (void)state;
    struct fake_agent a;
    struct caller c;
    agent_up(&a);
    struct fake_leg *l = leg_up(&a, LEG_ECHO);
    call(&c, NAME);
    WAIT_FOR(l->opened);
    relay_drain(&w.r);
    assert_int_equal(stream_write(c.s, S("finish me")), 0);
    WAIT_FOR(c.got.len == 9);
    struct addr to;
    assert_true(addr_from_ip(S("127.0.0.1"), w.port, &to));
    int fd =
        sock_listen(&to, 1, SOCK_PLAIN); /* the doors are closed: the next relay may open them */
    assert_true(fd >= 0);
    close(fd);
    stream_shutdown(c.s);
    struct mono begin = mono_now();
    assert_int_equal(loop_run(w.r.lp), 0); /* ends with the last visitor */
    assert_true(mono_now().ns - begin.ns < SECONDS(3));
    hang_up(&c);
    agent_end(&a);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        CASE(nobody_gets_a_fallback),
        CASE(silent_clients_are_closed),
        CASE(without_descriptors),
        CASE(a_neighbour_gets_proxy_v2),
        CASE(draining),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
