/*
 * RFC 6902 over the tree: each operation finds its place, opening composites
 * on the way, and hands the change to hujson_edit.c. The document itself is
 * not touched: the new text is printed and parsed, and only when that is done
 * does it take the place of the old one. So a patch applies whole or not at
 * all, and positions stay true.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/hujson/hujson_patch_priv.h"

/* Where a pointer leads. */
struct spot {
    struct hujson_value *value; /* NULL: nothing there yet */
    struct hujson_open *parent; /* NULL: the root */
    uint32_t index;             /* in the parent; its count for something new */
    uint32_t depth;             /* composites from the root to the parent, inclusive */
    struct slice name;          /* decoded, of a new member */
};

enum purpose { TO_USE, TO_ADD };

/* ---- finding ---- */

static bool not_found(struct hujson_patcher *p)
{
    return hujson_patch_fail(p, "value not found");
}

static bool is_name(struct hujson_patcher *p, const struct hujson_item *item, struct slice name)
{
    struct slice literal = item->name;
    if (!memchr(literal.p, '\\', literal.n)) {
        return literal.n == name.n + 2 && slice_eq(slice_sub(literal, 1, name.n), name);
    }
    struct buf text = BUF_MAX(literal.n * 2);
    bool same =
        hujson_decode(literal, HUJSON_LONE_REFUSE, &text) && slice_eq(buf_slice(&text), name);
    p->edit.no_memory = p->edit.no_memory || !buf_ok(&text);
    buf_deinit(&text);
    return same;
}

static bool step_into_object(struct hujson_patcher *p, struct spot *s, bool may_add)
{
    struct hujson_open *o = s->parent;
    for (s->index = 0; s->index < o->count; s->index++) {
        if (is_name(p, o->items[s->index], s->name)) {
            return true;
        }
    }
    return !p->edit.no_memory && (may_add || not_found(p));
}

/* "-" is the place behind the last element. An index with a leading zero, or one that would leave a
 * hole, is refused. */
static bool step_into_array(struct hujson_patcher *p, struct spot *s, bool may_add)
{
    uint32_t count = s->parent->count;
    uint64_t i = count;
    bool dash = slice_eq(s->name, S("-"));
    if (!dash && ((s->name.n > 1 && s->name.p[0] == '0') || !slice_u64(s->name, UINT64_MAX, &i))) {
        return hujson_patch_fail(p, "invalid array index: %.*s", SLICE_ARG(s->name));
    }
    if (i > count && may_add) {
        return hujson_patch_fail(p, "invalid array index: %.*s (beyond the end)",
                                 SLICE_ARG(s->name));
    }
    s->index = (uint32_t)(i < count ? i : count);
    return s->index < count || may_add || not_found(p);
}

/* One token further, from s->value. */
static bool step(
    struct hujson_patcher *p, struct slice so_far, struct slice token, bool may_add, struct spot *s)
{
    struct buf name = BUF_MAX(token.n);
    s->parent = hujson_edit_open(&p->edit, s->value);
    if (!s->parent) {
        return !p->edit.no_memory &&
               hujson_patch_fail(p, "invalid pointer: cannot index into literal at %.*s",
                                 SLICE_ARG(so_far));
    }
    hujson_pointer_token(token, &name);
    s->name = slice_of(arena_strdup(p->edit.arena, buf_slice(&name)), name.len);
    bool whole = buf_ok(&name);
    buf_deinit(&name);
    if (!s->name.p || !whole) {
        p->edit.no_memory = true;
        return false;
    }
    s->depth++;
    if (!(s->parent->object ? step_into_object(p, s, may_add) : step_into_array(p, s, may_add))) {
        return false;
    }
    s->value = s->index < s->parent->count ? &s->parent->items[s->index]->value : NULL;
    return true;
}

static bool
find(struct hujson_patcher *p, struct slice pointer, enum purpose purpose, struct spot *out)
{
    *out = (struct spot){.value = &p->edit.root.value};
    if (pointer.n && pointer.p[0] != '/') {
        return hujson_patch_fail(p, "invalid pointer: lacks a forward slash prefix");
    }
    for (size_t at = 0; at < pointer.n;) {
        ptrdiff_t cut = slice_find(slice_skip(pointer, at + 1), '/');
        size_t end = cut < 0 ? pointer.n : at + 1 + (size_t)cut;
        struct slice token = slice_sub(pointer, at + 1, end - at - 1);
        bool may_add = purpose == TO_ADD && end == pointer.n;
        if (!step(p, slice_sub(pointer, 0, at), token, may_add, out)) {
            return false;
        }
        at = end;
    }
    return true;
}

/* ---- the verbs ---- */

static struct slice name_literal(struct hujson_patcher *p, struct slice name)
{
    struct buf text = BUF_MAX(name.n * 6 + 2);
    hujson_encode(name, &text);
    struct slice literal = slice_of(arena_strdup(p->edit.arena, buf_slice(&text)), text.len);
    p->edit.no_memory = p->edit.no_memory || !literal.p || !buf_ok(&text);
    buf_deinit(&text);
    return literal;
}

/* Puts the cargo at a place that was found for adding, or over what is there. */
static bool put(struct hujson_patcher *p, const struct spot *s, const struct hujson_cargo *c)
{
    if (!s->parent) {
        hujson_edit_replace_root(&p->edit, c);
        return true;
    }
    if (s->depth + hujson_edit_height(&c->value) > HUJSON_DEPTH_MAX) {
        return hujson_patch_fail(p, "nesting too deep");
    }
    if (s->parent->object && s->value) {
        hujson_edit_replace(&p->edit, s->parent, s->index, c);
    } else {
        struct slice name = s->parent->object ? name_literal(p, s->name) : S("");
        hujson_edit_insert(&p->edit, s->parent, s->index, name, c);
    }
    return !p->edit.no_memory;
}

static bool add(struct hujson_patcher *p, struct slice path, const struct hujson_cargo *c)
{
    struct spot s;
    return find(p, path, TO_ADD, &s) && put(p, &s, c);
}

static bool drop(struct hujson_patcher *p, const struct spot *s)
{
    hujson_edit_remove(&p->edit, s->parent, s->index);
    return !p->edit.no_memory;
}

static bool remove_or_replace(struct hujson_patcher *p, const struct hujson_op *op)
{
    struct spot s;
    bool removes = op->verb == HUJSON_REMOVE;
    if (!op->path.n) {
        return hujson_patch_fail(p, "cannot %s root value", removes ? "remove" : "replace");
    }
    if (!find(p, op->path, TO_USE, &s)) {
        return false;
    }
    if (removes) {
        return drop(p, &s);
    }
    if (s.depth + hujson_edit_height(&op->value.value) > HUJSON_DEPTH_MAX) {
        return hujson_patch_fail(p, "nesting too deep");
    }
    hujson_edit_replace(&p->edit, s.parent, s.index, &op->value);
    return !p->edit.no_memory;
}

/* Into itself or its own child; the root can go nowhere. */
static bool is_circular(const struct hujson_op *op)
{
    struct slice rest = slice_skip(op->path, op->from.n);
    return !op->from.n || (op->verb == HUJSON_MOVE && slice_starts(op->path, op->from) &&
                           (!rest.n || rest.p[0] == '/'));
}

static bool move_or_copy(struct hujson_patcher *p, const struct hujson_op *op)
{
    struct spot s;
    if (is_circular(op)) {
        char from[200], path[200];
        hujson_quote(op->from, from, sizeof from);
        hujson_quote(op->path, path, sizeof path);
        return hujson_patch_fail(p, "cannot %s %s into %s",
                                 op->verb == HUJSON_MOVE ? "move" : "copy", from, path);
    }
    if (!find(p, op->from, TO_USE, &s)) {
        return false;
    }
    struct hujson_cargo c = hujson_edit_cargo(s.parent, s.index);
    if (op->verb == HUJSON_COPY) {
        c.value = hujson_edit_copy(&p->edit, &c.value);
        return !p->edit.no_memory && add(p, op->path, &c);
    }
    return drop(p, &s) && add(p, op->path, &c);
}

/* A value that was stepped into is compared by its text. */
static int
compare(struct hujson_patcher *p, const struct hujson_value *v, const struct hujson_op *op)
{
    const struct hujson_node *want = op->value.value.node;
    if (!v->open) {
        return hujson_equal(v->doc, v->node, p->patch, want);
    }
    size_t max = p->edit.root.value.doc->max + p->patch->max;
    struct buf text = BUF_MAX(max);
    AUTO(hujson_freep) struct hujson_doc *now = NULL;
    struct hujson_diag diag;
    hujson_edit_print(v, &text);
    int r = buf_ok(&text) ? hujson_parse(buf_slice(&text), max, &diag, &now) : HUJSON_TOO_BIG;
    buf_deinit(&text);
    return r ? r : hujson_equal(now, hujson_root(now), p->patch, want);
}

static bool test(struct hujson_patcher *p, const struct hujson_op *op)
{
    struct spot s;
    char path[200];
    if (!find(p, op->path, TO_USE, &s)) {
        return false;
    }
    int r = compare(p, s.value, op);
    if (r == HUJSON_DIFFERENT) {
        hujson_quote(op->path, path, sizeof path);
        return hujson_patch_fail(p, "values differ at %s", path);
    }
    p->edit.no_memory = p->edit.no_memory || r;
    return !r;
}

static bool apply(struct hujson_patcher *p, const struct hujson_op *op)
{
    switch (op->verb) {
    case HUJSON_ADD:
        return add(p, op->path, &op->value);
    case HUJSON_REMOVE:
    case HUJSON_REPLACE:
        return remove_or_replace(p, op);
    case HUJSON_MOVE:
    case HUJSON_COPY:
        return move_or_copy(p, op);
    case HUJSON_TEST:
        return test(p, op);
    }
    return false;
}

/* ---- the whole ---- */

static int too_big(struct hujson_diag *out_diag, const char *what, size_t max)
{
    *out_diag = (struct hujson_diag){.line = 1, .column = 1};
    (void)snprintf(out_diag->text, sizeof out_diag->text, "%s more than %zu bytes", what, max);
    return HUJSON_TOO_BIG;
}

/* The patched text becomes the document. */
static int commit(struct hujson_doc *d, const struct hujson_edit *e, struct hujson_diag *out_diag)
{
    struct buf text = BUF_MAX(d->max);
    struct hujson_diag unused;
    AUTO(hujson_freep) struct hujson_doc *next = NULL;
    buf_add(&text, e->root.before);
    hujson_edit_print(&e->root.value, &text);
    buf_add(&text, e->root.after);
    bool fits = buf_ok(&text);
    int r = fits ? hujson_parse(buf_slice(&text), d->max, &unused, &next) : 0;
    buf_deinit(&text);
    if (!fits) {
        return too_big(out_diag, "the patched document has", d->max);
    }
    if (r) {
        return err_fold(r < 0 ? r : -ENOTRECOVERABLE); /* what we print parses */
    }
    struct hujson_doc old = *d;
    *d = *next;
    *next = old;
    return 0;
}

static int run(struct hujson_patcher *p, struct hujson_doc *d)
{
    bool ok = hujson_patch_read(p);
    for (size_t i = 0; ok && i < p->count; i++) {
        p->op = &p->ops[i];
        ok = apply(p, p->op);
    }
    if (p->edit.no_memory) {
        return too_big(p->diag, "the patch needs too much memory for a limit of", d->max);
    }
    return ok ? commit(d, &p->edit, p->diag) : HUJSON_PATCH;
}

int hujson_patch(struct hujson_doc *d, struct slice patch_text, struct hujson_diag *out_diag)
{
    enum { TREE_PER_BYTE = 64 }; /* "[1,1,…": an item and its place in the list for two bytes */

    AUTO(hujson_freep) struct hujson_doc *patch = NULL;
    int r = hujson_parse(patch_text, d->max, out_diag, &patch);
    if (r) {
        return r < 0 ? err_trace(r) : r;
    }
    struct hujson_patcher p = {.patch = patch, .diag = out_diag};
    hujson_edit_init(&p.edit, d, ((size_t)d->size + patch->size) * TREE_PER_BYTE + 64 * KIB);
    r = run(&p, d);
    hujson_edit_deinit(&p.edit);
    return r;
}
