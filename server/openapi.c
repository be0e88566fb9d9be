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

bool api_foreign(struct slice path)
{
    static const char *const words[] = {"posture",        "services",        "vip-services",
                                        "device-invites", "log-stream",      "network",
                                        "oauth-apps",     "aws-external-id", "organizations",
                                        "token-exchange", "batch-update"};
    struct slice part;
    bool api = slice_starts(path, S("/api/v2/")), found = false;
    while (api && !found && slice_split(&path, '/', &part)) {
        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
            found = found || slice_eq(part, slice_str(words[i]));
        }
    }
    return found;
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
