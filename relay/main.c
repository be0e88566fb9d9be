/* funnel-relay: enroll once, then run. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/io/service.h"
#include "relay/relay.h"

enum { EXIT_USAGE = 64, EXIT_UNAVAILABLE = 69, EXIT_CONFIG = 78, WHY_SIZE = 400 };

static const char usage[] =
    "funnel-relay: takes visitors by SNI and carries them to nodes; it cannot decrypt\n"
    "\n"
    "  funnel-relay enroll --config FILE --key file:PATH [--control URL]\n"
    "                                      make a key, register with control\n"
    "  funnel-relay run    --config FILE   serve\n"
    "  funnel-relay check  --config FILE   print the effective configuration\n";

struct args {
    const char *command, *config, *key, *control;
};

/* --control stands above the file, so that one file serves many relays. */
static const char *override_control(struct relay_config *cfg, const char *url)
{
    for (size_t i = 0; url && i < relay_option_count; i++) {
        if (slice_eq(slice_str(relay_options[i].key), S("control"))) {
            return conf_set_text(&relay_options[i], cfg, slice_str(url));
        }
    }
    return NULL;
}

static bool load_config(const struct args *a, struct relay_config *cfg)
{
    struct conf_diag d;
    char where[600];
    if (conf_load(a->config, relay_options, relay_option_count, cfg, &d)) {
        text_cut(where, sizeof where, "%s:%d:%d: %s", a->config, d.line, d.column, d.text);
        log_complain(EXIT_CONFIG, "the configuration is not usable", where,
                     "mend that line and start again");
        return false;
    }
    const char *wrong = override_control(cfg, a->control);
    if (wrong) {
        log_complain(EXIT_USAGE, "--control is not usable", wrong, "give it as https://HOST");
    }
    return !wrong;
}

static void on_signal(void *arg, int signo)
{
    if (signo != SIGHUP) { /* nothing to reload yet, and no reason to die */
        relay_drain(arg);
    }
}

static int run(struct relay *r)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    char why[WHY_SIZE] = "signals cannot be handled";
    if (!r->state.token.len) {
        return log_complain(EXIT_CONFIG, "this relay is not enrolled",
                            "there is no token in the state directory",
                            "run: funnel-relay enroll --config FILE --key file:PATH");
    }
    if (loop_signals(r->lp, signals, ARRAY_LEN(signals), on_signal, r) < 0 ||
        relay_start(r, why, sizeof why) < 0) {
        return log_complain(EXIT_UNAVAILABLE, "cannot start", why,
                            "free the port or change \"listen\" and \"ports\"");
    }
    service_notify("READY=1");
    return loop_run(r->lp) < 0 ? EXIT_UNAVAILABLE : 0;
}

static int enroll(struct relay *r, const char *key_ref)
{
    struct buf key;
    char why[WHY_SIZE] = "";
    if (!key_ref || secret_read_ref(slice_str(key_ref), &key)) {
        return log_complain(EXIT_USAGE, "no relay key", "--key must name a file: file:PATH",
                            "funnel-control key create relay");
    }
    int rc = channel_enroll(r, buf_slice(&key), why, sizeof why);
    secret_wipe_buf(&key);
    if (rc < 0) {
        return log_complain(EXIT_UNAVAILABLE, "cannot enrol", why,
                            "check \"control\", \"caFile\" and the key (it works once)");
    }
    printf("enrolled as %s (%s)\n", r->cfg.name, r->cfg.host);
    return 0;
}

static int check(const struct relay_config *cfg)
{
    struct buf out = BUF_MAX(MIB);
    conf_print(relay_options, relay_option_count, cfg, &out);
    fputs(buf_cstr(&out), stdout);
    buf_deinit(&out);
    return 0;
}

static int act(struct relay *r, const struct args *a)
{
    char why[WHY_SIZE];
    if (strcmp(a->command, "check") == 0) {
        return check(&r->cfg);
    }
    int rc = relay_open(r, why, sizeof why);
    if (rc < 0) {
        return log_complain(EXIT_CONFIG, "cannot start", why,
                            "look at the configuration and the state directory");
    }
    rc = strcmp(a->command, "enroll") == 0 ? enroll(r, a->key) : run(r);
    relay_close(r);
    return rc;
}

static bool read_args(int argc, char **argv, struct args *a)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"control", required_argument, NULL, 'u'},
                                            {NULL, 0, NULL, 0}};
    int c;
    a->command = argc > 1 ? argv[1] : "";
    optind = 2;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before there is a second thread */
    while (argc > 1 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        a->config = c == 'c' ? optarg : a->config;
        a->key = c == 'k' ? optarg : a->key;
        a->control = c == 'u' ? optarg : a->control;
        if (c == '?') {
            return false;
        }
    }
    return a->config && (!strcmp(a->command, "run") || !strcmp(a->command, "enroll") ||
                         !strcmp(a->command, "check"));
}

static int begin(int argc, char **argv)
{
    struct relay relay = {.lp = NULL};
    struct args args = {.command = NULL};
    log_setup("funnel-relay", LOG_INFO, false);
    if (!read_args(argc, argv, &args)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (!load_config(&args, &relay.cfg)) {
        return EXIT_CONFIG;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    log_setup("funnel-relay", (enum log_level)relay.cfg.log_level, relay.cfg.log_json);
    err_set_sink(log_err_sink);
    int rc = act(&relay, &args);
    conf_free(relay_options, relay_option_count, &relay.cfg);
    return rc;
}

int main(int argc, char **argv)
{
    return log_end(begin(argc, argv));
}
