/* Lines of the audit log: made from a request's identity, read back as JSON, JSON lines or CSV. */
#include "server/audit.h"

#include <errno.h>

#include "lib/base/secret.h"
#include "server/app.h"

enum {
    GROUP_CHARS = 20,
    LIMIT_DEFAULT = 1000, /* Tailscale's list is unpaged; ours says where the next page begins */
    LIMIT_MOST = 10000,
    BODY_MAX = 64 * 1024 * 1024,
};

static void new_group(struct actor *out)
{
    *out = (struct actor){.origin = "CONTROL", .type = "SYSTEM"};
    secret_id(out->group, GROUP_CHARS);
}

void actor_system(struct actor *out)
{
    new_group(out);
    text_fit(out->login, sizeof out->login, "control");
}

void actor_of(struct http_rq *rq, struct actor *out)
{
    const struct identity *id = auth_identity(rq);
    unsigned kind = http_rq_route(rq)->flags & ROUTE_KIND_MASK;
    new_group(out);
    addr_format_ip(http_rq_peer(rq), out->remote);
    if (!id) {
        return;
    }
    if (kind & ROUTE_NODE) {
        out->origin = out->type = "NODE";
        text_fit(out->id, sizeof out->id, "%s", id->node.stable_id);
        text_fit(out->login, sizeof out->login, "%s", id->node.label);
        return;
    }
    out->origin = id->session ? "CONSOLE" : "API";
    out->type = "USER";
    text_fit(out->id, sizeof out->id, "%s", id->user.stable_id);
    text_fit(out->login, sizeof out->login, "%s", id->user.login);
}

int audit_write(struct app *a, const struct actor *by, const struct audit_entry *e)
{
    struct store_event event = {.group = slice_str(by->group),
                                .origin = slice_str(by->origin),
                                .actor_id = slice_str(by->id),
                                .actor_type = slice_str(by->type),
                                .actor = slice_str(by->login),
                                .action = slice_str(e->action),
                                .target_id = slice_str(e->id),
                                .target_type = slice_str(e->type),
                                .target = slice_str(e->name),
                                .property = slice_str(e->property),
                                .detail = e->detail,
                                .old = e->old,
                                .new = e->new,
                                .remote = slice_str(by->remote)};
    return store_event_add(a->db, a->tailnet.id, &event);
}

int audit_own(struct app *a,
              const struct addr *from,
              const struct store_user *u,
              const char *action,
              struct slice detail)
{
    struct actor by;
    new_group(&by);
    by.origin = "CONSOLE";
    by.type = "USER";
    text_fit(by.id, sizeof by.id, "%s", u->stable_id);
    text_fit(by.login, sizeof by.login, "%s", u->login);
    if (from) {
        addr_format_ip(from, by.remote);
    }
    struct audit_entry e = {
        .action = action, .type = "USER", .id = u->stable_id, .name = u->login, .detail = detail};
    return audit_write(a, &by, &e);
}

/* ---- reading ---- */

/* Old and new are JSON where they parse, else text (the policy). */
static struct js *value_of(struct slice text)
{
    char why[80];
    struct js *j = text.n ? js_parse(text, MIB, why, sizeof why) : NULL;
    return j ? j : js_new_str(text);
}

static struct js *row_json(const struct store_event_row *row)
{
    struct js *j = js_object(), *actor = js_object(), *target = js_object();
    char at[WALL_TEXT_SIZE];
    wall_format(row->at, at);
    js_set_cstr(j, "eventTime", at);
    js_set_cstr(j, "type", "CONFIG");
    js_set_str(j, "eventGroupID", row->e.group);
    js_set_str(j, "origin", row->e.origin);
    js_set_str(actor, "id", row->e.actor_id);
    js_set_str(actor, "type", row->e.actor_type);
    js_set_str(actor, "loginName", row->e.actor);
    js_set_str(actor, "displayName", row->e.actor);
    js_set(j, "actor", actor);
    js_set_str(target, "id", row->e.target_id);
    js_set_str(target, "name", row->e.target);
    js_set_str(target, "type", row->e.target_type);
    if (row->e.property.n) {
        js_set_str(target, "property", row->e.property);
    }
    js_set(j, "target", target);
    js_set_str(j, "action", row->e.action);
    js_set(j, "old", value_of(row->e.old));
    js_set(j, "new", value_of(row->e.new));
    js_set_str(j, "actionDetails", row->e.detail);
    if (row->e.error.n) {
        js_set_str(j, "error", row->e.error);
    }
    return j;
}

/* RFC 4180; a cell that a spreadsheet would run begins with a quote. */
static void csv_cell(struct buf *out, struct slice text, char end)
{
    bool formula = text.n && strchr("=+-@\t\r", text.p[0]);
    buf_addc(out, '"');
    if (formula) {
        buf_addc(out, '\'');
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"') {
            buf_addc(out, '"');
        }
        buf_addc(out, text.p[i]);
    }
    buf_addc(out, '"');
    buf_addc(out, end);
}

struct reading {
    enum { AS_JSON, AS_LINES, AS_CSV } form;
    struct js *logs;
    struct buf text;
    int64_t last, count;
};

static void add_row(void *arg, const struct store_event_row *row)
{
    struct reading *r = arg;
    char at[WALL_TEXT_SIZE];
    r->last = row->id;
    r->count++;
    if (r->form == AS_JSON) {
        js_push(r->logs, row_json(row));
    } else if (r->form == AS_LINES) {
        AUTO(js_freep) struct js *j = row_json(row);
        js_write(j, JS_COMPACT, &r->text);
        buf_addc(&r->text, '\n');
    } else {
        wall_format(row->at, at);
        csv_cell(&r->text, slice_str(at), ',');
        csv_cell(&r->text, row->e.group, ',');
        csv_cell(&r->text, row->e.origin, ',');
        csv_cell(&r->text, row->e.actor, ',');
        csv_cell(&r->text, row->e.action, ',');
        csv_cell(&r->text, row->e.target, ',');
        csv_cell(&r->text, row->e.property, ',');
        csv_cell(&r->text, row->e.old, ',');
        csv_cell(&r->text, row->e.new, '\n');
    }
}

static bool read_query(struct app *a, struct http_rq *rq, struct store_event_query *q)
{
    uint64_t n = 0;
    struct slice limit = http_rq_query(rq, "limit"), cursor = http_rq_query(rq, "cursor");
    *q = (struct store_event_query){.tailnet = a->tailnet.id,
                                    .limit = LIMIT_DEFAULT,
                                    .actor = http_rq_query(rq, "actor"),
                                    .action = http_rq_query(rq, "event"),
                                    .target = http_rq_query(rq, "target")};
    if (!wall_parse(http_rq_query(rq, "start"), &q->start) ||
        !wall_parse(http_rq_query(rq, "end"), &q->end)) {
        reply_problem(rq, &(struct problem){400, "query.time",
                                            "start and end must be times such as "
                                            "2026-11-24T00:00:00Z",
                                            "send both"});
        return false;
    }
    if ((limit.n && (!slice_u64(limit, LIMIT_MOST, &n) || !n)) ||
        (cursor.n && !slice_u64(cursor, INT64_MAX, (uint64_t *)&q->after))) {
        reply_problem(rq, &(struct problem){400, "query.page",
                                            "limit must be 1 to 10000, cursor a nextCursor",
                                            "leave both out for the first page"});
        return false;
    }
    q->limit = limit.n ? (int64_t)n : q->limit;
    q->end.s++; /* a whole second, as people mean it */
    return true;
}

static void reply_json_page(struct app *a, struct http_rq *rq, struct reading *r, int64_t limit)
{
    AUTO(js_freep) struct js *j = js_object();
    char cursor[24];
    js_set_cstr(j, "version", "1.1");
    js_set_cstr(j, "tailnet", a->tailnet.name);
    js_set(j, "logs", STEAL(r->logs));
    if (r->count == limit) {
        text_fit(cursor, sizeof cursor, "%lld", (long long)r->last);
        js_set_cstr(j, "nextCursor", cursor);
    }
    reply_json(rq, 200, j);
}

void api_audit(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_event_query q;
    struct slice format = http_rq_query(rq, "format");
    struct reading r = {.form = slice_eq(format, S("csv"))     ? AS_CSV
                                : slice_eq(format, S("jsonl")) ? AS_LINES
                                                               : AS_JSON,
                        .text = BUF_MAX(BODY_MAX)};
    if (!read_query(a, rq, &q)) {
        return;
    }
    r.logs = js_array();
    if (r.form == AS_CSV) {
        buf_adds(&r.text, "time,group,origin,actor,action,target,property,old,new\n");
    }
    if (store_events_each(a->db, &q, add_row, &r) || !buf_ok(&r.text)) {
        reply_broken(rq, -EIO);
    } else if (r.form == AS_JSON) {
        reply_json_page(a, rq, &r, q.limit);
    } else {
        http_rq_add_header(rq, "Cache-Control", "no-store");
        http_rq_reply(rq, 200, r.form == AS_CSV ? "text/csv; charset=utf-8" : "application/jsonl",
                      buf_slice(&r.text));
    }
    js_free(r.logs);
    buf_deinit(&r.text);
}
