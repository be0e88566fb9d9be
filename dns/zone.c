/*
 * The zone model: names with addresses, TXT values and CAA sets as text, edited on the loop thread,
 * compiled into an immutable snapshot at publish. Small on purpose: a tailnet has thousands of
 * names, and a full compile of 10,000 takes a few milliseconds, so there is no incremental path
 * that could go wrong.
 */
#include "dns/zone.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "dns/dns.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/base/wire.h"

#define ADDRESSES_MAX 16 /* relays in one answer: 16 A and 16 AAAA stay under 1,232 octets */
#define TXT_MAX \
    16 /* live challenge values of one name; an order uses one, or two with a wildcard */
#define CAA_MAX       8
#define TXT_VALUE_MAX 1024
#define SOA_TTL       3600
#define SOA_REFRESH   7200
#define SOA_RETRY     900
#define SOA_EXPIRE    1209600
#define NS_TTL        3600
#define RRSET_MAX     (32 * KIB)

struct entry {
    struct addr addresses[ADDRESSES_MAX];
    size_t address_count;
    uint32_t address_ttl;
    char *txt[TXT_MAX];
    size_t txt_count;
    uint32_t txt_ttl;

    struct {
        uint8_t flags;
        char *tag, *value;
    } caa[CAA_MAX];

    size_t caa_count;
    uint32_t caa_ttl;
};

struct dns_zone {
    char origin[TEXT_NAME_SIZE];
    char contact[TEXT_NAME_SIZE];
    char **ns;
    size_t ns_count;
    uint32_t negative_ttl;
    uint32_t serial;
    struct map *entries; /* text name → struct entry */
};

static bool fail(char *out_why, size_t why_size, const char *what, struct slice name)
{
    (void)snprintf(out_why, why_size, "%s \"%.*s\" is not a host name", what, SLICE_ARG(name));
    return false;
}

static bool
zone_fill(struct dns_zone *z, const struct dns_zone_opts *opts, char *out_why, size_t why_size)
{
    if (!text_name(opts->origin, TEXT_NAME_HOST, z->origin)) {
        return fail(out_why, why_size, "zone", opts->origin);
    }
    if (!text_name(opts->contact, TEXT_NAME_HOST, z->contact)) {
        return fail(out_why, why_size, "contact", opts->contact);
    }
    if (!opts->ns_count) {
        (void)snprintf(out_why, why_size, "a zone needs at least one name server name");
        return false;
    }
    z->ns = mem_new_array(opts->ns_count, sizeof(*z->ns));
    for (; z->ns_count < opts->ns_count; z->ns_count++) {
        char name[TEXT_NAME_SIZE];
        if (!text_name(opts->ns[z->ns_count], TEXT_NAME_HOST, name)) {
            return fail(out_why, why_size, "name server", opts->ns[z->ns_count]);
        }
        z->ns[z->ns_count] = mem_strdup(name);
    }
    z->negative_ttl = opts->negative_ttl;
    return true;
}

struct dns_zone *dns_zone_new(const struct dns_zone_opts *opts, char *out_why, size_t why_size)
{
    struct dns_zone *z = mem_new(sizeof(*z));
    z->entries = map_new();
    if (!zone_fill(z, opts, out_why, why_size)) {
        dns_zone_free(z);
        return NULL;
    }
    return z;
}

static void entry_clear_caa(struct entry *e)
{
    for (size_t i = 0; i < e->caa_count; i++) {
        mem_free(e->caa[i].tag);
        mem_free(e->caa[i].value);
    }
    e->caa_count = 0;
}

static void entry_free(struct entry *e)
{
    if (!e) {
        return;
    }
    for (size_t i = 0; i < e->txt_count; i++) {
        mem_free(e->txt[i]);
    }
    entry_clear_caa(e);
    mem_free(e);
}

void dns_zone_free(struct dns_zone *z)
{
    if (!z) {
        return;
    }
    struct map_iter it = {0};
    for (void *e; map_next(z->entries, &it, &(struct slice){0}, &e);) {
        entry_free(e);
    }
    map_free(z->entries);
    for (size_t i = 0; i < z->ns_count; i++) {
        mem_free(z->ns[i]);
    }
    mem_free(z->ns);
    mem_free(z);
}

static bool inside(const struct dns_zone *z, struct slice name)
{
    struct slice origin = slice_str(z->origin);
    if (slice_eq(name, origin)) {
        return true;
    }
    return name.n > origin.n + 1 && slice_ends(name, origin) &&
           name.p[name.n - origin.n - 1] == '.';
}

/* The entry of a canonical name inside the zone, made when absent; NULL for any other name. */
static struct entry *entry_of(struct dns_zone *z, struct slice name)
{
    char canonical[TEXT_NAME_SIZE];
    if (!text_name(name, TEXT_NAME_UNDERSCORE, canonical) ||
        !slice_eq(name, slice_str(canonical)) || !inside(z, name)) {
        return NULL;
    }
    struct entry *e = map_get(z->entries, name);
    if (!e) {
        e = mem_new(sizeof(*e));
        map_set(z->entries, name, e);
    }
    return e;
}

static void entry_drop_if_empty(struct dns_zone *z, struct slice name, struct entry *e)
{
    if (!e->address_count && !e->txt_count && !e->caa_count) {
        map_del(z->entries, name);
        entry_free(e);
    }
}

int dns_zone_set_addresses(
    struct dns_zone *z, struct slice name, const struct addr *list, size_t count, uint32_t ttl)
{
    if (count > ADDRESSES_MAX) {
        return err_origin(-E2BIG);
    }
    struct entry *e = entry_of(z, name);
    if (!e) {
        return err_origin(-EINVAL);
    }
    if (count) {
        memcpy(e->addresses, list, count * sizeof(*list));
    }
    e->address_count = count;
    e->address_ttl = ttl;
    entry_drop_if_empty(z, name, e);
    return 0;
}

static size_t txt_index(const struct entry *e, struct slice value)
{
    size_t i = 0;
    while (i < e->txt_count && !slice_eq(slice_str(e->txt[i]), value)) {
        i++;
    }
    return i;
}

int dns_zone_add_txt(struct dns_zone *z, struct slice name, struct slice value, uint32_t ttl)
{
    if (value.n > TXT_VALUE_MAX || memchr(value.p, 0, value.n)) {
        return err_origin(-EINVAL);
    }
    struct entry *e = entry_of(z, name);
    if (!e) {
        return err_origin(-EINVAL);
    }
    e->txt_ttl = ttl;
    if (txt_index(e, value) < e->txt_count) {
        return 0;
    }
    if (e->txt_count == TXT_MAX) {
        return err_origin(-E2BIG);
    }
    e->txt[e->txt_count++] = slice_dup(value);
    return 0;
}

int dns_zone_del_txt(struct dns_zone *z, struct slice name, struct slice value)
{
    struct entry *e = map_get(z->entries, name);
    size_t i = e ? txt_index(e, value) : 0;
    if (!e || i == e->txt_count) {
        return 0; /* gone already: deleting is idempotent */
    }
    mem_free(e->txt[i]);
    memmove(&e->txt[i], &e->txt[i + 1], (e->txt_count - i - 1) * sizeof(e->txt[0]));
    e->txt_count--;
    entry_drop_if_empty(z, name, e);
    return 0;
}

int dns_zone_set_caa(
    struct dns_zone *z, struct slice name, const struct dns_caa *list, size_t count, uint32_t ttl)
{
    struct entry *e = count > CAA_MAX ? NULL : entry_of(z, name);
    if (!e) {
        return err_origin(-EINVAL);
    }
    entry_clear_caa(e);
    for (size_t i = 0; i < count; i++) {
        e->caa[i].flags = list[i].flags;
        e->caa[i].tag = slice_dup(list[i].tag);
        e->caa[i].value = slice_dup(list[i].value);
    }
    e->caa_count = count;
    e->caa_ttl = ttl;
    entry_drop_if_empty(z, name, e);
    return 0;
}

void dns_zone_remove(struct dns_zone *z, struct slice name)
{
    entry_free(map_del(z->entries, name));
}

uint32_t dns_zone_serial(const struct dns_zone *z)
{
    return z->serial;
}

/* ---- compiling ---- */

size_t dns_name_to_wire(struct slice name, uint8_t out[DNS_NAME_WIRE_MAX])
{
    size_t n = 0;
    struct slice label;
    for (struct slice rest = name; slice_split(&rest, '.', &label);) {
        if (!label.n || label.n > 63 || n + label.n + 2 > DNS_NAME_WIRE_MAX) {
            return 0;
        }
        out[n++] = (uint8_t)label.n;
        memcpy(out + n, label.p, label.n);
        n += label.n;
    }
    out[n++] = 0;
    return n;
}

static void add_name(struct buf *b, const char *name)
{
    uint8_t wire[DNS_NAME_WIRE_MAX];
    size_t n = dns_name_to_wire(slice_str(name), wire);
    buf_add(b, slice_of(wire, n));
}

/* type, class IN, TTL and length: what stands between owner and RDATA. */
static void add_head(struct buf *b, uint16_t type, uint32_t ttl, size_t rdata_len)
{
    wr_u16(b, type);
    wr_u16(b, 1);
    wr_u32(b, ttl);
    wr_u16(b, (uint16_t)rdata_len);
}

static void add_record(struct buf *b, uint16_t type, uint32_t ttl, struct slice rdata)
{
    wr_u16(b, 0xC00C); /* the question's name stands at offset 12 */
    add_head(b, type, ttl, rdata.n);
    buf_add(b, rdata);
}

static struct dns_snap_name *snap_name(struct dns_snapshot *s, struct slice text)
{
    uint8_t wire[DNS_NAME_WIRE_MAX];
    struct slice key = slice_of(wire, dns_name_to_wire(text, wire));
    struct dns_snap_name *n = map_get(s->names, key);
    if (!n) {
        n = mem_new(sizeof(*n));
        map_set(s->names, key, n);
    }
    return n;
}

static void snap_set(struct dns_snap_name *n, uint16_t type, size_t count, struct buf *wire)
{
    if (!count) {
        return;
    }
    struct dns_rrset *set = &n->sets[n->set_count++];
    set->type = type;
    set->count = (uint16_t)count;
    set->len = (uint32_t)wire->len;
    set->wire = mem_new(wire->len);
    memcpy(set->wire, buf_slice(wire).p, wire->len);
    buf_clear(wire);
}

static void compile_addresses(struct dns_snap_name *n, const struct entry *e, struct buf *b)
{
    size_t v4 = 0, v6 = 0;
    for (size_t i = 0; i < e->address_count; i++) {
        if (e->addresses[i].sa.sa_family == AF_INET) {
            add_record(b, DNS_A, e->address_ttl, slice_of(&e->addresses[i].in4.sin_addr, 4));
            v4++;
        }
    }
    snap_set(n, DNS_A, v4, b);
    for (size_t i = 0; i < e->address_count; i++) {
        if (e->addresses[i].sa.sa_family == AF_INET6) {
            add_record(b, DNS_AAAA, e->address_ttl, slice_of(&e->addresses[i].in6.sin6_addr, 16));
            v6++;
        }
    }
    snap_set(n, DNS_AAAA, v6, b);
}

static void compile_txt(struct dns_snap_name *n, const struct entry *e, struct buf *b)
{
    struct buf rdata = BUF_MAX(2 * (size_t)TXT_VALUE_MAX);
    for (size_t i = 0; i < e->txt_count; i++) {
        buf_clear(&rdata);
        struct slice rest = slice_str(e->txt[i]);
        do { /* character-strings of at most 255 octets; an empty value is one empty string */
            struct slice part = slice_sub(rest, 0, 255);
            wr_vec8(&rdata, part);
            rest = slice_skip(rest, part.n);
        } while (rest.n);
        add_record(b, DNS_TXT, e->txt_ttl, buf_slice(&rdata));
    }
    snap_set(n, DNS_TXT, e->txt_count, b);
    buf_deinit(&rdata);
}

static void compile_caa(struct dns_snap_name *n, const struct entry *e, struct buf *b)
{
    struct buf rdata = BUF_MAX(2 * KIB);
    for (size_t i = 0; i < e->caa_count; i++) {
        buf_clear(&rdata);
        wr_u8(&rdata, e->caa[i].flags);
        wr_vec8(&rdata, slice_str(e->caa[i].tag));
        buf_adds(&rdata, e->caa[i].value);
        add_record(b, DNS_CAA, e->caa_ttl, buf_slice(&rdata));
    }
    snap_set(n, DNS_CAA, e->caa_count, b);
    buf_deinit(&rdata);
}

static void compile_apex(const struct dns_zone *z, struct dns_snapshot *s, struct buf *b)
{
    struct dns_snap_name *apex = snap_name(s, slice_str(z->origin));
    struct buf rdata = BUF_MAX(1 * KIB);
    for (size_t i = 0; i < z->ns_count; i++) {
        buf_clear(&rdata);
        add_name(&rdata, z->ns[i]);
        add_record(b, DNS_NS, NS_TTL, buf_slice(&rdata));
    }
    snap_set(apex, DNS_NS, z->ns_count, b);

    buf_clear(&rdata);
    add_name(&rdata, z->ns[0]);
    add_name(&rdata, z->contact);
    wr_u32(&rdata, z->serial);
    wr_u32(&rdata, SOA_REFRESH);
    wr_u32(&rdata, SOA_RETRY);
    wr_u32(&rdata, SOA_EXPIRE);
    wr_u32(&rdata, z->negative_ttl);
    add_record(b, DNS_SOA, SOA_TTL, buf_slice(&rdata));
    snap_set(apex, DNS_SOA, 1, b);

    add_head(b, DNS_SOA, z->negative_ttl < SOA_TTL ? z->negative_ttl : SOA_TTL, rdata.len);
    buf_add(b, buf_slice(&rdata));
    s->soa_tail_len = b->len;
    s->soa_tail = mem_new(b->len);
    memcpy(s->soa_tail, buf_slice(b).p, b->len);
    buf_clear(b);
    buf_deinit(&rdata);
}

/* Every name between this one and the apex exists too (RFC 8020): empty non-terminals answer
 * NODATA. */
static void compile_parents(const struct dns_zone *z, struct dns_snapshot *s, struct slice name)
{
    struct slice label;
    for (struct slice rest = name; slice_split(&rest, '.', &label) && rest.n > strlen(z->origin);) {
        snap_name(s, rest);
    }
}

struct dns_snapshot *dns_zone_compile(const struct dns_zone *z)
{
    struct dns_snapshot *s = mem_new(sizeof(*s));
    struct buf b = BUF_MAX(RRSET_MAX);
    s->names = map_new();
    s->serial = z->serial;
    s->origin_len = dns_name_to_wire(slice_str(z->origin), s->origin);
    compile_apex(z, s, &b);
    struct map_iter it = {0};
    struct slice name;
    for (void *value; map_next(z->entries, &it, &name, &value);) {
        struct dns_snap_name *n = snap_name(s, name);
        compile_addresses(n, value, &b);
        compile_txt(n, value, &b);
        compile_caa(n, value, &b);
        compile_parents(z, s, name);
    }
    buf_deinit(&b);
    return s;
}

void dns_snapshot_free(struct dns_snapshot *s)
{
    if (!s) {
        return;
    }
    struct map_iter it = {0};
    struct slice key;
    for (void *value; map_next(s->names, &it, &key, &value);) {
        struct dns_snap_name *n = value;
        for (unsigned i = 0; i < n->set_count; i++) {
            mem_free(n->sets[i].wire);
        }
        mem_free(n);
    }
    map_free(s->names);
    mem_free(s->soa_tail);
    mem_free(s);
}

/* Serials only grow (RFC 1982), also over a restart: the time, or one more than the last. */
void dns_zone_next_serial(struct dns_zone *z)
{
    uint32_t now = (uint32_t)wall_now().s;
    z->serial = (int32_t)(now - z->serial) > 0 ? now : z->serial + 1;
}
