/* Embedded files by name. */
#include "web/assets.h"

#include "lib/base/macros.h"
#include "web/console_assets.h"

const struct web_asset *web_asset_find(struct slice name)
{
    for (size_t i = 0; i < web_asset_count; i++) {
        if (slice_eq(name, slice_str(web_assets[i].name))) {
            return &web_assets[i];
        }
    }
    return NULL;
}

struct slice web_asset_data(const struct web_asset *a)
{
    return slice_of(a->start, (size_t)(a->end - a->start));
}

const char *web_asset_type(const struct web_asset *a)
{
    static const struct {
        const char *ending, *type;
    } types[] = {
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".svg", "image/svg+xml"},
    };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (slice_ends(slice_str(a->name), slice_str(types[i].ending))) {
            return types[i].type;
        }
    }
    return "application/octet-stream";
}

const struct console_asset *console_asset_find(struct slice name)
{
    for (size_t i = 0; i < console_asset_count; i++) {
        if (slice_eq(name, slice_str(console_assets[i].name))) {
            return &console_assets[i];
        }
    }
    return NULL;
}
