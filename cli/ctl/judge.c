/* Commands that judge a policy: check. */
#include <errno.h>
#include <string.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/report.h"
#include "lib/base/err.h"
#include "policy/facts.h"

/* The tailnet of --facts; NULL without the option. 0, or an exit code after complaining. */
static int read_facts(struct ctl *c, struct policy_facts **out_facts)
{
    char why[256];
    struct buf text = BUF_MAX(0);
    *out_facts = NULL;
    if (!c->args.facts) {
        return 0;
    }
    int rc = ctl_read(c, c->args.facts, &text);
    if (!rc) {
        rc = policy_facts_read(buf_slice(&text), why, out_facts);
        rc = rc ? ctl_complain(c, CTL_REFUSED, "the facts cannot be used",
                               rc > 0 ? why : err_words(rc),
                               "the shape is in the manual page: funnelctl man")
                : 0;
    }
    buf_deinit(&text);
    return rc;
}

/* The verdict: an exit code. */
static int verdict(const struct ctl *c, const struct policy_diags *diags)
{
    bool bad = ctl_errors(diags) || (c->args.strict && diags->count);
    return bad ? CTL_REFUSED : CTL_OK;
}

int ctl_check(struct ctl *c)
{
    AUTO(policy_facts_unrefp) struct policy_facts *facts = NULL;
    struct buf text = BUF_MAX(0);
    struct policy_diags diags = {NULL, 0, false};
    struct policy *p = NULL;
    int rc = ctl_read_policy(c, c->args.words[0], &text);
    rc = rc ? rc : read_facts(c, &facts);
    if (rc) {
        buf_deinit(&text);
        return rc;
    }
    struct ctl_source src = {c->args.words[0], buf_slice(&text)};
    rc = policy_load(src.text, facts, &diags, &p);
    if (rc < 0) {
        rc = ctl_complain(c, CTL_REFUSED, "cannot judge the policy", err_words(rc),
                          "give it more memory");
    } else if (c->args.json) {
        AUTO(js_freep) struct js *j = ctl_report_json(&diags);
        rc = ctl_put_json(c, j);
        rc = rc ? rc : verdict(c, &diags);
    } else {
        ctl_report_text(c, &src, &diags);
        rc = verdict(c, &diags);
    }
    policy_unref(p);
    policy_diags_free(&diags);
    buf_deinit(&text);
    return rc;
}
