/*
 * What each step is, in one sentence, and what mends it. A step that is not ok says its own cause
 * and not that of a step before it; where it was not looked at, it says so and is never ok.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "server/presence.h"
#include "server/ready_steps.h"

/* Certificates and tokens are made with an hour's room at most; five minutes are a broken clock. */
enum { SKEW_MAX_S = 300, DNS_SETTLES_S = 90 };

static void say(struct ready_verdict *v, enum ready_state state, const char *code, const char *fix)
{
    *v = (struct ready_verdict){.state = state, .code = code, .fix = fix};
}

/* ---- facts ---- */

struct relay_reading {
    struct app *a;
    struct ready_facts *f;
};

static void add_targets(struct ready_facts *f, const struct store_relay *r)
{
    char why[100], port_name[8];
    AUTO(js_freep) struct js *addresses = js_parse(slice_str(r->addresses), 4096, why, sizeof why);
    AUTO(js_freep) struct js *ports = js_parse(slice_str(r->ports), 4096, why, sizeof why);
    text_fit(port_name, sizeof port_name, "%d", (int)f->port);
    int64_t port = js_get_int(ports, port_name, f->port == 443 ? r->port : f->port);
    struct ready_order *o = &f->order;
    for (size_t i = 0; i < js_len(addresses) && o->target_count < READY_TARGETS; i++) {
        struct ready_target *t = &o->targets[o->target_count];
        if (port > 0 && port <= 65535 &&
            addr_from_ip(js_str(js_at(addresses, i)), (uint16_t)port, &t->at)) {
            memcpy(t->relay, r->name, sizeof t->relay);
            o->target_count++;
        }
    }
}

static void add_relay(void *arg, const struct store_relay *r)
{
    struct relay_reading *x = arg;
    struct ready_facts *f = x->f;
    const struct presence_relay *p = presence_relay(x->a->presence, r->id);
    int64_t skew = p ? presence_skew(p->has_clock, p->clock) : 0;
    bool up = presence_relay_up(x->a->presence, r->id);
    f->relays++;
    f->relays_up += up;
    if (!up || skew > SKEW_MAX_S || skew < -SKEW_MAX_S) {
        memcpy(f->relay_name, r->name, sizeof f->relay_name);
        f->relay_skew = up ? skew : f->relay_skew;
    }
    add_targets(f, r);
}

static void add_session(void *arg, int64_t relay)
{
    struct relay_reading *x = arg;
    x->f->relays_with_node += presence_relay_up(x->a->presence, relay);
}

int ready_facts_read(struct app *a, int64_t node, int64_t port, struct ready_facts *out)
{
    *out = (struct ready_facts){.port = port};
    struct relay_reading x = {a, out};
    int rc = store_node(a->db, node, &out->node);
    rc = rc ? rc : store_relays_each(a->db, add_relay, &x);
    rc = rc ? rc : store_node_relays(a->db, node, add_session, &x);
    if (!rc) {
        app_fqdn(a, out->node.label, out->name);
        memcpy(out->order.name, out->name, sizeof out->order.name);
        out->connected = presence_node(a->presence, node) != NULL;
    }
    return rc;
}

bool ready_node_at_relay(struct app *a, int64_t node)
{
    struct ready_facts f = {.relays_with_node = 0};
    struct relay_reading x = {a, &f};
    return store_node_relays(a->db, node, add_session, &x) == 0 && f.relays_with_node;
}

/* ---- permitted, HTTPS ---- */

static const struct {
    enum policy_gate gate;
    const char *code, *fix;
} gates[] = {
    {POLICY_GATE_LOCKED, "permitted.locked",
     "an owner, admin or network admin opens again: DELETE /api/v2/tailnet/-/funnel-lock"},
    {POLICY_GATE_SUSPENDED, "permitted.suspended", "an admin restores the owner under Users"},
    {POLICY_GATE_NO_FUNNEL, "permitted.attribute_missing",
     "run on the node: funnel enable; or give the device the attribute funnel in the policy"},
    {POLICY_GATE_PORT, "permitted.port",
     "use a port that the policy gives, or add this one to the device's funnel ports there"},
    {POLICY_GATE_NOT_APPROVED, "permitted.not_approved", "an admin approves the device"},
    {POLICY_GATE_KEY_EXPIRED, "permitted.key_expired", "run on the node: funnel up"},
};

void ready_judge_permitted(struct app *a, const struct ready_facts *f, struct ready_verdict *out)
{
    enum policy_gate g = policy_state_gate(a, &f->node, f->port);
    for (size_t i = 0; i < ARRAY_LEN(gates); i++) {
        if (gates[i].gate == g) {
            say(out, READY_FAILED, gates[i].code, gates[i].fix);
            text_cut(out->text, sizeof out->text, "not permitted on port %d: %s", (int)f->port,
                     policy_gate_text(g));
            return;
        }
    }
    say(out, READY_OK, "", "");
    text_cut(out->text, sizeof out->text, "Funnel is permitted for this node");
}

void ready_judge_https(struct app *a, struct ready_verdict *out)
{
    if (a->tailnet.https_enabled) {
        say(out, READY_OK, "", "");
        text_cut(out->text, sizeof out->text, "HTTPS is on");
    } else {
        say(out, READY_FAILED, "https.off",
            "switch HTTPS on: Settings in the console, or PATCH …/settings {\"httpsEnabled\":true}");
        text_cut(out->text, sizeof out->text, "HTTPS is switched off for this tailnet");
    }
}

/* ---- certificate ---- */

static bool names_it(const struct crypto_cert *c, const char *name)
{
    for (size_t i = 0; i < c->name_count; i++) {
        if (strcmp(c->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void judge_none(const struct store_cert *c, bool known, struct ready_verdict *out)
{
    if (known && strcmp(c->state, "failed") == 0) {
        say(out, READY_FAILED, "certificate.failed",
            "it is tried again by itself; at once: POST /api/v2/certificates/{node}/renew");
        text_cut(out->text, sizeof out->text, "certificate: %.300s", c->error);
    } else if (known) {
        say(out, READY_WAITING, "certificate.issuing", "wait: it takes seconds");
        text_cut(out->text, sizeof out->text, "certificate is being issued");
    } else {
        say(out, READY_WAITING, "certificate.none", "the node orders one once it is permitted");
        text_cut(out->text, sizeof out->text, "no certificate was ordered yet");
    }
}

static void judge_chain(const struct ready_facts *f,
                        const struct crypto_cert *c,
                        int64_t skew,
                        struct ready_verdict *out)
{
    struct wall now = wall_now();
    char until[WALL_TEXT_SIZE];
    wall_format(c->not_after, until);
    if (c->not_after.s <= now.s) {
        say(out, READY_FAILED, "certificate.expired",
            "POST /api/v2/certificates/{node}/renew, and look at its last error");
        text_cut(out->text, sizeof out->text, "the certificate expired on %s", until);
    } else if (!names_it(c, f->name)) {
        say(out, READY_FAILED, "certificate.name", "wait: the node orders one for its new name");
        text_cut(out->text, sizeof out->text, "the certificate is not for %s", f->name);
    } else if (c->not_before.s > now.s) {
        say(out, READY_FAILED, "certificate.clock",
            "set this server's clock: timedatectl set-ntp true");
        text_cut(out->text, sizeof out->text,
                 "by the control server's clock the certificate is not valid yet");
    } else if (skew > SKEW_MAX_S || skew < -SKEW_MAX_S) {
        say(out, READY_FAILED, "certificate.clock",
            "set the clock of the node, or of the control server: timedatectl set-ntp true");
        text_cut(out->text, sizeof out->text,
                 "the node's clock is about %lld min %s control's: certificates and tokens fail",
                 (long long)((skew < 0 ? -skew : skew) / 60), skew > 0 ? "ahead of" : "behind");
    } else {
        say(out, READY_OK, "", "");
        text_cut(out->text, sizeof out->text, "certificate (%.100s, until %.10s)", c->issuer,
                 until);
    }
}

int ready_judge_certificate(struct app *a, struct ready_facts *f, struct ready_verdict *out)
{
    struct store_cert row;
    struct buf chain = BUF_MAX(256 * KIB);
    struct crypto_cert *cert = mem_new(sizeof *cert);
    size_t count;
    int rc = store_cert(a->db, f->node.id, &row, &chain, NULL);
    const struct presence_node *p = presence_node(a->presence, f->node.id);
    if (rc == 0 && chain.len && crypto_chain_read(buf_slice(&chain), cert, &count)) {
        memcpy(f->order.spki, cert->spki_sha256, sizeof f->order.spki);
        f->order.dial = true;
        judge_chain(f, cert, p ? presence_skew(p->has_clock, p->clock) : 0, out);
    } else if (rc >= 0) {
        judge_none(&row, rc == 0, out);
    }
    mem_free(cert);
    buf_deinit(&chain);
    return rc < 0 ? rc : 0;
}

/* ---- relay, backend ---- */

void ready_judge_relay(const struct ready_facts *f, struct ready_verdict *out)
{
    if (!f->relays) {
        say(out, READY_FAILED, "relay.none", "on a public host: funnel-relay enroll");
        text_cut(out->text, sizeof out->text, "no relay has enrolled");
    } else if (f->relay_skew) {
        say(out, READY_FAILED, "relay.clock", "set the relay's clock: timedatectl set-ntp true");
        text_cut(out->text, sizeof out->text,
                 "the clock of relay %s is about %lld min %s control's: it refuses nodes",
                 f->relay_name,
                 (long long)((f->relay_skew < 0 ? -f->relay_skew : f->relay_skew) / 60),
                 f->relay_skew > 0 ? "ahead of" : "behind");
    } else if (!f->relays_up) {
        say(out, READY_FAILED, "relay.down",
            "on its host: systemctl start funnel-relay, and look at its log");
        text_cut(out->text, sizeof out->text, "relay %s is not connected to control",
                 f->relay_name);
    } else if (!f->relays_with_node) {
        say(out, f->connected ? READY_WAITING : READY_FAILED,
            f->connected ? "relay.no_session" : "relay.node_offline",
            f->connected
                ? "if it stays: can the node reach the relay's port 443? funnel status says"
                : "on the node: systemctl start funneld; funnel up");
        text_cut(out->text, sizeof out->text,
                 f->connected ? "no relay has a session of this node yet"
                              : "the node is not connected");
    } else {
        say(out, READY_OK, "", "");
        text_cut(out->text, sizeof out->text, "relay connected (%d of %d)",
                 (int)f->relays_with_node, (int)f->relays);
    }
}

void ready_judge_backend(const struct ready_facts *f, struct ready_verdict *out)
{
    if (!f->connected) {
        say(out, READY_UNKNOWN, "backend.node_offline", "on the node: systemctl start funneld");
        text_cut(out->text, sizeof out->text, "the node is not connected: nobody can look");
    } else if (!f->backend_known) {
        say(out, READY_UNKNOWN, "backend.not_reported", "wait; or update funneld on the node");
        text_cut(out->text, sizeof out->text,
                 "the node has not said anything about its target yet");
    } else {
        say(out, f->backend_ok ? READY_OK : READY_FAILED, f->backend_ok ? "" : "backend.down",
            f->backend_ok ? "" : "start the service that should listen there");
        text_cut(out->text, sizeof out->text, "%s", f->backend_text);
    }
}

/* ---- DNS ---- */

static bool has_relay(const struct ready_facts *f, const struct dns_lookup_result *r)
{
    for (size_t i = 0; i < r->count; i++) {
        for (size_t k = 0; k < f->order.target_count; k++) {
            if (addr_same_ip(&r->addresses[i], &f->order.targets[k].at)) {
                return true;
            }
        }
    }
    return false;
}

static void
judge_own(const struct ready_facts *f, const struct ready_seen *seen, struct ready_verdict *out)
{
    if (!seen->own_asked || seen->own.answer == DNS_LOOKUP_SILENT) {
        say(out, READY_FAILED, "dns.no_answer",
            "look at dns.listen and at the firewall: UDP and TCP port 53");
        text_cut(out->text, sizeof out->text, "our own name server does not answer");
    } else if (seen->own.answer != DNS_LOOKUP_FOUND) {
        say(out, READY_FAILED, "dns.missing", "restart funnel-control; if it stays, see its log");
        text_cut(out->text, sizeof out->text, "our own name server has no address for %s", f->name);
    } else {
        say(out, READY_FAILED, "dns.elsewhere",
            "enrol the relay anew when its address has changed");
        text_cut(out->text, sizeof out->text, "the name leads elsewhere than to a relay");
    }
}

/* Our server answers as it should: what do others see? */
static void
judge_public(const struct ready_facts *f, const struct ready_seen *seen, struct ready_verdict *out)
{
    bool young = wall_now().s - f->node.created.s < DNS_SETTLES_S;
    if (seen->resolver.answer == DNS_LOOKUP_SILENT) {
        say(out, READY_FAILED, "dns.resolver_silent",
            "look at /etc/resolv.conf of the control server, or set probe.resolver");
        text_cut(out->text, sizeof out->text,
                 "our name server is right; this host's resolver does not answer");
    } else if (young) {
        say(out, READY_WAITING, "dns.delay",
            "wait: resolvers forget an old answer within a minute");
        text_cut(out->text, sizeof out->text,
                 "our name server is right; resolvers have not seen it yet (DNS takes a minute)");
    } else {
        say(out, READY_FAILED, "dns.not_public",
            "at your DNS provider: NS records of the zone must point at our name servers");
        text_cut(out->text, sizeof out->text, "our name server is right; resolvers %s",
                 seen->resolver.answer == DNS_LOOKUP_FOUND  ? "give another address"
                 : seen->resolver.answer == DNS_LOOKUP_NONE ? "say that the name does not exist"
                                                            : "get no answer for the zone");
    }
}

void ready_judge_dns(const struct ready_facts *f,
                     const struct ready_seen *seen,
                     struct ready_verdict *out)
{
    char at[ADDR_TEXT_SIZE];
    if (!seen->own_asked || !has_relay(f, &seen->own)) {
        judge_own(f, seen, out);
    } else if (seen->resolver_asked && !has_relay(f, &seen->resolver)) {
        judge_public(f, seen, out);
    } else {
        say(out, READY_OK, "", "");
        addr_format_ip(&seen->own.addresses[0], at);
        text_cut(out->text, sizeof out->text, "DNS  %s -> %s", f->name, at);
    }
}

/* ---- reachable ---- */

static const struct {
    enum ready_seen_how how;
    const char *code, *fix, *text;
} failures[] = {
    {READY_SEEN_EXPIRED, "reachable.expired", "renew the certificate",
     "visitors are shown a certificate that is not valid now"},
    {READY_SEEN_OTHER, "reachable.other_certificate",
     "wait a minute for the new one; else see what answers at that address",
     "visitors are shown a certificate that is not the node's"},
    {READY_SEEN_REFUSED, "reachable.refused", "if it stays: the relay's log, and funnel status",
     "the relay does not let visitors through"},
    {READY_SEEN_NOTHING, "reachable.no_connection",
     "start the relay; look at its firewall and at the address it enrolled with",
     "nothing answers at the relay's public address"},
    {READY_SEEN_LATE, "reachable.late", "look at the firewall before the relay, and at the node",
     "no answer through the relay within 5 s"},
    {READY_SEEN_NO_WAY, "reachable.no_way", "give the control server a route to the relay",
     "this server has no way to the relay's address"},
};

static void judge_failure(const struct ready_facts *f,
                          const struct ready_seen *seen,
                          size_t bad,
                          struct ready_verdict *out)
{
    for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
        if (failures[i].how == seen->how[bad]) {
            char at[ADDR_TEXT_SIZE];
            addr_format_ip(&f->order.targets[bad].at, at);
            say(out, READY_FAILED, failures[i].code, failures[i].fix);
            text_cut(out->text, sizeof out->text, "%s (%s, %s)", failures[i].text,
                     f->order.targets[bad].relay, at);
        }
    }
}

void ready_judge_reachable(const struct ready_facts *f,
                           const struct ready_seen *seen,
                           struct ready_verdict *out)
{
    size_t good = 0, bad = seen->count, first = 0;
    for (size_t i = 0; i < seen->count; i++) {
        if (seen->how[i] == READY_SEEN_KEY) {
            first = good++ ? first : i;
        } else if (seen->how[i] != READY_SEEN_NO_WAY || bad == seen->count) {
            bad = i;
        }
    }
    bool all = bad == seen->count || (good && seen->how[bad] == READY_SEEN_NO_WAY);
    if (!seen->count) {
        say(out, READY_WAITING, "reachable.not_probed", "mend the steps before this one");
        text_cut(out->text, sizeof out->text, "not probed: there is no certificate or no relay");
    } else if (all) {
        say(out, READY_OK, "", "");
        out->ms = seen->ms[first] > 0 ? seen->ms[first] : 1;
        text_cut(out->text, sizeof out->text, "reachable from the internet (%s)",
                 f->order.targets[first].relay);
    } else {
        judge_failure(f, seen, bad, out);
        if (good) {
            out->code = "reachable.partly";
        }
    }
}
