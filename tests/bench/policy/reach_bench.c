/*
 * Who reaches what, at the sizes of policy.md 5.4: classes of 10,000 devices, books of 1,000 acls,
 * then 500 tests; and a policy that was written to take long. 5.4 has a matrix of classes (100 ms)
 * where we have books.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "policy/check.h"
#include "policy/reach_priv.h"
#include "tests/bench/policy/tailnet_gen.h"

enum { DEVICES = 10000, RULES = 1000, TESTS = 500, SIDE = 5, REPEATS = 15 };

struct bench_rule {
    char src[SIDE][64], dst[SIDE][64];
    const char *ports;
};

static const struct {
    const char *text;
    int port;
} port_lists[] = {{"22", 22}, {"80,443", 443}, {"8000-8100", 8042}, {"5432", 5432}};

static void die(const char *what)
{
    fprintf(stderr, "reach_bench: %s\n", what);
    exit(1);
}

/* Mostly users, groups and tags; one in ten an address or a network of 16. */
static void draw_side(uint64_t *seed, bool source, char out[64])
{
    uint32_t draw = gen_random(seed, 100), host = gen_random(seed, DEVICES);
    struct gen_target t = {GEN_USER, gen_random(seed, GEN_USERS)};
    if (draw < 3) {
        snprintf(out, 64, "100.64.%u.%u/28", host >> 8, host & 0xf0);
        return;
    }
    if (draw < 10) {
        snprintf(out, 64, "100.64.%u.%u", host >> 8, host & 255);
        return;
    }
    if (draw < 40) {
        t = (struct gen_target){GEN_GROUP, gen_random(seed, GEN_GROUPS)};
    } else if (draw < 80) {
        t = (struct gen_target){GEN_TAG, gen_random(seed, GEN_TAGS)};
    } else if (draw == 99) {
        t = (struct gen_target){source ? GEN_ROLE : GEN_TAGGED, 0};
    }
    gen_target_text(&t, out);
}

static void put_rules(struct bench_rule *rules, uint64_t *seed, struct buf *out)
{
    buf_adds(out, "\t\"acls\": [\n");
    for (size_t i = 0; i < RULES; i++) {
        struct bench_rule *r = &rules[i];
        r->ports = port_lists[gen_random(seed, ARRAY_LEN(port_lists))].text;
        buf_adds(out, "\t\t{\"action\": \"accept\", \"src\": [");
        for (size_t k = 0; k < SIDE; k++) {
            draw_side(seed, true, r->src[k]);
            buf_addf(out, "%s\"%s\"", k ? ", " : "", r->src[k]);
        }
        buf_adds(out, "], \"dst\": [");
        for (size_t k = 0; k < SIDE; k++) {
            draw_side(seed, false, r->dst[k]);
            buf_addf(out, "%s\"%s:%s\"", k ? ", " : "", r->dst[k], r->ports);
        }
        buf_adds(out, "]},\n");
    }
    buf_adds(out, "\t],\n");
}

static int port_of(const struct bench_rule *r)
{
    for (size_t i = 0; i < ARRAY_LEN(port_lists); i++) {
        if (port_lists[i].text == r->ports) {
            return port_lists[i].port;
        }
    }
    return 1;
}

/* Two accepted destinations of one rule, and one that nobody reaches on its port. */
static void put_tests(const struct bench_rule *rules, uint64_t *seed, struct buf *out)
{
    buf_adds(out, "\t\"tests\": [\n");
    for (size_t done = 0; done < TESTS;) {
        const struct bench_rule *r = &rules[gen_random(seed, RULES)];
        const char *src = r->src[gen_random(seed, SIDE)], *one = r->dst[gen_random(seed, SIDE)],
                   *two = r->dst[gen_random(seed, SIDE)];
        if (!strchr(src, '/') && !strchr(one, '/') && !strchr(two, '/')) {
            buf_addf(out,
                     "\t\t{\"src\": \"%s\", \"accept\": [\"%s:%d\", \"%s:%d\"],"
                     " \"deny\": [\"%s:7\"]},\n",
                     src, one, port_of(r), two, port_of(r), one);
            done++;
        }
    }
    buf_adds(out, "\t],\n");
}

static void put_attr_tests(const struct gen *g, struct buf *out)
{
    char text[64];
    buf_adds(out, "\t\"nodeAttrTests\": [\n");
    for (size_t i = 0; i < TESTS; i++) {
        gen_target_text(&g->entries[i].targets[i % GEN_TARGETS], text);
        buf_addf(out, "\t\t{\"target\": \"%s\", \"lack\": [\"custom:nobody-has-this\"]},\n", text);
    }
    buf_adds(out, "\t],\n");
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

static struct policy_reach *reach(struct policy *p, const struct gen *g)
{
    struct policy_reach *r = NULL;
    if (policy_reach_new(p, g->facts, &r)) {
        die("no memory");
    }
    return r;
}

static size_t test(const struct policy_snapshot *s, const struct policy_reach *r)
{
    struct policy_diags diags = {0};
    size_t failed = 0;
    if (policy_tests_run(s, r, &diags, &failed)) {
        die("no memory");
    }
    for (size_t i = 0; failed && i < diags.count && i < 3; i++) {
        fprintf(stderr, "%s [%s]\n", diags.items[i].message, diags.items[i].hint);
    }
    policy_diags_free(&diags);
    return failed;
}

static void count_device(void *arg, size_t device)
{
    *(size_t *)arg += device != SIZE_MAX;
}

static void usual_size(void)
{
    uint64_t seed = 4711;
    double build[REPEATS], classes[REPEATS], tests[REPEATS], who[REPEATS];
    struct gen *g = gen_new(DEVICES, RULES);
    struct bench_rule *rules = mem_new_array(RULES, sizeof *rules);
    struct buf extra = BUF_MAX(MIB), text = BUF_MAX(2 * MIB);
    struct policy_snapshot *s = NULL;
    struct policy_reach *r = NULL;
    put_rules(rules, &seed, &extra);
    put_tests(rules, &seed, &extra);
    put_attr_tests(g, &extra);
    gen_policy(g, buf_cstr(&extra), &text);
    struct policy *p = load(g, buf_slice(&text));
    if (policy_evaluate(p, g->facts, &s)) {
        die("no memory");
    }
    size_t seen = 0;
    for (size_t i = 0; i < REPEATS; i++) {
        policy_reach_free(r);
        double start = gen_seconds();
        r = reach(p, g);
        build[i] = (gen_seconds() - start) * 1e3;
        start = gen_seconds();
        reach_classes_build(r); /* once more: the same classes, timed without terms and books */
        classes[i] = (gen_seconds() - start) * 1e3;
        start = gen_seconds();
        if (test(s, r)) {
            die("a test failed");
        }
        tests[i] = (gen_seconds() - start) * 1e3;
        start = gen_seconds();
        policy_reach_who(r, i, 6, 22, count_device, &seen);
        who[i] = (gen_seconds() - start) * 1e3;
    }
    gen_figure("reach: 10,000 devices into classes", gen_median(classes, REPEATS), "ms", "<= 3",
               NULL);
    gen_figure("reach: classes, terms, addresses and books of 1,000 acls",
               gen_median(build, REPEATS), "ms", "<= 100", NULL);
    gen_figure("reach: classes of 10,000 devices", (double)policy_reach_classes(r), "classes", NULL,
               NULL);
    gen_figure("reach: 500 tests and 500 attribute tests", gen_median(tests, REPEATS), "ms",
               "<= 20", NULL);
    gen_figure("reach: who can reach this", gen_median(who, REPEATS), "ms", NULL, NULL);
    gen_figure("reach: memory", (double)policy_reach_memory(r) / MIB, "MiB", "<= 16", NULL);
    policy_reach_free(r);
    policy_snapshot_unref(s);
    policy_unref(p);
    buf_deinit(&extra);
    buf_deinit(&text);
    mem_free(rules);
    gen_free(g);
}

/* 10,000 rules that each cover all sources but the last, and tests that no single rule covers. */
static void hostile_size(void)
{
    struct gen *g = gen_new(DEVICES, 1);
    struct buf extra = BUF_MAX(MIB), text = BUF_MAX(2 * MIB);
    struct policy_snapshot *s = NULL;
    struct policy_diags diags = {0};
    size_t failed = 0;
    buf_adds(&extra, "\"grants\": [\n");
    for (unsigned i = 0; i < 8500; i++) {
        unsigned last = DEVICES - 1 - i % 9000;
        buf_addf(
            &extra,
            "{\"src\":[\"100.64.0.0/%u\",\"100.64.%u.%u\"],\"dst\":[\"*\"],\"ip\":[\"%u\"]},\n",
            19 + i % 6, last >> 8, last & 255, i % 7 + 1);
    }
    buf_adds(&extra, "],\n\"tests\": [\n");
    for (unsigned i = 0; i < 2000; i++) {
        buf_addf(&extra, "{\"src\":\"autogroup:member\",\"accept\":[\"autogroup:tagged:%u\"]},\n",
                 i % 7 + 1);
    }
    buf_adds(&extra, "],\n");
    gen_policy(g, buf_cstr(&extra), &text);
    struct policy *p = load(g, buf_slice(&text));
    if (policy_evaluate(p, g->facts, &s)) {
        die("no memory");
    }
    double start = gen_seconds();
    struct policy_reach *r = reach(p, g);
    if (policy_tests_run(s, r, &diags, &failed) || !failed) {
        die("the hostile policy passes");
    }
    gen_figure("reach: 8,500 rules of many addresses, 2,000 wide tests", gen_seconds() - start, "s",
               "<= 2.5", NULL);
    policy_diags_free(&diags);
    policy_reach_free(r);
    policy_snapshot_unref(s);
    policy_unref(p);
    buf_deinit(&extra);
    buf_deinit(&text);
    gen_free(g);
}

int main(void)
{
    usual_size();
    hostile_size();
    return 0;
}
