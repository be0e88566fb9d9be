/*
 * The evaluator at the sizes of policy.md 5.4, beside the naive method: a bit map of devices per
 * selector, ORed per entry, and one per attribute. The naive one is given its selectors as numbers
 * and makes no sets, so it is flattered; both answers are compared at the end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "policy/check.h"
#include "policy/policy.h"
#include "tests/bench/policy/tailnet_gen.h"

enum { REPEATS = 15, QUESTIONS = 2000000 };

static void die(const char *what)
{
    fprintf(stderr, "eval_bench: %s\n", what);
    exit(1);
}

static struct policy *load(const struct gen *g, struct slice text)
{
    struct policy_diags diags;
    struct policy *p = NULL;
    if (policy_load(text, g->facts, &diags, &p)) {
        die(diags.count ? diags.items[0].message : "no memory");
    }
    policy_diags_free(&diags);
    return p;
}

static struct policy_snapshot *evaluate(struct policy *p, const struct policy_facts *f)
{
    struct policy_snapshot *s = NULL;
    if (policy_evaluate(p, f, &s)) {
        die("no memory");
    }
    return s;
}

/* ---- the naive method ---- */

struct naive {
    size_t words;
    uint64_t *users, *groups, *tags, *tagged, *roles; /* bit maps of devices */
    uint64_t *attrs;
};

static void or_map(uint64_t *to, const uint64_t *from, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        to[i] |= from[i];
    }
}

static void set_bit(uint64_t *map, size_t bit)
{
    map[bit / 64] |= (uint64_t)1 << (bit % 64);
}

static const uint64_t *naive_map(const struct naive *n, const struct gen_target *t)
{
    switch (t->kind) {
    case GEN_USER:
        return n->users + t->index * n->words;
    case GEN_GROUP:
        return n->groups + t->index * n->words;
    case GEN_TAG:
        return n->tags + t->index * n->words;
    case GEN_TAGGED:
        return n->tagged;
    case GEN_ROLE:
        return n->roles + t->index * n->words;
    }
    return NULL;
}

static void naive_devices(const struct gen *g, struct naive *n)
{
    for (size_t i = 0; i < g->device_count; i++) {
        const struct gen_device *d = &g->devices[i];
        if (d->user == UINT32_MAX) {
            set_bit(n->tagged, i);
            for (uint32_t k = 0; k < d->tag_count; k++) {
                set_bit(n->tags + d->tags[k] * n->words, i);
            }
        } else if (!g->facts->users[d->user].suspended) {
            enum policy_role role = g->roles[d->user];
            set_bit(n->users + d->user * n->words, i);
            set_bit(n->roles, i); /* autogroup:member */
            set_bit(n->roles + (size_t)role * n->words, i);
            if (role == POLICY_OWNER) {
                set_bit(n->roles + POLICY_ADMIN * n->words, i);
            }
        }
    }
}

static void naive_run(const struct gen *g, struct naive *n)
{
    uint64_t *hit = mem_new_array(n->words, sizeof *hit);
    naive_devices(g, n);
    for (size_t i = 0; i < GEN_GROUPS; i++) {
        for (size_t k = 0; k < GEN_MEMBERS; k++) {
            or_map(n->groups + i * n->words, n->users + g->groups[i][k] * n->words, n->words);
        }
    }
    for (size_t i = 0; i < g->entry_count; i++) {
        memset(hit, 0, n->words * sizeof *hit);
        for (size_t k = 0; k < GEN_TARGETS; k++) {
            or_map(hit, naive_map(n, &g->entries[i].targets[k]), n->words);
        }
        for (size_t k = 0; k < GEN_ENTRY_ATTRS; k++) {
            or_map(n->attrs + g->entries[i].attrs[k] * n->words, hit, n->words);
        }
    }
    mem_free(hit);
}

static void naive_init(const struct gen *g, struct naive *n)
{
    n->words = (g->device_count + 63) / 64;
    n->users = mem_new_array(GEN_USERS * n->words, sizeof(uint64_t));
    n->groups = mem_new_array(GEN_GROUPS * n->words, sizeof(uint64_t));
    n->tags = mem_new_array(GEN_TAGS * n->words, sizeof(uint64_t));
    n->tagged = mem_new_array(n->words, sizeof(uint64_t));
    n->roles = mem_new_array(7 * n->words, sizeof(uint64_t));
    n->attrs = mem_new_array(GEN_ATTRS * n->words, sizeof(uint64_t));
}

static void naive_free(struct naive *n)
{
    mem_free(n->users);
    mem_free(n->groups);
    mem_free(n->tags);
    mem_free(n->tagged);
    mem_free(n->roles);
    mem_free(n->attrs);
}

static void compare(const struct gen *g, const struct naive *n, const struct policy_snapshot *s)
{
    for (size_t i = 0; i < g->device_count; i++) {
        const struct policy_set *set = policy_snapshot_set(s, i);
        for (uint32_t a = 0; a < GEN_ATTRS; a++) {
            char name[64] = POLICY_FUNNEL;
            if (a) {
                snprintf(name, sizeof name, "nextdns:profile-%u", a);
            }
            bool naive = n->attrs[a * n->words + i / 64] >> (i % 64) & 1;
            if (policy_set_has(set, slice_str(name)) != naive) {
                die("the naive method says something else");
            }
        }
    }
}

/* ---- figures ---- */

static void full(const struct gen *g, struct policy *p, const char *figure, const char *goal)
{
    double ours[REPEATS], theirs[REPEATS];
    struct policy_snapshot *s = NULL;
    for (int i = 0; i < REPEATS; i++) {
        struct naive n;
        policy_snapshot_unref(s);
        double start = gen_seconds();
        s = evaluate(p, g->facts);
        ours[i] = (gen_seconds() - start) * 1e3;
        naive_init(g, &n);
        start = gen_seconds();
        naive_run(g, &n);
        theirs[i] = (gen_seconds() - start) * 1e3;
        if (i + 1 == REPEATS) {
            compare(g, &n, s);
        }
        naive_free(&n);
    }
    policy_snapshot_unref(s);
    gen_figure(figure, gen_median(ours, REPEATS), "ms", goal, NULL);
    gen_figure(figure, gen_median(theirs, REPEATS), "ms", NULL, "naive bit maps");
}

static void one_device(const struct gen *g, struct policy_snapshot *s)
{
    size_t caps = 0, rounds = 0;
    double start = gen_seconds();
    for (; rounds < 20; rounds++) {
        for (size_t i = 0; i < g->device_count; i++) {
            struct policy_device d = g->facts->devices[i];
            if (d.user != POLICY_NO_USER) {
                d.user = policy_facts_find_user(g->facts, g->facts->users[d.user].login);
            }
            caps += policy_snapshot_one(s, &d)->count;
        }
    }
    double each = (gen_seconds() - start) * 1e6 / (double)(rounds * g->device_count);
    if (!caps) {
        die("no device has anything");
    }
    gen_figure("one device re-evaluated, with look-ups", each, "us", "<= 5", NULL);
}

static void question(const struct gen *g, const struct policy_snapshot *s)
{
    uint64_t seed = 7;
    size_t yes = 0;
    static int64_t ids[4096];
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        ids[i] = g->facts->devices[gen_random(&seed, (uint32_t)g->device_count)].id;
    }
    double start = gen_seconds();
    for (size_t i = 0; i < QUESTIONS; i++) {
        yes += policy_snapshot_funnel(s, ids[i % ARRAY_LEN(ids)], i % 3 ? 443 : 8080);
    }
    double seconds = gen_seconds() - start;
    if (!yes || yes == QUESTIONS) {
        die("every device has funnel, or none");
    }
    gen_figure("has this node funnel on this port", QUESTIONS / seconds, "calls/s", ">= 1000000",
               NULL);
}

/* From the text to the list of changed ids, where one entry in the middle has changed. */
static void save(const struct gen *g, struct slice text, struct policy_snapshot *before)
{
    double times[REPEATS];
    struct buf edited = BUF_MAX(POLICY_SIZE_MAX);
    buf_add(&edited, text);
    char *at =
        memmem(buf_tail(&edited) - edited.len + text.n / 4 * 3, text.n / 4, "nextdns:profile-", 16);
    at[8] = 'q'; /* nextdns:qrofile-… */
    size_t changed = 0;
    for (int i = 0; i < REPEATS; i++) {
        struct policy_changes c;
        double start = gen_seconds();
        struct policy *p = load(g, buf_slice(&edited));
        struct policy_snapshot *s = evaluate(p, g->facts);
        policy_changes(before, s, &c);
        times[i] = (gen_seconds() - start) * 1e3;
        changed = c.count;
        policy_changes_free(&c);
        policy_snapshot_unref(s);
        policy_unref(p);
    }
    if (!changed || changed > g->device_count / 2) {
        die("the wrong devices change");
    }
    buf_deinit(&edited);
    gen_figure("policy save to all changed ids", gen_median(times, REPEATS), "ms", "<= 10", NULL);
}

static void put_tests(const struct gen *g, struct buf *out)
{
    uint64_t seed = 11;
    buf_adds(out, "\t\"nodeAttrTests\": [\n");
    for (int i = 0; i < 500; i++) {
        char target[64];
        gen_target_text(&g->entries[gen_random(&seed, (uint32_t)g->entry_count)].targets[0],
                        target);
        buf_addf(out,
                 "\t\t{\"target\": \"%s\", \"lack\": [\"no:such-attribute\", \"other:one\"]},\n",
                 i % 10 ? target : "autogroup:member");
    }
    buf_adds(out, "\t],\n");
}

static void check(const struct gen *g)
{
    double whole[REPEATS], tests[REPEATS];
    struct buf extra = BUF_MAX(MIB), text = BUF_MAX(POLICY_SIZE_MAX);
    put_tests(g, &extra);
    gen_policy(g, buf_cstr(&extra), &text);
    for (int i = 0; i < REPEATS; i++) {
        struct policy_diags diags = {0};
        struct policy *p = NULL;
        struct policy_snapshot *s = NULL;
        double start = gen_seconds();
        if (policy_check(buf_slice(&text), g->facts, &diags, &p, &s)) {
            die(diags.count ? diags.items[0].message : "no memory");
        }
        whole[i] = (gen_seconds() - start) * 1e3;
        policy_diags_free(&diags);
        diags = (struct policy_diags){0};
        start = gen_seconds();
        size_t failed;
        if (policy_tests_run(s, NULL, &diags, &failed) || failed) {
            die("a test failed");
        }
        tests[i] = (gen_seconds() - start) * 1e3;
        policy_diags_free(&diags);
        policy_snapshot_unref(s);
        policy_unref(p);
    }
    buf_deinit(&extra);
    buf_deinit(&text);
    gen_figure("whole check of a policy", gen_median(whole, REPEATS), "ms", "<= 100", NULL);
    gen_figure("500 attribute tests", gen_median(tests, REPEATS), "ms", "<= 20", NULL);
}

int main(void)
{
    struct gen *g = gen_new(10000, 1000), *large = gen_new(100000, 1000);
    struct buf text = BUF_MAX(POLICY_SIZE_MAX);
    gen_policy(g, "", &text);
    struct policy *p = load(g, buf_slice(&text));
    full(g, p, "nodeAttrs, 10,000 devices x 1,000 entries", "<= 3");
    full(large, p, "nodeAttrs, 100,000 devices x 1,000 entries", "<= 60");
    struct policy_snapshot *s = evaluate(p, g->facts);
    one_device(g, s); /* every set is put into words by this */
    gen_figure("evaluator state, 10,000 x 1,000", (double)policy_snapshot_memory(s) / (double)MIB,
               "MiB", "<= 16", NULL);
    question(g, s);
    save(g, buf_slice(&text), s);
    check(g);
    fprintf(stderr, "%zu distinct sets\n", policy_snapshot_sets(s));
    policy_snapshot_unref(s);
    policy_unref(p);
    buf_deinit(&text);
    gen_free(g);
    gen_free(large);
    return 0;
}
