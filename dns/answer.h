#pragma once
/*
 * One query in, one reply out: a pure function over a snapshot, so that the server's thread, the
 * unit tests and the fuzzer run the same code. Rules: spec/acme-dns.md section 6.1; RFC 1035, 2181,
 * 2308, 4343, 6891, 8482, 8659.
 */
#include <stddef.h>
#include <stdint.h>

#include "dns/dns.h"
#include "dns/snapshot.h"

enum dns_transport { DNS_UDP, DNS_TCP };

#define DNS_UDP_PLAIN_MAX 512 /* without EDNS: RFC 1035 4.2.1 */
#define DNS_UDP_EDNS_MAX \
    1232 /* fits IPv6's smallest MTU, so that no answer is fragmented (DNS flag day 2020) */
#define DNS_REPLY_MAX 65535
#define DNS_QUERY_MAX 4096 /* the largest query that makes sense: one question and an OPT */

/* Bytes of the reply in out, or 0: say nothing (replies, runts). out holds DNS_REPLY_MAX bytes for
 * TCP, 1,232 for UDP. */
size_t dns_answer(const struct dns_snapshot *snap,
                  struct slice query,
                  enum dns_transport transport,
                  uint8_t *out,
                  struct dns_counters *counters);
