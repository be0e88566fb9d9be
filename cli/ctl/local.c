/*
 * What must work when nobody can sign in: links that set a way to sign in, made on the server's own
 * machine over its store. funnel-control does it; this finds it, so that admins need one tool.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/ctl/commands.h"
#include "lib/base/err.h"
#include "lib/base/text.h"

#define CONFIG_FILE "/etc/openfunnel/control.hujson"

/* Beside this program, as every package and build lays them out. */
static bool find_control(char out[PATH_MAX])
{
    char self[PATH_MAX] = "";
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = n > 0 ? strrchr(self, '/') : NULL;
    if (!slash || (size_t)(slash - self) + sizeof "/funnel-control" > PATH_MAX) {
        return false;
    }
    *slash = '\0';
    text_cut(out, PATH_MAX, "%s/funnel-control", self);
    return access(out, X_OK) == 0;
}

static int run_setup_link(const struct ctl *c, char *login)
{
    char path[PATH_MAX], why[PATH_MAX + 100];
    const char *config = c->args.config ? c->args.config : CONFIG_FILE;
    if (!find_control(path) || access(config, R_OK) != 0) {
        text_cut(why, sizeof why, "%s cannot be read, or funnel-control is not beside funnelctl",
                 config);
        return ctl_complain(c, CTL_UNREACHABLE, "this works on the server's own machine", why,
                            "there, as root: funnelctl … --config FILE");
    }
    char *argv[8] = {path, unconst("setup-link")};
    size_t n = 2;
    if (login) {
        argv[n++] = login;
    }
    argv[n++] = unconst("--config");
    argv[n++] = unconst(config);
    if (c->args.json) {
        argv[n++] = unconst("--json");
    }
    execv(path, argv);
    return ctl_complain(c, CTL_UNREACHABLE, "cannot start funnel-control", err_words(-errno), path);
}

int ctl_setup_link(struct ctl *c)
{
    return run_setup_link(c, NULL);
}

int ctl_reset_login(struct ctl *c)
{
    return run_setup_link(c, c->args.words[0]);
}
