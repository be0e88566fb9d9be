/*
 * tests, sshTests and nodeAttrTests (policy.md section 4): their shape. A name that nobody defines
 * fails the test when it runs, not the file; a destination that no test can have is refused here,
 * in the words of a failed test.
 */
#include "policy/load_priv.h"

static struct policy_diag *
shape(struct loader *l, size_t offset, struct slice what, const char *why)
{
    return what.p ? load_error(l, "test-shape", offset, "test(s) failed: \"" SLICE_FMT "\": %s",
                               SLICE_ARG(what), why)
                  : load_error(l, "test-shape", offset, "test(s) failed: %s", why);
}

/* One host, not a network. */
static bool single(const struct selector *s)
{
    return (s->kind != SELECTOR_ADDRESS && s->kind != SELECTOR_HOST) ||
           s->prefix.bits == (s->prefix.addr.family == IP_V4 ? 32 : 128);
}

static bool one_host(struct loader *l, const struct selector *s)
{
    if (single(s) && slice_find(s->text, '/') < 0) {
        return true;
    }
    policy_hint(shape(l, s->offset, s->text, "must be a single host, not a CIDR range"),
                "test an address of the network");
    return false;
}

/* A test names its hosts as selectors; the address of an alias is known without resolving it. */
static bool host_of(
    struct loader *l, enum load_place place, struct slice text, size_t offset, struct selector *out)
{
    return load_selector_text(l, place, text, offset, out) && one_host(l, out);
}

static void
source(struct loader *l, enum load_place place, const struct hujson_node *n, struct selector *out)
{
    struct slice text;
    size_t offset = hujson_offset(n);
    if (load_string(l, n, &text)) {
        err_ignore(host_of(l, place, load_trim(l, text, offset), offset, out));
    }
}

static void
read_posture_attrs(struct loader *l, const struct hujson_node *n, const struct hujson_node **out)
{
    if (load_is_object(l, n)) {
        load_opaque(l, n);
        for (size_t i = 0; i < hujson_count(n); i++) {
            enum hujson_kind k = hujson_kind(hujson_at(n, i));
            if (k == HUJSON_OBJECT || k == HUJSON_ARRAY) {
                load_error(l, "type", hujson_offset(hujson_at(n, i)),
                           "a string, a number, true or false must stand here");
            }
        }
        *out = n;
    }
}

/* ---- tests ---- */

enum { TEST_SRC, TEST_USER, TEST_ACCEPT, TEST_ALLOW };

static void read_test_src(struct loader *l, const struct hujson_node *n, void *into)
{
    source(l, PLACE_TEST_SRC, n, &((struct policy_test *)into)->src);
}

static void read_test_proto(struct loader *l, const struct hujson_node *n, void *into)
{
    struct slice text;
    if (load_string(l, n, &text) && text.n) {
        err_ignore(load_protocol(l, text, hujson_offset(n), "test-shape",
                                 &((struct policy_test *)into)->proto));
    }
}

static void read_test_attrs(struct loader *l, const struct hujson_node *n, void *into)
{
    read_posture_attrs(l, n, &((struct policy_test *)into)->posture_attrs);
}

static bool test_dst(struct loader *l, const struct hujson_node *n, struct test_dst *d)
{
    struct slice text, host, ports;
    uint64_t port;
    size_t offset = hujson_offset(n);
    if (!load_string(l, n, &text)) {
        return false;
    }
    text = load_trim(l, text, offset);
    d->text = (struct word){text, (uint32_t)offset};
    const char *why = load_split_dst(l, text, &host, &ports);
    if (!why && !slice_u64(ports, UINT16_MAX, &port)) {
        why = "test destination port must be a single port";
    }
    if (why) {
        policy_hint(shape(l, offset, text, why), "write host:port, as in \"tag:web:443\"");
        return false;
    }
    d->port = (uint16_t)port;
    return host_of(l, PLACE_TEST_DST, host, offset, &d->what);
}

static void
test_dsts(struct loader *l, const struct hujson_node *n, struct test_dst **out, size_t *count)
{
    if (load_is_array(l, n)) {
        *out = load_alloc(l, hujson_count(n), sizeof **out);
        *count = 0; /* the old name may have been read before */
        for (size_t i = 0; *out && i < hujson_count(n); i++) {
            *count += test_dst(l, hujson_at(n, i), &(*out)[*count]);
        }
    }
}

static void read_test_accept(struct loader *l, const struct hujson_node *n, void *into)
{
    struct policy_test *t = into;
    test_dsts(l, n, &t->accept, &t->accept_count);
}

static void read_test_deny(struct loader *l, const struct hujson_node *n, void *into)
{
    struct policy_test *t = into;
    test_dsts(l, n, &t->deny, &t->deny_count);
}

static const struct load_field test_fields[] = {
    [TEST_SRC] = {"src", read_test_src, NULL},
    [TEST_USER] = {"user", read_test_src, "src"},
    [TEST_ACCEPT] = {"accept", read_test_accept, NULL},
    [TEST_ALLOW] = {"allow", read_test_accept, "accept"},
    {"deny", read_test_deny, NULL},
    {"proto", read_test_proto, NULL},
    {"srcPostureAttrs", read_test_attrs, NULL},
};

/* tcp, udp and sctp are tested on a port, the others on 0. */
static void check_test_ports(struct loader *l,
                             const struct policy_test *t,
                             const struct test_dst *at,
                             size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (load_protocol_has_ports(t->proto) == !at[i].port) {
            shape(l, at[i].text.offset, at[i].text.text,
                  at[i].port ? "this protocol has no ports: test port 0"
                             : "test destination port must be a single port from 1 to 65535");
        }
    }
}

static bool both(uint32_t present, unsigned a, unsigned b)
{
    return present & 1u << a && present & 1u << b;
}

static void test(struct loader *l, const struct hujson_node *n, struct policy_test *t)
{
    size_t before = l->errors;
    uint32_t present = load_fields(l, n, test_fields, ARRAY_LEN(test_fields), t);
    const char *why = NULL;
    if (both(present, TEST_SRC, TEST_USER) || both(present, TEST_ACCEPT, TEST_ALLOW)) {
        why = "a field and its old name cannot stand in one test";
    } else if (l->errors == before && !(present & (1u << TEST_SRC | 1u << TEST_USER))) {
        why = "a test needs a src";
    } else if (l->errors == before && !t->accept_count && !t->deny_count) {
        why = "test entry must have at least one of \"accept\" or \"deny\"";
    }
    if (why) {
        shape(l, t->offset, (struct slice){NULL, 0}, why);
    }
    check_test_ports(l, t, t->accept, t->accept_count);
    check_test_ports(l, t, t->deny, t->deny_count);
}

void load_tests(struct loader *l, const struct hujson_node *n)
{
    struct policy_test *at =
        load_is_array(l, n) ? load_alloc(l, hujson_count(n), sizeof *at) : NULL;
    for (size_t i = 0; at && i < hujson_count(n); i++) {
        const struct hujson_node *item = hujson_at(n, i);
        at[i].index = (uint32_t)i;
        at[i].offset = (uint32_t)hujson_offset(item);
        if (load_is_object(l, item)) {
            test(l, item, &at[i]);
        }
    }
    l->p->tests = at;
    l->p->test_count = at ? hujson_count(n) : 0;
}

/* ---- sshTests ---- */

enum { SSH_TEST_SRC, SSH_TEST_DST };

static void read_ssh_src(struct loader *l, const struct hujson_node *n, void *into)
{
    source(l, PLACE_SSH_TEST_SRC, n, &((struct ssh_test *)into)->src);
}

static bool ssh_dst(struct loader *l, const struct hujson_node *n, struct selector *out)
{
    struct slice text, host, port;
    uint64_t number;
    size_t offset = hujson_offset(n);
    if (!load_string(l, n, &text)) {
        return false;
    }
    text = load_trim(l, text, offset);
    struct ip_prefix address;
    if (!ip_prefix_parse(text, &address, NULL) && !load_split_dst(l, text, &host, &port) &&
        (slice_u64(port, UINT64_MAX, &number) || slice_eq(port, S("*")))) {
        policy_hint(shape(l, offset, text, "an ssh destination has no port"),
                    "write \"" SLICE_FMT "\"", SLICE_ARG(host));
        return false;
    }
    return host_of(l, PLACE_SSH_TEST_DST, text, offset, out);
}

static void read_ssh_dst(struct loader *l, const struct hujson_node *n, void *into)
{
    struct ssh_test *t = into;
    if (load_is_array(l, n)) {
        t->dst.at = load_alloc(l, hujson_count(n), sizeof *t->dst.at);
        for (size_t i = 0; t->dst.at && i < hujson_count(n); i++) {
            t->dst.count += ssh_dst(l, hujson_at(n, i), &t->dst.at[t->dst.count]);
        }
    }
}

static void logins(struct loader *l, const struct hujson_node *n, struct words *out)
{
    load_words(l, n, out);
    for (size_t i = 0; i < out->count; i++) {
        if (!out->at[i].text.n) {
            shape(l, out->at[i].offset, S(""), "a login has a name");
        }
    }
}

static void read_ssh_accept(struct loader *l, const struct hujson_node *n, void *into)
{
    logins(l, n, &((struct ssh_test *)into)->accept);
}

static void read_ssh_check(struct loader *l, const struct hujson_node *n, void *into)
{
    logins(l, n, &((struct ssh_test *)into)->check);
}

static void read_ssh_deny(struct loader *l, const struct hujson_node *n, void *into)
{
    logins(l, n, &((struct ssh_test *)into)->deny);
}

static void read_ssh_attrs(struct loader *l, const struct hujson_node *n, void *into)
{
    read_posture_attrs(l, n, &((struct ssh_test *)into)->posture_attrs);
}

static const struct load_field ssh_test_fields[] = {
    [SSH_TEST_SRC] = {"src", read_ssh_src, NULL},
    [SSH_TEST_DST] = {"dst", read_ssh_dst, NULL},
    {"accept", read_ssh_accept, NULL},
    {"check", read_ssh_check, NULL},
    {"deny", read_ssh_deny, NULL},
    {"srcPostureAttrs", read_ssh_attrs, NULL},
};

static void ssh_test(struct loader *l, const struct hujson_node *n, struct ssh_test *t)
{
    size_t before = l->errors;
    load_fields(l, n, ssh_test_fields, ARRAY_LEN(ssh_test_fields), t);
    if (l->errors != before) {
        return;
    }
    const char *why = NULL;
    if (t->src.kind == SELECTOR_NONE) {
        why = "SSH tests entry must have a non-empty src";
    } else if (!t->dst.count) {
        why = "SSH tests entry must have at least one dst";
    } else if (!t->accept.count && !t->check.count && !t->deny.count) {
        why = "SSH tests entry must have at least one of \"accept\", \"check\" or \"deny\"";
    }
    if (why) {
        shape(l, t->offset, (struct slice){NULL, 0}, why);
    }
}

void load_ssh_tests(struct loader *l, const struct hujson_node *n)
{
    struct ssh_test *at = load_is_array(l, n) ? load_alloc(l, hujson_count(n), sizeof *at) : NULL;
    for (size_t i = 0; at && i < hujson_count(n); i++) {
        const struct hujson_node *item = hujson_at(n, i);
        at[i].index = (uint32_t)i;
        at[i].offset = (uint32_t)hujson_offset(item);
        if (load_is_object(l, item)) {
            ssh_test(l, item, &at[i]);
        }
    }
    l->p->ssh_tests = at;
    l->p->ssh_test_count = at ? hujson_count(n) : 0;
}

/* ---- nodeAttrTests ---- */

static void read_attr_target(struct loader *l, const struct hujson_node *n, void *into)
{
    struct attr_test *t = into;
    struct slice text;
    size_t offset = hujson_offset(n);
    if (!load_string(l, n, &text)) {
        return;
    }
    text = load_trim(l, text, offset);
    if (!slice_starts(text, S("device:"))) {
        err_ignore(load_selector_text(l, PLACE_ATTR_TEST, text, offset, &t->target));
    } else if (text.n == 7) {
        shape(l, offset, text, "a device has a name");
    } else {
        t->target = (struct selector){.kind = SELECTOR_DEVICE,
                                      .offset = (uint32_t)offset,
                                      .text = text,
                                      .name = slice_skip(text, 7)};
    }
}

static void attr_names(struct loader *l, const struct hujson_node *n, struct words *out)
{
    load_words(l, n, out);
    for (size_t i = 0; i < out->count; i++) {
        if (!out->at[i].text.n) {
            load_error(l, "attr-empty", out->at[i].offset, "an attribute needs a name");
        }
    }
}

static void read_have(struct loader *l, const struct hujson_node *n, void *into)
{
    attr_names(l, n, &((struct attr_test *)into)->have);
}

static void read_lack(struct loader *l, const struct hujson_node *n, void *into)
{
    attr_names(l, n, &((struct attr_test *)into)->lack);
}

static void read_allow_ports(struct loader *l, const struct hujson_node *n, void *into)
{
    struct attr_test *t = into;
    t->allow_count = load_ports(l, n, &t->allow);
}

static void read_deny_ports(struct loader *l, const struct hujson_node *n, void *into)
{
    struct attr_test *t = into;
    t->deny_count = load_ports(l, n, &t->deny);
}

static const struct load_field funnel_port_fields[] = {
    {"allow", read_allow_ports, NULL},
    {"deny", read_deny_ports, NULL},
};

static void read_funnel_ports(struct loader *l, const struct hujson_node *n, void *into)
{
    if (load_is_object(l, n)) {
        load_fields(l, n, funnel_port_fields, ARRAY_LEN(funnel_port_fields), into);
    }
}

static const struct load_field attr_test_fields[] = {
    {"target", read_attr_target, NULL},
    {"have", read_have, NULL},
    {"lack", read_lack, NULL},
    {"funnelPorts", read_funnel_ports, NULL},
};

static void attr_test(struct loader *l, const struct hujson_node *n, struct attr_test *t)
{
    size_t before = l->errors;
    load_fields(l, n, attr_test_fields, ARRAY_LEN(attr_test_fields), t);
    if (l->errors != before) {
        return;
    }
    if (t->target.kind == SELECTOR_NONE) {
        shape(l, t->offset, (struct slice){NULL, 0}, "a nodeAttrTest needs a target");
    } else if (!t->have.count && !t->lack.count && !t->allow_count && !t->deny_count) {
        shape(l, t->offset, (struct slice){NULL, 0},
              "a nodeAttrTest needs at least one of \"have\", \"lack\" and \"funnelPorts\"");
    }
}

void load_attr_tests(struct loader *l, const struct hujson_node *n)
{
    struct attr_test *at = load_is_array(l, n) ? load_alloc(l, hujson_count(n), sizeof *at) : NULL;
    for (size_t i = 0; at && i < hujson_count(n); i++) {
        const struct hujson_node *item = hujson_at(n, i);
        at[i].index = (uint32_t)i;
        at[i].offset = (uint32_t)hujson_offset(item);
        if (load_is_object(l, item)) {
            attr_test(l, item, &at[i]);
        }
    }
    l->p->attr_tests = at;
    l->p->attr_test_count = at ? hujson_count(n) : 0;
}
