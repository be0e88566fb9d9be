/*
 * Facts from a file, for tools and tests. Strict, because a misspelt member would change the answer
 * without a word.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/hujson/hujson.h"
#include "policy/facts.h"

enum {
    TEXT_MAX = 64 * MIB, /* a hundred thousand devices, spaced out */
    NAME_MAX_BYTES = 512,
    WHY_SIZE = 256,
};

struct reader {
    const struct hujson_doc *doc;
    struct policy_facts *f;
    char *why;
    struct buf text; /* the string read last */
    struct buf name; /* of the member at hand */
    struct buf key;  /* of the user or node at hand */
};

static bool refuse(struct reader *r, size_t offset, const char *fmt, ...) PRINTF_LIKE(3, 4);

static bool refuse(struct reader *r, size_t offset, const char *fmt, ...)
{
    int line, column;
    hujson_position(r->doc, offset, &line, &column);
    char what[WHY_SIZE];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    text_cut(r->why, WHY_SIZE, "line %d, column %d: %s", line, column, what);
    return false;
}

/* ---- values ---- */

/* Borrowed until the next string is read. */
static bool get_text(struct reader *r, const struct hujson_node *n, struct slice *out_text)
{
    *out_text = S("");
    buf_clear(&r->text);
    if (hujson_kind(n) != HUJSON_STRING || !hujson_string(r->doc, n, &r->text) ||
        !buf_ok(&r->text)) {
        return refuse(r, hujson_offset(n), "a string must stand here");
    }
    *out_text = buf_slice(&r->text);
    return true;
}

static bool get_flag(struct reader *r, const struct hujson_node *n, bool *out_flag)
{
    if (hujson_kind(n) != HUJSON_TRUE && hujson_kind(n) != HUJSON_FALSE) {
        return refuse(r, hujson_offset(n), "true or false must stand here");
    }
    *out_flag = hujson_kind(n) == HUJSON_TRUE;
    return true;
}

static bool must_be(struct reader *r, const struct hujson_node *n, enum hujson_kind kind)
{
    if (hujson_kind(n) == kind) {
        return true;
    }
    return refuse(r, hujson_offset(n), "%s must stand here",
                  kind == HUJSON_OBJECT ? "an object" : "an array");
}

/* An object whose names are all there and all different. */
static bool must_be_names(struct reader *r, const struct hujson_node *n)
{
    if (!must_be(r, n, HUJSON_OBJECT)) {
        return false;
    }
    AUTO(map_freep) struct map *seen = map_new();
    bool ok = true;
    for (size_t i = 0; ok && i < hujson_count(n); i++) {
        buf_clear(&r->name);
        ok = (hujson_name(r->doc, n, i, &r->name) && r->name.len) ||
             refuse(r, hujson_name_offset(n, i), "a name of at most %d bytes must stand here",
                    NAME_MAX_BYTES);
        if (ok && map_set(seen, buf_slice(&r->name), r)) {
            ok =
                refuse(r, hujson_name_offset(n, i), "\"%s\" stands here twice", buf_cstr(&r->name));
        }
    }
    return ok;
}

/* ---- members by table ---- */

typedef bool (*read_fn)(struct reader *r, const struct hujson_node *n, void *into);

struct member_reader {
    const char *name;
    read_fn read;
};

/* Names have been judged by must_be_names. */
static bool read_member(struct reader *r,
                        const struct hujson_node *obj,
                        size_t i,
                        const struct member_reader *table,
                        size_t count,
                        void *into)
{
    const struct hujson_node *value = hujson_at(obj, i);
    buf_clear(&r->name);
    if (!hujson_name(r->doc, obj, i, &r->name)) {
        return false;
    }
    for (size_t k = 0; k < count; k++) {
        if (slice_eq(buf_slice(&r->name), slice_str(table[k].name))) {
            return hujson_kind(value) == HUJSON_NULL || !table[k].read ||
                   table[k].read(r, value, into);
        }
    }
    return refuse(r, hujson_name_offset(obj, i), "unknown member \"%s\"", buf_cstr(&r->name));
}

static bool read_members(struct reader *r,
                         const struct hujson_node *obj,
                         const struct member_reader *table,
                         size_t count,
                         void *into)
{
    if (!must_be_names(r, obj)) {
        return false;
    }
    for (size_t i = 0; i < hujson_count(obj); i++) {
        if (!read_member(r, obj, i, table, count, into)) {
            return false;
        }
    }
    return true;
}

/* ---- a device ---- */

struct draft {
    struct policy_device d;
    struct slice *tags;
};

static bool read_addr(struct reader *r, const struct hujson_node *n, struct ip_addr *out_addr)
{
    struct slice text;
    return get_text(r, n, &text) &&
           (ip_addr_parse(text, out_addr) ||
            refuse(r, hujson_offset(n), "\"%s\" is not an IP address", buf_cstr(&r->text)));
}

static bool read_ipv4(struct reader *r, const struct hujson_node *n, void *into)
{
    return read_addr(r, n, &((struct draft *)into)->d.ipv4);
}

static bool read_ipv6(struct reader *r, const struct hujson_node *n, void *into)
{
    return read_addr(r, n, &((struct draft *)into)->d.ipv6);
}

static bool read_external(struct reader *r, const struct hujson_node *n, void *into)
{
    return get_flag(r, n, &((struct draft *)into)->d.external);
}

/* Members come in any order, so a login that is not one of ours is complained about later, when it
 * is known whether the device is. */
static bool read_owner(struct reader *r, const struct hujson_node *n, void *into)
{
    struct slice login;
    if (!get_text(r, n, &login)) {
        return false;
    }
    ((struct draft *)into)->d.user = policy_facts_find_user(r->f, login);
    return true;
}

static bool read_tags(struct reader *r, const struct hujson_node *n, void *into)
{
    struct draft *t = into;
    if (!must_be(r, n, HUJSON_ARRAY)) {
        return false;
    }
    mem_free(t->tags);
    t->tags = mem_new_array(hujson_count(n), sizeof *t->tags);
    t->d.tags = t->tags;
    t->d.tag_count = 0;
    for (size_t i = 0; i < hujson_count(n); i++) {
        struct slice tag;
        if (!get_text(r, hujson_at(n, i), &tag)) {
            return false;
        }
        /* the string's bytes move with the next one: borrow them from the facts instead */
        t->tags[t->d.tag_count++] = policy_facts_keep(r->f, tag);
    }
    return true;
}

static const struct member_reader device_members[] = {
    {"ipv4", read_ipv4}, {"ipv6", read_ipv6},         {"user", read_owner},
    {"tags", read_tags}, {"external", read_external},
};

static bool read_device(struct reader *r, const struct hujson_node *nodes, size_t i)
{
    const struct hujson_node *n = hujson_at(nodes, i);
    struct draft t = {.d = {.id = (int64_t)i + 1, .user = POLICY_NO_USER}};
    bool ok = read_members(r, n, device_members, ARRAY_LEN(device_members), &t);
    const struct hujson_node *user = ok ? hujson_find(r->doc, n, S("user")) : NULL;
    if (user && hujson_kind(user) == HUJSON_STRING && t.d.user == POLICY_NO_USER && !t.d.external &&
        !t.d.tag_count) {
        ok = refuse(r, hujson_offset(user), "this login is not among the users");
    }
    buf_clear(&r->key);
    ok = ok && hujson_name(r->doc, nodes, i, &r->key);
    if (ok) {
        t.d.name = buf_slice(&r->key);
        policy_facts_device(r->f, &t.d);
    }
    mem_free(t.tags);
    return ok;
}

/* ---- the tailnet ---- */

static bool read_domains(struct reader *r, const struct hujson_node *n, void *into)
{
    (void)into;
    if (!must_be(r, n, HUJSON_ARRAY)) {
        return false;
    }
    for (size_t i = 0; i < hujson_count(n); i++) {
        struct slice text;
        if (!get_text(r, hujson_at(n, i), &text)) {
            return false;
        }
        policy_facts_domain(r->f, text);
    }
    return true;
}

static bool read_https(struct reader *r, const struct hujson_node *n, void *into)
{
    (void)into;
    return get_flag(r, n, &r->f->https);
}

static bool read_ports(struct reader *r, const struct hujson_node *n, void *into)
{
    struct slice text;
    (void)into;
    return get_text(r, n, &text) &&
           (policy_facts_ports(r->f, text) ||
            refuse(r, hujson_offset(n), "\"%s\" is not a list of ports", buf_cstr(&r->text)));
}

static bool read_user(struct reader *r, const struct hujson_node *users, size_t i)
{
    struct policy_user u = {.role = POLICY_MEMBER};
    struct slice role;
    buf_clear(&r->key);
    if (!hujson_name(r->doc, users, i, &r->key) || !get_text(r, hujson_at(users, i), &role)) {
        return false;
    }
    if (!policy_role_parse(role, &u.role)) {
        return refuse(r, hujson_offset(hujson_at(users, i)), "\"%s\" is not a role",
                      buf_cstr(&r->text));
    }
    u.login = buf_slice(&r->key);
    policy_facts_user(r->f, &u);
    return true;
}

static bool read_users(struct reader *r, const struct hujson_node *n, void *into)
{
    (void)into;
    bool ok = must_be_names(r, n);
    for (size_t i = 0; ok && i < hujson_count(n); i++) {
        ok = read_user(r, n, i);
    }
    return ok;
}

static bool read_suspended(struct reader *r, const struct hujson_node *n, void *into)
{
    (void)into;
    if (!must_be(r, n, HUJSON_ARRAY)) {
        return false;
    }
    for (size_t i = 0; i < hujson_count(n); i++) {
        struct slice login;
        if (!get_text(r, hujson_at(n, i), &login)) {
            return false;
        }
        uint32_t user = policy_facts_find_user(r->f, login);
        if (user == POLICY_NO_USER) {
            return refuse(r, hujson_offset(hujson_at(n, i)), "this login is not among the users");
        }
        r->f->users[user].suspended = true;
    }
    return true;
}

static bool read_nodes(struct reader *r, const struct hujson_node *n, void *into)
{
    (void)into;
    if (!must_be_names(r, n)) {
        return false;
    }
    for (size_t i = 0; i < hujson_count(n); i++) {
        if (!read_device(r, n, i)) {
            return false;
        }
    }
    return true;
}

/* Users first: suspended and nodes refer to them, in whatever order the file has its members. */
static bool read_tailnet(struct reader *r)
{
    static const struct member_reader first[] = {
        {"users", read_users}, {"suspended", NULL},   {"nodes", NULL}, {"domains", NULL},
        {"https", NULL},       {"funnelPorts", NULL}, {"about", NULL},
    };
    static const struct member_reader second[] = {
        {"users", NULL},           {"suspended", read_suspended}, {"nodes", read_nodes},
        {"domains", read_domains}, {"https", read_https},         {"funnelPorts", read_ports},
        {"about", NULL},
    };
    const struct hujson_node *root = hujson_root(r->doc);
    return read_members(r, root, first, ARRAY_LEN(first), NULL) &&
           read_members(r, root, second, ARRAY_LEN(second), NULL);
}

int policy_facts_read(struct slice text, char out_why[256], struct policy_facts **out_facts)
{
    struct hujson_diag diag;
    AUTO(hujson_freep) struct hujson_doc *doc = NULL;
    int rc = hujson_parse(text, TEXT_MAX, &diag, &doc);
    if (rc) {
        if (rc > 0) {
            text_cut(out_why, WHY_SIZE, "line %d, column %d: %s", diag.line, diag.column,
                     diag.text);
        }
        return rc < 0 ? err_trace(rc) : POLICY_FACTS_BAD;
    }
    AUTO(policy_facts_unrefp) struct policy_facts *f = policy_facts_new();
    struct reader r = {.doc = doc, .f = f, .why = out_why};
    struct buf *const bufs[] = {&r.text, &r.name, &r.key};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
        *bufs[i] = BUF_MAX(NAME_MAX_BYTES);
        rc = rc ? rc : buf_reserve(bufs[i], NAME_MAX_BYTES); /* once, so that full means too long */
    }
    bool ok = !rc && read_tailnet(&r);
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
        buf_deinit(bufs[i]);
    }
    if (!ok) {
        return rc ? err_origin(-ENOMEM) : POLICY_FACTS_BAD;
    }
    policy_facts_seal(f);
    *out_facts = STEAL(f);
    return 0;
}
