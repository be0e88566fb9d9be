/*
 * Which objects and arrays are written one item per line: those with a line
 * feed behind the opener, behind a comma or before the closer, and those that
 * would hold a line of more than 80 bytes if they were not (policy.md 1.9, 4).
 * The estimate knows no indentation, and an expanded child adds no more than
 * its brackets and a comment behind the opener: the choice of a child never
 * depends on its parent.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/hujson/hujson_fmt_priv.h"

#define LINE_MAX_BYTES 80u

/* The lines of a text so far: only the first and the last matter to a parent. */
struct shape {
    uint64_t first, last; /* the same while there is one line */
    bool many;
};

struct level {
    const struct hujson_node *node;
    struct shape shape;
    bool expand;
};

struct chooser {
    const struct hujson_doc *d;
    struct buf scratch, literal;
    bool full;
    struct level level[HUJSON_DEPTH_MAX];
    uint64_t *bits;
};

static void add(struct level *l, struct shape s)
{
    l->shape.last += s.first;
    if (s.many) {
        if (!l->shape.many) {
            l->shape.first = l->shape.last;
            l->shape.many = true;
        }
        l->expand = l->expand || l->shape.last > LINE_MAX_BYTES;
        l->shape.last = s.last;
    }
}

static void add_bytes(struct level *l, uint64_t n)
{
    l->shape.last += n;
}

/*
 * The comments of one line with a blank each and one blank more. A line comment, or a block comment
 * that goes on in the next line, ends it without its blank.
 */
static uint64_t line_width(const uint8_t *p, const uint8_t *end)
{
    uint64_t n = 0;
    while (p < end) {
        if (hujson_is_space(*p)) {
            p++;
            continue;
        }
        if (*p != '/' || end - p < 2 || (p[1] != '/' && p[1] != '*')) {
            break; /* the end of a block comment that began on another line */
        }
        const uint8_t *stop = hujson_comment_end(p, end);
        if (!stop) {
            n += (uint64_t)(end - p);
            break;
        }
        n += (uint64_t)(stop - p) + 1;
        p = stop;
    }
    return n ? n + 1 : 0;
}

static struct shape shape_of_extra(struct slice extra)
{
    const uint8_t *p = (const uint8_t *)extra.p, *end = p + extra.n;
    const uint8_t *lf = extra.n ? memchr(p, '\n', extra.n) : NULL;
    if (!lf) {
        return (struct shape){.first = line_width(p, end)};
    }
    const uint8_t *tail = (const uint8_t *)memrchr(p, '\n', extra.n) + 1;
    return (struct shape){line_width(p, lf), line_width(tail, end), true};
}

static struct slice span(const struct chooser *c, uint32_t from, uint32_t to)
{
    return slice_of(c->d->text + from, to - from);
}

static bool breaks(const struct chooser *c, uint32_t from, uint32_t to)
{
    return to > from && memchr(c->d->text + from, '\n', to - from);
}

static size_t literal_width(struct chooser *c, const struct hujson_node *n)
{
    if (!n->escaped) {
        return n->end - n->start;
    }
    buf_clear(&c->literal);
    c->full = !hujson_reencode(hujson_literal(c->d, n), &c->scratch, &c->literal) || c->full;
    return c->literal.len;
}

/* Before the own bytes of an item of the composite at `l`. */
static void enter_item(struct chooser *c, struct level *l, const struct hujson_walk *w)
{
    const struct hujson_node *n = w->node;
    if (w->is_value) {
        add_bytes(l, 2); /* ": " */
    } else if (breaks(c, n->before, n->start)) {
        l->expand = true;
    }
    add(l, shape_of_extra(span(c, n->before, n->start)));
}

static void leave_item(struct chooser *c, struct level *l, const struct hujson_walk *w)
{
    const struct hujson_node *n = w->node;
    bool last = hujson_walk_is_last(w), comma = !last || w->parent->trailing;
    struct slice after = span(c, n->end, n->after);
    if (last && (!comma || hujson_has_comment(after)) && breaks(c, n->end, n->after)) {
        l->expand = true;
    }
    if (comma && hujson_has_comment(after)) {
        add(l, shape_of_extra(after));
    }
    if (!w->is_name) {
        add_bytes(l, 2); /* ", ", also where it will not stand */
    }
}

/* What follows the opener on its line, expanded or not. */
static uint64_t lead_width(const struct chooser *c, const struct hujson_node *n)
{
    return n->count ? shape_of_extra(span(c, n->items[0].before, n->items[0].start)).first
                    : shape_of_extra(span(c, n->tail, n->end - 1)).first;
}

static void close_level(struct chooser *c, struct level *l)
{
    const struct hujson_node *n = l->node;
    struct slice tail = span(c, n->tail, n->end - 1);
    if (breaks(c, n->tail, n->end - 1) && (n->count || hujson_has_comment(tail))) {
        l->expand = true;
    }
    add_bytes(l, 1);
    if (l->expand || l->shape.last > LINE_MAX_BYTES) {
        c->bits[n->start / 64] |= 1ull << n->start % 64;
        l->shape = (struct shape){1 + lead_width(c, n), 1, true};
    } else if (!l->shape.many) {
        l->shape.first = l->shape.last;
    }
}

static void choose(struct chooser *c)
{
    struct hujson_walk w = {.root = &c->d->root};
    enum hujson_visit v;
    while ((v = hujson_walk_next(&w)) != HUJSON_VISIT_END) {
        struct level *inner = &c->level[w.depth], *outer = inner - 1;
        if (v == HUJSON_VISIT_CLOSE) {
            close_level(c, inner);
        } else if (w.parent) {
            enter_item(c, outer - hujson_is_composite(w.node), &w);
        }
        if (v == HUJSON_VISIT_ITEM && hujson_is_composite(w.node)) {
            *outer = (struct level){.node = w.node, .shape.last = 1};
        } else if (w.parent && v == HUJSON_VISIT_CLOSE) {
            add(outer, inner->shape);
            leave_item(c, outer, &w);
        } else if (w.parent) {
            add_bytes(outer, literal_width(c, w.node));
            leave_item(c, outer, &w);
        }
    }
}

int hujson_choose_expanded(const struct hujson_doc *d, uint64_t **out_bits)
{
    AUTO_FREE struct chooser *c = mem_new(sizeof *c);
    AUTO_FREE uint64_t *bits = mem_try((d->size / 64 + 1) * sizeof *bits);
    if (!bits) {
        return err_origin(-ENOMEM);
    }
    c->d = d;
    c->bits = bits;
    c->scratch = c->literal = BUF_MAX((size_t)d->size * 2 + 2);
    choose(c);
    buf_deinit(&c->scratch);
    buf_deinit(&c->literal);
    if (c->full) {
        return err_origin(-ENOMEM);
    }
    *out_bits = STEAL(bits);
    return 0;
}
