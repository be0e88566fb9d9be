#pragma once
/*
 * Certificates for nodes: the CSR judge, the order machine's first cut, and the issuer behind one
 * interface (spec/acme-dns.md sections 3 and 4). uacme is never given a CSR that was not judged
 * here.
 */
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"
#include "lib/io/loop.h"

/* ---- the judge ---- */
#define ACME_CSR_MAX (4 * KIB)

struct acme_csr {
    uint8_t spki_sha256[32];
    char names[10][254];
    size_t name_count;
};

enum { ACME_CSR_REFUSED = 1 };

/* The set of names must equal `allowed`. 0, or ACME_CSR_REFUSED with a sentence. No child, no
 * packet. */
int acme_judge(struct slice csr_pem,
               const struct slice *allowed,
               size_t allowed_count,
               struct acme_csr *out_csr,
               char *out_why,
               size_t why_size) MUST_CHECK;

/* ---- the issuer ---- */
enum acme_class { ACME_OK, ACME_NET, ACME_DNS, ACME_AUTH, ACME_LIMITED, ACME_RETRY_NOW, ACME_BUG };

const char *acme_class_name(enum acme_class c);

struct acme_result {
    enum acme_class class;
    struct slice
        chain_pem; /* ACME_OK: leaf first; checked against the CSR's key and names by the issuer */
    struct wall retry_at; /* LIMITED: told or computed; else zero */
    struct slice detail;  /* words for the log and the node; no secrets */
};

typedef void (*acme_done_fn)(void *arg, const struct acme_result *r);

/* The challenge side: called on the loop. reply(ctx, ok) exactly once, now or later (after every
 * authority shows it). */
typedef void (*acme_reply_fn)(void *ctx, bool ok);

struct acme_challenge_ops {
    void (*begin)(void *arg,
                  const char *order_id,
                  struct slice name,
                  struct slice txt_value,
                  acme_reply_fn reply,
                  void *ctx);
    void (*end)(void *arg,
                const char *order_id,
                struct slice name,
                struct slice txt_value); /* once for every begin, also a refused one, at the latest
                                            when the order ends */
};

struct acme_issuer;

struct acme_order_opts {
    const char *order_id; /* stable id, for directories and logs */
    struct slice csr_pem; /* judged */
    const struct acme_csr *csr;
    acme_done_fn done;
    void *arg;
};

struct acme_uacme_opts {
    const char *runner_socket; /* funnel-acme's Unix socket */
    const char *hook_socket;   /* where we listen for the hook; created by the issuer, 0660 */
    unsigned hook_uid;      /* peer credentials demanded of the hook; (unsigned)-1: our own uid */
    unsigned in_flight_max; /* 4 */
    const struct acme_challenge_ops *ops;
    void *arg;
};

int acme_issuer_uacme(struct loop *lp,
                      const struct acme_uacme_opts *opts,
                      struct acme_issuer **out_issuer) MUST_CHECK;
/* Running orders end without done, their values with end(); memory goes in the loop's next turns. A
 * begin that has not been replied to may still be replied to, while the loop lives. */
void acme_issuer_free(struct acme_issuer *i);
/* 0, or -EAGAIN when in_flight_max orders run. */
int acme_issue(struct acme_issuer *i, const struct acme_order_opts *opts) MUST_CHECK;
/* The account's URI for CAA, "" until the runner has told it. */
const char *acme_account_uri(const struct acme_issuer *i);
