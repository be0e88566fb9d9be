/*
 * The queue is the table; up to four deliveries run at once, each claimed in memory. A restart
 * sends again what was not acknowledged: at least once, never silently lost.
 */
#include "server/webhooks.h"

#include <errno.h>
#include <netinet/in.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/data/crypto.h"
#include "lib/data/seal.h"
#include "lib/fetch/fetch.h"
#include "server/app.h"
#include "server/store_webhooks.h"

enum {
    PARALLEL = 4,
    ANSWER_MAX = 16 * 1024, /* read and dropped */
    RETRIES_DAILY = 3,      /* days after the first hours */
};

const char *const webhook_events[] = {
    "nodeCreated",
    "nodeNeedsApproval",
    "nodeApproved",
    "nodeKeyExpiringInOneDay",
    "nodeKeyExpired",
    "nodeDeleted",
    "nodeSigned",
    "nodeNeedsSignature",
    "policyUpdate",
    "userCreated",
    "userNeedsApproval",
    "userSuspended",
    "userRestored",
    "userDeleted",
    "userApproved",
    "userRoleUpdated",
    "subnetIPForwardingNotEnabled",
    "exitNodeIPForwardingNotEnabled",
    "funnelRequested",
    "funnelApproved",
    "funnelDenied",
    "funnelRevoked",
    "funnelReported",
    "funnelGrantOverdue",
    "funnelLocked",
    "funnelUnlocked",
    "keyExpiring",
    "loginFailures",
    NULL,
};

struct sending {
    struct webhooks *w;
    struct fetch *fetch;
    int64_t delivery, tries;
};

struct webhooks {
    struct app *a;
    struct fetcher *f;
    struct timer timer;
    struct sending slots[PARALLEL]; /* delivery 0: free */
    bool in_due;
};

static void run_due(void *arg);

/* ---- pure parts ---- */

int64_t webhook_retry_s(int64_t tries)
{
    static const int64_t waits[] = {2, 10, 30, 120, 600, 3600, (int64_t)6 * 3600};
    if (tries <= 0) {
        return waits[0];
    }
    if (tries <= (int64_t)ARRAY_LEN(waits)) {
        return waits[tries - 1];
    }
    return tries <= (int64_t)ARRAY_LEN(waits) + RETRIES_DAILY ? 86400 : 0;
}

void webhook_signature(struct slice secret, struct wall at, struct slice body, char out[128])
{
    uint8_t mac[CRYPTO_SHA256_SIZE];
    struct buf text = BUF_MAX(body.n + 32), hex = BUF_MAX(64);
    buf_addf(&text, "%lld.", (long long)at.s);
    buf_add(&text, body);
    crypto_hmac_sha256(secret, buf_slice(&text), mac);
    text_hex(&hex, slice_of(mac, sizeof mac));
    text_fit(out, 128, "t=%lld,v1=%s", (long long)at.s, buf_cstr(&hex));
    buf_deinit(&text);
    buf_deinit(&hex);
}

/* RFC 6890's special-purpose blocks, as far as something could listen there. */
static bool v4_ok(uint32_t ip)
{
    static const struct {
        uint32_t net;
        int bits;
    } refused[] = {{0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},
                   {0xa9fe0000, 16}, {0xac100000, 12}, {0xc0000000, 24}, {0xc0a80000, 16},
                   {0xc6120000, 15}, {0xe0000000, 3}};

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        uint32_t mask = UINT32_MAX << (32 - refused[i].bits);
        if ((ip & mask) == refused[i].net) {
            return false;
        }
    }
    return true;
}

bool webhook_peer_ok(const struct sockaddr *peer)
{
    if (peer->sa_family == AF_INET) {
        struct sockaddr_in in4;
        memcpy(&in4, peer, sizeof in4);
        return v4_ok(ntohl(in4.sin_addr.s_addr));
    }
    if (peer->sa_family != AF_INET6) {
        return false;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, peer, sizeof in6);
    const uint8_t *b = in6.sin6_addr.s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) || (b[0] == 0x00 && b[1] == 0x64 && b[2] == 0xff)) {
        return v4_ok((uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 | (uint32_t)b[14] << 8 | b[15]);
    }
    return (b[0] & 0xe0) == 0x20; /* global unicast only */
}

/* ---- queueing ---- */

struct emitting {
    struct app *a;
    const char *type;
    struct slice body;
    int rc;
};

static bool subscribed(const struct store_webhook *w, const char *type)
{
    char why[80];
    AUTO(js_freep) struct js *events = js_parse(slice_str(w->events), 4096, why, sizeof why);
    bool found = strcmp(type, "test") == 0;
    for (size_t i = 0; events && i < js_len(events); i++) {
        found = found || slice_eq(js_str(js_at(events, i)), slice_str(type));
    }
    return found;
}

static void queue_one(void *arg, const struct store_webhook *w)
{
    struct emitting *e = arg;
    if (!e->rc && subscribed(w, e->type)) {
        e->rc = store_delivery_add(e->a->db, w->id, e->type, e->body);
    }
}

void webhooks_body(
    struct app *a, const char *type, const char *message, struct js *take_data, struct buf *out)
{
    AUTO(js_freep) struct js *list = js_array();
    struct js *j = js_object();
    char now[WALL_TEXT_SIZE];
    wall_format(wall_now(), now);
    js_set_cstr(j, "timestamp", now);
    js_set_int(j, "version", 1);
    js_set_cstr(j, "type", type);
    js_set_cstr(j, "tailnet", a->tailnet.name);
    js_set_cstr(j, "message", message);
    js_set(j, "data", take_data ? take_data : js_object());
    js_push(list, j);
    js_write(list, JS_COMPACT, out);
}

int webhooks_emit(struct app *a, const char *type, const char *message, struct js *take_data)
{
    struct buf body = BUF_MAX(64 * KIB);
    webhooks_body(a, type, message, take_data, &body);
    struct emitting e = {.a = a, .type = type, .body = buf_slice(&body)};
    int rc = store_webhooks_each(a->db, a->tailnet.id, queue_one, &e);
    buf_deinit(&body);
    return rc ? rc : e.rc;
}

/* ---- sending ---- */

static bool peer_ok(void *arg, const struct sockaddr *peer)
{
    const struct webhooks *w = arg;
    return w->a->cfg.webhook_private || webhook_peer_ok(peer);
}

static void note(struct webhooks *w, const struct sending *s, const struct fetch_result *r)
{
    char why[200] = "";
    bool ok = !r->err && r->status >= 200 && r->status < 300;
    int64_t wait = ok ? 0 : webhook_retry_s(s->tries + 1);
    const char *state = ok ? "delivered" : wait ? "queued" : "failed";
    if (!ok) {
        text_cut(why, sizeof why, "%s", r->err ? r->why : "the receiver did not accept it");
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(w->a->db);
    int rc = tx ? store_delivery_tried(w->a->db, s->delivery, state, r->status, slice_str(why),
                                       (struct wall){wall_now().s + wait})
                : -EIO;
    rc = rc ? rc : db_commit(&tx);
    if (rc < 0) {
        log_error("webhook.not_noted", F_ERR(rc)); /* it is sent once more */
    } else if (!ok) {
        log_warn("webhook.not_delivered", F_STR("why", why), F_I64("status", r->status));
    }
}

static void on_answer(void *arg, const struct fetch_result *r)
{
    struct sending *s = arg;
    struct webhooks *w = s->w;
    note(w, s, r);
    s->fetch = NULL;
    s->delivery = 0;
    run_due(w);
}

static bool
unseal(struct app *a, const struct store_webhook *hook, struct slice sealed, struct buf *out)
{
    char about[64];
    text_fit(about, sizeof about, "webhook:%s", hook->stable_id);
    return seal_open(a->secrets.seal, slice_str(about), sealed, out);
}

static void send_one(struct webhooks *w, struct sending *s, const struct store_delivery *x)
{
    struct store_webhook hook;
    char signature[128], ours[160], theirs[160];
    struct buf sealed = BUF_MAX(256), secret = BUF_MAX(256);
    bool ok = store_webhook_by_id(w->a->db, x->webhook_id, &hook, &sealed) == 0 &&
              unseal(w->a, &hook, buf_slice(&sealed), &secret);
    if (ok) {
        webhook_signature(buf_slice(&secret), wall_now(), x->body, signature);
        text_fit(theirs, sizeof theirs, "Tailscale-Webhook-Signature: %s", signature);
        text_fit(ours, sizeof ours, "Funnel-Webhook-Signature: %s", signature);
        const char *headers[] = {"Content-Type: application/json", theirs, ours, NULL};
        struct fetch_opts o = {.method = "POST",
                               .url = hook.url,
                               .headers = headers,
                               .body = x->body,
                               .timeout_ns = SECONDS(10),
                               .max = ANSWER_MAX,
                               .peer_ok = peer_ok,
                               .peer_arg = w};
        *s = (struct sending){.w = w, .delivery = x->id, .tries = x->tries};
        s->fetch = fetch_start(w->f, &o, on_answer, s);
    }
    secret_wipe_buf(&secret);
    buf_deinit(&sealed);
}

static void take_one(void *arg, const struct store_delivery *x)
{
    struct webhooks *w = arg;
    struct sending *unused = NULL;
    for (size_t i = 0; i < PARALLEL; i++) {
        if (w->slots[i].delivery == x->id) {
            return; /* on its way */
        }
        unused = unused || w->slots[i].delivery ? unused : &w->slots[i];
    }
    if (unused) {
        send_one(w, unused, x);
    }
}

static void run_due(void *arg)
{
    struct webhooks *w = arg;
    struct wall next = {0};
    if (w->in_due) {
        return;
    }
    w->in_due = true;
    int rc = store_deliveries_due(w->a->db, wall_now(), (int64_t)2 * PARALLEL, take_one, w);
    rc = rc ? rc : store_delivery_next(w->a->db, &next);
    w->in_due = false;
    if (rc < 0) {
        next.s = wall_now().s + 60;
    }
    if (next.s) {
        int64_t wait = next.s - wall_now().s;
        timer_set_in(w->a->lp, &w->timer, SECONDS(wait < 1 ? 1 : wait), run_due, w);
    }
}

void webhooks_kick(struct app *a)
{
    if (a->webhooks) {
        run_due(a->webhooks);
    }
}

struct webhooks *webhooks_new(struct app *a)
{
    struct webhooks *w = mem_new(sizeof *w);
    w->a = a;
    w->timer = TIMER_INIT;
    w->f = fetcher_new(a->lp, a->cfg.webhook_ca[0] ? a->cfg.webhook_ca : NULL,
                       "OpenFunnel/" APP_VERSION);
    timer_set_in(a->lp, &w->timer, SECONDS(1), run_due, w);
    return w;
}

void webhooks_free(struct webhooks *w)
{
    if (w) {
        timer_cancel(&w->timer);
        fetcher_free(w->f);
        mem_free(w);
    }
}
