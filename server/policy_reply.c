/* The shapes of the policy's answers, in the words of Tailscale's API where it has any (policy.md
 * section 6). */
#include "server/policy_reply.h"

#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define TESTS_FAILED "test(s) failed"

void policy_line(const struct policy_diag *d, char out[POLICY_LINE_SIZE])
{
    text_fit(out, POLICY_LINE_SIZE, "line %d, column %d: %s", d->line, d->column, d->message);
}

struct js *policy_diag_json(const struct policy_diag *d)
{
    struct js *j = js_object(), *at = js_object();
    char line[POLICY_LINE_SIZE];
    policy_line(d, line);
    js_set_int(at, "line", d->line);
    js_set_int(at, "column", d->column);
    js_set_int(at, "character", d->character);
    js_set_int(at, "offset", (int64_t)d->offset);
    js_set_cstr(j, "severity", d->severity == POLICY_ERROR ? "error" : "warning");
    js_set_cstr(j, "code", d->code);
    js_set_cstr(j, "pointer", d->pointer);
    js_set(j, "position", at);
    js_set_cstr(j, "message", line);
    js_set_cstr(j, "hint", d->hint[0] ? d->hint : NULL);
    return j;
}

static bool is_test(const struct policy_diag *d)
{
    return strcmp(d->code, "test-failed") == 0;
}

/* ---- failing tests, by source ---- */

struct source {
    struct js *errors, *warnings;
};

static struct source *source_for(struct js *data, struct map *seen, struct slice user)
{
    struct source *s = map_get(seen, user);
    if (!s) {
        struct js *j = js_object();
        s = mem_new(sizeof *s);
        *s = (struct source){js_array(), js_array()};
        js_set_str(j, "user", user);
        js_set(j, "errors", s->errors);
        js_set(j, "warnings", s->warnings);
        js_push(data, j);
        map_set(seen, user, s);
    }
    return s;
}

/* What stands under its source: without the words that the whole answer begins with. */
static struct slice test_words(const struct policy_diag *d)
{
    struct slice text = slice_str(d->message), prefix = S(TESTS_FAILED ": ");
    return slice_starts(text, prefix) ? slice_skip(text, prefix.n) : text;
}

static struct js *data_json(const struct policy_diags *diags)
{
    struct js *data = js_array();
    struct map *seen = map_new();
    for (size_t i = 0; i < diags->count; i++) {
        const struct policy_diag *d = &diags->items[i];
        char line[POLICY_LINE_SIZE];
        policy_line(d, line);
        struct source *s = source_for(data, seen, slice_str(d->user));
        js_push_str(d->severity == POLICY_ERROR ? s->errors : s->warnings,
                    is_test(d) ? test_words(d) : slice_str(line));
    }
    map_free_values(seen);
    return data;
}

static const struct policy_diag *first_error(const struct policy_diags *diags, bool tests)
{
    for (size_t i = 0; i < diags->count; i++) {
        const struct policy_diag *d = &diags->items[i];
        if (d->severity == POLICY_ERROR && is_test(d) == tests) {
            return d;
        }
    }
    return NULL;
}

void policy_diags_json(struct js *answer, const struct policy_diags *diags)
{
    const struct policy_diag *e = first_error(diags, false);
    struct js *all = js_array();
    char line[POLICY_LINE_SIZE];
    if (e) {
        policy_line(e, line);
        js_set_cstr(answer, "message", line);
        js_set_cstr(answer, "code", "policy.invalid");
    } else if (first_error(diags, true)) {
        js_set_cstr(answer, "message", TESTS_FAILED);
        js_set_cstr(answer, "code", "policy.test_failed");
        e = first_error(diags, true);
    }
    if (e) {
        js_set(answer, "data", data_json(diags));
    }
    for (size_t i = 0; i < diags->count; i++) {
        js_push(all, policy_diag_json(&diags->items[i]));
    }
    if (js_len(all)) {
        js_set(answer, "diagnostics", all);
    } else {
        js_free(all);
    }
    if (diags->truncated) {
        js_set_bool(answer, "truncated", true);
    }
}

void policy_reply_invalid(struct http_rq *rq, const struct policy_diags *diags)
{
    AUTO(js_freep) struct js *j = js_object();
    policy_diags_json(j, diags);
    js_set_cstr(j, "fix",
                "mend the places that \"diagnostics\" names; the stored policy is unchanged");
    js_set_cstr(j, "requestId", http_rq_id(rq));
    js_set_int(j, "status", 400);
    reply_json(rq, 400, j);
}

/* ---- a version ---- */

/* "0.85" in thousandths. */
static int read_q(struct slice v)
{
    int q = 0;
    if (!v.n || v.p[0] != '0') {
        return 1000;
    }
    for (size_t i = 2, scale = 100; i < v.n && scale && v.p[i] >= '0' && v.p[i] <= '9'; i++) {
        q += (v.p[i] - '0') * (int)scale;
        scale /= 10;
    }
    return q;
}

/* One media range of Accept: its quality in thousandths where it is exactly `type`, else -1. */
static int quality(struct slice range, struct slice type)
{
    struct slice part, name;
    int q = 1000;
    if (!slice_split(&range, ';', &name) || !slice_eq_nocase(slice_trim(name), type)) {
        return -1;
    }
    while (range.n && slice_split(&range, ';', &part)) {
        part = slice_trim(part);
        q = slice_starts_nocase(part, S("q=")) ? read_q(slice_skip(part, 2)) : q;
    }
    return q;
}

bool policy_wants_json(struct http_rq *rq)
{
    struct slice header = http_rq_header(rq, "Accept"), range;
    int json = 0, hujson = 0; /* the first one named wins a tie */
    while (header.n && slice_split(&header, ',', &range)) {
        int j = quality(range, S("application/json")), h = quality(range, S("application/hujson"));
        json = j > json && j > hujson ? j : json;
        hujson = h > hujson && h > json ? h : hujson;
    }
    return json > hujson;
}

bool policy_wants_details(struct http_rq *rq)
{
    struct slice v = http_rq_query(rq, "details");
    return slice_eq(v, S("1")) || slice_eq_nocase(v, S("true"));
}

void policy_add_etag(struct http_rq *rq, const char *etag)
{
    char quoted[80];
    text_fit(quoted, sizeof quoted, "\"%s\"", etag);
    http_rq_add_header(rq, "ETag", quoted);
}

static void
reply_details(struct http_rq *rq, const struct policy_version *v, const struct policy_diags *diags)
{
    AUTO(js_freep) struct js *j = js_object();
    struct js *warnings = js_array(), *errors = js_array();
    struct buf acl = BUF_MAX(4 * POLICY_SIZE_MAX);
    text_b64(&acl, buf_slice(&v->text));
    for (size_t i = 0; diags && i < diags->count; i++) {
        const struct policy_diag *d = &diags->items[i];
        js_push_str(d->severity == POLICY_ERROR ? errors : warnings, slice_str(d->message));
    }
    js_set_str(j, "acl", buf_slice(&acl));
    js_set(j, "warnings", warnings);
    js_set(j, "errors", errors);
    reply_json(rq, 200, j);
    buf_deinit(&acl);
}

void policy_reply_version(struct http_rq *rq,
                          const struct policy_version *v,
                          const struct policy_diags *diags)
{
    policy_add_etag(rq, v->meta.etag);
    http_rq_add_header(rq, "Vary", "Accept");
    if (policy_wants_details(rq)) {
        reply_details(rq, v, diags);
        return;
    }
    http_rq_add_header(rq, "Cache-Control", "no-store, no-transform");
    if (policy_wants_json(rq) && v->standard.len) {
        http_rq_reply(rq, 200, "application/json", buf_slice(&v->standard));
    } else {
        http_rq_reply(rq, 200, "application/hujson", buf_slice(&v->text));
    }
}

struct js *policy_meta_json(const struct store_policy_meta *m)
{
    struct js *j = js_object();
    char created[WALL_TEXT_SIZE];
    wall_format(m->created, created);
    js_set_int(j, "rev", m->id);
    js_set_cstr(j, "etag", m->etag);
    js_set_cstr(j, "author", m->author);
    js_set_cstr(j, "created", created);
    js_set_cstr(j, "via", m->via[0] ? m->via : "api");
    js_set_cstr(j, "message", m->message);
    js_set_int(j, "size", (int64_t)m->size);
    js_set_bool(j, "current", m->current);
    return j;
}

/* ---- refusals ---- */

void policy_reply_conflict(struct http_rq *rq, const struct policy_version *now)
{
    AUTO(js_freep) struct js *j = js_object();
    char created[WALL_TEXT_SIZE];
    wall_format(now->meta.created, created);
    js_set_cstr(j, "message", "precondition failed, invalid old hash");
    js_set(j, "data", js_array());
    js_set_cstr(j, "code", "policy.changed");
    js_set_cstr(j, "fix",
                "read the policy again, merge your change into it and save with its ETag");
    js_set_cstr(j, "etag", now->meta.etag);
    js_set_int(j, "rev", now->meta.id);
    js_set_cstr(j, "author", now->meta.author);
    js_set_cstr(j, "time", created);
    js_set_cstr(j, "requestId", http_rq_id(rq));
    js_set_int(j, "status", 412);
    policy_add_etag(rq, now->meta.etag);
    reply_json(rq, 412, j);
}

void policy_reply_busy(struct http_rq *rq)
{
    http_rq_add_header(rq, "Retry-After", "1");
    reply_problem(rq, &(struct problem){503, "busy", "too many policies are being judged",
                                        "try again in a second"});
}
