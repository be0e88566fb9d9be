#pragma once
/* POST …/acl/funnel: what the policy file would read with Funnel given to somebody, or taken away.
 * Stores nothing: the console shows it and saves it like any other text. */
#include "lib/http/http.h"

void api_acl_funnel(void *app, struct http_rq *rq);
