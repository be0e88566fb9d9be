/* The table of settings, and its values in the store. */
#include "server/settings.h"

#include "server/app.h"
#include "server/store_record.h"

struct setting {
    const char *name;
    enum js_kind kind;
    enum permission permission;
    int64_t otherwise, least, most; /* bool: 0 or 1 */
    const char *const *words;       /* JS_STR: NULL-terminated; the first is the default */
};

static const char *const join_words[] = {"none", "admin", "member", NULL};

static const struct setting table[] = {
    {"devicesApprovalOn", JS_BOOL, PERM_FEATURE_WRITE, 0, 0, 1, NULL},
    {"devicesAutoUpdatesOn", JS_BOOL, PERM_FEATURE_WRITE, 0, 0, 1, NULL},
    {"devicesKeyDurationDays", JS_INT, PERM_FEATURE_WRITE, 180, 1, 180, NULL},
    {"usersApprovalOn", JS_BOOL, PERM_FEATURE_WRITE, 0, 0, 1, NULL},
    {"usersRoleAllowedToJoinExternalTailnets", JS_STR, PERM_FEATURE_WRITE, 0, 0, 0, join_words},
    {"funnelFourEyes", JS_BOOL, PERM_REQUEST_DECIDE, 0, 0, 1, NULL},
    {"funnelRequestHours", JS_INT, PERM_REQUEST_DECIDE, 72, 1, 720, NULL},
    {"networkFlowLoggingOn", JS_BOOL, PERM_FEATURE_WRITE, 0, 0, 1, NULL},
    {"regionalRoutingOn", JS_BOOL, PERM_FEATURE_WRITE, 0, 0, 1, NULL},
    {"postureIdentityCollectionOn", JS_BOOL, PERM_FEATURE_WRITE, 0, 0, 1, NULL},
};

static const struct setting *row(const char *name)
{
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(table) && strcmp(table[i].name, name) != 0) {
        i++;
    }
    return &table[i];
}

/* What is stored, where it can be read; NULL: the default holds. */
static struct js *stored(struct app *a, const struct setting *s)
{
    char why[80];
    struct buf text = BUF_MAX(1024);
    struct js *list = store_setting(a->db, a->tailnet.id, s->name, &text) == 0
                          ? js_parse(buf_slice(&text), 1024, why, sizeof why)
                          : NULL;
    struct js *value = list ? js_ref(js_at(list, 0)) : NULL;
    js_free(list);
    buf_deinit(&text);
    if (value && js_kind(value) != s->kind) {
        js_free(value);
        value = NULL;
    }
    return value;
}

static struct js *value_of(struct app *a, const struct setting *s)
{
    struct js *v = stored(a, s);
    return v                    ? v
           : s->kind == JS_BOOL ? js_new_bool(s->otherwise != 0)
           : s->kind == JS_INT  ? js_new_int(s->otherwise)
                                : js_new_str(slice_str(s->words[0]));
}

bool setting_on(struct app *a, const char *name)
{
    AUTO(js_freep) struct js *v = value_of(a, row(name));
    AUTO(js_freep) struct js *yes = js_new_bool(true);
    return js_equal(v, yes);
}

int64_t setting_number(struct app *a, const char *name)
{
    AUTO(js_freep) struct js *v = value_of(a, row(name));
    return js_int(v, row(name)->otherwise);
}

void settings_put(struct app *a, struct js *answer)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        js_set(answer, table[i].name, value_of(a, &table[i]));
    }
}

static const struct js *wanted(const struct js *patch, const struct setting *s)
{
    const struct js *v = js_get(patch, s->name);
    return v && js_kind(v) != JS_NULL ? v : NULL;
}

static bool word_ok(const struct setting *s, struct slice word)
{
    for (size_t i = 0; s->words[i]; i++) {
        if (slice_eq(word, slice_str(s->words[i]))) {
            return true;
        }
    }
    return false;
}

const char *settings_fault(const struct js *patch)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct setting *s = &table[i];
        const struct js *v = wanted(patch, s);
        int64_t n = v && s->kind == JS_INT ? js_int(v, s->least - 1) : s->least;
        if (v && (js_kind(v) != s->kind || n < s->least || n > s->most ||
                  (s->kind == JS_STR && !word_ok(s, js_str(v))))) {
            return s->name;
        }
    }
    return NULL;
}

enum permission settings_lacking(struct app *a, const struct js *patch, enum policy_role role)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct js *v = wanted(patch, &table[i]);
        AUTO(js_freep) struct js *now = value_of(a, &table[i]);
        if (v && !js_equal(v, now) && !role_may(role, table[i].permission)) {
            return table[i].permission;
        }
    }
    return PERM_NONE;
}

static int store_one(struct app *a, const struct setting *s, const struct js *v)
{
    struct buf text = BUF_MAX(1024);
    AUTO(js_freep) struct js *list = js_array(); /* a document is an array or object */
    js_push(list, js_ref(unconst(v)));
    js_write(list, JS_COMPACT, &text);
    int rc = store_setting_set(a->db, a->tailnet.id, s->name, buf_slice(&text));
    buf_deinit(&text);
    return rc;
}

int settings_store(struct app *a, const struct js *patch)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < ARRAY_LEN(table); i++) {
        const struct js *v = wanted(patch, &table[i]);
        AUTO(js_freep) struct js *now = value_of(a, &table[i]);
        rc = v && !js_equal(v, now) ? store_one(a, &table[i], v) : 0;
    }
    return rc;
}
