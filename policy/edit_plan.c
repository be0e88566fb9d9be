/* From what is wanted to steps on the tree. An empty plan: it is so already. */
#include <stdio.h>

#include "lib/base/mem.h"
#include "policy/edit_priv.h"

#define PORTS_CAP "openfunnel.org/cap/funnel"

struct planner {
    struct edit_plan *plan;
    const struct hujson_doc *doc;
    const struct hujson_node *root;
    struct buf scratch; /* of the last string looked at */
    bool loose;         /* the result will not be plain JSON */
};

/* ---- the plan ---- */

void edit_plan_deinit(struct edit_plan *plan)
{
    arena_free(plan->arena);
    mem_free(plan->steps);
    *plan = (struct edit_plan){.arena = NULL};
}

static void add_step(struct edit_plan *plan, const struct edit_step *step)
{
    if (plan->count == plan->room) {
        size_t room = plan->room ? plan->room * 4 : 16;
        struct edit_step *more = room / 4 > EDIT_STEPS_MAX ? NULL : mem_try(room * sizeof *more);
        if (!more) {
            plan->failed = true;
            return;
        }
        if (plan->count) {
            memcpy(more, plan->steps, plan->count * sizeof *more);
        }
        mem_free(plan->steps);
        plan->steps = more;
        plan->room = room;
    }
    plan->steps[plan->count++] = *step;
}

/* The text as old as the plan; the buf is used up. */
static struct slice keep(struct edit_plan *plan, struct buf *text)
{
    char *copy = buf_ok(text) ? arena_strdup(plan->arena, buf_slice(text)) : NULL;
    struct slice kept = copy ? slice_of(copy, text->len) : S("");
    plan->failed = plan->failed || !copy;
    buf_deinit(text);
    return kept;
}

/* ---- reading the tree ---- */

static struct slice string_of(struct planner *p, const struct hujson_node *n)
{
    struct slice s = S("");
    return n && hujson_string_slice(p->doc, n, &p->scratch, &s) ? s : S("");
}

static const struct hujson_node *
field(const struct planner *p, const struct hujson_node *obj, const char *name, size_t *out_index)
{
    *out_index = 0;
    return hujson_kind(obj) == HUJSON_OBJECT
               ? hujson_find_nocase(p->doc, obj, slice_str(name), out_index)
               : NULL;
}

static size_t count_of(const struct hujson_node *n)
{
    return n && (hujson_kind(n) == HUJSON_ARRAY || hujson_kind(n) == HUJSON_OBJECT)
               ? hujson_count(n)
               : 0;
}

static bool is_member_group(struct slice selector)
{
    return slice_eq(selector, S("autogroup:member")) || slice_eq(selector, S("autogroup:members"));
}

/* Do both name the same? Logins are compared without regard to case (policy.md 2.3). */
static bool same_selector(struct slice a, struct slice b)
{
    a = slice_trim(a);
    b = slice_trim(b);
    return slice_eq(a, b) || (is_member_group(a) && is_member_group(b)) ||
           (slice_find(a, '@') >= 0 && slice_eq_nocase(a, b));
}

/* ---- writing values ---- */

static struct slice quoted(struct edit_plan *plan, struct slice s)
{
    struct buf out = BUF_MAX(EDIT_TEXT_MAX);
    edit_put_quoted(&out, s);
    return keep(plan, &out);
}

/* ["a", "b"] */
static struct slice list_text(struct edit_plan *plan, const struct slice *items, size_t count)
{
    struct buf out = BUF_MAX(EDIT_TEXT_MAX);
    buf_addc(&out, '[');
    for (size_t i = 0; i < count; i++) {
        buf_adds(&out, i ? ", " : "");
        edit_put_quoted(&out, items[i]);
    }
    buf_addc(&out, ']');
    return keep(plan, &out);
}

/* `open`, the inner text on lines of its own, one level deeper, `close`. */
static struct slice wrap(struct planner *p, char open, struct slice inner, char close)
{
    struct buf out = BUF_MAX(EDIT_TEXT_MAX);
    struct slice line;
    buf_addc(&out, open);
    while (slice_split(&inner, '\n', &line)) {
        buf_adds(&out, "\n\t");
        buf_add(&out, line);
    }
    buf_addf(&out, "%s\n%c", p->loose ? "," : "", close);
    return keep(p->plan, &out);
}

/* "key":<gap>value, with the comma that belongs between or behind members. */
static void
put_field(struct planner *p, struct buf *out, const char *key, struct slice value, bool last)
{
    buf_addf(out, "\n\t%s", key);
    buf_add(out, value);
    buf_adds(out, last && !p->loose ? "" : ",");
}

/* An entry that gives funnel; ports: the text of its app object, or empty. */
static struct slice
entry_text(struct planner *p, struct slice comment, struct slice targets, struct slice ports)
{
    struct buf out = BUF_MAX(EDIT_TEXT_MAX);
    struct slice line;
    buf_addc(&out, '{');
    while (comment.n && slice_split(&comment, '\n', &line)) {
        buf_adds(&out, "\n\t// ");
        buf_add(&out, line);
    }
    put_field(p, &out, "\"target\": ", targets, false);
    put_field(p, &out, "\"attr\":   ", S("[\"funnel\"]"), !ports.n);
    if (ports.n) {
        put_field(p, &out, "\"app\":    ", ports, true);
    }
    buf_adds(&out, "\n}");
    return keep(p->plan, &out);
}

/* ---- adding to a section that may not be there ---- */

/* A member or element behind what the section holds; where it is absent or null, the section. */
static void
add_to_section(struct planner *p, const char *section, struct slice name, struct slice value)
{
    size_t index;
    const struct hujson_node *n = field(p, p->root, section, &index);
    struct edit_step step = {
        .verb = EDIT_ADD, .index = EDIT_LAST, .name = name, .value = value, .loose = p->loose};
    if (n && hujson_kind(n) != HUJSON_NULL) {
        step.path[0] = index;
        step.depth = 1;
        add_step(p->plan, &step);
        return;
    }
    struct buf inner = BUF_MAX(EDIT_TEXT_MAX);
    if (name.n) {
        edit_put_quoted(&inner, name);
        buf_adds(&inner, ": ");
    }
    buf_add(&inner, value);
    step.value =
        name.n ? wrap(p, '{', buf_slice(&inner), '}') : wrap(p, '[', buf_slice(&inner), ']');
    step.name = slice_str(section);
    step.verb = n ? EDIT_REPLACE : EDIT_ADD;
    step.index = n ? index : EDIT_LAST;
    add_step(p->plan, &step);
    buf_deinit(&inner);
}

/* ---- funnel ---- */

/* An entry of nodeAttrs as far as it matters here. */
struct entry {
    const struct hujson_node *node, *targets, *attrs, *app;
    size_t index, target_at, attr_at, app_at; /* where they stand in it */
    size_t section;                           /* where nodeAttrs stands in the root */
    size_t funnel, named; /* attrs that are "funnel"; targets that name the selector */
    bool wide;            /* a target is "*" */
    bool ports;           /* app has the capability that only names funnel's ports */
};

static bool read_entry(struct planner *p, struct slice selector, size_t i, struct entry *e)
{
    size_t section;
    const struct hujson_node *list = field(p, p->root, "nodeAttrs", &section);
    if (i >= count_of(list)) {
        return false;
    }
    *e = (struct entry){.node = hujson_at(list, i), .index = i, .section = section};
    e->targets = field(p, e->node, "target", &e->target_at);
    e->attrs = field(p, e->node, "attr", &e->attr_at);
    e->app = field(p, e->node, "app", &e->app_at);
    for (size_t k = 0; k < count_of(e->attrs); k++) {
        e->funnel += slice_eq(string_of(p, hujson_at(e->attrs, k)), S("funnel"));
    }
    for (size_t k = 0; k < count_of(e->targets); k++) {
        struct slice target = string_of(p, hujson_at(e->targets, k));
        e->named += same_selector(target, selector);
        e->wide = e->wide || slice_eq(slice_trim(target), S("*"));
    }
    e->ports = count_of(e->app) && hujson_find(p->doc, e->app, S(PORTS_CAP));
    return true;
}

/* Both spellings in one file are refused elsewhere: use the one that stands there (1.11). Strings
 * alone count, so that comments are blanked first. */
static struct slice spelling(const struct planner *p, struct slice selector)
{
    struct slice plural = S("autogroup:members");
    struct buf plain = BUF_MAX(hujson_text(p->doc).n);
    bool found = false;
    hujson_standardize(p->doc, &plain);
    struct slice text = buf_slice(&plain);
    for (size_t i = 0; is_member_group(selector) && !found && i + plural.n < text.n; i++) {
        found = memcmp(text.p + i, plural.p, plural.n) == 0;
    }
    buf_deinit(&plain);
    return found ? plural : selector;
}

/* Does the entry name exactly these ports? */
static bool names_ports(struct planner *p, const struct entry *e, const struct edit_want *want)
{
    const struct hujson_node *values = e->ports ? hujson_find(p->doc, e->app, S(PORTS_CAP)) : NULL;
    size_t named = 0, known = 0;
    for (size_t i = 0; i < count_of(values); i++) {
        const struct hujson_node *list = hujson_find(p->doc, hujson_at(values, i), S("ports"));
        for (size_t k = 0; k < count_of(list); k++, named++) {
            struct slice port = string_of(p, hujson_at(list, k));
            for (size_t m = 0; m < want->item_count; m++) {
                known += slice_eq(port, want->items[m]);
            }
        }
    }
    return named == want->item_count && known == named;
}

/* Without ports any entry will do: whoever limited it meant to. */
static bool gives_wanted(struct planner *p, const struct entry *e, const struct edit_want *want)
{
    return e->funnel && (e->named || e->wide) && (!want->item_count || names_ports(p, e, want));
}

static void want_funnel(struct planner *p, const struct edit_want *want)
{
    struct entry e;
    for (size_t i = 0; read_entry(p, want->subject, i, &e); i++) {
        if (gives_wanted(p, &e, want)) {
            return;
        }
    }
    struct slice selector = spelling(p, want->subject), app = S("");
    if (want->item_count) {
        struct buf ports = BUF_MAX(EDIT_TEXT_MAX);
        buf_adds(&ports, "{\"" PORTS_CAP "\": [{\"ports\": ");
        buf_add(&ports, list_text(p->plan, want->items, want->item_count));
        buf_adds(&ports, "}]}");
        app = keep(p->plan, &ports);
    }
    p->loose = p->loose || want->comment.n;
    add_to_section(p, "nodeAttrs", S(""),
                   entry_text(p, want->comment, list_text(p->plan, &selector, 1), app));
}

/* ---- no funnel ---- */

static struct edit_step step_in(const struct entry *e, enum edit_verb verb, size_t index)
{
    return (struct edit_step){
        .verb = verb, .path = {e->section, e->index}, .depth = 2, .index = index};
}

/* The strings "funnel", from the last on; the whole field where it holds nothing else. */
static void drop_strings(struct planner *p, const struct entry *e)
{
    struct edit_step step = step_in(e, EDIT_REMOVE, e->attr_at);
    if (e->funnel == count_of(e->attrs)) {
        add_step(p->plan, &step);
        return;
    }
    step.path[step.depth++] = e->attr_at;
    for (step.index = count_of(e->attrs); step.index--;) {
        if (slice_eq(string_of(p, hujson_at(e->attrs, step.index)), S("funnel"))) {
            add_step(p->plan, &step);
        }
    }
}

/* Takes funnel away and leaves the rest; an app that only named its ports goes too. What stands
 * further down goes first. */
static void drop_attr(struct planner *p, const struct entry *e)
{
    bool app_goes = e->ports && count_of(e->app) == 1, app_last = e->app_at > e->attr_at;
    struct edit_step app = step_in(e, EDIT_REMOVE, e->app_at);
    if (app_goes && app_last) {
        add_step(p->plan, &app);
    }
    drop_strings(p, e);
    if (app_goes && !app_last) {
        add_step(p->plan, &app);
    }
}

static bool has_other_effect(const struct planner *p, const struct entry *e)
{
    size_t at;
    return count_of(e->attrs) > e->funnel || count_of(e->app) > (e->ports ? 1u : 0u) ||
           count_of(field(p, e->node, "ipPool", &at));
}

/* An entry of its own for the targets that keep funnel, where the old one goes on without it. */
static void split_off(struct planner *p, const struct entry *e, struct slice selector)
{
    struct buf targets = BUF_MAX(EDIT_TEXT_MAX), ports = BUF_MAX(EDIT_TEXT_MAX);
    buf_addc(&targets, '[');
    for (size_t k = 0; k < count_of(e->targets); k++) {
        if (!same_selector(string_of(p, hujson_at(e->targets, k)), selector)) {
            buf_adds(&targets, targets.len > 1 ? ", " : "");
            buf_add(&targets, hujson_literal(p->doc, hujson_at(e->targets, k)));
        }
    }
    buf_addc(&targets, ']');
    if (e->ports) {
        buf_adds(&ports, "{\"" PORTS_CAP "\": ");
        buf_add(&ports, hujson_literal(p->doc, hujson_find(p->doc, e->app, S(PORTS_CAP))));
        buf_adds(&ports, "}");
    }
    struct slice app = ports.len ? keep(p->plan, &ports) : S("");
    struct edit_step step = {
        .verb = EDIT_ADD, .path = {e->section}, .depth = 1, .index = e->index, .loose = p->loose};
    step.value = entry_text(p, S(""), keep(p->plan, &targets), app);
    add_step(p->plan, &step);
}

static void drop_targets(struct planner *p, const struct entry *e, struct slice selector)
{
    for (size_t k = count_of(e->targets); k--;) {
        if (same_selector(string_of(p, hujson_at(e->targets, k)), selector)) {
            struct edit_step step = step_in(e, EDIT_REMOVE, k);
            step.path[step.depth++] = e->target_at;
            add_step(p->plan, &step);
        }
    }
}

static void want_no_funnel(struct planner *p, const struct edit_want *want)
{
    size_t section;
    struct entry e;
    for (size_t i = count_of(field(p, p->root, "nodeAttrs", &section));
         i-- && read_entry(p, want->subject, i, &e);) {
        bool others = count_of(e.targets) > e.named;
        if (!e.funnel || !e.named) {
            continue;
        }
        if (!has_other_effect(p, &e) && others) {
            drop_targets(p, &e, want->subject);
        } else if (!has_other_effect(p, &e)) {
            add_step(p->plan, &(struct edit_step){
                                  .verb = EDIT_REMOVE, .path = {section}, .depth = 1, .index = i});
        } else {
            if (others) {
                split_off(p, &e, want->subject);
            }
            drop_attr(p, &e);
        }
    }
}

/* ---- groups and tags ---- */

static bool listed(struct planner *p, const struct hujson_node *list, struct slice item)
{
    for (size_t k = 0; k < count_of(list); k++) {
        if (same_selector(string_of(p, hujson_at(list, k)), item)) {
            return true;
        }
    }
    return false;
}

static bool wanted(const struct edit_want *want, struct slice item)
{
    for (size_t k = 0; k < want->item_count; k++) {
        if (same_selector(want->items[k], item)) {
            return true;
        }
    }
    return false;
}

/* The array under section/name; NULL where it is not there. */
static const struct hujson_node *
find_list(struct planner *p, const char *section, struct slice name, struct edit_step *out_step)
{
    size_t at;
    const struct hujson_node *n = field(p, p->root, section, &at);
    for (size_t i = 0; n && hujson_kind(n) == HUJSON_OBJECT && i < hujson_count(n); i++) {
        struct slice here;
        if (hujson_name_slice(p->doc, n, i, &p->scratch, &here) && slice_eq(here, name)) {
            *out_step = (struct edit_step){.path = {at, i}, .depth = 2, .loose = p->loose};
            return hujson_at(n, i);
        }
    }
    return NULL;
}

/* Appends what is missing, then takes away what is too much, from the end: places stay valid. */
static void
want_list(struct planner *p, const char *section, const struct edit_want *want, bool exactly)
{
    struct edit_step step;
    const struct hujson_node *list = find_list(p, section, want->subject, &step);
    if (!list) {
        add_to_section(p, section, want->subject,
                       list_text(p->plan, want->items, want->item_count));
        return;
    }
    for (size_t k = 0; k < want->item_count; k++) {
        if (!listed(p, list, want->items[k])) {
            step.verb = EDIT_ADD;
            step.index = EDIT_LAST;
            step.value = quoted(p->plan, want->items[k]);
            add_step(p->plan, &step);
        }
    }
    for (size_t k = count_of(list); exactly && k--;) {
        if (!wanted(want, string_of(p, hujson_at(list, k)))) {
            step.verb = EDIT_REMOVE;
            step.index = k;
            add_step(p->plan, &step);
        }
    }
}

void edit_plan_make(struct edit_plan *plan,
                    const struct hujson_doc *doc,
                    const struct edit_want *want)
{
    *plan = (struct edit_plan){.arena = arena_new(EDIT_TEXT_MAX * 4)};
    struct planner p = {.plan = plan,
                        .doc = doc,
                        .root = hujson_root(doc),
                        .scratch = BUF_MAX(EDIT_TEXT_MAX),
                        .loose = !hujson_is_standard(doc)};
    switch (want->what) {
    case WANT_FUNNEL:
        want_funnel(&p, want);
        break;
    case WANT_NO_FUNNEL:
        want_no_funnel(&p, want);
        break;
    case WANT_IN_GROUP:
        want_list(&p, "groups", want, false);
        break;
    case WANT_OWNERS:
        want_list(&p, "tagOwners", want, true);
        break;
    }
    buf_deinit(&p.scratch);
}
