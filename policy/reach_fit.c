/*
 * Is a rule about what is asked: protocol and port, login, posture (policy.md 2.4, 2.5, 2.6)? Who
 * sends and who receives is another matter.
 */
#include "policy/reach_priv.h"

enum { ICMP = 1, TCP = 6, UDP = 17, ICMP6 = 58, SCTP = 132 };

/* Without a protocol a rule means TCP and UDP, and ICMP to any pair that it allows at all. */
static bool proto_fits(uint16_t rule, uint16_t asked)
{
    if (rule == PROTO_ANY) {
        return true;
    }
    if (rule == PROTO_DEFAULT) {
        return asked == PROTO_DEFAULT || asked == TCP || asked == UDP || asked == ICMP ||
               asked == ICMP6;
    }
    return asked == PROTO_DEFAULT ? rule == TCP || rule == UDP : rule == asked;
}

static bool proto_has_ports(uint16_t proto)
{
    return proto == PROTO_DEFAULT || proto == TCP || proto == UDP || proto == SCTP;
}

static bool ip_fits(uint16_t proto,
                    const struct port_range *ports,
                    size_t count,
                    const struct reach_question *q)
{
    return proto_fits(proto, q->proto) &&
           (!proto_has_ports(q->proto) || port_ranges_have(ports, count, q->port));
}

static bool
access_fits(const struct rule *rule, const struct book_item *item, const struct reach_question *q)
{
    if (rule->via.count && !q->dst_outside) {
        return false; /* a way through a router, which our own devices are not behind */
    }
    if (rule->kind == RULE_ACL) {
        return q->any_port || ip_fits(rule->proto, item->ports, item->port_count, q);
    }
    for (size_t i = 0; i < rule->ip_count; i++) {
        if (q->any_port || ip_fits(rule->ip[i].proto, &rule->ip[i].ports, 1, q)) {
            return true;
        }
    }
    return false; /* also a grant of an app alone */
}

static bool posture_fits(const struct book_rule *rule, const struct reach_question *q)
{
    if (!rule->posture_count || q->src_outside || q->any_port) {
        return true;
    }
    for (uint32_t i = 0; q->postures && i < rule->posture_count; i++) {
        if (q->postures[rule->postures[i]]) {
            return true;
        }
    }
    return false;
}

/* The user's own name at that domain, as a login there. */
static bool localpart_fits(struct slice pattern, struct slice user, struct slice login)
{
    struct slice domain = slice_skip(pattern, sizeof "localpart:*" - 1); /* "@example.com" */
    return user.n == login.n + domain.n && slice_eq_nocase(slice_sub(user, 0, login.n), login) &&
           slice_eq_nocase(slice_skip(user, login.n), domain);
}

static enum reach_fit login_fits(const struct ssh_rule *rule, const struct reach_question *q)
{
    enum reach_fit fit = FIT_NO;
    for (size_t i = 0; i < rule->users.count; i++) {
        struct slice word = rule->users.at[i].text;
        if (slice_eq(word, q->login) ||
            (slice_eq(word, S("autogroup:nonroot")) && !slice_eq(q->login, S("root")))) {
            return FIT_YES;
        }
        fit = slice_starts(word, S("localpart:*@")) ? FIT_ASK : fit;
    }
    return fit;
}

bool reach_login_fits(const struct policy_reach *r,
                      const struct ssh_rule *rule,
                      uint32_t user,
                      const struct reach_question *q)
{
    if (login_fits(rule, q) == FIT_YES) {
        return true;
    }
    for (size_t i = 0; user != POLICY_NO_USER && i < rule->users.count; i++) {
        struct slice word = rule->users.at[i].text;
        if (slice_starts(word, S("localpart:*@")) &&
            localpart_fits(word, r->facts->users[user].login, q->login)) {
            return true;
        }
    }
    return false;
}

enum reach_fit reach_item_fit(const struct policy_reach *r,
                              const struct rule_book *book,
                              const struct book_item *item,
                              const struct reach_question *q)
{
    const struct book_rule *rule = &book->rules[item->rule];
    if (!posture_fits(rule, q)) {
        return FIT_NO;
    }
    if (book == &r->access) {
        return access_fits(rule->access, item, q) ? FIT_YES : FIT_NO;
    }
    if (q->any_port) {
        return FIT_YES;
    }
    if (q->check && rule->ssh->action != SSH_CHECK) {
        return FIT_NO;
    }
    return login_fits(rule->ssh, q);
}
