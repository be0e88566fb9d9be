#pragma once
/* The difference of two policies as RFC 6902 operations over their values: comments and layout do
 * not count. */
#include "lib/base/buf.h"
#include "lib/data/json.h"

/* An array of {"op","path","value"}; applied in order to `before` it gives the values of `after`.
 * NULL: one of them does not parse. */
struct js *policy_patch_json(struct slice before, struct slice after);
