/*
 * Fault sweeps over the store: each write in its transaction with change log and audit, as the
 * server does it, and each read. A failed write leaves every table as it was and goes through when
 * tried again; a failed read says so and writes nothing; neither leaks.
 */
#include <assert.h>
#include <errno.h>
#include <sqlite3.h>

#include "server/store_keys.h"
#include "server/store_people.h"
#include "server/store_policy.h"
#include "server/store_record.h"
#include "server/store_requests.h"
#include "tests/unit/support/fault.h"
#include "tests/unit/support/store.h"

static const uint8_t hash_a[32] = {1}, hash_b[32] = {2}, hash_c[32] = {3};
#define A slice_of(hash_a, 32)
#define B slice_of(hash_b, 32)
#define C slice_of(hash_c, 32)

enum { ROW_SIZE = 4096, UNTOUCHED = 0x5a, SEEN_SIZE = 4096 };

struct world {
    char folder[64], template[96], path[96];
    char *whole; /* every table of the template, as text */
    size_t whole_size;
    size_t rows; /* of all tables after the write that went well; 0: not known yet */
    const struct op *op;
    struct db *db;
    _Alignas(16) char row[ROW_SIZE];
    char seen[SEEN_SIZE]; /* what the callbacks of a reader saw */
    char right[SEEN_SIZE];
};

struct op {
    const char *name;
    int (*fn)(struct world *w);
};

/* ---- the whole database as text ---- */

static void put_row(FILE *out, sqlite3_stmt *s)
{
    for (int i = 0; i < sqlite3_column_count(s); i++) {
        const unsigned char *p = sqlite3_column_blob(s, i);
        fprintf(out, "|%d:", sqlite3_column_type(s, i));
        for (int k = 0; k < sqlite3_column_bytes(s, i); k++) {
            fprintf(out, p[k] > ' ' && p[k] < 0x7f ? "%c" : "%%%02x", p[k]);
        }
    }
    fputc('\n', out);
}

/* In order of the row id; calls fn for each row of sql. */
static void each_row(sqlite3 *h, const char *sql, void (*fn)(FILE *out, sqlite3_stmt *s), FILE *out)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(h, sql, -1, &s, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(s);
        if (rc == SQLITE_ROW) {
            fn(out, s);
        }
    }
    assert_int_equal(rc, SQLITE_DONE);
    sqlite3_finalize(s);
}

static void put_table(FILE *out, sqlite3_stmt *s)
{
    char sql[200];
    const char *name = (const char *)sqlite3_column_text(s, 0);
    fprintf(out, "== %s\n", name);
    snprintf(sql, sizeof sql, "SELECT * FROM \"%s\"", name);
    each_row(sqlite3_db_handle(s), sql, put_row, out);
}

/* By a connection of its own: what another process would see. The text is malloc's. */
static char *dump(const char *path, size_t *out_size)
{
    sqlite3 *h = NULL;
    char *text = NULL;
    FILE *out = open_memstream(&text, out_size);
    assert_non_null(out);
    assert_int_equal(sqlite3_open_v2(path, &h, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    each_row(h, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", put_table,
             out);
    assert_int_equal(sqlite3_close(h), SQLITE_OK);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* ---- the template: something of everything ---- */

static void fill_node(struct store_node *n, int number, int64_t user)
{
    *n = (struct store_node){.user_id = user, .os = "linux", .version = "1"};
    snprintf(n->stable_id, sizeof n->stable_id, "node%d", number);
    snprintf(n->label, sizeof n->label, "laptop-%d", number);
    snprintf(n->ipv4, sizeof n->ipv4, "100.64.0.%d", number);
    snprintf(n->ipv6, sizeof n->ipv6, "fd7a:115c:a1e0::%d", number);
    snprintf(n->transport_key, sizeof n->transport_key, "key%d", number);
}

static const struct store_relay relay_1 = {.stable_id = "relay1",
                                           .name = "relay1",
                                           .host = "relay1.example.org",
                                           .addresses = "[\"198.51.100.10\"]",
                                           .ports = "{}",
                                           .pins = "[]",
                                           .version = "1",
                                           .port = 443};

static void populate_people(struct db *d)
{
    int64_t id;
    const struct slice codes[] = {A, B};
    assert_int_equal(store_tailnet_create(d, S("pango-lin"), &id), 0);
    assert_int_equal(store_user_create(d, 1, S("ann@example.com"), "owner", &id), 0);
    assert_int_equal(store_user_create(d, 1, S("bob@example.com"), "member", &id), 0);
    assert_int_equal(store_password_set(d, 1, S("$argon2id$something")), 0);
    struct store_session_new s = {1, A, S("198.51.100.1"), S("a browser"), "password"};
    assert_int_equal(store_session_open(d, &s, &id), 0);
    assert_int_equal(store_setup_create(d, 1, A, B, (struct wall){123}), 0);
    struct store_key_new k = {.kind = STORE_KEY_AUTH, .hash = A, .tailnet = 1, .user = 1};
    assert_int_equal(store_key_create(d, &k), 0);
    struct store_passkey_new p = {1, S("credential"), S("public key"), S("laptop"), -7, 1};
    assert_int_equal(store_passkey_add(d, &p), 0);
    assert_int_equal(store_totp_set(d, 1, S("sealed")), 0);
    assert_int_equal(store_recovery_set(d, 1, codes, 2), 0);
    assert_int_equal(store_oidc_link(d, 2, S("https://id.example"), S("bob")), 0);
}

static void populate_nodes(struct db *d)
{
    struct store_node n;
    int64_t id, rev;
    fill_node(&n, 1, 1);
    assert_int_equal(store_node_create(d, 1, &n, A, &id), 0);
    fill_node(&n, 2, 2);
    assert_int_equal(store_node_create(d, 1, &n, B, &id), 0);
    assert_int_equal(store_relay_create(d, &relay_1, A), 0);
    assert_int_equal(store_relay_node_add(d, 1, 1, (struct wall){100}), 0);
    struct store_funnel f = {
        .node_id = 1, .port = 443, .kind = "http", .target = "3000", .source = "background"};
    assert_int_equal(store_funnel_put(d, &f), 0);
    struct store_request r = {.node_id = 2,
                              .port = 443,
                              .stable_id = "request1",
                              .target = "3000",
                              .match_code = "KPAP-9P",
                              .expires = {1000}};
    assert_int_equal(store_request_create(d, &r), 0);
    assert_int_equal(store_cert_order(d, 1, "order1", S("a CSR"), "spki"), 0);
    assert_int_equal(store_cert_issued(d, 1, S("a chain"), "spki", (struct wall){2000}, S("CA")),
                     0);
    assert_int_equal(store_cert_order(d, 2, "order2", S("a CSR"), "spki"), 0);
    struct store_policy_new p = {S("{}"), "etag", "ann@example.com", "api", "first"};
    assert_int_equal(store_policy_save(d, 1, &p, &rev), 0);
    assert_int_equal(store_change(d, 1, "node", 1), 0);
    assert_int_equal(store_change(d, 1, "policy", 0), 0);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    char why[300] = "";
    struct db *d = NULL;
    assert_non_null(w);
    snprintf(w->folder, sizeof w->folder, "%s/store-fault-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->template, sizeof w->template, "%s/template.db", w->folder);
    snprintf(w->path, sizeof w->path, "%s/control.db", w->folder);
    if (db_open(w->template, DB_WRITER, why, sizeof why, &d) ||
        db_migrate(d, migrations, migration_count, why, sizeof why)) {
        fail_msg("%s", why);
    }
    struct db_tx *tx = db_begin(d);
    assert_non_null(tx);
    populate_people(d);
    populate_nodes(d);
    assert_int_equal(db_commit(&tx), 0);
    db_close(d);
    w->whole = dump(w->template, &w->whole_size);
    *state = w;
    return 0;
}

static void forget(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char file[128];
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        snprintf(file, sizeof file, "%s%s", path, ends[i]);
        unlink(file);
    }
}

static int teardown(void **state)
{
    struct world *w = *state;
    forget(w->path);
    forget(w->template);
    int rc = rmdir(w->folder);
    free(w->whole);
    free(w);
    return rc;
}

static void copy_file(const char *from, const char *to)
{
    char piece[64 * 1024];
    size_t n;
    FILE *in = fopen(from, "rbe"), *out = fopen(to, "wbe");
    assert_true(in && out);
    while ((n = fread(piece, 1, sizeof piece, in)) > 0) {
        assert_int_equal(fwrite(piece, 1, n, out), n);
    }
    assert_int_equal(fclose(in) + fclose(out), 0);
}

static void fresh_copy(void *arg)
{
    struct world *w = arg;
    char why[300] = "";
    forget(w->path);
    copy_file(w->template, w->path);
    if (db_open(w->path, DB_WRITER, why, sizeof why, &w->db)) {
        fail_msg("%s", why);
    }
    memset(w->row, UNTOUCHED, sizeof w->row);
    w->seen[0] = '\0';
}

/* ---- writes ---- */

static int write_whole(void *arg)
{
    struct world *w = arg;
    struct store_event event = {.actor = S("ann@example.com"), .action = S("TEST")};
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(w->db);
    int rc = tx ? w->op->fn(w) : -EIO;
    rc = rc ? rc : store_change(w->db, 1, "node", 1);
    rc = rc ? rc : store_event_add(w->db, 1, &event);
    return rc ? rc : db_commit(&tx);
}

static void judge_write(void *arg, int rc)
{
    struct world *w = arg;
    size_t size;
    assert_true(rc <= 0); /* an I/O error is no answer such as "taken" */
    assert_false(db_in_tx(w->db));
    char *now = dump(w->path, &size);
    bool same = size == w->whole_size && memcmp(now, w->whole, size) == 0;
    if (rc) {
        assert_true(same);
        assert_int_equal(write_whole(w), 0); /* the connection is as good as before */
    } else {
        size_t rows = 0;
        for (const char *c = now; *c; c++) {
            rows += *c == '\n';
        }
        assert_false(same);
        assert_true(!w->rows || rows == w->rows); /* 0 means all of it */
        w->rows = rows;
    }
    free(now);
    db_close(w->db);
}

static int w_https(struct world *w)
{
    return store_tailnet_https(w->db, 1, true);
}

static int w_user(struct world *w)
{
    int64_t id = 0;
    return store_user_create(w->db, 1, S("eve@example.com"), "member", &id);
}

static int w_password(struct world *w)
{
    return store_password_set(w->db, 1, S("$argon2id$another"));
}

static int w_session(struct world *w)
{
    int64_t id = 0;
    struct store_session_new s = {1, B, S("198.51.100.2"), S("a browser"), "passkey"};
    int rc = store_session_open(w->db, &s, &id);
    return rc ? rc : store_session_verified(w->db, id, C);
}

static int w_sessions_end(struct world *w)
{
    return store_sessions_end(w->db, 1, 0);
}

static int w_setup(struct world *w)
{
    int rc = store_setup_tried(w->db, 1);
    rc = rc ? rc : store_setup_used(w->db, 1);
    return rc ? rc : store_setup_create(w->db, 1, B, C, (struct wall){123});
}

static int w_key(struct world *w)
{
    struct store_key_new k = {.kind = STORE_KEY_API, .hash = B, .tailnet = 1};
    int rc = store_key_create(w->db, &k);
    rc = rc ? rc : store_key_used(w->db, 1, S(""));
    rc = rc ? rc : store_key_describe(w->db, 1, S("text"));
    rc = rc ? rc : store_key_grants(w->db, 1, S("dns"), S(""));
    struct store_token_new t = {1, B, S("dns"), S(""), {500}};
    rc = rc ? rc : store_token_create(w->db, &t);
    rc = rc ? rc : store_tokens_end(w->db, 1);
    rc = rc ? rc : store_tokens_expire(w->db, (struct wall){1});
    return rc ? rc : store_key_revoke(w->db, 1);
}

static int w_node(struct world *w)
{
    struct store_node n;
    int64_t id = 0, number = store_node_next_number(w->db);
    if (number < 0) {
        return (int)number;
    }
    fill_node(&n, (int)number, 1);
    int rc = store_label_free(w->db, 1, slice_str(n.label));
    return rc ? rc : store_node_create(w->db, 1, &n, C, &id);
}

static int w_node_changes(struct world *w)
{
    int rc = store_node_rekey(w->db, 1, C);
    rc = rc ? rc : store_node_remote(w->db, 1, S("198.51.100.9"));
    rc = rc ? rc : store_node_address(w->db, 1, S("100.64.1.1"));
    return rc ? rc : store_node_tag(w->db, 1, S("[\"tag:web\"]"), 0);
}

static int w_node_delete(struct world *w)
{
    return store_node_delete(w->db, 1);
}

static int w_user_changes(struct world *w)
{
    int rc = store_user_role(w->db, 2, "admin");
    rc = rc ? rc : store_user_suspend(w->db, 2, true);
    return rc ? rc : store_user_set_name(w->db, 2, S("Bob"));
}

static int w_user_delete(struct world *w)
{
    return store_user_delete(w->db, 2);
}

static int w_relay(struct world *w)
{
    struct store_relay r = relay_1;
    memcpy(r.host, "relay9", 6);
    int rc = store_relay_create(w->db, &r, B);
    rc = rc ? rc : store_relay_acked(w->db, 1, 7);
    rc = rc ? rc : store_relay_nodes_clear(w->db, 1);
    return rc ? rc : store_relay_node_add(w->db, 1, 2, (struct wall){200});
}

static int w_funnels(struct world *w)
{
    struct store_funnel f = {
        .node_id = 1, .port = 8443, .kind = "http", .target = "3001", .source = "foreground"};
    int rc = store_funnel_put(w->db, &f);
    return rc ? rc : store_funnel_delete(w->db, 1, 443);
}

static int w_request(struct world *w)
{
    struct store_request r = {.node_id = 1,
                              .port = 443,
                              .stable_id = "request2",
                              .match_code = "KPAP-9Q",
                              .expires = {3000}};
    return store_request_create(w->db, &r);
}

/* What an approval is: the policy, HTTPS and the decision, or nothing. */
static int w_approve(struct world *w)
{
    int64_t rev = 0;
    struct store_policy_new p = {S("{\"nodeAttrs\": []}"), "etag2", "ann@example.com", "approval",
                                 "funnel"};
    int rc = store_policy_save(w->db, 1, &p, &rev);
    rc = rc ? rc : store_tailnet_https(w->db, 1, true);
    return rc ? rc : store_request_decide(w->db, 1, "granted", S("ann@example.com"), S(""));
}

static int w_expire(struct world *w)
{
    int count = 0;
    int rc = store_requests_expire(w->db, (struct wall){5000}, &count);
    return rc ? rc : count == 1 ? 0 : -ERANGE;
}

static int w_cert(struct world *w)
{
    struct wall after = {9000};
    int rc = store_cert_order(w->db, 1, "order3", S("another CSR"), "spki2");
    rc = rc ? rc : store_cert_state(w->db, 1, "issuing", S(""), (struct wall){0});
    rc = rc ? rc : store_cert_issued(w->db, 1, S("another chain"), "spki2", after, S("CA"));
    return rc ? rc : store_cert_state(w->db, 2, "failed", S("why"), (struct wall){77});
}

static int w_settings(struct world *w)
{
    struct store_policy_settings s = {.locked = true, .link = "https://git.example"};
    int rc = store_policy_settings_set(w->db, 1, &s);
    return rc ? rc : store_policy_summed(w->db, 1, "sum");
}

static int w_passkeys(struct world *w)
{
    struct store_passkey_new p = {1, S("another"), S("public key"), S("phone"), -7, 0};
    int rc = store_passkey_add(w->db, &p);
    return rc ? rc : store_passkey_used(w->db, 1, 9);
}

static int w_totp(struct world *w)
{
    int rc = store_totp_confirm(w->db, 1, 5);
    rc = rc ? rc : store_totp_take(w->db, 1, 6);
    return rc ? rc : store_totp_clear(w->db, 1);
}

static int w_recovery(struct world *w)
{
    const struct slice codes[] = {B, C};
    int rc = store_recovery_take(w->db, 1, A);
    return rc ? rc : store_recovery_set(w->db, 1, codes, 2);
}

static int w_oidc(struct world *w)
{
    int rc = store_oidc_link(w->db, 1, S("https://id.example"), S("ann"));
    return rc ? rc : store_oidc_used(w->db, S("https://id.example"), S("ann"));
}

static int w_invites(struct world *w)
{
    char id[STORE_ID_SIZE];
    struct store_invite_new i = {1, 1, S("new@example.com"), A, "member", {9000}};
    int rc = store_invite_create(w->db, &i, id);
    rc = rc ? rc : store_invite_renew(w->db, 1, B, (struct wall){9999});
    return rc ? rc : store_invite_accept(w->db, 1);
}

static int w_trim(struct world *w)
{
    return store_changes_trim(w->db, 1);
}

#define OP(fn)  \
    {           \
#fn, fn \
    }
static const struct op writes[] = {
    OP(w_https),        OP(w_user),        OP(w_password), OP(w_session),      OP(w_sessions_end),
    OP(w_setup),        OP(w_key),         OP(w_node),     OP(w_node_changes), OP(w_node_delete),
    OP(w_user_changes), OP(w_user_delete), OP(w_relay),    OP(w_funnels),      OP(w_request),
    OP(w_approve),      OP(w_expire),      OP(w_cert),     OP(w_settings),     OP(w_passkeys),
    OP(w_totp),         OP(w_recovery),    OP(w_oidc),     OP(w_invites),      OP(w_trim),
};

static void each_write(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
        w->op = &writes[i];
        w->rows = 0;
        struct fault_case c = {writes[i].name, fresh_copy, write_whole, judge_write};
        fault_sweep(FAULT_STEP, &c, w);
    }
}

/* ---- reads ---- */

static void see(struct world *w, int64_t n, const char *text)
{
    size_t at = strlen(w->seen);
    snprintf(w->seen + at, sizeof w->seen - at, "%lld %s\n", (long long)n, text);
}

static void see_node(void *arg, const struct store_node *n)
{
    see(arg, n->id, n->label);
}

static void see_relay(void *arg, const struct store_relay *r)
{
    see(arg, r->id, r->name);
}

static void see_where(void *arg, struct slice relay_id, struct wall since)
{
    see(arg, since.s, relay_id.n ? "there" : "");
}

static void see_funnel(void *arg, const struct store_funnel *f)
{
    see(arg, f->port, f->target);
}

static void see_request(void *arg, const struct store_request *r)
{
    see(arg, r->id, r->state);
}

static void see_due(void *arg, int64_t node)
{
    see(arg, node, "due");
}

static void see_version(void *arg, const struct store_policy_meta *m)
{
    see(arg, m->id, m->etag);
}

static void see_person(void *arg, const struct store_person *p)
{
    see(arg, p->user.id, p->user.login);
}

static void see_session(void *arg, const struct store_session_row *s)
{
    see(arg, s->id, s->agent);
}

static void see_passkey(void *arg, const struct store_passkey *p, struct slice credential)
{
    see(arg, p->id, credential.n ? p->name : "");
}

static void see_change(void *arg, int64_t seq, struct slice kind, int64_t node)
{
    see(arg, seq * 100 + node, slice_eq(kind, S("node")) ? "node" : "policy");
}

static void see_fact_user(void *arg, const struct store_fact_user *u)
{
    see(arg, u->id, u->suspended ? "suspended" : "user");
}

static void see_fact_node(void *arg, const struct store_fact_node *n)
{
    see(arg, n->id, n->user_id ? "owned" : "tagged");
}

static int r_nodes(struct world *w)
{
    return store_nodes_each(w->db, see_node, w);
}

static int r_relays(struct world *w)
{
    int rc = store_relays_each(w->db, see_relay, w);
    return rc ? rc : store_relay_nodes_each(w->db, 1, see_where, w);
}

static int r_funnels(struct world *w)
{
    int64_t after = 0;
    int rc = store_funnels_each(w->db, 0, see_funnel, w);
    rc = rc ? rc : store_funnel_nodes(w->db, &after, 10, see_due, w);
    see(w, after, "end");
    return rc;
}

static int r_requests(struct world *w)
{
    int rc = store_requests_recent(w->db, 2, (struct wall){0}, see_request, w);
    return rc ? rc : store_requests_pending(w->db, see_request, w);
}

static int r_due(struct world *w)
{
    return store_certs_due(w->db, (struct wall){500}, see_due, w);
}

static int r_versions(struct world *w)
{
    return store_policies_each(w->db, 1, 0, 10, see_version, w);
}

static int r_people(struct world *w)
{
    int rc = store_people_each(w->db, 1, see_person, w);
    rc = rc ? rc : store_sessions_each(w->db, 1, see_session, w);
    return rc ? rc : store_passkeys_each(w->db, 1, see_passkey, w);
}

static int r_changes(struct world *w)
{
    int64_t seq = 0;
    int rc = store_changes_since(w->db, &seq, see_change, w);
    see(w, seq, "cursor");
    return rc;
}

static int r_facts(struct world *w)
{
    int rc = store_fact_users(w->db, 1, see_fact_user, w);
    return rc ? rc : store_fact_nodes(w->db, 1, see_fact_node, w);
}

static int r_counts(struct world *w)
{
    int64_t head = store_change_head(w->db), relays = store_node_online_relays(w->db, 1),
            left = store_recovery_left(w->db, 1);
    int at = store_node_at_relay(w->db, 1, 1);
    int64_t bad = head < 0 ? head : relays < 0 ? relays : left < 0 ? left : at;
    see(w, head * 100 + relays * 10 + left, "counts");
    return (int)bad;
}

/* One row each: into w->row, which stays as it was after a failure. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type */
#define ROW(name, type, call)                                           \
    static int name(struct world *w)                                    \
    {                                                                   \
        static_assert(sizeof(type) <= ROW_SIZE, "make the row larger"); \
        type *out = (type *)(void *)w->row;                             \
        return call;                                                    \
    }
/* NOLINTEND(bugprone-macro-parentheses) */
ROW(r_tailnet, struct store_tailnet, store_tailnet(w->db, out))
ROW(r_user, struct store_user, store_user_by_login(w->db, S("ann@example.com"), out))
ROW(r_session, struct store_session_row, store_session_row(w->db, A, out))
ROW(r_setup, struct store_setup, store_setup(w->db, A, out))
ROW(r_key, struct store_key, store_key(w->db, A, out))
ROW(r_node, struct store_node, store_node_by_token(w->db, A, out))
ROW(r_relay, struct store_relay, store_relay_by_token(w->db, A, out))
ROW(r_request, struct store_request, store_request(w->db, S("request1"), out))
ROW(r_pending, struct store_request, store_request_pending(w->db, 2, 443, out))
ROW(r_cert, struct store_cert, store_cert(w->db, 1, out, NULL, NULL))
ROW(r_settings, struct store_policy_settings, store_policy_settings(w->db, 1, out))
ROW(r_policy_facts, struct store_facts, store_facts(w->db, 1, out))
ROW(r_person, struct store_person, store_person_by_id(w->db, 1, out))

static const struct op reads[] = {
    OP(r_nodes),   OP(r_relays),  OP(r_funnels),  OP(r_requests),     OP(r_due),     OP(r_versions),
    OP(r_people),  OP(r_changes), OP(r_facts),    OP(r_counts),       OP(r_tailnet), OP(r_user),
    OP(r_session), OP(r_setup),   OP(r_key),      OP(r_node),         OP(r_relay),   OP(r_request),
    OP(r_pending), OP(r_cert),    OP(r_settings), OP(r_policy_facts), OP(r_person),
};

static int read_whole(void *arg)
{
    struct world *w = arg;
    int rc = w->op->fn(w);
    return rc ? rc : w->right[0] && strcmp(w->seen, w->right) != 0 ? -ERANGE : 0;
}

static void judge_read(void *arg, int rc)
{
    struct world *w = arg;
    assert_true(rc <= 0 && rc != -ERANGE); /* no "there is none", and nothing short of all */
    if (!rc && !w->right[0]) {
        memcpy(w->right, w->seen, sizeof w->right);
    }
    for (size_t i = 0; rc && i < sizeof w->row; i++) {
        assert_int_equal(w->row[i], UNTOUCHED);
    }
    db_close(w->db);
}

static void each_read(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
        w->op = &reads[i];
        w->right[0] = '\0';
        struct fault_case c = {reads[i].name, fresh_copy, read_whole, judge_read};
        fault_sweep(FAULT_STEP, &c, w);
    }
}

/* ---- memory: rows with texts of any size ---- */

static int m_texts(struct world *w)
{
    struct store_policy_meta *meta = (struct store_policy_meta *)(void *)w->row;
    struct store_cert cert;
    struct buf text = BUF_MAX(64 * KIB), chain = BUF_MAX(64 * KIB), csr = BUF_MAX(64 * KIB);
    int rc = store_cert(w->db, 1, &cert, &chain, &csr);
    rc = rc ? rc : store_policy(w->db, 1, meta, &text);
    if (!rc &&
        (!slice_eq(buf_slice(&text), S("{}")) || !slice_eq(buf_slice(&chain), S("a chain")) ||
         !slice_eq(buf_slice(&csr), S("a CSR")))) {
        rc = -ERANGE;
    }
    buf_deinit(&text);
    buf_deinit(&chain);
    buf_deinit(&csr);
    return rc;
}

static void texts_without_memory(void **state)
{
    static const struct op op = OP(m_texts);
    struct world *w = *state;
    w->op = &op;
    w->right[0] = '\0';
    struct fault_case c = {op.name, fresh_copy, read_whole, judge_read};
    fault_sweep(FAULT_MEMORY, &c, w);
    fault_sweep(FAULT_STEP, &c, w);
}

/* ---- opening and migrating ---- */

static void nothing_there(void *arg)
{
    struct world *w = arg;
    forget(w->path);
    w->db = NULL;
}

static int open_and_migrate(void *arg)
{
    struct world *w = arg;
    char why[300] = "";
    int rc = db_open(w->path, DB_WRITER, why, sizeof why, &w->db);
    rc = rc ? rc : db_migrate(w->db, migrations, migration_count, why, sizeof why);
    return rc && !why[0] ? -ERANGE : rc; /* a person is told why */
}

/* What a failed one leaves behind is taken up by the next. */
static void judge_migration(void *arg, int rc)
{
    struct world *w = arg;
    assert_true(rc <= 0 && rc != -ERANGE);
    db_close(w->db);
    w->db = NULL;
    assert_int_equal(open_and_migrate(w), 0);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(w->db);
    int64_t id = 0;
    assert_non_null(tx);
    assert_int_equal(store_tailnet_create(w->db, S("pango-lin"), &id), 0);
    db_tx_endp(&tx);
    db_close(w->db);
}

static void migrations_break_anywhere(void **state)
{
    struct fault_case c = {"migrate", nothing_there, open_and_migrate, judge_migration};
    fault_sweep(FAULT_STEP, &c, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_write, setup, teardown),
        cmocka_unit_test_setup_teardown(each_read, setup, teardown),
        cmocka_unit_test_setup_teardown(texts_without_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(migrations_break_anywhere, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
