#pragma once
/* The formatter's parts (hujson_format.c tells how they work together). */
#include "lib/hujson/hujson_priv.h"

/* ---- hujson_format_extra.c: white space and comments ---- */

enum {
    EXTRA_LINE_BEFORE = 1 << 0,     /* starts on a line of its own unless it breaks a line itself */
    EXTRA_LINE_AFTER = 1 << 7,      /* what follows starts a line */
    EXTRA_NO_BLANK_BEFORE = 1 << 1, /* no empty line at the start */
    EXTRA_NO_BLANK_AFTER = 1 << 2,  /* no empty line at the end */
    EXTRA_OUTDENT_AFTER = 1 << 3,   /* a closer follows: its line is one level less deep */
    EXTRA_SPACE = 1 << 4,           /* a space where there is nothing else */
    EXTRA_AT_START = 1 << 5,        /* of the document: nothing before the first comment */
    EXTRA_AT_END = 1 << 6           /* of the document: one line feed at the end, no indent */
};

struct hujson_extra_out {
    struct buf *out;
    struct buf scratch;
    uint32_t lines; /* line feeds written so far */
};

bool hujson_has_comment(struct slice extra);
/* Appends the extra as it shall stand at this depth. */
void hujson_format_extra(struct hujson_extra_out *x,
                         struct slice extra,
                         uint32_t depth,
                         unsigned flags);

/* ---- hujson_format_width.c: which composites expand ---- */

/* Sets the bit of each expanded composite, at the offset of its opener. -ENOMEM. */
int hujson_choose_expanded(const struct hujson_doc *d, uint64_t **out_bits) MUST_CHECK;
