/* funnel-acme: the runner, or, called by its other name, uacme's hook. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "acme/runner.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/io/service.h"

enum { EXIT_USAGE = 64, EXIT_UNAVAILABLE = 69, EXIT_CONFIG = 78 };

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* A mount namespace, by way of a user namespace where we are not root. */
static bool own_mounts(void)
{
    char map[64];
    unsigned uid = getuid(), gid = getgid();
    if (unshare(CLONE_NEWNS) == 0) {
        return true;
    }
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
        return false;
    }
    text_fit(map, sizeof map, "%u %u 1", uid, uid);
    bool ok = write_text("/proc/self/uid_map", map) && write_text("/proc/self/setgroups", "deny");
    text_fit(map, sizeof map, "%u %u 1", gid, gid);
    return ok && write_text("/proc/self/gid_map", map);
}

/* uacme reads one path only (acme-dns.md section 2, trust): a private CA is laid over it, for us
 * and our children alone. */
static int use_private_ca(const char *ca_file)
{
    static const char bundle[] = "/etc/ssl/certs/ca-certificates.crt";
    if (!own_mounts() || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(ca_file, bundle, NULL, MS_BIND, NULL) < 0) {
        return err_origin(-errno);
    }
    return 0;
}

static void on_signal(void *arg, int signo)
{
    (void)signo;
    loop_stop(arg);
}

static int run(const struct runner_config *cfg)
{
    static const int signals[] = {SIGTERM, SIGINT};
    char why[512], self[400];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    if (*cfg->ca_file && use_private_ca(cfg->ca_file) < 0) {
        return log_complain(EXIT_CONFIG, "cannot use the private CA",
                            "this needs a mount namespace",
                            "run as root, allow user namespaces, or add the CA to the system's");
    }
    struct loop *lp = loop_new();
    struct runner *r = NULL;
    if (loop_signals(lp, signals, ARRAY_LEN(signals), on_signal, lp) < 0 ||
        runner_start(lp, cfg, self, why, sizeof why, &r) < 0) {
        return log_complain(
            EXIT_UNAVAILABLE, "cannot start", why,
            "look at \"stateDir\" and \"socket\", and install the programs where every "
            "user may run them, as /usr/bin");
    }
    service_notify("READY=1");
    int rc = loop_run(lp);
    runner_free(r);
    loop_free(lp);
    return rc < 0 ? EXIT_UNAVAILABLE : 0;
}

static int begin(int argc, char **argv)
{
    log_setup("funnel-acme", LOG_INFO, false);
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    static struct runner_config cfg;
    struct conf_diag d;
    const char *config = NULL, *name = strrchr(argv[0], '/');
    bool check = false;
    int c;
    if (strcmp(name ? name + 1 : argv[0], HOOK_NAME) == 0) {
        return hook_main(argc, argv);
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before there is a second thread */
    while ((c = getopt_long(argc, argv, "c:n", options, NULL)) != -1) {
        config = c == 'c' ? optarg : config;
        check = check || c == 'n';
    }
    if (!config) {
        return log_complain(EXIT_USAGE, "no configuration", "--config FILE is missing",
                            "funnel-acme --config FILE [-n]");
    }
    if (conf_load(config, runner_options, runner_option_count, &cfg, &d)) {
        char where[700];
        text_cut(where, sizeof where, "%s:%d:%d: %s", config, d.line, d.column, d.text);
        return log_complain(EXIT_CONFIG, "the configuration is not usable", where,
                            "mend that line and start again");
    }
    if (check) {
        struct buf out = BUF_MAX(MIB);
        conf_print(runner_options, runner_option_count, &cfg, &out);
        fputs(buf_cstr(&out), stdout);
        buf_deinit(&out);
        return 0;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    log_setup("funnel-acme", (enum log_level)cfg.log_level, cfg.log_json);
    err_set_sink(log_err_sink);
    return run(&cfg);
}

int main(int argc, char **argv)
{
    return log_end(begin(argc, argv));
}
