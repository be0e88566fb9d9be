/* Answers in one shape: {"message","code","fix","requestId","status"}. */
#include "lib/base/log.h"
#include "server/app.h"

void reply_json(struct http_rq *rq, int status, const struct js *j)
{
    struct buf out = BUF_MAX(64 * MIB);
    js_write(j, JS_COMPACT, &out);
    buf_addc(&out, '\n');
    http_rq_add_header(rq, "Cache-Control", "no-store");
    http_rq_reply(rq, status, "application/json", buf_slice(&out));
    buf_deinit(&out);
}

void reply_problem(struct http_rq *rq, const struct problem *p)
{
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "message", p->message);
    js_set_cstr(j, "code", p->code);
    js_set_cstr(j, "fix", p->fix);
    js_set_cstr(j, "requestId", http_rq_id(rq));
    js_set_int(j, "status", p->status);
    reply_json(rq, p->status, j);
}

void reply_none(struct http_rq *rq)
{
    http_rq_reply(rq, 204, NULL, S(""));
}

void reply_broken(struct http_rq *rq, int rc)
{
    log_error("request.broken", F_STR("request", http_rq_id(rq)), F_SLICE("path", http_rq_path(rq)),
              F_ERR(rc));
    reply_problem(rq, &(struct problem){500, "internal", "something broke on our side",
                                        "look for the request's id in control's log"});
}

struct js *reply_body(struct http_rq *rq, const struct js_field *fields, size_t count)
{
    char why[200];
    struct js *j = js_parse(http_rq_body(rq), MIB, why, sizeof why);
    if (j && js_check(j, fields, count, JS_LOOSE, why, sizeof why)) {
        return j;
    }
    js_free(j);
    reply_problem(rq, &(struct problem){400, "body.invalid", why,
                                        "send the JSON object that docs/channels.md describes"});
    return NULL;
}
