/* Tags of keys, tokens and devices. */
#include "server/tags.h"

#include <stdlib.h>

#include "policy/owners.h"

static bool name_ok(struct slice s)
{
    return slice_starts(s, S("tag:")) && s.n > 4 && text_printable(s, 67) && slice_find(s, ' ') < 0;
}

static bool add(struct tag_list *out, struct slice tag)
{
    size_t i = 0;
    if (!name_ok(tag)) {
        return false;
    }
    while (i < out->count && slice_cmp(out->at[i], tag) < 0) {
        i++;
    }
    if (i < out->count && slice_eq(out->at[i], tag)) {
        return true;
    }
    if (out->count == TAGS_MAX) {
        return false;
    }
    for (size_t k = out->count++; k > i; k--) {
        out->at[k] = out->at[k - 1];
    }
    out->at[i] = tag;
    return true;
}

bool tags_read(const struct js *list, struct tag_list *out)
{
    bool ok = true;
    *out = (struct tag_list){.count = 0};
    if (!list || js_kind(list) == JS_NULL) {
        return true;
    }
    for (size_t i = 0; js_kind(list) == JS_ARRAY && ok && i < js_len(list); i++) {
        ok = js_kind(js_at(list, i)) == JS_STR && add(out, js_str(js_at(list, i)));
    }
    return ok && js_kind(list) == JS_ARRAY;
}

bool tags_read_words(struct slice words, struct tag_list *out)
{
    bool ok = true;
    *out = (struct tag_list){.count = 0};
    while (ok && words.n) {
        size_t n = 0;
        while (n < words.n && words.p[n] != ',' && words.p[n] != ' ') {
            n++;
        }
        ok = n == 0 || add(out, slice_sub(words, 0, n));
        words = slice_skip(words, n + 1);
    }
    return ok;
}

void tags_write(const struct tag_list *tags, struct buf *out)
{
    AUTO(js_freep) struct js *list = js_array();
    for (size_t i = 0; i < tags->count; i++) {
        js_push_str(list, tags->at[i]);
    }
    js_write(list, JS_COMPACT, out);
}

struct js *tags_json(struct slice text)
{
    char why[80];
    struct js *list = js_parse(text, STORE_TAGS_SIZE, why, sizeof why);
    return list ? list : js_array();
}

static bool held(const struct tag_list *list, struct slice tag)
{
    for (size_t i = 0; list && i < list->count; i++) {
        if (slice_eq(list->at[i], tag)) {
            return true;
        }
    }
    return false;
}

static bool any_tag(const struct store_user *u)
{
    enum policy_role role;
    return u && policy_role_parse(slice_str(u->role), &role) && role_may(role, PERM_ANY_TAG);
}

bool tags_allowed(struct app *a,
                  const struct tag_list *tags,
                  const struct tagger *who,
                  char *out_why,
                  size_t why_size)
{
    const struct policy *p = policy_snapshot_policy(policy_state_snapshot(a));
    struct policy_tagger tagger = {.login = slice_str(who->user ? who->user->login : NULL),
                                   .role = slice_str(who->user ? who->user->role : NULL),
                                   .tags = who->held ? who->held->at : NULL,
                                   .tag_count = who->held ? who->held->count : 0};
    for (size_t i = 0; i < tags->count; i++) {
        enum policy_tag_right right = policy_tag_right(p, tags->at[i], &tagger);
        if (right == POLICY_TAG_UNDEFINED) {
            text_cut(out_why, why_size, "the policy's tagOwners do not define " SLICE_FMT,
                     SLICE_ARG(tags->at[i]));
            return false;
        }
        if (right == POLICY_TAG_NOT_OWNER && !any_tag(who->user) && !held(who->held, tags->at[i])) {
            text_cut(out_why, why_size, "you are no owner of " SLICE_FMT, SLICE_ARG(tags->at[i]));
            return false;
        }
    }
    return true;
}
