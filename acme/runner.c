/*
 * The runner. One connection, one request: "account" or "issue". An order's
 * child lives as long as its connection; when control goes, it is killed.
 */
#include "acme/runner.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/json.h"
#include "lib/io/proc.h"
#include "lib/io/stream.h"

enum {
    CHILD_CPU_S = 20,
    CHILD_AS = 256 * 1024 * 1024,
    CHILD_FSIZE = 1024 * 1024,
    CHILD_FILES = 64,
    STDERR_MAX = 64 * 1024,
    REQUEST_MAX = 64 * 1024,
    CHAIN_MAX = 64 * 1024,
    PATH_SIZE = 400,
    ID_MAX = 40,
};

static const int64_t account_retry = SECONDS(5);

static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
#define AT(field) offsetof(struct runner_config, field)
const struct conf_option runner_options[] = {
    {.key = "url",      .kind = CONF_STR,  .offset = AT(url), .help = "directory URL of the ACME server"},
    { .key = "caFile",
     .kind = CONF_STR,
     .offset = AT(ca_file),
     .fallback = "",
     .help = "CA certificates for a private ACME server; empty: the system's"},
    {                            .key = "stateDir",
     .kind = CONF_STR,
     .offset = AT(state_dir),
     .fallback = "/var/lib/funnel-acme",
     .help = "where the account key and the orders' directories are"},
    {                                     .key = "socket",
     .kind = CONF_STR,
     .offset = AT(socket),
     .fallback = "/run/funnel/acme.sock",
     .help = "where control asks for certificates"},
    {                                                       .key = "hookSocket",
     .kind = CONF_STR,
     .offset = AT(hook_socket),
     .fallback = "/run/funnel/hook.sock",
     .help = "control's socket for challenges"},
    {                                                           .key = "uacme",
     .kind = CONF_STR,
     .offset = AT(uacme),
     .fallback = "/usr/bin/uacme",
     .help = "path of uacme"},
    {                                                                             .key = "email",
     .kind = CONF_STR,
     .offset = AT(email),
     .fallback = "",
     .help = "contact of the account; empty: none"},
    {                                                       .key = "childUid",
     .kind = CONF_INT,
     .offset = AT(child_uid),
     .fallback = "0",
     .min = 0,
     .max = INT32_MAX,
     .help = "user of uacme; 0: our own"},
    {                                                                                      .key = "childGid",
     .kind = CONF_INT,
     .offset = AT(child_gid),
     .fallback = "0",
     .min = 0,
     .max = INT32_MAX,
     .help = "group of uacme; 0: our own"},
    {                                                                                       .key = "deadline",
     .kind = CONF_INT,
     .offset = AT(deadline_s),
     .fallback = "120",
     .min = 5,
     .max = 3600,
     .help = "seconds that one order may take"},
    {                                                                                      .key = "log.level",
     .kind = CONF_ENUM,
     .offset = AT(log_level),
     .fallback = "info",
     .names = levels,
     .help = "how much is logged"},
    {                                                           .key = "log.json",
     .kind = CONF_BOOL,
     .offset = AT(log_json),
     .fallback = "false",
     .help = "log lines as JSON"},
};
const size_t runner_option_count = ARRAY_LEN(runner_options);

struct runner {
    struct loop *lp;
    const struct runner_config *cfg;
    struct watch listener;
    struct list requests;
    struct proc *account_proc;
    struct timer account_again;
    char account_uri[512];
    char hook[PATH_SIZE], account_dir[PATH_SIZE], orders[PATH_SIZE];
};

struct request {
    struct list link;
    struct runner *r;
    struct stream *stream;
    struct proc *proc;
    char dir[PATH_SIZE];
    bool asked;
    struct retire retire;
};

/* ---- children ---- */

static struct proc_opts
child_opts(const struct runner *r, const char *const *argv, const char *const *env, const char *cwd)
{
    return (struct proc_opts){.argv = argv,
                              .env = env,
                              .cwd = cwd,
                              .uid = (uid_t)r->cfg->child_uid,
                              .gid = (gid_t)r->cfg->child_gid,
                              .cpu_s = CHILD_CPU_S,
                              .as_bytes = CHILD_AS,
                              .fsize_bytes = CHILD_FSIZE,
                              .nofile = CHILD_FILES,
                              .umask = 077,
                              .deadline_ns = SECONDS(r->cfg->deadline_s),
                              .stderr_max = STDERR_MAX};
}

static int make_dir(const struct runner *r, const char *path)
{
    int rc = file_mkdirs(path, 0700);
    if (!rc && r->cfg->child_uid &&
        chown(path, (uid_t)r->cfg->child_uid, (gid_t)r->cfg->child_gid) < 0) {
        rc = -errno;
    }
    return rc < 0 ? err_origin(rc) : 0;
}

/* ---- the account ---- */

static void make_account(void *arg);

/* "uacme: account created at URI", "uacme: Account already exists at URI" */
static bool find_uri(struct slice text, char *out, size_t size)
{
    struct slice line;
    while (slice_split(&text, '\n', &line)) {
        ptrdiff_t at = slice_rfind(line, ' ');
        struct slice uri = at < 0 ? S("") : slice_skip(line, (size_t)at + 1);
        if ((slice_starts(line, S("uacme: account created")) ||
             slice_starts(line, S("uacme: Account already"))) &&
            slice_starts(uri, S("https://")) && text_printable(uri, size - 1)) {
            return slice_copy(uri, out, size);
        }
    }
    return false;
}

static void on_account(void *arg, int exit_code, bool timed_out, struct slice err_text)
{
    struct runner *r = arg;
    r->account_proc = NULL;
    if (find_uri(err_text, r->account_uri, sizeof r->account_uri)) {
        log_info("account", F_STR("uri", r->account_uri));
        return;
    }
    log_warn("account.failed", F_I64("exit", exit_code), F_BOOL("timedOut", timed_out),
             F_SLICE("uacme", err_text));
    timer_set_in(r->lp, &r->account_again, account_retry, make_account, r);
}

static void make_account(void *arg)
{
    struct runner *r = arg;
    const struct runner_config *c = r->cfg;
    const char *argv[] = {c->uacme,
                          "-v",
                          "-y",
                          "-t",
                          "EC",
                          "-a",
                          c->url,
                          "-c",
                          r->account_dir,
                          "new",
                          *c->email ? c->email : NULL,
                          NULL};
    struct proc_opts o = child_opts(r, argv, NULL, r->account_dir);
    if (proc_start(r->lp, &o, on_account, r, &r->account_proc) < 0) {
        log_error("uacme.not_started", F_STR("path", c->uacme),
                  F_STR("fix", "install the package uacme"));
        timer_set_in(r->lp, &r->account_again, account_retry, make_account, r);
    }
}

/* ---- orders ---- */

static void answer(struct request *q, struct js *j)
{
    struct buf line = BUF_MAX(MIB);
    js_write(j, JS_COMPACT, &line);
    buf_addc(&line, '\n');
    if (q->stream && stream_write(q->stream, buf_slice(&line))) {
        stream_close(q->stream, -EIO);
    } else if (q->stream) {
        stream_finish(q->stream);
    }
    buf_deinit(&line);
}

static void answer_error(struct request *q, const char *why)
{
    AUTO(js_freep) struct js *j = js_object();
    js_set_int(j, "exit", 2);
    js_set_cstr(j, "stderr", why);
    answer(q, j);
}

static void remove_dir(struct request *q)
{
    static const char *const files[] = {"req.csr", "req-cert.pem"};
    char path[PATH_SIZE + 32];
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof path, "%s/%s", q->dir, files[i]);
        err_ignore(unlink(path));
    }
    err_ignore(rmdir(q->dir)); /* what else a child left there stays for whoever investigates */
}

static void maybe_free(struct request *q);

static void on_issued(void *arg, int exit_code, bool timed_out, struct slice err_text)
{
    struct request *q = arg;
    struct buf chain = BUF_MAX(CHAIN_MAX);
    char path[PATH_SIZE + 32];
    q->proc = NULL;
    snprintf(path, sizeof path, "%s/req-cert.pem", q->dir);
    AUTO(js_freep) struct js *j = js_object();
    js_set_int(j, "exit", exit_code);
    js_set_bool(j, "timedOut", timed_out);
    if (text_utf8_valid(err_text)) {
        js_set_str(j, "stderr", err_text);
    }
    if (exit_code == 0 && file_read(path, &chain) == 0) {
        js_set_str(j, "chain", buf_slice(&chain));
    }
    log_info("order.done", F_I64("exit", exit_code), F_BOOL("timedOut", timed_out),
             F_SLICE("uacme", exit_code ? err_text : S("")));
    answer(q, j);
    buf_deinit(&chain);
    remove_dir(q);
    maybe_free(q);
}

static bool good_id(struct slice id)
{
    return id.n && id.n <= ID_MAX && text_label(id);
}

static int write_csr(struct request *q, struct slice csr)
{
    char path[PATH_SIZE + 32];
    const struct runner_config *c = q->r->cfg;
    int rc = make_dir(q->r, q->dir);
    snprintf(path, sizeof path, "%s/req.csr", q->dir);
    rc = rc ? rc : file_replace(path, 0600, csr);
    if (!rc && c->child_uid && chown(path, (uid_t)c->child_uid, (gid_t)c->child_gid) < 0) {
        rc = -errno;
    }
    return rc;
}

static int start_order(struct request *q, const struct js *j)
{
    struct runner *r = q->r;
    struct slice id = js_get_str(j, "id"), token = js_get_str(j, "token");
    char unique[9], csr_path[PATH_SIZE + 32];
    if (!good_id(id) || !text_label(token)) {
        return -EINVAL;
    }
    secret_id(unique, sizeof unique - 1);
    /* One fresh directory an order, no dot in its name (traps T5 to T7). */
    snprintf(q->dir, sizeof q->dir, "%.300s/" SLICE_FMT "-%s", r->orders, SLICE_ARG(id), unique);
    snprintf(csr_path, sizeof csr_path, "%s/req.csr", q->dir);
    int rc = write_csr(q, js_get_str(j, "csr"));
    if (rc < 0) {
        return err_trace(rc);
    }
    struct buf sock = BUF_MAX(512), tok = BUF_MAX(512);
    buf_addf(&sock, "ORDER_SOCK=%s", r->cfg->hook_socket);
    buf_addf(&tok, "ORDER_TOKEN=" SLICE_FMT, SLICE_ARG(token));
    const char *env[] = {buf_cstr(&sock), buf_cstr(&tok), NULL};
    const char *argv[] = {r->cfg->uacme, "-n",    "-o",        "-f",     "-t",
                          "EC",          "-a",    r->cfg->url, "-c",     r->account_dir,
                          "-h",          r->hook, "issue",     csr_path, NULL};
    struct proc_opts o = child_opts(r, argv, env, q->dir);
    rc = proc_start(r->lp, &o, on_issued, q, &q->proc);
    buf_deinit(&sock);
    secret_wipe_buf(&tok);
    if (rc < 0) {
        remove_dir(q);
    }
    return rc < 0 ? err_trace(rc) : 0;
}

/* ---- requests ---- */

static void serve(struct request *q, struct slice line)
{
    char why[160];
    AUTO(js_freep) struct js *j = js_parse(line, REQUEST_MAX, why, sizeof why);
    struct slice op = js_get_str(j, "op");
    if (slice_eq(op, S("account"))) {
        AUTO(js_freep) struct js *out = js_object();
        js_set_cstr(out, "uri", q->r->account_uri);
        answer(q, out);
    } else if (!slice_eq(op, S("issue"))) {
        answer_error(q, "unknown request");
    } else if (!q->r->account_uri[0]) {
        answer_error(q, "curl_easy_perform: the ACME account could not be made yet");
    } else if (start_order(q, j) < 0) {
        answer_error(q, "the order could not be started");
    }
}

static size_t on_data(void *arg, struct slice data)
{
    struct request *q = arg;
    ptrdiff_t lf = slice_find(data, '\n');
    if (lf < 0) {
        return 0;
    }
    if (!q->asked) {
        q->asked = true;
        serve(q, slice_of(data.p, (size_t)lf));
    }
    return data.n;
}

static void free_request(void *arg)
{
    mem_free(arg);
}

static void maybe_free(struct request *q)
{
    if (!q->stream && !q->proc && !q->retire.fn) {
        list_unlink(&q->link);
        loop_retire(q->r->lp, &q->retire, free_request, q);
    }
}

static void on_close(void *arg, int why)
{
    (void)why;
    struct request *q = arg;
    q->stream = NULL;
    if (q->proc) {
        proc_kill(q->proc); /* nobody waits for it any more */
    }
    maybe_free(q);
}

static const struct stream_ops ops = {.on_data = on_data, .on_close = on_close};

static void on_accept(void *arg, uint32_t events)
{
    (void)events;
    struct runner *r = arg;
    int fd;
    while ((fd = sock_accept(r->listener.fd, NULL)) >= 0) {
        struct sock_cred cred;
        if (!sock_peer_cred(fd, &cred) || (cred.uid != getuid() && cred.uid != 0)) {
            close(fd);
            continue;
        }
        struct request *q = mem_new(sizeof *q);
        q->r = r;
        list_push_back(&r->requests, &q->link);
        q->stream = stream_new(r->lp, fd, NULL, S(""), &ops,
                               &(struct stream_opts){.in_max = REQUEST_MAX}, q);
    }
}

static int prepare_files(struct runner *r, const char *self_path)
{
    const char *dir = r->cfg->state_dir;
    snprintf(r->account_dir, sizeof r->account_dir, "%s/account", dir);
    snprintf(r->orders, sizeof r->orders, "%s/orders", dir);
    snprintf(r->hook, sizeof r->hook, "%s/" HOOK_NAME, dir);
    int rc = file_mkdirs(dir, 0711); /* the child passes through, sees nothing */
    rc = rc ? rc : make_dir(r, r->account_dir);
    rc = rc ? rc : make_dir(r, r->orders);
    if (rc < 0) {
        return err_trace(rc);
    }
    err_ignore(unlink(r->hook));
    return symlink(self_path, r->hook) < 0 ? err_origin(-errno) : 0;
}

int runner_start(struct loop *lp,
                 const struct runner_config *cfg,
                 const char *self_path,
                 char *out_why,
                 size_t why_size,
                 struct runner **out_runner)
{
    struct runner *r = mem_new(sizeof *r);
    *r = (struct runner){.lp = lp, .cfg = cfg, .listener = WATCH_INIT};
    list_init(&r->requests);
    int rc = prepare_files(r, self_path);
    int fd = rc < 0 ? rc : sock_listen_unix(cfg->socket, 0660);
    rc = fd < 0 ? fd : watch_add(lp, &r->listener, fd, on_accept, r);
    if (rc < 0) {
        const char *text = strerrordesc_np(-rc);
        snprintf(out_why, why_size, "%s or %s: %s", cfg->state_dir, cfg->socket,
                 text ? text : "error");
        if (fd >= 0) {
            close(fd);
        }
        runner_free(r);
        return err_trace(rc);
    }
    make_account(r);
    *out_runner = r;
    return 0;
}

void runner_free(struct runner *r)
{
    if (!r) {
        return;
    }
    int fd = r->listener.fd;
    watch_del(&r->listener);
    if (fd >= 0) {
        close(fd);
    }
    timer_cancel(&r->account_again);
    if (r->account_proc) {
        proc_kill(r->account_proc);
    }
    LIST_FOREACH (l, &r->requests) {
        struct request *q = LIST_ENTRY(l, struct request, link);
        if (q->stream) {
            stream_close(q->stream, 0);
        }
    }
    mem_free(r);
}
