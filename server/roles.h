#pragma once
/*
 * Who may do what: one table of roles and permissions (console-api.md section 2) and one of OAuth
 * scopes (3.1). It drives the API, the pages, the documentation and a golden test; nothing else in
 * the server compares role names.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "policy/facts.h"

enum permission {
    PERM_NONE, /* signed in suffices: what is one's own */
    PERM_CONSOLE,
    PERM_POLICY_READ,
    PERM_POLICY_WRITE,
    PERM_NETWORK_READ, /* DNS, HTTPS */
    PERM_NETWORK_WRITE,
    PERM_FEATURE_READ,
    PERM_FEATURE_WRITE,
    PERM_PROVISIONING,
    PERM_MACHINES_READ,
    PERM_MACHINES_WRITE,
    PERM_USERS_READ,
    PERM_USERS_WRITE,
    PERM_AUTH_KEYS,
    PERM_API_KEYS, /* API keys and OAuth clients */
    PERM_ANY_TAG,
    PERM_AUDIT_READ,
    PERM_WEBHOOKS_WRITE,
    PERM_TAILNET_NAME,
    PERM_REQUEST_DECIDE, /* approve or deny; with HTTPS off PERM_NETWORK_WRITE too */
    PERM_FUNNEL_READ,    /* every public URL, readiness, certificates, relays */
    PERM_FUNNEL_OFF,     /* turn any public URL off, kill switch: the safe direction, so wider */
    PERM_FUNNEL_REOPEN,
};

enum { PERMISSION_COUNT = PERM_FUNNEL_REOPEN + 1, ROLE_COUNT = POLICY_AUDITOR + 1 };

bool role_may(enum policy_role role, enum permission p);
const char *permission_name(enum permission p); /* "policy.write" */

/* A set of OAuth scopes; a bit each. Write implies read of the same scope. */
enum scope {
    SCOPE_NONE, /* no scope reaches it: people and their API keys only */
    SCOPE_DEVICES_CORE,
    SCOPE_DEVICES_ROUTES,
    SCOPE_DEVICES_POSTURE,
    SCOPE_DEVICE_INVITES,
    SCOPE_USERS,
    SCOPE_USER_INVITES,
    SCOPE_AUTH_KEYS,
    SCOPE_API_TOKENS,
    SCOPE_OAUTH_KEYS,
    SCOPE_FEDERATED_KEYS,
    SCOPE_POLICY_FILE,
    SCOPE_DNS,
    SCOPE_FEATURE_SETTINGS,
    SCOPE_NETWORKING_SETTINGS,
    SCOPE_ACCOUNT_SETTINGS,
    SCOPE_WEBHOOKS,
    SCOPE_LOG_STREAMING,
    SCOPE_LOGS_CONFIGURATION,
    SCOPE_LOGS_NETWORK,
    SCOPE_SERVICES,
    SCOPE_FUNNEL,
    SCOPE_FUNNEL_APPROVE,
};

enum { SCOPE_COUNT = SCOPE_FUNNEL_APPROVE + 1 };

struct scopes {
    uint32_t read, write;
};

#define SCOPES_ALL ((struct scopes){UINT32_MAX, UINT32_MAX})

/* One word: "policy_file", "policy_file:read", "all", "all:read"; adds to *s. False: unknown. */
bool scopes_add(struct scopes *s, struct slice word);
bool scopes_allow(const struct scopes *s, enum scope scope, bool write);
bool scopes_cover(const struct scopes *wide, const struct scopes *narrow);
/* "auth_keys devices:core:read": canonical, sorted as the table. */
void scopes_print(const struct scopes *s, struct buf *out);
const char *scope_name(enum scope scope);
/* Tokens with these must carry tags: what they make belongs to no person. */
bool scopes_need_tags(const struct scopes *s);
