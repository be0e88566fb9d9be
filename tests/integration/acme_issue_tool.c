/*
 * Control's half of issuing without control: the judge, the uacme issuer and the embedded DNS
 * server in one loop, driven by lines on standard input (a socket) for test_acme_issue.py.
 *
 *   acme_issue_tool RUNNER_SOCKET HOOK_SOCKET HOOK_UID ZONE DNS_PORT
 *   issue ID NAME[,NAME] CSR_FILE   -> {"id", "class", "detail", "retryAt", "chain"} when it has
 * ended mode plain|refuse|wrong|hold    what a begin gets: published and probed, refused, another
 * value, no reply at all reply                           replies to what was held account ->
 * {"account"} published                       -> {"published"}: begins without their end
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "acme/acme.h"
#include "dns/dns.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/data/json.h"
#include "lib/io/stream.h"

enum mode { MODE_PLAIN, MODE_REFUSE, MODE_WRONG, MODE_HOLD };

struct tool {
    struct loop *lp;
    struct stream *in;
    struct list jobs;
    struct acme_issuer *issuer;
    struct dns_zone *zone;
    struct dns_server *dns;
    struct addr authority;
    enum mode mode;
    int64_t published;
    acme_reply_fn held;
    void *held_ctx;
};

struct job {
    struct list link; /* in jobs: an issuer that ends calls no done */
    struct tool *t;
    char id[41];
};

struct asked {
    acme_reply_fn reply;
    void *ctx;
};

static void say(struct tool *t, struct js *j)
{
    struct buf line = BUF_MAX(MIB);
    js_write(j, JS_COMPACT, &line);
    buf_addc(&line, '\n');
    if (stream_write(t->in, buf_slice(&line))) {
        loop_stop(t->lp);
    }
    buf_deinit(&line);
    js_free(j);
}

/* ---- challenges ---- */

static void shown(void *arg, bool found, const char *why)
{
    struct asked *a = arg;
    (void)why;
    a->reply(a->ctx, found);
    mem_free(a);
}

static void full_name(struct slice name, char out[300])
{
    snprintf(out, 300, "_acme-challenge.%.*s", 254 < name.n ? 254 : (int)name.n, name.p);
}

static void begin(void *arg,
                  const char *id,
                  struct slice name,
                  struct slice value,
                  acme_reply_fn reply,
                  void *ctx)
{
    struct tool *t = arg;
    char full[300];
    (void)id;
    t->published++; /* every begin has its end, whatever it was replied */
    if (t->mode == MODE_REFUSE) {
        reply(ctx, false);
        return;
    }
    if (t->mode == MODE_WRONG) {
        value = S("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    }
    full_name(name, full);
    if (dns_zone_add_txt(t->zone, slice_str(full), value, 0) < 0 ||
        dns_zone_publish(t->zone, t->dns) < 0) {
        reply(ctx, false);
        return;
    }
    if (t->mode == MODE_HOLD) {
        t->held = reply;
        t->held_ctx = ctx;
        return;
    }
    struct asked *a = mem_new(sizeof *a);
    *a = (struct asked){reply, ctx};
    if (!dns_probe_txt(t->lp, &t->authority, slice_str(full), value, shown, a)) {
        shown(a, false, "");
    }
}

static void end(void *arg, const char *id, struct slice name, struct slice value)
{
    struct tool *t = arg;
    char full[300];
    (void)id;
    full_name(name, full);
    if (dns_zone_del_txt(t->zone, slice_str(full), value) == 0) {
        err_ignore(dns_zone_publish(t->zone, t->dns));
    }
    t->published--;
}

static const struct acme_challenge_ops challenge_ops = {.begin = begin, .end = end};

/* ---- orders ---- */

static void tell(struct job *job, const char *class, const struct acme_result *r)
{
    struct js *j = js_object();
    js_set_cstr(j, "id", job->id);
    js_set_cstr(j, "class", class);
    js_set_str(j, "detail", r->detail);
    js_set_int(j, "retryAt", r->retry_at.s);
    js_set_str(j, "chain", r->chain_pem);
    say(job->t, j);
    list_unlink(&job->link);
    mem_free(job);
}

static void on_done(void *arg, const struct acme_result *r)
{
    tell(arg, acme_class_name(r->class), r);
}

static void issue(struct tool *t, struct slice id, struct slice names, struct slice file)
{
    struct job *job = mem_new(sizeof *job);
    struct acme_csr *csr = mem_new(sizeof *csr);
    struct buf pem = BUF_MAX(64 * KIB);
    struct slice allowed[10];
    size_t count = 0;
    char path[300], why[200] = "";
    job->t = t;
    list_push_back(&t->jobs, &job->link);
    while (count < ARRAY_LEN(allowed) && slice_split(&names, ',', &allowed[count])) {
        count++;
    }
    bool ok = slice_copy(id, job->id, sizeof job->id) && slice_copy(file, path, sizeof path) &&
              file_read(path, &pem) == 0;
    struct acme_order_opts o = {
        .order_id = job->id, .csr_pem = buf_slice(&pem), .csr = csr, .done = on_done, .arg = job};
    if (!ok || acme_judge(buf_slice(&pem), allowed, count, csr, why, sizeof why)) {
        tell(job, "refused", &(struct acme_result){.detail = slice_str(why)});
    } else {
        int rc = acme_issue(t->issuer, &o);
        if (rc < 0) {
            tell(job, rc == -EAGAIN ? "busy" : "unreachable",
                 &(struct acme_result){.detail = S("")});
        }
    }
    buf_deinit(&pem);
    mem_free(csr);
}

static void set_mode(struct tool *t, struct slice word)
{
    static const char *const modes[] = {"plain", "refuse", "wrong", "hold"};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        t->mode = slice_eq(word, slice_str(modes[i])) ? (enum mode)i : t->mode;
    }
}

static void obey(struct tool *t, struct slice line)
{
    struct slice word, a = S(""), b = S(""), c = S("");
    if (!slice_split(&line, ' ', &word)) {
        return;
    }
    if (slice_eq(word, S("issue")) && slice_split(&line, ' ', &a) && slice_split(&line, ' ', &b) &&
        slice_split(&line, ' ', &c)) {
        issue(t, a, b, c);
    } else if (slice_eq(word, S("mode"))) {
        set_mode(t, line);
    } else if (slice_eq(word, S("reply")) && t->held) {
        acme_reply_fn held = STEAL(t->held);
        held(t->held_ctx, true);
    } else if (slice_eq(word, S("account"))) {
        struct js *j = js_object();
        js_set_cstr(j, "account", acme_account_uri(t->issuer));
        say(t, j);
    } else if (slice_eq(word, S("published"))) {
        struct js *j = js_object();
        js_set_int(j, "published", t->published);
        say(t, j);
    }
}

static size_t on_data(void *arg, struct slice data)
{
    ptrdiff_t lf = slice_find(data, '\n');
    if (lf < 0) {
        return 0;
    }
    obey(arg, slice_sub(data, 0, (size_t)lf));
    return (size_t)lf + 1;
}

static void on_close(void *arg, int why)
{
    struct tool *t = arg;
    (void)why;
    t->in = NULL;
    loop_stop(t->lp);
}

static const struct stream_ops stdin_ops = {.on_data = on_data, .on_close = on_close};

/* ---- begin and end ---- */

static bool start_dns(struct tool *t, struct slice zone, uint16_t port)
{
    const struct slice ns[] = {S("ns.example.com")};
    const struct dns_zone_opts zo = {.origin = zone,
                                     .ns = ns,
                                     .ns_count = 1,
                                     .contact = S("hostmaster.example.com"),
                                     .negative_ttl = 1};
    char why[200] = "";
    t->zone = dns_zone_new(&zo, why, sizeof why);
    if (!t->zone || !addr_from_ip(S("127.0.0.1"), port, &t->authority)) {
        fprintf(stderr, "zone: %s\n", why);
        return false;
    }
    int udp = sock_bind_udp(&t->authority, SOCK_PLAIN),
        tcp = sock_listen(&t->authority, 16, SOCK_PLAIN);
    const struct dns_server_opts so = {
        .udp_fds = &udp, .tcp_fds = &tcp, .udp_count = 1, .tcp_count = 1};
    return udp >= 0 && tcp >= 0 && dns_server_start(&so, &t->dns) == 0 &&
           dns_zone_publish(t->zone, t->dns) == 0;
}

int main(int argc, char **argv)
{
    struct tool t = {.lp = loop_new()};
    list_init(&t.jobs);
    uint64_t uid, port;
    if (argc != 6 || !slice_u64(slice_str(argv[3]), UINT32_MAX, &uid) ||
        !slice_u64(slice_str(argv[5]), UINT16_MAX, &port) ||
        !start_dns(&t, slice_str(argv[4]), (uint16_t)port)) {
        fprintf(stderr,
                "usage: acme_issue_tool RUNNER_SOCKET HOOK_SOCKET HOOK_UID ZONE DNS_PORT\n");
        return 64;
    }
    const struct acme_uacme_opts o = {.runner_socket = argv[1],
                                      .hook_socket = argv[2],
                                      .hook_uid = (unsigned)uid,
                                      .in_flight_max = 4,
                                      .ops = &challenge_ops,
                                      .arg = &t};
    if (acme_issuer_uacme(t.lp, &o, &t.issuer) < 0) {
        fprintf(stderr, "cannot listen on %s\n", argv[2]);
        return 69;
    }
    int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    if (in < 0 || fcntl(in, F_SETFL, O_NONBLOCK) < 0) {
        return 69;
    }
    t.in = stream_new(t.lp, in, NULL, &stdin_ops, NULL, &t);
    int rc = loop_run(t.lp);
    acme_issuer_free(t.issuer);
    for (int i = 0; i < 5; i++) {
        rc = rc ? rc : loop_turn(t.lp, MS(20));
    }
    /* The publisher may reply when the issuer is gone already. */
    if (t.held) {
        t.held(t.held_ctx, false);
    }
    rc = rc ? rc : loop_turn(t.lp, 0);
    LIST_FOREACH (l, &t.jobs) {
        mem_free(LIST_ENTRY(l, struct job, link));
    }
    dns_server_stop(t.dns);
    dns_zone_free(t.zone);
    loop_free(t.lp);
    return rc ? 69 : 0;
}
