/*
 * Questions to the policy engine: validate, preview, explain. Each is judged in the pool on copies
 * and references, writes its answer there, and stores nothing.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/hujson/hujson.h"
#include "policy/explain.h"
#include "server/policy_effects.h"
#include "server/policy_reply.h"

enum { FOR_MAX = 512 };

struct ask {
    struct app *app;
    struct http_rq *rq; /* NULL: the caller has left */
    struct policy_work work;
    struct policy_version *version; /* in force */
    struct policy *policy;          /* in force */
    bool effects;
    char type[16], subject[FOR_MAX];
    char device[FOR_MAX], attr[FOR_MAX]; /* explain; device: label or stable id */
    int64_t node, port;                  /* node: instead of the device's name; set when found */
    /* the answer */
    struct js *reply;
    int status;
    char why[256];
};

/* ---- running ---- */

static void caller_left(void *arg)
{
    ((struct ask *)arg)->rq = NULL;
}

static struct ask *new_ask(struct app *a, struct http_rq *rq)
{
    struct ask *q = mem_new(sizeof *q);
    q->app = a;
    q->rq = rq;
    q->status = 200;
    q->version = policy_version_ref(policy_state_version(a));
    q->policy = policy_ref(policy_snapshot_policy(policy_state_snapshot(a)));
    policy_work_init(&q->work, a);
    return q;
}

static void free_ask(struct ask *q)
{
    policy_work_deinit(&q->work);
    policy_version_unref(q->version);
    policy_unref(q->policy);
    js_free(q->reply);
    mem_free(q);
}

static void answered(void *arg)
{
    struct ask *q = arg;
    if (!q->rq) {
        free_ask(q);
        return;
    }
    if (q->work.rc < 0) {
        reply_broken(q->rq, q->work.rc);
    } else if (q->status == 200) {
        reply_json(q->rq, 200, q->reply);
    } else if (q->reply) {
        js_set_cstr(q->reply, "requestId", http_rq_id(q->rq));
        js_set_int(q->reply, "status", q->status);
        reply_json(q->rq, q->status, q->reply);
    } else {
        reply_problem(q->rq, &(struct problem){
                                 q->status, q->status == 404 ? "device.unknown" : "preview.invalid",
                                 q->why, "see docs/api.md"});
    }
    free_ask(q);
}

static void ask(struct ask *q, loop_fn work, loop_fn done)
{
    http_rq_on_abort(q->rq, caller_left, q);
    if (pool_run(q->app->pool, work, done, q) < 0) {
        policy_reply_busy(q->rq);
        free_ask(q);
    }
}

/* In the pool: the policy in force on current facts, as a snapshot of our own. */
static int in_force(struct ask *q, struct policy_snapshot **out)
{
    int rc = policy_work_facts(&q->work);
    return rc ? rc : policy_evaluate(q->policy, q->work.facts, out);
}

static int open_names(struct ask *q, struct db **out)
{
    char why[200];
    return db_open(q->work.db_path, DB_READER, why, sizeof why, out);
}

/* ---- validate ---- */

static bool is_array(struct slice text)
{
    struct hujson_diag diag;
    AUTO(hujson_freep) struct hujson_doc *doc = NULL;
    return hujson_parse(text, POLICY_SIZE_MAX, &diag, &doc) == 0 &&
           hujson_kind(hujson_root(doc)) == HUJSON_ARRAY;
}

static int foreign_tests(struct ask *q)
{
    AUTO(policy_snapshot_unrefp) struct policy_snapshot *now = NULL;
    int rc = in_force(q, &now);
    return rc ? rc : policy_tests_foreign(now, buf_slice(&q->work.text), &q->work.diags);
}

static int add_effects(struct ask *q)
{
    AUTO(policy_snapshot_unrefp) struct policy_snapshot *now = NULL;
    struct db *names = NULL;
    int rc = in_force(q, &now);
    rc = rc ? rc : open_names(q, &names);
    if (rc) {
        return rc;
    }
    struct js *j = policy_effects_json(now, q->work.snapshot, names);
    db_close(names);
    js_set_cstr(j, "etag", q->work.etag);
    js_set_bool(j, "changed", !slice_eq(buf_slice(&q->work.text), buf_slice(&q->version->text)));
    js_set(q->reply, "effects", j);
    return 0;
}

static void validate_work(void *arg)
{
    struct ask *q = arg;
    struct policy_work *w = &q->work;
    bool tests = is_array(buf_slice(&w->text));
    w->wants_forms = q->effects;
    if (tests) {
        w->rc = foreign_tests(q);
    } else {
        policy_work_run(w);
    }
    q->reply = js_object();
    policy_diags_json(q->reply, &w->diags);
    if (!w->rc && !tests && q->effects) {
        w->rc = add_effects(q);
    }
}

void api_acl_validate(void *app, struct http_rq *rq)
{
    struct ask *q = new_ask(app, rq);
    struct slice effects = http_rq_query(rq, "effects");
    q->effects = slice_eq(effects, S("1")) || slice_eq_nocase(effects, S("true"));
    if (!slice_trim(http_rq_body(rq)).n) {
        buf_add(&q->work.text, buf_slice(&q->version->text));
    } else if (!policy_body(rq, &q->work.text)) {
        free_ask(q);
        return;
    }
    ask(q, validate_work, answered);
}

/* ---- preview ---- */

static struct js *words_json(const struct slice *words, size_t count)
{
    struct js *list = js_array();
    for (size_t i = 0; i < count; i++) {
        js_push_str(list, words[i]);
    }
    return list;
}

static struct js *matches_json(const struct policy_matches *m)
{
    struct js *list = js_array();
    for (size_t i = 0; i < m->count; i++) {
        const struct policy_match *x = &m->at[i];
        struct js *j = js_object();
        js_set(j, "users", words_json(x->users, x->user_count));
        js_set(j, "ports", words_json(x->ports, x->port_count));
        js_set_int(j, "lineNumber", x->line);
        js_set(j, "via", words_json(x->via, x->via_count));
        js_set(j, "postures", words_json(x->postures, x->posture_count));
        js_push(list, j);
    }
    return list;
}

static int rules_matching(struct ask *q)
{
    AUTO(policy_reach_freep) struct policy_reach *reach = NULL;
    struct policy_matches m = {NULL, NULL, 0};
    int rc = policy_reach_new(q->work.policy, q->work.facts, &reach);
    if (rc) {
        return rc;
    }
    text_cut(q->why, sizeof q->why, "previewFor is no login of this tailnet");
    bool ok = strcmp(q->type, "user") == 0
                  ? policy_preview_user(reach, slice_str(q->subject), &m)
                  : policy_preview_ipport(reach, slice_str(q->subject), &m, q->why);
    if (!ok) {
        q->status = 400;
        return 0;
    }
    q->reply = js_object();
    js_set(q->reply, "matches", matches_json(&m));
    js_set_cstr(q->reply, "type", q->type);
    js_set_cstr(q->reply, "previewFor", q->subject);
    js_set(q->reply, "postures", js_array());
    policy_matches_free(&m);
    return 0;
}

/* ---- explain ---- */

static size_t find_device(struct ask *q)
{
    const struct policy_facts *f = q->work.facts;
    struct slice name = slice_str(q->device);
    struct store_node n;
    struct db *names = NULL;
    ptrdiff_t dot = slice_find(name, '.');
    if (q->node) {
        return policy_facts_index(f, q->node);
    }
    const struct policy_device *d =
        policy_facts_find(f, dot < 0 ? name : slice_sub(name, 0, (size_t)dot));
    if (d) {
        return (size_t)(d - f->devices);
    }
    size_t at = SIZE_MAX;
    if (open_names(q, &names) == 0 && store_node_by_stable(names, name, &n) == 0) {
        at = policy_facts_index(f, n.id);
    }
    db_close(names);
    return at;
}

static struct js *reasons_json(const struct policy_explanation *x)
{
    struct js *list = js_array();
    for (size_t i = 0; i < x->count; i++) {
        const struct policy_reason *r = &x->reasons[i];
        struct js *j = js_object();
        if (r->entry != POLICY_NO_ENTRY) {
            js_set_int(j, "entry", (int64_t)r->entry);
        }
        js_set_int(j, "line", r->line);
        js_set_int(j, "column", r->column);
        js_set_cstr(j, "pointer", r->pointer);
        js_set_cstr(j, "selector", r->selector[0] ? r->selector : NULL);
        js_set_cstr(j, "text", r->text);
        js_push(list, j);
    }
    return list;
}

static void explain(struct ask *q, const struct policy_snapshot *s)
{
    AUTO_FREE struct policy_explanation *x = mem_new(sizeof *x);
    size_t at = find_device(q);
    if (at == SIZE_MAX) {
        q->status = 404;
        text_cut(q->why, sizeof q->why, "there is no such device");
        return;
    }
    const struct policy_device *d = &q->work.facts->devices[at];
    policy_explain(s, at, slice_str(q->attr), x);
    q->node = d->id;
    q->reply = js_object();
    js_set_str(q->reply, "name", d->name);
    js_set_cstr(q->reply, "attribute", q->attr);
    js_set_bool(q->reply, "has", x->has);
    js_set_cstr(q->reply, "summary", x->summary);
    js_set_cstr(q->reply, "next", x->next[0] ? x->next : NULL);
    js_set(q->reply, "reasons", reasons_json(x));
}

/* What is on the loop's side of an explanation: who it is about, and whether the port is open. */
static void explained(void *arg)
{
    static const char *const codes[] = {"open",        "suspended", "no-funnel",
                                        "port",        "https-off", "not-approved",
                                        "key-expired", "not-asked", "locked"};
    struct ask *q = arg;
    struct store_node n;
    if (q->rq && !q->work.rc && q->reply && store_node(q->app->db, q->node, &n) == 0) {
        js_set_cstr(q->reply, "nodeId", n.stable_id);
        if (strcmp(q->attr, POLICY_FUNNEL) == 0 && q->port) {
            enum policy_gate g = policy_state_gate(q->app, &n, q->port);
            struct js *gate = js_object();
            js_set_bool(gate, "open", g == POLICY_GATE_OPEN);
            js_set_int(gate, "port", q->port);
            js_set_cstr(gate, "code", codes[g]);
            js_set_cstr(gate, "text", policy_gate_text(g));
            js_set(q->reply, "gate", gate);
        }
    }
    answered(q);
}

static void explain_work(void *arg)
{
    struct ask *q = arg;
    AUTO(policy_snapshot_unrefp) struct policy_snapshot *now = NULL;
    q->work.rc = in_force(q, &now);
    if (!q->work.rc) {
        explain(q, now);
    }
}

static void preview_work(void *arg)
{
    struct ask *q = arg;
    policy_work_run(&q->work);
    if (q->work.rc == POLICY_INVALID) {
        q->status = 400;
        q->reply = js_object();
        policy_diags_json(q->reply, &q->work.diags);
        js_set_cstr(q->reply, "fix", "mend the places that \"diagnostics\" names");
    } else if (!q->work.rc && strcmp(q->type, "attr") == 0) {
        explain(q, q->work.snapshot);
    } else if (!q->work.rc) {
        q->work.rc = rules_matching(q);
    }
}

/* "web1 funnel", "web1/funnel": device and attribute. */
static bool split_for(struct ask *q)
{
    struct slice all = slice_trim(slice_str(q->subject));
    ptrdiff_t cut = slice_find(all, ' ');
    cut = cut < 0 ? slice_find(all, '/') : cut;
    return cut > 0 && slice_copy(slice_sub(all, 0, (size_t)cut), q->device, sizeof q->device) &&
           slice_copy(slice_trim(slice_skip(all, (size_t)cut + 1)), q->attr, sizeof q->attr) &&
           q->attr[0];
}

static bool read_preview(struct ask *q)
{
    struct slice type = http_rq_query(q->rq, "type"), subject = http_rq_query(q->rq, "previewFor");
    return slice_copy(type, q->type, sizeof q->type) && subject.n &&
           slice_copy(subject, q->subject, sizeof q->subject) &&
           (slice_eq(type, S("user")) || slice_eq(type, S("ipport")) ||
            (slice_eq(type, S("attr")) && split_for(q)));
}

void api_acl_preview(void *app, struct http_rq *rq)
{
    struct ask *q = new_ask(app, rq);
    if (!read_preview(q)) {
        reply_problem(rq,
                      &(struct problem){400, "preview.invalid",
                                        "type is user, ipport or attr, with previewFor beside it",
                                        "type=user&previewFor=ann@example.com"});
        free_ask(q);
        return;
    }
    if (!slice_trim(http_rq_body(rq)).n) {
        buf_add(&q->work.text, buf_slice(&q->version->text));
    } else if (!policy_body(rq, &q->work.text)) {
        free_ask(q);
        return;
    }
    ask(q, preview_work, explained);
}

/* May this person see the device's rights? Whoever reads the policy, and its owner. */
static bool may_see(const struct identity *id, const struct store_node *n)
{
    return auth_may(id, PERM_POLICY_READ) || (n->user_id && n->user_id == id->user.id);
}

static bool find_node(struct app *a, struct slice id, struct store_node *out)
{
    uint64_t number;
    return store_node_by_stable(a->db, id, out) == 0 ||
           (slice_u64(id, INT64_MAX, &number) && store_node(a->db, (int64_t)number, out) == 0);
}

void api_explain(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_node n;
    struct slice attr = http_rq_query(rq, "attr"), port = http_rq_query(rq, "port");
    uint64_t number = 443;
    if (!find_node(a, http_rq_param(rq, "id"), &n) || !may_see(auth_identity(rq), &n)) {
        reply_problem(rq, &(struct problem){404, "device.unknown", "there is no such device",
                                            "look at the list of devices"});
        return;
    }
    struct ask *q = new_ask(a, rq);
    if ((port.n && (!slice_u64(port, 65535, &number) || !number)) ||
        !slice_copy(attr.n ? attr : S(POLICY_FUNNEL), q->attr, sizeof q->attr)) {
        reply_problem(rq, &(struct problem){400, "explain.invalid",
                                            "attr is a name, port a number up to 65535",
                                            "attr=funnel&port=443"});
        free_ask(q);
        return;
    }
    q->port = (int64_t)number;
    q->node = n.id;
    ask(q, explain_work, explained);
}
