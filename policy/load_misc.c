/*
 * Sections that stand alone: automatic approval, and the settings of the whole network. derpMap and
 * attrConfig are passed through; what is numeric in a DERP map is checked for its range.
 */
#include "policy/load_priv.h"

void load_default_posture(struct loader *l, const struct hujson_node *n)
{
    load_posture_list(l, n, &l->p->default_postures);
}

void load_attr_config(struct loader *l, const struct hujson_node *n)
{
    if (load_is_object(l, n)) {
        load_opaque(l, n);
    }
}

void load_disable_ipv4(struct loader *l, const struct hujson_node *n)
{
    err_ignore(load_bool(l, n, &l->p->disable_ipv4));
}

void load_randomize_port(struct loader *l, const struct hujson_node *n)
{
    err_ignore(load_bool(l, n, &l->p->randomize_client_port));
}

void load_cgnat_route(struct loader *l, const struct hujson_node *n)
{
    struct slice text;
    if (!load_string(l, n, &text)) {
        return;
    }
    if (slice_eq(text, S("mac-always"))) {
        l->p->cgnat_route = CGNAT_ROUTE_MAC_ALWAYS;
    } else if (slice_eq(text, S("mac-never"))) {
        l->p->cgnat_route = CGNAT_ROUTE_MAC_NEVER;
    } else if (text.n) {
        load_error(l, "cgnat-route", hujson_offset(n),
                   "\"" SLICE_FMT "\" is not one of \"\", \"mac-always\" and \"mac-never\"",
                   SLICE_ARG(text));
    }
}

/* ---- autoApprovers ---- */

static bool route_key(struct loader *l, struct approver *a)
{
    if (ip_prefix_parse(a->key.text, &a->prefix, NULL)) {
        return true;
    }
    load_error(l, "approver-route", a->key.offset, "\"" SLICE_FMT "\": not a CIDR",
               SLICE_ARG(a->key.text));
    return false;
}

/* A service by its name, or, as Tailscale's files have it, all that devices of a tag offer. */
static bool service_key(struct loader *l, struct approver *a)
{
    struct selector tag;
    if (slice_starts(a->key.text, S("tag:"))) {
        return load_selector_text(l, PLACE_SERVICE_TAG, a->key.text, a->key.offset, &tag);
    }
    if (slice_starts(a->key.text, S("svc:")) && a->key.text.n > 4) {
        return true;
    }
    load_hint_prefix(load_error(l, "approver-service", a->key.offset,
                                "\"" SLICE_FMT
                                "\": names of services start with 'svc:', then the name",
                                SLICE_ARG(a->key.text)),
                     "svc:", a->key.text);
    return false;
}

static struct approver *approvers(struct loader *l,
                                  const struct hujson_node *n,
                                  bool (*key)(struct loader *l, struct approver *a),
                                  size_t *out_count)
{
    struct name_ref *names = load_is_object(l, n) ? load_names(l, n) : NULL;
    struct approver *at = names ? load_alloc(l, hujson_count(n), sizeof *at) : NULL;
    size_t count = 0;
    for (size_t i = 0; at && i < hujson_count(n); i++) {
        struct approver *a = &at[count];
        a->key = (struct word){names[i].name, names[i].offset};
        if (names[i].name.p && key(l, a)) {
            load_selectors(l, PLACE_APPROVER, hujson_at(n, i), &a->who);
            count++;
        }
    }
    *out_count = count;
    return at;
}

static void read_routes(struct loader *l, const struct hujson_node *n, void *into)
{
    struct policy *p = into;
    p->routes = approvers(l, n, route_key, &p->route_count);
}

static void read_services(struct loader *l, const struct hujson_node *n, void *into)
{
    struct policy *p = into;
    p->services = approvers(l, n, service_key, &p->service_count);
}

static void read_exit_node(struct loader *l, const struct hujson_node *n, void *into)
{
    load_selectors(l, PLACE_APPROVER, n, &((struct policy *)into)->exit_node);
}

static void read_funnel(struct loader *l, const struct hujson_node *n, void *into)
{
    load_selectors(l, PLACE_APPROVER, n, &((struct policy *)into)->funnel_approvers);
}

static const struct load_field approver_fields[] = {
    {"routes", read_routes, NULL},
    {"exitNode", read_exit_node, NULL},
    {"services", read_services, NULL},
    {"funnel", read_funnel, NULL},
};

void load_auto_approvers(struct loader *l, const struct hujson_node *n)
{
    if (load_is_object(l, n)) {
        load_fields(l, n, approver_fields, ARRAY_LEN(approver_fields), l->p);
    }
}

/* ---- derpMap ---- */

static void number_in(struct loader *l, const struct hujson_node *n, int64_t min, int64_t max)
{
    int64_t any;
    if (hujson_kind(n) != HUJSON_NUMBER || !hujson_integer(l->doc, n, min, max, &any)) {
        load_error(l, "type", hujson_offset(n), "a number from %lld to %lld must stand here",
                   (long long)min, (long long)max);
    }
}

/* -1 turns STUN off. */
static void check_port(struct loader *l, const struct hujson_node *n)
{
    number_in(l, n, -1, UINT16_MAX);
}

static void check_region_id(struct loader *l, const struct hujson_node *n)
{
    number_in(l, n, 1, INT32_MAX);
}

static void check_bool(struct loader *l, const struct hujson_node *n)
{
    bool any;
    err_ignore(load_bool(l, n, &any));
}

static void check_string(struct loader *l, const struct hujson_node *n)
{
    struct slice any;
    err_ignore(load_string(l, n, &any));
}

struct check {
    const char *name;
    void (*check)(struct loader *l, const struct hujson_node *n);
};

/* Members that we do not know are passed through; the two levels of lists are walked below. */
static void check_members(struct loader *l,
                          const struct hujson_node *obj,
                          const struct check *checks,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct hujson_node *n =
            hujson_find_nocase(l->doc, obj, slice_str(checks[i].name), NULL);
        if (n && hujson_kind(n) != HUJSON_NULL) {
            checks[i].check(l, n);
        }
    }
}

static const struct check node_checks[] = {
    {"Name", check_string},     {"RegionID", check_region_id}, {"HostName", check_string},
    {"CertName", check_string}, {"IPv4", check_string},        {"IPv6", check_string},
    {"STUNPort", check_port},   {"DERPPort", check_port},      {"STUNOnly", check_bool},
    {"CanPort80", check_bool},
};

static void check_nodes(struct loader *l, const struct hujson_node *n)
{
    for (size_t i = 0; load_is_array(l, n) && i < hujson_count(n); i++) {
        if (load_is_object(l, hujson_at(n, i))) {
            check_members(l, hujson_at(n, i), node_checks, ARRAY_LEN(node_checks));
        }
    }
}

static const struct check region_checks[] = {
    {"RegionID", check_region_id}, {"RegionCode", check_string}, {"RegionName", check_string},
    {"Avoid", check_bool},         {"Nodes", check_nodes},
};

static void check_regions(struct loader *l, const struct hujson_node *n)
{
    for (size_t i = 0; load_is_object(l, n) && i < hujson_count(n); i++) {
        const struct hujson_node *region = hujson_at(n, i);
        struct slice name;
        uint64_t id;
        if (load_name(l, n, i, &name) && (!slice_u64(name, INT32_MAX, &id) || !id)) {
            load_error(l, "type", hujson_name_offset(n, i),
                       "\"" SLICE_FMT "\": the number of a region must stand here",
                       SLICE_ARG(name));
        }
        if (hujson_kind(region) != HUJSON_NULL && load_is_object(l, region)) {
            check_members(l, region, region_checks, ARRAY_LEN(region_checks));
        }
    }
}

static const struct check map_checks[] = {
    {"OmitDefaultRegions", check_bool},
    {"Regions", check_regions},
};

void load_derp_map(struct loader *l, const struct hujson_node *n)
{
    if (load_is_object(l, n)) {
        load_opaque(l, n);
        check_members(l, n, map_checks, ARRAY_LEN(map_checks));
    }
}
