/* Text in, text out: files or stdin, a byte order mark dropped with a word, results whole or not at
 * all. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/ctl/report.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/text.h"

#define READ_MAX (8 * MIB) /* the largest document this tool takes; a policy is at most 1 MiB */

const char *ctl_paint(bool on, const char *sequence)
{
    return on ? sequence : "";
}

const char *ctl_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "<stdin>" : path;
}

int ctl_complain(const struct ctl *c, int code, const char *what, const char *why, const char *fix)
{
    const char *const lines[] = {what, why, fix}, *const heads[] = {"funnelctl", "  why", "  fix"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) { /* a server or a file may have had a say */
        fprintf(stderr, "%s%s: ", ctl_paint(!i && c->colour_err, "\033[31m"), heads[i]);
        ctl_put_clean(stderr, c->utf8, slice_str(lines[i]));
        fprintf(stderr, "%s\n", ctl_paint(!i && c->colour_err, "\033[0m"));
    }
    return code;
}

void ctl_note(const struct ctl *c, const char *fmt, ...)
{
    va_list ap;
    (void)c;
    va_start(ap, fmt);
    fputs("funnelctl: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

static int cannot_read(const struct ctl *c, const char *path, int rc)
{
    char what[PATH_MAX + 40];
    text_cut(what, sizeof what, "cannot read %s", path);
    if (rc == FILE_TOO_BIG) {
        return ctl_complain(c, CTL_REFUSED, what, "it is larger than 8 MiB",
                            "a policy is 1 MiB at most");
    }
    return ctl_complain(c, CTL_REFUSED, what,
                        rc == FILE_MISSING ? "there is no such file" : err_words(rc),
                        "check the path and its permissions; - is standard input");
}

static void drop_bom(const struct ctl *c, const char *path, struct buf *text)
{
    if (slice_starts(buf_slice(text), S("\xef\xbb\xbf"))) {
        buf_consume(text, 3);
        ctl_note(c, "%s: a byte order mark at the start was left out; save the file without it",
                 path);
    }
}

int ctl_read(struct ctl *c, const char *path, struct buf *out)
{
    const char *name = ctl_name(path);
    buf_init(out, READ_MAX);
    if (strcmp(path, "-") == 0) {
        if (c->stdin_taken) {
            return ctl_complain(c, CTL_USAGE, "standard input can be read once",
                                "- stands twice on the command line",
                                "write one of the two to a file");
        }
        c->stdin_taken = true;
        path = "/dev/stdin";
    }
    int rc = file_read(path, out);
    if (rc) {
        return cannot_read(c, name, rc);
    }
    drop_bom(c, name, out);
    return 0;
}

int ctl_read_policy(struct ctl *c, const char *path, struct buf *out)
{
    int rc = ctl_read(c, path, out);
    struct slice text = buf_slice(out);
    if (!rc && text.n && text.p[text.n - 1] != '\n') {
        buf_addc(out, '\n');
    }
    return rc;
}

int ctl_put(const struct ctl *c, struct slice text)
{
    bool ok = fwrite(text.p, 1, text.n, stdout) == text.n;
    /* A prompt should not stand behind the result; pipes and files get the exact bytes. */
    if (text.n && text.p[text.n - 1] != '\n' && isatty(STDOUT_FILENO)) {
        ok = fputc('\n', stdout) != EOF && ok;
    }
    if (!ok || fflush(stdout)) {
        return ctl_complain(c, CTL_REFUSED, "cannot write the result", err_words(errno),
                            "look at where standard output goes");
    }
    return 0;
}

int ctl_replace(const struct ctl *c, const char *path, struct slice text)
{
    char what[PATH_MAX + 40], real[PATH_MAX];
    struct stat st;
    text_cut(what, sizeof what, "cannot write %s", path);
    if (strcmp(path, "-") == 0) {
        return ctl_complain(c, CTL_USAGE, "standard input cannot be written to",
                            "--write puts the result into the file it came from",
                            "leave out --write");
    }
    /* A link stays a link: what it points to is replaced. */
    if (!realpath(path, real) || stat(real, &st)) {
        return ctl_complain(c, CTL_REFUSED, what, err_words(errno), "check the path");
    }
    int rc = file_replace(real, st.st_mode & 07777, text);
    return rc ? ctl_complain(c, CTL_REFUSED, what, err_words(rc),
                             "check the permissions of its folder; the file is as it was")
              : 0;
}
