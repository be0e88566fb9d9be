/* A verdict for any bytes, the same however they are cut; once it is not MORE, further bytes never
 * change it. */
#include <stdlib.h>

#include "tunnel/clienthello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool good)
{
    if (!good) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hello whole = {.wire_len = 0}, part = {.wire_len = 0};
    enum hello_verdict v = hello_parse(slice_of(data, size), &whole), last = HELLO_MORE;
    demand(v != HELLO_OK || (whole.wire_len <= size && whole.name[0]));

    struct hello_reader r;
    size_t step = size ? data[size - 1] % 7 + 1u : 1;
    hello_init(&r);
    for (size_t at = 0; at < size; at += step) {
        enum hello_verdict now = hello_feed(&r, slice_sub(slice_of(data, size), at, step), &part);
        demand(last == HELLO_MORE || now == last);
        last = now;
    }
    hello_deinit(&r);
    demand(last == v);
    demand(v != HELLO_OK || (!strcmp(part.name, whole.name) && part.wire_len == whole.wire_len &&
                             part.early_data == whole.early_data));
    return 0;
}
