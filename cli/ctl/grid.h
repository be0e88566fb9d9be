#pragma once
/*
 * Tables and records of what a server sent. Columns align by what a terminal shows, not by bytes;
 * on a terminal the widest column gives way (its cells are cut in the middle), in a pipe nothing is
 * cut. Text from elsewhere is cleaned (report.h).
 */
#include "cli/ctl/ctl.h"
#include "lib/data/json.h"

struct ctl_cell {
    struct buf text;
    const char *colour; /* "" or an escape sequence: never the only carrier of a meaning */
};

typedef void (*ctl_cell_fn)(const struct js *row, struct ctl_cell *out);

/* A column: the member that it shows, or a function that makes the text. */
struct ctl_column {
    const char *title;
    const char *member; /* text, number, yes or no, or an array of text */
    ctl_cell_fn fn;
    bool right; /* numbers */
};

#define CTL_COLUMNS_MAX 12

void ctl_put_table(const struct ctl *c,
                   const struct ctl_column *columns,
                   size_t count,
                   const struct js *rows);
/* One object, a line for each column. */
void ctl_put_record(const struct ctl *c,
                    const struct ctl_column *columns,
                    size_t count,
                    const struct js *row);
/* "2026-11-25T03:10:00Z" as "2026-11-25 03:10"; anything else as it is. */
void ctl_cell_time(struct slice time, struct buf *out);
/* One word more of a list, where it holds: "reusable, ephemeral". */
void ctl_cell_word(struct buf *out, bool on, const char *word);
