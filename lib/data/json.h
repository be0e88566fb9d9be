#pragma once
/*
 * JSON through jansson: duplicate keys refused, depth (32) and size capped before parsing. Decoding is by
 * field tables; an unknown member is an error that names the nearest one (unless JSON_LOOSE, for messages
 * between versions of our own programs, where newer members must not break older programs).
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"

struct json; /* an owned or borrowed value, as each function says */

/* NULL and a sentence "line L, column C: ..." in out_why. */
struct json *json_parse(struct slice text, size_t max, char *out_why, size_t why_size);
void json_free(struct json *j); /* takes NULL */
DEFINE_AUTO(struct json, json_free)
struct json *json_ref(struct json *j);

enum json_kind { JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STR, JSON_ARRAY, JSON_OBJECT };
enum json_kind json_kind(const struct json *j);
/* Borrowed views; a missing or wrong-kind member gives NULL, the empty slice, `otherwise`. */
struct json *json_get(const struct json *obj, const char *name);
struct slice json_get_str(const struct json *obj, const char *name);
int64_t json_get_int(const struct json *obj, const char *name, int64_t otherwise);
bool json_get_bool(const struct json *obj, const char *name, bool otherwise);
size_t json_len(const struct json *array);
struct json *json_at(const struct json *array, size_t i);
struct slice json_str(const struct json *j);
int64_t json_int(const struct json *j, int64_t otherwise);

enum json_strict { JSON_STRICT, JSON_LOOSE };
struct json_field {
    const char *name;
    enum json_kind kind;
    bool required;
    size_t max;   /* longest string or array; 0: 4,096 */
};
/* Checks shape; false and a sentence in out_why. */
bool json_check(const struct json *obj, const struct json_field *fields, size_t count, enum json_strict strict,
                char *out_why, size_t why_size);

/* Building: every setter takes its value over. */
struct json *json_object(void);
struct json *json_array(void);
struct json *json_new_str(struct slice s); /* NULL when not UTF-8 */
struct json *json_new_int(int64_t v);
struct json *json_new_bool(bool v);
struct json *json_new_null(void);
void json_set(struct json *obj, const char *name, struct json *take);
void json_set_str(struct json *obj, const char *name, struct slice s);
void json_set_cstr(struct json *obj, const char *name, const char *s); /* NULL: member left out */
void json_set_int(struct json *obj, const char *name, int64_t v);
void json_set_bool(struct json *obj, const char *name, bool v);
void json_push(struct json *array, struct json *take);
void json_push_str(struct json *array, struct slice s);
/* Members in order of insertion. */
struct json_iter {
    void *at;
};
bool json_next(const struct json *obj, struct json_iter *it, const char **out_name, struct json **out_value);

enum json_form { JSON_COMPACT, JSON_PRETTY };
void json_write(const struct json *j, enum json_form form, struct buf *out);
bool json_equal(const struct json *a, const struct json *b);
