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
    return rc ? ctl_refuse_syntax(c, &src, &diag) : 0;
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
