#pragma once
/* Between zone.c and server.c: compiling a zone into a snapshot. */
#include "dns/dns.h"
#include "dns/snapshot.h"

void dns_zone_next_serial(struct dns_zone *z);
struct dns_snapshot *dns_zone_compile(const struct dns_zone *z); /* dns_snapshot_free */
