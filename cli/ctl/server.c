/* Shared by the commands that talk to a server: see server.h. */
#include "cli/ctl/server.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/text.h"

/* ---- the ETag beside the file ---- */

static bool etag_path(const char *path, char out[PATH_MAX])
{
    bool fits = strlen(path) + sizeof ".etag" <= PATH_MAX && strcmp(path, "-") != 0;
    if (fits) {
        text_fit(out, PATH_MAX, "%s.etag", path);
    }
    return fits;
}

void ctl_etag_read(const char *path, char out[80])
{
    char beside[PATH_MAX];
    struct buf text = BUF_MAX(256);
    *out = '\0';
    if (etag_path(path, beside) && !file_read(beside, &text)) {
        err_ignore(!slice_copy(slice_trim(buf_slice(&text)), out, 80));
    }
    buf_deinit(&text);
}

int ctl_etag_write(const struct ctl *c, const char *path, const char *etag)
{
    char beside[PATH_MAX], line[100];
    text_fit(line, sizeof line, "%s\n", etag);
    if (!etag_path(path, beside)) {
        return 0;
    }
    int rc = file_replace(beside, 0644, slice_str(line));
    return rc ? ctl_complain(c, CTL_REFUSED, "cannot write the ETag beside the file", err_words(rc),
                             "give --if-match yourself when you set it")
              : 0;
}

void ctl_etag_header(const char *etag, char out[100])
{
    struct slice s = slice_trim(slice_str(etag));
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"') {
        s = slice_sub(s, 1, s.n - 2);
    }
    s = slice_sub(s, 0, 90);
    const char *quote = slice_eq(s, S("*")) ? "" : "\"";
    text_fit(out, 100, "%s" SLICE_FMT "%s", quote, SLICE_ARG(s), quote);
}

/* ---- paths ---- */

int ctl_read_rev(const struct ctl *c, const char *text, uint64_t *out)
{
    return slice_u64(slice_str(text), INT64_MAX, out)
               ? 0
               : ctl_complain(c, CTL_USAGE, "this is no revision", text,
                              "funnelctl policy history lists them");
}

int ctl_ask(struct ctl_remote *r, const char *method, const char *path, struct ctl_answer *out)
{
    return ctl_remote_ask(r, &(struct ctl_request){.method = method, .path = path}, out);
}

/* ---- the server's words about a policy ---- */

/* "line L, column C: " stands in front of the server's messages; here the place has its own field.
 */
static struct slice without_place(struct slice message, int line, int column)
{
    char prefix[64];
    text_fit(prefix, sizeof prefix, "line %d, column %d: ", line, column);
    return slice_starts(message, slice_str(prefix)) ? slice_skip(message, strlen(prefix)) : message;
}

static void copy_text(struct slice s, char *out, size_t size)
{
    err_ignore(!slice_copy(slice_sub(s, 0, size - 1), out, size));
}

static void read_diag(const struct js *j, struct policy_diag *out, char code[64])
{
    const struct js *at = js_get(j, "position");
    *out = (struct policy_diag){.severity = slice_eq(js_get_str(j, "severity"), S("warning"))
                                                ? POLICY_WARNING
                                                : POLICY_ERROR,
                                .code = code,
                                .line = (int)js_get_int(at, "line", 0),
                                .column = (int)js_get_int(at, "column", 0)};
    copy_text(js_get_str(j, "code"), code, 64);
    copy_text(js_get_str(j, "pointer"), out->pointer, sizeof out->pointer);
    copy_text(without_place(js_get_str(j, "message"), out->line, out->column), out->message,
              sizeof out->message);
    copy_text(js_get_str(j, "hint"), out->hint, sizeof out->hint);
}

/* Tests that were sent alone are answered by source, without places in a file. */
static size_t read_data(const struct js *answer, struct policy_diag *items, size_t max)
{
    size_t count = 0;
    const struct js *data = js_get(answer, "data");
    for (size_t i = 0; i < js_len(data); i++) {
        struct slice user = js_get_str(js_at(data, i), "user");
        const struct js *errors = js_get(js_at(data, i), "errors");
        for (size_t k = 0; k < js_len(errors) && count < max; k++) {
            struct slice text = js_str(js_at(errors, k));
            struct policy_diag *d = &items[count++];
            *d = (struct policy_diag){.severity = POLICY_ERROR, .code = "test-failed"};
            text_cut(d->message, sizeof d->message, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(user),
                     user.n ? ": " : "", SLICE_ARG(text));
        }
    }
    return count;
}

int ctl_report_answer(const struct ctl *c, const struct ctl_source *src, const struct js *answer)
{
    enum { MANY = 100 }; /* the server sends 50 errors at most, and warnings */

    struct policy_diag items[MANY] = {{0}};
    char codes[MANY][64];
    struct policy_diags diags = {items, 0, false};
    const struct js *list = js_get(answer, "diagnostics");
    for (; diags.count < js_len(list) && diags.count < MANY; diags.count++) {
        read_diag(js_at(list, diags.count), &items[diags.count], codes[diags.count]);
    }
    if (!ctl_errors(&diags)) {
        diags.count += read_data(answer, items + diags.count, MANY - diags.count);
    }
    if (c->args.json) {
        AUTO(js_freep) struct js *j = ctl_report_json(&diags);
        struct js *effects = js_get(answer, "effects");
        if (effects) {
            js_set(j, "effects", js_ref(effects));
        }
        int rc = ctl_put_json(c, j);
        return rc ? rc : ctl_errors(&diags) ? CTL_REFUSED : CTL_OK;
    }
    ctl_report_text(c, src, &diags);
    return ctl_errors(&diags) || (c->args.strict && diags.count) ? CTL_REFUSED : CTL_OK;
}

static int conflict(const struct ctl *c, const char *file, const struct js *j)
{
    char what[200], fix[400], beside[80];
    struct slice author = js_get_str(j, "author"), time = js_get_str(j, "time"),
                 etag = js_get_str(j, "etag");
    ctl_etag_read(file, beside);
    text_cut(what, sizeof what, "the server has a version by " SLICE_FMT " of " SLICE_FMT,
             SLICE_ARG(author), SLICE_ARG(time));
    text_cut(fix, sizeof fix,
             "funnelctl policy diff %.100s; merge; then set it with --if-match " SLICE_FMT, file,
             SLICE_ARG(etag));
    return ctl_complain(c, CTL_REFUSED, what,
                        c->args.if_match || *beside
                            ? "it is not the one that yours was made from"
                            : "it is not known which version yours was made from",
                        fix);
}

int ctl_refused_save(const struct ctl *c, const struct ctl_source *src, const struct ctl_answer *a)
{
    char ignored[200];
    AUTO(js_freep)
    struct js *j = js_parse(buf_slice(&a->body), a->body.max, ignored, sizeof ignored);
    if (j && a->status == 400 && js_len(js_get(j, "diagnostics"))) {
        int rc = ctl_report_answer(c, src, j);
        return rc ? rc : CTL_REFUSED;
    }
    if (j && a->status == 412 && !c->args.json) {
        return conflict(c, src->path, j);
    }
    return ctl_answer_complain(c, "the policy was not saved", a);
}

int ctl_put_etag(const struct ctl *c, const struct ctl_answer *a)
{
    AUTO(js_freep) struct js *j = js_object();
    struct buf line = BUF_MAX(100);
    if (c->args.json) {
        js_set_cstr(j, "etag", a->etag);
        return ctl_put_json(c, j);
    }
    buf_addf(&line, "%s\n", a->etag);
    int rc = ctl_put(c, buf_slice(&line));
    buf_deinit(&line);
    return rc;
}

/* ---- effects ---- */

static void
put_names(const struct ctl *c, char sign, const char *colour, const struct js *list, int64_t all)
{
    for (size_t i = 0; i < js_len(list); i++) {
        struct slice name = js_get_str(js_at(list, i), "name");
        printf("  %s%c ", ctl_paint(c->colour_out, colour), sign);
        ctl_put_clean(stdout, c->utf8, name);
        printf("%s\n", ctl_paint(c->colour_out, "\033[0m"));
    }
    if (all > (int64_t)js_len(list)) {
        printf("  %c and %lld more\n", sign, (long long)(all - (int64_t)js_len(list)));
    }
}

void ctl_put_effects(const struct ctl *c, const struct js *effects)
{
    const struct js *list = js_get(effects, "attributes");
    if (!js_len(list)) {
        puts("no device gains or loses anything");
    }
    for (size_t i = 0; i < js_len(list); i++) {
        const struct js *at = js_at(list, i);
        int64_t gains = js_get_int(at, "gains", 0), losses = js_get_int(at, "losses", 0);
        ctl_put_clean(stdout, c->utf8, js_get_str(at, "name"));
        printf(": %lld gain it, %lld lose it\n", (long long)gains, (long long)losses);
        put_names(c, '-', "\033[31m", js_get(at, "losing"), losses);
        put_names(c, '+', "\033[32m", js_get(at, "gaining"), gains);
    }
}
