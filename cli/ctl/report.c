/*
 * Diagnostics. What a file says is shown with its control characters replaced: a policy from
 * somebody else must not be able to write on this terminal.
 */
#include "cli/ctl/report.h"

#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "lib/base/text.h"

enum {
    TAB = 4,     /* columns that a TAB is shown as */
    SHOWN = 100, /* columns of a long line that are shown */
    BEFORE = 60, /* at most so many of them stand left of the caret */
};

/* ---- characters ---- */

size_t ctl_rune_length(struct slice s)
{
    for (size_t n = 1; n <= 4 && n <= s.n; n++) {
        if (text_utf8_valid(slice_of(s.p, n))) {
            return n;
        }
    }
    return 1;
}

/* Columns that the character takes; 0 for a combining one. */
static int width_of(struct slice rune)
{
    wchar_t w = L'\0';
    if (rune.n == 1) {
        return *rune.p == '\t' ? TAB : 1;
    }
    mbstate_t state = {0};
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the state is ours */
    size_t n = mbrtowc(&w, rune.p, rune.n, &state);
    int columns = n == rune.n ? wcwidth(w) : -1;
    return columns < 0 ? 1 : columns;
}

size_t ctl_columns(struct slice s)
{
    size_t columns = 0;
    while (s.n) {
        size_t n = ctl_rune_length(s);
        columns += (size_t)width_of(slice_of(s.p, n));
        s = slice_skip(s, n);
    }
    return columns;
}

struct slice ctl_columns_cut(struct slice s, size_t columns)
{
    size_t used = 0, n = 0;
    while (n < s.n) {
        struct slice rest = slice_skip(s, n);
        size_t rune = ctl_rune_length(rest);
        used += (size_t)width_of(slice_of(rest.p, rune));
        if (used > columns) {
            break;
        }
        n += rune;
    }
    return slice_sub(s, 0, n);
}

static void put_rune(FILE *to, bool utf8, struct slice rune)
{
    if (*rune.p == '\t') {
        fprintf(to, "%*s", TAB, "");
    } else if ((rune.n > 1 && !utf8) || !text_printable(rune, 4)) {
        fputc('?', to);
    } else {
        fwrite(rune.p, 1, rune.n, to);
    }
}

void ctl_put_clean(FILE *to, bool utf8, struct slice rest)
{
    while (rest.n) {
        size_t n = ctl_rune_length(rest);
        put_rune(to, utf8, slice_of(rest.p, n));
        rest = slice_skip(rest, n);
    }
}

/* ---- the line with its caret ---- */

static struct slice line_of(struct slice text, int line)
{
    struct slice part = S("");
    while (line-- > 0) {
        if (!slice_split(&text, '\n', &part)) {
            return S("");
        }
    }
    return part.n && part.p[part.n - 1] == '\r' ? slice_sub(part, 0, part.n - 1) : part;
}

/* Drops characters from the front until the caret stands at most BEFORE columns in. */
static struct slice from_near(struct slice line, size_t caret, size_t *out_dropped)
{
    *out_dropped = 0;
    while (ctl_columns(slice_sub(line, *out_dropped, caret - *out_dropped)) > BEFORE) {
        *out_dropped += ctl_rune_length(slice_skip(line, *out_dropped));
    }
    return slice_skip(line, *out_dropped);
}

static void put_source_line(FILE *to, bool utf8, struct slice line)
{
    for (int columns = 0; line.n;) {
        size_t n = ctl_rune_length(line);
        columns += width_of(slice_of(line.p, n));
        if (columns > SHOWN) {
            fputs(utf8 ? "…" : "...", to);
            break;
        }
        put_rune(to, utf8, slice_of(line.p, n));
        line = slice_skip(line, n);
    }
    fputc('\n', to);
}

struct place {
    int line, column;
    const char *colour, *plain;
};

static void put_excerpt(FILE *to, bool utf8, struct slice text, const struct place *at)
{
    struct slice line = line_of(text, at->line);
    size_t caret = at->column > 0 ? (size_t)at->column - 1 : 0, dropped;
    if (caret > line.n) {
        caret = line.n;
    }
    struct slice shown = from_near(line, caret, &dropped);
    const char *cut = !dropped ? "" : utf8 ? "…" : "...";
    int indent = (int)ctl_columns(slice_sub(line, dropped, caret - dropped)) + (!dropped ? 0
                                                                                : utf8   ? 1
                                                                                         : 3);
    fprintf(to, "%6d | %s", at->line, cut);
    put_source_line(to, utf8, shown);
    fprintf(to, "%6s | %*s%s^%s\n", "", indent, "", at->colour, at->plain);
}

void ctl_put_excerpt(const struct ctl *c, const struct ctl_source *src, int line, int column)
{
    struct place at = {line, column, ctl_paint(c->colour_out, "\033[36m"),
                       ctl_paint(c->colour_out, "\033[0m")};
    put_excerpt(stdout, c->utf8, src->text, &at);
}

/* ---- for people ---- */

/* path:line:column, or nothing for what has no place in the file. */
static void put_where(FILE *to, const struct ctl_source *src, const struct policy_diag *d)
{
    if (d->line) {
        fprintf(to, "%s:%d:%d: ", ctl_name(src->path), d->line, d->column);
    } else {
        fputs("funnelctl: ", to);
    }
}

static void
put_diag(const struct ctl *c, FILE *to, const struct ctl_source *src, const struct policy_diag *d)
{
    bool colour = to == stdout ? c->colour_out : c->colour_err, error = d->severity == POLICY_ERROR;
    struct place at = {d->line, d->column, ctl_paint(colour, error ? "\033[31m" : "\033[33m"),
                       ctl_paint(colour, "\033[0m")};
    fputs(ctl_paint(colour, "\033[1m"), to);
    put_where(to, src, d);
    fprintf(to, "%s%s%s:%s ", at.plain, at.colour, error ? "error" : "warning", at.plain);
    ctl_put_clean(to, c->utf8, slice_str(d->message));
    fprintf(to, " %s[%s%s", ctl_paint(colour, "\033[2m"), d->code, d->pointer[0] ? " " : "");
    ctl_put_clean(to, c->utf8, slice_str(d->pointer));
    fprintf(to, "]%s\n", at.plain);
    if (d->line) {
        put_excerpt(to, c->utf8, src->text, &at);
    }
    if (d->hint[0]) {
        fputs("       = ", to);
        ctl_put_clean(to, c->utf8, slice_str(d->hint));
        fputc('\n', to);
    }
}

/* The one line that scripts look for. */
static void
put_syntax(const struct ctl *c, const struct ctl_source *src, const struct policy_diag *d)
{
    fprintf(stderr, "line %d, column %d: ", d->line, d->column);
    ctl_put_clean(stderr, c->utf8, slice_str(d->message));
    fputc('\n', stderr);
    if (isatty(STDERR_FILENO)) {
        struct place at = {d->line, d->column, ctl_paint(c->colour_err, "\033[31m"),
                           ctl_paint(c->colour_err, "\033[0m")};
        put_excerpt(stderr, c->utf8, src->text, &at);
        if (d->hint[0]) {
            fprintf(stderr, "       = %s\n", d->hint);
        }
    }
}

static void put_diags(const struct ctl *c,
                      FILE *to,
                      const struct ctl_source *src,
                      const struct policy_diags *diags)
{
    for (size_t i = 0; i < diags->count; i++) {
        put_diag(c, to, src, &diags->items[i]);
    }
    (void)fflush(to); /* a lost line shows at the end: log_end */
}

size_t ctl_errors(const struct policy_diags *diags)
{
    size_t errors = 0;
    for (size_t i = 0; i < diags->count; i++) {
        errors += diags->items[i].severity == POLICY_ERROR;
    }
    return errors;
}

void ctl_report_text(const struct ctl *c,
                     const struct ctl_source *src,
                     const struct policy_diags *diags)
{
    size_t errors = ctl_errors(diags), warnings = diags->count - errors;
    put_diags(c, stdout, src, diags);
    const char *mark = ctl_paint(c->colour_err, errors     ? "\033[31m"
                                                : warnings ? "\033[33m"
                                                           : "\033[32m");
    const char *sign = c->utf8 ? (errors ? "✗" : "✓") : (errors ? "fail" : "ok");
    fprintf(stderr, "%s%s%s %s: %zu error%s, %zu warning%s%s\n", mark, sign,
            ctl_paint(c->colour_err, "\033[0m"), ctl_name(src->path), errors,
            errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s",
            diags->truncated ? " (only the first are shown)" : "");
}

void ctl_report_stderr(const struct ctl *c,
                       const struct ctl_source *src,
                       const struct policy_diags *diags)
{
    if (diags->count && strcmp(diags->items[0].code, "syntax") == 0) {
        put_syntax(c, src, &diags->items[0]);
    } else {
        put_diags(c, stderr, src, diags);
    }
}

static void put_diff_line(const struct ctl *c, struct slice line)
{
    int first = line.n ? *line.p : ' ';
    const char *colour = first == '-'   ? "\033[31m"
                         : first == '+' ? "\033[32m"
                         : first == '@' ? "\033[36m"
                                        : "";
    fputs(ctl_paint(c->colour_out, colour), stdout);
    ctl_put_clean(stdout, true, line);
    printf("%s\n", ctl_paint(c->colour_out && *colour, "\033[0m"));
}

int ctl_put_diff(const struct ctl *c, const char *before, const char *after, struct slice unified)
{
    struct slice line;
    const char *bold = ctl_paint(c->colour_out, "\033[1m"),
               *plain = ctl_paint(c->colour_out, "\033[0m");
    if (unified.n && !slice_starts(unified, S("---"))) {
        printf("%s--- %s%s\n%s+++ %s%s\n", bold, before, plain, bold, after, plain);
    }
    if (!c->colour_out && !isatty(STDOUT_FILENO)) {
        return ctl_put(c, unified); /* for patch(1): every byte */
    }
    while (slice_split(&unified, '\n', &line)) {
        put_diff_line(c, line);
    }
    return CTL_OK;
}

/* ---- for machines ---- */

static struct js *diag_json(const struct policy_diag *d)
{
    struct js *j = js_object();
    js_set_cstr(j, "code", d->code);
    js_set_cstr(j, "pointer", d->pointer);
    js_set_int(j, "line", d->line);
    js_set_int(j, "column", d->column);
    js_set_cstr(j, "message", d->message);
    js_set_cstr(j, "hint", d->hint);
    return j;
}

struct js *ctl_report_json(const struct policy_diags *diags)
{
    struct js *j = js_object(), *errors = js_array(), *warnings = js_array();
    for (size_t i = 0; i < diags->count; i++) {
        const struct policy_diag *d = &diags->items[i];
        js_push(d->severity == POLICY_ERROR ? errors : warnings, diag_json(d));
    }
    js_set(j, "errors", errors);
    js_set(j, "warnings", warnings);
    return j;
}

int ctl_put_json(const struct ctl *c, const struct js *j)
{
    struct buf out = BUF_MAX(64 * MIB);
    js_write(j, JS_PRETTY, &out);
    buf_addc(&out, '\n');
    int rc = buf_ok(&out) ? ctl_put(c, buf_slice(&out))
                          : ctl_complain(c, CTL_REFUSED, "the result is too large",
                                         "more than 64 MiB", "leave out --json");
    buf_deinit(&out);
    return rc;
}

int ctl_refuse_text(const struct ctl *c,
                    const struct ctl_source *src,
                    const char *code,
                    const struct hujson_diag *d)
{
    struct policy_diag one = {.severity = POLICY_ERROR,
                              .code = code,
                              .offset = d->offset,
                              .line = d->line,
                              .column = d->column};
    struct policy_diags diags = {&one, 1, false};
    text_cut(one.message, sizeof one.message, "%s", d->text);
    text_cut(one.hint, sizeof one.hint, "%s", d->hint ? d->hint : "");
    if (!c->args.json) {
        ctl_report_stderr(c, src, &diags);
        return CTL_REFUSED;
    }
    AUTO(js_freep) struct js *j = ctl_report_json(&diags);
    int rc = ctl_put_json(c, j);
    return rc ? rc : CTL_REFUSED;
}
