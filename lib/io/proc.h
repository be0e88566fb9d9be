#pragma once
/*
 * Bounded children: own session, empty environment but for what is given,
 * rlimits, no_new_privs, closed descriptors, a deadline that kills the whole
 * group, stderr captured up to a cap.
 */
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/macros.h"
#include "lib/base/slice.h"
#include "lib/io/loop.h"

/* As many descriptors for this process as the system allows; how many it may have now. */
size_t proc_raise_descriptors(void);

struct proc;

struct proc_opts {
    const char *const *argv; /* NULL-terminated; argv[0] is an absolute path, no shell, no PATH */
    const char *const *env;  /* NULL-terminated; NULL: empty */
    const char *cwd;
    uid_t uid; /* 0: unchanged */
    gid_t gid;
    uint64_t cpu_s, as_bytes, fsize_bytes, nofile; /* 0: unchanged; core is always 0 */
    mode_t umask;
    int64_t deadline_ns; /* SIGKILL to the group after this */
    size_t stderr_max;
};

/* exit_code >= 0, or -signal; timed_out when the deadline ended it. err_text is what it wrote to
 * stderr. */
typedef void (*proc_done_fn)(void *arg, int exit_code, bool timed_out, struct slice err_text);

int proc_start(struct loop *lp,
               const struct proc_opts *opts,
               proc_done_fn fn,
               void *arg,
               struct proc **out_proc) MUST_CHECK;
pid_t proc_pid(const struct proc *p);
void proc_kill(struct proc *p); /* SIGKILL to the group; fn still comes */
