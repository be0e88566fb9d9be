/* What is formatted parses to the same values, and formatting it again changes nothing. */
#include <stdlib.h>

#include "lib/hujson/hujson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct hujson_doc *parse(struct slice text)
{
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    return hujson_parse(text, MIB, &diag, &d) ? NULL : d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct hujson_doc *d = parse(in), *again = NULL;
    struct buf once = BUF_MAX(MIB), twice = BUF_MAX(MIB);
    if (d && !hujson_format(d, &once)) {
        again = parse(buf_slice(&once));
        if (!again || hujson_format(again, &twice) ||
            !slice_eq(buf_slice(&once), buf_slice(&twice))) {
            abort();
        }
        bool lone = memmem(data, size, "\\ud", 3) || memmem(data, size, "\\uD", 3);
        if (!lone && hujson_equal(d, hujson_root(d), again, hujson_root(again))) {
            abort();
        }
    }
    hujson_free(d);
    hujson_free(again);
    buf_deinit(&once);
    buf_deinit(&twice);
    return 0;
}
