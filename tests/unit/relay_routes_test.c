/* Routes: snapshots and deltas whole or not at all, what is kept on disk, freshness. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "relay/relay.h"
#include "tests/unit/support/test.h"

#define KEY "0102030405060708091011121314151617181920212223242526272829303132"

static const char snapshot[] =
    "{\"type\":\"snapshot\",\"version\":7,\"relayId\":\"r1\",\"maxStale\":100,\"new\":{\"x\":1},"
    "\"keys\":[{\"id\":1,\"public\":\"" KEY "\"}],"
    "\"routes\":[{\"name\":\"A.example\",\"ports\":[443,8443],\"node\":\"n1\"},"
    "{\"name\":\"b.example\",\"ports\":[10000],\"node\":\"n2\"}],"
    "\"passthrough\":[{\"name\":\"control.example\",\"to\":\"127.0.0.1:8443\"}]}";

static int apply(struct routes *r, const char *line)
{
    char why[200];
    return routes_apply(r, slice_str(line), why, sizeof why);
}

static void snapshot_and_delta(void **state)
{
    (void)state;
    struct routes r;
    routes_init(&r);
    assert_int_equal(apply(&r, snapshot), 0);
    assert_int_equal(r.version, 7);
    assert_string_equal(routes_find(&r, "a.example", 443)->node, "n1");
    assert_non_null(routes_find(&r, "a.example", 8443));
    assert_null(routes_find(&r, "a.example", 10000));
    assert_non_null(routes_find(&r, "a.example", 0));
    assert_null(routes_find(&r, "control.example", 443));
    assert_int_equal(addr_port(&routes_passthrough(&r, "control.example")->to), 8443);
    assert_null(routes_passthrough(&r, "a.example"));

    assert_int_equal(apply(&r,
                           "{\"type\":\"delta\",\"version\":8,\"remove\":[\"b.example\"],"
                           "\"set\":[{\"name\":\"a.example\",\"ports\":[443],\"node\":\"n3\"}]}"),
                     0);
    assert_int_equal(r.version, 8);
    assert_string_equal(routes_find(&r, "a.example", 443)->node, "n3");
    assert_null(routes_find(&r, "a.example", 8443)); /* replaced whole */
    assert_null(routes_find(&r, "b.example", 0));
    assert_int_equal(r.key_count, 1); /* not said: as before */
    assert_int_equal(apply(&r, "{\"type\":\"delta\",\"version\":9,\"keys\":[]}"), 0);
    assert_int_equal(r.key_count, 0);
    assert_int_equal(apply(&r, "{\"type\":\"later invention\",\"version\":99}"), 0);
    assert_int_equal(r.version, 9);
    routes_deinit(&r);
}

static void nonsense_changes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]x",
        "{\"type\":\"snapshot\",\"version\":9,\"relayId\":\"r\",\"routes\":[{\"name\":\"a b\",\"ports\":[443],"
        "\"node\":\"n\"}]}",
        "{\"type\":\"snapshot\",\"version\":9,\"relayId\":\"r\",\"routes\":[{\"name\":\"a.b\",\"ports\":[0],"
        "\"node\":\"n\"}]}",
        "{\"type\":\"snapshot\",\"version\":9,\"relayId\":\"r\",\"routes\":[{\"name\":\"a.b\",\"ports\":[443]}]}",
        "{\"type\":\"snapshot\",\"version\":9,\"relayId\":\"r\",\"keys\":[{\"id\":1,\"public\":\"00\"}]}",
        "{\"type\":\"snapshot\",\"version\":9,\"relayId\":\"r\",\"passthrough\":[{\"name\":\"a.b\",\"to\":\"x\"}]}",
        "{\"type\":\"delta\",\"version\":9,\"remove\":[\"a.example\"],\"set\":[{\"name\":\"\"}]}",
        "{\"type\":\"delta\",\"version\":9,\"remove\":[\"a.example\"],\"keys\":[{\"id\":1}]}",
    };
    struct routes r;
    routes_init(&r);
    assert_int_equal(apply(&r, snapshot), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(apply(&r, bad[i]) < 0);
        assert_int_equal(r.version, 7);
        assert_non_null(routes_find(&r, "a.example", 443));
        assert_int_equal(r.key_count, 1);
        assert_int_equal(r.passthrough_count, 1);
    }
    routes_deinit(&r);
}

struct place {
    char dir[40];
    struct relay_state s;
};

static void open_place(struct place *p)
{
    char why[300];
    assert_int_equal(state_open(&p->s, p->dir, "relay.example", why, sizeof why), 0);
}

static void kept_on_disk(void **state)
{
    (void)state;
    struct place p = {.dir = "/tmp/relay-routes-XXXXXX"};
    struct routes r, again;
    assert_non_null(mkdtemp(p.dir));
    open_place(&p);
    uint8_t spki[32];
    memcpy(spki, p.s.spki, sizeof spki);
    assert_int_equal(p.s.token.len, 0);
    assert_int_equal(state_save_token(&p.s, S("relay-token")), 0);
    routes_init(&r);
    assert_int_equal(apply(&r, snapshot), 0);
    r.heard.s -= 50;
    assert_int_equal(state_save_routes(&p.s, &r), 0);
    state_close(&p.s);

    open_place(&p); /* as after a restart */
    assert_memory_equal(p.s.spki, spki, sizeof spki);
    assert_slice(buf_slice(&p.s.token), "relay-token");
    routes_init(&again);
    state_load_routes(&p.s, &again);
    assert_int_equal(again.version, 7);
    assert_int_equal(again.heard.s, r.heard.s); /* not as fresh as the restart */
    assert_string_equal(routes_find(&again, "a.example", 8443)->node, "n1");
    assert_int_equal(addr_port(&routes_passthrough(&again, "control.example")->to), 8443);
    assert_memory_equal(again.keys[0].public_key, r.keys[0].public_key, 32);
    assert_string_equal(again.relay_id, "r1");
    assert_true(routes_fresh(&again));
    again.heard.s -= 51;
    assert_false(routes_fresh(&again));
    routes_deinit(&again);

    assert_int_equal(state_save_heard(&p.s, (struct wall){r.heard.s + 7}), 0);
    routes_init(&again);
    state_load_routes(&p.s, &again);
    assert_int_equal(again.heard.s, r.heard.s + 7);
    routes_deinit(&again);

    static const char *const secrets[] = {"relay.key", "token", "ticket.key"};
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        char path[80];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", p.dir, secrets[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    char path[80], command[80];
    snprintf(path, sizeof path, "%s/routes.json", p.dir);
    assert_int_equal(file_replace(path, 0600, S("{\"type\":\"snap")), 0); /* a damaged file */
    routes_init(&again);
    state_load_routes(&p.s, &again);
    assert_int_equal(map_count(again.by_name), 0);
    routes_deinit(&again);
    routes_deinit(&r);
    state_close(&p.s);
    snprintf(command, sizeof command, "rm -r %s", p.dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot_and_delta),
        cmocka_unit_test(nonsense_changes_nothing),
        cmocka_unit_test(kept_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
