/*
 * Which addresses one server gives for a name: two questions on one socket, answers matched by
 * their ids. What is not an answer to a question of ours is ignored.
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
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/io/loop.h"

#define AGAIN_NS    MS(500)
#define DEADLINE_NS SECONDS(2)

enum { QUESTIONS = 2, REPLY_MAX = 4096 };

static const uint16_t types[QUESTIONS] = {DNS_A, DNS_AAAA};

struct question {
    struct buf query;
    uint16_t id;
    bool answered, found, refused;
};

struct dns_lookup {
    struct loop *lp;
    enum dns_lookup_mode mode;
    struct question questions[QUESTIONS];
    struct dns_lookup_result result;
    dns_lookup_fn fn;
    void *arg;
    struct watch watch;
    struct timer again, deadline;
    struct retire retire;
};

static void release(void *arg)
{
    struct dns_lookup *l = arg;
    for (size_t i = 0; i < QUESTIONS; i++) {
        buf_deinit(&l->questions[i].query);
    }
    mem_free(l);
}

void dns_lookup_cancel(struct dns_lookup *l)
{
    if (!l) {
        return;
    }
    int fd = l->watch.fd;
    watch_del(&l->watch);
    if (fd >= 0) {
        (void)close(fd);
    }
    timer_cancel(&l->again);
    timer_cancel(&l->deadline);
    loop_retire(l->lp, &l->retire, release, l);
}

static void finish(struct dns_lookup *l)
{
    bool refused = false, answered = true;
    for (size_t i = 0; i < QUESTIONS; i++) {
        refused = refused || l->questions[i].refused;
        answered = answered && l->questions[i].answered;
    }
    l->result.answer = l->result.count ? DNS_LOOKUP_FOUND
                       : refused       ? DNS_LOOKUP_REFUSED
                       : answered      ? DNS_LOOKUP_NONE
                                       : DNS_LOOKUP_SILENT;
    dns_lookup_fn fn = l->fn;
    void *arg = l->arg;
    struct dns_lookup_result result = l->result;
    dns_lookup_cancel(l);
    fn(arg, &result);
}

static void on_late(void *arg)
{
    finish(arg);
}

static_assert((bool)2 == 1, "bool is C's own, not ldns's signed char");

static void take_address(struct dns_lookup *l, const ldns_rr *rr)
{
    const ldns_rdf *rdf = ldns_rr_rd_count(rr) == 1 ? ldns_rr_rdf(rr, 0) : NULL;
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff}; /* v4 as v4-mapped v6 */
    size_t n = rdf ? ldns_rdf_size(rdf) : 0;
    if ((n == 4 || n == 16) && l->result.count < DNS_LOOKUP_MAX) {
        memcpy(n == 4 ? bytes + 12 : bytes, ldns_rdf_data(rdf), n);
        addr_from_bytes(bytes, 0, &l->result.addresses[l->result.count++]);
    }
}

static void judge(struct dns_lookup *l, size_t i, const ldns_pkt *pkt)
{
    struct question *q = &l->questions[i];
    ldns_pkt_rcode rcode = ldns_pkt_get_rcode(pkt);
    q->answered = true;
    q->refused = (rcode != LDNS_RCODE_NOERROR && rcode != LDNS_RCODE_NXDOMAIN) ||
                 (l->mode == DNS_LOOKUP_AUTHORITY && !ldns_pkt_aa(pkt));
    const ldns_rr_list *answers = ldns_pkt_answer(pkt);
    for (size_t k = 0; !q->refused && k < ldns_rr_list_rr_count(answers); k++) {
        const ldns_rr *rr = ldns_rr_list_rr(answers, k);
        if ((uint16_t)ldns_rr_get_type(rr) == types[i]) {
            take_address(l, rr);
        }
    }
}

static void take_reply(struct dns_lookup *l, struct slice reply)
{
    ldns_pkt *pkt = NULL;
    if (ldns_wire2pkt(&pkt, (const uint8_t *)reply.p, reply.n) != LDNS_STATUS_OK) {
        return;
    }
    for (size_t i = 0; i < QUESTIONS; i++) {
        if (!l->questions[i].answered && ldns_pkt_id(pkt) == l->questions[i].id &&
            ldns_pkt_qr(pkt)) {
            judge(l, i, pkt);
            break;
        }
    }
    ldns_pkt_free(pkt);
}

static void on_ready(void *arg, uint32_t events)
{
    struct dns_lookup *l = arg;
    char reply[REPLY_MAX];
    (void)events;
    for (ssize_t n; (n = recv(l->watch.fd, reply, sizeof reply, MSG_DONTWAIT)) >= 0;) {
        take_reply(l, slice_of(reply, (size_t)n));
    }
    if (l->questions[0].answered && l->questions[1].answered) {
        finish(l);
    }
}

static void ask(void *arg)
{
    struct dns_lookup *l = arg;
    for (size_t i = 0; i < QUESTIONS; i++) {
        struct slice q = buf_slice(&l->questions[i].query);
        if (!l->questions[i].answered) {
            /* What is not sent is asked again; a server that is not there is silent. */
            (void)!send(l->watch.fd, q.p, q.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
    }
    timer_set_in(l->lp, &l->again, AGAIN_NS, ask, l);
}

static bool make_queries(struct dns_lookup *l, struct slice name)
{
    uint8_t wire[DNS_NAME_WIRE_MAX];
    size_t n = dns_name_to_wire(name, wire);
    secret_random(&l->questions[0].id, sizeof l->questions[0].id);
    l->questions[1].id = (uint16_t)(l->questions[0].id ^ 1);
    for (size_t i = 0; i < QUESTIONS; i++) {
        struct buf *out = &l->questions[i].query;
        buf_init(out, 512);
        dns_ask_write(out, l->questions[i].id,
                      l->mode == DNS_LOOKUP_RESOLVER ? DNS_ASK_RECURSION : DNS_ASK_AUTHORITY,
                      slice_of(wire, n), types[i]);
    }
    return n > 0;
}

struct dns_lookup *dns_lookup_start(struct loop *lp,
                                    const struct addr *server,
                                    struct slice name,
                                    enum dns_lookup_mode mode,
                                    dns_lookup_fn fn,
                                    void *arg)
{
    struct dns_lookup *l = mem_new(sizeof *l);
    *l = (struct dns_lookup){.lp = lp, .mode = mode, .fn = fn, .arg = arg, .watch = WATCH_INIT};
    int fd = make_queries(l, name) ? dns_ask_udp(server) : -1;
    if (fd < 0 || watch_add(lp, &l->watch, fd, on_ready, l)) {
        if (fd >= 0) {
            (void)close(fd);
        }
        l->watch = WATCH_INIT;
        release(l);
        return NULL;
    }
    timer_set_in(lp, &l->deadline, DEADLINE_NS, on_late, l);
    timer_set_in(lp, &l->again, 0, ask, l);
    return l;
}
