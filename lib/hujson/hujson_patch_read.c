/*
 * A patch is read whole before any of it is applied: an array of objects
 * whose members are looked at in their order. Members that no operation knows
 * are passed over; the same name twice is refused.
 */
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/map.h"
#include "lib/hujson/hujson_patch_priv.h"

/* ---- messages ---- */

bool hujson_patch_fail(struct hujson_patcher *p, const char *fmt, ...)
{
    struct hujson_diag *d = p->diag;
    size_t offset = p->op ? p->op->offset : hujson_offset(hujson_root(p->patch));
    int used = 0;
    d->offset = offset;
    d->hint = NULL;
    hujson_position(p->patch, offset, &d->line, &d->column);
    if (p->op) {
        used = snprintf(d->text, sizeof d->text, "patch operation %zu: ", p->op->index);
    }
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(d->text + used, sizeof d->text - (size_t)used, fmt, ap);
    va_end(ap);
    return false;
}

static void quote_rune(struct slice text, size_t at, size_t n, uint32_t rune, struct buf *out)
{
    static const char names[] = "\"\\abfnrtv", bytes[] = "\"\\\a\b\f\n\r\t\v";
    const char *named = rune && rune < 0x80 ? strchr(bytes, (int)rune) : NULL;
    if (!n) {
        buf_addf(out, "\\x%02x", (uint8_t)text.p[at]);
    } else if (named) {
        buf_addf(out, "\\%c", names[named - bytes]);
    } else if (hujson_is_printable(rune)) {
        buf_add(out, slice_sub(text, at, n));
    } else {
        buf_addf(out, rune < 0x80 ? "\\x%02x" : rune < 0x10000 ? "\\u%04x" : "\\U%08x", rune);
    }
}

void hujson_quote(struct slice text, char *out, size_t out_size)
{
    struct buf quoted = BUF_MAX(out_size - 2);
    buf_addc(&quoted, '"');
    for (size_t at = 0; at < text.n && buf_ok(&quoted);) {
        uint32_t rune = 0;
        size_t n = hujson_rune(text, at, &rune);
        quote_rune(text, at, n, rune, &quoted);
        at += n ? n : 1;
    }
    (void)snprintf(out, out_size, "%s\"", buf_cstr(&quoted));
    buf_deinit(&quoted);
}

/* ---- one operation ---- */

static struct slice
decode(struct hujson_patcher *p, const struct hujson_node *n, enum hujson_lone lone)
{
    struct slice literal = hujson_literal(p->patch, n), text = {NULL, 0};
    if (!n->escaped) {
        return slice_sub(literal, 1, literal.n - 2);
    }
    struct buf scratch = BUF_MAX(literal.n * 2);
    if (hujson_decode(literal, lone, &scratch)) {
        text = slice_of(arena_strdup(p->edit.arena, buf_slice(&scratch)), scratch.len);
        p->edit.no_memory = p->edit.no_memory || !text.p;
    }
    p->edit.no_memory = p->edit.no_memory || !buf_ok(&scratch);
    buf_deinit(&scratch);
    return text;
}

static bool read_string(struct hujson_patcher *p,
                        const char *member,
                        const struct hujson_node *n,
                        struct slice *out)
{
    if (n->kind != HUJSON_STRING) {
        hujson_patch_fail(p, "member \"%s\" must be a JSON string", member);
        return false;
    }
    struct slice text = decode(p, n, HUJSON_LONE_REFUSE);
    if (!text.p) {
        hujson_patch_fail(p, "member \"%s\" holds a NUL or a lone surrogate", member);
        return false; /* out of memory is told by edit.no_memory */
    }
    *out = text;
    return true;
}

static bool read_verb(struct hujson_patcher *p, struct hujson_op *op, const struct hujson_node *n)
{
    static const char *const names[] = {"add", "remove", "replace", "move", "copy", "test"};
    char shown[200];
    struct slice text;
    if (!read_string(p, "op", n, &text)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq(text, slice_str(names[i]))) {
            op->verb = (enum hujson_verb)i;
            return true;
        }
    }
    hujson_quote(text, shown, sizeof shown);
    return hujson_patch_fail(p, "unknown operation %s", shown);
}

static bool read_member(struct hujson_patcher *p,
                        struct hujson_op *op,
                        struct hujson_open *o,
                        uint32_t i,
                        struct slice name)
{
    const struct hujson_node *value = o->items[i]->value.node;
    if (slice_eq(name, S("op"))) {
        op->has_verb = true;
        return read_verb(p, op, value);
    }
    if (slice_eq(name, S("path"))) {
        op->has_path = true;
        return read_string(p, "path", value, &op->path);
    }
    if (slice_eq(name, S("from"))) {
        op->has_from = true;
        return read_string(p, "from", value, &op->from);
    }
    if (slice_eq(name, S("value"))) {
        op->has_value = true;
        op->value = hujson_edit_cargo(o, i);
    }
    return true;
}

/* What the verb needs. */
static bool is_complete(struct hujson_patcher *p, const struct hujson_op *op)
{
    const char *missing = NULL;
    if (!op->has_verb) {
        missing = "op";
    } else if (!op->has_path) {
        missing = "path";
    } else if (op->verb == HUJSON_MOVE || op->verb == HUJSON_COPY) {
        missing = op->has_from ? NULL : "from";
    } else if (op->verb != HUJSON_REMOVE) {
        missing = op->has_value ? NULL : "value";
    }
    return !missing || hujson_patch_fail(p, "missing required member \"%s\"", missing);
}

static bool read_members(struct hujson_patcher *p,
                         struct hujson_op *op,
                         const struct hujson_node *n,
                         struct map *seen)
{
    struct hujson_value value = {.doc = p->patch, .node = n};
    struct hujson_open *o = hujson_edit_open(&p->edit, &value);
    for (uint32_t i = 0; o && i < o->count; i++) {
        char shown[200];
        struct slice name = decode(p, &n->items[(size_t)2 * i], HUJSON_LONE_KEEP);
        if (!name.p) {
            return false;
        }
        if (map_set(seen, name, op)) {
            hujson_quote(name, shown, sizeof shown);
            return hujson_patch_fail(p, "duplicate name %s", shown);
        }
        if (!read_member(p, op, o, i, name)) {
            return false;
        }
    }
    return o && is_complete(p, op);
}

bool hujson_patch_read(struct hujson_patcher *p)
{
    const struct hujson_node *list = hujson_root(p->patch);
    if (list->kind != HUJSON_ARRAY) {
        return hujson_patch_fail(p, "patch must be a JSON array");
    }
    p->ops = arena_alloc(p->edit.arena, list->count * sizeof *p->ops);
    bool ok = p->ops != NULL;
    p->edit.no_memory = !ok;
    for (; ok && p->count < list->count; p->count++) {
        const struct hujson_node *n = &list->items[p->count];
        struct hujson_op *op = &p->ops[p->count];
        op->index = p->count;
        op->offset = n->start;
        p->op = op;
        if (n->kind != HUJSON_OBJECT) {
            return hujson_patch_fail(p, "must be a JSON object");
        }
        struct map *seen = map_new();
        ok = read_members(p, op, n, seen);
        map_free(seen);
    }
    p->op = NULL;
    return ok;
}
