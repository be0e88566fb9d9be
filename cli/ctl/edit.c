/* Edits that keep the file a person wrote (policy.md 1.11). */
#include <string.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/report.h"
#include "policy/edit.h"

/* One edit on its way: the file, then what became of it. */
struct edit {
    struct ctl *c;
    struct buf before, after;
    struct policy_diags diags;
    enum policy_edit_result result;
};

static struct slice target(const struct ctl *c)
{
    return c->args.target ? slice_str(c->args.target) : S("autogroup:member");
}

static int put_object(const struct edit *e)
{
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "result", policy_edit_result_name(e->result));
    js_set_str(j, "text", buf_slice(&e->after));
    if (e->result == POLICY_REFUSED) {
        AUTO(js_freep) struct js *report = ctl_report_json(&e->diags);
        js_set(j, "errors", js_ref(js_get(report, "errors")));
    }
    return ctl_put_json(e->c, j);
}

static int put_refusal(const struct edit *e)
{
    struct ctl_source src = {e->c->args.words[0], buf_slice(&e->before)};
    ctl_report_stderr(e->c, &src, &e->diags);
    return CTL_REFUSED;
}

/* stdout has the whole file, edited or not; with --write it has nothing. */
static int put_result(const struct edit *e)
{
    const struct ctl *c = e->c;
    bool edited = e->result == POLICY_CHANGED || e->result == POLICY_SPLICED;
    int rc = c->args.write && edited ? ctl_replace(c, c->args.words[0], buf_slice(&e->after)) : 0;
    if (rc) {
        return rc;
    }
    if (c->args.json) {
        rc = put_object(e);
        return rc ? rc : e->result == POLICY_REFUSED ? CTL_REFUSED : CTL_OK;
    }
    if (e->result == POLICY_REFUSED) {
        return put_refusal(e);
    }
    if (!edited || c->args.write) {
        ctl_note(c, "%s: %s", ctl_name(c->args.words[0]),
                 edited ? "changed" : "unchanged, it is so already");
    }
    return c->args.write ? CTL_OK : ctl_put(c, buf_slice(&e->after));
}

static int begin(struct ctl *c, struct edit *out)
{
    *out = (struct edit){.c = c, .result = POLICY_REFUSED};
    buf_init(&out->after, 8 * MIB);
    return ctl_read(c, c->args.words[0], &out->before);
}

static int finish(struct edit *e, int rc)
{
    rc = rc ? rc : put_result(e);
    policy_diags_free(&e->diags);
    buf_deinit(&e->before);
    buf_deinit(&e->after);
    return rc;
}

int ctl_edit_add_funnel(struct ctl *c)
{
    struct edit e;
    int rc = begin(c, &e);
    if (!rc) {
        e.result = policy_add_funnel(buf_slice(&e.before), target(c), slice_str(c->args.comment),
                                     &e.after, &e.diags);
    }
    return finish(&e, rc);
}

int ctl_edit_remove_funnel(struct ctl *c)
{
    struct edit e;
    int rc = begin(c, &e);
    if (!rc) {
        e.result = policy_remove_funnel(buf_slice(&e.before), target(c), &e.after, &e.diags);
    }
    return finish(&e, rc);
}

int ctl_edit_add_to_group(struct ctl *c)
{
    struct edit e;
    int rc = begin(c, &e);
    if (!rc) {
        e.result = policy_add_to_group(buf_slice(&e.before), slice_str(c->args.words[1]),
                                       slice_str(c->args.words[2]), &e.after, &e.diags);
    }
    return finish(&e, rc);
}

int ctl_edit_tag_owners(struct ctl *c)
{
    struct edit e;
    struct slice owners[CTL_WORDS_MAX];
    size_t count = 0;
    for (size_t i = 2; i < c->args.word_count; i++) {
        owners[count++] = slice_str(c->args.words[i]);
    }
    int rc = begin(c, &e);
    if (!rc) {
        e.result = policy_set_tag_owners(buf_slice(&e.before), slice_str(c->args.words[1]), owners,
                                         count, &e.after, &e.diags);
    }
    return finish(&e, rc);
}
