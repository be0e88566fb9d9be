/*
 * acls and grants (policy.md 2.4): who may reach what. This server makes no packet filters of them;
 * tests and preview read them, and a file that is wrong is refused as a whole, because a rule that
 * is silently dropped is worse.
 */
#include "policy/load_priv.h"

/* ---- protocols and ports ---- */

static const struct {
    const char *name;
    uint16_t number;
} protocols[] = {
    {"icmp", 1}, {"igmp", 2},       {"ipv4", 4},   {"ip-in-ip", 4}, {"tcp", 6},
    {"egp", 8},  {"igp", 9},        {"udp", 17},   {"gre", 47},     {"esp", 50},
    {"ah", 51},  {"ipv6-icmp", 58}, {"sctp", 132}, {"fc", 133},
};

bool load_protocol(
    struct loader *l, struct slice text, size_t offset, const char *code, uint16_t *out_number)
{
    const char *names[ARRAY_LEN(protocols)];
    const char *before = slice_eq(slice_str(code), S("test-shape")) ? "test(s) failed: " : "";
    uint64_t number;
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        names[i] = protocols[i].name;
        if (slice_eq_nocase(text, slice_str(names[i]))) {
            *out_number = protocols[i].number;
            return true;
        }
    }
    if (text.n && text.p[0] != '0' && slice_u64(text, 255, &number)) {
        *out_number = (uint16_t)number;
        return true;
    }
    if (slice_u64(text, UINT64_MAX, &number)) {
        load_error(l, code, offset, "%sproto \"" SLICE_FMT "\": %s", before, SLICE_ARG(text),
                   text.p[0] == '0' ? "leading 0 not permitted in protocol number"
                                    : "protocol number out of range (1-255)");
    } else {
        load_did_you_mean(load_error(l, code, offset, "%sproto \"" SLICE_FMT "\": not a protocol",
                                     before, SLICE_ARG(text)),
                          text, names, ARRAY_LEN(names));
    }
    return false;
}

bool load_protocol_has_ports(uint16_t proto)
{
    return proto == PROTO_DEFAULT || proto == 6 || proto == 17 || proto == 132;
}

/* Tailscale's words for one item of a list of ports; NULL: it is one. */
static const char *port_item(struct slice item, struct port_range *out)
{
    uint64_t first, last;
    ptrdiff_t dash = slice_find(item, '-');
    if (slice_eq(item, S("*"))) {
        *out = (struct port_range){0, UINT16_MAX};
        return NULL;
    }
    if (!slice_u64(dash < 0 ? item : slice_sub(item, 0, (size_t)dash), UINT16_MAX, &first)) {
        return "invalid first integer";
    }
    last = first;
    if (dash >= 0 && !slice_u64(slice_skip(item, (size_t)dash + 1), UINT16_MAX, &last)) {
        return "invalid last integer";
    }
    if (!first) {
        return "first port must be >0, or use '*' for wildcard";
    }
    *out = (struct port_range){(uint16_t)first, (uint16_t)last};
    return last < first ? "the last port comes before the first" : NULL;
}

/* "80,443,9000-9010" or "*". dst: the whole destination, for the message; empty: there is none. */
static size_t port_list(
    struct loader *l, struct slice list, struct slice dst, size_t offset, struct port_range **out)
{
    size_t room = 1, n = 0;
    for (size_t i = 0; i < list.n; i++) {
        room += list.p[i] == ',';
    }
    struct port_range *at = load_alloc(l, room, sizeof *at);
    for (ptrdiff_t comma = 0; at && comma >= 0;) {
        comma = slice_find(list, ',');
        struct slice item = slice_trim(comma < 0 ? list : slice_sub(list, 0, (size_t)comma));
        const char *why = port_item(item, &at[n]);
        list = slice_skip(list, (size_t)comma + 1);
        if (!why) {
            n++;
        } else if (dst.n) {
            load_error(l, "acl-port", offset,
                       "dst=\"" SLICE_FMT "\": port range \"" SLICE_FMT "\": %s", SLICE_ARG(dst),
                       SLICE_ARG(item), why);
        } else {
            load_error(l, "acl-port", offset, "port range \"" SLICE_FMT "\": %s", SLICE_ARG(item),
                       why);
        }
    }
    *out = at;
    return n;
}

static bool all_ports(const struct port_range *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (r[i].first || r[i].last != UINT16_MAX) {
            return false;
        }
    }
    return true;
}

static void ports_without(struct loader *l, size_t offset)
{
    policy_hint(load_error(l, "acl-proto-port", offset,
                           "only tcp, udp and sctp have ports; other protocols take \"*\""),
                "write \"*\" for the ports");
}

/* ---- selector:ports ---- */

/* "[::1]" and "[::1]/64" hold an address; the brackets are taken out of it. What is no address
 * stays as it is: nothing has such a name. */
static void take_brackets(struct loader *l, struct slice *host)
{
    struct ip_prefix any;
    ptrdiff_t close = slice_find(*host, ']');
    if (!host->n || host->p[0] != '[' || close < 0) {
        return;
    }
    size_t n = host->n - 2, inner = (size_t)close - 1;
    char *text = load_alloc(l, n, 1);
    if (!text) {
        return;
    }
    memcpy(text, host->p + 1, inner);
    memcpy(text + inner, host->p + close + 1, n - inner);
    if (ip_prefix_parse(slice_of(text, n), &any, NULL) && any.addr.family == IP_V6) {
        *host = slice_of(text, n);
    }
}

const char *
load_split_dst(struct loader *l, struct slice text, struct slice *out_host, struct slice *out_ports)
{
    struct ip_prefix bare;
    ptrdiff_t colon = slice_rfind(text, ':');
    if (colon < 0) {
        return "hostport must contain a colon";
    }
    *out_host = slice_sub(text, 0, (size_t)colon);
    *out_ports = slice_skip(text, (size_t)colon + 1);
    if (ip_prefix_parse(text, &bare, NULL) ||
        (ip_prefix_parse(*out_host, &bare, NULL) && bare.addr.family == IP_V6)) {
        return "an IPv6 address stands in brackets before its port";
    }
    take_brackets(l, out_host);
    return NULL;
}

static bool destination(struct loader *l, const struct hujson_node *n, struct rule_dst *d)
{
    struct slice text, host, ports;
    size_t offset = hujson_offset(n);
    if (!load_string(l, n, &text)) {
        return false;
    }
    text = load_trim(l, text, offset);
    const char *why = load_split_dst(l, text, &host, &ports);
    if (why) {
        policy_hint(
            load_error(l, "acl-port", offset, "dst=\"" SLICE_FMT "\": %s", SLICE_ARG(text), why),
            "write selector:port, as in \"tag:web:443\" or \"[::1]:443\"");
        return false;
    }
    size_t before = l->errors;
    d->port_count = port_list(l, ports, text, offset, &d->ports);
    if (l->errors != before) {
        return false;
    }
    return load_selector_text(l, PLACE_ACL_DST, host, offset, &d->what);
}

static void
destinations(struct loader *l,
             const struct hujson_node *n,
             struct rule *r,
             bool (*read)(struct loader *, const struct hujson_node *, struct rule_dst *))
{
    if (load_is_array(l, n)) {
        r->dst = load_alloc(l, hujson_count(n), sizeof *r->dst);
        r->dst_count = 0; /* the old name may have been read before */
        for (size_t i = 0; r->dst && i < hujson_count(n); i++) {
            r->dst_count += read(l, hujson_at(n, i), &r->dst[r->dst_count]);
        }
    }
}

/* ---- what both have ---- */

/* autogroup:self asks for sources that are people; acls also take "*" (policy.md 2.2, note 5). */
bool load_self_sources(const struct selectors *src, bool all)
{
    for (size_t i = 0; i < src->count; i++) {
        enum selector_kind k = src->at[i].kind;
        if (k != SELECTOR_USER && k != SELECTOR_DOMAIN && k != SELECTOR_GROUP &&
            k != SELECTOR_MEMBER && k != SELECTOR_ROLE && !(all && k == SELECTOR_ALL)) {
            return false;
        }
    }
    return true;
}

static void check_self(struct loader *l, const struct rule *r)
{
    bool fits = load_self_sources(&r->src, r->kind == RULE_ACL);
    for (size_t i = 0; i < r->dst_count && !fits; i++) {
        if (r->dst[i].what.kind == SELECTOR_SELF) {
            load_error(l, "autogroup-not-allowed", r->dst[i].what.offset,
                       "autogroup:self can only be used with users, groups, or supported "
                       "autogroups as src");
        }
    }
}

static void read_posture(struct loader *l, const struct hujson_node *n, void *into)
{
    load_posture_list(l, n, &((struct rule *)into)->postures);
}

/* ---- acls ---- */

enum { ACL_ACTION, ACL_SRC, ACL_USERS, ACL_DST, ACL_PORTS };

static void read_action(struct loader *l, const struct hujson_node *n, void *into)
{
    struct slice text;
    (void)into;
    if (load_string(l, n, &text) && !slice_eq(text, S("accept"))) {
        policy_hint(load_error(l, "acl-action", hujson_offset(n),
                               "action=\"" SLICE_FMT "\" is not supported", SLICE_ARG(text)),
                    "write \"accept\": what no rule accepts is denied");
    }
}

static void read_acl_src(struct loader *l, const struct hujson_node *n, void *into)
{
    load_selectors(l, PLACE_ACL_SRC, n, &((struct rule *)into)->src);
}

static void read_acl_dst(struct loader *l, const struct hujson_node *n, void *into)
{
    destinations(l, n, into, destination);
}

static void read_acl_proto(struct loader *l, const struct hujson_node *n, void *into)
{
    struct slice text;
    if (load_string(l, n, &text) && text.n) {
        err_ignore(
            load_protocol(l, text, hujson_offset(n), "acl-proto", &((struct rule *)into)->proto));
    }
}

static const struct load_field acl_fields[] = {
    [ACL_ACTION] = {"action", read_action, NULL}, [ACL_SRC] = {"src", read_acl_src, NULL},
    [ACL_USERS] = {"users", read_acl_src, "src"}, [ACL_DST] = {"dst", read_acl_dst, NULL},
    [ACL_PORTS] = {"ports", read_acl_dst, "dst"}, {"proto", read_acl_proto, NULL},
    {"srcPosture", read_posture, NULL},
};

static void acl(struct loader *l, const struct hujson_node *n, struct rule *r)
{
    uint32_t present = load_fields(l, n, acl_fields, ARRAY_LEN(acl_fields), r);
    if (!(present & 1u << ACL_ACTION)) {
        policy_hint(load_error(l, "acl-action", r->offset, "action=\"\" is not supported"),
                    "add \"action\": \"accept\"");
    }
    if (present & (1u << ACL_USERS | 1u << ACL_PORTS) &&
        present & (1u << ACL_SRC | 1u << ACL_DST)) {
        policy_hint(load_error(l, "acl-mixed", r->offset,
                               "the old names users and ports, and src and dst, cannot stand in "
                               "one rule"),
                    "write src and dst");
    }
    for (size_t i = 0; i < r->dst_count; i++) {
        if (!load_protocol_has_ports(r->proto) &&
            !all_ports(r->dst[i].ports, r->dst[i].port_count)) {
            ports_without(l, r->dst[i].what.offset);
        }
    }
    check_self(l, r);
}

/* ---- grants ---- */

static bool grant_destination(struct loader *l, const struct hujson_node *n, struct rule_dst *d)
{
    if (!load_selector(l, PLACE_GRANT_DST, n, &d->what)) {
        return false;
    }
    if (d->what.kind == SELECTOR_ADDRESS && !d->what.prefix.bits) {
        load_error(l, "target-kind", d->what.offset,
                   "dst \"" SLICE_FMT
                   "\": to allow all IP addresses, use \"*\" or \"autogroup:internet\"",
                   SLICE_ARG(d->what.text));
        return false;
    }
    return true;
}

static void read_grant_src(struct loader *l, const struct hujson_node *n, void *into)
{
    load_selectors(l, PLACE_GRANT_SRC, n, &((struct rule *)into)->src);
}

static void read_grant_dst(struct loader *l, const struct hujson_node *n, void *into)
{
    destinations(l, n, into, grant_destination);
}

static void read_via(struct loader *l, const struct hujson_node *n, void *into)
{
    load_selectors(l, PLACE_VIA, n, &((struct rule *)into)->via);
}

/* "*", ports, or protocol:ports. */
static void
ip_item(struct loader *l, struct slice text, size_t offset, struct ip_item *out, size_t *count)
{
    struct port_range *ports;
    uint16_t proto = PROTO_DEFAULT;
    ptrdiff_t colon = slice_find(text, ':');
    if (slice_eq(text, S("*"))) {
        out[(*count)++] = (struct ip_item){PROTO_ANY, {0, UINT16_MAX}};
        return;
    }
    if (colon >= 0 && colon != slice_rfind(text, ':')) {
        load_error(l, "acl-port", offset,
                   "\"" SLICE_FMT "\": expected only one colon in Internet protocol and port type",
                   SLICE_ARG(text));
        return;
    }
    if (colon >= 0 &&
        !load_protocol(l, slice_sub(text, 0, (size_t)colon), offset, "acl-proto", &proto)) {
        return;
    }
    size_t n =
        port_list(l, colon < 0 ? text : slice_skip(text, (size_t)colon + 1), S(""), offset, &ports);
    if (!load_protocol_has_ports(proto) && !all_ports(ports, n)) {
        ports_without(l, offset);
    }
    for (size_t i = 0; i < n; i++) {
        out[(*count)++] = (struct ip_item){proto, ports[i]};
    }
}

static void read_ip(struct loader *l, const struct hujson_node *n, void *into)
{
    struct rule *r = into;
    if (!load_is_array(l, n)) {
        return;
    }
    /* An item takes more than a byte of the text, also in a list of ports. */
    r->ip = load_alloc(l, hujson_literal(l->doc, n).n, sizeof *r->ip);
    for (size_t i = 0; r->ip && i < hujson_count(n); i++) {
        const struct hujson_node *item = hujson_at(n, i);
        struct slice text;
        if (load_string(l, item, &text)) {
            ip_item(l, load_trim(l, text, hujson_offset(item)), hujson_offset(item), r->ip,
                    &r->ip_count);
        }
    }
}

static void read_app(struct loader *l, const struct hujson_node *n, void *into)
{
    struct rule *r = into;
    struct name_ref *names = load_is_object(l, n) ? load_names(l, n) : NULL;
    for (size_t i = 0; names && i < hujson_count(n); i++) {
        r->has_app = true;
        if (names[i].name.p && load_capability(l, &names[i]) && load_is_array(l, hujson_at(n, i))) {
            load_opaque(l, hujson_at(n, i));
        }
    }
}

enum { GRANT_IP = 2, GRANT_APP };

static const struct load_field grant_fields[] = {
    {"src", read_grant_src, NULL},      {"dst", read_grant_dst, NULL},
    [GRANT_IP] = {"ip", read_ip, NULL}, [GRANT_APP] = {"app", read_app, NULL},
    {"srcPosture", read_posture, NULL}, {"via", read_via, NULL},
};

static void grant(struct loader *l, const struct hujson_node *n, struct rule *r)
{
    size_t before = l->errors;
    load_fields(l, n, grant_fields, ARRAY_LEN(grant_fields), r);
    if (!r->ip_count && !r->has_app && l->errors == before) {
        policy_hint(load_error(l, "grant-empty", r->offset, "ip and app can not both be empty"),
                    "add \"ip\": [\"*\"], or less");
    }
    for (size_t i = 0; r->has_app && i < r->dst_count; i++) {
        if (r->dst[i].what.kind == SELECTOR_INTERNET) {
            load_error(l, "autogroup-not-allowed", r->dst[i].what.offset,
                       "cannot use app grants with autogroup:internet");
        }
    }
    check_self(l, r);
}

/* ---- sections ---- */

static size_t section_size(const struct loader *l, enum load_section section)
{
    const struct hujson_node *n = l->section[section];
    return n && hujson_kind(n) == HUJSON_ARRAY ? hujson_count(n) : 0;
}

/* acls and grants share one array; whichever comes first makes it. */
static void rules(struct loader *l,
                  const struct hujson_node *n,
                  enum rule_kind kind,
                  void (*read)(struct loader *, const struct hujson_node *, struct rule *))
{
    struct policy *p = l->p;
    if (!load_is_array(l, n)) {
        return;
    }
    if (!p->rules) {
        p->rules = load_alloc(l, section_size(l, SECTION_ACLS) + section_size(l, SECTION_GRANTS),
                              sizeof *p->rules);
    }
    for (size_t i = 0; p->rules && i < hujson_count(n); i++) {
        const struct hujson_node *item = hujson_at(n, i);
        struct rule *r = &p->rules[p->rule_count++];
        r->kind = kind;
        r->index = (uint32_t)i;
        r->offset = (uint32_t)hujson_offset(item);
        if (load_is_object(l, item)) {
            read(l, item, r);
        }
    }
}

void load_acls(struct loader *l, const struct hujson_node *n)
{
    l->p->has_acls = true;
    rules(l, n, RULE_ACL, acl);
}

void load_grants(struct loader *l, const struct hujson_node *n)
{
    l->p->has_grants = true;
    rules(l, n, RULE_GRANT, grant);
}
