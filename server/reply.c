/* Answers in one shape: {"message","data":[],"status","code","fix","requestId"}. */
#include "lib/base/log.h"
#include "server/app.h"
#include "server/rest.h"

void reply_json(struct http_rq *rq, int status, const struct js *j)
{
    struct buf out = BUF_MAX(64 * MIB);
    js_write(j, JS_COMPACT, &out);
    reply_text(rq, status, &out);
    buf_deinit(&out);
}

void reply_text(struct http_rq *rq, int status, struct buf *json)
{
    buf_addc(json, '\n');
    http_rq_add_header(rq, "Cache-Control", "no-store");
    http_rq_reply(rq, status, "application/json", buf_slice(json));
}

/* Sentences quote what was sent, and may have been cut inside of a character: JSON holds no such
 * thing, and an answer without its message would help nobody. */
static void set_words(struct js *j, const char *name, const char *words)
{
    char text[1024];
    if (text_utf8_valid(slice_str(words))) {
        js_set_cstr(j, name, words);
        return;
    }
    text_cut(text, sizeof text, "%s", words);
    for (char *c = text; *c; c++) {
        if (*c & 0x80) {
            *c = '?';
        }
    }
    js_set_cstr(j, name, text);
}

void reply_problem(struct http_rq *rq, const struct problem *p)
{
    AUTO(js_freep) struct js *j = js_object();
    set_words(j, "message", p->message);
    js_set(j, "data", js_array());
    js_set_cstr(j, "code", p->code);
    set_words(j, "fix", p->fix);
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

/* What browsers send by themselves for a foreign form or upload is none of ours. */
static bool right_type(struct http_rq *rq)
{
    static const char *const taken[] = {"application/json", "application/hujson", "text/plain",
                                        "application/x-www-form-urlencoded",
                                        "application/octet-stream"};
    struct slice header = http_rq_header(rq, "Content-Type"), type;
    if (!header.n || !slice_split(&header, ';', &type)) {
        return true;
    }
    type = slice_trim(type);
    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        if (slice_eq_nocase(type, slice_str(taken[i]))) {
            return true;
        }
    }
    reply_problem(rq, &(struct problem){415, "body.type", "this call takes JSON",
                                        "send Content-Type: application/json"});
    return false;
}

static struct js *
read_body(struct http_rq *rq, const struct js_field *fields, size_t count, enum js_strict strict)
{
    char why[200];
    if (!right_type(rq)) {
        return NULL;
    }
    struct js *j = js_parse(http_rq_body(rq), MIB, why, sizeof why);
    if (j && js_check(j, fields, count, strict, why, sizeof why)) {
        return j;
    }
    js_free(j);
    bool api = http_rq_route(rq)->flags & ROUTE_API;
    reply_problem(rq,
                  &(struct problem){400, "body.invalid", why,
                                    api ? "send the JSON object that docs/api.md describes"
                                        : "send the JSON object that docs/channels.md describes"});
    return NULL;
}

struct js *reply_body(struct http_rq *rq, const struct js_field *fields, size_t count)
{
    struct js *j = read_body(rq, fields, count, JS_LOOSE);
    if (j && http_rq_route(rq)->flags & ROUTE_API) {
        rest_warn_unknown(rq, j, fields, count);
    }
    return j;
}

struct js *rest_body(struct http_rq *rq, const struct js_field *fields, size_t count)
{
    return read_body(rq, fields, count, JS_STRICT);
}
