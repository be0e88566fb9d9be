/* One pass per line; what is unusual is refused, because a second reader might see something else
 * in it. */
#include "agent/http_head.h"

#include <string.h>

enum { CHUNK_LINE_MAX = 1024, TRAILERS_MAX = 8192, SIZE_DIGITS = 15 };

static bool is_token_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_token_char((unsigned char)s.p[i])) {
            return false;
        }
    }
    return s.n > 0;
}

/* field-content: visible characters, blanks, and bytes above ASCII. */
static bool is_value(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static struct slice trim_blanks(struct slice s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s = slice_skip(s, 1);
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

/* The bytes up to and with the empty line; 0 when it has not come yet. */
static size_t head_length(struct slice in)
{
    const char *end = memmem(in.p, in.n, "\r\n\r\n", 4);
    return end ? (size_t)(end - in.p) + 4 : 0;
}

static bool next_line(struct slice *rest, struct slice *out)
{
    const char *end = memmem(rest->p, rest->n, "\r\n", 2);
    if (!end) {
        return false;
    }
    *out = slice_of(rest->p, (size_t)(end - rest->p));
    *rest = slice_skip(*rest, out->n + 2);
    return memchr(out->p, '\n', out->n) == NULL && memchr(out->p, '\r', out->n) == NULL;
}

static bool read_fields(struct slice rest, struct http_head *h)
{
    struct slice line;
    while (next_line(&rest, &line)) {
        if (!line.n) {
            return rest.n == 0;
        }
        ptrdiff_t colon = slice_find(line, ':');
        if (colon < 1 || h->field_count == FIELDS_MAX) {
            return false;
        }
        struct head_field *f = &h->fields[h->field_count++];
        f->name = slice_of(line.p, (size_t)colon);
        f->value = trim_blanks(slice_skip(line, (size_t)colon + 1));
        if (!is_token(f->name) || !is_value(f->value)) {
            return false;
        }
    }
    return false;
}

static bool has_word(struct slice list, struct slice word)
{
    struct slice part;
    while (list.n && slice_split(&list, ',', &part)) {
        if (slice_eq_nocase(trim_blanks(part), word)) {
            return true;
        }
    }
    return false;
}

static bool connection_says(const struct http_head *h, struct slice word)
{
    for (size_t i = 0; i < h->field_count; i++) {
        if (slice_eq_nocase(h->fields[i].name, S("connection")) &&
            has_word(h->fields[i].value, word)) {
            return true;
        }
    }
    return false;
}

bool http_head_is_hop(const struct http_head *h, struct slice name)
{
    static const char *const always[] = {
        "connection", "keep-alive",         "proxy-connection",   "te",
        "upgrade",    "proxy-authenticate", "proxy-authorization"};
    for (size_t i = 0; i < ARRAY_LEN(always); i++) {
        if (slice_eq_nocase(name, slice_str(always[i]))) {
            return true;
        }
    }
    /* Framing is ours to keep, whatever Connection says. */
    return !slice_eq_nocase(name, S("content-length")) &&
           !slice_eq_nocase(name, S("transfer-encoding")) && !slice_eq_nocase(name, S("host")) &&
           connection_says(h, name);
}

struct framing {
    bool request, chunked, sized;
};

/* One field's say in it; 0 or the status to answer with. */
static int note_framing(struct http_head *h, const struct head_field *f, struct framing *fr)
{
    if (slice_eq_nocase(f->name, S("content-length"))) {
        if (fr->sized || !slice_u64(f->value, INT64_MAX, &h->length)) {
            return 400;
        }
        fr->sized = true;
    } else if (slice_eq_nocase(f->name, S("transfer-encoding"))) {
        if (fr->chunked || !slice_eq_nocase(f->value, S("chunked"))) {
            return fr->request ? 501 : 400;
        }
        fr->chunked = true;
    }
    return 0;
}

/* RFC 9112 section 6.3: framing from the fields; 0 or the status to answer with. */
static int read_framing(struct http_head *h, bool request)
{
    struct framing fr = {.request = request};
    for (size_t i = 0; i < h->field_count; i++) {
        int status = note_framing(h, &h->fields[i], &fr);
        if (status) {
            return status;
        }
    }
    if (fr.chunked && (fr.sized || h->minor == 0)) {
        return 400;
    }
    h->body = fr.chunked ? BODY_CHUNKED
              : fr.sized ? BODY_LENGTH
              : request  ? BODY_NONE
                         : BODY_UNTIL_CLOSE;
    if (h->body == BODY_LENGTH && h->length == 0) {
        h->body = BODY_NONE;
    }
    return 0;
}

static int read_version(struct slice v, struct http_head *h)
{
    if (slice_eq(v, S("HTTP/1.1")) || slice_eq(v, S("HTTP/1.0"))) {
        h->minor = v.p[7] - '0';
        return 0;
    }
    return slice_starts(v, S("HTTP/")) ? 505 : 400;
}

/* origin-form, absolute-form (its authority is the host), or "*" for OPTIONS. */
static bool read_target(struct http_head *h)
{
    struct slice t = h->target;
    for (size_t i = 0; i < t.n; i++) {
        if ((unsigned char)t.p[i] <= ' ' || (unsigned char)t.p[i] == 0x7f) {
            return false;
        }
    }
    if (slice_starts(t, S("/")) || (slice_eq(t, S("*")) && slice_eq(h->method, S("OPTIONS")))) {
        return true;
    }
    struct slice rest = slice_starts_nocase(t, S("https://"))  ? slice_skip(t, 8)
                        : slice_starts_nocase(t, S("http://")) ? slice_skip(t, 7)
                                                               : S("");
    ptrdiff_t slash = slice_find(rest, '/');
    if (slash < 1) {
        return false;
    }
    h->host = slice_of(rest.p, (size_t)slash);
    h->target = slice_skip(rest, (size_t)slash);
    return true;
}

static int read_host(struct http_head *h)
{
    size_t count = 0;
    for (size_t i = 0; i < h->field_count; i++) {
        if (slice_eq_nocase(h->fields[i].name, S("host"))) {
            count++;
            h->host = h->host.n ? h->host
                                : h->fields[i].value; /* an absolute target wins (RFC 9112 3.2.2) */
        } else if (slice_eq_nocase(h->fields[i].name, S("expect")) &&
                   slice_eq_nocase(h->fields[i].value, S("100-continue"))) {
            h->expect_continue = true;
        }
    }
    return count == 1 || (count == 0 && h->minor == 0) ? 0 : 400;
}

int http_head_request(struct slice in, struct http_head *out, size_t *out_len)
{
    struct slice line, rest;
    /* An empty line before a request is ignored (RFC 9112 section 2.2), once. */
    size_t skip = slice_starts(in, S("\r\n")) ? 2 : 0;
    in = slice_skip(in, skip);
    size_t n = head_length(in);
    if (!n) {
        return in.n >= HEAD_MAX ? 431 : HEAD_MORE;
    }
    if (n > HEAD_MAX) {
        return 431;
    }
    memset(out, 0, sizeof *out);
    rest = slice_of(in.p, n);
    if (!next_line(&rest, &line) || !slice_split(&line, ' ', &out->method) ||
        !slice_split(&line, ' ', &out->target) || !line.p || !is_token(out->method)) {
        return 400;
    }
    int rc = read_version(line, out);
    if (rc || !read_fields(rest, out)) {
        return rc ? rc : 400;
    }
    rc = read_framing(out, true);
    rc = rc ? rc : read_target(out) ? read_host(out) : 400;
    out->keep_alive = out->minor == 1 && !connection_says(out, S("close"));
    *out_len = skip + n;
    return rc;
}

int http_head_response(struct slice in, struct slice method, struct http_head *out, size_t *out_len)
{
    struct slice line, rest, version, code;
    uint64_t status;
    size_t n = head_length(in);
    if (!n) {
        return in.n >= HEAD_MAX ? 502 : HEAD_MORE;
    }
    memset(out, 0, sizeof *out);
    rest = slice_of(in.p, n);
    if (n > HEAD_MAX || !next_line(&rest, &line) || !slice_split(&line, ' ', &version) ||
        !slice_split(&line, ' ', &code) || code.n != 3 || !slice_u64(code, 999, &status) ||
        status < 100 || read_version(version, out) || !read_fields(rest, out) ||
        read_framing(out, false)) {
        return 502;
    }
    out->status = (int)status;
    out->reason = line.p && is_value(line) ? line : S("");
    if (status < 200 || status == 204 || status == 304 || slice_eq(method, S("HEAD"))) {
        out->body = BODY_NONE;
    }
    *out_len = n;
    return 0;
}

/* ---- chunked ---- */

enum {
    C_SIZE,
    C_EXT,
    C_SIZE_LF,
    C_DATA,
    C_DATA_CR,
    C_DATA_LF,
    C_TRAILER,
    C_TRAILER_LINE,
    C_TRAILER_LF,
    C_END_LF
};

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char l = (char)(c | 0x20);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* One framing byte. False: broken. */
static bool chunk_byte(struct chunked *c, char b, bool *out_done)
{
    int d = hex(b);
    switch (c->state) {
    case C_SIZE:
        if (d >= 0) {
            c->left = c->left << 4 | (uint64_t)d;
            return ++c->digits <= SIZE_DIGITS;
        }
        c->state = b == '\r' ? C_SIZE_LF : C_EXT;
        return c->digits > 0 && (b == '\r' || b == ';' || b == ' ' || b == '\t');
    case C_EXT:
        c->state = b == '\r' ? C_SIZE_LF : C_EXT;
        return ++c->line <= CHUNK_LINE_MAX && (b == '\r' || b == '\t' || (unsigned char)b >= 0x20);
    case C_SIZE_LF:
        c->line = 0;
        c->state = c->left ? C_DATA : C_TRAILER;
        return b == '\n';
    case C_DATA_CR:
        c->state = C_DATA_LF;
        return b == '\r';
    case C_DATA_LF:
        c->state = C_SIZE;
        c->digits = 0;
        return b == '\n';
    case C_TRAILER:
        c->state = b == '\r' ? C_END_LF : C_TRAILER_LINE;
        return ++c->line <= TRAILERS_MAX && (b == '\r' || is_token_char((unsigned char)b));
    case C_TRAILER_LINE:
        c->state = b == '\r' ? C_TRAILER_LF : C_TRAILER_LINE;
        return ++c->line <= TRAILERS_MAX && (b == '\r' || b == '\t' || (unsigned char)b >= 0x20);
    case C_TRAILER_LF:
        c->state = C_TRAILER;
        return b == '\n';
    case C_END_LF:
        *out_done = true;
        return b == '\n';
    default: /* foreign enum: a plain int */
        return false;
    }
}

size_t chunked_feed(struct chunked *c, struct slice in, bool *out_done, bool *out_bad)
{
    size_t used = 0;
    *out_done = *out_bad = false;
    while (used < in.n && !*out_done && !*out_bad) {
        if (c->state == C_DATA) {
            size_t n = in.n - used < c->left ? in.n - used : (size_t)c->left;
            used += n;
            c->left -= n;
            c->state = c->left ? C_DATA : C_DATA_CR;
        } else {
            *out_bad = !chunk_byte(c, in.p[used], out_done);
            used++;
        }
    }
    return used;
}
