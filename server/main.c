/* funnel-control: commands and the server. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/io/proc.h"
#include "lib/io/service.h"
#include "server/api_keys.h"
#include "server/app.h"
#include "server/events.h"
#include "server/meta.h"
#include "server/presence.h"
#include "server/ready.h"
#include "server/registration.h"

enum { EXIT_USAGE = 64, EXIT_UNAVAILABLE = 69, EXIT_CONFIG = 78, HASH_THREADS = 2, BACKLOG = 4096 };

static const int64_t tick = SECONDS(1);

static const char usage[] =
    "funnel-control: nodes, policy, certificates and DNS of one tailnet\n"
    "\n"
    "  funnel-control init       --config FILE [--owner LOGIN] [--out-dir DIR] [--json]\n"
    "  funnel-control run        --config FILE\n"
    "  funnel-control setup-link [LOGIN] --config FILE [--out-dir DIR] [--json]\n"
    "                 a one-time link: sets the person's way to sign in, also anew\n"
    "  funnel-control key create api|auth|relay --config FILE [--reusable] [--out-dir DIR] [--json]\n"
    "  funnel-control check      --config FILE       print the effective configuration\n";

static void on_signal(void *arg, int signo)
{
    struct app *a = arg;
    char why[300];
    if (signo != SIGHUP) {
        loop_stop(a->lp);
    } else if (http_server_reload_cert(a->http, why, sizeof why) < 0) {
        log_error("tls.not_reloaded", F_STR("why", why),
                  F_STR("fix", "the old certificate stays; mend the files, SIGHUP again"));
    } else {
        log_info("tls.reloaded");
    }
}

static void on_tick(void *arg)
{
    struct app *a = arg;
    static unsigned count;
    timer_set_in(a->lp, &a->minute, tick, on_tick, a);
    approval_tick(a);
    if (++count % 2 == 0) {
        certs_kick(a);
        names_tick(a);
        checkpoint_tick(a);
        nodes_tick(a);
    }
    if (count % 60 == 0) {
        tries_sweep(a->tries, mono_now());
        flows_sweep(a->flows, mono_now());
        rest_minute(a);
        keys_minute(a);
        registrations_minute(a);
        nodes_minute(a);
    }
}

static int listen_all(struct app *a, char *why, size_t size)
{
    for (size_t i = 0; i < a->cfg.listen.count; i++) {
        struct addr at;
        const char *text = a->cfg.listen.items[i];
        int fd = addr_parse(slice_str(text), &at) ? sock_listen(&at, BACKLOG, SOCK_PLAIN) : -EINVAL;
        int rc = fd < 0 ? fd : http_server_listen(a->http, fd);
        if (rc < 0) {
            text_cut(why, size, "listen: %s: %s", text, err_words(rc));
            return rc;
        }
        log_info("listening", F_STR("address", text));
    }
    return 0;
}

/* As many as descriptors are there for. */
static unsigned connections_max(void)
{
    enum {
        EACH = 3,      /* the client's socket and a pair between our TLS and the HTTP library */
        RESERVED = 300 /* the store, DNS, children, calls to elsewhere */
    };

    size_t limit = proc_raise_descriptors();
    return limit > (size_t)2 * RESERVED ? (unsigned)(limit - RESERVED) / EACH : RESERVED / EACH;
}

static int start_http(struct app *a, char *why, size_t size)
{
    struct addr proxies[CONF_LIST_MAX];
    size_t count = 0;
    for (size_t i = 0; i < a->cfg.proxy_from.count; i++) {
        if (!addr_from_ip(slice_str(a->cfg.proxy_from.items[i]), 0, &proxies[count++])) {
            text_cut(why, size, "proxyFrom: \"%s\" is not an IP address",
                     a->cfg.proxy_from.items[i]);
            return -EINVAL;
        }
    }
    struct http_opts o = {.cert_file = a->cfg.tls_cert,
                          .key_file = a->cfg.tls_key,
                          .routes = app_routes,
                          .route_count = app_route_count,
                          .before = auth_before,
                          .after = rest_after,
                          .not_found = app_not_found,
                          .error = app_error,
                          .arg = a,
                          .max_connections = connections_max(),
                          .proxy_from = proxies,
                          .proxy_from_count = count};
    int rc = http_server_new(a->lp, &o, why, size, &a->http);
    return rc < 0 ? rc : listen_all(a, why, size);
}

static int start_all(struct app *a, char *why, size_t size)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    int rc = loop_signals(a->lp, signals, ARRAY_LEN(signals), on_signal, a);
    a->tries = tries_new();
    a->flows = flows_new();
    a->rest = rest_new(a);
    a->registrations = registrations_new(a);
    a->nodes = nodes_new(a);
    a->presence = presence_new();
    rc = rc < 0 ? rc : app_open_store(a, why, size);
    if (rc == 0 && store_tailnet(a->db, &a->tailnet)) {
        text_cut(why, size, "nothing is initialised here; run: funnel-control init");
        rc = -ENOENT;
    }
    if (rc == 0 && lock_load(a) < 0) {
        text_cut(why, size, "the database could not be read: %s", db_error(a->db));
        rc = -EIO;
    }
    rc = rc < 0 ? rc : policy_state_load(a, why, size);
    rc = rc < 0 ? rc : names_start(a, why, size);
    if (rc >= 0) {
        a->pool = pool_new(a->lp, HASH_THREADS);
        a->webhooks = webhooks_new(a);
        a->waits = approval_waits_new(a);
        a->oidc = oidc_new(a);
        rc = bus_start(a);
        rc = rc < 0 ? rc : ready_start(a);
        rc = rc < 0 ? rc : events_start(a);
        if (rc < 0) {
            text_cut(why, size, "the database could not be read: %s", db_error(a->db));
        }
    }
    rc = rc < 0 ? rc : certs_start(a, why, size);
    rc = rc < 0 ? rc : start_http(a, why, size);
    return rc < 0 ? rc : meta_start(a, why, size);
}

static int run(struct app *a)
{
    char why[400] = "";
    a->lp = loop_new();
    if (start_all(a, why, sizeof why) < 0) {
        return log_complain(EXIT_UNAVAILABLE, "cannot start", why, "mend this and start again");
    }
    timer_set_in(a->lp, &a->minute, tick, on_tick, a);
    keys_minute(a); /* what ended meanwhile */
    service_notify("READY=1");
    log_info("ready", F_STR("origin", a->cfg.origin), F_STR("tailnet", a->tailnet.name));
    int rc = loop_run(a->lp);
    service_notify("STOPPING=1");
    a->stopping = true;
    meta_stop(a);
    http_server_free(a->http);
    approval_waits_free(a->waits);
    nodes_flush(a);
    events_stop(a);
    ready_stop(a);
    webhooks_free(a->webhooks);
    oidc_free(a->oidc);
    certs_stop(a);
    bus_stop(a);
    names_stop(a);
    pool_free(a->pool);
    policy_state_free(a);
    tries_free(a->tries);
    flows_free(a->flows);
    rest_free(a->rest);
    registrations_free(a->registrations);
    nodes_free(a->nodes);
    presence_free(a->presence);
    db_close(a->db);
    return rc < 0 ? EXIT_UNAVAILABLE : 0;
}

static int print_config(const struct config *cfg)
{
    struct buf out = BUF_MAX(MIB);
    conf_print(config_options, config_option_count, cfg, &out);
    fputs(buf_cstr(&out), stdout);
    buf_deinit(&out);
    return 0;
}

static bool load_config(const char *path, struct config *cfg)
{
    struct conf_diag d;
    char where[700], why[400];
    if (conf_load(path, config_options, config_option_count, cfg, &d)) {
        text_cut(where, sizeof where, "%s:%d:%d: %s", path, d.line, d.column, d.text);
    } else if (!config_check(cfg, why, sizeof why)) {
        text_cut(where, sizeof where, "%s: %s", path, why);
    } else {
        return true;
    }
    log_complain(EXIT_CONFIG, "the configuration is not usable", where,
                 "mend that line and start again");
    return false;
}

static int act(struct app *a, const char *command, const struct command_args *args)
{
    if (strcmp(command, "init") == 0) {
        return command_init(a, args);
    }
    if (strcmp(command, "setup-link") == 0) {
        return command_setup_link(a, args);
    }
    if (strcmp(command, "key") == 0) {
        return command_key_create(a, args);
    }
    return strcmp(command, "check") == 0 ? print_config(&a->cfg) : run(a);
}

static bool known(const char *command)
{
    static const char *const commands[] = {"init", "run", "setup-link", "key", "check"};
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i], command) == 0) {
            return true;
        }
    }
    return false;
}

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},  {"owner", required_argument, NULL, 'o'},
    {"out-dir", required_argument, NULL, 'd'}, {"json", no_argument, NULL, 'j'},
    {"reusable", no_argument, NULL, 'r'},      {NULL, 0, NULL, 0}};

static int begin(int argc, char **argv)
{
    log_setup("funnel-control", LOG_INFO, false);
    static struct app app; /* lives as long as the process */
    struct command_args args = {.owner = NULL};
    const char *config = NULL, *command = argc > 1 ? argv[1] : "";
    int c;
    optind = 2;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before there is a second thread */
    while (argc > 1 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        config = c == 'c' ? optarg : config;
        args.owner = c == 'o' ? optarg : args.owner;
        args.out_dir = c == 'd' ? optarg : args.out_dir;
        args.json = args.json || c == 'j';
        args.reusable = args.reusable || c == 'r';
    }
    args.kind = optind + 1 < argc ? argv[optind + 1] : NULL;
    if (strcmp(command, "setup-link") == 0 && optind < argc) {
        args.owner = argv[optind];
    }
    if (!config || !known(command)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (!load_config(config, &app.cfg)) {
        return EXIT_CONFIG;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    log_setup("funnel-control", (enum log_level)app.cfg.log_level, app.cfg.log_json);
    err_set_sink(log_err_sink);
    return act(&app, command, &args);
}

int main(int argc, char **argv)
{
    return log_end(begin(argc, argv));
}
