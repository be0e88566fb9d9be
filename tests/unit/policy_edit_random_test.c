/*
 * Edits of random policies in random layouts: what is spliced changes no byte outside its place,
 * what was added can be taken away again to the byte, comments of others stay, and every result
 * means what was asked for.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/hujson/hujson.h"
#include "policy/edit.h"
#include "tests/unit/support/test.h"

#define TEXT_MAX (4 * MIB)
#define ROUNDS   4000

/* ---- policies ---- */

struct gen {
    unsigned seed;
    struct buf *out;
    int level;
    const char *unit, *eol;
    bool comments, commas; /* whether the file has any; without both it is plain JSON */
    int notes;             /* comments written: they are numbered */
};

static unsigned pick(struct gen *g, unsigned n)
{
    return (unsigned)rand_r(&g->seed) % n;
}

static void line(struct gen *g)
{
    buf_adds(g->out, g->eol);
    for (int i = 0; i < g->level; i++) {
        buf_adds(g->out, g->unit);
    }
}

/* A comment that ends what stands before it on its line. */
static void tail_note(struct gen *g)
{
    if (g->comments && pick(g, 4) == 0) {
        buf_addf(g->out, " // n%d", g->notes++);
    }
}

/* Comments on lines of their own. */
static void lead_notes(struct gen *g)
{
    while (g->comments && pick(g, 5) == 0) {
        buf_addf(g->out, pick(g, 3) ? "// n%d" : "/* n%d */", g->notes++);
        line(g);
    }
}

typedef void (*put_fn)(struct gen *g, int i);

/* A composite of `count` children: on one line, or each on its own. */
static void composite(struct gen *g, char open, int count, put_fn put, char close)
{
    bool lines = count && pick(g, 3), trailing = g->commas && count && pick(g, 2);
    buf_addc(g->out, open);
    g->level++;
    for (int i = 0; i < count; i++) {
        if (lines) {
            buf_adds(g->out, i && pick(g, 6) == 0 ? g->eol : "");
            line(g);
            lead_notes(g);
        } else {
            buf_adds(g->out, i && pick(g, 2) ? " " : "");
        }
        put(g, i);
        buf_adds(g->out, i + 1 < count || trailing ? "," : "");
        if (lines) {
            tail_note(g);
        }
    }
    g->level--;
    if (lines) {
        line(g);
    }
    buf_addc(g->out, close);
}

static void put_target(struct gen *g, int i)
{
    static const char *const names[] = {"autogroup:member", "tag:a",      "cy@example.com",
                                        "group:g",          "100.64.0.7", "bob@example.com"};
    (void)i;
    buf_addf(g->out, "\"%s\"", names[pick(g, ARRAY_LEN(names))]);
}

static void put_attr(struct gen *g, int i)
{
    static const char *const names[] = {"funnel", "drive:share", "acme:x"};
    (void)i;
    buf_addf(g->out, "\"%s\"", names[pick(g, ARRAY_LEN(names))]);
}

static void put_field(struct gen *g, int i)
{
    buf_adds(g->out, i ? "\"attr\":" : "\"target\":");
    buf_adds(g->out, pick(g, 2) ? " " : "");
    composite(g, '[', 1 + (int)pick(g, 3), i ? put_attr : put_target, ']');
}

static void put_entry(struct gen *g, int i)
{
    (void)i;
    composite(g, '{', 2, put_field, '}');
}

static void put_login(struct gen *g, int i)
{
    (void)g;
    buf_addf(g->out, "\"u%d@example.com\"", i);
}

static void put_group(struct gen *g, int i)
{
    buf_addf(g->out, "\"group:%c\": ", 'g' + i);
    composite(g, '[', (int)pick(g, 4), put_login, ']');
}

static void put_section(struct gen *g, int i)
{
    if (i == 0) {
        buf_adds(g->out, "\"tagOwners\": {\"tag:a\": []}");
    } else if (i == 1) {
        buf_adds(g->out, "\"groups\": ");
        composite(g, '{', 1 + (int)pick(g, 2), put_group, '}');
    } else {
        buf_adds(g->out, "\"nodeAttrs\": ");
        composite(g, '[', (int)pick(g, 4), put_entry, ']');
    }
}

static void make(unsigned seed, struct buf *out)
{
    static const char *const units[] = {"\t", "  ", "    ", ""};
    struct gen g = {.seed = seed, .out = out};
    g.unit = units[pick(&g, 4)];
    g.eol = pick(&g, 5) ? "\n" : "\r\n";
    g.comments = pick(&g, 2);
    g.commas = pick(&g, 2);
    buf_clear(out);
    composite(&g, '{', 2 + (int)pick(&g, 2), put_section, '}');
    buf_adds(out, pick(&g, 4) ? g.eol : "");
}

/* ---- what must hold ---- */

/* before is after without one run of bytes; at: where it begins. */
static bool one_run_more(struct slice before, struct slice after, size_t *at)
{
    size_t head = 0, tail = 0;
    while (head < before.n && head < after.n && before.p[head] == after.p[head]) {
        head++;
    }
    while (tail < before.n - head && tail < after.n - head &&
           before.p[before.n - 1 - tail] == after.p[after.n - 1 - tail]) {
        tail++;
    }
    *at = head;
    return head + tail == before.n && after.n >= before.n;
}

/* One run, or a comma and then one run. */
static bool only_place_differs(struct slice before, struct slice after)
{
    size_t at;
    struct buf less = BUF_MAX(TEXT_MAX);
    if (one_run_more(before, after, &at)) {
        return true;
    }
    if (at >= after.n || after.p[at] != ',') {
        return false;
    }
    buf_add(&less, slice_sub(after, 0, at));
    buf_add(&less, slice_skip(after, at + 1));
    bool ok = one_run_more(before, buf_slice(&less), &at);
    buf_deinit(&less);
    return ok;
}

/* All bytes of `part`, in order, are in `whole`. */
static bool within(struct slice part, struct slice whole)
{
    size_t k = 0;
    for (size_t i = 0; i < whole.n && k < part.n; i++) {
        k += whole.p[i] == part.p[k];
    }
    return k == part.n;
}

/* Values in order as one line, LF added where a save would. */
static void values(struct slice text, struct buf *out)
{
    struct hujson_diag diag;
    AUTO(hujson_freep) struct hujson_doc *d = NULL;
    struct buf whole = BUF_MAX(TEXT_MAX);
    buf_add(&whole, text);
    buf_addc(&whole, '\n');
    assert_int_equal(hujson_parse(buf_slice(&whole), TEXT_MAX, &diag, &d), 0);
    buf_clear(out);
    assert_int_equal(hujson_minimize(d, out), 0);
    buf_deinit(&whole);
}

static size_t notes_in(struct slice text)
{
    size_t count = 0;
    for (size_t i = 0; i + 3 < text.n; i++) {
        count += (memcmp(text.p + i, "// n", 4) == 0 || memcmp(text.p + i, "/* n", 4) == 0) &&
                 text.p[i + 4] >= '0' && text.p[i + 4] <= '9';
    }
    return count;
}

/* The same of the values alone: no other value has changed. */
static bool only_value_differs(struct slice before, struct slice after)
{
    struct buf a = BUF_MAX(TEXT_MAX), b = BUF_MAX(TEXT_MAX);
    values(before, &a);
    values(after, &b);
    bool ok = only_place_differs(buf_slice(&a), buf_slice(&b));
    buf_deinit(&a);
    buf_deinit(&b);
    return ok;
}

struct round {
    struct buf before, after, again;
    struct policy_diags diags;
};

static void begin(struct round *r, unsigned seed)
{
    *r = (struct round){
        .before = BUF_MAX(TEXT_MAX), .after = BUF_MAX(TEXT_MAX), .again = BUF_MAX(TEXT_MAX)};
    make(seed, &r->before);
}

static void end(struct round *r)
{
    policy_diags_free(&r->diags);
    buf_deinit(&r->before);
    buf_deinit(&r->after);
    buf_deinit(&r->again);
}

static void complain(const struct round *r, const char *what)
{
    /* cmocka cuts long messages */
    printf("%s\n--- before\n" SLICE_FMT "\n--- after\n" SLICE_FMT "\n--- again\n" SLICE_FMT "\n",
           what, SLICE_ARG(buf_slice(&r->before)), SLICE_ARG(buf_slice(&r->after)),
           SLICE_ARG(buf_slice(&r->again)));
    fail_msg("%s", what);
}

/* The section is there and holds something, so that taking the entry away leaves what was. */
static bool section_stays(struct slice text)
{
    struct buf flat = BUF_MAX(TEXT_MAX);
    values(text, &flat);
    bool stays = strstr(buf_cstr(&flat), "\"nodeAttrs\":[{") != NULL;
    buf_deinit(&flat);
    return stays;
}

static void add_and_remove(void **state)
{
    (void)state;
    int spliced = 0, back = 0, changed = 0;
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        struct round r;
        begin(&r, seed);
        /* a selector that no entry names yet: what was added is one entry */
        enum policy_edit_result did =
            policy_add_funnel(buf_slice(&r.before), S("new@example.com"),
                              seed % 2 ? S("why") : S(""), &r.after, &r.diags);
        if (did != POLICY_SPLICED && did != POLICY_CHANGED) {
            complain(&r, policy_edit_result_name(did));
        }
        if (did == POLICY_CHANGED) {
            changed++;
            end(&r);
            continue;
        }
        spliced++;
        if (!only_place_differs(buf_slice(&r.before), buf_slice(&r.after)) ||
            !only_value_differs(buf_slice(&r.before), buf_slice(&r.after))) {
            complain(&r, "more than the place of the edit has changed");
        }
        policy_diags_free(&r.diags);
        did = policy_remove_funnel(buf_slice(&r.after), S("NEW@example.com"), &r.again, &r.diags);
        if (section_stays(buf_slice(&r.before))) {
            back++;
            if (did != POLICY_SPLICED || !slice_eq(buf_slice(&r.again), buf_slice(&r.before))) {
                complain(&r, "what was added does not go away again");
            }
        }
        end(&r);
    }
    printf("add: %d spliced, %d of them back to the byte, %d formatted\n", spliced, back, changed);
    assert_true(spliced > ROUNDS * 8 / 10 && back > ROUNDS / 4 && changed > 5);
}

/* An entry that goes takes its own comments along; all others stay, and so do all other values. */
static void removed_alone(void **state)
{
    (void)state;
    int removed = 0;
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        struct round r;
        begin(&r, seed);
        enum policy_edit_result did =
            policy_remove_funnel(buf_slice(&r.before), S("cy@example.com"), &r.after, &r.diags);
        if (did == POLICY_REFUSED) {
            complain(&r, r.diags.count ? r.diags.items[0].message : "refused");
        }
        if (did == POLICY_SPLICED) {
            removed++;
            /* nothing is new but an entry of its own for those who keep funnel (the generator never
             * aligns) */
            bool split_off = strstr(buf_cstr(&r.after), "\"attr\":   [");
            if (!split_off && !within(buf_slice(&r.after), buf_slice(&r.before))) {
                complain(&r, "something new");
            }
            if (notes_in(buf_slice(&r.after)) > notes_in(buf_slice(&r.before))) {
                complain(&r, "a comment more");
            }
            policy_diags_free(&r.diags);
            did =
                policy_remove_funnel(buf_slice(&r.after), S("cy@example.com"), &r.again, &r.diags);
            if (did != POLICY_UNCHANGED) {
                complain(&r, "there was more to do");
            }
        }
        end(&r);
    }
    printf("remove: %d\n", removed);
    assert_true(removed > ROUNDS / 16);
}

static void members_and_owners(void **state)
{
    (void)state;
    struct slice owners[] = {S("autogroup:admin"), S("group:g")};
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        struct round r;
        begin(&r, seed);
        enum policy_edit_result did =
            policy_add_to_group(buf_slice(&r.before), seed % 3 ? S("group:g") : S("group:new"),
                                S("new@example.com"), &r.after, &r.diags);
        if (did == POLICY_SPLICED &&
            !only_place_differs(buf_slice(&r.before), buf_slice(&r.after))) {
            complain(&r, "more than the place of the edit has changed");
        }
        assert_true(did == POLICY_SPLICED || did == POLICY_CHANGED);
        policy_diags_free(&r.diags);
        buf_clear(&r.after);
        did = policy_set_tag_owners(buf_slice(&r.before), seed % 3 ? S("tag:a") : S("tag:b"),
                                    owners, 2, &r.after, &r.diags);
        if (did == POLICY_SPLICED &&
            !only_place_differs(buf_slice(&r.before), buf_slice(&r.after))) {
            complain(&r, "more than the place of the edit has changed");
        }
        assert_true(did == POLICY_SPLICED || did == POLICY_CHANGED);
        assert_int_equal(notes_in(buf_slice(&r.before)), notes_in(buf_slice(&r.after)));
        end(&r);
    }
}

/* ---- both ways mean the same ---- */

static void formatted(struct slice text, struct buf *out)
{
    struct hujson_diag diag;
    AUTO(hujson_freep) struct hujson_doc *d = NULL;
    assert_int_equal(hujson_parse(text, TEXT_MAX, &diag, &d), 0);
    buf_clear(out);
    assert_int_equal(hujson_format(d, out), 0);
}

static enum policy_edit_result
edit(unsigned which, struct slice text, struct buf *out, struct policy_diags *diags)
{
    struct slice owners[] = {S("autogroup:admin"), S("group:g")}, more = S("cy@example.com");
    switch (which) {
    case 0:
        return policy_add_funnel(text, S("bob@example.com"), S("why"), out, diags);
    case 1:
        return policy_remove_funnel(text, S("cy@example.com"), out, diags);
    case 2:
        return policy_remove_funnel(text, S("autogroup:members"), out, diags);
    case 3:
        return policy_add_to_group(text, S("group:g"), more, out, diags);
    default: /* foreign enum: a number of ours */
        return policy_set_tag_owners(text, S("tag:a"), owners, 2, out, diags);
    }
}

/* A canonical file is patched, the same one behind an empty line is spliced. */
static void both_ways(void **state)
{
    (void)state;
    int edited = 0, same_text = 0;
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        struct round r, other;
        struct buf a = BUF_MAX(TEXT_MAX), b = BUF_MAX(TEXT_MAX);
        begin(&r, seed);
        begin(&other, seed);
        buf_adds(&r.before, "\n");
        formatted(buf_slice(&r.before), &a);
        buf_clear(&r.before);
        buf_clear(&other.before);
        buf_add(&r.before, buf_slice(&a));
        buf_adds(&other.before, "\n");
        buf_add(&other.before, buf_slice(&a));
        enum policy_edit_result did = edit(seed % 5, buf_slice(&r.before), &r.after, &r.diags);
        enum policy_edit_result too =
            edit(seed % 5, buf_slice(&other.before), &other.after, &other.diags);
        if (did == POLICY_REFUSED || (did == POLICY_UNCHANGED) != (too == POLICY_UNCHANGED)) {
            complain(&r, "the two do not agree");
        }
        if (did == POLICY_CHANGED) {
            edited++;
            assert_int_equal(too, POLICY_SPLICED);
            values(buf_slice(&r.after), &a);
            values(buf_slice(&other.after), &b);
            buf_add(&r.again, buf_slice(&other.after));
            if (!slice_eq(buf_slice(&a), buf_slice(&b)) ||
                notes_in(buf_slice(&r.after)) != notes_in(buf_slice(&other.after))) {
                complain(&r, "a patch and a splice differ");
            }
            formatted(buf_slice(&other.after), &a);
            same_text += slice_eq(buf_slice(&a), buf_slice(&r.after));
        }
        buf_deinit(&a);
        buf_deinit(&b);
        end(&r);
        end(&other);
    }
    printf("both ways: %d edited, %d of them the same text when formatted\n", edited, same_text);
    assert_true(edited > ROUNDS / 4 && same_text > edited * 9 / 10); /* blank lines may differ */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add_and_remove),
        cmocka_unit_test(removed_alone),
        cmocka_unit_test(members_and_owners),
        cmocka_unit_test(both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
