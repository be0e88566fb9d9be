/*
 * The runner. One connection, one request: "account" or "issue". An order's
 * child lives as long as its connection; when control goes, it is killed.
 */
#include "acme/runner.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acme/classify.h"
#include "acme/order_dir.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/json.h"
#include "lib/io/proc.h"
#include "lib/io/service.h"
#include "lib/io/stream.h"

#if defined(__SANITIZE_ADDRESS__)
#define SHADOW_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHADOW_MEMORY 1
#endif
#endif

enum {
    CHILD_CPU_S = 20,          /* an order takes well under one; T2's loop ends here */
    CHILD_FSIZE = 1024 * 1024, /* a chain is under 10 KiB */
    CHILD_FILES = 64,          /* curl, GnuTLS and the hook use about 10 */
    STDERR_MAX = 64 * 1024,    /* a problem document and some */
    REQUEST_MAX = 64 * 1024,   /* a CSR of 4 KiB in JSON */
    CHAIN_MAX = 64 * 1024,
    REQUESTS_MAX = 16, /* control runs four orders at once */
    ID_MAX = 40,
    TOKEN_MAX = 64,
    LOGGED_MAX = 1000, /* octets of uacme's words in one log line */
#ifdef SHADOW_MEMORY
    CHILD_AS = 0, /* our hook, under a sanitizer, maps terabytes */
#else
    CHILD_AS = 256 * 1024 * 1024,
#endif
};

static const int64_t account_retry_min = SECONDS(5), account_retry_max = SECONDS(600);
static const int64_t stop_patience = SECONDS(3), stop_step = MS(50);

struct runner {
    struct loop *lp;
    const struct runner_config *cfg;
    struct watch listener;
    struct list requests;
    size_t request_count;
    struct order_owner owner;
    struct proc *account_proc;
    struct timer account_again;
    int64_t account_wait; /* doubles with every failure: each is a request to the CA */
    bool stopping;
    char account_uri[512];
    char hook[ORDER_DIR_PATH], account_dir[ORDER_DIR_PATH], orders[ORDER_DIR_PATH];
};

struct request {
    struct list link;
    struct runner *r;
    struct stream *stream;
    struct proc *proc;
    char dir[ORDER_DIR_PATH];
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
                              .uid = r->owner.uid,
                              .gid = r->owner.gid,
                              .cpu_s = CHILD_CPU_S,
                              .as_bytes = CHILD_AS,
                              .fsize_bytes = CHILD_FSIZE,
                              .nofile = CHILD_FILES,
                              .umask = 077,
                              .deadline_ns = SECONDS(r->cfg->deadline_s),
                              .stderr_max = STDERR_MAX};
}

/* What a child wrote is bytes from a stranger: line breaks and ASCII stay. */
static void clean(struct slice raw, struct buf *out)
{
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];
        bool kept = c == '\n' || (c >= ' ' && c <= '~');
        buf_add(out, kept ? slice_of(&c, 1) : c == '\t' ? S(" ") : S("?"));
    }
}

static struct slice for_log(struct slice words)
{
    return words.n > LOGGED_MAX ? slice_skip(words, words.n - LOGGED_MAX) : words;
}

/* ---- the account ---- */

static void make_account(void *arg);

static void account_later(struct runner *r)
{
    timer_set_in(r->lp, &r->account_again, r->account_wait, make_account, r);
    r->account_wait *= 2;
    if (r->account_wait > account_retry_max) {
        r->account_wait = account_retry_max;
    }
}

/* "uacme: account created at URI", "uacme: Account already exists at URI" */
static bool find_uri(struct slice text, char *out, size_t size)
{
    struct slice line;
    while (slice_split(&text, '\n', &line)) {
        ptrdiff_t at = slice_rfind(line, ' ');
        struct slice uri = at < 0 ? S("") : slice_skip(line, (size_t)at + 1);
        if ((slice_starts(line, S("uacme: account created at ")) ||
             slice_starts(line, S("uacme: Account already exists at "))) &&
            slice_starts(uri, S("https://")) && text_printable(uri, size - 1)) {
            return slice_copy(uri, out, size);
        }
    }
    return false;
}

static void on_account(void *arg, int exit_code, bool timed_out, struct slice err_text)
{
    struct runner *r = arg;
    struct buf words = BUF_MAX(STDERR_MAX);
    r->account_proc = NULL;
    clean(err_text, &words);
    if (find_uri(buf_slice(&words), r->account_uri, sizeof r->account_uri)) {
        log_info("account", F_STR("uri", r->account_uri));
        r->account_wait = account_retry_min;
    } else if (!r->stopping) {
        log_warn("account.failed", F_I64("exit", exit_code), F_BOOL("timedOut", timed_out),
                 F_SLICE("uacme", for_log(buf_slice(&words))));
        account_later(r);
    }
    buf_deinit(&words);
}

/* With a key that is there already this finds its account, or makes it at a CA that has forgotten
 * it. */
static void make_account(void *arg)
{
    struct runner *r = arg;
    const struct runner_config *c = r->cfg;
    const char *email = *c->email ? c->email : NULL;
    const char *argv[] = {c->uacme, "-v", "-y",           "-t",  "EC",  "-a",
                          c->url,   "-c", r->account_dir, "new", email, NULL};
    struct proc_opts o = child_opts(r, argv, NULL, r->account_dir);
    if (r->account_proc) {
        return;
    }
    timer_cancel(&r->account_again);
    if (proc_start(r->lp, &o, on_account, r, &r->account_proc) < 0) {
        log_error("uacme.not_started", F_STR("path", c->uacme),
                  F_STR("fix", "install the package uacme"));
        account_later(r);
    }
}

/* ---- answers ---- */

static void answer(struct request *q, const struct js *j)
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

static void free_request(void *arg)
{
    mem_free(arg);
}

static void maybe_free(struct request *q)
{
    if (!q->stream && !q->proc && !q->retire.fn) {
        list_unlink(&q->link);
        q->r->request_count--;
        loop_retire(q->r->lp, &q->retire, free_request, q);
    }
}

/* ---- orders ---- */

static void on_issued(void *arg, int exit_code, bool timed_out, struct slice err_text)
{
    struct request *q = arg;
    struct runner *r = q->r;
    struct buf chain = BUF_MAX(CHAIN_MAX), words = BUF_MAX(STDERR_MAX);
    AUTO(js_freep) struct js *j = js_object();
    q->proc = NULL;
    clean(err_text, &words);
    js_set_int(j, "exit", exit_code);
    js_set_bool(j, "timedOut", timed_out);
    js_set_str(j, "stderr", buf_slice(&words));
    js_set_cstr(j, "account", r->account_uri);
    int rc = exit_code == 0 ? order_dir_get_chain(q->dir, &chain) : 0;
    if (rc == 0 && chain.len) {
        js_set_str(j, "chain", buf_slice(&chain));
    }
    log_info("order.done", F_I64("exit", exit_code), F_BOOL("timedOut", timed_out),
             F_SLICE("uacme", for_log(buf_slice(&words))));
    if (acme_account_lost(buf_slice(&words)) && !r->stopping) {
        r->account_uri[0] = '\0';
        make_account(r);
    }
    answer(q, j);
    buf_deinit(&chain);
    buf_deinit(&words);
    order_dir_remove(q->dir);
    maybe_free(q);
}

static int run_uacme(struct request *q, struct slice token)
{
    struct runner *r = q->r;
    const struct runner_config *c = r->cfg;
    char csr[ORDER_DIR_PATH + 16];
    struct buf sock = BUF_MAX(512), tok = BUF_MAX(TOKEN_MAX + 16);
    text_fit(csr, sizeof csr, "%s/req.csr", q->dir);
    buf_addf(&sock, "ORDER_SOCK=%s", c->hook_socket);
    buf_addf(&tok, "ORDER_TOKEN=" SLICE_FMT, SLICE_ARG(token));
    const char *env[] = {buf_cstr(&sock), buf_cstr(&tok), NULL};
    const char *argv[] = {c->uacme, "-n",           "-o", "-f",    "-t",    "EC", "-a", c->url,
                          "-c",     r->account_dir, "-h", r->hook, "issue", csr,  NULL};
    struct proc_opts o = child_opts(r, argv, env, q->dir);
    bool whole = buf_ok(&sock) && buf_ok(&tok);
    int rc = whole ? proc_start(r->lp, &o, on_issued, q, &q->proc) : -ENAMETOOLONG;
    buf_deinit(&sock);
    secret_wipe_buf(&tok);
    return rc;
}

static bool good_word(struct slice s, size_t max)
{
    return s.n && s.n <= max && text_label(s);
}

static int start_order(struct request *q, const struct js *j)
{
    struct runner *r = q->r;
    struct slice id = js_get_str(j, "id"), token = js_get_str(j, "token"),
                 csr = js_get_str(j, "csr");
    char unique[9];
    if (!good_word(id, ID_MAX) || !good_word(token, TOKEN_MAX) || !csr.n) {
        return err_origin(-EINVAL);
    }
    secret_id(unique, sizeof unique - 1);
    /* One fresh directory an order, no dot in its name (traps T5 to T7). */
    struct buf path = BUF_MAX(ORDER_DIR_PATH);
    buf_addf(&path, "%s/" SLICE_FMT "-%s", r->orders, SLICE_ARG(id), unique);
    bool fits = buf_ok(&path) && slice_copy(buf_slice(&path), q->dir, sizeof q->dir);
    buf_deinit(&path);
    if (!fits) {
        return err_origin(-ENAMETOOLONG);
    }
    int rc = order_dir_make(q->dir, &r->owner);
    rc = rc < 0 ? rc : order_dir_put_csr(q->dir, &r->owner, csr);
    rc = rc < 0 ? rc : run_uacme(q, token);
    if (rc < 0) {
        order_dir_remove(q->dir);
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
        make_account(q->r); /* now: control's own back-off keeps the pace */
        answer_error(q, "timeout, giving up: the ACME account could not be made yet");
    } else {
        int rc = start_order(q, j);
        if (rc < 0) {
            log_error("order.not_started", F_STR("dir", q->dir), F_ERR(rc),
                      F_STR("fix", "may the user that runs uacme reach the directory?"));
            /* What is amiss here may be mended in a minute: control tries again as after a
             * time-out. */
            text_cut(why, sizeof why, "timeout, giving up: uacme could not be started: %s",
                     err_words(rc));
            answer_error(q, why);
        }
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

static bool may_ask(const struct runner *r, int fd)
{
    struct sock_cred cred;
    return sock_peer_cred(fd, &cred) &&
           (cred.uid == getuid() || cred.uid == 0 ||
            (r->cfg->control_uid && cred.uid == (unsigned)r->cfg->control_uid));
}

static void on_accept(void *arg, uint32_t events)
{
    (void)events;
    struct runner *r = arg;
    int fd;
    while ((fd = sock_accept(r->listener.fd, NULL)) >= 0) {
        if (r->request_count == REQUESTS_MAX || !may_ask(r, fd)) {
            close(fd);
            continue;
        }
        struct request *q = mem_new(sizeof *q);
        q->r = r;
        list_push_back(&r->requests, &q->link);
        r->request_count++;
        q->stream =
            stream_new(r->lp, fd, NULL, &ops, &(struct stream_opts){.in_max = REQUEST_MAX}, q);
    }
}

/* ---- begin and end ---- */

static int prepare_files(struct runner *r, const char *self_path)
{
    const char *dir = r->cfg->state_dir;
    if (strlen(dir) > ORDER_DIR_PATH - 100) { /* room for an order's id */
        return err_origin(-ENAMETOOLONG);
    }
    text_fit(r->account_dir, sizeof r->account_dir, "%s/account", dir);
    text_fit(r->orders, sizeof r->orders, "%s/orders", dir);
    text_fit(r->hook, sizeof r->hook, "%s/" HOOK_NAME, dir);
    int rc = file_mkdirs(dir, 0711);
    if (rc >= 0 && chmod(dir, 0711) < 0) { /* the child passes through, sees nothing */
        rc = -errno;
    }
    rc = rc < 0 ? rc : order_dir_make(r->account_dir, &r->owner);
    rc = rc < 0 ? rc : order_dir_make(r->orders, &r->owner);
    if (rc < 0) {
        return err_trace(rc);
    }
    order_dir_purge(r->orders);
    err_ignore(unlink(r->hook));
    return symlink(self_path, r->hook) < 0 ? err_origin(-errno) : 0;
}

/* uacme's user runs our own file as the hook and works below the state directory: a folder that is
 * closed to it would fail every order, long after the start. */
static bool
child_can_work(const struct runner *r, const char *self_path, char *out_why, size_t why_size)
{
    char closed[ORDER_DIR_PATH];
    const char *what = r->hook;
    bool ok = order_owner_reaches(&r->owner, r->hook, closed);
    if (ok) {
        what = self_path;
        ok = order_owner_reaches(&r->owner, self_path, closed);
    }
    if (!ok) {
        text_cut(out_why, why_size, "user %u (\"childUid\") cannot reach %s: %s is closed to it",
                 (unsigned)r->owner.uid, what, closed);
    }
    return ok;
}

static int open_listener(const char *path)
{
    int fd = service_inherited("acme");
    return fd >= 0 ? fd : sock_listen_unix(path, 0660);
}

int runner_start(struct loop *lp,
                 const struct runner_config *cfg,
                 const char *self_path,
                 char *out_why,
                 size_t why_size,
                 struct runner **out_runner)
{
    struct runner *r = mem_new(sizeof *r);
    *r = (struct runner){.lp = lp,
                         .cfg = cfg,
                         .listener = WATCH_INIT,
                         .owner = {(uid_t)cfg->child_uid, (gid_t)cfg->child_gid},
                         .account_wait = account_retry_min};
    list_init(&r->requests);
    int rc = prepare_files(r, self_path);
    bool told = rc == 0 && !child_can_work(r, self_path, out_why, why_size);
    int fd = rc < 0 ? rc : told ? -EACCES : open_listener(cfg->socket);
    rc = fd < 0 ? fd : watch_add(lp, &r->listener, fd, on_accept, r);
    if (rc < 0) {
        if (!told) {
            text_cut(out_why, why_size, "%s or %s: %s", cfg->state_dir, cfg->socket, err_words(rc));
        }
        if (fd >= 0) {
            close(fd);
        }
        r->listener = WATCH_INIT;
        runner_free(r);
        return err_trace(rc);
    }
    make_account(r);
    *out_runner = r;
    return 0;
}

static void end_requests(struct runner *r)
{
    LIST_FOREACH (l, &r->requests) {
        struct request *q = LIST_ENTRY(l, struct request, link);
        if (q->stream) {
            stream_close(q->stream, 0);
        }
    }
}

void runner_free(struct runner *r)
{
    if (!r) {
        return;
    }
    int fd = r->listener.fd;
    r->stopping = true;
    watch_del(&r->listener);
    if (fd >= 0) {
        close(fd);
    }
    timer_cancel(&r->account_again);
    if (r->account_proc) {
        proc_kill(r->account_proc);
    }
    end_requests(r);
    struct mono end = mono_after(mono_now(), stop_patience);
    while ((r->account_proc || !list_empty(&r->requests)) && !mono_reached(mono_now(), end)) {
        err_ignore(loop_turn(r->lp, stop_step));
    }
    if (!r->account_proc && list_empty(&r->requests)) {
        mem_free(r); /* else a child that SIGKILL does not end still points here: we exit anyway */
    }
}
