#pragma once
/*
 * The tree, shared by the files of this folder: hujson_lex.c cuts the text, hujson.c builds the
 * tree, the others read it.
 */
#include "lib/base/arena.h"
#include "lib/hujson/hujson.h"

/*
 * Offsets into the document's text; 32 bits are enough, documents are small. The extra (white space
 * and comments) before a value is [before, start), behind it [end, after).
 */
struct hujson_node {
    uint32_t before;
    uint32_t start; /* first byte of the value */
    uint32_t end;   /* one past its last byte */
    uint32_t after;
    uint32_t tail;             /* composite: start of the extra before the closer, behind a
                                  trailing comma */
    uint32_t count;            /* members or elements */
    struct hujson_node *items; /* elements; of an object name, value, name, value … */
    enum hujson_kind kind : 8;
    bool trailing : 1;        /* composite: a comma stands before the closer */
    bool escaped : 1;         /* string: holds a backslash */
    unsigned int height : 16; /* levels of composites, 0 for a literal */
};

struct hujson_doc {
    struct arena *arena;
    const char *text;
    uint32_t size;
    size_t max; /* what hujson_parse allowed; holds for patches too */
    struct hujson_node root;
    uint32_t *lines; /* offset of the first byte of each line */
    uint32_t line_count;
};

static inline bool hujson_is_composite(const struct hujson_node *n)
{
    return n->kind == HUJSON_OBJECT || n->kind == HUJSON_ARRAY;
}

/* How many items belong to one member or element. */
static inline uint32_t hujson_stride(const struct hujson_node *n)
{
    return n->kind == HUJSON_OBJECT ? 2 : 1;
}

static inline bool hujson_is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* ---- hujson_lex.c ---- */

struct hujson_lexer {
    const uint8_t *p;
    uint32_t at, size;
    struct hujson_diag *diag;
};

/* Each consumes what its name says, or fills *diag and answers false. */
bool hujson_take_extra(struct hujson_lexer *lx);
bool hujson_take_string(struct hujson_lexer *lx, struct hujson_node *n);
bool hujson_take_word(struct hujson_lexer *lx, struct hujson_node *n);
bool hujson_is_word_byte(uint8_t c);
bool hujson_fail(struct hujson_lexer *lx, uint32_t offset, const char *text); /* false */
/* "invalid character 'x' " + where, about the byte at `offset`. */
bool hujson_fail_char(struct hujson_lexer *lx, uint32_t offset, const char *where); /* false */
bool hujson_is_printable(uint32_t rune);
/* The character that starts at `at`; 0 bytes when it is not valid UTF-8. */
size_t hujson_rune(struct slice text, size_t at, uint32_t *out_rune);
/* The end of the comment that starts at `p`, or NULL when it is not closed. */
const uint8_t *hujson_comment_end(const uint8_t *p, const uint8_t *end);

/* ---- hujson_text.c ---- */

/* What becomes of escapes that name no character. */
enum hujson_lone {
    HUJSON_LONE_REFUSE,  /* lone surrogates and NUL: false */
    HUJSON_LONE_REPLACE, /* U+FFFD, as the reference decodes them; NUL is kept */
    HUJSON_LONE_KEEP,    /* three bytes that no UTF-8 text holds: for comparing; NUL is kept */
};

/* Decodes a string literal with its quotes; appends. False also when out is full. */
bool hujson_decode(struct slice literal, enum hujson_lone lone, struct buf *out);
/* Appends the shortest literal of a decoded text, with quotes (policy.md 1.9, 3). */
void hujson_encode(struct slice text, struct buf *out);
/* Both: the literal as the formatter writes it. */
bool hujson_reencode(struct slice literal, struct buf *scratch, struct buf *out);

/* ---- hujson_tree.c ---- */

/*
 * A walk over all nodes in the order of the text, with a stack of its own. Every item is visited
 * once with its place, a composite a second time when its items are through.
 */
struct hujson_walk {
    struct {
        const struct hujson_node *node;
        uint32_t next;
    } stack[HUJSON_DEPTH_MAX];

    uint32_t depth;
    const struct hujson_node *root; /* not visited yet */

    /* What is visited now. */
    const struct hujson_node *node, *parent; /* parent: NULL at the root */
    uint32_t index;                          /* among the items of the parent */
    uint32_t level;                          /* 0 for the root; set for items only */
    bool is_name, is_value;                  /* in an object; neither in an array */
};

/* No comma stands between the node and its parent's closer. */
static inline bool hujson_walk_is_last(const struct hujson_walk *w)
{
    return w->index + 1 == w->parent->count * hujson_stride(w->parent);
}

enum hujson_visit { HUJSON_VISIT_ITEM, HUJSON_VISIT_CLOSE, HUJSON_VISIT_END };

enum hujson_visit hujson_walk_next(struct hujson_walk *w);

/* ---- hujson_pointer.c ---- */

void hujson_pointer_token(struct slice token, struct buf *out); /* clears out, then unescapes */
bool hujson_pointer_index(struct slice token, size_t *out_index);
