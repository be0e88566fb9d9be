#pragma once
/*
 * What every call of the REST API shares (console-api.md 3.1): entity tags, Idempotency-Key,
 * unknown members, pages, the rate of a credential. A handler for one object is two lines:
 *
 *     if (!rest_match(rq, now)) { return; }    before a write: If-Match against the object as it is
 *     rest_object(rq, now);                    after a read: ETag, If-None-Match
 */
#include "lib/data/json.h"
#include "lib/http/http.h"

struct app;
struct identity;
struct rest;

struct rest *rest_new(struct app *a);
void rest_free(struct rest *r); /* takes NULL; after the last request has been freed */

/* In auth_before, when it is known who calls and that they may: false after a 429, a 409 or an
 * answer that was given before. */
bool rest_admit(struct app *a, struct http_rq *rq);
/* Every answer passes here on its way out (http_opts.after). */
void rest_after(
    void *app, struct http_rq *rq, int status, const char *content_type, struct slice body);
void rest_forget(struct identity *id); /* the request is over */
void rest_minute(struct app *a);       /* trims what has run out */

/* ---- entity tags: a hash of the object without what changes by itself (lastSeen, counters) ----
 */

#define REST_ETAG_SIZE 36
void rest_etag(const struct js *object, char out[REST_ETAG_SIZE]); /* with its quotes */
void rest_add_etag(struct http_rq *rq, const struct js *object);
/* The same for a call that reads; false after a 304. For who shows more than is tagged. */
bool rest_fresh(struct http_rq *rq, const struct js *object);
/* 200 with the ETag, or 304. */
void rest_object(struct http_rq *rq, const struct js *object);
/* If-Match holds for the object as it is now, or there is none; false after a 412. */
bool rest_match(struct http_rq *rq, const struct js *now);
/* A list of tags as in If-Match: does it name this one, or any by "*"? */
bool rest_tag_listed(struct slice list, struct slice tag);

/* ---- bodies ---- */

/* For our own endpoints: as reply_body, but a member that nobody knows is a 400 that names the
 * nearest one. For Tailscale's shapes reply_body itself: such members are named in a Warning. */
struct js *rest_body(struct http_rq *rq, const struct js_field *fields, size_t count);
/* The members of j that are not among the fields, in a Warning header. reply_body does it for the
 * outermost object. */
void rest_warn_unknown(struct http_rq *rq,
                       const struct js *j,
                       const struct js_field *fields,
                       size_t count);

/* ---- pages: ?limit=&cursor=, only for those who ask ---- */

struct rest_page {
    int64_t after; /* rows with a key greater than this */
    int64_t limit; /* INT64_MAX: not asked for */
    int64_t last, taken;
    bool more;
};

enum { REST_LIMIT_MOST = 10000 };

bool rest_page_read(struct http_rq *rq, struct rest_page *out); /* false after a 400 */
/* Rows come in order of their key. True: show this one. False: it belongs to another page. */
bool rest_page_take(struct rest_page *p, int64_t key);
void rest_page_end(const struct rest_page *p, struct js *answer); /* nextCursor, when there is */
