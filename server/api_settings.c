/* GET and PATCH of the tailnet's settings: HTTPS, how the policy may be edited (policy.md 6.3 and
 * 6.5), and the table of settings.c. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "server/app.h"
#include "server/settings.h"

static struct js *settings_json(struct app *a, const struct store_policy_settings *s, bool https)
{
    struct js *j = js_object();
    settings_put(a, j);
    js_set_bool(j, "httpsEnabled", https);
    js_set_bool(j, "aclsExternallyManagedOn", s->locked);
    js_set_cstr(j, "aclsExternalLink", s->link);
    js_set_bool(j, "policyRequireIfMatch", s->require_if_match);
    js_set_bool(j, "policyFormatOnSave", s->format_on_save);
    return j;
}

static void answer(struct app *a, struct http_rq *rq)
{
    AUTO(js_freep)
    struct js *j = settings_json(a, policy_state_settings(a), a->tailnet.https_enabled);
    rest_object(rq, j);
}

void api_settings_get(void *app, struct http_rq *rq)
{
    answer(app, rq);
}

/* null is "unchanged": absent. False: not a boolean. */
static bool take_bool(const struct js *j, const char *name, bool *out)
{
    const struct js *v = js_get(j, name);
    if (!v || js_kind(v) == JS_NULL) {
        return true;
    }
    *out = js_get_bool(j, name, *out);
    return js_kind(v) == JS_BOOL;
}

/* A page will show it as a link. */
static bool take_link(const struct js *j, char *out, size_t size)
{
    const struct js *v = js_get(j, "aclsExternalLink");
    if (!v || js_kind(v) == JS_NULL) {
        return true;
    }
    struct slice link = js_str(v);
    return js_kind(v) == JS_STR && text_printable(link, size - 1) &&
           (!link.n || slice_starts(link, S("https://")) || slice_starts(link, S("http://"))) &&
           slice_copy(link, out, size);
}

static void
write_settings(struct app *a, struct buf *out, const struct store_policy_settings *s, bool https)
{
    AUTO(js_freep) struct js *j = settings_json(a, s, https);
    js_write(j, JS_COMPACT, out);
}

struct change {
    const struct js *patch;
    struct store_policy_settings policy;
    bool https;
};

static int
audit(struct app *a, const struct actor *by, const struct change *c, const struct buf *before)
{
    struct buf after = BUF_MAX(4096);
    write_settings(a, &after, &c->policy, c->https);
    struct audit_entry e = {.action = "TAILNET.UPDATE.SETTINGS",
                            .type = "TAILNET",
                            .id = a->tailnet.stable_id,
                            .name = a->tailnet.name,
                            .property = "SETTINGS",
                            .old = buf_slice(before),
                            .new = buf_slice(&after)};
    int rc = audit_write(a, by, &e);
    buf_deinit(&after);
    return rc;
}

static int store_settings(struct app *a, const struct actor *by, const struct change *c)
{
    struct buf before = BUF_MAX(4096);
    write_settings(a, &before, policy_state_settings(a), a->tailnet.https_enabled);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_policy_settings_set(a->db, a->tailnet.id, &c->policy) : -EIO;
    rc = rc || c->https == a->tailnet.https_enabled
             ? rc
             : store_tailnet_https(a->db, a->tailnet.id, c->https);
    rc = rc ? rc : settings_store(a, c->patch);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "settings", 0);
    rc = rc ? rc : audit(a, by, c, &before);
    buf_deinit(&before);
    return rc ? rc : db_commit(&tx);
}

static bool names_policy(const struct js *patch)
{
    static const char *const names[] = {"aclsExternallyManagedOn", "aclsExternalLink",
                                        "policyRequireIfMatch", "policyFormatOnSave"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct js *v = js_get(patch, names[i]);
        if (v && js_kind(v) != JS_NULL) {
            return true;
        }
    }
    return false;
}

/* A token's scope for settings is none for HTTPS or the policy. False after an answer. */
static bool scopes_reach(struct app *a, struct http_rq *rq, const struct change *c)
{
    const struct identity *id = auth_identity(rq);
    bool https = c->https == a->tailnet.https_enabled ||
                 scopes_allow(&id->scopes, SCOPE_NETWORKING_SETTINGS, true);
    bool policy = !names_policy(c->patch) || scopes_allow(&id->scopes, SCOPE_POLICY_FILE, true);
    char text[120];
    if (!id->scoped || (https && policy)) {
        return true;
    }
    text_cut(text, sizeof text, "the token does not hold the scope %s",
             scope_name(https ? SCOPE_POLICY_FILE : SCOPE_NETWORKING_SETTINGS));
    reply_problem(rq, &(struct problem){403, "scope.missing", text,
                                        "ask for a token of a client that has this scope"});
    return false;
}

/* Every member asks for a right of its own; a switch that stays as it is asks for none. */
static bool may(struct app *a, struct http_rq *rq, const struct change *c)
{
    const struct identity *id = auth_identity(rq);
    enum policy_role role = POLICY_MEMBER;
    char text[160];
    err_ignore(!policy_role_parse(slice_str(id->user.role), &role));
    enum permission p = settings_lacking(a, c->patch, role);
    if (names_policy(c->patch) && !role_may(role, PERM_POLICY_WRITE)) {
        p = PERM_POLICY_WRITE;
    } else if (c->https != a->tailnet.https_enabled && !role_may(role, PERM_NETWORK_WRITE)) {
        p = PERM_NETWORK_WRITE;
    }
    if (p == PERM_NONE && !scopes_reach(a, rq, c)) {
        return false;
    }
    if (p != PERM_NONE) {
        text_cut(text, sizeof text, "the role %s does not include %s", id->user.role,
                 permission_name(p));
        reply_problem(rq, &(struct problem){403, "role.missing", text,
                                            "ask an owner or admin, or use a key of theirs"});
    }
    return p == PERM_NONE;
}

/* A body that is read by kind, not by table: null stands for "unchanged" everywhere. */
static bool read_patch(struct app *a, struct http_rq *rq, const struct js *j, struct change *out)
{
    const char *fault = j && js_kind(j) == JS_OBJECT ? settings_fault(j) : "the body";
    char text[120];
    *out = (struct change){
        .patch = j, .policy = *policy_state_settings(a), .https = a->tailnet.https_enabled};
    if (!fault && (!take_bool(j, "httpsEnabled", &out->https) ||
                   !take_bool(j, "aclsExternallyManagedOn", &out->policy.locked) ||
                   !take_bool(j, "policyRequireIfMatch", &out->policy.require_if_match) ||
                   !take_bool(j, "policyFormatOnSave", &out->policy.format_on_save) ||
                   !take_link(j, out->policy.link, sizeof out->policy.link))) {
        fault = "a setting";
    }
    if (fault) {
        text_cut(text, sizeof text, "%s has a value of another kind", fault);
        reply_problem(rq, &(struct problem){400, "settings.invalid", text,
                                            "switches are true or false, links http(s) addresses"});
    }
    return !fault;
}

void api_settings_patch(void *app, struct http_rq *rq)
{
    struct app *a = app;
    char why[200];
    struct change c;
    struct actor by;
    AUTO(js_freep) struct js *j = js_parse(http_rq_body(rq), 64 * KIB, why, sizeof why);
    AUTO(js_freep)
    struct js *now = settings_json(a, policy_state_settings(a), a->tailnet.https_enabled);
    if (!read_patch(a, rq, j, &c) || !may(a, rq, &c) || !rest_match(rq, now)) {
        return;
    }
    actor_of(rq, &by);
    int rc = store_settings(a, &by, &c);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    a->tailnet.https_enabled = c.https;
    policy_state_set_settings(a, &c.policy);
    log_info("settings.changed", F_STR("by", auth_identity(rq)->user.login),
             F_BOOL("https", c.https), F_BOOL("locked", c.policy.locked));
    answer(a, rq);
    approval_settle(a, by.login); /* HTTPS may have been what a request waited for */
    bus_wake(a);
}
