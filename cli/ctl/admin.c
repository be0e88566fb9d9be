/* Shared by the commands for administration: see admin.h. */
#include "cli/ctl/admin.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/ctl/report.h"
#include "lib/base/text.h"

/* ---- calls ---- */

int ctl_call(struct ctl_remote *r, const struct ctl_call *call, struct js **out)
{
    struct buf body = BUF_MAX(64 * KIB);
    struct ctl_answer a = {.status = 0};
    *out = NULL;
    if (call->body) {
        js_write(call->body, JS_COMPACT, &body);
    }
    struct ctl_request rq = {
        .method = call->method, .path = call->path, .json = true, .body = buf_slice(&body)};
    int rc = ctl_remote_ask(r, &rq, &a);
    buf_deinit(&body);
    if (!rc && (a.status < 200 || a.status > 299)) {
        rc = ctl_answer_complain(ctl_remote_ctl(r), call->failed, &a);
    }
    if (!rc && slice_trim(buf_slice(&a.body)).n) {
        *out = ctl_answer_json(ctl_remote_ctl(r), &a);
        rc = *out ? 0 : CTL_PROTOCOL;
    }
    ctl_answer_deinit(&a);
    return rc;
}

const struct js *ctl_rows(const struct js *answer)
{
    struct js_iter it = {NULL};
    const char *name;
    struct js *value;
    if (js_kind(answer) == JS_ARRAY) {
        return answer;
    }
    while (js_next(answer, &it, &name, &value)) {
        if (js_kind(value) == JS_ARRAY) {
            return value;
        }
    }
    return NULL;
}

static int
get_list(struct ctl_remote *r, const struct ctl_kind *kind, const char *query, struct js **out)
{
    char path[400], failed[80];
    text_cut(path, sizeof path, "%s%s", kind->list, query);
    text_cut(failed, sizeof failed, "cannot list the %ss", kind->what);
    int rc = ctl_call(r, &(struct ctl_call){"GET", path, NULL, failed}, out);
    if (!rc && !ctl_rows(*out)) {
        rc = ctl_complain(ctl_remote_ctl(r), CTL_PROTOCOL, failed, "the answer holds no list",
                          "is --server a funnel-control, of this version?");
    }
    return rc;
}

/* ---- names ---- */

/* "laptop" for "laptop.pango-lin.ts.example.net" too. */
static bool called(const struct js *row, const char *member, struct slice word)
{
    struct slice name = js_get_str(row, member);
    return slice_eq_nocase(name, word) ||
           (word.n && slice_starts_nocase(name, word) && name.n > word.n && name.p[word.n] == '.');
}

static bool is_named(const struct ctl_kind *kind, const struct js *row, struct slice word)
{
    bool found = slice_eq(js_get_str(row, kind->id), word);
    for (size_t i = 0; !found && i < ARRAY_LEN(kind->names) && kind->names[i]; i++) {
        found = called(row, kind->names[i], word);
    }
    return found;
}

static int not_found(const struct ctl *c, const struct ctl_kind *kind, const char *word, bool many)
{
    char what[120], fix[120];
    text_cut(what, sizeof what, many ? "more than one %s has this name" : "there is no such %s",
             kind->what);
    text_cut(fix, sizeof fix,
             many ? "give its id: funnelctl %ss list --json" : "funnelctl %ss list", kind->what);
    return ctl_complain(c, CTL_REFUSED, what, word, fix);
}

/* An id that fits one exactly wins over names that fit others. */
static const struct js *
pick(const struct ctl_kind *kind, const struct js *rows, struct slice word, size_t *out_count)
{
    const struct js *found = NULL;
    *out_count = 0;
    for (size_t i = 0; i < js_len(rows); i++) {
        const struct js *row = js_at(rows, i);
        if (slice_eq(js_get_str(row, kind->id), word)) {
            *out_count = 1;
            return row;
        }
        if (is_named(kind, row, word)) {
            found = row;
            ++*out_count;
        }
    }
    return found;
}

int ctl_find(struct ctl_remote *r, const struct ctl_kind *kind, const char *word, struct js **out)
{
    AUTO(js_freep) struct js *list = NULL;
    size_t count = 0;
    *out = NULL;
    int rc = get_list(r, kind, "", &list);
    if (rc) {
        return rc;
    }
    const struct js *row = pick(kind, ctl_rows(list), slice_str(word), &count);
    if (count != 1) {
        return not_found(ctl_remote_ctl(r), kind, word, count > 1);
    }
    *out = js_ref(unconst(row));
    return 0;
}

void ctl_object_path(const struct ctl_kind *kind,
                     const struct js *object,
                     const char *rest,
                     struct buf *out)
{
    buf_adds(out, kind->object);
    text_percent(out, js_get_str(object, kind->id));
    buf_adds(out, rest);
}

/* What to call it in a sentence. */
static struct slice name_of(const struct ctl_kind *kind, const struct js *object)
{
    struct slice name = S("");
    for (size_t i = 0; !name.n && i < ARRAY_LEN(kind->names) && kind->names[i]; i++) {
        name = js_get_str(object, kind->names[i]);
    }
    return name.n ? name : js_get_str(object, kind->id);
}

/* ---- whole commands ---- */

int ctl_put_answer(const struct ctl *c, const char *schema, struct js *answer)
{
    if (!c->args.json) {
        return 0;
    }
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "schema", schema);
    struct js_iter it = {NULL};
    const char *name;
    struct js *value;
    if (js_kind(answer) == JS_ARRAY) {
        js_set(j, "items", js_ref(answer));
    }
    while (answer && js_kind(answer) == JS_OBJECT && js_next(answer, &it, &name, &value)) {
        js_set(j, name, js_ref(value));
    }
    return ctl_put_json(c, j);
}

int ctl_list(struct ctl *c, const struct ctl_kind *kind, const char *query)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    AUTO(js_freep) struct js *j = NULL;
    int rc = ctl_remote_open(c, &r);
    rc = rc ? rc : get_list(r, kind, query, &j);
    if (rc || c->args.json) {
        return rc ? rc : ctl_put_answer(c, kind->schema, j);
    }
    const struct js *rows = ctl_rows(j);
    if (js_len(rows)) {
        ctl_put_table(c, kind->columns, kind->column_count, rows);
    } else {
        ctl_note(c, "%s", kind->empty);
    }
    return CTL_OK;
}

int ctl_get_object(struct ctl *c, const struct ctl_kind *kind, struct js **out)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    AUTO(js_freep) struct js *row = NULL;
    struct buf path = BUF_MAX(512);
    char failed[80];
    text_cut(failed, sizeof failed, "cannot get the %s", kind->what);
    *out = NULL;
    int rc = ctl_remote_open(c, &r);
    rc = rc ? rc : ctl_find(r, kind, c->args.words[0], &row);
    if (!rc) {
        ctl_object_path(kind, row, "", &path);
        rc = ctl_call(r, &(struct ctl_call){"GET", buf_cstr(&path), NULL, failed}, out);
    }
    buf_deinit(&path);
    return rc;
}

int ctl_show(struct ctl *c, const struct ctl_kind *kind)
{
    AUTO(js_freep) struct js *whole = NULL;
    int rc = ctl_get_object(c, kind, &whole);
    if (rc || c->args.json) {
        return rc ? rc : ctl_put_answer(c, kind->schema, whole);
    }
    ctl_put_record(c, kind->details, kind->detail_count, whole);
    return CTL_OK;
}

void ctl_note_of(const struct ctl *c, struct slice name, const char *done)
{
    fputs("funnelctl: ", stderr);
    ctl_put_clean(stderr, c->utf8, name);
    fprintf(stderr, ": %s\n", done);
}

bool ctl_agreed(const struct ctl *c, const char *question)
{
    if (c->args.yes || !isatty(STDIN_FILENO)) {
        return true;
    }
    char answer[16] = "";
    ctl_put_clean(stderr, c->utf8, slice_str(question));
    fputs(" Go on? [y/N] ", stderr);
    bool yes = fgets(answer, sizeof answer, stdin) && (*answer == 'y' || *answer == 'Y');
    if (!yes) {
        ctl_note(c, "nothing was changed");
    }
    return yes;
}

static bool agreed_to(const struct ctl *c, const struct ctl_deed *deed, struct slice name)
{
    char question[400];
    if (!deed->warns) {
        return true;
    }
    text_cut(question, sizeof question, SLICE_FMT ": %s.", SLICE_ARG(name), deed->warns);
    return ctl_agreed(c, question);
}

static int do_it(struct ctl *c, struct ctl_remote *r, const struct ctl_deed *deed)
{
    AUTO(js_freep) struct js *object = NULL;
    AUTO(js_freep) struct js *answer = NULL;
    struct buf path = BUF_MAX(512);
    int rc = ctl_find(r, deed->kind, c->args.words[0], &object);
    if (rc) {
        return rc;
    }
    struct slice name = name_of(deed->kind, object);
    if (!agreed_to(c, deed, name)) {
        return CTL_REFUSED;
    }
    ctl_object_path(deed->kind, object, deed->rest, &path);
    struct ctl_call call = {deed->method, buf_cstr(&path), deed->body, deed->failed};
    rc = ctl_call(r, &call, &answer);
    buf_deinit(&path);
    if (!rc && !c->args.json) {
        ctl_note_of(c, name, deed->done);
    }
    return rc ? rc : ctl_put_answer(c, deed->kind->schema, answer);
}

int ctl_do(struct ctl *c, const struct ctl_deed *deed)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = NULL;
    int rc = ctl_remote_open(c, &r);
    rc = rc ? rc : do_it(c, r, deed);
    js_free(deed->body);
    return rc;
}

/* ---- words ---- */

struct js *ctl_words_json(const char *list)
{
    struct js *out = js_array();
    struct slice rest = slice_str(list), word;
    while (slice_split(&rest, ',', &word)) {
        word = slice_trim(word);
        if (word.n) {
            js_push_str(out, word);
        }
    }
    return out;
}

int ctl_read_duration(const struct ctl *c, const char *text, int64_t *out_seconds)
{
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};

    struct slice number = slice_str(text);
    int64_t unit = 1;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (number.n && number.p[number.n - 1] == units[i].letter) {
            unit = units[i].seconds;
            number = slice_sub(number, 0, number.n - 1);
            break;
        }
    }
    uint64_t n;
    if (!slice_u64(number, 10000000, &n) || !n) {
        return ctl_complain(c, CTL_USAGE, "this is no length of time", text, "90m, 8h, 30d");
    }
    *out_seconds = (int64_t)n * unit;
    return 0;
}
