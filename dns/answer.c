/*
 * The answering rules, in the order in which they are asked: is it a question at all, is it well
 * formed, does EDNS fit, do we serve this class, opcode, type, zone; does the name exist, does it
 * have the type. Everything that is copied into the reply was compiled before; the question goes
 * back octet for octet (0x20).
 */
#include "dns/answer.h"

#include <string.h>

#include "lib/base/wire.h"

#define HEADER         12
#define OPT_LEN        11
#define FLAG_QR        0x8000u
#define FLAG_AA        0x0400u
#define FLAG_TC        0x0200u
#define FLAG_RD        0x0100u
#define OPCODE(f)      (((f) >> 11) & 15u)
#define CLASS_IN       1
#define ADDITIONAL_MAX 2 /* an OPT, and a TSIG that we do not know; more is nobody's query */

enum rcode { NOERROR = 0, FORMERR = 1, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5, BADVERS = 16 };

struct query {
    uint16_t id, flags;
    size_t question_len; /* name, type and class, from offset 12 */
    size_t name_len;
    uint8_t name[DNS_NAME_WIRE_MAX]; /* lower case */
    uint16_t type, class;
    bool edns;
    uint8_t edns_version;
    uint16_t edns_size;
};

struct reply {
    uint8_t *p;
    size_t n, max;
};

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* An uncompressed name; false when it is cut short, too long, or holds a pointer (questions never
 * need one). */
static bool read_name(struct rd *r, uint8_t *out, size_t *out_len)
{
    size_t n = 0;
    for (;;) {
        uint8_t len = rd_u8(r);
        struct slice label = rd_bytes(r, len);
        if (!rd_ok(r) || len > 63 || n + len + 1u > DNS_NAME_WIRE_MAX) {
            return false;
        }
        out[n++] = len;
        for (size_t i = 0; i < len; i++) {
            out[n++] = lower((uint8_t)label.p[i]);
        }
        if (!len) {
            *out_len = n;
            return true;
        }
    }
}

static bool skip_owner(struct rd *r)
{
    for (unsigned labels = 0; labels < 128; labels++) {
        uint8_t len = rd_u8(r);
        if (!rd_ok(r) || (len > 63 && len < 0xC0)) {
            return false;
        }
        if (len >= 0xC0) {
            (void)rd_u8(r);
            return rd_ok(r);
        }
        if (!len) {
            return true;
        }
        (void)rd_bytes(r, len);
    }
    return false;
}

/* The additional section: at most one OPT with the root as its owner (RFC 6891 6.1.1). */
static bool read_additional(struct rd *r, unsigned count, struct query *q)
{
    for (unsigned i = 0; i < count; i++) {
        bool root = r->n && r->p[0] == 0;
        if (!skip_owner(r)) {
            return false;
        }
        uint16_t type = rd_u16(r);
        uint16_t class = rd_u16(r);
        uint32_t ttl = rd_u32(r);
        (void)rd_bytes(r, rd_u16(r));
        if (!rd_ok(r)) {
            return false;
        }
        if (type == DNS_OPT) {
            if (q->edns || !root) {
                return false;
            }
            q->edns = true;
            q->edns_size = class;
            q->edns_version = (uint8_t)(ttl >> 16);
        }
    }
    return true;
}

/* False: a format error; what was read up to there stays in *q for the reply. */
static bool read_query(struct slice in, struct query *q)
{
    struct rd r = rd_of(in);
    q->id = rd_u16(&r);
    q->flags = rd_u16(&r);
    uint16_t questions = rd_u16(&r), answers = rd_u16(&r), authority = rd_u16(&r),
             additional = rd_u16(&r);
    if (OPCODE(q->flags)) {
        return true; /* NOTIMP needs no question */
    }
    if (questions != 1) {
        return false;
    }
    if (!read_name(&r, q->name, &q->name_len)) {
        return false;
    }
    q->type = rd_u16(&r);
    q->class = rd_u16(&r);
    if (!rd_ok(&r)) {
        return false;
    }
    q->question_len = q->name_len + 4;
    if (q->type == DNS_IXFR) {
        return true; /* carries an SOA; refused whatever else it says */
    }
    return !answers && !authority && additional <= ADDITIONAL_MAX &&
           read_additional(&r, additional, q) && rd_end(&r);
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static bool append(struct reply *r, const void *p, size_t n)
{
    if (r->n + n > r->max) {
        return false;
    }
    memcpy(r->p + r->n, p, n);
    r->n += n;
    return true;
}

static void reply_begin(struct reply *r, const struct query *q, struct slice in)
{
    memset(r->p, 0, HEADER);
    put16(r->p, q->id);
    r->n = HEADER;
    if (q->question_len && append(r, in.p + HEADER, q->question_len)) {
        put16(r->p + 4, 1);
    }
}

/* Header flags: AD and Z stay clear, RD is copied, RA never set: we do not recurse. */
static void reply_flags(struct reply *r, const struct query *q, unsigned flags, enum rcode rcode)
{
    unsigned opcode = OPCODE(q->flags) << 11;
    put16(r->p + 2, FLAG_QR | opcode | (q->flags & FLAG_RD) | flags | ((unsigned)rcode & 15u));
}

static void reply_opt(struct reply *r, const struct query *q, enum rcode rcode)
{
    if (!q->edns) {
        return;
    }
    uint8_t opt[OPT_LEN] = {0,
                            0,
                            DNS_OPT,
                            DNS_UDP_EDNS_MAX >> 8,
                            DNS_UDP_EDNS_MAX & 255,
                            (uint8_t)((unsigned)rcode >> 4)};
    if (append(r, opt, sizeof(opt))) {
        put16(r->p + 10, 1);
    }
}

static const struct dns_rrset *find_set(const struct dns_snap_name *n, uint16_t type)
{
    for (unsigned i = 0; i < n->set_count; i++) {
        if (n->sets[i].type == type || type == DNS_ANY) {
            return &n->sets[i]; /* ANY: one RRset is enough (RFC 8482 4.1) */
        }
    }
    return NULL;
}

static bool in_zone(const struct dns_snapshot *s, const struct query *q)
{
    if (q->name_len < s->origin_len) {
        return false;
    }
    size_t at =
        0; /* walk labels: a suffix of octets that does not begin at a label is not inside */
    while (q->name_len - at > s->origin_len) {
        at += (size_t)q->name[at] + 1;
    }
    return q->name_len - at == s->origin_len && !memcmp(q->name + at, s->origin, s->origin_len);
}

/* SOA in the authority section; its owner is a pointer into the question. */
static bool append_soa(struct reply *r, const struct dns_snapshot *s, const struct query *q)
{
    uint8_t owner[2];
    put16(owner, (unsigned)(0xC000u | (HEADER + q->name_len - s->origin_len)));
    if (!append(r, owner, 2) || !append(r, s->soa_tail, s->soa_tail_len)) {
        return false;
    }
    put16(r->p + 8, 1);
    return true;
}

static void truncate_reply(struct reply *r, const struct query *q)
{
    r->n = HEADER + q->question_len;
    put16(r->p + 6, 0);
    put16(r->p + 8, 0);
    reply_flags(r, q, FLAG_AA | FLAG_TC, NOERROR);
}

static enum rcode
answer_in_zone(struct reply *r, const struct dns_snapshot *s, const struct query *q)
{
    const struct dns_snap_name *n = map_get(s->names, slice_of(q->name, q->name_len));
    const struct dns_rrset *set = n ? find_set(n, q->type) : NULL;
    enum rcode rcode = n ? NOERROR : NXDOMAIN;
    reply_flags(r, q, FLAG_AA, rcode);
    bool fits;
    if (set) {
        fits = append(r, set->wire, set->len);
        put16(r->p + 6, set->count);
    } else {
        fits = append_soa(r, s, q);
    }
    if (!fits) {
        truncate_reply(r, q);
    }
    return rcode;
}

static enum rcode judge(const struct dns_snapshot *s, const struct query *q, bool well_formed)
{
    if (!well_formed) {
        return FORMERR;
    }
    if (OPCODE(q->flags)) {
        return NOTIMP;
    }
    if (q->edns && q->edns_version) {
        return BADVERS;
    }
    if (q->class != CLASS_IN || q->type == DNS_AXFR || q->type == DNS_IXFR || !in_zone(s, q)) {
        return REFUSED;
    }
    return NOERROR;
}

static size_t reply_limit(const struct query *q, enum dns_transport transport)
{
    if (transport == DNS_TCP) {
        return DNS_REPLY_MAX;
    }
    if (!q->edns || q->edns_size < DNS_UDP_PLAIN_MAX) {
        return DNS_UDP_PLAIN_MAX;
    }
    return q->edns_size < DNS_UDP_EDNS_MAX ? q->edns_size : DNS_UDP_EDNS_MAX;
}

size_t dns_answer(const struct dns_snapshot *snap,
                  struct slice query,
                  enum dns_transport transport,
                  uint8_t *out,
                  struct dns_counters *counters)
{
    struct query q = {0};
    counters->queries++;
    if (query.n < HEADER || query.n > DNS_QUERY_MAX || ((uint8_t)query.p[2] & 0x80)) {
        counters->dropped++; /* answering an answer is how reflection loops start */
        return 0;
    }
    bool well_formed = read_query(query, &q);
    struct reply r = {.max = reply_limit(&q, transport)};
    r.p = out;
    size_t opt_room = q.edns ? OPT_LEN : 0;
    r.max -= opt_room;
    reply_begin(&r, &q, query);
    enum rcode rcode = judge(snap, &q, well_formed);
    if (rcode == NOERROR) {
        rcode = answer_in_zone(&r, snap, &q);
    } else {
        reply_flags(&r, &q, 0, rcode);
    }
    r.max += opt_room;
    reply_opt(&r, &q, rcode);
    counters->nxdomain += rcode == NXDOMAIN;
    counters->refused += rcode == REFUSED;
    counters->answers++;
    return r.n;
}
