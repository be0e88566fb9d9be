/*
 * Loading: syntax, names, then nodeAttrs. Every complaint is collected with
 * its place, so that a person mends a file in one round. What this version
 * does not evaluate is kept and said to be so; it is never silently obeyed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "policy/policy_priv.h"

enum {
    DIAGS_MAX = 50,      /* more do not help a person */
    ENTRIES_MAX = 10000, /* policy.md 5.4: hostile sizes */
    STRING_MAX = 1024,
};

struct loader {
    struct policy *p;
    const struct hujson_doc *doc;
    struct policy_diags *diags;
    size_t errors;
    const struct hujson_node *tag_owners;
    bool no_memory;
};

/* ---- diagnostics ---- */

/* A JSON Pointer in pieces: index when name is empty. */
struct place {
    char pointer[160];
    size_t offset;
};

static struct place inside(const struct place *at, struct slice name, size_t offset)
{
    struct place p = {.offset = offset};
    size_t n = strlen(at->pointer);
    memcpy(p.pointer, at->pointer, n);
    if (n + 1 < sizeof p.pointer) {
        p.pointer[n++] = '/';
    }
    for (size_t i = 0; i < name.n && n + 3 < sizeof p.pointer; i++) {
        char c = name.p[i];
        if (c == '~' || c == '/') {
            p.pointer[n++] = '~';
            c = c == '~' ? '0' : '1';
        }
        p.pointer[n++] = c;
    }
    return p;
}

static struct place inside_index(const struct place *at, size_t index, size_t offset)
{
    char text[24];
    snprintf(text, sizeof text, "%zu", index);
    return inside(at, slice_str(text), offset);
}

static struct policy_diag *new_diag(struct policy_diags *diags)
{
    if (diags->count == DIAGS_MAX) {
        diags->truncated = true;
        return NULL;
    }
    if (!diags->items) {
        diags->items = mem_new_array(DIAGS_MAX, sizeof *diags->items);
    }
    return &diags->items[diags->count++];
}

static struct policy_diag *say(struct loader *l,
                               enum policy_severity severity,
                               const char *code,
                               const struct place *at,
                               const char *fmt,
                               ...) PRINTF_LIKE(5, 6);

static struct policy_diag *say(struct loader *l,
                               enum policy_severity severity,
                               const char *code,
                               const struct place *at,
                               const char *fmt,
                               ...)
{
    va_list ap;
    l->errors += severity == POLICY_ERROR;
    struct policy_diag *d = new_diag(l->diags);
    if (!d) {
        return NULL;
    }
    d->severity = severity;
    d->code = code;
    memcpy(d->pointer, at->pointer, sizeof d->pointer);
    hujson_position(l->doc, at->offset, &d->line, &d->column);
    va_start(ap, fmt);
    (void)vsnprintf(d->message, sizeof d->message, fmt, ap);
    va_end(ap);
    return d;
}

static void hint(struct policy_diag *d, const char *before, const char *word)
{
    if (d && word) {
        snprintf(d->hint, sizeof d->hint, "%s%s", before, word);
    }
}

void policy_diag_syntax(struct policy_diags *diags, const struct hujson_diag *d)
{
    struct policy_diag *out = new_diag(diags);
    if (out) {
        *out = (struct policy_diag){
            .severity = POLICY_ERROR, .code = "syntax", .line = d->line, .column = d->column};
        snprintf(out->message, sizeof out->message, "%s", d->text);
        snprintf(out->hint, sizeof out->hint, "%s", d->hint ? d->hint : "");
    }
}

void policy_diags_free(struct policy_diags *d)
{
    mem_free(d->items);
    *d = (struct policy_diags){NULL, 0, false};
}

static int by_position(const void *a, const void *b)
{
    const struct policy_diag *x = a, *y = b;
    return x->line != y->line ? (x->line > y->line) - (x->line < y->line)
                              : (x->column > y->column) - (x->column < y->column);
}

/* ---- strings ---- */

static struct slice keep(struct loader *l, struct slice s)
{
    char *copy = arena_strdup(l->p->arena, s);
    if (!copy) {
        l->no_memory = true;
        return S("");
    }
    return slice_of(copy, s.n);
}

/* A decoded string, or the empty slice after a diagnostic. */
static struct slice
get_string(struct loader *l, const struct hujson_node *n, const struct place *at)
{
    struct buf text = BUF_MAX(STRING_MAX);
    struct slice kept = S("");
    if (hujson_kind(n) != HUJSON_STRING) {
        say(l, POLICY_ERROR, "type", at, "a string must stand here");
    } else if (!hujson_string(l->doc, n, &text)) {
        say(l, POLICY_ERROR, "bad-string", at,
            "this string holds NUL, half a character or more than %d bytes", STRING_MAX);
    } else {
        kept = keep(l, buf_slice(&text));
    }
    buf_deinit(&text);
    return kept;
}

/* ---- names: every object of the file ---- */

static const char *const sections[] = {
    "groups",        "tagOwners",     "hosts",
    "ipsets",        "postures",      "defaultSrcPosture",
    "acls",          "grants",        "nodeAttrs",
    "autoApprovers", "ssh",           "tests",
    "sshTests",      "derpMap",       "attrConfig",
    "disableIPv4",   "OneCGNATRoute", "randomizeClientPort",
    "nodeAttrTests",
};

static const char *nearest_of(struct slice name, const char *const *names, size_t count)
{
    return slice_nearest(name, names, count);
}

static const char *known_name(struct slice name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq_nocase(name, slice_str(names[i]))) {
            return names[i];
        }
    }
    return NULL;
}

/* Lower-cased for the duplicate map where names match without regard to case. */
static void fold(struct buf *name)
{
    char *p = buf_tail(name) - name->len;
    for (size_t i = 0; i < name->len; i++) {
        p[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] - 'A' + 'a') : p[i];
    }
}

struct names {
    struct map *seen;
    struct buf text;
};

/* Refuses names that do not decode and names that stand twice. */
static bool check_name(struct loader *l,
                       const struct hujson_node *obj,
                       size_t i,
                       const struct place *at,
                       bool nocase,
                       struct names *names)
{
    buf_clear(&names->text);
    struct place here = *at;
    here.offset = hujson_name_offset(obj, i);
    if (!hujson_name(l->doc, obj, i, &names->text)) {
        say(l, POLICY_ERROR, "bad-string", &here,
            "this name holds NUL, half a character or more than %d bytes", STRING_MAX);
        return false;
    }
    struct slice spelled = keep(l, buf_slice(&names->text));
    if (nocase && names->text.len) {
        fold(&names->text);
    }
    if (map_set(names->seen, buf_slice(&names->text), names)) {
        here = inside(at, spelled, here.offset);
        say(l, POLICY_ERROR, "duplicate-name", &here, "\"" SLICE_FMT "\" stands here twice%s",
            SLICE_ARG(spelled), nocase ? " (names match without regard to case)" : "");
        return false;
    }
    buf_clear(&names->text);
    buf_add(&names->text, spelled);
    return true;
}

static void
check_object(struct loader *l, const struct hujson_node *obj, const struct place *at, bool nocase)
{
    struct names names = {.seen = map_new(), .text = BUF_MAX(STRING_MAX)};
    for (size_t i = 0; i < hujson_count(obj); i++) {
        err_ignore(check_name(l, obj, i, at, nocase, &names));
    }
    map_free(names.seen);
    buf_deinit(&names.text);
}

/* Sections that are not evaluated: still no duplicates and no undecodable names (depth is bounded
 * by the parser). */
static void
check_tree(struct loader *l, const struct hujson_node *n, const struct place *at, int depth)
{
    if (depth > HUJSON_DEPTH_MAX ||
        (hujson_kind(n) != HUJSON_OBJECT && hujson_kind(n) != HUJSON_ARRAY)) {
        return;
    }
    bool object = hujson_kind(n) == HUJSON_OBJECT;
    if (object) {
        check_object(l, n, at, false);
    }
    struct buf name = BUF_MAX(STRING_MAX);
    for (size_t i = 0; i < hujson_count(n); i++) {
        const struct hujson_node *v = hujson_at(n, i);
        buf_clear(&name);
        struct place here = object && hujson_name(l->doc, n, i, &name)
                                ? inside(at, buf_slice(&name), hujson_name_offset(n, i))
                                : inside_index(at, i, hujson_offset(v));
        check_tree(l, v, &here, depth + 1);
    }
    buf_deinit(&name);
}

/* ---- selectors ---- */

static bool is_address(struct slice s)
{
    char text[64];
    struct in6_addr any;
    return slice_copy(s, text, sizeof text) &&
           (inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1);
}

static const char *const autogroups_ok[] = {
    "autogroup:member",   "autogroup:members",       "autogroup:tagged",
    "autogroup:admin",    "autogroup:owner",         "autogroup:network-admin",
    "autogroup:it-admin", "autogroup:billing-admin", "autogroup:auditor",
};
static const char *const autogroups_elsewhere[] = {
    "autogroup:self",       "autogroup:internet", "autogroup:shared",
    "autogroup:danger-all", "autogroup:nonroot",
};

static enum selector_kind autogroup(struct loader *l, struct slice s, const struct place *at)
{
    if (slice_eq(s, S("autogroup:member"))) {
        return SELECT_MEMBER;
    }
    if (slice_eq(s, S("autogroup:members"))) {
        hint(
            say(l, POLICY_WARNING, "legacy-autogroup", at, "autogroup:members is the old spelling"),
            "write ", "autogroup:member");
        return SELECT_MEMBER;
    }
    if (slice_eq(s, S("autogroup:tagged"))) {
        return SELECT_TAGGED;
    }
    for (size_t i = 0; i < ARRAY_LEN(autogroups_elsewhere); i++) {
        if (slice_eq(s, slice_str(autogroups_elsewhere[i]))) {
            say(l, POLICY_ERROR, "autogroup-not-allowed", at, "%s cannot be a target of nodeAttrs",
                autogroups_elsewhere[i]);
            return SELECT_NONE;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(autogroups_ok); i++) {
        if (slice_eq(s, slice_str(autogroups_ok[i]))) {
            say(l, POLICY_WARNING, "selector-not-evaluated", at,
                "%s is not evaluated by this version: it selects no device", autogroups_ok[i]);
            return SELECT_NONE;
        }
    }
    struct policy_diag *d = say(l, POLICY_ERROR, "autogroup-unknown", at,
                                "unknown autogroup \"" SLICE_FMT "\"", SLICE_ARG(s));
    hint(d, "did you mean ", slice_nearest(s, autogroups_ok, ARRAY_LEN(autogroups_ok)));
    return SELECT_NONE;
}

static enum selector_kind tag_selector(struct loader *l, struct slice s, const struct place *at)
{
    if (!l->tag_owners || hujson_kind(l->tag_owners) != HUJSON_OBJECT ||
        !hujson_find(l->doc, l->tag_owners, s)) {
        hint(say(l, POLICY_ERROR, "undefined-tag", at, "tag not found: \"" SLICE_FMT "\"",
                 SLICE_ARG(s)),
             "declare it in ", "tagOwners");
    }
    return SELECT_TAG;
}

static enum selector_kind not_evaluated(struct loader *l, struct slice s, const struct place *at)
{
    say(l, POLICY_WARNING, "selector-not-evaluated", at,
        "\"" SLICE_FMT "\" is not evaluated by this version: it selects no device", SLICE_ARG(s));
    return SELECT_NONE;
}

/* The order of policy.md 2.2: address, *, known prefixes, then "@" means a user, else a host alias.
 */
static enum selector_kind selector_kind(struct loader *l, struct slice s, const struct place *at)
{
    if (is_address(s)) {
        return SELECT_ADDRESS;
    }
    if (slice_eq(s, S("*"))) {
        return SELECT_ALL;
    }
    if (slice_starts(s, S("autogroup:"))) {
        return autogroup(l, s, at);
    }
    if (slice_starts(s, S("tag:"))) {
        return tag_selector(l, s, at);
    }
    if (slice_starts(s, S("ipset:")) || slice_starts(s, S("svc:"))) {
        say(l, POLICY_ERROR, "target-kind", at, "\"" SLICE_FMT "\" cannot be a target of nodeAttrs",
            SLICE_ARG(s));
        return SELECT_NONE;
    }
    if (slice_starts(s, S("group:")) || slice_starts(s, S("host:")) ||
        slice_starts(s, S("user:*@")) || slice_find(s, '/') >= 0) {
        return not_evaluated(l, s, at);
    }
    if (slice_find(s, '@') >= 0) {
        return SELECT_USER;
    }
    return not_evaluated(l, s, at);
}

static void read_selector(struct loader *l,
                          const struct hujson_node *n,
                          const struct place *at,
                          struct selector *out)
{
    struct slice text = get_string(l, n, at), trimmed = slice_trim(text);
    if (hujson_kind(n) != HUJSON_STRING) {
        return;
    }
    if (trimmed.n != text.n) {
        say(l, POLICY_WARNING, "selector-trimmed", at,
            "blanks around \"" SLICE_FMT "\" are ignored", SLICE_ARG(trimmed));
    }
    if (!trimmed.n) {
        say(l, POLICY_ERROR, "target-kind", at, "an empty string selects nothing");
        return;
    }
    *out = (struct selector){.kind = selector_kind(l, trimmed, at), .text = trimmed};
}

/* ---- nodeAttrs ---- */

static const char *const entry_fields[] = {"target", "attr", "app", "ipPool"};

/* What the server computes itself may not be handed out as a string (policy.md 3.1). */
static bool reserved(struct slice attr)
{
    static const char *const names[] = {"https", "https://tailscale.com/cap/is-admin",
                                        "https://tailscale.com/cap/is-owner",
                                        "https://tailscale.com/cap/tailnet-lock"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq(attr, slice_str(names[i]))) {
            return true;
        }
    }
    return slice_starts(attr, S("https://tailscale.com/cap/funnel-ports"));
}

static bool array_or_complain(struct loader *l, const struct hujson_node *n, const struct place *at)
{
    if (hujson_kind(n) == HUJSON_ARRAY) {
        return true;
    }
    hint(say(l, POLICY_ERROR, "type", at, "an array must stand here"), "write ", "[…]");
    return false;
}

static void read_targets(struct loader *l,
                         const struct hujson_node *n,
                         const struct place *at,
                         struct attr_entry *e)
{
    if (!array_or_complain(l, n, at)) {
        return;
    }
    e->targets = arena_alloc(l->p->arena, (hujson_count(n) + 1) * sizeof *e->targets);
    if (!e->targets) {
        l->no_memory = true;
        return;
    }
    for (size_t i = 0; i < hujson_count(n); i++) {
        struct place here = inside_index(at, i, hujson_offset(hujson_at(n, i)));
        read_selector(l, hujson_at(n, i), &here, &e->targets[e->target_count++]);
    }
}

static void read_attrs(struct loader *l,
                       const struct hujson_node *n,
                       const struct place *at,
                       struct attr_entry *e)
{
    if (!array_or_complain(l, n, at)) {
        return;
    }
    e->attrs = arena_alloc(l->p->arena, (hujson_count(n) + 1) * sizeof *e->attrs);
    if (!e->attrs) {
        l->no_memory = true;
        return;
    }
    for (size_t i = 0; i < hujson_count(n); i++) {
        struct place here = inside_index(at, i, hujson_offset(hujson_at(n, i)));
        struct slice attr = get_string(l, hujson_at(n, i), &here);
        if (reserved(attr)) {
            say(l, POLICY_ERROR, "attr-reserved", &here,
                "\"" SLICE_FMT "\" is computed by the server", SLICE_ARG(attr));
        } else if (!attr.n && hujson_kind(hujson_at(n, i)) == HUJSON_STRING) {
            say(l, POLICY_ERROR, "attr-empty", &here, "an attribute needs a name");
        } else {
            e->attrs[e->attr_count++] = attr;
        }
    }
}

static void read_field(struct loader *l,
                       const struct hujson_node *value,
                       struct slice name,
                       const struct place *at,
                       struct attr_entry *e)
{
    const char *field = known_name(name, entry_fields, ARRAY_LEN(entry_fields));
    struct place here = inside(at, name, hujson_offset(value));
    if (!field) {
        here.offset = at->offset;
        struct policy_diag *d = say(l, POLICY_ERROR, "unknown-field", &here,
                                    "unknown field \"" SLICE_FMT "\"", SLICE_ARG(name));
        hint(d, "did you mean ", nearest_of(name, entry_fields, ARRAY_LEN(entry_fields)));
    } else if (hujson_kind(value) == HUJSON_NULL) {
        return;
    } else if (field == entry_fields[0]) {
        read_targets(l, value, &here, e);
    } else if (field == entry_fields[1]) {
        read_attrs(l, value, &here, e);
    } else {
        check_tree(l, value, &here, 0);
        say(l, POLICY_WARNING, "section-not-evaluated", &here,
            "\"%s\" is kept, but not evaluated by this version", field);
    }
}

static void read_entry(struct loader *l,
                       const struct hujson_node *n,
                       const struct place *at,
                       struct attr_entry *e)
{
    if (hujson_kind(n) != HUJSON_OBJECT) {
        say(l, POLICY_ERROR, "type", at, "an object must stand here");
        return;
    }
    struct names names = {.seen = map_new(), .text = BUF_MAX(STRING_MAX)};
    bool other = false;
    for (size_t i = 0; i < hujson_count(n); i++) {
        if (check_name(l, n, i, at, true, &names)) {
            struct place here = *at;
            here.offset = hujson_name_offset(n, i);
            struct slice name = keep(l, buf_slice(&names.text));
            other = other || slice_eq_nocase(name, S("app")) || slice_eq_nocase(name, S("ipPool"));
            read_field(l, hujson_at(n, i), name, &here, e);
        }
    }
    map_free(names.seen);
    buf_deinit(&names.text);
    if (!e->target_count || (!e->attr_count && !other)) {
        say(l, POLICY_WARNING, "entry-without-effect", at, "this entry gives nothing to anybody");
    }
}

static void read_node_attrs(struct loader *l, const struct hujson_node *n, const struct place *at)
{
    if (hujson_kind(n) == HUJSON_NULL || !array_or_complain(l, n, at)) {
        return;
    }
    size_t count = hujson_count(n);
    if (count > ENTRIES_MAX) {
        say(l, POLICY_ERROR, "type", at, "more than %d entries", ENTRIES_MAX);
        return;
    }
    l->p->entries = arena_alloc(l->p->arena, (count + 1) * sizeof *l->p->entries);
    if (!l->p->entries) {
        l->no_memory = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct place here = inside_index(at, i, hujson_offset(hujson_at(n, i)));
        read_entry(l, hujson_at(n, i), &here, &l->p->entries[l->p->entry_count++]);
    }
}

static void read_section(struct loader *l,
                         const struct hujson_node *value,
                         struct slice name,
                         const struct place *root,
                         size_t name_offset)
{
    const char *section = known_name(name, sections, ARRAY_LEN(sections));
    struct place here = inside(root, name, name_offset);
    if (!section) {
        struct policy_diag *d = say(l, POLICY_ERROR, "unknown-field", &here,
                                    "unknown section \"" SLICE_FMT "\"", SLICE_ARG(name));
        hint(d, "did you mean ", nearest_of(name, sections, ARRAY_LEN(sections)));
    } else if (slice_eq(slice_str(section), S("nodeAttrs"))) {
        here.offset = hujson_offset(value);
        read_node_attrs(l, value, &here);
    } else if (hujson_kind(value) != HUJSON_NULL) {
        check_tree(l, value, &here, 0);
        if (!slice_eq(slice_str(section), S("tagOwners"))) {
            say(l, POLICY_WARNING, "section-not-evaluated", &here,
                "section \"%s\" is kept, but not evaluated by this version", section);
        }
    }
}

static void read_root(struct loader *l)
{
    const struct hujson_node *root = hujson_root(l->doc);
    struct place at = {.offset = hujson_offset(root)};
    if (hujson_kind(root) != HUJSON_OBJECT) {
        say(l, POLICY_ERROR, "type", &at, "a policy is an object: {…}");
        return;
    }
    l->tag_owners = policy_section(l->doc, S("tagOwners"));
    struct names names = {.seen = map_new(), .text = BUF_MAX(STRING_MAX)};
    for (size_t i = 0; i < hujson_count(root); i++) {
        if (check_name(l, root, i, &at, true, &names)) {
            struct slice name = keep(l, buf_slice(&names.text));
            read_section(l, hujson_at(root, i), name, &at, hujson_name_offset(root, i));
        }
    }
    map_free(names.seen);
    buf_deinit(&names.text);
}

const struct hujson_node *policy_section(const struct hujson_doc *doc, struct slice name)
{
    const struct hujson_node *n = hujson_find_nocase(doc, hujson_root(doc), name, NULL);
    return n && hujson_kind(n) != HUJSON_NULL ? n : NULL;
}

/* ---- the object ---- */

struct policy *policy_ref(struct policy *p)
{
    __atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
    return p;
}

void policy_unref(struct policy *p)
{
    if (!p || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    hujson_free(p->doc);
    arena_free(p->arena);
    mem_free(p);
}

struct slice policy_text(const struct policy *p)
{
    return hujson_text(p->doc);
}

int policy_load(struct slice text,
                const struct policy_facts *facts,
                struct policy_diags *out_diags,
                struct policy **out_policy)
{
    (void)facts;
    struct hujson_diag syntax;
    *out_diags = (struct policy_diags){NULL, 0, false};
    struct policy *p = mem_new(sizeof *p);
    p->refs = 1;
    p->arena = arena_new(64 * MIB);
    int rc = hujson_parse(text, POLICY_SIZE_MAX, &syntax, &p->doc);
    if (rc) {
        policy_unref(p);
        if (rc > 0) {
            policy_diag_syntax(out_diags, &syntax);
        }
        return rc > 0 ? POLICY_INVALID : err_trace(rc);
    }
    struct loader l = {.p = p, .doc = p->doc, .diags = out_diags};
    read_root(&l);
    if (out_diags->count) {
        qsort(out_diags->items, out_diags->count, sizeof *out_diags->items, by_position);
    }
    if (l.errors || l.no_memory) {
        policy_unref(p);
        return l.errors ? POLICY_INVALID : err_origin(-ENOMEM);
    }
    *out_policy = p;
    return 0;
}
