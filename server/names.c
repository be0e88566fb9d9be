/* DNS from the store: every registered node has A and AAAA records of the relays, as long as it is
 * registered; funnels do not matter, so that nothing is ever negatively cached. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "server/app.h"

enum { ADDRESSES_MAX = 32, NEGATIVE_TTL = 30, LISTEN_MAX = 8, CAA_TTL = 300 };

struct names {
    struct map *published; /* fqdn -> itself: what stands in the zone */
    char account[512];     /* as it stands in CAA */
    bool owed;             /* the store could not be read: again with the next tick */
};

struct publication {
    struct app *a;
    struct addr addresses[ADDRESSES_MAX];
    size_t address_count;
    struct map *now;
};

static void add_relay(void *arg, const struct store_relay *r)
{
    struct publication *p = arg;
    char why[100];
    AUTO(js_freep)
    struct js *list = js_parse(slice_str(r->addresses), sizeof r->addresses, why, sizeof why);
    for (size_t i = 0; i < js_len(list) && p->address_count < ADDRESSES_MAX; i++) {
        if (addr_from_ip(js_str(js_at(list, i)), 0, &p->addresses[p->address_count])) {
            p->address_count++;
        }
    }
}

static void put_caa(struct app *a, struct slice name)
{
    struct buf value = BUF_MAX(1024);
    const char *uri = a->issuer ? acme_account_uri(a->issuer) : "";
    if (!*a->cfg.acme_caa) {
        return;
    }
    buf_adds(&value, a->cfg.acme_caa);
    if (*uri) {
        buf_addf(&value, "; accounturi=%s", uri);
    }
    buf_adds(&value, "; validationmethods=dns-01");
    struct dns_caa caa[] = {{0, S("issue"), buf_slice(&value)}, {0, S("issuewild"), S(";")}};
    int rc = dns_zone_set_caa(a->zone, name, caa, ARRAY_LEN(caa), CAA_TTL);
    if (rc < 0) {
        log_error("dns.caa", F_SLICE("name", name), F_ERR(rc));
    }
    buf_deinit(&value);
}

static void add_node(void *arg, const struct store_node *n)
{
    struct publication *p = arg;
    char name[TEXT_NAME_SIZE];
    app_fqdn(p->a, n->label, name);
    int rc = dns_zone_set_addresses(p->a->zone, slice_str(name), p->addresses, p->address_count,
                                    (uint32_t)p->a->cfg.dns_ttl);
    if (rc < 0) {
        log_error("dns.node", F_STR("name", name), F_ERR(rc));
    }
    put_caa(p->a, slice_str(name));
    map_set(p->now, slice_str(name), p->a);
}

/* The ACME account is made after the first publication, and may be made anew: CAA follows it. */
void names_tick(struct app *a)
{
    bool moved = a->issuer && strcmp(acme_account_uri(a->issuer), a->names->account) != 0;
    if (moved || a->names->owed) {
        names_publish(a);
    }
}

/* All names from the store into the zone. When not all could be read nothing is taken away, and
 * what is published stays as it is: a name must not vanish because a disk failed. */
static int gather(struct publication *p)
{
    struct app *a = p->a;
    struct map_iter it = {0};
    struct slice name;
    void *value;
    int rc = store_relays_each(a->db, add_relay, p);
    if (rc) {
        return rc;
    }
    put_caa(a, slice_str(a->cfg.zone));
    rc = store_nodes_each(a->db, add_node, p);
    while (rc && map_next(p->now, &it, &name, &value)) {
        map_set(a->names->published, name, a);
    }
    return rc;
}

void names_publish(struct app *a)
{
    text_fit(a->names->account, sizeof a->names->account, "%s",
             a->issuer ? acme_account_uri(a->issuer) : "");
    struct publication p = {.a = a, .now = map_new()};
    struct map_iter it = {0};
    struct slice name;
    void *value;
    int rc = gather(&p);
    a->names->owed = rc != 0;
    if (rc) {
        log_error("dns.not_read", F_ERR(rc));
        map_free(p.now);
        return;
    }
    while (map_next(a->names->published, &it, &name, &value)) {
        if (!map_get(p.now, name)) {
            dns_zone_remove(a->zone, name);
        }
    }
    map_free(a->names->published);
    a->names->published = p.now;
    rc = dns_zone_publish(a->zone, a->dns);
    if (rc < 0) {
        log_error("dns.publish", F_ERR(rc));
    }
}

static int open_sockets(struct app *a, int *udp, int *tcp, char *out_why, size_t why_size)
{
    for (size_t i = 0; i < a->cfg.dns_listen.count; i++) {
        struct addr at;
        const char *text = a->cfg.dns_listen.items[i];
        if (i >= LISTEN_MAX || !addr_parse(slice_str(text), &at)) {
            text_cut(out_why, why_size, "dns.listen: \"%s\" is not IP:port", text);
            return err_origin(-EINVAL);
        }
        udp[i] = sock_bind_udp(&at, SOCK_PLAIN);
        tcp[i] = sock_listen(&at, 256, SOCK_PLAIN);
        if (udp[i] < 0 || tcp[i] < 0) {
            text_cut(out_why, why_size, "dns.listen: %s: %s", text,
                     err_words(udp[i] < 0 ? udp[i] : tcp[i]));
            return err_origin(udp[i] < 0 ? udp[i] : tcp[i]);
        }
        if (i == 0) {
            a->dns_probe = at;
        }
    }
    return 0;
}

static struct dns_zone *make_zone(struct app *a, char *out_why, size_t why_size)
{
    struct slice ns[CONF_LIST_MAX];
    char contact[TEXT_NAME_SIZE];
    for (size_t i = 0; i < a->cfg.name_servers.count; i++) {
        ns[i] = slice_str(a->cfg.name_servers.items[i]);
    }
    text_fit(contact, sizeof contact, "%s%.200s", *a->cfg.contact ? "" : "hostmaster.",
             *a->cfg.contact ? a->cfg.contact : a->cfg.zone);
    struct dns_zone_opts opts = {.origin = slice_str(a->cfg.zone),
                                 .ns = ns,
                                 .ns_count = a->cfg.name_servers.count,
                                 .contact = slice_str(contact),
                                 .negative_ttl = NEGATIVE_TTL};
    return dns_zone_new(&opts, out_why, why_size);
}

int names_start(struct app *a, char *out_why, size_t why_size)
{
    int udp[LISTEN_MAX], tcp[LISTEN_MAX];
    a->names = mem_new(sizeof *a->names);
    a->names->published = map_new();
    a->zone = make_zone(a, out_why, why_size);
    if (!a->zone) {
        return err_origin(-EINVAL);
    }
    int rc = open_sockets(a, udp, tcp, out_why, why_size);
    if (rc < 0) {
        return err_trace(rc);
    }
    struct dns_server_opts opts = {.udp_fds = udp,
                                   .tcp_fds = tcp,
                                   .udp_count = a->cfg.dns_listen.count,
                                   .tcp_count = a->cfg.dns_listen.count};
    rc = dns_server_start(&opts, &a->dns);
    if (rc < 0) {
        text_cut(out_why, why_size, "the DNS server did not start");
        return err_trace(rc);
    }
    names_publish(a);
    return 0;
}

void names_stop(struct app *a)
{
    if (a->dns) {
        dns_server_stop(a->dns);
    }
    dns_zone_free(a->zone);
    if (a->names) {
        map_free(a->names->published);
    }
    mem_free(a->names);
}
