#pragma once
/* The tree, shared by hujson.c (parsing) and hujson_tree.c (printing and reading). */
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/hujson/hujson.h"

/* An offset fits 32 bits: documents are small. */
struct hujson_node {
    enum hujson_kind kind;
    uint32_t before; /* start of the extra before the value */
    uint32_t start;  /* first byte of the value */
    uint32_t end;    /* one past its last byte */
    uint32_t after;  /* one past the extra behind it */
    bool trailing;   /* composite: a comma stands before the closer */
    uint32_t tail;   /* composite: start of the extra before the closer (behind a trailing comma) */
    uint32_t count;
    struct member *members;
};

struct member {
    struct hujson_node name; /* kind HUJSON_STRING; unused in arrays */
    struct hujson_node value;
    struct member *next; /* while parsing: a list; afterwards members are an array */
};

struct hujson_doc {
    struct arena *arena;
    char *text;
    uint32_t size;
    struct hujson_node root;
    uint32_t *lines; /* offset of the first byte of each line */
    uint32_t line_count;
};

bool hujson_hex4(const uint8_t *p, const uint8_t *end, uint32_t *out);
bool hujson_is_space(uint8_t c);
