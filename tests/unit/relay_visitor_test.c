/* Sessions, legs and visitors: whole visits, refusals, silence, lost rights, bulk. */
#include "tests/unit/support/relay_world.h"

/* ---- cases: agents ---- */

static void tokens_decide(void **state)
{
    (void)state;
    struct fake_agent a;
    uint8_t other[32], other_public[32];
    crypto_ed25519_keygen(other, other_public);
    struct buf tokens[] = {make_token("node1", "relay2", w.control_key),
                           make_token("node1", "relay1", other),
                           make_token("", "relay1", w.control_key)};
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        agent_dial(&a, buf_slice(&tokens[i]));
        WAIT_FOR(a.closed);
        assert_int_equal(a.bye, END_TOKEN);
        assert_false(a.up);
        agent_end(&a);
        buf_deinit(&tokens[i]);
    }
    w.spki[0] ^= 1; /* a token for another transport key */
    struct buf stolen = make_token("node1", "relay1", w.control_key);
    w.spki[0] ^= 1;
    agent_dial(&a, buf_slice(&stolen));
    WAIT_FOR(a.closed);
    assert_int_equal(a.bye, END_TOKEN);
    agent_end(&a);
    buf_deinit(&stolen);
    assert_null(rsession_find(&w.r, "node1"));
}

static void legs_belong_to_sessions(void **state)
{
    (void)state;
    struct fake_agent a, b;
    agent_up(&a);
    struct tls_session *ticket = a.ticket;
    a.ticket = NULL;
    struct fake_leg *bare = leg_dial(&a, LEG_ECHO, 1); /* full handshake: refused */
    WAIT_FOR(bare->closed);
    a.ticket = ticket;
    struct fake_leg *good = leg_up(&a, LEG_ECHO);
    struct fake_leg *again = leg_dial(&a, LEG_ECHO, 1); /* good's number */
    WAIT_FOR(again->closed);
    assert_false(good->closed);
    uint8_t id = a.id[0];
    a.id[0] ^= 1;
    struct fake_leg *liar = leg_dial(&a, LEG_ECHO, 20); /* JOIN names another session */
    a.id[0] = id;
    WAIT_FOR(liar->closed);
    assert_int_equal(parked(), 1);

    agent_up(&b); /* the same node anew */
    WAIT_FOR(a.closed && good->closed);
    assert_int_equal(a.bye, END_REPLACED);
    struct fake_leg *late = leg_dial(&a, LEG_ECHO, 21); /* ticket of a dead session */
    WAIT_FOR(late->closed);
    assert_int_equal(parked(), 0);
    leg_up(&b, LEG_ECHO);
    agent_end(&a);
    agent_end(&b);
    assert_null(rsession_find(&w.r, "node1"));
}

/* ---- cases: visitors ---- */

static void a_visit(void **state)
{
    (void)state;
    struct fake_agent a;
    struct caller c;
    agent_up(&a);
    struct fake_leg *l = leg_up(&a, LEG_ECHO);
    call_raw(&c, w.port);
    c.hello = make_hello("LAPTOP.Pango-Lin.ts.example.net");
    for (size_t i = 0; i < c.hello.len; i++) { /* byte by byte */
        assert_int_equal(stream_write(c.s, slice_sub(buf_slice(&c.hello), i, 1)), 0);
        assert_int_equal(loop_turn(w.r.lp, 0), 0);
    }
    WAIT_FOR(l->opened);
    assert_string_equal(l->name, NAME);
    assert_int_equal(l->open.public_port, 443);
    assert_memory_equal(l->open.address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
    struct addr mine;
    assert_true(sock_local(stream_fd(c.s), &mine));
    assert_int_equal(l->open.visitor_port, addr_port(&mine));
    assert_int_equal(l->hello.len, c.hello.len);
    assert_memory_equal(buf_slice(&l->hello).p, buf_slice(&c.hello).p, c.hello.len);

    assert_int_equal(stream_write(c.s, S("ping")), 0);
    WAIT_FOR(c.got.len == 4);
    stream_shutdown(c.s); /* half-closed: FIN goes to the node, its FIN comes back */
    WAIT_FOR(c.eof);
    WAIT_FOR(l->closed);
    WAIT_FOR(a.report.connection);
    assert_int_equal(a.report.connection, l->open.connection);
    assert_int_equal(a.report.to_node, 4);
    assert_int_equal(a.report.to_visitor, 4);
    assert_int_equal(a.report.reason, END_CLEAN);
    hang_up(&c);
    agent_end(&a);
    assert_int_equal(w.r.open_count, 0);
}

static void bulk_both_ways(void **state)
{
    (void)state;
    struct fake_agent a;
    struct caller c;
    agent_up(&a);
    struct fake_leg *l = leg_up(&a, LEG_ECHO);
    call(&c, NAME);
    WAIT_FOR(l->opened);
    stream_pause(c.s, true); /* a visitor that does not read: everything stops, nothing is lost */
    c.to_send = BULK;
    caller_push(&c);
    pass_time(MS(300));
    assert_true(c.sent < BULK);
    stream_pause(c.s, false);
    WAIT_FOR(c.eof);
    assert_int_equal(c.got.len, BULK);
    for (size_t i = 0; i < BULK; i++) {
        if (buf_slice(&c.got).p[i] != pattern_at(i)) {
            fail_msg("byte %zu differs", i);
        }
    }
    WAIT_FOR(a.report.connection);
    assert_int_equal(a.report.to_node, BULK);
    assert_int_equal(a.report.to_visitor, BULK);
    hang_up(&c);
    agent_end(&a);
}

static void refusal_and_reset(void **state)
{
    (void)state;
    struct fake_agent a;
    struct caller c;
    agent_up(&a);
    leg_up(&a, LEG_REFUSES);
    call(&c, NAME);
    expect_alert(&c);
    hang_up(&c);

    struct fake_leg *l = leg_up(&a, LEG_KEEPS);
    call(&c, NAME);
    WAIT_FOR(l->opened);
    assert_int_equal(leg_send_reset(&l->proto, END_BACKEND), 0);
    WAIT_FOR(c.closed);
    assert_int_equal(c.why, -ECONNRESET);
    assert_int_equal(a.report.reason, END_BACKEND);
    hang_up(&c);

    l = leg_up(&a, LEG_KEEPS);
    call(&c, NAME);
    WAIT_FOR(l->opened);
    pass_time(MS(30));
    sock_reset_on_close(stream_fd(c.s)); /* RST from the visitor */
    stream_close(c.s, 0);
    WAIT_FOR(l->reset == END_PEER_RESET);
    hang_up(&c);

    l = leg_up(&a, LEG_KEEPS);
    call(&c, NAME);
    WAIT_FOR(l->opened);
    stream_close(l->s, 0); /* FIN without EOF */
    WAIT_FOR(c.closed);
    assert_int_equal(c.why, -ECONNRESET);
    hang_up(&c);
    agent_end(&a);
    assert_int_equal(w.r.open_count, 0);
}

static void silent_legs_are_replaced(void **state)
{
    (void)state;
    struct fake_agent a;
    struct caller c;
    agent_up(&a);
    struct fake_leg *dead = leg_up(&a, LEG_SILENT), *good = leg_up(&a, LEG_ECHO);
    call(&c, NAME);
    WAIT_FOR(good->opened);
    assert_true(dead->opened);
    assert_int_equal(good->hello.len, c.hello.len); /* the same hello again */
    assert_int_equal(good->open.connection, dead->open.connection);
    WAIT_FOR(dead->closed);
    assert_int_equal(stream_write(c.s, S("ping")), 0);
    WAIT_FOR(c.got.len == 4);
    hang_up(&c);

    struct mono begin = mono_now();
    for (int i = 0; i < 4; i++) {
        dead = leg_up(&a, LEG_SILENT);
    }
    call(&c, NAME);
    expect_alert(&c);
    int64_t took = mono_now().ns - begin.ns;
    assert_true(took > MS(2900) && took < MS(5000));
    assert_false(dead->opened); /* three are enough */
    hang_up(&c);
    agent_end(&a);
}

static void legs_on_demand(void **state)
{
    (void)state;
    struct fake_agent a;
    struct caller c, d;
    agent_up(&a);
    call(&c, NAME);
    call(&d, NAME);
    WAIT_FOR(a.legs_wanted == 2);
    struct fake_leg *l = leg_dial(&a, LEG_KEEPS, 100), *m = leg_dial(&a, LEG_KEEPS, 99);
    WAIT_FOR(l->opened && m->opened);
    hang_up(&d);
    hang_up(&c);
    agent_end(&a);
    /* A session that is lost while a visitor waits: the next one serves it. */
    agent_up(&a);
    call(&c, NAME);
    WAIT_FOR(a.legs_wanted == 1);
    agent_end(&a);
    agent_up(&a);
    l = leg_dial(&a, LEG_KEEPS, 1);
    WAIT_FOR(l->opened);
    hang_up(&c);
    agent_end(&a);
}

static void lost_right(void **state)
{
    (void)state;
    struct fake_agent a;
    struct caller c;
    agent_up(&a);
    struct fake_leg *l = leg_up(&a, LEG_KEEPS);
    call(&c, NAME);
    WAIT_FOR(l->opened);
    pass_time(MS(20));
    control_says("{\"type\":\"delta\",\"version\":2,\"set\":[{\"name\":\"" NAME
                 "\",\"ports\":[8443],\"node\":\"node1\"}]}");
    WAIT_FOR(c.closed && l->reset == END_REVOKED);
    assert_int_equal(c.why, -ECONNRESET);
    hang_up(&c);
    call(&c, NAME);
    expect_alert(&c);
    hang_up(&c);
    control_says("{\"type\":\"delta\",\"version\":3,\"set\":[{\"name\":\"" NAME
                 "\",\"ports\":[443],\"node\":\"node1\"}]}");
    l = leg_up(&a, LEG_KEEPS);
    call(&c, NAME); /* the right is back */
    WAIT_FOR(l->opened);
    pass_time(MS(20));
    control_says("{\"type\":\"delta\",\"version\":4,\"remove\":[\"" NAME "\"]}");
    WAIT_FOR(c.closed);
    hang_up(&c);
    agent_end(&a);
}

static void stale_routes_serve_nobody(void **state)
{
    (void)state;
    struct fake_agent a;
    struct caller c;
    agent_up(&a);
    leg_up(&a, LEG_KEEPS);
    w.r.routes.heard.s -= 86400 + 5;
    call(&c, NAME);
    expect_alert(&c);
    hang_up(&c);
    agent_end(&a);
}

static void running_visitors_outlive_sessions(void **state)
{
    (void)state;
    struct fake_agent a, b;
    struct caller c;
    agent_up(&a);
    struct fake_leg *l = leg_up(&a, LEG_ECHO);
    call(&c, NAME);
    WAIT_FOR(l->opened);
    agent_up(&b);
    WAIT_FOR(a.closed);
    assert_int_equal(stream_write(c.s, S("still here")), 0);
    WAIT_FOR(c.got.len == 10);
    stream_shutdown(c.s);
    WAIT_FOR(b.report.connection); /* told to the session that lives */
    hang_up(&c);
    agent_end(&a);
    agent_end(&b);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        CASE(tokens_decide),
        CASE(legs_belong_to_sessions),
        CASE(a_visit),
        CASE(bulk_both_ways),
        CASE(refusal_and_reset),
        CASE(silent_legs_are_replaced),
        CASE(legs_on_demand),
        CASE(lost_right),
        CASE(stale_routes_serve_nobody),
        CASE(running_visitors_outlive_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
