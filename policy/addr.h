#pragma once
/*
 * Addresses as the policy file writes them: an IP, a CIDR, a range. IPv4 is kept in the last four
 * bytes of 16, with its family beside it, so that one comparison serves both.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/slice.h"

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

struct ip_addr {
    uint8_t family; /* enum ip_family; IP_NONE: no address */
    uint8_t bytes[16];
};

struct ip_prefix {
    struct ip_addr addr; /* host bits are zero */
    uint8_t bits;        /* 0..32 or 0..128 */
};

/* Inclusive; both of one family. */
struct ip_range {
    struct ip_addr first, last;
};

bool ip_addr_parse(struct slice s, struct ip_addr *out_addr); /* no zone, no blanks */
/* "10.0.0.0/8", or a single address as its /32 or /128. Host bits that are set are cleared and
 * reported in *out_host_bits (may be NULL). */
bool ip_prefix_parse(struct slice s, struct ip_prefix *out_prefix, bool *out_host_bits);
bool ip_range_parse(struct slice s, struct ip_range *out_range);   /* "a-b", a <= b */
int ip_addr_cmp(const struct ip_addr *a, const struct ip_addr *b); /* family first */
bool ip_prefix_has(const struct ip_prefix *p, const struct ip_addr *a);
bool ip_prefix_covers(const struct ip_prefix *wide, const struct ip_prefix *narrow);
struct ip_range ip_prefix_range(const struct ip_prefix *p);
void ip_addr_print(const struct ip_addr *a, struct buf *out);
void ip_prefix_print(const struct ip_prefix *p, struct buf *out); /* a host without "/32" */

struct port_range {
    uint16_t first, last; /* inclusive; 0..65535 is "*" */
};

/* "443", "9000-9010", "*"; false: not a port list item (policy.md 2.4). 0 is refused. */
bool port_range_parse(struct slice s, struct port_range *out_range);
bool port_ranges_have(const struct port_range *r, size_t count, uint16_t port);
/* Sorts, merges neighbours and overlaps; returns the new count. */
size_t port_ranges_merge(struct port_range *r, size_t count);
/* "443,8443,9000-9010": items with blanks around them, no "*", none empty; merged. out_ranges is
 * scratch when the answer is false: not such a list, an empty one, or more than max items. */
bool port_list_parse(struct slice list,
                     struct port_range *out_ranges,
                     size_t max,
                     size_t *out_count);
void port_ranges_print(const struct port_range *r, size_t count, struct buf *out); /* the same */
