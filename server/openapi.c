/* The description of the API, as it was written. */
#include "server/openapi.h"

#include <errno.h>

#include "server/app.h"
#include "web/assets.h"

void api_openapi(void *app, struct http_rq *rq)
{
    (void)app;
    const struct web_asset *doc = web_asset_find(S("openapi.json"));
    if (doc) {
        http_rq_reply(rq, 200, "application/json", web_asset_data(doc));
    } else {
        reply_broken(rq, -ENOENT);
    }
}

void api_root(void *app, struct http_rq *rq)
{
    if (slice_eq(http_rq_query(rq, "outputOpenapiSchema"), S("true"))) {
        api_openapi(app, rq);
    } else {
        reply_problem(rq, &(struct problem){404, "not_found", "there is no such call",
                                            "the calls are listed at /api/v2/openapi.json"});
    }
}
