/*
 * nodeAttrs (policy.md section 3): targets, attributes, app capabilities, address pools. Attributes
 * are opaque but for those that the server computes; app values are opaque but for our own port
 * list.
 */
#include <stdlib.h>

#include "lib/base/text.h"
#include "policy/load_priv.h"

/* ---- attributes ---- */

/* The names of the official client's node attributes, as its documentation and its public protocol
 * package give them, in order of bytes; a name is compared up to its "?". */
static const char *const known_attrs[] = {
    "auto-exit-node",
    "cache-network-maps",
    "client-side-reachability",
    "client-side-reachability-routecheck",
    "debug-always-stun",
    "debug-conn-reject",
    "debug-disable-subnets-if-pac",
    "debug-disable-upnp",
    "debug-no-wg-trim",
    "default-auto-update",
    "disable-android-bind-to-active-network",
    "disable-cache-network-maps",
    "disable-captive-portal-detection",
    "disable-delta-updates",
    "disable-hosts-file-updates",
    "disable-ipv4",
    "disable-linux-cgnat-drop-rule",
    "disable-local-dns-override-via-nrpt",
    "disable-magicsock-crypto-routing",
    "disable-relay-client",
    "disable-relay-server",
    "disable-seamless-key-renewal",
    "disable-skip-status-queue",
    "disable-split-dns-when-no-custom-resolvers",
    "disable-tun-tcp-gro",
    "disable-tun-udp-gro",
    "disable-udp-gro",
    "disable-udp-gso",
    "disable-web-client",
    "dns-forwarder-disable-tcp-retries",
    "drive:access",
    "drive:share",
    "emit-runtime-metrics",
    "force-register-magicdns-ipv4-only",
    "funnel",
    "https://tailscale.com/cap/bind-to-interface-by-route",
    "https://tailscale.com/cap/data-plane-audit-logs",
    "https://tailscale.com/cap/debug",
    "https://tailscale.com/cap/debug-disable-alternate-default-route-interface",
    "https://tailscale.com/cap/debug-disable-bind-conn-to-interface",
    "https://tailscale.com/cap/debug-ts-dns-resolution",
    "https://tailscale.com/cap/file-sharing",
    "https://tailscale.com/cap/mac-ui-v2",
    "https://tailscale.com/cap/ssh",
    "https://tailscale.com/cap/ssh-rule-in",
    "https://tailscale.com/cap/warn-funnel-no-https",
    "https://tailscale.com/cap/warn-funnel-no-invite",
    "linux-netfilter",
    "log-exit-flows",
    "magicdns-aaaa",
    "mullvad",
    "native-ipv4",
    "never-gso-equal-tail",
    "one-cgnat",
    "only-tcp-443",
    "peer-mtu-enable",
    "probe-udp-lifetime",
    "randomize-client-port",
    "scope-quad100-macos",
    "seamless-key-renewal",
    "service-host",
    "silent-disco",
    "ssh-aggregator",
    "ssh-behavior-v1",
    "ssh-behavior-v2",
    "ssh-env-vars",
    "store-appc-routes",
    "suggest-exit-node",
    "suggest-exit-node-ui",
    "tailnet-display-name",
    "tailnet.maxKeyDuration",
    "traffic-steering",
    "user-dial-routes",
};

static const char *const reserved_attrs[] = {
    "https",
    "https://tailscale.com/cap/is-admin",
    "https://tailscale.com/cap/is-owner",
    "https://tailscale.com/cap/tailnet-lock",
};

static bool among(struct slice s, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq(s, slice_str(names[i]))) {
            return true;
        }
    }
    return false;
}

static int by_name(const void *key, const void *entry)
{
    return slice_cmp(*(const struct slice *)key, slice_str(*(const char *const *)entry));
}

static bool known(struct slice attr)
{
    ptrdiff_t query = slice_find(attr, '?');
    struct slice name = query < 0 ? attr : slice_sub(attr, 0, (size_t)query);
    return bsearch(&name, known_attrs, ARRAY_LEN(known_attrs), sizeof *known_attrs, by_name) ||
           slice_starts(name, S("nextdns:"));
}

static bool reserved(struct slice attr)
{
    return among(attr, reserved_attrs, ARRAY_LEN(reserved_attrs)) ||
           slice_starts(attr, S("https://tailscale.com/cap/funnel-ports"));
}

static bool attr(struct loader *l, const struct word *w)
{
    if (!w->text.n) {
        load_error(l, "attr-empty", w->offset, "an attribute needs a name");
        return false;
    }
    if (reserved(w->text)) {
        load_error(l, "attr-reserved", w->offset,
                   "\"" SLICE_FMT "\" is computed by the server and cannot be handed out",
                   SLICE_ARG(w->text));
        return false;
    }
    if (!known(w->text)) {
        load_did_you_mean(load_warning(l, "unknown-attr", w->offset,
                                       "\"" SLICE_FMT "\" is no attribute that clients know",
                                       SLICE_ARG(w->text)),
                          w->text, known_attrs, ARRAY_LEN(known_attrs));
    }
    return true;
}

static void read_attrs(struct loader *l, const struct hujson_node *n, void *into)
{
    struct attr_entry *e = into;
    struct words all = {NULL, 0};
    load_words(l, n, &all);
    e->attrs.at = all.at;
    for (size_t i = 0; i < all.count; i++) {
        if (attr(l, &all.at[i])) {
            e->attrs.at[e->attrs.count++] = all.at[i];
        }
    }
}

/* ---- app ---- */

/* In Tailscale's own domain only what policy may hand out. */
static const char *const known_caps[] = {
    "tailscale.com/app-connectors",   "tailscale.com/cap/drive",
    "tailscale.com/cap/drive-sharer", "tailscale.com/cap/relay",
    "tailscale.com/cap/relay-target", "tailscale.com/cap/webui",
    "tailscale.com/cap/kubernetes",   "tailscale.com/cap/tsidp",
    "tailscale.com/cap/secrets",      "tailscale.com/cap/golink",
};

bool load_capability(struct loader *l, const struct name_ref *name)
{
    char domain[TEXT_NAME_SIZE];
    ptrdiff_t slash = slice_find(name->name, '/');
    if (slash < 1 || (size_t)slash + 1 == name->name.n ||
        !text_name(slice_sub(name->name, 0, (size_t)slash), TEXT_NAME_HOST, domain)) {
        load_error(l, "cap-name", name->offset,
                   "\"" SLICE_FMT "\": capability name must have the form {domain}/{path}",
                   SLICE_ARG(name->name));
        return false;
    }
    struct slice d = slice_str(domain);
    if ((slice_eq(d, S("tailscale.com")) || slice_ends(d, S(".tailscale.com"))) &&
        !among(name->name, known_caps, ARRAY_LEN(known_caps))) {
        load_did_you_mean(load_error(l, "cap-name", name->offset,
                                     "\"" SLICE_FMT
                                     "\": capability name must not be in the tailscale.com domain",
                                     SLICE_ARG(name->name)),
                          name->name, known_caps, ARRAY_LEN(known_caps));
        return false;
    }
    return true;
}

/* ---- funnel ports: our capability ---- */

#define FUNNEL_CAPABILITY "openfunnel.org/cap/funnel"

static bool port(struct loader *l, const struct hujson_node *n, struct port_range *out)
{
    int64_t number;
    struct slice text = S("");
    if (hujson_kind(n) == HUJSON_NUMBER && hujson_integer(l->doc, n, 1, UINT16_MAX, &number)) {
        *out = (struct port_range){(uint16_t)number, (uint16_t)number};
        return true;
    }
    if (hujson_kind(n) == HUJSON_STRING && !load_string(l, n, &text)) {
        return false;
    }
    if (!port_range_parse(slice_trim(text), out) || !out->first) {
        load_error(l, "funnel-ports", hujson_offset(n),
                   "a port or a range \"a-b\" between 1 and 65535 must stand here");
        return false;
    }
    return true;
}

size_t load_ports(struct loader *l, const struct hujson_node *n, struct port_range **out_ports)
{
    size_t count = 0;
    struct port_range *at = load_is_array(l, n) ? load_alloc(l, hujson_count(n), sizeof *at) : NULL;
    for (size_t i = 0; at && i < hujson_count(n); i++) {
        count += port(l, hujson_at(n, i), &at[count]);
    }
    *out_ports = at;
    return port_ranges_merge(at, count);
}

static void read_ports(struct loader *l, const struct hujson_node *n, void *into)
{
    struct attr_entry *e = into;
    for (size_t i = 0; load_is_array(l, n) && i < hujson_count(n); i++) {
        e->port_count += port(l, hujson_at(n, i), &e->ports[e->port_count]);
    }
}

static const struct load_field port_fields[] = {{"ports", read_ports, NULL}};

/* Several values add up; a port takes at least a byte of their text. */
static void funnel_ports(struct loader *l, const struct hujson_node *values, struct attr_entry *e)
{
    e->ports = load_alloc(l, hujson_literal(l->doc, values).n, sizeof *e->ports);
    for (size_t i = 0; e->ports && i < hujson_count(values); i++) {
        if (load_is_object(l, hujson_at(values, i))) {
            load_fields(l, hujson_at(values, i), port_fields, ARRAY_LEN(port_fields), e);
        }
    }
    e->port_count = port_ranges_merge(e->ports, e->port_count);
}

static void app_values(struct loader *l, const struct hujson_node *values, struct app_grant *g)
{
    g->values = load_alloc(l, hujson_count(values), sizeof *g->values);
    for (size_t i = 0; g->values && i < hujson_count(values); i++) {
        load_opaque(l, hujson_at(values, i));
        g->values[g->value_count++] = load_json(l, hujson_at(values, i));
    }
}

static void read_app(struct loader *l, const struct hujson_node *n, void *into)
{
    struct attr_entry *e = into;
    struct name_ref *names = load_is_object(l, n) ? load_names(l, n) : NULL;
    e->apps = names ? load_alloc(l, hujson_count(n), sizeof *e->apps) : NULL;
    for (size_t i = 0; e->apps && i < hujson_count(n); i++) {
        const struct hujson_node *values = hujson_at(n, i);
        if (!names[i].name.p || !load_capability(l, &names[i]) || !load_is_array(l, values)) {
            continue;
        }
        struct app_grant *g = &e->apps[e->app_count++];
        g->capability = (struct word){names[i].name, names[i].offset};
        if (slice_eq(names[i].name, S(FUNNEL_CAPABILITY))) {
            funnel_ports(l, values, e);
        }
        app_values(l, values, g);
    }
}

/* ---- pools ---- */

static struct ip_prefix cgnat(const char *text)
{
    struct ip_prefix p = {0};
    err_ignore(ip_prefix_parse(slice_str(text), &p, NULL));
    return p;
}

static bool pool(struct loader *l, const struct hujson_node *n, struct ip_prefix *out_pool)
{
    const struct ip_prefix whole = cgnat("100.64.0.0/10");
    const struct ip_prefix taken[] = {cgnat("100.100.100.0/24"), cgnat("100.115.92.0/23")};
    struct slice text;
    size_t offset = hujson_offset(n);
    if (!load_string(l, n, &text)) {
        return false;
    }
    if (!ip_prefix_parse(slice_trim(text), out_pool, NULL) || !ip_prefix_covers(&whole, out_pool)) {
        load_error(l, "ip-pool", offset,
                   "IPPool(" SLICE_FMT "): not a network within 100.64.0.0/10", SLICE_ARG(text));
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        if (ip_prefix_covers(&taken[i], out_pool) || ip_prefix_covers(out_pool, &taken[i])) {
            load_error(l, "ip-pool", offset, "IPPool(" SLICE_FMT "): network within reserved range",
                       SLICE_ARG(text));
            return false;
        }
    }
    return true;
}

static void read_pools(struct loader *l, const struct hujson_node *n, void *into)
{
    struct attr_entry *e = into;
    if (load_is_array(l, n)) {
        e->pools = load_alloc(l, hujson_count(n), sizeof *e->pools);
        for (size_t i = 0; e->pools && i < hujson_count(n); i++) {
            e->pool_count += pool(l, hujson_at(n, i), &e->pools[e->pool_count]);
        }
    }
}

/* ---- entries ---- */

static void read_targets(struct loader *l, const struct hujson_node *n, void *into)
{
    struct attr_entry *e = into;
    load_selectors(l, PLACE_TARGET, n, &e->targets);
}

static const struct load_field entry_fields[] = {
    {"target", read_targets, NULL},
    {"attr", read_attrs, NULL},
    {"app", read_app, NULL},
    {"ipPool", read_pools, NULL},
};

static void entry(struct loader *l, const struct hujson_node *n, struct attr_entry *e)
{
    size_t before = l->errors;
    load_fields(l, n, entry_fields, ARRAY_LEN(entry_fields), e);
    if (l->errors == before &&
        (!e->targets.count || !(e->attrs.count + e->app_count + e->pool_count))) {
        policy_hint(load_warning(l, "entry-without-effect", e->offset,
                                 "this entry gives nothing to anybody"),
                    e->targets.count ? "add attr, app or ipPool" : "add a target");
    }
}

void load_node_attrs(struct loader *l, const struct hujson_node *n)
{
    struct attr_entry *at = load_is_array(l, n) ? load_alloc(l, hujson_count(n), sizeof *at) : NULL;
    for (size_t i = 0; at && i < hujson_count(n); i++) {
        const struct hujson_node *item = hujson_at(n, i);
        at[i].index = (uint32_t)i;
        at[i].offset = (uint32_t)hujson_offset(item);
        if (load_is_object(l, item)) {
            entry(l, item, &at[i]);
        }
    }
    l->p->entries = at;
    l->p->entry_count = at ? hujson_count(n) : 0;
}
