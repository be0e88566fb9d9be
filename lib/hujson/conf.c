/*
 * Configuration as a table. A value is parsed into a scratch copy of the
 * target, which replaces the target only when everything was right: a bad
 * file changes nothing.
 */
#include "lib/hujson/conf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/hujson/hujson.h"

enum { CONF_FILE_MAX = 256 * 1024, OPTIONS_MAX = 96, KEY_MAX = 96 };

const char *const conf_log_levels[] = {"error", "warn", "info", "debug", NULL};

struct reader {
    const struct hujson_doc *doc;
    const struct conf_option *options;
    size_t count;
    char *scratch;
    bool seen[OPTIONS_MAX];
    struct conf_diag *diag;
};

static bool refuse(struct reader *r, size_t offset, const char *fmt, ...) PRINTF_LIKE(3, 4);

static bool refuse(struct reader *r, size_t offset, const char *fmt, ...)
{
    va_list ap;
    if (r->doc) {
        hujson_position(r->doc, offset, &r->diag->line, &r->diag->column);
    }
    va_start(ap, fmt);
    (void)vsnprintf(r->diag->text, sizeof r->diag->text, fmt, ap);
    va_end(ap);
    return false;
}

/* ---- storing one value ---- */

static void clear_list(struct conf_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mem_free(list->items[i]);
    }
    *list = (struct conf_list){.count = 0};
}

static void *field(const struct conf_option *o, void *target)
{
    return (char *)target + o->offset;
}

static const char too_long[] = "is too long (at most 400 bytes)";

static const char *set_string(const struct conf_option *o, void *target, struct slice s)
{
    if (s.n > CONF_STR_MAX) {
        return too_long;
    }
    char **at = field(o, target);
    mem_free(*at);
    *at = slice_dup(s);
    return NULL;
}

static const char *set_integer(const struct conf_option *o, void *target, int64_t v)
{
    if (v < o->min || v > o->max) {
        return "is out of range";
    }
    *(int64_t *)field(o, target) = v;
    return NULL;
}

static const char *set_enum(const struct conf_option *o, void *target, struct slice s)
{
    for (int i = 0; o->names[i]; i++) {
        if (slice_eq(s, slice_str(o->names[i]))) {
            *(int *)field(o, target) = i;
            return NULL;
        }
    }
    return "is none of the allowed words";
}

static const char *add_item(struct conf_list *list, struct slice s)
{
    if (list->count == CONF_LIST_MAX) {
        return "has too many items (at most 16)";
    }
    if (s.n > CONF_STR_MAX) {
        return too_long;
    }
    list->items[list->count++] = slice_dup(s);
    return NULL;
}

static const char *add_pair(struct conf_map_int *map, struct slice key, int64_t value)
{
    uint64_t k;
    if (map->count == CONF_LIST_MAX) {
        return "has too many members (at most 16)";
    }
    if (!slice_u64(key, INT32_MAX, &k)) {
        return "has a name that is not a number";
    }
    map->items[map->count].key = (int64_t)k;
    map->items[map->count++].value = value;
    return NULL;
}

/* "443:8443,8443:9443" */
static const char *set_map_text(const struct conf_option *o, void *target, struct slice s)
{
    struct conf_map_int *map = field(o, target);
    struct slice part, key;
    *map = (struct conf_map_int){.count = 0};
    while (s.n && slice_split(&s, ',', &part)) {
        uint64_t v;
        if (!slice_split(&part, ':', &key) || !slice_u64(part, INT32_MAX, &v)) {
            return "must look like 443:8443,8443:9443";
        }
        const char *bad = add_pair(map, key, (int64_t)v);
        if (bad) {
            return bad;
        }
    }
    return NULL;
}

static const char *set_text(const struct conf_option *o, void *target, struct slice s)
{
    const char *bad = NULL;
    struct slice part, rest = s;
    bool negative = slice_starts(s, S("-"));
    uint64_t v;
    switch (o->kind) {
    case CONF_STR:
        bad = set_string(o, target, s);
        break;
    case CONF_INT:
        if (!slice_u64(negative ? slice_skip(s, 1) : s, INT64_MAX, &v)) {
            return "must be a whole number";
        }
        bad = set_integer(o, target, negative ? -(int64_t)v : (int64_t)v);
        break;
    case CONF_BOOL:
        if (!slice_eq(s, S("true")) && !slice_eq(s, S("false"))) {
            return "must be true or false";
        }
        *(bool *)field(o, target) = slice_eq(s, S("true"));
        break;
    case CONF_ENUM:
        bad = set_enum(o, target, s);
        break;
    case CONF_STR_LIST:
        clear_list(field(o, target));
        while (!bad && s.n && slice_split(&rest, ',', &part)) {
            bad = add_item(field(o, target), part);
        }
        break;
    case CONF_MAP_INT:
        bad = set_map_text(o, target, s);
        break;
    }
    return bad;
}

const char *conf_set_text(const struct conf_option *o, void *target, struct slice text)
{
    return set_text(o, target, text);
}

/* ---- values from the file ---- */

static const char *const kind_words[] = {
    "a string", "a whole number",      "true or false",
    "a string", "an array of strings", "an object of numbers",
};

static const char *read_list(struct reader *r,
                             const struct conf_option *o,
                             const struct hujson_node *n,
                             struct buf *text)
{
    struct conf_list *list = field(o, r->scratch);
    clear_list(list);
    for (size_t i = 0; i < hujson_count(n); i++) {
        buf_clear(text);
        if (!hujson_string(r->doc, hujson_at(n, i), text)) {
            return "must be an array of strings";
        }
        const char *bad = add_item(list, buf_slice(text));
        if (bad) {
            return bad;
        }
    }
    return NULL;
}

static const char *read_map(struct reader *r,
                            const struct conf_option *o,
                            const struct hujson_node *n,
                            struct buf *text)
{
    struct conf_map_int *map = field(o, r->scratch);
    *map = (struct conf_map_int){.count = 0};
    for (size_t i = 0; i < hujson_count(n); i++) {
        int64_t v;
        buf_clear(text);
        if (!hujson_name(r->doc, n, i, text) ||
            !hujson_integer(r->doc, hujson_at(n, i), 0, INT32_MAX, &v)) {
            return "must be an object of numbers";
        }
        const char *bad = add_pair(map, buf_slice(text), v);
        if (bad) {
            return bad;
        }
    }
    return NULL;
}

static const char *read_scalar(struct reader *r,
                               const struct conf_option *o,
                               const struct hujson_node *n,
                               struct buf *text)
{
    enum hujson_kind k = hujson_kind(n);
    if (o->kind == CONF_STR || o->kind == CONF_ENUM) {
        if (!hujson_string(r->doc, n, text) || memchr(buf_cstr(text), 0, text->len)) {
            return "must be a string";
        }
        return set_text(o, r->scratch, buf_slice(text));
    }
    if (o->kind == CONF_BOOL && (k == HUJSON_TRUE || k == HUJSON_FALSE)) {
        *(bool *)field(o, r->scratch) = k == HUJSON_TRUE;
        return NULL;
    }
    if (o->kind == CONF_INT && k == HUJSON_NUMBER) {
        return set_text(o, r->scratch, hujson_literal(r->doc, n));
    }
    return "has the wrong type";
}

static bool read_value(struct reader *r, const struct conf_option *o, const struct hujson_node *n)
{
    struct buf text = BUF_MAX(CONF_FILE_MAX);
    const char *bad;
    if (o->kind == CONF_STR_LIST) {
        bad = hujson_kind(n) == HUJSON_ARRAY ? read_list(r, o, n, &text) : "has the wrong type";
    } else if (o->kind == CONF_MAP_INT) {
        bad = hujson_kind(n) == HUJSON_OBJECT ? read_map(r, o, n, &text) : "has the wrong type";
    } else {
        bad = read_scalar(r, o, n, &text);
    }
    buf_deinit(&text);
    if (!bad) {
        return true;
    }
    struct buf want = BUF_MAX(200);
    if (o->kind == CONF_INT) {
        buf_addf(&want, "a whole number from %" PRId64 " to %" PRId64, o->min, o->max);
    } else if (o->kind == CONF_ENUM) {
        for (int i = 0; o->names[i]; i++) {
            buf_addf(&want, "%s\"%s\"", i ? " or " : "", o->names[i]);
        }
    } else {
        buf_adds(&want, kind_words[o->kind]);
    }
    refuse(r, hujson_offset(n), "%s %s: it must be %s", o->key, bad, buf_cstr(&want));
    buf_deinit(&want);
    return false;
}

/* ---- walking the file ---- */

static bool has_prefix(const struct reader *r, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < r->count; i++) {
        if (strncmp(r->options[i].key, key, n) == 0 && r->options[i].key[n] == '.') {
            return true;
        }
    }
    return false;
}

static bool unknown_key(struct reader *r, size_t offset, const char *key)
{
    const char *names[OPTIONS_MAX];
    for (size_t i = 0; i < r->count; i++) {
        names[i] = r->options[i].key;
    }
    const char *near = slice_nearest(slice_str(key), names, r->count);
    return refuse(r, offset, "unknown key \"%s\"%s%s%s", key, near ? ": did you mean \"" : "",
                  near ? near : "", near ? "\"?" : "");
}

static bool read_member(struct reader *r,
                        size_t offset,
                        const char *key,
                        const struct hujson_node *value,
                        bool *out_descend)
{
    *out_descend = false;
    for (size_t i = 0; i < r->count; i++) {
        if (strcmp(r->options[i].key, key) == 0) {
            if (r->seen[i]) {
                return refuse(r, offset, "%s stands here twice", key);
            }
            r->seen[i] = true;
            return read_value(r, &r->options[i], value);
        }
    }
    *out_descend = hujson_kind(value) == HUJSON_OBJECT && has_prefix(r, key);
    return *out_descend || unknown_key(r, offset, key);
}

/* Objects inside objects: dotted keys. Depth is bounded by the dots that the table has. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static bool read_object(struct reader *r, const struct hujson_node *obj, const char *prefix)
{
    struct buf name = BUF_MAX(KEY_MAX);
    bool ok = true;
    for (size_t i = 0; ok && i < hujson_count(obj); i++) {
        char key[KEY_MAX];
        bool descend = false;
        size_t offset = hujson_name_offset(obj, i);
        buf_clear(&name);
        if (!hujson_name(r->doc, obj, i, &name) || memchr(buf_cstr(&name), 0, name.len) ||
            snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "", buf_cstr(&name)) >=
                (int)sizeof key) {
            ok = refuse(r, offset, "this name is none of ours");
        } else {
            ok = read_member(r, offset, key, hujson_at(obj, i), &descend) &&
                 (!descend || read_object(r, hujson_at(obj, i), key));
        }
    }
    buf_deinit(&name);
    return ok;
}

static bool apply_defaults(struct reader *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct conf_option *o = &r->options[i];
        const char *bad = o->fallback ? set_text(o, r->scratch, slice_str(o->fallback)) : NULL;
        if (bad) {
            return refuse(r, 0, "default of %s %s", o->key,
                          bad); /* a bug in the table; the tests load every table */
        }
    }
    return true;
}

static bool all_required(struct reader *r)
{
    for (size_t i = 0; i < r->count; i++) {
        if (!r->seen[i] && !r->options[i].fallback) {
            return refuse(r, 0, "%s is missing: %s", r->options[i].key, r->options[i].help);
        }
    }
    return true;
}

void conf_free(const struct conf_option *options, size_t count, void *target)
{
    for (size_t i = 0; i < count; i++) {
        if (options[i].kind == CONF_STR) {
            mem_freep(field(&options[i], target));
        } else if (options[i].kind == CONF_STR_LIST) {
            clear_list(field(&options[i], target));
        }
    }
}

static size_t option_size(const struct conf_option *o)
{
    static const size_t sizes[] = {
        sizeof(char *), sizeof(int64_t),          sizeof(bool),
        sizeof(int),    sizeof(struct conf_list), sizeof(struct conf_map_int)};
    return sizes[o->kind];
}

static size_t target_size(const struct conf_option *options, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size_t end = options[i].offset + option_size(&options[i]);
        size = end > size ? end : size;
    }
    return size;
}

static int parse(struct slice text,
                 const struct conf_option *options,
                 size_t count,
                 void *target,
                 struct conf_diag *out_diag)
{
    struct hujson_diag syntax;
    AUTO(hujson_freep) struct hujson_doc *doc = NULL;
    *out_diag = (struct conf_diag){.line = 0};
    int rc = hujson_parse(text, CONF_FILE_MAX, &syntax, &doc);
    if (rc < 0) {
        return err_trace(rc);
    }
    if (rc) {
        *out_diag = (struct conf_diag){.line = syntax.line, .column = syntax.column};
        text_cut(out_diag->text, sizeof out_diag->text, "%s%s%s", syntax.text,
                 syntax.hint ? ": " : "", syntax.hint ? syntax.hint : "");
        return CONF_INVALID;
    }
    AUTO_FREE char *scratch = mem_new(target_size(options, count));
    struct reader r = {
        .doc = doc, .options = options, .count = count, .scratch = scratch, .diag = out_diag};
    const struct hujson_node *root = hujson_root(doc);
    bool ok = apply_defaults(&r) &&
              (hujson_kind(root) == HUJSON_OBJECT ||
               refuse(&r, hujson_offset(root), "the file must hold an object")) &&
              read_object(&r, root, "") && all_required(&r);
    if (!ok) {
        conf_free(options, count, scratch);
        return CONF_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(field(&options[i], target), field(&options[i], scratch), option_size(&options[i]));
    }
    return 0;
}

int conf_parse(struct slice text,
               const struct conf_option *options,
               size_t count,
               void *target,
               struct conf_diag *out_diag)
{
    return parse(text, options, count, target, out_diag);
}

int conf_load(const char *path,
              const struct conf_option *options,
              size_t count,
              void *target,
              struct conf_diag *out_diag)
{
    struct buf text = BUF_MAX(CONF_FILE_MAX);
    *out_diag = (struct conf_diag){.line = 0};
    int rc = file_read(path, &text);
    if (rc == FILE_MISSING) {
        text_cut(out_diag->text, sizeof out_diag->text, "there is no such file");
        rc = CONF_MISSING_FILE;
    } else if (rc == FILE_TOO_BIG) {
        text_cut(out_diag->text, sizeof out_diag->text, "the file is larger than 256 KiB");
        rc = CONF_INVALID;
    } else if (!rc) {
        rc = parse(buf_slice(&text), options, count, target, out_diag);
    }
    buf_deinit(&text);
    return rc < 0 ? err_trace(rc) : rc;
}
