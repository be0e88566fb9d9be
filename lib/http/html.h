#pragma once
/* HTML on a struct buf. Text from anywhere else than our own source goes through html_text only. */
#include "lib/base/buf.h"

/* Escapes & < > " ' and drops control characters: right for text and for quoted attribute values.
 */
void html_text(struct buf *out, struct slice text);
/* A format with our own markup; every %s argument is escaped, %d is an int, %% a percent sign. */
void html_fmt(struct buf *out, const char *fmt, ...);
