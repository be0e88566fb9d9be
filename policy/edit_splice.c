/*
 * One step as a splice: the new lines take the file's own indentation and line ends, a removed
 * child takes its owned comments along (policy.md 1.10), every other byte stays.
 */
#include "policy/edit_priv.h"

struct splice {
    const struct hujson_doc *doc;
    const struct hujson_node *node; /* the composite */
    struct slice text;
    struct slice unit; /* one level of the file's indentation */
    struct slice eol;
    struct buf *out;
};

/* ---- lines and blanks ---- */

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static size_t line_start(struct slice text, size_t at)
{
    while (at && text.p[at - 1] != '\n') {
        at--;
    }
    return at;
}

/* The blanks that the line of `at` begins with, up to `at`. */
static struct slice indent_at(struct slice text, size_t at)
{
    size_t start = line_start(text, at), end = start;
    while (end < at && blank(text.p[end])) {
        end++;
    }
    return slice_sub(text, start, end - start);
}

static bool begins_line(struct slice text, size_t at)
{
    struct slice indent = indent_at(text, at);
    return indent.p + indent.n == text.p + at;
}

static size_t skip_blanks(struct slice text, size_t at)
{
    while (at < text.n && blank(text.p[at])) {
        at++;
    }
    return at;
}

static bool ends_line(struct slice text, size_t at)
{
    at = skip_blanks(text, at);
    return at == text.n || text.p[at] == '\n';
}

static size_t child_start(const struct hujson_node *n, size_t i)
{
    return hujson_kind(n) == HUJSON_OBJECT ? hujson_name_offset(n, i)
                                           : hujson_offset(hujson_at(n, i));
}

/* What a composite's children are indented by beyond the line of its opener; false where its first
 * child does not begin a line. */
static bool child_indent(struct slice text, const struct hujson_node *n, struct slice *out)
{
    bool composite = hujson_kind(n) == HUJSON_OBJECT || hujson_kind(n) == HUJSON_ARRAY;
    if (!composite || !hujson_count(n) || !begins_line(text, child_start(n, 0))) {
        return false;
    }
    struct slice outer = indent_at(text, hujson_offset(n)),
                 inner = indent_at(text, child_start(n, 0));
    *out = slice_starts(inner, outer) ? slice_skip(inner, outer.n) : inner;
    return true;
}

/* One level: what the root indents its members by, or else what the first of its values does. A
 * file that indents nothing goes on so; a file of one line has no habit, and gets TABs. */
static struct slice find_unit(const struct hujson_doc *doc)
{
    struct slice text = hujson_text(doc), unit = S(""), deeper;
    const struct hujson_node *root = hujson_root(doc);
    bool any = child_indent(text, root, &unit);
    for (size_t i = 0; !unit.n && i < hujson_count(root); i++) {
        if (child_indent(text, hujson_at(root, i), &deeper)) {
            any = true;
            unit = deeper;
        }
    }
    return any ? unit : S("\t");
}

static struct slice find_eol(struct slice text)
{
    ptrdiff_t lf = slice_find(text, '\n');
    return lf > 0 && text.p[lf - 1] == '\r' ? S("\r\n") : S("\n");
}

/* ---- comments and commas ---- */

/* Past one piece of white space or one comment (a line comment ends before its line end); at itself
 * where neither stands there. */
static size_t skip_piece(struct slice text, size_t at)
{
    if (at < text.n && (blank(text.p[at]) || text.p[at] == '\n')) {
        return at + 1;
    }
    if (at + 1 >= text.n || text.p[at] != '/') {
        return at;
    }
    bool line = text.p[at + 1] == '/';
    for (size_t i = at + 2; i < text.n; i++) {
        if (line ? text.p[i] == '\n' : text.p[i] == '/' && text.p[i - 1] == '*' && i > at + 2) {
            return line ? i - (text.p[i - 1] == '\r') : i + 1;
        }
    }
    return text.n;
}

static size_t skip_extra(struct slice text, size_t at)
{
    size_t next;
    while ((next = skip_piece(text, at)) != at) {
        at = next;
    }
    return at;
}

static bool at_comment(struct slice text, size_t at)
{
    return at < text.n && text.p[at] == '/';
}

/* How the extra between two children is shared out (policy.md 1.10). */
struct shares {
    size_t previous_end; /* what stands before belongs to the previous child; no LF at its end */
    size_t next_start;   /* from here on it belongs to the next one */
};

static struct shares share_out(struct slice text, size_t from, size_t to)
{
    size_t at = from, lines = 0, comment_end = from, same_line = from, first_blank = 0,
           last_blank = 0;
    while (at < to) {
        size_t next = skip_piece(text, at);
        if (at_comment(text, at)) {
            bool line = text.p[at + 1] == '/';
            same_line =
                line && slice_find(slice_sub(text, from, at - from), '\n') < 0 ? next : same_line;
            comment_end = next;
            lines = 0;
        } else if (text.p[at] == '\n' && ++lines == 2) {
            first_blank = first_blank ? first_blank : comment_end + 1;
            last_blank = next;
        } else if (text.p[at] == '\n' && lines > 2) {
            last_blank = next;
        }
        at = next;
    }
    if (first_blank) {
        return (struct shares){first_blank - 1, last_blank};
    }
    return (struct shares){same_line, same_line};
}

/* Past the comma behind child i; its value's end where there is none. */
static size_t comma_end(const struct splice *sp, size_t i)
{
    size_t end = hujson_end(hujson_at(sp->node, i));
    if (i + 1 < hujson_count(sp->node) || hujson_has_trailing_comma(sp->node)) {
        return skip_extra(sp->text, end) + 1;
    }
    return end;
}

static size_t closer_of(const struct splice *sp)
{
    return hujson_end(sp->node) - 1;
}

static size_t next_start(const struct splice *sp, size_t i)
{
    return i + 1 < hujson_count(sp->node) ? child_start(sp->node, i + 1) : closer_of(sp);
}

/* ---- writing ---- */

static void copy(struct splice *sp, size_t from, size_t to)
{
    buf_add(sp->out, slice_sub(sp->text, from, to - from));
}

static void new_line(struct splice *sp, struct slice indent, size_t levels)
{
    buf_add(sp->out, sp->eol);
    buf_add(sp->out, indent);
    while (levels--) {
        buf_add(sp->out, sp->unit);
    }
}

/* The value, its further lines moved to where the first one stands. */
static void
put_value(struct splice *sp, const struct edit_step *step, struct slice indent, size_t levels)
{
    struct slice rest = step->value, line;
    if (hujson_kind(sp->node) == HUJSON_OBJECT && step->verb == EDIT_ADD) {
        edit_put_quoted(sp->out, step->name);
        buf_adds(sp->out, ": ");
    }
    for (bool first = true; slice_split(&rest, '\n', &line); first = false) {
        size_t tabs = 0;
        while (!first && tabs < line.n && line.p[tabs] == '\t') {
            tabs++;
        }
        if (!first) {
            new_line(sp, indent, levels + tabs);
        }
        buf_add(sp->out, slice_skip(line, tabs));
    }
}

/* ---- adding ---- */

/* Into a composite without children. On a line of its own where the closer has one. */
static void add_first(struct splice *sp, const struct edit_step *step)
{
    size_t opener = hujson_offset(sp->node), closer = closer_of(sp), at = closer;
    struct slice outer = indent_at(sp->text, opener);
    if (begins_line(sp->text, closer)) {
        at = line_start(sp->text, closer);
        copy(sp, 0, at);
        buf_add(sp->out, outer);
        buf_add(sp->out, sp->unit);
        put_value(sp, step, outer, 1);
        buf_adds(sp->out, step->loose ? "," : "");
        buf_add(sp->out, sp->eol);
    } else {
        while (at > opener + 1 && blank(sp->text.p[at - 1])) {
            at--;
        }
        copy(sp, 0, at);
        buf_adds(sp->out, at > opener + 1 ? " " : "");
        put_value(sp, step, outer, 0);
    }
    copy(sp, at, sp->text.n);
}

/* Behind child i: behind its comma and its own comments, on a line of its own where it has one. */
static void add_behind(struct splice *sp, const struct edit_step *step, size_t i)
{
    size_t start = child_start(sp->node, i), value_end = hujson_end(hujson_at(sp->node, i));
    size_t comma = comma_end(sp, i),
           at = share_out(sp->text, comma, next_start(sp, i)).previous_end;
    bool own_line = begins_line(sp->text, start) || at > comma;
    struct slice indent = indent_at(sp->text, start);
    copy(sp, 0, value_end);
    buf_adds(sp->out, comma == value_end ? "," : "");
    copy(sp, value_end, at);
    if (own_line) {
        new_line(sp, indent, 0);
    } else {
        buf_addc(sp->out, ' ');
    }
    put_value(sp, step, indent, 0);
    buf_adds(sp->out, comma == value_end ? "" : ",");
    copy(sp, at, sp->text.n);
}

/* ---- removing ---- */

struct cut {
    size_t from, to;
};

/* Whole lines where the cut leaves nothing else on them; the blank line behind them too where one
 * stands before them as well. */
static struct cut whole_lines(const struct splice *sp, struct cut c)
{
    size_t start = line_start(sp->text, c.from), end = skip_blanks(sp->text, c.to);
    if (!begins_line(sp->text, c.from) || end >= sp->text.n || sp->text.p[end] != '\n') {
        return c;
    }
    c = (struct cut){start, end + 1};
    size_t before = start ? line_start(sp->text, start - 1) : 0;
    bool after_blank = start && ends_line(sp->text, before),
         first = before <= hujson_offset(sp->node);
    if ((after_blank || first) && ends_line(sp->text, c.to) && c.to < closer_of(sp)) {
        c.to = skip_blanks(sp->text, c.to) + 1;
    } else if (after_blank && skip_blanks(sp->text, c.to) == closer_of(sp)) {
        c.from = before;
    }
    return c;
}

/* From the child's first owned comment to behind its last one. */
static struct cut owned(const struct splice *sp, size_t i)
{
    size_t before = i ? comma_end(sp, i - 1) : hujson_offset(sp->node) + 1,
           behind = comma_end(sp, i);
    size_t lead = share_out(sp->text, before, child_start(sp->node, i)).next_start;
    while (lead < child_start(sp->node, i) &&
           (blank(sp->text.p[lead]) || sp->text.p[lead] == '\n')) {
        lead++;
    }
    return (struct cut){lead, share_out(sp->text, behind, next_start(sp, i)).previous_end};
}

static bool only_blanks(struct slice text, size_t from, size_t to)
{
    for (; from < to; from++) {
        if (!blank(text.p[from]) && text.p[from] != '\n') {
            return false;
        }
    }
    return true;
}

/* The blanks between a child on a shared line and its neighbour go with it. */
static struct cut with_gap(const struct splice *sp, size_t i, struct cut c)
{
    size_t from = c.from, to = c.to;
    bool last = i + 1 == hujson_count(sp->node);
    while (last && i && from && blank(sp->text.p[from - 1])) {
        from--;
    }
    while (!last && to < sp->text.n && blank(sp->text.p[to])) {
        to++;
    }
    return (struct cut){from, to};
}

static void remove_child(struct splice *sp, size_t i)
{
    size_t opener = hujson_offset(sp->node) + 1, closer = closer_of(sp), from = 0;
    struct cut c = owned(sp, i), lines = whole_lines(sp, c);
    bool moved = lines.from != c.from || lines.to != c.to;
    c = moved ? lines : with_gap(sp, i, c);
    if (hujson_count(sp->node) == 1 && only_blanks(sp->text, opener, c.from) &&
        only_blanks(sp->text, c.to, closer)) {
        c = (struct cut){opener, closer};
    }
    if (i && comma_end(sp, i) == hujson_end(hujson_at(sp->node, i))) {
        size_t comma = comma_end(sp, i - 1) - 1; /* the one that separated it */
        copy(sp, 0, comma);
        from = comma + 1;
    }
    copy(sp, from, c.from);
    copy(sp, c.to, sp->text.n);
}

static void replace_child(struct splice *sp, const struct edit_step *step)
{
    const struct hujson_node *value = hujson_at(sp->node, step->index);
    copy(sp, 0, hujson_offset(value));
    put_value(sp, step, indent_at(sp->text, child_start(sp->node, step->index)), 0);
    copy(sp, hujson_end(value), sp->text.n);
}

void edit_splice(const struct hujson_doc *doc, const struct edit_step *step, struct buf *out)
{
    struct splice sp = {.doc = doc,
                        .node = edit_composite(doc, step),
                        .text = hujson_text(doc),
                        .unit = find_unit(doc),
                        .eol = find_eol(hujson_text(doc)),
                        .out = out};
    size_t count = hujson_count(sp.node);
    switch (step->verb) {
    case EDIT_ADD:
        if (count) {
            add_behind(&sp, step, step->index < count ? step->index : count - 1);
        } else {
            add_first(&sp, step);
        }
        return;
    case EDIT_REPLACE:
        replace_child(&sp, step);
        return;
    case EDIT_REMOVE:
        remove_child(&sp, step->index);
        return;
    }
}
