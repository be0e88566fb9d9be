/* web/static/openapi.json and the table of routes say the same: every call, what it needs. */
#include <stdio.h>

#include "lib/base/mem.h"
#include "server/app.h"
#include "tests/unit/support/test.h"
#include "web/assets.h"

static const char *const methods[] = {"get", "post", "put", "patch", "delete"};

static struct js *read_doc(void)
{
    char why[200] = "";
    const struct web_asset *a = web_asset_find(S("openapi.json"));
    assert_non_null(a);
    struct js *doc = js_parse(web_asset_data(a), MIB, why, sizeof why);
    if (!doc) {
        fail_msg("%s", why);
    }
    return doc;
}

static const struct http_route *find_route(const char *path, const char *method)
{
    for (size_t i = 0; i < app_route_count; i++) {
        const struct http_route *r = &app_routes[i];
        if (strcmp(r->path, path) == 0 && strcmp(methods[r->method], method) == 0) {
            return r;
        }
    }
    return NULL;
}

/* "policy_file:read", "policy_file", "" for none. */
static void scope_words(const struct http_route *r, char out[64])
{
    enum scope scope = r->flags >> ROUTE_SCOPE_BIT & ROUTE_KIND_MASK;
    bool write = r->method != HTTP_GET && !(r->flags & ROUTE_READS);
    snprintf(out, 64, "%s%s", scope_name(scope), scope == SCOPE_NONE || write ? "" : ":read");
}

/* How many things are wrong; each is printed. */
static int check(const struct http_route *r, const struct js *op)
{
    char scope[64], text[200];
    snprintf(text, sizeof text, "%s %s", methods[r->method], r->path);
    if (!op) {
        printf("web/static/openapi.json lacks %s\n", text);
        return 1;
    }
    int wrong = 0;
    if (!(r->flags & ROUTE_API)) {
        bool open = js_get(op, "security") && js_len(js_get(op, "security")) == 0;
        wrong += !open;
        printf("%s%s%s", open ? "" : "needs \"security\": []: ", open ? "" : text,
               open ? "" : "\n");
        return wrong;
    }
    enum permission p = r->flags >> ROUTE_PERMISSION_BIT & ROUTE_KIND_MASK;
    scope_words(r, scope);
    if (!slice_eq(js_get_str(op, "x-required-permission"), slice_str(permission_name(p)))) {
        printf("%s: x-required-permission should be \"%s\"\n", text, permission_name(p));
        wrong++;
    }
    if (!slice_eq(js_get_str(op, "x-required-scope"), slice_str(scope))) {
        printf("%s: x-required-scope should be \"%s\"\n", text, scope);
        wrong++;
    }
    if (js_get_bool(op, "x-any-scope", false) != ((r->flags & ROUTE_ANY_SCOPE) != 0)) {
        printf("%s: x-any-scope is otherwise\n", text);
        wrong++;
    }
    if (!js_get(op, "x-audit-event") || !js_get_str(op, "summary").n) {
        printf("%s: no x-audit-event (null: none) or no summary\n", text);
        wrong++;
    }
    return wrong;
}

static void every_route_has_an_entry(void **state)
{
    (void)state;
    AUTO(js_freep) struct js *doc = read_doc();
    int wrong = 0;
    for (size_t i = 0; i < app_route_count; i++) {
        const struct http_route *r = &app_routes[i];
        if (slice_starts(slice_str(r->path), S("/api/"))) {
            const struct js *item = js_get(js_get(doc, "paths"), r->path);
            wrong += check(r, item ? js_get(item, methods[r->method]) : NULL);
        } else {
            assert_int_equal(r->flags & ROUTE_API, 0);
        }
    }
    assert_int_equal(wrong, 0);
}

static void every_entry_has_a_route(void **state)
{
    (void)state;
    AUTO(js_freep) struct js *doc = read_doc();
    struct js_iter paths = {0};
    const char *path, *method;
    struct js *item, *op;
    int wrong = 0, count = 0;
    while (js_next(js_get(doc, "paths"), &paths, &path, &item)) {
        struct js_iter ops = {0};
        while (js_next(item, &ops, &method, &op)) {
            count++;
            if (!find_route(path, method)) {
                printf("no route for %s %s\n", method, path);
                wrong++;
            }
        }
    }
    assert_int_equal(wrong, 0);
    assert_true(count > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_has_an_entry),
        cmocka_unit_test(every_entry_has_a_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
