#pragma once
/* funnel-control: one object that everything hangs on, and the interfaces of its parts. All of it
 * lives on the loop thread. */
#include "acme/acme.h"
#include "dns/dns.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/text.h"
#include "lib/data/json.h"
#include "lib/http/http.h"
#include "lib/hujson/conf.h"
#include "lib/io/loop.h"
#include "lib/io/pool.h"
#include "policy/edit.h"
#include "server/approval.h"
#include "server/audit.h"
#include "server/flow.h"
#include "server/lock.h"
#include "server/nodes.h"
#include "server/oidc.h"
#include "server/policy_live.h"
#include "server/rest.h"
#include "server/roles.h"
#include "server/store_record.h"
#include "server/tries.h"
#include "server/webhooks.h"
#include "tunnel/token.h"

#define APP_VERSION "0.1.0"

/* ---- configuration (config.c) ---- */
enum oidc_unknown { OIDC_UNKNOWN_REFUSE, OIDC_UNKNOWN_ASK, OIDC_UNKNOWN_MEMBER };

struct config {
    char *origin;  /* https://control.example.net: what people and nodes call */
    char *zone;    /* ts.example.net */
    char *contact; /* mailbox of the SOA as a name */
    struct conf_list name_servers;
    char *state_dir;
    struct conf_list listen;     /* IP:port, TLS */
    struct conf_list proxy_from; /* IPs whose PROXY v2 header is believed */
    char *tls_cert, *tls_key;
    struct conf_list dns_listen; /* IP:port */
    int64_t dns_ttl;
    char *acme_runner, *acme_hook, *acme_caa;
    int64_t acme_hook_uid;
    char *probe_resolver, *metrics_listen;
    int64_t events_streams;
    char *webhook_ca;
    char *oidc_issuer, *oidc_client, *oidc_secret, *oidc_label, *oidc_ca;
    struct conf_list oidc_scopes, oidc_domains, oidc_groups;
    int oidc_unknown; /* enum oidc_unknown */
    bool oidc_link_mail;
    bool webhook_private;
    int64_t api_rate, api_burst; /* calls per credential: a second, at once */
    char *passthrough; /* IP:port where relays find us, when they share our address; empty: none */
    int log_level;
    bool log_json;
};
extern const struct conf_option config_options[];
extern const size_t config_option_count;
/* Beyond single values: names are names, the origin is https. False and a sentence. */
bool config_check(const struct config *cfg, char *out_why, size_t why_size);

/* ---- secrets of this installation (secrets.c) ---- */
struct secrets {
    uint8_t pepper[32];
    uint8_t sign_private[32], sign_public[32];
    uint8_t seal[32]; /* for secrets that must be read again (lib/data/seal.h) */
};

int secrets_open(struct secrets *s, const char *dir, char *out_why, size_t why_size)
    MUST_CHECK; /* made on first use */
void secrets_hash(const struct secrets *s, struct slice secret, uint8_t out[STORE_HASH_SIZE]);
#define SECRET_CHARS 32 /* 160 bits */
#define SECRET_SIZE  64
void secrets_make(const char *prefix, char out[SECRET_SIZE]);
/* A session token as text (docs/tunnel-protocol.md). */
void secrets_sign_token(const struct secrets *s,
                        const struct token *wanted /* key_id apart */,
                        struct buf *out);

struct app {
    struct loop *lp;
    struct config cfg;
    struct secrets secrets;
    struct db *db;
    struct pool *pool;
    struct http_server *http;
    struct dns_zone *zone;
    struct dns_server *dns;
    struct addr dns_probe; /* our own server, as asked before the CA is told */
    struct acme_issuer *issuer;
    struct store_tailnet tailnet;
    struct policy_live *live;
    struct bus *bus;
    struct certs *certs;
    struct presence *presence;
    struct ready *ready;
    struct events *events;
    struct meta *meta;
    struct webhooks *webhooks;
    struct oidc *oidc; /* NULL: not configured */
    struct names *names;
    struct tries *tries;                 /* to sign in */
    struct flows *flows;                 /* sign-ins under way */
    struct rest *rest;                   /* what calls of the API share */
    struct registrations *registrations; /* daemons that wait for a person */
    struct nodes *nodes;                 /* their life */
    struct timer minute;
    bool copying; /* checkpoint.c */
    struct funnel_lock lock;
    struct approval_waits *waits;
    bool grant_ending; /* approval_end.c: an edit of the policy is under way */
    bool stopping;
};

#define APP_PATH_SIZE 512
void app_db_path(const struct app *a, char out[APP_PATH_SIZE]);
void checkpoint_tick(struct app *a); /* checkpoint.c */

/* Fully qualified name of a label of this tailnet. */
void app_fqdn(const struct app *a, const char *label, char out[TEXT_NAME_SIZE]);

/* ---- answers (reply.c) ---- */
struct problem {
    int status;
    const char *code, *message, *fix;
};

void reply_json(struct http_rq *rq, int status, const struct js *j);
void reply_text(struct http_rq *rq, int status, struct buf *json); /* written already; ends it */
void reply_problem(struct http_rq *rq, const struct problem *p);
void reply_none(struct http_rq *rq); /* 204 */
/* Parses the body and checks its shape; NULL after a 400. */
struct js *reply_body(struct http_rq *rq, const struct js_field *fields, size_t count);
void reply_broken(struct http_rq *rq, int rc); /* 500, logged with the request's id */

/* ---- who asks (auth.c) ---- */
enum {
    ROUTE_PUBLIC = 0,
    ROUTE_API = 1,
    ROUTE_NODE = 2,
    ROUTE_RELAY = 4,
    ROUTE_PAGE = 8,
    ROUTE_FORM = 16,
    ROUTE_SCRIPT = 32,    /* a session; the form token in X-Csrf-Token; answers in JSON */
    ROUTE_READS = 64,     /* beside ROUTE_API: although it is a POST, a scope to read suffices */
    ROUTE_ANY_SCOPE = 128 /* beside ROUTE_API: the handler looks at scopes */
};

/* A route's flags: the kind of identity in the low byte, then the permission and the scope that the
 * call needs. Whether the scope must be one to write follows from the method. */
#define ROUTE_NEEDS(kind, permission, scope)                             \
    ((unsigned)(kind) | (unsigned)(permission) << ROUTE_PERMISSION_BIT | \
     (unsigned)(scope) << ROUTE_SCOPE_BIT)

enum { ROUTE_KIND_MASK = 0xff, ROUTE_PERMISSION_BIT = 8, ROUTE_SCOPE_BIT = 16 };

#define IDENTITY_TAGS_SIZE 1024

struct identity {
    struct store_user user;   /* ROUTE_API, ROUTE_PAGE, ROUTE_FORM */
    struct store_node node;   /* ROUTE_NODE */
    struct store_relay relay; /* ROUTE_RELAY */
    int64_t session;
    struct wall verified; /* when presence was proved last */
    char csrf[65];
    /* ROUTE_API: what they called with, and what it is capped by beside the role of its maker. */
    char credential[STORE_ID_SIZE + 2]; /* "k:<id of the key>", "s:<session>", "t:<token>" */
    struct scopes scopes;               /* of an OAuth token; people and their keys: all */
    bool scoped;                        /* an OAuth token: scopes and tags hold */
    char tags[IDENTITY_TAGS_SIZE];      /* JSON array, as stored */
    struct rest_call *call;             /* rest.c: an Idempotency-Key under way */
};

void auth_before(void *app, struct http_rq *rq);
struct identity *auth_identity(struct http_rq *rq);
bool auth_may(const struct identity *id, enum permission p);
bool auth_same_origin(const struct app *a, struct http_rq *rq);
/* A session with its cookie; out_next: where the person wanted to go. 0 or -errno. */
int auth_open_session(struct app *a,
                      struct http_rq *rq,
                      const struct store_user *u,
                      const char *method,
                      char out_next[FLOW_NEXT_SIZE]) MUST_CHECK;
/* Presence was proved anew: the session goes on under a new cookie. */
int auth_step_up(struct app *a, struct http_rq *rq, int64_t session, char out_next[FLOW_NEXT_SIZE])
    MUST_CHECK;
bool auth_is_fresh(const struct identity *id); /* proved within ten minutes */
/* False after a redirect to the page that asks for it, and from there to `back`. */
bool auth_need_fresh(struct app *a, struct http_rq *rq, struct slice back);
void auth_try_password(struct app *a, struct http_rq *rq);    /* POST /login */
void auth_verify_password(struct app *a, struct http_rq *rq); /* POST /verify */
void auth_set_password(struct app *a, struct http_rq *rq);    /* POST /setup */
void auth_change_password(struct app *a, struct http_rq *rq); /* POST /account/password */
void auth_logout(struct app *a, struct http_rq *rq);
/* Between auth.c and session.c. */
void auth_free_identity(void *arg);
void auth_need_session(struct app *a, struct http_rq *rq, unsigned kind);

enum { SESSION_IDLE_S = 12 * 3600, SESSION_MOST_S = 7 * 86400 };

enum { SESSION_NONE = 1, SESSION_FOREIGN };

/* A call of the API by a script of our console: 0, SESSION_NONE (nobody is signed in),
 * SESSION_FOREIGN (not from our page, or the form token is missing). */
int auth_find_script(struct app *a, struct http_rq *rq, struct identity *id) MUST_CHECK;

/* ---- the bus (bus.c): change log to streams, relays before nodes ---- */
int bus_start(struct app *a) MUST_CHECK;
void bus_stop(struct app *a);
void bus_wake(struct app *a); /* after a commit */
void bus_add_node(struct app *a, struct http_rq *rq, const struct store_node *n);
void bus_add_relay(struct app *a, struct http_rq *rq, const struct store_relay *r);

/* What has left the server since the start: lines to nodes that were connected, lines to relays. */
struct bus_counts {
    uint64_t updates, deltas;
};

struct bus_counts bus_counts(const struct app *a);
/* Which nodes have a stream open. */
bool bus_node_connected(const struct app *a, int64_t node);
typedef void (*bus_node_fn)(void *arg, int64_t node);
void bus_nodes_each(const struct app *a, bus_node_fn fn, void *arg);
struct js *bus_funnels(struct app *a, const struct store_node *n); /* NULL: not readable */

/* ---- names (names.c) ---- */
int names_start(struct app *a, char *out_why, size_t why_size) MUST_CHECK;
void names_stop(struct app *a);
void names_publish(struct app *a); /* from the store, whole */
void names_tick(struct app *a);

/* ---- certificates (certs.c) ---- */
int certs_start(struct app *a, char *out_why, size_t why_size) MUST_CHECK;
void certs_stop(struct app *a);
void certs_kick(struct app *a);

/* ---- handlers ---- */
void node_stream(void *app, struct http_rq *rq);
void node_funnels(void *app, struct http_rq *rq);
void node_certificates(void *app, struct http_rq *rq);
void node_logout(void *app, struct http_rq *rq);
void relay_enroll(void *app, struct http_rq *rq);
void relay_stream(void *app, struct http_rq *rq);
void relay_report(void *app, struct http_rq *rq);
void api_acl_get(void *app, struct http_rq *rq);
void api_acl_post(void *app, struct http_rq *rq);
void api_acl_validate(void *app, struct http_rq *rq);
void api_acl_preview(void *app, struct http_rq *rq);
void api_explain(void *app, struct http_rq *rq);
void api_history(void *app, struct http_rq *rq);
void api_history_version(void *app, struct http_rq *rq);
void api_diff(void *app, struct http_rq *rq);
void api_diff_text(void *app, struct http_rq *rq);
void api_rollback(void *app, struct http_rq *rq);
void api_settings_get(void *app, struct http_rq *rq);
void api_settings_patch(void *app, struct http_rq *rq);
void api_whoami(void *app, struct http_rq *rq);
void api_health(void *app, struct http_rq *rq);
void page_login(void *app, struct http_rq *rq);
void page_login_post(void *app, struct http_rq *rq);
void page_logout(void *app, struct http_rq *rq);
void page_setup(void *app, struct http_rq *rq);
void page_setup_post(void *app, struct http_rq *rq);
void page_asset(void *app, struct http_rq *rq);
void page_icon(void *app, struct http_rq *rq);
void page_code(void *app, struct http_rq *rq);
void page_code_post(void *app, struct http_rq *rq);
void page_verify(void *app, struct http_rq *rq);
void page_verify_post(void *app, struct http_rq *rq);
void page_account(void *app, struct http_rq *rq);
void account_password(void *app, struct http_rq *rq);
void account_passkey_delete(void *app, struct http_rq *rq);
void account_totp(void *app, struct http_rq *rq);
void account_totp_confirm(void *app, struct http_rq *rq);
void account_totp_off(void *app, struct http_rq *rq);
void account_recovery(void *app, struct http_rq *rq);
void account_session_end(void *app, struct http_rq *rq);
void account_sessions_end(void *app, struct http_rq *rq);
void passkey_start(void *app, struct http_rq *rq); /* signing in */
void passkey_answer(void *app, struct http_rq *rq);
void passkey_verify_start(void *app, struct http_rq *rq); /* proving presence anew */
void passkey_verify(void *app, struct http_rq *rq);
void passkey_enrol_start(void *app, struct http_rq *rq); /* a new one of one's own */
void passkey_enrol(void *app, struct http_rq *rq);
void passkey_setup_start(void *app, struct http_rq *rq); /* the first one, by a one-time link */
void passkey_setup(void *app, struct http_rq *rq);
/* A page that says one thing: wrong password, not found, done. */
void page_message(
    struct http_rq *rq, int status, const char *title, const char *text, const char *link);
void page_head(struct buf *out, const char *title, const struct identity *id);
/* After a list: says so when the store could not read all of it. */
void page_whole(struct buf *out, int rc);
void page_time(struct buf *out, struct wall t); /* "2026-11-24 12:00 UTC", exact for programs */
void page_send(struct http_rq *rq, int status, struct buf *out); /* takes the page's end and out */
void page_login_form(struct app *a, struct http_rq *rq, int status, const char *complaint);
void page_verify_form(struct app *a, struct http_rq *rq, int status, const char *complaint);
void page_code_form(struct http_rq *rq, int status, const char *complaint);
void page_account_notice(struct app *a, struct http_rq *rq, int status, const char *notice);
bool page_from_us(struct app *a, struct http_rq *rq); /* false after a 403 */
void page_setup_form(struct http_rq *rq, int status, const char *complaint);

extern const struct http_route app_routes[];
extern const size_t app_route_count;
void app_not_found(void *app, struct http_rq *rq);
void app_error(void *app, struct http_rq *rq, int status, const char *why);

/* ---- commands (init.c) ---- */
struct command_args {
    const char *owner, *out_dir, *kind, *out;
    bool json, reusable;
};

int command_init(struct app *a, const struct command_args *args);
int command_setup_link(struct app *a, const struct command_args *args);
int command_key_create(struct app *a, const struct command_args *args);
int app_open_store(struct app *a, char *out_why, size_t why_size) MUST_CHECK;
