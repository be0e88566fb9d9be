/*
 * Control's side of uacme. Each order is one connection to the runner; the
 * hook that uacme calls comes to our own socket with the order's token. The
 * token is 128 random bits, dies with the order, and opens nothing but this
 * order's names.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "acme/acme.h"
#include "acme/classify.h"
#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "lib/data/json.h"
#include "lib/io/stream.h"

enum {
    IN_FLIGHT = 4,
    TOKEN_CHARS = 26, /* 130 bits */
    VALUES_MAX = 4,   /* live TXT values of one order */
    AUTH_CHARS = 43,  /* base64url of a SHA-256 */
    ANSWER_MAX = 256 * 1024,
    LINE_MAX = 1024,
    ORDER_S = 600, /* a token lives no longer; the runner's own deadline ends an order before */
};

static const int64_t account_retry = SECONDS(1); /* a local socket; CAA waits for it */

struct value {
    char name[TEXT_NAME_SIZE];
    char text[AUTH_CHARS + 1];
};

struct order {
    struct list link;
    struct acme_issuer *issuer;
    char id[64], token[TOKEN_CHARS + 1];
    struct acme_csr csr;
    struct stream *runner;
    struct buf request;
    struct value values[VALUES_MAX];
    size_t value_count;
    acme_done_fn done;
    void *arg;
    bool answered;
    struct timer deadline;
    struct retire retire;
};

/* One hook connection. */
struct call {
    struct list link;
    struct loop *lp;
    struct acme_issuer *issuer; /* NULL once the stream is gone */
    struct stream *stream;
    bool asked, pending; /* pending: the publisher still holds us */
    struct retire retire;
};

struct acme_issuer {
    struct loop *lp;
    char *runner_socket;
    struct acme_challenge_ops ops;
    void *arg;
    unsigned hook_uid, in_flight_max, in_flight;
    struct watch listener;
    struct list orders, calls;
    struct stream *account;
    struct timer account_again;
    char account_uri[512];
    bool ending;
    struct retire retire;
};

static void free_issuer(void *arg)
{
    struct acme_issuer *i = arg;
    mem_free(i->runner_socket);
    mem_free(i);
}

/* After acme_issuer_free() the last connection to go takes the issuer with it. */
static void issuer_unused(struct acme_issuer *i)
{
    if (i->ending && list_empty(&i->orders) && list_empty(&i->calls) && !i->account) {
        loop_retire(i->lp, &i->retire, free_issuer, i);
    }
}

/* ---- challenges ---- */

static struct order *by_token(struct acme_issuer *i, struct slice token)
{
    struct order *found = NULL;
    LIST_FOREACH (l, &i->orders) {
        struct order *o = LIST_ENTRY(l, struct order, link);
        if (!o->answered && secret_eq(token, slice_str(o->token))) {
            found = o;
        }
    }
    return found;
}

static bool names_it(const struct order *o, struct slice ident)
{
    for (size_t i = 0; i < o->csr.name_count; i++) {
        if (slice_eq(ident, slice_str(o->csr.names[i]))) {
            return true;
        }
    }
    return false;
}

static bool good_value(struct slice auth)
{
    uint8_t bytes[33];
    struct buf out = {.p = NULL, .max = sizeof bytes};
    bool ok = auth.n == AUTH_CHARS && text_unb64url(auth, &out);
    buf_deinit(&out);
    return ok;
}

static void forget_value(struct order *o, size_t i)
{
    struct value v = o->values[i];
    o->values[i] = o->values[--o->value_count];
    o->issuer->ops.end(o->issuer->arg, o->id, slice_str(v.name), slice_str(v.text));
}

static void free_call(void *arg)
{
    mem_free(arg);
}

/* Two hold it: the hook's connection and, between begin and reply, the publisher. */
static void call_unused(struct call *c)
{
    if (!c->stream && !c->pending) {
        loop_retire(c->lp, &c->retire, free_call, c);
    }
}

static void tell_hook(struct call *c, bool ok)
{
    if (c->stream) {
        err_ignore(stream_write(c->stream, ok ? S("0\n") : S("1\n")));
        stream_finish(c->stream);
    }
}

/* From the publisher; the hook may be gone by now: uacme was killed. */
static void reply(void *ctx, bool ok)
{
    struct call *c = ctx;
    c->pending = false;
    tell_hook(c, ok);
    call_unused(c);
}

static bool begin_value(struct call *c, struct order *o, struct slice ident, struct slice auth)
{
    if (o->value_count == VALUES_MAX) {
        return false;
    }
    struct value *v = &o->values[o->value_count];
    if (!slice_copy(ident, v->name, sizeof v->name) || !slice_copy(auth, v->text, sizeof v->text)) {
        return false;
    }
    o->value_count++;
    c->pending = true;
    o->issuer->ops.begin(o->issuer->arg, o->id, slice_str(v->name), slice_str(v->text), reply, c);
    return true;
}

static bool end_value(struct order *o, struct slice ident, struct slice auth)
{
    for (size_t i = 0; i < o->value_count; i++) {
        if (slice_eq(ident, slice_str(o->values[i].name)) &&
            slice_eq(auth, slice_str(o->values[i].text))) {
            forget_value(o, i);
            return true;
        }
    }
    return false;
}

/* "TOKEN METHOD TYPE IDENT AUTH": everything is checked against the order before anything is
 * published. */
static void serve_call(struct call *c, struct slice line)
{
    struct slice token, method, type, ident, auth;
    bool whole = slice_split(&line, ' ', &token) && slice_split(&line, ' ', &method) &&
                 slice_split(&line, ' ', &type) && slice_split(&line, ' ', &ident) &&
                 slice_split(&line, ' ', &auth) && !line.p;
    struct order *o = whole ? by_token(c->issuer, token) : NULL;
    if (!o || !slice_eq(type, S("dns-01")) || !names_it(o, ident) || !good_value(auth)) {
        tell_hook(c, false);
    } else if (slice_eq(method, S("begin"))) {
        if (!begin_value(c, o, ident, auth)) {
            tell_hook(c, false);
        }
    } else {
        bool last = slice_eq(method, S("done")) || slice_eq(method, S("failed"));
        tell_hook(c, last && end_value(o, ident, auth));
    }
}

static size_t call_data(void *arg, struct slice data)
{
    struct call *c = arg;
    ptrdiff_t lf = slice_find(data, '\n');
    if (lf < 0) {
        return 0;
    }
    if (!c->asked) {
        c->asked = true;
        serve_call(c, slice_of(data.p, (size_t)lf));
    }
    return data.n;
}

static void call_eof(void *arg)
{
    (void)arg; /* the hook may have shut its side; it still reads our digit */
}

static void call_close(void *arg, int why)
{
    (void)why;
    struct call *c = arg;
    struct acme_issuer *i = STEAL(c->issuer);
    c->stream = NULL;
    list_unlink(&c->link);
    call_unused(c);
    issuer_unused(i);
}

static const struct stream_ops call_ops = {
    .on_data = call_data, .on_eof = call_eof, .on_close = call_close};

static void on_hook(void *arg, uint32_t events)
{
    (void)events;
    struct acme_issuer *i = arg;
    int fd;
    while ((fd = sock_accept(i->listener.fd, NULL)) >= 0) {
        struct sock_cred cred;
        /* Our own uid could as well trace us: it is no weaker. The token decides. */
        if (!sock_peer_cred(fd, &cred) || (cred.uid != i->hook_uid && cred.uid != getuid())) {
            close(fd);
            continue;
        }
        struct call *c = mem_new(sizeof *c);
        c->lp = i->lp;
        c->issuer = i;
        list_push_back(&i->calls, &c->link);
        c->stream =
            stream_new(i->lp, fd, NULL, &call_ops, &(struct stream_opts){.in_max = LINE_MAX}, c);
    }
}

/* ---- orders ---- */

/* No hook speaks for it any more, and nothing of it stays published. */
static void settle(struct order *o)
{
    o->answered = true;
    timer_cancel(&o->deadline);
    while (o->value_count) {
        forget_value(o, o->value_count - 1);
    }
}

static void end_order(struct order *o, const struct acme_result *r)
{
    if (!o->answered) {
        settle(o);
        o->done(o->arg, r);
    }
}

static void fail(struct order *o, enum acme_class class, struct slice detail)
{
    end_order(o, &(struct acme_result){.class = class, .detail = detail});
}

static bool in_cert(const struct crypto_cert *cert, const char *name)
{
    for (size_t i = 0; i < cert->name_count; i++) {
        if (strcmp(cert->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* What the CA gave must be for this key and these names before anybody uses it. */
static const char *check_chain(const struct order *o, struct slice chain)
{
    struct crypto_cert *cert = mem_new(sizeof *cert);
    const char *bad = NULL;
    size_t count;
    if (!crypto_chain_read(chain, cert, &count)) {
        bad = "the chain does not parse";
    } else if (memcmp(cert->spki_sha256, o->csr.spki_sha256, sizeof cert->spki_sha256) != 0) {
        bad = "the certificate is for another key";
    } else if (cert->name_count != o->csr.name_count) {
        bad = "the certificate has other names";
    } else if (cert->not_after.s <= wall_now().s) {
        bad = "the certificate has ended already";
    }
    for (size_t i = 0; !bad && i < o->csr.name_count; i++) {
        bad = in_cert(cert, o->csr.names[i]) ? NULL : "the certificate has other names";
    }
    mem_free(cert);
    return bad;
}

static void keep_account(struct acme_issuer *i, struct slice uri)
{
    char copy[sizeof i->account_uri];
    if (uri.n && slice_copy(uri, copy, sizeof copy)) {
        memcpy(i->account_uri, copy, sizeof copy);
    }
}

static void fail_as_told(struct order *o, enum acme_class class, struct slice err_text)
{
    struct acme_result r = {.class = class, .detail = acme_last_words(err_text)};
    if (class == ACME_LIMITED) {
        r.retry_at = acme_limited_until(err_text, wall_now());
    }
    end_order(o, &r);
}

static void take_answer(struct order *o, struct slice line)
{
    char why[160];
    AUTO(js_freep) struct js *j = js_parse(line, ANSWER_MAX, why, sizeof why);
    struct slice err_text = js_get_str(j, "stderr"), chain = js_get_str(j, "chain");
    if (!j) {
        fail(o, ACME_BUG, S("the runner's answer does not parse"));
        return;
    }
    keep_account(o->issuer, js_get_str(j, "account"));
    enum acme_class class =
        acme_classify((int)js_get_int(j, "exit", 2), js_get_bool(j, "timedOut", false), err_text);
    if (class != ACME_OK) {
        fail_as_told(o, class, err_text);
        return;
    }
    const char *bad = check_chain(o, chain);
    if (bad) {
        fail(o, ACME_BUG, slice_str(bad));
        return;
    }
    struct acme_result r = {.class = ACME_OK, .chain_pem = chain};
    end_order(o, &r);
}

static size_t order_data(void *arg, struct slice data)
{
    struct order *o = arg;
    ptrdiff_t lf = slice_find(data, '\n');
    if (lf < 0) {
        return 0;
    }
    take_answer(o, slice_of(data.p, (size_t)lf));
    stream_finish(o->runner);
    return data.n;
}

static void order_open(void *arg)
{
    struct order *o = arg;
    if (stream_write(o->runner, buf_slice(&o->request))) {
        stream_close(o->runner, -EIO);
    }
}

static void free_order(void *arg)
{
    struct order *o = arg;
    secret_wipe(o->token, sizeof o->token);
    secret_wipe_buf(&o->request);
    mem_free(o);
}

static void order_close(void *arg, int why)
{
    (void)why;
    struct order *o = arg;
    struct acme_issuer *i = o->issuer;
    o->runner = NULL;
    i->in_flight--;
    list_unlink(&o->link);
    fail(o, ACME_NET, S("funnel-acme is not reachable"));
    loop_retire(i->lp, &o->retire, free_order, o);
    issuer_unused(i);
}

static const struct stream_ops order_ops = {
    .on_open = order_open, .on_data = order_data, .on_close = order_close};

static void order_late(void *arg)
{
    struct order *o = arg;
    fail(o, ACME_NET, S("funnel-acme does not answer"));
    stream_close(o->runner, -ETIMEDOUT);
}

static struct stream *dial(struct acme_issuer *i, const struct stream_ops *ops, void *arg)
{
    struct addr a;
    char path[512];
    text_fit(path, sizeof path, "unix:%s", i->runner_socket);
    int fd = addr_parse(slice_str(path), &a) ? sock_connect(&a) : -EINVAL;
    if (fd < 0) {
        return NULL;
    }
    return stream_new(i->lp, fd, NULL, ops, &(struct stream_opts){.in_max = ANSWER_MAX}, arg);
}

int acme_issue(struct acme_issuer *i, const struct acme_order_opts *opts)
{
    if (i->in_flight >= i->in_flight_max) {
        return -EAGAIN;
    }
    struct order *o = mem_new(sizeof *o);
    *o = (struct order){.issuer = i, .csr = *opts->csr, .done = opts->done, .arg = opts->arg};
    text_fit(o->id, sizeof o->id, "%s", opts->order_id);
    secret_id(o->token, TOKEN_CHARS);
    buf_init(&o->request, 64 * KIB);
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "op", "issue");
    js_set_cstr(j, "id", o->id);
    js_set_str(j, "csr", opts->csr_pem);
    js_set_cstr(j, "token", o->token);
    js_write(j, JS_COMPACT, &o->request);
    buf_addc(&o->request, '\n');
    o->runner = dial(i, &order_ops, o);
    if (!o->runner) {
        free_order(o);
        return err_origin(-ECONNREFUSED);
    }
    list_push_back(&i->orders, &o->link);
    timer_set_in(i->lp, &o->deadline, SECONDS(ORDER_S), order_late, o);
    i->in_flight++;
    return 0;
}

/* ---- the account's URI: asked until the runner knows it ---- */

static void ask_account(void *arg);

static void account_open(void *arg)
{
    struct acme_issuer *i = arg;
    err_ignore(stream_write(i->account, S("{\"op\":\"account\"}\n")));
}

static size_t account_data(void *arg, struct slice data)
{
    struct acme_issuer *i = arg;
    char why[160];
    ptrdiff_t lf = slice_find(data, '\n');
    if (lf < 0) {
        return 0;
    }
    AUTO(js_freep)
    struct js *j = js_parse(slice_of(data.p, (size_t)lf), ANSWER_MAX, why, sizeof why);
    keep_account(i, js_get_str(j, "uri"));
    stream_finish(i->account);
    return data.n;
}

static void account_close(void *arg, int why)
{
    (void)why;
    struct acme_issuer *i = arg;
    i->account = NULL;
    if (!i->account_uri[0] && !i->ending) {
        timer_set_in(i->lp, &i->account_again, account_retry, ask_account, i);
    }
    issuer_unused(i);
}

static const struct stream_ops account_ops = {
    .on_open = account_open, .on_data = account_data, .on_close = account_close};

static void ask_account(void *arg)
{
    struct acme_issuer *i = arg;
    i->account = dial(i, &account_ops, i);
    if (!i->account) {
        timer_set_in(i->lp, &i->account_again, account_retry, ask_account, i);
    }
}

const char *acme_account_uri(const struct acme_issuer *i)
{
    return i->account_uri;
}

/* ---- the issuer ---- */

int acme_issuer_uacme(struct loop *lp,
                      const struct acme_uacme_opts *opts,
                      struct acme_issuer **out_issuer)
{
    int fd = sock_listen_unix(opts->hook_socket,
                              0666); /* who may come is decided by credentials and token */
    if (fd < 0) {
        return err_trace(fd);
    }
    struct acme_issuer *i = mem_new(sizeof *i);
    *i =
        (struct acme_issuer){.lp = lp,
                             .runner_socket = mem_strdup(opts->runner_socket),
                             .ops = *opts->ops,
                             .arg = opts->arg,
                             .hook_uid = opts->hook_uid,
                             .in_flight_max = opts->in_flight_max ? opts->in_flight_max : IN_FLIGHT,
                             .listener = WATCH_INIT};
    list_init(&i->orders);
    list_init(&i->calls);
    int rc = watch_add(lp, &i->listener, fd, on_hook, i);
    if (rc < 0) {
        close(fd);
        i->listener = WATCH_INIT;
        acme_issuer_free(i);
        return err_trace(rc);
    }
    ask_account(i);
    *out_issuer = i;
    return 0;
}

void acme_issuer_free(struct acme_issuer *i)
{
    if (!i) {
        return;
    }
    int fd = i->listener.fd;
    i->ending = true;
    watch_del(&i->listener);
    if (fd >= 0) {
        close(fd);
    }
    timer_cancel(&i->account_again);
    LIST_FOREACH (l, &i->orders) {
        struct order *o = LIST_ENTRY(l, struct order, link);
        settle(o);
        stream_close(o->runner, 0);
    }
    LIST_FOREACH (l, &i->calls) {
        stream_close(LIST_ENTRY(l, struct call, link)->stream, 0);
    }
    if (i->account) {
        stream_close(i->account, 0);
    }
    issuer_unused(i);
}
