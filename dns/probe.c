/*
 * Asks one authority itself whether it shows a TXT value, before a CA is told to look (acme-dns.md
 * section 7). Asks again every 100 ms until it does or 2 s have passed; a truncated answer is asked
 * again over TCP.
 */
#include <errno.h>
#include <stdbool.h> /* before ldns, which would make bool a signed char */

#include <ldns/ldns.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/ask.h"
#include "dns/dns.h"
#include "dns/snapshot.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/base/wire.h"
#include "lib/io/loop.h"
#include "lib/io/stream.h"

#define AGAIN_NS    MS(100)
#define DEADLINE_NS SECONDS(2)
#define REPLY_MAX   65535

struct dns_probe {
    struct loop *loop;
    struct addr authority;
    struct buf query; /* with the two length octets of TCP in front */
    char *value;
    dns_probe_fn fn;
    void *arg;
    struct watch watch;
    struct timer again, deadline;
    struct stream *tcp;
    struct retire retire;
    const char *why;
    bool done;
};

static void probe_release(void *arg)
{
    struct dns_probe *p = arg;
    buf_deinit(&p->query);
    mem_free(p->value);
    mem_free(p);
}

static void probe_end(struct dns_probe *p)
{
    if (p->done) {
        return;
    }
    p->done = true;
    int fd = p->watch.fd;
    watch_del(&p->watch);
    if (fd >= 0) {
        (void)close(fd);
    }
    timer_cancel(&p->again);
    timer_cancel(&p->deadline);
    if (p->tcp) {
        stream_close(p->tcp, 0); /* its on_close releases the probe */
    } else {
        loop_retire(p->loop, &p->retire, probe_release, p);
    }
}

static void probe_finish(struct dns_probe *p, bool found, const char *why)
{
    if (!p->done) {
        dns_probe_fn fn = p->fn;
        void *arg = p->arg;
        probe_end(p);
        fn(arg, found, why);
    }
}

static bool txt_equals(const ldns_rr *rr, struct slice value)
{
    struct buf joined = BUF_MAX(REPLY_MAX);
    for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
        const ldns_rdf *rdf = ldns_rr_rdf(rr, i);
        size_t n = ldns_rdf_size(rdf);
        if (n > 1) { /* a character-string: its length octet first */
            buf_add(&joined, slice_of(ldns_rdf_data(rdf) + 1, n - 1));
        }
    }
    bool equal = buf_ok(&joined) && slice_eq(buf_slice(&joined), value);
    buf_deinit(&joined);
    return equal;
}

static_assert((bool)2 == 1, "bool is C's own, not ldns's signed char");

enum verdict { SHOWN, NOT_YET, TRUNCATED };

static enum verdict judge(struct dns_probe *p, struct slice reply)
{
    ldns_pkt *pkt = NULL;
    enum verdict v = NOT_YET;
    if (ldns_wire2pkt(&pkt, (const uint8_t *)reply.p, reply.n) != LDNS_STATUS_OK) {
        p->why = "the authority's answer does not parse";
        return v;
    }
    if (memcmp(reply.p, buf_slice(&p->query).p + 2, 2) != 0) {
        p->why = "an answer with another id";
    } else if (ldns_pkt_tc(pkt)) {
        v = TRUNCATED;
    } else if (!ldns_pkt_aa(pkt)) {
        p->why = "the answer is not authoritative";
    } else {
        p->why = "the authority does not show the value";
        ldns_rr_list *answers = ldns_pkt_answer(pkt);
        for (size_t i = 0; i < ldns_rr_list_rr_count(answers); i++) {
            const ldns_rr *rr = ldns_rr_list_rr(answers, i);
            if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_TXT && txt_equals(rr, slice_str(p->value))) {
                v = SHOWN;
            }
        }
    }
    ldns_pkt_free(pkt);
    return v;
}

static void probe_ask(void *arg)
{
    struct dns_probe *p = arg;
    struct slice q = slice_skip(buf_slice(&p->query), 2);
    if (send(p->watch.fd, q.p, q.n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
        p->why = "the authority cannot be reached";
    }
    timer_set_in(p->loop, &p->again, AGAIN_NS, probe_ask, p);
}

static size_t tcp_data(void *arg, struct slice in)
{
    struct dns_probe *p = arg;
    struct rd r = rd_of(in);
    struct slice reply = rd_bytes(&r, rd_u16(&r));
    if (!rd_ok(&r)) {
        return 0;
    }
    if (judge(p, reply) == SHOWN) {
        probe_finish(p, true, "");
    } else {
        stream_close(p->tcp, 0);
    }
    return reply.n + 2;
}

static void tcp_close(void *arg, int why)
{
    struct dns_probe *p = arg;
    (void)why;
    p->tcp = NULL;
    if (p->done) {
        loop_retire(p->loop, &p->retire, probe_release, p);
    } else {
        timer_set_in(p->loop, &p->again, AGAIN_NS, probe_ask, p);
    }
}

static const struct stream_ops tcp_ops = {.on_data = tcp_data, .on_close = tcp_close};

static void ask_tcp(struct dns_probe *p)
{
    int fd = sock_connect(&p->authority);
    if (p->tcp || fd < 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return;
    }
    timer_cancel(&p->again);
    struct stream_opts opts = {.in_max = REPLY_MAX + 2, .open_timeout_ns = DEADLINE_NS};
    p->tcp = stream_new(p->loop, fd, NULL, &tcp_ops, &opts, p);
    err_ignore(
        stream_write(p->tcp, buf_slice(&p->query))); /* a failed one is asked again by the timer */
}

static void udp_ready(void *arg, uint32_t events)
{
    struct dns_probe *p = arg;
    (void)events;
    char reply[4096];
    for (ssize_t n; (n = recv(p->watch.fd, reply, sizeof(reply), MSG_DONTWAIT)) >= 0;) {
        enum verdict v = n >= 12 ? judge(p, slice_of(reply, (size_t)n)) : NOT_YET;
        if (v == SHOWN) {
            probe_finish(p, true, "");
            return;
        }
        if (v == TRUNCATED) {
            ask_tcp(p);
        }
    }
}

static void probe_late(void *arg)
{
    struct dns_probe *p = arg;
    probe_finish(p, false, p->why);
}

static bool make_query(struct dns_probe *p, struct slice name)
{
    uint8_t wire[DNS_NAME_WIRE_MAX];
    size_t n = dns_name_to_wire(name, wire);
    uint16_t id;
    secret_random(&id, sizeof(id));
    buf_init(&p->query, 512);
    wr_u16(&p->query, (uint16_t)dns_ask_size(n));
    dns_ask_write(&p->query, id, DNS_ASK_AUTHORITY, slice_of(wire, n), DNS_TXT);
    return n && buf_ok(&p->query);
}

struct dns_probe *dns_probe_txt(struct loop *lp,
                                const struct addr *authority,
                                struct slice name,
                                struct slice value,
                                dns_probe_fn fn,
                                void *arg)
{
    struct dns_probe *p = mem_new(sizeof(*p));
    *p = (struct dns_probe){
        .loop = lp, .authority = *authority, .fn = fn, .arg = arg, .watch = WATCH_INIT};
    p->value = slice_dup(value);
    p->why = "the authority does not answer";
    timer_set_in(lp, &p->deadline, DEADLINE_NS, probe_late, p);
    int fd = make_query(p, name) ? dns_ask_udp(authority) : -1;
    if (fd < 0 || watch_add(lp, &p->watch, fd, udp_ready, p)) {
        p->why = "the authority cannot be asked";
        if (fd >= 0) {
            (void)close(fd);
        }
        timer_set_in(lp, &p->deadline, 0, probe_late, p);
        return p;
    }
    timer_set_in(lp, &p->again, 0, probe_ask, p);
    return p;
}

void dns_probe_cancel(struct dns_probe *p)
{
    if (p) {
        probe_end(p);
    }
}
