/* See the header. */
#include "tests/bench/policy/tailnet_gen.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/mem.h"

static const char *const autogroups[] = {"member",   "owner",         "admin",  "network-admin",
                                         "it-admin", "billing-admin", "auditor"};

uint32_t gen_random(uint64_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((*state >> 32) % below);
}

double gen_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double gen_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

void gen_figure(
    const char *figure, double value, const char *unit, const char *goal, const char *peer)
{
    printf("{\"figure\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"", figure, value, unit);
    if (goal) {
        printf(",\"goal\":\"%s\"", goal);
    }
    if (peer) {
        printf(",\"peer\":\"%s\"", peer);
    }
    printf("}\n");
}

static void login_of(uint32_t user, char out[64])
{
    snprintf(out, 64, "user%u@example.com", user);
}

static void tag_of(uint32_t tag, char out[64])
{
    snprintf(out, 64, "tag:service-%u", tag);
}

void gen_target_text(const struct gen_target *t, char out[64])
{
    switch (t->kind) {
    case GEN_USER:
        login_of(t->index, out);
        return;
    case GEN_GROUP:
        snprintf(out, 64, "group:team-%u", t->index);
        return;
    case GEN_TAG:
        tag_of(t->index, out);
        return;
    case GEN_TAGGED:
        snprintf(out, 64, "autogroup:tagged");
        return;
    case GEN_ROLE:
        snprintf(out, 64, "autogroup:%s", autogroups[t->index]);
        return;
    }
}

/* Most entries name people and machines; now and then one names all of a kind. */
static struct gen_target draw_target(uint64_t *seed)
{
    uint32_t draw = gen_random(seed, 1000);
    if (draw < 500) {
        return (struct gen_target){GEN_USER, gen_random(seed, GEN_USERS)};
    }
    if (draw < 700) {
        return (struct gen_target){GEN_GROUP, gen_random(seed, GEN_GROUPS)};
    }
    if (draw < 995) {
        return (struct gen_target){GEN_TAG, gen_random(seed, GEN_TAGS)};
    }
    return draw < 997 ? (struct gen_target){GEN_TAGGED, 0}
                      : (struct gen_target){GEN_ROLE, gen_random(seed, 7)};
}

static void draw_devices(struct gen *g, uint64_t *seed)
{
    for (size_t i = 0; i < g->device_count; i++) {
        struct gen_device *d = &g->devices[i];
        d->user = gen_random(seed, 100) < 70 ? gen_random(seed, GEN_USERS) : UINT32_MAX;
        d->tag_count = d->user == UINT32_MAX ? 1 + gen_random(seed, 2) : 0;
        d->tags[0] = gen_random(seed, GEN_TAGS);
        d->tags[1] = gen_random(seed, GEN_TAGS);
    }
}

static void fill_facts(struct gen *g)
{
    char text[64], tag_text[2][64];
    g->facts = policy_facts_new();
    g->facts->https = true;
    policy_facts_domain(g->facts, S("example.com"));
    for (uint32_t u = 0; u < GEN_USERS; u++) {
        login_of(u, text);
        policy_facts_user(g->facts,
                          &(struct policy_user){slice_str(text), g->roles[u], u % 97 == 5});
    }
    for (size_t i = 0; i < g->device_count; i++) {
        const struct gen_device *from = &g->devices[i];
        struct slice tags[2];
        for (uint32_t k = 0; k < from->tag_count; k++) {
            tag_of(from->tags[k], tag_text[k]);
            tags[k] = slice_str(tag_text[k]);
        }
        snprintf(text, sizeof text, "host-%zu", i);
        struct policy_device d = {.id = (int64_t)i * 3 + 7,
                                  .name = slice_str(text),
                                  .user = from->user,
                                  .tags = tags,
                                  .tag_count = from->tag_count,
                                  .ipv4 = {IP_V4, {0}},
                                  .ipv6 = {IP_V6, {0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0}}};
        for (int b = 0; b < 3; b++) {
            d.ipv4.bytes[15 - b] = d.ipv6.bytes[15 - b] = (uint8_t)(i >> (8 * b));
        }
        d.ipv4.bytes[12] = 100;
        d.ipv4.bytes[13] = (uint8_t)(64 + d.ipv4.bytes[13]);
        policy_facts_device(g->facts, &d);
    }
    policy_facts_seal(g->facts);
}

struct gen *gen_new(size_t devices, size_t entries)
{
    uint64_t seed = 20261124;
    struct gen *g = mem_new(sizeof *g);
    g->device_count = devices;
    g->devices = mem_new_array(devices, sizeof *g->devices);
    g->entry_count = entries;
    g->entries = mem_new_array(entries, sizeof *g->entries);
    for (uint32_t u = 0; u < GEN_USERS; u++) {
        g->roles[u] = u == 0 ? POLICY_OWNER : (u < 20 ? POLICY_ADMIN : POLICY_MEMBER);
    }
    for (size_t i = 0; i < GEN_GROUPS; i++) {
        for (size_t k = 0; k < GEN_MEMBERS; k++) {
            g->groups[i][k] = gen_random(&seed, GEN_USERS);
        }
    }
    for (size_t i = 0; i < entries; i++) {
        for (size_t k = 0; k < GEN_TARGETS; k++) {
            g->entries[i].targets[k] = draw_target(&seed);
        }
        for (size_t k = 0; k < GEN_ENTRY_ATTRS; k++) {
            g->entries[i].attrs[k] = gen_random(&seed, GEN_ATTRS);
        }
    }
    draw_devices(g, &seed);
    fill_facts(g);
    return g;
}

void gen_free(struct gen *g)
{
    policy_facts_unref(g->facts);
    mem_free(g->devices);
    mem_free(g->entries);
    mem_free(g);
}

static void put_definitions(const struct gen *g, struct buf *out)
{
    char text[64];
    buf_adds(out, "\t\"groups\": {\n");
    for (size_t i = 0; i < GEN_GROUPS; i++) {
        buf_addf(out, "\t\t\"group:team-%zu\": [", i);
        for (size_t k = 0; k < GEN_MEMBERS; k++) {
            login_of(g->groups[i][k], text);
            buf_addf(out, "%s\"%s\"", k ? ", " : "", text);
        }
        buf_adds(out, "],\n");
    }
    buf_adds(out, "\t},\n\t\"tagOwners\": {\n");
    for (uint32_t i = 0; i < GEN_TAGS; i++) {
        tag_of(i, text);
        buf_addf(out, "\t\t\"%s\": [\"autogroup:admin\"],\n", text);
    }
    buf_adds(out, "\t},\n");
}

/* The first attribute is funnel; every fiftieth entry has app values. */
void gen_policy(const struct gen *g, const char *extra, struct buf *out)
{
    char text[64];
    buf_adds(out, "// a made-up policy\n{\n");
    put_definitions(g, out);
    buf_adds(out, "\t\"nodeAttrs\": [\n");
    for (size_t i = 0; i < g->entry_count; i++) {
        const struct gen_entry *e = &g->entries[i];
        buf_adds(out, "\t\t{\"target\": [");
        for (size_t k = 0; k < GEN_TARGETS; k++) {
            gen_target_text(&e->targets[k], text);
            buf_addf(out, "%s\"%s\"", k ? ", " : "", text);
        }
        buf_adds(out, "], \"attr\": [");
        for (size_t k = 0; k < GEN_ENTRY_ATTRS; k++) {
            buf_adds(out, k ? ", " : "");
            if (e->attrs[k]) {
                buf_addf(out, "\"nextdns:profile-%u\"", e->attrs[k]);
            } else {
                buf_adds(out, "\"funnel\"");
            }
        }
        buf_adds(out, "]");
        if (i % 50 == 17) {
            buf_addf(out, ", \"app\": {\"example.com/cap/thing\": [{\"entry\": %zu}]}", i);
        }
        buf_adds(out, "},\n");
    }
    buf_addf(out, "\t],\n%s}\n", extra);
}
