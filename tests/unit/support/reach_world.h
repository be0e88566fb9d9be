#pragma once
/*
 * A slow and obvious judge of who reaches what, straight from the tables of policy.md 2.2 and 2.4
 * to 2.6: strings, loops and no code of the product; and a maker of small random tailnets with
 * policies for it. Addresses are numbers: 100.64.0.N and fd7a:115c:a1e0::N (hex) of device N.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "policy/check.h"
#include "policy/facts.h"
#include "policy/policy.h"
#include "tests/unit/support/test.h"

enum { W_USERS = 7, W_GROUPS = 4, W_TAGS = 4, W_DEVICES = 12, W_LIST = 4, W_RULES = 7 };

struct w_device {
    int user;      /* index, or -1 */
    unsigned tags; /* bits */
    bool external;
    int v4, v6; /* last byte; 0: none */
};

struct w_rule {
    bool grant;
    const char *src[W_LIST];
    int src_count;
    const char *dst[W_LIST];
    const char *ports[W_LIST]; /* of an acl, for each dst */
    int dst_count;
    const char *ip[W_LIST]; /* of a grant */
    int ip_count;
    const char *proto; /* of an acl, or NULL */
    const char *posture, *via;
};

struct w_ssh {
    bool check;
    const char *src[W_LIST], *dst[W_LIST], *users[W_LIST];
    int src_count, dst_count, user_count;
};

struct world {
    uint64_t seed;
    bool suspended[W_USERS];
    unsigned members[W_GROUPS]; /* bits */
    struct w_device devices[W_DEVICES];
    int device_count;
    bool acls, grants; /* is the section there? */
    const char *default_posture;
    struct w_rule rules[W_RULES];
    int rule_count;
    struct w_ssh ssh[W_RULES];
    int ssh_count;
    char tests[2000]; /* text of the sections of tests, put into the policy as it is */
};

static const char *const w_logins[W_USERS] = {
    "ann@example.com", "Bob@example.com", "cy@example.com", "dee@github",
    "eve@example.org", "fay@example.com", "gus@example.com"};
static const char *const w_roles[W_USERS] = {"owner",    "admin",  "member", "member",
                                             "it-admin", "member", "auditor"};
static const char *const w_tags[W_TAGS] = {"tag:web", "tag:db", "tag:ci", "tag:none"};

/* ---- the judge ---- */

static inline bool w_is(const char *a, const char *b)
{
    return slice_eq_nocase(slice_str(a), slice_str(b));
}

static inline bool w_starts(const char *a, const char *b)
{
    return !strncmp(a, b, strlen(b));
}

/* Is the address (0: none) within what the text says? Networks end with ".0/24", ".0/28" or
 * "::/120"; everything stands in one of them. */
static inline bool w_in(const char *text, int v4, int v6)
{
    static const struct {
        const char *text;
        int first4, last4, first6, last6;
    } ranges[] = {
        {"100.64.0.3", 3, 3, 0, -1},
        {"100.64.0.5", 5, 5, 0, -1},
        {"100.64.0.0/28", 0, 15, 0, -1},
        {"100.64.0.0/30", 0, 3, 0, -1},
        {"100.64.0.8/29", 8, 15, 0, -1},
        {"fd7a:115c:a1e0::4", 0, -1, 4, 4},
        {"fd7a:115c:a1e0::/124", 0, -1, 0, 15},
        {"h-three", 3, 3, 0, -1},
        {"h-net", 4, 7, 0, -1},
        {"h-six", 0, -1, 2, 2},
        {"ipset:a", 1, 2, 6, 7},
        {"ipset:b", 5, 5, 0, -1},
        {"ipset:b", 9, 12, 0, -1},
        {"h-far", 99, 99, 0, -1},
        {"100.64.0.99", 99, 99, 0, -1},
    };

    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        if (!strcmp(ranges[i].text, text) &&
            ((v4 && v4 >= ranges[i].first4 && v4 <= ranges[i].last4) ||
             (v6 && v6 >= ranges[i].first6 && v6 <= ranges[i].last6))) {
            return true;
        }
    }
    return false;
}

/* Not shared, internet and self, which are no roles. */
static inline bool w_is_role(const char *has, const char *asked)
{
    return !strcmp(has, asked) || (!strcmp(asked, "admin") && !strcmp(has, "owner"));
}

static inline bool w_has_tag(const struct w_device *d, const char *tag)
{
    for (int t = 0; t < W_TAGS; t++) {
        if (d->tags >> t & 1 && !strcmp(tag, w_tags[t])) {
            return true;
        }
    }
    return false;
}

/* Does the selector mean the device? Not for autogroup:self. */
static inline bool w_means(const struct world *w, const char *s, const struct w_device *d)
{
    bool untagged = !d->tags, owned = untagged && d->user >= 0;
    if (d->external) {
        return false;
    }
    if (!strcmp(s, "*") || !strcmp(s, "autogroup:danger-all")) {
        return true;
    }
    if (!strcmp(s, "autogroup:member")) {
        return owned;
    }
    if (!strcmp(s, "autogroup:tagged")) {
        return !untagged;
    }
    if (w_starts(s, "autogroup:")) {
        return owned && w_is_role(w_roles[d->user], s + 10);
    }
    if (w_starts(s, "svc:")) {
        return false;
    }
    if (w_starts(s, "user:*@")) {
        return owned && w_is(strchr(w_logins[d->user], '@') + 1, s + 7);
    }
    if (w_starts(s, "group:")) {
        return owned && !s[7] && w->members[s[6] - 'a'] >> d->user & 1;
    }
    if (w_starts(s, "tag:")) {
        return w_has_tag(d, s);
    }
    if (strchr(s, '@')) {
        return owned && w_is(w_logins[d->user], s);
    }
    return w_in(s, d->v4, d->v6);
}

static inline int w_proto_number(const char *p)
{
    return !strcmp(p, "tcp")    ? 6
           : !strcmp(p, "udp")  ? 17
           : !strcmp(p, "icmp") ? 1
           : !strcmp(p, "sctp") ? 132
                                : (int)strtol(p, NULL, 10);
}

/* "*", "22", "80,443", "20-25" */
static inline bool w_port_in(const char *ports, int port)
{
    while (*ports) {
        char *end;
        if (*ports == '*') {
            return true;
        }
        long first = strtol(ports, &end, 10), last = first;
        if (*end == '-') {
            last = strtol(end + 1, &end, 10);
        }
        if (port >= first && port <= last) {
            return true;
        }
        ports = *end == ',' ? end + 1 : end;
    }
    return false;
}

/* proto: NULL none written, "any" all. asked: 0 is TCP or UDP. */
static inline bool w_ip_fits(const char *proto, const char *ports, int asked, int port)
{
    bool ported = asked == 0 || asked == 6 || asked == 17 || asked == 132;
    if (ported && !w_port_in(ports, port)) {
        return false;
    }
    if (proto && !strcmp(proto, "any")) {
        return true;
    }
    if (!proto) {
        return asked == 0 || asked == 6 || asked == 17 || asked == 1 || asked == 58;
    }
    int number = w_proto_number(proto);
    return asked == 0 ? number == 6 || number == 17 : number == asked;
}

/* "*", "443", "tcp:22", "icmp:*" */
static inline bool w_grant_fits(const char *ip, int asked, int port)
{
    char proto[20];
    const char *colon = strchr(ip, ':');
    if (!strcmp(ip, "*")) {
        return w_ip_fits("any", "*", asked, port);
    }
    if (!colon) {
        return w_ip_fits(NULL, ip, asked, port);
    }
    snprintf(proto, sizeof proto, "%.*s", (int)(colon - ip), ip);
    return w_ip_fits(proto, colon + 1, asked, port);
}

/* What is asked. holds: the posture that does, or NULL. outside: the destination is an address that
 * no device of the tailnet has. */
struct w_ask {
    int proto, port;
    const char *holds;
    bool outside;
};

static inline bool
w_rule_fits(const struct world *w, const struct w_rule *r, int dst, const struct w_ask *q)
{
    const char *posture = r->posture ? r->posture : w->default_posture;
    bool fits = false;
    if (posture && (!q->holds || strcmp(posture, q->holds) != 0)) {
        return false;
    }
    if (r->via && !q->outside) {
        return false;
    }
    if (!r->grant) {
        return w_ip_fits(r->proto, r->ports[dst], q->proto, q->port);
    }
    for (int i = 0; i < r->ip_count; i++) {
        fits |= w_grant_fits(r->ip[i], q->proto, q->port);
    }
    return fits;
}

static inline bool
w_any(const struct world *w, const char *const *list, int n, const struct w_device *d)
{
    for (int i = 0; i < n; i++) {
        if (w_means(w, list[i], d)) {
            return true;
        }
    }
    return false;
}

static inline bool w_same_user(const struct w_device *a, const struct w_device *b)
{
    return !a->tags && !b->tags && a->user >= 0 && a->user == b->user && !a->external &&
           !b->external;
}

static inline bool w_stopped(const struct world *w, const struct w_device *d)
{
    return d->external || (!d->tags && d->user >= 0 && w->suspended[d->user]);
}

static inline bool w_reach(const struct world *w,
                           const struct w_device *src,
                           const struct w_device *dst,
                           const struct w_ask *q)
{
    if (w_stopped(w, src) || (!q->outside && w_stopped(w, dst))) {
        return false;
    }
    if (!w->acls && !w->grants) {
        return true;
    }
    for (int i = 0; i < w->rule_count; i++) {
        const struct w_rule *r = &w->rules[i];
        if (!w_any(w, r->src, r->src_count, src)) {
            continue;
        }
        for (int k = 0; k < r->dst_count; k++) {
            bool self =
                !strcmp(r->dst[k], "autogroup:self") && !q->outside && w_same_user(src, dst);
            bool here = q->outside ? !strcmp(r->dst[k], "*") || w_in(r->dst[k], dst->v4, dst->v6)
                                   : w_means(w, r->dst[k], dst);
            if ((self || here) && w_rule_fits(w, r, k, q)) {
                return true;
            }
        }
    }
    return false;
}

static inline bool w_login_ok(const struct w_ssh *r, const struct w_device *src, const char *login)
{
    for (int i = 0; i < r->user_count; i++) {
        char want[80];
        const char *at = src->tags || src->user < 0 ? NULL : strchr(w_logins[src->user], '@');
        if (!strcmp(r->users[i], login) ||
            (!strcmp(r->users[i], "autogroup:nonroot") && strcmp(login, "root") != 0)) {
            return true;
        }
        snprintf(want, sizeof want, "%s%s", login,
                 strchr(r->users[i], '@') ? strchr(r->users[i], '@') : "");
        if (at && w_starts(r->users[i], "localpart:*@") && w_is(want, w_logins[src->user])) {
            return true;
        }
    }
    return false;
}

enum w_ssh_answer { W_SSH_NO, W_SSH_ACCEPT, W_SSH_CHECK };

static inline enum w_ssh_answer w_ssh_reach(const struct world *w,
                                            const struct w_device *src,
                                            const struct w_device *dst,
                                            const char *login)
{
    enum w_ssh_answer answer = W_SSH_NO;
    for (int i = 0; i < w->ssh_count && !w_stopped(w, src) && !w_stopped(w, dst); i++) {
        const struct w_ssh *r = &w->ssh[i];
        bool there = w_any(w, r->dst, r->dst_count, dst);
        for (int k = 0; k < r->dst_count; k++) {
            there |= !strcmp(r->dst[k], "autogroup:self") && w_same_user(src, dst);
        }
        if (there && w_any(w, r->src, r->src_count, src) && w_login_ok(r, src, login)) {
            answer = r->check || answer == W_SSH_CHECK ? W_SSH_CHECK : W_SSH_ACCEPT;
        }
    }
    return answer;
}

/* ---- the maker ---- */

static inline unsigned w_random(struct world *w, unsigned below)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return (unsigned)((w->seed * 0x2545f4914f6cdd1du) >> 33) % below;
}

#define W_PICK(w, list) ((list)[w_random((w), ARRAY_LEN(list))])

static const char *const w_sources[] = {"*",
                                        "ann@example.com",
                                        "bob@Example.com",
                                        "cy@example.com",
                                        "dee@github",
                                        "gus@example.com",
                                        "nobody@example.com",
                                        "group:a",
                                        "group:b",
                                        "group:c",
                                        "group:d",
                                        "tag:web",
                                        "tag:db",
                                        "tag:ci",
                                        "tag:none",
                                        "autogroup:member",
                                        "autogroup:tagged",
                                        "autogroup:admin",
                                        "autogroup:owner",
                                        "autogroup:it-admin",
                                        "autogroup:network-admin",
                                        "autogroup:auditor",
                                        "autogroup:shared",
                                        "autogroup:danger-all",
                                        "user:*@example.com",
                                        "user:*@example.org",
                                        "100.64.0.3",
                                        "100.64.0.5",
                                        "100.64.0.0/28",
                                        "100.64.0.0/30",
                                        "fd7a:115c:a1e0::4",
                                        "fd7a:115c:a1e0::/124",
                                        "h-three",
                                        "h-net",
                                        "h-six",
                                        "ipset:a",
                                        "ipset:b"};
static const char *const w_dests[] = {"*",
                                      "ann@example.com",
                                      "bob@example.com",
                                      "eve@example.org",
                                      "group:a",
                                      "group:b",
                                      "group:d",
                                      "tag:web",
                                      "tag:db",
                                      "tag:ci",
                                      "tag:none",
                                      "autogroup:member",
                                      "autogroup:tagged",
                                      "autogroup:admin",
                                      "autogroup:self",
                                      "autogroup:internet",
                                      "100.64.0.3",
                                      "100.64.0.5",
                                      "100.64.0.8/29",
                                      "fd7a:115c:a1e0::4",
                                      "fd7a:115c:a1e0::/124",
                                      "h-three",
                                      "h-net",
                                      "h-six",
                                      "h-far",
                                      "ipset:a",
                                      "ipset:b",
                                      "svc:x"};
/* autogroup:self wants people as sources */
static const char *const w_people[] = {"ann@example.com", "cy@example.com",   "group:a",
                                       "group:b",         "autogroup:member", "autogroup:admin"};
static const char *const w_ports[] = {"*", "22", "80,443", "20-25", "443"};
static const char *const w_ips[] = {"*", "22", "tcp:443", "udp:20-25", "icmp:*", "80", "sctp:443"};

static inline bool w_has(const char *const *list, int n, const char *what)
{
    for (int i = 0; i < n; i++) {
        if (!strcmp(list[i], what)) {
            return true;
        }
    }
    return false;
}

static inline void w_make_rule(struct world *w, struct w_rule *r, bool grant)
{
    *r = (struct w_rule){.grant = grant};
    r->dst_count = 1 + (int)w_random(w, W_LIST);
    for (int i = 0; i < r->dst_count; i++) {
        r->dst[i] = W_PICK(w, w_dests);
        r->ports[i] = W_PICK(w, w_ports);
    }
    if (!grant && !w_random(w, 3)) {
        static const char *const protos[] = {"tcp", "udp", "icmp", "sctp", "47"};
        r->proto = W_PICK(w, protos);
        for (int i = 0; i < r->dst_count && (!strcmp(r->proto, "icmp") || !strcmp(r->proto, "47"));
             i++) {
            r->ports[i] = "*";
        }
    }
    bool internet = w_has(r->dst, r->dst_count, "autogroup:internet"); /* takes no app */
    r->ip_count = grant ? internet + (int)w_random(w, W_LIST - 1) : 0;
    for (int i = 0; i < r->ip_count; i++) {
        r->ip[i] = W_PICK(w, w_ips);
    }
    r->src_count = 1 + (int)w_random(w, W_LIST - 1);
    bool self = w_has(r->dst, r->dst_count, "autogroup:self");
    for (int i = 0; i < r->src_count; i++) {
        r->src[i] = !self                     ? W_PICK(w, w_sources)
                    : grant || w_random(w, 4) ? W_PICK(w, w_people)
                                              : "*"; /* acls take that, too */
    }
    r->posture = w_random(w, 6) ? NULL : "posture:p";
    r->via = grant && !w_random(w, 6) ? "tag:web" : NULL;
}

static inline void w_make_ssh(struct world *w, struct w_ssh *r)
{
    static const char *const tagged_srcs[] = {"tag:web", "tag:db", "autogroup:tagged"};
    static const char *const srcs[] = {"ann@example.com", "cy@example.com",   "group:a",
                                       "group:b",         "autogroup:member", "autogroup:admin"};
    static const char *const dsts[] = {"tag:web", "tag:db", "tag:ci", "autogroup:tagged"};
    static const char *const owners[] = {"ann@example.com", "cy@example.com"};
    static const char *const users[] = {"root", "ubuntu", "autogroup:nonroot",
                                        "localpart:*@example.com", "cy"};
    *r = (struct w_ssh){.check = !w_random(w, 3)};
    int form = (int)w_random(w, 4);
    r->src_count = form == 0 ? 1 : 1 + (int)w_random(w, 2);
    r->dst_count = form == 0 ? 1 : 1 + (int)w_random(w, 3);
    for (int i = 0; i < r->src_count; i++) {
        r->src[i] = form == 1 ? W_PICK(w, tagged_srcs) : W_PICK(w, srcs);
    }
    for (int i = 0; i < r->dst_count; i++) {
        r->dst[i] = form == 2 && i == 0 ? "autogroup:self" : W_PICK(w, dsts);
    }
    if (form == 0) { /* a user reaches his own devices only */
        r->src[0] = r->dst[0] = W_PICK(w, owners);
    }
    r->user_count = 1 + (int)w_random(w, 3);
    for (int i = 0; i < r->user_count; i++) {
        r->users[i] = W_PICK(w, users);
    }
}

static inline void w_make_device(struct world *w, int i)
{
    struct w_device *d = &w->devices[i];
    *d = (struct w_device){.user = -1, .v4 = w_random(w, 8) ? i + 1 : 0};
    d->v6 = w_random(w, 3) ? W_DEVICES + 1 - i : 0;
    d->external = !w_random(w, 10);
    if (w_random(w, 3)) {
        d->user = (int)w_random(w, W_USERS);
    } else {
        d->tags = w_random(w, 1 << (W_TAGS - 1)); /* none has the last one; some have neither */
    }
}

static inline void world_make(struct world *w, uint64_t seed)
{
    *w = (struct world){.seed = seed * 0x9e3779b97f4a7c15u + 1};
    for (int i = 0; i < W_USERS; i++) {
        w->suspended[i] = !w_random(w, 7);
    }
    for (int g = 0; g < W_GROUPS; g++) {
        w->members[g] = g == 3 ? 0 : w_random(w, 1 << W_USERS);
    }
    w->device_count = (int)w_random(w, W_DEVICES + 1);
    for (int i = 0; i < w->device_count; i++) {
        w_make_device(w, i);
    }
    w->acls = w_random(w, 8);
    w->grants = w_random(w, 3);
    w->default_posture = w_random(w, 12) ? NULL : "posture:q";
    int wanted = (int)w_random(w, W_RULES + 1), acls = (int)w_random(w, (unsigned)wanted + 1);
    for (int i = 0; i < wanted; i++) {
        if (i < acls ? w->acls : w->grants) {
            w_make_rule(w, &w->rules[w->rule_count++], i >= acls);
        }
    }
    w->ssh_count = (int)w_random(w, W_RULES);
    for (int i = 0; i < w->ssh_count; i++) {
        w_make_ssh(w, &w->ssh[i]);
    }
}

/* ---- as text and facts ---- */

static inline void w_put_list(struct buf *b, const char *name, const char *const *list, int n)
{
    buf_addf(b, "\"%s\":[", name);
    for (int i = 0; i < n; i++) {
        buf_addf(b, "%s\"%s\"", i ? "," : "", list[i]);
    }
    buf_adds(b, "],");
}

static inline void w_put_rule(struct buf *b, const struct w_rule *r)
{
    buf_adds(b, r->grant ? "{" : "{\"action\":\"accept\",");
    w_put_list(b, "src", r->src, r->src_count);
    if (r->grant) {
        w_put_list(b, "dst", r->dst, r->dst_count);
        if (r->ip_count) {
            w_put_list(b, "ip", r->ip, r->ip_count);
        } else {
            buf_adds(b, "\"app\":{\"example.com/cap/x\":[{}]},");
        }
        if (r->via) {
            buf_addf(b, "\"via\":[\"%s\"],", r->via);
        }
    } else {
        buf_adds(b, "\"dst\":[");
        for (int i = 0; i < r->dst_count; i++) {
            bool six = strstr(r->dst[i], "::") != NULL;
            buf_addf(b, six ? "%s\"[%s]:%s\"" : "%s\"%s:%s\"", i ? "," : "", r->dst[i],
                     r->ports[i]);
        }
        buf_adds(b, "],");
        if (r->proto) {
            buf_addf(b, "\"proto\":\"%s\",", r->proto);
        }
    }
    if (r->posture) {
        buf_addf(b, "\"srcPosture\":[\"%s\"],", r->posture);
    }
    buf_adds(b, "},\n");
}

static inline void w_put_rules(struct buf *b, const struct world *w, bool grants)
{
    buf_addf(b, "\"%s\":[\n", grants ? "grants" : "acls");
    for (int i = 0; i < w->rule_count; i++) {
        if (w->rules[i].grant == grants) {
            w_put_rule(b, &w->rules[i]);
        }
    }
    buf_adds(b, "],\n");
}

static inline void w_put_ssh(struct buf *b, const struct world *w)
{
    buf_adds(b, "\"ssh\":[\n");
    for (int i = 0; i < w->ssh_count; i++) {
        buf_addf(b, "{\"action\":\"%s\",", w->ssh[i].check ? "check" : "accept");
        w_put_list(b, "src", w->ssh[i].src, w->ssh[i].src_count);
        w_put_list(b, "dst", w->ssh[i].dst, w->ssh[i].dst_count);
        w_put_list(b, "users", w->ssh[i].users, w->ssh[i].user_count);
        buf_adds(b, "},\n");
    }
    buf_adds(b, "],\n");
}

static inline void world_text(const struct world *w, struct buf *b)
{
    buf_adds(b, "{\"tagOwners\":{\"tag:web\":[],\"tag:db\":[],\"tag:ci\":[],\"tag:none\":[]},\n"
                "\"hosts\":{\"h-three\":\"100.64.0.3\",\"h-net\":\"100.64.0.4/30\","
                "\"h-six\":\"fd7a:115c:a1e0::2\",\"h-far\":\"100.64.0.99\"},\n"
                "\"ipsets\":{\"ipset:a\":[\"add 100.64.0.1-100.64.0.2\","
                "\"add fd7a:115c:a1e0::6/127\"],"
                "\"ipset:b\":[\"add 100.64.0.9-100.64.0.12\",\"add 100.64.0.5\"]},\n"
                "\"postures\":{\"posture:p\":[\"custom:p == true\"],"
                "\"posture:q\":[\"custom:q == true\"]},\n\"groups\":{");
    for (int g = 0; g < W_GROUPS; g++) {
        buf_addf(b, "\"group:%c\":[", 'a' + g);
        for (int u = 0; u < W_USERS; u++) {
            if (w->members[g] >> u & 1) {
                buf_addf(b, "\"%s\",", w_logins[u]);
            }
        }
        buf_adds(b, "],");
    }
    buf_adds(b, "},\n");
    if (w->default_posture) {
        buf_addf(b, "\"defaultSrcPosture\":[\"%s\"],\n", w->default_posture);
    }
    if (w->acls) {
        w_put_rules(b, w, false);
    }
    if (w->grants) {
        w_put_rules(b, w, true);
    }
    w_put_ssh(b, w);
    buf_addf(b, "%s}\n", w->tests);
}

static inline struct policy_facts *world_facts(const struct world *w)
{
    struct policy_facts *f = policy_facts_new();
    policy_facts_domain(f, S("example.com"));
    policy_facts_domain(f, S("Example.org"));
    for (int u = 0; u < W_USERS; u++) {
        struct policy_user user = {.login = slice_str(w_logins[u]), .suspended = w->suspended[u]};
        assert_true(policy_role_parse(slice_str(w_roles[u]), &user.role));
        policy_facts_user(f, &user);
    }
    for (int i = 0; i < w->device_count; i++) {
        const struct w_device *d = &w->devices[i];
        char name[20], text[60];
        struct slice tags[W_TAGS];
        struct policy_device device = {.id = i + 1, .user = POLICY_NO_USER, .tags = tags};
        snprintf(name, sizeof name, "d%d", i);
        device.name = slice_str(name);
        device.user = d->user >= 0 ? (uint32_t)d->user : POLICY_NO_USER;
        device.external = d->external;
        for (int t = W_TAGS - 1; t >= 0; t--) { /* not in the order of the policy */
            if (d->tags >> t & 1) {
                tags[device.tag_count++] = slice_str(w_tags[t]);
            }
        }
        snprintf(text, sizeof text, "100.64.0.%d", d->v4);
        assert_true(!d->v4 || ip_addr_parse(slice_str(text), &device.ipv4));
        snprintf(text, sizeof text, "fd7a:115c:a1e0::%x", (unsigned)d->v6);
        assert_true(!d->v6 || ip_addr_parse(slice_str(text), &device.ipv6));
        policy_facts_device(f, &device);
    }
    policy_facts_seal(f);
    return f;
}

static inline void
w_load(struct slice text, const struct policy_facts *f, struct policy **out_policy)
{
    struct policy_diags diags = {0};
    if (policy_load(text, f, &diags, out_policy)) {
        for (size_t i = 0; i < diags.count; i++) {
            print_message("%s at %d:%d: %s\n", diags.items[i].code, diags.items[i].line,
                          diags.items[i].column, diags.items[i].message);
        }
        fail_msg("does not load:\n%.*s", SLICE_ARG(text));
    }
    policy_diags_free(&diags);
}

/* Loads the policy and runs its tests; how many failed. */
static inline size_t
w_run(struct slice text, const struct policy_facts *f, struct policy_diags *diags)
{
    struct policy *p = NULL;
    struct policy_snapshot *s = NULL;
    struct policy_reach *r = NULL;
    size_t failed = SIZE_MAX;
    w_load(text, f, &p);
    assert_int_equal(policy_evaluate(p, f, &s), 0);
    assert_int_equal(policy_reach_new(p, f, &r), 0);
    assert_int_equal(policy_tests_run(s, r, diags, &failed), 0);
    policy_reach_free(r);
    policy_snapshot_unref(s);
    policy_unref(p);
    return failed;
}
