/* What was done and who is told: the audit log, webhooks; and who we are. */
#include <stdio.h>
#include <time.h>

#include "cli/ctl/admin.h"
#include "cli/ctl/commands.h"
#include "lib/base/clock.h"
#include "lib/base/text.h"

/* ---- whoami ---- */

static const struct ctl_column who_columns[] = {
    {.title = "login", .member = "loginName"}, {.title = "name", .member = "displayName"},
    {.title = "id", .member = "id"},           {.title = "role", .member = "role"},
    {.title = "tailnet", .member = "tailnet"}, {.title = "permissions", .member = "permissions"},
};

static int get_one(struct ctl *c, const char *path, const char *failed, struct js **out)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    int rc = ctl_remote_open(c, &r);
    return rc ? rc : ctl_call(r, &(struct ctl_call){"GET", path, NULL, failed}, out);
}

int ctl_whoami(struct ctl *c)
{
    AUTO(js_freep) struct js *j = NULL;
    int rc = get_one(c, CTL_API "/whoami", "cannot tell who you are", &j);
    if (rc || c->args.json) {
        return rc ? rc : ctl_put_answer(c, "funnelctl.whoami/1", j);
    }
    ctl_put_record(c, who_columns, ARRAY_LEN(who_columns), j);
    return CTL_OK;
}

/* ---- status ---- */

/* How many rows of a list there are, and of how many `test` holds. */
struct tally {
    const char *path, *failed;
    bool (*test)(const struct js *row);
    size_t count, marked;
};

static bool is_ready(const struct js *row)
{
    const struct js *steps = js_get(row, "readiness");
    for (size_t i = 0; i < js_len(steps); i++) {
        if (!slice_eq(js_get_str(js_at(steps, i), "state"), S("ok"))) {
            return false;
        }
    }
    return js_len(steps) > 0;
}

static bool waits(const struct js *row)
{
    return !js_get_bool(row, "authorized", true);
}

static bool needs_approval(const struct js *row)
{
    return slice_eq(js_get_str(row, "status"), S("needs-approval"));
}

static bool any(const struct js *row)
{
    return row != NULL;
}

static int take(struct ctl_remote *r, struct tally *t)
{
    AUTO(js_freep) struct js *j = NULL;
    int rc = ctl_call(r, &(struct ctl_call){"GET", t->path, NULL, t->failed}, &j);
    const struct js *rows = rc ? NULL : ctl_rows(j);
    t->count = js_len(rows);
    for (size_t i = 0; i < t->count; i++) {
        t->marked += t->test(js_at(rows, i));
    }
    return rc;
}

static void put_tally(
    const struct ctl *c, const char *title, const struct tally *t, const char *word, bool good)
{
    bool notable = good ? t->marked < t->count : t->marked > 0;
    printf("%-10s%5zu   %s%zu %s%s\n", title, t->count,
           ctl_paint(c->colour_out && notable, "\033[33m"), t->marked, word,
           ctl_paint(c->colour_out && notable, "\033[0m"));
}

static int put_status_json(const struct ctl *c, const struct ctl_remote *r, const struct tally *t)
{
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "server", ctl_remote_url(r));
    js_set_int(j, "funnels", (int64_t)t[0].count);
    js_set_int(j, "funnelsReachable", (int64_t)t[0].marked);
    js_set_int(j, "requestsPending", (int64_t)t[1].count);
    js_set_int(j, "nodes", (int64_t)t[2].count);
    js_set_int(j, "nodesNeedApproval", (int64_t)t[2].marked);
    js_set_int(j, "users", (int64_t)t[3].count);
    js_set_int(j, "usersNeedApproval", (int64_t)t[3].marked);
    return ctl_put_answer(c, "funnelctl.status/1", j);
}

int ctl_status(struct ctl *c)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    struct tally t[] = {
        {CTL_TAILNET "/funnels", "cannot list what is public", is_ready, 0, 0},
        {CTL_TAILNET "/funnel-requests?state=pending", "cannot list requests", any, 0, 0},
        {CTL_TAILNET "/devices", "cannot list the nodes", waits, 0, 0},
        {CTL_TAILNET "/users", "cannot list the users", needs_approval, 0, 0},
    };
    int rc = ctl_remote_open(c, &r);
    for (size_t i = 0; !rc && i < ARRAY_LEN(t); i++) {
        rc = take(r, &t[i]);
    }
    if (rc || c->args.json) {
        return rc ? rc : put_status_json(c, r, t);
    }
    printf("%s%s%s\n\n", ctl_paint(c->colour_out, "\033[1m"), ctl_remote_url(r),
           ctl_paint(c->colour_out, "\033[0m"));
    put_tally(c, "public", &t[0], "reachable from outside", true);
    put_tally(c, "requests", &t[1], "waiting for somebody to decide", false);
    put_tally(c, "machines", &t[2], "waiting for approval", false);
    put_tally(c, "users", &t[3], "waiting for approval", false);
    return CTL_OK;
}

/* ---- the audit log ---- */

static void cell_actor(const struct js *row, struct ctl_cell *out)
{
    buf_add(&out->text, js_get_str(js_get(row, "actor"), "loginName"));
}

static void cell_target(const struct js *row, struct ctl_cell *out)
{
    buf_add(&out->text, js_get_str(js_get(row, "target"), "name"));
}

static void cell_error(const struct js *row, struct ctl_cell *out)
{
    struct slice error = js_get_str(row, "error");
    buf_add(&out->text, error.n ? error : js_get_str(row, "actionDetails"));
    out->colour = error.n ? "\033[31m" : "";
}

static const struct ctl_column audit_columns[] = {
    {.title = "WHEN", .member = "eventTime"}, {.title = "WHO", .fn = cell_actor},
    {.title = "ACTION", .member = "action"},  {.title = "WHAT", .fn = cell_target},
    {.title = "VIA", .member = "origin"},     {.title = "DETAILS", .fn = cell_error},
};

static void add_query(struct buf *path, const char *name, struct slice value)
{
    buf_addf(path, "%s%s=", slice_find(buf_slice(path), '?') < 0 ? "?" : "&", name);
    text_percent(path, value);
}

/* --start and --end as given, or the last week. */
static void audit_path(const struct ctl *c, struct buf *path)
{
    enum { WEEK = 7 * 24 * 3600 };

    char start[WALL_TEXT_SIZE], end[WALL_TEXT_SIZE];
    struct wall now = wall_now(), then = now;
    then.s -= WEEK;
    now.s += 60; /* what is being written now belongs to it */
    wall_format(then, start);
    wall_format(now, end);
    buf_adds(path, CTL_TAILNET "/logging/configuration");
    add_query(path, "start", slice_str(c->args.start ? c->args.start : start));
    add_query(path, "end", slice_str(c->args.end ? c->args.end : end));

    const struct {
        const char *name, *value;
    } filters[] = {{"actor", c->args.actor}, {"event", c->args.event}, {"limit", c->args.limit}};

    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        if (filters[i].value) {
            add_query(path, filters[i].name, slice_str(filters[i].value));
        }
    }
}

int ctl_audit(struct ctl *c)
{
    AUTO(js_freep) struct js *j = NULL;
    struct buf path = BUF_MAX(2 * KIB);
    audit_path(c, &path);
    int rc = get_one(c, buf_cstr(&path), "cannot read the audit log", &j);
    buf_deinit(&path);
    if (rc || c->args.json) {
        return rc ? rc : ctl_put_answer(c, "funnelctl.audit/1", j);
    }
    if (js_len(js_get(j, "logs"))) {
        ctl_put_table(c, audit_columns, ARRAY_LEN(audit_columns), js_get(j, "logs"));
    } else {
        ctl_note(c, "nothing was recorded in this time; --start goes further back");
    }
    return CTL_OK;
}

/* ---- webhooks ---- */

static const struct ctl_column hook_columns[] = {
    {.title = "ID", .member = "endpointId"},
    {.title = "URL", .member = "endpointUrl"},
    {.title = "EVENTS", .member = "subscriptions"},
    {.title = "BY", .member = "creatorLoginName"},
};

static const struct ctl_kind hooks = {
    .what = "webhook",
    .schema = "funnelctl.webhooks/1",
    .list = CTL_TAILNET "/webhooks",
    .object = CTL_API "/webhooks/",
    .id = "endpointId",
    .names = {"endpointUrl"},
    .empty = "no webhooks: funnelctl webhooks create URL --events funnelRequested",
    .columns = hook_columns,
    .column_count = ARRAY_LEN(hook_columns),
    .details = hook_columns,
    .detail_count = ARRAY_LEN(hook_columns),
};

int ctl_webhooks_list(struct ctl *c)
{
    return ctl_list(c, &hooks, "");
}

int ctl_webhooks_create(struct ctl *c)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    AUTO(js_freep) struct js *body = js_object();
    AUTO(js_freep) struct js *answer = NULL;
    if (!c->args.events) {
        return ctl_complain(c, CTL_USAGE, "which events?", "a webhook without events says nothing",
                            "--events funnelRequested,nodeCreated");
    }
    js_set_cstr(body, "endpointUrl", c->args.words[0]);
    js_set(body, "subscriptions", ctl_words_json(c->args.events));
    struct ctl_call call = {"POST", hooks.list, body, "cannot create the webhook"};
    int rc = ctl_remote_open(c, &r);
    rc = rc ? rc : ctl_call(r, &call, &answer);
    if (rc || c->args.json) {
        return rc ? rc : ctl_put_answer(c, hooks.schema, answer);
    }
    struct buf line = BUF_MAX(1 * KIB);
    buf_addf(&line, SLICE_FMT "\n", SLICE_ARG(js_get_str(answer, "secret")));
    rc = ctl_put(c, buf_slice(&line));
    buf_deinit(&line);
    ctl_note_of(c, js_get_str(answer, "endpointId"),
                "created; the secret that signs its calls is shown this once");
    return rc;
}

int ctl_webhooks_delete(struct ctl *c)
{
    return ctl_do(c, &(struct ctl_deed){.kind = &hooks,
                                        .method = "DELETE",
                                        .rest = "",
                                        .failed = "cannot delete the webhook",
                                        .done = "deleted"});
}

int ctl_webhooks_test(struct ctl *c)
{
    return ctl_do(c, &(struct ctl_deed){.kind = &hooks,
                                        .method = "POST",
                                        .rest = "/test",
                                        .failed = "cannot send the test event",
                                        .done = "a test event is on its way"});
}
