#pragma once
/*
 * HTTP/1.1 heads, strictly (RFC 9112): CRLF only, no folding, no blank before a colon, one Host,
 * never both Content-Length and Transfer-Encoding. One reader for what visitors and backends send;
 * nothing is guessed.
 */
#include "lib/base/buf.h"
#include "lib/base/slice.h"

#define HEAD_MAX   (64 * KIB)
#define FIELDS_MAX 128

enum body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };

struct head_field {
    struct slice name, value;
};

struct http_head {
    struct slice method, target; /* request */
    int status;                  /* response */
    struct slice reason;
    int minor; /* HTTP/1.minor */
    struct head_field fields[FIELDS_MAX];
    size_t field_count;
    enum body_kind body;
    uint64_t length;
    bool keep_alive;
    bool expect_continue;
    struct slice host; /* request: of Host or of an absolute target */
};

/* 0: whole, *out_len bytes. HEAD_MORE. Else the HTTP status to answer with: 400, 431, 501, 505. */
enum { HEAD_MORE = 1 };

int http_head_request(struct slice in, struct http_head *out, size_t *out_len) MUST_CHECK;
/* `method`: of the request it answers. 0, HEAD_MORE, or 502. */
int http_head_response(struct slice in, struct slice method, struct http_head *out, size_t *out_len)
    MUST_CHECK;

/* True for fields that belong to one hop (RFC 9110 section 7.6.1), named by Connection or always.
 */
bool http_head_is_hop(const struct http_head *h, struct slice name);

/* Chunked framing, followed without changing it. */
struct chunked {
    int state;
    uint64_t left;
    unsigned digits, line;
};

/* Bytes of `in` that belong to the body's framing; *out_done at its end, *out_bad when it is
 * broken. */
size_t chunked_feed(struct chunked *c, struct slice in, bool *out_done, bool *out_bad);
