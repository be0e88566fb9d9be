/* Heads from anywhere: slices stay inside the input, framing is never ambiguous; chunked framing
 * uses what it says. */
#include <stdlib.h>

#include "agent/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct slice s, const uint8_t *data, size_t size)
{
    const char *from = (const char *)data;
    if (s.n && (s.p < from || s.p + s.n > from + size)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head h;
    struct slice in = slice_of(data, size);
    size_t len = 0;
    bool done, bad;
    struct chunked c = {.state = 0};
    if (http_head_request(in, &h, &len) == 0) {
        inside(h.method, data, size);
        inside(h.target, data, size);
        inside(h.host, data, size);
        for (size_t i = 0; i < h.field_count; i++) {
            inside(h.fields[i].value, data, size);
        }
        if (len > size || !h.method.n || !h.target.n || h.body == BODY_UNTIL_CLOSE) {
            abort();
        }
    }
    if (http_head_response(in, S("GET"), &h, &len) == 0 &&
        (len > size || h.status < 100 || h.status > 999)) {
        abort();
    }
    if (chunked_feed(&c, in, &done, &bad) > size) {
        abort();
    }
    return 0;
}
