#pragma once
/*
 * HuJSON (JSON with comments and trailing commas), spec/policy.md section 1. The tree keeps every
 * byte of white space and every comment: printing gives the input back byte for byte. The source is
 * never written to. No recursion without the depth counter; one arena per document; lengths
 * everywhere, NUL is a legal byte.
 *
 * A document is made by hujson_parse and changed only by hujson_patch. Between two patches it may
 * be read from several threads; nodes and slices borrowed from it die with the next patch.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"

#define HUJSON_DEPTH_MAX 128       /* a policy needs 7; deeper is an attack on the stack */
#define HUJSON_SIZE_MAX  (1 * MIB) /* the default; callers may ask for less */

/* Where and what, both from 1; column counts bytes since the last LF (policy.md 1.6). */
struct hujson_diag {
    int line, column;
    size_t offset;
    const char *hint; /* a remark of ours beside the text, or NULL; never freed */
    char text[480];   /* "invalid character '}' at start of value"; long literals are cut */
};

enum hujson_kind {
    HUJSON_NULL,
    HUJSON_FALSE,
    HUJSON_TRUE,
    HUJSON_NUMBER,
    HUJSON_STRING,
    HUJSON_OBJECT,
    HUJSON_ARRAY
};

struct hujson_doc; /* owns its copy of the text */
struct hujson_node;

enum { HUJSON_SYNTAX = 1, HUJSON_TOO_BIG = 2, HUJSON_PATCH = 3, HUJSON_DIFFERENT = 4 };

/* 0, HUJSON_SYNTAX or HUJSON_TOO_BIG with *out_diag, -ENOMEM. */
int hujson_parse(struct slice text,
                 size_t max,
                 struct hujson_diag *out_diag,
                 struct hujson_doc **out_doc) MUST_CHECK;
void hujson_free(struct hujson_doc *d); /* takes NULL */
DEFINE_AUTO(struct hujson_doc, hujson_free)
struct slice hujson_text(const struct hujson_doc *d); /* as parsed, or as patched */
void hujson_print(const struct hujson_doc *d,
                  struct buf *out); /* from the tree; equals hujson_text */

/* ---- reading ---- */

const struct hujson_node *hujson_root(const struct hujson_doc *d);
enum hujson_kind hujson_kind(const struct hujson_node *n);
size_t hujson_count(const struct hujson_node *n); /* members or elements */
const struct hujson_node *hujson_at(const struct hujson_node *n,
                                    size_t i); /* value of the i-th member or element */
/* Decoded text of a string or member name; false: lone surrogate or NUL ("bad-string"). */
bool hujson_string(const struct hujson_doc *d, const struct hujson_node *n, struct buf *out);
bool hujson_name(const struct hujson_doc *d,
                 const struct hujson_node *n,
                 size_t i,
                 struct buf *out);
/*
 * The same without a copy where the text holds no escape: *out_text then borrows from the document,
 * else from `scratch`, which is overwritten. False also when n is no string.
 */
bool hujson_string_slice(const struct hujson_doc *d,
                         const struct hujson_node *n,
                         struct buf *scratch,
                         struct slice *out_text);
bool hujson_name_slice(const struct hujson_doc *d,
                       const struct hujson_node *n,
                       size_t i,
                       struct buf *scratch,
                       struct slice *out_text);
size_t hujson_name_offset(const struct hujson_node *n, size_t i);
struct slice hujson_literal(
    const struct hujson_doc *d,
    const struct hujson_node *n); /* numbers and strings as written; whole text of a composite */
size_t hujson_offset(const struct hujson_node *n);           /* first byte of the value */
size_t hujson_end(const struct hujson_node *n);              /* one past its last byte */
bool hujson_has_trailing_comma(const struct hujson_node *n); /* of a composite */
size_t hujson_tail(
    const struct hujson_node *n); /* of a composite: start of what stands before its closer */
bool hujson_is_standard(const struct hujson_doc *d); /* no comment and no trailing comma anywhere */
void hujson_position(const struct hujson_doc *d, size_t offset, int *out_line, int *out_column);
const struct hujson_node *hujson_find(const struct hujson_doc *d,
                                      const struct hujson_node *obj,
                                      struct slice name); /* first, exact; NULL */
const struct hujson_node *hujson_find_nocase(const struct hujson_doc *d,
                                             const struct hujson_node *obj,
                                             struct slice name,
                                             size_t *out_index);
bool hujson_integer(const struct hujson_doc *d,
                    const struct hujson_node *n,
                    int64_t min,
                    int64_t max,
                    int64_t *out_value);

/* ---- JSON Pointer (RFC 6901): case-sensitive, the first of duplicate names ---- */

/* NULL: nothing there, or no pointer at all. "" is the root. */
const struct hujson_node *hujson_pointer(const struct hujson_doc *d, struct slice pointer);
/* Appends "/name", escaped, or "/12" to the pointer text in `out`. */
void hujson_pointer_add(struct buf *out, struct slice name);
void hujson_pointer_add_index(struct buf *out, size_t i);
/* The pointer of the innermost value at this offset of the text; a name counts as its value. */
void hujson_pointer_of(const struct hujson_doc *d, size_t offset, struct buf *out);

/* ---- other forms of the text; all append to `out` and set its `full` when it has no room ---- */

/* Comments become spaces, trailing commas one space: same length, plain JSON (1.7). */
void hujson_standardize(const struct hujson_doc *d, struct buf *out);
/* Without comments, white space and trailing commas. 0 or HUJSON_TOO_BIG. */
int hujson_minimize(const struct hujson_doc *d, struct buf *out) MUST_CHECK;
/*
 * The text as the reference formats it, byte for byte (1.9). Lone surrogates become U+FFFD there.
 * 0, HUJSON_TOO_BIG (out is as before) or -ENOMEM.
 */
int hujson_format(const struct hujson_doc *d, struct buf *out) MUST_CHECK;

/* ---- values and changes ---- */

/*
 * 0 when both values mean the same, HUJSON_DIFFERENT, or -ENOMEM. Numbers compare exactly, objects
 * without order; of duplicate names the last counts.
 */
int hujson_equal(const struct hujson_doc *a,
                 const struct hujson_node *na,
                 const struct hujson_doc *b,
                 const struct hujson_node *nb) MUST_CHECK;

/*
 * Applies an RFC 6902 patch, itself HuJSON (1.10): all of it or nothing. Afterwards hujson_text is
 * the new text and all nodes are new. Nothing is formatted. 0; HUJSON_SYNTAX: the patch text does
 * not parse; HUJSON_PATCH: it is no patch, or does not apply ("patch operation 0: value not
 * found"); HUJSON_TOO_BIG: it, or its result, exceeds what the document was parsed with. *out_diag
 * points into the patch text, at the operation. -ENOMEM.
 */
int hujson_patch(struct hujson_doc *d,
                 struct slice patch_text,
                 struct hujson_diag *out_diag) MUST_CHECK;
