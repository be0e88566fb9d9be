/* /a/<id>: a machine asks to join. Who looks sees what it says of itself, and picks the code that
 * stands in its terminal out of three. */
#include "lib/base/text.h"
#include "lib/http/html.h"
#include "server/app.h"
#include "server/registration.h"

enum { PAGE_MAX = 256 * 1024 };

static void put_facts(struct buf *out, const struct store_registration *r)
{
    html_fmt(out,
             "<dl><dt>Calls itself<dd id=host>%s<dt>System<dd id=os>%s, funneld %s"
             "<dt>Comes from<dd id=address>%s<dt>Asked<dd>",
             r->hostname, r->os, r->version, r->remote);
    page_time(out, r->created);
    buf_adds(out, "<dt>Valid until<dd>");
    page_time(out, r->expires);
    buf_adds(out, "</dl>");
}

static void put_forms(struct app *a,
                      struct buf *out,
                      const struct identity *id,
                      const struct store_registration *r)
{
    char codes[REGISTRATION_CODES][12];
    registration_codes(a, r, codes);
    html_fmt(out,
             "<form method=post action=\"/a/%s/approve\"><input type=hidden name=csrf value=\"%s\">"
             "<fieldset><legend>Which code stands in its terminal?</legend>",
             r->stable_id, id->csrf);
    for (size_t i = 0; i < REGISTRATION_CODES; i++) {
        html_fmt(out,
                 "<label class=choice><input type=radio name=code value=\"%s\" required> "
                 "<span class=code>%s</span></label>",
                 codes[i], codes[i]);
    }
    html_fmt(out,
             "</fieldset><p class=dim>None of them? Then somebody else has sent you here: deny."
             "</p><div class=row><button id=approve>Approve: it becomes mine</button></div></form>"
             "<form method=post action=\"/a/%s/deny\"><input type=hidden name=csrf value=\"%s\">"
             "<div class=row><button id=deny class=quiet>Deny</button></div></form>",
             r->stable_id, id->csrf);
}

static void put_outcome(struct buf *out, const struct store_registration *r, bool over)
{
    const char *state = strcmp(r->state, "taken") == 0 ? "granted" : over ? "expired" : r->state;
    html_fmt(out, "<p id=outcome>This registration is <b>%s</b>", state);
    if (r->decided_by[0]) {
        html_fmt(out, " by %s", r->decided_by);
    }
    buf_adds(out, strcmp(state, "granted") == 0 ? ". You may close this page.</p>"
                                                : ". To ask again: <code>funnel up</code></p>");
}

static void show(struct app *a,
                 struct http_rq *rq,
                 const struct store_registration *r,
                 int status,
                 const char *notice)
{
    const struct identity *id = auth_identity(rq);
    struct buf out = BUF_MAX(PAGE_MAX);
    bool over = r->expires.s <= wall_now().s;
    page_head(&out, "A machine wants to join", id);
    html_fmt(&out, "<div class=card><h1 tabindex=-1>%s wants to join %s.%s as a machine of %s</h1>",
             r->hostname, a->tailnet.name, a->cfg.zone, id->user.login);
    if (notice) {
        html_fmt(&out, "<p class=bad role=alert>%s</p>", notice);
    }
    put_facts(&out, r);
    if (strcmp(r->state, "pending") != 0 || over) {
        put_outcome(&out, r, over && strcmp(r->state, "pending") == 0);
    } else {
        put_forms(a, &out, id, r);
    }
    buf_adds(&out, "</div>");
    page_send(rq, status, &out);
}

static bool find(struct app *a, struct http_rq *rq, struct store_registration *out)
{
    int rc = store_registration(a->db, http_rq_param(rq, "id"), out);
    if (rc < 0) {
        reply_broken(rq, rc);
    } else if (rc) {
        page_message(rq, 404, "No such registration", "The link is wrong or too old.", "/");
    }
    return rc == 0;
}

void page_register(void *app, struct http_rq *rq)
{
    struct store_registration r;
    if (find(app, rq, &r)) {
        show(app, rq, &r, 200, NULL);
    }
}

/* Whoever finds an open browser adds no machine to it. */
static bool fresh(struct app *a, struct http_rq *rq, const struct store_registration *r)
{
    char back[FLOW_NEXT_SIZE];
    text_fit(back, sizeof back, "/a/%s", r->stable_id);
    return auth_need_fresh(a, rq, slice_str(back));
}

static void after(struct app *a, struct http_rq *rq, struct store_registration *r, int rc)
{
    char back[FLOW_NEXT_SIZE];
    if (rc < 0) {
        reply_broken(rq, rc);
    } else if (rc == 0) {
        text_fit(back, sizeof back, "/a/%s", r->stable_id);
        http_rq_redirect(rq, back);
    } else if (store_registration(a->db, slice_str(r->stable_id), r)) {
        page_message(rq, 404, "No such registration", "It has gone.", "/");
    } else {
        show(a, rq, r, 409,
             rc == REGISTRATION_WRONG_CODE
                 ? "That was not the machine's code. It was denied, and the choice was noted."
             : rc == REGISTRATION_TAKEN
                 ? "This machine belongs to somebody else here. They have to remove it first."
                 : "Somebody else was faster, or the time is over.");
    }
}

void page_register_approve(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_registration r;
    struct actor by;
    if (find(a, rq, &r) && fresh(a, rq, &r)) {
        actor_of(rq, &by);
        after(a, rq, &r,
              registration_approve(a, &r, &auth_identity(rq)->user, &by, http_rq_form(rq, "code")));
    }
}

void page_register_deny(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_registration r;
    struct actor by;
    if (find(a, rq, &r) && fresh(a, rq, &r)) {
        actor_of(rq, &by);
        after(a, rq, &r, registration_deny(a, &r, &by, "\"denied\""));
    }
}
