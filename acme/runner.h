#pragma once
/*
 * funnel-acme: runs uacme as a bounded child, one order a directory (acme-dns.md 4.3). Separate
 * from control so that the ACME account key and the network towards the CA are not in the process
 * that holds the store.
 */
#include <stdint.h>

#include "lib/hujson/conf.h"
#include "lib/io/loop.h"

struct runner_config {
    char *url, *ca_file, *state_dir, *socket, *hook_socket, *uacme, *email;
    int64_t control_uid, child_uid, child_gid, deadline_s;
    int log_level;
    bool log_json;
};
extern const struct conf_option runner_options[];
extern const size_t runner_option_count;

struct runner;
int runner_start(struct loop *lp,
                 const struct runner_config *cfg,
                 const char *self_path,
                 char *out_why,
                 size_t why_size,
                 struct runner **out_runner) MUST_CHECK;
/* Kills the children and waits for them, a few seconds at most; not from inside a callback. */
void runner_free(struct runner *r);

/* The hook role: what uacme calls. Returns the exit code. */
int hook_main(int argc, char **argv);
#define HOOK_NAME "funnel-acme-hook"
