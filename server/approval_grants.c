/* What an approval could grant, narrow to wide, each with the policy after it and the difference:
 * edits of the file are made in the pool. */
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "server/app.h"

enum { COMMENT_MAX = 600, TAGS_SHOWN = 4 };

struct grants_job {
    struct app *app;
    struct policy_version *version;
    struct policy *policy;
    struct store_node node;
    struct js *tags;  /* of the node */
    bool named_ports; /* the entry must say them */
    struct grants grants;
    approval_grants_fn fn;
    void *arg;
};

static void comment_for(const struct store_node *n, struct slice selector, struct buf *out)
{
    if (slice_eq(selector, S("autogroup:member"))) {
        buf_adds(out, policy_funnel_comment);
    } else if (slice_eq(selector, slice_str(n->ipv4))) {
        buf_addf(out, "Funnel for the device %s.", n->label);
    } else if (slice_starts(selector, S("tag:"))) {
        buf_addf(out, "Funnel for devices with " SLICE_FMT ".", SLICE_ARG(selector));
    } else {
        buf_addf(out, "Funnel for the devices of %s.", n->login);
    }
}

static enum policy_edit_result
edit(const struct grants_job *j, struct grant *g, struct slice comment, struct policy_diags *diags)
{
    static const struct slice names[] = {
        {"443", 3},
        {"8443", 4},
        {"10000", 5},
    };
    struct slice before = buf_slice(&j->version->text), ports[ARRAY_LEN(names)];
    struct policy_ports list = {ports, 0};
    for (size_t i = 0; j->named_ports && i < ARRAY_LEN(names); i++) {
        if (j->grants.ports >> i & 1u) {
            ports[list.count++] = names[i];
        }
    }
    return policy_add_funnel_ports(before, slice_str(g->selector), comment, &list, &g->text, diags);
}

static struct grant *try_grant(struct grants_job *j, struct slice selector)
{
    struct grant *g = &j->grants.items[j->grants.count++];
    struct slice before = buf_slice(&j->version->text);
    struct policy_diags diags = {NULL, 0, false};
    struct buf comment = BUF_MAX(COMMENT_MAX);
    buf_init(&g->text, POLICY_SIZE_MAX + 4096);
    buf_init(&g->diff, POLICY_SIZE_MAX);
    text_fit(g->selector, sizeof g->selector, SLICE_FMT, SLICE_ARG(selector));
    comment_for(&j->node, selector, &comment);
    g->result = edit(j, g, buf_slice(&comment), &diags);
    if (g->result == POLICY_SPLICED || g->result == POLICY_CHANGED) {
        policy_diff(before, buf_slice(&g->text), 3, &g->diff);
    } else if (g->result == POLICY_REFUSED && diags.count) {
        text_cut(g->why, sizeof g->why, "%s", diags.items[0].message);
    }
    policy_diags_free(&diags);
    buf_deinit(&comment);
    return g;
}

/* A grant that misses the node is no choice: autogroup:member never covers a tagged one. */
static void grants_work(void *arg)
{
    struct grants_job *j = arg;
    const struct store_node *n = &j->node;
    struct grants *out = &j->grants;
    struct grant *g = try_grant(j, slice_str(n->ipv4));
    text_cut(g->words, sizeof g->words, "only this device (%s)", n->label);
    for (size_t i = 0; i < js_len(j->tags) && i < TAGS_SHOWN; i++) {
        struct slice tag = js_str(js_at(j->tags, i));
        if (tag.n < sizeof g->selector) {
            g = try_grant(j, tag);
            text_cut(g->words, sizeof g->words, "all devices with %s", g->selector);
        }
    }
    if (n->login[0] && !js_len(j->tags)) {
        g = try_grant(j, slice_str(n->login));
        text_cut(g->words, sizeof g->words, "all devices of %s", n->login);
        g = try_grant(j, S("autogroup:member"));
        text_cut(g->words, sizeof g->words, "every member's own devices (wide)");
        /* ARCHITECTURE section 8: the default of the field where nobody has the right yet, else the
         * narrowest. */
        out->preselected = policy_grants_anyone(j->policy, S("funnel")) ? 0 : out->count - 1;
    }
}

/* Everything that a person sees and that would be done. */
static void stamp(struct grants_job *j)
{
    uint8_t hash[STORE_HASH_SIZE];
    struct buf text = BUF_MAX((size_t)GRANTS_MAX * POLICY_SIZE_MAX), hex = BUF_MAX(64);
    buf_addf(&text, "shown:%u:%d", j->grants.ports, j->app->tailnet.https_enabled);
    for (size_t i = 0; i < j->grants.count; i++) {
        const struct grant *g = &j->grants.items[i];
        buf_addf(&text, "\n%s %d\n", g->selector, (int)g->result);
        buf_add(&text, buf_slice(&g->diff));
    }
    secrets_hash(&j->app->secrets, buf_slice(&text), hash);
    text_hex(&hex, slice_of(hash, sizeof hash));
    text_fit(j->grants.stamp, sizeof j->grants.stamp, "%s", buf_cstr(&hex));
    buf_deinit(&text);
    buf_deinit(&hex);
}

static void grants_done(void *arg)
{
    struct grants_job *j = arg;
    if (!j->grants.busy) {
        stamp(j);
    }
    j->fn(j->arg, &j->grants);
    for (size_t i = 0; i < j->grants.count; i++) {
        buf_deinit(&j->grants.items[i].text);
        buf_deinit(&j->grants.items[i].diff);
    }
    policy_version_unref(j->version);
    policy_unref(j->policy);
    js_free(j->tags);
    mem_free(j);
}

/* An entry says its ports where they are not the default list, and where another entry that limits
 * the device would take the default list away (policy.md 3.3). */
static bool
needs_named_ports(struct app *a, const struct store_node *n, int64_t port, unsigned ports)
{
    const struct policy_facts *f = policy_snapshot_facts(policy_state_snapshot(a));
    bool usual = ports == PORTS_ALL && policy_state_gate(a, n, port) != POLICY_GATE_PORT;
    return !usual || !port_ranges_have(f->funnel_ports, f->funnel_port_count, (uint16_t)port);
}

static struct js *read_tags(struct app *a, const struct store_node *n)
{
    char why[100];
    struct buf text = BUF_MAX(16 * KIB);
    struct js *tags = store_node_tags(a->db, n->id, &text)
                          ? NULL
                          : js_parse(buf_slice(&text), 16 * KIB, why, sizeof why);
    buf_deinit(&text);
    return tags;
}

void approval_grants(struct app *a,
                     const struct store_node *n,
                     int64_t port,
                     unsigned ports,
                     approval_grants_fn fn,
                     void *arg)
{
    struct grants_job *j = mem_new(sizeof *j);
    *j = (struct grants_job){.app = a,
                             .version = policy_version_ref(policy_state_version(a)),
                             .policy = policy_ref(policy_snapshot_policy(policy_state_snapshot(a))),
                             .node = *n,
                             .tags = read_tags(a, n),
                             .named_ports = needs_named_ports(a, n, port, ports),
                             .fn = fn,
                             .arg = arg};
    j->grants.rev = j->version->meta.id;
    j->grants.ports = ports;
    text_fit(j->grants.etag, sizeof j->grants.etag, "%s", j->version->meta.etag);
    if (pool_run(a->pool, grants_work, grants_done, j) < 0) {
        j->grants.busy = true;
        grants_done(j);
    }
}

void request_owner(struct app *a, const struct store_node *n, char out[STORE_NAME_SIZE])
{
    AUTO(js_freep) struct js *tags = read_tags(a, n);
    struct buf text = BUF_MAX(STORE_NAME_SIZE - 1);
    for (size_t i = 0; i < js_len(tags); i++) {
        buf_adds(&text, i ? ", " : "");
        buf_add(&text, js_str(js_at(tags, i)));
    }
    if (!js_len(tags)) {
        buf_adds(&text, n->login);
    }
    text_cut(out, STORE_NAME_SIZE, "%s", buf_ok(&text) ? buf_cstr(&text) : "a tagged device");
    buf_deinit(&text);
}
