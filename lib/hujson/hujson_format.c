/*
 * The formatter, byte for byte the reference's (policy.md 1.9). One walk
 * chooses which objects and arrays are expanded (hujson_format_width.c), a
 * second writes the text. Where a member's value begins, the second leaves a
 * slot: only when a run of members ends is it known how far its values must
 * move to stand below each other. The last step copies the text and fills the
 * slots with blanks.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/hujson/hujson_fmt_priv.h"

/* A place in the text where blanks may go. */
struct slot {
    size_t at;
    size_t pad;      /* while its run is open: the width of the row before it */
    uint32_t before; /* the slot before in the same run, from 1 */
};

/* The item that is being written at one level and, in an expanded object, the run it may join. */
struct row {
    uint32_t indent; /* of the composite that holds the item */
    size_t at;       /* where its line's own text begins */
    uint32_t lines;
    uint32_t slot; /* from 1; 0: its value does not start on the line of its name */
    uint32_t run;  /* the last slot of the open run, from 1 */
    size_t widest;
};

struct formatter {
    const struct hujson_doc *d;
    const uint64_t *expanded;
    bool standard; /* the input is plain JSON, so the output must be too */
    struct buf text, scratch;
    struct hujson_extra_out extra;
    struct slot *slots;
    uint32_t slot_count, slot_room;
    struct row row[HUJSON_DEPTH_MAX + 1]; /* by the level of the item; the root has 0 */
    bool no_memory;
};

static bool is_expanded(const struct formatter *f, const struct hujson_node *n)
{
    return f->expanded[n->start / 64] >> n->start % 64 & 1;
}

static struct slice span(const struct formatter *f, uint32_t from, uint32_t to)
{
    return slice_of(f->d->text + from, to - from);
}

static bool breaks(struct slice extra)
{
    return extra.n && memchr(extra.p, '\n', extra.n);
}

static void put_extra(struct formatter *f, struct slice extra, uint32_t depth, unsigned flags)
{
    hujson_format_extra(&f->extra, extra, depth, flags);
}

/* ---- alignment ---- */

static uint32_t new_slot(struct formatter *f)
{
    enum { FIRST = 64 };

    if (f->slot_count == f->slot_room) {
        uint32_t room = f->slot_room ? f->slot_room * 2 : FIRST;
        struct slot *slots = mem_try(room * sizeof *slots);
        if (!slots) {
            f->no_memory = true;
            return 0;
        }
        if (f->slot_count) {
            memcpy(slots, f->slots, f->slot_count * sizeof *slots);
        }
        mem_free(f->slots);
        f->slots = slots;
        f->slot_room = room;
    }
    f->slots[f->slot_count++] = (struct slot){.at = f->text.len};
    return f->slot_count;
}

static void end_run(struct formatter *f, struct row *r)
{
    for (uint32_t i = r->run; i;) {
        struct slot *s = &f->slots[i - 1];
        s->pad = r->widest - s->pad;
        i = s->before;
    }
    r->run = 0;
    r->widest = 0;
}

/* `lines` line feeds stand before the name: more than one, and an empty line or a comment parts it
 * from the run. */
static void begin_row(struct formatter *f, struct row *r, uint32_t lines)
{
    if (lines > 1) {
        end_run(f, r);
    }
    r->at = f->text.len;
    r->lines = f->extra.lines;
    r->slot = 0;
}

static void begin_row_value(struct formatter *f, struct row *r)
{
    if (f->extra.lines == r->lines) {
        r->slot = new_slot(f);
    }
}

static void end_row(struct formatter *f, struct row *r)
{
    if (!r->slot || f->extra.lines != r->lines) {
        end_run(f, r);
        return;
    }
    struct slot *s = &f->slots[r->slot - 1];
    s->pad = s->at - r->at;
    s->before = r->run;
    r->run = r->slot;
    r->widest = s->pad > r->widest ? s->pad : r->widest;
}

/* ---- items ---- */

static unsigned flags_before(const struct formatter *f, const struct hujson_walk *w)
{
    if (w->is_value) {
        return EXTRA_SPACE | EXTRA_NO_BLANK_BEFORE | EXTRA_NO_BLANK_AFTER;
    }
    if (is_expanded(f, w->parent)) {
        return EXTRA_LINE_BEFORE | (w->index ? 0 : EXTRA_NO_BLANK_BEFORE);
    }
    return w->index ? EXTRA_SPACE : 0;
}

static void enter_item(struct formatter *f, const struct hujson_walk *w)
{
    const struct hujson_node *n = w->node;
    if (!w->parent) {
        put_extra(f, span(f, n->before, n->start), 0, EXTRA_AT_START);
        return;
    }
    uint32_t lines = f->extra.lines;
    struct row *row = w->is_name || w->is_value ? &f->row[w->level] : NULL;
    if (w->index) {
        buf_addc(&f->text, w->is_value ? ':' : ',');
    }
    put_extra(f, span(f, n->before, n->start), f->row[w->level].indent + 1u + w->is_value,
              flags_before(f, w));
    if (row && is_expanded(f, w->parent)) {
        if (w->is_name) {
            begin_row(f, row, f->extra.lines - lines);
        } else {
            begin_row_value(f, row);
        }
    }
}

static void put_literal(struct formatter *f, const struct hujson_node *n)
{
    if (!n->escaped) {
        buf_add(&f->text, hujson_literal(f->d, n));
    } else if (!hujson_reencode(hujson_literal(f->d, n), &f->scratch, &f->text)) {
        f->no_memory = buf_ok(&f->text); /* else there was no room */
    }
}

/* Between a name and its colon, or a value and its comma, only comments are kept. */
static void leave_item(struct formatter *f, const struct hujson_walk *w)
{
    const struct hujson_node *n = w->node;
    struct slice after = span(f, n->end, n->after);
    if (!w->parent) {
        put_extra(f, after, 0, EXTRA_AT_END);
        return;
    }
    uint32_t level = w->depth;
    bool last = hujson_walk_is_last(w) && !w->parent->trailing;
    if (!last && hujson_has_comment(after)) {
        put_extra(f, after, f->row[level].indent + 2, EXTRA_NO_BLANK_BEFORE | EXTRA_NO_BLANK_AFTER);
    }
    if (w->is_value && is_expanded(f, w->parent)) {
        end_row(f, &f->row[level]);
    }
}

/* ---- composites ---- */

static bool keeps_comma(const struct formatter *f, const struct hujson_node *n, struct slice tail)
{
    if (!n->count) {
        return false;
    }
    if (is_expanded(f, n)) {
        return !f->standard;
    }
    const struct hujson_node *last = &n->items[n->count * hujson_stride(n) - 1];
    return n->trailing && hujson_has_comment(span(f, last->end, last->after)) &&
           hujson_has_comment(tail);
}

static void put_closer(struct formatter *f, const struct hujson_walk *w)
{
    const struct hujson_node *n = w->node;
    uint32_t level = w->depth + 1, inner = f->row[level].indent + 1;
    struct slice tail = span(f, n->tail, n->end - 1);
    if (n->count && !n->trailing) {
        const struct hujson_node *last = &n->items[n->count * hujson_stride(n) - 1];
        tail = span(f, last->end, last->after);
    }
    if (keeps_comma(f, n, tail)) {
        buf_addc(&f->text, ',');
    }
    bool own_line = is_expanded(f, n);
    if (own_line || hujson_has_comment(tail)) {
        uint32_t lines = f->extra.lines;
        put_extra(f, tail, inner,
                  (own_line ? EXTRA_LINE_AFTER | EXTRA_OUTDENT_AFTER : 0) |
                      (n->count ? 0 : EXTRA_NO_BLANK_BEFORE) | EXTRA_NO_BLANK_AFTER);
        if (!n->count) {
            f->extra.lines = lines; /* a row with a comment in "{}" still counts as one line */
        }
    }
    end_run(f, &f->row[level]);
    buf_addc(&f->text, n->kind == HUJSON_OBJECT ? '}' : ']');
}

/* An inline composite adds no level; a value that starts on a line of its own is one deeper. */
static uint32_t indent_inside(const struct formatter *f, const struct hujson_walk *w)
{
    const struct hujson_node *n = w->node;
    if (!w->parent) {
        return 0;
    }
    bool own_line = false;
    if (w->is_value) {
        const struct hujson_node *name = n - 1;
        struct slice before = span(f, n->before, n->start), gap = span(f, name->end, name->after);
        own_line = breaks(before) || (breaks(gap) && hujson_has_comment(gap));
    }
    return f->row[w->level].indent + is_expanded(f, w->parent) + own_line;
}

static void write_text(struct formatter *f)
{
    struct hujson_walk w = {.root = &f->d->root};
    enum hujson_visit v;
    while ((v = hujson_walk_next(&w)) != HUJSON_VISIT_END) {
        if (v == HUJSON_VISIT_CLOSE) {
            put_closer(f, &w);
            leave_item(f, &w);
            continue;
        }
        enter_item(f, &w);
        if (hujson_is_composite(w.node)) {
            buf_addc(&f->text, w.node->kind == HUJSON_OBJECT ? '{' : '[');
            f->row[w.level + 1] = (struct row){.indent = indent_inside(f, &w)};
        } else {
            put_literal(f, w.node);
            leave_item(f, &w);
        }
    }
}

/* ---- the slots ---- */

static void put_blanks(struct buf *out, size_t n)
{
    static const char blanks[] = "                                ";
    for (; n >= sizeof blanks - 1; n -= sizeof blanks - 1) {
        buf_add(out, slice_of(blanks, sizeof blanks - 1));
    }
    buf_add(out, slice_of(blanks, n));
}

static int fill_slots(const struct formatter *f, struct buf *out)
{
    struct slice text = buf_slice(&f->text);
    size_t size = text.n, from = 0;
    for (uint32_t i = 0; i < f->slot_count; i++) {
        if (__builtin_add_overflow(size, f->slots[i].pad, &size)) {
            return HUJSON_TOO_BIG;
        }
    }
    if (buf_reserve(out, size)) {
        return out->starved ? err_origin(-ENOMEM) : HUJSON_TOO_BIG;
    }
    for (uint32_t i = 0; i < f->slot_count; i++) {
        const struct slot *s = &f->slots[i];
        buf_add(out, slice_sub(text, from, s->at - from));
        put_blanks(out, s->pad);
        from = s->at;
    }
    buf_add(out, slice_skip(text, from));
    return 0;
}

int hujson_format(const struct hujson_doc *d, struct buf *out)
{
    AUTO_FREE uint64_t *expanded = NULL;
    int r = hujson_choose_expanded(d, &expanded);
    if (r) {
        return err_trace(r);
    }
    struct formatter *f = mem_new(sizeof *f);
    f->d = d;
    f->expanded = expanded;
    f->standard = hujson_is_standard(d);
    f->text = BUF_MAX(out->max - out->len);
    f->scratch = f->extra.scratch = BUF_MAX((size_t)d->size + 1);
    f->extra.out = &f->text;
    write_text(f);
    r = f->no_memory || f->text.starved ? err_origin(-ENOMEM)
        : buf_ok(&f->text)              ? fill_slots(f, out)
                                        : HUJSON_TOO_BIG;
    mem_free(f->slots);
    buf_deinit(&f->text);
    buf_deinit(&f->scratch);
    buf_deinit(&f->extra.scratch);
    mem_free(f);
    return r;
}
