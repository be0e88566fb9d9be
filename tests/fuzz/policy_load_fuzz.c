/* Any text: loading says yes or gives a reason; an edit of what loads, loads. */
#include <stdlib.h>

#include "policy/edit.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    int rc = policy_load(slice_of(data, size), NULL, &diags, &p);
    if (rc && !diags.count) {
        abort();
    }
    policy_diags_free(&diags);
    if (p) {
        struct buf out = BUF_MAX(MIB);
        enum policy_edit_result r =
            policy_add_funnel(policy_text(p), S("autogroup:member"), S("why"), &out, &diags);
        if (r == POLICY_REFUSED && buf_ok(&out)) {
            abort();
        }
        policy_diags_free(&diags);
        buf_deinit(&out);
    }
    policy_unref(p);
    return 0;
}
