/* GET and POST of the policy file (docs/api.md). What is written goes through policy_save; what is
 * read stands in memory. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "server/policy_reply.h"

void api_acl_get(void *app, struct http_rq *rq)
{
    struct app *a = app;
    const struct policy_version *v = policy_state_version(a);
    struct slice known = http_rq_header(rq, "If-None-Match");
    if (known.n && policy_if_match(known, v->meta.etag, false) == POLICY_IF_HOLDS) {
        policy_add_etag(rq, v->meta.etag);
        http_rq_reply(rq, 304, NULL, S(""));
    } else {
        policy_reply_version(rq, v, policy_state_diags(a));
    }
}

/* Clients send HuJSON under many names, also as a form (curl); what cannot be text is refused. */
static bool can_be_text(struct http_rq *rq)
{
    static const char *const bad[] = {"multipart/", "image/",          "audio/",
                                      "video/",     "font/",           "application/xml",
                                      "text/html",  "application/zip", "application/gzip"};
    struct slice type = slice_trim(http_rq_header(rq, "Content-Type")),
                 coding = slice_trim(http_rq_header(rq, "Content-Encoding"));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (slice_starts_nocase(type, slice_str(bad[i]))) {
            return false;
        }
    }
    return !coding.n || slice_eq_nocase(coding, S("identity"));
}

bool policy_body(struct http_rq *rq, struct buf *out)
{
    if (!can_be_text(rq)) {
        reply_problem(rq, &(struct problem){415, "body.type", "a policy is HuJSON or JSON text",
                                            "send it as application/hujson, not compressed"});
        return false;
    }
    if (!policy_ingest(http_rq_body(rq), out)) {
        reply_problem(rq, &(struct problem){413, "request.refused",
                                            "the policy is longer than 1 MiB", "send less"});
        return false;
    }
    return true;
}

/* ---- writing ---- */

struct api_save {
    struct app *app;
    struct http_rq *rq; /* NULL: the caller has left; what it asked for happens all the same */
};

static void caller_left(void *arg)
{
    ((struct api_save *)arg)->rq = NULL;
}

static void answer(struct api_save *w, const struct policy_saved *r)
{
    switch (r->result) {
    case POLICY_SAVED:
        policy_reply_version(w->rq, r->version, policy_state_diags(w->app));
        break;
    case POLICY_SAVE_INVALID:
        policy_reply_invalid(w->rq, r->diags);
        break;
    case POLICY_SAVE_CONFLICT:
        policy_reply_conflict(w->rq, r->version);
        break;
    case POLICY_SAVE_BUSY:
        policy_reply_busy(w->rq);
        break;
    case POLICY_SAVE_ALSO:
    case POLICY_SAVE_BROKEN:
        reply_broken(w->rq, r->rc);
        break;
    }
}

static void on_saved(void *arg, const struct policy_saved *r)
{
    struct api_save *w = arg;
    if (w->rq) {
        answer(w, r);
    }
    mem_free(w);
}

static bool good_message(struct http_rq *rq, struct slice message)
{
    if (text_printable(message, STORE_MESSAGE_SIZE - 1)) {
        return true;
    }
    reply_problem(rq, &(struct problem){400, "message.invalid",
                                        "the message is longer than 255 bytes or not printable",
                                        "one line of text"});
    return false;
}

void api_policy_save(struct app *a, struct http_rq *rq, const struct api_write *what)
{
    struct actor by;
    char message[STORE_MESSAGE_SIZE];
    struct slice if_match = http_rq_header(rq, "If-Match");
    if (!good_message(rq, what->message)) {
        return;
    }
    if (policy_state_settings(a)->require_if_match && !slice_trim(if_match).n) {
        reply_problem(rq, &(struct problem){428, "policy.if_match_required",
                                            "this tailnet wants If-Match with every change",
                                            "read the policy and send its ETag in If-Match"});
        return;
    }
    struct api_save *w = mem_new(sizeof *w);
    *w = (struct api_save){.app = a, .rq = rq};
    text_fit(message, sizeof message, SLICE_FMT, SLICE_ARG(what->message));
    actor_of(rq, &by);
    http_rq_on_abort(rq, caller_left, w);
    policy_save(a, &(struct policy_save){.text = what->text,
                                         .if_match = if_match,
                                         .via = what->via,
                                         .message = message,
                                         .by = &by,
                                         .done = on_saved,
                                         .arg = w});
}

void api_acl_post(void *app, struct http_rq *rq)
{
    bool reset = !slice_trim(http_rq_body(rq)).n; /* an empty body is the way back to the default */
    struct buf text = BUF_MAX(POLICY_SIZE_MAX);
    if (reset) {
        buf_add(&text, slice_str(policy_default_text));
    }
    if (reset || policy_body(rq, &text)) {
        api_policy_save(app, rq,
                        &(struct api_write){.text = buf_slice(&text),
                                            .via = reset ? "reset" : "api",
                                            .message = http_rq_query(rq, "message")});
    }
    buf_deinit(&text);
}
