/* Users and invitations. */
#include "cli/ctl/admin.h"
#include "cli/ctl/commands.h"
#include "lib/base/text.h"

/* ---- users ---- */

static void cell_status(const struct js *row, struct ctl_cell *out)
{
    struct slice status = js_get_str(row, "status");
    buf_add(&out->text, status);
    out->colour = slice_eq(status, S("active"))           ? "\033[32m"
                  : slice_eq(status, S("needs-approval")) ? "\033[33m"
                  : slice_eq(status, S("suspended"))      ? "\033[31m"
                                                          : "";
}

static const struct ctl_column user_columns[] = {
    {.title = "LOGIN", .member = "loginName"},
    {.title = "NAME", .member = "displayName"},
    {.title = "ROLE", .member = "role"},
    {.title = "STATUS", .fn = cell_status},
    {.title = "MACHINES", .member = "deviceCount", .right = true},
    {.title = "LAST SEEN", .member = "lastSeen"},
};

static const struct ctl_column user_details[] = {
    {.title = "login", .member = "loginName"}, {.title = "name", .member = "displayName"},
    {.title = "id", .member = "id"},           {.title = "role", .member = "role"},
    {.title = "status", .fn = cell_status},    {.title = "machines", .member = "deviceCount"},
    {.title = "created", .member = "created"}, {.title = "last seen", .member = "lastSeen"},
};

static const struct ctl_kind users = {
    .what = "user",
    .schema = "funnelctl.users/1",
    .list = CTL_TAILNET "/users",
    .object = CTL_API "/users/",
    .id = "id",
    .names = {"loginName"},
    .empty = "no users yet: funnelctl invite LOGIN",
    .columns = user_columns,
    .column_count = ARRAY_LEN(user_columns),
    .details = user_details,
    .detail_count = ARRAY_LEN(user_details),
};

int ctl_users_list(struct ctl *c)
{
    return ctl_list(c, &users, "");
}

int ctl_users_show(struct ctl *c)
{
    return ctl_show(c, &users);
}

int ctl_users_role(struct ctl *c)
{
    struct js *body = js_object();
    js_set_cstr(body, "role", c->args.words[1]);
    return ctl_do(c, &(struct ctl_deed){.kind = &users,
                                        .method = "POST",
                                        .rest = "/role",
                                        .failed = "cannot change the role",
                                        .done = "has the new role",
                                        .body = body});
}

int ctl_users_approve(struct ctl *c)
{
    return ctl_do(c, &(struct ctl_deed){.kind = &users,
                                        .method = "POST",
                                        .rest = "/approve",
                                        .failed = "cannot approve the user",
                                        .done = "approved"});
}

int ctl_users_suspend(struct ctl *c)
{
    return ctl_do(c, &(struct ctl_deed){.kind = &users,
                                        .method = "POST",
                                        .rest = "/suspend",
                                        .failed = "cannot suspend the user",
                                        .done = "suspended",
                                        .warns = "signed out everywhere, and the public URLs of "
                                                 "their machines stop"});
}

int ctl_users_restore(struct ctl *c)
{
    return ctl_do(c, &(struct ctl_deed){.kind = &users,
                                        .method = "POST",
                                        .rest = "/restore",
                                        .failed = "cannot restore the user",
                                        .done = "restored"});
}

int ctl_users_delete(struct ctl *c)
{
    return ctl_do(c, &(struct ctl_deed){.kind = &users,
                                        .method = "POST",
                                        .rest = "/delete",
                                        .failed = "cannot delete the user",
                                        .done = "deleted",
                                        .warns = "gone with their machines, keys and public URLs"});
}

/* ---- invitations ---- */

static const struct ctl_column invite_columns[] = {
    {.title = "LOGIN", .member = "email"},
    {.title = "ROLE", .member = "role"},
    {.title = "EXPIRES", .member = "expires"},
    {.title = "ID", .member = "id"},
};

static const struct ctl_kind invites = {
    .what = "invite",
    .schema = "funnelctl.invites/1",
    .list = CTL_TAILNET "/user-invites",
    .object = CTL_API "/user-invites/",
    .id = "id",
    .names = {"email"},
    .empty = "nobody is invited: funnelctl invite LOGIN",
    .columns = invite_columns,
    .column_count = ARRAY_LEN(invite_columns),
    .details = invite_columns,
    .detail_count = ARRAY_LEN(invite_columns),
};

int ctl_invites_list(struct ctl *c)
{
    return ctl_list(c, &invites, "");
}

int ctl_invites_delete(struct ctl *c)
{
    return ctl_do(c, &(struct ctl_deed){.kind = &invites,
                                        .method = "DELETE",
                                        .rest = "",
                                        .failed = "cannot take the invitation back",
                                        .done = "the link no longer works"});
}

/* Tailscale's shape: an array of invitations in, an array out. */
static struct js *invite_body(const struct ctl *c)
{
    struct js *one = js_object(), *all = js_array();
    js_set_cstr(one, "role", c->args.role ? c->args.role : "member");
    js_set_cstr(one, "email", c->args.words[0]);
    js_push(all, one);
    return all;
}

int ctl_invite(struct ctl *c)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    AUTO(js_freep) struct js *body = invite_body(c);
    AUTO(js_freep) struct js *answer = NULL;
    struct ctl_call call = {"POST", invites.list, body, "cannot invite"};
    int rc = ctl_remote_open(c, &r);
    rc = rc ? rc : ctl_call(r, &call, &answer);
    if (rc || c->args.json) {
        return rc ? rc : ctl_put_answer(c, invites.schema, answer);
    }
    struct slice url = js_get_str(js_at(ctl_rows(answer), 0), "inviteUrl");
    struct buf line = BUF_MAX(1 * KIB);
    buf_addf(&line, SLICE_FMT "\n", SLICE_ARG(url));
    rc = ctl_put(c, buf_slice(&line));
    buf_deinit(&line);
    ctl_note_of(c, slice_str(c->args.words[0]), "invited; the link works once, send it to them");
    return rc;
}
