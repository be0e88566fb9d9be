#pragma once
/*
 * Formatting into fixed room, hex, base64url (RFC 4648 section 5, no padding)
 * and standard base64, DNS labels and names.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/slice.h"

/*
 * Two names for the two things that not fitting can mean (snprintf has one
 * for both). text_cut is for words that people read: what does not fit goes,
 * whole UTF-8 characters at a time. text_fit is for paths, names, URLs and
 * keys whose bound the caller knows: not fitting is a bug of ours and aborts.
 */
void text_cut(char *out, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
void text_fit(char *out, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);

void text_hex(struct buf *out, struct slice bytes);              /* lower case */
bool text_unhex(struct slice hex, uint8_t *out, size_t out_len); /* exact length */
void text_b64url(struct buf *out, struct slice bytes);
bool text_unb64url(struct slice text, struct buf *out); /* strict; false also when out is full */
void text_b64(struct buf *out, struct slice bytes);
bool text_unb64(struct slice text, struct buf *out);
/* Percent-encoding for one component of a URI or a form: all but RFC 3986's unreserved characters.
 */
void text_percent(struct buf *out, struct slice s);

/*
 * Canonical host name, the one function that DNS, policy, relay and
 * certificates share (field.md section 5 row 2): ASCII letters lowered, one
 * trailing dot dropped, labels of 1..63 LDH characters ("_" too when asked)
 * not starting or ending with "-", 253 bytes at most; IP literals, NUL and
 * empty names refused. out needs TEXT_NAME_SIZE bytes.
 */
#define TEXT_NAME_SIZE 254

enum text_name_flags { TEXT_NAME_HOST = 0, TEXT_NAME_UNDERSCORE = 1 };

bool text_name(struct slice in, enum text_name_flags flags, char out[TEXT_NAME_SIZE]);
bool text_label(struct slice in); /* one lower-case LDH label */
bool text_utf8_valid(struct slice s);
/* True when s is free of control, bidi-override and invalid UTF-8 characters and at most max bytes.
 */
bool text_printable(struct slice s, size_t max);
/* A copy with "?" for what text_printable refuses. */
void text_plain(struct buf *out, struct slice s);
