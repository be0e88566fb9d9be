#pragma once
/* What pages load beside themselves: the files of web/static/, embedded (cmake/Assets.cmake). */
#include <stddef.h>

#include "lib/base/slice.h"

struct web_asset {
    const char *name; /* "style.css" */
    const char *start, *end;
};

extern const struct web_asset web_assets[];
extern const size_t web_asset_count;

/* NULL when there is none of that name. */
const struct web_asset *web_asset_find(struct slice name);
struct slice web_asset_data(const struct web_asset *a);
/* "text/css; charset=utf-8", by the name's ending. */
const char *web_asset_type(const struct web_asset *a);
