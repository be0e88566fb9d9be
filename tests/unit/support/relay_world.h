#pragma once
/*
 * The relay in one loop with an agent and callers made of the same libraries: what goes over the
 * sockets is real. Control is played by routes_apply(). One world per test: world_begin, world_end
 * are its fixtures.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/support/test.h"

#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/data/crypto.h"
#include "relay/relay.h"
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

static inline void pass_time(int64_t ns)
{
    struct mono end = mono_after(mono_now(), ns);
    while (!mono_reached(mono_now(), end)) {
        assert_int_equal(loop_turn(w.r.lp, MS(5)), 0);
    }
}

/* ---- the agent ---- */

static inline int seal_session(void *ctx, struct slice plain)
{
    struct fake_agent *a = ctx;
    return a->s ? stream_write(a->s, plain) : -EPIPE;
}

static inline void on_welcome(void *arg, const struct frame_welcome *f)
{
    struct fake_agent *a = arg;
    a->up = true;
    assert_int_equal(f->parked, RELAY_PARKED);
    memcpy(a->id, f->session_id, sizeof a->id);
}

static inline void on_legs(void *arg, uint16_t more)
{
    ((struct fake_agent *)arg)->legs_wanted += more;
}

static inline void on_report(void *arg, const struct frame_closed *closed)
{
    ((struct fake_agent *)arg)->report = *closed;
}

static inline void on_drain_frame(void *arg, uint32_t seconds)
{
    (void)arg, (void)seconds;
}

static inline void on_bye(void *arg, uint8_t reason, struct slice text)
{
    (void)text;
    ((struct fake_agent *)arg)->bye = reason;
}

static const struct session_ops session_ops = {.on_welcome = on_welcome,
                                               .on_legs = on_legs,
                                               .on_closed = on_report,
                                               .on_drain = on_drain_frame,
                                               .on_bye = on_bye};

static inline size_t agent_data(void *arg, struct slice data)
{
    struct fake_agent *a = arg;
    bool bad;
    size_t used = session_input(&a->proto, loop_now(w.r.lp), data, &bad);
    assert_false(bad);
    return used;
}

static inline void agent_close(void *arg, int why)
{
    struct fake_agent *a = arg;
    (void)why;
    a->s = NULL;
    a->closed = true;
}

static const struct stream_ops agent_ops = {.on_data = agent_data, .on_close = agent_close};

static inline int dial(uint16_t port)
{
    struct addr to;
    assert_true(addr_from_ip(S("127.0.0.1"), port, &to));
    int fd = sock_connect(&to);
    assert_true(fd >= 0);
    return fd;
}

static inline struct buf make_token(const char *node, const char *relay, const uint8_t key[32])
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

static inline void agent_dial(struct fake_agent *a, struct slice token)
{
    *a = (struct fake_agent){.bye = -1};
    a->s = stream_new(w.r.lp, dial(w.port), tls_client(w.session_ctx, "relay1.example.org"),
                      &agent_ops, NULL, a);
    session_init(&a->proto, SESSION_AGENT, (struct seal){seal_session, a}, &session_ops, a,
                 mono_now());
    struct frame_hello h = {.version = TUNNEL_VERSION, .parked = 4, .token = token};
    assert_int_equal(session_send_hello(&a->proto, &h), 0);
}

static inline void agent_up(struct fake_agent *a)
{
    struct buf token = make_token("node1", "relay1", w.control_key);
    agent_dial(a, buf_slice(&token));
    buf_deinit(&token);
    WAIT_FOR(a->up);
    a->ticket = tls_session_take(stream_tls(a->s));
    assert_non_null(a->ticket);
    assert_non_null(rsession_find(&w.r, "node1"));
}

static inline int seal_leg(void *ctx, struct slice plain)
{
    struct fake_leg *l = ctx;
    return l->s ? stream_write(l->s, plain) : -EPIPE;
}

static inline void leg_on_open(void *arg, const struct frame_open *open)
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

static inline bool leg_on_data(void *arg, struct slice data)
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

static inline void leg_on_eof(void *arg)
{
    struct fake_leg *l = arg;
    l->eof = true;
    if (l->how == LEG_ECHO) {
        assert_int_equal(leg_send_eof(&l->proto), 0);
    }
}

static inline void leg_on_reset(void *arg, uint8_t code)
{
    ((struct fake_leg *)arg)->reset = code;
}

static const struct leg_ops leg_ops = {
    .on_open = leg_on_open, .on_data = leg_on_data, .on_eof = leg_on_eof, .on_reset = leg_on_reset};

static inline size_t leg_data(void *arg, struct slice data)
{
    struct fake_leg *l = arg;
    bool bad;
    size_t used = leg_input(&l->proto, data, &bad);
    assert_false(bad);
    return used;
}

static inline void leg_drain(void *arg)
{
    stream_pause(((struct fake_leg *)arg)->s, false);
}

static inline void leg_opened(void *arg)
{
    ((struct fake_leg *)arg)->up = true;
}

static inline void leg_closed(void *arg, int why)
{
    struct fake_leg *l = arg;
    (void)why;
    l->s = NULL;
    l->closed = true;
}

static const struct stream_ops leg_stream_ops = {
    .on_open = leg_opened, .on_data = leg_data, .on_drain = leg_drain, .on_close = leg_closed};

static inline struct fake_leg *leg_dial(struct fake_agent *a, enum behaviour how, uint64_t number)
{
    struct fake_leg *l = &a->legs[a->leg_count++];
    struct tls *tls = tls_client(w.leg_ctx, "relay1.example.org");
    if (a->ticket) {
        tls_session_use(tls, a->ticket);
    }
    *l = (struct fake_leg){
        .how = how, .reset = -1, .hello = BUF_MAX(HELLO_WIRE_MAX), .got = BUF_MAX(2 * BULK)};
    l->s = stream_new(w.r.lp, dial(w.port), tls, &leg_stream_ops, NULL, l);
    leg_init(&l->proto, LEG_AGENT, (struct seal){seal_leg, l}, &leg_ops, l);
    struct buf b = BUF_MAX(100);
    struct frame_join j = {.number = number};
    memcpy(j.session_id, a->id, sizeof j.session_id);
    frame_join(&b, &j);
    assert_int_equal(stream_write(l->s, buf_slice(&b)), 0);
    buf_deinit(&b);
    return l;
}

static inline unsigned parked(void)
{
    struct rsession *s = rsession_find(&w.r, "node1");
    return s ? s->parked_count : 0;
}

static inline struct fake_leg *leg_up(struct fake_agent *a, enum behaviour how)
{
    unsigned before = parked();
    struct fake_leg *l = leg_dial(a, how, a->leg_count);
    WAIT_FOR(parked() == before + 1);
    return l;
}

static inline void agent_end(struct fake_agent *a)
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

static inline size_t caller_data(void *arg, struct slice data)
{
    buf_add(&((struct caller *)arg)->got, data);
    return data.n;
}

static inline char pattern_at(size_t i)
{
    return (char)(i * 31 + (i >> 9));
}

static inline void caller_push(void *arg)
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

static inline void caller_eof(void *arg)
{
    ((struct caller *)arg)->eof = true;
}

static inline void caller_close(void *arg, int why)
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

static inline struct buf make_hello(const char *name)
{
    struct buf out = BUF_MAX(HELLO_WIRE_MAX), sink = BUF_MAX(64);
    struct tls *t = tls_client(w.session_ctx, name);
    assert_int_equal(tls_read(t, &sink), TLS_AGAIN);
    buf_add(&out, tls_output(t));
    tls_free(t);
    buf_deinit(&sink);
    return out;
}

static inline void call_raw(struct caller *c, uint16_t port)
{
    *c = (struct caller){.got = BUF_MAX(2 * BULK)};
    c->s = stream_new(w.r.lp, dial(port), NULL, &caller_ops, NULL, c);
}

static inline void call(struct caller *c, const char *name)
{
    call_raw(c, w.port);
    c->hello = make_hello(name);
    assert_int_equal(stream_write(c->s, buf_slice(&c->hello)), 0);
}

static inline void hang_up(struct caller *c)
{
    if (c->s) {
        stream_close(c->s, 0);
        WAIT_FOR(c->closed);
    }
    buf_deinit(&c->got);
    buf_deinit(&c->hello);
}

static inline void expect_alert(struct caller *c)
{
    WAIT_FOR(c->eof || c->closed);
    assert_int_equal(c->got.len, 7);
    assert_memory_equal(buf_slice(&c->got).p, "\x15\x03\x03\x00\x02\x02\x70", 7);
}

static inline void expect_nothing(struct caller *c)
{
    WAIT_FOR(c->eof || c->closed);
    assert_int_equal(c->got.len, 0);
}

/* ---- the world ---- */

static inline uint16_t free_port(void)
{
    struct addr a;
    assert_true(addr_from_ip(S("127.0.0.1"), 0, &a));
    int fd = sock_listen(&a, 1, SOCK_PLAIN);
    assert_true(fd >= 0 && sock_local(fd, &a));
    close(fd);
    return addr_port(&a);
}

static inline void control_says(const char *line)
{
    char why[200] = "";
    int rc = routes_apply(&w.r.routes, slice_str(line), why, sizeof why);
    assert_int_equal(rc, 0);
    visitor_close_unrouted(&w.r);
}

static inline void first_snapshot(void)
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

static inline void make_clients(void)
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

static inline int world_begin(void **state)
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

static inline int world_end(void **state)
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
