/* Attributes of devices: "node:…" is what control knows, "custom:…" what people and tools set. */
#include <errno.h>

#include "lib/base/err.h"
#include "server/api_devices.h"
#include "server/app.h"

enum { NAME_MAX_CHARS = 50, VALUE_MAX_CHARS = 50, COMMENT_MAX = 200, ATTRIBUTES_MAX = 100 };

struct listed {
    struct js *attributes, *expiries;
    size_t custom;
};

static void list_one(void *arg, const struct store_attribute *x)
{
    struct listed *l = arg;
    char why[80], name[NAME_MAX_CHARS + 16], expires[WALL_TEXT_SIZE];
    struct js *value = js_parse(x->value, 1024, why, sizeof why);
    if (!value || !slice_copy(x->name, name, sizeof name)) {
        js_free(value);
        return;
    }
    l->custom++;
    js_set(l->attributes, name, value);
    if (x->expires.s) {
        wall_format(x->expires, expires);
        js_set_cstr(l->expiries, name, expires);
    }
}

/* NULL: not readable. */
static struct js *attributes_json(struct app *a, const struct store_device *x, size_t *out_custom)
{
    struct js *j = js_object();
    struct listed l = {js_object(), js_object(), 0};
    js_set_cstr(l.attributes, "node:os", x->node.os);
    js_set_cstr(l.attributes, "node:tsVersion", x->node.version);
    js_set_cstr(l.attributes, "node:tsReleaseTrack", "stable");
    int rc = store_attributes_each(a->db, x->node.id, wall_now(), list_one, &l);
    js_set(j, "attributes", l.attributes);
    js_set(j, "expiries", l.expiries);
    if (rc) {
        js_free(j);
        return NULL;
    }
    if (out_custom) {
        *out_custom = l.custom;
    }
    return j;
}

static void reply_attributes(struct app *a, struct http_rq *rq, const struct store_device *x)
{
    AUTO(js_freep) struct js *j = attributes_json(a, x, NULL);
    if (j) {
        rest_object(rq, j);
    } else {
        reply_broken(rq, -EIO);
    }
}

void api_attributes(void *app, struct http_rq *rq)
{
    struct store_device x;
    if (device_find(app, rq, &x)) {
        reply_attributes(app, rq, &x);
    }
}

/* ---- writing ---- */

static bool name_ok(struct slice name)
{
    struct slice own = slice_skip(name, S("custom:").n);
    if (!slice_starts(name, S("custom:")) || !own.n || own.n > NAME_MAX_CHARS) {
        return false;
    }
    for (size_t i = 0; i < own.n; i++) {
        char c = own.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_')) {
            return false;
        }
    }
    return true;
}

static void refuse(struct http_rq *rq, const char *code, const char *message, const char *fix)
{
    reply_problem(rq, &(struct problem){400, code, message, fix});
}

static bool value_ok(const struct js *v)
{
    if (!v) {
        return false;
    }
    switch (js_kind(v)) {
    case JS_STR:
        return text_printable(js_str(v), VALUE_MAX_CHARS);
    case JS_INT:
    case JS_REAL:
    case JS_BOOL:
        return true;
    case JS_NULL:
    case JS_ARRAY:
    case JS_OBJECT:
        break;
    }
    return false;
}

/* False after a 400. */
static bool read_attribute(struct http_rq *rq, const struct js *j, struct store_attribute *out)
{
    struct slice expiry = js_get_str(j, "expiry");
    if (slice_starts(expiry, S("0001-01-01T00:00:00"))) {
        expiry = S(""); /* how Go's client sends a time that is not set */
    }
    out->comment = js_get_str(j, "comment");
    if (!name_ok(out->name)) {
        refuse(rq, "attribute.name", "this is not the name of an attribute that can be set",
               "custom: and at most 50 letters, digits and underscores");
        return false;
    }
    if (!value_ok(js_get(j, "value"))) {
        refuse(rq, "attribute.value", "value is not a string, a number or a boolean",
               "a string has at most 50 printable characters");
        return false;
    }
    if (!text_printable(out->comment, COMMENT_MAX) ||
        (expiry.n && (!wall_parse(expiry, &out->expires) || out->expires.s <= wall_now().s))) {
        refuse(rq, "attribute.expiry", "expiry is not a time to come, or the comment is too long",
               "2030-01-31T12:00:00Z; a comment has at most 200 characters");
        return false;
    }
    return true;
}

static struct js *value_of(const struct js *all, const char *name)
{
    return js_get(js_get(all, "attributes"), name);
}

static int audit_attribute(struct app *a,
                           struct http_rq *rq,
                           const struct store_node *n,
                           const char *name,
                           const struct slice old_new[2])
{
    struct actor by;
    actor_of(rq, &by);
    return audit_write(a, &by,
                       &(struct audit_entry){.action = "NODE.UPDATE.ATTRIBUTE",
                                             .type = "NODE",
                                             .id = n->stable_id,
                                             .name = n->label,
                                             .property = name,
                                             .old = old_new[0],
                                             .new = old_new[1]});
}

/* Sets x, or (value empty) deletes it; the answer too. */
static void write_attribute(struct app *a,
                            struct http_rq *rq,
                            const struct store_device *device,
                            const struct store_attribute *x)
{
    char name[NAME_MAX_CHARS + 16] = "";
    struct buf old = BUF_MAX(1024);
    AUTO(js_freep) struct js *before = attributes_json(a, device, NULL);
    err_ignore(slice_copy(x->name, name, sizeof name)); /* name_ok: it fits */
    if (before && value_of(before, name)) {
        js_write(value_of(before, name), JS_COMPACT, &old);
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = !before || !tx ? -EIO
             : x->value.n   ? store_attribute_set(a->db, device->node.id, x)
                            : store_attribute_delete(a->db, device->node.id, x->name);
    if (rc == STORE_NONE) {
        reply_problem(rq, &(struct problem){404, "attribute.unknown",
                                            "the device has no such attribute",
                                            "GET …/attributes lists them"});
        buf_deinit(&old);
        return;
    }
    struct slice old_new[] = {buf_slice(&old), x->value};
    rc = rc ? rc : audit_attribute(a, rq, &device->node, name, old_new);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "node", device->node.id);
    rc = rc ? rc : db_commit(&tx);
    buf_deinit(&old);
    if (rc) {
        reply_broken(rq, rc);
    } else {
        reply_attributes(a, rq, device);
        bus_wake(a);
    }
}

/* If-Match is about the attributes, not about the device. */
static bool find_match(struct app *a, struct http_rq *rq, struct store_device *out, size_t *out_n)
{
    if (!device_find(a, rq, out)) {
        return false;
    }
    AUTO(js_freep) struct js *now = attributes_json(a, out, out_n);
    if (!now) {
        reply_broken(rq, -EIO);
    }
    return now && rest_match(rq, now);
}

void api_attribute_set(void *app, struct http_rq *rq)
{
    static const struct js_field fields[] = {{"expiry", JS_STR, false, 40},
                                             {"comment", JS_STR, false, COMMENT_MAX},
                                             {"value", JS_NULL, true, 0}};
    struct app *a = app;
    struct store_device x;
    size_t custom;
    struct buf value = BUF_MAX(1024);
    AUTO(js_freep) struct js *j = reply_body(rq, fields, ARRAY_LEN(fields));
    struct store_attribute attribute = {.name = http_rq_param(rq, "key")};
    if (!j || !find_match(a, rq, &x, &custom) || !read_attribute(rq, j, &attribute)) {
        return;
    }
    if (custom >= ATTRIBUTES_MAX) {
        refuse(rq, "attribute.too_many", "the device has as many attributes as it may",
               "delete one; 100 are kept");
        return;
    }
    js_write(js_get(j, "value"), JS_COMPACT, &value);
    attribute.value = buf_slice(&value);
    write_attribute(a, rq, &x, &attribute);
    buf_deinit(&value);
}

void api_attribute_delete(void *app, struct http_rq *rq)
{
    struct app *a = app;
    struct store_device x;
    if (find_match(a, rq, &x, NULL)) {
        struct store_attribute attribute = {.name = http_rq_param(rq, "key")};
        if (name_ok(attribute.name)) {
            write_attribute(a, rq, &x, &attribute);
        } else {
            refuse(rq, "attribute.name", "this is not the name of an attribute that can be set",
                   "custom: and at most 50 letters, digits and underscores");
        }
    }
}
