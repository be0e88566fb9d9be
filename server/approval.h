#pragma once
/*
 * Approval (console-api.md section 4). A request says who wants what; it grants nothing. A decision
 * is one transaction: policy edit, HTTPS, the request's state, the grant, audit, webhooks, changes.
 * What is applied is what was shown: a stamp of it travels with the form.
 */
#include "lib/http/http.h"
#include "policy/edit.h"
#include "server/audit.h"
#include "server/store_requests.h"

struct app;
struct identity;

/* ---- public ports, as a set ---- */

enum { PORT_443 = 1, PORT_8443 = 2, PORT_10000 = 4, PORTS_ALL = 7 };

unsigned ports_bit(int64_t port); /* 0: not one of them */
/* "443,8443"; false: another port, or none. */
bool ports_read(struct slice text, unsigned *out_ports);
void ports_write(unsigned ports, char out[24]);

/* ---- what an approval could grant (approval_grants.c) ---- */

#define GRANTS_MAX 8

struct grant {
    char selector[STORE_NAME_SIZE]; /* "autogroup:member", a login, a tag, an address */
    char words[STORE_NAME_SIZE + 64];
    enum policy_edit_result result;
    struct buf text; /* the policy after it */
    struct buf diff;
    char why[300]; /* refused: what stands against it */
};

#define APPROVAL_STAMP_SIZE 65

struct grants {
    struct grant items[GRANTS_MAX];
    size_t count, preselected;
    unsigned ports;
    char stamp[APPROVAL_STAMP_SIZE]; /* of everything that is shown */
    char etag[65];                   /* of the version that they are made from */
    int64_t rev;
    bool busy; /* too many wait: nothing was made */
};

/* Made in the pool; the grants live as long as the call of fn. port: what is asked for; ports: what
 * would be given, that one among them. */
typedef void (*approval_grants_fn)(void *arg, const struct grants *g);
void approval_grants(struct app *a,
                     const struct store_node *n,
                     int64_t port,
                     unsigned ports,
                     approval_grants_fn fn,
                     void *arg);

/* ---- codes and nonces (approval_code.c) ---- */

#define MATCH_CODE_SIZE 12
#define MATCH_CHOICES   3
#define NONCE_SIZE      64

void match_code_make(char out[MATCH_CODE_SIZE]);
/* The right one and two that are not, the same each time. */
void match_choices(const struct app *a,
                   const struct store_request *r,
                   char out[MATCH_CHOICES][MATCH_CODE_SIZE]);
bool match_code_right(const struct store_request *r,
                      struct slice code); /* blanks, case, dash aside */
/* A page for deciding is good for ten minutes, for one session and one request. */
void decision_nonce(const struct app *a,
                    const struct identity *id,
                    const struct store_request *r,
                    char out[NONCE_SIZE]);
bool decision_nonce_good(const struct app *a,
                         const struct identity *id,
                         const struct store_request *r,
                         struct slice nonce);

/* ---- deciding (approval.c) ---- */

enum {
    APPROVAL_GONE = 1, /* no longer pending */
    APPROVAL_CHANGED,  /* the policy, or what was chosen, is not what was shown */
    APPROVAL_REFUSED,  /* the edit is not possible: `why` may say more */
    APPROVAL_LOCKED,   /* the policy is edited elsewhere */
    APPROVAL_BUSY,     /* too many wait: later */
};

struct decision {
    const struct store_request *request;
    const struct actor *by;
    struct slice selector; /* empty: the one that is preselected */
    struct slice reason;
    struct slice stamp; /* of what was shown; or empty, and then */
    struct slice etag;  /* of the policy, as the API shows it; empty: whatever it is */
    unsigned ports;
    int64_t seconds; /* 0: until revoked */
    const char *via; /* how the policy's history calls it */
};

/* One of the above, or -errno. */
typedef void (*approval_done_fn)(void *arg, int rc, const char *why);
void approval_approve(struct app *a, const struct decision *d, approval_done_fn done, void *arg);

/* Not me: the node may not ask again until somebody allows it. */
enum approval_deny { APPROVAL_DENY, APPROVAL_REPORT };

int approval_deny(struct app *a, const struct decision *d, enum approval_deny how) MUST_CHECK;
/* Withdrawn, or without object; `state` "cancelled" or "expired". */
int approval_end(struct app *a, const struct decision *d, const char *state) MUST_CHECK;
int approval_allow(struct app *a, const struct decision *d) MUST_CHECK; /* after a report */
int approval_note(struct app *a, const struct decision *d) MUST_CHECK;  /* the requester's reason */
/* Somebody else's request was approved with a wrong code: audited, and too many end it. */
int approval_wrong_code(struct app *a, const struct decision *d) MUST_CHECK;
/* Has this decision been made already, by the same person? */
bool approval_repeats(const struct store_request *now, const struct decision *d, const char *state);
void approval_decider(const struct store_request *r, const struct actor *by, struct actor *out);

/* FUNNEL.REQUEST and its webhook, in the caller's transaction. */
int approval_asked(struct app *a, const struct actor *by, const struct store_request *r) MUST_CHECK;

/* Own: one's own node asks. */
bool request_own(const struct identity *id, const struct store_node *n);
bool request_may_see(const struct identity *id, const struct store_node *n /* NULL: gone */);
bool approval_four_eyes(struct app *a);
/* Pending requests whose node has the right by now are granted. */
void approval_settle(struct app *a, const char *by);
/* "alice@example.com", or "tag:web, tag:db". */
void request_owner(struct app *a, const struct store_node *n, char out[STORE_NAME_SIZE]);

/* ---- the node's side (approval_query.c) ---- */

void approval_query(void *app, struct http_rq *rq);
void approval_cancel(void *app, struct http_rq *rq);

/* ---- what ends by itself (approval_end.c) ---- */

#define GRANT_TAKEN_OUT "its entry had been taken out of the policy by hand"

/* A person has saved the policy: grants whose entry it does not hold any more have ended. */
void approval_grants_look(struct app *a);
/* Ports as a grant's row has them ("443,8443"; empty: the default list), for an edit. */
struct policy_ports grant_ports(struct slice text, struct slice room[static 3]);
void approval_tick(struct app *a); /* once a second: requests and grants whose end has come */

/* ---- who waits for an answer (approval_wait.c) ---- */

struct approval_waits;

struct approval_waits *approval_waits_new(struct app *a);
void approval_waits_free(struct approval_waits *w); /* takes NULL */
/* Answers when the request is not in this state any more, or after `seconds`. */
typedef void (*approval_answer_fn)(struct app *a,
                                   struct http_rq *rq,
                                   const struct store_request *r);
void approval_wait(struct app *a,
                   struct http_rq *rq,
                   const struct store_request *r,
                   int64_t seconds,
                   approval_answer_fn answer);
void approval_waits_look(struct app *a); /* requests have changed */

/* ---- pages (page_request.c, page_decide.c) ---- */

void page_request(void *app, struct http_rq *rq);
void page_request_wait(void *app, struct http_rq *rq);
void page_request_ladder(void *app, struct http_rq *rq);
void page_approve(void *app, struct http_rq *rq);
void page_deny(void *app, struct http_rq *rq);
void page_report(void *app, struct http_rq *rq);
void page_request_allow(void *app, struct http_rq *rq);
void page_request_note(void *app, struct http_rq *rq);
void page_request_cancel(void *app, struct http_rq *rq);

/* What the page is shown with beside the request. */
struct request_view {
    int status;
    char notice[400];
    unsigned ports; /* 0: as preselected */
    char selector[STORE_NAME_SIZE];
    int64_t seconds; /* -1: as preselected */
};

void request_show(struct app *a,
                  struct http_rq *rq,
                  const struct store_request *r,
                  const struct request_view *v);
/* False after a 404: unknown, or not for this person's eyes. n: zeroed where it has gone. */
bool request_find(struct app *a,
                  struct http_rq *rq,
                  struct store_request *out_r,
                  struct store_node *out_n);

/* ---- API (api_requests.c) ---- */

void api_requests(void *app, struct http_rq *rq);
void api_request(void *app, struct http_rq *rq);
void api_request_approve(void *app, struct http_rq *rq);
void api_request_deny(void *app, struct http_rq *rq);
void api_request_cancel(void *app, struct http_rq *rq);
void api_request_wait(void *app, struct http_rq *rq);
