/*
 * nodeAttrTests (policy.md 4.3). A test's target selects devices of the facts, or, where it selects
 * none, made-up ones, so that a policy can be tested before there are devices. The made-up devices
 * of all tests are one small tailnet beside the real one, evaluated once by the same evaluator.
 *
 * Devices of suspended users have nothing whatever the policy says, so no test looks at them: a
 * suspension must not make tomorrow's save fail.
 */
#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "policy/check_priv.h"
#include "policy/explain.h"

/* What a test looks at. */
struct subject {
    bool made; /* positions in the made-up tailnet */
    struct picks picks;
};

struct attr_tests {
    const struct policy_snapshot *real;
    struct policy_snapshot *made; /* NULL until all devices are made up */
    struct policy_facts *made_facts;
    struct policy_diags *diags;
    struct picker *picker;
    const struct attr_test *test; /* at hand */
    bool failing;                 /* the one at hand */
    bool full;                    /* enough failures are listed; no need to explain more */
    size_t failed;                /* tests */
};

/* ---- devices that nobody has yet ---- */

static void make_device(struct attr_tests *run, struct subject *to, struct policy_device *d)
{
    d->id = (int64_t)run->made_facts->device_count + 1; /* in order: positions stay when sealed */
    pick(&to->picks, run->made_facts->device_count);
    policy_facts_device(run->made_facts, d);
}

static void make_owned(struct attr_tests *run,
                       struct subject *to,
                       struct slice login,
                       const struct policy_user *like)
{
    char name[200];
    struct policy_user u = {.login = login, .role = like ? like->role : POLICY_MEMBER};
    struct policy_device d = {.user = policy_facts_user(run->made_facts, &u)};
    text_cut(name, sizeof name, "a device of " SLICE_FMT, SLICE_ARG(login));
    d.name = slice_str(name);
    make_device(run, to, &d);
}

/* Of a login: with the role that it has, if there is such a user. */
static void make_of(struct attr_tests *run, struct subject *to, struct slice login)
{
    const struct policy_facts *f = run->real->facts;
    uint32_t known = policy_facts_find_user(f, login);
    make_owned(run, to, login, known == POLICY_NO_USER ? NULL : &f->users[known]);
}

/* Of nobody in particular: no login that a target could name. */
static void make_role(struct attr_tests *run, struct subject *to, enum policy_role role)
{
    char login[40];
    text_cut(login, sizeof login, "some %s", policy_role_name(role));
    make_owned(run, to, slice_str(login), &(struct policy_user){.role = role});
}

static void make_tagged(struct attr_tests *run, struct subject *to, struct slice tag)
{
    char name[200];
    text_cut(name, sizeof name, "a device with " SLICE_FMT, SLICE_ARG(tag));
    make_device(run, to,
                &(struct policy_device){
                    .name = slice_str(name), .user = POLICY_NO_USER, .tags = &tag, .tag_count = 1});
}

static void make_every_tag(struct attr_tests *run, struct subject *to)
{
    const struct policy *p = run->real->policy;
    for (size_t i = 0; i < p->tag_count; i++) {
        make_tagged(run, to, p->tags[i].name.text);
    }
}

static void make_at(struct attr_tests *run, struct subject *to, const struct ip_addr *at)
{
    struct buf name = BUF_MAX(80);
    struct policy_device d = {.user = POLICY_NO_USER};
    *(at->family == IP_V4 ? &d.ipv4 : &d.ipv6) = *at;
    buf_adds(&name, "a device at ");
    ip_addr_print(at, &name);
    d.name = buf_slice(&name);
    make_device(run, to, &d);
    buf_deinit(&name);
}

/* One that the facts know, as if its owner were not suspended. */
static void make_again(struct attr_tests *run, struct subject *to, struct slice name)
{
    const struct policy_facts *f = run->real->facts;
    const struct policy_device *known = policy_facts_find(f, name);
    if (known) {
        struct policy_device d = *known;
        struct policy_user u = f->users[d.user];
        u.suspended = false;
        d.user = policy_facts_user(run->made_facts, &u);
        make_device(run, to, &d);
    }
}

static void make_domain(struct attr_tests *run, struct subject *to, struct slice domain)
{
    char login[300];
    text_cut(login, sizeof login, "someone@" SLICE_FMT, SLICE_ARG(domain));
    make_owned(run, to, slice_str(login), NULL);
}

static void make_up(struct attr_tests *run, struct subject *to, const struct selector *t)
{
    const struct policy *p = run->real->policy;
    switch (t->kind) {
    case SELECTOR_ALL:
        make_role(run, to, POLICY_MEMBER);
        make_every_tag(run, to);
        return;
    case SELECTOR_USER:
        make_of(run, to, t->name);
        return;
    case SELECTOR_DOMAIN:
        make_domain(run, to, t->name);
        return;
    case SELECTOR_GROUP:
        for (size_t i = 0; i < p->groups[t->index].members.count; i++) {
            make_of(run, to, p->groups[t->index].members.at[i].text);
        }
        return;
    case SELECTOR_TAG:
        make_tagged(run, to, t->name);
        return;
    case SELECTOR_MEMBER:
        make_role(run, to, POLICY_MEMBER);
        return;
    case SELECTOR_TAGGED:
        make_every_tag(run, to);
        return;
    case SELECTOR_ROLE:
        make_role(run, to, t->role);
        return;
    case SELECTOR_ADDRESS:
    case SELECTOR_HOST:
        make_at(run, to, &t->prefix.addr);
        return;
    case SELECTOR_DEVICE:
        make_again(run, to, t->name);
        return;
    case SELECTOR_NONE:
    case SELECTOR_RANGE:
    case SELECTOR_IPSET:
    case SELECTOR_SERVICE:
    case SELECTOR_SELF:
    case SELECTOR_INTERNET:
    case SELECTOR_SHARED:
    case SELECTOR_DANGER_ALL:
    case SELECTOR_NONROOT:
    case SELECTOR_LOCALPART:
    case SELECTOR_UNDEFINED:
        return;
    }
}

static void choose(struct attr_tests *run, const struct attr_test *t, struct subject *to)
{
    const struct policy *p = run->real->policy;
    picker_pick(run->picker, &t->target, &to->picks);
    to->made = !to->picks.count;
    if (to->made) {
        make_up(run, to, &t->target);
        policy_complain(run->diags, p->doc, POLICY_WARNING, "test-symbolic", t->target.offset,
                        SLICE_FMT ": no such device, %s", SLICE_ARG(t->target.text),
                        to->picks.count ? "evaluated symbolically" : "nothing was tested");
    }
}

static int evaluate_made(struct attr_tests *run)
{
    const struct policy_facts *f = run->real->facts;
    struct buf ports = BUF_MAX(4 * KIB);
    for (size_t i = 0; i < f->domain_count; i++) {
        policy_facts_domain(run->made_facts, f->domains[i]);
    }
    port_ranges_print(f->funnel_ports, f->funnel_port_count, &ports);
    bool same_ports = policy_facts_ports(run->made_facts, buf_slice(&ports));
    buf_deinit(&ports);
    policy_facts_seal(run->made_facts);
    return same_ports ? policy_evaluate(run->real->policy, run->made_facts, &run->made)
                      : err_origin(-ENOMEM);
}

/* ---- judging ---- */

/* One thing that every device of a test must have, or none of them. */
struct demand {
    struct want want;
    struct slice attr;  /* to be explained */
    const char *spoken; /* "\"drive:share\"", "funnel on port 443" */
    size_t offset;
    bool have;
};

static bool touches(const struct set_slot *slot, const struct want *w)
{
    bool any = false;
    for (size_t i = 0; i < slot->ports.count * w->range_count; i++) {
        const struct port_range *open = &slot->ports.at[i / w->range_count];
        const struct port_range *asked = &w->ranges[i % w->range_count];
        any |= open->first <= asked->last && asked->first <= open->last;
    }
    return any;
}

/* A range of ports is refused when any of it is open, and granted when all of it is. */
static bool has(const struct policy_snapshot *s, size_t device, const struct demand *d)
{
    return d->want.range_count && !d->have ? touches(device_slot(s, device), &d->want)
                                           : want_met(s, device, &d->want);
}

static void
fail(struct attr_tests *run, const struct policy_snapshot *s, size_t device, const struct demand *d)
{
    struct policy_explanation why;
    run->failed += !run->failing;
    run->failing = true;
    if (run->full) {
        return;
    }
    policy_explain(s, device, d->attr, &why);
    struct policy_diag *diag = policy_complain(
        run->diags, run->real->policy->doc, POLICY_ERROR, "test-failed", d->offset,
        "test(s) failed: " SLICE_FMT " must %s %s and %s it: %s",
        SLICE_ARG(s->facts->devices[device].name), d->have ? "have" : "lack", d->spoken,
        d->have ? "lacks" : "has",
        why.count ? why.reasons[0].text : "no entry of nodeAttrs gives it to anything");
    run->full = !diag; /* what follows stands later in the file: it would not be kept either */
    if (diag) {
        policy_hint(diag, "%s", why.next);
        text_cut(diag->user, sizeof diag->user, SLICE_FMT, SLICE_ARG(run->test->target.text));
    }
}

static void judge(struct attr_tests *run, const struct subject *on, const struct demand *d)
{
    const struct policy_snapshot *s = on->made ? run->made : run->real;
    for (size_t i = 0; i < on->picks.count; i++) {
        if (has(s, on->picks.at[i], d) != d->have) {
            fail(run, s, on->picks.at[i], d);
            return; /* one device is enough to mend */
        }
    }
}

static void
judge_words(struct attr_tests *run, const struct subject *on, const struct words *w, bool have)
{
    for (size_t i = 0; i < w->count; i++) {
        char spoken[100];
        struct demand d = {
            .attr = w->at[i].text, .spoken = spoken, .offset = w->at[i].offset, .have = have};
        text_cut(spoken, sizeof spoken, "\"" SLICE_FMT "\"", SLICE_ARG(d.attr));
        want_read(on->made ? run->made : run->real, d.attr, &d.want);
        judge(run, on, &d);
    }
}

static void
judge_ports(struct attr_tests *run, const struct subject *on, const struct attr_test *t, bool have)
{
    const struct port_range *r = have ? t->allow : t->deny;
    size_t count = have ? t->allow_count : t->deny_count;
    for (size_t i = 0; i < count; i++) {
        char ports[12], attr[40], spoken[40];
        if (r[i].last > r[i].first) {
            text_fit(ports, sizeof ports, "%d-%d", r[i].first, r[i].last);
        } else {
            text_fit(ports, sizeof ports, "%d", r[i].first);
        }
        text_fit(attr, sizeof attr, "funnel-ports?ports=%s", ports);
        text_fit(spoken, sizeof spoken, "funnel on port %s", ports);
        struct demand d = {.attr = have ? slice_str(attr) : S(POLICY_FUNNEL),
                           .spoken = spoken,
                           .offset = t->offset,
                           .have = have};
        want_read(on->made ? run->made : run->real, slice_str(attr), &d.want);
        judge(run, on, &d);
    }
}

static int run_all(struct attr_tests *run, struct subject *subjects)
{
    const struct policy *p = run->real->policy;
    for (size_t i = 0; i < p->attr_test_count; i++) {
        choose(run, &p->attr_tests[i], &subjects[i]);
    }
    int rc = run->made_facts->device_count ? evaluate_made(run) : 0;
    for (size_t i = 0; !rc && i < p->attr_test_count; i++) {
        const struct attr_test *t = run->test = &p->attr_tests[i];
        run->failing = false;
        if (!subjects[i].picks.count) {
            continue;
        }
        judge_words(run, &subjects[i], &t->have, true);
        judge_words(run, &subjects[i], &t->lack, false);
        judge_ports(run, &subjects[i], t, true);
        judge_ports(run, &subjects[i], t, false);
    }
    return rc;
}

int attr_tests_run(const struct policy_snapshot *s, struct policy_diags *diags, size_t *out_failed)
{
    size_t count = s->policy->attr_test_count;
    if (!count) {
        *out_failed = 0;
        return 0;
    }
    struct subject *subjects = mem_new_array(count, sizeof *subjects);
    struct attr_tests run = {
        .real = s, .made_facts = policy_facts_new(), .diags = diags, .picker = picker_new(s)};
    int rc = run_all(&run, subjects);
    for (size_t i = 0; i < count; i++) {
        mem_free(subjects[i].picks.at);
    }
    mem_free(subjects);
    picker_free(run.picker);
    policy_snapshot_unref(run.made);
    policy_facts_unref(run.made_facts);
    if (!rc) {
        *out_failed = run.failed;
    }
    return rc;
}
