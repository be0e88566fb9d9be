/*
 * How white space and comments look after formatting. Between two comments
 * stand a space, a line feed or one empty line; a comment that starts a line
 * gets the indentation of its depth; the lines of a block comment lose the
 * white space they have in common and get that indentation instead.
 */
#include "lib/hujson/hujson_fmt_priv.h"

bool hujson_has_comment(struct slice extra)
{
    return extra.n && memchr(extra.p, '/', extra.n);
}

/* ---- line ends ---- */

/* Overwrites each pair "ab" with one LF; the text gets shorter in place. */
static void fold_pair(struct buf *b, char first, char second)
{
    char *p = b->p + b->head;
    size_t to = 0;
    for (size_t from = 0; from < b->len; from++) {
        bool pair = from + 1 < b->len && p[from] == first && p[from + 1] == second;
        p[to] = p[from];
        if (pair) {
            p[to] = '\n';
        }
        to++;
        from += pair;
    }
    buf_truncate(b, to);
}

/* CRLF and LFCR are line ends, a CR alone is a blank. */
static struct slice without_cr(struct hujson_extra_out *x, struct slice extra)
{
    if (!extra.n || !memchr(extra.p, '\r', extra.n)) {
        return extra;
    }
    buf_clear(&x->scratch);
    if (buf_push(&x->scratch, extra)) {
        x->out->full = true;
        return S("");
    }
    fold_pair(&x->scratch, '\r', '\n');
    fold_pair(&x->scratch, '\n', '\r');
    for (size_t i = 0; i < x->scratch.len; i++) {
        char *c = &x->scratch.p[x->scratch.head + i];
        if (*c == '\r') {
            *c = ' ';
        }
    }
    return buf_slice(&x->scratch);
}

/* ---- writing ---- */

static void put_tabs(struct hujson_extra_out *x, uint32_t depth)
{
    static const char tabs[] = "\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t";
    for (; depth >= sizeof tabs - 1; depth -= (uint32_t)sizeof tabs - 1) {
        buf_add(x->out, slice_of(tabs, sizeof tabs - 1));
    }
    buf_add(x->out, slice_of(tabs, depth));
}

static void put_lines(struct hujson_extra_out *x, uint32_t count)
{
    x->lines += count;
    while (count--) {
        buf_addc(x->out, '\n');
    }
}

static size_t leading(struct slice line)
{
    size_t n = 0;
    while (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t')) {
        n++;
    }
    return n;
}

/* How many bytes of white space end the line, as Unicode knows it. */
static size_t trailing_space(struct slice line)
{
    const uint8_t *end = (const uint8_t *)line.p + line.n;
    uint8_t c = line.n ? end[-1] : 'x';
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
        return 1;
    }
    if (line.n >= 2 && end[-2] == 0xc2 && (c == 0x85 || c == 0xa0)) {
        return 2;
    }
    if (line.n < 3 || c < 0x80) {
        return 0;
    }
    uint32_t rune = (end[-3] & 0x0fu) << 12 | (end[-2] & 0x3fu) << 6 | (c & 0x3fu);
    bool space = rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) || rune == 0x2028 ||
                 rune == 0x2029 || rune == 0x202f || rune == 0x205f || rune == 0x3000;
    return end[-3] >> 4 == 0x0e && space ? 3 : 0;
}

static struct slice trim_end(struct slice line)
{
    for (size_t n; (n = trailing_space(line));) {
        line.n -= n;
    }
    return line;
}

/* The lines of a block comment behind its first. */
struct body {
    size_t prefix; /* white space that all lines share */
    bool starred;  /* and every line has a star behind it */
};

/* A last line that holds only the end of the comment has no say in the prefix. */
static bool is_lone_end(struct slice line, struct slice rest)
{
    return !rest.p && slice_eq(slice_trim(line), S("*/"));
}

static size_t shared_prefix(struct slice lines)
{
    struct slice line, shared = {NULL, 0};
    while (slice_split(&lines, '\n', &line)) {
        line = trim_end(line);
        if (!line.n || is_lone_end(line, lines)) {
            continue;
        }
        size_t n = leading(line), same = 0;
        if (!shared.p) {
            shared = slice_sub(line, 0, n);
        }
        while (same < n && same < shared.n && line.p[same] == shared.p[same]) {
            same++;
        }
        shared.n = same;
    }
    return shared.n;
}

static struct body measure(struct slice lines)
{
    struct body b = {.prefix = shared_prefix(lines), .starred = true};
    struct slice line;
    while (slice_split(&lines, '\n', &line)) {
        b.starred = b.starred &&
                    (is_lone_end(line, lines) || (line.n > b.prefix && line.p[b.prefix] == '*'));
    }
    return b;
}

static void put_block(struct hujson_extra_out *x, struct slice comment, uint32_t depth)
{
    struct slice line, lines = comment;
    if (!slice_split(&lines, '\n', &line)) {
        return;
    }
    buf_add(x->out, trim_end(line));
    struct body b = measure(lines);
    while (slice_split(&lines, '\n', &line)) {
        line = trim_end(line);
        put_lines(x, 1);
        if (!line.n) {
            continue;
        }
        put_tabs(x, depth);
        if (b.starred) {
            buf_addc(x->out, ' ');
        }
        buf_add(x->out, slice_skip(line, is_lone_end(line, lines) ? leading(line) : b.prefix));
    }
}

/* ---- the extra as a whole ---- */

struct state {
    struct slice rest;
    uint32_t pending; /* line feeds since the last comment */
    bool first;       /* no comment was written yet */
};

/* White space up to the next comment or the end, counted in line feeds. */
static void skip_space(struct state *s)
{
    while (s->rest.n && hujson_is_space((uint8_t)s->rest.p[0])) {
        s->pending += s->rest.p[0] == '\n';
        s->rest = slice_skip(s->rest, 1);
    }
}

static void put_comment(struct hujson_extra_out *x, struct state *s, uint32_t depth)
{
    const uint8_t *p = (const uint8_t *)s->rest.p, *end = hujson_comment_end(p, p + s->rest.n);
    struct slice comment = slice_of(p, (size_t)(end - p));
    s->rest = slice_skip(s->rest, comment.n);
    s->pending = 0;
    s->first = false;
    if (comment.p[1] == '/') {
        s->pending = 1; /* its own line feed */
        buf_add(x->out, trim_end(comment));
    } else {
        put_block(x, comment, depth);
    }
}

static uint32_t capped(uint32_t lines, bool no_blank)
{
    uint32_t most = no_blank ? 1 : 2;
    return lines < most ? lines : most;
}

/* What separates a comment from what stands before it. */
static void put_before(struct hujson_extra_out *x, struct state *s, uint32_t depth, unsigned flags)
{
    if (s->first && flags & EXTRA_AT_START) {
        return;
    }
    uint32_t lines = capped(s->pending, s->first && flags & EXTRA_NO_BLANK_BEFORE);
    put_lines(x, lines);
    if (lines) {
        put_tabs(x, depth);
    } else {
        buf_addc(x->out, ' ');
    }
}

/* What separates the last comment, or the value before, from what follows. */
static void put_after(struct hujson_extra_out *x, struct state *s, uint32_t depth, unsigned flags)
{
    if (flags & EXTRA_AT_END) {
        put_lines(x, 1);
        return;
    }
    if (s->first && flags & EXTRA_AT_START) {
        return;
    }
    bool no_blank = flags & EXTRA_NO_BLANK_AFTER || (s->first && flags & EXTRA_NO_BLANK_BEFORE);
    uint32_t lines = capped(s->pending, no_blank);
    if (!lines && flags & EXTRA_LINE_AFTER) {
        lines = 1;
    }
    put_lines(x, lines);
    if (lines) {
        put_tabs(x, depth - (flags & EXTRA_OUTDENT_AFTER ? 1 : 0));
    } else if (!s->first || flags & EXTRA_SPACE) {
        buf_addc(x->out, ' ');
    }
}

/* Most extras are a blank or a line feed and TABs. */
static bool is_only_space(struct slice extra, uint32_t *out_lines)
{
    uint32_t lines = 0;
    for (size_t i = 0; i < extra.n; i++) {
        if (extra.p[i] == '/' || extra.p[i] == '\r') {
            return false;
        }
        lines += extra.p[i] == '\n';
    }
    *out_lines = lines;
    return true;
}

void hujson_format_extra(struct hujson_extra_out *x,
                         struct slice extra,
                         uint32_t depth,
                         unsigned flags)
{
    struct state s = {.first = true};
    if (!is_only_space(extra, &s.pending)) {
        s.rest = without_cr(x, extra);
        skip_space(&s);
    }
    if (flags & EXTRA_LINE_BEFORE && !s.pending &&
        !(s.rest.n && memchr(s.rest.p, '\n', s.rest.n))) {
        s.pending = 1;
    }
    while (s.rest.n) {
        put_before(x, &s, depth, flags);
        put_comment(x, &s, depth);
        skip_space(&s);
    }
    put_after(x, &s, depth, flags);
}
