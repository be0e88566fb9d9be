/* funnel-relay: enroll once, then run. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "lib/io/service.h"
#include "relay/relay.h"

enum { EXIT_USAGE = 64, EXIT_CONFIG = 78, EXIT_UNAVAILABLE = 69 };

static void on_err(enum err_kind kind, int code, const char *file, int line, const char *func)
{
    log_err_sink((int)kind, code, file, line, func);
}

static const int64_t drain_time = SECONDS(10);

static const char usage[] =
    "funnel-relay: takes visitors by SNI and carries them to nodes; it cannot decrypt\n"
    "\n"
    "  funnel-relay enroll --config FILE --key file:PATH   make a key, register with control\n"
    "  funnel-relay run    --config FILE                   serve\n"
    "  funnel-relay check  --config FILE                   print the effective configuration\n";

static int complain(int code, const char *what, const char *why, const char *fix)
{
    fprintf(stderr, "funnel-relay: %s\n  why: %s\n  fix: %s\n", what, why, fix);
    return code;
}

static bool load_config(const char *path, struct relay_config *cfg)
{
    struct conf_diag d;
    char where[600];
    if (conf_load(path, relay_options, relay_option_count, cfg, &d) == 0) {
        return true;
    }
    snprintf(where, sizeof where, "%s:%d:%d: %s", path, d.line, d.column, d.text);
    complain(EXIT_CONFIG, "the configuration is not usable", where,
             "mend that line and start again");
    return false;
}

static int open_relay(struct relay *r, char *why, size_t size)
{
    static const char *const alpn[] = {TUNNEL_ALPN_SESSION, TUNNEL_ALPN_LEG, NULL};
    char host[TEXT_NAME_SIZE];
    if (!text_name(slice_str(r->cfg.host), TEXT_NAME_HOST, host)) {
        snprintf(why, size, "\"%s\" is not a host name", r->cfg.host);
        return -EINVAL;
    }
    int rc = state_open(&r->state, r->cfg.state_dir, host, why, size);
    if (rc < 0) {
        return rc;
    }
    struct tls_server_opts opts = {.cert_pem = buf_slice(&r->state.cert_pem),
                                   .key_pem = buf_slice(&r->state.key_pem),
                                   .alpn = alpn,
                                   .alpn_required = true,
                                   .min = TLS_MIN_13,
                                   .verify = TLS_REQUEST_CLIENT,
                                   .tickets = 2,
                                   .ticket_key =
                                       slice_of(r->state.ticket_key, sizeof r->state.ticket_key)};
    rc = tls_server_ctx(&opts, why, size, &r->tls);
    r->fetcher = fetcher_new(r->lp, *r->cfg.ca_file ? r->cfg.ca_file : NULL, "funnel-relay/0.1.0");
    return rc;
}

static void init_relay(struct relay *r)
{
    r->lp = loop_new();
    r->sessions = map_new();
    r->reserve_fd = -1;
    list_init(&r->arrivals);
    list_init(&r->session_list);
    list_init(&r->leg_list);
    list_init(&r->visitors);
    list_init(&r->pipes);
    routes_init(&r->routes);
    secret_random(&r->next_connection, sizeof r->next_connection);
    r->next_connection >>= 16; /* unique over restarts, with room to count */
}

static struct timer drain_timer;

static void on_drained(void *arg)
{
    struct relay *r = arg;
    loop_stop(r->lp);
}

static void on_signal(void *arg, int signo)
{
    struct relay *r = arg;
    if (signo == SIGHUP) {
        return;
    }
    if (r->draining || list_empty(&r->visitors)) {
        loop_stop(r->lp);
        return;
    }
    r->draining = true;
    service_notify("STOPPING=1");
    session_drain_all(r);
    log_info("draining");
    timer_set_in(r->lp, &drain_timer, drain_time, on_drained, r);
}

static int run(struct relay *r)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    char why[300];
    if (!r->state.token.len) {
        return complain(EXIT_CONFIG, "this relay is not enrolled",
                        "there is no token in the state directory",
                        "run: funnel-relay enroll --config FILE --key file:PATH");
    }
    state_load_routes(&r->state, &r->routes);
    if (loop_signals(r->lp, signals, ARRAY_LEN(signals), on_signal, r) < 0 ||
        front_start(r, why, sizeof why) < 0) {
        return complain(EXIT_UNAVAILABLE, "cannot start", why,
                        "free the port or change \"listen\" and \"ports\"");
    }
    channel_start(r);
    service_notify("READY=1");
    int rc = loop_run(r->lp);
    channel_stop(r);
    front_stop(r);
    return rc < 0 ? EXIT_UNAVAILABLE : 0;
}

static int enroll(struct relay *r, const char *key_ref)
{
    struct buf key;
    char why[400] = "";
    if (!key_ref || secret_read_ref(slice_str(key_ref), &key)) {
        return complain(EXIT_USAGE, "no relay key", "--key must name a file: file:PATH",
                        "funnel-control key create relay");
    }
    int rc = channel_enroll(r, buf_slice(&key), why, sizeof why);
    secret_wipe_buf(&key);
    if (rc < 0) {
        return complain(EXIT_UNAVAILABLE, "cannot enrol", why,
                        "check \"control\", \"caFile\" and the key (it works once)");
    }
    printf("enrolled as %s (%s)\n", r->cfg.name, r->cfg.host);
    return 0;
}

static int print_config(const struct relay_config *cfg)
{
    struct buf out = BUF_MAX(MIB);
    conf_print(relay_options, relay_option_count, cfg, &out);
    fputs(buf_cstr(&out), stdout);
    buf_deinit(&out);
    return 0;
}

static int act(struct relay *r, const char *command, const char *key_ref)
{
    char why[300];
    if (strcmp(command, "check") == 0) {
        return print_config(&r->cfg);
    }
    if (open_relay(r, why, sizeof why) < 0) {
        return complain(EXIT_CONFIG, "cannot start", why,
                        "look at the configuration and the state directory");
    }
    return strcmp(command, "enroll") == 0 ? enroll(r, key_ref) : run(r);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"key",    required_argument, NULL, 'k'},
        {NULL,     0,                 NULL, 0  }
    };
    static struct relay relay; /* lives as long as the process */
    const char *config = NULL, *key = NULL, *command = argc > 1 ? argv[1] : "";
    int c;
    optind = 2;
    while (argc > 1 && (c = getopt_long(argc, argv, "c:k:", options, NULL)) != -1) {
        config = c == 'c' ? optarg : config;
        key = c == 'k' ? optarg : key;
    }
    if (!config ||
        (strcmp(command, "run") && strcmp(command, "enroll") && strcmp(command, "check"))) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (!load_config(config, &relay.cfg)) {
        return EXIT_CONFIG;
    }
    signal(SIGPIPE, SIG_IGN);
    log_setup("funnel-relay", (enum log_level)relay.cfg.log_level, relay.cfg.log_json);
    err_set_sink(on_err);
    init_relay(&relay);
    return act(&relay, command, key);
}
