/*
 * Any text: loading says yes or gives a reason, and every reason has a place that is there, in
 * order and in whole characters. What is loaded holds indices that can be followed. An edit of what
 * loads, loads.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/text.h"
#include "policy/edit.h"
#include "policy/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

static const struct policy_facts *facts(void)
{
    static const char text[] =
        "{\"domains\":[\"example.com\"],\"https\":false,\"users\":{\"cy@example.com\":\"member\","
        "\"ann@example.com\":\"owner\"},\"nodes\":{\"a\":{\"ipv4\":\"100.64.0.3\",\"user\":"
        "\"cy@example.com\"},\"b\":{\"ipv4\":\"100.64.0.4\",\"tags\":[\"tag:web\"]}}}";
    static struct policy_facts *made;
    char why[256];
    want(made || !policy_facts_read(slice_str(text), why, &made), "facts");
    return made;
}

static void check_diag(const struct policy_diag *d, size_t size)
{
    want(d->line >= 1 && d->column >= 1 && d->character >= 1 && d->character <= d->column, "place");
    want(d->offset <= size + 1, "offset");
    want(d->message[0], "message");
    want(text_utf8_valid(slice_str(d->message)) && text_utf8_valid(slice_str(d->hint)), "UTF-8");
}

static void check_diags(const struct policy_diags *d, size_t size)
{
    size_t errors = 0;
    for (size_t i = 0; i < d->count; i++) {
        errors += d->items[i].severity == POLICY_ERROR;
        check_diag(&d->items[i], size);
        want(!i || d->items[i - 1].offset <= d->items[i].offset, "order");
    }
    want(errors <= POLICY_DIAGS_MAX && d->count - errors <= POLICY_DIAGS_MAX, "how many");
}

static void follow(const struct policy *p, const struct selector *s)
{
    want(s->kind != SELECTOR_NONE && s->kind != SELECTOR_RANGE, "kind");
    want(s->kind != SELECTOR_GROUP || s->index < p->group_count, "group");
    want(s->kind != SELECTOR_TAG || s->index < p->tag_count, "tag");
    want(s->kind != SELECTOR_HOST || s->index < p->host_count, "host");
    want(s->kind != SELECTOR_IPSET || s->index < p->ipset_count, "ipset");
    want((s->kind != SELECTOR_HOST && s->kind != SELECTOR_ADDRESS) || s->prefix.addr.family,
         "prefix");
}

static void follow_all(const struct policy *p, const struct selectors *s)
{
    for (size_t i = 0; i < s->count; i++) {
        follow(p, &s->at[i]);
    }
}

static void check_rules(const struct policy *p)
{
    for (size_t i = 0; i < p->rule_count; i++) {
        const struct rule *r = &p->rules[i];
        follow_all(p, &r->src);
        follow_all(p, &r->via);
        for (size_t k = 0; k < r->dst_count; k++) {
            follow(p, &r->dst[k].what);
            want(r->kind == RULE_GRANT || r->dst[k].port_count, "ports");
        }
    }
}

static void check_model(const struct policy *p)
{
    check_rules(p);
    for (size_t i = 0; i < p->entry_count; i++) {
        follow_all(p, &p->entries[i].targets);
        for (size_t k = 0; k < p->entries[i].app_count; k++) {
            want(p->entries[i].apps[k].capability.text.n, "capability");
        }
    }
    for (size_t i = 0; i < p->tag_count; i++) {
        follow_all(p, &p->tags[i].owners);
    }
    for (size_t i = 0; i < p->ssh_count; i++) {
        follow_all(p, &p->ssh[i].src);
        follow_all(p, &p->ssh[i].dst);
    }
    for (size_t i = 0; i < p->ipset_count; i++) {
        const struct ip_set *s = &p->ipsets[i];
        for (size_t k = 0; k + 1 < s->range_count; k++) {
            want(ip_addr_cmp(&s->ranges[k].last, &s->ranges[k + 1].first) < 0, "ranges");
        }
    }
}

static void edit(const struct policy *p)
{
    struct buf out = BUF_MAX(4 * MIB);
    struct policy_diags diags;
    enum policy_edit_result r =
        policy_add_funnel(policy_text(p), S("autogroup:member"), S("why"), &out, &diags);
    want(r != POLICY_REFUSED || !buf_ok(&out), "an edit");
    policy_diags_free(&diags);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    int rc = policy_load(slice_of(data, size), facts(), &diags, &p);
    want(rc >= 0 && (!rc == (p != NULL)) && (!rc || diags.count), "an answer");
    check_diags(&diags, size);
    if (p) {
        check_model(p);
        policy_warn_caller(p, facts(), S("ann@example.com"), &diags);
        check_diags(&diags, size);
        edit(p);
    }
    policy_diags_free(&diags);
    policy_unref(p);
    return 0;
}
