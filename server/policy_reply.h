#pragma once
/* How the policy's answers look (docs/api.md): a version in the form that was asked for, and what
 * is wrong with a text. */
#include "server/app.h"

/* "line 3, column 14: …": tools read it by pattern. */
#define POLICY_LINE_SIZE 1024
void policy_line(const struct policy_diag *d, char out[POLICY_LINE_SIZE]);
/* {"severity","code","pointer","position":{…},"message","hint"} */
struct js *policy_diag_json(const struct policy_diag *d);
/* Sets message, code, data and diagnostics on an answer where there are errors; diagnostics alone
 * where there are warnings. */
void policy_diags_json(struct js *answer, const struct policy_diags *diags);
void policy_reply_invalid(struct http_rq *rq, const struct policy_diags *diags); /* 400 */

/* Accept names application/json, and HuJSON not before it. */
bool policy_wants_json(struct http_rq *rq);
bool policy_wants_details(struct http_rq *rq);
/* The version's bytes with its ETag, in the form that the request asks for. diags: for details. */
void policy_reply_version(struct http_rq *rq,
                          const struct policy_version *v,
                          const struct policy_diags *diags);
void policy_add_etag(struct http_rq *rq, const char *etag);
struct js *policy_meta_json(const struct store_policy_meta *m);
/* 412 with what is in force; 428; 503. */
void policy_reply_conflict(struct http_rq *rq, const struct policy_version *now);
void policy_reply_busy(struct http_rq *rq);

/* ---- between the api_*.c of the policy ---- */
/* The body as policy_ingest gives it; false after 413 or 415. */
bool policy_body(struct http_rq *rq, struct buf *out);

struct api_write {
    struct slice text, message;
    const char *via;
};

/* Saves as the request says (If-Match, who asks) and answers it. */
void api_policy_save(struct app *a, struct http_rq *rq, const struct api_write *what);
