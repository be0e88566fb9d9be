#pragma once
/* What those share who ask another server one thing: the question on the wire, and a socket for it.
 */
#include "lib/base/buf.h"
#include "lib/io/sock.h"

enum { DNS_ASK_AUTHORITY = 0, DNS_ASK_RECURSION = 0x0100 /* RD, RFC 1035 4.1.1 */ };

/* One question with an OPT record of 1,232 octets (RFC 6891), appended. name: as on the wire. */
void dns_ask_write(struct buf *out, uint16_t id, uint16_t flags, struct slice name, uint16_t type);
/* Octets that dns_ask_write appends for a name of so many. */
size_t dns_ask_size(size_t name);
int dns_ask_udp(const struct addr *server); /* a connected socket, the caller's; -1 */
