/*
 * "Add Funnel" as a splice (policy.md 1.11): the new lines take the file's
 * own indentation, every other byte stays. The result is loaded like any
 * save before it is handed out.
 */
#include "lib/base/mem.h"
#include "policy/edit.h"
#include "policy/policy_priv.h"

struct splice {
    const struct hujson_doc *doc;
    struct slice text;
    struct buf *out;
    struct slice unit; /* one level of the file's indentation */
    struct slice selector, comment;
    bool standard; /* plain JSON stays plain: no comment, no trailing comma */
};

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The blanks that the line of `offset` begins with. */
static struct slice indent_at(struct slice text, size_t offset)
{
    size_t start = offset, end;
    while (start && text.p[start - 1] != '\n') {
        start--;
    }
    for (end = start; end < offset && blank(text.p[end]); end++) {
    }
    return slice_of(text.p + start, end - start);
}

/* Nothing but blanks stands before `offset` on its line. */
static bool begins_line(struct slice text, size_t offset)
{
    struct slice indent = indent_at(text, offset);
    return indent.p + indent.n == text.p + offset;
}

/* One level: what the first member of the root is indented by. */
static struct slice find_unit(const struct hujson_doc *doc, struct slice text)
{
    const struct hujson_node *root = hujson_root(doc);
    if (hujson_count(root)) {
        struct slice indent = indent_at(text, hujson_name_offset(root, 0));
        if (indent.n && begins_line(text, hujson_name_offset(root, 0))) {
            return indent;
        }
    }
    return S("\t");
}

static void put_quoted(struct buf *out, struct slice s)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') {
            buf_addc(out, '\\');
        }
        buf_addc(out, s.p[i]);
    }
    buf_addc(out, '"');
}

static void put_line(struct splice *sp, struct slice indent, const char *text)
{
    buf_addf(sp->out, "\n" SLICE_FMT SLICE_FMT "%s", SLICE_ARG(indent), SLICE_ARG(sp->unit), text);
}

/* The entry; it begins where we stand, its further lines are indented by `indent`. */
static void put_entry(struct splice *sp, struct slice indent)
{
    buf_adds(sp->out, "{");
    if (sp->comment.n && !sp->standard) {
        put_line(sp, indent, "// ");
        buf_add(sp->out, sp->comment);
    }
    put_line(sp, indent, "\"target\": [");
    put_quoted(sp->out, sp->selector);
    buf_adds(sp->out, "],");
    put_line(sp, indent, sp->standard ? "\"attr\":   [\"funnel\"]" : "\"attr\":   [\"funnel\"],");
    buf_addf(sp->out, "\n" SLICE_FMT "}", SLICE_ARG(indent));
}

/* [⏎ indent+unit entry ⏎ indent] */
static void put_section(struct splice *sp, struct slice indent)
{
    struct buf inner = BUF_MAX(4096);
    buf_add(&inner, indent);
    buf_add(&inner, sp->unit);
    buf_addf(sp->out, "[\n" SLICE_FMT, SLICE_ARG(buf_slice(&inner)));
    put_entry(sp, buf_slice(&inner));
    buf_addf(sp->out, "%s\n" SLICE_FMT "]", sp->standard ? "" : ",", SLICE_ARG(indent));
    buf_deinit(&inner);
}

typedef void (*put_fn)(struct splice *sp, struct slice indent);

static void put_member(struct splice *sp, struct slice indent)
{
    buf_adds(sp->out, "\"nodeAttrs\": ");
    put_section(sp, indent);
}

static void copy(struct splice *sp, size_t from, size_t to)
{
    buf_add(sp->out, slice_of(sp->text.p + from, to - from));
}

/* The end of the line on which `at` stands, when only blanks and a comment follow there; else `at`.
 */
static size_t past_line_comment(struct slice text, size_t at)
{
    size_t i = at;
    while (i < text.n && (blank(text.p[i]) || text.p[i] == '\r')) {
        i++;
    }
    if (i + 1 < text.n && text.p[i] == '/' && text.p[i + 1] == '/') {
        while (i < text.n && text.p[i] != '\n') {
            i++;
        }
    }
    return i < text.n && text.p[i] == '\n' ? i : at;
}

/* Into `{}` or `[]`: before the closer, one level deeper than the opener's line. */
static void insert_first(struct splice *sp, const struct hujson_node *n, put_fn put)
{
    size_t closer = hujson_end(n) - 1, at = closer;
    struct slice outer = indent_at(sp->text, hujson_offset(n));
    struct buf inner = BUF_MAX(4096);
    buf_add(&inner, outer);
    buf_add(&inner, sp->unit);
    if (begins_line(sp->text, closer)) {
        at = closer - indent_at(sp->text, closer).n;
        copy(sp, 0, at);
        buf_add(sp->out, buf_slice(&inner));
        put(sp, buf_slice(&inner));
        buf_adds(sp->out, sp->standard ? "\n" : ",\n");
    } else {
        copy(sp, 0, at);
        buf_addf(sp->out, "\n" SLICE_FMT, SLICE_ARG(buf_slice(&inner)));
        put(sp, buf_slice(&inner));
        buf_addf(sp->out, "%s\n" SLICE_FMT, sp->standard ? "" : ",", SLICE_ARG(outer));
    }
    copy(sp, at, sp->text.n);
    buf_deinit(&inner);
}

/* Behind the last member: its comma, its end-of-line comment, then a line of our own. */
static void
insert_last(struct splice *sp, const struct hujson_node *n, size_t last_start, put_fn put)
{
    const struct hujson_node *last = hujson_at(n, hujson_count(n) - 1);
    bool trailing = hujson_has_trailing_comma(n);
    size_t value_end = hujson_end(last), comma_end = trailing ? hujson_tail(n) : value_end;
    bool own_line = begins_line(sp->text, last_start);
    size_t at = own_line ? past_line_comment(sp->text, comma_end) : comma_end;
    struct slice indent = indent_at(sp->text, last_start);
    copy(sp, 0, value_end);
    if (!trailing) {
        buf_addc(sp->out, ',');
    }
    copy(sp, value_end, at);
    if (own_line) {
        buf_addf(sp->out, "\n" SLICE_FMT, SLICE_ARG(indent));
    } else {
        buf_addc(sp->out, ' ');
    }
    put(sp, indent);
    if (trailing) {
        buf_addc(sp->out, ',');
    }
    copy(sp, at, sp->text.n);
}

static void splice(struct splice *sp)
{
    const struct hujson_node *root = hujson_root(sp->doc);
    size_t index = 0;
    const struct hujson_node *section = hujson_find_nocase(sp->doc, root, S("nodeAttrs"), &index);
    if (section && hujson_kind(section) == HUJSON_NULL) {
        copy(sp, 0, hujson_offset(section));
        put_section(sp, indent_at(sp->text, hujson_name_offset(root, index)));
        copy(sp, hujson_end(section), sp->text.n);
    } else if (section && hujson_count(section)) {
        insert_last(sp, section, hujson_offset(hujson_at(section, hujson_count(section) - 1)),
                    put_entry);
    } else if (section) {
        insert_first(sp, section, put_entry);
    } else if (hujson_count(root)) {
        insert_last(sp, root, hujson_name_offset(root, hujson_count(root) - 1), put_member);
    } else {
        insert_first(sp, root, put_member);
    }
}

/* Both spellings in one file are refused elsewhere: use the one that stands there. */
static struct slice spelling(const struct policy *p, struct slice selector)
{
    if (!slice_eq(selector, S("autogroup:member"))) {
        return selector;
    }
    for (size_t i = 0; i < p->entry_count; i++) {
        for (size_t k = 0; k < p->entries[i].target_count; k++) {
            if (slice_eq(p->entries[i].targets[k].text, S("autogroup:members"))) {
                return S("autogroup:members");
            }
        }
    }
    return selector;
}

/* What was written must load and must give what was asked for. */
static bool proven(struct slice text, struct slice selector, struct policy_diags *out_diags)
{
    struct policy *after = NULL;
    policy_diags_free(out_diags);
    if (policy_load(text, NULL, out_diags, &after)) {
        return false;
    }
    bool covers = policy_entry_covers(after, selector, S("funnel"));
    policy_unref(after);
    return covers;
}

enum policy_edit_result policy_add_funnel(struct slice text,
                                          struct slice selector,
                                          struct slice comment,
                                          struct buf *out_text,
                                          struct policy_diags *out_diags)
{
    struct policy *p = NULL;
    if (policy_load(text, NULL, out_diags, &p)) {
        return POLICY_REFUSED;
    }
    if (policy_entry_covers(p, selector, S("funnel"))) {
        policy_unref(p);
        return POLICY_UNCHANGED;
    }
    struct splice sp = {.doc = p->doc,
                        .text = policy_text(p),
                        .out = out_text,
                        .unit = find_unit(p->doc, policy_text(p)),
                        .selector = spelling(p, selector),
                        .comment = comment,
                        .standard =
                            hujson_is_standard(p->doc) && hujson_count(hujson_root(p->doc))};
    splice(&sp);
    bool ok = buf_ok(out_text) && proven(buf_slice(out_text), selector, out_diags);
    policy_unref(p);
    return ok ? POLICY_SPLICED : POLICY_REFUSED;
}
