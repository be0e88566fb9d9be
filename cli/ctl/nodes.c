/* Machines: list, show, approve, rename, tag, expire, delete. */
#include "cli/ctl/admin.h"
#include "cli/ctl/commands.h"
#include "lib/base/text.h"

static void cell_addresses(const struct js *row, struct ctl_cell *out)
{
    buf_add(&out->text, js_str(js_at(js_get(row, "addresses"), 0)));
}

/* Who owns it: a person, or its tags. */
static void cell_owner(const struct js *row, struct ctl_cell *out)
{
    const struct js *tags = js_get(row, "tags");
    for (size_t i = 0; i < js_len(tags); i++) {
        buf_adds(&out->text, i ? ", " : "");
        buf_add(&out->text, js_str(js_at(tags, i)));
    }
    if (!js_len(tags)) {
        buf_add(&out->text, js_get_str(row, "user"));
    }
}

/* The server leaves lastSeen out while the machine is connected. */
static void cell_seen(const struct js *row, struct ctl_cell *out)
{
    struct slice seen = js_get_str(row, "lastSeen");
    if (js_get_bool(row, "connectedToControl", !seen.n)) {
        buf_adds(&out->text, "connected");
        out->colour = "\033[32m";
    } else {
        ctl_cell_time(seen, &out->text);
    }
}

static void cell_notes(const struct js *row, struct ctl_cell *out)
{
    bool waits = !js_get_bool(row, "authorized", true);
    ctl_cell_word(&out->text, waits, "needs approval");
    ctl_cell_word(&out->text, js_get_bool(row, "keyExpired", false), "key expired");
    ctl_cell_word(&out->text, js_get_bool(row, "isEphemeral", false), "ephemeral");
    ctl_cell_word(&out->text, js_get_bool(row, "funnel", false), "funnel");
    out->colour = waits ? "\033[33m" : "";
}

static const struct ctl_column columns[] = {
    {.title = "NAME", .member = "name"},        {.title = "OWNER", .fn = cell_owner},
    {.title = "ADDRESS", .fn = cell_addresses}, {.title = "OS", .member = "os"},
    {.title = "LAST SEEN", .fn = cell_seen},    {.title = "NOTES", .fn = cell_notes},
};

static const struct ctl_column details[] = {
    {.title = "name", .member = "name"},
    {.title = "id", .member = "nodeId"},
    {.title = "host name", .member = "hostname"},
    {.title = "owner", .fn = cell_owner},
    {.title = "addresses", .member = "addresses"},
    {.title = "os", .member = "os"},
    {.title = "version", .member = "clientVersion"},
    {.title = "created", .member = "created"},
    {.title = "last seen", .fn = cell_seen},
    {.title = "key expires", .member = "expires"},
    {.title = "key expiry off", .member = "keyExpiryDisabled"},
    {.title = "notes", .fn = cell_notes},
};

static const struct ctl_kind nodes = {
    .what = "node",
    .schema = "funnelctl.nodes/1",
    .list = CTL_TAILNET "/devices?fields=all",
    .object = CTL_API "/device/",
    .id = "nodeId",
    .names = {"name", "hostname", "id"},
    .empty = "no machines yet: funnelctl keys create; then on the machine: funnel up --auth-key "
             "file:PATH",
    .columns = columns,
    .column_count = ARRAY_LEN(columns),
    .details = details,
    .detail_count = ARRAY_LEN(details),
};

int ctl_nodes_list(struct ctl *c)
{
    return ctl_list(c, &nodes, "");
}

int ctl_nodes_show(struct ctl *c)
{
    return ctl_show(c, &nodes);
}

int ctl_nodes_approve(struct ctl *c)
{
    struct js *body = js_object();
    js_set_bool(body, "authorized", true);
    return ctl_do(c, &(struct ctl_deed){.kind = &nodes,
                                        .method = "POST",
                                        .rest = "/authorized",
                                        .failed = "cannot approve the node",
                                        .done = "approved",
                                        .body = body});
}

int ctl_nodes_rename(struct ctl *c)
{
    struct js *body = js_object();
    js_set_cstr(body, "name", c->args.words[1]);
    return ctl_do(c, &(struct ctl_deed){.kind = &nodes,
                                        .method = "POST",
                                        .rest = "/name",
                                        .failed = "cannot rename the node",
                                        .done = "renamed",
                                        .warns = "its public URLs change with its name, the old "
                                                 "ones stop working",
                                        .body = body});
}

/* Tags take the machine's person away; no tag at all gives it back to nobody: the server says. */
int ctl_nodes_tag(struct ctl *c)
{
    struct js *body = js_object(), *tags = js_array();
    for (size_t i = 1; i < c->args.word_count; i++) {
        js_push_str(tags, slice_str(c->args.words[i]));
    }
    js_set(body, "tags", tags);
    return ctl_do(c, &(struct ctl_deed){.kind = &nodes,
                                        .method = "POST",
                                        .rest = "/tags",
                                        .failed = "cannot tag the node",
                                        .done = "tags set",
                                        .body = body});
}

int ctl_nodes_expire(struct ctl *c)
{
    return ctl_do(c, &(struct ctl_deed){.kind = &nodes,
                                        .method = "POST",
                                        .rest = "/expire",
                                        .failed = "cannot expire the node's key",
                                        .done = "its key has expired",
                                        .warns = "its public URLs stop until somebody signs in on "
                                                 "it again"});
}

int ctl_nodes_delete(struct ctl *c)
{
    return ctl_do(c, &(struct ctl_deed){.kind = &nodes,
                                        .method = "DELETE",
                                        .rest = "",
                                        .failed = "cannot delete the node",
                                        .done = "deleted",
                                        .warns = "its public URLs stop at once, and its name "
                                                 "becomes free"});
}
