/*
 * Saving is one step for its caller. The pool loads, evaluates and tests; the loop then looks
 * again, in the transaction that stores, at what that relied on: the version to be replaced (a
 * conflict is the caller's) and the count of the facts (when it moved, the pool judges once more,
 * a few times at most: under a flood of registrations the newest facts follow right after). Nobody
 * who reads waits for any of it.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "server/app.h"

enum { JUDGED_MAX = 4 };

struct save_job {
    struct app *app;
    struct policy_save ask; /* strings below */
    struct policy_work work;
    char *if_match, *via, *message;
    struct actor by;
    int judged;
};

static void end(struct save_job *j, struct policy_saved *r)
{
    r->diags = &j->work.diags;
    r->version = policy_state_version(j->app);
    j->ask.done(j->ask.arg, r);
    policy_work_deinit(&j->work);
    char *texts[] = {j->if_match, j->via, j->message};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        mem_free(texts[i]);
    }
    mem_free(j);
}

/* Is the version with this row the one that the caller wants to replace? */
static bool may_replace(const struct save_job *j, const struct store_policy_meta *m)
{
    const struct policy_version *v = policy_state_version(j->app);
    bool untouched = m->id == v->meta.id && policy_version_untouched(v);
    return (!j->ask.only_over || j->ask.only_over == m->id) &&
           policy_if_match(slice_str(j->if_match), m->etag, untouched) != POLICY_IF_FAILS;
}

static void write_version(struct buf *out, int64_t rev, const char *etag)
{
    AUTO(js_freep) struct js *j = js_object();
    js_set_int(j, "rev", rev);
    js_set_cstr(j, "etag", etag);
    js_write(j, JS_COMPACT, out);
}

/* What people look up later: which version gave way to which; the texts are in the history. */
static int audit(struct save_job *j, const struct store_policy_meta *old, int64_t rev)
{
    const struct store_tailnet *t = &j->app->tailnet;
    struct buf before = BUF_MAX(256), after = BUF_MAX(256), detail = BUF_MAX(2048);
    AUTO(js_freep) struct js *how = js_object();
    js_set_cstr(how, "via", j->via);
    js_set_cstr(how, "message", j->message);
    js_write(how, JS_COMPACT, &detail);
    write_version(&before, old->id, old->etag);
    write_version(&after, rev, j->work.etag);
    struct audit_entry e = {.action = "TAILNET.UPDATE.ACL",
                            .type = "TAILNET",
                            .id = t->stable_id,
                            .name = t->name,
                            .property = "ACL",
                            .old = buf_slice(&before),
                            .new = buf_slice(&after),
                            .detail = buf_slice(&detail)};
    int rc = audit_write(j->app, &j->by, &e);
    buf_deinit(&before);
    buf_deinit(&after);
    buf_deinit(&detail);
    return rc;
}

struct commit {
    struct policy_saved answer;
    int64_t *changed;
    size_t changed_count;
    int64_t rev;
    bool judge_again, stale;
};

/* What is looked at again: 0, and c->answer or c->judge_again say when it does not hold. */
static int look_again(struct save_job *j, struct store_policy_meta *out_now, struct commit *c)
{
    struct app *a = j->app;
    struct store_facts facts;
    int rc = store_policy(a->db, a->tailnet.id, out_now, NULL);
    rc = rc ? rc : store_facts(a->db, a->tailnet.id, &facts);
    if (!rc && !may_replace(j, out_now)) {
        c->answer.result = POLICY_SAVE_CONFLICT;
    } else if (!rc) {
        c->judge_again = facts.sequence != j->work.facts->sequence && j->judged < JUDGED_MAX;
    }
    return rc;
}

static int store_rows(struct save_job *j, const struct store_policy_meta *old, struct commit *c)
{
    struct app *a = j->app;
    struct store_policy_new row = {buf_slice(&j->work.text), j->work.etag, j->by.login, j->via,
                                   j->message};
    int rc = store_policy_save(a->db, a->tailnet.id, &row, &c->rev);
    rc = rc ? rc : audit(j, old, c->rev);
    rc = rc ? rc : policy_state_log(a, c->changed, c->changed_count);
    return rc ? rc : store_change(a->db, a->tailnet.id, "policy", 0);
}

/* The whole transaction. Nothing is stored unless 0 comes with neither an answer nor judge_again.
 */
static int store(struct save_job *j, struct commit *c)
{
    struct app *a = j->app;
    struct store_policy_meta old;
    struct store_facts facts;
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? look_again(j, &old, c) : -EIO;
    if (rc || c->judge_again || c->answer.result != POLICY_SAVED) {
        return rc;
    }
    rc = store_rows(j, &old, c);
    int also = !rc && j->ask.also ? j->ask.also(j->ask.arg) : 0;
    if (also) {
        c->answer = (struct policy_saved){.result = POLICY_SAVE_ALSO, .rc = also};
        return 0;
    }
    rc = rc ? rc : store_facts(a->db, a->tailnet.id, &facts); /* `also` may have moved them */
    c->stale = !rc && facts.sequence != j->work.facts->sequence;
    return rc ? rc : db_commit(&tx);
}

static struct policy_version *make_version(struct save_job *j, int64_t rev)
{
    struct policy_version *v = mem_new(sizeof *v);
    struct store_policy_meta *m = &v->meta;
    *v = (struct policy_version){.refs = 1, .text = j->work.text, .standard = j->work.standard};
    j->work.text = BUF_MAX(POLICY_SIZE_MAX); /* the buffers have moved */
    j->work.standard = BUF_MAX(POLICY_SIZE_MAX);
    text_fit(m->etag, sizeof m->etag, "%s", j->work.etag);
    text_fit(m->author, sizeof m->author, "%s", j->by.login);
    text_fit(m->via, sizeof m->via, "%s", j->via);
    text_fit(m->message, sizeof m->message, "%s", j->message);
    m->id = rev;
    m->created = wall_now();
    m->current = true;
    m->size = v->text.len;
    return v;
}

static void publish(struct save_job *j, struct commit *c)
{
    struct app *a = j->app;
    struct policy_next next = {.version = make_version(j, c->rev),
                               .snapshot = j->work.snapshot,
                               .diags = &j->work.diags,
                               .stale = c->stale};
    j->work.snapshot = NULL; /* taken */
    policy_state_swap(a, &next);
    log_info("policy.saved", F_STR("by", j->by.login), F_STR("via", j->via), F_I64("rev", c->rev),
             F_STR("etag", policy_state_version(a)->meta.etag), F_U64("changed", c->changed_count));
    c->answer.changed = c->changed_count;
}

static void judge(struct save_job *j);

static void on_judged(void *arg)
{
    struct save_job *j = arg;
    struct app *a = j->app;
    struct commit c = {.answer = {.result = POLICY_SAVED}};
    if (j->work.rc) {
        c.answer.result = j->work.rc == POLICY_INVALID ? POLICY_SAVE_INVALID : POLICY_SAVE_BROKEN;
        c.answer.rc = j->work.rc;
        end(j, &c.answer);
        return;
    }
    c.changed = policy_state_changed(a, j->work.snapshot, &c.changed_count);
    int rc = store(j, &c);
    mem_free(c.changed);
    if (!rc && c.judge_again) {
        policy_work_again(&j->work);
        judge(j);
        return;
    }
    if (rc) {
        c.answer =
            (struct policy_saved){.result = POLICY_SAVE_BROKEN, .rc = rc > 0 ? err_fold(-EIO) : rc};
    }
    bool saved = c.answer.result == POLICY_SAVED, by_hand = !j->ask.also;
    char author[STORE_NAME_SIZE];
    text_cut(author, sizeof author, "%s", j->by.login);
    if (saved) {
        publish(j, &c);
    }
    end(j, &c.answer);
    if (saved) {
        approval_settle(a, author);
        if (by_hand) {
            approval_grants_look(a);
        }
        bus_wake(a);
    }
    if (c.stale) {
        policy_state_recompute(a);
    }
}

static void on_work(void *arg)
{
    policy_work_run(&((struct save_job *)arg)->work);
}

static void judge(struct save_job *j)
{
    j->judged++;
    if (pool_run(j->app->pool, on_work, on_judged, j) < 0) {
        end(j, &(struct policy_saved){.result = POLICY_SAVE_BUSY});
    }
}

/* A conflict that can be seen now need not be judged. */
static bool lost_already(struct save_job *j)
{
    return !may_replace(j, &policy_state_version(j->app)->meta);
}

void policy_save(struct app *a, const struct policy_save *s)
{
    struct save_job *j = mem_new(sizeof *j);
    j->app = a;
    j->ask = *s;
    j->if_match = slice_dup(s->if_match);
    j->via = mem_strdup(s->via);
    j->message = mem_strdup(s->message);
    j->by = *s->by;
    policy_work_init(&j->work, a);
    j->work.wants_forms = true;
    j->work.reformat = policy_state_settings(a)->format_on_save;
    buf_add(&j->work.text, s->text);
    if (lost_already(j)) {
        end(j, &(struct policy_saved){.result = POLICY_SAVE_CONFLICT});
    } else {
        judge(j);
    }
}
