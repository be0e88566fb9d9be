#pragma once
/*
 * HuJSON (JSON with comments and trailing commas), spec/policy.md section 1. The tree keeps every
 * byte of white space and every comment: printing gives the input back byte for byte. The source is
 * never written to. No recursion without the depth counter; one arena per document; lengths
 * everywhere, NUL is a legal byte.
 */
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"

#define HUJSON_DEPTH_MAX 128       /* a policy needs 7; deeper is an attack on the stack */
#define HUJSON_SIZE_MAX  (1 * MIB) /* the default; callers may ask for less */

/* Where and what, both from 1; column counts bytes since the last LF (policy.md 1.6). */
struct hujson_diag {
    int line, column;
    size_t offset;
    char text[200]; /* "invalid character '}' at start of value" */
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

enum { HUJSON_SYNTAX = 1, HUJSON_TOO_BIG = 2 };

/* 0, HUJSON_SYNTAX or HUJSON_TOO_BIG with *out_diag, -ENOMEM. */
int hujson_parse(struct slice text,
                 size_t max,
                 struct hujson_diag *out_diag,
                 struct hujson_doc **out_doc) MUST_CHECK;
void hujson_free(struct hujson_doc *d); /* takes NULL */
DEFINE_AUTO(struct hujson_doc, hujson_free)
struct slice hujson_text(const struct hujson_doc *d); /* as parsed */
void hujson_print(const struct hujson_doc *d,
                  struct buf *out); /* from the tree; equals hujson_text */

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

/* Comments become spaces, trailing commas one space: same length, plain JSON (1.7). */
void hujson_standardize(const struct hujson_doc *d, struct buf *out);
