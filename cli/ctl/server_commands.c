/*
 * The policy on a control server: get, set, diff, history, rollback, test. Nothing overwrites what
 * it has not seen: `get -o FILE` leaves the version's ETag beside the file, and `set FILE` writes
 * only over that version.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/server.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/text.h"

/* ---- get ---- */

static int write_file(const struct ctl *c, const char *path, struct slice text)
{
    struct stat st;
    if (!stat(path, &st)) {
        return ctl_replace(c, path, text);
    }
    mode_t mask = umask(0);
    (void)umask(mask);
    int rc = file_replace(path, 0666 & ~mask, text);
    return rc ? ctl_complain(c, CTL_REFUSED, "cannot write the file", err_words(rc),
                             "choose another --output")
              : 0;
}

static int put_policy(const struct ctl *c, const struct ctl_answer *a)
{
    const char *file = c->args.output;
    if (file) {
        int rc = write_file(c, file, buf_slice(&a->body));
        rc = rc ? rc : ctl_etag_write(c, file, a->etag);
        if (!rc) {
            ctl_note(c, "%s: version %s", file, a->etag);
        }
        return rc;
    }
    if (!c->args.json) {
        return ctl_put(c, buf_slice(&a->body));
    }
    AUTO(js_freep) struct js *j = js_object();
    js_set_str(j, "text", buf_slice(&a->body));
    js_set_cstr(j, "etag", a->etag);
    return ctl_put_json(c, j);
}

/* The policy in force, or version `rev`. */
static int get_text(struct ctl *c, struct ctl_remote *r, const char *rev, struct ctl_answer *out)
{
    char path[100] = CTL_ACL;
    uint64_t number = 0;
    int rc = rev ? ctl_read_rev(c, rev, &number) : 0;
    if (rev) {
        text_fit(path, sizeof path, CTL_ACL "/history/%llu", (unsigned long long)number);
    }
    rc = rc ? rc : ctl_ask(r, "GET", path, out);
    return rc || out->status == 200 ? rc : ctl_answer_complain(c, "cannot get the policy", out);
}

int ctl_get(struct ctl *c)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    struct ctl_answer a = {.status = 0};
    int rc = ctl_remote_open(c, &r);
    rc = rc ? rc : get_text(c, r, c->args.rev, &a);
    rc = rc ? rc : put_policy(c, &a);
    ctl_answer_deinit(&a);
    return rc;
}

/* ---- set ---- */

/* Over which version: what was asked for, what stands beside the file, or the untouched default. */
static void choose_base(const struct ctl *c, char out[100])
{
    char beside[80];
    ctl_etag_read(c->args.words[0], beside);
    ctl_etag_header(c->args.force      ? "*"
                    : c->args.if_match ? c->args.if_match
                    : *beside          ? beside
                                       : "ts-default",
                    out);
}

/* The server takes an empty body for "back to the default". */
static int check_not_empty(const struct ctl *c, struct slice text)
{
    return slice_trim(text).n || c->args.force
               ? 0
               : ctl_complain(c, CTL_REFUSED, "the file is empty",
                              "saving it would bring the default policy back",
                              "--force where that is meant");
}

static void save_path(const struct ctl *c, struct buf *out)
{
    buf_adds(out, CTL_ACL);
    if (c->args.message) {
        buf_adds(out, "?message=");
        text_percent(out, slice_str(c->args.message));
    }
}

/* The file's ETag moves on where `get -o` had made one. */
static int saved(const struct ctl *c, const struct ctl_answer *a)
{
    char beside[80];
    ctl_etag_read(c->args.words[0], beside);
    int rc = *beside ? ctl_etag_write(c, c->args.words[0], a->etag) : 0;
    return rc ? rc : ctl_put_etag(c, a);
}

int ctl_set(struct ctl *c)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    struct buf text = BUF_MAX(0), path = BUF_MAX(16 * KIB);
    struct ctl_answer a = {.status = 0};
    char base[100];
    choose_base(c, base);
    save_path(c, &path);
    int rc = ctl_read(c, c->args.words[0], &text);
    rc = rc ? rc : check_not_empty(c, buf_slice(&text));
    rc = rc ? rc : ctl_remote_open(c, &r);
    struct ctl_request rq = {
        .method = "POST", .path = buf_cstr(&path), .if_match = base, .body = buf_slice(&text)};
    rc = rc ? rc : ctl_remote_ask(r, &rq, &a);
    if (!rc) {
        struct ctl_source src = {c->args.words[0], buf_slice(&text)};
        rc = a.status == 200 ? saved(c, &a) : ctl_refused_save(c, &src, &a);
    }
    ctl_answer_deinit(&a);
    buf_deinit(&path);
    buf_deinit(&text);
    return rc;
}

/* ---- test ---- */

/* What the server says of the text, with effects where asked: an exit code. */
static int
validate(struct ctl *c, struct ctl_remote *r, const struct ctl_source *src, struct js **out_answer)
{
    struct ctl_answer a = {.status = 0};
    struct ctl_request rq = {.method = "POST",
                             .path = c->args.effects ? CTL_ACL "/validate?effects=1"
                                                     : CTL_ACL "/validate",
                             .body = src->text};
    int rc = ctl_remote_ask(r, &rq, &a);
    if (!rc && a.status != 200) {
        rc = ctl_answer_complain(c, "the policy cannot be judged", &a);
    }
    if (!rc) {
        *out_answer = ctl_answer_json(c, &a);
        rc = *out_answer ? 0 : CTL_PROTOCOL;
    }
    ctl_answer_deinit(&a);
    return rc;
}

int ctl_test(struct ctl *c)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    AUTO(js_freep) struct js *answer = NULL;
    struct buf text = BUF_MAX(0);
    struct ctl_answer a = {.status = 0};
    const char *file = c->args.word_count ? c->args.words[0] : NULL;
    int rc = file ? ctl_read_policy(c, file, &text) : 0;
    rc = rc ? rc : ctl_remote_open(c, &r);
    rc = rc || file ? rc : get_text(c, r, NULL, &a);
    struct ctl_source src = {file ? file : "the policy in force",
                             file ? buf_slice(&text) : buf_slice(&a.body)};
    rc = rc ? rc : validate(c, r, &src, &answer);
    if (!rc) {
        const struct js *effects = js_get(answer, "effects");
        rc = ctl_report_answer(c, &src, answer);
        if (effects && !c->args.json) {
            ctl_put_effects(c, effects);
        }
    }
    ctl_answer_deinit(&a);
    buf_deinit(&text);
    return rc;
}

/* ---- diff ---- */

/* From the server's text to the file's; for tools also what devices would notice. */
static int diff_file(struct ctl *c, struct ctl_remote *r, struct js *out)
{
    struct ctl_answer a = {.status = 0};
    struct buf text = BUF_MAX(0), unified = BUF_MAX(32 * MIB);
    struct ctl_source src = {c->args.words[0], S("")};
    AUTO(js_freep) struct js *answer = NULL;
    int rc = ctl_read_policy(c, src.path, &text);
    rc = rc ? rc : get_text(c, r, c->args.from, &a);
    if (!rc) {
        src.text = buf_slice(&text);
        policy_diff(buf_slice(&a.body), src.text, 3, &unified);
        js_set_cstr(out, "etag", a.etag);
        js_set_str(out, "unified", buf_slice(&unified));
    }
    rc = rc || !c->args.effects ? rc : validate(c, r, &src, &answer);
    if (!rc && js_get(answer, "effects")) {
        js_set(out, "effects", js_ref(js_get(answer, "effects")));
    } else if (!rc && answer) {
        rc = ctl_report_answer(c, &src, answer);
    }
    ctl_answer_deinit(&a);
    buf_deinit(&unified);
    buf_deinit(&text);
    return rc;
}

static int diff_versions(struct ctl *c, struct ctl_remote *r, struct js *out)
{
    struct ctl_answer a = {.status = 0};
    uint64_t from = 0, to = 0;
    struct buf path = BUF_MAX(200);
    int rc = c->args.from ? ctl_read_rev(c, c->args.from, &from) : 0;
    rc = rc || !c->args.to ? rc : ctl_read_rev(c, c->args.to, &to);
    buf_adds(&path, CTL_ACL "/diff");
    if (c->args.from) {
        buf_addf(&path, "?from=%llu", (unsigned long long)from);
    }
    if (c->args.to) {
        buf_addf(&path, "%cto=%llu", c->args.from ? '&' : '?', (unsigned long long)to);
    }
    rc = rc ? rc : ctl_ask(r, "GET", buf_cstr(&path), &a);
    buf_deinit(&path);
    if (!rc && a.status != 200) {
        rc = ctl_answer_complain(c, "cannot compare the versions", &a);
    }
    AUTO(js_freep) struct js *answer = rc ? NULL : ctl_answer_json(c, &a);
    if (!rc && answer) {
        js_set_str(out, "unified", js_get_str(answer, "unified"));
        js_set(out, "from", js_ref(js_get(answer, "from")));
        js_set(out, "to", js_ref(js_get(answer, "to")));
    }
    ctl_answer_deinit(&a);
    return rc ? rc : answer ? 0 : CTL_PROTOCOL;
}

int ctl_diff(struct ctl *c)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    AUTO(js_freep) struct js *j = js_object();
    int rc = ctl_remote_open(c, &r);
    rc = rc ? rc : c->args.word_count ? diff_file(c, r, j) : diff_versions(c, r, j);
    if (rc || c->args.json) {
        return rc ? rc : ctl_put_json(c, j);
    }
    struct slice unified = js_get_str(j, "unified");
    rc = ctl_put_diff(c, c->args.from ? c->args.from : "the server",
                      c->args.word_count ? ctl_name(c->args.words[0])
                      : c->args.to       ? c->args.to
                                         : "the server",
                      unified);
    if (!unified.n) {
        ctl_note(c, "no difference");
    }
    if (js_get(j, "effects")) {
        ctl_put_effects(c, js_get(j, "effects"));
    }
    return rc;
}

/* ---- history ---- */

static void put_version(const struct ctl *c, const struct js *v)
{
    struct slice created = js_get_str(v, "created"), via = js_get_str(v, "via"),
                 etag = js_get_str(v, "etag");
    printf("%s%6lld%c %-20.*s  %-9.*s %.12s…  ",
           ctl_paint(c->colour_out && js_get_bool(v, "current", false), "\033[1m"),
           (long long)js_get_int(v, "rev", 0), js_get_bool(v, "current", false) ? '*' : ' ',
           (int)created.n, created.p, (int)via.n, via.p, etag.n >= 12 ? etag.p : "            ");
    ctl_put_clean(stdout, c->utf8, js_get_str(v, "author"));
    if (js_get_str(v, "message").n) {
        fputs("  ", stdout);
        ctl_put_clean(stdout, c->utf8, js_get_str(v, "message"));
    }
    printf("%s\n", ctl_paint(c->colour_out, "\033[0m"));
}

static int
get_history(const struct ctl *c, struct ctl_remote *r, const char *limit, struct js **out)
{
    struct ctl_answer a = {.status = 0};
    uint64_t n = 50;
    char path[100];
    if (limit && (!slice_u64(slice_str(limit), 200, &n) || !n)) {
        return ctl_complain(c, CTL_USAGE, "this is no limit", limit, "--limit 1 to 200");
    }
    text_fit(path, sizeof path, CTL_ACL "/history?limit=%u", (unsigned)n);
    int rc = ctl_ask(r, "GET", path, &a);
    if (!rc && a.status != 200) {
        rc = ctl_answer_complain(c, "cannot get the history", &a);
    }
    *out = rc ? NULL : ctl_answer_json(c, &a);
    ctl_answer_deinit(&a);
    return rc ? rc : *out ? 0 : CTL_PROTOCOL;
}

int ctl_history(struct ctl *c)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    AUTO(js_freep) struct js *j = NULL;
    int rc = ctl_remote_open(c, &r);
    rc = rc ? rc : get_history(c, r, c->args.limit, &j);
    if (rc || c->args.json) {
        return rc ? rc : ctl_put_json(c, j);
    }
    const struct js *list = js_get(j, "versions");
    printf("   REV  %-20s  %-9s %-13s  %s\n", "WHEN", "VIA", "ETAG", "BY, MESSAGE");
    for (size_t i = 0; i < js_len(list); i++) {
        put_version(c, js_at(list, i));
    }
    return CTL_OK;
}

/* ---- rollback ---- */

/* What it replaces: what was asked for, or what is in force now; then somebody who saves in between
 * is not overwritten. */
static int rollback_base(const struct ctl *c, struct ctl_remote *r, char out[100])
{
    AUTO(js_freep) struct js *j = NULL;
    char etag[80] = "";
    if (c->args.force || c->args.if_match) {
        ctl_etag_header(c->args.force ? "*" : c->args.if_match, out);
        return 0;
    }
    int rc = get_history(c, r, "1", &j);
    if (!rc) {
        const struct js *now = js_at(js_get(j, "versions"), 0);
        struct slice author = js_get_str(now, "author"), created = js_get_str(now, "created");
        err_ignore(!slice_copy(js_get_str(now, "etag"), etag, sizeof etag));
        ctl_etag_header(etag, out);
        ctl_note(c, "it replaces version %lld by " SLICE_FMT " of " SLICE_FMT,
                 (long long)js_get_int(now, "rev", 0), SLICE_ARG(author), SLICE_ARG(created));
    }
    return rc;
}

int ctl_rollback(struct ctl *c)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    AUTO(js_freep) struct js *j = js_object();
    struct buf body = BUF_MAX(64 * KIB);
    struct ctl_answer a = {.status = 0};
    uint64_t rev = 0;
    char base[100];
    int rc = ctl_read_rev(c, c->args.words[0], &rev);
    js_set_int(j, "rev", (int64_t)rev);
    js_set_cstr(j, "message", c->args.message);
    js_write(j, JS_COMPACT, &body);
    rc = rc ? rc : ctl_remote_open(c, &r);
    rc = rc ? rc : rollback_base(c, r, base);
    struct ctl_request rq = {.method = "POST",
                             .path = CTL_ACL "/rollback",
                             .if_match = base,
                             .json = true,
                             .body = buf_slice(&body)};
    rc = rc ? rc : ctl_remote_ask(r, &rq, &a);
    if (!rc) {
        struct ctl_source src = {c->args.words[0], S("")};
        rc = a.status == 200 ? ctl_put_etag(c, &a) : ctl_refused_save(c, &src, &a);
    }
    ctl_answer_deinit(&a);
    buf_deinit(&body);
    return rc;
}
