/* A document, a NUL, a patch: it applies and the result is a document, or nothing has changed. */
#include <stdlib.h>

#include "lib/hujson/hujson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = size ? memchr(data, 0, size) : NULL;
    if (!cut) {
        return 0;
    }
    struct slice doc = slice_of(data, (size_t)(cut - data));
    struct slice patch = slice_of(cut + 1, size - doc.n - 1);
    struct hujson_diag diag;
    struct hujson_doc *d = NULL, *again = NULL;
    if (hujson_parse(doc, 16 * KIB, &diag, &d)) {
        return 0;
    }
    int r = hujson_patch(d, patch, &diag);
    struct buf out = BUF_MAX(32 * KIB);
    hujson_print(d, &out);
    if (r < 0 || !slice_eq(buf_slice(&out), r ? doc : hujson_text(d)) ||
        hujson_parse(buf_slice(&out), 16 * KIB, &diag, &again) ||
        hujson_equal(d, hujson_root(d), again, hujson_root(again))) {
        abort();
    }
    hujson_free(d);
    hujson_free(again);
    buf_deinit(&out);
    return 0;
}
