#pragma once
/*
 * JSON through jansson: duplicate keys refused, depth (32) and size capped before parsing. Decoding
 * is by field tables; an unknown member is an error that names the nearest one (unless JS_LOOSE,
 * for messages between versions of our own programs, where newer members must not break older
 * programs).
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"

struct js; /* an owned or borrowed value, as each function says */

/* NULL and a sentence "line L, column C: ..." in out_why. */
struct js *js_parse(struct slice text, size_t max, char *out_why, size_t why_size);
void js_free(struct js *j); /* takes NULL */
DEFINE_AUTO(struct js, js_free)
struct js *js_ref(struct js *j);

enum js_kind { JS_NULL, JS_BOOL, JS_INT, JS_REAL, JS_STR, JS_ARRAY, JS_OBJECT };
enum js_kind js_kind(const struct js *j);
/* Borrowed views; a missing or wrong-kind member gives NULL, the empty slice, `otherwise`. */
struct js *js_get(const struct js *obj, const char *name);
struct slice js_get_str(const struct js *obj, const char *name);
int64_t js_get_int(const struct js *obj, const char *name, int64_t otherwise);
bool js_get_bool(const struct js *obj, const char *name, bool otherwise);
size_t js_len(const struct js *array);
struct js *js_at(const struct js *array, size_t i);
struct slice js_str(const struct js *j);
int64_t js_int(const struct js *j, int64_t otherwise);
bool js_bool(const struct js *j, bool otherwise);

enum js_strict { JS_STRICT, JS_LOOSE };

struct js_field {
    const char *name;
    enum js_kind kind; /* JS_NULL: any */
    bool required;
    size_t max; /* longest string or array; 0: 4,096 */
};

/* Checks shape; false and a sentence in out_why. */
bool js_check(const struct js *obj,
              const struct js_field *fields,
              size_t count,
              enum js_strict strict,
              char *out_why,
              size_t why_size);

/* Building: every setter takes its value over. A NULL value (text that was not UTF-8) leaves the
 * member out; names are ours and must be UTF-8. */
struct js *js_object(void);
struct js *js_array(void);
struct js *js_new_str(struct slice s); /* NULL when not UTF-8 */
struct js *js_new_int(int64_t v);
struct js *js_new_bool(bool v);
struct js *js_new_null(void);
void js_set(struct js *obj, const char *name, struct js *take);
void js_set_str(struct js *obj, const char *name, struct slice s);
void js_set_cstr(struct js *obj, const char *name, const char *s); /* NULL: member left out */
void js_set_int(struct js *obj, const char *name, int64_t v);
void js_set_bool(struct js *obj, const char *name, bool v);
void js_push(struct js *array, struct js *take);
void js_push_str(struct js *array, struct slice s);

/* Members in order of insertion. */
struct js_iter {
    void *at;
};

bool js_next(const struct js *obj,
             struct js_iter *it,
             const char **out_name,
             struct js **out_value);

enum js_form { JS_COMPACT, JS_PRETTY };

void js_write(const struct js *j, enum js_form form, struct buf *out);
/* Every string in it for a terminal: "?" for what text_printable refuses. */
void js_plain(struct js *j);
bool js_equal(const struct js *a, const struct js *b);
