/* The relay's configuration table. */
#include <stddef.h>

#include "lib/base/macros.h"
#include "relay/relay.h"

#define AT(field) offsetof(struct relay_config, field)

/* One option, two lines. */
/* clang-format off */
const struct conf_option relay_options[] = {
    {.key = "control", .kind = CONF_STR, .offset = AT(control),
     .help = "URL of the control server"},
    {.key = "caFile", .kind = CONF_STR, .offset = AT(ca_file), .fallback = "",
     .help = "CA certificates for the control server; empty: the system's"},
    {.key = "stateDir", .kind = CONF_STR, .offset = AT(state_dir), .fallback = "/var/lib/funnel-relay",
     .help = "where key, token and the last routes are kept"},
    {.key = "name", .kind = CONF_STR, .offset = AT(name),
     .help = "short name of this relay, shown to people"},
    {.key = "host", .kind = CONF_STR, .offset = AT(host),
     .help = "public host name of this relay"},
    {.key = "addresses", .kind = CONF_STR_LIST, .offset = AT(addresses),
     .help = "public addresses: what the nodes' A and AAAA records say"},
    {.key = "listen", .kind = CONF_STR_LIST, .offset = AT(listen), .fallback = "",
     .help = "local addresses to listen on; empty: the public ones"},
    {.key = "ports", .kind = CONF_MAP_INT, .offset = AT(ports), .fallback = "443:443,8443:8443,10000:10000",
     .help = "public port and the port listened on"},
    {.key = "maxVisitors", .kind = CONF_INT, .offset = AT(max_visitors), .fallback = "20000", .min = 1, .max = 1000000,
     .help = "connections of all kinds at once"},
    {.key = "helloTimeoutMs", .kind = CONF_INT, .offset = AT(hello_timeout_ms), .fallback = "5000", .min = 100, .max = 60000,
     .help = "time that a client has for its ClientHello"},
    CONF_LOG_OPTIONS(struct relay_config),
};
/* clang-format on */
const size_t relay_option_count = ARRAY_LEN(relay_options);
