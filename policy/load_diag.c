/*
 * A complaint needs no more than an offset: line, column and JSON Pointer are found in the tree
 * when it is kept, so that a correct file pays nothing for them.
 */
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "policy/load_priv.h"

/* ---- where ---- */

/* As much of s as fits, never a part of a character. */
static void copy_cut(struct slice s, char *out, size_t size)
{
    size_t n = s.n;
    if (n >= size) {
        n = size - 1;
        while (n && ((unsigned char)s.p[n] & 0xc0) == 0x80) {
            n--;
        }
    }
    memcpy(out, s.p, n);
    out[n] = '\0';
}

void policy_pointer(const struct hujson_doc *doc, size_t offset, char out[POLICY_POINTER_SIZE])
{
    struct buf pointer = BUF_MAX(2 * POLICY_SIZE_MAX);
    hujson_pointer_of(doc, offset, &pointer);
    copy_cut(buf_slice(&pointer), out, POLICY_POINTER_SIZE);
    buf_deinit(&pointer);
}

static int character_column(struct slice text, size_t offset, int column)
{
    int characters = 1;
    for (size_t i = offset - (size_t)(column - 1); i < offset; i++) {
        characters += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    }
    return characters;
}

/* ---- what ---- */

/* What a person's terminal or page would obey instead of showing: control characters, and the marks
 * that turn the direction of text (U+202A to U+202E, U+2066 to U+2069). */
static bool deceives(const unsigned char *p)
{
    return p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0) ||
           (p[0] == 0xe2 && ((p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) ||
                             (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)));
}

/* Of the character at p; 0: it is none. A syntax error may quote what is not UTF-8. */
static size_t character_size(const char *p)
{
    unsigned char c = (unsigned char)p[0];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    return strnlen(p, n) == n && text_utf8_valid(slice_of(p, n)) ? n : 0;
}

/* Cuts what vsnprintf may have cut within a character, and defuses the rest. */
static void tidy(char *text, size_t size)
{
    size_t n = strlen(text), start = n;
    if (n + 1 == size) {
        while (start && ((unsigned char)text[start - 1] & 0xc0) == 0x80) {
            start--;
        }
        if (start && (unsigned char)text[start - 1] >= 0xc0) {
            text[start - 1] = '\0';
        }
    }
    for (char *p = text; *p;) {
        size_t bytes = character_size(p);
        if (!bytes || deceives((unsigned char *)p)) {
            bytes = bytes ? bytes : 1;
            memset(p, '?', bytes);
        }
        p += bytes;
    }
}

static void write_text(char *out, size_t size, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);

static void write_text(char *out, size_t size, const char *fmt, va_list ap)
{
    (void)vsnprintf(out, size, fmt, ap);
    tidy(out, size);
}

/* ---- the list ---- */

static bool comes_after(const struct policy_diag *d, enum policy_severity severity, size_t offset)
{
    return d->offset != offset ? d->offset > offset : d->severity > severity;
}

static void drop(struct policy_diags *diags, size_t i)
{
    memmove(&diags->items[i], &diags->items[i + 1], (diags->count - 1 - i) * sizeof *diags->items);
    diags->count--;
}

/* Makes room for one more of this severity; false: it comes after all those that are kept. */
static bool make_room(struct policy_diags *diags, enum policy_severity severity, size_t offset)
{
    size_t same = 0, last = 0;
    for (size_t i = 0; i < diags->count; i++) {
        if (diags->items[i].severity == severity) {
            same++;
            last = i;
        }
    }
    if (same < POLICY_DIAGS_MAX) {
        return true;
    }
    diags->truncated = true;
    if (!comes_after(&diags->items[last], severity, offset)) {
        return false;
    }
    drop(diags, last);
    return true;
}

/* Two readers may look at one node. */
static bool said_before(const struct policy_diags *diags, const char *code, size_t offset)
{
    for (size_t i = 0; i < diags->count; i++) {
        if (diags->items[i].offset == offset && strcmp(diags->items[i].code, code) == 0) {
            return true;
        }
    }
    return false;
}

static struct policy_diag *
insert(struct policy_diags *diags, enum policy_severity severity, const char *code, size_t offset)
{
    if (!diags->items) {
        diags->items = mem_try((size_t)2 * POLICY_DIAGS_MAX * sizeof *diags->items);
    }
    if (!diags->items || said_before(diags, code, offset) || !make_room(diags, severity, offset)) {
        return NULL;
    }
    size_t at = diags->count;
    while (at && comes_after(&diags->items[at - 1], severity, offset)) {
        at--;
    }
    memmove(&diags->items[at + 1], &diags->items[at], (diags->count - at) * sizeof *diags->items);
    diags->count++;
    diags->items[at] =
        (struct policy_diag){.severity = severity, .code = code, .offset = offset, .line = 1};
    return &diags->items[at];
}

static void find_place(struct policy_diag *d, const struct hujson_doc *doc)
{
    hujson_position(doc, d->offset, &d->line, &d->column);
    d->character = character_column(hujson_text(doc), d->offset, d->column);
    policy_pointer(doc, d->offset, d->pointer);
}

static void write_message(struct policy_diag *d, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);

static void write_message(struct policy_diag *d, const char *fmt, va_list ap)
{
    if (d) {
        write_text(d->message, sizeof d->message, fmt, ap);
    }
}

struct policy_diag *policy_complain(struct policy_diags *diags,
                                    const struct hujson_doc *doc,
                                    enum policy_severity severity,
                                    const char *code,
                                    size_t offset,
                                    const char *fmt,
                                    ...)
{
    va_list ap;
    struct policy_diag *d = insert(diags, severity, code, offset);
    if (d) {
        find_place(d, doc);
    }
    va_start(ap, fmt);
    write_message(d, fmt, ap);
    va_end(ap);
    return d;
}

void policy_hint(struct policy_diag *d, const char *fmt, ...)
{
    if (d) {
        va_list ap;
        va_start(ap, fmt);
        write_text(d->hint, sizeof d->hint, fmt, ap);
        va_end(ap);
    }
}

void policy_diags_free(struct policy_diags *d)
{
    mem_free(d->items);
    *d = (struct policy_diags){NULL, 0, false};
}

/* ---- the loader's own ---- */

struct policy_diag *
load_error(struct loader *l, const char *code, size_t offset, const char *fmt, ...)
{
    va_list ap;
    struct policy_diag *d = insert(l->diags, POLICY_ERROR, code, offset);
    va_start(ap, fmt);
    write_message(d, fmt, ap);
    va_end(ap);
    l->errors++;
    l->no_memory |= !l->diags->items;
    return d;
}

struct policy_diag *
load_warning(struct loader *l, const char *code, size_t offset, const char *fmt, ...)
{
    va_list ap;
    struct policy_diag *d = insert(l->diags, POLICY_WARNING, code, offset);
    va_start(ap, fmt);
    write_message(d, fmt, ap);
    va_end(ap);
    l->no_memory |= !l->diags->items;
    return d;
}

/* Of those that are left at the end: on a long line a place takes a while to find. */
void load_find_places(struct loader *l)
{
    for (size_t i = 0; i < l->diags->count; i++) {
        find_place(&l->diags->items[i], l->doc);
    }
}

int load_syntax(struct policy_diags *diags,
                struct slice text,
                const char *code,
                const struct hujson_diag *syntax)
{
    struct policy_diag *d = insert(diags, POLICY_ERROR, code, syntax->offset);
    if (!d) {
        return -ENOMEM;
    }
    d->line = syntax->line;
    d->column = syntax->column;
    d->character = character_column(text, syntax->offset, syntax->column);
    copy_cut(slice_str(syntax->text), d->message, sizeof d->message);
    tidy(d->message, sizeof d->message);
    if (slice_starts(text, S("\xef\xbb\xbf"))) {
        policy_hint(d, "the file begins with a byte order mark: save it as UTF-8 without one");
    } else if (syntax->hint) {
        policy_hint(d, "%s", syntax->hint);
    }
    return 0;
}

/* ---- the nearest name ---- */

enum {
    NEAREST_LENGTH = 64, /* of names that are compared */
    NEAREST_NAMES = 256, /* a longer list has no near miss worth a second */
};

void load_did_you_mean(struct policy_diag *d, struct slice word, const char *const *names, size_t n)
{
    const char *nearest = d ? slice_nearest(word, names, n) : NULL;
    if (nearest) {
        policy_hint(d, "did you mean \"%s\"?", nearest);
    }
}

void load_hint_prefix(struct policy_diag *d, const char *prefix, struct slice name)
{
    struct slice start = slice_str(prefix);
    bool other_case = slice_starts_nocase(name, start) && !slice_starts(name, start);
    struct slice rest = other_case ? slice_skip(name, start.n) : name;
    if (rest.n && !slice_starts(name, start)) {
        policy_hint(d, "write \"%s" SLICE_FMT "\"", prefix, SLICE_ARG(rest));
    }
}

bool load_did_you_mean_name(struct policy_diag *d,
                            struct slice word,
                            const struct name_index *names)
{
    char text[NEAREST_NAMES][NEAREST_LENGTH];
    const char *near[NEAREST_NAMES];
    size_t n = 0, prefix = (size_t)(slice_find(word, ':') + 1);
    struct slice start = slice_sub(word, 0, prefix);
    word = slice_skip(word, prefix);
    for (size_t i = 0; d && i < names->count && n < NEAREST_NAMES; i++) {
        struct slice name = slice_skip(names->at[i].name, prefix);
        if (name.n + 3 >= word.n && name.n <= word.n + 3 &&
            slice_copy(name, text[n], sizeof text[n])) {
            near[n] = text[n];
            n++;
        }
    }
    const char *nearest = n ? slice_nearest(word, near, n) : NULL;
    if (nearest) {
        policy_hint(d, "did you mean \"" SLICE_FMT "%s\"?", SLICE_ARG(start), nearest);
    }
    return nearest != NULL;
}
