/*
 * Postures: "attribute operator value" (policy.md 2.6), read into parts so that whoever evaluates
 * them does not parse. Strings stand in single or double quotes, numbers, versions and booleans
 * bare or quoted, lists in brackets.
 */
#include "policy/load_priv.h"

struct operator_form {
    const char *text;
    enum posture_operator op;
};

/* Longer forms first. Words are matched without regard to case. */
static const struct operator_form operators[] = {
    {"IS SET", POSTURE_SET},    {"NOT SET", POSTURE_NOT_SET},  {"NOT IN", POSTURE_NOT_IN},
    {"IN", POSTURE_IN},         {"==", POSTURE_EQUAL},         {"!=", POSTURE_NOT_EQUAL},
    {"<=", POSTURE_LESS_EQUAL}, {">=", POSTURE_GREATER_EQUAL}, {"<", POSTURE_LESS},
    {">", POSTURE_GREATER},
};

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The form at the start of s, where one blank stands for several; 0: no. */
static size_t match(struct slice s, const char *form)
{
    size_t i = 0;
    for (; *form; form++) {
        if (*form == ' ') {
            size_t before = i;
            while (i < s.n && blank(s.p[i])) {
                i++;
            }
            if (i == before) {
                return 0;
            }
        } else if (i == s.n || !slice_eq_nocase(slice_sub(s, i, 1), slice_of(form, 1))) {
            return 0;
        } else {
            i++;
        }
    }
    return i;
}

static bool attribute_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' ||
           c == '_' || c == '-' || c == '.';
}

/* One value at the start of *rest, quoted or bare; false: there is none. */
static bool take_value(struct slice *rest, struct slice *out_value)
{
    char quote = '\0';
    if (rest->n) {
        quote = rest->p[0];
    }
    if (quote == '\'' || quote == '"') {
        ptrdiff_t end = slice_find(slice_skip(*rest, 1), quote);
        if (end < 0) {
            return false;
        }
        *out_value = slice_sub(*rest, 1, (size_t)end);
        *rest = slice_trim(slice_skip(*rest, (size_t)end + 2));
        return true;
    }
    size_t n = 0;
    while (n < rest->n && attribute_character(rest->p[n])) {
        n++;
    }
    *out_value = slice_sub(*rest, 0, n);
    *rest = slice_trim(slice_skip(*rest, n));
    return n > 0;
}

static bool take_char(struct slice *rest, char c)
{
    if (!rest->n || rest->p[0] != c) {
        return false;
    }
    *rest = slice_trim(slice_skip(*rest, 1));
    return true;
}

static bool take_list(struct loader *l, struct slice rest, struct posture_assertion *a)
{
    size_t most = rest.n; /* every value takes a byte */
    struct slice value;
    if (!take_char(&rest, '[')) {
        return false;
    }
    a->values = load_alloc(l, most, sizeof *a->values);
    while (a->values && take_value(&rest, &value)) {
        a->values[a->value_count++] = value;
        if (!take_char(&rest, ',')) {
            break;
        }
    }
    return a->value_count && take_char(&rest, ']') && !rest.n;
}

static bool take_one(struct loader *l, struct slice rest, struct posture_assertion *a)
{
    a->values = load_alloc(l, 1, sizeof *a->values);
    a->value_count = a->values && take_value(&rest, &a->values[0]);
    return a->value_count && !rest.n;
}

static bool take_values(struct loader *l, struct slice rest, struct posture_assertion *a)
{
    switch (a->op) {
    case POSTURE_SET:
    case POSTURE_NOT_SET:
        return !rest.n;
    case POSTURE_IN:
    case POSTURE_NOT_IN:
        return take_list(l, rest, a);
    case POSTURE_EQUAL:
    case POSTURE_NOT_EQUAL:
    case POSTURE_LESS:
    case POSTURE_LESS_EQUAL:
    case POSTURE_GREATER:
    case POSTURE_GREATER_EQUAL:
        return take_one(l, rest, a);
    }
    return false;
}

static bool parse(struct loader *l, struct slice text, struct posture_assertion *a)
{
    struct slice rest = slice_trim(text);
    size_t n = 0;
    while (n < rest.n && attribute_character(rest.p[n])) {
        n++;
    }
    a->attribute = slice_sub(rest, 0, n);
    rest = slice_trim(slice_skip(rest, n));
    ptrdiff_t colon = slice_find(a->attribute, ':');
    if (colon < 1 || (size_t)colon + 1 == a->attribute.n) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        size_t form = match(rest, operators[i].text);
        if (form) {
            a->op = operators[i].op;
            return take_values(l, slice_trim(slice_skip(rest, form)), a);
        }
    }
    return false;
}

static void assertions(struct loader *l, const struct hujson_node *n, struct posture *p)
{
    if (!load_is_array(l, n)) {
        return;
    }
    p->assertions = load_alloc(l, hujson_count(n), sizeof *p->assertions);
    for (size_t i = 0; p->assertions && i < hujson_count(n); i++) {
        const struct hujson_node *item = hujson_at(n, i);
        struct posture_assertion *a = &p->assertions[p->assertion_count];
        a->text.offset = (uint32_t)hujson_offset(item);
        if (!load_string(l, item, &a->text.text)) {
            continue;
        }
        if (parse(l, a->text.text, a)) {
            p->assertion_count++;
        } else {
            policy_hint(load_error(l, "posture-assertion", a->text.offset,
                                   "\"" SLICE_FMT "\": not of the form attribute operator value",
                                   SLICE_ARG(a->text.text)),
                        "operators: == != < <= > >= IN [..] NOT IN [..] IS SET NOT SET");
            *a = (struct posture_assertion){0};
        }
    }
}

void load_postures(struct loader *l, const struct hujson_node *n)
{
    for (size_t i = 0; i < hujson_count(n); i++) {
        struct posture *p = &l->p->postures[i];
        if (!p->name.text.p) {
            continue;
        }
        if (slice_starts(p->name.text, S("posture:")) && p->name.text.n > 8) {
            assertions(l, hujson_at(n, i), p);
        } else {
            load_hint_prefix(
                load_error(l, "posture-name", p->name.offset,
                           "\"" SLICE_FMT
                           "\": names of postures start with 'posture:', then the name",
                           SLICE_ARG(p->name.text)),
                "posture:", p->name.text);
        }
    }
}

void load_posture_list(struct loader *l, const struct hujson_node *n, struct words *out_names)
{
    load_words(l, n, out_names);
    for (size_t i = 0; i < out_names->count; i++) {
        struct word *w = &out_names->at[i];
        w->text = load_trim(l, w->text, w->offset);
        if (policy_find_name(&l->p->posture_names, w->text) == POLICY_NO_NAME) {
            struct policy_diag *d =
                load_error(l, "undefined-posture", w->offset,
                           "posture not found: \"" SLICE_FMT "\"", SLICE_ARG(w->text));
            if (!load_did_you_mean_name(d, w->text, &l->p->posture_names)) {
                policy_hint(d, "define it in postures");
            }
        }
    }
}
