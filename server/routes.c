/* The table of calls: method, path, body cap, who may ask. */
#include "server/api_devices.h"
#include "server/api_dns.h"
#include "server/api_funnels.h"
#include "server/api_grant.h"
#include "server/api_keys.h"
#include "server/api_public.h"
#include "server/api_users.h"
#include "server/app.h"
#include "server/audit.h"
#include "server/chan_report.h"
#include "server/events.h"
#include "server/meta.h"
#include "server/openapi.h"
#include "server/page_console.h"
#include "server/registration.h"

enum { FORM = 8 * 1024, SMALL = 16 * 1024 };

/* An API call: the permission of the person behind the key, the scope of a token. */
#define API(permission, scope) ROUTE_NEEDS(ROUTE_API, permission, scope)
/* One of several scopes does; which, the handler says (it knows the kind of object). */
#define API_ANY(permission, scope) ROUTE_NEEDS(ROUTE_API | ROUTE_ANY_SCOPE, permission, scope)
/* A POST that stores nothing: a scope to read suffices. */
#define API_READS(permission) ROUTE_NEEDS(ROUTE_API | ROUTE_READS, permission, SCOPE_POLICY_FILE)
#define TAILNET               "/api/v2/tailnet/{tailnet}"
#define DEVICE                "/api/v2/device/{id}"

const struct http_route app_routes[] = {
    {HTTP_GET, "/healthz", 0, ROUTE_PUBLIC, api_health},
    {HTTP_GET, "/static/{file}", 0, ROUTE_PUBLIC, page_asset},
    {HTTP_GET, "/favicon.ico", 0, ROUTE_PUBLIC, page_icon},
    {HTTP_GET, "/login", 0, ROUTE_PUBLIC, page_login},
    {HTTP_POST, "/login", FORM, ROUTE_PUBLIC, page_login_post},
    {HTTP_GET, "/setup", 0, ROUTE_PUBLIC, page_setup},
    {HTTP_POST, "/setup", FORM, ROUTE_PUBLIC, page_setup_post},
    {HTTP_POST, "/logout", FORM, ROUTE_FORM, page_logout},
    {HTTP_GET, "/login/code", 0, ROUTE_PUBLIC, page_code},
    {HTTP_POST, "/login/code", FORM, ROUTE_PUBLIC, page_code_post},
    {HTTP_POST, "/login/passkey/start", FORM, ROUTE_PUBLIC, passkey_start},
    {HTTP_POST, "/login/passkey", SMALL, ROUTE_PUBLIC, passkey_answer},
    {HTTP_GET, "/login/oidc", 0, ROUTE_PUBLIC, oidc_start},
    {HTTP_GET, "/login/oidc/callback", 0, ROUTE_PUBLIC, oidc_callback},
    {HTTP_POST, "/setup/passkey/start", FORM, ROUTE_PUBLIC, passkey_setup_start},
    {HTTP_POST, "/setup/passkey", SMALL, ROUTE_PUBLIC, passkey_setup},
    {HTTP_GET, "/verify", 0, ROUTE_PAGE, page_verify},
    {HTTP_POST, "/verify", FORM, ROUTE_FORM, page_verify_post},
    {HTTP_POST, "/verify/passkey/start", FORM, ROUTE_SCRIPT, passkey_verify_start},
    {HTTP_POST, "/verify/passkey", SMALL, ROUTE_SCRIPT, passkey_verify},
    {HTTP_GET, "/account", 0, ROUTE_PAGE, page_account},
    {HTTP_POST, "/account/password", FORM, ROUTE_FORM, account_password},
    {HTTP_POST, "/account/passkey/start", FORM, ROUTE_SCRIPT, passkey_enrol_start},
    {HTTP_POST, "/account/passkey", SMALL, ROUTE_SCRIPT, passkey_enrol},
    {HTTP_POST, "/account/passkey/{id}/delete", FORM, ROUTE_FORM, account_passkey_delete},
    {HTTP_POST, "/account/totp", FORM, ROUTE_FORM, account_totp},
    {HTTP_POST, "/account/totp/confirm", FORM, ROUTE_FORM, account_totp_confirm},
    {HTTP_POST, "/account/totp/off", FORM, ROUTE_FORM, account_totp_off},
    {HTTP_POST, "/account/recovery", FORM, ROUTE_FORM, account_recovery},
    {HTTP_POST, "/account/sessions/{id}/end", FORM, ROUTE_FORM, account_session_end},
    {HTTP_POST, "/account/sessions/end", FORM, ROUTE_FORM, account_sessions_end},
    {HTTP_GET, "/", 0, ROUTE_PAGE, page_home},
    {HTTP_GET, "/requests", 0, ROUTE_PAGE, page_requests},
    {HTTP_GET, "/console/assets/{file}", 0, ROUTE_PUBLIC, page_console_asset},
    {HTTP_GET, "/console", 0, ROUTE_PAGE, page_console},
    {HTTP_GET, "/console/{screen}", 0, ROUTE_PAGE, page_console},
    {HTTP_GET, "/console/{screen}/{id}", 0, ROUTE_PAGE, page_console},
    {HTTP_GET, "/f/{id}", 0, ROUTE_PAGE, page_request},
    {HTTP_POST, "/f/{id}/approve", FORM, ROUTE_FORM, page_approve},
    {HTTP_POST, "/f/{id}/deny", FORM, ROUTE_FORM, page_deny},
    {HTTP_POST, "/f/{id}/report", FORM, ROUTE_FORM, page_report},
    {HTTP_POST, "/f/{id}/allow", FORM, ROUTE_FORM, page_request_allow},
    {HTTP_POST, "/f/{id}/note", FORM, ROUTE_FORM, page_request_note},
    {HTTP_POST, "/f/{id}/cancel", FORM, ROUTE_FORM, page_request_cancel},
    {HTTP_GET, "/f/{id}/wait", 0, ROUTE_PAGE, page_request_wait},
    {HTTP_GET, "/f/{id}/ladder", 0, ROUTE_PAGE, page_request_ladder},
    {HTTP_GET, TAILNET "/acl", 0, API(PERM_POLICY_READ, SCOPE_POLICY_FILE), api_acl_get},
    {HTTP_POST, TAILNET "/acl", POLICY_SIZE_MAX, API(PERM_POLICY_WRITE, SCOPE_POLICY_FILE),
     api_acl_post},
    {HTTP_POST, TAILNET "/acl/validate", POLICY_SIZE_MAX, API_READS(PERM_POLICY_READ),
     api_acl_validate},
    {HTTP_POST, TAILNET "/acl/preview", POLICY_SIZE_MAX, API_READS(PERM_POLICY_READ),
     api_acl_preview},
    {HTTP_GET, TAILNET "/acl/history", 0, API(PERM_POLICY_READ, SCOPE_POLICY_FILE), api_history},
    {HTTP_GET, TAILNET "/acl/history/{rev}", 0, API(PERM_POLICY_READ, SCOPE_POLICY_FILE),
     api_history_version},
    {HTTP_GET, TAILNET "/acl/diff", 0, API(PERM_POLICY_READ, SCOPE_POLICY_FILE), api_diff},
    {HTTP_POST, TAILNET "/acl/diff", POLICY_SIZE_MAX, API_READS(PERM_POLICY_READ), api_diff_text},
    {HTTP_POST, TAILNET "/acl/funnel", SMALL, API_READS(PERM_POLICY_READ), api_acl_funnel},
    {HTTP_POST, TAILNET "/acl/rollback", SMALL, API(PERM_POLICY_WRITE, SCOPE_POLICY_FILE),
     api_rollback},
    {HTTP_GET, "/api/v2/device/{id}/attributes/explain", 0, API(PERM_NONE, SCOPE_POLICY_FILE),
     api_explain},
    {HTTP_GET, TAILNET "/settings", 0, API(PERM_FEATURE_READ, SCOPE_FEATURE_SETTINGS),
     api_settings_get},
    {HTTP_PATCH, TAILNET "/settings", SMALL, API(PERM_FEATURE_READ, SCOPE_FEATURE_SETTINGS),
     api_settings_patch},
    {HTTP_GET, TAILNET "/devices", 0, API(PERM_NONE, SCOPE_DEVICES_CORE), api_devices},
    {HTTP_GET, DEVICE, 0, API(PERM_NONE, SCOPE_DEVICES_CORE), api_device},
    {HTTP_DELETE, DEVICE, 0, API(PERM_MACHINES_WRITE, SCOPE_DEVICES_CORE), api_device_delete},
    {HTTP_POST, DEVICE "/authorized", SMALL, API(PERM_MACHINES_WRITE, SCOPE_DEVICES_CORE),
     api_device_authorized},
    {HTTP_POST, DEVICE "/name", SMALL, API(PERM_MACHINES_WRITE, SCOPE_DEVICES_CORE),
     api_device_name},
    {HTTP_POST, DEVICE "/tags", SMALL, API(PERM_MACHINES_WRITE, SCOPE_DEVICES_CORE),
     api_device_tags},
    {HTTP_POST, DEVICE "/key", SMALL, API(PERM_MACHINES_WRITE, SCOPE_DEVICES_CORE), api_device_key},
    {HTTP_POST, DEVICE "/expire", SMALL, API(PERM_MACHINES_WRITE, SCOPE_DEVICES_CORE),
     api_device_expire},
    {HTTP_POST, DEVICE "/ip", SMALL, API(PERM_MACHINES_WRITE, SCOPE_DEVICES_CORE), api_device_ip},
    {HTTP_GET, DEVICE "/routes", 0, API(PERM_NONE, SCOPE_DEVICES_ROUTES), api_device_routes},
    {HTTP_POST, DEVICE "/routes", SMALL, API(PERM_MACHINES_WRITE, SCOPE_DEVICES_ROUTES),
     api_device_routes_set},
    {HTTP_GET, DEVICE "/attributes", 0, API(PERM_NONE, SCOPE_DEVICES_POSTURE), api_attributes},
    {HTTP_POST, DEVICE "/attributes/{key}", SMALL, API(PERM_MACHINES_WRITE, SCOPE_DEVICES_POSTURE),
     api_attribute_set},
    {HTTP_DELETE, DEVICE "/attributes/{key}", 0, API(PERM_MACHINES_WRITE, SCOPE_DEVICES_POSTURE),
     api_attribute_delete},
    {HTTP_GET, TAILNET "/funnel-requests", 0, API(PERM_NONE, SCOPE_FUNNEL), api_requests},
    {HTTP_GET, "/api/v2/funnel-requests/{id}", 0, API(PERM_NONE, SCOPE_FUNNEL), api_request},
    {HTTP_POST, "/api/v2/funnel-requests/{id}/approve", SMALL,
     API(PERM_REQUEST_DECIDE, SCOPE_FUNNEL_APPROVE), api_request_approve},
    {HTTP_POST, "/api/v2/funnel-requests/{id}/deny", SMALL,
     API(PERM_REQUEST_DECIDE, SCOPE_FUNNEL_APPROVE), api_request_deny},
    {HTTP_POST, "/api/v2/funnel-requests/{id}/cancel", SMALL, API(PERM_NONE, SCOPE_FUNNEL),
     api_request_cancel},
    {HTTP_GET, "/api/v2/funnel-requests/{id}/wait", 0, API(PERM_NONE, SCOPE_FUNNEL),
     api_request_wait},
    /* Public URLs. PERM_NONE: everybody has their own; the handler looks. */
    {HTTP_GET, TAILNET "/funnels", 0, API(PERM_NONE, SCOPE_FUNNEL), api_funnels},
    {HTTP_GET, "/api/v2/funnels/{id}", 0, API(PERM_NONE, SCOPE_FUNNEL), api_funnel},
    {HTTP_DELETE, "/api/v2/funnels/{id}", 0, API(PERM_NONE, SCOPE_FUNNEL), api_funnel_delete},
    {HTTP_POST, "/api/v2/funnels/{id}/probe", SMALL,
     ROUTE_NEEDS(ROUTE_API | ROUTE_READS, PERM_NONE, SCOPE_FUNNEL), api_funnel_probe},
    {HTTP_GET, TAILNET "/certificates", 0, API(PERM_NONE, SCOPE_FUNNEL), api_certificates},
    {HTTP_POST, "/api/v2/certificates/{id}/renew", SMALL, API(PERM_NONE, SCOPE_FUNNEL),
     api_certificate_renew},
    {HTTP_GET, TAILNET "/ingresses", 0, API(PERM_FUNNEL_READ, SCOPE_FUNNEL), api_ingresses},
    {HTTP_GET, TAILNET "/events", 0, API(PERM_NONE, SCOPE_FUNNEL), api_events},
    {HTTP_GET, "/api/v2/status", 0, API(PERM_CONSOLE, SCOPE_FUNNEL), api_status},
    {HTTP_GET, "/api/v2/version", 0, API(PERM_NONE, SCOPE_NONE), api_version},
    {HTTP_GET, TAILNET "/funnel-lock", 0, API(PERM_FUNNEL_READ, SCOPE_FUNNEL), api_lock_get},
    {HTTP_POST, TAILNET "/funnel-lock", SMALL, API(PERM_FUNNEL_OFF, SCOPE_FUNNEL), api_lock_on},
    {HTTP_DELETE, TAILNET "/funnel-lock", 0, API(PERM_FUNNEL_REOPEN, SCOPE_FUNNEL), api_lock_off},
    {HTTP_GET, "/api/v2", 0, ROUTE_PUBLIC, api_root},
    {HTTP_GET, "/api/v2/openapi.json", 0, ROUTE_PUBLIC, api_openapi},
    {HTTP_GET, "/api/v2/whoami", 0, API(PERM_NONE, SCOPE_NONE), api_whoami},
    {HTTP_GET, TAILNET "/logging/configuration", 0, API(PERM_AUDIT_READ, SCOPE_LOGS_CONFIGURATION),
     api_audit},
    {HTTP_GET, TAILNET "/webhooks", 0, API(PERM_WEBHOOKS_WRITE, SCOPE_WEBHOOKS), api_webhooks},
    {HTTP_POST, TAILNET "/webhooks", SMALL, API(PERM_WEBHOOKS_WRITE, SCOPE_WEBHOOKS),
     api_webhook_create},
    {HTTP_GET, "/api/v2/webhooks/{id}", 0, API(PERM_WEBHOOKS_WRITE, SCOPE_WEBHOOKS), api_webhook},
    {HTTP_PATCH, "/api/v2/webhooks/{id}", SMALL, API(PERM_WEBHOOKS_WRITE, SCOPE_WEBHOOKS),
     api_webhook_patch},
    {HTTP_DELETE, "/api/v2/webhooks/{id}", 0, API(PERM_WEBHOOKS_WRITE, SCOPE_WEBHOOKS),
     api_webhook_delete},
    {HTTP_POST, "/api/v2/webhooks/{id}/test", SMALL, API(PERM_WEBHOOKS_WRITE, SCOPE_WEBHOOKS),
     api_webhook_test},
    {HTTP_POST, "/api/v2/webhooks/{id}/rotate", SMALL, API(PERM_WEBHOOKS_WRITE, SCOPE_WEBHOOKS),
     api_webhook_rotate},
    {HTTP_GET, "/api/v2/webhooks/{id}/deliveries", 0, API(PERM_WEBHOOKS_WRITE, SCOPE_WEBHOOKS),
     api_webhook_deliveries},
    {HTTP_GET, TAILNET "/keys", 0, API_ANY(PERM_AUTH_KEYS, SCOPE_AUTH_KEYS), api_keys},
    {HTTP_POST, TAILNET "/keys", SMALL, API_ANY(PERM_AUTH_KEYS, SCOPE_AUTH_KEYS), api_key_create},
    {HTTP_GET, TAILNET "/keys/{id}", 0, API_ANY(PERM_AUTH_KEYS, SCOPE_AUTH_KEYS), api_key},
    {HTTP_PUT, TAILNET "/keys/{id}", SMALL, API_ANY(PERM_AUTH_KEYS, SCOPE_AUTH_KEYS), api_key_put},
    {HTTP_DELETE, TAILNET "/keys/{id}", 0, API_ANY(PERM_AUTH_KEYS, SCOPE_AUTH_KEYS),
     api_key_delete},
    {HTTP_GET, TAILNET "/users", 0, API(PERM_USERS_READ, SCOPE_USERS), api_users},
    {HTTP_GET, "/api/v2/users/{id}", 0, API(PERM_USERS_READ, SCOPE_USERS), api_user},
    {HTTP_POST, "/api/v2/users/{id}/role", SMALL, API(PERM_USERS_WRITE, SCOPE_USERS),
     api_user_role},
    {HTTP_POST, "/api/v2/users/{id}/approve", SMALL, API(PERM_USERS_WRITE, SCOPE_USERS),
     api_user_approve},
    {HTTP_POST, "/api/v2/users/{id}/suspend", SMALL, API(PERM_USERS_WRITE, SCOPE_USERS),
     api_user_suspend},
    {HTTP_POST, "/api/v2/users/{id}/restore", SMALL, API(PERM_USERS_WRITE, SCOPE_USERS),
     api_user_restore},
    {HTTP_POST, "/api/v2/users/{id}/delete", SMALL, API(PERM_USERS_WRITE, SCOPE_USERS),
     api_user_delete},
    {HTTP_GET, TAILNET "/user-invites", 0, API(PERM_USERS_WRITE, SCOPE_USER_INVITES), api_invites},
    {HTTP_POST, TAILNET "/user-invites", SMALL, API(PERM_USERS_WRITE, SCOPE_USER_INVITES),
     api_invite_create},
    {HTTP_GET, "/api/v2/user-invites/{id}", 0, API(PERM_USERS_WRITE, SCOPE_USER_INVITES),
     api_invite},
    {HTTP_DELETE, "/api/v2/user-invites/{id}", 0, API(PERM_USERS_WRITE, SCOPE_USER_INVITES),
     api_invite_delete},
    {HTTP_POST, "/api/v2/user-invites/{id}/resend", SMALL,
     API(PERM_USERS_WRITE, SCOPE_USER_INVITES), api_invite_resend},
    {HTTP_GET, TAILNET "/dns/nameservers", 0, API(PERM_NETWORK_READ, SCOPE_DNS),
     api_dns_nameservers},
    {HTTP_POST, TAILNET "/dns/nameservers", SMALL, API(PERM_NETWORK_WRITE, SCOPE_DNS),
     api_dns_nameservers_set},
    {HTTP_GET, TAILNET "/dns/searchpaths", 0, API(PERM_NETWORK_READ, SCOPE_DNS),
     api_dns_searchpaths},
    {HTTP_POST, TAILNET "/dns/searchpaths", SMALL, API(PERM_NETWORK_WRITE, SCOPE_DNS),
     api_dns_searchpaths_set},
    {HTTP_GET, TAILNET "/dns/preferences", 0, API(PERM_NETWORK_READ, SCOPE_DNS),
     api_dns_preferences},
    {HTTP_POST, TAILNET "/dns/preferences", SMALL, API(PERM_NETWORK_WRITE, SCOPE_DNS),
     api_dns_preferences_set},
    {HTTP_GET, TAILNET "/dns/split-dns", 0, API(PERM_NETWORK_READ, SCOPE_DNS), api_dns_split},
    {HTTP_PUT, TAILNET "/dns/split-dns", SMALL, API(PERM_NETWORK_WRITE, SCOPE_DNS),
     api_dns_split_set},
    {HTTP_PATCH, TAILNET "/dns/split-dns", SMALL, API(PERM_NETWORK_WRITE, SCOPE_DNS),
     api_dns_split_patch},
    {HTTP_GET, TAILNET "/dns/configuration", 0, API(PERM_NETWORK_READ, SCOPE_DNS),
     api_dns_configuration},
    {HTTP_POST, TAILNET "/dns/configuration", SMALL, API(PERM_NETWORK_WRITE, SCOPE_DNS),
     api_dns_configuration_set},
    {HTTP_GET, TAILNET "/contacts", 0, API(PERM_FEATURE_READ, SCOPE_ACCOUNT_SETTINGS),
     api_contacts},
    {HTTP_PATCH, TAILNET "/contacts/{kind}", SMALL, API(PERM_FEATURE_WRITE, SCOPE_ACCOUNT_SETTINGS),
     api_contact_patch},
    {HTTP_POST, "/api/v2/oauth/token", SMALL, ROUTE_PUBLIC, api_oauth_token},
    {HTTP_GET, "/a/{id}", 0, ROUTE_PAGE, page_register},
    {HTTP_POST, "/a/{id}/approve", FORM, ROUTE_FORM, page_register_approve},
    {HTTP_POST, "/a/{id}/deny", FORM, ROUTE_FORM, page_register_deny},
    {HTTP_POST, "/node/v1/register", SMALL, ROUTE_PUBLIC, node_register},
    {HTTP_POST, "/node/v1/register/wait", SMALL, ROUTE_PUBLIC, node_register_wait},
    {HTTP_GET, "/node/v1/stream", 0, ROUTE_NODE, node_stream},
    {HTTP_POST, "/node/v1/report", SMALL, ROUTE_NODE, node_report},
    {HTTP_GET, "/node/v1/funnels", 0, ROUTE_NODE, node_funnels_get},
    {HTTP_POST, "/node/v1/feature/query", SMALL, ROUTE_NODE, approval_query},
    {HTTP_PUT, "/node/v1/funnels", SMALL, ROUTE_NODE, node_funnels},
    {HTTP_POST, "/node/v1/certificates", SMALL, ROUTE_NODE, node_certificates},
    {HTTP_POST, "/node/v1/requests/{id}/cancel", SMALL, ROUTE_NODE, approval_cancel},
    {HTTP_POST, "/node/v1/logout", SMALL, ROUTE_NODE, node_logout},
    {HTTP_POST, "/relay/v1/enroll", SMALL, ROUTE_PUBLIC, relay_enroll},
    {HTTP_GET, "/relay/v1/stream", 0, ROUTE_RELAY, relay_stream},
    {HTTP_POST, "/relay/v1/report", 8 * MIB, ROUTE_RELAY, relay_report},
};
const size_t app_route_count = ARRAY_LEN(app_routes);

/* Pages are for browsers that ask for one. */
static bool for_machines(struct http_rq *rq)
{
    struct slice path = http_rq_path(rq), accept = http_rq_header(rq, "Accept");
    bool html = false;
    for (struct slice type; accept.n && slice_split(&accept, ',', &type);) {
        html = html || slice_starts_nocase(slice_trim(type), S("text/html"));
    }
    return !html || slice_starts(path, S("/api/")) || slice_starts(path, S("/node/")) ||
           slice_starts(path, S("/relay/"));
}

void app_not_found(void *app, struct http_rq *rq)
{
    (void)app;
    const char *allowed = http_rq_allowed(rq);
    if (*allowed) {
        http_rq_add_header(rq, "Allow", allowed);
    }
    if (!*allowed && api_foreign(http_rq_path(rq))) {
        reply_problem(rq, &(struct problem){404, "not_supported",
                                            "this part of the API does not exist here",
                                            "the calls are listed at /api/v2/openapi.json"});
    } else if (for_machines(rq)) {
        reply_problem(rq, &(struct problem){*allowed ? 405 : 404,
                                            *allowed ? "method.not_allowed" : "not_found",
                                            *allowed ? "this call is not made with that method"
                                                     : "there is no such call",
                                            "the calls are listed at /api/v2/openapi.json"});
    } else {
        page_message(rq, *allowed ? 405 : 404, "There is no such page", "The address is wrong.",
                     "/");
    }
}

void app_error(void *app, struct http_rq *rq, int status, const char *why)
{
    (void)app;
    reply_problem(rq, &(struct problem){status, status == 413 ? "body.too_long" : "request.refused",
                                        why, "send less"});
}
