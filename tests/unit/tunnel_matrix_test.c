/*
 * Every call and every frame in every state of a leg and of a session, against a table of what may
 * be when: what is not allowed changes nothing, and so does what the channel does not take.
 */
#include <errno.h>

#include "tests/unit/support/test.h"
#include "tunnel/session.h"
#include "tunnel/token.h"

static int channel_says; /* 0, BUF_FULL, -EIO */
static int heard;        /* callbacks */

static int channel(void *ctx, struct slice plain)
{
    (void)ctx;
    assert_true(plain.n >= TUNNEL_HEADER);
    return channel_says;
}

static const struct seal seal = {channel, NULL};

/* ---- the leg ---- */

static void on_open(void *arg, const struct frame_open *open)
{
    (void)arg, (void)open;
    heard++;
}

static void on_signal(void *arg)
{
    (void)arg;
    heard++;
}

static void on_code(void *arg, uint8_t code)
{
    (void)arg, (void)code;
    heard++;
}

static bool on_data(void *arg, struct slice data)
{
    (void)arg, (void)data;
    heard++;
    return true;
}

static const struct leg_ops leg_ops = {on_open, on_signal, on_code, on_data, on_signal, on_code};
static const struct frame_open an_open = {
    .connection = 7, .name = {"a.example", 9}, .hello = {"hello", 5}};

static int send_open(struct leg *l)
{
    return leg_send_open(l, &an_open);
}

static int send_refuse(struct leg *l)
{
    return leg_send_refuse(l, REFUSE_SNI);
}

static int send_data(struct leg *l)
{
    return leg_send_data(l, S("x"));
}

static int send_reset(struct leg *l)
{
    return leg_send_reset(l, END_TIME);
}

#define IN(state)      (1u << (state))
#define BOTH           (1u << LEG_RELAY | 1u << LEG_AGENT)
#define ONLY(role)     (1u << (role))
#define LEG_STATES     (LEG_ENDED + 1)
#define SESSION_STATES (SESSION_ENDED + 1)

static const struct {
    int (*send)(struct leg *l);
    unsigned roles, states;
    bool needs_open_end; /* not after our EOF */
    enum leg_state after;
} leg_sends[] = {
    {send_open, ONLY(LEG_RELAY), IN(LEG_PARKED), false, LEG_OPENING},
    {leg_send_accept, ONLY(LEG_AGENT), IN(LEG_OPENING), false, LEG_FLOWING},
    {send_refuse, ONLY(LEG_AGENT), IN(LEG_OPENING), false, LEG_ENDED},
    {send_data, BOTH, IN(LEG_FLOWING), true, LEG_FLOWING},
    {leg_send_eof, BOTH, IN(LEG_FLOWING), true, LEG_FLOWING},
    {send_reset, BOTH, IN(LEG_OPENING) | IN(LEG_FLOWING), false, LEG_ENDED},
};

static void put(struct leg *l, enum leg_role role, enum leg_state state, bool eof)
{
    leg_deinit(l);
    leg_init(l, role, seal, &leg_ops, NULL);
    l->state = state;
    l->connection = 7;
    l->eof_in = l->eof_out = eof;
}

static void leg_calls(void **state)
{
    static const int answers[] = {0, BUF_FULL, -EIO};
    struct leg l = {.state = LEG_PARKED};
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(leg_sends) * 2 * LEG_STATES * 2 * 3; i++) {
        size_t call = i / (2 * LEG_STATES * 2 * 3);
        enum leg_role role = i / (LEG_STATES * 2 * 3) % 2;
        enum leg_state from = i / (2 * 3) % LEG_STATES;
        bool eof = i / 3 % 2;
        put(&l, role, from, eof);
        channel_says = answers[i % 3];
        bool allowed = leg_sends[call].roles >> role & 1 && leg_sends[call].states >> from & 1 &&
                       !(eof && leg_sends[call].needs_open_end);
        int rc = leg_sends[call].send(&l);
        assert_int_equal(rc, allowed ? channel_says : -EPROTO);
        assert_int_equal(l.state, rc ? from : leg_sends[call].after);
        assert_int_equal(l.bytes_out, !rc && call == 3 ? 1 : 0);
        assert_int_equal(l.eof_out, eof || (!rc && call == 4));
    }
    leg_deinit(&l);
}

static const char seven[8] = {0, 0, 0, 0, 0, 0, 0, 7}, refusal[9] = {0, 0, 0, 0, 0, 0, 0, 7, 1};

static void write_open(struct buf *b)
{
    frame_open(b, &an_open);
}

static void write_frame(struct buf *b, enum frame_type type, const char *p, size_t n)
{
    frame_bytes(b, type, slice_of(p, n));
}

static const struct {
    enum frame_type type;
    const char *payload;
    size_t n;
    unsigned roles, states;
    bool needs_open_end;
    enum leg_state after;
} leg_frames[] = {
    {FRAME_OPEN, NULL, 0, ONLY(LEG_AGENT), IN(LEG_PARKED), false, LEG_OPENING},
    {FRAME_ACCEPT, seven, 8, ONLY(LEG_RELAY), IN(LEG_OPENING), false, LEG_FLOWING},
    {FRAME_REFUSE, refusal, 9, ONLY(LEG_RELAY), IN(LEG_OPENING), false, LEG_ENDED},
    {FRAME_DATA, "x", 1, BOTH, IN(LEG_FLOWING), true, LEG_FLOWING},
    {FRAME_EOF, "", 0, BOTH, IN(LEG_FLOWING), true, LEG_FLOWING},
    {FRAME_RESET, "\1", 1, BOTH, IN(LEG_OPENING) | IN(LEG_FLOWING), false, LEG_ENDED},
    {FRAME_SWITCH, "", 0, 0, 0, false, LEG_PARKED},
};

static void leg_input_in_every_state(void **state)
{
    struct leg l = {.state = LEG_PARKED};
    struct buf b = BUF_MAX(TUNNEL_OPEN_MAX);
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(leg_frames) * 2 * LEG_STATES * 2; i++) {
        size_t frame = i / (2 * LEG_STATES * 2);
        enum leg_role role = i / (LEG_STATES * 2) % 2;
        enum leg_state from = i / 2 % LEG_STATES;
        bool eof = i % 2, bad = false;
        put(&l, role, from, eof);
        buf_clear(&b);
        if (leg_frames[frame].payload) {
            write_frame(&b, leg_frames[frame].type, leg_frames[frame].payload, leg_frames[frame].n);
        } else {
            write_open(&b);
        }
        bool allowed = leg_frames[frame].roles >> role & 1 &&
                       leg_frames[frame].states >> from & 1 &&
                       !(eof && leg_frames[frame].needs_open_end);
        heard = 0;
        size_t used = leg_input(&l, buf_slice(&b), &bad);
        if (from == LEG_ENDED) { /* nothing is read any more */
            assert_true(!bad && used == b.len && !heard);
            continue;
        }
        assert_int_equal(bad, !allowed);
        assert_int_equal(used, allowed ? b.len : 0);
        assert_int_equal(heard, allowed);
        assert_int_equal(l.state, allowed ? leg_frames[frame].after : from);
    }
    leg_deinit(&l);
    buf_deinit(&b);
}

/* Every frame cut short or with a byte too many is a broken protocol, not a guess. */
static void leg_payloads(void **state)
{
    static const struct {
        enum frame_type type;
        const char *p;
        size_t n;
        enum leg_role role;
        enum leg_state from;
    } bad[] = {
        {FRAME_OPEN, seven, 8, LEG_AGENT, LEG_PARKED},
        {FRAME_ACCEPT, seven, 7, LEG_RELAY, LEG_OPENING},
        {FRAME_ACCEPT, refusal, 9, LEG_RELAY, LEG_OPENING},
        {FRAME_REFUSE, seven, 8, LEG_RELAY, LEG_OPENING},
        {FRAME_RESET, seven, 2, LEG_RELAY, LEG_FLOWING},
        {FRAME_RESET, "", 0, LEG_AGENT, LEG_OPENING},
        {FRAME_DATA, "", 0, LEG_AGENT, LEG_FLOWING},
        {FRAME_EOF, "x", 1, LEG_AGENT, LEG_FLOWING},
    };
    struct leg l = {.state = LEG_PARKED};
    struct buf b = BUF_MAX(100);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        bool broken = false;
        put(&l, bad[i].role, bad[i].from, false);
        buf_clear(&b);
        write_frame(&b, bad[i].type, bad[i].p, bad[i].n);
        assert_int_equal(leg_input(&l, buf_slice(&b), &broken), 0);
        assert_true(broken);
        assert_int_equal(l.state, bad[i].from);
    }
    put(&l, LEG_RELAY, LEG_FLOWING, false);
    assert_false(leg_done(&l));
    l.eof_in = true;
    assert_false(leg_done(&l));
    l.eof_out = true;
    assert_true(leg_done(&l));
    leg_deinit(&l);
    buf_deinit(&b);
}

/* A hello that does not fit into an OPEN is said to be so, and nothing is sent. */
static void an_open_too_large(void **state)
{
    static char large[TUNNEL_OPEN_MAX];
    struct leg l = {.state = LEG_PARKED};
    struct frame_open open = an_open;
    (void)state;
    put(&l, LEG_RELAY, LEG_PARKED, false);
    open.hello = slice_of(large, sizeof large);
    channel_says = 0;
    assert_int_equal(leg_send_open(&l, &open), -EMSGSIZE);
    assert_int_equal(l.state, LEG_PARKED);
    leg_deinit(&l);
}

/* ---- the session ---- */

static void on_hello(void *arg, const struct frame_hello *f)
{
    (void)arg, (void)f;
    heard++;
}

static void on_welcome(void *arg, const struct frame_welcome *f)
{
    (void)arg, (void)f;
    heard++;
}

static void on_legs(void *arg, uint16_t more)
{
    (void)arg, (void)more;
    heard++;
}

static void on_closed(void *arg, const struct frame_closed *f)
{
    (void)arg, (void)f;
    heard++;
}

static void on_drain(void *arg, uint32_t seconds)
{
    (void)arg, (void)seconds;
    heard++;
}

static void on_bye(void *arg, uint8_t reason, struct slice text)
{
    (void)arg, (void)reason, (void)text;
    heard++;
}

static const struct session_ops session_ops = {on_hello,  on_welcome, on_legs,
                                               on_closed, on_drain,   on_bye};
static const struct frame_hello a_hello = {.version = TUNNEL_VERSION, .token = {"t", 1}};
static const struct frame_welcome a_welcome = {.version = TUNNEL_VERSION};
static const struct frame_closed a_closed = {.connection = 7};

static int send_hello(struct session *s)
{
    return session_send_hello(s, &a_hello);
}

static int send_welcome(struct session *s)
{
    return session_send_welcome(s, &a_welcome);
}

static int send_legs(struct session *s)
{
    return session_send_legs(s, 1);
}

static int send_closed(struct session *s)
{
    return session_send_closed(s, &a_closed);
}

static int send_drain(struct session *s)
{
    return session_send_drain(s, 10);
}

static int send_bye(struct session *s)
{
    return session_send_bye(s, END_TIME, "why");
}

#define ALIVE (IN(SESSION_NEW) | IN(SESSION_GREETING) | IN(SESSION_UP))

static const struct {
    int (*send)(struct session *s);
    unsigned roles, states;
    enum session_state after;
} session_sends[] = {
    {send_hello, ONLY(SESSION_AGENT), IN(SESSION_NEW), SESSION_GREETING},
    {send_welcome, ONLY(SESSION_RELAY), IN(SESSION_GREETING), SESSION_UP},
    {send_legs, ONLY(SESSION_RELAY), IN(SESSION_UP), SESSION_UP},
    {send_closed, ONLY(SESSION_RELAY), IN(SESSION_UP), SESSION_UP},
    {send_drain, ONLY(SESSION_RELAY), IN(SESSION_UP), SESSION_UP},
    {send_bye, BOTH, ALIVE, SESSION_ENDED},
};

static const struct mono start = {SECONDS(100)};

static void session_calls(void **state)
{
    static const int answers[] = {0, BUF_FULL, -EIO};
    struct session s;
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(session_sends) * 2 * SESSION_STATES * 3; i++) {
        size_t call = i / (2 * SESSION_STATES * 3);
        enum session_role role = i / (SESSION_STATES * 3) % 2;
        enum session_state from = i / 3 % SESSION_STATES;
        session_init(&s, role, seal, &session_ops, NULL, start);
        s.state = from;
        channel_says = answers[i % 3];
        bool allowed =
            session_sends[call].roles >> role & 1 && session_sends[call].states >> from & 1;
        int rc = session_sends[call].send(&s);
        assert_int_equal(rc, allowed ? channel_says : -EPROTO);
        assert_int_equal(s.state, rc ? from : session_sends[call].after);
    }
}

static void w_hello(struct buf *b)
{
    frame_hello(b, &a_hello);
}

static void w_welcome(struct buf *b)
{
    frame_welcome(b, &a_welcome);
}

static void w_legs(struct buf *b)
{
    frame_u16(b, FRAME_LEGS, 1);
}

static void w_ping(struct buf *b)
{
    frame_u64(b, FRAME_PING, 1);
}

static void w_pong(struct buf *b)
{
    frame_u64(b, FRAME_PONG, 1);
}

static void w_closed(struct buf *b)
{
    frame_closed(b, &a_closed);
}

static void w_drain(struct buf *b)
{
    frame_u32(b, FRAME_DRAIN, 1);
}

static void w_bye(struct buf *b)
{
    frame_bye(b, END_TIME, "why");
}

static const struct {
    void (*write)(struct buf *b);
    unsigned roles, states;
    enum session_state after;
    bool silent; /* no callback */
} session_frames[] = {
    {w_hello, ONLY(SESSION_RELAY), IN(SESSION_NEW), SESSION_GREETING, false},
    {w_welcome, ONLY(SESSION_AGENT), IN(SESSION_GREETING), SESSION_UP, false},
    {w_legs, ONLY(SESSION_AGENT), IN(SESSION_UP), SESSION_UP, false},
    {w_ping, BOTH, IN(SESSION_UP), SESSION_UP, true},
    {w_pong, BOTH, IN(SESSION_UP), SESSION_UP, true},
    {w_closed, ONLY(SESSION_AGENT), IN(SESSION_UP), SESSION_UP, false},
    {w_drain, ONLY(SESSION_AGENT), IN(SESSION_UP), SESSION_UP, false},
    {w_bye, BOTH, ALIVE, SESSION_ENDED, false},
};

/* One frame in one state; cut: so many bytes are missing from its payload's end. */
static void feed(size_t frame, enum session_role role, enum session_state from, bool cut)
{
    struct session s;
    struct buf b = BUF_MAX(TUNNEL_SMALL_MAX);
    bool bad = false;
    session_init(&s, role, seal, &session_ops, NULL, start);
    s.state = from;
    session_frames[frame].write(&b);
    if (cut) {
        buf_truncate(&b, b.len - 1);
        b.p[b.head + 3]--; /* the low byte of the length */
    }
    bool allowed =
        session_frames[frame].roles >> role & 1 && session_frames[frame].states >> from & 1;
    heard = 0;
    size_t used = session_input(&s, start, buf_slice(&b), &bad);
    if (from == SESSION_ENDED) {
        assert_true(!bad && used == b.len && !heard);
    } else {
        allowed = allowed && !cut;
        assert_int_equal(bad, !allowed);
        assert_int_equal(used, allowed ? b.len : 0);
        assert_int_equal(heard, allowed && !session_frames[frame].silent);
        assert_int_equal(s.state, allowed ? session_frames[frame].after : from);
    }
    buf_deinit(&b);
}

static void session_input_in_every_state(void **state)
{
    (void)state;
    channel_says = 0;
    for (unsigned i = 0; i < ARRAY_LEN(session_frames) * 2 * SESSION_STATES * 2; i++) {
        feed(i / (2 * SESSION_STATES * 2), i / (SESSION_STATES * 2) % 2, i / 2 % SESSION_STATES,
             i % 2);
    }
}

/* A PONG that finds no room is let go; one that finds the channel broken ends the session. */
static void a_pong_without_room(void **state)
{
    static const int answers[] = {BUF_FULL, -EIO};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct session s;
        struct buf b = BUF_MAX(100);
        bool bad = false;
        session_init(&s, SESSION_RELAY, seal, &session_ops, NULL, start);
        s.state = SESSION_UP;
        w_ping(&b);
        channel_says = answers[i];
        session_input(&s, start, buf_slice(&b), &bad);
        assert_int_equal(bad, answers[i] < 0);
        buf_deinit(&b);
    }
    channel_says = 0;
}

static void a_broken_channel_shows_in_the_tick(void **state)
{
    struct session s;
    (void)state;
    session_init(&s, SESSION_AGENT, seal, &session_ops, NULL, start);
    s.state = SESSION_UP;
    channel_says = -EIO;
    assert_int_equal(session_tick(&s, mono_after(start, SESSION_PING_NS)), -EIO);
    channel_says = 0;
    /* An unanswered PING: silence comes before the next one is due. */
    s.asked = mono_after(start, SESSION_SILENCE_NS);
    assert_int_equal(session_deadline(&s).ns, mono_after(start, SESSION_SILENCE_NS).ns);
}

static void a_token_of_another_version(void **state)
{
    struct token t = {.node = {"n", 1}, .relay = {"r", 1}}, got;
    struct buf payload = BUF_MAX(200), text = BUF_MAX(500), out = BUF_MAX(200), tiny = BUF_MAX(4);
    uint8_t signature[64] = {0}, back[64];
    (void)state;
    token_payload(&payload, &t);
    token_join(&text, buf_slice(&payload), signature);
    assert_true(token_split(buf_slice(&text), &out, back, &got));
    assert_false(token_split(buf_slice(&text), &tiny, back, &got)); /* more than the caller takes */
    buf_clear(&text);
    buf_clear(&out);
    payload.p[payload.head] = 2;
    token_join(&text, buf_slice(&payload), signature);
    assert_false(token_split(buf_slice(&text), &out, back, &got));
    buf_clear(&text);
    buf_clear(&out);
    payload.p[payload.head] = 1;
    token_join(&text, buf_slice(&payload), signature);
    buf_truncate(&text, text.len - 4); /* a short signature */
    assert_false(token_split(buf_slice(&text), &out, back, &got));
    buf_deinit(&payload);
    buf_deinit(&text);
    buf_deinit(&out);
    buf_deinit(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leg_calls),
        cmocka_unit_test(leg_input_in_every_state),
        cmocka_unit_test(leg_payloads),
        cmocka_unit_test(an_open_too_large),
        cmocka_unit_test(session_calls),
        cmocka_unit_test(session_input_in_every_state),
        cmocka_unit_test(a_pong_without_room),
        cmocka_unit_test(a_broken_channel_shows_in_the_tick),
        cmocka_unit_test(a_token_of_another_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
