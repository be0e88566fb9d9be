/*
 * What ends by itself: requests that nobody decided, and grants for a time. A grant's end is an
 * edit of the policy like any other: comments stay, relays hear of it, the history has it. Where
 * the entry cannot be taken out, people are told so once, loudly, and it is tried again.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "server/app.h"

enum { RETRY_S = 60 };

/* ---- requests ---- */

static void end_requests(struct app *a)
{
    struct store_request r;
    struct actor by;
    bool key_expired;
    int rc;
    while ((rc = store_request_overdue(a->db, wall_now(), &r, &key_expired)) == 0) {
        actor_system(&by);
        by.login[0] = '\0';
        struct decision d = {.request = &r,
                             .by = &by,
                             .reason = key_expired ? S("the device's key has expired")
                                                   : S("nobody decided in time")};
        rc = approval_end(a, &d, key_expired ? "cancelled" : "expired");
        if (rc) {
            break;
        }
    }
    if (rc < 0) {
        log_error("requests.not_ended", F_ERR(rc));
    }
}

/* ---- grants ---- */

struct ending {
    struct app *app;
    struct policy_version *version;
    struct store_grant grant;
    struct actor by;
    struct store_grant beside; /* id 0: none; it gives other ports to the same, and goes on */
    enum policy_edit_result result;
    struct buf text;
};

static void end_ending(struct ending *e)
{
    e->app->grant_ending = false;
    buf_deinit(&e->text);
    policy_version_unref(e->version);
    mem_free(e);
}

/* In the caller's transaction. overdue: the entry is still there. */
static int tell(struct ending *e, struct slice why, bool overdue)
{
    struct app *a = e->app;
    const struct store_grant *g = &e->grant;
    AUTO(js_freep) struct js *j = js_object();
    struct buf detail = BUF_MAX(4 * KIB);
    char until[WALL_TEXT_SIZE], text[400];
    wall_format(g->expires, until);
    js_set_cstr(j, "grant", g->selector);
    js_set_cstr(j, "grantedBy", g->granted_by);
    js_set_cstr(j, "expires", until);
    js_set_str(j, "why", why);
    js_write(j, JS_COMPACT, &detail);
    struct audit_entry entry = {.action = overdue ? "FUNNEL.REVOKE.FAILED" : "FUNNEL.REVOKE",
                                .type = "GRANT",
                                .id = g->stable_id,
                                .name = g->selector,
                                .property = "FUNNEL",
                                .detail = buf_slice(&detail)};
    int rc = audit_write(a, &e->by, &entry);
    buf_deinit(&detail);
    text_cut(text, sizeof text,
             overdue ? "the grant of Funnel to %.200s should have ended and could not: %.150s"
                     : "the grant of Funnel to %.200s has ended: %.150s",
             g->selector, why.p);
    return rc ? rc
              : webhooks_emit(a, overdue ? "funnelGrantOverdue" : "funnelRevoked", text, js_ref(j));
}

static int close_row(struct ending *e, struct slice why)
{
    int rc = store_grant_end(e->app->db, e->grant.id, why);
    return rc ? rc : tell(e, why, false);
}

static void close_alone(struct ending *e, struct slice why)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(e->app->db);
    int rc = tx ? close_row(e, why) : -EIO;
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        log_error("grant.not_ended", F_STR("grant", e->grant.stable_id), F_ERR(rc));
    } else {
        log_info("grant.ended", F_STR("grant", e->grant.stable_id), F_SLICE("why", why));
        webhooks_kick(e->app);
    }
}

/* Said once; tried again with every minute. */
static void say_overdue(struct ending *e, const char *why)
{
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(e->app->db);
    bool first = e->grant.overdue.s == 0;
    int rc = tx ? store_grant_overdue(e->app->db, e->grant.id, wall_now(), slice_str(why)) : -EIO;
    rc = rc || !first ? rc : tell(e, slice_str(why), true);
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        log_error("grant.not_ended", F_STR("grant", e->grant.stable_id), F_ERR(rc));
    } else if (first) {
        log_error("grant.overdue", F_STR("grant", e->grant.stable_id),
                  F_STR("selector", e->grant.selector), F_STR("why", why));
        webhooks_kick(e->app);
    }
}

static struct slice reason_of(const struct ending *e)
{
    return e->grant.why[0] && !e->grant.overdue.s ? slice_str(e->grant.why) : S("its time is over");
}

static int also(void *arg)
{
    struct ending *e = arg;
    return close_row(e, reason_of(e));
}

static void saved(void *arg, const struct policy_saved *r)
{
    struct ending *e = arg;
    char why[300] = "";
    switch (r->result) {
    case POLICY_SAVED:
        log_info("grant.ended", F_STR("grant", e->grant.stable_id),
                 F_STR("selector", e->grant.selector));
        webhooks_kick(e->app);
        break;
    case POLICY_SAVE_INVALID:
        text_cut(why, sizeof why, "the policy does not pass without it: %.200s",
                 r->diags->count ? r->diags->items[0].message : "");
        say_overdue(e, why);
        break;
    case POLICY_SAVE_CONFLICT: /* on what is there now, with the next tick */
    case POLICY_SAVE_BUSY:
        break;
    case POLICY_SAVE_ALSO:
    case POLICY_SAVE_BROKEN:
        log_error("grant.not_ended", F_STR("grant", e->grant.stable_id), F_I64("answer", r->rc));
        break;
    }
    end_ending(e);
}

struct policy_ports grant_ports(struct slice text, struct slice room[static 3])
{
    struct policy_ports ports = {room, 0};
    struct slice one;
    while (text.n && ports.count < 3 && slice_split(&text, ',', &one)) {
        room[ports.count++] = one;
    }
    return ports;
}

/* The text with what the grant gave in it. UNCHANGED: it stands there. */
static enum policy_edit_result
put_back(struct slice text, const struct store_grant *g, struct buf *out)
{
    struct slice room[3];
    struct policy_ports ports = grant_ports(slice_str(g->ports), room);
    struct policy_diags diags = {NULL, 0, false};
    enum policy_edit_result r =
        policy_add_funnel_ports(text, slice_str(g->selector), S(""), &ports, out, &diags);
    policy_diags_free(&diags);
    return r;
}

static void edit_work(void *arg)
{
    struct ending *e = arg;
    struct policy_diags diags = {NULL, 0, false};
    struct slice before = buf_slice(&e->version->text);
    struct buf without = BUF_MAX(POLICY_SIZE_MAX + 4096), scratch = BUF_MAX(POLICY_SIZE_MAX + 4096);
    bool keep = e->beside.id && put_back(before, &e->beside, &scratch) == POLICY_UNCHANGED;
    e->result = policy_remove_funnel(before, slice_str(e->grant.selector), &without, &diags);
    policy_diags_free(&diags);
    if (keep && e->result != POLICY_REFUSED) {
        e->result = put_back(buf_slice(&without), &e->beside, &e->text);
    } else {
        buf_add(&e->text, buf_slice(&without));
    }
    buf_deinit(&without);
    buf_deinit(&scratch);
}

static void edit_done(void *arg)
{
    struct ending *e = arg;
    if (e->result == POLICY_REFUSED) {
        say_overdue(e, "its entry cannot be taken out of the policy as it stands");
        end_ending(e);
    } else if (e->result == POLICY_UNCHANGED) {
        close_alone(e, S(GRANT_TAKEN_OUT));
        end_ending(e);
    } else {
        struct policy_save s = {.text = buf_slice(&e->text),
                                .only_over = e->version->meta.id,
                                .via = "expiry",
                                .message = "a grant for a time has ended",
                                .by = &e->by,
                                .also = also,
                                .done = saved,
                                .arg = e};
        policy_save(e->app, &s);
    }
}

static void end_grant(struct app *a, const struct store_grant *g)
{
    struct ending *e = mem_new(sizeof *e);
    *e = (struct ending){.app = a,
                         .version = policy_version_ref(policy_state_version(a)),
                         .grant = *g,
                         .text = BUF_MAX(POLICY_SIZE_MAX + 4096)};
    actor_system(&e->by);
    int rc = store_grant_beside(a->db, g->id, g->selector, &e->beside);
    if (!g->edited) {
        close_alone(e, S("the policy gave it before, and goes on giving it"));
        end_ending(e);
    } else if (rc == 0 && strcmp(e->beside.ports, g->ports) == 0) {
        close_alone(e, S("another grant to the same goes on"));
        end_ending(e);
    } else if (policy_state_settings(a)->locked) {
        say_overdue(e, "the policy is edited elsewhere: take the entry out there");
        end_ending(e);
    } else {
        a->grant_ending = true;
        if (pool_run(a->pool, edit_work, edit_done, e) < 0) {
            end_ending(e); /* too many wait: with the next tick */
        }
    }
}

/* One edit of the policy at a time: each is made on what the one before has left. */
static void end_grants(struct app *a)
{
    struct store_grant g;
    int64_t after = 0;
    struct wall now = wall_now();
    while (!a->grant_ending && store_grant_due(a->db, now, after, &g) == 0) {
        after = g.id;
        if (!g.overdue.s || now.s - g.overdue.s >= RETRY_S) {
            end_grant(a, &g);
        }
    }
}

/* ---- the policy was edited by hand ---- */

enum { LOOK_MOST = 1000 };

struct looking {
    struct app *app;
    struct policy_version *version;
    struct store_grant *at;
    bool *gone;
    size_t count;
};

static void look_work(void *arg)
{
    struct looking *l = arg;
    for (size_t i = 0; i < l->count; i++) {
        struct buf text = BUF_MAX(POLICY_SIZE_MAX + 4096);
        enum policy_edit_result r = put_back(buf_slice(&l->version->text), &l->at[i], &text);
        l->gone[i] = r == POLICY_SPLICED || r == POLICY_CHANGED;
        buf_deinit(&text);
    }
}

static void look_done(void *arg)
{
    struct looking *l = arg;
    for (size_t i = 0; i < l->count; i++) {
        if (l->gone[i]) {
            struct ending e = {.app = l->app, .grant = l->at[i]};
            actor_system(&e.by);
            close_alone(&e, S(GRANT_TAKEN_OUT));
        }
    }
    policy_version_unref(l->version);
    mem_free(l->at);
    mem_free(l->gone);
    mem_free(l);
}

void approval_grants_look(struct app *a)
{
    struct looking *l = mem_new(sizeof *l);
    *l = (struct looking){.app = a,
                          .version = policy_version_ref(policy_state_version(a)),
                          .at = mem_new_array(LOOK_MOST, sizeof *l->at),
                          .gone = mem_new_array(LOOK_MOST, sizeof *l->gone)};
    int64_t after = 0;
    while (l->count < LOOK_MOST && store_grant_next(a->db, after, &l->at[l->count]) == 0) {
        after = l->at[l->count++].id;
    }
    if (pool_run(a->pool, look_work, look_done, l) < 0) {
        l->count = 0; /* too many wait: the end of each grant looks for itself */
        look_done(l);
    }
}

void approval_tick(struct app *a)
{
    end_requests(a);
    end_grants(a);
}
