/* Whatever parses prints back byte for byte, and its standard form has the same length and parses
 * too. */
#include <stdlib.h>

#include "lib/hujson/hujson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct hujson_diag diag;
    struct hujson_doc *d = NULL, *again = NULL;
    if (hujson_parse(in, 64 * KIB, &diag, &d)) {
        return 0;
    }
    struct buf out = BUF_MAX(64 * KIB);
    hujson_print(d, &out);
    if (!slice_eq(buf_slice(&out), in)) {
        abort();
    }
    buf_clear(&out);
    hujson_standardize(d, &out);
    if (out.len != size || hujson_parse(buf_slice(&out), 64 * KIB, &diag, &again)) {
        abort();
    }
    hujson_free(again);
    hujson_free(d);
    buf_deinit(&out);
    return 0;
}
