/*
 * Changing the tree and moving the comments that belong to what is changed
 * (policy.md 1.10). What stands between two items is split at its empty
 * lines; where there is none, a line comment on the line of the item before
 * belongs to that one and the rest to the one behind.
 */
#include "lib/hujson/hujson_edit_priv.h"

/* ---- extras ---- */

static bool has_comment(struct slice extra)
{
    return extra.n && memchr(extra.p, '/', extra.n);
}

static size_t space_at(struct slice extra, size_t at)
{
    size_t end = at;
    while (end < extra.n && hujson_is_space((uint8_t)extra.p[end])) {
        end++;
    }
    return end - at;
}

/* A line comment without its LF, or a whole block comment. */
static size_t comment_at(struct slice extra, size_t at)
{
    const uint8_t *p = (const uint8_t *)extra.p + at, *end = (const uint8_t *)extra.p + extra.n;
    const uint8_t *stop = hujson_comment_end(p, end);
    return !stop ? (size_t)(end - p) : (size_t)(stop - p) - (p[1] == '/');
}

static size_t line_feeds(struct slice extra, size_t at, size_t n)
{
    size_t count = 0;
    for (size_t i = at; i < at + n; i++) {
        count += extra.p[i] == '\n';
    }
    return count;
}

/*
 * No line is empty: where does a line comment behind the item before end, and where does the next
 * comment begin? A line feed at the very end counts as such a comment without text.
 */
static struct hujson_split split_paragraph(struct slice extra)
{
    size_t first = space_at(extra, 0), lines = line_feeds(extra, 0, first);
    if (first == extra.n) {
        bool line_end = lines == 1 && extra.p[first - 1] == '\n';
        return (struct hujson_split){line_end ? first - 1 : 0, first};
    }
    if (lines || extra.p[first + 1] != '/') {
        return (struct hujson_split){0, first};
    }
    size_t end = first + comment_at(extra, first);
    return (struct hujson_split){end, end + space_at(extra, end)};
}

struct hujson_split hujson_split_extra(struct slice extra)
{
    struct hujson_split s = {0, 0};
    bool parted = false;
    for (size_t at = 0; has_comment(extra) && at < extra.n;) {
        size_t n = space_at(extra, at);
        if (line_feeds(extra, at, n) > 1) {
            s.prev = parted ? s.prev : at;
            s.next = at + n;
            parted = true;
        }
        at += n ? n : comment_at(extra, at);
    }
    return parted ? s : split_paragraph(extra);
}

/* The text would go on inside of a comment. */
static bool ends_in_line_comment(struct slice extra)
{
    bool open = false;
    for (size_t at = 0; at < extra.n;) {
        size_t n = space_at(extra, at);
        open = n ? open && !line_feeds(extra, at, n) : extra.p[at + 1] == '/';
        at += n ? n : comment_at(extra, at);
    }
    return open;
}

static struct slice join(struct hujson_edit *e, struct slice a, struct slice b, struct slice c)
{
    size_t n = a.n + b.n + c.n;
    if (n == a.n || n == b.n || n == c.n) {
        return a.n ? a : b.n ? b : c; /* one part alone needs no copy */
    }
    char *p = n ? arena_alloc(e->arena, n) : NULL;
    if (!p) {
        e->no_memory = e->no_memory || n;
        return S("");
    }
    struct slice parts[] = {a, b, c};
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i].n) {
            memcpy(p + at, parts[i].p, parts[i].n);
            at += parts[i].n;
        }
    }
    return slice_of(p, n);
}

static struct slice trim_front(struct slice extra)
{
    return slice_skip(extra, space_at(extra, 0));
}

/* b behind a; a line comment at the end of a gets its LF. */
static struct slice append(struct hujson_edit *e, struct slice a, struct slice b)
{
    bool open = ends_in_line_comment(a) && !slice_starts(b, S("\n"));
    return join(e, a, open ? S("\n") : S(""), b);
}

/* Comments of an item behind what stays of the extra before it: they start on a line of their own.
 */
static struct slice put_before(struct hujson_edit *e, struct slice stays, struct slice comments)
{
    if (!has_comment(comments)) {
        return append(e, stays, S(""));
    }
    size_t end = stays.n;
    while (end && hujson_is_space((uint8_t)stays.p[end - 1])) {
        end--;
    }
    return join(e, stays, line_feeds(stays, end, stays.n - end) ? S("") : S("\n"), comments);
}

/* The extra behind item i. */
static struct slice *behind(struct hujson_open *o, uint32_t i)
{
    return i + 1 < o->count ? &o->items[i + 1]->before : &o->tail;
}

/* ---- opening ---- */

void hujson_edit_init(struct hujson_edit *e, const struct hujson_doc *d, size_t max)
{
    const struct hujson_node *n = &d->root;
    *e = (struct hujson_edit){.arena = arena_new(max), .plain = hujson_is_standard(d)};
    e->root.before = slice_of(d->text + n->before, n->start - n->before);
    e->root.after = slice_of(d->text + n->end, n->after - n->end);
    e->root.value = (struct hujson_value){.doc = d, .node = n};
}

void hujson_edit_deinit(struct hujson_edit *e)
{
    arena_free(e->arena);
    e->arena = NULL;
}

static void *take(struct hujson_edit *e, size_t size)
{
    void *p = arena_alloc(e->arena, size);
    e->no_memory = e->no_memory || !p;
    return p;
}

static void read_item(struct hujson_item *out,
                      const struct hujson_doc *d,
                      const struct hujson_node *name,
                      const struct hujson_node *value)
{
    const char *t = d->text;
    const struct hujson_node *first = name ? name : value;
    out->before = slice_of(t + first->before, first->start - first->before);
    if (name) {
        out->name = hujson_literal(d, name);
        out->colon = slice_of(t + name->end, value->start - name->end);
    }
    out->after = slice_of(t + value->end, value->after - value->end);
    out->value = (struct hujson_value){.doc = d, .node = value};
}

/* Room for one item more than there are. */
static bool make_room(struct hujson_edit *e, struct hujson_open *o)
{
    enum { FIRST = 8 };

    if (o->count < o->room) {
        return true;
    }
    uint32_t room = o->room ? o->room * 2 : FIRST;
    struct hujson_item **items = take(e, room * sizeof(struct hujson_item *));
    if (!items) {
        return false;
    }
    if (o->count) {
        memcpy(items, o->items, o->count * sizeof(struct hujson_item *));
    }
    o->items = items;
    o->room = room;
    return true;
}

static struct hujson_open *open_node(struct hujson_edit *e, const struct hujson_value *v)
{
    const struct hujson_node *n = v->node;
    struct hujson_open *o = take(e, sizeof *o);
    struct hujson_item *items = o ? take(e, n->count * sizeof *items) : NULL;
    if (!items) {
        return NULL;
    }
    o->object = n->kind == HUJSON_OBJECT;
    o->trailing = n->trailing;
    o->tail = slice_of(v->doc->text + n->tail, n->end - 1 - n->tail);
    o->room = n->count + 1;
    o->items = take(e, o->room * sizeof(struct hujson_item *));
    if (!o->items) {
        return NULL;
    }
    for (; o->count < n->count; o->count++) {
        uint32_t i = o->count;
        read_item(&items[i], v->doc, o->object ? &n->items[(size_t)2 * i] : NULL, hujson_at(n, i));
        o->items[i] = &items[i];
    }
    if (o->count && !o->trailing) { /* it is the extra before the closer */
        o->tail = items[o->count - 1].after;
        items[o->count - 1].after = S("");
    }
    return o;
}

struct hujson_open *hujson_edit_open(struct hujson_edit *e, struct hujson_value *v)
{
    if (!v->open && hujson_is_composite(v->node)) {
        v->open = open_node(e, v);
    }
    return v->open;
}

/* ---- the changes ---- */

struct hujson_cargo hujson_edit_cargo(struct hujson_open *o, uint32_t i)
{
    struct slice before = o->items[i]->before, after = *behind(o, i);
    struct hujson_split split = hujson_split_extra(after);
    return (struct hujson_cargo){
        .before = trim_front(slice_skip(before, hujson_split_extra(before).next)),
        .after = slice_sub(after, 0, split.prev),
        .ends_line = split.prev + 1 == after.n && slice_ends(after, S("\n")),
        .value = o->items[i]->value,
    };
}

void hujson_edit_remove(struct hujson_edit *e, struct hujson_open *o, uint32_t i)
{
    struct slice before = o->items[i]->before, *after = behind(o, i);
    before.n = hujson_split_extra(before).next;
    *after = slice_skip(*after, hujson_split_extra(*after).prev);
    if (has_comment(before)) {
        *after = join(e, before, trim_front(*after), S(""));
    }
    o->count--;
    if (i < o->count) {
        memmove(o->items + i, o->items + i + 1, (o->count - i) * sizeof(struct hujson_item *));
        return;
    }
    /* What stood before the last comma stays with its comma, unless that would turn JSON into
     * something else. */
    struct hujson_item *last = o->count ? o->items[o->count - 1] : NULL;
    o->trailing = last && (last->had_comma || (last->after.n && !e->plain));
    if (last && !o->trailing) {
        last->after = S("");
    }
}

static void put_behind(struct hujson_edit *e, struct slice *extra, struct slice comments)
{
    struct slice rest = slice_skip(*extra, hujson_split_extra(*extra).prev);
    *extra = append(e, comments, rest);
}

void hujson_edit_replace(struct hujson_edit *e,
                         struct hujson_open *o,
                         uint32_t i,
                         const struct hujson_cargo *c)
{
    struct hujson_item *item = o->items[i];
    item->value = c->value;
    if (has_comment(c->before)) {
        struct slice stays = slice_sub(item->before, 0, hujson_split_extra(item->before).next);
        item->before = put_before(e, stays, c->before);
    }
    if (has_comment(c->after)) {
        put_behind(e, behind(o, i), c->after);
    }
}

void hujson_edit_insert(struct hujson_edit *e,
                        struct hujson_open *o,
                        uint32_t i,
                        struct slice name,
                        const struct hujson_cargo *c)
{
    struct hujson_item *item = take(e, sizeof *item);
    if (!item || !make_room(e, o)) {
        return;
    }
    struct slice *gap = i < o->count ? &o->items[i]->before : &o->tail;
    struct slice stays = slice_sub(*gap, 0, hujson_split_extra(*gap).prev);
    item->before = put_before(e, has_comment(stays) ? stays : S(""), c->before);
    item->name = name;
    item->colon = o->object ? S(":") : S("");
    item->value = c->value;
    put_behind(e, gap, has_comment(c->after) ? c->after : S(""));
    if (i == o->count && o->trailing) {
        o->items[i - 1]->had_comma = true; /* it now stands before the new item */
        o->trailing = false;
    }
    memmove(o->items + i + 1, o->items + i, (o->count - i) * sizeof(struct hujson_item *));
    o->items[i] = item;
    o->count++;
}

void hujson_edit_replace_root(struct hujson_edit *e, const struct hujson_cargo *c)
{
    e->root.before = c->before;
    e->root.after = append(e, c->after, c->ends_line ? S("\n") : S(""));
    e->root.value = c->value;
}
