/*
 * Out of the tree again: printed byte for byte, standardized, or read member
 * by member. Walks keep an explicit stack, as the parser does.
 */
#include "lib/base/mem.h"
#include "lib/hujson/hujson_priv.h"

/* ---- printing: the tree must say every byte ---- */

static void put_span(const struct hujson_doc *d, uint32_t from, uint32_t to, struct buf *out)
{
    buf_add(out, slice_of(d->text + from, to - from));
}

struct print_frame {
    const struct hujson_node *node;
    uint32_t next;
};

static void put_open(const struct hujson_doc *d, const struct hujson_node *n, struct buf *out)
{
    put_span(d, n->before, n->start, out);
    if (n->kind == HUJSON_OBJECT || n->kind == HUJSON_ARRAY) {
        buf_addc(out, n->kind == HUJSON_OBJECT ? '{' : '[');
    } else {
        put_span(d, n->start, n->end, out);
        put_span(d, n->end, n->after, out);
    }
}

static void put_close(const struct hujson_doc *d, const struct hujson_node *n, struct buf *out)
{
    if (n->trailing) {
        buf_addc(out, ',');
    }
    if (n->trailing || !n->count) {
        put_span(d, n->tail, n->end - 1, out);
    }
    buf_addc(out, n->kind == HUJSON_OBJECT ? '}' : ']');
    put_span(d, n->end, n->after, out);
}

void hujson_print(const struct hujson_doc *d, struct buf *out)
{
    struct print_frame stack[HUJSON_DEPTH_MAX];
    uint32_t depth = 0;
    const struct hujson_node *n = &d->root;
    for (;;) {
        put_open(d, n, out);
        if (n->kind == HUJSON_OBJECT || n->kind == HUJSON_ARRAY) {
            stack[depth++] = (struct print_frame){.node = n};
        }
        while (depth && stack[depth - 1].next == stack[depth - 1].node->count) {
            put_close(d, stack[--depth].node, out);
        }
        if (!depth) {
            return;
        }
        struct print_frame *f = &stack[depth - 1];
        if (f->next) {
            buf_addc(out, ',');
        }
        const struct member *m = &f->node->members[f->next++];
        if (f->node->kind == HUJSON_OBJECT) {
            put_open(d, &m->name, out);
            buf_addc(out, ':');
        }
        n = &m->value;
    }
}

/* ---- reading ---- */

enum hujson_kind hujson_kind(const struct hujson_node *n)
{
    return n->kind;
}

size_t hujson_count(const struct hujson_node *n)
{
    return n->count;
}

const struct hujson_node *hujson_at(const struct hujson_node *n, size_t i)
{
    return &n->members[i].value;
}

size_t hujson_offset(const struct hujson_node *n)
{
    return n->start;
}

size_t hujson_end(const struct hujson_node *n)
{
    return n->end;
}

size_t hujson_name_offset(const struct hujson_node *n, size_t i)
{
    return n->members[i].name.start;
}

bool hujson_has_trailing_comma(const struct hujson_node *n)
{
    return n->trailing;
}

size_t hujson_tail(const struct hujson_node *n)
{
    return n->tail;
}

bool hujson_is_standard(const struct hujson_doc *d)
{
    struct buf plain = BUF_MAX(d->size + 1u);
    hujson_standardize(d, &plain);
    bool same = slice_eq(buf_slice(&plain), hujson_text(d));
    buf_deinit(&plain);
    return same;
}

struct slice hujson_literal(const struct hujson_doc *d, const struct hujson_node *n)
{
    return slice_of(d->text + n->start, n->end - n->start);
}

static void put_rune(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_addc(out, (char)c);
    } else if (c < 0x800) {
        buf_addc(out, (char)(0xc0 | c >> 6));
        buf_addc(out, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_addc(out, (char)(0xe0 | c >> 12));
        buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_addc(out, (char)(0x80 | (c & 0x3f)));
    } else {
        buf_addc(out, (char)(0xf0 | c >> 18));
        buf_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_addc(out, (char)(0x80 | (c & 0x3f)));
    }
}

/* \uXXXX, with its second half where it is a surrogate pair; NULL for a lone one and for NUL. */
static const uint8_t *decode_unit(const uint8_t *p, const uint8_t *end, struct buf *out)
{
    uint32_t c, low;
    if (!hujson_hex4(p, end, &c) || c == 0 || (c >= 0xdc00 && c <= 0xdfff)) {
        return NULL;
    }
    p += 4;
    if (c >= 0xd800 && c <= 0xdbff) {
        if (end - p < 6 || p[0] != '\\' || p[1] != 'u' || !hujson_hex4(p + 2, end, &low) ||
            low < 0xdc00 || low > 0xdfff) {
            return NULL;
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
    }
    put_rune(out, c);
    return p;
}

static bool decode(struct slice literal, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const uint8_t *p = (const uint8_t *)literal.p + 1,
                  *end = (const uint8_t *)literal.p + literal.n - 1;
    while (p < end) {
        if (*p != '\\') {
            buf_addc(out, (char)*p++);
            continue;
        }
        p++;
        if (*p == 'u') {
            p = decode_unit(p + 1, end, out);
            if (!p) {
                return false;
            }
        } else {
            buf_addc(out, to[strchr(from, *p) - from]);
            p++;
        }
    }
    return buf_ok(out);
}

bool hujson_string(const struct hujson_doc *d, const struct hujson_node *n, struct buf *out)
{
    return n->kind == HUJSON_STRING && decode(hujson_literal(d, n), out);
}

bool hujson_name(const struct hujson_doc *d, const struct hujson_node *n, size_t i, struct buf *out)
{
    return decode(hujson_literal(d, &n->members[i].name), out);
}

static const struct hujson_node *find(const struct hujson_doc *d,
                                      const struct hujson_node *obj,
                                      struct slice name,
                                      bool nocase,
                                      size_t *out_index)
{
    if (obj->kind != HUJSON_OBJECT) {
        return NULL;
    }
    struct buf text = BUF_MAX(d->size + 1);
    const struct hujson_node *found = NULL;
    for (size_t i = 0; i < obj->count && !found; i++) {
        buf_clear(&text);
        if (hujson_name(d, obj, i, &text) &&
            (nocase ? slice_eq_nocase(buf_slice(&text), name) : slice_eq(buf_slice(&text), name))) {
            found = &obj->members[i].value;
            if (out_index) {
                *out_index = i;
            }
        }
    }
    buf_deinit(&text);
    return found;
}

const struct hujson_node *
hujson_find(const struct hujson_doc *d, const struct hujson_node *obj, struct slice name)
{
    return find(d, obj, name, false, NULL);
}

const struct hujson_node *hujson_find_nocase(const struct hujson_doc *d,
                                             const struct hujson_node *obj,
                                             struct slice name,
                                             size_t *out_index)
{
    return find(d, obj, name, true, out_index);
}

bool hujson_integer(const struct hujson_doc *d,
                    const struct hujson_node *n,
                    int64_t min,
                    int64_t max,
                    int64_t *out_value)
{
    struct slice s = hujson_literal(d, n);
    bool negative = slice_starts(s, S("-"));
    uint64_t v;
    if (n->kind != HUJSON_NUMBER || !slice_u64(negative ? slice_skip(s, 1) : s, INT64_MAX, &v)) {
        return false;
    }
    int64_t value = negative ? -(int64_t)v : (int64_t)v;
    if (value < min || value > max) {
        return false;
    }
    *out_value = value;
    return true;
}

/* ---- standardize: same length, so offsets stay true ---- */

static void blank_extra(char *p, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (!hujson_is_space((uint8_t)p[i])) {
            p[i] = ' ';
        }
    }
}

static void blank_around(char *p, const struct hujson_node *n)
{
    blank_extra(p, n->before, n->start);
    blank_extra(p, n->end, n->after);
}

void hujson_standardize(const struct hujson_doc *d, struct buf *out)
{
    if (!d->size || buf_reserve(out, d->size)) {
        out->full = true;
        return;
    }
    char *p = buf_tail(out);
    memcpy(p, d->text, d->size);
    buf_commit(out, d->size);
    struct print_frame stack[HUJSON_DEPTH_MAX];
    uint32_t depth = 0;
    const struct hujson_node *n = &d->root;
    for (;;) {
        blank_around(p, n);
        if (n->kind == HUJSON_OBJECT || n->kind == HUJSON_ARRAY) {
            stack[depth++] = (struct print_frame){.node = n};
            if (n->trailing) {
                p[n->tail - 1] = ' ';
            }
            blank_extra(p, n->tail, n->end - 1);
        }
        while (depth && stack[depth - 1].next == stack[depth - 1].node->count) {
            depth--;
        }
        if (!depth) {
            return;
        }
        struct print_frame *f = &stack[depth - 1];
        const struct member *m = &f->node->members[f->next++];
        if (f->node->kind == HUJSON_OBJECT) {
            blank_around(p, &m->name);
        }
        n = &m->value;
    }
}
