/* One conversation: a request line out, event lines in. A foreground funnel comes back by itself
 * when funneld is restarted. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"

enum { LINE_MAX = 1024 * 1024, RECONNECT_S = 60, RECONNECT_PAUSE_MS = 200 };

struct talk {
    const struct cli_args *args;
    int fd;
    struct buf in;
    bool live, waiting;
    char request[64]; /* that a decision is waited for */
    char target[300]; /* of a live `wait`: after a restart of funneld it is asked for as `serve` */
    int port;
    struct mono wait_until;
};

static const char *socket_path(const struct cli_args *a)
{
    const char *env = getenv("FUNNEL_SOCKET");
    return a->socket ? a->socket : env && *env ? env : "/run/funnel/funneld.sock";
}

static int dial(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !slice_copy(slice_str(path), un.sun_path, sizeof un.sun_path) ||
        connect(fd, (const struct sockaddr *)&un, sizeof un) < 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

static int unreachable(const struct cli_args *a)
{
    char why[300];
    text_cut(why, sizeof why, "nothing answers at %.200s (%s)", socket_path(a), err_words(errno));
    render_error("FNL-101", "cannot reach funneld", why,
                 "sudo systemctl start funneld, or --socket PATH");
    return EXIT_UNREACHABLE;
}

/* The request for a command; the auth key is read here, from a file, and goes over the socket only.
 */
static int build(const struct talk *t, struct js *j)
{
    const struct cli_args *a = t->args;
    bool again = t->target[0] != '\0';
    static const char *const names[] = {"serve", "off",    "status",   "reset",  "up",
                                        "down",  "enable", "requests", "cancel", "wait"};
    struct buf key;
    js_set_int(j, "id", 1);
    js_set_cstr(j, "op", names[again ? CLI_SERVE : a->command]);
    js_set_int(j, "port", again ? t->port : a->port);
    js_set_cstr(j, "target", again ? t->target : a->target);
    js_set_bool(j, "background", a->background);
    js_set_cstr(j, "control", a->control);
    js_set_cstr(j, "hostname", a->hostname);
    js_set_cstr(j, "reason", a->reason);
    js_set_cstr(j, "request", a->request);
    if (a->seconds) {
        js_set_int(j, "seconds", a->seconds);
    }
    const char *ref = a->auth_key;
    if (a->command != CLI_UP || !ref) {
        return 0;
    }
    int rc = secret_read_ref(slice_str(ref), &key);
    if (rc) {
        render_error("FNL-106",
                     rc == SECRET_INLINE ? "a key does not belong on the command line"
                                         : "the auth key cannot be read",
                     rc == SECRET_INLINE ? "everybody on this machine could read it there"
                                         : err_words(rc),
                     "--auth-key file:PATH");
        return EXIT_USAGE;
    }
    js_set_str(j, "authKey", slice_trim(buf_slice(&key)));
    secret_wipe_buf(&key);
    return 0;
}

static int send_request(struct talk *t)
{
    struct buf line = BUF_MAX(LINE_MAX);
    AUTO(js_freep) struct js *j = js_object();
    int rc = build(t, j);
    if (rc) {
        return rc;
    }
    js_write(j, JS_COMPACT, &line);
    buf_addc(&line, '\n');
    bool ok = send(t->fd, buf_slice(&line).p, line.len, MSG_NOSIGNAL) == (ssize_t)line.len;
    secret_wipe_buf(&line);
    return ok ? 0 : unreachable(t->args);
}

static char *text_of(const struct js *j, const char *name)
{
    return slice_dup(js_get_str(j, name));
}

static int fail(const struct js *j)
{
    AUTO_FREE char *code = text_of(j, "code"), *message = text_of(j, "message");
    AUTO_FREE char *why = text_of(j, "why"), *fix = text_of(j, "fix");
    render_error(code, message, why, fix);
    return (int)js_get_int(j, "exit", EXIT_FAILED);
}

static void show_json(const struct js *j)
{
    struct buf out = BUF_MAX(LINE_MAX);
    js_write(j, JS_PRETTY, &out);
    printf("%s\n", buf_cstr(&out));
    buf_deinit(&out);
}

/* What was waited for may have been the right alone. */
static bool serves(const struct talk *t, const struct js *result)
{
    return t->args->command == CLI_SERVE ||
           (t->args->command == CLI_WAIT && js_get_str(result, "target").n);
}

static void begin_wait(struct talk *t, const struct js *event)
{
    if (!slice_copy(js_get_str(event, "requestId"), t->request, sizeof t->request)) {
        t->request[0] = '\0';
    }
    t->waiting = true;
    t->wait_until = mono_after(mono_now(), SECONDS(t->args->wait_s));
}

static void succeed(struct talk *t, const struct js *result)
{
    const struct cli_args *a = t->args;
    struct slice name = js_get_str(result, "name"), url = js_get_str(result, "url");
    switch (a->command) {
    case CLI_SERVE:
    case CLI_WAIT:
        if (!serves(t, result)) {
            printf("Funnel is enabled for " SLICE_FMT "\n", SLICE_ARG(url));
        } else if (!t->live) {
            render_live(result, a->background, (int)js_get_int(result, "port", a->port));
        }
        t->live = serves(t, result);
        if (t->live && a->command == CLI_WAIT) {
            t->port = (int)js_get_int(result, "port", a->port);
            text_cut(t->target, sizeof t->target, SLICE_FMT,
                     SLICE_ARG(js_get_str(result, "target")));
        }
        break;
    case CLI_STATUS:
        if (a->json) {
            show_json(result);
        } else {
            render_status(result);
        }
        break;
    case CLI_UP:
        printf("Logged in as " SLICE_FMT "\n", SLICE_ARG(name));
        break;
    case CLI_ENABLE:
        printf("Funnel is enabled for " SLICE_FMT "\n", SLICE_ARG(url));
        break;
    case CLI_REQUESTS:
        if (a->json) {
            show_json(result);
        } else {
            render_requests(result);
        }
        break;
    case CLI_CANCEL:
    case CLI_OFF:
    case CLI_RESET:
    case CLI_DOWN:
        puts("done");
        break;
    case CLI_HELP:
    case CLI_VERSION:
        break;
    }
}

/* One line of funneld. -1: go on; else the exit code. */
static int take_line(struct talk *t, struct slice line)
{
    char why[200];
    AUTO(js_freep) struct js *j = js_parse(line, LINE_MAX, why, sizeof why);
    if (!j) {
        render_error("FNL-115", "funneld said something unreadable", why,
                     "restart funneld after an upgrade");
        return EXIT_PROTOCOL;
    }
    js_plain(j); /* much of it comes from another machine, and goes to a terminal */
    struct slice event = js_get_str(j, "event");
    if (slice_eq(event, S("progress"))) {
        t->waiting = t->waiting && !slice_eq(js_get_str(j, "step"), S("permitted"));
        char *state = text_of(j, "state"), *text = text_of(j, "text");
        if (!t->live || slice_eq(js_get_str(j, "step"), S("lock"))) {
            render_progress(state, text);
        }
        mem_free(state);
        mem_free(text);
        return -1;
    }
    if (slice_eq(event, S("approval"))) {
        render_approval(j);
        begin_wait(t, j);
        return -1;
    }
    if (!js_get_bool(j, "ok", false)) {
        return fail(j);
    }
    succeed(t, js_get(j, "result"));
    return serves(t, js_get(j, "result")) && !t->args->background ? -1 : EXIT_OK;
}

static int take_lines(struct talk *t)
{
    ptrdiff_t lf;
    while ((lf = slice_find(buf_slice(&t->in), '\n')) >= 0) {
        int rc = take_line(t, slice_of(buf_slice(&t->in).p, (size_t)lf));
        if (rc >= 0) {
            return rc;
        }
        buf_consume(&t->in, (size_t)lf + 1);
    }
    return -1;
}

/* -1: the connection ended; -2: the wait for a decision is over; else the exit code. */
static int listen_to(struct talk *t)
{
    for (;;) {
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        int64_t left = (t->wait_until.ns - mono_now().ns) / MS(1);
        int n = poll(&p, 1, t->waiting ? (left > 0 ? (int)left : 0) : -1);
        if (n == 0) {
            return -2;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (buf_reserve(&t->in, 65536)) {
            return EXIT_PROTOCOL;
        }
        ssize_t got = recv(t->fd, buf_tail(&t->in), 65536, 0);
        if (got <= 0) {
            return -1;
        }
        buf_commit(&t->in, (size_t)got);
        int rc = take_lines(t);
        if (rc >= 0) {
            return rc;
        }
    }
}

/* funneld was restarted: ask again, for a minute. */
static bool reconnect(struct talk *t)
{
    const struct timespec pause = {.tv_nsec = MS(RECONNECT_PAUSE_MS)};
    struct mono until = mono_after(mono_now(), SECONDS(RECONNECT_S));
    close(t->fd);
    render_notice("funnel: funneld went away; waiting for it");
    while (!mono_reached(mono_now(), until)) {
        t->fd = dial(socket_path(t->args));
        if (t->fd >= 0) {
            buf_clear(&t->in);
            return send_request(t) == 0;
        }
        nanosleep(&pause, NULL);
    }
    return false;
}

int talk(const struct cli_args *args)
{
    struct talk t = {.args = args, .fd = dial(socket_path(args)), .in = BUF_MAX(LINE_MAX)};
    if (t.fd < 0) {
        return unreachable(args);
    }
    if (args->command == CLI_WAIT) { /* the question was asked before */
        t.waiting = true;
        t.wait_until = mono_after(mono_now(), SECONDS(args->wait_s));
        text_cut(t.request, sizeof t.request, "%s", args->request);
    }
    int rc = send_request(&t);
    bool go_on = rc == 0;
    while (go_on) {
        rc = listen_to(&t);
        go_on = rc == -1 && t.live && reconnect(&t);
    }
    if (rc == -1) {
        rc = unreachable(args);
    }
    if (rc == -2 && args->command == CLI_UP) {
        render_error("FNL-204", "nobody has decided yet", "funneld goes on waiting",
                     "run the command again: it takes up the same link while that is valid");
        rc = EXIT_PENDING;
    } else if (rc == -2) {
        char fix[160];
        text_cut(fix, sizeof fix, "funnel wait %s, or the same command again: both take it up",
                 t.request);
        render_error("FNL-204", "nobody has decided yet", "the request stays open", fix);
        rc = EXIT_PENDING;
    }
    buf_deinit(&t.in);
    return rc;
}
