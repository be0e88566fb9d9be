#pragma once
/*
 * An edit is planned on the tree, as steps that say where and what; then it is carried out in one
 * of two ways that must mean the same: as a patch with a format behind it, or as a splice of the
 * text. Steps are ordered so that each leaves the places of the later ones alone.
 */
#include "lib/base/arena.h"
#include "lib/hujson/hujson.h"
#include "policy/edit.h"

enum edit_verb {
    EDIT_ADD,     /* an element behind child `index`, or a member behind the last */
    EDIT_REPLACE, /* the value of child `index` */
    EDIT_REMOVE,  /* child `index`, with the comments that it owns */
};

#define EDIT_DEPTH_MAX 4
#define EDIT_LAST      SIZE_MAX /* as index of EDIT_ADD: behind whatever is last */

struct edit_step {
    enum edit_verb verb;
    size_t path[EDIT_DEPTH_MAX]; /* child indices that lead from the root to the composite */
    size_t depth;
    size_t index;
    struct slice name;  /* of a new member; empty in an array */
    struct slice value; /* formatted: one line, or further lines indented by TABs from zero */
    bool loose;         /* the result is not plain JSON: what is expanded ends in a comma */
};

#define EDIT_STEPS_MAX 20000 /* twice what the loader lets one section hold */
#define EDIT_TEXT_MAX  (4 * MIB)

struct edit_plan {
    struct arena *arena; /* names and values */
    struct edit_step *steps;
    size_t count, room;
    bool failed; /* out of memory or past EDIT_STEPS_MAX */
};

/* What is wanted; a plan is made from it on any text, so that the result can be asked whether it
 * has been reached: its plan is empty then. */
struct edit_want {
    enum { WANT_FUNNEL, WANT_NO_FUNNEL, WANT_IN_GROUP, WANT_OWNERS } what;
    struct slice subject;      /* selector, group or tag */
    struct slice comment;      /* funnel */
    const struct slice *items; /* logins, owners; funnel: its ports, none for the default list */
    size_t item_count;
};

/* ---- edit_plan.c ---- */
/* The document has been loaded as a policy before: shapes and unique names are given. */
void edit_plan_make(struct edit_plan *plan,
                    const struct hujson_doc *doc,
                    const struct edit_want *want);
void edit_plan_deinit(struct edit_plan *plan);

/* ---- edit_splice.c ---- */
/* One step on the text of doc. Out of room is remembered by the buf. */
void edit_splice(const struct hujson_doc *doc, const struct edit_step *step, struct buf *out);

/* ---- edit_patch.c ---- */
/* The plan as an RFC 6902 patch in HuJSON. */
void edit_patch_print(const struct hujson_doc *doc, const struct edit_plan *plan, struct buf *out);
void edit_put_quoted(struct buf *out, struct slice s); /* as a JSON string */
/* The composite that the step is about. */
const struct hujson_node *edit_composite(const struct hujson_doc *doc,
                                         const struct edit_step *step);
