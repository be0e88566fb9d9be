/*
 * ssh rules (policy.md 2.5). This server hands out no ssh keys; the rules are validated, kept, and
 * read by sshTests.
 */
#include "policy/load_priv.h"

enum { SSH_ACTION, SSH_USERS, SSH_CHECK_PERIOD };

/* ---- action and users ---- */

static void read_action(struct loader *l, const struct hujson_node *n, void *into)
{
    struct ssh_rule *r = into;
    struct slice text;
    if (!load_string(l, n, &text)) {
        return;
    }
    r->action = slice_eq(text, S("check")) ? SSH_CHECK : SSH_ACCEPT;
    if (r->action == SSH_CHECK || slice_eq(text, S("accept"))) {
        return;
    }
    struct policy_diag *d =
        text.n ? load_error(l, "ssh-action", hujson_offset(n),
                            "\"" SLICE_FMT "\" is not a valid action", SLICE_ARG(text))
               : load_error(l, "ssh-action", hujson_offset(n), "action must be specified");
    policy_hint(d, "write \"accept\" or \"check\"");
}

static void user(struct loader *l, const struct word *w)
{
    struct slice text = w->text;
    if (slice_starts(text, S("localpart:"))) {
        if (!slice_starts(text, S("localpart:*@")) || text.n == 12) {
            load_error(l, "ssh-user", w->offset,
                       "user \"" SLICE_FMT
                       "\" is not valid: invalid localpart format, must be localpart:*@<domain>",
                       SLICE_ARG(text));
        } else {
            err_ignore(load_domain(l, slice_skip(text, 12), w->offset, "localpart:*@<domain>"));
        }
    } else if (slice_starts(text, S("autogroup:")) && !slice_eq(text, S("autogroup:nonroot"))) {
        policy_hint(load_error(l, "autogroup-not-allowed", w->offset,
                               "user \"" SLICE_FMT "\" is not valid", SLICE_ARG(text)),
                    "the one autogroup among users is autogroup:nonroot");
    } else if (!text.n || slice_eq(text, S("*"))) {
        policy_hint(load_error(l, "ssh-user", w->offset, "user \"" SLICE_FMT "\" is not valid",
                               SLICE_ARG(text)),
                    "name the logins, or autogroup:nonroot");
    }
}

static void read_users(struct loader *l, const struct hujson_node *n, void *into)
{
    struct ssh_rule *r = into;
    size_t before = l->errors;
    load_words(l, n, &r->users);
    if (!r->users.count && l->errors == before) {
        load_error(l, "ssh-user", hujson_offset(n), "users must be specified");
    }
    for (size_t i = 0; i < r->users.count; i++) {
        struct word *w = &r->users.at[i];
        w->text = load_trim(l, w->text, w->offset);
        user(l, w);
    }
}

/* ---- check period: a duration as Go writes it ---- */

#define CHECK_SECONDS_MAX (168 * 3600)

static const struct {
    const char *unit;
    double seconds;
} units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"\xc2\xb5s", 1e-6}, {"\xce\xbcs", 1e-6},
             {"ms", 1e-3}, {"s", 1},     {"m", 60},           {"h", 3600}};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* One "1.5h" at the start of *rest. */
static bool take_part(struct slice *rest, double *sum)
{
    double number = 0, scale = 1;
    size_t i = 0, digits = 0;
    for (bool fraction = false;
         i < rest->n && (digit(rest->p[i]) || (rest->p[i] == '.' && !fraction)); i++) {
        if (rest->p[i] == '.') {
            fraction = true;
            continue;
        }
        scale = fraction ? scale / 10 : scale;
        number = fraction ? number + (rest->p[i] - '0') * scale : number * 10 + (rest->p[i] - '0');
        digits++;
    }
    *rest = slice_skip(*rest, i);
    for (size_t k = 0; digits && k < ARRAY_LEN(units); k++) {
        struct slice unit = slice_str(units[k].unit);
        struct slice after = slice_skip(*rest, unit.n);
        if (slice_starts(*rest, unit) && (!after.n || digit(after.p[0]) || after.p[0] == '.')) {
            *sum += number * units[k].seconds;
            *rest = after;
            return true;
        }
    }
    return false;
}

/* NULL, or what is wrong. */
static const char *duration(struct slice text, int64_t *out_seconds)
{
    double sum = 0;
    bool negative = text.n && text.p[0] == '-';
    struct slice rest = slice_skip(text, negative || (text.n && text.p[0] == '+'));
    bool zero = slice_eq(rest, S("0"));
    do {
        if (!zero && !take_part(&rest, &sum)) {
            return "is not a duration";
        }
    } while (!zero && rest.n);
    if (negative && sum > 0) {
        return "must be a positive duration";
    }
    if (sum > CHECK_SECONDS_MAX) {
        return "is above the max (168h)";
    }
    *out_seconds = (int64_t)sum;
    return NULL;
}

static void read_check_period(struct loader *l, const struct hujson_node *n, void *into)
{
    struct ssh_rule *r = into;
    struct slice text;
    if (!load_string(l, n, &text)) {
        return;
    }
    if (slice_eq(text, S("always"))) {
        r->check_seconds = 0;
        return;
    }
    const char *why = duration(text, &r->check_seconds);
    if (why) {
        policy_hint(load_error(l, "ssh-check-period", hujson_offset(n),
                               "checkPeriod \"" SLICE_FMT "\" %s", SLICE_ARG(text), why),
                    "write \"12h\", up to \"168h\", or \"always\"");
    }
}

/* ---- the rest of the fields ---- */

static void read_src(struct loader *l, const struct hujson_node *n, void *into)
{
    load_selectors(l, PLACE_SSH_SRC, n, &((struct ssh_rule *)into)->src);
}

static void read_dst(struct loader *l, const struct hujson_node *n, void *into)
{
    load_selectors(l, PLACE_SSH_DST, n, &((struct ssh_rule *)into)->dst);
}

static void read_accept_env(struct loader *l, const struct hujson_node *n, void *into)
{
    struct ssh_rule *r = into;
    load_words(l, n, &r->accept_env);
    for (size_t i = 0; i < r->accept_env.count; i++) {
        if (!r->accept_env.at[i].text.n) {
            load_error(l, "ssh-accept-env", r->accept_env.at[i].offset,
                       "acceptEnv values cannot be empty");
        }
    }
}

static void read_posture(struct loader *l, const struct hujson_node *n, void *into)
{
    load_posture_list(l, n, &((struct ssh_rule *)into)->postures);
}

/* Session recording: kept in the text alone. */
static void read_recorder(struct loader *l, const struct hujson_node *n, void *into)
{
    struct selectors recorders = {NULL, 0};
    (void)into;
    load_selectors(l, PLACE_RECORDER, n, &recorders);
}

static void read_enforce(struct loader *l, const struct hujson_node *n, void *into)
{
    bool any;
    (void)into;
    err_ignore(load_bool(l, n, &any));
}

static const struct load_field ssh_fields[] = {
    [SSH_ACTION] = {"action", read_action, NULL},
    [SSH_USERS] = {"users", read_users, NULL},
    [SSH_CHECK_PERIOD] = {"checkPeriod", read_check_period, NULL},
    {"src", read_src, NULL},
    {"dst", read_dst, NULL},
    {"acceptEnv", read_accept_env, NULL},
    {"srcPosture", read_posture, NULL},
    {"recorder", read_recorder, NULL},
    {"enforceRecorder", read_enforce, NULL},
};

/* ---- who may reach whom ---- */

/* A user's devices may be reached from devices of that same user alone. */
static bool only_user(const struct selectors *src, struct slice login)
{
    for (size_t i = 0; i < src->count; i++) {
        if (src->at[i].kind != SELECTOR_USER || !slice_eq_nocase(src->at[i].name, login)) {
            return false;
        }
    }
    return true;
}

static void check_pairs(struct loader *l, const struct ssh_rule *r)
{
    bool people = load_self_sources(&r->src, false);
    for (size_t i = 0; i < r->dst.count; i++) {
        const struct selector *d = &r->dst.at[i];
        if (d->kind == SELECTOR_SELF && !people) {
            load_error(
                l, "autogroup-not-allowed", d->offset,
                "autogroup:self can only be used with users, groups, or supported autogroups "
                "as src");
        } else if (d->kind == SELECTOR_USER && !people) {
            load_error(l, "ssh-dst", d->offset,
                       "tags in SSH source cannot access user-owned devices");
        } else if (d->kind == SELECTOR_USER && !only_user(&r->src, d->name)) {
            policy_hint(load_error(l, "ssh-dst", d->offset,
                                   "invalid dst \"" SLICE_FMT "\": a user as destination requires "
                                   "the source to be only that same user",
                                   SLICE_ARG(d->text)),
                        "write autogroup:self for everyone's own devices");
        }
    }
}

static void rule(struct loader *l, const struct hujson_node *n, struct ssh_rule *r)
{
    uint32_t present = load_fields(l, n, ssh_fields, ARRAY_LEN(ssh_fields), r);
    if (!(present & 1u << SSH_ACTION)) {
        policy_hint(load_error(l, "ssh-action", r->offset, "action must be specified"),
                    "add \"action\": \"accept\" or \"check\"");
    }
    if (!(present & 1u << SSH_USERS)) {
        policy_hint(load_error(l, "ssh-user", r->offset, "users must be specified"),
                    "add \"users\": [\"autogroup:nonroot\"]");
    }
    if (r->check_seconds >= 0 && r->action != SSH_CHECK) {
        const struct hujson_node *period = hujson_find_nocase(l->doc, n, S("checkPeriod"), NULL);
        load_error(l, "ssh-check-period", hujson_offset(period),
                   "checkPeriod is only valid with action \"check\"");
    }
    check_pairs(l, r);
}

void load_ssh(struct loader *l, const struct hujson_node *n)
{
    struct ssh_rule *at = load_is_array(l, n) ? load_alloc(l, hujson_count(n), sizeof *at) : NULL;
    for (size_t i = 0; at && i < hujson_count(n); i++) {
        const struct hujson_node *item = hujson_at(n, i);
        at[i] = (struct ssh_rule){
            .index = (uint32_t)i, .offset = (uint32_t)hujson_offset(item), .check_seconds = -1};
        if (load_is_object(l, item)) {
            rule(l, item, &at[i]);
        }
    }
    l->p->ssh = at;
    l->p->ssh_count = at ? hujson_count(n) : 0;
}
