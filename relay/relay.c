/* The relay as one object: put together here, taken apart in the same order backwards. */
#include "relay/relay.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/io/proc.h"
#include "lib/io/service.h"

enum { DRAIN_S = 10, TICKETS = 2, CLOSING_TURNS = 4 };

static const int64_t quiet_for = SECONDS(1);

static void init_tables(struct relay *r)
{
    r->lp = loop_new();
    r->sessions = map_new();
    r->sessions_by_id = map_new();
    list_init(&r->session_list);
    list_init(&r->leg_list);
    list_init(&r->visitors);
    list_init(&r->waiting);
    list_init(&r->pipes);
    routes_init(&r->routes);
    secret_random(&r->next_connection, sizeof r->next_connection);
    r->next_connection >>= 16; /* unique over restarts, with room to count */
}

static int open_tls(struct relay *r, char *out_why, size_t why_size)
{
    static const char *const alpn[] = {TUNNEL_ALPN_SESSION, TUNNEL_ALPN_LEG, NULL};
    struct tls_server_opts opts = {.cert_pem = buf_slice(&r->state.cert_pem),
                                   .key_pem = buf_slice(&r->state.key_pem),
                                   .alpn = alpn,
                                   .alpn_required = true,
                                   .min = TLS_MIN_13,
                                   .verify = TLS_REQUEST_CLIENT,
                                   .tickets = TICKETS,
                                   .ticket_key =
                                       slice_of(r->state.ticket_key, sizeof r->state.ticket_key)};
    return tls_server_ctx(&opts, out_why, why_size, &r->tls);
}

int relay_open(struct relay *r, char *out_why, size_t why_size)
{
    char host[TEXT_NAME_SIZE];
    init_tables(r);
    (void)proc_raise_descriptors(); /* a visitor costs two */
    if (!text_name(slice_str(r->cfg.host), TEXT_NAME_HOST, host)) {
        text_cut(out_why, why_size, "\"%s\" is not a host name", r->cfg.host);
        return err_origin(-EINVAL);
    }
    mem_free(r->cfg.host);
    r->cfg.host = mem_strdup(host); /* as ClientHellos will say it */
    int rc = state_open(&r->state, r->cfg.state_dir, host, out_why, why_size);
    rc = rc ? rc : open_tls(r, out_why, why_size);
    if (rc < 0) {
        return err_trace(rc);
    }
    r->fetcher = fetcher_new(r->lp, *r->cfg.ca_file ? r->cfg.ca_file : NULL, "funnel-relay/0.1.0");
    return 0;
}

int relay_start(struct relay *r, char *out_why, size_t why_size)
{
    state_load_routes(&r->state, &r->routes);
    int rc = front_start(r, out_why, why_size);
    if (rc < 0) {
        return err_trace(rc);
    }
    channel_start(r);
    return 0;
}

/* ---- draining ---- */

static void on_drained(void *arg)
{
    loop_stop(((struct relay *)arg)->lp);
}

void relay_drain(struct relay *r)
{
    if (r->draining || list_empty(&r->visitors)) {
        loop_stop(r->lp); /* nobody to wait for, or asked twice */
        return;
    }
    r->draining = true;
    log_info("draining");
    service_notify("STOPPING=1");
    front_stop(r);
    rsession_drain_all(r, DRAIN_S);
    timer_set_in(r->lp, &r->drain_timer, SECONDS(DRAIN_S), on_drained, r);
}

static void on_quiet(void *arg)
{
    (void)arg;
    mem_give_back();
}

void relay_visitor_ended(struct relay *r)
{
    timer_set_in(r->lp, &r->quiet, quiet_for, on_quiet, r);
    if (r->draining && list_empty(&r->visitors)) {
        /* A moment for what is still queued towards the last of them. */
        timer_set_in(r->lp, &r->drain_timer, MS(200), on_drained, r);
    }
}

void relay_close(struct relay *r)
{
    timer_cancel(&r->drain_timer);
    channel_stop(r);
    front_stop(r);
    LIST_FOREACH (l, &r->session_list) {
        struct stream *s = LIST_ENTRY(l, struct rsession, link)->stream;
        if (s) {
            stream_close(s, 0);
        }
    }
    LIST_FOREACH (l, &r->leg_list) {
        struct stream *s = LIST_ENTRY(l, struct rleg, link)->stream;
        if (s) {
            stream_close(s, 0); /* its visitor ends with it */
        }
    }
    for (int i = 0; i < CLOSING_TURNS; i++) {
        err_ignore(loop_turn(r->lp, 0)); /* closed streams tell it in the next turns */
    }
    timer_cancel(&r->quiet);
    fetcher_free(r->fetcher);
    tls_ctx_unref(r->tls);
    routes_deinit(&r->routes);
    map_free(r->sessions);
    map_free(r->sessions_by_id);
    state_close(&r->state);
    loop_free(r->lp);
}
