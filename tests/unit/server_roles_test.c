/* The matrix of console-api.md section 2, written out once more as a person reads it there. */
#include "server/roles.h"
#include "tests/unit/support/test.h"

/* Columns: owner, admin, network-admin, it-admin, billing-admin, auditor, member. */
static const struct {
    enum permission p;
    const char *who;
} golden[] = {
    {PERM_NONE, "YYYYYYY"},           {PERM_CONSOLE, "YYYYYY."},
    {PERM_POLICY_READ, "YYYYYY."},    {PERM_POLICY_WRITE, "YYY...."},
    {PERM_NETWORK_READ, "YYYYYY."},   {PERM_NETWORK_WRITE, "YYY...."},
    {PERM_FEATURE_READ, "YYYYYY."},   {PERM_FEATURE_WRITE, "YY.Y..."},
    {PERM_PROVISIONING, "YY.Y..."},   {PERM_MACHINES_READ, "YYYYYY."},
    {PERM_MACHINES_WRITE, "YY.Y..."}, {PERM_USERS_READ, "YYYYYY."},
    {PERM_USERS_WRITE, "YY.Y..."},    {PERM_AUTH_KEYS, "YYYY..."},
    {PERM_API_KEYS, "YYYY..."},       {PERM_ANY_TAG, "YYY...."},
    {PERM_AUDIT_READ, "YYYYYY."},     {PERM_WEBHOOKS_WRITE, "YYYY..."},
    {PERM_TAILNET_NAME, "YYY...."},   {PERM_REQUEST_DECIDE, "YYY...."},
    {PERM_FUNNEL_READ, "YYYYYY."},    {PERM_FUNNEL_OFF, "YYYY..."},
    {PERM_FUNNEL_REOPEN, "YYY...."},
};

static const enum policy_role columns[] = {
    POLICY_OWNER,         POLICY_ADMIN,   POLICY_NETWORK_ADMIN, POLICY_IT_ADMIN,
    POLICY_BILLING_ADMIN, POLICY_AUDITOR, POLICY_MEMBER};

static void roles_may_what_the_table_says(void **state)
{
    (void)state;
    assert_int_equal(ARRAY_LEN(golden), PERMISSION_COUNT);
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) {
        for (size_t c = 0; c < ARRAY_LEN(columns); c++) {
            if (role_may(columns[c], golden[i].p) != (golden[i].who[c] == 'Y')) {
                fail_msg("%s, column %zu", permission_name(golden[i].p), c);
            }
        }
    }
}

static void check_print(const char *words, const char *expected)
{
    struct scopes s = {0, 0};
    struct slice rest = slice_str(words), word;
    while (slice_split(&rest, ' ', &word)) {
        assert_true(scopes_add(&s, word));
    }
    struct buf out = BUF_MAX(1024);
    scopes_print(&s, &out);
    assert_string_equal(buf_cstr(&out), expected);
    buf_deinit(&out);
}

static void scopes_are_read_and_printed(void **state)
{
    (void)state;
    struct scopes s = {0, 0};
    check_print("policy_file:read dns", "policy_file:read dns");
    check_print("dns:read dns", "dns");
    assert_false(scopes_add(&s, S("policyfile")));
    assert_false(scopes_add(&s, S("")));
    assert_false(scopes_add(&s, S(":read")));
    assert_int_equal(s.read | s.write, 0);
}

static void write_implies_read_and_no_more(void **state)
{
    (void)state;
    struct scopes s = {0, 0}, all = {0, 0}, reader = {0, 0};
    assert_true(scopes_add(&s, S("policy_file")));
    assert_true(scopes_allow(&s, SCOPE_POLICY_FILE, true));
    assert_true(scopes_allow(&s, SCOPE_POLICY_FILE, false));
    assert_false(scopes_allow(&s, SCOPE_DNS, false));
    assert_false(scopes_allow(&s, SCOPE_NONE, false));
    assert_true(scopes_add(&all, S("all")));
    assert_true(scopes_add(&reader, S("all:read")));
    assert_true(scopes_allow(&all, SCOPE_FUNNEL, true));
    assert_false(scopes_allow(&all, SCOPE_FUNNEL_APPROVE, true));
    assert_false(scopes_allow(&reader, SCOPE_FUNNEL, true));
    assert_true(scopes_allow(&reader, SCOPE_FUNNEL, false));
    assert_true(scopes_cover(&all, &reader) && scopes_cover(&all, &s));
    assert_false(scopes_cover(&reader, &s));
    assert_false(scopes_need_tags(&s) || scopes_need_tags(&reader));
    assert_true(scopes_need_tags(&all));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_may_what_the_table_says),
        cmocka_unit_test(scopes_are_read_and_printed),
        cmocka_unit_test(write_implies_read_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
