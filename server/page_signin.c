/* The forms of signing in, setting up and proving presence; they work without JavaScript. */
#include "lib/base/err.h"
#include "lib/http/html.h"
#include "server/signin.h"

enum { PAGE_MAX = 256 * 1024 };

#define SCRIPT "<script type=module src=/static/auth.js></script>"

static void complain(struct buf *out, const char *complaint)
{
    if (complaint) {
        html_fmt(out, "<p class=bad role=alert>%s</p>", complaint);
    }
}

bool page_from_us(struct app *a, struct http_rq *rq)
{
    if (auth_same_origin(a, rq)) {
        return true;
    }
    page_message(rq, 403, "This form came from somewhere else",
                 "Open the page itself and try again.", "/login");
    return false;
}

void page_login_form(struct app *a, struct http_rq *rq, int status, const char *complaint)
{
    struct buf out = BUF_MAX(PAGE_MAX);
    page_head(&out, "Sign in", NULL);
    buf_adds(&out, "<div class=\"card narrow\"><h1>Sign in</h1>");
    complain(&out, complaint);
    buf_adds(&out, "<form data-passkey=/login/passkey hidden><div class=row><button>Sign in with a "
                   "passkey</button><span role=status></span></div></form>");
    /* After a wrong password only that is typed again. */
    struct slice login = slice_trim(http_rq_form(rq, "login"));
    const char *first = login.n ? "" : " autofocus", *then = login.n ? " autofocus" : "";
    buf_adds(&out, "<form method=post action=/login><label for=login>Login</label><input type=text "
                   "id=login name=login autocomplete=\"username webauthn\" required value=\"");
    html_text(&out, login);
    buf_addf(&out,
             "\"%s><label for=password>Password</label>"
             "<input type=password id=password name=password autocomplete=current-password "
             "required%s><div class=row><button>Sign in</button></div></form>",
             first, then);
    if (a->oidc) {
        html_fmt(
            &out,
            "<div class=row><a class=\"button plain\" href=/login/oidc>Sign in with %s</a></div>",
            a->cfg.oidc_label);
    }
    buf_adds(&out, "</div>" SCRIPT);
    page_send(rq, status, &out);
}

void page_code_form(struct http_rq *rq, int status, const char *complaint)
{
    struct buf out = BUF_MAX(PAGE_MAX);
    page_head(&out, "One-time code", NULL);
    buf_adds(&out, "<div class=\"card narrow\"><h1>One-time code</h1>");
    complain(&out, complaint);
    buf_adds(
        &out,
        "<form method=post action=/login/code><label for=otp>The code of your authenticator app, "
        "or a recovery code</label><input type=text id=otp name=otp autocomplete=one-time-code "
        "required autofocus><div class=row><button>Sign in</button></div></form></div>");
    page_send(rq, status, &out);
}

void page_setup_form(struct http_rq *rq, int status, const char *complaint)
{
    struct buf out = BUF_MAX(PAGE_MAX);
    page_head(&out, "Set up", NULL);
    buf_adds(&out, "<div class=\"card narrow\"><h1>Set up your account</h1>");
    complain(&out, complaint);
    buf_adds(&out, "<p class=dim>The code comes with your link. It works once, for one hour; "
                   "<code>funnel-control setup-link</code> makes another.</p>");
    buf_adds(
        &out,
        "<form data-enrol=/setup/passkey hidden><p>A passkey is the safest: your phone, laptop or "
        "security key signs you in, and there is nothing to remember.</p>"
        "<label for=pcode>One-time code</label>"
        "<input type=text id=pcode name=code autocomplete=off required>"
        "<div class=row><button>Make a passkey and sign in</button><span role=status></span></div>"
        "<h2>Or with a password</h2></form>"
        "<form method=post action=/setup><label for=code>One-time code</label>"
        "<input type=text id=code name=code autocomplete=off required>"
        "<label for=password>New password, at least 12 characters</label>"
        "<input type=password id=password name=password autocomplete=new-password minlength=12 required>"
        "<div class=row><button>Set password and sign in</button></div></form></div>" SCRIPT);
    page_send(rq, status, &out);
}

void page_verify_form(struct app *a, struct http_rq *rq, int status, const char *complaint)
{
    const struct identity *id = auth_identity(rq);
    struct store_person p = {.has_password = true};
    struct buf out = BUF_MAX(PAGE_MAX);
    err_ignore(store_person_by_id(a->db, id->user.id, &p)); /* then both ways are offered */
    page_head(&out, "Is it you?", id);
    buf_adds(
        &out,
        "<div class=\"card narrow\"><h1>Is it you?</h1><p>What you are about to do asks for a proof "
        "that is not older than ten minutes.</p>");
    complain(&out, complaint);
    if (p.passkeys) {
        html_fmt(&out,
                 "<form data-passkey=/verify/passkey data-csrf=\"%s\" hidden><div class=row>"
                 "<button>Use a passkey</button><span role=status></span></div></form>",
                 id->csrf);
    }
    if (p.has_password) {
        html_fmt(
            &out,
            "<form method=post action=/verify><input type=hidden name=csrf value=\"%s\">"
            "<input type=text class=away name=login autocomplete=username value=\"%s\" tabindex=-1 "
            "aria-hidden=true readonly>"
            "<label for=password>Password</label><input type=password id=password name=password "
            "autocomplete=current-password required autofocus>"
            "<div class=row><button>Go on</button></div></form>",
            id->csrf, id->user.login);
    }
    buf_adds(&out, "</div>" SCRIPT);
    page_send(rq, status, &out);
}

void page_login(void *app, struct http_rq *rq)
{
    page_login_form(app, rq, 200, NULL);
}

void page_setup(void *app, struct http_rq *rq)
{
    (void)app;
    page_setup_form(rq, 200, NULL);
}

void page_verify(void *app, struct http_rq *rq)
{
    page_verify_form(app, rq, 200, NULL);
}

void page_login_post(void *app, struct http_rq *rq)
{
    if (page_from_us(app, rq)) {
        auth_try_password(app, rq);
    }
}

void page_setup_post(void *app, struct http_rq *rq)
{
    if (page_from_us(app, rq)) {
        auth_set_password(app, rq);
    }
}

void page_verify_post(void *app, struct http_rq *rq)
{
    auth_verify_password(app, rq);
}
