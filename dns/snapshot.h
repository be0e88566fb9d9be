#pragma once
/*
 * The compiled form of a zone: immutable, looked up by the lower-case wire name, every RRset ready
 * to copy into an answer (owner = compression pointer to the question). Made by zone.c, read by
 * answer.c.
 */
#include <stdint.h>

#include "lib/base/map.h"

#define DNS_NAME_WIRE_MAX 255

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_OPT = 41,
    DNS_IXFR = 251,
    DNS_AXFR = 252,
    DNS_ANY = 255,
    DNS_CAA = 257,
};

struct dns_rrset {
    uint16_t type;
    uint16_t count;
    uint32_t len;
    uint8_t *wire; /* count records, each with owner 0xC00C */
};

#define DNS_RRSETS_MAX 6 /* A, AAAA, NS, SOA, TXT, CAA: no name has more kinds */

struct dns_snap_name {
    struct dns_rrset sets[DNS_RRSETS_MAX];
    unsigned set_count; /* 0: an empty non-terminal */
};

struct dns_snapshot {
    struct map *names; /* wire name → struct dns_snap_name */
    uint8_t origin[DNS_NAME_WIRE_MAX];
    size_t origin_len;
    uint8_t *soa_tail; /* the apex SOA without its owner, TTL = min(SOA TTL, minimum): for negative
                          answers */
    size_t soa_tail_len;
    uint32_t serial;
};

void dns_snapshot_free(struct dns_snapshot *s); /* takes NULL */

/* Text name (canonical) to wire form; the length, or 0 when it does not fit. */
size_t dns_name_to_wire(struct slice name, uint8_t out[DNS_NAME_WIRE_MAX]);
