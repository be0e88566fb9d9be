#pragma once
/* What each step of readiness is (ready_steps.c), and what is seen from outside (ready_look.c);
 * ready.c says which URLs, and when. */
#include "dns/dns.h"
#include "lib/io/tls.h"
#include "server/app.h"
#include "server/ready.h"

/* ---- one step's verdict ---- */

struct ready_verdict {
    enum ready_state state;
    const char *code, *fix;
    char text[400];
    int64_t ms;
};

/* ---- a look from outside (ready_look.c) ---- */

enum { READY_TARGETS = 8 }; /* addresses of relays that one look tries */

struct ready_target {
    struct addr at;
    char relay[64];
};

struct ready_order {
    char name[TEXT_NAME_SIZE];
    struct ready_target targets[READY_TARGETS];
    size_t target_count;
    bool dial;        /* else only the name is asked */
    uint8_t spki[32]; /* the key that must show */
};

enum ready_seen_how {
    READY_SEEN_KEY,     /* the node's own certificate, and it holds now */
    READY_SEEN_EXPIRED, /* its key, but the dates do not hold */
    READY_SEEN_OTHER,   /* another key */
    READY_SEEN_REFUSED, /* the relay refuses the name, or closes */
    READY_SEEN_NOTHING, /* no connection */
    READY_SEEN_LATE,    /* no answer in time */
    READY_SEEN_NO_WAY,  /* this host has no way to that kind of address */
};

struct ready_seen {
    bool own_asked, resolver_asked;
    struct dns_lookup_result own, resolver;
    enum ready_seen_how how[READY_TARGETS];
    int64_t ms[READY_TARGETS];
    size_t count;
};

/* By what is looked: for all looks the same. */
struct ready_means {
    struct tls_ctx *tls; /* which key shows decides, not whose root signed it */
    bool has_resolver;
    struct addr resolver;
};

struct ready_look;
typedef void (*ready_look_fn)(void *arg, const struct ready_seen *seen);
struct ready_look *ready_look_start(struct app *a,
                                    const struct ready_order *o,
                                    const struct ready_means *by,
                                    ready_look_fn fn,
                                    void *arg);
void ready_look_cancel(struct ready_look *l); /* takes NULL */

/* The server that this host resolves names by, from probe.resolver. False: none is asked. */
bool ready_resolver(const struct config *cfg, struct addr *out);

/* ---- the steps (ready_steps.c) ---- */

struct ready_facts {
    struct store_node node;
    int64_t port;
    char name[TEXT_NAME_SIZE];
    bool connected; /* the node's stream */
    struct ready_order order;
    size_t relays, relays_up, relays_with_node;
    char relay_name[64]; /* one that is away or wrong, for the sentence */
    int64_t relay_skew;
    bool backend_known, backend_ok;
    char backend_text[160];
};

/* 0, STORE_NONE: the node has gone; -errno. */
int ready_facts_read(struct app *a, int64_t node, int64_t port, struct ready_facts *out) MUST_CHECK;
void ready_judge_permitted(struct app *a, const struct ready_facts *f, struct ready_verdict *out);
void ready_judge_https(struct app *a, struct ready_verdict *out);
/* Also says which key must show, and that it is worth to dial. */
int ready_judge_certificate(struct app *a,
                            struct ready_facts *f,
                            struct ready_verdict *out) MUST_CHECK;
void ready_judge_relay(const struct ready_facts *f, struct ready_verdict *out);
void ready_judge_backend(const struct ready_facts *f, struct ready_verdict *out);
void ready_judge_dns(const struct ready_facts *f,
                     const struct ready_seen *seen,
                     struct ready_verdict *out);
void ready_judge_reachable(const struct ready_facts *f,
                           const struct ready_seen *seen,
                           struct ready_verdict *out);
