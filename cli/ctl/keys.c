/* Keys of every kind: auth keys for machines, API keys for people, OAuth clients for programs. */
#include <string.h>

#include "cli/ctl/admin.h"
#include "cli/ctl/commands.h"
#include "lib/base/clock.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"

static const struct js *makes(const struct js *row)
{
    return js_get(js_get(js_get(row, "capabilities"), "devices"), "create");
}

static void cell_kind(const struct js *row, struct ctl_cell *out)
{
    struct slice kind = js_get_str(row, "keyType");
    buf_add(&out->text, kind.n ? kind : S("auth"));
}

static void cell_state(const struct js *row, struct ctl_cell *out)
{
    char now[WALL_TEXT_SIZE];
    struct slice expires = js_get_str(row, "expires");
    bool revoked = js_get_str(row, "revoked").n, invalid = js_get_bool(row, "invalid", false);
    wall_format(wall_now(), now);
    bool over = expires.n && slice_cmp(expires, slice_str(now)) < 0;
    buf_adds(&out->text, revoked ? "revoked" : over ? "expired" : invalid ? "used" : "good");
    out->colour = revoked || invalid ? "\033[31m" : "\033[32m";
}

static void cell_makes(const struct js *row, struct ctl_cell *out)
{
    const struct js *m = makes(row), *tags = js_get(m, "tags"), *scopes = js_get(row, "scopes");
    ctl_cell_word(&out->text, js_get_bool(m, "reusable", false), "reusable");
    ctl_cell_word(&out->text, js_get_bool(m, "ephemeral", false), "ephemeral");
    ctl_cell_word(&out->text, js_get_bool(m, "preauthorized", false), "pre-approved");
    for (size_t i = 0; i < js_len(tags); i++) {
        buf_adds(&out->text, out->text.len ? ", " : "");
        buf_add(&out->text, js_str(js_at(tags, i)));
    }
    for (size_t i = 0; i < js_len(scopes); i++) {
        buf_adds(&out->text, out->text.len ? ", " : "");
        buf_add(&out->text, js_str(js_at(scopes, i)));
    }
}

static const struct ctl_column columns[] = {
    {.title = "ID", .member = "id"},      {.title = "KIND", .fn = cell_kind},
    {.title = "STATE", .fn = cell_state}, {.title = "EXPIRES", .member = "expires"},
    {.title = "MAKES", .fn = cell_makes}, {.title = "DESCRIPTION", .member = "description"},
};

static const struct ctl_column details[] = {
    {.title = "id", .member = "id"},
    {.title = "kind", .fn = cell_kind},
    {.title = "state", .fn = cell_state},
    {.title = "description", .member = "description"},
    {.title = "created", .member = "created"},
    {.title = "expires", .member = "expires"},
    {.title = "revoked", .member = "revoked"},
    {.title = "makes", .fn = cell_makes},
    {.title = "last used", .member = "lastUsed"},
};

static const struct ctl_kind keys = {
    .what = "key",
    .schema = "funnelctl.keys/1",
    .list = CTL_TAILNET "/keys?all=true",
    .object = CTL_TAILNET "/keys/",
    .id = "id",
    .names = {"description"},
    .empty = "no keys: funnelctl keys create",
    .columns = columns,
    .column_count = ARRAY_LEN(columns),
    .details = details,
    .detail_count = ARRAY_LEN(details),
};

int ctl_keys_list(struct ctl *c)
{
    return ctl_list(c, &keys, "");
}

int ctl_keys_show(struct ctl *c)
{
    return ctl_show(c, &keys);
}

int ctl_keys_revoke(struct ctl *c)
{
    return ctl_do(c, &(struct ctl_deed){.kind = &keys,
                                        .method = "DELETE",
                                        .rest = "",
                                        .failed = "cannot revoke the key",
                                        .done = "revoked",
                                        .warns = "whatever uses it is refused from now on"});
}

/* ---- create ---- */

static const char *kind_of(const struct ctl *c)
{
    return c->args.kind ? c->args.kind : "auth";
}

static struct js *device_rights(const struct ctl *c)
{
    struct js *create = js_object(), *devices = js_object(), *all = js_object();
    js_set_bool(create, "reusable", c->args.reusable);
    js_set_bool(create, "ephemeral", c->args.ephemeral);
    js_set_bool(create, "preauthorized", c->args.preauthorized);
    if (c->args.tags) {
        js_set(create, "tags", ctl_words_json(c->args.tags));
    }
    js_set(devices, "create", create);
    js_set(all, "devices", devices);
    return all;
}

static int make_body(const struct ctl *c, struct js *body)
{
    int64_t seconds = 0;
    bool auth = strcmp(kind_of(c), "auth") == 0;
    js_set_cstr(body, "keyType", kind_of(c));
    js_set_cstr(body, "description", c->args.description);
    if (auth) {
        js_set(body, "capabilities", device_rights(c));
    } else if (c->args.tags) {
        js_set(body, "tags", ctl_words_json(c->args.tags));
    }
    if (c->args.scopes) {
        js_set(body, "scopes", ctl_words_json(c->args.scopes));
    }
    int rc = c->args.expires ? ctl_read_duration(c, c->args.expires, &seconds) : 0;
    if (!rc && seconds) {
        js_set_int(body, "expirySeconds", seconds);
    }
    return rc;
}

static int check_kind(const struct ctl *c)
{
    const char *kind = kind_of(c);
    bool auth = strcmp(kind, "auth") == 0;
    if (!auth && strcmp(kind, "api") != 0 && strcmp(kind, "client") != 0) {
        return ctl_complain(c, CTL_USAGE, "there is no such kind of key", kind,
                            "--kind auth, api or client");
    }
    if (!auth && (c->args.reusable || c->args.ephemeral || c->args.preauthorized)) {
        return ctl_complain(c, CTL_USAGE, "only auth keys make machines",
                            "--reusable, --ephemeral, --preauthorized are theirs", "--kind auth");
    }
    return 0;
}

/* The secret alone on stdout: for a file, or a pipe into a vault. It is shown once. */
static int put_secret(const struct ctl *c, const struct js *answer)
{
    struct buf line = BUF_MAX(1 * KIB);
    buf_addf(&line, SLICE_FMT "\n", SLICE_ARG(js_get_str(answer, "key")));
    int rc = ctl_put(c, buf_slice(&line));
    secret_wipe_buf(&line);
    ctl_note_of(c, js_get_str(answer, "id"), "created; the secret is shown this once");
    return rc;
}

int ctl_keys_create(struct ctl *c)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    AUTO(js_freep) struct js *body = js_object();
    AUTO(js_freep) struct js *answer = NULL;
    struct ctl_call call = {"POST", CTL_TAILNET "/keys", body, "cannot create the key"};
    int rc = check_kind(c);
    rc = rc ? rc : make_body(c, body);
    rc = rc ? rc : ctl_remote_open(c, &r);
    rc = rc ? rc : ctl_call(r, &call, &answer);
    if (rc || c->args.json) {
        return rc ? rc : ctl_put_answer(c, keys.schema, answer);
    }
    return put_secret(c, answer);
}
