/* A verdict for any bytes; and once it is not MORE, further bytes never change it, nor the name. */
#include <stdlib.h>

#include "tunnel/clienthello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hello whole, part;
    enum hello_verdict v = hello_parse(slice_of(data, size), &whole);
    if (v == HELLO_OK && (whole.wire_len > size || !whole.name[0])) {
        abort();
    }
    size_t cut = size ? data[size - 1] * size / 256 : 0;
    enum hello_verdict early = hello_parse(slice_of(data, cut), &part);
    if (early != HELLO_MORE && early != v) {
        abort();
    }
    if (early == HELLO_OK && (strcmp(part.name, whole.name) || part.wire_len != whole.wire_len)) {
        abort();
    }
    return 0;
}
