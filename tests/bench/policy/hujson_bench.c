/*
 * Parse, format and patch a policy of one MiB: groups, hosts, acls, grants and nodeAttrs as people
 * write them, with comments, trailing commas and entries of one line and of several. The release
 * preset on one core; the median of several rounds counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/hujson/hujson.h"
#include "tests/bench/policy/tailnet_gen.h"

enum { ROUNDS = 15 };

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void put_logins(struct buf *out, uint32_t *seed)
{
    for (uint32_t n = 1 + next_random(seed) % 4, i = 0; i < n; i++) {
        buf_addf(out, "%s\"user%u@example.com\"", i ? ", " : "", next_random(seed) % 2000);
    }
}

static void put_groups(struct buf *out, uint32_t *seed, size_t size)
{
    buf_adds(out, "\t// Who works where. Ask the service desk for changes.\n\t\"groups\": {\n");
    for (int i = 0; out->len < size; i++) {
        if (i % 20 == 0) {
            buf_addf(out, "\n\t\t/* floor %d */\n", i / 20);
        }
        buf_addf(out, "\t\t\"group:team%d\": [", i);
        put_logins(out, seed);
        buf_adds(out, i % 5 ? "],\n" : "], // on call\n");
    }
    buf_adds(out, "\t},\n\n");
}

static void put_rules(struct buf *out, uint32_t *seed, size_t size)
{
    buf_adds(out, "\t\"acls\": [\n");
    while (out->len < size) {
        uint32_t g = next_random(seed) % 900, t = next_random(seed) % 300;
        if (g % 3) {
            buf_addf(
                out,
                "\t\t{\"action\": \"accept\", \"src\": [\"group:team%u\"], \"dst\": [\"tag:t%u:22,443\"]},\n",
                g, t);
        } else {
            buf_addf(
                out,
                "\t\t// ticket %u\n\t\t{\n\t\t\t\"action\": \"accept\",\n\t\t\t\"src\":    [\"group:team%u\", \"autogroup:admin\"],\n"
                "\t\t\t\"proto\":  \"tcp\",\n\t\t\t\"dst\": [\n\t\t\t\t\"tag:t%u:80\", // web\n\t\t\t\t\"10.%u.0.0/16:*\",\n\t\t\t],\n\t\t},\n",
                t * 7, g, t, t % 250);
        }
    }
    buf_adds(out, "\t],\n\n");
}

static void put_attrs(struct buf *out, uint32_t *seed, size_t size)
{
    buf_adds(out, "\t\"nodeAttrs\": [\n");
    while (out->len < size) {
        uint32_t g = next_random(seed) % 900;
        buf_addf(
            out,
            "\t\t{\n\t\t\t// Funnel policy, which lets tailnet members control Funnel\n\t\t\t// for their own devices.\n"
            "\t\t\t\"target\": [\"group:team%u\"],\n\t\t\t\"attr\":   [\"funnel\", \"nextdns:%06x\"],\n\t\t},\n",
            g, g * 4099);
    }
    buf_adds(out, "\t],\n}\n");
}

static void make_policy(struct buf *out)
{
    uint32_t seed = 20261124;
    buf_adds(out, "// The policy of example.com\n{\n");
    put_groups(out, &seed, MIB / 3);
    put_rules(out, &seed, 2 * MIB / 3);
    put_attrs(out, &seed, MIB - 300);
}

static double now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void say(const char *figure, double ms, const char *goal)
{
    printf("{\"figure\":\"%s\",\"value\":%.3f,\"unit\":\"ms\"%s%s%s}\n", figure, ms,
           goal ? ",\"goal\":\"" : "", goal ? goal : "", goal ? "\"" : "");
}

static struct hujson_doc *parse(struct slice text)
{
    struct hujson_diag diag;
    struct hujson_doc *d = NULL;
    if (hujson_parse(text, 2 * MIB, &diag, &d)) {
        fprintf(stderr, "line %d, column %d: %s\n", diag.line, diag.column, diag.text);
        exit(1);
    }
    return d;
}

struct bench {
    const char *figure, *goal;
    void (*run)(struct hujson_doc *d, struct buf *out);
};

static void run_parse(struct hujson_doc *d, struct buf *out)
{
    (void)out;
    hujson_free(parse(hujson_text(d)));
}

static void check(int r)
{
    if (r) {
        exit(1);
    }
}

static void run_format(struct hujson_doc *d, struct buf *out)
{
    check(hujson_format(d, out));
}

static void run_standardize(struct hujson_doc *d, struct buf *out)
{
    hujson_standardize(d, out);
}

static void run_minimize(struct hujson_doc *d, struct buf *out)
{
    check(hujson_minimize(d, out));
}

static void run_patch(struct hujson_doc *d, struct buf *out)
{
    struct hujson_diag diag;
    (void)out;
    check(hujson_patch(d,
                       S("[{\"op\":\"add\",\"path\":\"/nodeAttrs/-\",\"value\":{\"target\":[\"*\"],"
                         "\"attr\":[\"funnel\"]}},{\"op\":\"remove\",\"path\":\"/nodeAttrs/0\"}]"),
                       &diag));
}

int main(void)
{
    static const struct bench benches[] = {
        {"hujson: parse 1 MiB", "<= 10", run_parse},
        {"hujson: format 1 MiB", "<= 20", run_format},
        {"hujson: standardize 1 MiB", NULL, run_standardize},
        {"hujson: minimize 1 MiB", NULL, run_minimize},
        {"hujson: patch 1 MiB, two operations", NULL, run_patch},
    };
    struct buf text = BUF_MAX(2 * MIB), out = BUF_MAX(4 * MIB);
    make_policy(&text);
    for (size_t i = 0; i < ARRAY_LEN(benches); i++) {
        double times[ROUNDS];
        for (int k = 0; k < ROUNDS; k++) {
            struct hujson_doc *d = parse(buf_slice(&text));
            buf_clear(&out);
            double t = now_ms();
            benches[i].run(d, &out);
            times[k] = now_ms() - t;
            hujson_free(d);
        }
        say(benches[i].figure, gen_median(times, ROUNDS), benches[i].goal);
    }
    buf_deinit(&text);
    buf_deinit(&out);
    return 0;
}
