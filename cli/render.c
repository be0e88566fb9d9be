/* Words for people. stdout has results only; everything else goes to stderr. */
#include <langinfo.h>
#include <locale.h>
#include <qrencode.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

static struct {
    bool colour, tty, utf8, quiet;
    bool open_line; /* a waiting line stands on the terminal without its end */
} look;

void render_start(bool quiet)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): this program has one thread */
    (void)setlocale(LC_CTYPE, "");
    look.quiet = quiet;
    look.tty = isatty(STDERR_FILENO);
    look.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    look.colour = look.tty && !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0;
}

static void end_open_line(void)
{
    if (look.open_line) {
        fputs("\r\033[K", stderr);
        look.open_line = false;
    }
}

static const char *paint(const char *code)
{
    return look.colour ? code : "";
}

void render_notice(const char *text)
{
    end_open_line();
    fprintf(stderr, "%s\n", text);
}

void render_error(const char *code, const char *message, const char *why, const char *fix)
{
    end_open_line();
    fprintf(stderr, "%sfunnel: %s (%s)%s\n", paint("\033[31m"), message, code, paint("\033[0m"));
    fprintf(stderr, "  why: %s\n  fix: %s\n", why, fix);
}

void render_progress(const char *state, const char *text)
{
    bool wait = strcmp(state, "wait") == 0, ok = strcmp(state, "ok") == 0;
    const char *mark = ok          ? (look.utf8 ? "✓" : "ok")
                       : wait      ? (look.utf8 ? "…" : "..")
                       : look.utf8 ? "!"
                                   : "!!";
    const char *colour = ok ? "\033[32m" : wait ? "\033[2m" : "\033[33m";
    if (look.quiet) {
        return;
    }
    end_open_line();
    fprintf(stderr, "  %s%s%s %s", paint(colour), mark, paint("\033[0m"), text);
    /* On a terminal the waiting line is replaced by what comes next; elsewhere it is one line a
     * step. */
    if (wait && look.colour) {
        (void)fflush(stderr);
        look.open_line = true;
    } else {
        fputc('\n', stderr);
    }
}

/* Two modules a line with half blocks, light on dark as terminals are. */
static void put_qr(const char *text)
{
    QRcode *qr = QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
    if (!qr) {
        return;
    }
    for (int y = -2; y < qr->width + 2; y += 2) {
        fputs("    ", stderr);
        for (int x = -2; x < qr->width + 2; x++) {
            bool in = x >= 0 && x < qr->width;
            bool top = in && y >= 0 && y < qr->width && (qr->data[y * qr->width + x] & 1);
            bool low =
                in && y + 1 >= 0 && y + 1 < qr->width && (qr->data[(y + 1) * qr->width + x] & 1);
            fputs(top && low ? " " : top ? "▄" : low ? "▀" : "█", stderr);
        }
        fputc('\n', stderr);
    }
    fputc('\n', stderr);
    QRcode_free(qr);
}

/* "valid 72 h" */
static void put_validity(struct slice expires)
{
    struct wall until;
    if (wall_parse(expires, &until)) {
        int64_t left = until.s - wall_now().s;
        if (left >= 7200) {
            fprintf(stderr, "      valid %lld h", (long long)((left + 1800) / 3600));
        } else {
            fprintf(stderr, "      valid %lld min", (long long)((left + 59) / 60));
        }
    }
    fputs("\n\n", stderr);
}

void render_approval(const struct js *event)
{
    struct slice text = js_get_str(event, "text"), url = js_get_str(event, "url"),
                 code = js_get_str(event, "matchCode");
    end_open_line();
    fprintf(stderr, SLICE_FMT "\n\n    %s" SLICE_FMT "%s\n\n    code: %s" SLICE_FMT "%s",
            SLICE_ARG(text), paint("\033[1m"), SLICE_ARG(url), paint("\033[0m"), paint("\033[1m"),
            SLICE_ARG(code), paint("\033[0m"));
    put_validity(js_get_str(event, "expires"));
    if (look.tty && look.utf8 && !look.quiet) {
        char *copy = slice_dup(url);
        put_qr(copy);
        mem_free(copy);
    }
}

void render_live(const struct js *result, bool background, int port)
{
    struct slice url = js_get_str(result, "url"), target = js_get_str(result, "target");
    end_open_line();
    if (look.quiet) {
        printf(SLICE_FMT "\n", SLICE_ARG(url));
    } else {
        printf("Available on the internet:\n" SLICE_FMT "\n\n|-- / proxy " SLICE_FMT "\n\n",
               SLICE_ARG(url), SLICE_ARG(target));
        if (background) {
            printf(
                "Funnel started and running in the background.\nTo stop it, run: funnel --https=%d off\n",
                port);
        } else {
            puts("Press Ctrl+C to exit.");
        }
    }
    (void)fflush(stdout);
}

/* ---- requests ---- */

void render_requests(const struct js *result)
{
    const struct js *list = js_get(result, "requests");
    if (!js_len(list)) {
        puts("No requests. Try: funnel enable");
    }
    for (size_t i = 0; i < js_len(list); i++) {
        const struct js *r = js_at(list, i);
        struct slice id = js_get_str(r, "id"), state = js_get_str(r, "state"),
                     by = js_get_str(r, "by"), why = js_get_str(r, "reason"),
                     url = js_get_str(r, "url"), code = js_get_str(r, "matchCode");
        bool pending = slice_eq(state, S("pending"));
        printf(SLICE_FMT "  port %-5d  " SLICE_FMT, SLICE_ARG(id), (int)js_get_int(r, "port", 0),
               SLICE_ARG(state));
        if (pending) {
            printf("  code " SLICE_FMT "\n    " SLICE_FMT "\n", SLICE_ARG(code), SLICE_ARG(url));
        } else {
            printf("%s" SLICE_FMT "%s" SLICE_FMT "\n", by.n ? " by " : "", SLICE_ARG(by),
                   why.n ? ": " : "", SLICE_ARG(why));
        }
    }
}

/* ---- status ---- */

static const char *mark_of(struct slice state)
{
    bool ok = slice_eq(state, S("ok")), bad = slice_eq(state, S("failed"));
    if (look.utf8) {
        return ok ? "✓" : bad ? "✗" : slice_eq(state, S("waiting")) ? "…" : "?";
    }
    return ok ? "ok" : bad ? "!!" : slice_eq(state, S("waiting")) ? ".." : "??";
}

/* "12 s ago"; nothing for a time that is not known. */
static void put_age(struct slice at)
{
    struct wall t;
    if (!wall_parse(at, &t)) {
        return;
    }
    int64_t age = wall_now().s - t.s;
    age = age < 0 ? 0 : age;
    if (age < 120) {
        printf("  (%d s ago)", (int)age);
    } else if (age < 7200) {
        printf("  (%d min ago)", (int)(age / 60));
    } else {
        printf("  (%d h ago)", (int)(age / 3600));
    }
}

static void put_ladder(const struct js *list)
{
    for (size_t i = 0; i < js_len(list); i++) {
        const struct js *r = js_at(list, i);
        struct slice state = js_get_str(r, "state"), text = js_get_str(r, "text"),
                     fix = js_get_str(r, "fix");
        int64_t ms = js_get_int(r, "ms", 0);
        printf("    %s " SLICE_FMT, mark_of(state), SLICE_ARG(text));
        if (ms) {
            printf(", %d ms", (int)ms);
        }
        put_age(js_get_str(r, "at"));
        putchar('\n');
        if (fix.n && !slice_eq(state, S("ok"))) {
            printf("      fix: " SLICE_FMT "\n", SLICE_ARG(fix));
        }
    }
}

static void put_funnels(const struct js *list)
{
    if (!js_len(list)) {
        puts("Nothing is served. Try: funnel 3000");
    }
    for (size_t i = 0; i < js_len(list); i++) {
        const struct js *f = js_at(list, i);
        struct slice url = js_get_str(f, "url"), target = js_get_str(f, "target"),
                     state = js_get_str(f, "state"), source = js_get_str(f, "source");
        printf(SLICE_FMT "  (" SLICE_FMT ", " SLICE_FMT ")\n|-- / proxy " SLICE_FMT "\n",
               SLICE_ARG(url), SLICE_ARG(state), SLICE_ARG(source), SLICE_ARG(target));
        put_ladder(js_get(f, "readiness"));
    }
}

static void put_peers(const struct js *list)
{
    for (size_t i = 0; i < js_len(list); i++) {
        const struct js *p = js_at(list, i), *addresses = js_get(p, "addresses");
        struct slice name = js_get_str(p, "name"), since = js_get_str(p, "connectedSince");
        printf("relay    %-16.*s %-9s", (int)name.n, name.p,
               js_get_bool(p, "connected", false) ? "connected" : "away");
        for (size_t k = 0; k < js_len(addresses); k++) {
            struct slice a = js_str(js_at(addresses, k));
            printf(" " SLICE_FMT, SLICE_ARG(a));
        }
        printf("%s" SLICE_FMT "\n", since.n ? "  since " : "", SLICE_ARG(since));
    }
}

void render_status(const struct js *s)
{
    const struct js *self = js_get(s, "self"), *control = js_get(s, "control"),
                    *cert = js_get(s, "certificate");
    struct slice name = js_get_str(self, "name"), user = js_get_str(self, "user"),
                 origin = js_get_str(control, "origin");
    struct slice state = js_get_str(cert, "state"), until = js_get_str(cert, "notAfter");
    if (!js_get_bool(s, "loggedIn", false)) {
        puts("This node is not logged in. Run: funnel up https://control.example.net");
        return;
    }
    printf("node     " SLICE_FMT "  (" SLICE_FMT ")%s\n", SLICE_ARG(name), SLICE_ARG(user),
           js_get_bool(s, "down", false) ? "  down" : "");
    printf("control  " SLICE_FMT "  %s\n", SLICE_ARG(origin),
           js_get_bool(control, "connected", false) ? "connected" : "away");
    printf("cert     " SLICE_FMT "%s" SLICE_FMT "\n", SLICE_ARG(state), until.n ? ", until " : "",
           SLICE_ARG(until));
    struct slice lock = js_get_str(s, "lock");
    if (lock.n) {
        printf("LOCKED   " SLICE_FMT "\n", SLICE_ARG(lock));
    }
    put_peers(js_get(s, "peers"));
    puts("");
    put_funnels(js_get(s, "funnels"));
}
