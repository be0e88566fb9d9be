#pragma once
/*
 * A tree that can be changed, for the time of one patch. Its values are texts of parsed documents
 * until somebody steps into them; only then a composite is opened into items. So a patch of a large
 * document costs what it touches. Everything lives in one arena.
 */
#include "lib/hujson/hujson_priv.h"

struct hujson_item;

struct hujson_open {
    struct hujson_item **items;
    uint32_t count, room;
    struct slice tail; /* before the closer, behind a trailing comma */
    bool object, trailing;
};

struct hujson_value {
    const struct hujson_doc *doc;   /* where the value was read */
    const struct hujson_node *node; /* there; only the truth while `open` is NULL */
    struct hujson_open *open;
};

/* One element or member with the extra around it. */
struct hujson_item {
    struct slice before; /* from the comma or opener to the value or name */
    struct slice name;   /* literal with quotes; empty in an array */
    struct slice colon;  /* the colon and what stands around it */
    struct slice after;  /* from the value to its comma */
    bool had_comma;      /* was last, with a trailing comma, before others came behind it */
    struct hujson_value value;
};

struct hujson_edit {
    struct arena *arena;
    struct hujson_item root; /* before, value, after */
    bool plain;              /* the document was plain JSON */
    bool no_memory;
};

/* How an extra belongs to its neighbours (policy.md 1.10): [0, prev) to the item before it, [next,
 * n) to the item behind it, the rest to nobody. */
struct hujson_split {
    size_t prev, next;
};

struct hujson_split hujson_split_extra(struct slice extra);

/* An item's own comments and its value, on the way from one place to another. */
struct hujson_cargo {
    struct slice before, after;
    bool ends_line; /* a line feed came behind it */
    struct hujson_value value;
};

void hujson_edit_init(struct hujson_edit *e, const struct hujson_doc *d, size_t max);
void hujson_edit_deinit(struct hujson_edit *e);
/* The items of a composite; NULL: a literal, or out of memory. */
struct hujson_open *hujson_edit_open(struct hujson_edit *e, struct hujson_value *v);
/* What would travel with item i; the value is shared with it. */
struct hujson_cargo hujson_edit_cargo(struct hujson_open *o, uint32_t i);
void hujson_edit_remove(struct hujson_edit *e, struct hujson_open *o, uint32_t i);
void hujson_edit_replace(struct hujson_edit *e,
                         struct hujson_open *o,
                         uint32_t i,
                         const struct hujson_cargo *c);
/* Name: literal, empty in an array. */
void hujson_edit_insert(struct hujson_edit *e,
                        struct hujson_open *o,
                        uint32_t i,
                        struct slice name,
                        const struct hujson_cargo *c);
void hujson_edit_replace_root(struct hujson_edit *e, const struct hujson_cargo *c);
struct hujson_value hujson_edit_copy(struct hujson_edit *e, const struct hujson_value *v);
uint32_t hujson_edit_height(const struct hujson_value *v);
void hujson_edit_print(const struct hujson_value *v, struct buf *out);
