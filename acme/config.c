/* The runner's options: one row each. */
#include <stddef.h>

#include "acme/runner.h"

enum { DEADLINE_MIN_S = 5, DEADLINE_MAX_S = 3600 };

#define AT(field) offsetof(struct runner_config, field)
#define TEXT(name, field, value, words)                                                            \
    {                                                                                              \
        .key = (name), .kind = CONF_STR, .offset = AT(field), .fallback = (value), .help = (words) \
    }
#define UID(name, field, words)                                                                  \
    {                                                                                            \
        .key = (name), .kind = CONF_INT, .offset = AT(field), .fallback = "0", .max = INT32_MAX, \
        .help = (words)                                                                          \
    }

/* clang-format off */
const struct conf_option runner_options[] = {
    TEXT("url",        url,         NULL,                    "directory URL of the ACME server"),
    TEXT("caFile",     ca_file,     "",                      "CA certificates for a private ACME server; empty: the system's"),
    TEXT("stateDir",   state_dir,   "/var/lib/funnel-acme",  "where the account key and the orders' directories are"),
    TEXT("socket",     socket,      "/run/funnel/acme.sock", "where control asks for certificates"),
    TEXT("hookSocket", hook_socket, "/run/funnel/hook.sock", "control's socket for challenges"),
    TEXT("uacme",      uacme,       "/usr/bin/uacme",        "path of uacme"),
    TEXT("email",      email,       "",                      "contact of the account; empty: none"),
    UID("controlUid",  control_uid, "user that may ask, besides root and our own; 0: nobody else"),
    UID("childUid",    child_uid,   "user of uacme; 0: our own"),
    UID("childGid",    child_gid,   "group of uacme; 0: our own"),
    {.key = "deadline", .kind = CONF_INT, .offset = AT(deadline_s), .fallback = "120",
     .min = DEADLINE_MIN_S, .max = DEADLINE_MAX_S, .help = "seconds that one order may take"},
    CONF_LOG_OPTIONS(struct runner_config),
};
/* clang-format on */
const size_t runner_option_count = ARRAY_LEN(runner_options);
