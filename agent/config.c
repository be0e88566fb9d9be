/* funneld's configuration table. */
#include <stddef.h>

#include "agent/agent.h"

#define AT(field) offsetof(struct agent_config, field)

/* One option, two lines. */
/* clang-format off */
const struct conf_option agent_options[] = {
    {.key = "stateDir", .kind = CONF_STR, .offset = AT(state_dir), .fallback = "/var/lib/funnel",
     .help = "keys, token, certificate"},
    {.key = "socket", .kind = CONF_STR, .offset = AT(socket), .fallback = "/run/funnel/funneld.sock",
     .help = "where `funnel` finds us"},
    {.key = "caFile", .kind = CONF_STR, .offset = AT(ca_file), .fallback = "",
     .help = "CA certificates for the control server; empty: the system's"},
    {.key = "operatorGroup", .kind = CONF_STR, .offset = AT(operator_group), .fallback = "",
     .help = "group whose members may change things; empty: root and our own user only"},
    CONF_LOG_OPTIONS(struct agent_config),
};
/* clang-format on */
const size_t agent_option_count = ARRAY_LEN(agent_options);
