/* Control's configuration table. */
#include <stddef.h>
#include <stdio.h>

#include "lib/base/text.h"
#include "server/app.h"

static const char *const oidc_unknown_names[] = {"refuse", "ask", "member", NULL};

enum { ZONE_MAX = 120 }; /* room for a node's and a tailnet's label before it */

#define AT(field) offsetof(struct config, field)

/* One option, two lines. */
/* clang-format off */
const struct conf_option config_options[] = {
    {.key = "origin", .kind = CONF_STR, .offset = AT(origin),
     .help = "what people and nodes call: https://control.example.net"},
    {.key = "zone", .kind = CONF_STR, .offset = AT(zone),
     .help = "the public zone of the nodes' names: ts.example.net"},
    {.key = "contact", .kind = CONF_STR, .offset = AT(contact), .fallback = "",
     .help = "mailbox of the zone, as a name; empty: hostmaster.<zone>"},
    {.key = "nameServers", .kind = CONF_STR_LIST, .offset = AT(name_servers),
     .help = "host names that the parent zone's NS records point at"},
    {.key = "stateDir", .kind = CONF_STR, .offset = AT(state_dir), .fallback = "/var/lib/funnel-control",
     .help = "database and secrets"},
    {.key = "listen", .kind = CONF_STR_LIST, .offset = AT(listen), .fallback = ":443",
     .help = "addresses for HTTPS, IP:port"},
    {.key = "proxyFrom", .kind = CONF_STR_LIST, .offset = AT(proxy_from), .fallback = "",
     .help = "peers whose PROXY v2 header is believed"},
    {.key = "passthrough", .kind = CONF_STR, .offset = AT(passthrough), .fallback = "",
     .help = "IP:port where a relay on this host finds us; empty: relays have their own address"},
    {.key = "tls.cert", .kind = CONF_STR, .offset = AT(tls_cert),
     .help = "certificate chain of the control server, PEM"},
    {.key = "tls.key", .kind = CONF_STR, .offset = AT(tls_key),
     .help = "its private key, PEM"},
    {.key = "dns.listen", .kind = CONF_STR_LIST, .offset = AT(dns_listen), .fallback = ":53",
     .help = "addresses of the authoritative server, IP:port"},
    {.key = "dns.ttl", .kind = CONF_INT, .offset = AT(dns_ttl), .fallback = "60", .min = 1, .max = 86400,
     .help = "seconds that A and AAAA may be cached"},
    {.key = "acme.runner", .kind = CONF_STR, .offset = AT(acme_runner), .fallback = "/run/funnel/acme.sock",
     .help = "socket of funnel-acme"},
    {.key = "acme.hook", .kind = CONF_STR, .offset = AT(acme_hook), .fallback = "/run/funnel/hook.sock",
     .help = "our socket for its hook"},
    {.key = "acme.hookUid", .kind = CONF_INT, .offset = AT(acme_hook_uid), .fallback = "0", .min = 0, .max = INT32_MAX,
     .help = "user that uacme runs as"},
    {.key = "acme.caa", .kind = CONF_STR, .offset = AT(acme_caa), .fallback = "letsencrypt.org",
     .help = "who may issue (CAA); empty: no CAA records"},
    {.key = "api.rate", .kind = CONF_INT, .offset = AT(api_rate), .fallback = "20", .min = 0, .max = 1000000,
     .help = "API calls a second per credential; 0: no limit"},
    {.key = "api.burst", .kind = CONF_INT, .offset = AT(api_burst), .fallback = "100", .min = 1, .max = 1000000,
     .help = "API calls at once per credential"},
    {.key = "probe.resolver", .kind = CONF_STR, .offset = AT(probe_resolver), .fallback = "system",
     .help = "who is asked whether the world sees our names: system (resolv.conf), IP:port, or off"},
    {.key = "metrics.listen", .kind = CONF_STR, .offset = AT(metrics_listen), .fallback = "",
     .help = "loopback IP:port for /metrics, /readyz and /healthz, plain HTTP; empty: none"},
    {.key = "events.streams", .kind = CONF_INT, .offset = AT(events_streams), .fallback = "10", .min = 1, .max = 100000,
     .help = "event streams that one key or session may have open"},
    {.key = "webhooks.caFile", .kind = CONF_STR, .offset = AT(webhook_ca), .fallback = "",
     .help = "roots that receivers' certificates are checked against; empty: the system's"},
    {.key = "webhooks.privateAddresses", .kind = CONF_BOOL, .offset = AT(webhook_private), .fallback = "false",
     .help = "receivers may have private addresses; false keeps the server from calling into its own network"},
    {.key = "oidc.issuer", .kind = CONF_STR, .offset = AT(oidc_issuer), .fallback = "",
     .help = "OpenID provider that people may sign in with, exactly as it calls itself; empty: none"},
    {.key = "oidc.clientId", .kind = CONF_STR, .offset = AT(oidc_client), .fallback = "",
     .help = "our client there"},
    {.key = "oidc.clientSecretFile", .kind = CONF_STR, .offset = AT(oidc_secret), .fallback = "",
     .help = "file with its secret"},
    {.key = "oidc.label", .kind = CONF_STR, .offset = AT(oidc_label), .fallback = "single sign-on",
     .help = "what the sign-in page calls it"},
    {.key = "oidc.scopes", .kind = CONF_STR_LIST, .offset = AT(oidc_scopes), .fallback = "email,profile",
     .help = "asked for beside openid"},
    {.key = "oidc.domains", .kind = CONF_STR_LIST, .offset = AT(oidc_domains), .fallback = "",
     .help = "only verified addresses of these domains; empty: any"},
    {.key = "oidc.groups", .kind = CONF_STR_LIST, .offset = AT(oidc_groups), .fallback = "",
     .help = "only members of one of these groups (claim groups); empty: any"},
    {.key = "oidc.unknown", .kind = CONF_ENUM, .offset = AT(oidc_unknown), .fallback = "refuse",
     .names = oidc_unknown_names, .help = "somebody new: refuse, ask an administrator, or make a member"},
    {.key = "oidc.linkVerifiedEmail", .kind = CONF_BOOL, .offset = AT(oidc_link_mail), .fallback = "false",
     .help = "a verified address equal to a login here is that user; only for a provider you trust with it"},
    {.key = "oidc.caFile", .kind = CONF_STR, .offset = AT(oidc_ca), .fallback = "",
     .help = "roots that the provider's certificate is checked against; empty: the system's"},
    CONF_LOG_OPTIONS(struct config),
};
/* clang-format on */
const size_t config_option_count = ARRAY_LEN(config_options);

bool config_check(const struct config *cfg, char *out_why, size_t why_size)
{
    char name[TEXT_NAME_SIZE];
    struct slice origin = slice_str(cfg->origin);
    if (!slice_starts(origin, S("https://")) || slice_find(slice_skip(origin, 8), '/') >= 0 ||
        origin.n > 200) {
        text_cut(out_why, why_size,
                 "origin must be https://HOST or https://HOST:PORT, without a path");
        return false;
    }
    if (!text_name(slice_str(cfg->zone), TEXT_NAME_HOST, name) || strcmp(name, cfg->zone) != 0 ||
        strlen(name) > ZONE_MAX) {
        text_cut(out_why, why_size, "zone \"%s\" is not a lower-case host name of at most %d bytes",
                 cfg->zone, ZONE_MAX);
        return false;
    }
    struct addr at;
    if (*cfg->metrics_listen &&
        (!addr_parse(slice_str(cfg->metrics_listen), &at) || !addr_is_loopback(&at))) {
        text_cut(out_why, why_size, "metrics.listen \"%s\" is not a loopback IP:port",
                 cfg->metrics_listen);
        return false;
    }
    if (strcmp(cfg->probe_resolver, "system") != 0 && strcmp(cfg->probe_resolver, "off") != 0 &&
        !addr_parse(slice_str(cfg->probe_resolver), &at)) {
        text_cut(out_why, why_size, "probe.resolver \"%s\" is not system, off or an IP:port",
                 cfg->probe_resolver);
        return false;
    }
    for (size_t i = 0; i < cfg->name_servers.count; i++) {
        if (!text_name(slice_str(cfg->name_servers.items[i]), TEXT_NAME_HOST, name)) {
            text_cut(out_why, why_size, "name server \"%s\" is not a host name",
                     cfg->name_servers.items[i]);
            return false;
        }
    }
    return true;
}
