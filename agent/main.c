/* funneld: the daemon on the node. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "agent/agent.h"
#include "agent/login.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/io/service.h"

enum { EXIT_USAGE = 64, EXIT_UNAVAILABLE = 69, EXIT_CONFIG = 78, LOOKUP_THREADS = 2 };

void agent_view_changed(struct agent *a)
{
    cert_check(a);
    ipc_view_changed(a);
}

static void on_signal(void *arg, int signo)
{
    struct agent *a = arg;
    if (signo == SIGHUP) {
        return;
    }
    a->stopping = true;
    loop_stop(a->lp);
}

static void on_hour(void *arg)
{
    struct agent *a = arg;
    timer_set_in(a->lp, &a->hourly, SECONDS(3600), on_hour, a);
    cert_check(a); /* renewal */
}

static int start(struct agent *a, char *why, size_t size)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    a->lp = loop_new();
    list_init(&a->uplinks);
    list_init(&a->visitors);
    list_init(&a->clients);
    a->ipc = WATCH_INIT;
    int rc = loop_signals(a->lp, signals, ARRAY_LEN(signals), on_signal, a);
    rc = rc < 0 ? rc : state_open(&a->state, a->cfg.state_dir, why, size);
    if (rc < 0) {
        return rc;
    }
    a->pool = pool_new(a->lp, LOOKUP_THREADS);
    a->fetcher =
        fetcher_new(a->lp, *a->cfg.ca_file ? a->cfg.ca_file : NULL, "funneld/" AGENT_VERSION);
    cert_load(a);
    serve_load(a);
    health_start(a);
    control_start(a);
    timer_set_in(a->lp, &a->hourly, SECONDS(3600), on_hour, a);
    return ipc_start(a, why, size);
}

static int run(struct agent *a)
{
    char why[400] = "";
    if (start(a, why, sizeof why) < 0) {
        return log_complain(EXIT_UNAVAILABLE, "cannot start", why,
                            "look at \"stateDir\" and \"socket\" in the configuration");
    }
    service_notify("READY=1");
    int rc = loop_run(a->lp);
    ipc_stop(a);
    login_end(a);
    uplink_stop_all(a);
    health_stop(a);
    control_stop(a);
    for (int i = 0; i < 5; i++) {
        err_ignore(loop_turn(a->lp, MS(20))); /* the last words */
    }
    return rc < 0 ? EXIT_UNAVAILABLE : 0;
}

static int begin(int argc, char **argv)
{
    log_setup("funneld", LOG_INFO, false);
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    static struct agent agent; /* lives as long as the process */
    struct conf_diag d;
    const char *config = NULL;
    bool check = false;
    int c;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before there is a second thread */
    while ((c = getopt_long(argc, argv, "c:n", options, NULL)) != -1) {
        config = c == 'c' ? optarg : config;
        check = check || c == 'n';
    }
    int rc = config ? conf_load(config, agent_options, agent_option_count, &agent.cfg, &d)
                    : conf_parse(S("{}"), agent_options, agent_option_count, &agent.cfg, &d);
    if (rc) {
        char where[700];
        text_cut(where, sizeof where, "%s:%d:%d: %s", config ? config : "defaults", d.line,
                 d.column, d.text);
        return log_complain(EXIT_CONFIG, "the configuration is not usable", where,
                            "mend that line and start again");
    }
    if (check) {
        struct buf out = BUF_MAX(MIB);
        conf_print(agent_options, agent_option_count, &agent.cfg, &out);
        fputs(buf_cstr(&out), stdout);
        buf_deinit(&out);
        return 0;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* the leaf's private key is in this memory */
    log_setup("funneld", (enum log_level)agent.cfg.log_level, agent.cfg.log_json);
    err_set_sink(log_err_sink);
    return run(&agent);
}

int main(int argc, char **argv)
{
    return log_end(begin(argc, argv));
}
