#pragma once
/* funneld: one object that everything hangs on, and the interfaces of its parts. */
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/text.h"
#include "lib/data/json.h"
#include "lib/fetch/fetch.h"
#include "lib/hujson/conf.h"
#include "lib/io/loop.h"
#include "lib/io/pool.h"
#include "lib/io/stream.h"
#include "tunnel/leg.h"

#define AGENT_VERSION   "0.1.0"
#define AGENT_RELAYS    16
#define AGENT_FUNNELS   3
#define AGENT_PINS      4
#define AGENT_ADDRESSES 8

/* ---- configuration (config.c) ---- */
struct agent_config {
    char *state_dir, *socket, *ca_file, *operator_group;
    int log_level;
    bool log_json;
};
extern const struct conf_option agent_options[];
extern const size_t agent_option_count;

/* ---- files (state.c) ---- */
struct agent_state {
    char *dir;
    char control[256], node_id[64], name[TEXT_NAME_SIZE], user[256], tailnet[64], ipv4[16],
        ipv6[46];
    struct buf token;             /* bearer for control; empty: not registered */
    bool down;                    /* `funnel down`: registered, but silent */
    struct buf cert_pem, key_pem; /* transport identity towards relays */
    uint8_t transport_spki[32];
    struct buf leaf_key; /* the private key of the node's certificate; never leaves this process and
                            its file */
    struct buf chain;    /* "" until issued */
};

int state_open(struct agent_state *s, const char *dir, char *out_why, size_t why_size) MUST_CHECK;
void state_close(struct agent_state *s);
int state_save(struct agent_state *s) MUST_CHECK; /* node.json */
int state_save_chain(struct agent_state *s, struct slice chain) MUST_CHECK;
int state_forget(struct agent_state *s) MUST_CHECK; /* after logout: all but the transport key */
int state_write(const struct agent_state *s, const char *file, struct slice data) MUST_CHECK;
int state_read(const struct agent_state *s, const char *file, struct buf *out) MUST_CHECK;

/* ---- what control told (control.c) ---- */
struct relay_info {
    char id[64], name[64], host[TEXT_NAME_SIZE];
    struct addr addresses[AGENT_ADDRESSES];
    size_t address_count;
    uint16_t ports[AGENT_FUNNELS]; /* real ports of 443, 8443, 10000 */
    uint8_t pins[AGENT_PINS][32];
    size_t pin_count;
    char token[1024];
};

struct view {
    bool known; /* the first line has come */
    bool connected;
    bool refused;       /* control does not know us any more: deleted, or the key has expired */
    bool https, funnel; /* caps */
    char lock[700];     /* the tailnet's kill switch, in words; "" when public URLs are served */
    struct relay_info relays[AGENT_RELAYS];
    size_t relay_count;
    char cert_state[16], cert_error[512], cert_not_after[WALL_TEXT_SIZE], cert_issuer[128];
    struct js *funnels, *requests; /* as sent */
};

struct agent;
struct uplink;
struct client;

enum health_state { HEALTH_UNKNOWN, HEALTH_OK, HEALTH_DOWN };

struct serve_entry {
    bool used;
    int port;         /* public: 443, 8443, 10000 */
    char target[256]; /* http://127.0.0.1:3000 */
    struct addr backend;
    char host[128]; /* of the target, for people */
    bool background;
    enum health_state health;
    char health_text[160];
    struct wall health_at;
    struct client *owner; /* foreground: the connection that it lives with */
};

struct agent {
    struct loop *lp;
    struct agent_config cfg;
    struct agent_state state;
    struct fetcher *fetcher;
    struct pool *pool;
    struct view view;
    struct control *control;
    struct login *login; /* somebody is asked to let us in (login.c) */
    struct health *health;
    unsigned heard_off; /* a bit for each port that control switched off; until it knows we heard */
    struct serve_entry serve[AGENT_FUNNELS];
    struct list uplinks, visitors, clients;
    struct tls_ctx *visitor_tls; /* NULL until there is a certificate */
    unsigned operator_gid;       /* (unsigned)-1: none */
    struct watch ipc;
    struct timer hourly; /* renewal is looked at */
    struct timer quiet;  /* no visitor has ended for a moment */
    bool stopping;
};

/* control.c */
void control_start(struct agent *a); /* opens the stream if registered and not down */
void control_stop(struct agent *a);
void control_put_funnels(struct agent *a); /* the whole wanted set */
typedef void (*control_done_fn)(
    void *arg, int err, long status, const char *why, const struct js *answer);
struct control_call;
struct control_call *
control_ask_funnels(struct agent *a, control_done_fn fn, void *arg); /* 2 s at most */
struct control_call *control_post(
    struct agent *a, const char *path, struct js *take_body, control_done_fn fn, void *arg);
/* Without a token, also of a server that is not ours yet. */
struct control_call *control_ask(struct agent *a,
                                 const char *control,
                                 const char *path,
                                 struct js *take_body,
                                 control_done_fn fn,
                                 void *arg);
void control_call_cancel(struct control_call *c); /* takes NULL */
/* auth_key "": a person is asked (login.h). */
struct control_call *control_register(struct agent *a,
                                      const char *url,
                                      struct slice auth_key,
                                      const char *hostname,
                                      control_done_fn fn,
                                      void *arg);
void agent_view_changed(struct agent *a); /* everybody who waits looks again */

/* health.c: do the targets answer? */
struct health;
void health_start(struct agent *a);
void health_stop(struct agent *a);
void health_kick(struct agent *a); /* what is served may have changed */
void health_tell(struct agent *a); /* control may have forgotten */

/* status.c; asked: the public URLs as control answered, or NULL */
struct js *status_json(struct agent *a, const struct js *asked);

/* cert.c */
void cert_load(struct agent *a);  /* from the state, at start and after a new chain */
void cert_check(struct agent *a); /* orders one when there is a right, a funnel and need */
bool cert_ready(const struct agent *a);
void cert_take(struct agent *a, struct slice chain);

/* serve.c */
const char *serve_parse(struct slice target,
                        struct serve_entry *out); /* NULL, or what is wrong with it */
struct serve_entry *serve_find(struct agent *a, int port);
int serve_save(struct agent *a) MUST_CHECK; /* background entries */
void serve_load(struct agent *a);
struct js *serve_wanted(const struct agent *a);
bool serve_any(const struct agent *a);

/* uplink.c */
void uplink_update(struct agent *a); /* one session for each relay in the view */
void uplink_stop_all(struct agent *a);
size_t uplink_count_up(const struct agent *a);
struct js *uplink_peers(const struct agent *a);

/* visitor.c */
struct aleg { /* a leg of ours; owned by uplink.c */
    struct list link;
    struct uplink *up;
    struct stream *stream;
    struct leg leg;
    struct visitor *visitor; /* NULL while parked */
    struct retire retire;
};
extern const struct leg_ops agent_leg_ops;
void visitor_leg_gone(struct aleg *l);
void visitor_leg_drained(struct aleg *l);
struct agent *uplink_agent(const struct aleg *l);
void uplink_leg_used(struct aleg *l); /* the pool lacks one now */
void visitor_close_port(struct agent *a, int port);

/* ipc.c */
int ipc_start(struct agent *a, char *out_why, size_t why_size) MUST_CHECK;
void ipc_stop(struct agent *a);
void ipc_view_changed(struct agent *a);
/* An admin switched a public URL off: it is no longer served, and whoever serves it hears why. */
void ipc_switched_off(struct agent *a, int port, struct slice by);
void client_event(struct client *c, struct js *take); /* one line to the CLI */
void client_progress(struct client *c, const char *step, const char *state, const char *text);
void client_fail(struct client *c,
                 const char *code,
                 int exit_code,
                 const char *message,
                 const char *why,
                 const char *fix);
void client_ok(struct client *c, struct js *take_result, bool keep);
const char *client_target(const struct client *c); /* what it wants to serve; "": nothing */
/* The node may: what the client wants is served from now on. False: the client was told why not. */
bool client_permitted(struct client *c) MUST_CHECK;

/* ladder.c: the seven steps of console-api.md section 6 */
struct ladder;

struct ladder_wish {
    int port;
    bool only_permission, background;
    const char *reason;  /* for whoever decides; copied */
    int64_t seconds;     /* 0: until revoked */
    const char *request; /* one that was asked before, or NULL; copied */
};

struct ladder *ladder_start(struct agent *a, struct client *c, const struct ladder_wish *w);
void ladder_view_changed(struct ladder *l);
void ladder_free(struct ladder *l); /* takes NULL */
