#pragma once
/*
 * What the commands for administration share. Most are one call each: list these, show that one, do
 * this to it. An object is named by its id or by a name of its own; what fits two is refused.
 */
#include "cli/ctl/grid.h"
#include "cli/ctl/remote.h"

#define CTL_API     "/api/v2"
#define CTL_TAILNET CTL_API "/tailnet/-"

/* A kind of object that the server has. */
struct ctl_kind {
    const char *what;     /* "node" */
    const char *schema;   /* "funnelctl.nodes/1" */
    const char *list;     /* path of the list; the answer is an array, or an object with one */
    const char *object;   /* path of one, before its id: "/api/v2/device/" */
    const char *id;       /* member that goes into paths */
    const char *names[4]; /* members by which people call it */
    const char *empty;    /* what to type where there are none */
    const struct ctl_column *columns, *details;
    size_t column_count, detail_count;
};

/* One call. */
struct ctl_call {
    const char *method;
    const char *path;
    const struct js *body; /* NULL: none */
    const char *failed;    /* "cannot approve the node" */
};

/* *out: the answer, NULL where there is none. 0, or an exit code after complaining. */
int ctl_call(struct ctl_remote *r, const struct ctl_call *call, struct js **out) MUST_CHECK;
/* The array of a list's answer; NULL when it has none. */
const struct js *ctl_rows(const struct js *answer);
/* The object that `word` names, owned by the caller. 0, or an exit code after complaining. */
int ctl_find(struct ctl_remote *r, const struct ctl_kind *kind, const char *word, struct js **out)
    MUST_CHECK;
/* The whole of the object that the first word names, owned by the caller. */
int ctl_get_object(struct ctl *c, const struct ctl_kind *kind, struct js **out) MUST_CHECK;
/* Its path: object path, id in percent-encoding, what follows ("/approve"). */
void ctl_object_path(const struct ctl_kind *kind,
                     const struct js *object,
                     const char *rest,
                     struct buf *out);

/* Whole commands. query: "?state=pending" or "". */
int ctl_list(struct ctl *c, const struct ctl_kind *kind, const char *query);
int ctl_show(struct ctl *c, const struct ctl_kind *kind);

/* Something done to the object that the first word names. */
struct ctl_deed {
    const struct ctl_kind *kind;
    const char *method, *rest;
    const char *failed; /* "cannot delete the node" */
    const char *done;   /* "deleted": after its name */
    const char *warns;  /* what stops working: a terminal is asked first; NULL: nothing does */
    struct js *body;    /* taken over; NULL: none */
};

int ctl_do(struct ctl *c, const struct ctl_deed *deed);
/* False after "not done" where a person at a terminal said no. --yes, or no terminal: true. */
bool ctl_agreed(const struct ctl *c, const char *question);
void ctl_note_of(const struct ctl *c, struct slice name, const char *done); /* one line, stderr */
/* With --json the answer (or {}) under its schema, else nothing. */
int ctl_put_answer(const struct ctl *c, const char *schema, struct js *answer) MUST_CHECK;
/* "a, b" as an array of text. */
struct js *ctl_words_json(const char *list);
/* "30d", "8h", "90m", seconds. 0, or CTL_USAGE after complaining. */
int ctl_read_duration(const struct ctl *c, const char *text, int64_t *out_seconds) MUST_CHECK;
