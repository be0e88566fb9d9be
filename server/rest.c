/* Entity tags, Idempotency-Key, unknown members, pages, the rate of a credential. */
#include "server/rest.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/data/crypto.h"
#include "lib/data/seal.h"
#include "server/app.h"
#include "server/rates.h"
#include "server/store_record.h"

enum {
    KEY_MAX = 255,
    KEPT_S = 86400,
    REPLY_KEPT_MAX = 256 * 1024, /* of one answer; longer ones are made anew */
    WARNED_MAX = 8,
};

struct rest {
    struct app *app;
    struct rates *rates;
    struct map *busy; /* Idempotency-Keys whose first call is still under way */
};

struct rest *rest_new(struct app *a)
{
    struct rest *r = mem_new(sizeof *r);
    *r = (struct rest){a, rates_new(a->cfg.api_rate, a->cfg.api_burst), map_new()};
    return r;
}

void rest_free(struct rest *r)
{
    if (r) {
        rates_free(r->rates);
        map_free(r->busy);
        mem_free(r);
    }
}

/* ---- Idempotency-Key ---- */

struct rest_call {
    struct rest *rest;
    struct buf name; /* credential and key: in rest->busy, and what the stored answer is bound to */
    struct slice key;
    uint8_t body[CRYPTO_SHA256_SIZE]; /* of method, path and body */
    bool repeated;                    /* its answer is kept already */
};

static void free_call(struct rest_call *c)
{
    map_del(c->rest->busy, buf_slice(&c->name));
    buf_deinit(&c->name);
    mem_free(c);
}

void rest_forget(struct identity *id)
{
    if (id->call) {
        free_call(id->call);
        id->call = NULL;
    }
}

static void hash_call(struct http_rq *rq, uint8_t out[CRYPTO_SHA256_SIZE])
{
    struct buf text = BUF_MAX(16 * MIB);
    buf_addf(&text, "%u\n", (unsigned)http_rq_method(rq));
    buf_add(&text, http_rq_path(rq));
    buf_addc(&text, '\n');
    buf_add(&text, http_rq_body(rq));
    crypto_sha256(buf_slice(&text), out);
    secret_wipe_buf(&text);
}

/* What is kept may be a secret that is shown once, so it is sealed: "type\nbody". */
static bool reply_again(
    struct app *a, struct http_rq *rq, const struct rest_call *c, int status, struct slice kept)
{
    struct buf sealed = BUF_MAX(MIB), plain = BUF_MAX(MIB);
    bool ok = text_unb64(kept, &sealed) &&
              seal_open(a->secrets.seal, buf_slice(&c->name), buf_slice(&sealed), &plain);
    if (ok) {
        struct slice body = buf_slice(&plain), type;
        char text[64];
        ok = slice_split(&body, '\n', &type) && slice_copy(type, text, sizeof text);
        if (ok) {
            http_rq_add_header(rq, "Idempotency-Replayed", "true");
            http_rq_add_header(rq, "Cache-Control", "no-store");
            http_rq_reply(rq, status, text[0] ? text : NULL, body);
        }
    }
    buf_deinit(&sealed);
    secret_wipe_buf(&plain);
    return ok;
}

static bool conflict(struct http_rq *rq, const char *code, const char *message, const char *fix)
{
    reply_problem(rq, &(struct problem){409, code, message, fix});
    return false;
}

/* True: nobody has used the key within a day. */
static bool first_call(struct app *a, struct http_rq *rq, struct identity *id)
{
    struct rest_call *c = id->call;
    struct store_idempotent had;
    struct buf kept = BUF_MAX(MIB);
    int rc = store_idempotent(a->db, slice_str(id->credential), c->key, &had, &kept);
    if (rc == STORE_NONE || (rc == 0 && had.created.s <= wall_now().s - KEPT_S)) {
        buf_deinit(&kept);
        return true;
    }
    c->repeated = true;
    if (rc) {
        reply_broken(rq, rc);
    } else if (memcmp(had.body, c->body, sizeof had.body) != 0) {
        conflict(rq, "idempotency.reused", "this Idempotency-Key was used for another call",
                 "make a new key for each new call");
    } else if (!reply_again(a, rq, c, (int)had.status, buf_slice(&kept))) {
        reply_broken(rq, -EBADMSG);
    }
    buf_deinit(&kept);
    return false;
}

static bool admit_once(struct app *a, struct http_rq *rq, struct identity *id)
{
    struct slice key = http_rq_header(rq, "Idempotency-Key");
    if (http_rq_method(rq) != HTTP_POST || !key.n || http_rq_route(rq)->flags & ROUTE_READS) {
        return true;
    }
    if (!text_printable(key, KEY_MAX)) {
        reply_problem(rq, &(struct problem){400, "idempotency.invalid",
                                            "the Idempotency-Key is too long or not printable",
                                            "send at most 255 printable characters"});
        return false;
    }
    struct rest_call *c = mem_new(sizeof *c);
    *c = (struct rest_call){.rest = a->rest, .name = BUF_MAX(KEY_MAX + 100), .key = key};
    buf_addf(&c->name, "%s ", id->credential);
    buf_add(&c->name, key);
    if (map_get(a->rest->busy, buf_slice(&c->name))) {
        buf_deinit(&c->name);
        mem_free(c);
        return conflict(rq, "idempotency.busy", "a call with this Idempotency-Key is under way",
                        "wait for its answer, then repeat");
    }
    hash_call(rq, c->body);
    map_set(a->rest->busy, buf_slice(&c->name), c);
    id->call = c;
    return first_call(a, rq, id);
}

void rest_after(
    void *app, struct http_rq *rq, int status, const char *content_type, struct slice body)
{
    struct app *a = app;
    struct identity *id = auth_identity(rq);
    struct rest_call *c = id ? id->call : NULL;
    /* What was refused may be tried again with the same key. */
    if (!c || c->repeated || status < 200 || status > 299 || body.n > REPLY_KEPT_MAX ||
        db_in_tx(a->db)) {
        return;
    }
    struct buf plain = BUF_MAX(MIB), sealed = BUF_MAX(MIB), text = BUF_MAX(MIB);
    buf_addf(&plain, "%s\n", content_type ? content_type : "");
    buf_add(&plain, body);
    seal_close(a->secrets.seal, buf_slice(&c->name), buf_slice(&plain), &sealed);
    text_b64(&text, buf_slice(&sealed));
    struct store_idempotent kept = {.status = status};
    memcpy(kept.body, c->body, sizeof kept.body);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc =
        tx ? store_idempotent_add(a->db, slice_str(id->credential), c->key, &kept, buf_slice(&text))
           : -EIO;
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        log_warn("idempotency.lost", F_STR("request", http_rq_id(rq)), F_ERR(rc));
    }
    secret_wipe_buf(&plain);
    buf_deinit(&sealed);
    buf_deinit(&text);
    rest_forget(id);
}

/* ---- the rate ---- */

bool rest_admit(struct app *a, struct http_rq *rq)
{
    struct identity *id = auth_identity(rq);
    int wait = rates_take(a->rest->rates, slice_str(id->credential), mono_now());
    if (wait) {
        char seconds[16];
        text_fit(seconds, sizeof seconds, "%d", wait);
        http_rq_add_header(rq, "Retry-After", seconds);
        reply_problem(rq, &(struct problem){429, "rate.limited",
                                            "this credential calls faster than it may",
                                            "wait as long as Retry-After says"});
        return false;
    }
    return admit_once(a, rq, id);
}

void rest_minute(struct app *a)
{
    rates_sweep(a->rest->rates, mono_now());
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_idempotent_trim(a->db, (struct wall){wall_now().s - KEPT_S}) : -EIO;
    rc = rc ? rc : db_commit(&tx);
    if (rc) {
        log_warn("idempotency.not_trimmed", F_ERR(rc));
    }
}

/* ---- entity tags ---- */

static bool changes_by_itself(const char *name)
{
    static const char *const members[] = {
        "lastSeen", "connectedToControl", "lastUsed",  "lastUsedAddress", "currentlyConnected",
        "bytes",    "readiness",          "readyTime", "online",          "relays",
        "ready",    "sessions",           "connected"};
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (strcmp(members[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* The object as text, each member written once: into *whole, where one is wanted, and into what the
 * tag is the hash of. */
static void write_tagged(const struct js *object, struct buf *whole, char out[REST_ETAG_SIZE])
{
    enum { SHOWN = 16 }; /* 128 bits */
    struct buf stable = BUF_MAX(64 * MIB), member = BUF_MAX(64 * MIB),
               tag = BUF_MAX(REST_ETAG_SIZE);
    struct js_iter it = {0};
    const char *name, *gap = "{\"";
    struct js *value;
    uint8_t hash[CRYPTO_SHA256_SIZE];
    while (js_next(object, &it, &name, &value)) {
        buf_clear(&member);
        buf_adds(&member, gap);
        buf_adds(&member, name); /* names are ours: nothing to escape */
        buf_adds(&member, "\":");
        js_write(value, JS_COMPACT, &member);
        if (whole) {
            buf_add(whole, buf_slice(&member));
        }
        if (!changes_by_itself(name)) {
            buf_add(&stable, slice_skip(buf_slice(&member), 1));
        }
        gap = ",\"";
    }
    if (whole) {
        buf_adds(whole, *gap == '{' ? "{}" : "}");
    }
    crypto_sha256(buf_slice(&stable), hash);
    buf_addc(&tag, '"');
    text_hex(&tag, slice_of(hash, SHOWN));
    buf_addc(&tag, '"');
    text_fit(out, REST_ETAG_SIZE, "%s", buf_cstr(&tag));
    buf_deinit(&member);
    buf_deinit(&stable);
    buf_deinit(&tag);
}

void rest_etag(const struct js *object, char out[REST_ETAG_SIZE])
{
    write_tagged(object, NULL, out);
}

bool rest_tag_listed(struct slice list, struct slice tag)
{
    struct slice one;
    while (list.n && slice_split(&list, ',', &one)) {
        one = slice_trim(one);
        one = slice_starts(one, S("W/")) ? slice_skip(one, 2) : one;
        if (slice_eq(one, tag) || slice_eq(one, S("*"))) {
            return true;
        }
    }
    return false;
}

void rest_add_etag(struct http_rq *rq, const struct js *object)
{
    char tag[REST_ETAG_SIZE];
    rest_etag(object, tag);
    http_rq_add_header(rq, "ETag", tag);
}

/* Does the caller have it already? Then they have been told. */
static bool answer_tag(struct http_rq *rq, const char *tag)
{
    http_rq_add_header(rq, "ETag", tag);
    bool same = http_rq_method(rq) == HTTP_GET &&
                rest_tag_listed(http_rq_header(rq, "If-None-Match"), slice_str(tag));
    if (same) {
        http_rq_reply(rq, 304, NULL, S(""));
    }
    return !same;
}

bool rest_fresh(struct http_rq *rq, const struct js *object)
{
    char tag[REST_ETAG_SIZE];
    rest_etag(object, tag);
    return answer_tag(rq, tag);
}

void rest_object(struct http_rq *rq, const struct js *object)
{
    char tag[REST_ETAG_SIZE];
    struct buf text = BUF_MAX(64 * MIB);
    write_tagged(object, &text, tag);
    if (answer_tag(rq, tag)) {
        reply_text(rq, 200, &text);
    }
    buf_deinit(&text);
}

bool rest_match(struct http_rq *rq, const struct js *now)
{
    struct slice wanted = http_rq_header(rq, "If-Match");
    char tag[REST_ETAG_SIZE];
    if (!wanted.n) {
        return true;
    }
    rest_etag(now, tag);
    if (rest_tag_listed(wanted, slice_str(tag))) {
        return true;
    }
    http_rq_add_header(rq, "ETag", tag);
    reply_problem(rq, &(struct problem){412, "precondition.failed",
                                        "precondition failed, invalid old hash",
                                        "read the object again, decide anew, send its ETag"});
    return false;
}

/* ---- bodies ---- */

static bool known(const char *name, const struct js_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* In a quoted string of a header. */
static void add_name(struct buf *out, const char *name)
{
    for (const char *c = name; *c; c++) {
        bool plain = *c > 0x20 && *c < 0x7f && *c != '"' && *c != '\\';
        buf_add(out, plain ? slice_of(c, 1) : S("?"));
    }
}

void rest_warn_unknown(struct http_rq *rq,
                       const struct js *j,
                       const struct js_field *fields,
                       size_t count)
{
    struct buf text = BUF_MAX(1024);
    struct js_iter it = {0};
    const char *name;
    struct js *value;
    size_t n = 0;
    while (js_next(j, &it, &name, &value)) {
        if (!known(name, fields, count) && n++ < WARNED_MAX) {
            buf_adds(&text, n == 1 ? "299 - \"unknown members are ignored: " : ", ");
            add_name(&text, name);
        }
    }
    if (n) {
        buf_adds(&text, n > WARNED_MAX ? ", and more\"" : "\"");
        http_rq_add_header(rq, "Warning",
                           buf_ok(&text) ? buf_cstr(&text)
                                         : "299 - \"unknown members are ignored\"");
    }
    buf_deinit(&text);
}

/* ---- pages ---- */

static bool page_refused(struct http_rq *rq, const char *message)
{
    reply_problem(rq, &(struct problem){400, "page.invalid", message,
                                        "limit: 1 to 10000; cursor: as nextCursor was"});
    return false;
}

static bool read_cursor(struct slice cursor, int64_t *out)
{
    struct buf text = BUF_MAX(32);
    uint64_t n = 0;
    bool ok = text_unb64url(cursor, &text) && slice_u64(buf_slice(&text), INT64_MAX, &n);
    buf_deinit(&text);
    *out = (int64_t)n;
    return ok;
}

bool rest_page_read(struct http_rq *rq, struct rest_page *out)
{
    struct slice limit = http_rq_query(rq, "limit"), cursor = http_rq_query(rq, "cursor");
    uint64_t n = INT64_MAX;
    *out = (struct rest_page){.limit = INT64_MAX};
    if (limit.n && (!slice_u64(limit, REST_LIMIT_MOST, &n) || n == 0)) {
        return page_refused(rq, "limit is not a number from 1 to 10000");
    }
    out->limit = (int64_t)n;
    if (cursor.n && !read_cursor(cursor, &out->after)) {
        return page_refused(rq, "cursor is not one of ours");
    }
    return true;
}

bool rest_page_take(struct rest_page *p, int64_t key)
{
    if (key <= p->after || p->more) {
        return false;
    }
    if (p->taken == p->limit) {
        p->more = true;
        return false;
    }
    p->taken++;
    p->last = key;
    return true;
}

void rest_page_end(const struct rest_page *p, struct js *answer)
{
    if (p->more) {
        struct buf text = BUF_MAX(32), cursor = BUF_MAX(64);
        buf_addf(&text, "%lld", (long long)p->last);
        text_b64url(&cursor, buf_slice(&text));
        js_set_str(answer, "nextCursor", buf_slice(&cursor));
        buf_deinit(&text);
        buf_deinit(&cursor);
    }
}
