/*
 * Strings, arrays and objects of the tree. A string without a backslash is borrowed from the text;
 * only the others are decoded into the arena. Objects whose names we fix are read by tables of
 * fields.
 */
#include <stdlib.h>

#include "policy/load_priv.h"

void *load_alloc(struct loader *l, size_t count, size_t size)
{
    void *p = arena_alloc(l->p->arena, count * size);
    l->no_memory |= !p;
    return p;
}

void *load_scratch(struct loader *l, size_t count, size_t size)
{
    void *p = arena_alloc(l->scratch, count * size);
    l->no_memory |= !p;
    return p;
}

/* ---- strings ---- */

/* What was decoded is kept; the rest is borrowed from the document already. */
static bool keep(struct loader *l, bool decoded, size_t offset, struct slice *text)
{
    if (!decoded && buf_ok(&l->text)) {
        load_error(l, "bad-string", offset,
                   "this string holds NUL or half a character and cannot be decoded");
        return false;
    }
    if (decoded && text->p != buf_slice(&l->text).p) {
        return true;
    }
    char *copy = decoded ? arena_strdup(l->p->arena, *text) : NULL;
    l->no_memory |= !copy;
    *text = slice_of(copy, text->n);
    return copy != NULL;
}

bool load_string(struct loader *l, const struct hujson_node *n, struct slice *out_text)
{
    if (hujson_kind(n) != HUJSON_STRING) {
        load_error(l, "type", hujson_offset(n), "a string must stand here");
        return false;
    }
    bool decoded = hujson_string_slice(l->doc, n, &l->text, out_text);
    return keep(l, decoded, hujson_offset(n), out_text);
}

bool load_name(struct loader *l, const struct hujson_node *obj, size_t i, struct slice *out_name)
{
    bool decoded = hujson_name_slice(l->doc, obj, i, &l->text, out_name);
    return keep(l, decoded, hujson_name_offset(obj, i), out_name);
}

bool load_bool(struct loader *l, const struct hujson_node *n, bool *out_value)
{
    if (hujson_kind(n) != HUJSON_TRUE && hujson_kind(n) != HUJSON_FALSE) {
        load_error(l, "type", hujson_offset(n), "true or false must stand here");
        return false;
    }
    *out_value = hujson_kind(n) == HUJSON_TRUE;
    return true;
}

/* ---- arrays ---- */

static bool is_list(struct loader *l, const struct hujson_node *n)
{
    if (hujson_count(n) > LOAD_LIST_MAX) {
        load_error(l, "too-many", hujson_offset(n), "more than %d entries", LOAD_LIST_MAX);
        return false;
    }
    return true;
}

bool load_is_array(struct loader *l, const struct hujson_node *n)
{
    if (hujson_kind(n) != HUJSON_ARRAY) {
        struct policy_diag *d = load_error(l, "type", hujson_offset(n), "an array must stand here");
        if (hujson_kind(n) == HUJSON_STRING) {
            policy_hint(d, "write [ ] around the string");
        }
        return false;
    }
    return is_list(l, n);
}

bool load_is_object(struct loader *l, const struct hujson_node *n)
{
    if (hujson_kind(n) != HUJSON_OBJECT) {
        load_error(l, "type", hujson_offset(n), "an object must stand here");
        return false;
    }
    return is_list(l, n);
}

void load_words(struct loader *l, const struct hujson_node *n, struct words *out_words)
{
    if (!load_is_array(l, n) || !hujson_count(n)) {
        return;
    }
    struct word *at = load_alloc(l, hujson_count(n), sizeof *at);
    size_t count = 0;
    for (size_t i = 0; at && i < hujson_count(n); i++) {
        const struct hujson_node *item = hujson_at(n, i);
        at[count].offset = (uint32_t)hujson_offset(item);
        count += load_string(l, item, &at[count].text);
    }
    *out_words = (struct words){at, count};
}

/* ---- objects ---- */

static int by_name(const void *a, const void *b)
{
    const struct name_ref *x = a, *y = b;
    int order = slice_cmp(x->name, y->name);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

void load_index(struct loader *l,
                const struct name_ref *names,
                size_t count,
                struct name_index *out_index)
{
    struct name_ref *at = names ? load_alloc(l, count, sizeof *at) : NULL;
    size_t n = 0;
    for (size_t i = 0; at && i < count; i++) {
        if (names[i].name.p) {
            at[n++] = names[i];
        }
    }
    if (n) {
        qsort(at, n, sizeof *at, by_name);
    }
    *out_index = (struct name_index){at, n};
}

uint32_t policy_find_name(const struct name_index *names, struct slice name)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = slice_cmp(names->at[mid].name, name);
        if (!order) {
            return names->at[mid].index;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return POLICY_NO_NAME;
}

static void twice(struct loader *l, struct slice name, size_t offset, const char *how)
{
    load_error(l, "duplicate-name", offset, "\"" SLICE_FMT "\" stands here twice%s",
               SLICE_ARG(name), how);
}

/* Complains about every name but the first of its kind, and takes it away. */
static void refuse_twice(struct loader *l, struct name_ref *names, size_t count)
{
    struct name_ref *sorted = load_scratch(l, count, sizeof *sorted);
    if (!sorted) {
        return;
    }
    memcpy(sorted, names, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_name);
    for (size_t i = 1; i < count; i++) {
        if (sorted[i].name.p && slice_eq(sorted[i].name, sorted[i - 1].name)) {
            twice(l, sorted[i].name, sorted[i].offset, "");
            names[sorted[i].index].name = (struct slice){NULL, 0};
        }
    }
}

struct name_ref *load_names(struct loader *l, const struct hujson_node *obj)
{
    size_t count = hujson_count(obj);
    struct name_ref *names = load_scratch(l, count, sizeof *names);
    for (size_t i = 0; names && i < count; i++) {
        names[i] =
            (struct name_ref){.index = (uint32_t)i, .offset = (uint32_t)hujson_name_offset(obj, i)};
        err_ignore(load_name(l, obj, i, &names[i].name));
    }
    if (names && count > 1) {
        refuse_twice(l, names, count);
    }
    return names;
}

static void unknown(struct loader *l,
                    struct slice name,
                    size_t offset,
                    const struct load_field *fields,
                    size_t count)
{
    const char *known[32];
    size_t n = 0;
    for (size_t i = 0; i < count && n < ARRAY_LEN(known); i++) {
        if (!fields[i].legacy) {
            known[n++] = fields[i].name;
        }
    }
    load_did_you_mean(
        load_error(l, "unknown-field", offset, "unknown field \"" SLICE_FMT "\"", SLICE_ARG(name)),
        name, known, n);
}

static size_t find_field(struct slice name, const struct load_field *fields, size_t count)
{
    size_t i = 0;
    while (i < count && !slice_eq_nocase(name, slice_str(fields[i].name))) {
        i++;
    }
    return i;
}

static void take(struct loader *l,
                 const struct hujson_node *value,
                 const struct load_field *field,
                 size_t index,
                 void *into)
{
    if (field->read) {
        field->read(l, value, into);
    } else {
        ((const struct hujson_node **)into)[index] = value;
    }
}

uint32_t load_fields(struct loader *l,
                     const struct hujson_node *obj,
                     const struct load_field *fields,
                     size_t count,
                     void *into)
{
    uint32_t present = 0;
    for (size_t i = 0; i < hujson_count(obj); i++) {
        const struct hujson_node *value = hujson_at(obj, i);
        size_t offset = hujson_name_offset(obj, i);
        struct slice name;
        if (!load_name(l, obj, i, &name)) {
            continue;
        }
        size_t field = find_field(name, fields, count);
        if (field == count) {
            unknown(l, name, offset, fields, count);
            load_opaque(l, value);
        } else if (present & 1u << field) {
            twice(l, name, offset, " (names match without regard to case)");
        } else {
            present |= 1u << field;
            if (fields[field].legacy) {
                policy_hint(load_warning(l, "legacy-field", offset,
                                         "\"" SLICE_FMT "\" is the old name of \"%s\"",
                                         SLICE_ARG(name), fields[field].legacy),
                            "write \"%s\"", fields[field].legacy);
            }
            if (hujson_kind(value) != HUJSON_NULL) {
                take(l, value, &fields[field], field, into);
            }
        }
    }
    return present;
}

/* ---- values that we do not look into ---- */

static void check_opaque(struct loader *l, const struct hujson_node *n)
{
    struct slice any;
    switch (hujson_kind(n)) {
    case HUJSON_NULL:
    case HUJSON_FALSE:
    case HUJSON_TRUE:
    case HUJSON_NUMBER:
    case HUJSON_ARRAY:
        break;
    case HUJSON_STRING:
        err_ignore(load_string(l, n, &any));
        break;
    case HUJSON_OBJECT:
        load_names(l, n);
        break;
    }
}

void load_opaque(struct loader *l, const struct hujson_node *n)
{
    struct {
        const struct hujson_node *node;
        size_t next;
    } stack[HUJSON_DEPTH_MAX + 1];

    size_t depth = 0;
    check_opaque(l, n);
    stack[depth].node = n;
    stack[depth++].next = 0;
    while (depth) {
        const struct hujson_node *top = stack[depth - 1].node;
        bool composite = hujson_kind(top) == HUJSON_OBJECT || hujson_kind(top) == HUJSON_ARRAY;
        if (!composite || stack[depth - 1].next == hujson_count(top)) {
            depth--;
            continue;
        }
        const struct hujson_node *child = hujson_at(top, stack[depth - 1].next++);
        check_opaque(l, child);
        if (depth < ARRAY_LEN(stack)) {
            stack[depth].node = child;
            stack[depth++].next = 0;
        }
    }
}

/* One past the string, or past the blank or comment, that begins at i. */
static size_t past_string(struct slice s, size_t i)
{
    for (i++; s.p[i] != '"'; i++) {
        i += s.p[i] == '\\';
    }
    return i + 1;
}

static size_t past_extra(struct slice s, size_t i)
{
    if (s.p[i] != '/') {
        return i + 1;
    }
    bool line = s.p[i + 1] == '/';
    for (i += 2; line ? s.p[i] != '\n' : s.p[i] != '*' || s.p[i + 1] != '/'; i++) {
    }
    return line ? i + 1 : i + 2;
}

static bool is_extra(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '/';
}

struct slice load_json(struct loader *l, const struct hujson_node *n)
{
    struct slice s = hujson_literal(l->doc, n);
    char *out = load_scratch(l, s.n, 1);
    size_t used = 0;
    for (size_t i = 0; out && i < s.n;) {
        size_t start = i;
        if (is_extra(s.p[i])) {
            i = past_extra(s, i);
            continue;
        }
        i = s.p[i] == '"' ? past_string(s, i) : i + 1;
        if (used && out[used - 1] == ',' && (s.p[start] == ']' || s.p[start] == '}')) {
            used--; /* the comma was a trailing one; no string ends with a comma here */
        }
        memcpy(out + used, s.p + start, i - start);
        used += i - start;
    }
    if (!out || used == s.n) {
        return s;
    }
    char *kept = load_alloc(l, used, 1);
    if (kept) {
        memcpy(kept, out, used);
    }
    return slice_of(kept, kept ? used : 0);
}
