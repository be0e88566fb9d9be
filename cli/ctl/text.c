/* Commands about the syntax alone, whatever the document means: standardize, minimize, fmt, patch.
 */
#include <errno.h>
#include <string.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/report.h"
#include "lib/base/err.h"

#define TEXT_MAX (32 * MIB) /* results: escapes and indentation make a document longer */

/* A document as a command has it: the bytes, then the tree. */
struct document {
    struct buf text;
    struct hujson_doc *doc;
};

static void document_deinit(struct document *d)
{
    hujson_free(d->doc);
    buf_deinit(&d->text);
}

static int document_read(struct ctl *c, const char *path, struct document *out)
{
    struct hujson_diag diag;
    int rc = ctl_read(c, path, &out->text);
    if (rc) {
        return rc;
    }
    struct ctl_source src = {path, buf_slice(&out->text)};
    rc = hujson_parse(src.text, out->text.max, &diag, &out->doc);
    if (rc < 0) {
        return ctl_complain(c, CTL_REFUSED, "cannot read the document", err_words(rc),
                            "give it more memory");
    }
    return rc ? ctl_refuse_text(c, &src, "syntax", &diag) : 0;
}

/* The new text: as one object, into the file, or as it is. */
static int put_text(const struct ctl *c, const char *path, struct slice text)
{
    if (c->args.write) {
        int rc = ctl_replace(c, path, text);
        if (rc || !c->args.json) {
            return rc;
        }
    }
    if (!c->args.json) {
        return ctl_put(c, text);
    }
    AUTO(js_freep) struct js *j = js_object();
    js_set_str(j, "text", text);
    return ctl_put_json(c, j);
}

static int too_big(const struct ctl *c)
{
    return ctl_complain(c, CTL_REFUSED, "the result is too large", "it has more than 32 MiB",
                        "split the document");
}

int ctl_standardize(struct ctl *c)
{
    struct document d = {.doc = NULL};
    struct buf out = BUF_MAX(TEXT_MAX);
    int rc = document_read(c, c->args.words[0], &d);
    if (!rc) {
        hujson_standardize(d.doc, &out);
        rc = put_text(c, c->args.words[0], buf_slice(&out));
    }
    buf_deinit(&out);
    document_deinit(&d);
    return rc;
}

int ctl_minimize(struct ctl *c)
{
    struct document d = {.doc = NULL};
    struct buf out = BUF_MAX(TEXT_MAX);
    int rc = document_read(c, c->args.words[0], &d);
    if (!rc && hujson_minimize(d.doc, &out)) {
        rc = too_big(c);
    }
    rc = rc ? rc : put_text(c, c->args.words[0], buf_slice(&out));
    buf_deinit(&out);
    document_deinit(&d);
    return rc;
}

/* ---- fmt ---- */

/* What would change, as a diff; 1 when anything. */
static int show_difference(const struct ctl *c, struct slice before, struct slice after)
{
    const char *name = ctl_name(c->args.words[0]);
    struct buf diff = BUF_MAX(TEXT_MAX);
    policy_diff(before, after, 3, &diff);
    int rc = buf_ok(&diff) ? ctl_put_diff(c, name, name, buf_slice(&diff)) : too_big(c);
    bool differs = !slice_eq(before, after);
    buf_deinit(&diff);
    return rc ? rc : differs ? CTL_REFUSED : CTL_OK;
}

static int
put_formatted(const struct ctl *c, const char *path, struct slice before, struct slice after)
{
    if (c->args.check) {
        return show_difference(c, before, after);
    }
    /* A file that is in its form already is not touched. */
    return c->args.write && !c->args.json && slice_eq(before, after) ? 0 : put_text(c, path, after);
}

int ctl_fmt(struct ctl *c)
{
    struct document d = {.doc = NULL};
    struct buf out = BUF_MAX(TEXT_MAX);
    int rc = document_read(c, c->args.words[0], &d);
    if (!rc && hujson_format(d.doc, &out)) {
        rc = too_big(c);
    }
    rc = rc ? rc : put_formatted(c, c->args.words[0], buf_slice(&d.text), buf_slice(&out));
    buf_deinit(&out);
    document_deinit(&d);
    return rc;
}

/* ---- patch ---- */

static int apply(struct ctl *c, struct document *d, const struct ctl_source *patch)
{
    struct hujson_diag diag;
    int rc = hujson_patch(d->doc, patch->text, &diag);
    if (rc == HUJSON_TOO_BIG) {
        return too_big(c);
    }
    if (rc < 0) {
        return ctl_complain(c, CTL_REFUSED, "cannot apply the patch", err_words(rc),
                            "give it more memory");
    }
    return rc ? ctl_refuse_text(c, patch, rc == HUJSON_SYNTAX ? "syntax" : "patch", &diag) : 0;
}

int ctl_patch(struct ctl *c)
{
    struct document d = {.doc = NULL};
    struct buf patch = BUF_MAX(0), out = BUF_MAX(TEXT_MAX);
    int rc = document_read(c, c->args.words[0], &d);
    rc = rc ? rc : ctl_read(c, c->args.words[1], &patch);
    struct ctl_source src = {c->args.words[1], buf_slice(&patch)};
    rc = rc ? rc : apply(c, &d, &src);
    if (!rc && !c->args.format) {
        buf_add(&out, hujson_text(d.doc));
    } else if (!rc && hujson_format(d.doc, &out)) {
        rc = too_big(c);
    }
    rc = rc ? rc : put_text(c, c->args.words[0], buf_slice(&out));
    buf_deinit(&out);
    buf_deinit(&patch);
    document_deinit(&d);
    return rc;
}
