#pragma once
/* The console's files, embedded as they are and packed (web/console/build.mjs,
 * cmake/Console.cmake). */
#include <stddef.h>

#include "lib/base/slice.h"

struct console_asset {
    const char
        *name; /* "main-XJ4KQ2.js": the hash of the content is in the name, except for index.html */
    const char *type;
    const char *etag; /* quoted */
    const char *start, *end;
    const char *gz_start, *gz_end;
};

extern const struct console_asset console_assets[];
extern const size_t console_asset_count;

/* NULL when there is none of that name. */
const struct console_asset *console_asset_find(struct slice name);
