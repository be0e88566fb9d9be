/*
 * Members are compared by name, elements by place once the equal ones at both ends are set aside:
 * an entry added in the middle of a list is one "add". Depth is bounded by the parser.
 */
#include "server/policy_patch.h"

#include "lib/hujson/hujson.h"

struct comparing {
    struct hujson_doc *a, *b;
    struct js *ops;
    struct buf path;
};

static struct slice value_text(const struct hujson_doc *d, const struct hujson_node *n)
{
    return hujson_literal(d, n);
}

/* The value as JSON: its text without comments and trailing commas. */
static struct js *value_json(const struct hujson_doc *d, const struct hujson_node *n)
{
    char why[100];
    struct hujson_diag diag;
    struct js *array, *value = NULL;
    struct buf text = BUF_MAX(2 * HUJSON_SIZE_MAX);
    AUTO(hujson_freep) struct hujson_doc *alone = NULL;
    buf_addc(&text, '['); /* so that a plain value is a document */
    buf_add(&text, value_text(d, n));
    buf_addc(&text, ']');
    if (hujson_parse(buf_slice(&text), 2 * HUJSON_SIZE_MAX, &diag, &alone) == 0) {
        buf_clear(&text);
        if (hujson_minimize(alone, &text) == 0) {
            array = js_parse(buf_slice(&text), 2 * HUJSON_SIZE_MAX, why, sizeof why);
            value = array ? js_ref(js_at(array, 0)) : NULL;
            js_free(array);
        }
    }
    buf_deinit(&text);
    return value;
}

static bool same(struct comparing *c, const struct hujson_node *x, const struct hujson_node *y)
{
    if (hujson_kind(x) != hujson_kind(y)) {
        return false;
    }
    if (slice_eq(value_text(c->a, x), value_text(c->b, y))) {
        return true;
    }
    AUTO(js_freep) struct js *left = value_json(c->a, x);
    AUTO(js_freep) struct js *right = value_json(c->b, y);
    return left && right && js_equal(left, right);
}

static void op(struct comparing *c, const char *name, const struct hujson_node *value)
{
    struct js *j = js_object();
    js_set_cstr(j, "op", name);
    js_set_str(j, "path", buf_slice(&c->path));
    if (value) {
        struct js *v = value_json(c->b, value);
        js_set(j, "value", v ? v : js_new_null());
    }
    js_push(c->ops, j);
}

static void compare(struct comparing *c, const struct hujson_node *x, const struct hujson_node *y);

/* The member of this name, the last of its like: what a JSON reader keeps. */
static const struct hujson_node *
member(const struct hujson_doc *d, const struct hujson_node *obj, struct slice name)
{
    struct buf scratch = BUF_MAX(HUJSON_SIZE_MAX);
    const struct hujson_node *found = NULL;
    struct slice n;
    for (size_t i = 0; i < hujson_count(obj); i++) {
        if (hujson_name_slice(d, obj, i, &scratch, &n) && slice_eq(n, name)) {
            found = hujson_at(obj, i);
        }
    }
    buf_deinit(&scratch);
    return found;
}

/* As deep as the parser allows: 128. NOLINTBEGIN(misc-no-recursion) */

static void
compare_objects(struct comparing *c, const struct hujson_node *x, const struct hujson_node *y)
{
    struct buf scratch = BUF_MAX(HUJSON_SIZE_MAX);
    size_t at = c->path.len;
    struct slice name;
    for (size_t i = 0; i < hujson_count(x); i++) {
        if (!hujson_name_slice(c->a, x, i, &scratch, &name)) {
            continue;
        }
        const struct hujson_node *after = member(c->b, y, name);
        hujson_pointer_add(&c->path, name);
        if (after) {
            compare(c, hujson_at(x, i), after);
        } else {
            op(c, "remove", NULL);
        }
        buf_truncate(&c->path, at);
    }
    for (size_t i = 0; i < hujson_count(y); i++) {
        if (hujson_name_slice(c->b, y, i, &scratch, &name) && !member(c->a, x, name)) {
            hujson_pointer_add(&c->path, name);
            op(c, "add", hujson_at(y, i));
            buf_truncate(&c->path, at);
        }
    }
    buf_deinit(&scratch);
}

static void
compare_arrays(struct comparing *c, const struct hujson_node *x, const struct hujson_node *y)
{
    size_t xn = hujson_count(x), yn = hujson_count(y), head = 0, tail = 0, at = c->path.len;
    while (head < xn && head < yn && same(c, hujson_at(x, head), hujson_at(y, head))) {
        head++;
    }
    while (tail < xn - head && tail < yn - head &&
           same(c, hujson_at(x, xn - 1 - tail), hujson_at(y, yn - 1 - tail))) {
        tail++;
    }
    size_t old = xn - head - tail, new = yn - head - tail, both = old < new ? old : new;
    for (size_t i = 0; i < both; i++) {
        hujson_pointer_add_index(&c->path, head + i);
        compare(c, hujson_at(x, head + i), hujson_at(y, head + i));
        buf_truncate(&c->path, at);
    }
    for (size_t i = both; i < old; i++) { /* each removal moves the next one here */
        hujson_pointer_add_index(&c->path, head + both);
        op(c, "remove", NULL);
        buf_truncate(&c->path, at);
    }
    for (size_t i = both; i < new; i++) {
        hujson_pointer_add_index(&c->path, head + i);
        op(c, "add", hujson_at(y, head + i));
        buf_truncate(&c->path, at);
    }
}

static void compare(struct comparing *c, const struct hujson_node *x, const struct hujson_node *y)
{
    enum hujson_kind kind = hujson_kind(x);
    if (same(c, x, y)) {
        return;
    }
    if (kind == hujson_kind(y) && kind == HUJSON_OBJECT) {
        compare_objects(c, x, y);
    } else if (kind == hujson_kind(y) && kind == HUJSON_ARRAY) {
        compare_arrays(c, x, y);
    } else {
        op(c, "replace", y);
    }
}

/* NOLINTEND(misc-no-recursion) */

struct js *policy_patch_json(struct slice before, struct slice after)
{
    struct hujson_diag diag;
    AUTO(hujson_freep) struct hujson_doc *a = NULL;
    AUTO(hujson_freep) struct hujson_doc *b = NULL;
    struct comparing c = {.path = BUF_MAX(HUJSON_SIZE_MAX)};
    if (hujson_parse(before, HUJSON_SIZE_MAX, &diag, &a) ||
        hujson_parse(after, HUJSON_SIZE_MAX, &diag, &b)) {
        return NULL;
    }
    c.a = a;
    c.b = b;
    c.ops = js_array();
    compare(&c, hujson_root(a), hujson_root(b));
    buf_deinit(&c.path);
    return c.ops;
}
