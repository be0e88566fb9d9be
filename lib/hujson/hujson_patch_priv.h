#pragma once
/* A patch that was read (hujson_patch_read.c) and is applied (hujson_patch.c). */
#include "lib/hujson/hujson_edit_priv.h"

enum hujson_verb {
    HUJSON_ADD,
    HUJSON_REMOVE,
    HUJSON_REPLACE,
    HUJSON_MOVE,
    HUJSON_COPY,
    HUJSON_TEST
};

struct hujson_op {
    enum hujson_verb verb;
    size_t index, offset; /* in the patch */
    struct slice path, from;
    struct hujson_cargo value;
    bool has_verb, has_path, has_from, has_value;
};

struct hujson_patcher {
    struct hujson_edit edit;
    struct hujson_doc *patch;
    struct hujson_op *ops;
    size_t count;
    const struct hujson_op *op; /* the one that is read or applied */
    struct hujson_diag *diag;
};

/* Both are false after they said what is wrong, or with edit.no_memory. */
bool hujson_patch_read(struct hujson_patcher *p);
bool hujson_patch_fail(struct hujson_patcher *p, const char *fmt, ...)
    PRINTF_LIKE(2, 3); /* false */
/* Text in quotes as messages show it, cut where it is long. */
void hujson_quote(struct slice text, char *out, size_t out_size);
