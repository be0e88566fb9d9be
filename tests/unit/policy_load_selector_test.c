/*
 * The table of policy.md 2.2, cell by cell: each selector in each place, allowed or refused with
 * the code that fits. Footnotes have rows of their own in tests/golden/policy.
 */
#include <stdio.h>

#include "policy/policy.h"
#include "tests/unit/support/test.h"

enum { SRC, DST, GRANT_SRC, GRANT_DST, TARGET, OWNER, APPROVER, SSH_SRC, SSH_DST, IPSET, PLACES };

/* What a selector is written into; %s is the selector. Other definitions come before. */
static const char *const places[PLACES] = {
    [SRC] = "\"acls\":[{\"action\":\"accept\",\"src\":[\"%s\"],\"dst\":[\"*:*\"]}]",
    [DST] = "\"acls\":[{\"action\":\"accept\",\"src\":[\"cy@example.com\"],\"dst\":[\"%s:*\"]}]",
    [GRANT_SRC] = "\"grants\":[{\"src\":[\"%s\"],\"dst\":[\"*\"],\"ip\":[\"*\"]}]",
    [GRANT_DST] = "\"grants\":[{\"src\":[\"cy@example.com\"],\"dst\":[\"%s\"],\"ip\":[\"*\"]}]",
    [TARGET] = "\"nodeAttrs\":[{\"target\":[\"%s\"],\"attr\":[\"funnel\"]}]",
    [OWNER] = "\"tagOwners\":{\"tag:web\":[],\"tag:x\":[\"%s\"]}",
    [APPROVER] = "\"autoApprovers\":{\"exitNode\":[\"%s\"]}",
    [SSH_SRC] =
        "\"ssh\":[{\"action\":\"accept\",\"src\":[\"%s\"],\"dst\":[\"tag:web\"],\"users\":[\"root\"]}]",
    [SSH_DST] =
        "\"ssh\":[{\"action\":\"accept\",\"src\":[\"cy@example.com\"],\"dst\":[\"%s\"],\"users\":[\"root\"]}]",
    [IPSET] = "\"ipsets\":{\"ipset:i\":[],\"ipset:x\":[\"%s\"]}",
};

static const char *const names[PLACES] = {"acl src", "acl dst",  "grant src", "grant dst", "target",
                                          "owner",   "approver", "ssh src",   "ssh dst",   "ipset"};

/* y: allowed; k: the wrong kind (target-kind, or the place's own code); a: autogroup-not-allowed.
 */
static const struct {
    const char *selector;
    const char *cells; /* in the order of the places */
} rows[] = {
    {"*", "yyyyykkkkk"},
    {"cy@example.com", "yyyyyyyyyk"},
    {"group:g", "yyyyyyyykk"},
    {"tag:web", "yyyyyyyyyk"},
    {"100.64.0.3", "yyyyykkkky"},
    {"10.0.0.0/8", "yyyyykkkky"},
    {"h", "yyyyykkkkk"},
    {"host:h", "yyyyykkkky"},
    {"10.0.0.1-10.0.0.9", "kkkkkkkkky"},
    {"ipset:i", "yyyykkkkky"},
    {"svc:s", "kykykkkkkk"},
    {"autogroup:member", "yyyyyyyyak"},
    {"autogroup:owner", "yyyyyyyyak"},
    {"autogroup:admin", "yyyyyyyyak"},
    {"autogroup:network-admin", "yyyyyyyyak"},
    {"autogroup:it-admin", "yyyyyyyyak"},
    {"autogroup:billing-admin", "yyyyyyyyak"},
    {"autogroup:auditor", "yyyyyyyyak"},
    {"autogroup:tagged", "yyyyyyyyyk"},
    {"autogroup:self", "ayayaaaayk"},
    {"autogroup:internet", "ayayaaaaay"},
    {"autogroup:shared", "yayaaaaaak"},
    {"autogroup:danger-all", "yayaaaaaak"},
    {"autogroup:nonroot", "aaaaaaaaak"},
    {"localpart:*@example.com", "kkkkkkkkkk"},
    {"user:*@example.com", "yyyyykkykk"},
};

static const char *code_of(char cell, int place)
{
    if (cell == 'a') {
        return "autogroup-not-allowed";
    }
    return place == OWNER ? "tag-owner" : place == IPSET ? "ipset-target" : "target-kind";
}

static int try_cell(const char *selector, int place, char cell)
{
    static const char *const around[] = {
        "\"tagOwners\":{\"tag:web\":[]},", "\"ipsets\":{\"ipset:i\":[]},",
        "\"groups\":{\"group:g\":[\"cy@example.com\"]},\"hosts\":{\"h\":\"10.1.0.0/16\"},"};
    char text[1024];
    char member[512];
    struct policy_diags diags;
    struct policy *p = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(member, sizeof member, places[place], selector);
#pragma GCC diagnostic pop
    snprintf(text, sizeof text, "{%s%s%s%s}", place == OWNER ? "" : around[0],
             place == IPSET ? "" : around[1], around[2], member);
    int rc = policy_load(slice_str(text), NULL, &diags, &p);
    bool right = cell == 'y' ? rc == 0
                             : rc == POLICY_INVALID && diags.count == 1 &&
                                   strcmp(diags.items[0].code, code_of(cell, place)) == 0;
    if (!right) {
        print_error("%s as %s: want %c, got %d %s %s\n", selector, names[place], cell, rc,
                    diags.count ? diags.items[0].code : "",
                    diags.count ? diags.items[0].message : "");
    }
    policy_diags_free(&diags);
    policy_unref(p);
    return !right;
}

static void table(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(strlen(rows[i].cells), PLACES);
        for (int place = 0; place < PLACES; place++) {
            wrong += try_cell(rows[i].selector, place, rows[i].cells[place]);
        }
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
