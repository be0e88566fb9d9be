/*
 * The relay in one loop with an agent and visitors made of the same libraries: what goes over the
 * sockets is real. Control is played by routes_apply().
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/data/crypto.h"
#include "relay/relay.h"
#include "tests/unit/support/test.h"
#include "tunnel/token.h"

#define NAME "laptop.pango-lin.ts.example.net"

enum { LEGS_MAX = 16, BULK = 32 * 1024 * 1024 /* more than all the sockets on the way can hold */ };

enum behaviour { LEG_ECHO, LEG_REFUSES, LEG_SILENT, LEG_KEEPS };

struct fake_leg {
    struct stream *s;
    struct leg proto;
    enum behaviour how;
    struct frame_open open;
    struct buf hello, got;
    char name[TEXT_NAME_SIZE];
    bool up, opened, closed, eof;
    int reset;
};

struct fake_agent {
    struct stream *s;
    struct session proto;
    struct tls_session *ticket;
    uint8_t id[TUNNEL_SESSION_ID];
    bool up, closed;
    int bye, legs_wanted;
    struct frame_closed report;
    struct fake_leg legs[LEGS_MAX];
    uint64_t leg_count;
};

struct world {
    struct relay r;
    struct tls_ctx *session_ctx, *leg_ctx;
    uint8_t control_key[32], control_public[32], spki[TLS_SPKI_SIZE];
    struct buf cert, key;
    uint16_t port, port8443, target_port;
    char dir[64];
};

static struct world w;

#define WAIT_FOR(expr)                                            \
    do {                                                          \
        bool done_ = false;                                       \
        for (int turns_ = 0; turns_ < 3000 && !done_; turns_++) { \
            assert_int_equal(loop_turn(w.r.lp, MS(5)), 0);        \
            done_ = (expr);                                       \
        }                                                         \
        if (!done_) {                                             \
            fail_msg("line %d: never came: %s", __LINE__, #expr); \
        }                                                         \
    } while (0)

static void pass_time(int64_t ns)
{
    struct mono end = mono_after(mono_now(), ns);
    while (!mono_reached(mono_now(), end)) {
        assert_int_equal(loop_turn(w.r.lp, MS(5)), 0);
    }
}

/* ---- the agent ---- */

static int seal_session(void *ctx, struct slice plain)
{
    struct fake_agent *a = ctx;
    return a->s ? stream_write(a->s, plain) : -EPIPE;
}

static void on_welcome(void *arg, const struct frame_welcome *f)
{
    struct fake_agent *a = arg;
    a->up = true;
    assert_int_equal(f->parked, RELAY_PARKED);
    memcpy(a->id, f->session_id, sizeof a->id);
}

static void on_legs(void *arg, uint16_t more)
{
    ((struct fake_agent *)arg)->legs_wanted += more;
}

static void on_report(void *arg, const struct frame_closed *closed)
{
    ((struct fake_agent *)arg)->report = *closed;
}

static void on_drain_frame(void *arg, uint32_t seconds)
{
    (void)arg, (void)seconds;
}

static void on_bye(void *arg, uint8_t reason, struct slice text)
{
    (void)text;
    ((struct fake_agent *)arg)->bye = reason;
}

static const struct session_ops session_ops = {.on_welcome = on_welcome,
                                               .on_legs = on_legs,
                                               .on_closed = on_report,
                                               .on_drain = on_drain_frame,
                                               .on_bye = on_bye};

static size_t agent_data(void *arg, struct slice data)
{
    struct fake_agent *a = arg;
    bool bad;
    size_t used = session_input(&a->proto, loop_now(w.r.lp), data, &bad);
    assert_false(bad);
    return used;
}

static void agent_close(void *arg, int why)
{
    struct fake_agent *a = arg;
    (void)why;
    a->s = NULL;
    a->closed = true;
}

static const struct stream_ops agent_ops = {.on_data = agent_data, .on_close = agent_close};

static int dial(uint16_t port)
{
    struct addr to;
    assert_true(addr_from_ip(S("127.0.0.1"), port, &to));
    int fd = sock_connect(&to);
    assert_true(fd >= 0);
    return fd;
}

static struct buf make_token(const char *node, const char *relay, const uint8_t key[32])
{
    struct buf payload = BUF_MAX(500), text = BUF_MAX(1000);
    uint8_t signature[64];
    struct token t = {.key_id = 1,
                      .not_before = {wall_now().s - 10},
                      .not_after = {wall_now().s + 3600},
                      .node = slice_str(node),
                      .relay = slice_str(relay)};
    memcpy(t.transport, w.spki, sizeof t.transport);
    token_payload(&payload, &t);
    assert_true(crypto_ed25519_sign(key, buf_slice(&payload), signature));
    token_join(&text, buf_slice(&payload), signature);
    buf_deinit(&payload);
    return text;
}

static void agent_dial(struct fake_agent *a, struct slice token)
{
    *a = (struct fake_agent){.bye = -1};
    a->s = stream_new(w.r.lp, dial(w.port), tls_client(w.session_ctx, "relay1.example.org"), S(""),
                      &agent_ops, NULL, a);
    session_init(&a->proto, SESSION_AGENT, (struct seal){seal_session, a}, &session_ops, a,
                 mono_now());
    struct frame_hello h = {.version = TUNNEL_VERSION, .parked = 4, .token = token};
    assert_int_equal(session_send_hello(&a->proto, &h), 0);
}

static void agent_up(struct fake_agent *a)
{
    struct buf token = make_token("node1", "relay1", w.control_key);
    agent_dial(a, buf_slice(&token));
    buf_deinit(&token);
    WAIT_FOR(a->up);
    a->ticket = tls_session_take(stream_tls(a->s));
    assert_non_null(a->ticket);
    assert_non_null(rsession_find(&w.r, "node1"));
}

static int seal_leg(void *ctx, struct slice plain)
{
    struct fake_leg *l = ctx;
    return l->s ? stream_write(l->s, plain) : -EPIPE;
}

static void leg_on_open(void *arg, const struct frame_open *open)
{
    struct fake_leg *l = arg;
    l->opened = true;
    l->open = *open;
    assert_true(slice_copy(open->name, l->name, sizeof l->name));
    buf_add(&l->hello, open->hello);
    if (l->how == LEG_REFUSES) {
        assert_int_equal(leg_send_refuse(&l->proto, REFUSE_NOT_SERVED), 0);
    } else if (l->how != LEG_SILENT) {
        assert_int_equal(leg_send_accept(&l->proto), 0);
    }
}

static bool leg_on_data(void *arg, struct slice data)
{
    struct fake_leg *l = arg;
    if (l->how == LEG_KEEPS) {
        buf_add(&l->got, data);
        return true;
    }
    if (leg_send_data(&l->proto, data) == BUF_FULL) {
        stream_pause(l->s, true);
        return false;
    }
    return true;
}

static void leg_on_eof(void *arg)
{
    struct fake_leg *l = arg;
    l->eof = true;
    if (l->how == LEG_ECHO) {
        assert_int_equal(leg_send_eof(&l->proto), 0);
    }
}

static void leg_on_reset(void *arg, uint8_t code)
{
    ((struct fake_leg *)arg)->reset = code;
}

static const struct leg_ops leg_ops = {
    .on_open = leg_on_open, .on_data = leg_on_data, .on_eof = leg_on_eof, .on_reset = leg_on_reset};

static size_t leg_data(void *arg, struct slice data)
{
    struct fake_leg *l = arg;
    bool bad;
    size_t used = leg_input(&l->proto, data, &bad);
    assert_false(bad);
    return used;
}

static void leg_drain(void *arg)
{
    stream_pause(((struct fake_leg *)arg)->s, false);
}

static void leg_opened(void *arg)
{
    ((struct fake_leg *)arg)->up = true;
}

static void leg_closed(void *arg, int why)
{
    struct fake_leg *l = arg;
    (void)why;
    l->s = NULL;
    l->closed = true;
}

static const struct stream_ops leg_stream_ops = {
    .on_open = leg_opened, .on_data = leg_data, .on_drain = leg_drain, .on_close = leg_closed};

static struct fake_leg *leg_dial(struct fake_agent *a, enum behaviour how, uint64_t number)
{
    struct fake_leg *l = &a->legs[a->leg_count++];
    struct tls *tls = tls_client(w.leg_ctx, "relay1.example.org");
    if (a->ticket) {
        tls_session_use(tls, a->ticket);
    }
    *l = (struct fake_leg){
        .how = how, .reset = -1, .hello = BUF_MAX(HELLO_WIRE_MAX), .got = BUF_MAX(2 * BULK)};
    l->s = stream_new(w.r.lp, dial(w.port), tls, S(""), &leg_stream_ops, NULL, l);
    leg_init(&l->proto, LEG_AGENT, (struct seal){seal_leg, l}, &leg_ops, l);
    struct buf b = BUF_MAX(100);
    struct frame_join j = {.number = number};
    memcpy(j.session_id, a->id, sizeof j.session_id);
    frame_join(&b, &j);
    assert_int_equal(stream_write(l->s, buf_slice(&b)), 0);
    buf_deinit(&b);
    return l;
}

static unsigned parked(void)
{
    struct rsession *s = rsession_find(&w.r, "node1");
    return s ? s->parked_count : 0;
}

static struct fake_leg *leg_up(struct fake_agent *a, enum behaviour how)
{
    unsigned before = parked();
    struct fake_leg *l = leg_dial(a, how, a->leg_count);
    WAIT_FOR(parked() == before + 1);
    return l;
}

static void agent_end(struct fake_agent *a)
{
    if (a->s) {
        stream_close(a->s, 0);
    }
    for (size_t i = 0; i < a->leg_count; i++) {
        if (a->legs[i].s) {
            stream_close(a->legs[i].s, 0);
        }
    }
    pass_time(MS(20));
    for (size_t i = 0; i < a->leg_count; i++) {
        leg_deinit(&a->legs[i].proto);
        buf_deinit(&a->legs[i].hello);
        buf_deinit(&a->legs[i].got);
    }
    tls_session_free(a->ticket);
}

/* ---- visitors ---- */

struct caller {
    struct stream *s;
    struct buf got;
    struct buf hello;
    size_t to_send, sent; /* of the pattern */
    bool eof, closed;
    int why;
};

static size_t caller_data(void *arg, struct slice data)
{
    buf_add(&((struct caller *)arg)->got, data);
    return data.n;
}

static char pattern_at(size_t i)
{
    return (char)(i * 31 + (i >> 9));
}

static void caller_push(void *arg)
{
    struct caller *c = arg;
    char part[10000];
    while (c->s && c->sent < c->to_send) {
        size_t n = c->to_send - c->sent < sizeof part ? c->to_send - c->sent : sizeof part;
        for (size_t i = 0; i < n; i++) {
            part[i] = pattern_at(c->sent + i);
        }
        if (stream_write(c->s, slice_of(part, n))) {
            return;
        }
        c->sent += n;
    }
    if (c->s && c->to_send) {
        stream_shutdown(c->s);
    }
}

static void caller_eof(void *arg)
{
    ((struct caller *)arg)->eof = true;
}

static void caller_close(void *arg, int why)
{
    struct caller *c = arg;
    c->s = NULL;
    c->closed = true;
    c->why = why;
}

static const struct stream_ops caller_ops = {.on_data = caller_data,
                                             .on_drain = caller_push,
                                             .on_eof = caller_eof,
                                             .on_close = caller_close};

static struct buf make_hello(const char *name)
{
    struct buf out = BUF_MAX(HELLO_WIRE_MAX), sink = BUF_MAX(64);
    struct tls *t = tls_client(w.session_ctx, name);
    assert_int_equal(tls_read(t, &sink), TLS_AGAIN);
    buf_add(&out, tls_output(t));
    tls_free(t);
    buf_deinit(&sink);
    return out;
}

static void call_raw(struct caller *c, uint16_t port)
{
    *c = (struct caller){.got = BUF_MAX(2 * BULK)};
    c->s = stream_new(w.r.lp, dial(port), NULL, S(""), &caller_ops, NULL, c);
}

static void call(struct caller *c, const char *name)
{
    call_raw(c, w.port);
    c->hello = make_hello(name);
    assert_int_equal(stream_write(c->s, buf_slice(&c->hello)), 0);
}

static void hang_up(struct caller *c)
{
    if (c->s) {
        stream_close(c->s, 0);
        WAIT_FOR(c->closed);
    }
    buf_deinit(&c->got);
    buf_deinit(&c->hello);
}

static void expect_alert(struct caller *c)
{
    WAIT_FOR(c->eof || c->closed);
    assert_int_equal(c->got.len, 7);
    assert_memory_equal(buf_slice(&c->got).p, "\x15\x03\x03\x00\x02\x02\x70", 7);
}

static void expect_nothing(struct caller *c)
{
    WAIT_FOR(c->eof || c->closed);
    assert_int_equal(c->got.len, 0);
}

/* ---- the world ---- */

static uint16_t free_port(void)
{
    struct addr a;
    assert_true(addr_from_ip(S("127.0.0.1"), 0, &a));
    int fd = sock_listen(&a, 1, SOCK_PLAIN);
    assert_true(fd >= 0 && sock_local(fd, &a));
    close(fd);
    return addr_port(&a);
}

static void control_says(const char *line)
{
    char why[200] = "";
    int rc = routes_apply(&w.r.routes, slice_str(line), why, sizeof why);
    assert_int_equal(rc, 0);
    visitor_close_unrouted(&w.r);
}

static void first_snapshot(void)
{
    struct buf hex = BUF_MAX(64), line = BUF_MAX(2000);
    text_hex(&hex, slice_of(w.control_public, 32));
    buf_addf(&line,
             "{\"type\":\"snapshot\",\"version\":1,\"relayId\":\"relay1\",\"maxStale\":86400,"
             "\"keys\":[{\"id\":1,\"public\":\"%s\"}],"
             "\"routes\":[{\"name\":\"" NAME "\",\"ports\":[443],\"node\":\"node1\"},"
             "{\"name\":\"asleep.example\",\"ports\":[443],\"node\":\"node2\"}],"
             "\"passthrough\":[{\"name\":\"control.example.org\",\"to\":\"127.0.0.1:%d\"}]}",
             buf_cstr(&hex), w.target_port);
    control_says(buf_cstr(&line));
    buf_deinit(&hex);
    buf_deinit(&line);
}

static void make_clients(void)
{
    static const char *const session_alpn[] = {TUNNEL_ALPN_SESSION, NULL}, *const leg_alpn[] = {
                                                                               TUNNEL_ALPN_LEG,
                                                                               NULL};
    char why[200];
    w.cert = BUF_MAX(8192);
    w.key = BUF_MAX(8192);
    assert_int_equal(tls_make_self_signed("node", &w.cert, &w.key), 0);
    assert_true(tls_cert_spki(buf_slice(&w.cert), w.spki));
    struct tls_client_opts o = {.alpn = session_alpn,
                                .min = TLS_MIN_13,
                                .verify = TLS_VERIFY_PIN,
                                .pins = &w.r.state.spki,
                                .pin_count = 1,
                                .cert_pem = buf_slice(&w.cert),
                                .key_pem = buf_slice(&w.key)};
    assert_int_equal(tls_client_ctx(&o, why, sizeof why, &w.session_ctx), 0);
    o.alpn = leg_alpn;
    assert_int_equal(tls_client_ctx(&o, why, sizeof why, &w.leg_ctx), 0);
}

static int setup(void **state)
{
    (void)state;
    char why[300] = "";
    w = (struct world){.dir = "/tmp/relay-test-XXXXXX"};
    assert_non_null(mkdtemp(w.dir));
    w.port = free_port();
    w.port8443 = free_port();
    w.target_port = free_port();
    struct relay_config *c = &w.r.cfg;
    c->control = mem_strdup("https://127.0.0.1:1");
    c->ca_file = mem_strdup("");
    c->state_dir = mem_strdup(w.dir);
    c->name = mem_strdup("one");
    c->host = mem_strdup("Relay1.Example.org.");
    c->addresses.items[c->addresses.count++] = mem_strdup("127.0.0.1");
    c->ports.items[0].key = 443;
    c->ports.items[0].value = w.port;
    c->ports.items[1].key = 8443;
    c->ports.items[1].value = w.port8443;
    c->ports.count = 2;
    c->max_visitors = 1000;
    c->hello_timeout_ms = 300;
    assert_int_equal(relay_open(&w.r, why, sizeof why), 0);
    assert_int_equal(front_start(&w.r, why, sizeof why), 0);
    crypto_ed25519_keygen(w.control_key, w.control_public);
    make_clients();
    first_snapshot();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[200];
    tls_ctx_unref(w.session_ctx);
    tls_ctx_unref(w.leg_ctx);
    buf_deinit(&w.cert);
    buf_deinit(&w.key);
    relay_close(&w.r);
    conf_free(relay_options, relay_option_count, &w.r.cfg);
    snprintf(command, sizeof command, "rm -r %s", w.dir);
    return system(command);
}

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
        c[i].s = stream_new(w.r.lp, dial(w.port), NULL, S(""), &caller_ops, NULL, &c[i]);
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
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(nobody_gets_a_fallback),
        CASE(silent_clients_are_closed),
        CASE(without_descriptors),
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
        CASE(a_neighbour_gets_proxy_v2),
        CASE(draining),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
