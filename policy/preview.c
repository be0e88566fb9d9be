/*
 * Which rules are about a user, or about an address and port (policy.md 6.1), in file order and as
 * written. A preview is of rules: suspended users, postures and routers do not change it.
 */
#include <stdio.h>

#include "lib/base/mem.h"
#include "policy/reach_priv.h"

#define PREVIEW_MEMORY_MAX (16u * MIB)

struct preview {
    const struct policy_reach *r;
    struct policy_matches *out;
    bool full;
};

static void *take(struct preview *v, size_t count, size_t size)
{
    void *p = arena_alloc(v->out->arena, count * size);
    v->full |= !p;
    return p;
}

/* ---- what a rule looks like ---- */

static void put_ports(struct buf *out, const struct port_range *ports, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_adds(out, i ? "," : "");
        if (ports[i].first == 0 && ports[i].last == UINT16_MAX) {
            buf_addc(out, '*');
        } else if (ports[i].first == ports[i].last) {
            buf_addf(out, "%u", ports[i].first);
        } else {
            buf_addf(out, "%u-%u", ports[i].first, ports[i].last);
        }
    }
}

static const char *protocol_name(uint16_t number)
{
    static const struct {
        uint16_t number;
        const char *name;
    } known[] = {{1, "icmp"}, {6, "tcp"}, {17, "udp"}, {58, "ipv6-icmp"}, {132, "sctp"}};

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (known[i].number == number) {
            return known[i].name;
        }
    }
    return NULL;
}

static void put_ip(struct buf *out, const struct rule *rule)
{
    for (size_t i = 0; i < rule->ip_count; i++) {
        const struct ip_item *ip = &rule->ip[i];
        const char *name = protocol_name(ip->proto);
        buf_adds(out, i ? "," : "");
        if (name) {
            buf_addf(out, "%s:", name);
        } else if (ip->proto != PROTO_DEFAULT && ip->proto != PROTO_ANY) {
            buf_addf(out, "%u:", ip->proto);
        }
        put_ports(out, &ip->ports, 1);
    }
}

/* The string that stands at the offset, if it holds no escape. */
static struct slice written_at(const struct policy *p, size_t offset)
{
    struct slice rest = slice_skip(hujson_text(p->doc), offset + 1);
    ptrdiff_t end = slice_find(rest, '"');
    struct slice text = slice_sub(rest, 0, end < 0 ? 0 : (size_t)end);
    return slice_find(text, '\\') < 0 ? slice_trim(text) : S("");
}

/* ip: what the grant lets through, in words; empty for an acl. */
static struct slice
dst_text(struct preview *v, const struct rule *rule, const struct rule_dst *d, struct slice ip)
{
    struct slice written = written_at(v->r->policy, d->what.offset);
    if (rule->kind == RULE_ACL && written.n) {
        return written;
    }
    if (rule->kind == RULE_GRANT && !rule->ip_count) {
        return d->what.text; /* of an app alone */
    }
    struct buf text = BUF_MAX(64 * KIB);
    bool brackets = d->what.kind == SELECTOR_ADDRESS && d->what.prefix.addr.family == IP_V6;
    buf_addf(&text, brackets ? "[" SLICE_FMT "]:" : SLICE_FMT ":", SLICE_ARG(d->what.text));
    buf_add(&text, ip);
    if (rule->kind == RULE_ACL) {
        put_ports(&text, d->ports, d->port_count);
    }
    char *copy = arena_strdup(v->out->arena, buf_slice(&text));
    struct slice kept = slice_of(copy, text.len);
    v->full |= !copy || !buf_ok(&text);
    buf_deinit(&text);
    return kept;
}

static struct slice *dst_texts(struct preview *v, const struct rule *rule)
{
    struct slice *at = take(v, rule->dst_count, sizeof *at);
    struct buf ip = BUF_MAX(64 * KIB);
    if (rule->kind == RULE_GRANT) {
        put_ip(&ip, rule);
    }
    v->full |= !buf_ok(&ip);
    for (size_t i = 0; !v->full && i < rule->dst_count; i++) {
        at[i] = dst_text(v, rule, &rule->dst[i], buf_slice(&ip));
    }
    buf_deinit(&ip);
    return at;
}

static struct slice *texts(struct preview *v, const struct selectors *s)
{
    struct slice *at = take(v, s->count, sizeof *at);
    for (size_t i = 0; at && i < s->count; i++) {
        at[i] = s->at[i].text;
    }
    return at;
}

static void add_match(struct preview *v, const struct book_rule *from)
{
    const struct rule *rule = from->access;
    struct policy_match m = {.user_count = rule->src.count,
                             .port_count = rule->dst_count,
                             .via_count = rule->via.count,
                             .posture_count = from->posture_count};
    int column;
    hujson_position(v->r->policy->doc, rule->offset, &m.line, &column);
    m.users = texts(v, &rule->src);
    m.ports = dst_texts(v, rule);
    m.via = texts(v, &rule->via);
    m.postures = take(v, m.posture_count, sizeof *m.postures);
    for (size_t i = 0; m.postures && i < m.posture_count; i++) {
        m.postures[i] = v->r->policy->postures[from->postures[i]].name.text;
    }
    v->out->at[v->out->count++] = m;
}

static bool begin(struct preview *v, const struct policy_reach *r, struct policy_matches *out)
{
    *out = (struct policy_matches){.arena = arena_new(PREVIEW_MEMORY_MAX)};
    *v = (struct preview){.r = r, .out = out};
    out->at = take(v, r->access.rule_count, sizeof *out->at);
    return !v->full;
}

/* Hands over what was found, or nothing. */
static bool end(struct preview *v)
{
    if (v->full) {
        policy_matches_free(v->out);
    }
    return !v->full;
}

void policy_matches_free(struct policy_matches *m)
{
    arena_free(m->arena);
    *m = (struct policy_matches){NULL, NULL, 0};
}

/* ---- of a user ---- */

/* Marks what takes the user's devices: the user's own terms, and those of their addresses. */
static void mark_user(const struct policy_reach *r, uint32_t user, bool *marks)
{
    const struct principal *p = &r->principals[user];
    for (uint32_t i = 0; i < p->term_count; i++) {
        marks[p->terms[i]] = true;
    }
    for (uint32_t i = 0; i < 2 * p->class_count; i++) {
        const struct reach_point *c = &r->classes[p->first_class + i / 2];
        struct addr_walk w;
        uint32_t number;
        addr_walk_begin(&w, &r->addrs, i % 2 ? c->set6 : c->set4);
        while (addr_walk_next(&w, &r->addrs, &number)) {
            marks[r->addr_terms + number] = true;
        }
    }
}

/* Somebody who is not here yet: what the file says about the login. */
static void mark_login(const struct policy_reach *r, struct slice login, bool *marks)
{
    const struct policy *p = r->policy;
    marks[TERM_ALL] = marks[TERM_ANYONE] = marks[TERM_MEMBER] = true;
    for (size_t g = 0; g < p->group_count; g++) {
        for (size_t i = 0; i < p->groups[g].members.count; i++) {
            marks[r->group_terms + g] |= slice_eq_nocase(p->groups[g].members.at[i].text, login);
        }
    }
    for (size_t i = 0; i < r->facts->domain_count; i++) {
        marks[r->domain_terms + i] = reach_in_domain(login, r->facts->domains[i]);
    }
}

static bool takes_login(const struct book_rule *rule, struct slice login, const bool *marks)
{
    for (uint32_t i = 0; i < rule->src_count; i++) {
        if (marks[rule->src[i]]) {
            return true;
        }
    }
    for (size_t i = 0; i < rule->access->src.count; i++) {
        const struct selector *s = &rule->access->src.at[i];
        if (s->kind == SELECTOR_USER && slice_eq_nocase(s->name, login)) {
            return true;
        }
    }
    return false;
}

bool policy_preview_user(const struct policy_reach *r,
                         struct slice login,
                         struct policy_matches *out_matches)
{
    struct preview v;
    uint32_t user = policy_facts_find_user(r->facts, login);
    AUTO_FREE bool *marks = mem_try(r->term_count * sizeof *marks);
    if (!begin(&v, r, out_matches) || !marks) {
        v.full = true;
        return end(&v);
    }
    if (user != POLICY_NO_USER) {
        mark_user(r, user, marks);
    } else {
        mark_login(r, login, marks);
    }
    for (size_t i = 0; !v.full && i < r->access.rule_count; i++) {
        if (takes_login(&r->access.rules[i], login, marks)) {
            add_match(&v, &r->access.rules[i]);
        }
    }
    return end(&v);
}

/* ---- of an address and port ---- */

/* "100.64.0.3:22", "[fd7a::3]:22" */
static bool read_ipport(struct slice text, struct ip_addr *out_addr, uint16_t *out_port)
{
    ptrdiff_t colon = slice_rfind(text, ':');
    uint64_t port;
    if (colon < 0 || !slice_u64(slice_skip(text, (size_t)colon + 1), UINT16_MAX, &port) || !port) {
        return false;
    }
    struct slice host = slice_sub(text, 0, (size_t)colon);
    bool brackets = slice_starts(host, S("[")) && slice_ends(host, S("]"));
    if (brackets) {
        host = slice_sub(host, 1, host.n - 2);
    }
    *out_port = (uint16_t)port;
    return ip_addr_parse(host, out_addr) && (out_addr->family == IP_V6) == brackets;
}

/* With its own ports, for somebody. */
static bool opens(const struct policy_reach *r,
                  const struct book_item *item,
                  const struct reach_point *dst,
                  const struct reach_question *q)
{
    bool found = item->self && dst->user != POLICY_NO_USER;
    for (uint32_t i = 0; !found && i < item->dst_count; i++) {
        found = reach_point_has(r, dst, item->dst[i]);
    }
    return found && reach_item_fit(r, &r->access, item, q) == FIT_YES;
}

bool policy_preview_ipport(const struct policy_reach *r,
                           struct slice ipport,
                           struct policy_matches *out_matches,
                           char out_why[256])
{
    struct preview v;
    struct ip_addr addr;
    struct reach_question q = {.src_outside = true}; /* whatever the posture */
    if (!read_ipport(ipport, &addr, &q.port)) {
        (void)snprintf(out_why, 256,
                       "previewFor is an address and a port: \"100.64.0.1:22\", "
                       "\"[fd7a:115c:a1e0::1]:22\"");
        return false;
    }
    struct reach_point dst = reach_addr_point(r, &addr, reach_device_at(r, &addr), REACH_DST);
    q.dst_outside = dst.outside;
    bool ok = begin(&v, r, out_matches);
    for (size_t i = 0; ok && !v.full && i < r->access.rule_count; i++) {
        const struct book_rule *rule = &r->access.rules[i];
        bool found = false;
        for (uint32_t k = 0; k < rule->item_count; k++) {
            found |= opens(r, &r->access.items[rule->item + k], &dst, &q);
        }
        if (found) {
            add_match(&v, rule);
        }
    }
    if (!end(&v)) {
        (void)snprintf(out_why, 256, "there are too many rules to list");
        return false;
    }
    return true;
}
