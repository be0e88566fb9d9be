/* Every version of the policy: the list, one of them, what differs between two, and the way back
 * as a new version. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "server/policy_patch.h"
#include "server/policy_reply.h"

enum { LIST_MAX = 200, LIST_DEFAULT = 50, DIFF_CONTEXT = 3 };

static void bad(struct http_rq *rq, const char *message)
{
    reply_problem(rq,
                  &(struct problem){400, "history.invalid", message, "see docs/api.md, History"});
}

static void unknown(struct http_rq *rq)
{
    reply_problem(rq, &(struct problem){404, "policy.rev_unknown", "there is no such revision",
                                        "GET …/acl/history lists them"});
}

/* ---- the list ---- */

static void add_version(void *arg, const struct store_policy_meta *m)
{
    js_push(arg, policy_meta_json(m));
}

static bool read_number(struct slice text, uint64_t max, uint64_t otherwise, uint64_t *out)
{
    *out = otherwise;
    return !text.n || slice_u64(text, max, out);
}

void api_history(void *app, struct http_rq *rq)
{
    struct app *a = app;
    uint64_t limit, before;
    if (!read_number(http_rq_query(rq, "limit"), LIST_MAX, LIST_DEFAULT, &limit) || !limit ||
        !read_number(http_rq_query(rq, "cursor"), INT64_MAX, 0, &before)) {
        bad(rq, "limit is 1 to 200, cursor what nextCursor said");
        return;
    }
    AUTO(js_freep) struct js *j = js_object();
    struct js *list = js_array();
    /* One more than asked for tells whether there is more. */
    AUTO(js_freep) struct js *all = js_array();
    int rc = store_policies_each(a->db, a->tailnet.id, (int64_t)before, (int64_t)limit + 1,
                                 add_version, all);
    if (rc) {
        js_free(list);
        reply_broken(rq, rc);
        return;
    }
    for (size_t i = 0; i < js_len(all) && i < limit; i++) {
        js_push(list, js_ref(js_at(all, i)));
    }
    js_set(j, "versions", list);
    if (js_len(all) > limit) {
        char cursor[24];
        text_fit(cursor, sizeof cursor, "%lld",
                 (long long)js_get_int(js_at(all, limit - 1), "rev", 0));
        js_set_cstr(j, "nextCursor", cursor);
    }
    reply_json(rq, 200, j);
}

/* ---- one version ---- */

/* "current", or a revision. A reference, or NULL. */
static struct policy_version *find_version(struct app *a, struct slice rev)
{
    struct policy_version *now = policy_state_version(a);
    uint64_t number;
    if (slice_eq(rev, S("current"))) {
        return policy_version_ref(now);
    }
    if (!slice_u64(rev, INT64_MAX, &number) || !number) {
        return NULL;
    }
    return (int64_t)number == now->meta.id ? policy_version_ref(now)
                                           : policy_version_read(a, (int64_t)number);
}

void api_history_version(void *app, struct http_rq *rq)
{
    struct app *a = app;
    AUTO(policy_version_unrefp)
    struct policy_version *v = find_version(a, http_rq_param(rq, "rev"));
    if (v) {
        if (policy_wants_json(rq) && v != policy_state_version(a)) {
            policy_version_standardize(v); /* nobody else has it */
        }
        policy_reply_version(rq, v, v == policy_state_version(a) ? policy_state_diags(a) : NULL);
    } else {
        unknown(rq);
    }
}

/* ---- differences, in the pool ---- */

struct diff_job {
    struct http_rq *rq;               /* NULL: the caller has left */
    struct policy_version *from, *to; /* to: NULL when a text was posted */
    struct buf text;                  /* what was posted */
    struct js *reply;
};

static void diff_work(void *arg)
{
    struct diff_job *j = arg;
    struct slice before = buf_slice(&j->from->text),
                 after = buf_slice(j->to ? &j->to->text : &j->text);
    struct buf unified = BUF_MAX(4 * POLICY_SIZE_MAX);
    policy_diff(before, after, DIFF_CONTEXT, &unified);
    j->reply = js_object();
    js_set(j->reply, "from", policy_meta_json(&j->from->meta));
    if (j->to) {
        js_set(j->reply, "to", policy_meta_json(&j->to->meta));
    }
    js_set_str(j->reply, "unified", buf_slice(&unified));
    js_set(j->reply, "patch", policy_patch_json(before, after));
    buf_deinit(&unified);
}

static void free_diff(struct diff_job *j)
{
    policy_version_unref(j->from);
    policy_version_unref(j->to);
    buf_deinit(&j->text);
    js_free(j->reply);
    mem_free(j);
}

static void diff_done(void *arg)
{
    struct diff_job *j = arg;
    if (j->rq) {
        reply_json(j->rq, 200, j->reply);
    }
    free_diff(j);
}

static void diff_left(void *arg)
{
    ((struct diff_job *)arg)->rq = NULL;
}

static void run_diff(struct app *a, struct diff_job *j)
{
    http_rq_on_abort(j->rq, diff_left, j);
    if (pool_run(a->pool, diff_work, diff_done, j) < 0) {
        policy_reply_busy(j->rq);
        free_diff(j);
    }
}

static struct diff_job *new_diff(struct http_rq *rq)
{
    struct diff_job *j = mem_new(sizeof *j);
    *j = (struct diff_job){.rq = rq, .text = BUF_MAX(POLICY_SIZE_MAX)};
    return j;
}

struct older {
    int64_t rev;
};

static void note_older(void *arg, const struct store_policy_meta *m)
{
    ((struct older *)arg)->rev = m->id;
}

/* The version before this one; itself where it is the first. */
static struct policy_version *before_of(struct app *a, struct policy_version *v)
{
    struct older o = {0};
    if (store_policies_each(a->db, a->tailnet.id, v->meta.id, 1, note_older, &o)) {
        return NULL;
    }
    return o.rev ? policy_version_read(a, o.rev) : policy_version_ref(v);
}

void api_diff(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct slice from = http_rq_query(rq, "from"), to = http_rq_query(rq, "to");
    struct diff_job *j = new_diff(rq);
    j->to = find_version(a, to.n ? to : S("current"));
    j->from = from.n ? find_version(a, from) : j->to ? before_of(a, j->to) : NULL;
    if (j->from && j->to) {
        run_diff(a, j);
    } else {
        unknown(rq);
        free_diff(j);
    }
}

/* The body is the text to compare with. */
void api_diff_text(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct slice from = http_rq_query(rq, "from");
    struct diff_job *j = new_diff(rq);
    j->from = find_version(a, from.n ? from : S("current"));
    if (!j->from) {
        unknown(rq);
        free_diff(j);
    } else if (policy_body(rq, &j->text)) {
        run_diff(a, j);
    } else {
        free_diff(j);
    }
}

/* ---- roll-back ---- */

void api_rollback(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"rev", JS_INT, true, 0},
                                             {"message", JS_STR, false, STORE_MESSAGE_SIZE - 1}};
    struct app *a = app;
    struct store_policy_meta meta;
    struct buf text = BUF_MAX(2 * POLICY_SIZE_MAX), message = BUF_MAX(STORE_MESSAGE_SIZE);
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (!j) {
        return;
    }
    int64_t rev = js_get_int(j, "rev", 0);
    if (store_policy_version(a->db, a->tailnet.id, rev, &meta, &text)) {
        unknown(rq);
        buf_deinit(&text);
        return;
    }
    buf_add(&message, js_get_str(j, "message"));
    if (!message.len) {
        buf_addf(&message, "back to revision %lld", (long long)rev);
    }
    api_policy_save(a, rq,
                    &(struct api_write){.text = buf_slice(&text),
                                        .via = "rollback",
                                        .message = buf_slice(&message)});
    buf_deinit(&text);
    buf_deinit(&message);
}
