/*
 * JSON Pointer: "/acls/0/dst", with "~1" for a slash and "~0" for a tilde in
 * a name. Indices are digits without a leading zero; "-" names no element.
 */
#include "lib/hujson/hujson_priv.h"

void hujson_pointer_add(struct buf *out, struct slice name)
{
    buf_addc(out, '/');
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '~' || name.p[i] == '/') {
            buf_adds(out, name.p[i] == '~' ? "~0" : "~1");
        } else {
            buf_addc(out, name.p[i]);
        }
    }
}

void hujson_pointer_add_index(struct buf *out, size_t i)
{
    buf_addf(out, "/%zu", i);
}

void hujson_pointer_token(struct slice token, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < token.n; i++) {
        char c = token.p[i];
        if (c == '~' && i + 1 < token.n && (token.p[i + 1] == '0' || token.p[i + 1] == '1')) {
            c = token.p[++i] == '0' ? '~' : '/';
        }
        buf_addc(out, c);
    }
}

bool hujson_pointer_index(struct slice token, size_t *out_index)
{
    uint64_t v;
    if ((token.n > 1 && token.p[0] == '0') || !slice_u64(token, UINT32_MAX, &v)) {
        return false;
    }
    *out_index = v;
    return true;
}

static const struct hujson_node *
child(const struct hujson_doc *d, const struct hujson_node *n, struct slice token, struct buf *name)
{
    size_t i;
    if (n->kind == HUJSON_ARRAY) {
        return hujson_pointer_index(token, &i) && i < n->count ? hujson_at(n, i) : NULL;
    }
    hujson_pointer_token(token, name);
    return buf_ok(name) ? hujson_find(d, n, buf_slice(name)) : NULL;
}

const struct hujson_node *hujson_pointer(const struct hujson_doc *d, struct slice pointer)
{
    const struct hujson_node *n = &d->root;
    if (!pointer.n) {
        return n;
    }
    if (pointer.p[0] != '/') {
        return NULL;
    }
    struct buf name = BUF_MAX(pointer.n);
    struct slice rest = slice_skip(pointer, 1);
    for (bool more = true; n && more;) {
        ptrdiff_t cut = slice_find(rest, '/');
        more = cut >= 0;
        n = child(d, n, more ? slice_sub(rest, 0, (size_t)cut) : rest, &name);
        rest = slice_skip(rest, (size_t)cut + 1);
    }
    buf_deinit(&name);
    return n;
}

/* The last item of n that starts at or before the offset; its extra counts with it. */
static uint32_t item_at(const struct hujson_node *n, size_t offset)
{
    uint32_t low = 0, high = n->count * hujson_stride(n);
    while (high - low > 1) {
        uint32_t mid = (low + high) / 2;
        if (n->items[mid].before <= offset) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}

void hujson_pointer_of(const struct hujson_doc *d, size_t offset, struct buf *out)
{
    struct buf name = BUF_MAX(d->size + 1);
    const struct hujson_node *n = &d->root;
    while (n->count && offset > n->start && offset + 1 < n->end) {
        uint32_t i = item_at(n, offset);
        struct slice text;
        if (offset >= n->items[i].after) {
            break; /* a comma, or what stands before the closer */
        }
        if (n->kind == HUJSON_ARRAY) {
            hujson_pointer_add_index(out, i);
            n = &n->items[i];
        } else if (hujson_name_slice(d, n, i / 2, &name, &text)) {
            hujson_pointer_add(out, text);
            n = &n->items[i | 1];
        } else {
            break; /* a name that nothing can point at */
        }
    }
    buf_deinit(&name);
}
