/* The control channel against a control that is a few lines of HTTP on loopback: enrolment, the
 * stream, reports as acknowledgements, coming back by itself. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/data/json.h"
#include "relay/relay.h"
#include "tests/unit/support/test.h"

enum { CONNS = 32 };

struct conn {
    struct stream *s;
    struct buf in;
    bool streaming;
};

struct control {
    struct watch door;
    struct conn conns[CONNS];
    size_t count;
    struct conn *stream;
    char have[64];
    int64_t reported; /* version of the last report */
    size_t nodes;
    int reports, streams, enrolments;
    long refuse_with; /* status for the next requests; 0: serve */
    bool token_seen;
    char enrolled_pin[80];
    int64_t on_disk; /* version in routes.json when the report came */
};

static struct relay r;
static struct control ctl;
static char dir[40], url[64];
static uint16_t port;

#define WAIT_FOR(expr)                                            \
    do {                                                          \
        bool done_ = false;                                       \
        for (int turns_ = 0; turns_ < 2000 && !done_; turns_++) { \
            assert_int_equal(loop_turn(r.lp, MS(5)), 0);          \
            done_ = (expr);                                       \
        }                                                         \
        if (!done_) {                                             \
            fail_msg("line %d: never came: %s", __LINE__, #expr); \
        }                                                         \
    } while (0)

static void answer(struct conn *c, long status, const char *body)
{
    struct buf b = BUF_MAX(4096);
    buf_addf(&b,
             "HTTP/1.1 %ld X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n%s",
             status, strlen(body), body);
    assert_int_equal(stream_write(c->s, buf_slice(&b)), 0);
    stream_finish(c->s);
    buf_deinit(&b);
}

static void take_report(struct slice body)
{
    char why[100], path[80];
    struct buf file = BUF_MAX(65536);
    struct js *j = js_parse(body, 65536, why, sizeof why);
    assert_non_null(j);
    ctl.reported = js_get_int(j, "version", -1);
    ctl.nodes = js_len(js_get(j, "nodes"));
    assert_non_null(js_get(j, "counters"));
    js_free(j);
    ctl.reports++;
    snprintf(path, sizeof path, "%s/routes.json", dir);
    if (file_read(path, &file) == 0) {
        j = js_parse(buf_slice(&file), 65536, why, sizeof why);
        ctl.on_disk = js_get_int(j, "version", -1);
        js_free(j);
    }
    buf_deinit(&file);
}

static void take_enrolment(struct slice body)
{
    char why[100];
    struct js *j = js_parse(body, 65536, why, sizeof why);
    assert_slice(js_get_str(j, "relayKey"), "the-key");
    assert_slice(js_get_str(j, "host"), "relay1.example.org");
    assert_int_equal(js_get_int(js_get(j, "ports"), "443", 0), r.cfg.ports.items[0].value);
    assert_true(
        slice_copy(js_str(js_at(js_get(j, "pins"), 0)), ctl.enrolled_pin, sizeof ctl.enrolled_pin));
    js_free(j);
    ctl.enrolments++;
}

static void serve(struct conn *c, struct slice head, struct slice body)
{
    static const char open[] = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n";
    const char *have = memmem(head.p, head.n, "?have=", 6);
    ctl.token_seen = memmem(head.p, head.n, "Bearer relay-token", 18);
    if (ctl.refuse_with) {
        answer(c, ctl.refuse_with, "{\"message\":\"not today\"}");
    } else if (slice_starts(head, S("POST /relay/v1/enroll "))) {
        take_enrolment(body);
        answer(c, 200, "{\"relayId\":\"r1\",\"relayToken\":\"relay-token\"}");
    } else if (slice_starts(head, S("POST /relay/v1/report "))) {
        take_report(body);
        answer(c, 204, "");
    } else if (slice_starts(head, S("GET /relay/v1/stream?have=")) && have) {
        snprintf(ctl.have, sizeof ctl.have, "%.*s", (int)strcspn(have + 6, " "), have + 6);
        assert_int_equal(stream_write(c->s, S(open)), 0);
        ctl.streams++;
        ctl.stream = c;
    } else {
        fail_msg("unexpected request");
    }
}

static size_t conn_data(void *arg, struct slice data)
{
    struct conn *c = arg;
    uint64_t length = 0;
    buf_add(&c->in, data);
    struct slice in = buf_slice(&c->in);
    const char *end = memmem(in.p, in.n, "\r\n\r\n", 4);
    if (!end) {
        return data.n;
    }
    struct slice head = slice_sub(in, 0, (size_t)(end - in.p));
    const char *field = memmem(head.p, head.n, "Content-Length: ", 16);
    if (field) {
        length = strtoull(field + 16, NULL, 10);
    }
    struct slice body = slice_skip(in, head.n + 4);
    if (body.n >= length) {
        serve(c, head, slice_sub(body, 0, length));
        buf_clear(&c->in);
    }
    return data.n;
}

static void conn_close(void *arg, int why)
{
    struct conn *c = arg;
    (void)why;
    c->s = NULL;
    if (ctl.stream == c) {
        ctl.stream = NULL;
    }
}

static const struct stream_ops conn_ops = {.on_data = conn_data, .on_close = conn_close};

static void on_accept(void *arg, uint32_t events)
{
    (void)arg, (void)events;
    int fd;
    while ((fd = sock_accept(ctl.door.fd, NULL)) >= 0) {
        assert_true(ctl.count < CONNS);
        struct conn *c = &ctl.conns[ctl.count++];
        c->in = BUF_MAX(65536);
        c->s = stream_new(r.lp, fd, NULL, &conn_ops, NULL, c);
    }
}

static void control_up(void)
{
    struct addr a;
    assert_true(addr_from_ip(S("127.0.0.1"), port, &a));
    int fd = sock_listen(&a, 16, SOCK_PLAIN);
    assert_true(fd >= 0 && sock_local(fd, &a));
    port = addr_port(&a);
    assert_int_equal(watch_add(r.lp, &ctl.door, fd, on_accept, NULL), 0);
}

static void control_down(void)
{
    int fd = ctl.door.fd;
    watch_del(&ctl.door);
    close(fd);
    for (size_t i = 0; i < ctl.count; i++) {
        if (ctl.conns[i].s) {
            stream_close(ctl.conns[i].s, 0);
        }
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(loop_turn(r.lp, MS(5)), 0);
    }
    for (size_t i = 0; i < ctl.count; i++) {
        buf_deinit(&ctl.conns[i].in);
    }
    ctl.count = 0;
}

static int setup(void **state)
{
    (void)state;
    char why[300] = "";
    r = (struct relay){.lp = NULL};
    ctl = (struct control){.reported = -1, .on_disk = -1, .door = WATCH_INIT};
    snprintf(dir, sizeof dir, "/tmp/relay-channel-XXXXXX");
    assert_non_null(mkdtemp(dir));
    struct relay_config *c = &r.cfg;
    c->control = mem_strdup("");
    c->ca_file = mem_strdup("");
    c->state_dir = mem_strdup(dir);
    c->name = mem_strdup("one");
    c->host = mem_strdup("relay1.example.org");
    c->addresses.items[c->addresses.count++] = mem_strdup("127.0.0.1");
    c->ports.items[0].key = 443;
    c->ports.items[0].value = 12345;
    c->ports.count = 1;
    assert_int_equal(relay_open(&r, why, sizeof why), 0);
    port = 0;
    control_up();
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    mem_free(c->control);
    c->control = mem_strdup(url);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[80];
    channel_stop(&r);
    control_down();
    relay_close(&r);
    conf_free(relay_options, relay_option_count, &r.cfg);
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void say(const char *line)
{
    assert_non_null(ctl.stream);
    assert_int_equal(stream_write(ctl.stream->s, slice_str(line)), 0);
}

static void enrolment(void **state)
{
    (void)state;
    char why[300] = "";
    ctl.refuse_with = 401;
    assert_true(channel_enroll(&r, S("the-key"), why, sizeof why) < 0);
    assert_non_null(strstr(why, "not today"));
    assert_int_equal(r.state.token.len, 0);
    ctl.refuse_with = 0;
    assert_int_equal(channel_enroll(&r, S("the-key"), why, sizeof why), 0);
    assert_int_equal(ctl.enrolments, 1);
    assert_slice(buf_slice(&r.state.token), "relay-token");
    uint8_t pin[32];
    assert_true(text_unhex(slice_str(ctl.enrolled_pin), pin, sizeof pin));
    assert_memory_equal(pin, r.state.spki, sizeof pin);
}

static void stream_and_reports(void **state)
{
    (void)state;
    assert_int_equal(state_save_token(&r.state, S("relay-token")), 0);
    channel_start(&r);
    WAIT_FOR(ctl.stream);
    assert_true(ctl.token_seen);
    assert_string_equal(ctl.have, "0");
    say("{\"type\":\"snapshot\",\"version\":5,\"relayId\":\"r1\",\"maxStale\":60,\"keys\":[],"
        "\"routes\":[{\"name\":\"a.example\",\"ports\":[443],\"node\":\"n1\"}]}\n\n");
    WAIT_FOR(ctl.reported == 5);
    assert_int_equal(ctl.on_disk, 5); /* written before it was reported */
    say("{\"type\":\"delta\",\"version\":6,\"remove\":[\"a.example\"]}\n"
        "{\"type\":\"delta\",\"version\":7,\"set\":[{\"name\":\"b.example\",\"ports\":[443],"
        "\"node\":\"n1\"}]}\n");
    WAIT_FOR(ctl.reported == 7);
    assert_int_equal(ctl.on_disk, 7);
    assert_null(routes_find(&r.routes, "a.example", 0));
    /* What control confirms is fresh again, although no route has changed. */
    int reports = ctl.reports;
    r.routes.heard.s -= 59;
    channel_report_soon(&r);
    WAIT_FOR(ctl.reports == reports + 1 && wall_now().s - r.routes.heard.s < 5);
    assert_int_equal(r.routes.version, 7);
    /* A line that makes no sense: nothing after it is applied, and all is asked for anew. */
    int streams = ctl.streams;
    say("{\"type\":\"delta\",\"version\":8,\"set\":[{\"name\":\"a b\"}]}\n"
        "{\"type\":\"delta\",\"version\":9,\"remove\":[\"b.example\"]}\n");
    WAIT_FOR(ctl.streams == streams + 1);
    assert_string_equal(ctl.have, "0");
    assert_int_equal(r.routes.version, 7);
    assert_non_null(routes_find(&r.routes, "b.example", 443));
}

static void comes_back(void **state)
{
    (void)state;
    assert_int_equal(state_save_token(&r.state, S("relay-token")), 0);
    channel_start(&r);
    WAIT_FOR(ctl.stream);
    say("{\"type\":\"snapshot\",\"version\":5,\"relayId\":\"r1\",\"maxStale\":60,\"routes\":"
        "[{\"name\":\"a.example\",\"ports\":[443],\"node\":\"n1\"}]}\n");
    WAIT_FOR(ctl.reported == 5);
    control_down();
    WAIT_FOR(!ctl.stream);
    int64_t heard = r.routes.heard.s -= 10;
    struct mono until = mono_after(mono_now(), MS(700));
    WAIT_FOR(mono_reached(mono_now(), until));
    assert_non_null(routes_find(&r.routes, "a.example", 443)); /* kept meanwhile */
    assert_int_equal(r.routes.heard.s, heard);                 /* and no fresher than it is */
    ctl.refuse_with = 503;
    control_up();
    WAIT_FOR(ctl.count >= 2);
    ctl.refuse_with = 0;
    WAIT_FOR(ctl.stream);
    assert_string_equal(ctl.have, "5");
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(enrolment, setup, teardown),
        cmocka_unit_test_setup_teardown(stream_and_reports, setup, teardown),
        cmocka_unit_test_setup_teardown(comes_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
