#pragma once
/* The table of options, for those who read it: args.c and help.c. */
#include "cli/ctl/ctl.h"

/* In the order of a row. NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct ctl_option {
    const char *name;
    char letter;      /* 0: none */
    const char *word; /* "PATH"; NULL: takes no value */
    unsigned sets;    /* CTL_OPT_… */
    size_t offset;    /* in struct ctl_args: const char *, or bool */
    const char *help;
};

extern const struct ctl_option ctl_options[];
extern const size_t ctl_option_count;
