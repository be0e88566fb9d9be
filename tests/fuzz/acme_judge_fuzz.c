/* Any text: the judge refuses with a reason, or what it let through has one canonical allowed name.
 */
#include <stdlib.h>

#include "acme/acme.h"
#include "lib/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct slice allowed[] = {{"laptop.pango-lin.ts.example.net", 31}};
    struct acme_csr csr;
    char why[200] = "";
    int rc = acme_judge(slice_of(data, size), allowed, 1, &csr, why, sizeof why);
    if (rc == ACME_CSR_REFUSED ? why[0] == '\0' : rc != 0) {
        abort();
    }
    if (rc == 0 && (csr.name_count != 1 || !slice_eq(slice_str(csr.names[0]), allowed[0]))) {
        abort();
    }
    return 0;
}
