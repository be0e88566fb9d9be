/* What is public and who asks to be: public URLs with their readiness, requests, the kill switch.
 */
#include <stdio.h>
#include <string.h>

#include "cli/ctl/admin.h"
#include "cli/ctl/commands.h"
#include "cli/ctl/report.h"
#include "lib/base/text.h"

/* ---- public URLs ---- */

static const char *state_colour(struct slice state)
{
    return slice_eq(state, S("ok"))       ? "\033[32m"
           : slice_eq(state, S("failed")) ? "\033[31m"
                                          : "\033[33m";
}

/* "reachable", or the first step that is not done: "dns failed". */
static void cell_ready(const struct js *row, struct ctl_cell *out)
{
    const struct js *steps = js_get(row, "readiness");
    for (size_t i = 0; i < js_len(steps); i++) {
        struct slice state = js_get_str(js_at(steps, i), "state");
        if (!slice_eq(state, S("ok"))) {
            buf_addf(&out->text, SLICE_FMT " " SLICE_FMT,
                     SLICE_ARG(js_get_str(js_at(steps, i), "step")), SLICE_ARG(state));
            out->colour = state_colour(state);
            return;
        }
    }
    buf_adds(&out->text, js_len(steps) ? "reachable" : "not probed");
    out->colour = js_len(steps) ? "\033[32m" : "\033[33m";
}

static void cell_node(const struct js *row, struct ctl_cell *out)
{
    const struct js *node = js_get(row, "node");
    struct slice name = js_kind(node) == JS_OBJECT ? js_get_str(node, "name") : js_str(node);
    buf_add(&out->text, name);
}

static const struct ctl_column funnel_columns[] = {
    {.title = "URL", .member = "url"},     {.title = "READY", .fn = cell_ready},
    {.title = "OWNER", .member = "user"},  {.title = "TARGET", .member = "target"},
    {.title = "SINCE", .member = "since"}, {.title = "ENDS", .member = "expires"},
};

static const struct ctl_column funnel_details[] = {
    {.title = "url", .member = "url"},       {.title = "id", .member = "id"},
    {.title = "node", .fn = cell_node},      {.title = "owner", .member = "user"},
    {.title = "port", .member = "port"},     {.title = "kind", .member = "kind"},
    {.title = "target", .member = "target"}, {.title = "granted by", .member = "grant"},
    {.title = "since", .member = "since"},   {.title = "ends", .member = "expires"},
    {.title = "ready", .fn = cell_ready},
};

static const struct ctl_kind funnels = {
    .what = "funnel",
    .schema = "funnelctl.funnels/1",
    .list = CTL_TAILNET "/funnels",
    .object = CTL_API "/funnels/",
    .id = "id",
    .names = {"url"},
    .empty = "nothing is public: on a machine, funnel 3000",
    .columns = funnel_columns,
    .column_count = ARRAY_LEN(funnel_columns),
    .details = funnel_details,
    .detail_count = ARRAY_LEN(funnel_details),
};

int ctl_funnels_list(struct ctl *c)
{
    return ctl_list(c, &funnels, "");
}

int ctl_funnels_off(struct ctl *c)
{
    return ctl_do(c, &(struct ctl_deed){.kind = &funnels,
                                        .method = "DELETE",
                                        .rest = "",
                                        .failed = "cannot turn it off",
                                        .done = "off",
                                        .warns = "visitors are cut off at once"});
}

int ctl_funnels_probe(struct ctl *c)
{
    return ctl_do(c, &(struct ctl_deed){.kind = &funnels,
                                        .method = "POST",
                                        .rest = "/probe",
                                        .failed = "cannot probe it",
                                        .done = "a probe is under way"});
}

/* A line each step: what, how it stands, why, and the fix. */
static void cell_step(const struct js *row, struct ctl_cell *out)
{
    struct slice state = js_get_str(row, "state");
    buf_add(&out->text, state);
    out->colour = state_colour(state);
}

static const struct ctl_column step_columns[] = {
    {.title = "STEP", .member = "step"}, {.title = "STATE", .fn = cell_step},
    {.title = "SEEN", .member = "at"},   {.title = "WHAT", .member = "text"},
    {.title = "FIX", .member = "fix"},
};

int ctl_funnels_show(struct ctl *c)
{
    AUTO(js_freep) struct js *whole = NULL;
    int rc = ctl_get_object(c, &funnels, &whole);
    if (rc || c->args.json) {
        return rc ? rc : ctl_put_answer(c, funnels.schema, whole);
    }
    ctl_put_record(c, funnel_details, ARRAY_LEN(funnel_details), whole);
    if (js_len(js_get(whole, "readiness"))) {
        putchar('\n');
        ctl_put_table(c, step_columns, ARRAY_LEN(step_columns), js_get(whole, "readiness"));
    }
    return CTL_OK;
}

/* ---- requests ---- */

static void cell_request_state(const struct js *row, struct ctl_cell *out)
{
    struct slice state = js_get_str(row, "state");
    buf_add(&out->text, state);
    out->colour = slice_eq(state, S("pending"))   ? "\033[33m"
                  : slice_eq(state, S("granted")) ? "\033[32m"
                                                  : "";
}

static const struct ctl_column request_columns[] = {
    {.title = "ID", .member = "id"},
    {.title = "STATE", .fn = cell_request_state},
    {.title = "NODE", .fn = cell_node},
    {.title = "USER", .member = "user"},
    {.title = "PORT", .member = "port", .right = true},
    {.title = "TARGET", .member = "target"},
    {.title = "CREATED", .member = "created"},
    {.title = "REASON", .member = "reason"},
};

static const struct ctl_column request_details[] = {
    {.title = "id", .member = "id"},           {.title = "state", .fn = cell_request_state},
    {.title = "node", .fn = cell_node},        {.title = "user", .member = "user"},
    {.title = "url", .member = "url"},         {.title = "port", .member = "port"},
    {.title = "target", .member = "target"},   {.title = "from", .member = "remote"},
    {.title = "created", .member = "created"}, {.title = "expires", .member = "expires"},
    {.title = "reason", .member = "reason"},   {.title = "decided by", .member = "decidedBy"},
    {.title = "decided", .member = "decided"},
};

static const struct ctl_kind requests = {
    .what = "request",
    .schema = "funnelctl.requests/1",
    .list = CTL_TAILNET "/funnel-requests",
    .object = CTL_API "/funnel-requests/",
    .id = "id",
    .names = {NULL},
    .empty = "no requests",
    .columns = request_columns,
    .column_count = ARRAY_LEN(request_columns),
    .details = request_details,
    .detail_count = ARRAY_LEN(request_details),
};

int ctl_requests_list(struct ctl *c)
{
    struct buf query = BUF_MAX(128);
    if (c->args.state) {
        buf_adds(&query, "?state=");
        text_percent(&query, slice_str(c->args.state));
    }
    int rc = ctl_list(c, &requests, buf_cstr(&query));
    buf_deinit(&query);
    return rc;
}

/* What each width of a grant would change; the one that is preselected in full. */
static int put_choices(const struct ctl *c, const struct js *changes)
{
    const struct js *choices = js_get(changes, "choices");
    struct slice preselected = js_get_str(changes, "preselected");
    int rc = 0;
    for (size_t i = 0; i < js_len(choices); i++) {
        const struct js *one = js_at(choices, i);
        bool chosen = slice_eq(js_get_str(one, "grant"), preselected);
        printf("\n%s--grant ", ctl_paint(c->colour_out && chosen, "\033[1m"));
        ctl_put_clean(stdout, c->utf8, js_get_str(one, "grant"));
        printf("%s  ", ctl_paint(c->colour_out && chosen, "\033[0m"));
        struct slice why = js_get_str(one, "why");
        ctl_put_clean(stdout, c->utf8, why.n ? why : js_get_str(one, "text"));
        puts(chosen ? " (preselected)" : "");
        if (chosen && !rc) {
            rc = ctl_put_diff(c, "policy", "policy with it", js_get_str(one, "diff"));
        }
    }
    return rc;
}

/* With the change that approving makes. */
int ctl_requests_show(struct ctl *c)
{
    AUTO(js_freep) struct js *whole = NULL;
    int rc = ctl_get_object(c, &requests, &whole);
    if (rc || c->args.json) {
        return rc ? rc : ctl_put_answer(c, requests.schema, whole);
    }
    ctl_put_record(c, request_details, ARRAY_LEN(request_details), whole);
    return put_choices(c, js_get(whole, "changes"));
}

/* The ports of --ports "443,8443" as numbers. */
static int add_ports(const struct ctl *c, struct js *body)
{
    struct slice rest = slice_str(c->args.ports), word;
    struct js *ports = js_array();
    while (slice_split(&rest, ',', &word)) {
        uint64_t port;
        if (!slice_u64(slice_trim(word), UINT16_MAX, &port) || !port) {
            js_free(ports);
            return ctl_complain(c, CTL_USAGE, "these are no ports", c->args.ports,
                                "--ports 443,8443");
        }
        js_push(ports, js_new_int((int64_t)port));
    }
    js_set(body, "ports", ports);
    return 0;
}

int ctl_requests_approve(struct ctl *c)
{
    struct js *body = js_object();
    int64_t seconds = 0;
    int rc = c->args.ports ? add_ports(c, body) : 0;
    rc = rc || !c->args.expires ? rc : ctl_read_duration(c, c->args.expires, &seconds);
    if (rc) {
        js_free(body);
        return rc;
    }
    js_set_cstr(body, "grant", c->args.grant);
    js_set_cstr(body, "matchCode", c->args.code);
    if (seconds) {
        js_set_int(body, "expires", seconds);
    }
    return ctl_do(c, &(struct ctl_deed){.kind = &requests,
                                        .method = "POST",
                                        .rest = "/approve",
                                        .failed = "the request was not approved",
                                        .done = "approved; the waiting command goes on",
                                        .body = body});
}

int ctl_requests_deny(struct ctl *c)
{
    struct js *body = js_object();
    js_set_cstr(body, "reason", c->args.reason);
    return ctl_do(c, &(struct ctl_deed){.kind = &requests,
                                        .method = "POST",
                                        .rest = "/deny",
                                        .failed = "the request was not denied",
                                        .done = "denied",
                                        .body = body});
}

/* ---- the kill switch ---- */

static int read_switch(const struct ctl *c, bool *out_on)
{
    const char *word = c->args.words[0];
    *out_on = strcmp(word, "on") == 0;
    return *out_on || strcmp(word, "off") == 0
               ? 0
               : ctl_complain(c, CTL_USAGE, "on or off?", word, "funnelctl kill-switch on");
}

int ctl_kill_switch(struct ctl *c)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    AUTO(js_freep) struct js *body = js_object();
    AUTO(js_freep) struct js *answer = NULL;
    bool on = false;
    int rc = read_switch(c, &on);
    if (!rc && on && !ctl_agreed(c, "Every public URL of the tailnet goes off at once.")) {
        return CTL_REFUSED;
    }
    js_set_cstr(body, "reason", c->args.reason);
    struct ctl_call call = {on ? "POST" : "DELETE", CTL_TAILNET "/funnel-lock", on ? body : NULL,
                            on ? "the kill switch was not thrown" : "nothing was opened again"};
    rc = rc ? rc : ctl_remote_open(c, &r);
    rc = rc ? rc : ctl_call(r, &call, &answer);
    if (!rc && !c->args.json) {
        ctl_note(c, on ? "every public URL is off; funnelctl kill-switch off opens them again"
                       : "public URLs are served again");
    }
    return rc ? rc : ctl_put_answer(c, "funnelctl.kill-switch/1", answer);
}
