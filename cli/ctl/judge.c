/* Commands that judge a policy on files: check, eval, explain. */
#include <errno.h>
#include <string.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/report.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "policy/check.h"
#include "policy/explain.h"

#define RESULT_MAX (256 * MIB) /* every capability of every node of a large tailnet */

/* What a command looks at: the policy's text, the tailnet, and what became of both. */
struct subject {
    struct ctl *c;
    struct buf text;
    struct ctl_source src;
    struct policy_facts *facts; /* NULL without --facts */
    struct policy_diags diags;
    struct policy *policy;
    struct policy_snapshot *snapshot;
};

static void subject_deinit(struct subject *s)
{
    policy_snapshot_unref(s->snapshot);
    policy_unref(s->policy);
    policy_diags_free(&s->diags);
    policy_facts_unref(s->facts);
    buf_deinit(&s->text);
}

static int no_memory(const struct ctl *c, int rc)
{
    return ctl_complain(c, CTL_REFUSED, "cannot judge the policy", err_words(rc),
                        "give it more memory");
}

static int read_facts(struct ctl *c, struct policy_facts **out_facts)
{
    char why[256];
    struct buf text = BUF_MAX(0);
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

/* Files in; 0, or an exit code after complaining. */
static int subject_read(struct ctl *c, struct subject *out)
{
    *out = (struct subject){.c = c};
    int rc = ctl_read_policy(c, c->args.words[0], &out->text);
    out->src = (struct ctl_source){c->args.words[0], buf_slice(&out->text)};
    return rc || !c->args.facts ? rc : read_facts(c, &out->facts);
}

/* The errors of a policy that a command cannot go on with: on stdout with --json, else on stderr.
 */
static int refuse(const struct subject *s)
{
    if (!s->c->args.json) {
        ctl_report_stderr(s->c, &s->src, &s->diags);
        return CTL_REFUSED;
    }
    AUTO(js_freep) struct js *j = ctl_report_json(&s->diags);
    int rc = ctl_put_json(s->c, j);
    return rc ? rc : CTL_REFUSED;
}

/* ---- check ---- */

static int verdict(const struct ctl *c, const struct policy_diags *diags)
{
    bool bad = ctl_errors(diags) || (c->args.strict && diags->count);
    return bad ? CTL_REFUSED : CTL_OK;
}

/* A policy that was judged without a tailnet may still fail: said where it has tests. */
static void say_untested(const struct subject *s)
{
    static const char *const sections[] = {"tests", "sshTests", "nodeAttrTests"};
    struct hujson_diag diag;
    AUTO(hujson_freep) struct hujson_doc *doc = NULL;
    bool any = false;
    if (s->facts || !s->policy || hujson_parse(s->src.text, s->src.text.n, &diag, &doc)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        const struct hujson_node *n =
            hujson_find_nocase(doc, hujson_root(doc), slice_str(sections[i]), NULL);
        any = any || (n && hujson_kind(n) == HUJSON_ARRAY && hujson_count(n));
    }
    if (any) {
        ctl_note(s->c, "its tests were not run: they need --facts");
    }
}

static int put_check(const struct subject *s)
{
    say_untested(s);
    if (s->c->args.json) {
        AUTO(js_freep) struct js *j = ctl_report_json(&s->diags);
        int rc = ctl_put_json(s->c, j);
        return rc ? rc : verdict(s->c, &s->diags);
    }
    ctl_report_text(s->c, &s->src, &s->diags);
    return verdict(s->c, &s->diags);
}

int ctl_check(struct ctl *c)
{
    struct subject s;
    int rc = subject_read(c, &s);
    if (!rc) {
        rc = policy_check(s.src.text, s.facts, &s.diags, &s.policy, &s.snapshot);
        rc = rc < 0 ? no_memory(c, rc) : put_check(&s);
    }
    subject_deinit(&s);
    return rc;
}

/* ---- eval ---- */

static int evaluate(struct subject *s)
{
    int rc = policy_load(s->src.text, s->facts, &s->diags, &s->policy);
    if (rc > 0) {
        return refuse(s);
    }
    rc = rc ? rc : policy_evaluate(s->policy, s->facts, &s->snapshot);
    return rc ? no_memory(s->c, rc) : 0;
}

static void put_quoted(struct buf *out, struct slice s)
{
    AUTO(js_freep) struct js *j = js_new_str(s);
    js_write(j, JS_COMPACT, out);
}

static bool has_value(const struct policy_cap *cap)
{
    return !slice_eq(cap->json, S("null"));
}

static void put_names(struct buf *out, const struct policy_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        buf_adds(out, i ? ", " : "");
        put_quoted(out, set->caps[i].name);
    }
}

/* Values are handed on as they stand in the policy: no number is rounded on the way. */
static void put_values(struct buf *out, const struct policy_set *set)
{
    const char *gap = "";
    for (size_t i = 0; i < set->count; i++) {
        if (has_value(&set->caps[i])) {
            buf_adds(out, gap);
            put_quoted(out, set->caps[i].name);
            buf_adds(out, ": ");
            buf_add(out, set->caps[i].json);
            gap = ", ";
        }
    }
}

/* "name": { "node": <open>what put writes<close>, … } for the nodes where it writes anything. */
static void put_section(const struct subject *s,
                        struct buf *out,
                        const char *name,
                        const char brackets[2],
                        void (*put)(struct buf *, const struct policy_set *))
{
    const char *gap = "";
    buf_addf(out, "  \"%s\": {", name);
    for (size_t i = 0; i < s->facts->device_count; i++) {
        struct buf inner = BUF_MAX(RESULT_MAX);
        put(&inner, policy_snapshot_set(s->snapshot, i));
        if (inner.len) {
            buf_addf(out, "%s\n    ", gap);
            put_quoted(out, s->facts->devices[i].name);
            buf_addf(out, ": %c", brackets[0]);
            buf_add(out, buf_slice(&inner));
            buf_addc(out, brackets[1]);
            gap = ",";
        }
        buf_deinit(&inner);
    }
    buf_adds(out, *gap ? "\n  }" : "}");
}

static void put_eval_json(const struct subject *s, struct buf *out)
{
    buf_adds(out, "{\n");
    put_section(s, out, "caps", "[]", put_names);
    buf_adds(out, ",\n");
    put_section(s, out, "values", "{}", put_values);
    buf_adds(out, "\n}\n");
}

/* ---- eval, for people ---- */

static struct slice owner_of(const struct subject *s, size_t device, struct buf *scratch)
{
    const struct policy_device *d = &s->facts->devices[device];
    if (d->external) {
        return S("shared in");
    }
    if (d->user != POLICY_NO_USER) {
        return s->facts->users[d->user].login;
    }
    buf_clear(scratch);
    for (size_t i = 0; i < d->tag_count; i++) {
        buf_adds(scratch, i ? " " : "");
        buf_add(scratch, d->tags[i]);
    }
    return buf_slice(scratch);
}

static void put_cell(const struct ctl *c, struct slice text, size_t width)
{
    ctl_put_clean(stdout, c->utf8, text);
    printf("%*s", text.n < width ? (int)(width - text.n) : 0, "");
}

/* Each capability as it is called, funnel's ports beside it. */
static void put_caps(const struct ctl *c, const struct policy_set *set)
{
    const char *gap = "";
    for (size_t i = 0; i < set->count; i++) {
        struct slice name = set->caps[i].name;
        if (slice_starts(name, S(POLICY_PORTS_PREFIX))) {
            printf(" (");
            ctl_put_clean(stdout, c->utf8, slice_skip(name, strlen(POLICY_PORTS_PREFIX)));
            fputs(")", stdout);
            continue;
        }
        fputs(gap, stdout);
        ctl_put_clean(stdout, c->utf8, name);
        if (has_value(&set->caps[i])) {
            fputs(" = ", stdout);
            ctl_put_clean(stdout, c->utf8, set->caps[i].json);
        }
        gap = ", ";
    }
    puts(set->count ? "" : "-");
}

static void put_table(const struct subject *s)
{
    const struct policy_facts *f = s->facts;
    struct buf scratch = BUF_MAX(64 * KIB);
    size_t name_width = 4, owner_width = 5, funnel = 0;
    for (size_t i = 0; i < f->device_count; i++) {
        size_t owner = owner_of(s, i, &scratch).n;
        name_width = f->devices[i].name.n > name_width ? f->devices[i].name.n : name_width;
        owner_width = owner > owner_width ? owner : owner_width;
    }
    printf("%s%-*s  %-*s  CAPABILITIES%s\n", ctl_paint(s->c->colour_out, "\033[1m"),
           (int)name_width, "NODE", (int)owner_width, "OWNER",
           ctl_paint(s->c->colour_out, "\033[0m"));
    for (size_t i = 0; i < f->device_count; i++) {
        const struct policy_set *set = policy_snapshot_set(s->snapshot, i);
        put_cell(s->c, f->devices[i].name, name_width + 2);
        put_cell(s->c, owner_of(s, i, &scratch), owner_width + 2);
        put_caps(s->c, set);
        funnel += set->funnel;
    }
    (void)fflush(stdout);
    ctl_note(s->c, "%zu of %zu nodes may use Funnel", funnel, f->device_count);
    buf_deinit(&scratch);
}

static int need_facts(const struct ctl *c)
{
    return c->args.facts
               ? 0
               : ctl_complain(
                     c, CTL_USAGE, "whose devices?",
                     "what a policy gives depends on users and nodes",
                     "--facts tailnet.json; the shape is in the manual page: funnelctl man");
}

int ctl_eval(struct ctl *c)
{
    struct subject s = {.c = c};
    struct buf out = BUF_MAX(RESULT_MAX);
    int rc = need_facts(c);
    rc = rc ? rc : subject_read(c, &s);
    rc = rc ? rc : evaluate(&s);
    if (!rc && c->args.json) {
        put_eval_json(&s, &out);
        rc = buf_ok(&out) ? ctl_put(c, buf_slice(&out)) : no_memory(c, -ENOMEM);
    } else if (!rc) {
        ctl_report_stderr(c, &s.src, &s.diags);
        put_table(&s);
    }
    buf_deinit(&out);
    subject_deinit(&s);
    return rc;
}

/* ---- explain ---- */

static int unknown_node(const struct subject *s, const char *node)
{
    const char *names[512], *near;
    char *copies[512];
    char fix[200];
    size_t count = 0;
    for (; count < s->facts->device_count && count < ARRAY_LEN(names); count++) {
        names[count] = copies[count] = slice_dup(s->facts->devices[count].name);
    }
    near = slice_nearest(slice_str(node), names, count);
    text_cut(fix, sizeof fix, near ? "did you mean %s?" : "funnelctl policy eval lists the nodes%s",
             near ? near : "");
    while (count) {
        mem_free(copies[--count]);
    }
    return ctl_complain(s->c, CTL_REFUSED, "the facts have no such node", node, fix);
}

static struct js *reason_json(const struct policy_reason *r)
{
    struct js *j = js_object();
    if (r->entry != POLICY_NO_ENTRY) {
        js_set_int(j, "entry", (int64_t)r->entry);
    }
    js_set_int(j, "line", r->line);
    js_set_int(j, "column", r->column);
    js_set_cstr(j, "pointer", r->pointer);
    js_set_cstr(j, "selector", r->selector);
    js_set_cstr(j, "text", r->text);
    return j;
}

static int put_explanation_json(const struct subject *s, const struct policy_explanation *e)
{
    AUTO(js_freep) struct js *j = js_object();
    struct js *reasons = js_array();
    js_set_cstr(j, "node", s->c->args.words[1]);
    js_set_cstr(j, "attribute", s->c->args.words[2]);
    js_set_bool(j, "has", e->has);
    js_set_cstr(j, "summary", e->summary);
    js_set_cstr(j, "next", e->next);
    for (size_t i = 0; i < e->count; i++) {
        js_push(reasons, reason_json(&e->reasons[i]));
    }
    js_set(j, "reasons", reasons);
    return ctl_put_json(s->c, j);
}

static int put_explanation(const struct subject *s, const struct policy_explanation *e)
{
    const struct ctl *c = s->c;
    if (c->args.json) {
        return put_explanation_json(s, e);
    }
    const char *sign = c->utf8 ? (e->has ? "✓" : "✗") : (e->has ? "has" : "lacks");
    printf("%s%s%s ", ctl_paint(c->colour_out, e->has ? "\033[32m" : "\033[31m"), sign,
           ctl_paint(c->colour_out, "\033[0m"));
    ctl_put_clean(stdout, c->utf8, slice_str(e->summary));
    putchar('\n');
    for (size_t i = 0; i < e->count; i++) {
        const struct policy_reason *r = &e->reasons[i];
        printf("%s:%d:%d: ", ctl_name(s->src.path), r->line, r->column);
        ctl_put_clean(stdout, c->utf8, slice_str(r->text));
        putchar('\n');
        ctl_put_excerpt(c, &s->src, r->line, r->column);
    }
    return CTL_OK;
}

int ctl_explain(struct ctl *c)
{
    struct subject s = {.c = c};
    struct policy_explanation e;
    int rc = need_facts(c);
    rc = rc ? rc : subject_read(c, &s);
    rc = rc ? rc : evaluate(&s);
    const struct policy_device *d =
        rc ? NULL : policy_facts_find(s.facts, slice_str(c->args.words[1]));
    if (!rc && !d) {
        rc = unknown_node(&s, c->args.words[1]);
    } else if (!rc) {
        policy_explain(s.snapshot, (size_t)(d - s.facts->devices), slice_str(c->args.words[2]), &e);
        rc = put_explanation(&s, &e);
    }
    subject_deinit(&s);
    return rc;
}
