#pragma once
/*
 * funnel-relay: one object that everything hangs on, and the interfaces of its parts. One loop for
 * now; the parts are written so that each worker can have its own struct relay later.
 */
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/fetch/fetch.h"
#include "lib/hujson/conf.h"
#include "lib/io/loop.h"
#include "lib/io/sock.h"
#include "lib/io/stream.h"
#include "lib/io/tls.h"
#include "tunnel/clienthello.h"
#include "tunnel/leg.h"
#include "tunnel/session.h"

#define RELAY_ID_SIZE   40
#define RELAY_KEYS_MAX  4
#define RELAY_PORTS_MAX 8
#define RELAY_PARKED    4 /* legs that a session keeps ready; more come on demand */

/* ---- configuration (config.c) ---- */
struct relay_config {
    char *control, *ca_file, *state_dir, *name, *host;
    struct conf_list addresses; /* public, told to control */
    struct conf_list listen;    /* local addresses; empty: the public ones */
    struct conf_map_int ports;  /* public port -> port listened on */
    int64_t max_visitors, hello_timeout_ms;
    int log_level;
    bool log_json;
};
extern const struct conf_option relay_options[];
extern const size_t relay_option_count;

/* ---- routes and keys, as control pushed them (routes.c) ---- */
struct route {
    char name[TEXT_NAME_SIZE];
    char node[RELAY_ID_SIZE];
    uint16_t ports[RELAY_PORTS_MAX];
    size_t port_count;
};

struct passthrough {
    char name[TEXT_NAME_SIZE];
    struct addr to;
};

struct relay_key {
    int64_t id;
    uint8_t public_key[32];
};

struct routes {
    int64_t version;
    char relay_id[RELAY_ID_SIZE];
    struct map *by_name; /* struct route */
    struct relay_key keys[RELAY_KEYS_MAX];
    size_t key_count;
    struct passthrough *passthrough;
    size_t passthrough_count;
    int64_t max_stale_s;
    struct wall heard; /* when control last said that this is true */
};

void routes_init(struct routes *r);
void routes_deinit(struct routes *r);
/* A line of the relay stream. 0, or -EINVAL with a sentence: nothing was changed then. */
int routes_apply(struct routes *r, struct slice line, char *out_why, size_t why_size) MUST_CHECK;
void routes_write(const struct routes *r,
                  struct buf *out); /* as a snapshot line: routes_apply reads it back */
const struct route *
routes_find(const struct routes *r, const char *name, uint16_t port); /* port 0: any */
const struct passthrough *routes_passthrough(const struct routes *r, const char *name);
bool routes_fresh(const struct routes *r);
/* Token text against keys, time, this relay and the TLS peer's key; the node's id in out_node. */
bool routes_check_token(const struct routes *r,
                        struct slice token,
                        const uint8_t spki[32],
                        char out_node[RELAY_ID_SIZE]);

/* ---- files (state.c) ---- */
struct relay_state {
    char *dir;
    struct buf cert_pem, key_pem;
    uint8_t spki[32];
    struct buf token; /* bearer for control; empty before enrolment */
    uint8_t ticket_key[80];
};

/* Makes the key on first use. 0 or -errno with a sentence. */
int state_open(struct relay_state *s,
               const char *dir,
               const char *host,
               char *out_why,
               size_t why_size) MUST_CHECK;
void state_close(struct relay_state *s);
int state_save_token(struct relay_state *s, struct slice token) MUST_CHECK;
int state_save_routes(struct relay_state *s, const struct routes *r) MUST_CHECK;
/* Only when control was last heard: small, so that it can be written while nothing else changes. */
int state_save_heard(struct relay_state *s, struct wall heard) MUST_CHECK;
void state_load_routes(struct relay_state *s, struct routes *r);

/* ---- the relay (relay.c) ---- */
struct relay;
struct rsession;
struct rleg;
struct visitor;

struct relay_counters {
    uint64_t visitors, refused, bytes_in, bytes_out, hello_errors, hello_timeouts;
};

struct relay {
    struct loop *lp;
    struct relay_config cfg;
    struct relay_state state;
    struct routes routes;
    struct tls_ctx *tls;
    struct fetcher *fetcher;
    struct map *sessions;       /* by node id: struct rsession, alive */
    struct map *sessions_by_id; /* the same by session id */
    struct list session_list, leg_list, visitors, waiting, pipes;
    unsigned open_count; /* sockets of all kinds */
    struct relay_counters count;
    uint64_t next_connection;
    bool draining;
    struct timer drain_timer, quiet; /* quiet: no visitor has ended for a moment */
    struct front_state *front;
    struct channel *channel;
};

/* cfg is filled. 0 or -errno with a sentence. */
int relay_open(struct relay *r, char *out_why, size_t why_size) MUST_CHECK;
void relay_close(struct relay *r);
int relay_start(struct relay *r, char *out_why, size_t why_size) MUST_CHECK; /* doors, control */
/* Lets visitors end; the loop stops with the last of them, or after 10 s. */
void relay_drain(struct relay *r);
void relay_visitor_ended(struct relay *r);

/* front.c: listeners and ClientHellos */
int front_start(struct relay *r, char *out_why, size_t why_size) MUST_CHECK;
void front_stop(struct relay *r); /* idempotent */
void front_refuse(int fd);        /* takes fd: unrecognized_name, then the end */

/* session.c: agents' connections, and their sessions */
struct rsession {
    struct list link; /* relay.session_list */
    struct relay *r;
    struct stream *stream; /* NULL once it is gone */
    struct session proto;
    char node[RELAY_ID_SIZE]; /* "" until the token was good */
    uint8_t id[TUNNEL_SESSION_ID];
    struct wall since;
    struct list parked; /* struct rleg */
    unsigned parked_count;
    struct number_window numbers;
    struct timer timer;
    struct retire retire;
};

void rsession_arrive(struct relay *r, int fd, struct slice early);
struct rsession *rsession_find(struct relay *r, const char *node);
struct rsession *rsession_by_id(struct relay *r, struct slice id);
void rsession_need_leg(struct rsession *s);
void rsession_closed(struct rsession *s, const struct frame_closed *f);
void rsession_each(struct relay *r,
                   void (*fn)(void *arg, const char *node, struct wall since),
                   void *arg);
void rsession_drain_all(struct relay *r, uint32_t seconds);

/* leg.c: legs until a visitor takes them */
struct rleg {
    struct list link;   /* relay.leg_list */
    struct list parked; /* rsession.parked */
    struct relay *r;
    struct stream *stream; /* NULL once it is gone */
    struct leg leg;
    struct visitor *visitor; /* NULL while parked */
    uint8_t session_id[TUNNEL_SESSION_ID];
    bool joined;
    struct timer join;
    struct retire retire;
};

/* NULL when the connection did not resume from a session that lives. */
struct rleg *rleg_new(struct relay *r, struct stream *stream);
size_t rleg_input(struct rleg *l, struct slice data);
void rleg_gone(struct rleg *l);             /* its stream has closed */
struct rleg *rleg_take(struct rsession *s); /* a parked one, or NULL */
void rleg_drop_parked(struct rsession *s);

/* visitor.c: visitors and the legs that carry them */
struct newcomer {
    int fd; /* taken */
    const struct addr *peer;
    uint16_t public_port;
    const struct route *route;
    struct slice received; /* the hello and what came behind it */
    const struct hello *hello;
};

void visitor_arrive(struct relay *r, const struct newcomer *n);
/* A leg of `node` is ready: a waiting visitor takes it (true), or it is to be parked. */
bool visitor_offer_leg(struct relay *r, const char *node, struct rleg *leg);
void visitor_close_unrouted(struct relay *r);
extern const struct leg_ops visitor_leg_ops;
void visitor_leg_gone(struct rleg *l);    /* its stream has closed */
void visitor_leg_drained(struct rleg *l); /* there is room again */

/* pipe.c: passthrough with PROXY v2 */
void pipe_arrive(struct relay *r,
                 int fd,
                 const struct addr *peer,
                 const struct passthrough *to,
                 struct slice received);
void pipe_header(struct buf *b, const struct addr *from, const struct addr *to);

/* channel.c: control */
void channel_start(struct relay *r);
void channel_stop(struct relay *r);
void channel_report_soon(struct relay *r);
int channel_enroll(struct relay *r, struct slice key, char *out_why, size_t why_size) MUST_CHECK;
