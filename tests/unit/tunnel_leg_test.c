/* Two legs back to back: the ways a visitor's connection goes, and frames out of place. */
#include <errno.h>

#include "tests/unit/support/test.h"
#include "tunnel/leg.h"

struct side {
    struct leg leg;
    struct buf wire; /* what it has sent */
    bool full, opened, accepted, eof, busy;
    int refused, reset;
    struct buf got;
    struct frame_open open;
};

static int seal(void *ctx, struct slice plain)
{
    struct side *s = ctx;
    return s->full ? BUF_FULL : buf_push(&s->wire, plain) ? -ENOBUFS : 0;
}

static void on_open(void *arg, const struct frame_open *open)
{
    struct side *s = arg;
    s->opened = true;
    s->open = *open;
    s->open.name = S("");
    s->open.hello = S("");
}

static void on_accept(void *arg)
{
    ((struct side *)arg)->accepted = true;
}

static void on_refuse(void *arg, uint8_t reason)
{
    ((struct side *)arg)->refused = reason;
}

static bool on_data(void *arg, struct slice data)
{
    struct side *s = arg;
    if (!s->busy) {
        buf_add(&s->got, data);
    }
    return !s->busy;
}

static void on_eof(void *arg)
{
    ((struct side *)arg)->eof = true;
}

static void on_reset(void *arg, uint8_t code)
{
    ((struct side *)arg)->reset = code;
}

static const struct leg_ops ops = {on_open, on_accept, on_refuse, on_data, on_eof, on_reset};

struct pair {
    struct side relay, agent;
};

static void begin(struct side *s, enum leg_role role)
{
    *s = (struct side){
        .wire = BUF_MAX(1 << 20), .got = BUF_MAX(1 << 20), .refused = -1, .reset = -1};
    leg_init(&s->leg, role, (struct seal){seal, s}, &ops, s);
}

static int setup(void **state)
{
    static struct pair p;
    begin(&p.relay, LEG_RELAY);
    begin(&p.agent, LEG_AGENT);
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    struct side *sides[] = {&p->relay, &p->agent};
    for (int i = 0; i < 2; i++) {
        leg_deinit(&sides[i]->leg);
        buf_deinit(&sides[i]->wire);
        buf_deinit(&sides[i]->got);
    }
    return 0;
}

/* Moves what `from` has sent, in pieces of `step` bytes; what is not taken comes again with more.
 */
static bool move(struct side *from, struct side *to, size_t step)
{
    bool bad = false;
    for (size_t have = step; from->wire.len && !bad; have += step) {
        struct slice part = slice_sub(buf_slice(&from->wire), 0, have);
        size_t used = leg_input(&to->leg, part, &bad);
        assert_true(used <= part.n);
        buf_consume(&from->wire, used);
        have -= used < have ? used : have;
        if (!used && part.n == from->wire.len) {
            break;
        }
    }
    return !bad;
}

static const struct frame_open the_open = {
    .connection = 42, .public_port = 443, .name = {"a.example", 9}, .hello = {"hello", 5}};

static void open_and_accept(struct pair *p)
{
    assert_int_equal(leg_send_open(&p->relay.leg, &the_open), 0);
    assert_true(move(&p->relay, &p->agent, 1));
    assert_true(p->agent.opened);
    assert_int_equal(p->agent.open.connection, 42);
    assert_int_equal(leg_send_accept(&p->agent.leg), 0);
    assert_true(move(&p->agent, &p->relay, 3));
    assert_true(p->relay.accepted);
}

static void data_both_ways_then_eof(void **state)
{
    struct pair *p = *state;
    open_and_accept(p);
    assert_int_equal(leg_send_data(&p->relay.leg, S("to node")), 0);
    assert_int_equal(leg_send_eof(&p->relay.leg), 0);
    assert_int_equal(leg_send_data(&p->relay.leg, S("late")), -EPROTO);
    assert_true(move(&p->relay, &p->agent, 2));
    assert_true(p->agent.eof);
    assert_slice(buf_slice(&p->agent.got), "to node");
    /* Half-closed: the answer still comes. */
    assert_false(leg_done(&p->relay.leg));
    assert_int_equal(leg_send_data(&p->agent.leg, S("to visitor")), 0);
    assert_int_equal(leg_send_eof(&p->agent.leg), 0);
    assert_true(move(&p->agent, &p->relay, 1000));
    assert_slice(buf_slice(&p->relay.got), "to visitor");
    assert_true(leg_done(&p->relay.leg) && leg_done(&p->agent.leg));
    assert_int_equal(p->relay.leg.bytes_out, 7);
    assert_int_equal(p->relay.leg.bytes_in, 10);
}

static void refused(void **state)
{
    struct pair *p = *state;
    assert_int_equal(leg_send_open(&p->relay.leg, &the_open), 0);
    assert_true(move(&p->relay, &p->agent, 100));
    assert_int_equal(leg_send_refuse(&p->agent.leg, REFUSE_SNI), 0);
    assert_true(move(&p->agent, &p->relay, 100));
    assert_int_equal(p->relay.refused, REFUSE_SNI);
    assert_true(leg_done(&p->relay.leg));
    assert_int_equal(leg_send_data(&p->relay.leg, S("x")), -EPROTO);
}

static void reset_ends_both(void **state)
{
    struct pair *p = *state;
    open_and_accept(p);
    assert_int_equal(leg_send_reset(&p->agent.leg, END_BACKEND), 0);
    assert_true(move(&p->agent, &p->relay, 1));
    assert_int_equal(p->relay.reset, END_BACKEND);
    assert_int_equal(leg_send_reset(&p->relay.leg, END_CLEAN), -EPROTO);
}

static void reset_before_the_answer(void **state)
{
    struct pair *p = *state;
    assert_int_equal(leg_send_open(&p->relay.leg, &the_open), 0);
    assert_int_equal(leg_send_reset(&p->relay.leg, END_TIME), 0);
    assert_true(move(&p->relay, &p->agent, 1000));
    assert_int_equal(p->agent.reset, END_TIME);
    assert_int_equal(leg_send_accept(&p->agent.leg), -EPROTO);
}

static void no_room_loses_nothing(void **state)
{
    struct pair *p = *state;
    open_and_accept(p);
    assert_int_equal(leg_send_data(&p->relay.leg, S("one")), 0);
    assert_int_equal(leg_send_eof(&p->relay.leg), 0);
    p->agent.busy = true;
    assert_true(move(&p->relay, &p->agent, 1));
    assert_false(p->agent.eof); /* EOF does not overtake */
    assert_int_equal(p->agent.leg.bytes_in, 0);
    p->agent.busy = false;
    assert_true(move(&p->relay, &p->agent, 1));
    assert_slice(buf_slice(&p->agent.got), "one");
    assert_true(p->agent.eof);

    p->agent.full = true;
    assert_int_equal(leg_send_data(&p->agent.leg, S("two")), BUF_FULL);
    assert_int_equal(leg_send_eof(&p->agent.leg), BUF_FULL);
    assert_int_equal(p->agent.leg.bytes_out, 0);
    p->agent.full = false;
    assert_int_equal(leg_send_data(&p->agent.leg, S("two")), 0);
    assert_int_equal(leg_send_eof(&p->agent.leg), 0);
    assert_true(move(&p->agent, &p->relay, 5));
    assert_slice(buf_slice(&p->relay.got), "two");
}

static void feed_bad(struct side *to, enum frame_type type, struct slice payload)
{
    struct buf b = BUF_MAX(70000);
    bool bad;
    frame_bytes(&b, type, payload);
    assert_int_equal(leg_input(&to->leg, buf_slice(&b), &bad), 0);
    assert_true(bad);
    buf_deinit(&b);
}

static void frames_out_of_place(void **state)
{
    struct pair *p = *state;
    static const char id[9] = {0, 0, 0, 0, 0, 0, 0, 41, 0};
    /* parked */
    feed_bad(&p->agent, FRAME_DATA, S("x"));
    feed_bad(&p->agent, FRAME_RESET, slice_of(id, 1));
    feed_bad(&p->relay, FRAME_OPEN, S("x"));
    feed_bad(&p->relay, FRAME_ACCEPT, slice_of(id, 8));
    /* opening: another connection's answer, data before it */
    assert_int_equal(leg_send_open(&p->relay.leg, &the_open), 0);
    feed_bad(&p->relay, FRAME_ACCEPT, slice_of(id, 8));
    feed_bad(&p->relay, FRAME_REFUSE, slice_of(id, 9));
    feed_bad(&p->relay, FRAME_DATA, S("early"));
    assert_int_equal(leg_send_data(&p->relay.leg, S("early")), -EPROTO);
    assert_int_equal(leg_send_open(&p->relay.leg, &the_open), -EPROTO);
    p->relay.leg.state = LEG_PARKED;
    buf_clear(&p->relay.wire);
    open_and_accept(p);
    /* flowing */
    feed_bad(&p->agent, FRAME_DATA, S(""));
    feed_bad(&p->agent, FRAME_EOF, S("x"));
    feed_bad(&p->agent, FRAME_SWITCH, S("")); /* leg_sealing is "always" */
    feed_bad(&p->agent, FRAME_PING, slice_of(id, 8));
    assert_int_equal(leg_send_data(&p->agent.leg, S("")), -EPROTO);
    assert_int_equal(leg_send_eof(&p->relay.leg), 0);
    assert_true(move(&p->relay, &p->agent, 9));
    feed_bad(&p->agent, FRAME_DATA, S("after eof"));
    feed_bad(&p->agent, FRAME_EOF, S(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(data_both_ways_then_eof, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_ends_both, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_before_the_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(no_room_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_out_of_place, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
