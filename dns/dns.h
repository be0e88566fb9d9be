#pragma once
/*
 * The embedded authoritative server (spec/acme-dns.md 6.1). The loop thread edits a zone model and
 * publishes immutable snapshots by swap; a thread of its own answers UDP and TCP from precompiled
 * wire tables. ldns is the oracle in tests, not on the answering path.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/macros.h"
#include "lib/base/slice.h"
#include "lib/io/sock.h"

struct dns_zone;
struct dns_server;

struct dns_zone_opts {
    struct slice origin;    /* "ts.example.net", canonical */
    const struct slice *ns; /* host names of the name servers, at least one */
    size_t ns_count;
    struct slice contact;  /* mailbox as a name: "hostmaster.example.net" */
    uint32_t negative_ttl; /* SOA minimum, <= 30 */
};

struct dns_zone *dns_zone_new(const struct dns_zone_opts *opts, char *out_why, size_t why_size);
void dns_zone_free(struct dns_zone *z);

/* Edits collect until dns_zone_publish(). Names are canonical and inside the zone; -EINVAL
 * otherwise. */
int dns_zone_set_addresses(struct dns_zone *z,
                           struct slice name,
                           const struct addr *list,
                           size_t count,
                           uint32_t ttl) MUST_CHECK; /* A and AAAA, replaced whole */
int dns_zone_add_txt(struct dns_zone *z, struct slice name, struct slice value, uint32_t ttl)
    MUST_CHECK;
int dns_zone_del_txt(struct dns_zone *z, struct slice name, struct slice value) MUST_CHECK;

/* CAA set of a name, replaced whole. */
struct dns_caa {
    uint8_t flags;
    struct slice tag, value;
};

int dns_zone_set_caa(struct dns_zone *z,
                     struct slice name,
                     const struct dns_caa *list,
                     size_t count,
                     uint32_t ttl) MUST_CHECK;
void dns_zone_remove(struct dns_zone *z, struct slice name); /* every record of that name */
/* Compiles a snapshot with a new serial and swaps it in. When it returns, every answer given from
 * now on has it. */
int dns_zone_publish(struct dns_zone *z, struct dns_server *s) MUST_CHECK;
uint32_t dns_zone_serial(const struct dns_zone *z);

/* Answers on all addresses, UDP and TCP, from its own thread. Takes the descriptors. */
struct dns_server_opts {
    const int *udp_fds, *tcp_fds;
    size_t udp_count, tcp_count;
};

int dns_server_start(const struct dns_server_opts *opts, struct dns_server **out_srv) MUST_CHECK;
void dns_server_stop(struct dns_server *s); /* joins the thread */

struct dns_counters {
    uint64_t queries, answers, nxdomain, refused, dropped, tcp_connections;
};

void dns_server_counters(const struct dns_server *s, struct dns_counters *out);

/*
 * Asks one authority over UDP (TCP after TC), RD=0, AA demanded: does it show this TXT value? The
 * check before the CA is told (acme-dns.md section 7). Asynchronous on the loop; found is false
 * after 2 s without an answer.
 */
struct loop;
typedef void (*dns_probe_fn)(void *arg, bool found, const char *why);
struct dns_probe;
struct dns_probe *dns_probe_txt(struct loop *lp,
                                const struct addr *authority,
                                struct slice name,
                                struct slice value,
                                dns_probe_fn fn,
                                void *arg);
void dns_probe_cancel(struct dns_probe *p);

/*
 * The addresses of a name as one server gives them, over UDP: A and AAAA in one go. RD as asked;
 * with DNS_LOOKUP_AUTHORITY the answer must be authoritative. Asked again every 500 ms, 2 s at
 * most. Asynchronous on the loop.
 */
enum dns_lookup_mode { DNS_LOOKUP_AUTHORITY, DNS_LOOKUP_RESOLVER };

enum dns_lookup_answer {
    DNS_LOOKUP_FOUND,
    DNS_LOOKUP_NONE,    /* no such name, or no address at it */
    DNS_LOOKUP_REFUSED, /* SERVFAIL, REFUSED, not authoritative */
    DNS_LOOKUP_SILENT,
};

#define DNS_LOOKUP_MAX 16

struct dns_lookup_result {
    enum dns_lookup_answer answer;
    struct addr addresses[DNS_LOOKUP_MAX]; /* without a port */
    size_t count;
};

typedef void (*dns_lookup_fn)(void *arg, const struct dns_lookup_result *r);
struct dns_lookup;
/* NULL: the server cannot be asked from here, or the name is none; fn is not called then. */
struct dns_lookup *dns_lookup_start(struct loop *lp,
                                    const struct addr *server,
                                    struct slice name,
                                    enum dns_lookup_mode mode,
                                    dns_lookup_fn fn,
                                    void *arg);
void dns_lookup_cancel(struct dns_lookup *l); /* takes NULL; fn is not called any more */
