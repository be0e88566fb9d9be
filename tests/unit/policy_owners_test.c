/* Who may put a tag on a device, by the policy alone. */
#include "policy/owners.h"
#include "tests/unit/support/test.h"

static const char text[] =
    "{\"groups\": {\"group:ops\": [\"Olga@example.com\"]},"
    " \"tagOwners\": {\"tag:web\": [\"ivy@example.com\", \"group:ops\"], \"tag:db\": [\"tag:web\"],"
    " \"tag:admins\": [\"autogroup:admin\"], \"tag:all\": [\"autogroup:member\"], \"tag:none\": []}}";

static const struct {
    const char *tag, *login, *role, *held;
    enum policy_tag_right right;
} rows[] = {
    {"tag:web", "ivy@example.com", "member", "", POLICY_TAG_MAY},
    {"tag:web", "IVY@example.com", "member", "", POLICY_TAG_MAY},
    {"tag:web", "olga@example.com", "member", "", POLICY_TAG_MAY},
    {"tag:web", "max@example.com", "member", "", POLICY_TAG_NOT_OWNER},
    {"tag:web", "ann@example.com", "owner", "", POLICY_TAG_NOT_OWNER},
    {"tag:web", "", "", "tag:db", POLICY_TAG_NOT_OWNER},
    {"tag:db", "", "", "tag:web", POLICY_TAG_MAY},
    {"tag:db", "ivy@example.com", "member", "", POLICY_TAG_NOT_OWNER},
    {"tag:admins", "ann@example.com", "owner", "", POLICY_TAG_MAY},
    {"tag:admins", "adam@example.com", "admin", "", POLICY_TAG_MAY},
    {"tag:admins", "nina@example.com", "network-admin", "", POLICY_TAG_NOT_OWNER},
    {"tag:all", "max@example.com", "member", "", POLICY_TAG_MAY},
    {"tag:all", "", "", "tag:web", POLICY_TAG_NOT_OWNER},
    {"tag:none", "ivy@example.com", "member", "", POLICY_TAG_NOT_OWNER},
    {"tag:lost", "ann@example.com", "owner", "", POLICY_TAG_UNDEFINED},
};

static void owners(void **state)
{
    (void)state;
    struct policy_diags diags;
    struct policy *p;
    assert_int_equal(policy_load(slice_str(text), NULL, &diags, &p), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice held = slice_str(rows[i].held);
        struct policy_tagger who = {slice_str(rows[i].login), slice_str(rows[i].role), &held,
                                    held.n ? 1 : 0};
        if (policy_tag_right(p, slice_str(rows[i].tag), &who) != rows[i].right) {
            fail_msg("row %zu: %s for %s%s", i, rows[i].tag, rows[i].login, rows[i].held);
        }
    }
    policy_diags_free(&diags);
    policy_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(owners)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
