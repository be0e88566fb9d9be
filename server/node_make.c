/* Making nodes. */
#include "server/node_make.h"

#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "server/app.h"
#include "server/settings.h"
#include "server/store_keys.h"

enum { LABEL_TRIES = 1000, DAY_S = 86400 };

/* "Ann's Laptop.local" -> "anns-laptop-local": lower-case LDH, no dash at an end, 50 bytes so that
 * "-17" fits behind. */
static void make_label(struct slice hostname, char out[64])
{
    enum { MOST = 50 };

    size_t n = 0;
    for (size_t i = 0; i < hostname.n && n < MOST; i++) {
        char c = hostname.p[i];
        c = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            out[n++] = c;
        } else if (c != '\'' && n && out[n - 1] != '-') {
            out[n++] = '-';
        }
    }
    while (n && out[n - 1] == '-') {
        n--;
    }
    out[n] = '\0';
    if (!n) {
        text_fit(out, 64, "node");
    }
}

/* 0, NODE_NAMES_FULL when too many have this name, -errno. */
static int free_label(struct app *a, struct slice hostname, char out[64])
{
    char base[64];
    make_label(hostname, base);
    text_fit(out, 64, "%s", base);
    int rc = store_label_free(a->db, a->tailnet.id, slice_str(out));
    for (int i = 1; rc == STORE_CONFLICT && i < LABEL_TRIES; i++) {
        text_fit(out, 64, "%.50s-%d", base, i);
        rc = store_label_free(a->db, a->tailnet.id, slice_str(out));
    }
    return rc == STORE_CONFLICT ? NODE_NAMES_FULL : rc;
}

/* 100.64.0.0/10 and fd7a:115c:a1e0::/48, counted up; the first /24 stays free for services. */
static void make_addresses(int64_t number, struct store_node *n)
{
    uint32_t v4 = (100u << 24 | 64u << 16) + 256 + (uint32_t)(number & 0x3fffff) % (0x3fffff - 512);
    text_fit(n->ipv4, sizeof n->ipv4, "%u.%u.%u.%u", v4 >> 24, v4 >> 16 & 255, v4 >> 8 & 255,
             v4 & 255);
    text_fit(n->ipv6, sizeof n->ipv6, "fd7a:115c:a1e0::%x:%x",
             (unsigned)(number >> 16 & 0xffff) + 1, (unsigned)(number & 0xffff));
}

bool node_facts_read(const struct js *j, struct store_node *out)
{
    struct slice key = js_get_str(j, "transportKey");
    uint8_t bytes[32];
    return text_unhex(key, bytes, sizeof bytes) && text_printable(js_get_str(j, "hostname"), 200) &&
           text_printable(js_get_str(j, "os"), 60) &&
           text_printable(js_get_str(j, "version"), 60) &&
           slice_copy(key, out->transport_key, sizeof out->transport_key) &&
           slice_copy(js_get_str(j, "hostname"), out->hostname, sizeof out->hostname) &&
           slice_copy(js_get_str(j, "os"), out->os, sizeof out->os) &&
           slice_copy(js_get_str(j, "version"), out->version, sizeof out->version);
}

void node_terms_default(struct app *a, bool tagged, bool approved, struct store_node_terms *out)
{
    int64_t life = setting_number(a, "devicesKeyDurationDays") * DAY_S;
    *out = (struct store_node_terms){
        .authorized = approved || !setting_on(a, "devicesApprovalOn"),
        .key_expires = {tagged ? 0 : wall_now().s + life},
    };
}

/* Whose it was: the person, or exactly these tags. A transport key's hash is no secret, so that it
 * proves nothing about who may have the node's token. */
static int same_owner(struct app *a, const struct store_node *old, int64_t user, struct slice tags)
{
    struct buf had = BUF_MAX(STORE_TAGS_SIZE);
    int rc = store_node_tags(a->db, old->id, &had);
    bool tagged = tags.n && !slice_eq(tags, S("[]"));
    bool same = rc == 0 && old->user_id == (tagged ? 0 : user) &&
                slice_eq(buf_slice(&had), tagged ? tags : S("[]"));
    buf_deinit(&had);
    return rc < 0 ? rc : same ? 0 : NODE_OTHER_OWNER;
}

static int come_again(struct app *a,
                      struct store_node *n,
                      const struct store_node *old,
                      const struct node_making *m)
{
    int rc = same_owner(a, old, n->user_id, m->terms.tags);
    if (rc) {
        return rc;
    }
    *n = *old;
    rc = m->token_hash.n ? store_node_rekey(a->db, n->id, m->token_hash) : 0;
    return rc ? rc : store_node_renewed(a->db, n->id, m->terms.key_expires);
}

static int make_new(struct app *a, struct store_node *n, const struct node_making *m)
{
    uint8_t nobody[STORE_HASH_SIZE];
    int64_t number = store_node_next_number(a->db);
    int rc = free_label(a, slice_str(n->hostname), n->label);
    if (rc || number < 0) {
        return rc ? rc : (int)number;
    }
    secret_id(n->stable_id, 20);
    make_addresses(number, n);
    secret_random(nobody, sizeof nobody);
    rc = store_node_create(a->db, a->tailnet.id, n,
                           m->token_hash.n ? m->token_hash : slice_of(nobody, sizeof nobody),
                           &n->id);
    return rc ? rc : store_node_terms(a->db, n->id, &m->terms);
}

static int tell(struct app *a, const struct store_node *n, const struct node_making *m)
{
    char name[TEXT_NAME_SIZE];
    app_fqdn(a, n->label, name);
    struct js *data = js_object();
    js_set_cstr(data, "nodeID", n->stable_id);
    js_set_cstr(data, "deviceName", name);
    js_set_cstr(data, "managedBy", n->login);
    js_set_cstr(data, "actor", m->by->login);
    js_set_cstr(data, "url", a->cfg.origin);
    struct js *again = js_ref(data);
    int rc = webhooks_emit(a, "nodeCreated", "A device has joined", data);
    if (rc || m->terms.authorized) {
        js_free(again);
        return rc;
    }
    return webhooks_emit(a, "nodeNeedsApproval", "A device waits for approval", again);
}

int node_make(struct app *a, struct store_node *n, const struct node_making *m)
{
    struct store_node old;
    int rc = store_node_by_transport(a->db, slice_str(n->transport_key), &old);
    bool new = rc == STORE_NONE;
    rc = rc == 0 ? come_again(a, n, &old, m) : new ? make_new(a, n, m) : rc;
    rc = rc || !new ? rc : tell(a, n, m);
    rc = rc ? rc : store_change(a->db, a->tailnet.id, "node", n->id);
    return rc ? rc
              : audit_write(a, m->by,
                            &(struct audit_entry){.action = "NODE.REGISTER",
                                                  .type = "NODE",
                                                  .id = n->stable_id,
                                                  .name = n->label,
                                                  .new = slice_str(n->hostname),
                                                  .detail = slice_str(m->why)});
}

void node_answer(struct app *a, struct http_rq *rq, const struct store_node *n, const char *token)
{
    AUTO(js_freep) struct js *j = js_object();
    char name[TEXT_NAME_SIZE];
    app_fqdn(a, n->label, name);
    js_set_cstr(j, "nodeId", n->stable_id);
    js_set_cstr(j, "nodeToken", token);
    js_set_cstr(j, "name", name);
    js_set_cstr(j, "user", n->login);
    js_set_cstr(j, "tailnet", a->tailnet.name);
    js_set_cstr(j, "ipv4", n->ipv4);
    js_set_cstr(j, "ipv6", n->ipv6);
    reply_json(rq, 200, j);
}

void node_made(struct app *a, const struct store_node *n)
{
    names_publish(a);
    webhooks_kick(a);
    bus_wake(a);
    log_info("node.registered", F_STR("node", n->stable_id), F_STR("label", n->label),
             F_STR("user", n->login));
}
