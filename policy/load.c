/*
 * Loading a policy: syntax, then the names of all definitions, then every section by its reader,
 * then what can only be said of the whole. Every complaint is collected with its place, so that a
 * person mends a file in one round.
 */
#include "lib/base/mem.h"
#include "policy/load_priv.h"

enum {
    ARENA_MAX = 64 * MIB,   /* of a policy: a megabyte of the shortest selectors comes to 20 */
    SCRATCH_MAX = 64 * MIB, /* the same while loading */
};

/* ---- sections ---- */

static const struct load_field section_names[LOAD_SECTIONS] = {
    [SECTION_GROUPS] = {"groups", NULL, NULL},
    [SECTION_TAG_OWNERS] = {"tagOwners", NULL, NULL},
    [SECTION_HOSTS] = {"hosts", NULL, NULL},
    [SECTION_IPSETS] = {"ipsets", NULL, NULL},
    [SECTION_POSTURES] = {"postures", NULL, NULL},
    [SECTION_DEFAULT_POSTURE] = {"defaultSrcPosture", NULL, NULL},
    [SECTION_ACLS] = {"acls", NULL, NULL},
    [SECTION_GRANTS] = {"grants", NULL, NULL},
    [SECTION_NODE_ATTRS] = {"nodeAttrs", NULL, NULL},
    [SECTION_AUTO_APPROVERS] = {"autoApprovers", NULL, NULL},
    [SECTION_SSH] = {"ssh", NULL, NULL},
    [SECTION_TESTS] = {"tests", NULL, NULL},
    [SECTION_SSH_TESTS] = {"sshTests", NULL, NULL},
    [SECTION_DERP_MAP] = {"derpMap", NULL, NULL},
    [SECTION_ATTR_CONFIG] = {"attrConfig", NULL, NULL},
    [SECTION_DISABLE_IPV4] = {"disableIPv4", NULL, NULL},
    [SECTION_RANDOMIZE_PORT] = {"randomizeClientPort", NULL, NULL},
    [SECTION_CGNAT_ROUTE] = {"OneCGNATRoute", NULL, NULL},
    [SECTION_ATTR_TESTS] = {"nodeAttrTests", NULL, NULL},
};

/* In this order: selectors copy what hosts say, rules what postures and IP sets say. */
static void (*const readers[LOAD_SECTIONS])(struct loader *l, const struct hujson_node *n) = {
    [SECTION_GROUPS] = load_groups,
    [SECTION_TAG_OWNERS] = load_tag_owners,
    [SECTION_HOSTS] = load_hosts,
    [SECTION_IPSETS] = load_ipsets,
    [SECTION_POSTURES] = load_postures,
    [SECTION_DEFAULT_POSTURE] = load_default_posture,
    [SECTION_ACLS] = load_acls,
    [SECTION_GRANTS] = load_grants,
    [SECTION_NODE_ATTRS] = load_node_attrs,
    [SECTION_AUTO_APPROVERS] = load_auto_approvers,
    [SECTION_SSH] = load_ssh,
    [SECTION_TESTS] = load_tests,
    [SECTION_SSH_TESTS] = load_ssh_tests,
    [SECTION_DERP_MAP] = load_derp_map,
    [SECTION_ATTR_CONFIG] = load_attr_config,
    [SECTION_DISABLE_IPV4] = load_disable_ipv4,
    [SECTION_RANDOMIZE_PORT] = load_randomize_port,
    [SECTION_CGNAT_ROUTE] = load_cgnat_route,
    [SECTION_ATTR_TESTS] = load_attr_tests,
};

/* Both spellings in one file are refused, at the one that stands later. */
static void member_and_members(struct loader *l)
{
    size_t later = l->first_member > l->first_members ? l->first_member : l->first_members;
    if (later != SIZE_MAX) { /* neither is nowhere */
        policy_hint(load_error(l, "member-and-members", later,
                               "autogroup:member and autogroup:members cannot stand in one file"),
                    "write \"autogroup:member\" everywhere");
    }
}

static void read_root(struct loader *l)
{
    const struct hujson_node *root = hujson_root(l->doc);
    if (hujson_kind(root) != HUJSON_OBJECT) {
        load_error(l, "type", hujson_offset(root), "a policy is an object: {…}");
        return;
    }
    load_fields(l, root, section_names, LOAD_SECTIONS, l->section);
    load_definition_names(l);
    for (size_t i = 0; i < LOAD_SECTIONS && !l->no_memory; i++) {
        if (l->section[i]) {
            readers[i](l, l->section[i]);
        }
    }
    member_and_members(l);
    if (!l->errors && !l->no_memory) {
        load_warn_unused(l);
        load_warn_today(l);
    }
    l->p->group_count += l->synced_groups;
}

const struct hujson_node *policy_section(const struct hujson_doc *doc, struct slice name)
{
    const struct hujson_node *n = hujson_find_nocase(doc, hujson_root(doc), name, NULL);
    return n && hujson_kind(n) != HUJSON_NULL ? n : NULL;
}

/* ---- the object ---- */

struct policy *policy_ref(struct policy *p)
{
    __atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
    return p;
}

void policy_unref(struct policy *p)
{
    if (!p || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    hujson_free(p->doc);
    arena_free(p->arena);
    mem_free(p);
}

DEFINE_AUTO(struct policy, policy_unref)

struct slice policy_text(const struct policy *p)
{
    return hujson_text(p->doc);
}

int load_parse(struct slice text, struct hujson_diag *out_syntax, struct hujson_doc **out_doc)
{
    int rc = hujson_parse(text, POLICY_SIZE_MAX, out_syntax, out_doc);
    if (rc == HUJSON_SYNTAX && text.n && text.p[text.n - 1] != '\n' &&
        strstr(out_syntax->text, "parsing comment")) {
        struct hujson_diag again;
        struct buf ended = BUF_MAX(text.n + 1);
        buf_add(&ended, text);
        buf_addc(&ended, '\n');
        int second = buf_ok(&ended)
                         ? hujson_parse(buf_slice(&ended), POLICY_SIZE_MAX, &again, out_doc)
                         : -ENOMEM;
        buf_deinit(&ended);
        rc = second <= 0 ? second : rc;
    }
    return rc;
}

static int load(struct policy *p, const struct policy_facts *facts, struct policy_diags *diags)
{
    AUTO(arena_freep) struct arena *scratch = arena_new(SCRATCH_MAX);
    struct loader l = {.p = p,
                       .doc = p->doc,
                       .facts = facts,
                       .diags = diags,
                       .scratch = scratch,
                       .text = BUF_MAX(POLICY_SIZE_MAX),
                       .first_member = SIZE_MAX,
                       .first_members = SIZE_MAX};
    read_root(&l);
    load_find_places(&l);
    buf_deinit(&l.text);
    if (l.no_memory) {
        return err_origin(-ENOMEM);
    }
    return l.errors ? POLICY_INVALID : 0;
}

int policy_load(struct slice text,
                const struct policy_facts *facts,
                struct policy_diags *out_diags,
                struct policy **out_policy)
{
    struct hujson_diag syntax;
    *out_diags = (struct policy_diags){NULL, 0, false};
    AUTO(policy_unrefp) struct policy *p = mem_new(sizeof *p);
    p->refs = 1;
    p->arena = arena_new(ARENA_MAX);
    int rc = load_parse(text, &syntax, &p->doc);
    if (rc > 0) {
        const char *code = rc == HUJSON_TOO_BIG ? "too-big" : "syntax";
        rc = load_syntax(out_diags, text, code, &syntax);
        return rc ? err_trace(rc) : POLICY_INVALID;
    }
    rc = rc ? rc : load(p, facts, out_diags);
    if (rc < 0) {
        policy_diags_free(out_diags);
        return err_trace(rc);
    }
    if (!rc) {
        *out_policy = STEAL(p);
    }
    return rc;
}
