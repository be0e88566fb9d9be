/* A plan as an RFC 6902 patch: what runs where the file is in its canonical form. */
#include "policy/edit_priv.h"

void edit_put_quoted(struct buf *out, struct slice s)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            buf_addf(out, "\\%c", c);
        } else if (c < 0x20) {
            buf_addf(out, "\\u%04x", c);
        } else {
            buf_addc(out, s.p[i]);
        }
    }
    buf_addc(out, '"');
}

const struct hujson_node *edit_composite(const struct hujson_doc *doc, const struct edit_step *step)
{
    const struct hujson_node *n = hujson_root(doc);
    for (size_t i = 0; i < step->depth; i++) {
        n = hujson_at(n, step->path[i]);
    }
    return n;
}

/* The pointer gets one token more: the child's name or index. */
static void
add_child(const struct hujson_doc *doc, const struct hujson_node *n, size_t i, struct buf *out)
{
    struct buf scratch = BUF_MAX(EDIT_TEXT_MAX);
    struct slice name;
    if (hujson_kind(n) == HUJSON_ARRAY) {
        hujson_pointer_add_index(out, i);
    } else if (hujson_name_slice(doc, n, i, &scratch, &name)) {
        hujson_pointer_add(out, name);
    }
    buf_deinit(&scratch);
}

static void put_pointer(const struct hujson_doc *doc, const struct edit_step *step, struct buf *out)
{
    const struct hujson_node *n = hujson_root(doc);
    for (size_t i = 0; i < step->depth; i++) {
        add_child(doc, n, step->path[i], out);
        n = hujson_at(n, step->path[i]);
    }
    if (step->verb != EDIT_ADD) {
        add_child(doc, n, step->index, out);
    } else if (hujson_kind(n) == HUJSON_OBJECT) {
        hujson_pointer_add(out, step->name);
    } else if (step->index == EDIT_LAST) {
        buf_adds(out, "/-");
    } else {
        hujson_pointer_add_index(out, step->index + 1);
    }
}

void edit_patch_print(const struct hujson_doc *doc, const struct edit_plan *plan, struct buf *out)
{
    static const char *const ops[] = {"add", "replace", "remove"};
    buf_adds(out, "[\n");
    for (size_t i = 0; i < plan->count; i++) {
        const struct edit_step *step = &plan->steps[i];
        struct buf pointer = BUF_MAX(EDIT_TEXT_MAX);
        put_pointer(doc, step, &pointer);
        buf_addf(out, "{\"op\": \"%s\", \"path\": ", ops[step->verb]);
        edit_put_quoted(out, buf_slice(&pointer));
        if (step->verb != EDIT_REMOVE) {
            buf_adds(out, ", \"value\": ");
            buf_add(out, step->value);
        }
        buf_adds(out, "},\n");
        buf_deinit(&pointer);
    }
    buf_adds(out, "]\n");
}
