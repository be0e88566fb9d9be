/*
 * The whole save on a real store: 10,000 devices of 2,000 people, 1,000 entries with five targets
 * each; parse, validate, test, evaluate, difference, transaction. How long the caller waits, and
 * how long the loop is held at once (its longest turn, with the disk's part of the commit in it).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "migrations/migrations.h"
#include "server/app.h"
#include "tests/bench/policy/tailnet_gen.h"

enum { USERS = 2000, DEVICES = 10000, ENTRIES = 1000, TAGS = 200, GROUPS = 300, ROUNDS = 20 };

/* Fixed seed: the same tailnet in every run. */
static uint64_t state = 0x9e3779b97f4a7c15u;

static unsigned pick(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % n);
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "save_bench: %s\n", what);
        exit(2);
    }
}

/* ---- rows ---- */

static void add_device(struct app *a, int i, const int64_t *users)
{
    struct store_node n = {.os = "linux", .version = "1"};
    uint8_t hash[STORE_HASH_SIZE] = {(uint8_t)i, (uint8_t)(i >> 8)};
    char tag[64];
    int64_t id;
    bool tagged = pick(10) < 3;
    n.user_id = users[pick(USERS)];
    text_fit(n.stable_id, sizeof n.stable_id, "node%d", i);
    text_fit(n.label, sizeof n.label, "machine-%d", i);
    text_fit(n.hostname, sizeof n.hostname, "machine-%d", i);
    text_fit(n.transport_key, sizeof n.transport_key, "%064x", (unsigned)i);
    text_fit(n.ipv4, sizeof n.ipv4, "100.70.%d.%d", i / 250, i % 250);
    text_fit(n.ipv6, sizeof n.ipv6, "fd7a:115c:a1e0::7:%x", (unsigned)i);
    must(store_node_create(a->db, a->tailnet.id, &n, slice_of(hash, sizeof hash), &id) == 0,
         "node");
    if (tagged) {
        text_fit(tag, sizeof tag, "[\"tag:t%u\"]", pick(TAGS));
        must(store_node_tag(a->db, id, slice_str(tag), 0) == 0, "tag");
    }
}

static void fill(struct app *a)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    AUTO_FREE int64_t *users = mem_new_array(USERS, sizeof *users);
    must(tx && store_tailnet_create(a->db, S("pango-lin"), &a->tailnet.id) == 0, "tailnet");
    for (int i = 0; i < USERS; i++) {
        char login[64];
        text_fit(login, sizeof login, "user%d@example.com", i);
        must(store_user_create(a->db, a->tailnet.id, slice_str(login), i ? "member" : "owner",
                               &users[i]) == 0,
             "user");
    }
    for (int i = 0; i < DEVICES; i++) {
        add_device(a, i, users);
    }
    must(policy_state_first(a, "user0@example.com") == 0 && db_commit(&tx) == 0, "first policy");
}

/* ---- the policy ---- */

static void add_target(struct buf *out)
{
    switch (pick(4)) {
    case 0:
        buf_addf(out, "\"user%u@example.com\"", pick(USERS));
        break;
    case 1:
        buf_addf(out, "\"group:g%u\"", pick(GROUPS));
        break;
    case 2:
        buf_addf(out, "\"tag:t%u\"", pick(TAGS));
        break;
    default: /* foreign enum: a number */
        buf_addf(out, "\"100.70.%u.%u\"", pick(40), pick(250));
    }
}

/* `flavour` is one target of the last entry: two devices change between two of them. */
static void write_policy(struct buf *out, unsigned flavour)
{
    state = 0x9e3779b97f4a7c15u;
    buf_adds(out, "// A tailnet of 10,000 devices.\n{\n\t\"groups\": {\n");
    for (unsigned i = 0; i < GROUPS; i++) {
        buf_addf(out, "\t\t\"group:g%u\": [", i);
        for (unsigned k = 0; k < 50; k++) {
            buf_addf(out, "%s\"user%u@example.com\"", k ? ", " : "", pick(USERS));
        }
        buf_adds(out, "],\n");
    }
    buf_adds(out, "\t},\n\t\"tagOwners\": {\n");
    for (unsigned i = 0; i < TAGS; i++) {
        buf_addf(out, "\t\t\"tag:t%u\": [\"autogroup:admin\"],\n", i);
    }
    buf_adds(out, "\t},\n\t\"nodeAttrs\": [\n");
    for (unsigned i = 0; i < ENTRIES; i++) {
        buf_adds(out, "\t\t{\"target\": [");
        for (unsigned k = 0; k < 5; k++) {
            buf_adds(out, k ? ", " : "");
            add_target(out);
        }
        buf_addf(out, "], \"attr\": [\"%s\", \"attr-%u\"]},\n", pick(8) ? "drive:share" : "funnel",
                 pick(64));
    }
    buf_addf(out, "\t\t{\"target\": [\"100.70.39.%u\"], \"attr\": [\"flavour\"]},\n",
             200 + flavour);
    buf_adds(out, "\t],\n\t\"tests\": [\n");
    buf_adds(out,
             "\t\t{\"src\": \"user1@example.com\", \"accept\": [\"100.70.0.1:443\"]},\n\t],\n}\n");
}

/* ---- measuring ---- */

struct waiting {
    struct policy_saved r;
    bool done;
};

static void on_saved(void *arg, const struct policy_saved *r)
{
    struct waiting *w = arg;
    w->r = *r;
    w->done = true;
    if (r->result == POLICY_SAVE_INVALID && r->diags->count) {
        fprintf(stderr, "save_bench: line %d: %s\n", r->diags->items[0].line,
                r->diags->items[0].message);
    }
}

struct figures {
    double whole, loop, cpu; /* ms */
    size_t changed;
};

static int64_t cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct figures save(struct app *a, struct slice text)
{
    static const struct actor by = {.origin = "API", .type = "USER", .login = "user0@example.com"};
    struct waiting w = {.done = false};
    struct policy_save s = {
        .text = text, .via = "api", .message = "", .by = &by, .done = on_saved, .arg = &w};
    int64_t longest = 0, cpu = 0, begin = mono_now().ns;
    policy_save(a, &s);
    longest = mono_now().ns - begin;
    while (!w.done) {
        int64_t worked = cpu_now();
        must(loop_turn(a->lp, SECONDS(10)) == 0, "loop");
        cpu = cpu_now() - worked;
        int64_t held = mono_now().ns - loop_now(a->lp).ns; /* since the turn woke */
        longest = held > longest ? held : longest;
    }
    must(w.r.result == POLICY_SAVED, "not saved");
    return (struct figures){(double)(mono_now().ns - begin) / 1e6, (double)longest / 1e6,
                            (double)cpu / 1e6, w.r.changed};
}

static void measure(struct app *a)
{
    double whole[ROUNDS] = {0}, loop[ROUNDS] = {0}, cpu[ROUNDS] = {0}, worst = 0;
    for (unsigned i = 0; i < ROUNDS + 1; i++) {
        struct buf text = BUF_MAX(POLICY_SIZE_MAX);
        write_policy(&text, i % 2);
        must(buf_ok(&text), "the policy is too long");
        struct figures f = save(a, buf_slice(&text));
        buf_deinit(&text);
        checkpoint_tick(a); /* as the server does, every two seconds */
        while (a->copying) {
            must(loop_turn(a->lp, MS(1)) == 0, "loop");
        }
        if (i) { /* the first one warms up, and is another difference */
            whole[i - 1] = f.whole;
            loop[i - 1] = f.loop;
            cpu[i - 1] = f.cpu;
            worst = f.loop > worst ? f.loop : worst;
            must(f.changed == 2, "two devices change, no more and no fewer");
        }
    }
    printf("{\"figure\":\"whole save, 10,000 devices x 1,000 entries\",\"value\":%.2f,"
           "\"unit\":\"ms\",\"goal\":\"<= 100\"}\n",
           gen_median(whole, ROUNDS));
    printf("{\"figure\":\"longest turn of the loop in a save\",\"value\":%.2f,"
           "\"unit\":\"ms\",\"goal\":\"<= 5\"}\n",
           gen_median(loop, ROUNDS));
    printf("{\"figure\":\"the loop's own work in it\",\"value\":%.2f,\"unit\":\"ms\"}\n",
           gen_median(cpu, ROUNDS));
    printf("{\"figure\":\"longest turn, worst of %d saves\",\"value\":%.2f,\"unit\":\"ms\"}\n",
           ROUNDS, worst);
}

int main(void)
{
    static struct app app;
    char folder[] = "/tmp/save-bench-XXXXXX", path[128], why[300] = "";
    must(mkdtemp(folder) != NULL, "no folder");
    log_setup("save_bench", LOG_WARN, false);
    app.cfg.state_dir = mem_strdup(folder);
    app.cfg.zone = mem_strdup("ts.example.net");
    text_fit(path, sizeof path, "%s/control.db", folder);
    must(db_open(path, DB_WRITER, why, sizeof why, &app.db) == 0 &&
             db_migrate(app.db, migrations, migration_count, why, sizeof why) == 0,
         why);
    fill(&app);
    app.lp = loop_new();
    app.pool = pool_new(app.lp, 2);
    must(policy_state_load(&app, why, sizeof why) == 0, why);
    measure(&app);
    pool_free(app.pool);
    policy_state_free(&app);
    db_close(app.db);
    loop_free(app.lp);
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        text_fit(path, sizeof path, "%s/control.db%s", folder, ends[i]);
        unlink(path);
    }
    mem_free(app.cfg.state_dir);
    mem_free(app.cfg.zone);
    return rmdir(folder);
}
