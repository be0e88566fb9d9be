/* Two sessions back to back, time given by hand; single-use numbers against a plain model. */
#include <errno.h>

#include "lib/base/secret.h"
#include "tests/unit/support/test.h"
#include "tunnel/session.h"

struct side {
    struct session s;
    struct buf wire;
    bool full;
    int hellos, welcomes, legs, closed, drain, bye;

    enum { ANSWER_WELCOME, ANSWER_BYE, ANSWER_NONE } answer;
};

static int seal(void *ctx, struct slice plain)
{
    struct side *e = ctx;
    return e->full ? BUF_FULL : buf_push(&e->wire, plain) ? -ENOBUFS : 0;
}

static void on_hello(void *arg, const struct frame_hello *hello)
{
    struct side *e = arg;
    struct frame_welcome w = {.version = TUNNEL_VERSION, .parked = 4};
    assert_slice(hello->token, "token");
    e->hellos++;
    if (e->answer == ANSWER_WELCOME) {
        assert_int_equal(session_send_welcome(&e->s, &w), 0);
    } else if (e->answer == ANSWER_BYE) {
        assert_int_equal(session_send_bye(&e->s, END_TOKEN, "no"), 0);
    }
}

static void on_welcome(void *arg, const struct frame_welcome *w)
{
    assert_int_equal(w->parked, 4);
    ((struct side *)arg)->welcomes++;
}

static void on_legs(void *arg, uint16_t more)
{
    ((struct side *)arg)->legs += more;
}

static void on_closed(void *arg, const struct frame_closed *closed)
{
    ((struct side *)arg)->closed = (int)closed->connection;
}

static void on_drain(void *arg, uint32_t seconds)
{
    ((struct side *)arg)->drain = (int)seconds;
}

static void on_bye(void *arg, uint8_t reason, struct slice text)
{
    (void)text;
    ((struct side *)arg)->bye = reason;
}

static const struct session_ops ops = {on_hello, on_welcome, on_legs, on_closed, on_drain, on_bye};

struct pair {
    struct side relay, agent;
};

static struct mono at(int64_t s)
{
    return (struct mono){SECONDS(1000 + s)};
}

static int setup(void **state)
{
    static struct pair p;
    p.relay = (struct side){.wire = BUF_MAX(1 << 16), .bye = -1};
    p.agent = (struct side){.wire = BUF_MAX(1 << 16), .bye = -1};
    session_init(&p.relay.s, SESSION_RELAY, (struct seal){seal, &p.relay}, &ops, &p.relay, at(0));
    session_init(&p.agent.s, SESSION_AGENT, (struct seal){seal, &p.agent}, &ops, &p.agent, at(0));
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    buf_deinit(&p->relay.wire);
    buf_deinit(&p->agent.wire);
    return 0;
}

static bool move(struct side *from, struct side *to, struct mono now)
{
    bool bad = false;
    for (size_t have = 1; from->wire.len >= have && !bad;) {
        size_t used = session_input(&to->s, now, slice_sub(buf_slice(&from->wire), 0, have), &bad);
        buf_consume(&from->wire, used);
        have = used ? 1 : have + 1;
    }
    return !bad;
}

static const struct frame_hello hello = {
    .version = TUNNEL_VERSION, .parked = 4, .token = {"token", 5}};

static void come_up(struct pair *p)
{
    assert_int_equal(session_send_hello(&p->agent.s, &hello), 0);
    assert_true(move(&p->agent, &p->relay, at(1)));
    assert_true(move(&p->relay, &p->agent, at(1)));
    assert_int_equal(p->agent.welcomes, 1);
    assert_int_equal(p->agent.s.state, SESSION_UP);
    assert_int_equal(p->relay.s.state, SESSION_UP);
}

static void messages(void **state)
{
    struct pair *p = *state;
    come_up(p);
    assert_int_equal(session_send_legs(&p->relay.s, 3), 0);
    assert_int_equal(session_send_legs(&p->relay.s, 2), 0);
    assert_int_equal(session_send_closed(&p->relay.s, &(struct frame_closed){.connection = 8}), 0);
    assert_int_equal(session_send_drain(&p->relay.s, 10), 0);
    assert_int_equal(session_send_bye(&p->relay.s, END_REPLACED, "newer"), 0);
    assert_int_equal(session_send_legs(&p->relay.s, 1), -EPROTO);
    assert_true(move(&p->relay, &p->agent, at(2)));
    assert_int_equal(p->agent.legs, 5);
    assert_int_equal(p->agent.closed, 8);
    assert_int_equal(p->agent.drain, 10);
    assert_int_equal(p->agent.bye, END_REPLACED);
    assert_int_equal(p->agent.s.state, SESSION_ENDED);
}

static void token_refused(void **state)
{
    struct pair *p = *state;
    p->relay.answer = ANSWER_BYE;
    assert_int_equal(session_send_hello(&p->agent.s, &hello), 0);
    assert_true(move(&p->agent, &p->relay, at(1)));
    assert_true(move(&p->relay, &p->agent, at(1)));
    assert_int_equal(p->agent.bye, END_TOKEN);
    assert_int_equal(p->agent.welcomes, 0);
}

static void pings_and_silence(void **state)
{
    struct pair *p = *state;
    come_up(p);
    assert_int_equal(session_deadline(&p->agent.s).ns, at(11).ns);
    assert_int_equal(session_tick(&p->agent.s, at(10)), 0);
    assert_int_equal(p->agent.wire.len, 0);
    assert_int_equal(session_tick(&p->agent.s, at(11)), 0);
    assert_int_equal(p->agent.wire.len, TUNNEL_HEADER + 8);
    assert_int_equal(session_deadline(&p->agent.s).ns, at(21).ns);
    assert_true(move(&p->agent, &p->relay, at(12)));
    assert_int_equal(session_deadline(&p->relay.s).ns, at(42).ns);
    assert_true(move(&p->relay, &p->agent, at(13))); /* PONG */
    /* The relay says nothing more: pings go out, then the agent gives up. */
    assert_int_equal(session_tick(&p->agent.s, at(22)), 0);
    p->agent.full = true;
    assert_int_equal(session_tick(&p->agent.s, at(32)), 0);
    assert_int_equal(session_tick(&p->agent.s, at(42)), 0);
    assert_int_equal(session_tick(&p->agent.s, at(43)), SESSION_SILENT);
    assert_int_equal(session_tick(&p->relay.s, at(41)), 0);
    assert_int_equal(session_tick(&p->relay.s, at(42)), SESSION_SILENT);
}

/* Five seconds for HELLO and WELCOME, and dripping bytes buy no more. */
static void slow_greeting(void **state)
{
    struct pair *p = *state;
    bool bad;
    assert_int_equal(session_deadline(&p->relay.s).ns, at(5).ns);
    assert_int_equal(session_input(&p->relay.s, at(4), S("\x01"), &bad), 0);
    assert_int_equal(session_tick(&p->relay.s, at(5)), SESSION_SILENT);
    p->relay.answer = ANSWER_NONE;
    assert_int_equal(session_send_hello(&p->agent.s, &hello), 0);
    assert_int_equal(session_tick(&p->agent.s, at(5)), SESSION_SILENT);
}

static void feed_bad(struct side *to, enum frame_type type, struct slice payload)
{
    struct buf b = BUF_MAX(6000);
    bool bad;
    frame_bytes(&b, type, payload);
    assert_int_equal(session_input(&to->s, at(1), buf_slice(&b), &bad), 0);
    assert_true(bad);
    buf_deinit(&b);
}

static void frames_out_of_place(void **state)
{
    struct pair *p = *state;
    static const char zeros[64] = {0}, welcome[20] = {0, 1};
    feed_bad(&p->relay, FRAME_PING, slice_of(zeros, 8)); /* before HELLO */
    feed_bad(&p->relay, FRAME_WELCOME, slice_of(zeros, 20));
    feed_bad(&p->relay, FRAME_HELLO, slice_of("\0\2\0\4\0\0", 6)); /* version 2 */
    feed_bad(&p->agent, FRAME_WELCOME, slice_of(welcome, 20));     /* before HELLO was sent */
    assert_int_equal(session_send_legs(&p->relay.s, 1), -EPROTO);
    assert_int_equal(session_send_hello(&p->relay.s, &hello), -EPROTO);
    come_up(p);
    assert_int_equal(session_send_hello(&p->agent.s, &hello), -EPROTO);
    feed_bad(&p->relay, FRAME_HELLO, slice_of("\0\1\0\4\0\0", 6)); /* twice */
    feed_bad(&p->relay, FRAME_LEGS, slice_of(zeros, 2));           /* the relay's to say */
    feed_bad(&p->agent, FRAME_LEGS, slice_of(zeros, 3));
    feed_bad(&p->agent, FRAME_DATA, S("x")); /* a leg's */
    assert_int_equal(p->relay.hellos, 1);
}

static void numbers_are_taken_once(void **state)
{
    (void)state;
    struct number_window w = {.any = false};
    assert_true(number_take(&w, 0));
    assert_false(number_take(&w, 0));
    assert_true(number_take(&w, 5));
    assert_true(number_take(&w, 4)); /* overtaken */
    assert_false(number_take(&w, 5));
    assert_true(number_take(&w, NUMBER_WINDOW + 4));
    assert_false(number_take(&w, 4)); /* too old now */
    assert_true(number_take(&w, 6));
    assert_true(number_take(&w, UINT64_MAX));
    assert_false(number_take(&w, UINT64_MAX));
    assert_false(number_take(&w, 7));
    assert_true(number_take(&w, UINT64_MAX - NUMBER_WINDOW + 1));
}

static void numbers_against_a_model(void **state)
{
    (void)state;

    enum { N = 4096, TRIES = 20000 };

    static bool seen[N];
    struct number_window w = {.any = false};
    uint64_t highest = 0;
    for (int i = 0; i < TRIES; i++) {
        uint16_t random[2];
        secret_random(random, sizeof random);
        uint64_t base = (uint64_t)i * (N - 200) / TRIES,
                 n = base + random[0] % (random[1] % 8 ? 60u : 200u);
        bool want = !seen[n] && (n > highest || highest - n < NUMBER_WINDOW || !i);
        assert_int_equal(number_take(&w, n), want);
        seen[n] = seen[n] || want;
        highest = n > highest ? n : highest;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages, setup, teardown),
        cmocka_unit_test_setup_teardown(token_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(pings_and_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_greeting, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_out_of_place, setup, teardown),
        cmocka_unit_test(numbers_are_taken_once),
        cmocka_unit_test(numbers_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
