/* Settings of the tailnet that concern the policy: HTTPS, and how the file may be edited
 * (policy.md 6.3 and 6.5). */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "server/app.h"

static struct js *settings_json(const struct store_policy_settings *s, bool https)
{
    struct js *j = js_object();
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
    struct js *j = settings_json(policy_state_settings(a), a->tailnet.https_enabled);
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

static void write_settings(struct buf *out, const struct store_policy_settings *s, bool https)
{
    AUTO(js_freep) struct js *j = settings_json(s, https);
    js_write(j, JS_COMPACT, out);
}

static int
audit(struct app *a, const struct actor *by, const struct store_policy_settings *s, bool https)
{
    struct buf before = BUF_MAX(4096), after = BUF_MAX(4096);
    write_settings(&before, policy_state_settings(a), a->tailnet.https_enabled);
    write_settings(&after, s, https);
    struct audit_entry e = {.action = "TAILNET.UPDATE.SETTINGS",
                            .type = "TAILNET",
                            .id = a->tailnet.stable_id,
                            .name = a->tailnet.name,
                            .property = "SETTINGS",
                            .old = buf_slice(&before),
                            .new = buf_slice(&after)};
    int rc = audit_write(a, by, &e);
    buf_deinit(&before);
    buf_deinit(&after);
    return rc;
}

static int store_settings(struct app *a,
                          const struct actor *by,
                          const struct store_policy_settings *s,
                          bool https)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_policy_settings_set(a->db, a->tailnet.id, s) : -EIO;
    rc = rc || https == a->tailnet.https_enabled ? rc
                                                 : store_tailnet_https(a->db, a->tailnet.id, https);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "settings", 0);
    rc = rc ? rc : audit(a, by, s, https);
    return rc ? rc : db_commit(&tx);
}

/* A body that is read by kind, not by table: null stands for "unchanged" everywhere. */
void api_settings_patch(void *app, struct http_rq *rq)
{
    struct app *a = app;
    char why[200];
    struct store_policy_settings s = *policy_state_settings(a);
    bool https = a->tailnet.https_enabled;
    AUTO(js_freep) struct js *now = settings_json(&s, https);
    if (!rest_match(rq, now)) {
        return;
    }
    AUTO(js_freep) struct js *j = js_parse(http_rq_body(rq), 64 * KIB, why, sizeof why);
    if (!j || js_kind(j) != JS_OBJECT || !take_bool(j, "httpsEnabled", &https) ||
        !take_bool(j, "aclsExternallyManagedOn", &s.locked) ||
        !take_bool(j, "policyRequireIfMatch", &s.require_if_match) ||
        !take_bool(j, "policyFormatOnSave", &s.format_on_save) ||
        !take_link(j, s.link, sizeof s.link)) {
        reply_problem(rq, &(struct problem){400, "settings.invalid",
                                            "a setting has a value of another kind",
                                            "switches are true or false, links http(s) addresses"});
        return;
    }
    if (https != a->tailnet.https_enabled && !auth_may(auth_identity(rq), PERM_NETWORK_WRITE)) {
        reply_problem(rq, &(struct problem){403, "role.missing", "you may not switch HTTPS",
                                            "ask an owner, admin or network admin"});
        return;
    }
    struct actor by;
    actor_of(rq, &by);
    int rc = store_settings(a, &by, &s, https);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    a->tailnet.https_enabled = https;
    policy_state_set_settings(a, &s);
    log_info("settings.changed", F_STR("by", auth_identity(rq)->user.login), F_BOOL("https", https),
             F_BOOL("locked", s.locked));
    answer(a, rq);
    bus_wake(a);
}
