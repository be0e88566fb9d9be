/*
 * Walks over the tree that can be changed: printed, measured, copied. Each
 * keeps a stack of its own; an unopened value is one step.
 */
#include "lib/hujson/hujson_edit_priv.h"

struct frame {
    const struct hujson_open *open;
    struct hujson_open *copy; /* only while copying */
    uint32_t next;
};

/* ---- printing ---- */

static void
print_start(const struct hujson_value *v, struct frame *stack, uint32_t *depth, struct buf *out)
{
    if (v->open) {
        buf_addc(out, v->open->object ? '{' : '[');
        stack[(*depth)++] = (struct frame){.open = v->open};
    } else {
        buf_add(out, hujson_literal(v->doc, v->node));
    }
}

void hujson_edit_print(const struct hujson_value *v, struct buf *out)
{
    struct frame stack[HUJSON_DEPTH_MAX];
    uint32_t depth = 0;
    print_start(v, stack, &depth, out);
    while (depth) {
        struct frame *f = &stack[depth - 1];
        const struct hujson_open *o = f->open;
        if (f->next) {
            buf_add(out, o->items[f->next - 1]->after);
            buf_adds(out, f->next < o->count || o->trailing ? "," : "");
        }
        if (f->next == o->count) {
            buf_add(out, o->tail);
            buf_addc(out, o->object ? '}' : ']');
            depth--;
            continue;
        }
        const struct hujson_item *item = o->items[f->next++];
        buf_add(out, item->before);
        buf_add(out, item->name);
        buf_add(out, item->colon);
        print_start(&item->value, stack, &depth, out);
    }
}

/* ---- measuring ---- */

uint32_t hujson_edit_height(const struct hujson_value *v)
{
    struct frame stack[HUJSON_DEPTH_MAX];
    uint32_t depth = 0, most = 0;
    if (!v->open) {
        return v->node->height;
    }
    stack[depth++] = (struct frame){.open = v->open};
    while (depth) {
        struct frame *f = &stack[depth - 1];
        most = depth > most ? depth : most;
        if (f->next == f->open->count) {
            depth--;
            continue;
        }
        const struct hujson_value *child = &f->open->items[f->next++]->value;
        if (child->open) {
            stack[depth++] = (struct frame){.open = child->open};
        } else if (depth + child->node->height > most) {
            most = depth + child->node->height;
        }
    }
    return most;
}

/* ---- copying ---- */

/* The composite itself with its items; opened values in them still point at the original's. */
static struct hujson_open *copy_one(struct hujson_edit *e, const struct hujson_open *o)
{
    struct hujson_open *copy = arena_alloc(e->arena, sizeof *copy);
    struct hujson_item *items = arena_alloc(e->arena, o->count * sizeof *items);
    struct hujson_item **list =
        arena_alloc(e->arena, (o->count + 1) * sizeof(struct hujson_item *));
    if (!copy || !items || !list) {
        e->no_memory = true;
        return NULL;
    }
    *copy = *o;
    copy->items = list;
    copy->room = o->count + 1;
    for (uint32_t i = 0; i < o->count; i++) {
        items[i] = *o->items[i];
        list[i] = &items[i];
    }
    return copy;
}

struct hujson_value hujson_edit_copy(struct hujson_edit *e, const struct hujson_value *v)
{
    struct frame stack[HUJSON_DEPTH_MAX];
    uint32_t depth = 0;
    struct hujson_value copy = *v;
    if (!v->open || !(copy.open = copy_one(e, v->open))) {
        return copy;
    }
    stack[depth++] = (struct frame){.copy = copy.open};
    while (depth) {
        struct frame *f = &stack[depth - 1];
        if (f->next == f->copy->count) {
            depth--;
            continue;
        }
        struct hujson_value *child = &f->copy->items[f->next++]->value;
        if (child->open && (child->open = copy_one(e, child->open))) {
            stack[depth++] = (struct frame){.copy = child->open};
        }
    }
    return copy;
}
