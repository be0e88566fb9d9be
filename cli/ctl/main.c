/* funnelctl: administration from anywhere, and the policy tools that people put in their CI. */
#include <stdio.h>

#include "cli/ctl/ctl.h"
#include "lib/base/log.h"

static int begin(int argc, char **argv)
{
    struct ctl c = {.stdin_taken = false};
    ctl_look(&c);
    int rc = ctl_parse(argc, argv, &c);
    if (rc) {
        return rc;
    }
    ctl_look(&c);
    if (c.args.version) {
        puts("funnelctl 0.1.0");
        return CTL_OK;
    }
    return c.args.help ? ctl_help(&c) : c.args.command->run(&c);
}

int main(int argc, char **argv)
{
    return log_end(begin(argc, argv));
}
