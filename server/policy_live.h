#pragma once
/*
 * The policy in force and what it gives to whom: a version (bytes, ETag), a snapshot (policy ×
 * facts) and the few devices that changed alone since. All of it lives on the loop thread; what is
 * immutable in it is shared by reference with jobs in the pool.
 *
 * A save is judged in the pool and stored by the loop in one transaction that looks again at what
 * it relied on: the version it replaces, and the count of the facts. The facts themselves are read
 * in the pool, through a connection of its own.
 */
#include "policy/check.h"
#include "server/audit.h"
#include "server/store_policy.h"

struct app;

/* ---- one version of the file (policy_version.c) ---- */

/* Immutable. */
struct policy_version {
    int refs; /* atomic */
    struct store_policy_meta meta;
    struct buf text;     /* as stored */
    struct buf standard; /* the same without comments; empty where the text does not parse */
};

struct policy_version *policy_version_ref(struct policy_version *v);
void policy_version_unref(struct policy_version *v); /* takes NULL */
DEFINE_AUTO(struct policy_version, policy_version_unref)
/* From the store, without its standard form; 0: the one in force. NULL when there is none. */
struct policy_version *policy_version_read(struct app *a, int64_t rev);
void policy_version_standardize(struct policy_version *v);     /* before it is shared */
bool policy_version_untouched(const struct policy_version *v); /* what a new tailnet has */
/* SHA-256 of the formatted text in hex: what tools that format their own file compare with. Text
 * that does not parse is hashed as it stands. */
void policy_etag(struct slice text, char out[65]);
/* Closes a final line comment with an LF (policy.md 1.4). False: longer than a policy may be. */
bool policy_ingest(struct slice text, struct buf *out);
/* The text becomes its formatted form where it has one that is not too long. */
void policy_reformat(struct buf *text);

/* If-Match (policy.md 6.3): absent, or does one of its tags stand for this version? */
enum policy_precondition { POLICY_IF_ABSENT, POLICY_IF_HOLDS, POLICY_IF_FAILS };
enum policy_precondition policy_if_match(struct slice header, const char *etag, bool untouched);

/* ---- facts (policy_facts.c) ---- */

/* From the store, sealed. Needs no transaction: what changes meanwhile is seen by the count. 0 or
 * -errno. */
int policy_facts_load(struct db *d, int64_t tailnet, struct policy_facts **out_facts) MUST_CHECK;

/* The row of one node as the facts of a snapshot see it. STORE_NONE: no such node;
 * POLICY_FACTS_UNKNOWN: its owner is not in these facts. tags: room for its tags. */
enum { POLICY_FACTS_UNKNOWN = 3 };

#define POLICY_TAGS_MAX 64

struct policy_device_row {
    struct policy_device device;
    struct slice tags[POLICY_TAGS_MAX];
    struct buf text;
};

int policy_facts_row(struct db *d,
                     int64_t node,
                     const struct policy_facts *f,
                     struct policy_device_row *out_row) MUST_CHECK; /* buf_deinit(&row.text) */

/* ---- the live state (policy_state.c) ---- */

struct policy_live;

int policy_state_load(struct app *a, char *out_why, size_t why_size) MUST_CHECK;
void policy_state_free(struct app *a);
struct policy_version *policy_state_version(const struct app *a);   /* borrowed */
struct policy_snapshot *policy_state_snapshot(const struct app *a); /* borrowed */
/* Warnings of the version in force; its errors where it does not load any more. */
const struct policy_diags *policy_state_diags(const struct app *a);
const struct store_policy_settings *policy_state_settings(const struct app *a);
void policy_state_set_settings(struct app *a, const struct store_policy_settings *s);

/* A reference to the facts of the snapshot, or NULL when they are older than the store. */
struct policy_facts *policy_state_facts(const struct app *a);

/* What the policy gives to the node; never NULL. */
const struct policy_set *policy_state_set(struct app *a, const struct store_node *n);
enum policy_gate policy_state_gate(struct app *a, const struct store_node *n, int64_t port);
/* May it funnel at all, HTTPS and owner included? On any port. */
bool policy_state_may(struct app *a, const struct store_node *n);

/* The bus heard that these rows changed; capabilities that follow from it come as changes of their
 * own. Cheap: one device is looked at alone, the rest is computed again in the pool. */
enum policy_follow { POLICY_FOLLOW_NODES, POLICY_FOLLOW_ALL /* users, settings, or who knows */ };

void policy_state_follow(struct app *a,
                         const int64_t *nodes,
                         size_t count,
                         enum policy_follow what);

/* For whoever commits a new version or new facts (policy_save.c, and the two below). */
struct policy_next {
    struct policy_version *version;   /* taken; NULL: the one in force stays */
    struct policy_snapshot *snapshot; /* taken */
    struct policy_diags *diags;       /* taken with version */
    bool stale;                       /* the facts have moved on since */
};

void policy_state_swap(struct app *a, struct policy_next *next);
/* Devices whose capabilities would differ, losses of funnel first, those that changed alone
 * included: node ids, mem_free. */
int64_t *policy_state_changed(struct app *a, struct policy_snapshot *next, size_t *out_count);
/* In a transaction: the rows of the change log for them. */
int policy_state_log(struct app *a, const int64_t *nodes, size_t count) MUST_CHECK;
void policy_state_recompute(struct app *a); /* in the pool; once more when one is running */
/* The first version of a new tailnet, in the caller's transaction. */
int policy_state_first(struct app *a, const char *author) MUST_CHECK;

/* ---- work in the pool (policy_work.c) ---- */

/* Input and result of one judgement. Embedded in its job; text and facts are its own. */
struct policy_work {
    char db_path[512];
    int64_t tailnet;
    struct buf text;
    bool wants_forms;           /* etag and standard too */
    bool reformat;              /* before anything else */
    struct policy_facts *facts; /* NULL: read them first */
    /* results */
    int rc; /* 0, POLICY_INVALID, -errno */
    struct policy_diags diags;
    struct policy *policy;
    struct policy_snapshot *snapshot;
    char etag[65];
    struct buf standard;
};

/* With the facts of the live snapshot where they are known to be current. */
void policy_work_init(struct policy_work *w, struct app *a);
void policy_work_deinit(struct policy_work *w);
/* Drops results and facts: the next run reads new ones. */
void policy_work_again(struct policy_work *w);
/* In the pool: facts, then load, evaluate, tests. */
void policy_work_run(struct policy_work *w);
int policy_work_facts(struct policy_work *w) MUST_CHECK;

/* ---- saving (policy_save.c) ---- */

enum policy_save_result {
    POLICY_SAVED,
    POLICY_SAVE_INVALID,
    POLICY_SAVE_CONFLICT, /* the version in force is another one */
    POLICY_SAVE_ALSO,     /* `also` said no: rc is its answer */
    POLICY_SAVE_BUSY,     /* too many wait */
    POLICY_SAVE_BROKEN,   /* rc */
};

struct policy_saved {
    enum policy_save_result result;
    int rc;
    const struct policy_diags *diags;
    struct policy_version *version; /* in force now */
    size_t changed;                 /* devices that gain or lose something */
};

struct policy_save {
    struct slice text;         /* as policy_ingest gave it; copied */
    struct slice if_match;     /* the header; empty: none */
    int64_t only_over;         /* a revision; 0: any */
    const char *via, *message; /* copied */
    const struct actor *by;    /* copied */
    /* In the transaction, after the policy is stored: 0, or an answer that undoes everything. */
    int (*also)(void *arg);
    void (*done)(void *arg, const struct policy_saved *r); /* once, on the loop */
    void *arg;
};

void policy_save(struct app *a, const struct policy_save *s);
