/*
 * An attribute that is not set fails every comparison, the negative ones too. Numbers are compared
 * as numbers when the attribute is one, otherwise as versions: dotted numbers, missing parts are
 * zero, and what follows a dash does not count ("1.56.1-t906f85d10" is 1.56.1).
 */
#include "policy/posture.h"

#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"

/* One attribute of the device. */
struct attribute {
    enum hujson_kind kind;
    struct slice text; /* as it would stand in an assertion */
};

struct attributes {
    const struct hujson_doc *doc;
    struct map *by_name; /* to where the node stands in an array */
};

static bool
find(const struct attributes *all, struct slice name, struct buf *scratch, struct attribute *out)
{
    const struct hujson_node *const *at = map_get(all->by_name, name), *n;
    if (!at) {
        return false;
    }
    n = *at;
    out->kind = hujson_kind(n);
    if (out->kind != HUJSON_STRING) {
        out->text = hujson_literal(all->doc, n);
        return out->kind == HUJSON_NUMBER || out->kind == HUJSON_TRUE || out->kind == HUJSON_FALSE;
    }
    return hujson_string_slice(all->doc, n, scratch, &out->text);
}

static bool number(struct slice text, double *out)
{
    char copy[64], *end;
    if (!text.n || !slice_copy(text, copy, sizeof copy) ||
        strspn(copy, "0123456789.eE+-") != text.n) {
        return false; /* also "inf", "nan" and hexadecimal, which strtod takes */
    }
    *out = strtod(copy, &end);
    return !*end;
}

/* Cuts the next number off a version; false: it is none. The end is 0. */
static bool version_part(struct slice *rest, uint64_t *out)
{
    struct slice part;
    *out = 0;
    return !slice_split(rest, '.', &part) || slice_u64(part, UINT32_MAX, out);
}

static bool version_cmp(struct slice a, struct slice b, int *out)
{
    ptrdiff_t dash_a = slice_find(a, '-'), dash_b = slice_find(b, '-');
    a = dash_a < 0 ? a : slice_sub(a, 0, (size_t)dash_a);
    b = dash_b < 0 ? b : slice_sub(b, 0, (size_t)dash_b);
    if (!a.n || !b.n) {
        return false;
    }
    *out = 0;
    while (a.n || b.n) {
        uint64_t x, y;
        if (!version_part(&a, &x) || !version_part(&b, &y)) {
            return false;
        }
        *out = *out ? *out : (x > y) - (x < y);
    }
    return true;
}

/* -1, 0, 1; false: the two do not compare. */
static bool compare(const struct attribute *have, struct slice want, int *out)
{
    double x, y;
    if (have->kind == HUJSON_NUMBER) {
        if (!number(have->text, &x) || !number(want, &y)) {
            return false;
        }
        *out = (x > y) - (x < y);
        return true;
    }
    return have->kind == HUJSON_STRING && version_cmp(have->text, want, out);
}

static bool equal(const struct attribute *have, struct slice want)
{
    double x, y;
    if (have->kind != HUJSON_NUMBER) {
        return slice_eq(have->text, want);
    }
    return number(have->text, &x) && number(want, &y) && x == y;
}

static bool among(const struct attribute *have, const struct posture_assertion *a)
{
    bool found = false;
    for (size_t i = 0; i < a->value_count; i++) {
        found |= equal(have, a->values[i]);
    }
    return found;
}

static bool asserts(const struct attribute *have, const struct posture_assertion *a)
{
    int c;
    switch (a->op) {
    case POSTURE_EQUAL:
    case POSTURE_IN:
        return among(have, a);
    case POSTURE_NOT_EQUAL:
    case POSTURE_NOT_IN:
        return !among(have, a);
    case POSTURE_LESS:
        return compare(have, a->values[0], &c) && c < 0;
    case POSTURE_LESS_EQUAL:
        return compare(have, a->values[0], &c) && c <= 0;
    case POSTURE_GREATER:
        return compare(have, a->values[0], &c) && c > 0;
    case POSTURE_GREATER_EQUAL:
        return compare(have, a->values[0], &c) && c >= 0;
    case POSTURE_SET:
        return true;
    case POSTURE_NOT_SET:
        break;
    }
    return false;
}

static bool posture_holds(const struct attributes *all, const struct posture *p)
{
    bool holds = true;
    struct buf scratch = BUF_MAX(4 * KIB);
    for (size_t i = 0; holds && i < p->assertion_count; i++) {
        const struct posture_assertion *a = &p->assertions[i];
        struct attribute have;
        holds =
            find(all, a->attribute, &scratch, &have) ? asserts(&have, a) : a->op == POSTURE_NOT_SET;
    }
    buf_deinit(&scratch);
    return holds;
}

void policy_postures_hold(const struct policy *p,
                          const struct hujson_doc *doc,
                          const struct hujson_node *attrs,
                          bool *holds)
{
    struct attributes all = {doc, map_new()};
    struct buf name = BUF_MAX(4 * KIB);
    struct slice text;
    AUTO_FREE const struct hujson_node **nodes =
        mem_new_array(hujson_count(attrs), sizeof(void *)); /* LOAD_LIST_MAX at most */
    for (size_t i = 0; i < hujson_count(attrs); i++) {
        nodes[i] = hujson_at(attrs, i);
        if (hujson_name_slice(doc, attrs, i, &name, &text)) {
            map_set(all.by_name, text, &nodes[i]);
        }
    }
    for (size_t i = 0; i < p->posture_count; i++) {
        holds[i] = posture_holds(&all, &p->postures[i]);
    }
    map_free(all.by_name);
    buf_deinit(&name);
}
