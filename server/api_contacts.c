/* Whom to write to, about what. Nobody verifies them: this server sends no mail. */
#include <errno.h>

#include "lib/base/err.h"
#include "server/api_dns.h"
#include "server/app.h"
#include "server/people.h"
#include "server/store_record.h"

enum { CONTACTS_MAX = 4096 };

#define SETTING "contacts"

static const char *const kinds[] = {"account", "support", "security"};

/* {"account": "…"}; what nobody has set is the owner's login. */
static int load(struct app *a, struct js **out)
{
    char why[80];
    struct store_user owner = {.id = 0};
    struct buf text = BUF_MAX(CONTACTS_MAX);
    int rc = store_setting(a->db, a->tailnet.id, SETTING, &text);
    AUTO(js_freep)
    struct js *stored = rc == 0 ? js_parse(buf_slice(&text), CONTACTS_MAX, why, sizeof why) : NULL;
    buf_deinit(&text);
    rc = rc < 0 ? rc : store_owner(a->db, a->tailnet.id, &owner);
    if (rc < 0) {
        return rc;
    }
    struct js *j = js_object();
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct slice mail = js_get_str(stored, kinds[i]);
        js_set_str(j, kinds[i], mail.n ? mail : slice_str(owner.login));
    }
    *out = j;
    return 0;
}

static struct js *contact_json(const struct js *contacts, const char *kind)
{
    struct js *j = js_object();
    js_set_str(j, "email", js_get_str(contacts, kind));
    js_set_bool(j, "needsVerification", true);
    return j;
}

static struct js *contacts_json(const struct js *contacts)
{
    struct js *j = js_object();
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        js_set(j, kinds[i], contact_json(contacts, kinds[i]));
    }
    return j;
}

void api_contacts(void *app, struct http_rq *rq)
{
    AUTO(js_freep) struct js *contacts = NULL;
    int rc = load(app, &contacts);
    if (rc) {
        reply_broken(rq, rc);
        return;
    }
    AUTO(js_freep) struct js *j = contacts_json(contacts);
    rest_object(rq, j);
}

static int save(
    struct app *a, struct http_rq *rq, const char *kind, const struct js *old, const struct js *new)
{
    struct actor by;
    struct buf before = BUF_MAX(CONTACTS_MAX), after = BUF_MAX(CONTACTS_MAX);
    AUTO(js_freep) struct js *was = contact_json(old, kind);
    AUTO(js_freep) struct js *is = contact_json(new, kind);
    struct buf text = BUF_MAX(CONTACTS_MAX);
    actor_of(rq, &by);
    js_write(new, JS_COMPACT, &text);
    js_write(was, JS_COMPACT, &before);
    js_write(is, JS_COMPACT, &after);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_setting_set(a->db, a->tailnet.id, SETTING, buf_slice(&text)) : -EIO;
    rc = rc ? rc
            : audit_write(a, &by,
                          &(struct audit_entry){.action = "TAILNET.UPDATE.CONTACT",
                                                .type = "TAILNET",
                                                .id = a->tailnet.stable_id,
                                                .name = a->tailnet.name,
                                                .property = kind,
                                                .old = buf_slice(&before),
                                                .new = buf_slice(&after)});
    rc = rc ? rc : db_commit(&tx);
    buf_deinit(&text);
    buf_deinit(&before);
    buf_deinit(&after);
    return rc;
}

static const char *find_kind(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (slice_eq(name, slice_str(kinds[i]))) {
            return kinds[i];
        }
    }
    return NULL;
}

void api_contact_patch(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"email", JS_STR, true, 200}};
    struct app *a = app;
    const char *kind = find_kind(http_rq_param(rq, "kind"));
    AUTO(js_freep) struct js *old = NULL;
    AUTO(js_freep) struct js *new = NULL;
    if (!kind) {
        reply_problem(rq, &(struct problem){404, "contact.unknown", "there is no such contact",
                                            "account, support or security"});
        return;
    }
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    if (!j) {
        return;
    }
    if (!people_login_ok(js_get_str(j, "email"))) {
        reply_problem(rq, &(struct problem){400, "contact.invalid", "this is no mail address",
                                            "for example security@example.com"});
        return;
    }
    int rc = load(a, &old);
    rc = rc ? rc : load(a, &new);
    if (!rc) {
        AUTO(js_freep) struct js *now = contacts_json(old);
        js_set_str(new, kind, js_get_str(j, "email"));
        if (!rest_match(rq, now)) {
            return;
        }
        rc = save(a, rq, kind, old, new);
    }
    if (rc) {
        reply_broken(rq, rc);
    } else {
        http_rq_reply(rq, 200, NULL, S(""));
    }
}
