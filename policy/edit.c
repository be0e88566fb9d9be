/*
 * The edits (policy.md 1.11): load, plan, carry out, prove. A result is handed out only when it
 * loads and when the plan for the same wish is empty on it.
 */
#include "policy/edit.h"

#include <errno.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "policy/edit_priv.h"

const char policy_funnel_comment[] =
    "Funnel: members may publish services from their own untagged devices.";

struct edit {
    const struct edit_want *want;
    struct buf text; /* as every save takes it in: with a final LF (1.4) */
    bool added_lf;
    struct hujson_doc *doc;
    struct edit_plan plan;
};

static void edit_deinit(struct edit *e)
{
    edit_plan_deinit(&e->plan);
    hujson_free(e->doc);
    buf_deinit(&e->text);
}

const char *policy_edit_result_name(enum policy_edit_result r)
{
    switch (r) {
    case POLICY_UNCHANGED:
        return "unchanged";
    case POLICY_SPLICED:
        return "spliced";
    case POLICY_CHANGED:
        return "changed";
    case POLICY_REFUSED:
        return "refused";
    }
    return "";
}

/* Parses and plans; false when memory or room has run out. */
static bool plan(struct edit *e, struct slice text)
{
    struct hujson_diag diag;
    hujson_free(e->doc);
    e->doc = NULL;
    edit_plan_deinit(&e->plan);
    if (hujson_parse(text, EDIT_TEXT_MAX, &diag, &e->doc)) {
        return false;
    }
    edit_plan_make(&e->plan, e->doc, e->want);
    return !e->plan.failed;
}

static bool load(struct slice text, struct policy_diags *out_diags)
{
    struct policy *p = NULL;
    policy_diags_free(out_diags);
    bool ok = policy_load(text, NULL, out_diags, &p) == 0;
    policy_unref(p);
    return ok;
}

/* Each step on the text that the one before has left. */
static bool splice_all(struct edit *e, struct buf *out)
{
    struct hujson_doc *doc = NULL;
    struct hujson_diag diag;
    for (size_t i = 0; i < e->plan.count; i++) {
        struct buf next = BUF_MAX(EDIT_TEXT_MAX);
        edit_splice(doc ? doc : e->doc, &e->plan.steps[i], &next);
        hujson_free(doc);
        doc = NULL;
        bool ok = buf_ok(&next) && !hujson_parse(buf_slice(&next), EDIT_TEXT_MAX, &diag, &doc);
        buf_deinit(&next);
        if (!ok) {
            return false;
        }
    }
    struct slice text = hujson_text(doc ? doc : e->doc);
    buf_add(out, slice_sub(text, 0, text.n - (e->added_lf ? 1 : 0)));
    hujson_free(doc);
    return buf_ok(out);
}

/* The diagnostics of a text that nobody has seen have no place in the one that they sent. */
static void blame_result(struct policy_diags *diags)
{
    for (size_t i = 0; i < diags->count; i++) {
        struct policy_diag *d = &diags->items[i];
        char message[sizeof d->message];
        text_cut(message, sizeof message, "the edited file would not be valid: %s", d->message);
        memcpy(d->message, message, sizeof message);
        d->line = d->column = d->character = 0;
        d->offset = 0;
    }
}

static void say_full(struct policy_diags *diags)
{
    policy_diags_free(diags);
    diags->items = mem_new(sizeof *diags->items);
    diags->count = 1;
    *diags->items = (struct policy_diag){.severity = POLICY_ERROR, .code = "too-big"};
    text_cut(diags->items->message, sizeof diags->items->message,
             "the edited file would be too large");
}

static bool prove(struct edit *e, struct slice result, struct policy_diags *out_diags)
{
    struct buf text = BUF_MAX(EDIT_TEXT_MAX);
    buf_add(&text, result);
    buf_adds(&text, e->added_lf ? "\n" : "");
    bool ok = load(buf_slice(&text), out_diags);
    if (!ok) {
        blame_result(out_diags);
    } else if (!plan(e, buf_slice(&text)) || e->plan.count) {
        say_full(out_diags);
        ok = false;
    }
    buf_deinit(&text);
    return ok;
}

/* Does the stored text equal its own formatted form? 1, 0, or negative: out of memory. */
static int canonical(const struct edit *e)
{
    struct buf formatted = BUF_MAX(e->text.len); /* longer is not equal */
    int rc = buf_reserve(&formatted, e->text.len) ? -ENOMEM : hujson_format(e->doc, &formatted);
    bool same = !rc && !e->added_lf && slice_eq(buf_slice(&formatted), buf_slice(&e->text));
    buf_deinit(&formatted);
    return rc < 0 ? rc : same;
}

/* The plan as a patch on the tree, then formatted. */
static bool patch_and_format(struct edit *e, struct buf *out)
{
    struct hujson_diag diag;
    struct buf patch = BUF_MAX(EDIT_TEXT_MAX);
    edit_patch_print(e->doc, &e->plan, &patch);
    bool ok = buf_ok(&patch) && !hujson_patch(e->doc, buf_slice(&patch), &diag) &&
              !hujson_format(e->doc, out);
    buf_deinit(&patch);
    return ok;
}

static enum policy_edit_result
carry_out(struct edit *e, struct buf *out, struct policy_diags *out_diags)
{
    if (!plan(e, buf_slice(&e->text))) {
        say_full(out_diags);
        return POLICY_REFUSED;
    }
    if (!e->plan.count) {
        return POLICY_UNCHANGED;
    }
    int as_formatted = canonical(e);
    if (as_formatted < 0 || !(as_formatted ? patch_and_format(e, out) : splice_all(e, out))) {
        say_full(out_diags);
        return POLICY_REFUSED;
    }
    if (!prove(e, buf_slice(out), out_diags)) {
        return POLICY_REFUSED;
    }
    return as_formatted ? POLICY_CHANGED : POLICY_SPLICED;
}

static enum policy_edit_result run(struct slice text,
                                   const struct edit_want *want,
                                   struct buf *out_text,
                                   struct policy_diags *out_diags)
{
    struct edit e = {.want = want, .text = BUF_MAX(EDIT_TEXT_MAX)};
    struct buf result = BUF_MAX(EDIT_TEXT_MAX);
    *out_diags = (struct policy_diags){NULL, 0, false};
    e.added_lf = text.n && text.p[text.n - 1] != '\n';
    buf_add(&e.text, text);
    buf_adds(&e.text, e.added_lf ? "\n" : "");
    enum policy_edit_result r = POLICY_REFUSED;
    if (load(buf_slice(&e.text), out_diags)) {
        r = carry_out(&e, &result, out_diags);
    }
    bool edited = r == POLICY_SPLICED || r == POLICY_CHANGED;
    buf_add(out_text, edited ? buf_slice(&result) : text);
    buf_deinit(&result);
    edit_deinit(&e);
    return r;
}

enum policy_edit_result policy_add_funnel_ports(struct slice text,
                                                struct slice selector,
                                                struct slice comment,
                                                const struct policy_ports *ports,
                                                struct buf *out_text,
                                                struct policy_diags *out_diags)
{
    bool members =
        slice_eq(selector, S("autogroup:member")) || slice_eq(selector, S("autogroup:members"));
    if (!comment.n && members) {
        comment = slice_str(policy_funnel_comment);
    }
    return run(text,
               &(struct edit_want){.what = WANT_FUNNEL,
                                   .subject = selector,
                                   .comment = comment,
                                   .items = ports->at,
                                   .item_count = ports->count},
               out_text, out_diags);
}

enum policy_edit_result policy_add_funnel(struct slice text,
                                          struct slice selector,
                                          struct slice comment,
                                          struct buf *out_text,
                                          struct policy_diags *out_diags)
{
    return policy_add_funnel_ports(text, selector, comment, &(struct policy_ports){NULL, 0},
                                   out_text, out_diags);
}

enum policy_edit_result policy_remove_funnel(struct slice text,
                                             struct slice selector,
                                             struct buf *out_text,
                                             struct policy_diags *out_diags)
{
    return run(text, &(struct edit_want){.what = WANT_NO_FUNNEL, .subject = selector}, out_text,
               out_diags);
}

enum policy_edit_result policy_add_to_group(struct slice text,
                                            struct slice group,
                                            struct slice login,
                                            struct buf *out_text,
                                            struct policy_diags *out_diags)
{
    return run(text,
               &(struct edit_want){
                   .what = WANT_IN_GROUP, .subject = group, .items = &login, .item_count = 1},
               out_text, out_diags);
}

enum policy_edit_result policy_set_tag_owners(struct slice text,
                                              struct slice tag,
                                              const struct slice *owners,
                                              size_t owner_count,
                                              struct buf *out_text,
                                              struct policy_diags *out_diags)
{
    return run(text,
               &(struct edit_want){
                   .what = WANT_OWNERS, .subject = tag, .items = owners, .item_count = owner_count},
               out_text, out_diags);
}
