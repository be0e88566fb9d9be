#pragma once
/* PROXY protocol version 2 (haproxy proxy-protocol.txt section 2.2): parsed from trusted peers
 * only, and written by the relay's passthrough. */
#include "lib/base/buf.h"
#include "lib/io/sock.h"

enum { PROXY_MORE = 1, PROXY_NONE = 2, PROXY_BAD = 3 };

#define PROXY_HEADER_MAX 536 /* 16 + the longest address block + the TLVs that we tolerate */
/*
 * Looks at the first bytes of a connection. 0: a whole header of *out_len bytes; the client's
 * address is in *out_addr when it names one (PROXY), else *out_addr is untouched (LOCAL, UNSPEC).
 */
int proxy_header_parse(struct slice in, size_t *out_len, struct addr *out_addr) MUST_CHECK;
