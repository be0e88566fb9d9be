/* jansson with caps before it sees a byte; struct js is json_t under another name. */
#include "lib/data/json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"

enum { DEPTH_MAX = 32, STRING_MAX = 4096 };

static json_t *raw(const struct js *j)
{
    return unconst(j);
}

static struct js *cooked(json_t *j)
{
    return (struct js *)(void *)j;
}

/* jansson recurses; the depth is counted before it may. */
static bool too_deep(struct slice text)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX) {
                return true;
            }
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return false;
}

struct js *js_parse(struct slice text, size_t max, char *out_why, size_t why_size)
{
    json_error_t e;
    if (text.n > max) {
        text_cut(out_why, why_size, "longer than %zu bytes", max);
        return NULL;
    }
    if (too_deep(text)) {
        text_cut(out_why, why_size, "nested deeper than %d levels", DEPTH_MAX);
        return NULL;
    }
    json_t *j =
        json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!j) {
        text_cut(out_why, why_size, "line %d, column %d: %s", e.line, e.column, e.text);
    }
    return cooked(j);
}

void js_free(struct js *j)
{
    json_decref(raw(j));
}

struct js *js_ref(struct js *j)
{
    return cooked(json_incref(raw(j)));
}

enum js_kind js_kind(const struct js *j)
{
    const json_t *r = raw(j);
    if (json_is_object(r)) {
        return JS_OBJECT;
    }
    if (json_is_array(r)) {
        return JS_ARRAY;
    }
    if (json_is_string(r)) {
        return JS_STR;
    }
    if (json_is_integer(r)) {
        return JS_INT;
    }
    if (json_is_real(r)) {
        return JS_REAL;
    }
    return json_is_boolean(r) ? JS_BOOL : JS_NULL;
}

struct js *js_get(const struct js *obj, const char *name)
{
    return cooked(json_object_get(raw(obj), name));
}

struct slice js_str(const struct js *j)
{
    const json_t *r = raw(j);
    return json_is_string(r) ? slice_of(json_string_value(r), json_string_length(r)) : S("");
}

int64_t js_int(const struct js *j, int64_t otherwise)
{
    const json_t *r = raw(j);
    return json_is_integer(r) ? json_integer_value(r) : otherwise;
}

bool js_bool(const struct js *j, bool otherwise)
{
    const json_t *r = raw(j);
    return json_is_boolean(r) ? json_is_true(r) : otherwise;
}

struct slice js_get_str(const struct js *obj, const char *name)
{
    return js_str(js_get(obj, name));
}

int64_t js_get_int(const struct js *obj, const char *name, int64_t otherwise)
{
    return js_int(js_get(obj, name), otherwise);
}

bool js_get_bool(const struct js *obj, const char *name, bool otherwise)
{
    return js_bool(js_get(obj, name), otherwise);
}

size_t js_len(const struct js *array)
{
    return json_array_size(raw(array));
}

struct js *js_at(const struct js *array, size_t i)
{
    return cooked(json_array_get(raw(array), i));
}

/* ---- shape ---- */

static const char *const kind_names[] = {"null",     "true or false", "a whole number", "a number",
                                         "a string", "an array",      "an object"};

static bool
check_field(const struct js *obj, const struct js_field *f, char *out_why, size_t why_size)
{
    const struct js *v = js_get(obj, f->name);
    size_t max = f->max ? f->max : STRING_MAX;
    if (!v || js_kind(v) == JS_NULL) {
        if (f->required) {
            text_cut(out_why, why_size, "\"%s\" is missing", f->name);
        }
        return !f->required;
    }
    bool fits =
        f->kind == JS_NULL || js_kind(v) == f->kind || (f->kind == JS_REAL && js_kind(v) == JS_INT);
    if (!fits) {
        text_cut(out_why, why_size, "\"%s\" must be %s", f->name, kind_names[f->kind]);
        return false;
    }
    size_t n = f->kind == JS_STR ? js_str(v).n : f->kind == JS_ARRAY ? js_len(v) : 0;
    if (n > max) {
        text_cut(out_why, why_size, "\"%s\" is too long (at most %zu)", f->name, max);
        return false;
    }
    return true;
}

static bool check_known(
    const char *name, const struct js_field *fields, size_t count, char *out_why, size_t why_size)
{
    enum { FIELDS_MAX = 64 };

    const char *names[FIELDS_MAX];
    for (size_t i = 0; i < count && i < FIELDS_MAX; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return true;
        }
        names[i] = fields[i].name;
    }
    const char *near =
        slice_nearest(slice_str(name), names, count < FIELDS_MAX ? count : FIELDS_MAX);
    text_cut(out_why, why_size, "unknown member \"%.60s\"%s%s%s", name,
             near ? ": did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return false;
}

bool js_check(const struct js *obj,
              const struct js_field *fields,
              size_t count,
              enum js_strict strict,
              char *out_why,
              size_t why_size)
{
    struct js_iter it = {0};
    const char *name;
    struct js *value;
    if (js_kind(obj) != JS_OBJECT) {
        text_cut(out_why, why_size, "an object is expected");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!check_field(obj, &fields[i], out_why, why_size)) {
            return false;
        }
    }
    while (strict == JS_STRICT && js_next(obj, &it, &name, &value)) {
        if (!check_known(name, fields, count, out_why, why_size)) {
            return false;
        }
    }
    return true;
}

/* ---- building ---- */

static json_t *made(json_t *j)
{
    if (!j) {
        abort(); /* sizes were capped before: out of memory */
    }
    return j;
}

struct js *js_object(void)
{
    return cooked(made(json_object()));
}

struct js *js_array(void)
{
    return cooked(made(json_array()));
}

struct js *js_new_str(struct slice s)
{
    return cooked(json_stringn(s.n ? s.p : "", s.n));
}

struct js *js_new_int(int64_t v)
{
    return cooked(made(json_integer(v)));
}

struct js *js_new_bool(bool v)
{
    return cooked(json_boolean(v));
}

struct js *js_new_null(void)
{
    return cooked(json_null());
}

void js_set(struct js *obj, const char *name, struct js *take)
{
    if (take && json_object_set_new_nocheck(raw(obj), name, raw(take))) {
        abort();
    }
}

void js_set_str(struct js *obj, const char *name, struct slice s)
{
    js_set(obj, name, js_new_str(s));
}

void js_set_cstr(struct js *obj, const char *name, const char *s)
{
    if (s) {
        js_set_str(obj, name, slice_str(s));
    }
}

void js_set_int(struct js *obj, const char *name, int64_t v)
{
    js_set(obj, name, js_new_int(v));
}

void js_set_bool(struct js *obj, const char *name, bool v)
{
    js_set(obj, name, js_new_bool(v));
}

void js_push(struct js *array, struct js *take)
{
    if (take && json_array_append_new(raw(array), raw(take))) {
        abort();
    }
}

void js_push_str(struct js *array, struct slice s)
{
    js_push(array, js_new_str(s));
}

bool js_next(const struct js *obj, struct js_iter *it, const char **out_name, struct js **out_value)
{
    it->at = it->at ? json_object_iter_next(raw(obj), it->at) : json_object_iter(raw(obj));
    if (!it->at) {
        return false;
    }
    *out_name = json_object_iter_key(it->at);
    *out_value = cooked(json_object_iter_value(it->at));
    return true;
}

static int add_piece(const char *piece, size_t n, void *out)
{
    return buf_push(out, slice_of(piece, n)) ? -1 : 0;
}

/* As deep as the parser allows: 32. NOLINTBEGIN(misc-no-recursion) */
void js_plain(struct js *j)
{
    struct js_iter it = {NULL};
    const char *name;
    struct js *value;
    struct slice text = js_str(j);
    for (size_t i = 0; i < js_len(j); i++) {
        js_plain(js_at(j, i));
    }
    while (json_is_object(raw(j)) && js_next(j, &it, &name, &value)) {
        js_plain(value);
    }
    if (text.n && !text_printable(text, text.n)) {
        struct buf plain = BUF_MAX(text.n);
        text_plain(&plain, text);
        if (json_string_setn(raw(j), buf_slice(&plain).p, plain.len)) {
            abort(); /* shorter than what was there: out of memory */
        }
        buf_deinit(&plain);
    }
}

/* NOLINTEND(misc-no-recursion) */

void js_write(const struct js *j, enum js_form form, struct buf *out)
{
    enum { ROOMY = 1024 }; /* most single rows of a list fit */

    size_t flags = JSON_ENCODE_ANY | (form == JS_PRETTY ? JSON_INDENT(2) : JSON_COMPACT);
    size_t room = buf_room(out);
    if (room >= ROOMY && buf_ok(out)) { /* a row of a list: in one piece, without growing */
        size_t n = json_dumpb(raw(j), buf_tail(out), room, flags);
        if (n && n <= room) {
            buf_commit(out, n);
            return;
        }
    }
    if (json_dump_callback(raw(j), add_piece, out, flags)) {
        out->full = true;
    }
}

bool js_equal(const struct js *a, const struct js *b)
{
    return json_equal(raw(a), raw(b)) == 1;
}
