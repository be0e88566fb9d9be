/* Public URLs with their readiness; one is switched off, or probed now. */
#include "server/api_funnels.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "server/app.h"
#include "server/ready.h"

enum { PROBE_PAUSE_S = 2 /* what was seen so lately is not looked at again */ };

static bool is_own(const struct identity *id, const struct store_node *n)
{
    return !id->scoped && n->user_id && n->user_id == id->user.id;
}

static bool may_see(const struct identity *id, const struct store_node *n)
{
    return auth_may(id, PERM_FUNNEL_READ) || is_own(id, n);
}

/* ---- the object ---- */

static void set_time(struct js *j, const char *name, struct wall t)
{
    char text[WALL_TEXT_SIZE];
    wall_format(t, text);
    js_set_cstr(j, name, t.s ? text : NULL);
}

static void set_grant(struct app *a, const struct store_node *n, struct js *j)
{
    struct store_grant_row g;
    if (store_node_grant(a->db, n->id, &g) == 0) {
        js_set_cstr(j, "grant", g.selector);
        js_set_cstr(j, "grantedBy", g.granted_by);
        set_time(j, "expires", g.expires);
    }
}

/* Without its readiness. */
static struct js *core_json(struct app *a, const struct store_node *n, const struct store_funnel *f)
{
    const struct ready_rung *rungs = ready_ladder(a, n->id, f->port);
    struct js *j = js_object();
    char name[TEXT_NAME_SIZE], url[TEXT_NAME_SIZE + 32], port[16] = "";
    app_fqdn(a, n->label, name);
    if (f->port != 443) {
        text_fit(port, sizeof port, ":%d", (int)f->port);
    }
    text_fit(url, sizeof url, "https://%s%s/", name, port);
    bool open = policy_state_gate(a, n, f->port) == POLICY_GATE_OPEN;
    js_set_cstr(j, "id", f->stable_id);
    js_set_cstr(j, "url", url);
    js_set_int(j, "port", f->port);
    js_set_cstr(j, "nodeId", n->stable_id);
    js_set_cstr(j, "node", n->label);
    js_set_cstr(j, "user", n->login);
    js_set_cstr(j, "kind", f->kind);
    js_set_cstr(j, "target", f->target);
    js_set_cstr(j, "source", f->source);
    js_set_cstr(j, "state", !open ? "blocked" : ready_is_ready(rungs) ? "open" : "waiting");
    set_time(j, "since", f->created);
    set_grant(a, n, j);
    js_set_bool(j, "ready", ready_is_ready(rungs));
    return j;
}

static struct js *
funnel_json(struct app *a, const struct store_node *n, const struct store_funnel *f)
{
    struct js *j = core_json(a, n, f);
    js_set(j, "readiness", ready_json(ready_ladder(a, n->id, f->port)));
    return j;
}

/* The same, as text. */
static void write_funnel(struct app *a,
                         const struct store_node *n,
                         const struct store_funnel *f,
                         struct buf *out)
{
    AUTO(js_freep) struct js *j = core_json(a, n, f);
    js_write(j, JS_COMPACT, out);
    buf_truncate(out, out->len - 1); /* its brace */
    buf_adds(out, ",\"readiness\":");
    ready_write(ready_ladder(a, n->id, f->port), out);
    buf_addc(out, '}');
}

/* ---- the list ---- */

struct listing {
    struct app *a;
    const struct identity *id;
    struct rest_page page;
    struct buf text;        /* a list of thousands is written as it is read */
    struct store_node node; /* of the last one */
    int rc;
};

static void add_funnel(void *arg, const struct store_funnel *f)
{
    struct listing *l = arg;
    int rc = l->node.id == f->node_id ? 0 : store_node(l->a->db, f->node_id, &l->node);
    if (rc < 0) {
        l->rc = rc;
    } else if (rc == 0 && may_see(l->id, &l->node) && rest_page_take(&l->page, f->id)) {
        buf_adds(&l->text, l->page.taken > 1 ? "," : "");
        write_funnel(l->a, &l->node, f, &l->text);
    }
}

void api_funnels(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct listing l = {.a = a, .id = auth_identity(rq), .text = BUF_MAX(64 * MIB)};
    AUTO(js_freep) struct js *end = js_object();
    if (!rest_page_read(rq, &l.page)) {
        return;
    }
    buf_adds(&l.text, "{\"funnels\":[");
    int rc = store_funnels_after(a->db, 0, INT64_MAX, add_funnel, &l);
    rc = rc ? rc : l.rc;
    rest_page_end(&l.page, end);
    buf_adds(&l.text, "]");
    if (js_get_str(end, "nextCursor").n) {
        buf_addf(&l.text, ",\"nextCursor\":\"" SLICE_FMT "\"",
                 SLICE_ARG(js_get_str(end, "nextCursor")));
    }
    buf_addc(&l.text, '}');
    if (rc || !buf_ok(&l.text)) {
        reply_broken(rq, rc ? rc : -EMSGSIZE);
    } else {
        reply_text(rq, 200, &l.text);
    }
    buf_deinit(&l.text);
}

/* ---- one ---- */

static void reply_unknown(struct http_rq *rq)
{
    reply_problem(rq, &(struct problem){404, "funnel.unknown", "there is no such public URL",
                                        "GET /api/v2/tailnet/-/funnels lists those there are"});
}

/* False after a 404 or 500. What one may not see is not there. */
static bool
find(struct app *a, struct http_rq *rq, struct store_funnel *out_f, struct store_node *out_n)
{
    int rc = store_funnel(a->db, http_rq_param(rq, "id"), out_f);
    rc = rc ? rc : store_node(a->db, out_f->node_id, out_n);
    if (rc < 0) {
        reply_broken(rq, rc);
    } else if (rc || !may_see(auth_identity(rq), out_n)) {
        reply_unknown(rq);
        rc = STORE_NONE;
    }
    return rc == 0;
}

void api_funnel(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_funnel f;
    struct store_node n;
    if (find(a, rq, &f, &n)) {
        AUTO(js_freep) struct js *j = funnel_json(a, &n, &f);
        rest_object(rq, j);
    }
}

static int switch_off(struct app *a,
                      struct http_rq *rq,
                      const struct store_node *n,
                      const struct store_funnel *f)
{
    struct actor by;
    struct buf old = BUF_MAX(4096);
    AUTO(js_freep) struct js *was = js_object();
    js_set_int(was, "port", f->port);
    js_set_cstr(was, "target", f->target);
    js_set_cstr(was, "source", f->source);
    js_write(was, JS_COMPACT, &old);
    actor_of(rq, &by);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_off_put(a->db, n->id, f->port, slice_str(by.login)) : -EIO;
    rc = rc ? rc : store_funnel_delete(a->db, n->id, f->port);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "funnel", n->id);
    rc = rc ? rc
            : audit_write(a, &by,
                          &(struct audit_entry){.action = "FUNNEL.OFF",
                                                .type = "NODE",
                                                .id = n->stable_id,
                                                .name = n->label,
                                                .property = "FUNNEL",
                                                .old = buf_slice(&old)});
    rc = rc ? rc : db_commit(&tx);
    buf_deinit(&old);
    return rc;
}

void api_funnel_delete(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct identity *id = auth_identity(rq);
    struct store_funnel f;
    struct store_node n;
    if (!find(a, rq, &f, &n)) {
        return;
    }
    if (!auth_may(id, PERM_FUNNEL_OFF) && !is_own(id, &n)) {
        reply_problem(rq, &(struct problem){403, "role.missing",
                                            "this public URL is not yours, and your role does not "
                                            "switch off those of others",
                                            "ask an owner or admin"});
        return;
    }
    AUTO(js_freep) struct js *now = funnel_json(a, &n, &f);
    if (!rest_match(rq, now)) {
        return;
    }
    int rc = switch_off(a, rq, &n, &f);
    if (rc == STORE_NONE) {
        reply_unknown(rq); /* its node was faster */
    } else if (rc) {
        reply_broken(rq, rc);
    } else {
        log_info("funnel.off", F_STR("node", n.stable_id), F_I64("port", f.port));
        reply_none(rq);
        bus_wake(a);
    }
}

/* ---- probe ---- */

struct asked {
    struct app *a;
    struct http_rq *rq;
    struct ready_wait wait;
    char id[STORE_ID_SIZE];
};

static void reply_probed(struct app *a, struct http_rq *rq, const char *id)
{
    struct store_funnel f;
    struct store_node n;
    int rc = store_funnel(a->db, slice_str(id), &f);
    rc = rc ? rc : store_node(a->db, f.node_id, &n);
    if (rc) {
        rc < 0 ? reply_broken(rq, rc) : reply_unknown(rq);
        return;
    }
    AUTO(js_freep) struct js *j = funnel_json(a, &n, &f);
    reply_json(rq, 200, j);
}

static void on_probed(void *arg)
{
    struct asked *q = arg;
    struct http_rq *rq = q->rq;
    struct app *a = q->a;
    char id[STORE_ID_SIZE];
    memcpy(id, q->id, sizeof id);
    mem_free(q);
    reply_probed(a, rq, id);
}

static void caller_left(void *arg)
{
    struct asked *q = arg;
    ready_wait_cancel(&q->wait);
    mem_free(q);
}

void api_funnel_probe(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_funnel f;
    struct store_node n;
    if (!find(a, rq, &f, &n)) {
        return;
    }
    const struct ready_rung *rungs = ready_ladder(a, n.id, f.port);
    if (!rungs || wall_now().s - rungs[READY_REACHABLE].at.s < PROBE_PAUSE_S) {
        reply_probed(a, rq, f.stable_id);
        return;
    }
    struct asked *q = mem_new(sizeof *q);
    *q = (struct asked){.a = a, .rq = rq, .wait = {.fn = on_probed, .arg = q}};
    memcpy(q->id, f.stable_id, sizeof q->id);
    http_rq_on_abort(rq, caller_left, q);
    if (!ready_probe(a, n.id, f.port, &q->wait)) {
        on_probed(q);
    }
}
