/* funnel: the command people type. */
#include "cli/cli.h"
#include "lib/base/log.h"

static int begin(int argc, char **argv)
{
    struct cli_args args;
    render_start(false);
    int rc = cli_parse(argc, argv, &args);
    if (rc) {
        return rc;
    }
    render_start(args.quiet);
    if (args.command == CLI_HELP) {
        return cli_help(args.topic);
    }
    if (args.command == CLI_VERSION) {
        puts("funnel 0.1.0");
        return EXIT_OK;
    }
    return talk(&args);
}

int main(int argc, char **argv)
{
    return log_end(begin(argc, argv));
}
