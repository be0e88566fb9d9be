#pragma once
/*
 * Who may put a tag on a device (policy.md section 2.2, tagOwners): a person whom the tag's owners
 * select, or whoever holds a tag that stands among them. The server's own roles may go beyond it
 * (PERM_ANY_TAG); a tag that the file does not define is nobody's.
 */
#include "policy/policy.h"

enum policy_tag_right { POLICY_TAG_MAY, POLICY_TAG_NOT_OWNER, POLICY_TAG_UNDEFINED };

/* Either of the two may be empty. */
struct policy_tagger {
    struct slice login, role; /* a person; role as the API writes it: "it-admin" */
    const struct slice *tags; /* held, "tag:x" */
    size_t tag_count;
};

enum policy_tag_right
policy_tag_right(const struct policy *p, struct slice tag, const struct policy_tagger *who);
