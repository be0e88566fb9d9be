/*
 * One spelling, one value: what libc's strict parsers refuse (leading zeros, short forms, zones) is
 * refused here too. Both families are 16 bytes, so that order and containment are memcmp and a
 * mask.
 */
#include "policy/addr.h"

#include <arpa/inet.h>
#include <stdlib.h>

static unsigned family_skip(uint8_t family)
{
    return family == IP_V4 ? 12 : 0; /* bytes that IPv4 leaves zero */
}

bool ip_addr_parse(struct slice s, struct ip_addr *out_addr)
{
    char text[INET6_ADDRSTRLEN];
    struct ip_addr a = {0};
    if (!slice_copy(s, text, sizeof text)) {
        return false;
    }
    if (inet_pton(AF_INET, text, a.bytes + 12) == 1) {
        a.family = IP_V4;
    } else if (inet_pton(AF_INET6, text, a.bytes) == 1) {
        a.family = IP_V6;
    } else {
        return false;
    }
    *out_addr = a;
    return true;
}

/* Clears the bits after the first `bits` of the family's; true when some were set. */
static bool clear_host(struct ip_addr *a, unsigned bits)
{
    bool had = false;
    unsigned at = bits + family_skip(a->family) * 8;
    for (unsigned i = at / 8; i < 16; i++) {
        uint8_t keep = i == at / 8 ? (uint8_t)(0xff00u >> (at % 8)) : 0;
        had |= (a->bytes[i] & (uint8_t)~keep) != 0;
        a->bytes[i] &= keep;
    }
    return had;
}

bool ip_prefix_parse(struct slice s, struct ip_prefix *out_prefix, bool *out_host_bits)
{
    struct ip_prefix p = {0};
    ptrdiff_t slash = slice_find(s, '/');
    if (!ip_addr_parse(slash < 0 ? s : slice_sub(s, 0, (size_t)slash), &p.addr)) {
        return false;
    }
    uint64_t most = p.addr.family == IP_V4 ? 32 : 128, bits = most;
    if (slash >= 0) {
        struct slice number = slice_skip(s, (size_t)slash + 1);
        if ((number.n > 1 && number.p[0] == '0') || !slice_u64(number, most, &bits)) {
            return false;
        }
    }
    p.bits = (uint8_t)bits;
    bool host_bits = clear_host(&p.addr, p.bits);
    if (out_host_bits) {
        *out_host_bits = host_bits;
    }
    *out_prefix = p;
    return true;
}

bool ip_range_parse(struct slice s, struct ip_range *out_range)
{
    struct ip_range r;
    ptrdiff_t dash = slice_find(s, '-');
    if (dash < 0 || !ip_addr_parse(slice_sub(s, 0, (size_t)dash), &r.first) ||
        !ip_addr_parse(slice_skip(s, (size_t)dash + 1), &r.last) ||
        r.first.family != r.last.family || ip_addr_cmp(&r.first, &r.last) > 0) {
        return false;
    }
    *out_range = r;
    return true;
}

int ip_addr_cmp(const struct ip_addr *a, const struct ip_addr *b)
{
    return a->family != b->family ? (a->family > b->family) - (a->family < b->family)
                                  : memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

bool ip_prefix_has(const struct ip_prefix *p, const struct ip_addr *a)
{
    if (p->addr.family != a->family || a->family == IP_NONE) {
        return false;
    }
    unsigned bits = p->bits + family_skip(a->family) * 8;
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(p->addr.bytes, a->bytes, whole) == 0 &&
           (!rest || (p->addr.bytes[whole] ^ a->bytes[whole]) >> (8 - rest) == 0);
}

bool ip_prefix_covers(const struct ip_prefix *wide, const struct ip_prefix *narrow)
{
    return wide->bits <= narrow->bits && ip_prefix_has(wide, &narrow->addr);
}

struct ip_range ip_prefix_range(const struct ip_prefix *p)
{
    struct ip_range r = {p->addr, p->addr};
    unsigned at = p->bits + family_skip(p->addr.family) * 8;
    for (unsigned i = at / 8; i < 16; i++) {
        r.last.bytes[i] |= i == at / 8 ? (uint8_t)(0xffu >> (at % 8)) : 0xff;
    }
    return r;
}

void ip_addr_print(const struct ip_addr *a, struct buf *out)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (a->family == IP_V4) {
        inet_ntop(AF_INET, a->bytes + 12, text, sizeof text);
    } else if (a->family == IP_V6) {
        inet_ntop(AF_INET6, a->bytes, text, sizeof text);
    }
    buf_adds(out, text);
}

void ip_prefix_print(const struct ip_prefix *p, struct buf *out)
{
    ip_addr_print(&p->addr, out);
    if (p->bits != (p->addr.family == IP_V4 ? 32 : 128)) {
        buf_addf(out, "/%d", p->bits);
    }
}

static bool port_parse(struct slice s, uint16_t *out_port)
{
    uint64_t n;
    if (!slice_u64(s, UINT16_MAX, &n) || !n) {
        return false;
    }
    *out_port = (uint16_t)n;
    return true;
}

bool port_range_parse(struct slice s, struct port_range *out_range)
{
    struct port_range r;
    ptrdiff_t dash = slice_find(s, '-');
    if (slice_eq(s, S("*"))) {
        r = (struct port_range){0, UINT16_MAX};
    } else if (dash < 0) {
        if (!port_parse(s, &r.first)) {
            return false;
        }
        r.last = r.first;
    } else if (!port_parse(slice_sub(s, 0, (size_t)dash), &r.first) ||
               !port_parse(slice_skip(s, (size_t)dash + 1), &r.last) || r.first > r.last) {
        return false;
    }
    *out_range = r;
    return true;
}

bool port_ranges_have(const struct port_range *r, size_t count, uint16_t port)
{
    for (size_t i = 0; i < count; i++) {
        if (r[i].first <= port && port <= r[i].last) {
            return true;
        }
    }
    return false;
}

static int by_first(const void *a, const void *b)
{
    const struct port_range *x = a, *y = b;
    return x->first != y->first ? x->first - y->first : x->last - y->last;
}

size_t port_ranges_merge(struct port_range *r, size_t count)
{
    size_t n = 0;
    if (count) {
        qsort(r, count, sizeof *r, by_first);
    }
    for (size_t i = 0; i < count; i++) {
        if (n && r[i].first <= r[n - 1].last + 1) { /* int arithmetic: 65535 + 1 does not wrap */
            r[n - 1].last = r[i].last > r[n - 1].last ? r[i].last : r[n - 1].last;
        } else {
            r[n++] = r[i];
        }
    }
    return n;
}

bool port_list_parse(struct slice list,
                     struct port_range *out_ranges,
                     size_t max,
                     size_t *out_count)
{
    size_t n = 0;
    for (struct slice part; slice_split(&list, ',', &part);) {
        struct port_range r;
        if (n == max || !port_range_parse(slice_trim(part), &r) || !r.first) {
            return false;
        }
        out_ranges[n++] = r;
    }
    *out_count = port_ranges_merge(out_ranges, n);
    return n > 0;
}

void port_ranges_print(const struct port_range *r, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        buf_addf(out, "%s%d", i ? "," : "", r[i].first);
        if (r[i].last > r[i].first) {
            buf_addf(out, "-%d", r[i].last);
        }
    }
}
