#pragma once
/* What is wrong where: for people with the line and a caret, for machines as JSON. */
#include <stdio.h>

#include "cli/ctl/ctl.h"
#include "lib/data/json.h"
#include "lib/hujson/hujson.h"
#include "policy/policy.h"

struct ctl_source {
    const char *path; /* as given */
    struct slice text;
};

/* {"errors":[{"code","pointer","line","column","message","hint"}],"warnings":[…]} */
struct js *ctl_report_json(const struct policy_diags *diags);
/* file:line:column: error: message, the line with a caret, the hint; then a summary on stderr. */
void ctl_report_text(const struct ctl *c,
                     const struct ctl_source *src,
                     const struct policy_diags *diags);
/* The same on stderr without a summary, for commands whose stdout is a document. */
void ctl_report_stderr(const struct ctl *c,
                       const struct ctl_source *src,
                       const struct policy_diags *diags);
/* One diagnostic of a text, CTL_REFUSED. code "syntax": "line L, column C: message" on stderr (on a
 * terminal with the line and a caret), else as check shows it; or the object with --json. */
int ctl_refuse_text(const struct ctl *c,
                    const struct ctl_source *src,
                    const char *code,
                    const struct hujson_diag *d);
/* An object on stdout, one line or pretty. 0, or an exit code after complaining. */
int ctl_put_json(const struct ctl *c, const struct js *j) MUST_CHECK;
/* Text from elsewhere, with what could move a terminal's cursor replaced. */
void ctl_put_clean(FILE *to, bool utf8, struct slice rest);
/* What a terminal shows: bytes of the first character, columns of a text, its beginning that fits.
 */
size_t ctl_rune_length(struct slice s);
size_t ctl_columns(struct slice s);
struct slice ctl_columns_cut(struct slice s, size_t columns);
/* The line with a caret below it, on stdout. */
void ctl_put_excerpt(const struct ctl *c, const struct ctl_source *src, int line, int column);
/* A unified diff under the names of its two sides, coloured where colours are wanted; nothing where
 * it is empty. 0, or an exit code after complaining. */
int ctl_put_diff(const struct ctl *c, const char *before, const char *after, struct slice unified)
    MUST_CHECK;
size_t ctl_errors(const struct policy_diags *diags); /* how many of the diagnostics are errors */
