#pragma once
/* What load.c makes and eval.c and edit.c read. */
#include "lib/base/arena.h"
#include "lib/hujson/hujson.h"
#include "policy/policy.h"

enum selector_kind {
    SELECT_NONE, /* kept, but not evaluated by this version (a warning says so) */
    SELECT_ALL,
    SELECT_MEMBER,
    SELECT_TAGGED,
    SELECT_USER,
    SELECT_TAG,
    SELECT_ADDRESS,
};

struct selector {
    enum selector_kind kind;
    struct slice text; /* trimmed */
};

struct attr_entry {
    struct selector *targets;
    size_t target_count;
    struct slice *attrs;
    size_t attr_count;
};

struct policy {
    int refs; /* atomic */
    struct arena *arena;
    struct hujson_doc *doc;
    struct attr_entry *entries;
    size_t entry_count;
};

/* The section's value by case-insensitive name, or NULL (also when it is null). */
const struct hujson_node *policy_section(const struct hujson_doc *doc, struct slice name);
void policy_diag_syntax(struct policy_diags *diags, const struct hujson_diag *d);
/* Does an entry give attr to this selector, spelled so or more widely? */
bool policy_entry_covers(const struct policy *p, struct slice selector, struct slice attr);
