/*
 * Bounded children. Everything that the child needs is computed before the
 * fork; between fork and exec only async-signal-safe calls. A failure there
 * comes back over a pipe that exec closes.
 */
#include "lib/io/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

enum { STDERR_MAX = 64 * 1024 };

struct proc {
    struct loop *lp;
    pid_t pid;
    int pidfd;
    struct watch exit_watch, err_watch;
    struct timer deadline;
    struct deferred done;
    struct retire retire;
    struct buf err_text;
    proc_done_fn fn;
    void *arg;
    int exit_code;
    bool timed_out;
};

/* ---- in the child: what goes wrong before exec is told to the parent, as an errno ---- */

static NORETURN void give_up(int report_fd)
{
    int code = errno;
    ssize_t n = write(report_fd, &code, sizeof code);
    (void)n;
    _exit(126);
}

enum { REPORT = 3 };

static void limit(int resource, uint64_t value, bool set)
{
    struct rlimit r = {.rlim_cur = value, .rlim_max = value};
    if (set && setrlimit((__rlimit_resource_t)resource, &r) < 0) {
        give_up(REPORT);
    }
}

static void drop_privileges(const struct proc_opts *o)
{
    if (o->gid && (setgroups(0, NULL) < 0 || setresgid(o->gid, o->gid, o->gid) < 0)) {
        give_up(REPORT);
    }
    if (o->uid && setresuid(o->uid, o->uid, o->uid) < 0) {
        give_up(REPORT);
    }
}

static void lay_descriptors(int err_fd, int null_fd, int report_fd)
{
    if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
        dup2(err_fd, STDERR_FILENO) < 0 || dup2(report_fd, REPORT) < 0 ||
        fcntl(REPORT, F_SETFD, FD_CLOEXEC) < 0) {
        give_up(report_fd);
    }
    syscall(SYS_close_range, REPORT + 1u, ~0u, 0u);
}

static NORETURN void
become(const struct proc_opts *o, int err_fd, int null_fd, int report_fd, pid_t parent)
{
    static char *const nothing[] = {NULL};
    sigset_t none;
    sigemptyset(&none);
    setsid();
    lay_descriptors(err_fd, null_fd, report_fd);
    limit(RLIMIT_CORE, 0, true);
    limit(RLIMIT_CPU, o->cpu_s, o->cpu_s);
    limit(RLIMIT_AS, o->as_bytes, o->as_bytes);
    limit(RLIMIT_FSIZE, o->fsize_bytes, o->fsize_bytes);
    limit(RLIMIT_NOFILE, o->nofile, o->nofile);
    if (o->umask) {
        umask(o->umask);
    }
    drop_privileges(o);
    /* Set after the change of user, which clears it: kill -9 of us leaves no orphan. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) {
        give_up(REPORT);
    }
    if (getppid() != parent) {
        _exit(126); /* nobody is there to be told */
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || (o->cwd && chdir(o->cwd) < 0)) {
        give_up(REPORT);
    }
    err_ignore(pthread_sigmask(SIG_SETMASK, &none, NULL)); /* fails on a wrong `how` alone */
    for (int sig = 1; sig < NSIG; sig++) {
        (void)signal(sig, SIG_DFL); /* KILL, STOP and the library's own refuse */
    }
    execve(o->argv[0], unconst(o->argv), o->env ? unconst(o->env) : nothing);
    give_up(REPORT);
}

static void release(void *arg)
{
    struct proc *p = arg;
    buf_deinit(&p->err_text);
    mem_free(p);
}

static void close_watch(struct watch *w)
{
    int fd = w->fd;
    watch_del(w);
    if (fd >= 0) {
        close(fd);
    }
}

static void read_stderr(struct proc *p)
{
    char chunk[4096];
    ssize_t n;
    while (p->err_watch.fd >= 0 && (n = read(p->err_watch.fd, chunk, sizeof chunk)) > 0) {
        size_t room = p->err_text.max - p->err_text.len;
        buf_add(&p->err_text, slice_of(chunk, (size_t)n < room ? (size_t)n : room));
    }
}

static void on_stderr(void *arg, uint32_t events)
{
    (void)events;
    read_stderr(arg);
}

static void tell_done(void *arg)
{
    struct proc *p = arg;
    read_stderr(p);
    close_watch(&p->err_watch);
    p->fn(p->arg, p->exit_code, p->timed_out, buf_slice(&p->err_text));
    loop_retire(p->lp, &p->retire, release, p);
}

static void on_exit_event(void *arg, uint32_t events)
{
    (void)events;
    struct proc *p = arg;
    int status;
    pid_t got = waitpid(p->pid, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) {
        return;
    }
    p->exit_code = got < 0 ? 127 : WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    err_ignore(kill(-p->pid, SIGKILL)); /* grandchildren do not outlive it */
    close_watch(&p->exit_watch);
    timer_cancel(&p->deadline);
    loop_defer(p->lp, &p->done, tell_done, p);
}

void proc_kill(struct proc *p)
{
    if (p->exit_watch.fd >= 0) {
        err_ignore(kill(-p->pid, SIGKILL));
    }
}

static void on_deadline(void *arg)
{
    struct proc *p = arg;
    p->timed_out = true;
    proc_kill(p);
}

pid_t proc_pid(const struct proc *p)
{
    return p->pid;
}

struct pipes {
    int err[2], report[2], null;
};

static void close_pipes(struct pipes *f)
{
    int *all[] = {&f->err[0], &f->err[1], &f->report[0], &f->report[1], &f->null};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (*all[i] >= 0) {
            close(*all[i]);
            *all[i] = -1;
        }
    }
}

static int open_pipes(struct pipes *f)
{
    *f = (struct pipes){{-1, -1}, {-1, -1}, -1};
    f->null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (f->null < 0 || pipe2(f->err, O_CLOEXEC) < 0 || pipe2(f->report, O_CLOEXEC) < 0) {
        int rc = -errno;
        close_pipes(f);
        return err_origin(rc);
    }
    return fcntl(f->err[0], F_SETFL, O_NONBLOCK) < 0 ? err_origin(-errno) : 0;
}

/* 0, or the -errno of what failed up to and with exec. */
static int exec_result(int report_fd)
{
    int code = 0;
    ssize_t n;
    do {
        n = read(report_fd, &code, sizeof code);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof code ? -code : 0;
}

static int spawn(const struct proc_opts *opts, struct pipes *f, pid_t *out_pid)
{
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        return err_origin(-errno);
    }
    if (pid == 0) {
        become(opts, f->err[1], f->null, f->report[1], parent);
    }
    close(STEAL_FD(f->report[1]));
    int rc = exec_result(f->report[0]);
    if (rc < 0) {
        err_ignore(waitpid(pid, NULL, 0));
        return err_origin(rc);
    }
    *out_pid = pid;
    return 0;
}

int proc_start(struct loop *lp,
               const struct proc_opts *opts,
               proc_done_fn fn,
               void *arg,
               struct proc **out_proc)
{
    struct pipes f;
    pid_t pid = 0;
    int rc = open_pipes(&f);
    if (rc < 0) {
        return err_trace(rc);
    }
    rc = spawn(opts, &f, &pid);
    if (rc < 0) {
        close_pipes(&f);
        return err_trace(rc);
    }
    struct proc *p = mem_new(sizeof *p);
    *p = (struct proc){.lp = lp, .pid = pid, .fn = fn, .arg = arg};
    buf_init(&p->err_text, opts->stderr_max ? opts->stderr_max : STDERR_MAX);
    p->exit_watch = p->err_watch = WATCH_INIT;
    p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (p->pidfd < 0 || watch_add(lp, &p->exit_watch, p->pidfd, on_exit_event, p) < 0 ||
        watch_add(lp, &p->err_watch, f.err[0], on_stderr, p) < 0) {
        abort(); /* a child that nobody watches must not run */
    }
    f.err[0] = -1;
    close_pipes(&f);
    if (opts->deadline_ns) {
        timer_set_in(lp, &p->deadline, opts->deadline_ns, on_deadline, p);
    }
    *out_proc = p;
    return 0;
}

size_t proc_raise_descriptors(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) != 0) {
        return 1024; /* what every system gives */
    }
    if (l.rlim_cur < l.rlim_max) {
        struct rlimit more = {l.rlim_max, l.rlim_max};
        l.rlim_cur = setrlimit(RLIMIT_NOFILE, &more) ? l.rlim_cur : l.rlim_max;
    }
    return l.rlim_cur;
}
