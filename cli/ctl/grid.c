/* Tables and records: see grid.h. */
#include "cli/ctl/grid.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/ctl/report.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

enum {
    GAP = 2,           /* blanks between columns */
    NARROWEST = 8,     /* a column that gives way keeps so much */
    CELL_MAX = 1 * KIB /* of text: what is longer is an attack or a mistake */
};

/* ---- cells ---- */

static bool is_time(struct slice s)
{
    return s.n >= 17 && s.p[4] == '-' && s.p[7] == '-' && s.p[10] == 'T' && s.p[13] == ':';
}

void ctl_cell_time(struct slice time, struct buf *out)
{
    if (is_time(time)) {
        buf_add(out, slice_sub(time, 0, 10));
        buf_addc(out, ' ');
        buf_add(out, slice_sub(time, 11, 5));
    } else {
        buf_add(out, time);
    }
}

void ctl_cell_word(struct buf *out, bool on, const char *word)
{
    if (on) {
        buf_adds(out, out->len ? ", " : "");
        buf_adds(out, word);
    }
}

static void add_value(const struct js *j, struct buf *out)
{
    switch (js_kind(j)) {
    case JS_BOOL:
        buf_adds(out, js_bool(j, false) ? "yes" : "no");
        break;
    case JS_INT:
        buf_addf(out, "%lld", (long long)js_int(j, 0));
        break;
    case JS_STR:
        ctl_cell_time(js_str(j), out);
        break;
    case JS_ARRAY:
        for (size_t i = 0; i < js_len(j); i++) {
            buf_adds(out, i ? ", " : "");
            buf_add(out, js_str(js_at(j, i)));
        }
        break;
    case JS_NULL:
    case JS_REAL:
    case JS_OBJECT:
        break;
    }
}

static void make_cell(const struct ctl_column *col, const struct js *row, struct ctl_cell *out)
{
    *out = (struct ctl_cell){.text = BUF_MAX(CELL_MAX), .colour = ""};
    if (col->fn) {
        col->fn(row, out);
    } else if (js_get(row, col->member)) {
        add_value(js_get(row, col->member), &out->text);
    }
}

/* ---- widths ---- */

static size_t screen_width(void)
{
    struct winsize size;
    return isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col
               ? size.ws_col
               : SIZE_MAX;
}

static size_t sum(const size_t *widths, size_t count)
{
    size_t all = 0;
    for (size_t i = 0; i < count; i++) {
        all += widths[i] + (i ? GAP : 0);
    }
    return all;
}

static void make_fit(size_t *widths, size_t count, size_t screen)
{
    while (sum(widths, count) > screen) {
        size_t widest = 0;
        for (size_t i = 1; i < count; i++) {
            widest = widths[i] > widths[widest] ? i : widest;
        }
        if (widths[widest] <= NARROWEST) {
            return; /* narrower than anything readable: let the terminal wrap */
        }
        widths[widest]--;
    }
}

/* ---- drawing ---- */

static void put_blanks(size_t n)
{
    printf("%*s", (int)n, "");
}

/* Both ends stay: names of hosts differ at the front, zones at the end. */
static void put_cut(const struct ctl *c, struct slice text, size_t width)
{
    const char *mark = c->utf8 ? "…" : "..";
    size_t room = width - (c->utf8 ? 1 : 2), head = room - room / 2;
    struct slice left = ctl_columns_cut(text, head), rest = slice_skip(text, left.n);
    while (ctl_columns(rest) > room / 2) {
        rest = slice_skip(rest, ctl_rune_length(rest));
    }
    ctl_put_clean(stdout, c->utf8, left);
    fputs(mark, stdout);
    ctl_put_clean(stdout, c->utf8, rest);
    put_blanks(width - ctl_columns(left) - (c->utf8 ? 1 : 2) - ctl_columns(rest));
}

struct look {
    size_t width;
    bool right, last;
};

static void put_cell(const struct ctl *c, const struct ctl_cell *cell, struct look look)
{
    struct slice text = buf_slice(&cell->text);
    size_t columns = ctl_columns(text);
    fputs(ctl_paint(c->colour_out, cell->colour), stdout);
    if (columns > look.width) {
        put_cut(c, text, look.width);
    } else {
        put_blanks(look.right ? look.width - columns : 0);
        ctl_put_clean(stdout, c->utf8, text);
        put_blanks(look.right || look.last ? 0 : look.width - columns);
    }
    fputs(ctl_paint(c->colour_out && *cell->colour, "\033[0m"), stdout);
    fputs(look.last ? "\n" : "  ", stdout);
}

struct grid {
    const struct ctl_column *columns;
    size_t column_count, row_count;
    struct ctl_cell *cells; /* row after row; the first are the titles */
    size_t widths[CTL_COLUMNS_MAX];
};

static void fill(struct grid *g, const struct js *rows)
{
    for (size_t i = 0; i < g->row_count * g->column_count; i++) {
        size_t row = i / g->column_count, at = i % g->column_count;
        if (row) {
            make_cell(&g->columns[at], js_at(rows, row - 1), &g->cells[i]);
        } else {
            g->cells[i] = (struct ctl_cell){.text = BUF_MAX(CELL_MAX), .colour = "\033[1m"};
            buf_adds(&g->cells[i].text, g->columns[at].title);
        }
        size_t columns = ctl_columns(buf_slice(&g->cells[i].text));
        g->widths[at] = columns > g->widths[at] ? columns : g->widths[at];
    }
}

/* Ends with the last cell that says something: no blanks at the end of a line. */
static void put_row(const struct ctl *c, const struct grid *g, size_t row)
{
    const struct ctl_cell *cells = g->cells + row * g->column_count;
    size_t last = g->column_count - 1;
    while (last && !cells[last].text.len) {
        last--;
    }
    for (size_t at = 0; at <= last; at++) {
        put_cell(c, &cells[at], (struct look){g->widths[at], g->columns[at].right, at == last});
    }
}

void ctl_put_table(const struct ctl *c,
                   const struct ctl_column *columns,
                   size_t count,
                   const struct js *rows)
{
    struct grid g = {.columns = columns, .column_count = count, .row_count = js_len(rows) + 1};
    assert(count <= CTL_COLUMNS_MAX);
    g.cells = mem_new_array(g.row_count * count, sizeof *g.cells);
    fill(&g, rows);
    make_fit(g.widths, count, screen_width());
    for (size_t row = 0; row < g.row_count; row++) {
        put_row(c, &g, row);
    }
    for (size_t i = 0; i < g.row_count * count; i++) {
        buf_deinit(&g.cells[i].text);
    }
    mem_free(g.cells);
}

void ctl_put_record(const struct ctl *c,
                    const struct ctl_column *columns,
                    size_t count,
                    const struct js *row)
{
    size_t widest = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(columns[i].title);
        widest = n > widest ? n : widest;
    }
    for (size_t i = 0; i < count; i++) {
        struct ctl_cell cell;
        make_cell(&columns[i], row, &cell);
        if (cell.text.len) {
            printf("%s%-*s%s  %s", ctl_paint(c->colour_out, "\033[1m"), (int)widest,
                   columns[i].title, ctl_paint(c->colour_out, "\033[0m"),
                   ctl_paint(c->colour_out, cell.colour));
            ctl_put_clean(stdout, c->utf8, buf_slice(&cell.text));
            printf("%s\n", ctl_paint(c->colour_out && *cell.colour, "\033[0m"));
        }
        buf_deinit(&cell.text);
    }
}
