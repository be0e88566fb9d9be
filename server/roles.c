/* The table of section 2 as one bit mask of roles per permission, and the scopes with their names.
 */
#include "server/roles.h"

#include "lib/base/macros.h"

enum {
    O = 1 << POLICY_OWNER,
    A = 1 << POLICY_ADMIN,
    N = 1 << POLICY_NETWORK_ADMIN,
    I = 1 << POLICY_IT_ADMIN,
    B = 1 << POLICY_BILLING_ADMIN, /* no billing here: reads like an auditor */
    U = 1 << POLICY_AUDITOR,
    M = 1 << POLICY_MEMBER,
    READERS = O | A | N | I | B | U,
};

static const struct {
    const char *name;
    unsigned roles;
} table[PERMISSION_COUNT] = {
    [PERM_NONE] = {"own", READERS | M},
    [PERM_CONSOLE] = {"console", READERS},
    [PERM_POLICY_READ] = {"policy.read", READERS},
    [PERM_POLICY_WRITE] = {"policy.write", O | A | N},
    [PERM_NETWORK_READ] = {"network.read", READERS},
    [PERM_NETWORK_WRITE] = {"network.write", O | A | N},
    [PERM_FEATURE_READ] = {"feature.read", READERS},
    [PERM_FEATURE_WRITE] = {"feature.write", O | A | I},
    [PERM_PROVISIONING] = {"provisioning", O | A | I},
    [PERM_MACHINES_READ] = {"machines.read", READERS},
    [PERM_MACHINES_WRITE] = {"machines.write", O | A | I},
    [PERM_USERS_READ] = {"users.read", READERS},
    [PERM_USERS_WRITE] = {"users.write", O | A | I},
    [PERM_AUTH_KEYS] = {"auth_keys", O | A | N | I},
    [PERM_API_KEYS] = {"api_keys", O | A | N | I},
    [PERM_ANY_TAG] = {"any_tag", O | A | N},
    [PERM_AUDIT_READ] = {"audit.read", READERS},
    [PERM_WEBHOOKS_WRITE] = {"webhooks.write", O | A | N | I},
    [PERM_TAILNET_NAME] = {"tailnet.name", O | A | N},
    [PERM_REQUEST_DECIDE] = {"request.decide", O | A | N},
    [PERM_FUNNEL_READ] = {"funnel.read", READERS},
    [PERM_FUNNEL_OFF] = {"funnel.off", O | A | N | I},
    [PERM_FUNNEL_REOPEN] = {"funnel.reopen", O | A | N},
};

bool role_may(enum policy_role role, enum permission p)
{
    return (table[p].roles >> role & 1u) != 0;
}

const char *permission_name(enum permission p)
{
    return table[p].name;
}

static const char *const scope_names[SCOPE_COUNT] = {
    [SCOPE_NONE] = "",
    [SCOPE_DEVICES_CORE] = "devices:core",
    [SCOPE_DEVICES_ROUTES] = "devices:routes",
    [SCOPE_DEVICES_POSTURE] = "devices:posture_attributes",
    [SCOPE_DEVICE_INVITES] = "device_invites",
    [SCOPE_USERS] = "users",
    [SCOPE_USER_INVITES] = "user_invites",
    [SCOPE_AUTH_KEYS] = "auth_keys",
    [SCOPE_API_TOKENS] = "api_access_tokens",
    [SCOPE_OAUTH_KEYS] = "oauth_keys",
    [SCOPE_FEDERATED_KEYS] = "federated_keys",
    [SCOPE_POLICY_FILE] = "policy_file",
    [SCOPE_DNS] = "dns",
    [SCOPE_FEATURE_SETTINGS] = "feature_settings",
    [SCOPE_NETWORKING_SETTINGS] = "networking_settings",
    [SCOPE_ACCOUNT_SETTINGS] = "account_settings",
    [SCOPE_WEBHOOKS] = "webhooks",
    [SCOPE_LOG_STREAMING] = "log_streaming",
    [SCOPE_LOGS_CONFIGURATION] = "logs:configuration",
    [SCOPE_LOGS_NETWORK] = "logs:network",
    [SCOPE_SERVICES] = "services",
    [SCOPE_FUNNEL] = "funnel",
    [SCOPE_FUNNEL_APPROVE] = "funnel:approve",
};

static const uint32_t every_scope = ((1u << SCOPE_COUNT) - 1) & ~1u;

const char *scope_name(enum scope scope)
{
    return scope_names[scope];
}

bool scopes_add(struct scopes *s, struct slice word)
{
    bool read_only = slice_ends(word, S(":read"));
    struct slice name = read_only ? slice_sub(word, 0, word.n - S(":read").n) : word;
    uint32_t bits = slice_eq(name, S("all")) ? every_scope : 0;
    for (unsigned i = 1; i < SCOPE_COUNT && !bits; i++) {
        bits = slice_eq(name, slice_str(scope_names[i])) ? 1u << i : 0;
    }
    if (slice_eq(name, S("all"))) {
        /* To decide a request is not something a script gets by asking for everything. */
        bits &= ~(1u << SCOPE_FUNNEL_APPROVE);
    }
    s->read |= bits;
    s->write |= read_only ? 0 : bits;
    return bits != 0;
}

bool scopes_allow(const struct scopes *s, enum scope scope, bool write)
{
    return scope != SCOPE_NONE && ((write ? s->write : s->read) >> scope & 1u) != 0;
}

bool scopes_cover(const struct scopes *wide, const struct scopes *narrow)
{
    return !(narrow->read & ~wide->read) && !(narrow->write & ~wide->write);
}

void scopes_print(const struct scopes *s, struct buf *out)
{
    const char *gap = "";
    for (unsigned i = 1; i < SCOPE_COUNT; i++) {
        if (s->read >> i & 1u) {
            buf_addf(out, "%s%s%s", gap, scope_names[i], s->write >> i & 1u ? "" : ":read");
            gap = " ";
        }
    }
}

bool scopes_need_tags(const struct scopes *s)
{
    return (s->write & (1u << SCOPE_AUTH_KEYS | 1u << SCOPE_DEVICES_CORE)) != 0;
}
