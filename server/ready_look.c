/*
 * A look from outside, as a visitor would: which addresses the name has (our own name server, then
 * the resolver that this host uses), and what answers behind each of them. The TLS handshake is
 * carried to its end and nothing is asked: the node's key has been seen then, and its log has no
 * line of ours. Nothing here blocks; every part has a deadline of its own.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/io/stream.h"
#include "server/ready_steps.h"

static const int64_t dial_patience = SECONDS(5);

struct dial {
    struct ready_look *look;
    struct stream *stream;
    struct mono start;
    bool judged;
};

struct ready_look {
    struct app *a;
    struct ready_order order;
    struct ready_seen seen;
    struct dns_lookup *own, *resolver;
    struct dial dials[READY_TARGETS];
    size_t open; /* parts that have not ended */
    ready_look_fn fn;
    void *arg;
    struct tls_ctx *tls;
    struct deferred ended;
    struct retire retire;
};

static void release(void *arg)
{
    struct ready_look *l = arg;
    tls_ctx_unref(l->tls);
    mem_free(l);
}

void ready_look_cancel(struct ready_look *l)
{
    if (!l) {
        return;
    }
    dns_lookup_cancel(l->own);
    dns_lookup_cancel(l->resolver);
    for (size_t i = 0; i < l->order.target_count; i++) {
        if (l->dials[i].stream) {
            stream_abandon(l->dials[i].stream);
        }
    }
    deferred_cancel(&l->ended);
    loop_retire(l->a->lp, &l->retire, release, l);
}

static void on_ended(void *arg)
{
    struct ready_look *l = arg;
    ready_look_fn fn = l->fn;
    void *fn_arg = l->arg;
    struct ready_seen seen = l->seen;
    ready_look_cancel(l);
    fn(fn_arg, &seen);
}

static void part_ended(struct ready_look *l)
{
    if (--l->open == 0) {
        loop_defer(l->a->lp, &l->ended, on_ended, l);
    }
}

/* ---- names ---- */

static void on_own(void *arg, const struct dns_lookup_result *r)
{
    struct ready_look *l = arg;
    l->own = NULL;
    l->seen.own = *r;
    part_ended(l);
}

static void on_resolver(void *arg, const struct dns_lookup_result *r)
{
    struct ready_look *l = arg;
    l->resolver = NULL;
    l->seen.resolver = *r;
    part_ended(l);
}

static void ask_names(struct ready_look *l, const struct addr *resolver)
{
    struct slice name = slice_str(l->order.name);
    l->own = dns_lookup_start(l->a->lp, &l->a->dns_probe, name, DNS_LOOKUP_AUTHORITY, on_own, l);
    l->seen.own_asked = l->own != NULL;
    l->open += l->own != NULL;
    if (resolver) {
        l->resolver =
            dns_lookup_start(l->a->lp, resolver, name, DNS_LOOKUP_RESOLVER, on_resolver, l);
        l->seen.resolver_asked = l->resolver != NULL;
        l->open += l->resolver != NULL;
    }
}

/* "nameserver 192.0.2.53" of resolv.conf, the first. */
static bool system_resolver(struct addr *out)
{
    struct buf text = BUF_MAX(64 * KIB);
    struct slice line;
    bool found = false;
    if (file_read("/etc/resolv.conf", &text) == 0) {
        struct slice rest = buf_slice(&text);
        while (!found && slice_split(&rest, '\n', &line)) {
            line = slice_trim(line);
            found = slice_starts(line, S("nameserver")) &&
                    addr_from_ip(slice_trim(slice_skip(line, 10)), 53, out);
        }
    }
    buf_deinit(&text);
    return found;
}

bool ready_resolver(const struct config *cfg, struct addr *out)
{
    struct slice text = slice_str(cfg->probe_resolver);
    if (slice_eq(text, S("off"))) {
        return false;
    }
    return slice_eq(text, S("system")) ? system_resolver(out) : addr_parse(text, out);
}

/* ---- connections ---- */

static enum ready_seen_how how_of_error(int why)
{
    if (why == -ENETUNREACH || why == -EADDRNOTAVAIL || why == -EAFNOSUPPORT) {
        return READY_SEEN_NO_WAY;
    }
    if (why == -ETIMEDOUT) {
        return READY_SEEN_LATE;
    }
    return why == -ECONNREFUSED || why == -EHOSTUNREACH ? READY_SEEN_NOTHING : READY_SEEN_REFUSED;
}

static void judge_dial(struct dial *d, enum ready_seen_how how)
{
    size_t i = (size_t)(d - d->look->dials);
    if (!d->judged) {
        d->judged = true;
        d->look->seen.how[i] = how;
        d->look->seen.ms[i] = (mono_now().ns - d->start.ns) / MS(1);
    }
}

static void on_open(void *arg)
{
    struct dial *d = arg;
    const struct tls *t = stream_tls(d->stream);
    uint8_t spki[TLS_SPKI_SIZE];
    int64_t from = 0, until = 0, now = wall_now().s;
    bool ours = tls_peer_spki(t, spki) && memcmp(spki, d->look->order.spki, sizeof spki) == 0;
    bool holds = tls_peer_validity(t, &from, &until) && from <= now && now < until;
    judge_dial(d, !ours ? READY_SEEN_OTHER : holds ? READY_SEEN_KEY : READY_SEEN_EXPIRED);
    stream_close(d->stream, 0);
}

static size_t on_data(void *arg, struct slice data)
{
    (void)arg;
    return data.n;
}

static void on_close(void *arg, int why)
{
    struct dial *d = arg;
    judge_dial(d, how_of_error(why));
    d->stream = NULL;
    part_ended(d->look);
}

static const struct stream_ops dial_ops = {
    .on_open = on_open, .on_data = on_data, .on_close = on_close};

static void dial(struct ready_look *l, size_t i)
{
    struct dial *d = &l->dials[i];
    *d = (struct dial){.look = l, .start = mono_now()};
    int fd = sock_connect(&l->order.targets[i].at);
    if (fd < 0) {
        judge_dial(d, how_of_error(fd));
        return;
    }
    l->open++;
    d->stream = stream_new(l->a->lp, fd, tls_client(l->tls, l->order.name), &dial_ops,
                           &(struct stream_opts){.open_timeout_ns = dial_patience}, d);
}

struct ready_look *ready_look_start(struct app *a,
                                    const struct ready_order *o,
                                    const struct ready_means *by,
                                    ready_look_fn fn,
                                    void *arg)
{
    struct ready_look *l = mem_new(sizeof *l);
    *l = (struct ready_look){
        .a = a, .order = *o, .fn = fn, .arg = arg, .open = 1, .tls = tls_ctx_ref(by->tls)};
    l->order.target_count = o->dial ? o->target_count : 0;
    l->seen.count = l->order.target_count;
    ask_names(l, by->has_resolver ? &by->resolver : NULL);
    for (size_t i = 0; i < l->order.target_count; i++) {
        dial(l, i);
    }
    part_ended(l);
    return l;
}
