/*
 * tests and sshTests (policy.md 4.1, 4.2). "accept" wants every source to reach every destination,
 * "deny" wants none to reach any; what fails is said with the two devices that show it and with the
 * rule to look at.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "policy/ask_priv.h"
#include "policy/posture.h"
#include "policy/tests_priv.h"

#define TIME_MAX  SECONDS(2) /* policy.md 5.4: hostile sizes */
#define NO_MEMORY "there is not enough memory for this test"

struct runner {
    const struct policy *p;
    const struct policy_reach *r;
    const struct hujson_doc *doc; /* that the tests stand in */
    struct policy_diags *diags;
    struct asker *asker; /* of the book at hand */
    bool *postures;      /* which hold for the test at hand */
    struct slice src;    /* its source, as written */
    size_t failed;       /* tests */
    bool failing;        /* the one at hand */
    bool late;
};

static struct policy_diag *fail(struct runner *u, size_t offset, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

static struct policy_diag *fail(struct runner *u, size_t offset, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    u->failed += !u->failing;
    u->failing = true;
    struct policy_diag *d = policy_complain(u->diags, u->doc, POLICY_ERROR, "test-failed", offset,
                                            "test(s) failed: %s", text);
    if (d) {
        err_ignore(!slice_copy(slice_sub(u->src, 0, sizeof d->user - 1), d->user, sizeof d->user));
    }
    return d;
}

static void fail_late(struct runner *u, size_t offset)
{
    if (!u->late) {
        policy_hint(fail(u, offset, "the tests took too long; from here on they were not run"),
                    "fewer tests, or sources and destinations with fewer devices");
    }
    u->late = true;
}

/* ---- words ---- */

/* Who that is, for a person. */
static void name_point(const struct runner *u, const struct reach_point *p, char out[96])
{
    const struct policy_facts *f = u->r->facts;
    if (p->device != REACH_NONE) {
        (void)snprintf(out, 96, SLICE_FMT, SLICE_ARG(slice_sub(f->devices[p->device].name, 0, 90)));
    } else if (p->user != POLICY_NO_USER) {
        (void)snprintf(out, 96, "a device of " SLICE_FMT,
                       SLICE_ARG(slice_sub(f->users[p->user].login, 0, 80)));
    } else {
        (void)snprintf(out, 96, "%s", p->outside ? "the address" : "a device with that tag");
    }
}

static int rule_line(const struct runner *u, uint32_t offset)
{
    int line, column;
    hujson_position(u->p->doc, offset, &line, &column);
    return line;
}

/* Why a pair is not reached: the rule that would do it but for one thing. */
static void hint_miss(const struct runner *u,
                      const struct rule_book *book,
                      const struct ask_pair *pair,
                      const struct reach_question *asked,
                      struct policy_diag *d)
{
    struct reach_question q = *asked;
    q.any_port = true;
    uint32_t rule = d ? reach_rule(u->r, book, pair->src, pair->dst, &q) : REACH_NONE;
    if (pair->src->suspended || pair->dst->suspended) {
        policy_hint(d, "the user is suspended: the devices exchange no traffic");
    } else if (rule != REACH_NONE) {
        policy_hint(d, "the rule at line %d has the pair, but not with this %s",
                    rule_line(u, book->rules[rule].offset),
                    book == &u->r->access ? "protocol, port or posture"
                                          : "login, action or posture");
    } else {
        policy_hint(d, "no rule has this pair");
    }
}

static void hint_hit(const struct runner *u,
                     const struct rule_book *book,
                     const struct ask_pair *pair,
                     struct policy_diag *d)
{
    if (pair->rule == REACH_NONE) {
        policy_hint(d, "a policy without acls and grants allows everything");
    } else {
        policy_hint(d, "the rule at line %d lets it through",
                    rule_line(u, book->rules[pair->rule].offset));
    }
}

/* ---- one source, one destination ---- */

/* What is tested: one destination of "accept" or "deny", or a login of them at one destination. */
struct expectation {
    const struct rule_book *book;
    struct reach_question q;
    struct slice at; /* the destination, as written */
    size_t offset;
    const char *want; /* "Accept", "Check"; NULL: nobody gets through */
};

/* "address \"tag:db:22\"", "login \"root\" at \"tag:db\"" */
static void describe(const struct runner *u, const struct expectation *e, char out[160])
{
    if (e->book == &u->r->access) {
        (void)snprintf(out, 160, "address \"" SLICE_FMT "\"", SLICE_ARG(slice_sub(e->at, 0, 120)));
    } else {
        (void)snprintf(out, 160, "login \"" SLICE_FMT "\" at \"" SLICE_FMT "\"",
                       SLICE_ARG(slice_sub(e->q.login, 0, 40)), SLICE_ARG(slice_sub(e->at, 0, 80)));
    }
}

static void fail_at(struct runner *u, const struct expectation *e, const char *why)
{
    char what[160];
    describe(u, e, what);
    fail(u, e->offset, "%s: %s", what, why);
}

/* Of an ssh login that should be let in, or be checked: what it is instead. */
static const char *instead(struct runner *u,
                           const struct expectation *e,
                           struct ask_target *src,
                           struct ask_target *dst)
{
    struct reach_question q = e->q;
    struct ask_pair pair;
    q.check = false;
    return e->q.check && ask_all(u->asker, &q, src, dst, &pair) == ASK_YES ? "Accept" : "Drop";
}

static void expect(struct runner *u,
                   const struct expectation *e,
                   struct ask_target *src,
                   struct ask_target *dst)
{
    struct ask_pair pair;
    char what[160], from[96], to[96];
    enum ask_answer answer = e->want ? ask_all(u->asker, &e->q, src, dst, &pair)
                                     : ask_any(u->asker, &e->q, src, dst, &pair);
    if (answer == ASK_LATE) {
        fail_late(u, e->offset);
        return;
    }
    if (answer == ASK_NO_MEMORY) {
        fail_at(u, e, NO_MEMORY);
        return;
    }
    if ((answer == ASK_YES) == (e->want != NULL)) {
        return;
    }
    describe(u, e, what);
    name_point(u, pair.src, from);
    name_point(u, pair.dst, to);
    if (e->want) {
        const char *got = instead(u, e, src, dst);
        hint_miss(
            u, e->book, &pair, &e->q,
            fail(u, e->offset, "%s: want: %s, got: %s (%s to %s)", what, e->want, got, from, to));
    } else {
        hint_hit(u, e->book, &pair,
                 fail(u, e->offset, "%s: want: Drop, got: Accept (%s to %s)", what, from, to));
    }
}

/* autogroup:self is another destination for each user. */
static void expect_self(struct runner *u, const struct expectation *e, struct ask_target *src)
{
    size_t before = u->failed, next;
    for (size_t i = 0; i < src->count && u->failed == before && !u->late; i = next) {
        uint32_t user = src->at[i]->user;
        for (next = i + 1; next < src->count && src->at[next]->user == user;) {
            next++;
        }
        if (user == POLICY_NO_USER) {
            fail_at(u, e, "the source is no user's device");
            return;
        }
        struct ask_target *part = asker_part(u->asker, src, i, next - i);
        struct ask_target *self = asker_self(u->asker, user);
        if (part && self) {
            expect(u, e, part, self);
        } else {
            fail_at(u, e, NO_MEMORY);
            return;
        }
    }
}

static void expect_at(struct runner *u,
                      struct expectation *e,
                      struct ask_target *src,
                      const struct selector *where)
{
    char why[256];
    if (where->kind == SELECTOR_SELF) {
        expect_self(u, e, src);
        return;
    }
    struct ask_target *dst = asker_target(u->asker, where, REACH_DST, why);
    if (!dst) {
        fail_at(u, e, why);
        return;
    }
    e->q.dst_outside = dst->outside;
    expect(u, e, src, dst);
}

/* Everything that the test at hand has in common. NULL after a complaint. */
static struct ask_target *
begin_test(struct runner *u, const struct selector *src, const struct hujson_node *attrs)
{
    char why[256];
    u->failing = false;
    u->src = src->text;
    asker_begin(u->asker);
    if (attrs) {
        policy_postures_hold(u->p, u->doc, attrs, u->postures);
    }
    struct ask_target *t = asker_target(u->asker, src, REACH_SRC, why);
    if (!t) {
        fail(u, src->offset, "src=%s", why);
    }
    return t;
}

/* ---- tests ---- */

static void run_dsts(struct runner *u,
                     const struct policy_test *t,
                     struct ask_target *src,
                     const struct test_dst *at,
                     size_t count)
{
    for (size_t i = 0; i < count && !u->late; i++) {
        struct expectation e = {.book = &u->r->access,
                                .q = {.proto = t->proto,
                                      .port = at[i].port,
                                      .postures = t->posture_attrs ? u->postures : NULL,
                                      .src_outside = src->outside},
                                .at = at[i].text.text,
                                .offset = at[i].text.offset,
                                .want = at == t->accept ? "Accept" : NULL};
        expect_at(u, &e, src, &at[i].what);
    }
}

static void run_test(struct runner *u, const struct policy_test *t)
{
    struct ask_target *src = begin_test(u, &t->src, t->posture_attrs);
    if (src) {
        run_dsts(u, t, src, t->accept, t->accept_count);
        run_dsts(u, t, src, t->deny, t->deny_count);
    }
}

/* ---- sshTests ---- */

static void run_logins(struct runner *u,
                       const struct ssh_test *t,
                       struct ask_target *src,
                       const struct words *logins)
{
    for (size_t i = 0; i < logins->count; i++) {
        for (size_t k = 0; k < t->dst.count && !u->late; k++) {
            const struct selector *dst = &t->dst.at[k];
            struct expectation e = {.book = &u->r->ssh,
                                    .q = {.login = logins->at[i].text,
                                          .check = logins == &t->check,
                                          .postures = t->posture_attrs ? u->postures : NULL,
                                          .src_outside = src->outside},
                                    .at = dst->text,
                                    .offset = logins->at[i].offset,
                                    .want = logins == &t->check    ? "Check"
                                            : logins == &t->accept ? "Accept"
                                                                   : NULL};
            expect_at(u, &e, src, dst);
        }
    }
}

static void run_ssh_test(struct runner *u, const struct ssh_test *t)
{
    struct ask_target *src = begin_test(u, &t->src, t->posture_attrs);
    if (src) {
        run_logins(u, t, src, &t->accept);
        run_logins(u, t, src, &t->check);
        run_logins(u, t, src, &t->deny);
    }
}

/* ---- all ---- */

static void run_access_tests(struct runner *u, const struct policy_test *tests, size_t count)
{
    for (size_t i = 0; i < count && !u->late; i++) {
        run_test(u, &tests[i]);
    }
}

static void run_ssh_tests(struct runner *u, const struct ssh_test *tests, size_t count)
{
    for (size_t i = 0; i < count && !u->late; i++) {
        run_ssh_test(u, &tests[i]);
    }
}

int reach_tests_run(const struct reach_tests *t,
                    const struct policy_reach *r,
                    struct policy_diags *diags,
                    size_t *out_failed)
{
    struct runner u = {.p = r->policy, .r = r, .doc = t->doc, .diags = diags};
    struct mono deadline = mono_after(mono_now(), TIME_MAX);
    AUTO(asker_freep) struct asker *access = NULL, *ssh = NULL;
    AUTO_FREE bool *postures = u.postures = mem_try(r->policy->posture_count * sizeof *postures);
    if (!postures) {
        return err_origin(-ENOMEM);
    }
    int rc = t->test_count ? asker_new(r, &r->access, deadline, &access) : 0;
    rc = rc || !t->ssh_test_count ? rc : asker_new(r, &r->ssh, deadline, &ssh);
    if (rc) {
        return err_trace(rc);
    }
    u.asker = access;
    run_access_tests(&u, t->tests, t->test_count);
    u.asker = ssh;
    run_ssh_tests(&u, t->ssh_tests, t->ssh_test_count);
    *out_failed = u.failed;
    return 0;
}
